/* SPDX-License-Identifier: MIT
 *
 * kill -9: a worker is killed in the middle of a map. The map tells which item that cost, and completes the rest.
 *
 * In Python the map would wait for the lost result for ever.
 */
#include "demo.h"

#include <signal.h>
#include <unistd.h>

enum { N = 100, UNLUCKY = 37 };

static int
square(const void *in, void *out, void *murder)
{
    int x = *(const int *)in;
    if (*(bool *)murder && x == UNLUCKY)
        kill(getpid(), SIGKILL);
    *(long *)out = (long)x * x;
    return 0;
}

static void
map(par_pool *pool, bool murder)
{
    int numbers[N];
    long squares[N];
    for (int i = 0; i < N; i++) {
        numbers[i] = i;
        squares[i] = -1;
    }
    par_status failure = { 0 };
    ssize_t n_bad = par_pool_map_with(pool, square, numbers, squares, N,
                                      &(par_job_opts){
                                          .ctx = &murder, .ctx_size = sizeof murder, .failures = &failure, .max_failures = 1 });
    if (n_bad < 0)
        demo_die("par_pool_map_with");

    int n_right = 0;
    for (int i = 0; i < N; i++)
        n_right += squares[i] == (long)i * i;
    printf("%d of %d squares, ", n_right, N);
    if (n_bad == 0)
        puts("nothing is missing");
    else
        printf("missing: %zd (item %zu: %s)\n", n_bad, failure.index, failure.text);
}

int
main(int argc, char **argv)
{
    (void)argc;
    demo_flag(argv, "--quick");
    demo_end_options(argv, "");
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    if (pool == NULL)
        demo_die("par_pool_new");
    map(pool, true);
    map(pool, false); /* with a new worker in place of the dead one */
    par_pool_free(pool);
    return EXIT_SUCCESS;
}
