/* SPDX-License-Identifier: MIT
 *
 * par/future.h: what a pool will have done: single tasks, maps that nobody waits for yet, streams of results.
 *
 *     par_future *f = par_pool_submit(pool, fibonacci, &n, sizeof result);
 *     ... do something else ...
 *     if (par_future_get(f, &result, par_in(10)) == 0) ...
 *     par_future_free(f);
 *
 * A future belongs to the process that made it, as its pool does, and ends in one of the states of par_status: good, failed, lost
 * with its worker, timed out, cancelled. Nobody who waits for it hangs: a worker's death, like the end of the pool, ends it.
 *
 * Nothing runs behind the program unless it is asked for. The dead are found and replaced inside the calls that wait; a future with
 * a callback or a time limit, and a pool with `.supervised`, start one thread that does it meanwhile.
 */
#ifndef PAR_FUTURE_H
#define PAR_FUTURE_H

#include <par/pool.h>

PAR_BEGIN_DECLS

typedef struct par_future par_future;
typedef struct par_imap par_imap;

typedef struct par_task_opts {
    const void *ctx; /* what the task gets as ctx: a copy if ctx_size > 0, else the pointer itself */
    size_t ctx_size;

    /* Seconds that the task may run; 0: as long as it likes. One that takes longer is PAR_TIMED_OUT, its worker is killed and
     * replaced; a thread cannot be killed, its task is waited for. */
    double timeout;

    unsigned retries; /* so often the task is begun anew if its worker dies in it; after that it is PAR_LOST */
    PAR_RESERVED;
} par_task_opts;

/* ---- making one */

/* Free a future. A task that has not begun is cancelled; one that runs is finished, and its result dropped. NULL is fine; in another
 * process than its creator's it does nothing. A map without waiting must have ended (else it does nothing: its arrays are in use).
 * Keeps errno.
 * Safe: any thread, but nobody else may use the future any more; also in its callback. */
PAR_API void par_future_free(par_future *future);

/* Let a worker run fn(in, out, ctx) once, and do not wait. `in` is copied (in_size bytes; NULL with 0); the result, out_size bytes,
 * is kept until par_future_free. Tasks begin in the order in which they were submitted. A serial pool runs the task at once.
 * Errors: EINVAL (no pool, no fn, sizes without pointers, a negative timeout), EPERM (the pool of another process), EPIPE (closed or
 * terminated), EDEADLK (in a task of the same serial pool), ENOTRECOVERABLE (the pool is broken), EOVERFLOW, ENOSPC, ENOMEM, EAGAIN
 * (no thread for a time limit, no worker could be started).
 * Safe: any thread of the process that made the pool. */
PAR_API par_future *par_pool_submit_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, size_t out_size,
                                          const par_task_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_future_free);

/* The same with the size of `in` taken from its type. */
#define par_pool_submit(pool, fn, in, out_size) par_pool_submit_sized((pool), (fn), (in), PAR_SIZE(in), (out_size), NULL)
#define par_pool_submit_with(pool, fn, in, out_size, ...) \
    par_pool_submit_sized((pool), (fn), (in), PAR_SIZE(in), (out_size), __VA_ARGS__)

/* par_pool_map_sized in a thread of its own. `in`, `out` and all that opts points to are in use until the future has ended; its
 * par_future_get returns what the map returned.
 * Errors: those of par_pool_map_sized that can be told beforehand; EAGAIN (no thread), ENOMEM, ENOSPC.
 * Safe: any thread of the process that made the pool. */
PAR_API par_future *par_pool_map_async_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, void *out,
                                             size_t out_size, size_t n, const par_job_opts *opts) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_future_free);

#define par_pool_map_async(pool, fn, in, out, n) \
    par_pool_map_async_sized((pool), (fn), (in), PAR_SIZE(in), (out), PAR_SIZE(out), (n), NULL)

/* ---- waiting for one */

/* Wait until it has ended, and copy its result to `out` (out_size bytes; NULL: none is wanted).
 * Returns 0: good. k > 0: not good (a task: 1; a map: so many items), par_future_status tells why, `out` is untouched; errno is
 * ECHILD (lost), ETIMEDOUT (its own time limit), ECANCELED, ENOTRECOVERABLE (the pool broke), or unchanged (it failed). -1: it has
 * not ended, or a map did not run.
 * Errors: ETIMEDOUT, EINTR (par_interrupt), EINVAL (no future), EPERM (another process's), EDEADLK (in a task or callback of the same
 * pool, unless it has ended); of a map also what that failed with.
 * Safe: any thread of the process that made it. */
PAR_API ssize_t par_future_get(par_future *future, void *out, par_time deadline) PAR_MUST_CHECK;

/* Has it ended? -1: EINVAL, EPERM.
 * Safe: any thread. */
PAR_API int par_future_done(par_future *future);

/* The descriptor to watch in an event loop until it has ended: one for all futures of a pool. It stays the library's: do not read or
 * close it; it goes with the pool. The call sees to what is due in the pool (a worker that has died, a time limit) and makes the
 * descriptor unreadable until there is news; so call it, look with par_future_done, and go back to the loop. It is readable twice a
 * second in any case.
 * Errors: EPIPE (its pool is gone: it has ended), EMFILE, ENFILE, ENOMEM, EINVAL, EPERM, EDEADLK (inside a task of its pool).
 * Safe: any thread of the process that made it. */
PAR_API int par_future_fileno(par_future *future);

/* What became of it. Of a map: PAR_OK, or PAR_FAILED with the number of items that are not good as the code.
 * Errors: EBUSY (it has not ended), EINVAL, EPERM.
 * Safe: any thread. */
PAR_API int par_future_status(par_future *future, par_status *status);

/* Let a task that has not begun never begin: it ends as PAR_CANCELLED. Again is fine.
 * Errors: EALREADY (it has begun, or ended, or is a map), EINVAL, EPERM.
 * Safe: any thread. */
PAR_API int par_future_cancel(par_future *future);

/* The same also for a task that runs: its worker process is killed and replaced, and it ends as PAR_CANCELLED, unless it is done a
 * moment before. On threads par_task_cancelled() tells the task to return. Does not wait for its end.
 * Errors: EALREADY (it has ended, or is a map), EINVAL, EPERM.
 * Safe: any thread. */
PAR_API int par_future_terminate(par_future *future);

/* Call callback(future, arg) once when it has ended: in a thread that the pool has for it, or at once if it has ended already. A
 * callback may submit, get, cancel and free, and close or terminate the pool; a slow one delays other callbacks of its pool and
 * nothing else. A later call replaces a callback that was not called yet.
 * Errors: EINVAL, EPERM, EAGAIN (no thread), ENOMEM.
 * Safe: any thread. */
PAR_API int par_future_on_done(par_future *future, void (*callback)(par_future *future, void *arg), void *arg);

/* ---- waiting for many, all of one pool */

enum par_when {
    PAR_FIRST,     /* one has ended */
    PAR_FIRST_BAD, /* one has ended that is not good, or all have */
    PAR_ALL        /* all have ended */
};

/* Wait until enough of the n futures have ended; entries that are NULL are passed over. How many have ended then.
 * Errors: ETIMEDOUT, EINTR, EDEADLK, EINVAL (no future, of several pools), EPERM.
 * Safe: any thread. */
PAR_API ssize_t par_future_wait(par_future *const *future, size_t n, enum par_when when, par_time deadline);

/* Take the one that ended first out of the array, whose entry becomes NULL; wait if none has. So a loop sees each once, in the order
 * in which they ended:
 *
 *     while ((f = par_future_next(future, n, PAR_FOREVER)) != NULL) { ... par_future_free(f); }
 *
 * Errors: ENOENT (all entries are NULL); else those of par_future_wait.
 * Safe: any thread. */
PAR_API par_future *par_future_next(par_future **future, size_t n, par_time deadline) PAR_MUST_CHECK;

/* ---- streams */

/* Where a stream's items come from: 1: the next one is in *item; 0: there are no more; -1: it could not be had (errno), and there are
 * no more. Called in the thread that calls par_imap_next. */
typedef int par_source(void *item, void *arg);

typedef struct par_imap_opts {
    const void *ctx;
    size_t ctx_size;
    size_t window;  /* so many items may be under way or wait to be fetched: 0: eight chunks per worker */
    size_t chunk;   /* items that a worker takes at once; 0: 1 */
    bool unordered; /* results come as they are done, not in the order of their items */
    PAR_RESERVED;
} par_imap_opts;

/* End a stream: what has not begun never begins. NULL is fine. Keeps errno.
 * Safe: the thread that uses the stream. */
PAR_API void par_imap_free(par_imap *imap);

/* A stream of fn's results on the items of a source, which is asked for no more than the window has room for: it may be endless.
 * Errors: those of par_pool_submit_sized; EINVAL also for no source or in_size 0.
 * Safe: any thread of the process that made the pool; then one at a time. */
PAR_API par_imap *par_pool_imap(par_pool *pool, par_fn *fn, par_source *source, void *source_arg, size_t in_size,
                                size_t out_size, const par_imap_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_imap_free);

/* The next result, copied to `out`. 1: it is good. 2: it is not, *status (or NULL) tells why; the stream goes on. 0: that was all. A
 * source that failed shows as the last item: PAR_FAILED, the code being its errno. -1: not yet.
 * Errors: ETIMEDOUT, EINTR, EINVAL, EDEADLK; those of par_pool_submit_sized when the next items could not be handed out; EPIPE
 * (the pool was freed).
 * Safe: one thread at a time. */
PAR_API int par_imap_next(par_imap *imap, void *out, par_status *status, par_time deadline);

PAR_END_DECLS

#endif
