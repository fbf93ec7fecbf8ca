/* SPDX-License-Identifier: MIT
 *
 * process.c: par_process, the public face of a child (child.c): its start, its life, its end. Handles are kept in
 * process_list.c; the calls on them know this process itself and its parent as well (relatives.c).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../channel/conn.h"
#include "birth.h"
#include "process_list.h"

/* ---- start */

/* What a start collects, and gives back when it fails. */
struct start {
    char *numbers, *name;
    void *copy; /* of the argument */
    struct pari_relative *relative;
    pari_member member;
    int method;
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

static int
check_setting(const par_process_opts *opts)
{
    const int fd[] = { opts->in, opts->out, opts->err };

    for (int i = 0; i < 3; i++)
        if (fd[i] != 0 && !pari_fd_is_open(fd[i]))
            return pari_fail(EBADF);
    for (const char *const *line = opts->env; line != NULL && *line != NULL; line++)
        if (**line == '\0' || **line == '=')
            return pari_fail(EINVAL);
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
make_relative(struct start *start)
{
    start->relative = pari_malloc(sizeof *start->relative);
    if (start->relative == NULL)
        return -1;
    start->relative->handle = pari_process_handle(start->name);
    return start->relative->handle ? 0 : -1;
}

static int
copy_argument(struct start *start, const void *arg, size_t size)
{
    if (size == 0 || start->method != PAR_FORK) /* then the order carries it */
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
    if (start->name == NULL || make_relative(start) != 0 || copy_argument(start, arg, arg_size) != 0)
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
run(struct start *start, int (*fn)(void *arg), const void *arg, size_t arg_size, const par_process_opts *o)
{
    bool is_fork = start->method == PAR_FORK;
    struct pari_child_opts opts = { .keep = start->keep,
                                    .n_keep = start->n_give,
                                    .ends = start->give,
                                    .method = start->method,
                                    .arg_size = is_fork ? 0 : arg_size,
                                    .member = start->member,
                                    .name = start->name,
                                    .identity = start->numbers,
                                    .is_daemon = o->daemon,
                                    .env = o->env,
                                    .stdio = { o->in, o->out, o->err },
                                    .is_group = o->group,
                                    .drop = start->relative };
    struct pari_child *child;

    give_ends(start);
    child = pari_child_start(fn, is_fork && arg_size > 0 ? start->copy : (void *)(uintptr_t)arg, &opts);
    start->member = 0; /* the child's, or released */
    settle_ends(start, child != NULL);
    if (child == NULL)
        return -1;
    start->relative->child = child;
    start->relative->pid = child->pid;
    pari_relative_list(start->relative);
    return 0;
}

static void
clean_up(struct start *start, bool has_started)
{
    int saved = errno;

    if (!has_started) {
        if (start->relative != NULL)
            pari_handle_free(start->relative->handle);
        free(start->relative);
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
    struct start start = { 0 };
    par_process *process = NULL;
    int cancel;

    if (fn == NULL || (arg == NULL && arg_size > 0))
        return pari_null(EINVAL);
    if (opts == NULL)
        opts = &defaults;
    start.give = opts->give;
    start.n_give = count_given(opts->give);
    start.method = pari_method(opts->start_method);
    if (start.method < 0 || pari_self() == 0 || check_given(&start) != 0 || check_setting(opts) != 0)
        return NULL;
    cancel = pari_cancel_off();
    if (prepare(&start, arg, arg_size, opts->name) == 0 && run(&start, fn, arg, arg_size, opts) == 0)
        process = start.relative->handle;
    clean_up(&start, process != NULL);
    pari_cancel_restore(cancel);
    return process;
}

void
par_process_free(par_process *process)
{
    int saved = errno;
    struct pari_relative *relative = process ? pari_relative_of(process) : NULL;

    if (relative != NULL && relative->role == PARI_ROLE_CHILD) {
        pari_relative_forget(relative);
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
    struct pari_nap nap = { 0 };

    while (!pari_member_is_dead(parent))
        if (pari_nap(&nap, &never, 0, &parent, 1, deadline) != 0)
            return -1;
    return 0;
}

int
par_process_join(par_process *process, par_time deadline)
{
    struct pari_relative *relative = pari_relative_of(process);

    if (relative == NULL)
        return -1;
    switch (relative->role) {
    case PARI_ROLE_SELF: return pari_fail(EDEADLK);
    case PARI_ROLE_PARENT: return wait_for_parent(relative->member, deadline);
    default: return pari_child_wait(relative->child, deadline);
    }
}

static bool
is_alive(const struct pari_relative *relative)
{
    switch (relative->role) {
    case PARI_ROLE_SELF: return true;
    case PARI_ROLE_PARENT: return !pari_member_is_dead(relative->member);
    default: return pari_child_poll(relative->child) == 0;
    }
}

int
par_process_exitcode(const par_process *process)
{
    struct pari_relative *relative = pari_relative_of(process);

    if (relative == NULL)
        return PAR_EXIT_UNKNOWN;
    if (is_alive(relative))
        return PAR_EXIT_RUNNING;
    if (relative->role != PARI_ROLE_CHILD)
        return PAR_EXIT_UNKNOWN;
    if (relative->child->error != 0)
        pari_say("%s could not begin: %s", process->name, strerror(relative->child->error));
    return relative->child->exit;
}

bool
par_process_is_alive(const par_process *process)
{
    struct pari_relative *relative = pari_relative_of(process);

    return relative != NULL && is_alive(relative);
}

pid_t
par_process_pid(const par_process *process)
{
    struct pari_relative *relative = pari_relative_of(process);

    return relative ? relative->pid : -1;
}

const char *
par_process_name(const par_process *process)
{
    return pari_relative_of(process) ? process->name : NULL;
}

static int
send_signal(const par_process *process, int signal)
{
    struct pari_relative *relative = pari_relative_of(process);

    if (relative == NULL)
        return -1;
    switch (relative->role) {
    case PARI_ROLE_SELF: return pari_kill(relative->pid, -1, signal);
    case PARI_ROLE_PARENT: return pari_fail(EPERM);
    default: return pari_child_kill(relative->child, signal);
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
    struct pari_relative *relative = pari_relative_of(process);

    if (relative == NULL)
        return -1;
    if (relative->role != PARI_ROLE_CHILD)
        return pari_fail(EPERM);
    return relative->child->pidfd >= 0 ? relative->child->pidfd : pari_fail(ENOTSUP);
}

int
par_cpu_count(void)
{
    return pari_n_cpus();
}
