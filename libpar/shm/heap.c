/* SPDX-License-Identifier: MIT
 *
 * heap.c: the arena's allocator.
 *
 * The heap is pages of 64 KiB in runs: free, one large block, or a page of small blocks of one size class. Each block begins with
 * a header of 64 bytes, so that what the caller gets is aligned to a cache line.
 *
 * Shared state: the page descriptors and the block headers are the truth; the lists of free blocks, of a page's cells and of
 * orphans are derived from them. All are changed under the heap's lock. Each change of truth is one store: a descriptor's `run`
 * (allocate, release, split, merge of a run) or a header's `state` (allocate, release of a block).
 * Lock order: the heap's lock is the last one; nothing is taken under it but the mutex of a cell that is being returned, without
 * waiting.
 * If a process dies here: the next one to take the lock rebuilds everything derived by one walk over the truth. The walk may
 * itself be cut off and begun again. A block that was being allocated is either free or carries its owner's name.
 */
#include "heap.h"

#include <string.h>

#define RUN(length, kind) ((uint64_t)(length) << 8 | (uint64_t)(kind))
#define GROWTH_MAX 256 /* pages: 16 MiB at a time */
#define GROWTH_MIN 4

/* Sizes of small blocks, header included. The last class is the cells', whose pages never serve anything else. */
static const uint32_t class_size[PARI_N_CLASSES] = {
    128,  192,  256,  320,  384,  512,  640,   768,   1024,  1280,  1536,  2048,
    2560, 3072, 4096, 5120, 6144, 8192, 10880, 13056, 16320, 21824, 32704, sizeof(struct pari_block) + sizeof(struct pari_cell)
};
#define CELL_CLASS (PARI_N_CLASSES - 1)
#define LARGEST_SMALL 32704

static struct pari_heap *
heap(void)
{
    return &pari_arena->heap;
}

static uint64_t
run_of(uint64_t page)
{
    return atomic_load_explicit(&pari_page_at(page)->run, memory_order_relaxed);
}

static void
set_run(uint64_t page, uint64_t run)
{
    /* Release: a header or an interior that is part of this change is there first, for a walk after a death. */
    atomic_store_explicit(&pari_page_at(page)->run, run, memory_order_release);
}

static uint64_t
length_of(uint64_t run)
{
    return run >> 8;
}

static unsigned
kind_of(uint64_t run)
{
    return (unsigned)(run & 0xff);
}

static uint64_t
n_pages(void)
{
    return atomic_load_explicit(&heap()->n_pages, memory_order_acquire); /* partner: grow */
}

static char *
page_start(uint64_t page)
{
    return pari_heap_start() + (page << PARI_PAGE_SHIFT);
}

static uint64_t
page_of(const void *p)
{
    return (uint64_t)((const char *)p - pari_heap_start()) >> PARI_PAGE_SHIFT;
}

static void
set_state(struct pari_block *block, uint32_t state)
{
    atomic_store_explicit(&block->state, state, memory_order_release); /* partner: pari_block_is_live */
}

static struct pari_block *
block_at(uint64_t offset) /* from the heap's start, as the lists of free blocks store it, plus one */
{
    return offset ? (struct pari_block *)(void *)(pari_heap_start() + offset - 1) : NULL;
}

static uint64_t
offset_of(const struct pari_block *block)
{
    return (uint64_t)((const char *)block - pari_heap_start()) + 1;
}

static void
push_free(unsigned size_class, struct pari_block *block)
{
    block->next = heap()->free_block[size_class];
    heap()->free_block[size_class] = offset_of(block);
}

static size_t
footprint(const struct pari_block *block)
{
    return block->size_class == PARI_CLASS_LARGE ? (size_t)length_of(run_of(page_of(block))) << PARI_PAGE_SHIFT
                                                 : class_size[block->size_class];
}

bool
pari_block_is_cell(const struct pari_block *block)
{
    return block->size_class == CELL_CLASS;
}

/* ---- runs of pages */

/* Merge the free runs behind this one into it; the descriptors that become interior are cleared after the merge. */
static uint64_t
merge_behind(uint64_t page)
{
    uint64_t length = length_of(run_of(page)), behind = page + length;

    while (behind < n_pages() && kind_of(run_of(behind)) == PARI_PAGE_FREE) {
        uint64_t more = length_of(run_of(behind));
        set_run(page, RUN(length + more, PARI_PAGE_FREE));
        set_run(behind, 0);
        length += more;
        behind += more;
    }
    return length;
}

static void
take_run(uint64_t page, uint64_t length, uint64_t wanted)
{
    if (length > wanted)
        set_run(page + wanted, RUN(length - wanted, PARI_PAGE_FREE)); /* unseen until the front is cut off before it */
    if (page == heap()->first_free)
        heap()->first_free = page + wanted;
}

/* The first free run that is long enough, cut to `wanted` pages but still marked free at its old length: the caller's store of
 * its run commits. UINT64_MAX: none. */
static uint64_t
find_run(uint64_t wanted)
{
    bool is_first = true;

    for (uint64_t page = heap()->first_free; page < n_pages();) {
        uint64_t length = length_of(run_of(page));
        if (kind_of(run_of(page)) == PARI_PAGE_FREE) {
            if (is_first)
                heap()->first_free = page;
            is_first = false;
            length = merge_behind(page);
            if (length >= wanted) {
                take_run(page, length, wanted);
                return page;
            }
        }
        page += length;
    }
    return UINT64_MAX;
}

static uint64_t
growth(uint64_t wanted)
{
    uint64_t step = n_pages() / 2, room = heap()->limit_pages - n_pages();

    step = step < GROWTH_MIN ? GROWTH_MIN : step > GROWTH_MAX ? GROWTH_MAX : step;
    if (step < wanted)
        step = wanted;
    return step < room ? step : room;
}

/* Commit memory for at least `wanted` more pages behind the last one. */
static int
grow(uint64_t wanted)
{
    uint64_t first = n_pages(), step = growth(wanted);

    if (wanted > heap()->limit_pages - first)
        return pari_fail(ENOSPC);
    if (pari_commit(pari_arena_fd, pari_arena->heap_offset + (first << PARI_PAGE_SHIFT), step << PARI_PAGE_SHIFT) != 0) {
        step = wanted; /* there may be room for less */
        if (pari_commit(pari_arena_fd, pari_arena->heap_offset + (first << PARI_PAGE_SHIFT), step << PARI_PAGE_SHIFT) != 0)
            return -1;
    }
    set_run(first, RUN(step, PARI_PAGE_FREE));
    if (heap()->first_free > first)
        heap()->first_free = first;
    atomic_store_explicit(&heap()->n_pages, first + step, memory_order_release); /* partner: n_pages */
    return 0;
}

static uint64_t
new_run(uint64_t wanted)
{
    uint64_t page = find_run(wanted);

    if (page == UINT64_MAX && grow(wanted) == 0)
        page = find_run(wanted);
    return page;
}

/* From this page on the heap has never been used, so it is still zero. */
static uint64_t
use_fresh(uint64_t end)
{
    uint64_t fresh = heap()->fresh;

    if (fresh < end)
        heap()->fresh = end;
    return fresh;
}

/* ---- small blocks */

static unsigned
class_for(size_t size)
{
    unsigned size_class = 0;

    while (class_size[size_class] < size)
        size_class++;
    return size_class;
}

/* The page may have served something else before. */
static int
make_cell(struct pari_cell *cell)
{
    memset(cell, 0, sizeof *cell);
    return pari_mutex_init(&cell->mutex) == 0 && pari_mutex_init(&cell->guard) == 0 ? 0 : -1;
}

/* Cut a new page into free blocks of a class, and only then give the page its kind. */
static int
new_small_page(unsigned size_class)
{
    uint64_t page = new_run(1), last = heap()->free_block[size_class];
    char *start = page == UINT64_MAX ? NULL : page_start(page);

    if (start == NULL)
        return -1;
    (void)use_fresh(page + 1);
    for (size_t at = PARI_PAGE_SIZE / class_size[size_class]; at-- > 0;) {
        struct pari_block *block = (struct pari_block *)(void *)(start + at * class_size[size_class]);
        memset(block, 0, sizeof *block);
        set_state(block, PARI_BLOCK_FREE);
        block->size_class = (uint16_t)size_class;
        if (size_class == CELL_CLASS && make_cell((struct pari_cell *)(void *)(block + 1)) != 0) {
            set_run(page, RUN(1, PARI_PAGE_FREE));
            heap()->first_free = 0;
            return -1;
        }
        block->next = last;
        last = offset_of(block);
    }
    set_run(page, RUN(1, PARI_PAGE_SMALL));
    heap()->free_block[size_class] = last;
    return 0;
}

static struct pari_block *
take_small(unsigned size_class)
{
    struct pari_block *block = block_at(heap()->free_block[size_class]);

    if (block == NULL) {
        if (new_small_page(size_class) != 0)
            return NULL;
        block = block_at(heap()->free_block[size_class]);
    }
    heap()->free_block[size_class] = block->next;
    return block;
}

/* ---- allocation */

static void
fill_header(struct pari_block *block, size_t n, size_t bytes, pari_member owner)
{
    atomic_store_explicit(&block->owner, owner, memory_order_relaxed); /* published by set_state */
    block->length = n;
    block->bytes = bytes;
    block->lock_words[0] = block->lock_words[1] = 0;
    atomic_store_explicit(&block->fate, 0, memory_order_relaxed);
    block->keep = 0;
    block->has_cells = 0;
    block->next = 0;
}

static struct pari_block *
allocate_small(size_t n, size_t bytes, pari_member owner, size_t *dirty)
{
    struct pari_block *block = take_small(class_for(bytes + sizeof *block));

    if (block == NULL)
        return NULL;
    fill_header(block, n, bytes, owner);
    set_state(block, PARI_BLOCK_LIVE);
    *dirty = bytes;
    return block;
}

static struct pari_block *
allocate_large(size_t n, size_t bytes, pari_member owner, size_t *dirty)
{
    uint64_t pages = (bytes + sizeof(struct pari_block) + PARI_PAGE_SIZE - 1) >> PARI_PAGE_SHIFT, page = new_run(pages), fresh;
    struct pari_block *block;

    if (page == UINT64_MAX)
        return NULL;
    block = (struct pari_block *)(void *)page_start(page);
    fresh = use_fresh(page + pages);
    fresh = fresh < page ? 0 : fresh >= page + pages ? pages : fresh - page;
    *dirty = fresh << PARI_PAGE_SHIFT < bytes ? (size_t)fresh << PARI_PAGE_SHIFT : bytes;
    fill_header(block, n, bytes, owner);
    block->size_class = PARI_CLASS_LARGE;
    set_state(block, PARI_BLOCK_LIVE);
    set_run(page, RUN(pages, PARI_PAGE_LARGE));
    return block;
}

static struct pari_block *
allocate_locked(size_t n, size_t bytes, pari_member owner, size_t *dirty)
{
    struct pari_block *block = bytes + sizeof *block <= LARGEST_SMALL ? allocate_small(n, bytes, owner, dirty)
                                                                      : allocate_large(n, bytes, owner, dirty);

    if (block != NULL)
        atomic_fetch_add(&heap()->in_use, footprint(block));
    return block;
}

static struct pari_block *
allocate(size_t n, size_t bytes, pari_member owner, size_t *dirty)
{
    struct pari_block *block;

    if (pari_heap_lock() != 0)
        return NULL;
    block = allocate_locked(n, bytes, owner, dirty);
    pari_heap_unlock();
    return block;
}

void *
pari_heap_alloc(size_t n, size_t size, pari_member owner)
{
    size_t bytes, dirty = 0;
    struct pari_block *block;

    if (!pari_mul(n, size, &bytes) || bytes > SIZE_MAX / 2)
        return pari_null(EOVERFLOW);
    if (pari_self() == 0)
        return NULL;
    block = allocate(n, bytes, owner, &dirty);
    if (block == NULL && errno == ENOSPC && pari_registry_sweep() > 0) /* the dead may have left room */
        block = allocate(n, bytes, owner, &dirty);
    if (block == NULL)
        return NULL;
    memset(block + 1, 0, dirty);
    return block + 1;
}

/* ---- release */

static void
release_locked(struct pari_block *block)
{
    uint64_t page = page_of(block);

    atomic_fetch_sub(&heap()->in_use, footprint(block));
    set_state(block, PARI_BLOCK_FREE);
    if (block->size_class != PARI_CLASS_LARGE) {
        push_free(block->size_class, block);
        return;
    }
    set_run(page, RUN(length_of(run_of(page)), PARI_PAGE_FREE));
    if (page < heap()->first_free)
        heap()->first_free = page;
}

/* Block of a small page by the page's own class: what lies inside a block is the user's, and may look like a header. */
static struct pari_block *
small_block_at(uint64_t page, uint64_t at)
{
    struct pari_block *first = (struct pari_block *)(void *)page_start(page);
    size_t size = class_size[first->size_class % PARI_N_CLASSES];

    if (at / size >= PARI_PAGE_SIZE / size) /* the rest behind the last one */
        return NULL;
    return (struct pari_block *)(void *)((char *)first + at / size * size);
}

struct pari_block *
pari_block_of(const void *p)
{
    struct pari_block *block = (struct pari_block *)((uintptr_t)p - sizeof *block); /* of NULL, too */
    uint64_t page;

    if (!pari_is_committed(block) || ((uintptr_t)p & 63) != 0 || !pari_block_is_live(block))
        return NULL;
    page = page_of(block);
    switch (kind_of(run_of(page))) {
    case PARI_PAGE_LARGE: return (char *)block == page_start(page) ? block : NULL;
    case PARI_PAGE_SMALL: break;
    default: return NULL;
    }
    if (small_block_at(page, (uint64_t)((char *)block - page_start(page))) != block)
        return NULL;
    return !pari_block_is_cell(block) ? block : NULL;
}

void
pari_block_release(void *p)
{
    struct pari_block *block = pari_block_of(p);

    if (block == NULL)
        return;
    pari_cells_return(block);
    release_locked(block);
}

int
pari_heap_free(void *p)
{
    int result;

    if (pari_self() == 0)
        return -1;
    if (pari_heap_lock() != 0)
        return -1;
    result = pari_heap_is_block(p) ? 0 : pari_fail(EINVAL);
    pari_block_release(p);
    pari_heap_unlock();
    return result;
}

/* ---- questions */

bool
pari_heap_is_block(const void *block)
{
    return pari_block_of(block) != NULL;
}

size_t
pari_heap_length(const void *p)
{
    const struct pari_block *block = pari_block_of(p);

    return block ? (size_t)block->length : 0;
}

void *
pari_heap_lock_words(const void *p)
{
    struct pari_block *block = pari_block_of(p);

    return block ? block->lock_words : NULL;
}

size_t
pari_heap_in_use(void)
{
    return pari_arena ? (size_t)atomic_load(&heap()->in_use) : 0;
}

/* ---- walks over the truth */

static void
walk_page(uint64_t page, void (*visit)(struct pari_block *block, pari_member arg), pari_member arg)
{
    struct pari_block *block = (struct pari_block *)(void *)page_start(page);
    size_t size, n = 1;

    if (kind_of(run_of(page)) == PARI_PAGE_SMALL) {
        size = class_size[block->size_class % PARI_N_CLASSES];
        n = PARI_PAGE_SIZE / size;
    } else
        size = sizeof *block;
    for (size_t i = 0; i < n; i++)
        visit((struct pari_block *)(void *)((char *)block + i * size), arg);
}

void
pari_heap_walk(void (*visit)(struct pari_block *block, pari_member arg), pari_member arg)
{
    for (uint64_t page = 0, length; page < n_pages(); page += length) {
        unsigned kind = kind_of(run_of(page));
        length = length_of(run_of(page));
        if (kind == PARI_PAGE_LARGE || kind == PARI_PAGE_SMALL)
            walk_page(page, visit, arg);
    }
}

/* ---- after a death under the lock */

static void
recount(struct pari_block *block, pari_member unused)
{
    uint64_t page = page_of(block);

    (void)unused;
    if (block->size_class == PARI_CLASS_LARGE && !pari_block_is_live(block)) {
        set_run(page,
                RUN(length_of(run_of(page)), PARI_PAGE_FREE)); /* a release that was cut off: its cells have gone already */
        return;
    }
    if (pari_block_is_live(block))
        atomic_fetch_add(&heap()->in_use, footprint(block));
    else
        push_free(block->size_class, block);
    if (pari_block_is_cell(block))
        pari_cell_relink((struct pari_cell *)(void *)(block + 1), pari_block_is_live(block));
}

static void
rebuild(void)
{
    struct pari_heap *h = heap();
    uint64_t page, length;

    memset(h->free_block, 0, sizeof h->free_block);
    atomic_store(&h->in_use, 0);
    h->first_free = 0;
    h->orphans = 0;
    for (page = 0; page < n_pages(); page += length) {
        length = length_of(run_of(page));
        pari_page_at(page)->cells = 0;
        for (uint64_t i = 1; i < length; i++) {
            pari_page_at(page + i)->cells = 0;
            set_run(page + i, 0); /* what a cut-off split or merge left inside a run */
        }
    }
    pari_heap_walk(recount, 0);
    pari_cells_adopt();
}

int
pari_heap_lock(void)
{
    int held = pari_mutex_enter(&heap()->lock);

    if (held == PARI_HELD_AFTER_DEATH) {
        rebuild();
        pari_mutex_recovered(&heap()->lock);
    }
    return held < 0 ? -1 : 0;
}

void
pari_heap_unlock(void)
{
    (void)pari_mutex_unlock(&heap()->lock); /* held by this thread: cannot fail */
}

struct pari_cell *
pari_cell_take(pari_member owner)
{
    struct pari_block *block = take_small(CELL_CLASS);

    if (block == NULL)
        return NULL;
    fill_header(block, 1, sizeof(struct pari_cell), owner);
    set_state(block, PARI_BLOCK_LIVE);
    atomic_fetch_add(&heap()->in_use, footprint(block));
    return (struct pari_cell *)(void *)(block + 1);
}

void
pari_cell_give_back(struct pari_cell *cell)
{
    release_locked((struct pari_block *)(void *)cell - 1);
}

struct pari_block *
pari_block_around(const void *p)
{
    uint64_t page;

    if (!pari_is_committed(p))
        return NULL;
    page = page_of(p);
    if (kind_of(run_of(page)) != PARI_PAGE_SMALL)
        return NULL;
    return small_block_at(page, (uint64_t)((const char *)p - page_start(page)));
}

int
pari_heap_make(void)
{
    static_assert(sizeof(struct pari_block) == 64, "user memory begins on a cache line");
    static_assert(sizeof(struct pari_cell) == 256, "a multiple of the cache line");
    return pari_mutex_init(&heap()->lock);
}
