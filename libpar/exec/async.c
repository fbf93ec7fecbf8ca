/* SPDX-License-Identifier: MIT
 *
 * async.c: a map in a thread of its own.
 *
 * The thread is detached. Its future's end is the last that it tells; crew->n_maps, which keeps the pool alive, the last that it
 * touches.
 */
#include "future.h"
#include "map.h"

#include <limits.h>
#include <stdlib.h>

struct start {
    struct pari_request request;
    struct par_future *future;
};

static void *
run_map(void *arg)
{
    struct start *start = arg;
    struct par_future *future = start->future;
    struct pari_crew *crew = future->crew;
    par_pool *pool = crew->pool;

    start->request.errno_before = errno = 0;
    future->result = pari_map_run(crew, &start->request);
    future->error = errno;
    free(start);
    pari_task_end(pool, future); /* it may be freed from now on */
    pari_eventcount_notify(&pool->news.ec, INT_MAX);
    pari_crew_let_go(crew);
    return NULL;
}

static struct par_future *
future_of_map(struct pari_crew *crew)
{
    struct par_future *future = pari_handle_new_private(PARI_FUTURE, sizeof *future);

    if (future == NULL)
        return NULL;
    atomic_store(&future->state, PARI_TASK_RUNNING | UINT64_MAX << 8); /* with no worker */
    future->crew = crew;
    return future;
}

static int
begin(struct start *start)
{
    struct pari_crew *crew = start->future->crew;
    pthread_t thread;
    int begun;

    pari_crew_hold(crew);
    begun = pari_thread_quiet(&thread, true, run_map, start);
    if (begun != 0)
        pari_crew_let_go(crew);
    return begun;
}

static par_future *
map_async(struct pari_crew *crew, const struct pari_request *request)
{
    struct start *start = pari_malloc(sizeof *start);
    struct par_future *future = start != NULL ? future_of_map(crew) : NULL;

    if (future == NULL || pari_tasks_lock(crew->pool) != 0) {
        pari_handle_free(future);
        free(start);
        return NULL;
    }
    pari_future_enlist(future);
    pari_tasks_unlock(crew->pool);
    start->request = *request;
    start->request.is_accepted = true;
    start->future = future;
    if (begin(start) == 0)
        return future;
    free(start);
    if (pari_tasks_lock(crew->pool) == 0) {
        int error = errno;
        pari_future_drop(future);
        pari_tasks_unlock(crew->pool);
        errno = error;
    }
    return NULL;
}

par_future *
par_pool_map_async_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, void *out, size_t out_size, size_t n,
                         const par_job_opts *opts)
{
    struct pari_request request = pari_map_request(fn, in, in_size, out, out_size, n, opts);
    struct pari_crew *crew = pari_crew_of(pool);
    par_future *future;
    int cancel;

    if (crew == NULL || pari_map_check(pool, &request) != 0)
        return NULL;
    if (atomic_load(&pool->state) != PARI_POOL_OPEN)
        return pari_null(EPIPE);
    cancel = pari_cancel_off();
    future = map_async(crew, &request);
    pari_cancel_restore(cancel);
    return future;
}
