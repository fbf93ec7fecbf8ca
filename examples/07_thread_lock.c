/* SPDX-License-Identifier: MIT
 *
 * Demo 3: a hundred threads append their number to one list, the even ones after a sleep; without a lock, and with one.
 *
 *     def f(l, i):
 *         l.acquire()
 *         if i % 2 == 0: time.sleep(.5)
 *         global_list.append(i)
 *         l.release()
 *     for i in range(100): threads[i].start()          # Thread(target=f, args=(lock, i + 1))
 *
 * Without the lock only the user's lock is left out; an append is one atomic step, as it is in Python, so no number gets lost.
 *
 * With it the list comes out in order if the threads take the lock in the order in which they were started. In Python the global
 * interpreter lock sees to that: a new thread runs until it waits. In C a lock promises no order, and a thread that was started
 * first may run last; so here the lock is a fair one, and the next thread is started when the one before stands in its line.
 */
#include "demo.h"

#include <stdatomic.h>
#include <time.h>

enum { MAX_NUMBERS = 1000 };

static par_lock *lock; /* NULL: run without */
static double seconds;
static int global_list[MAX_NUMBERS];
static atomic_int length;
static atomic_int n_finished; /* threads that are past the lock */

static void
sleep_for(double s)
{
    struct timespec time = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };
    nanosleep(&time, NULL);
}

static int
f(void *arg)
{
    int i = *(int *)arg;
    if (lock != NULL && par_lock_acquire(lock, PAR_FOREVER) != 0)
        return 1;
    if (i % 2 == 0)
        sleep_for(seconds);
    global_list[atomic_fetch_add(&length, 1)] = i;
    if (lock != NULL && par_lock_release(lock) != 0)
        return 1;
    atomic_fetch_add(&n_finished, 1);
    return 0;
}

/* Wait until n threads have come to the lock. First those that have left it are read: the other way round a thread that leaves it
 * between the two reads would count twice. */
static void
wait_for_line(int n)
{
    par_time deadline = par_in(60);
    for (;;) {
        int n_left = atomic_load(&n_finished);
        if (n_left + par_lock_in_line(lock) >= n)
            return;
        if (par_now().ns > deadline.ns) {
            fprintf(stderr, "thread %d does not come to the lock\n", n);
            exit(EXIT_FAILURE);
        }
        sleep_for(20e-6);
    }
}

static void
run(int n)
{
    par_thread *threads[MAX_NUMBERS];
    length = n_finished = 0;
    for (int i = 0; i < n; i++) {
        threads[i] = par_thread_start(f, &(int){ i + 1 }, sizeof(int), NULL);
        if (threads[i] == NULL)
            demo_die("par_thread_start");
        if (lock != NULL)
            wait_for_line(i + 1);
    }
    for (int i = 0; i < n; i++) {
        if (par_thread_join(threads[i], PAR_FOREVER) != 0 || par_thread_exitcode(threads[i]) != 0)
            demo_die(par_thread_name(threads[i]));
        par_thread_free(threads[i]);
    }
}

static void
print_list(int n)
{
    bool in_order = length == n;
    for (int i = 0; i < n; i++)
        in_order &= global_list[i] == i + 1;
    puts(in_order ? "List in order" : "List not in order");
    for (int i = 0; i < length; i++)
        printf("%s%d", i == 0 ? "[" : ", ", global_list[i]);
    puts("]\n");
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int n = (int)demo_number(argv, "-n", 100, 1, MAX_NUMBERS);
    seconds = demo_number(argv, "-s", quick ? 0.02 : 0.5, 0, 10);
    demo_end_options(argv, "[-n numbers] [-s seconds to sleep]");
    if (seconds < 0.5)
        printf("(Even numbers sleep %g s here; on the slide 0.5 s.)\n", seconds);

    puts("Using No Lock");
    run(n);
    print_list(n);

    lock = par_value(par_lock);
    if (lock == NULL || par_lock_init(lock, &(par_lock_opts){ .fair = true }) != 0)
        demo_die("par_lock_init");
    puts("Using Lock");
    run(n);
    print_list(n);
    par_shared_free(lock);
    return EXIT_SUCCESS;
}
