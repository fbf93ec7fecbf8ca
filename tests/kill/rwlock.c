/* SPDX-License-Identifier: MIT
 *
 * rwlock.c: readers and writers, taking, waiting and releasing.
 *
 * A writer adds one to both counters; who finds them different must have been told that a writer died.
 */
#include "kill.h"

#include <unistd.h>

static struct shelf {
    par_rwlock lock;
    _Atomic long a, b;
} * shelf;

static void
make(void)
{
    shelf = par_shared_alloc(1, sizeof *shelf);
    expect_ready(shelf != NULL);
}

static void
set_up_used(void)
{
    make();
    expect_ready(par_rwlock_acquire_read(&shelf->lock, PAR_NOWAIT) == 0 && par_rwlock_release(&shelf->lock) == 0);
}

static bool
is_told(void)
{
    pid_t died = par_rwlock_dead_owner(&shelf->lock);

    if (died == 0)
        return atomic_load(&shelf->a) == atomic_load(&shelf->b);
    return died == atomic_load(&page->victim[0].pid) || died == atomic_load(&page->victim[1].pid);
}

static void
repair(void)
{
    if (par_rwlock_dead_owner(&shelf->lock) == 0)
        return;
    atomic_store(&shelf->b, atomic_load(&shelf->a));
    (void)par_rwlock_recover(&shelf->lock);
}

/* ---- what victims and helpers do */

static void
read_shelf(int which)
{
    if (par_rwlock_acquire_read(&shelf->lock, par_in(10)) != 0)
        return;
    atomic_store(&page->victim[which].result, is_told() ? 1 : -1);
    (void)par_rwlock_release(&shelf->lock);
}

static void
write_shelf(int which)
{
    (void)which;
    if (par_rwlock_acquire_write(&shelf->lock, par_in(10)) != 0)
        return;
    repair();
    atomic_fetch_add(&shelf->a, 1);
    atomic_fetch_add(&shelf->b, 1);
    (void)par_rwlock_release(&shelf->lock);
}

static int
reader(int i)
{
    helper_park(i);
    if (par_rwlock_acquire_read(&shelf->lock, par_in(2 * PATIENCE)) != 0)
        return HUNG;
    if (!is_told())
        return LOST;
    return par_rwlock_release(&shelf->lock) == 0 ? FINE : TORN;
}

static int
writer(int i)
{
    helper_park(i);
    if (par_rwlock_acquire_write(&shelf->lock, par_in(2 * PATIENCE)) != 0)
        return HUNG;
    if (!is_told())
        return LOST;
    repair();
    return par_rwlock_release(&shelf->lock) == 0 ? FINE : TORN;
}

/* Reads until it is let go. */
static int
holder(int i)
{
    if (par_rwlock_acquire_read(&shelf->lock, par_in(10)) != 0)
        return BROKEN;
    helper_park(i);
    while (!atomic_load(&page->note[0]))
        nap();
    return par_rwlock_release(&shelf->lock) == 0 ? FINE : TORN;
}

/* ---- the world */

static void
check_free(void)
{
    expect(TORN, atomic_load(&page->victim[0].result) >= 0 && atomic_load(&page->victim[1].result) >= 0);
    expect_done(par_rwlock_acquire_read(&shelf->lock, soon()));
    expect(LOST, is_told());
    expect(TORN, par_rwlock_release(&shelf->lock) == 0);
    expect_done(par_rwlock_acquire_write(&shelf->lock, soon()));
    expect(LOST, is_told());
    repair();
    expect(TORN, atomic_load(&shelf->a) == atomic_load(&shelf->b) && par_rwlock_readers(&shelf->lock) == 0);
    expect(TORN, par_rwlock_release(&shelf->lock) == 0);
    helper_start(3, reader);
    helper_join(3);
    par_shared_free(shelf);
}

/* One reads, one waits to write; the victim comes after them. */
static void
set_up_waited(void)
{
    set_up_used();
    helper_start(0, holder);
    while (!atomic_load(&page->is_parked[0]))
        nap();
    helper_start(1, writer);
    helper_await(1);
}

static void
set_up_read(void)
{
    set_up_used();
    helper_start(0, holder);
    while (!atomic_load(&page->is_parked[0]))
        nap();
}

static void
let_go(int which)
{
    (void)which;
    atomic_store(&page->note[0], 1);
}

static void
check_waited(void)
{
    let_go(0);
    helper_join(0);
    helper_join(1);
    check_free();
}

static void
check_read(void)
{
    let_go(0);
    helper_join(0);
    check_free();
}

const struct op rwlock_ops[] = {
    { .group = "rwlock", .name = "rwlock_first_read", .setup = make, .act = read_shelf, .check = check_free, .stride = 23 },
    { .group = "rwlock", .name = "rwlock_read", .setup = set_up_used, .act = read_shelf, .check = check_free },
    { .group = "rwlock", .name = "rwlock_write", .setup = set_up_used, .act = write_shelf, .check = check_free },
    { .group = "rwlock",
      .name = "rwlock_reader_waits",
      .setup = set_up_waited,
      .act = read_shelf,
      .meanwhile = let_go,
      .check = check_waited },
    { .group = "rwlock",
      .name = "rwlock_writer_waits",
      .setup = set_up_read,
      .act = write_shelf,
      .meanwhile = let_go,
      .check = check_read },
    { .name = NULL },
};
