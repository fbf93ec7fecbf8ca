/* SPDX-License-Identifier: MIT
 *
 * future.c: par_future, the public noun. See future.h for the shared state.
 */
#include "future.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TASK_TAG 0 /* of the claims on a task's items: who is with it says its state */

/* ---- memory */

static bool
is_call_due(const struct par_future *future)
{
    return future->callback != NULL && !future->is_called;
}

void
pari_future_enlist(struct par_future *future)
{
    struct pari_crew *crew = future->crew;

    future->after = crew->futures;
    if (future->after != NULL)
        future->after->prev = future;
    crew->futures = future;
    crew->n_futures++;
    crew->n_limited += future->limit != 0;
}

static void
delist(struct par_future *future)
{
    struct pari_crew *crew = future->crew;

    if (future->prev != NULL)
        future->prev->after = future->after;
    else if (crew->futures == future)
        crew->futures = future->after;
    if (future->after != NULL)
        future->after->prev = future->prev;
    crew->n_futures--;
    crew->n_limited -= future->limit != 0;
    crew->n_calls -= is_call_due(future);
}

void
pari_future_drop(struct par_future *future)
{
    if (future->crew != NULL)
        delist(future);
    if (future->job != NULL)
        (void)pari_heap_free(future->job); /* a live block of ours: cannot fail */
    pari_handle_free(future);
}

struct par_future *
pari_future_new(struct pari_crew *crew, const struct pari_request *request)
{
    struct par_future *future = pari_handle_new_private(PARI_FUTURE, sizeof *future);

    if (future == NULL)
        return NULL;
    future->job = pari_job_new(request, 1, crew->reach);
    if (future->job == NULL) {
        pari_handle_free(future);
        return NULL;
    }
    future->job->end = request->n;
    future->job->tag = pari_claim_tag(TASK_TAG);
    future->n = request->n;
    future->crew = crew;
    return future;
}

/* ---- handing it out */

static int
queue_it(struct par_future *future)
{
    par_pool *pool = future->crew->pool;
    bool is_open;

    if (pari_tasks_lock(pool) != 0)
        return -1;
    is_open = atomic_load(&pool->state) == PARI_POOL_OPEN;
    if (is_open) {
        pari_future_enlist(future);
        pari_line_push(pool, future, false); /* workers that see the end look at the line after the state */
    }
    pari_tasks_unlock(pool);
    if (!is_open)
        return pari_fail(EPIPE);
    pari_eventcount_notify(&pool->work, 1);
    return 0;
}

/* The serial backend: here and now. The crew is locked. */
static void
run_here(struct par_future *future)
{
    struct pari_seat *seat = future->crew->hand[0].seat, *before = pari_seat;

    pari_seat = seat;
    pari_task_run(seat, future);
    pari_seat = before;
    pari_task_end(future->crew->pool, future);
}

static int
run_serial(struct par_future *future)
{
    struct pari_crew *crew = future->crew;
    int result = -1;

    if (pari_crew_lock(crew, PAR_FOREVER) != 0)
        return -1;
    if (atomic_load(&crew->pool->state) != PARI_POOL_OPEN)
        errno = EPIPE;
    else if (pari_crew_man(crew) == 0 && pari_tasks_lock(crew->pool) == 0) {
        pari_future_enlist(future);
        pari_tasks_unlock(crew->pool);
        run_here(future);
        result = 0;
    }
    pari_crew_unlock(crew);
    return result;
}

int
pari_future_enqueue(struct par_future *future)
{
    struct pari_crew *crew = future->crew;

    if (crew->is_broken) {
        pari_say("%s is broken", crew->name);
        return pari_fail(ENOTRECOVERABLE);
    }
    return crew->backend == &pari_backend_serial ? run_serial(future) : queue_it(future);
}

static int
check_task(const struct pari_crew *crew, const struct pari_request *r, const par_task_opts *opts)
{
    if (r->fn == NULL || (r->in == NULL) != (r->in_size == 0) || (opts->ctx == NULL && opts->ctx_size > 0) ||
        !(opts->timeout >= 0))
        return pari_fail(EINVAL);
    if (r->in_size > PTRDIFF_MAX || r->out_size > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    if (crew->backend == &pari_backend_serial && pari_seat != NULL && pari_seat->pool == crew->pool)
        return pari_fail(EDEADLK);
    return atomic_load(&crew->pool->state) == PARI_POOL_OPEN ? 0 : pari_fail(EPIPE);
}

static int64_t
limit_of(const par_task_opts *opts)
{
    return opts->timeout > 0 && opts->timeout < 1e9 ? (int64_t)(opts->timeout * 1e9) + 1 : 0;
}

static par_future *
submit(struct pari_crew *crew, const struct pari_request *request, const par_task_opts *opts)
{
    par_future *future = pari_future_new(crew, request);

    if (future == NULL)
        return NULL;
    future->limit = limit_of(opts);
    future->retries = opts->retries;
    if ((future->limit == 0 || pari_desk_supervise(crew) == 0) && pari_future_enqueue(future) == 0)
        return future;
    future->crew = NULL; /* it was not enlisted */
    pari_future_drop(future);
    return NULL;
}

par_future *
par_pool_submit_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, size_t out_size, const par_task_opts *opts)
{
    static const par_task_opts defaults;
    struct pari_request request = { .fn = fn, .in = in, .in_size = in_size, .out_size = out_size, .n = 1, .is_task = true };
    struct pari_crew *crew = pari_crew_of(pool);
    par_future *future;
    int cancel;

    if (opts == NULL)
        opts = &defaults;
    if (crew == NULL || check_task(crew, &request, opts) != 0)
        return NULL;
    request.opts.ctx = opts->ctx;
    request.opts.ctx_size = opts->ctx_size;
    cancel = pari_cancel_off();
    future = submit(crew, &request, opts);
    pari_cancel_restore(cancel);
    return future;
}

/* ---- what has become of it */

static bool
has_ended(const struct par_future *future)
{
    return pari_task_state(future) == PARI_TASK_ENDED;
}

static int
check_mine(const struct par_future *future)
{
    return pari_handle_check_mine(future, PARI_FUTURE);
}

int
pari_future_check(const struct par_future *future)
{
    if (check_mine(future) != 0)
        return -1;
    if (has_ended(future))
        return 0;
    if (pari_seat != NULL && pari_seat->pool == future->crew->pool)
        return pari_fail(EDEADLK);
    return pari_desk_is_supervisor(future->crew) ? pari_fail(EDEADLK) : 0;
}

/* The report of a worker on an item that failed, or ours on one that was lost; NULL. */
static const struct pari_failure *
find_failure(const struct pari_job *job, uint64_t item, int state)
{
    uint64_t n = atomic_load(&job->n_failures);

    for (uint64_t i = n < job->max_failures ? n : job->max_failures; i-- > 0;) { /* the last word on it */
        const struct pari_failure *failure = &job->failure[i];
        if (atomic_load(&failure->is_valid) != 0 && failure->index == item && (failure->pid == 0 || state != PAR_FAILED))
            return failure;
    }
    return NULL;
}

static int
state_of_late(const struct par_future *future)
{
    return future->is_unwanted ? PAR_CANCELLED : PAR_TIMED_OUT;
}

par_status
pari_future_item(const struct par_future *future, uint64_t item)
{
    uint8_t final = atomic_load(&future->job->status[item]);
    par_status status = { .index = (size_t)item, .state = final != 0 ? final - 1 : PAR_CANCELLED, .tries = future->tries };
    const struct pari_failure *failure = find_failure(future->job, item, status.state);

    if (status.state == PAR_OK || status.state == PAR_FAILED)
        status.tries++;
    if (pari_task_is_late(future) && status.state != state_of_late(future)) { /* it ended before its worker did */
        status.state = state_of_late(future);
        (void)snprintf(status.text, sizeof status.text, "%s", future->is_unwanted ? PARI_UNWANTED_TEXT : PARI_LATE_TEXT);
        return status;
    }
    if (status.state == PAR_OK || failure == NULL)
        return status;
    status.code = failure->code;
    status.signal = failure->signal;
    status.pid = failure->pid;
    if (status.state != PAR_FAILED)
        status.tries = failure->tries;
    memcpy(status.text, failure->text, sizeof status.text - 1);
    if (status.text[0] == '\0')
        (void)snprintf(status.text, sizeof status.text, "returned %d", status.code);
    return status;
}

int
par_future_done(par_future *future)
{
    return check_mine(future) == 0 ? has_ended(future) : -1;
}

int
par_future_status(par_future *future, par_status *status)
{
    if (check_mine(future) != 0)
        return -1;
    if (status == NULL)
        return pari_fail(EINVAL);
    if (!has_ended(future))
        return pari_fail(EBUSY);
    if (future->job != NULL)
        *status = pari_future_item(future, 0);
    else {
        *status = (par_status){ .state = future->result == 0 ? PAR_OK : PAR_FAILED, .code = (int)future->result };
        (void)snprintf(status->text, sizeof status->text, "%s", future->result == 0 ? "" : "not all items are good");
    }
    return 0;
}

static int
error_of_state(int state, int before)
{
    switch (state) {
    case PAR_LOST: return ECHILD;
    case PAR_TIMED_OUT: return ETIMEDOUT;
    case PAR_CANCELLED: return ECANCELED;
    case PAR_UNRUN: return ENOTRECOVERABLE;
    default: return before;
    }
}

static ssize_t
result_of_map(const struct par_future *future, int before)
{
    errno = future->error != 0 ? future->error : before;
    return future->result;
}

static ssize_t
result_of_task(const struct par_future *future, void *out, int before)
{
    par_status status = pari_future_item(future, 0);

    errno = error_of_state(status.state, before);
    if (status.state != PAR_OK) {
        pari_say("%s", status.text);
        return 1;
    }
    if (out != NULL && future->job->out_size > 0)
        memcpy(out, future->job->out, future->job->out_size);
    return 0;
}

ssize_t
par_future_get(par_future *future, void *out, par_time deadline)
{
    int before = errno;

    if (par_future_wait(&future, 1, PAR_ALL, deadline) < 0)
        return -1;
    return future->job == NULL ? result_of_map(future, before) : result_of_task(future, out, before);
}

/* ---- waiting */

struct pari_word
pari_future_prepare(const struct par_future *future)
{
    struct pari_eventcount *news = future->crew != NULL ? &future->crew->pool->news.ec : NULL;

    if (news == NULL)
        return (struct pari_word){ NULL, 0 };
    return (struct pari_word){ &news->word, pari_eventcount_prepare(news) };
}

int
par_future_fileno(par_future *future)
{
    struct pari_belled *news;
    int fd, cancel;

    if (pari_future_check(future) != 0)
        return -1;
    if (future->crew == NULL)
        return pari_fail(EPIPE);
    news = &future->crew->pool->news;
    cancel = pari_cancel_off();
    fd = pari_bell_fd(news);
    if (fd >= 0) {
        (void)pari_bell_drain(news);
        (void)pari_eventcount_prepare(&news->ec); /* what comes from now on rings */
        pari_desk_visit(future->crew);
    }
    pari_cancel_restore(cancel);
    return fd;
}

static bool
is_bad(const struct par_future *future)
{
    return has_ended(future) && (future->job == NULL ? future->result != 0 : pari_future_item(future, 0).state != PAR_OK);
}

/* All valid, mine, and of one pool, whose crew is stored unless all have ended. */
static int
check_all(par_future *const *future, size_t n, struct pari_crew **crew)
{
    *crew = NULL;
    for (size_t i = 0; i < n; i++) {
        if (future[i] == NULL)
            continue;
        if (pari_future_check(future[i]) != 0)
            return -1;
        if (has_ended(future[i]))
            continue;
        if (*crew != NULL && *crew != future[i]->crew)
            return pari_fail(EINVAL);
        *crew = future[i]->crew;
    }
    return 0;
}

static size_t
count_ended(par_future *const *future, size_t n, bool *has_bad, size_t *n_there)
{
    size_t n_ended = 0;

    *has_bad = false;
    *n_there = 0;
    for (size_t i = 0; i < n; i++)
        if (future[i] != NULL) {
            bool ended = has_ended(future[i]);
            n_ended += ended;
            *has_bad = *has_bad || (ended && is_bad(future[i]));
            ++*n_there;
        }
    return n_ended;
}

static ssize_t
wait_for(struct pari_crew *crew, par_future *const *future, size_t n, enum par_when when, par_time deadline)
{
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = crew ? pari_eventcount_prepare(&crew->pool->news.ec) : 0;
        bool has_bad;
        size_t n_there, n_ended = count_ended(future, n, &has_bad, &n_there);
        if (n_ended == n_there || (when == PAR_FIRST && n_ended > 0) || (when == PAR_FIRST_BAD && has_bad))
            return (ssize_t)n_ended;
        if (pari_desk_wait(crew, key, &nap, deadline) != 0)
            return -1;
    }
}

ssize_t
par_future_wait(par_future *const *future, size_t n, enum par_when when, par_time deadline)
{
    struct pari_crew *crew;
    ssize_t result;
    int cancel;

    if ((future == NULL && n > 0) || when < PAR_FIRST || when > PAR_ALL)
        return pari_fail(EINVAL);
    if (n == 1 && future[0] == NULL)
        return pari_fail(EINVAL);
    if (check_all(future, n, &crew) != 0)
        return -1;
    cancel = pari_cancel_off();
    result = wait_for(crew, future, n, when, deadline);
    pari_cancel_restore(cancel);
    return result;
}

par_future *
par_future_next(par_future **future, size_t n, par_time deadline)
{
    par_future *first = NULL;
    size_t at = 0;
    bool is_empty = true;

    for (size_t i = 0; future != NULL && i < n; i++)
        is_empty = is_empty && future[i] == NULL;
    if (is_empty)
        return pari_null(ENOENT);
    if (par_future_wait(future, n, PAR_FIRST, deadline) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (future[i] != NULL && has_ended(future[i]) &&
            (first == NULL || atomic_load(&future[i]->ended) < atomic_load(&first->ended))) {
            first = future[i];
            at = i;
        }
    future[at] = NULL;
    return first;
}

/* ---- its end before its time */

static int
cancel_locked(struct par_future *future)
{
    struct pari_job *job = future->job;

    if (job == NULL)
        return pari_fail(EALREADY);
    if (has_ended(future))
        return pari_future_item(future, 0).state == PAR_CANCELLED ? 0 : pari_fail(EALREADY);
    if (!pari_line_remove(future->crew->pool, future))
        return pari_fail(EALREADY);
    pari_desk_end(future->crew, future, PAR_CANCELLED, "cancelled before it ran");
    return 0;
}

/* End it so, under the line's lock, and tell those who wait: what `end` says. The pool may be gone: then there is no lock. */
static int
end_by(struct par_future *future, int (*end)(struct par_future *future))
{
    struct pari_crew *crew;
    int result;

    if (check_mine(future) != 0)
        return -1;
    crew = future->crew;
    if (crew == NULL)
        return end(future);
    if (pari_tasks_lock(crew->pool) != 0)
        return -1;
    result = end(future);
    pari_tasks_unlock(crew->pool);
    if (result >= 0)
        pari_eventcount_notify(&crew->pool->news.ec, INT_MAX);
    return result;
}

int
par_future_cancel(par_future *future)
{
    return end_by(future, cancel_locked);
}

/* As if its time were over: 1, and it is due. */
static int
terminate_locked(struct par_future *future)
{
    if (cancel_locked(future) == 0)
        return 0;
    if (future->job == NULL || has_ended(future))
        return -1;
    future->is_unwanted = true;
    future->crew->n_limited += future->limit == 0;
    future->limit = 1;
    return 1;
}

int
par_future_terminate(par_future *future)
{
    int saved = errno, result = end_by(future, terminate_locked);

    if (result < 0)
        return -1;
    if (result == 1)
        pari_desk_visit(future->crew);
    errno = saved;
    return 0;
}

/* The line's lock is held. */
static void
free_locked(struct par_future *future)
{
    struct pari_crew *crew = future->crew;

    (void)cancel_locked(future); /* EALREADY */
    if (has_ended(future)) {
        pari_future_drop(future);
        return;
    }
    crew->n_calls -= is_call_due(future);
    future->callback = NULL;
    future->is_dropped = true;
    crew->n_dropped++;
}

void
par_future_free(par_future *future)
{
    int saved = errno;
    struct pari_crew *crew;

    if (future != NULL && check_mine(future) == 0 && (future->job != NULL || has_ended(future))) {
        crew = future->crew;
        if (crew == NULL)
            pari_future_drop(future);
        else if (pari_tasks_lock(crew->pool) == 0) {
            free_locked(future);
            pari_tasks_unlock(crew->pool);
        }
    }
    errno = saved;
}

/* True: it is to be called now. */
static bool
set_callback(struct par_future *future, void (*callback)(par_future *, void *), void *arg)
{
    if (has_ended(future))
        return true;
    future->crew->n_calls += !is_call_due(future);
    future->callback = callback;
    future->callback_arg = arg;
    future->is_called = false;
    return false;
}

int
par_future_on_done(par_future *future, void (*callback)(par_future *future, void *arg), void *arg)
{
    struct pari_crew *crew;
    bool is_due = true;

    if (check_mine(future) != 0)
        return -1;
    if (callback == NULL)
        return pari_fail(EINVAL);
    crew = future->crew;
    if (crew != NULL && !has_ended(future)) {
        if (pari_desk_supervise(crew) != 0 || pari_tasks_lock(crew->pool) != 0)
            return -1;
        is_due = set_callback(future, callback, arg);
        pari_tasks_unlock(crew->pool);
    }
    if (is_due)
        callback(future, arg);
    return 0;
}
