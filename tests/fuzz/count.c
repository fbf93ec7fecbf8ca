/* SPDX-License-Identifier: MIT
 *
 * count.c: how much private memory the library has asked for. The targets are linked with --wrap, so that every request comes here.
 */
#include "fuzz.h"

size_t fuzz_allocated;

void *__real_pari_malloc(size_t size);
void *__wrap_pari_malloc(size_t size);
void *__real_pari_realloc(void *p, size_t size);
void *__wrap_pari_realloc(void *p, size_t size);

void *
__wrap_pari_malloc(size_t size)
{
    fuzz_allocated += size;
    return __real_pari_malloc(size);
}

/* Counted anew each time: this bounds the work, not only what is held. */
void *
__wrap_pari_realloc(void *p, size_t size)
{
    fuzz_allocated += size;
    return __real_pari_realloc(p, size);
}
