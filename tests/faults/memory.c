/* SPDX-License-Identifier: MIT
 *
 * memory.c: the arena, values, arrays and strings.
 */
#include "faults.h"

#include <string.h>

static void *block;

static void
release(void)
{
    par_shared_free(block);
}

static int
alloc_small(void)
{
    unsigned char *p = block = par_shared_alloc(100, 3);

    if (p == NULL)
        return -1;
    for (int i = 0; i < 300; i++)
        expect(p[i] == 0);
    memset(p, 1, 300);
    return 0;
}

static int
alloc_big(void)
{
    block = par_shared_alloc(5, 1 << 20);
    if (block == NULL)
        return -1;
    memset(block, 1, 5 << 20);
    return 0;
}

static void
join(void)
{
    expect_ready(par_process_active_children(NULL, 0) == 0 && par_shared_alloc(1, 1) != NULL);
}

static int
copy_string(void)
{
    char *copy = block = par_shared_strdup("a string");

    if (copy == NULL)
        return -1;
    expect(strcmp(copy, "a string") == 0 && par_shared_length(copy) == 9 && par_is_shared(copy));
    return 0;
}

static int
lock_of(void)
{
    int *value = block = par_value(int);

    if (value == NULL)
        return -1;
    if (par_lock_acquire(par_lock_of(value), soon()) == 0)
        return par_lock_release(par_lock_of(value));
    QUIETLY(par_shared_free(value));
    return -1;
}

static int
count_cpus(void)
{
    return par_cpu_count() >= 1 ? 0 : -1;
}

#define GROUP .group = "memory"
#define ALLOC_ERRORS ERRORS(ENOSPC)

const struct op memory_ops[] = {
    { GROUP, .name = "shared_alloc", .act = alloc_small, .undo = release, .errors = ALLOC_ERRORS, .is_cold = true },
    { GROUP, .name = "shared_alloc_grows", .setup = join, .act = alloc_big, .undo = release, .errors = ALLOC_ERRORS,
      .is_once = true },
    { GROUP, .name = "shared_strdup", .act = copy_string, .undo = release, .errors = ALLOC_ERRORS, .is_cold = true },
    { GROUP, .name = "lock_of", .act = lock_of, .undo = release, .errors = ERRORS(ENOSPC, ENOMEM), .is_cold = true },
    { GROUP, .name = "cpu_count", .act = count_cpus, .errors = ERRORS(0) },
    { .name = NULL },
};
