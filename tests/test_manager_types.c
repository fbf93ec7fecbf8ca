/* SPDX-License-Identifier: MIT
 *
 * test_manager_types.c: objects of the program's own types in a manager's server, and queues and shared memory that it keeps.
 */
#include "manager.h"
#include "nap.h"

#include <par.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

/* ---- a type */

static _Atomic int *n_counters; /* that are alive, as all processes see it */

static void *
counter_new(const par_obj *args)
{
    int64_t *counter;

    if (par_obj_as_int(par_obj_item(args, 0), 0) < 0) {
        errno = EDOM;
        return NULL;
    }
    counter = malloc(sizeof *counter);
    if (counter == NULL)
        return NULL;
    *counter = par_obj_as_int(par_obj_item(args, 0), 0);
    atomic_fetch_add(n_counters, 1);
    return counter;
}

static void
counter_free(void *counter)
{
    atomic_fetch_sub(n_counters, 1);
    free(counter);
}

/* In two steps, between which nobody else may come. */
static par_obj *
counter_add(void *object, const par_obj *args)
{
    int64_t *counter = object, old = *counter;

    if (par_obj_len(args) != 1) {
        errno = ERANGE;
        return NULL;
    }
    nap();
    *counter = old + par_obj_as_int(par_obj_item(args, 0), 0);
    return par_int(*counter);
}

static par_obj *
counter_text(void *object, const par_obj *args)
{
    char text[40];

    (void)args;
    (void)snprintf(text, sizeof text, "counter at %lld", (long long)*(int64_t *)object);
    return par_str(text);
}

static par_obj *
counter_fail(void *object, const par_obj *args)
{
    (void)object;
    errno = (int)par_obj_as_int(par_obj_item(args, 0), 0);
    return NULL;
}

static par_obj *
counter_grow(void *object, const par_obj *args)
{
    size_t size = (size_t)65 << 20;
    char *bytes = calloc(size, 1);
    par_obj *obj = bytes != NULL ? par_bytes(bytes, size) : NULL;

    (void)object;
    (void)args;
    free(bytes);
    return obj;
}

static const par_manager_method counter_methods[] = {
    { "add", counter_add }, { "text", counter_text }, { "fail", counter_fail }, { "grow", counter_grow }, { NULL, NULL },
};

static int one_of_a_kind;

static void *
singleton_new(const par_obj *args)
{
    (void)args;
    return &one_of_a_kind;
}

static par_obj *
singleton_next(void *object, const par_obj *args)
{
    (void)args;
    return par_int(++*(int *)object);
}

static const par_manager_method singleton_methods[] = { { "next", singleton_next }, { NULL, NULL } };

static const par_manager_type types[] = {
    { .name = "Counter", .create = counter_new, .destroy = counter_free, .methods = counter_methods },
    { .name = "Singleton", .create = singleton_new, .methods = singleton_methods },
    { .name = NULL },
};

static void
begin_types(void)
{
    n_counters = par_value(_Atomic int);
    manager = par_manager_start(&(par_manager_opts){ .types = types });
    ck_assert_ptr_nonnull(manager);
}

static void
end_types(void)
{
    end();
    ck_assert_int_eq(atomic_load(n_counters), 0);
    par_shared_free((void *)n_counters);
}

static par_proxy *
new_counter(int first)
{
    par_proxy *counter = par_manager_create(manager, "Counter", par_tuple(par_int(first)), SOON);

    ck_assert_msg(counter != NULL, "%s", par_error());
    return counter;
}

static par_obj *
call(par_proxy *proxy, const char *method)
{
    return par_proxy_call(proxy, method, par_tuple(), SOON);
}

START_TEST(methods_are_called)
{
    begin_types();
    par_proxy *a = new_counter(5), *b = new_counter(100);
    assert_obj(par_proxy_call(a, "add", par_tuple(par_int(2)), SOON), "7");
    assert_obj(par_proxy_call(b, "add", par_tuple(par_int(-1)), SOON), "99");
    assert_obj(call(a, "text"), "'counter at 7'");
    ck_assert_int_eq(atomic_load(n_counters), 2);
    par_proxy_free(a);
    while (atomic_load(n_counters) != 1) /* the server is not waited for */
        nap();
    assert_obj(call(b, "text"), "'counter at 99'");
    par_proxy_free(NULL);
    end_types(); /* ends b with the server */
    par_proxy_free(b);
}
END_TEST

/* ---- a pool that lives in the server */

static void *
pool_new(const par_obj *args)
{
    return par_pool_new(&(par_pool_opts){ .workers = (unsigned)par_obj_as_int(par_obj_item(args, 0), 0) });
}

static void
pool_free(void *pool)
{
    par_pool_free(pool);
}

static int
square_or_die(const void *in, void *out, void *ctx)
{
    int64_t x = *(const int64_t *)in;
    (void)ctx;
    if (x < 0)
        (void)raise(SIGKILL);
    *(int64_t *)out = x * x;
    return 0;
}

/* The squares of a list of numbers; None for each whose worker was killed. */
static par_obj *
pool_squares(void *pool, const par_obj *args)
{
    const par_obj *numbers = par_obj_item(args, 0);
    size_t n = par_obj_len(numbers);
    int64_t *in = calloc(n + 1, sizeof *in), *out = calloc(n + 1, sizeof *out);
    unsigned char *state = calloc(n + 1, 1);
    par_obj *squares = par_obj_list();
    for (size_t i = 0; i < n; i++)
        in[i] = par_obj_as_int(par_obj_item(numbers, i), 0);
    if (par_pool_map_with(pool, square_or_die, in, out, n, &(par_job_opts){ .state = state }) < 0) {
        par_obj_free(squares);
        squares = NULL;
    }
    for (size_t i = 0; squares != NULL && i < n; i++)
        (void)par_obj_append(squares, state[i] == PAR_OK ? par_int(out[i]) : par_none());
    free(in);
    free(out);
    free(state);
    return squares;
}

static const par_manager_method pool_methods[] = { { "squares", pool_squares }, { NULL, NULL } };
static const par_manager_type pool_types[] = {
    { .name = "Pool", .create = pool_new, .destroy = pool_free, .methods = pool_methods }, { .name = NULL }
};

static int
ask_for_squares(void *arg)
{
    par_obj *numbers = par_obj_list(), *squares;
    for (int i = -1; i < 50; i++)
        if (par_obj_append(numbers, par_int(i)) != 0)
            return 1;
    squares = par_proxy_call(arg, "squares", par_tuple(numbers), SOON);
    if (par_obj_len(squares) != 51 || par_obj_type(par_obj_item(squares, 0)) != PAR_NONE)
        return 2;
    for (int i = 0; i < 50; i++)
        if (par_obj_as_int(par_obj_item(squares, (size_t)i + 1), -1) != i * i)
            return 3;
    par_obj_free(squares);
    return 0;
}

START_TEST(pool_may_live_in_the_server)
{
    pid_t child[2];
    manager = par_manager_start(&(par_manager_opts){ .types = pool_types });
    ck_assert_ptr_nonnull(manager);
    par_proxy *pool = par_manager_create(manager, "Pool", par_tuple(par_int(2)), SOON);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(ask_for_squares(pool), 0);
    for (int i = 0; i < 2; i++)
        child[i] = fixture_fork(ask_for_squares, pool);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    par_proxy_free(pool);
    par_manager_free(manager);
}
END_TEST

static int
add_a_hundred(void *arg)
{
    for (int i = 0; i < 100; i++)
        par_obj_free(par_proxy_call(arg, "add", par_tuple(par_int(1)), SOON));
    return 0;
}

START_TEST(calls_of_several_processes_do_not_mix)
{
    begin_types();
    par_proxy *counter = new_counter(0);
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(add_a_hundred, counter);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    assert_obj(call(counter, "text"), "'counter at 400'");
    par_proxy_free(counter);
    end_types();
}
END_TEST

START_TEST(what_a_method_fails_with_is_told)
{
    begin_types();
    par_proxy *counter = new_counter(0);
    int told[] = { ERANGE, ENOENT, EBUSY, EINVAL, ENOMEM, EMSGSIZE, ECANCELED };
    ck_fails_null(call(counter, "add"), ERANGE);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        ck_fails_null(par_proxy_call(counter, "fail", par_tuple(par_int(told[i])), SOON), told[i]);
    ck_fails_null(par_proxy_call(counter, "fail", par_tuple(par_int(0)), SOON), EINVAL);
    ck_fails_null(call(counter, "grow"), EMSGSIZE);
    ck_fails_null(call(counter, "no such"), EINVAL);
    ck_assert_ptr_nonnull(strstr(par_error(), "no such method"));
    ck_fails_null(call(counter, NULL), EINVAL);
    ck_fails_null(par_proxy_call(counter, "add", par_int(1), SOON), EINVAL);
    ck_fails_null(par_proxy_call(counter, "add", NULL, SOON), ENOMEM);
    ck_fails_null(par_proxy_call(NULL, "add", par_tuple(), SOON), EINVAL);
    ck_fails_null(par_manager_create(manager, "Counter", par_tuple(par_int(-1)), SOON), EDOM);
    ck_fails_null(par_manager_create(manager, "Counter", par_int(1), SOON), EINVAL);
    ck_fails_null(par_manager_create(manager, "Nothing", par_tuple(), SOON), EINVAL);
    ck_fails_null(par_manager_create(manager, NULL, par_tuple(), SOON), EINVAL);
    ck_fails_null(par_manager_create(manager, "queue", par_tuple(), SOON), EINVAL);
    assert_obj(call(counter, "text"), "'counter at 0'");
    par_proxy_free(counter);
    end_types();
}
END_TEST

START_TEST(wrong_types_are_refused_at_the_start)
{
    par_manager_type wrong[][2] = {
        { { .name = "list", .create = counter_new, .methods = counter_methods } },
        { { .name = "dict", .create = counter_new, .methods = counter_methods } },
        { { .name = "queue", .create = counter_new, .methods = counter_methods } },
        { { .name = "shared", .create = counter_new, .methods = counter_methods } },
        { { .name = "Counter", .methods = counter_methods } },
        { { .name = "Counter", .create = counter_new } },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_fails_null(par_manager_start(&(par_manager_opts){ .types = wrong[i] }), EINVAL);
}
END_TEST

START_TEST(type_may_always_make_the_same_object)
{
    begin_types();
    par_proxy *a = par_manager_create(manager, "Singleton", par_tuple(), SOON);
    par_proxy *b = par_manager_create(manager, "Singleton", par_tuple(), SOON);
    assert_obj(call(a, "next"), "1");
    assert_obj(call(b, "next"), "2");
    par_proxy_free(a);
    assert_obj(call(b, "next"), "3");
    par_proxy_free(b);
    end_types();
}
END_TEST

START_TEST(object_lives_on_in_a_list)
{
    begin_types();
    list = par_manager_list(manager, SOON);
    par_proxy *counter = new_counter(3), *again;
    ck_assert_int_eq(par_list_append(list, par_proxy_value(counter), SOON), 0);
    par_proxy_free(counter);
    par_obj *value = par_list_get(list, 0, SOON);
    again = par_manager_proxy_of(manager, value, SOON);
    ck_assert_ptr_nonnull(again);
    assert_obj(par_proxy_call(again, "add", par_tuple(par_int(1)), SOON), "4");
    ck_fails_null(par_manager_list_of(manager, value, SOON), EINVAL);
    ck_fails_null(par_manager_queue_of(manager, value, SOON), EINVAL);
    par_proxy_free(again);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    while (atomic_load(n_counters) != 0)
        par_list_free(par_manager_list(manager, SOON)); /* a moment to look for what is named by nobody */
    ck_fails_null(par_manager_proxy_of(manager, value, SOON), EINVAL);
    par_obj_free(value);
    end_types();
}
END_TEST

START_TEST(server_killed_inside_a_method_is_epipe)
{
    begin_types();
    par_proxy *counter = new_counter(0);
    ck_assert_int_eq(kill(server_pid(), SIGKILL), 0);
    ck_fails_null(call(counter, "text"), EPIPE);
    ck_fails_null(par_manager_create(manager, "Counter", par_tuple(), SOON), EPIPE);
    ck_fails_null(par_manager_shared(manager, 1, 1, SOON), EPIPE);
    ck_fails_null(par_manager_queue(manager, NULL, SOON), EPIPE);
    par_proxy_free(counter);
    end();
    par_shared_free((void *)n_counters);
}
END_TEST

/* ---- what the server keeps */

static int
put_three(void *queue)
{
    for (int i = 1; i <= 3; i++)
        if (par_queue_put(queue, &i, sizeof i, SOON) != 0)
            return 1;
    return 0;
}

START_TEST(queue_in_a_list_and_in_a_dict)
{
    begin_list();
    dict = par_manager_dict(manager, SOON);
    ck_assert_int_eq(par_list_len(list, SOON), 0); /* the connection is there */
    size_t before = pari_heap_in_use();
    par_queue *queue = par_manager_queue(manager, NULL, SOON), *a, *b;
    int first, second;
    ck_assert_ptr_nonnull(queue);
    ck_assert_int_eq(par_list_append(list, par_manager_name(manager, queue, SOON), SOON), 0);
    ck_assert_int_eq(par_dict_set(dict, par_str("q"), par_manager_name(manager, queue, SOON), SOON), 0);
    ck_assert_int_eq(fixture_in_child(put_three, queue), 0);
    ck_assert_int_eq(par_manager_release(manager, queue, SOON), 0); /* it is named */
    par_obj *in_list = par_list_get(list, 0, SOON), *in_dict = par_dict_get(dict, par_str("q"), SOON);
    a = par_manager_queue_of(manager, in_list, SOON);
    b = par_manager_queue_of(manager, in_dict, SOON);
    ck_assert_ptr_eq(a, queue);
    ck_assert_ptr_eq(b, queue);
    ck_assert_int_eq(par_queue_get(a, &first, sizeof first, SOON), sizeof first);
    ck_assert_int_eq(par_queue_get(b, &second, sizeof second, SOON), sizeof second);
    ck_assert_int_eq(first * 10 + second, 12);
    ck_fails_null(par_manager_shared_of(manager, in_list, SOON), EINVAL);
    ck_fails_null(par_manager_proxy_of(manager, in_list, SOON), EINVAL);
    ck_assert_int_eq(par_manager_release(manager, a, SOON), 0);
    ck_assert_int_eq(par_manager_release(manager, b, SOON), 0);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    ck_assert_int_eq(par_dict_clear(dict, SOON), 0);
    while (pari_heap_in_use() != before)
        par_list_free(par_manager_list(manager, SOON)); /* a moment to look for what is named by nobody */
    ck_fails_null(par_manager_queue_of(manager, in_list, SOON), EINVAL);
    ck_fails(par_manager_release(manager, queue, SOON), ENOENT);
    par_obj_free(in_list);
    par_obj_free(in_dict);
    end();
}
END_TEST

static int
make_and_name(void *arg)
{
    int *number = par_manager_value(manager, int, SOON);
    par_queue *queue = par_manager_queue(manager, &(par_queue_opts){ .item_size = sizeof(int) }, SOON);

    (void)arg;
    if (number == NULL || queue == NULL)
        return 1;
    *number = 42;
    return par_dict_set(dict, par_str("number"), par_manager_name(manager, number, SOON), SOON) != 0 ||
           par_dict_set(dict, par_str("queue"), par_manager_name(manager, queue, SOON), SOON) != 0 ||
           par_queue_put(queue, number, sizeof *number, SOON) != 0;
}

START_TEST(what_is_kept_outlives_its_maker_and_ends_with_the_manager)
{
    size_t before = 0;
    for (int i = 0; i < 2; i++) {
        begin_dict();
        ck_assert_int_eq(fixture_in_child(make_and_name, NULL), 0);
        par_obj *number = par_dict_get(dict, par_str("number"), SOON), *queue = par_dict_get(dict, par_str("queue"), SOON);
        int *kept = par_manager_shared_of(manager, number, SOON), got;
        ck_assert_int_eq(*kept, 42);
        ck_assert_int_eq(par_queue_get(par_manager_queue_of(manager, queue, SOON), &got, sizeof got, SOON), sizeof got);
        ck_assert_int_eq(got, 42);
        par_obj_free(number);
        par_obj_free(queue);
        end();
        ck_assert(i == 0 || pari_heap_in_use() == before);
        before = pari_heap_in_use();
    }
}
END_TEST

static int
hold(void *lock)
{
    return par_lock_acquire(lock, SOON) == 0 ? raise(SIGKILL) : 1;
}

START_TEST(lock_that_is_kept_is_recovered_from_a_dead_client)
{
    begin();
    par_lock *lock = par_manager_value(manager, par_lock, SOON);
    ck_assert_ptr_nonnull(lock);
    pid_t child = fixture_fork(hold, lock);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    ck_assert_int_eq(par_lock_acquire(lock, SOON), 0);
    ck_assert_int_eq(par_lock_dead_owner(lock), child);
    ck_assert_int_eq(par_lock_recover(lock), 0);
    ck_assert_int_eq(par_lock_release(lock), 0);
    end();
}
END_TEST

START_TEST(what_is_not_kept_is_enoent)
{
    begin();
    int *mine = par_value(int), local = 0;
    ck_fails(par_manager_release(manager, mine, SOON), ENOENT);
    ck_fails(par_manager_release(manager, NULL, SOON), ENOENT);
    ck_fails_null(par_manager_name(manager, &local, SOON), ENOENT);
    ck_fails(par_manager_release(NULL, mine, SOON), EINVAL);
    ck_fails_null(par_manager_shared(NULL, 1, 1, SOON), EINVAL);
    ck_fails_null(par_manager_queue(NULL, NULL, SOON), EINVAL);
    ck_fails_null(par_manager_shared(manager, 1, 0, SOON), EINVAL);
    ck_fails_null(par_manager_shared(manager, 1, 1, PAR_NOWAIT), ETIMEDOUT);
    par_obj *none = par_none();
    ck_fails_null(par_manager_shared_of(manager, none, SOON), EINVAL);
    ck_fails_null(par_manager_queue_of(manager, NULL, SOON), EINVAL);
    par_obj_free(none);
    par_shared_free(mine);
    end();
}
END_TEST

/* A stranger's block is not taken, whatever address is named. */
START_TEST(only_a_block_of_the_client_is_taken)
{
    begin();
    struct pari_server server;
    int *familys = par_value(int);
    const void *wrong[] = { familys, manager, NULL, (void *)(uintptr_t)4096, (char *)familys + 8 };
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_fails_null(pari_client_control(&server, "create", par_tuple(par_str("shared"), par_int((intptr_t)wrong[i])), SOON),
                      EINVAL);
        ck_fails_null(pari_client_control(&server, "create", par_tuple(par_str("queue"), par_int((intptr_t)wrong[i])), SOON),
                      EINVAL);
    }
    par_shared_free(familys);
    end();
}
END_TEST

static void *
make_and_release(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        int *number = par_manager_array(manager, int, 10, SOON);
        if (number == NULL || par_manager_release(manager, number, SOON) != 0)
            return manager;
    }
    return NULL;
}

static void *
kill_at_random(void *arg)
{
    (void)usleep(fixture_random_below(2000));
    (void)kill(*(pid_t *)arg, SIGKILL);
    return NULL;
}

/* Also between taking a block and telling of it. What it had been given before stays, for those who use it. */
START_TEST(server_killed_while_it_is_given_something_leaves_nothing)
{
    static void *given[1000];
    size_t before = 0;
    for (int i = 0; i < 60; i++) {
        pthread_t thread;
        begin();
        ck_assert_int_eq(par_manager_release(manager, par_manager_shared(manager, 1, 64, SOON), SOON), 0); /* it is there */
        pid_t server = server_pid();
        ck_assert_int_eq(pthread_create(&thread, NULL, kill_at_random, &server), 0);
        size_t n = 0;
        while (n < 1000 && (given[n] = par_manager_shared(manager, 1, 64, SOON)) != NULL)
            n++;
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_fails_null(par_manager_shared(manager, 1, 64, SOON), EPIPE);
        par_manager_free(manager);
        while (n > 0)
            par_shared_free(given[--n]);
        if (i == 0)
            before = pari_heap_in_use();
        assert_heap_becomes(before);
    }
}
END_TEST

START_TEST(threads_keep_and_release_side_by_side)
{
    begin();
    pthread_t thread[4];
    size_t before = pari_heap_in_use();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, make_and_release, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(thread[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
    end();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("manager_types");
    TCase *typed = fixture_case(suite, "types"), *kept = fixture_case(suite, "kept");

    tcase_add_test(typed, methods_are_called);
    tcase_add_test(typed, calls_of_several_processes_do_not_mix);
    tcase_add_test(typed, what_a_method_fails_with_is_told);
    tcase_add_test(typed, wrong_types_are_refused_at_the_start);
    tcase_add_test(typed, type_may_always_make_the_same_object);
    tcase_add_test(typed, object_lives_on_in_a_list);
    tcase_add_test(typed, server_killed_inside_a_method_is_epipe);
    tcase_add_test(typed, pool_may_live_in_the_server);
    tcase_add_test(kept, queue_in_a_list_and_in_a_dict);
    tcase_add_test(kept, what_is_kept_outlives_its_maker_and_ends_with_the_manager);
    tcase_add_test(kept, lock_that_is_kept_is_recovered_from_a_dead_client);
    tcase_add_test(kept, what_is_not_kept_is_enoent);
    tcase_add_test(kept, only_a_block_of_the_client_is_taken);
    tcase_add_test(kept, server_killed_while_it_is_given_something_leaves_nothing);
    tcase_add_test(kept, threads_keep_and_release_side_by_side);
    return fixture_run(suite);
}
