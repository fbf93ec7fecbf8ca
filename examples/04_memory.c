/* SPDX-License-Identifier: MIT
 *
 * Initial memory setup: a process does not share its global variables with its children.
 *
 *     result = []                              # global
 *     def square_list(mylist):
 *         for num in mylist: result.append(num * num)
 *         print("Result(in process p1): {}".format(result))
 *     p1 = Process(target=square_list, args=(mylist,)); p1.start(); p1.join()
 *     print("Result(in main program): {}".format(result))
 *
 * The child works on its own copy of the global list; the parent's stays empty.
 */
#include "demo.h"

enum { N = 4 };

static par_obj *result; /* the global list */

static int
print_result(const char *where)
{
    printf("Result(in %s): ", where);
    int failed = par_obj_print(result, stdout);
    putchar('\n');
    return failed == 0 ? 0 : 1;
}

static int
square_list(void *arg)
{
    const int *mylist = arg;
    for (int i = 0; i < N; i++) {
        if (par_obj_append(result, par_int(mylist[i] * mylist[i])) != 0)
            return 1;
    }
    return print_result("process p1");
}

int
main(int argc, char **argv)
{
    (void)argc;
    demo_flag(argv, "--quick");
    demo_end_options(argv, "");
    int mylist[N] = { 1, 2, 3, 4 };
    result = par_obj_list();
    if (result == NULL)
        demo_die("par_obj_list");

    par_process *p1 = par_process_start(square_list, mylist, sizeof mylist, NULL);
    if (p1 == NULL)
        demo_die("par_process_start");
    if (par_process_join(p1, PAR_FOREVER) != 0 || par_process_exitcode(p1) != 0)
        demo_die("p1");
    par_process_free(p1);

    int failed = print_result("main program");
    par_obj_free(result);
    return failed;
}
