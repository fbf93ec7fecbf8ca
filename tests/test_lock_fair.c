/* SPDX-License-Identifier: MIT
 *
 * test_lock_fair.c: the fair lock: first come, first served, past those that died or gave up.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

#define N_WAITERS 6

struct stage {
    par_lock lock;
    par_event held, go_on;
    _Atomic int n_served;
    int order[N_WAITERS];
    long count;
};

struct task {
    struct stage *stage;
    int number;
};

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(par_lock_init(&s->lock, &(par_lock_opts){ .fair = true }), 0);
    return s;
}

/* ---- bodies of children: 0 is success */

static int
take_turn(void *arg)
{
    struct task *task = arg;
    struct stage *s = task->stage;

    if (par_lock_acquire(&s->lock, par_in(20)) != 0)
        return 1;
    s->order[atomic_fetch_add(&s->n_served, 1)] = task->number;
    return par_lock_release(&s->lock) == 0 ? 0 : 2;
}

static void
interrupt(int number)
{
    (void)number;
    par_interrupt(true);
}

static int
give_up_when_told(void *arg)
{
    signal(SIGUSR1, interrupt);
    return par_lock_acquire(&((struct task *)arg)->stage->lock, par_in(20)) == -1 && errno == EINTR ? 0 : 1;
}

static int
hold(void *arg)
{
    struct stage *s = arg;

    if (par_lock_acquire(&s->lock, par_in(20)) != 0)
        return 1;
    par_event_set(&s->held);
    return par_event_wait(&s->go_on, par_in(20)) == 0 && par_lock_release(&s->lock) == 0 ? 0 : 2;
}

static int
count_up(struct stage *s, int n)
{
    for (int i = 0; i < n; i++) {
        if (par_lock_acquire(&s->lock, par_in(20)) != 0)
            return 1;
        s->count++;
        if (par_lock_release(&s->lock) != 0)
            return 2;
    }
    return 0;
}

static int
count_to_1000(void *arg)
{
    return count_up(arg, 1000);
}

static int
count_for_ever(void *arg)
{
    return count_up(arg, INT32_MAX);
}

static void
until_in_line(struct stage *s, int n)
{
    par_time end = par_in(20);

    while (par_lock_in_line(&s->lock) != n) {
        ck_assert(par_since(end) < 0);
        ck_fails(par_event_wait(&s->go_on, par_in(0.001)), ETIMEDOUT);
    }
}

/* The parent holds the lock; each child is in line before the next one starts. */
static void
line_up(struct stage *s, pid_t *child, int (*const *body)(void *arg))
{
    static struct task task[N_WAITERS];

    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    for (int i = 0; i < N_WAITERS; i++) {
        task[i] = (struct task){ s, i };
        child[i] = fixture_fork(body[i], &task[i]);
        until_in_line(s, i + 2);
    }
}

static void
assert_order(const struct stage *s, int n, const int *order)
{
    ck_assert_int_eq(s->n_served, n);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(s->order[i], order[i]);
}

/* ---- one process */

START_TEST(behaves_like_a_lock)
{
    struct stage *s = make_stage();
    ck_fails(par_lock_release(&s->lock), EPERM);
    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
        ck_assert_int_eq(par_lock_in_line(&s->lock), 1);
        ck_fails(par_lock_acquire(&s->lock, PAR_NOWAIT), EDEADLK);
        ck_fails(par_lock_acquire(&s->lock, PAR_FOREVER), EDEADLK);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
    }
    ck_assert_int_eq(par_lock_in_line(&s->lock), 0);
    ck_fails(par_lock_in_line(NULL), EINVAL);
    ck_fails(par_lock_init(&s->lock, NULL), EBUSY);
    par_shared_free(s);
}
END_TEST

static void *
hold_in_thread(void *arg)
{
    return (void *)(intptr_t)hold(arg);
}

static void *
end_while_holding(void *arg)
{
    return (void *)(intptr_t)par_lock_acquire(&((struct stage *)arg)->lock, par_in(20));
}

static void *
count_in_thread(void *arg)
{
    return (void *)(intptr_t)count_to_1000(arg);
}

START_TEST(busy_lock_is_etimedout_and_the_line_is_left)
{
    struct stage *s = make_stage();
    pthread_t thread;
    par_time start = par_now();
    ck_assert_int_eq(pthread_create(&thread, NULL, hold_in_thread, s), 0);
    ck_assert_int_eq(par_event_wait(&s->held, par_in(20)), 0);
    ck_fails(par_lock_acquire(&s->lock, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_lock_acquire(&s->lock, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.1);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 1);
    par_event_set(&s->go_on);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 0);
}
END_TEST

START_TEST(threads_count_exactly)
{
    struct stage *s = make_stage();
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_in_thread, s), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(s->count, 4000);
}
END_TEST

START_TEST(thread_that_ends_while_holding_lets_the_line_go_on)
{
    struct stage *s = make_stage();
    pthread_t thread, waiter;
    for (int i = 0; i < 3; i++) {
        void *result;
        ck_assert_int_eq(pthread_create(&thread, NULL, end_while_holding, s), 0);
        ck_assert_int_eq(pthread_join(thread, &result), 0);
        ck_assert_ptr_null(result);
        ck_assert_int_eq(pthread_create(&waiter, NULL, count_in_thread, s), 0);
        ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
        ck_assert_int_eq(par_lock_dead_owner(&s->lock), getpid());
        ck_assert_int_eq(par_lock_recover(&s->lock), 0);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
        ck_assert_int_eq(pthread_join(waiter, &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(par_lock_in_line(&s->lock), 0);
}
END_TEST

/* ---- several processes */

START_TEST(served_in_the_order_of_arrival)
{
    int (*const body[])(void *) = { take_turn, take_turn, take_turn, take_turn, take_turn, take_turn };
    for (int round = 0; round < 5; round++) {
        struct stage *s = make_stage();
        pid_t child[N_WAITERS];
        line_up(s, child, body);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
        for (int i = 0; i < N_WAITERS; i++)
            ck_assert_int_eq(fixture_wait(child[i]), 0);
        assert_order(s, 6, (int[]){ 0, 1, 2, 3, 4, 5 });
        ck_assert_int_eq(par_lock_in_line(&s->lock), 0);
        par_shared_free(s);
    }
}
END_TEST

START_TEST(dead_and_impatient_waiters_are_passed_over)
{
    int (*const body[])(void *) = { take_turn, take_turn, give_up_when_told, take_turn, take_turn, take_turn };
    struct stage *s = make_stage();
    pid_t child[N_WAITERS];
    line_up(s, child, body);
    for (int i = 0; i < N_WAITERS; i += 4) { /* the first one and another */
        kill(child[i], SIGKILL);
        ck_assert_int_eq(fixture_wait(child[i]), -SIGKILL);
    }
    kill(child[2], SIGUSR1);
    ck_assert_int_eq(fixture_wait(child[2]), 0);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 4);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    for (int i = 1; i < N_WAITERS; i += 2)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    assert_order(s, 3, (int[]){ 1, 3, 5 });
}
END_TEST

START_TEST(dead_holder_is_named_to_the_next_in_line)
{
    struct stage *s = make_stage();
    pid_t holder = fixture_fork(hold, s), killer;
    ck_assert_int_eq(par_event_wait(&s->held, par_in(20)), 0);
    killer = fork();
    if (killer == 0) {
        fixture_kill_after_us(holder, 20000);
        _exit(0);
    }
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), holder);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 1);
    ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
    ck_assert_int_eq(fixture_wait(killer), 0);
}
END_TEST

START_TEST(kills_never_stop_the_line)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage();
    pid_t child[3];
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(count_for_ever, s);
    for (int kills = 0; kills < 300 && par_since(start_time) < 10; kills++) {
        fixture_kill_after_us(child[kills % 3], fixture_random_below(500));
        ck_assert_int_eq(fixture_wait(child[kills % 3]), -SIGKILL);
        ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
        child[kills % 3] = fixture_fork(count_for_ever, s);
    }
    for (int i = 0; i < 3; i++) {
        kill(child[i], SIGKILL);
        ck_assert_int_eq(fixture_wait(child[i]), -SIGKILL);
    }
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 1);
    ck_assert_int_gt(s->count, 0);
}
END_TEST

START_TEST(condition_works_with_a_fair_lock)
{
    struct stage *s = make_stage();
    par_condition *c = par_value(par_condition);
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_fails(par_condition_wait(c, &s->lock, par_in(0.01)), ETIMEDOUT);
    ck_assert_int_eq(par_lock_in_line(&s->lock), 1);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("lock_fair");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, behaves_like_a_lock);
    tcase_add_test(one, busy_lock_is_etimedout_and_the_line_is_left);
    tcase_add_test(one, threads_count_exactly);
    tcase_add_test(one, thread_that_ends_while_holding_lets_the_line_go_on);
    tcase_add_test(one, condition_works_with_a_fair_lock);
    tcase_add_test(several, served_in_the_order_of_arrival);
    tcase_add_test(several, dead_and_impatient_waiters_are_passed_over);
    tcase_add_test(several, dead_holder_is_named_to_the_next_in_line);
    tcase_add_test(several, kills_never_stop_the_line);
    return fixture_run(suite);
}
