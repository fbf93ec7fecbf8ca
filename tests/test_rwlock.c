/* SPDX-License-Identifier: MIT
 *
 * test_rwlock.c: par_rwlock: many readers or one writer, in threads and processes, and the death of either.
 */
#include "fixture.h"
#include "nap.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

#define SOON par_in(20)

struct stage {
    par_rwlock lock;
    par_event taken, go_on;
    _Atomic long a, b; /* equal whenever nobody writes */
    _Atomic int n_inside;
};

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* ---- bodies of children and threads: 0 is success */

static int
read_until_told(void *arg)
{
    struct stage *s = arg;

    if (par_rwlock_acquire_read(&s->lock, SOON) != 0)
        return 1;
    atomic_fetch_add(&s->n_inside, 1);
    par_event_set(&s->taken);
    if (par_event_wait(&s->go_on, SOON) != 0)
        return 2;
    return par_rwlock_release(&s->lock) == 0 ? 0 : 3;
}

static int
write_until_told(void *arg)
{
    struct stage *s = arg;

    if (par_rwlock_acquire_write(&s->lock, SOON) != 0)
        return 1;
    par_event_set(&s->taken);
    if (par_event_wait(&s->go_on, SOON) != 0)
        return 2;
    return par_rwlock_release(&s->lock) == 0 ? 0 : 3;
}

/* Every fourth one writes. */
static int
read_and_write(void *arg)
{
    struct stage *s = arg;

    for (int i = 0; i < 4000; i++) {
        if (i % 4 == 0) {
            if (par_rwlock_acquire_write(&s->lock, SOON) != 0)
                return 1;
            atomic_store_explicit(&s->a, atomic_load_explicit(&s->a, memory_order_relaxed) + 1, memory_order_relaxed);
            atomic_store_explicit(&s->b, atomic_load_explicit(&s->b, memory_order_relaxed) + 1, memory_order_relaxed);
        } else {
            if (par_rwlock_acquire_read(&s->lock, SOON) != 0)
                return 2;
            if (atomic_load_explicit(&s->a, memory_order_relaxed) != atomic_load_explicit(&s->b, memory_order_relaxed))
                return 3;
        }
        if (par_rwlock_release(&s->lock) != 0)
            return 4;
    }
    return 0;
}

static void *
read_and_write_in_thread(void *arg)
{
    return (void *)(intptr_t)read_and_write(arg);
}

/* ---- one process */

START_TEST(all_zero_rwlock_works)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_rwlock_readers(&s->lock), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, PAR_NOWAIT), 0);
        ck_assert_int_eq(par_rwlock_readers(&s->lock), i + 1);
    }
    ck_fails(par_rwlock_acquire_write(&s->lock, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_rwlock_acquire_write(&s->lock, par_in(0.02)), ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    par_shared_free(s);
}
END_TEST

START_TEST(rwlock_in_wrong_hands)
{
    struct stage *s = make_stage();
    par_rwlock local = { { 0 } }, *copy = par_value(par_rwlock);
    ck_fails(par_rwlock_release(&s->lock), EPERM);
    ck_fails(par_rwlock_dead_owner(&s->lock), EPERM);
    ck_fails(par_rwlock_recover(&s->lock), EPERM);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    ck_fails(par_rwlock_recover(&s->lock), EPERM); /* a reader repairs nothing */
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_fails(par_rwlock_release(&s->lock), EPERM);
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, SOON), 0);
    ck_fails(par_rwlock_acquire_write(&s->lock, SOON), EDEADLK);
    ck_fails(par_rwlock_acquire_read(&s->lock, SOON), EDEADLK);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    *copy = s->lock;
    ck_fails(par_rwlock_acquire_read(copy, SOON), EINVAL);
    ck_fails(par_rwlock_acquire_write(&local, SOON), EINVAL);
    ck_fails(par_rwlock_acquire_read(NULL, SOON), EINVAL);
    ck_fails(par_rwlock_readers(&local), EINVAL);
    ck_fails(par_rwlock_init(NULL, NULL), EINVAL);
    ck_fails(par_rwlock_init(&s->lock, NULL), EBUSY);
    ck_fails(par_rwlock_init(par_value(par_rwlock), &(par_rwlock_opts){ .readers = 4097 }), EINVAL);
}
END_TEST

START_TEST(rwlock_gives_its_memory_back)
{
    par_shared_free(par_value(par_rwlock));
    size_t before = pari_heap_in_use();
    for (int i = 0; i < 100; i++) {
        par_rwlock *lock = par_value(par_rwlock);
        ck_assert_int_eq(par_rwlock_acquire_read(lock, SOON), 0);
        ck_assert_int_eq(par_rwlock_release(lock), 0);
        par_shared_free(lock);
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

START_TEST(threads_see_no_half_written_data)
{
    struct stage *s = make_stage();
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_and_write_in_thread, s), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(atomic_load(&s->a), 4000);
}
END_TEST

/* ---- several processes */

START_TEST(processes_see_no_half_written_data)
{
    struct stage *s = make_stage();
    pid_t child[4];
    ck_assert_int_eq(par_rwlock_init(&s->lock, _i == 0 ? NULL : &(par_rwlock_opts){ .readers = (unsigned)_i }), 0);
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(read_and_write, s);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(atomic_load(&s->a), 4000);
    ck_assert_int_eq(par_rwlock_readers(&s->lock), 0);
}
END_TEST

START_TEST(readers_are_inside_together)
{
    struct stage *s = make_stage();
    pid_t child[5];
    for (int i = 0; i < 5; i++)
        child[i] = fixture_fork(read_until_told, s);
    while (atomic_load(&s->n_inside) < 5)
        nap();
    ck_assert_int_eq(par_rwlock_readers(&s->lock), 5);
    ck_fails(par_rwlock_acquire_write(&s->lock, PAR_NOWAIT), ETIMEDOUT);
    par_event_set(&s->go_on);
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
}
END_TEST

START_TEST(writer_that_waits_lets_no_new_reader_in)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    pid_t writer = fixture_fork(write_until_told, s);
    while (par_rwlock_acquire_read(&s->lock, PAR_NOWAIT) == 0) {
        ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
        nap();
    }
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
    ck_fails(par_rwlock_acquire_read(&s->lock, par_in(0.02)), ETIMEDOUT);
    par_event_set(&s->go_on);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(fixture_wait(writer), 0);
}
END_TEST

/* One entry is for one process: the second one reads with the mutex in its hand, which keeps writers out as well. */
START_TEST(more_readers_than_entries_read_one_by_one)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_rwlock_init(&s->lock, &(par_rwlock_opts){ .readers = 1 }), 0);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    pid_t child = fixture_fork(read_until_told, s);
    ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_fails(par_rwlock_acquire_write(&s->lock, PAR_NOWAIT), ETIMEDOUT);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
}
END_TEST

START_TEST(entries_of_the_dead_are_used_again)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_rwlock_init(&s->lock, &(par_rwlock_opts){ .readers = 2 }), 0);
    for (int i = 0; i < 20; i++) {
        par_event_clear(&s->taken);
        pid_t child = fixture_fork(read_until_told, s);
        ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    }
    ck_assert_int_eq(par_rwlock_readers(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_readers(&s->lock), 1); /* it has an entry */
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
}
END_TEST

START_TEST(killed_reader_is_forgotten_by_the_writer_that_waits)
{
    struct stage *s = make_stage();
    pid_t reader = fixture_fork(read_until_told, s);
    ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
    pid_t killer = fork();
    if (killer == 0) {
        fixture_kill_after_us(reader, 20000);
        _exit(0);
    }
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), 0); /* nothing was written */
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(fixture_wait(killer), 0);
    ck_assert_int_eq(fixture_wait(reader), -SIGKILL);
}
END_TEST

START_TEST(killed_writer_leaves_its_mark)
{
    struct stage *s = make_stage();
    pid_t writer = fixture_fork(write_until_told, s);
    ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
    ck_assert_int_eq(kill(writer, SIGKILL), 0);
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0); /* before it is reaped */
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), writer);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(fixture_wait(writer), -SIGKILL);
    ck_assert_int_eq(par_rwlock_acquire_write(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), writer); /* until it is repaired */
    ck_assert_int_eq(par_rwlock_recover(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
}
END_TEST

static int
wait_to_write(void *arg)
{
    struct stage *s = arg;

    par_event_set(&s->taken);
    return par_rwlock_acquire_write(&s->lock, SOON);
}

START_TEST(writer_killed_while_it_waits_leaves_no_mark)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    pid_t writer = fixture_fork(wait_to_write, s);
    ck_assert_int_eq(par_event_wait(&s->taken, SOON), 0);
    fixture_kill_after_us(writer, fixture_random_below(3000));
    ck_assert_int_eq(par_rwlock_acquire_read(&s->lock, SOON), 0);
    ck_assert_int_eq(par_rwlock_dead_owner(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(par_rwlock_release(&s->lock), 0);
    ck_assert_int_eq(fixture_wait(writer), -SIGKILL);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("rwlock");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, all_zero_rwlock_works);
    tcase_add_test(one, rwlock_in_wrong_hands);
    tcase_add_test(one, rwlock_gives_its_memory_back);
    tcase_add_test(one, threads_see_no_half_written_data);
    tcase_add_loop_test(several, processes_see_no_half_written_data, 0, 4);
    tcase_add_test(several, readers_are_inside_together);
    tcase_add_test(several, writer_that_waits_lets_no_new_reader_in);
    tcase_add_test(several, more_readers_than_entries_read_one_by_one);
    tcase_add_test(several, entries_of_the_dead_are_used_again);
    tcase_add_test(several, killed_reader_is_forgotten_by_the_writer_that_waits);
    tcase_add_test(several, killed_writer_leaves_its_mark);
    tcase_add_loop_test(several, writer_killed_while_it_waits_leaves_no_mark, 0, 5);
    return fixture_run(suite);
}
