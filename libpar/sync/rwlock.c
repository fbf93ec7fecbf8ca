/* SPDX-License-Identifier: MIT
 *
 * rwlock.c: many readers or one writer. A reader touches nothing but its process's own count; a writer looks at all of them.
 *
 * Shared state, in the cell, under its mutex, which a writer holds all the time: holder (its pid, while it may write), the mark `dead`,
 * and which process has which entry of reader[]. Without the mutex: each entry's count, by its process alone; `writer`, set by a writer
 * before it looks at the counts. A reader counts itself and then looks at `writer`: one of the two sees the other. `drained` is an event
 * count on which a writer sleeps.
 * A process without an entry, because all are those of living ones, reads with the mutex in its hand.
 * Lock order: a user's lock, as in lock.c.
 * If a process dies here: a reader's count is void with it. A writer's mutex is marked by the kernel: who takes it next sets the mark
 * for a holder, clears `writer`, and only then forgets the death; each step may be repeated.
 */
#include <par/sync.h>

#include "../shm/shm.h"

#define STANDARD_READERS 64

struct reader { /* a process; a line of its own, which it alone changes */
    _Alignas(PARI_CACHE_LINE) _Atomic pari_member member;
    _Atomic uint32_t count;
};

struct rwlock_state {
    _Atomic uint32_t writer;
    _Atomic int32_t holder;
    _Atomic int32_t dead;
    uint32_t n_entries; /* constant, of reader[] */
    struct pari_eventcount drained;
};

static_assert(sizeof(struct rwlock_state) <= sizeof((struct pari_cell *)0)->state, "fits the cell");

static struct rwlock_state *
state_of(const struct pari_cell *cell)
{
    return (struct rwlock_state *)(void *)((struct pari_cell *)(uintptr_t)cell)->state;
}

static struct reader *
entry_of(const struct pari_cell *cell, unsigned i)
{
    return (struct reader *)atomic_load_explicit(&cell->attachment, memory_order_relaxed) + i % state_of(cell)->n_entries;
}

static int
make(par_rwlock *lock, unsigned n_entries)
{
    struct pari_cell *cell =
        pari_cell_make((_Atomic uint64_t *)lock->word, PARI_CELL_RWLOCK, n_entries * sizeof(struct reader));

    if (cell == NULL)
        return -1;
    state_of(cell)->n_entries = n_entries;
    return pari_cell_publish(cell);
}

pari_seldom int
par_rwlock_init(par_rwlock *lock, const par_rwlock_opts *opts)
{
    unsigned n_entries = opts != NULL && opts->readers != 0 ? opts->readers : STANDARD_READERS;

    if (lock == NULL || n_entries > PARI_MAX_MEMBERS)
        return pari_fail(EINVAL);
    return make(lock, n_entries);
}

/* Made on first use. */
static struct pari_cell *
cell_of(par_rwlock *lock)
{
    struct pari_cell *cell = pari_cell_look((const void *)lock, PARI_CELL_RWLOCK);

    if (pari_likely(cell != NULL) || errno != ENOENT)
        return cell;
    if (make(lock, STANDARD_READERS) != 0 && errno != EBUSY)
        return NULL;
    return pari_cell_look((const void *)lock, PARI_CELL_RWLOCK);
}

static struct pari_cell *
used_cell(const par_rwlock *lock)
{
    struct pari_cell *cell = pari_cell_look((const void *)lock, PARI_CELL_RWLOCK);

    if (cell == NULL && errno == ENOENT)
        errno = EPERM; /* nobody has ever taken it */
    return cell;
}

/* ---- the mutex */

/* It has just been taken after its holder's death. */
static void
mark_dead(struct pari_cell *cell)
{
    struct rwlock_state *lock = state_of(cell);
    int32_t holder = atomic_load(&lock->holder);

    if (holder != 0 && atomic_load(&lock->dead) == 0)
        atomic_store(&lock->dead, holder);
    atomic_store(&lock->holder, 0);
    atomic_store(&lock->writer, 0);
    pari_mutex_recovered(&cell->mutex);
}

static int
enter(struct pari_cell *cell, par_time deadline)
{
    int held;

    if (pari_unlikely(pari_locker.n_held >= PARI_MAX_HELD))
        return pari_fail(pari_mutex_is_mine(&cell->mutex) ? EDEADLK : ENOLCK);
    held = pari_mutex_lock(&cell->mutex, deadline);
    if (pari_unlikely(held == PARI_HELD_AFTER_DEATH))
        mark_dead(cell);
    return held < 0 ? -1 : 0;
}

static void
leave(struct pari_cell *cell)
{
    (void)pari_mutex_unlock(&cell->mutex); /* ours: cannot fail */
}

/* ---- readers */

/* This process's entry; NULL: it has none. */
static struct reader *
find(const struct pari_cell *cell, pari_member me)
{
    for (unsigned i = 0; i < state_of(cell)->n_entries; i++) {
        struct reader *reader = entry_of(cell, pari_slot_of(me) + i);
        pari_member member = atomic_load_explicit(&reader->member, memory_order_relaxed); /* ours does not change */
        if (pari_likely(member == me))
            return reader;
        if (member == 0)
            return NULL;
    }
    return NULL;
}

/* Under the mutex: the same, made if need be. NULL: all entries are those of living processes. */
static struct reader *
find_or_take(const struct pari_cell *cell, pari_member me)
{
    struct reader *reader = find(cell, me);

    for (unsigned i = 0; reader == NULL && i < state_of(cell)->n_entries; i++) {
        struct reader *candidate = entry_of(cell, pari_slot_of(me) + i);
        pari_member member = atomic_load(&candidate->member);
        if (member != 0 && !pari_member_is_dead(member))
            continue;
        atomic_store(&candidate->count, 0);
        atomic_store(&candidate->member, me);
        reader = candidate;
    }
    return reader;
}

static void
wake_writer(struct rwlock_state *lock)
{
    if (pari_unlikely(atomic_load(&lock->writer) != 0))
        pari_eventcount_notify(&lock->drained, 1);
}

/* False: there is a writer, or it is the first time. */
static bool
read_at_once(const struct pari_cell *cell, pari_member me)
{
    struct rwlock_state *lock = state_of(cell);
    struct reader *reader = find(cell, me);

    if (reader == NULL || atomic_load(&lock->writer) != 0)
        return false;
    atomic_fetch_add(&reader->count, 1);
    if (pari_likely(atomic_load(&lock->writer) == 0))
        return true;
    atomic_fetch_sub(&reader->count, 1);
    wake_writer(lock);
    return false;
}

int
par_rwlock_acquire_read(par_rwlock *lock, par_time deadline)
{
    struct pari_cell *cell = cell_of(lock);
    pari_member me = pari_self();
    struct reader *reader;

    if (cell == NULL || me == 0)
        return -1;
    if (pari_likely(read_at_once(cell, me)))
        return 0;
    if (enter(cell, deadline) != 0)
        return -1;
    reader = find_or_take(cell, me);
    if (reader == NULL)
        return 0; /* with the mutex in its hand */
    atomic_fetch_add(&reader->count, 1);
    leave(cell);
    return 0;
}

static int
release_read(struct pari_cell *cell)
{
    struct reader *reader = find(cell, pari_self());
    uint32_t count = reader != NULL ? atomic_load(&reader->count) : 0;

    do
        if (count == 0)
            return pari_fail(EPERM);
    while (!atomic_compare_exchange_weak(&reader->count, &count, count - 1));
    wake_writer(state_of(cell));
    return 0;
}

pari_seldom int
par_rwlock_readers(const par_rwlock *lock)
{
    struct pari_cell *cell = pari_cell_look((const void *)lock, PARI_CELL_RWLOCK);
    unsigned n = 0;

    if (cell == NULL)
        return errno == ENOENT ? 0 : -1;
    for (unsigned i = 0; i < state_of(cell)->n_entries; i++) {
        const struct reader *reader = entry_of(cell, i);
        if (atomic_load(&reader->count) > 0 && !pari_member_is_dead(atomic_load(&reader->member)))
            n += atomic_load(&reader->count);
    }
    return (int)n;
}

/* ---- the writer */

/* How many processes read; the first of them, whose death would be worth a look. */
static unsigned
list_readers(const struct pari_cell *cell, pari_member *peer, unsigned *n_peers)
{
    unsigned n = 0;

    *n_peers = 0;
    for (unsigned i = 0; i < state_of(cell)->n_entries; i++) {
        const struct reader *reader = entry_of(cell, i);
        pari_member member = atomic_load(&reader->member);
        if (atomic_load(&reader->count) == 0 || pari_member_is_dead(member))
            continue;
        n++;
        if (*n_peers < PARI_MAX_WORDS - 1)
            peer[(*n_peers)++] = member;
    }
    return n;
}

/* Until nobody reads. -1: ETIMEDOUT, EINTR. */
static pari_seldom int
drain(struct pari_cell *cell, par_time deadline)
{
    struct rwlock_state *lock = state_of(cell);
    struct pari_nap nap = { 0 };

    for (;;) {
        pari_member peer[PARI_MAX_WORDS];
        uint32_t key = pari_eventcount_prepare(&lock->drained);
        unsigned n_peers;
        if (list_readers(cell, peer, &n_peers) == 0)
            return 0;
        if (pari_eventcount_wait(&lock->drained, key, &nap, peer, n_peers, deadline) != 0)
            return -1;
    }
}

int
par_rwlock_acquire_write(par_rwlock *lock, par_time deadline)
{
    struct pari_cell *cell = cell_of(lock);

    if (cell == NULL || pari_self() == 0 || enter(cell, deadline) != 0)
        return -1;
    atomic_store(&state_of(cell)->writer, 1);
    if (drain(cell, deadline) != 0) {
        int error = errno;
        atomic_store(&state_of(cell)->writer, 0);
        leave(cell);
        return pari_fail(error);
    }
    atomic_store(&state_of(cell)->holder, pari_self_pid());
    return 0;
}

/* Or of a reader that has the mutex. */
static int
release_mutex(struct pari_cell *cell)
{
    atomic_store(&state_of(cell)->holder, 0); /* a death from here on is not one of a writer */
    atomic_store(&state_of(cell)->writer, 0);
    leave(cell);
    return 0;
}

int
par_rwlock_release(par_rwlock *lock)
{
    struct pari_cell *cell = used_cell(lock);

    if (cell == NULL)
        return -1;
    return pari_mutex_is_mine(&cell->mutex) ? release_mutex(cell) : release_read(cell);
}

/* ---- the mark */

static bool
is_held_here(const struct pari_cell *cell)
{
    const struct reader *reader = find(cell, pari_self());

    return pari_mutex_is_mine(&cell->mutex) || (reader != NULL && atomic_load(&reader->count) > 0);
}

pari_seldom pid_t
par_rwlock_dead_owner(const par_rwlock *lock)
{
    const struct pari_cell *cell = used_cell(lock);

    if (cell == NULL)
        return -1;
    return is_held_here(cell) ? atomic_load(&state_of(cell)->dead) : pari_fail(EPERM);
}

pari_seldom int
par_rwlock_recover(par_rwlock *lock)
{
    struct pari_cell *cell = used_cell(lock);

    if (cell == NULL)
        return -1;
    if (!pari_mutex_is_mine(&cell->mutex) || atomic_load(&state_of(cell)->holder) == 0)
        return pari_fail(EPERM);
    atomic_store(&state_of(cell)->dead, 0);
    return 0;
}
