/* SPDX-License-Identifier: MIT
 *
 * map.c: par_pool_map_sized, from the publication of a job to the moment nobody works on it any more.
 *
 * A job runs in passes. A pass is opened by one store of its number; workers enter it and take chunks until all items are handed
 * out. When all are and nobody is in it, the pass is closed; items that still have no outcome lay in the chunks of workers that
 * died, and the next pass hands them out again.
 * Shared state: see worker.c for the protocol of entering, worker.h for who writes what.
 * Lock order: crew->lock is held from beginning to end; progress callbacks run under it.
 * If a process dies here: a worker's death is told by pari_map_lose before the pass can end. If the mapping process dies, its
 * workers end with it and the job's block is swept.
 */
#include "map.h"

#include "future.h"

#include <limits.h>
#include <signal.h>
#include <string.h>

#define PROGRESS_NS 100000000 /* between two calls of the progress callback */
#define LOOK_NS 20000         /* at what the workers do, before the sleep: a small job takes less than the wake-up */
#define GRACE_NS 20000000     /* from the stop of a job to the end of the processes that are still on an item */

/* ---- what a death costs */

void
pari_map_list(struct pari_map *map, const par_status *status)
{
    const par_job_opts *opts = &map->request->opts;

    if (opts->failures != NULL && map->n_listed < opts->max_failures)
        opts->failures[map->n_listed++] = *status;
}

static void
describe_loss(const struct pari_map *map, par_status *status, const char *text)
{
    if (status->state == PAR_LOST)
        (void)snprintf(status->text, sizeof status->text, "%s", text);
    else
        (void)snprintf(status->text, sizeof status->text, "worker %d ended: %s", (int)status->pid,
                       map->stop == PARI_STOP_DEADLINE ? "the deadline passed" : "the job was cancelled");
}

/* A fresh ctx for the one that comes: the old one is as the tasks have left it. */
void
pari_map_replace(struct pari_map *map, unsigned index)
{
    pari_job_renew_ctx(map->job, map->request, index);
}

void
pari_map_lose(struct pari_map *map, unsigned index, const struct pari_end *end, const char *text)
{
    struct pari_worker *record = &map->crew->pool->worker[index];
    par_status status = { .state = PAR_LOST, .code = end->code, .pid = end->pid, .tries = 1 };
    uint64_t item;

    pari_job_renew_ctx(map->job, map->request, index);
    if (atomic_load(&record->in) != map->crew->pass ||
        !pari_worker_settle(record, map->job, map->status, map->request->n, &item))
        return;
    if (map->crew->hand[index].is_killed && map->stop == PARI_STOP_NONE &&
        (end->code == -SIGKILL || end->code == PAR_EXIT_UNKNOWN))
        return; /* for the task before, which had ended: this one is handed out again */
    status.index = (size_t)item;
    if (map->crew->hand[index].is_killed && (end->code == -SIGKILL || end->code == PAR_EXIT_UNKNOWN))
        status.state = map->stop == PARI_STOP_DEADLINE ? PAR_TIMED_OUT : PAR_CANCELLED;
    if (end->code < 0 && end->code != PAR_EXIT_UNKNOWN)
        status.signal = -end->code;
    describe_loss(map, &status, text);
    atomic_store(&map->status[item], PARI_FINAL(status.state));
    map->n_lost++;
    pari_map_list(map, &status);
    if (status.state == PAR_LOST)
        (void)snprintf(map->last, sizeof map->last, "item %zu: %s", status.index, text);
}

/* ---- progress and the reasons to stop */

/* Of the items that a worker is with; it may be with others in the middle of this. */
static size_t
done_since(const struct pari_map *map, const struct pari_worker *record)
{
    uint64_t claim = (atomic_load(&record->claim) & ~PARI_CLAIM_STOPPED) - map->job->tag,
             first = atomic_load(&record->first) - map->job->tag;

    return first <= claim && claim <= map->request->n ? (size_t)(claim - first) : 0;
}

static void
report_progress(struct pari_map *map, bool is_last)
{
    const par_job_opts *opts = &map->request->opts;
    par_progress progress = { map->n_lost, map->n_lost, map->request->n, 0.0, is_last };
    int64_t now;

    if (opts->progress == NULL)
        return;
    now = pari_now_ns();
    if (!is_last && now < map->next_progress)
        return;
    map->next_progress = now + PROGRESS_NS;
    for (unsigned i = 0; i < map->crew->pool->n_workers; i++) {
        const struct pari_worker *record = &map->crew->pool->worker[i];
        progress.done += (size_t)atomic_load_explicit(&record->done, memory_order_relaxed); /* a statistic, and so is failed */
        progress.done += done_since(map, record);
        progress.failed += (size_t)atomic_load_explicit(&record->failed, memory_order_relaxed);
    }
    progress.seconds = (double)(now - map->started) / 1e9;
    if (opts->progress(&progress, opts->progress_arg) != 0 && map->stop == PARI_STOP_NONE)
        map->stop = PARI_STOP_CANCELLED;
}

static void
look_for_stop(struct pari_map *map)
{
    if (map->stop == PARI_STOP_NONE)
        report_progress(map, false);
    if (map->stop == PARI_STOP_NONE || map->stop == PARI_STOP_BROKEN) { /* the broken pool's last items obey these, too */
        if (atomic_load(&map->crew->pool->state) == PARI_POOL_TERMINATED)
            map->stop = PARI_STOP_TERMINATED;
        else if (map->request->opts.deadline.ns != 0 && pari_is_over(map->request->opts.deadline))
            map->stop = PARI_STOP_DEADLINE;
        else if (pari_is_interrupted())
            map->stop = PARI_STOP_INTERRUPTED;
    }
    if (map->stop == PARI_STOP_NONE && map->crew->is_broken)
        map->stop = PARI_STOP_BROKEN;
    if (map->stop == PARI_STOP_NONE)
        return;
    atomic_store(&map->job->stop, 1);
    if (map->stopped == 0 && map->stop != PARI_STOP_BROKEN)
        map->stopped = pari_now_ns();
}

static bool
somebody_is_in(const struct pari_map *map)
{
    for (unsigned i = 0; i < map->crew->pool->n_workers; i++)
        if (atomic_load(&map->crew->pool->worker[i].in) == map->crew->pass)
            return true;
    return false;
}

/* Those who are still on an item after the grace are ended, once. */
static void
kill_late(struct pari_map *map)
{
    struct pari_crew *crew = map->crew;

    if (map->stopped == 0 || map->has_killed || pari_now_ns() < map->stopped + GRACE_NS)
        return;
    map->has_killed = true;
    for (unsigned i = 0; i < crew->pool->n_workers; i++)
        if (crew->hand[i].is_running && atomic_load(&crew->pool->worker[i].in) == crew->pass) {
            crew->hand[i].is_killed = crew->hand[i].child != NULL;
            crew->backend->end(crew, i, SIGKILL);
        }
}

/* ---- a pass on workers of their own */

static par_time
wake_time(const struct pari_map *map)
{
    int64_t until = map->stop == PARI_STOP_NONE || map->stop == PARI_STOP_BROKEN ? map->request->opts.deadline.ns : 0;
    int64_t limit = pari_desk_next_limit(map->crew);

    if (map->stopped != 0 && !map->has_killed)
        until = map->stopped + GRACE_NS;
    if (map->stop == PARI_STOP_NONE && map->request->opts.progress != NULL && (until == 0 || map->next_progress < until))
        until = map->next_progress;
    if (limit != 0 && (until == 0 || limit < until))
        until = limit;
    return PAR_TIME(until);
}

/* Until all items are handed out (or none is to be any more) and nobody is in the pass. */
static void
wait_for_workers(struct pari_map *map)
{
    struct pari_crew *crew = map->crew;
    struct pari_eventcount *news = &crew->pool->news.ec;
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(news);
        unsigned n_live = pari_crew_bury(crew);
        pari_desk_expire(crew);
        look_for_stop(map);
        if (map->stop == PARI_STOP_NONE && n_live < atomic_load(&crew->pool->n_wanted) && pari_crew_fill(crew) > n_live)
            nap = (struct pari_nap){
                0
            }; /* newcomers: their fate is soon known. Who failed to start is tried again after a nap */
        kill_late(map);
        if ((map->stop != PARI_STOP_NONE || atomic_load(&map->job->next) >= map->end) && !somebody_is_in(map))
            return;
        if (crew->pool->may_spin && !nap.has_spun) {
            nap.has_spun = true;
            if (pari_eventcount_look(news, key, LOOK_NS))
                continue;
        }
        pari_pool_sleep(news, key, &nap, crew->peers, crew->n_peers, wake_time(map));
    }
}

static void
open_pass(struct pari_map *map, uint64_t first, uint64_t end)
{
    struct pari_crew *crew = map->crew;
    struct pari_job *job = map->job;

    map->end = end;
    job->end = end;
    job->tag = pari_claim_tag(++crew->pass);
    atomic_store(&job->next, first);
    atomic_store(&crew->pool->job, job);
    atomic_store(&crew->pool->pass, crew->pass); /* the one store that opens it */
    pari_eventcount_notify(&crew->pool->work, INT_MAX);
}

static void
close_pass(struct pari_map *map)
{
    atomic_store(&map->crew->pool->pass, 0);
    while (somebody_is_in(map)) /* came in late: finds nothing, and leaves */
        wait_for_workers(map);
}

/* Where the items without an outcome begin and end; false: there are none. */
static bool
find_pending(const struct pari_map *map, uint64_t *first, uint64_t *end)
{
    const uint8_t *status = (const uint8_t *)map->status; /* nobody is in the pass: plain bytes */
    const uint8_t *pending = memchr(status, 0, map->request->n);

    if (pending == NULL)
        return false;
    *first = (uint64_t)(pending - status);
    *end = (uint64_t)((const uint8_t *)memrchr(status, 0, map->request->n) - status) + 1;
    return true;
}

static void
run_passes(struct pari_map *map)
{
    uint64_t first, end;

    while (map->stop == PARI_STOP_NONE && find_pending(map, &first, &end)) {
        open_pass(map, first, end);
        wait_for_workers(map);
        close_pass(map);
        map->job->is_repeat = true;
    }
}

/* ---- the serial backend */

static void
run_here(struct pari_map *map)
{
    struct pari_seat *seat = map->crew->hand[0].seat, *before = pari_seat;
    struct pari_job *job = map->job;
    uint64_t first, end;

    if (job->chunk == 0)
        job->chunk = 1; /* look up between any two items */
    job->end = map->request->n;
    job->tag = pari_claim_tag(++map->crew->pass);
    pari_seat = seat;
    seat->job = job;
    seat->text_claim = 0;
    seat->ctx = job->ctx;
    for (look_for_stop(map); map->stop == PARI_STOP_NONE && pari_job_take(job, UINT64_MAX, UINT64_MAX, &first, &end);
         look_for_stop(map))
        pari_worker_run_items(seat, first, end);
    seat->job = NULL;
    seat->ctx = NULL;
    atomic_store(&seat->record->claim, 0);
    pari_seat = before;
}

/* ---- the call */

static void
reset_counters(struct pari_crew *crew)
{
    crew->n_done = pari_crew_done(crew);
    for (unsigned i = 0; i < crew->pool->n_workers; i++) {
        crew->n_done -= atomic_load(&crew->pool->worker[i].tasks); /* they go on counting */
        atomic_store(&crew->pool->worker[i].done, 0);
        atomic_store(&crew->pool->worker[i].failed, 0);
    }
}

static ssize_t
run_job(struct pari_crew *crew, const struct pari_request *request)
{
    struct pari_map map = { .crew = crew, .request = request, .started = pari_now_ns() };
    ssize_t result;
    int error;

    if (pari_crew_man(crew) != 0)
        return -1;
    map.job = pari_job_new(request, crew->pool->n_workers, crew->reach);
    if (map.job == NULL)
        return -1;
    map.status = map.job->status;
    map.failure = map.job->failure;
    map.max_failures = map.job->max_failures;
    map.out = map.job->out != request->out ? map.job->out : NULL;
    map.next_progress = map.started + PROGRESS_NS;
    reset_counters(crew);
    crew->map = &map;
    crew->left = map.job;
    if (crew->backend == &pari_backend_serial)
        run_here(&map);
    else
        run_passes(&map);
    report_progress(&map, true);
    result = pari_map_outcome(&map);
    error = errno;
    crew->map = NULL;
    crew->left = NULL;
    (void)pari_heap_free(map.job); /* a live block of ours: cannot fail */
    if (map.has_killed && atomic_load(&crew->pool->state) == PARI_POOL_OPEN)
        (void)pari_crew_fill(crew); /* or the next map does */
    errno = error;
    return result;
}

static bool
is_open_to(const par_pool *pool, const struct pari_request *request)
{
    uint32_t state = atomic_load(&pool->state);

    return state == PARI_POOL_OPEN || (state == PARI_POOL_CLOSED && request->is_accepted);
}

/* The crew is locked. */
static ssize_t
map_locked(struct pari_crew *crew, const struct pari_request *request)
{
    par_pool *pool = crew->pool;
    ssize_t result = -1;

    atomic_store(&pool->is_busy, 1); /* before the look at the state; partner: is_over in worker.c */
    if (!is_open_to(pool, request))
        errno = EPIPE;
    else if (crew->is_broken)
        result = pari_crew_say_broken(crew);
    else if (request->n == 0) {
        errno = request->errno_before;
        result = 0;
    } else if (request->opts.deadline.ns != 0 && pari_is_over(request->opts.deadline))
        errno = ETIMEDOUT;
    else
        result = run_job(crew, request);
    atomic_store(&pool->is_busy, 0);
    if (atomic_load(&pool->state) != PARI_POOL_OPEN)
        pari_eventcount_notify(&pool->work, INT_MAX); /* they may leave now */
    return result;
}

struct pari_request
pari_map_request(par_fn *fn, const void *in, size_t in_size, void *out, size_t out_size, size_t n, const par_job_opts *opts)
{
    return (struct pari_request){ .fn = fn,
                                  .in = in,
                                  .in_size = in_size,
                                  .out = out,
                                  .out_size = out_size,
                                  .n = n,
                                  .opts = opts ? *opts : (par_job_opts){ 0 },
                                  .errno_before = errno };
}

int
pari_map_check(const par_pool *pool, const struct pari_request *request)
{
    if (request->fn == NULL)
        return pari_fail(EINVAL);
    if (request->n > 0 && pari_request_check(request) != 0)
        return -1;
    return pari_seat != NULL && pari_seat->pool == pool ? pari_fail(EDEADLK) : 0;
}

ssize_t
pari_map_run(struct pari_crew *crew, const struct pari_request *request)
{
    int cancel = pari_cancel_off(), error;
    ssize_t result = pari_crew_lock(crew, request->opts.deadline);

    if (result == 0) {
        result = map_locked(crew, request);
        error = errno;
        pari_crew_hold(crew); /* who waits for the lock may be about to free it */
        pari_crew_unlock(crew);
        if (crew->n_futures > 0)
            pari_eventcount_notify(&crew->pool->news.ec, INT_MAX); /* another one may attend to the pool now */
        pari_crew_let_go(crew);
        errno = error;
    }
    pari_cancel_restore(cancel);
    return result;
}

ssize_t
par_pool_map_batches_sized(par_pool *pool, par_batch_fn *fn, const void *in, size_t in_size, void *out, size_t out_size,
                           size_t n, const par_job_opts *opts)
{
    struct pari_request request = pari_map_request((par_fn *)(void (*)(void))fn, in, in_size, out, out_size, n, opts);
    struct pari_crew *crew = pari_crew_of(pool);

    request.is_batch = true;
    return crew != NULL && pari_map_check(pool, &request) == 0 ? pari_map_run(crew, &request) : -1;
}

ssize_t
par_pool_map_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, void *out, size_t out_size, size_t n,
                   const par_job_opts *opts)
{
    struct pari_request request = pari_map_request(fn, in, in_size, out, out_size, n, opts);
    struct pari_crew *crew = pari_crew_of(pool);

    return crew != NULL && pari_map_check(pool, &request) == 0 ? pari_map_run(crew, &request) : -1;
}
