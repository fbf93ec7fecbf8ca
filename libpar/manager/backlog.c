/* SPDX-License-Identifier: MIT
 *
 * backlog.c: see backlog.h.
 */
#include "backlog.h"

#include <errno.h>
#include <string.h>

/* Room for the answer is made first: a post that was carried out must not fail for its answer and be done again. */
void
pari_backlog_join(struct pari_backlog *backlog, struct pari_mailbox *box)
{
    if (backlog->n == PARI_MAX_POSTERS || pari_message_reply_none(&backlog->answer) != 0)
        return;
    backlog->poster[backlog->n++] = (struct pari_poster){ .box = box };
    atomic_store(&box->may_post, true);
}

void
pari_backlog_leave(struct pari_backlog *backlog, const struct pari_mailbox *box)
{
    for (unsigned i = 0; i < backlog->n; i++)
        if (backlog->poster[i].box == box) {
            backlog->poster[i] = backlog->poster[--backlog->n];
            return;
        }
}

static void
look(struct pari_poster *poster)
{
    poster->has_next = pari_mailbox_next_post(poster->box, &poster->next, &poster->turn);
}

/* The one with the oldest post; NULL: nobody has any. */
static struct pari_poster *
first_poster(struct pari_backlog *backlog)
{
    struct pari_poster *first = NULL;

    for (unsigned i = 0; i < backlog->n; i++) {
        struct pari_poster *poster = &backlog->poster[i];
        if (poster->has_next && (first == NULL || poster->turn < first->turn))
            first = poster;
    }
    return first;
}

/* -1 ENOMEM. What is refused for another reason should not have been posted: it is dropped, as loud as can be. */
static int
carry_out(struct pari_backlog *backlog, struct pari_service *service, const struct pari_poster *poster)
{
    unsigned char request[PARI_MAILBOX_MAX];
    size_t size = pari_mailbox_read_post(poster->box, &poster->next, request);

    if (pari_service_call(service, request, size, &backlog->answer) != 0)
        return service->refused == ENOMEM ? pari_fail(ENOMEM) : 0;
    if (service->refused == ENOMEM)
        return pari_fail(ENOMEM);
    if (service->refused != 0)
        pari_say("manager: a request that was not waited for has failed: %s", strerror(service->refused));
    return 0;
}

int
pari_backlog_clear(struct pari_backlog *backlog, struct pari_service *service)
{
    uint64_t end = atomic_load(pari_member_turns(pari_self())); /* before the look */
    struct pari_poster *poster;

    for (unsigned i = 0; i < backlog->n; i++)
        look(&backlog->poster[i]);
    while ((poster = first_poster(backlog)) != NULL && poster->turn < end) {
        if (carry_out(backlog, service, poster) != 0)
            return -1;
        pari_mailbox_drop_post(poster->box, &poster->next);
        look(poster);
    }
    return 0;
}

bool
pari_backlog_is_long(const struct pari_backlog *backlog)
{
    for (unsigned i = 0; i < backlog->n; i++)
        if (pari_mailbox_has_posts(backlog->poster[i].box, PARI_MAILBOX_RING / 8))
            return true;
    return false;
}

void
pari_backlog_free(struct pari_backlog *backlog)
{
    pari_buffer_free(&backlog->answer);
}
