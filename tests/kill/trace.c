/* SPDX-License-Identifier: MIT
 *
 * trace.c: one instruction at a time, by ptrace.
 *
 * A step takes some 40 us, so stepping to every k anew would take hours. All worlds are forks of one program and run the same
 * instructions at the same addresses: one of them is stepped from end to end and noted down as a track, and the others go to
 * "the c-th time at this address" by a hardware breakpoint, then single-step the rest of the way. A victim that
 * takes another way than the track's (it was woken sooner or later) is killed where it is, or at its end: a point as good as any.
 */
#include "kill.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_US 1000
#define TICKS_ASLEEP 3 /* in a row: a system call that only takes its time is not a sleep */
#define LOOK_BACK 48   /* instructions that are stepped to save hits of a breakpoint in a loop */

static int pending[2];     /* the signal it stopped with */
static bool is_running[2]; /* it sleeps in a system call */

static void
on_tick(int signal)
{
    (void)signal;
}

/* While it runs, waitpid ends with EINTR now and then. */
static void
ticks(bool on)
{
    struct sigaction action = { .sa_handler = on_tick };
    struct itimerval timer = { { 0, on ? TICK_US : 0 }, { 0, on ? TICK_US : 0 } };

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

bool
is_asleep(pid_t pid)
{
    char path[40], text[256], *state;
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    state = strrchr(text, ')');
    return state != NULL && state[2] == 'S';
}

static enum stepped
await_stop(int which, pid_t pid)
{
    int status, asleep = 0;

    for (;;) {
        pid_t got = waitpid(pid, &status, __WALL);
        if (got == pid) {
            is_running[which] = false;
            pending[which] = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
            return WIFSTOPPED(status) ? STEPPED : GONE;
        }
        if (errno != EINTR)
            return GONE;
        asleep = is_asleep(pid) ? asleep + 1 : 0;
        if (asleep >= TICKS_ASLEEP)
            return ASLEEP;
    }
}

/* Let it go on until it stops. */
static enum stepped
resume(int which, pid_t pid, int how)
{
    int signal = pending[which];

    if (!is_running[which]) {
        if (ptrace(how, pid, NULL, signal == SIGTRAP || signal == SIGSTOP ? 0 : (long)signal) != 0)
            return GONE;
        is_running[which] = true;
    }
    return await_stop(which, pid);
}

static long
address_of(pid_t pid)
{
#if defined __x86_64__
    return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
#else
    (void)pid;
    return 0;
#endif
}

static enum stepped
step_to(int which, pid_t pid, long k, struct track *note)
{
    long *n = &page->steps[which];

    while (*n < k) {
        enum stepped how;
        if (atomic_load(&page->victim[which].has_ended))
            return OVER;
        if (note != NULL && *n < MAX_TRACK && !is_running[which])
            note->at[(note->n = *n)].address = address_of(pid);
        how = resume(which, pid, PTRACE_SINGLESTEP);
        if (how != STEPPED)
            return how;
        (*n)++;
    }
    return STEPPED;
}

/* ---- tracks */

/* How often the address was passed until then, itself included. */
void
track_count(struct track *track)
{
    enum { N = 1 << 14 };
    static struct {
        long address;
        unsigned times;
    } table[N];

    memset(table, 0, sizeof table);
    for (long i = 0; i <= track->n; i++) {
        unsigned slot = (unsigned)((unsigned long)track->at[i].address * 2654435761u >> 7) % N, tried = 0;
        while (table[slot].address != 0 && table[slot].address != track->at[i].address && tried++ < N)
            slot = (slot + 1) % N;
        if (tried > N / 2) { /* more addresses than there is room for: the rest is stepped */
            track->n = i - 1;
            return;
        }
        table[slot].address = track->at[i].address;
        track->at[i].times = ++table[slot].times;
    }
}

#if defined __x86_64__
static bool
set_breakpoint(pid_t pid, long address)
{
    size_t where = offsetof(struct user, u_debugreg[0]), enable = offsetof(struct user, u_debugreg[7]);

    return ptrace(PTRACE_POKEUSER, pid, where, address) == 0 && ptrace(PTRACE_POKEUSER, pid, enable, address != 0) == 0;
}
#else
static bool
set_breakpoint(pid_t pid, long address)
{
    (void)pid;
    (void)address;
    return false;
}
#endif

/* The cheapest place from which the rest is stepped. */
static long
best_anchor(const struct track *track, long k)
{
    long best = k;

    for (long i = k; i > 0 && i > k - LOOK_BACK; i--)
        if (track->at[i].times + (unsigned)(k - i) < track->at[best].times + (unsigned)(k - best))
            best = i;
    return best;
}

static unsigned hits_left[2];
static long anchor[2] = { -1, -1 };

/* Up to the anchor. STEPPED: there; OVER: it went another way. */
static enum stepped
run_to_anchor(int which, pid_t pid)
{
    while (hits_left[which] > 0) {
        enum stepped how = resume(which, pid, PTRACE_CONT);
        if (how != STEPPED)
            return how;
        if (atomic_load(&page->victim[which].has_ended))
            return OVER;
        if (pending[which] == SIGTRAP)
            hits_left[which]--;
    }
    (void)set_breakpoint(pid, 0);
    page->steps[which] = anchor[which];
    anchor[which] = -1;
    return STEPPED;
}

enum stepped
trace_to(int which, pid_t pid, long k, struct track *track)
{
    enum stepped how = STEPPED;

    ticks(true);
    if (track != NULL && track->is_whole && page->steps[which] == 0 && anchor[which] < 0 && k > 8 && k <= track->n) {
        anchor[which] = best_anchor(track, k);
        hits_left[which] = track->at[anchor[which]].times;
        if (!set_breakpoint(pid, track->at[anchor[which]].address))
            anchor[which] = -1;
    }
    if (anchor[which] >= 0)
        how = run_to_anchor(which, pid);
    if (how == STEPPED)
        how = step_to(which, pid, k, track != NULL && !track->is_whole ? track : NULL);
    ticks(false);
    return how;
}

enum stepped
trace_to_sleep(int which, pid_t pid)
{
    enum stepped how = STEPPED;

    ticks(true);
    while (how == STEPPED && !atomic_load(&page->victim[which].has_ended))
        how = resume(which, pid, PTRACE_SYSCALL);
    ticks(false);
    return how;
}

bool
trace_is_woken(int which, pid_t pid, double seconds)
{
    struct timespec tick = { 0, 100000 };
    int status;

    for (double waited = 0; waited < seconds && is_running[which]; waited += 0.0001) {
        if (waitpid(pid, &status, __WALL | WNOHANG) == pid) {
            is_running[which] = false;
            pending[which] = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
        } else {
            nanosleep(&tick, NULL);
        }
    }
    return !is_running[which];
}

void
trace_kill(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    while (waitpid(pid, &status, __WALL) != pid || WIFSTOPPED(status))
        if (errno == ECHILD)
            return;
}
