/* SPDX-License-Identifier: MIT
 *
 * test_start_end.c: the start methods and death: of a child, of its parent, of the forkserver, of workers, and what happens when the
 * server has no descriptors.
 */
#include "start.h"

#include <sys/resource.h>

#include "../libpar/shm/shm.h"

/* ---- the parent */

struct family {
    int method;
    _Atomic int *pid;
};

static int
have_a_daemon(void *arg)
{
    struct family *family = arg;
    par_process *process =
        par_process_start(stay, (void *)family->pid, 0, &(par_process_opts){ .start_method = family->method, .daemon = true });

    return process != NULL ? stay(NULL) : 1;
}

START_TEST(daemon_ends_with_its_parent)
{
    struct family family = { _i, par_value(_Atomic int) };
    fixture_expect_orphans();
    par_process *process = start(_i, have_a_daemon, &family, sizeof family);
    while (atomic_load(family.pid) == 0)
        nap();
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    while (!pari_pid_has_ended(atomic_load(family.pid)))
        nap();
    par_shared_free((void *)family.pid);
    par_forkserver_stop();
}
END_TEST

/* A parent that starts daemons, one after the other, until it is killed. */
struct brood {
    _Atomic int n;
    struct {
        _Atomic int pid, parent; /* the server, or the one that adopts orphans */
    } daemon[1000];
};

static int
join_brood(void *arg)
{
    struct brood *brood = arg;
    int i = atomic_fetch_add(&brood->n, 1);

    atomic_store(&brood->daemon[i].parent, getppid());
    return stay((void *)&brood->daemon[i].pid);
}

struct brooding {
    int method;
    struct brood *brood;
};

static int
start_daemons(void *arg)
{
    struct brooding *brooding = arg;

    for (int i = 0; i < 100; i++)
        if (par_process_start(join_brood, brooding->brood, 0,
                              &(par_process_opts){ .start_method = brooding->method, .daemon = true }) == NULL)
            return 1;
    return stay(NULL);
}

START_TEST(parent_killed_at_any_time_leaves_no_daemon)
{
    struct brooding brooding = { _i, par_value(struct brood) };
    struct brood *brood = brooding.brood;
    fixture_expect_orphans();
    for (int i = 0; i < 10; i++) {
        par_process *process = start(PAR_FORK, start_daemons, &brooding, sizeof brooding);
        while (atomic_load(&brood->n) == 0)
            nap();
        fixture_kill_after_us(par_process_pid(process), fixture_random_below(5000));
        ck_assert_int_eq(finish(process), -SIGKILL);
        for (int k = 0; k < atomic_load(&brood->n); k++) {
            int pid = atomic_load(&brood->daemon[k].pid), parent = atomic_load(&brood->daemon[k].parent);
            while ((pid != 0 && !pari_pid_has_ended(pid)) || (parent > 1 && parent != getpid() && !pari_pid_has_ended(parent)))
                nap();
        }
        memset(brood, 0, sizeof *brood);
    }
    par_shared_free(brood);
}
END_TEST

/* ---- the server */

struct pids {
    _Atomic int self, server, may_end;
};

static int
say_pids(void *arg)
{
    struct pids *pids = arg;

    atomic_store(&pids->server, getppid());
    atomic_store(&pids->self, getpid());
    while (atomic_load(&pids->may_end) == 0)
        nap();
    return 3;
}

static par_process *
start_and_learn_pids(struct pids *pids)
{
    par_process *process = start(PAR_FORKSERVER, say_pids, pids, 0);

    while (atomic_load(&pids->self) == 0)
        nap();
    return process;
}

START_TEST(server_does_not_mind_an_interrupt)
{
    struct pids *pids = par_value(struct pids);
    par_process *process = start_and_learn_pids(pids);
    int server = atomic_load(&pids->server);
    ck_assert_int_ne(server, getpid());
    ck_assert_int_eq(kill(server, SIGINT), 0);
    ck_assert_int_eq(code_of(PAR_FORKSERVER, increment, NULL, 0), 5);
    atomic_store(&pids->may_end, 1);
    ck_assert_int_eq(finish(process), 3);
    ck_assert_int_eq(kill(server, 0), 0); /* the same one */
    par_shared_free(pids);
    par_forkserver_stop();
    ck_fails(kill(server, 0), ESRCH);
}
END_TEST

START_TEST(killed_server_is_replaced_and_its_children_go_on)
{
    struct pids *pids = par_array(struct pids, 2);
    par_process *process[2] = { start_and_learn_pids(&pids[0]), start_and_learn_pids(&pids[1]) };
    fixture_expect_orphans();
    ck_assert_int_eq(pids[0].server, pids[1].server);
    ck_assert_int_eq(kill(pids[0].server, SIGKILL), 0);
    ck_assert_int_eq(code_of(PAR_FORKSERVER, increment, NULL, 0), 5);
    atomic_store(&pids[0].may_end, 1);
    ck_assert_int_eq(finish(process[0]), 3);
    ck_assert_int_eq(par_process_kill(process[1]), 0);
    int code = finish(process[1]); /* the one thing that is lost with the server, on kernels that do not remember it */
    ck_assert(code == -SIGKILL || code == PAR_EXIT_UNKNOWN);
    par_shared_free(pids);
    par_forkserver_stop();
}
END_TEST

/* The server is killed all the time, while it forks; each start succeeds and each child runs once. */
START_TEST(no_start_is_lost_with_a_server)
{
    struct pids *pids = par_value(struct pids);
    _Atomic int *n = par_value(_Atomic int);
    fixture_expect_orphans();
    for (int i = 0; i < 60; i++) {
        memset(pids, 0, sizeof *pids);
        atomic_store(&pids->may_end, 1);
        ck_assert_int_eq(code_of(PAR_FORKSERVER, say_pids, pids, 0), 3);
        pid_t killer = fork(), server = atomic_load(&pids->server);
        if (killer == 0) {
            fixture_kill_after_us(server, fixture_random_below(600));
            _exit(0);
        }
        for (int k = 0; k < 3; k++) {
            int before = *(int *)n;
            par_process *process = start(PAR_FORKSERVER, increment, (void *)n, 0);
            ck_assert_int_eq(par_process_join(process, SOON), 0);
            ck_assert_int_eq(*(int *)n, before + 1);
            par_process_free(process);
        }
        ck_assert_int_eq(fixture_wait(killer), 0);
    }
    par_shared_free((void *)n);
    par_shared_free(pids);
    par_forkserver_stop();
}
END_TEST

static void
limit_descriptors(pid_t pid, rlim_t n)
{
    struct rlimit limit;

    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = n;
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* It watches children without a descriptor, and refuses what comes with one. */
START_TEST(server_without_descriptors_goes_on)
{
    struct pids *pids = par_value(struct pids);
    par_process *first = start_and_learn_pids(pids), *other[5];
    struct rlimit before;
    par_conn *end[2];
    ck_assert_int_eq(prlimit(atomic_load(&pids->server), RLIMIT_NOFILE, NULL, &before), 0);
    limit_descriptors(atomic_load(&pids->server), 5);
    for (int i = 0; i < 5; i++)
        other[i] = start(PAR_FORKSERVER, stay, NULL, 0);
    ck_assert_int_eq(code_of(PAR_FORKSERVER, increment, NULL, 0), 5);
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    ck_fails_null(par_process_start(increment, NULL, 0,
                                    &(par_process_opts){ .start_method = PAR_FORKSERVER, .give = { end[1] } }),
                  EMFILE);
    par_conn_close(end[0]);
    par_conn_close(end[1]);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(par_process_kill(other[i]), 0);
        ck_assert_int_eq(finish(other[i]), -SIGKILL);
    }
    limit_descriptors(atomic_load(&pids->server), before.rlim_cur);
    ck_assert_int_eq(code_of(PAR_FORKSERVER, increment, NULL, 0), 5);
    ck_assert_int_eq(par_process_is_alive(first), 1);
    atomic_store(&pids->may_end, 1);
    ck_assert_int_eq(finish(first), 3);
    par_shared_free(pids);
    par_forkserver_stop();
}
END_TEST

/* ---- workers */

static int
die_on_three(const void *in, void *out, void *ctx)
{
    (void)ctx;
    if (*(const int *)in == 3)
        raise(SIGKILL);
    *(int *)out = *(const int *)in * 2;
    return 0;
}

START_TEST(pool_names_what_died_and_replaces_it)
{
    int in[10], out[10];
    par_status lost[2];
    par_pool *pool = new_pool(_i);
    for (int i = 0; i < 10; i++)
        in[i] = i;
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(par_pool_map_with(pool, die_on_three, in, out, 10,
                                           &(par_job_opts){ .failures = lost, .max_failures = 2 }),
                         1);
        ck_assert_uint_eq(lost[0].index, 3);
        ck_assert_int_eq(lost[0].state, PAR_LOST);
        ck_assert_int_eq(lost[0].signal, SIGKILL);
        ck_assert_int_eq(out[9], 18);
    }
    par_future *future = par_pool_submit(pool, die_on_three, &in[4], sizeof(int));
    ck_assert_int_eq(par_future_get(future, out, SOON), 0);
    ck_assert_int_eq(out[0], 8);
    par_future_free(future);
    par_pool_free(pool);
    par_forkserver_stop();
}
END_TEST

#define N_ITEMS 400

struct ledger {
    _Atomic int victim, is_over;
    _Atomic int n_done[N_ITEMS];
};

static int
enter(const void *in, void *out, void *ctx)
{
    struct ledger *ledger = ctx;

    atomic_store(&ledger->victim, getpid());
    nap();
    atomic_fetch_add(&ledger->n_done[*(const int *)in], 1);
    *(int *)out = *(const int *)in;
    return 0;
}

static int
kill_workers(void *arg)
{
    struct ledger *ledger = arg;

    while (atomic_load(&ledger->is_over) == 0) {
        pid_t victim = atomic_exchange(&ledger->victim, 0);
        if (victim != 0)
            fixture_kill_after_us(victim, fixture_random_below(8000));
        nap();
    }
    return 0;
}

/* Each item is done once, or it is named with the signal; it may have been done a moment before. */
START_TEST(workers_killed_at_any_time_are_replaced)
{
    struct ledger *ledger = par_value(struct ledger);
    int in[N_ITEMS], out[N_ITEMS], n_lost_in_all = 0;
    par_pool *pool = new_pool(_i);
    for (int i = 0; i < N_ITEMS; i++)
        in[i] = i;
    while (n_lost_in_all < 20) {
        par_status lost[N_ITEMS];
        char is_lost[N_ITEMS] = { 0 };
        memset(ledger, 0, sizeof *ledger);
        pid_t killer = fixture_fork(kill_workers, ledger);
        int n_lost = par_pool_map_with(pool, enter, in, out, N_ITEMS,
                                       &(par_job_opts){ .ctx = ledger, .failures = lost, .max_failures = N_ITEMS });
        atomic_store(&ledger->is_over, 1);
        ck_assert_int_eq(fixture_wait(killer), 0);
        ck_assert_int_ge(n_lost, 0);
        for (int i = 0; i < n_lost; i++) {
            ck_assert_int_eq(lost[i].state, PAR_LOST);
            ck_assert_int_eq(lost[i].signal, SIGKILL);
            is_lost[lost[i].index] = 1;
        }
        for (int i = 0; i < N_ITEMS; i++) {
            ck_assert_int_le(atomic_load(&ledger->n_done[i]), 1);
            ck_assert(is_lost[i] || (atomic_load(&ledger->n_done[i]) == 1 && out[i] == i));
        }
        n_lost_in_all += n_lost;
    }
    par_pool_free(pool);
    par_shared_free(ledger);
    par_forkserver_stop();
}
END_TEST

START_TEST(server_starts_hundreds_of_workers)
{
    int in[5000], out[5000];
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 300, .start_method = PAR_FORKSERVER });
    ck_assert_ptr_nonnull(pool);
    for (int i = 0; i < 5000; i++)
        in[i] = i + 4;
    ck_assert_int_eq(par_pool_map(pool, die_on_three, in, out, 5000), 0);
    ck_assert_int_eq(out[4999], 10006);
    par_pool_free(pool);
    par_forkserver_stop();
}
END_TEST

int
main(void)
{
    par_spawn_support();

    Suite *suite = fixture_suite("start_end");
    TCase *every = fixture_case(suite, "every method"), *server = fixture_case(suite, "server");

    tcase_add_loop_test(every, daemon_ends_with_its_parent, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, parent_killed_at_any_time_leaves_no_daemon, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, pool_names_what_died_and_replaces_it, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, workers_killed_at_any_time_are_replaced, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_test(server, server_does_not_mind_an_interrupt);
    tcase_add_test(server, killed_server_is_replaced_and_its_children_go_on);
    tcase_add_test(server, no_start_is_lost_with_a_server);
    tcase_add_test(server, server_without_descriptors_goes_on);
    tcase_add_test(server, server_starts_hundreds_of_workers);
    return fixture_run(suite);
}
