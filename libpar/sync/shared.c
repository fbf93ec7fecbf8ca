/* SPDX-License-Identifier: MIT
 *
 * shared.c: the public face of the arena's heap: values, arrays, strings.
 */
#include <par/shared.h>
#include <par/sync.h>

#include "../shm/shm.h"

#include <string.h>

void *
par_shared_alloc(size_t n, size_t size)
{
    return size == 0 ? pari_null(EINVAL) : pari_heap_alloc(n, size, 0);
}

void
par_shared_free(void *block)
{
    int saved = errno;

    if (block != NULL)
        (void)pari_heap_free(block); /* what is no block is ignored, as documented */
    errno = saved;
}

char *
par_shared_strdup(const char *s)
{
    size_t size;
    char *copy;

    if (s == NULL)
        return pari_null(EINVAL);
    size = strlen(s) + 1;
    copy = pari_heap_alloc(size, 1, 0);
    return copy ? memcpy(copy, s, size) : NULL;
}

size_t
par_shared_length(const void *block)
{
    if (!pari_heap_is_block(block)) {
        errno = EINVAL;
        return 0;
    }
    return pari_heap_length(block);
}

bool
par_is_shared(const void *p)
{
    return pari_in_arena(p);
}

par_lock *
par_lock_of(const void *block)
{
    par_lock *lock = pari_heap_lock_words(block);

    static_assert(sizeof(par_lock) == 16, "it lives in the block's header");
    return lock ? lock : pari_null(EINVAL);
}
