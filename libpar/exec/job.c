/* SPDX-License-Identifier: MIT
 *
 * job.c: a map's arguments, checked and laid out as one block in the arena.
 *
 *   struct pari_job | status bytes | failures | a ctx for each worker | items, unless in place | results, unless in place
 *
 * The block belongs to the mapping process: if that dies, so do its workers, and the block is swept.
 */
#include "birth.h"
#include "job.h"

#include <string.h>

#define SPARE_TASK_FAILURES 2
#define SPARE_FAILURES 16 /* par_error() wants one even if the caller gave no room; the dead may leave some unfinished */

int
pari_request_check(const struct pari_request *r)
{
    const char *const *string = r->in;
    size_t product;

    if (r->fn == NULL || (r->in == NULL) != (r->in_size == 0) || (r->out == NULL) != (r->out_size == 0) ||
        (r->opts.ctx == NULL && r->opts.ctx_size > 0))
        return pari_fail(EINVAL);
    if (r->n > PARI_ITEM_MASK || !pari_mul(r->n, r->out_size, &product) || product > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    if (!pari_mul(r->n, r->in_size == PAR_STRINGS ? sizeof *string : r->in_size, &product) || product > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    for (size_t i = 0; r->in_size == PAR_STRINGS && i < r->n; i++)
        if (string[i] == NULL)
            return pari_fail(EINVAL);
    return 0;
}

static bool
is_shared(const void *array, size_t size)
{
    return size > 0 && pari_in_arena(array) && pari_in_arena((const char *)array + size - 1);
}

/* ---- layout */

struct layout {
    size_t size;
    bool fits;
};

/* Room for n * size bytes, on a cache line of its own: its offset. */
static size_t
room(struct layout *layout, size_t n, size_t size)
{
    size_t offset = layout->size, product;

    if (!pari_mul(n, size, &product) || product > PTRDIFF_MAX - PARI_CACHE_LINE ||
        offset > PTRDIFF_MAX - PARI_CACHE_LINE - product) {
        layout->fits = false;
        return 0;
    }
    layout->size = offset + (product + PARI_CACHE_LINE - 1) / PARI_CACHE_LINE * PARI_CACHE_LINE;
    return offset;
}

static size_t
strings_size(const char *const *string, size_t n)
{
    size_t size = 0;

    for (size_t i = 0; i < n; i++)
        size += strlen(string[i]) + 1; /* they lie in memory: cannot overflow unless they are the same over and over */
    return size;
}

/* The pointers, then the strings. One that has grown meanwhile is cut. */
static void
pack_strings(char *to, size_t size, const char *const *string, size_t n)
{
    char **pointer = (char **)(void *)to;
    char *at = to + n * sizeof *pointer, *end = to + size;

    for (size_t i = 0; i < n; i++) {
        size_t length = at < end ? strnlen(string[i], (size_t)(end - at) - 1) : 0;
        pointer[i] = at < end ? at : end - 1;
        memcpy(pointer[i], string[i], length); /* the block is zeroed: a NUL follows */
        at += length + 1;
    }
}

/* Each item of a task can fail or be lost once, and nobody asks for less; a worker that dies in the middle of its report leaves that. */
static size_t
n_failures(const struct pari_request *r)
{
    if (r->is_task)
        return 2 * r->n + SPARE_TASK_FAILURES;
    if (r->opts.failures == NULL)
        return SPARE_FAILURES;
    return (r->opts.max_failures < r->n ? r->opts.max_failures : r->n) + SPARE_FAILURES;
}

static int
check_travel(const struct pari_request *r, struct pari_code *code)
{
    if (r->opts.ctx_size == 0 && pari_travels(r->opts.ctx) != 0)
        return -1;
    return pari_code_of((void (*)(void))r->fn, code);
}

struct pari_job *
pari_job_new(const struct pari_request *r, unsigned n_workers, enum pari_reach reach)
{
    bool in_place = reach == PARI_SEES_ALL;
    struct layout layout = { sizeof(struct pari_job), true };
    bool has_strings = r->in_size == PAR_STRINGS;
    size_t in_bytes = has_strings ? r->n * sizeof(char *) : r->n * r->in_size; /* both were checked */
    size_t string_bytes = has_strings && !in_place ? strings_size(r->in, r->n) : 0;
    bool copy_in = r->is_task ? r->in_size > 0 : r->in != NULL && !in_place && (has_strings || !is_shared(r->in, in_bytes));
    bool copy_out = r->is_task ? r->out_size > 0 : r->out != NULL && !in_place && !is_shared(r->out, r->n * r->out_size);
    size_t max_failures = n_failures(r);
    size_t ctx_stride = (r->opts.ctx_size + PARI_CACHE_LINE - 1) / PARI_CACHE_LINE * PARI_CACHE_LINE;
    size_t status = room(&layout, r->n, 1);
    size_t failures = room(&layout, max_failures, sizeof(struct pari_failure));
    size_t ctx = room(&layout, n_workers, ctx_stride);
    size_t in = room(&layout, copy_in, in_bytes + string_bytes);
    size_t out = room(&layout, copy_out ? r->n : 0, r->out_size);
    struct pari_code code = { 0 };
    struct pari_job *job;

    if (reach == PARI_SEES_SHARED && check_travel(r, &code) != 0)
        return NULL;
    if (!layout.fits || ctx_stride < r->opts.ctx_size)
        return pari_null(EOVERFLOW);
    job = pari_heap_alloc(1, layout.size, pari_self());
    if (job == NULL)
        return NULL;
    job->fn = r->fn;
    job->code = code;
    job->in = copy_in ? (char *)job + in : r->in;
    job->in_size = r->in_size;
    job->out = copy_out ? (char *)job + out : r->out;
    job->out_size = r->out_size;
    job->ctx = r->opts.ctx_size > 0 ? (char *)job + ctx : (char *)r->opts.ctx;
    job->ctx_stride = ctx_stride;
    job->status = (_Atomic uint8_t *)((char *)job + status);
    job->failure = (struct pari_failure *)(void *)((char *)job + failures);
    job->max_failures = max_failures;
    job->chunk = r->opts.chunk < r->n ? r->opts.chunk : r->n;
    job->divisor = 2 * (uint64_t)n_workers;
    job->deadline = r->opts.deadline;
    job->is_batch = r->is_batch;
    job->is_task = r->is_task;
    if (copy_in && has_strings)
        pack_strings((char *)job + in, in_bytes + string_bytes, r->in, r->n);
    else if (copy_in && r->in != NULL)
        memcpy((char *)job + in, r->in, in_bytes);
    for (unsigned i = 0; i < n_workers; i++)
        pari_job_renew_ctx(job, r, i);
    return job;
}

void
pari_job_renew_ctx(struct pari_job *job, const struct pari_request *r, unsigned worker)
{
    if (r->opts.ctx_size > 0)
        memcpy(job->ctx + worker * job->ctx_stride, r->opts.ctx, r->opts.ctx_size);
}
