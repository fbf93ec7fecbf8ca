/* SPDX-License-Identifier: MIT
 *
 * side.c: the two sides of a queue: their locks, what is repaired after a death in them, and the sleep before them.
 *
 * Nobody sleeps with a lock: who finds the queue empty (full) sleeps on `readable` (`writable`) and locks when the ring's
 * indices say that it is worth it. A put wakes one consumer, a get one producer; whoever had to wait and got through wakes the
 * next one if there is still something for it.
 * Lock order: one side at a time, then the registry, then the heap.
 * If a process dies here: the next holder redoes or voids what the ring's record says and wakes everybody, since the dead may
 * have published without waking.
 */
#include "queue.h"

#define SPIN_NS 2000 /* that a message is looked for before the sleep */

#define GRACE_NS 10000000 /* how long a lock is waited for although the deadline has passed: its holder is about to leave it */
#define LOCK_SPINS 64

/* ---- locks */

static int
lock_with_grace(struct pari_mutex *lock, par_time deadline)
{
    int64_t at_least = pari_now_ns() + GRACE_NS;

    if (deadline.ns != PAR_FOREVER.ns && deadline.ns < at_least)
        deadline = PAR_TIME(at_least);
    return pari_mutex_lock(lock, deadline);
}

/* The lock is held for a fraction of a microsecond, unless its holder has lost the processor. */
static int
lock_contended(struct pari_mutex *lock, par_time deadline)
{
    for (int i = 0; i < LOCK_SPINS && pari_ring_may_spin(); i++) {
        pari_cpu_relax();
        if (!pari_mutex_is_locked(lock)) {
            int held = pari_mutex_lock(lock, PAR_NOWAIT);
            if (held >= 0 || errno != ETIMEDOUT)
                return held;
        }
    }
    return lock_with_grace(lock, deadline);
}

int
pari_side_lock(struct pari_mutex *lock, par_time deadline)
{
    int held = pari_mutex_lock(lock, PAR_NOWAIT);

    return pari_likely(held >= 0) || errno != ETIMEDOUT ? held : lock_contended(lock, deadline);
}

static void
wake_all(par_queue *q)
{
    pari_eventcount_notify(&q->readable.ec, INT32_MAX);
    pari_eventcount_notify(&q->writable, INT32_MAX);
    pari_eventcount_notify(&q->finished, INT32_MAX);
}

int
pari_queue_lock_put(par_queue *q, par_time deadline)
{
    int held = pari_side_lock(q->put_lock, deadline);

    if (pari_unlikely(held == PARI_HELD_AFTER_DEATH)) {
        pari_ring_repair_put(&q->ring);
        pari_mutex_recovered(q->put_lock);
        wake_all(q);
    }
    return held < 0 ? -1 : 0;
}

int
pari_queue_lock_get(par_queue *q, par_time deadline)
{
    int held = pari_side_lock(q->get_lock, deadline);

    if (pari_unlikely(held == PARI_HELD_AFTER_DEATH)) {
        pari_account_repair(q, pari_ring_repair_get(&q->ring));
        pari_mutex_recovered(q->get_lock);
        wake_all(q);
    }
    return held < 0 ? -1 : 0;
}

void
pari_queue_unlock_put(par_queue *q)
{
    (void)pari_mutex_unlock(q->put_lock); /* held by this thread: cannot fail */
}

void
pari_queue_unlock_get(par_queue *q)
{
    (void)pari_mutex_unlock(q->get_lock); /* held by this thread: cannot fail */
}

/* ---- waiting for room */

/* Before the last look: puts and gets notify lightly. */
static uint32_t
prepare(struct pari_eventcount *ec)
{
    uint32_t key = pari_eventcount_prepare(ec);

    pari_eventcount_fence(ec);
    return key;
}

struct pari_word
pari_queue_prepare(par_queue *q)
{
    return (struct pari_word){ &q->readable.ec.word, prepare(&q->readable.ec) };
}

static bool
has_too_many(const par_queue *q)
{
    uint64_t in, out;

    if (q->maxsize == 0)
        return false;
    out = atomic_load_explicit(&q->ring.n_out, memory_order_acquire); /* partner: count_removal; first, so that in >= out */
    in = atomic_load_explicit(&q->ring.n_in, memory_order_relaxed);   /* ours under put_lock, else a hint */
    return in >= out && in - out >= q->maxsize;
}

int
pari_queue_has_room(par_queue *q, struct pari_room need)
{
    int room = pari_ring_room(&q->ring, need.bytes);

    return room == 1 ? !has_too_many(q) && (!need.is_big || pari_ring_has_room_big(&q->ring)) : room;
}

bool
pari_queue_looks_full(const par_queue *q, struct pari_room need)
{
    uint64_t head = pari_ring_head(&q->ring); /* first, so that tail >= head */
    uint64_t used = pari_ring_tail(&q->ring) - head;

    return used > q->ring.capacity - need.bytes || has_too_many(q) || (need.is_big && !pari_ring_has_room_big(&q->ring));
}

int
pari_queue_wait_put(par_queue *q, struct pari_room need, struct pari_nap *nap, par_time deadline)
{
    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : prepare(&q->writable);
        if (pari_queue_is_closed(q))
            return pari_fail(EPIPE);
        if (!pari_queue_looks_full(q, need))
            return 0;
        if (is_over)
            return pari_fail(ETIMEDOUT);
        if (pari_eventcount_wait(&q->writable, key, nap, NULL, 0, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}

/* ---- waiting for a message */

/* Nothing will come any more: closed, or all producers gone, and nobody in the middle of a put. A producer that cannot be
 * waited for now, because it is stopped, may still put. */
static bool
is_ended(par_queue *q)
{
    bool is_end;

    if (pari_queue_lock_put(q, PAR_NOWAIT) != 0)
        return false;
    if (pari_producer_all_gone(q, NULL, NULL))
        par_queue_close(q);
    is_end = pari_queue_is_closed(q) && pari_ring_is_empty(&q->ring);
    pari_queue_unlock_put(q);
    return is_end;
}

int
pari_queue_wait_get(par_queue *q, struct pari_nap *nap, par_time deadline)
{
    pari_member live[PARI_MAX_WORDS];
    unsigned n_live;

    if (!nap->has_spun && deadline.ns >= 0)
        pari_ring_spin(&q->ring, true, pari_ring_may_spin() ? SPIN_NS : 0);
    nap->has_spun = true;
    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over && !pari_bell_drain(&q->readable) ? 0 : prepare(&q->readable.ec);
        if (!pari_ring_is_empty(&q->ring))
            return 0;
        if ((pari_producer_all_gone(q, live, &n_live) || pari_queue_is_closed(q)) && is_ended(q))
            return pari_fail(EPIPE);
        if (is_over)
            return pari_fail(ETIMEDOUT);
        if (pari_eventcount_wait(&q->readable.ec, key, nap, live, n_live, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}
