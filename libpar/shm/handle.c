/* SPDX-License-Identifier: MIT
 *
 * handle.c: blocks that say what they are and who made them, so that a wrong, freed or foreign handle gets an errno.
 *
 * Shared state: the two fields of the handle, written once before the handle is given out; the key is cleared when it is freed.
 */
#include "arena.h"

_Atomic uintptr_t pari_handles_from;
_Atomic uintptr_t pari_handles_seen;

static void *
make(enum pari_kind kind, size_t size, bool is_private)
{
    pari_member me = pari_self();
    struct pari_handle *handle = me ? pari_heap_alloc(1, size, is_private ? me : 0) : NULL;

    if (handle == NULL)
        return NULL;
    handle->creator = me;
    handle->key = pari_handle_key(kind);
    return handle;
}

void *
pari_handle_new(enum pari_kind kind, size_t size)
{
    return make(kind, size, false);
}

void *
pari_handle_new_private(enum pari_kind kind, size_t size)
{
    return make(kind, size, true);
}

void
pari_handle_free(void *p)
{
    struct pari_handle *handle = p;
    int saved = errno;

    if (handle != NULL) {
        handle->key = 0;
        (void)pari_heap_free(handle); /* a freed handle is refused there */
    }
    errno = saved;
}

/* Next time it is quick. Several threads may do so: each of their ends is right. */
static void
remember(const void *p)
{
    uintptr_t start = (uintptr_t)pari_heap_start();

    atomic_store_explicit(&pari_handles_from, start, memory_order_relaxed);
    atomic_store_explicit(&pari_handles_seen, (uintptr_t)p - start + 1, memory_order_relaxed);
}

int
pari_handle_check(const void *p, enum pari_kind kind)
{
    const struct pari_handle *handle = p;

    if (pari_self() == 0)
        return -1;
    if (!pari_is_committed(p) || ((uintptr_t)p & 63) != 0 || handle->key != pari_handle_key(kind))
        return pari_fail(EINVAL);
    remember(p);
    return 0;
}

int
pari_handle_check_mine(const void *p, enum pari_kind kind)
{
    const struct pari_handle *handle = p;

    if (pari_handle_check(p, kind) != 0)
        return -1;
    return handle->creator == pari_self() ? 0 : pari_fail(EPERM);
}
