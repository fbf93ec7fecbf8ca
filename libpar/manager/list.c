/* SPDX-License-Identifier: MIT
 *
 * list.c: the proxy of a list in a manager's server: each call is one method of Python's list.
 */
#include "proxy.h"

#include "../object/object.h"

struct par_list {
    struct pari_proxy proxy;
};

static par_obj *
no_args(void)
{
    return par_obj_tuple(0, NULL);
}

static par_obj *
get(par_list *list, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_get(list, PARI_LIST_PROXY, method, args, deadline);
}

static int
act(par_list *list, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_do(list, PARI_LIST_PROXY, method, args, deadline);
}

static int
post(par_list *list, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_post(list, PARI_LIST_PROXY, method, args, deadline);
}

static ssize_t
count(par_list *list, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_count(list, PARI_LIST_PROXY, method, args, deadline);
}

par_list *
par_manager_list(par_manager *manager, par_time deadline)
{
    return pari_proxy_new(manager, par_tuple(par_str("list")), PARI_LIST_PROXY, sizeof(par_list), deadline);
}

void
par_list_free(par_list *list)
{
    pari_proxy_free(list, PARI_LIST_PROXY);
}

int
par_list_append(par_list *list, par_obj *value, par_time deadline)
{
    return post(list, "append", par_tuple(value), deadline);
}

int
par_list_extend(par_list *list, par_obj *items, par_time deadline)
{
    bool are_items = par_obj_type(items) == PAR_LIST || par_obj_type(items) == PAR_TUPLE;

    return (are_items ? post : act)(list, "extend", par_tuple(items), deadline);
}

int
par_list_insert(par_list *list, ssize_t index, par_obj *value, par_time deadline)
{
    return post(list, "insert", par_tuple(par_int(index), value), deadline);
}

int
par_list_set(par_list *list, ssize_t index, par_obj *value, par_time deadline)
{
    return act(list, "__setitem__", par_tuple(par_int(index), value), deadline);
}

par_obj *
par_list_get(par_list *list, ssize_t index, par_time deadline)
{
    return get(list, "__getitem__", par_tuple(par_int(index)), deadline);
}

par_obj *
par_list_pop(par_list *list, ssize_t index, par_time deadline)
{
    return get(list, "pop", par_tuple(par_int(index)), deadline);
}

int
par_list_remove(par_list *list, par_obj *value, par_time deadline)
{
    return act(list, "remove", par_tuple(value), deadline);
}

int
par_list_del(par_list *list, ssize_t index, par_time deadline)
{
    return act(list, "__delitem__", par_tuple(par_int(index)), deadline);
}

ssize_t
par_list_index(par_list *list, par_obj *value, par_time deadline)
{
    return count(list, "index", par_tuple(value), deadline);
}

ssize_t
par_list_count(par_list *list, par_obj *value, par_time deadline)
{
    return count(list, "count", par_tuple(value), deadline);
}

int
par_list_contains(par_list *list, par_obj *value, par_time deadline)
{
    return (int)count(list, "__contains__", par_tuple(value), deadline);
}

ssize_t
par_list_len(par_list *list, par_time deadline)
{
    return count(list, "__len__", no_args(), deadline);
}

/* slice(from, to, None) */
static par_obj *
slice(ssize_t from, ssize_t to)
{
    return pari_obj_record("builtins.slice", par_tuple(par_int(from), par_int(to), par_none()));
}

par_obj *
par_list_slice(par_list *list, ssize_t from, ssize_t to, par_time deadline)
{
    return get(list, "__getitem__", par_tuple(slice(from, to)), deadline);
}

int
par_list_sort(par_list *list, par_time deadline)
{
    return act(list, "sort", no_args(), deadline);
}

int
par_list_reverse(par_list *list, par_time deadline)
{
    return post(list, "reverse", no_args(), deadline);
}

int
par_list_clear(par_list *list, par_time deadline)
{
    return post(list, "clear", no_args(), deadline);
}

par_obj *
par_list_copy(par_list *list, par_time deadline)
{
    return get(list, "copy", no_args(), deadline);
}

int
par_list_print(par_list *list, FILE *file, par_time deadline)
{
    return pari_proxy_print(list, PARI_LIST_PROXY, file, deadline);
}

par_obj *
par_list_value(const par_list *list)
{
    return pari_proxy_value(list, PARI_LIST_PROXY, PARI_LIST_CLASS);
}

par_list *
par_manager_list_of(par_manager *manager, const par_obj *value, par_time deadline)
{
    return pari_proxy_of(manager, value, PARI_LIST_CLASS, PARI_LIST_PROXY, sizeof(par_list), deadline);
}
