/* SPDX-License-Identifier: MIT
 *
 * order.c: what a process that is no copy of its parent is told: which function to run on what, who it is, which descriptors are
 * its own. A program that is started anew learns from one line of its environment where the arena is and, in it, its order.
 *
 * Shared state: the order, written by the parent before anybody else knows of it, and only read afterwards. It is a block of the
 * new member's, and is swept with it.
 * If a process dies here: the parent, before the new process has joined: it comes alone, or finds that its member was given up.
 */
#include "birth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../channel/conn.h"

#define LINE "PAR_SPAWN"

/* ---- writing one */

int
pari_travels(const void *p)
{
    if (p == NULL || pari_in_arena(p))
        return 0;
    pari_say("a pointer without a size must lie in shared memory: a process that is no fork does not see this one");
    return pari_fail(EINVAL);
}

static const char *
store(char **at, const char *text)
{
    char *copy = *at;

    *at += strlen(text) + 1;
    return strcpy(copy, text);
}

static size_t
size_of_lines(const char *const *line, unsigned *n)
{
    size_t size = 0;

    for (*n = 0; line != NULL && line[*n] != NULL; ++*n)
        size += strlen(line[*n]) + 1;
    return size;
}

/* A daemon's life line is the last. */
static void
store_descriptors(struct pari_order *order, const struct pari_child_opts *opts, int line)
{
    for (; order->n_fd < opts->n_keep; order->n_fd++) {
        order->fd[order->n_fd] = opts->keep[order->n_fd];
        order->end[order->n_fd] = opts->ends != NULL ? opts->ends[order->n_fd] : NULL;
    }
    for (int i = 0; i < 3; i++)
        if (opts->stdio[i] != 0) {
            order->fd[order->n_fd] = opts->stdio[i];
            order->stdio[i] = ++order->n_fd;
        }
    if (line >= 0)
        order->fd[order->n_fd++] = line;
}

struct pari_order *
pari_order_new(int (*main)(void *arg), const void *arg, const struct pari_child_opts *opts, const struct pari_birth *birth)
{
    const struct pari_identity *identity = &birth->identity;
    unsigned n_env;
    size_t texts = strlen(identity->name) + strlen(identity->numbers) + strlen(identity->parent_name) + 3 +
                   size_of_lines(opts->env, &n_env);
    size_t copied = (opts->arg_size + PARI_CACHE_LINE - 1) / PARI_CACHE_LINE * PARI_CACHE_LINE;
    struct pari_code code;
    struct pari_order *order;
    char *at;

    if (copied < opts->arg_size || copied > PTRDIFF_MAX)
        return pari_null(EOVERFLOW);
    if ((opts->arg_size == 0 && pari_travels(arg) != 0) || pari_code_of((void (*)(void))main, &code) != 0)
        return NULL;
    order = pari_heap_alloc(1, PARI_ORDER_SIZE + copied + texts, birth->member);
    if (order == NULL)
        return NULL;
    *order = (struct pari_order){ .main = code,
                                  .arg = (void *)(uintptr_t)arg,
                                  .member = birth->member,
                                  .parent = identity->parent,
                                  .parent_pid = identity->parent_pid,
                                  .method = par_start_method(),
                                  .log_level = par_log_level(),
                                  .is_service = birth->is_service,
                                  .is_daemon = birth->line >= 0,
                                  .is_group = opts->is_group,
                                  .n_env = n_env };
    at = (char *)order + PARI_ORDER_SIZE;
    if (opts->arg_size > 0)
        order->arg = memcpy(at, arg, opts->arg_size);
    at += copied;
    order->name = store(&at, identity->name);
    order->numbers = store(&at, identity->numbers);
    order->parent_name = store(&at, identity->parent_name);
    order->env = at;
    for (unsigned i = 0; i < n_env; i++)
        (void)store(&at, opts->env[i]);
    store_descriptors(order, opts, birth->line);
    return order;
}

pid_t
pari_order_exec(const struct pari_order *order)
{
    struct pari_arena_place place = pari_arena_place();
    int keep[PARI_MAX_PASS + 1];
    char line[120];

    (void)snprintf(line, sizeof line, LINE "=%d,%" PRIxPTR ",%" PRIx64 ",%" PRIxPTR ",%" PRIx64, place.fd, place.at, place.size,
                   (uintptr_t)order, order->member);
    memcpy(keep, order->fd, order->n_fd * sizeof *keep);
    keep[order->n_fd] = place.fd;
    return pari_exec_self(line, keep, order->n_fd + 1, order->is_service);
}

/* ---- following one */

static bool
is_stdio(const struct pari_order *order, unsigned i)
{
    return order->stdio[0] == i + 1 || order->stdio[1] == i + 1 || order->stdio[2] == i + 1;
}

/* The ends of pipes are this process's since before it began; here are their descriptors. */
static void
take_descriptors(const struct pari_order *order, const int *fd)
{
    for (unsigned i = 0; i < order->n_fd; i++) {
        if (is_stdio(order, i))
            continue;
        if (pari_exec_keep(fd[i], true) != 0)
            pari_exit_now(errno);
        if (order->end[i] != NULL)
            pari_conn_settle(order->end[i], fd[i]);
    }
}

static const char *
private_copy(const char *text)
{
    char *copy = pari_malloc(strlen(text) + 1);

    if (copy == NULL)
        pari_exit_now(errno);
    return strcpy(copy, text);
}

static void
take_stdio(struct pari_birth *birth, const struct pari_order *order, const int *fd)
{
    for (int i = 0; i < 3; i++)
        birth->stdio[i] = order->stdio[i] != 0 ? fd[order->stdio[i] - 1] : 0;
    if (pari_set_stdio(birth->stdio) != 0)
        pari_exit_now(errno);
    for (int i = 0; i < 3; i++) {
        if (birth->stdio[i] > 2) /* it came for this alone */
            pari_fd_close(birth->stdio[i]);
        birth->stdio[i] = 0;
    }
}

static char **
environment_of(const struct pari_order *order)
{
    const char **line = pari_malloc((order->n_env + 1) * sizeof *line);
    const char *at = order->env;
    char **all;

    if (line == NULL)
        pari_exit_now(errno);
    for (unsigned i = 0; i < order->n_env; i++) {
        line[i] = private_copy(at);
        at += strlen(at) + 1;
    }
    all = pari_environment(line);
    free(line);
    if (all == NULL)
        pari_exit_now(errno);
    return all;
}

_Noreturn void
pari_order_obey(const struct pari_order *order, pari_member member, unsigned attempt, const int *fd)
{
    struct pari_birth birth;

    if (!pari_member_claim(member) || !pari_member_begin(member, attempt))
        pari_exit_now(ESRCH); /* another one has been started in its place, or it was given up: nobody asks for this one */
    if (fd == NULL)
        fd = order->fd;
    birth = (struct pari_birth){ .arg = order->arg,
                                 .member = order->member,
                                 .line = order->is_daemon ? fd[order->n_fd - 1] : -1,
                                 .is_service = order->is_service,
                                 .identity = { .parent = order->parent, .parent_pid = order->parent_pid } };
    birth.main = (int (*)(void *))pari_code_find(&order->main);
    if (birth.main == NULL)
        pari_exit_now(ENOEXEC); /* a library that is not loaded here */
    take_descriptors(order, fd);
    take_stdio(&birth, order, fd);
    birth.is_group = order->is_group;
    birth.environment = order->n_env > 0 ? environment_of(order) : NULL;
    birth.identity.name = private_copy(order->name);
    birth.identity.numbers = private_copy(order->numbers);
    birth.identity.parent_name = private_copy(order->parent_name);
    pari_method_inherit(order->method);
    par_log_to_stderr(order->log_level);
    pari_child_live(&birth);
}

static void
follow(const char *line)
{
    struct pari_arena_place place;
    pari_member member;
    uintptr_t at;

    if (sscanf(line, "%d,%" SCNxPTR ",%" SCNx64 ",%" SCNxPTR ",%" SCNx64, &place.fd, &place.at, &place.size, &at, &member) != 5)
        pari_exit_now(EINVAL);
    if (pari_exec_keep(place.fd, false) != 0 || pari_attach(&place) != 0)
        pari_exit_now(errno);
    if (!pari_in_heap((const void *)at))
        pari_exit_now(EINVAL);
    pari_order_obey((const struct pari_order *)at, member, 0, NULL);
}

void
par_spawn_support(void)
{
    char *line = pari_exec_line(LINE);

    if (line != NULL)
        follow(line);
    if (!pari_exec_is_secure() && !pari_exec_is_loader())
        pari_method_allow();
}
