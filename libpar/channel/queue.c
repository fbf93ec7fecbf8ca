/* SPDX-License-Identifier: MIT
 *
 * queue.c: many producers, many consumers: the ring of a pipe with a lock on each side.
 *
 * Shared state: see queue.h. Each side changes its line of the ring, and its count, under its lock; the indices are read
 * without it by those who decide whether to lock or to sleep. is_closed is set without a lock; whoever is in the middle of a
 * put then still puts, and a consumer that finds the queue closed and empty looks once more when nobody is.
 * Lock order: one side at a time, then the registry, then the heap.
 * If a process dies here: what it was about to publish or remove is in the ring's record; the next holder of that side redoes
 * the counts if the index was stored, and voids the record if not (side.c).
 */
#include "queue.h"

#define STANDARD_CAPACITY (1024 * 1024)

static const struct pari_room smallest = { sizeof(struct pari_ring_header) + 8, false };

/* ---- life */

static void
init(par_queue *q, uint64_t capacity, const par_queue_opts *opts)
{
    unsigned char *bytes = (unsigned char *)(q + 1);

    q->maxsize = opts->maxsize;
    q->item_size = opts->item_size;
    q->n_producers = (uint32_t)opts->producers;
    q->producer = (struct pari_producer *)(void *)(bytes + capacity);
    pari_ring_init(&q->ring, bytes, capacity);
}

static int
make_locks(par_queue *q)
{
    struct pari_cell *put = pari_cell_of(&q->put_link, PARI_CELL_QUEUE);
    struct pari_cell *get = put ? pari_cell_of(&q->get_link, PARI_CELL_QUEUE) : NULL;

    if (get == NULL)
        return -1;
    q->put_lock = &put->mutex;
    q->get_lock = &get->mutex;
    return 0;
}

pari_seldom par_queue *
pari_queue_make(const par_queue_opts *opts)
{
    static const par_queue_opts defaults;
    uint64_t capacity;
    par_queue *q;

    if (opts == NULL)
        opts = &defaults;
    capacity = pari_ring_capacity(opts->capacity, STANDARD_CAPACITY);
    if (capacity == 0 || opts->producers > PARI_MAX_MEMBERS || opts->item_size > PARI_MESSAGE_MAX)
        return pari_null(EOVERFLOW);
    q = pari_handle_new_private(PARI_QUEUE, sizeof *q + (size_t)capacity + opts->producers * sizeof(struct pari_producer));
    if (q == NULL)
        return NULL;
    pari_fence_register();
    init(q, capacity, opts);
    if (make_locks(q) == 0)
        return q;
    pari_handle_free(q);
    return NULL;
}

pari_seldom par_queue *
par_queue_new(const par_queue_opts *opts)
{
    par_queue *q = pari_queue_make(opts);

    if (q != NULL)
        pari_heap_own(q, 0);
    return q;
}

pari_seldom void
par_queue_free(par_queue *q)
{
    int saved = errno;

    if (pari_handle_check_mine(q, PARI_QUEUE) == 0) {
        par_queue_close(q);
        pari_heap_own(q, pari_self()); /* should we die now, it is swept */
        pari_ring_clear(&q->ring, NULL);
        pari_account_free_all(q);
        pari_bell_close(&q->readable);
        pari_handle_free(q);
    }
    errno = saved;
}

pari_seldom void
pari_queue_inherit(par_queue *q)
{
    q->handle.creator = pari_self();
}

pari_seldom void
par_queue_close(par_queue *q)
{
    int saved = errno;

    if (pari_handle_check(q, PARI_QUEUE) == 0) {
        atomic_store(&q->is_closed, 1);
        pari_eventcount_notify(&q->readable.ec, INT32_MAX);
        pari_eventcount_notify(&q->writable, INT32_MAX);
    }
    errno = saved;
}

pari_seldom int
par_queue_fileno(par_queue *q)
{
    return pari_handle_check(q, PARI_QUEUE) == 0 ? pari_bell_fd(&q->readable) : -1;
}

/* ---- putting */

static int
check_put(const par_queue *q, const void *data, size_t size)
{
    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    if (data == NULL && size > 0)
        return pari_fail(EINVAL);
    if ((q->item_size != 0 && size != q->item_size) || size > PARI_MESSAGE_MAX)
        return pari_fail(EMSGSIZE);
    return pari_queue_is_closed(q) ? pari_fail(EPIPE) : 0;
}

/* 1: locked, and there is room; 0: not locked, full; -1. */
static int
lock_if_room(par_queue *q, struct pari_room need, par_time deadline)
{
    int room;

    if (pari_queue_lock_put(q, deadline) != 0)
        return -1;
    if (pari_queue_is_closed(q))
        room = pari_fail(EPIPE);
    else
        room = pari_producer_register(q) == 0 ? pari_queue_has_room(q, need) : -1;
    if (room != 1)
        pari_queue_unlock_put(q);
    return room;
}

static int
lock_with_room(par_queue *q, struct pari_room need, bool *has_waited, par_time deadline)
{
    struct pari_nap nap = { 0 };
    int room;

    while ((room = lock_if_room(q, need, deadline)) == 0) {
        *has_waited = true;
        if (pari_queue_wait_put(q, need, &nap, deadline) != 0)
            return -1;
    }
    return room == 1 ? 0 : -1;
}

/* Under put_lock. */
static void
publish(par_queue *q, const void *data, size_t size, struct pari_body *body)
{
    struct pari_ring *ring = &q->ring;

    ring->put.after = atomic_load_explicit(&ring->tail, memory_order_relaxed) + pari_ring_need(ring, size); /* locked */
    atomic_signal_fence(memory_order_seq_cst); /* first: see struct pari_ring_record */
    ring->put.n = atomic_load_explicit(&ring->n_in, memory_order_relaxed) + 1;
    ring->put.body = NULL;
    if (pari_unlikely(body != NULL))
        pari_ring_put_body(ring, body);
    else
        pari_ring_put(ring, data, size);
    atomic_store_explicit(&ring->n_in, ring->put.n, memory_order_relaxed); /* readers without the lock take it as a hint */
}

static int
put(par_queue *q, const void *data, size_t size, struct pari_body *body, par_time deadline)
{
    struct pari_room need = { pari_ring_need(&q->ring, size), body != NULL };
    bool has_waited = false;

    if (lock_with_room(q, need, &has_waited, deadline) != 0)
        return -1;
    publish(q, data, size, body);
    pari_queue_unlock_put(q);
    (void)pari_eventcount_notify_light(&q->readable.ec, 1);
    if (has_waited && !pari_queue_looks_full(q, need))
        (void)pari_eventcount_notify_light(&q->writable, 1);
    return 0;
}

static int
put_big(par_queue *q, const void *data, size_t size, par_time deadline)
{
    struct pari_body *body = pari_body_new(data, size);
    int result = body ? put(q, NULL, size, body, deadline) : -1;

    if (result != 0)
        pari_body_free(body);
    return result;
}

int
par_queue_put(par_queue *q, const void *data, size_t size, par_time deadline)
{
    if (check_put(q, data, size) != 0)
        return -1;
    return pari_ring_is_big(&q->ring, size) ? put_big(q, data, size, deadline) : put(q, data, size, NULL, deadline);
}

/* Item i of those that lie one after the other at `data`, NULL if they are empty. */
static void *
item_at(const void *data, size_t size, size_t i)
{
    return size > 0 ? (unsigned char *)(uintptr_t)data + i * size : NULL;
}

/* Under put_lock, with room for one: as many as there is room for. */
static size_t
publish_many(par_queue *q, const void *data, size_t size, size_t n, struct pari_room need)
{
    size_t done = 0;

    do {
        publish(q, item_at(data, size, done), size, NULL);
        done++;
    } while (done < n && pari_queue_has_room(q, need) == 1);
    return done;
}

/* Small ones. How many were put, once there was room for one; -1. */
static ssize_t
put_some(par_queue *q, const void *data, size_t size, size_t n, par_time deadline)
{
    struct pari_room need = { pari_ring_need(&q->ring, size), false };
    bool has_waited = false;
    size_t done;

    if (lock_with_room(q, need, &has_waited, deadline) != 0)
        return -1;
    done = publish_many(q, data, size, n, need);
    pari_queue_unlock_put(q);
    (void)pari_eventcount_notify_light(&q->readable.ec, done < INT32_MAX ? (int)done : INT32_MAX);
    if (has_waited && !pari_queue_looks_full(q, need))
        (void)pari_eventcount_notify_light(&q->writable, 1);
    return (ssize_t)done;
}

ssize_t
par_queue_put_many(par_queue *q, const void *data, size_t size, size_t n, par_time deadline)
{
    size_t total, done = 0;

    if (check_put(q, data, size) != 0)
        return -1;
    if (!pari_mul(n, size, &total) || total > PTRDIFF_MAX || n > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    while (done < n) {
        const void *next = item_at(data, size, done);
        ssize_t more = pari_ring_is_big(&q->ring, size) ? put_big(q, next, size, deadline) + 1
                                                        : put_some(q, next, size, n - done, deadline);
        if (more <= 0)
            return done > 0 ? (ssize_t)done : -1;
        done += (size_t)more;
    }
    return (ssize_t)done;
}

/* ---- getting */

/* 1: locked, *m is the next message; 0: not locked, nothing there; -1. */
static int
lock_if_message(par_queue *q, struct pari_message *m, par_time deadline)
{
    int there;

    if (pari_ring_is_empty(&q->ring))
        return 0;
    if (pari_queue_lock_get(q, deadline) != 0)
        return -1;
    there = pari_ring_next(&q->ring, m);
    if (there != 1)
        pari_queue_unlock_get(q);
    return there;
}

static int
lock_with_message(par_queue *q, struct pari_message *m, bool *has_waited, par_time deadline)
{
    struct pari_nap nap = { 0 };
    int there;

    while ((there = lock_if_message(q, m, deadline)) == 0) {
        *has_waited = true;
        if (pari_queue_wait_get(q, &nap, deadline) != 0)
            return -1;
    }
    return there == 1 ? 0 : -1;
}

/* Under get_lock: the message is this process's from the store of head on. */
static void
remove_counted(par_queue *q, const struct pari_message *m, struct pari_account *account)
{
    struct pari_ring *ring = &q->ring;

    ring->get.after = m->after;
    atomic_signal_fence(memory_order_seq_cst);                                  /* first: see struct pari_ring_record */
    ring->get.n = atomic_load_explicit(&ring->n_out, memory_order_relaxed) + 1; /* locked */
    ring->get.body = NULL;
    ring->get.note = account;
    account->n_got_next = atomic_load_explicit(&account->n_got, memory_order_relaxed) + 1; /* locked */
    if (pari_unlikely(m->body != NULL))
        pari_ring_remove_body(ring, m);
    else
        pari_ring_remove(ring, m);
    atomic_store_explicit(&ring->n_out, ring->get.n, memory_order_release);            /* partner: has_too_many */
    atomic_store_explicit(&account->n_got, account->n_got_next, memory_order_release); /* partner: task_done */
}

/* Under get_lock, which is released: wake who can go on now, as many producers as messages have gone if that frees room. */
static void
leave_many(par_queue *q, bool frees_room, int n, bool has_waited)
{
    pari_queue_unlock_get(q);
    if (frees_room)
        (void)pari_eventcount_notify_light(&q->writable, n);
    if (has_waited && !pari_ring_is_empty(&q->ring))
        (void)pari_eventcount_notify_light(&q->readable.ec, 1);
}

static void
leave(par_queue *q, const struct pari_message *m, bool is_removed, bool has_waited)
{
    leave_many(q, is_removed && (q->maxsize != 0 || pari_ring_frees_room(&q->ring, m)), 1, has_waited);
}

/* Under get_lock. A small message is copied before it is removed, a body, which nobody else can reach then, without the lock.
 * */
static int
remove_message(par_queue *q, const struct pari_message *m, void *buf)
{
    struct pari_account *account = pari_account_mine(q);

    if (account == NULL)
        return -1;
    if (m->body == NULL && buf != NULL)
        pari_ring_copy_message(&q->ring, m, buf);
    remove_counted(q, m, account);
    return 0;
}

static void
finish_body(const par_queue *q, const struct pari_message *m, void *buf)
{
    if (pari_likely(m->body == NULL))
        return;
    if (buf != NULL)
        pari_ring_copy_message(&q->ring, m, buf);
    pari_body_free(m->body);
}

/* Get into buf, which has room for `size` bytes (NULL: drop it). */
static ssize_t
get(par_queue *q, void *buf, size_t size, par_time deadline)
{
    struct pari_message m;
    bool has_waited = false;
    int result;

    if (lock_with_message(q, &m, &has_waited, deadline) != 0)
        return -1;
    result = m.length <= size ? remove_message(q, &m, buf) : pari_fail(EMSGSIZE);
    leave(q, &m, result == 0, has_waited);
    if (result != 0)
        return -1;
    finish_body(q, &m, buf);
    return (ssize_t)m.length;
}

/* Under get_lock, *m being the next message, of the right size: it and those that follow. *m is then the last that was removed.
 * How many; -1: none. */
static ssize_t
remove_many(par_queue *q, struct pari_message *m, void *buf, size_t size, size_t max, bool *frees_room)
{
    struct pari_message next = *m;
    size_t done = 0;

    do {
        *m = next;
        if (remove_message(q, m, item_at(buf, size, done)) != 0)
            return -1; /* only the first one finds that there is no account */
        *frees_room = *frees_room || pari_ring_frees_room(&q->ring, m);
        done++;
    } while (done < max && m->body == NULL && pari_ring_next(&q->ring, &next) == 1 && next.body == NULL && next.length == size);
    return (ssize_t)done;
}

ssize_t
par_queue_get_many(par_queue *q, void *buf, size_t size, size_t max, par_time deadline)
{
    struct pari_message m;
    bool has_waited = false, frees_room = false;
    size_t total;
    ssize_t n;

    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    if ((buf == NULL && size > 0) || max == 0)
        return pari_fail(EINVAL);
    if (!pari_mul(max, size, &total) || total > PTRDIFF_MAX || max > PTRDIFF_MAX)
        return pari_fail(EOVERFLOW);
    if (lock_with_message(q, &m, &has_waited, deadline) != 0)
        return -1;
    n = m.length == size ? remove_many(q, &m, buf, size, max, &frees_room) : pari_fail(EMSGSIZE);
    leave_many(q, n > 0 && (q->maxsize != 0 || frees_room), n > 1 ? (int)(n < INT32_MAX ? n : INT32_MAX) : 1, has_waited);
    if (n > 0)
        finish_body(q, &m, buf);
    return n;
}

static ssize_t
next_length(par_queue *q, par_time deadline)
{
    struct pari_message m;
    bool has_waited = false;

    if (lock_with_message(q, &m, &has_waited, deadline) != 0)
        return -1;
    leave(q, &m, false, has_waited);
    return (ssize_t)m.length;
}

ssize_t
par_queue_get(par_queue *q, void *buf, size_t size, par_time deadline)
{
    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    if (buf == NULL)
        return size > 0 ? pari_fail(EINVAL) : next_length(q, deadline);
    return get(q, buf, size, deadline);
}

pari_seldom ssize_t
par_queue_peek(par_queue *q, void *buf, size_t size, par_time deadline)
{
    struct pari_message m;
    bool has_waited = false;
    ssize_t result;

    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    if (buf == NULL && size > 0)
        return pari_fail(EINVAL);
    if (lock_with_message(q, &m, &has_waited, deadline) != 0)
        return -1;
    result = m.length <= size ? (ssize_t)m.length : pari_fail(EMSGSIZE);
    if (result > 0)
        pari_ring_copy_message(&q->ring, &m, buf);
    leave(q, &m, false, has_waited);
    return result;
}

ssize_t
par_queue_clear(par_queue *q)
{
    ssize_t n = par_queue_qsize(q), n_cleared = 0; /* what comes in meanwhile stays */

    while (n_cleared < n && par_queue_skip(q, PAR_NOWAIT) == 0) {
        (void)par_queue_task_done(q); /* of what we have just got */
        n_cleared++;
    }
    return n < 0 || (n_cleared < n && errno != ETIMEDOUT && errno != EPIPE) ? -1 : n_cleared;
}

/* The memory is made without the lock; another consumer may take the message meanwhile, and the next one be longer. */
void *
par_queue_get_alloc(par_queue *q, size_t *size, par_time deadline)
{
    char *buf;
    ssize_t length, n;

    for (;;) {
        length = par_queue_get(q, NULL, 0, deadline);
        buf = length >= 0 ? pari_malloc((size_t)length + 1) : NULL;
        if (buf == NULL)
            return NULL;
        n = get(q, buf, (size_t)length, deadline);
        if (n >= 0)
            break;
        free(buf);
        if (errno != EMSGSIZE)
            return NULL;
    }
    buf[n] = 0;
    if (size != NULL)
        *size = (size_t)n;
    return buf;
}

int
par_queue_skip(par_queue *q, par_time deadline)
{
    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    return get(q, NULL, SIZE_MAX, deadline) < 0 ? -1 : 0;
}

/* Under get_lock. The bytes are copied, since nobody may change them between the decoder's looks. */
static void *
decode_message(par_queue *q, const struct pari_message *m, void *(*decode)(const void *bytes, size_t size))
{
    void *copy = pari_malloc(m->length + 1), *value = NULL;

    if (copy != NULL && pari_account_mine(q) != NULL) {
        pari_ring_copy_message(&q->ring, m, copy);
        value = decode(copy, m->length);
    }
    if (value != NULL)
        (void)remove_message(q, m, NULL); /* has its account */
    free(copy);
    return value;
}

void *
pari_queue_decode(par_queue *q, void *(*decode)(const void *bytes, size_t size), par_time deadline)
{
    struct pari_message m;
    bool has_waited = false;
    void *value;

    if (pari_handle_check(q, PARI_QUEUE) != 0 || lock_with_message(q, &m, &has_waited, deadline) != 0)
        return NULL;
    value = decode_message(q, &m, decode);
    leave(q, &m, value != NULL, has_waited);
    if (value != NULL)
        finish_body(q, &m, NULL);
    return value;
}

/* ---- questions */

/* A producer that died between the message and its count: have it counted. */
static void
repair_counts(par_queue *q)
{
    if (pari_mutex_owner_died(q->put_lock) && pari_queue_lock_put(q, PAR_NOWAIT) == 0)
        pari_queue_unlock_put(q);
    if (pari_mutex_owner_died(q->get_lock) && pari_queue_lock_get(q, PAR_NOWAIT) == 0)
        pari_queue_unlock_get(q);
}

pari_seldom ssize_t
par_queue_qsize(const par_queue *q)
{
    int64_t n;

    if (pari_handle_check(q, PARI_QUEUE) != 0)
        return -1;
    repair_counts((par_queue *)q);
    n = (int64_t)(atomic_load(&q->ring.n_in) - atomic_load(&q->ring.n_out));
    return n > 0 ? (ssize_t)n : 0;
}

bool
par_queue_empty(const par_queue *q)
{
    return pari_handle_check(q, PARI_QUEUE) != 0 || pari_ring_is_empty(&q->ring);
}

bool
par_queue_full(const par_queue *q)
{
    return pari_handle_check(q, PARI_QUEUE) == 0 && pari_queue_looks_full(q, smallest);
}
