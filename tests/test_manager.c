/* SPDX-License-Identifier: MIT
 *
 * test_manager.c: starting and ending a manager, its lists and dicts, and wrong use.
 */
#include "manager.h"

#include <signal.h>

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
    too_long[snprintf(too_long, sizeof too_long, "@%d", (int)getpid())] = 'x'; /* several runs may go on at a time */
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

START_TEST(dict_setdefault_and_replace_are_one_step)
{
    begin_dict();
    assert_obj(par_dict_setdefault(dict, par_str("a"), par_int(1), SOON), "1");
    assert_obj(par_dict_setdefault(dict, par_str("a"), par_int(2), SOON), "1");
    ck_assert_int_eq(par_dict_replace(dict, par_str("a"), par_int(2), par_int(3), SOON), 0);
    ck_assert_int_eq(par_dict_replace(dict, par_str("a"), par_float(1.0), par_tuple(par_int(3)), SOON), 1);
    assert_dict("{'a': (3,)}");
    ck_fails(par_dict_replace(dict, par_str("b"), par_int(2), par_int(3), SOON), ENOENT);
    ck_fails(par_dict_replace(dict, par_obj_list(), par_int(2), par_int(3), SOON), EINVAL);
    ck_fails_null(par_dict_setdefault(dict, par_obj_list(), par_int(2), SOON), EINVAL);
    ck_fails_null(par_dict_setdefault(dict, par_str("b"), NULL, SOON), ENOMEM);
    assert_dict("{'a': (3,)}");
    end();
}
END_TEST

static int
count_by_replacing(void *arg)
{
    (void)arg;
    for (int done = 0; done < 50;) {
        par_obj *old = par_dict_get(dict, par_str("n"), SOON);
        int64_t n = par_obj_as_int(old, -1);
        int won = par_dict_replace(dict, par_str("n"), old, par_int(n + 1), SOON);
        if (n < 0 || won < 0)
            return 1;
        done += won;
    }
    return 0;
}

START_TEST(one_alone_replaces_what_several_have_read)
{
    begin_dict();
    pid_t child[3];
    ck_assert_int_eq(par_dict_set(dict, par_str("n"), par_int(0), SOON), 0);
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(count_by_replacing, NULL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    assert_dict("{'n': 150}");
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

/* ---- objects that name others */

START_TEST(list_in_a_list_sees_what_comes_later)
{
    begin_list();
    par_list *inner = par_manager_list(manager, SOON), *again;
    par_obj *value;
    ck_assert_ptr_nonnull(inner);
    ck_assert_int_eq(par_list_append(list, par_list_value(inner), SOON), 0);
    ck_assert_int_eq(par_list_append(inner, par_str("hello"), SOON), 0);
    par_list_free(inner); /* it is named by the other one */
    value = par_list_get(list, 0, SOON);
    again = par_manager_list_of(manager, value, SOON);
    ck_assert_ptr_nonnull(again);
    ck_assert_int_eq(par_list_append(again, par_int(1), SOON), 0);
    par_obj *copy = par_list_copy(again, SOON);
    char *text = par_obj_repr(copy);
    ck_assert_str_eq(text, "['hello', 1]");
    free(text);
    par_obj_free(copy);
    par_list_free(again);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    par_list *other = par_manager_list(manager, SOON);
    par_list_free(other); /* a moment to look for what is named by nobody */
    again = par_manager_list_of(manager, value, SOON);
    ck_assert_ptr_null(again);
    ck_assert_int_eq(errno, EINVAL);
    par_obj_free(value);
    end();
}
END_TEST

START_TEST(dicts_name_each_other_in_a_ring)
{
    begin_list();
    par_dict *a = par_manager_dict(manager, SOON), *b = par_manager_dict(manager, SOON);
    ck_assert_int_eq(par_dict_set(a, par_str("b"), par_tuple(par_int(1), par_dict_value(b)), SOON), 0);
    ck_assert_int_eq(par_dict_set(b, par_str("a"), par_dict_value(a), SOON), 0);
    par_dict_free(b);
    par_obj *pair = par_dict_get(a, par_str("b"), SOON);
    b = par_manager_dict_of(manager, par_obj_item(pair, 1), SOON);
    ck_assert_ptr_nonnull(b);
    ck_assert_int_eq(par_dict_len(b, SOON), 1);
    ck_assert_ptr_null(par_manager_list_of(manager, par_obj_item(pair, 1), SOON));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(par_manager_dict_of(manager, par_obj_item(pair, 0), SOON));
    par_dict_free(a);
    par_dict_free(b); /* nobody else names them now: both are dropped */
    par_list *other = par_manager_list(manager, SOON);
    par_list_free(other);
    ck_assert_ptr_null(par_manager_dict_of(manager, par_obj_item(pair, 1), SOON));
    par_obj_free(pair);
    end();
}
END_TEST

/* ---- namespace */

START_TEST(namespace_has_attributes)
{
    begin_list();
    par_namespace *ns = par_manager_namespace(manager, SOON);
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(ns);
    ck_assert_int_eq(par_namespace_set(ns, "x", par_int(10), SOON), 0);
    ck_assert_int_eq(par_namespace_set(ns, "y", par_str("hello"), SOON), 0);
    ck_assert_int_eq(par_namespace_set(ns, "_z", par_float(12.3), SOON), 0);
    par_obj *x = par_namespace_get(ns, "x", SOON);
    ck_assert_int_eq(par_obj_as_int(x, 0), 10);
    par_obj_free(x);
    ck_assert_int_eq(par_namespace_print(ns, file, SOON), 0);
    ck_assert_int_eq(par_namespace_del(ns, "x", SOON), 0);
    ck_fails(par_namespace_del(ns, "x", SOON), ENOENT);
    ck_fails_null(par_namespace_get(ns, "x", SOON), ENOENT);
    ck_fails_null(par_namespace_get(ns, "", SOON), EINVAL);
    ck_fails(par_namespace_set(ns, NULL, par_int(1), SOON), EINVAL);
    ck_fails(par_namespace_set(NULL, "x", par_int(1), SOON), EINVAL);
    ck_fails(par_namespace_print(ns, NULL, SOON), EINVAL);
    fclose(file);
    ck_assert_str_eq(text, "Namespace(x=10, y='hello')\n");
    free(text);
    par_namespace_free(ns);
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
    tcase_add_test(on_dicts, dict_setdefault_and_replace_are_one_step);
    tcase_add_test(on_dicts, one_alone_replaces_what_several_have_read);
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
    tcase_add_test(wrong_use, list_in_a_list_sees_what_comes_later);
    tcase_add_test(wrong_use, dicts_name_each_other_in_a_ring);
    tcase_add_test(wrong_use, namespace_has_attributes);
    tcase_add_test(wrong_use, nowait_asks_nothing);
    tcase_add_test(wrong_use, an_interrupted_call_is_eintr);
    tcase_add_test(wrong_use, a_deadline_passes_while_the_server_is_stopped);
    tcase_add_test(wrong_use, memory_that_fails_anywhere_is_enomem);

    return fixture_run(suite);
}
