/* SPDX-License-Identifier: MIT
 *
 * frame.h: messages on a stream socket: four bytes of length, big-endian, then that many bytes. Server and client read them with
 * the same code.
 */
#ifndef PARI_FRAME_H
#define PARI_FRAME_H

#include "../os/os.h"

#define PARI_FRAME_HEADER 4
#define PARI_FRAME_MAX (64u << 20) /* bytes of one message */

void pari_frame_write_header(unsigned char header[PARI_FRAME_HEADER], size_t length);

/* What has arrived: all zero is empty. Memory grows with the bytes that are there, not with the length a peer claims. */
struct pari_inbox {
    unsigned char *data;
    size_t start, size, capacity; /* the bytes from data + start on, `size` of them, have not been dropped */
};

/* Receive once, without waiting. 1: a whole message is there. 0: not yet. -1: EPIPE the stream has ended, EBADMSG the length is
 * out of bounds, ENOMEM. */
int pari_inbox_receive(struct pari_inbox *inbox, int fd);

/* The first message, if it is whole; NULL if not. It stays until it is dropped. */
const unsigned char *pari_inbox_message(const struct pari_inbox *inbox, size_t *length);
void pari_inbox_drop(struct pari_inbox *inbox);

void pari_inbox_clear(struct pari_inbox *inbox); /* forget all and give back the memory */

#endif
