/* SPDX-License-Identifier: MIT
 *
 * mailbox.h: requests and answers in shared memory, beside the socket of a client that belongs to the family.
 *
 * The client writes a request and counts it; the server, as long as it looks by itself, finds it, writes the answer and counts that.
 * Where they run side by side, nothing but a few cache lines
 * travels then. A server that is about to sleep says so, and is woken by an empty frame on the socket.
 * What does not fit goes over the socket, both ways. The socket also tells the server when the client is gone.
 *
 * Requests that have no result and cannot fail are not waited for: the client posts them into a ring. The server carries out what was
 * posted, by all clients, before it answers any request, so that nobody can tell that they were late (backlog.h).
 *
 * Shared state, by field; one of the two halves is written by each side alone:
 *   number      of the request that was made, of the one that was answered: the store that publishes the half. They are equal
 *               whenever it is the client's turn
 *   size, bytes of it; the reader trusts neither and copies before it reads. 0 of an answer: it comes over the socket
 *   cpu         where that side is: a hint
 *   is_watched  the server looks by itself. Cleared before its last look; the client looks at it after its request
 *   is_over     set by the server that will answer no more, and notified
 *   answered    the client sleeps on it; notified by the server after each answer
 *   may_post    set by the server before its first answer
 *   posts       a ring of a turn (pari_member_turns of the server) and a request each
 * The block is the client's; once the server has taken it, the server inherits it (pari_heap_share). The client leaves it before it
 * closes the socket. When the server ends the session it frees the mailbox if the client has left or died, and else renounces it: then
 * it is the client's alone again. An offer names a mailbox by its address and a number, so that one which comes late cannot be taken
 * for the next mailbox at that address.
 * If the client dies here: a request that was counted or posted is carried out, others are not; if the server dies, the client finds
 * out.
 */
#ifndef PARI_MAILBOX_H
#define PARI_MAILBOX_H

#include "../channel/ring.h"

#define PARI_MAILBOX_MAX 1968   /* bytes of a request or an answer */
#define PARI_MAILBOX_RING 32768 /* bytes of what was posted and not carried out yet */

struct pari_mail {
    _Alignas(PARI_CACHE_LINE) _Atomic uint32_t number;
    uint32_t size;
    _Atomic int32_t cpu;
    uint32_t unused;
    unsigned char bytes[PARI_MAILBOX_MAX];
};

struct pari_mailbox {
    struct pari_handle handle; /* constant, like the next one; its creator is the client */
    pari_member server;
    uint64_t offer; /* no other mailbox of its client has it, nor had one at this address */
    _Atomic bool is_watched;
    _Atomic bool is_over;
    _Atomic bool may_post;
    struct pari_eventcount answered;
    struct pari_mail request, answer;
    struct pari_ring posts;
    unsigned char posts_bytes[PARI_MAILBOX_RING];
};

/* ---- the client */

/* NULL: ENOSPC, ENOMEM, ...; the socket does it alone then. */
struct pari_mailbox *pari_mailbox_new(pari_member server);
void pari_mailbox_leave(struct pari_mailbox *box); /* NULL is fine; keeps errno. Not to be touched any more */

/* Make a request of at most PARI_MAILBOX_MAX bytes. True: the server must be woken. */
bool pari_mailbox_ask(struct pari_mailbox *box, const void *data, size_t size);

/* Wait for the answer and copy it to `data`, which has PARI_MAILBOX_MAX bytes: its size, 0 if it comes over the socket. -1: EPIPE,
 * ETIMEDOUT, EINTR: the mailbox must be left; EBADMSG. */
ssize_t pari_mailbox_await(struct pari_mailbox *box, void *data, par_time deadline);

/* What has become of a post. */
enum pari_posted {
    PARI_POST_REFUSED,  /* the server does not take any, or there is no room: ask */
    PARI_POST_LEFT,     /* it will be carried out before the next request of anybody */
    PARI_POST_LEFT_MANY /* the same, and it is time to wake the server, which has more than half a ring to do */
};

/* Post a request of at most PARI_MAILBOX_MAX bytes. One client's are carried out in their order, those of several as they were
 * posted. */
enum pari_posted pari_mailbox_post(struct pari_mailbox *box, const void *data, size_t size);

/* ---- the server */

/* What a client, of this pid, has offered. NULL: it is no mailbox of that client's for this server, or not any more. */
struct pari_mailbox *pari_mailbox_take(uintptr_t address, uint64_t offer, pid_t client);
/* It will answer no more: its client's socket has ended, or what it asks makes no sense. NULL is fine. */
void pari_mailbox_free(struct pari_mailbox *box);

/* A copy of the request that is not answered yet: its size. 0: none. -1 EBADMSG. */
ssize_t pari_mailbox_request(const struct pari_mailbox *box, unsigned char data[PARI_MAILBOX_MAX]);
bool pari_mailbox_has_request(const struct pari_mailbox *box);

/* False: it is too large and must go over the socket; the client knows. */
bool pari_mailbox_answer(struct pari_mailbox *box, const void *data, size_t size);

/* The oldest post that was not carried out: its turn, and where it is. False: there is none, or the ring makes no sense. */
bool pari_mailbox_next_post(struct pari_mailbox *box, struct pari_message *post, uint64_t *turn);
bool pari_mailbox_has_posts(const struct pari_mailbox *box, uint64_t bytes); /* at least so many of them, at a glance */
/* A copy of it: its size. 0: it makes no sense. */
size_t pari_mailbox_read_post(const struct pari_mailbox *box, const struct pari_message *post,
                              unsigned char data[PARI_MAILBOX_MAX]);
void pari_mailbox_drop_post(struct pari_mailbox *box, const struct pari_message *post); /* it was carried out */

void pari_mailbox_watch(struct pari_mailbox *box);         /* requests are found by looking */
void pari_mailbox_rest(struct pari_mailbox *box);          /* they ring from now on; look once more */
bool pari_mailbox_is_near(const struct pari_mailbox *box); /* its client waits for this very processor, perhaps */

#endif
