/* SPDX-License-Identifier: MIT
 *
 * worker.c: the one loop that every worker runs, whatever its backend.
 *
 * Shared state: the worker's record, which only it writes, and the job it is in. It enters a pass by storing its number in
 * record->in and then looking again whether that pass is still open: the mapper closes the pass first and then waits until nobody
 * is in it, so one of the two sees the other (both sides seq_cst), and a job is never freed under a worker.
 * Lock order: none are taken.
 * If a process dies here: record->in, first, end and claim stay as they were. Items from `first` to the claim are good, unless their
 * status says otherwise. The claimed one is what the death costs, if it has no status and is none behind the end; those that follow
 * have none either and are handed out again. What the task had allocated is swept with the process, unless the item's status says
 * that it is good.
 */
#include "future.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PACE_NS 100000 /* a guided chunk is meant to take no longer: what is claimed is out of the others' reach */

_Thread_local struct pari_seat *pari_seat;

void
pari_pool_sleep(struct pari_eventcount *ec, uint32_t key, struct pari_nap *nap, const pari_member *peers, unsigned n_peers,
                par_time deadline)
{
    struct pari_word word = { &ec->word, key };

    if (pari_eventcount_wait(ec, key, nap, peers, n_peers, deadline) == 0 || errno != EINTR)
        return;
    if (pari_futex_wait(&word, 1, pari_slice_end(deadline, 10000000)) == 0) /* interrupted, but it must go on: at no CPU */
        (void)pari_eventcount_prepare(ec); /* others may still sleep behind the bit that the waker cleared */
}

/* ---- one item */

/* What the loop needs of a job, where no task can change it: copied once per chunk. A part that is missing has no pointer, and 0
 * for its size, so that the item's is NULL, too. */
struct plan {
    par_fn *fn;
    uintptr_t in, out;
    size_t in_size, out_size;
    void *ctx;
    _Atomic uint8_t *status;
    _Atomic uint64_t *done;
    uint64_t tag;
    bool has_strings, is_batch;
};

static int
have_no_code(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return par_task_fail(ENOEXEC, "the function is in a library that this worker has not loaded");
}

static par_fn *
fn_of(struct pari_seat *seat)
{
    const struct pari_job *job = seat->job;

    if (!seat->is_away)
        return job->fn;
    if (seat->fn == NULL || memcmp(&seat->code, &job->code, sizeof seat->code) != 0) {
        seat->code = job->code;
        seat->fn = (par_fn *)pari_code_find(&seat->code);
        if (seat->fn == NULL)
            seat->fn = have_no_code;
    }
    return seat->fn;
}

static struct plan
plan_of(struct pari_seat *seat)
{
    const struct pari_job *job = seat->job;
    bool has_strings = job->in_size == PAR_STRINGS;

    return (struct plan){
        .fn = fn_of(seat),
        .in = (uintptr_t)job->in,
        .in_size = has_strings ? sizeof(char *) : job->in_size,
        .out = (uintptr_t)job->out,
        .out_size = job->out_size,
        .ctx = seat->ctx,
        .status = job->status,
        .tag = job->tag,
        .has_strings = has_strings,
        .is_batch = job->is_batch,
        .done = job->is_task ? &seat->record->tasks : &seat->record->done,
    };
}

void
pari_seat_free_blocks(struct pari_seat *seat)
{
    while (seat->n_blocks > 0)
        (void)pari_heap_free(seat->block[--seat->n_blocks]); /* EINVAL: the task has freed it itself */
}

static void
give_blocks(struct pari_seat *seat)
{
    while (seat->n_blocks > 0) {
        void *block = seat->block[--seat->n_blocks];
        if (pari_heap_is_block(block))
            pari_heap_own(block, 0);
    }
}

static void
report_failure(struct pari_seat *seat, uint64_t item, int code)
{
    struct pari_job *job = seat->job;
    struct pari_failure *failure;
    uint64_t slot;

    if (atomic_load_explicit(&job->n_failures, memory_order_relaxed) >= job->max_failures) /* a shortcut past the shared add */
        return;
    slot = atomic_fetch_add(&job->n_failures, 1);
    if (slot >= job->max_failures)
        return;
    failure = &job->failure[slot];
    failure->index = item;
    failure->code = code;
    if (seat->text_claim == atomic_load_explicit(&seat->record->claim, memory_order_relaxed)) /* our own store */
        memcpy(failure->text, seat->text, sizeof failure->text);
    atomic_store_explicit(&failure->is_valid, 1, memory_order_release); /* partner: the mapper's list of failures */
}

/* To a counter of our own, which others read for progress only. */
static void
add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_release);
}

/* The rarer outcomes: a failure, or a result that consists of blocks of its own. */
static void
settle(struct pari_seat *seat, uint64_t item, int code)
{
    struct pari_worker *record = seat->record;
    _Atomic uint8_t *status = &seat->job->status[item];

    if (code == 0) {
        atomic_store_explicit(status, PARI_FINAL(PAR_OK), memory_order_release); /* the blocks are the caller's by this store */
        give_blocks(seat);
        return;
    }
    pari_seat_free_blocks(seat);
    report_failure(seat, item, code);
    if (!seat->job->is_task)
        add(&record->failed, 1);
    atomic_store_explicit(status, PARI_FINAL(PAR_FAILED), memory_order_release);
}

static uint64_t
pace_of(uint64_t n, int64_t ns)
{
    uint64_t pace = n * PACE_NS / (uint64_t)(ns > 0 ? ns : 1);

    return pace > 0 ? pace : 1;
}

/* Take a chunk and run it. False: there is none, or this worker may take no more. */
static bool
run_chunk(struct pari_seat *seat)
{
    const _Atomic uint64_t *done = &seat->record->done;
    uint64_t before = atomic_load_explicit(done, memory_order_relaxed), first, end; /* our own store */
    int64_t start;

    if (seat->n_left == 0 || !pari_job_take(seat->job, seat->n_left, seat->pace, &first, &end))
        return false;
    start = pari_now_ns();
    pari_worker_run_items(seat, first, end);
    seat->pace = pace_of(end - first, pari_now_ns() - start);
    seat->n_left -= atomic_load_explicit(done, memory_order_relaxed) - before; /* our own store */
    return true;
}

/* ---- items that lie behind each other: each is claimed before it is begun, by one store, and what comes before the claim is good. The
 * status bytes say so at the end, after a claim of what lies behind it; until then `first` and the claim do. */

/* The next items from *first on that have no outcome, up to *end. */
static bool
find_batch(const struct pari_seat *seat, const struct plan *plan, uint64_t *first, uint64_t *end)
{
    uint64_t limit = *end;

    if (!seat->job->is_repeat)
        return *first < limit;
    while (*first < limit && atomic_load_explicit(&plan->status[*first], memory_order_relaxed) != 0)
        ++*first;
    for (*end = *first; *end < limit && atomic_load_explicit(&plan->status[*end], memory_order_relaxed) == 0;)
        ++*end;
    return *first < limit;
}

/* Items first .. at - 1 are good. */
static void
finish_batch(struct pari_worker *record, const struct plan *plan, uint64_t first, uint64_t at)
{
    memset((uint8_t *)plan->status + first, PARI_FINAL(PAR_OK), (size_t)(at - first)); /* the mapper looks when we have left */
    atomic_store_explicit(&record->first, plan->tag | at,
                          memory_order_release); /* partner: done_since, not to count them twice */
    add(plan->done, at - first);
}

/* Again, with what has been said of it. */
static void
claim_last(struct pari_seat *seat, const struct plan *plan, uint64_t item)
{
    if (seat->text_claim == atomic_load_explicit(&seat->record->claim, memory_order_relaxed)) /* our own store */
        seat->text_claim = plan->tag | item;
    atomic_store_explicit(&seat->record->claim, plan->tag | item, memory_order_relaxed); /* read only after our death */
    atomic_signal_fence(memory_order_seq_cst);
}

/* By a task for each. 0: all are done, or no further one is to be begun, or the last one has blocks for its result. */
static __attribute__((noinline)) int /* or its loop has no registers to itself */
call_each(const struct pari_seat *seat, const struct plan *plan, uint64_t first, par_batch batch)
{
    uintptr_t in = plan->in + first * plan->in_size, out = plan->out + first * plan->out_size;

    for (size_t i = 0; par_batch_next(batch, i); i++) {
        const void *item = pari_unlikely(plan->has_strings) ? *(const void *const *)in : (const void *)in;
        int code = plan->fn(item, (void *)out, plan->ctx);
        if (pari_unlikely(code != 0 || seat->n_blocks != 0))
            return code;
        in += plan->in_size;
        out += plan->out_size;
    }
    return 0;
}

static int
call_batch(const struct plan *plan, uint64_t first, par_batch batch)
{
    par_batch_fn *fn = (par_batch_fn *)(void (*)(void))plan->fn;

    return fn((const void *)(plan->in + first * plan->in_size), (void *)(plan->out + first * plan->out_size), batch, plan->ctx);
}

/* Run some items from `first` on: where to go on. */
static uint64_t
run_batch(struct pari_seat *seat, const struct plan *plan, uint64_t first, uint64_t end)
{
    struct pari_worker *record = seat->record;
    const _Atomic uint32_t *stop = &seat->job->stop;
    par_batch batch = { (uint64_t *)&record->claim, (const uint32_t *)stop, plan->tag | first, (size_t)(end - first) };
    uint64_t claim, at;
    bool is_begun;
    int code;

    atomic_store_explicit(&record->first, plan->tag | first, memory_order_relaxed); /* these three are read after our death */
    atomic_store_explicit(&record->end, plan->tag | end, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the claim is between them */
    atomic_store_explicit(&record->claim, plan->tag | first, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    code = plan->is_batch ? call_batch(plan, first, batch) : call_each(seat, plan, first, batch);
    atomic_signal_fence(memory_order_seq_cst);
    claim = atomic_load_explicit(&record->claim, memory_order_relaxed); /* our own store */
    at = claim & PARI_ITEM_MASK;
    if (at < first || at > end)
        at = first; /* it has claimed what is not there */
    is_begun = at < end && (claim & PARI_CLAIM_STOPPED) == 0;
    if (code != 0 && !is_begun && at > first) { /* it has failed behind the last one that it had begun */
        claim_last(seat, plan, --at);
        is_begun = true;
    }
    finish_batch(record, plan, first, at);
    if (!is_begun)
        return at;
    settle(seat, at, code); /* failed, or good, since it wanted no further one */
    add(plan->done, 1);
    return at + 1;
}

void
pari_worker_run_items(struct pari_seat *seat, uint64_t first, uint64_t end)
{
    struct plan plan = plan_of(seat);

    pari_populate((void *)(plan.out + first * plan.out_size), (size_t)(end - first) * plan.out_size);
    for (uint64_t end_of_batch = end; find_batch(seat, &plan, &first, &end_of_batch); end_of_batch = end) {
        if (atomic_load_explicit(&seat->job->stop, memory_order_relaxed) != 0) /* an item sooner or later */
            return;
        first = run_batch(seat, &plan, first, end_of_batch);
    }
}

pari_seldom bool
pari_worker_settle(struct pari_worker *record, const struct pari_job *job, _Atomic uint8_t *status, uint64_t n,
                   uint64_t *claimed)
{
    uint64_t word = atomic_load(&record->claim), claim = (word & ~PARI_CLAIM_STOPPED) - job->tag,
             first = atomic_load(&record->first) - job->tag, end = atomic_load(&record->end) - job->tag;

    if (first > claim || claim > end || end > n) /* another job's, or none */
        return false;
    for (uint64_t i = first; i < claim; i++)
        if (atomic_load(&status[i]) == 0) {
            atomic_store(&status[i], PARI_FINAL(PAR_OK));
            atomic_fetch_add(job->is_task ? &record->tasks : &record->done, 1);
        }
    *claimed = claim;
    return claim < end && (word & PARI_CLAIM_STOPPED) == 0 && atomic_load(&status[claim]) == 0;
}

/* ---- the loop */

static bool
somebody_is_in(const par_pool *pool, uint64_t pass)
{
    for (unsigned i = 0; i < pool->n_workers; i++)
        if (atomic_load(&pool->worker[i].in) == pass)
            return true;
    return false;
}

/* The last one out tells the mapper: of two that leave at once, the later store sees both out. */
static void
leave(struct pari_seat *seat, uint64_t pass)
{
    atomic_store_explicit(&seat->record->claim, 0, memory_order_relaxed); /* before `in`, by program order and its release */
    atomic_store(&seat->record->in, 0);
    if (!somebody_is_in(seat->pool, pass))
        pari_eventcount_notify(&seat->pool->news.ec, INT_MAX);
}

static bool
enter(struct pari_seat *seat, uint64_t pass)
{
    atomic_store(&seat->record->in, pass);
    if (atomic_load(&seat->pool->pass) == pass)
        return true;
    leave(seat, pass);
    return false;
}

/* The pool has been made smaller: this worker is to leave. */
static bool
is_surplus(const struct pari_seat *seat)
{
    return seat->index >= atomic_load_explicit(&seat->pool->n_wanted, memory_order_relaxed); /* found sooner or later */
}

static bool
is_over(const par_pool *pool)
{
    uint32_t state = atomic_load(&pool->state);

    return state == PARI_POOL_TERMINATED ||
           (state == PARI_POOL_CLOSED && atomic_load(&pool->is_busy) == 0 && atomic_load(&pool->first_task) == NULL);
}

/* Who has just worked looks for more, for as long as a wake-up across processors takes. True: something has come. */
static bool
look_for_work(const struct pari_seat *seat, uint32_t key, struct pari_nap *nap)
{
    const par_pool *pool = seat->pool;
    bool may_look = pool->may_spin && seat->has_worked && !nap->has_spun;

    nap->has_spun = true;
    return may_look && pari_eventcount_look(&pool->work, key, PARI_WAKE_NS);
}

/* Sleep until a pass other than *pass opens, and enter it, or until there is a task, and take it. False: the pool is over. */
static bool
wait_for_work(struct pari_seat *seat, uint64_t *pass, struct par_future **task)
{
    par_pool *pool = seat->pool;
    pari_member creator = pool->handle.creator;
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&pool->work);
        uint64_t open = atomic_load(&pool->pass);
        if (is_over(pool) || is_surplus(seat) || (seat->is_process && pari_member_is_dead(creator)))
            return false;
        *task = NULL;
        if (open != 0 && open != *pass && enter(seat, open)) {
            *pass = open;
            return true;
        }
        if (atomic_load(&pool->first_task) != NULL && (*task = pari_task_take(seat)) != NULL)
            return true;
        if ((open == 0 || open == *pass) && !look_for_work(seat, key, &nap))
            pari_pool_sleep(&pool->work, key, &nap, &creator, seat->is_process ? 1 : 0, PAR_FOREVER);
    }
}

static void
work_on(struct pari_seat *seat)
{
    struct pari_job *job = atomic_load(&seat->pool->job);

    seat->job = job;
    seat->pace = 1; /* it might be the dearest of all */
    seat->text_claim = 0;
    seat->ctx = job->ctx ? job->ctx + seat->index * job->ctx_stride : NULL;
    while (atomic_load_explicit(&job->stop, memory_order_relaxed) == 0 && !is_surplus(seat) && run_chunk(seat))
        ;
    seat->job = NULL;
    seat->ctx = NULL;
    if (seat->is_process)
        (void)fflush(stdout); /* what the job printed comes out before its map returns; a broken stdout is the task's affair */
}

/* Before the worker says that it has done: what ends then is no death. */
static void
retire_if_due(struct pari_seat *seat)
{
    if (seat->n_left == 0 || is_surplus(seat))
        atomic_store(&seat->record->has_retired, 1);
}

static void
do_pass(struct pari_seat *seat, uint64_t pass)
{
    work_on(seat);
    retire_if_due(seat);
    leave(seat, pass);
}

static void
do_task(struct pari_seat *seat, struct par_future *task)
{
    pari_task_run(seat, task);
    if (seat->n_left != UINT64_MAX)
        seat->n_left -= seat->n_left < task->n ? seat->n_left : task->n;
    retire_if_due(seat);
    pari_task_end(seat->pool, task);
    pari_eventcount_notify(&seat->pool->news.ec, INT_MAX);
}

int
pari_worker_run(struct pari_seat *seat, int (*initializer)(void *arg, void **state), void *initarg)
{
    struct par_future *task;
    uint64_t pass = 0;
    int refusal;

    pari_seat = seat;
    seat->n_left = seat->pool->max_tasks;
    if (initializer != NULL && (refusal = initializer(initarg, &seat->state)) != 0) {
        atomic_store(&seat->record->refusal, refusal);
        return refusal;
    }
    atomic_store(&seat->record->phase, PARI_WORKER_READY);
    while (seat->n_left > 0 && wait_for_work(seat, &pass, &task)) {
        seat->has_worked = true;
        if (task != NULL)
            do_task(seat, task);
        else
            do_pass(seat, pass);
    }
    retire_if_due(seat);
    if (atomic_load(&seat->record->has_retired) != 0)
        pari_eventcount_notify(&seat->pool->news.ec, INT_MAX); /* another one is needed, or will be */
    return 0;
}
