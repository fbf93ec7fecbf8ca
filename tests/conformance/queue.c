/* SPDX-License-Identifier: MIT
 *
 * queue.c: behaviours 34 to 46: queues.
 */
#include "conformance.h"

struct talk {
    par_queue *q;
    par_event peer_may_start, world_may_go_on;
    _Atomic int n_done;
};

static struct talk *
new_talk(const par_queue_opts *opts)
{
    struct talk *talk = shared(struct talk);

    talk->q = par_queue_new(opts);
    must(talk->q != NULL);
    return talk;
}

static void
put_int(par_queue *q, int i)
{
    must(par_queue_put(q, &i, sizeof i, soon()) == 0);
}

static int
get_int(par_queue *q)
{
    int i;

    must(par_queue_get(q, &i, sizeof i, soon()) == sizeof i);
    return i;
}

/* The call gives up with ETIMEDOUT, at once or after the time. */
#define must_time_out(call, seconds)          \
    do {                                      \
        par_time before = par_now();          \
        must_fail(call, ETIMEDOUT);           \
        must(par_since(before) >= (seconds)); \
    } while (0)

/* ---- 34 to 40 */

static int
get_six(void *arg)
{
    struct talk *talk = arg;

    must(par_event_wait(&talk->peer_may_start, soon()) == 0);
    for (int i = 1; i <= 6; i++)
        must(get_int(talk->q) == i);
    return par_event_set(&talk->world_may_go_on);
}

static void
conf_034_put(void)
{
    struct talk *talk = new_talk(&(par_queue_opts){ .maxsize = 6 });
    struct peer peer = peer_start(get_six, talk);
    int seven = 7;

    must(par_queue_empty(talk->q) && !par_queue_full(talk->q));
    for (int i = 1; i <= 6; i++)
        put_int(talk->q, i);
    must(!par_queue_empty(talk->q) && par_queue_full(talk->q));
    must_time_out(par_queue_put(talk->q, &seven, sizeof seven, PAR_NOWAIT), 0);
    must_time_out(par_queue_put(talk->q, &seven, sizeof seven, par_in(0)), 0);
    must_time_out(par_queue_put(talk->q, &seven, sizeof seven, par_in(0.1)), 0.1);
    par_event_set(&talk->peer_may_start);
    must(par_event_wait(&talk->world_may_go_on, soon()) == 0);
    must(par_queue_empty(talk->q) && !par_queue_full(talk->q) && peer_end(peer) == 0);
    par_queue_free(talk->q);
}

static int
put_four(void *arg)
{
    struct talk *talk = arg;

    must(par_event_wait(&talk->peer_may_start, soon()) == 0);
    for (int i = 2; i <= 5; i++)
        put_int(talk->q, i);
    return par_event_set(&talk->world_may_go_on);
}

static void
conf_035_get(void)
{
    struct talk *talk = new_talk(NULL);
    struct peer peer = peer_start(put_four, talk);
    int i;

    must(par_queue_empty(talk->q));
    par_event_set(&talk->peer_may_start);
    must(par_event_wait(&talk->world_may_go_on, soon()) == 0 && !par_queue_empty(talk->q));
    for (int expected = 2; expected <= 5; expected++)
        must(get_int(talk->q) == expected);
    must(par_queue_empty(talk->q));
    must_time_out(par_queue_get(talk->q, &i, sizeof i, PAR_NOWAIT), 0);
    must_time_out(par_queue_get(talk->q, &i, sizeof i, par_in(-1)), 0);
    must_time_out(par_queue_get(talk->q, &i, sizeof i, par_in(0.1)), 0.1);
    must(peer_end(peer) == 0);
    par_queue_free(talk->q);
}

static int
put_second_ten(void *arg)
{
    for (int i = 10; i < 20; i++)
        put_int(arg, i);
    return 0;
}

static void
conf_036_fork(void)
{
    par_queue *q = par_queue_new(NULL);

    must(q != NULL);
    for (int i = 0; i < 10; i++)
        put_int(q, i);
    must(peer_end(peer_start(put_second_ten, q)) == 0);
    for (int i = 0; i < 20; i++)
        must(get_int(q) == i);
    must(par_queue_empty(q));
    par_queue_free(q);
}

static void
conf_037_qsize(void)
{
    par_queue *q = par_queue_new(NULL);

    must(q != NULL && par_queue_qsize(q) == 0);
    put_int(q, 1);
    must(par_queue_qsize(q) == 1);
    put_int(q, 5);
    must(par_queue_qsize(q) == 2 && get_int(q) == 1 && par_queue_qsize(q) == 1);
    must(get_int(q) == 5 && par_queue_qsize(q) == 0);
    par_queue_free(q);
}

static int
work(void *arg)
{
    struct talk *talk = arg;

    for (int i; (i = get_int(talk->q)) != 0;) {
        atomic_fetch_add(&talk->n_done, 1);
        must(par_queue_task_done(talk->q) == 0);
    }
    return par_queue_task_done(talk->q);
}

static void
conf_038_task_done(void)
{
    struct talk *talk = new_talk(NULL);
    struct peer worker[4];

    peers_start(worker, 4, work, talk);
    for (int i = 1; i <= 10; i++)
        put_int(talk->q, i);
    must(par_queue_join(talk->q, soon()) == 0 && atomic_load(&talk->n_done) == 10);
    for (int i = 0; i < 4; i++)
        put_int(talk->q, 0);
    peers_end(worker, 4);
    must(par_queue_join(talk->q, PAR_NOWAIT) == 0);
    par_queue_free(talk->q);
}

static void
conf_039_extra_task_done(void)
{
    par_queue *q = par_queue_new(NULL);

    must(q != NULL);
    put_int(q, 1);
    must_fail(par_queue_task_done(q), ERANGE);
    must_fail(par_queue_join(q, PAR_NOWAIT), ETIMEDOUT);
    must(get_int(q) == 1 && par_queue_task_done(q) == 0);
    must_fail(par_queue_task_done(q), ERANGE);
    must(par_queue_join(q, PAR_NOWAIT) == 0);
    par_queue_free(q);
}

static void
conf_040_timeout(void)
{
    par_queue *q = par_queue_new(NULL);
    int i;

    must(q != NULL);
    must_time_out(par_queue_get(q, &i, sizeof i, par_in(0.2)), 0.2);
    par_queue_free(q);
}

/* ---- 41 to 46: what cannot be put, and the end */

static void
conf_041_feeder_donot_stop_onexc(void)
{
    par_queue *q = par_queue_new(&(par_queue_opts){ .maxsize = 1 });
    par_obj *good;

    must(q != NULL);
    must_fail(par_queue_put_obj(q, NULL, soon()), ENOMEM);
    must(par_queue_empty(q) && par_queue_put_obj(q, par_bool(true), PAR_NOWAIT) == 0);
    must((good = par_queue_get_obj(q, soon())) != NULL && par_obj_type(good) == PAR_BOOL);
    par_obj_free(good);
    par_queue_free(q);
}

static void
conf_042_closed_queue_put_get(void)
{
    par_queue *q = par_queue_new(NULL);
    int i = 1;

    must(q != NULL);
    par_queue_close(q);
    must_fail(par_queue_put(q, &i, sizeof i, soon()), EPIPE);
    must_fail(par_queue_put(q, &i, sizeof i, PAR_NOWAIT), EPIPE);
    must_fail(par_queue_get(q, &i, sizeof i, soon()), EPIPE);
    must_fail(par_queue_get(q, &i, sizeof i, PAR_NOWAIT), EPIPE);
    par_queue_free(q);
}

static int
get_two(void *arg)
{
    struct talk *talk = arg;

    must(par_event_wait(&talk->peer_may_start, soon()) == 0 && !par_queue_empty(talk->q));
    must(get_int(talk->q) == 1 && get_int(talk->q) == 0 && par_queue_empty(talk->q));
    return par_event_set(&talk->world_may_go_on);
}

static void
conf_044_simple_empty(void)
{
    struct talk *talk = new_talk(NULL);
    struct peer peer = peer_start(get_two, talk);

    must(par_queue_empty(talk->q));
    put_int(talk->q, 1);
    put_int(talk->q, 0);
    must(!par_queue_empty(talk->q));
    par_event_set(&talk->peer_may_start);
    must(par_event_wait(&talk->world_may_go_on, soon()) == 0 && par_queue_empty(talk->q));
    must(peer_end(peer) == 0);
    par_queue_free(talk->q);
}

static void
conf_045_simple_close(void)
{
    par_queue *q = par_queue_new(NULL);

    must(q != NULL);
    par_queue_close(q);
    par_queue_close(q);
    par_queue_free(q);
    par_queue_free(NULL);
}

static void
conf_046_simple_empty_exceptions(void)
{
    par_queue *q = par_queue_new(NULL), *freed = alias(q);
    int i = 1;

    must(q != NULL);
    par_queue_free(q);
    must_fail(par_queue_qsize(freed), EINVAL);
    must_fail(par_queue_put(freed, &i, sizeof i, PAR_NOWAIT), EINVAL);
    must_fail(par_queue_get(freed, &i, sizeof i, PAR_NOWAIT), EINVAL);
    must(par_queue_empty(freed) && !par_queue_full(freed));
}

const struct behaviour queue_behaviours[] = {
    PASSES(034, put, IN_BOTH, "six items fill it; a seventh is ETIMEDOUT, at once or not before the time; full and empty flip",
           "par_queue_put, par_queue_full"),
    PASSES(035, get, IN_BOTH, "values in order; of an empty queue ETIMEDOUT, at once or not before the time",
           "par_queue_get, par_queue_empty"),
    PASSES(036, fork, IN_BOTH, "ten items of the parent, then ten of the child, come out as 0 to 19", "par_queue_put"),
    PASSES(037, qsize, IN_PROCESSES, "0, 1, 2, 1, 0", "par_queue_qsize"),
    PASSES(038, task_done, IN_BOTH, "four workers; the join ends when all ten items are done",
           "par_queue_task_done, par_queue_join"),
    PASSES(039, extra_task_done, IN_PROCESSES, "one more than was got is ERANGE", "par_queue_task_done"),
    PASSES(040, timeout, IN_PROCESSES, "a get with 0.2 s does not give up earlier", "par_queue_get"),
    PASSES(041, feeder_donot_stop_onexc, IN_PROCESSES,
           "what cannot be put is told to its caller and takes no place; the next item arrives", "par_queue_put_obj"),
    PASSES(042, closed_queue_put_get, IN_PROCESSES, "both are EPIPE", "par_queue_close"),
    CANNOT(
        043, closed_queue_empty,
        "Python's closed queue knows nothing any more; libpar's still answers: it is empty or not, and get says EPIPE at its end"),
    PASSES(044, simple_empty, IN_BOTH, "emptiness is the same on both sides", "par_queue_empty"),
    PASSES(045, simple_close, IN_PROCESSES, "closing twice is fine", "par_queue_close"),
    PASSES(046, simple_empty_exceptions, IN_PROCESSES, "use after the end is EINVAL", "par_queue_free"),
    END_OF_TABLE
};
