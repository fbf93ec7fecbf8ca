/* SPDX-License-Identifier: MIT
 *
 * frame.c: messages out of a stream of bytes.
 */
#include "frame.h"

#include "../os/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4096
#define KEPT_CAPACITY 65536 /* an empty inbox that is larger gives its memory back */

void
pari_frame_write_header(unsigned char header[PARI_FRAME_HEADER], size_t length)
{
    for (int i = 0; i < PARI_FRAME_HEADER; i++)
        header[i] = (unsigned char)(length >> (8 * (PARI_FRAME_HEADER - 1 - i)));
}

static size_t
claimed_length(const struct pari_inbox *inbox)
{
    const unsigned char *p = inbox->data + inbox->start;

    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

const unsigned char *
pari_inbox_message(const struct pari_inbox *inbox, size_t *length)
{
    if (inbox->size < PARI_FRAME_HEADER)
        return NULL;
    *length = claimed_length(inbox);
    return inbox->size - PARI_FRAME_HEADER >= *length ? inbox->data + inbox->start + PARI_FRAME_HEADER : NULL;
}

/* Make room for one more byte at least. The memory never becomes more than twice of what is there. */
static int
make_room(struct pari_inbox *inbox)
{
    size_t capacity = inbox->capacity == 0 ? FIRST_CAPACITY : inbox->capacity * 2;
    unsigned char *data;

    if (inbox->start > 0)
        memmove(inbox->data, inbox->data + inbox->start, inbox->size);
    inbox->start = 0;
    if (inbox->size < inbox->capacity)
        return 0;
    if (capacity > PARI_FRAME_HEADER + PARI_FRAME_MAX) /* enough for any legal message, so a full inbox is not this large */
        capacity = PARI_FRAME_HEADER + PARI_FRAME_MAX;
    data = pari_realloc(inbox->data, capacity);
    if (data == NULL)
        return -1;
    inbox->data = data;
    inbox->capacity = capacity;
    return 0;
}

int
pari_inbox_receive(struct pari_inbox *inbox, int fd)
{
    size_t length;
    ssize_t n;

    if (make_room(inbox) != 0)
        return -1;
    n = pari_socket_recv(fd, inbox->data + inbox->size, inbox->capacity - inbox->size);
    if (n == 0)
        return pari_fail(EPIPE);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    inbox->size += (size_t)n;
    if (inbox->size >= PARI_FRAME_HEADER && claimed_length(inbox) > PARI_FRAME_MAX)
        return pari_fail(EBADMSG);
    return pari_inbox_message(inbox, &length) != NULL;
}

void
pari_inbox_drop(struct pari_inbox *inbox)
{
    size_t length = PARI_FRAME_HEADER + claimed_length(inbox);

    inbox->start += length;
    inbox->size -= length;
    if (inbox->size == 0 && inbox->capacity > KEPT_CAPACITY)
        pari_inbox_clear(inbox);
}

void
pari_inbox_clear(struct pari_inbox *inbox)
{
    free(inbox->data);
    *inbox = (struct pari_inbox){ NULL, 0, 0, 0 };
}
