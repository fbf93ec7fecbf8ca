/* SPDX-License-Identifier: MIT
 *
 * semaphore.c: a count of tokens that belongs to nobody; on request one that knows who holds its tokens.
 *
 * Shared state, in the cell: a plain semaphore's `value`, changed by CAS alone. A robust one's value, total and held[] (tokens by
 * slot of the holder) are changed under the cell's mutex; value == total - sum of held[] is derived. `more` is an event count.
 * If a process dies here: a CAS is whole or not. Under the mutex the commit is one store, of held[] or of total; the next one to
 * enter derives the value anew. A releaser that died before its notify is found by the waiters' slices. Tokens in held[] of the
 * dead go back when somebody finds no token left.
 */
#include <par/sync.h>

#include "../shm/shm.h"

#include <limits.h>

struct semaphore_state {
    _Atomic uint32_t value;
    uint32_t max;       /* constant */
    uint32_t is_robust; /* constant */
    uint32_t total;
    struct pari_eventcount more;
};

struct held { /* by one member; robust semaphores have one per slot */
    _Atomic pari_member member;
    _Atomic uint64_t n;
};

static_assert(sizeof(struct semaphore_state) <= sizeof((struct pari_cell *)0)->state, "fits the cell");

static struct semaphore_state *
state_of(const struct pari_cell *cell)
{
    return (struct semaphore_state *)(void *)((struct pari_cell *)(uintptr_t)cell)->state;
}

static struct held *
held_by_slot(const struct pari_cell *cell)
{
    return (struct held *)atomic_load(&cell->attachment);
}

int
par_semaphore_init(par_semaphore *s, unsigned value, const par_semaphore_opts *opts)
{
    unsigned max = opts && opts->max ? opts->max : INT_MAX;
    bool is_robust = opts && opts->robust;
    struct pari_cell *cell;

    if (s == NULL || max > INT_MAX || value > max)
        return pari_fail(EINVAL);
    cell = pari_cell_make((_Atomic uint64_t *)s->word, PARI_CELL_SEMAPHORE,
                          is_robust ? PARI_MAX_MEMBERS * sizeof(struct held) : 0);
    if (cell == NULL)
        return -1;
    atomic_store(&state_of(cell)->value, value);
    state_of(cell)->total = value;
    state_of(cell)->max = max;
    state_of(cell)->is_robust = is_robust;
    return pari_cell_publish(cell);
}

static unsigned
bound(const struct semaphore_state *s)
{
    return s->max ? s->max : INT_MAX; /* all zero: a semaphore that was never initialised */
}

/* ---- plain */

static bool
take_plain(struct semaphore_state *s)
{
    uint32_t value = atomic_load(&s->value);

    do
        if (value == 0)
            return false;
    while (!atomic_compare_exchange_weak(&s->value, &value, value - 1));
    return true;
}

static int
put_plain(struct semaphore_state *s, unsigned n)
{
    uint32_t value = atomic_load(&s->value);

    do
        if (n > bound(s) || value > bound(s) - n)
            return pari_fail(ERANGE);
    while (!atomic_compare_exchange_weak(&s->value, &value, value + n));
    return 0;
}

/* ---- robust */

static void
derive_value(struct pari_cell *cell)
{
    struct held *held = held_by_slot(cell);
    uint64_t sum = 0;

    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++)
        sum += atomic_load(&held[i].n);
    atomic_store(&state_of(cell)->value, sum < state_of(cell)->total ? (uint32_t)(state_of(cell)->total - sum) : 0);
}

static int
enter(struct pari_cell *cell)
{
    int entered = pari_mutex_enter(&cell->mutex);

    if (entered == PARI_HELD_AFTER_DEATH) {
        derive_value(cell);
        pari_mutex_recovered(&cell->mutex);
        pari_eventcount_notify(&state_of(cell)->more, INT_MAX);
    }
    return entered < 0 ? -1 : 0;
}

static void
leave(struct pari_cell *cell)
{
    (void)pari_mutex_unlock(&cell->mutex); /* held by this thread: cannot fail */
}

/* Take back what the dead hold; the living ones among the holders are listed as the peers to watch. */
static unsigned
survey(struct pari_cell *cell, pari_member *peers, unsigned max)
{
    struct held *held = held_by_slot(cell);
    unsigned n = 0;

    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++) {
        pari_member member = atomic_load(&held[i].member);
        if (atomic_load(&held[i].n) == 0)
            continue;
        if (pari_member_is_dead(member))
            atomic_store(&held[i].n, 0);
        else if (n < max)
            peers[n++] = member;
    }
    derive_value(cell);
    return n;
}

/* The caller's own account; what a dead predecessor in the slot held goes back first. */
static struct held *
account(struct pari_cell *cell, pari_member me)
{
    struct held *own = &held_by_slot(cell)[pari_slot_of(me)];

    if (atomic_load(&own->member) != me) {
        atomic_store(&own->n, 0);
        atomic_store(&own->member, me);
        derive_value(cell);
    }
    return own;
}

/* 1: took one. 0: none left; *n_peers holders are listed. */
static int
take_robust(struct pari_cell *cell, pari_member *peers, unsigned *n_peers)
{
    struct semaphore_state *s = state_of(cell);
    struct held *own;
    int taken;

    if (enter(cell) != 0)
        return -1;
    own = account(cell, pari_self());
    if (atomic_load(&s->value) == 0)
        *n_peers = survey(cell, peers, *n_peers);
    taken = atomic_load(&s->value) > 0;
    if (taken) {
        atomic_fetch_add(&own->n, 1); /* the commit */
        atomic_fetch_sub(&s->value, 1);
    }
    leave(cell);
    return taken;
}

static int
put_robust(struct pari_cell *cell, unsigned n)
{
    struct semaphore_state *s = state_of(cell);
    struct held *own;
    uint64_t back;
    int result = 0;

    if (enter(cell) != 0)
        return -1;
    own = account(cell, pari_self());
    back = atomic_load(&own->n) < n ? atomic_load(&own->n) : n;
    if (n > bound(s) || atomic_load(&s->value) > bound(s) - n)
        result = pari_fail(ERANGE);
    else {
        s->total += n - (uint32_t)back; /* tokens that this process never took are new */
        atomic_signal_fence(memory_order_seq_cst);
        atomic_fetch_sub(&own->n, back);
        atomic_fetch_add(&s->value, n);
    }
    leave(cell);
    return result;
}

/* ---- both */

static int
wait_for_token(struct pari_cell *cell, par_time deadline)
{
    struct semaphore_state *s = state_of(cell);
    pari_member peers[PARI_MAX_WORDS - 1];
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&s->more);
        unsigned n_peers = s->is_robust ? PARI_MAX_WORDS - 1 : 0;
        int taken = s->is_robust ? take_robust(cell, peers, &n_peers) : take_plain(s);
        if (taken != 0)
            return taken > 0 ? 0 : -1;
        if (pari_eventcount_wait(&s->more, key, &nap, peers, n_peers, deadline) != 0)
            return -1;
    }
}

int
par_semaphore_acquire(par_semaphore *semaphore, par_time deadline)
{
    struct pari_cell *cell = pari_cell_of((_Atomic uint64_t *)semaphore, PARI_CELL_SEMAPHORE);

    if (cell == NULL || pari_self() == 0)
        return -1;
    if (!state_of(cell)->is_robust && take_plain(state_of(cell)))
        return 0;
    return wait_for_token(cell, deadline);
}

int
par_semaphore_release(par_semaphore *semaphore, unsigned n)
{
    struct pari_cell *cell;
    int result;

    if (n == 0)
        return pari_fail(EINVAL);
    cell = pari_cell_of((_Atomic uint64_t *)semaphore, PARI_CELL_SEMAPHORE);
    if (cell == NULL)
        return -1;
    result = state_of(cell)->is_robust ? put_robust(cell, n) : put_plain(state_of(cell), n);
    if (result == 0)
        pari_eventcount_notify(&state_of(cell)->more, n < INT_MAX ? (int)n : INT_MAX);
    return result;
}

int
par_semaphore_value(const par_semaphore *semaphore)
{
    struct pari_cell *cell = pari_cell_look((const void *)semaphore, PARI_CELL_SEMAPHORE);

    if (cell == NULL)
        return errno == ENOENT ? 0 : -1;
    return (int)atomic_load(&state_of(cell)->value);
}
