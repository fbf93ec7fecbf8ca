/* SPDX-License-Identifier: MIT
 *
 * Demo 1: five Fibonacci numbers in threads, then in processes.
 *
 *     threads = [Thread(target=Fibonacci, args=(40,)) for i in range(5)]
 *     for t in threads: t.start()
 *     for t in threads: t.join()
 *     ... the same with multiprocessing.Process, and both are timed
 *
 * In Python the processes win, because only one thread at a time may run Python code. C has no such lock: here the threads use all
 * cores as well, and either side may win by a hair. The last line tells how many cores each side kept busy.
 */
#include "demo.h"

#include <sys/resource.h>

enum { MAX_TASKS = 1000 };

/* The slide's sequence: 0, 1, 1, 2, 3, ... counted from 1. */
static long
fibonacci_driver(int n)
{
    if (n == 1)
        return 0;
    if (n == 2)
        return 1;
    return fibonacci_driver(n - 1) + fibonacci_driver(n - 2);
}

static int
fibonacci(void *arg)
{
    int n = *(int *)arg;
    if (n < 1)
        puts("Invalid Input");
    else
        printf("Fib %d is %ld\n", n, fibonacci_driver(n));
    return 0;
}

static void
run_threads(int n, int n_tasks)
{
    par_thread *threads[MAX_TASKS];
    for (int i = 0; i < n_tasks; i++) {
        threads[i] = par_thread_start(fibonacci, &n, sizeof n, NULL);
        if (threads[i] == NULL)
            demo_die("par_thread_start");
    }
    for (int i = 0; i < n_tasks; i++) {
        if (par_thread_join(threads[i], PAR_FOREVER) != 0 || par_thread_exitcode(threads[i]) != 0)
            demo_die(par_thread_name(threads[i]));
        par_thread_free(threads[i]);
    }
}

static void
run_processes(int n, int n_tasks)
{
    par_process *processes[MAX_TASKS];
    for (int i = 0; i < n_tasks; i++) {
        processes[i] = par_process_start(fibonacci, &n, sizeof n, NULL);
        if (processes[i] == NULL)
            demo_die("par_process_start");
    }
    for (int i = 0; i < n_tasks; i++) {
        if (par_process_join(processes[i], PAR_FOREVER) != 0 || par_process_exitcode(processes[i]) != 0)
            demo_die(par_process_name(processes[i]));
        par_process_free(processes[i]);
    }
}

/* Seconds of processor time, of this process or of its children that have ended. */
static double
cpu_seconds(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) != 0)
        demo_die("getrusage");
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int n = (int)demo_number(argv, "-n", quick ? 24 : 40, -1e6, 92);
    int n_tasks = (int)demo_number(argv, "-t", 5, 1, MAX_TASKS);
    demo_end_options(argv, "[-n number] [-t tasks]");

    par_time start = par_now();
    double cpu = cpu_seconds(RUSAGE_SELF);
    run_threads(n, n_tasks);
    double thread_duration = par_since(start);
    double thread_cores = (cpu_seconds(RUSAGE_SELF) - cpu) / thread_duration;
    printf("Threads completed their tasks in %f s!\n\n", thread_duration);

    start = par_now();
    run_processes(n, n_tasks);
    double process_duration = par_since(start);
    double process_cores = cpu_seconds(RUSAGE_CHILDREN) / process_duration;
    printf("Processes completed their tasks in %f s!\n\n", process_duration);

    puts(process_duration < thread_duration ? "Multiprocessing wins!" : "Multithreading wins!");
    printf("(C has no interpreter lock. Of %d cores the threads kept %.1f busy, the processes %.1f.)\n", par_cpu_count(),
           thread_cores, process_cores);
    return EXIT_SUCCESS;
}
