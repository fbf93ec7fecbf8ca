/* SPDX-License-Identifier: MIT
 *
 * pool.c: pools on all backends: new, map, free; faults in the mapping process and in its workers.
 */
#include "faults.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define N 12

static par_pool *pool;
static int *shared_in, *shared_out;

static int
square(const void *in, void *out, void *ctx)
{
    int x = *(const int *)in;

    *(int *)out = x * x + (ctx != NULL ? *(int *)ctx : 0);
    return 0;
}

static int
length(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = (int)strlen(in);
    return 0;
}

static int
make_block(const void *in, void *out, void *ctx)
{
    int *block = par_task_alloc(1, sizeof *block);

    (void)ctx;
    if (block == NULL)
        return par_task_fail(errno, "no block");
    *block = *(const int *)in;
    *(int **)out = block;
    return 0;
}

/* ---- new and free */

static int
initialise(void *arg, void **state)
{
    *state = arg;
    return *(int *)arg == 5 ? 0 : 1;
}

static int
new_pool(int backend)
{
    int five = 5;
    par_pool_opts opts = {
        .workers = 2, .backend = backend, .initializer = initialise, .initarg = &five, .initarg_size = sizeof five
    };

    pool = par_pool_new(&opts);
    return pool != NULL ? 0 : -1;
}

static int
new_processes(void)
{
    return new_pool(PAR_PROCESSES);
}

static int
new_threads(void)
{
    return new_pool(PAR_THREADS);
}

static int
new_serial(void)
{
    return new_pool(PAR_SERIAL);
}

static void
free_pool(void)
{
    par_pool_free(pool);
    pool = NULL;
}

static void
make(int backend)
{
    shared_in = par_array(int, N);
    shared_out = par_array(int, N);
    expect_ready(shared_in != NULL && shared_out != NULL && new_pool(backend) == 0);
    for (int i = 0; i < N; i++)
        shared_in[i] = i;
}

static void
make_processes(void)
{
    make(PAR_PROCESSES);
}

static void
make_threads(void)
{
    make(PAR_THREADS);
}

static void
make_serial(void)
{
    make(PAR_SERIAL);
}

/* ---- map */

/* -1: nothing ran, so no result was touched. */
static int
outcome(ssize_t result, const int *out, int n, int more)
{
    if (result == -1)
        return -1;
    expect(result == 0);
    for (int i = 0; i < n; i++)
        expect(out[i] == i * i + more);
    return 0;
}

static int
map_private(void)
{
    int in[N], out[N] = { 0 }, seven = 7;

    for (int i = 0; i < N; i++)
        in[i] = i;
    return outcome(par_pool_map_with(pool, square, in, out, N, &(par_job_opts){ .ctx = &seven, .ctx_size = sizeof seven }), out,
                   N, 7);
}

static int
map_shared(void)
{
    memset(shared_out, 0, N * sizeof *shared_out);
    return outcome(par_pool_map(pool, square, shared_in, shared_out, N), shared_out, N, 0);
}

static int
map_large(void)
{
    static char in[1 << 20];
    static int out[1 << 20];
    ssize_t result = par_pool_map(pool, length, in, out, sizeof in);

    expect(result <= 0);
    return (int)result;
}

static int
map_strings(void)
{
    const char *const text[] = { "", "a", "abcd", "abcdefghi" };
    int out[4] = { 0 };
    ssize_t result = par_pool_map_strings(pool, length, text, out, 4);

    return outcome(result, out, 4, 0);
}

static int
apply(void)
{
    int in = 0, out = -1;

    return outcome(par_pool_apply(pool, square, &in, &out), &out, 1, 0);
}

static int
map_blocks(void)
{
    int in[N], *out[N] = { NULL };
    ssize_t n;

    for (int i = 0; i < N; i++)
        in[i] = i;
    n = par_pool_map(pool, make_block, in, out, N);
    for (int i = 0; i < N; i++)
        if (out[i] != NULL) {
            expect(*out[i] == i);
            QUIETLY(par_shared_free(out[i]));
        }
    if (n > 0)
        errno = ENOSPC; /* items that failed, by the task's own word */
    return n == 0 ? 0 : -1;
}

/* All workers have died, so the map starts others first. */
static int
tell_pid(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(pid_t *)out = getpid();
    return 0;
}

static void
make_one(void)
{
    pool = par_pool_new(&(par_pool_opts){ .workers = 1 });
    expect_ready(pool != NULL);
}

static void
kill_worker(void)
{
    pid_t pid = 0;
    int in = 0;

    expect_ready(par_pool_apply(pool, tell_pid, &in, &pid) == 0 && kill(pid, SIGKILL) == 0);
    while (par_pool_workers(pool) > 0)
        nap();
}

static int
map_anew(void)
{
    QUIETLY(kill_worker());
    return map_private();
}

/* A whole life, with workers that may not be able to begin: all items are done, or the pool says that it is broken. */
static int
live(void)
{
    ssize_t n;
    int in[N], out[N], error;

    if (new_processes() != 0)
        return -1;
    for (int i = 0; i < N; i++)
        in[i] = i;
    n = par_pool_map_with(pool, square, in, out, N, &(par_job_opts){ .deadline = soon() });
    error = errno;
    if (n == 0)
        (void)outcome(n, out, N, 0);
    free_pool();
    errno = error;
    return n == 0 ? 0 : -1;
}

#define GROUP .group = "pool"
#define NEW_ERRORS ERRORS(EAGAIN, ENOMEM, ENOSPC, EMFILE, ENFILE)
#define MAP_ERRORS ERRORS(ENOSPC, ENOMEM)

const struct op pool_ops[] = {
    { GROUP, .name = "new_processes", .act = new_processes, .undo = free_pool, .errors = NEW_ERRORS, .is_cold = true },
    { GROUP, .name = "new_threads", .act = new_threads, .undo = free_pool, .errors = NEW_ERRORS, .is_cold = true },
    { GROUP, .name = "new_serial", .act = new_serial, .undo = free_pool, .errors = NEW_ERRORS, .is_cold = true },
    { GROUP, .name = "map_private_processes", .setup = make_processes, .act = map_private, .errors = MAP_ERRORS },
    { GROUP, .name = "map_private_threads", .setup = make_threads, .act = map_private, .errors = MAP_ERRORS },
    { GROUP, .name = "map_private_serial", .setup = make_serial, .act = map_private, .errors = MAP_ERRORS },
    { GROUP, .name = "map_shared_processes", .setup = make_processes, .act = map_shared, .errors = MAP_ERRORS },
    { GROUP, .name = "map_shared_threads", .setup = make_threads, .act = map_shared, .errors = MAP_ERRORS },
    { GROUP, .name = "map_large_processes", .setup = make_processes, .act = map_large, .errors = MAP_ERRORS, .is_once = true },
    { GROUP, .name = "map_strings_processes", .setup = make_processes, .act = map_strings, .errors = MAP_ERRORS },
    { GROUP, .name = "map_strings_threads", .setup = make_threads, .act = map_strings, .errors = MAP_ERRORS },
    { GROUP, .name = "apply_processes", .setup = make_processes, .act = apply, .errors = MAP_ERRORS },
    { GROUP, .name = "apply_serial", .setup = make_serial, .act = apply, .errors = MAP_ERRORS },
    { GROUP, .name = "map_replaces_workers", .setup = make_one, .act = map_anew, .errors = NEW_ERRORS },
    { GROUP, .name = "task_alloc_serial", .setup = make_serial, .act = map_blocks, .errors = MAP_ERRORS },
    { GROUP, .name = "task_alloc_processes", .act = map_blocks, .setup = make_processes, .errors = MAP_ERRORS,
      .where = IN_CHILDREN },
    { GROUP, .name = "workers_begin", .act = live, .errors = ERRORS(ENOTRECOVERABLE), .where = IN_CHILDREN },
    { GROUP, .name = "live_processes", .act = live, .errors = NEW_ERRORS },
    { .name = NULL },
};
