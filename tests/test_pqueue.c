/* SPDX-License-Identifier: MIT
 *
 * test_pqueue.c: a queue with an order of its own, and items on lease.
 */
#include "fixture.h"

#include <par/pqueue.h>
#include <par/process.h>

#include "../libpar/shm/arena.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SOON par_in(20)

static par_pqueue *q;

static void
make(int order, size_t maxsize)
{
    q = par_pqueue_new(&(par_pqueue_opts){ .item_size = sizeof(int), .maxsize = maxsize, .order = order });
    ck_assert_ptr_nonnull(q);
}

static void
put(int value, int64_t priority)
{
    ck_assert_int_eq(par_pqueue_put(q, &value, sizeof value, priority, SOON), 0);
}

static void
expect(int value)
{
    int got = -1;
    ck_assert_int_eq(par_pqueue_get(q, &got, sizeof got, SOON), sizeof got);
    ck_assert_int_eq(got, value);
}

static par_lease
lease(int value, unsigned deliveries)
{
    par_lease of = { 0 };
    int got = -1;
    ck_assert_int_eq(par_pqueue_lease(q, &got, sizeof got, &of, SOON), sizeof got);
    ck_assert_int_eq(got, value);
    ck_assert_uint_eq(of.deliveries, deliveries);
    return of;
}

/* ---- order */

START_TEST(lowest_number_comes_first_and_equal_ones_as_they_were_put)
{
    make(PAR_LOWEST_FIRST, 0);
    put(1, 5);
    put(2, INT64_MAX);
    put(3, -7);
    put(4, 5);
    put(5, INT64_MIN);
    put(6, 5);
    ck_assert_int_eq(par_pqueue_qsize(q), 6);
    expect(5);
    expect(3);
    expect(1);
    expect(4);
    put(7, 0);
    expect(7);
    expect(6);
    expect(2);
    ck_assert_int_eq(par_pqueue_qsize(q), 0);
    par_pqueue_free(q);
}
END_TEST

START_TEST(last_one_comes_first)
{
    make(PAR_LAST_FIRST, 0);
    for (int i = 0; i < 5; i++)
        put(i, 100 - i);
    expect(4);
    expect(3);
    put(9, 0);
    expect(9);
    for (int i = 2; i >= 0; i--)
        expect(i);
    par_pqueue_free(q);
}
END_TEST

START_TEST(first_one_comes_first)
{
    make(PAR_FIRST_FIRST, 0);
    for (int i = 0; i < 5; i++)
        put(i, 100 - i);
    for (int i = 0; i < 5; i++)
        expect(i);
    par_pqueue_free(q);
}
END_TEST

static int
by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

START_TEST(many_come_out_sorted)
{
    enum { N = 3000 };
    static int value[N];
    make(PAR_LOWEST_FIRST, N);
    for (int i = 0; i < N; i++) {
        value[i] = (int)fixture_random_below(1000);
        put(value[i], value[i]);
    }
    qsort(value, N, sizeof value[0], by_value);
    for (int i = 0; i < N; i++)
        expect(value[i]);
    par_pqueue_free(q);
}
END_TEST

/* ---- sizes, fullness, the end */

START_TEST(items_come_whole_up_to_the_size_of_a_place)
{
    char text[10] = "abcdefghi", got[10];
    q = par_pqueue_new(&(par_pqueue_opts){ .item_size = 9, .maxsize = 3 });
    ck_assert_int_eq(par_pqueue_put(q, text, 9, 0, SOON), 0);
    ck_assert_int_eq(par_pqueue_put(q, NULL, 0, 1, SOON), 0);
    ck_fails(par_pqueue_put(q, text, 10, 0, SOON), EMSGSIZE);
    ck_fails(par_pqueue_get(q, got, 8, SOON), EMSGSIZE);
    ck_assert_int_eq(par_pqueue_get(q, got, sizeof got, SOON), 9);
    ck_assert_int_eq(memcmp(got, text, 9), 0);
    ck_assert_int_eq(par_pqueue_get(q, NULL, 0, SOON), 0);
    par_pqueue_free(q);
}
END_TEST

START_TEST(full_and_empty_end_with_the_deadline_and_never_early)
{
    int value = 1;
    make(PAR_LOWEST_FIRST, 2);
    put(1, 0);
    put(2, 0);
    ck_fails(par_pqueue_put(q, &value, sizeof value, 0, PAR_NOWAIT), ETIMEDOUT);
    par_time start = par_now();
    ck_fails(par_pqueue_put(q, &value, sizeof value, 0, par_in(0.05)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.05);
    expect(1);
    expect(2);
    ck_fails(par_pqueue_get(q, &value, sizeof value, PAR_NOWAIT), ETIMEDOUT);
    start = par_now();
    ck_fails(par_pqueue_get(q, &value, sizeof value, par_in(0.05)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.05);
    par_pqueue_free(q);
}
END_TEST

static void *
put_two(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 2; i++)
        if (par_pqueue_put(q, &i, sizeof i, 0, SOON) != 0)
            return NULL;
    return q;
}

START_TEST(whoever_waits_is_woken)
{
    pthread_t thread;
    void *result;
    make(PAR_FIRST_FIRST, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, put_two, NULL), 0); /* the second put waits for room */
    expect(1);
    expect(2);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    par_pqueue_free(q);
}
END_TEST

START_TEST(closed_queue_ends_when_nothing_waits_and_nothing_is_on_lease)
{
    int value = 3;
    make(PAR_FIRST_FIRST, 0);
    put(1, 0);
    put(2, 0);
    par_lease one = lease(1, 1);
    par_pqueue_close(q);
    par_pqueue_close(q);
    ck_fails(par_pqueue_put(q, &value, sizeof value, 0, SOON), EPIPE);
    expect(2);
    ck_fails(par_pqueue_get(q, &value, sizeof value, par_in(0.01)), ETIMEDOUT); /* it may come back */
    ck_assert_int_eq(par_pqueue_nack(q, &one, SOON), 0);
    one = lease(1, 2);
    ck_assert_int_eq(par_pqueue_ack(q, &one, SOON), 0);
    ck_fails(par_pqueue_get(q, &value, sizeof value, SOON), EPIPE);
    par_pqueue_free(q);
}
END_TEST

START_TEST(wrong_use_is_told)
{
    volatile size_t one = 1;
    int value = 0;
    par_lease of = { 0 };
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .order = 3 }), EINVAL);
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .order = -1 }), EINVAL);
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .maxsize = (size_t)INT32_MAX + 1 }), EOVERFLOW);
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .item_size = SIZE_MAX }), EOVERFLOW);
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .maxsize = INT32_MAX, .item_size = UINT32_MAX }), EOVERFLOW);
    ck_fails_null(par_pqueue_new(&(par_pqueue_opts){ .maxsize = 1 << 20, .item_size = 1 << 20 }), ENOSPC);
    ck_fails(par_pqueue_put(NULL, &value, sizeof value, 0, SOON), EINVAL);
    ck_fails(par_pqueue_get(NULL, &value, sizeof value, SOON), EINVAL);
    ck_fails(par_pqueue_qsize(NULL), EINVAL);
    ck_fails(par_pqueue_leased((par_pqueue *)&value), EINVAL);
    make(PAR_FIRST_FIRST, 0);
    ck_fails(par_pqueue_put(q, NULL, one, 0, SOON), EINVAL);
    ck_fails(par_pqueue_get(q, NULL, one, SOON), EINVAL);
    ck_fails(par_pqueue_lease(q, &value, sizeof value, NULL, SOON), EINVAL);
    ck_fails(par_pqueue_ack(q, NULL, SOON), EINVAL);
    ck_fails(par_pqueue_ack(q, &of, SOON), ENOENT);
    ck_fails(par_pqueue_nack(q, &(par_lease){ .place = SIZE_MAX }, SOON), ENOENT);
    par_pqueue_free(q);
    ck_fails(par_pqueue_put(q, &value, sizeof value, 0, SOON), EINVAL);
    par_pqueue_free(q);
    par_pqueue_free(NULL);
    par_pqueue_close(NULL);
}
END_TEST

/* ---- leases */

START_TEST(item_on_lease_keeps_its_place_until_it_is_acknowledged)
{
    int value = 3;
    make(PAR_FIRST_FIRST, 2);
    put(1, 0);
    put(2, 0);
    par_lease one = lease(1, 1);
    ck_assert_int_eq(par_pqueue_qsize(q), 1);
    ck_assert_int_eq(par_pqueue_leased(q), 1);
    ck_fails(par_pqueue_put(q, &value, sizeof value, 0, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_pqueue_ack(q, &one, SOON), 0);
    ck_fails(par_pqueue_ack(q, &one, SOON), ENOENT);
    put(3, 0);
    ck_fails(par_pqueue_nack(q, &one, SOON), ENOENT);
    expect(2);
    expect(3);
    ck_assert_int_eq(par_pqueue_leased(q), 0);
    par_pqueue_free(q);
}
END_TEST

START_TEST(item_that_is_given_back_waits_where_it_was)
{
    make(PAR_LOWEST_FIRST, 0);
    put(1, 1);
    put(2, 2);
    par_lease one = lease(1, 1);
    ck_assert_int_eq(one.priority, 1);
    put(3, 1);
    par_lease three = lease(3, 1);
    ck_assert_int_eq(par_pqueue_nack(q, &three, SOON), 0);
    ck_assert_int_eq(par_pqueue_nack(q, &one, SOON), 0);
    ck_fails(par_pqueue_ack(q, &one, SOON), ENOENT);
    one = lease(1, 2);
    ck_assert_int_eq(one.lost_pid, 0);
    expect(3);
    expect(2);
    ck_assert_int_eq(par_pqueue_ack(q, &one, SOON), 0);
    par_pqueue_free(q);
}
END_TEST

static int
lease_one_and_sleep(void *arg)
{
    par_lease of;
    int value;
    if (par_pqueue_lease(q, &value, sizeof value, &of, SOON) < 0)
        return 1;
    atomic_store((_Atomic int *)arg, value);
    for (;;)
        (void)pause();
}

static pid_t
start_holder(_Atomic int *has)
{
    atomic_store(has, 0);
    pid_t child = fixture_fork(lease_one_and_sleep, (void *)has);
    for (int i = 0; i < 20000 && atomic_load(has) == 0; i++)
        (void)usleep(1000);
    ck_assert_int_ne(atomic_load(has), 0);
    return child;
}

START_TEST(item_whose_holder_is_killed_comes_back_and_tells_of_it)
{
    _Atomic int *has = fixture_shared(sizeof *has);
    make(PAR_FIRST_FIRST, 0);
    put(1, 0);
    put(2, 0);
    for (unsigned i = 1; i <= 3; i++) {
        pid_t holder = start_holder(has);
        ck_assert_int_eq(atomic_load(has), 1);
        ck_assert_int_eq(kill(holder, SIGKILL), 0);
        ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
        par_lease of;
        int got;
        do { /* it is looked for by and by */
            ck_assert_int_eq(par_pqueue_lease(q, &got, sizeof got, &of, SOON), sizeof got);
            ck_assert_int_eq(par_pqueue_nack(q, &of, SOON), 0);
        } while (got != 1);
        ck_assert_uint_eq(of.deliveries, 2 * i);
        ck_assert_int_eq(of.lost_pid, holder);
    }
    expect(1);
    expect(2);
    par_pqueue_free(q);
}
END_TEST

static void *
kill_later(void *arg)
{
    (void)usleep(30000);
    (void)kill(*(pid_t *)arg, SIGKILL);
    return NULL;
}

START_TEST(whoever_waits_for_what_a_dead_one_has_is_woken)
{
    _Atomic int *has = fixture_shared(sizeof *has);
    pthread_t thread;
    make(PAR_FIRST_FIRST, 0);
    put(7, 0);
    pid_t holder = start_holder(has);
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_later, &holder), 0);
    expect(7);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
    par_pqueue_free(q);
}
END_TEST

/* Also where there is always something else. */
START_TEST(what_a_dead_one_had_comes_back_although_the_queue_is_never_empty)
{
    _Atomic int *has = fixture_shared(sizeof *has);
    int got = 0, n = 0;
    make(PAR_FIRST_FIRST, 10);
    put(1, 0);
    pid_t holder = start_holder(has);
    ck_assert_int_eq(kill(holder, SIGKILL), 0);
    ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
    put(2, 0);
    put(2, 0);
    while (got != 1 && n++ < 20) {
        ck_assert_int_eq(par_pqueue_get(q, &got, sizeof got, SOON), sizeof got);
        put(2, 0);
    }
    ck_assert_int_eq(got, 1);
    par_pqueue_free(q);
}
END_TEST

static par_lease inherited;

static int
ack_what_is_not_mine(void *arg)
{
    (void)arg;
    if (par_pqueue_ack(q, &inherited, SOON) != -1 || errno != EPERM)
        return 1;
    return par_pqueue_nack(q, &inherited, SOON) == -1 && errno == EPERM ? 0 : 2;
}

START_TEST(lease_is_its_process_alone)
{
    make(PAR_FIRST_FIRST, 0);
    put(1, 0);
    inherited = lease(1, 1);
    ck_assert_int_eq(fixture_in_child(ack_what_is_not_mine, NULL), 0);
    ck_assert_int_eq(par_pqueue_ack(q, &inherited, SOON), 0);
    par_pqueue_free(q);
}
END_TEST

/* ---- many processes */

static _Atomic long *n_done;
static size_t before;

static int
work_until_the_end(void *arg)
{
    par_lease of;
    int value;
    (void)arg;
    while (par_pqueue_lease(q, &value, sizeof value, &of, SOON) >= 0) {
        atomic_fetch_add(&n_done[value], 1);
        if (par_pqueue_ack(q, &of, SOON) != 0)
            return 1;
    }
    return errno == EPIPE ? 0 : 2;
}

/* Consumers are killed at random; every item is done at least once, and but for the deaths once. */
START_TEST(no_item_is_lost_however_consumers_die)
{
    enum { N = 20000, DEATHS = 60 };
    pid_t child[2];
    long n_again = 0;
    n_done = fixture_shared(N * sizeof *n_done);
    make(PAR_LOWEST_FIRST, N);
    before = pari_heap_in_use();
    for (int i = 0; i < N; i++)
        put(i, i % 10);
    for (int i = 0; i < DEATHS; i++) {
        child[0] = fixture_fork(work_until_the_end, NULL);
        fixture_kill_after_us(child[0], 200 + fixture_random_below(1500));
        ck_assert_int_eq(fixture_wait(child[0]), -SIGKILL);
    }
    par_pqueue_close(q);
    for (int i = 0; i < 2; i++)
        child[i] = fixture_fork(work_until_the_end, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_ge(n_done[i], 1);
        n_again += n_done[i] - 1;
    }
    ck_assert_int_le(n_again, DEATHS);
    ck_assert_int_eq(par_pqueue_qsize(q), 0);
    ck_assert_int_eq(par_pqueue_leased(q), 0);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_pqueue_free(q);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("pqueue");
    TCase *order = fixture_thread_case(suite, "order"), *limits = fixture_thread_case(suite, "limits"),
          *leases = fixture_case(suite, "leases");

    tcase_add_test(order, lowest_number_comes_first_and_equal_ones_as_they_were_put);
    tcase_add_test(order, last_one_comes_first);
    tcase_add_test(order, first_one_comes_first);
    tcase_add_test(order, many_come_out_sorted);
    tcase_add_test(limits, items_come_whole_up_to_the_size_of_a_place);
    tcase_add_test(limits, full_and_empty_end_with_the_deadline_and_never_early);
    tcase_add_test(limits, whoever_waits_is_woken);
    tcase_add_test(limits, closed_queue_ends_when_nothing_waits_and_nothing_is_on_lease);
    tcase_add_test(limits, wrong_use_is_told);
    tcase_add_test(leases, item_on_lease_keeps_its_place_until_it_is_acknowledged);
    tcase_add_test(leases, item_that_is_given_back_waits_where_it_was);
    tcase_add_test(leases, item_whose_holder_is_killed_comes_back_and_tells_of_it);
    tcase_add_test(leases, whoever_waits_for_what_a_dead_one_has_is_woken);
    tcase_add_test(leases, what_a_dead_one_had_comes_back_although_the_queue_is_never_empty);
    tcase_add_test(leases, lease_is_its_process_alone);
    tcase_add_test(leases, no_item_is_lost_however_consumers_die);
    return fixture_run(suite);
}
