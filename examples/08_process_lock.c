/* SPDX-License-Identifier: MIT
 *
 * Demo 4: a hundred processes append their number to a manager's list, the even ones after a sleep; without a lock, and with one.
 *
 *     global_list = Manager().list()
 *     lock = multiprocessing.Lock()
 *     for i in range(100): processes[i].start()        # Process(target=f, args=(lock, i + 1)), with the f of Demo 3
 *
 * The same program as Demo 3, but for what the processes share: a list in a server process, and a lock in shared memory. How the
 * locked list comes out in order is told there.
 */
#include "demo.h"

#include <stdatomic.h>
#include <time.h>

enum { MAX_NUMBERS = 1000 };

struct shared {
    par_lock lock;
    atomic_int n_finished; /* processes that are past the lock */
};

struct task {
    par_list *list;
    struct shared *shared;
    bool locked;
    double seconds;
    int i;
};

static void
sleep_for(double s)
{
    struct timespec time = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };
    nanosleep(&time, NULL);
}

static int
f(void *arg)
{
    const struct task *task = arg;
    if (task->locked && par_lock_acquire(&task->shared->lock, PAR_FOREVER) != 0)
        return 1;
    if (task->i % 2 == 0)
        sleep_for(task->seconds);
    int failed = par_list_append(task->list, par_int(task->i), PAR_FOREVER);
    if (task->locked && par_lock_release(&task->shared->lock) != 0)
        return 1;
    atomic_fetch_add(&task->shared->n_finished, 1);
    return failed == 0 ? 0 : 1;
}

/* Wait until n processes have come to the lock. First those that have left it are read: the other way round a process that leaves
 * it between the two reads would count twice. */
static void
wait_for_line(struct shared *shared, int n)
{
    par_time deadline = par_in(60);
    for (;;) {
        int n_left = atomic_load(&shared->n_finished);
        if (n_left + par_lock_in_line(&shared->lock) >= n)
            return;
        if (par_now().ns > deadline.ns) {
            fprintf(stderr, "process %d does not come to the lock\n", n);
            exit(EXIT_FAILURE);
        }
        sleep_for(20e-6);
    }
}

static void
run(struct task task, int n)
{
    par_process *processes[MAX_NUMBERS];
    for (int i = 0; i < n; i++) {
        task.i = i + 1;
        processes[i] = par_process_start(f, &task, sizeof task, NULL);
        if (processes[i] == NULL)
            demo_die("par_process_start");
        if (task.locked)
            wait_for_line(task.shared, i + 1);
    }
    for (int i = 0; i < n; i++) {
        if (par_process_join(processes[i], PAR_FOREVER) != 0 || par_process_exitcode(processes[i]) != 0)
            demo_die(par_process_name(processes[i]));
        par_process_free(processes[i]);
    }
}

static void
print_list(par_list *list, int n)
{
    par_obj *copy = par_list_copy(list, PAR_FOREVER);
    if (copy == NULL)
        demo_die("par_list_copy");
    bool in_order = par_obj_len(copy) == (size_t)n;
    for (int i = 0; i < n; i++)
        in_order &= par_obj_as_int(par_obj_item(copy, (size_t)i), 0) == i + 1;
    puts(in_order ? "List in order" : "List not in order");
    par_obj_print(copy, stdout);
    puts("\n");
    par_obj_free(copy);
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int n = (int)demo_number(argv, "-n", 100, 1, MAX_NUMBERS);
    double seconds = demo_number(argv, "-s", quick ? 0.02 : 0.5, 0, 10);
    demo_end_options(argv, "[-n numbers] [-s seconds to sleep]");
    if (seconds < 0.5)
        printf("(Even numbers sleep %g s here; on the slide 0.5 s.)\n", seconds);

    par_manager *manager = par_manager_start(NULL);
    if (manager == NULL)
        demo_die("par_manager_start");
    par_list *list = par_manager_list(manager, PAR_FOREVER);
    struct shared *shared = par_value(struct shared);
    if (list == NULL || shared == NULL || par_lock_init(&shared->lock, &(par_lock_opts){ .fair = true }) != 0)
        demo_die("shared objects");
    struct task task = { .list = list, .shared = shared, .seconds = seconds };

    puts("Using No Lock");
    run(task, n);
    print_list(list, n);

    if (par_list_clear(list, PAR_FOREVER) != 0)
        demo_die("par_list_clear");
    shared->n_finished = 0;
    task.locked = true;
    puts("Using Lock");
    run(task, n);
    print_list(list, n);

    par_list_free(list);
    par_manager_free(manager);
    par_shared_free(shared);
    return EXIT_SUCCESS;
}
