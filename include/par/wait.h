/* SPDX-License-Identifier: MIT
 *
 * par/wait.h: waiting for several things at a time, whatever they are.
 *
 *     par_waitable list[] = { { .conn = c }, { .queue = q }, { .process = p }, { .fd = 0, .events = POLLIN } };
 *     if (par_wait(list, 4, par_in(5)) > 0 && list[1].is_ready)
 *         n = par_queue_get(q, buf, sizeof buf, PAR_NOWAIT);
 */
#ifndef PAR_WAIT_H
#define PAR_WAIT_H

#include <par/base.h>

PAR_BEGIN_DECLS

typedef struct par_conn par_conn;
typedef struct par_queue par_queue;
typedef struct par_process par_process;
typedef struct par_future par_future;

/* One of these, the others NULL or 0. */
typedef struct par_waitable {
    par_conn *conn;       /* ready: there is a message, or the stream has ended */
    par_queue *queue;     /* there is a message, or it is closed and empty */
    par_process *process; /* it has ended */
    par_future *future;   /* it has ended */
    int fd;               /* if .events is not 0: one of them, as those of poll(2), or an error */
    short events;
    bool is_ready; /* set by par_wait */
} par_waitable;

/* Wait until something of the list is ready: how many are, each marked by is_ready. Takes nothing: another thread or process may be
 * quicker, so take with PAR_NOWAIT. Things that are ready already are found however many there are. The deaths of processes that matter
 * are seen, as in the calls for one of them.
 * The death of a future's worker is noticed up to 20 ms late; all but the first 128 things (64 pipe ends), and with kernels before 5.16
 * all but one, up to 10 ms. With a descriptor of the program in the list, all are watched by descriptors, which this process has from
 * then on (par_queue_fileno, par_future_fileno); what cannot get one is looked at each millisecond.
 * Errors: ETIMEDOUT; EINVAL an entry has none of them or several, n is 0, or a handle is wrong; EPERM another process's;
 * EBADF a closed end, or one that only sends; EDEADLK a future of the worker's own pool; EINTR par_interrupt; ENOMEM.
 * Safe: any thread (an end of a pipe: one at a time), forked child. */
PAR_API ssize_t par_wait(par_waitable *list, size_t n, par_time deadline) PAR_MUST_CHECK;

PAR_END_DECLS

#endif
