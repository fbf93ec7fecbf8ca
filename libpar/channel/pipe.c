/* SPDX-License-Identifier: MIT
 *
 * pipe.c: two connection ends and a ring for each direction between them, one producer and one consumer each: no locks.
 *
 * A pipe is one block of the arena: the two ends, the lanes, the rings' bytes. Beside it each end has a descriptor, one half of a
 * socket pair, for event loops and nothing else: nobody sleeps on it. A lane's bell is armed at creation and by a receiver that
 * found the lane empty and had asked for its descriptor; the sender that finds it armed disarms it and sends one byte.
 *
 * Shared state, by field of struct par_conn and struct lane:
 *   owner        who may use the end; written by the owner when it gives the end away, before the receiver exists
 *   is_closed    set once by the owner; the release store comes after its last message, so who sees it sees all messages
 *   is_freed     set once, by compare and exchange of `freed`: who sets the last of the two frees the block
 *   ring         see ring.h
 *   readable     the receiver sleeps on it; notified by the sender after each publication
 *   writable     the sender sleeps on it; notified by the receiver when room for a batch is free
 *   bell_is_armed  by a seq_cst exchange on both sides: after it the sender rings, the receiver looks at the ring again
 * If a process dies here: the other end finds its owner dead, drains what was published and reports the end of the stream. A big
 * message that was under way is found by the ring's records when the survivor frees its end.
 */
#include "conn.h"
#include "ring.h"

#define STANDARD_CAPACITY (256 * 1024)

struct lane { /* one direction */
    struct pari_ring ring;
    _Alignas(PARI_CACHE_LINE) struct pari_eventcount readable;
    struct pari_eventcount writable;
    _Atomic uint32_t bell_is_armed;
};

struct par_conn {
    struct pari_handle handle;
    struct par_conn *peer; /* constant, like all up to fd */
    struct lane *in;       /* NULL: it only sends */
    struct lane *out;      /* NULL: it only receives */
    uint64_t item_size;
    uint32_t side;
    int fd; /* the same number in every process that ever owns the end */
    _Alignas(PARI_CACHE_LINE) _Atomic pari_member owner;
    _Atomic bool is_closed;
    bool is_pollable; /* the owner's: the descriptor was asked for */
    bool is_stream;   /* the owner's: its last wait ended with several messages */
    _Atomic bool is_busy; /* a thread is in a call; looked at in debug builds only */
};

struct pipe {
    struct par_conn end[2]; /* first, so that end[0] is the block's handle */
    _Atomic uint32_t freed; /* bit `side`: freed */
    struct lane lane[];     /* [0] towards end[0], [1] towards end[1]; then the rings' bytes */
};

static_assert(sizeof(struct par_conn) % PARI_CACHE_LINE == 0, "both ends begin on a line: they are handles");

static struct pipe *
pipe_of(struct par_conn *c)
{
    return (struct pipe *)(void *)(c - c->side);
}

static pari_member
owner_of(const struct par_conn *c)
{
    return atomic_load_explicit(&c->owner, memory_order_relaxed); /* changes only before a fork, which orders it */
}

/* ---- checks */

/* By this process; while a thread sleeps, by another thread, whose notify wakes it. */
static bool
is_closed_here(const struct par_conn *c)
{
    return atomic_load_explicit(&c->is_closed, memory_order_relaxed); /* nothing hangs on it */
}

static int
check(const struct par_conn *c)
{
    if (pari_handle_check(c, PARI_CONN) != 0)
        return -1;
    if (owner_of(c) != pari_self())
        return pari_fail(EPERM);
    return is_closed_here(c) ? pari_fail(EBADF) : 0;
}

static int
check_receives(const struct par_conn *c)
{
    if (check(c) != 0)
        return -1;
    return c->in ? 0 : pari_fail(EBADF);
}

static int
check_sends(const struct par_conn *c, const void *data, size_t size)
{
    if (check(c) != 0)
        return -1;
    if (c->out == NULL)
        return pari_fail(EBADF);
    if (data == NULL && size > 0)
        return pari_fail(EINVAL);
    if ((c->item_size != 0 && size != c->item_size) || size > PARI_MESSAGE_MAX)
        return pari_fail(EMSGSIZE);
    return 0;
}

/* In debug builds: two threads at one end at a time are the caller's mistake. */
static void
enter(struct par_conn *c)
{
#ifdef PAR_DEBUG
    bool was_busy = atomic_exchange(&c->is_busy, true);
    pari_assert(!was_busy);
#endif
    (void)c;
}

static void
leave(struct par_conn *c)
{
#ifdef PAR_DEBUG
    atomic_store(&c->is_busy, false);
#endif
    (void)c;
}

/* Has the end closed, or its owner died? Whatever it sent before is in the ring by then. */
static bool
is_gone(const struct par_conn *c)
{
    return atomic_load_explicit(&c->is_closed, memory_order_acquire) || /* partner: close_end */
           pari_member_is_dead(owner_of(c));
}

/* Whose death is to end a sleep at this end. */
static pari_member
other_process(const struct par_conn *c)
{
    pari_member owner = owner_of(c->peer);

    return owner == pari_self() ? 0 : owner;
}

/* ---- the bell */

static void
ring_bell(const struct par_conn *c)
{
    int state = pari_cancel_off();

    if (atomic_exchange(&c->out->bell_is_armed, 0) != 0)
        (void)pari_fd_ring(c->fd); /* a peer that is gone hears nothing */
    pari_cancel_restore(state);
}

/* By a receiver that found the lane empty; it must look again afterwards. Draining comes first: a byte that is drained was rung
 * for a message that the next look finds. */
static void
arm_bell(const struct par_conn *c)
{
    int state = pari_cancel_off();

    pari_fd_drain(c->fd);
    (void)atomic_exchange(&c->in->bell_is_armed, 1);
    pari_cancel_restore(state);
}

/* ---- sending */

static int
look_for_room(struct par_conn *c, uint64_t need, bool is_big)
{
    int room = pari_ring_room(&c->out->ring, need);

    return room == 1 && is_big ? pari_ring_has_room_big(&c->out->ring) : room;
}

static int
wait_for_room(struct par_conn *c, uint64_t need, bool is_big, par_time deadline)
{
    struct pari_nap nap = {0};

    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : pari_eventcount_prepare(&c->out->writable);
        pari_member peer = other_process(c);
        int room = is_gone(c->peer) ? pari_fail(EPIPE) : look_for_room(c, need, is_big);
        if (room != 0)
            return room == 1 ? 0 : -1;
        if (is_over || is_closed_here(c))
            return pari_fail(is_over ? ETIMEDOUT : EBADF);
        if (pari_eventcount_wait(&c->out->writable, key, &nap, &peer, 1, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}

/* Tell the receiver, wherever it waits. The fence of the notify stands between the message and both looks. */
static void
announce(const struct par_conn *c)
{
    pari_eventcount_notify(&c->out->readable, 1);
    if (pari_unlikely(atomic_load_explicit(&c->out->bell_is_armed, memory_order_relaxed) != 0))
        ring_bell(c);
}

static int
send_big(struct par_conn *c, const void *data, size_t size)
{
    struct pari_body *body = pari_body_new(data, size);

    if (body == NULL)
        return -1;
    pari_ring_put_body(&c->out->ring, body);
    return 0;
}

static int
send_message(struct par_conn *c, const void *data, size_t size, par_time deadline)
{
    struct pari_ring *ring = &c->out->ring;
    bool is_big = pari_ring_is_big(ring, size);
    uint64_t need = pari_ring_need(ring, size);

    if (is_gone(c->peer))
        return pari_fail(EPIPE);
    if (pari_unlikely(look_for_room(c, need, is_big) != 1) && wait_for_room(c, need, is_big, deadline) != 0)
        return -1;
    if (pari_unlikely(is_big)) {
        if (send_big(c, data, size) != 0)
            return -1;
    } else
        pari_ring_put(ring, data, size);
    announce(c);
    return 0;
}

int
par_conn_send(par_conn *c, const void *data, size_t size, par_time deadline)
{
    int result;

    if (check_sends(c, data, size) != 0)
        return -1;
    enter(c);
    result = send_message(c, data, size, deadline);
    leave(c);
    return result;
}

/* ---- receiving */

/* 1: *m is the next message; 0: there is none now; -1: EPIPE, there will be none, EBADMSG. */
static int
look_for_message(struct par_conn *c, struct pari_message *m)
{
    int there = pari_ring_next(&c->in->ring, m);

    if (there != 0 || !is_gone(c->peer))
        return there;
    there = pari_ring_next(&c->in->ring, m); /* what it sent before it went */
    return there != 0 ? there : pari_fail(EPIPE);
}

static int
wait_for_message(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    struct pari_nap nap = {.has_spun = true};

    if (deadline.ns >= 0)
        (void)pari_ring_spin(&c->in->ring, c->is_stream);
    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : pari_eventcount_prepare(&c->in->readable);
        pari_member peer = other_process(c);
        int there;
        if (c->is_pollable)
            arm_bell(c);
        there = look_for_message(c, m);
        if (there != 0)
            return there == 1 ? 0 : -1;
        if (is_over || is_closed_here(c))
            return pari_fail(is_over ? ETIMEDOUT : EBADF);
        if (pari_eventcount_wait(&c->in->readable, key, &nap, &peer, 1, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}

static int
next_message(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    int there = pari_ring_next(&c->in->ring, m);

    if (pari_likely(there != 0))
        return there == 1 ? 0 : -1;
    if (wait_for_message(c, m, deadline) != 0)
        return -1;
    c->is_stream = c->in->ring.seen_tail != m->after;
    return 0;
}

/* Copy the message to `buf`, which has room for it (NULL: drop it), and remove it. */
static void
take(struct par_conn *c, const struct pari_message *m, void *buf)
{
    struct pari_ring *ring = &c->in->ring;

    if (pari_unlikely(m->body != NULL)) {
        pari_ring_remove_body(ring, m);
        if (buf != NULL)
            pari_ring_copy_message(ring, m, buf);
        pari_body_free(m->body);
    } else {
        if (buf != NULL)
            pari_ring_copy_message(ring, m, buf);
        pari_ring_remove(ring, m);
    }
    if (pari_ring_frees_room(ring, m))
        pari_eventcount_notify(&c->in->writable, 1);
}

static ssize_t
receive(struct par_conn *c, void *buf, size_t size, par_time deadline)
{
    struct pari_message m;

    if (next_message(c, &m, deadline) != 0)
        return -1;
    if (buf == NULL) /* only asked for its length */
        return (ssize_t)m.length;
    if (m.length > size)
        return pari_fail(EMSGSIZE);
    take(c, &m, buf);
    return (ssize_t)m.length;
}

ssize_t
par_conn_recv(par_conn *c, void *buf, size_t size, par_time deadline)
{
    ssize_t result;

    if (check_receives(c) != 0)
        return -1;
    if (buf == NULL && size > 0)
        return pari_fail(EINVAL);
    enter(c);
    result = receive(c, buf, size, deadline);
    leave(c);
    return result;
}

/* A copy of the message, which stays; a zero byte follows it. */
static void *
copy_of(const struct par_conn *c, const struct pari_message *m)
{
    char *copy = pari_malloc(m->length + 1);

    if (copy != NULL)
        pari_ring_copy_message(&c->in->ring, m, copy);
    return copy;
}

static void *
look(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    void *copy = NULL;

    enter(c);
    if (next_message(c, m, deadline) == 0)
        copy = copy_of(c, m);
    leave(c);
    return copy;
}

void *
pari_conn_look(par_conn *c, size_t *size, par_time deadline)
{
    struct pari_message m;
    void *copy = check_receives(c) == 0 ? look(c, &m, deadline) : NULL;

    if (copy != NULL)
        *size = m.length;
    return copy;
}

void *
par_conn_recv_alloc(par_conn *c, size_t *size, par_time deadline)
{
    struct pari_message m;
    void *copy = check_receives(c) == 0 ? look(c, &m, deadline) : NULL;

    if (copy == NULL)
        return NULL;
    take(c, &m, NULL);
    if (size != NULL)
        *size = m.length;
    return copy;
}

int
par_conn_skip(par_conn *c, par_time deadline)
{
    struct pari_message m;
    int result;

    if (check_receives(c) != 0)
        return -1;
    enter(c);
    result = next_message(c, &m, deadline);
    if (result == 0)
        take(c, &m, NULL);
    leave(c);
    return result;
}

int
par_conn_poll(par_conn *c, par_time deadline)
{
    struct pari_message m;
    int result;

    if (check_receives(c) != 0)
        return -1;
    enter(c);
    result = next_message(c, &m, deadline);
    leave(c);
    return result != 0 && errno != EPIPE ? -1 : 0;
}

/* ---- the end's life */

int
par_conn_fileno(par_conn *c)
{
    if (check(c) != 0)
        return -1;
    c->is_pollable = true;
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
    if (is_live(c) && owner_of(c) == pari_self())
        close_end(c);
}

static void
destroy(struct pipe *pipe)
{
    pari_heap_own(pipe, pari_self()); /* should we die now, it is swept */
    for (int side = 0; side < 2; side++)
        if (pipe->end[side].in != NULL)
            pari_ring_clear(&pipe->end[side].in->ring);
    pipe->end[0].handle.magic = pipe->end[1].handle.magic = 0;
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
    if (!(before & other) && pari_member_is_dead(owner_of(c->peer)))
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
    if (owner_of(c) == pari_self())
        close_end(c);
    else if (!pari_member_is_dead(owner_of(c)))
        return;
    atomic_store(&c->is_closed, true); /* the dead did not */
    c->handle.magic = 0;
    mark_freed(c);
    errno = saved;
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
    return check(c);
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
    c->is_pollable = false; /* the byte that its event loop waits for may have been drained here */
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
