/* SPDX-License-Identifier: MIT
 *
 * forkserver.c: a process of one thread, started anew and therefore small, that forks children for this one at any time.
 *
 * The server is a daemon of its client's and serves nobody else. It answers each order with the child's pid and pidfd, reaps the
 * child, and tells its end in the child's slot. What the client watches is the pidfd, so that a child's end is known to it at once;
 * only its exit code is lost if the server has died, and the kernel is not one that remembers it.
 *
 * Shared state: the order, and the slot's attempt (registry.c).
 * Lock order: client.lock, then the registry's, then the heap's.
 * If a process dies here: the server at any moment: its client makes the attempt void, or finds that the child has begun, and takes
 * it as it is; else it starts another server and tries again. The client: the server ends with it, and so do the daemons.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "../os/socket.h"
#include "birth.h"

#define ATTEMPTS 5
#define SLICE_NS 500000000     /* between two looks at the other side's life */
#define PATIENCE_NS 1000000000 /* from a child's first step to its birth; from the server's last request to its end */
#define IDLE_NS 5000000000     /* of a server that nobody asks; whatever happens wakes it */
#define MAX_READY 16
#define UNWATCHED_NS 5000000 /* between two looks at children without a descriptor */

struct request {
    const struct pari_order *order; /* may be read by who has claimed the member */
    pari_member member;
    uint32_t attempt;
    bool is_service, is_group;
};

struct answer {
    int32_t pid; /* with a descriptor, unless there was none to be had; or -1 */
    int32_t error;
};

/* ---- the server */

struct ward { /* a child of the server's */
    struct ward *next;
    pari_member member;
    pid_t pid;
    int pidfd;
    bool is_group;
};

struct server {
    int socket, epoll;
    struct ward *unwatched; /* without a descriptor: they are asked for now and then */
    struct ward *newest;    /* NULL: it has ended */
};

static bool
has_ended(const struct ward *ward)
{
    struct pari_exit how = { PAR_EXIT_UNKNOWN };
    int result;

    if (ward->is_group && pari_has_ended(ward->pid, ward->pidfd) == 0)
        return false;
    if (ward->is_group)
        (void)pari_group_kill(ward->pid, ward->pidfd, SIGKILL);
    result = pari_reap(ward->pid, ward->pidfd, &how);

    if (result == 1)
        pari_member_tell_exit(ward->member, how.code);
    return result != 0;
}

static void
forget_ward(struct server *server, struct ward *ward)
{
    if (server->newest == ward)
        server->newest = NULL;
    if (ward->pidfd >= 0) {
        pari_epoll_remove(server->epoll, ward->pidfd); /* the client has a copy */
        pari_fd_close(ward->pidfd);
    }
    free(ward);
}

static void
ask_unwatched(struct server *server)
{
    struct ward **link = &server->unwatched, *ward;

    while ((ward = *link) != NULL)
        if (has_ended(ward)) {
            *link = ward->next;
            forget_ward(server, ward);
        } else
            link = &ward->next;
}

static void
watch(struct server *server, struct ward *ward)
{
    ward->pidfd = pari_pidfd(ward->pid);
    if (ward->pidfd >= 0 && pari_epoll_add(server->epoll, ward->pidfd, PARI_READABLE, ward) == 0)
        return;
    pari_fd_close(ward->pidfd);
    ward->pidfd = -1;
    ward->next = server->unwatched;
    server->unwatched = ward;
}

/* NULL: it could not be forked. */
static struct ward *
fork_for(struct server *server, const struct request *request, const int *fd)
{
    struct ward *ward = pari_malloc(sizeof *ward);

    if (ward == NULL)
        return NULL;
    ward->member = request->member;
    ward->is_group = request->is_group;
    ward->pid = pari_fork(NULL, 0, false); /* its signals are those of a service already, its descriptors closed there */
    if (ward->pid == 0 && !request->is_service)
        pari_heed_interrupt();
    if (ward->pid == 0)
        pari_order_obey(request->order, request->member, request->attempt, fd);
    if (ward->pid < 0) {
        int error = errno;
        free(ward);
        return pari_null(error);
    }
    watch(server, ward);
    return ward;
}

/* The client may not have heard of the last child: it shall find by itself that this one has begun. */
static void
await_birth(const struct ward *ward)
{
    int64_t end = pari_now_ns() + PATIENCE_NS;

    while (ward != NULL && pari_member_pid(ward->member) == 0 && pari_pid_exists(ward->pid) && pari_now_ns() < end)
        pari_pause();
}

static int
answer(struct server *server, const struct ward *ward)
{
    struct answer a = { ward != NULL ? ward->pid : -1, ward != NULL ? 0 : errno };

    if (ward == NULL || ward->pidfd < 0)
        return pari_fd_send(server->socket, &a, sizeof a, NULL, 0);
    return pari_fd_send(server->socket, &a, sizeof a, &ward->pidfd, 1);
}

/* -1: the client is gone. */
static int
serve(struct server *server)
{
    struct request request;
    struct ward *ward;
    int fd[PARI_MAX_PASS], n = pari_fd_receive(server->socket, &request, sizeof request, fd, PARI_MAX_PASS), result;

    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0 && errno == EMFILE)
        return answer(server, NULL);
    if (n < 0)
        return -1;
    ward = fork_for(server, &request, fd);
    server->newest = ward;
    result = answer(server, ward);
    while (n > 0)
        pari_fd_close(fd[--n]);
    return result;
}

/* Do what is due, waiting for it until then. False: nothing was. */
static bool
attend(struct server *server, bool *has_client, int64_t until)
{
    struct pari_ready ready[MAX_READY];
    int n = pari_epoll_wait(server->epoll, ready, MAX_READY, until);

    ask_unwatched(server);
    for (int i = 0; i < n; i++) {
        struct ward *ward = ready[i].owner;
        if (ward == NULL)
            *has_client = *has_client && serve(server) == 0;
        else if (has_ended(ward))
            forget_ward(server, ward);
        else { /* gone, but a debugger has it: asked for now and then, since its descriptor stays readable */
            pari_epoll_remove(server->epoll, ward->pidfd);
            ward->next = server->unwatched;
            server->unwatched = ward;
        }
    }
    return n > 0;
}

static int
server_main(void *arg)
{
    struct server server = { .socket = *(int *)arg, .epoll = pari_epoll_new() };
    bool has_client = true;

    pari_reset_signals(); /* its standard input is the program's, for its children */
    if (server.epoll < 0 || pari_epoll_add(server.epoll, server.socket, PARI_READABLE, NULL) != 0)
        return 1;
    while (has_client)
        (void)attend(&server, &has_client, pari_now_ns() + (server.unwatched != NULL ? UNWATCHED_NS : IDLE_NS));
    await_birth(server.newest);
    pari_epoll_remove(server.epoll, server.socket);
    while (attend(&server, &has_client, 0)) /* those that have ended leave no zombie to others */
        ;
    return 0;
}

/* ---- the client */

static struct {
    struct pari_mutex lock; /* one start at a time */
    bool is_made;
    struct pari_child *server; /* NULL: none was started, or the last one has died */
    int socket;
} client;

static void
forget_server(void)
{
    free(client.server); /* the parent's */
    client.server = NULL;
    client.is_made = false;
}

static int
make_client(void)
{
    int result = 0;

    (void)pari_at_fork(forget_server);
    pari_private_lock();
    if (!client.is_made)
        result = pari_mutex_init(&client.lock);
    client.is_made = client.is_made || result == 0;
    pari_private_unlock();
    return result;
}

/* It leaves by itself when nobody asks any more, after what it has been asked; if not, it is made to. */
static void
stop_server(void)
{
    struct pari_child *server = client.server;

    client.server = NULL; /* first: a fork of another thread shall not free what we have freed */
    pari_fd_close(client.socket);
    if (pari_child_wait(server, PAR_TIME(pari_now_ns() + PATIENCE_NS)) != 0) {
        (void)pari_child_kill(server, SIGKILL);
        (void)pari_child_wait(server, PAR_TIME(pari_now_ns() + PATIENCE_NS));
    }
    pari_child_drop(server);
}

static int
start_server(void)
{
    int end[2];

    if (pari_fd_lifeline(end) != 0)
        return -1;
    client.server = pari_child_start(server_main, &end[1],
                                     &(struct pari_child_opts){ .keep = &end[1],
                                                                .n_keep = 1,
                                                                .name = "forkserver",
                                                                .is_daemon = true,
                                                                .method = PAR_SPAWN,
                                                                .arg_size = sizeof end[1] });
    pari_fd_close(end[1]);
    if (client.server == NULL)
        pari_fd_close(end[0]);
    client.socket = end[0];
    return client.server != NULL ? 0 : -1;
}

/* -1 EPIPE: it has died. */
static int
read_answer(struct answer *a, int *pidfd)
{
    for (;;) {
        bool is_dead = pari_child_poll(client.server) != 0; /* before the look: what it sent before is there */
        int n = pari_fd_receive(client.socket, a, sizeof *a, pidfd, 1);
        if (n < 0 && errno == EMFILE) /* what was said has been read */
            n = 0;
        if (n == 0)
            *pidfd = -1;
        if (n == 1)
            *pidfd = pari_fd_track(*pidfd);
        if (n >= 0)
            return 0;
        if (errno != EAGAIN || is_dead)
            return pari_fail(EPIPE);
        (void)pari_fd_poll(client.socket, POLLIN, pari_now_ns() + SLICE_NS);
    }
}

/* 0: answered; -1: the server is lost. */
static int
ask(struct pari_order *order, unsigned attempt, struct answer *a, int *pidfd)
{
    struct request request = { order, order->member, attempt, order->is_service, order->is_group };

    if (client.server != NULL && pari_child_poll(client.server) != 0)
        stop_server();
    if (client.server == NULL && start_server() != 0) {
        *a = (struct answer){ -1, errno };
        return 0;
    }
    if (pari_fd_send(client.socket, &request, sizeof request, order->fd, order->n_fd) == 0 && read_answer(a, pidfd) == 0)
        return 0;
    stop_server();
    par_log(PAR_LOG_WARNING, "the forkserver has ended before it answered; another one is started");
    return -1;
}

/* The server is lost: nobody shall begin this attempt any more, but who has begun it goes on without the server. Its descriptor is
 * its own if it lived when that was opened. False: nobody has, or it died before its birth. */
static bool
adopt(pari_member member, unsigned attempt, struct pari_child *child)
{
    int64_t end = pari_now_ns() + PATIENCE_NS;
    bool is_zombie, has_lived;
    struct pari_exit how;

    child->pid = pari_member_void(member, attempt);
    if (child->pid == 0)
        return false;
    child->foster = pari_self(); /* nobody will tell how it ends */
    child->pidfd = pari_pidfd(child->pid);
    while (pari_member_pid(member) == 0 && !pari_member_is_dead(member) && pari_now_ns() < end)
        pari_pause();
    if (!pari_member_is_dead(member))
        return true;
    is_zombie = pari_has_ended(child->pid, child->pidfd) == 1; /* it has come to us, who take orphans in */
    has_lived = pari_member_void(member, attempt) != 0;
    if (is_zombie && has_lived)
        return true;
    if (is_zombie)
        (void)pari_reap(child->pid, child->pidfd, &how);
    pari_fd_close(child->pidfd);
    child->pidfd = -1;
    return has_lived;
}

static int
fork_locked(struct pari_order *order, struct pari_child *child)
{
    struct answer a = { 0 };

    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (ask(order, attempt, &a, &child->pidfd) == 0) {
            child->pid = a.pid;
            child->foster = client.server != NULL ? client.server->member : 0;
            return a.pid > 0 ? 0 : pari_fail(a.error);
        }
        if (adopt(order->member, attempt, child))
            return 0;
    }
    pari_say("the forkserver has ended %d times before it answered", ATTEMPTS);
    return pari_fail(EAGAIN);
}

static int
lock_client(void)
{
    int held = make_client() == 0 ? pari_mutex_enter(&client.lock) : -1;

    if (held == PARI_HELD_AFTER_DEATH) { /* of a thread of ours: between question and answer, perhaps */
        pari_mutex_recovered(&client.lock);
        if (client.server != NULL)
            stop_server();
    }
    return held < 0 ? -1 : 0;
}

void
par_forkserver_stop(void)
{
    int saved = errno, cancel = pari_cancel_off();

    pari_interrupt_mask(1);
    if (lock_client() == 0) {
        if (client.server != NULL)
            stop_server();
        (void)pari_mutex_unlock(&client.lock); /* held by this thread: cannot fail */
    }
    pari_interrupt_mask(-1);
    pari_cancel_restore(cancel);
    errno = saved;
}

int
pari_forkserver_fork(struct pari_order *order, struct pari_child *child)
{
    int result = -1, error;

    pari_interrupt_mask(1);
    if (lock_client() == 0) {
        result = fork_locked(order, child);
        error = errno;
        (void)pari_mutex_unlock(&client.lock); /* held by this thread: cannot fail */
        errno = error;
    }
    pari_interrupt_mask(-1);
    return result;
}
