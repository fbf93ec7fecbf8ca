/* SPDX-License-Identifier: MIT
 *
 * storm.h: processes that use everything at once, and are killed at random moments.
 *
 * A *world* is a process with an arena of its own. In it *victims* come and go: each begins by arming timers by which the kernel
 * will kill it (SIGKILL or SIGSEGV, some are stopped and continued before) and then works until that happens. *Keepers* do the
 * same work and are never killed: they must not wait in vain, and they and the ledgers judge what they see. The parts of the
 * library are stormed one by one, and then all at once.
 */
#ifndef STORM_H
#define STORM_H

#include "../nap.h"

#include <par.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum verdict {
    FINE,
    LOST,       /* what had returned as done is not there, or nobody is told of the dead one's item */
    DUPLICATED, /* something is there twice */
    HUNG,       /* a call did not end in PATIENCE seconds */
    TORN,       /* an invariant does not hold, or an error that there is no reason for */
    LEAKED,     /* memory, a slot, a descriptor or a process of the dead stays */
    N_VERDICTS
};

#define PATIENCE 10.0
#define MAX_PARTS 16

struct part {
    const char *name;
    int n_keepers;
    void (*setup)(void);      /* in the world; may be NULL */
    void (*step)(void);       /* in a victim: any one operation. NULL: the keepers have victims of their own */
    void (*keep)(int which);  /* in a keeper: one operation */
    void (*leave)(int which); /* in a keeper, at its end; may be NULL */
    void (*stir)(void);       /* in the world, again and again while keepers are to end: wakes those that wait; may be NULL */
    void (*settle)(void);     /* in the world when nobody else lives: judges; may be NULL */
    void (*teardown)(void);   /* in the world, at its end; may be NULL */
    long n_ops;               /* the world's, when it is over */
    long n_found[N_VERDICTS]; /* the same */
};

extern struct part queue_part, pipe_part, lock_part, condition_part, event_part, barrier_part, pool_part, manager_part,
    server_part;

/* ---- page.c */

#define MAX_PIDS (1 << 22)

extern struct page {
    _Atomic bool is_over;
    _Atomic long n_kills, n_lives, n_told;
    _Atomic long ops[MAX_PARTS], found[MAX_PARTS][N_VERDICTS];
    _Atomic unsigned char doomed[MAX_PIDS / 8];
} * page;

void page_new(uint64_t seed); /* all zero */
void page_free(void);

/* In a process that is to die: the kernel kills it within `microseconds`. */
void doom(long microseconds);
void count_kills(long n);  /* so many more are killed, or fewer, than have called doom() */
bool is_doomed(pid_t pid); /* has it called doom()? */
long new_life(void);       /* a number that no other process of the world has */
uint64_t random_below(uint64_t n);
void seed_random(uint64_t by);

void found(struct part *part, enum verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
void count_op(struct part *part);
par_time soon(void);

/* Found unless the condition holds. */
#define expect(part, verdict, condition) \
    ((condition) ? (void)0 : found(&(part), (verdict), "line %d: %s, errno %d", __LINE__, #condition, errno))

/* A call with a deadline of soon() that returned -1 hung if it says ETIMEDOUT. */
#define failed(part, what) found(&(part), errno == ETIMEDOUT ? HUNG : TORN, "line %d: %s: errno %d", __LINE__, what, errno)

/* ---- world.c */

/* Runs the parts in a world of their own, with n_victims at a time, until so many are doomed: how many were. Adds to the parts' sums. */
long storm_run(struct part *const *parts, int n_parts, int n_victims, long n_kills, uint64_t seed);
extern struct part *const *parts; /* that are stormed now */
extern int n_parts;

/* ---- ledger.c: what became of each item */

struct ledger;
struct tally {
    long n_unseen;  /* put, and nobody says that it got it */
    long n_perhaps; /* the producer died in the put, and nobody says that it got it */
    long n_undone;  /* seen by one that died before it could say that it is done */
    long n_doing;   /* the same, but it was about to say so */
    long n_twice;   /* seen by two */
};

struct ledger *ledger_new(void);
void ledger_free(struct ledger *ledger);
long ledger_intend(struct ledger *ledger); /* the number of a new item, which is about to be put; -1: there are enough */
void ledger_put(struct ledger *ledger, long item);
void ledger_seen(struct ledger *ledger, long item);
void ledger_doing(struct ledger *ledger, long item);
void ledger_done(struct ledger *ledger, long item);
struct tally ledger_tally(const struct ledger *ledger);

#endif
