/* SPDX-License-Identifier: MIT
 *
 * conformance.h: the behaviours that Python's own suite asserts of multiprocessing and that mean something in C, numbered;
 * and ten deaths that it does not try.
 *
 * One file per noun, with a table of its behaviours in the order of their numbers. A behaviour is a function conf_061_event and
 * one line in the table:
 *
 *     PASSES(061, event, IN_BOTH, "what is tested", "the calls that do it")
 *     PARTLY(061, event, IN_BOTH, "what is tested", "the calls that do it", "par_call that is missing for the rest")
 *     MISSING(061, event, "what would be tested", "par_call that is missing")
 *     CANNOT(061, event, "why it can mean nothing here")
 *
 * Each test runs in a *world* of its own: a fresh process with a family of its own, which must end with no child and no
 * descriptor left, within two minutes. IN_BOTH runs it twice: its peers are processes first, then threads.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <par.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IN_PROCESSES = 1, IN_THREADS = 2, IN_BOTH = 3 };

struct behaviour {
    const char *number, *name;
    const char *what;    /* what is tested, or why it cannot apply */
    const char *calls;   /* of libpar that do it */
    const char *missing; /* call that it, or the rest of it, waits for */
    void (*test)(void);
    unsigned peers; /* IN_PROCESSES ... */
};

#define PASSES(number_, name_, peers_, what_, calls_) PARTLY(number_, name_, peers_, what_, calls_, NULL)
#define PARTLY(number_, name_, peers_, what_, calls_, missing_)                                  \
    {                                                                                            \
        .number = #number_, .name = #name_, .what = what_, .calls = calls_, .missing = missing_, \
        .test = conf_##number_##_##name_, .peers = peers_                                        \
    }
#define MISSING(number_, name_, what_, missing_)                               \
    {                                                                          \
        .number = #number_, .name = #name_, .what = what_, .missing = missing_ \
    }
#define CANNOT(number_, name_, why_)                     \
    {                                                    \
        .number = #number_, .name = #name_, .what = why_ \
    }
#define END_OF_TABLE   \
    {                  \
        .number = NULL \
    }

extern const struct behaviour process_behaviours[], queue_behaviours[], sync_behaviours[], condition_behaviours[],
    barrier_behaviours[], shared_behaviours[], pipe_behaviours[], manager_behaviours[], pool_behaviours[], future_behaviours[],
    tracker_behaviours[], deaths[];

int conformance_unguarded(void); /* what `--unguarded` runs, in a program that has not called par_spawn_support */

/* ---- what tests are written with */

/* A call did not do what it should: says so and ends the process, which fails the world, or the peer whose code is asserted. */
void give_up(const char *file, int line, const char *what) __attribute__((noreturn));

#define must(condition) ((condition) ? (void)0 : give_up(__FILE__, __LINE__, #condition))

/* The call must fail with this errno. */
#define must_fail(call, error)                  \
    do {                                        \
        errno = 0;                              \
        must((call) == -1 && errno == (error)); \
    } while (0)

par_time soon(void); /* the deadline of every call that must come to an end */

/* Look again and again until it is true. */
#define await(condition)                                  \
    for (par_time await_since = par_now(); !(condition);) \
    must((usleep(500), par_since(await_since) < 20))

/* A zeroed block that the world and its peers share. */
#define shared(T) ((T *)shared_block(sizeof(T)))
void *shared_block(size_t size);

/* What runs beside the test: a process or a thread, as this world has them. */
struct peer {
    par_process *process;
    par_thread *thread;
};

struct peer peer_start(int (*fn)(void *arg), void *arg);     /* arg as it is: let it point to shared memory */
struct peer peer_given(int (*fn)(void *arg), par_conn *end); /* the pipe end is its argument, and its own */
int peer_end(struct peer peer);                              /* wait for it: its exit code */
void peers_start(struct peer *peer, int n, int (*fn)(void *arg), void *arg);
void peers_end(const struct peer *peer, int n); /* all must end with 0 */

int pool_backend(void); /* PAR_PROCESSES or PAR_THREADS: pools have the same two kinds of workers */

/* A child that runs fn(arg), and how one that ends by itself has ended. */
par_process *child_start(int (*fn)(void *arg), void *arg);
int child_end(par_process *child);

int sleep_for_ever(void *arg);                        /* a child that waits to be killed */
int open_descriptors(void);                           /* of this process, but for the arena's */
void few_descriptors(struct rlimit *old, unsigned n); /* from now on this process can open n more */
int reap(pid_t orphan);                          /* wait for a grandchild whose parent has gone: its exit code, or -signal */
int only_child(int (*fn)(void *arg), void *arg); /* child_end(child_start(fn, arg)) */

/* The same pointer, though the compiler does not see it: for a handle that is used after its end on purpose. */
void *alias(void *p);

/* ---- for main.c */

enum verdict { PASSED, FAILED };

/* Run the test in a world with peers of this kind. */
enum verdict run_world(void (*test)(void), unsigned peers);

#endif
