/* SPDX-License-Identifier: MIT
 *
 * Demo 2: a pool of five processes maps a function over an array.
 *
 *     with Pool(5) as p:
 *         print(p.map(Fibonacci_driver, [40, 40, 40, 40, 40]))
 */
#include "demo.h"

enum { MAX_TASKS = 1000 };

static long
fib(int n)
{
    if (n == 1)
        return 0;
    if (n == 2)
        return 1;
    return fib(n - 1) + fib(n - 2);
}

static int
fibonacci_driver(const void *in, void *out, void *ctx)
{
    (void)ctx;
    int n = *(const int *)in;
    if (n < 1)
        return par_task_fail(1, "Invalid Input");
    *(long *)out = fib(n);
    return 0;
}

static void
print_list(const long *item, int n)
{
    for (int i = 0; i < n; i++)
        printf("%s%ld", i == 0 ? "[" : ", ", item[i]);
    puts("]");
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int number = (int)demo_number(argv, "-n", quick ? 24 : 40, -1e6, 92);
    int n_tasks = (int)demo_number(argv, "-t", 5, 1, MAX_TASKS);
    demo_end_options(argv, "[-n number] [-t tasks]");
    int numbers[MAX_TASKS];
    long results[MAX_TASKS];
    for (int i = 0; i < n_tasks; i++)
        numbers[i] = number;

    par_time start = par_now();
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = (unsigned)n_tasks });
    if (pool == NULL)
        demo_die("par_pool_new");
    ssize_t n_bad = par_pool_map(pool, fibonacci_driver, numbers, results, (size_t)n_tasks);
    if (n_bad == 0) {
        print_list(results, n_tasks);
    } else if (n_bad > 0) {
        fprintf(stderr, "%zd of %d failed, such as %s\n", n_bad, n_tasks, par_error());
        par_pool_free(pool);
        return EXIT_FAILURE;
    } else {
        demo_die("par_pool_map");
    }
    par_pool_free(pool);
    printf("Processes completed their tasks in %f s!\n", par_since(start));
    return EXIT_SUCCESS;
}
