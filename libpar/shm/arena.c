/* SPDX-License-Identifier: MIT
 *
 * arena.c: one range of addresses over one anonymous file, mapped at the same place in the whole family.
 *
 * The range is reserved once, at first use, and inherited by fork; memory is committed as the heap grows. It lies far from where
 * ASLR puts anything, so that a program started anew can map the arena at the same place.
 */
#include "arena.h"

#include <stdlib.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x3172617072617061)
#define LARGEST (UINT64_C(64) << 30)
#define SMALL (UINT64_C(256) << 20)
#define SMALLEST (UINT64_C(16) << 20)

struct pari_arena *pari_arena;
int pari_arena_fd = -1;

/* PAR_ARENA_LIMIT in the environment: bytes, or with K, M, G behind the number; 0 if unset or unreadable. */
static uint64_t
limit_from_environment(void)
{
    const char *text = getenv("PAR_ARENA_LIMIT");
    char *end;
    uint64_t value;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    value = strtoull(text, &end, 10);
    switch (*end) {
    case 'K': return value << 10;
    case 'M': return value << 20;
    case 'G': return value << 30;
    default: return value;
    }
}

static uint64_t
heap_offset(uint64_t size)
{
    uint64_t pages_size = (size >> PARI_PAGE_SHIFT) * sizeof(struct pari_page);

    return (PARI_PAGES_OFFSET + pages_size + PARI_PAGE_SIZE - 1) & ~(uint64_t)(PARI_PAGE_SIZE - 1);
}

/* What the heap may grow to. */
static uint64_t
limit(void)
{
    uint64_t value = limit_from_environment();

    return value ? value : pari_memory_limit() / 2;
}

/* Addresses to reserve for a heap of that size: no more than it may ever need, since tools that look at all memory (a leak
 * checker, a core dump) look at reserved addresses, too. */
static uint64_t
reservation(uint64_t heap_size)
{
    uint64_t size = SMALLEST;

    while (size < LARGEST && size - heap_offset(size) < heap_size)
        size *= 2;
    return size;
}

/* The file must reach to the heap. A small one reaches to the end of the reservation: leak checkers read all of it, and each page
 * beyond a file's end costs them a fault. */
static int
extend(int fd, uint64_t size)
{
    if (size <= SMALL && pari_extend(fd, size) == 0)
        return 0;
    return pari_extend(fd, heap_offset(size));
}

static int
lay_out(uint64_t size)
{
    struct pari_arena *a = pari_arena;

    a->size = size;
    a->heap_offset = heap_offset(size);
    a->heap.max_pages = (size - a->heap_offset) >> PARI_PAGE_SHIFT;
    a->heap.limit_pages = limit() >> PARI_PAGE_SHIFT;
    if (a->heap.limit_pages > a->heap.max_pages)
        a->heap.limit_pages = a->heap.max_pages;
    if (pari_mutex_init(&a->registry) != 0 || pari_heap_make() != 0)
        return -1;
    a->magic = MAGIC;
    return 0;
}

int
pari_arena_make(void)
{
    void *p = NULL;
    uint64_t size = reservation(limit());
    int fd = pari_memfd();

    if (fd < 0)
        return -1;
    while ((p = pari_map_far(fd, size)) == NULL && size > SMALLEST) /* ulimit -v */
        size /= 2;
    if (p == NULL || extend(fd, size) != 0)
        goto fail;
    pari_arena = p;
    pari_arena_fd = fd;
    if (lay_out(size) == 0)
        return 0;
    pari_arena = NULL;
    pari_arena_fd = -1;
fail:
    if (p != NULL)
        pari_unmap(p, size);
    pari_fd_close(fd); /* no lock has been taken through it yet */
    return -1;
}

int
pari_arena_attach(const struct pari_arena_place *place)
{
    struct pari_arena *a = pari_map(place->fd, (void *)place->at, place->size);

    if (a == NULL)
        return -1;
    if (a->magic != MAGIC || a->size != place->size) {
        pari_unmap(a, place->size);
        return pari_fail(EINVAL);
    }
    pari_arena = a;
    pari_arena_fd = place->fd;
    return 0;
}

struct pari_arena_place
pari_arena_place(void)
{
    return (struct pari_arena_place){ pari_arena_fd, (uintptr_t)pari_arena, pari_arena->size };
}

bool
pari_in_arena(const void *p)
{
    uintptr_t base = (uintptr_t)pari_arena, at = (uintptr_t)p;

    return base != 0 && at >= base && at - base < pari_arena->size;
}

_Atomic uintptr_t pari_seen_start, pari_seen_length;

/* Several threads may do so: each of their ends is right. */
void
pari_seen(const void *p)
{
    uintptr_t start = (uintptr_t)pari_heap_start();

    atomic_store_explicit(&pari_seen_start, start, memory_order_relaxed);
    atomic_store_explicit(&pari_seen_length, (uintptr_t)p - start + 1, memory_order_release); /* partner: pari_heap_has */
}

bool
pari_in_heap(const void *p)
{
    return pari_is_committed(p);
}

size_t
pari_arena_committed(void)
{
    return pari_arena ? (size_t)atomic_load(&pari_arena->heap.n_pages) << PARI_PAGE_SHIFT : 0;
}
