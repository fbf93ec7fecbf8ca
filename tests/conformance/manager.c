/* SPDX-License-Identifier: MIT
 *
 * manager.c: behaviours 123 to 131: managers, and initializers.
 */
#include "conformance.h"

#include <stdio.h>

/* The value must print as Python prints it. */
static void
must_be(par_obj *value, const char *expected)
{
    char *text = par_obj_repr(value);

    must(text != NULL && strcmp(text, expected) == 0);
    free(text);
    par_obj_free(value);
}

static par_manager *
new_manager(void)
{
    par_manager *manager = par_manager_start(NULL);

    must(manager != NULL);
    return manager;
}

/* A list of ints from..to - 1. */
static par_obj *
ints(int from, int to)
{
    par_obj *list = par_obj_list();

    for (int i = from; i < to; i++)
        must(par_obj_append(list, par_int(i)) == 0);
    return list;
}

/* ---- 123 and 124: list, dict */

static int
change_list(void *arg)
{
    par_list *list = arg;

    must(par_list_extend(list, ints(5, 10), soon()) == 0 && par_list_len(list, soon()) == 10);
    must_be(par_list_slice(list, 2, 5, soon()), "[2, 3, 4]");
    must_be(par_list_slice(list, -3, PAR_LIST_END, soon()), "[7, 8, 9]");
    must_be(par_list_slice(list, 20, 30, soon()), "[]");
    must(par_list_set(list, 0, par_str("first"), soon()) == 0 && par_list_insert(list, 1, par_none(), soon()) == 0);
    must(par_list_del(list, -1, soon()) == 0 && par_list_remove(list, par_int(3), soon()) == 0);
    return 0;
}

static void
conf_123_list(void)
{
    par_manager *manager = new_manager();
    par_list *list = par_manager_list(manager, soon());

    must(list != NULL && par_list_extend(list, ints(0, 5), soon()) == 0);
    must_be(par_list_copy(list, soon()), "[0, 1, 2, 3, 4]");
    must(peer_end(peer_start(change_list, list)) == 0);
    must_be(par_list_copy(list, soon()), "['first', None, 1, 2, 4, 5, 6, 7, 8]");
    must(par_list_index(list, par_int(4), soon()) == 4 && par_list_count(list, par_int(9), soon()) == 0);
    must_fail(par_list_index(list, par_int(9), soon()), ENOENT);
    must_be(par_list_pop(list, 0, soon()), "'first'");
    must_be(par_list_pop(list, 0, soon()), "None");
    must(par_list_reverse(list, soon()) == 0);
    must_be(par_list_copy(list, soon()), "[8, 7, 6, 5, 4, 2, 1]");
    must(par_list_sort(list, soon()) == 0 && par_list_contains(list, par_int(8), soon()) == 1);
    for (ssize_t i = par_list_len(list, soon()); i-- > 0;) /* as Python's iteration: by length and index */
        par_obj_free(par_list_get(list, i, soon()));
    must(par_list_clear(list, soon()) == 0 && par_list_len(list, soon()) == 0);
    par_list *outer = par_manager_list(manager, soon()); /* [list], and then list.append('hello') */
    must(outer != NULL && par_list_append(outer, par_list_value(list), soon()) == 0);
    must(par_list_append(list, par_str("hello"), soon()) == 0);
    par_obj *named = par_list_get(outer, 0, soon());
    par_list *inner = par_manager_list_of(manager, named, soon());
    must(inner != NULL);
    must_be(par_list_copy(inner, soon()), "['hello']");
    par_obj_free(named);
    par_list_free(inner);
    par_list_free(outer);
    par_list_free(list);
    par_manager_free(manager);
}

static int
fill_dict(void *arg)
{
    for (int i = 65; i < 70; i++)
        must(par_dict_set(arg, par_int(i), par_str((char[]){ (char)i, '\0' }), soon()) == 0);
    return 0;
}

static void
conf_124_dict(void)
{
    par_manager *manager = new_manager();
    par_dict *dict = par_manager_dict(manager, soon());

    must(dict != NULL && peer_end(peer_start(fill_dict, dict)) == 0);
    must_be(par_dict_copy(dict, soon()), "{65: 'A', 66: 'B', 67: 'C', 68: 'D', 69: 'E'}");
    must_be(par_dict_keys(dict, soon()), "[65, 66, 67, 68, 69]");
    must_be(par_dict_values(dict, soon()), "['A', 'B', 'C', 'D', 'E']");
    must_be(par_dict_get(dict, par_int(67), soon()), "'C'");
    must_be(par_dict_pop(dict, par_int(65), soon()), "'A'");
    errno = 0;
    must(par_dict_get(dict, par_int(65), soon()) == NULL && errno == ENOENT);
    must(par_dict_contains(dict, par_int(66), soon()) == 1 && par_dict_del(dict, par_int(66), soon()) == 0);
    must(par_dict_len(dict, soon()) == 3 && par_dict_clear(dict, soon()) == 0 && par_dict_len(dict, soon()) == 0);
    par_dict *pets = par_manager_dict(manager, soon());
    must(pets != NULL && par_dict_set(pets, par_str("ferrets"), par_int(2), soon()) == 0);
    must(par_dict_set(dict, par_str("pets"), par_dict_value(pets), soon()) == 0);
    par_dict_free(pets); /* its maker's handle */
    par_obj *named = par_dict_get(dict, par_str("pets"), soon());
    pets = par_manager_dict_of(manager, named, soon());
    must(pets != NULL && par_dict_set(pets, par_str("blue"), par_str("Fjord"), soon()) == 0);
    must_be(par_dict_copy(pets, soon()), "{'ferrets': 2, 'blue': 'Fjord'}");
    par_obj_free(named);
    par_dict_free(pets);
    par_dict_free(dict);
    par_manager_free(manager);
}

/* ---- 126: namespace */

static int
set_attribute(void *arg)
{
    return par_namespace_set(arg, "job", par_str("Builder"), soon());
}

static void
conf_126_namespace(void)
{
    par_manager *manager = new_manager();
    par_namespace *ns = par_manager_namespace(manager, soon());

    must(ns != NULL && par_namespace_set(ns, "name", par_str("Bob"), soon()) == 0);
    must(peer_end(peer_start(set_attribute, ns)) == 0);
    must(par_namespace_set(ns, "_hidden", par_str("hidden"), soon()) == 0);
    must_be(par_namespace_get(ns, "name", soon()), "'Bob'");
    must_be(par_namespace_get(ns, "job", soon()), "'Builder'");
    must(par_namespace_del(ns, "job", soon()) == 0);
    must_fail(par_namespace_del(ns, "job", soon()), ENOENT);
    errno = 0;
    par_obj *gone = par_namespace_get(ns, "job", soon());
    must(gone == NULL && errno == ENOENT);
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    must(file != NULL && par_namespace_print(ns, file, soon()) == 0);
    fclose(file);
    must(strcmp(text, "Namespace(name='Bob')\n") == 0);
    free(text);
    par_namespace_free(ns);
    par_manager_free(manager);
}

/* ---- 128: restart */

static void
conf_128_rapid_restart(void)
{
    char address[64];

    snprintf(address, sizeof address, "@libpar-conformance-%d", (int)getpid());
    for (int i = 0; i < 3; i++) {
        par_manager *manager = par_manager_start(&(par_manager_opts){ .address = address });
        par_list *list = par_manager_list(manager, soon());

        must(manager != NULL && strcmp(par_manager_address(manager), address) == 0);
        must(list != NULL && par_list_append(list, par_str("hello"), soon()) == 0);
        par_manager *second = par_manager_start(&(par_manager_opts){ .address = address });
        must(second == NULL && errno == EADDRINUSE);
        must_be(par_list_pop(list, -1, soon()), "'hello'");
        par_list_free(list);
        par_manager_free(manager);
    }
}

/* ---- 131: initializers */

struct initialized {
    _Atomic int n;
};

static int
initialize(void *arg, void **state)
{
    struct initialized *initialized = arg;

    atomic_fetch_add(&initialized->n, 1);
    *state = initialized;
    return 0;
}

static int
refuse(void *arg, void **state)
{
    (void)arg;
    (void)state;
    return 1;
}

static int
has_state(const void *in, void *out, void *ctx)
{
    *(bool *)out = par_worker_state() == *(void *const *)in;
    (void)ctx;
    return 0;
}

static void
pool_initializes(int backend)
{
    struct initialized *initialized = shared(struct initialized);
    bool has[8] = { false };
    void *in[8];
    par_pool *pool =
        par_pool_new(&(par_pool_opts){ .workers = 2, .backend = backend, .initializer = initialize, .initarg = initialized });

    for (int i = 0; i < 8; i++)
        in[i] = initialized;
    must(pool != NULL && par_pool_map(pool, has_state, in, has, 8) == 0);
    for (int i = 0; i < 8; i++)
        must(has[i]);
    must(par_pool_close(pool) == 0 && par_pool_join(pool, soon()) == 0 && atomic_load(&initialized->n) == 2);
    par_pool_free(pool);

    pool = par_pool_new(&(par_pool_opts){ .workers = 2, .backend = backend, .initializer = refuse });
    must(pool != NULL && par_pool_map(pool, has_state, in, has, 8) == 8 && errno == ENOTRECOVERABLE);
    par_pool_free(pool);
}

static void
conf_131_initializer(void)
{
    pool_initializes(PAR_PROCESSES);
    pool_initializes(PAR_THREADS);
}

#define OWN_TYPES "a manager's server keeps values and calls no function of the program, "

const struct behaviour manager_behaviours[] = {
    PASSES(
        123, list, IN_BOTH,
        "ranges, extend, set, insert, delete, remove, index, count, pop, reverse, sort, walking; a list in a list sees what is "
        "appended later",
        "par_manager_list, par_list_value"),
    PASSES(124, dict, IN_BOTH, "copy, keys, values, get, pop, delete, clear; a dict in a dict outlives its maker's handle",
           "par_manager_dict, par_dict_value"),
    MISSING(125, nested_queue, "a queue as an item of a list and as a value of a dict", "par_manager_queue"),
    PASSES(126, namespace, IN_BOTH, "attributes are set, got and deleted", "par_manager_namespace"),
    CANNOT(127, remote,
           "a manager serves the family of the process that started it, to which its proxies come by fork; there is no address "
           "for strangers to connect to"),
    PASSES(128, rapid_restart, IN_PROCESSES,
           "the address is free again at once; while it is used, a second server is EADDRINUSE",
           "par_manager_start, par_manager_free"),
    MISSING(129, sync_manager_types, "each of 18 types is used in a child and looked at in the parent", "par_manager_queue"),
    CANNOT(130, mymanager, OWN_TYPES "so that there are no types to register and no methods to expose or hide"),
    PASSES(131, initializer, IN_PROCESSES,
           "it runs once in each worker and leaves it a state; a pool whose initializer refuses says ENOTRECOVERABLE",
           "par_pool_opts.initializer"),
    END_OF_TABLE
};
