/* SPDX-License-Identifier: MIT
 *
 * manager.h: what the suites of the manager have in common: one manager, one list, one dict.
 */
#ifndef TESTS_MANAGER_H
#define TESTS_MANAGER_H

#include "fixture.h"

#include <par/manager.h>

#include "../libpar/manager/proxy.h"
#include "../libpar/shm/arena.h"

#include <poll.h>

#define SOON par_in(20)

static par_manager *manager;
static par_list *list;
static par_dict *dict;

static inline void
begin(void)
{
    manager = par_manager_start(NULL);
    ck_assert_ptr_nonnull(manager);
}

static inline void
begin_list(void)
{
    begin();
    list = par_manager_list(manager, SOON);
    ck_assert_ptr_nonnull(list);
}

static inline void
begin_dict(void)
{
    begin();
    dict = par_manager_dict(manager, SOON);
    ck_assert_ptr_nonnull(dict);
}

static inline void
end(void)
{
    par_list_free(list);
    par_dict_free(dict);
    par_manager_free(manager);
    list = NULL;
    dict = NULL;
}

static inline pid_t
server_pid(void)
{
    struct pari_server server;

    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    pid_t pid = pari_member_pid(server.member);
    ck_assert_int_gt(pid, 0);
    return pid;
}

/* The object is freed; NULL prints as "?". */
static inline void
assert_obj(par_obj *obj, const char *repr)
{
    char *text = obj != NULL ? par_obj_repr(obj) : NULL;
    ck_assert_msg(text != NULL && strcmp(text, repr) == 0, "%s, not %s (errno %d)", text != NULL ? text : "NULL", repr, errno);
    free(text);
    par_obj_free(obj);
}

static inline void
assert_list(const char *repr)
{
    assert_obj(par_list_copy(list, SOON), repr);
}

static inline void
assert_dict(const char *repr)
{
    assert_obj(par_dict_copy(dict, SOON), repr);
}

/* A list of the integers 0 .. n-1. */
static inline par_obj *
range(int n)
{
    par_obj *obj = par_obj_list();
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_obj_append(obj, par_int(i)), 0);
    return obj;
}

static inline void
fill(int n)
{
    int extended = par_list_extend(list, range(n), SOON);
    ck_assert_msg(extended == 0, "extend: %s", strerror(errno));
}

/* The server frees what a client shared with it when it comes to hear of its end. */
static inline void
assert_heap_becomes(size_t in_use)
{
    for (par_time start = par_now(); pari_heap_in_use() != in_use && par_since(start) < 20; poll(NULL, 0, 1))
        (void)pari_registry_sweep();
    ck_assert_uint_eq(pari_heap_in_use(), in_use);
}

#endif
