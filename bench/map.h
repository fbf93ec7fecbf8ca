/* SPDX-License-Identifier: MIT
 *
 * map.h: work over an array, for anything that can run a function on each item.
 *
 *   map     n squares, the workers waiting already. Nanoseconds per item
 *   fib     n times the Fibonacci number `size`, starting n workers included, as the slides have it. Milliseconds
 *   skew    n items whose costs grow with the square of their index (`depth`=1: fall). Percent of the ideal, which is the time on one
 *           core divided by the cores
 *   blocks  the sums of n blocks of `size` bytes, the workers waiting already. Milliseconds
 *
 * All contenders but "libpar-batch" and "openmp-inline", which have the squares in their loops, call the same function through a pointer
 * for each item; every result is looked at.
 */
#ifndef BENCH_MAP_H
#define BENCH_MAP_H

#include "bench.h"

struct map_job {
    int (*fn)(const void *in, void *out, void *ctx); /* as libpar's */
    const char *in;
    size_t in_size;
    char *out;
    size_t out_size;
    size_t n;
};

struct map_engine {
    void *(*open)(int workers); /* NULL: nothing to start */
    void (*map)(void *pool, const struct map_job *job);
    void (*close)(void *pool);
    void *(*memory)(size_t size); /* that workers can reach; NULL: bench_private */
};

static inline void
map_item(const struct map_job *job, size_t i)
{
    bench_check(job->fn(job->in + i * job->in_size, job->out + i * job->out_size, NULL) == 0);
}

static inline void *
map_memory(const struct map_engine *engine, size_t size)
{
    void *memory = engine->memory ? engine->memory(size) : bench_private(size);

    bench_check(memory != NULL);
    return memory;
}

static inline struct map_job
map_job(const struct map_engine *engine, int (*fn)(const void *, void *, void *), size_t in_size, size_t out_size, size_t n)
{
    struct map_job job = { fn,       (char *)map_memory(engine, n * in_size),
                           in_size,  (char *)map_memory(engine, n * out_size),
                           out_size, n };

    return job;
}

static inline void *
map_open(const struct map_engine *engine, int workers)
{
    return engine->open ? engine->open(workers) : NULL;
}

static inline void
map_close(const struct map_engine *engine, void *pool)
{
    if (engine->close != NULL)
        engine->close(pool);
}

/* The mean of `rounds` maps on a warm pool, in nanoseconds. */
static inline double
map_time(const struct map_engine *engine, const struct map_job *job, long rounds)
{
    void *pool = map_open(engine, bench_cpus());
    int64_t start;

    engine->map(pool, job);
    start = bench_now();
    for (long i = 0; i < rounds; i++)
        engine->map(pool, job);
    start = bench_now() - start;
    map_close(engine, pool);
    return (double)start / (double)rounds;
}

/* ---- squares */

static inline int
map_square(const void *in, void *out, void *ctx)
{
    int64_t x = *(const int64_t *)in;

    (void)ctx;
    *(int64_t *)out = x * x;
    return 0;
}

static inline double
map_squares(const struct bench_task *task, const struct map_engine *engine)
{
    struct map_job job = map_job(engine, map_square, sizeof(int64_t), sizeof(int64_t), (size_t)task->n);
    double ns;

    for (int64_t i = 0; i < task->n; i++)
        ((int64_t *)(void *)job.in)[i] = i;
    ns = map_time(engine, &job, task->rounds) / (double)task->n;
    for (int64_t i = 0; i < task->n; i++)
        bench_check(((const int64_t *)(const void *)job.out)[i] == i * i);
    return ns;
}

/* ---- Fibonacci */

/* fib(1) = fib(2) = 1; not one for the compiler to turn into a loop. */
__attribute__((noinline)) static long
map_fib_of(int n)
{
    return n <= 2 ? 1 : map_fib_of(n - 1) + map_fib_of(n - 2);
}

static inline int
map_fib(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(long *)out = map_fib_of(*(const int *)in);
    return 0;
}

static inline double
map_fibs(const struct bench_task *task, const struct map_engine *engine)
{
    struct map_job job = map_job(engine, map_fib, sizeof(int), sizeof(long), (size_t)task->n);
    long before = 0, last = 1;
    int64_t start;
    void *pool;

    for (long i = 0; i < task->n; i++)
        ((int *)(void *)job.in)[i] = (int)task->size;
    start = bench_now();
    pool = map_open(engine, (int)task->n);
    engine->map(pool, &job);
    start = bench_now() - start;
    map_close(engine, pool);
    for (long i = 1, sum; i < task->size; i++, before = last, last = sum)
        sum = before + last;
    for (long i = 0; i < task->n; i++)
        bench_check(((const long *)(const void *)job.out)[i] == last);
    return (double)start / 1e6;
}

/* ---- skewed costs */

static inline int
map_toil(const void *in, void *out, void *ctx)
{
    uint64_t x = 1;

    (void)ctx;
    for (uint64_t i = *(const uint64_t *)in; i > 0; i--)
        x = x * 6364136223846793005u + 1442695040888963407u;
    *(uint64_t *)out = x;
    return 0;
}

static inline double
map_skew(const struct bench_task *task, const struct map_engine *engine)
{
    struct map_job job = map_job(engine, map_toil, sizeof(uint64_t), sizeof(uint64_t), (size_t)task->n);
    uint64_t *expected = (uint64_t *)bench_private((size_t)task->n * sizeof *expected);
    int64_t start;
    double alone, together;

    for (long i = 0; i < task->n; i++) {
        uint64_t rank = (uint64_t)(task->depth == 1 ? task->n - i : i + 1);
        ((uint64_t *)(void *)job.in)[i] = (uint64_t)task->size * rank * rank / (uint64_t)task->n / (uint64_t)task->n;
    }
    start = bench_now();
    for (size_t i = 0; i < job.n; i++)
        (void)map_toil(job.in + i * job.in_size, &expected[i], NULL);
    alone = (double)(bench_now() - start);
    together = map_time(engine, &job, 1);
    bench_check(memcmp(job.out, expected, job.n * sizeof *expected) == 0);
    return 100 * alone / bench_cpus() / together;
}

/* ---- blocks */

static long map_block_size;

static inline int
map_sum(const void *in, void *out, void *ctx)
{
    const uint64_t *word = (const uint64_t *)in;
    uint64_t sum = 0;

    (void)ctx;
    for (long i = 0; i < map_block_size / 8; i++)
        sum += word[i];
    *(uint64_t *)out = sum;
    return 0;
}

static inline double
map_blocks(const struct bench_task *task, const struct map_engine *engine)
{
    struct map_job job = map_job(engine, map_sum, (size_t)task->size, sizeof(uint64_t), (size_t)task->n);
    size_t words = (size_t)task->size / 8;
    double ns;

    map_block_size = task->size; /* before the workers are there */
    for (size_t i = 0; i < job.n * words; i++)
        ((uint64_t *)(void *)job.in)[i] = i;
    ns = map_time(engine, &job, task->rounds);
    for (size_t i = 0; i < job.n; i++)
        bench_check(((const uint64_t *)(const void *)job.out)[i] == words * words * i + words * (words - 1) / 2);
    return ns / 1e6;
}

/* Table lines and functions of an engine. */
#define MAP_ENGINE(engine)                                        \
    static double engine##_squares(const struct bench_task *task) \
    {                                                             \
        return map_squares(task, &engine);                        \
    }                                                             \
    static double engine##_fibs(const struct bench_task *task)    \
    {                                                             \
        return map_fibs(task, &engine);                           \
    }                                                             \
    static double engine##_skew(const struct bench_task *task)    \
    {                                                             \
        return map_skew(task, &engine);                           \
    }                                                             \
    static double engine##_blocks(const struct bench_task *task)  \
    {                                                             \
        return map_blocks(task, &engine);                         \
    }
#define MAP_ENTRIES(engine, name)                                                                                \
    { "map", name, engine##_squares, 1 }, { "fib", name, engine##_fibs, 1 }, { "skew", name, engine##_skew, 1 }, \
    {                                                                                                            \
        "blocks", name, engine##_blocks, 1                                                                       \
    }

#endif
