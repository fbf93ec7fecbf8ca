/* SPDX-License-Identifier: MIT
 *
 * compare.c: when two objects are equal, and which is less.
 *
 * bool, int and float are all numbers and compare by exact value, not by what an int becomes as a double. UTF-8 sorts as its
 * code points do, so bytes decide the order of text.
 */
#include "object.h"

#include <math.h>
#include <string.h>

#define TWO_TO_63 9223372036854775808.0

/* ---- numbers */

static bool
is_number(const par_obj *obj)
{
    return obj->type == PAR_BOOL || obj->type == PAR_INT || obj->type == PAR_FLOAT;
}

static int
order_of_ints(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int
order_of_floats(double a, double b)
{
    return isnan(a) || isnan(b) ? PARI_UNORDERED : (a > b) - (a < b);
}

static int
order_of_int_and_float(int64_t a, double b)
{
    int64_t whole;

    if (isnan(b))
        return PARI_UNORDERED;
    if (b >= TWO_TO_63)
        return PARI_LESS;
    if (b < -TWO_TO_63)
        return PARI_MORE;
    whole = (int64_t)b;
    return a != whole ? order_of_ints(a, whole) : order_of_floats((double)whole, b);
}

static int
order_of_numbers(const par_obj *a, const par_obj *b)
{
    int order;

    if (a->type == PAR_FLOAT && b->type == PAR_FLOAT)
        return order_of_floats(a->real, b->real);
    if (b->type == PAR_FLOAT)
        return order_of_int_and_float(par_obj_as_int(a, 0), b->real);
    if (a->type != PAR_FLOAT)
        return order_of_ints(par_obj_as_int(a, 0), par_obj_as_int(b, 0));
    order = order_of_int_and_float(par_obj_as_int(b, 0), a->real);
    return order == PARI_UNORDERED ? order : -order;
}

/* ---- text */

static int
order_of_text(const par_obj *a, const par_obj *b)
{
    size_t shorter = a->size < b->size ? a->size : b->size;
    int order = memcmp(((const struct pari_text *)a)->data, ((const struct pari_text *)b)->data, shorter);

    if (order != 0)
        return order < 0 ? PARI_LESS : PARI_MORE;
    return (a->size > b->size) - (a->size < b->size);
}

/* ---- equality */

static bool
seq_equal(const par_obj *a, const par_obj *b)
{
    const struct pari_seq *left = (const struct pari_seq *)a, *right = (const struct pari_seq *)b;

    if (a->size != b->size || left->class != right->class || left->is_called != right->is_called)
        return false;
    for (size_t i = 0; i < a->size; i++) {
        if (!par_obj_equal(left->item[i], right->item[i]))
            return false;
    }
    return true;
}

static bool
dict_equal(const par_obj *a, const par_obj *b)
{
    const par_obj *key, *value;
    size_t pos = 0;

    if (a->size != b->size)
        return false;
    while (par_obj_next(a, &pos, &key, &value)) {
        struct pari_pair *pair = pari_obj_dict_pair(b, key);
        if (!pair || !par_obj_equal(value, pair->value))
            return false;
    }
    return true;
}

bool
par_obj_equal(const par_obj *a, const par_obj *b)
{
    if (!a || !b)
        return false;
    if (is_number(a) && is_number(b))
        return order_of_numbers(a, b) == PARI_SAME;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case PAR_STR:
    case PAR_BYTES: return a->size == b->size && order_of_text(a, b) == PARI_SAME;
    case PAR_LIST:
    case PAR_TUPLE:
    case PAR_RECORD: return seq_equal(a, b);
    case PAR_DICT: return dict_equal(a, b);
    default: return true; /* None */
    }
}

/* ---- order */

/* The first items that are not equal decide, and if there are none, the lengths. */
static int
order_of_seqs(const par_obj *a, const par_obj *b, int *order)
{
    size_t shorter = a->size < b->size ? a->size : b->size;

    for (size_t i = 0; i < shorter; i++) {
        if (!par_obj_equal(par_obj_item(a, i), par_obj_item(b, i)))
            return pari_obj_order(par_obj_item(a, i), par_obj_item(b, i), order);
    }
    *order = (a->size > b->size) - (a->size < b->size);
    return 0;
}

int
pari_obj_order(const par_obj *a, const par_obj *b, int *order)
{
    if (!a || !b)
        return pari_fail(ENOMEM);
    if (is_number(a) && is_number(b)) {
        *order = order_of_numbers(a, b);
        return 0;
    }
    if (a->type != b->type)
        return pari_fail(EINVAL);
    switch (a->type) {
    case PAR_STR:
    case PAR_BYTES: *order = order_of_text(a, b); return 0;
    case PAR_LIST:
    case PAR_TUPLE: return order_of_seqs(a, b, order);
    default: return pari_fail(EINVAL);
    }
}
