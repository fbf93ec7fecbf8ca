/* SPDX-License-Identifier: MIT
 *
 * Server process: a manager keeps a list of records, which several processes insert into and print.
 *
 *     with Manager() as manager:
 *         records = manager.list([('Sam', 10), ('Adam', 9), ('Kevin', 9)])
 *         p1 = Process(target=insert_record, args=(('Jeff', 8), records))
 *         p2 = Process(target=insert_record, args=(('Mary', 7), records))
 *         ... then a process, and the main program, print the records
 *
 * p1 and p2 run at the same time, so the records are sorted before they are printed.
 */
#include "demo.h"

struct record {
    const char *name;
    int score;
};

struct insertion {
    par_list *records; /* a proxy: the list itself is in the server */
    struct record record;
};

static int
add(par_list *records, struct record record)
{
    return par_list_append(records, par_tuple(par_str(record.name), par_int(record.score)), PAR_FOREVER);
}

static int
insert_record(void *arg)
{
    const struct insertion *task = arg;
    if (add(task->records, task->record) != 0)
        return 1;
    puts("New record added!");
    return 0;
}

static int
print_records(void *records)
{
    par_obj *copy = par_list_copy(records, PAR_FOREVER);
    if (copy == NULL)
        return 1;
    printf("Records(in %s):\n", par_process_name(par_process_current()));
    for (size_t i = 0; i < par_obj_len(copy); i++) {
        const par_obj *record = par_obj_item(copy, i);
        printf("Name: %s\nScore: %ld\n", par_obj_as_str(par_obj_item(record, 0), "?"),
               (long)par_obj_as_int(par_obj_item(record, 1), -1));
    }
    par_obj_free(copy);
    return 0;
}

static par_process *
start(int (*fn)(void *arg), void *arg, size_t arg_size, const char *name)
{
    par_process *process = par_process_start(fn, arg, arg_size, &(par_process_opts){ .name = name });
    if (process == NULL)
        demo_die("par_process_start");
    return process;
}

static void
finish(par_process *process)
{
    if (par_process_join(process, PAR_FOREVER) != 0 || par_process_exitcode(process) != 0)
        demo_die(par_process_name(process));
    par_process_free(process);
}

int
main(int argc, char **argv)
{
    (void)argc;
    demo_flag(argv, "--quick");
    demo_end_options(argv, "");
    par_manager *manager = par_manager_start(NULL);
    if (manager == NULL)
        demo_die("par_manager_start");
    par_list *records = par_manager_list(manager, PAR_FOREVER);
    if (records == NULL)
        demo_die("par_manager_list");
    if (add(records, (struct record){ "Sam", 10 }) != 0 || add(records, (struct record){ "Adam", 9 }) != 0 ||
        add(records, (struct record){ "Kevin", 9 }) != 0)
        demo_die("par_list_append");

    struct insertion jeff = { records, { "Jeff", 8 } }, mary = { records, { "Mary", 7 } };
    par_process *p1 = start(insert_record, &jeff, sizeof jeff, "p1");
    par_process *p2 = start(insert_record, &mary, sizeof mary, "p2");
    finish(p1);
    finish(p2);
    if (par_list_sort(records, PAR_FOREVER) != 0)
        demo_die("par_list_sort");
    finish(start(print_records, records, 0, "p3"));
    if (print_records(records) != 0)
        demo_die("print_records");

    par_list_free(records);
    par_manager_free(manager);
    return EXIT_SUCCESS;
}
