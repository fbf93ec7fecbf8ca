/* SPDX-License-Identifier: MIT
 *
 * manager.c: servers, and proxies of one server.
 */
#include "leaks.h"

static par_manager *manager;

static void
start_manager(void)
{
    must((manager = par_manager_start(NULL)) != NULL);
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
cycle_manager(void)
{
    start_manager();
    cycle_list();
    cycle_dict();
    end_manager();
}

const struct subject manager_subjects[] = {
    { "manager", NULL, cycle_manager, NULL },
    { "list proxy", start_manager, cycle_list, end_manager },
    { "dict proxy", start_manager, cycle_dict, end_manager },
    { NULL, NULL, NULL, NULL },
};
