/* SPDX-License-Identifier: MIT
 *
 * test_manager_posts.c: what a client does not wait for: nobody can tell, whoever dies.
 */
#include "manager.h"

#include <par/queue.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static void
assert_int(par_obj *obj, int64_t expected)
{
    ck_assert_int_eq(par_obj_as_int(obj, -1), expected);
    par_obj_free(obj);
}

/* ---- as if it had been waited for */

START_TEST(more_than_the_ring_takes_is_there_in_order)
{
    int n = 5000;

    begin_list();
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_list_append(list, par_int(i), SOON), 0);
    ck_assert_int_eq(par_list_len(list, SOON), n);
    for (int i = 0; i < n; i += 311)
        assert_int(par_list_get(list, i, SOON), i);
    end();
}
END_TEST

START_TEST(all_kinds_of_posts_are_carried_out_in_their_order)
{
    begin_list();
    dict = par_manager_dict(manager, SOON);
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    ck_assert_int_eq(par_list_extend(list, range(3), SOON), 0);
    ck_assert_int_eq(par_list_insert(list, 1, par_str("a"), SOON), 0);
    ck_assert_int_eq(par_list_reverse(list, SOON), 0);
    ck_assert_int_eq(par_list_append(list, par_float(0.5), SOON), 0);
    assert_list("[2, 1, 'a', 0, 0.5]");
    ck_assert_int_eq(par_dict_set(dict, par_str("a"), par_int(1), SOON), 0);
    ck_assert_int_eq(par_dict_clear(dict, SOON), 0);
    ck_assert_int_eq(par_dict_set(dict, par_str("b"), par_int(2), SOON), 0);
    ck_assert_int_eq(par_dict_set(dict, par_str("b"), par_int(3), SOON), 0);
    assert_dict("{'b': 3}");
    end();
}
END_TEST

START_TEST(what_can_fail_is_told_at_once)
{
    par_obj *deep = par_int(0);

    begin_list();
    dict = par_manager_dict(manager, SOON);
    ck_fails(par_dict_set(dict, par_obj_list(), par_int(1), SOON), EINVAL);
    ck_fails(par_list_extend(list, par_int(1), SOON), EINVAL);
    ck_fails(par_list_set(list, 0, par_int(1), SOON), ENOENT);
    ck_fails(par_list_append(list, NULL, SOON), ENOMEM);
    ck_fails(par_list_append(list, par_int(1), PAR_NOWAIT), ETIMEDOUT);
    for (int i = 1; i < PAR_OBJ_MAX_DEPTH; i++) {
        par_obj *around = par_obj_list();
        ck_assert_int_eq(par_obj_append(around, deep), 0);
        deep = around;
    }
    ck_fails(par_list_append(list, deep, SOON), ELOOP);
    assert_list("[]");
    assert_dict("{}");
    end();
}
END_TEST

/* Two processes append in turn, each after it has heard that the other one's append has returned. */
static par_queue *ball[2];

static int
play(void *arg)
{
    int me = *(int *)arg, got;

    for (int i = me; i < 2000; i += 2) {
        if (i > 0 && par_queue_get(ball[me], &got, sizeof got, SOON) != sizeof got)
            return 1;
        if (par_list_append(list, par_int(i), SOON) != 0 || par_queue_put(ball[!me], &i, sizeof i, SOON) != 0)
            return 2;
    }
    return 0;
}

START_TEST(what_was_posted_first_is_carried_out_first)
{
    pid_t player[2];

    begin_list();
    for (int i = 0; i < 2; i++)
        ck_assert_ptr_nonnull(ball[i] = par_queue_new(NULL));
    for (int i = 0; i < 2; i++)
        player[i] = fixture_fork(play, &i);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fixture_wait(player[i]), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 2000);
    for (int i = 0; i < 2000; i++)
        ck_assert_int_eq(par_list_index(list, par_int(i), SOON), i);
    for (int i = 0; i < 2; i++)
        par_queue_free(ball[i]);
    end();
}
END_TEST

/* A call that is given up closes the link on which others have been posted; the next ones go over another one. */
START_TEST(posts_over_several_links_are_carried_out_in_their_order)
{
    begin_list();
    fill(0);
    pid_t server = server_pid();
    for (int i = 0; i < 4000; i++) {
        ck_assert_int_eq(par_list_append(list, par_int(i), SOON), 0);
        if (i % 500 == 250) {
            ck_assert_int_eq(kill(server, SIGSTOP), 0);
            ck_assert_int_eq(par_list_append(list, par_int(++i), SOON), 0);
            ck_fails(par_list_len(list, par_in(0.005)), ETIMEDOUT);
            ck_assert_int_eq(kill(server, SIGCONT), 0);
        } else if (i % 3 == 0)
            (void)!par_list_len(list, par_in((1 + fixture_random_below(60)) * 1e-6));
    }
    par_obj *all = par_list_copy(list, SOON);
    ck_assert_uint_eq(par_obj_len(all), 4000);
    for (int i = 0; i < 4000; i++)
        ck_assert_int_eq(par_obj_as_int(par_obj_item(all, (size_t)i), -1), i);
    par_obj_free(all);
    end();
}
END_TEST

static void *
append_from_thread(void *arg)
{
    for (int i = 0; i < 2000; i++)
        if (par_list_append(list, par_tuple(par_int(*(int *)arg), par_int(i)), SOON) != 0 ||
            (i % 100 == 0 && par_list_len(list, SOON) < i))
            return NULL;
    return arg;
}

START_TEST(threads_post_side_by_side_each_in_its_order)
{
    enum { N = 4 };
    int number[N], next[N] = { 0 };
    pthread_t thread[N];
    begin_list();
    for (int i = 0; i < N; i++) {
        number[i] = i;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, append_from_thread, &number[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        void *result;
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    par_obj *all = par_list_copy(list, SOON);
    ck_assert_uint_eq(par_obj_len(all), N * 2000);
    for (size_t i = 0; i < N * 2000; i++) {
        const par_obj *item = par_obj_item(all, i);
        int64_t who = par_obj_as_int(par_obj_item(item, 0), -1);
        ck_assert(who >= 0 && who < N);
        ck_assert_int_eq(par_obj_as_int(par_obj_item(item, 1), -1), next[who]++);
    }
    par_obj_free(all);
    end();
}
END_TEST

static int
append_thousand(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        if (par_list_append(list, par_int(i), SOON) != 0)
            return 1;
    return 0;
}

/* More clients than may post: the others wait for their answers. */
START_TEST(any_number_of_clients_may_append)
{
    enum { N = 40 };
    pid_t child[N];

    begin_list();
    for (int i = 0; i < N; i++)
        child[i] = fixture_fork(append_thousand, NULL);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 1000 * N);
    for (int i = 0; i < 1000; i += 111)
        ck_assert_int_eq(par_list_count(list, par_int(i), SOON), N);
    end();
}
END_TEST

/* The places of those who have gone are free again. */
START_TEST(places_of_clients_that_have_gone_are_given_again)
{
    begin_list();
    for (int i = 0; i < 3 * 32; i++)
        ck_assert_int_eq(fixture_in_child(append_thousand, NULL), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 3 * 32 * 1000);
    end();
}
END_TEST

/* ---- deaths */

static _Atomic int *n_returned;

static int
append_until_killed(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        if (par_list_append(list, par_int(i), SOON) != 0)
            return 1;
        atomic_store(n_returned, i + 1);
    }
}

START_TEST(what_a_killed_client_has_posted_is_there)
{
    size_t before;

    begin_list();
    fill(1);
    n_returned = fixture_shared(sizeof *n_returned);
    before = pari_heap_in_use();
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(par_list_clear(list, SOON), 0);
        atomic_store(n_returned, 0);
        pid_t child = fixture_fork(append_until_killed, NULL);
        fixture_kill_after_us(child, 500 + fixture_random_below(3000));
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
        ssize_t n = par_list_len(list, SOON);
        ck_assert_int_ge(n, atomic_load(n_returned));
        ck_assert_int_le(n, atomic_load(n_returned) + 1);
        if (n > 0)
            assert_int(par_list_get(list, -1, SOON), n - 1);
    }
    assert_heap_becomes(before);
    end();
}
END_TEST

/* In the server's place nobody can post; what was posted to a server that dies is gone with all that it had. */
START_TEST(dead_server_takes_no_posts)
{
    begin_list();
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    ck_assert_int_eq(kill(server_pid(), SIGKILL), 0);
    for (int i = 0; i < 20000 && par_list_append(list, par_int(1), SOON) == 0; i++)
        (void)usleep(100);
    ck_fails(par_list_append(list, par_int(1), SOON), EPIPE);
    end();
}
END_TEST

START_TEST(server_that_is_stopped_still_takes_posts)
{
    begin_list();
    fill(1);
    pid_t server = server_pid();
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
    for (int i = 1; i < 100; i++)
        ck_assert_int_eq(par_list_append(list, par_int(i), SOON), 0);
    ck_fails(par_list_len(list, par_in(0.01)), ETIMEDOUT);
    ck_assert_int_eq(kill(server, SIGCONT), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 100); /* over a new link: what came over the old one is there */
    assert_obj(par_list_get(list, 99, SOON), "99");
    end();
}
END_TEST

/* A child made by fork has no part in what its parent has posted, and posts for itself. */
START_TEST(forked_child_posts_nothing_twice)
{
    begin_list();
    ck_assert_int_eq(append_thousand(NULL), 0);
    ck_assert_int_eq(fixture_in_child(append_thousand, NULL), 0);
    ck_assert_int_eq(append_thousand(NULL), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 3000);
    end();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("manager_posts");
    TCase *order = fixture_case(suite, "as if it had been waited for"), *deaths = fixture_case(suite, "deaths");

    tcase_add_test(order, more_than_the_ring_takes_is_there_in_order);
    tcase_add_test(order, all_kinds_of_posts_are_carried_out_in_their_order);
    tcase_add_test(order, what_can_fail_is_told_at_once);
    tcase_add_test(order, what_was_posted_first_is_carried_out_first);
    tcase_add_test(order, posts_over_several_links_are_carried_out_in_their_order);
    tcase_add_test(order, threads_post_side_by_side_each_in_its_order);
    tcase_add_test(order, any_number_of_clients_may_append);
    tcase_add_test(order, places_of_clients_that_have_gone_are_given_again);
    tcase_add_test(deaths, what_a_killed_client_has_posted_is_there);
    tcase_add_test(deaths, dead_server_takes_no_posts);
    tcase_add_test(deaths, server_that_is_stopped_still_takes_posts);
    tcase_add_test(deaths, forked_child_posts_nothing_twice);
    return fixture_run(suite);
}
