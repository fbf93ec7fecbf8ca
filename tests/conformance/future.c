/* SPDX-License-Identifier: MIT
 *
 * future.c: behaviours 153 to 160: what concurrent.futures promises of tasks that fail, and of waiting for them.
 */
#include "conformance.h"

#include <pthread.h>

static par_pool *
new_pool(void)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });

    must(pool != NULL);
    return pool;
}

/* ---- 153: a task may end as it likes */

enum way { RETURNS, FAILS, IS_KILLED, ABORTS, EXITS, LEAVES_THREAD, MAKES_MUCH };

struct much {
    char *text;
};

static int
end_somehow(const void *in, void *out, void *ctx)
{
    (void)ctx;
    switch (*(const enum way *)in) {
    case FAILS: return 7;
    case IS_KILLED: raise(SIGKILL); break;
    case ABORTS: abort();
    case EXITS: exit(3);
    case LEAVES_THREAD: pthread_exit(NULL);
    case MAKES_MUCH: {
        struct much much = { par_task_alloc(4 << 20, 1) };

        must(much.text != NULL);
        memset(much.text, 'x', 4 << 20);
        *(struct much *)out = much;
        return 0;
    }
    case RETURNS: break;
    }
    return 0;
}

static void
conf_153_deadlock(void)
{
    static const enum way way[] = { RETURNS, FAILS, IS_KILLED, MAKES_MUCH, ABORTS, EXITS, LEAVES_THREAD, RETURNS };
    enum { N = sizeof way / sizeof *way };
    static const int expected[N] = { PAR_OK, PAR_FAILED, PAR_LOST, PAR_OK, PAR_LOST, PAR_LOST, PAR_LOST, PAR_OK };
    struct much result[N] = { { NULL } };
    unsigned char state[N];
    par_job_opts opts = { .state = state, .deadline = soon() };
    par_pool *pool = new_pool();

    must(setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) == 0);
    must(par_pool_map_with(pool, end_somehow, way, result, N, &opts) == 5 && errno == ECHILD);
    for (int i = 0; i < N; i++)
        must(state[i] == expected[i]);
    must(result[3].text != NULL && result[3].text[(4 << 20) - 1] == 'x');
    par_shared_free(result[3].text);
    par_pool_free(pool);
}

/* ---- 154, 158: workers that die, or never begin */

static int
die_if_negative(const void *in, void *out, void *ctx)
{
    (void)ctx;
    if (*(const int *)in < 0)
        raise(SIGKILL);
    *(int *)out = *(const int *)in + 1;
    return 0;
}

static void
conf_154_killed_child(void)
{
    int number[5] = { 1, 2, -1, 4, 5 }, result[5] = { 0 };
    par_status failure[5];
    par_job_opts opts = { .failures = failure, .max_failures = 5 };
    par_pool *pool = new_pool();

    must(par_pool_map_with(pool, die_if_negative, number, result, 5, &opts) == 1 && errno == ECHILD);
    must(failure[0].index == 2 && failure[0].state == PAR_LOST && failure[0].signal == SIGKILL && failure[0].pid > 0);
    must(result[0] == 2 && result[1] == 3 && result[2] == 0 && result[3] == 5 && result[4] == 6);
    number[2] = 3;
    must(par_pool_map(pool, die_if_negative, number, result, 5) == 0 && result[2] == 4); /* the pool goes on */
    par_pool_free(pool);
}

static int
refuse(void *arg, void **state)
{
    (void)arg;
    (void)state;
    return 1;
}

static int
die_at_once(void *arg, void **state)
{
    (void)arg;
    (void)state;
    return raise(SIGKILL);
}

static void
breaks(int (*initializer)(void *arg, void **state))
{
    int number[5] = { 1, 2, 3, 4, 5 }, result[5];
    unsigned char outcome[5];
    par_job_opts opts = { .state = outcome, .deadline = soon() };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .initializer = initializer });

    must(pool != NULL && par_pool_map_with(pool, die_if_negative, number, result, 5, &opts) == 5);
    must(errno == ENOTRECOVERABLE);
    for (int i = 0; i < 5; i++)
        must(outcome[i] == PAR_UNRUN);
    must_fail(par_pool_map(pool, die_if_negative, number, result, 5), ENOTRECOVERABLE);
    par_pool_free(pool);
}

static void
conf_158_initializer(void)
{
    breaks(refuse);
    breaks(die_at_once);
}

static int
tell_pid(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(pid_t *)out = getpid();
    return 0;
}

static void
conf_156_max_tasks_per_child(void)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 1, .backend = PAR_PROCESSES, .max_tasks = 3 });
    pid_t pid[7];

    must(pool != NULL);
    for (int i = 0; i < 7; i++)
        must(par_pool_map_sized(pool, tell_pid, NULL, 0, &pid[i], sizeof *pid, 1, NULL) == 0);
    must(pid[0] == pid[2] && pid[2] != pid[3] && pid[3] == pid[5] && pid[5] != pid[6]);
    par_pool_free(pool); /* in the middle of a life */
}

const struct behaviour future_behaviours[] = {
    PASSES(
        153, deadlock, IN_PROCESSES,
        "tasks that fail, are killed, abort, exit, leave their thread or return 4 MiB: each is told, none is waited for in vain",
        "par_pool_map, par_job_opts.state"),
    PASSES(
        154, killed_child, IN_PROCESSES,
        "the item is lost with the worker's pid and signal; the others are done and the pool goes on, which Python's does not",
        "par_status"),
    MISSING(155, saturation, "more is submitted than there are workers; idle ones are used again", "par_pool_submit"),
    PASSES(156, max_tasks_per_child, IN_PROCESSES, "after so many tasks there is a new pid; an early end is fine",
           "par_pool_opts.max_tasks"),
    MISSING(157, cancel_futures, "what has not begun is cancelled, what runs is finished", "par_future_cancel"),
    PASSES(158, initializer, IN_PROCESSES, "it fails or dies: every item is told, and every later map",
           "par_pool_opts.initializer"),
    MISSING(159, wait, "until the first, the first failure, all, a deadline", "par_future_wait"),
    MISSING(160, as_completed, "in the order in which they end, each once", "par_future_wait"),
    END_OF_TABLE
};
