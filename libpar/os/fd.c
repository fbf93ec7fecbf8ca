/* SPDX-License-Identifier: MIT
 *
 * fd.c: libpar's descriptors. All are CLOEXEC; those tracked are closed in every forked child before fork returns there, but for
 * the ones pari_fork was told to keep: a copy of a doorbell or of a pidfd in a sibling would hide a death.
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD (1 << 20)
#define BITS 64

static _Atomic uint64_t tracked[MAX_FD / BITS]; /* untouched pages cost nothing */
static _Atomic int highest = -1;                /* word of `tracked` that has ever had a bit */
static _Thread_local const int *kept;           /* by the fork that this thread is in */
static _Thread_local unsigned n_kept;

static bool
is_kept(int fd)
{
    for (unsigned i = 0; i < n_kept; i++)
        if (kept[i] == fd)
            return true;
    return false;
}

static void
close_tracked(void)
{
    for (int word = atomic_load(&highest); word >= 0; word--) {
        uint64_t bits = atomic_load(&tracked[word]);
        while (bits != 0) {
            int bit = __builtin_ctzll(bits), fd = word * BITS + bit;
            bits &= bits - 1;
            if (!is_kept(fd))
                pari_fd_close(fd);
        }
    }
}

void
pari_fd_keep(const int *keep, unsigned n)
{
    kept = keep;
    n_kept = n;
}

int
pari_fd_lift(int fd)
{
    int higher;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    pari_fd_close(fd);
    return higher;
}

int
pari_fd_track(int fd)
{
    int word, seen = atomic_load(&highest);

    fd = pari_fd_lift(fd);
    if (fd < 0 || fd >= MAX_FD)
        return fd;
    word = fd / BITS;
    (void)pari_at_fork(close_tracked);
    atomic_fetch_or(&tracked[word], UINT64_C(1) << fd % BITS);
    while (seen < word && !atomic_compare_exchange_weak(&highest, &seen, word))
        ;
    return fd;
}

bool
pari_fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

void
pari_fd_close(int fd)
{
    int saved = errno, cancel;

    if (fd < 0)
        return;
    if (fd < MAX_FD)
        atomic_fetch_and(&tracked[fd / BITS], ~(UINT64_C(1) << fd % BITS));
    cancel = pari_cancel_off();
    (void)close(fd);
    pari_cancel_restore(cancel);
    errno = saved;
}

static int
socket_pair(int end[2], int flags)
{
    int made;

    if (pari_fault(PARI_CALL_SOCKETPAIR))
        return -1;
    (void)pari_at_fork(close_tracked);
    pari_private_lock(); /* no fork finds them untracked: a copy of a life line would keep a daemon alive */
    made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, end);
    if (made == 0) {
        end[0] = pari_fd_track(end[0]);
        end[1] = pari_fd_track(end[1]);
    }
    pari_private_unlock();
    if (made != 0)
        return -1;
    if (end[0] >= 0 && end[1] >= 0)
        return 0;
    pari_fd_close(end[0]);
    pari_fd_close(end[1]);
    return -1;
}

int
pari_fd_bell(int end[2])
{
    return socket_pair(end, SOCK_NONBLOCK);
}

int
pari_fd_ring(int fd)
{
    ssize_t n;
    int cancel = pari_cancel_off();

    do
        n = pari_fault(PARI_CALL_SEND) ? -1 : send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    pari_cancel_restore(cancel);
    return n == 1 || errno == EAGAIN ? 0 : -1;
}

/* Descriptors beside the bytes. */
union parcel {
    struct cmsghdr header;
    char room[CMSG_SPACE(PARI_MAX_PASS * sizeof(int))];
};

int
pari_fd_send(int socket, const void *bytes, size_t size, const int *fd, unsigned n)
{
    union parcel parcel = { .room = { 0 } };
    struct iovec all = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = { .msg_iov = &all, .msg_iovlen = 1 };
    int cancel = pari_cancel_off();
    ssize_t sent;

    if (n > 0) {
        message.msg_control = parcel.room;
        message.msg_controllen = CMSG_SPACE(n * sizeof *fd);
        parcel.header.cmsg_level = SOL_SOCKET;
        parcel.header.cmsg_type = SCM_RIGHTS;
        parcel.header.cmsg_len = CMSG_LEN(n * sizeof *fd);
        memcpy(CMSG_DATA(&parcel.header), fd, n * sizeof *fd);
    }
    do
        sent = pari_fault(PARI_CALL_SEND) ? -1 : sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    pari_cancel_restore(cancel);
    return sent == (ssize_t)size ? 0 : -1;
}

int
pari_fd_pass(int socket, int fd)
{
    return pari_fd_send(socket, "", 1, &fd, 1);
}

/* Lift and list what came; too many are closed. -1: they did not all find room. */
static int
take_passed(struct msghdr *message, int *fd, unsigned room)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    bool is_cut = (message->msg_flags & MSG_CTRUNC) != 0;
    unsigned n = 0, n_taken = 0;

    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        n = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof *fd);
    for (unsigned i = 0; i < n; i++) {
        int one;
        memcpy(&one, CMSG_DATA(header) + i * sizeof one, sizeof one);
        one = pari_fd_lift(one);
        if (one >= 0 && n_taken < room)
            fd[n_taken++] = one;
        else {
            pari_fd_close(one);
            is_cut = true;
        }
    }
    if (!is_cut)
        return (int)n_taken;
    while (n_taken > 0)
        pari_fd_close(fd[--n_taken]);
    return pari_fail(EMFILE);
}

int
pari_fd_receive(int socket, void *bytes, size_t size, int *fd, unsigned room)
{
    union parcel parcel;
    struct iovec all = { bytes, size };
    struct msghdr message = {
        .msg_iov = &all, .msg_iovlen = 1, .msg_control = parcel.room, .msg_controllen = sizeof parcel.room
    };
    int cancel = pari_cancel_off(), n_passed = -1;
    ssize_t n;

    do
        n = pari_fault(PARI_CALL_RECV) ? -1 : recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        n_passed = take_passed(&message, fd, room);
    pari_cancel_restore(cancel);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return pari_fail(EPIPE);
    if (n > 0 && n_passed >= 0 && n != (ssize_t)size) {
        while (n_passed > 0)
            pari_fd_close(fd[--n_passed]);
        return pari_fail(EBADMSG);
    }
    return n_passed;
}

/* The descriptor that came with the bytes; -1: one came and there was no room for it in this process; -2: none did. */
static int
passed_with(struct msghdr *message)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd;

    if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fd))
        return (message->msg_flags & MSG_CTRUNC) != 0 ? -1 : -2;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return pari_fd_lift(fd);
}

unsigned
pari_fd_drain(int socket, int *passed, unsigned room)
{
    int cancel = pari_cancel_off();
    unsigned n_passed = 0;
    ssize_t n = 1;

    while (n > 0 && n_passed < room) {
        union parcel parcel;
        char bytes[64];
        struct iovec all = { bytes, sizeof bytes };
        struct msghdr message = {
            .msg_iov = &all, .msg_iovlen = 1, .msg_control = parcel.room, .msg_controllen = CMSG_SPACE(sizeof(int))
        };
        int fd;
        do
            n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n > 0 && (fd = passed_with(&message)) != -2)
            passed[n_passed++] = fd;
    }
    pari_cancel_restore(cancel);
    return n_passed;
}

/* Rounded up, so that a poll never ends before its moment. */
static int
milliseconds_until(int64_t until)
{
    int64_t ns = until - pari_now_ns(), ms = ns > 0 ? (ns + 999999) / 1000000 : 0;

    return ms < INT_MAX ? (int)ms : INT_MAX;
}

int
pari_fd_poll_all(struct pollfd *list, size_t n, int64_t until)
{
    int n_ready, cancel;

    if (pari_fault(PARI_CALL_POLL))
        return errno == EINTR ? 0 : -1;
    cancel = pari_cancel_off();
    n_ready = poll(list, n, milliseconds_until(until));
    pari_cancel_restore(cancel);
    return n_ready < 0 && errno == EINTR ? 0 : n_ready;
}

int
pari_fd_poll(int fd, short events, int64_t until)
{
    struct pollfd one = { .fd = fd, .events = events, .revents = 0 };
    int n, cancel;

    if (pari_fault(PARI_CALL_POLL))
        return -1;
    cancel = pari_cancel_off();
    n = poll(&one, 1, milliseconds_until(until));
    pari_cancel_restore(cancel);
    return n < 0 ? -1 : n;
}

int
pari_fd_lifeline(int line[2])
{
    return socket_pair(line, 0);
}

int
pari_fd_die_with(int fd, bool with_group)
{
    struct pollfd one = { .fd = fd, .events = POLLIN, .revents = 0 };
    pid_t who = with_group ? -getpid() : getpid();

    if (pari_fault(PARI_CALL_SIGIO))
        return -1;
    if (fcntl(fd, F_SETOWN, who) != 0 || fcntl(fd, F_SETSIG, SIGKILL) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) != 0)
        return -1;
    if (poll(&one, 1, 0) > 0) /* the parent was gone before the kernel was told */
        (void)kill(who, SIGKILL);
    return 0;
}

int
pari_fd_devnull(int as)
{
    int fd;

    if (pari_fault(PARI_CALL_DEVNULL))
        return -1;
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fd == as)
        return fcntl(fd, F_SETFD, 0);
    if (dup2(fd, as) < 0) {
        pari_fd_close(fd);
        return -1;
    }
    (void)close(fd);
    return 0;
}
