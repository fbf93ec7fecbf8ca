/* SPDX-License-Identifier: MIT
 *
 * parcel.c: descriptors, and ends of other pipes, that are sent through a pipe.
 *
 * The kernel moves a descriptor beside a byte in the socket that is the bell; a message in the ring, sent after it, keeps its place
 * among the others: empty for a descriptor, the address of the end for an end. Whoever empties the socket keeps what comes with the
 * bytes for those messages.
 *
 * Shared state: see pipe.h. An end is its sender's until it is received, with PARI_UNDER_WAY, so that no moment is without an owner.
 * If a process dies here: a descriptor without its message goes with the socket. An end under way is gone for its other end as soon as
 * its sender or its receiver is, and is abandoned by whoever frees the pipe through which it was sent.
 */
#include "pipe.h"

#include <fcntl.h>
#include <string.h>

/* ---- descriptors that have come */

void
pari_parcels_fetch(struct par_conn *c)
{
    c->n_parcels += pari_fd_drain(c->fd, c->parcel + c->n_parcels, PARI_MAX_PARCELS - c->n_parcels);
}

/* The one that belongs to the message that is being received. -1: EMFILE it was lost for want of room, EBADMSG there is none. */
static int
first_parcel(struct par_conn *c)
{
    int fd;

    if (c->n_parcels == 0)
        pari_parcels_fetch(c);
    if (c->n_parcels == 0)
        return pari_fail(EBADMSG);
    fd = c->parcel[0];
    c->n_parcels--;
    memmove(c->parcel, c->parcel + 1, c->n_parcels * sizeof *c->parcel);
    return fd >= 0 ? fd : pari_fail(EMFILE);
}

void
pari_parcels_close(struct par_conn *c)
{
    while (c->n_parcels > 0)
        pari_fd_close(c->parcel[--c->n_parcels]);
}

/* ---- sending */

/* The socket is full only while the other side does not empty it. */
static int
pass(struct par_conn *c, int fd, par_time deadline)
{
    static _Atomic uint32_t never;
    pari_member peer = pari_conn_owner(c->peer);
    struct pari_nap nap = { 0 };

    while (pari_fd_pass(c->fd, fd) != 0)
        if (errno != EAGAIN || pari_nap(&nap, &never, 0, &peer, 1, deadline) != 0)
            return -1;
    return 0;
}

static int
send_parcel(struct par_conn *c, int fd, const void *data, size_t size, par_time deadline)
{
    int result;

    pari_conn_enter(c);
    result = pari_conn_wait_for_room(c, size, deadline) == 0 && pass(c, fd, deadline) == 0 ? 0 : -1;
    if (result == 0)
        pari_conn_put(c, PARI_RING_PARCEL, data, size);
    pari_conn_leave(c);
    return result;
}

int
par_conn_send_fd(par_conn *c, int fd, par_time deadline)
{
    if (pari_conn_check_sends(c, NULL, 0) != 0)
        return -1;
    if (fcntl(fd, F_GETFD) < 0)
        return pari_fail(EINVAL);
    return send_parcel(c, fd, NULL, 0, deadline);
}

/* An end cannot go through its own pipe: nobody could receive it there once it is gone. */
static int
check_travels(const par_conn *c, const par_conn *end)
{
    if (pari_conn_give_check(end) != 0)
        return -1;
    return end != c && end->peer != c ? 0 : pari_fail(EINVAL);
}

int
par_conn_send_conn(par_conn *c, par_conn *end, par_time deadline)
{
    pari_member me = pari_self();
    int fd, error;

    if (pari_conn_check_sends(c, &end, sizeof end) != 0 || check_travels(c, end) != 0)
        return -1;
    fd = end->fd;
    atomic_store(&end->carrier, c->peer);
    atomic_store(&end->owner, me | PARI_UNDER_WAY);
    if (send_parcel(c, fd, &end, sizeof end, deadline) == 0) {
        pari_fd_close(fd);
        return 0;
    }
    error = errno;
    atomic_store(&end->owner, me);
    return pari_fail(error);
}

/* ---- receiving */

/* The next message, which must be a parcel of so many bytes; they are copied to `data`. */
static int
next_parcel(struct par_conn *c, struct pari_message *m, void *data, size_t size, par_time deadline)
{
    if (pari_conn_next(c, m, deadline) != 0)
        return -1;
    if (!m->is_parcel || m->length != size)
        return pari_fail(EBADMSG);
    if (size > 0)
        pari_ring_copy_message(&c->in->ring, m, data);
    return 0;
}

int
par_conn_recv_fd(par_conn *c, par_time deadline)
{
    struct pari_message m;
    int fd = -1;

    if (pari_conn_check_receives(c) != 0)
        return -1;
    pari_conn_enter(c);
    if (next_parcel(c, &m, NULL, 0, deadline) == 0) {
        fd = first_parcel(c);
        pari_conn_take(c, &m, NULL); /* also if it was lost */
    }
    pari_conn_leave(c);
    return fd;
}

static bool
is_under_way(const par_conn *end)
{
    return pari_handle_check(end, PARI_CONN) == 0 && pari_conn_is_under_way(end);
}

/* What has come is this process's before the message that names it is gone. */
static par_conn *
adopt(struct par_conn *c, par_conn *end)
{
    int fd = first_parcel(c);

    if (!is_under_way(end)) {
        pari_fd_close(fd);
        return pari_null(EBADMSG);
    }
    if (fd < 0) {
        int error = errno;
        pari_conn_abandon(end);
        return pari_null(error);
    }
    end->fd = pari_fd_track(fd);
    end->seen.value = 0;
    end->watcher = 0; /* also if it was here before: the descriptor is another one */
    atomic_store(&end->owner, pari_self());
    return end;
}

par_conn *
par_conn_recv_conn(par_conn *c, par_time deadline)
{
    struct pari_message m;
    par_conn *end = NULL, *received = NULL;

    if (pari_conn_check_receives(c) != 0)
        return NULL;
    pari_conn_enter(c);
    if (next_parcel(c, &m, &end, sizeof end, deadline) == 0) {
        received = adopt(c, end);
        pari_conn_take(c, &m, NULL);
    }
    pari_conn_leave(c);
    return received;
}

void
pari_parcel_abandon(const struct pari_ring *ring, const struct pari_message *m)
{
    par_conn *end;

    if (!m->is_parcel || m->length != sizeof end)
        return;
    pari_ring_copy_message(ring, m, &end);
    if (is_under_way(end))
        pari_conn_abandon(end);
}

void
pari_parcel_drop(struct par_conn *c, const struct pari_message *m)
{
    pari_fd_close(first_parcel(c)); /* or -1 */
    pari_parcel_abandon(&c->in->ring, m);
}
