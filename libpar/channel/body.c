/* SPDX-License-Identifier: MIT
 *
 * body.c: bodies of big messages, and whose they are at any moment.
 *
 * A body is its sender's while it is filled, the ring's while an entry or the ring's record points to it, its receiver's while
 * it is copied out. Each change of hands is one store of `state`, which is the block's fate for the heap as well: FLYING keeps
 * it alive whoever dies; in any other state it goes with the process that owns the block.
 *
 * Shared state: state, written by the one it belongs to and by whoever repairs a ring; ring, position and length are written
 * before the body flies and constant from then on. A record may point to a block that was swept and has become something else
 * meanwhile: such a block is not FLYING in this ring at this position, since fresh blocks are zero and positions never come
 * back.
 * If a process dies here: before the launch and after the take the sweep of its blocks frees the body; in between it is in the
 * ring, or in a record whose reader decides by the ring's indices.
 */
#include "body.h"

#include <string.h>

enum body_state { FILLING = 0, FLYING = 1, TAKEN = 2 };

static_assert(sizeof(struct pari_body) == PARI_CACHE_LINE, "the bytes begin on a line of their own");

struct pari_body *
pari_body_new(const void *data, size_t size)
{
    struct pari_body *body = pari_heap_alloc(sizeof *body + size, 1, pari_self());

    if (body == NULL)
        return NULL;
    pari_heap_fate(body, &body->state, FLYING);
    body->length = size;
    memcpy(body->bytes, data, size);
    return body;
}

void
pari_body_launch(struct pari_body *body, const void *ring, uint64_t position)
{
    body->ring = (uintptr_t)ring;
    body->position = position;
    atomic_store_explicit(&body->state, FLYING, memory_order_release); /* partner: pari_body_is_of */
}

bool
pari_body_is_of(const struct pari_body *body, const void *ring)
{
    return pari_heap_is_block(body) &&
           atomic_load_explicit(&body->state, memory_order_acquire) == FLYING && /* partner: launch */
           body->ring == (uintptr_t)ring && body->length <= pari_heap_length(body) - sizeof *body;
}

void
pari_body_take(struct pari_body *body)
{
    pari_heap_own(body, pari_self());
    atomic_store_explicit(&body->state, TAKEN, memory_order_release); /* the owner is there first; read by a sweep */
}

void
pari_body_free(struct pari_body *body)
{
    int saved = errno;

    if (body != NULL)
        (void)pari_heap_free(body); /* refuses only what is no block */
    errno = saved;
}
