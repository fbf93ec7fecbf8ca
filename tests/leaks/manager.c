/* SPDX-License-Identifier: MIT
 *
 * manager.c: servers, and proxies of one server.
 */
#include "leaks.h"

#include <stdlib.h>

static par_manager *manager;

static void *
new_note(const par_obj *args)
{
    (void)args;
    return calloc(1, 100);
}

static par_obj *
read_note(void *note, const par_obj *args)
{
    (void)args;
    return par_str(note);
}

static const par_manager_method note_methods[] = { { "read", read_note }, { NULL, NULL } };

static const par_manager_type types[] = {
    { .name = "Note", .create = new_note, .destroy = free, .methods = note_methods },
    { .name = NULL },
};

static void
start_manager(void)
{
    must((manager = par_manager_start(&(par_manager_opts){ .types = types })) != NULL);
}

static void
end_manager(void)
{
    par_manager_free(manager);
}

static void
cycle_list(void)
{
    par_list *list = par_manager_list(manager, soon());
    par_obj *item;

    must(list != NULL && par_list_append(list, par_int(7), soon()) == 0);
    must((item = par_list_pop(list, 0, soon())) != NULL);
    par_obj_free(item);
    par_list_free(list);
}

static void
cycle_dict(void)
{
    par_dict *dict = par_manager_dict(manager, soon());
    par_obj *value;

    must(dict != NULL && par_dict_set(dict, par_str("key"), par_int(7), soon()) == 0);
    must((value = par_dict_get(dict, par_str("key"), soon())) != NULL);
    par_obj_free(value);
    par_dict_free(dict);
}

static void
cycle_typed(void)
{
    par_proxy *note = par_manager_create(manager, "Note", par_tuple(), soon());
    par_obj *text;

    must(note != NULL && (text = par_proxy_call(note, "read", par_tuple(), soon())) != NULL);
    par_obj_free(text);
    par_proxy_free(note);
}

static void
cycle_kept(void)
{
    par_queue *queue = par_manager_queue(manager, &(par_queue_opts){ .capacity = 4096 }, soon());
    par_lock *lock = par_manager_value(manager, par_lock, soon());

    must(queue != NULL && par_queue_put(queue, "", 1, soon()) == 0);
    must(lock != NULL && par_lock_acquire(lock, soon()) == 0 && par_lock_release(lock) == 0);
    must(par_manager_release(manager, queue, soon()) == 0 && par_manager_release(manager, lock, soon()) == 0);
}

static void
cycle_manager(void)
{
    start_manager();
    cycle_list();
    cycle_dict();
    cycle_typed();
    cycle_kept();
    end_manager();
}

const struct subject manager_subjects[] = {
    { "manager", NULL, cycle_manager, NULL },
    { "list proxy", start_manager, cycle_list, end_manager },
    { "dict proxy", start_manager, cycle_dict, end_manager },
    { "proxy of a type", start_manager, cycle_typed, end_manager },
    { "queue and lock that are kept", start_manager, cycle_kept, end_manager },
    { NULL, NULL, NULL, NULL },
};
