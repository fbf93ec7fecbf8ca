/* SPDX-License-Identifier: MIT
 *
 * shelf.h: items in places of one size, and the order in which they come out. Whoever calls holds the lock of the queue around it.
 *
 * Shared state: the `state` of each place is the truth, and changes by one store, after all that belongs to it was written. What
 * follows from the states (the heap of those that wait, the list of the free ones, the counts) is derived.
 * If a process dies here: the next one to have the lock derives anew.
 */
#ifndef PARI_SHELF_H
#define PARI_SHELF_H

#include "../shm/shm.h"

enum pari_place_state { PARI_PLACE_FREE, PARI_PLACE_WAITING, PARI_PLACE_LEASED };

struct pari_place {
    _Atomic uint64_t state; /* deliveries << 8 | enum pari_place_state */
    uint64_t number;        /* of the item: they are put in this order */
    int64_t priority;
    pari_member holder; /* on lease: whose */
    int32_t lost_pid;   /* who died with it last */
    uint32_t size;
    uint32_t next; /* derived: place + 1 of the next free one */
    int32_t holder_pid;
    unsigned char bytes[];
};

struct pari_shelf {
    uint32_t n_places; /* constant, like the next four */
    int order;         /* enum par_order */
    uint64_t item_size, stride;
    unsigned char *places;

    uint32_t *heap; /* derived, like all that follows: places of waiting items, each no later than the two below it */
    _Atomic uint32_t n_waiting, n_leased; /* read without the lock as hints */
    uint32_t first_free;                  /* place + 1; 0: none */
    uint32_t next_looked_at;              /* for a dead holder */
    uint64_t next_number;
};

/* The bytes that it needs behind itself. False: more than any memory has. */
bool pari_shelf_size(uint64_t n_places, uint64_t item_size, size_t *size);

/* In zeroed memory. */
void pari_shelf_init(struct pari_shelf *shelf, unsigned char *memory, uint64_t n_places, uint64_t item_size, int order);

void pari_shelf_derive(struct pari_shelf *shelf); /* after a death */

static inline struct pari_place *
pari_shelf_at(const struct pari_shelf *shelf, uint64_t place)
{
    return (struct pari_place *)(void *)(shelf->places + place * shelf->stride);
}

bool pari_shelf_put(struct pari_shelf *shelf, const void *data, size_t size, int64_t priority); /* false: no place is free */
struct pari_place *pari_shelf_first(const struct pari_shelf *shelf);                            /* NULL: none waits */
void pari_shelf_take(struct pari_shelf *shelf);                                                 /* the first leaves */
void pari_shelf_lend(struct pari_shelf *shelf, pari_member holder);                             /* the first goes on lease */
void pari_shelf_drop(struct pari_shelf *shelf, struct pari_place *place);                       /* from lease: it leaves */
void pari_shelf_return(struct pari_shelf *shelf, struct pari_place *place);                     /* from lease: it waits again */

/* Return what a dead holder has, looking at so many places at most, each time at others. How many came back. */
unsigned pari_shelf_sweep(struct pari_shelf *shelf, uint32_t n);

/* Holders whose death would bring something back, at most n of them, each perhaps several times. How many. */
unsigned pari_shelf_holders(const struct pari_shelf *shelf, pari_member *list, unsigned n);

static inline enum pari_place_state
pari_place_state(const struct pari_place *place)
{
    return (enum pari_place_state)(atomic_load_explicit(&place->state, memory_order_relaxed) & 0xff); /* locked */
}

static inline unsigned
pari_place_deliveries(const struct pari_place *place)
{
    return (unsigned)(atomic_load_explicit(&place->state, memory_order_relaxed) >> 8); /* locked */
}

#endif
