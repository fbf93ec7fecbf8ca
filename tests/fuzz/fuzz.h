/* SPDX-License-Identifier: MIT
 *
 * fuzz.h: what the fuzz targets share. A target is one function from bytes to nothing that may not crash; check.sh links it
 * with libFuzzer, replay.c runs it over the corpus with any compiler.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but always there. */
#define must(condition)                                                                     \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: this must hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

/* Bytes of private memory that the library has asked for, each enlargement counted anew (count.c). */
extern size_t fuzz_allocated;

/* What a decoder may ask for so many bytes. */
static inline size_t
fuzz_allowance(size_t size)
{
    return 300 * size + ((size_t)256 << 10);
}

/* The input, read piece by piece; zeros when it has ended. */
struct fuzz_input {
    const uint8_t *at, *end;
};

static inline uint64_t
fuzz_take(struct fuzz_input *in, size_t n_bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n_bytes && in->at < in->end; i++)
        value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

static inline size_t
fuzz_left(const struct fuzz_input *in)
{
    return (size_t)(in->end - in->at);
}

#endif
