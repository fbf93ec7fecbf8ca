/* SPDX-License-Identifier: MIT
 *
 * start.c: what a process costs before it has done anything.
 *
 *   start  start `procs` processes that do nothing and wait for all, n times, from a parent that has `parent` MB of private memory in
 *          use. Microseconds per process
 *   ready  start a pool of `procs` workers, until all of them run, n times. Microseconds per pool
 */
#include "bench.h"

#include <par.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char **environ;

/* ---- start */

struct way {
    void (*open)(void); /* before the parent has grown; NULL: nothing to do */
    void (*round)(long procs);
};

static double
start(const struct bench_task *task, const struct way *way)
{
    int64_t began;

    if (way->open != NULL)
        way->open();
    (void)bench_private((size_t)task->parent << 20);
    way->round(task->procs);
    began = bench_now();
    for (long i = 0; i < task->n; i++)
        way->round(task->procs);
    return (double)(bench_now() - began) / 1e3 / (double)task->n / (double)task->procs;
}

static int
nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void
start_and_join(long procs, int method)
{
    par_process *process[BENCH_MAX_RUNNERS];

    for (long i = 0; i < procs; i++) {
        process[i] = par_process_start(nothing, NULL, 0, &(par_process_opts){ .start_method = method });
        bench_check(process[i] != NULL);
    }
    for (long i = 0; i < procs; i++) {
        bench_check(par_process_join(process[i], PAR_FOREVER) == 0 && par_process_exitcode(process[i]) == 0);
        par_process_free(process[i]);
    }
}

static void
libpar_round(long procs)
{
    start_and_join(procs, PAR_FORK);
}

static void
forkserver_round(long procs)
{
    start_and_join(procs, PAR_FORKSERVER);
}

static void
exec_round(long procs)
{
    start_and_join(procs, PAR_SPAWN);
}

static void
fork_round(long procs)
{
    pid_t pid[BENCH_MAX_RUNNERS];

    for (long i = 0; i < procs; i++) {
        pid[i] = fork();
        bench_check(pid[i] >= 0);
        if (pid[i] == 0)
            _exit(0);
    }
    for (long i = 0; i < procs; i++)
        bench_join(pid[i]);
}

static void
spawn_round(long procs)
{
    char *argv[] = { "true", NULL };
    pid_t pid[BENCH_MAX_RUNNERS];

    for (long i = 0; i < procs; i++)
        bench_check(posix_spawnp(&pid[i], argv[0], NULL, NULL, argv, environ) == 0);
    for (long i = 0; i < procs; i++)
        bench_join(pid[i]);
}

/* A small process, forked while the parent was small, that forks on request: a byte for each child there, and one back for each
 * that has ended. */
static int zygote[2];

static int
zygote_main(void *arg)
{
    char wish[BENCH_MAX_RUNNERS];
    pid_t pid[BENCH_MAX_RUNNERS];
    ssize_t n;

    (void)arg;
    bench_check(close(zygote[0]) == 0);
    while ((n = read(zygote[1], wish, sizeof wish)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            pid[i] = fork();
            bench_check(pid[i] >= 0);
            if (pid[i] == 0)
                _exit(0);
        }
        for (ssize_t i = 0; i < n; i++)
            bench_join(pid[i]);
        bench_check(write(zygote[1], wish, (size_t)n) == n);
    }
    return 0;
}

static void
zygote_open(void)
{
    bench_check(socketpair(AF_UNIX, SOCK_STREAM, 0, zygote) == 0);
    (void)bench_fork(zygote_main, NULL); /* ends with this process */
}

static void
zygote_round(long procs)
{
    char wish[BENCH_MAX_RUNNERS] = { 0 };

    bench_check(write(zygote[0], wish, (size_t)procs) == procs);
    for (ssize_t n; procs > 0; procs -= n) {
        n = read(zygote[0], wish, (size_t)procs);
        bench_check(n > 0);
    }
}

static double
libpar_start(const struct bench_task *task)
{
    return start(task, &(struct way){ NULL, libpar_round });
}

static double
forkserver_start(const struct bench_task *task)
{
    return start(task, &(struct way){ NULL, forkserver_round });
}

static double
exec_start(const struct bench_task *task)
{
    return start(task, &(struct way){ NULL, exec_round });
}

static double
fork_start(const struct bench_task *task)
{
    return start(task, &(struct way){ NULL, fork_round });
}

static double
spawn_start(const struct bench_task *task)
{
    return start(task, &(struct way){ NULL, spawn_round });
}

static double
zygote_start(const struct bench_task *task)
{
    return start(task, &(struct way){ zygote_open, zygote_round });
}

/* ---- ready */

static int
say_ready(void *arg, void **state)
{
    (void)state;
    bench_add(arg);
    return 0;
}

static double
libpar_ready(const struct bench_task *task)
{
    uint32_t *n_ready = bench_shared(sizeof *n_ready);
    int64_t spent = 0;

    for (long i = 0; i < task->n; i++) {
        int64_t began = bench_now();
        par_pool *pool =
            par_pool_new(&(par_pool_opts){ .workers = (unsigned)task->procs, .initializer = say_ready, .initarg = n_ready });
        bench_check(pool != NULL);
        bench_await(n_ready, (uint32_t)(task->procs * (i + 1)));
        spent += bench_now() - began;
        par_pool_free(pool);
    }
    return (double)spent / 1e3 / (double)task->n;
}

static int
add_ready(void *n_ready)
{
    bench_add(n_ready);
    return 0;
}

static double
fork_ready(const struct bench_task *task)
{
    uint32_t *n_ready = bench_shared(sizeof *n_ready);
    pid_t pid[BENCH_MAX_RUNNERS];
    int64_t spent = 0;

    for (long i = 0; i < task->n; i++) {
        int64_t began = bench_now();
        for (long k = 0; k < task->procs; k++)
            pid[k] = bench_fork(add_ready, n_ready);
        bench_await(n_ready, (uint32_t)(task->procs * (i + 1)));
        spent += bench_now() - began;
        for (long k = 0; k < task->procs; k++)
            bench_join(pid[k]);
    }
    return (double)spent / 1e3 / (double)task->n;
}

static const struct bench_contender contenders[] = {
    { "start", "libpar", libpar_start, 1 },
    { "start", "fork+waitpid", fork_start, 1 },
    { "start", "posix_spawn", spawn_start, 1 },
    { "start", "limit-zygote", zygote_start, 1 },
    { "start", "libpar-forkserver", forkserver_start, 1 },
    { "start", "libpar-spawn", exec_start, 1 },
    { "ready", "libpar", libpar_ready, 1 },
    { "ready", "bare-forks", fork_ready, 1 },
};

int
main(int argc, char **argv)
{
    par_spawn_support();
    return bench_main(argc, argv, contenders, sizeof contenders / sizeof *contenders);
}
