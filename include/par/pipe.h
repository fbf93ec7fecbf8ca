/* SPDX-License-Identifier: MIT
 *
 * par/pipe.h: a pipe: two connection ends, whole messages, one process at each end.
 *
 *     par_conn *end[2];
 *     par_pipe(end, NULL);                                  // end[0] receives, end[1] sends
 *     par_process_start(reader, end[0], 0, &(par_process_opts){.give = {end[0]}});
 *     par_conn_send(end[1], &i, sizeof i, PAR_FOREVER);     // in the parent
 *     ssize_t n = par_conn_recv(end, &x, sizeof x, par_in(2));  // in the child, where `end` is its argument
 *
 * A message arrives whole or not at all, in the order sent, whatever its length; zero is a length like any other, so the end
 * of the stream is not a length but EPIPE. The messages travel in shared memory; a call makes no system call while the other
 * end is awake.
 *
 * An end belongs to one process: to the one that called par_pipe, until it is given to a child (`.give` of par_process_start).
 * In every other process it is EPERM, and it need not be closed there. When its owner closes it, exits or is killed, the other
 * end gets EPIPE: a receiver after the last message that was sent, a sender at once. One thread at a time uses an end.
 *
 * Errors that every call with an end may report: EINVAL (no live end), EPERM (the end belongs to another process), EBADF (this
 * process has closed the end, or it does not go that way: receiving from one that only sends, or the reverse).
 */
#ifndef PAR_PIPE_H
#define PAR_PIPE_H

#include <par/base.h>
#include <stdlib.h>

PAR_BEGIN_DECLS

typedef struct par_conn par_conn;
typedef struct par_obj par_obj;

typedef struct par_pipe_opts {
    bool duplex;      /* both ends send and receive */
    size_t item_size; /* every message has this size, any other is EMSGSIZE; 0 = any size */
    size_t capacity;  /* bytes of small messages that may wait in one direction, rounded up to a power of two, at least 4096;
                         0 = 256 KiB. Messages above a quarter of it wait in blocks of their own, up to sixteen times as much
                         together */
    PAR_RESERVED;
} par_pipe_opts;

/* Make a pipe; both ends belong to the calling process. end[0] receives and end[1] sends; with `.duplex` both do both. The
 * caller owns the ends: par_conn_free each that it does not give away. `end` is written on success only.
 * Errors: EINVAL (`end` is NULL), EOVERFLOW (capacity above 2^32, item_size beyond any memory), ENOSPC (shared memory is full),
 * EMFILE and ENFILE (a pipe takes two descriptors, one per end), ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_pipe(par_conn *end[2], const par_pipe_opts *opts) PAR_MUST_CHECK;

/* Send the `size` bytes at `data` (NULL if there are none) as one message: 0, or -1 and nothing was sent. Waits while the pipe
 * is full. 0 means that the message is there for the other end, not that it was received.
 * Errors: EPIPE (the other end is closed or its process dead), ETIMEDOUT, EMSGSIZE (not of the pipe's item_size, or beyond
 * any memory), ENOSPC (no shared memory for a big message), ENOTRECOVERABLE (the pipe's memory was damaged), EINTR
 * (par_interrupt); EINVAL (also: NULL with a size), EPERM, EBADF as above.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_send(par_conn *c, const void *data, size_t size, par_time deadline) PAR_READS(2, 3);

/* Receive the next message into `buf`, which has room for `size` bytes: its length, which may be 0. With (NULL, 0): the length
 * of the next message, which stays, so that a buffer can be made for it.
 * Errors: EPIPE (no message is left and the other end is closed or its process dead), ETIMEDOUT, EMSGSIZE (longer than `size`;
 * it stays: receive it with more room, or skip it), EBADMSG (damaged; receive no more, free the end), EINTR (par_interrupt);
 * EINVAL (also: NULL with a size), EPERM, EBADF as above.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API ssize_t par_conn_recv(par_conn *c, void *buf, size_t size, par_time deadline) PAR_MUST_CHECK PAR_WRITES(2, 3);

/* Receive the next message, of any size, in memory of its own, which the caller frees with free(). One zero byte follows the
 * message, so that text is a string. `*size` (unless `size` is NULL) is its length.
 * Errors: NULL with those of par_conn_recv, never EMSGSIZE; ENOMEM (the message stays).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API void *par_conn_recv_alloc(par_conn *c, size_t *size, par_time deadline) PAR_MUST_CHECK PAR_RELEASED_BY(free);

/* Receive the next message and drop it.
 * Errors: those of par_conn_recv, never EMSGSIZE.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_skip(par_conn *c, par_time deadline);

/* Send a dynamic value (par/obj.h). The value is taken over, also when the call fails; NULL, the result of a constructor that
 * found no memory, is ENOMEM.
 * Errors: those of par_conn_send; ENOMEM.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_send_obj(par_conn *c, par_obj *o, par_time deadline);

/* Receive a dynamic value; the caller frees it with par_obj_free.
 * Errors: NULL with those of par_conn_recv, never EMSGSIZE; EBADMSG also for a message that is no value or holds what a value
 * cannot (it stays: receive its bytes or skip it); ENOMEM (it stays).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API par_obj *par_conn_recv_obj(par_conn *c, par_time deadline) PAR_MUST_CHECK;

/* Send a copy of a descriptor (a file, a socket): 0, or -1 and nothing was sent. It keeps its place among the messages and is
 * received by par_conn_recv_fd alone; for par_conn_recv it is EBADMSG.
 * Errors: those of par_conn_send; EINVAL also if fd is no open descriptor, ETOOMANYREFS (too many are under way).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_send_fd(par_conn *c, int fd, par_time deadline);

/* Receive the descriptor that is the next message: the caller's, close-on-exec.
 * Errors: those of par_conn_recv, never EMSGSIZE; EBADMSG also if the next message is none (it stays); EMFILE (this process may open
 * no more; the descriptor is lost).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_recv_fd(par_conn *c, par_time deadline) PAR_MUST_CHECK;

/* Send an end of another pipe, which belongs to whoever receives it: 0, and from then on it is EPERM here; or -1 and nothing was
 * sent. Until it is received it dies with its sender or its receiver.
 * Errors: those of par_conn_send; EINVAL also if `end` is an end of this very pipe, EBUSY (descriptors that came to it were not
 * received), ETOOMANYREFS.
 * Safe: any thread (one at a time per end), forked child that owns both. */
PAR_API int par_conn_send_conn(par_conn *c, par_conn *end, par_time deadline);

/* Receive the end of a pipe that is the next message: the caller's, who frees it.
 * Errors: NULL with those of par_conn_recv, never EMSGSIZE; EBADMSG also if the next message is none (it stays), or its sender has
 * freed the pipe; EMFILE (this process may open no more descriptors; the end is closed).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API par_conn *par_conn_recv_conn(par_conn *c, par_time deadline) PAR_MUST_CHECK;

/* Wait until par_conn_recv would not wait, because there is a message or the stream has ended: 0. Takes nothing.
 * Errors: ETIMEDOUT, EBADMSG, EINTR (par_interrupt); EINVAL, EPERM, EBADF as above.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_poll(par_conn *c, par_time deadline);

/* The descriptor to watch in an event loop (poll, epoll level-triggered), the same at each call; it stays the library's: do
 * not read, write or close it. Readable means: receive with PAR_NOWAIT until that is ETIMEDOUT, which makes the descriptor
 * unreadable again. It may be readable although there is no message, never the reverse. The descriptor of an end that only
 * sends becomes readable when the other end is closed or its process dead.
 * Errors: EINVAL, EPERM, EBADF (closed).
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API int par_conn_fileno(par_conn *c);

/* Close this end: the other end receives what was sent, then EPIPE. What was sent to this end and not received is lost. The
 * handle stays until par_conn_free. Closing again, and closing in a process that does not own the end, does nothing. Keeps
 * errno.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API void par_conn_close(par_conn *c);

/* Close this end and free it; NULL is fine. In a process that does not own the end it does nothing, unless the owner is dead.
 * The memory of the pipe is released once both ends are freed; an end whose owner is dead counts as freed then, its handle is
 * gone together with the other. Keeps errno.
 * Safe: any thread (one at a time per end), forked child that owns the end. */
PAR_API void par_conn_free(par_conn *c);

PAR_END_DECLS

#endif
