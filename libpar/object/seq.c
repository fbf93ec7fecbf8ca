/* SPDX-License-Identifier: MIT
 *
 * seq.c: objects that have items: list, tuple and record; and what Python does with a list.
 */
#include "object.h"

#include <stdlib.h>
#include <string.h>

#define SEQ_FIRST 4 /* items; doubled from there */

/* ---- all three */

static struct pari_seq *
seq_of(par_obj *obj)
{
    return (struct pari_seq *)obj;
}

bool
pari_obj_is_seq(const par_obj *obj)
{
    int type = par_obj_type(obj);

    return type == PAR_LIST || type == PAR_TUPLE || type == PAR_RECORD;
}

par_obj *
pari_obj_seq(int type)
{
    return pari_obj_new(type, sizeof(struct pari_seq));
}

int
pari_obj_seq_reserve(par_obj *seq, size_t n)
{
    size_t bytes, capacity = seq_of(seq)->capacity;
    par_obj **item;

    if (n <= capacity)
        return 0;
    capacity = capacity >= n / 2 ? (capacity ? capacity * 2 : SEQ_FIRST) : n;
    if (capacity < n)
        capacity = n;
    if (!pari_mul(capacity, sizeof *item, &bytes) || bytes > PTRDIFF_MAX)
        return pari_fail(ENOMEM);
    item = pari_realloc(seq_of(seq)->item, bytes);
    if (!item)
        return pari_fail(ENOMEM);
    seq_of(seq)->item = item;
    seq_of(seq)->capacity = capacity;
    return 0;
}

/* Put item before place i, which is there. Takes item over. */
static int
seq_insert(par_obj *seq, size_t i, par_obj *item)
{
    par_obj **place;

    if (pari_obj_may_adopt(seq, item) != 0 || pari_obj_seq_reserve(seq, seq->size + 1) != 0) {
        pari_obj_refuse(seq, item);
        return -1;
    }
    place = seq_of(seq)->item + i;
    memmove(place + 1, place, (seq->size - i) * sizeof *place);
    *place = item;
    seq->size++;
    pari_obj_adopt(seq, item);
    return 0;
}

int
pari_obj_seq_append(par_obj *seq, par_obj *item)
{
    return seq_insert(seq, seq->size, item);
}

void
pari_obj_seq_free(par_obj *seq)
{
    for (size_t i = 0; i < seq->size; i++)
        pari_obj_drop(seq_of(seq)->item[i]);
    free(seq_of(seq)->item);
    seq_of(seq)->item = NULL;
    seq_of(seq)->capacity = 0;
    seq->size = 0;
}

par_obj *
par_obj_tuple(size_t n, par_obj *const *item)
{
    par_obj *discarded = NULL, *tuple;
    size_t i = 0;
    int saved;

    if (n > 0 && !item)
        return pari_null(EINVAL);
    if (n > PTRDIFF_MAX / sizeof *item)
        return pari_null(EOVERFLOW);
    tuple = pari_obj_seq(PAR_TUPLE);
    if (!tuple || pari_obj_seq_reserve(tuple, n) != 0)
        goto fail;
    for (; i < n; i++) {
        if (pari_obj_may_adopt(tuple, item[i]) != 0)
            goto fail;
        seq_of(tuple)->item[tuple->size++] = item[i];
        pari_obj_adopt(tuple, item[i]);
    }
    return tuple;
fail:
    saved = errno;
    for (; i < n; i++)
        pari_obj_discard(&discarded, item[i]);
    pari_obj_free_discarded(&discarded);
    par_obj_free(tuple);
    return pari_null(saved);
}

const par_obj *
par_obj_item(const par_obj *seq, size_t i)
{
    return pari_obj_is_seq(seq) && i < seq->size ? ((const struct pari_seq *)seq)->item[i] : NULL;
}

/* ---- list */

par_obj *
par_obj_list(void)
{
    return pari_obj_seq(PAR_LIST);
}

/* 0, or -1: NULL is ENOMEM, another type EINVAL */
static int
check_list(const par_obj *list)
{
    if (!list)
        return pari_fail(ENOMEM);
    return list->type == PAR_LIST ? 0 : pari_fail(EINVAL);
}

/* The place that index i means, or -1 with ENOENT. */
static ssize_t
list_place(const par_obj *list, ssize_t i)
{
    if (check_list(list) != 0)
        return -1;
    if (i < 0)
        i += (ssize_t)list->size;
    return i >= 0 && (size_t)i < list->size ? i : pari_fail(ENOENT);
}

/* The place that an end of a slice means: beyond an end is that end. */
static size_t
list_bound(const par_obj *list, ssize_t i)
{
    if (i < 0)
        i += (ssize_t)list->size;
    if (i < 0)
        return 0;
    return (size_t)i < list->size ? (size_t)i : list->size;
}

int
pari_obj_list_insert(par_obj *list, ssize_t i, par_obj *item)
{
    if (check_list(list) != 0) {
        pari_obj_refuse(list, item);
        return -1;
    }
    return seq_insert(list, list_bound(list, i), item);
}

int
par_obj_append(par_obj *list, par_obj *item)
{
    return pari_obj_list_insert(list, PTRDIFF_MAX, item);
}

int
pari_obj_list_extend(par_obj *list, par_obj *seq)
{
    size_t n = par_obj_len(seq);

    if (check_list(list) != 0)
        goto fail;
    if (pari_obj_may_adopt(NULL, seq) != 0)
        goto fail;
    if ((seq->type != PAR_LIST && seq->type != PAR_TUPLE) || pari_obj_is_inside(list, seq)) {
        errno = EINVAL;
        goto fail;
    }
    if (pari_obj_has_room_below(list, seq, 1) != 0 || pari_obj_seq_reserve(list, list->size + n) != 0)
        goto fail;
    for (size_t i = 0; i < n; i++) {
        seq_of(list)->item[list->size++] = seq_of(seq)->item[i];
        pari_obj_adopt(list, seq_of(seq)->item[i]);
    }
    seq->size = 0;
    par_obj_free(seq);
    return 0;
fail:
    pari_obj_refuse(list, seq);
    return -1;
}

int
pari_obj_list_set(par_obj *list, ssize_t i, par_obj *item)
{
    ssize_t place = list_place(list, i);

    if (place < 0 || pari_obj_may_adopt(list, item) != 0) {
        pari_obj_refuse(list, item);
        return -1;
    }
    pari_obj_drop(seq_of(list)->item[place]);
    seq_of(list)->item[place] = item;
    pari_obj_adopt(list, item);
    return 0;
}

par_obj *
pari_obj_seq_take(par_obj *seq, size_t i)
{
    par_obj **at, *item;

    if (!pari_obj_is_seq(seq) || i >= seq->size)
        return NULL;
    at = seq_of(seq)->item + i;
    item = *at;
    seq->size--;
    memmove(at, at + 1, (seq->size - i) * sizeof *at);
    return pari_obj_release(item);
}

par_obj *
pari_obj_list_pop(par_obj *list, ssize_t i)
{
    ssize_t place = list_place(list, i);

    return place < 0 ? NULL : pari_obj_seq_take(list, (size_t)place);
}

int
pari_obj_list_del(par_obj *list, ssize_t i)
{
    par_obj *item = pari_obj_list_pop(list, i);

    if (!item)
        return -1;
    par_obj_free(item);
    return 0;
}

const par_obj *
pari_obj_list_get(const par_obj *list, ssize_t i)
{
    ssize_t place = list_place(list, i);

    return place < 0 ? NULL : par_obj_item(list, (size_t)place);
}

ssize_t
pari_obj_list_index(const par_obj *list, const par_obj *value)
{
    if (check_list(list) != 0)
        return -1;
    for (size_t i = 0; i < list->size; i++) {
        if (par_obj_equal(par_obj_item(list, i), value))
            return (ssize_t)i;
    }
    return pari_fail(ENOENT);
}

int
pari_obj_list_remove(par_obj *list, const par_obj *value)
{
    ssize_t i = pari_obj_list_index(list, value);

    return i < 0 ? -1 : pari_obj_list_del(list, i);
}

ssize_t
pari_obj_list_count(const par_obj *list, const par_obj *value)
{
    ssize_t n = 0;

    if (check_list(list) != 0)
        return -1;
    for (size_t i = 0; i < list->size; i++)
        n += par_obj_equal(par_obj_item(list, i), value);
    return n;
}

par_obj *
pari_obj_list_slice(const par_obj *list, ssize_t from, ssize_t to)
{
    par_obj *slice;

    if (check_list(list) != 0)
        return NULL;
    slice = par_obj_list();
    if (!slice)
        return NULL;
    for (size_t i = list_bound(list, from), end = list_bound(list, to); i < end; i++) {
        if (par_obj_append(slice, par_obj_copy(par_obj_item(list, i))) != 0) {
            par_obj_free(slice);
            return NULL;
        }
    }
    return slice;
}

int
pari_obj_list_reverse(par_obj *list)
{
    if (check_list(list) != 0)
        return -1;
    for (size_t i = 0, n = list->size; i < n / 2; i++) {
        par_obj *item = seq_of(list)->item[i];
        seq_of(list)->item[i] = seq_of(list)->item[n - 1 - i];
        seq_of(list)->item[n - 1 - i] = item;
    }
    return 0;
}

int
pari_obj_list_clear(par_obj *list)
{
    if (check_list(list) != 0)
        return -1;
    pari_obj_seq_free(list);
    return 0;
}

/* ---- sorting: merging ever longer sorted runs, which keeps equal items in their order */

/* Merge from[start..middle) and from[middle..end) into the same places of `to`. */
static int
merge(par_obj **from, par_obj **to, size_t start, size_t middle, size_t end)
{
    size_t left = start, right = middle;

    for (size_t i = start; i < end; i++) {
        int order = PARI_SAME;
        if (left < middle && right < end && pari_obj_order(from[right], from[left], &order) != 0)
            return -1;
        if (left == middle || (right < end && order == PARI_LESS))
            to[i] = from[right++];
        else
            to[i] = from[left++];
    }
    return 0;
}

int
pari_obj_list_sort(par_obj *list)
{
    par_obj **space, **from, **to, **swap;
    size_t bytes, n, run;
    int result = 0;

    if (check_list(list) != 0)
        return -1;
    n = list->size;
    if (n < 2)
        return 0;
    if (!pari_mul(n, 2 * sizeof *space, &bytes) || !(space = pari_malloc(bytes)))
        return pari_fail(ENOMEM);
    from = space;
    to = space + n;
    memcpy(from, seq_of(list)->item, n * sizeof *from);
    for (run = 1; run < n && result == 0; run *= 2) {
        for (size_t start = 0; start < n && result == 0; start += 2 * run) {
            size_t middle = n - start > run ? start + run : n;
            size_t end = n - middle > run ? middle + run : n;
            result = merge(from, to, start, middle, end);
        }
        swap = from;
        from = to;
        to = swap;
    }
    if (result == 0)
        memcpy(seq_of(list)->item, from, n * sizeof *from);
    free(space);
    return result;
}
