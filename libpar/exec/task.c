/* SPDX-License-Identifier: MIT
 *
 * task.c: what a task may ask of the worker that runs it.
 *
 * Everything hangs on the seat of the calling thread. A process that a task forks inherits the seat: questions are answered there
 * too, but it cannot allocate results, which would be swept with it.
 */
#include "worker.h"

#include <stdarg.h>
#include <string.h>

size_t
par_task_index(void)
{
    const struct pari_seat *seat = pari_seat;

    if (seat == NULL || seat->job == NULL)
        return SIZE_MAX;
    return (size_t)(atomic_load_explicit(&seat->record->claim, memory_order_relaxed) & PARI_ITEM_MASK); /* our own store */
}

int
par_task_fail(int code, const char *format, ...)
{
    struct pari_seat *seat = pari_seat;
    va_list args;

    if (seat != NULL && seat->job != NULL && format != NULL) {
        seat->text_claim = atomic_load_explicit(&seat->record->claim, memory_order_relaxed); /* our own store */
        memset(seat->text, 0, sizeof seat->text);
        va_start(args, format);
        (void)vsnprintf(seat->text, sizeof seat->text, format, args);
        va_end(args);
    }
    return code != 0 ? code : -1;
}

static int
remember_block(struct pari_seat *seat, void *block)
{
    if (seat->n_blocks == seat->room) {
        size_t room = seat->room ? 2 * seat->room : 16;
        void **more = pari_realloc(seat->block, room * sizeof *more);
        if (more == NULL)
            return -1;
        seat->block = more;
        seat->room = room;
    }
    seat->block[seat->n_blocks++] = block;
    return 0;
}

void *
par_task_alloc(size_t n, size_t size)
{
    struct pari_seat *seat = pari_seat;
    void *block;

    if (seat == NULL || seat->job == NULL || seat->pid != pari_self_pid())
        return pari_null(EPERM);
    if (n == 0 || size == 0)
        return pari_null(EINVAL);
    if (seat->job->is_batch) /* which outlives the item that has allocated it */
        return pari_null(ENOTSUP);
    block = pari_heap_alloc(n, size, pari_self());
    if (block == NULL)
        return NULL;
    if (remember_block(seat, block) != 0) {
        (void)pari_heap_free(block); /* a live block of ours: cannot fail */
        return pari_null(ENOMEM);
    }
    pari_heap_fate(block, &seat->job->status[par_task_index()], PARI_FINAL(PAR_OK));
    return block;
}

/* Whoever is the first to see it stops the job, so that no further item is started under tasks that return early. The mapper finds
 * the same reason when the workers have left. */
bool
par_task_cancelled(void)
{
    struct pari_seat *seat = pari_seat;
    struct pari_job *job = seat ? seat->job : NULL;

    if (job == NULL)
        return false;
    if (atomic_load_explicit(&job->stop, memory_order_relaxed) != 0) /* a hint, sooner or later */
        return true;
    if (atomic_load(&seat->pool->state) != PARI_POOL_TERMINATED && (job->deadline.ns == 0 || !pari_is_over(job->deadline)))
        return false;
    atomic_store(&job->stop, 1);
    return true;
}

void *
par_worker_state(void)
{
    return pari_seat ? pari_seat->state : NULL;
}

int
par_worker_index(void)
{
    return pari_seat ? (int)pari_seat->index : -1;
}
