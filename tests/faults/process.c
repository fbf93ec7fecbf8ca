/* SPDX-License-Identifier: MIT
 *
 * process.c: processes and threads: start, join, kill, free; faults in the caller, and faults at the birth of the child.
 */
#include "faults.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static int
add_one(void *arg)
{
    return *(int *)arg + 1;
}

static int
linger(void *arg)
{
    (void)arg;
    while (pause() != 0)
        ;
    return 0;
}

/* The child runs, or could not begin and says so. */
static int
finish(par_process *p, int code)
{
    int ended;

    if (p == NULL)
        return -1;
    expect(par_process_join(p, soon()) == 0 && !par_process_is_alive(p));
    ended = par_process_exitcode(p);
    if (point->where == IN_CHILDREN && ended == PAR_EXIT_UNKNOWN)
        expect(strstr(par_error(), "could not begin") != NULL);
    else
        expect(ended == code);
    par_process_free(p);
    return 0;
}

static int
start(void)
{
    int five = 5;

    return finish(par_process_start(add_one, &five, sizeof five, NULL), 6);
}

static int
start_daemon(void)
{
    int five = 5;

    return finish(par_process_start(add_one, &five, 0, &(par_process_opts){ .name = "Anna", .daemon = true }), 6);
}

static int
kill_it(void)
{
    par_process *p = par_process_start(linger, NULL, 0, &(par_process_opts){ .daemon = true });

    if (p == NULL)
        return -1;
    expect(par_process_kill(p) == 0);
    return finish(p, -SIGKILL);
}

/* Forgotten while it runs; reaped by a later call. */
static int
drop(void)
{
    par_process *p = par_process_start(linger, NULL, 0, &(par_process_opts){ .daemon = true });
    pid_t pid;

    if (p == NULL)
        return -1;
    pid = par_process_pid(p);
    expect(pid > 0 && (par_process_fileno(p) >= 0 || errno == ENOTSUP));
    par_process_free(p);
    expect(kill(pid, SIGKILL) == 0);
    return 0;
}

static int
answer(void *arg)
{
    int x;

    return par_conn_recv(arg, &x, sizeof x, soon()) == sizeof x ? x : 1;
}

/* When the start fails the end is the caller's as before. */
static int
give(void)
{
    par_conn *end[2] = { NULL, NULL };
    par_process *p;
    int x = 42, result, error;

    QUIETLY(expect_ready(par_pipe(end, NULL) == 0));
    p = par_process_start(answer, end[0], 0, &(par_process_opts){ .give = { end[0] } });
    error = errno;
    if (p == NULL)
        QUIETLY(expect(par_conn_poll(end[0], PAR_NOWAIT) == -1 && errno == ETIMEDOUT));
    else
        expect(par_conn_send(end[1], &x, sizeof x, soon()) == 0 || errno == EPIPE);
    result = finish(p, 42);
    par_conn_free(end[1]);
    par_conn_free(end[0]);
    errno = error;
    return result;
}

static int
know_itself(void *arg)
{
    int expected[] = { ENOMEM, ENOSPC, EAGAIN };

    (void)arg;
    if (par_process_current() != NULL && par_process_parent() != NULL)
        return 6;
    for (int i = 0; i < 3; i++)
        if (errno == expected[i])
            return 6;
    return 1;
}

static int
start_who_knows(void)
{
    return finish(par_process_start(know_itself, NULL, 0, NULL), 6);
}

static int
use_shared(void *arg)
{
    *(int *)arg = 7;
    return 6;
}

static int
share(void)
{
    int *shared = NULL, result, error;

    QUIETLY(expect_ready((shared = par_value(int)) != NULL));
    result = finish(par_process_start(use_shared, shared, 0, NULL), 6);
    error = errno;
    expect(result != 0 || *shared == 7 || point->where == IN_CHILDREN);
    QUIETLY(par_shared_free(shared));
    errno = error;
    return result;
}

/* ---- start methods */

static int
spawn(void)
{
    int five = 5;

    return finish(par_process_start(add_one, &five, sizeof five, &(par_process_opts){ .start_method = PAR_SPAWN }), 6);
}

static int
ask_forkserver(void)
{
    int five = 5, result, error;

    result = finish(par_process_start(add_one, &five, sizeof five, &(par_process_opts){ .start_method = PAR_FORKSERVER }), 6);
    error = errno;
    QUIETLY(par_forkserver_stop());
    errno = error;
    return result;
}

/* ---- threads */

static int
thread(void)
{
    int five = 5;
    par_thread *t = par_thread_start(add_one, &five, sizeof five, NULL);

    if (t == NULL)
        return -1;
    expect(par_thread_join(t, soon()) == 0 && par_thread_exitcode(t) == 6);
    par_thread_free(t);
    return 0;
}

#define PROCESS .group = "process"
#define START_ERRORS ERRORS(EAGAIN, ENOMEM, ENOSPC)
#define DAEMON_ERRORS ERRORS(EAGAIN, ENOMEM, ENOSPC, EMFILE, ENFILE)

const struct op process_ops[] = {
    { PROCESS, .name = "process_start", .act = start, .errors = START_ERRORS, .is_cold = true },
    { PROCESS, .name = "process_start_daemon", .act = start_daemon, .errors = DAEMON_ERRORS },
    { PROCESS, .name = "process_start_give", .act = give, .errors = START_ERRORS },
    { PROCESS, .name = "process_start_share", .act = share, .errors = START_ERRORS },
    { PROCESS, .name = "process_kill", .act = kill_it, .errors = DAEMON_ERRORS },
    { PROCESS, .name = "process_free_running", .act = drop, .errors = DAEMON_ERRORS },
    { PROCESS, .name = "child_begins", .act = start, .errors = START_ERRORS, .where = IN_CHILDREN },
    { PROCESS, .name = "child_begins_daemon", .act = start_daemon, .errors = DAEMON_ERRORS, .where = IN_CHILDREN },
    { PROCESS, .name = "child_begins_given", .act = give, .errors = START_ERRORS, .where = IN_CHILDREN },
    { PROCESS, .name = "child_knows_itself", .act = start_who_knows, .errors = START_ERRORS, .where = IN_CHILDREN },
    { PROCESS, .name = "process_spawn", .act = spawn, .errors = START_ERRORS },
    { PROCESS, .name = "process_forkserver", .act = ask_forkserver, .errors = DAEMON_ERRORS },
    { PROCESS, .name = "child_is_executed", .act = spawn, .errors = START_ERRORS, .where = IN_CHILDREN },
    { .group = "thread", .name = "thread_start", .act = thread, .errors = ERRORS(EAGAIN, ENOMEM, ENOSPC), .is_cold = true },
    { .name = NULL },
};
