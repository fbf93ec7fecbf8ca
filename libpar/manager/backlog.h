/* SPDX-License-Identifier: MIT
 *
 * backlog.h: what clients have posted and the server has not carried out yet.
 *
 * A post has no answer: nobody sees when it is carried out, only whether it has been when something else is asked. The server therefore
 * leaves posts alone until a request comes, of any client, and carries out all that were posted before that one, in the order of their
 * turns.
 *
 * That order is the one in which they were posted, as far as anybody can tell: a turn is taken before its post is published, so one
 * that was posted after another one was has a higher turn. The server reads how many turns were taken before it looks for posts: those
 * with a lower turn that it does not find were not published then, so whoever posts them is still at it, and no request that it
 * answers now came after them. Those with a higher turn wait for the next time.
 *
 * Private to the server process, but for the mailboxes. If a client dies here: what it published is carried out.
 */
#ifndef PARI_BACKLOG_H
#define PARI_BACKLOG_H

#include "mailbox.h"
#include "service.h"

#define PARI_MAX_POSTERS 32 /* mailboxes that take posts: each request reads a line of each */

struct pari_poster {
    struct pari_mailbox *box;
    struct pari_message next; /* its oldest post, if has_next */
    uint64_t turn;
    bool has_next;
};

struct pari_backlog {
    struct pari_poster poster[PARI_MAX_POSTERS];
    unsigned n;
    struct pari_buffer answer; /* of a post: read by nobody */
};

/* The client of this mailbox may post from now on, if there is a place left. */
void pari_backlog_join(struct pari_backlog *backlog, struct pari_mailbox *box);
void pari_backlog_leave(struct pari_backlog *backlog, const struct pari_mailbox *box); /* what it has posted is dropped */

/* Carry out all that was posted so far. -1 ENOMEM: there is no memory for one of them, which stays, with those after it. */
int pari_backlog_clear(struct pari_backlog *backlog, struct pari_service *service);

/* Is it time to do so although nobody has asked, so that nobody finds his ring full? */
bool pari_backlog_is_long(const struct pari_backlog *backlog);

void pari_backlog_free(struct pari_backlog *backlog);

#endif
