/* SPDX-License-Identifier: MIT
 *
 * ring.c: the rarer part of the ring: a ring that seems full, big messages, repair.
 */
#include "ring.h"

#define BIG_FACTOR 16 /* bodies may take so many times the ring's capacity together */
#define LOOK_AWAY_NS 1000
#define LOOKS_PER_CLOCK 4 /* asking costs more than looking */

uint64_t
pari_ring_capacity(uint64_t asked, uint64_t standard)
{
    uint64_t capacity = PARI_RING_MIN;

    if (asked == 0)
        asked = standard;
    if (asked > PARI_RING_MAX) {
        errno = EOVERFLOW;
        return 0;
    }
    while (capacity < asked)
        capacity *= 2;
    return capacity;
}

void
pari_ring_init(struct pari_ring *ring, unsigned char *bytes, uint64_t capacity)
{
    ring->bytes = bytes;
    ring->capacity = capacity;
    ring->mask = capacity - 8; /* messages begin at multiples of 8, also when an index has been damaged */
}

/* ---- the producer */

int
pari_ring_room_slowly(struct pari_ring *ring, uint64_t need)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */

    ring->seen_head = pari_ring_head(ring);
    if (tail - ring->seen_head > ring->capacity)
        return pari_fail(ENOTRECOVERABLE);
    return tail - ring->seen_head <= ring->capacity - need;
}

/* Bodies under way are bounded, too, so that a queue of big messages does not fill the arena. The difference is signed: a
 * producer's death may leave big_in a message behind what the next entries say, until those are removed. */
bool
pari_ring_has_room_big(const struct pari_ring *ring)
{
    uint64_t in = atomic_load_explicit(&ring->big_in, memory_order_relaxed); /* an estimate is good enough */
    uint64_t out = atomic_load_explicit(&ring->big_out, memory_order_relaxed);

    return (int64_t)(in - out) < (int64_t)(BIG_FACTOR * ring->capacity);
}

void
pari_ring_put_body(struct pari_ring *ring, struct pari_body *body)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */
    struct pari_ring_entry entry = { body, atomic_load_explicit(&ring->big_in, memory_order_relaxed) + body->length };

    ring->put.body = body;
    atomic_signal_fence(memory_order_seq_cst); /* the record knows the body before nobody else does */
    pari_body_launch(body, ring, tail);
    pari_ring_write_header(ring, tail, sizeof entry, PARI_RING_BIG);
    pari_ring_copy_in(ring, tail + sizeof(struct pari_ring_header), &entry, sizeof entry);
    pari_ring_publish(ring, tail + pari_ring_need(ring, body->length));
    atomic_store_explicit(&ring->big_in, entry.big_in, memory_order_relaxed);
}

/* ---- the consumer */

int
pari_ring_read_big(struct pari_ring *ring, struct pari_message *m)
{
    struct pari_ring_entry entry;

    if (m->length != sizeof entry)
        return pari_fail(EBADMSG);
    pari_ring_copy_out(ring, m->position + sizeof(struct pari_ring_header), &entry, sizeof entry);
    if (!pari_body_is_of(entry.body, ring) || entry.body->position != m->position)
        return pari_fail(EBADMSG);
    m->body = entry.body;
    m->length = (size_t)entry.body->length;
    m->big_in = entry.big_in;
    return 1;
}

void
pari_ring_remove_body(struct pari_ring *ring, const struct pari_message *m)
{
    ring->get.body = m->body;
    atomic_store_explicit(&ring->big_out, m->big_in, memory_order_relaxed); /* an estimate; done again if we die here */
    pari_ring_remove(ring, m);
    pari_body_take(m->body);
    atomic_signal_fence(memory_order_seq_cst); /* ours before the record forgets it */
    ring->get.body = NULL;
}

/* ---- a short wait */

bool
pari_ring_may_spin(void)
{
    static _Atomic int n;                                      /* 0: not asked yet */
    int cpus = atomic_load_explicit(&n, memory_order_relaxed); /* any thread's answer is as good */

    if (pari_unlikely(cpus == 0)) {
        cpus = pari_n_cpus();
        atomic_store_explicit(&n, cpus, memory_order_relaxed);
    }
    return cpus > 1;
}

static void
look_away(int64_t ns)
{
    int64_t end = pari_now_ns() + ns;

    do
        for (int i = 0; i < 4; i++)
            pari_cpu_relax();
    while (pari_now_ns() < end);
}

void
pari_ring_spin(const struct pari_ring *ring, bool is_stream, int64_t ns)
{
    int64_t end;

    if (ns == 0)
        return;
    end = pari_now_ns() + ns;
    do
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            if (is_stream)
                look_away(LOOK_AWAY_NS);
            else
                pari_cpu_relax();
            if (!pari_ring_is_empty(ring))
                return;
        }
    while (pari_now_ns() < end);
}

/* ---- repair: may itself be cut off, and is done again then */

/* The body that the record names, if it was launched and never published, or removed and never taken. */
static void
drop_stray(struct pari_ring_record *record, bool is_stray)
{
    struct pari_body *body = record->body;

    if (is_stray)
        pari_body_take(body);
    atomic_signal_fence(memory_order_seq_cst); /* ours before the record forgets it */
    record->body = NULL;
    if (is_stray)
        pari_body_free(body);
}

void
pari_ring_repair_put(struct pari_ring *ring)
{
    struct pari_body *body = ring->put.body;
    uint64_t tail = pari_ring_tail(ring);

    if (tail == ring->put.after)
        atomic_store_explicit(&ring->n_in, ring->put.n, memory_order_relaxed); /* under the side's lock, or a hint */
    drop_stray(&ring->put, pari_body_is_of(body, ring) && body->position >= tail);
}

bool
pari_ring_repair_get(struct pari_ring *ring)
{
    struct pari_body *body = ring->get.body;
    uint64_t head = pari_ring_head(ring);
    bool is_done = head == ring->get.after;

    if (is_done)
        atomic_store_explicit(&ring->n_out, ring->get.n, memory_order_relaxed); /* under the side's lock, or a hint */
    drop_stray(&ring->get, pari_body_is_of(body, ring) && body->position < head);
    return is_done;
}

void
pari_ring_clear(struct pari_ring *ring, void (*drop)(const struct pari_ring *ring, const struct pari_message *m))
{
    struct pari_message m;

    pari_ring_repair_put(ring);
    (void)pari_ring_repair_get(ring); /* the count does not matter any more */
    while (pari_ring_next(ring, &m) == 1) {
        if (drop != NULL)
            drop(ring, &m);
        if (m.body != NULL) {
            pari_ring_remove_body(ring, &m);
            pari_body_free(m.body);
        } else
            pari_ring_remove(ring, &m);
    }
}
