/* SPDX-License-Identifier: MIT
 *
 * body.h: the body of a big message: an arena block that a ring's entry points to.
 */
#ifndef PARI_BODY_H
#define PARI_BODY_H

#include "../shm/shm.h"

struct pari_body {
    _Atomic uint8_t state; /* enum body_state: whose it is */
    uint64_t ring;         /* address of the ring it travels in */
    uint64_t position;     /* of its entry there, in bytes since the ring began */
    uint64_t length;
    _Alignas(PARI_CACHE_LINE) unsigned char bytes[];
};

/* A copy of the bytes, this process's until it is launched. NULL: ENOSPC. */
struct pari_body *pari_body_new(const void *data, size_t size);

/* From this store on the body belongs to the ring. */
void pari_body_launch(struct pari_body *body, const void *ring, uint64_t position);

/* Is this a body that belongs to the ring, and whole? Trusts nothing: the pointer comes from shared memory. */
bool pari_body_is_of(const struct pari_body *body, const void *ring);

/* From this store on the body belongs to this process. */
void pari_body_take(struct pari_body *body);

/* By the process it belongs to; NULL is fine. Keeps errno. */
void pari_body_free(struct pari_body *body);

#endif
