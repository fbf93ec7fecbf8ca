/* SPDX-License-Identifier: MIT
 *
 * socket.c: abstract local sockets, checked by the peer's user, and epoll.
 */
#include "socket.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_READY 64

static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == PARI_ADDRESS_SIZE, "addresses must fit the kernel's");

/* ---- addresses */

bool
pari_address_is_valid(const char *address)
{
    size_t length = strnlen(address, PARI_ADDRESS_SIZE);

    return address[0] == '@' && length > 1 && length < PARI_ADDRESS_SIZE;
}

/* 128 random bits: never met by chance, and never the address of a server that has died. */
static int
random_address(char address[PARI_ADDRESS_SIZE])
{
    uint64_t bits[2];

    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return -1;
    (void)snprintf(address, PARI_ADDRESS_SIZE, "@par-%016llx%016llx", (unsigned long long)bits[0], (unsigned long long)bits[1]);
    return 0;
}

/* The kernel's form of "@name": a NUL, then the name without one. */
static socklen_t
kernel_address(const char *address, struct sockaddr_un *to)
{
    size_t length = strlen(address);

    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path + 1, address + 1, length - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static int
socket_new(void)
{
    int fd = pari_fault(PARI_CALL_SOCKET) ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return pari_fd_track(fd);
}

/* Closes a half-made socket; the errno of the failure is kept. */
static int
give_up(int fd)
{
    pari_fd_close(fd);
    return -1;
}

/* Strangers get EPERM: the kernel's word on who the other side is cannot be forged. */
static int
ask_for_peer(int fd, struct ucred *peer)
{
    socklen_t size = sizeof *peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size);
}

static int
check_peer(int fd)
{
    struct ucred peer;

    if (ask_for_peer(fd, &peer) != 0)
        return -1;
    return peer.uid == geteuid() ? 0 : pari_fail(EPERM);
}

pid_t
pari_socket_peer(int fd)
{
    struct ucred peer;

    return ask_for_peer(fd, &peer) == 0 ? peer.pid : 0;
}

int
pari_socket_listen(char address[PARI_ADDRESS_SIZE])
{
    struct sockaddr_un name;
    socklen_t size;
    int fd;

    if (address[0] == '\0' && random_address(address) != 0)
        return -1;
    if (!pari_address_is_valid(address))
        return pari_fail(EINVAL);
    size = kernel_address(address, &name);
    fd = socket_new();
    if (fd < 0)
        return -1;
    if (pari_fault(PARI_CALL_BIND) || bind(fd, (struct sockaddr *)&name, size) != 0 || listen(fd, SOMAXCONN) != 0)
        return give_up(fd);
    return fd;
}

int
pari_socket_accept(int listener)
{
    int fd;

    do
        fd = pari_fault(PARI_CALL_ACCEPT) ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    fd = pari_fd_track(fd);
    if (fd < 0)
        return -1;
    return check_peer(fd) == 0 ? fd : give_up(fd);
}

int
pari_socket_connect(const char *address)
{
    struct sockaddr_un name;
    socklen_t size;
    int fd, result;

    if (!pari_address_is_valid(address))
        return pari_fail(EINVAL);
    size = kernel_address(address, &name);
    fd = socket_new();
    if (fd < 0)
        return -1;
    do
        result = pari_fault(PARI_CALL_CONNECT) ? -1 : connect(fd, (struct sockaddr *)&name, size);
    while (result != 0 && errno == EINTR);
    if (result != 0 || check_peer(fd) != 0)
        return give_up(fd);
    return fd;
}

ssize_t
pari_socket_send(int fd, const void *data, size_t size)
{
    ssize_t n;

    do
        n = pari_fault(PARI_CALL_SEND) ? -1 : send(fd, data, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == ECONNRESET)
        errno = EPIPE;
    if (n < 0 && errno == ENOBUFS)
        errno = ENOMEM;
    return n;
}

ssize_t
pari_socket_recv(int fd, void *data, size_t size)
{
    ssize_t n;

    do
        n = pari_fault(PARI_CALL_RECV) ? -1 : recv(fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 && errno == ECONNRESET ? 0 : n;
}

int
pari_socket_wait(int fd, int what, int64_t until)
{
    short events = (short)((what & PARI_READABLE ? POLLIN : 0) | (what & PARI_WRITABLE ? POLLOUT : 0));
    int ready = pari_fd_poll(fd, events, until);

    return ready < 0 && errno == EINTR ? 0 : ready;
}

/* ---- ringers */

/* By hand: nothing here may be unsafe in a signal handler. */
static socklen_t
ringer_address(uint64_t number, struct sockaddr_un *to)
{
    static const char name[] = "@par-bell-";
    char address[PARI_ADDRESS_SIZE];
    size_t length = sizeof name - 1;

    memcpy(address, name, length);
    for (int shift = 60; shift >= 0; shift -= 4)
        address[length++] = "0123456789abcdef"[number >> shift & 15];
    address[length] = '\0';
    return kernel_address(address, to);
}

static int
datagram_socket(void)
{
    return pari_fault(PARI_CALL_SOCKET) ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int
pari_ringer_new(uint64_t *number)
{
    struct sockaddr_un name;
    socklen_t size;
    int fd;

    if (getrandom(number, sizeof *number, 0) != (ssize_t)sizeof *number)
        return -1;
    size = ringer_address(*number, &name);
    fd = pari_fd_track(datagram_socket());
    if (fd < 0)
        return -1;
    if (!pari_fault(PARI_CALL_BIND) && bind(fd, (struct sockaddr *)&name, size) == 0)
        return fd;
    errno = ENOMEM; /* of 2^64 names one was in use, or so */
    return give_up(fd);
}

bool
pari_ringer_ring(uint64_t number)
{
    int saved = errno, fd = datagram_socket();
    struct sockaddr_un name;
    socklen_t size = ringer_address(number, &name);
    bool is_there = true;

    if (fd >= 0) {
        is_there = sendto(fd, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&name, size) == 1 || errno != ECONNREFUSED;
        (void)close(fd);
    }
    errno = saved;
    return is_there;
}

void
pari_ringer_drain(int fd)
{
    int saved = errno;
    char bytes[8]; /* a timer's count; a byte each */

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    errno = saved;
}

int
pari_timer_new(int64_t ns)
{
    struct itimerspec every = { .it_interval = { ns / 1000000000, ns % 1000000000 } };
    int fd;

    every.it_value = every.it_interval;
    fd = pari_fd_track(pari_fault(PARI_CALL_TIMERFD) ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (fd >= 0 && timerfd_settime(fd, 0, &every, NULL) != 0)
        return give_up(fd);
    return fd;
}

void
pari_fd_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* the old limit is good enough */
    }
}

/* ---- readiness */

int
pari_epoll_new(void)
{
    int fd = pari_fault(PARI_CALL_EPOLL) ? -1 : epoll_create1(EPOLL_CLOEXEC);

    return pari_fd_track(fd);
}

static int
control(int epoll, int operation, int fd, int what, void *owner)
{
    struct epoll_event event = { .events = 0, .data.ptr = owner };

    if (pari_fault(PARI_CALL_EPOLL_CTL))
        return -1;
    if (what & PARI_READABLE)
        event.events |= EPOLLIN;
    if (what & PARI_WRITABLE)
        event.events |= EPOLLOUT;
    return epoll_ctl(epoll, operation, fd, &event);
}

int
pari_epoll_add(int epoll, int fd, int what, void *owner)
{
    return control(epoll, EPOLL_CTL_ADD, fd, what, owner);
}

int
pari_epoll_change(int epoll, int fd, int what, void *owner)
{
    return control(epoll, EPOLL_CTL_MOD, fd, what, owner);
}

void
pari_epoll_remove(int epoll, int fd)
{
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); /* it is there: cannot fail */
}

static int
milliseconds_until(int64_t until)
{
    int64_t ns = until - pari_now_ns(), ms = ns > 0 ? (ns + 999999) / 1000000 : 0;

    return ms < INT_MAX ? (int)ms : INT_MAX;
}

int
pari_epoll_wait(int epoll, struct pari_ready *ready, int max, int64_t until)
{
    struct epoll_event event[MAX_READY];
    int n;

    n = epoll_wait(epoll, event, max < MAX_READY ? max : MAX_READY, milliseconds_until(until));
    if (n < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < n; i++) {
        uint32_t events = event[i].events;

        ready[i].owner = event[i].data.ptr;
        ready[i].what = (events & EPOLLIN ? PARI_READABLE : 0) | (events & EPOLLOUT ? PARI_WRITABLE : 0);
        if (events & (EPOLLHUP | EPOLLERR))
            ready[i].what = PARI_READABLE | PARI_WRITABLE;
    }
    return n;
}
