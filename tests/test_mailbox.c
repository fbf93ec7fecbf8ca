/* SPDX-License-Identifier: MIT
 *
 * test_mailbox.c: requests and answers in shared memory, both sides of them in one process.
 */
#include "fixture.h"

#include <par/manager.h>
#include <par/process.h>
#include <par/shared.h>
#include <par/sync.h>

#include "../libpar/manager/mailbox.h"

static struct pari_mailbox *box;
static unsigned char bytes[PARI_MAILBOX_MAX];

static void
make_box(void)
{
    box = pari_mailbox_new(pari_self());
    ck_assert_ptr_nonnull(box);
    ck_assert_ptr_eq(pari_mailbox_take((uintptr_t)box, box->offer, getpid()), box);
}

/* ---- what goes through */

START_TEST(request_and_answer_come_whole)
{
    size_t size[] = { 1, 7, 100, PARI_MAILBOX_MAX };

    make_box();
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        memset(bytes, (int)i + 1, sizeof bytes);
        ck_assert(!pari_mailbox_has_request(box));
        ck_assert_int_eq(pari_mailbox_request(box, bytes), 0);
        (void)pari_mailbox_ask(box, bytes, size[i]);
        ck_assert(pari_mailbox_has_request(box));
        memset(bytes, 0, sizeof bytes);
        ck_assert_int_eq(pari_mailbox_request(box, bytes), (ssize_t)size[i]);
        ck_assert_uint_eq(bytes[0], i + 1);
        ck_assert_uint_eq(bytes[size[i] - 1], i + 1);
        ck_assert(pari_mailbox_answer(box, bytes, size[i]));
        ck_assert(!pari_mailbox_has_request(box));
        memset(bytes, 0, sizeof bytes);
        ck_assert_int_eq(pari_mailbox_await(box, bytes, par_in(20)), (ssize_t)size[i]);
        ck_assert_uint_eq(bytes[size[i] - 1], i + 1);
    }
    pari_mailbox_free(box);
}
END_TEST

START_TEST(large_answer_is_announced)
{
    make_box();
    (void)pari_mailbox_ask(box, "x", 1);
    ck_assert(!pari_mailbox_answer(box, bytes, PARI_MAILBOX_MAX + 1));
    ck_assert_int_eq(pari_mailbox_await(box, bytes, par_in(20)), 0);
    pari_mailbox_free(box);
}
END_TEST

START_TEST(client_rings_unless_the_server_looks)
{
    make_box();
    ck_assert(pari_mailbox_ask(box, "x", 1));
    ck_assert(pari_mailbox_answer(box, "y", 1));
    pari_mailbox_watch(box);
    ck_assert(!pari_mailbox_ask(box, "x", 1));
    ck_assert(pari_mailbox_answer(box, "y", 1));
    pari_mailbox_rest(box);
    ck_assert(pari_mailbox_ask(box, "x", 1));
    pari_mailbox_free(box);
}
END_TEST

START_TEST(unanswered_request_ends_with_its_deadline)
{
    make_box();
    (void)pari_mailbox_ask(box, "x", 1);
    ck_fails(pari_mailbox_await(box, bytes, par_in(0.01)), ETIMEDOUT);
    par_interrupt(true);
    ck_fails(pari_mailbox_await(box, bytes, par_in(20)), EINTR);
    par_interrupt(false);
    pari_mailbox_free(box);
}
END_TEST

/* ---- posts */

static size_t
next_post(uint64_t *turn)
{
    struct pari_message post;

    if (!pari_mailbox_next_post(box, &post, turn))
        return 0;
    size_t size = pari_mailbox_read_post(box, &post, bytes);
    pari_mailbox_drop_post(box, &post);
    return size;
}

START_TEST(posts_are_refused_until_the_server_takes_them)
{
    make_box();
    ck_assert_int_eq(pari_mailbox_post(box, "x", 1), PARI_POST_REFUSED);
    atomic_store(&box->may_post, true);
    ck_assert_int_eq(pari_mailbox_post(box, "x", 1), PARI_POST_LEFT);
    pari_mailbox_free(box);
}
END_TEST

START_TEST(posts_come_whole_and_in_order)
{
    uint64_t turn, last = 0;

    make_box();
    atomic_store(&box->may_post, true);
    for (int round = 0; round < 300; round++) { /* many times around the ring */
        size_t size[3];
        for (int i = 0; i < 3; i++) {
            size[i] = 1 + fixture_random_below(PARI_MAILBOX_MAX);
            memset(bytes, round + i, sizeof bytes);
            ck_assert_int_eq(pari_mailbox_post(box, bytes, size[i]), PARI_POST_LEFT);
        }
        for (int i = 0; i < 3; i++) {
            memset(bytes, 0xee, sizeof bytes);
            ck_assert_uint_eq(next_post(&turn), size[i]);
            ck_assert_uint_eq(bytes[0], (round + i) & 0xff);
            ck_assert_uint_eq(bytes[size[i] - 1], (round + i) & 0xff);
            ck_assert(round + i == 0 || turn > last);
            last = turn;
        }
        ck_assert_uint_eq(next_post(&turn), 0);
    }
    pari_mailbox_free(box);
}
END_TEST

START_TEST(full_ring_refuses_and_half_a_ring_is_told_once)
{
    enum pari_posted posted;
    uint64_t turn;
    int n = 0, n_many = 0;

    make_box();
    atomic_store(&box->may_post, true);
    while ((posted = pari_mailbox_post(box, bytes, 100)) != PARI_POST_REFUSED) {
        n++;
        n_many += posted == PARI_POST_LEFT_MANY;
        ck_assert(posted != PARI_POST_LEFT_MANY || n == PARI_MAILBOX_RING / 2 / 120 + 1);
    }
    ck_assert_int_eq(n, PARI_MAILBOX_RING / 120); /* a header, a turn, 100 bytes and 4 to fill up */
    ck_assert_int_eq(n_many, 1);
    while (next_post(&turn) > 0)
        n--;
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(pari_mailbox_post(box, bytes, 100), PARI_POST_LEFT);
    pari_mailbox_free(box);
}
END_TEST

START_TEST(posts_that_lie_are_no_posts)
{
    struct pari_message post;
    uint64_t turn;

    make_box();
    pari_ring_put(&box->posts, "short", 5);
    ck_assert(!pari_mailbox_next_post(box, &post, &turn));
    pari_ring_init(&box->posts, box->posts_bytes, PARI_MAILBOX_RING);
    pari_mailbox_free(box);

    make_box();
    static const unsigned char too_long[PARI_MAILBOX_MAX + 9];
    pari_ring_put(&box->posts, too_long, sizeof too_long);
    ck_assert(pari_mailbox_next_post(box, &post, &turn));
    ck_assert_uint_eq(pari_mailbox_read_post(box, &post, bytes), 0);
    pari_mailbox_free(box);
}
END_TEST

/* ---- what does not */

START_TEST(sizes_that_lie_are_refused)
{
    make_box();
    (void)pari_mailbox_ask(box, "x", 1);
    box->request.size = PARI_MAILBOX_MAX + 1;
    ck_fails(pari_mailbox_request(box, bytes), EBADMSG);
    box->request.size = UINT32_MAX;
    ck_fails(pari_mailbox_request(box, bytes), EBADMSG);
    box->request.size = 0;
    ck_fails(pari_mailbox_request(box, bytes), EBADMSG);
    ck_assert(pari_mailbox_answer(box, "y", 1));
    box->answer.size = UINT32_MAX;
    ck_fails(pari_mailbox_await(box, bytes, par_in(20)), EBADMSG);
    pari_mailbox_free(box);
}
END_TEST

START_TEST(offers_of_something_else_are_refused)
{
    int *value = par_value(int);

    make_box();
    ck_fails_null(pari_mailbox_take((uintptr_t)box, box->offer, getpid()), EINVAL); /* taken */
    ck_fails_null(pari_mailbox_take(0, 0, getpid()), EINVAL);
    ck_fails_null(pari_mailbox_take(1, 0, getpid()), EINVAL);
    ck_fails_null(pari_mailbox_take(UINTPTR_MAX - 63, 0, getpid()), EINVAL);
    ck_fails_null(pari_mailbox_take((uintptr_t)value, 0, getpid()), EINVAL);
    ck_fails_null(pari_mailbox_take((uintptr_t)bytes, 0, getpid()), EINVAL);
    pari_mailbox_free(box);
    box = pari_mailbox_new(pari_self());
    ck_fails_null(pari_mailbox_take((uintptr_t)box, box->offer - 1, getpid()), EINVAL); /* a late offer of the one before */
    ck_fails_null(pari_mailbox_take((uintptr_t)box, box->offer, getppid()), EINVAL);    /* another client's */
    pari_mailbox_leave(box);
    box = pari_mailbox_new(pari_member_parent(pari_self())); /* another server's */
    ck_fails_null(pari_mailbox_take((uintptr_t)box, box->offer, getpid()), EINVAL);
    pari_mailbox_leave(box);
    par_shared_free(value);
}
END_TEST

/* ---- who frees it */

START_TEST(left_to_a_server_that_lives_it_is_the_servers)
{
    pari_member server = pari_member_reserve();
    size_t before = pari_heap_in_use();

    box = pari_mailbox_new(server);
    ck_assert(pari_heap_share(box, pari_self(), server));
    pari_mailbox_leave(box);
    ck_assert_uint_eq(pari_heap_owner(box), server);
    ck_assert_uint_gt(pari_heap_in_use(), before);
    pari_member_release(server);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(left_to_a_server_that_is_gone_it_is_freed)
{
    pari_member server = pari_member_reserve();
    size_t before = pari_heap_in_use();

    box = pari_mailbox_new(server);
    ck_assert(pari_heap_share(box, pari_self(), server));
    pari_member_release(server);
    pari_mailbox_leave(box);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

struct offer {
    pari_member server;
    struct pari_mailbox *box;
    uint64_t number;
    par_event made, taken;
};

static int
offer_and_die(void *arg)
{
    struct offer *offer = arg;

    offer->box = pari_mailbox_new(offer->server);
    offer->number = offer->box->offer;
    par_event_set(&offer->made);
    return par_event_wait(&offer->taken, par_in(20));
}

static int
offer_and_ask(void *arg)
{
    struct offer *offer = arg;

    if (offer_and_die(arg) != 0)
        return 1;
    (void)pari_mailbox_ask(offer->box, "x", 1);
    return pari_mailbox_await(offer->box, bytes, par_in(20)) < 0 && errno == EPIPE ? 0 : 2;
}

static struct offer *
hear_offer(int (*body)(void *arg), par_process **client)
{
    struct offer *offer = par_value(struct offer);

    ck_assert_ptr_nonnull(offer);
    offer->server = pari_self();
    ck_assert_int_eq(par_event_wait(&offer->made, par_in(0.001)), -1); /* has its cell from now on */
    *client = par_process_start(body, offer, 0, NULL);
    ck_assert_ptr_nonnull(*client);
    ck_assert_int_eq(par_event_wait(&offer->made, par_in(20)), 0);
    return offer;
}

static void
end_client(struct offer *offer, par_process *client)
{
    par_event_set(&offer->taken);
    ck_assert_int_eq(par_process_join(client, par_in(20)), 0); /* which releases and sweeps it */
    ck_assert_int_eq(par_process_exitcode(client), 0);
    par_process_free(client);
}

START_TEST(of_a_dead_client_it_is_the_servers)
{
    size_t before = pari_heap_in_use();
    par_process *client;
    struct offer *offer = hear_offer(offer_and_die, &client);

    ck_assert_ptr_eq(pari_mailbox_take((uintptr_t)offer->box, offer->number, par_process_pid(client)), offer->box);
    end_client(offer, client);
    ck_assert_uint_eq(pari_heap_owner(offer->box), pari_self());
    pari_mailbox_free(offer->box);
    par_shared_free(offer);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* As of a client that asked what makes no sense: it is not left waiting, and the block is its own again. */
START_TEST(server_that_gives_up_ends_the_waiting_and_inherits_nothing)
{
    size_t before = pari_heap_in_use();
    par_process *client;
    struct offer *offer = hear_offer(offer_and_ask, &client);

    ck_assert_ptr_eq(pari_mailbox_take((uintptr_t)offer->box, offer->number, par_process_pid(client)), offer->box);
    pari_mailbox_watch(offer->box);
    pari_mailbox_free(offer->box);
    end_client(offer, client);
    par_shared_free(offer);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(renounced_in_either_order_it_is_freed_once)
{
    size_t before = pari_heap_in_use();

    make_box();
    pari_mailbox_leave(box); /* it has the same heir, who renounces then */
    ck_assert_uint_eq(pari_heap_owner(box), pari_self());
    pari_heap_renounce(box);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    box = pari_mailbox_new(pari_self());
    ck_assert(pari_heap_share(box, pari_self(), pari_member_parent(pari_self()) + 1));
    pari_mailbox_leave(box); /* the heir is no member: freed */
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(of_a_dead_client_nobody_can_take_it)
{
    size_t before = pari_heap_in_use();
    par_process *client;
    struct offer *offer = hear_offer(offer_and_die, &client);
    pid_t pid = par_process_pid(client);

    end_client(offer, client);
    ck_fails_null(pari_mailbox_take((uintptr_t)offer->box, offer->number, pid), EINVAL);
    par_shared_free(offer);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("mailbox");
    TCase *through = fixture_case(suite, "what goes through"), *not_through = fixture_case(suite, "what does not"),
          *posts = fixture_case(suite, "posts"), *free = fixture_case(suite, "who frees it");

    tcase_add_test(through, request_and_answer_come_whole);
    tcase_add_test(through, large_answer_is_announced);
    tcase_add_test(through, client_rings_unless_the_server_looks);
    tcase_add_test(through, unanswered_request_ends_with_its_deadline);
    tcase_add_test(posts, posts_are_refused_until_the_server_takes_them);
    tcase_add_test(posts, posts_come_whole_and_in_order);
    tcase_add_test(posts, full_ring_refuses_and_half_a_ring_is_told_once);
    tcase_add_test(posts, posts_that_lie_are_no_posts);
    tcase_add_test(not_through, sizes_that_lie_are_refused);
    tcase_add_test(not_through, offers_of_something_else_are_refused);
    tcase_add_test(free, left_to_a_server_that_lives_it_is_the_servers);
    tcase_add_test(free, left_to_a_server_that_is_gone_it_is_freed);
    tcase_add_test(free, of_a_dead_client_it_is_the_servers);
    tcase_add_test(free, server_that_gives_up_ends_the_waiting_and_inherits_nothing);
    tcase_add_test(free, renounced_in_either_order_it_is_freed_once);
    tcase_add_test(free, of_a_dead_client_nobody_can_take_it);
    return fixture_run(suite);
}
