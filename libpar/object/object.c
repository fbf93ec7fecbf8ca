/* SPDX-License-Identifier: MIT
 *
 * object.c: making, copying and freeing dynamic values, and reading the simple ones.
 *
 * The objects are a tree of private memory: each knows what it is part of, so that it can neither be given away twice nor put
 * into itself, and the tree is never deeper than PAR_OBJ_MAX_DEPTH, so that everything that walks it may recurse.
 */
#include "object.h"

#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct par_obj) == 8 + sizeof(void *) + 8, "a number is three words");
static_assert(PAR_OBJ_MAX_DEPTH < UINT8_MAX, "height is one byte");

/* ---- making and freeing */

par_obj *
pari_obj_new(int type, size_t size)
{
    par_obj *obj = pari_malloc(size);

    if (!obj)
        return pari_null(ENOMEM);
    obj->type = (uint8_t)type;
    obj->height = type >= PAR_LIST;
    return obj;
}

static par_obj *
text_new(int type, const void *data, size_t size)
{
    struct pari_text *text;

    if (size > PTRDIFF_MAX - sizeof *text - 1)
        return pari_null(ENOMEM);
    text = (struct pari_text *)pari_obj_new(type, sizeof *text + size + 1);
    if (!text)
        return NULL;
    if (size > 0)
        memcpy(text->data, data, size);
    text->obj.size = size;
    return &text->obj;
}

void
pari_obj_drop(par_obj *obj)
{
    if (!obj)
        return;
    if (pari_obj_is_seq(obj))
        pari_obj_seq_free(obj);
    else if (obj->type == PAR_DICT)
        pari_obj_dict_free(obj);
    free(obj);
}

void
par_obj_free(par_obj *obj)
{
    int saved = errno;

    if (obj && !obj->parent)
        pari_obj_drop(obj);
    errno = saved;
}

par_obj *
par_none(void)
{
    return pari_obj_new(PAR_NONE, sizeof(par_obj));
}

par_obj *
par_bool(bool value)
{
    par_obj *obj = pari_obj_new(PAR_BOOL, sizeof *obj);

    if (obj)
        obj->boolean = value;
    return obj;
}

par_obj *
par_int(int64_t value)
{
    par_obj *obj = pari_obj_new(PAR_INT, sizeof *obj);

    if (obj)
        obj->integer = value;
    return obj;
}

par_obj *
par_float(double value)
{
    par_obj *obj = pari_obj_new(PAR_FLOAT, sizeof *obj);

    if (obj)
        obj->real = value;
    return obj;
}

par_obj *
pari_obj_str(const char *text, size_t size)
{
    if (!pari_utf8_is_valid(text, size))
        return pari_null(EILSEQ);
    return text_new(PAR_STR, text, size);
}

par_obj *
par_str(const char *text)
{
    if (!text)
        return pari_null(EINVAL);
    return pari_obj_str(text, strlen(text));
}

par_obj *
par_bytes(const void *data, size_t size)
{
    if (!data && size > 0)
        return pari_null(EINVAL);
    return text_new(PAR_BYTES, data, size);
}

/* ---- what is part of what */

bool
pari_obj_is_inside(const par_obj *obj, const par_obj *of)
{
    for (; obj; obj = obj->parent) {
        if (obj == of)
            return true;
    }
    return false;
}

void
pari_obj_refuse(const par_obj *parent, par_obj *obj)
{
    if (!pari_obj_is_inside(parent, obj))
        par_obj_free(obj);
}

/* The true height of obj, stored in it and in all that is inside. */
static unsigned
count_height(par_obj *obj)
{
    unsigned height, highest = 0;

    if (obj->height == 0)
        return 0;
    for (size_t i = 0; pari_obj_is_seq(obj) && i < obj->size; i++) {
        height = count_height(((struct pari_seq *)obj)->item[i]);
        highest = height > highest ? height : highest;
    }
    for (size_t pos = 0; obj->type == PAR_DICT;) {
        const par_obj *key, *value;
        if (!par_obj_next(obj, &pos, &key, &value))
            break;
        height = count_height((par_obj *)key);
        highest = height > highest ? height : highest;
        height = count_height((par_obj *)value);
        highest = height > highest ? height : highest;
    }
    obj->height = (uint8_t)(highest + 1);
    return obj->height;
}

int
pari_obj_has_room_below(const par_obj *parent, par_obj *obj, unsigned without)
{
    unsigned levels = 0;

    for (const par_obj *above = parent; above; above = above->parent)
        levels++;
    if (levels + obj->height - without <= PAR_OBJ_MAX_DEPTH || levels + count_height(obj) - without <= PAR_OBJ_MAX_DEPTH)
        return 0;
    return pari_fail(ELOOP);
}

int
pari_obj_may_adopt(const par_obj *parent, par_obj *obj)
{
    if (!obj)
        return pari_fail(ENOMEM);
    if (obj->parent)
        return pari_fail(EINVAL);
    if (obj->height == 0)
        return 0;
    return pari_obj_is_inside(parent, obj) ? pari_fail(EINVAL) : pari_obj_has_room_below(parent, obj, 0);
}

void
pari_obj_adopt(par_obj *parent, par_obj *obj)
{
    unsigned height = obj->height;

    obj->parent = parent;
    for (par_obj *above = parent; above && above->height <= height; above = above->parent)
        above->height = (uint8_t)++height;
}

par_obj *
pari_obj_release(par_obj *obj)
{
    obj->parent = NULL;
    return obj;
}

/* The list of discarded objects goes through their parent words; the last one is its own parent. */

void
pari_obj_discard(par_obj **discarded, par_obj *obj)
{
    if (!obj || obj->parent)
        return;
    obj->parent = *discarded ? *discarded : obj;
    *discarded = obj;
}

void
pari_obj_free_discarded(par_obj **discarded)
{
    par_obj *obj, *next = *discarded;

    while ((obj = next)) {
        next = obj->parent != obj ? obj->parent : NULL;
        pari_obj_drop(obj);
    }
    *discarded = NULL;
}

/* ---- copying */

static par_obj *
seq_copy(const par_obj *obj)
{
    const struct pari_seq *from = (const struct pari_seq *)obj;
    par_obj *copy = pari_obj_seq(obj->type);

    if (!copy || pari_obj_seq_reserve(copy, obj->size) != 0)
        goto fail;
    ((struct pari_seq *)copy)->class = from->class;
    ((struct pari_seq *)copy)->is_called = from->is_called;
    for (size_t i = 0; i < obj->size; i++) {
        if (pari_obj_seq_append(copy, par_obj_copy(from->item[i])) != 0)
            goto fail;
    }
    return copy;
fail:
    par_obj_free(copy);
    return NULL;
}

par_obj *
par_obj_copy(const par_obj *obj)
{
    if (!obj)
        return pari_null(ENOMEM);
    switch (obj->type) {
    case PAR_BOOL: return par_bool(obj->boolean);
    case PAR_INT: return par_int(obj->integer);
    case PAR_FLOAT: return par_float(obj->real);
    case PAR_STR:
    case PAR_BYTES: return text_new(obj->type, ((const struct pari_text *)obj)->data, obj->size);
    case PAR_LIST:
    case PAR_TUPLE:
    case PAR_RECORD: return seq_copy(obj);
    case PAR_DICT: return pari_obj_dict_copy(obj);
    default: return par_none();
    }
}

/* ---- reading */

int
par_obj_type(const par_obj *obj)
{
    return obj ? obj->type : -1;
}

int64_t
par_obj_as_int(const par_obj *obj, int64_t otherwise)
{
    switch (par_obj_type(obj)) {
    case PAR_INT: return obj->integer;
    case PAR_BOOL: return obj->boolean;
    default: return otherwise;
    }
}

double
par_obj_as_float(const par_obj *obj, double otherwise)
{
    switch (par_obj_type(obj)) {
    case PAR_FLOAT: return obj->real;
    case PAR_INT: return (double)obj->integer;
    case PAR_BOOL: return obj->boolean;
    default: return otherwise;
    }
}

const char *
par_obj_as_str(const par_obj *obj, const char *otherwise)
{
    return par_obj_type(obj) == PAR_STR ? ((const struct pari_text *)obj)->data : otherwise;
}

const void *
par_obj_as_bytes(const par_obj *obj, size_t *size)
{
    bool is_bytes = par_obj_type(obj) == PAR_BYTES;

    if (size)
        *size = is_bytes ? obj->size : 0;
    return is_bytes ? ((const struct pari_text *)obj)->data : NULL;
}

size_t
par_obj_len(const par_obj *obj)
{
    return par_obj_type(obj) >= PAR_STR ? obj->size : 0;
}
