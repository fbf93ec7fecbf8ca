/* SPDX-License-Identifier: MIT
 *
 * kill.h: a victim is single-stepped through one operation, killed after k instructions, and the survivors are judged.
 *
 * For every point there is a fresh *world*: a process with an arena of its own. It sets the objects up, forks the victim, steps
 * and kills it, and then is a survivor itself; helpers are other survivors. What a world finds out is its exit code.
 */
#ifndef KILL_H
#define KILL_H

#include "../nap.h"

#include <par.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum verdict {
    FINE,
    HUNG,       /* a survivor had to wait longer than two seconds */
    TORN,       /* an invariant does not hold */
    LOST,       /* what had returned as done is not there, or the dead one's item is not named */
    DUPLICATED, /* something is there twice */
    LEAKED,     /* memory, a process or a slot of the dead stays */
    BROKEN,     /* the test itself could not be set up */
    N_VERDICTS
};

#define MAX_HELPERS 4
#define PATIENCE 2.0 /* seconds for a survivor */

/* One victim, as everybody sees it. Victim 1 comes after, or (in a race) beside victim 0. */
struct victim {
    _Atomic int has_ended; /* its operation returned */
    _Atomic long result;   /* what it returned, if the operation says so */
    _Atomic int pid;
};

/* Shared by the world, its victims and helpers, and the runner: not libpar's memory. */
struct page {
    struct victim victim[2];
    long steps[2];                      /* that were made */
    bool was_cut[2];                    /* the victim died before its operation ended */
    _Atomic int is_parked[MAX_HELPERS]; /* the helper is about to wait */
    _Atomic bool has_starved;           /* one that has hung was kept from running by others for a good while */
    _Atomic int is_idle;                /* a process that was attached to has nothing more to do but to sleep */
    _Atomic long note[16];              /* the operation's own */
    char text[200];                     /* what was found */
};
extern struct page *page;

struct track;

struct op {
    const char *group, *name;
    void (*setup)(void);          /* in the world, then whatever libpar allocated is the mark for leaks */
    void (*prepare)(int which);   /* in the victim, before it is stepped; may be NULL */
    void (*act)(int which);       /* in the victim: what is stepped */
    void (*meanwhile)(int which); /* in the world, once, when the victim sleeps; may be NULL */
    void (*check)(void);          /* in the world, after the last victim's death */
    par_conn *(*give)(int which); /* the victim is a par_process that gets this end; may be NULL */
    pid_t (*find)(int which);     /* the victim is this running process instead: it is attached to */
    unsigned stride;              /* of the full campaign; 0 is 1 */
    bool is_once;                 /* no double fault */
};

/* A race: the waiter sleeps in the kernel; the waker makes x steps; the waiter, if that woke it, y steps; a third one barges in;
 * then both are dead. */
struct race {
    const char *name;
    void (*setup)(void);
    void (*prepare)(int which); /* 0 is the waiter, 1 the waker */
    void (*act)(int which);
    void (*barge)(void); /* in the world; may be NULL. Must not wait */
    void (*check)(void);
    par_conn *(*give)(int which);
};

extern const struct op heap_ops[], lock_ops[], rwlock_ops[], sync_ops[], pipe_ops[], queue_ops[], process_ops[], pool_ops[],
    manager_ops[];
extern const struct race races[];

/* ---- world.c: in a world */

void world_run(const struct op *op, const long *at, int n_victims, struct track *const *track) __attribute__((noreturn));
void world_race(const struct race *race, const long *at) __attribute__((noreturn));
void find(enum verdict verdict, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Found unless the condition holds. */
#define expect(verdict, condition) ((condition) ? (void)0 : find(verdict, "line %d: %s, %s", __LINE__, #condition, par_error()))
#define expect_ready(condition) ((condition) ? (void)0 : find(BROKEN, "%s:%d: %s", __FILE__, __LINE__, #condition))

/* A call with a deadline of PATIENCE that returned -1 hung if it says ETIMEDOUT. */
#define expect_done(call)                                                                            \
    do {                                                                                             \
        if ((call) < 0)                                                                              \
            find(errno == ETIMEDOUT ? HUNG : TORN, "line %d: %s: errno %d", __LINE__, #call, errno); \
    } while (0)

void note_starvation(pid_t pid); /* of one that has hung: see page->has_starved */
par_time soon(void);             /* PATIENCE from now */
bool has_ended(int which);

void helper_start(int i, int (*fn)(int i)); /* fn returns a verdict */
void helper_park(int i);                    /* in the helper, right before it waits */
void helper_await(int i);                   /* until it is asleep */
void helper_join(int i);                    /* it must end soon and be fine */

void leak_mark(void);
void leak_check(size_t slack);      /* sweeps, then there is no more than at the mark and `slack` bytes */
void leak_check_soon(size_t slack); /* the same, of what a server frees when it comes to hear of a death */
void give_back_victims(void);       /* join and free the victims that are par_processes */
size_t live_slots(void);

/* ---- trace.c */

enum stepped { STEPPED, ASLEEP, OVER /* has_ended */, GONE };

#define MAX_TRACK 400000

/* The way of one victim: what instruction comes k-th, and how often it has come by then. */
struct track {
    _Atomic bool is_whole; /* may be followed */
    long n;
    struct {
        long address;
        unsigned times;
    } at[MAX_TRACK];
};
void track_count(struct track *track);

/* Make the victim do instructions until k are done, along the track if that is whole, else noting it down (NULL: neither). ASLEEP:
 * it has slept for a while in a system call and sleeps on; call again to wait on. */
enum stepped trace_to(int which, pid_t pid, long k, struct track *track);
enum stepped trace_to_sleep(int which, pid_t pid);         /* run until it sleeps in a system call: at its end it stops */
bool trace_is_woken(int which, pid_t pid, double seconds); /* its system call has ended; it has run no instruction since */
void trace_kill(pid_t pid);
bool is_asleep(pid_t pid);

#endif
