/* SPDX-License-Identifier: MIT
 *
 * condition.c: wait for a change of what a lock protects.
 *
 * A notify hands out tokens: at most as many as there are waiters without one. A token may be taken by any waiter that was there
 * when it was handed out, so that a late comer cannot steal the wake-up of one that came before.
 *
 * Shared state, in the cell, under its mutex: arrivals (number of the next waiter), n_waiting, n_tokens, horizon (waiters with a
 * number below it may take a token). `change` is an event count.
 * Lock order: the user's lock, then the cell's mutex.
 * If a process dies here: a dead waiter leaves n_waiting too high, so a later notify may hand out a token too many, and some wait
 * ends without a notify: allowed, since a wait stands in a loop. No wake-up is lost: a token that a dead one did not take is there
 * for the others, whose slices find it.
 */
#include <par/sync.h>

#include "../shm/shm.h"
#include "lock.h"

#include <limits.h>

struct condition_state {
    uint64_t arrivals;
    uint64_t horizon;
    uint32_t n_waiting;
    uint32_t n_tokens;
    _Atomic uintptr_t lock; /* the par_lock its waiters use */
    struct pari_eventcount change;
};

static_assert(sizeof(struct condition_state) <= sizeof((struct pari_cell *)0)->state, "fits the cell");

static struct condition_state *
state_of(struct pari_cell *cell)
{
    return (struct condition_state *)(void *)cell->state;
}

static struct pari_cell *
cell_of(par_condition *c)
{
    return pari_cell_of((_Atomic uint64_t *)c, PARI_CELL_CONDITION);
}

static int
enter(struct pari_cell *cell)
{
    struct condition_state *c = state_of(cell);
    int held = pari_mutex_enter(&cell->mutex);

    if (held == PARI_HELD_AFTER_DEATH) {
        if (c->n_tokens > c->n_waiting)
            c->n_tokens = c->n_waiting;
        pari_mutex_recovered(&cell->mutex);
        pari_eventcount_notify(&c->change, INT_MAX); /* the dead may have handed out without waking */
    }
    return held < 0 ? -1 : 0;
}

static void
leave(struct pari_cell *cell)
{
    (void)pari_mutex_unlock(&cell->mutex); /* held by this thread: cannot fail */
}

static int
arrive(struct pari_cell *cell, par_lock *lock, uint64_t *number)
{
    struct condition_state *c = state_of(cell);

    if (enter(cell) != 0)
        return -1;
    atomic_store(&c->lock, (uintptr_t)lock);
    *number = c->arrivals++;
    c->n_waiting++;
    leave(cell);
    return 0;
}

/* 1: took a token. 0: there is none for this number. */
static int
take_token(struct pari_cell *cell, uint64_t number, bool is_leaving)
{
    struct condition_state *c = state_of(cell);
    int taken;

    if (enter(cell) != 0)
        return -1;
    taken = c->n_tokens > 0 && number < c->horizon;
    c->n_tokens -= (uint32_t)taken;
    if ((taken || is_leaving) && c->n_waiting > 0)
        c->n_waiting--;
    leave(cell);
    return taken;
}

static int
wait_for_token(struct pari_cell *cell, uint64_t number, par_time deadline)
{
    struct condition_state *c = state_of(cell);
    struct pari_nap nap = { 0 };
    int taken;

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&c->change);
        taken = take_token(cell, number, false);
        if (taken != 0)
            return taken > 0 ? 0 : -1;
        if (pari_eventcount_wait(&c->change, key, &nap, NULL, 0, deadline) != 0) {
            int saved = errno;
            return take_token(cell, number, true) > 0 ? 0 : pari_fail(saved);
        }
    }
}

/* Hold the lock again, whatever the deadline and par_interrupt say, and however long the line of a fair lock is. */
static int
take_back(par_lock *lock)
{
    static const _Atomic uint32_t never;
    struct pari_nap nap = { 0 };
    int result;

    pari_interrupt_mask(+1);
    while ((result = par_lock_acquire(lock, PAR_FOREVER)) != 0 && errno == EAGAIN)
        (void)pari_nap(&nap, &never, 0, NULL, 0, PAR_FOREVER); /* no deadline, no interruption: cannot fail */
    pari_interrupt_mask(-1);
    return result;
}

int
par_condition_wait(par_condition *c, par_lock *lock, par_time deadline)
{
    struct pari_cell *cell;
    uint64_t number;
    int result, saved;

    if (!pari_lock_is_mine(lock))
        return -1;
    cell = cell_of(c);
    if (cell == NULL || arrive(cell, lock, &number) != 0)
        return -1;
    (void)par_lock_release(lock); /* ours: cannot fail */
    result = wait_for_token(cell, number, deadline);
    saved = errno;
    if (take_back(lock) != 0) {
        saved = errno;
        result = -1;
    }
    errno = saved;
    return result;
}

int
par_condition_wait_for(par_condition *c, par_lock *lock, bool (*is_true)(void *arg), void *arg, par_time deadline)
{
    if (is_true == NULL)
        return pari_fail(EINVAL);
    if (!pari_lock_is_mine(lock))
        return -1;
    while (!is_true(arg))
        if (par_condition_wait(c, lock, deadline) != 0)
            return errno != ETIMEDOUT ? -1 : is_true(arg) ? 0 : pari_fail(ETIMEDOUT);
    return 0;
}

int
par_condition_notify(par_condition *condition, unsigned n)
{
    struct pari_cell *cell = cell_of(condition);
    struct condition_state *c;
    uint32_t without, woken;
    par_lock *lock;

    if (cell == NULL)
        return -1;
    c = state_of(cell);
    lock = (par_lock *)atomic_load(&c->lock);
    if (lock != NULL && !pari_lock_is_mine(lock))
        return -1;
    if (enter(cell) != 0)
        return -1;
    without = c->n_waiting - c->n_tokens;
    woken = n < without ? n : without;
    c->horizon = c->arrivals;
    c->n_tokens += woken;
    leave(cell);
    /* Tokens of an earlier notify may lie there still, so that the kernel's first sleepers need not be the ones they are for. */
    if (woken > 0)
        pari_eventcount_notify(&c->change, INT_MAX);
    return 0;
}

int
par_condition_notify_all(par_condition *c)
{
    return par_condition_notify(c, UINT_MAX);
}
