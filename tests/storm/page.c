/* SPDX-License-Identifier: MIT
 *
 * page.c: what a world, its children and the watchdog share: what is found and counted, and who is doomed. Not libpar's memory.
 */
#include "storm.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_TOLD 20 /* findings that are printed */

struct page *page;

static uint64_t seed, state;

static const char *const verdict_name[] = { "fine", "lost", "duplicated", "hung", "torn", "leaked" };

void
page_new(uint64_t from)
{
    seed = from;
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("memory");
        exit(1);
    }
}

void
page_free(void)
{
    (void)munmap(page, sizeof *page);
}

/* ---- chance (Marsaglia's xorshift) */

void
seed_random(uint64_t by)
{
    state = (seed + by) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

uint64_t
random_below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % n;
}

/* ---- what is found and counted */

static int
index_of(const struct part *part)
{
    for (int i = 0; i < n_parts; i++)
        if (parts[i] == part)
            return i;
    abort();
}

void
found(struct part *part, enum verdict verdict, const char *format, ...)
{
    char text[200];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    atomic_fetch_add(&page->found[index_of(part)][verdict], 1);
    if (atomic_fetch_add(&page->n_told, 1) < MAX_TOLD)
        dprintf(STDOUT_FILENO, "%s: %s: %s\n", part->name, verdict_name[verdict], text);
}

void
count_op(struct part *part)
{
    atomic_fetch_add_explicit(&page->ops[index_of(part)], 1, memory_order_relaxed);
}

par_time
soon(void)
{
    return par_in(PATIENCE);
}

/* ---- dooms */

static void
arm(int signal, uint64_t microseconds)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal };
    struct itimerspec at = { .it_value = { 0, (long)microseconds * 1000 + 1 } };
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &at, NULL) != 0) {
        perror("a timer");
        _exit(99);
    }
}

void
count_kills(long n)
{
    atomic_fetch_add(&page->n_kills, n);
}

void
doom(long microseconds)
{
    pid_t pid = getpid();
    uint64_t life = (uint64_t)microseconds, stop = random_below(life + 1);

    atomic_fetch_or(&page->doomed[pid / 8], (unsigned char)(1 << pid % 8));
    count_kills(1);
    if (random_below(8) != 0) {
        arm(random_below(4) == 0 ? SIGSEGV : SIGKILL, life);
        return;
    }
    /* SIGCONT is armed first, or nobody would be there to arm it; it may then come too early, but SIGKILL ends a stop, too. */
    arm(SIGKILL, life);
    arm(SIGCONT, stop + 1000 + random_below(3000));
    arm(SIGSTOP, stop);
}

bool
is_doomed(pid_t pid)
{
    return pid > 0 && pid < MAX_PIDS && (atomic_load(&page->doomed[pid / 8]) & 1 << pid % 8) != 0;
}

long
new_life(void)
{
    return atomic_fetch_add(&page->n_lives, 1);
}
