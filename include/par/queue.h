/* SPDX-License-Identifier: MIT
 *
 * par/queue.h: a queue of messages: any number of producers and consumers, threads and processes of the family alike.
 *
 *     par_queue *q = par_queue_new(NULL);
 *     par_queue_put(q, &job, sizeof job, PAR_FOREVER);                 // in any process
 *     ssize_t n = par_queue_get(q, &job, sizeof job, PAR_FOREVER);     // in any process; EPIPE once closed and drained
 *
 * A message is put and got whole or not at all; messages come out in the order in which their puts were done. The queue is
 * bounded in bytes and, if asked, in items: put waits while it is full. No thread works behind the program, so a put that has
 * returned is in the queue, also if its process is killed the next moment, and a process never waits for readers at its exit.
 *
 * If a producer is killed in the middle of a put, the message is in the queue or it is not, and the queue goes on. If a
 * consumer is killed in the middle of a get, the message is still there or it counts as got by the dead; par_queue_join tells
 * of those.
 *
 * With PAR_NOWAIT nothing waits for a message or for room; but a call may wait up to 10 ms for another one that is in the queue
 * just now and has lost the processor, so that ETIMEDOUT means empty, or full, and not merely busy.
 *
 * Errors that every call with a queue may report: EINVAL (no live queue), ENOTRECOVERABLE (its memory was damaged, or a lock's
 * holder vanished without the kernel's notice).
 */
#ifndef PAR_QUEUE_H
#define PAR_QUEUE_H

#include <par/base.h>
#include <stdlib.h>

PAR_BEGIN_DECLS

typedef struct par_queue par_queue;
typedef struct par_obj par_obj;

typedef struct par_queue_opts {
    size_t maxsize;   /* items that may wait; 0 = no limit but the capacity */
    size_t item_size; /* every message has this size, any other is EMSGSIZE; 0 = any size */
    size_t capacity;  /* bytes of small messages that may wait, rounded up to a power of two, at least 4096; 0 = 1 MiB. Messages
                         above a quarter of it wait in blocks of their own, up to sixteen times as much together */
    size_t producers; /* the queue closes itself when so many processes have been producers (by their first put, or
                         par_queue_producer_join) and all have left or died; 0 = it is closed by par_queue_close only */
    PAR_RESERVED;
} par_queue_opts;

/* Free the queue and what is still in it; NULL is fine. Only the process that made it does so; in any other the call does
 * nothing. Nobody may use the queue any more. Keeps errno.
 * Safe: any thread, forked child (does nothing there). */
PAR_API void par_queue_free(par_queue *q);

/* Make a queue. The caller owns it: par_queue_free.
 * Errors: NULL with EOVERFLOW (capacity above 2^32, item_size beyond any memory, more producers than a family has processes),
 * ENOSPC (shared memory is full), ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_queue *par_queue_new(const par_queue_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_queue_free);

/* Put the `size` bytes at `data` (NULL if there are none) as one message: 0, or -1 and nothing was put. Waits while the queue
 * is full.
 * Errors: EPIPE (closed), ETIMEDOUT (full, or a stopped process is in the middle of a put), EMSGSIZE (not of the queue's
 * item_size, or beyond any memory), ENOSPC (no shared memory for a big message), EPERM (`.producers`: it has all of its
 * producers, they live, and this process is none of them), EINTR (par_interrupt); EINVAL (also: NULL with a size),
 * ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API int par_queue_put(par_queue *q, const void *data, size_t size, par_time deadline) PAR_READS(2, 3);

/* Put the `n` messages of `size` bytes each that lie one after the other at `data`, in this order, as par_queue_put would: how many
 * were put. Waits while the queue is full, until all are in it or the deadline has passed; messages of others may come in between.
 * Many at a time cost far less than one at a time.
 * Errors: -1, and none was put, with those of par_queue_put; EOVERFLOW (n * size). Fewer than n, and errno says why it ended.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_put_many(par_queue *q, const void *data, size_t size, size_t n, par_time deadline);

/* Get the next message into `buf`, which has room for `size` bytes: its length, which may be 0. With (NULL, 0): the length of
 * the next message, which stays; another consumer may take it meanwhile.
 * Errors: EPIPE (closed and nothing is left), ETIMEDOUT, EMSGSIZE (longer than `size`; it stays), ENOSPC (no shared memory for
 * this process's account), EBADMSG (damaged), EINTR (par_interrupt); EINVAL (also: NULL with a size), ENOTRECOVERABLE as
 * above.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_get(par_queue *q, void *buf, size_t size, par_time deadline) PAR_MUST_CHECK PAR_WRITES(2, 3);

/* Wait for a message as par_queue_get, and get with it those that follow, as long as they are there and of `size` bytes as well, up
 * to `max`: how many, one after the other at `buf`. Messages that wait in blocks of their own come one at a time. For
 * par_queue_task_done each is a get.
 * Errors: those of par_queue_get; EMSGSIZE (the next message is not of `size` bytes; it stays); EOVERFLOW (max * size); EINVAL
 * (also: max is 0).
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_get_many(par_queue *q, void *buf, size_t size, size_t max, par_time deadline) PAR_MUST_CHECK;

/* Get the next message, of any size, in memory of its own, which the caller frees with free(). One zero byte follows the
 * message, so that text is a string. `*size` (unless `size` is NULL) is its length.
 * Errors: NULL with those of par_queue_get, never EMSGSIZE; ENOMEM (the message stays).
 * Safe: any thread, forked child. */
PAR_API void *par_queue_get_alloc(par_queue *q, size_t *size, par_time deadline) PAR_MUST_CHECK PAR_RELEASED_BY(free);

/* Copy the next message to buf, as par_queue_get does, and let it stay.
 * Errors: those of par_queue_get.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_peek(par_queue *q, void *buf, size_t size, par_time deadline) PAR_MUST_CHECK PAR_WRITES(2, 3);

/* Drop the messages that wait now, as tasks that are done, and tell how many. Behind par_queue_close it is the end at once.
 * Errors: EINVAL, ENOTRECOVERABLE as above; ENOSPC (no shared memory for the count of what this process has got).
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_clear(par_queue *q);

/* Get the next message and drop it; for par_queue_task_done it is a get as any other.
 * Errors: those of par_queue_get, never EMSGSIZE.
 * Safe: any thread, forked child. */
PAR_API int par_queue_skip(par_queue *q, par_time deadline);

/* Put a dynamic value (par/obj.h). The value is taken over, also when the call fails; NULL, the result of a constructor that
 * found no memory, is ENOMEM.
 * Errors: those of par_queue_put; ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_queue_put_obj(par_queue *q, par_obj *o, par_time deadline);

/* Get a dynamic value; the caller frees it with par_obj_free.
 * Errors: NULL with those of par_queue_get, never EMSGSIZE; EBADMSG also for a message that is no value or holds what a value
 * cannot (it stays: get its bytes or skip it); ENOMEM (it stays).
 * Safe: any thread, forked child. */
PAR_API par_obj *par_queue_get_obj(par_queue *q, par_time deadline) PAR_MUST_CHECK;

/* Say that the work on one message which this process got is done.
 * Errors: ERANGE (more often than this process got messages); EINVAL as above.
 * Safe: any thread, forked child. */
PAR_API int par_queue_task_done(par_queue *q);

/* Wait until every message that was put has been got and its consumer has called par_queue_task_done for it, or has died
 * before it did. 0: all done. k > 0: all done but k messages, whose consumers died with them; each is told once, par_error()
 * names the last of those processes, and whoever still has the work may put it again.
 * Errors: ETIMEDOUT, EINTR (par_interrupt); EINVAL, ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_join(par_queue *q, par_time deadline);

/* Be one of the queue's `.producers` from now on, not only from the first put; calling again is fine. Without that option
 * nothing happens.
 * Errors: EPIPE (closed), EPERM (it has all of its producers, and they live), ETIMEDOUT (a stopped process is in the middle of
 * a put); EINVAL, ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API int par_queue_producer_join(par_queue *q);

/* This process puts no more. When the last of the queue's `.producers` leaves, the queue is closed. A process that is no
 * producer may call it, too; a later put makes it one again.
 * Errors: ETIMEDOUT (a stopped process is in the middle of a put); EINVAL, ENOTRECOVERABLE as above.
 * Safe: any thread, forked child. */
PAR_API int par_queue_producer_leave(par_queue *q);

/* How many messages wait in the queue. Others may change it at any moment.
 * Errors: -1 with EINVAL.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_queue_qsize(const par_queue *q);

/* Is no message waiting? True for what is no queue.
 * Safe: any thread, forked child. */
PAR_API bool par_queue_empty(const par_queue *q);

/* Would a put of one small message wait now? False for what is no queue.
 * Safe: any thread, forked child. */
PAR_API bool par_queue_full(const par_queue *q);

/* The descriptor to watch in an event loop (poll, epoll level-triggered), this process's own and the same at each call; it stays the
 * library's: do not read or close it. Readable means: get with PAR_NOWAIT until that is ETIMEDOUT, which makes the descriptor
 * unreadable until there is something again. It may be readable although there is no message, twice a second if nothing else; never
 * the reverse, but a message whose producer was killed right behind the put may be told half a second late. It is closed when its
 * process frees the queue, or asks for the descriptor of another one after somebody else has. Each has two more descriptors behind it.
 * Errors: ENOSPC (eight live processes have one of this queue), EMFILE, ENFILE, ENOMEM; EINVAL as above.
 * Safe: any thread, forked child (which gets its own). */
PAR_API int par_queue_fileno(par_queue *q);

/* Close the queue for everybody: put is EPIPE at once, get once the rest has been got. Closing again is fine. Keeps errno.
 * Safe: any thread, forked child, signal handler (of a process that has used the queue before). */
PAR_API void par_queue_close(par_queue *q);

PAR_END_DECLS

#endif
