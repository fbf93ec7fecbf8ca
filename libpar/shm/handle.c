/* SPDX-License-Identifier: MIT
 *
 * handle.c: blocks that say what they are and who made them, so that a wrong, freed or foreign handle gets an errno.
 *
 * Shared state: the two fields of the handle, written once before the handle is given out; the key is cleared when it is freed.
 */
#include "arena.h"

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

int
pari_handle_check_slowly(const void *p, enum pari_kind kind)
{
    const struct pari_handle *handle = p;

    if (pari_self() == 0)
        return -1;
    if (!pari_is_committed(p) || ((uintptr_t)p & 63) != 0 || handle->key != pari_handle_key(kind))
        return pari_fail(EINVAL);
    pari_seen(p);
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
