/* SPDX-License-Identifier: MIT
 *
 * test_wait.c: par_wait: pipes, queues, processes, futures and descriptors, alone and together, ready before or later, and dying.
 * _i of those that say so: 1 puts a descriptor of the program into the list, which is another way to sleep.
 */
#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/os/os.h"

#define SOON par_in(20)

static int bell[2]; /* of the program: [0] is never readable unless a test writes */

static void
open_bell(void)
{
    ck_assert_int_eq(pipe(bell), 0);
}

static void
close_bell(void)
{
    close(bell[0]);
    close(bell[1]);
}

static par_process *
start(int (*fn)(void *arg), const void *arg, size_t size)
{
    par_process *process = par_process_start(fn, arg, size, NULL);

    ck_assert_msg(process != NULL, "%s", par_error());
    return process;
}

static int
sleep_a_moment(void *arg)
{
    struct timespec moment = { 0, 30000000 };

    (void)nanosleep(&moment, NULL);
    return *(int *)arg;
}

static int
put_later(void *arg)
{
    int code = 0;

    (void)sleep_a_moment(&code);
    return par_queue_put(*(par_queue **)arg, "x", 1, SOON);
}

static int
stay(void *arg)
{
    (void)arg;
    while (pause() != 0)
        ;
    return 0;
}

/* ---- each alone */

START_TEST(message_in_a_pipe_is_ready_and_stays)
{
    par_conn *end[2];
    char byte;
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    par_waitable one = { .conn = end[0] };
    ck_fails(par_wait(&one, 1, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_wait(&one, 1, par_in(0.02)), ETIMEDOUT);
    ck_assert(!one.is_ready);
    ck_assert_int_eq(par_conn_send(end[1], "x", 1, SOON), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(par_wait(&one, 1, SOON), 1);
        ck_assert(one.is_ready);
    }
    ck_assert_int_eq(par_conn_recv(end[0], &byte, 1, PAR_NOWAIT), 1);
    ck_fails(par_wait(&one, 1, PAR_NOWAIT), ETIMEDOUT);
    par_conn_close(end[1]);
    ck_assert_int_eq(par_wait(&one, 1, SOON), 1); /* the end */
    par_conn_close(end[0]);
}
END_TEST

START_TEST(queue_is_ready_by_a_message_or_its_end)
{
    par_queue *q = par_queue_new(NULL);
    par_waitable one = { .queue = q };
    ck_fails(par_wait(&one, 1, par_in(0.02)), ETIMEDOUT);
    par_process *process = start(put_later, &q, sizeof(void *));
    ck_assert_int_eq(par_wait(&one, 1, SOON), 1);
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    par_queue_close(q);
    ck_assert_int_eq(par_wait(&one, 1, SOON), 1);
    ck_assert_int_eq(par_process_join(process, SOON), 0);
    par_process_free(process);
    par_queue_free(q);
}
END_TEST

START_TEST(end_of_a_process_is_ready)
{
    int code = 3;
    par_process *a = start(sleep_a_moment, &code, sizeof code), *b = start(stay, NULL, 0);
    par_waitable list[] = { { .process = b }, { .process = a } };
    ck_assert_int_eq(par_wait(list, 2, SOON), 1);
    ck_assert(!list[0].is_ready && list[1].is_ready);
    ck_assert_int_eq(par_process_exitcode(a), 3);
    ck_assert_int_eq(par_process_kill(b), 0);
    ck_assert_int_eq(par_wait(list, 1, SOON), 1);
    ck_assert_int_eq(par_process_exitcode(b), -SIGKILL);
    par_process_free(a);
    par_process_free(b);
}
END_TEST

static int
work(const void *in, void *out, void *ctx)
{
    int code = *(const int *)in;

    (void)ctx;
    if (code < 0)
        raise(SIGKILL);
    *(int *)out = sleep_a_moment(&code);
    return 0;
}

START_TEST(future_is_ready_also_by_its_workers_death)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 1 });
    int in[] = { 7, -1 }, out;
    for (int i = 0; i < 2; i++) {
        par_future *future = par_pool_submit(pool, work, &in[i], sizeof(int));
        par_waitable list[] = { { .future = future }, { .fd = bell[0], .events = POLLIN } };
        open_bell();
        list[1].fd = bell[0];
        ck_assert_int_eq(par_wait(list, _i == 1 ? 2 : 1, SOON), 1);
        ck_assert(list[0].is_ready);
        ck_assert_int_eq(par_future_get(future, &out, PAR_NOWAIT), i);
        par_future_free(future);
        close_bell();
    }
    par_pool_free(pool);
}
END_TEST

START_TEST(descriptor_is_ready_as_poll_says)
{
    open_bell();
    par_waitable list[] = { { .fd = bell[0], .events = POLLIN }, { .fd = bell[1], .events = POLLOUT } };
    ck_assert_int_eq(par_wait(list, 2, SOON), 1);
    ck_assert(!list[0].is_ready && list[1].is_ready);
    ck_fails(par_wait(list, 1, par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(write(bell[1], "x", 1), 1);
    ck_assert_int_eq(par_wait(list, 2, SOON), 2);
    list[0].fd = 9999; /* not open: an error is ready, too */
    ck_assert_int_eq(par_wait(list, 1, SOON), 1);
    close_bell();
}
END_TEST

/* ---- together */

struct late {
    par_conn *end;
    par_queue *queue;
    int which;
};

static void *
do_later(void *arg)
{
    struct late *late = arg;
    int code = 0;

    (void)sleep_a_moment(&code);
    if (late->which == 0)
        code = par_conn_send(late->end, "x", 1, SOON);
    if (late->which == 1)
        code = par_queue_put(late->queue, "x", 1, SOON);
    if (late->which == 2)
        code = write(bell[1], "x", 1) == 1 ? 0 : -1;
    return (void *)(intptr_t)code;
}

/* Each of the first three comes, the others do not. */
START_TEST(first_of_many_wakes)
{
    par_conn *end[2];
    pthread_t thread;
    void *result;
    open_bell();
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    struct late late = { end[1], par_queue_new(NULL), 0 };
    par_process *process = start(stay, NULL, 0);
    par_waitable list[] = {
        { .conn = end[0] }, { .queue = late.queue }, { .process = process }, { .fd = bell[0], .events = POLLIN }
    };
    for (late.which = 0; late.which < 2 + _i; late.which++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, do_later, &late), 0);
        ck_assert_int_eq(par_wait(list, (size_t)(3 + _i), SOON), 1);
        ck_assert(list[late.which == 2 ? 3 : late.which].is_ready);
        ck_assert_int_eq(pthread_join(thread, &result), 0);
        ck_assert_ptr_null(result);
        if (late.which == 0)
            ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
        if (late.which == 1)
            ck_assert_int_eq(par_queue_skip(late.queue, PAR_NOWAIT), 0);
        if (late.which == 2)
            ck_assert_int_eq(read(bell[0], &(char){ 0 }, 1), 1);
    }
    ck_fails(par_wait(list, (size_t)(3 + _i), par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(par_wait(list, (size_t)(3 + _i), SOON), 1);
    ck_assert(list[2].is_ready);
    par_process_free(process);
    par_conn_close(end[0]);
    par_conn_close(end[1]);
    par_queue_free(late.queue);
    close_bell();
}
END_TEST

/* More than a list of words can hold; the last one is found by looking. */
START_TEST(hundreds_of_queues)
{
    enum { N = 300 };
    par_waitable list[N] = { { .conn = NULL } };
    for (int i = 0; i < N; i++)
        list[i].queue = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    par_process *process = start(put_later, &list[N - 1].queue, sizeof(void *));
    ck_assert_int_eq(par_wait(list, N, SOON), 1);
    ck_assert(list[N - 1].is_ready);
    ck_assert_int_eq(par_process_join(process, SOON), 0);
    par_process_free(process);
    for (int i = 0; i < N; i++)
        par_queue_free(list[i].queue);
}
END_TEST

static int
die_with_an_end(void *arg)
{
    int code = 0;

    (void)arg;
    (void)sleep_a_moment(&code);
    return raise(SIGKILL);
}

START_TEST(death_at_the_other_end_is_ready)
{
    par_conn *end[2];
    par_queue *q = par_queue_new(NULL);
    open_bell();
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    par_process *process = par_process_start(die_with_an_end, NULL, 0, &(par_process_opts){ .give = { end[1] } });
    ck_assert_ptr_nonnull(process);
    par_waitable list[] = { { .conn = end[0] }, { .queue = q }, { .fd = bell[0], .events = POLLIN } };
    ck_assert_int_eq(par_wait(list, (size_t)(2 + _i), SOON), 1);
    ck_assert(list[0].is_ready);
    ck_fails(par_conn_recv(end[0], &(char){ 0 }, 1, PAR_NOWAIT), EPIPE);
    ck_assert_int_eq(par_process_join(process, SOON), 0);
    par_process_free(process);
    par_conn_close(end[0]);
    par_queue_free(q);
    close_bell();
}
END_TEST

static enum pari_call failing_call;

static int
fail_call(enum pari_call call)
{
    return call == failing_call ? ENOSYS : 0;
}

START_TEST(kernel_that_cannot_sleep_on_several)
{
    par_queue *q[2] = { par_queue_new(NULL), par_queue_new(NULL) };
    par_waitable list[] = { { .queue = q[0] }, { .queue = q[1] } };
    failing_call = PARI_CALL_FUTEX_WAITV;
    pari_fault_hook = fail_call;
    par_process *process = start(put_later, &q[1], sizeof(void *));
    ck_assert_int_eq(par_wait(list, 2, SOON), 1);
    ck_assert(list[1].is_ready);
    pari_fault_hook = NULL;
    ck_assert_int_eq(par_process_join(process, SOON), 0);
    par_process_free(process);
    par_queue_free(q[0]);
    par_queue_free(q[1]);
}
END_TEST

static void *
interrupt_later(void *arg)
{
    int code = 0;

    (void)arg;
    (void)sleep_a_moment(&code);
    par_interrupt(true);
    return NULL;
}

START_TEST(interrupt_ends_the_wait)
{
    pthread_t thread;
    par_queue *q = par_queue_new(NULL);
    open_bell();
    par_waitable list[] = { { .queue = q }, { .fd = bell[0], .events = POLLIN } };
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_later, NULL), 0);
    ck_fails(par_wait(list, (size_t)(1 + _i), SOON), EINTR);
    par_interrupt(false);
    pthread_join(thread, NULL);
    par_queue_free(q);
    close_bell();
}
END_TEST

static int
wait_for_parents_end(void *arg)
{
    par_waitable one = { .conn = *(par_conn **)arg };

    return par_wait(&one, 1, SOON) == -1 && errno == EPERM ? 0 : 1;
}

START_TEST(wrong_use)
{
    par_conn *end[2];
    par_queue *q = par_queue_new(NULL);
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    par_waitable none = { .fd = 0 }, two = { .queue = q, .conn = end[0] }, sender = { .conn = end[1] },
                 wrong = { .queue = (par_queue *)(void *)end[0] };
    ck_fails(par_wait(&none, 1, SOON), EINVAL);
    ck_fails(par_wait(&two, 1, SOON), EINVAL);
    ck_fails(par_wait(&sender, 1, SOON), EBADF);
    ck_fails(par_wait(&wrong, 1, SOON), EINVAL);
    ck_fails(par_wait(NULL, 1, SOON), EINVAL);
    ck_fails(par_wait(&two, 0, SOON), EINVAL);
    ck_assert_int_eq(fixture_in_child(wait_for_parents_end, &end[0]), 0);
    par_conn_close(end[0]);
    par_waitable closed = { .conn = end[0] };
    ck_fails(par_wait(&closed, 1, SOON), EBADF);
    par_conn_close(end[1]);
    par_queue_free(q);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("wait");
    TCase *alone = fixture_case(suite, "alone"), *together = fixture_case(suite, "together");

    tcase_add_test(alone, message_in_a_pipe_is_ready_and_stays);
    tcase_add_test(alone, queue_is_ready_by_a_message_or_its_end);
    tcase_add_test(alone, end_of_a_process_is_ready);
    tcase_add_loop_test(alone, future_is_ready_also_by_its_workers_death, 0, 2);
    tcase_add_test(alone, descriptor_is_ready_as_poll_says);
    tcase_add_loop_test(together, first_of_many_wakes, 0, 2);
    tcase_add_test(together, hundreds_of_queues);
    tcase_add_loop_test(together, death_at_the_other_end_is_ready, 0, 2);
    tcase_add_test(together, kernel_that_cannot_sleep_on_several);
    tcase_add_loop_test(together, interrupt_ends_the_wait, 0, 2);
    tcase_add_test(together, wrong_use);
    return fixture_run(suite);
}
