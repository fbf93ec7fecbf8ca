/* SPDX-License-Identifier: MIT
 *
 * server.c: the server process: one thread, many clients, none of which can make another wait.
 *
 * A client is a stream with at most one message coming in and one answer going out. While an answer has not gone out in full, nothing
 * more is read from that client, so what it can make the server keep is bounded, and one that sends half a message, or never reads,
 * costs its memory and nobody's time. A client whose bytes make no sense is closed, and no other.
 *
 * A client begins as one that asks the server itself: one request, one answer, closed. The request "accept_connection" makes it one
 * that calls methods of objects, as often as it likes.
 *
 * If a client dies here: its stream ends; a request that has arrived in full is carried out, half of one is not.
 */
#include "server.h"

#include "service.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_READY 64
#define SPIN_NS 50000         /* what a wake-up across processors takes */
#define IDLE_SLICE 5000000000 /* ns; how often the owner's life is looked at beside the life line */
#define PAUSE 100000000       /* ns; when no descriptor was to be had for a new client */
#define KEPT_CAPACITY 65536   /* a larger answer gives its memory back */

struct client {
    struct client *next, **back;
    int fd, watched;
    bool calls_objects; /* not yet: its next request is for the server itself, and its last */
    bool is_last;       /* to be closed once the answer has gone out */
    struct pari_inbox in;
    struct pari_buffer out;
    size_t sent;
};

struct server {
    struct pari_server_sockets sockets;
    struct pari_service service;
    struct client *clients;
    bool is_paused; /* the listener is not watched */
};

/* ---- sockets */

int
pari_server_open(struct pari_server_sockets *sockets, char address[PARI_ADDRESS_SIZE])
{
    sockets->epoll = -1;
    sockets->listener = pari_socket_listen(address);
    if (sockets->listener < 0)
        return -1;
    sockets->epoll = pari_epoll_new();
    if (sockets->epoll < 0 || pari_epoll_add(sockets->epoll, sockets->listener, PARI_READABLE, NULL) != 0) {
        pari_server_close(sockets);
        return -1;
    }
    return 0;
}

void
pari_server_close(struct pari_server_sockets *sockets)
{
    pari_fd_close(sockets->epoll);
    pari_fd_close(sockets->listener);
}

/* ---- clients */

/* New clients wait in the listener's line while there is no descriptor for them. */
static void
pause_listener(struct server *server, bool pause)
{
    if (pari_epoll_change(server->sockets.epoll, server->sockets.listener, pause ? 0 : PARI_READABLE, NULL) == 0)
        server->is_paused = pause;
}

static void
client_close(struct server *server, struct client *client)
{
    *client->back = client->next;
    if (client->next != NULL)
        client->next->back = client->back;
    pari_fd_close(client->fd);
    pari_inbox_clear(&client->in);
    pari_buffer_free(&client->out);
    free(client);
    if (server->is_paused)
        pause_listener(server, false);
}

static void
client_open(struct server *server, int fd)
{
    struct client *client = pari_malloc(sizeof *client);

    if (client == NULL || pari_epoll_add(server->sockets.epoll, fd, PARI_READABLE, client) != 0) {
        free(client);
        pari_fd_close(fd);
        return;
    }
    client->fd = fd;
    client->watched = PARI_READABLE;
    client->next = server->clients;
    client->back = &server->clients;
    if (client->next != NULL)
        client->next->back = &client->next;
    server->clients = client;
}

/* One at a time: others in the line make the listener ready again. */
static void
client_accept(struct server *server)
{
    int fd = pari_socket_accept(server->sockets.listener);

    if (fd >= 0)
        client_open(server, fd);
    else if (errno != EAGAIN && errno != EPERM)
        pause_listener(server, true);
}

static bool
is_sending(const struct client *client)
{
    return client->sent < client->out.size;
}

static int
client_watch(struct server *server, struct client *client)
{
    int what = is_sending(client) ? PARI_WRITABLE : PARI_READABLE;

    if (what != client->watched && pari_epoll_change(server->sockets.epoll, client->fd, what, client) != 0)
        return -1;
    client->watched = what;
    return 0;
}

/* Send what goes. -1: close the client, because it is gone or because this was its last answer. */
static int
client_send(struct client *client)
{
    while (is_sending(client)) {
        ssize_t n = pari_socket_send(client->fd, client->out.data + client->sent, client->out.size - client->sent);

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        client->sent += (size_t)n;
    }
    if (client->out.capacity > KEPT_CAPACITY)
        pari_buffer_free(&client->out);
    return client->is_last ? -1 : 0;
}

static int
client_answer(struct server *server, struct client *client, const unsigned char *message, size_t length)
{
    int outcome;

    client->sent = client->out.size = 0;
    if (client->calls_objects)
        return pari_service_call(&server->service, message, length, &client->out);
    outcome = pari_service_control(&server->service, message, length, &client->out);
    client->calls_objects = outcome == PARI_SERVICE_ACCEPTED;
    client->is_last = outcome != PARI_SERVICE_ACCEPTED;
    return outcome < 0 ? -1 : 0;
}

/* Receive once, answer what has arrived in full. -1: close the client. */
static int
client_turn(struct server *server, struct client *client)
{
    const unsigned char *message;
    size_t length;

    if (client_send(client) != 0)
        return -1;
    if (!is_sending(client) && pari_inbox_receive(&client->in, client->fd) < 0)
        return -1;
    while (!is_sending(client) && (message = pari_inbox_message(&client->in, &length)) != NULL) {
        int answered = client_answer(server, client, message, length);

        pari_inbox_drop(&client->in);
        if (answered != 0 || client_send(client) != 0)
            return -1;
    }
    return client_watch(server, client);
}

/* ---- the process */

static void
serve(struct server *server, const struct pari_ready *ready, int n)
{
    for (int i = 0; i < n; i++) {
        struct client *client = ready[i].owner;

        if (client == NULL)
            client_accept(server);
        else if (client_turn(server, client) != 0)
            client_close(server, client);
    }
}

static void
server_end(struct server *server)
{
    while (server->clients != NULL)
        client_close(server, server->clients);
    pari_service_end(&server->service);
    pari_server_close(&server->sockets);
}

/* Who has just had an answer often asks again, in less time than a sleep and a wake-up take. */
static int
look_for_requests(struct server *server, struct pari_ready *ready)
{
    int64_t end = pari_now_ns() + SPIN_NS;
    int n;

    while ((n = pari_epoll_wait(server->sockets.epoll, ready, MAX_READY, 0)) == 0 && pari_now_ns() < end)
        pari_yield(); /* to the client, if it waits for this very processor */
    return n;
}

static int
wait_for_requests(struct server *server, struct pari_ready *ready, bool has_served)
{
    int n = has_served ? look_for_requests(server, ready) : 0;

    if (n != 0)
        return n;
    return pari_epoll_wait(server->sockets.epoll, ready, MAX_READY, pari_now_ns() + (server->is_paused ? PAUSE : IDLE_SLICE));
}

int
pari_server_main(void *sockets)
{
    struct server server = { .sockets = *(struct pari_server_sockets *)sockets };
    pari_member owner = pari_member_parent(pari_self());
    struct pari_ready ready[MAX_READY];
    int n = 0;

    pari_fd_raise_limit();
    while (n >= 0 && !server.service.is_over && !pari_member_is_dead(owner)) {
        n = wait_for_requests(&server, ready, n > 0);
        serve(&server, ready, n);
        if (n == 0 && server.is_paused)
            pause_listener(&server, false);
    }
    server_end(&server);
    return n >= 0 ? 0 : 1;
}
