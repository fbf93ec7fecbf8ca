/* SPDX-License-Identifier: MIT
 *
 * condition.c: behaviours 54 to 60: conditions.
 */
#include "conformance.h"

struct scene {
    par_lock lock;
    par_condition condition;
    int n_asleep, n_woken, n_timed_out; /* guarded by the lock */
    int counter;
};

/* Counts itself in before it sleeps: since the wait releases the lock, who holds the lock and sees the count knows it asleep. */
static int
wait_to_be_woken(void *arg)
{
    struct scene *scene = arg;

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    scene->n_asleep++;
    must(par_condition_wait(&scene->condition, &scene->lock, soon()) == 0);
    scene->n_woken++;
    return par_lock_release(&scene->lock);
}

static int
wait_in_vain(void *arg)
{
    struct scene *scene = arg;

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    must_fail(par_condition_wait(&scene->condition, &scene->lock, par_in(0.05)), ETIMEDOUT);
    scene->n_timed_out++;
    return par_lock_release(&scene->lock);
}

/* Look at a number of the scene, with the lock held. */
static int
look(struct scene *scene, const int *number)
{
    must(par_lock_acquire(&scene->lock, soon()) == 0);
    int value = *number;
    must(par_lock_release(&scene->lock) == 0);
    return value;
}

static void
notify(struct scene *scene, unsigned n)
{
    must(par_lock_acquire(&scene->lock, soon()) == 0 && par_condition_notify(&scene->condition, n) == 0);
    must(par_lock_release(&scene->lock) == 0);
}

/* So many wake up and, as far as a moment can tell, no more. */
static void
must_have_woken(struct scene *scene, int n)
{
    await(look(scene, &scene->n_woken) >= n);
    usleep(20000);
    must(look(scene, &scene->n_woken) == n);
}

/* Half of them processes, half of them threads of this process. */
struct crowd {
    par_process *process[3];
    par_thread *thread[3];
    int n;
};

static void
crowd_start(struct crowd *crowd, int n, int (*fn)(void *arg), struct scene *scene)
{
    crowd->n = n;
    for (int i = 0; i < n; i++) {
        crowd->process[i] = child_start(fn, scene);
        crowd->thread[i] = par_thread_start(fn, scene, 0, NULL);
        must(crowd->thread[i] != NULL);
    }
}

static void
crowd_end(struct crowd *crowd)
{
    for (int i = 0; i < crowd->n; i++) {
        must(child_end(crowd->process[i]) == 0);
        must(par_thread_join(crowd->thread[i], soon()) == 0 && par_thread_exitcode(crowd->thread[i]) == 0);
        par_thread_free(crowd->thread[i]);
    }
}

static void
conf_054_notify(void)
{
    struct scene *scene = shared(struct scene);
    struct crowd crowd;

    crowd_start(&crowd, 1, wait_to_be_woken, scene);
    await(look(scene, &scene->n_asleep) == 2);
    must(look(scene, &scene->n_woken) == 0);
    notify(scene, 1);
    must_have_woken(scene, 1);
    notify(scene, 1);
    must_have_woken(scene, 2);
    must_fail(par_condition_notify(&scene->condition, 1), EPERM); /* without the lock */
    crowd_end(&crowd);
}

static void
conf_055_notify_all(void)
{
    struct scene *scene = shared(struct scene);
    struct crowd crowd;

    crowd_start(&crowd, 3, wait_in_vain, scene);
    crowd_end(&crowd);
    must(scene->n_timed_out == 6);
    crowd_start(&crowd, 3, wait_to_be_woken, scene);
    await(look(scene, &scene->n_asleep) == 6);
    must(look(scene, &scene->n_woken) == 0);
    must(par_lock_acquire(&scene->lock, soon()) == 0 && par_condition_notify_all(&scene->condition) == 0);
    must(par_lock_release(&scene->lock) == 0);
    crowd_end(&crowd);
    must(scene->n_woken == 6);
}

static void
conf_056_notify_n(void)
{
    struct scene *scene = shared(struct scene);
    struct crowd crowd;

    crowd_start(&crowd, 3, wait_to_be_woken, scene);
    await(look(scene, &scene->n_asleep) == 6);
    notify(scene, 2);
    must_have_woken(scene, 2);
    notify(scene, 4);
    must_have_woken(scene, 6);
    notify(scene, 3);
    must_have_woken(scene, 6);
    crowd_end(&crowd);
}

static void
conf_057_timeout(void)
{
    struct scene *scene = shared(struct scene);
    par_time start = par_now();

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    must_fail(par_condition_wait(&scene->condition, &scene->lock, par_in(0.1)), ETIMEDOUT);
    must(par_since(start) >= 0.1 && par_lock_release(&scene->lock) == 0);
}

static void
set_counter(struct scene *scene, int value)
{
    scene->counter = value;
    must(par_condition_notify(&scene->condition, 1) == 0);
}

struct goal {
    const struct scene *scene;
    int value;
};

static bool
is_reached(void *arg)
{
    const struct goal *goal = arg;

    return goal->scene->counter == goal->value;
}

static void
wait_for_counter(struct scene *scene, int value)
{
    must(par_condition_wait_for(&scene->condition, &scene->lock, is_reached, &(struct goal){ scene, value }, soon()) == 0);
}

static int
count_from_one(void *arg)
{
    struct scene *scene = arg;

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    for (int i = 0; i < 4; i += 2) {
        wait_for_counter(scene, i);
        set_counter(scene, i + 1);
    }
    return par_lock_release(&scene->lock);
}

static void
conf_058_waitfor(void)
{
    struct scene *scene = shared(struct scene);
    struct peer peer = peer_start(count_from_one, scene);

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    for (int i = 1; i <= 3; i += 2) {
        wait_for_counter(scene, i);
        set_counter(scene, i + 1);
    }
    must(scene->counter == 4 && par_lock_release(&scene->lock) == 0 && peer_end(peer) == 0);
}

static void
conf_059_waitfor_timeout(void)
{
    struct scene *scene = shared(struct scene);
    par_time start = par_now();

    must(par_lock_acquire(&scene->lock, soon()) == 0);
    must_fail(par_condition_wait_for(&scene->condition, &scene->lock, is_reached, &(struct goal){ scene, 4 }, par_in(0.1)),
              ETIMEDOUT);
    must(par_since(start) >= 0.1 && par_lock_release(&scene->lock) == 0);
}

static void
interrupt_calls(int signal)
{
    (void)signal;
    par_interrupt(true);
}

static pid_t world;

static int
notify_then_interrupt(void *arg)
{
    notify(arg, 1);
    return kill(world, SIGINT);
}

static void
conf_060_wait_result(void)
{
    struct scene *scene = shared(struct scene);

    world = getpid();
    must(signal(SIGINT, interrupt_calls) != SIG_ERR && par_lock_acquire(&scene->lock, soon()) == 0);
    must_fail(par_condition_wait(&scene->condition, &scene->lock, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_condition_wait(&scene->condition, &scene->lock, par_in(0.1)), ETIMEDOUT);
    struct peer peer = peer_start(notify_then_interrupt, scene);
    must(par_condition_wait(&scene->condition, &scene->lock, soon()) == 0);
    must_fail(par_condition_wait(&scene->condition, &scene->lock, soon()), EINTR);
    par_interrupt(false);
    must(par_lock_release(&scene->lock) == 0 && peer_end(peer) == 0);
}

const struct behaviour condition_behaviours[] = {
    PASSES(054, notify, IN_PROCESSES, "a waiting process and a waiting thread: each notify wakes exactly one",
           "par_condition_wait, par_condition_notify"),
    PASSES(055, notify_all, IN_PROCESSES, "six waiters time out; then six others are woken at once",
           "par_condition_notify_all"),
    PASSES(056, notify_n, IN_PROCESSES, "of six waiters 2 are woken, then 4, then nobody", "par_condition_notify"),
    PASSES(057, timeout, IN_PROCESSES, "ETIMEDOUT, not early, and the lock is held", "par_condition_wait"),
    PASSES(058, waitfor, IN_BOTH, "two hand a counter to each other up to 4", "par_condition_wait_for"),
    PASSES(059, waitfor_timeout, IN_PROCESSES, "what never becomes true ends with the deadline, not early",
           "par_condition_wait_for"),
    PASSES(060, wait_result, IN_BOTH, "ETIMEDOUT now and after a tenth of a second; 0 if notified; EINTR by a SIGINT handler",
           "par_condition_wait, par_interrupt"),
    END_OF_TABLE
};
