/* SPDX-License-Identifier: MIT
 *
 * test_pool.c: what a map delivers, on every backend; arguments, options, closing. Deaths, deadlines and
 * forced ends are in test_pool_end.c.
 *
 * The tests of `on_every_backend` get the backend as _i. The thread sanitizer runs them on threads and serial.
 */
#include "fixture.h"

#include <par/pool.h>
#include <par/process.h>
#include <par/shared.h>
#include <par/sync.h>

#include "../libpar/shm/shm.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define N 10000

static par_pool *
new_pool(int backend, unsigned workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = backend, .workers = workers });

    ck_assert_msg(pool != NULL, "par_pool_new: %s", strerror(errno));
    return pool;
}

static int
square(const void *in, void *out, void *ctx)
{
    long x = *(const int *)in;

    (void)ctx;
    *(long *)out = x * x;
    return 0;
}

/* Fails on the odd ones. */
static int
half(const void *in, void *out, void *ctx)
{
    int x = *(const int *)in;

    (void)ctx;
    *(int *)out = x / 2;
    return x % 2 == 0 ? 0 : par_task_fail(x, "%d is odd", x);
}

static int
nothing(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return 0;
}

static int
always_seven(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return 7;
}

static int *
count_up(int *array, size_t n)
{
    for (size_t i = 0; i < n; i++)
        array[i] = (int)i;
    return array;
}

/* ---- values and order */

START_TEST(map_delivers_every_value_in_its_place)
{
    static int in[N];
    static long out[N];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map(pool, square, count_up(in, N), out, N), 0);
    for (long i = 0; i < N; i++)
        ck_assert_int_eq(out[i], i * i);
    par_pool_free(pool);
}
END_TEST

START_TEST(chunk_size_changes_nothing)
{
    static const size_t chunk[] = { 1, 2, 7, 20, 999, 1000, 1001, SIZE_MAX };
    int in[1000];
    long out[1000];
    par_pool *pool = new_pool(_i, 3);

    count_up(in, 1000);
    for (size_t c = 0; c < sizeof chunk / sizeof *chunk; c++) {
        memset(out, 0, sizeof out);
        ck_assert_int_eq(par_pool_map_with(pool, square, in, out, 1000, &(par_job_opts){ .chunk = chunk[c] }), 0);
        for (long i = 0; i < 1000; i++)
            ck_assert_int_eq(out[i], i * i);
    }
    par_pool_free(pool);
}
END_TEST

/* The first item ends when all others have: no other one may wait behind it in the same chunk. */
static int
wait_for_the_rest(const void *in, void *out, void *ctx)
{
    _Atomic int *n_done = *(_Atomic int **)ctx;
    par_time start = par_now();

    *(int *)out = *(const int *)in;
    while (*(const int *)in == 0 && atomic_load(n_done) < 99)
        if (par_since(start) > 20)
            return 1;
    atomic_fetch_add(n_done, 1);
    return 0;
}

START_TEST(dear_first_item_holds_up_no_other_one)
{
    _Atomic int *n_done = fixture_shared(sizeof *n_done);
    int in[100], out[100];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_with(pool, wait_for_the_rest, count_up(in, 100), out, 100,
                                       &(par_job_opts){ .ctx = &n_done, .ctx_size = sizeof n_done }),
                     0);
    ck_assert_int_eq(atomic_load(n_done), 100);
    par_pool_free(pool);
}
END_TEST

START_TEST(map_of_nothing_is_zero_at_once)
{
    int in[1] = { 1 };
    long out[1] = { -1 };
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map(pool, square, in, out, 0), 0);
    ck_assert_int_eq(out[0], -1);
    ck_assert_int_eq(par_pool_map_sized(pool, square, NULL, 0, NULL, 0, 0, NULL), 0);
    par_pool_free(pool);
}
END_TEST

START_TEST(many_workers_share_a_small_job)
{
    int in[1000];
    long out[1000], sum = 0;
    par_pool *pool = new_pool(_i, 40);

    ck_assert_int_eq(par_pool_workers(pool), _i == PAR_SERIAL ? 1 : 40);
    ck_assert_int_eq(par_pool_map(pool, square, count_up(in, 1000), out, 1000), 0);
    for (int i = 0; i < 1000; i++)
        sum += out[i];
    ck_assert_int_eq(sum, 332833500);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_pool_serves_many_jobs)
{
    int in[4] = { 1, 2, 3, 4 };
    long out[4];
    par_pool *pool = new_pool(_i, 2);

    for (int round = 0; round < 2000; round++) {
        in[0] = round;
        ck_assert_int_eq(par_pool_map(pool, square, in, out, 4), 0);
        ck_assert_int_eq(out[0], (long)round * round);
        ck_assert_int_eq(out[3], 16);
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(apply_runs_one_item)
{
    int in = 12;
    long out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_apply(pool, square, &in, &out), 0);
    ck_assert_int_eq(out, 144);
    par_pool_free(pool);
}
END_TEST

static int
length(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(size_t *)out = strlen(in);
    return 0;
}

START_TEST(strings_reach_the_task_themselves)
{
    const char *in[4] = { "a", "", "three", NULL };
    size_t out[3] = { 9, 9, 9 };
    par_pool *pool = new_pool(_i, 2);
    char *made_later = strdup("made after the pool");

    ck_assert_int_eq(par_pool_map_strings(pool, length, in, out, 3), 0);
    ck_assert_uint_eq(out[0], 1);
    ck_assert_uint_eq(out[1], 0);
    ck_assert_uint_eq(out[2], 5);
    in[1] = made_later;
    ck_assert_int_eq(par_pool_map_strings(pool, length, in, out, 3), 0);
    ck_assert_uint_eq(out[1], strlen(made_later));
    ck_fails(par_pool_map_strings(pool, length, in, out, 4), EINVAL);
    free(made_later);
    par_pool_free(pool);
}
END_TEST

static int
where_is_it(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(const void **)out = in;
    return 0;
}

START_TEST(shared_arrays_are_used_in_place)
{
    int *in = par_array(int, 100);
    const void **out = (const void **)par_shared_alloc(100, sizeof *out);
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map(pool, where_is_it, in, out, 100), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_eq(out[i], &in[i]);
    par_pool_free(pool);
    par_shared_free(in);
    par_shared_free((void *)out);
}
END_TEST

static int
add_one(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in + 1;
    return 0;
}

START_TEST(in_and_out_may_be_the_same_array)
{
    int array[100];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map(pool, add_one, count_up(array, 100), array, 100), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(array[i], i + 1);
    par_pool_free(pool);
}
END_TEST

static int
index_without_arrays(const void *in, void *out, void *ctx)
{
    _Atomic int *seen = *(_Atomic int **)ctx;

    if (in != NULL || out != NULL)
        return 1;
    return atomic_fetch_add(&seen[par_task_index()], 1) == 0 ? 0 : 2;
}

START_TEST(arrays_may_be_left_out)
{
    _Atomic int *seen = (_Atomic int *)par_shared_alloc(500, sizeof *seen);
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, index_without_arrays, NULL, 0, NULL, 0, 500,
                                        &(par_job_opts){ .ctx = &seen, .ctx_size = sizeof seen }),
                     0);
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(atomic_load(&seen[i]), 1);
    par_pool_free(pool);
    par_shared_free((void *)seen);
}
END_TEST

/* ---- ctx, initializer, finalizer */

struct counter {
    int n;
    char pad[60];
};

static int
count_in_ctx(const void *in, void *out, void *ctx)
{
    struct counter *counter = ctx;

    (void)in;
    *(int *)out = ++counter->n; /* no other worker writes there */
    return 0;
}

START_TEST(each_worker_has_its_own_copy_of_ctx)
{
    struct counter ctx = { .n = 1000 };
    int in[300], out[300], highest = 0;
    par_pool *pool = new_pool(_i, 3);

    count_up(in, 300);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(par_pool_map_with(pool, count_in_ctx, in, out, 300,
                                           &(par_job_opts){ .ctx = &ctx, .ctx_size = sizeof ctx }),
                         0);
        ck_assert_int_eq(ctx.n, 1000);
        for (int i = 0; i < 300; i++)
            highest = out[i] > highest ? out[i] : highest;
        ck_assert_int_ge(highest, 1000 + 300 / 3);
        ck_assert_int_le(highest, 1300); /* fresh copies for each job */
    }
    par_pool_free(pool);
}
END_TEST

static int
add_to_ctx(const void *in, void *out, void *ctx)
{
    (void)out;
    atomic_fetch_add((_Atomic long *)ctx, *(const int *)in);
    return 0;
}

START_TEST(ctx_without_a_size_is_the_pointer_itself)
{
    _Atomic long *sum = (_Atomic long *)par_value(long);
    int in[100];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, add_to_ctx, count_up(in, 100), sizeof *in, NULL, 0, 100,
                                        &(par_job_opts){ .ctx = (void *)sum }),
                     0);
    ck_assert_int_eq(atomic_load(sum), 4950);
    par_pool_free(pool);
    par_shared_free((void *)sum);
}
END_TEST

struct setup {
    _Atomic int *n_started;
    _Atomic int *n_finished;
    int bonus;
};

static int
set_up(void *arg, void **state)
{
    struct setup *setup = arg;

    atomic_fetch_add(setup->n_started, 1);
    setup->bonus += par_worker_index();
    *state = setup;
    return 0;
}

static void
take_down(void *state)
{
    struct setup *setup = state;

    atomic_fetch_add(setup->n_finished, 1);
}

static int
add_bonus(const void *in, void *out, void *ctx)
{
    const struct setup *setup = par_worker_state();

    (void)ctx;
    *(int *)out = *(const int *)in + setup->bonus - par_worker_index();
    return 0;
}

START_TEST(initializer_and_finalizer_run_once_in_each_worker)
{
    _Atomic int *n = (_Atomic int *)par_shared_alloc(2, sizeof *n);
    struct setup setup = { &n[0], &n[1], 1000 };
    int in[100], out[100], n_workers = _i == PAR_SERIAL ? 1 : 3;
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = _i,
                                                    .workers = 3,
                                                    .initializer = set_up,
                                                    .initarg = &setup,
                                                    .initarg_size = sizeof setup,
                                                    .finalizer = take_down });
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(par_pool_map(pool, add_bonus, count_up(in, 100), out, 100), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(out[i], i + 1000); /* each worker counted on its own copy */
    ck_assert_int_eq(setup.bonus, 1000);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    ck_assert_int_eq(atomic_load(&n[0]), n_workers);
    ck_assert_int_eq(atomic_load(&n[1]), n_workers);
    par_pool_free(pool);
    par_shared_free((void *)n);
}
END_TEST

/* ---- a worker's life */

static int
take_number(void *arg, void **state)
{
    struct setup *setup = arg;

    setup->bonus = atomic_fetch_add(setup->n_started, 1);
    *state = setup;
    return 0;
}

static int
tell_number(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(int *)out = ((const struct setup *)par_worker_state())->bonus;
    return 0;
}

#define MAX_TASKS 3

static par_pool *
new_pool_of_mortals(int backend, unsigned workers, struct setup *setup)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = backend,
                                                    .workers = workers,
                                                    .initializer = take_number,
                                                    .initarg = setup,
                                                    .initarg_size = sizeof *setup,
                                                    .finalizer = take_down,
                                                    .max_tasks = MAX_TASKS });

    ck_assert_ptr_nonnull(pool);
    return pool;
}

/* By worker number; a serial pool has one worker for ever. */
static void
expect_short_lives(const int *number, int n, int backend)
{
    int n_items[100] = { 0 };

    for (int i = 0; i < n; i++) {
        ck_assert_int_ge(number[i], 0);
        ck_assert_int_lt(number[i], 100);
        n_items[number[i]]++;
    }
    for (int i = 0; i < 100; i++)
        ck_assert_int_le(n_items[i], backend == PAR_SERIAL ? n : MAX_TASKS);
}

START_TEST(workers_leave_after_max_tasks_and_nothing_is_lost)
{
    _Atomic int *n = (_Atomic int *)par_shared_alloc(2, sizeof *n);
    struct setup setup = { &n[0], &n[1], 0 };
    int number[100];
    par_pool *pool = new_pool_of_mortals(_i, 2, &setup);
    memset(number, -1, sizeof number);
    ck_assert_int_eq(par_pool_map_sized(pool, tell_number, NULL, 0, number, sizeof *number, 100, NULL), 0);
    expect_short_lives(number, 100, _i);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    ck_assert_int_ge(atomic_load(&n[0]), _i == PAR_SERIAL ? 1 : 100 / MAX_TASKS);
    ck_assert_int_eq(atomic_load(&n[0]), atomic_load(&n[1])); /* each ran its finalizer */
    par_pool_free(pool);
    par_shared_free((void *)n);
}
END_TEST

/* Counts in its ctx, which is each worker's own. */
static int
count_own_items(const void *in, void *out, void *ctx)
{
    (void)in;
    *(int *)out = ++*(int *)ctx;
    return 0;
}

START_TEST(a_successor_gets_a_fresh_ctx)
{
    int out[12], zero = 0;
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = _i, .workers = 1, .max_tasks = MAX_TASKS });
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(par_pool_map_sized(pool, count_own_items, NULL, 0, out, sizeof *out, 12,
                                        &(par_job_opts){ .ctx = &zero, .ctx_size = sizeof zero }),
                     0);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(out[i], _i == PAR_SERIAL ? i + 1 : i % MAX_TASKS + 1);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_life_goes_over_several_jobs)
{
    _Atomic int *n = (_Atomic int *)par_shared_alloc(2, sizeof *n);
    struct setup setup = { &n[0], &n[1], 0 };
    int number[10];
    par_pool *pool = new_pool_of_mortals(_i, 1, &setup);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(par_pool_map_sized(pool, tell_number, NULL, 0, &number[i], sizeof *number, 1, NULL), 0);
        ck_assert_int_eq(number[i], _i == PAR_SERIAL ? 0 : i / MAX_TASKS);
    }
    par_pool_free(pool);
    par_shared_free((void *)n);
}
END_TEST

static int
refuse(void *arg, void **state)
{
    (void)arg;
    (void)state;
    return 3;
}

START_TEST(an_initializer_that_always_refuses_breaks_the_pool)
{
    int in[4];
    long out[4];
    unsigned char state[4];
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = _i, .workers = 2, .initializer = refuse, .name = "picky" });
    ssize_t k;

    ck_assert_ptr_nonnull(pool);
    k = par_pool_map_with(pool, square, count_up(in, 4), out, 4, &(par_job_opts){ .state = state });
    ck_assert(k == 4 || k == -1); /* it may have broken before the job could begin */
    ck_assert_int_eq(errno, ENOTRECOVERABLE);
    ck_assert_ptr_nonnull(strstr(par_error(), "picky is broken"));
    ck_assert_ptr_nonnull(strstr(par_error(), "the initializer returned 3"));
    for (int i = 0; k == 4 && i < 4; i++)
        ck_assert_int_eq(state[i], PAR_UNRUN);
    ck_fails(par_pool_map(pool, square, in, out, 4), ENOTRECOVERABLE);
    par_pool_free(pool);
}
END_TEST

/* ---- failures */

START_TEST(failed_items_tell_code_and_text)
{
    int in[10], out[10];
    unsigned char state[10];
    par_status failure[10];
    par_pool *pool = new_pool(_i, 2);

    memset(out, -1, sizeof out);
    errno = 0;
    ck_assert_int_eq(par_pool_map_with(pool, half, count_up(in, 10), out, 10,
                                       &(par_job_opts){ .state = state, .failures = failure, .max_failures = 10 }),
                     5);
    ck_assert_int_eq(errno, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(state[i], i % 2 == 0 ? PAR_OK : PAR_FAILED);
    for (int k = 0; k < 5; k++) {
        char text[20];
        int i = 2 * k + 1;
        snprintf(text, sizeof text, "%d is odd", i);
        ck_assert_uint_eq(failure[k].index, (size_t)i);
        ck_assert_int_eq(failure[k].state, PAR_FAILED);
        ck_assert_int_eq(failure[k].code, i);
        ck_assert_int_eq(failure[k].signal, 0);
        ck_assert_int_eq(failure[k].pid, 0);
        ck_assert_uint_eq(failure[k].tries, 1);
        ck_assert_str_eq(failure[k].text, text);
        ck_assert_int_eq(out[i - 1], (i - 1) / 2);
    }
    ck_assert_ptr_nonnull(strstr(par_error(), "is odd"));
    par_pool_free(pool);
}
END_TEST

START_TEST(private_results_of_failed_items_stay_untouched)
{
    int in[1000], out[1000];
    par_pool *pool = new_pool(PAR_PROCESSES, 2);

    memset(out, -1, sizeof out);
    ck_assert_int_eq(par_pool_map(pool, half, count_up(in, 1000), out, 1000), 500);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(out[i], i % 2 == 0 ? i / 2 : -1);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_failure_without_text_has_words_too)
{
    par_status failure[1];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, always_seven, NULL, 0, NULL, 0, 1,
                                        &(par_job_opts){ .failures = failure, .max_failures = 1 }),
                     1);
    ck_assert_str_eq(failure[0].text, "returned 7");
    ck_assert_str_eq(par_error(), "item 0: returned 7");
    par_pool_free(pool);
}
END_TEST

START_TEST(more_failures_than_room_fill_the_room_in_order)
{
    par_status failure[20];
    par_pool *pool = new_pool(_i, 2);

    memset(failure, 0x55, sizeof failure);
    ck_assert_int_eq(par_pool_map_sized(pool, always_seven, NULL, 0, NULL, 0, N,
                                        &(par_job_opts){ .failures = failure, .max_failures = 19 }),
                     N);
    for (int k = 0; k < 19; k++) {
        ck_assert_str_eq(failure[k].text, "returned 7");
        ck_assert(k == 0 || failure[k].index > failure[k - 1].index);
    }
    ck_assert_int_eq(failure[19].code, 0x55555555);
    par_pool_free(pool);
}
END_TEST

static int
fail_at_length(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return par_task_index() == 0 ? par_task_fail(0, "%0200d", 1) : (par_task_fail(4, "but not this one"), 0);
}

START_TEST(text_is_cut_code_zero_is_minus_one_and_the_result_decides)
{
    par_status failure[2];
    par_pool *pool = new_pool(_i, 1);

    ck_assert_int_eq(par_pool_map_sized(pool, fail_at_length, NULL, 0, NULL, 0, 2,
                                        &(par_job_opts){ .failures = failure, .max_failures = 2 }),
                     1);
    ck_assert_uint_eq(failure[0].index, 0);
    ck_assert_int_eq(failure[0].code, -1);
    ck_assert_uint_eq(strlen(failure[0].text), 99);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_failure_does_not_stop_the_others)
{
    int in[1000], out[1000];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_with(pool, half, count_up(in, 1000), out, 1000, &(par_job_opts){ .chunk = 10 }), 500);
    for (int i = 0; i < 1000; i += 2)
        ck_assert_int_eq(out[i], i / 2);
    par_pool_free(pool);
}
END_TEST

/* ---- results of any size */

static int
repeat(const void *in, void *out, void *ctx)
{
    int n = *(const int *)in;
    char *text = par_task_alloc((size_t)n + 1, 1), *unused = par_task_alloc(3, 100);

    (void)ctx;
    if (text == NULL || unused == NULL)
        return 1;
    memset(text, 'x', (size_t)n);
    *(char **)out = text;
    return n % 2 == 0 ? 0 : 2;
}

START_TEST(task_alloc_belongs_to_the_caller_if_the_item_succeeds)
{
    int in[100];
    char *out[100];
    par_pool *pool = new_pool(_i, 2);
    size_t before = pari_heap_in_use(), with_results;

    ck_assert_int_eq(par_pool_map(pool, repeat, count_up(in, 100), out, 100), 50);
    with_results = pari_heap_in_use();
    ck_assert_uint_gt(with_results, before + 50 * 300);
    for (int i = 0; i < 100; i += 2) {
        ck_assert_uint_eq(strlen(out[i]), (size_t)i);
        ck_assert_uint_eq(par_shared_length(out[i]), (size_t)i + 1);
        par_shared_free(out[i]);
    }
    ck_assert_uint_lt(pari_heap_in_use(), with_results); /* what is left are the 50 blocks of 300 that nobody wanted */
    par_pool_free(pool);
}
END_TEST

static int
alloc_and_fail(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    for (int i = 0; i < 40; i++)
        if (par_task_alloc(100, (size_t)i + 1) == NULL)
            return 1;
    return 9;
}

START_TEST(task_alloc_is_freed_if_the_item_fails)
{
    par_pool *pool = new_pool(_i, 2);
    size_t before = pari_heap_in_use();

    ck_assert_int_eq(par_pool_map_sized(pool, alloc_and_fail, NULL, 0, NULL, 0, 100, NULL), 100);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_pool_free(pool);
}
END_TEST

static int
alloc_wrongly(const void *in, void *out, void *ctx)
{
    volatile size_t huge = SIZE_MAX / 2; /* or the compiler says what we are about to find out */

    (void)in;
    (void)out;
    (void)ctx;
    errno = 0;
    if (par_task_alloc(0, 8) != NULL || errno != EINVAL)
        return 1;
    if (par_task_alloc(huge, 4) != NULL || errno != EOVERFLOW)
        return 2;
    return par_task_alloc((size_t)1 << 50, 1) == NULL && errno == ENOSPC ? 0 : 3;
}

START_TEST(task_alloc_refuses_nothing_and_too_much)
{
    par_pool *pool = new_pool(_i, 1);

    ck_assert_int_eq(par_pool_map_sized(pool, alloc_wrongly, NULL, 0, NULL, 0, 1, NULL), 0);
    par_pool_free(pool);
}
END_TEST

START_TEST(outside_a_task_there_is_no_task)
{
    ck_assert_uint_eq(par_task_index(), SIZE_MAX);
    ck_assert_int_eq(par_worker_index(), -1);
    ck_assert_ptr_null(par_worker_state());
    ck_assert(!par_task_cancelled());
    ck_assert_int_eq(par_task_fail(5, "nobody reads this"), 5);
    ck_fails_null(par_task_alloc(1, 1), EPERM);
}
END_TEST

/* ---- progress */

struct watch {
    int n_calls, n_last;
    par_progress last;
    int result;
};

static int
look(const par_progress *progress, void *arg)
{
    struct watch *watch = arg;

    watch->n_calls++;
    watch->n_last += progress->is_last;
    watch->last = *progress;
    return watch->result;
}

START_TEST(progress_ends_with_the_whole_truth)
{
    struct watch watch = { 0 };
    int in[100], out[100];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_with(pool, half, count_up(in, 100), out, 100,
                                       &(par_job_opts){ .progress = look, .progress_arg = &watch }),
                     50);
    ck_assert_int_ge(watch.n_calls, 1);
    ck_assert_int_eq(watch.n_last, 1);
    ck_assert(watch.last.is_last);
    ck_assert_uint_eq(watch.last.done, 100);
    ck_assert_uint_eq(watch.last.failed, 50);
    ck_assert_uint_eq(watch.last.total, 100);
    par_pool_free(pool);
}
END_TEST

static int
wait_until_cancelled(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    for (int i = 0; !par_task_cancelled() && i < 300; i++) /* serial: nobody can cancel it meanwhile */
        usleep(1000);
    return 0;
}

START_TEST(progress_may_cancel_the_job)
{
    struct watch watch = { .result = 1 };
    unsigned char state[50];
    int n_cancelled = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_gt(par_pool_map_sized(pool, wait_until_cancelled, NULL, 0, NULL, 0, 50,
                                        &(par_job_opts){ .state = state, .progress = look, .progress_arg = &watch }),
                     45);
    ck_assert_int_eq(errno, ECANCELED);
    for (int i = 0; i < 50; i++)
        n_cancelled += state[i] == PAR_CANCELLED;
    ck_assert_int_gt(n_cancelled, 45);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 50, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
map_again(const par_progress *progress, void *arg)
{
    par_pool *pool = arg;
    ssize_t k = par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 1, NULL);
    bool is_refused = k == -1 && errno == EDEADLK && par_pool_workers(pool) > 0 && par_pool_close(pool) == 0 &&
                      par_pool_join(pool, PAR_FOREVER) == -1 && errno == EDEADLK;

    (void)progress;
    return is_refused ? 0 : 1;
}

static int
take_a_while(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    usleep(50000);
    return 0;
}

START_TEST(progress_may_not_map_on_the_pool_but_may_close_it)
{
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_sized(pool, take_a_while, NULL, 0, NULL, 0, 8,
                                        &(par_job_opts){ .progress = map_again, .progress_arg = pool }),
                     0);
    ck_fails(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 1, NULL), EPIPE);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    par_pool_free(pool);
}
END_TEST

static int
draw_bars(void *arg)
{
    par_progress progress = { 31, 2, 100, 1.25, false };

    (void)arg;
    dup2(*(int *)arg, STDERR_FILENO);
    par_progress_bar(&progress, (char[]){ "squares" });
    progress = (par_progress){ 100, 0, 100, 2.5, true };
    par_progress_bar(&progress, NULL);
    return par_progress_bar(NULL, NULL);
}

START_TEST(progress_bar_draws_a_line_in_place)
{
    int end[2];
    char text[400] = "";

    ck_assert_int_eq(pipe2(end, O_CLOEXEC), 0);
    ck_assert_int_eq(fixture_in_child(draw_bars, &end[1]), 0);
    ck_assert_int_gt(read(end[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "\rsquares  31% [#######.................] 31/100, 2 failed, 1.2 s"
                           "\r100% [########################] 100/100, 2.5 s\n");
    close(end[0]);
    close(end[1]);
}
END_TEST

/* ---- pools in and beside pools */

static int
map_on_own_pool(const void *in, void *out, void *ctx)
{
    par_pool *pool = *(par_pool **)ctx;
    ssize_t k = par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 1, NULL);

    (void)in;
    *(int *)out = k == -1 ? errno : 0;
    par_pool_free(pool); /* has no effect here */
    return 0;
}

START_TEST(a_task_cannot_map_on_the_pool_that_runs_it)
{
    int in = 0, out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_with(pool, map_on_own_pool, &in, &out, 1,
                                       &(par_job_opts){ .ctx = &pool, .ctx_size = sizeof pool }),
                     0);
    ck_assert_int_eq(out, _i == PAR_PROCESSES ? EPERM : EDEADLK);
    ck_assert_int_eq(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, 10, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
square_in_a_pool(const void *in, void *out, void *ctx)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .backend = *(int *)ctx, .workers = 2 });
    int items[3] = { *(const int *)in, 1, 2 };
    long results[3] = { 0, 0, 0 };
    size_t index = par_task_index();

    if (pool == NULL || par_pool_map(pool, square, items, results, 3) != 0 || par_task_index() != index)
        return 1;
    par_pool_free(pool);
    *(long *)out = results[0] + results[1] + results[2];
    return 0;
}

START_TEST(a_task_may_make_a_pool_of_its_own)
{
    int in[6];
    long out[6];
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_map_with(pool, square_in_a_pool, count_up(in, 6), out, 6,
                                       &(par_job_opts){ .ctx = &_i, .ctx_size = sizeof _i }),
                     0);
    for (long i = 0; i < 6; i++)
        ck_assert_int_eq(out[i], i * i + 5);
    par_pool_free(pool);
}
END_TEST

struct mapper {
    par_pool *pool;
    int bad;
};

static void *
map_often(void *arg)
{
    struct mapper *mapper = arg;
    int in[50];
    long out[50];

    count_up(in, 50);
    for (int round = 0; round < 100; round++) {
        memset(out, 0, sizeof out);
        mapper->bad += par_pool_map(mapper->pool, square, in, out, 50) != 0;
        mapper->bad += out[49] != 49 * 49;
    }
    return NULL;
}

START_TEST(maps_of_two_threads_run_one_after_the_other)
{
    struct mapper mapper[2] = { { new_pool(_i, 2), 0 }, { NULL, 0 } };
    pthread_t thread;

    mapper[1].pool = mapper[0].pool;
    ck_assert_int_eq(pthread_create(&thread, NULL, map_often, &mapper[1]), 0);
    map_often(&mapper[0]);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(mapper[0].bad + mapper[1].bad, 0);
    par_pool_free(mapper[0].pool);
}
END_TEST

/* ---- close, join, wrong use */

START_TEST(a_closed_pool_takes_no_jobs_and_can_be_joined)
{
    int in = 3;
    long out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_fails(par_pool_join(pool, PAR_NOWAIT), EBUSY);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_fails(par_pool_map(pool, square, &in, &out, 1), EPIPE);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    ck_assert_int_eq(par_pool_join(pool, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_pool_workers(pool), 0);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_terminated_pool_takes_no_jobs_and_can_be_joined)
{
    int in = 3;
    long out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(par_pool_terminate(pool), 0);
    ck_assert_int_eq(par_pool_terminate(pool), 0);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_fails(par_pool_map(pool, square, &in, &out, 1), EPIPE);
    ck_assert_int_eq(par_pool_join(pool, par_in(20)), 0);
    ck_assert_int_eq(par_pool_workers(pool), 0);
    par_pool_free(pool);
}
END_TEST

START_TEST(a_deadline_that_has_passed_runs_nothing)
{
    int in = 3;
    long out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_fails(par_pool_map_with(pool, square, &in, &out, 1, &(par_job_opts){ .deadline = PAR_NOWAIT }), ETIMEDOUT);
    ck_assert_int_eq(out, 0);
    ck_assert_int_eq(par_pool_map_with(pool, square, &in, &out, 1, &(par_job_opts){ .deadline = par_in(20) }), 0);
    par_pool_free(pool);
}
END_TEST

START_TEST(wrong_arguments_are_einval)
{
    int in[2] = { 1, 2 };
    long out[2];
    par_pool *pool = new_pool(_i, 1), *volatile freed;

    ck_fails(par_pool_map(NULL, square, in, out, 2), EINVAL);
    ck_fails(par_pool_map((par_pool *)(void *)in, square, in, out, 2), EINVAL);
    ck_fails(par_pool_map_sized(pool, NULL, in, 4, out, 8, 2, NULL), EINVAL);
    ck_fails(par_pool_map_sized(pool, square, NULL, 4, out, 8, 2, NULL), EINVAL);
    ck_fails(par_pool_map_sized(pool, square, in, 0, out, 8, 2, NULL), EINVAL);
    ck_fails(par_pool_map_sized(pool, square, in, 4, NULL, 8, 2, NULL), EINVAL);
    ck_fails(par_pool_map_sized(pool, square, in, 4, out, 0, 2, NULL), EINVAL);
    ck_fails(par_pool_map_sized(pool, square, NULL, PAR_STRINGS, out, 8, 2, NULL), EINVAL);
    ck_fails(par_pool_map_with(pool, square, in, out, 2, &(par_job_opts){ .ctx_size = 8 }), EINVAL);
    ck_fails(par_pool_workers(NULL), EINVAL);
    ck_fails(par_pool_close(NULL), EINVAL);
    ck_fails(par_pool_terminate(NULL), EINVAL);
    ck_fails(par_pool_join(NULL, PAR_NOWAIT), EINVAL);
    par_pool_free(NULL);
    freed = pool;
    par_pool_free(pool);
    ck_fails(par_pool_map(freed, square, in, out, 2), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .backend = 3 }), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .backend = -1 }), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .workers = (unsigned)-1 }), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .workers = 1, .initarg_size = 1 }), EINVAL);
}
END_TEST

START_TEST(sizes_that_overflow_are_eoverflow_and_those_that_do_not_fit_enospc)
{
    int in[2] = { 1, 2 };
    long out[2];
    struct counter ctx = { 0 };
    par_pool *pool = new_pool(_i, 2);
    par_job_opts huge_ctx = { .ctx = &ctx, .ctx_size = SIZE_MAX - 8 };

    ck_fails(par_pool_map(pool, square, in, out, SIZE_MAX / 2), EOVERFLOW);
    ck_fails(par_pool_map_sized(pool, square, in, SIZE_MAX / 2 + 2, out, 8, 2, NULL), EOVERFLOW);
    ck_fails(par_pool_map_sized(pool, square, in, 4, out, PAR_STRINGS, 2, NULL), EOVERFLOW);
    ck_fails(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, SIZE_MAX, NULL), EOVERFLOW);
    ck_fails(par_pool_map_with(pool, square, in, out, 2, &huge_ctx), EOVERFLOW);
    ck_fails(par_pool_map_sized(pool, nothing, NULL, 0, NULL, 0, (size_t)1 << 44, NULL), ENOSPC);
    ck_assert_int_eq(par_pool_map(pool, square, in, out, 2), 0);
    par_pool_free(pool);
}
END_TEST

static int
use_foreign_pool(void *arg)
{
    par_pool *pool = arg;
    int in = 1;
    long out = 0;

    if (par_pool_map(pool, square, &in, &out, 1) != -1 || errno != EPERM)
        return 1;
    if (par_pool_workers(pool) != -1 || errno != EPERM)
        return 2;
    if (par_pool_close(pool) != -1 || errno != EPERM || par_pool_terminate(pool) != -1 || errno != EPERM)
        return 3;
    if (par_pool_join(pool, PAR_NOWAIT) != -1 || errno != EPERM)
        return 4;
    par_pool_free(pool);
    return 0;
}

START_TEST(a_pool_is_its_creators)
{
    int in = 5;
    long out = 0;
    par_pool *pool = new_pool(_i, 2);

    ck_assert_int_eq(fixture_in_child(use_foreign_pool, pool), 0);
    ck_assert_int_eq(par_pool_map(pool, square, &in, &out, 1), 0);
    ck_assert_int_eq(out, 25);
    par_pool_free(pool);
}
END_TEST

static int
my_pid(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(pid_t *)out = getpid();
    return 0;
}

START_TEST(the_environment_names_the_default_backend)
{
    static const char *const name[] = { "processes", "threads", "serial" };
    int in = 0;
    pid_t pid = 0;
    par_pool *pool;

    for (int i = 0; i < 3; i++) {
        setenv("PAR_BACKEND", name[i], 1);
        pool = par_pool_new(NULL);
        ck_assert_ptr_nonnull(pool);
        ck_assert_int_eq(par_pool_workers(pool), i == PAR_SERIAL ? 1 : par_cpu_count());
        ck_assert_int_eq(par_pool_map(pool, my_pid, &in, &pid, 1), 0);
        ck_assert((pid == getpid()) == (i != PAR_PROCESSES));
        par_pool_free(pool);
    }
    setenv("PAR_BACKEND", "abacus", 1);
    ck_fails_null(par_pool_new(NULL), EINVAL);
    ck_assert_ptr_nonnull(strstr(par_error(), "PAR_BACKEND"));
    par_pool_free(new_pool(PAR_THREADS, 1)); /* named in the program: the environment does not matter */
}
END_TEST

START_TEST(the_environment_says_how_many_workers)
{
    static const char *const wrong[] = { "0", "-1", "1025", "two", "3x", " 3", "99999999999999999999" };
    par_pool *pool;

    setenv("PAR_NUM_WORKERS", "3", 1);
    ck_assert_ptr_nonnull(pool = par_pool_new(&(par_pool_opts){ .backend = PAR_THREADS }));
    ck_assert_int_eq(par_pool_workers(pool), 3);
    par_pool_free(pool);
    ck_assert_ptr_nonnull(pool = par_pool_new(&(par_pool_opts){ .backend = PAR_SERIAL }));
    ck_assert_int_eq(par_pool_workers(pool), 1);
    par_pool_free(pool);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("PAR_NUM_WORKERS", wrong[i], 1);
        ck_fails_null(par_pool_new(NULL), EINVAL);
        ck_assert_ptr_nonnull(strstr(par_error(), "PAR_NUM_WORKERS"));
    }
    par_pool_free(new_pool(PAR_THREADS, 1)); /* named in the program: the environment does not matter */
    setenv("PAR_NUM_WORKERS", "", 1);
    par_pool_free(new_pool(PAR_THREADS, 0));
}
END_TEST

START_TEST(jobs_leave_nothing_in_the_arena)
{
    int in[1000], out[1000];
    par_status failure[100];
    size_t before, between;
    par_pool *pool = new_pool(_i, 2);

    par_pool_free(pool);
    before = pari_heap_in_use();
    pool = new_pool(_i, 2);
    between = pari_heap_in_use();
    for (int round = 0; round < 20; round++)
        ck_assert_int_eq(par_pool_map_with(pool, half, count_up(in, 1000), out, 1000,
                                           &(par_job_opts){ .failures = failure, .max_failures = 100 }),
                         500);
    ck_assert_uint_eq(pari_heap_in_use(), between);
    par_pool_free(pool);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- what process workers are given */

static int
look_around(const void *in, void *out, void *ctx)
{
    struct sigaction action;
    sigset_t mask;
    char byte;

    (void)in;
    (void)out;
    (void)ctx;
    if (read(STDIN_FILENO, &byte, 1) != 0)
        return 1;
    if (sigaction(SIGINT, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
        return 2;
    if (sigaction(SIGUSR1, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        return 3;
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0 || sigismember(&mask, SIGUSR2))
        return 4;
    return 0;
}

static void
ignore(int number)
{
    (void)number;
}

START_TEST(process_workers_start_clean)
{
    struct sigaction handler = { .sa_handler = ignore }, old;
    sigset_t mask, old_mask;
    par_pool *pool;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    ck_assert_int_eq(sigaction(SIGUSR1, &handler, &old), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &mask, &old_mask), 0);
    pool = new_pool(PAR_PROCESSES, 2);
    ck_assert_int_eq(par_pool_map_sized(pool, look_around, NULL, 0, NULL, 0, 10, NULL), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    ck_assert(sigismember(&mask, SIGUSR2)); /* ours is as it was */
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &old_mask, NULL), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &old, NULL), 0);
    par_pool_free(pool);
}
END_TEST

static int
say_hello(const void *in, void *out, void *ctx)
{
    (void)out;
    (void)ctx;
    printf("hello %d\n", *(const int *)in);
    return 0;
}

static int
print_in_tasks(void *arg)
{
    int in[3] = { 1, 2, 3 };
    par_pool *pool;
    ssize_t k;

    dup2(*(int *)arg, STDOUT_FILENO);
    printf("before\n"); /* not flushed yet: must not come out twice */
    pool = par_pool_new(&(par_pool_opts){ .workers = 1 });
    k = par_pool_map_sized(pool, say_hello, in, sizeof *in, NULL, 0, 3, NULL);
    printf("after\n");
    fflush(stdout);
    par_pool_free(pool);
    return (int)k;
}

START_TEST(what_tasks_print_is_out_when_the_map_returns)
{
    int end[2];
    char text[200] = "";

    ck_assert_int_eq(pipe2(end, O_CLOEXEC), 0);
    ck_assert_int_eq(fixture_in_child(print_in_tasks, &end[1]), 0);
    ck_assert_int_gt(read(end[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "before\nhello 1\nhello 2\nhello 3\nafter\n");
    close(end[0]);
    close(end[1]);
}
END_TEST

/* ---- */

static const TTest *const *
tests_for_every_backend(size_t *n)
{
    static const TTest *list[40];
    const TTest *all[] = { map_delivers_every_value_in_its_place,
                           chunk_size_changes_nothing,
                           map_of_nothing_is_zero_at_once,
                           many_workers_share_a_small_job,
                           a_pool_serves_many_jobs,
                           apply_runs_one_item,
                           strings_reach_the_task_themselves,
                           shared_arrays_are_used_in_place,
                           in_and_out_may_be_the_same_array,
                           arrays_may_be_left_out,
                           each_worker_has_its_own_copy_of_ctx,
                           ctx_without_a_size_is_the_pointer_itself,
                           initializer_and_finalizer_run_once_in_each_worker,
                           workers_leave_after_max_tasks_and_nothing_is_lost,
                           a_life_goes_over_several_jobs,
                           a_successor_gets_a_fresh_ctx,
                           an_initializer_that_always_refuses_breaks_the_pool,
                           failed_items_tell_code_and_text,
                           a_failure_without_text_has_words_too,
                           more_failures_than_room_fill_the_room_in_order,
                           text_is_cut_code_zero_is_minus_one_and_the_result_decides,
                           a_failure_does_not_stop_the_others,
                           task_alloc_belongs_to_the_caller_if_the_item_succeeds,
                           task_alloc_is_freed_if_the_item_fails,
                           task_alloc_refuses_nothing_and_too_much,
                           progress_ends_with_the_whole_truth,
                           progress_may_cancel_the_job,
                           progress_may_not_map_on_the_pool_but_may_close_it,
                           a_task_cannot_map_on_the_pool_that_runs_it,
                           a_task_may_make_a_pool_of_its_own,
                           maps_of_two_threads_run_one_after_the_other,
                           a_closed_pool_takes_no_jobs_and_can_be_joined,
                           a_terminated_pool_takes_no_jobs_and_can_be_joined,
                           a_deadline_that_has_passed_runs_nothing,
                           wrong_arguments_are_einval,
                           sizes_that_overflow_are_eoverflow_and_those_that_do_not_fit_enospc,
                           jobs_leave_nothing_in_the_arena };

    *n = sizeof all / sizeof *all;
    memcpy(list, all, sizeof all);
    return list;
}

static void
add_for_backends(TCase *tcase, int first, int last)
{
    size_t n;
    const TTest *const *list = tests_for_every_backend(&n);

    for (size_t i = 0; i < n; i++)
        tcase_add_loop_test(tcase, list[i], first, last + 1);
}

int
main(void)
{
    Suite *suite = fixture_suite("pool");
    TCase *processes = fixture_case(suite, "processes"), *threads = fixture_thread_case(suite, "threads and serial");

    add_for_backends(processes, PAR_PROCESSES, PAR_PROCESSES);
    tcase_add_loop_test(processes, dear_first_item_holds_up_no_other_one, PAR_PROCESSES, PAR_PROCESSES + 1);
    tcase_add_loop_test(threads, dear_first_item_holds_up_no_other_one, PAR_THREADS, PAR_THREADS + 1);
    tcase_add_loop_test(processes, a_pool_is_its_creators, PAR_PROCESSES, PAR_SERIAL + 1);
    tcase_add_test(processes, private_results_of_failed_items_stay_untouched);
    tcase_add_test(processes, progress_bar_draws_a_line_in_place);
    tcase_add_test(processes, the_environment_names_the_default_backend);
    tcase_add_test(processes, the_environment_says_how_many_workers);
    tcase_add_test(processes, process_workers_start_clean);
    tcase_add_test(processes, what_tasks_print_is_out_when_the_map_returns);
    add_for_backends(threads, PAR_THREADS, PAR_SERIAL);
    tcase_add_test(threads, outside_a_task_there_is_no_task);
    return fixture_run(suite);
}
