/* SPDX-License-Identifier: MIT
 *
 * test_ring.c: the ring below pipes and queues, where its memory is not what it should be, and after a death at each step.
 */
#include "fixture.h"

#include <par.h>

#include "../libpar/channel/ring.h"

#define CAPACITY 4096

static struct pari_ring *ring;

static void
make_ring(void)
{
    ring = pari_heap_alloc(1, sizeof *ring + CAPACITY, 0);
    ck_assert_ptr_nonnull(ring);
    pari_ring_init(ring, (unsigned char *)(ring + 1), CAPACITY);
}

static void
free_ring(void)
{
    ck_assert_int_eq(pari_heap_free(ring), 0);
}

/* A big message up to the point where it would be published. */
static struct pari_body *
begin_big(size_t size)
{
    static char data[8192];
    struct pari_body *body = pari_body_new(data, size);

    ck_assert_ptr_nonnull(body);
    ring->put.after = atomic_load(&ring->tail) + pari_ring_need(ring, size);
    ring->put.n = atomic_load(&ring->n_in) + 1;
    ring->put.body = body;
    return body;
}

static void
put_big(size_t size)
{
    struct pari_body *body = begin_big(size);

    pari_ring_put_body(ring, body);
    atomic_store(&ring->n_in, ring->put.n);
}

/* ---- damage */

START_TEST(damaged_indices_are_ebadmsg)
{
    struct pari_message m;

    make_ring();
    pari_ring_put(ring, "abcd", 4);
    atomic_store(&ring->tail, 3 * CAPACITY);
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    ck_fails(pari_ring_room(ring, 16), ENOTRECOVERABLE);
    atomic_store(&ring->head, 4 * CAPACITY);
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    atomic_store(&ring->head, 3 * CAPACITY - 12);
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    free_ring();
}
END_TEST

START_TEST(damaged_header_is_ebadmsg)
{
    struct pari_message m;

    make_ring();
    pari_ring_put(ring, "abcd", 4);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    memset(ring->bytes, 0xff, 4); /* the length */
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    memset(ring->bytes, 0, 8); /* length and kind */
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    free_ring();
}
END_TEST

START_TEST(entry_that_points_anywhere_is_ebadmsg)
{
    static char private[256];
    struct pari_message m;
    void *other = pari_heap_alloc(1, 4096, 0);
    void *pointer[] = { NULL, private, (void *)8, (void *)UINTPTR_MAX, ring, other, (char *)other + 64 };

    make_ring();
    put_big(3000);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    ck_assert_uint_eq(m.length, 3000);
    for (size_t i = 0; i < sizeof pointer / sizeof pointer[0]; i++) {
        memcpy(ring->bytes + sizeof(struct pari_ring_header), &pointer[i], sizeof pointer[i]);
        ck_fails(pari_ring_next(ring, &m), EBADMSG);
    }
    pari_body_free(ring->put.body);
    ck_assert_int_eq(pari_heap_free(other), 0);
    free_ring();
}
END_TEST

START_TEST(body_that_claims_to_be_longer_than_its_block_is_ebadmsg)
{
    struct pari_message m;

    make_ring();
    put_big(3000);
    ring->put.body->length = 3001;
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    ring->put.body->length = SIZE_MAX;
    ck_fails(pari_ring_next(ring, &m), EBADMSG);
    pari_body_free(ring->put.body);
    free_ring();
}
END_TEST

START_TEST(random_damage_never_leads_out_of_the_ring)
{
    static unsigned char out[CAPACITY];
    struct pari_message m;

    make_ring();
    for (int round = 0; round < 20000; round++) {
        uint64_t head = fixture_random_below(1 << 20) * 8u;
        for (int i = 0; i < 64; i++)
            ring->bytes[fixture_random_below(CAPACITY)] = (unsigned char)fixture_random();
        ring->bytes[(head & ring->mask) + 1] &= 0x1f; /* now and then a length that might be */
        ring->bytes[(head & ring->mask) + 2] = ring->bytes[(head & ring->mask) + 3] = 0;
        memcpy(ring->bytes + (head & ring->mask) + 4, &(uint32_t){ PARI_RING_SMALL }, round % 3 ? 4 : 0);
        ring->seen_tail = head;
        atomic_store(&ring->head, head);
        atomic_store(&ring->tail, head + fixture_random_below(CAPACITY + 100));
        if (pari_ring_next(ring, &m) == 1) {
            ck_assert_uint_le(m.length, CAPACITY);
            pari_ring_copy_message(ring, &m, out);
        }
    }
    free_ring();
}
END_TEST

/* ---- a death at each step of a big message: nothing is lost, nothing freed twice */

static size_t in_use;

static void
begin(void)
{
    make_ring();
    in_use = pari_heap_in_use();
}

static void
end(void)
{
    pari_ring_clear(ring, NULL);
    ck_assert_uint_eq(pari_heap_in_use(), in_use);
    free_ring();
}

START_TEST(sender_dies_before_the_launch)
{
    struct pari_body *body;

    begin();
    body = begin_big(3000);
    pari_ring_repair_put(ring);
    ck_assert_uint_eq(atomic_load(&ring->n_in), 0);
    ck_assert(pari_heap_is_block(body)); /* the dead sender's: its sweep frees it */
    pari_body_free(body);
    end();
}
END_TEST

START_TEST(sender_dies_after_the_launch)
{
    struct pari_body *body;

    begin();
    put_big(2000);
    body = begin_big(3000);
    pari_body_launch(body, ring, atomic_load(&ring->tail));
    pari_ring_repair_put(ring);
    ck_assert(!pari_heap_is_block(body));
    ck_assert_uint_eq(atomic_load(&ring->n_in), 1);
    pari_ring_repair_put(ring);
    end();
}
END_TEST

START_TEST(sender_dies_after_the_publication)
{
    struct pari_message m;

    begin();
    pari_ring_put_body(ring, begin_big(3000));
    pari_ring_repair_put(ring);
    ck_assert_uint_eq(atomic_load(&ring->n_in), 1);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    ck_assert_uint_eq(m.length, 3000);
    end();
}
END_TEST

/* What the receiver does before the store of head. */
static void
begin_removal(const struct pari_message *m)
{
    ring->get.after = m->after;
    ring->get.n = atomic_load(&ring->n_out) + 1;
    ring->get.body = m->body;
}

START_TEST(receiver_dies_before_the_removal)
{
    struct pari_message m;

    begin();
    put_big(3000);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    begin_removal(&m);
    ck_assert(!pari_ring_repair_get(ring));
    ck_assert_uint_eq(atomic_load(&ring->n_out), 0);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    end();
}
END_TEST

START_TEST(receiver_dies_after_the_removal)
{
    struct pari_message m;

    begin();
    put_big(3000);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    begin_removal(&m);
    pari_ring_remove(ring, &m);
    ck_assert(pari_ring_repair_get(ring));
    ck_assert(pari_ring_repair_get(ring));
    ck_assert_uint_eq(atomic_load(&ring->n_out), 1);
    ck_assert_uint_eq(pari_heap_in_use(), in_use);
    end();
}
END_TEST

START_TEST(receiver_dies_with_the_body)
{
    struct pari_message m;

    begin();
    put_big(3000);
    ck_assert_int_eq(pari_ring_next(ring, &m), 1);
    begin_removal(&m);
    pari_ring_remove_body(ring, &m);
    ring->get.body = m.body; /* the record still names what is the dead receiver's already */
    ck_assert(pari_ring_repair_get(ring));
    ck_assert(pari_heap_is_block(m.body));
    pari_body_free(m.body);
    end();
}
END_TEST

START_TEST(record_that_names_a_reused_block_frees_nothing)
{
    struct pari_body *body, *stranger;

    begin();
    body = begin_big(3000);
    pari_body_free(body); /* the sweep was quicker */
    stranger = pari_heap_alloc(sizeof *body + 3000, 1, 0);
    ck_assert_ptr_eq(stranger, body);
    pari_ring_repair_put(ring);
    ck_assert(pari_heap_is_block(stranger));
    ck_assert_int_eq(pari_heap_free(stranger), 0);
    end();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("ring");
    TCase *tcase = fixture_case(suite, "damage");

    tcase_add_test(tcase, damaged_indices_are_ebadmsg);
    tcase_add_test(tcase, damaged_header_is_ebadmsg);
    tcase_add_test(tcase, entry_that_points_anywhere_is_ebadmsg);
    tcase_add_test(tcase, body_that_claims_to_be_longer_than_its_block_is_ebadmsg);
    tcase_add_test(tcase, random_damage_never_leads_out_of_the_ring);

    tcase = fixture_case(suite, "death");
    tcase_add_test(tcase, sender_dies_before_the_launch);
    tcase_add_test(tcase, sender_dies_after_the_launch);
    tcase_add_test(tcase, sender_dies_after_the_publication);
    tcase_add_test(tcase, receiver_dies_before_the_removal);
    tcase_add_test(tcase, receiver_dies_after_the_removal);
    tcase_add_test(tcase, receiver_dies_with_the_body);
    tcase_add_test(tcase, record_that_names_a_reused_block_frees_nothing);
    return fixture_run(suite);
}
