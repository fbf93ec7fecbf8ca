/* SPDX-License-Identifier: MIT
 *
 * heap.h: what heap.c, owner.c and cell.c share: the header of a block, and the heap's lock.
 */
#ifndef PARI_HEAP_H
#define PARI_HEAP_H

#include "arena.h"

enum { PARI_BLOCK_FREE = 0x45455246, PARI_BLOCK_LIVE = 0x4556494c };

#define PARI_CLASS_LARGE 0xffff

struct pari_block {
    _Atomic uint32_t state; /* PARI_BLOCK_LIVE or _FREE; what is not LIVE is no block, whatever its run says */
    uint16_t size_class;    /* fixed when the page is cut; PARI_CLASS_LARGE */
    uint8_t has_cells;      /* a small block: some cell's home may lie in it */
    uint8_t keep;
    _Atomic pari_member owner; /* 0: the family's */
    uint64_t length;           /* n of its allocation */
    uint64_t bytes;            /* of the caller's part */
    uint64_t lock_words[2];    /* the lock that belongs to the block */
    _Atomic uintptr_t fate;    /* where *fate == keep makes it the family's */
    uint64_t next;             /* a free block: the next one's offset + 1; a live one: the member who inherits it, 0 none */
};

int pari_heap_lock(void); /* repairs after a death */
void pari_heap_unlock(void);

/* Under the heap's lock: */
struct pari_cell *pari_cell_take(pari_member owner);
void pari_cell_give_back(struct pari_cell *cell);
void pari_block_release(void *p);                            /* if it is a live block; its own cells, too */
void pari_cells_return(struct pari_block *block);            /* those whose home lies in the block */
void pari_cell_sweep(struct pari_cell *cell);                /* its maker died before it was published, or just after */
void pari_cell_relink(struct pari_cell *cell, bool is_live); /* while the lists are being rebuilt */
void pari_cells_adopt(void);                                 /* free the orphans that nobody holds any more */

/* Visit every block, live or free, of every page in use; the visitor may release the block. */
void pari_heap_walk(void (*visit)(struct pari_block *block, pari_member arg), pari_member arg);

/* With or without the lock: */
struct pari_block *pari_block_of(const void *p);     /* the live block that begins at this address, or NULL */
struct pari_block *pari_block_around(const void *p); /* the small block that contains p, or NULL */
bool pari_block_is_cell(const struct pari_block *block);

static inline bool
pari_block_is_live(const struct pari_block *block)
{
    return atomic_load_explicit(&block->state, memory_order_acquire) == PARI_BLOCK_LIVE; /* partner: set_state in heap.c */
}

#endif
