/* SPDX-License-Identifier: MIT
 *
 * test_parcel.c: descriptors and pipe ends that are sent through a pipe.
 */
#include "fixture.h"

#include <par.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "../libpar/shm/arena.h"

static par_conn *end[2], *other[2];

static void
make_pipes(void)
{
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    ck_assert_int_eq(par_pipe(other, NULL), 0);
}

static void
free_pipes(void)
{
    for (int i = 0; i < 2; i++) {
        par_conn_free(end[i]);
        par_conn_free(other[i]);
    }
}

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

/* ---- descriptors */

static int
write_into_what_comes(void *arg)
{
    int fd = par_conn_recv_fd(arg, par_in(20));
    if (fd < 0)
        return 1;
    return write(fd, "hello", 5) == 5 ? 0 : 2;
}

START_TEST(child_writes_through_a_descriptor_that_it_received)
{
    int fd[2];
    char text[6] = "";
    make_pipes();
    ck_assert_int_eq(pipe(fd), 0);
    par_process *p = start_with(write_into_what_comes, end[0]);
    ck_assert_int_eq(par_conn_send_fd(end[1], fd[1], par_in(20)), 0);
    reap(p, 0);
    close(fd[1]);
    ck_assert_int_eq(read(fd[0], text, 5), 5);
    ck_assert_str_eq(text, "hello");
    ck_assert_int_eq(read(fd[0], text, 1), 0); /* no other copy is open */
    close(fd[0]);
    free_pipes();
}
END_TEST

START_TEST(descriptors_keep_their_places_among_messages)
{
    char c;
    make_pipes();
    for (int round = 0; round < 20; round++) { /* more than are kept at a time */
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(par_conn_send(end[1], "a", 1, PAR_NOWAIT), 0);
        ck_assert_int_eq(par_conn_send_fd(end[1], fd, PAR_NOWAIT), 0);
        ck_assert_int_eq(par_conn_send(end[1], "b", 1, PAR_NOWAIT), 0);
        close(fd);
    }
    (void)par_conn_fileno(end[0]);
    for (int round = 0; round < 20; round++) {
        ck_fails(par_conn_recv_fd(end[0], PAR_NOWAIT), EBADMSG);
        ck_assert_int_eq(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), 1);
        ck_assert_int_eq(c, 'a');
        ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), EBADMSG);
        if (round % 5 == 4)
            ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
        else {
            int fd = par_conn_recv_fd(end[0], PAR_NOWAIT);
            ck_assert_int_ge(fd, 3);
            ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            close(fd);
        }
        ck_assert_int_eq(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), 1);
        ck_assert_int_eq(c, 'b');
    }
    ck_fails(par_conn_recv_fd(end[0], PAR_NOWAIT), ETIMEDOUT);
    free_pipes();
}
END_TEST

START_TEST(descriptor_that_nobody_received_is_closed)
{
    int fd[2];
    char c;
    make_pipes();
    ck_assert_int_eq(pipe(fd), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(par_conn_send_fd(end[1], fd[1], PAR_NOWAIT), 0);
    close(fd[1]);
    (void)par_conn_fileno(end[0]);
    close(par_conn_recv_fd(end[0], PAR_NOWAIT)); /* one by itself, one fetched, one in the socket */
    free_pipes();
    ck_assert_int_eq(read(fd[0], &c, 1), 0);
    close(fd[0]);
}
END_TEST

START_TEST(descriptor_for_which_there_is_no_room_is_emfile)
{
    struct rlimit before, none;
    make_pipes();
    ck_assert_int_eq(par_conn_send_fd(end[1], 0, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send(end[1], "x", 1, PAR_NOWAIT), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_fails(par_conn_recv_fd(end[0], PAR_NOWAIT), EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    char c;
    ck_assert_int_eq(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), 1); /* the pipe goes on */
    free_pipes();
}
END_TEST

START_TEST(event_loop_hears_of_a_descriptor)
{
    struct pollfd watch = { .events = POLLIN };
    make_pipes();
    watch.fd = par_conn_fileno(end[0]);
    ck_fails(par_conn_recv_fd(end[0], PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(poll(&watch, 1, 0), 0);
    ck_assert_int_eq(par_conn_send_fd(end[1], 0, PAR_NOWAIT), 0);
    ck_assert_int_eq(poll(&watch, 1, 1000), 1);
    close(par_conn_recv_fd(end[0], PAR_NOWAIT));
    ck_fails(par_conn_recv_fd(end[0], PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(poll(&watch, 1, 0), 0);
    free_pipes();
}
END_TEST

/* ---- ends */

static int
use_the_end_that_comes(void *arg)
{
    par_conn *c = par_conn_recv_conn(arg, par_in(20));
    if (c == NULL)
        return 1;
    return par_conn_send(c, "hello", 5, par_in(20)) == 0 ? 0 : 2;
}

START_TEST(end_belongs_to_who_receives_it)
{
    char text[6] = "";
    make_pipes();
    par_process *p = start_with(use_the_end_that_comes, end[0]);
    ck_assert_int_eq(par_conn_send_conn(end[1], other[1], par_in(20)), 0);
    ck_fails(par_conn_send(other[1], "x", 1, PAR_NOWAIT), EPERM);
    par_conn_free(other[1]); /* not ours: nothing */
    ck_assert_int_eq(par_conn_recv(other[0], text, 5, par_in(20)), 5);
    ck_assert_str_eq(text, "hello");
    reap(p, 0);
    ck_fails(par_conn_recv(other[0], text, 5, par_in(20)), EPIPE); /* its owner is gone */
    free_pipes();
}
END_TEST

START_TEST(end_comes_back_in_the_same_process)
{
    char c;
    make_pipes();
    ck_assert_int_eq(par_conn_send_conn(end[1], other[0], PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send(other[1], "x", 1, PAR_NOWAIT), 0); /* it lives on its way */
    ck_assert_ptr_eq(par_conn_recv_conn(end[0], PAR_NOWAIT), other[0]);
    ck_assert_int_eq(par_conn_recv(other[0], &c, 1, PAR_NOWAIT), 1);
    ck_assert_int_eq(par_conn_send_conn(end[1], other[1], PAR_NOWAIT), 0);
    ck_assert_ptr_eq(par_conn_recv_conn(end[0], PAR_NOWAIT), other[1]);
    free_pipes();
}
END_TEST

START_TEST(end_that_nobody_received_is_closed)
{
    char c;
    size_t before = pari_heap_in_use();
    make_pipes();
    ck_assert_int_eq(par_conn_send_conn(end[1], other[1], PAR_NOWAIT), 0);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    ck_fails(par_conn_recv(other[0], &c, 1, par_in(20)), EPIPE);
    par_conn_free(other[0]);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    make_pipes();
    ck_assert_int_eq(par_conn_send_conn(end[1], other[1], PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
    ck_fails(par_conn_recv(other[0], &c, 1, par_in(20)), EPIPE);
    par_conn_free(other[0]);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(end_behind_a_big_message_is_closed_too)
{
    static char big[300000];
    char c;
    size_t before = pari_heap_in_use();
    make_pipes();
    ck_assert_int_eq(par_conn_send(end[1], big, sizeof big, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send_conn(end[1], other[1], PAR_NOWAIT), 0);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    ck_fails(par_conn_recv(other[0], &c, 1, par_in(20)), EPIPE);
    par_conn_free(other[0]);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

static int
send_the_end_and_die(void *arg)
{
    par_conn *mine[2];
    if (par_pipe(mine, NULL) != 0 || par_conn_send_conn(arg, mine[0], par_in(20)) != 0 ||
        par_conn_send(mine[1], "last", 4, par_in(20)) != 0)
        return 1;
    raise(SIGKILL);
    return 2;
}

START_TEST(end_of_a_dead_sender_ends_its_stream)
{
    char text[5] = "";
    make_pipes();
    par_process *p = start_with(send_the_end_and_die, end[1]);
    reap(p, -SIGKILL);
    par_conn *c = par_conn_recv_conn(end[0], par_in(20));
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(par_conn_recv(c, text, 4, par_in(20)), 4);
    ck_fails(par_conn_recv(c, text, 4, par_in(20)), EPIPE);
    par_conn_free(c);
    free_pipes();
}
END_TEST

START_TEST(wrong_use_is_told)
{
    char c;
    make_pipes();
    ck_fails(par_conn_send_fd(end[1], -1, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_send_fd(end[0], 0, PAR_NOWAIT), EBADF);
    ck_fails(par_conn_recv_fd(end[1], PAR_NOWAIT), EBADF);
    ck_fails_null(par_conn_recv_conn(end[1], PAR_NOWAIT), EBADF);
    ck_fails(par_conn_send_conn(end[1], end[0], PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_send_conn(end[1], end[1], PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_send_conn(end[1], NULL, PAR_NOWAIT), EINVAL);
    ck_assert_int_eq(par_conn_send(end[1], "x", 1, PAR_NOWAIT), 0);
    ck_fails_null(par_conn_recv_conn(end[0], PAR_NOWAIT), EBADMSG);
    ck_assert_int_eq(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), 1);
    ck_assert_int_eq(par_conn_send_fd(end[1], 0, PAR_NOWAIT), 0);
    ck_fails_null(par_conn_recv_conn(end[0], PAR_NOWAIT), EBADMSG);
    ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
    par_conn_close(other[0]);
    ck_fails(par_conn_send_conn(end[1], other[0], PAR_NOWAIT), EBADF);
    par_conn_free(end[0]);
    ck_fails(par_conn_send_fd(end[1], 0, PAR_NOWAIT), EPIPE);
    ck_fails(par_conn_send_conn(end[1], other[1], PAR_NOWAIT), EPIPE);
    ck_fails(par_conn_send(other[1], "x", 1, PAR_NOWAIT), EPIPE); /* it is still ours */
    end[0] = NULL;
    free_pipes();
}
END_TEST

START_TEST(full_pipe_times_out)
{
    make_pipes();
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }), 0);
    while (par_conn_send(end[1], "01234567", 8, PAR_NOWAIT) == 0) /* fills it to the last byte */
        ;
    ck_fails(par_conn_send_fd(end[1], 0, par_in(0.01)), ETIMEDOUT);
    ck_fails(par_conn_send_conn(end[1], other[0], PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_conn_send(other[1], "x", 1, PAR_NOWAIT), 0);
    free_pipes();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("parcel");
    TCase *descriptors = fixture_case(suite, "descriptors"), *ends = fixture_case(suite, "ends");

    tcase_add_test(descriptors, child_writes_through_a_descriptor_that_it_received);
    tcase_add_test(descriptors, descriptors_keep_their_places_among_messages);
    tcase_add_test(descriptors, descriptor_that_nobody_received_is_closed);
    tcase_add_test(descriptors, descriptor_for_which_there_is_no_room_is_emfile);
    tcase_add_test(descriptors, event_loop_hears_of_a_descriptor);
    tcase_add_test(ends, end_belongs_to_who_receives_it);
    tcase_add_test(ends, end_comes_back_in_the_same_process);
    tcase_add_test(ends, end_that_nobody_received_is_closed);
    tcase_add_test(ends, end_behind_a_big_message_is_closed_too);
    tcase_add_test(ends, end_of_a_dead_sender_ends_its_stream);
    tcase_add_test(ends, wrong_use_is_told);
    tcase_add_test(ends, full_pipe_times_out);
    return fixture_run(suite);
}
