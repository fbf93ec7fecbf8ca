/* SPDX-License-Identifier: MIT
 *
 * test_pool_resize.c: a pool that becomes larger and smaller, at rest and in the middle of a map.
 */
#include "fixture.h"

#include <par/future.h>
#include <par/pool.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SOON par_in(20)

static par_pool *
new_pool(int backend, unsigned workers, unsigned max_workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = backend, .workers = workers, .max_workers = max_workers });
    ck_assert_msg(pool != NULL, "par_pool_new: %s", strerror(errno));
    return pool;
}

static void
expect_workers(par_pool *pool, int n)
{
    for (int i = 0; i < 20000 && par_pool_workers(pool) != n; i++)
        (void)usleep(1000);
    ck_assert_int_eq(par_pool_workers(pool), n);
}

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(long *)out = (long)*(const int *)in * *(const int *)in;
    return 0;
}

static void
expect_squares(par_pool *pool)
{
    enum { N = 5000 };
    static int in[N];
    static long out[N];
    for (int i = 0; i < N; i++)
        in[i] = i;
    ck_assert_int_eq(par_pool_map(pool, square, in, out, N), 0);
    for (long i = 0; i < N; i++)
        ck_assert_int_eq(out[i], i * i);
}

START_TEST(pool_grows_and_shrinks_between_maps)
{
    static const unsigned size[] = { 4, 1, 3, 2, 4, 4, 1 };
    par_pool *pool = new_pool(_i, 2, 4);
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        ck_assert_int_eq(par_pool_resize(pool, size[i]), 0);
        expect_workers(pool, (int)size[i]);
        expect_squares(pool);
    }
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, SOON), 0);
    ck_fails(par_pool_resize(pool, 1), EPIPE);
    par_pool_free(pool);
}
END_TEST

/* ---- in the middle of a map */

struct meeting {
    _Atomic int n_in, n_met;
};

/* Waits until three of them run at the same time, as the pool allows once it has grown. */
static int
meet(const void *in, void *out, void *ctx)
{
    struct meeting *meeting = *(struct meeting **)ctx;
    par_time start = par_now();
    *(int *)out = *(const int *)in;
    atomic_fetch_add(&meeting->n_in, 1);
    while (atomic_load(&meeting->n_in) < 3)
        if (par_since(start) > 20)
            return 1;
    atomic_fetch_add(&meeting->n_met, 1);
    return 0;
}

static void *
grow_soon(void *arg)
{
    (void)usleep(20000);
    return par_pool_resize(arg, 3) == 0 ? arg : NULL;
}

START_TEST(map_that_runs_gets_the_new_workers)
{
    struct meeting *meeting = fixture_shared(sizeof *meeting);
    par_pool *pool = new_pool(_i, 1, 3);
    int in[3] = { 0, 1, 2 }, out[3];
    pthread_t thread;
    void *grown;
    ck_assert_int_eq(pthread_create(&thread, NULL, grow_soon, pool), 0);
    ck_assert_int_eq(par_pool_map_with(pool, meet, in, out, 3,
                                       &(par_job_opts){ .ctx = &meeting, .ctx_size = sizeof meeting, .deadline = SOON }),
                     0);
    ck_assert_int_eq(atomic_load(&meeting->n_met), 3);
    ck_assert_int_eq(pthread_join(thread, &grown), 0);
    ck_assert_ptr_nonnull(grown);
    expect_workers(pool, 3);
    par_pool_free(pool);
}
END_TEST

static int
doze(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in + 1;
    (void)usleep(300);
    return 0;
}

static void *
change_all_the_time(void *arg)
{
    for (unsigned i = 0; i < 60; i++) {
        (void)usleep(3000);
        if (par_pool_resize(arg, 1 + i % 4) != 0)
            return NULL;
    }
    return arg;
}

START_TEST(nothing_is_lost_however_the_size_changes)
{
    enum { N = 2000 };
    static int in[N], out[N];
    par_pool *pool = new_pool(_i, 4, 4);
    pthread_t thread;
    void *result;
    for (int i = 0; i < N; i++)
        in[i] = i;
    ck_assert_int_eq(pthread_create(&thread, NULL, change_all_the_time, pool), 0);
    ck_assert_int_eq(par_pool_map(pool, doze, in, out, N), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], i + 1);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    ck_assert_int_eq(par_pool_resize(pool, 1), 0);
    expect_workers(pool, 1);
    expect_squares(pool);
    par_pool_free(pool);
}
END_TEST

START_TEST(submitted_tasks_go_on_when_the_pool_shrinks)
{
    enum { N = 300 };
    par_pool *pool = new_pool(_i, 3, 3);
    par_future *future[N];
    for (int i = 0; i < N; i++) {
        ck_assert_ptr_nonnull(future[i] = par_pool_submit(pool, doze, &i, sizeof(int)));
        if (i == N / 3)
            ck_assert_int_eq(par_pool_resize(pool, 1), 0);
        if (i == N / 2)
            ck_assert_int_eq(par_pool_resize(pool, 2), 0);
    }
    for (int i = 0; i < N; i++) {
        int result = -1;
        ck_assert_int_eq(par_future_get(future[i], &result, SOON), 0);
        ck_assert_int_eq(result, i + 1);
        par_future_free(future[i]);
    }
    expect_workers(pool, 2);
    par_pool_free(pool);
}
END_TEST

/* ---- deaths, callbacks, errors */

static int
die_at_some(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in;
    if (*(const int *)in % 50 == 7)
        (void)raise(SIGKILL);
    (void)usleep(100);
    return 0;
}

START_TEST(deaths_in_between_cost_their_items_alone)
{
    enum { N = 500 };
    static int in[N], out[N];
    par_status failure[N];
    par_pool *pool = new_pool(PAR_PROCESSES, 2, 4);
    pthread_t thread;
    for (int i = 0; i < N; i++)
        in[i] = i;
    ck_assert_int_eq(pthread_create(&thread, NULL, change_all_the_time, pool), 0);
    ck_assert_int_eq(par_pool_map_with(pool, die_at_some, in, out, N,
                                       &(par_job_opts){ .failures = failure, .max_failures = N }),
                     N / 50);
    for (int i = 0; i < N / 50; i++) {
        ck_assert_uint_eq(failure[i].index, (size_t)(50 * i + 7));
        ck_assert_int_eq(failure[i].state, PAR_LOST);
        ck_assert_int_eq(failure[i].signal, SIGKILL);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
shrink_from_inside(const par_progress *progress, void *arg)
{
    (void)progress;
    return par_pool_resize(arg, 1);
}

START_TEST(callback_of_a_map_may_resize)
{
    enum { N = 1000 };
    static int in[N], out[N];
    par_pool *pool = new_pool(_i, 3, 3);
    ck_assert_int_eq(par_pool_map_with(pool, doze, in, out, N,
                                       &(par_job_opts){ .progress = shrink_from_inside, .progress_arg = pool }),
                     0);
    expect_workers(pool, 1);
    par_pool_free(pool);
}
END_TEST

START_TEST(wrong_sizes_are_told)
{
    par_pool *pool = new_pool(_i, 1, 0);
    ck_fails(par_pool_resize(pool, 0), EINVAL);
    ck_fails(par_pool_resize(pool, 2), EINVAL);
    ck_assert_int_eq(par_pool_resize(pool, 1), 0);
    par_pool_free(pool);
    ck_fails(par_pool_resize(NULL, 1), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .max_workers = 1025 }), EINVAL);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("pool_resize");
    TCase *processes = fixture_case(suite, "processes"), *threads = fixture_thread_case(suite, "threads");
    const TTest *both[] = { pool_grows_and_shrinks_between_maps,
                            map_that_runs_gets_the_new_workers,
                            nothing_is_lost_however_the_size_changes,
                            submitted_tasks_go_on_when_the_pool_shrinks,
                            callback_of_a_map_may_resize,
                            wrong_sizes_are_told };

    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        tcase_add_loop_test(processes, both[i], PAR_PROCESSES, PAR_PROCESSES + 1);
        tcase_add_loop_test(threads, both[i], PAR_THREADS, PAR_THREADS + 1);
    }
    tcase_add_loop_test(threads, wrong_sizes_are_told, PAR_SERIAL, PAR_SERIAL + 1);
    tcase_add_test(processes, deaths_in_between_cost_their_items_alone);
    return fixture_run(suite);
}
