/* SPDX-License-Identifier: MIT
 *
 * objects.c: dynamic values through pipes and queues: their bytes are the message.
 */
#include "../object/pickle.h"
#include "conn.h"
#include "queue.h"

/* What the decoder finds wrong is said in words by par_error(); to the caller it is one thing: not a value. */
static void *
decode(const void *bytes, size_t size)
{
    par_obj *o = pari_unpickle(bytes, size);

    if (o == NULL && errno != ENOMEM)
        errno = EBADMSG;
    return o;
}

/* The bytes of a value, which is freed in any case. */
static int
encode(par_obj *o, struct pari_buffer *bytes)
{
    int result = o ? pari_pickle(o, bytes) : pari_fail(ENOMEM);

    par_obj_free(o);
    return result;
}

int
par_conn_send_obj(par_conn *c, par_obj *o, par_time deadline)
{
    struct pari_buffer bytes = { 0 };
    int result = encode(o, &bytes);

    if (result == 0)
        result = par_conn_send(c, bytes.data, bytes.size, deadline);
    pari_buffer_free(&bytes);
    return result;
}

par_obj *
par_conn_recv_obj(par_conn *c, par_time deadline)
{
    size_t size;
    void *bytes = pari_conn_look(c, &size, deadline);
    par_obj *o = bytes ? decode(bytes, size) : NULL;

    if (o != NULL)
        (void)par_conn_skip(c, PAR_NOWAIT); /* it is there, and nobody else receives at this end */
    free(bytes);
    return o;
}

int
par_queue_put_obj(par_queue *q, par_obj *o, par_time deadline)
{
    struct pari_buffer bytes = { 0 };
    int result = encode(o, &bytes);

    if (result == 0)
        result = par_queue_put(q, bytes.data, bytes.size, deadline);
    pari_buffer_free(&bytes);
    return result;
}

par_obj *
par_queue_get_obj(par_queue *q, par_time deadline)
{
    return pari_queue_decode(q, decode, deadline);
}
