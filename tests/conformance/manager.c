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

/* ---- 125: a queue in a list and in a dict */

static int
put_names(void *arg)
{
    return par_queue_put(arg, "in the", 6, soon()) != 0 || par_queue_put(arg, "queue", 5, soon()) != 0;
}

static void
conf_125_nested_queue(void)
{
    par_manager *manager = new_manager();
    par_list *list = par_manager_list(manager, soon());
    par_dict *dict = par_manager_dict(manager, soon());
    par_queue *queue = par_manager_queue(manager, NULL, soon());
    char text[10];

    must(list != NULL && dict != NULL && queue != NULL);
    must(par_list_append(list, par_manager_name(manager, queue, soon()), soon()) == 0);
    must(par_dict_set(dict, par_str("queue"), par_manager_name(manager, queue, soon()), soon()) == 0);
    must(par_manager_release(manager, queue, soon()) == 0); /* it is named */
    par_obj *in_list = par_list_get(list, 0, soon()), *in_dict = par_dict_get(dict, par_str("queue"), soon());
    par_queue *a = par_manager_queue_of(manager, in_list, soon()), *b = par_manager_queue_of(manager, in_dict, soon());
    must(a != NULL && a == b && peer_end(peer_start(put_names, a)) == 0);
    must(par_queue_get(a, text, sizeof text, soon()) == 6 && memcmp(text, "in the", 6) == 0);
    must(par_queue_get(b, text, sizeof text, soon()) == 5 && memcmp(text, "queue", 5) == 0);
    par_obj_free(in_list);
    par_obj_free(in_dict);
    par_list_free(list);
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

/* ---- 129: each type, used in a child and looked at in the parent; a pool is one of the program's own types */

static void *
pool_new(const par_obj *args)
{
    return par_pool_new(&(par_pool_opts){ .workers = (int)par_obj_as_int(par_obj_item(args, 0), 1) });
}

static void
pool_free(void *pool)
{
    par_pool_free(pool);
}

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static par_obj *
pool_map_squares(void *pool, const par_obj *args)
{
    int n = (int)par_obj_len(args), in[10], out[10];
    par_obj *squares = par_obj_list();

    for (int i = 0; i < n && i < 10; i++)
        in[i] = (int)par_obj_as_int(par_obj_item(args, (size_t)i), 0);
    if (n > 10 || par_pool_map(pool, square, in, out, (size_t)n) != 0)
        n = 0;
    for (int i = 0; i < n; i++)
        must(par_obj_append(squares, par_int(out[i])) == 0);
    return squares;
}

static const par_manager_method pool_methods[] = { { "squares", pool_map_squares }, { NULL, NULL } };

static const par_manager_type pool_types[] = {
    { .name = "Pool", .create = pool_new, .destroy = pool_free, .methods = pool_methods },
    { .name = NULL },
};

struct toolbox {
    par_event *event;
    par_lock *lock;
    par_rlock *rlock;
    par_semaphore *semaphore, *bounded;
    par_condition *condition;
    par_barrier *barrier;
    par_queue *queue, *joinable;
    par_list *list;
    par_dict *dict;
    par_namespace *ns;
    int *value, *array;
    par_proxy *pool;
};

static int
use_everything(void *arg)
{
    struct toolbox *t = arg;

    must(par_event_set(t->event) == 0);
    must(par_lock_acquire(t->lock, soon()) == 0 && par_lock_locked(t->lock) && par_lock_release(t->lock) == 0);
    must(par_rlock_acquire(t->rlock, soon()) == 0 && par_rlock_acquire(t->rlock, soon()) == 0);
    must(par_rlock_release(t->rlock) == 0 && par_rlock_release(t->rlock) == 0);
    must(par_semaphore_acquire(t->semaphore, soon()) == 0);
    must(par_semaphore_acquire(t->bounded, soon()) == 0 && par_semaphore_release(t->bounded, 1) == 0);
    must(par_semaphore_release(t->bounded, 1) == -1);
    must(par_condition_notify_all(t->condition) == 0);
    must(par_barrier_wait(t->barrier, soon()) >= 0);
    must(par_queue_put(t->queue, "child", 5, soon()) == 0);
    must(par_queue_skip(t->joinable, soon()) == 0 && par_queue_task_done(t->joinable) == 0);
    must(par_list_append(t->list, par_int(7), soon()) == 0);
    must(par_dict_set(t->dict, par_str("key"), par_int(8), soon()) == 0);
    must(par_namespace_set(t->ns, "x", par_int(9), soon()) == 0);
    *t->value = 10;
    t->array[4] = 11;
    must_be(par_proxy_call(t->pool, "squares", par_tuple(par_int(2), par_int(3)), soon()), "[4, 9]");
    return 0;
}

static void
conf_129_sync_manager_types(void)
{
    par_manager *m = par_manager_start(&(par_manager_opts){ .types = pool_types });
    struct toolbox *t = par_manager_value(m, struct toolbox, soon());
    char text[5];

    must(m != NULL && t != NULL);
    *t = (struct toolbox){ .event = par_manager_value(m, par_event, soon()),
                           .lock = par_manager_value(m, par_lock, soon()),
                           .rlock = par_manager_value(m, par_rlock, soon()),
                           .semaphore = par_manager_value(m, par_semaphore, soon()),
                           .bounded = par_manager_value(m, par_semaphore, soon()),
                           .condition = par_manager_value(m, par_condition, soon()),
                           .barrier = par_manager_value(m, par_barrier, soon()),
                           .queue = par_manager_queue(m, NULL, soon()),
                           .joinable = par_manager_queue(m, NULL, soon()),
                           .list = par_manager_list(m, soon()),
                           .dict = par_manager_dict(m, soon()),
                           .ns = par_manager_namespace(m, soon()),
                           .value = par_manager_value(m, int, soon()),
                           .array = par_manager_array(m, int, 5, soon()),
                           .pool = par_manager_create(m, "Pool", par_tuple(par_int(2)), soon()) };
    must(t->bounded != NULL && t->barrier != NULL && t->joinable != NULL && t->array != NULL && t->pool != NULL);
    must(par_semaphore_init(t->semaphore, 2, NULL) == 0 && par_barrier_init(t->barrier, 2, NULL, NULL) == 0);
    must(par_semaphore_init(t->bounded, 1, &(par_semaphore_opts){ .max = 1 }) == 0);
    must(par_queue_put(t->joinable, "task", 4, soon()) == 0);
    struct peer peer = peer_start(use_everything, t);
    must(par_barrier_wait(t->barrier, soon()) >= 0 && peer_end(peer) == 0);
    must(par_event_is_set(t->event) && !par_lock_locked(t->lock) && !par_rlock_locked(t->rlock));
    must(par_semaphore_value(t->semaphore) == 1 && par_semaphore_value(t->bounded) == 1);
    must(par_queue_get(t->queue, text, sizeof text, soon()) == 5 && memcmp(text, "child", 5) == 0);
    must(par_queue_join(t->joinable, soon()) == 0 && *t->value == 10 && t->array[4] == 11);
    must_be(par_list_copy(t->list, soon()), "[7]");
    must_be(par_dict_copy(t->dict, soon()), "{'key': 8}");
    must_be(par_namespace_get(t->ns, "x", soon()), "9");
    par_proxy_free(t->pool);
    par_namespace_free(t->ns);
    par_dict_free(t->dict);
    par_list_free(t->list);
    par_manager_free(m); /* with all that it keeps */
}

/* ---- 130: the program's own types */

static void *
foo_new(const par_obj *args)
{
    (void)args;
    return malloc(1);
}

static par_obj *
foo_f(void *foo, const par_obj *args)
{
    (void)foo;
    (void)args;
    return par_str("f()");
}

static par_obj *
foo_g(void *foo, const par_obj *args)
{
    (void)foo;
    (void)args;
    errno = EDOM; /* as Python's raises ValueError */
    return NULL;
}

static const par_manager_method foo_methods[] = { { "f", foo_f }, { "g", foo_g }, { NULL, NULL } };
static const par_manager_method bar_methods[] = { { "f", foo_f }, { "_h", foo_f }, { NULL, NULL } };

static const par_manager_type foo_types[] = {
    { .name = "Foo", .create = foo_new, .destroy = free, .methods = foo_methods },
    { .name = "Bar", .create = foo_new, .destroy = free, .methods = bar_methods },
    { .name = NULL },
};

static int
call_methods(void *arg)
{
    par_proxy *const *proxy = arg;

    must_be(par_proxy_call(proxy[0], "f", par_tuple(), soon()), "'f()'");
    errno = 0;
    must(par_proxy_call(proxy[0], "g", par_tuple(), soon()) == NULL && errno == EDOM);
    errno = 0;
    must(par_proxy_call(proxy[0], "_h", par_tuple(), soon()) == NULL && errno == EINVAL);
    must_be(par_proxy_call(proxy[1], "_h", par_tuple(), soon()), "'f()'");
    errno = 0;
    must(par_proxy_call(proxy[1], "g", par_tuple(), soon()) == NULL && errno == EINVAL);
    return 0;
}

static void
conf_130_mymanager(void)
{
    par_manager *manager = par_manager_start(&(par_manager_opts){ .types = foo_types });
    par_proxy **proxy = shared_block(2 * sizeof *proxy);

    must(manager != NULL);
    proxy[0] = par_manager_create(manager, "Foo", par_tuple(), soon());
    proxy[1] = par_manager_create(manager, "Bar", par_tuple(), soon());
    must(proxy[0] != NULL && proxy[1] != NULL && peer_end(peer_start(call_methods, proxy)) == 0);
    par_proxy_free(proxy[0]);
    par_proxy_free(proxy[1]);
    par_manager_free(manager);
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

const struct behaviour manager_behaviours[] = {
    PASSES(
        123, list, IN_BOTH,
        "ranges, extend, set, insert, delete, remove, index, count, pop, reverse, sort, walking; a list in a list sees what is "
        "appended later",
        "par_manager_list, par_list_value"),
    PASSES(124, dict, IN_BOTH, "copy, keys, values, get, pop, delete, clear; a dict in a dict outlives its maker's handle",
           "par_manager_dict, par_dict_value"),
    PASSES(125, nested_queue, IN_BOTH, "a queue as an item of a list and as a value of a dict",
           "par_manager_queue, par_manager_name, par_manager_queue_of"),
    PASSES(126, namespace, IN_BOTH, "attributes are set, got and deleted", "par_manager_namespace"),
    CANNOT(127, remote,
           "a manager serves the family of the process that started it, to which its proxies come by fork; there is no address "
           "for strangers to connect to"),
    PASSES(128, rapid_restart, IN_PROCESSES,
           "the address is free again at once; while it is used, a second server is EADDRINUSE",
           "par_manager_start, par_manager_free"),
    PASSES(
        129, sync_manager_types, IN_BOTH,
        "each of the types is used in a child and looked at in the parent; a pool is made as a type of one's own",
        "par_manager_value, par_manager_queue, par_manager_list, par_manager_dict, par_manager_namespace, par_manager_create"),
    PASSES(130, mymanager, IN_BOTH, "methods that the type lists are called, others refused; what one fails with is told",
           "par_manager_opts.types, par_manager_create, par_proxy_call"),
    PASSES(131, initializer, IN_PROCESSES,
           "it runs once in each worker and leaves it a state; a pool whose initializer refuses says ENOTRECOVERABLE",
           "par_pool_opts.initializer"),
    END_OF_TABLE
};
