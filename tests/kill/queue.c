/* SPDX-License-Identifier: MIT
 *
 * queue.c: put, get, task_done and join, of small and big messages, with and without room.
 *
 * Messages are numbered and filled with their number: 1, 2, ... are the world's, 101 and 102 the victims'.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

#include <poll.h>
#include <string.h>

#define SMALL 24
#define BIG 1500 /* above a quarter of the capacity */
#define MINE 101

static par_queue *q;
static size_t size;

static unsigned char *
message(long number)
{
    static unsigned char bytes[BIG];

    memset(bytes, (int)(number & 255), size);
    memcpy(bytes, &number, sizeof number);
    return bytes;
}

/* The number, 0: there is none, -1: an error. */
static long
get(par_time deadline)
{
    static unsigned char bytes[BIG];
    ssize_t got = par_queue_get(q, bytes, sizeof bytes, deadline);
    long number;

    if (got < 0)
        return errno == ETIMEDOUT ? 0 : -1;
    memcpy(&number, bytes, sizeof number);
    if ((size_t)got != size || memcmp(bytes, message(number), size) != 0)
        find(TORN, "a message of %zd bytes, number %ld", got, number);
    return number;
}

static int
put(long number, par_time deadline)
{
    return par_queue_put(q, message(number), size, deadline);
}

static void
make(size_t of_size, size_t maxsize, long n)
{
    size = of_size;
    q = par_queue_new(&(par_queue_opts){ .maxsize = maxsize, .capacity = 4096 });
    expect_ready(q != NULL);
    /* The two sides' first use, and this process's account. */
    expect_ready(put(9, PAR_NOWAIT) == 0 && get(PAR_NOWAIT) == 9 && par_queue_task_done(q) == 0);
    leak_mark();
    for (long i = 1; i <= n; i++)
        expect_ready(put(i, PAR_NOWAIT) == 0);
}

static void
set_up_small(void)
{
    make(SMALL, 0, 3);
}

static void
set_up_big(void)
{
    make(BIG, 0, 3);
}

static void
set_up_full(void)
{
    make(SMALL, 3, 3);
}

static void
set_up_empty(void)
{
    make(SMALL, 0, 0);
}

/* ---- put */

static void
put_mine(int which)
{
    (void)put(MINE + which, par_in(10));
}

/* What the world has put comes in order, then the victims' if they did, each once. */
static void
expect_from(long first)
{
    bool was_got[2] = { false, false };
    long number;

    for (long i = first; i <= 3; i++)
        expect(LOST, get(soon()) == i);
    while ((number = get(PAR_NOWAIT)) > 0) {
        expect(DUPLICATED, number >= MINE && number <= MINE + 1 && !was_got[number - MINE]);
        was_got[number - MINE] = true;
    }
    expect(TORN, number == 0);
    for (int i = 0; i < 2; i++)
        expect(LOST, was_got[i] || !has_ended(i));
}

static void
put_and_get_again(void)
{
    for (long i = 4; i < 7; i++)
        expect_done(put(i, soon()));
    for (long i = 4; i < 7; i++)
        expect(LOST, get(soon()) == i);
}

static void
check_put(void)
{
    expect_from(1);
    put_and_get_again();
    leak_check(0);
    par_queue_free(q);
}

/* One is taken out for each victim that sleeps. */
static void
make_more_room(int which)
{
    static long next = 1;

    (void)which;
    expect(LOST, get(PAR_NOWAIT) == next++);
    atomic_store(&page->note[0], next - 1);
}

static void
check_put_full(void)
{
    expect_from(atomic_load(&page->note[0]) + 1);
    put_and_get_again();
    leak_check(0);
    par_queue_free(q);
}

static int
consumer(int i)
{
    long number;

    helper_park(i);
    number = get(par_in(2 * PATIENCE));
    atomic_store(&page->note[1], number);
    if (number > 0 && par_queue_task_done(q) != 0)
        return TORN;
    return number > 0 ? FINE : number == 0 ? HUNG : TORN;
}

static void
set_up_consumer(void)
{
    set_up_empty();
    helper_start(0, consumer);
    helper_await(0);
}

static void
check_consumer(void)
{
    long number;

    if (!has_ended(0) && !has_ended(1))
        expect_done(put(1, soon()));
    helper_join(0);
    while ((number = get(PAR_NOWAIT)) > 0)
        expect(DUPLICATED, number != atomic_load(&page->note[1]));
    put_and_get_again();
    leak_check(4096); /* the consumer's account */
    par_queue_free(q);
}

/* ---- get */

static void
get_one(int which)
{
    long number = get(par_in(10));

    atomic_store(&page->victim[which].result, number);
}

/* What is left is an unbroken end of 1, 2, 3, and what the dead have got is counted, exactly. */
static void
check_get(void)
{
    long first = get(PAR_NOWAIT), last = first, n = first > 0, number;

    while ((number = get(PAR_NOWAIT)) > 0) {
        expect(LOST, number == last + 1);
        last = number;
        n++;
    }
    expect(TORN, number == 0);
    expect(LOST, n == 0 || last == 3);
    expect(LOST, n + 2 >= 3);
    expect(DUPLICATED, n <= 3 - has_ended(0) - has_ended(1));
    for (int i = 0; i < 2; i++)
        expect(DUPLICATED, !has_ended(i) || n == 0 || page->victim[i].result < first);
    put_and_get_again();
    for (long i = 0; i < n + 3; i++)
        expect(TORN, par_queue_task_done(q) == 0);
    number = par_queue_join(q, soon());
    if (number < 0)
        find(errno == ETIMEDOUT ? HUNG : TORN, "join: errno %d", errno);
    if (number != 3 - n)
        find(LOST, "join tells of %ld, the dead have got %ld", number, 3 - n);
    leak_check(8192); /* the victims' accounts: one chunk for 64 of them */
    par_queue_free(q);
}

static void
put_next(int which)
{
    static long next = 1;

    (void)which;
    expect_done(put(next++, soon()));
    atomic_store(&page->note[0], next - 1);
}

static void
peek_and_get(int which)
{
    unsigned char bytes[BIG];

    if (par_queue_peek(q, bytes, sizeof bytes, par_in(10)) > 0)
        get_one(which);
}

static void
wait_and_get(int which)
{
    par_waitable one = { .queue = q };

    if (par_wait(&one, 1, par_in(10)) == 1)
        get_one(which);
}

static void
check_get_waiter(void)
{
    long n_put = atomic_load(&page->note[0]), n = 0, number, lost;

    while ((number = get(PAR_NOWAIT)) > 0)
        n++;
    expect(DUPLICATED, n <= n_put - has_ended(0) - has_ended(1));
    put_and_get_again();
    for (long i = 0; i < n + 3; i++)
        expect(TORN, par_queue_task_done(q) == 0);
    lost = par_queue_join(q, soon());
    if (lost < 0)
        find(errno == ETIMEDOUT ? HUNG : TORN, "join: errno %d", errno);
    expect(LOST, lost == n_put - n);
    par_queue_free(q);
}

/* ---- many at a time */

#define BATCH 3

/* Victim 0 puts 101, 102, 103; victim 1 puts 104, 105, 106. */
static void
put_batch(int which)
{
    unsigned char bytes[BATCH * SMALL];

    for (int i = 0; i < BATCH; i++)
        memcpy(bytes + i * SMALL, message(MINE + which * BATCH + i), SMALL);
    (void)par_queue_put_many(q, bytes, SMALL, BATCH, par_in(10));
}

/* Of each batch the beginning is there, in order, and all of it if the call returned. */
static void
check_put_batch(void)
{
    long number, n[2] = { 0, 0 };

    for (long i = 1; i <= 3; i++)
        expect(LOST, get(soon()) == i);
    while ((number = get(PAR_NOWAIT)) > 0) {
        long which = (number - MINE) / BATCH;
        expect(TORN, number >= MINE && which < 2);
        expect(DUPLICATED, number == MINE + which * BATCH + n[which]);
        n[which]++;
    }
    expect(TORN, number == 0);
    for (int i = 0; i < 2; i++)
        expect(LOST, n[i] == BATCH || !has_ended(i));
    put_and_get_again();
    leak_check(0);
    par_queue_free(q);
}

/* What it got are the first so many of 1, 2, 3. */
static void
get_batch(int which)
{
    unsigned char bytes[BATCH * SMALL];
    long number;
    ssize_t n = par_queue_get_many(q, bytes, SMALL, 2, par_in(10));

    for (ssize_t i = 0; i < n; i++) {
        memcpy(&number, bytes + i * SMALL, sizeof number);
        if (memcmp(bytes + i * SMALL, message(number), SMALL) != 0)
            number = -1;
    }
    atomic_store(&page->victim[which].result, n > 0 ? number : n);
}

static void
check_get_batch(void)
{
    long number, n = 0, lost;
    int n_ended = has_ended(0) + has_ended(1);

    while ((number = get(PAR_NOWAIT)) > 0) {
        n++;
        for (int i = 0; i < 2; i++)
            expect(DUPLICATED, !has_ended(i) || page->victim[i].result < number);
    }
    expect(TORN, number == 0);
    expect(DUPLICATED, n <= 3 - (n_ended > 0 ? 2 : 0) - (n_ended > 1 ? 1 : 0));
    put_and_get_again();
    for (long i = 0; i < n + 3; i++)
        expect(TORN, par_queue_task_done(q) == 0);
    lost = par_queue_join(q, soon());
    if (lost < 0)
        find(errno == ETIMEDOUT ? HUNG : TORN, "join: errno %d", errno);
    expect(LOST, lost == 3 - n);
    leak_check(8192); /* the victims' accounts: one chunk for 64 of them */
    par_queue_free(q);
}

/* ---- task_done, join */

static void
get_first(int which)
{
    atomic_store(&page->victim[which].result, get(par_in(10)));
}

static void
finish(int which)
{
    (void)which;
    (void)par_queue_task_done(q);
}

static void
check_done(void)
{
    int n_victims = (page->victim[0].pid != 0) + (page->victim[1].pid != 0);
    long n = 0;
    ssize_t lost;

    while (get(PAR_NOWAIT) > 0)
        n++;
    expect(TORN, n + n_victims == 3);
    while (n-- > 0)
        expect(TORN, par_queue_task_done(q) == 0);
    lost = par_queue_join(q, soon());
    if (lost < 0)
        find(errno == ETIMEDOUT ? HUNG : TORN, "join: errno %d", errno);
    expect(LOST, lost <= n_victims - has_ended(0) - has_ended(1));
    expect(TORN, par_queue_join(q, soon()) == 0);
    par_queue_free(q);
}

static void
join_all(int which)
{
    (void)which;
    (void)par_queue_join(q, par_in(10));
}

static void
finish_all(int which)
{
    static bool is_finished;

    (void)which;
    if (is_finished)
        return;
    is_finished = true;
    for (long i = 1; i <= 3; i++)
        expect(LOST, get(PAR_NOWAIT) == i && par_queue_task_done(q) == 0);
}

static void
check_join(void)
{
    finish_all(0);
    expect(LOST, par_queue_join(q, soon()) == 0);
    put_and_get_again();
    par_queue_free(q);
}

/* ---- close */

static void
close_it(int which)
{
    (void)which;
    par_queue_close(q);
}

static int
end_seer(int i)
{
    long number;

    helper_park(i);
    while ((number = get(par_in(2 * PATIENCE))) > 0)
        (void)par_queue_task_done(q);
    return number == -1 && errno == EPIPE ? FINE : HUNG;
}

static void
set_up_end(void)
{
    set_up_empty();
    helper_start(0, end_seer);
    helper_await(0);
}

static void
check_close(void)
{
    if (!has_ended(0) && !has_ended(1))
        par_queue_close(q);
    helper_join(0);
    expect(TORN, put(1, PAR_NOWAIT) == -1 && errno == EPIPE);
    par_queue_free(q);
}

/* ---- make and free: what may stay is what was made and never returned */

static void
set_up_nothing(void)
{
    size = SMALL;
    leak_mark();
}

static void
make_and_free(int which)
{
    par_queue *mine = par_queue_new(&(par_queue_opts){ .capacity = 4096 });

    atomic_store(&page->note[which], mine != NULL);
    (void)par_queue_put(mine, message(1), size, PAR_NOWAIT);
    par_queue_free(mine);
}

static void
check_made(void)
{
    int n_cut = (page->victim[0].pid != 0) + (page->victim[1].pid != 0) - has_ended(0) - has_ended(1);

    leak_check((size_t)n_cut * 8192); /* the queue of each that died before it had freed it */
    set_up_empty();
    put_and_get_again();
    par_queue_free(q);
}

/* ---- the only producer dies, and the queue ends with it */

static void
set_up_producer(void)
{
    size = SMALL;
    q = par_queue_new(&(par_queue_opts){ .capacity = 4096, .producers = 1 });
    expect_ready(q != NULL);
}

static void
put_and_leave(int which)
{
    (void)put(MINE + which, par_in(10));
    (void)par_queue_producer_leave(q);
}

/* A victim that was cut before it became the producer leaves its place to the next. */
static void
check_producer(void)
{
    long number, n = 0;

    if (par_queue_producer_join(q) == 0) {
        expect(LOST, !has_ended(0) && !has_ended(1));
        expect_done(par_queue_producer_leave(q));
    } else
        expect(TORN, errno == EPIPE);
    while ((number = get(soon())) > 0) {
        expect(DUPLICATED, number >= MINE && number <= MINE + 1);
        n++;
    }
    expect(HUNG, number == -1 && errno == EPIPE);
    expect(LOST, n >= (has_ended(0) || has_ended(1)));
    expect(TORN, put(1, PAR_NOWAIT) == -1 && errno == EPIPE);
    par_queue_free(q);
}

/* ---- a descriptor for an event loop: what it gets, one at a time, until the descriptor is quiet */

static void
ask_and_drain(int which)
{
    (void)which;
    if (par_queue_fileno(q) >= 0)
        while (get(PAR_NOWAIT) > 0)
            ;
}

static void
check_fileno(void)
{
    long last = 0, number;
    struct pollfd one = { .fd = par_queue_fileno(q), .events = POLLIN };

    expect(TORN, one.fd >= 0); /* the places of the dead are given again */
    while ((number = get(PAR_NOWAIT)) > 0) {
        expect(DUPLICATED, number > last && number <= 3);
        last = number;
    }
    expect(TORN, number == 0);
    for (long i = 4; i < 7; i++) {
        expect_done(put(i, soon()));
        expect(HUNG, poll(&one, 1, 20000) == 1);
        expect(LOST, get(PAR_NOWAIT) == i && get(PAR_NOWAIT) == 0);
    }
    par_queue_free(q);
}

/* ---- a queue with an order: items are their priority; of five, 1 is on lease */

static par_pqueue *pq;
static par_lease first;

static int
pq_put(long number)
{
    return par_pqueue_put(pq, &number, sizeof number, number, soon());
}

/* The number, 0: there is none, -1: an error. */
static long
pq_get(par_time deadline)
{
    long number;
    ssize_t got = par_pqueue_get(pq, &number, sizeof number, deadline);

    return got == sizeof number ? number : got < 0 && errno == ETIMEDOUT ? 0 : -1;
}

static void
set_up_pqueue(void)
{
    leak_mark();
    pq = par_pqueue_new(&(par_pqueue_opts){ .item_size = sizeof(long), .maxsize = 8 });
    expect_ready(pq != NULL);
    for (long i = 1; i <= 5; i++)
        expect_ready(pq_put(i) == 0);
}

static void
pq_put_mine(int which)
{
    (void)pq_put(MINE + which);
}

static void
pq_get_one(int which)
{
    (void)which;
    (void)pq_get(par_in(10));
}

static void
pq_lease_one(int which)
{
    long number;

    (void)which;
    if (par_pqueue_lease(pq, &number, sizeof number, &first, par_in(10)) < 0)
        first.deliveries = 0; /* nothing to acknowledge */
}

static void
pq_lease_and_ack(int which)
{
    pq_lease_one(which);
    (void)par_pqueue_ack(pq, &first, par_in(10));
}

static void
pq_lease_and_nack(int which)
{
    pq_lease_one(which);
    (void)par_pqueue_nack(pq, &first, par_in(10));
}

/* What is there comes once, some of it late; how many of the five are gone, and how many of the victims' are there. */
static void
pq_drain(int *n_gone, int *n_mine)
{
    bool was_got[MINE + 2] = { false };
    long number;

    *n_gone = 5;
    *n_mine = 0;
    while ((number = pq_get(par_in(*n_gone > 0 ? 0.01 : 0))) > 0) {
        expect(DUPLICATED, number < MINE + 2 && !was_got[number]);
        was_got[number] = true;
        if (number >= MINE)
            ++*n_mine;
        else
            --*n_gone;
    }
    expect(TORN, number == 0);
    expect(TORN, par_pqueue_qsize(pq) == 0 && par_pqueue_leased(pq) == 0);
    for (long i = 1; i <= 8; i++)
        expect_done(pq_put(i)); /* all places are free again */
    for (long i = 1; i <= 8; i++)
        expect(LOST, pq_get(soon()) == i);
    par_pqueue_free(pq);
    leak_check(0);
}

static void
check_pq_put(void)
{
    int n_gone, n_mine;

    pq_drain(&n_gone, &n_mine);
    expect(LOST, n_gone == 0 && n_mine >= has_ended(0) + has_ended(1));
}

/* Each victim takes one at most: the first ones. */
static void
check_pq_get(void)
{
    int n_gone, n_mine;

    pq_drain(&n_gone, &n_mine);
    expect(LOST, n_gone <= (page->victim[0].pid != 0) + (page->victim[1].pid != 0));
    expect(DUPLICATED, n_gone >= has_ended(0) + has_ended(1));
}

/* Nothing is gone: what the dead had has come back. */
static void
check_pq_lease(void)
{
    int n_gone, n_mine;

    pq_drain(&n_gone, &n_mine);
    expect(LOST, n_gone == 0);
}

#define OP(op_name, ...)                               \
    {                                                  \
        .group = "queue", .name = op_name, __VA_ARGS__ \
    }

const struct op queue_ops[] = {
    OP("queue_put", .setup = set_up_small, .act = put_mine, .check = check_put),
    OP("queue_put_big", .setup = set_up_big, .act = put_mine, .check = check_put),
    OP("queue_put_full", .setup = set_up_full, .act = put_mine, .meanwhile = make_more_room, .check = check_put_full),
    OP("queue_put_wakes", .setup = set_up_consumer, .act = put_mine, .check = check_consumer),
    OP("queue_get", .setup = set_up_small, .act = get_one, .check = check_get),
    OP("queue_peek", .setup = set_up_small, .act = peek_and_get, .check = check_get),
    OP("queue_peek_big", .setup = set_up_big, .act = peek_and_get, .check = check_get),
    OP("queue_get_big", .setup = set_up_big, .act = get_one, .check = check_get),
    OP("queue_get_empty", .setup = set_up_empty, .act = get_one, .meanwhile = put_next, .check = check_get_waiter),
    OP("queue_put_many", .setup = set_up_small, .act = put_batch, .check = check_put_batch),
    OP("queue_get_many", .setup = set_up_small, .act = get_batch, .check = check_get_batch),
    OP("queue_fileno", .setup = set_up_small, .act = ask_and_drain, .check = check_fileno, .stride = 3),
    OP("queue_task_done", .setup = set_up_small, .prepare = get_first, .act = finish, .check = check_done),
    OP("queue_wait", .setup = set_up_empty, .act = wait_and_get, .meanwhile = put_next, .check = check_get_waiter),
    OP("queue_join", .setup = set_up_small, .act = join_all, .meanwhile = finish_all, .check = check_join),
    OP("queue_close", .setup = set_up_end, .act = close_it, .check = check_close),
    OP("queue_new_free", .setup = set_up_nothing, .act = make_and_free, .check = check_made, .stride = 61),
    OP("queue_producer", .setup = set_up_producer, .act = put_and_leave, .check = check_producer),
    OP("pqueue_put", .setup = set_up_pqueue, .act = pq_put_mine, .check = check_pq_put),
    OP("pqueue_get", .setup = set_up_pqueue, .act = pq_get_one, .check = check_pq_get),
    OP("pqueue_lease", .setup = set_up_pqueue, .act = pq_lease_one, .check = check_pq_lease),
    OP("pqueue_ack", .setup = set_up_pqueue, .act = pq_lease_and_ack, .check = check_pq_get),
    OP("pqueue_nack", .setup = set_up_pqueue, .act = pq_lease_and_nack, .check = check_pq_lease),
    { .name = NULL },
};
