/* SPDX-License-Identifier: MIT
 *
 * process.c: processes, threads, pools; also those that are killed.
 */
#include "leaks.h"

#include <signal.h>
#include <unistd.h>

static int
return_seven(void *arg)
{
    (void)arg;
    return 7;
}

/* Until it is killed. */
static int
stay(void *arg)
{
    (void)arg;
    while (pause() != 0)
        ;
    return 0;
}

static int
receive_one(void *arg)
{
    int n;

    return par_conn_recv(arg, &n, sizeof n, soon()) == (ssize_t)sizeof n ? n : 99;
}

static void
end_with(par_process *process, int code)
{
    must(process != NULL);
    must(par_process_join(process, soon()) == 0);
    must(par_process_exitcode(process) == code);
    par_process_free(process);
}

static void
cycle_process(void)
{
    end_with(par_process_start(return_seven, NULL, 0, NULL), 7);
}

static void
cycle_process_with_end(void)
{
    par_conn *end[2];
    par_process *process;
    int n = 7;

    must(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    process = par_process_start(receive_one, end[0], 0, &(par_process_opts){ .give = { end[0] } });
    must(process != NULL && par_conn_send(end[1], &n, sizeof n, soon()) == 0);
    end_with(process, 7);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
cycle_daemon(void)
{
    end_with(par_process_start(return_seven, NULL, 0, &(par_process_opts){ .daemon = true }), 7);
}

static void
cycle_killed_process(void)
{
    par_process *process = par_process_start(stay, NULL, 0, NULL);

    must(process != NULL && par_process_kill(process) == 0);
    end_with(process, -SIGKILL);
}

static void
cycle_killed_daemon(void)
{
    par_process *process = par_process_start(stay, NULL, 0, &(par_process_opts){ .daemon = true });

    must(process != NULL && par_process_fileno(process) >= 0 && par_process_kill(process) == 0);
    end_with(process, -SIGKILL);
}

static void
cycle_thread(void)
{
    par_thread *thread = par_thread_start(return_seven, NULL, 0, NULL);

    must(thread != NULL);
    must(par_thread_join(thread, soon()) == 0 && par_thread_exitcode(thread) == 7);
    par_thread_free(thread);
}

/* ---- pools of two */

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static int
die_on_two(const void *in, void *out, void *ctx)
{
    if (*(const int *)in == 2)
        (void)kill(getpid(), SIGKILL);
    return square(in, out, ctx);
}

static void
use_pool(int backend, par_fn *fn, ssize_t bad)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .backend = backend });
    int in[4] = { 0, 1, 2, 3 }, out[4];

    must(pool != NULL);
    must(par_pool_map_with(pool, fn, in, out, 4, &(par_job_opts){ .deadline = soon(), .chunk = 1 }) == bad);
    must(out[3] == 9);
    par_pool_free(pool);
}

static void
cycle_pool_of_processes(void)
{
    use_pool(PAR_PROCESSES, square, 0);
}

static void
cycle_pool_of_threads(void)
{
    use_pool(PAR_THREADS, square, 0);
}

static void
cycle_serial_pool(void)
{
    use_pool(PAR_SERIAL, square, 0);
}

static void
cycle_killed_worker(void)
{
    use_pool(PAR_PROCESSES, die_on_two, 1);
}

/* ---- start methods */

static void
start_by(int method)
{
    par_conn *end[2];
    par_process *process;
    int n = 7;

    end_with(par_process_start(return_seven, &n, sizeof n, &(par_process_opts){ .start_method = method, .daemon = true }), 7);
    must(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    process = par_process_start(receive_one, end[0], 0, &(par_process_opts){ .start_method = method, .give = { end[0] } });
    must(process != NULL && par_conn_send(end[1], &n, sizeof n, soon()) == 0);
    end_with(process, 7);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    process = par_process_start(stay, NULL, 0, &(par_process_opts){ .start_method = method });
    must(process != NULL && par_process_kill(process) == 0);
    end_with(process, -SIGKILL);
}

static void
cycle_spawn(void)
{
    start_by(PAR_SPAWN);
}

static void
cycle_forkserver(void)
{
    start_by(PAR_FORKSERVER);
}

static void
cycle_server(void)
{
    start_by(PAR_FORKSERVER);
    par_forkserver_stop();
}

const struct subject process_subjects[] = {
    { "process", NULL, cycle_process, NULL },
    { "process with end", NULL, cycle_process_with_end, NULL },
    { "daemon", NULL, cycle_daemon, NULL },
    { "killed process", NULL, cycle_killed_process, NULL },
    { "killed daemon", NULL, cycle_killed_daemon, NULL },
    { "spawn", NULL, cycle_spawn, NULL },
    { "forkserver's", NULL, cycle_forkserver, par_forkserver_stop },
    { "forkserver", NULL, cycle_server, NULL },
    { "thread", NULL, cycle_thread, NULL },
    { "pool, processes", NULL, cycle_pool_of_processes, NULL },
    { "pool, threads", NULL, cycle_pool_of_threads, NULL },
    { "pool, serial", NULL, cycle_serial_pool, NULL },
    { "killed worker", NULL, cycle_killed_worker, NULL },
    { NULL, NULL, NULL, NULL },
};
