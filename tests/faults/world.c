/* SPDX-License-Identifier: MIT
 *
 * world.c: one operation with one fault, and what is left after it.
 */
#include "faults.h"

#include "../../libpar/shm/arena.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_LOCKS 4096
#define SETTLE_SECONDS 20.0 /* for what ends by itself: a killed child, a thread that was joined */

static bool is_once; /* nobody reads the point */

void
find(enum verdict verdict, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(point->text, sizeof point->text, format, args);
    va_end(args);
    if (is_once)
        fprintf(stderr, "%s\n", point->text);
    _exit((int)verdict);
}

par_time
soon(void)
{
    return par_in(40);
}

/* ---- taking stock */

static long
count_entries(const char *folder)
{
    DIR *directory = opendir(folder);
    long n = 0;

    expect_ready(directory != NULL);
    while (readdir(directory) != NULL)
        n++;
    closedir(directory);
    return n;
}

/* Of shared memory: private mappings are malloc's and the thread stacks'. */
static long
count_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], mode[8];
    long n = 0;

    expect_ready(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        n += sscanf(line, "%*s %7s", mode) == 1 && mode[3] == 's';
    fclose(maps);
    return n;
}

static bool
is_free(unsigned slot)
{
    return (atomic_load(&pari_slot_at(slot)->tag) & 0xff) == 0;
}

static long
count_slots(void)
{
    long n = 0;

    for (unsigned i = 0; pari_arena != NULL && i < PARI_MAX_MEMBERS; i++)
        n += !is_free(i);
    return n;
}

/* Zombies included. */
static long
count_children(void)
{
    char path[64], pids[4096];
    DIR *tasks = opendir("/proc/self/task");
    long n = 0;

    expect_ready(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        FILE *list;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/children", entry->d_name);
        if (entry->d_name[0] == '.' || (list = fopen(path, "re")) == NULL)
            continue;
        while (fscanf(list, "%4095s", pids) == 1)
            n++;
        fclose(list);
    }
    closedir(tasks);
    return n;
}

/* Only glibc tells. */
static long
malloc_in_use(void)
{
#ifdef __GLIBC__
    return (long)mallinfo2().uordblks;
#else
    return 0;
#endif
}

static struct stock
take_stock(void)
{
    return (struct stock){
        count_entries("/proc/self/fd"), count_maps(),   count_entries("/proc/self/task"), count_children(), count_slots(),
        (long)pari_heap_in_use(),       malloc_in_use()
    };
}

static struct stock
growth(struct stock a, struct stock b)
{
    return (struct stock){ b.fds - a.fds,     b.maps - a.maps, b.threads - a.threads, b.children - a.children,
                           b.slots - a.slots, b.heap - a.heap, b.bytes - a.bytes };
}

/* What ends by itself gets the time for it. */
static void
settle(long n_threads, long n_children)
{
    par_time deadline = par_in(SETTLE_SECONDS);

    while (count_children() > n_children || count_entries("/proc/self/task") > n_threads) {
        (void)par_process_active_children(NULL, 0); /* reaps those that were dropped */
        if (pari_is_over(deadline))
            find(LEAKED, count_children() > n_children ? "a child is left" : "a thread is left");
        nap();
    }
    if (pari_arena != NULL)
        (void)pari_registry_sweep();
}

/* In a plain child, who sees the locks of its parent: one on the byte of a free slot would stop the slot's next process. */
static void
check_record_locks(void)
{
    int status = 0;
    pid_t pid = pari_arena != NULL ? fork() : 0;

    if (pari_arena == NULL)
        return;
    if (pid == 0) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = PARI_MAX_MEMBERS };

        while (fcntl(pari_arena_fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && !is_free((unsigned)lock.l_start))
            lock = (struct flock){
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = lock.l_start + 1, .l_len = PARI_MAX_MEMBERS
            };
        _exit(lock.l_type != F_UNLCK);
    }
    waitpid(pid, &status, 0);
    if (status != 0)
        find(LEAKED, "the record lock of a free slot is held");
}

static void
compare(const struct stock *left)
{
    const struct stock *may = &point->growth;

    if (left->fds > may->fds)
        find(LEAKED, "%ld descriptors are left", left->fds - may->fds);
    if (left->maps > may->maps)
        find(LEAKED, "%ld shared mappings are left", left->maps - may->maps);
    if (left->slots > may->slots)
        find(LEAKED, "%ld slots are left", left->slots - may->slots);
    if (left->heap > may->heap)
        find(LEAKED, "%ld bytes of the arena are left", left->heap - may->heap);
    if (left->bytes > may->bytes)
        find(LEAKED, "%ld bytes of malloc are left", left->bytes - may->bytes);
}

/* ---- a world */

static int
no_growth(enum pari_call call)
{
    return call == PARI_CALL_FALLOCATE ? ENOSPC : 0;
}

/* Take every block and every cell that there is. */
static void
fill(void)
{
    par_lock *lock = par_array(par_lock, N_LOCKS);

    expect_ready(lock != NULL);
    pari_fault_hook = no_growth;
    for (size_t size = 1 << 24; size > 0; size = size > 1 << 15 ? size / 2 : size > 64 ? size - 64 : size / 2)
        while (pari_heap_alloc(1, size, 0) != NULL)
            ;
    for (int i = 0; i < N_LOCKS && par_lock_init(&lock[i], NULL) == 0; i++)
        ;
    pari_fault_hook = NULL;
}

static void
prepare(const struct op *op, enum state state)
{
    long n_threads, n_children;

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (state == COLD)
        return;
    if (op->setup != NULL)
        op->setup();
    if (!op->is_once) {
        n_threads = count_entries("/proc/self/task");
        n_children = count_children();
        expect_ready(op->act() == 0);
        if (op->undo != NULL)
            op->undo();
        settle(n_threads, n_children);
    }
    if (state == FULL)
        fill();
}

static bool
is_documented(const struct op *op, enum state state, int error)
{
    static const int joining[] = { EAGAIN, EMFILE, ENFILE, ENOMEM, ENOSPC, 0 };

    for (int i = 0; state == COLD && joining[i] != 0; i++)
        if (joining[i] == error)
            return true;
    for (int i = 0; op->errors[i] != 0; i++)
        if (op->errors[i] == error)
            return true;
    return false;
}

static void
act(const struct op *op, enum state state)
{
    int result, error;

    inject_arm(op->where);
    errno = 0;
    result = op->act();
    error = errno;
    inject_disarm();
    point->has_failed = result != 0;
    if (result != 0 && atomic_load(&point->call) < 0)
        find(WRONG, "it fails by itself, with errno %d", error);
    if (result != 0 && !is_documented(op, state, error))
        find(UNDOCUMENTED, "errno %d: %s", error, strerror(error));
    if (result == 0 && op->undo != NULL)
        op->undo();
}

static void
act_again(const struct op *op)
{
    if (op->act() != 0)
        find(STUCK, "without a fault: errno %d: %s", errno, strerror(errno));
    if (op->undo != NULL)
        op->undo();
}

void
world_run(const struct op *op, enum state state)
{
    struct stock before, left;

    prepare(op, state);
    before = take_stock();
    act(op, state);
    settle(before.threads, before.children);
    act_again(op);
    settle(before.threads, before.children);
    left = growth(before, take_stock());
    if (point->at == 0)
        point->growth = left;
    compare(&left);
    check_record_locks();
    _exit(FINE);
}

/* The call that fails may be one of either round, and of a child of each. */
void
world_once(const struct op *op)
{
    is_once = true;
    point->world = getpid();
    point->where = IN_CHILDREN; /* too: strace follows them */
    if (op->setup != NULL)
        op->setup();
    for (int round = 0; round < 2; round++)
        if (op->act() != 0) {
            if (!is_documented(op, COLD, errno))
                find(UNDOCUMENTED, "errno %d: %s", errno, strerror(errno));
        } else if (op->undo != NULL)
            op->undo();
    _exit(FINE);
}

/* ---- helpers */

pid_t
helper_start(void (*fn)(void), enum pari_call until, enum pari_call or_until)
{
    pid_t pid = fork();

    expect_ready(pid >= 0);
    if (pid > 0)
        return pid;
    while (atomic_load(&point->is_trying) && atomic_load(&point->seen[until]) == 0 && atomic_load(&point->seen[or_until]) == 0)
        if (getppid() != point->world)
            _exit(1);
        else
            nap();
    fn();
    _exit(0);
}

void
helper_join(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    expect(status == 0);
}
