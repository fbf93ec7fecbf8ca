/* SPDX-License-Identifier: MIT
 *
 * imap.c: par_imap, a stream of results: chunks of items in a bounded window.
 *
 * Private to the thread that uses the stream. The window is a ring of chunks, each a task (future.h); the chunk from which results
 * are fetched just now is `open`. The source is asked only by par_imap_next, and never beyond the window.
 */
#include "future.h"

#include <stdlib.h>
#include <string.h>

#define CHUNKS_PER_WORKER 8
#define WINDOW_MAX (SIZE_MAX >> 24)

struct chunk {
    par_future *future; /* NULL: the end of the stream, because the source failed */
    uint64_t first;     /* the number of its first item in the stream */
};

struct par_imap {
    struct pari_handle handle;
    par_pool *pool;
    struct pari_crew *crew;      /* of the pool, as long as there is one */
    struct pari_request request; /* of a chunk; ctx is ours */
    par_source *source;
    void *source_arg;
    bool is_unordered;
    bool is_dry;      /* the source has ended */
    int source_error; /* errno, to be told behind the last item; 0 */
    uint64_t n_taken; /* items that the source has given */
    size_t size, n;   /* the window's room and use, in chunks */
    struct chunk *window;
    struct chunk open; /* its results are being fetched; future NULL: none */
    uint64_t next;     /* item of it */
};

/* ---- filling the window */

/* Ask the source for the items of one chunk: how many. */
static uint64_t
draw(par_imap *imap, char *items)
{
    uint64_t n = 0;

    while (n < imap->request.n && !imap->is_dry) {
        int got = imap->source(items + n * imap->request.in_size, imap->source_arg);
        if (got == 1)
            n++;
        else
            imap->is_dry = true;
        if (got < 0)
            imap->source_error = errno != 0 ? errno : EIO;
    }
    return n;
}

/* 1: another chunk is under way; 0: the source has none; -1. */
static int
add_chunk(par_imap *imap)
{
    par_future *future = pari_future_new(imap->crew, &imap->request);
    uint64_t n;

    if (future == NULL)
        return -1;
    n = draw(imap, (char *)(uintptr_t)future->job->in); /* our own block: writable */
    future->n = n;
    future->job->end = n;
    if (n == 0 || pari_future_enqueue(future) != 0) {
        int error = errno;
        future->crew = NULL; /* it was not enlisted */
        pari_future_drop(future);
        return n == 0 ? 0 : pari_fail(error);
    }
    imap->window[imap->n++] = (struct chunk){ future, imap->n_taken };
    imap->n_taken += n;
    return 1;
}

static int
fill(par_imap *imap)
{
    while (!imap->is_dry && imap->n < imap->size)
        if (add_chunk(imap) < 0)
            return -1;
    return 0;
}

/* ---- fetching */

static size_t
first_ended(const par_imap *imap)
{
    size_t at = SIZE_MAX;

    for (size_t i = 0; i < imap->n; i++) {
        const par_future *future = imap->window[i].future;
        if (pari_task_state(future) == PARI_TASK_ENDED &&
            (at == SIZE_MAX || atomic_load(&future->ended) < atomic_load(&imap->window[at].future->ended)))
            at = i;
    }
    return at;
}

/* Which of the window's chunks can be opened; SIZE_MAX: none yet. */
static size_t
find_chunk(const par_imap *imap)
{
    if (imap->is_unordered)
        return first_ended(imap);
    return pari_task_state(imap->window[0].future) == PARI_TASK_ENDED ? 0 : SIZE_MAX;
}

/* The window is not empty. */
static int
open_chunk(par_imap *imap, par_time deadline)
{
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&imap->crew->pool->news.ec);
        size_t at = find_chunk(imap);
        if (at != SIZE_MAX) {
            imap->open = imap->window[at];
            imap->next = 0;
            imap->n--;
            memmove(&imap->window[at], &imap->window[at + 1], (imap->n - at) * sizeof *imap->window);
            return 0;
        }
        if (pari_desk_wait(imap->crew, key, &nap, deadline) != 0)
            return -1;
    }
}

static int
fetch(par_imap *imap, void *out, par_status *status)
{
    struct pari_job *job = imap->open.future->job;
    par_status entry = pari_future_item(imap->open.future, imap->next);

    if (entry.state == PAR_OK && out != NULL && job->out_size > 0)
        memcpy(out, job->out + imap->next * job->out_size, job->out_size);
    entry.index = (size_t)(imap->open.first + imap->next);
    if (++imap->next == imap->open.future->n) {
        par_future_free(imap->open.future);
        imap->open.future = NULL;
    }
    if (status != NULL)
        *status = entry;
    if (entry.state != PAR_OK)
        pari_say("%s", entry.text);
    return entry.state == PAR_OK ? 1 : 2;
}

static int
tell_source_error(par_imap *imap, par_status *status)
{
    par_status entry = { .index = (size_t)imap->n_taken, .state = PAR_FAILED, .code = imap->source_error };

    (void)snprintf(entry.text, sizeof entry.text, "the source failed: %s", strerror(imap->source_error));
    imap->source_error = 0;
    if (status != NULL)
        *status = entry;
    pari_say("%s", entry.text);
    return 2;
}

static int
next_result(par_imap *imap, void *out, par_status *status, par_time deadline)
{
    if (fill(imap) != 0 && imap->n == 0 && imap->open.future == NULL)
        return -1; /* nothing is under way */
    if (imap->open.future == NULL) {
        if (imap->n == 0)
            return imap->source_error != 0 ? tell_source_error(imap, status) : 0;
        if (open_chunk(imap, deadline) != 0)
            return -1;
    }
    return fetch(imap, out, status);
}

int
par_imap_next(par_imap *imap, void *out, par_status *status, par_time deadline)
{
    int result, cancel;

    if (pari_handle_check_mine(imap, PARI_IMAP) != 0)
        return -1;
    if (pari_crew_of(imap->pool) != imap->crew)
        return pari_fail(EPIPE);
    if ((pari_seat != NULL && pari_seat->pool == imap->crew->pool) || pari_desk_is_supervisor(imap->crew))
        return pari_fail(EDEADLK);
    cancel = pari_cancel_off();
    result = next_result(imap, out, status, deadline);
    pari_cancel_restore(cancel);
    return result;
}

/* ---- its life */

void
par_imap_free(par_imap *imap)
{
    int saved = errno;

    if (imap != NULL && pari_handle_check_mine(imap, PARI_IMAP) == 0) {
        for (size_t i = 0; i < imap->n; i++)
            par_future_free(imap->window[i].future);
        par_future_free(imap->open.future);
        if (imap->request.opts.ctx_size > 0)
            free((void *)imap->request.opts.ctx);
        free(imap->window);
        pari_handle_free(imap);
    }
    errno = saved;
}

static int
copy_ctx(par_imap *imap, const par_imap_opts *opts)
{
    void *copy;

    imap->request.opts.ctx = opts->ctx;
    if (opts->ctx_size == 0)
        return 0;
    copy = pari_malloc(opts->ctx_size);
    if (copy == NULL)
        return -1;
    imap->request.opts.ctx = memcpy(copy, opts->ctx, opts->ctx_size);
    imap->request.opts.ctx_size = opts->ctx_size;
    return 0;
}

static int
check(const struct pari_request *r, const par_imap_opts *opts)
{
    size_t product;

    if (r->fn == NULL || r->in_size == 0 || (opts->ctx == NULL && opts->ctx_size > 0))
        return pari_fail(EINVAL);
    if (opts->window > WINDOW_MAX || r->n > WINDOW_MAX)
        return pari_fail(EOVERFLOW);
    if (!pari_mul(r->n, r->in_size, &product) || product > PTRDIFF_MAX || !pari_mul(r->n, r->out_size, &product) ||
        product > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    return 0;
}

static size_t
window_size(const struct pari_crew *crew, const par_imap_opts *opts, uint64_t chunk)
{
    size_t size = opts->window / (size_t)chunk;

    if (opts->window == 0)
        size = (size_t)CHUNKS_PER_WORKER * atomic_load(&crew->pool->n_wanted);
    return size > 0 ? size : 1;
}

par_imap *
par_pool_imap(par_pool *pool, par_fn *fn, par_source *source, void *source_arg, size_t in_size, size_t out_size,
              const par_imap_opts *opts)
{
    static const par_imap_opts defaults;
    struct pari_request request = { .fn = fn, .in_size = in_size, .out_size = out_size, .is_task = true };
    struct pari_crew *crew = pari_crew_of(pool);
    par_imap *imap;

    if (opts == NULL)
        opts = &defaults;
    request.n = opts->chunk > 0 ? opts->chunk : 1;
    if (crew == NULL || check(&request, opts) != 0)
        return NULL;
    if (source == NULL)
        return pari_null(EINVAL);
    if (atomic_load(&pool->state) != PARI_POOL_OPEN)
        return pari_null(EPIPE);
    imap = pari_handle_new_private(PARI_IMAP, sizeof *imap);
    if (imap == NULL)
        return NULL;
    imap->pool = pool;
    imap->crew = crew;
    imap->request = request;
    imap->source = source;
    imap->source_arg = source_arg;
    imap->is_unordered = opts->unordered;
    imap->size = window_size(crew, opts, request.n);
    imap->window = pari_malloc(imap->size * sizeof *imap->window);
    if (imap->window == NULL || copy_ctx(imap, opts) != 0) {
        int error = errno;
        par_imap_free(imap);
        return pari_null(error);
    }
    return imap;
}
