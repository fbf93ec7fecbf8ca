/* SPDX-License-Identifier: MIT
 *
 * server.c: the server process: one thread, many clients, none of which can make another wait.
 *
 * While it is awake the server looks into the mailboxes of those who have just asked from another processor: the hot ones. The others
 * ring. Before it sleeps, all do.
 */
#include "server.h"

#include "session.h"

#include <errno.h>

#define MAX_READY 64
#define IDLE_SLICE 5000000000 /* ns; how often the owner's life is looked at beside the life line */
#define PAUSE 100000000       /* ns; when no descriptor was to be had for a new client */
#define MAX_HOT 32            /* mailboxes that are looked into: each look reads a line of each */
#define MAX_MAIL 16           /* requests in them, between two looks at the sockets */

struct server {
    struct pari_server_sockets sockets;
    struct pari_host host;
    struct pari_session *sessions;
    struct pari_session *hot[MAX_HOT];
    unsigned n_hot;
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
    if (pari_epoll_change(server->host.epoll, server->sockets.listener, pause ? 0 : PARI_READABLE, NULL) == 0)
        server->is_paused = pause;
}

/* A client that needs this very processor to ask again rings: meanwhile the server sleeps. */
static void
heat_up(struct server *server, struct pari_session *session)
{
    if (session->box == NULL || session->is_hot || server->n_hot == MAX_HOT || pari_mailbox_is_near(session->box))
        return;
    pari_mailbox_watch(session->box);
    server->hot[server->n_hot++] = session;
    session->is_hot = true;
}

static void
cool_down(struct server *server, struct pari_session *session)
{
    unsigned i = 0;

    if (!session->is_hot)
        return;
    while (server->hot[i] != session)
        i++;
    server->hot[i] = server->hot[--server->n_hot];
    session->is_hot = false;
}

static void
end_session(struct server *server, struct pari_session *session)
{
    cool_down(server, session);
    *session->back = session->next;
    if (session->next != NULL)
        session->next->back = session->back;
    pari_session_free(session, &server->host);
    if (server->is_paused)
        pause_listener(server, false);
}

static void
begin_session(struct server *server, int fd)
{
    struct pari_session *session = pari_session_new(&server->host, fd);

    if (session == NULL)
        return;
    session->next = server->sessions;
    session->back = &server->sessions;
    if (session->next != NULL)
        session->next->back = &session->next;
    server->sessions = session;
}

/* One at a time: others in the line make the listener ready again. */
static void
accept_client(struct server *server)
{
    int fd = pari_socket_accept(server->sockets.listener);

    if (fd >= 0)
        begin_session(server, fd);
    else if (errno != EAGAIN && errno != EPERM)
        pause_listener(server, true);
}

/* It has had its turn. */
static int
settle(struct server *server, struct pari_session *session, int outcome)
{
    if (outcome < 0)
        end_session(server, session);
    else if (outcome > 0)
        heat_up(server, session);
    return outcome;
}

/* ---- the process */

static void
serve(struct server *server, const struct pari_ready *ready, int n)
{
    for (int i = 0; i < n; i++) {
        struct pari_session *session = ready[i].owner;

        if (session == NULL)
            accept_client(server);
        else
            settle(server, session, pari_session_turn(session, &server->host) == 0 ? 1 : -1);
    }
}

static void
server_end(struct server *server)
{
    while (server->sessions != NULL)
        end_session(server, server->sessions);
    pari_backlog_free(&server->host.backlog);
    pari_service_end(&server->host.service);
    pari_server_close(&server->sockets);
}

/* One request of each hot mailbox; how many there were. */
static unsigned
serve_mail(struct server *server)
{
    unsigned n = 0;

    for (unsigned i = server->n_hot; i-- > 0;) { /* backwards: the last one takes the place of one that is closed */
        struct pari_session *session = server->hot[i];

        if (settle(server, session, pari_session_mail(session, &server->host)) > 0)
            n++;
    }
    return n;
}

/* For as long as is worth while before the time is asked for. */
static unsigned
look_for_mail(struct server *server)
{
    unsigned n = serve_mail(server);

    for (int i = 1; i < PARI_LOOKS && n == 0; i++) {
        pari_cpu_relax();
        n = serve_mail(server);
    }
    return n;
}

/* Who posts many requests posts more of them: while the server looks on, none of those has to wake it. */
static void
clear_backlog(struct server *server)
{
    struct pari_host *host = &server->host;

    if (pari_backlog_is_long(&host->backlog) && pari_backlog_clear(&host->backlog, &host->service) == 0)
        host->has_served = true;
}

/* Who has just had an answer often asks again, in less time than a sleep and a wake-up take. */
static int
look_for_requests(struct server *server, struct pari_ready *ready)
{
    int64_t end = pari_now_ns() + PARI_WAKE_NS;
    int n;

    server->host.has_served = false;
    do {
        for (unsigned mail = 0, more = 1; more > 0 && mail < MAX_MAIL; mail += more)
            more = look_for_mail(server);
        clear_backlog(server);
        n = pari_epoll_wait(server->host.epoll, ready, MAX_READY, 0);
    } while (n == 0 && !server->host.has_served && pari_now_ns() < end);
    return n;
}

/* All mailboxes ring from now on. */
static void
rest(struct server *server)
{
    while (server->n_hot > 0) {
        struct pari_session *session = server->hot[0];

        cool_down(server, session);
        pari_mailbox_rest(session->box);
        if (settle(server, session, pari_session_mail(session, &server->host)) > 0) /* it came just before */
            return;
    }
}

static int
wait_for_requests(struct server *server, struct pari_ready *ready)
{
    int n = 0;

    if (server->n_hot == 0)
        server->host.has_served = false;
    if (server->host.has_served)
        n = look_for_requests(server, ready);
    if (n == 0 && !server->host.has_served)
        rest(server);
    if (n != 0 || server->host.has_served)
        return n;
    return pari_epoll_wait(server->host.epoll, ready, MAX_READY, pari_now_ns() + (server->is_paused ? PAUSE : IDLE_SLICE));
}

int
pari_server_main(void *arg)
{
    const struct pari_server_start *start = arg;
    struct server server = { .sockets = start->sockets, .host.service.types = start->types };
    pari_member owner = pari_member_parent(pari_self());
    struct pari_ready ready[MAX_READY];
    int n = 0;

    server.host.epoll = server.sockets.epoll;
    pari_fd_raise_limit();
    while (n >= 0 && !server.host.service.is_over && !pari_member_is_dead(owner)) {
        n = wait_for_requests(&server, ready);
        serve(&server, ready, n);
        if (n == 0 && server.is_paused)
            pause_listener(&server, false);
    }
    server_end(&server);
    return n >= 0 ? 0 : 1;
}
