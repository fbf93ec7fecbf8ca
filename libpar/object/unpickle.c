/* SPDX-License-Identifier: MIT
 *
 * unpickle.c: pickles of protocols 2 to 5 read as par_obj.
 *
 * The bytes come from a peer and are trusted in nothing: only the opcodes of plain data exist here, each checks what it finds
 * on the stack, nothing recurses over the bytes, and what is built is never deeper than PAR_OBJ_MAX_DEPTH. reader.c keeps
 * lengths and memory in bounds, construct.c names.
 */
#include "opcode.h"
#include "pickle.h"
#include "reader.h"

#include <string.h>

#define PROTOCOL_FIRST 2
#define PROTOCOL_LAST 5
#define FROM_MARK 4 /* as the argument of load_tuple: not a number of items, but all from the mark */

/* One function for each kind of opcode; `argument` tells those of a kind apart: mostly how many bytes its number has. */
typedef int load_fn(struct pari_reader *r, unsigned argument);

/* ---- the machine itself */

static int
load_frame(struct pari_reader *r, unsigned size)
{
    uint64_t n;

    if (pari_reader_number(r, size, &n) != 0)
        return -1;
    return n <= pari_reader_left(r) ? 0 : pari_fail(EBADMSG);
}

static int
load_stop(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    r->is_stopped = true;
    return r->stack.n == 1 && r->marks.n == 0 && pari_reader_left(r) == 0 ? 0 : pari_fail(EBADMSG);
}

static int
load_mark(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_mark(r);
}

static int
load_pop_mark(struct pari_reader *r, unsigned argument)
{
    size_t from;

    (void)argument;
    if (pari_reader_pop_mark(r, &from) != 0)
        return -1;
    pari_reader_drop_from(r, from);
    return 0;
}

static int
load_pop(struct pari_reader *r, unsigned argument)
{
    if (r->stack.n == pari_reader_last_mark(r))
        return load_pop_mark(r, argument);
    pari_reader_drop_from(r, r->stack.n - 1);
    return 0;
}

static int
push_copy(struct pari_reader *r, par_obj *obj)
{
    return obj ? pari_reader_push(r, pari_reader_copy(r, obj)) : -1;
}

static int
load_dup(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return push_copy(r, pari_reader_peek(r, 0));
}

static int
load_memoize(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_memoize(r, r->memo.n);
}

static int
load_put(struct pari_reader *r, unsigned size)
{
    uint64_t number;

    return pari_reader_number(r, size, &number) != 0 ? -1 : pari_reader_memoize(r, number);
}

static int
load_get(struct pari_reader *r, unsigned size)
{
    uint64_t number;

    return pari_reader_number(r, size, &number) != 0 ? -1 : push_copy(r, pari_reader_recall(r, number));
}

/* ---- plain values */

static int
load_none(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_push(r, par_none());
}

static int
load_bool(struct pari_reader *r, unsigned value)
{
    return pari_reader_push(r, par_bool(value != 0));
}

static int
load_unsigned(struct pari_reader *r, unsigned size)
{
    uint64_t number;

    return pari_reader_number(r, size, &number) != 0 ? -1 : pari_reader_push(r, par_int((int64_t)number));
}

static int
load_int32(struct pari_reader *r, unsigned size)
{
    uint64_t number;

    return pari_reader_number(r, size, &number) != 0 ? -1 : pari_reader_push(r, par_int((int32_t)(uint32_t)number));
}

/* Two's complement of any length, as long as the value fits 64 bits. */
static int
load_long(struct pari_reader *r, unsigned length_size)
{
    uint64_t size, number;
    const unsigned char *bytes = pari_reader_counted(r, length_size, &size);
    unsigned char sign;

    if (!bytes)
        return -1;
    sign = size > 0 && bytes[size - 1] & 0x80 ? 0xff : 0;
    number = sign ? UINT64_MAX : 0;
    for (uint64_t i = size; i-- > 0;) {
        if (i >= 8 && bytes[i] != sign)
            return pari_fail(EOVERFLOW);
        number = number << 8 | bytes[i];
    }
    if (((int64_t)number < 0) != (sign != 0))
        return pari_fail(EOVERFLOW);
    return pari_reader_push(r, par_int((int64_t)number));
}

static int
load_float(struct pari_reader *r, unsigned size)
{
    uint64_t bits;
    double value;

    if (pari_reader_number(r, size, &bits) != 0)
        return -1;
    bits = __builtin_bswap64(bits);
    memcpy(&value, &bits, sizeof value);
    return pari_reader_push(r, par_float(value));
}

static int
load_str(struct pari_reader *r, unsigned length_size)
{
    uint64_t size;
    const char *text = (const char *)pari_reader_counted(r, length_size, &size);

    if (!text || !pari_utf8_is_valid(text, size))
        return pari_fail(EBADMSG);
    return pari_reader_push(r, pari_obj_str(text, size));
}

static int
load_bytes(struct pari_reader *r, unsigned length_size)
{
    uint64_t size;
    const unsigned char *bytes = pari_reader_counted(r, length_size, &size);

    return bytes ? pari_reader_push(r, par_bytes(bytes, size)) : -1;
}

/* ---- containers */

/* A container that is to get more items. One that was copied before it was complete holds itself. */
static int
check_may_grow(const par_obj *obj, int type)
{
    if (par_obj_type(obj) != type)
        return pari_fail(EBADMSG);
    return obj->is_shared ? pari_fail(ELOOP) : 0;
}

/* The object below stack[from], in which those from there up belong. */
static par_obj *
container_below(struct pari_reader *r, size_t from)
{
    return from > pari_reader_last_mark(r) ? pari_reader_stack(r)[from - 1] : NULL;
}

static int
load_empty_list(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_push(r, par_obj_list());
}

static int
load_empty_dict(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_push(r, par_obj_dict());
}

/* stack[from] and all above become one tuple. */
static int
tuple_from(struct pari_reader *r, size_t from)
{
    par_obj *tuple = pari_obj_seq(PAR_TUPLE);

    if (!tuple || pari_obj_seq_reserve(tuple, r->stack.n - from) != 0)
        goto fail;
    for (size_t i = from; i < r->stack.n; i++) {
        if (pari_reader_move_item(r, tuple, i) != 0)
            goto fail;
    }
    r->stack.n = from;
    return pari_reader_push(r, tuple);
fail:
    par_obj_free(tuple);
    return -1;
}

static int
load_tuple(struct pari_reader *r, unsigned n)
{
    size_t from;

    if (n == FROM_MARK)
        return pari_reader_pop_mark(r, &from) != 0 ? -1 : tuple_from(r, from);
    if (n > 0 && !pari_reader_peek(r, n - 1))
        return -1;
    return tuple_from(r, r->stack.n - n);
}

/* stack[from] and all above go to the end of the list below them. */
static int
append_from(struct pari_reader *r, size_t from)
{
    par_obj *list = container_below(r, from);

    if (check_may_grow(list, PAR_LIST) != 0 || pari_obj_seq_reserve(list, list->size + r->stack.n - from) != 0)
        return -1;
    for (size_t i = from; i < r->stack.n; i++) {
        if (pari_reader_move_item(r, list, i) != 0)
            return -1;
    }
    r->stack.n = from;
    return 0;
}

static int
load_append(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_peek(r, 1) ? append_from(r, r->stack.n - 1) : -1;
}

static int
load_appends(struct pari_reader *r, unsigned argument)
{
    size_t from;

    (void)argument;
    return pari_reader_pop_mark(r, &from) != 0 ? -1 : append_from(r, from);
}

/* Store stack[i] = key, stack[i + 1] = value. What the dict does not need goes back to the stack: the memo may know it. */
static int
move_pair(struct pari_reader *r, par_obj *dict, size_t i)
{
    par_obj **place = pari_reader_stack(r) + i, *key = place[0], *value = place[1];
    struct pari_pair *old = pari_obj_dict_pair(dict, key);

    if (old) {
        if (pari_obj_may_adopt(dict, value) != 0)
            return -1;
        place[1] = pari_obj_release(old->value);
        old->value = value;
        pari_obj_adopt(dict, value);
        return 0;
    }
    place[0] = place[1] = NULL;
    if (par_obj_set(dict, key, value) == 0)
        return 0;
    return errno == EINVAL ? pari_fail(EBADMSG) : -1; /* not a key */
}

/* stack[from] and all above are pairs for the dict below them. */
static int
set_from(struct pari_reader *r, size_t from)
{
    par_obj *dict = container_below(r, from);

    if (check_may_grow(dict, PAR_DICT) != 0)
        return -1;
    if ((r->stack.n - from) % 2 != 0)
        return pari_fail(EBADMSG);
    for (size_t i = from; i < r->stack.n; i += 2) {
        if (move_pair(r, dict, i) != 0)
            return -1;
    }
    pari_reader_drop_from(r, from);
    return 0;
}

static int
load_setitem(struct pari_reader *r, unsigned argument)
{
    (void)argument;
    return pari_reader_peek(r, 2) ? set_from(r, r->stack.n - 2) : -1;
}

static int
load_setitems(struct pari_reader *r, unsigned argument)
{
    size_t from;

    (void)argument;
    return pari_reader_pop_mark(r, &from) != 0 ? -1 : set_from(r, from);
}

/* ---- running it */

#define OPERATIONS(row)                                                                                                     \
    row(OP_FRAME, load_frame, 8) row(OP_STOP, load_stop, 0) row(OP_MARK, load_mark, 0) row(OP_POP, load_pop, 0)             \
        row(OP_POP_MARK, load_pop_mark, 0) row(OP_DUP, load_dup, 0) row(OP_MEMOIZE, load_memoize, 0)                        \
            row(OP_BINPUT, load_put, 1) row(OP_LONG_BINPUT, load_put, 4) row(OP_BINGET, load_get, 1)                        \
                row(OP_LONG_BINGET, load_get, 4) row(OP_NONE, load_none, 0) row(OP_TRUE, load_bool, true)                   \
                    row(OP_FALSE, load_bool, false) row(OP_BININT1, load_unsigned, 1) row(OP_BININT2, load_unsigned, 2)     \
                        row(OP_BININT, load_int32, 4) row(OP_LONG1, load_long, 1) row(OP_LONG4, load_long, 4)               \
                            row(OP_BINFLOAT, load_float, 8) row(OP_SHORT_BINUNICODE, load_str, 1)                           \
                                row(OP_BINUNICODE, load_str, 4) row(OP_BINUNICODE8, load_str, 8)                            \
                                    row(OP_SHORT_BINBYTES, load_bytes, 1) row(OP_BINBYTES, load_bytes, 4)                   \
                                        row(OP_BINBYTES8, load_bytes, 8) row(OP_EMPTY_LIST, load_empty_list, 0)             \
                                            row(OP_APPEND, load_append, 0) row(OP_APPENDS, load_appends, 0)                 \
                                                row(OP_EMPTY_TUPLE, load_tuple, 0) row(OP_TUPLE1, load_tuple, 1)            \
                                                    row(OP_TUPLE2, load_tuple, 2) row(OP_TUPLE3, load_tuple, 3)             \
                                                        row(OP_TUPLE, load_tuple, FROM_MARK)                                \
                                                            row(OP_EMPTY_DICT, load_empty_dict, 0)                          \
                                                                row(OP_SETITEM, load_setitem, 0)                            \
                                                                    row(OP_SETITEMS, load_setitems, 0)                      \
                                                                        row(OP_GLOBAL, pari_load_global, 0)                 \
                                                                            row(OP_STACK_GLOBAL, pari_load_stack_global, 0) \
                                                                                row(OP_REDUCE, pari_load_reduce, 0)         \
                                                                                    row(OP_NEWOBJ, pari_load_reduce, 0)     \
                                                                                        row(OP_BUILD, pari_load_build, 0)

#define PLACE(opcode, load, argument) AT_##opcode,
#define PLACE_OF(opcode, load, argument) [opcode] = AT_##opcode,
#define OPERATION(opcode, load, argument) { load, argument },

enum { AT_NOTHING, OPERATIONS(PLACE) };

static const uint8_t place[256] = { OPERATIONS(PLACE_OF) };

static const struct {
    load_fn *load;
    unsigned argument;
} operation[] = { { NULL, 0 }, OPERATIONS(OPERATION) };

/* The opcodes that exist but are no plain data: those of protocols 0 and 1, of sets and byte arrays, extensions, references to
 * what the program itself would have to find. */
static const char other_opcodes[] = "ILFSTUVpgilodPQ\x80\x82\x83\x84\x8f\x90\x91\x92\x96\x97\x98";

static int
load_one(struct pari_reader *r)
{
    const unsigned char *op = pari_reader_take(r, 1);

    if (!op)
        return -1;
    if (place[*op] != AT_NOTHING)
        return operation[place[*op]].load(r, operation[place[*op]].argument);
    if (!memchr(other_opcodes, *op, sizeof other_opcodes - 1))
        return pari_fail(EBADMSG);
    pari_say("pickle: opcode 0x%02x is not plain data", *op);
    return pari_fail(EPROTONOSUPPORT);
}

static int
check_start(struct pari_reader *r)
{
    const unsigned char *start = pari_reader_take(r, 2);

    if (!start || start[0] != OP_PROTO)
        return pari_fail(EBADMSG);
    if (start[1] >= PROTOCOL_FIRST && start[1] <= PROTOCOL_LAST)
        return 0;
    pari_say("pickle: protocol %d is not one of %d to %d", start[1], PROTOCOL_FIRST, PROTOCOL_LAST);
    return pari_fail(EPROTONOSUPPORT);
}

par_obj *
pari_unpickle(const void *data, size_t size)
{
    struct pari_reader r;
    par_obj *result = NULL;
    int failed;

    if (!data)
        return pari_null(EBADMSG);
    pari_reader_init(&r, data, size);
    failed = check_start(&r);
    while (failed == 0 && !r.is_stopped)
        failed = load_one(&r);
    if (failed == 0)
        result = pari_reader_stack(&r)[--r.stack.n];
    pari_reader_free(&r);
    return result;
}
