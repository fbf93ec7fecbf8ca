/* SPDX-License-Identifier: MIT
 *
 * cell.c: the type-stable memory behind small locks that live in the user's own structs.
 *
 * A lock in shared memory is a link, zero at first; the first use takes a cell and publishes its address by one CAS. The robust
 * mutex of a cell is initialised once and its memory never serves anything else, because the kernel may look at it, and even
 * write to it, right after an unlock and after a death.
 *
 * Shared state: a cell's home (the address of the link it serves), written before the CAS, cleared under the heap's lock; the
 * list of cells by page of their home, under the heap's lock: a block that is freed gives its cells back.
 * If a process dies here: a cell that was taken but not published carries its maker's name and is swept. A published one whose
 * maker died before it became the family's is recognised by its home, which holds its address. The lists are rebuilt.
 */
#include "heap.h"

#include <string.h>

static uint32_t
index_of(const struct pari_cell *cell)
{
    return (uint32_t)(((const char *)cell - pari_heap_start()) / 64) + 1;
}

static struct pari_cell *
cell_at(uint32_t index)
{
    return index ? (struct pari_cell *)(void *)(pari_heap_start() + (size_t)(index - 1) * 64) : NULL;
}

static struct pari_page *
page_of_home(uintptr_t home)
{
    return pari_page_at((home - (uintptr_t)pari_heap_start()) >> PARI_PAGE_SHIFT);
}

/* ---- under the heap's lock */

static void
push(uint32_t *list, struct pari_cell *cell)
{
    cell->next = *list;
    atomic_signal_fence(memory_order_seq_cst); /* a death between the two leaves the old list, not a broken one */
    *list = index_of(cell);
}

static void
unlink_from(uint32_t *list, const struct pari_cell *cell)
{
    while (*list != 0 && cell_at(*list) != cell)
        list = &cell_at(*list)->next;
    if (*list != 0)
        *list = cell->next;
}

/* The attachment goes when the home goes: nobody reaches it any more. It names its cell, so that a release that was cut off, and is
 * done again when the block serves something else already, does no harm. */
static void
detach(struct pari_cell *cell)
{
    void *attachment = (void *)atomic_load(&cell->attachment);
    const uint64_t *words = attachment ? pari_heap_lock_words(attachment) : NULL;

    if (words != NULL && words[1] == (uintptr_t)cell)
        pari_block_release(attachment);
    atomic_store(&cell->attachment, 0);
}

/* Free the cell, or leave it an orphan while somebody holds its mutex. */
static pari_seldom void
retire(struct pari_cell *cell)
{
    int held;

    atomic_store(&cell->home, 0);
    detach(cell);
    held = pari_mutex_lock(&cell->mutex, PAR_NOWAIT);
    if (held < 0 && errno != EDEADLK) { /* EDEADLK: its own holder frees it */
        pari_heap_own(cell, 0);
        push(&pari_arena->heap.orphans, cell);
        return;
    }
    if (held == PARI_HELD_AFTER_DEATH)
        pari_mutex_recovered(&cell->mutex);
    (void)pari_mutex_unlock(&cell->mutex); /* ours: cannot fail */
    pari_cell_give_back(cell);
}

pari_seldom void
pari_cells_adopt(void)
{
    uint32_t list = pari_arena->heap.orphans;

    pari_arena->heap.orphans = 0;
    while (list != 0) {
        struct pari_cell *cell = cell_at(list);
        list = cell->next;
        retire(cell);
    }
}

static pari_seldom void
return_cells_of_page(uint64_t page, uintptr_t from, uintptr_t to)
{
    uint32_t *list = &pari_page_at(page)->cells;

    while (*list != 0) {
        struct pari_cell *cell = cell_at(*list);
        uintptr_t home = atomic_load(&cell->home);
        if (home >= from && home < to) {
            *list = cell->next;
            retire(cell);
        } else
            list = &cell->next;
    }
}

void
pari_cells_return(struct pari_block *block)
{
    uintptr_t from = (uintptr_t)block, to = from + sizeof *block + block->bytes, start = (uintptr_t)pari_heap_start();

    if (block->size_class != PARI_CLASS_LARGE && !block->has_cells)
        return;
    for (uint64_t page = (from - start) >> PARI_PAGE_SHIFT; page <= (to - 1 - start) >> PARI_PAGE_SHIFT; page++)
        return_cells_of_page(page, from, to);
}

pari_seldom void
pari_cell_sweep(struct pari_cell *cell)
{
    uintptr_t home = atomic_load(&cell->home);

    if (home != 0 && pari_is_committed((const void *)home) && atomic_load((_Atomic uint64_t *)home) == (uintptr_t)cell) {
        pari_heap_own(cell, 0); /* published: it is the family's */
        return;
    }
    if (home != 0)
        unlink_from(&page_of_home(home)->cells, cell);
    retire(cell);
}

pari_seldom void
pari_cell_relink(struct pari_cell *cell, bool is_live)
{
    uintptr_t home = atomic_load(&cell->home);

    if (is_live && home != 0)
        push(&page_of_home(home)->cells, cell);
    else if (is_live) { /* held by somebody, or its release was cut off */
        pari_heap_own(cell, 0);
        push(&pari_arena->heap.orphans, cell);
    }
}

/* ---- making and finding */

static struct pari_cell *
new_cell(uintptr_t home, uint32_t kind, pari_member me)
{
    struct pari_block *around;
    struct pari_cell *cell;

    if (pari_heap_lock() != 0)
        return NULL;
    if (pari_arena->heap.orphans != 0)
        pari_cells_adopt();
    cell = pari_cell_take(me);
    if (cell != NULL) {
        memset(cell->state, 0, sizeof cell->state);
        cell->kind = kind;
        atomic_store(&cell->home, home);
        push(&page_of_home(home)->cells, cell);
        if ((around = pari_block_around((const void *)home)) != NULL)
            around->has_cells = 1;
    }
    pari_heap_unlock();
    return cell;
}

static void
drop_cell(struct pari_cell *cell)
{
    if (pari_heap_lock() != 0)
        return;
    unlink_from(&page_of_home(atomic_load(&cell->home))->cells, cell);
    retire(cell);
    pari_heap_unlock();
}

/* A link that holds the address of its own cell. Garbage, and the copy of a lock, are recognised by the home. */
static struct pari_cell *
linked(const _Atomic uint64_t *link, uint64_t value, uint32_t kind)
{
    struct pari_cell *cell = (struct pari_cell *)(uintptr_t)value;

    if (pari_unlikely(!pari_is_committed(cell) || (value & 63) != 0 || atomic_load(&cell->home) != (uintptr_t)link ||
                      cell->kind != kind))
        return pari_null(EINVAL);
    pari_seen((uintptr_t)cell > (uintptr_t)link ? (const void *)cell : (const void *)link);
    return cell;
}

struct pari_cell *
pari_cell_find(const _Atomic uint64_t *link, enum pari_cell_kind kind)
{
    uint64_t value;

    if (!pari_is_committed(link) || ((uintptr_t)link & 7) != 0)
        return pari_null(EINVAL);
    value = atomic_load_explicit(link, memory_order_acquire); /* partner: the CAS in make */
    return value ? linked(link, value, kind) : pari_null(ENOENT);
}

pari_seldom struct pari_cell *
pari_cell_make(_Atomic uint64_t *link, enum pari_cell_kind kind, size_t attachment)
{
    pari_member me = pari_self();
    struct pari_cell *cell;
    void *block = NULL;

    if (me == 0)
        return NULL;
    if (pari_cell_look(link, kind) != NULL)
        return pari_null(EBUSY);
    if (errno != ENOENT)
        return NULL;
    if (attachment > 0 && (block = pari_heap_alloc(1, attachment, me)) == NULL)
        return NULL;
    cell = new_cell((uintptr_t)link, kind, me);
    if (cell == NULL) {
        int error = errno;
        (void)pari_heap_free(block); /* NULL is refused there */
        return pari_null(error);
    }
    if (block != NULL) {
        ((uint64_t *)pari_heap_lock_words(block))[1] = (uintptr_t)cell;
        atomic_store(&cell->attachment, (uintptr_t)block); /* from here on it is the cell's, which is still ours */
        pari_heap_own(block, 0);
    }
    return cell;
}

pari_seldom int
pari_cell_publish(struct pari_cell *cell)
{
    _Atomic uint64_t *link = (_Atomic uint64_t *)atomic_load(&cell->home);
    uint64_t expected = 0;

    if (!atomic_compare_exchange_strong(link, &expected, (uintptr_t)cell)) {
        drop_cell(cell);
        return pari_fail(EBUSY);
    }
    pari_heap_own(cell, 0);
    return 0;
}

pari_seldom struct pari_cell *
pari_cell_find_or_make(_Atomic uint64_t *link, enum pari_cell_kind kind)
{
    struct pari_cell *cell = pari_cell_find(link, kind);

    if (cell != NULL || errno != ENOENT)
        return cell;
    cell = pari_cell_make(link, kind, 0);
    if (cell != NULL && pari_cell_publish(cell) == 0)
        return cell;
    return cell != NULL || errno == EBUSY ? pari_cell_look(link, kind) : NULL; /* another thread was quicker */
}
