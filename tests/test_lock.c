/* SPDX-License-Identifier: MIT
 *
 * test_lock.c: par_lock and par_rlock: one holder, errors, and the cells behind them. The holder's death is in test_lock_end.c.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>

#include "../libpar/shm/shm.h"

struct stage { /* what the processes of a test share */
    par_lock lock, second;
    par_rlock rlock;
    long balance;
};

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* ---- bodies of children: 0 is success */

static int
try_all(void *arg)
{
    struct stage *s = arg;

    return par_lock_locked(&s->lock) && par_rlock_locked(&s->rlock) && par_lock_acquire(&s->lock, PAR_NOWAIT) == -1 &&
                   errno == ETIMEDOUT && par_rlock_acquire(&s->rlock, par_in(0.01)) == -1 && errno == ETIMEDOUT &&
                   par_lock_release(&s->lock) == -1 && errno == EPERM && par_rlock_release(&s->rlock) == -1 && errno == EPERM
               ? 0
               : 1;
}

static int
add_many(void *arg)
{
    struct stage *s = arg;

    for (int i = 0; i < 10000; i++) {
        if (par_lock_acquire(&s->lock, par_in(20)) != 0)
            return 1;
        s->balance++;
        if (par_lock_release(&s->lock) != 0)
            return 2;
    }
    return 0;
}

/* ---- one process */

START_TEST(all_zero_lock_is_free_and_works)
{
    struct stage *s = make_stage();
    ck_assert(!par_lock_locked(&s->lock));
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_assert(par_lock_locked(&s->lock));
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_assert(!par_lock_locked(&s->lock));
    par_shared_free(s);
}
END_TEST

START_TEST(release_of_what_is_not_held_is_eperm)
{
    struct stage *s = make_stage();
    ck_fails(par_lock_release(&s->lock), EPERM); /* never used */
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_fails(par_lock_release(&s->lock), EPERM);
    ck_fails(par_lock_dead_owner(&s->lock), EPERM);
    ck_fails(par_lock_recover(&s->lock), EPERM);
    ck_fails(par_rlock_release(&s->rlock), EPERM);
    ck_fails(par_rlock_dead_owner(&s->rlock), EPERM);
    ck_fails(par_rlock_recover(&s->rlock), EPERM);
}
END_TEST

START_TEST(acquire_of_own_lock_is_edeadlk)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_fails(par_lock_acquire(&s->lock, PAR_FOREVER), EDEADLK);
    ck_fails(par_lock_acquire(&s->lock, PAR_NOWAIT), EDEADLK);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

START_TEST(what_is_no_lock_is_einval)
{
    par_lock on_stack = { { 0 } };
    par_rlock rlock_on_stack = { { 0 } };
    struct stage *s = make_stage();
    ck_fails(par_lock_acquire(&on_stack, PAR_NOWAIT), EINVAL);
    ck_fails(par_lock_release(&on_stack), EINVAL);
    ck_fails(par_lock_init(&on_stack, NULL), EINVAL);
    ck_fails(par_rlock_acquire(&rlock_on_stack, PAR_NOWAIT), EINVAL);
    ck_fails(par_lock_acquire(NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_lock_release(NULL), EINVAL);
    ck_fails(par_lock_init(NULL, NULL), EINVAL);
    ck_fails(par_rlock_release(NULL), EINVAL);
    ck_fails(par_lock_recover(NULL), EINVAL);
    ck_fails(par_lock_dead_owner(NULL), EINVAL);
    errno = 0;
    ck_assert(!par_lock_locked(&on_stack));
    ck_assert_int_eq(errno, EINVAL);
    s->lock.word[0] = 0x1234567;
    ck_fails(par_lock_acquire(&s->lock, PAR_NOWAIT), EINVAL);
    ck_fails(par_lock_acquire((par_lock *)(void *)((char *)&s->second + 4), PAR_NOWAIT), EINVAL);
    ck_fails(par_lock_in_line(&s->second), EINVAL);
}
END_TEST

START_TEST(copy_of_a_lock_is_einval)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    s->second = s->lock;
    memcpy(&s->rlock, &s->lock, sizeof s->lock);
    ck_fails(par_lock_acquire(&s->second, PAR_NOWAIT), EINVAL);
    ck_fails(par_rlock_acquire(&s->rlock, PAR_NOWAIT), EINVAL);
    ck_fails(par_rlock_acquire((par_rlock *)&s->lock, PAR_NOWAIT), EINVAL);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

START_TEST(init_of_a_used_lock_is_ebusy)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_lock_init(&s->lock, NULL), 0);
    ck_fails(par_lock_init(&s->lock, NULL), EBUSY);
    ck_assert_int_eq(par_lock_acquire(&s->second, PAR_NOWAIT), 0);
    ck_fails(par_lock_init(&s->second, &(par_lock_opts){ .fair = true }), EBUSY);
    ck_assert_int_eq(par_lock_release(&s->second), 0);
}
END_TEST

static int
fail_every_mutex(enum pari_call call)
{
    return call == PARI_CALL_MUTEX_INIT ? ENOMEM : 0;
}

START_TEST(first_use_without_memory_says_so_and_the_next_works)
{
    par_lock *lock = par_value(par_lock);

    pari_fault_hook = fail_every_mutex;
    ck_fails(par_lock_acquire(lock, PAR_NOWAIT), ENOMEM);
    ck_fails(par_lock_init(lock, NULL), ENOMEM);
    pari_fault_hook = NULL;
    ck_assert_int_eq(par_lock_acquire(lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_lock_release(lock), 0);
}
END_TEST

START_TEST(thread_holds_1024_locks_and_no_more)
{
    par_lock *lock = par_array(par_lock, 1025);
    for (int i = 0; i < 1024; i++)
        ck_assert_int_eq(par_lock_acquire(&lock[i], PAR_NOWAIT), 0);
    ck_fails(par_lock_acquire(&lock[1024], PAR_NOWAIT), ENOLCK);
    ck_assert_int_eq(par_lock_release(&lock[7]), 0);
    ck_assert_int_eq(par_lock_acquire(&lock[1024], PAR_NOWAIT), 0);
    for (int i = 0; i < 1025; i++)
        if (i != 7)
            ck_assert_int_eq(par_lock_release(&lock[i]), 0);
    par_shared_free(lock);
}
END_TEST

START_TEST(rlock_is_held_until_its_last_release)
{
    struct stage *s = make_stage();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(par_rlock_acquire(&s->rlock, PAR_NOWAIT), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert(par_rlock_locked(&s->rlock));
        ck_assert_int_eq(par_rlock_release(&s->rlock), 0);
    }
    ck_assert(!par_rlock_locked(&s->rlock));
    ck_fails(par_rlock_release(&s->rlock), EPERM);
}
END_TEST

START_TEST(block_has_a_lock_of_its_own)
{
    long *sum = par_value(long);
    par_lock *lock = par_lock_of(sum);
    ck_assert_ptr_nonnull(lock);
    ck_assert_ptr_eq(lock, par_lock_of(sum));
    ck_assert_int_eq(par_lock_acquire(lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_lock_release(lock), 0);
    ck_fails_null(par_lock_of(NULL), EINVAL);
    ck_fails_null(par_lock_of(sum + 1), EINVAL);
    ck_fails_null(par_lock_of(&lock), EINVAL);
    par_shared_free(sum);
}
END_TEST

/* ---- the cells behind the locks */

START_TEST(free_of_a_block_returns_the_cells_of_its_locks)
{
    size_t before;
    par_lock *lock = par_array(par_lock, 1);
    ck_assert_int_eq(par_lock_acquire(lock, PAR_NOWAIT), 0); /* the page of cells is there from now on */
    before = pari_heap_in_use();
    for (int round = 0; round < 200; round++) {
        size_t n = round % 2 ? 10 : 10000; /* a small block and a large one */
        par_lock *more = par_array(par_lock, n);
        ck_assert_int_eq(par_lock_init(&more[0], &(par_lock_opts){ .fair = true }), 0);
        for (size_t i = 0; i < n; i += 9)
            ck_assert_int_eq(par_lock_acquire(&more[i], PAR_NOWAIT) | par_lock_release(&more[i]), 0);
        ck_assert_int_eq(par_lock_acquire(par_lock_of(more), PAR_NOWAIT) | par_lock_release(par_lock_of(more)), 0);
        par_shared_free(more);
        ck_assert_uint_eq(pari_heap_in_use(), before);
    }
}
END_TEST

START_TEST(free_of_a_block_releases_the_callers_own_locks_in_it)
{
    par_lock *other = par_value(par_lock);
    for (int i = 0; i < 3000; i++) {
        size_t before = pari_heap_in_use();
        struct stage *s = make_stage();
        ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
        par_shared_free(s);
        ck_assert_uint_eq(pari_heap_in_use(), before);
    }
    ck_assert_int_eq(par_lock_acquire(other, PAR_NOWAIT), 0); /* the thread does not count as holding 3000 */
    ck_assert_int_eq(par_lock_release(other), 0);
}
END_TEST

START_TEST(cell_in_recycled_memory_starts_clean)
{
    uintptr_t *victim = par_array(uintptr_t, 4), *old = par_array(uintptr_t, 1 << 16);
    par_lock *lock;
    for (size_t i = 0; i < 1 << 16; i++)
        old[i] = (uintptr_t)victim;
    par_shared_free(old);
    lock = par_array(par_lock, 1024); /* several pages of cells, made where `old` was */
    for (int i = 0; i < 1024; i++)
        ck_assert_int_eq(par_lock_acquire(&lock[i], PAR_NOWAIT) | par_lock_release(&lock[i]), 0);
    par_shared_free(lock);
    ck_assert_uint_eq(par_shared_length(victim), 4);
    par_shared_free(victim);
}
END_TEST

/* ---- several processes */

START_TEST(processes_count_exactly_under_the_lock)
{
    struct stage *s = make_stage();
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(add_many, s);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(s->balance, 40000);
}
END_TEST

static int
add_one_in_each(void *arg)
{
    par_lock *lock = arg;
    long *count = (long *)(lock + 200);

    for (int i = 0; i < 200; i++) {
        if (par_lock_acquire(&lock[i], par_in(20)) != 0)
            return 1;
        (*count)++; /* the locks are different: only the total of each lock's own turn is exact */
        lock[i].word[1]++;
        if (par_lock_release(&lock[i]) != 0)
            return 2;
    }
    return 0;
}

START_TEST(first_acquires_may_race)
{
    for (int round = 0; round < 20; round++) {
        size_t before = pari_heap_in_use();
        par_lock *lock = par_array(par_lock, 201);
        pid_t one = fixture_fork(add_one_in_each, lock), two = fixture_fork(add_one_in_each, lock);
        ck_assert_int_eq(fixture_wait(one), 0);
        ck_assert_int_eq(fixture_wait(two), 0);
        for (int i = 0; i < 200; i++)
            ck_assert_uint_eq(lock[i].word[1], 2);
        par_shared_free(lock);
        if (round > 0)
            ck_assert_uint_eq(pari_heap_in_use(), before);
    }
}
END_TEST

/* ---- threads */

static void *
add_many_in_thread(void *arg)
{
    return (void *)(intptr_t)add_many(arg);
}

static void *
end_while_holding(void *arg)
{
    struct stage *s = arg;

    return (void *)(intptr_t)(par_lock_acquire(&s->lock, par_in(20)) | par_rlock_acquire(&s->rlock, par_in(20)) |
                              par_rlock_acquire(&s->rlock, par_in(20)));
}

static void *
try_all_in_thread(void *arg)
{
    return (void *)(intptr_t)try_all(arg);
}

static void *
in_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, body, arg), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return result;
}

START_TEST(threads_count_exactly_under_the_lock)
{
    struct stage *s = make_stage();
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, add_many_in_thread, s), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(s->balance, 40000);
}
END_TEST

START_TEST(owner_is_the_thread)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_rlock_acquire(&s->rlock, PAR_NOWAIT), 0);
    ck_assert_ptr_null(in_thread(try_all_in_thread, s));
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_assert_int_eq(par_rlock_release(&s->rlock), 0);
}
END_TEST

START_TEST(thread_that_ends_while_holding_has_died)
{
    struct stage *s = make_stage();
    ck_assert_ptr_null(in_thread(end_while_holding, s));
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), getpid());
    ck_assert_int_eq(par_rlock_acquire(&s->rlock, par_in(20)), 0);
    ck_assert_int_eq(par_rlock_dead_owner(&s->rlock), getpid());
    ck_assert_int_eq(par_rlock_release(&s->rlock), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

static void
add_tests_of_one(Suite *suite)
{
    TCase *one = fixture_thread_case(suite, "one process");

    tcase_add_test(one, all_zero_lock_is_free_and_works);
    tcase_add_test(one, release_of_what_is_not_held_is_eperm);
    tcase_add_test(one, acquire_of_own_lock_is_edeadlk);
    tcase_add_test(one, what_is_no_lock_is_einval);
    tcase_add_test(one, copy_of_a_lock_is_einval);
    tcase_add_test(one, init_of_a_used_lock_is_ebusy);
    tcase_add_test(one, first_use_without_memory_says_so_and_the_next_works);
    tcase_add_test(one, rlock_is_held_until_its_last_release);
    tcase_add_test(one, block_has_a_lock_of_its_own);
    tcase_add_test(one, free_of_a_block_returns_the_cells_of_its_locks);
    tcase_add_test(one, free_of_a_block_releases_the_callers_own_locks_in_it);
    tcase_add_test(one, cell_in_recycled_memory_starts_clean);
    tcase_add_test(one, threads_count_exactly_under_the_lock);
    tcase_add_test(one, owner_is_the_thread);
    tcase_add_test(one, thread_that_ends_while_holding_has_died);
}

static void
add_tests_of_several(Suite *suite)
{
    TCase *several = fixture_case(suite, "several processes");

    tcase_add_test(several, thread_holds_1024_locks_and_no_more); /* more than the thread sanitizer can follow */
    tcase_add_test(several, processes_count_exactly_under_the_lock);
    tcase_add_test(several, first_acquires_may_race);
}

int
main(void)
{
    Suite *suite = fixture_suite("lock");

    add_tests_of_one(suite);
    add_tests_of_several(suite);
    return fixture_run(suite);
}
