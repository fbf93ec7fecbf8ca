/* SPDX-License-Identifier: MIT
 *
 * job.h: one job of a pool: the block in the arena that the mapping process writes and its workers work through.
 */
#ifndef PARI_JOB_H
#define PARI_JOB_H

#include <par/pool.h>

#include "../shm/shm.h"

/* An item's status byte: 0 while it has no outcome, else its state + 1. */
#define PARI_FINAL(state) ((uint8_t)((state) + 1))

/* What a worker says about an item that failed. */
struct pari_failure {
    uint64_t index;
    int32_t code;
    _Atomic uint32_t is_valid; /* stored last: a worker may die in between */
    char text[sizeof((par_status *)0)->text];
    int32_t signal; /* these three: of a task's item that was lost, by the creator */
    int32_t pid;
    uint32_t tries;
};

static_assert(sizeof(struct pari_failure) == 128, "failures do not share cache lines");

enum pari_reach {                  /* what workers see of their creator's private memory */
                  PARI_SEES_ALL,   /* threads */
                  PARI_SEES_COPY,  /* forks: as it was when they were started */
                  PARI_SEES_SHARED /* nothing: the functions have other addresses, too */
};

struct pari_job {
    /* Written before the pass is published, constant while anybody is in it. */
    par_fn *fn;
    struct pari_code code; /* of fn, for those who see nothing */
    const char *in;        /* NULL: the items have no input */
    size_t in_size;        /* PAR_STRINGS: `in` is an array of pointers to strings */
    char *out;
    size_t out_size;
    char *ctx;         /* the pointer itself, or one copy per worker */
    size_t ctx_stride; /* from one worker's copy to the next; 0: the pointer itself */
    _Atomic uint8_t *status;
    struct pari_failure *failure;
    uint64_t max_failures;
    uint64_t end;     /* of the pass: items next .. end - 1 are handed out */
    uint64_t chunk;   /* 0: guided */
    uint64_t divisor; /* guided: a worker takes this part of what is left */
    uint64_t tag;     /* of the pass, in the upper bits of every claim */
    par_time deadline;
    bool is_batch;  /* fn is a par_batch_fn */
    bool is_task;   /* that was submitted */
    bool is_repeat; /* a pass after the first: some items have an outcome */

    /* Written by workers. */
    _Alignas(PARI_CACHE_LINE) _Atomic uint64_t next; /* items below are handed out: a hint, the status bytes are the truth */
    _Alignas(PARI_CACHE_LINE) _Atomic uint64_t n_failures;

    /* Written once, by the mapper or a task that sees why; read before each item. */
    _Alignas(PARI_CACHE_LINE) _Atomic uint32_t stop; /* no further item is to be started */
};

/* Everything that a worker's claim says: which pass, which item, and whether that is not begun since the job is to stop. Never 0. */
#define PARI_ITEM_BITS 48
#define PARI_ITEM_MASK ((UINT64_C(1) << (PARI_ITEM_BITS - 1)) - 1)
#define PARI_CLAIM_STOPPED (UINT64_C(1) << (PARI_ITEM_BITS - 1)) /* par_batch_next's, too */

static inline uint64_t
pari_claim_tag(uint64_t pass)
{
    return (pass | 0x8000) << PARI_ITEM_BITS;
}

/* What a map is to do: the arguments of par_pool_map_sized. */
struct pari_request {
    par_fn *fn;
    const void *in;
    size_t in_size;
    void *out;
    size_t out_size;
    size_t n;
    par_job_opts opts; /* zero if the caller gave none */
    int errno_before;  /* as the caller had it */
    bool is_accepted;  /* before the pool was closed */
    bool is_task;      /* items and results stay in the job; `in` may be NULL for now, `out` is */
    bool is_batch;     /* fn is a par_batch_fn */
};

/* 0, or -1: EINVAL, EOVERFLOW. */
int pari_request_check(const struct pari_request *request);

/* A job for so many workers, its items copied into it unless the workers see them anyway, or they lie in the arena.
 * NULL: EOVERFLOW, ENOSPC, ENOMEM; said: EINVAL, ENOTSUP (what cannot travel). pari_heap_free it. */
struct pari_job *pari_job_new(const struct pari_request *request, unsigned n_workers, enum pari_reach reach);

/* A fresh copy of ctx for a worker that takes the place of another. */
void pari_job_renew_ctx(struct pari_job *job, const struct pari_request *request, unsigned worker);

/* Take the next chunk, of at most `limit` items, if guided of at most `pace`: *first .. *end - 1. False: all are handed out. */
static inline bool
pari_job_take(struct pari_job *job, uint64_t limit, uint64_t pace, uint64_t *first, uint64_t *end)
{
    uint64_t at = atomic_load_explicit(&job->next, memory_order_relaxed); /* only a guess at what is left */
    uint64_t size = job->chunk;

    if (at >= job->end)
        return false;
    if (size == 0)
        size = (job->end - at) / job->divisor;
    if (job->chunk == 0 && size > pace)
        size = pace;
    if (size == 0)
        size = 1;
    if (size > limit)
        size = limit;
    at = atomic_fetch_add(&job->next, size);
    if (at >= job->end)
        return false;
    *first = at;
    *end = size < job->end - at ? at + size : job->end;
    return true;
}

#endif
