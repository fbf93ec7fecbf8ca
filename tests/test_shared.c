/* SPDX-License-Identifier: MIT
 *
 * test_shared.c: values, arrays and strings: plain C pointers that mean the same in every process.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>

#include "../libpar/shm/shm.h"

/* ---- bodies of children: 0 is success */

struct scalars {
    int i;
    double d;
    char c;
    long long q;
    struct {
        short x, y;
    } point;
};

static int
change_scalars(void *arg)
{
    struct scalars *v = arg;

    if (v->i != 7 || v->d != 3.5 || v->c != 'a' || v->q != 1LL << 40 || v->point.y != -2)
        return 1;
    *v = (struct scalars){ .i = -v->i, .d = v->d * 2, .c = 'z', .q = v->q + 1, .point = { 5, 6 } };
    return 0;
}

static int
sum_prefixes(void *arg)
{
    int *a = arg;

    for (size_t i = 1; i < par_shared_length(a); i++)
        a[i] += a[i - 1];
    return 0;
}

struct account {
    par_lock lock;
    long balance;
    struct account *next; /* blocks may point to each other */
    const char *owner;
};

static int
deposit_in_all(void *arg)
{
    for (int i = 0; i < 1000; i++)
        for (struct account *a = arg; a != NULL; a = a->next) {
            if (par_lock_acquire(&a->lock, par_in(20)) != 0)
                return 1;
            a->balance++;
            if (par_lock_release(&a->lock) != 0)
                return 2;
        }
    return 0;
}

static int
add_with_lock_of_block(void *arg)
{
    long *sum = arg;

    for (int i = 0; i < 1000; i++) {
        if (par_lock_acquire(par_lock_of(sum), par_in(20)) != 0)
            return 1;
        *sum += 3;
        if (par_lock_release(par_lock_of(sum)) != 0)
            return 2;
    }
    return 0;
}

static int
give_birth_to_a_block(void *arg)
{
    char **mailbox = arg;

    *mailbox = par_shared_strdup("made by a child that has ended");
    return *mailbox != NULL ? 0 : 1;
}

static int
free_block(void *arg)
{
    par_shared_free(*(void **)arg);
    return 0;
}

/* ---- values, arrays, strings */

START_TEST(new_memory_is_zero_however_often_it_is_recycled)
{
    for (int round = 0; round < 3; round++) {
        int *a = par_array(int, 10000);
        ck_assert_ptr_nonnull(a);
        for (int i = 0; i < 10000; i++)
            ck_assert_int_eq(a[i], 0);
        memset(a, 0x55, 10000 * sizeof *a);
        par_shared_free(a);
    }
}
END_TEST

START_TEST(length_is_the_n_of_the_allocation)
{
    int *a = par_array(int, 17), *none = par_array(int, 0);
    char *s = par_shared_strdup("four");
    ck_assert_uint_eq(par_shared_length(a), 17);
    ck_assert_uint_eq(par_shared_length(none), 0);
    ck_assert_uint_eq(par_shared_length(s), 5);
    ck_assert_str_eq(s, "four");
    errno = 0;
    ck_assert_uint_eq(par_shared_length(a + 1), 0);
    ck_assert_int_eq(errno, EINVAL);
    errno = 0;
    ck_assert_uint_eq(par_shared_length(NULL), 0);
    ck_assert_int_eq(errno, EINVAL);
    par_shared_free(a);
    par_shared_free(none);
    par_shared_free(s);
}
END_TEST

START_TEST(is_shared_tells_arena_from_private_memory)
{
    int local = 0, *a;
    ck_assert(!par_is_shared(&local)); /* before there is an arena */
    a = par_array(int, 10);
    ck_assert(par_is_shared(a));
    ck_assert(par_is_shared(a + 9));
    ck_assert(!par_is_shared(&local));
    ck_assert(!par_is_shared(NULL));
    ck_assert(!par_is_shared(&pari_me));
    par_shared_free(a);
}
END_TEST

static volatile size_t huge = SIZE_MAX; /* so that the compiler does not warn of what is tested here */

START_TEST(bad_arguments_are_told)
{
    ck_fails_null(par_shared_alloc(1, 0), EINVAL);
    ck_fails_null(par_shared_alloc(0, 0), EINVAL);
    ck_fails_null(par_shared_alloc(huge, huge), EOVERFLOW);
    ck_fails_null(par_shared_alloc(1, huge), EOVERFLOW);
    ck_fails_null(par_shared_strdup(NULL), EINVAL);
}
END_TEST

START_TEST(free_ignores_what_is_no_block_and_keeps_errno)
{
    int local = 0, *a = par_array(int, 100);
    void *volatile inside = a + 50, *volatile outside = &local;
    errno = 77;
    par_shared_free(NULL);
    par_shared_free(inside);
    par_shared_free(outside);
    ck_assert_int_eq(errno, 77);
    ck_assert_uint_eq(par_shared_length(a), 100);
    par_shared_free(a);
    ck_assert_int_eq(errno, 77);
}
END_TEST

/* ---- several processes */

START_TEST(scalars_changed_by_a_child_are_seen_by_its_parent)
{
    struct scalars *v = par_value(struct scalars);
    *v = (struct scalars){ .i = 7, .d = 3.5, .c = 'a', .q = 1LL << 40, .point = { 1, -2 } };
    ck_assert_int_eq(fixture_in_child(change_scalars, v), 0);
    ck_assert_int_eq(v->i, -7);
    ck_assert(v->d == 7.0);
    ck_assert_int_eq(v->c, 'z');
    ck_assert(v->q == (1LL << 40) + 1);
    ck_assert_int_eq(v->point.x + v->point.y, 11);
    par_shared_free(v);
}
END_TEST

START_TEST(array_is_worked_on_in_place_by_a_child)
{
    int *a = par_array(int, 1000);
    for (int i = 0; i < 1000; i++)
        a[i] = i;
    ck_assert_int_eq(fixture_in_child(sum_prefixes, a), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(a[i], i * (i + 1) / 2);
    par_shared_free(a);
}
END_TEST

START_TEST(blocks_with_locks_inside_may_point_to_each_other)
{
    struct account *list = NULL;
    pid_t child[3];
    for (int i = 0; i < 3; i++) {
        struct account *a = par_value(struct account);
        a->next = list;
        a->owner = par_shared_strdup("somebody");
        list = a;
    }
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(deposit_in_all, list);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    for (struct account *a = list; a != NULL; a = a->next) {
        ck_assert_int_eq(a->balance, 3000);
        ck_assert_str_eq(a->owner, "somebody");
    }
}
END_TEST

START_TEST(lock_of_a_block_is_the_same_in_every_process)
{
    long *sum = par_value(long);
    pid_t one = fixture_fork(add_with_lock_of_block, sum), two = fixture_fork(add_with_lock_of_block, sum);
    ck_assert_int_eq(fixture_wait(one), 0);
    ck_assert_int_eq(fixture_wait(two), 0);
    ck_assert_int_eq(*sum, 6000);
    par_shared_free(sum);
}
END_TEST

START_TEST(block_outlives_the_process_that_made_it)
{
    char **mailbox = par_value(char *);
    ck_assert_int_eq(fixture_in_child(give_birth_to_a_block, mailbox), 0);
    ck_assert_str_eq(*mailbox, "made by a child that has ended");
    ck_assert_int_eq(fixture_in_child(free_block, mailbox), 0); /* by whom does not matter */
    ck_assert_uint_eq(par_shared_length(*mailbox), 0);
}
END_TEST

START_TEST(allocation_after_the_fork_is_seen_by_older_children)
{
    char **mailbox = par_value(char *);
    par_event *posted = par_value(par_event);
    pid_t child;
    child = fork();
    if (child == 0)
        _exit(par_event_wait(posted, par_in(20)) == 0 && par_shared_length(*mailbox) == 3 << 20 && (*mailbox)[2 << 20] == 'x'
                  ? 0
                  : 1);
    *mailbox = par_array(char, 3 << 20); /* makes the arena grow */
    (*mailbox)[2 << 20] = 'x';
    par_event_set(posted);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

static int
make_an_arena_of_my_own(void *unused)
{
    int *value = par_value(int);

    (void)unused;
    if (value == NULL)
        return 1;
    *value = 5;
    return *value == 5 && pari_in_heap(value) ? 0 : 2;
}

START_TEST(atomic_operations_say_what_was_and_what_is)
{
    long *n = par_value(long), expected = 1;
    const char **p = par_value(const char *), *word = "word";
    unsigned char *byte = par_value(unsigned char);
    ck_assert_int_eq(par_atomic_add(n, 5), 5);
    ck_assert_int_eq(par_atomic_add(n, -2), 3);
    ck_assert_int_eq(par_atomic_exchange(n, 7), 3);
    ck_assert(!par_atomic_compare_exchange(n, &expected, 9));
    ck_assert_int_eq(expected, 7);
    ck_assert(par_atomic_compare_exchange(n, &expected, 9));
    ck_assert_int_eq(par_atomic_load(n), 9);
    par_atomic_store(n, 10);
    ck_assert_int_eq(*n, 10);
    ck_assert_ptr_null(par_atomic_exchange(p, word));
    ck_assert_ptr_eq(par_atomic_load(p), word);
    ck_assert_int_eq(par_atomic_add(byte, 255), 255);
    ck_assert_int_eq(par_atomic_add(byte, 2), 1);
    par_shared_free(n);
    par_shared_free(p);
    par_shared_free(byte);
}
END_TEST

/* Half by adding, half by comparing. */
static int
add_up(void *arg)
{
    long *n = arg;

    for (int i = 0; i < 50000; i++) {
        long seen = par_atomic_load(n);
        (void)par_atomic_add(n, 1);
        while (!par_atomic_compare_exchange(n, &seen, seen + 1))
            ;
    }
    return 0;
}

START_TEST(nothing_that_is_added_by_many_gets_lost)
{
    long *n = par_value(long);
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(add_up, n);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(par_atomic_load(n), 400000);
    par_shared_free(n);
}
END_TEST

START_TEST(children_of_a_process_without_arena_are_families_of_their_own)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fixture_in_child(make_an_arena_of_my_own, NULL), 0);
    ck_assert_uint_eq(pari_heap_in_use(), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("shared");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, new_memory_is_zero_however_often_it_is_recycled);
    tcase_add_test(one, length_is_the_n_of_the_allocation);
    tcase_add_test(one, is_shared_tells_arena_from_private_memory);
    tcase_add_test(one, bad_arguments_are_told);
    tcase_add_test(one, free_ignores_what_is_no_block_and_keeps_errno);
    tcase_add_test(one, atomic_operations_say_what_was_and_what_is);
    tcase_add_test(several, nothing_that_is_added_by_many_gets_lost);
    tcase_add_test(several, scalars_changed_by_a_child_are_seen_by_its_parent);
    tcase_add_test(several, array_is_worked_on_in_place_by_a_child);
    tcase_add_test(several, blocks_with_locks_inside_may_point_to_each_other);
    tcase_add_test(several, lock_of_a_block_is_the_same_in_every_process);
    tcase_add_test(several, block_outlives_the_process_that_made_it);
    tcase_add_test(several, allocation_after_the_fork_is_seen_by_older_children);
    tcase_add_test(several, children_of_a_process_without_arena_are_families_of_their_own);
    return fixture_run(suite);
}
