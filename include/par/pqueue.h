/* SPDX-License-Identifier: MIT
 *
 * par/pqueue.h: a queue with an order of its own: the most urgent item first, or the one put last; and items on lease.
 *
 *     par_pqueue *q = par_pqueue_new(&(par_pqueue_opts){ .item_size = sizeof(struct job) });
 *     par_pqueue_put(q, &job, sizeof job, 10, PAR_FOREVER);               // in any process; the lowest number comes first
 *     par_pqueue_get(q, &job, sizeof job, PAR_FOREVER);                   // in any process
 *
 *     par_lease lease;                                                     // or so that no death loses the work:
 *     while (par_pqueue_lease(q, &job, sizeof job, &lease, PAR_FOREVER) >= 0) {
 *         if (lease.deliveries > 3)
 *             complain(&job, lease.lost_pid);                              // it has killed three that had it
 *         else
 *             work(&job);
 *         par_pqueue_ack(q, &lease, PAR_FOREVER);
 *     }
 *
 * Items lie in places of one size, as many as the queue was made with; an item on lease keeps its place until it is acknowledged.
 * Equal numbers come out in the order in which they were put.
 *
 * If a process is killed in the middle of a put, the item is in the queue or it is not. If it is killed in the middle of a get, the
 * item is still there or is gone with it. An item on lease comes back, to where it was in the order, when the process that has it
 * dies, as often as that happens; each lease tells how often and who had it last. Nobody waits for the dead.
 *
 * Errors that every call with a queue may report: EINVAL (no live queue), ENOTRECOVERABLE (its lock's holder vanished without the
 * kernel's notice).
 */
#ifndef PAR_PQUEUE_H
#define PAR_PQUEUE_H

#include <par/base.h>

PAR_BEGIN_DECLS

typedef struct par_pqueue par_pqueue;

enum par_order {
    PAR_LOWEST_FIRST, /* as Python's PriorityQueue */
    PAR_LAST_FIRST,   /* as Python's LifoQueue: the number that is given with an item means nothing */
    PAR_FIRST_FIRST   /* nor does it here */
};

typedef struct par_pqueue_opts {
    size_t item_size; /* the largest item in bytes; 0 = 256 */
    size_t maxsize;   /* places for items, those on lease included; 0 = 1024 */
    int order;        /* enum par_order */
    PAR_RESERVED;
} par_pqueue_opts;

/* What a consumer has on lease. */
typedef struct par_lease {
    uint64_t number;     /* of the item */
    size_t place;        /* of the item */
    int64_t priority;    /* as it was put */
    unsigned deliveries; /* how often it was leased, this time included */
    pid_t lost_pid;      /* who died with it last; 0: nobody has */
} par_lease;

/* Free the queue and what is still in it; NULL is fine. Only the process that made it does so; in any other the call does
 * nothing. Nobody may use the queue any more. Keeps errno.
 * Safe: any thread, forked child (does nothing there). */
PAR_API void par_pqueue_free(par_pqueue *q);

/* Make a queue. The caller owns it: par_pqueue_free.
 * Errors: NULL with EINVAL (no order), EOVERFLOW (more than 2^31 places, or larger than any memory), ENOSPC (shared memory is
 * full), ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_pqueue *par_pqueue_new(const par_pqueue_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_pqueue_free);

/* Put the `size` bytes at `data` (NULL if there are none) as one item: 0, or -1 and nothing was put. Waits while there is no
 * place.
 * Errors: EPIPE (closed), ETIMEDOUT (full, or a stopped process is in the middle of a call), EMSGSIZE (larger than a place), EINTR
 * (par_interrupt); EINVAL (also: NULL with a size), ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API int par_pqueue_put(par_pqueue *q, const void *data, size_t size, int64_t priority, par_time deadline) PAR_READS(2, 3);

/* Get the first item into `buf`, which has room for `size` bytes: its length, which may be 0.
 * Errors: EPIPE (closed, nothing is left, and nothing is on lease that might come back), ETIMEDOUT, EMSGSIZE (longer than
 * `size`; it stays), EINTR (par_interrupt); EINVAL (also: NULL with a size), ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_pqueue_get(par_pqueue *q, void *buf, size_t size, par_time deadline) PAR_MUST_CHECK PAR_WRITES(2, 3);

/* The same, but the item is this process's on lease until it is acknowledged or given back, by any of its threads, or the process
 * ends: then it is in the queue again, and somebody else gets it.
 * Errors: those of par_pqueue_get; EINVAL also if `lease` is NULL.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_pqueue_lease(par_pqueue *q, void *buf, size_t size, par_lease *lease, par_time deadline) PAR_MUST_CHECK
    PAR_WRITES(2, 3);

/* The work on an item is done: it leaves the queue.
 * Errors: ENOENT (it is not on lease any more), EPERM (another process has it), ETIMEDOUT (a process that is stopped, or
 * has lost the processor, is in the middle of a call), EINTR (par_interrupt); EINVAL, ENOTRECOVERABLE as above.
 * Safe: any thread, forked child (EPERM for what its parent has). */
PAR_API int par_pqueue_ack(par_pqueue *q, const par_lease *lease, par_time deadline);

/* Give an item back undone: it waits again where it was in the order.
 * Errors: those of par_pqueue_ack.
 * Safe: any thread, forked child (EPERM for what its parent has). */
PAR_API int par_pqueue_nack(par_pqueue *q, const par_lease *lease, par_time deadline);

/* How many items wait; how many are on lease. Others may change it at any moment.
 * Errors: -1 with EINVAL.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_pqueue_qsize(const par_pqueue *q);
PAR_API ssize_t par_pqueue_leased(const par_pqueue *q);

/* The descriptor to watch in an event loop, as that of par_queue_fileno.
 * Errors: ENOSPC (eight live processes have one of this queue), EMFILE, ENFILE, ENOMEM; EINVAL as above.
 * Safe: any thread, forked child (which gets its own). */
PAR_API int par_pqueue_fileno(par_pqueue *q);

/* Close the queue for everybody: put is EPIPE at once, get and lease once the rest has been got. Closing again is fine. Keeps errno.
 * Safe: any thread, forked child, signal handler (of a process that has used the queue before). */
PAR_API void par_pqueue_close(par_pqueue *q);

PAR_END_DECLS

#endif
