/* SPDX-License-Identifier: MIT
 *
 * world.c: a world: it starts victims and keepers, replaces the victims that have died, and takes stock when all is over.
 */
#include "storm.h"

#include "../../libpar/shm/arena.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_VICTIMS 16
#define MAX_KEEPERS 64
#define WARM_UP 10        /* this part of the kills comes before stock is taken */
#define STILL_TICKS 4000  /* without any progress: the world hangs */
#define TICK_NS 10000000L /* of the watchdog */
#define SPREAD 14         /* lives last from 1 us to 2^SPREAD us */

struct victim {
    pid_t pid;            /* 0: none */
    par_process *process; /* NULL: it came by fork() */
};

struct stock {
    long bytes, slots, fds;
};

struct keeper {
    pid_t pid;
    struct part *part;
    int which;
};

struct part *const *parts;
int n_parts;
static struct victim victim[MAX_VICTIMS];
static struct keeper keeper[MAX_KEEPERS];
static int n_keepers;

/* Most die young: in joining the family, in their first calls. */
static long
span(void)
{
    return (long)random_below((uint64_t)1 << random_below(SPREAD + 1)) + 1;
}

/* ---- victims */

static int
victim_main(void *arg)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    seed_random((uint64_t)(intptr_t)arg);
    doom(span());
    for (;;) {
        struct part *part = parts[random_below((uint64_t)n_parts)];
        if (part->step != NULL) {
            part->step();
            count_op(part);
        }
    }
    return 0;
}

static void
start_victim(struct victim *v)
{
    void *life = (void *)(intptr_t)new_life();

    *v = (struct victim){ 0, NULL };
    if ((intptr_t)life % 2 != 0) {
        v->process = par_process_start(victim_main, life, 0, &(par_process_opts){ .daemon = true });
        v->pid = v->process != NULL ? par_process_pid(v->process) : 0;
    } else {
        v->pid = fork();
        if (v->pid == 0)
            _exit(victim_main(life));
    }
    if (v->pid <= 0) {
        found(parts[0], TORN, "no victim can be started: errno %d", errno);
        v->pid = 0;
    }
}

/* It can have ended only by its doom. */
static void
bury(struct victim *v)
{
    int status, code;

    if (v->process == NULL) {
        code = waitpid(v->pid, &status, 0) == v->pid && WIFSIGNALED(status) ? -WTERMSIG(status) : status;
    } else {
        if (par_process_join(v->process, soon()) != 0)
            failed(*parts[0], "join of a dead process");
        code = par_process_exitcode(v->process);
        par_process_free(v->process);
    }
    if (code != -SIGKILL && code != -SIGSEGV)
        found(parts[0], TORN, "a victim has ended with %d, %s", code, v->process != NULL ? par_error() : "a guest");
    v->pid = 0;
}

static struct victim *
victim_of(pid_t pid)
{
    for (int i = 0; i < MAX_VICTIMS; i++)
        if (victim[i].pid == pid)
            return &victim[i];
    return NULL;
}

static struct keeper *
keeper_of(pid_t pid)
{
    for (int i = 0; i < n_keepers; i++)
        if (keeper[i].pid == pid)
            return &keeper[i];
    return NULL;
}

/* Whoever has ended: a victim, a keeper, or an orphan that a victim has left. False: nobody. */
static bool
bury_one(void)
{
    siginfo_t info = { .si_pid = 0 };
    struct victim *v;
    struct keeper *k;
    int status;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return false;
    v = victim_of(info.si_pid);
    k = keeper_of(info.si_pid);
    if (v != NULL) {
        bury(v);
        return true;
    }
    (void)waitpid(info.si_pid, &status, 0);
    if (k != NULL) {
        if (status != 0)
            found(k->part, TORN, "a keeper has ended with %#x", (unsigned)status);
        k->pid = 0;
    }
    return true;
}

/* ---- keepers */

static void
keeper_main(struct part *part, int which)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    seed_random((uint64_t)new_life());
    while (!atomic_load(&page->is_over)) {
        part->keep(which);
        count_op(part);
    }
    if (part->leave != NULL)
        part->leave(which);
    _exit(0);
}

static void
start_keepers(void)
{
    n_keepers = 0;
    for (int i = 0; i < n_parts; i++)
        for (int which = 0; which < parts[i]->n_keepers; which++) {
            struct keeper *k = &keeper[n_keepers];
            *k = (struct keeper){ fork(), parts[i], which };
            if (k->pid == 0)
                keeper_main(parts[i], which);
            n_keepers++;
        }
}

static bool
are_there_any(void)
{
    for (int i = 0; i < MAX_VICTIMS; i++)
        if (victim[i].pid != 0)
            return true;
    for (int i = 0; i < n_keepers; i++)
        if (keeper[i].pid != 0)
            return true;
    return false;
}

static void
pause_for(long ns)
{
    (void)nanosleep(&(struct timespec){ 0, ns }, NULL);
}

/* Victims are not replaced any more, keepers end when they see it. */
static void
end_round(void)
{
    par_time start = par_now();

    atomic_store(&page->is_over, true);
    while (are_there_any()) {
        if (par_since(start) > 3 * PATIENCE) {
            for (int i = 0; i < n_keepers; i++)
                if (keeper[i].pid != 0)
                    found(keeper[i].part, HUNG, "keeper %d does not end", keeper[i].which);
            return;
        }
        for (int i = 0; i < n_parts; i++)
            if (parts[i]->stir != NULL)
                parts[i]->stir();
        pause_for(1000000);
        while (bury_one())
            ;
    }
}

static bool
has_victims(void)
{
    for (int i = 0; i < n_parts; i++)
        if (parts[i]->step != NULL)
            return true;
    return false;
}

static void
storm_round(int n_victims, long n_kills)
{
    long until = atomic_load(&page->n_kills) + n_kills;

    atomic_store(&page->is_over, false);
    start_keepers();
    while (atomic_load(&page->n_kills) < until) {
        for (int i = 0; i < n_victims && has_victims(); i++)
            if (victim[i].pid == 0)
                start_victim(&victim[i]);
        pause_for(200000);
        while (bury_one())
            ;
    }
    end_round();
    for (int i = 0; i < n_parts; i++)
        if (parts[i]->settle != NULL)
            parts[i]->settle();
}

/* ---- what stays */

static struct stock
take_stock(void)
{
    struct stock stock = { 0, 0, 0 };
    DIR *directory = opendir("/proc/self/fd");

    (void)pari_registry_sweep();
    stock.bytes = (long)pari_heap_in_use();
    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++)
        stock.slots += (atomic_load(&pari_slot_at(i)->tag) & 0xff) != 0;
    while (directory != NULL && readdir(directory) != NULL)
        stock.fds++;
    closedir(directory);
    return stock;
}

static void
check_stock(const struct stock *mark)
{
    struct stock now = take_stock();

    if (now.bytes > mark->bytes || now.slots > mark->slots || now.fds > mark->fds)
        found(parts[0], LEAKED, "%ld bytes, %ld slots, %ld descriptors", now.bytes - mark->bytes, now.slots - mark->slots,
              now.fds - mark->fds);
}

/* Nobody lives on: what victims had started comes to us when they die, and must end. */
static void
check_children(void)
{
    par_time start = par_now();
    siginfo_t info;

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        if (par_since(start) > PATIENCE) {
            found(parts[0], LEAKED, "a process stays");
            return;
        }
        if (!bury_one())
            pause_for(1000000);
    }
}

/* Everything is made, stormed and freed. */
static void
storm_once(int n_victims, long n_kills)
{
    for (int i = 0; i < n_parts; i++)
        if (parts[i]->setup != NULL)
            parts[i]->setup();
    storm_round(n_victims, n_kills);
    for (int i = 0; i < n_parts; i++)
        if (parts[i]->teardown != NULL)
            parts[i]->teardown();
}

static void
world(int n_victims, long n_kills)
{
    struct stock mark;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    if (par_process_current() == NULL)
        found(parts[0], TORN, "no family: errno %d", errno);
    storm_once(n_victims, n_kills / WARM_UP + 1);
    check_children();
    mark = take_stock();
    storm_once(n_victims, n_kills - n_kills / WARM_UP);
    check_children();
    check_stock(&mark);
    _exit(0);
}

/* ---- the watchdog, which does not use the library */

static long
progress(void)
{
    long n = atomic_load(&page->n_kills);

    for (int i = 0; i < n_parts; i++)
        n += atomic_load(&page->ops[i]);
    return n;
}

/* Ticks are counted, not time: when the machine stands still nothing is concluded. */
static void
watch(pid_t pid)
{
    long before = -1, now;
    int status, n_still = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        now = progress();
        n_still = now == before ? n_still + 1 : 0;
        before = now;
        if (n_still > STILL_TICKS) {
            found(parts[0], HUNG, "the world stands still");
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return;
        }
        pause_for(TICK_NS);
    }
    if (status != 0)
        found(parts[0], TORN, "the world has ended with %#x", (unsigned)status);
}

long
storm_run(struct part *const *with, int n, int n_victims, long n_kills, uint64_t from)
{
    pid_t pid;
    long kills;

    parts = with;
    n_parts = n;
    page_new(from);
    if ((pid = fork()) < 0) {
        perror("a world");
        exit(1);
    }
    if (pid == 0)
        world(n_victims, n_kills);
    watch(pid);
    for (int i = 0; i < n; i++) {
        parts[i]->n_ops += atomic_load(&page->ops[i]);
        for (int v = 0; v < N_VERDICTS; v++)
            parts[i]->n_found[v] += atomic_load(&page->found[i][v]);
    }
    kills = atomic_load(&page->n_kills);
    page_free();
    return kills;
}
