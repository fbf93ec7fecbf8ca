/* SPDX-License-Identifier: MIT
 *
 * glib.c: GLib's queue between threads, and its thread pool.
 */
#include "../map.h"
#include "../queue.h"

#include <glib.h>

/* ---- queue; NULL is no message, so values are one more */

static void *
async_open(const struct bench_task *task)
{
    (void)task;
    return g_async_queue_new();
}

static void
async_put(void *q, uint64_t value)
{
    g_async_queue_push(q, (void *)(uintptr_t)(value == QUEUE_STOP ? value : value + 1));
}

static uint64_t
async_get(void *q)
{
    uint64_t value = (uintptr_t)g_async_queue_pop(q);

    return value == QUEUE_STOP ? value : value - 1;
}

static const struct queue async = { async_open, NULL, async_put, async_get, &bench_threads };
QUEUE(async)

/* ---- pool: an item is pushed as its number, one more */

struct glib_pool {
    GThreadPool *pool;
    const struct map_job *job;
    uint32_t n_left;
    uint32_t is_done;
};

static void
glib_work(void *item, void *arg)
{
    struct glib_pool *pool = arg;

    map_item(pool->job, (uintptr_t)item - 1);
    if (__atomic_sub_fetch(&pool->n_left, 1, __ATOMIC_ACQ_REL) == 0)
        bench_add(&pool->is_done);
}

static void *
glib_open(int workers)
{
    struct glib_pool *pool = bench_private(sizeof *pool);

    pool->pool = g_thread_pool_new(glib_work, pool, workers, TRUE, NULL);
    bench_check(pool->pool != NULL);
    return pool;
}

static void
glib_map(void *arg, const struct map_job *job)
{
    struct glib_pool *pool = arg;

    pool->job = job;
    pool->is_done = 0;
    __atomic_store_n(&pool->n_left, (uint32_t)job->n, __ATOMIC_RELEASE);
    for (size_t i = 0; i < job->n; i++)
        bench_check(g_thread_pool_push(pool->pool, (void *)(uintptr_t)(i + 1), NULL));
    bench_await(&pool->is_done, 1);
}

static void
glib_close(void *arg)
{
    g_thread_pool_free(((struct glib_pool *)arg)->pool, FALSE, TRUE);
}

static const struct map_engine glib = { glib_open, glib_map, glib_close, NULL };
MAP_ENGINE(glib)

static const struct bench_contender contenders[] = {
    { "queue", "glib-async-queue", async_race, 2 },
    { "depth", "glib-async-queue", async_depth, 1 },
    MAP_ENTRIES(glib, "glib-pool"),
    { "tasks", "glib-pool", glib_squares, 1 },
};
BENCH_MAIN(contenders)
