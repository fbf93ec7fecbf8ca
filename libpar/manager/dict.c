/* SPDX-License-Identifier: MIT
 *
 * dict.c: the proxy of a dict in a manager's server: each call is one method of Python's dict, but for add and replace.
 */
#include "proxy.h"

#include "../object/object.h"

struct par_dict {
    struct pari_proxy proxy;
};

static par_obj *
no_args(void)
{
    return par_obj_tuple(0, NULL);
}

static par_obj *
get(par_dict *dict, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_get(dict, PARI_DICT_PROXY, method, args, deadline);
}

static int
act(par_dict *dict, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_do(dict, PARI_DICT_PROXY, method, args, deadline);
}

static int
post(par_dict *dict, const char *method, par_obj *args, par_time deadline)
{
    return pari_proxy_post(dict, PARI_DICT_PROXY, method, args, deadline);
}

par_dict *
par_manager_dict(par_manager *manager, par_time deadline)
{
    return pari_proxy_new(manager, par_tuple(par_str("dict")), PARI_DICT_PROXY, sizeof(par_dict), deadline);
}

void
par_dict_free(par_dict *dict)
{
    pari_proxy_free(dict, PARI_DICT_PROXY);
}

par_obj *
par_dict_get(par_dict *dict, par_obj *key, par_time deadline)
{
    return get(dict, "__getitem__", par_tuple(key), deadline);
}

int
par_dict_set(par_dict *dict, par_obj *key, par_obj *value, par_time deadline)
{
    uint64_t hash;

    return (pari_obj_hash(key, &hash) ? post : act)(dict, "__setitem__", par_tuple(key, value), deadline);
}

int
par_dict_del(par_dict *dict, par_obj *key, par_time deadline)
{
    return act(dict, "__delitem__", par_tuple(key), deadline);
}

par_obj *
par_dict_pop(par_dict *dict, par_obj *key, par_time deadline)
{
    return get(dict, "pop", par_tuple(key), deadline);
}

int
par_dict_contains(par_dict *dict, par_obj *key, par_time deadline)
{
    return (int)pari_proxy_count(dict, PARI_DICT_PROXY, "__contains__", par_tuple(key), deadline);
}

ssize_t
par_dict_len(par_dict *dict, par_time deadline)
{
    return pari_proxy_count(dict, PARI_DICT_PROXY, "__len__", no_args(), deadline);
}

par_obj *
par_dict_keys(par_dict *dict, par_time deadline)
{
    return get(dict, "keys", no_args(), deadline);
}

par_obj *
par_dict_values(par_dict *dict, par_time deadline)
{
    return get(dict, "values", no_args(), deadline);
}

par_obj *
par_dict_copy(par_dict *dict, par_time deadline)
{
    return get(dict, "copy", no_args(), deadline);
}

int
par_dict_update(par_dict *dict, par_obj *pairs, par_time deadline)
{
    return act(dict, "update", par_tuple(pairs), deadline);
}

int
par_dict_clear(par_dict *dict, par_time deadline)
{
    return post(dict, "clear", no_args(), deadline);
}

int
par_dict_add(par_dict *dict, par_obj *key, int64_t n, par_time deadline)
{
    return act(dict, "add", par_tuple(key, par_int(n)), deadline);
}

par_obj *
par_dict_setdefault(par_dict *dict, par_obj *key, par_obj *value, par_time deadline)
{
    return get(dict, "setdefault", par_tuple(key, value), deadline);
}

int
par_dict_replace(par_dict *dict, par_obj *key, par_obj *expected, par_obj *value, par_time deadline)
{
    return (int)pari_proxy_count(dict, PARI_DICT_PROXY, "replace", par_tuple(key, expected, value), deadline);
}

int
par_dict_print(par_dict *dict, FILE *file, par_time deadline)
{
    return pari_proxy_print(dict, PARI_DICT_PROXY, file, deadline);
}

par_obj *
par_dict_value(const par_dict *dict)
{
    return pari_proxy_value(dict, PARI_DICT_PROXY, PARI_DICT_CLASS);
}

par_dict *
par_manager_dict_of(par_manager *manager, const par_obj *value, par_time deadline)
{
    return pari_proxy_of(manager, value, PARI_DICT_CLASS, PARI_DICT_PROXY, sizeof(par_dict), deadline);
}
