/* SPDX-License-Identifier: MIT
 *
 * channel.c: pipes and queues, with messages in the ring, in blocks of their own, and left behind.
 */
#include "leaks.h"

static char message[6000]; /* above a quarter of a ring of 4096 bytes */

static void
use_pipe(bool duplex)
{
    par_conn *end[2];

    must(par_pipe(end, &(par_pipe_opts){ .duplex = duplex, .capacity = 4096 }) == 0);
    must(par_conn_send(end[1], message, 8, soon()) == 0);
    must(par_conn_recv(end[0], message, sizeof message, soon()) == 8);
    must(par_conn_send(end[1], message, sizeof message, soon()) == 0);
    must(par_conn_recv(end[0], message, sizeof message, soon()) == sizeof message);
    must(par_conn_send(end[1], message, 8, soon()) == 0);
    must(par_conn_send(end[1], message, sizeof message, soon()) == 0); /* neither is received */
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

static void
cycle_pipe(void)
{
    use_pipe(false);
}

static void
cycle_duplex_pipe(void)
{
    use_pipe(true);
}

static void
cycle_pipe_descriptor(void)
{
    par_conn *end[2];

    must(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    must(par_conn_fileno(end[0]) >= 0 && par_conn_poll(end[0], PAR_NOWAIT) <= 0);
    must(par_conn_send(end[1], message, 8, soon()) == 0);
    must(par_conn_recv(end[0], message, sizeof message, soon()) == 8);
    par_conn_free(end[1]);
    par_conn_free(end[0]);
}

static void
use_queue(size_t size)
{
    par_queue *queue = par_queue_new(&(par_queue_opts){ .capacity = 4096 });

    must(queue != NULL);
    must(par_queue_put(queue, message, size, soon()) == 0);
    must(par_queue_get(queue, message, sizeof message, soon()) == (ssize_t)size);
    must(par_queue_task_done(queue) == 0 && par_queue_join(queue, soon()) == 0);
    must(par_queue_put(queue, message, size, soon()) == 0); /* is never got */
    par_queue_free(queue);
}

static void
cycle_queue(void)
{
    use_queue(8);
}

static void
cycle_pqueue(void)
{
    par_pqueue *pqueue = par_pqueue_new(&(par_pqueue_opts){ .item_size = 8, .maxsize = 4 });
    par_lease lease;
    char got[8];

    must(pqueue != NULL && par_pqueue_put(pqueue, message, 8, 1, soon()) == 0 &&
         par_pqueue_put(pqueue, message, 8, 2, soon()) == 0);
    must(par_pqueue_lease(pqueue, got, sizeof got, &lease, soon()) == 8 && par_pqueue_ack(pqueue, &lease, soon()) == 0);
    par_pqueue_free(pqueue);
}

static void
cycle_queue_big(void)
{
    use_queue(sizeof message);
}

static void
cycle_queue_of_objects(void)
{
    par_queue *queue = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    par_obj *got;

    must(queue != NULL && par_queue_put_obj(queue, par_str("DONE"), soon()) == 0);
    must((got = par_queue_get_obj(queue, soon())) != NULL);
    par_obj_free(got);
    par_queue_free(queue);
}

const struct subject channel_subjects[] = {
    { "pipe", NULL, cycle_pipe, NULL },
    { "duplex pipe", NULL, cycle_duplex_pipe, NULL },
    { "pipe descriptor", NULL, cycle_pipe_descriptor, NULL },
    { "queue", NULL, cycle_queue, NULL },
    { "queue, big", NULL, cycle_queue_big, NULL },
    { "pqueue", NULL, cycle_pqueue, NULL },
    { "queue of objects", NULL, cycle_queue_of_objects, NULL },
    { NULL, NULL, NULL, NULL },
};
