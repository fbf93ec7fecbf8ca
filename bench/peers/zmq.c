/* SPDX-License-Identifier: MIT
 *
 * zmq.c: two ZeroMQ sockets over ipc. Each process has a context of its own, since it does not survive a fork.
 */
#include "../channel.h"

#include <zmq.h>

struct pair {
    char address[64]; /* an abstract one: no file */
    uint32_t *n_done; /* sides that have sent and received everything; shared */
    void *context;    /* the calling process's */
    void *socket;
};

static void *
pair_open(const struct bench_task *task)
{
    struct pair *c = bench_private(sizeof *c);

    (void)task;
    c->n_done = bench_shared(sizeof *c->n_done);
    (void)snprintf(c->address, sizeof c->address, "ipc://@bench-%d", (int)getpid());
    return c;
}

static void
pair_attach(void *arg, int side)
{
    struct pair *c = arg;

    c->context = zmq_ctx_new();
    bench_check(c->context != NULL);
    c->socket = zmq_socket(c->context, ZMQ_DEALER);
    bench_check(c->socket != NULL);
    bench_check((side == 0 ? zmq_bind : zmq_connect)(c->socket, c->address) == 0);
}

static void
pair_send(void *c, int side, const void *data, size_t size)
{
    (void)side;
    bench_check(zmq_send(((struct pair *)c)->socket, data, size, 0) == (int)size);
}

static void
pair_recv(void *c, int side, void *data, size_t size)
{
    (void)side;
    bench_check(zmq_recv(((struct pair *)c)->socket, data, size, 0) == (int)size);
}

/* A side that leaves takes along what its context's thread has not sent yet, and closing the context was seen to wait for ever for a
 * peer that had left; so both leave together, once each has all that it waits for. */
static void
pair_detach(void *arg, int side)
{
    struct pair *c = arg;

    (void)side;
    bench_add(c->n_done);
    bench_await(c->n_done, 2);
}

static const struct channel pair = {
    .open = pair_open, .attach = pair_attach, .send = pair_send, .recv = pair_recv, .detach = pair_detach
};
CHANNEL(pair)

static const struct bench_contender contenders[] = {
    CHANNEL_ENTRY(pair, stream, "zeromq-ipc", 5),
    CHANNEL_ENTRY(pair, roundtrip, "zeromq-ipc", 5),
};
BENCH_MAIN(contenders)
