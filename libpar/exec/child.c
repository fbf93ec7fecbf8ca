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
#include "exec.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLICE_NS 500000000 /* the kernel wakes a poll of a pidfd: slices are for par_interrupt alone */

/* What the child needs until its main runs. */
struct birth {
    int (*main)(void *arg);
    void *arg;
    const struct pari_child_opts *opts;
    struct pari_identity identity;
    pari_member member;
    int line[2];               /* ours, the child's; -1 */
    struct pari_child *record; /* the parent's, made before the fork: the child drops its copy */
};

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
be_born(const struct birth *birth)
{
    if (birth->opts->is_service && pari_fd_devnull(STDIN_FILENO) != 0)
        return -1;
    if (birth->line[1] >= 0 && pari_fd_die_with(birth->line[1]) != 0)
        return -1;
    return pari_member_born(birth->member);
}

static _Noreturn void
live(const struct birth *birth)
{
    int code;

    if (be_born(birth) != 0)
        pari_exit_now(errno);
    free(birth->record);
    free(birth->opts->drop);
    pari_identity_set(&birth->identity);
    code = birth->main(birth->arg) & 255;
    flush_output();
    pari_member_set_exit(code);
    pari_exit_now(code);
}

static pid_t
fork_child(const struct birth *birth)
{
    const struct pari_child_opts *opts = birth->opts;
    int keep[PARI_MAX_KEEP + 1];
    unsigned n = 0;
    pid_t pid;

    while (n < opts->n_keep && n < PARI_MAX_KEEP) {
        keep[n] = opts->keep[n];
        n++;
    }
    if (birth->line[1] >= 0)
        keep[n++] = birth->line[1];
    flush_output();
    pid = pari_fork(keep, n, opts->is_service);
    if (pid == 0)
        live(birth);
    return pid;
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
start_child(struct birth *birth)
{
    struct pari_child *child = pari_malloc(sizeof *child);
    pid_t pid;

    if (child == NULL || (birth->opts->is_daemon && pari_fd_lifeline(birth->line) != 0))
        goto fail;
    birth->record = child;
    if (birth->opts->is_daemon)
        pari_member_bind(birth->member);
    pid = fork_child(birth);
    if (pid < 0)
        goto fail;
    pari_fd_close(birth->line[1]);
    pari_member_forked(birth->member, pid);
    child->member = birth->member;
    child->pid = pid;
    child->pidfd = pari_pidfd(pid);
    child->lifeline = birth->line[0];
    return child;
fail:
    pari_fd_close(birth->line[0]);
    pari_fd_close(birth->line[1]);
    free(child);
    return NULL;
}

struct pari_child *
pari_child_start(int (*main)(void *arg), void *arg, const struct pari_child_opts *opts)
{
    struct birth birth = { .main = main, .arg = arg, .opts = opts, .member = opts->member, .line = { -1, -1 } };
    struct pari_child *child = NULL;
    int cancel = pari_cancel_off();

    (void)pari_at_fork(forget_children);
    pari_child_reap_dropped();
    if (birth.member == 0)
        birth.member = pari_member_reserve();
    if (birth.member != 0) {
        birth.identity = identity_of_child(opts);
        child = start_child(&birth);
        if (child == NULL)
            pari_member_release(birth.member);
    }
    pari_cancel_restore(cancel);
    return child;
}

/* ---- the end */

static void
note_end(struct pari_child *child, bool is_reaped, int code)
{
    child->is_ended = true;
    child->exit = code;
    if (is_reaped && code > 0 && pari_member_pid(child->member) == 0) {
        child->error = code;
        child->exit = PAR_EXIT_UNKNOWN;
    }
    if (!is_reaped && pari_member_exit(child->member, &child->exit) != 0)
        child->exit = PAR_EXIT_UNKNOWN;
}

/* Under the private lock. True if its end has been found just now: the caller then releases its member, without the lock. */
static bool
reap(struct pari_child *child)
{
    struct pari_exit how = { 0 };
    int result;

    if (child->is_ended)
        return false;
    result = pari_reap(child->pid, child->pidfd, &how);
    if (result < 0 && errno != ECHILD) /* the program has closed our pidfd */
        result = pari_reap(child->pid, -1, &how);
    if (result != 0)
        note_end(child, result == 1, how.code);
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
    if (is_new)
        pari_member_release(child->member);
    pari_cancel_restore(cancel);
    errno = saved;
    return is_ended;
}

/* Without a pidfd, or when it says what is not so: until the alive word is marked, or a slice. */
static int
nap_beside(const struct pari_child *child, struct pari_nap *nap, par_time deadline)
{
    static _Atomic uint32_t never;

    return pari_nap(nap, &never, 0, &child->member, 1, deadline);
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

int
pari_child_kill(struct pari_child *child, int signal)
{
    int result = 0, cancel = pari_cancel_off();

    if (pari_child_poll(child) == 0) {
        pari_private_lock();
        if (!child->is_ended)
            result = pari_kill(child->pid, child->pidfd, signal);
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
