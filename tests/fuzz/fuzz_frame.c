/* SPDX-License-Identifier: MIT
 *
 * fuzz_frame.c: bytes as a stream of framed messages, arriving in pieces. The messages that come out are those that a plain reading
 * of the same bytes finds, and what the inbox keeps stays in proportion to what has arrived.
 */
#include "fuzz.h"

#include "../../libpar/manager/frame.h"

#include <sys/socket.h>
#include <unistd.h>

#define ROOM 8192 /* beside twice what has arrived */

static size_t
plain_length(const uint8_t *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/* Take out all whole messages; *seen is the same stream, read plainly. */
static void
check_messages(struct pari_inbox *inbox, const uint8_t **seen)
{
    const unsigned char *message;
    size_t length;

    while ((message = pari_inbox_message(inbox, &length)) != NULL) {
        must(length == plain_length(*seen));
        must(length == 0 || memcmp(message, *seen + PARI_FRAME_HEADER, length) == 0);
        *seen += PARI_FRAME_HEADER + length;
        pari_inbox_drop(inbox);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size, *seen = data;
    struct pari_inbox inbox = { 0 };
    int stream[2], received = 0;

    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, stream) == 0);
    while (at < end && received >= 0) {
        size_t n = (size_t)(end - at) < 1u + *at ? (size_t)(end - at) : 1u + *at;
        must(write(stream[0], at, n) == (ssize_t)n);
        at += n;
        received = pari_inbox_receive(&inbox, stream[1]);
        must(received >= 0 || errno == EBADMSG);
        must(inbox.capacity <= 2 * size + ROOM);
        if (received >= 0)
            check_messages(&inbox, &seen);
    }
    pari_inbox_clear(&inbox);
    close(stream[0]);
    close(stream[1]);
    return 0;
}
