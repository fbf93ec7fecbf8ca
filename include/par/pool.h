/* SPDX-License-Identifier: MIT
 *
 * par/pool.h: a pool of workers that maps a function over an array.
 *
 *     static int square(const void *in, void *out, void *ctx) { long x = *(const long *)in; *(long *)out = x * x; return 0; }
 *
 *     par_pool *pool = par_pool_new(NULL);
 *     if (par_pool_map(pool, square, numbers, squares, n) != 0) ...
 *     par_pool_free(pool);
 *
 * Workers are processes by default: one that dies costs exactly the item it was running. That item is reported with the worker's
 * pid and signal, the worker is replaced, and the rest of the job completes. The same program runs on threads (`.backend =
 * PAR_THREADS`: cheaper to start, but a crash is a crash of the program) and in the calling thread (PAR_SERIAL: for debugging).
 *
 * What a process worker sees of the program's memory is what it was when the pool was made (a replacement: when that was started).
 * The items of a job are copied to it; a pointer inside an item is valid there only if it points into shared memory. An array that
 * lies in shared memory (par_array) is used in place: nothing is copied at all.
 *
 * Process workers start with default signal dispositions, an empty signal mask, SIGINT ignored and standard input from /dev/null.
 * They end with the process that made the pool, however that one ends. What tasks write to stdout is flushed when their job ends.
 */
#ifndef PAR_POOL_H
#define PAR_POOL_H

#include <par/base.h>

PAR_BEGIN_DECLS

typedef struct par_pool par_pool;

/* A task: reads one item, writes one result. `ctx` is the job's context. 0: the item is good; anything else: it failed, with that
 * code (par_task_fail adds a text). A task may die, exit or call pthread_exit; it must not longjmp or throw out of itself. */
typedef int par_fn(const void *in, void *out, void *ctx);

/* A task that has the loop over many items in its own hands, for items that cost less than a call: see par_pool_map_batches. */
typedef struct par_batch { /* private to the library; passed by value */
    uint64_t *claim;
    const uint32_t *stop;
    uint64_t first;
    size_t n;
} par_batch;
typedef int par_batch_fn(const void *in, void *out, par_batch batch, void *ctx);

/* Begin with item i of the batch; false: there is none, or the job is to stop. It notes which item a death would cost: so i counts
 * from 0, and the last item's work is done before the next is begun.
 * Safe: the task that got the batch. */
static inline bool
par_batch_next(par_batch batch, size_t i)
{
    bool is_begun = i < batch.n && __atomic_load_n(batch.stop, __ATOMIC_RELAXED) == 0;

    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* after the last item's work, and before this one's */
    if (is_begun)
        __atomic_store_n(batch.claim, batch.first + i, __ATOMIC_RELAXED);
    else
        __atomic_store_n(batch.claim, (batch.first + i) | (uint64_t)(i < batch.n) << 47,
                         __ATOMIC_RELAXED); /* stopped, or the end */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return is_begun;
}

/* Who runs the tasks. The environment variable PAR_BACKEND ("processes", "threads", "serial") overrides the default, 0. */
enum { PAR_PROCESSES, PAR_THREADS, PAR_SERIAL };

/* What became of an item. */
enum {
    PAR_OK,        /* the task returned 0: the result is there */
    PAR_FAILED,    /* the task returned another code */
    PAR_LOST,      /* its worker died while it ran the task */
    PAR_TIMED_OUT, /* it was running when the deadline passed, and its worker was ended */
    PAR_CANCELLED, /* the job was cancelled before the item was done */
    PAR_UNRUN      /* never started: the deadline passed, or the pool broke */
};

/* One item that is not good. */
typedef struct par_status {
    size_t index;   /* which item */
    int state;      /* PAR_FAILED ... PAR_UNRUN */
    int code;       /* what the task returned, or its dead worker's exit code (-signal if a signal ended it) */
    int signal;     /* the signal that ended its worker, or 0 */
    pid_t pid;      /* the worker that died on it, or 0 */
    unsigned tries; /* how often it was started; more than once only with par_task_opts.retries */
    char text[100]; /* the same in words, never empty: "worker 4711 killed by SIGKILL" */
} par_status;

/* How far a job is. */
typedef struct par_progress {
    size_t done;    /* items that are finished, the failed ones included */
    size_t failed;  /* of these, not good */
    size_t total;   /* items of the job */
    double seconds; /* since the map began */
    bool is_last;   /* the job is over: this is the last call for it */
} par_progress;

typedef struct par_pool_opts {
    unsigned workers;     /* 0: as many as PAR_NUM_WORKERS in the environment says, or one per usable CPU (affinity and cgroup
                             quota); at most 1024. PAR_SERIAL always has one */
    unsigned max_workers; /* that par_pool_resize may ask for, at most 1024; 0: no more than there are at first */
    int backend;          /* PAR_PROCESSES, PAR_THREADS or PAR_SERIAL */

    /* Runs once in each worker, before its first task. It may store what belongs to the worker in *state (par_worker_state). A
     * result other than 0, like a death, ends the worker; it is replaced, until the pool is given up as broken. */
    int (*initializer)(void *arg, void **state);
    const void *initarg; /* its argument: a copy for each worker if initarg_size > 0, else the pointer itself */
    size_t initarg_size;

    /* Runs in each worker that leaves by itself: after max_tasks or par_pool_close, and on threads and serial also after
     * par_pool_terminate or par_pool_free. A process worker that is terminated does not run it: close and join first if it matters. */
    void (*finalizer)(void *state);

    /* A worker that has run so many items leaves by itself, and a fresh one takes its place: against leaks and ageing in what tasks
     * call. 0: never; a serial pool never does. */
    size_t max_tasks;

    int start_method; /* of process workers: PAR_FORK, PAR_SPAWN, PAR_FORKSERVER (see par/process.h); 0: the standard. With the last
                       * two, functions are the program's or its libraries', and what is a pointer without a size (initarg, ctx)
                       * is NULL or points into shared memory */

    bool supervised; /* a thread of the pool's own buries and replaces workers also while nobody waits */

    const char *name; /* what par_error() calls the pool; at most 31 bytes are kept; NULL: "pool" */
    PAR_RESERVED;
} par_pool_opts;

typedef struct par_job_opts {
    const void *ctx; /* what the task gets as ctx: a writable copy for each worker if ctx_size > 0, else the pointer itself */
    size_t ctx_size;

    unsigned char *state; /* n bytes, or NULL: for each item PAR_OK ... PAR_UNRUN */

    /* Room for max_failures entries, or NULL: the items that are not good, in the order of their indices. If there are more than
     * fit, the lost ones are preferred, then those that failed first. So many are filled as the map returned, at most the room. */
    par_status *failures;
    size_t max_failures;

    par_time deadline; /* when the job is to be given up */
    size_t chunk;      /* items that a worker takes at once; 0: guided, as many as take 0.1 ms, fewer towards the end */

    /* Called in the mapping thread about every 100 ms and once at the end. A result other than 0 cancels the job. It may read the
     * pool (par_pool_workers), but not map on it. */
    int (*progress)(const par_progress *progress, void *arg);
    void *progress_arg;
    PAR_RESERVED;
} par_job_opts;

/* ---- the pool */

/* End the pool's workers and free it, whatever state it is in: as par_pool_terminate, then waits for up to 5 s, and kills after the
 * first. NULL is fine; in another process than the pool's creator it does nothing. A map that another thread has running is
 * cancelled and waited for; a pool whose threads do not end is left to them (its memory is not freed), as is one that is freed from
 * inside its own task or a callback. Futures of the pool that have not ended are cancelled, and stay to be freed. Keeps errno.
 * Safe: any thread, but nobody else may use the pool any more; forked child (no effect). */
PAR_API void par_pool_free(par_pool *pool);

/* Start a pool of workers; opts NULL means all defaults. Returns once every worker has been started; initializers run meanwhile.
 * The pool belongs to the calling process and is freed by par_pool_free.
 * Errors: EINVAL (more than 1024 workers, also in PAR_NUM_WORKERS, an unknown backend, also in PAR_BACKEND, an unknown start method, initarg_size > 0 without
 * initarg, what cannot travel), ENOTSUP (par_spawn_support was not called, a library without a build id), EAGAIN (no
 * more processes or threads to be had, or the family is full), ENOMEM, ENOSPC (shared memory is full), EMFILE and ENFILE
 * (descriptors). On failure the workers that were started already are ended.
 * Safe: any thread; forked child (which then owns the new pool). */
PAR_API par_pool *par_pool_new(const par_pool_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_pool_free);

/* How many workers live now: those that died are missing until the next map replaces them. A serial pool has one.
 * Errors: EINVAL (no pool), EPERM (made by another process).
 * Safe: any thread. */
PAR_API int par_pool_workers(const par_pool *pool);

/* Have so many workers from now on, also in the middle of a map. Those who are too many leave after the items that they have claimed
 * (a task, a chunk), and run the finalizer; nothing is lost. Those who are missing are started at once, or by the map that runs.
 * Errors: EINVAL (none, more than the pool has places, or a serial pool), EPIPE (closed or terminated), EPERM (made by another
 * process); EAGAIN, ENOMEM, EMFILE, ... (some could not be started: the next map tries again).
 * Safe: any thread of the process that made it, callbacks included. */
PAR_API int par_pool_resize(par_pool *pool, unsigned workers);

/* As in_size: `in` is an array of strings (char *), and the task's `in` is the string itself. */
#define PAR_STRINGS ((size_t)-1)

/* Run fn on each of n items, and wait until all have an outcome. `in` is an array of n items of in_size bytes, `out` one of n
 * results of out_size bytes; either is left out as NULL with size 0, and the task then gets NULL. Item i's task reads in[i] and
 * writes out[i]. Arrays that lie wholly in shared memory are used in place; others are copied to process workers and back, and
 * then the results of items that are not PAR_OK are left untouched (in shared memory they are unspecified). `in` and `out` may be
 * the same array. The caller keeps both.
 *
 * Returns 0: every item is good. k > 0: k items are not, opts->state and opts->failures tell which and why, and par_error() tells
 * about the last of them; errno is then ETIMEDOUT (the deadline passed), ECANCELED (cancelled by progress or par_pool_terminate),
 * EINTR (par_interrupt: cancelled), ENOTRECOVERABLE (the pool broke), else ECHILD if workers were lost, else unchanged. -1: nothing
 * ran.
 *
 * When the deadline passes or the job is cancelled, no further item is started. Processes that are still on an item 20 ms later are
 * killed and replaced; on threads and serial the running tasks are waited for (par_task_cancelled() tells them).
 * The pool breaks when workers die too often: more than max(10, 3 * workers) times within 10 s without completing one item. Items
 * that run on other workers are then completed, the rest is PAR_UNRUN, and later maps fail with ENOTRECOVERABLE.
 * Maps that several threads call on one pool run one after the other.
 * Errors: EINVAL (no pool, no fn, an array without a size or a size without an array, NULL among the strings, ctx_size > 0 without
 * ctx), EPERM (the pool of another process), EPIPE (closed or terminated), EDEADLK (called by a task or callback of a map on the
 * same pool), EOVERFLOW (n * size), ENOSPC, ENOMEM, ETIMEDOUT (the deadline passed before anything ran), EINTR (par_interrupt),
 * ENOTRECOVERABLE (the pool is broken), EAGAIN, EMFILE and ENFILE (all workers had died, and none can be started now).
 * Safe: any thread of the process that made the pool. */
PAR_API ssize_t par_pool_map_sized(par_pool *pool, par_fn *fn, const void *in, size_t in_size, void *out, size_t out_size,
                                   size_t n, const par_job_opts *opts) PAR_MUST_CHECK;

/* The size of what p points to. C refuses void *, whose items have no size: use par_pool_map_sized then. */
#if defined __GNUC__ && !defined __cplusplus
#define PAR_SIZE(p)                                                                          \
    (sizeof *(p) + 0 * sizeof(struct {                                                       \
                       _Static_assert(!__builtin_types_compatible_p(__typeof__(*(p)), void), \
                                      "void * has no item size: use par_pool_map_sized");    \
                       int par_unused;                                                       \
                   }))
#else
#define PAR_SIZE(p) (sizeof *(p))
#endif

/* par_pool_map_sized with the sizes taken from the types: in and out are typed arrays. */
#define par_pool_map(pool, fn, in, out, n) par_pool_map_sized((pool), (fn), (in), PAR_SIZE(in), (out), PAR_SIZE(out), (n), NULL)

/* The same with options: par_pool_map_with(pool, fn, in, out, n, &(par_job_opts){ .ctx = &c, .ctx_size = sizeof c }). */
#define par_pool_map_with(pool, fn, in, out, n, ...) \
    par_pool_map_sized((pool), (fn), (in), PAR_SIZE(in), (out), PAR_SIZE(out), (n), __VA_ARGS__)

/* The same over an array of strings, which are copied to the workers: the task's `in` is a const char *. */
#define par_pool_map_strings(pool, fn, strings, out, n) \
    par_pool_map_sized((pool), (fn), (strings), PAR_STRINGS + 0 * sizeof **(strings), (out), PAR_SIZE(out), (n), NULL)

/* The same for items so small that the call of a task is most of their cost. fn gets some items that lie behind each other, and loops
 * over them:
 *
 *     static int
 *     squares(const void *in, void *out, par_batch batch, void *ctx)
 *     {
 *         const long *x = in;
 *         long *y = out;
 *         for (size_t i = 0; par_batch_next(batch, i); i++)
 *             y[i] = x[i] * x[i];
 *         return 0;
 *     }
 *
 * What is lost when a worker dies is still exactly one item, the one that par_batch_next gave last. If fn returns another value than 0
 * that item has failed, and fn is called again for those behind it. par_task_index, par_task_fail, par_task_cancelled and
 * par_worker_state are there as in any task; par_task_alloc is ENOTSUP.
 * Errors, and all else: as par_pool_map_sized.
 * Safe: any thread of the process that made the pool. */
PAR_API ssize_t par_pool_map_batches_sized(par_pool *pool, par_batch_fn *fn, const void *in, size_t in_size, void *out,
                                           size_t out_size, size_t n, const par_job_opts *opts) PAR_MUST_CHECK;
#define par_pool_map_batches(pool, fn, in, out, n) \
    par_pool_map_batches_sized((pool), (fn), (in), PAR_SIZE(in), (out), PAR_SIZE(out), (n), NULL)
#define par_pool_map_batches_with(pool, fn, in, out, n, ...) \
    par_pool_map_batches_sized((pool), (fn), (in), PAR_SIZE(in), (out), PAR_SIZE(out), (n), __VA_ARGS__)

/* One item: runs fn(in, out) in a worker and waits. */
#define par_pool_apply(pool, fn, in, out) par_pool_map((pool), (fn), (in), (out), 1)

/* No more jobs: later maps fail with EPIPE, a running one completes, then the workers run their finalizers and end. Does not wait;
 * closing again is fine.
 * Errors: EINVAL (no pool), EPERM (made by another process).
 * Safe: any thread, also inside a progress callback. */
PAR_API int par_pool_close(par_pool *pool);

/* End now: later maps fail with EPIPE, a running one is cancelled, workers get SIGTERM. Does not wait; terminating again is fine.
 * Threads end when their running task returns.
 * Errors: EINVAL (no pool), EPERM (made by another process).
 * Safe: any thread, also inside a progress callback. */
PAR_API int par_pool_terminate(par_pool *pool);

/* Wait until the running map is over and all workers have ended, after par_pool_close or par_pool_terminate. A terminated process
 * worker that does not end within a second is killed. Joining again is fine.
 * Errors: EINVAL (no pool), EPERM (made by another process), EBUSY (neither closed nor terminated), EDEADLK (called by a task or
 * callback of this pool), ETIMEDOUT, EINTR (par_interrupt).
 * Safe: any thread of the process that made the pool. */
PAR_API int par_pool_join(par_pool *pool, par_time deadline);

/* A ready-made `.progress`: one line on stderr that is rewritten in place, "squares  62% [############........] 620/1000, 3
 * failed, 1.2 s", and completed by a newline at the end. `title`, the progress_arg, is a string or NULL. Returns 0.
 * Safe: any thread. */
PAR_API int par_progress_bar(const par_progress *progress, void *title);

/* ---- inside a task, on every backend */

/* Which item the calling task runs; SIZE_MAX outside a task.
 * Safe: any thread, signal handler. */
PAR_API size_t par_task_index(void);

/* `return par_task_fail(code, "no header in %s", path);`: let the item fail with a code and a text (cut to 99 bytes) that reach the
 * caller in par_status. Returns code, or -1 if that is 0, because 0 would mean success. Outside a task it only returns.
 * Safe: any thread. */
PAR_API int par_task_fail(int code, const char *format, ...) PAR_PRINTF(2, 3);

/* A zeroed block of n * size bytes of shared memory, for a result of any size: store the pointer in the item's result. It is the
 * caller's, for par_shared_free, if the item succeeds; if the item fails or its worker dies it is freed. The task itself must not
 * free it.
 * Errors: EPERM (not inside a task), EOVERFLOW, ENOSPC, ENOMEM; EINVAL (n or size is 0).
 * Safe: the thread that runs the task. */
PAR_API void *par_task_alloc(size_t n, size_t size) PAR_MUST_CHECK PAR_ALLOC_SIZE(1, 2);

/* Has the job been given up (deadline, cancelled)? A long task on threads should look now and then and return. False outside.
 * Safe: any thread, signal handler. */
PAR_API bool par_task_cancelled(void);

/* What this worker's initializer stored in *state; NULL outside a worker.
 * Safe: any thread, signal handler. */
PAR_API void *par_worker_state(void);

/* This worker's number, 0 .. workers - 1; a replacement takes over the number of the dead. -1 outside a worker.
 * Safe: any thread, signal handler. */
PAR_API int par_worker_index(void);

PAR_END_DECLS

#endif
