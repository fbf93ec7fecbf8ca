/* SPDX-License-Identifier: MIT
 *
 * arena.h: what the files of this floor share: the layout of the arena.
 *
 *   base                 struct pari_arena (header, registry lock, heap state)
 *   + SLOTS_OFFSET       PARI_MAX_MEMBERS slots
 *   + PAGES_OFFSET       one struct pari_page per 64 KiB of heap
 *   + heap_offset        the heap, committed page by page from its start
 *
 * Slots and page descriptors lie in a part of the file that is as long as the arena may need, but takes memory only where it is
 * touched. Everything is zero at first.
 */
#ifndef PARI_ARENA_H
#define PARI_ARENA_H

#include "shm.h"

#define PARI_PAGE_SHIFT 16
#define PARI_PAGE_SIZE ((size_t)1 << PARI_PAGE_SHIFT)
#define PARI_N_CLASSES 24

struct pari_slot {
    struct pari_mutex alive;    /* held by the process's life; read by everyone as a word */
    _Atomic uint64_t tag;       /* generation << 8 | state: one store changes both */
    _Atomic pari_member parent; /* who judges it while it starts, and reads its exit code */
    _Atomic int32_t pid;        /* written by the process itself; 0: it was not born */
    _Atomic int32_t exit_code;  /* written by the process right before it ends; NO_EXIT_CODE until then */
    _Atomic uint32_t is_made;   /* the mutex has been initialised; never undone */
    _Atomic int32_t forked;     /* its pid as its parent knows it, 0 before the fork */
    _Atomic uint32_t is_bound;  /* it ends with its parent, who says so before the fork */
    _Atomic uint32_t has_bound; /* it has had children that do */
    _Atomic uint64_t start;     /* which attempt to start it counts, and the pid of who has begun: see registry.c */
    _Atomic uint64_t n_turns;   /* given out to those who leave it something; only grows */
    unsigned char pad[128 - sizeof(struct pari_mutex) - 4 * 8 - 28];
};

static_assert(sizeof(struct pari_slot) == 128, "slots do not share cache lines");

enum pari_page_kind { PARI_PAGE_INTERIOR = 0, PARI_PAGE_FREE = 1, PARI_PAGE_LARGE = 2, PARI_PAGE_SMALL = 3 /* + class */ };

struct pari_page {
    _Atomic uint64_t run; /* pages in this run << 8 | kind: one store commits a split, a merge, an allocation or a release */
    uint32_t cells;       /* first of the cells whose home lies in this page; see heap.c */
    uint32_t reserved;
};

struct pari_heap {
    _Atomic uint64_t n_pages; /* committed; read without the lock to judge addresses (it only grows) */
    uint64_t max_pages;       /* reserved; constant */
    uint64_t limit_pages;     /* may be committed; constant */

    /* Guards all that follows, and every page descriptor and block header's state. On cache lines of their own. */
    _Alignas(PARI_CACHE_LINE) struct pari_mutex lock;
    uint64_t first_free;                 /* no free run begins before this page */
    uint64_t fresh;                      /* pages from here on have never been used: they are zero */
    uint64_t free_block[PARI_N_CLASSES]; /* lists of free blocks by class: derived, rebuilt after a death */
    uint32_t orphans;                    /* cells whose home is gone while somebody held them */
    uint32_t reserved;
    _Atomic uint64_t in_use; /* bytes in live blocks */
};

struct pari_arena {
    uint64_t magic;
    uint64_t size; /* of the mapping */
    uint64_t heap_offset;
    struct pari_mutex registry; /* guards reservation and release of slots; taken before the heap's lock */
    uint32_t next_slot;         /* where the search for a free slot begins */
    struct pari_heap heap;
};

extern struct pari_arena *pari_arena; /* NULL until this process or an ancestor has made it */
extern int pari_arena_fd;

#define PARI_SLOTS_OFFSET PARI_PAGE_SIZE
#define PARI_PAGES_OFFSET (PARI_SLOTS_OFFSET + PARI_MAX_MEMBERS * sizeof(struct pari_slot))

static inline struct pari_slot *
pari_slot_at(unsigned index)
{
    return (struct pari_slot *)(void *)((char *)pari_arena + PARI_SLOTS_OFFSET) + index;
}

static inline struct pari_page *
pari_page_at(uint64_t index)
{
    return (struct pari_page *)(void *)((char *)pari_arena + PARI_PAGES_OFFSET) + index;
}

static inline char *
pari_heap_start(void)
{
    return (char *)pari_arena + pari_arena->heap_offset;
}

/* May this address be read? Inside the heap, and memory is there. */
static inline bool
pari_is_committed(const void *p)
{
    uintptr_t at = (uintptr_t)p, start;

    if (pari_arena == NULL)
        return false;
    start = (uintptr_t)pari_arena + pari_arena->heap_offset;
    /* Relaxed: it only grows, and who has the address has seen it grow that far. */
    return at >= start &&
           (at - start) >> PARI_PAGE_SHIFT < atomic_load_explicit(&pari_arena->heap.n_pages, memory_order_relaxed);
}

int pari_arena_attach(const struct pari_arena_place *place); /* by a process that has none: see pari_attach */
int pari_arena_make(void);                                   /* once per family, by its first member, before it has any other */
int pari_heap_make(void);
int pari_registry_sweep(void); /* release the slots of the dead that nobody will reap: how many */

/* Sleepers ask now and then about a peer whose word says it lives: the kernel's notice can be lost when memory runs out. */
void pari_member_doubt(pari_member member);

/* The alive word belongs to a thread. If that thread has ended and the process lives on, the calling thread takes it over. */
void pari_member_refresh(void);

#endif
