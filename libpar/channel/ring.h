/* SPDX-License-Identifier: MIT
 *
 * ring.h: messages in shared memory, in order, from one producer at a time to one consumer at a time. A pipe has one of each; a
 * queue has many, behind a lock per side.
 *
 * A message is a header of 8 bytes and its bytes, padded to 8; it may wrap around the end of the ring. A message above a
 * quarter of the ring is a body (body.h) and an entry that points to it. Positions count bytes since the ring began and never
 * wrap.
 *
 * Shared state, one cache line per side:
 *   tail           the producer's, read by everyone: the one store that publishes a message
 *   seen_head      the producer's copy of head, so that it reads the consumer's line only when the ring seems full
 *   n_in, record   the producer's: for those who count (a queue), and for the repair after its death
 *   big_in         the producer's: bytes of all bodies that ever went in
 *   head, ...      the same for the consumer, who removes a message by one store of head
 * If a process dies here: before the store of tail nothing was put, before the store of head nothing was removed. What belongs
 * to the store (a count, a body's owner) is written down in the record first, and redone or voided by pari_ring_repair_*.
 */
#ifndef PARI_RING_H
#define PARI_RING_H

#include "body.h"

#include <string.h>

/* What the next store of tail or head means. Written in the order `after`, the rest, the store: a record that is not whole has
 * an `after` that is not there yet. */
struct pari_ring_record {
    uint64_t after;         /* where the store leads */
    uint64_t n;             /* the count from then on */
    struct pari_body *body; /* what is put or removed, NULL for a small message */
    void *note;             /* the user's of the ring */
};

struct pari_ring {
    unsigned char *bytes; /* constant, like the next two */
    uint64_t capacity;    /* a power of two */
    uint64_t mask;

    _Alignas(PARI_CACHE_LINE) _Atomic uint64_t tail;
    _Atomic uint64_t n_in;
    uint64_t seen_head;
    _Atomic uint64_t big_in;
    struct pari_ring_record put;

    _Alignas(PARI_CACHE_LINE) _Atomic uint64_t head;
    _Atomic uint64_t n_out;
    uint64_t seen_tail;
    _Atomic uint64_t big_out;
    struct pari_ring_record get;
};

static_assert(offsetof(struct pari_ring, head) - offsetof(struct pari_ring, tail) == PARI_CACHE_LINE, "one line per side");

#define PARI_RING_MIN 4096                /* smallest capacity */
#define PARI_RING_MAX (UINT64_C(1) << 32) /* largest */
#define PARI_MESSAGE_MAX (SIZE_MAX / 4)

struct pari_ring_header {
    uint32_t length; /* of the bytes that follow */
    uint32_t kind;   /* enum pari_ring_kind */
};

enum pari_ring_kind { PARI_RING_SMALL = 0x6c6d7331, PARI_RING_BIG = 0x67696231, PARI_RING_PARCEL = 0x63727031 };

struct pari_ring_entry { /* what follows the header of a big message */
    struct pari_body *body;
    uint64_t big_in; /* once it is in: estimates correct themselves */
};

struct pari_message { /* a checked copy of what the ring says about its next message */
    uint64_t position;
    uint64_t after;
    size_t length;
    struct pari_body *body; /* NULL: a small one */
    uint64_t big_in;
    bool is_parcel; /* a descriptor comes with it, beside the ring (parcel.c) */
};

/* The capacity to use for what the user asked: 0 = standard. 0 with EOVERFLOW. */
uint64_t pari_ring_capacity(uint64_t asked, uint64_t standard);
void pari_ring_init(struct pari_ring *ring, unsigned char *bytes, uint64_t capacity);
/* Nobody uses the ring any more: free all bodies. `drop` (or NULL) is called for each message before it goes. */
void pari_ring_clear(struct pari_ring *ring, void (*drop)(const struct pari_ring *ring, const struct pari_message *m));

/* After the death of a producer (consumer), by the one who holds its side. */
void pari_ring_repair_put(struct pari_ring *ring);
bool pari_ring_repair_get(struct pari_ring *ring); /* true: the record's removal was done */

bool pari_ring_may_spin(void); /* is there another processor? */

/* By the consumer, when there is no message and before it sleeps: look for one for `ns`. In a stream it looks away in between, so
 * that a batch builds up and the producer's line stays with the producer. */
void pari_ring_spin(const struct pari_ring *ring, bool is_stream, int64_t ns);

/* ---- both sides */

static inline uint64_t
pari_ring_tail(const struct pari_ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_acquire); /* partner: pari_ring_publish */
}

static inline uint64_t
pari_ring_head(const struct pari_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire); /* partner: pari_ring_remove */
}

static inline bool
pari_ring_is_empty(const struct pari_ring *ring)
{
    return pari_ring_tail(ring) == pari_ring_head(ring);
}

static inline bool
pari_ring_is_big(const struct pari_ring *ring, size_t size)
{
    return size > ring->capacity / 4 - sizeof(struct pari_ring_header);
}

/* What a message takes in the ring. */
static inline uint64_t
pari_ring_need(const struct pari_ring *ring, size_t size)
{
    if (pari_unlikely(pari_ring_is_big(ring, size)))
        size = sizeof(struct pari_ring_entry);
    return sizeof(struct pari_ring_header) + (((uint64_t)size + 7) & ~UINT64_C(7));
}

/* ---- the producer */

void pari_ring_put_body(struct pari_ring *ring, struct pari_body *body);
bool pari_ring_has_room_big(const struct pari_ring *ring);
int pari_ring_room_slowly(struct pari_ring *ring, uint64_t need);

/* 1: there is room; 0: not now; -1 ENOTRECOVERABLE: the ring is damaged. */
static inline int
pari_ring_room(struct pari_ring *ring, uint64_t need)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */

    if (pari_likely(tail - ring->seen_head <= ring->capacity - need)) /* need is at most a quarter */
        return 1;
    return pari_ring_room_slowly(ring, need);
}

static inline void
pari_ring_copy_in(struct pari_ring *ring, uint64_t position, const void *data, size_t size)
{
    uint64_t at = position & ring->mask, until_end = ring->capacity - at;

    if (size == 8) /* 8-aligned words never wrap */
        memcpy(ring->bytes + at, data, 8);
    else if (size == 4)
        memcpy(ring->bytes + at, data, 4);
    else if (pari_likely(size <= until_end)) {
        if (size > 0)
            memcpy(ring->bytes + at, data, size);
    } else {
        memcpy(ring->bytes + at, data, (size_t)until_end);
        memcpy(ring->bytes, (const unsigned char *)data + until_end, size - (size_t)until_end);
    }
}

static inline void
pari_ring_write_header(struct pari_ring *ring, uint64_t position, size_t size, enum pari_ring_kind kind)
{
    struct pari_ring_header header = { (uint32_t)size, kind };

    memcpy(ring->bytes + (position & ring->mask), &header, sizeof header);
}

/* From this store on the message is there. */
static inline void
pari_ring_publish(struct pari_ring *ring, uint64_t after)
{
    atomic_store_explicit(&ring->tail, after, memory_order_release); /* partner: pari_ring_tail */
}

/* A message in the ring itself, for which there is room. */
static inline void
pari_ring_put_kind(struct pari_ring *ring, const void *data, size_t size, enum pari_ring_kind kind)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */

    pari_ring_write_header(ring, tail, size, kind);
    pari_ring_copy_in(ring, tail + sizeof(struct pari_ring_header), data, size);
    pari_ring_publish(ring, tail + pari_ring_need(ring, size));
}

static inline void
pari_ring_put(struct pari_ring *ring, const void *data, size_t size)
{
    pari_ring_put_kind(ring, data, size, PARI_RING_SMALL);
}

/* ---- the consumer */

int pari_ring_read_big(struct pari_ring *ring, struct pari_message *m);

static inline void
pari_ring_copy_out(const struct pari_ring *ring, uint64_t position, void *data, size_t size)
{
    uint64_t at = position & ring->mask, until_end = ring->capacity - at;

    if (size == 8)
        memcpy(data, ring->bytes + at, 8);
    else if (size == 4)
        memcpy(data, ring->bytes + at, 4);
    else if (pari_likely(size <= until_end)) {
        if (size > 0)
            memcpy(data, ring->bytes + at, size);
    } else {
        memcpy(data, ring->bytes + at, (size_t)until_end);
        memcpy((unsigned char *)data + until_end, ring->bytes, size - (size_t)until_end);
    }
}

/* 1: *m is the next message, its length and place checked; 0: there is none; -1 EBADMSG: the ring is damaged. */
static inline int
pari_ring_next(struct pari_ring *ring, struct pari_message *m)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed), there; /* our own */
    struct pari_ring_header header;

    if (head == ring->seen_tail) {
        ring->seen_tail = pari_ring_tail(ring);
        if (head == ring->seen_tail)
            return 0;
    }
    there = ring->seen_tail - head;
    if (pari_unlikely(there > ring->capacity || there < sizeof header || (head & 7) != 0))
        return pari_fail(EBADMSG);
    memcpy(&header, ring->bytes + (head & ring->mask), sizeof header);
    *m = (struct pari_message){ .position = head, .length = header.length };
    m->after = head + sizeof header + (((uint64_t)header.length + 7) & ~UINT64_C(7));
    if (pari_unlikely(m->after - head > there))
        return pari_fail(EBADMSG);
    if (pari_likely(header.kind == PARI_RING_SMALL))
        return 1;
    m->is_parcel = header.kind == PARI_RING_PARCEL;
    if (m->is_parcel)
        return 1;
    return header.kind == PARI_RING_BIG ? pari_ring_read_big(ring, m) : pari_fail(EBADMSG);
}

/* The bytes of the message, which is small or has a body that this process has taken. */
static inline void
pari_ring_copy_message(const struct pari_ring *ring, const struct pari_message *m, void *data)
{
    if (pari_unlikely(m->body != NULL))
        memcpy(data, m->body->bytes, m->length);
    else
        pari_ring_copy_out(ring, m->position + sizeof(struct pari_ring_header), data, m->length);
}

/* From this store on the message is gone; what was read of it is read before. */
static inline void
pari_ring_remove(struct pari_ring *ring, const struct pari_message *m)
{
    atomic_store_explicit(&ring->head, m->after, memory_order_release); /* partner: pari_ring_head */
}

/* Remove a big message: its body is this process's from now on. Its record names what counts with it. */
void pari_ring_remove_body(struct pari_ring *ring, const struct pari_message *m);

/* Is this a moment to wake a producer that waits for room? At every quarter of the ring that is passed, once half of it is
 * free: late, so that the producer finds room for a batch, and never too late, since a producer waits only with three quarters
 * in use. */
static inline bool
pari_ring_frees_room(const struct pari_ring *ring, const struct pari_message *m)
{
    return pari_unlikely(m->body != NULL) ||
           (((m->position ^ m->after) & ~(ring->capacity / 4 - 1)) != 0 && ring->seen_tail - m->after <= ring->capacity / 2);
}

#endif
