/* SPDX-License-Identifier: MIT
 *
 * lock.c: lock and rlock: a robust mutex in a cell, with a mark for the dead.
 *
 * Shared state, in the cell: holder (pid), depth and the mark `dead` are written by the holder of the cell's mutex only.
 * Lock order: these are the user's locks; libpar takes its own after them, never the other way round.
 * If a process dies here: holder is set after the mutex is taken and cleared before it is released, so a holder found after a
 * death is one that died between acquire's return and release's call, and only then the data may be half-written. The mark keeps
 * the first such pid until it is cleared by par_lock_recover; each step may be repeated after a death in it.
 */
#include <par/sync.h>

#include "line.h"
#include "lock.h"

struct lock_state {
    _Atomic int32_t holder; /* pid; 0 outside acquire .. release. On the mutex's line, as the next one */
    uint32_t is_fair;
    _Atomic int32_t dead; /* the mark */
    uint32_t depth;       /* rlock */
    struct pari_line line;
};

static_assert(sizeof(struct lock_state) <= sizeof((struct pari_cell *)0)->state, "fits the cell");

static struct lock_state *
state_of(const struct pari_cell *cell)
{
    return (struct lock_state *)(void *)((struct pari_cell *)(uintptr_t)cell)->state;
}

/* ---- one acquire and one release for both kinds */

/* The mutex has just been taken after its holder's death. */
static void
mark_dead(struct pari_cell *cell)
{
    struct lock_state *lock = state_of(cell);
    int32_t holder = atomic_load_explicit(&lock->holder, memory_order_relaxed); /* ordered by the mutex */

    if (holder != 0 && atomic_load_explicit(&lock->dead, memory_order_relaxed) == 0)
        atomic_store_explicit(&lock->dead, holder, memory_order_relaxed); /* published by the mutex */
    atomic_signal_fence(memory_order_seq_cst); /* the mark is there before the mutex forgets the death */
    pari_mutex_recovered(&cell->mutex);
}

static int
take(struct pari_cell *cell, par_time deadline)
{
    int held = pari_mutex_lock(&cell->mutex, deadline);

    if (held < 0)
        return -1;
    if (pari_unlikely(held == PARI_HELD_AFTER_DEATH))
        mark_dead(cell);
    atomic_store_explicit(&state_of(cell)->holder, pari_self_pid(), memory_order_relaxed); /* read under the mutex */
    return 0;
}

static int
take_in_turn(struct pari_cell *cell, par_time deadline)
{
    struct pari_line *line = &state_of(cell)->line;
    uint64_t ticket;

    if (pari_mutex_is_mine(&cell->mutex))
        return pari_fail(EDEADLK);
    if (pari_line_enter(line, cell, &ticket, deadline) != 0)
        return -1;
    if (take(cell, deadline) != 0) {
        int saved = errno;
        pari_line_leave(line, cell, ticket);
        return pari_fail(saved);
    }
    atomic_store(&line->serving, ticket);
    return 0;
}

static int
acquire(struct pari_cell *cell, par_time deadline)
{
    if (pari_self() == 0)
        return -1;
    if (pari_unlikely(pari_locker.n_held >= PARI_MAX_HELD))
        return pari_fail(pari_mutex_is_mine(&cell->mutex) ? EDEADLK : ENOLCK);
    return pari_unlikely(state_of(cell)->is_fair) ? take_in_turn(cell, deadline) : take(cell, deadline);
}

static int
release(struct pari_cell *cell)
{
    struct lock_state *lock = state_of(cell);
    uint64_t ticket = 0;
    bool is_fair = lock->is_fair;

    if (!pari_mutex_is_mine(&cell->mutex))
        return pari_fail(EPERM);
    if (is_fair)
        ticket = atomic_load(&lock->line.serving);
    atomic_store_explicit(&lock->holder, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* a death from here on is not one inside the lock */
    (void)pari_mutex_unlock(&cell->mutex);     /* ours: cannot fail */
    if (is_fair)
        pari_line_leave(&lock->line, cell, ticket);
    return 0;
}

static pid_t
dead_owner(const struct pari_cell *cell)
{
    if (!pari_mutex_is_mine(&cell->mutex))
        return pari_fail(EPERM);
    return atomic_load_explicit(&state_of(cell)->dead, memory_order_relaxed); /* ours to read: we hold the mutex */
}

static int
recover(struct pari_cell *cell)
{
    if (!pari_mutex_is_mine(&cell->mutex))
        return pari_fail(EPERM);
    atomic_store_explicit(&state_of(cell)->dead, 0, memory_order_relaxed); /* ours to write: we hold the mutex */
    return 0;
}

/* For a release and its like: a link without a cell is a lock that nobody has ever taken. */
static inline struct pari_cell *
used_cell(const void *object, enum pari_cell_kind kind)
{
    struct pari_cell *cell = pari_cell_look(object, kind);

    if (pari_unlikely(cell == NULL) && errno == ENOENT)
        errno = EPERM;
    return cell;
}

static pari_seldom bool
is_locked(const void *object, enum pari_cell_kind kind)
{
    int saved = errno;
    struct pari_cell *cell = pari_cell_look(object, kind);

    if (cell == NULL && errno == ENOENT)
        errno = saved; /* nobody has ever taken it */
    return cell != NULL && pari_mutex_is_locked(&cell->mutex);
}

/* ---- lock */

pari_seldom int
par_lock_init(par_lock *lock, const par_lock_opts *opts)
{
    bool is_fair = opts != NULL && opts->fair;
    struct pari_cell *cell;

    if (lock == NULL)
        return pari_fail(EINVAL);
    cell = pari_cell_make((_Atomic uint64_t *)lock->word, PARI_CELL_LOCK, is_fair ? PARI_LINE_SIZE : 0);
    if (cell == NULL)
        return -1;
    if (is_fair) {
        pari_line_init(&state_of(cell)->line);
        state_of(cell)->is_fair = 1;
    }
    return pari_cell_publish(cell);
}

int
par_lock_acquire(par_lock *lock, par_time deadline)
{
    struct pari_cell *cell = pari_cell_of((_Atomic uint64_t *)lock, PARI_CELL_LOCK);

    return pari_likely(cell != NULL) ? acquire(cell, deadline) : -1;
}

int
par_lock_release(par_lock *lock)
{
    struct pari_cell *cell = used_cell(lock, PARI_CELL_LOCK);

    return pari_likely(cell != NULL) ? release(cell) : -1;
}

bool
par_lock_locked(const par_lock *lock)
{
    return is_locked(lock, PARI_CELL_LOCK);
}

pari_seldom pid_t
par_lock_dead_owner(const par_lock *lock)
{
    const struct pari_cell *cell = used_cell(lock, PARI_CELL_LOCK);

    return cell ? dead_owner(cell) : -1;
}

pari_seldom int
par_lock_recover(par_lock *lock)
{
    struct pari_cell *cell = used_cell(lock, PARI_CELL_LOCK);

    return cell ? recover(cell) : -1;
}

pari_seldom int
par_lock_in_line(const par_lock *lock)
{
    struct pari_cell *cell = pari_cell_look((const void *)lock, PARI_CELL_LOCK);

    if (cell == NULL || !state_of(cell)->is_fair)
        return pari_fail(EINVAL);
    return pari_line_length(&state_of(cell)->line, cell);
}

pari_seldom bool
pari_lock_is_mine(const par_lock *lock)
{
    const struct pari_cell *cell = used_cell(lock, PARI_CELL_LOCK);

    return cell != NULL && (pari_mutex_is_mine(&cell->mutex) || pari_fail(EPERM) == 0);
}

/* ---- rlock */

int
par_rlock_acquire(par_rlock *lock, par_time deadline)
{
    struct pari_cell *cell = pari_cell_of((_Atomic uint64_t *)lock, PARI_CELL_RLOCK);

    if (cell == NULL)
        return -1;
    if (pari_mutex_is_mine(&cell->mutex)) {
        if (state_of(cell)->depth == UINT32_MAX)
            return pari_fail(EOVERFLOW);
        state_of(cell)->depth++;
        return 0;
    }
    if (acquire(cell, deadline) != 0)
        return -1;
    state_of(cell)->depth = 1;
    return 0;
}

int
par_rlock_release(par_rlock *lock)
{
    struct pari_cell *cell = used_cell(lock, PARI_CELL_RLOCK);

    if (cell == NULL)
        return -1;
    if (!pari_mutex_is_mine(&cell->mutex))
        return pari_fail(EPERM);
    return --state_of(cell)->depth > 0 ? 0 : release(cell);
}

bool
par_rlock_locked(const par_rlock *lock)
{
    return is_locked(lock, PARI_CELL_RLOCK);
}

pari_seldom pid_t
par_rlock_dead_owner(const par_rlock *lock)
{
    const struct pari_cell *cell = used_cell(lock, PARI_CELL_RLOCK);

    return cell ? dead_owner(cell) : -1;
}

pari_seldom int
par_rlock_recover(par_rlock *lock)
{
    struct pari_cell *cell = used_cell(lock, PARI_CELL_RLOCK);

    return cell ? recover(cell) : -1;
}
