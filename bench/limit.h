/* SPDX-License-Identifier: MIT
 *
 * limit.h: how the hand-written minima wait. They show what the machine can do when nobody ever dies: a process that is killed in
 * here leaves the others waiting for ever, which is what the libraries they stand beside must not do.
 *
 * All of them wait for one thing, that a word in shared memory changes, in one of three manners.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include "bench.h"

#include <sched.h>

enum limit_manner {
    LIMIT_YIELD,     /* spin, then let others run */
    LIMIT_LOOK_AWAY, /* look only every half microsecond, so that several changes come together */
    LIMIT_ADAPTIVE   /* spin while the other side runs on another core, else sleep */
};

struct limit_bell { /* one for each side that waits */
    uint32_t is_asleep;
    int32_t cpu; /* where the side ran when it last rang or waited */
} __attribute__((aligned(BENCH_LINE)));

#define LIMIT_SPINS 1000
#define LIMIT_LOOK_AWAY_NS 500
#define LIMIT_WAKE_NS 50000 /* what a wake-up costs across cores: no use in spinning longer */

BENCH_INLINE uint64_t
limit_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

BENCH_INLINE void
limit_store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

BENCH_SELDOM void
limit_spin_then_yield(const uint64_t *word, uint64_t seen)
{
    for (int i = 0; limit_load(word) == seen; i++) {
        if (i < LIMIT_SPINS)
            bench_relax();
        else
            (void)sched_yield();
    }
}

BENCH_SELDOM void
limit_look_away(const uint64_t *word, uint64_t seen)
{
    for (int i = 0; limit_load(word) == seen; i++) {
        int64_t until = bench_now() + LIMIT_LOOK_AWAY_NS;
        while (bench_now() < until)
            bench_relax();
        if (i >= LIMIT_SPINS / 10)
            (void)sched_yield();
    }
}

static inline void
limit_sleep(const uint64_t *word, uint64_t seen, struct limit_bell *mine)
{
    __atomic_store_n(&mine->is_asleep, 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the last look; partner: limit_ring */
    if (limit_load(word) == seen)
        bench_futex_wait(&mine->is_asleep, 1);
    __atomic_store_n(&mine->is_asleep, 0, __ATOMIC_RELAXED);
}

static inline void
limit_say_cpu(struct limit_bell *mine)
{
    int32_t cpu = sched_getcpu();

    if (mine->cpu != cpu)
        __atomic_store_n(&mine->cpu, cpu, __ATOMIC_RELAXED);
}

BENCH_SELDOM void
limit_adapt(const uint64_t *word, uint64_t seen, struct limit_bell *mine, const struct limit_bell *other)
{
    int64_t until = bench_now() + LIMIT_WAKE_NS;

    while (limit_load(word) == seen) {
        limit_say_cpu(mine);
        if (__atomic_load_n(&other->cpu, __ATOMIC_RELAXED) == mine->cpu || bench_now() > until)
            limit_sleep(word, seen, mine);
        else
            for (int i = 0; i < 16 && limit_load(word) == seen; i++)
                bench_relax();
    }
}

/* Until the word is another than `seen`. */
BENCH_INLINE void
limit_wait(enum limit_manner manner, const uint64_t *word, uint64_t seen, struct limit_bell *mine,
           const struct limit_bell *other)
{
    if (manner == LIMIT_YIELD)
        limit_spin_then_yield(word, seen);
    else if (manner == LIMIT_LOOK_AWAY)
        limit_look_away(word, seen);
    else
        limit_adapt(word, seen, mine, other);
}

/* After a change that the other side may sleep for. */
BENCH_INLINE void
limit_ring(enum limit_manner manner, struct limit_bell *mine, struct limit_bell *other)
{
    if (manner != LIMIT_ADAPTIVE)
        return;
    limit_say_cpu(mine);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the change before the look; partner: limit_sleep */
    if (__atomic_load_n(&other->is_asleep, __ATOMIC_RELAXED) != 0 &&
        __atomic_exchange_n(&other->is_asleep, 0, __ATOMIC_SEQ_CST) != 0)
        bench_futex_wake(&other->is_asleep, 1);
}

#endif
