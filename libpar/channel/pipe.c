/* SPDX-License-Identifier: MIT
 *
 * pipe.c: the life of a pipe: made, its ends given away, closed, freed. See pipe.h for the shared state.
 */
#include "pipe.h"

#define STANDARD_CAPACITY (256 * 1024)

int
pari_conn_refuse(const par_conn *c)
{
    if (pari_handle_check(c, PARI_CONN) != 0)
        return -1;
    if (pari_self() == 0 || !pari_conn_is_mine(c))
        return pari_fail(EPERM);
    return pari_conn_is_closed(c) ? pari_fail(EBADF) : 0;
}

static struct pipe *
pipe_of(struct par_conn *c)
{
    return (struct pipe *)(void *)(c - c->side);
}

/* ---- the end's life */

int
par_conn_fileno(par_conn *c)
{
    if (pari_conn_check(c) != 0)
        return -1;
    if (c->in != NULL && !pari_conn_is_watched(c))
        pari_eventcount_fence(&c->in->readable); /* whether there is one is known before a bell is armed */
    c->watcher = pari_conn_owner(c);
    return c->fd;
}

static void
wake_all(struct lane *lane)
{
    if (lane == NULL)
        return;
    pari_eventcount_notify(&lane->readable, INT32_MAX);
    pari_eventcount_notify(&lane->writable, INT32_MAX);
}

static void
close_end(struct par_conn *c)
{
    int state;

    if (atomic_exchange(&c->is_closed, true)) /* after the last message; partner: is_gone */
        return;
    wake_all(c->in);
    wake_all(c->out);
    state = pari_cancel_off();
    pari_parcels_close(c);
    pari_fd_close(c->fd); /* which the peer's descriptor tells */
    pari_cancel_restore(state);
}

static bool
is_live(const struct par_conn *c)
{
    int saved = errno;
    bool yes = pari_handle_check(c, PARI_CONN) == 0;

    errno = saved;
    return yes;
}

void
par_conn_close(par_conn *c)
{
    if (is_live(c) && pari_conn_is_mine(c))
        close_end(c);
}

static void
destroy(struct pipe *pipe)
{
    pari_heap_own(pipe, pari_self()); /* should we die now, it is swept */
    for (int side = 0; side < 2; side++)
        if (pipe->end[side].in != NULL)
            pari_ring_clear(&pipe->end[side].in->ring, pari_parcel_abandon);
    pipe->end[0].handle.key = pipe->end[1].handle.key = 0;
    (void)pari_heap_free(pipe); /* it is a block, which is all that can be wrong */
}

/* Who marks the second end frees the pipe. An end whose owner is dead is marked for it. */
static void
mark_freed(struct par_conn *c)
{
    struct pipe *pipe = pipe_of(c);
    uint32_t mine = 1u << c->side, other = mine ^ 3;
    uint32_t before = atomic_fetch_or(&pipe->freed, mine);

    if (before & mine)
        return; /* another process was quicker to free the end of the dead */
    if (!(before & other) && pari_member_is_dead(pari_conn_owner(c->peer)))
        before |= (atomic_fetch_or(&pipe->freed, other) & other) ^ other;
    if (before & other)
        destroy(pipe);
}

void
par_conn_free(par_conn *c)
{
    int saved = errno;

    if (!is_live(c))
        return;
    if (pari_conn_is_mine(c))
        close_end(c);
    else if (!pari_member_is_dead(pari_conn_owner(c)) && !pari_conn_is_lost(c))
        return;
    atomic_store(&c->is_closed, true); /* the dead did not */
    c->handle.key = 0;
    mark_freed(c);
    errno = saved;
}

void
pari_conn_abandon(struct par_conn *c)
{
    if (!atomic_exchange(&c->is_closed, true)) {
        wake_all(c->in);
        wake_all(c->out);
    }
    c->handle.key = 0;
    mark_freed(c);
}

static void
make_end(struct pipe *pipe, uint32_t side, int fd, const par_pipe_opts *opts)
{
    struct par_conn *c = &pipe->end[side];

    c->handle = pipe->end[0].handle;
    c->peer = &pipe->end[1 - side];
    c->in = side == 0 || opts->duplex ? &pipe->lane[side] : NULL;
    c->out = side == 1 || opts->duplex ? &pipe->lane[1 - side] : NULL;
    c->item_size = opts->item_size;
    c->side = side;
    c->fd = fd;
    atomic_store(&c->cpu, -1);
    atomic_store(&c->owner, pari_self());
}

static struct pipe *
new_pipe(uint64_t capacity, unsigned n_lanes)
{
    size_t size = sizeof(struct pipe) + n_lanes * (sizeof(struct lane) + (size_t)capacity);
    struct pipe *pipe = pari_handle_new(PARI_CONN, size);
    unsigned char *bytes;

    if (pipe == NULL)
        return NULL;
    pari_heap_own(pipe, pari_self()); /* until it is whole */
    bytes = (unsigned char *)&pipe->lane[n_lanes];
    for (unsigned i = 0; i < n_lanes; i++) {
        pari_ring_init(&pipe->lane[i].ring, bytes + i * capacity, capacity);
        atomic_store(&pipe->lane[i].bell_is_armed, 1);
    }
    return pipe;
}

int
par_pipe(par_conn *end[2], const par_pipe_opts *opts)
{
    static const par_pipe_opts defaults;
    uint64_t capacity;
    struct pipe *pipe;
    int fd[2];

    if (opts == NULL)
        opts = &defaults;
    if (end == NULL)
        return pari_fail(EINVAL);
    capacity = pari_ring_capacity(opts->capacity, STANDARD_CAPACITY);
    if (capacity == 0 || opts->item_size > PARI_MESSAGE_MAX)
        return pari_fail(EOVERFLOW);
    if (pari_self() == 0 || pari_fd_bell(fd) != 0)
        return -1;
    pari_fence_register();
    pipe = new_pipe(capacity, opts->duplex ? 2 : 1);
    if (pipe == NULL) {
        pari_fd_close(fd[0]);
        pari_fd_close(fd[1]);
        return -1;
    }
    for (uint32_t side = 0; side < 2; side++)
        make_end(pipe, side, fd[side], opts);
    pari_heap_own(pipe, 0);
    end[0] = &pipe->end[0];
    end[1] = &pipe->end[1];
    return 0;
}

/* ---- an end moves to a child (conn.h) */

int
pari_conn_give_check(const par_conn *c)
{
    if (pari_conn_check(c) != 0)
        return -1;
    return c->n_parcels == 0 ? 0 : pari_fail(EBUSY); /* descriptors of this process: they would not come along */
}

int
pari_conn_fd(const par_conn *c)
{
    return c->fd;
}

void
pari_conn_give(par_conn *c, pari_member child)
{
    atomic_store_explicit(&c->owner, child, memory_order_relaxed); /* the fork orders it for the child */
    c->seen.value = 0;
}

void
pari_conn_settle(par_conn *c, int fd)
{
    c->fd = fd;
    c->watcher = 0;
}

void
pari_conn_give_back(par_conn *c)
{
    atomic_store_explicit(&c->owner, pari_self(), memory_order_relaxed); /* nobody else ever saw the change act */
}

void
pari_conn_given(int fd)
{
    pari_fd_close(fd);
}
