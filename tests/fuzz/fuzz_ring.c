/* SPDX-License-Identifier: MIT
 *
 * fuzz_ring.c: a message ring whose other side is hostile or has scribbled: any indices, any bytes, entries that point to bodies, to
 * other blocks, into the middle of things or nowhere. What the ring calls a message can be copied; all else is EBADMSG.
 */
#include "fuzz.h"

#include "../../libpar/channel/ring.h"

#define CAPACITY 4096
#define BODY_SIZE 3000

static struct pari_ring ring;
static unsigned char *bytes; /* of exactly the capacity, for the sanitizer */
static struct pari_body *body;
static void *other; /* a block of another kind */

static void
begin(void)
{
    if (bytes == NULL) {
        bytes = malloc(CAPACITY);
        other = pari_heap_alloc(200, 1, pari_self());
        must(bytes != NULL && other != NULL);
    }
    if (!pari_heap_is_block(body)) {
        static const unsigned char content[BODY_SIZE];
        body = pari_body_new(content, sizeof content);
        must(body != NULL);
    }
    memset(&ring, 0, sizeof ring);
    memset(bytes, 0, CAPACITY);
    pari_ring_init(&ring, bytes, CAPACITY);
}

static void *
pick_pointer(struct fuzz_input *in)
{
    switch (fuzz_take(in, 1) % 8) {
    case 0: return NULL;
    case 1: return other;
    case 2: return (char *)body + 64;
    case 3: return (char *)body + fuzz_take(in, 2);
    case 4: return (void *)(uintptr_t)fuzz_take(in, 8);
    default: return body;
    }
}

/* A header and an entry for a big message at a place of the ring, with the body launched for that place or another one. */
static void
plant_entry(struct fuzz_input *in, uint64_t head)
{
    uint64_t at = head + (fuzz_take(in, 2) & (CAPACITY - 8));
    struct pari_ring_entry entry = { pick_pointer(in), fuzz_take(in, 8) };

    pari_body_launch(body, fuzz_take(in, 1) % 4 == 0 ? (void *)&body : (void *)&ring, at + fuzz_take(in, 1) % 2 * 8);
    if (fuzz_take(in, 1) % 4 == 0)
        body->length = fuzz_take(in, 8);
    pari_ring_write_header(&ring, at, fuzz_take(in, 1) % 4 == 0 ? fuzz_take(in, 4) : sizeof entry, PARI_RING_BIG);
    pari_ring_copy_in(&ring, at + sizeof(struct pari_ring_header), &entry, sizeof entry);
}

static void
consume(void)
{
    struct pari_message m;
    int there;

    while ((there = pari_ring_next(&ring, &m)) == 1) {
        unsigned char *copy = malloc(m.length + 1);
        must(copy != NULL && m.length <= CAPACITY + BODY_SIZE);
        if (m.body != NULL)
            pari_ring_remove_body(&ring, &m);
        pari_ring_copy_message(&ring, &m, copy);
        if (m.body != NULL)
            pari_body_free(m.body);
        else
            pari_ring_remove(&ring, &m);
        free(copy);
    }
    must(there == 0 || errno == EBADMSG);
}

static void
produce(size_t size)
{
    static const unsigned char content[CAPACITY / 4];
    int room;

    if (pari_ring_is_big(&ring, size))
        return;
    room = pari_ring_room(&ring, pari_ring_need(&ring, size));
    must(room >= 0 || errno == ENOTRECOVERABLE);
    if (room == 1)
        pari_ring_put(&ring, content, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, data + size };
    uint64_t head, length;
    unsigned what;

    begin();
    what = (unsigned)fuzz_take(&in, 1);
    head = fuzz_take(&in, what & 1 ? 8 : 2) & (what & 2 ? UINT64_MAX : ~UINT64_C(7));
    length = fuzz_take(&in, what & 4 ? 8 : 2);
    atomic_store(&ring.head, head);
    atomic_store(&ring.tail, head + length);
    ring.seen_tail = what & 8 ? head : head + length;
    ring.seen_head = what & 16 ? fuzz_take(&in, 8) : head;
    if (what & 32)
        plant_entry(&in, head);
    for (uint64_t at = head; fuzz_left(&in) > 8 && at - head < CAPACITY; at++)
        if ((what & 32) == 0 || bytes[at & (CAPACITY - 1)] == 0)
            bytes[at & (CAPACITY - 1)] = (unsigned char)fuzz_take(&in, 1);
    if (what & 64)
        produce((size_t)fuzz_take(&in, 2));
    consume();
    produce((size_t)fuzz_take(&in, 2));
    consume();
    return 0;
}
