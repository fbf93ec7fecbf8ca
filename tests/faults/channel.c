/* SPDX-License-Identifier: MIT
 *
 * channel.c: pipes and queues.
 */
#include "faults.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define BIG (600 * 1024) /* a block of its own in both */

static par_conn *end[2];
static par_queue *q;
static par_pqueue *pq;
static unsigned char big[BIG], got[BIG];

/* ---- pipes */

static int
new_pipe(void)
{
    return par_pipe(end, NULL);
}

static int
new_duplex(void)
{
    return par_pipe(end, &(par_pipe_opts){ .duplex = true });
}

static void
free_pipe(void)
{
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
make_pipe(void)
{
    memset(big, 7, sizeof big);
    expect_ready(par_pipe(end, NULL) == 0);
}

static int
nothing_came(int result)
{
    int error = errno;

    if (result != 0)
        QUIETLY(expect(par_conn_poll(end[0], PAR_NOWAIT) == -1 && errno == ETIMEDOUT));
    errno = error;
    return result;
}

static int
send_small(void)
{
    return nothing_came(par_conn_send(end[1], "hello", 5, soon()));
}

static void
receive_small(void)
{
    char text[8];

    expect(par_conn_recv(end[0], text, sizeof text, PAR_NOWAIT) == 5 && memcmp(text, "hello", 5) == 0);
}

static int
send_big(void)
{
    return nothing_came(par_conn_send(end[1], big, sizeof big, soon()));
}

static void
receive_big(void)
{
    memset(got, 0, sizeof got);
    expect(par_conn_recv(end[0], got, sizeof got, PAR_NOWAIT) == BIG && memcmp(got, big, BIG) == 0);
}

static int
receive_alloc(void)
{
    size_t size = 0;
    char *text;

    QUIETLY(expect_ready(par_conn_send(end[1], "hello", 5, soon()) == 0));
    text = par_conn_recv_alloc(end[0], &size, soon());
    if (text == NULL) {
        QUIETLY(receive_small()); /* it has stayed */
        errno = ENOMEM;
        return -1;
    }
    expect(size == 5 && strcmp(text, "hello") == 0);
    free(text);
    return 0;
}

static int
send_object(void)
{
    return nothing_came(par_conn_send_obj(end[1], par_tuple(par_int(1), par_str("two"), par_float(3.0)), soon()));
}

static void
receive_object_there(void)
{
    par_obj *o = par_conn_recv_obj(end[0], soon());

    expect(o != NULL && par_obj_len(o) == 3);
    par_obj_free(o);
}

static int
receive_object(void)
{
    par_obj *o;

    QUIETLY(expect_ready(send_object() == 0));
    o = par_conn_recv_obj(end[0], soon());
    if (o == NULL) {
        int error = errno;
        QUIETLY(receive_object_there()); /* it has stayed */
        errno = error;
        return -1;
    }
    expect(par_obj_len(o) == 3);
    par_obj_free(o);
    return 0;
}

static void
say_hello(void)
{
    expect(par_conn_send(end[1], "hello", 5, soon()) == 0);
}

/* The peer is a child, which the end is given to. */
static int
speak(void *arg)
{
    while (atomic_load(&point->is_trying) && atomic_load(&point->seen[PARI_CALL_FUTEX_WAITV]) == 0 &&
           atomic_load(&point->seen[PARI_CALL_FUTEX_WAIT]) == 0)
        (void)poll(NULL, 0, 1);
    return par_conn_send(arg, "hello", 5, soon()) == 0 ? 0 : 1;
}

static int
wait_message(void)
{
    par_process *speaker = NULL;
    int result;

    QUIETLY(make_pipe());
    QUIETLY(speaker = par_process_start(speak, end[1], 0, &(par_process_opts){ .give = { end[1] } }));
    expect_ready(speaker != NULL);
    result = par_conn_poll(end[0], soon());
    if (result == 0)
        receive_small();
    QUIETLY(expect(par_process_join(speaker, soon()) == 0));
    par_process_free(speaker);
    QUIETLY(free_pipe());
    return result;
}

/* An event loop is told of each message, at the latest by the next one. */
static int
ring(void)
{
    struct pollfd bell = { .fd = par_conn_fileno(end[0]), .events = POLLIN };
    char text[8];

    expect(bell.fd >= 0);
    while (par_conn_recv(end[0], text, sizeof text, PAR_NOWAIT) == 5)
        ;
    say_hello();
    if (poll(&bell, 1, 0) == 0) {
        QUIETLY(say_hello());
        expect(poll(&bell, 1, 0) == 1 || atomic_load(&point->error) == EAGAIN); /* "rung already": that was a lie */
        expect(atomic_load(&point->call) == PARI_CALL_SEND);
    }
    while (par_conn_recv(end[0], text, sizeof text, PAR_NOWAIT) == 5)
        ;
    return 0;
}

/* ---- queues */

static int
new_queue(void)
{
    return (q = par_queue_new(NULL)) != NULL ? 0 : -1;
}

static int
new_queue_of_producers(void)
{
    q = par_queue_new(&(par_queue_opts){ .producers = 2, .maxsize = 3 });
    if (q == NULL)
        return -1;
    return par_queue_producer_join(q) == 0 && par_queue_put(q, "x", 1, soon()) == 0 ? par_queue_producer_leave(q) : -1;
}

static void
free_queue(void)
{
    par_queue_free(q);
}

static void
make_queue(void)
{
    memset(big, 7, sizeof big);
    expect_ready(new_queue() == 0);
}

static int
is_unchanged(int result, ssize_t n)
{
    int error = errno;

    if (result != 0)
        expect(par_queue_qsize(q) == n);
    errno = error;
    return result;
}

static int
put_small(void)
{
    return is_unchanged(par_queue_put(q, "hello", 5, soon()), 0);
}

static void
get_small(void)
{
    char text[8];

    expect(par_queue_get(q, text, sizeof text, PAR_NOWAIT) == 5 && memcmp(text, "hello", 5) == 0);
    expect(par_queue_task_done(q) == 0 && par_queue_join(q, PAR_NOWAIT) == 0);
}

static int
put_big(void)
{
    return is_unchanged(par_queue_put(q, big, sizeof big, soon()), 0);
}

static void
get_big(void)
{
    memset(got, 0, sizeof got);
    expect(par_queue_get(q, got, sizeof got, PAR_NOWAIT) == BIG && memcmp(got, big, BIG) == 0);
}

/* The first get of a process on a queue makes its account. */
static int
first_get(void)
{
    char text[8];
    ssize_t n;
    int error;

    QUIETLY(expect_ready(put_small() == 0));
    n = par_queue_get(q, text, sizeof text, soon());
    error = errno;
    if (n != 5) {
        (void)is_unchanged(-1, 1);
        QUIETLY(get_small());
        errno = error;
        return -1;
    }
    expect(par_queue_task_done(q) == 0 && par_queue_join(q, soon()) == 0);
    return 0;
}

static int
get_alloc(void)
{
    size_t size = 0;
    char *text;
    int error;

    QUIETLY(expect_ready(put_small() == 0));
    text = par_queue_get_alloc(q, &size, soon());
    error = errno;
    if (text == NULL)
        QUIETLY(get_small());
    else
        expect(size == 5 && par_queue_task_done(q) == 0 && par_queue_join(q, soon()) == 0);
    free(text);
    errno = error;
    return text != NULL ? 0 : -1;
}

static int
put_object(void)
{
    return is_unchanged(par_queue_put_obj(q, par_tuple(par_int(1), par_str("two"), par_float(3.0)), soon()), 0);
}

static void
get_object_there(void)
{
    par_obj *o = par_queue_get_obj(q, soon());

    expect(o != NULL && par_obj_len(o) == 3);
    par_obj_free(o);
}

static int
get_object(void)
{
    par_obj *o;
    int error;

    QUIETLY(expect_ready(put_object() == 0));
    o = par_queue_get_obj(q, soon());
    error = errno;
    if (o == NULL)
        QUIETLY(get_object_there());
    par_obj_free(o);
    errno = error;
    return o != NULL ? 0 : -1;
}

static void
put_for_sleeper(void)
{
    expect(par_queue_put(q, "hello", 5, soon()) == 0);
}

static int
wait_queue(void)
{
    char text[8];
    ssize_t n;
    pid_t pid;

    QUIETLY(pid = helper_start(put_for_sleeper, PARI_CALL_FUTEX_WAITV, PARI_CALL_FUTEX_WAIT));
    n = par_queue_get(q, text, sizeof text, soon());
    helper_join(pid);
    return n == 5 ? 0 : -1;
}

static void
finish_there(void)
{
    char text[8];

    expect(par_queue_get(q, text, sizeof text, soon()) == 5 && par_queue_task_done(q) == 0);
}

static int
wait_join(void)
{
    ssize_t n;
    pid_t pid;

    QUIETLY(make_queue());
    QUIETLY(expect_ready(put_small() == 0));
    QUIETLY(pid = helper_start(finish_there, PARI_CALL_FUTEX_WAITV, PARI_CALL_FUTEX_WAIT));
    n = par_queue_join(q, soon());
    helper_join(pid);
    if (n < 0)
        QUIETLY(free_queue());
    else
        expect(n == 0);
    return n < 0 ? -1 : 0;
}

/* ---- descriptors, and queues with an order */

static int
new_queue_with_descriptor(void)
{
    int fd;

    QUIETLY(make_queue());
    fd = par_queue_fileno(q);
    if (fd < 0)
        QUIETLY(free_queue());
    return fd < 0 ? -1 : 0;
}

static int
new_pqueue(void)
{
    pq = par_pqueue_new(NULL);
    return pq != NULL ? 0 : -1;
}

static void
free_pqueue(void)
{
    par_pqueue_free(pq);
}

static int
use_pqueue(void)
{
    par_lease lease;
    int item = 1;

    QUIETLY(expect_ready(new_pqueue() == 0));
    expect(par_pqueue_put(pq, &item, sizeof item, 1, soon()) == 0);
    expect(par_pqueue_lease(pq, &item, sizeof item, &lease, soon()) == sizeof item && par_pqueue_nack(pq, &lease, soon()) == 0);
    expect(par_pqueue_get(pq, &item, sizeof item, soon()) == sizeof item);
    return 0;
}

#define PIPE .group = "pipe"
#define QUEUE .group = "queue"

const struct op channel_ops[] = {
    { PIPE, .name = "pipe", .act = new_pipe, .undo = free_pipe, .errors = ERRORS(ENOSPC, EMFILE, ENFILE, ENOMEM),
      .is_cold = true },
    { PIPE, .name = "pipe_duplex", .act = new_duplex, .undo = free_pipe, .errors = ERRORS(ENOSPC, EMFILE, ENFILE, ENOMEM) },
    { PIPE, .name = "conn_send", .setup = make_pipe, .act = send_small, .undo = receive_small, .errors = ERRORS(0) },
    { PIPE, .name = "conn_send_big", .setup = make_pipe, .act = send_big, .undo = receive_big, .errors = ERRORS(ENOSPC),
      .is_once = true },
    { PIPE, .name = "conn_recv_alloc", .setup = make_pipe, .act = receive_alloc, .errors = ERRORS(ENOMEM) },
    { PIPE, .name = "conn_send_obj", .setup = make_pipe, .act = send_object, .undo = receive_object_there,
      .errors = ERRORS(ENOMEM) },
    { PIPE, .name = "conn_recv_obj", .setup = make_pipe, .act = receive_object, .errors = ERRORS(ENOMEM) },
    { PIPE, .name = "conn_poll_waits", .act = wait_message, .errors = ERRORS(0) },
    { PIPE, .name = "conn_fileno_rings", .setup = make_pipe, .act = ring, .errors = ERRORS(0) },
    { QUEUE, .name = "queue_new", .act = new_queue, .undo = free_queue, .errors = ERRORS(ENOSPC, ENOMEM), .is_cold = true },
    { QUEUE, .name = "queue_new_producers", .act = new_queue_of_producers, .undo = free_queue,
      .errors = ERRORS(ENOSPC, ENOMEM) },
    { QUEUE, .name = "queue_put", .setup = make_queue, .act = put_small, .undo = get_small, .errors = ERRORS(0) },
    { QUEUE, .name = "queue_put_big", .setup = make_queue, .act = put_big, .undo = get_big, .errors = ERRORS(ENOSPC),
      .is_once = true },
    { QUEUE, .name = "queue_get_first", .setup = make_queue, .act = first_get, .errors = ERRORS(ENOSPC), .is_once = true },
    { QUEUE, .name = "queue_get_alloc", .setup = make_queue, .act = get_alloc, .errors = ERRORS(ENOMEM) },
    { QUEUE, .name = "queue_put_obj", .setup = make_queue, .act = put_object, .undo = get_object_there,
      .errors = ERRORS(ENOMEM) },
    { QUEUE, .name = "queue_get_obj", .setup = make_queue, .act = get_object, .errors = ERRORS(ENOMEM) },
    { QUEUE, .name = "queue_get_waits", .setup = make_queue, .act = wait_queue, .errors = ERRORS(0) },
    { QUEUE, .name = "queue_fileno", .act = new_queue_with_descriptor, .undo = free_queue,
      .errors = ERRORS(ENOSPC, EMFILE, ENFILE, ENOMEM) },
    { QUEUE, .name = "pqueue_new", .act = new_pqueue, .undo = free_pqueue, .errors = ERRORS(ENOSPC, ENOMEM), .is_cold = true },
    { QUEUE, .name = "pqueue_use", .act = use_pqueue, .undo = free_pqueue, .errors = ERRORS(0) },
    { QUEUE, .name = "queue_join_waits", .act = wait_join, .undo = free_queue, .errors = ERRORS(0) },
    { .name = NULL },
};
