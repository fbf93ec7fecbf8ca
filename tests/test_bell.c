/* SPDX-License-Identifier: MIT
 *
 * test_bell.c: the descriptors of queues and futures, for the event loops of programs.
 */
#include "fixture.h"

#include <par/future.h>
#include <par/pool.h>
#include <par/pqueue.h>
#include <par/queue.h>

#include "../libpar/shm/arena.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#define SOON par_in(20)

static par_queue *q;
static par_pqueue *pq;

static bool
is_readable(int fd, int ms)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, ms) == 1;
}

static void
expect_none(void)
{
    int got;
    ck_fails(par_queue_get(q, &got, sizeof got, PAR_NOWAIT), ETIMEDOUT);
}

/* It is readable twice a second in any case: not at this very moment. */
static void
expect_quiet(int fd)
{
    for (int i = 0; i < 20; i++) {
        expect_none();
        if (!is_readable(fd, 0))
            return;
    }
    ck_abort_msg("readable again and again");
}

static void
begin(void)
{
    q = par_queue_new(NULL);
    ck_assert_ptr_nonnull(q);
}

/* ---- queues */

START_TEST(descriptor_is_readable_when_there_is_a_message)
{
    int got, fd;
    begin();
    fd = par_queue_fileno(q);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(par_queue_fileno(q), fd);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ck_assert(is_readable(fd, 0)); /* look once */
    expect_quiet(fd);
    ck_assert_int_eq(par_queue_put(q, &fd, sizeof fd, SOON), 0);
    ck_assert(is_readable(fd, 0));
    ck_assert(is_readable(fd, 0)); /* until it was looked at */
    ck_assert_int_eq(par_queue_get(q, &got, sizeof got, PAR_NOWAIT), sizeof got);
    expect_quiet(fd);
    par_queue_free(q);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(message_that_was_there_before_is_told)
{
    int fd = 1;
    begin();
    ck_assert_int_eq(par_queue_put(q, &fd, sizeof fd, SOON), 0);
    fd = par_queue_fileno(q);
    ck_assert(is_readable(fd, 0));
    par_queue_free(q);
}
END_TEST

static par_queue *answers;

static int
echo(void *arg)
{
    int got;
    (void)arg;
    while (par_queue_get(q, &got, sizeof got, SOON) == sizeof got)
        if (par_queue_put(answers, &got, sizeof got, SOON) != 0)
            return 1;
    return errno == EPIPE ? 0 : 2;
}

/* Were a ring lost, each round would take half a second, and all of them longer than a test may. */
START_TEST(each_put_of_another_process_is_told_at_once)
{
    int got, fd;
    begin();
    ck_assert_ptr_nonnull(answers = par_queue_new(NULL));
    fd = par_queue_fileno(answers);
    pid_t child = fixture_fork(echo, NULL);
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(par_queue_put(q, &i, sizeof i, SOON), 0);
        while (par_queue_get(answers, &got, sizeof got, PAR_NOWAIT) < 0) {
            ck_assert_int_eq(errno, ETIMEDOUT);
            ck_assert(is_readable(fd, 20000));
        }
        ck_assert_int_eq(got, i);
    }
    par_queue_close(q);
    ck_assert_int_eq(fixture_wait(child), 0);
    par_queue_free(q);
    par_queue_free(answers);
}
END_TEST

START_TEST(close_is_told)
{
    int got, fd;
    begin();
    fd = par_queue_fileno(q);
    expect_quiet(fd);
    par_queue_close(q);
    ck_assert(is_readable(fd, 0));
    ck_fails(par_queue_get(q, &got, sizeof got, PAR_NOWAIT), EPIPE);
    par_queue_free(q);
}
END_TEST

static int
look_at_one_of_my_own(void *arg)
{
    int fd;
    if (fcntl(*(int *)arg, F_GETFD) != -1)
        return 1; /* the parent's is not here */
    fd = par_queue_fileno(q);
    if (fd < 0 || !is_readable(fd, 0))
        return 2;
    return par_queue_get(q, &fd, sizeof fd, PAR_NOWAIT) == -1 && errno == ETIMEDOUT ? 0 : 3;
}

START_TEST(forked_child_gets_its_own)
{
    int fd;
    begin();
    fd = par_queue_fileno(q);
    ck_assert_int_ge(fd, 0);
    expect_quiet(fd);
    ck_assert_int_eq(fixture_in_child(look_at_one_of_my_own, &fd), 0);
    ck_assert_int_eq(par_queue_put(q, &fd, sizeof fd, SOON), 0);
    ck_assert(is_readable(fd, 0));
    par_queue_free(q);
}
END_TEST

static _Atomic int *n_there;

static int
have_one_and_wait(void *arg)
{
    (void)arg;
    int fd = par_queue_fileno(q);
    int error = errno;
    atomic_fetch_add(n_there, 1);
    if (fd < 0)
        return error;
    for (;;)
        (void)pause();
}

static pid_t
start_holder(void)
{
    int before = atomic_load(n_there);
    pid_t child = fixture_fork(have_one_and_wait, NULL);
    for (int i = 0; i < 20000 && atomic_load(n_there) == before; i++)
        (void)usleep(1000);
    ck_assert_int_eq(atomic_load(n_there), before + 1);
    return child;
}

START_TEST(places_of_the_dead_are_given_again)
{
    pid_t holder[PARI_MAX_BELLS];
    int value = 1;
    begin();
    n_there = fixture_shared(sizeof *n_there);
    for (int i = 0; i < PARI_MAX_BELLS; i++)
        holder[i] = start_holder();
    ck_fails(par_queue_fileno(q), ENOSPC);
    ck_assert_int_eq(kill(holder[3], SIGKILL), 0);
    ck_assert_int_eq(fixture_wait(holder[3]), -SIGKILL);
    ck_assert_int_ge(par_queue_fileno(q), 0);
    ck_assert_int_eq(par_queue_put(q, &value, sizeof value, SOON), 0);
    for (int i = 0; i < PARI_MAX_BELLS; i++)
        if (i != 3) {
            ck_assert_int_eq(kill(holder[i], SIGKILL), 0);
            ck_assert_int_eq(fixture_wait(holder[i]), -SIGKILL);
        }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(par_queue_get(q, &value, sizeof value, PAR_NOWAIT), sizeof value);
        expect_quiet(par_queue_fileno(q));
        ck_assert_int_eq(par_queue_put(q, &value, sizeof value, SOON), 0); /* rings the dead for nothing */
    }
    par_queue_free(q);
}
END_TEST

static int
count_open(void)
{
    int n = 0;
    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

static int
free_what_i_made(void *arg)
{
    par_queue **made = arg;
    *made = par_queue_new(NULL);
    if (*made == NULL)
        return 1;
    atomic_store(n_there, 1);
    while (atomic_load(n_there) != 2)
        (void)usleep(100);
    par_queue_free(*made);
    return 0;
}

/* The descriptor of a queue that its maker frees elsewhere is closed when the next one is asked for. */
START_TEST(descriptor_of_what_is_gone_is_closed_by_and_by)
{
    par_queue **made = fixture_shared(sizeof(par_queue *));
    n_there = fixture_shared(sizeof *n_there);
    begin();
    pid_t maker = fixture_fork(free_what_i_made, made);
    while (atomic_load(n_there) != 1)
        (void)usleep(100);
    ck_assert_int_ge(par_queue_fileno(*made), 0);
    int n_open = count_open();
    atomic_store(n_there, 2);
    ck_assert_int_eq(fixture_wait(maker), 0);
    ck_assert_int_ge(par_queue_fileno(q), 0);
    ck_assert_int_eq(count_open(), n_open);
    par_queue_free(q);
}
END_TEST

START_TEST(many_queues_in_one_epoll)
{
    enum { N = 50 };
    par_queue *queue[N];
    struct epoll_event event = { .events = EPOLLIN };
    int got, n = 0, loop = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < N; i++) {
        ck_assert_ptr_nonnull(queue[i] = par_queue_new(&(par_queue_opts){ .capacity = 4096 }));
        event.data.ptr = queue[i];
        ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, par_queue_fileno(queue[i]), &event), 0);
    }
    for (int i = 0; i < N; i += 2)
        ck_assert_int_eq(par_queue_put(queue[i], &i, sizeof i, SOON), 0);
    while (n < N / 2) {
        ck_assert_int_eq(epoll_wait(loop, &event, 1, 20000), 1);
        while (par_queue_get(event.data.ptr, &got, sizeof got, PAR_NOWAIT) == sizeof got)
            n++;
    }
    for (int i = 0; i < N; i++)
        par_queue_free(queue[i]);
    close(loop);
}
END_TEST

START_TEST(wrong_use_is_told)
{
    ck_fails(par_queue_fileno(NULL), EINVAL);
    ck_fails(par_pqueue_fileno(NULL), EINVAL);
    ck_fails(par_future_fileno(NULL), EINVAL);
}
END_TEST

/* ---- queues with an order */

static int
lease_and_sleep(void *arg)
{
    par_lease lease;
    int got;
    (void)arg;
    if (par_pqueue_lease(pq, &got, sizeof got, &lease, SOON) < 0)
        return 1;
    atomic_store(n_there, 1);
    for (;;)
        (void)pause();
}

START_TEST(what_comes_back_from_the_dead_is_told)
{
    int got = 0, fd;
    n_there = fixture_shared(sizeof *n_there);
    pq = par_pqueue_new(&(par_pqueue_opts){ .item_size = sizeof(int) });
    ck_assert_ptr_nonnull(pq);
    fd = par_pqueue_fileno(pq);
    ck_assert_int_ge(fd, 0);
    ck_fails(par_pqueue_get(pq, &got, sizeof got, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_pqueue_put(pq, &fd, sizeof fd, 0, SOON), 0);
    ck_assert(is_readable(fd, 0));
    pid_t child = fixture_fork(lease_and_sleep, NULL);
    while (atomic_load(n_there) != 1)
        (void)usleep(100);
    ck_fails(par_pqueue_get(pq, &got, sizeof got, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    while (par_pqueue_get(pq, &got, sizeof got, PAR_NOWAIT) < 0)
        ck_assert(is_readable(fd, 20000));
    ck_assert_int_eq(got, fd);
    par_pqueue_free(pq);
}
END_TEST

/* ---- futures */

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static int
die(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    (void)usleep(20000);
    return raise(SIGKILL);
}

START_TEST(loop_over_the_tasks_of_a_pool)
{
    enum { N = 60 };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .backend = _i });
    par_future *future[N];
    int n_left = N, result;
    ck_assert_ptr_nonnull(pool);
    for (int i = 0; i < N; i++)
        ck_assert_ptr_nonnull(future[i] = par_pool_submit(pool, square, &i, sizeof(int)));
    while (n_left > 0) {
        int fd = -1;
        for (int i = 0; i < N && fd < 0; i++)
            if (future[i] != NULL)
                fd = par_future_fileno(future[i]);
        ck_assert_int_ge(fd, 0);
        for (int i = 0; i < N; i++)
            if (future[i] != NULL && par_future_done(future[i]) == 1) {
                ck_assert_int_eq(par_future_get(future[i], &result, PAR_NOWAIT), 0);
                ck_assert_int_eq(result, i * i);
                par_future_free(future[i]);
                future[i] = NULL;
                n_left--;
            }
        if (n_left > 0)
            ck_assert(is_readable(fd, 20000));
    }
    par_pool_free(pool);
}
END_TEST

/* Nobody else in this process looks after the pool. */
START_TEST(death_of_a_worker_is_told)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 1 });
    int in = 1, fd;
    ck_assert_ptr_nonnull(pool);
    par_future *future = par_pool_submit(pool, die, &in, sizeof(int));
    ck_assert_ptr_nonnull(future);
    while (fd = par_future_fileno(future), par_future_done(future) == 0)
        ck_assert(is_readable(fd, 20000));
    par_status status;
    ck_assert_int_eq(par_future_status(future, &status), 0);
    ck_assert_int_eq(status.state, PAR_LOST);
    ck_assert_int_eq(status.signal, SIGKILL);
    par_pool_free(pool);
    ck_fails(par_future_fileno(future), EPIPE);
    par_future_free(future);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("bell");
    TCase *queues = fixture_case(suite, "queues"), *futures = fixture_case(suite, "futures");

    tcase_add_test(queues, descriptor_is_readable_when_there_is_a_message);
    tcase_add_test(queues, message_that_was_there_before_is_told);
    tcase_add_test(queues, each_put_of_another_process_is_told_at_once);
    tcase_add_test(queues, close_is_told);
    tcase_add_test(queues, forked_child_gets_its_own);
    tcase_add_test(queues, places_of_the_dead_are_given_again);
    tcase_add_test(queues, descriptor_of_what_is_gone_is_closed_by_and_by);
    tcase_add_test(queues, many_queues_in_one_epoll);
    tcase_add_test(queues, wrong_use_is_told);
    tcase_add_test(queues, what_comes_back_from_the_dead_is_told);
    tcase_add_loop_test(futures, loop_over_the_tasks_of_a_pool, PAR_PROCESSES, PAR_THREADS + 1);
    tcase_add_test(futures, death_of_a_worker_is_told);
    return fixture_run(suite);
}
