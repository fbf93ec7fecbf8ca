/* SPDX-License-Identifier: MIT
 *
 * pool.c: the public noun: make a pool, close, terminate, join, free.
 *
 * Shared state: pool->state only rises: open, closed, terminated. It is stored first and workers are woken after it, so each of
 * them sees it at the latest when its next item or nap is over. What ends workers by force does so under the crew's lock.
 * Lock order: crew->lock.
 * If a process dies here: its workers end with it.
 */
#include "crew.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORKERS 1024
#define FREE_SECONDS 5.0

/* ---- new */

/* PAR_PROCESSES ...; -1 if the environment names what does not exist. */
static int
backend_of(const par_pool_opts *opts)
{
    static const char *const name[] = { "processes", "threads", "serial" };
    const char *wanted = opts->backend == PAR_PROCESSES ? getenv("PAR_BACKEND") : NULL;

    if (wanted == NULL || *wanted == '\0')
        return opts->backend >= PAR_PROCESSES && opts->backend <= PAR_SERIAL ? opts->backend : -1;
    for (int i = PAR_PROCESSES; i <= PAR_SERIAL; i++)
        if (strcmp(wanted, name[i]) == 0)
            return i;
    pari_say("PAR_BACKEND is none of processes, threads, serial");
    return -1;
}

static par_pool *
new_block(const par_pool_opts *opts)
{
    int backend = backend_of(opts);
    unsigned n = backend == PAR_SERIAL ? 1 : opts->workers > 0 ? opts->workers : (unsigned)pari_n_cpus();
    par_pool *pool;

    if (backend < 0 || opts->workers > MAX_WORKERS || (opts->initarg == NULL && opts->initarg_size > 0))
        return pari_null(EINVAL);
    n = n < MAX_WORKERS ? n : MAX_WORKERS;
    pool = pari_handle_new_private(PARI_POOL, sizeof *pool + n * sizeof *pool->worker);
    if (pool == NULL)
        return NULL;
    pool->n_workers = n;
    pool->backend = (uint32_t)backend;
    pool->max_tasks = opts->max_tasks > 0 ? opts->max_tasks : UINT64_MAX;
    return pool;
}

static void
set_terminated(par_pool *pool)
{
    int64_t never = 0;

    (void)atomic_compare_exchange_strong(&pool->terminated_at, &never, pari_now_ns());
    atomic_store(&pool->state, PARI_POOL_TERMINATED);
    pari_eventcount_notify(&pool->work, INT_MAX);
    pari_eventcount_notify(&pool->news, INT_MAX);
}

static int
start_all(struct pari_crew *crew)
{
    int result, error;

    if (pari_crew_lock(crew, PAR_FOREVER) != 0)
        return -1;
    result = pari_crew_fill(crew) == crew->pool->n_workers ? 0 : -1;
    error = errno;
    if (result != 0) {
        set_terminated(crew->pool);
        pari_crew_signal(crew, SIGKILL);
        (void)pari_crew_wait_end(crew, PAR_FOREVER, false); /* killed, or threads that see the end: soon, and cannot fail */
    }
    pari_crew_unlock(crew);
    return result == 0 ? 0 : pari_fail(error);
}

par_pool *
par_pool_new(const par_pool_opts *opts)
{
    static const par_pool_opts defaults;
    int cancel = pari_cancel_off(), error;
    par_pool *pool = new_block(opts ? opts : &defaults);
    struct pari_crew *crew = pool ? pari_crew_new(pool, opts ? opts : &defaults) : NULL;

    if (crew != NULL && start_all(crew) != 0) {
        error = errno;
        pari_crew_free(crew);
        crew = NULL;
        errno = error;
    }
    if (crew == NULL) {
        pari_handle_free(pool);
        pool = NULL;
    }
    pari_cancel_restore(cancel);
    return pool;
}

int
par_pool_workers(const par_pool *pool)
{
    int n = 0;

    if (pari_crew_of(pool) == NULL)
        return -1;
    for (unsigned i = 0; i < pool->n_workers; i++) {
        uint32_t phase = atomic_load(&pool->worker[i].phase);
        pari_member member = atomic_load(&pool->worker[i].member);
        n += (phase == PARI_WORKER_STARTING || phase == PARI_WORKER_READY) && (member == 0 || !pari_member_is_dead(member));
    }
    return n;
}

/* ---- the end */

int
par_pool_close(par_pool *pool)
{
    uint32_t open = PARI_POOL_OPEN;

    if (pari_crew_of(pool) == NULL)
        return -1;
    (void)atomic_compare_exchange_strong(&pool->state, &open, PARI_POOL_CLOSED);
    pari_eventcount_notify(&pool->work, INT_MAX);
    return 0;
}

/* A map that runs in another thread sees the new state and ends what is its to end; so the lock is not waited for. */
int
par_pool_terminate(par_pool *pool)
{
    struct pari_crew *crew = pari_crew_of(pool);

    if (crew == NULL)
        return -1;
    set_terminated(pool);
    if (pari_crew_lock(crew, PAR_NOWAIT) == 0) {
        pari_crew_signal(crew, SIGTERM);
        pari_crew_unlock(crew);
    }
    return 0;
}

int
par_pool_join(par_pool *pool, par_time deadline)
{
    struct pari_crew *crew = pari_crew_of(pool);
    int cancel, result, error;

    if (crew == NULL)
        return -1;
    if (pari_seat != NULL && pari_seat->pool == pool)
        return pari_fail(EDEADLK);
    if (atomic_load(&pool->state) == PARI_POOL_OPEN)
        return pari_fail(EBUSY);
    cancel = pari_cancel_off();
    result = pari_crew_lock(crew, deadline);
    if (result == 0) {
        result = pari_crew_wait_end(crew, deadline, true);
        error = errno;
        pari_crew_unlock(crew);
        errno = error;
    }
    pari_cancel_restore(cancel);
    return result;
}

void
par_pool_free(par_pool *pool)
{
    int error = errno, cancel;
    struct pari_crew *crew = pool ? pari_crew_of(pool) : NULL;
    par_time deadline;

    if (crew == NULL || (pari_seat != NULL && pari_seat->pool == pool)) {
        errno = error;
        return;
    }
    cancel = pari_cancel_off();
    deadline = par_in(FREE_SECONDS);
    (void)par_pool_terminate(pool);
    if (pari_crew_lock(crew, deadline) == 0) {
        bool has_ended = pari_crew_wait_end(crew, deadline, false) == 0;
        pari_crew_unlock(crew);
        if (has_ended) {
            pari_crew_free(crew);
            pari_handle_free(pool);
        }
    }
    pari_cancel_restore(cancel);
    errno = error;
}
