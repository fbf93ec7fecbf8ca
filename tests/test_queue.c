/* SPDX-License-Identifier: MIT
 *
 * test_queue.c: what a program sees of a queue as long as nobody dies by force (that is test_queue_end.c).
 */
#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <pthread.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

static par_queue *q;

/* Volatile, since the compiler refuses to pass what these say. */
static void *volatile nowhere;
static volatile size_t one = 1, size_max = SIZE_MAX;

static void
make_queue(const par_queue_opts *opts)
{
    q = par_queue_new(opts);
    ck_assert_ptr_nonnull(q);
}

static void
put_int(int i)
{
    ck_assert_int_eq(par_queue_put(q, &i, sizeof i, par_in(20)), 0);
}

static int
get_int(void)
{
    int i;

    ck_assert_int_eq(par_queue_get(q, &i, sizeof i, par_in(20)), sizeof i);
    return i;
}

static void
put_big(size_t size, int byte)
{
    char *data = malloc(size);

    ck_assert_ptr_nonnull(data);
    memset(data, byte, size);
    ck_assert_int_eq(par_queue_put(q, data, size, par_in(20)), 0);
    free(data);
}

static void
expect_big(size_t size, int byte)
{
    size_t n;
    unsigned char *data = par_queue_get_alloc(q, &n, par_in(20));

    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(n, size);
    for (size_t i = 0; i < n; i++)
        if (data[i] != byte)
            ck_abort_msg("byte %zu is wrong", i);
    ck_assert_int_eq(data[n], 0);
    free(data);
}

static par_process *
start(int (*fn)(void *arg), void *arg)
{
    par_process *p = par_process_start(fn, arg, 0, NULL);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void
reap(par_process *p)
{
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), 0);
    par_process_free(p);
}

/* ---- messages */

START_TEST(messages_come_out_in_order)
{
    make_queue(NULL);
    for (int i = 0; i < 100000; i += 100) {
        for (int k = 0; k < 100; k++)
            put_int(i + k);
        for (int k = 0; k < 100; k++)
            ck_assert_int_eq(get_int(), i + k);
    }
    par_queue_free(q);
}
END_TEST

START_TEST(messages_of_any_size)
{
    char c;

    make_queue(&(par_queue_opts){ .capacity = 4096 });
    for (int round = 0; round < 50; round++) {
        put_big(1000, 1);
        ck_assert_int_eq(par_queue_put(q, NULL, 0, PAR_NOWAIT), 0);
        put_big(5000, 2);
        put_big(1016, 3);
        expect_big(1000, 1);
        ck_assert_int_eq(par_queue_get(q, &c, 1, PAR_NOWAIT), 0);
        expect_big(5000, 2);
        expect_big(1016, 3);
    }
    put_big(16 << 20, 9);
    expect_big(16 << 20, 9);
    par_queue_free(q);
}
END_TEST

START_TEST(message_too_long_for_the_buffer_stays)
{
    char buf[4];

    make_queue(NULL);
    put_big(10, 1);
    put_big(400000, 2);
    ck_assert_int_eq(par_queue_get(q, NULL, 0, PAR_NOWAIT), 10);
    ck_fails(par_queue_get(q, buf, sizeof buf, PAR_NOWAIT), EMSGSIZE);
    expect_big(10, 1);
    ck_assert_int_eq(par_queue_get(q, NULL, 0, PAR_NOWAIT), 400000);
    ck_fails(par_queue_get(q, buf, sizeof buf, PAR_NOWAIT), EMSGSIZE);
    ck_assert_int_eq(par_queue_qsize(q), 1);
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    ck_fails(par_queue_skip(q, PAR_NOWAIT), ETIMEDOUT);
    par_queue_free(q);
}
END_TEST

START_TEST(other_size_than_item_size_is_emsgsize)
{
    make_queue(&(par_queue_opts){ .item_size = sizeof(int) });
    ck_fails(par_queue_put(q, "abc", 3, PAR_NOWAIT), EMSGSIZE);
    put_int(5);
    ck_assert_int_eq(get_int(), 5);
    par_queue_free(q);
}
END_TEST

START_TEST(values_come_through)
{
    par_obj *o;

    make_queue(NULL);
    ck_assert_int_eq(par_queue_put_obj(q, par_str("DONE"), PAR_NOWAIT), 0);
    ck_fails(par_queue_put_obj(q, NULL, PAR_NOWAIT), ENOMEM);
    ck_assert_int_eq(par_queue_put(q, "hello", 5, PAR_NOWAIT), 0);
    o = par_queue_get_obj(q, PAR_NOWAIT);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(par_obj_len(o), 4);
    par_obj_free(o);
    ck_fails_null(par_queue_get_obj(q, PAR_NOWAIT), EBADMSG);
    ck_assert_int_eq(par_queue_qsize(q), 1);
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

START_TEST(free_releases_what_was_not_got)
{
    size_t before;

    make_queue(NULL);
    put_int(1);
    ck_assert_int_eq(get_int(), 1);
    par_queue_free(q);
    before = pari_heap_in_use();
    for (int i = 0; i < 20; i++) {
        make_queue(&(par_queue_opts){ .producers = 3 });
        put_big(300000, 1);
        put_int(2);
        put_big(300000, 3);
        expect_big(300000, 1);
        par_queue_free(q);
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- many at a time */

static void
expect_ints(const int *numbers, int n, int first)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(numbers[i], first + i);
}

START_TEST(many_are_put_and_got_in_order)
{
    int in[100], out[100];
    make_queue(NULL);
    for (int i = 0; i < 100; i++)
        in[i] = i;
    ck_assert_int_eq(par_queue_put_many(q, in, sizeof *in, 60, PAR_NOWAIT), 60);
    ck_assert_int_eq(par_queue_put_many(q, in + 60, sizeof *in, 40, PAR_NOWAIT), 40);
    ck_assert_int_eq(par_queue_qsize(q), 100);
    ck_assert_int_eq(get_int(), 0);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 30, PAR_NOWAIT), 30);
    expect_ints(out, 30, 1);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 100, PAR_NOWAIT), 69);
    expect_ints(out, 69, 31);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 100, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(par_queue_task_done(q), 0);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

START_TEST(many_are_put_as_far_as_there_is_room)
{
    int in[10] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, out[10];
    make_queue(&(par_queue_opts){ .maxsize = 6 });
    ck_assert_int_eq(par_queue_put_many(q, in, sizeof *in, 10, PAR_NOWAIT), 6);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(par_queue_put_many(q, in, sizeof *in, 10, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 10, PAR_NOWAIT), 6);
    expect_ints(out, 6, 0);
    ck_assert_int_eq(par_queue_put_many(q, in, sizeof *in, 0, PAR_NOWAIT), 0);
    ck_assert(par_queue_empty(q));
    par_queue_free(q);
}
END_TEST

START_TEST(many_are_got_up_to_one_of_another_size)
{
    int out[4];
    long number = 7;
    make_queue(NULL);
    put_int(1);
    put_int(2);
    ck_assert_int_eq(par_queue_put(q, &number, sizeof number, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 4, PAR_NOWAIT), 2);
    expect_ints(out, 2, 1);
    ck_assert_int_eq(par_queue_get_many(q, out, sizeof *out, 4, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(par_queue_qsize(q), 1); /* it stays */
    ck_assert_int_eq(par_queue_get_many(q, &number, sizeof number, 1, PAR_NOWAIT), 1);
    par_queue_free(q);
}
END_TEST

START_TEST(many_big_and_many_empty_ones)
{
    size_t size = 5000, used;
    unsigned char *in = calloc(3, size), *out = calloc(3, size);
    ck_assert(in != NULL && out != NULL);
    for (int i = 0; i < 3; i++)
        memset(in + (size_t)i * size, i + 1, size);
    used = pari_heap_in_use();
    make_queue(&(par_queue_opts){ .capacity = 4096 });
    ck_assert_int_eq(par_queue_put_many(q, in, size, 3, PAR_NOWAIT), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(par_queue_get_many(q, out + (size_t)i * size, size, 3, PAR_NOWAIT), 1); /* one at a time */
    ck_assert_int_eq(memcmp(in, out, 3 * size), 0);
    ck_assert_int_eq(par_queue_put_many(q, NULL, 0, 5, PAR_NOWAIT), 5);
    ck_assert_int_eq(par_queue_get_many(q, NULL, 0, 9, PAR_NOWAIT), 5);
    par_queue_free(q);
    ck_assert_uint_eq(pari_heap_in_use(), used);
    free(in);
    free(out);
}
END_TEST

START_TEST(wrong_arguments_for_many)
{
    int i = 1;
    make_queue(&(par_queue_opts){ .item_size = sizeof i });
    ck_assert_int_eq(par_queue_put_many(nowhere, &i, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_queue_put_many(q, nowhere, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_queue_put_many(q, &i, one, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(par_queue_put_many(q, &i, sizeof i, size_max, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EOVERFLOW);
    ck_assert_int_eq(par_queue_get_many(nowhere, &i, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_queue_get_many(q, nowhere, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_queue_get_many(q, &i, sizeof i, 0, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_queue_get_many(q, &i, sizeof i, size_max, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EOVERFLOW);
    par_queue_close(q);
    ck_assert_int_eq(par_queue_put_many(q, &i, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(par_queue_get_many(q, &i, sizeof i, 1, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EPIPE);
    par_queue_free(q);
}
END_TEST

#define N_NUMBERS 20000

static int
put_numbers(void *arg)
{
    int batch[37];

    (void)arg;
    for (int next = 0; next < N_NUMBERS;) {
        int n = N_NUMBERS - next < 37 ? N_NUMBERS - next : 37;
        for (int i = 0; i < n; i++)
            batch[i] = next + i;
        if (par_queue_put_many(q, batch, sizeof *batch, (size_t)n, par_in(20)) != n)
            return 1;
        next += n;
    }
    return 0;
}

START_TEST(many_go_through_a_small_ring_from_process_to_process)
{
    int out[64], next = 0;
    par_process *producer;
    make_queue(&(par_queue_opts){ .capacity = 4096, .maxsize = 50 });
    producer = start(put_numbers, NULL);
    while (next < N_NUMBERS) {
        ssize_t n = par_queue_get_many(q, out, sizeof *out, 64, par_in(20));
        ck_assert_int_gt(n, 0);
        expect_ints(out, (int)n, next);
        next += (int)n;
    }
    ck_assert_int_eq(par_process_join(producer, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(producer), 0);
    par_process_free(producer);
    par_queue_free(q);
}
END_TEST

/* ---- bounds and waiting */

START_TEST(queue_of_six_items_is_full_with_six)
{
    par_time begin;

    make_queue(&(par_queue_opts){ .maxsize = 6 });
    ck_assert(par_queue_empty(q) && !par_queue_full(q));
    for (int i = 0; i < 6; i++)
        put_int(i);
    ck_assert(!par_queue_empty(q) && par_queue_full(q));
    begin = par_now();
    ck_fails(par_queue_put(q, "x", 1, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_queue_put(q, "x", 1, par_in(0.05)), ETIMEDOUT);
    ck_assert(par_since(begin) >= 0.05);
    ck_assert_int_eq(get_int(), 0);
    ck_assert(!par_queue_full(q));
    put_int(6);
    ck_fails(par_queue_put(q, "x", 1, PAR_NOWAIT), ETIMEDOUT);
    for (int i = 1; i < 7; i++)
        ck_assert_int_eq(get_int(), i);
    ck_assert(par_queue_empty(q) && !par_queue_full(q));
    par_queue_free(q);
}
END_TEST

START_TEST(queue_is_bounded_in_bytes)
{
    int n = 0;

    make_queue(&(par_queue_opts){ .capacity = 4096 });
    while (par_queue_put(q, &n, sizeof n, PAR_NOWAIT) == 0)
        n++;
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(n, 256);
    ck_assert(par_queue_full(q));
    ck_assert_int_eq(par_queue_qsize(q), 256);
    par_queue_free(q);
}
END_TEST

START_TEST(big_messages_are_bounded_together)
{
    static char data[3000];
    int n = 0;

    make_queue(&(par_queue_opts){ .capacity = 4096 });
    while (par_queue_put(q, data, sizeof data, PAR_NOWAIT) == 0)
        n++;
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(n, (16 * 4096 + 2999) / 3000);
    par_queue_free(q);
}
END_TEST

START_TEST(empty_queue_times_out_and_never_early)
{
    par_time begin;
    int i;

    make_queue(NULL);
    ck_fails(par_queue_get(q, &i, sizeof i, PAR_NOWAIT), ETIMEDOUT);
    begin = par_now();
    ck_fails(par_queue_get(q, &i, sizeof i, par_in(0.2)), ETIMEDOUT);
    ck_assert(par_since(begin) >= 0.2);
    ck_fails(par_queue_get(q, NULL, 0, PAR_NOWAIT), ETIMEDOUT);
    ck_fails_null(par_queue_get_alloc(q, NULL, par_in(0.01)), ETIMEDOUT);
    ck_fails_null(par_queue_get_obj(q, PAR_NOWAIT), ETIMEDOUT);
    par_queue_free(q);
}
END_TEST

START_TEST(qsize_counts)
{
    make_queue(NULL);
    ck_assert_int_eq(par_queue_qsize(q), 0);
    put_int(1);
    ck_assert_int_eq(par_queue_qsize(q), 1);
    put_int(2);
    ck_assert_int_eq(par_queue_qsize(q), 2);
    (void)get_int();
    ck_assert_int_eq(par_queue_qsize(q), 1);
    (void)get_int();
    ck_assert_int_eq(par_queue_qsize(q), 0);
    par_queue_free(q);
}
END_TEST

static void *
interrupt_soon(void *arg)
{
    (void)arg;
    par_interrupt(true);
    return NULL;
}

START_TEST(interrupt_ends_an_endless_get)
{
    pthread_t thread;
    int i;

    make_queue(NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_soon, NULL), 0);
    ck_fails(par_queue_get(q, &i, sizeof i, PAR_FOREVER), EINTR);
    par_interrupt(false);
    pthread_join(thread, NULL);
    par_queue_free(q);
}
END_TEST

/* ---- closing */

START_TEST(closed_queue_drains_then_epipe)
{
    int i;

    make_queue(NULL);
    put_int(1);
    put_big(400000, 2);
    par_queue_close(q);
    par_queue_close(q);
    ck_fails(par_queue_put(q, "x", 1, PAR_FOREVER), EPIPE);
    ck_assert_int_eq(get_int(), 1);
    expect_big(400000, 2);
    ck_fails(par_queue_get(q, &i, sizeof i, PAR_FOREVER), EPIPE);
    ck_fails(par_queue_get(q, NULL, 0, PAR_NOWAIT), EPIPE);
    ck_fails_null(par_queue_get_alloc(q, NULL, PAR_FOREVER), EPIPE);
    ck_fails_null(par_queue_get_obj(q, PAR_FOREVER), EPIPE);
    ck_fails(par_queue_skip(q, PAR_FOREVER), EPIPE);
    ck_assert(par_queue_empty(q));
    par_queue_free(q);
}
END_TEST

static int
get_until_the_end(void *arg)
{
    int i;

    (void)arg;
    while (par_queue_get(q, &i, sizeof i, par_in(20)) == sizeof i)
        ;
    return errno == EPIPE ? 0 : 1;
}

static int
put_until_the_end(void *arg)
{
    (void)arg;
    while (par_queue_put(q, "abcd", 4, par_in(20)) == 0)
        ;
    return errno == EPIPE ? 0 : 1;
}

START_TEST(close_wakes_consumers_that_sleep)
{
    par_process *p[3];

    make_queue(NULL);
    for (int i = 0; i < 3; i++)
        p[i] = start(get_until_the_end, NULL);
    put_int(1);
    while (!par_queue_empty(q))
        nap();
    par_queue_close(q);
    for (int i = 0; i < 3; i++)
        reap(p[i]);
    par_queue_free(q);
}
END_TEST

START_TEST(close_wakes_producers_that_sleep)
{
    par_process *p[3];

    make_queue(&(par_queue_opts){ .maxsize = 1 });
    for (int i = 0; i < 3; i++)
        p[i] = start(put_until_the_end, NULL);
    while (!par_queue_full(q))
        nap();
    par_queue_close(q);
    for (int i = 0; i < 3; i++)
        reap(p[i]);
    par_queue_free(q);
}
END_TEST

/* ---- processes */

static int
put_ten_more(void *arg)
{
    (void)arg;
    for (int i = 10; i < 20; i++)
        if (par_queue_put(q, &i, sizeof i, par_in(20)) != 0)
            return 1;
    return 0;
}

START_TEST(childs_messages_follow_the_parents)
{
    make_queue(NULL);
    for (int i = 0; i < 10; i++)
        put_int(i);
    reap(start(put_ten_more, NULL));
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(get_int(), i);
    par_queue_free(q);
}
END_TEST

static int
put_from_a_grandchild(void *arg)
{
    par_process *p = par_process_start(put_ten_more, arg, 0, NULL);
    int code = p && par_process_join(p, par_in(20)) == 0 ? par_process_exitcode(p) : 1;

    par_process_free(p);
    return code;
}

START_TEST(grandchild_and_plain_fork_use_the_queue)
{
    make_queue(NULL);
    reap(start(put_from_a_grandchild, NULL));
    ck_assert_int_eq(fixture_in_child(put_ten_more, NULL), 0);
    for (int i = 10; i < 30; i++)
        ck_assert_int_eq(get_int(), i < 20 ? i : i - 10);
    par_queue_free(q);
}
END_TEST

static int
answer_through_the_queue_in_the_block(void *arg)
{
    par_queue **both = arg;
    int i;

    if (par_queue_get(both[0], &i, sizeof i, par_in(20)) != sizeof i)
        return 1;
    i++;
    return par_queue_put(both[1], &i, sizeof i, par_in(20));
}

START_TEST(queues_are_found_through_shared_memory)
{
    par_queue **both = par_array(par_queue *, 2);
    par_process *p;
    int i = 41;

    ck_assert_ptr_nonnull(both);
    both[0] = par_queue_new(NULL);
    both[1] = par_queue_new(NULL);
    p = start(answer_through_the_queue_in_the_block, both);
    ck_assert_int_eq(par_queue_put(both[0], &i, sizeof i, par_in(20)), 0);
    ck_assert_int_eq(par_queue_get(both[1], &i, sizeof i, par_in(20)), sizeof i);
    ck_assert_int_eq(i, 42);
    reap(p);
    par_queue_free(both[0]);
    par_queue_free(both[1]);
    par_shared_free(both);
}
END_TEST

static int
see_empty_then_full(void *arg)
{
    (void)arg;
    if (!par_queue_empty(q) || par_queue_full(q))
        return 1;
    if (par_queue_put(q, "abcd", 4, PAR_NOWAIT) != 0)
        return 2;
    par_queue_free(q); /* not ours: nothing happens */
    return par_queue_full(q) ? 0 : 3;
}

START_TEST(empty_and_full_are_seen_across_processes)
{
    make_queue(&(par_queue_opts){ .maxsize = 1 });
    reap(start(see_empty_then_full, NULL));
    ck_assert(!par_queue_empty(q) && par_queue_full(q));
    (void)get_int();
    reap(start(see_empty_then_full, NULL));
    par_queue_free(q);
}
END_TEST

#define N_MANY 5000

static int
put_many(void *arg)
{
    (void)arg;
    for (int i = 1; i <= N_MANY; i++)
        if (par_queue_put(q, &i, sizeof i, par_in(20)) != 0)
            return 1;
    return 0;
}

static int
add_up(void *arg)
{
    _Atomic long *sum = arg;
    int i;

    while (par_queue_get(q, &i, sizeof i, par_in(20)) == sizeof i)
        atomic_fetch_add(sum, i);
    return errno == EPIPE ? 0 : 1;
}

static void
many_to_many(const par_queue_opts *opts)
{
    _Atomic long *sum = fixture_shared(sizeof *sum);
    par_process *producer[3], *consumer[3];

    make_queue(opts);
    for (int i = 0; i < 3; i++) {
        consumer[i] = start(add_up, sum);
        producer[i] = start(put_many, NULL);
    }
    for (int i = 0; i < 3; i++)
        reap(producer[i]);
    par_queue_close(q);
    for (int i = 0; i < 3; i++)
        reap(consumer[i]);
    ck_assert_int_eq(atomic_load(sum), 3L * N_MANY * (N_MANY + 1) / 2);
    par_queue_free(q);
}

START_TEST(many_producers_and_consumers_lose_nothing)
{
    many_to_many(NULL);
}
END_TEST

START_TEST(many_producers_and_consumers_through_a_queue_of_one)
{
    many_to_many(&(par_queue_opts){ .maxsize = 1 });
}
END_TEST

START_TEST(many_producers_and_consumers_through_a_small_ring)
{
    many_to_many(&(par_queue_opts){ .capacity = 4096 });
}
END_TEST

/* ---- task_done and join */

START_TEST(join_waits_for_every_task)
{
    make_queue(NULL);
    ck_assert_int_eq(par_queue_join(q, PAR_FOREVER), 0);
    put_int(1);
    put_int(2);
    ck_fails(par_queue_join(q, PAR_NOWAIT), ETIMEDOUT);
    (void)get_int();
    ck_assert_int_eq(par_queue_task_done(q), 0);
    (void)get_int();
    ck_fails(par_queue_join(q, par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(par_queue_task_done(q), 0);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    put_int(3);
    ck_fails(par_queue_join(q, PAR_NOWAIT), ETIMEDOUT);
    par_queue_free(q);
}
END_TEST

START_TEST(task_done_too_often_is_erange)
{
    make_queue(NULL);
    ck_fails(par_queue_task_done(q), ERANGE);
    put_int(1);
    ck_fails(par_queue_task_done(q), ERANGE);
    (void)get_int();
    ck_assert_int_eq(par_queue_task_done(q), 0);
    ck_fails(par_queue_task_done(q), ERANGE);
    par_queue_free(q);
}
END_TEST

START_TEST(peek_leaves_the_message)
{
    char small[10] = "", big[5000];
    memset(big, 'b', sizeof big);
    q = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    ck_fails(par_queue_peek(q, small, sizeof small, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_queue_put(q, "one", 3, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_queue_put(q, big, sizeof big, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_queue_put(q, NULL, 0, PAR_NOWAIT), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(par_queue_peek(q, small, sizeof small, PAR_NOWAIT), 3);
        ck_assert_mem_eq(small, "one", 3);
    }
    ck_fails(par_queue_peek(q, small, 2, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_queue_peek(NULL, small, 2, PAR_NOWAIT), EINVAL);
    ck_assert_int_eq(par_queue_qsize(q), 3);
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    memset(big, 0, sizeof big);
    ck_assert_int_eq(par_queue_peek(q, big, sizeof big, PAR_NOWAIT), sizeof big);
    ck_assert_int_eq(big[4999], 'b');
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_queue_peek(q, NULL, 0, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

START_TEST(clear_drops_what_waits_as_done)
{
    q = par_queue_new(NULL);
    ck_assert_int_eq(par_queue_clear(q), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100; i++)
            ck_assert_int_eq(par_queue_put(q, &i, sizeof i, PAR_NOWAIT), 0);
        if (round == 1)
            par_queue_close(q);
        ck_assert_int_eq(par_queue_clear(q), 100);
        ck_assert(par_queue_empty(q));
        ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    }
    ck_assert_int_eq(par_queue_clear(q), 0);
    ck_fails(par_queue_skip(q, PAR_NOWAIT), EPIPE);
    ck_fails(par_queue_clear(NULL), EINVAL);
    par_queue_free(q);
}
END_TEST

START_TEST(skip_and_get_alloc_and_values_are_tasks)
{
    make_queue(NULL);
    put_int(1);
    put_int(2);
    ck_assert_int_eq(par_queue_put_obj(q, par_int(3), PAR_NOWAIT), 0);
    ck_assert_int_eq(par_queue_skip(q, PAR_NOWAIT), 0);
    free(par_queue_get_alloc(q, NULL, PAR_NOWAIT));
    par_obj_free(par_queue_get_obj(q, PAR_NOWAIT));
    for (int i = 0; i < 3; i++) {
        ck_fails(par_queue_join(q, PAR_NOWAIT), ETIMEDOUT);
        ck_assert_int_eq(par_queue_task_done(q), 0);
    }
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

static int
work(void *arg)
{
    _Atomic int *n = arg;
    int i;

    while (par_queue_get(q, &i, sizeof i, par_in(20)) == sizeof i) {
        atomic_fetch_add(n, 1);
        if (par_queue_task_done(q) != 0)
            return 1;
    }
    return errno == EPIPE ? 0 : 2;
}

START_TEST(join_returns_when_four_workers_are_done)
{
    _Atomic int *n = fixture_shared(sizeof *n);
    par_process *p[4];

    make_queue(NULL);
    for (int i = 0; i < 4; i++)
        p[i] = start(work, n);
    for (int round = 1; round <= 20; round++) {
        for (int i = 0; i < 50; i++)
            put_int(i);
        ck_assert_int_eq(par_queue_join(q, par_in(20)), 0);
        ck_assert_int_eq(atomic_load(n), 50 * round);
    }
    par_queue_close(q);
    for (int i = 0; i < 4; i++)
        reap(p[i]);
    par_queue_free(q);
}
END_TEST

/* ---- registered producers */

static int
put_three(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        if (par_queue_put(q, &i, sizeof i, par_in(20)) != 0)
            return 1;
    return 0;
}

START_TEST(queue_ends_when_all_its_producers_have_ended)
{
    par_process *p[2];
    int i, n = 0;

    make_queue(&(par_queue_opts){ .producers = 2 });
    for (int k = 0; k < 2; k++)
        p[k] = start(put_three, NULL);
    while (par_queue_get(q, &i, sizeof i, par_in(20)) == sizeof i)
        n++;
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(n, 6);
    for (int k = 0; k < 2; k++)
        reap(p[k]);
    ck_fails(par_queue_put(q, &i, sizeof i, PAR_NOWAIT), EPIPE);
    par_queue_free(q);
}
END_TEST

START_TEST(queue_ends_when_its_last_producer_leaves)
{
    int i;

    make_queue(&(par_queue_opts){ .producers = 1 });
    ck_assert_int_eq(par_queue_producer_leave(q), 0);
    ck_assert_int_eq(par_queue_producer_join(q), 0);
    ck_assert_int_eq(par_queue_producer_join(q), 0);
    put_int(1);
    ck_assert_int_eq(par_queue_producer_leave(q), 0);
    ck_fails(par_queue_put(q, "x", 1, PAR_NOWAIT), EPIPE);
    ck_fails(par_queue_producer_join(q), EPIPE);
    ck_assert_int_eq(get_int(), 1);
    ck_fails(par_queue_get(q, &i, sizeof i, PAR_FOREVER), EPIPE);
    par_queue_free(q);
}
END_TEST

static int
put_is_eperm(void *arg)
{
    (void)arg;
    if (par_queue_put(q, "x", 1, PAR_NOWAIT) != -1 || errno != EPERM)
        return 1;
    return par_queue_producer_join(q) == -1 && errno == EPERM ? 0 : 2;
}

START_TEST(producer_too_many_is_eperm_until_one_leaves)
{
    int i;

    make_queue(&(par_queue_opts){ .producers = 2 });
    put_int(0);
    reap(start(put_three, NULL));
    ck_assert_int_eq(par_queue_producer_join(q), 0);
    reap(start(put_three, NULL)); /* takes the place of the one that has ended */
    for (i = 0; i < 7; i++)
        (void)get_int();
    par_queue_free(q);
    make_queue(&(par_queue_opts){ .producers = 1 });
    put_int(0);
    reap(start(put_is_eperm, NULL));
    (void)get_int();
    ck_fails(par_queue_get(q, &i, sizeof i, PAR_NOWAIT), ETIMEDOUT);
    par_queue_free(q);
}
END_TEST

START_TEST(producers_mean_nothing_without_the_option)
{
    make_queue(NULL);
    ck_assert_int_eq(par_queue_producer_join(q), 0);
    ck_assert_int_eq(par_queue_producer_leave(q), 0);
    put_int(1);
    ck_assert_int_eq(get_int(), 1);
    par_queue_free(q);
}
END_TEST

/* ---- wrong use */

START_TEST(wrong_arguments_are_einval)
{
    static uint64_t not_a_queue[64];
    par_queue *volatile bad = (par_queue *)(void *)not_a_queue;
    int i = 0;

    make_queue(NULL);
    ck_fails(par_queue_put(q, nowhere, one, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_get(q, nowhere, one, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_put(NULL, &i, sizeof i, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_get(bad, &i, sizeof i, PAR_NOWAIT), EINVAL);
    ck_fails_null(par_queue_get_alloc(NULL, NULL, PAR_NOWAIT), EINVAL);
    ck_fails_null(par_queue_get_obj(bad, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_skip(NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_task_done(bad), EINVAL);
    ck_fails(par_queue_join(NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_queue_qsize(NULL), EINVAL);
    ck_fails(par_queue_producer_join(NULL), EINVAL);
    ck_fails(par_queue_producer_leave(bad), EINVAL);
    ck_assert(par_queue_empty(bad) && !par_queue_full(NULL));
    par_queue_close(bad);
    par_queue_free(bad);
    par_queue_free(NULL);
    par_queue_free(q);
    ck_fails(par_queue_qsize(q), EINVAL);
}
END_TEST

START_TEST(sizes_beyond_any_memory_are_refused)
{
    make_queue(NULL);
    ck_fails(par_queue_put(q, &q, size_max, PAR_NOWAIT), EMSGSIZE);
    ck_fails(par_queue_put(q, &q, size_max / 8, PAR_NOWAIT), ENOSPC);
    put_int(1);
    ck_assert_int_eq(get_int(), 1);
    par_queue_free(q);
    ck_fails_null(par_queue_new(&(par_queue_opts){ .capacity = SIZE_MAX }), EOVERFLOW);
    ck_fails_null(par_queue_new(&(par_queue_opts){ .item_size = SIZE_MAX }), EOVERFLOW);
    ck_fails_null(par_queue_new(&(par_queue_opts){ .producers = 1000000 }), EOVERFLOW);
}
END_TEST

static int
fault_enospc(enum pari_call call)
{
    return call == PARI_CALL_FALLOCATE ? ENOSPC : 0;
}

START_TEST(full_memory_fails_one_put_and_the_queue_goes_on)
{
    static char data[8 << 20];
    size_t before;

    make_queue(NULL);
    put_int(1);
    ck_assert_int_eq(get_int(), 1);
    before = pari_heap_in_use();
    pari_fault_hook = fault_enospc;
    ck_fails(par_queue_put(q, data, sizeof data, PAR_NOWAIT), ENOSPC);
    ck_fails_null(par_queue_new(&(par_queue_opts){ .capacity = 1u << 30 }), ENOSPC);
    pari_fault_hook = NULL;
    ck_assert_uint_eq(pari_heap_in_use(), before);
    put_int(1);
    ck_assert_int_eq(get_int(), 1);
    par_queue_free(q);
}
END_TEST

/* ---- threads */

#define N_THREADS 3
#define N_EACH 4000

static void *
put_in_a_thread(void *arg)
{
    static const char big[2000];

    for (int i = 0; i < N_EACH; i++)
        if (par_queue_put(q, i % 50 ? (const void *)&i : big, i % 50 ? sizeof i : sizeof big, par_in(20)) != 0)
            return NULL;
    return arg;
}

static void *
get_in_a_thread(void *arg)
{
    _Atomic int *n = arg;
    char buf[2000];

    while (par_queue_get(q, buf, sizeof buf, par_in(20)) > 0) {
        atomic_fetch_add(n, 1);
        if (par_queue_task_done(q) != 0)
            return NULL;
    }
    return errno == EPIPE ? arg : NULL;
}

START_TEST(threads_share_a_queue)
{
    pthread_t producer[N_THREADS], consumer[N_THREADS];
    _Atomic int n = 0;
    void *result;

    make_queue(&(par_queue_opts){ .capacity = 4096, .maxsize = 50 });
    for (int i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(pthread_create(&producer[i], NULL, put_in_a_thread, &n), 0);
        ck_assert_int_eq(pthread_create(&consumer[i], NULL, get_in_a_thread, &n), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(pthread_join(producer[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_int_eq(par_queue_join(q, par_in(20)), 0);
    ck_assert_int_eq(atomic_load(&n), N_THREADS * N_EACH);
    par_queue_close(q);
    for (int i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(pthread_join(consumer[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    par_queue_free(q);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("queue");
    TCase *tcase = fixture_case(suite, "messages");

    tcase_add_test(tcase, messages_come_out_in_order);
    tcase_add_test(tcase, messages_of_any_size);
    tcase_add_test(tcase, message_too_long_for_the_buffer_stays);
    tcase_add_test(tcase, other_size_than_item_size_is_emsgsize);
    tcase_add_test(tcase, values_come_through);
    tcase_add_test(tcase, free_releases_what_was_not_got);
    tcase_add_test(tcase, many_are_put_and_got_in_order);
    tcase_add_test(tcase, many_are_put_as_far_as_there_is_room);
    tcase_add_test(tcase, many_are_got_up_to_one_of_another_size);
    tcase_add_test(tcase, many_big_and_many_empty_ones);
    tcase_add_test(tcase, wrong_arguments_for_many);
    tcase_add_test(tcase, many_go_through_a_small_ring_from_process_to_process);

    tcase = fixture_case(suite, "waiting");
    tcase_add_test(tcase, queue_of_six_items_is_full_with_six);
    tcase_add_test(tcase, queue_is_bounded_in_bytes);
    tcase_add_test(tcase, big_messages_are_bounded_together);
    tcase_add_test(tcase, empty_queue_times_out_and_never_early);
    tcase_add_test(tcase, qsize_counts);
    tcase_add_test(tcase, interrupt_ends_an_endless_get);
    tcase_add_test(tcase, closed_queue_drains_then_epipe);
    tcase_add_test(tcase, close_wakes_consumers_that_sleep);
    tcase_add_test(tcase, close_wakes_producers_that_sleep);

    tcase = fixture_case(suite, "processes");
    tcase_add_test(tcase, childs_messages_follow_the_parents);
    tcase_add_test(tcase, grandchild_and_plain_fork_use_the_queue);
    tcase_add_test(tcase, queues_are_found_through_shared_memory);
    tcase_add_test(tcase, empty_and_full_are_seen_across_processes);
    tcase_add_test(tcase, many_producers_and_consumers_lose_nothing);
    tcase_add_test(tcase, many_producers_and_consumers_through_a_queue_of_one);
    tcase_add_test(tcase, many_producers_and_consumers_through_a_small_ring);

    tcase = fixture_case(suite, "tasks");
    tcase_add_test(tcase, join_waits_for_every_task);
    tcase_add_test(tcase, task_done_too_often_is_erange);
    tcase_add_test(tcase, skip_and_get_alloc_and_values_are_tasks);
    tcase_add_test(tcase, peek_leaves_the_message);
    tcase_add_test(tcase, clear_drops_what_waits_as_done);
    tcase_add_test(tcase, join_returns_when_four_workers_are_done);

    tcase = fixture_case(suite, "producers");
    tcase_add_test(tcase, queue_ends_when_all_its_producers_have_ended);
    tcase_add_test(tcase, queue_ends_when_its_last_producer_leaves);
    tcase_add_test(tcase, producer_too_many_is_eperm_until_one_leaves);
    tcase_add_test(tcase, producers_mean_nothing_without_the_option);

    tcase = fixture_case(suite, "wrong use");
    tcase_add_test(tcase, wrong_arguments_are_einval);
    tcase_add_test(tcase, sizes_beyond_any_memory_are_refused);
    tcase_add_test(tcase, full_memory_fails_one_put_and_the_queue_goes_on);

    tcase = fixture_thread_case(suite, "threads");
    tcase_add_test(tcase, threads_share_a_queue);
    return fixture_run(suite);
}
