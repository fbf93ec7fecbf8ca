/* SPDX-License-Identifier: MIT
 *
 * test_queue_end.c: queues whose producers and consumers die by force, at any moment.
 */
#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/arena.h"

static par_queue *q;

static par_process *
start(int (*fn)(void *arg), void *arg)
{
    par_process *p = par_process_start(fn, arg, 0, NULL);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void
reap(par_process *p, int expected)
{
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), expected);
    par_process_free(p);
}

static int
sleep_for_ever(void)
{
    while (pause() != 0) /* always: a signal came */
        ;
    return 0;
}

/* ---- one death */

static int
get_one_then_sleep(void *arg)
{
    _Atomic int *has_got = arg;
    int i;

    if (par_queue_get(q, &i, sizeof i, par_in(20)) != sizeof i)
        return 1;
    atomic_store(has_got, 1);
    return sleep_for_ever();
}

START_TEST(join_tells_once_of_the_message_that_died_with_its_consumer)
{
    _Atomic int *has_got = fixture_shared(sizeof *has_got);
    par_process *p;
    char pid[16];
    int i = 1;

    q = par_queue_new(NULL);
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(par_queue_put(q, &i, sizeof i, PAR_NOWAIT), 0);
    p = start(get_one_then_sleep, has_got);
    while (atomic_load(has_got) == 0)
        nap();
    ck_fails(par_queue_join(q, PAR_NOWAIT), ETIMEDOUT);
    snprintf(pid, sizeof pid, "%d", (int)par_process_pid(p));
    par_process_kill(p);
    ck_assert_int_eq(par_queue_join(q, par_in(20)), 1);
    ck_assert_msg(strstr(par_error(), pid) != NULL, "no pid %s in: %s", pid, par_error());
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    reap(p, -SIGKILL);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

static int
put_one_then_sleep(void *arg)
{
    (void)arg;
    if (par_queue_put(q, "x", 1, par_in(20)) != 0)
        return 1;
    return sleep_for_ever();
}

START_TEST(queue_ends_when_its_producers_are_killed)
{
    par_process *p[2];
    char c;

    q = par_queue_new(&(par_queue_opts){ .producers = 2 });
    ck_assert_ptr_nonnull(q);
    for (int i = 0; i < 2; i++)
        p[i] = start(put_one_then_sleep, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(par_queue_get(q, &c, 1, par_in(20)), 1);
    par_process_kill(p[0]);
    ck_fails(par_queue_get(q, &c, 1, par_in(0.05)), ETIMEDOUT);
    par_process_kill(p[1]);
    ck_fails(par_queue_get(q, &c, 1, par_in(20)), EPIPE);
    for (int i = 0; i < 2; i++)
        reap(p[i], -SIGKILL);
    par_queue_free(q);
}
END_TEST

static int
put_then_exit_at_once(void *arg)
{
    (void)arg;
    if (par_queue_put(q, "last words", 10, PAR_NOWAIT) != 0)
        return 1;
    _exit(0);
}

START_TEST(what_was_put_right_before_the_end_is_there)
{
    char buf[16];

    q = par_queue_new(NULL);
    ck_assert_ptr_nonnull(q);
    reap(start(put_then_exit_at_once, NULL), 0);
    ck_assert_int_eq(par_queue_get(q, buf, sizeof buf, PAR_NOWAIT), 10);
    par_queue_free(q);
}
END_TEST

/* A slot is used again by the next process: what the dead one owed is not the new one's. */
static int
get_and_finish_one(void *arg)
{
    int i;

    (void)arg;
    if (par_queue_task_done(q) != -1 || errno != ERANGE)
        return 1;
    if (par_queue_get(q, &i, sizeof i, par_in(20)) != sizeof i)
        return 2;
    return par_queue_task_done(q) == 0 && par_queue_task_done(q) == -1 ? 0 : 3;
}

static int
get_and_leave(void *arg)
{
    int i;

    (void)arg;
    return par_queue_get(q, &i, sizeof i, par_in(20)) == sizeof i ? 0 : 1;
}

START_TEST(accounts_of_many_processes_are_kept_apart)
{
    enum { N = 100 };

    q = par_queue_new(NULL);
    ck_assert_ptr_nonnull(q);
    for (int i = 0; i < 2 * N; i++)
        ck_assert_int_eq(par_queue_put(q, &i, sizeof i, PAR_NOWAIT), 0);
    for (int i = 0; i < N; i++) {
        reap(start(get_and_leave, NULL), 0);
        reap(start(get_and_finish_one, NULL), 0);
    }
    ck_assert_int_eq(par_queue_join(q, par_in(20)), N);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    par_queue_free(q);
}
END_TEST

/* ---- many deaths, at any instruction: a ledger of every message */

#define N_PRODUCERS 2
#define N_CONSUMERS 2
#define N_KILLS 250
#define N_LIVES 2000
#define PER_LIFE 4096 /* items; then the producer begins another life */

struct ledger {
    _Atomic bool is_over;
    _Atomic uint32_t n_lives;             /* of producers */
    _Atomic uint32_t n_begun[N_LIVES];    /* puts begun, by life of a producer */
    _Atomic uint32_t n_returned[N_LIVES]; /* puts returned */
    _Atomic uint8_t n_got[N_LIVES][PER_LIFE];
};

static struct ledger *ledger;

struct item {
    uint32_t life;
    uint32_t number;
    uint32_t fill[600]; /* of the big ones, a copy of the number */
};

static size_t
size_of_item(uint32_t number)
{
    return number % 11 == 10 ? sizeof(struct item) : offsetof(struct item, fill) + 4 * (number % 5);
}

static int
put_item(struct item *item)
{
    for (size_t i = 0; i < 600; i++)
        item->fill[i] = item->number;
    atomic_fetch_add(&ledger->n_begun[item->life], 1);
    if (par_queue_put(q, item, size_of_item(item->number), par_in(20)) != 0)
        return 1;
    atomic_fetch_add(&ledger->n_returned[item->life], 1);
    return 0;
}

static int
produce(void *arg)
{
    static struct item item;

    (void)arg;
    while ((item.life = atomic_fetch_add(&ledger->n_lives, 1)) < N_LIVES)
        for (item.number = 0; item.number < PER_LIFE; item.number++) {
            if (atomic_load(&ledger->is_over))
                return 0;
            if (put_item(&item) != 0)
                return 1;
        }
    return 0;
}

static int
check_item(const struct item *item, size_t n)
{
    static uint32_t next[N_LIVES]; /* this consumer's: numbers of one producer come in order */

    if (item->life >= N_LIVES || item->number >= PER_LIFE || n != size_of_item(item->number))
        return 2;
    for (size_t i = 0; i < (n - offsetof(struct item, fill)) / 4; i++)
        if (item->fill[i] != item->number)
            return 3;
    if (item->number < next[item->life])
        return 4;
    next[item->life] = item->number + 1;
    return 0;
}

static int
consume(void *arg)
{
    static struct item item;
    ssize_t n;
    int error;

    (void)arg;
    while ((n = par_queue_get(q, &item, sizeof item, par_in(20))) >= 0) {
        if ((error = check_item(&item, (size_t)n)) != 0)
            return error;
        atomic_fetch_add(&ledger->n_got[item.life][item.number], 1);
        if (par_queue_task_done(q) != 0)
            return 5;
    }
    return errno == EPIPE ? 0 : 6;
}

/* A process ends by our hand, or because it is through. */
static int
kill_and_replace(par_process **p, int (*fn)(void *arg))
{
    int code;

    par_process_kill(*p);
    ck_assert_int_eq(par_process_join(*p, par_in(20)), 0);
    code = par_process_exitcode(*p);
    ck_assert_msg(code == 0 || code == -SIGKILL, "it ended with %d", code);
    par_process_free(*p);
    *p = start(fn, NULL);
    return code == 0 ? 0 : 1;
}

/* Returned puts that nobody got. Each was got by a consumer that was killed before it could note it. */
static long
count_missing(void)
{
    long missing = 0;

    for (uint32_t life = 0; life < N_LIVES; life++)
        for (uint32_t i = 0; i < PER_LIFE; i++) {
            unsigned n = atomic_load(&ledger->n_got[life][i]);
            if (n > 1) /* millions of items: an assertion of Check is too slow for each */
                ck_abort_msg("item %u of life %u came %u times", i, life, n);
            if (n > 0 && i >= atomic_load(&ledger->n_begun[life]))
                ck_abort_msg("item %u of life %u was never put", i, life);
            missing += n == 0 && i < atomic_load(&ledger->n_returned[life]);
        }
    return missing;
}

static void
storm(const par_queue_opts *opts, bool kill_producers, bool kill_consumers)
{
    par_process *producer[N_PRODUCERS], *consumer[N_CONSUMERS];
    int consumers_killed = 0;
    ssize_t lost;

    ledger = fixture_shared(sizeof *ledger);
    q = par_queue_new(opts);
    ck_assert_ptr_nonnull(q);
    for (int i = 0; i < N_PRODUCERS; i++)
        producer[i] = start(produce, NULL);
    for (int i = 0; i < N_CONSUMERS; i++)
        consumer[i] = start(consume, NULL);
    for (int kills = 0; kills < N_KILLS; kills++) {
        bool is_producer = kill_producers && (!kill_consumers || kills % 2);
        uint32_t which = fixture_random_below(is_producer ? N_PRODUCERS : N_CONSUMERS);
        par_process **victim = is_producer ? &producer[which] : &consumer[which];
        par_time until = par_in(fixture_random_below(2500) * 1e-6);
        while (par_now().ns < until.ns)
            ;
        consumers_killed += kill_and_replace(victim, is_producer ? produce : consume) && !is_producer;
    }
    atomic_store(&ledger->is_over, true);
    for (int i = 0; i < N_PRODUCERS; i++)
        reap(producer[i], 0);
    lost = par_queue_join(q, par_in(20));
    ck_assert_int_ge(lost, 0);
    ck_assert_int_le(lost, consumers_killed);
    ck_assert(par_queue_empty(q));
    ck_assert_int_eq(par_queue_qsize(q), 0);
    ck_assert_int_le(count_missing(), lost);
    par_queue_close(q);
    for (int i = 0; i < N_CONSUMERS; i++)
        reap(consumer[i], 0);
    par_queue_free(q);
}

static void
storm_without_leak(const par_queue_opts *opts, bool kill_producers, bool kill_consumers)
{
    size_t before;

    q = par_queue_new(NULL); /* the family begins */
    ck_assert_ptr_nonnull(q);
    par_queue_free(q);
    before = pari_heap_in_use();
    storm(opts, kill_producers, kill_consumers);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}

START_TEST(killed_producers_lose_nothing_that_was_put)
{
    storm_without_leak(&(par_queue_opts){ .capacity = 8192 }, true, false);
}
END_TEST

START_TEST(killed_consumers_lose_only_what_they_held)
{
    storm_without_leak(&(par_queue_opts){ .capacity = 8192 }, false, true);
}
END_TEST

START_TEST(killed_producers_and_consumers)
{
    storm_without_leak(NULL, true, true);
}
END_TEST

START_TEST(killed_producers_and_consumers_of_a_queue_of_three)
{
    storm_without_leak(&(par_queue_opts){ .maxsize = 3 }, true, true);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("queue_end");
    TCase *tcase = fixture_case(suite, "one death");

    tcase_add_test(tcase, join_tells_once_of_the_message_that_died_with_its_consumer);
    tcase_add_test(tcase, queue_ends_when_its_producers_are_killed);
    tcase_add_test(tcase, what_was_put_right_before_the_end_is_there);
    tcase_add_test(tcase, accounts_of_many_processes_are_kept_apart);

    tcase = fixture_case(suite, "many deaths");
    tcase_add_test(tcase, killed_producers_lose_nothing_that_was_put);
    tcase_add_test(tcase, killed_consumers_lose_only_what_they_held);
    tcase_add_test(tcase, killed_producers_and_consumers);
    tcase_add_test(tcase, killed_producers_and_consumers_of_a_queue_of_three);
    return fixture_run(suite);
}
