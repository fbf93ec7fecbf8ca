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

static const struct bench_contender contenders[] = { MAP_ENTRIES(openmp, "openmp-guided") };
BENCH_MAIN(contenders)
