/* SPDX-License-Identifier: MIT
 *
 * pipe.c: behaviours 95 to 122: pipes, waiting for many, listeners.
 *
 * Python's connection.wait is poll(2) over descriptors; so it is here.
 */
#include "conformance.h"

#include <fcntl.h>
#include <stdio.h>

#include <poll.h>
#include <sys/socket.h>

#define BIG ((size_t)16 << 20)

/* end[0] stays, end[1] goes to the peer; with simplex pipes end[0] receives. */
static void
new_pipe(par_conn *end[2], bool duplex)
{
    must(par_pipe(end, &(par_pipe_opts){ .duplex = duplex }) == 0);
}

static void
send_text(par_conn *c, const char *text)
{
    must(par_conn_send(c, text, strlen(text), soon()) == 0);
}

static void
must_receive(par_conn *c, const char *text)
{
    char got[64];
    ssize_t n = par_conn_recv(c, got, sizeof got, soon());

    must(n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0);
}

/* ---- 95 to 98: messages */

static int
echo(void *arg)
{
    par_conn *c = arg;
    size_t size;

    for (char *message; (message = par_conn_recv_alloc(c, &size, soon())) != NULL; free(message))
        must(par_conn_send(c, message, size, soon()) == 0);
    int code = errno == EPIPE ? 0 : 1;
    par_conn_free(c);
    return code;
}

static void
echo_object(par_conn *c)
{
    par_obj *sent = par_tuple(par_int(1), par_str("two"), par_float(3.5), par_none()), *copy = par_obj_copy(sent), *got;

    must(par_conn_send_obj(c, sent, soon()) == 0 && (got = par_conn_recv_obj(c, soon())) != NULL);
    must(par_obj_equal(copy, got));
    par_obj_free(copy);
    par_obj_free(got);
}

/* Into the middle of an array; then one that does not fit, which stays. */
static void
echo_into(par_conn *c)
{
    char array[10] = "..........", small[5];

    send_text(c, "hello");
    must(par_conn_recv(c, array + 3, sizeof array - 3, soon()) == 5 && memcmp(array, "...hello..", sizeof array) == 0);
    send_text(c, "this is too long");
    must_fail(par_conn_recv(c, small, sizeof small, soon()), EMSGSIZE);
    must(par_conn_recv(c, NULL, 0, soon()) == 16);
    must_receive(c, "this is too long");
}

static void
echo_big(par_conn *c)
{
    unsigned char *sent = malloc(BIG), *got;
    size_t size;

    must(sent != NULL);
    for (size_t i = 0; i < BIG; i++)
        sent[i] = (unsigned char)(i * 31 >> 8);
    must(par_conn_send(c, sent, BIG, soon()) == 0);
    must((got = par_conn_recv_alloc(c, &size, soon())) != NULL && size == BIG && memcmp(sent, got, BIG) == 0);
    free(got);
    free(sent);
}

static void
poll_in_vain(par_conn *c)
{
    par_time start = par_now();

    must_fail(par_conn_poll(c, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_conn_poll(c, par_in(-1)), ETIMEDOUT);
    must_fail(par_conn_poll(c, par_in(0.1)), ETIMEDOUT);
    must(par_since(start) >= 0.1);
}

static void
conf_095_connection(void)
{
    par_conn *end[2];

    new_pipe(end, true);
    struct peer peer = peer_given(echo, end[1]);
    echo_object(end[0]);
    echo_into(end[0]);
    poll_in_vain(end[0]);
    send_text(end[0], "now");
    must(par_conn_poll(end[0], soon()) == 0);
    must_receive(end[0], "now");
    echo_big(end[0]);
    par_conn_close(end[0]); /* the end of the stream for the peer, which ends itself */
    must(peer_end(peer) == 0);
    must_fail(par_conn_send(end[0], "x", 1, PAR_NOWAIT), EBADF);
    par_conn_free(end[0]);

    new_pipe(end, true);
    send_text(end[1], "last");
    par_conn_free(end[1]);
    must_receive(end[0], "last");
    must(par_conn_poll(end[0], soon()) == 0);
    must_fail(par_conn_recv(end[0], &(char){ 0 }, 1, soon()), EPIPE);
    must_fail(par_conn_send(end[0], "x", 1, soon()), EPIPE);
    par_conn_free(end[0]);
}

static void
conf_096_duplex_false(void)
{
    par_conn *end[2];
    char byte;

    new_pipe(end, false);
    send_text(end[1], "1");
    must_receive(end[0], "1");
    must_fail(par_conn_send(end[0], "1", 1, PAR_NOWAIT), EBADF);
    must_fail(par_conn_recv(end[1], &byte, 1, PAR_NOWAIT), EBADF);
    must_fail(par_conn_poll(end[1], PAR_NOWAIT), EBADF);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
conf_097_spawn_close(void)
{
    par_conn *end[2];

    new_pipe(end, true);
    struct peer peer = peer_given(echo, end[1]);
    must_fail(par_conn_send(end[1], "x", 1, PAR_NOWAIT), EPERM); /* it is the child's, and closing it here does nothing */
    par_conn_close(end[1]);
    par_conn_free(end[1]);
    send_text(end[0], "hello");
    must_receive(end[0], "hello");
    par_conn_free(end[0]);
    must(peer_end(peer) == 0);
}

static void
conf_098_sendbytes(void)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static const struct {
        size_t from, size;
    } slice[] = { { 0, 26 }, { 5, 21 }, { 7, 8 }, { 26, 0 }, { 0, 0 } };
    par_conn *end[2];
    char got[32];

    new_pipe(end, false);
    for (size_t i = 0; i < sizeof slice / sizeof *slice; i++) {
        must(par_conn_send(end[1], letters + slice[i].from, slice[i].size, soon()) == 0);
        must(par_conn_recv(end[0], got, sizeof got, soon()) == (ssize_t)slice[i].size);
        must(memcmp(got, letters + slice[i].from, slice[i].size) == 0);
    }
    must(par_conn_send(end[1], NULL, 0, soon()) == 0 && par_conn_recv(end[0], got, sizeof got, soon()) == 0);
    must_fail(par_conn_send(end[1], alias(NULL), 4, PAR_NOWAIT), EINVAL);
    must_fail(par_conn_recv(end[0], alias(NULL), 4, PAR_NOWAIT), EINVAL);
    must_fail(par_conn_send(end[1], alias(got), PTRDIFF_MAX, PAR_NOWAIT), EMSGSIZE);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* ---- 102 to 105: boundaries */

static void
conf_102_poll_empty_string(void)
{
    par_conn *end[2];

    new_pipe(end, false);
    must_fail(par_conn_poll(end[0], PAR_NOWAIT), ETIMEDOUT);
    must(par_conn_send(end[1], NULL, 0, soon()) == 0);
    must(par_conn_poll(end[0], PAR_NOWAIT) == 0 && par_conn_poll(end[0], soon()) == 0);
    must_receive(end[0], "");
    must_fail(par_conn_poll(end[0], PAR_NOWAIT), ETIMEDOUT);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static const char *const strings[] = { "hello", "", "", "a", "b", "", "bye", "", "lop" };
#define N_STRINGS (sizeof strings / sizeof *strings)

static int
send_strings(void *arg)
{
    for (size_t i = 0; i < N_STRINGS; i++)
        send_text(arg, strings[i]);
    par_conn_free(arg);
    return 0;
}

static void
conf_103_poll_strings(void)
{
    par_conn *end[2];

    new_pipe(end, false);
    struct peer peer = peer_given(send_strings, end[1]);
    for (size_t i = 0; i < N_STRINGS; i++) {
        must(par_conn_poll(end[0], soon()) == 0);
        must_receive(end[0], strings[i]);
    }
    must_fail(par_conn_recv(end[0], &(char){ 0 }, 1, soon()), EPIPE);
    must(peer_end(peer) == 0);
    par_conn_free(end[0]);
}

/* A thread of the owner may; another process may not even look. */
static int
poll_other(void *arg)
{
    return par_conn_poll(arg, soon()) == 0 ? 0 : errno;
}

static void
conf_104_poll_boundaries(void)
{
    par_conn *end[2];

    new_pipe(end, false);
    send_text(end[1], "abcdef");
    send_text(end[1], "ghi");
    int code = peer_end(peer_start(poll_other, end[0]));
    must(code == 0 || code == EPERM);
    must_receive(end[0], "abcdef");
    must_receive(end[0], "ghi");
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
conf_105_dont_merge(void)
{
    static const char *const message[] = { "a", "b", "cd" };
    par_conn *end[2];

    new_pipe(end, false);
    for (int i = 0; i < 3; i++)
        send_text(end[1], message[i]);
    for (int i = 0; i < 3; i++) {
        must(par_conn_poll(end[0], PAR_NOWAIT) == 0);
        must_receive(end[0], message[i]);
    }
    must_fail(par_conn_poll(end[0], PAR_NOWAIT), ETIMEDOUT);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* ---- 111 and 112: the other side has left */

static int
send_and_leave(void *arg)
{
    send_text(arg, "hello");
    return 0;
}

static void
conf_111_issue14725(void)
{
    par_conn *end[2];

    new_pipe(end, true);
    must(peer_end(peer_given(send_and_leave, end[1])) == 0);
    must_receive(end[0], "hello");
    must_fail(par_conn_recv(end[0], &(char){ 0 }, 1, soon()), EPIPE);
    must_fail(par_conn_send(end[0], "x", 1, soon()), EPIPE);
    par_conn_free(end[0]);
}

static void
conf_112_issue16955(void)
{
    par_conn *end[2];

    new_pipe(end, true);
    send_text(end[1], "hello");
    par_conn_free(end[1]);
    must(par_conn_poll(end[0], PAR_NOWAIT) == 0);
    must_receive(end[0], "hello");
    par_conn_free(end[0]);
}

/* ---- 115 to 120: waiting for many */

#define WRITERS 4
#define EACH_SENDS 10

static int
write_ten(void *arg)
{
    for (int i = 0; i < EACH_SENDS; i++)
        must(par_conn_send(arg, &i, sizeof i, soon()) == 0);
    par_conn_free(arg);
    return 0;
}

static int
write_ten_slowly(void *arg)
{
    for (int i = 0; i < EACH_SENDS; i++) {
        usleep((useconds_t)((i * 7 + getpid()) % 5 * 1000));
        must(par_conn_send(arg, &i, sizeof i, soon()) == 0);
    }
    par_conn_free(arg);
    return 0;
}

/* Take what there is: false at the end of the stream. */
static bool
drain(par_conn *c, int *next)
{
    int i;

    while (par_conn_recv(c, &i, sizeof i, PAR_NOWAIT) == sizeof i)
        must(i == (*next)++);
    must(errno == ETIMEDOUT || errno == EPIPE);
    return errno == ETIMEDOUT;
}

static void
wait_for_writers(int (*fn)(void *arg))
{
    par_conn *end[WRITERS][2];
    struct pollfd ready[WRITERS];
    struct peer peer[WRITERS];
    int next[WRITERS] = { 0 }, n_open = WRITERS;

    for (int i = 0; i < WRITERS; i++) {
        new_pipe(end[i], false);
        peer[i] = peer_given(fn, end[i][1]);
        ready[i] = (struct pollfd){ .fd = par_conn_fileno(end[i][0]), .events = POLLIN };
    }
    while (n_open > 0) {
        must(poll(ready, WRITERS, 20000) > 0);
        for (int i = 0; i < WRITERS; i++)
            if (ready[i].fd >= 0 && ready[i].revents != 0 && !drain(end[i][0], &next[i])) {
                ready[i].fd = -1;
                n_open--;
            }
    }
    peers_end(peer, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        must(next[i] == EACH_SENDS);
        par_conn_free(end[i][0]);
    }
}

static void
conf_115_wait(void)
{
    wait_for_writers(write_ten);
}

static void
conf_116_wait_slow(void)
{
    wait_for_writers(write_ten_slowly);
}

static void
conf_117_wait_socket(void)
{
    par_conn *end[2];
    int socket[2];

    new_pipe(end, false);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, socket) == 0);
    struct pollfd ready[] = { { .fd = par_conn_fileno(end[0]), .events = POLLIN }, { .fd = socket[0], .events = POLLIN } };
    must(write(socket[1], "x", 1) == 1);
    must(poll(ready, 2, 20000) == 1 && ready[1].revents == POLLIN);
    send_text(end[1], "hello");
    must(poll(ready, 2, 20000) == 2);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    close(socket[0]);
    close(socket[1]);
}

static void
conf_118_wait_timeout(void)
{
    par_conn *a[2], *b[2];
    par_time start = par_now();

    new_pipe(a, false);
    new_pipe(b, false);
    struct pollfd ready[] = { { .fd = par_conn_fileno(a[0]), .events = POLLIN },
                              { .fd = par_conn_fileno(b[0]), .events = POLLIN } };
    must(poll(ready, 2, 100) == 0 && par_since(start) >= 0.1);
    send_text(b[1], "hello");
    must(poll(ready, 2, 20000) == 1 && ready[0].revents == 0);
    for (int i = 0; i < 2; i++) {
        par_conn_free(a[i]);
        par_conn_free(b[i]);
    }
}

struct staged {
    par_event say, leave;
    par_conn *end;
};

static int
say_then_leave(void *arg)
{
    struct staged *staged = arg;

    must(par_event_wait(&staged->say, soon()) == 0);
    send_text(staged->end, "hello");
    return par_event_wait(&staged->leave, soon());
}

static void
conf_119_wait_integer(void)
{
    struct staged *staged = shared(struct staged);
    par_conn *end[2];

    new_pipe(end, false);
    staged->end = end[1];
    par_process *p = par_process_start(say_then_leave, staged, 0, &(par_process_opts){ .give = { end[1] } });
    must(p != NULL);
    struct pollfd ready[] = { { .fd = par_process_fileno(p), .events = POLLIN },
                              { .fd = par_conn_fileno(end[0]), .events = POLLIN } };
    must(poll(ready, 2, 0) == 0);
    par_event_set(&staged->say);
    must(poll(ready, 2, 20000) == 1 && ready[1].revents == POLLIN);
    par_event_set(&staged->leave);
    must(par_process_join(p, soon()) == 0 && poll(ready, 2, 0) == 2);
    par_process_free(p);
    par_conn_free(end[0]);
}

static void
conf_120_neg_timeout(void)
{
    par_conn *end[2];
    char byte;

    new_pipe(end, false);
    must_fail(par_conn_poll(end[0], par_in(-1)), ETIMEDOUT);
    must_fail(par_conn_recv(end[0], &byte, 1, par_in(-100)), ETIMEDOUT);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* ---- 121: signals */

static _Atomic int n_signals;

static void
count_signal(int signal)
{
    (void)signal;
    n_signals++;
}

static int
send_signals(void *arg)
{
    for (;;) {
        must(kill(*(pid_t *)arg, SIGUSR1) == 0);
        usleep(200);
    }
}

static int
wait_a_little(void *arg)
{
    (void)arg;
    return usleep(50000);
}

static int
echo_slowly(void *arg)
{
    usleep(50000);
    return echo(arg);
}

static void
conf_121_ignore(void)
{
    struct sigaction action = { .sa_handler = count_signal }; /* no SA_RESTART */
    pid_t self = getpid();
    par_conn *end[2];

    must(sigaction(SIGUSR1, &action, NULL) == 0);
    new_pipe(end, true);
    par_process *echoer = par_process_start(echo_slowly, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    par_process *sender = par_process_start(send_signals, &self, sizeof self, &(par_process_opts){ .daemon = true });
    must(echoer != NULL && sender != NULL);
    await(atomic_load(&n_signals) > 0);
    send_text(end[0], "hello");
    must_receive(end[0], "hello");
    echo_big(end[0]);
    must(only_child(wait_a_little, NULL) == 0);
    must(par_process_is_alive(sender) && par_process_kill(sender) == 0 && child_end(sender) == -SIGKILL);
    par_conn_free(end[0]);
    must(child_end(echoer) == 0);
}

/* ---- descriptors and ends as messages */

static int
write_into_what_comes(void *arg)
{
    int fd = par_conn_recv_fd(arg, soon());

    must(fd >= 0 && write(fd, "bar", 3) == 3);
    close(fd);
    return 0;
}

/* The file is written through a descriptor of this number. */
static void
write_through_child(int number)
{
    FILE *file = tmpfile();
    par_conn *end[2];
    char text[4] = "";

    must(file != NULL);
    int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, number);
    must(fd >= number);
    new_pipe(end, true);
    par_process *child = par_process_start(write_into_what_comes, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    must(child != NULL && par_conn_send_fd(end[0], fd, soon()) == 0 && child_end(child) == 0);
    must(pread(fd, text, 3, 0) == 3 && strcmp(text, "bar") == 0);
    close(fd);
    fclose(file);
    par_conn_free(end[0]);
}

static void
conf_099_fd_transfer(void)
{
    write_through_child(3);
}

static void
conf_100_large_fd_transfer(void)
{
    write_through_child(300);
}

static void
conf_101_missing_fd_transfer(void)
{
    par_conn *end[2];

    new_pipe(end, true);
    send_text(end[1], "foo"); /* and no descriptor */
    must_fail(par_conn_recv_fd(end[0], soon()), EBADMSG);
    must_receive(end[0], "foo");
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static int
answer_on_what_comes(void *arg)
{
    par_conn *end = par_conn_recv_conn(arg, soon());

    must(end != NULL);
    must_receive(end, "hello");
    send_text(end, "HELLO");
    par_conn_free(end);
    return 0;
}

static void
conf_122_pickling_connections(void)
{
    par_conn *carrier[2], *end[2];

    new_pipe(carrier, true);
    new_pipe(end, true);
    par_process *child = par_process_start(answer_on_what_comes, carrier[1], 0, &(par_process_opts){ .give = { carrier[1] } });
    must(child != NULL && par_conn_send_conn(carrier[0], end[1], soon()) == 0);
    must_fail(par_conn_send(end[1], "x", 1, PAR_NOWAIT), EPERM);
    send_text(end[0], "hello");
    must_receive(end[0], "HELLO");
    must(child_end(child) == 0);
    par_conn_free(carrier[0]);
    par_conn_free(end[0]);
}

#define NO_LISTENER "libpar's connections join relatives of one family and are made by par_pipe; "

const struct behaviour pipe_behaviours[] = {
    PASSES(
        095, connection, IN_BOTH,
        "a value, bytes, into the middle of an array, one that does not fit (it stays), poll not early, 16 MiB, the end seen by both",
        "par_conn_send, par_conn_recv, par_conn_poll"),
    PASSES(096, duplex_false, IN_PROCESSES, "one way only; the other is EBADF", "par_pipe"),
    PASSES(097, spawn_close, IN_PROCESSES, "an end given to a child is EPERM here at once, and there is nothing to close",
           "par_process_opts.give"),
    PASSES(098, sendbytes, IN_PROCESSES, "parts of an array, empty parts, impossible ones", "par_conn_send"),
    PASSES(099, fd_transfer, IN_PROCESSES, "a child writes through a descriptor that it received", "par_conn_send_fd"),
    PASSES(100, large_fd_transfer, IN_PROCESSES, "the same with a descriptor above 255", "par_conn_send_fd"),
    PASSES(101, missing_fd_transfer, IN_PROCESSES, "receiving a descriptor where there is none is an error",
           "par_conn_recv_fd"),
    PASSES(102, poll_empty_string, IN_PROCESSES, "an empty message is something to receive", "par_conn_poll"),
    PASSES(103, poll_strings, IN_BOTH, "empty messages keep their places among the others", "par_conn_recv"),
    PASSES(104, poll_boundaries, IN_BOTH, "a look from elsewhere takes nothing; from another process it is EPERM",
           "par_conn_poll"),
    PASSES(105, dont_merge, IN_PROCESSES, "three messages stay three", "par_conn_recv"),
    CANNOT(106, multiple_bind, NO_LISTENER "there is no listener whose address could be in use"),
    CANNOT(107, listener_context, NO_LISTENER "there is no listener to accept with after its end"),
    CANNOT(108, empty_authkey, NO_LISTENER "nobody else can connect, so nobody has to prove who he is"),
    CANNOT(109, abstract_socket, NO_LISTENER "there is no listener on an abstract address"),
    CANNOT(110, listener_client, NO_LISTENER "there are no address families to try"),
    PASSES(111, issue14725, IN_PROCESSES, "who sent and left at once is received, then EPIPE", "par_conn_recv"),
    PASSES(112, issue16955, IN_PROCESSES, "poll sees what a closed peer had sent", "par_conn_poll"),
    CANNOT(113, auth_failure, "as 108: there is no handshake that could fail"),
    CANNOT(114, challengeresponse, "as 108: there is no challenge to answer"),
    PASSES(115, wait, IN_BOTH, "four writers until the end of each, all messages in order", "par_conn_fileno"),
    PASSES(116, wait_slow, IN_BOTH, "the same with writers that take their time", "par_conn_fileno"),
    PASSES(117, wait_socket, IN_PROCESSES, "a pipe and a socket together", "par_conn_fileno"),
    PASSES(118, wait_timeout, IN_PROCESSES, "nothing is ready, not early; then one of two", "par_conn_fileno"),
    PASSES(119, wait_integer, IN_PROCESSES, "a child and its pipe: none, one, both are ready",
           "par_process_fileno, par_conn_fileno"),
    PASSES(120, neg_timeout, IN_PROCESSES, "less than no time returns at once", "par_in"),
    PASSES(121, ignore, IN_PROCESSES, "5000 signals a second during receive, a big send and join disturb nothing",
           "par_conn_recv, par_conn_send, par_process_join"),
    PASSES(122, pickling_connections, IN_PROCESSES, "a pipe end that is sent through a pipe works for who receives it",
           "par_conn_send_conn"),
    END_OF_TABLE
};
