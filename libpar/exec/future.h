/* SPDX-License-Identifier: MIT
 *
 * future.h: tasks that were submitted one by one, and what has become of them.
 *
 *   ticket.c      the line of tasks, from which workers take: shared
 *   future.c      the public noun
 *   desk.c        a pool's futures from its creator's side: what the dead cost, limits, callbacks
 *   async.c       maps in threads of their own
 *   imap.c        streams
 *
 * A task is a job of its own (job.h) with a few items, nearly always one, which one worker runs; so its status bytes are the truth
 * here, too.
 *
 * Shared state, by field of struct par_future and of struct par_pool:
 *   line (first_task, last_task, next)  under pool->task_lock
 *   state    PARI_TASK_QUEUED -> RUNNING | worker, under the lock, by the worker that takes it; RUNNING -> ENDED by that worker, or
 *            once that is dead by the creator, who may also put it back into the line. ENDED is the last that a worker does with it
 *   begun    by the worker that took it
 *   ended    its place in the order of ends, before ENDED
 *   the rest the creator's, under pool->task_lock what several of its threads use
 * If a process dies here: a worker that dies under the lock leaves a task that is RUNNING at the head of the line; the next one to
 * take the lock passes it over, and the creator finds the task by the dead one's number.
 */
#ifndef PARI_FUTURE_H
#define PARI_FUTURE_H

#include <par/future.h>

#include "crew.h"

#define PARI_LATE_TEXT "its time limit passed"
#define PARI_UNWANTED_TEXT "terminated while it ran"

enum pari_task_state { PARI_TASK_QUEUED, PARI_TASK_RUNNING, PARI_TASK_ENDED };

#define PARI_TASK_LATE (UINT64_C(1) << 63) /* beside RUNNING, and ENDED: it is not wanted any more */

struct par_future {
    struct pari_handle handle;
    struct pari_job *job; /* NULL: a map in a thread of its own */
    uint64_t n;           /* its items */
    struct par_future *next;
    _Atomic uint64_t state; /* enum pari_task_state, and above it the worker that runs it */
    _Atomic int64_t begun;  /* ns */
    _Atomic uint64_t ended;

    /* The creator's. */
    struct pari_crew *crew;          /* NULL: the pool is gone, and it has ended */
    struct par_future *prev, *after; /* the crew's list of all */
    int64_t limit;                   /* ns; 0: none */
    unsigned retries;
    unsigned tries;   /* that ended with the worker, of the item that has no outcome yet */
    bool is_unwanted; /* set before LATE: not for a limit of its own, it has been terminated */
    bool is_dropped;  /* freed while it ran */
    bool is_called;   /* its callback was */
    bool is_awaiting; /* for its callback */
    void (*callback)(par_future *future, void *arg);
    void *callback_arg;
    ssize_t result; /* of a map */
    int error;
};

static inline enum pari_task_state
pari_task_state(const struct par_future *task)
{
    return (enum pari_task_state)(atomic_load_explicit(&task->state, memory_order_acquire) & 0xff); /* partner: end_task */
}

/* Its worker is being killed for it, or was told to stop. */
static inline bool
pari_task_is_late(const struct par_future *task)
{
    return (atomic_load(&task->state) & PARI_TASK_LATE) != 0;
}

static inline bool
pari_task_is_with(const struct par_future *task, unsigned worker)
{
    return (atomic_load(&task->state) & ~PARI_TASK_LATE) == (PARI_TASK_RUNNING | (uint64_t)worker << 8);
}

/* ---- ticket.c */

int pari_tasks_lock(par_pool *pool);
void pari_tasks_unlock(par_pool *pool);

/* Under the lock. */
void pari_line_push(par_pool *pool, struct par_future *task, bool in_front);
bool pari_line_remove(par_pool *pool, struct par_future *task); /* false: it is not in the line */

/* It has an outcome; nothing of it is touched afterwards. The caller notifies. */
void pari_task_end(par_pool *pool, struct par_future *task);

/* The worker's: the first in the line; NULL: none. Then run it to its end. */
struct par_future *pari_task_take(struct pari_seat *seat);
void pari_task_run(struct pari_seat *seat, struct par_future *task);

/* ---- desk.c: the crew is locked, unless something else is said */

/* A worker has ended: what becomes of the task that it ran. */
void pari_desk_lose(struct pari_crew *crew, unsigned index, const struct pari_end *end, const char *text);

/* Bury and replace workers, end tasks that are too late, and those that nobody will run. */
void pari_desk_attend(struct pari_crew *crew);
void pari_desk_expire(struct pari_crew *crew);        /* only the late ones */
int64_t pari_desk_next_limit(struct pari_crew *crew); /* ns; 0: none. Any thread */

/* It ends as it is; items without an outcome have this one. Under the line's lock; the caller notifies. */
void pari_desk_end(struct pari_crew *crew, struct par_future *task, int state, const char *text);

/* Tasks that have not begun never will: PAR_CANCELLED, or PAR_UNRUN with these words. Any thread. */
void pari_desk_cancel_all(struct pari_crew *crew, int state, const char *text);

void pari_desk_close(struct pari_crew *crew); /* nobody works any more, the pool goes away: all futures end and stand alone */

/* Any thread, the crew is not locked: attend, unless another thread is about to, and sleep until there is news. -1: ETIMEDOUT, EINTR. */
void pari_desk_visit(struct pari_crew *crew); /* do what is due, unless another thread is at it */
int pari_desk_wait(struct pari_crew *crew, uint32_t key, struct pari_nap *nap, par_time deadline);

/* A thread that attends and calls back; once per pool. -1 EAGAIN, ENOMEM. */
int pari_desk_supervise(struct pari_crew *crew);
bool pari_desk_is_supervisor(const struct pari_crew *crew);       /* the calling thread */
bool pari_desk_has_calls(struct pari_crew *crew);                 /* callbacks that are due */
int pari_desk_dismiss(struct pari_crew *crew, par_time deadline); /* end it, after all callbacks. -1 ETIMEDOUT */

/* ---- future.c */

/* A task of n items, in the line. `in` NULL: the caller fills job->in before pari_future_enqueue. */
struct par_future *pari_future_new(struct pari_crew *crew, const struct pari_request *request);
int pari_future_enqueue(
    struct par_future *future); /* or run it at once. -1: EPIPE, ENOTRECOVERABLE, ...; it is still the caller's */
void pari_future_enlist(struct par_future *future); /* among the crew's; under the line's lock */
void pari_future_drop(struct par_future *future);   /* free its memory; under the lock if the crew lives */

/* What became of one of its items; it has ended. */
par_status pari_future_item(const struct par_future *future, uint64_t item);

/* The future's crew, if the calling thread may wait for it. -1: EINVAL, EPERM, EDEADLK. */
int pari_future_check(const struct par_future *future);
struct pari_word pari_future_prepare(const struct par_future *future); /* to sleep on, then look at it; none: it has ended */

#endif
