/* SPDX-License-Identifier: MIT
 *
 * openmp.c: a loop over threads, with guided chunks.
 */
#include "../map.h"

#include <omp.h>

static void *
openmp_open(int workers)
{
    omp_set_num_threads(workers);
    return NULL;
}

static void
openmp_map(void *pool, const struct map_job *job)
{
    (void)pool;
#pragma omp parallel for schedule(guided)
    for (size_t i = 0; i < job->n; i++)
        map_item(job, i);
}

static const struct map_engine openmp = { openmp_open, openmp_map, NULL, NULL };
MAP_ENGINE(openmp)

/* The squares without a function for each. */
static void
openmp_square(void *pool, const struct map_job *job)
{
    const int64_t *x = (const int64_t *)(const void *)job->in;
    int64_t *y = (int64_t *)(void *)job->out;

    (void)pool;
#pragma omp parallel for schedule(guided)
    for (size_t i = 0; i < job->n; i++)
        y[i] = x[i] * x[i];
}

static const struct map_engine openmp_inline = { openmp_open, openmp_square, NULL, NULL };

static double
openmp_inline_squares(const struct bench_task *task)
{
    return map_squares(task, &openmp_inline);
}

static const struct bench_contender contenders[] = { MAP_ENTRIES(openmp, "openmp-guided"),
                                                     { "map", "openmp-inline", openmp_inline_squares, 1 } };
BENCH_MAIN(contenders)
