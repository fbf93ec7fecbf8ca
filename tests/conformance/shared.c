/* SPDX-License-Identifier: MIT
 *
 * shared.c: behaviours 73 to 94: values, arrays, the heap, named segments.
 */
#include "conformance.h"

#include <stdio.h>

/* ---- 73 to 75: values */

struct values {
    int *i;
    double *d;
    short *h;
    long long *q;
    char *c;
    bool with_locks;
};

static void
lock_of(const void *block, bool with_locks)
{
    must(!with_locks || par_lock_acquire(par_lock_of(block), soon()) == 0);
}

static void
unlock_of(const void *block, bool with_locks)
{
    must(!with_locks || par_lock_release(par_lock_of(block)) == 0);
}

/* Store a value in a block, with the lock of the block if so asked. */
#define store(values, member, value)                                               \
    (lock_of((values)->member, (values)->with_locks), *(values)->member = (value), \
     unlock_of((values)->member, (values)->with_locks))

static int
change_values(void *arg)
{
    struct values *v = arg;

    must(*v->i == 7 && *v->d == 3.5 && *v->h == -232 && *v->q == 1LL << 33 && *v->c == 'x'); /* exact */
    store(v, i, 42);
    store(v, d, -2.25);
    store(v, h, 234);
    store(v, q, 2LL << 33);
    store(v, c, 'y');
    return 0;
}

static void
values_change(bool with_locks)
{
    struct values *v = shared(struct values);

    *v = (struct values){
        par_value(int), par_value(double), par_value(short), par_value(long long), par_value(char), with_locks
    };
    must(v->i != NULL && v->d != NULL && v->h != NULL && v->q != NULL && v->c != NULL);
    must(*v->i == 0 && *v->d == 0 && *v->h == 0 && *v->q == 0 && *v->c == '\0');
    store(v, i, 7);
    store(v, d, 3.5);
    store(v, h, -232);
    store(v, q, 1LL << 33);
    store(v, c, 'x');
    must(peer_end(peer_start(change_values, v)) == 0);
    must(*v->i == 42 && *v->d == -2.25 && *v->h == 234 && *v->q == 2LL << 33 && *v->c == 'y');
}

static void
conf_073_value(void)
{
    values_change(true);
}

static void
conf_074_rawvalue(void)
{
    values_change(false);
}

struct account {
    par_lock own_lock;
    long balance;
    const par_lock *block_lock; /* as the peer sees it */
    par_event is_held, go;
};

static int
hold_block_lock(void *arg)
{
    struct account *account = arg;

    account->block_lock = par_lock_of(account);
    must(par_lock_acquire(par_lock_of(account), soon()) == 0 && par_event_set(&account->is_held) == 0);
    must(par_event_wait(&account->go, soon()) == 0);
    return par_lock_release(par_lock_of(account));
}

/* A block has a lock of its own, the same one for all; locks inside it are others. */
static void
block_has_lock(struct account *account)
{
    struct peer peer = peer_start(hold_block_lock, account);

    must(par_event_wait(&account->is_held, soon()) == 0);
    must(account->block_lock == par_lock_of(account) && account->block_lock != &account->own_lock);
    must_fail(par_lock_acquire(par_lock_of(account), PAR_NOWAIT), ETIMEDOUT);
    must(par_lock_acquire(&account->own_lock, PAR_NOWAIT) == 0 && par_lock_release(&account->own_lock) == 0);
    par_event_set(&account->go);
    must(peer_end(peer) == 0);
}

static void
must_have_no_lock(const void *no_block)
{
    errno = 0;
    must(par_lock_of(no_block) == NULL && errno == EINVAL);
}

static void
conf_075_value_getobj_getlock(void)
{
    struct account *account = shared(struct account);
    long private = 0;

    block_has_lock(account);
    must_have_no_lock(&account->balance); /* not where the block starts */
    must_have_no_lock(&private);
    must_have_no_lock(NULL);
}

/* ---- 76 to 79: arrays */

struct series {
    int *item;
    size_t n;
    bool with_lock;
};

static int
sum_up(void *arg)
{
    struct series *series = arg;

    lock_of(series->item, series->with_lock);
    for (size_t i = 1; i < series->n; i++)
        series->item[i] += series->item[i - 1];
    unlock_of(series->item, series->with_lock);
    return 0;
}

static void
array_is_summed_up(bool with_lock)
{
    static const int start[] = { 680, 626, 934, 821, 150, 233, 548, 982, 714, 831 };
    struct series *series = shared(struct series);
    int expected[10], slice[3] = { 1, 2, 3 };

    *series = (struct series){ par_array(int, 10), 10, with_lock };
    must(series->item != NULL && par_shared_length(series->item) == 10);
    memcpy(series->item, start, sizeof start);
    must(series->item[3] == 821 && memcmp(series->item + 2, start + 2, 5 * sizeof *start) == 0);
    memcpy(series->item + 4, slice, sizeof slice);
    memcpy(expected, series->item, sizeof expected);
    for (int i = 1; i < 10; i++)
        expected[i] += expected[i - 1];
    must(peer_end(peer_start(sum_up, series)) == 0);
    must(memcmp(series->item, expected, sizeof expected) == 0);
}

static void
conf_076_array(void)
{
    array_is_summed_up(true);
}

static void
conf_077_array_from_size(void)
{
    for (int round = 0; round < 3; round++) {
        int *item = par_array(int, 10);

        must(item != NULL && par_shared_length(item) == 10);
        for (int i = 0; i < 10; i++) {
            must(item[i] == 0);
            item[i] = i + 1; /* the next one gets this memory */
        }
        par_shared_free(item);
    }
}

static void
conf_078_rawarray(void)
{
    array_is_summed_up(false);
}

static void
conf_079_array_getobj_getlock(void)
{
    struct account *accounts = par_array(struct account, 3);

    must(accounts != NULL && par_shared_length(accounts) == 3);
    block_has_lock(accounts);
    must_have_no_lock(accounts + 1);
}

/* ---- 80 to 82: structs, copies, the heap */

struct point {
    int x;
    double y;
};

struct objects {
    int *x;
    double *y;
    struct point *point;
    double *series;
    char *text;
    bool with_locks;
};

static int
double_all(void *arg)
{
    struct objects *o = arg;

    store(o, x, *o->x * 2);
    store(o, y, *o->y * 2);
    store(o, point, ((struct point){ o->point->x * 2, o->point->y * 2 }));
    lock_of(o->text, o->with_locks);
    memcpy(o->text + 5, o->text, 5);
    unlock_of(o->text, o->with_locks);
    for (size_t i = 0; i < par_shared_length(o->series); i++)
        o->series[i] *= 2;
    return 0;
}

static void
conf_080_sharedctypes(void)
{
    for (int with_locks = 0; with_locks < 2; with_locks++) {
        struct objects *o = shared(struct objects);

        *o = (struct objects){ par_value(int),        par_value(double),   par_value(struct point),
                               par_array(double, 10), par_array(char, 20), with_locks == 1 };
        must(o->x != NULL && o->y != NULL && o->point != NULL && o->series != NULL && o->text != NULL);
        *o->x = 7;
        *o->y = 1.5;
        *o->point = (struct point){ 3, 2.5 };
        memcpy(o->text, "hello", 6);
        for (int i = 0; i < 10; i++)
            o->series[i] = i;
        must(peer_end(peer_start(double_all, o)) == 0);
        must(*o->x == 14 && *o->y == 3.0 && o->point->x == 6 && o->point->y == 5.0); /* exact */
        must(strcmp(o->text, "hellohello") == 0 && o->series[0] == 0 && o->series[9] == 18);
    }
}

static void
conf_081_copy(void)
{
    struct point *original = shared(struct point), *copy = shared(struct point);
    char *text = par_shared_strdup("text"), *other = par_shared_strdup(text);

    *original = (struct point){ 2, 5.0 };
    *copy = *original;
    *original = (struct point){ 0, 0 };
    must(copy->x == 2 && copy->y == 5.0);
    must(text != NULL && other != NULL && text != other);
    text[0] = 'n';
    must(strcmp(other, "text") == 0 && par_is_shared(other) && par_shared_length(other) == 5);
}

struct block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

/* Nobody else has written into it. */
static void
block_free(struct block *block)
{
    for (size_t i = 0; i < block->size; i++)
        must(block->at[i] == block->mark);
    par_shared_free(block->at);
    *block = (struct block){ NULL, 0, 0 };
}

static void
block_make(struct block *block, size_t size, unsigned char mark)
{
    *block = (struct block){ par_shared_alloc(size, 1), size, mark };
    must(block->at != NULL);
    for (size_t i = 0; i < size; i++)
        must(block->at[i] == 0);
    memset(block->at, mark, size);
}

static void
conf_082_heap(void)
{
    static struct block block[64];
    uint64_t random = 88172645463325252u; /* Marsaglia's xorshift */

    must(setenv("PAR_ARENA_LIMIT", "16M", 1) == 0);
    for (int i = 0; i < 5000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        struct block *at = &block[random % 64];

        if (at->at != NULL)
            block_free(at);
        block_make(at, 1 + (random >> 8) % 30000, (unsigned char)(1 + i % 255));
    }
    for (int i = 0; i < 64; i++)
        if (block[i].at != NULL)
            block_free(&block[i]);
    unsigned char *rest = par_shared_alloc(8 << 20, 1); /* all has come back, and in one piece */
    must(rest != NULL);
    par_shared_free(rest);
}

/* ---- 83 to 94: memory with a name */

static char segment[64];

static const char *
fresh_name(const char *what)
{
    snprintf(segment, sizeof segment, "libpar-%s-%d", what, (int)getpid());
    return segment;
}

static void
conf_083_shared_memory_basics(void)
{
    par_shm *shm = par_shm_create(fresh_name("basics"), 512, &(par_shm_opts){ .persistent = true });

    must(shm != NULL && par_shm_size(shm) == 512 && strcmp(par_shm_name(shm), segment) == 0);
    ((char *)par_shm_data(shm))[0] = 42;
    par_shm *other = par_shm_attach(segment);
    must(other != NULL && par_shm_size(other) == 512 && ((char *)par_shm_data(other))[0] == 42);
    ((char *)par_shm_data(other))[511] = 7;
    must(((char *)par_shm_data(shm))[511] == 7);
    errno = 0;
    par_shm *again = par_shm_create(segment, 512, NULL);
    must(again == NULL && errno == EEXIST);
    par_shm_free(other);
    must(((char *)par_shm_data(shm))[0] == 42);
    must(par_shm_unlink(segment) == 0);
    must_fail(par_shm_unlink(segment), ENOENT);
    par_shm *gone = par_shm_attach(segment);
    must(gone == NULL && errno == ENOENT);
    par_shm_free(shm);
}

static void
must_refuse(const char *name, size_t size, int error)
{
    errno = 0;
    par_shm *shm = par_shm_create(name, size, NULL);
    must(shm == NULL && errno == error);
}

static void
conf_084_invalid_shared_memory_creation(void)
{
    must_refuse(fresh_name("invalid"), 0, EINVAL);
    must_refuse(segment, (size_t)-1, ENOSPC);
    must_refuse("", 1, EINVAL);
    errno = 0;
    par_shm *nameless = par_shm_attach(NULL);
    must(nameless == NULL && errno == EINVAL);
}

static void
conf_086_name_with_colon(void)
{
    fresh_name("a:b");
    par_shm *shm = par_shm_create(segment, 1, NULL), *other = par_shm_attach(segment);
    must(shm != NULL && other != NULL && strchr(par_shm_name(other), ':') != NULL);
    par_shm_free(other);
    par_shm_free(shm);
}

static int
change_by_name(void *arg)
{
    par_shm *shm = par_shm_attach(arg);

    must(shm != NULL && memcmp(par_shm_data(shm), "parent", 6) == 0);
    memcpy(par_shm_data(shm), "child!", 6);
    par_shm_free(shm);
    return 0;
}

static void
conf_087_shared_memory_across_processes(void)
{
    par_shm *shm = par_shm_create(fresh_name("across"), 60, NULL);

    must(shm != NULL);
    memcpy(par_shm_data(shm), "parent", 6);
    must(only_child(change_by_name, segment) == 0);
    must(memcmp(par_shm_data(shm), "child!", 6) == 0);
    par_shm_free(shm);
}

struct creation {
    par_event made;
};

static int
create_and_wait(void *arg)
{
    struct creation *creation = arg;

    must(par_shm_create(segment, 10, NULL) != NULL && par_event_set(&creation->made) == 0);
    for (;;)
        pause();
}

/* Created by a child that is then ended by this signal. */
static void
leave_segment(const char *what, int signal)
{
    struct creation *creation = shared(struct creation);

    fresh_name(what);
    par_process *creator = par_process_start(create_and_wait, creation, 0, NULL);
    must(creator != NULL && par_event_wait(&creation->made, soon()) == 0);
    par_shm *shm = par_shm_attach(segment); /* it lives, and so does its name */
    must(shm != NULL);
    par_shm_free(shm);
    must(kill(par_process_pid(creator), signal) == 0 && child_end(creator) == -signal);
}

static void
conf_088_shared_memory_cleaned_after_process_termination(void)
{
    leave_segment("cleaned", SIGTERM);
    errno = 0;
    par_shm *shm = par_shm_attach(segment);
    must(shm == NULL && errno == ENOENT);
}

static int
attach_and_end(void *arg)
{
    return par_shm_attach(arg) != NULL ? 0 : 1; /* and leave it so */
}

static void
conf_089_shared_memory_tracking(void)
{
    par_shm *shm = par_shm_create(fresh_name("tracking"), 10, NULL);

    must(shm != NULL && only_child(attach_and_end, segment) == 0);
    par_shm *other = par_shm_attach(segment);
    must(other != NULL);
    par_shm_free(other);
    par_shm_free(shm);
}

static int
create_persistent(void *arg)
{
    return par_shm_create(arg, 10, &(par_shm_opts){ .persistent = true }) != NULL ? 0 : 1;
}

static void
conf_090_shared_memory_untracking(void)
{
    fresh_name("untracking");
    must(only_child(create_persistent, segment) == 0);
    must(par_shm_sweep(NULL, NULL) >= 0);
    par_shm *shm = par_shm_attach(segment);
    must(shm != NULL && par_shm_unlink(segment) == 0);
    par_shm_free(shm);
}

static void
must_hold(const par_shareable_list *list, ssize_t i, const char *expected)
{
    par_obj *item = par_shareable_list_get(list, i);
    char *text = par_obj_repr(item);

    must(text != NULL && strcmp(text, expected) == 0);
    free(text);
    par_obj_free(item);
}

static void
conf_093_shareable_list_basics(void)
{
    par_obj *items = par_tuple(par_str("howdy"), par_bytes("HoWdY", 5), par_float(-273.154), par_int(100), par_none(),
                               par_bool(true), par_int(42));
    par_shareable_list *list = par_shareable_list_create(fresh_name("list"), items, NULL);
    static const char *const expected[] = { "'howdy'", "b'HoWdY'", "-273.154", "100", "None", "True", "42" };

    must(list != NULL && par_shareable_list_len(list) == 7);
    for (int i = 0; i < 7; i++)
        must_hold(list, i, expected[i]);
    par_obj *hundred = par_int(100);
    must(par_shareable_list_count(list, hundred) == 1 && par_shareable_list_index(list, hundred) == 3);
    par_obj_free(hundred);
    must(par_shareable_list_set(list, 4, par_str("without")) == 0); /* another type */
    must_hold(list, 4, "'without'");
    must(par_shareable_list_set(list, 3, par_int(42)) == 0);
    must_fail(par_shareable_list_set(list, 4, par_str("far too many")), EMSGSIZE);
    must_hold(list, 4, "'without'");
    must_hold(list, 3, "42"); /* neighbours are untouched */
    must_hold(list, 5, "True");
    par_obj *none = par_shareable_list_get(list, 7);
    must(none == NULL && errno == ENOENT);
    par_shareable_list *other = par_shareable_list_attach(segment);
    must(other != NULL && par_shareable_list_set(other, -1, par_float(1.5)) == 0);
    must_hold(list, 6, "1.5");
    par_shareable_list_free(other);
    par_shareable_list_free(list);
    par_obj_free(items);
}

static void
conf_094_shareable_list_attach_after_unlink(void)
{
    par_obj *items = par_tuple(par_int(1), par_int(2));
    par_shareable_list *list = par_shareable_list_create(fresh_name("unlinked"), items, NULL);

    must(list != NULL && par_shm_unlink(segment) == 0);
    errno = 0;
    par_shareable_list *other = par_shareable_list_attach(segment);
    must(other == NULL && errno == ENOENT);
    must_hold(list, 1, "2");
    par_shareable_list_free(list);
    par_obj_free(items);
}

const struct behaviour shared_behaviours[] = {
    PASSES(073, value, IN_BOTH,
           "int, double, short, long long, char: zero at first, set by one, changed by the other under its lock",
           "par_value, par_lock_of"),
    PASSES(074, rawvalue, IN_BOTH, "the same without locks", "par_value"),
    PASSES(075, value_getobj_getlock, IN_BOTH,
           "a block's lock is the same for all and another than those inside it; what is no block has none", "par_lock_of"),
    PASSES(076, array, IN_BOTH, "length, items, ranges; the other sums it up in place", "par_array, par_shared_length"),
    PASSES(077, array_from_size, IN_PROCESSES, "zero each time, though its memory was used before", "par_array"),
    PASSES(078, rawarray, IN_BOTH, "as 076 without a lock", "par_array"),
    PASSES(079, array_getobj_getlock, IN_BOTH, "an array has one lock, its items have none of their own", "par_lock_of"),
    PASSES(080, sharedctypes, IN_BOTH, "scalars, a struct, an array, text: doubled by the other, with locks and without",
           "par_value, par_array"),
    PASSES(081, copy, IN_PROCESSES, "a copy does not change with its original", "par_value, par_shared_strdup"),
    PASSES(082, heap, IN_PROCESSES, "5000 random blocks never overlap, and all the memory comes back",
           "par_shared_alloc, par_shared_free"),
    PASSES(083, shared_memory_basics, IN_PROCESSES, "a named segment: size, attaching, data, errors, unlinking twice",
           "par_shm_create"),
    PASSES(084, invalid_shared_memory_creation, IN_PROCESSES, "no size, too large a size, no name", "par_shm_create"),
    CANNOT(085, name_with_embedded_null, "a C string ends at its NUL, so that no name can hold one"),
    PASSES(086, name_with_colon, IN_PROCESSES, "a name with a colon is a name like any other", "par_shm_create"),
    PASSES(087, shared_memory_across_processes, IN_PROCESSES, "a child attaches by name", "par_shm_attach"),
    PASSES(088, shared_memory_cleaned_after_process_termination, IN_PROCESSES,
           "the creator is terminated, its segment is not found any more", "par_shm_create"),
    PASSES(089, shared_memory_tracking, IN_PROCESSES, "an attacher that ends does not destroy the segment", "par_shm_attach"),
    PASSES(090, shared_memory_untracking, IN_PROCESSES, "a segment outlives its creator if so asked",
           "par_shm_opts.persistent"),
    CANNOT(
        091, shared_memory_manager_basics,
        "libpar's shared blocks have no name and no manager: par_shared_free frees one, and all go with the family's last process"),
    CANNOT(092, shared_memory_server_ignores_sigint, "as 091: there is no such server"),
    PASSES(093, shareable_list_basics, IN_PROCESSES,
           "every type, count, index, replacing in place, another type, too long, neighbours untouched, attaching",
           "par_shareable_list_create"),
    PASSES(094, shareable_list_attach_after_unlink, IN_PROCESSES, "attaching after the unlink is an error",
           "par_shareable_list_attach"),
    END_OF_TABLE
};
