/* SPDX-License-Identifier: MIT
 *
 * nap.c: the one way to sleep on shared state, and the event count built on it.
 *
 * Shared state: an event count's word. Sleepers set bit 0 before they look at their predicate a last time; a waker makes the
 * predicate true before it looks at bit 0. The seq_cst fences on both sides make sure that one sees the other. A notify clears
 * the bit and wakes; a sleeper that was woken sets the bit again when it leaves, since others may still sleep.
 * If a process dies here: between the waker's commit and its notify, or a woken sleeper before it runs, the other sleepers are
 * not told. Their slices end within half a second and they find the predicate themselves; no sleep in libpar is unbounded.
 */
#include "arena.h"

#include <limits.h>
#include <linux/futex.h>

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
spin(const _Atomic uint32_t *word, uint32_t expected)
{
    int64_t end = pari_now_ns() + SPIN_NS;

    do
        for (int i = 0; i < 16; i++) {
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

    list[0] = (struct pari_word){word, expected};
    for (unsigned i = 0; i < n_peers && n < PARI_MAX_WORDS; i++)
        if (peers[i] != 0) {
            const _Atomic uint32_t *alive = pari_member_alive_word(peers[i]);
            uint32_t value = atomic_load(alive);
            if (value & FUTEX_TID_MASK)
                list[n++] = (struct pari_word){alive, value};
        }
    return n;
}

/* The kernel wakes one sleeper per death: pass it on. */
static void
pass_on(const struct pari_word *list, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        if (atomic_load(list[i].word) != list[i].expected)
            pari_futex_wake(list[i].word, INT_MAX);
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
        if (has_several_cpus() && spin(word, expected))
            return 0;
    }
    n = gather(list, word, expected, peers, n_peers);
    if (pari_futex_wait(list, n, pari_slice_end(deadline, next_slice(nap))) == 0)
        pass_on(list, n);
    else if (nap->slice == LAST_SLICE)
        for (unsigned i = 0; i < n_peers; i++)
            pari_member_doubt(peers[i]);
    return 0;
}

uint32_t
pari_eventcount_prepare(struct pari_eventcount *ec)
{
    return atomic_fetch_or(&ec->word, 1) | 1; /* seq_cst: the caller's look at its predicate comes after it */
}

int
pari_eventcount_wait(struct pari_eventcount *ec, uint32_t key, struct pari_nap *nap, const pari_member *peers, unsigned n_peers,
                     par_time deadline)
{
    int result = pari_nap(nap, &ec->word, key, peers, n_peers, deadline);

    if (result == 0)
        (void)atomic_fetch_or(&ec->word, 1); /* others may still sleep behind the bit that the waker cleared */
    return result;
}

void
pari_eventcount_notify(struct pari_eventcount *ec, int n)
{
    uint32_t word;

    atomic_thread_fence(memory_order_seq_cst); /* the caller's commit before the look at bit 0; partner: prepare */
    word = atomic_load_explicit(&ec->word, memory_order_relaxed);
    do
        if (!(word & 1))
            return;
    while (!atomic_compare_exchange_weak(&ec->word, &word, (word + 2) & ~UINT32_C(1)));
    pari_futex_wake(&ec->word, n);
}
