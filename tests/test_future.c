/* SPDX-License-Identifier: MIT
 *
 * test_future.c: tasks, maps and streams that are not waited for at once, on all backends.
 */
#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SOON par_in(20)

static par_pool *pool;

static void
make_pool(int backend, unsigned workers)
{
    pool = par_pool_new(&(par_pool_opts){ .backend = backend, .workers = workers });
    ck_assert_ptr_nonnull(pool);
}

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(long *)out = *(const int *)in * (long)*(const int *)in;
    return 0;
}

static int
fail_with_text(const void *in, void *out, void *ctx)
{
    (void)out;
    (void)ctx;
    return par_task_fail(*(const int *)in, "no %d today", *(const int *)in);
}

static int
die(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    raise(SIGKILL);
    return 0;
}

/* ctx: a word in shared memory to wait for. */
static int
wait_for_word(const void *in, void *out, void *ctx)
{
    (void)in;
    while (atomic_load((_Atomic int *)ctx) == 0 && !par_task_cancelled())
        nap();
    if (out != NULL)
        *(int *)out = 7;
    return 0;
}

static par_future *
submit_square(int n)
{
    par_future *f = par_pool_submit(pool, square, &n, sizeof(long));
    ck_assert_ptr_nonnull(f);
    return f;
}

static par_future *
submit_wait(_Atomic int *word)
{
    par_future *f = par_pool_submit_sized(pool, wait_for_word, NULL, 0, sizeof(int), &(par_task_opts){ .ctx = (void *)word });
    ck_assert_ptr_nonnull(f);
    return f;
}

/* ---- one task, on every backend */

START_TEST(result_comes_home)
{
    long result = 0;
    make_pool(_i, 2);
    par_future *f = submit_square(12);
    ck_assert_int_eq(par_future_get(f, &result, SOON), 0);
    ck_assert_int_eq(result, 144);
    ck_assert_int_eq(par_future_done(f), 1);
    ck_assert_int_eq(par_future_get(f, NULL, PAR_NOWAIT), 0); /* again */
    ck_fails(par_future_cancel(f), EALREADY);
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

START_TEST(many_tasks_come_home)
{
    enum { N = 500 };
    par_future *f[N];
    long result;
    make_pool(_i, 3);
    for (int i = 0; i < N; i++)
        f[i] = submit_square(i);
    for (int i = N - 1; i >= 0; i--) {
        ck_assert_int_eq(par_future_get(f[i], &result, SOON), 0);
        ck_assert_int_eq(result, (long)i * i);
        par_future_free(f[i]);
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(failure_tells_code_and_text)
{
    int code = 5;
    par_status status;
    long result = 1;
    make_pool(_i, 2);
    par_future *f = par_pool_submit(pool, fail_with_text, &code, sizeof result);
    ck_assert_int_eq(par_future_get(f, &result, SOON), 1);
    ck_assert_int_eq(result, 1);
    ck_assert_int_eq(par_future_status(f, &status), 0);
    ck_assert_int_eq(status.state, PAR_FAILED);
    ck_assert_int_eq(status.code, 5);
    ck_assert_int_eq(status.tries, 1);
    ck_assert_str_eq(status.text, "no 5 today");
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

START_TEST(map_goes_on_beside_tasks)
{
    int in[100];
    long out[100], result;
    par_future *f[50];
    make_pool(_i, 2);
    for (int i = 0; i < 100; i++)
        in[i] = i;
    for (int i = 0; i < 50; i++)
        f[i] = submit_square(i);
    ck_assert_int_eq(par_pool_map(pool, square, in, out, 100), 0);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(par_future_get(f[i], &result, SOON), 0);
        ck_assert_int_eq(result, (long)i * i);
        par_future_free(f[i]);
    }
    par_pool_free(pool);
}
END_TEST

static int
allocate(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    char *text = par_task_alloc(10, 1);
    if (text == NULL)
        return 1;
    strcpy(text, "a block");
    *(char **)out = text;
    return 0;
}

START_TEST(block_of_a_task_is_the_callers)
{
    char *text = NULL;
    make_pool(_i, 1);
    par_future *f = par_pool_submit_sized(pool, allocate, NULL, 0, sizeof text, NULL);
    ck_assert_int_eq(par_future_get(f, &text, SOON), 0);
    par_future_free(f);
    par_pool_free(pool);
    ck_assert_str_eq(text, "a block");
    par_shared_free(text);
}
END_TEST

START_TEST(close_finishes_what_was_submitted)
{
    enum { N = 50 };
    par_future *f[N];
    long result;
    make_pool(_i, 2);
    for (int i = 0; i < N; i++)
        f[i] = submit_square(i);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_fails_null(par_pool_submit_sized(pool, square, &(int){ 1 }, sizeof(int), sizeof(long), NULL), EPIPE);
    ck_assert_int_eq(par_pool_join(pool, SOON), 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(par_future_done(f[i]), 1);
        ck_assert_int_eq(par_future_get(f[i], &result, PAR_NOWAIT), 0);
        ck_assert_int_eq(result, (long)i * i);
        par_future_free(f[i]);
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(futures_outlive_their_pool)
{
    long result;
    make_pool(_i, 1);
    par_future *f = submit_square(3);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 0);
    par_pool_free(pool);
    ck_assert_int_eq(par_future_get(f, &result, SOON), 0);
    ck_assert_int_eq(result, 9);
    par_future_free(f);
}
END_TEST

START_TEST(wrong_use_is_told)
{
    long result;
    make_pool(_i, 1);
    ck_fails_null(par_pool_submit_sized(NULL, square, NULL, 0, 8, NULL), EINVAL);
    ck_fails_null(par_pool_submit_sized(pool, NULL, NULL, 0, 8, NULL), EINVAL);
    ck_fails_null(par_pool_submit_sized(pool, square, NULL, 4, 8, NULL), EINVAL);
    ck_fails_null(par_pool_submit_sized(pool, square, NULL, 0, 8, &(par_task_opts){ .timeout = -1 }), EINVAL);
    ck_fails_null(par_pool_submit_sized(pool, square, NULL, 0, 8, &(par_task_opts){ .ctx_size = 1 }), EINVAL);
    ck_fails_null(par_pool_submit_sized(pool, square, &result, sizeof result, SIZE_MAX / 2 + 1, NULL), EOVERFLOW);
    ck_fails(par_future_get(NULL, &result, SOON), EINVAL);
    ck_fails(par_future_get((par_future *)(void *)pool, &result, SOON), EINVAL);
    ck_fails(par_future_done(NULL), EINVAL);
    ck_fails(par_future_cancel(NULL), EINVAL);
    ck_fails(par_future_on_done(NULL, NULL, NULL), EINVAL);
    ck_fails_null(par_future_next(NULL, 0, SOON), ENOENT);
    par_future_free(NULL);
    par_pool_free(pool);
}
END_TEST

/* ---- callbacks */

static _Atomic int n_calls, seen_state;

static void
note_call(par_future *future, void *arg)
{
    par_status status;
    if (par_future_status(future, &status) == 0)
        atomic_store(&seen_state, status.state);
    atomic_fetch_add(&n_calls, *(int *)arg);
}

START_TEST(callback_is_called_once)
{
    int one = 1, code = 3;
    make_pool(_i, 2);
    par_future *f = submit_square(5);
    ck_assert_int_eq(par_future_on_done(f, note_call, &one), 0);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 0);
    while (atomic_load(&n_calls) == 0)
        nap();
    ck_assert_int_eq(atomic_load(&seen_state), PAR_OK);
    ck_assert_int_eq(par_future_on_done(f, note_call, &one), 0); /* at once */
    ck_assert_int_eq(atomic_load(&n_calls), 2);
    par_future_free(f);
    f = par_pool_submit(pool, fail_with_text, &code, sizeof(long));
    ck_assert_int_eq(par_future_on_done(f, note_call, &one), 0);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, SOON), 0); /* the callback has been called by now */
    ck_assert_int_eq(atomic_load(&n_calls), 3);
    ck_assert_int_eq(atomic_load(&seen_state), PAR_FAILED);
    par_future_free(f);
    par_pool_free(pool);
    ck_assert_int_eq(atomic_load(&n_calls), 3);
}
END_TEST

static void
free_and_submit(par_future *future, void *arg)
{
    (void)arg;
    par_future_free(future);
    par_future_free(submit_square(1));
    par_pool_free(pool); /* from inside: ends it, no more */
    ck_assert_int_eq(par_pool_join(pool, SOON), -1);
    atomic_fetch_add(&n_calls, 1);
}

START_TEST(callback_may_free_and_submit)
{
    _Atomic int *word = (_Atomic int *)par_value(int);
    make_pool(PAR_THREADS, 1);
    par_future *f = submit_wait(word);
    ck_assert_int_eq(par_future_on_done(f, free_and_submit, NULL), 0);
    atomic_store(word, 1);
    while (atomic_load(&n_calls) == 0)
        nap();
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, SOON), 0);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

/* ---- cancelling, waiting: backends that run beside the caller */

START_TEST(what_has_not_begun_can_be_cancelled)
{
    _Atomic int *word = (_Atomic int *)par_value(int);
    par_status status;
    make_pool(_i, 1);
    par_future *running = submit_wait(word), *queued = submit_square(2), *last = submit_square(3);
    long result;
    ck_fails(par_future_get(running, NULL, par_in(0.02)), ETIMEDOUT);
    ck_fails(par_future_get(queued, NULL, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_future_cancel(running), EALREADY);
    ck_assert_int_eq(par_future_cancel(queued), 0);
    ck_assert_int_eq(par_future_cancel(queued), 0);
    ck_assert_int_eq(par_future_get(queued, NULL, SOON), 1);
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_int_eq(par_future_status(queued, &status), 0);
    ck_assert_int_eq(status.state, PAR_CANCELLED);
    ck_assert_int_eq(status.tries, 0);
    ck_fails(par_future_status(running, &status), EBUSY);
    atomic_store(word, 1);
    ck_assert_int_eq(par_future_get(last, &result, SOON), 0);
    ck_assert_int_eq(result, 9);
    par_future_free(running);
    par_future_free(queued);
    par_future_free(last);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

START_TEST(freed_futures_leave_nothing)
{
    _Atomic int *word = (_Atomic int *)par_value(int);
    make_pool(_i, 1);
    par_future_free(submit_wait(word)); /* runs, or not yet */
    for (int i = 0; i < 20; i++)
        par_future_free(submit_square(i));
    atomic_store(word, 1);
    par_future *f = submit_square(4);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 0);
    par_future_free(f);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

START_TEST(waiting_for_the_first_and_for_all)
{
    _Atomic int *word = (_Atomic int *)par_value(int);
    make_pool(_i, 2);
    par_future *f[4] = { submit_wait(word), submit_square(1), NULL, submit_square(2) };
    ck_assert_int_ge(par_future_wait(f, 4, PAR_FIRST, SOON), 1);
    ck_fails(par_future_wait(f, 4, PAR_ALL, par_in(0.05)), ETIMEDOUT);
    atomic_store(word, 1);
    ck_assert_int_eq(par_future_wait(f, 4, PAR_ALL, SOON), 3);
    ck_assert_int_eq(par_future_wait(f, 4, PAR_FIRST_BAD, SOON), 3);
    ck_assert_int_eq(par_future_wait(NULL, 0, PAR_ALL, SOON), 0);
    for (int i = 0; i < 4; i++)
        par_future_free(f[i]);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

START_TEST(each_comes_once_in_the_order_of_the_ends)
{
    _Atomic int *word = (_Atomic int *)par_array(int, 2);
    make_pool(_i, 3);
    par_future *late = submit_wait(&word[0]), *later = submit_wait(&word[1]), *early = submit_square(1);
    par_future *f[3] = { later, late, early };
    ck_assert_ptr_eq(par_future_next(f, 3, SOON), early);
    ck_fails_null(par_future_next(f, 3, par_in(0.01)), ETIMEDOUT);
    atomic_store(&word[0], 1);
    ck_assert_ptr_eq(par_future_next(f, 3, SOON), late);
    atomic_store(&word[1], 1);
    ck_assert_ptr_eq(par_future_next(f, 3, SOON), later);
    ck_fails_null(par_future_next(f, 3, SOON), ENOENT);
    par_future_free(early);
    par_future_free(late);
    par_future_free(later);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

START_TEST(terminate_ends_all_futures)
{
    _Atomic int *word = (_Atomic int *)par_value(int);
    par_status status;
    make_pool(_i, 1);
    par_future *running = submit_wait(word), *queued = submit_square(2);
    ck_fails(par_future_get(running, NULL, par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(par_pool_terminate(pool), 0);
    ck_assert_int_eq(par_future_get(queued, NULL, SOON), 1);
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_int_ge(par_future_get(running, NULL, SOON), 0);
    ck_assert_int_eq(par_future_status(running, &status), 0);
    ck_assert(status.state == PAR_OK || (_i == PAR_PROCESSES && status.state == PAR_CANCELLED)); /* it may see the end first */
    par_future_free(running);
    par_future_free(queued);
    par_pool_free(pool);
    par_shared_free((void *)word);
}
END_TEST

static int
ask_inside(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(int *)out = par_pool_submit_sized(pool, square, &(int){ 1 }, sizeof(int), sizeof(long), NULL) == NULL ? errno : 0;
    return 0;
}

START_TEST(pool_of_another_process_is_eperm)
{
    int result = 0;
    make_pool(PAR_PROCESSES, 1);
    par_future *f = par_pool_submit_sized(pool, ask_inside, NULL, 0, sizeof result, NULL);
    ck_assert_int_eq(par_future_get(f, &result, SOON), 0);
    ck_assert(result == EPERM || result == EINVAL);
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

/* ---- maps */

START_TEST(map_without_waiting)
{
    enum { N = 1000 };
    static int in[N];
    static long out[N];
    int one = 1;
    make_pool(_i, 2);
    for (int i = 0; i < N; i++)
        in[i] = i;
    par_future *f = par_pool_map_async(pool, square, in, out, N);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(par_future_on_done(f, note_call, &one), 0);
    ck_assert_int_eq(par_pool_close(pool), 0); /* it was accepted before */
    ck_assert_int_eq(par_pool_join(pool, SOON), 0);
    ck_assert_int_eq(atomic_load(&n_calls), 1);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], (long)i * i);
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

START_TEST(map_without_waiting_counts_failures)
{
    int in[3] = { 1, 2, 3 };
    long out[3];
    par_status status;
    make_pool(_i, 2);
    par_future *f = par_pool_map_async(pool, fail_with_text, in, out, 3);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 3);
    ck_assert_int_eq(par_future_status(f, &status), 0);
    ck_assert_int_eq(status.code, 3);
    par_future_free(f);
    f = par_pool_map_async_sized(pool, square, NULL, 0, NULL, 0, 0, NULL);
    ck_assert_int_eq(par_future_get(f, NULL, SOON), 0);
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

/* ---- streams */

struct counter {
    int next, end, asked, fail_at;
};

static int
count_up(void *item, void *arg)
{
    struct counter *c = arg;
    c->asked++;
    if (c->next == c->fail_at) {
        errno = EBADF;
        return -1;
    }
    if (c->next == c->end)
        return 0;
    *(int *)item = c->next++;
    return 1;
}

static par_imap *
stream(struct counter *c, const par_imap_opts *opts)
{
    par_imap *imap = par_pool_imap(pool, square, count_up, c, sizeof(int), sizeof(long), opts);
    ck_assert_ptr_nonnull(imap);
    return imap;
}

START_TEST(stream_comes_in_order)
{
    size_t chunk[] = { 1, 3, 100 };
    long result;
    par_status status;
    make_pool(_i, 2);
    for (size_t k = 0; k < 3; k++) {
        struct counter c = { .end = 1000, .fail_at = -1 };
        par_imap *imap = stream(&c, &(par_imap_opts){ .chunk = chunk[k] });
        for (int i = 0; i < 1000; i++) {
            ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), 1);
            ck_assert_int_eq(result, (long)i * i);
            ck_assert_uint_eq(status.index, (unsigned)i);
        }
        ck_assert_int_eq(par_imap_next(imap, &result, NULL, SOON), 0);
        ck_assert_int_eq(par_imap_next(imap, &result, NULL, SOON), 0);
        par_imap_free(imap);
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(unordered_stream_brings_each_once)
{
    struct counter c = { .end = 300, .fail_at = -1 };
    bool seen[300] = { false };
    par_status status;
    long result;
    int n = 0;
    make_pool(_i, 3);
    par_imap *imap = stream(&c, &(par_imap_opts){ .unordered = true, .chunk = 2 });
    for (; par_imap_next(imap, &result, &status, SOON) == 1; n++) {
        ck_assert(!seen[status.index]);
        seen[status.index] = true;
        ck_assert_int_eq(result, (long)status.index * (long)status.index);
    }
    ck_assert_int_eq(n, 300);
    par_imap_free(imap);
    par_pool_free(pool);
}
END_TEST

START_TEST(stream_asks_for_no_more_than_its_window)
{
    struct counter c = { .end = -1, .fail_at = -1 }; /* endless */
    long result;
    make_pool(_i, 2);
    par_imap *imap = stream(&c, &(par_imap_opts){ .window = 10 });
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(par_imap_next(imap, &result, NULL, SOON), 1);
        ck_assert_int_le(c.asked, i + 1 + 10);
    }
    par_imap_free(imap);
    par_pool_free(pool);
}
END_TEST

START_TEST(source_that_fails_shows_in_its_place)
{
    for (size_t chunk = 1; chunk <= 4; chunk *= 2) {
        struct counter c = { .end = 100, .fail_at = 7 };
        par_status status;
        long result;
        make_pool(_i, 2);
        par_imap *imap = stream(&c, &(par_imap_opts){ .chunk = chunk });
        for (int i = 0; i < 7; i++)
            ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), 1);
        ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), 2);
        ck_assert_int_eq(status.state, PAR_FAILED);
        ck_assert_int_eq(status.code, EBADF);
        ck_assert_uint_eq(status.index, 7);
        ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), 0);
        par_imap_free(imap);
        par_pool_free(pool);
    }
}
END_TEST

/* ---- deaths */

START_TEST(lost_task_is_named_and_the_others_go_on)
{
    par_status status;
    long result;
    make_pool(PAR_PROCESSES, 2);
    par_future *lost = par_pool_submit_sized(pool, die, NULL, 0, 0, NULL), *f[20];
    for (int i = 0; i < 20; i++)
        f[i] = submit_square(i);
    ck_assert_int_eq(par_future_get(lost, NULL, SOON), 1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(par_future_status(lost, &status), 0);
    ck_assert_int_eq(status.state, PAR_LOST);
    ck_assert_int_eq(status.signal, SIGKILL);
    ck_assert_int_gt(status.pid, 0);
    ck_assert_int_eq(status.tries, 1);
    ck_assert_ptr_nonnull(strstr(status.text, "SIGKILL"));
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(par_future_get(f[i], &result, SOON), 0);
        par_future_free(f[i]);
    }
    par_future_free(lost);
    par_pool_free(pool);
}
END_TEST

/* Dies until it has been begun so often: ctx counts in shared memory. */
static int
die_twice(const void *in, void *out, void *ctx)
{
    (void)in;
    if (atomic_fetch_add((_Atomic int *)ctx, 1) < 2)
        raise(SIGKILL);
    *(int *)out = atomic_load((_Atomic int *)ctx);
    return 0;
}

START_TEST(retries_are_bounded)
{
    _Atomic int *n = (_Atomic int *)par_array(int, 2);
    par_status status;
    int result = 0;
    make_pool(PAR_PROCESSES, 1);
    par_future *f =
        par_pool_submit_sized(pool, die_twice, NULL, 0, sizeof(int), &(par_task_opts){ .ctx = (void *)&n[0], .retries = 2 });
    par_future *poison =
        par_pool_submit_sized(pool, die_twice, NULL, 0, sizeof(int), &(par_task_opts){ .ctx = (void *)&n[1], .retries = 1 });
    ck_assert_int_eq(par_future_get(f, &result, SOON), 0);
    ck_assert_int_eq(result, 3);
    ck_assert_int_eq(par_future_status(f, &status), 0);
    ck_assert_int_eq(status.tries, 3);
    ck_assert_int_eq(par_future_get(poison, &result, SOON), 1);
    ck_assert_int_eq(par_future_status(poison, &status), 0);
    ck_assert_int_eq(status.state, PAR_LOST);
    ck_assert_int_eq(status.tries, 2);
    par_future_free(f);
    par_future_free(poison);
    par_pool_free(pool);
    par_shared_free((void *)n);
}
END_TEST

START_TEST(time_limit_ends_the_task_and_no_other)
{
    _Atomic int *never = (_Atomic int *)par_value(int);
    par_status status;
    long result;
    make_pool(PAR_PROCESSES, 2);
    par_future *late = par_pool_submit_sized(pool, wait_for_word, NULL, 0, sizeof(int),
                                             &(par_task_opts){ .ctx = (void *)never, .timeout = 0.05 });
    par_future *f[30];
    for (int i = 0; i < 30; i++)
        f[i] = submit_square(i);
    ck_assert_int_eq(par_future_get(late, NULL, SOON), 1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(par_future_status(late, &status), 0);
    ck_assert_int_eq(status.state, PAR_TIMED_OUT);
    for (int i = 0; i < 30; i++) {
        ck_assert_int_eq(par_future_get(f[i], &result, SOON), 0);
        ck_assert_int_eq(result, (long)i * i);
        par_future_free(f[i]);
    }
    par_future_free(late);
    par_pool_free(pool);
    par_shared_free((void *)never);
}
END_TEST

/* Also one whose worker sleeps in a task, while nobody waits for any. */
START_TEST(terminate_ends_the_running_task_and_no_other)
{
    _Atomic int *never = (_Atomic int *)par_value(int);
    par_status status;
    long result;
    make_pool(_i == 1 ? PAR_THREADS : PAR_PROCESSES, 1);
    par_future *running = submit_wait(never), *queued = submit_square(4), *last = submit_square(5);
    ck_fails(par_future_get(running, NULL, par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(par_future_terminate(queued), 0);
    ck_assert_int_eq(par_future_terminate(running), 0);
    ck_assert_int_eq(par_future_terminate(running), 0);
    ck_assert_int_eq(par_future_get(running, NULL, SOON), 1);
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_int_eq(par_future_status(running, &status), 0);
    ck_assert_int_eq(status.state, PAR_CANCELLED);
    ck_assert_str_eq(status.text, "terminated while it ran");
    ck_assert_int_eq(par_future_status(queued, &status), 0);
    ck_assert_int_eq(status.state, PAR_CANCELLED);
    ck_assert_int_eq(par_future_get(last, &result, SOON), 0);
    ck_assert_int_eq(result, 25);
    ck_fails(par_future_terminate(last), EALREADY);
    ck_fails(par_future_terminate(NULL), EINVAL);
    par_future_free(running);
    par_future_free(queued);
    par_future_free(last);
    par_pool_free(pool);
    par_shared_free((void *)never);
}
END_TEST

/* The thread that waits attends to the pool, and learns from another one that there is something to do. */
static void *
terminate_later(void *future)
{
    struct timespec moment = { 0, 30000000 };

    (void)nanosleep(&moment, NULL);
    return (void *)(intptr_t)par_future_terminate(future);
}

START_TEST(terminate_by_another_thread_than_the_one_that_waits)
{
    _Atomic int *never = (_Atomic int *)par_value(int);
    pthread_t thread;
    void *result;
    make_pool(PAR_PROCESSES, 2);
    par_future *running = submit_wait(never);
    ck_assert_int_eq(pthread_create(&thread, NULL, terminate_later, running), 0);
    ck_assert_int_eq(par_future_get(running, NULL, SOON), 1);
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_null(result);
    par_future_free(running);
    par_pool_free(pool);
    par_shared_free((void *)never);
}
END_TEST

static int
see_no_task(const par_progress *progress, void *arg)
{
    (void)arg;
    ck_assert(progress->done <= progress->total);
    return 0;
}

/* Maps run while tasks are terminated right at their end: a worker that is killed for one may be with an item of a map by then, which is
 * run by another one. And a map's progress counts no tasks. */
START_TEST(map_beside_tasks_that_are_terminated_is_whole)
{
    int in[40], i = 0;
    long out[40];
    par_time start = par_now();
    make_pool(PAR_PROCESSES, 2);
    for (int k = 0; k < 40; k++)
        in[k] = k;
    while (par_since(start) < 1) {
        par_future *task = submit_square(i++);
        if (i % 3 == 0)
            nap();
        ck_assert(par_future_terminate(task) == 0 || errno == EALREADY);
        ck_assert_int_eq(par_pool_map_with(pool, square, in, out, 40, &(par_job_opts){ .progress = see_no_task }), 0);
        ck_assert_int_eq(out[39], 39 * 39);
        par_future_free(task);
    }
    par_pool_free(pool);
}
END_TEST

static int
die_on_seven(const void *in, void *out, void *ctx)
{
    if (*(const int *)in % 10 == 7)
        raise(SIGKILL);
    return square(in, out, ctx);
}

START_TEST(stream_names_the_items_that_died_in_chunks)
{
    struct counter c = { .end = 100, .fail_at = -1 };
    par_status status;
    long result;
    make_pool(PAR_PROCESSES, 2);
    par_imap *imap =
        par_pool_imap(pool, die_on_seven, count_up, &c, sizeof(int), sizeof(long), &(par_imap_opts){ .chunk = 25 });
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), i % 10 == 7 ? 2 : 1);
        ck_assert_int_eq(status.tries, 1); /* also what comes after a death in the same chunk */
        ck_assert_uint_eq(status.index, (unsigned)i);
        ck_assert_int_eq(status.state, i % 10 == 7 ? PAR_LOST : PAR_OK);
        if (i % 10 != 7)
            ck_assert_int_eq(result, (long)i * i);
    }
    ck_assert_int_eq(par_imap_next(imap, &result, &status, SOON), 0);
    par_imap_free(imap);
    par_pool_free(pool);
}
END_TEST

START_TEST(broken_pool_ends_all_futures)
{
    par_future *f[60];
    int n_lost = 0, n_unrun = 0;
    make_pool(PAR_PROCESSES, 1);
    for (int i = 0; i < 60; i++) {
        f[i] = par_pool_submit_sized(pool, die, NULL, 0, 0, NULL);
        ck_assert_ptr_nonnull(f[i]);
    }
    ck_assert_int_eq(par_future_wait(f, 60, PAR_ALL, SOON), 60);
    for (int i = 0; i < 60; i++) {
        par_status status;
        ck_assert_int_eq(par_future_status(f[i], &status), 0);
        n_lost += status.state == PAR_LOST;
        n_unrun += status.state == PAR_UNRUN;
        par_future_free(f[i]);
    }
    ck_assert_int_gt(n_lost, 10);
    ck_assert_int_gt(n_unrun, 0);
    ck_assert_int_eq(n_lost + n_unrun, 60);
    ck_fails_null(par_pool_submit_sized(pool, die, NULL, 0, 0, NULL), ENOTRECOVERABLE);
    par_pool_free(pool);
}
END_TEST

START_TEST(supervised_pool_replaces_workers_by_itself)
{
    pool = par_pool_new(&(par_pool_opts){ .workers = 2, .supervised = true });
    ck_assert_ptr_nonnull(pool);
    par_future *f = par_pool_submit_sized(pool, die, NULL, 0, 0, NULL);
    while (par_future_done(f) == 0 || par_pool_workers(pool) < 2)
        nap();
    par_future_free(f);
    par_pool_free(pool);
}
END_TEST

START_TEST(workers_killed_at_any_moment_lose_only_what_they_ran)
{
    enum { N = 40 };
    make_pool(PAR_PROCESSES, 2);
    for (int round = 0; round < 60; round++) {
        pid_t pid = 0;
        par_future *f[N];
        int n_bad = 0;
        for (int i = 0; i < N; i++)
            f[i] = submit_square(i);
        FILE *children = fopen("/proc/thread-self/children", "r");
        ck_assert_ptr_nonnull(children);
        ck_assert_int_eq(fscanf(children, "%d", &pid), 1);
        fclose(children);
        fixture_kill_after_us(pid, fixture_random_below(150));
        for (int i = 0; i < N; i++) {
            long result = -1;
            ssize_t bad = par_future_get(f[i], &result, SOON);
            ck_assert_int_ge(bad, 0);
            ck_assert(bad == 1 || result == (long)i * i);
            n_bad += (int)bad;
            par_future_free(f[i]);
        }
        ck_assert_int_le(n_bad, 1);
    }
    par_pool_free(pool);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("future");
    TCase *all = fixture_case(suite, "every backend"), *beside = fixture_case(suite, "beside the caller"),
          *deaths = fixture_case(suite, "deaths"), *threads = fixture_thread_case(suite, "threads");

    tcase_add_loop_test(all, result_comes_home, 0, 3);
    tcase_add_loop_test(all, many_tasks_come_home, 0, 3);
    tcase_add_loop_test(all, failure_tells_code_and_text, 0, 3);
    tcase_add_loop_test(all, map_goes_on_beside_tasks, 0, 3);
    tcase_add_loop_test(all, block_of_a_task_is_the_callers, 0, 3);
    tcase_add_loop_test(all, close_finishes_what_was_submitted, 0, 3);
    tcase_add_loop_test(all, futures_outlive_their_pool, 0, 3);
    tcase_add_loop_test(all, wrong_use_is_told, 0, 3);
    tcase_add_loop_test(all, callback_is_called_once, 0, 3);
    tcase_add_loop_test(all, map_without_waiting, 0, 3);
    tcase_add_loop_test(all, map_without_waiting_counts_failures, 0, 3);
    tcase_add_loop_test(all, stream_comes_in_order, 0, 3);
    tcase_add_loop_test(all, unordered_stream_brings_each_once, 0, 3);
    tcase_add_loop_test(all, stream_asks_for_no_more_than_its_window, 0, 3);
    tcase_add_loop_test(all, source_that_fails_shows_in_its_place, 0, 3);
    tcase_add_test(all, callback_may_free_and_submit);

    tcase_add_loop_test(beside, what_has_not_begun_can_be_cancelled, 0, 2);
    tcase_add_loop_test(beside, freed_futures_leave_nothing, 0, 2);
    tcase_add_loop_test(beside, waiting_for_the_first_and_for_all, 0, 2);
    tcase_add_loop_test(beside, each_comes_once_in_the_order_of_the_ends, 0, 2);
    tcase_add_loop_test(beside, terminate_ends_all_futures, 0, 2);
    tcase_add_test(beside, pool_of_another_process_is_eperm);

    tcase_add_test(deaths, lost_task_is_named_and_the_others_go_on);
    tcase_add_test(deaths, retries_are_bounded);
    tcase_add_test(deaths, time_limit_ends_the_task_and_no_other);
    tcase_add_loop_test(deaths, terminate_ends_the_running_task_and_no_other, 0, 2);
    tcase_add_test(deaths, terminate_by_another_thread_than_the_one_that_waits);
    tcase_add_test(deaths, map_beside_tasks_that_are_terminated_is_whole);
    tcase_add_test(deaths, stream_names_the_items_that_died_in_chunks);
    tcase_add_test(deaths, broken_pool_ends_all_futures);
    tcase_add_test(deaths, supervised_pool_replaces_workers_by_itself);
    tcase_add_test(deaths, workers_killed_at_any_moment_lose_only_what_they_ran);

    tcase_add_loop_test(threads, many_tasks_come_home, 1, 2);
    tcase_add_loop_test(threads, callback_is_called_once, 1, 2);
    tcase_add_loop_test(threads, what_has_not_begun_can_be_cancelled, 1, 2);
    tcase_add_loop_test(threads, map_without_waiting, 1, 2);
    tcase_add_loop_test(threads, stream_comes_in_order, 1, 2);
    return fixture_run(suite);
}
