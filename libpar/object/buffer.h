/* SPDX-License-Identifier: MIT
 *
 * buffer.h: bytes that are being written.
 *
 * Starts all zero. A failure sticks: after it nothing is added any more, and pari_buffer_end, asked once at the end, tells it.
 */
#ifndef PARI_BUFFER_H
#define PARI_BUFFER_H

#include "../os/os.h"

struct pari_buffer {
    char *data;
    size_t size;
    size_t capacity;
    int error; /* errno of the first failure, 0: none */
};

void pari_buffer_put(struct pari_buffer *buffer, const void *data, size_t size);
void pari_buffer_put_byte(struct pari_buffer *buffer, unsigned char byte);
void pari_buffer_put_text(struct pari_buffer *buffer, const char *text); /* without its NUL */
void pari_buffer_fail(struct pari_buffer *buffer, int error);            /* the writer's own reason to give up */
int pari_buffer_end(const struct pari_buffer *buffer);                   /* 0, or -1 and errno: the first failure */
void pari_buffer_free(struct pari_buffer *buffer);                       /* leaves it empty; keeps errno */

#endif
