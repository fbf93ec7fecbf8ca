/* SPDX-License-Identifier: MIT
 *
 * message.c: writing requests and replies.
 *
 * A message is a tuple around a value that lives elsewhere: in the caller's arguments, in the server's store. Instead of building
 * that tuple, which would take a copy of the value, the value is pickled alone and the tuple's opcodes are put around it.
 */
#include "message.h"

#include "../object/object.h"

#include <errno.h>
#include <string.h>

/* A pickle is PROTO 3, opcodes, STOP. */
#define PROTO "\x80\x03"
#define N_PROTO 2
#define OP_NONE 'N'
#define OP_STRING 'X' /* four bytes of length, little-endian, UTF-8 */
#define OP_MARK '('
#define OP_STOP '.'
#define MAX_QUICK 512 /* bytes of arguments that are copied rather than read with what is around them */

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

/* ---- the quick ways */

static const char none[] = PROTO "X\7\0\0\0" PARI_REPLY_RETURN "N" REPLY_END;

int
pari_message_reply_none(struct pari_buffer *out)
{
    out->size = 0;
    out->error = 0;
    pari_buffer_put(out, (char[PARI_FRAME_HEADER]){ 0, 0, 0, sizeof none - 1 }, PARI_FRAME_HEADER);
    pari_buffer_put(out, none, sizeof none - 1);
    return pari_buffer_end(out);
}

bool
pari_message_is_none(const unsigned char *message, size_t length)
{
    return length == sizeof none - 1 && memcmp(message, none, length) == 0;
}

/* What put_string has written, at *at; moves on behind it. */
static bool
read_string(const unsigned char *message, size_t end, size_t *at, char text[PARI_NAME_SIZE])
{
    const unsigned char *p = message + *at;
    size_t length;

    if (end - *at < 5 || p[0] != OP_STRING || p[1] >= PARI_NAME_SIZE || p[2] != 0 || p[3] != 0 || p[4] != 0)
        return false;
    length = p[1];
    if (end - *at - 5 < length || memchr(p + 5, 0, length) != NULL)
        return false;
    memcpy(text, p + 5, length);
    text[length] = '\0';
    *at += 5 + length;
    return true;
}

/* A value's opcodes, which may be nested as deep as in the whole. NULL: the whole tells what is wrong. */
static par_obj *
read_value(const unsigned char *opcodes, size_t size)
{
    unsigned char alone[N_PROTO + MAX_QUICK + 1];
    int saved = errno;
    par_obj *value;

    memcpy(alone, PROTO, N_PROTO);
    memcpy(alone + N_PROTO, opcodes, size);
    alone[N_PROTO + size] = OP_STOP;
    value = pari_unpickle(alone, N_PROTO + size + 1);
    if (value != NULL && value->height == PAR_OBJ_MAX_DEPTH) {
        par_obj_free(value);
        value = NULL;
    }
    errno = saved;
    return value;
}

bool
pari_message_read_request(const unsigned char *message, size_t length, char ident[PARI_NAME_SIZE], char method[PARI_NAME_SIZE],
                          par_obj **args)
{
    size_t at = N_PROTO + 1, end = length - (sizeof REQUEST_END - 1);

    if (length < at + sizeof REQUEST_END || memcmp(message, PROTO "(", at) != 0 ||
        memcmp(message + end, REQUEST_END, length - end) != 0)
        return false;
    if (!read_string(message, end, &at, ident) || !read_string(message, end, &at, method) || end - at > MAX_QUICK)
        return false;
    *args = read_value(message + at, end - at);
    if (par_obj_type(*args) == PAR_TUPLE)
        return true;
    par_obj_free(*args);
    return false;
}

void
pari_message_bell(struct pari_buffer *out)
{
    out->size = 0;
    pari_buffer_put(out, (char[PARI_FRAME_HEADER]){ 0 }, PARI_FRAME_HEADER); /* there is room: it has had a request */
}
