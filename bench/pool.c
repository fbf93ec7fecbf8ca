/* SPDX-License-Identifier: MIT
 *
 * pool.c: a function over an array: libpar's pool, one process after the other, a process per item, and the smallest pool of
 * processes.
 */
#include "map.h"
#include "limit.h"

#include <par.h>

/* ---- libpar: arrays in shared memory, and arrays that are copied */

static void *
libpar_open(int workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = (unsigned)workers });

    bench_check(pool != NULL);
    return pool;
}

static void
libpar_map(void *pool, const struct map_job *job)
{
    bench_check(par_pool_map_sized(pool, job->fn, job->in, job->in_size, job->out, job->out_size, job->n, NULL) == 0);
}

static void
libpar_close(void *pool)
{
    par_pool_free(pool);
}

static void *
libpar_memory(size_t size)
{
    return par_shared_alloc(size, 1);
}

static const struct map_engine libpar = { libpar_open, libpar_map, libpar_close, libpar_memory };
static const struct map_engine libpar_copying = { libpar_open, libpar_map, libpar_close, NULL };
MAP_ENGINE(libpar)
MAP_ENGINE(libpar_copying)

static void *
libpar_threads_open(int workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = (unsigned)workers, .backend = PAR_THREADS });

    bench_check(pool != NULL);
    return pool;
}

static const struct map_engine libpar_threads = { libpar_threads_open, libpar_map, libpar_close, NULL };
MAP_ENGINE(libpar_threads)

/* ---- libpar, the loop over the items in the task's hands */

static int
square_batch(const void *in, void *out, par_batch batch, void *ctx)
{
    const int64_t *x = in;
    int64_t *y = out;

    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++)
        y[i] = x[i] * x[i];
    return 0;
}

static void
libpar_batch_map(void *pool, const struct map_job *job)
{
    bench_check(par_pool_map_batches_sized(pool, square_batch, job->in, job->in_size, job->out, job->out_size, job->n, NULL) ==
                0);
}

static const struct map_engine libpar_batch = { libpar_open, libpar_batch_map, libpar_close, libpar_memory };

static double
libpar_batch_squares(const struct bench_task *task)
{
    return map_squares(task, &libpar_batch);
}

/* ---- libpar, a task for each item, submitted on its own */

static void
submit_map(void *pool, const struct map_job *job)
{
    par_future **future = bench_private(job->n * sizeof *future);

    for (size_t i = 0; i < job->n; i++) {
        future[i] = par_pool_submit_sized(pool, job->fn, job->in + i * job->in_size, job->in_size, job->out_size, NULL);
        bench_check(future[i] != NULL);
    }
    for (size_t i = 0; i < job->n; i++) {
        bench_check(par_future_get(future[i], job->out + i * job->out_size, PAR_FOREVER) == 0);
        par_future_free(future[i]);
    }
}

static const struct map_engine submit = { libpar_open, submit_map, libpar_close, NULL };
static const struct map_engine submit_threads = { libpar_threads_open, submit_map, libpar_close, NULL };

static double
submit_squares(const struct bench_task *task)
{
    return map_squares(task, &submit);
}

static double
submit_threads_squares(const struct bench_task *task)
{
    return map_squares(task, &submit_threads);
}

/* ---- one after the other */

static void
sequential_map(void *pool, const struct map_job *job)
{
    (void)pool;
    for (size_t i = 0; i < job->n; i++)
        map_item(job, i);
}

static const struct map_engine sequential = { NULL, sequential_map, NULL, NULL };
MAP_ENGINE(sequential)

/* ---- the smallest pool: forked workers that take guided chunks from a counter */

#define GUIDED_PART 2 /* a chunk is what is left, divided by so much per worker */

struct fork_pool {
    struct map_job job;
    uint32_t round __attribute__((aligned(BENCH_LINE)));
    uint32_t n_done;
    size_t next __attribute__((aligned(BENCH_LINE)));
    int workers;
    pid_t pid[];
};

static void
fork_pool_work(struct fork_pool *pool)
{
    size_t n = pool->job.n, divisor = (size_t)pool->workers * GUIDED_PART, at, size;

    for (;;) {
        at = __atomic_load_n(&pool->next, __ATOMIC_RELAXED);
        size = at < n ? (n - at) / divisor : 0;
        size = size > 0 ? size : 1;
        at = __atomic_fetch_add(&pool->next, size, __ATOMIC_RELAXED);
        if (at >= n)
            return;
        for (size_t end = at + size < n ? at + size : n; at < end; at++)
            map_item(&pool->job, at);
    }
}

/* A job without a function sends them home. */
static int
fork_pool_main(void *arg)
{
    struct fork_pool *pool = arg;

    for (uint32_t round = 1;; round++) {
        bench_await(&pool->round, round);
        if (pool->job.fn == NULL)
            return 0;
        fork_pool_work(pool);
        bench_add(&pool->n_done);
    }
}

static void *
fork_pool_open(int workers)
{
    struct fork_pool *pool = bench_shared(sizeof *pool + (size_t)workers * sizeof pool->pid[0]);

    pool->workers = workers;
    for (int i = 0; i < workers; i++)
        pool->pid[i] = bench_fork(fork_pool_main, pool);
    return pool;
}

static void
fork_pool_map(void *arg, const struct map_job *job)
{
    struct fork_pool *pool = arg;

    pool->job = *job;
    pool->next = 0;
    pool->n_done = 0;
    bench_add(&pool->round);
    bench_await(&pool->n_done, (uint32_t)pool->workers);
}

static void
fork_pool_close(void *arg)
{
    struct fork_pool *pool = arg;

    pool->job.fn = NULL;
    bench_add(&pool->round);
    for (int i = 0; i < pool->workers; i++)
        bench_join(pool->pid[i]);
}

static const struct map_engine fork_pool = { fork_pool_open, fork_pool_map, fork_pool_close, bench_shared };
MAP_ENGINE(fork_pool)

/* ---- fork and waitpid, a process for each item */

struct fork_each {
    const struct map_job *job;
    size_t item;
};

static int
fork_each_main(void *arg)
{
    struct fork_each *each = arg;

    map_item(each->job, each->item);
    return 0;
}

static void
fork_each_map(void *unused, const struct map_job *job)
{
    pid_t *pid = bench_private(job->n * sizeof *pid);

    (void)unused;
    for (size_t i = 0; i < job->n; i++)
        pid[i] = bench_fork(fork_each_main, &(struct fork_each){ job, i });
    for (size_t i = 0; i < job->n; i++)
        bench_join(pid[i]);
}

static const struct map_engine fork_each = { NULL, fork_each_map, NULL, bench_shared };

static double
fork_each_fibs(const struct bench_task *task)
{
    return map_fibs(task, &fork_each);
}

static const struct bench_contender contenders[] = {
    MAP_ENTRIES(libpar, "libpar"),
    MAP_ENTRIES(libpar_copying, "libpar-private"),
    MAP_ENTRIES(libpar_threads, "libpar-threads"),
    { "map", "libpar-batch", libpar_batch_squares, 1 },
    { "tasks", "libpar", submit_squares, 1 },
    { "tasks", "libpar-threads", submit_threads_squares, 1 },
    MAP_ENTRIES(sequential, "sequential"),
    MAP_ENTRIES(fork_pool, "limit-fork-guided"),
    { "fib", "fork+waitpid", fork_each_fibs, 1 },
};
BENCH_MAIN(contenders)
