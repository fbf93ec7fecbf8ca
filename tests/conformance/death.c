/* SPDX-License-Identifier: MIT
 *
 * death.c: ten deaths, and shortages that come near to one, which Python's suite does not try.
 *
 * They are named death_01_pool_worker. The campaigns under tests/kill, tests/storm and tests/faults go through such deaths
 * instruction by instruction; here each is shown once, from outside, as a program meets it.
 */
#include "conformance.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>

/* ---- 1: a pool's worker, in the middle of a task */

struct task {
    par_event *has_begun;
    bool is_doomed;
    _Atomic pid_t *pid;
};

static int
work_or_wait(const void *in, void *out, void *ctx)
{
    const struct task *task = in;

    (void)ctx;
    if (task->is_doomed) {
        atomic_store(task->pid, getpid());
        par_event_set(task->has_begun);
        sleep_for_ever(NULL);
    }
    *(int *)out = 1;
    return 0;
}

static int
kill_worker(void *arg)
{
    struct task *task = arg;

    must(par_event_wait(task->has_begun, soon()) == 0);
    return kill(atomic_load(task->pid), SIGKILL);
}

static void
death_01_pool_worker(void)
{
    struct task *task = par_array(struct task, 20);
    int result[20] = { 0 };
    par_status failure;
    par_job_opts opts = { .failures = &failure, .max_failures = 1 };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 3 });

    must(task != NULL && pool != NULL);
    task[7] = (struct task){ shared(par_event), true, shared(_Atomic pid_t) };
    par_thread *killer = par_thread_start(kill_worker, &task[7], 0, NULL);
    must(killer != NULL && par_pool_map_with(pool, work_or_wait, task, result, 20, &opts) == 1 && errno == ECHILD);
    must(failure.index == 7 && failure.state == PAR_LOST && failure.signal == SIGKILL);
    must(failure.pid == atomic_load(task[7].pid) && strstr(failure.text, "SIGKILL") != NULL);
    for (int i = 0; i < 20; i++)
        must(result[i] == (i != 7));
    must(par_thread_join(killer, soon()) == 0 && par_thread_exitcode(killer) == 0);
    par_thread_free(killer);
    par_pool_free(pool);
}

/* ---- 2: a lock's owner */

struct guarded {
    par_lock lock;
    par_rlock rlock;
    par_event is_held;
};

static int
hold_both(void *arg)
{
    struct guarded *guarded = arg;

    must(par_lock_acquire(&guarded->lock, soon()) == 0);
    must(par_rlock_acquire(&guarded->rlock, soon()) == 0 && par_rlock_acquire(&guarded->rlock, soon()) == 0);
    par_event_set(&guarded->is_held);
    return sleep_for_ever(NULL);
}

static void
kill_child(par_process *child)
{
    must(par_process_kill(child) == 0 && child_end(child) == -SIGKILL);
}

static void
death_02_lock_owner(void)
{
    struct guarded *guarded = shared(struct guarded);
    par_process *owner = child_start(hold_both, guarded);
    pid_t pid = par_process_pid(owner);

    must(par_event_wait(&guarded->is_held, soon()) == 0);
    must_fail(par_lock_acquire(&guarded->lock, PAR_NOWAIT), ETIMEDOUT);
    kill_child(owner);
    must(par_lock_acquire(&guarded->lock, soon()) == 0 && par_lock_dead_owner(&guarded->lock) == pid);
    must(par_rlock_acquire(&guarded->rlock, soon()) == 0 && par_rlock_dead_owner(&guarded->rlock) == pid);
    must(par_lock_recover(&guarded->lock) == 0 && par_lock_dead_owner(&guarded->lock) == 0);
    must(par_lock_release(&guarded->lock) == 0 && par_rlock_release(&guarded->rlock) == 0);
}

/* ---- 3: one that waits for a condition, an event, a barrier */

struct waiting {
    par_lock lock;
    par_condition condition;
    int n_asleep, is_ready; /* guarded by the lock */
    par_event event;
    par_barrier barrier;
};

static int
wait_for_condition(void *arg)
{
    struct waiting *w = arg;

    must(par_lock_acquire(&w->lock, soon()) == 0);
    for (w->n_asleep++; !w->is_ready;)
        must(par_condition_wait(&w->condition, &w->lock, soon()) == 0);
    return par_lock_release(&w->lock);
}

static int
n_asleep(struct waiting *w)
{
    must(par_lock_acquire(&w->lock, soon()) == 0);
    int n = w->n_asleep;
    must(par_lock_release(&w->lock) == 0);
    return n;
}

static int
wait_for_event(void *arg)
{
    return par_event_wait(&((struct waiting *)arg)->event, soon());
}

static int
wait_at_barrier(void *arg)
{
    must_fail(par_barrier_wait(&((struct waiting *)arg)->barrier, soon()), EOWNERDEAD);
    return 0;
}

static void
death_03_waiter(void)
{
    struct waiting *w = shared(struct waiting);
    par_process *p[3];

    for (int i = 0; i < 3; i++)
        p[i] = child_start(wait_for_condition, w);
    await(n_asleep(w) == 3);
    kill_child(p[1]);
    must(par_lock_acquire(&w->lock, soon()) == 0);
    w->is_ready = 1;
    must(par_condition_notify_all(&w->condition) == 0 && par_lock_release(&w->lock) == 0);
    must(child_end(p[0]) == 0 && child_end(p[2]) == 0);

    for (int i = 0; i < 2; i++)
        p[i] = child_start(wait_for_event, w);
    kill_child(p[0]);
    must(par_event_set(&w->event) == 0 && child_end(p[1]) == 0);

    must(par_barrier_init(&w->barrier, 4, NULL, NULL) == 0);
    for (int i = 0; i < 3; i++)
        p[i] = child_start(wait_at_barrier, w);
    await(par_barrier_n_waiting(&w->barrier) == 3);
    kill_child(p[2]);
    must(child_end(p[0]) == 0 && child_end(p[1]) == 0);
    must_fail(par_barrier_wait(&w->barrier, soon()), EOWNERDEAD);
}

/* ---- 4: a queue's producer and consumer, wherever they are */

#define ROUNDS 60

static int
put_numbers(void *arg)
{
    for (int i = 0;; i++)
        must(par_queue_put(arg, &i, sizeof i, PAR_FOREVER) == 0);
}

static int
get_numbers(void *arg)
{
    for (int i;;)
        must(par_queue_get(arg, &i, sizeof i, PAR_FOREVER) == sizeof i);
}

/* Kill it when it has worked for a moment: another one in each round. */
static void
kill_soon(par_process *child, int round)
{
    for (par_time start = par_now(); par_since(start) < 1e-5 * (1 + round * 37 % 101);)
        continue;
    kill_child(child);
}

/* Whole messages, one after the other, from the first one that is left: how many. */
static int
drain(par_queue *q)
{
    int n = 0, last = -1;

    for (int i; par_queue_get(q, &i, sizeof i, PAR_NOWAIT) == sizeof i; n++) {
        must(n == 0 || i == last + 1);
        last = i;
    }
    must(errno == ETIMEDOUT);
    return n;
}

static void
death_04_queue_producer_and_consumer(void)
{
    par_queue *q = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    int number = 0;

    must(q != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        par_process *producer = child_start(put_numbers, q);
        await(!par_queue_empty(q));
        kill_soon(producer, round);
        must(drain(q) > 0);

        while (par_queue_put(q, &number, sizeof number, PAR_NOWAIT) == 0)
            number++;
        must(errno == ETIMEDOUT && par_queue_full(q));
        par_process *consumer = child_start(get_numbers, q);
        await(!par_queue_full(q));
        kill_soon(consumer, round);
        drain(q);
    }
    par_queue_free(q);
}

/* ---- 5: a manager's server */

struct served {
    par_list *list;
    par_event has_appended;
};

static int
append_until_epipe(void *arg)
{
    struct served *served = arg;

    while (par_list_append(served->list, par_int(1), soon()) == 0)
        par_event_set(&served->has_appended);
    return errno == EPIPE ? 0 : 1;
}

/* This process has one child: which? */
static pid_t
only_child_pid(void)
{
    DIR *processes = opendir("/proc");
    pid_t child = 0;

    must(processes != NULL);
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        char path[300];
        int parent;

        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *stat = fopen(path, "re");
        if (stat == NULL)
            continue;
        if (fscanf(stat, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == getpid())
            child = (pid_t)atoi(entry->d_name);
        fclose(stat);
    }
    closedir(processes);
    must(child > 0);
    return child;
}

static void
death_05_manager_server(void)
{
    struct served *served = shared(struct served);
    par_manager *manager = par_manager_start(NULL);
    pid_t server = only_child_pid();

    must(manager != NULL && (served->list = par_manager_list(manager, soon())) != NULL);
    par_process *client = child_start(append_until_epipe, served);
    must(par_event_wait(&served->has_appended, soon()) == 0 && kill(server, SIGKILL) == 0);
    must(child_end(client) == 0);
    must_fail(par_list_len(served->list, soon()), EPIPE);
    par_list_free(served->list);
    par_manager_free(manager);
    must((manager = par_manager_start(NULL)) != NULL);
    par_manager_free(manager);
}

/* ---- 6: the parent of a pool, a manager and a daemon */

static int
spin(const void *in, void *out, void *ctx)
{
    (void)out;
    (void)ctx;
    par_event_set(*(par_event *const *)in);
    for (volatile bool for_ever = true; for_ever;)
        continue;
    return 0;
}

static int
have_everything(void *arg)
{
    par_event *in[2] = { arg, arg };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    par_manager *manager = par_manager_start(NULL);
    par_process *daemon = par_process_start(sleep_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });

    must(pool != NULL && manager != NULL && daemon != NULL);
    return par_pool_map_sized(pool, spin, in, sizeof *in, NULL, 0, 2, NULL) == 0 ? 0 : 1;
}

static void
death_06_parent(void)
{
    par_event *is_spinning = shared(par_event);
    par_process *parent = child_start(have_everything, is_spinning);

    must(par_event_wait(is_spinning, soon()) == 0);
    kill_child(parent); /* the world sees that none of its children is left */
}

/* ---- 7 and 8: no memory, no descriptors */

static void
death_07_memory_full(void)
{
    char *block[64];
    int n = 0, byte = 1;

    must(setenv("PAR_ARENA_LIMIT", "16M", 1) == 0);
    par_queue *q = par_queue_new(NULL);
    must(q != NULL);
    while (n < 64 && (block[n] = par_shared_alloc(1 << 20, 1)) != NULL)
        memset(block[n++], 1, 1 << 20); /* never a SIGBUS */
    must(n > 4 && n < 64 && errno == ENOSPC);
    par_queue *second = par_queue_new(NULL);
    must(second == NULL && errno == ENOSPC);
    must_fail(par_queue_put(q, block[0], 900 << 10, soon()), ENOSPC);
    must(par_queue_put(q, &byte, sizeof byte, soon()) == 0 && par_queue_qsize(q) == 1); /* what fits goes on */
    while (n > 0)
        par_shared_free(block[--n]);
    must((second = par_queue_new(NULL)) != NULL);
    par_queue_free(second);
    par_queue_free(q);
}

static void
death_08_descriptors_out(void)
{
    struct rlimit old;
    par_conn *end[2], *none[2];

    must(par_process_current() != NULL && par_pipe(end, NULL) == 0);
    few_descriptors(&old, 0);
    must_fail(par_pipe(none, NULL), EMFILE);
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    must(pool == NULL && errno == EMFILE);
    par_manager *manager = par_manager_start(NULL);
    must(manager == NULL && errno == EMFILE);
    must(par_conn_send(end[1], "x", 1, soon()) == 0 && par_conn_recv(end[0], &(char){ 0 }, 1, soon()) == 1);
    must(setrlimit(RLIMIT_NOFILE, &old) == 0);
    must((pool = par_pool_new(&(par_pool_opts){ .workers = 2 })) != NULL);
    par_pool_free(pool);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* ---- 9: a message of more than 2 GiB */

#define HUGE_SIZE (((size_t)2 << 30) + 5)

/* Where there is no such memory, that is told. */
static void
death_09_huge_message(void)
{
    par_conn *end[2];
    char *message = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(message != MAP_FAILED && par_pipe(end, NULL) == 0);
    message[0] = 'a'; /* the pages between are the kernel's zero page */
    message[HUGE_SIZE - 1] = 'z';
    if (par_conn_send(end[1], message, HUGE_SIZE, soon()) == 0) {
        must(par_conn_recv(end[0], NULL, 0, soon()) == (ssize_t)HUGE_SIZE);
        message[0] = message[HUGE_SIZE - 1] = 0;
        must(par_conn_recv(end[0], message, HUGE_SIZE, soon()) == (ssize_t)HUGE_SIZE);
        must(message[0] == 'a' && message[1] == 0 && message[HUGE_SIZE - 1] == 'z');
    } else
        must(errno == ENOSPC);
    must(par_conn_send(end[1], "next", 4, soon()) == 0 && par_conn_recv(end[0], message, HUGE_SIZE, soon()) == 4);
    must(munmap(message, HUGE_SIZE) == 0);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* ---- 10: starting processes while threads use everything */

struct busy {
    par_lock lock;
    par_queue *q;
    _Atomic bool is_over;
};

static void
use_everything(struct busy *busy)
{
    int i = 1;

    must(par_lock_acquire(&busy->lock, soon()) == 0 && par_lock_release(&busy->lock) == 0);
    must(par_queue_put(busy->q, &i, sizeof i, soon()) == 0 && par_queue_get(busy->q, &i, sizeof i, soon()) == sizeof i);
    void *block = par_shared_alloc(100, 1), *private = malloc(100);
    must(block != NULL && private != NULL);
    par_shared_free(block);
    free(private);
}

static int
be_busy(void *arg)
{
    struct busy *busy = arg;

    while (!atomic_load(&busy->is_over))
        use_everything(busy);
    return 0;
}

static int
be_busy_once(void *arg)
{
    use_everything(arg);
    return 0;
}

static void
death_10_fork_with_threads(void)
{
    struct busy *busy = shared(struct busy);
    par_thread *thread[4];

    must((busy->q = par_queue_new(NULL)) != NULL);
    for (int i = 0; i < 4; i++)
        must((thread[i] = par_thread_start(be_busy, busy, 0, NULL)) != NULL);
    for (int i = 0; i < 40; i++)
        must(only_child(be_busy_once, busy) == 0);
    atomic_store(&busy->is_over, true);
    for (int i = 0; i < 4; i++) {
        must(par_thread_join(thread[i], soon()) == 0 && par_thread_exitcode(thread[i]) == 0);
        par_thread_free(thread[i]);
    }
    par_queue_free(busy->q);
}

#define SURVIVES(number_, name_, what_, calls_)                                                                \
    {                                                                                                          \
        .number = #number_, .name = #name_, .what = what_, .calls = calls_, .test = death_##number_##_##name_, \
        .peers = IN_PROCESSES                                                                                  \
    }

const struct behaviour deaths[] = {
    SURVIVES(01, pool_worker, "SIGKILL in the middle of a task: that item is told with pid and signal, the other 19 are done",
             "par_pool_map"),
    SURVIVES(02, lock_owner, "SIGKILL of who holds a lock and, twice, an rlock: the next one gets both, and the pid",
             "par_lock_dead_owner, par_lock_recover"),
    SURVIVES(03, waiter, "SIGKILL of who waits for a condition, an event, a barrier: the others are woken, or told EOWNERDEAD",
             "par_condition_notify_all, par_event_set, par_barrier_wait"),
    SURVIVES(04, queue_producer_and_consumer,
             "60 times SIGKILL of each at a moment of its own: whole messages, none twice, and it goes on",
             "par_queue_put, par_queue_get"),
    SURVIVES(05, manager_server, "SIGKILL: EPIPE for clients in the middle of a call and for later ones; a new server starts",
             "par_manager_start"),
    SURVIVES(06, parent, "SIGKILL: its pool's workers, which compute, its manager's server and its daemon end, too",
             "par_pool_new, par_manager_start, par_process_opts.daemon"),
    SURVIVES(07, memory_full,
             "all shared memory is used: ENOSPC, never SIGBUS; what is there goes on, and what was freed is free",
             "par_shared_alloc"),
    SURVIVES(08, descriptors_out, "no descriptor is left: EMFILE, nothing half-made; what is there goes on",
             "par_pipe, par_pool_new"),
    SURVIVES(09, huge_message, "more than 2 GiB in one message, whole; or ENOSPC where there is no such memory",
             "par_conn_send"),
    SURVIVES(10, fork_with_threads, "40 children start and use everything while 4 threads do so: nobody hangs",
             "par_process_start, par_thread_start"),
    END_OF_TABLE
};
