/* SPDX-License-Identifier: MIT
 *
 * account.c: which process got how many messages and did how many tasks, so that a join ends also when a consumer was killed.
 *
 * Shared state: an account belongs to a process (a slot and its generation). n_got changes under get_lock with the removal of
 * a message, n_done by task_done without a lock. An account is closed, which adds it to the queue's totals, when its process
 * is found dead by a join, or when the slot's next process needs it. All is finished when the sum of what is done, closed
 * accounts and lost messages included, has reached the number of puts; the sum is taken before that number, so that a put in
 * between cannot hide an older message.
 * Lock order: get_lock, then the heap's; put_lock alone.
 * If a process dies here: with the removal of a message, the ring's record tells what n_got becomes; while an account is
 * closed, q->closing tells what the totals become. Both are absolute values, so redoing them twice is right, too.
 */
#include "queue.h"

static_assert(sizeof(struct pari_account) == PARI_CACHE_LINE, "consumers do not share lines");

static struct pari_account *
account_at(const par_queue *q, unsigned slot)
{
    unsigned i = slot / PARI_ACCOUNTS_PER_CHUNK;

    if (atomic_load_explicit(&q->has_chunk[i], memory_order_acquire) == 0) /* partner: add_chunk */
        return NULL;
    return &q->chunk[i][slot % PARI_ACCOUNTS_PER_CHUNK];
}

static pari_member
member_of(const struct pari_account *a)
{
    return atomic_load_explicit(&a->member, memory_order_acquire); /* partner: open_account */
}

static uint64_t
outstanding(const struct pari_account *a)
{
    uint64_t done = atomic_load(&a->n_done), got = atomic_load(&a->n_got);

    return got > done ? got - done : 0;
}

/* ---- opening and closing, under get_lock */

/* The chunk is the maker's until its byte says that it is the queue's. */
static int
add_chunk(par_queue *q, unsigned i)
{
    int state = pari_cancel_off();
    struct pari_account *chunk = pari_heap_alloc(PARI_ACCOUNTS_PER_CHUNK, sizeof *chunk, pari_self());

    pari_cancel_restore(state);
    if (chunk == NULL)
        return -1;
    pari_heap_fate(chunk, &q->has_chunk[i], 1);
    q->chunk[i] = chunk;
    atomic_store_explicit(&q->has_chunk[i], 1, memory_order_release); /* partner: account_at */
    return 0;
}

static void
settle(par_queue *q)
{
    struct pari_account *a = q->closing.account;

    if (a == NULL)
        return;
    q->n_done_closed = q->closing.n_done;
    q->n_lost = q->closing.n_lost;
    atomic_store(&a->n_got, 0);
    atomic_store(&a->n_done, 0);
    atomic_store(&a->member, 0);
    atomic_signal_fence(memory_order_seq_cst); /* all of it before the record forgets it */
    q->closing.account = NULL;
}

static void
close_account(par_queue *q, struct pari_account *a)
{
    uint64_t lost = outstanding(a);

    if (lost > 0)
        q->lost_pid = a->pid;
    if (q->ring.get.note == a)
        q->ring.get.note = NULL; /* that removal is counted; a repair must not count it for the next one here */
    q->closing.n_done = q->n_done_closed + atomic_load(&a->n_done);
    q->closing.n_lost = q->n_lost + lost;
    atomic_signal_fence(memory_order_seq_cst); /* the values before they count */
    q->closing.account = a;
    atomic_signal_fence(memory_order_seq_cst); /* and they count before they are used */
    settle(q);
}

static void
open_account(par_queue *q, struct pari_account *a)
{
    if (member_of(a) != 0) /* an earlier process in this slot: dead */
        close_account(q, a);
    a->pid = pari_self_pid();
    atomic_store_explicit(&a->member, pari_self(), memory_order_release); /* partner: member_of */
}

struct pari_account *
pari_account_mine(par_queue *q)
{
    unsigned slot = pari_slot_of(pari_self());
    struct pari_account *a = account_at(q, slot);

    if (pari_unlikely(a == NULL)) {
        if (add_chunk(q, slot / PARI_ACCOUNTS_PER_CHUNK) != 0)
            return NULL;
        a = account_at(q, slot);
    }
    if (pari_unlikely(member_of(a) != pari_self()))
        open_account(q, a);
    return a;
}

/* One of the queue's: what a record names is written by others. */
static bool
is_account(const par_queue *q, const struct pari_account *a)
{
    for (unsigned slot = 0; slot < PARI_MAX_MEMBERS; slot += PARI_ACCOUNTS_PER_CHUNK) {
        uintptr_t offset = (uintptr_t)a - (uintptr_t)account_at(q, slot);
        if (account_at(q, slot) != NULL && offset < PARI_ACCOUNTS_PER_CHUNK * sizeof *a && offset % sizeof *a == 0)
            return true;
    }
    return false;
}

void
pari_account_repair(par_queue *q, bool was_removed)
{
    struct pari_account *a = q->ring.get.note;

    if (was_removed && is_account(q, a))
        atomic_store(&a->n_got, a->n_got_next);
    if (is_account(q, q->closing.account))
        settle(q);
    q->closing.account = NULL;
}

void
pari_account_free_all(par_queue *q)
{
    for (unsigned i = 0; i < PARI_ACCOUNT_CHUNKS; i++)
        if (atomic_load(&q->has_chunk[i]) != 0)
            (void)pari_heap_free(q->chunk[i]); /* a block of ours, freed once */
}

/* ---- task_done */

/* Is this the moment to look whether all is finished? The last of several consumers to be done sees what the others did: each
 * has a seq_cst change of its n_done behind it. */
static bool
may_be_finished(const par_queue *q, const struct pari_account *a)
{
    return outstanding(a) == 0 && atomic_load(&q->ring.n_out) >= atomic_load(&q->ring.n_in);
}

int
par_queue_task_done(par_queue *q)
{
    struct pari_account *a;
    uint64_t done;

    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    a = account_at(q, pari_slot_of(pari_self()));
    if (a == NULL || member_of(a) != pari_self())
        return pari_fail(ERANGE);
    done = atomic_load(&a->n_done);
    do
        if (done >= atomic_load(&a->n_got))
            return pari_fail(ERANGE);
    while (!atomic_compare_exchange_weak(&a->n_done, &done, done + 1));
    if (may_be_finished(q, a))
        pari_eventcount_notify(&q->finished, INT32_MAX);
    return 0;
}

/* ---- join */

struct survey {
    uint64_t n_finished;
    pari_member live[PARI_MAX_WORDS]; /* consumers with work: their death matters */
    unsigned n_live;
};

static void
survey_account(par_queue *q, struct pari_account *a, struct survey *s)
{
    pari_member member = member_of(a);

    if (member == 0)
        return;
    if (outstanding(a) > 0) {
        if (pari_member_is_dead(member)) {
            close_account(q, a);
            return;
        }
        if (member != pari_self() && s->n_live < PARI_MAX_WORDS)
            s->live[s->n_live++] = member;
    }
    s->n_finished += atomic_load(&a->n_done);
}

/* Under get_lock. */
static void
survey_all(par_queue *q, struct survey *s)
{
    s->n_finished = 0;
    s->n_live = 0;
    for (unsigned slot = 0; slot < PARI_MAX_MEMBERS; slot++) {
        struct pari_account *a = account_at(q, slot);
        if (a == NULL)
            slot |= PARI_ACCOUNTS_PER_CHUNK - 1; /* none in this chunk */
        else
            survey_account(q, a, s);
    }
    s->n_finished += q->n_done_closed + q->n_lost;
}

/* Messages lost and not yet told of. Under get_lock. */
static ssize_t
tell_lost(par_queue *q)
{
    ssize_t lost = (ssize_t)(q->n_lost - q->n_lost_told);

    if (lost > 0)
        pari_say("%zd of the queue's messages: their consumer, process %d, died before it was done with them", lost,
                 (int)q->lost_pid);
    q->n_lost_told = q->n_lost;
    return lost;
}

/* 1: all is finished, *lost is what join returns; 0: not yet; -1: ETIMEDOUT, EINTR, ENOTRECOVERABLE. */
static int
look_if_finished(par_queue *q, struct survey *s, ssize_t *lost, par_time deadline)
{
    bool is_finished;

    if (pari_queue_lock_get(q, deadline) != 0)
        return -1;
    survey_all(q, s);
    pari_queue_unlock_get(q);
    if (pari_queue_lock_put(q, deadline) != 0)
        return -1;
    is_finished = s->n_finished >= atomic_load(&q->ring.n_in);
    pari_queue_unlock_put(q);
    if (!is_finished)
        return 0;
    if (pari_queue_lock_get(q, deadline) != 0)
        return -1;
    *lost = tell_lost(q);
    pari_queue_unlock_get(q);
    return 1;
}

ssize_t
par_queue_join(par_queue *q, par_time deadline)
{
    struct pari_nap nap = { 0 };
    struct survey s;
    ssize_t lost;

    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : pari_eventcount_prepare(&q->finished);
        int finished = look_if_finished(q, &s, &lost, deadline);
        if (finished != 0)
            return finished == 1 ? lost : -1;
        if (is_over)
            return pari_fail(ETIMEDOUT);
        if (pari_eventcount_wait(&q->finished, key, &nap, s.live, s.n_live, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}
