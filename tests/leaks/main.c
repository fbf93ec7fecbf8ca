/* SPDX-License-Identifier: MIT
 *
 * main.c: runs the subjects, each in a world of its own, and prints what has grown: one row per subject, and a summary.
 *
 *   leaks [--memory n] [--processes n] [--only name]      cycles of what is memory, and of what starts a process or a thread
 *
 * Nothing may grow, with two exceptions that are bounded instead: the resident memory, since which pages malloc and the arena
 * touch is not settled by a warm-up (RSS_SLACK; a leak of one byte of each cycle of 10^5 still shows in the other columns), and
 * malloc's bytes in use, in which glibc counts what its caches of each thread keep (HEAP_SLACK).
 */
#include "leaks.h"

#include "../../libpar/shm/arena.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RSS_SLACK 1024L  /* KiB */
#define HEAP_SLACK 4096L /* bytes */
#define LEAST_WARM_UP 10
#define WORLD_SECONDS 120

enum resource { DESCRIPTORS, MAPPINGS, ARENA, SLOTS, CHILDREN, THREADS, HEAP, RSS, N_RESOURCES };

static const char *const resource_name[] = { "fds", "maps", "arena", "slots", "children", "threads", "heap", "rss KiB" };
static const long slack[] = { 0, 0, 0, 0, 0, 0, HEAP_SLACK, RSS_SLACK };

struct stock {
    long n[N_RESOURCES];
};

static struct {
    long memory_cycles, process_cycles;
    const char *only;
} options = { 100000, 1000, NULL };

void
give_up(const char *file, int line, const char *what)
{
    printf("%s:%d: %s: errno %d, %s\n", file, line, what, errno, par_error());
    fflush(stdout);
    _exit(1);
}

par_time
soon(void)
{
    return par_in(20);
}

/* ---- taking stock */

static long
count_entries(const char *path)
{
    DIR *directory = opendir(path);
    long n = 0;

    must(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

static long
count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    long n = 0;

    must(maps != NULL);
    for (int c; (c = getc(maps)) != EOF;)
        n += c == '\n';
    fclose(maps);
    return n;
}

static long
resident_kib(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    long pages = 0;

    must(statm != NULL && fscanf(statm, "%*d %ld", &pages) == 1);
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static long
count_slots(void)
{
    long n = 0;

    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++)
        n += (atomic_load(&pari_slot_at(i)->tag) & 0xff) != 0;
    return n;
}

/* One that is not reaped counts, too. More than one is not told from one. */
static long
has_children(void)
{
    siginfo_t child = { 0 };

    return waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

/* A thread that was joined is there for a moment longer. */
static long
count_threads(long expected)
{
    par_time start = par_now();
    long n;

    while ((n = count_entries("/proc/self/task")) > expected && par_since(start) < 1)
        (void)usleep(100);
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

/* Else a thread of glibc's that finds malloc's lock taken makes a new arena, for life. */
static void
keep_malloc_simple(void)
{
#ifdef __GLIBC__
    must(mallopt(M_ARENA_MAX, 1) == 1);
#endif
}

static struct stock
take_stock(long n_threads)
{
    struct stock stock;

    (void)pari_registry_sweep();
    stock.n[THREADS] = count_threads(n_threads);
    stock.n[DESCRIPTORS] = count_entries("/proc/self/fd");
    stock.n[MAPPINGS] = count_mappings();
    stock.n[ARENA] = (long)pari_heap_in_use();
    stock.n[SLOTS] = count_slots();
    stock.n[CHILDREN] = has_children();
    stock.n[HEAP] = malloc_in_use();
    stock.n[RSS] = resident_kib();
    return stock;
}

/* ---- worlds */

static bool
print_row(const char *name, long cycles, const struct stock *before, const struct stock *after)
{
    bool is_fine = true;

    printf("%-18s %7ld", name, cycles);
    for (int r = 0; r < N_RESOURCES; r++) {
        long growth = after->n[r] - before->n[r];
        printf(" %8ld", growth);
        is_fine = is_fine && growth <= slack[r];
    }
    printf("%s\n", is_fine ? "" : "  LEAKS");
    return is_fine;
}

static void
world(const struct subject *subject, long cycles)
{
    struct stock before, after;
    bool is_fine;

    (void)alarm(WORLD_SECONDS);
    keep_malloc_simple();
    if (subject->setup != NULL)
        subject->setup();
    for (long i = 0; i < cycles / 10 + LEAST_WARM_UP; i++)
        subject->cycle();
    (void)take_stock(1); /* so that its own memory is there */
    before = take_stock(1);
    for (long i = 0; i < cycles; i++)
        subject->cycle();
    after = take_stock(before.n[THREADS]);
    is_fine = print_row(subject->name, cycles, &before, &after);
    if (subject->teardown != NULL)
        subject->teardown();
    fflush(stdout);
    _exit(is_fine ? 0 : 1);
}

static bool
run(const struct subject *subject, long cycles)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        world(subject, cycles);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror(subject->name);
        return false;
    }
    if (!WIFEXITED(status))
        printf("%-18s ended by signal %d\n", subject->name, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct tally {
    int n, n_bad;
};

static void
run_table(const struct subject *table, long cycles, struct tally *tally)
{
    for (const struct subject *subject = table; subject->name != NULL; subject++)
        if (options.only == NULL || strcmp(options.only, subject->name) == 0) {
            tally->n++;
            tally->n_bad += !run(subject, cycles);
        }
}

static void
parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--memory") == 0 && atol(value) > 0) {
            options.memory_cycles = atol(value);
        } else if (strcmp(argv[i], "--processes") == 0 && atol(value) > 0) {
            options.process_cycles = atol(value);
        } else if (strcmp(argv[i], "--only") == 0 && *value != '\0') {
            options.only = value;
        } else {
            fprintf(stderr, "usage: leaks [--memory n] [--processes n] [--only name]\n");
            exit(2);
        }
    }
}

int
main(int argc, char **argv)
{
    struct tally tally = { 0, 0 };

    par_spawn_support();
    parse(argc, argv);
    printf("%-18s %7s", "growth of", "cycles");
    for (int r = 0; r < N_RESOURCES; r++)
        printf(" %8s", resource_name[r]);
    printf("\n");
    run_table(memory_subjects, options.memory_cycles, &tally);
    run_table(channel_subjects, options.memory_cycles, &tally);
    run_table(object_subjects, options.memory_cycles, &tally);
    run_table(process_subjects, options.process_cycles, &tally);
    run_table(manager_subjects, options.process_cycles, &tally);
    printf("%d objects, %d leak\n", tally.n, tally.n_bad);
    return tally.n > 0 && tally.n_bad == 0 ? 0 : 1;
}
