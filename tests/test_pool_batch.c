/* SPDX-License-Identifier: MIT
 *
 * test_pool_batch.c: tasks that have the loop over many items in their own hands: what they compute, what of it fails, and what a
 * death costs. The tests of `every backend` get it as _i.
 */
#include "fixture.h"
#include "nap.h"

#include <par/pool.h>
#include <par/shared.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

#define N 2000

static int in[N];

static par_pool *
new_pool(int backend)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = backend, .workers = 3 });

    ck_assert_msg(pool != NULL, "par_pool_new: %s", par_error());
    for (int i = 0; i < N; i++)
        in[i] = i;
    return pool;
}

static int
squares(const void *items, void *results, par_batch batch, void *ctx)
{
    const int *x = items;
    long *y = results;

    for (size_t i = 0; par_batch_next(batch, i); i++)
        y[i] = (long)x[i] * x[i] + (ctx != NULL ? *(int *)ctx : 0);
    return 0;
}

START_TEST(batches_give_what_a_map_gives)
{
    par_pool *pool = new_pool(_i);
    long out[N], *shared_out = par_array(long, N);
    int *shared_in = par_array(int, N), ctx = 7;
    memcpy(shared_in, in, sizeof in);
    ck_assert_int_eq(par_pool_map_batches(pool, squares, in, out, N), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], (long)i * i);
    ck_assert_int_eq(par_pool_map_batches_with(pool, squares, shared_in, shared_out, N,
                                               &(par_job_opts){ .ctx = &ctx, .ctx_size = sizeof ctx, .chunk = 17 }),
                     0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(shared_out[i], (long)i * i + 7);
    ck_assert_int_eq(par_pool_map_batches(pool, squares, in, out, 1), 0);
    ck_assert_int_eq(par_pool_map_batches(pool, squares, in, out, 0), 0);
    par_shared_free(shared_in);
    par_shared_free(shared_out);
    par_pool_free(pool);
}
END_TEST

static int
lengths(const void *items, void *results, par_batch batch, void *ctx)
{
    const char *const *word = items;

    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++)
        ((size_t *)results)[i] = strlen(word[i]) + (par_task_index() == 2 ? 100 : 0);
    return 0;
}

START_TEST(strings_and_indices_in_batches)
{
    const char *word[] = { "one", "three", "", "four" };
    size_t out[4];
    par_pool *pool = new_pool(_i);
    ck_assert_int_eq(par_pool_map_batches_sized(pool, lengths, word, PAR_STRINGS, out, sizeof *out, 4,
                                                &(par_job_opts){ .chunk = 4 }),
                     0);
    ck_assert_uint_eq(out[0], 3);
    ck_assert_uint_eq(out[1], 5);
    ck_assert_uint_eq(out[2], 100);
    ck_assert_uint_eq(out[3], 4);
    par_pool_free(pool);
}
END_TEST

/* ---- failures */

static int
fail_at_sevens(const void *items, void *results, par_batch batch, void *ctx)
{
    const int *x = items;

    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++) {
        if (x[i] % 7 == 6)
            return par_task_fail(x[i], "item %d has a six", x[i]);
        ((long *)results)[i] = x[i];
    }
    return 0;
}

START_TEST(item_that_fails_is_named_and_the_rest_goes_on)
{
    par_pool *pool = new_pool(_i);
    long out[N];
    par_status failure[N];
    ssize_t k =
        par_pool_map_batches_with(pool, fail_at_sevens, in, out, N, &(par_job_opts){ .failures = failure, .max_failures = N });
    ck_assert_int_eq(k, N / 7);
    for (int i = 0; i < k; i++) {
        char text[100];
        snprintf(text, sizeof text, "item %d has a six", (int)failure[i].index);
        ck_assert_uint_eq(failure[i].index, (size_t)i * 7 + 6);
        ck_assert_int_eq(failure[i].state, PAR_FAILED);
        ck_assert_int_eq(failure[i].code, i * 7 + 6);
        ck_assert_str_eq(failure[i].text, text);
    }
    for (int i = 0; i < N; i++)
        ck_assert(i % 7 == 6 || out[i] == i);
    par_pool_free(pool);
}
END_TEST

static int
fail_behind_the_loop(const void *items, void *results, par_batch batch, void *ctx)
{
    (void)squares(items, results, batch, ctx);
    return par_task_fail(3, "too late");
}

START_TEST(task_that_fails_behind_its_loop_fails_its_last_item)
{
    par_pool *pool = new_pool(_i);
    long out[10];
    par_status failure[10];
    ck_assert_int_eq(par_pool_map_batches_with(pool, fail_behind_the_loop, in, out, 10,
                                               &(par_job_opts){ .chunk = 5, .failures = failure, .max_failures = 10 }),
                     2);
    ck_assert_uint_eq(failure[0].index, 4);
    ck_assert_uint_eq(failure[1].index, 9);
    ck_assert_str_eq(failure[0].text, "too late");
    ck_assert_int_eq(out[8], 64);
    par_pool_free(pool);
}
END_TEST

static int
one_at_a_time(const void *items, void *results, par_batch batch, void *ctx)
{
    (void)ctx;
    if (par_batch_next(batch, 0))
        *(long *)results = *(const int *)items + 1;
    return 0;
}

START_TEST(task_that_leaves_early_is_called_again)
{
    par_pool *pool = new_pool(_i);
    long out[N];
    ck_assert_int_eq(par_pool_map_batches(pool, one_at_a_time, in, out, N), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], i + 1);
    par_pool_free(pool);
}
END_TEST

static int
allocate(const void *items, void *results, par_batch batch, void *ctx)
{
    (void)items;
    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++) {
        errno = 0;
        ((int *)results)[i] = par_task_alloc(1, 1) == NULL ? errno : 0;
    }
    return 0;
}

START_TEST(wrong_use_of_batches)
{
    par_pool *pool = new_pool(_i);
    int out[3];
    ck_assert_int_eq(par_pool_map_batches(pool, allocate, in, out, 3), 0);
    ck_assert_int_eq(out[2], ENOTSUP);
    ck_fails(par_pool_map_batches(pool, (par_batch_fn *)NULL, in, out, 3), EINVAL);
    ck_fails(par_pool_map_batches((par_pool *)NULL, squares, in, out, 3), EINVAL);
    ck_fails(par_pool_map_batches_sized(pool, squares, NULL, 4, out, 4, 3, NULL), EINVAL);
    par_pool_free(pool);
}
END_TEST

/* ---- its end before its time */

static int
run_late(const void *items, void *results, par_batch batch, void *ctx)
{
    (void)items;
    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++) {
        nap();
        ((long *)results)[i] = 1;
    }
    return 0;
}

START_TEST(deadline_ends_batches_between_two_items)
{
    par_pool *pool = new_pool(_i);
    static long out[1000000];
    static unsigned char state[1000000];
    ssize_t k = par_pool_map_batches_sized(pool, run_late, NULL, 0, out, sizeof *out, 1000000,
                                           &(par_job_opts){ .state = state, .deadline = par_in(0.1) });
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_gt(k, 0);
    ck_assert_int_lt(k, 1000000);
    ssize_t n_bad = 0;
    for (int i = 0; i < 1000000; i++) {
        ck_assert(state[i] != PAR_OK || out[i] == 1 || i < 0);
        n_bad += state[i] != PAR_OK;
        if (state[i] == PAR_OK && out[i] != 1)
            ck_abort_msg("item %d", i);
    }
    ck_assert_int_eq(n_bad, k);
    par_pool_free(pool);
}
END_TEST

static int
fail_when_stopped(const void *items, void *results, par_batch batch, void *ctx)
{
    size_t i = 0;

    (void)items;
    for (; par_batch_next(batch, i); i++) {
        nap();
        ((int *)results)[i] = 1;
        atomic_store((_Atomic int *)ctx, (int)par_task_index());
    }
    return 7;
}

/* The item that was given last is the one that has failed, not the one that was refused. */
START_TEST(task_that_fails_when_it_is_stopped_fails_its_last_item)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = _i, .workers = 1 });
    _Atomic int *last = (_Atomic int *)par_value(int);
    int *out = par_array(int, 100000);
    par_status failure;
    ck_assert_int_gt(par_pool_map_batches_sized(pool, fail_when_stopped, NULL, 0, out, sizeof *out, 100000,
                                                &(par_job_opts){ .ctx = (void *)last,
                                                                 .chunk = 100000,
                                                                 .failures = &failure,
                                                                 .max_failures = 1,
                                                                 .deadline = par_in(0.05) }),
                     0);
    ck_assert_int_eq(failure.state, PAR_FAILED);
    ck_assert_uint_eq(failure.index, (size_t)atomic_load(last));
    par_shared_free(out);
    par_shared_free((void *)last);
    par_pool_free(pool);
}
END_TEST

static size_t most_seen;

static int
see_progress(const par_progress *progress, void *arg)
{
    ck_assert(progress->done <= progress->total);
    if (!progress->is_last)
        most_seen = progress->done > most_seen ? progress->done : most_seen;
    return *(int *)arg != 0 && progress->done > 0;
}

START_TEST(progress_is_seen_inside_a_batch)
{
    par_pool *pool = new_pool(_i);
    static long out[10000];
    int shall_cancel = 0;
    ck_assert_int_eq(par_pool_map_batches_sized(pool, run_late, NULL, 0, out, sizeof *out, 10000,
                                                &(par_job_opts){
                                                    .progress = see_progress, .progress_arg = &shall_cancel, .chunk = 10000 }),
                     0);
    ck_assert_uint_gt(most_seen, 0);
    shall_cancel = 1;
    ck_assert_int_gt(par_pool_map_batches_sized(pool, run_late, NULL, 0, out, sizeof *out, 10000,
                                                &(par_job_opts){
                                                    .progress = see_progress, .progress_arg = &shall_cancel, .chunk = 10000 }),
                     0);
    ck_assert_int_eq(errno, ECANCELED);
    par_pool_free(pool);
}
END_TEST

/* ---- deaths */

struct ledger {
    _Atomic int n_runs[N];
    _Atomic int n_kills;
};

static int
die_at_hundreds(const void *items, void *results, par_batch batch, void *ctx)
{
    const int *x = items;
    struct ledger *ledger = ctx;

    for (size_t i = 0; par_batch_next(batch, i); i++) {
        atomic_fetch_add(&ledger->n_runs[x[i]], 1);
        if (x[i] % 100 == 50)
            raise(SIGKILL);
        ((long *)results)[i] = x[i];
    }
    return 0;
}

START_TEST(death_costs_exactly_the_item_that_ran)
{
    par_pool *pool = new_pool(PAR_PROCESSES);
    struct ledger *ledger = par_value(struct ledger);
    long out[N];
    par_status failure[N];
    ck_assert_int_eq(par_pool_map_batches_with(pool, die_at_hundreds, in, out, N,
                                               &(par_job_opts){ .ctx = ledger, .failures = failure, .max_failures = N }),
                     N / 100);
    ck_assert_int_eq(errno, ECHILD);
    for (int i = 0; i < N / 100; i++) {
        ck_assert_uint_eq(failure[i].index, (size_t)i * 100 + 50);
        ck_assert_int_eq(failure[i].state, PAR_LOST);
        ck_assert_int_eq(failure[i].signal, SIGKILL);
        ck_assert_int_gt(failure[i].pid, 0);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(atomic_load(&ledger->n_runs[i]), 1);
        ck_assert(i % 100 == 50 || out[i] == i);
    }
    par_shared_free(ledger);
    par_pool_free(pool);
}
END_TEST

static int
leave_the_thread(const void *items, void *results, par_batch batch, void *ctx)
{
    const int *x = items;

    (void)ctx;
    for (size_t i = 0; par_batch_next(batch, i); i++) {
        if (x[i] == 1234)
            pthread_exit(NULL);
        ((long *)results)[i] = x[i];
    }
    return 0;
}

START_TEST(thread_that_leaves_costs_its_item)
{
    par_pool *pool = new_pool(_i);
    long out[N];
    par_status failure[2];
    ck_assert_int_eq(par_pool_map_batches_with(pool, leave_the_thread, in, out, N,
                                               &(par_job_opts){ .failures = failure, .max_failures = 2 }),
                     1);
    ck_assert_uint_eq(failure[0].index, 1234);
    for (int i = 0; i < N; i++)
        ck_assert(i == 1234 || out[i] == i);
    par_pool_free(pool);
}
END_TEST

/* From a timer, wherever it is then. */
static void
arm(unsigned us)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec when = { .it_value = { .tv_nsec = (long)us * 1000 + 1 } };
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}

static int
count_in_the_storm(const void *items, void *results, par_batch batch, void *ctx)
{
    const int *x = items;
    struct ledger *ledger = ctx;

    arm((unsigned)(x[0] * 2654435761u) % 300);
    atomic_fetch_add(&ledger->n_kills, 1);
    for (size_t i = 0; par_batch_next(batch, i); i++) {
        for (int k = 0; k < 200; k++)
            atomic_fetch_add_explicit(&ledger->n_runs[x[i]], k == 199, memory_order_relaxed);
        ((long *)results)[i] = 5L * x[i];
    }
    return 0;
}

START_TEST(kills_at_any_moment_cost_only_the_items_that_ran)
{
    par_pool *pool = new_pool(PAR_PROCESSES);
    struct ledger *ledger = par_value(struct ledger);
    long out[N];
    par_status failure[N];
    unsigned char state[N];
    ssize_t n_lost = 0;
    for (int round = 0; round < 20; round++) {
        memset(ledger, 0, sizeof *ledger);
        ssize_t k =
            par_pool_map_batches_with(pool, count_in_the_storm, in, out, N,
                                      &(par_job_opts){ .ctx = ledger, .state = state, .failures = failure, .max_failures = N });
        ck_assert_int_ge(k, 0);
        for (int i = 0; i < N; i++) {
            int n = atomic_load(&ledger->n_runs[i]);
            ck_assert_int_le(n, 1);
            ck_assert(state[i] == PAR_LOST || (state[i] == PAR_OK && n == 1 && out[i] == 5L * i));
        }
        for (ssize_t i = 0; i < k; i++)
            ck_assert_int_eq(failure[i].signal, SIGKILL);
        n_lost += k;
    }
    ck_assert_int_gt(n_lost, 0);
    par_shared_free(ledger);
    par_pool_free(pool);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("pool_batch");
    TCase *every = fixture_case(suite, "every backend"), *deaths = fixture_case(suite, "deaths"),
          *threads = fixture_thread_case(suite, "threads");

    tcase_add_loop_test(every, batches_give_what_a_map_gives, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, strings_and_indices_in_batches, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, item_that_fails_is_named_and_the_rest_goes_on, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, task_that_fails_behind_its_loop_fails_its_last_item, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, task_that_leaves_early_is_called_again, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, wrong_use_of_batches, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_loop_test(every, deadline_ends_batches_between_two_items, PAR_PROCESSES, PAR_THREADS + 1);
    tcase_add_loop_test(every, progress_is_seen_inside_a_batch, PAR_PROCESSES, PAR_THREADS + 1);
    tcase_add_loop_test(every, task_that_fails_when_it_is_stopped_fails_its_last_item, PAR_PROCESSES, PAR_THREADS + 1);
    tcase_add_loop_test(threads, batches_give_what_a_map_gives, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(threads, item_that_fails_is_named_and_the_rest_goes_on, PAR_THREADS, PAR_SERIAL + 1);
    tcase_add_loop_test(threads, progress_is_seen_inside_a_batch, PAR_THREADS, PAR_SERIAL);
    tcase_add_test(deaths, death_costs_exactly_the_item_that_ran);
    tcase_add_loop_test(deaths, thread_that_leaves_costs_its_item, PAR_PROCESSES, PAR_THREADS + 1);
    tcase_add_test(deaths, kills_at_any_moment_cost_only_the_items_that_ran);
    return fixture_run(suite);
}
