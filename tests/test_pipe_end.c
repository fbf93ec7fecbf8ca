/* SPDX-License-Identifier: MIT
 *
 * test_pipe_end.c: pipes whose other end dies by force, at any moment.
 */
#include "fixture.h"

#include <par.h>
#include <poll.h>
#include <signal.h>

#include "../libpar/shm/arena.h"

#define N_KILLS 120

static par_conn *end[2];

static par_process *
start_with(int (*fn)(void *arg), par_conn *c)
{
    par_process *p = par_process_start(fn, c, 0, &(par_process_opts){ .give = { c } });

    ck_assert_ptr_nonnull(p);
    return p;
}

static void
reap(par_process *p, int expected)
{
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), expected);
    par_process_free(p);
}

static void
kill_after_us(par_process *p, unsigned us)
{
    fixture_kill_after_us(par_process_pid(p), us);
    reap(p, -SIGKILL);
}

static int
sleep_for_ever(void *arg)
{
    (void)arg;
    while (pause() != 0) /* always: a signal came */
        ;
    return 0;
}

static int
send_once_then_sleep(void *arg)
{
    if (par_conn_send(arg, "x", 1, par_in(20)) != 0)
        return 1;
    return sleep_for_ever(arg);
}

/* ---- one death */

START_TEST(receiver_gets_the_rest_and_epipe_after_the_senders_death)
{
    par_process *p;
    char c;

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    p = start_with(send_once_then_sleep, end[1]);
    ck_assert_int_eq(par_conn_recv(end[0], &c, 1, par_in(20)), 1);
    par_process_kill(p);
    ck_fails(par_conn_recv(end[0], &c, 1, par_in(20)), EPIPE);
    reap(p, -SIGKILL);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_FOREVER), EPIPE);
    par_conn_free(end[0]);
}
END_TEST

static int
receive_once_then_die_unmarked(void *arg)
{
    char c;

    if (par_conn_recv(arg, &c, 1, par_in(20)) != 1)
        return 1;
    fixture_die_unmarked();
}

START_TEST(death_that_the_kernel_did_not_mark_ends_the_pipe_both_ways)
{
    par_process *p;
    char c;

    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .duplex = true }), 0);
    p = start_with(receive_once_then_die_unmarked, end[1]);
    ck_assert_int_eq(par_conn_send(end[0], "x", 1, par_in(20)), 0);
    ck_fails(par_conn_recv(end[0], &c, 1, par_in(20)), EPIPE); /* though it is a zombie by then */
    ck_fails(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EPIPE);
    reap(p, -SIGKILL);
    ck_fails(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EPIPE);
    par_conn_free(end[0]);
}
END_TEST

START_TEST(death_that_the_kernel_did_not_mark_ends_the_pipe_when_it_is_reaped)
{
    par_process *p;

    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .duplex = true }), 0);
    p = start_with(receive_once_then_die_unmarked, end[1]);
    ck_assert_int_eq(par_conn_send(end[0], "x", 1, par_in(20)), 0);
    reap(p, -SIGKILL);
    ck_fails(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EPIPE);
    par_conn_free(end[0]);
}
END_TEST

START_TEST(sender_that_waits_for_room_gets_epipe_when_the_receiver_dies)
{
    par_process *p;

    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }), 0);
    p = start_with(sleep_for_ever, end[0]);
    while (par_conn_send(end[1], "abcd", 4, PAR_NOWAIT) == 0)
        ;
    ck_assert_int_eq(errno, ETIMEDOUT);
    par_process_kill(p);
    ck_fails(par_conn_send(end[1], "abcd", 4, par_in(20)), EPIPE);
    reap(p, -SIGKILL);
    par_conn_free(end[1]);
}
END_TEST

static int
leave_without_a_word(void *arg)
{
    (void)arg;
    _exit(3);
}

START_TEST(child_that_exits_without_closing_ends_the_stream)
{
    par_process *p;
    char c;

    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .duplex = true }), 0);
    p = start_with(leave_without_a_word, end[0]);
    ck_fails(par_conn_recv(end[1], &c, 1, par_in(20)), EPIPE);
    ck_fails(par_conn_send(end[1], "x", 1, PAR_FOREVER), EPIPE);
    reap(p, 3);
    par_conn_free(end[1]);
}
END_TEST

/* The sender's own child has inherited what there is to inherit, and lives on. */
static int
fork_then_tell(void *arg)
{
    pid_t child = fork();

    if (child < 0)
        return 1;
    if (child == 0) {
        (void)poll(NULL, 0, 1500);
        _exit(0);
    }
    return send_once_then_sleep(arg);
}

START_TEST(inherited_copies_do_not_hide_a_death)
{
    par_process *p, *sibling;
    struct pollfd watch = { .events = POLLIN };
    char c;

    fixture_expect_orphans();
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    sibling = par_process_start(sleep_for_ever, NULL, 0, NULL);
    ck_assert_ptr_nonnull(sibling);
    p = start_with(fork_then_tell, end[1]);
    watch.fd = par_conn_fileno(end[0]);
    ck_assert_int_eq(par_conn_recv(end[0], &c, 1, par_in(20)), 1);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(poll(&watch, 1, 0), 0);
    kill_after_us(p, 0);
    ck_assert_int_eq(poll(&watch, 1, 1000), 1);
    ck_fails(par_conn_recv(end[0], &c, 1, par_in(0.4)), EPIPE);
    kill_after_us(sibling, 0);
    par_conn_free(end[0]);
}
END_TEST

START_TEST(end_of_a_dead_child_is_freed_in_either_order)
{
    size_t before = 0;

    for (int round = 0; round < 6; round++) {
        ck_assert_int_eq(par_pipe(end, NULL), 0);
        reap(start_with(leave_without_a_word, end[0]), 3);
        par_conn_free(end[round % 2]);
        par_conn_free(end[1 - round % 2]);
        if (round == 1)
            before = pari_heap_in_use();
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(both_children_dead_and_the_parent_frees)
{
    size_t before;

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    before = pari_heap_in_use();
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    reap(start_with(leave_without_a_word, end[0]), 3);
    reap(start_with(leave_without_a_word, end[1]), 3);
    par_conn_free(end[1]);
    par_conn_free(end[0]);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- many deaths, at any instruction */

static uint32_t
length_of(uint32_t i)
{
    return i % 13 == 12 ? 1200 + i % 3000 : 1 + i % 40; /* in words; the long ones are bodies in a ring of 16 KiB */
}

static int
send_numbers(void *arg)
{
    static uint32_t message[4300];

    for (uint32_t i = 0;; i++) {
        for (uint32_t k = 0; k < length_of(i); k++)
            message[k] = i;
        if (par_conn_send(arg, message, length_of(i) * sizeof i, par_in(20)) != 0)
            return 1;
    }
}

static bool
is_number(const uint32_t *message, ssize_t n, uint32_t i)
{
    if (n != (ssize_t)(length_of(i) * sizeof i))
        return false;
    for (uint32_t k = 0; k < length_of(i); k++)
        if (message[k] != i)
            return false;
    return true;
}

START_TEST(sender_killed_at_any_moment_leaves_a_prefix_of_what_it_sent)
{
    static uint32_t message[4300];
    size_t before = 0;

    for (int kills = 0; kills < N_KILLS; kills++) {
        uint32_t expected = 0;
        par_process *p;
        ssize_t n;
        ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .capacity = 16384 }), 0);
        p = start_with(send_numbers, end[1]);
        if (kills % 2) /* the ring is full most of the time, or empty */
            kill_after_us(p, fixture_random_below(3000));
        else {
            for (uint32_t last = fixture_random_below(300); expected < last; expected++)
                ck_assert(is_number(message, par_conn_recv(end[0], message, sizeof message, par_in(20)), expected));
            kill_after_us(p, fixture_random_below(100));
        }
        while ((n = par_conn_recv(end[0], message, sizeof message, par_in(20))) >= 0)
            ck_assert(is_number(message, n, expected++));
        ck_assert_int_eq(errno, EPIPE);
        par_conn_free(end[0]);
        if (kills == 0)
            before = pari_heap_in_use();
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

static int
receive_numbers(void *arg)
{
    static uint32_t message[4300];
    ssize_t n;

    for (uint32_t i = 0; (n = par_conn_recv(arg, message, sizeof message, par_in(20))) >= 0; i++)
        if (!is_number(message, n, i))
            return 1;
    return 2;
}

START_TEST(receiver_killed_at_any_moment_ends_the_sender_and_leaks_nothing)
{
    static uint32_t message[4300];
    size_t before = 0;

    for (int kills = 0; kills < N_KILLS; kills++) {
        par_process *p;
        par_time stop;
        int result = 0;
        ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .capacity = 16384 }), 0);
        p = start_with(receive_numbers, end[0]);
        stop = par_in(fixture_random_below(1500) * 1e-6);
        for (uint32_t i = 0; result == 0; i++) {
            for (uint32_t k = 0; k < length_of(i); k++)
                message[k] = i;
            result = par_conn_send(end[1], message, length_of(i) * sizeof i, par_in(20));
            if (stop.ns != 0 && par_now().ns > stop.ns) {
                par_process_kill(p);
                stop = PAR_FOREVER;
            }
        }
        ck_assert_int_eq(errno, EPIPE);
        reap(p, -SIGKILL);
        par_conn_free(end[1]);
        if (kills == 0)
            before = pari_heap_in_use();
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("pipe_end");
    TCase *tcase = fixture_case(suite, "one death");

    tcase_add_test(tcase, receiver_gets_the_rest_and_epipe_after_the_senders_death);
    tcase_add_test(tcase, death_that_the_kernel_did_not_mark_ends_the_pipe_both_ways);
    tcase_add_test(tcase, death_that_the_kernel_did_not_mark_ends_the_pipe_when_it_is_reaped);
    tcase_add_test(tcase, sender_that_waits_for_room_gets_epipe_when_the_receiver_dies);
    tcase_add_test(tcase, child_that_exits_without_closing_ends_the_stream);
    tcase_add_test(tcase, inherited_copies_do_not_hide_a_death);
    tcase_add_test(tcase, end_of_a_dead_child_is_freed_in_either_order);
    tcase_add_test(tcase, both_children_dead_and_the_parent_frees);

    tcase = fixture_case(suite, "many deaths");
    tcase_add_test(tcase, sender_killed_at_any_moment_leaves_a_prefix_of_what_it_sent);
    tcase_add_test(tcase, receiver_killed_at_any_moment_ends_the_sender_and_leaks_nothing);
    return fixture_run(suite);
}
