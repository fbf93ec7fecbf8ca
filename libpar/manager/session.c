/* SPDX-License-Identifier: MIT
 *
 * session.c: one client's messages.
 *
 * A client is a stream with at most one message coming in and one answer going out. While an answer has not gone out in full, nothing
 * more is read from that client, so what it can make the server keep is bounded, and one that sends half a message, or never reads,
 * costs its memory and nobody's time. A client whose bytes make no sense is closed, and no other.
 *
 * It begins as one that asks the server itself: one request, one answer, closed. The request "accept_connection" makes it one that
 * calls methods of objects, as often as it likes. One of the family may offer a mailbox with it.
 *
 * Before any request is answered, what was posted by all clients is carried out (backlog.h).
 *
 * If a client dies here: its stream ends; a request that has arrived in full is carried out, half of one is not.
 */
#include "session.h"

#include "../os/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_CAPACITY 65536 /* a larger answer gives its memory back */

struct pari_session *
pari_session_new(struct pari_host *host, int fd)
{
    struct pari_session *session = pari_malloc(sizeof *session);

    if (session == NULL || pari_epoll_add(host->epoll, fd, PARI_READABLE, session) != 0) {
        free(session);
        pari_fd_close(fd);
        return NULL;
    }
    session->fd = fd;
    session->watched = PARI_READABLE;
    return session;
}

void
pari_session_free(struct pari_session *session, struct pari_host *host)
{
    if (session->box != NULL) {
        if (pari_backlog_clear(&host->backlog, &host->service) != 0)
            pari_say("manager: what a client that has gone had posted is lost: %s", strerror(errno));
        pari_backlog_leave(&host->backlog, session->box);
    }
    pari_epoll_remove(host->epoll, session->fd); /* a child that an object's type has just forked may have a copy */
    pari_fd_close(session->fd);
    pari_mailbox_free(session->box);
    pari_inbox_clear(&session->in);
    pari_buffer_free(&session->out);
    free(session);
}

static bool
is_sending(const struct pari_session *session)
{
    return session->sent < session->out.size;
}

static int
watch(struct pari_session *session, struct pari_host *host)
{
    int what = is_sending(session) ? PARI_WRITABLE : PARI_READABLE;

    if (what != session->watched && pari_epoll_change(host->epoll, session->fd, what, session) != 0)
        return -1;
    session->watched = what;
    return 0;
}

/* Send what goes. -1: it is gone, or this was its last answer. */
static int
send_answer(struct pari_session *session)
{
    while (is_sending(session)) {
        ssize_t n = pari_socket_send(session->fd, session->out.data + session->sent, session->out.size - session->sent);

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        session->sent += (size_t)n;
    }
    if (session->out.capacity > KEPT_CAPACITY)
        pari_buffer_free(&session->out);
    return session->is_last ? -1 : 0;
}

/* What it offered when it was accepted; it is told whether that was taken. */
static int
take_mailbox(struct pari_session *session, struct pari_host *host)
{
    const struct pari_service *service = &host->service;
    par_obj *yes;
    int told;

    session->box = pari_mailbox_take((uintptr_t)service->offered, service->offer, pari_socket_peer(session->fd));
    if (session->box == NULL)
        return 0;
    pari_backlog_join(&host->backlog, session->box);
    yes = par_bool(true);
    told = yes != NULL ? pari_message_reply(&session->out, PARI_REPLY_RETURN, yes) : -1;
    par_obj_free(yes);
    return told;
}

static int
answer_control(struct pari_session *session, struct pari_host *host, const unsigned char *message, size_t length)
{
    int outcome;

    host->service.client = pari_socket_peer(session->fd);
    outcome = pari_service_control(&host->service, message, length, &session->out);
    session->calls_objects = outcome == PARI_SERVICE_ACCEPTED;
    session->is_last = !session->calls_objects;
    if (session->calls_objects && host->service.offered != 0)
        return take_mailbox(session, host);
    return outcome < 0 ? -1 : 0;
}

static int
answer(struct pari_session *session, struct pari_host *host, const unsigned char *message, size_t length)
{
    session->sent = session->out.size = 0;
    host->has_served = true;
    if (pari_backlog_clear(&host->backlog, &host->service) != 0)
        return pari_service_refuse(&host->service, &session->out);
    return session->calls_objects ? pari_service_call(&host->service, message, length, &session->out)
                                  : answer_control(session, host, message, length);
}

int
pari_session_mail(struct pari_session *session, struct pari_host *host)
{
    unsigned char message[PARI_MAILBOX_MAX];
    ssize_t length;

    if (session->box == NULL || is_sending(session) || (length = pari_mailbox_request(session->box, message)) == 0)
        return 0;
    if (length < 0 || answer(session, host, message, (size_t)length) != 0)
        return -1;
    if (pari_mailbox_answer(session->box, session->out.data + PARI_FRAME_HEADER, session->out.size - PARI_FRAME_HEADER))
        session->sent = session->out.size; /* send_answer gives a large buffer back */
    if (send_answer(session) != 0 || watch(session, host) != 0)
        return -1;
    return 1;
}

/* One of no bytes says that there is one in the mailbox, or many posts. */
static int
take_message(struct pari_session *session, struct pari_host *host, const unsigned char *message, size_t length)
{
    if (length == 0 && session->box != NULL) {
        host->has_served = true;
        (void)pari_backlog_clear(&host->backlog, &host->service); /* what there is no memory for is tried again */
        return pari_session_mail(session, host) < 0 ? -1 : 0;
    }
    return answer(session, host, message, length) != 0 ? -1 : send_answer(session);
}

int
pari_session_turn(struct pari_session *session, struct pari_host *host)
{
    const unsigned char *message;
    size_t length;

    if (send_answer(session) != 0)
        return -1;
    if (!is_sending(session) && pari_inbox_receive(&session->in, session->fd) < 0) {
        (void)pari_session_mail(session, host); /* its last request */
        return -1;
    }
    while (!is_sending(session) && (message = pari_inbox_message(&session->in, &length)) != NULL) {
        int taken = take_message(session, host, message, length);

        pari_inbox_drop(&session->in);
        if (taken != 0)
            return -1;
    }
    return watch(session, host);
}
