/* SPDX-License-Identifier: MIT
 *
 * par/manager.h: lists and dicts kept by a server process and used by many.
 *
 *     par_manager *m = par_manager_start(NULL);
 *     par_list *list = par_manager_list(m, PAR_FOREVER);
 *     par_list_append(list, par_int(7), PAR_FOREVER);
 *     par_list_print(list, stdout, PAR_FOREVER);          [7]
 *     par_list_free(list);
 *     par_manager_free(m);
 *
 * The values live in the server. A par_list or par_dict is a proxy, a handle in shared memory: it may be stored in shared structs,
 * passed to children and used in every process of the family, by many threads at a time. Each call is one request to the server
 * and is done there as a whole, so that calls of several processes never mix; two calls after each other are two steps, between
 * which others may come. What a get or copy returns is a copy: changing it changes nothing in the server.
 *
 * par_list_append, extend, insert, reverse and clear, par_dict_set and clear, and par_namespace_set have no result to wait for. As a
 * rule they leave their request in shared memory and return; the server carries it out before it answers anything that is asked of it
 * later, by any process, in the order in which the calls were made. So nobody can tell, also if the caller is killed right afterwards;
 * only where the server has no memory for it, ENOMEM is told to whoever asks next, and it is tried again.
 *
 * Values: a call that is given a par_obj takes it over, also when it fails, and NULL for one is ENOMEM, so that constructors can be
 * written in place. A par_obj that is returned is the caller's: par_obj_free it.
 *
 * Indices count as in Python: 0 is the first item, -1 the last.
 *
 * Every call that takes a deadline asks the server and can fail, beside what its own comment lists, with
 *   EINVAL     the handle is NULL, freed or not of this kind
 *   ENOMEM     there is no memory here or in the server
 *   ETIMEDOUT  no answer until the deadline; PAR_NOWAIT always, since an answer takes time, and then nothing was asked
 *   EINTR      par_interrupt is on
 *   EPIPE      the server has ended or was killed, or had no memory for the connection
 *   EMSGSIZE   the request or its answer is larger than 64 MiB
 *   EBADMSG    the answer is not one of a manager
 *   EPERM      the address is in the hands of another user
 *   EMFILE, ENFILE  no descriptor for the connection: each process keeps one for each manager that it uses
 *   EAGAIN, ENOSPC  this process could not join the family
 * "Those of every call" means these. A change that ends with ETIMEDOUT, EINTR, EPIPE, ENOMEM or EBADMSG after its request has gone
 * out may still have been made, or be made, by the server; with any other error nothing has changed.
 */
#ifndef PAR_MANAGER_H
#define PAR_MANAGER_H

#include <par/base.h>
#include <par/obj.h>

PAR_BEGIN_DECLS

typedef struct par_manager par_manager;
typedef struct par_queue par_queue;
struct par_queue_opts;
typedef struct par_list par_list;
typedef struct par_dict par_dict;
typedef struct par_namespace par_namespace;
typedef struct par_proxy par_proxy;

/* ---- manager */

/* A type of the program's own, whose objects live in the server and are used by calling methods there. All functions run in the
 * server's process, a fork of the one that starts it, one at a time and to their end: so each call is done as a whole, and a slow one
 * makes all clients wait. They must not ask this manager. */
typedef struct par_manager_method {
    const char *name;
    par_obj *(*run)(void *object, const par_obj *args); /* args: a tuple, the server's. NULL: the call fails with errno */
} par_manager_method;

typedef struct par_manager_type {
    const char *name;                     /* none of "list", "dict", "queue", "shared" */
    void *(*create)(const par_obj *args); /* NULL: par_manager_create fails with errno */
    void (*destroy)(void *object);        /* or NULL; once nobody names the object any more, or when the server ends */
    const par_manager_method *methods;    /* what clients may call; one without a name ends the array */
} par_manager_type;

typedef struct par_manager_opts {
    const char *address;           /* "@name": an abstract local address; NULL: a fresh random one */
    const par_manager_type *types; /* of the program's own; one without a name ends the array; NULL: none */
    PAR_RESERVED;
} par_manager_opts;

/* Free a manager handle. In the process that started it the server is ended with all that it keeps (asked to, then SIGTERM, then
 * SIGKILL, in at most three seconds), and the proxies' next calls are EPIPE; in any other process nothing happens. NULL is fine;
 * errno is kept.
 * Safe: any thread, forked child. */
PAR_API void par_manager_free(par_manager *manager);

/* Start a server process. It can be used at once; it serves processes of this user only, survives the death of any of them, keeps
 * its values until it is freed, and ends with the process that started it, by whatever death. Signals have their default meaning in
 * it, but that SIGINT is ignored; its standard input is /dev/null.
 * Errors: EINVAL the address is not "@" and up to 106 bytes; EADDRINUSE it is taken; EAGAIN no process to be had; ENOSPC, ENOMEM,
 * EMFILE, ENFILE.
 * Safe: any thread, forked child. */
PAR_API par_manager *par_manager_start(const par_manager_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_manager_free);

/* The address of the server, "@name". The string is the manager's.
 * Errors: EINVAL (NULL is returned).
 * Safe: any thread, forked child. */
PAR_API const char *par_manager_address(const par_manager *manager);

/* ---- list */

/* Free a list proxy. In the process that made the list the server drops its values, and what others still ask of it is EINVAL; in
 * any other process nothing happens. Does not wait. NULL is fine; errno is kept.
 * Safe: any thread, forked child. */
PAR_API void par_list_free(par_list *list);

/* A new, empty list in the server. May be called in every process of the family.
 * Errors: those of every call; ENOSPC shared memory is full.
 * Safe: any thread, forked child. */
PAR_API par_list *par_manager_list(par_manager *manager, par_time deadline) PAR_MUST_CHECK PAR_RELEASED_BY(par_list_free);

/* Put a value at the end.
 * Errors: those of every call; ELOOP the value is nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_list_append(par_list *list, par_obj *value, par_time deadline);

/* Put all items of a list or tuple at the end, in one step.
 * Errors: those of every call; EINVAL `items` is neither; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_list_extend(par_list *list, par_obj *items, par_time deadline);

/* Put a value before item `index`; an index beyond either end means that end.
 * Errors: those of every call; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_list_insert(par_list *list, ssize_t index, par_obj *value, par_time deadline);

/* Replace item `index`.
 * Errors: those of every call; ENOENT no such index; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_list_set(par_list *list, ssize_t index, par_obj *value, par_time deadline);

/* A copy of item `index`.
 * Errors: those of every call; ENOENT no such index.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_list_get(par_list *list, ssize_t index, par_time deadline) PAR_MUST_CHECK;

/* Take item `index` out of the list; -1 is the last one. An item too large for an answer stays (EMSGSIZE).
 * Errors: those of every call; ENOENT no such index.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_list_pop(par_list *list, ssize_t index, par_time deadline) PAR_MUST_CHECK;

/* Remove the first item that equals `value`.
 * Errors: those of every call; ENOENT there is none.
 * Safe: any thread, forked child. */
PAR_API int par_list_remove(par_list *list, par_obj *value, par_time deadline);

/* Remove item `index`.
 * Errors: those of every call; ENOENT no such index.
 * Safe: any thread, forked child. */
PAR_API int par_list_del(par_list *list, ssize_t index, par_time deadline);

/* The index of the first item that equals `value`.
 * Errors: those of every call; ENOENT there is none.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_list_index(par_list *list, par_obj *value, par_time deadline);

/* How many items equal `value`.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_list_count(par_list *list, par_obj *value, par_time deadline);

/* Does an item equal `value`? 1 or 0.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API int par_list_contains(par_list *list, par_obj *value, par_time deadline);

/* The number of items.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_list_len(par_list *list, par_time deadline);

/* A copy, as a list, of the items from `from` up to but not including `to`, as list[from:to] in Python: what lies beyond an end is
 * cut off, so that PAR_LIST_END as `to` means all the rest.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_list_slice(par_list *list, ssize_t from, ssize_t to, par_time deadline) PAR_MUST_CHECK;
#define PAR_LIST_END PTRDIFF_MAX

/* Sort, smallest first, equal items in their old order. Numbers are ordered among each other, as are strings, bytes, lists and
 * tuples.
 * Errors: those of every call; EINVAL two items have no order, and the list is as it was.
 * Safe: any thread, forked child. */
PAR_API int par_list_sort(par_list *list, par_time deadline);

/* Turn the order of the items round.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API int par_list_reverse(par_list *list, par_time deadline);

/* Remove all items.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API int par_list_clear(par_list *list, par_time deadline);

/* A copy of the whole list.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_list_copy(par_list *list, par_time deadline) PAR_MUST_CHECK;

/* Print the list as Python does, then a newline: "[1, 'two']\n", handed to stdio in one piece.
 * Errors: those of every call; EINVAL `file` is NULL; what writing to the file gives.
 * Safe: any thread, forked child. */
PAR_API int par_list_print(par_list *list, FILE *file, par_time deadline);

/* ---- dict: keys are numbers, strings, bytes, none, and tuples of such; 1, 1.0 and true are the same key, as in Python */

/* Free a dict proxy, as par_list_free.
 * Safe: any thread, forked child. */
PAR_API void par_dict_free(par_dict *dict);

/* A new, empty dict in the server. May be called in every process of the family.
 * Errors: those of every call; ENOSPC shared memory is full.
 * Safe: any thread, forked child. */
PAR_API par_dict *par_manager_dict(par_manager *manager, par_time deadline) PAR_MUST_CHECK PAR_RELEASED_BY(par_dict_free);

/* A copy of the value of `key`.
 * Errors: those of every call; ENOENT no such key; EINVAL it cannot be a key.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_get(par_dict *dict, par_obj *key, par_time deadline) PAR_MUST_CHECK;

/* Store `value` under `key`, replacing what was there.
 * Errors: those of every call; EINVAL it cannot be a key; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_dict_set(par_dict *dict, par_obj *key, par_obj *value, par_time deadline);

/* Remove `key` and its value.
 * Errors: those of every call; ENOENT no such key; EINVAL it cannot be a key.
 * Safe: any thread, forked child. */
PAR_API int par_dict_del(par_dict *dict, par_obj *key, par_time deadline);

/* Take the value of `key` out of the dict. A value too large for an answer stays (EMSGSIZE).
 * Errors: those of every call; ENOENT no such key; EINVAL it cannot be a key.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_pop(par_dict *dict, par_obj *key, par_time deadline) PAR_MUST_CHECK;

/* Is there such a key? 1 or 0.
 * Errors: those of every call; EINVAL it cannot be a key.
 * Safe: any thread, forked child. */
PAR_API int par_dict_contains(par_dict *dict, par_obj *key, par_time deadline);

/* The number of keys.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API ssize_t par_dict_len(par_dict *dict, par_time deadline);

/* The keys as a list, in the order in which they came.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_keys(par_dict *dict, par_time deadline) PAR_MUST_CHECK;

/* The values as a list, in the order of the keys.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_values(par_dict *dict, par_time deadline) PAR_MUST_CHECK;

/* A copy of the whole dict.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_copy(par_dict *dict, par_time deadline) PAR_MUST_CHECK;

/* Store all pairs of another dict, in one step.
 * Errors: those of every call; EINVAL `pairs` is not a dict; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_dict_update(par_dict *dict, par_obj *pairs, par_time deadline);

/* Remove all keys.
 * Errors: those of every call.
 * Safe: any thread, forked child. */
PAR_API int par_dict_clear(par_dict *dict, par_time deadline);

/* dict[key] += n in one step, so that many processes can count in one dict; a key that is not there yet counts from 0.
 * Errors: those of every call; EINVAL it cannot be a key, or its value is no number; EOVERFLOW the sum does not fit 64 bits, and
 * the value is as it was.
 * Safe: any thread, forked child. */
PAR_API int par_dict_add(par_dict *dict, par_obj *key, int64_t n, par_time deadline);

/* A copy of the value of `key`, which is `value` from now on if there is no such key.
 * Errors: those of every call; EINVAL it cannot be a key; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_dict_setdefault(par_dict *dict, par_obj *key, par_obj *value, par_time deadline) PAR_MUST_CHECK;

/* Store `value` under `key` if what is there equals `expected`: 1; or 0, and the dict is as it was. One step, so that of several
 * processes that have read the same value one alone replaces it.
 * Errors: those of every call; ENOENT no such key; EINVAL it cannot be a key; ELOOP nested too deep.
 * Safe: any thread, forked child. */
PAR_API int par_dict_replace(par_dict *dict, par_obj *key, par_obj *expected, par_obj *value, par_time deadline);

/* Print the dict as Python does, then a newline: "{'a': 1}\n", handed to stdio in one piece.
 * Errors: those of every call; EINVAL `file` is NULL; what writing to the file gives.
 * Safe: any thread, forked child. */
PAR_API int par_dict_print(par_dict *dict, FILE *file, par_time deadline);

/* ---- lists and dicts in lists and dicts */

/* A value that names the list, or the dict: put into another list or dict (or a message) it stands for the one in the server, which
 * lives on as long as a value there names it, also when its maker has freed it; so what is appended to it later is seen from there.
 * Errors: EINVAL (no such handle), ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_list_value(const par_list *list) PAR_MUST_CHECK;
PAR_API par_obj *par_dict_value(const par_dict *dict) PAR_MUST_CHECK;

/* A handle of the calling process to the list, or dict, that a value names (as par_list_get returned it, say). The value stays the
 * caller's.
 * Errors: those of every call; EINVAL also if the value names none, or one that is gone; ENOSPC shared memory is full.
 * Safe: any thread, forked child. */
PAR_API par_list *par_manager_list_of(par_manager *manager, const par_obj *value, par_time deadline) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_list_free);
PAR_API par_dict *par_manager_dict_of(par_manager *manager, const par_obj *value, par_time deadline) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_dict_free);

/* ---- objects of the program's own types */

/* As par_list_free.
 * Safe: any thread, forked child. */
PAR_API void par_proxy_free(par_proxy *proxy);

/* A new object of one of the server's types; `args`, a tuple, goes to its `create`.
 * Errors: those of every call; EINVAL also for an unknown type, and if args is no tuple; what `create` left in errno; ENOSPC shared
 * memory is full.
 * Safe: any thread, forked child. */
PAR_API par_proxy *par_manager_create(par_manager *manager, const char *type, par_obj *args, par_time deadline) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_proxy_free);

/* Call a method with a tuple of arguments: par_proxy_call(counter, "add", par_tuple(par_int(1)), PAR_FOREVER). What it returns is the
 * caller's; par_none() where there is nothing to tell.
 * Errors: those of every call; EINVAL also for an unknown method, and if args is no tuple; what the method left in errno.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_proxy_call(par_proxy *proxy, const char *method, par_obj *args, par_time deadline) PAR_MUST_CHECK;

/* As par_list_value and par_manager_list_of.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_proxy_value(const par_proxy *proxy) PAR_MUST_CHECK;
PAR_API par_proxy *par_manager_proxy_of(par_manager *manager, const par_obj *value, par_time deadline) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_proxy_free);

/* ---- queues and shared memory that the server keeps
 *
 * They are what par_queue_new and par_shared_alloc make, and are used in the same way and as fast, without asking the server; a lock,
 * semaphore, condition, event or barrier that is zeroed is ready:
 *
 *     par_lock *lock = par_manager_value(m, par_lock, PAR_FOREVER);
 *
 * But they are in the server's keeping: they can be named by values in lists and dicts, and outlive the process that asked for them. Each
 * of the calls that return one is a use of it; it is freed when all uses have ended and no value in the server names it, or by
 * par_manager_free. Uses of a process that was killed, and of a par_manager_queue_of or par_manager_shared_of that ended at its deadline,
 * last until then. par_queue_free does nothing with it, par_shared_free must not be called. If the server is killed, they stay as they
 * are until the family's last process ends. */

/* Errors: those of every call; those of par_queue_new, and of par_shared_alloc.
 * Safe: any thread, forked child. */
PAR_API par_queue *par_manager_queue(par_manager *manager, const struct par_queue_opts *opts, par_time deadline) PAR_MUST_CHECK;
PAR_API void *par_manager_shared(par_manager *manager, size_t n, size_t size, par_time deadline) PAR_MUST_CHECK;

/* One T, or n of them: par_manager_array(m, double, 100, PAR_FOREVER). */
#define par_manager_value(manager, T, deadline) ((T *)par_manager_shared((manager), 1, sizeof(T), (deadline)))
#define par_manager_array(manager, T, n, deadline) ((T *)par_manager_shared((manager), (n), sizeof(T), (deadline)))

/* End one use of it.
 * Errors: those of every call; ENOENT the server does not keep it.
 * Safe: any thread, forked child. */
PAR_API int par_manager_release(par_manager *manager, const void *kept, par_time deadline);

/* A value that names it, as par_list_value; and what a value names, as one more use.
 * Errors: those of every call; ENOENT the server does not keep it; EINVAL the value names none of the kind.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_manager_name(par_manager *manager, const void *kept, par_time deadline) PAR_MUST_CHECK;
PAR_API par_queue *par_manager_queue_of(par_manager *manager, const par_obj *value, par_time deadline) PAR_MUST_CHECK;
PAR_API void *par_manager_shared_of(par_manager *manager, const par_obj *value, par_time deadline) PAR_MUST_CHECK;

/* ---- namespace: names with values, as attributes in Python */

/* As par_list_free.
 * Safe: any thread, forked child. */
PAR_API void par_namespace_free(par_namespace *ns);

/* A new, empty namespace in the server.
 * Errors: those of every call; ENOSPC shared memory is full.
 * Safe: any thread, forked child. */
PAR_API par_namespace *par_manager_namespace(par_manager *manager, par_time deadline) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_namespace_free);

/* Set, get and delete what has this name.
 * Errors: those of every call; EINVAL also for an empty name, or one that is no UTF-8; ELOOP the value is nested too deep; get and del:
 * ENOENT there is none.
 * Safe: any thread, forked child. */
PAR_API int par_namespace_set(par_namespace *ns, const char *name, par_obj *value, par_time deadline);
PAR_API par_obj *par_namespace_get(par_namespace *ns, const char *name, par_time deadline) PAR_MUST_CHECK;
PAR_API int par_namespace_del(par_namespace *ns, const char *name, par_time deadline);

/* Print it and a newline as Python does, "Namespace(x=10, y='hello')", without names that begin with an underscore.
 * Errors: those of every call; EINVAL `file` is NULL; those of fwrite(3).
 * Safe: any thread, forked child. */
PAR_API int par_namespace_print(par_namespace *ns, FILE *file, par_time deadline);

PAR_END_DECLS

#endif
