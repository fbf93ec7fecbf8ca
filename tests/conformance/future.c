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

/* ---- futures */

/* Sleeps for so many ms, or fails at once. */
static int
sleep_or_fail(const void *in, void *out, void *ctx)
{
    int ms = *(const int *)in;

    (void)ctx;
    if (ms < 0)
        return par_task_fail(1, "no time");
    usleep((unsigned)ms * 1000);
    *(int *)out = getpid();
    return 0;
}

static par_future *
submit_ms(par_pool *pool, int ms)
{
    par_future *future = par_pool_submit(pool, sleep_or_fail, &ms, sizeof(int));

    must(future != NULL);
    return future;
}

static void
conf_155_saturation(void)
{
    par_pool *pool = new_pool();
    par_future *future[50];
    int pid[50], n_pids = 1;

    for (int i = 0; i < 50; i++)
        future[i] = submit_ms(pool, 1);
    must(par_future_wait(future, 50, PAR_ALL, soon()) == 50);
    for (int i = 0; i < 50; i++) {
        must(par_future_get(future[i], &pid[i], soon()) == 0);
        n_pids += pid[i] != pid[0] && n_pids == 1;
        must(pid[i] == pid[0] || n_pids == 2);
        par_future_free(future[i]);
    }
    for (int i = 0; i < 10; i++) { /* idle workers are used again */
        int again;
        par_future *one = submit_ms(pool, 0);
        must(par_future_get(one, &again, soon()) == 0);
        bool is_known = false;
        for (int k = 0; k < 50; k++)
            is_known = is_known || pid[k] == again;
        must(is_known);
        par_future_free(one);
    }
    must(par_pool_workers(pool) == 2);
    par_pool_free(pool);
}

static void
conf_157_cancel_futures(void)
{
    par_pool *pool = new_pool();
    par_future *future[20];
    int n_cancelled = 0, n_good = 0;

    for (int i = 0; i < 20; i++)
        future[i] = submit_ms(pool, i < 2 ? 300 : 1);
    usleep(100000);
    for (int i = 0; i < 20; i++)
        n_cancelled += par_future_cancel(future[i]) == 0;
    must(n_cancelled == 18);
    must(par_future_wait(future, 20, PAR_ALL, soon()) == 20);
    for (int i = 0; i < 20; i++) {
        par_status status;
        must(par_future_status(future[i], &status) == 0);
        must(status.state == (i < 2 ? PAR_OK : PAR_CANCELLED));
        n_good += status.state == PAR_OK;
        par_future_free(future[i]);
    }
    must(n_good == 2);
    par_pool_free(pool);
}

static void
conf_159_wait(void)
{
    par_pool *pool = new_pool();
    par_future *future[2] = { submit_ms(pool, 0), submit_ms(pool, 400) };

    must(par_future_wait(future, 2, PAR_FIRST, soon()) == 1);
    must_fail(par_future_wait(future, 2, PAR_ALL, par_in(0.05)), ETIMEDOUT);
    must(par_future_wait(future, 2, PAR_ALL, soon()) == 2);
    must(par_future_wait(future, 2, PAR_FIRST_BAD, soon()) == 2); /* none is bad: all */
    par_future_free(future[0]);
    future[0] = submit_ms(pool, -1);
    par_future *late = future[1];
    future[1] = submit_ms(pool, 400);
    must(par_future_wait(future, 2, PAR_FIRST_BAD, soon()) == 1);
    par_future_free(late);
    par_future_free(future[0]);
    par_future_free(future[1]);
    par_pool_free(pool);
}

static void
conf_160_as_completed(void)
{
    par_pool *pool = new_pool();
    par_future *slow = submit_ms(pool, 300), *quick = submit_ms(pool, 0), *future[] = { slow, NULL, quick };

    must(par_future_next(future, 3, soon()) == quick);
    errno = 0;
    must(par_future_next(future, 3, par_in(0.02)) == NULL && errno == ETIMEDOUT);
    must(par_future_next(future, 3, soon()) == slow);
    must(par_future_next(future, 3, soon()) == NULL && errno == ENOENT);
    par_future_free(slow);
    par_future_free(quick);
    par_pool_free(pool);
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
    PASSES(155, saturation, IN_PROCESSES, "more is submitted than there are workers; idle ones are used again",
           "par_pool_submit"),
    PASSES(156, max_tasks_per_child, IN_PROCESSES, "after so many tasks there is a new pid; an early end is fine",
           "par_pool_opts.max_tasks"),
    PASSES(157, cancel_futures, IN_PROCESSES, "what has not begun is cancelled, what runs is finished", "par_future_cancel"),
    PASSES(158, initializer, IN_PROCESSES, "it fails or dies: every item is told, and every later map",
           "par_pool_opts.initializer"),
    PASSES(159, wait, IN_PROCESSES, "until the first, the first failure, all, a deadline", "par_future_wait"),
    PASSES(160, as_completed, IN_PROCESSES, "in the order in which they end, each once", "par_future_next"),
    END_OF_TABLE
};
