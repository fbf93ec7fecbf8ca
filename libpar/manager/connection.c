/* SPDX-License-Identifier: MIT
 *
 * connection.c: links to manager servers, and the table of those that this process keeps.
 *
 * Private state: the table is a list under the private lock of the process; an entry is freed by its last user once it is over.
 * The link of an entry belongs to the thread that holds the entry's mutex. A child made by fork has no part in its parent's links:
 * the descriptors are closed in it before fork returns there, and the table is made new in place, since a mutex or a buffer may be
 * just in use by a thread that the child does not have.
 * Lock order: an entry's mutex, then the private lock.
 * If the server dies here: its end closes the stream, which wakes a receiver at once; each slice asks the registry besides.
 */
#include "connection.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SLICE 10000000 /* 10 ms */
#define LAST_SLICE 500000000 /* 500 ms */
#define KEPT_CAPACITY 65536  /* a larger outgoing message gives its memory back */

static struct pari_connection *connections;

/* ---- links */

int
pari_link_open(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    struct pari_nap nap = { 0 };
    const _Atomic uint32_t never_changes = 0;

    while (!pari_member_is_dead(server->member)) {
        link->fd = pari_socket_connect(server->address);
        if (link->fd >= 0)
            return 0;
        if (errno == ECONNREFUSED)
            return pari_fail(EPIPE);
        if (errno != EAGAIN || pari_nap(&nap, &never_changes, 0, &server->member, 1, deadline) != 0)
            return -1;
    }
    return pari_fail(EPIPE);
}

/* Until the link is ready for `what`, or a slice has passed: look again. */
static int
wait_for(const struct pari_link *link, int what, const struct pari_server *server, int64_t *slice, par_time deadline)
{
    int ready;

    if (pari_is_interrupted())
        return pari_fail(EINTR);
    if (pari_is_over(deadline))
        return pari_fail(ETIMEDOUT);
    *slice = *slice == 0 ? FIRST_SLICE : *slice * 2 < LAST_SLICE ? *slice * 2 : LAST_SLICE;
    ready = pari_socket_wait(link->fd, what, pari_slice_end(deadline, *slice));
    if (ready == 0 && pari_member_is_dead(server->member))
        return pari_fail(EPIPE);
    return ready < 0 ? -1 : 0;
}

int
pari_link_send(struct pari_link *link, const struct pari_server *server, par_time deadline)
{
    int64_t slice = 0;

    for (size_t sent = 0; sent < link->out.size;) {
        ssize_t n = pari_socket_send(link->fd, link->out.data + sent, link->out.size - sent);

        if (n >= 0)
            sent += (size_t)n;
        else if (errno != EAGAIN || wait_for(link, PARI_WRITABLE, server, &slice, deadline) != 0)
            return -1;
    }
    return 0;
}

const unsigned char *
pari_link_receive(struct pari_link *link, const struct pari_server *server, size_t *length, par_time deadline)
{
    int64_t slice = 0;
    int whole = pari_inbox_receive(&link->in, link->fd);

    while (whole == 0) {
        if (wait_for(link, PARI_READABLE, server, &slice, deadline) != 0)
            return NULL;
        whole = pari_inbox_receive(&link->in, link->fd);
    }
    return whole > 0 ? pari_inbox_message(&link->in, length) : NULL;
}

void
pari_link_close(struct pari_link *link)
{
    int saved = errno;

    pari_mailbox_leave(link->box); /* before the server learns that it may free it */
    link->box = NULL;
    link->is_taken = false;
    pari_fd_close(link->fd);
    link->fd = -1;
    pari_inbox_clear(&link->in);
    pari_buffer_free(&link->out);
    errno = saved;
}

/* ---- the table */

/* In the child of a fork. Buffers that another thread had in its hands at that moment may be half-changed: they are left alone. */
static void
forget_links(void)
{
    for (struct pari_connection *c = connections; c != NULL; c = c->next) {
        if (pari_mutex_is_locked(&c->mutex)) {
            c->link.in = (struct pari_inbox){ NULL, 0, 0, 0 };
            c->link.out = (struct pari_buffer){ 0 };
        }
        c->link.in.size = 0;
        c->link.box = NULL;
        c->link.is_taken = false;
        c->link.fd = -1;
        c->n_users = 0;
        (void)pari_mutex_init(&c->mutex); /* has worked on this very memory before */
    }
}

static struct pari_connection *
connection_new(pari_member server)
{
    struct pari_connection *c = pari_malloc(sizeof *c);

    if (c == NULL || pari_mutex_init(&c->mutex) != 0) {
        free(c);
        return NULL;
    }
    c->server = server;
    c->link.fd = -1;
    return c;
}

/* Under the private lock. */
static struct pari_connection *
find(pari_member server)
{
    struct pari_connection *c = connections;

    while (c != NULL && c->server != server)
        c = c->next;
    return c;
}

static struct pari_connection *
use(pari_member server)
{
    struct pari_connection *c;

    pari_private_lock();
    c = find(server);
    if (c != NULL)
        c->n_users++;
    pari_private_unlock();
    return c;
}

static void
leave(struct pari_connection *c)
{
    struct pari_connection **at = &connections;
    bool last;

    pari_private_lock();
    last = --c->n_users == 0 && c->is_over;
    if (last) {
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
    }
    pari_private_unlock();
    if (last) {
        pari_link_close(&c->link);
        free(c);
    }
}

/* The entry after c, or the first one; it is used before c is left, so that the walk does not lose its place. */
static struct pari_connection *
use_next(struct pari_connection *c)
{
    struct pari_connection *next;

    pari_private_lock();
    next = c == NULL ? connections : c->next;
    if (next != NULL)
        next->n_users++;
    pari_private_unlock();
    if (c != NULL)
        leave(c);
    return next;
}

static void
mark_over(struct pari_connection *c)
{
    pari_private_lock();
    c->is_over = true;
    pari_private_unlock();
}

/* Servers that others have ended, and that nobody here has asked since. */
static void
end_dead(void)
{
    for (struct pari_connection *c = use_next(NULL); c != NULL; c = use_next(c))
        if (pari_member_is_dead(c->server))
            mark_over(c);
}

static struct pari_connection *
use_new(pari_member server)
{
    struct pari_connection *c, *made = connection_new(server);

    if (made == NULL)
        return NULL;
    end_dead();
    (void)pari_at_fork(forget_links);
    pari_private_lock();
    c = find(server);
    if (c == NULL) {
        c = made;
        c->next = connections;
        connections = c;
    }
    c->n_users++;
    pari_private_unlock();
    if (c != made)
        free(made);
    return c;
}

void
pari_connection_end(pari_member server)
{
    struct pari_connection *c = use(server);

    if (c == NULL)
        return;
    mark_over(c);
    leave(c);
}

struct pari_connection *
pari_connection_hold(pari_member server, par_time deadline)
{
    struct pari_connection *c = use(server);
    int held;

    if (c == NULL)
        c = use_new(server);
    if (c == NULL)
        return NULL;
    held = pari_mutex_lock(&c->mutex, deadline);
    if (held < 0) {
        leave(c);
        return NULL;
    }
    if (held == PARI_HELD_AFTER_DEATH) { /* a thread has ended half-way */
        pari_link_close(&c->link);
        pari_mutex_recovered(&c->mutex);
    }
    return c;
}

void
pari_connection_let_go(struct pari_connection *c)
{
    int saved = errno;

    if (c->link.out.capacity > KEPT_CAPACITY)
        pari_buffer_free(&c->link.out);
    (void)pari_mutex_unlock(&c->mutex); /* this thread holds it */
    leave(c);
    errno = saved;
}
