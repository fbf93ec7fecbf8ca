/* SPDX-License-Identifier: MIT
 *
 * message.c: writing requests and replies.
 *
 * A message is a tuple around a value that lives elsewhere: in the caller's arguments, in the server's store. Instead of building
 * that tuple, which would take a copy of the value, the value is pickled alone and the tuple's opcodes are put around it.
 */
#include "message.h"

#include <errno.h>
#include <string.h>

/* A pickle is PROTO 3, opcodes, STOP. */
#define PROTO "\x80\x03"
#define N_PROTO 2
#define OP_NONE 'N'
#define OP_STRING 'X' /* four bytes of length, little-endian, UTF-8 */
#define OP_MARK '('

#define REQUEST_END "}t." /* an empty dict of keywords, a tuple of all since the mark, STOP */
#define REPLY_END "\x86." /* a tuple of two, STOP */

static void
put_string(struct pari_buffer *out, const char *text)
{
    size_t length = strlen(text);
    unsigned char head[5] = { OP_STRING };

    for (int i = 0; i < 4; i++)
        head[1 + i] = (unsigned char)(length >> (8 * i));
    pari_buffer_put(out, head, sizeof head);
    pari_buffer_put(out, text, length);
}

static void
begin(struct pari_buffer *out)
{
    static const char header[PARI_FRAME_HEADER];

    out->size = 0;
    out->error = 0;
    pari_buffer_put(out, header, sizeof header);
    pari_buffer_put(out, PROTO, N_PROTO);
}

/* Only the opcodes of the value: its PROTO is written over what comes before, which is put back, and its STOP is taken away. */
static void
put_value(struct pari_buffer *out, const par_obj *value)
{
    size_t at = out->size - N_PROTO;
    char before[N_PROTO];

    if (pari_buffer_end(out) != 0)
        return;
    memcpy(before, out->data + at, N_PROTO);
    out->size = at;
    if (pari_pickle(value, out) != 0) {
        pari_buffer_fail(out, errno);
        return;
    }
    memcpy(out->data + at, before, N_PROTO);
    out->size--;
}

static int
end(struct pari_buffer *out)
{
    size_t length = out->size - PARI_FRAME_HEADER;

    if (pari_buffer_end(out) != 0)
        return -1;
    if (length > PARI_FRAME_MAX)
        return pari_fail(EMSGSIZE);
    pari_frame_write_header((unsigned char *)out->data, length);
    return 0;
}

int
pari_message_request(struct pari_buffer *out, const char *ident, const char *method, const par_obj *args)
{
    begin(out);
    pari_buffer_put_byte(out, OP_MARK);
    if (ident == NULL)
        pari_buffer_put_byte(out, OP_NONE);
    else
        put_string(out, ident);
    put_string(out, method);
    put_value(out, args);
    pari_buffer_put_text(out, REQUEST_END);
    return end(out);
}

int
pari_message_reply(struct pari_buffer *out, const char *kind, const par_obj *payload)
{
    begin(out);
    put_string(out, kind);
    put_value(out, payload);
    pari_buffer_put_text(out, REPLY_END);
    return end(out);
}
