/* SPDX-License-Identifier: MIT
 *
 * worker.h: what a pool shares with its workers, and the one loop that all workers run.
 */
#ifndef PARI_WORKER_H
#define PARI_WORKER_H

#include "job.h"

#include <sys/types.h>

enum { PARI_POOL_OPEN, PARI_POOL_CLOSED, PARI_POOL_TERMINATED };

enum {
    PARI_WORKER_NONE,
    PARI_WORKER_STARTING, /* set by the creator; the initializer runs */
    PARI_WORKER_READY,
    PARI_WORKER_ENDED /* a thread: nothing of it touches the pool any more */
};

/* One worker's record. Only the worker writes it, on cache lines of its own; the creator does while there is no worker in it. */
struct pari_worker {
    _Atomic uint64_t claim; /* the item it runs: pass tag and index; 0 between passes. One store names what its death costs */
    _Atomic uint64_t in;    /* the pass it is in; 0: it touches no job */
    _Atomic uint64_t done;  /* items finished in this job, failed ones included */
    _Atomic uint64_t failed;
    _Atomic uint64_t tasks;  /* items of tasks that were submitted, which are none of a map's */
    _Atomic uint64_t member; /* a process worker; 0: none, or a thread. Written by the creator */
    _Atomic uint32_t phase;
    _Atomic int32_t refusal;      /* what the initializer returned */
    _Atomic uint32_t has_retired; /* it has run max_tasks items and ends: no death */
    _Atomic uint64_t first, end;  /* as claims: what lies between first and the claim is done, at the end nothing is claimed */
    char pad[128 - 80];
};

static_assert(sizeof(struct pari_worker) == 128, "workers do not share cache lines");

struct par_pool {
    struct pari_handle handle;
    uint32_t n_workers; /* places for them */
    uint32_t backend;
    _Atomic uint32_t n_wanted;     /* those of the first places: who has another one leaves. Written by the creator */
    _Atomic bool may_spin;         /* there is a processor for each of them */
    uint64_t max_tasks;            /* of each worker; UINT64_MAX: no limit */
    _Atomic uint32_t state;        /* PARI_POOL_OPEN ...; only ever rises */
    _Atomic uint32_t is_busy;      /* a map runs: nobody leaves a closed pool meanwhile */
    _Atomic int64_t terminated_at; /* ns; 0: not */
    _Atomic uint64_t pass;         /* the pass that is open to workers; 0: none */
    struct pari_job *_Atomic job;  /* its job: set before `pass`, valid for those who are in it */
    struct pari_eventcount work;   /* workers sleep here */
    struct pari_belled news;       /* the creator sleeps here */

    struct pari_mutex task_lock;           /* over the line of tasks: see future.h */
    struct par_future *_Atomic first_task; /* NULL: nothing is to be taken */
    struct par_future *last_task;
    _Atomic uint64_t n_ended;
    _Alignas(PARI_CACHE_LINE) struct pari_worker worker[];
};

/* The thread that runs tasks, as they see it. Private to its process. */
struct pari_seat {
    par_pool *pool;
    struct pari_worker *record;
    struct pari_job *job; /* NULL outside tasks */
    void *ctx;
    void *state;     /* the initializer's */
    pid_t pid;       /* a child that a task forks inherits the seat, but it is not its own */
    uint64_t n_left; /* items that it may still run */
    uint64_t pace;   /* items of this job that it does in PACE_NS, by its last chunk */
    unsigned index;
    bool is_process;
    bool has_worked;
    bool is_away;          /* no fork of the creator's: functions come as code */
    struct pari_code code; /* the last one, which is `fn` here */
    par_fn *fn;
    void **block; /* what the running task has allocated */
    size_t n_blocks, room;
    uint64_t text_claim; /* the claim that `text` belongs to */
    char text[sizeof((par_status *)0)->text];
};

extern _Thread_local struct pari_seat *pari_seat; /* NULL outside workers */

/* Run the initializer, then jobs until the pool is over or its creator is dead. Returns 0, or what the initializer returned. The
 * caller runs the finalizer. */
int pari_worker_run(struct pari_seat *seat, int (*initializer)(void *arg, void **state), void *initarg);

/* Run items first .. end - 1 that have no outcome yet, until the job is stopped. */
void pari_worker_run_items(struct pari_seat *seat, uint64_t first, uint64_t end);

/* By the creator, of a worker that has died: what it had done of the items that it was with has this status. False: it had claimed none
 * beyond. `n` items has the job. */
bool pari_worker_settle(struct pari_worker *record, const struct pari_job *job, _Atomic uint8_t *status, uint64_t n,
                        uint64_t *claimed);

/* Free what the running task has allocated: it has failed. */
void pari_seat_free_blocks(struct pari_seat *seat);

/* As pari_eventcount_wait for those who cannot leave: the deadline's passing and par_interrupt only end the nap. */
void pari_pool_sleep(struct pari_eventcount *ec, uint32_t key, struct pari_nap *nap, const pari_member *peers, unsigned n_peers,
                     par_time deadline);

#endif
