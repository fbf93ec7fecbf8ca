/* SPDX-License-Identifier: MIT
 *
 * faults.h: each operation is run with its n-th system call failing, for every n until it succeeds untouched, for every errno that
 * this call can really give, once transient (only that call) and once persistent (it and all later ones of its kind).
 *
 * For every point there is a fresh *world*: a process with an arena of its own. It sets things up, lets one call fail, and judges:
 * an errno that the operation documents, or success; nothing left; the same operation without a fault works. The calls are those
 * of libpar/os, which a hook can make fail.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "../nap.h"

#include <par.h>

#include "../../libpar/os/os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum verdict {
    FINE,
    HUNG,         /* the world did not end */
    CRASHED,      /* it got a signal */
    UNDOCUMENTED, /* the errno is none of the operation's */
    WRONG,        /* it says that it succeeded, and did not; or a failure has no errno or had an effect */
    LEAKED,       /* something is left */
    STUCK,        /* the same operation without a fault does not work afterwards */
    BROKEN,       /* the test itself could not be set up */
    N_VERDICTS
};

/* Whose calls are counted and fail. */
enum where { IN_CALLER, IN_CHILDREN };

/* What the arena is like when the operation begins. */
enum state {
    WARM, /* the operation has been done before */
    COLD, /* there is none: it is the first call of the process, and joining the family can fail, too */
    FULL  /* as WARM, but without a free block: whatever needs one needs the arena to grow */
};

struct op {
    const char *group, *name;
    void (*setup)(void); /* in the world, without faults; may be NULL */
    int (*act)(void);    /* the operation: 0, or -1 with errno and nothing left */
    void (*undo)(void);  /* gives back what a good act has made; may be NULL */
    const int *errors;   /* what it documents, 0 at the end */
    enum where where;
    bool is_cold; /* also as the first call of the process, where joining the family can fail */
    bool is_once; /* not done before the stock is taken: it grows the arena */
    bool is_slow; /* not in the sample: what cannot be asked is waited for */
};

#define ERRORS(...) ((const int[]){ __VA_ARGS__, 0 }) /* ERRORS(0): none */

extern const struct op memory_ops[], sync_ops[], channel_ops[], object_ops[], process_ops[], pool_ops[], manager_ops[];

/* What a world holds; the growth over two rounds of an operation without a fault is what a fault may leave, too. */
struct stock {
    long fds, maps, threads, children, slots, heap, bytes;
};

/* One point, and what came of it: shared by the runner, the world and its children. */
struct point {
    long at; /* which call is to fail; 0: none */
    int which;
    bool is_persistent;
    enum where where;
    pid_t world;
    _Atomic bool is_trying; /* from the beginning to the end of the act */
    _Atomic bool is_armed;  /* within it, but for what is done quietly */
    _Atomic long n_calls;
    _Atomic long seen[PARI_N_CALLS];
    _Atomic int call;  /* that failed, -1: none */
    _Atomic int error; /* with this errno */
    struct stock growth;
    bool has_failed; /* the operation said so */
    char text[240];  /* what was found */
};
extern struct point *point;

/* ---- inject.c */

const char *inject_name(enum pari_call call);
int inject_n_errors(enum pari_call call);
bool inject_may_persist(enum pari_call call, int which);
void inject_arm(enum where where);
void inject_disarm(void);

/* What is part of the act, but not what is tried. */
#define QUIETLY(statement)                                      \
    do {                                                        \
        bool was_armed_ = atomic_exchange(&point->is_armed, 0); \
        statement;                                              \
        atomic_store(&point->is_armed, was_armed_);             \
    } while (0)

/* ---- world.c */

void world_run(const struct op *op, enum state state) __attribute__((noreturn));
void world_once(const struct op *op) __attribute__((noreturn)); /* without the seam: the system's own calls are made to fail */
void find(enum verdict verdict, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Found unless the condition holds. */
#define expect(condition) ((condition) ? (void)0 : find(WRONG, "%s:%d: %s, errno %d", __FILE__, __LINE__, #condition, errno))
#define expect_ready(condition) \
    ((condition) ? (void)0 : find(BROKEN, "%s:%d: %s, errno %d", __FILE__, __LINE__, #condition, errno))

par_time soon(void); /* a deadline that is only met by what hangs */

/* A plain child that does something once the world has come to one of these calls. */
pid_t helper_start(void (*fn)(void), enum pari_call until, enum pari_call or_until);
void helper_join(pid_t pid);

#endif
