/* SPDX-License-Identifier: MIT
 *
 * reader.c: the bytes of a pickle, the stack, the marks and the memo of the machine that runs it.
 *
 * Here is what keeps the peer's bytes in bounds: a length is compared with the bytes that are left before anything is allocated
 * for it, nothing is taken from below the last mark, a memo number is smaller than the number of bytes, and copies draw on a
 * budget, so that memory stays in proportion to the bytes that are really there.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#define COPY_BUDGET ((size_t)64 << 10) /* bytes that copies may take in any case */
#define COPY_BUDGET_PER_BYTE 100       /* and for each byte there is */
#define OBJECT_COST 64                 /* what a small object takes with its place in another */
#define DICT_COST 192                  /* what a dict takes beside that, once it has a pair */
#define PAIR_COST 64                   /* and for each */
#define VECTOR_FIRST 16

void
pari_reader_init(struct pari_reader *r, const void *data, size_t size)
{
    *r = (struct pari_reader){ .at = data, .size = size };
    r->end = r->at + size;
    r->stack.data = r->first;
    r->stack.capacity = PARI_READER_FIRST;
    if (!pari_mul(size, COPY_BUDGET_PER_BYTE, &r->budget) || __builtin_add_overflow(r->budget, COPY_BUDGET, &r->budget))
        r->budget = SIZE_MAX;
}

void
pari_reader_free(struct pari_reader *r)
{
    int saved = errno;

    pari_reader_drop_from(r, 0);
    pari_obj_free_discarded(&r->discarded);
    if (r->stack.data != r->first)
        free(r->stack.data);
    free(r->marks.data);
    free(r->memo.data);
    errno = saved;
}

/* ---- bytes */

const unsigned char *
pari_reader_take(struct pari_reader *r, uint64_t size)
{
    const unsigned char *bytes = r->at;

    if (size > pari_reader_left(r))
        return pari_null(EBADMSG);
    r->at += size;
    return bytes;
}

int
pari_reader_number(struct pari_reader *r, size_t size, uint64_t *number)
{
    const unsigned char *bytes = pari_reader_take(r, size);

    *number = 0;
    for (size_t i = 0; bytes && i < size; i++)
        *number |= (uint64_t)bytes[i] << 8 * i;
    return bytes ? 0 : -1;
}

const unsigned char *
pari_reader_counted(struct pari_reader *r, size_t length_size, uint64_t *size)
{
    return pari_reader_number(r, length_size, size) != 0 ? NULL : pari_reader_take(r, *size);
}

const char *
pari_reader_line(struct pari_reader *r, size_t *size)
{
    const unsigned char *line = r->at, *newline = memchr(line, '\n', pari_reader_left(r));

    if (!newline)
        return pari_null(EBADMSG);
    *size = (size_t)(newline - line);
    r->at = newline + 1;
    return (const char *)line;
}

/* ---- stack */

/* Room for n elements of that size. */
static int
vector_reserve(struct pari_vector *v, size_t n, size_t size)
{
    size_t bytes, old_bytes = v->capacity * size, capacity = v->capacity ? v->capacity : VECTOR_FIRST;
    char *data;

    if (n <= v->capacity)
        return 0;
    while (capacity < n)
        capacity *= 2;
    if (!pari_mul(capacity, size, &bytes) || !(data = pari_realloc(v->data, bytes)))
        return pari_fail(ENOMEM);
    memset(data + old_bytes, 0, bytes - old_bytes);
    v->data = data;
    v->capacity = capacity;
    return 0;
}

static int
leave_first(struct pari_reader *r)
{
    struct pari_vector stack = { .n = r->stack.n };

    if (vector_reserve(&stack, PARI_READER_FIRST + 1, sizeof r->first[0]) != 0)
        return -1;
    memcpy(stack.data, r->first, sizeof r->first);
    r->stack = stack;
    return 0;
}

static int
stack_reserve(struct pari_reader *r)
{
    if (r->stack.n < r->stack.capacity)
        return 0;
    return r->stack.data == r->first ? leave_first(r) : vector_reserve(&r->stack, r->stack.n + 1, sizeof r->first[0]);
}

int
pari_reader_push(struct pari_reader *r, par_obj *obj)
{
    if (!obj)
        return -1;
    if (stack_reserve(r) != 0) {
        par_obj_free(obj);
        return -1;
    }
    pari_reader_stack(r)[r->stack.n++] = obj;
    return 0;
}

int
pari_reader_mark(struct pari_reader *r)
{
    if (vector_reserve(&r->marks, r->marks.n + 1, sizeof(size_t)) != 0)
        return -1;
    ((size_t *)r->marks.data)[r->marks.n++] = r->stack.n;
    return 0;
}

size_t
pari_reader_last_mark(const struct pari_reader *r)
{
    return r->marks.n > 0 ? ((const size_t *)r->marks.data)[r->marks.n - 1] : 0;
}

int
pari_reader_pop_mark(struct pari_reader *r, size_t *from)
{
    *from = pari_reader_last_mark(r);
    if (r->marks.n == 0)
        return pari_fail(EBADMSG);
    r->marks.n--;
    return 0;
}

par_obj *
pari_reader_peek(struct pari_reader *r, size_t down)
{
    if (r->stack.n - pari_reader_last_mark(r) <= down)
        return pari_null(EBADMSG);
    return pari_reader_stack(r)[r->stack.n - 1 - down];
}

void
pari_reader_drop_from(struct pari_reader *r, size_t from)
{
    while (r->stack.n > from)
        pari_obj_discard(&r->discarded, pari_reader_stack(r)[--r->stack.n]);
}

int
pari_reader_move_item(struct pari_reader *r, par_obj *seq, size_t i)
{
    par_obj *item = pari_reader_stack(r)[i];

    pari_reader_stack(r)[i] = NULL;
    return pari_obj_seq_append(seq, item);
}

/* ---- memo */

int
pari_reader_memoize(struct pari_reader *r, uint64_t number)
{
    par_obj *top = pari_reader_peek(r, 0), **entry;

    if (!top || number >= r->size)
        return pari_fail(EBADMSG);
    if (vector_reserve(&r->memo, number + 1, sizeof top) != 0)
        return -1;
    entry = (par_obj **)r->memo.data + number;
    r->memo.n += *entry == NULL;
    *entry = top;
    return 0;
}

par_obj *
pari_reader_recall(struct pari_reader *r, uint64_t number)
{
    par_obj *obj = number < r->memo.capacity ? ((par_obj **)r->memo.data)[number] : NULL;

    return obj ? obj : pari_null(EBADMSG);
}

/* What a copy takes in memory. */
static size_t
cost_of(const par_obj *obj)
{
    const par_obj *key, *value;
    size_t pos = 0, cost = OBJECT_COST;

    if (obj->type == PAR_STR || obj->type == PAR_BYTES)
        return cost + obj->size;
    for (size_t i = 0; pari_obj_is_seq(obj) && i < obj->size; i++)
        cost += cost_of(par_obj_item(obj, i));
    if (obj->type == PAR_DICT && obj->size > 0)
        cost += DICT_COST;
    while (par_obj_next(obj, &pos, &key, &value))
        cost += PAIR_COST + cost_of(key) + cost_of(value);
    return cost;
}

int
pari_reader_charge(struct pari_reader *r, const par_obj *obj)
{
    size_t cost = cost_of(obj);

    if (cost > r->budget)
        return pari_fail(EMSGSIZE);
    r->budget -= cost;
    return 0;
}

par_obj *
pari_reader_copy(struct pari_reader *r, par_obj *obj)
{
    par_obj *copy = pari_reader_charge(r, obj) == 0 ? par_obj_copy(obj) : NULL;

    if (!copy)
        return NULL;
    obj->is_shared = copy->is_shared = true;
    return copy;
}
