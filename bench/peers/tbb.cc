/* SPDX-License-Identifier: MIT
 *
 * tbb.cc: a loop over the threads of oneTBB, with its automatic chunks.
 */
#include "../map.h"

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>

static void *
tbb_open(int workers)
{
    return new tbb::global_control(tbb::global_control::max_allowed_parallelism, (size_t)workers);
}

static void
tbb_map(void *pool, const struct map_job *job)
{
    (void)pool;
    tbb::parallel_for(tbb::blocked_range<size_t>(0, job->n), [job](const tbb::blocked_range<size_t> &range) {
        for (size_t i = range.begin(); i != range.end(); i++)
            map_item(job, i);
    });
}

static void
tbb_close(void *pool)
{
    delete (tbb::global_control *)pool;
}

static const struct map_engine onetbb = { tbb_open, tbb_map, tbb_close, NULL };
MAP_ENGINE(onetbb)

static const struct bench_contender contenders[] = { MAP_ENTRIES(onetbb, "tbb-auto") };
BENCH_MAIN(contenders)
