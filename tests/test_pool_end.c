/* SPDX-License-Identifier: MIT
 *
 * test_pool_end.c: pools whose workers die, are late, are terminated or cannot be started, and whose creator dies.
 */
#include "fixture.h"

#include <par/pool.h>
#include <par/process.h>
#include <par/shared.h>

#include "../libpar/shm/shm.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static par_pool *
new_pool(int backend, unsigned workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = backend, .workers = workers });

    ck_assert_msg(pool != NULL, "par_pool_new: %s", strerror(errno));
    return pool;
}

static int *
count_up(int *array, size_t n)
{
    for (size_t i = 0; i < n; i++)
        array[i] = (int)i;
    return array;
}

static int
nothing(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return 0;
}

/* The tasks below tell in *ctx that they have begun. */
static void
begin(void *ctx)
{
    if (ctx != NULL)
        atomic_store((_Atomic int *)ctx, 1);
}

static void
wait_for_begin(_Atomic int *has_begun)
{
    par_time start = par_now();

    while (atomic_load(has_begun) == 0 && par_since(start) < 20)
        usleep(1000);
}

static int
my_pid(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(pid_t *)out = getpid();
    return 0;
}

static int
nap(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    begin(ctx);
    usleep(20000);
    return 0;
}

static int
sleep_for_ever(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    begin(ctx);
    for (;;)
        pause();
    return 0;
}

/* ---- one death costs one item */

struct way {
    int signal; /* 0: exit */
    int code;
    bool by_exit; /* exit, not _exit */
};

static const struct way ways[] = { { .signal = SIGKILL }, { .signal = SIGSEGV },         { .signal = SIGABRT },
                                   { .signal = SIGTERM }, { .signal = SIGUSR1 },         { .code = 3 },
                                   { .code = 0 },         { .code = 4, .by_exit = true } };

#define VICTIM 37

static int
die_on_victim(const void *in, void *out, void *ctx)
{
    const struct way *way = ctx;
    int x = *(const int *)in;

    if (x == VICTIM) {
        if (way->signal != 0)
            kill(getpid(), way->signal);
        if (way->by_exit)
            exit(way->code);
        _exit(way->code);
    }
    *(int *)out = x + 1;
    return 0;
}

START_TEST(a_death_costs_exactly_the_item_that_ran)
{
    const struct way *way = &ways[_i];
    int in[1000], out[1000];
    unsigned char state[1000];
    par_status failure[2];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    memset(out, -1, sizeof out);
    ck_assert_int_eq(par_pool_map_with(pool, die_on_victim, count_up(in, 1000), out, 1000,
                                       &(par_job_opts){ .ctx = way,
                                                        .ctx_size = sizeof *way,
                                                        .state = state,
                                                        .failures = failure,
                                                        .max_failures = 2 }),
                     1);
    ck_assert_int_eq(errno, ECHILD);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(state[i], i == VICTIM ? PAR_LOST : PAR_OK);
        ck_assert_int_eq(out[i], i == VICTIM ? -1 : i + 1);
    }
    ck_assert_uint_eq(failure[0].index, VICTIM);
    ck_assert_int_eq(failure[0].state, PAR_LOST);
    ck_assert_int_eq(failure[0].signal, way->signal);
    ck_assert_int_eq(failure[0].code, way->signal ? -way->signal : way->code);
    ck_assert_int_gt(failure[0].pid, 0);
    ck_assert_int_eq(par_pool_workers(pool), 2);
    par_pool_free(pool);
}
END_TEST

START_TEST(the_loss_is_told_in_words)
{
    int in[100], out[100];
    char expected[100];
    par_status failure[1];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    ck_assert_int_eq(par_pool_map_with(pool, die_on_victim, count_up(in, 100), out, 100,
                                       &(par_job_opts){ .ctx = &ways[0],
                                                        .ctx_size = sizeof ways[0],
                                                        .failures = failure,
                                                        .max_failures = 1 }),
                     1);
    snprintf(expected, sizeof expected, "item 37: worker %d killed by SIGKILL", (int)failure[0].pid);
    ck_assert_str_eq(par_error(), expected);
    ck_assert_str_eq(failure[0].text, expected + strlen("item 37: "));
    par_pool_free(pool);
}
END_TEST

struct runs {
    _Atomic int *n;
    int victim;
};

static int
count_runs(const void *in, void *out, void *ctx)
{
    const struct runs *runs = ctx;
    int i = (int)par_task_index();

    (void)in;
    (void)out;
    atomic_fetch_add(&runs->n[i], 1);
    if (i % runs->victim == 0)
        raise(SIGKILL);
    return 0;
}

START_TEST(items_behind_the_victim_are_handed_out_again_and_run_once)
{
    _Atomic int *n = (_Atomic int *)par_shared_alloc(500, sizeof *n);
    struct runs runs = { n, 100 };
    par_pool *pool = new_pool(PAR_PROCESSES, 2);
    par_job_opts opts = { .ctx = &runs, .ctx_size = sizeof runs, .chunk = (size_t)_i };

    ck_assert_int_eq(par_pool_map_sized(pool, count_runs, NULL, 0, NULL, 0, 500, &opts), 5);
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(atomic_load(&n[i]), 1);
    par_pool_free(pool);
    par_shared_free((void *)n);
}
END_TEST

static int
count_then_die(const void *in, void *out, void *ctx)
{
    int *n = ctx;

    (void)in;
    *(int *)out = ++*n;
    if (*n == 3)
        raise(SIGKILL);
    return 0;
}

START_TEST(a_replacement_gets_a_fresh_ctx)
{
    int in[5], out[5] = { 0 }, zero = 0;
    par_pool *pool = new_pool(PAR_PROCESSES, 1);

    ck_assert_int_eq(par_pool_map_with(pool, count_then_die, count_up(in, 5), out, 5,
                                       &(par_job_opts){ .ctx = &zero, .ctx_size = sizeof zero }),
                     1);
    ck_assert_int_eq(out[0], 1);
    ck_assert_int_eq(out[1], 2);
    ck_assert_int_eq(out[2], 0);
    ck_assert_int_eq(out[3], 1);
    ck_assert_int_eq(out[4], 2);
    par_pool_free(pool);
}
END_TEST

static int
end_thread_on_victim(const void *in, void *out, void *ctx)
{
    (void)ctx;
    if (*(const int *)in % 50 == VICTIM) {
        if (par_task_alloc(10, 10) == NULL)
            return 1;
        pthread_exit(NULL);
    }
    *(int *)out = *(const int *)in + 1;
    return 0;
}

START_TEST(a_worker_that_calls_pthread_exit_is_lost_like_any_other)
{
    int in[100], out[100];
    par_status failure[3];
    par_pool *pool = new_pool(_i, 2);
    size_t before = pari_heap_in_use();

    ck_assert_int_eq(par_pool_map_with(pool, end_thread_on_victim, count_up(in, 100), out, 100,
                                       &(par_job_opts){ .failures = failure, .max_failures = 3 }),
                     2);
    ck_assert_int_eq(errno, ECHILD);
    for (int k = 0; k < 2; k++) {
        ck_assert_uint_eq(failure[k].index, (size_t)k * 50 + VICTIM);
        ck_assert_int_eq(failure[k].state, PAR_LOST);
        ck_assert_int_eq(failure[k].code, 0);
    }
    ck_assert_int_eq(out[99], 100);
    ck_assert_int_eq(par_pool_workers(pool), 2);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_pool_free(pool);
}
END_TEST

static void *
pause_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int
leave_a_thread_behind(const void *in, void *out, void *ctx)
{
    pthread_t thread;

    (void)in;
    (void)out;
    (void)ctx;
    if (par_task_index() == 3 && pthread_create(&thread, NULL, pause_for_ever, NULL) == 0)
        pthread_exit(NULL);
    return 0;
}

START_TEST(a_worker_whose_thread_is_gone_is_lost_though_other_threads_live_in_it)
{
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, leave_a_thread_behind, NULL, 0, NULL, 0, 10, NULL), 1);
    ck_assert_int_eq(errno, ECHILD);
    par_pool_free(pool);
}
END_TEST

START_TEST(idle_workers_that_died_are_replaced_by_the_next_map)
{
    pid_t pid[2] = { 0, 0 };
    int in[2] = { 0, 0 };
    par_time limit = par_in(20);
    par_pool *pool = new_pool(PAR_PROCESSES, 1);

    for (int round = 0; round < 10; round++) {
        ck_assert_int_eq(par_pool_apply(pool, my_pid, in, &pid[round % 2]), 0);
        ck_assert_int_ne(pid[0], pid[1]);
        ck_assert_int_eq(kill(pid[round % 2], SIGKILL), 0); /* not reaped before the next map: it is ours */
        while (par_pool_workers(pool) != 0)
            ck_assert_double_lt(par_since(limit), 0);
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(a_worker_killed_while_idle_costs_nothing_even_if_nobody_has_noticed)
{
    pid_t pid = 0;
    int in = 0;
    par_pool *pool = new_pool(PAR_PROCESSES, 1);

    for (int round = 0; round < 50; round++) {
        ck_assert_int_eq(par_pool_apply(pool, my_pid, &in, &pid), 0);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
    }
    par_pool_free(pool);
}
END_TEST

static int
alloc_and_die(const void *in, void *out, void *ctx)
{
    char **mine = out;

    (void)in;
    (void)ctx;
    *mine = par_task_alloc(1, 5000);
    if (*mine == NULL)
        return 1;
    if (par_task_index() % 10 == 5)
        raise(SIGKILL);
    return 0;
}

START_TEST(what_a_dead_task_had_allocated_is_swept)
{
    int in[40];
    char *out[40] = { NULL };
    par_pool *pool = new_pool(PAR_PROCESSES, 2);
    size_t before = pari_heap_in_use();

    ck_assert_int_eq(par_pool_map(pool, alloc_and_die, count_up(in, 40), out, 40), 4);
    for (int i = 0; i < 40; i++)
        par_shared_free(out[i]);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_pool_free(pool);
}
END_TEST

static int
fail_or_die(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return par_task_index() == 90 ? raise(SIGKILL) : 7;
}

START_TEST(a_loss_is_listed_before_mere_failures)
{
    par_status failure[1];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, fail_or_die, NULL, 0, NULL, 0, 100,
                                        &(par_job_opts){ .failures = failure, .max_failures = 1 }),
                     100);
    ck_assert_uint_eq(failure[0].index, 90);
    ck_assert_int_eq(failure[0].state, PAR_LOST);
    par_pool_free(pool);
}
END_TEST

static int
die(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    abort();
}

START_TEST(a_pool_whose_workers_only_die_breaks)
{
    unsigned char state[100];
    int n_lost = 0, n_unrun = 0;
    par_status failure[100];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, die, NULL, 0, NULL, 0, 100,
                                        &(par_job_opts){ .state = state, .failures = failure, .max_failures = 100 }),
                     100);
    ck_assert_int_eq(errno, ENOTRECOVERABLE);
    ck_assert_ptr_nonnull(strstr(par_error(), "killed by SIGABRT"));
    for (int i = 0; i < 100; i++) {
        n_lost += state[i] == PAR_LOST;
        n_unrun += state[i] == PAR_UNRUN;
        ck_assert_uint_eq(failure[i].index, (size_t)i);
        ck_assert_int_eq(failure[i].state, state[i]);
        ck_assert_uint_eq(failure[i].tries, state[i] == PAR_LOST ? 1 : 0);
    }
    ck_assert_int_ge(n_lost, 11);
    ck_assert_int_le(n_lost, 13); /* the limit is 10; the last two may die together, and the other is on an item */
    ck_assert_int_eq(n_lost + n_unrun, 100);
    ck_fails(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 1, NULL), ENOTRECOVERABLE);
    par_pool_free(pool);
}
END_TEST

static int
initialize_and_die(void *arg, void **state)
{
    (void)arg;
    (void)state;
    raise(SIGKILL);
    return 0;
}

START_TEST(an_initializer_that_always_dies_breaks_the_pool)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .initializer = initialize_and_die });
    ssize_t k;

    ck_assert_ptr_nonnull(pool);
    k = par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 10, NULL);
    ck_assert(k == 10 || k == -1);
    ck_assert_int_eq(errno, ENOTRECOVERABLE);
    ck_assert_ptr_nonnull(strstr(par_error(), "killed by SIGKILL"));
    par_pool_free(pool);
}
END_TEST

static _Atomic int *n_born; /* forks so far */

static void
die_before_birth(void)
{
    if (n_born != NULL && atomic_fetch_add(n_born, 1) % 2 == 0)
        raise(SIGKILL);
}

static int
die_on_ninth(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return par_task_index() == 9 ? raise(SIGKILL) : 0;
}

START_TEST(workers_that_die_before_they_are_born_are_replaced)
{
    par_pool *pool;

    n_born = fixture_shared(4096);
    ck_assert_int_eq(pthread_atfork(NULL, NULL, die_before_birth), 0);
    pool = new_pool(PAR_PROCESSES, 2);
    for (int round = 0; round < 10; round++) {
        ck_assert_int_eq(par_pool_map_sized(pool, die_on_ninth, NULL, 0, NULL, 0, 20, NULL), 1);
        ck_assert_int_eq(errno, ECHILD);
    }
    ck_assert_int_gt(atomic_load(n_born), 20);
    par_pool_free(pool);
}
END_TEST

/* ---- deadlines */

static int
sleep_on_odd(const void *in, void *out, void *ctx)
{
    (void)out;
    (void)ctx;
    if (*(const int *)in % 2 == 1)
        for (;;)
            pause();
    return 0;
}

START_TEST(the_deadline_ends_processes_that_are_on_an_item)
{
    int in[20], n[6] = { 0 };
    unsigned char state[20];
    par_status failure[20];
    ssize_t k;
    par_pool *pool = new_pool(PAR_PROCESSES, 2);
    par_job_opts opts = { .state = state, .failures = failure, .max_failures = 20, .deadline = par_in(0.15), .chunk = 1 };

    k = par_pool_map_sized(pool, sleep_on_odd, count_up(in, 20), sizeof *in, NULL, 0, 20, &opts);
    ck_assert_int_eq(errno, ETIMEDOUT);
    for (int i = 0; i < 20; i++)
        n[state[i]]++;
    ck_assert_int_eq(n[PAR_OK], 20 - k);
    ck_assert_int_eq(n[PAR_TIMED_OUT], 2);
    ck_assert_int_eq(n[PAR_UNRUN], k - 2);
    for (int i = 0; i < k; i++)
        if (failure[i].state == PAR_TIMED_OUT) {
            ck_assert_int_eq(failure[i].signal, SIGKILL);
            ck_assert_int_gt(failure[i].pid, 0);
        }
    ck_assert_int_eq(par_pool_workers(pool), 2);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 20, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
stop_myself(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return raise(SIGSTOP);
}

START_TEST(the_deadline_ends_a_stopped_worker)
{
    unsigned char state = 9;
    par_pool *pool = new_pool(PAR_PROCESSES, 1);

    ck_assert_int_eq(par_pool_map_sized(pool, stop_myself, NULL, 0, NULL, 0, 1,
                                        &(par_job_opts){ .state = &state, .deadline = par_in(0.1) }),
                     1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(state, PAR_TIMED_OUT);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 1, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
work_until_cancelled(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    begin(ctx);
    while (!par_task_cancelled())
        usleep(1000);
    return 0;
}

START_TEST(threads_and_serial_tasks_are_told_about_the_deadline)
{
    unsigned char state[20];
    int n_ok = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_ge(par_pool_map_sized(pool, work_until_cancelled, NULL, 0, NULL, 0, 20,
                                        &(par_job_opts){ .state = state, .deadline = par_in(0.1), .chunk = 1 }),
                     18);
    ck_assert_int_eq(errno, ETIMEDOUT);
    for (int i = 0; i < 20; i++)
        n_ok += state[i] == PAR_OK;
    ck_assert_int_ge(n_ok, 1);
    ck_assert_int_le(n_ok, 2);
    par_pool_free(pool);
}
END_TEST

/* ---- terminate, free, interrupt */

struct victim {
    par_pool *pool;
    par_fn *fn;
    _Atomic int *has_begun;
    ssize_t result;
    int error;
    unsigned char state[10000];
};

static void *
map_until_ended(void *arg)
{
    struct victim *victim = arg;

    victim->result =
        par_pool_map_sized(victim->pool, victim->fn, NULL, 0, NULL, 0, 10000,
                           &(par_job_opts){ .ctx = (void *)victim->has_begun, .state = victim->state, .chunk = 1 });
    victim->error = errno;
    return NULL;
}

static void
start_victim(struct victim *victim, int backend, pthread_t *thread)
{
    *victim = (struct victim){ .pool = new_pool(backend, 2),
                               .fn = backend == PAR_PROCESSES ? sleep_for_ever : work_until_cancelled,
                               .has_begun = (_Atomic int *)par_value(int) };
    ck_assert_int_eq(pthread_create(thread, NULL, map_until_ended, victim), 0);
    wait_for_begin(victim->has_begun);
}

static void
check_victim(struct victim *victim)
{
    int n_cancelled = 0;

    ck_assert_int_eq(victim->error, ECANCELED);
    for (int i = 0; i < 10000; i++)
        n_cancelled += victim->state[i] == PAR_CANCELLED;
    ck_assert_int_eq(n_cancelled, victim->result);
    ck_assert_int_ge(n_cancelled, 9998);
    par_shared_free((void *)victim->has_begun);
}

START_TEST(terminate_cancels_the_map_of_another_thread)
{
    static struct victim victim;
    pthread_t thread;

    start_victim(&victim, _i, &thread);
    ck_assert_int_eq(par_pool_terminate(victim.pool), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    check_victim(&victim);
    ck_assert_int_eq(par_pool_join(victim.pool, par_in(20)), 0);
    par_pool_free(victim.pool);
}
END_TEST

START_TEST(free_cancels_the_map_of_another_thread_and_waits_for_it)
{
    static struct victim victim;
    pthread_t thread;

    start_victim(&victim, _i, &thread);
    par_pool_free(victim.pool);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    check_victim(&victim);
}
END_TEST

static int
refuse_to_end(void *arg, void **state)
{
    sigset_t all;

    (void)state;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    atomic_store((_Atomic int *)arg, 1);
    for (;;)
        pause();
    return 0;
}

START_TEST(a_worker_that_ignores_sigterm_is_killed_after_a_second)
{
    _Atomic int *is_deaf = (_Atomic int *)par_value(int);
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 1, .initializer = refuse_to_end, .initarg = (void *)is_deaf });

    ck_assert_ptr_nonnull(pool);
    wait_for_begin(is_deaf);
    ck_assert_int_eq(par_pool_terminate(pool), 0);
    ck_fails(par_pool_join(pool, par_in(0.05)), ETIMEDOUT);
    ck_assert_int_eq(par_pool_workers(pool), 1);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    ck_assert_int_eq(par_pool_workers(pool), 0);
    par_pool_free(pool);
    par_shared_free((void *)is_deaf);
}
END_TEST

static void
finalize_in_vain(void *state)
{
    (void)state;
    for (;;)
        pause();
}

START_TEST(free_does_not_wait_for_a_finalizer_that_hangs)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .finalizer = finalize_in_vain });

    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 10, NULL), 0);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_fails(par_pool_join(pool, par_in(0.1)), ETIMEDOUT);
    errno = 77;
    par_pool_free(pool);
    ck_assert_int_eq(errno, 77);
}
END_TEST

static int
free_at_once(void *arg)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = *(int *)arg, .workers = 2 });

    if (pool == NULL)
        return 1;
    par_pool_free(pool);
    return 0;
}

START_TEST(a_pool_may_be_freed_before_its_workers_have_begun)
{
    for (int round = 0; round < 100; round++)
        ck_assert_int_eq(free_at_once(&_i), 0);
}
END_TEST

static void *
interrupt_soon(void *arg)
{
    wait_for_begin(arg);
    par_interrupt(true);
    return NULL;
}

START_TEST(par_interrupt_cancels_the_map)
{
    _Atomic int *has_begun = (_Atomic int *)par_value(int);
    unsigned char state[100];
    pthread_t thread;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_soon, (void *)has_begun), 0);
    ck_assert_int_ge(par_pool_map_sized(pool, _i == PAR_PROCESSES ? sleep_for_ever : nap, NULL, 0, NULL, 0, 100,
                                        &(par_job_opts){ .ctx = (void *)has_begun, .state = state, .chunk = 1 }),
                     1);
    ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 100; i++)
        ck_assert(state[i] == PAR_CANCELLED || (state[i] == PAR_OK && _i != PAR_PROCESSES));
    par_interrupt(false);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 100, NULL), 0);
    par_pool_free(pool);
    par_shared_free((void *)has_begun);
}
END_TEST

/* ---- workers that cannot be started */

static _Atomic int n_calls_left;

static int
fail_after(enum pari_call call)
{
    if (call != PARI_CALL_FORK && call != PARI_CALL_THREAD)
        return 0;
    return atomic_fetch_sub(&n_calls_left, 1) > 0 ? 0 : EAGAIN;
}

START_TEST(new_ends_the_workers_it_has_started_when_one_cannot_be)
{
    size_t before;

    par_pool_free(new_pool(_i, 1));
    before = pari_heap_in_use();
    atomic_store(&n_calls_left, 3);
    pari_fault_hook = fail_after;
    ck_fails_null(par_pool_new(&(par_pool_opts){ .backend = _i, .workers = 4 }), EAGAIN);
    pari_fault_hook = NULL;
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(the_others_do_the_work_of_one_that_cannot_be_replaced)
{
    int in[1000], out[1000];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    atomic_store(&n_calls_left, 0);
    pari_fault_hook = fail_after;
    ck_assert_int_eq(par_pool_map_with(pool, die_on_victim, count_up(in, 1000), out, 1000,
                                       &(par_job_opts){ .ctx = &ways[0], .ctx_size = sizeof ways[0] }),
                     1);
    ck_assert_int_eq(par_pool_workers(pool), 1);
    pari_fault_hook = NULL;
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 10, NULL), 0);
    ck_assert_int_eq(par_pool_workers(pool), 2);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_map_without_a_single_worker_fails_or_breaks)
{
    unsigned char state[10];
    par_pool *pool = new_pool(PAR_PROCESSES, 1);

    atomic_store(&n_calls_left, 0);
    pari_fault_hook = fail_after;
    ck_assert_int_eq(par_pool_map_sized(pool, die, NULL, 0, NULL, 0, 10, &(par_job_opts){ .state = state }), 10);
    ck_assert_int_eq(errno, ENOTRECOVERABLE);
    ck_assert_int_eq(state[0], PAR_LOST);
    ck_assert_int_eq(state[1], PAR_UNRUN);
    par_pool_free(pool);
    pari_fault_hook = NULL;
}
END_TEST

/* ---- a program that interferes with its children */

START_TEST(an_ignored_sigchld_hides_how_a_worker_died_but_not_that_it_did)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    int in[100], out[100];
    par_status failure[1];
    par_pool *pool;

    ck_assert_int_eq(sigaction(SIGCHLD, &ignore, &old), 0);
    pool = new_pool(PAR_PROCESSES, 2);
    ck_assert_int_eq(par_pool_map_with(pool, die_on_victim, count_up(in, 100), out, 100,
                                       &(par_job_opts){ .ctx = &ways[0],
                                                        .ctx_size = sizeof ways[0],
                                                        .failures = failure,
                                                        .max_failures = 1 }),
                     1);
    ck_assert_uint_eq(failure[0].index, VICTIM);
    ck_assert_int_eq(failure[0].state, PAR_LOST);
    ck_assert_int_eq(failure[0].code, PAR_EXIT_UNKNOWN);
    ck_assert_int_eq(failure[0].signal, 0);
    ck_assert_int_gt(failure[0].pid, 0);
    par_pool_free(pool);
    ck_assert_int_eq(sigaction(SIGCHLD, &old, NULL), 0);
}
END_TEST

/* ---- the creator dies */

static int
tell_pid(void *arg, void **state)
{
    _Atomic pid_t *pid = arg;

    (void)state;
    atomic_store(&pid[par_worker_index()], getpid());
    return 0;
}

struct creator {
    _Atomic pid_t *pid; /* of its two workers */
    par_fn *fn;
    bool leaves; /* by itself, without a free */
};

static int
create_and_map(void *arg)
{
    const struct creator *creator = arg;
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .initializer = tell_pid, .initarg = (void *)creator->pid });

    if (pool == NULL)
        return 1;
    return par_pool_map_sized(pool, creator->fn, NULL, 0, NULL, 0, 100, NULL) == 0 && creator->leaves ? 0 : 2;
}

static int
spin(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    for (volatile int i = 0;; i++)
        ;
    return 0;
}

/* The workers are ours to reap once their creator is gone: the fixture has made us a subreaper. */
static void
wait_for_orphans(_Atomic pid_t *pid)
{
    for (int i = 0; i < 2; i++) {
        pid_t worker = atomic_load(&pid[i]);
        par_time start = par_now();
        pid_t result = 0;
        while (worker > 0 && (result = waitpid(worker, NULL, WNOHANG)) == 0 && par_since(start) < 15)
            usleep(1000);
        ck_assert_msg(worker <= 0 || result != 0, "worker %d outlives its creator", (int)worker);
    }
}

START_TEST(workers_end_with_their_creator_even_in_the_middle_of_an_item)
{
    static par_fn *const fn[] = { spin, sleep_for_ever };
    struct creator creator = { fixture_shared(4096), fn[_i], false };
    par_time start = par_now();
    pid_t child;

    fixture_expect_orphans();
    child = fixture_fork(create_and_map, &creator);
    while ((atomic_load(&creator.pid[0]) == 0 || atomic_load(&creator.pid[1]) == 0) && par_since(start) < 20)
        usleep(1000);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    wait_for_orphans(creator.pid);
}
END_TEST

START_TEST(leaving_without_a_free_ends_the_idle_workers)
{
    struct creator creator = { fixture_shared(4096), nothing, true };

    fixture_expect_orphans();
    ck_assert_int_eq(fixture_in_child(create_and_map, &creator), 0);
    wait_for_orphans(creator.pid);
}
END_TEST

START_TEST(a_creator_killed_at_any_moment_leaves_no_worker)
{
    struct creator creator = { fixture_shared(4096), nothing, false };

    fixture_expect_orphans();
    for (int round = 0; round < 40; round++) {
        pid_t child;
        atomic_store(&creator.pid[0], 0);
        atomic_store(&creator.pid[1], 0);
        child = fixture_fork(create_and_map, &creator);
        fixture_kill_after_us(child, 200 + fixture_random_below(4000));
        ck_assert_int_ne(fixture_wait(child), 1);
        wait_for_orphans(creator.pid);
    }
}
END_TEST

/* ---- a few hundred kills at random moments */

#define MAX_KILLS 20000

struct storm {
    _Atomic unsigned *seed;
    _Atomic unsigned *n_killed;
    _Atomic pid_t *killed; /* who was to be killed */
};

/* SIGKILL to ourselves so many microseconds from now, wherever we are then. */
static void
arm(const struct storm *storm, unsigned us)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec when = { .it_value = { .tv_nsec = (long)us * 1000 + 1 } };
    unsigned n = atomic_fetch_add(storm->n_killed, 1);
    timer_t timer;

    if (n < MAX_KILLS)
        atomic_store(&storm->killed[n], getpid());
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}

static int
work_in_the_storm(const void *in, void *out, void *ctx)
{
    const struct storm *storm = ctx;
    unsigned random = atomic_fetch_add(storm->seed, 2654435761u) * 2246822519u >> 8;
    long *result = par_task_alloc(1, sizeof *result);

    if (result == NULL)
        return 1;
    if (random % 64 == 0)
        arm(storm, random / 64 % 200);
    *result = (long)*(const int *)in * 3;
    *(long **)out = result;
    return 0;
}

static bool
was_killed(const struct storm *storm, pid_t pid)
{
    unsigned n = atomic_load(storm->n_killed);

    for (unsigned i = 0; i < n && i < MAX_KILLS; i++)
        if (atomic_load(&storm->killed[i]) == pid)
            return true;
    return false;
}

#define STORM_ITEMS 1000

static int
check_storm(const struct storm *storm, const unsigned char *state, long **out, const par_status *failure, ssize_t k)
{
    int n_lost = 0;

    for (int i = 0; i < STORM_ITEMS; i++) {
        if (state[i] == PAR_OK)
            ck_assert_int_eq(*out[i], 3L * i);
        else {
            ck_assert_int_eq(state[i], PAR_LOST);
            ck_assert_int_lt(n_lost, k);
            ck_assert_uint_eq(failure[n_lost].index, (size_t)i);
            ck_assert_int_eq(failure[n_lost].signal, SIGKILL);
            ck_assert(was_killed(storm, failure[n_lost].pid));
            n_lost++;
        }
        if (state[i] == PAR_OK)
            par_shared_free(out[i]);
    }
    ck_assert_int_eq(n_lost, k);
    return n_lost;
}

START_TEST(hundreds_of_kills_cost_only_the_items_that_ran)
{
    static int in[STORM_ITEMS];
    static long *out[STORM_ITEMS];
    static unsigned char state[STORM_ITEMS];
    static par_status failure[STORM_ITEMS];
    struct storm storm = { fixture_shared(4096), fixture_shared(4096), fixture_shared(MAX_KILLS * sizeof(pid_t)) };
    par_time start = par_now();
    par_pool *pool = new_pool(PAR_PROCESSES, 3);
    size_t before = pari_heap_in_use();
    int n_lost = 0;

    atomic_store(storm.seed, fixture_random());
    count_up(in, STORM_ITEMS);
    while (atomic_load(storm.n_killed) < 600 && par_since(start) < 8) {
        ssize_t k = par_pool_map_with(pool, work_in_the_storm, in, out, STORM_ITEMS,
                                      &(par_job_opts){ .ctx = &storm,
                                                       .ctx_size = sizeof storm,
                                                       .state = state,
                                                       .failures = failure,
                                                       .max_failures = STORM_ITEMS });
        ck_assert_int_ge(k, 0);
        n_lost += check_storm(&storm, state, out, failure, k);
    }
    ck_assert_int_gt(n_lost, 0);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_pool_free(pool);
}
END_TEST

/* ---- */

static void
add_deaths(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "deaths");

    tcase_add_loop_test(tcase, a_death_costs_exactly_the_item_that_ran, 0, (int)(sizeof ways / sizeof *ways));
    tcase_add_test(tcase, the_loss_is_told_in_words);
    tcase_add_loop_test(tcase, items_behind_the_victim_are_handed_out_again_and_run_once, 0, 3);
    tcase_add_test(tcase, a_replacement_gets_a_fresh_ctx);
    tcase_add_test(tcase, a_worker_that_calls_pthread_exit_is_lost_like_any_other);
    tcase_add_test(tcase, a_worker_whose_thread_is_gone_is_lost_though_other_threads_live_in_it);
    tcase_add_test(tcase, idle_workers_that_died_are_replaced_by_the_next_map);
    tcase_add_test(tcase, a_worker_killed_while_idle_costs_nothing_even_if_nobody_has_noticed);
    tcase_add_test(tcase, workers_that_die_before_they_are_born_are_replaced);
    tcase_add_test(tcase, what_a_dead_task_had_allocated_is_swept);
    tcase_add_test(tcase, a_loss_is_listed_before_mere_failures);
    tcase_add_test(tcase, a_pool_whose_workers_only_die_breaks);
    tcase_add_test(tcase, an_initializer_that_always_dies_breaks_the_pool);
    tcase_add_test(tcase, an_ignored_sigchld_hides_how_a_worker_died_but_not_that_it_did);
    tcase_add_test(tcase, hundreds_of_kills_cost_only_the_items_that_ran);
}

static void
add_ends(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "ends");

    tcase_add_test(tcase, the_deadline_ends_processes_that_are_on_an_item);
    tcase_add_test(tcase, the_deadline_ends_a_stopped_worker);
    tcase_add_test(tcase, terminate_cancels_the_map_of_another_thread);
    tcase_add_test(tcase, free_cancels_the_map_of_another_thread_and_waits_for_it);
    tcase_add_test(tcase, a_worker_that_ignores_sigterm_is_killed_after_a_second);
    tcase_add_test(tcase, free_does_not_wait_for_a_finalizer_that_hangs);
    tcase_add_test(tcase, a_pool_may_be_freed_before_its_workers_have_begun);
    tcase_add_test(tcase, par_interrupt_cancels_the_map);
    tcase_add_test(tcase, new_ends_the_workers_it_has_started_when_one_cannot_be);
    tcase_add_test(tcase, the_others_do_the_work_of_one_that_cannot_be_replaced);
    tcase_add_test(tcase, a_map_without_a_single_worker_fails_or_breaks);
    tcase_add_loop_test(tcase, workers_end_with_their_creator_even_in_the_middle_of_an_item, 0, 2);
    tcase_add_test(tcase, leaving_without_a_free_ends_the_idle_workers);
    tcase_add_test(tcase, a_creator_killed_at_any_moment_leaves_no_worker);
}

static void
add_threads(Suite *suite)
{
    TCase *tcase = fixture_thread_case(suite, "threads and serial");

    tcase_add_loop_test(tcase, a_worker_that_calls_pthread_exit_is_lost_like_any_other, PAR_THREADS, PAR_THREADS + 1);
    tcase_add_loop_test(tcase, threads_and_serial_tasks_are_told_about_the_deadline, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(tcase, terminate_cancels_the_map_of_another_thread, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(tcase, free_cancels_the_map_of_another_thread_and_waits_for_it, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(tcase, a_pool_may_be_freed_before_its_workers_have_begun, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(tcase, par_interrupt_cancels_the_map, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(tcase, new_ends_the_workers_it_has_started_when_one_cannot_be, PAR_THREADS, PAR_THREADS + 1);
}

int
main(void)
{
    Suite *suite = fixture_suite("pool_end");

    add_deaths(suite);
    add_ends(suite);
    add_threads(suite);
    return fixture_run(suite);
}
