/* SPDX-License-Identifier: MIT
 *
 * test_registry.c: who belongs to the family and who is dead: births, every kind of death, slots that are used again.
 */
#include "fixture.h"
#include "nap.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../libpar/shm/arena.h"

struct stage {
    par_event born, go_on;
    par_lock lock;
    _Atomic pari_member member, grandchild, owner;
    _Atomic pid_t pid;
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
join_and_wait(void *arg)
{
    struct stage *s = arg;

    atomic_store(&s->member, pari_self());
    par_event_set(&s->born);
    return par_event_wait(&s->go_on, par_in(20)) == 0 ? 0 : 1;
}

static int
be_born(void *arg)
{
    struct stage *s = arg;

    if (pari_member_born(atomic_load(&s->member)) != 0)
        return 1;
    return pari_self() == atomic_load(&s->member) ? join_and_wait(arg) : 2;
}

static int
be_born_too_late(void *arg)
{
    struct stage *s = arg;

    if (par_event_wait(&s->go_on, par_in(20)) != 0)
        return 1;
    return pari_member_born(atomic_load(&s->member)) == -1 && errno == EINVAL && pari_self() != 0 ? 0 : 2;
}

static pid_t
start_guest(struct stage *s)
{
    pid_t child;

    par_event_clear(&s->born);
    child = fixture_fork(join_and_wait, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    return child;
}

/* ---- birth */

START_TEST(first_call_joins_the_family)
{
    ck_assert_uint_eq(pari_me, 0);
    pari_member me = pari_self();
    ck_assert_uint_ne(me, 0);
    ck_assert_uint_eq(pari_self(), me);
    ck_assert(!pari_member_is_dead(me));
    ck_assert_int_eq(pari_member_pid(me), getpid());
    ck_assert_int_eq(pari_self_pid(), getpid());
    ck_assert_uint_eq(pari_member_parent(me), 0);
}
END_TEST

START_TEST(nobody_and_garbage_are_dead)
{
    ck_assert(pari_member_is_dead(0));
    ck_assert_uint_ne(pari_self(), 0);
    ck_assert(pari_member_is_dead(0));
    ck_assert(pari_member_is_dead(UINT64_MAX));
    ck_assert(pari_member_is_dead(pari_self() + (1 << PARI_SLOT_BITS)));
    ck_assert_int_eq(pari_member_pid(12345), 0);
    pari_member_release(UINT64_MAX);
}
END_TEST

START_TEST(child_of_a_plain_fork_is_a_guest)
{
    struct stage *s = make_stage();
    pid_t child = start_guest(s);
    ck_assert_uint_ne(s->member, pari_self());
    ck_assert_int_eq(pari_member_pid(s->member), child);
    ck_assert(!pari_member_is_dead(s->member));
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert(pari_member_is_dead(s->member));
}
END_TEST

START_TEST(reserved_member_starts_lives_and_leaves_its_code)
{
    struct stage *s = make_stage();
    pari_member member = pari_member_reserve();
    pid_t child;
    int code;
    ck_assert(!pari_member_is_dead(member)); /* its parent lives */
    ck_assert_uint_eq(pari_member_parent(member), pari_self());
    s->member = member;
    child = fixture_fork(be_born, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    ck_assert(!pari_member_is_dead(member));
    ck_assert_int_eq(pari_member_pid(member), child);
    ck_assert_int_eq(pari_member_exit(member, &code), -1);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert(pari_member_is_dead(member));
    pari_member_release(member);
    ck_assert(pari_member_is_dead(member));
    ck_fails(pari_member_born(member), EINVAL);
}
END_TEST

static int
leave_code(void *arg)
{
    struct stage *s = arg;

    if (pari_member_born(s->member) != 0)
        return 1;
    pari_member_set_exit(42);
    return 0;
}

START_TEST(exit_code_is_left_in_the_slot)
{
    struct stage *s = make_stage();
    int code = 0;
    s->member = pari_member_reserve();
    ck_assert_int_eq(fixture_in_child(leave_code, s), 0);
    ck_assert_int_eq(pari_member_exit(s->member, &code), 0);
    ck_assert_int_eq(code, 42);
    pari_member_release(s->member);
    ck_assert_int_eq(pari_member_exit(s->member, &code), -1);
}
END_TEST

/* ---- death, in every way */

static int line[2]; /* to the program below */

static int
join_and_exec(void *arg)
{
    struct stage *s = arg;

    if (dup2(line[0], 0) != 0)
        return 2;
    atomic_store(&s->member, pari_self());
    execl("/bin/sh", "sh", "-c", "read line; exit 5", (char *)NULL);
    return 1;
}

START_TEST(exec_is_death_though_the_process_lives)
{
    static const _Atomic uint32_t never; /* does not change */
    struct stage *s = make_stage();
    pid_t child;
    ck_assert_int_eq(pipe(line), 0);
    child = fixture_fork(join_and_exec, s);
    for (par_time end = par_in(20); s->member == 0 || !pari_member_is_dead(s->member);) {
        struct pari_nap nap = { 0 };
        ck_assert_int_eq(pari_nap(&nap, &never, 0, NULL, 0, end), 0);
    }
    ck_assert_int_eq(kill(child, 0), 0);
    ck_assert_int_eq(write(line[1], "\n", 1), 1);
    ck_assert_int_eq(fixture_wait(child), 5);
    close(line[0]);
    close(line[1]);
}
END_TEST

START_TEST(killed_by_any_signal_is_dead)
{
    static const int fatal[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT };
    struct stage *s = make_stage();
    pid_t child;
    signal(fatal[_i], SIG_DFL); /* Check has handlers */
    child = start_guest(s);
    kill(child, fatal[_i]);
    ck_assert_int_ne(fixture_wait(child), 0);
    ck_assert(pari_member_is_dead(s->member));
}
END_TEST

START_TEST(zombie_is_dead)
{
    struct stage *s = make_stage();
    pid_t child = start_guest(s);
    siginfo_t info;
    kill(child, SIGKILL);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert(pari_member_is_dead(s->member));
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
}
END_TEST

START_TEST(stopped_is_not_dead)
{
    struct stage *s = make_stage();
    pid_t child = start_guest(s);
    siginfo_t info;
    kill(child, SIGSTOP);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
    ck_assert(!pari_member_is_dead(s->member));
    kill(child, SIGKILL);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    ck_assert(pari_member_is_dead(s->member));
}
END_TEST

/* The kernel marks the word. (Not every libc can join the main thread of a forked child.) */
static void *
outlive_main_thread(void *arg)
{
    struct stage *s = arg;
    const struct pari_slot *slot = pari_slot_at(pari_slot_of(atomic_load(&s->member)));
    par_time start = par_now();

    while (pari_mutex_is_locked(&slot->alive))
        if (par_since(start) > 20)
            _exit(2);
    par_event_set(&s->born);
    _exit(par_event_wait(&s->go_on, par_in(20)) == 0 ? 0 : 1);
}

static int
end_main_thread(void *arg)
{
    struct stage *s = arg;
    pthread_t thread;

    atomic_store(&s->member, pari_self());
    if (pthread_create(&thread, NULL, outlive_main_thread, arg) != 0)
        return 1;
    pthread_exit(NULL);
}

START_TEST(end_of_the_main_thread_is_no_death)
{
    struct stage *s = make_stage();
    pid_t child = fixture_fork(end_main_thread, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    ck_assert(!pari_member_is_dead(s->member));
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert(pari_member_is_dead(s->member));
}
END_TEST

static int
hold_next_byte(void *arg)
{
    struct stage *s = arg;

    if (pari_record_lock(pari_arena_fd, pari_arena->next_slot) != 0)
        return 1;
    par_event_set(&s->born);
    while (!par_event_is_set(&s->go_on)) /* without a slot of its own */
        nap();
    return 0;
}

/* As by one that is killed when it has the byte of a slot, but not yet the slot: the lock of the registry is free before the byte. */
START_TEST(slot_whose_byte_is_held_is_passed_over)
{
    struct stage *s = make_stage();
    unsigned next = pari_arena->next_slot;
    pid_t child = fixture_fork(hold_next_byte, s), guest;
    pari_member member;
    while (!par_event_is_set(&s->born))
        nap();
    member = pari_member_reserve();
    ck_assert_uint_ne(member, 0);
    ck_assert_uint_ne(pari_slot_of(member), next);
    pari_member_release(member);
    pari_arena->next_slot = next;
    par_event_clear(&s->born);
    guest = fixture_fork(join_and_wait, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    ck_assert_uint_ne(pari_slot_of(s->member), next);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(guest), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

static int
begin_and_die(void *arg)
{
    struct stage *s = arg;

    return pari_member_claim(s->member) && pari_member_begin(s->member, 0) ? 0 : 1;
}

static int
begin_and_be_born(void *arg)
{
    struct stage *s = arg;

    if (!pari_member_claim(s->member) || pari_member_begin(s->member, 0) || !pari_member_begin(s->member, 1))
        return 1;
    return be_born(arg);
}

/* The pid of the first one may be anybody's by now, so nothing is asked of it. */
START_TEST(start_whose_child_died_before_its_birth_is_tried_again)
{
    struct stage *s = make_stage();
    pid_t child;
    s->member = pari_member_reserve();
    ck_assert(!pari_member_is_dead(s->member));
    ck_assert_int_eq(fixture_in_child(begin_and_die, s), 0);
    ck_assert(pari_member_is_dead(s->member));
    ck_assert_int_eq(pari_member_void(s->member, 0), 0);
    ck_assert(!pari_member_is_dead(s->member));
    child = fixture_fork(begin_and_be_born, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    ck_assert_int_eq(pari_member_void(s->member, 1), child);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert(pari_member_is_dead(s->member));
    ck_assert_int_eq(pari_member_void(s->member, 1), child); /* it has lived: it is not started twice */
    pari_member_release(s->member);
}
END_TEST

static int
hold_byte_for_a_moment(void *arg)
{
    struct stage *s = arg;

    if (pari_record_lock(pari_arena_fd, pari_slot_of(s->member)) != 0)
        return 1;
    par_event_set(&s->born);
    (void)poll(NULL, 0, 30);
    return 0; /* whereby it is free */
}

static int
be_born_there(void *arg)
{
    struct stage *s = arg;

    return pari_member_born(s->member) == 0 ? 0 : 1;
}

/* As by one that was given up, and comes to be born into the slot only now. */
START_TEST(birth_waits_for_a_byte_that_another_one_has_for_a_moment)
{
    struct stage *s = make_stage();
    pid_t late;
    s->member = pari_member_reserve();
    ck_assert_uint_ne(s->member, 0);
    late = fixture_fork(hold_byte_for_a_moment, s);
    ck_assert_int_eq(par_event_wait(&s->born, par_in(20)), 0);
    ck_assert_int_eq(fixture_in_child(be_born_there, s), 0);
    ck_assert_int_eq(fixture_wait(late), 0);
    pari_member_release(s->member);
}
END_TEST

static void *
take_over(void *arg)
{
    (void)arg;
    pari_member_refresh();
    return (void *)(intptr_t)pari_mutex_is_mine(&pari_slot_at(pari_slot_of(pari_self()))->alive);
}

static void *
join_in_thread(void *arg)
{
    (void)arg;
    return (void *)(uintptr_t)pari_self();
}

START_TEST(living_thread_takes_the_alive_word_over)
{
    pthread_t thread;
    void *result;
    ck_assert_int_eq(pthread_create(&thread, NULL, join_in_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_uint_eq((uintptr_t)result, pari_self());
    ck_assert(!pari_member_is_dead(pari_self()));
    ck_assert_ptr_nonnull(take_over(NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, take_over, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_null(result); /* it has a living holder */
}
END_TEST

/* ---- forks of a program with threads */

static _Atomic bool threads_end;

static void *
work_in_thread(void *arg)
{
    struct stage *s = arg;

    while (!threads_end) {
        void *block = par_shared_alloc(1, 500);
        if (block == NULL || par_lock_acquire(&s->lock, par_in(20)) != 0 || par_lock_release(&s->lock) != 0)
            return arg;
        par_shared_free(block);
    }
    return NULL;
}

static int
work_as_guest(void *arg)
{
    struct stage *s = arg;
    void *block = par_shared_alloc(1, 500);

    if (block == NULL || par_lock_acquire(&s->lock, par_in(20)) != 0 || par_lock_release(&s->lock) != 0)
        return 1;
    par_shared_free(block);
    return par_event_wait(&s->go_on, par_in(0.001)) == -1 && errno == ETIMEDOUT ? 0 : 2;
}

START_TEST(children_forked_while_threads_are_in_libpar_are_whole)
{
    struct stage *s = make_stage();
    pthread_t thread[2];
    void *result;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, work_in_thread, s), 0);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(fixture_in_child(work_as_guest, s), 0);
    threads_end = true;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
}
END_TEST

/* ---- slots */

START_TEST(slots_of_the_dead_are_used_again_under_another_name)
{
    struct stage *s = make_stage();
    pari_member seen[200];
    for (int i = 0; i < 200; i++) {
        pid_t child = start_guest(s);
        seen[i] = s->member;
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(seen[k], seen[i]);
        kill(child, SIGKILL);
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    }
    (void)pari_registry_sweep();
    ck_assert_int_eq(pari_registry_sweep(), 0);
    ck_assert(!pari_member_is_dead(pari_self()));
}
END_TEST

START_TEST(full_registry_is_eagain)
{
    static pari_member member[PARI_MAX_MEMBERS];
    pari_member me = pari_self();
    size_t n = 0;
    while ((member[n] = pari_member_reserve()) != 0)
        n++;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(n, PARI_MAX_MEMBERS - 1);
    pari_member_release(member[1000]);
    ck_assert_uint_ne(member[n] = pari_member_reserve(), 0);
    ck_assert_uint_eq(pari_slot_of(member[n]), pari_slot_of(member[1000]));
    ck_assert_uint_ne(member[n], member[1000]);
    ck_assert(pari_member_is_dead(member[1000]));
    ck_assert(!pari_member_is_dead(me));
}
END_TEST

static int
reserve_and_die(void *arg)
{
    struct stage *s = arg;
    pid_t pid;

    atomic_store(&s->member, pari_member_reserve());
    if (s->member == 0 || pari_heap_alloc(1, 1000, s->member) == NULL)
        return 1;
    pid = fork();
    if (pid == 0)
        _exit(be_born_too_late(arg));
    atomic_store(&s->pid, pid);
    return 0;
}

START_TEST(starting_child_of_a_dead_parent_is_swept_and_cannot_be_born)
{
    struct stage *s = make_stage();
    size_t before = pari_heap_in_use();
    ck_assert_int_eq(fixture_in_child(reserve_and_die, s), 0);
    ck_assert(pari_member_is_dead(s->member));
    ck_assert_int_ge(pari_registry_sweep(), 2);
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(s->pid), 0); /* it became this process's child */
}
END_TEST

/* Its daemon lives on here, as one does for the moment that its kill takes. */
static int
leave_a_daemon(void *arg)
{
    struct stage *s = arg;
    pid_t pid;

    atomic_store(&s->owner, pari_self());
    if (s->owner == 0 || pari_heap_alloc(1, 1000, s->owner) == NULL)
        return 1;
    atomic_store(&s->member, pari_member_reserve());
    pari_member_bind(s->member);
    pid = fork();
    if (pid == 0)
        _exit(be_born(arg));
    atomic_store(&s->pid, pid);
    return par_event_wait(&s->born, par_in(20)) == 0 ? 0 : 2;
}

START_TEST(what_the_dead_owned_stays_until_their_daemons_have_ended)
{
    struct stage *s = make_stage();
    size_t before = pari_heap_in_use();
    ck_assert_int_eq(fixture_in_child(leave_a_daemon, s), 0);
    ck_assert(pari_member_is_dead(s->owner));
    ck_assert_int_eq(pari_registry_sweep(), 0);
    pari_member_release(s->owner); /* as the one who reaps it does */
    ck_assert_uint_gt(pari_heap_in_use(), before);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(s->pid), 0); /* it became this process's child */
    ck_assert_int_eq(pari_registry_sweep(), 2);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- faults */

static enum pari_call failing_call;

static int
fail_one_call(enum pari_call call)
{
    return call == failing_call ? ENOLCK : 0;
}

START_TEST(failed_record_lock_fails_the_birth_only)
{
    struct stage *s = make_stage();
    pid_t child;
    failing_call = PARI_CALL_SETLK;
    s->member = pari_member_reserve();
    pari_fault_hook = fail_one_call;
    ck_assert_int_eq(fixture_in_child(be_born, s), 1);
    pari_fault_hook = NULL;
    ck_assert(!pari_member_is_dead(s->member)); /* its parent decides */
    pari_member_release(s->member);
    child = start_guest(s);
    failing_call = PARI_CALL_GETLK;
    pari_fault_hook = fail_one_call;
    kill(child, SIGKILL);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    ck_assert(pari_member_is_dead(s->member)); /* no such process */
    pari_fault_hook = NULL;
}
END_TEST

static int fault_call, fault_at; /* the n-th such call */

static int
fail_nth_call(enum pari_call call)
{
    return (int)call == fault_call && --fault_at == 0 ? ENOMEM : 0;
}

static void
assert_first_call_fails(enum pari_call call, int at)
{
    fault_call = (int)call;
    fault_at = at;
    pari_fault_hook = fail_nth_call;
    ck_fails_null(par_shared_alloc(1, 1), ENOMEM);
    pari_fault_hook = NULL;
    ck_assert_uint_eq(pari_me, 0);
}

static int
is_locked_slot(void *slot)
{
    return pari_record_is_held(pari_arena_fd, *(const unsigned *)slot);
}

/* Else the slot's next process could not take it, and its birth would fail. */
START_TEST(failed_birth_gives_its_record_lock_back)
{
    unsigned slot = 0;
    assert_first_call_fails(PARI_CALL_SETLK, 2);
    while (slot < PARI_MAX_MEMBERS && atomic_load(&pari_slot_at(slot)->tag) == 0)
        slot++;
    ck_assert_uint_lt(slot, PARI_MAX_MEMBERS);
    ck_assert_int_eq(fixture_in_child(is_locked_slot, &slot), 0);
    ck_assert_uint_ne(pari_self(), 0);
    slot = pari_slot_of(pari_self());
    ck_assert_int_eq(fixture_in_child(is_locked_slot, &slot), 1);
}
END_TEST

static int
is_stranger(void *parent)
{
    return pari_self() != 0 && pari_self() != *(const pari_member *)parent ? 0 : 1;
}

/* It would pass for its own child. */
START_TEST(process_that_cannot_notice_its_forks_does_not_join)
{
    pari_member me;
    assert_first_call_fails(PARI_CALL_ATFORK, 1);
    me = pari_self();
    ck_assert_uint_ne(me, 0);
    ck_assert_int_eq(fixture_in_child(is_stranger, &me), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("registry");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, first_call_joins_the_family);
    tcase_add_test(one, nobody_and_garbage_are_dead);
    tcase_add_test(one, living_thread_takes_the_alive_word_over);
    tcase_add_test(one, full_registry_is_eagain);
    tcase_add_test(several, child_of_a_plain_fork_is_a_guest);
    tcase_add_test(several, reserved_member_starts_lives_and_leaves_its_code);
    tcase_add_test(several, exit_code_is_left_in_the_slot);
    tcase_add_test(several, exec_is_death_though_the_process_lives);
    tcase_add_loop_test(several, killed_by_any_signal_is_dead, 0, 4);
    tcase_add_test(several, zombie_is_dead);
    tcase_add_test(several, stopped_is_not_dead);
    tcase_add_test(several, end_of_the_main_thread_is_no_death);
    tcase_add_test(several, slot_whose_byte_is_held_is_passed_over);
    tcase_add_test(several, start_whose_child_died_before_its_birth_is_tried_again);
    tcase_add_test(several, birth_waits_for_a_byte_that_another_one_has_for_a_moment);
    tcase_add_test(several, children_forked_while_threads_are_in_libpar_are_whole);
    tcase_add_test(several, slots_of_the_dead_are_used_again_under_another_name);
    tcase_add_test(several, starting_child_of_a_dead_parent_is_swept_and_cannot_be_born);
    tcase_add_test(several, what_the_dead_owned_stays_until_their_daemons_have_ended);
    tcase_add_test(several, failed_record_lock_fails_the_birth_only);
    tcase_add_test(several, failed_birth_gives_its_record_lock_back);
    tcase_add_test(several, process_that_cannot_notice_its_forks_does_not_join);
    return fixture_run(suite);
}
