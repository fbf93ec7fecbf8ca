/* SPDX-License-Identifier: MIT
 *
 * test_obj.c: dynamic values: making, owning, reading, comparing and printing them, and what the manager's server does with them.
 */
#include "fixture.h"

#include "../libpar/object/object.h"

#include <math.h>

/* ---- helpers */

/* Takes obj over. */
static void
assert_repr(par_obj *obj, const char *expected)
{
    char *repr = par_obj_repr(obj);

    ck_assert_ptr_nonnull(repr);
    ck_assert_str_eq(repr, expected);
    free(repr);
    par_obj_free(obj);
}

static void
assert_still(const par_obj *obj, const char *expected)
{
    assert_repr(par_obj_copy(obj), expected);
}

/* Takes both over. */
static bool
are_equal(par_obj *a, par_obj *b)
{
    bool result = par_obj_equal(a, b);

    ck_assert(result == par_obj_equal(b, a));
    par_obj_free(a);
    par_obj_free(b);
    return result;
}

/* Takes both over. PARI_UNORDERED + 1: EINVAL. */
static int
order_of(par_obj *a, par_obj *b)
{
    int order = 0;

    errno = 0;
    if (pari_obj_order(a, b, &order) != 0) {
        ck_assert_int_eq(errno, EINVAL);
        order = PARI_UNORDERED + 1;
    }
    par_obj_free(a);
    par_obj_free(b);
    return order;
}

static par_obj *
list_of(int n, const int64_t *value)
{
    par_obj *list = par_obj_list();

    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_obj_append(list, par_int(value[i])), 0);
    return list;
}

#define ints(...) list_of(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ })

/* A list in a list, so many levels. */
static par_obj *
nested(int levels)
{
    par_obj *obj = par_int(0);

    while (levels-- > 0)
        obj = par_tuple(obj);
    return obj;
}

static bool
fill(par_obj *list)
{
    par_obj *dict = par_obj_dict();

    for (int i = 0; dict && i < 20; i++) {
        if (par_obj_set(dict, par_tuple(par_int(i), par_str("key")), par_bytes("\0\1", 2)) != 0) {
            par_obj_free(dict);
            return false;
        }
    }
    return par_obj_append(list, dict) == 0 &&
           par_obj_append(list, par_tuple(par_none(), par_bool(true), par_float(0.5))) == 0 &&
           par_obj_append(list, pari_obj_record("builtins.IndexError", par_tuple(par_str("no")))) == 0;
}

/* Something of everything, or NULL. */
static par_obj *
sample(void)
{
    par_obj *list = par_obj_list();

    if (list && fill(list))
        return list;
    par_obj_free(list);
    return NULL;
}

/* ---- allocations that fail */

static int n_allocations, failing_allocation;

static int
fail_one_allocation(enum pari_call call)
{
    return call == PARI_CALL_MALLOC && ++n_allocations == failing_allocation ? ENOMEM : 0;
}

/* Does the step succeed when allocation number n of it fails? It is not so many then. */
static bool
step_succeeds(bool (*step)(par_obj *arg), par_obj *arg, int n)
{
    bool result;

    n_allocations = 0;
    failing_allocation = n;
    pari_fault_hook = fail_one_allocation;
    errno = 0;
    result = step(arg);
    pari_fault_hook = NULL;
    if (!result)
        ck_assert_int_eq(errno, ENOMEM);
    return result;
}

/* Fail each allocation of the step in turn: it must say ENOMEM each time, and leave arg as it is. */
static void
assert_survives_no_memory(bool (*step)(par_obj *arg), par_obj *arg)
{
    char *before = arg ? par_obj_repr(arg) : NULL;
    int n = 1;

    while (!step_succeeds(step, arg, n++)) {
        if (arg)
            assert_still(arg, before);
        ck_assert_int_lt(n, 10000);
    }
    ck_assert_int_gt(n, 2);
    free(before);
    par_obj_free(arg);
}

/* ---- values */

START_TEST(values_read_back)
{
    par_obj *obj =
        par_tuple(par_none(), par_bool(true), par_int(INT64_MIN), par_float(0.5), par_str("h\xc3\xa9"), par_bytes("\0b", 2));
    size_t size = 0;

    ck_assert_int_eq(par_obj_type(obj), PAR_TUPLE);
    ck_assert_uint_eq(par_obj_len(obj), 6);
    ck_assert_int_eq(par_obj_type(par_obj_item(obj, 0)), PAR_NONE);
    ck_assert_int_eq(par_obj_as_int(par_obj_item(obj, 1), 7), 1);
    ck_assert_int_eq(par_obj_as_int(par_obj_item(obj, 2), 7), INT64_MIN);
    ck_assert_double_eq(par_obj_as_float(par_obj_item(obj, 3), 7), 0.5);
    ck_assert_str_eq(par_obj_as_str(par_obj_item(obj, 4), ""), "h\xc3\xa9");
    ck_assert_uint_eq(par_obj_len(par_obj_item(obj, 4)), 3);
    ck_assert_mem_eq(par_obj_as_bytes(par_obj_item(obj, 5), &size), "\0b", 2);
    ck_assert_uint_eq(size, 2);
    ck_assert_ptr_null(par_obj_item(obj, 6));
    par_obj_free(obj);
}
END_TEST

START_TEST(value_of_another_type_is_the_other_value)
{
    par_obj *text = par_str("5"), *number = par_int(5);
    size_t size = 9;

    ck_assert_int_eq(par_obj_as_int(text, -7), -7);
    ck_assert_double_eq(par_obj_as_float(text, -7), -7);
    ck_assert_double_eq(par_obj_as_float(number, -7), 5);
    ck_assert_str_eq(par_obj_as_str(number, "none"), "none");
    ck_assert_ptr_null(par_obj_as_bytes(text, &size));
    ck_assert_uint_eq(size, 0);
    ck_assert_uint_eq(par_obj_len(number), 0);
    ck_assert_ptr_null(par_obj_item(text, 0));
    ck_assert_ptr_null(par_obj_get(number, "key"));
    ck_assert_ptr_null(par_obj_record_name(number));
    par_obj_free(text);
    par_obj_free(number);
}
END_TEST

START_TEST(null_reads_as_nothing)
{
    size_t pos = 0;

    par_obj_free(NULL);
    ck_assert_int_eq(par_obj_type(NULL), -1);
    ck_assert_int_eq(par_obj_as_int(NULL, 3), 3);
    ck_assert_double_eq(par_obj_as_float(NULL, 3), 3);
    ck_assert_ptr_null(par_obj_as_str(NULL, NULL));
    ck_assert_ptr_null(par_obj_as_bytes(NULL, NULL));
    ck_assert_uint_eq(par_obj_len(NULL), 0);
    ck_assert_ptr_null(par_obj_item(NULL, 0));
    ck_assert_ptr_null(par_obj_get(NULL, "key"));
    ck_assert_ptr_null(par_obj_record_name(NULL));
    ck_assert(!par_obj_next(NULL, &pos, NULL, NULL));
    ck_assert(!par_obj_equal(NULL, NULL));
}
END_TEST

START_TEST(null_that_is_given_is_enomem)
{
    par_obj *list = par_obj_list(), *dict = par_obj_dict();

    ck_fails(par_obj_append(list, NULL), ENOMEM);
    ck_fails(par_obj_append(NULL, par_int(1)), ENOMEM);
    ck_fails(par_obj_set(dict, NULL, par_int(1)), ENOMEM);
    ck_fails(par_obj_set(dict, par_int(1), NULL), ENOMEM);
    ck_fails(par_obj_set(NULL, par_int(1), par_int(2)), ENOMEM);
    ck_fails_null(par_tuple(par_int(1), NULL, par_int(2)), ENOMEM);
    ck_fails_null(par_obj_copy(NULL), ENOMEM);
    ck_fails_null(par_obj_repr(NULL), ENOMEM);
    ck_fails(par_obj_print(NULL, stdout), ENOMEM);
    assert_repr(list, "[]");
    assert_repr(dict, "{}");
}
END_TEST

START_TEST(wrong_arguments_are_einval)
{
    par_obj *list = par_obj_list();
    const void *volatile nothing = NULL; /* the compiler would warn */

    ck_fails_null(par_str(NULL), EINVAL);
    ck_fails_null(par_bytes(nothing, 1), EINVAL);
    ck_fails_null(par_obj_tuple(1, NULL), EINVAL);
    ck_fails(par_obj_set(list, par_int(1), par_int(2)), EINVAL);
    ck_fails(par_obj_print(list, NULL), EINVAL);
    ck_assert_ptr_null(par_obj_get(list, NULL));
    assert_repr(list, "[]");
    list = par_int(1);
    ck_fails(par_obj_append(list, par_int(2)), EINVAL);
    par_obj_free(list);
}
END_TEST

START_TEST(sizes_that_nothing_can_have_are_refused)
{
    par_obj *one = par_int(1);

    ck_fails_null(par_obj_tuple(SIZE_MAX, &one), EOVERFLOW);
    ck_fails_null(par_obj_tuple(SIZE_MAX / sizeof one, &one), EOVERFLOW);
    ck_fails_null(par_bytes(one, PTRDIFF_MAX), ENOMEM);
    par_obj_free(one);
}
END_TEST

START_TEST(text_that_is_not_utf8_is_eilseq)
{
    static const char *const bad[] = {
        "\xff", "\xc3", "\xc3(", "\xc0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\x80", "\x80", "a\xe2\x82"
    };
    static const char *const good[] = { "", "\xc2\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\xa0\x80" };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_fails_null(par_str(bad[i]), EILSEQ);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        par_obj *text = par_str(good[i]);
        ck_assert_ptr_nonnull(text);
        par_obj_free(text);
    }
}
END_TEST

/* ---- ownership */

START_TEST(object_that_is_part_of_another_is_einval_and_stays)
{
    par_obj *volatile inner = par_obj_list(); /* the compiler would warn of its use after free, which leaves it alone here */
    par_obj *list = par_obj_list(), *dict = par_obj_dict(), *key = par_int(1);

    ck_assert_int_eq(par_obj_append(list, inner), 0);
    ck_fails(par_obj_append(list, inner), EINVAL);
    ck_fails_null(par_tuple(par_int(1), inner), EINVAL);
    ck_fails(par_obj_set(dict, par_int(1), inner), EINVAL);
    ck_assert_int_eq(par_obj_set(dict, key, par_int(2)), 0);
    ck_fails(par_obj_append(list, key), EINVAL);
    par_obj_free(inner);
    ck_assert_int_eq(par_obj_append(inner, par_int(5)), 0);
    assert_repr(list, "[[5]]");
    assert_repr(dict, "{1: 2}");
}
END_TEST

START_TEST(object_cannot_be_put_into_itself)
{
    par_obj *outer = par_obj_list(), *inner = par_obj_list(), *dict = par_obj_dict();

    ck_fails(par_obj_append(outer, outer), EINVAL);
    ck_assert_int_eq(par_obj_append(inner, dict), 0);
    ck_assert_int_eq(par_obj_append(outer, inner), 0);
    ck_fails(par_obj_append(inner, outer), EINVAL);
    ck_fails(par_obj_set(dict, par_int(1), outer), EINVAL);
    ck_fails(par_obj_set(dict, outer, par_int(1)), EINVAL);
    ck_fails(pari_obj_list_extend(inner, outer), EINVAL);
    ck_fails(pari_obj_list_extend(outer, outer), EINVAL);
    ck_fails(pari_obj_dict_update(dict, dict), EINVAL);
    assert_repr(outer, "[[{}]]");
}
END_TEST

START_TEST(one_object_given_twice_in_a_call_is_freed_once)
{
    par_obj *obj = par_str("twice"), *dict = par_obj_dict(), *tuple;

    ck_fails_null(par_tuple(obj, par_int(1), obj), EINVAL);
    obj = par_str("twice");
    ck_fails_null(par_tuple(NULL, obj, obj), ENOMEM);
    obj = par_str("twice");
    ck_fails(par_obj_set(dict, obj, obj), EINVAL);
    obj = par_int(1);
    tuple = par_tuple(obj);
    ck_fails(par_obj_set(dict, tuple, obj), EINVAL);
    obj = par_int(1);
    tuple = par_tuple(obj);
    ck_fails(par_obj_set(dict, obj, tuple), EINVAL);
    assert_repr(dict, "{}");
}
END_TEST

START_TEST(free_keeps_errno)
{
    errno = EXDEV;
    par_obj_free(sample());
    par_obj_free(NULL);
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(copy_is_equal_and_separate)
{
    par_obj *obj = sample(), *copy = par_obj_copy(obj);

    ck_assert(par_obj_equal(obj, copy));
    ck_assert_int_eq(par_obj_append(copy, par_int(1)), 0);
    ck_assert(!par_obj_equal(obj, copy));
    par_obj_free(obj);
    ck_assert_uint_eq(par_obj_len(copy), 4);
    par_obj_free(copy);
}
END_TEST

START_TEST(nesting_beyond_the_limit_is_eloop)
{
    par_obj *deepest = nested(PAR_OBJ_MAX_DEPTH), *list = par_obj_list(), *dict = par_obj_dict();

    ck_assert_ptr_nonnull(deepest);
    ck_fails(par_obj_append(list, par_obj_copy(deepest)), ELOOP);
    ck_fails(par_obj_set(dict, par_int(1), par_obj_copy(deepest)), ELOOP);
    ck_fails(par_obj_set(dict, par_obj_copy(deepest), par_int(1)), ELOOP);
    ck_fails_null(par_tuple(deepest), ELOOP);
    ck_assert_int_eq(par_obj_append(list, nested(PAR_OBJ_MAX_DEPTH - 1)), 0);
    ck_fails(par_obj_append(dict, list), EINVAL);
    assert_repr(par_obj_list(), "[]");
    assert_repr(dict, "{}");
}
END_TEST

START_TEST(what_was_taken_out_does_not_count_as_depth)
{
    par_obj *outer = par_obj_list(), *inner = par_obj_list(), *deep;

    ck_assert_int_eq(par_obj_append(outer, inner), 0);
    ck_fails(par_obj_append(inner, nested(PAR_OBJ_MAX_DEPTH - 1)), ELOOP);
    ck_assert_int_eq(par_obj_append(inner, nested(PAR_OBJ_MAX_DEPTH - 2)), 0);
    deep = pari_obj_list_pop(inner, -1);
    ck_assert_ptr_nonnull(deep);
    par_obj_free(deep);
    outer = par_tuple(outer);
    ck_assert_ptr_nonnull(outer);
    assert_repr(outer, "([[]],)");
}
END_TEST

static bool
build_sample(par_obj *arg)
{
    par_obj *obj = sample();

    (void)arg;
    par_obj_free(obj);
    return obj != NULL;
}

static bool
copy(par_obj *arg)
{
    par_obj *obj = par_obj_copy(arg);

    par_obj_free(obj);
    return obj != NULL;
}

static bool
repr(par_obj *arg)
{
    char *text = par_obj_repr(arg);

    free(text);
    return text != NULL;
}

static bool
sort(par_obj *arg)
{
    return pari_obj_list_sort(arg) == 0;
}

static bool
slice(par_obj *arg)
{
    par_obj *obj = pari_obj_list_slice(arg, 0, PTRDIFF_MAX);

    par_obj_free(obj);
    return obj != NULL;
}

static bool
extend(par_obj *arg)
{
    return pari_obj_list_extend(arg, par_tuple(par_int(8), par_int(9))) == 0;
}

static bool
keys(par_obj *arg)
{
    par_obj *obj = pari_obj_dict_keys(arg);

    par_obj_free(obj);
    return obj != NULL;
}

static bool
update(par_obj *arg)
{
    par_obj *pairs = par_obj_dict();

    for (int i = 0; pairs && i < 10; i++) {
        if (par_obj_set(pairs, par_int(i), par_int(-i)) != 0) {
            par_obj_free(pairs);
            pairs = NULL;
        }
    }
    return pari_obj_dict_update(arg, pairs) == 0;
}

START_TEST(no_memory_is_enomem_and_changes_nothing)
{
    par_obj *dict = par_obj_dict();

    ck_assert_int_eq(par_obj_set(dict, par_int(3), par_int(4)), 0);
    assert_survives_no_memory(build_sample, NULL);
    assert_survives_no_memory(copy, sample());
    assert_survives_no_memory(repr, sample());
    assert_survives_no_memory(sort, ints(3, 1, 2));
    assert_survives_no_memory(slice, ints(3, 1, 2, 4, 5, 6));
    assert_survives_no_memory(extend, ints(3, 1, 2));
    assert_survives_no_memory(keys, par_obj_copy(dict));
    assert_survives_no_memory(update, dict);
}
END_TEST

/* ---- list and tuple */

START_TEST(tuple_macro_takes_any_number)
{
    assert_repr(par_tuple(), "()");
    assert_repr(par_tuple(par_int(1)), "(1,)");
    assert_repr(par_tuple(par_int(1), par_tuple(), par_str("c")), "(1, (), 'c')");
    assert_repr(par_obj_tuple(0, NULL), "()");
}
END_TEST

START_TEST(list_grows_to_many_items)
{
    par_obj *list = par_obj_list();

    for (int i = 0; i < 100000; i++)
        ck_assert_int_eq(par_obj_append(list, par_int(i)), 0);
    ck_assert_uint_eq(par_obj_len(list), 100000);
    ck_assert_int_eq(par_obj_as_int(par_obj_item(list, 99999), -1), 99999);
    par_obj_free(list);
}
END_TEST

START_TEST(list_insert_stops_at_the_ends)
{
    par_obj *list = ints(1, 2);

    ck_assert_int_eq(pari_obj_list_insert(list, 0, par_str("first")), 0);
    ck_assert_int_eq(pari_obj_list_insert(list, -1, par_str("before last")), 0);
    ck_assert_int_eq(pari_obj_list_insert(list, 99, par_str("end")), 0);
    ck_assert_int_eq(pari_obj_list_insert(list, -99, par_str("start")), 0);
    assert_repr(list, "['start', 'first', 1, 'before last', 2, 'end']");
}
END_TEST

START_TEST(list_index_beyond_the_ends_is_enoent)
{
    par_obj *list = ints(1, 2);

    ck_fails(pari_obj_list_set(list, 2, par_int(0)), ENOENT);
    ck_fails(pari_obj_list_set(list, -3, par_int(0)), ENOENT);
    ck_fails(pari_obj_list_del(list, PTRDIFF_MAX), ENOENT);
    ck_fails_null(pari_obj_list_pop(list, -PTRDIFF_MAX - 1), ENOENT);
    ck_fails_null((void *)pari_obj_list_get(list, 2), ENOENT);
    ck_assert_int_eq(pari_obj_list_set(list, -1, par_str("two")), 0);
    ck_assert_int_eq(pari_obj_list_del(list, 0), 0);
    ck_assert_str_eq(par_obj_as_str(pari_obj_list_get(list, -1), ""), "two");
    assert_repr(pari_obj_list_pop(list, -1), "'two'");
    ck_fails_null(pari_obj_list_pop(list, -1), ENOENT);
    par_obj_free(list);
}
END_TEST

START_TEST(list_finds_and_removes_equal_items)
{
    par_obj *list = ints(5, 1, 5, 7), *five = par_float(5), *eight = par_int(8);

    ck_assert_int_eq(pari_obj_list_index(list, five), 0);
    ck_assert_int_eq(pari_obj_list_count(list, five), 2);
    ck_assert_int_eq(pari_obj_list_count(list, eight), 0);
    ck_assert_int_eq(pari_obj_list_remove(list, five), 0);
    ck_fails(pari_obj_list_index(list, eight), ENOENT);
    ck_fails(pari_obj_list_remove(list, eight), ENOENT);
    assert_repr(list, "[1, 5, 7]");
    par_obj_free(five);
    par_obj_free(eight);
}
END_TEST

START_TEST(list_slices_as_python_does)
{
    par_obj *list = ints(0, 1, 2, 3);

    assert_repr(pari_obj_list_slice(list, 1, 3), "[1, 2]");
    assert_repr(pari_obj_list_slice(list, -2, PTRDIFF_MAX), "[2, 3]");
    assert_repr(pari_obj_list_slice(list, -PTRDIFF_MAX, -3), "[0]");
    assert_repr(pari_obj_list_slice(list, 3, 1), "[]");
    par_obj_free(list);
}
END_TEST

START_TEST(list_extends_by_list_and_tuple)
{
    par_obj *list = ints(1);

    ck_assert_int_eq(pari_obj_list_extend(list, ints(2, 3)), 0);
    ck_assert_int_eq(pari_obj_list_extend(list, par_tuple(par_str("x"), par_tuple())), 0);
    ck_assert_int_eq(pari_obj_list_extend(list, par_obj_list()), 0);
    ck_fails(pari_obj_list_extend(list, par_str("abc")), EINVAL);
    ck_fails(pari_obj_list_extend(list, par_obj_dict()), EINVAL);
    ck_fails(pari_obj_list_extend(list, NULL), ENOMEM);
    ck_assert_int_eq(pari_obj_list_extend(list, nested(PAR_OBJ_MAX_DEPTH)), 0);
    ck_assert_int_eq(pari_obj_list_del(list, -1), 0);
    ck_assert_int_eq(pari_obj_list_reverse(list), 0);
    assert_still(list, "[(), 'x', 3, 2, 1]");
    ck_assert_int_eq(pari_obj_list_clear(list), 0);
    assert_repr(list, "[]");
}
END_TEST

START_TEST(list_operations_refuse_other_types)
{
    par_obj *dict = par_obj_dict(), *one = par_int(1);

    ck_fails(pari_obj_list_insert(dict, 0, par_int(1)), EINVAL);
    ck_fails(pari_obj_list_extend(dict, par_obj_list()), EINVAL);
    ck_fails(pari_obj_list_index(dict, one), EINVAL);
    ck_fails(pari_obj_list_count(dict, one), EINVAL);
    ck_fails(pari_obj_list_sort(dict), EINVAL);
    ck_fails(pari_obj_list_reverse(dict), EINVAL);
    ck_fails(pari_obj_list_clear(dict), EINVAL);
    ck_fails_null(pari_obj_list_slice(dict, 0, 1), EINVAL);
    ck_fails_null(pari_obj_list_pop(NULL, 0), ENOMEM);
    par_obj_free(dict);
    par_obj_free(one);
}
END_TEST

/* ---- sort */

START_TEST(sort_is_stable_and_right_for_any_length)
{
    for (int n = 0; n < 70; n++) {
        par_obj *list = par_obj_list();
        for (int i = 0; i < n; i++)
            ck_assert_int_eq(par_obj_append(list, par_tuple(par_int(fixture_random_below(8)), par_int(i))), 0);
        ck_assert_int_eq(pari_obj_list_sort(list), 0);
        for (int i = 1; i < n; i++) {
            int order;
            ck_assert_int_eq(pari_obj_order(par_obj_item(list, (size_t)i - 1), par_obj_item(list, (size_t)i), &order), 0);
            ck_assert_int_eq(order, PARI_LESS);
        }
        par_obj_free(list);
    }
}
END_TEST

START_TEST(sort_keeps_equal_items_in_order)
{
    par_obj *list = par_obj_list();

    ck_assert_int_eq(par_obj_append(list, par_float(1.0)), 0);
    ck_assert_int_eq(par_obj_append(list, par_int(0)), 0);
    ck_assert_int_eq(par_obj_append(list, par_int(1)), 0);
    ck_assert_int_eq(par_obj_append(list, par_bool(true)), 0);
    ck_assert_int_eq(pari_obj_list_sort(list), 0);
    assert_repr(list, "[0, 1.0, 1, True]");
}
END_TEST

START_TEST(sort_of_mixed_items_is_einval_and_changes_nothing)
{
    par_obj *list = ints(3, 2, 1);

    ck_assert_int_eq(par_obj_append(list, par_str("x")), 0);
    ck_assert_int_eq(par_obj_append(list, par_int(0)), 0);
    ck_fails(pari_obj_list_sort(list), EINVAL);
    assert_repr(list, "[3, 2, 1, 'x', 0]");
    list = par_obj_list();
    ck_assert_int_eq(par_obj_append(list, par_obj_dict()), 0);
    ck_assert_int_eq(pari_obj_list_sort(list), 0);
    par_obj_free(list);
}
END_TEST

/* ---- comparing */

START_TEST(numbers_compare_by_exact_value)
{
    int64_t big = INT64_C(1) << 53;

    ck_assert(are_equal(par_int(1), par_float(1)));
    ck_assert(are_equal(par_bool(true), par_float(1)));
    ck_assert(are_equal(par_int(0), par_float(-0.0)));
    ck_assert(!are_equal(par_int(big + 1), par_float((double)big)));
    ck_assert(!are_equal(par_int(INT64_MAX), par_float(9223372036854775808.0)));
    ck_assert(are_equal(par_int(INT64_MIN), par_float(-9223372036854775808.0)));
    ck_assert_int_eq(order_of(par_int(big + 1), par_float((double)big)), PARI_MORE);
    ck_assert_int_eq(order_of(par_float((double)big), par_int(big + 1)), PARI_LESS);
    ck_assert_int_eq(order_of(par_int(-1), par_float(-0.5)), PARI_LESS);
    ck_assert_int_eq(order_of(par_float(INFINITY), par_int(INT64_MAX)), PARI_MORE);
    ck_assert_int_eq(order_of(par_float(-INFINITY), par_int(INT64_MIN)), PARI_LESS);
    ck_assert_int_eq(order_of(par_bool(true), par_int(2)), PARI_LESS);
}
END_TEST

START_TEST(nan_equals_nothing)
{
    ck_assert(!are_equal(par_float(NAN), par_float(NAN)));
    ck_assert(!are_equal(par_tuple(par_float(NAN)), par_tuple(par_float(NAN))));
    ck_assert_int_eq(order_of(par_float(NAN), par_int(1)), PARI_UNORDERED);
    ck_assert_int_eq(order_of(par_int(1), par_float(NAN)), PARI_UNORDERED);
}
END_TEST

START_TEST(values_of_different_kinds_are_not_equal)
{
    ck_assert(!are_equal(par_str("1"), par_int(1)));
    ck_assert(!are_equal(par_str("a"), par_bytes("a", 1)));
    ck_assert(!are_equal(par_tuple(), par_obj_list()));
    ck_assert(!are_equal(par_none(), par_bool(false)));
    ck_assert(are_equal(par_none(), par_none()));
    ck_assert(!are_equal(par_str("ab"), par_str("abc")));
    ck_assert(are_equal(sample(), sample()));
    ck_assert_int_eq(order_of(par_str("a"), par_int(1)), PARI_UNORDERED + 1);
    ck_assert_int_eq(order_of(par_none(), par_none()), PARI_UNORDERED + 1);
    ck_assert_int_eq(order_of(par_obj_dict(), par_obj_dict()), PARI_UNORDERED + 1);
}
END_TEST

START_TEST(sequences_and_text_are_ordered_by_the_first_difference)
{
    ck_assert_int_eq(order_of(ints(1, 2), ints(1, 3)), PARI_LESS);
    ck_assert_int_eq(order_of(ints(1, 2), ints(1)), PARI_MORE);
    ck_assert_int_eq(order_of(par_tuple(par_none(), par_int(1)), par_tuple(par_none(), par_int(2))), PARI_LESS);
    ck_assert_int_eq(order_of(par_tuple(par_none()), par_tuple(par_int(2))), PARI_UNORDERED + 1);
    ck_assert_int_eq(order_of(par_str("ab"), par_str("abc")), PARI_LESS);
    ck_assert_int_eq(order_of(par_str("\xef\xbf\xbf"), par_str("\xf0\x90\x80\x80")), PARI_LESS);
    ck_assert_int_eq(order_of(par_bytes("\xff", 1), par_bytes("\0\0", 2)), PARI_MORE);
    ck_assert_int_eq(order_of(par_str(""), par_str("")), PARI_SAME);
}
END_TEST

/* ---- dict */

START_TEST(dict_keeps_the_order_of_its_keys)
{
    par_obj *dict = par_obj_dict();

    ck_assert_int_eq(par_obj_set(dict, par_str("b"), par_int(1)), 0);
    ck_assert_int_eq(par_obj_set(dict, par_str("a"), par_int(2)), 0);
    ck_assert_int_eq(par_obj_set(dict, par_str("b"), par_int(3)), 0);
    ck_assert_int_eq(par_obj_as_int(par_obj_get(dict, "b"), 0), 3);
    ck_assert_ptr_null(par_obj_get(dict, "c"));
    assert_repr(dict, "{'b': 3, 'a': 2}");
}
END_TEST

START_TEST(equal_numbers_are_one_key)
{
    par_obj *dict = par_obj_dict();

    ck_assert_int_eq(par_obj_set(dict, par_int(1), par_str("int")), 0);
    ck_assert_int_eq(par_obj_set(dict, par_bool(true), par_str("bool")), 0);
    ck_assert_int_eq(par_obj_set(dict, par_float(1.0), par_str("float")), 0);
    ck_assert_int_eq(par_obj_set(dict, par_str("1"), par_str("str")), 0);
    ck_assert_int_eq(par_obj_set(dict, par_bytes("1", 1), par_str("bytes")), 0);
    assert_repr(dict, "{1: 'float', '1': 'str', b'1': 'bytes'}");
}
END_TEST

START_TEST(containers_that_change_cannot_be_keys)
{
    par_obj *dict = par_obj_dict(), *list = par_obj_list();

    ck_fails(par_obj_set(dict, par_obj_list(), par_int(1)), EINVAL);
    ck_fails(par_obj_set(dict, par_obj_dict(), par_int(1)), EINVAL);
    ck_fails(par_obj_set(dict, par_tuple(par_int(1), par_obj_list()), par_int(1)), EINVAL);
    ck_assert_int_eq(par_obj_set(dict, par_tuple(par_none(), par_tuple()), par_int(1)), 0);
    ck_fails_null((void *)pari_obj_dict_find(dict, list), EINVAL);
    ck_fails(pari_obj_dict_del(dict, list), EINVAL);
    par_obj_free(list);
    assert_repr(dict, "{(None, ()): 1}");
}
END_TEST

START_TEST(dict_walks_all_pairs_in_order)
{
    par_obj *dict = par_obj_dict(), *key;
    const par_obj *k, *v;
    size_t pos = 0;

    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(par_obj_set(dict, par_int(i), par_int(-i)), 0);
    for (int i = 0; i < 100; i += 2) {
        key = par_int(i);
        ck_assert_int_eq(pari_obj_dict_del(dict, key), 0);
        ck_fails(pari_obj_dict_del(dict, key), ENOENT);
        par_obj_free(key);
    }
    for (int i = 1; i < 100; i += 2) {
        ck_assert(par_obj_next(dict, &pos, &k, &v));
        ck_assert_int_eq(par_obj_as_int(k, 0), i);
        ck_assert_int_eq(par_obj_as_int(v, 0), -i);
    }
    ck_assert(!par_obj_next(dict, &pos, &k, &v));
    ck_assert(!par_obj_next(dict, NULL, &k, &v));
    ck_assert_uint_eq(par_obj_len(dict), 50);
    par_obj_free(dict);
}
END_TEST

/* A model of the dict, small keys only: what it should hold. */
START_TEST(dict_is_right_after_many_random_changes)
{
    enum { N_KEYS = 200 };
    int model[N_KEYS] = { 0 }, n = 0;
    par_obj *dict = par_obj_dict();

    for (int round = 1; round < 50000; round++) {
        int k = (int)fixture_random_below(N_KEYS);
        par_obj *key = fixture_random_below(2) ? par_int(k) : par_float(k);
        if (fixture_random_below(2)) {
            n += model[k] == 0;
            model[k] = round;
            ck_assert_int_eq(par_obj_set(dict, par_obj_copy(key), par_int(round)), 0);
        } else if (model[k] != 0) {
            par_obj *value = pari_obj_dict_pop(dict, key);
            ck_assert_int_eq(par_obj_as_int(value, 0), model[k]);
            par_obj_free(value);
            model[k] = 0;
            n--;
        } else {
            ck_fails_null(pari_obj_dict_pop(dict, key), ENOENT);
        }
        ck_assert_int_eq(par_obj_as_int(pari_obj_dict_find(dict, key), 0), model[k]);
        ck_assert_int_eq((int)par_obj_len(dict), n);
        par_obj_free(key);
    }
    ck_assert(are_equal(par_obj_copy(dict), dict));
}
END_TEST

START_TEST(dict_finds_each_of_many_keys)
{
    par_obj *dict = par_obj_dict();
    char name[32];

    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "key number %d", i);
        ck_assert_int_eq(par_obj_set(dict, par_str(name), par_int(i)), 0);
    }
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "key number %d", i);
        ck_assert_int_eq(par_obj_as_int(par_obj_get(dict, name), -1), i);
    }
    par_obj_free(dict);
}
END_TEST

/* x, from x ^ x >> bits */
static uint64_t
unshift(uint64_t shifted, unsigned bits)
{
    uint64_t x = shifted;

    for (unsigned known = bits; known < 64; known += bits)
        x = shifted ^ x >> bits;
    return x;
}

/* x, from x * factor */
static uint64_t
unmultiply(uint64_t product, uint64_t factor)
{
    uint64_t inverse = factor;

    for (int i = 0; i < 6; i++)
        inverse *= 2 - factor * inverse;
    return product * inverse;
}

/* Multiplying and shifting, as hashes without a secret do, can be turned round: ints that would all have zeros at the end. */
START_TEST(keys_cannot_be_chosen_to_meet)
{
    bool seen[256] = { false };
    int n_places = 0;

    for (uint64_t i = 0; i < 4096; i++) {
        uint64_t x = unmultiply(unshift(unmultiply(unshift(i << 20, 29), 0xd6e8feb86659fd93), 32), 0x9e3779b97f4a7c15), hash;
        par_obj *key = par_int((int64_t)(x ^ PAR_INT));
        ck_assert(pari_obj_hash(key, &hash));
        n_places += !seen[hash & 255];
        seen[hash & 255] = true;
        par_obj_free(key);
    }
    ck_assert_int_gt(n_places, 200);
}
END_TEST

START_TEST(dict_update_moves_all_pairs)
{
    par_obj *dict = par_obj_dict(), *other = par_obj_dict();

    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(par_obj_set(i < 3 ? dict : other, par_int(i < 3 ? i : i - 1), par_int(i)), 0);
    ck_assert_int_eq(pari_obj_dict_update(dict, other), 0);
    ck_assert_int_eq(pari_obj_dict_update(dict, par_obj_dict()), 0);
    ck_fails(pari_obj_dict_update(dict, par_obj_list()), EINVAL);
    ck_fails(pari_obj_dict_update(dict, NULL), ENOMEM);
    assert_repr(pari_obj_dict_keys(dict), "[0, 1, 2, 3, 4]");
    assert_repr(pari_obj_dict_values(dict), "[0, 1, 3, 4, 5]");
    ck_assert_int_eq(pari_obj_dict_clear(dict), 0);
    assert_repr(dict, "{}");
}
END_TEST

START_TEST(dicts_are_equal_in_any_order)
{
    par_obj *a = par_obj_dict(), *b = par_obj_dict();

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(par_obj_set(a, par_int(i), par_str("x")), 0);
        ck_assert_int_eq(par_obj_set(b, par_int(19 - i), par_str("x")), 0);
    }
    ck_assert(par_obj_equal(a, b));
    ck_assert_int_eq(par_obj_set(b, par_int(0), par_str("y")), 0);
    ck_assert(!are_equal(a, b));
}
END_TEST

/* ---- records */

START_TEST(record_has_a_name_and_items)
{
    par_obj *record = pari_obj_record("builtins.KeyError", par_tuple(par_str("k"), par_int(2)));

    ck_assert_int_eq(par_obj_type(record), PAR_RECORD);
    ck_assert_str_eq(par_obj_record_name(record), "builtins.KeyError");
    ck_assert_uint_eq(par_obj_len(record), 2);
    ck_assert_str_eq(par_obj_as_str(par_obj_item(record, 0), ""), "k");
    ck_assert(pari_obj_is_exception(record));
    assert_repr(record, "KeyError('k', 2)");
    assert_repr(pari_obj_record("builtins.slice", par_tuple(par_int(1), par_none(), par_int(-1))), "slice(1, None, -1)");
    assert_repr(pari_obj_record("multiprocessing.managers.Token", par_tuple(par_str("list"), par_str("@a"), par_str("7f"))),
                "Token(typeid='list', address='@a', id='7f')");
}
END_TEST

START_TEST(record_of_an_unknown_name_is_einval)
{
    ck_fails_null(pari_obj_record("builtins.eval", par_tuple(par_str("1"))), EINVAL);
    ck_fails_null(pari_obj_record("IndexError", par_tuple()), EINVAL);
    ck_fails_null(pari_obj_record("", par_tuple()), EINVAL);
    ck_fails_null(pari_obj_record(NULL, par_tuple()), EINVAL);
    ck_fails_null(pari_obj_record("builtins.IndexError", par_obj_list()), EINVAL);
    ck_fails_null(pari_obj_record("builtins.IndexError", NULL), ENOMEM);
}
END_TEST

/* ---- printing */

static const struct {
    double value;
    const char *repr;
} floats[] = {
    { 1, "1.0" },
    { -0.0, "-0.0" },
    { 0.1, "0.1" },
    { 0.1 + 0.2, "0.30000000000000004" },
    { 1e15, "1000000000000000.0" },
    { 1e16, "1e+16" },
    { 123456789012345680.0, "1.2345678901234568e+17" },
    { 1e-4, "0.0001" },
    { 1e-5, "1e-05" },
    { 1.5e-7, "1.5e-07" },
    { 1e22, "1e+22" },
    { 1e300, "1e+300" },
    { 5e-324, "5e-324" },
    { 1.7976931348623157e308, "1.7976931348623157e+308" },
    { 2.2250738585072014e-308, "2.2250738585072014e-308" },
    { 0x1p-44, "5.684341886080802e-14" }, /* the nearest decimal of 16 digits is another double */
    { 9007199254740993.0, "9007199254740992.0" },
    { INFINITY, "inf" },
    { -INFINITY, "-inf" },
    { NAN, "nan" },
};

START_TEST(floats_print_as_python_prints_them)
{
    assert_repr(par_float(floats[_i].value), floats[_i].repr);
}
END_TEST

static const struct {
    const char *text;
    const char *repr;
} texts[] = {
    { "", "''" },
    { "plain", "'plain'" },
    { "it's", "\"it's\"" },
    { "\"q\"", "'\"q\"'" },
    { "'\"", "'\\'\"'" },
    { "a\\b", "'a\\\\b'" },
    { "\n\r\t\a\x7f", "'\\n\\r\\t\\x07\\x7f'" },
    { "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80", "'h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80'" },
    { "\xc2\x85\xc2\xa0\xc2\xad", "'\\x85\\xa0\\xad'" },
    { "\xe2\x80\x8b\xef\xbb\xbf\xe3\x80\x80", "'\\u200b\\ufeff\\u3000'" },
    { "\xed\xa0\x80", "'\\ud800'" },
    { "\xf3\xa0\x80\x81\xf4\x8f\xbf\xbf", "'\\U000e0001\\U0010ffff'" },
};

START_TEST(text_prints_as_python_prints_it)
{
    assert_repr(par_str(texts[_i].text), texts[_i].repr);
}
END_TEST

START_TEST(everything_prints_as_python_prints_it)
{
    assert_repr(par_tuple(par_none(), par_bool(true), par_bool(false)), "(None, True, False)");
    assert_repr(par_int(INT64_MIN), "-9223372036854775808");
    assert_repr(par_bytes("a'\0\n\xff\\", 6), "b\"a'\\x00\\n\\xff\\\\\"");
    assert_repr(par_bytes("'\"", 2), "b'\\'\"'");
    assert_repr(ints(1, 4, 9, 16), "[1, 4, 9, 16]");
    assert_repr(pari_obj_str("a\0b", 3), "'a\\x00b'");
}
END_TEST

START_TEST(print_writes_no_newline)
{
    char text[32] = "";
    FILE *file = fmemopen(text, sizeof text, "w");
    par_obj *list = ints(1, 4);

    ck_assert_int_eq(par_obj_print(list, file), 0);
    ck_assert_int_eq(par_obj_print(list, file), 0);
    fclose(file);
    ck_assert_str_eq(text, "[1, 4][1, 4]");
    par_obj_free(list);
}
END_TEST

START_TEST(print_to_a_full_device_fails)
{
    FILE *full = fopen("/dev/full", "we");
    par_obj *list = ints(1, 4);

    ck_assert_ptr_nonnull(full);
    setvbuf(full, NULL, _IONBF, 0);
    ck_fails(par_obj_print(list, full), ENOSPC);
    fclose(full);
    par_obj_free(list);
}
END_TEST

/* ---- suite */

static void
add_values(Suite *suite)
{
    TCase *values = fixture_case(suite, "values"), *owning = fixture_case(suite, "ownership");

    tcase_add_test(values, values_read_back);
    tcase_add_test(values, value_of_another_type_is_the_other_value);
    tcase_add_test(values, null_reads_as_nothing);
    tcase_add_test(values, null_that_is_given_is_enomem);
    tcase_add_test(values, wrong_arguments_are_einval);
    tcase_add_test(values, sizes_that_nothing_can_have_are_refused);
    tcase_add_test(values, text_that_is_not_utf8_is_eilseq);
    tcase_add_test(owning, object_that_is_part_of_another_is_einval_and_stays);
    tcase_add_test(owning, object_cannot_be_put_into_itself);
    tcase_add_test(owning, one_object_given_twice_in_a_call_is_freed_once);
    tcase_add_test(owning, free_keeps_errno);
    tcase_add_test(owning, copy_is_equal_and_separate);
    tcase_add_test(owning, nesting_beyond_the_limit_is_eloop);
    tcase_add_test(owning, what_was_taken_out_does_not_count_as_depth);
    tcase_add_test(owning, no_memory_is_enomem_and_changes_nothing);
}

static void
add_lists(Suite *suite)
{
    TCase *lists = fixture_case(suite, "list"), *comparing = fixture_case(suite, "comparing");

    tcase_add_test(lists, tuple_macro_takes_any_number);
    tcase_add_test(lists, list_grows_to_many_items);
    tcase_add_test(lists, list_insert_stops_at_the_ends);
    tcase_add_test(lists, list_index_beyond_the_ends_is_enoent);
    tcase_add_test(lists, list_finds_and_removes_equal_items);
    tcase_add_test(lists, list_slices_as_python_does);
    tcase_add_test(lists, list_extends_by_list_and_tuple);
    tcase_add_test(lists, list_operations_refuse_other_types);
    tcase_add_test(comparing, sort_is_stable_and_right_for_any_length);
    tcase_add_test(comparing, sort_keeps_equal_items_in_order);
    tcase_add_test(comparing, sort_of_mixed_items_is_einval_and_changes_nothing);
    tcase_add_test(comparing, numbers_compare_by_exact_value);
    tcase_add_test(comparing, nan_equals_nothing);
    tcase_add_test(comparing, values_of_different_kinds_are_not_equal);
    tcase_add_test(comparing, sequences_and_text_are_ordered_by_the_first_difference);
}

static void
add_dicts(Suite *suite)
{
    TCase *dicts = fixture_case(suite, "dict"), *printing = fixture_case(suite, "printing");

    tcase_add_test(dicts, dict_keeps_the_order_of_its_keys);
    tcase_add_test(dicts, equal_numbers_are_one_key);
    tcase_add_test(dicts, containers_that_change_cannot_be_keys);
    tcase_add_test(dicts, dict_walks_all_pairs_in_order);
    tcase_add_test(dicts, dict_is_right_after_many_random_changes);
    tcase_add_test(dicts, dict_finds_each_of_many_keys);
    tcase_add_test(dicts, keys_cannot_be_chosen_to_meet);
    tcase_add_test(dicts, dict_update_moves_all_pairs);
    tcase_add_test(dicts, dicts_are_equal_in_any_order);
    tcase_add_test(dicts, record_has_a_name_and_items);
    tcase_add_test(dicts, record_of_an_unknown_name_is_einval);
    tcase_add_loop_test(printing, floats_print_as_python_prints_them, 0, sizeof floats / sizeof *floats);
    tcase_add_loop_test(printing, text_prints_as_python_prints_it, 0, sizeof texts / sizeof *texts);
    tcase_add_test(printing, everything_prints_as_python_prints_it);
    tcase_add_test(printing, print_writes_no_newline);
    tcase_add_test(printing, print_to_a_full_device_fails);
}

int
main(void)
{
    Suite *suite = fixture_suite("obj");

    add_values(suite);
    add_lists(suite);
    add_dicts(suite);
    return fixture_run(suite);
}
