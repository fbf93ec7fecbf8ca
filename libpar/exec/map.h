/* SPDX-License-Identifier: MIT
 *
 * map.h: one running map, private to the thread that called it.
 */
#ifndef PARI_MAP_H
#define PARI_MAP_H

#include "crew.h"

/* Why no further item is started. */
enum pari_stop {
    PARI_STOP_NONE,
    PARI_STOP_DEADLINE,
    PARI_STOP_CANCELLED,
    PARI_STOP_TERMINATED,
    PARI_STOP_INTERRUPTED,
    PARI_STOP_BROKEN
};

struct pari_map {
    struct pari_crew *crew;
    const struct pari_request *request;
    struct pari_job *job;
    /* What the workers could spoil in the job's block, as it was before they saw it. */
    _Atomic uint8_t *status;
    struct pari_failure *failure;
    uint64_t max_failures;
    const char *out; /* where the results are, if not in place */
    uint64_t end;    /* of the pass */
    enum pari_stop stop;
    int64_t started, stopped, next_progress; /* ns */
    size_t n_lost;                           /* items that died with their workers */
    size_t n_listed;                         /* entries of opts.failures that are filled */
    bool has_killed;
    char last[200]; /* the last loss in words */
};

struct pari_request pari_map_request(par_fn *fn, const void *in, size_t in_size, void *out, size_t out_size, size_t n,
                                     const par_job_opts *opts);

/* -1: EINVAL, EOVERFLOW, EDEADLK (the calling thread works for this pool). */
int pari_map_check(const par_pool *pool, const struct pari_request *request);
ssize_t pari_map_run(struct pari_crew *crew, const struct pari_request *request); /* as par_pool_map_sized */

/* Add an entry to opts.failures if there is room. */
void pari_map_list(struct pari_map *map, const par_status *status);

/* Nobody works on the job any more: settle every item, hand out results, states and failures. What the map returns; sets errno
 * and par_error() if that is not 0. */
ssize_t pari_map_outcome(struct pari_map *map);

#endif
