/* SPDX-License-Identifier: MIT
 *
 * nap.c: the one way to sleep on shared state, and the event count built on it.
 *
 * Shared state: an event count's word. Sleepers set bit 0 before they look at their predicate a last time; a waker makes the
 * predicate true before it looks at bit 0. The seq_cst fences on both sides make sure that one sees the other; the waker's may be
 * left to the sleeper (os/fence.c), and a flag tells the wakers that a sleeper's system cannot do that. A notify changes
 * the word, which whoever is on the way to sleep sees. Once a notify finds fewer sleepers than it would have woken, it clears bit 0,
 * changing the word again, and wakes all: a sleeper that set the bit meanwhile found it set, and nothing told of it.
 * If a process dies here: between the waker's commit and its notify, or a woken sleeper before it runs, the other sleepers are
 * not told. Their slices end within half a second and they find the predicate themselves; no sleep in libpar is unbounded.
 */
#include "arena.h"

#include <limits.h>

#define FIRST_SLICE 10000000 /* 10 ms */
#define LAST_SLICE 500000000 /* 500 ms */
#define SPIN_NS 2000

static bool
has_several_cpus(void)
{
    static _Atomic int n; /* 0: not asked yet */
    int cpus = atomic_load_explicit(&n, memory_order_relaxed);

    if (pari_unlikely(cpus == 0)) {
        cpus = pari_n_cpus();
        atomic_store_explicit(&n, cpus, memory_order_relaxed);
    }
    return cpus > 1;
}

/* True if the word changed within the spin: cheaper than a sleep when the other side is running. */
static bool
spin(const _Atomic uint32_t *word, uint32_t expected, int64_t ns)
{
    int64_t end = pari_now_ns() + ns;

    do
        for (int i = 0; i < PARI_LOOKS; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != expected) /* partner: the waker's change of the word */
                return true;
            pari_cpu_relax();
        }
    while (pari_now_ns() < end);
    return false;
}

/* The words to sleep on: the object's, then those of the peers that are alive and not marked. */
static unsigned
gather(struct pari_word *list, const _Atomic uint32_t *word, uint32_t expected, const pari_member *peers, unsigned n_peers)
{
    unsigned n = 1;

    list[0] = (struct pari_word){ word, expected };
    for (unsigned i = 0; i < n_peers && n < PARI_MAX_WORDS; i++)
        if (peers[i] != 0) {
            const _Atomic uint32_t *alive = pari_member_alive_word(peers[i]);
            uint32_t value = atomic_load(alive);
            if (pari_mutex_word_is_held(value))
                list[n++] = (struct pari_word){ alive, value };
        }
    return n;
}

/* The kernel wakes one sleeper per death: pass it on. A process is dead a moment after its word is marked (its record lock goes
 * last), so the caller, who may not find it dead yet, looks again soon. */
static void
pass_on(struct pari_nap *nap, const struct pari_word *list, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        if (atomic_load(list[i].word) != list[i].expected) {
            (void)pari_futex_wake(list[i].word, INT_MAX);
            nap->slice = 0;
        }
}

static int64_t
next_slice(struct pari_nap *nap)
{
    nap->slice = nap->slice == 0 ? FIRST_SLICE : nap->slice * 2 < LAST_SLICE ? nap->slice * 2 : LAST_SLICE;
    return nap->slice;
}

int
pari_nap(struct pari_nap *nap, const _Atomic uint32_t *word, uint32_t expected, const pari_member *peers, unsigned n_peers,
         par_time deadline)
{
    struct pari_word list[PARI_MAX_WORDS];
    unsigned n;

    if (pari_is_over(deadline))
        return pari_fail(ETIMEDOUT);
    if (pari_is_interrupted())
        return pari_fail(EINTR);
    pari_member_refresh();
    if (!nap->has_spun) {
        nap->has_spun = true;
        if (has_several_cpus() && spin(word, expected, SPIN_NS))
            return 0;
    }
    n = gather(list, word, expected, peers, n_peers);
    if (pari_futex_wait(list, n, pari_slice_end(deadline, next_slice(nap))) == 0)
        pass_on(nap, list, n);
    else if (nap->slice == LAST_SLICE)
        for (unsigned i = 0; i < n_peers; i++)
            pari_member_doubt(peers[i]);
    return 0;
}

bool
pari_eventcount_look(const struct pari_eventcount *ec, uint32_t key, int64_t ns)
{
    return spin(&ec->word, key, ns);
}

uint32_t
pari_eventcount_prepare(struct pari_eventcount *ec)
{
    uint32_t key = atomic_fetch_or(&ec->word, 1) | 1;

    atomic_thread_fence(memory_order_seq_cst); /* bit 0 before the caller's look at its predicate; partner: notify */
    return key;
}

/* One that looked at the flag before it was set makes no fence, and nothing else would order what it has just stored before what
 * it looks at next. No processor keeps a store to itself for so long, and to be interrupted is a fence. */
static void
let_wakers_pass(void)
{
    static _Atomic uint32_t never;
    struct pari_word word = { &never, 0 };
    int saved = errno;

    (void)pari_futex_wait(&word, 1, pari_now_ns() + 1000000);
    errno = saved;
}

void
pari_eventcount_fence(struct pari_eventcount *ec)
{
    if (pari_fence_heavy() ||
        (atomic_load_explicit(&ec->flags, memory_order_relaxed) & PARI_MUST_FENCE) != 0) /* set: wakers fence, or will soon */
        return;
    atomic_fetch_or(&ec->flags, PARI_MUST_FENCE);
    let_wakers_pass();
    atomic_thread_fence(memory_order_seq_cst);
}

int
pari_eventcount_wait(struct pari_eventcount *ec, uint32_t key, struct pari_nap *nap, const pari_member *peers, unsigned n_peers,
                     par_time deadline)
{
    return pari_nap(nap, &ec->word, key, peers, n_peers, deadline);
}

/* Nobody is looked for by later notifies until a sleeper says so again. */
static bool
wake_all_and_clear(struct pari_eventcount *ec, uint32_t word)
{
    while (word & 1)
        if (atomic_compare_exchange_weak(&ec->word, &word, (word & ~UINT32_C(1)) + 2)) {
            (void)pari_futex_wake(&ec->word, INT_MAX);
            return true;
        }
    return false;
}

/* True: there may have been somebody, and the word has changed. */
static bool
wake(struct pari_eventcount *ec, uint32_t word, int n)
{
    do
        if (!(word & 1))
            return false;
    while (!atomic_compare_exchange_weak(&ec->word, &word, word + 2));
    word += 2;
    /* Unless the word has changed, because another one notifies, wake who has gone to sleep since. */
    if (pari_futex_wake(&ec->word, n) < n && atomic_compare_exchange_strong(&ec->word, &word, (word & ~UINT32_C(1)) + 2))
        (void)pari_futex_wake(&ec->word, INT_MAX);
    return true;
}

/* Bells last: one that prepares in the middle of this, and finds bit 0 cleared behind its back, is rung then. */
void
pari_eventcount_notify(struct pari_eventcount *ec, int n)
{
    uint32_t word, flags;

    atomic_thread_fence(memory_order_seq_cst); /* the caller's commit before the look at bit 0; partner: prepare */
    word = atomic_load_explicit(&ec->word, memory_order_acquire);   /* partner: prepare, before which the flag was set */
    flags = atomic_load_explicit(&ec->flags, memory_order_relaxed); /* above */
    if ((n == INT_MAX ? wake_all_and_clear(ec, word) : wake(ec, word, n)) && pari_unlikely((flags & PARI_HAS_BELLS) != 0))
        pari_bells_ring((struct pari_belled *)(void *)ec);
}
