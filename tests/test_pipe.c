/* SPDX-License-Identifier: MIT
 *
 * test_pipe.c: what a program sees of a pipe as long as nobody dies by force (that is test_pipe_end.c).
 */
#include "fixture.h"

#include <par.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "../libpar/shm/shm.h"

static par_conn *end[2];

/* Volatile, since the compiler refuses to pass what these say. */
static void *volatile nowhere;
static volatile size_t one = 1, size_max = SIZE_MAX;

static void
make_pipe(const par_pipe_opts *opts)
{
    ck_assert_int_eq(par_pipe(end, opts), 0);
}

static void
free_pipe(void)
{
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
send_text(const char *text)
{
    ck_assert_int_eq(par_conn_send(end[1], text, strlen(text), par_in(20)), 0);
}

static void
expect_text(const char *text)
{
    char buf[64];
    ssize_t n = par_conn_recv(end[0], buf, sizeof buf, par_in(20));

    ck_assert_int_eq(n, (ssize_t)strlen(text));
    ck_assert_mem_eq(buf, text, strlen(text));
}

static bool
is_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static bool
becomes_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 20000) == 1;
}

/* Bytes that tell where they belong. */
static unsigned char *
pattern(size_t size, uint32_t seed)
{
    unsigned char *p = malloc(size + 1);

    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < size; i++)
        p[i] = (unsigned char)((i * 31) ^ (i >> 8) ^ seed);
    return p;
}

static void
send_pattern(size_t size, uint32_t seed)
{
    unsigned char *p = pattern(size, seed);

    ck_assert_int_eq(par_conn_send(end[1], p, size, par_in(20)), 0);
    free(p);
}

static void
expect_pattern(size_t size, uint32_t seed)
{
    unsigned char *p = pattern(size, seed);
    size_t n;
    unsigned char *got = par_conn_recv_alloc(end[0], &n, par_in(20));

    ck_assert_ptr_nonnull(got);
    ck_assert_uint_eq(n, size);
    ck_assert(memcmp(got, p, size) == 0);
    ck_assert_int_eq(got[n], 0);
    free(got);
    free(p);
}

/* ---- messages */

START_TEST(messages_arrive_whole_and_in_order)
{
    make_pipe(NULL);
    send_text("one");
    send_text("twenty-two");
    send_text("3");
    expect_text("one");
    expect_text("twenty-two");
    expect_text("3");
    free_pipe();
}
END_TEST

START_TEST(empty_messages_keep_their_place)
{
    char buf[4];

    make_pipe(NULL);
    ck_assert_int_eq(par_conn_send(end[1], NULL, 0, PAR_NOWAIT), 0);
    send_text("a");
    ck_assert_int_eq(par_conn_send(end[1], "", 0, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_recv(end[0], buf, sizeof buf, PAR_NOWAIT), 0);
    expect_text("a");
    ck_assert_int_eq(par_conn_poll(end[0], PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_recv(end[0], buf, 0, PAR_NOWAIT), 0);
    ck_fails(par_conn_recv(end[0], buf, sizeof buf, PAR_NOWAIT), ETIMEDOUT);
    free_pipe();
}
END_TEST

START_TEST(sizes_around_every_limit_come_through_a_small_ring)
{
    static const size_t size[] = { 0,    1,    3,    4,    5,    7,    8,    9,    15,   16,   17,
                                   1000, 1015, 1016, 1017, 1023, 1024, 1025, 4095, 4096, 4097, 70000 };

    make_pipe(&(par_pipe_opts){ .capacity = 1 });
    for (uint32_t round = 0; round < 40; round++)
        for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
            send_pattern(size[i], round);
            expect_pattern(size[i], round);
        }
    free_pipe();
}
END_TEST

START_TEST(big_and_small_messages_stay_in_order)
{
    make_pipe(NULL);
    send_pattern(10, 1);
    send_pattern(300000, 2);
    send_pattern(20, 3);
    send_pattern(400000, 4);
    expect_pattern(10, 1);
    expect_pattern(300000, 2);
    expect_pattern(20, 3);
    expect_pattern(400000, 4);
    free_pipe();
}
END_TEST

START_TEST(message_of_sixteen_megabytes)
{
    make_pipe(NULL);
    send_pattern(16 << 20, 7);
    expect_pattern(16 << 20, 7);
    free_pipe();
}
END_TEST

START_TEST(length_of_next_message_is_told_without_taking_it)
{
    make_pipe(NULL);
    send_text("hello");
    send_pattern(500000, 1);
    ck_assert_int_eq(par_conn_recv(end[0], NULL, 0, PAR_NOWAIT), 5);
    ck_assert_int_eq(par_conn_recv(end[0], NULL, 0, PAR_NOWAIT), 5);
    expect_text("hello");
    ck_assert_int_eq(par_conn_recv(end[0], NULL, 0, PAR_NOWAIT), 500000);
    expect_pattern(500000, 1);
    free_pipe();
}
END_TEST

START_TEST(message_too_long_for_the_buffer_stays)
{
    char buf[4];

    make_pipe(NULL);
    send_text("hello");
    send_pattern(500000, 1);
    ck_fails(par_conn_recv(end[0], buf, sizeof buf, PAR_NOWAIT), EMSGSIZE);
    expect_text("hello");
    ck_fails(par_conn_recv(end[0], buf, sizeof buf, PAR_NOWAIT), EMSGSIZE);
    expect_pattern(500000, 1);
    free_pipe();
}
END_TEST

START_TEST(skip_drops_one_message)
{
    make_pipe(NULL);
    send_text("a");
    send_pattern(500000, 1);
    send_text("b");
    ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_skip(end[0], PAR_NOWAIT), 0);
    expect_text("b");
    ck_fails(par_conn_skip(end[0], PAR_NOWAIT), ETIMEDOUT);
    free_pipe();
}
END_TEST

START_TEST(other_size_than_item_size_is_emsgsize)
{
    make_pipe(&(par_pipe_opts){ .item_size = 4 });
    ck_fails(par_conn_send(end[1], "abc", 3, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_conn_send(end[1], NULL, 0, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_conn_send(end[1], "abcde", 5, PAR_NOWAIT), EMSGSIZE);
    send_text("abcd");
    expect_text("abcd");
    free_pipe();
}
END_TEST

START_TEST(duplex_goes_both_ways)
{
    char c;

    make_pipe(&(par_pipe_opts){ .duplex = true });
    ck_assert_int_eq(par_conn_send(end[0], "x", 1, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send(end[1], "y", 1, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_recv(end[1], &c, 1, PAR_NOWAIT), 1);
    ck_assert_int_eq(c, 'x');
    ck_assert_int_eq(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), 1);
    ck_assert_int_eq(c, 'y');
    free_pipe();
}
END_TEST

START_TEST(freeing_a_pipe_releases_what_was_not_received)
{
    size_t before;

    make_pipe(NULL);
    free_pipe();
    before = pari_heap_in_use();
    for (int i = 0; i < 20; i++) {
        make_pipe(&(par_pipe_opts){ .duplex = i % 2 });
        send_pattern(100000, 1);
        send_text("x");
        send_pattern(100000, 2);
        free_pipe();
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- waiting */

START_TEST(receive_does_not_time_out_early)
{
    par_time start;
    char c;

    make_pipe(NULL);
    start = par_now();
    ck_fails(par_conn_recv(end[0], &c, 1, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.1);
    ck_fails(par_conn_poll(end[0], par_in(0.01)), ETIMEDOUT);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    ck_fails_null(par_conn_recv_alloc(end[0], NULL, PAR_NOWAIT), ETIMEDOUT);
    ck_fails_null(par_conn_recv_obj(end[0], PAR_NOWAIT), ETIMEDOUT);
    free_pipe();
}
END_TEST

START_TEST(full_pipe_times_out_and_accepts_again_after_a_receive)
{
    int n = 0;

    make_pipe(&(par_pipe_opts){ .capacity = 4096 });
    while (par_conn_send(end[1], "abcd", 4, PAR_NOWAIT) == 0)
        n++;
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(n, 256);
    ck_fails(par_conn_send(end[1], "abcd", 4, par_in(0.02)), ETIMEDOUT);
    expect_text("abcd");
    ck_assert_int_eq(par_conn_send(end[1], "abcd", 4, PAR_NOWAIT), 0);
    for (int i = 0; i < n; i++)
        expect_text("abcd");
    ck_fails(par_conn_poll(end[0], PAR_NOWAIT), ETIMEDOUT);
    free_pipe();
}
END_TEST

START_TEST(big_messages_under_way_are_bounded)
{
    unsigned char *p = pattern(10000, 1);
    int n = 0;

    make_pipe(&(par_pipe_opts){ .capacity = 4096 });
    while (par_conn_send(end[1], p, 10000, PAR_NOWAIT) == 0)
        n++;
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(n, (16 * 4096 + 9999) / 10000);
    expect_pattern(10000, 1);
    ck_assert_int_eq(par_conn_send(end[1], p, 10000, PAR_NOWAIT), 0);
    free_pipe();
    free(p);
}
END_TEST

static void
nothing(int number)
{
    (void)number;
}

static void *
interrupt_soon(void *arg)
{
    (void)arg;
    par_interrupt(true);
    return NULL;
}

START_TEST(interrupt_ends_an_endless_receive)
{
    pthread_t thread;
    char c;

    make_pipe(NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_soon, NULL), 0);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_FOREVER), EINTR);
    par_interrupt(false);
    pthread_join(thread, NULL);
    free_pipe();
}
END_TEST

static int
send_after_signals(void *arg)
{
    pid_t parent = getppid();

    for (int i = 0; i < 50; i++) {
        kill(parent, SIGUSR1);
        usleep(500);
    }
    return par_conn_send(arg, "x", 1, par_in(20)) == 0 ? 0 : 1;
}

START_TEST(signals_do_not_disturb_a_receive)
{
    struct sigaction action = { .sa_handler = nothing };
    par_process *p;

    sigaction(SIGUSR1, &action, NULL);
    make_pipe(NULL);
    p = par_process_start(send_after_signals, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    ck_assert_ptr_nonnull(p);
    expect_text("x");
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), 0);
    par_process_free(p);
    free_pipe();
}
END_TEST

/* ---- the end of the stream */

START_TEST(what_was_sent_before_the_close_arrives_then_epipe)
{
    char c;

    make_pipe(NULL);
    send_text("a");
    send_pattern(300000, 1);
    par_conn_close(end[1]);
    expect_text("a");
    expect_pattern(300000, 1);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_FOREVER), EPIPE);
    ck_fails(par_conn_recv(end[0], NULL, 0, PAR_FOREVER), EPIPE);
    ck_fails(par_conn_skip(end[0], PAR_FOREVER), EPIPE);
    ck_fails_null(par_conn_recv_alloc(end[0], NULL, PAR_FOREVER), EPIPE);
    ck_assert_int_eq(par_conn_poll(end[0], PAR_FOREVER), 0);
    free_pipe();
}
END_TEST

START_TEST(send_to_a_closed_or_freed_end_is_epipe)
{
    make_pipe(NULL);
    par_conn_close(end[0]);
    ck_fails(par_conn_send(end[1], "x", 1, PAR_FOREVER), EPIPE);
    par_conn_free(end[0]);
    ck_fails(par_conn_send(end[1], "x", 1, PAR_FOREVER), EPIPE);
    par_conn_free(end[1]);
}
END_TEST

START_TEST(free_of_one_end_leaves_the_messages_to_the_other)
{
    make_pipe(NULL);
    send_text("a");
    par_conn_free(end[1]);
    expect_text("a");
    ck_fails(par_conn_poll(end[1], PAR_NOWAIT), EINVAL);
    par_conn_free(end[0]);
}
END_TEST

/* ---- wrong use */

START_TEST(wrong_direction_and_closed_end_are_ebadf)
{
    char c;

    make_pipe(NULL);
    ck_fails(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EBADF);
    ck_fails(par_conn_recv(end[1], &c, 1, PAR_NOWAIT), EBADF);
    ck_fails(par_conn_poll(end[1], PAR_NOWAIT), EBADF);
    ck_fails(par_conn_skip(end[1], PAR_NOWAIT), EBADF);
    par_conn_close(end[0]);
    par_conn_close(end[0]);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), EBADF);
    ck_fails(par_conn_fileno(end[0]), EBADF);
    free_pipe();
}
END_TEST

START_TEST(wrong_arguments_are_einval)
{
    static uint64_t not_a_conn[32];
    char c;

    ck_fails(par_pipe(NULL, NULL), EINVAL);
    make_pipe(NULL);
    ck_fails(par_conn_send(end[1], nowhere, one, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_recv(end[0], nowhere, one, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_send(NULL, &c, 1, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_recv(NULL, &c, 1, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_poll((par_conn *)(void *)not_a_conn, PAR_NOWAIT), EINVAL);
    ck_fails(par_conn_fileno((par_conn *)(void *)((char *)end[0] + 8)), EINVAL);
    ck_fails(par_conn_skip((par_conn *)(uintptr_t)64, PAR_NOWAIT), EINVAL);
    ck_fails_null(par_conn_recv_alloc(NULL, NULL, PAR_NOWAIT), EINVAL);
    par_conn_close(NULL);
    par_conn_free(NULL);
    par_conn_free((par_conn *)(void *)not_a_conn);
    free_pipe();
    ck_fails(par_conn_poll(end[0], PAR_NOWAIT), EINVAL);
}
END_TEST

START_TEST(sizes_beyond_any_memory_are_refused)
{
    make_pipe(NULL);
    ck_fails(par_conn_send(end[1], end, size_max, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_conn_send(end[1], end, size_max / 2, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_conn_send(end[1], end, size_max / 8, PAR_NOWAIT), ENOSPC);
    send_text("x");
    expect_text("x");
    free_pipe();
    ck_fails(par_pipe(end, &(par_pipe_opts){ .capacity = SIZE_MAX }), EOVERFLOW);
    ck_fails(par_pipe(end, &(par_pipe_opts){ .item_size = SIZE_MAX }), EOVERFLOW);
}
END_TEST

static int fault_call, fault_error;

static int
fault(enum pari_call call)
{
    return (int)call == fault_call ? fault_error : 0;
}

START_TEST(pipe_that_cannot_be_made_leaves_nothing)
{
    par_conn *untouched = (par_conn *)(void *)end;

    make_pipe(NULL);
    free_pipe();
    end[0] = end[1] = untouched;
    pari_fault_hook = fault;
    fault_call = PARI_CALL_SOCKETPAIR;
    fault_error = EMFILE;
    ck_fails(par_pipe(end, NULL), EMFILE);
    fault_call = PARI_CALL_FALLOCATE;
    fault_error = ENOSPC;
    ck_fails(par_pipe(end, &(par_pipe_opts){ .capacity = 1u << 30 }), ENOSPC);
    pari_fault_hook = NULL;
    ck_assert_ptr_eq(end[0], untouched);
}
END_TEST

START_TEST(full_memory_fails_a_big_send_and_the_pipe_goes_on)
{
    static char data[8 << 20];

    make_pipe(NULL);
    pari_fault_hook = fault;
    fault_call = PARI_CALL_FALLOCATE;
    fault_error = ENOSPC;
    ck_fails(par_conn_send(end[1], data, sizeof data, PAR_NOWAIT), ENOSPC);
    pari_fault_hook = NULL;
    send_text("x");
    expect_text("x");
    free_pipe();
}
END_TEST

/* ---- descriptors */

/* The descriptor's byte takes kernel memory. */
START_TEST(bell_that_could_not_be_rung_is_rung_by_the_next_message)
{
    int fd;
    char c;

    make_pipe(NULL);
    fd = par_conn_fileno(end[0]);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    fault_call = PARI_CALL_SEND;
    fault_error = ENOBUFS;
    pari_fault_hook = fault;
    send_text("a");
    pari_fault_hook = NULL;
    send_text("b");
    ck_assert(is_readable(fd));
    expect_text("a");
    expect_text("b");
    free_pipe();
}
END_TEST

START_TEST(descriptor_is_readable_while_messages_may_wait)
{
    int fd;
    char c;

    make_pipe(NULL);
    fd = par_conn_fileno(end[0]);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(par_conn_fileno(end[0]), fd);
    for (int round = 0; round < 3; round++) {
        ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
        ck_assert(!is_readable(fd));
        send_text("a");
        ck_assert(is_readable(fd));
        send_text("b");
        expect_text("a");
        ck_assert(is_readable(fd));
        expect_text("b");
    }
    par_conn_close(end[1]);
    ck_assert(is_readable(fd));
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), EPIPE);
    ck_assert(is_readable(fd));
    free_pipe();
}
END_TEST

START_TEST(descriptor_asked_for_late_says_look)
{
    char c;

    make_pipe(NULL);
    send_text("a");
    expect_text("a");
    send_text("b");
    ck_assert(is_readable(par_conn_fileno(end[0])));
    expect_text("b");
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    ck_assert(!is_readable(par_conn_fileno(end[0])));
    free_pipe();
}
END_TEST

START_TEST(descriptor_of_a_sender_tells_the_receivers_end)
{
    int fd;

    make_pipe(NULL);
    fd = par_conn_fileno(end[1]);
    send_text("a");
    ck_assert(!is_readable(fd));
    par_conn_close(end[0]);
    ck_assert(is_readable(fd));
    free_pipe();
}
END_TEST

/* An event loop that only trusts the descriptor hears of every message. */
static int
send_many(void *arg)
{
    for (uint32_t i = 0; i < 20000; i++)
        if (par_conn_send(arg, &i, sizeof i, par_in(20)) != 0)
            return 1;
    return 0;
}

START_TEST(event_loop_hears_of_every_message)
{
    uint32_t number, expected = 0;
    par_process *p;
    int fd;

    make_pipe(&(par_pipe_opts){ .capacity = 4096 });
    p = par_process_start(send_many, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    ck_assert_ptr_nonnull(p);
    fd = par_conn_fileno(end[0]);
    for (bool is_end = false; !is_end;) {
        ck_assert(becomes_readable(fd));
        while (par_conn_recv(end[0], &number, sizeof number, PAR_NOWAIT) == sizeof number)
            ck_assert_uint_eq(number, expected++);
        is_end = errno == EPIPE;
        ck_assert(is_end || errno == ETIMEDOUT);
    }
    ck_assert_uint_eq(expected, 20000);
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    par_process_free(p);
    free_pipe();
}
END_TEST

static int
end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

START_TEST(event_loop_goes_on_after_a_start_that_failed)
{
    char c;
    int fd;

    make_pipe(NULL);
    fd = par_conn_fileno(end[0]);
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    pari_fault_hook = fault;
    fault_call = PARI_CALL_FORK;
    fault_error = EAGAIN;
    ck_fails_null(par_process_start(end_at_once, end[0], 0, &(par_process_opts){ .give = { end[0] } }), EAGAIN);
    pari_fault_hook = NULL;
    send_text("x");
    ck_assert(becomes_readable(fd));
    expect_text("x");
    ck_fails(par_conn_recv(end[0], &c, 1, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
    free_pipe();
}
END_TEST

#define N_PAIRS 300

/* Two at a time, to a receiver that sleeps by then, more often than not; the next two once it asks for them. */
static int
send_pairs(void *arg)
{
    struct timespec while_it_falls_asleep = { 0, 300000 };
    char go;

    for (uint32_t i = 0; i < 2 * N_PAIRS; i += 2) {
        uint32_t next = i + 1;
        if (par_conn_recv(arg, &go, 1, par_in(20)) != 1)
            return 1;
        nanosleep(&while_it_falls_asleep, NULL);
        if (par_conn_send(arg, &i, sizeof i, par_in(20)) != 0 || par_conn_send(arg, &next, sizeof next, par_in(20)) != 0)
            return 2;
    }
    return 0;
}

/* The first of two is waited for in the call, the second in the event loop. */
START_TEST(event_loop_hears_of_what_a_blocking_receive_left)
{
    uint32_t number;
    par_process *p;
    int fd;

    make_pipe(&(par_pipe_opts){ .duplex = true });
    p = par_process_start(send_pairs, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    ck_assert_ptr_nonnull(p);
    fd = par_conn_fileno(end[0]);
    for (uint32_t i = 0; i < 2 * N_PAIRS; i += 2) {
        ck_assert_int_eq(par_conn_send(end[0], "!", 1, par_in(20)), 0);
        ck_assert_int_eq(par_conn_recv(end[0], &number, sizeof number, par_in(20)), sizeof number);
        ck_assert_uint_eq(number, i);
        do
            ck_assert(becomes_readable(fd)); /* also too early: then the receive that finds nothing arms it */
        while (par_conn_recv(end[0], &number, sizeof number, PAR_NOWAIT) < 0 && errno == ETIMEDOUT);
        ck_assert_uint_eq(number, i + 1);
    }
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), 0);
    par_process_free(p);
    free_pipe();
}
END_TEST

/* ---- values */

START_TEST(values_come_through)
{
    par_obj *o;

    make_pipe(NULL);
    ck_assert_int_eq(par_conn_send_obj(end[1], par_int(42), PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send_obj(end[1], par_tuple(par_str("DONE"), par_none()), PAR_NOWAIT), 0);
    o = par_conn_recv_obj(end[0], PAR_NOWAIT);
    ck_assert(par_obj_equal(o, par_int(42)));
    par_obj_free(o);
    o = par_conn_recv_obj(end[0], PAR_NOWAIT);
    ck_assert_uint_eq(par_obj_len(o), 2);
    par_obj_free(o);
    ck_fails(par_conn_send_obj(end[1], NULL, PAR_NOWAIT), ENOMEM);
    par_conn_close(end[0]);
    ck_fails(par_conn_send_obj(end[1], par_str("nobody"), PAR_NOWAIT), EPIPE);
    free_pipe();
}
END_TEST

START_TEST(message_that_is_no_value_is_ebadmsg_and_stays)
{
    make_pipe(NULL);
    send_text("hello");
    ck_fails_null(par_conn_recv_obj(end[0], PAR_NOWAIT), EBADMSG);
    ck_fails_null(par_conn_recv_obj(end[0], PAR_NOWAIT), EBADMSG);
    expect_text("hello");
    free_pipe();
}
END_TEST

/* ---- other processes */

static int
use_foreign_end(void *arg)
{
    char c;

    (void)arg;
    if (par_conn_recv(end[0], &c, 1, PAR_NOWAIT) != -1 || errno != EPERM)
        return 1;
    if (par_conn_send(end[1], "x", 1, PAR_NOWAIT) != -1 || errno != EPERM)
        return 2;
    if (par_conn_fileno(end[0]) != -1 || errno != EPERM)
        return 3;
    par_conn_close(end[0]);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    return 0;
}

START_TEST(end_in_another_process_is_eperm_and_its_free_does_nothing)
{
    make_pipe(NULL);
    send_text("a");
    ck_assert_int_eq(fixture_in_child(use_foreign_end, NULL), 0);
    expect_text("a");
    free_pipe();
}
END_TEST

static int
echo(void *arg)
{
    par_conn *c = arg;
    char buf[100];
    ssize_t n;

    while ((n = par_conn_recv(c, buf, sizeof buf, par_in(20))) >= 0)
        if (par_conn_send(c, buf, (size_t)n, par_in(20)) != 0)
            return 1;
    return errno == EPIPE ? 0 : 2;
}

START_TEST(given_end_moves_to_the_child)
{
    par_process *p;
    char buf[16];

    make_pipe(&(par_pipe_opts){ .duplex = true });
    p = par_process_start(echo, end[0], 0, &(par_process_opts){ .give = { end[0] } });
    ck_assert_ptr_nonnull(p);
    ck_fails(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EPERM);
    ck_assert_int_eq(par_conn_send(end[1], "hello", 5, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_recv(end[1], buf, sizeof buf, par_in(20)), 5);
    par_conn_close(end[1]);
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), 0);
    par_process_free(p);
    free_pipe();
}
END_TEST

START_TEST(child_that_cannot_start_gives_the_end_back)
{
    make_pipe(NULL);
    pari_fault_hook = fault;
    fault_call = PARI_CALL_FORK;
    fault_error = EAGAIN;
    ck_fails_null(par_process_start(echo, end[0], 0, &(par_process_opts){ .give = { end[0] } }), EAGAIN);
    pari_fault_hook = NULL;
    send_text("a");
    expect_text("a");
    free_pipe();
}
END_TEST

/* ---- threads */

#define N_NUMBERS 30000

static void *
send_numbers(void *arg)
{
    par_conn *c = arg;
    bool is_good = true;

    for (uint32_t i = 0; i < N_NUMBERS && is_good; i++) {
        uint32_t message[512] = { 0 };
        size_t n = i % 100 == 0 ? 512 : 1 + i % 7;
        for (size_t k = 0; k < n; k++)
            message[k] = i;
        is_good = par_conn_send(c, message, n * sizeof i, par_in(20)) == 0;
    }
    par_conn_close(c);
    return is_good ? c : NULL;
}

START_TEST(threads_share_a_pipe)
{
    uint32_t message[512], expected = 0;
    pthread_t thread;
    void *result;
    ssize_t n;

    make_pipe(&(par_pipe_opts){ .capacity = 4096 });
    ck_assert_int_eq(pthread_create(&thread, NULL, send_numbers, end[1]), 0);
    while ((n = par_conn_recv(end[0], message, sizeof message, par_in(20))) > 0) {
        for (size_t k = 0; k < (size_t)n / sizeof message[0]; k++)
            ck_assert_uint_eq(message[k], expected);
        expected++;
    }
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_uint_eq(expected, N_NUMBERS);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    free_pipe();
}
END_TEST

static void *
echo_thread(void *arg)
{
    return echo(arg) == 0 ? arg : NULL;
}

START_TEST(threads_play_ping_pong)
{
    pthread_t thread;
    uint32_t back;
    void *result;

    make_pipe(&(par_pipe_opts){ .duplex = true });
    ck_assert_int_eq(pthread_create(&thread, NULL, echo_thread, end[0]), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        ck_assert_int_eq(par_conn_send(end[1], &i, sizeof i, par_in(20)), 0);
        ck_assert_int_eq(par_conn_recv(end[1], &back, sizeof back, par_in(20)), sizeof back);
        ck_assert_uint_eq(back, i);
    }
    par_conn_close(end[1]);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    free_pipe();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("pipe");
    TCase *tcase = fixture_case(suite, "messages");

    tcase_add_test(tcase, messages_arrive_whole_and_in_order);
    tcase_add_test(tcase, empty_messages_keep_their_place);
    tcase_add_test(tcase, sizes_around_every_limit_come_through_a_small_ring);
    tcase_add_test(tcase, big_and_small_messages_stay_in_order);
    tcase_add_test(tcase, message_of_sixteen_megabytes);
    tcase_add_test(tcase, length_of_next_message_is_told_without_taking_it);
    tcase_add_test(tcase, message_too_long_for_the_buffer_stays);
    tcase_add_test(tcase, skip_drops_one_message);
    tcase_add_test(tcase, other_size_than_item_size_is_emsgsize);
    tcase_add_test(tcase, duplex_goes_both_ways);
    tcase_add_test(tcase, freeing_a_pipe_releases_what_was_not_received);

    tcase = fixture_case(suite, "waiting");
    tcase_add_test(tcase, receive_does_not_time_out_early);
    tcase_add_test(tcase, full_pipe_times_out_and_accepts_again_after_a_receive);
    tcase_add_test(tcase, big_messages_under_way_are_bounded);
    tcase_add_test(tcase, interrupt_ends_an_endless_receive);
    tcase_add_test(tcase, signals_do_not_disturb_a_receive);
    tcase_add_test(tcase, what_was_sent_before_the_close_arrives_then_epipe);
    tcase_add_test(tcase, send_to_a_closed_or_freed_end_is_epipe);
    tcase_add_test(tcase, free_of_one_end_leaves_the_messages_to_the_other);

    tcase = fixture_case(suite, "wrong use");
    tcase_add_test(tcase, wrong_direction_and_closed_end_are_ebadf);
    tcase_add_test(tcase, wrong_arguments_are_einval);
    tcase_add_test(tcase, sizes_beyond_any_memory_are_refused);
    tcase_add_test(tcase, pipe_that_cannot_be_made_leaves_nothing);
    tcase_add_test(tcase, full_memory_fails_a_big_send_and_the_pipe_goes_on);

    tcase = fixture_case(suite, "descriptors");
    tcase_add_test(tcase, bell_that_could_not_be_rung_is_rung_by_the_next_message);
    tcase_add_test(tcase, descriptor_is_readable_while_messages_may_wait);
    tcase_add_test(tcase, descriptor_asked_for_late_says_look);
    tcase_add_test(tcase, event_loop_goes_on_after_a_start_that_failed);
    tcase_add_test(tcase, event_loop_hears_of_what_a_blocking_receive_left);
    tcase_add_test(tcase, descriptor_of_a_sender_tells_the_receivers_end);
    tcase_add_test(tcase, event_loop_hears_of_every_message);

    tcase = fixture_case(suite, "values");
    tcase_add_test(tcase, values_come_through);
    tcase_add_test(tcase, message_that_is_no_value_is_ebadmsg_and_stays);

    tcase = fixture_case(suite, "processes");
    tcase_add_test(tcase, end_in_another_process_is_eperm_and_its_free_does_nothing);
    tcase_add_test(tcase, given_end_moves_to_the_child);
    tcase_add_test(tcase, child_that_cannot_start_gives_the_end_back);

    tcase = fixture_thread_case(suite, "threads");
    tcase_add_test(tcase, threads_share_a_pipe);
    tcase_add_test(tcase, threads_play_ping_pong);
    return fixture_run(suite);
}
