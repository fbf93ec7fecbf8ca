/* SPDX-License-Identifier: MIT
 *
 * client.c: one request and its answer, and what Python's exceptions mean as errno.
 *
 * If the server dies here, or the deadline passes, after the request has begun to go out: the link is closed, since the answer to
 * this request may still come and would be taken for that of the next one. The next call opens a new link.
 */
#include "client.h"

#include "../object/object.h"
#include "message.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *exception;
    int error;
} meanings[] = {
    { "builtins.IndexError", ENOENT },  { "builtins.KeyError", ENOENT },
    { "builtins.ValueError", ENOENT }, /* no such value in the list */
    { "builtins.TypeError", EINVAL },   { "builtins.RecursionError", ELOOP },
    { "builtins.MemoryError", ENOMEM }, { "builtins.OverflowError", EOVERFLOW },
};

#define MAX_ERRNO 4095

static int
error_of(const char *exception)
{
    for (size_t i = 0; exception != NULL && i < sizeof meanings / sizeof meanings[0]; i++)
        if (strcmp(meanings[i].exception, exception) == 0)
            return meanings[i].error;
    return EINVAL;
}

/* What is asked, of an object or (ident NULL) of the server itself. */
struct call {
    const char *ident, *method;
    const par_obj *args;
    bool is_post; /* its answer is "none", whenever it is carried out */
};

/* ---- the answer */

/* Anything but a result: what it means. */
static int
refusal(const char *kind, const par_obj *payload)
{
    const char *name = par_obj_record_name(payload);
    int64_t error = par_obj_as_int(par_obj_item(payload, 0), 0);

    if (strcmp(kind, PARI_REPLY_ERROR) == 0 && name != NULL && strcmp(name, "builtins.OSError") == 0 && error > 0 &&
        error <= MAX_ERRNO) {
        pari_say("manager: %s", par_obj_as_str(par_obj_item(payload, 1), strerror((int)error)));
        return (int)error;
    }
    if (strcmp(kind, PARI_REPLY_ERROR) == 0 && name != NULL) {
        pari_say("manager: %s: %s", name, par_obj_as_str(par_obj_item(payload, 0), ""));
        return error_of(name);
    }
    pari_say("manager: %s", par_obj_as_str(payload, kind));
    if (strcmp(kind, PARI_REPLY_UNSERIALIZABLE) == 0)
        return EMSGSIZE;
    return strcmp(kind, PARI_REPLY_TRACEBACK) == 0 ? EINVAL : EBADMSG;
}

/* The result alone, taken out of (kind, payload), which is taken over. */
static par_obj *
payload_of(par_obj *reply)
{
    const char *kind = par_obj_as_str(par_obj_item(reply, 0), NULL);
    par_obj *result = NULL;
    int error = EBADMSG;

    if (par_obj_type(reply) == PAR_TUPLE && par_obj_len(reply) == 2 && kind != NULL) {
        if (strcmp(kind, PARI_REPLY_RETURN) == 0)
            result = pari_obj_seq_take(reply, 1);
        else
            error = refusal(kind, par_obj_item(reply, 1));
    }
    par_obj_free(reply);
    return result != NULL ? result : pari_null(error);
}

static par_obj *
read_reply(const unsigned char *message, size_t length)
{
    par_obj *reply;

    if (pari_message_is_none(message, length))
        return par_none();
    reply = pari_unpickle(message, length);
    if (reply == NULL)
        return pari_null(errno == ENOMEM ? ENOMEM : EBADMSG);
    return payload_of(reply);
}

/* The answer to the request that is in link->out, over the socket. */
static par_obj *
ask_socket(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    const unsigned char *message;
    par_obj *result;
    size_t length;

    if (pari_link_send(link, server, deadline) != 0 || (message = pari_link_receive(link, server, &length, deadline)) == NULL) {
        pari_link_close(link);
        return NULL;
    }
    result = read_reply(message, length);
    pari_inbox_drop(&link->in);
    return result;
}

static par_obj *
hear_socket(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    link->out.size = 0; /* nothing to send */
    return ask_socket(link, server, deadline);
}

static int
wake_server(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    pari_message_bell(&link->out);
    return pari_link_send(link, server, deadline);
}

/* The same through the mailbox. */
static par_obj *
ask_mailbox(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    unsigned char answer[PARI_MAILBOX_MAX];
    bool sleeps = pari_mailbox_ask(link->box, link->out.data + PARI_FRAME_HEADER, link->out.size - PARI_FRAME_HEADER);
    ssize_t length;

    if ((sleeps && wake_server(link, server, deadline) != 0) ||
        (length = pari_mailbox_await(link->box, answer, deadline)) < 0) {
        pari_link_close(link);
        return NULL;
    }
    return length > 0 ? read_reply(answer, (size_t)length) : hear_socket(link, server, deadline);
}

/* Leave the request that is in link->out for later. A bell that does not reach the server costs the link, not the post. */
static bool
post(struct pari_link *link, const struct pari_server *server)
{
    enum pari_posted posted;

    if (pari_member_is_dead(server->member))
        return false;
    posted = pari_mailbox_post(link->box, link->out.data + PARI_FRAME_HEADER, link->out.size - PARI_FRAME_HEADER);
    if (posted == PARI_POST_LEFT_MANY && wake_server(link, server, PAR_NOWAIT) != 0)
        pari_link_close(link);
    return posted != PARI_POST_REFUSED;
}

/* Over an open link. NULL with the link closed: it failed half-way; NULL with the link open: this was the answer. */
static par_obj *
exchange(struct pari_link *link, const struct pari_server *server, const struct call *call, par_time deadline)
{
    if (pari_message_request(&link->out, call->ident, call->method, call->args) != 0)
        return NULL; /* nothing was sent */
    if (!link->is_taken || link->out.size - PARI_FRAME_HEADER > PARI_MAILBOX_MAX)
        return ask_socket(link, server, deadline);
    if (call->is_post && post(link, server))
        return par_none();
    return ask_mailbox(link, server, deadline);
}

/* ---- asking */

static par_obj *
offer_of(const struct pari_mailbox *box)
{
    return par_tuple(par_str("libpar"), par_int((int64_t)(uintptr_t)box), par_int(box != NULL ? (int64_t)box->offer : 0));
}

/* A link that may call methods. */
static int
open_link(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    par_obj *offer, *reply = NULL;

    if (link->fd >= 0)
        return 0;
    link->box = pari_mailbox_new(server->member);
    offer = offer_of(link->box);
    if (offer != NULL && pari_link_open(link, server, deadline) == 0)
        reply = exchange(link, server, &(struct call){ .method = "accept_connection", .args = offer }, deadline);
    par_obj_free(offer);
    if (reply == NULL) {
        pari_link_close(link);
        return -1;
    }
    link->is_taken = par_obj_type(reply) == PAR_BOOL && par_obj_as_int(reply, 0) == 1;
    if (!link->is_taken) {
        pari_mailbox_leave(link->box);
        link->box = NULL;
    }
    par_obj_free(reply);
    return 0;
}

static par_obj *
ask(const struct pari_server *server, const struct call *call, par_time deadline)
{
    struct pari_connection *connection;
    par_obj *result = NULL;

    if (pari_is_over(deadline))
        return pari_null(ETIMEDOUT);
    if (pari_is_interrupted())
        return pari_null(EINTR);
    connection = pari_connection_hold(server->member, deadline);
    if (connection == NULL)
        return NULL;
    if (open_link(&connection->link, server, deadline) == 0)
        result = exchange(&connection->link, server, call, deadline);
    pari_connection_let_go(connection);
    if (result == NULL && errno == EPIPE && pari_member_is_dead(server->member))
        pari_connection_end(server->member);
    return result;
}

static par_obj *
control(const struct pari_server *server, const char *method, const par_obj *args, par_time deadline)
{
    struct pari_link link = { .fd = -1 };
    par_obj *result = NULL;

    if (pari_is_over(deadline))
        return pari_null(ETIMEDOUT);
    if (pari_link_open(&link, server, deadline) == 0)
        result = exchange(&link, server, &(struct call){ .method = method, .args = args }, deadline);
    pari_link_close(&link);
    return result;
}

par_obj *
pari_client_ask(const struct pari_server *server, const char *ident, const char *method, par_obj *args, par_time deadline)
{
    int cancel = pari_cancel_off();
    struct call call = { ident, method, args, false };
    par_obj *result = args != NULL ? ask(server, &call, deadline) : NULL;

    par_obj_free(args);
    pari_cancel_restore(cancel);
    return result;
}

int
pari_client_post(const struct pari_server *server, const char *ident, const char *method, par_obj *args, par_time deadline)
{
    int cancel = pari_cancel_off();
    struct call call = { ident, method, args, true };
    par_obj *result = args != NULL ? ask(server, &call, deadline) : NULL;
    bool is_done = result != NULL;

    par_obj_free(args);
    par_obj_free(result);
    pari_cancel_restore(cancel);
    return is_done ? 0 : -1;
}

par_obj *
pari_client_control(const struct pari_server *server, const char *method, par_obj *args, par_time deadline)
{
    int cancel = pari_cancel_off();
    par_obj *result = args != NULL ? control(server, method, args, deadline) : NULL;

    par_obj_free(args);
    pari_cancel_restore(cancel);
    return result;
}

void
pari_client_tell(const struct pari_server *server, const char *method, par_obj *args)
{
    int saved = errno, cancel = pari_cancel_off();
    struct pari_link link = { .fd = -1 };

    if (args != NULL && pari_message_request(&link.out, NULL, method, args) == 0 &&
        pari_link_open(&link, server, PAR_NOWAIT) == 0)
        (void)pari_link_send(&link, server, PAR_NOWAIT); /* small: it goes whole or the server is gone */
    pari_link_close(&link);
    par_obj_free(args);
    pari_cancel_restore(cancel);
    errno = saved;
}
