/* SPDX-License-Identifier: MIT
 *
 * desk.c: a pool's futures from its creator's side. See future.h for the shared state.
 *
 * Who waits for a future attends to the pool meanwhile: buries and replaces workers, ends what is too late. One thread does so at a
 * time, under the crew's lock; another one that waits sleeps, and takes over within a slice. With a supervisor it is that thread.
 * Lock order: crew->lock, then pool->task_lock. Callbacks run under neither.
 */
#include "future.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct pari_supervisor {
    pthread_t thread;
    _Atomic uint32_t is_dismissed;
    _Atomic uint32_t has_ended;
};

/* ---- outcomes that no worker can write */

/* Item `item` will have no result. The next one of the task is tried for the first time. */
static void
settle(struct par_future *task, uint64_t item, int state, const struct pari_end *end, const char *text)
{
    struct pari_job *job = task->job;
    uint64_t slot = atomic_fetch_add(&job->n_failures, 1);

    if (slot < job->max_failures) {
        struct pari_failure *failure = &job->failure[slot];
        failure->index = item;
        failure->code = end->code;
        failure->signal = end->code < 0 && end->code != PAR_EXIT_UNKNOWN ? -end->code : 0;
        failure->pid = end->pid;
        failure->tries = task->tries;
        (void)snprintf(failure->text, sizeof failure->text, "%s", text);
        atomic_store(&failure->is_valid, 1);
    }
    task->tries = 0;
    atomic_store(&job->status[item], PARI_FINAL(state));
}

void
pari_desk_end(struct pari_crew *crew, struct par_future *task, int state, const char *text)
{
    static const struct pari_end nobody;

    for (uint64_t i = 0; i < task->n; i++)
        if (atomic_load(&task->job->status[i]) == 0)
            settle(task, i, state, &nobody, text);
    pari_task_end(crew->pool, task);
}

static bool
is_whole(const struct par_future *task)
{
    return memchr((const void *)task->job->status, 0, task->n) == NULL;
}

/* ---- deaths */

static void
lose_item(struct pari_crew *crew, unsigned index, struct par_future *task, uint64_t item, const struct pari_end *end,
          const char *text)
{
    bool was_killed = crew->hand[index].is_killed;

    task->tries++;
    if (task->is_unwanted)
        settle(task, item, PAR_CANCELLED, end, PARI_UNWANTED_TEXT);
    else if (was_killed && pari_task_is_late(task))
        settle(task, item, PAR_TIMED_OUT, end, PARI_LATE_TEXT);
    else if (atomic_load(&crew->pool->state) == PARI_POOL_TERMINATED)
        settle(task, item, PAR_CANCELLED, end, "the pool was terminated");
    else if (was_killed) /* for the task before it, which ended just then */
        task->tries--;
    else if (task->tries > task->retries)
        settle(task, item, PAR_LOST, end, text);
}

/* The one that the dead was with. */
static struct par_future *
find_task(struct pari_crew *crew, unsigned index)
{
    struct par_future *task = crew->futures;

    while (task != NULL && (task->job == NULL || !pari_task_is_with(task, index)))
        task = task->after;
    return task;
}

static bool
lose_locked(struct pari_crew *crew, unsigned index, const struct pari_end *end, const char *text)
{
    struct par_future *task = find_task(crew, index);
    uint64_t item;

    if (task == NULL)
        return false;
    if (pari_worker_settle(&crew->pool->worker[index], task->job, task->job->status, task->n, &item))
        lose_item(crew, index, task, item, end, text);
    if (is_whole(task) || task->is_dropped)
        pari_task_end(crew->pool, task);
    else {
        task->job->is_repeat = true;
        atomic_store(&task->job->stop, 0);
        pari_line_push(crew->pool, task, true);
    }
    return true;
}

void
pari_desk_lose(struct pari_crew *crew, unsigned index, const struct pari_end *end, const char *text)
{
    bool has_lost;

    if (pari_tasks_lock(crew->pool) != 0)
        return;
    has_lost = lose_locked(crew, index, end, text);
    pari_tasks_unlock(crew->pool);
    if (has_lost) {
        pari_eventcount_notify(&crew->pool->work, INT_MAX);
        pari_eventcount_notify(&crew->pool->news.ec, INT_MAX);
    }
}

void
pari_desk_cancel_all(struct pari_crew *crew, int state, const char *text)
{
    par_pool *pool = crew->pool;
    struct par_future *task;

    if (atomic_load(&pool->first_task) == NULL || pari_tasks_lock(pool) != 0)
        return;
    while ((task = atomic_load(&pool->first_task)) != NULL) {
        (void)pari_line_remove(pool, task);
        pari_desk_end(crew, task, state, text);
    }
    pari_tasks_unlock(pool);
    pari_eventcount_notify(&pool->news.ec, INT_MAX);
}

/* ---- time limits */

static bool
is_running_with_limit(const struct par_future *task)
{
    return task->limit != 0 && pari_task_state(task) == PARI_TASK_RUNNING;
}

int64_t
pari_desk_next_limit(struct pari_crew *crew)
{
    int64_t next = 0;

    if (crew->n_limited == 0 || pari_tasks_lock(crew->pool) != 0)
        return 0;
    for (struct par_future *task = crew->futures; task != NULL; task = task->after)
        if (is_running_with_limit(task) && !pari_task_is_late(task)) {
            int64_t at = atomic_load(&task->begun) + task->limit;
            next = next == 0 || at < next ? at : next;
        }
    pari_tasks_unlock(crew->pool);
    return next;
}

/* Its worker is killed; on threads the task is asked to return, by par_task_cancelled. */
static void
make_late(struct pari_crew *crew, struct par_future *task)
{
    uint64_t state = atomic_load(&task->state);
    unsigned index = (unsigned)((state & ~PARI_TASK_LATE) >> 8);

    if ((state & 0xff) != PARI_TASK_RUNNING || !atomic_compare_exchange_strong(&task->state, &state, state | PARI_TASK_LATE))
        return; /* it has just ended */
    atomic_store(&task->job->stop, 1);
    if (index < crew->pool->n_workers && crew->hand[index].is_running && pari_task_is_with(task, index)) {
        crew->hand[index].is_killed = crew->hand[index].child != NULL;
        crew->backend->end(crew, index, SIGKILL);
    }
}

void
pari_desk_expire(struct pari_crew *crew)
{
    int64_t now = pari_now_ns();

    if (crew->n_limited == 0 || pari_tasks_lock(crew->pool) != 0)
        return;
    for (struct par_future *task = crew->futures; task != NULL; task = task->after)
        if (is_running_with_limit(task) && !pari_task_is_late(task) && now >= atomic_load(&task->begun) + task->limit)
            make_late(crew, task);
    pari_tasks_unlock(crew->pool);
}

/* ---- attending */

/* Those that were freed while they ran. */
static void
free_dropped(struct pari_crew *crew)
{
    if (crew->n_dropped == 0 || pari_tasks_lock(crew->pool) != 0)
        return;
    for (struct par_future *task = crew->futures, *next; task != NULL; task = next) {
        next = task->after;
        if (task->is_dropped && pari_task_state(task) == PARI_TASK_ENDED) {
            crew->n_dropped--;
            pari_future_drop(task);
        }
    }
    pari_tasks_unlock(crew->pool);
}

void
pari_desk_attend(struct pari_crew *crew)
{
    uint32_t state = atomic_load(&crew->pool->state);
    unsigned n_live = pari_crew_bury(crew);

    pari_desk_expire(crew);
    if (state == PARI_POOL_TERMINATED)
        pari_desk_cancel_all(crew, PAR_CANCELLED, "the pool was terminated");
    else if (crew->is_broken)
        pari_desk_cancel_all(crew, PAR_UNRUN, crew->reason);
    else if (n_live < atomic_load(&crew->pool->n_wanted) &&
             (state == PARI_POOL_OPEN || atomic_load(&crew->pool->first_task) != NULL))
        (void)pari_crew_fill(crew); /* or the next time */
    free_dropped(crew);
}

static par_time
wake_time(struct pari_crew *crew, par_time deadline)
{
    int64_t limit = pari_desk_next_limit(crew);

    return limit != 0 && (deadline.ns == 0 || limit < deadline.ns) ? PAR_TIME(limit) : deadline;
}

/* Unless another thread is at it. The workers to sleep on: how many. */
static unsigned
attend_if_free(struct pari_crew *crew, pari_member peers[PARI_MAX_WORDS - 1])
{
    unsigned n_peers;

    if (crew->backend == &pari_backend_serial || pari_crew_lock(crew, PAR_NOWAIT) != 0)
        return 0;
    pari_desk_attend(crew);
    n_peers = crew->n_peers;
    memcpy(peers, crew->peers, n_peers * sizeof *peers);
    pari_crew_unlock(crew);
    return n_peers;
}

void
pari_desk_visit(struct pari_crew *crew)
{
    pari_member peers[PARI_MAX_WORDS - 1];

    (void)attend_if_free(crew, peers);
}

int
pari_desk_wait(struct pari_crew *crew, uint32_t key, struct pari_nap *nap, par_time deadline)
{
    pari_member peers[PARI_MAX_WORDS - 1];
    unsigned n_peers;

    if (pari_is_over(deadline))
        return pari_fail(ETIMEDOUT);
    n_peers = attend_if_free(crew, peers);
    if (pari_eventcount_wait(&crew->pool->news.ec, key, nap, peers, n_peers, wake_time(crew, deadline)) == 0)
        return 0;
    return errno == ETIMEDOUT && !pari_is_over(deadline) ? 0 : -1;
}

void
pari_desk_close(struct pari_crew *crew)
{
    struct par_future *task;

    if (pari_tasks_lock(crew->pool) != 0)
        return;
    while ((task = crew->futures) != NULL) {
        crew->futures = task->after;
        if (task->job != NULL && pari_task_state(task) != PARI_TASK_ENDED)
            pari_desk_end(crew, task, PAR_CANCELLED, "the pool was freed");
        task->crew = NULL;
        task->prev = task->after = NULL;
        if (task->is_dropped)
            pari_future_drop(task);
    }
    pari_tasks_unlock(crew->pool);
}

/* ---- the supervisor */

static struct par_future *
next_call(struct pari_crew *crew)
{
    struct par_future *task = crew->futures;

    while (task != NULL && (task->callback == NULL || task->is_called || pari_task_state(task) != PARI_TASK_ENDED))
        task = task->after;
    return task;
}

bool
pari_desk_has_calls(struct pari_crew *crew)
{
    bool has_calls;

    if (crew->n_calls == 0 || pari_tasks_lock(crew->pool) != 0)
        return false;
    has_calls = next_call(crew) != NULL || crew->is_calling;
    pari_tasks_unlock(crew->pool);
    return has_calls;
}

/* One callback that is due. False: there was none. */
static bool
call_back(struct pari_crew *crew)
{
    void (*callback)(par_future *, void *);
    struct par_future *task;
    void *arg;

    if (pari_tasks_lock(crew->pool) != 0)
        return false;
    task = crew->n_calls > 0 ? next_call(crew) : NULL;
    crew->is_calling = task != NULL;
    if (task != NULL) {
        callback = task->callback;
        arg = task->callback_arg;
        task->is_called = true;
        crew->n_calls--;
    }
    pari_tasks_unlock(crew->pool);
    if (task == NULL)
        return false;
    callback(task, arg);
    return true;
}

static _Thread_local const struct pari_crew *supervised; /* by the calling thread */

static void *
supervise(void *arg)
{
    struct pari_crew *crew = arg;
    struct pari_supervisor *supervisor = crew->supervisor;
    pari_member peers[PARI_MAX_WORDS - 1];
    struct pari_nap nap = { 0 };

    supervised = crew;
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&crew->pool->news.ec);
        bool is_dismissed = atomic_load(&supervisor->is_dismissed) != 0;
        bool has_called = false;
        while (call_back(crew))
            has_called = true;
        if (is_dismissed)
            break;
        if (has_called) {
            nap = (struct pari_nap){ 0 };
            pari_eventcount_notify(&crew->pool->news.ec, INT_MAX); /* who joins waits for it */
        } else
            pari_pool_sleep(&crew->pool->news.ec, key, &nap, peers, attend_if_free(crew, peers), wake_time(crew, PAR_FOREVER));
    }
    atomic_store(&supervisor->has_ended, 1);
    pari_eventcount_notify(&crew->pool->news.ec, INT_MAX); /* the last touch: the thread is joined before the pool is freed */
    return NULL;
}

static int
start_supervisor(struct pari_crew *crew)
{
    struct pari_supervisor *supervisor = pari_malloc(sizeof *supervisor);
    int started;

    if (supervisor == NULL)
        return -1;
    crew->supervisor = supervisor;
    started = pari_thread_quiet(&supervisor->thread, false, supervise, crew);
    if (started == 0)
        return 0;
    crew->supervisor = NULL;
    free(supervisor);
    return -1;
}

int
pari_desk_supervise(struct pari_crew *crew)
{
    int result;

    if (pari_tasks_lock(crew->pool) != 0)
        return -1;
    result = crew->supervisor != NULL ? 0 : start_supervisor(crew);
    pari_tasks_unlock(crew->pool);
    return result;
}

bool
pari_desk_is_supervisor(const struct pari_crew *crew)
{
    return crew == supervised;
}

int
pari_desk_dismiss(struct pari_crew *crew, par_time deadline)
{
    struct pari_supervisor *supervisor = crew->supervisor;
    struct pari_nap nap = { 0 };

    if (supervisor == NULL)
        return 0;
    atomic_store(&supervisor->is_dismissed, 1);
    pari_eventcount_notify(&crew->pool->news.ec, INT_MAX);
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&crew->pool->news.ec);
        if (atomic_load(&supervisor->has_ended) != 0)
            break;
        if (pari_is_over(deadline))
            return pari_fail(ETIMEDOUT);
        pari_pool_sleep(&crew->pool->news.ec, key, &nap, NULL, 0, deadline);
    }
    (void)pthread_join(supervisor->thread, NULL); /* it runs its last lines */
    crew->supervisor = NULL;
    free(supervisor);
    return 0;
}
