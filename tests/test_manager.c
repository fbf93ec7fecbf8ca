/* SPDX-License-Identifier: MIT
 *
 * test_manager.c: the manager's server, its lists and dicts, what it makes of bad bytes, and deaths on every side.
 */
#include "fixture.h"

#include <par/manager.h>
#include <par/process.h>

#include "../libpar/manager/proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SOON par_in(20)

static par_manager *manager;
static par_list *list;
static par_dict *dict;

static void
begin(void)
{
    manager = par_manager_start(NULL);
    ck_assert_ptr_nonnull(manager);
}

static void
begin_list(void)
{
    begin();
    list = par_manager_list(manager, SOON);
    ck_assert_ptr_nonnull(list);
}

static void
begin_dict(void)
{
    begin();
    dict = par_manager_dict(manager, SOON);
    ck_assert_ptr_nonnull(dict);
}

static void
end(void)
{
    par_list_free(list);
    par_dict_free(dict);
    par_manager_free(manager);
    list = NULL;
    dict = NULL;
}

static pid_t
server_pid(void)
{
    struct pari_server server;

    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    pid_t pid = pari_member_pid(server.member);
    ck_assert_int_gt(pid, 0);
    return pid;
}

/* The object is freed; NULL prints as "?". */
static void
assert_obj(par_obj *obj, const char *repr)
{
    char *text = obj != NULL ? par_obj_repr(obj) : NULL;
    ck_assert_msg(text != NULL && strcmp(text, repr) == 0, "%s, not %s (errno %d)", text != NULL ? text : "NULL", repr, errno);
    free(text);
    par_obj_free(obj);
}

static void
assert_list(const char *repr)
{
    assert_obj(par_list_copy(list, SOON), repr);
}

static void
assert_dict(const char *repr)
{
    assert_obj(par_dict_copy(dict, SOON), repr);
}

/* A list of the integers 0 .. n-1. */
static par_obj *
range(int n)
{
    par_obj *obj = par_obj_list();
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_obj_append(obj, par_int(i)), 0);
    return obj;
}

static void
fill(int n)
{
    ck_assert_int_eq(par_list_extend(list, range(n), SOON), 0);
}

/* ---- the server's life */

START_TEST(a_manager_starts_and_ends)
{
    begin();
    ck_assert_int_eq(par_manager_address(manager)[0], '@');
    end();
}
END_TEST

START_TEST(two_managers_have_two_addresses)
{
    begin();
    par_manager *other = par_manager_start(NULL);
    ck_assert_ptr_nonnull(other);
    ck_assert_str_ne(par_manager_address(manager), par_manager_address(other));
    par_manager_free(other);
    end();
}
END_TEST

START_TEST(an_address_is_used_and_free_again_after_the_end)
{
    char address[64];
    snprintf(address, sizeof address, "@par-test-%d", (int)getpid());
    par_manager_opts opts = { .address = address };
    for (int i = 0; i < 3; i++) {
        manager = par_manager_start(&opts);
        ck_assert_ptr_nonnull(manager);
        ck_assert_str_eq(par_manager_address(manager), address);
        ck_fails_null(par_manager_start(&opts), EADDRINUSE);
        end();
    }
}
END_TEST

START_TEST(a_wrong_address_is_einval)
{
    char too_long[PARI_ADDRESS_SIZE + 1];
    memset(too_long, 'x', sizeof too_long);
    too_long[0] = '@';
    too_long[PARI_ADDRESS_SIZE] = '\0';
    const char *address[] = { "", "@", "name", "/tmp/name", "localhost:1", too_long };
    for (size_t i = 0; i < sizeof address / sizeof address[0]; i++)
        ck_fails_null(par_manager_start(&(par_manager_opts){ .address = address[i] }), EINVAL);
    too_long[PARI_ADDRESS_SIZE - 1] = '\0';
    manager = par_manager_start(&(par_manager_opts){ .address = too_long });
    ck_assert_ptr_nonnull(manager);
    ck_assert_str_eq(par_manager_address(manager), too_long);
    end();
}
END_TEST

static int
append_seven(void *arg)
{
    (void)arg;
    return par_list_append(list, par_int(7), SOON) == 0 ? 0 : errno;
}

START_TEST(values_outlive_the_process_that_put_them)
{
    begin_list();
    ck_assert_int_eq(fixture_in_child(append_seven, NULL), 0);
    assert_list("[7]");
    end();
}
END_TEST

START_TEST(freeing_nothing_keeps_errno)
{
    errno = 77;
    par_manager_free(NULL);
    par_list_free(NULL);
    par_dict_free(NULL);
    ck_assert_int_eq(errno, 77);
}
END_TEST

static int
free_all(void *arg)
{
    (void)arg;
    par_list_free(list);
    par_manager_free(manager);
    return par_list_append(list, par_int(1), SOON) == 0 ? 0 : errno;
}

START_TEST(free_in_another_process_does_nothing)
{
    begin_list();
    ck_assert_int_eq(fixture_in_child(free_all, NULL), 0);
    assert_list("[1]");
    end();
}
END_TEST

START_TEST(a_freed_handle_is_einval)
{
    begin_list();
    par_list *volatile freed_list = list; /* volatile: the compiler knows that free takes it away */
    par_manager *volatile freed_manager = manager;
    end();
    ck_fails(par_list_append(freed_list, par_int(1), SOON), EINVAL);
    ck_fails_null(par_manager_list(freed_manager, SOON), EINVAL);
    ck_fails_null(par_manager_address(freed_manager), EINVAL);
    par_list_free(freed_list);
    par_manager_free(freed_manager);
}
END_TEST

START_TEST(a_proxy_of_an_ended_manager_is_epipe)
{
    begin_list();
    par_list_append(list, par_int(1), SOON);
    par_manager_free(manager);
    manager = NULL;
    ck_fails(par_list_append(list, par_int(1), SOON), EPIPE);
    ck_fails_null(par_list_copy(list, PAR_FOREVER), EPIPE);
    end();
}
END_TEST

START_TEST(free_of_a_stopped_server_is_bounded)
{
    begin_list();
    ck_assert_int_eq(kill(server_pid(), SIGSTOP), 0);
    end();
}
END_TEST

static enum pari_call failing;
static int failures;

static int
fail_one(enum pari_call call)
{
    return call == failing && failures-- > 0 ? EMFILE : 0;
}

START_TEST(a_failed_start_is_an_errno_and_leaves_nothing)
{
    static const enum pari_call calls[] = { PARI_CALL_SOCKET, PARI_CALL_EPOLL, PARI_CALL_FORK, PARI_CALL_MALLOC };
    begin();
    end();
    size_t in_use = pari_heap_in_use();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        failing = calls[i];
        failures = 1;
        pari_fault_hook = fail_one;
        ck_fails_null(par_manager_start(NULL), EMFILE);
        pari_fault_hook = NULL;
        ck_assert_uint_eq(pari_heap_in_use(), in_use);
    }
}
END_TEST

START_TEST(everything_is_given_back)
{
    begin_list();
    end();
    size_t in_use = pari_heap_in_use();
    for (int i = 0; i < 20; i++) {
        begin_list();
        fill(3);
        end();
        ck_assert_uint_eq(pari_heap_in_use(), in_use);
    }
}
END_TEST

/* ---- list */

START_TEST(list_append_and_get)
{
    begin_list();
    ck_assert_int_eq(par_list_append(list, par_str("a"), SOON), 0);
    ck_assert_int_eq(par_list_append(list, par_tuple(par_int(1), par_float(2.5), par_none()), SOON), 0);
    assert_obj(par_list_get(list, 0, SOON), "'a'");
    assert_obj(par_list_get(list, -1, SOON), "(1, 2.5, None)");
    ck_fails_null(par_list_get(list, 2, SOON), ENOENT);
    ck_fails_null(par_list_get(list, -3, SOON), ENOENT);
    end();
}
END_TEST

START_TEST(list_extend_takes_lists_and_tuples)
{
    begin_list();
    fill(2);
    ck_assert_int_eq(par_list_extend(list, par_tuple(par_bool(true), par_bytes("x", 1)), SOON), 0);
    assert_list("[0, 1, True, b'x']");
    ck_fails(par_list_extend(list, par_int(3), SOON), EINVAL);
    assert_list("[0, 1, True, b'x']");
    end();
}
END_TEST

START_TEST(list_insert_before_an_index)
{
    begin_list();
    fill(2);
    ck_assert_int_eq(par_list_insert(list, 1, par_str("x"), SOON), 0);
    ck_assert_int_eq(par_list_insert(list, 99, par_str("y"), SOON), 0);
    ck_assert_int_eq(par_list_insert(list, -99, par_str("z"), SOON), 0);
    ck_assert_int_eq(par_list_insert(list, -1, par_str("w"), SOON), 0);
    assert_list("['z', 0, 'x', 1, 'w', 'y']");
    end();
}
END_TEST

START_TEST(list_set_replaces)
{
    begin_list();
    fill(3);
    ck_assert_int_eq(par_list_set(list, 0, par_str("a"), SOON), 0);
    ck_assert_int_eq(par_list_set(list, -1, par_str("c"), SOON), 0);
    assert_list("['a', 1, 'c']");
    ck_fails(par_list_set(list, 3, par_none(), SOON), ENOENT);
    ck_fails(par_list_set(list, -4, par_none(), SOON), ENOENT);
    end();
}
END_TEST

START_TEST(list_pop_takes_out)
{
    begin_list();
    fill(4);
    assert_obj(par_list_pop(list, -1, SOON), "3");
    assert_obj(par_list_pop(list, 0, SOON), "0");
    assert_list("[1, 2]");
    ck_fails_null(par_list_pop(list, 2, SOON), ENOENT);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    ck_fails_null(par_list_pop(list, -1, SOON), ENOENT);
    end();
}
END_TEST

START_TEST(list_remove_and_del)
{
    begin_list();
    fill(4);
    ck_assert_int_eq(par_list_remove(list, par_int(2), SOON), 0);
    ck_fails(par_list_remove(list, par_int(2), SOON), ENOENT);
    ck_assert_int_eq(par_list_del(list, -1, SOON), 0);
    ck_fails(par_list_del(list, 5, SOON), ENOENT);
    assert_list("[0, 1]");
    end();
}
END_TEST

START_TEST(list_index_count_contains_len)
{
    begin_list();
    fill(3);
    par_list_append(list, par_float(1.0), SOON);
    ck_assert_int_eq(par_list_index(list, par_int(1), SOON), 1);
    ck_fails(par_list_index(list, par_str("1"), SOON), ENOENT);
    ck_assert_int_eq(par_list_count(list, par_bool(true), SOON), 2);
    ck_assert_int_eq(par_list_count(list, par_str("x"), SOON), 0);
    ck_assert_int_eq(par_list_contains(list, par_int(2), SOON), 1);
    ck_assert_int_eq(par_list_contains(list, par_int(9), SOON), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 4);
    end();
}
END_TEST

START_TEST(list_slice_cuts_as_python_does)
{
    begin_list();
    fill(5);
    assert_obj(par_list_slice(list, 1, 3, SOON), "[1, 2]");
    assert_obj(par_list_slice(list, -2, PAR_LIST_END, SOON), "[3, 4]");
    assert_obj(par_list_slice(list, -99, 2, SOON), "[0, 1]");
    assert_obj(par_list_slice(list, 0, -1, SOON), "[0, 1, 2, 3]");
    assert_obj(par_list_slice(list, 3, 1, SOON), "[]");
    assert_obj(par_list_slice(list, 9, 12, SOON), "[]");
    end();
}
END_TEST

START_TEST(list_sort_and_reverse)
{
    begin_list();
    int value[] = { 3, 1, 2 };
    for (int i = 0; i < 3; i++)
        par_list_append(list, par_int(value[i]), SOON);
    ck_assert_int_eq(par_list_sort(list, SOON), 0);
    assert_list("[1, 2, 3]");
    ck_assert_int_eq(par_list_reverse(list, SOON), 0);
    assert_list("[3, 2, 1]");
    par_list_append(list, par_str("a"), SOON);
    ck_fails(par_list_sort(list, SOON), EINVAL);
    assert_list("[3, 2, 1, 'a']");
    end();
}
END_TEST

/* What `print` writes to a stream, in a static buffer. */
static const char *
printed(int (*print)(FILE *file))
{
    static char text[256];
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(print(file), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static int
print_list(FILE *file)
{
    return par_list_print(list, file, SOON);
}

static int
print_dict(FILE *file)
{
    return par_dict_print(dict, file, SOON);
}

START_TEST(list_print_writes_a_line)
{
    begin_list();
    ck_assert_str_eq(printed(print_list), "[]\n");
    par_list_append(list, par_int(7), SOON);
    par_list_append(list, par_str("it's"), SOON);
    ck_assert_str_eq(printed(print_list), "[7, \"it's\"]\n");
    FILE *closed = fopen("/dev/null", "re");
    ck_assert_int_eq(par_list_print(list, closed, SOON), -1);
    fclose(closed);
    ck_fails(par_list_print(list, NULL, SOON), EINVAL);
    end();
}
END_TEST

START_TEST(a_copy_does_not_change_the_list)
{
    begin_list();
    fill(1);
    par_obj *copy = par_list_copy(list, SOON);
    par_obj_append(copy, par_int(1));
    par_obj_free(copy);
    assert_list("[0]");
    end();
}
END_TEST

START_TEST(a_value_larger_than_socket_buffers)
{
    begin_list();
    size_t size = 8 << 20;
    unsigned char *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    ck_assert_int_eq(par_list_append(list, par_bytes(data, size), SOON), 0);
    par_obj *back = par_list_get(list, 0, SOON);
    size_t back_size;
    const void *back_data = par_obj_as_bytes(back, &back_size);
    ck_assert_uint_eq(back_size, size);
    ck_assert_int_eq(memcmp(back_data, data, size), 0);
    par_obj_free(back);
    free(data);
    end();
}
END_TEST

START_TEST(what_is_too_large_is_emsgsize_and_moves_nothing)
{
    begin_list();
    size_t half = PARI_FRAME_MAX / 2 + 1;
    char *data = calloc(2, half);
    ck_fails(par_list_append(list, par_bytes(data, 2 * half), SOON), EMSGSIZE);
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(par_list_append(list, par_bytes(data, half), SOON), 0);
    free(data);
    ck_fails_null(par_list_copy(list, SOON), EMSGSIZE);
    ck_assert_int_eq(par_list_len(list, SOON), 2);
    par_obj *out = par_list_pop(list, 0, SOON);
    ck_assert_uint_eq(par_obj_len(out), half);
    par_obj_free(out);
    end();
}
END_TEST

/* ---- dict */

START_TEST(dict_set_get_del)
{
    begin_dict();
    ck_assert_int_eq(par_dict_set(dict, par_str("a"), par_int(1), SOON), 0);
    ck_assert_int_eq(par_dict_set(dict, par_int(2), par_str("two"), SOON), 0);
    ck_assert_int_eq(par_dict_set(dict, par_str("a"), par_obj_list(), SOON), 0);
    assert_obj(par_dict_get(dict, par_str("a"), SOON), "[]");
    assert_obj(par_dict_get(dict, par_float(2.0), SOON), "'two'");
    ck_fails_null(par_dict_get(dict, par_str("b"), SOON), ENOENT);
    ck_assert_int_eq(par_dict_del(dict, par_str("a"), SOON), 0);
    ck_fails(par_dict_del(dict, par_str("a"), SOON), ENOENT);
    assert_dict("{2: 'two'}");
    end();
}
END_TEST

START_TEST(dict_pop_takes_out)
{
    begin_dict();
    par_dict_set(dict, par_str("a"), par_int(1), SOON);
    assert_obj(par_dict_pop(dict, par_str("a"), SOON), "1");
    ck_fails_null(par_dict_pop(dict, par_str("a"), SOON), ENOENT);
    end();
}
END_TEST

START_TEST(dict_contains_and_len)
{
    begin_dict();
    par_dict_set(dict, par_tuple(par_int(1), par_int(2)), par_none(), SOON);
    ck_assert_int_eq(par_dict_contains(dict, par_tuple(par_int(1), par_int(2)), SOON), 1);
    ck_assert_int_eq(par_dict_contains(dict, par_int(1), SOON), 0);
    ck_assert_int_eq(par_dict_len(dict, SOON), 1);
    end();
}
END_TEST

START_TEST(dict_keys_values_copy_in_order)
{
    begin_dict();
    par_dict_set(dict, par_str("b"), par_int(1), SOON);
    par_dict_set(dict, par_str("a"), par_int(2), SOON);
    assert_obj(par_dict_keys(dict, SOON), "['b', 'a']");
    assert_obj(par_dict_values(dict, SOON), "[1, 2]");
    assert_dict("{'b': 1, 'a': 2}");
    ck_assert_str_eq(printed(print_dict), "{'b': 1, 'a': 2}\n");
    ck_assert_int_eq(par_dict_clear(dict, SOON), 0);
    assert_dict("{}");
    end();
}
END_TEST

START_TEST(dict_update_stores_all_pairs)
{
    begin_dict();
    par_dict_set(dict, par_str("a"), par_int(1), SOON);
    par_obj *pairs = par_obj_dict();
    par_obj_set(pairs, par_str("a"), par_int(2));
    par_obj_set(pairs, par_str("b"), par_int(3));
    ck_assert_int_eq(par_dict_update(dict, pairs, SOON), 0);
    assert_dict("{'a': 2, 'b': 3}");
    ck_fails(par_dict_update(dict, par_int(1), SOON), EINVAL);
    end();
}
END_TEST

START_TEST(dict_add_counts)
{
    begin_dict();
    ck_assert_int_eq(par_dict_add(dict, par_str("n"), 2, SOON), 0);
    ck_assert_int_eq(par_dict_add(dict, par_str("n"), -5, SOON), 0);
    par_dict_set(dict, par_str("f"), par_float(0.5), SOON);
    ck_assert_int_eq(par_dict_add(dict, par_str("f"), 1, SOON), 0);
    par_dict_set(dict, par_str("max"), par_int(INT64_MAX), SOON);
    ck_fails(par_dict_add(dict, par_str("max"), 1, SOON), EOVERFLOW);
    par_dict_set(dict, par_str("s"), par_str("x"), SOON);
    ck_fails(par_dict_add(dict, par_str("s"), 1, SOON), EINVAL);
    assert_dict("{'n': -3, 'f': 1.5, 'max': 9223372036854775807, 's': 'x'}");
    end();
}
END_TEST

START_TEST(what_cannot_be_a_key_is_einval)
{
    begin_dict();
    ck_fails(par_dict_set(dict, par_obj_list(), par_int(1), SOON), EINVAL);
    ck_fails_null(par_dict_get(dict, par_obj_dict(), SOON), EINVAL);
    ck_fails_null(par_dict_pop(dict, par_obj_list(), SOON), EINVAL);
    ck_fails(par_dict_del(dict, par_obj_list(), SOON), EINVAL);
    ck_fails(par_dict_contains(dict, par_tuple(par_obj_list()), SOON), EINVAL);
    ck_fails(par_dict_add(dict, par_obj_list(), 1, SOON), EINVAL);
    assert_dict("{}");
    end();
}
END_TEST

/* ---- wrong use */

START_TEST(null_handles_are_einval)
{
    ck_fails_null(par_manager_list(NULL, SOON), EINVAL);
    ck_fails_null(par_manager_dict(NULL, SOON), EINVAL);
    ck_fails_null(par_manager_address(NULL), EINVAL);
    ck_fails(par_list_append(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_list_extend(NULL, par_obj_list(), SOON), EINVAL);
    ck_fails(par_list_insert(NULL, 0, par_int(1), SOON), EINVAL);
    ck_fails(par_list_set(NULL, 0, par_int(1), SOON), EINVAL);
    ck_fails_null(par_list_get(NULL, 0, SOON), EINVAL);
    ck_fails_null(par_list_pop(NULL, 0, SOON), EINVAL);
    ck_fails(par_list_remove(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_list_del(NULL, 0, SOON), EINVAL);
    ck_fails(par_list_index(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_list_count(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_list_contains(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_list_len(NULL, SOON), EINVAL);
    ck_fails_null(par_list_slice(NULL, 0, 1, SOON), EINVAL);
    ck_fails(par_list_sort(NULL, SOON), EINVAL);
    ck_fails(par_list_reverse(NULL, SOON), EINVAL);
    ck_fails(par_list_clear(NULL, SOON), EINVAL);
    ck_fails_null(par_list_copy(NULL, SOON), EINVAL);
    ck_fails(par_list_print(NULL, stdout, SOON), EINVAL);
}
END_TEST

START_TEST(null_dicts_are_einval)
{
    ck_fails_null(par_dict_get(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_dict_set(NULL, par_int(1), par_int(1), SOON), EINVAL);
    ck_fails(par_dict_del(NULL, par_int(1), SOON), EINVAL);
    ck_fails_null(par_dict_pop(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_dict_contains(NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_dict_len(NULL, SOON), EINVAL);
    ck_fails_null(par_dict_keys(NULL, SOON), EINVAL);
    ck_fails_null(par_dict_values(NULL, SOON), EINVAL);
    ck_fails_null(par_dict_copy(NULL, SOON), EINVAL);
    ck_fails(par_dict_update(NULL, par_obj_dict(), SOON), EINVAL);
    ck_fails(par_dict_clear(NULL, SOON), EINVAL);
    ck_fails(par_dict_add(NULL, par_int(1), 1, SOON), EINVAL);
    ck_fails(par_dict_print(NULL, stdout, SOON), EINVAL);
}
END_TEST

START_TEST(a_handle_of_another_kind_is_einval)
{
    begin_list();
    ck_fails_null(par_manager_list((par_manager *)list, SOON), EINVAL);
    ck_fails(par_dict_len((par_dict *)list, SOON), EINVAL);
    ck_fails(par_list_len((par_list *)manager, SOON), EINVAL);
    int on_the_stack[64] = { 0 };
    ck_fails(par_list_len((par_list *)(void *)on_the_stack, SOON), EINVAL);
    ck_fails(par_list_len((par_list *)((char *)list + 8), SOON), EINVAL);
    par_dict_free((par_dict *)list);
    par_manager_free((par_manager *)list);
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    end();
}
END_TEST

START_TEST(no_value_is_enomem)
{
    begin_list();
    ck_fails(par_list_append(list, NULL, SOON), ENOMEM);
    ck_fails(par_list_insert(list, 0, NULL, SOON), ENOMEM);
    ck_fails(par_list_index(list, NULL, SOON), ENOMEM);
    assert_list("[]");
    end();
}
END_TEST

START_TEST(a_value_that_is_part_of_another_is_einval)
{
    begin_list();
    par_obj *item = par_int(1), *owner = par_tuple(item);
    ck_fails(par_list_append(list, item, SOON), EINVAL);
    assert_obj(owner, "(1,)");
    end();
}
END_TEST

static par_obj *
nested(int levels)
{
    par_obj *obj = par_obj_list();
    for (int i = 1; i < levels; i++) {
        par_obj *outer = par_obj_list();
        ck_assert_int_eq(par_obj_append(outer, obj), 0);
        obj = outer;
    }
    return obj;
}

START_TEST(nested_too_deep_is_eloop)
{
    begin_list();
    ck_assert_int_eq(par_list_append(list, nested(PAR_OBJ_MAX_DEPTH - 2), SOON), 0);
    ck_fails(par_list_append(list, nested(PAR_OBJ_MAX_DEPTH - 1), SOON), ELOOP);
    ck_fails(par_list_append(list, nested(PAR_OBJ_MAX_DEPTH), SOON), ELOOP);
    ck_assert_int_eq(par_list_len(list, SOON), 1);
    par_obj *copy = par_list_copy(list, SOON);
    ck_assert_ptr_nonnull(copy);
    par_obj_free(copy);
    end();
}
END_TEST

START_TEST(nowait_asks_nothing)
{
    begin_list();
    ck_fails(par_list_append(list, par_int(1), PAR_NOWAIT), ETIMEDOUT);
    ck_fails_null(par_manager_list(manager, PAR_NOWAIT), ETIMEDOUT);
    assert_list("[]");
    end();
}
END_TEST

START_TEST(an_interrupted_call_is_eintr)
{
    begin_list();
    par_interrupt(true);
    ck_fails(par_list_len(list, SOON), EINTR);
    par_interrupt(false);
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    end();
}
END_TEST

START_TEST(a_deadline_passes_while_the_server_is_stopped)
{
    begin_list();
    fill(1);
    pid_t server = server_pid();
    kill(server, SIGSTOP);
    ck_fails(par_list_len(list, par_in(0.05)), ETIMEDOUT);
    ck_fails_null(par_list_get(list, 0, par_in(0.05)), ETIMEDOUT);
    ck_fails_null(par_manager_list(manager, par_in(0.05)), ETIMEDOUT);
    kill(server, SIGCONT);
    assert_list("[0]");
    end();
}
END_TEST

static int
fail_after_some(enum pari_call call)
{
    return call == failing && failures-- == 0 ? ENOMEM : 0;
}

/* The n-th request for memory fails, for every n until there are no more. */
START_TEST(memory_that_fails_anywhere_is_enomem)
{
    begin_list();
    int n = 0, appended = -1;
    failing = PARI_CALL_MALLOC;
    for (; appended != 0; n++) {
        failures = n;
        pari_fault_hook = fail_after_some;
        appended = par_list_append(list, par_str("value"), SOON);
        pari_fault_hook = NULL;
        ck_assert(appended == 0 || errno == ENOMEM);
    }
    ck_assert_int_gt(n, 3);
    ck_assert_int_le(par_list_len(list, SOON), n);
    ck_assert_int_ge(par_list_len(list, SOON), 1);
    end();
}
END_TEST

/* ---- bytes on the wire: a client made by hand */

static int
raw_connect(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *address = par_manager_address(manager);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    memcpy(to.sun_path + 1, address + 1, strlen(address) - 1);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))), 0);
    return fd;
}

static void
raw_send(int fd, const void *data, size_t size)
{
    unsigned char header[PARI_FRAME_HEADER];
    pari_frame_write_header(header, size);
    ck_assert_int_eq(send(fd, header, sizeof header, MSG_NOSIGNAL), sizeof header);
    ck_assert_int_eq(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

#define RAW_SEND(fd, literal) raw_send((fd), (literal), sizeof(literal) - 1)

/* The next answer; NULL at the end of the stream. */
static par_obj *
raw_receive(int fd)
{
    struct pari_inbox inbox = { 0 };
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    int whole;
    do {
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        whole = pari_inbox_receive(&inbox, fd);
    } while (whole == 0);
    size_t length = 0;
    const unsigned char *message = whole > 0 ? pari_inbox_message(&inbox, &length) : NULL;
    par_obj *reply = message != NULL ? pari_unpickle(message, length) : NULL;
    pari_inbox_clear(&inbox);
    return reply;
}

#define ACCEPT "\x80\x02(NX\x11\0\0\0accept_connectionX\x05\0\0\0C-cli\x85}t."

static int
raw_accepted(void)
{
    int fd = raw_connect();
    RAW_SEND(fd, ACCEPT);
    assert_obj(raw_receive(fd), "('#RETURN', None)");
    return fd;
}

START_TEST(requests_of_another_implementation_are_understood)
{
    begin();
    int fd = raw_connect();
    RAW_SEND(fd, "\x80\x02(NX\x06\0\0\0createX\x04\0\0\0list]K\1aK\2a\x86}t.");
    par_obj *reply = raw_receive(fd);
    const par_obj *made = par_obj_item(reply, 1);
    char request[128];
    const char *ident = par_obj_as_str(par_obj_item(made, 0), "");
    ck_assert_uint_gt(strlen(ident), 0);
    ck_assert_uint_gt(par_obj_len(par_obj_item(made, 1)), 10);
    ck_assert_ptr_null(raw_receive(fd)); /* one request, one answer */
    close(fd);
    fd = raw_accepted();
    size_t n = strlen(ident);
    memcpy(request, "\x80\x02(X", 4);
    memcpy(request + 4, (char[]){ (char)n, 0, 0, 0 }, 4);
    memcpy(request + 8, ident, n);
    memcpy(request + 8 + n, "X\x09\0\0\0#GETVALUE)}t.", 18);
    raw_send(fd, request, 8 + n + 18);
    assert_obj(raw_receive(fd), "('#RETURN', [1, 2])");
    close(fd);
    par_obj_free(reply);
    end();
}
END_TEST

START_TEST(an_unknown_request_is_a_traceback)
{
    begin();
    int fd = raw_connect();
    RAW_SEND(fd, "\x80\x02(NX\x04\0\0\0evil)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such request')");
    close(fd);
    fd = raw_accepted();
    RAW_SEND(fd, "\x80\x02(X\x04\0\0\0abcdX\x06\0\0\0append)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such object')");
    RAW_SEND(fd, "\x80\x02(NX\x06\0\0\0append)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such object')");
    close(fd);
    end();
}
END_TEST

START_TEST(a_global_is_refused_and_nothing_is_called)
{
    begin();
    int fd = raw_accepted();
    RAW_SEND(fd, "\x80\x02(cposix\nsystem\nX\x04\0\0\0true\x85R)}t.");
    par_obj *reply = raw_receive(fd);
    ck_assert_str_eq(par_obj_as_str(par_obj_item(reply, 0), ""), "#ERROR");
    par_obj_free(reply);
    close(fd);
    end();
}
END_TEST

START_TEST(bytes_without_sense_close_that_client_only)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        { "\xff\xff\xff\xff", 4 },         { "\x7f\xff\xff\xff", 4 },     { "\x04\0\0\1", 4 },
        { "\0\0\0\0", 4 },                 { "\0\0\0\1.", 5 },            { "\0\0\0\4\x80\x02K\1", 8 },
        { "\0\0\0\5\x80\x02K\1.", 9 },     { "\0\0\0\6\x80\x02NN\x86.", 10 }, { "GET / HTTP/1.0\r\n\r\n", 18 },
        { "\0\0\0\x0a\x80\x02(NNNNt.x", 14 },
    };
    begin_list();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fresh = raw_connect(), accepted = raw_accepted();
        ck_assert_int_eq(send(fresh, bad[i].bytes, bad[i].size, MSG_NOSIGNAL), (ssize_t)bad[i].size);
        ck_assert_int_eq(send(accepted, bad[i].bytes, bad[i].size, MSG_NOSIGNAL), (ssize_t)bad[i].size);
        ck_assert_ptr_null(raw_receive(fresh));
        ck_assert_ptr_null(raw_receive(accepted));
        close(fresh);
        close(accepted);
        ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    }
    ck_assert_int_eq(par_list_len(list, SOON), (int)(sizeof bad / sizeof bad[0]));
    end();
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
    begin_list();
    for (int round = 0; round < 300; round++) {
        unsigned char bytes[64] = ACCEPT;
        int fd = raw_connect();
        for (uint32_t i = 0, n = 1 + fixture_random_below(8); i < n; i++)
            bytes[fixture_random_below(sizeof ACCEPT)] = (unsigned char)fixture_random();
        raw_send(fd, bytes, sizeof ACCEPT - 1 - fixture_random_below(2));
        close(fd);
    }
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    assert_list("[1]");
    end();
}
END_TEST

START_TEST(half_a_message_makes_nobody_wait)
{
    begin_list();
    int slow[50];
    for (int i = 0; i < 50; i++) {
        slow[i] = i % 2 ? raw_accepted() : raw_connect();
        ck_assert_int_gt(send(slow[i], "\0\0\0\x20\x80\x02(", (size_t)(1 + i % 7), MSG_NOSIGNAL), 0);
    }
    fill(10);
    ck_assert_int_eq(par_list_len(list, SOON), 10);
    for (int i = 0; i < 50; i++)
        close(slow[i]);
    end();
}
END_TEST

/* A client that asks and never reads: its requests back up in its own socket, not in the server. */
START_TEST(a_client_that_never_reads_makes_nobody_wait)
{
    begin_list();
    char request[128];
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    size_t n = strlen(((struct pari_proxy *)list)->ident);
    char *big = calloc(1, 1 << 20);
    ck_assert_int_eq(par_list_append(list, par_bytes(big, 1 << 20), SOON), 0);
    free(big);
    memcpy(request, "\x80\x02(X", 4);
    memcpy(request + 4, (char[]){ (char)n, 0, 0, 0 }, 4);
    memcpy(request + 8, ((struct pari_proxy *)list)->ident, n);
    memcpy(request + 8 + n, "X\x09\0\0\0#GETVALUE)}t.", 18);
    int fd = raw_accepted();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    unsigned char frame[160];
    pari_frame_write_header(frame, 8 + n + 18);
    memcpy(frame + PARI_FRAME_HEADER, request, 8 + n + 18);
    for (int i = 0; i < 100000; i++)
        if (send(fd, frame, PARI_FRAME_HEADER + 8 + n + 18, MSG_NOSIGNAL) < 0)
            break;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(par_list_len(list, SOON), 1);
    close(fd);
    ck_assert_int_eq(par_list_len(list, SOON), 1);
    end();
}
END_TEST

START_TEST(requests_may_be_sent_ahead)
{
    begin();
    int fd = raw_connect();
    for (int i = 0; i < 200; i++)
        if (i == 0)
            RAW_SEND(fd, ACCEPT);
        else
            RAW_SEND(fd, "\x80\x02(X\1\0\0\0""0X\4\0\0\0evil)}t.");
    assert_obj(raw_receive(fd), "('#RETURN', None)");
    close(fd);
    end();
}
END_TEST

static int
count_objects(void)
{
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    par_obj *n = pari_client_control(&server, "number_of_objects", par_obj_tuple(0, NULL), SOON);
    int count = (int)par_obj_as_int(n, -1);
    par_obj_free(n);
    return count;
}

START_TEST(a_freed_proxy_drops_the_object)
{
    begin();
    for (int i = 0; i < 50; i++) {
        par_list *one = par_manager_list(manager, SOON);
        ck_assert_int_eq(par_list_append(one, par_int(i), SOON), 0);
        par_list_free(one);
    }
    while (count_objects() != 0) /* free does not wait for the server */
        ;
    end();
}
END_TEST

START_TEST(references_are_counted)
{
    begin_list();
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    const char *ident = ((struct pari_proxy *)list)->ident;
    assert_obj(pari_client_control(&server, "incref", par_tuple(par_str(ident)), SOON), "None");
    assert_obj(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), "None");
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    assert_obj(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), "None");
    ck_fails(par_list_len(list, SOON), EINVAL);
    ck_fails_null(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), EINVAL);
    end();
}
END_TEST

/* ---- many processes and threads */

static int
append_some(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++)
        if (par_list_append(list, par_int(i), SOON) != 0)
            return errno;
    return 0;
}

START_TEST(a_hundred_processes_append)
{
    begin_list();
    pid_t child[100];
    int n = 20;
    for (int i = 0; i < 100; i++)
        child[i] = fixture_fork(append_some, &n);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 2000);
    ck_assert_int_eq(par_list_count(list, par_int(19), SOON), 100);
    end();
}
END_TEST

static void *
thread_appends(void *arg)
{
    (void)arg;
    int n = 100;
    return append_some(&n) == 0 ? NULL : "failed";
}

START_TEST(threads_share_a_proxy)
{
    begin_list();
    pthread_t thread[8];
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_appends, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(par_list_len(list, SOON), 800);
    end();
}
END_TEST

static atomic_bool stop;

static void *
thread_appends_until_stopped(void *arg)
{
    while (!atomic_load(&stop))
        if (par_list_append(list, par_int(-1), SOON) != 0)
            return "failed";
    return arg;
}

/* The child finds the table of connections as its parent's other threads were using it. */
START_TEST(a_fork_in_the_middle_of_a_call)
{
    begin_list();
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_appends_until_stopped, NULL), 0);
    for (int i = 0; i < 50; i++) {
        int n = 5;
        ck_assert_int_eq(fixture_in_child(append_some, &n), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(par_list_count(list, par_int(4), SOON), 50);
    end();
}
END_TEST

static par_list **from_child;

static int
make_list(void *arg)
{
    (void)arg;
    *from_child = par_manager_list(manager, SOON);
    return *from_child != NULL && par_list_append(*from_child, par_str("child"), SOON) == 0 ? 0 : 1;
}

START_TEST(a_list_made_by_a_child_is_used_by_its_parent)
{
    begin();
    from_child = fixture_shared(sizeof *from_child);
    ck_assert_int_eq(fixture_in_child(make_list, NULL), 0);
    list = *from_child;
    assert_list("['child']");
    end();
}
END_TEST

static int
append_in_process(void *arg)
{
    return par_list_append(*(par_list **)arg, par_int(par_process_pid(par_process_current()) > 0), SOON) == 0 ? 0 : 1;
}

START_TEST(a_proxy_travels_as_an_argument)
{
    begin_list();
    par_process *child = par_process_start(append_in_process, &list, sizeof list, NULL);
    ck_assert_ptr_nonnull(child);
    ck_assert_int_eq(par_process_join(child, SOON), 0);
    ck_assert_int_eq(par_process_exitcode(child), 0);
    par_process_free(child);
    assert_list("[1]");
    end();
}
END_TEST

static int
add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        if (par_dict_add(dict, par_str("n"), 1, SOON) != 0)
            return errno;
    return 0;
}

START_TEST(processes_count_in_a_dict)
{
    begin_dict();
    pid_t child[8];
    for (int i = 0; i < 8; i++)
        child[i] = fixture_fork(add_many, NULL);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    assert_dict("{'n': 1600}");
    end();
}
END_TEST

/* ---- deaths */

struct progress {
    _Atomic int acknowledged; /* appends that have returned 0 */
    _Atomic int failed;
};

static struct progress *progress;
static int victim;

static int
append_until_killed(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        if (par_list_append(list, par_tuple(par_int(victim), par_int(i)), SOON) != 0) {
            atomic_store(&progress->failed, errno);
            return 1;
        }
        atomic_fetch_add(&progress->acknowledged, 1);
    }
}

/* What a killed client has appended: all that was acknowledged, at most one more, in order. */
static void
assert_appends_of(int client, int acknowledged)
{
    par_obj *all = par_list_copy(list, SOON);
    int n = (int)par_obj_len(all);
    ck_assert_int_ge(n, acknowledged);
    ck_assert_int_le(n, acknowledged + 1);
    for (int i = 0; i < n; i++) {
        const par_obj *item = par_obj_item(all, (size_t)i);
        ck_assert_int_eq(par_obj_as_int(par_obj_item(item, 0), -1), client);
        ck_assert_int_eq(par_obj_as_int(par_obj_item(item, 1), -1), i);
    }
    par_obj_free(all);
}

START_TEST(clients_killed_in_calls_harm_nobody)
{
    begin_list();
    progress = fixture_shared(sizeof *progress);
    for (victim = 0; victim < 300; victim++) {
        atomic_store(&progress->acknowledged, 0);
        pid_t child = fixture_fork(append_until_killed, NULL);
        fixture_kill_after_us(child, fixture_random_below(3000));
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
        ck_assert_int_eq(atomic_load(&progress->failed), 0);
        assert_appends_of(victim, atomic_load(&progress->acknowledged));
        ck_assert_int_eq(par_list_clear(list, SOON), 0);
    }
    ck_assert_int_eq(count_objects(), 1);
    end();
}
END_TEST

static int
append_until_epipe(void *arg)
{
    (void)arg;
    while (par_list_append(list, par_int(1), SOON) == 0)
        atomic_fetch_add(&progress->acknowledged, 1);
    return errno == EPIPE ? 0 : errno;
}

START_TEST(a_killed_server_is_epipe_for_all)
{
    progress = fixture_shared(sizeof *progress);
    for (int round = 0; round < 30; round++) {
        begin_list();
        pid_t child[3];
        for (int i = 0; i < 3; i++)
            child[i] = fixture_fork(append_until_epipe, NULL);
        fixture_kill_after_us(server_pid(), fixture_random_below(4000));
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(fixture_wait(child[i]), 0);
        ck_fails(par_list_len(list, PAR_FOREVER), EPIPE);
        end();
    }
}
END_TEST

static void *
thread_asks(void *arg)
{
    (void)arg;
    errno = 0;
    return par_list_len(list, PAR_FOREVER) == -1 && errno == EPIPE ? NULL : "not EPIPE";
}

START_TEST(a_call_that_waits_ends_when_the_server_dies)
{
    begin_list();
    pid_t server = server_pid();
    pthread_t thread[2];
    kill(server, SIGSTOP);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_asks, NULL), 0);
    ck_fails(par_list_len(list, par_in(0.02)), ETIMEDOUT);
    kill(server, SIGKILL);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    end();
}
END_TEST

static _Atomic pid_t *orphan;

static int
own_a_manager(void *arg)
{
    (void)arg;
    begin_list();
    fill(3);
    atomic_store(orphan, server_pid());
    pause();
    return 0;
}

START_TEST(the_server_ends_with_its_owner)
{
    fixture_expect_orphans();
    orphan = fixture_shared(sizeof *orphan);
    pid_t owner = fixture_fork(own_a_manager, NULL);
    while (atomic_load(orphan) == 0)
        usleep(1000);
    kill(owner, SIGKILL);
    ck_assert_int_eq(fixture_wait(owner), -SIGKILL);
}
END_TEST

START_TEST(sigint_does_not_end_the_server)
{
    begin_list();
    kill(server_pid(), SIGINT);
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    end();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("manager");

    TCase *life = fixture_case(suite, "the server's life");
    tcase_add_test(life, a_manager_starts_and_ends);
    tcase_add_test(life, two_managers_have_two_addresses);
    tcase_add_test(life, an_address_is_used_and_free_again_after_the_end);
    tcase_add_test(life, a_wrong_address_is_einval);
    tcase_add_test(life, values_outlive_the_process_that_put_them);
    tcase_add_test(life, freeing_nothing_keeps_errno);
    tcase_add_test(life, free_in_another_process_does_nothing);
    tcase_add_test(life, a_freed_handle_is_einval);
    tcase_add_test(life, a_proxy_of_an_ended_manager_is_epipe);
    tcase_add_test(life, free_of_a_stopped_server_is_bounded);
    tcase_add_test(life, a_failed_start_is_an_errno_and_leaves_nothing);
    tcase_add_test(life, everything_is_given_back);

    TCase *on_lists = fixture_case(suite, "list");
    tcase_add_test(on_lists, list_append_and_get);
    tcase_add_test(on_lists, list_extend_takes_lists_and_tuples);
    tcase_add_test(on_lists, list_insert_before_an_index);
    tcase_add_test(on_lists, list_set_replaces);
    tcase_add_test(on_lists, list_pop_takes_out);
    tcase_add_test(on_lists, list_remove_and_del);
    tcase_add_test(on_lists, list_index_count_contains_len);
    tcase_add_test(on_lists, list_slice_cuts_as_python_does);
    tcase_add_test(on_lists, list_sort_and_reverse);
    tcase_add_test(on_lists, list_print_writes_a_line);
    tcase_add_test(on_lists, a_copy_does_not_change_the_list);
    tcase_add_test(on_lists, a_value_larger_than_socket_buffers);
    tcase_add_test(on_lists, what_is_too_large_is_emsgsize_and_moves_nothing);

    TCase *on_dicts = fixture_case(suite, "dict");
    tcase_add_test(on_dicts, dict_set_get_del);
    tcase_add_test(on_dicts, dict_pop_takes_out);
    tcase_add_test(on_dicts, dict_contains_and_len);
    tcase_add_test(on_dicts, dict_keys_values_copy_in_order);
    tcase_add_test(on_dicts, dict_update_stores_all_pairs);
    tcase_add_test(on_dicts, dict_add_counts);
    tcase_add_test(on_dicts, what_cannot_be_a_key_is_einval);

    TCase *wrong_use = fixture_case(suite, "wrong use");
    tcase_add_test(wrong_use, null_handles_are_einval);
    tcase_add_test(wrong_use, null_dicts_are_einval);
    tcase_add_test(wrong_use, a_handle_of_another_kind_is_einval);
    tcase_add_test(wrong_use, no_value_is_enomem);
    tcase_add_test(wrong_use, a_value_that_is_part_of_another_is_einval);
    tcase_add_test(wrong_use, nested_too_deep_is_eloop);
    tcase_add_test(wrong_use, nowait_asks_nothing);
    tcase_add_test(wrong_use, an_interrupted_call_is_eintr);
    tcase_add_test(wrong_use, a_deadline_passes_while_the_server_is_stopped);
    tcase_add_test(wrong_use, memory_that_fails_anywhere_is_enomem);

    TCase *wire = fixture_case(suite, "bytes on the wire");
    tcase_add_test(wire, requests_of_another_implementation_are_understood);
    tcase_add_test(wire, an_unknown_request_is_a_traceback);
    tcase_add_test(wire, a_global_is_refused_and_nothing_is_called);
    tcase_add_test(wire, bytes_without_sense_close_that_client_only);
    tcase_add_test(wire, random_bytes_do_no_harm);
    tcase_add_test(wire, half_a_message_makes_nobody_wait);
    tcase_add_test(wire, a_client_that_never_reads_makes_nobody_wait);
    tcase_add_test(wire, requests_may_be_sent_ahead);
    tcase_add_test(wire, a_freed_proxy_drops_the_object);
    tcase_add_test(wire, references_are_counted);

    TCase *many = fixture_case(suite, "many processes and threads");
    tcase_add_test(many, a_hundred_processes_append);
    tcase_add_test(many, a_fork_in_the_middle_of_a_call);
    tcase_add_test(many, a_list_made_by_a_child_is_used_by_its_parent);
    tcase_add_test(many, a_proxy_travels_as_an_argument);
    tcase_add_test(many, processes_count_in_a_dict);

    /* The server is forked while there is one thread, which the thread sanitizer takes. */
    TCase *threads = fixture_thread_case(suite, "threads");
    tcase_add_test(threads, threads_share_a_proxy);

    TCase *deaths = fixture_case(suite, "deaths");
    tcase_add_test(deaths, clients_killed_in_calls_harm_nobody);
    tcase_add_test(deaths, a_killed_server_is_epipe_for_all);
    tcase_add_test(deaths, a_call_that_waits_ends_when_the_server_dies);
    tcase_add_test(deaths, the_server_ends_with_its_owner);
    tcase_add_test(deaths, sigint_does_not_end_the_server);

    return fixture_run(suite);
}
