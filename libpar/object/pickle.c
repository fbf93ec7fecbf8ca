/* SPDX-License-Identifier: MIT
 *
 * pickle.c: par_obj written as pickle, protocol 3, without memo and frames.
 *
 * Only what every Python 3 reads is written, and of several opcodes for a value the shortest. An object has at most
 * PAR_OBJ_MAX_DEPTH levels, so writing it recurses.
 */
#include "object.h"
#include "opcode.h"
#include "pickle.h"

#include <string.h>

#define PROTOCOL_WRITTEN 3

static void put_object(struct pari_buffer *out, const par_obj *obj);

/* An opcode and the low bytes of its argument, little-endian. */
static void
put_op(struct pari_buffer *out, enum pari_opcode op, uint64_t argument, size_t size)
{
    unsigned char bytes[1 + sizeof argument] = { (unsigned char)op };

    for (size_t i = 0; i < size; i++)
        bytes[1 + i] = (unsigned char)(argument >> 8 * i);
    pari_buffer_put(out, bytes, 1 + size);
}

static void
put_long(struct pari_buffer *out, int64_t value)
{
    size_t size = 5; /* what fits 4 bytes has an opcode of its own */

    while (size < 8 && value >> (8 * size - 1) != 0 && value >> (8 * size - 1) != -1)
        size++;
    put_op(out, OP_LONG1, size, 1);
    for (size_t i = 0; i < size; i++)
        pari_buffer_put_byte(out, (unsigned char)((uint64_t)value >> 8 * i));
}

static void
put_int(struct pari_buffer *out, int64_t value)
{
    if (value >= 0 && value <= UINT8_MAX)
        put_op(out, OP_BININT1, (uint64_t)value, 1);
    else if (value >= 0 && value <= UINT16_MAX)
        put_op(out, OP_BININT2, (uint64_t)value, 2);
    else if (value >= INT32_MIN && value <= INT32_MAX)
        put_op(out, OP_BININT, (uint64_t)value, 4);
    else
        put_long(out, value);
}

static void
put_float(struct pari_buffer *out, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_op(out, OP_BINFLOAT, __builtin_bswap64(bits), 8);
}

static void
put_text(struct pari_buffer *out, const par_obj *obj)
{
    bool is_str = obj->type == PAR_STR;

    if (obj->size > UINT32_MAX) {
        pari_buffer_fail(out, EMSGSIZE);
        return;
    }
    if (!is_str && obj->size <= UINT8_MAX)
        put_op(out, OP_SHORT_BINBYTES, obj->size, 1);
    else
        put_op(out, is_str ? OP_BINUNICODE : OP_BINBYTES, obj->size, 4);
    pari_buffer_put(out, ((const struct pari_text *)obj)->data, obj->size);
}

/* ---- containers */

static void
put_list(struct pari_buffer *out, const par_obj *list)
{
    size_t n;

    put_op(out, OP_EMPTY_LIST, 0, 0);
    for (size_t i = 0; i < list->size && out->error == 0; i += n) {
        n = list->size - i < PARI_PICKLE_BATCH ? list->size - i : PARI_PICKLE_BATCH;
        if (n > 1)
            put_op(out, OP_MARK, 0, 0);
        for (size_t k = 0; k < n; k++)
            put_object(out, par_obj_item(list, i + k));
        put_op(out, n > 1 ? OP_APPENDS : OP_APPEND, 0, 0);
    }
}

static void
put_tuple(struct pari_buffer *out, const par_obj *tuple)
{
    static const enum pari_opcode small[] = { OP_EMPTY_TUPLE, OP_TUPLE1, OP_TUPLE2, OP_TUPLE3 };
    bool is_small = tuple->size <= 3;

    if (!is_small)
        put_op(out, OP_MARK, 0, 0);
    for (size_t i = 0; i < tuple->size && out->error == 0; i++)
        put_object(out, par_obj_item(tuple, i));
    put_op(out, is_small ? small[tuple->size] : OP_TUPLE, 0, 0);
}

static void
put_dict(struct pari_buffer *out, const par_obj *dict)
{
    const par_obj *key, *value;
    size_t n, pos = 0;

    put_op(out, OP_EMPTY_DICT, 0, 0);
    for (size_t i = 0; i < dict->size && out->error == 0; i += n) {
        n = dict->size - i < PARI_PICKLE_BATCH ? dict->size - i : PARI_PICKLE_BATCH;
        if (n > 1)
            put_op(out, OP_MARK, 0, 0);
        for (size_t k = 0; k < n && par_obj_next(dict, &pos, &key, &value); k++) {
            put_object(out, key);
            put_object(out, value);
        }
        put_op(out, n > 1 ? OP_SETITEMS : OP_SETITEM, 0, 0);
    }
}

static void
put_record(struct pari_buffer *out, const par_obj *record)
{
    const struct pari_seq *seq = (const struct pari_seq *)record;
    size_t size;
    const char *module = pari_class_module(seq->class, &size);

    put_op(out, OP_GLOBAL, 0, 0);
    pari_buffer_put(out, module, size);
    pari_buffer_put_text(out, "\n");
    pari_buffer_put_text(out, pari_class_name(seq->class));
    pari_buffer_put_text(out, "\n");
    if (!seq->is_called)
        return;
    put_tuple(out, record);
    put_op(out, OP_REDUCE, 0, 0);
}

static void
put_object(struct pari_buffer *out, const par_obj *obj)
{
    switch (obj->type) {
    case PAR_NONE: put_op(out, OP_NONE, 0, 0); break;
    case PAR_BOOL: put_op(out, obj->boolean ? OP_TRUE : OP_FALSE, 0, 0); break;
    case PAR_INT: put_int(out, obj->integer); break;
    case PAR_FLOAT: put_float(out, obj->real); break;
    case PAR_STR:
    case PAR_BYTES: put_text(out, obj); break;
    case PAR_LIST: put_list(out, obj); break;
    case PAR_TUPLE: put_tuple(out, obj); break;
    case PAR_DICT: put_dict(out, obj); break;
    case PAR_RECORD: put_record(out, obj); break;
    }
}

int
pari_pickle(const par_obj *obj, struct pari_buffer *out)
{
    if (!obj)
        return pari_fail(ENOMEM);
    put_op(out, OP_PROTO, PROTOCOL_WRITTEN, 1);
    put_object(out, obj);
    put_op(out, OP_STOP, 0, 0);
    return pari_buffer_end(out);
}
