/* SPDX-License-Identifier: MIT
 *
 * barrier.c: so many parties meet, again and again; a death among them is told, not waited for.
 *
 * Shared state, in the cell, under its mutex: parties, action, arg (constant), n_arrived (in the round count_of), `why` (why it is
 * broken, 0 if it is whole), party[] (who has come to this barrier so far, and in which round last; there is room for all that
 * wait, and a living one that does not wait makes room). `round` is also read without the mutex: it moves on,
 * by one store that ends the round for everybody, after failed_rounds says how (one bit per round, the last 64 of them). `change`
 * is an event count.
 * Lock order: the cell's mutex is the last one; the action is called without it.
 * If a process dies here: whoever arrives is entered in party[] before it is counted. The others watch party[] while they wait,
 * and break the round in which a party died, so that all get EOWNERDEAD. One that is no party can die in the middle of an abort:
 * `why` comes first, and who waits and sees it while the round goes on enters to end the round for it.
 */
#include <par/sync.h>

#include "../shm/shm.h"

#include <limits.h>

struct party {
    _Atomic pari_member member;
    uint64_t last; /* its last round, plus 1 */
};

struct barrier_state {
    int (*action)(void *arg);
    void *arg;
    uint32_t parties;
    uint32_t n_arrived; /* in the round count_of; none in any later one */
    uint32_t n_known;   /* entries of party[] */
    _Atomic int32_t why;
    uint64_t count_of;
    _Atomic uint64_t round;
    _Atomic uint64_t failed_rounds;
    struct pari_eventcount change;
};

static_assert(sizeof(struct barrier_state) <= sizeof((struct pari_cell *)0)->state, "fits the cell");

static struct barrier_state *
state_of(const struct pari_cell *cell)
{
    return (struct barrier_state *)(void *)((struct pari_cell *)(uintptr_t)cell)->state;
}

static struct party *
party_of(const struct pari_cell *cell)
{
    return (struct party *)atomic_load(&cell->attachment);
}

static struct pari_cell *
cell_of(const par_barrier *b)
{
    struct pari_cell *cell = pari_cell_look((const void *)b, PARI_CELL_BARRIER);

    return cell ? cell : pari_null(EINVAL); /* also when it was never initialised */
}

int
par_barrier_init(par_barrier *b, unsigned parties, int (*action)(void *arg), void *arg)
{
    struct pari_cell *cell;

    if (b == NULL || parties == 0 || parties > UINT16_MAX)
        return pari_fail(EINVAL);
    cell = pari_cell_make((_Atomic uint64_t *)b->word, PARI_CELL_BARRIER, parties * sizeof(struct party));
    if (cell == NULL)
        return -1;
    state_of(cell)->parties = parties;
    state_of(cell)->action = action;
    state_of(cell)->arg = arg;
    return pari_cell_publish(cell);
}

/* ---- under the mutex */

static uint32_t
n_waiting(const struct barrier_state *b)
{
    return b->count_of == atomic_load(&b->round) ? b->n_arrived : 0;
}

static int
count_in(struct barrier_state *b)
{
    uint32_t before = n_waiting(b);

    if (before == 0) {
        b->n_arrived = 0;
        atomic_signal_fence(memory_order_seq_cst); /* a count of an earlier round never shows in this one */
        b->count_of = atomic_load(&b->round);
    }
    b->n_arrived = before + 1;
    return (int)before;
}

/* Those who wait in this round learn that it failed; the barrier stays broken for `why`, or is whole again for 0. */
static void
fail_round(struct barrier_state *b, int why)
{
    uint64_t round = atomic_load(&b->round);

    atomic_store(&b->why, why);
    atomic_fetch_or(&b->failed_rounds, UINT64_C(1) << round % 64);
    atomic_store(&b->round, round + 1);
}

static void
complete_round(struct barrier_state *b)
{
    uint64_t round = atomic_load(&b->round);

    atomic_fetch_and(&b->failed_rounds, ~(UINT64_C(1) << round % 64));
    atomic_store(&b->round, round + 1);
}

static int
enter(struct pari_cell *cell)
{
    struct barrier_state *b = state_of(cell);
    int held = pari_mutex_enter(&cell->mutex);

    if (held == PARI_HELD_AFTER_DEATH) {
        if (atomic_load(&b->why) != 0 && n_waiting(b) > 0)
            fail_round(b, atomic_load(&b->why)); /* an abort that was cut off */
        pari_mutex_recovered(&cell->mutex);
        pari_eventcount_notify(&b->change, INT_MAX);
    }
    return held < 0 ? -1 : 0;
}

static void
leave(struct pari_cell *cell)
{
    (void)pari_mutex_unlock(&cell->mutex); /* held by this thread: cannot fail */
}

static bool
any_lives(const struct pari_cell *cell)
{
    for (uint32_t i = 0; i < state_of(cell)->n_known; i++)
        if (!pari_member_is_dead(atomic_load(&party_of(cell)[i].member)))
            return true;
    return false;
}

/* The caller's entry, a new one, or that of somebody who lives and does not wait. NULL: a dead one is in the way, and will be told. */
static struct party *
entry_for(struct pari_cell *cell, pari_member me)
{
    struct barrier_state *b = state_of(cell);
    struct party *party = party_of(cell), *idle = NULL;

    for (struct party *p = party; p < party + b->n_known; p++) {
        pari_member member = atomic_load(&p->member);
        if (member == me)
            return p;
        if (idle == NULL && p->last != atomic_load(&b->round) + 1 && !pari_member_is_dead(member))
            idle = p;
    }
    return b->n_known < b->parties ? &party[b->n_known] : idle;
}

/* Enter the caller's name. An empty barrier whose former parties have all ended belongs to a new set. */
static void
sign_in(struct pari_cell *cell, pari_member me)
{
    struct barrier_state *b = state_of(cell);
    struct party *own;

    if (n_waiting(b) == 0 && b->n_known > 0 && !any_lives(cell))
        b->n_known = 0;
    own = entry_for(cell, me);
    if (own == NULL)
        return;
    own->last = atomic_load(&b->round) + 1;
    atomic_store(&own->member, me);
    atomic_signal_fence(memory_order_seq_cst); /* the name, then its count */
    if (own == &party_of(cell)[b->n_known])
        b->n_known++;
}

static bool
a_party_died(const struct pari_cell *cell)
{
    for (uint32_t i = 0; i < state_of(cell)->n_known; i++)
        if (pari_member_is_dead(atomic_load(&party_of(cell)[i].member)))
            return true;
    return false;
}

/* ---- waiting */

static int
outcome(const struct barrier_state *b, uint64_t round, int index)
{
    int why = atomic_load(&b->why);

    if (!(atomic_load(&b->failed_rounds) >> round % 64 & 1))
        return index;
    return pari_fail(why == EOWNERDEAD ? EOWNERDEAD : ECANCELED);
}

/* Break the round this caller waits in, unless it has ended meanwhile. */
static int
break_round(struct pari_cell *cell, uint64_t round, int why)
{
    struct barrier_state *b = state_of(cell);

    if (enter(cell) != 0)
        return -1;
    if (atomic_load(&b->round) == round)
        fail_round(b, why);
    leave(cell);
    pari_eventcount_notify(&b->change, INT_MAX);
    return 0;
}

static unsigned
peers_of(const struct pari_cell *cell, pari_member *peers)
{
    unsigned n = state_of(cell)->n_known;

    if (n > PARI_MAX_WORDS - 1)
        n = PARI_MAX_WORDS - 1;
    for (unsigned i = 0; i < n; i++) {
        peers[i] = atomic_load(&party_of(cell)[i].member);
        if (peers[i] == pari_self())
            peers[i] = 0;
    }
    return n;
}

/* A broken barrier's round is about to end, unless the one that broke it died at that. */
static int
finish_abort(struct pari_cell *cell)
{
    if (enter(cell) != 0)
        return -1;
    leave(cell);
    return 0;
}

/* Until the round has ended; a dead party ends it. -1: ETIMEDOUT and the like, it has not ended yet. */
static int
see_round_end(struct pari_cell *cell, uint64_t round, par_time deadline)
{
    struct barrier_state *b = state_of(cell);
    pari_member peers[PARI_MAX_WORDS - 1];
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&b->change);
        if (atomic_load(&b->round) != round)
            return 0;
        if (a_party_died(cell)) {
            if (break_round(cell, round, EOWNERDEAD) != 0)
                return -1;
        } else if (atomic_load(&b->why) != 0) {
            if (finish_abort(cell) != 0)
                return -1;
        } else if (pari_eventcount_wait(&b->change, key, &nap, peers, peers_of(cell, peers), deadline) != 0)
            return -1;
    }
}

static int
wait_for_round(struct pari_cell *cell, uint64_t round, int index, par_time deadline)
{
    struct barrier_state *b = state_of(cell);
    int saved;

    if (see_round_end(cell, round, deadline) == 0)
        return outcome(b, round, index);
    saved = errno;
    if (break_round(cell, round, ECANCELED) != 0)
        return -1;
    return outcome(b, round, index) >= 0 ? index : pari_fail(errno == EOWNERDEAD ? EOWNERDEAD : saved);
}

/* The last one to arrive: the action, then everybody goes on. One that died while it waited has not come. */
static int
finish_round(struct pari_cell *cell, uint64_t round, int index)
{
    struct barrier_state *b = state_of(cell);
    bool has_died = a_party_died(cell), failed = !has_died && b->action != NULL && b->action(b->arg) != 0;

    if (enter(cell) != 0)
        return -1;
    if (atomic_load(&b->round) == round) {
        if (has_died || failed)
            fail_round(b, has_died ? EOWNERDEAD : ECANCELED);
        else
            complete_round(b);
    }
    leave(cell);
    pari_eventcount_notify(&b->change, INT_MAX);
    return outcome(b, round, index);
}

/* Count the caller in: its index in the round. -1 EAGAIN: all parties of this round are there, it ends in a moment. */
static int
arrive(struct pari_cell *cell, pari_member me, uint64_t *round)
{
    struct barrier_state *b = state_of(cell);
    int index;

    if (enter(cell) != 0)
        return -1;
    *round = atomic_load(&b->round);
    if (atomic_load(&b->why) != 0)
        index = pari_fail(atomic_load(&b->why));
    else if (n_waiting(b) >= b->parties)
        index = pari_fail(EAGAIN);
    else {
        sign_in(cell, me);
        index = count_in(b);
    }
    leave(cell);
    return index;
}

int
par_barrier_wait(par_barrier *barrier, par_time deadline)
{
    struct pari_cell *cell = cell_of(barrier);
    pari_member me = pari_self();
    uint64_t round = 0;
    int index;

    if (cell == NULL || me == 0)
        return -1;
    while ((index = arrive(cell, me, &round)) < 0)
        if (errno != EAGAIN || see_round_end(cell, round, deadline) != 0)
            return -1;
    return (uint32_t)index + 1 == state_of(cell)->parties ? finish_round(cell, round, index)
                                                          : wait_for_round(cell, round, index, deadline);
}

/* ---- the rest */

int
par_barrier_abort(par_barrier *barrier)
{
    struct pari_cell *cell = cell_of(barrier);

    if (cell == NULL || enter(cell) != 0)
        return -1;
    fail_round(state_of(cell), ECANCELED);
    leave(cell);
    pari_eventcount_notify(&state_of(cell)->change, INT_MAX);
    return 0;
}

int
par_barrier_reset(par_barrier *barrier)
{
    struct pari_cell *cell = cell_of(barrier);

    if (cell == NULL || enter(cell) != 0)
        return -1;
    fail_round(state_of(cell), 0);
    state_of(cell)->n_known = 0;
    leave(cell);
    pari_eventcount_notify(&state_of(cell)->change, INT_MAX);
    return 0;
}

int
par_barrier_n_waiting(const par_barrier *barrier)
{
    struct pari_cell *cell = cell_of(barrier);
    int n;

    if (cell == NULL || enter(cell) != 0)
        return -1;
    n = (int)n_waiting(state_of(cell));
    leave(cell);
    return n;
}

bool
par_barrier_broken(const par_barrier *barrier)
{
    const struct pari_cell *cell = cell_of(barrier);

    return cell != NULL && atomic_load(&state_of(cell)->why) != 0;
}
