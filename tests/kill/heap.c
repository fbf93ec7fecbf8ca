/* SPDX-License-Identifier: MIT
 *
 * heap.c: allocation, release, and the sweep of what the dead owned.
 */
#include "kill.h"

#include "../../libpar/shm/arena.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL 100
#define LARGE 200000

static unsigned char *mine, *doomed;
static pari_member dead;

/* ---- what holds after any death in the heap */

static bool
is_filled(const unsigned char *block, size_t size, unsigned char with)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != with)
            return false;
    return true;
}

/* New blocks are zero, and nobody else's. */
static void
check_new(size_t size)
{
    unsigned char *block[3];

    for (int i = 0; i < 3; i++) {
        block[i] = par_shared_alloc(size, 1);
        expect(TORN, block[i] != NULL);
        expect(TORN, is_filled(block[i], size, 0));
        memset(block[i], 'a' + i, size);
    }
    for (int i = 0; i < 3; i++) {
        expect(DUPLICATED, is_filled(block[i], size, (unsigned char)('a' + i)));
        par_shared_free(block[i]);
    }
    expect(TORN, is_filled(mine, SMALL, 'm'));
}

static void
check_heap(void)
{
    check_new(SMALL);
    check_new(LARGE);
    leak_check(0);
    expect(TORN, pari_heap_free(mine) == 0);
}

static void
set_up(void)
{
    mine = par_shared_alloc(SMALL, 1);
    expect_ready(mine != NULL);
    memset(mine, 'm', SMALL);
    leak_mark();
}

/* ---- allocate: a block of the library's own is swept */

static void
allocate(size_t size)
{
    unsigned char *block = pari_heap_alloc(1, size, pari_self());

    atomic_store(&page->note[0], block != NULL);
}

static void
allocate_small(int which)
{
    (void)which;
    allocate(SMALL);
}

static void
allocate_large(int which)
{
    (void)which;
    allocate(LARGE);
}

/* The user's own block is the family's once it is allocated: it is the one thing that may stay. */
static void
allocate_shared(int which)
{
    atomic_store(&page->note[which], (long)(intptr_t)par_shared_alloc(SMALL, 1));
}

static void
check_shared(void)
{
    for (int i = 0; i < 2; i++) {
        void *block = (void *)(intptr_t)atomic_load(&page->note[i]);
        if (block != NULL)
            expect(LOST, pari_heap_free(block) == 0);
    }
    check_new(SMALL);
    leak_check(2 * 192);
}

/* ---- free */

static void
set_up_free(size_t size)
{
    set_up();
    doomed = par_shared_alloc(size, 1);
    expect_ready(doomed != NULL);
    memset(doomed, 'd', size);
}

static void
set_up_free_small(void)
{
    set_up_free(SMALL);
}

static void
set_up_free_large(void)
{
    set_up_free(LARGE);
}

static void
free_doomed(int which)
{
    (void)which;
    par_shared_free(doomed);
}

/* Freed, or still whole. */
static void
check_free(void)
{
    bool is_there = pari_heap_is_block(doomed);

    expect(LOST, !is_there || !(has_ended(0) || has_ended(1)));
    if (is_there) {
        expect(TORN, is_filled(doomed, SMALL, 'd'));
        expect(TORN, pari_heap_free(doomed) == 0);
    }
    check_heap();
}

/* ---- the sweep: the victim sweeps what a process left that died before */

static void
set_up_sweep(void)
{
    pid_t pid;

    set_up();
    pid = fork();
    if (pid == 0) {
        dead = pari_self();
        atomic_store(&page->note[2], (long)dead);
        for (int i = 0; i < 3; i++)
            memset(pari_heap_alloc(1, SMALL, dead), 'x', SMALL);
        (void)pari_heap_alloc(1, LARGE, dead);
        _exit(0);
    }
    expect_ready(waitpid(pid, NULL, 0) == pid);
    dead = (pari_member)atomic_load(&page->note[2]);
    expect_ready(dead != 0);
}

static void
sweep_dead(int which)
{
    (void)which;
    pari_member_release(dead);
}

static void
sweep_all(int which)
{
    (void)which;
    (void)pari_registry_sweep();
}

/* ---- joining the family */

static void
no_preparation(int which)
{
    (void)which;
}

static void
join_family(int which)
{
    (void)which;
    (void)pari_self();
}

const struct op heap_ops[] = {
    { .group = "heap", .name = "allocate", .setup = set_up, .act = allocate_small, .check = check_heap },
    { .group = "heap", .name = "allocate_large", .setup = set_up, .act = allocate_large, .check = check_heap },
    { .group = "heap", .name = "shared_alloc", .setup = set_up, .act = allocate_shared, .check = check_shared },
    { .group = "heap", .name = "free", .setup = set_up_free_small, .act = free_doomed, .check = check_free },
    { .group = "heap", .name = "free_large", .setup = set_up_free_large, .act = free_doomed, .check = check_free },
    { .group = "heap", .name = "sweep_member", .setup = set_up_sweep, .act = sweep_dead, .check = check_heap, .stride = 3 },
    { .group = "heap", .name = "sweep_all", .setup = set_up_sweep, .act = sweep_all, .check = check_heap, .stride = 97 },
    { .group = "heap",
      .name = "join_family",
      .setup = set_up,
      .prepare = no_preparation,
      .act = join_family,
      .check = check_heap },
    { .name = NULL },
};
