/* SPDX-License-Identifier: MIT
 *
 * Shared memory: an array and a value that a child fills and the parent reads.
 *
 *     result = multiprocessing.Array('i', 4)
 *     square_sum = multiprocessing.Value('i')
 *     p1 = Process(target=square_list, args=(mylist, result, square_sum))
 *
 * In C they are a plain int array and a plain int, which lie at the same address in every process.
 */
#include "demo.h"

enum { N = 4 };

struct task {
    int mylist[N];
    int *result;
    int *square_sum;
};

static void
print_result(const struct task *task, const char *where)
{
    printf("Result(in %s): [", where);
    for (int i = 0; i < N; i++)
        printf("%s%d", i == 0 ? "" : ", ", task->result[i]);
    printf("]\nSum of squares(in %s): %d\n", where, *task->square_sum);
}

static int
square_list(void *arg)
{
    const struct task *task = arg;
    for (int i = 0; i < N; i++) {
        task->result[i] = task->mylist[i] * task->mylist[i];
        *task->square_sum += task->result[i];
    }
    print_result(task, "process p1");
    return 0;
}

int
main(int argc, char **argv)
{
    (void)argc;
    demo_flag(argv, "--quick");
    demo_end_options(argv, "");
    struct task task = { .mylist = { 1, 2, 3, 4 }, .result = par_array(int, N), .square_sum = par_value(int) };
    if (task.result == NULL || task.square_sum == NULL)
        demo_die("shared memory");

    par_process *p1 = par_process_start(square_list, &task, sizeof task, NULL);
    if (p1 == NULL)
        demo_die("par_process_start");
    if (par_process_join(p1, PAR_FOREVER) != 0 || par_process_exitcode(p1) != 0)
        demo_die("p1");
    par_process_free(p1);

    print_result(&task, "main program");
    par_shared_free(task.result);
    par_shared_free(task.square_sum);
    return EXIT_SUCCESS;
}
