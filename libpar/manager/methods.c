/* SPDX-License-Identifier: MIT
 *
 * methods.c: the methods of the server's lists and dicts, with the names and the meaning that they have in Python.
 *
 * Each works on the object in place. One that takes an item out writes the answer first, so that an item that cannot be sent stays.
 */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments and answers */

static const par_obj *
arg(const struct pari_method_call *call, size_t i)
{
    return par_obj_item(call->args, i);
}

/* Take the last argument that is left. */
static par_obj *
take_last(struct pari_method_call *call)
{
    return pari_obj_seq_take(call->args, par_obj_len(call->args) - 1);
}

static bool
index_of(const par_obj *obj, ssize_t *index)
{
    int type = par_obj_type(obj);

    *index = (ssize_t)par_obj_as_int(obj, 0);
    return type == PAR_INT || type == PAR_BOOL;
}

static int
answer(struct pari_method_call *call, const par_obj *value)
{
    return pari_message_reply(call->out, PARI_REPLY_RETURN, value);
}

static int
answer_new(struct pari_method_call *call, par_obj *value)
{
    int answered = value != NULL ? answer(call, value) : -1;

    par_obj_free(value);
    return answered;
}

/* The answer of a method without result; `done` is what the operation said. */
static int
answer_done(struct pari_method_call *call, int done)
{
    return done == 0 ? pari_message_reply_none(call->out) : -1;
}

static int
answer_count(struct pari_method_call *call, ssize_t count)
{
    return count >= 0 ? answer_new(call, par_int(count)) : -1;
}

/* ---- both */

static int
get_length(struct pari_method_call *call)
{
    return answer_count(call, (ssize_t)par_obj_len(call->object));
}

static int
get_value(struct pari_method_call *call)
{
    return answer(call, call->object);
}

static int
get_text(struct pari_method_call *call)
{
    char *text = par_obj_repr(call->object);
    int answered = text != NULL ? answer_new(call, par_str(text)) : -1;

    free(text);
    return answered;
}

/* ---- list */

static int
list_append(struct pari_method_call *call)
{
    return answer_done(call, par_obj_append(call->object, take_last(call)));
}

static int
list_extend(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_list_extend(call->object, take_last(call)));
}

static int
list_insert(struct pari_method_call *call)
{
    ssize_t i;

    if (!index_of(arg(call, 0), &i))
        return pari_fail(EINVAL);
    return answer_done(call, pari_obj_list_insert(call->object, i, take_last(call)));
}

static int
list_pop(struct pari_method_call *call)
{
    const par_obj *item;
    ssize_t i;

    if (!index_of(arg(call, 0), &i))
        return pari_fail(EINVAL);
    item = pari_obj_list_get(call->object, i);
    if (item == NULL || answer(call, item) != 0)
        return -1;
    return pari_obj_list_del(call->object, i);
}

static int
list_remove(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_list_remove(call->object, arg(call, 0)));
}

static int
list_index(struct pari_method_call *call)
{
    return answer_count(call, pari_obj_list_index(call->object, arg(call, 0)));
}

static int
list_count(struct pari_method_call *call)
{
    return answer_count(call, pari_obj_list_count(call->object, arg(call, 0)));
}

static int
list_contains(struct pari_method_call *call)
{
    return answer_new(call, par_bool(pari_obj_list_count(call->object, arg(call, 0)) > 0));
}

static int
list_sort(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_list_sort(call->object));
}

static int
list_reverse(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_list_reverse(call->object));
}

static int
list_clear(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_list_clear(call->object));
}

/* One bound of a slice: a number, or None for `otherwise`. */
static bool
bound_of(const par_obj *obj, ssize_t otherwise, ssize_t *bound)
{
    *bound = otherwise;
    return par_obj_type(obj) == PAR_NONE || index_of(obj, bound);
}

/* slice(from, to, None) */
static int
list_slice(struct pari_method_call *call, const par_obj *slice)
{
    ssize_t from, to, step;

    if (strcmp(par_obj_record_name(slice), "builtins.slice") != 0 || par_obj_len(slice) != 3)
        return pari_fail(EINVAL);
    if (!bound_of(par_obj_item(slice, 0), 0, &from) || !bound_of(par_obj_item(slice, 1), PTRDIFF_MAX, &to) ||
        !bound_of(par_obj_item(slice, 2), 1, &step) || step != 1)
        return pari_fail(EINVAL);
    return answer_new(call, pari_obj_list_slice(call->object, from, to));
}

static int
list_get(struct pari_method_call *call)
{
    const par_obj *item;
    ssize_t i;

    if (par_obj_type(arg(call, 0)) == PAR_RECORD)
        return list_slice(call, arg(call, 0));
    if (!index_of(arg(call, 0), &i))
        return pari_fail(EINVAL);
    item = pari_obj_list_get(call->object, i);
    return item != NULL ? answer(call, item) : -1;
}

static int
list_set(struct pari_method_call *call)
{
    ssize_t i;

    if (!index_of(arg(call, 0), &i))
        return pari_fail(EINVAL);
    return answer_done(call, pari_obj_list_set(call->object, i, take_last(call)));
}

static int
list_del(struct pari_method_call *call)
{
    ssize_t i;

    if (!index_of(arg(call, 0), &i))
        return pari_fail(EINVAL);
    return answer_done(call, pari_obj_list_del(call->object, i));
}

/* ---- dict */

static int
dict_get(struct pari_method_call *call)
{
    const par_obj *value = pari_obj_dict_find(call->object, arg(call, 0));

    return value != NULL ? answer(call, value) : -1;
}

static int
dict_set(struct pari_method_call *call)
{
    par_obj *value = take_last(call), *key = take_last(call);

    return answer_done(call, par_obj_set(call->object, key, value));
}

static int
dict_del(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_dict_del(call->object, arg(call, 0)));
}

static int
dict_pop(struct pari_method_call *call)
{
    const par_obj *value = pari_obj_dict_find(call->object, arg(call, 0));

    if (value == NULL || answer(call, value) != 0)
        return -1;
    return pari_obj_dict_del(call->object, arg(call, 0));
}

static int
dict_contains(struct pari_method_call *call)
{
    bool found = pari_obj_dict_find(call->object, arg(call, 0)) != NULL;

    return found || errno == ENOENT ? answer_new(call, par_bool(found)) : -1;
}

static int
dict_keys(struct pari_method_call *call)
{
    return answer_new(call, pari_obj_dict_keys(call->object));
}

static int
dict_values(struct pari_method_call *call)
{
    return answer_new(call, pari_obj_dict_values(call->object));
}

static int
dict_update(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_dict_update(call->object, take_last(call)));
}

static int
dict_clear(struct pari_method_call *call)
{
    return answer_done(call, pari_obj_dict_clear(call->object));
}

/* A value that cannot be sent is not stored either. */
static int
dict_setdefault(struct pari_method_call *call)
{
    const par_obj *old = pari_obj_dict_find(call->object, arg(call, 0));
    par_obj *value;

    if (old != NULL)
        return answer(call, old);
    if (errno != ENOENT || answer(call, arg(call, 1)) != 0)
        return -1;
    value = take_last(call);
    return par_obj_set(call->object, take_last(call), value);
}

static int
dict_replace(struct pari_method_call *call)
{
    const par_obj *old = pari_obj_dict_find(call->object, arg(call, 0));
    par_obj *value;
    bool is_equal;

    if (old == NULL)
        return -1;
    is_equal = par_obj_equal(old, arg(call, 1));
    value = is_equal ? take_last(call) : NULL;
    if (is_equal && par_obj_set(call->object, pari_obj_seq_take(call->args, 0), value) != 0)
        return -1;
    return answer_new(call, par_bool(is_equal));
}

/* old + n, where no value counts as 0. NULL: EINVAL no number, EOVERFLOW, ENOMEM. */
static par_obj *
sum_of(const par_obj *old, int64_t n)
{
    int64_t sum;

    if (par_obj_type(old) == PAR_FLOAT)
        return par_float(par_obj_as_float(old, 0) + (double)n);
    if (old != NULL && par_obj_type(old) != PAR_INT && par_obj_type(old) != PAR_BOOL)
        return pari_null(EINVAL);
    if (__builtin_add_overflow(par_obj_as_int(old, 0), n, &sum))
        return pari_null(EOVERFLOW);
    return par_int(sum);
}

static int
dict_add(struct pari_method_call *call)
{
    const par_obj *old = pari_obj_dict_find(call->object, arg(call, 0));
    par_obj *sum;

    if (old == NULL && errno != ENOENT)
        return -1;
    if (par_obj_type(arg(call, 1)) != PAR_INT)
        return pari_fail(EINVAL);
    sum = sum_of(old, par_obj_as_int(arg(call, 1), 0));
    if (sum == NULL)
        return -1;
    return answer_done(call, par_obj_set(call->object, pari_obj_seq_take(call->args, 0), sum));
}

/* ---- names */

static const struct pari_method list_methods[] = {
    { "append", 1, list_append, PARI_ABSENT_NOTHING },
    { "extend", 1, list_extend, PARI_ABSENT_NOTHING },
    { "insert", 2, list_insert, PARI_ABSENT_NOTHING },
    { "pop", 1, list_pop, PARI_ABSENT_INDEX },
    { "remove", 1, list_remove, PARI_ABSENT_VALUE },
    { "index", 1, list_index, PARI_ABSENT_VALUE },
    { "count", 1, list_count, PARI_ABSENT_NOTHING },
    { "sort", 0, list_sort, PARI_ABSENT_NOTHING },
    { "reverse", 0, list_reverse, PARI_ABSENT_NOTHING },
    { "clear", 0, list_clear, PARI_ABSENT_NOTHING },
    { "copy", 0, get_value, PARI_ABSENT_NOTHING },
    { "__len__", 0, get_length, PARI_ABSENT_NOTHING },
    { "__contains__", 1, list_contains, PARI_ABSENT_NOTHING },
    { "__getitem__", 1, list_get, PARI_ABSENT_INDEX },
    { "__setitem__", 2, list_set, PARI_ABSENT_INDEX },
    { "__delitem__", 1, list_del, PARI_ABSENT_INDEX },
    { "__str__", 0, get_text, PARI_ABSENT_NOTHING },
    { "__repr__", 0, get_text, PARI_ABSENT_NOTHING },
    { "#GETVALUE", 0, get_value, PARI_ABSENT_NOTHING },
    { "", 0, NULL, PARI_ABSENT_NOTHING },
};

static const struct pari_method dict_methods[] = {
    { "pop", 1, dict_pop, PARI_ABSENT_KEY },
    { "keys", 0, dict_keys, PARI_ABSENT_NOTHING },
    { "values", 0, dict_values, PARI_ABSENT_NOTHING },
    { "setdefault", 2, dict_setdefault, PARI_ABSENT_NOTHING },
    { "replace", 3, dict_replace, PARI_ABSENT_KEY },
    { "update", 1, dict_update, PARI_ABSENT_NOTHING },
    { "clear", 0, dict_clear, PARI_ABSENT_NOTHING },
    { "copy", 0, get_value, PARI_ABSENT_NOTHING },
    { "add", 2, dict_add, PARI_ABSENT_NOTHING },
    { "__len__", 0, get_length, PARI_ABSENT_NOTHING },
    { "__contains__", 1, dict_contains, PARI_ABSENT_NOTHING },
    { "__getitem__", 1, dict_get, PARI_ABSENT_KEY },
    { "__setitem__", 2, dict_set, PARI_ABSENT_NOTHING },
    { "__delitem__", 1, dict_del, PARI_ABSENT_KEY },
    { "__str__", 0, get_text, PARI_ABSENT_NOTHING },
    { "__repr__", 0, get_text, PARI_ABSENT_NOTHING },
    { "#GETVALUE", 0, get_value, PARI_ABSENT_NOTHING },
    { "", 0, NULL, PARI_ABSENT_NOTHING },
};

static const struct pari_method *
methods_of(const par_obj *object)
{
    return par_obj_type(object) == PAR_LIST ? list_methods : dict_methods;
}

const struct pari_method *
pari_method_find(const par_obj *object, const char *name)
{
    for (const struct pari_method *method = methods_of(object); method->run != NULL; method++)
        if (strcmp(method->name, name) == 0)
            return method;
    return NULL;
}

/* What every object answers, "#GETVALUE" and the two texts, is not among them in Python either. */
par_obj *
pari_method_names(const par_obj *object)
{
    par_obj *name[sizeof list_methods / sizeof list_methods[0]];
    size_t n = 0;

    for (const struct pari_method *method = methods_of(object); strcmp(method->name, "__str__") != 0; method++)
        name[n++] = par_str(method->name);
    return par_obj_tuple(n, name);
}
