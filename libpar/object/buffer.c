/* SPDX-License-Identifier: MIT
 *
 * buffer.c: bytes that are being written.
 */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_FIRST 256 /* bytes; doubled from there */

void
pari_buffer_fail(struct pari_buffer *buffer, int error)
{
    if (buffer->error == 0)
        buffer->error = error;
}

static bool
buffer_grow(struct pari_buffer *buffer, size_t more)
{
    size_t need, capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST;
    char *data;

    if (__builtin_add_overflow(buffer->size, more, &need) || need > SIZE_MAX / 2) {
        pari_buffer_fail(buffer, ENOMEM);
        return false;
    }
    while (capacity < need)
        capacity *= 2;
    data = pari_realloc(buffer->data, capacity);
    if (!data) {
        pari_buffer_fail(buffer, ENOMEM);
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void
pari_buffer_put(struct pari_buffer *buffer, const void *data, size_t size)
{
    if (buffer->error != 0 || size == 0)
        return;
    if (size > buffer->capacity - buffer->size && !buffer_grow(buffer, size))
        return;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

void
pari_buffer_put_byte(struct pari_buffer *buffer, unsigned char byte)
{
    pari_buffer_put(buffer, &byte, 1);
}

void
pari_buffer_put_text(struct pari_buffer *buffer, const char *text)
{
    pari_buffer_put(buffer, text, strlen(text));
}

int
pari_buffer_end(const struct pari_buffer *buffer)
{
    return buffer->error != 0 ? pari_fail(buffer->error) : 0;
}

void
pari_buffer_free(struct pari_buffer *buffer)
{
    int saved = errno;

    free(buffer->data);
    *buffer = (struct pari_buffer){ 0 };
    errno = saved;
}
