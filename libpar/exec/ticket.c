/* SPDX-License-Identifier: MIT
 *
 * ticket.c: the line of a pool's tasks. See future.h for the shared state.
 *
 * Lock order: pool->task_lock is taken last, and held for a few instructions.
 */
#include "future.h"

#include <limits.h>
#include <stdio.h>

static bool
is_queued(const struct par_future *task)
{
    return atomic_load(&task->state) == PARI_TASK_QUEUED;
}

/* Who died under the lock had taken the first one and not yet removed it, or was the creator, with whom all ends. */
static void
repair(par_pool *pool)
{
    struct par_future *first = atomic_load(&pool->first_task);

    while (first != NULL && !is_queued(first))
        first = first->next;
    atomic_store(&pool->first_task, first);
    pari_mutex_recovered(&pool->task_lock);
}

int
pari_tasks_lock(par_pool *pool)
{
    int held = pari_mutex_enter(&pool->task_lock);

    if (held == PARI_HELD_AFTER_DEATH)
        repair(pool);
    return held < 0 ? -1 : 0;
}

void
pari_tasks_unlock(par_pool *pool)
{
    (void)pari_mutex_unlock(&pool->task_lock); /* held by this thread: cannot fail */
}

void
pari_line_push(par_pool *pool, struct par_future *task, bool in_front)
{
    struct par_future *first = atomic_load(&pool->first_task);

    atomic_store(&task->state, PARI_TASK_QUEUED);
    task->next = in_front ? first : NULL;
    if (first == NULL)
        pool->last_task = task;
    if (first == NULL || in_front)
        atomic_store(&pool->first_task, task);
    else {
        pool->last_task->next = task;
        pool->last_task = task;
    }
}

bool
pari_line_remove(par_pool *pool, struct par_future *task)
{
    struct par_future *at = atomic_load(&pool->first_task), *before = NULL;

    while (at != NULL && at != task) {
        before = at;
        at = at->next;
    }
    if (at == NULL)
        return false;
    if (before == NULL)
        atomic_store(&pool->first_task, task->next);
    else
        before->next = task->next;
    if (pool->last_task == task)
        pool->last_task = before;
    return true;
}

void
pari_task_end(par_pool *pool, struct par_future *task)
{
    uint64_t state = atomic_load(&task->state);

    atomic_store(&task->ended, atomic_fetch_add(&pool->n_ended, 1) + 1);
    while (!atomic_compare_exchange_weak(&task->state, &state, PARI_TASK_ENDED | (state & PARI_TASK_LATE)))
        ; /* partner: pari_task_state */
}

/* ---- the worker */

static struct par_future *
take_locked(struct pari_seat *seat)
{
    struct par_future *task = atomic_load(&seat->pool->first_task);

    if (task == NULL)
        return NULL;
    atomic_store(&task->begun, pari_now_ns());
    atomic_store(&task->state, PARI_TASK_RUNNING | (uint64_t)seat->index << 8);
    atomic_store(&seat->pool->first_task, task->next);
    return task;
}

/* Once the line of a closed pool is empty its workers may leave. */
struct par_future *
pari_task_take(struct pari_seat *seat)
{
    par_pool *pool = seat->pool;
    struct par_future *task;

    if (pari_tasks_lock(pool) != 0)
        return NULL;
    task = take_locked(seat);
    pari_tasks_unlock(pool);
    if (task != NULL && atomic_load(&pool->first_task) == NULL && atomic_load(&pool->state) != PARI_POOL_OPEN)
        pari_eventcount_notify(&pool->work, INT_MAX);
    return task;
}

void
pari_task_run(struct pari_seat *seat, struct par_future *task)
{
    seat->job = task->job;
    seat->ctx = task->job->ctx;
    seat->text_claim = 0;
    pari_worker_run_items(seat, 0, task->n);
    seat->job = NULL;
    seat->ctx = NULL;
    if (seat->is_process)
        (void)fflush(stdout); /* as at the end of a map */
    atomic_store(&seat->record->claim, 0);
}
