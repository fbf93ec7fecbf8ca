/* SPDX-License-Identifier: MIT
 *
 * shelf.c: see shelf.h. The heap is a binary one in an array.
 */
#include "shelf.h"

#include <par/pqueue.h>

#include <string.h>

bool
pari_shelf_size(uint64_t n_places, uint64_t item_size, size_t *size)
{
    uint64_t stride;

    if (n_places > INT32_MAX || item_size > UINT32_MAX)
        return false;
    stride = (sizeof(struct pari_place) + item_size + 7) & ~UINT64_C(7);
    return pari_mul(n_places, stride + sizeof(uint32_t), size);
}

void
pari_shelf_init(struct pari_shelf *shelf, unsigned char *memory, uint64_t n_places, uint64_t item_size, int order)
{
    shelf->n_places = (uint32_t)n_places;
    shelf->order = order;
    shelf->item_size = item_size;
    shelf->stride = (sizeof(struct pari_place) + item_size + 7) & ~UINT64_C(7);
    shelf->places = memory;
    shelf->heap = (uint32_t *)(void *)(memory + n_places * shelf->stride);
    pari_shelf_derive(shelf);
}

/* ---- states: the store that commits */

static void
set_state(struct pari_place *place, enum pari_place_state state, unsigned deliveries)
{
    atomic_signal_fence(memory_order_seq_cst); /* what belongs to the state was written before; the lock orders processors */
    atomic_store_explicit(&place->state, (uint64_t)deliveries << 8 | state, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* ---- the heap */

static bool
is_before(const struct pari_shelf *shelf, uint32_t a, uint32_t b)
{
    const struct pari_place *x = pari_shelf_at(shelf, a), *y = pari_shelf_at(shelf, b);

    if (shelf->order == PAR_LAST_FIRST)
        return x->number > y->number;
    if (shelf->order == PAR_LOWEST_FIRST && x->priority != y->priority)
        return x->priority < y->priority;
    return x->number < y->number;
}

static void
swap(uint32_t *a, uint32_t *b)
{
    uint32_t c = *a;

    *a = *b;
    *b = c;
}

static void
push(struct pari_shelf *shelf, uint32_t place)
{
    uint32_t i = atomic_load_explicit(&shelf->n_waiting, memory_order_relaxed); /* locked */

    shelf->heap[i] = place;
    for (; i > 0 && is_before(shelf, shelf->heap[i], shelf->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&shelf->heap[i], &shelf->heap[(i - 1) / 2]);
    atomic_fetch_add_explicit(&shelf->n_waiting, 1, memory_order_relaxed);
}

static void
pop(struct pari_shelf *shelf)
{
    uint32_t n = atomic_load_explicit(&shelf->n_waiting, memory_order_relaxed) - 1, i = 0, child; /* locked */

    shelf->heap[0] = shelf->heap[n];
    for (; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(shelf, shelf->heap[child + 1], shelf->heap[child]))
            child++;
        if (!is_before(shelf, shelf->heap[child], shelf->heap[i]))
            break;
        swap(&shelf->heap[child], &shelf->heap[i]);
    }
    atomic_store_explicit(&shelf->n_waiting, n, memory_order_relaxed);
}

/* ---- what is derived */

static uint32_t
index_of(const struct pari_shelf *shelf, const struct pari_place *place)
{
    return (uint32_t)((uint64_t)((const unsigned char *)place - shelf->places) / shelf->stride);
}

static void
add_free(struct pari_shelf *shelf, struct pari_place *place)
{
    place->next = shelf->first_free;
    shelf->first_free = index_of(shelf, place) + 1;
}

static void
count_leased(struct pari_shelf *shelf, int change)
{
    atomic_fetch_add_explicit(&shelf->n_leased, (uint32_t)change, memory_order_relaxed); /* locked */
}

void
pari_shelf_derive(struct pari_shelf *shelf)
{
    atomic_store(&shelf->n_waiting, 0);
    atomic_store(&shelf->n_leased, 0);
    shelf->first_free = 0;
    for (uint32_t i = shelf->n_places; i-- > 0;) {
        struct pari_place *place = pari_shelf_at(shelf, i);

        switch (pari_place_state(place)) {
        case PARI_PLACE_FREE: add_free(shelf, place); continue;
        case PARI_PLACE_WAITING: push(shelf, i); break;
        case PARI_PLACE_LEASED: count_leased(shelf, 1); break;
        }
        if (shelf->next_number <= place->number)
            shelf->next_number = place->number + 1;
    }
}

/* ---- items */

bool
pari_shelf_put(struct pari_shelf *shelf, const void *data, size_t size, int64_t priority)
{
    struct pari_place *place;

    if (shelf->first_free == 0)
        return false;
    place = pari_shelf_at(shelf, shelf->first_free - 1);
    shelf->first_free = place->next;
    place->number = shelf->next_number++;
    place->priority = priority;
    place->lost_pid = 0;
    place->size = (uint32_t)size;
    if (size > 0)
        memcpy(place->bytes, data, size);
    set_state(place, PARI_PLACE_WAITING, 0);
    push(shelf, index_of(shelf, place));
    return true;
}

struct pari_place *
pari_shelf_first(const struct pari_shelf *shelf)
{
    return atomic_load_explicit(&shelf->n_waiting, memory_order_relaxed) > 0 ? pari_shelf_at(shelf, shelf->heap[0])
                                                                             : NULL; /* locked */
}

void
pari_shelf_take(struct pari_shelf *shelf)
{
    struct pari_place *place = pari_shelf_first(shelf);

    set_state(place, PARI_PLACE_FREE, 0);
    pop(shelf);
    add_free(shelf, place);
}

void
pari_shelf_lend(struct pari_shelf *shelf, pari_member holder)
{
    struct pari_place *place = pari_shelf_first(shelf);

    place->holder = holder;
    place->holder_pid = pari_member_pid(holder);
    set_state(place, PARI_PLACE_LEASED, pari_place_deliveries(place) + 1);
    pop(shelf);
    count_leased(shelf, 1);
}

void
pari_shelf_drop(struct pari_shelf *shelf, struct pari_place *place)
{
    set_state(place, PARI_PLACE_FREE, 0);
    count_leased(shelf, -1);
    add_free(shelf, place);
}

void
pari_shelf_return(struct pari_shelf *shelf, struct pari_place *place)
{
    set_state(place, PARI_PLACE_WAITING, pari_place_deliveries(place));
    count_leased(shelf, -1);
    push(shelf, index_of(shelf, place));
}

unsigned
pari_shelf_sweep(struct pari_shelf *shelf, uint32_t n)
{
    unsigned n_back = 0;

    for (; n > 0 && atomic_load_explicit(&shelf->n_leased, memory_order_relaxed) > 0; n--) { /* locked */
        struct pari_place *place = pari_shelf_at(shelf, shelf->next_looked_at);

        shelf->next_looked_at = (shelf->next_looked_at + 1) % shelf->n_places;
        if (pari_place_state(place) != PARI_PLACE_LEASED || !pari_member_is_dead(place->holder))
            continue;
        place->lost_pid = place->holder_pid;
        pari_shelf_return(shelf, place);
        n_back++;
    }
    return n_back;
}

unsigned
pari_shelf_holders(const struct pari_shelf *shelf, pari_member *list, unsigned n)
{
    uint32_t left = atomic_load_explicit(&shelf->n_leased, memory_order_relaxed); /* locked */
    unsigned n_listed = 0;

    for (uint32_t i = 0; i < shelf->n_places && left > 0 && n_listed < n; i++) {
        const struct pari_place *place = pari_shelf_at(shelf, i);

        if (pari_place_state(place) != PARI_PLACE_LEASED)
            continue;
        left--;
        if (n_listed == 0 || list[n_listed - 1] != place->holder)
            list[n_listed++] = place->holder;
    }
    return n_listed;
}
