/* SPDX-License-Identifier: MIT
 *
 * child.c: a child process as such: its birth, its end, and that nobody kills or reaps another one in its place.
 *
 * A child's end is found by reaping exactly it, through its pidfd where there is one. From then on its pid may belong to a
 * stranger, so reaping and killing both happen under the private lock and look at is_ended first. Waiting is a poll of the
 * pidfd, without one a nap on its alive word.
 *
 * What a child cannot do at its birth (its record lock, its life line) it tells by ending with the errno as exit code before
 * its slot carries a pid: nothing else ends so, and the start need not wait for an answer.
 *
 * Private to the process: every struct pari_child and the list of the dropped, guarded by the private lock. A forked child
 * forgets them: they are its parent's.
 * If a process dies here: its own children are orphans then; the kernel ends the daemons among them, and each one's slot is
 * released by whoever finds both dead.
 */
#include "birth.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICE_NS 500000000 /* the kernel wakes a poll of a pidfd: slices are for par_interrupt alone */

static struct pari_child *dropped; /* they run, or are zombies */

static void
forget_children(void)
{
    while (dropped != NULL) {
        struct pari_child *child = dropped;
        dropped = child->next;
        free(child);
    }
}

static void
flush_output(void)
{
    (void)fflush(stdout); /* a full disk or a closed pipe is the program's own affair, which its next write will tell */
    (void)fflush(stderr);
}

/* ---- birth */

static int
be_born(const struct pari_birth *birth)
{
    if (birth->is_group && pari_group_begin() != 0)
        return -1;
    if (birth->environment != NULL)
        pari_set_environment(birth->environment);
    if (pari_set_stdio(birth->stdio) != 0)
        return -1;
    if (birth->is_service && pari_fd_devnull(STDIN_FILENO) != 0)
        return -1;
    if (birth->line >= 0 && pari_fd_die_with(birth->line, birth->is_group) != 0)
        return -1;
    return pari_member_born(birth->member);
}

_Noreturn void
pari_child_live(const struct pari_birth *birth)
{
    int code;

    if (be_born(birth) != 0)
        pari_exit_now(errno);
    free(birth->drop[0]);
    free(birth->drop[1]);
    pari_identity_set(&birth->identity);
    pari_set_name(birth->identity.name);
    code = birth->main(birth->arg) & 255;
    pari_finalize();
    flush_output();
    pari_member_set_exit(code);
    pari_exit_now(code);
}

static int
fork_child(struct pari_birth *birth, const struct pari_child_opts *opts, struct pari_child *child)
{
    int keep[PARI_MAX_KEEP + 1];
    unsigned n = 0;

    if (opts->env != NULL && (birth->environment = pari_environment(opts->env)) == NULL)
        return -1;
    birth->is_group = opts->is_group;
    memcpy(birth->stdio, opts->stdio, sizeof birth->stdio);
    while (n < opts->n_keep && n < PARI_MAX_KEEP) {
        keep[n] = opts->keep[n];
        n++;
    }
    if (birth->line >= 0)
        keep[n++] = birth->line;
    child->pid = pari_fork(keep, n, opts->is_service);
    if (child->pid == 0)
        pari_child_live(birth);
    free(birth->environment);
    return child->pid > 0 ? 0 : -1;
}

/* One that is no copy of this process. */
static int
order_child(const struct pari_birth *birth, const struct pari_child_opts *opts, struct pari_child *child)
{
    struct pari_order *order = pari_order_new(birth->main, birth->arg, opts, birth);

    if (order == NULL)
        return -1;
    if (opts->method == PAR_FORKSERVER)
        return pari_forkserver_fork(order, child); /* an order that is not followed is swept with its member */
    child->pid = pari_order_exec(order);
    return child->pid > 0 ? 0 : -1;
}

static int
make_process(struct pari_birth *birth, const struct pari_child_opts *opts, struct pari_child *child)
{
    bool is_fork = opts->method == PAR_FORK || opts->method == PAR_START_STANDARD;

    flush_output();
    if ((is_fork ? fork_child(birth, opts, child) : order_child(birth, opts, child)) != 0)
        return -1;
    pari_member_forked(birth->member, child->pid);
    if (child->pidfd < 0 && child->foster == 0)
        child->pidfd = pari_pidfd(child->pid);
    return 0;
}

static struct pari_identity
identity_of_child(const struct pari_child_opts *opts)
{
    const struct pari_identity *mine = pari_identity();

    return (struct pari_identity){
        .name = opts->name ? opts->name : mine->name,
        .numbers = opts->identity ? opts->identity : mine->numbers,
        .parent_name = mine->name,
        .parent = pari_self(),
        .parent_pid = pari_self_pid(),
    };
}

static struct pari_child *
start_child(struct pari_birth *birth, const struct pari_child_opts *opts)
{
    struct pari_child *child = pari_malloc(sizeof *child);
    int line[2] = { -1, -1 };

    if (child == NULL || (opts->is_daemon && pari_fd_lifeline(line) != 0))
        goto fail;
    *child = (struct pari_child){ .member = birth->member, .pidfd = -1, .lifeline = line[0], .is_group = opts->is_group };
    birth->line = line[1];
    birth->drop[0] = child;
    birth->drop[1] = opts->drop;
    if (opts->is_daemon)
        pari_member_bind(birth->member);
    if (make_process(birth, opts, child) != 0)
        goto fail;
    pari_fd_close(line[1]);
    return child;
fail:
    pari_fd_close(line[0]);
    pari_fd_close(line[1]);
    free(child);
    return NULL;
}

struct pari_child *
pari_child_start(int (*main)(void *arg), void *arg, const struct pari_child_opts *opts)
{
    struct pari_birth birth = { .main = main, .arg = arg, .member = opts->member, .is_service = opts->is_service };
    struct pari_child *child = NULL;
    int cancel = pari_cancel_off();

    (void)pari_at_fork(forget_children);
    pari_child_reap_dropped();
    if (birth.member == 0)
        birth.member = pari_member_reserve();
    if (birth.member != 0) {
        birth.identity = identity_of_child(opts);
        child = start_child(&birth, opts);
        if (child == NULL)
            pari_member_release(birth.member);
        else
            par_log(PAR_LOG_DEBUG, "%s started, pid %d", birth.identity.name, (int)child->pid);
    }
    pari_cancel_restore(cancel);
    return child;
}

/* ---- the end */

static void
note_end(struct pari_child *child, int code)
{
    child->is_ended = true;
    child->exit = code;
    if (code > 0 && pari_member_pid(child->member) == 0) {
        child->error = code;
        child->exit = PAR_EXIT_UNKNOWN;
    }
}

/* Somebody else has taken its exit status. */
static int
code_left(const struct pari_child *child)
{
    int code;

    return pari_member_exit(child->member, &code) == 0 ? code : PAR_EXIT_UNKNOWN;
}

/* Has the server ended, so that its children have another parent: init, or this process, if it is one for orphans? */
static bool
is_orphan(const struct pari_child *child)
{
    pid_t server;

    if (child->foster == pari_self())
        return true;
    server = pari_member_is_dead(child->foster) ? pari_member_pid(child->foster) : -1;
    return server == 0 || (server > 0 && pari_pid_has_ended(server));
}

static bool
is_gone(const struct pari_child *child)
{
    int gone = child->pidfd >= 0 ? pari_fd_poll(child->pidfd, POLLIN, 0) : -1;

    if (gone == 0 && child->foster != pari_self()) /* an orphan's pid may have been another one's by the time it was opened */
        return false;
    return gone == 1 || pari_member_is_dead(child->member);
}

/* A forkserver's child. It has ended when it is gone and its end was told, or nobody is left who could tell it. */
static bool
reap_foster(struct pari_child *child)
{
    bool is_alone = is_orphan(child); /* before the look at what was told */
    int reaped;
    struct pari_exit how;

    if (!is_gone(child))
        return false;
    reaped = is_alone && child->pidfd >= 0 ? pari_reap(child->pid, child->pidfd, &how) : -1;
    if (reaped == 0) /* ours by now, and about to be gone */
        return false;
    if (reaped < 0) {
        how.code = code_left(child);
        if (how.code == PAR_EXIT_UNKNOWN && !pari_pidfd_exit(child->pidfd, &how) && !is_alone)
            return false;
    }
    if (child->is_group)
        (void)pari_group_kill(child->pid, child->pidfd, SIGKILL);
    note_end(child, how.code);
    return true;
}

/* What is left of a group ends before its leader is reaped: until then its number is nobody else's. False: the leader runs. */
static bool
end_group(const struct pari_child *child)
{
    int ended = pari_has_ended(child->pid, child->pidfd);

    if (ended != 0)
        (void)pari_group_kill(child->pid, child->pidfd, SIGKILL);
    return ended != 0;
}

/* Under the private lock. True if its end has been found just now: the caller then releases its member, without the lock. */
static bool
reap(struct pari_child *child)
{
    struct pari_exit how = { 0 };
    int result;

    if (child->is_ended)
        return false;
    if (child->foster != 0)
        return reap_foster(child);
    if (child->is_group && !end_group(child))
        return false;
    result = pari_reap(child->pid, child->pidfd, &how);
    if (result < 0 && errno != ECHILD) /* the program has closed our pidfd */
        result = pari_reap(child->pid, -1, &how);
    if (result != 0)
        note_end(child, result == 1 ? how.code : code_left(child));
    return result != 0;
}

int
pari_child_poll(struct pari_child *child)
{
    int saved = errno, cancel = pari_cancel_off();
    bool is_new, is_ended;

    pari_private_lock();
    is_new = reap(child);
    is_ended = child->is_ended;
    pari_private_unlock();
    if (is_new) {
        pari_member_release(child->member);
        par_log(PAR_LOG_DEBUG, "pid %d ended with %d", (int)child->pid, child->exit);
    }
    pari_cancel_restore(cancel);
    errno = saved;
    return is_ended;
}

/* Without a pidfd, or when it says what is not so: until the alive word is marked, or a slice. A foster child that is gone: until
 * its end is told. */
static int
nap_beside(const struct pari_child *child, struct pari_nap *nap, par_time deadline)
{
    bool is_gone = child->foster != 0 && pari_member_is_dead(child->member);
    uint32_t none;
    const _Atomic uint32_t *word = pari_member_exit_word(child->member, &none);

    return pari_nap(nap, word, none, is_gone ? &child->foster : &child->member, 1, deadline);
}

int
pari_child_wait(struct pari_child *child, par_time deadline)
{
    struct pari_nap nap = { 0 };
    bool may_poll = true;

    while (pari_child_poll(child) == 0) {
        if (pari_is_over(deadline))
            return pari_fail(ETIMEDOUT);
        if (pari_is_interrupted())
            return pari_fail(EINTR);
        if (may_poll && child->pidfd >= 0) /* not 0: the child has ended; if poll is wrong there, nap once */
            may_poll = pari_fd_poll(child->pidfd, POLLIN, pari_slice_end(deadline, SLICE_NS)) == 0;
        else if (nap_beside(child, &nap, deadline) != 0)
            return -1;
        else
            may_poll = true;
    }
    return 0;
}

/* A leader that has gone to another group is meant as well. */
static int
signal_locked(const struct pari_child *child, int signal)
{
    bool was_hit = child->is_group && pari_group_kill(child->pid, child->pidfd, signal) && pari_leads_group(child->pid);

    return was_hit ? 0 : pari_kill(child->pid, child->pidfd, signal);
}

int
pari_child_kill(struct pari_child *child, int signal)
{
    int result = 0, cancel = pari_cancel_off();

    if (pari_child_poll(child) == 0) {
        pari_private_lock();
        if (!child->is_ended)
            result = signal_locked(child, signal);
        pari_private_unlock();
    }
    pari_cancel_restore(cancel);
    return result;
}

/* ---- forgetting */

static void
bury(struct pari_child *child)
{
    pari_fd_close(child->pidfd);
    pari_fd_close(child->lifeline);
    free(child);
}

void
pari_child_drop(struct pari_child *child)
{
    int saved = errno;

    if (child == NULL)
        return;
    if (pari_child_poll(child) == 1)
        bury(child);
    else {
        pari_private_lock();
        child->next = dropped;
        dropped = child;
        pari_private_unlock();
    }
    errno = saved;
}

/* One of the dropped that has ended, taken off the list; NULL if there is none. */
static struct pari_child *
take_ended(void)
{
    struct pari_child **link = &dropped, *child;

    pari_private_lock();
    while ((child = *link) != NULL && !reap(child))
        link = &child->next;
    if (child != NULL)
        *link = child->next;
    pari_private_unlock();
    return child;
}

void
pari_child_reap_dropped(void)
{
    struct pari_child *child;
    int saved = errno, cancel = pari_cancel_off();

    while ((child = take_ended()) != NULL) {
        pari_member_release(child->member);
        bury(child);
    }
    pari_cancel_restore(cancel);
    errno = saved;
}
