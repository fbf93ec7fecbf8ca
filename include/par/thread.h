/* SPDX-License-Identifier: MIT
 *
 * par/thread.h: run a function in another thread; the same shape as par/process.h.
 *
 * A handle is used in the process that started the thread, by any of its threads, also by that thread itself; in every other
 * process, a forked child for instance, it is EPERM. Nobody may use it during or after its par_thread_free. All threads end
 * with their process: there is no "daemon" here, and a program that wants a thread's work to be finished joins it.
 */
#ifndef PAR_THREAD_H
#define PAR_THREAD_H

#include <par/process.h>

PAR_BEGIN_DECLS

typedef struct par_thread par_thread;

typedef struct par_thread_opts {
    const char *name;  /* copied; NULL: "Thread-1", "Thread-2", and so on */
    size_t stack_size; /* bytes; 0: the system's default */
    PAR_RESERVED;
} par_thread_opts;

/* Forget the handle, never waiting. A thread that still runs goes on. NULL is fine; in another process than the handle's
 * nothing happens. Keeps errno.
 * Safe: any thread, forked child. */
PAR_API void par_thread_free(par_thread *thread);

/* Run fn(arg) in a new thread; returns once the thread runs. With arg_size > 0 the function gets its own writable copy of so
 * many bytes, aligned as malloc does and valid until the function ends; with arg_size 0 it gets the pointer itself. The handle
 * is the caller's, to be freed by par_thread_free.
 * Errors: EINVAL fn is NULL, arg is NULL although it has a size, or the stack is too small; EAGAIN no thread to be had, or it
 * did not begin within ten seconds (then fn does not run); EOVERFLOW arg_size is absurd; ENOMEM; ENOSPC shared memory is full.
 * Safe: any thread, forked child. */
PAR_API par_thread *par_thread_start(int (*fn)(void *arg), const void *arg, size_t arg_size,
                                     const par_thread_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_thread_free);

/* Wait until the thread's function has ended. 0 = ended; again and again, from any number of threads. What the thread wrote is
 * visible then.
 * Errors: ETIMEDOUT it still runs; EDEADLK it is the calling thread; EINVAL no thread handle; EPERM another process's handle;
 * EINTR par_interrupt.
 * Safe: any thread, forked child (which has no threads yet). */
PAR_API int par_thread_join(par_thread *thread, par_time deadline);

/* What the function returned; PAR_EXIT_RUNNING; PAR_EXIT_UNKNOWN if it left by pthread_exit or was cancelled, or if
 * the handle is wrong (then errno is set). Never waits.
 * Errors: EINVAL no thread handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API int par_thread_exitcode(const par_thread *thread);

/* Does it run? Never waits.
 * Errors (false): EINVAL no thread handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API bool par_thread_is_alive(const par_thread *thread);

/* Its name; valid as long as the handle is.
 * Errors (NULL): EINVAL no thread handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API const char *par_thread_name(const par_thread *thread);

/* The handle of the calling thread, borrowed from who started it.
 * Errors (NULL): ENOENT it was not started by par_thread_start, or its handle is freed.
 * Safe: any thread, forked child (where it is NULL). */
PAR_API par_thread *par_thread_current(void);

PAR_END_DECLS

#endif
