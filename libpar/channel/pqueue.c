/* SPDX-License-Identifier: MIT
 *
 * pqueue.c: a queue with an order of its own, and leases.
 *
 * Shared state: the shelf, under the one lock; is_closed, set once, without it.
 * Lock order: the lock, then the registry (is a holder dead?).
 * If a process dies here: the next one to have the lock derives the shelf anew from the states of its places, and wakes everybody,
 * since the dead may have changed one without waking. A holder's death is looked for by those who find nothing, and by each call at
 * one more place, so that what is on lease comes back also where there is always something else.
 */
#include "queue.h"
#include "shelf.h"

#include <par/pqueue.h>

#define STANDARD_ITEM 256
#define STANDARD_PLACES 1024
#define LOOKS 2      /* at places, for a dead holder, in each call */
#define SPIN_NS 2000 /* that an item is looked for before the sleep */

struct par_pqueue {
    struct pari_handle handle;
    _Atomic uint64_t link; /* the cell of the lock */
    struct pari_mutex *lock;
    _Atomic uint32_t is_closed;
    struct pari_belled readable;
    struct pari_eventcount writable;
    _Alignas(PARI_CACHE_LINE) struct pari_shelf shelf;
};

/* ---- life */

static par_pqueue *
make(uint64_t n_places, uint64_t item_size, int order)
{
    size_t behind, size;
    struct pari_cell *cell;
    par_pqueue *q;

    if (!pari_shelf_size(n_places, item_size, &behind) || __builtin_add_overflow(behind, sizeof *q, &size))
        return pari_null(EOVERFLOW);
    q = pari_handle_new_private(PARI_PQUEUE, size);
    if (q == NULL)
        return NULL;
    cell = pari_cell_of(&q->link, PARI_CELL_QUEUE);
    if (cell == NULL) {
        pari_handle_free(q);
        return NULL;
    }
    q->lock = &cell->mutex;
    pari_shelf_init(&q->shelf, (unsigned char *)(q + 1), n_places, item_size, order);
    return q;
}

par_pqueue *
par_pqueue_new(const par_pqueue_opts *opts)
{
    static const par_pqueue_opts defaults;
    par_pqueue *q;

    if (opts == NULL)
        opts = &defaults;
    if (opts->order < PAR_LOWEST_FIRST || opts->order > PAR_FIRST_FIRST)
        return pari_null(EINVAL);
    q = make(opts->maxsize != 0 ? opts->maxsize : STANDARD_PLACES, opts->item_size != 0 ? opts->item_size : STANDARD_ITEM,
             opts->order);
    if (q != NULL)
        pari_heap_own(q, 0);
    return q;
}

void
par_pqueue_free(par_pqueue *q)
{
    int saved = errno;

    if (pari_handle_check_mine(q, PARI_PQUEUE) == 0) {
        par_pqueue_close(q);
        pari_bell_close(&q->readable);
        pari_handle_free(q);
    }
    errno = saved;
}

static void
wake_all(par_pqueue *q)
{
    pari_eventcount_notify(&q->readable.ec, INT32_MAX);
    pari_eventcount_notify(&q->writable, INT32_MAX);
}

void
par_pqueue_close(par_pqueue *q)
{
    int saved = errno;

    if (pari_handle_check(q, PARI_PQUEUE) == 0) {
        atomic_store(&q->is_closed, 1);
        wake_all(q);
    }
    errno = saved;
}

int
par_pqueue_fileno(par_pqueue *q)
{
    return pari_handle_check(q, PARI_PQUEUE) == 0 ? pari_bell_fd(&q->readable) : -1;
}

/* ---- the lock */

static int
lock(par_pqueue *q, par_time deadline)
{
    int held = pari_side_lock(q->lock, deadline);

    if (pari_unlikely(held == PARI_HELD_AFTER_DEATH)) {
        pari_shelf_derive(&q->shelf);
        pari_mutex_recovered(q->lock);
        wake_all(q);
    }
    return held < 0 ? -1 : 0;
}

static void
unlock(par_pqueue *q)
{
    (void)pari_mutex_unlock(q->lock); /* held by this thread: cannot fail */
}

/* ---- putting */

static int
check_put(const par_pqueue *q, const void *data, size_t size)
{
    if (pari_handle_check(q, PARI_PQUEUE) != 0)
        return -1;
    if (data == NULL && size > 0)
        return pari_fail(EINVAL);
    return size <= q->shelf.item_size ? 0 : pari_fail(EMSGSIZE);
}

/* 1: it is in; 0: there is no place; -1. */
static int
try_put(par_pqueue *q, const void *data, size_t size, int64_t priority, par_time deadline)
{
    bool is_in, is_closed;

    if (lock(q, deadline) != 0)
        return -1;
    is_closed = atomic_load(&q->is_closed) != 0;
    is_in = !is_closed && pari_shelf_put(&q->shelf, data, size, priority);
    unlock(q);
    if (is_in)
        pari_eventcount_notify(&q->readable.ec, 1);
    return is_closed ? pari_fail(EPIPE) : is_in;
}

int
par_pqueue_put(par_pqueue *q, const void *data, size_t size, int64_t priority, par_time deadline)
{
    struct pari_nap nap = { 0 };
    int put;

    if (check_put(q, data, size) != 0)
        return -1;
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&q->writable);

        put = try_put(q, data, size, priority, deadline);
        if (put != 0)
            return put == 1 ? 0 : -1;
        if (pari_eventcount_wait(&q->writable, key, &nap, NULL, 0, deadline) != 0)
            return -1;
    }
}

/* ---- getting */

/* What a get wants, and what it finds. */
struct want {
    void *buf;
    size_t size;
    par_lease *lease; /* NULL: the item is to leave */
    ssize_t length;
    pari_member peers[PARI_MAX_WORDS - 1]; /* nothing is there: whose death may change that */
    unsigned n_peers;
};

static void
write_lease(const par_pqueue *q, const struct pari_place *place, par_lease *lease)
{
    lease->number = place->number;
    lease->place = (size_t)((const unsigned char *)place - q->shelf.places) / q->shelf.stride;
    lease->priority = place->priority;
    lease->deliveries = pari_place_deliveries(place) + 1;
    lease->lost_pid = place->lost_pid;
}

/* Under the lock: the first item, copied before it goes. -1 EMSGSIZE. */
static int
remove_first(par_pqueue *q, const struct pari_place *place, struct want *want)
{
    if (place->size > want->size)
        return pari_fail(EMSGSIZE);
    if (place->size > 0)
        memcpy(want->buf, place->bytes, place->size);
    want->length = (ssize_t)place->size;
    if (want->lease == NULL) {
        pari_shelf_take(&q->shelf);
        return 0;
    }
    write_lease(q, place, want->lease);
    pari_shelf_lend(&q->shelf, pari_self());
    return 0;
}

/* 1: got; 0: nothing is there; -1. */
static int
try_get(par_pqueue *q, struct want *want, par_time deadline)
{
    const struct pari_place *first;
    unsigned n_back;
    int got = 0;

    if (lock(q, deadline) != 0)
        return -1;
    n_back = pari_shelf_sweep(&q->shelf, LOOKS);
    if (pari_shelf_first(&q->shelf) == NULL)
        n_back += pari_shelf_sweep(&q->shelf, q->shelf.n_places);
    first = pari_shelf_first(&q->shelf);
    if (first != NULL)
        got = remove_first(q, first, want) == 0 ? 1 : -1;
    else if (atomic_load(&q->is_closed) != 0 && atomic_load(&q->shelf.n_leased) == 0)
        got = pari_fail(EPIPE);
    want->n_peers = got == 0 ? pari_shelf_holders(&q->shelf, want->peers, PARI_MAX_WORDS - 1) : 0;
    unlock(q);
    if (n_back > 1)
        pari_eventcount_notify(&q->readable.ec, (int)n_back - 1);
    if (got == 1 && want->lease == NULL)
        pari_eventcount_notify(&q->writable, 1);
    return got;
}

static bool
looks_empty(const par_pqueue *q)
{
    return atomic_load_explicit(&q->shelf.n_waiting, memory_order_relaxed) == 0; /* a hint */
}

/* A consumer that looks on from afar for a moment lets some items come together, and leaves the lock to those who put them. */
static void
look_for_item(const par_pqueue *q)
{
    int64_t end = looks_empty(q) && pari_ring_may_spin() ? pari_now_ns() + SPIN_NS : 0;

    while (looks_empty(q) && pari_now_ns() < end)
        for (int i = 0; i < PARI_LOOKS; i++)
            pari_cpu_relax();
}

static ssize_t
get(par_pqueue *q, void *buf, size_t size, par_lease *lease, par_time deadline)
{
    struct want want = { .buf = buf, .size = size, .lease = lease };
    struct pari_nap nap = { 0 };

    if (pari_handle_check(q, PARI_PQUEUE) != 0)
        return -1;
    if (buf == NULL && size > 0)
        return pari_fail(EINVAL);
    for (;;) {
        uint32_t key;
        int got;

        if (pari_is_over(deadline))
            (void)pari_bell_drain(&q->readable);
        else
            look_for_item(q);
        key = pari_eventcount_prepare(&q->readable.ec);
        got = try_get(q, &want, deadline);
        if (got != 0)
            return got == 1 ? want.length : -1;
        if (pari_eventcount_wait(&q->readable.ec, key, &nap, want.peers, want.n_peers, deadline) != 0)
            return -1;
    }
}

ssize_t
par_pqueue_get(par_pqueue *q, void *buf, size_t size, par_time deadline)
{
    return get(q, buf, size, NULL, deadline);
}

ssize_t
par_pqueue_lease(par_pqueue *q, void *buf, size_t size, par_lease *lease, par_time deadline)
{
    return lease != NULL ? get(q, buf, size, lease, deadline) : pari_fail(EINVAL);
}

/* ---- what is on lease */

/* Under the lock. NULL: ENOENT, EPERM. */
static struct pari_place *
leased_place(const par_pqueue *q, const par_lease *lease)
{
    struct pari_place *place = lease->place < q->shelf.n_places ? pari_shelf_at(&q->shelf, lease->place) : NULL;

    if (place == NULL || pari_place_state(place) != PARI_PLACE_LEASED || place->number != lease->number ||
        pari_place_deliveries(place) != lease->deliveries)
        return pari_null(ENOENT);
    return place->holder == pari_self() ? place : pari_null(EPERM);
}

static int
end_lease(par_pqueue *q, const par_lease *lease, void (*end)(struct pari_shelf *shelf, struct pari_place *place),
          par_time deadline)
{
    struct pari_place *place;

    if (pari_handle_check(q, PARI_PQUEUE) != 0)
        return -1;
    if (lease == NULL)
        return pari_fail(EINVAL);
    if (lock(q, deadline) != 0)
        return -1;
    place = leased_place(q, lease);
    if (place != NULL)
        end(&q->shelf, place);
    unlock(q);
    return place != NULL ? 0 : -1;
}

/* A closed queue ends with the last lease. */
int
par_pqueue_ack(par_pqueue *q, const par_lease *lease, par_time deadline)
{
    if (end_lease(q, lease, pari_shelf_drop, deadline) != 0)
        return -1;
    pari_eventcount_notify(&q->writable, 1);
    if (atomic_load(&q->is_closed) != 0)
        pari_eventcount_notify(&q->readable.ec, INT32_MAX);
    return 0;
}

int
par_pqueue_nack(par_pqueue *q, const par_lease *lease, par_time deadline)
{
    if (end_lease(q, lease, pari_shelf_return, deadline) != 0)
        return -1;
    pari_eventcount_notify(&q->readable.ec, 1);
    return 0;
}

/* ---- how many */

ssize_t
par_pqueue_qsize(const par_pqueue *q)
{
    return pari_handle_check(q, PARI_PQUEUE) == 0 ? (ssize_t)atomic_load(&q->shelf.n_waiting) : -1;
}

ssize_t
par_pqueue_leased(const par_pqueue *q)
{
    return pari_handle_check(q, PARI_PQUEUE) == 0 ? (ssize_t)atomic_load(&q->shelf.n_leased) : -1;
}
