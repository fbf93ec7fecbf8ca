/* SPDX-License-Identifier: MIT
 *
 * conn.c: what the ends of a pipe do: send, receive, wait. See pipe.h for the shared state.
 */
#include "pipe.h"

#define SHORT_SPIN_NS 2000

/* ---- checks */

int
pari_conn_check_receives(const struct par_conn *c)
{
    if (pari_conn_check(c) != 0)
        return -1;
    return c->in ? 0 : pari_fail(EBADF);
}

int
pari_conn_check_sends(const struct par_conn *c, const void *data, size_t size)
{
    if (pari_conn_check(c) != 0)
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
void
pari_conn_enter(struct par_conn *c)
{
    pari_assert(!atomic_exchange(&c->is_busy, true));
    (void)c;
}

void
pari_conn_leave(struct par_conn *c)
{
    pari_assert(atomic_exchange(&c->is_busy, false));
    (void)c;
}

static bool
is_closed_or_dead(const struct par_conn *c)
{
    return atomic_load_explicit(&c->is_closed, memory_order_acquire) || /* partner: close_end */
           pari_member_is_dead(pari_conn_owner(c));
}

bool
pari_conn_is_lost(const struct par_conn *c)
{
    const struct par_conn *carrier = atomic_load(&c->carrier);

    return pari_conn_is_under_way(c) && carrier != NULL && is_closed_or_dead(carrier) && pari_conn_is_under_way(c);
}

/* Is the other end closed, or its owner dead? Whatever it sent before is in the ring by then. */
static bool
is_gone(const struct par_conn *c)
{
    return is_closed_or_dead(c->peer) || pari_conn_is_lost(c->peer);
}

/* As is_gone, and remember that it is not. */
static bool
look_for_peer(struct par_conn *c)
{
    pari_member owner = pari_conn_owner(c->peer);
    const _Atomic uint32_t *word = pari_member_alive_word(owner);
    uint32_t value = atomic_load(word); /* before the look: a death after it changes the word */

    if (is_gone(c))
        return true;
    c->seen.member = owner;
    c->seen.word = word;
    /* One that is not born yet holds nothing; of one that is under way more than its owner counts. */
    c->seen.value = pari_mutex_word_is_held(value) && !pari_conn_is_under_way(c->peer) ? value : 0;
    return false;
}

/* As is_gone, at the price of three loads. Another process with the same thread id in the same slot would be taken for the peer:
 * then a message goes to nobody, as if it had been sent just before the death, and a wait finds out. */
static inline bool
is_gone_now(struct par_conn *c)
{
    if (pari_likely(c->seen.value != 0 && atomic_load_explicit(c->seen.word, memory_order_relaxed) == c->seen.value &&
                    c->seen.member == atomic_load_explicit(&c->peer->owner, memory_order_relaxed)))
        return atomic_load_explicit(&c->peer->is_closed, memory_order_acquire); /* partner: close_end */
    return look_for_peer(c);
}

/* Whose death is to end a sleep at this end. */
static pari_member
other_process(const struct par_conn *c)
{
    pari_member owner = pari_conn_owner(c->peer);

    return owner == pari_self() ? 0 : owner;
}

/* Where this side runs, for the other one. Its line is written only when that has changed. */
static int
say_cpu(struct par_conn *c)
{
    int cpu = pari_cpu();

    if (cpu != atomic_load_explicit(&c->cpu, memory_order_relaxed))
        atomic_store_explicit(&c->cpu, cpu, memory_order_relaxed);
    return cpu;
}

/* ---- the bell */

static void
ring_bell(const struct par_conn *c)
{
    if (atomic_exchange(&c->out->bell_is_armed, 0) != 0 && pari_fd_ring(c->fd) != 0)
        atomic_store(&c->out->bell_is_armed, 1); /* no memory for the byte: the next message rings. Or the peer is gone */
}

/* By a receiver that found the lane empty; it must look again afterwards. Draining comes first: a byte that is drained was rung
 * for a message that the next look finds. */
static void
arm_bell(struct par_conn *c)
{
    pari_parcels_fetch(c);
    (void)atomic_exchange(&c->in->bell_is_armed, 1);
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
    struct pari_nap nap = { 0 };

    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : pari_eventcount_prepare(&c->out->writable);
        pari_member peer = other_process(c);
        int room = is_gone(c) ? pari_fail(EPIPE) : look_for_room(c, need, is_big);
        if (room != 0)
            return room == 1 ? 0 : -1;
        if (is_over || pari_conn_is_closed(c))
            return pari_fail(is_over ? ETIMEDOUT : EBADF);
        if (pari_eventcount_wait(&c->out->writable, key, &nap, &peer, 1, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}

/* Tell the receiver, wherever it waits. */
static inline void
announce(struct par_conn *c)
{
    struct lane *lane = c->out;

    if (pari_unlikely(pari_eventcount_notify_light(&lane->readable, 1))) /* its fence stands before the look at the bell, too */
        (void)say_cpu(c);
    if (pari_unlikely(atomic_load_explicit(&lane->bell_is_armed, memory_order_relaxed) != 0))
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

    if (pari_unlikely(is_gone_now(c)))
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
pari_conn_wait_for_room(struct par_conn *c, size_t size, par_time deadline)
{
    uint64_t need = pari_ring_need(&c->out->ring, size);

    if (is_gone_now(c))
        return pari_fail(EPIPE);
    return look_for_room(c, need, false) == 1 ? 0 : wait_for_room(c, need, false, deadline);
}

void
pari_conn_put(struct par_conn *c, enum pari_ring_kind kind, const void *data, size_t size)
{
    pari_ring_put_kind(&c->out->ring, data, size, kind);
    announce(c);
}

int
par_conn_send(par_conn *c, const void *data, size_t size, par_time deadline)
{
    int result;

    if (pari_conn_check_sends(c, data, size) != 0)
        return -1;
    pari_conn_enter(c);
    result = send_message(c, data, size, deadline);
    pari_conn_leave(c);
    return result;
}

/* ---- receiving */

/* How long a message is looked for before the sleep, in ns. Where the other side runs on another processor, as long as a wake-up
 * across processors takes; on the same one it cannot send before we sleep. */
static int64_t
patience(struct par_conn *c)
{
    int cpu = say_cpu(c), peers = atomic_load_explicit(&c->peer->cpu, memory_order_relaxed);

    if (peers < 0 || cpu < 0)
        return pari_ring_may_spin() ? SHORT_SPIN_NS : 0;
    return peers != cpu ? PARI_WAKE_NS : 0;
}

/* 1: *m is the next message; 0: there is none now; -1: EPIPE, there will be none, EBADMSG. */
static int
look_for_message(struct par_conn *c, struct pari_message *m)
{
    int there = pari_ring_next(&c->in->ring, m);

    if (there != 0 || !is_gone(c))
        return there;
    there = pari_ring_next(&c->in->ring, m); /* what it sent before it went */
    return there != 0 ? there : pari_fail(EPIPE);
}

/* As pari_ring_next, a little later: nobody is told that somebody waits. */
static int
spin_for_message(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    if (pari_is_over(deadline))
        return 0;
    pari_ring_spin(&c->in->ring, c->is_stream, patience(c));
    return pari_ring_next(&c->in->ring, m);
}

struct pari_word
pari_conn_prepare(par_conn *c, pari_member *peer)
{
    struct pari_eventcount *readable = &c->in->readable;
    uint32_t key = pari_eventcount_prepare(readable);

    pari_eventcount_fence(readable);
    *peer = other_process(c);
    return (struct pari_word){ &readable->word, key };
}

static int
sleep_for_message(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    struct pari_nap nap = { .has_spun = true };

    for (;;) {
        bool is_over = pari_is_over(deadline);
        uint32_t key = is_over ? 0 : pari_eventcount_prepare(&c->in->readable);
        pari_member peer = other_process(c);
        int there;
        /* Who sleeps here is woken without the bell; a message that is left behind needs its byte. */
        if (is_over && pari_conn_is_watched(c))
            arm_bell(c);
        if (!is_over || pari_conn_is_watched(c))
            pari_eventcount_fence(&c->in->readable); /* for the bell, too */
        there = look_for_message(c, m);
        if (there != 0)
            return there == 1 ? 0 : -1;
        if (is_over || pari_conn_is_closed(c))
            return pari_fail(is_over ? ETIMEDOUT : EBADF);
        if (pari_eventcount_wait(&c->in->readable, key, &nap, &peer, 1, deadline) != 0 && errno != ETIMEDOUT)
            return -1;
    }
}

int
pari_conn_next(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    int there = pari_ring_next(&c->in->ring, m);

    if (pari_likely(there != 0))
        return there == 1 ? 0 : -1;
    there = spin_for_message(c, m, deadline);
    if (there < 0 || (there == 0 && sleep_for_message(c, m, deadline) != 0))
        return -1;
    c->is_stream = c->in->ring.seen_tail != m->after;
    return 0;
}

/* Copy the message to `buf`, which has room for it (NULL: drop it), and remove it. */
void
pari_conn_take(struct par_conn *c, const struct pari_message *m, void *buf)
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

/* The next message, which must be one of bytes. */
static int
next_bytes(struct par_conn *c, struct pari_message *m, par_time deadline)
{
    if (pari_conn_next(c, m, deadline) != 0)
        return -1;
    return pari_likely(!m->is_parcel) ? 0 : pari_fail(EBADMSG);
}

static ssize_t
receive(struct par_conn *c, void *buf, size_t size, par_time deadline)
{
    struct pari_message m;

    if (next_bytes(c, &m, deadline) != 0)
        return -1;
    if (buf == NULL) /* only asked for its length */
        return (ssize_t)m.length;
    if (m.length > size)
        return pari_fail(EMSGSIZE);
    pari_conn_take(c, &m, buf);
    return (ssize_t)m.length;
}

ssize_t
par_conn_recv(par_conn *c, void *buf, size_t size, par_time deadline)
{
    ssize_t result;

    if (pari_conn_check_receives(c) != 0)
        return -1;
    if (buf == NULL && size > 0)
        return pari_fail(EINVAL);
    pari_conn_enter(c);
    result = receive(c, buf, size, deadline);
    pari_conn_leave(c);
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

    pari_conn_enter(c);
    if (next_bytes(c, m, deadline) == 0)
        copy = copy_of(c, m);
    pari_conn_leave(c);
    return copy;
}

void *
pari_conn_look(par_conn *c, size_t *size, par_time deadline)
{
    struct pari_message m;
    void *copy = pari_conn_check_receives(c) == 0 ? look(c, &m, deadline) : NULL;

    if (copy != NULL)
        *size = m.length;
    return copy;
}

void *
par_conn_recv_alloc(par_conn *c, size_t *size, par_time deadline)
{
    struct pari_message m;
    void *copy = pari_conn_check_receives(c) == 0 ? look(c, &m, deadline) : NULL;

    if (copy == NULL)
        return NULL;
    pari_conn_take(c, &m, NULL);
    if (size != NULL)
        *size = m.length;
    return copy;
}

int
par_conn_skip(par_conn *c, par_time deadline)
{
    struct pari_message m;
    int result;

    if (pari_conn_check_receives(c) != 0)
        return -1;
    pari_conn_enter(c);
    result = pari_conn_next(c, &m, deadline);
    if (result == 0 && m.is_parcel)
        pari_parcel_drop(c, &m);
    if (result == 0)
        pari_conn_take(c, &m, NULL);
    pari_conn_leave(c);
    return result;
}

int
par_conn_poll(par_conn *c, par_time deadline)
{
    struct pari_message m;
    int result;

    if (pari_conn_check_receives(c) != 0)
        return -1;
    pari_conn_enter(c);
    result = pari_conn_next(c, &m, deadline);
    pari_conn_leave(c);
    return result != 0 && errno != EPIPE ? -1 : 0;
}
