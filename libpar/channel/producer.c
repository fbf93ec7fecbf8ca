/* SPDX-License-Identifier: MIT
 *
 * producer.c: the producers of a queue with `.producers`, so that it can close itself when nobody will put any more.
 *
 * Shared state: the table. A process has at most one entry, found by probing from its slot on; an entry is never unused again,
 * but when its process has left or died another may take it over. Written under put_lock; read by consumers without it as a
 * hint, then under it.
 * If a process dies here: each step is one store, and no order of them calls somebody a producer who is none any more.
 */
#include "queue.h"

#define PATIENCE_NS 1000000000 /* for a lock that is held for less than a microsecond, unless its holder is stopped */

static bool
is_gone(const struct pari_producer *p)
{
    return atomic_load(&p->has_left) != 0 || pari_member_is_dead(atomic_load(&p->member));
}

static struct pari_producer *
entry_at(const par_queue *q, uint32_t step)
{
    return &q->producer[(pari_slot_of(pari_self()) + step) % q->n_producers];
}

/* This process's entry, or the unused one that it would get, or NULL. */
static struct pari_producer *
find(const par_queue *q)
{
    for (uint32_t step = 0; step < q->n_producers; step++) {
        pari_member member = atomic_load(&entry_at(q, step)->member);
        if (member == pari_self() || member == 0)
            return entry_at(q, step);
    }
    return NULL;
}

static struct pari_producer *
find_gone(const par_queue *q)
{
    for (uint32_t step = 0; step < q->n_producers; step++)
        if (is_gone(entry_at(q, step)))
            return entry_at(q, step);
    return NULL;
}

int
pari_producer_register(par_queue *q)
{
    struct pari_producer *p = q->n_producers > 0 ? find(q) : NULL;

    if (q->n_producers == 0)
        return 0;
    if (p == NULL && (p = find_gone(q)) == NULL)
        return pari_fail(EPERM);
    if (atomic_load(&p->member) != pari_self())
        atomic_store(&p->member, pari_self()); /* before it counts as present: the last one had left */
    if (atomic_load(&p->has_left) != 0)
        atomic_store(&p->has_left, 0);
    return 0;
}

bool
pari_producer_all_gone(const par_queue *q, pari_member *live, unsigned *n_live)
{
    bool all = q->n_producers > 0;
    unsigned n = 0;

    for (uint32_t i = 0; i < q->n_producers; i++) {
        const struct pari_producer *p = &q->producer[i];
        pari_member member = atomic_load(&p->member);
        if (member != 0 && is_gone(p))
            continue;
        all = false;
        if (live != NULL && member != 0 && member != pari_self() && n < PARI_MAX_WORDS)
            live[n++] = member;
    }
    if (n_live != NULL)
        *n_live = n;
    return all;
}

static par_time
soon(void)
{
    return PAR_TIME(pari_now_ns() + PATIENCE_NS);
}

int
par_queue_producer_join(par_queue *q)
{
    int result;

    if (pari_handle_check(q, PARI_QUEUE) != 0 || pari_queue_lock_put(q, soon()) != 0)
        return -1;
    result = pari_queue_is_closed(q) ? pari_fail(EPIPE) : pari_producer_register(q);
    pari_queue_unlock_put(q);
    return result;
}

int
par_queue_producer_leave(par_queue *q)
{
    struct pari_producer *p;

    if (pari_handle_check(q, PARI_QUEUE) != 0 || pari_queue_lock_put(q, soon()) != 0)
        return -1;
    p = q->n_producers > 0 ? find(q) : NULL;
    if (p != NULL && atomic_load(&p->member) != 0)
        atomic_store(&p->has_left, 1);
    if (pari_producer_all_gone(q, NULL, NULL))
        par_queue_close(q);
    pari_queue_unlock_put(q);
    return 0;
}
