/* SPDX-License-Identifier: MIT
 *
 * process.c: par_process, the public face of a child (child.c), of this process itself and of its parent.
 *
 * Shared state: none. A handle lies in the arena so that it can be checked as every other one, but holds only what never changes
 * (its name); it is owned by its process, so the sweep takes it after that one's death. All else is in a record in private memory,
 * in the list of this process's handles, guarded by the private lock. A forked child forgets its parent's list; the handles are
 * EPERM there.
 * Lock order: the private lock is held for the list alone, and by child.c after it is released here.
 * If a process dies here: its handles are swept with its slot.
 */
#include <par/process.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../channel/conn.h"
#include "exec.h"

struct par_process {
    struct pari_handle handle;
    char name[];
};

enum role { ROLE_CHILD, ROLE_SELF, ROLE_PARENT };

struct record {
    struct record *next;
    struct par_process *handle;
    enum role role;
    unsigned n_users;         /* the handle, and whoever walks the list */
    uint64_t serial;          /* ascending along the list */
    struct pari_child *child; /* ROLE_CHILD */
    pari_member member;       /* ROLE_PARENT */
    pid_t pid;
};

static struct record *records, *last_record;
static uint64_t n_serials;

static void
forget_records(void)
{
    records = NULL;
    last_record = NULL;
}

/* ---- the list of this process's handles */

static void
append_locked(struct record *record)
{
    record->n_users = 1;
    record->serial = ++n_serials;
    if (last_record != NULL)
        last_record->next = record;
    else
        records = record;
    last_record = record;
}

static void
append(struct record *record)
{
    pari_private_lock();
    append_locked(record);
    pari_private_unlock();
}

static void
take_off(struct record *record)
{
    struct record *before = NULL;

    pari_private_lock();
    for (struct record *r = records; r != NULL && r != record; r = r->next)
        before = r;
    if (before != NULL)
        before->next = record->next;
    else
        records = record->next;
    if (last_record == record)
        last_record = before;
    pari_private_unlock();
}

static void
let_go(struct record *record)
{
    bool is_last;

    pari_private_lock();
    is_last = --record->n_users == 0;
    pari_private_unlock();
    if (is_last) {
        pari_child_drop(record->child);
        free(record);
    }
}

static struct record *
find_locked(enum role role)
{
    struct record *record = records;

    while (record != NULL && record->role != role)
        record = record->next;
    return record;
}

/* The record of a handle of this process, or NULL: EINVAL, EPERM. */
static struct record *
record_of(const par_process *process)
{
    struct record *record;

    if (pari_handle_check_mine(process, PARI_PROCESS) != 0)
        return NULL;
    pari_private_lock();
    for (record = records; record != NULL && record->handle != process; record = record->next)
        ;
    pari_private_unlock();
    return record ? record : pari_null(EPERM);
}

static par_process *
new_handle(const char *name)
{
    size_t size = strlen(name) + 1;
    par_process *process = pari_handle_new(PARI_PROCESS, sizeof *process + size);

    if (process == NULL)
        return NULL;
    memcpy(process->name, name, size);
    pari_heap_own(process, pari_self());
    return process;
}

/* ---- start */

/* What a start collects, and gives back when it fails. */
struct start {
    char *numbers, *name;
    void *copy; /* of the argument */
    struct record *record;
    pari_member member;
    par_conn *const *give;
    unsigned n_give;
    int keep[PAR_MAX_GIVE];
};

static unsigned
count_given(par_conn *const *give)
{
    unsigned n = 0;

    while (n < PAR_MAX_GIVE && give[n] != NULL)
        n++;
    return n;
}

/* 0, or -1: EINVAL, EPERM. */
static int
check_given(const struct start *start)
{
    for (unsigned i = 0; i < start->n_give; i++) {
        for (unsigned k = 0; k < i; k++)
            if (start->give[k] == start->give[i])
                return pari_fail(EINVAL);
        if (pari_conn_give_check(start->give[i]) != 0)
            return -1;
    }
    return 0;
}

static char *
default_name(const char *numbers)
{
    size_t size = sizeof "Process-" + strlen(numbers);
    char *name = pari_malloc(size);

    if (name != NULL)
        (void)snprintf(name, size, "Process-%s", numbers);
    return name;
}

static char *
copy_name(const char *given)
{
    size_t size = strlen(given) + 1;
    char *name = pari_malloc(size);

    return name ? memcpy(name, given, size) : NULL;
}

static int
make_record(struct start *start)
{
    start->record = pari_malloc(sizeof *start->record);
    if (start->record == NULL)
        return -1;
    start->record->handle = new_handle(start->name);
    return start->record->handle ? 0 : -1;
}

static int
copy_argument(struct start *start, const void *arg, size_t size)
{
    if (size == 0)
        return 0;
    start->copy = pari_malloc(size);
    if (start->copy == NULL)
        return -1;
    memcpy(start->copy, arg, size);
    return 0;
}

/* Everything that can fail before the fork. */
static int
prepare(struct start *start, const void *arg, size_t arg_size, const char *name)
{
    start->numbers = pari_identity_next();
    if (start->numbers == NULL)
        return -1;
    start->name = name ? copy_name(name) : default_name(start->numbers);
    if (start->name == NULL || make_record(start) != 0 || copy_argument(start, arg, arg_size) != 0)
        return -1;
    start->member = pari_member_reserve();
    return start->member ? 0 : -1;
}

/* The ends are the child's from before its birth on, so that no moment is without an owner; its death hides nothing. */
static void
give_ends(struct start *start)
{
    for (unsigned i = 0; i < start->n_give; i++) {
        start->keep[i] = pari_conn_fd(start->give[i]);
        pari_conn_give(start->give[i], start->member);
    }
}

static void
settle_ends(const struct start *start, bool has_started)
{
    for (unsigned i = 0; i < start->n_give; i++)
        if (has_started)
            pari_conn_given(start->keep[i]);
        else
            pari_conn_give_back(start->give[i]);
}

static int
run(struct start *start, int (*fn)(void *arg), void *arg, bool is_daemon)
{
    struct pari_child_opts opts = {.keep = start->keep,
                                   .n_keep = start->n_give,
                                   .member = start->member,
                                   .name = start->name,
                                   .identity = start->numbers,
                                   .is_daemon = is_daemon};
    struct pari_child *child;

    give_ends(start);
    child = pari_child_start(fn, arg, &opts);
    start->member = 0; /* the child's, or released */
    settle_ends(start, child != NULL);
    if (child == NULL)
        return -1;
    start->record->child = child;
    start->record->pid = child->pid;
    append(start->record);
    return 0;
}

static void
clean_up(struct start *start, bool has_started)
{
    int saved = errno;

    if (!has_started) {
        if (start->record != NULL)
            pari_handle_free(start->record->handle);
        free(start->record);
        if (start->member != 0)
            pari_member_release(start->member);
    }
    free(start->copy);
    free(start->name);
    free(start->numbers);
    errno = saved;
}

par_process *
par_process_start(int (*fn)(void *arg), const void *arg, size_t arg_size, const par_process_opts *opts)
{
    static const par_process_opts defaults;
    struct start start = {0};
    par_process *process = NULL;
    int cancel;

    if (fn == NULL || (arg == NULL && arg_size > 0))
        return pari_null(EINVAL);
    if (opts == NULL)
        opts = &defaults;
    start.give = opts->give;
    start.n_give = count_given(opts->give);
    if (pari_self() == 0 || check_given(&start) != 0)
        return NULL;
    cancel = pari_cancel_off();
    pari_at_fork(forget_records);
    if (prepare(&start, arg, arg_size, opts->name) == 0 &&
        run(&start, fn, arg_size > 0 ? start.copy : (void *)(uintptr_t)arg, opts->daemon) == 0)
        process = start.record->handle;
    clean_up(&start, process != NULL);
    pari_cancel_restore(cancel);
    return process;
}

void
par_process_free(par_process *process)
{
    int saved = errno;
    struct record *record = process ? record_of(process) : NULL;

    if (record != NULL && record->role == ROLE_CHILD) {
        take_off(record);
        let_go(record);
        pari_handle_free(process);
    }
    errno = saved;
}

/* ---- life and end */

/* A parent cannot be reaped: until its slot says it is dead. */
static int
wait_for_parent(pari_member parent, par_time deadline)
{
    static _Atomic uint32_t never;
    struct pari_nap nap = {0};

    while (!pari_member_is_dead(parent))
        if (pari_nap(&nap, &never, 0, &parent, 1, deadline) != 0)
            return -1;
    return 0;
}

int
par_process_join(par_process *process, par_time deadline)
{
    struct record *record = record_of(process);

    if (record == NULL)
        return -1;
    switch (record->role) {
    case ROLE_SELF:
        return pari_fail(EDEADLK);
    case ROLE_PARENT:
        return wait_for_parent(record->member, deadline);
    default:
        return pari_child_wait(record->child, deadline);
    }
}

static bool
is_alive(const struct record *record)
{
    switch (record->role) {
    case ROLE_SELF:
        return true;
    case ROLE_PARENT:
        return !pari_member_is_dead(record->member);
    default:
        return pari_child_poll(record->child) == 0;
    }
}

int
par_process_exitcode(const par_process *process)
{
    struct record *record = record_of(process);

    if (record == NULL)
        return PAR_EXIT_UNKNOWN;
    if (is_alive(record))
        return PAR_EXIT_RUNNING;
    if (record->role != ROLE_CHILD)
        return PAR_EXIT_UNKNOWN;
    if (record->child->error != 0)
        pari_say("%s could not begin: %s", process->name, strerror(record->child->error));
    return record->child->exit;
}

bool
par_process_is_alive(const par_process *process)
{
    struct record *record = record_of(process);

    return record != NULL && is_alive(record);
}

pid_t
par_process_pid(const par_process *process)
{
    struct record *record = record_of(process);

    return record ? record->pid : -1;
}

const char *
par_process_name(const par_process *process)
{
    return record_of(process) ? process->name : NULL;
}

static int
send_signal(const par_process *process, int signal)
{
    struct record *record = record_of(process);

    if (record == NULL)
        return -1;
    switch (record->role) {
    case ROLE_SELF:
        return pari_kill(record->pid, -1, signal);
    case ROLE_PARENT:
        return pari_fail(EPERM);
    default:
        return pari_child_kill(record->child, signal);
    }
}

int
par_process_terminate(par_process *process)
{
    return send_signal(process, SIGTERM);
}

int
par_process_kill(par_process *process)
{
    return send_signal(process, SIGKILL);
}

int
par_process_interrupt(par_process *process)
{
    return send_signal(process, SIGINT);
}

int
par_process_fileno(const par_process *process)
{
    struct record *record = record_of(process);

    if (record == NULL)
        return -1;
    if (record->role != ROLE_CHILD)
        return pari_fail(EPERM);
    return record->child->pidfd >= 0 ? record->child->pidfd : pari_fail(ENOTSUP);
}

/* ---- the relatives */

/* This process's own handle or its parent's, made at the first call; both live as long as the process. */
static par_process *
relative(enum role role, const char *name, pari_member member, pid_t pid)
{
    struct record *fresh = pari_malloc(sizeof *fresh), *record;

    if (fresh == NULL)
        return NULL;
    *fresh = (struct record){.handle = new_handle(name), .role = role, .member = member, .pid = pid};
    if (fresh->handle == NULL) {
        free(fresh);
        return NULL;
    }
    pari_private_lock();
    record = find_locked(role);
    if (record == NULL)
        append_locked(fresh);
    pari_private_unlock();
    if (record != NULL) { /* another thread was quicker */
        pari_handle_free(fresh->handle);
        free(fresh);
    }
    return record ? record->handle : fresh->handle;
}

static par_process *
known_relative(enum role role)
{
    struct record *record;

    pari_private_lock();
    record = find_locked(role);
    pari_private_unlock();
    return record ? record->handle : NULL;
}

par_process *
par_process_current(void)
{
    pari_member me = pari_self();
    par_process *known;

    if (me == 0)
        return NULL;
    pari_at_fork(forget_records);
    known = known_relative(ROLE_SELF);
    return known ? known : relative(ROLE_SELF, pari_identity()->name, me, pari_self_pid());
}

par_process *
par_process_parent(void)
{
    const struct pari_identity *identity = pari_identity();
    par_process *known;

    if (identity->parent == 0)
        return pari_null(ENOENT);
    pari_at_fork(forget_records);
    known = known_relative(ROLE_PARENT);
    return known ? known : relative(ROLE_PARENT, identity->parent_name, identity->parent, identity->parent_pid);
}

/* The next child after that serial, to be let go: another thread may free its handle meanwhile. */
static struct record *
next_child(uint64_t serial)
{
    struct record *record;

    pari_private_lock();
    for (record = records; record != NULL && (record->serial <= serial || record->role != ROLE_CHILD); record = record->next)
        ;
    if (record != NULL)
        record->n_users++;
    pari_private_unlock();
    return record;
}

size_t
par_process_active_children(par_process **list, size_t max)
{
    struct record *record;
    uint64_t serial = 0;
    size_t n = 0;

    pari_child_reap_dropped();
    while ((record = next_child(serial)) != NULL) {
        serial = record->serial;
        if (pari_child_poll(record->child) == 0) {
            if (list != NULL && n < max)
                list[n] = record->handle;
            n++;
        }
        let_go(record);
    }
    return n;
}

int
par_cpu_count(void)
{
    return pari_n_cpus();
}
