/* SPDX-License-Identifier: MIT
 *
 * pool.c: behaviours 132 to 152: pools, of processes and of threads.
 */
#include "conformance.h"

static par_pool *
new_pool(unsigned workers)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = workers, .backend = pool_backend() });

    must(pool != NULL);
    return pool;
}

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(long *)out = *(const long *)in * *(const long *)in;
    return 0;
}

static void
count_up(long *array, size_t n)
{
    for (size_t i = 0; i < n; i++)
        array[i] = (long)i;
}

/* ---- 132 to 135: values and order */

struct factors {
    long a, b;
};

static int
multiply(const void *in, void *out, void *ctx)
{
    const struct factors *f = in;

    (void)ctx;
    *(long *)out = f->a * f->b;
    return 0;
}

static void
apply_and_map(par_pool *pool)
{
    long number[100], result[100];
    struct factors pair[100];

    count_up(number, 100);
    must(par_pool_apply(pool, square, &number[5], result) == 0 && result[0] == 25);
    must(par_pool_map(pool, square, number, result, 10) == 0);
    for (long i = 0; i < 10; i++)
        must(result[i] == i * i);
    must(par_pool_map_with(pool, square, number, result, 100, &(par_job_opts){ .chunk = 20 }) == 0);
    for (long i = 0; i < 100; i++) {
        must(result[i] == i * i);
        pair[i] = (struct factors){ i, 100 - i };
    }
    must(par_pool_map(pool, multiply, pair, result, 100) == 0);
    for (long i = 0; i < 100; i++)
        must(result[i] == i * (100 - i));
}

static void
conf_135_map_chunksize(void)
{
    par_pool *pool = new_pool(2);
    long none[1], result[1];

    must(par_pool_map_with(pool, square, none, result, 0, &(par_job_opts){ .chunk = 1, .deadline = soon() }) == 0);
    par_pool_free(pool);
}

/* ---- 141 to 145: making, ending, failing */

static void
conf_141_make_pool(void)
{
    errno = 0;
    par_pool *refused = par_pool_new(&(par_pool_opts){ .workers = (unsigned)-1, .backend = pool_backend() });
    must(refused == NULL && errno == EINVAL);
    refused = par_pool_new(&(par_pool_opts){ .workers = 1, .backend = 77 });
    must(refused == NULL && errno == EINVAL);
    par_pool *pool = new_pool(3);
    must(par_pool_workers(pool) == 3);
    par_pool_free(pool);
    pool = new_pool(0);
    must(par_pool_workers(pool) == par_cpu_count());
    par_pool_free(pool);
}

struct sleepers {
    par_pool *pool;
    _Atomic int n_begun;
    int error;
    ssize_t n_not_good;
};

/* A second, in which a thread looks whether it may stop. */
static int
sleep_a_second(const void *in, void *out, void *ctx)
{
    struct sleepers *sleepers = *(struct sleepers *const *)in;

    (void)out;
    (void)ctx;
    atomic_fetch_add(&sleepers->n_begun, 1);
    for (int i = 0; i < 1000 && !par_task_cancelled(); i++)
        usleep(1000);
    return 0;
}

static int
map_sleepers(void *arg)
{
    struct sleepers *sleepers = arg;
    struct sleepers **in = calloc(10000, sizeof *in);

    must(in != NULL);
    for (int i = 0; i < 10000; i++)
        in[i] = sleepers;
    sleepers->n_not_good = par_pool_map_sized(sleepers->pool, sleep_a_second, in, sizeof *in, NULL, 0, 10000, NULL);
    sleepers->error = errno;
    free(in);
    return 0;
}

static void
conf_142_terminate(void)
{
    struct sleepers *sleepers = shared(struct sleepers);

    sleepers->pool = new_pool(3);
    par_thread *mapper = par_thread_start(map_sleepers, sleepers, 0, NULL);
    must(mapper != NULL);
    await(atomic_load(&sleepers->n_begun) > 0);
    must(par_pool_terminate(sleepers->pool) == 0 && par_pool_join(sleepers->pool, soon()) == 0);
    must(par_thread_join(mapper, soon()) == 0);
    must(sleepers->n_not_good > 9000 && sleepers->error == ECANCELED);
    par_thread_free(mapper);
    par_pool_free(sleepers->pool);
}

static void
conf_143_context(void)
{
    int (*const end[])(par_pool *) = { par_pool_close, par_pool_terminate };
    long number = 3, result;

    for (int i = 0; i < 2; i++) {
        par_pool *pool = new_pool(2);

        must_fail(par_pool_join(pool, PAR_NOWAIT), EBUSY);
        must(par_pool_apply(pool, square, &number, &result) == 0 && result == 9);
        must(end[i](pool) == 0);
        must_fail(par_pool_apply(pool, square, &number, &result), EPIPE);
        must(par_pool_join(pool, soon()) == 0 && par_pool_workers(pool) == 0);
        must_fail(par_pool_apply(pool, square, &number, &result), EPIPE);
        par_pool_free(pool);
    }
    par_pool_free(NULL);
}

static int
refuse_odd(const void *in, void *out, void *ctx)
{
    long number = *(const long *)in;

    (void)out;
    (void)ctx;
    return number % 2 == 0 ? 0 : par_task_fail(123, "%ld is odd", number);
}

static void
conf_144_traceback(void)
{
    par_pool *pool = new_pool(2);
    long number[4];
    par_status failure[4];
    unsigned char state[4];
    par_job_opts opts = { .state = state, .failures = failure, .max_failures = 4 };

    count_up(number, 4);
    must(par_pool_map_sized(pool, refuse_odd, number, sizeof *number, NULL, 0, 4, &opts) == 2);
    must(state[0] == PAR_OK && state[1] == PAR_FAILED && state[2] == PAR_OK && state[3] == PAR_FAILED);
    must(failure[0].index == 1 && failure[0].code == 123 && strcmp(failure[0].text, "1 is odd") == 0);
    must(failure[1].index == 3 && strcmp(failure[1].text, "3 is odd") == 0);
    must(strstr(par_error(), "is odd") != NULL);
    par_pool_free(pool);
}

/* The first item fails at once, the last one takes its time. */
static int
fail_or_linger(const void *in, void *out, void *ctx)
{
    (void)ctx;
    if (*(const long *)in == 0)
        return 1;
    if (*(const long *)in == 9)
        usleep(100000);
    *(long *)out = 1;
    return 0;
}

static void
conf_145_map_no_failfast(void)
{
    par_pool *pool = new_pool(2);
    long number[10], result[10] = { 0 };

    count_up(number, 10);
    must(par_pool_map(pool, fail_or_linger, number, result, 10) == 1);
    for (int i = 1; i < 10; i++)
        must(result[i] == 1);
    par_pool_free(pool);
}

/* ---- 150 to 152 */

static void
conf_150_release_unused_processes(void)
{
    struct rlimit old;

    must(par_process_current() != NULL);
    few_descriptors(&old, 6);
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 50, .backend = PAR_PROCESSES });
    must(pool == NULL && errno == EMFILE); /* the world sees that no worker is left */
    must(setrlimit(RLIMIT_NOFILE, &old) == 0);
    pool = new_pool(50);
    must(par_pool_workers(pool) == 50);
    par_pool_free(pool);
}

static void
conf_151_large_pool(void)
{
    par_pool *pool = new_pool(64);
    long number[1000], result[1000], sum = 0;

    count_up(number, 1000);
    must(par_pool_map(pool, square, number, result, 1000) == 0);
    for (int i = 0; i < 1000; i++)
        sum += result[i];
    must(sum == 332833500 && par_pool_workers(pool) == 64);
    par_pool_free(pool);
}

static int
tell_pid(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    *(pid_t *)out = getpid();
    return 0;
}

static void
conf_149_worker_lifetime(void)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 3, .backend = PAR_PROCESSES, .max_tasks = 10 });
    pid_t pid[100];

    must(pool != NULL && par_pool_map_sized(pool, tell_pid, NULL, 0, pid, sizeof *pid, 100, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        int n = 0;
        for (int j = 0; j < 100; j++)
            n += pid[j] == pid[i];
        must(n <= 10);
    }
    must(par_pool_close(pool) == 0 && par_pool_join(pool, soon()) == 0);
    par_pool_free(pool);
}

static int
leave_pool_open(void *arg)
{
    long number[10], result[10];
    par_pool *pool = new_pool(3);

    (void)arg;
    count_up(number, 10);
    return par_pool_map(pool, square, number, result, 10) == 0 && result[9] == 81 ? 0 : 1;
}

static void
conf_152_finalization(void)
{
    must(only_child(leave_pool_open, NULL) == 0); /* the world sees that no worker is left */
}

/* ---- what is not waited for at once */

static par_future *
submit_square(par_pool *pool, long n)
{
    par_future *future = par_pool_submit(pool, square, &n, sizeof n);

    must(future != NULL);
    return future;
}

static void
conf_132_apply(void)
{
    par_pool *pool = new_pool(2);
    long number[100], result[100], one;

    apply_and_map(pool);
    count_up(number, 100);
    par_future *single = submit_square(pool, 11), *all = par_pool_map_async(pool, square, number, result, 100);
    must(all != NULL);
    must(par_future_get(single, &one, soon()) == 0 && one == 121);
    must(par_future_get(all, NULL, soon()) == 0);
    for (long i = 0; i < 100; i++)
        must(result[i] == i * i);
    par_future_free(single);
    par_future_free(all);
    par_pool_free(pool);
}

struct calls {
    _Atomic int n, state, code;
};

static void
note_call(par_future *future, void *arg)
{
    struct calls *calls = arg;
    par_status status;

    must(par_future_status(future, &status) == 0);
    atomic_store(&calls->state, status.state);
    atomic_store(&calls->code, status.code);
    atomic_fetch_add(&calls->n, 1);
}

static int
fail_on_five(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(long *)out = 1;
    return *(const long *)in == 5 ? 42 : 0;
}

static void
conf_133_map_async_callbacks(void)
{
    par_pool *pool = new_pool(2);
    long number[10], result[10];
    struct calls good = { 0 }, bad = { 0 };

    count_up(number, 10);
    par_future *future[2] = { par_pool_map_async(pool, square, number, result, 10), NULL };
    must(future[0] != NULL && par_future_on_done(future[0], note_call, &good) == 0);
    must(par_future_get(future[0], NULL, soon()) == 0 && result[9] == 81);
    future[1] = par_pool_map_async(pool, fail_on_five, number, result, 10);
    must(future[1] != NULL && par_future_on_done(future[1], note_call, &bad) == 0);
    must(par_pool_close(pool) == 0 && par_pool_join(pool, soon()) == 0);
    must(good.n == 1 && good.state == PAR_OK);
    must(bad.n == 1 && bad.state == PAR_FAILED && bad.code == 1); /* one item */
    par_future_free(future[0]);
    par_future_free(future[1]);
    par_pool_free(pool);
}

struct source {
    long next, end, fails_at;
};

static int
count_on(void *item, void *arg)
{
    struct source *source = arg;

    if (source->next == source->fails_at) {
        errno = EILSEQ;
        return -1;
    }
    if (source->next == source->end)
        return 0;
    *(long *)item = source->next++;
    return 1;
}

static par_imap *
stream(par_pool *pool, struct source *source, bool unordered, size_t chunk)
{
    par_imap *imap = par_pool_imap(pool, square, count_on, source, sizeof(long), sizeof(long),
                                   &(par_imap_opts){ .unordered = unordered, .chunk = chunk });

    must(imap != NULL);
    return imap;
}

static void
conf_134_empty_iterable(void)
{
    par_pool *pool = new_pool(2);
    long none[1], result[1] = { 7 };

    must(par_pool_map(pool, square, none, result, 0) == 0 && result[0] == 7);
    for (int unordered = 0; unordered < 2; unordered++) {
        struct source source = { 0, 0, -1 };
        par_imap *imap = stream(pool, &source, unordered, 1);
        must(par_imap_next(imap, result, NULL, soon()) == 0 && result[0] == 7);
        par_imap_free(imap);
    }
    par_future *future = par_pool_map_async(pool, square, none, result, 0);
    must(par_future_get(future, NULL, soon()) == 0);
    par_future_free(future);
    par_pool_free(pool);
}

static void
conf_136_iterable_exception(void)
{
    par_pool *pool = new_pool(3);

    for (long fails_at = 3; fails_at <= 7; fails_at += 4)
        for (size_t chunk = 1; chunk <= 4; chunk *= 2)
            for (int unordered = 0; unordered < 2; unordered++) {
                struct source source = { 0, 100, fails_at };
                par_imap *imap = stream(pool, &source, unordered, chunk);
                par_status status;
                long result;
                for (long i = 0; i < fails_at; i++)
                    must(par_imap_next(imap, &result, &status, soon()) == 1);
                must(par_imap_next(imap, &result, &status, soon()) == 2 && status.code == EILSEQ);
                must(par_imap_next(imap, &result, &status, soon()) == 0);
                par_imap_free(imap);
            }
    par_pool_free(pool);
}

static int
sleep_in_ms(const void *in, void *out, void *ctx)
{
    (void)ctx;
    usleep((unsigned)*(const int *)in * 1000);
    *(int *)out = *(const int *)in;
    return 0;
}

static void
conf_137_async(void)
{
    par_pool *pool = new_pool(1);
    int ms = 300, result = 0;
    par_time start = par_now();
    par_future *future = par_pool_submit(pool, sleep_in_ms, &ms, sizeof result);

    must(future != NULL && par_since(start) < 0.3); /* nobody has waited */
    must(par_future_get(future, &result, soon()) == 0 && result == 300);
    must(par_since(start) >= 0.3);
    par_future_free(future);
    par_pool_free(pool);
}

static void
conf_138_async_timeout(void)
{
    par_pool *pool = new_pool(1);
    int ms = 500, result = 0;
    par_time start = par_now();
    par_future *future = par_pool_submit(pool, sleep_in_ms, &ms, sizeof result);

    must_fail(par_future_get(future, &result, par_in(0.1)), ETIMEDOUT);
    must(par_since(start) >= 0.1 && result == 0);
    must(par_future_get(future, &result, soon()) == 0 && result == 500);
    par_future_free(future);
    par_pool_free(pool);
}

static void
conf_139_imap(void)
{
    par_pool *pool = new_pool(4);
    size_t chunk[] = { 1, 100 };

    for (int k = 0; k < 2; k++) {
        struct source source = { 0, 1000, -1 };
        par_imap *imap = stream(pool, &source, false, chunk[k]);
        long result;
        for (long i = 0; i < 1000; i++)
            must(par_imap_next(imap, &result, NULL, soon()) == 1 && result == i * i);
        must(par_imap_next(imap, &result, NULL, soon()) == 0 && par_imap_next(imap, &result, NULL, soon()) == 0);
        par_imap_free(imap);
    }
    par_pool_free(pool);
}

static void
conf_140_imap_unordered(void)
{
    par_pool *pool = new_pool(4);
    size_t chunk[] = { 1, 100 };

    for (int k = 0; k < 2; k++) {
        struct source source = { 0, 1000, -1 };
        par_imap *imap = stream(pool, &source, true, chunk[k]);
        unsigned char seen[1000] = { 0 };
        par_status status;
        long result, n = 0;
        for (; par_imap_next(imap, &result, &status, soon()) == 1; n++)
            must(result == (long)(status.index * status.index) && seen[status.index]++ == 0);
        must(n == 1000);
        par_imap_free(imap);
    }
    par_pool_free(pool);
}

static void
conf_147_async_error_callback(void)
{
    par_pool *pool = new_pool(2);
    struct calls calls = { 0 };
    long five = 5;
    par_future *future = par_pool_submit(pool, fail_on_five, &five, sizeof(long));

    must(future != NULL && par_future_on_done(future, note_call, &calls) == 0);
    must(par_future_get(future, NULL, soon()) == 1);
    must(par_pool_close(pool) == 0 && par_pool_join(pool, soon()) == 0);
    must(calls.n == 1 && calls.state == PAR_FAILED && calls.code == 42);
    par_future_free(future);
    par_pool_free(pool);
}

const struct behaviour pool_behaviours[] = {
    PASSES(132, apply, IN_BOTH, "apply, map, map in chunks of 20, several arguments; without waiting",
           "par_pool_map, par_pool_submit, par_pool_map_async"),
    PASSES(133, map_async_callbacks, IN_BOTH, "one call with all results, or one with the error", "par_future_on_done"),
    PASSES(134, empty_iterable, IN_BOTH, "map, imap ordered and unordered, map without waiting: of nothing comes nothing",
           "par_pool_map, par_pool_imap, par_pool_map_async"),
    PASSES(135, map_chunksize, IN_BOTH, "nothing, in chunks, does not stall", "par_job_opts.chunk"),
    PASSES(136, iterable_exception, IN_BOTH, "a source that fails: what it gave before arrives", "par_imap_next"),
    PASSES(137, async, IN_BOTH, "get waits as long as the task takes", "par_future_get"),
    PASSES(138, async_timeout, IN_BOTH, "get gives up on time, the task goes on", "par_future_get"),
    PASSES(139, imap, IN_BOTH, "in order, to the end, in chunks", "par_pool_imap"),
    PASSES(140, imap_unordered, IN_BOTH, "each once, in any order", "par_imap_opts.unordered"),
    PASSES(141, make_pool, IN_BOTH, "an impossible number or kind of workers is EINVAL; 0 is one per CPU", "par_pool_new"),
    PASSES(142, terminate, IN_BOTH, "10 000 sleeping items are given up and told so", "par_pool_terminate, par_pool_join"),
    PASSES(143, context, IN_BOTH, "after close and after terminate it ends, and a map is EPIPE",
           "par_pool_close, par_pool_terminate"),
    PASSES(144, traceback, IN_BOTH, "a task's own text and code reach the caller", "par_task_fail, par_job_opts.failures"),
    PASSES(145, map_no_failfast, IN_BOTH, "one failure ends no other item: map returns after the slowest", "par_pool_map"),
    CANNOT(146, release_task_refs,
           "arrays belong to the caller before and after a map; there are no references that could stay"),
    PASSES(147, async_error_callback, IN_BOTH, "the error reaches the callback, once", "par_future_on_done"),
    CANNOT(148, unpickleable_result, "a result is the bytes that the task stores; there is none that cannot travel"),
    PASSES(149, worker_lifetime, IN_PROCESSES, "workers are replaced after so many tasks; closing early finishes all",
           "par_pool_opts.max_tasks"),
    PASSES(150, release_unused_processes, IN_PROCESSES,
           "a worker that cannot start: the first ones are ended, the error is told", "par_pool_new"),
    PASSES(151, large_pool, IN_BOTH, "64 workers: the sum of 1000 squares is 332833500", "par_pool_map"),
    PASSES(152, finalization, IN_BOTH, "a process that never ends its pool ends, and the workers with it", "par_pool_new"),
    END_OF_TABLE
};
