/* SPDX-License-Identifier: MIT
 *
 * pipe.c: send and recv, small and big. The victim's end is its own, so it is a par_process; the world has the other one.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

#include <string.h>

#define SMALL 24
#define BIG 1500 /* above a quarter of the capacity */

static par_conn *end[2];
static par_conn *victims_end, *worlds_end;
static size_t size;

static unsigned char *
message(long number)
{
    static unsigned char bytes[BIG];

    memset(bytes, (int)(number & 255), size);
    memcpy(bytes, &number, sizeof number);
    return bytes;
}

/* The number; 0: the other end is gone; -1: hung. */
static long
receive(par_conn *c, par_time deadline)
{
    static unsigned char bytes[BIG];
    ssize_t got = par_conn_recv(c, bytes, sizeof bytes, deadline);
    long number;

    if (got < 0)
        return errno == EPIPE ? 0 : -1;
    memcpy(&number, bytes, sizeof number);
    if ((size_t)got != size || memcmp(bytes, message(number), size) != 0)
        find(TORN, "a message of %zd bytes, number %ld", got, number);
    return number;
}

static int
send(par_conn *c, long number, par_time deadline)
{
    return par_conn_send(c, message(number), size, deadline);
}

static void
make(size_t of_size, int victims, long n)
{
    size = of_size;
    leak_mark();
    expect_ready(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    victims_end = end[victims];
    worlds_end = end[1 - victims];
    for (long i = 1; i <= n; i++)
        expect_ready(send(end[1], i, PAR_NOWAIT) == 0);
}

static void
set_up_send(void)
{
    make(SMALL, 1, 1);
}

static void
set_up_send_big(void)
{
    make(BIG, 1, 1);
}

static void
set_up_recv(void)
{
    make(SMALL, 0, 3);
}

static void
set_up_recv_big(void)
{
    make(BIG, 0, 3);
}

static void
set_up_recv_empty(void)
{
    make(SMALL, 0, 0);
}

static par_conn *
give_end(int which)
{
    (void)which;
    return victims_end;
}

static void
send_two(int which)
{
    (void)which;
    (void)send(victims_end, 2, par_in(10));
    atomic_store(&page->note[0], 2);
    (void)send(victims_end, 3, par_in(10));
    atomic_store(&page->note[0], 3);
}

static void
clean_up(void)
{
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    give_back_victims();
    leak_check(0);
}

/* All that it has sent, then the end. */
static void
check_sent(void)
{
    long n = 0, number;

    while ((number = receive(worlds_end, soon())) > 0)
        expect(LOST, number == ++n);
    expect(HUNG, number == 0);
    expect(LOST, n >= 1 && n >= atomic_load(&page->note[0]));
    clean_up();
}

static void
receive_one(int which)
{
    atomic_store(&page->victim[which].result, receive(victims_end, par_in(10)));
}

/* To send to the dead is EPIPE, at once. */
static void
check_received(void)
{
    par_time deadline = soon();

    while (send(worlds_end, 4, deadline) == 0)
        expect(HUNG, par_since(deadline) < 0);
    expect(HUNG, errno == EPIPE);
    clean_up();
}

static void
send_one(int which)
{
    (void)which;
    (void)send(worlds_end, 1, PAR_NOWAIT);
}

static void
take_two(int which)
{
    (void)which;
    expect(LOST, receive(worlds_end, soon()) == 1);
}

/* The ring has room for about 4096 bytes. */
static void
set_up_send_full(void)
{
    long n = 1;

    make(SMALL, 1, 0);
    while (send(end[1], n, PAR_NOWAIT) == 0)
        n++;
    atomic_store(&page->note[1], n);
}

static void
send_into_full(int which)
{
    (void)which;
    (void)send(victims_end, atomic_load(&page->note[1]), par_in(10));
}

static void
check_sent_full(void)
{
    long last = atomic_load(&page->note[1]), n = 0, number;

    while ((number = receive(worlds_end, soon())) > 0) {
        expect(DUPLICATED, n == 0 || number == n + 1);
        n = number;
    }
    expect(HUNG, number == 0);
    expect(LOST, n == last || (n == last - 1 && !has_ended(0)));
    clean_up();
}

/* ---- close */

static void
close_end(int which)
{
    (void)which;
    par_conn_close(victims_end);
}

static void
check_closed(void)
{
    expect(LOST, receive(worlds_end, soon()) == 1);
    expect(HUNG, receive(worlds_end, soon()) == 0);
    clean_up();
}

/* ---- both ends die: the sender, then the receiver; the world, which has neither, frees them */

static par_conn *
give_each(int which)
{
    return end[1 - which];
}

static void
send_or_receive(int which)
{
    long n = 0, number;

    if (which == 0) {
        victims_end = end[1];
        send_two(0);
        return;
    }
    while ((number = receive(end[0], par_in(10))) > 0 && number == ++n)
        ;
    atomic_store(&page->victim[1].result, number == 0 ? n : -1);
}

static void
check_both(void)
{
    if (has_ended(1))
        expect(LOST, page->victim[1].result >= 1 && page->victim[1].result >= atomic_load(&page->note[0]));
    clean_up();
}

/* ---- an end of another pipe travels: to the victim, or back */

static par_conn *other[2];

static void
set_up_travel(void)
{
    size = SMALL;
    leak_mark();
    expect_ready(par_pipe(end, &(par_pipe_opts){ .capacity = 4096, .duplex = true }) == 0);
    expect_ready(par_pipe(other, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    victims_end = end[1];
    worlds_end = end[0];
    expect_ready(par_conn_send_conn(worlds_end, other[1], PAR_NOWAIT) == 0);
}

static void
receive_end(int which)
{
    par_conn *c = par_conn_recv_conn(victims_end, par_in(10));

    (void)which;
    if (c != NULL && send(c, 1, par_in(10)) == 0)
        atomic_store(&page->note[0], 1);
}

static void
send_end_back(int which)
{
    (void)which;
    atomic_store(&page->victim[0].result, par_conn_send_conn(victims_end, other[1], par_in(10)));
}

static void
fetch_end(int which)
{
    (void)which;
    expect_ready(par_conn_recv_conn(victims_end, par_in(10)) == other[1]);
}

static void
clean_up_travel(void)
{
    par_conn_free(other[0]);
    par_conn_free(other[1]);
    clean_up();
}

static void
check_end_received(void)
{
    long n = 0, number;

    while ((number = receive(other[0], soon())) > 0)
        expect(DUPLICATED, number == ++n);
    expect(HUNG, number == 0);
    expect(LOST, n >= atomic_load(&page->note[0]));
    clean_up_travel();
}

/* It is here, or it has died with the victim. */
static void
check_end_sent(void)
{
    par_conn *c = par_conn_recv_conn(worlds_end, soon());

    if (c == NULL) {
        expect(HUNG, errno == EPIPE);
        expect(LOST, !has_ended(0) || page->victim[0].result != 0);
        expect(HUNG, receive(other[0], soon()) == 0);
    } else {
        expect(TORN, c == other[1] && send(c, 1, soon()) == 0);
        expect(LOST, receive(other[0], soon()) == 1);
    }
    clean_up_travel();
}

#define OP(op_name, ...)                                                                 \
    {                                                                                    \
        .group = "pipe", .name = op_name, .give = give_end, .is_once = true, __VA_ARGS__ \
    }
#define OP_BOTH(op_name, ...)                                            \
    {                                                                    \
        .group = "pipe", .name = op_name, .give = give_each, __VA_ARGS__ \
    }

const struct op pipe_ops[] = {
    OP("pipe_send", .setup = set_up_send, .act = send_two, .check = check_sent),
    OP("pipe_send_big", .setup = set_up_send_big, .act = send_two, .check = check_sent),
    OP("pipe_send_full", .setup = set_up_send_full, .act = send_into_full, .meanwhile = take_two, .check = check_sent_full),
    OP("pipe_recv", .setup = set_up_recv, .act = receive_one, .check = check_received),
    OP("pipe_recv_big", .setup = set_up_recv_big, .act = receive_one, .check = check_received),
    OP("pipe_recv_empty", .setup = set_up_recv_empty, .act = receive_one, .meanwhile = send_one, .check = check_received),
    OP("pipe_close", .setup = set_up_send, .act = close_end, .check = check_closed),
    OP("pipe_recv_conn", .setup = set_up_travel, .act = receive_end, .check = check_end_received),
    OP("pipe_send_conn", .setup = set_up_travel, .prepare = fetch_end, .act = send_end_back, .check = check_end_sent),
    OP_BOTH("pipe_both", .setup = set_up_send, .act = send_or_receive, .check = check_both),
    OP_BOTH("pipe_both_big", .setup = set_up_send_big, .act = send_or_receive, .check = check_both),
    { .name = NULL },
};
