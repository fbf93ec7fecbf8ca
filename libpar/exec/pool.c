/* SPDX-License-Identifier: MIT
 *
 * pool.c: the public noun: make a pool, close, terminate, join, free.
 *
 * Shared state: pool->state only rises: open, closed, terminated. It is stored first and workers are woken after it, so each of
 * them sees it at the latest when its next item or nap is over. What ends workers by force does so under the crew's lock.
 * Lock order: crew->lock.
 * If a process dies here: its workers end with it.
 */
#include "future.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORKERS 1024
#define FREE_SECONDS 5.0
#define SLICE_NS 500000000 /* who ends the last map wakes us: slices are for par_interrupt alone */

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

/* 0 if the environment has no number of them. */
static unsigned
standard_workers(void)
{
    const char *text = getenv("PAR_NUM_WORKERS");
    unsigned long n;
    char *end;

    if (text == NULL || *text == '\0')
        return (unsigned)(pari_n_cpus() < MAX_WORKERS ? pari_n_cpus() : MAX_WORKERS);
    n = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (n > 0 && n <= MAX_WORKERS && *end == '\0')
        return (unsigned)n;
    pari_say("PAR_NUM_WORKERS is no number from 1 to %d", MAX_WORKERS);
    return 0;
}

static void
want(par_pool *pool, unsigned n)
{
    unsigned n_cpus = (unsigned)pari_n_cpus();

    atomic_store(&pool->may_spin, n_cpus > 1 && n <= n_cpus);
    atomic_store(&pool->n_wanted, n);
}

static par_pool *
new_block(const par_pool_opts *opts)
{
    int backend = backend_of(opts);
    unsigned n = backend == PAR_SERIAL ? 1 : opts->workers > 0 ? opts->workers : standard_workers(), n_places;
    par_pool *pool;

    if (backend < 0 || n == 0 || opts->workers > MAX_WORKERS || opts->max_workers > MAX_WORKERS ||
        (opts->initarg == NULL && opts->initarg_size > 0))
        return pari_null(EINVAL);
    n_places = backend != PAR_SERIAL && opts->max_workers > n ? opts->max_workers : n;
    pool = pari_handle_new_private(PARI_POOL, sizeof *pool + n_places * sizeof *pool->worker);
    if (pool == NULL)
        return NULL;
    if (pari_mutex_init(&pool->task_lock) != 0) {
        int error = errno;
        pari_handle_free(pool);
        return pari_null(error);
    }
    pool->n_workers = n_places;
    want(pool, n);
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
    pari_eventcount_notify(&pool->news.ec, INT_MAX);
}

static int
start_all(struct pari_crew *crew)
{
    int result, error;

    if (pari_crew_lock(crew, PAR_FOREVER) != 0)
        return -1;
    result =
        pari_crew_fill(crew) == atomic_load(&crew->pool->n_wanted) && (!crew->opts.supervised || pari_desk_supervise(crew) == 0)
            ? 0
            : -1;
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

int
par_pool_resize(par_pool *pool, unsigned workers)
{
    struct pari_crew *crew = pari_crew_of(pool);
    int cancel, result = 0;

    if (crew == NULL)
        return -1;
    if (workers == 0 || workers > pool->n_workers)
        return pari_fail(EINVAL);
    if (atomic_load(&pool->state) != PARI_POOL_OPEN)
        return pari_fail(EPIPE);
    cancel = pari_cancel_off();
    want(pool, workers);
    pari_eventcount_notify(&pool->work, INT_MAX);
    pari_eventcount_notify(&pool->news.ec, INT_MAX); /* whoever has the crew's lock for longer starts those who are missing */
    if (pari_crew_lock(crew, PAR_NOWAIT) == 0) {
        (void)pari_crew_bury(crew);
        if (!crew->is_broken && atomic_load(&pool->state) == PARI_POOL_OPEN && pari_crew_fill(crew) < workers)
            result = -1;
        pari_crew_unlock(crew);
    }
    pari_cancel_restore(cancel);
    return result;
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
    pari_desk_cancel_all(crew, PAR_CANCELLED, "the pool was terminated");
    if (pari_crew_lock(crew, PAR_NOWAIT) == 0) {
        pari_crew_signal(crew, SIGTERM);
        pari_crew_unlock(crew);
    }
    return 0;
}

/* Does the calling thread work for the pool, so that it cannot see its end? */
static bool
is_inside(const struct pari_crew *crew)
{
    return (pari_seat != NULL && pari_seat->pool == crew->pool) || pari_desk_is_supervisor(crew);
}

/* Until no map runs in a thread of its own. Those end when they are told to; their last touch of the crew is the count. */
static int
wait_for_maps(struct pari_crew *crew, par_time deadline, bool interruptible)
{
    uint32_t n;

    while ((n = atomic_load(&crew->n_maps)) > 0) {
        struct pari_word word = { &crew->n_maps, n };
        if (pari_is_over(deadline))
            return pari_fail(ETIMEDOUT);
        if (interruptible && pari_is_interrupted())
            return pari_fail(EINTR);
        (void)pari_futex_wait(&word, 1, pari_slice_end(deadline, SLICE_NS)); /* why it ended is asked above */
    }
    return 0;
}

static int
wait_for_calls(struct pari_crew *crew, par_time deadline)
{
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&crew->pool->news.ec);
        if (!pari_desk_has_calls(crew))
            return 0;
        if (pari_eventcount_wait(&crew->pool->news.ec, key, &nap, NULL, 0, deadline) != 0)
            return -1;
    }
}

static int
wait_for_workers(struct pari_crew *crew, par_time deadline, bool interruptible)
{
    int result, error;

    if (pari_crew_lock(crew, deadline) != 0)
        return -1;
    result = pari_crew_wait_end(crew, deadline, interruptible);
    error = errno;
    pari_crew_unlock(crew);
    errno = error;
    return result;
}

int
par_pool_join(par_pool *pool, par_time deadline)
{
    struct pari_crew *crew = pari_crew_of(pool);
    int cancel, result;

    if (crew == NULL)
        return -1;
    if (is_inside(crew))
        return pari_fail(EDEADLK);
    if (atomic_load(&pool->state) == PARI_POOL_OPEN)
        return pari_fail(EBUSY);
    cancel = pari_cancel_off();
    result = wait_for_maps(crew, deadline, true) == 0 && wait_for_workers(crew, deadline, true) == 0 &&
                     wait_for_calls(crew, deadline) == 0
                 ? 0
                 : -1;
    pari_cancel_restore(cancel);
    return result;
}

/* False: somebody is still at it. */
static bool
end_all(struct pari_crew *crew, par_time deadline)
{
    (void)par_pool_terminate(crew->pool);
    return wait_for_maps(crew, deadline, false) == 0 && wait_for_workers(crew, deadline, false) == 0 &&
           pari_desk_dismiss(crew, deadline) == 0 && wait_for_maps(crew, deadline, false) == 0; /* those who just leave one */
}

void
par_pool_free(par_pool *pool)
{
    int error = errno, cancel;
    struct pari_crew *crew = pool ? pari_crew_of(pool) : NULL;

    if (crew != NULL && !is_inside(crew)) {
        cancel = pari_cancel_off();
        if (end_all(crew, par_in(FREE_SECONDS))) {
            pari_desk_close(crew);
            pari_crew_free(crew);
            pari_bell_close(&pool->news);
            pari_handle_free(pool);
        }
        pari_cancel_restore(cancel);
    }
    errno = error;
}
