/* SPDX-License-Identifier: MIT
 *
 * socket.h: local stream sockets and readiness of many descriptors, as the manager needs them (floor 0).
 *
 * Addresses are abstract: "@name", known to the kernel only while the listener lives, so that nothing is left in the file system by
 * whatever death. Both sides ask the kernel who the other is: a peer of another user is turned away. All sockets are CLOEXEC,
 * non-blocking and tracked (no forked child keeps them). Like all of os.h: -1 and errno, never EINTR.
 */
#ifndef PARI_SOCKET_H
#define PARI_SOCKET_H

#include "os.h"

#define PARI_ADDRESS_SIZE 108 /* "@name" and its NUL; the kernel takes 107 bytes of name */

enum { PARI_READABLE = 1, PARI_WRITABLE = 2 };

/* Is it "@name", with a name that fits? */
bool pari_address_is_valid(const char *address);

/* Listen at `address`; an empty string is replaced by a fresh random address. -1: EINVAL, EADDRINUSE, EMFILE, ... */
int pari_socket_listen(char address[PARI_ADDRESS_SIZE]);

/* The next client. -1: EAGAIN nobody waits, EPERM a stranger was turned away, EMFILE, ENFILE, ENOMEM no room now. */
int pari_socket_accept(int listener);

/* Connect without waiting. -1: EAGAIN the listener's line is full, ECONNREFUSED nobody listens, EPERM a stranger does, EMFILE... */
int pari_socket_connect(const char *address);

pid_t pari_socket_peer(int fd); /* the process that connected, for the one that accepted; 0: not to be known */

/* As much as goes without waiting. Bytes, -1 EAGAIN, EPIPE (also for a reset connection). */
ssize_t pari_socket_send(int fd, const void *data, size_t size);

/* What is there. Bytes, 0 at the end of stream (also of a reset connection), -1 EAGAIN. */
ssize_t pari_socket_recv(int fd, void *data, size_t size);

/* 1: the socket is PARI_READABLE or PARI_WRITABLE, as asked, or broken. 0: not before the moment `until`, or a signal came. */
int pari_socket_wait(int fd, int what, int64_t until);

/* ---- ringers: a socket that is readable once somebody has rung it, by its number, from whatever process of this machine. Numbers are
 * random, so that a late ring for one that is gone meets nobody. */

int pari_ringer_new(uint64_t *number);  /* tracked */
bool pari_ringer_ring(uint64_t number); /* false: nobody has it any more. Never waits; keeps errno; safe in a signal handler */
void pari_ringer_drain(int fd);         /* not readable until it is rung again. Also of a timer */
int pari_timer_new(int64_t ns);         /* tracked: readable each time so many have passed */

/* Let this process open as many descriptors as it may. */
void pari_fd_raise_limit(void);

/* ---- readiness */

struct pari_ready {
    void *owner;
    int what; /* PARI_READABLE and PARI_WRITABLE; a closed or broken descriptor shows as what was asked for */
};

int pari_epoll_new(void); /* tracked */
int pari_epoll_add(int epoll, int fd, int what, void *owner);
void pari_epoll_remove(int epoll, int fd); /* before a descriptor is closed of which another process has a copy */
int pari_epoll_change(int epoll, int fd, int what, void *owner); /* what 0: rest */

/* How many of at most `max` (<= 64) are ready; 0 not before the moment `until`, or a signal came. */
int pari_epoll_wait(int epoll, struct pari_ready *ready, int max, int64_t until);

#endif
