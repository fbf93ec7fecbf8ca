/* SPDX-License-Identifier: MIT
 *
 * test_channel_steps.c: a process is killed after each single instruction of an operation of a pipe or a queue, and the others
 * go on: nothing that was put is lost or comes twice, what a dead consumer held is told of, nothing leaks, nobody hangs.
 *
 * The victim stops itself before and after the operation; the test lets it run k instructions, kills it, and looks. A run
 * tries a few random k; FIXTURE_STRIDE=1 tries every one (with a larger CK_TIMEOUT_MULTIPLIER).
 */
#include "fixture.h"

#include <limits.h>
#include <par.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "../libpar/shm/arena.h"

#define N_RANDOM 6
#define BIG 1100 /* more than a quarter of a ring of 4096 */

static par_queue *q;
static par_conn *end[2];
static size_t in_use;
static char buf[2 * BIG];
static char all_a[BIG + 1], all_b[BIG]; /* filled beforehand: a string instruction is a step per byte */

static const struct scenario *now;

struct scenario {
    void (*prepare)(void);
    void (*act)(void); /* by the victim, between its two stops */
    void (*check)(void);
};

/* ---- the victim */

static int
victim(void *arg)
{
    (void)arg;
    (void)par_is_shared(&q); /* a member of the family from here on */
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return 77;
    raise(SIGSTOP);
    now->act();
    raise(SIGSTOP);
    return 0;
}

static void
wait_for_stop(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
        ck_abort_msg("the victim ended by itself");
}

/* Let it run so many instructions, or to the operation's end: how many there were. */
static long
step(pid_t pid, long k)
{
    siginfo_t why;

    wait_for_stop(pid);
    for (long i = 0; i < k; i++) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
            ck_abort_msg("ptrace: %s", strerror(errno)); /* an assertion of Check is too slow for each step */
        wait_for_stop(pid);
        if (ptrace(PTRACE_GETSIGINFO, pid, NULL, &why) != 0)
            ck_abort_msg("ptrace: %s", strerror(errno));
        if (why.si_signo == SIGSTOP)
            return i;
    }
    return k;
}

static long
kill_at(long k)
{
    par_process *p;
    long n;

    now->prepare();
    p = par_process_start(victim, NULL, 0, &(par_process_opts){ .give = { end[0] } });
    ck_assert_ptr_nonnull(p);
    n = step(par_process_pid(p), k);
    par_process_kill(p);
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), -SIGKILL);
    par_process_free(p);
    now->check();
    return n;
}

static void
kill_without_leak(long k)
{
    (void)kill_at(k);
    ck_assert_msg(pari_heap_in_use() == in_use, "%zu bytes became %zu at %ld", in_use, pari_heap_in_use(), k);
}

static void
kill_everywhere(const struct scenario *scenario)
{
    const char *stride = getenv("FIXTURE_STRIDE");
    long n;

    memset(all_a, 'a', sizeof all_a);
    memset(all_b, 'b', sizeof all_b);
    now = scenario;
    end[0] = end[1] = NULL;
    (void)kill_at(1); /* the family begins, and what it keeps */
    in_use = pari_heap_in_use();
    n = kill_at(LONG_MAX);
    ck_assert_int_gt(n, 50);
    if (stride != NULL)
        for (long k = 0; k < n; k += atol(stride))
            kill_without_leak(k);
    else
        for (int i = 0; i < N_RANDOM; i++)
            kill_without_leak(fixture_random_below((uint32_t)n));
}

/* ---- queues */

static void
put_letter(char letter, size_t size)
{
    memset(buf, letter, size);
    ck_assert_int_eq(par_queue_put(q, buf, size, par_in(5)), 0);
}

/* The letters that are in the queue, each a message, in order. */
static const char *
get_letters(void)
{
    static char letters[16];
    ssize_t n;
    int i = 0;

    while ((n = par_queue_get(q, buf, sizeof buf, PAR_NOWAIT)) > 0) {
        for (ssize_t k = 1; k < n; k++)
            ck_assert_int_eq(buf[k], buf[0]);
        letters[i++] = buf[0];
        ck_assert_int_eq(par_queue_task_done(q), 0);
    }
    ck_assert_int_eq(errno, ETIMEDOUT);
    letters[i] = 0;
    return letters;
}

static void
end_queue(void)
{
    ck_assert(par_queue_empty(q));
    ck_assert_int_eq(par_queue_qsize(q), 0);
    par_queue_free(q);
}

static void
make_queue(void)
{
    char c;

    q = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(par_queue_put(q, "x", 1, PAR_NOWAIT), 0); /* the accounts are there from here on */
    ck_assert_int_eq(par_queue_get(q, &c, 1, PAR_NOWAIT), 1);
    ck_assert_int_eq(par_queue_task_done(q), 0);
}

static void
prepare_one_letter(void)
{
    make_queue();
    put_letter('a', 5);
}

static void
act_put(void)
{
    (void)par_queue_put(q, "b", 1, PAR_NOWAIT);
}

static void
act_put_big(void)
{
    (void)par_queue_put(q, all_b, BIG, PAR_NOWAIT);
}

static void
check_put(void)
{
    const char *letters;
    ssize_t n = par_queue_qsize(q);

    put_letter('c', 7);
    ck_assert_int_eq(par_queue_qsize(q), n + 1);
    letters = get_letters();
    ck_assert_msg(strcmp(letters, "ac") == 0 || strcmp(letters, "abc") == 0, "%s", letters);
    ck_assert_int_eq((ssize_t)strlen(letters), n + 1);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    end_queue();
}

static void
prepare_two_letters(void)
{
    make_queue();
    put_letter('a', 5);
    put_letter('b', 6);
}

static void
prepare_two_big(void)
{
    make_queue();
    put_letter('a', BIG);
    put_letter('b', BIG + 1);
}

static void
act_get(void)
{
    ssize_t n = par_queue_get(q, buf, sizeof buf, PAR_NOWAIT);

    (void)n;
}

static void
act_get_alloc(void)
{
    free(par_queue_get_alloc(q, NULL, PAR_NOWAIT));
}

static void
check_get(void)
{
    ssize_t n = par_queue_qsize(q);
    const char *letters = get_letters();
    bool is_lost = strcmp(letters, "b") == 0;

    ck_assert_msg(is_lost || strcmp(letters, "ab") == 0, "%s", letters);
    ck_assert_int_eq((ssize_t)strlen(letters), n);
    ck_assert_int_eq(par_queue_join(q, par_in(5)), is_lost);
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    end_queue();
}

static void
act_work(void)
{
    if (par_queue_get(q, buf, sizeof buf, PAR_NOWAIT) > 0)
        (void)par_queue_task_done(q);
}

static void
check_work(void)
{
    const char *letters = get_letters();
    ssize_t lost = par_queue_join(q, par_in(5));

    ck_assert_int_ge(lost, 0);
    ck_assert_int_le(lost, strcmp(letters, "b") == 0);
    end_queue();
}

static int
take_one_and_leave(void *arg)
{
    char c[8];

    (void)arg;
    return par_queue_get(q, c, sizeof c, par_in(5)) == 5 ? 0 : 1;
}

static void
prepare_lost_message(void)
{
    par_process *p;

    make_queue();
    put_letter('a', 5);
    p = par_process_start(take_one_and_leave, NULL, 0, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(par_process_join(p, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(p), 0);
    par_process_free(p);
}

static void
act_join(void)
{
    ssize_t lost = par_queue_join(q, PAR_NOWAIT);

    (void)lost;
}

static void
check_join(void)
{
    ssize_t lost = par_queue_join(q, par_in(5));

    ck_assert_msg(lost == 0 || lost == 1, "%zd", lost); /* 0: the victim was about to tell of it */
    ck_assert_int_eq(par_queue_join(q, PAR_NOWAIT), 0);
    end_queue();
}

static void
prepare_producers(void)
{
    q = par_queue_new(&(par_queue_opts){ .capacity = 4096, .producers = 1 });
    ck_assert_ptr_nonnull(q);
}

static void
check_producers(void)
{
    ssize_t n = par_queue_get(q, buf, sizeof buf, par_in(0.001));

    if (n < 0 && errno == ETIMEDOUT) { /* it never was a producer */
        put_letter('c', 1);
        ck_assert_int_eq(par_queue_producer_leave(q), 0);
        n = par_queue_get(q, buf, sizeof buf, PAR_NOWAIT);
    }
    if (n == 1)
        n = par_queue_get(q, buf, sizeof buf, PAR_NOWAIT);
    ck_assert_int_eq(n, -1);
    ck_assert_int_eq(errno, EPIPE);
    end_queue();
}

/* ---- pipes: the victim has end[0] */

static void
make_pipe(void)
{
    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .duplex = true, .capacity = 4096 }), 0);
}

static void
prepare_pipe(void)
{
    make_pipe();
    ck_assert_int_eq(par_conn_send(end[1], all_a, BIG, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send(end[1], all_a, BIG + 1, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_conn_send(end[1], "b", 1, PAR_NOWAIT), 0);
}

static void
act_send_big(void)
{
    (void)par_conn_send(end[0], "a", 1, PAR_NOWAIT);
    (void)par_conn_send(end[0], all_a, BIG, PAR_NOWAIT);
}

static void
act_receive_big(void)
{
    ssize_t n = par_conn_recv(end[0], buf, sizeof buf, PAR_NOWAIT);

    (void)n;
}

static void
act_close(void)
{
    par_conn_close(end[0]);
}

/* The survivor receives what was sent, then the end, and its free leaves nothing. */
static void
check_pipe(void)
{
    static const ssize_t expected[] = { 1, BIG };
    ssize_t n;

    for (int i = 0; (n = par_conn_recv(end[1], buf, sizeof buf, par_in(5))) >= 0; i++) {
        ck_assert_int_lt(i, 2);
        ck_assert_int_eq(n, expected[i]);
        for (ssize_t k = 0; k < n; k++)
            if (buf[k] != 'a')
                ck_abort_msg("wrong byte %zd", k);
    }
    ck_assert_int_eq(errno, EPIPE);
    ck_fails(par_conn_send(end[1], "x", 1, par_in(5)), EPIPE);
    par_conn_free(end[1]);
}

#define STEPS(name, prepare_, act_, check_)                                       \
    START_TEST(name)                                                              \
    {                                                                             \
        static const struct scenario scenario = { (prepare_), (act_), (check_) }; \
        kill_everywhere(&scenario);                                               \
    }                                                                             \
    END_TEST

STEPS(put, prepare_one_letter, act_put, check_put)
STEPS(put_of_a_big_message, prepare_one_letter, act_put_big, check_put)
STEPS(get, prepare_two_letters, act_get, check_get)
STEPS(get_of_a_big_message, prepare_two_big, act_get, check_get)
STEPS(get_alloc, prepare_two_big, act_get_alloc, check_get)
STEPS(get_and_task_done, prepare_two_letters, act_work, check_work)
STEPS(join, prepare_lost_message, act_join, check_join)
STEPS(first_put_of_a_producer, prepare_producers, act_put, check_producers)
STEPS(send_of_a_big_message, make_pipe, act_send_big, check_pipe)
STEPS(receive_of_a_big_message, prepare_pipe, act_receive_big, check_pipe)
STEPS(close_of_an_end, prepare_pipe, act_close, check_pipe)

static bool
may_trace(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int
main(void)
{
    Suite *suite = fixture_suite("channel_steps");
    TCase *tcase = fixture_case(suite, "killed at every step");

    if (!may_trace()) {
        printf("skipped: no process may trace another here\n");
        return EXIT_SUCCESS;
    }
    tcase_add_test(tcase, put);
    tcase_add_test(tcase, put_of_a_big_message);
    tcase_add_test(tcase, get);
    tcase_add_test(tcase, get_of_a_big_message);
    tcase_add_test(tcase, get_alloc);
    tcase_add_test(tcase, get_and_task_done);
    tcase_add_test(tcase, join);
    tcase_add_test(tcase, first_put_of_a_producer);
    tcase_add_test(tcase, send_of_a_big_message);
    tcase_add_test(tcase, receive_of_a_big_message);
    tcase_add_test(tcase, close_of_an_end);
    return fixture_run(suite);
}
