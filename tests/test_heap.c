/* SPDX-License-Identifier: MIT
 *
 * test_heap.c: the arena, its allocator, and handles: blocks never overlap, come back zeroed, and survive the death of whoever was
 * at work in the heap.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "../libpar/shm/arena.h"

#define N_LIVE 500

struct piece {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

/* Random sizes: mostly small, some of many pages. */
static size_t
random_size(void)
{
    switch (fixture_random_below(8)) {
    case 0: return fixture_random_below(300000);
    case 1:
    case 2: return fixture_random_below(33000);
    default: return fixture_random_below(2000);
    }
}

static bool
is_filled_with(const struct piece *piece, unsigned char value)
{
    for (size_t i = 0; i < piece->size; i++)
        if (piece->at[i] != value)
            return false;
    return true;
}

static void
renew(struct piece *piece)
{
    if (piece->at != NULL) {
        ck_assert(is_filled_with(piece, piece->mark));
        par_shared_free(piece->at);
    }
    piece->size = random_size();
    piece->mark = (unsigned char)(1 + fixture_random_below(255));
    piece->at = par_array(unsigned char, piece->size);
    ck_assert_ptr_nonnull(piece->at);
    ck_assert_uint_eq((uintptr_t)piece->at % 64, 0);
    ck_assert(is_filled_with(piece, 0));
    memset(piece->at, piece->mark, piece->size);
}

/* ---- blocks */

START_TEST(blocks_never_overlap_and_start_zeroed)
{
    static struct piece piece[N_LIVE];
    int *first = par_value(int);
    size_t before = pari_heap_in_use();
    for (int i = 0; i < 5000; i++)
        renew(&piece[fixture_random_below(N_LIVE)]);
    for (int i = 0; i < N_LIVE; i++)
        if (piece[i].at != NULL) {
            ck_assert(is_filled_with(&piece[i], piece[i].mark));
            par_shared_free(piece[i].at);
        }
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_shared_free(first);
}
END_TEST

START_TEST(freed_memory_is_used_again)
{
    size_t committed = 0;
    for (int round = 0; round < 300; round++) {
        void *block[10];
        for (int i = 0; i < 10; i++)
            ck_assert_ptr_nonnull(block[i] = par_shared_alloc(1, (size_t)(1 + i) * 20000));
        for (int i = 0; i < 10; i++)
            par_shared_free(block[(i * 7 + round) % 10]);
        if (round == 20)
            committed = pari_arena_committed();
    }
    ck_assert_uint_le(pari_arena_committed(), committed + (1 << 20));
}
END_TEST

START_TEST(what_is_no_block_is_refused)
{
    char *block = par_array(char, 1000), *large = par_array(char, 200000);
    int local = 0;
    void *not_blocks[] = { NULL, &local, block + 64, block + 1, block - 64, large + 65536, large + 64, block + (1 << 30) };
    for (size_t i = 0; i < sizeof not_blocks / sizeof *not_blocks; i++) {
        ck_assert(!pari_heap_is_block(not_blocks[i]));
        ck_assert_uint_eq(pari_heap_length(not_blocks[i]), 0);
        ck_fails(pari_heap_free(not_blocks[i]), EINVAL);
    }
    ck_assert_int_eq(pari_heap_free(block), 0);
    ck_fails(pari_heap_free(block), EINVAL);
    ck_assert_int_eq(pari_heap_free(large), 0);
    ck_fails(pari_heap_free(large), EINVAL);
}
END_TEST

START_TEST(forged_header_inside_a_block_is_no_block)
{
    char *block = par_array(char, 8000), *small = par_array(char, 10);
    uintptr_t header = (uintptr_t)small - 64; /* of a live block of the smallest class */
    for (size_t at = 0; at + 64 <= 8000; at += 64)
        memcpy(block + at, (void *)header, 64);
    for (size_t at = 64; at + 64 <= 8000; at += 64)
        ck_assert(!pari_heap_is_block(block + at));
    ck_assert_int_eq(pari_heap_free(block), 0);
}
END_TEST

START_TEST(too_large_is_eoverflow_or_enospc)
{
    ck_fails_null(pari_heap_alloc(SIZE_MAX, 2, 0), EOVERFLOW);
    ck_fails_null(pari_heap_alloc(SIZE_MAX / 2, 4, 0), EOVERFLOW);
    ck_fails_null(pari_heap_alloc(1, SIZE_MAX, 0), EOVERFLOW);
    ck_fails_null(pari_heap_alloc(1, SIZE_MAX / 4, 0), ENOSPC);
    ck_fails_null(pari_heap_alloc(1, (size_t)1 << 46, 0), ENOSPC);
    ck_assert_ptr_nonnull(pari_heap_alloc(0, 1, 0));
}
END_TEST

/* ---- limits */

START_TEST(arena_limit_is_enospc_and_room_comes_back)
{
    void *block[100];
    int n = 0;
    setenv("PAR_ARENA_LIMIT", "3M", 1);
    while ((block[n] = par_shared_alloc(1, 100000)) != NULL)
        ck_assert_int_lt(++n, 100);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_ge(n, 20);
    ck_assert_uint_le(pari_arena_committed(), 3 << 20);
    par_shared_free(block[3]);
    ck_assert_ptr_nonnull(par_shared_alloc(1, 100000));
}
END_TEST

START_TEST(file_size_limit_is_enospc_and_no_signal)
{
    struct rlimit limit = { .rlim_cur = 64 << 20, .rlim_max = RLIM_INFINITY };
    int n = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (par_shared_alloc(1, 1 << 20) != NULL)
        ck_assert_int_lt(++n, 64);
    ck_assert_int_eq(errno, ENOSPC);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_ptr_nonnull(par_shared_alloc(1, 1 << 20));
}
END_TEST

START_TEST(file_size_limit_below_the_header_is_enospc)
{
    struct rlimit limit = { .rlim_cur = 4096, .rlim_max = RLIM_INFINITY };
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_fails_null(par_shared_alloc(1, 1), ENOSPC);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_ptr_nonnull(par_shared_alloc(1, 1));
}
END_TEST

/* ---- faults */

static enum pari_call failing_call;
static int failing_errno;

static int
fail_one_call(enum pari_call call)
{
    return call == failing_call ? failing_errno : 0;
}

static void
assert_alloc_fails_by(enum pari_call call, int error)
{
    failing_call = call;
    failing_errno = error;
    pari_fault_hook = fail_one_call;
    errno = 0;
    ck_assert_ptr_null(par_shared_alloc(1, 1 << 20));
    ck_assert_int_eq(errno, error);
    pari_fault_hook = NULL;
}

START_TEST(each_failing_call_is_told_and_harmless)
{
    assert_alloc_fails_by(PARI_CALL_MEMFD, EMFILE);
    assert_alloc_fails_by(PARI_CALL_MMAP, ENOMEM);
    assert_alloc_fails_by(PARI_CALL_FALLOCATE, ENOSPC);
    assert_alloc_fails_by(PARI_CALL_SETLK, ENOMEM);
    ck_assert_ptr_nonnull(par_shared_alloc(1, 1 << 20));
    assert_alloc_fails_by(PARI_CALL_FALLOCATE, ENOSPC);
    ck_assert_ptr_nonnull(par_shared_alloc(1, 1 << 20));
}
END_TEST

/* ---- owners and sweeping */

START_TEST(blocks_of_the_dead_are_swept_and_others_stay)
{
    pari_member dead = pari_member_reserve();
    _Atomic uint8_t *fate = par_array(_Atomic uint8_t, 2);
    size_t before = pari_heap_in_use();
    char *mine = pari_heap_alloc(1, 100, 0), *kept, *given;
    for (int i = 0; i < 50; i++)
        ck_assert_ptr_nonnull(pari_heap_alloc(1, (size_t)i * 3000, dead));
    ck_assert_ptr_nonnull(kept = pari_heap_alloc(7, 1, dead));
    ck_assert_ptr_nonnull(given = pari_heap_alloc(7, 1, dead));
    pari_heap_fate(kept, &fate[0], 5);
    pari_heap_fate(pari_heap_alloc(7, 1, dead), &fate[1], 5);
    atomic_store(&fate[0], 5);
    pari_heap_own(given, 0);
    pari_member_release(dead);
    ck_assert_uint_eq(pari_heap_length(kept), 7);
    ck_assert_uint_eq(pari_heap_length(given), 7);
    ck_assert_uint_eq(pari_heap_length(mine), 1);
    par_shared_free(kept);
    par_shared_free(given);
    par_shared_free(mine);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* Allocates for itself and frees, and makes and drops locks, until it is killed. What it holds is its own, so it can be swept. */
static int
churn(void *arg)
{
    char *block[16] = { 0 };
    pari_member me = pari_self();

    for (unsigned i = (unsigned)pari_tid(); *(_Atomic int *)arg == 0; i = i * 1103515245 + 12345) {
        unsigned at = i >> 16 & 15;
        if (block[at] != NULL && pari_heap_free(block[at]) != 0)
            return 1;
        block[at] = pari_heap_alloc(1, i >> 8 & (i & 64 ? 0xff : 0x3ffff), me);
        if (block[at] == NULL)
            return 2;
        if (i & 128 && (par_lock_acquire(par_lock_of(block[at]), par_in(20)) | par_lock_release(par_lock_of(block[at]))) != 0)
            return 3;
    }
    return 0;
}

START_TEST(killed_in_the_heap_costs_nothing)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    _Atomic int *stop = par_value(_Atomic int);
    struct piece piece[20] = { { 0 } };
    pid_t child[2];
    size_t before;
    par_lock *lock = par_lock_of(stop);
    ck_assert_int_eq(par_lock_acquire(lock, PAR_NOWAIT), 0);
    before = pari_heap_in_use();
    for (int i = 0; i < 2; i++)
        child[i] = fixture_fork(churn, (void *)stop);
    for (int kills = 0; kills < 400 && par_since(start_time) < 10; kills++) {
        fixture_kill_after_us(child[kills % 2], fixture_random_below(1500));
        ck_assert_int_eq(fixture_wait(child[kills % 2]), -SIGKILL);
        renew(&piece[fixture_random_below(20)]);
        child[kills % 2] = fixture_fork(churn, (void *)stop);
    }
    *stop = 1;
    ck_assert_int_eq(fixture_wait(child[0]) | fixture_wait(child[1]), 0);
    for (int i = 0; i < 20; i++)
        if (piece[i].at != NULL) {
            ck_assert(is_filled_with(&piece[i], piece[i].mark));
            par_shared_free(piece[i].at);
        }
    (void)pari_registry_sweep();
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

/* ---- threads and handles */

static void *
churn_in_thread(void *stop)
{
    return (void *)(intptr_t)churn(stop);
}

START_TEST(threads_allocate_at_the_same_time)
{
    _Atomic int *stop = par_value(_Atomic int);
    pthread_t thread[3];
    void *result;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, churn_in_thread, (void *)stop), 0);
    for (int i = 0; i < 2000; i++)
        par_shared_free(par_shared_alloc(1, (size_t)i * 10));
    *stop = 1;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
}
END_TEST

static int
check_foreign(void *handle)
{
    return pari_handle_check(handle, PARI_QUEUE) == 0 && pari_handle_check_mine(handle, PARI_QUEUE) == -1 && errno == EPERM ? 0
                                                                                                                            : 1;
}

START_TEST(handle_knows_kind_maker_and_end)
{
    struct pari_handle *handle = pari_handle_new(PARI_QUEUE, 200);
    ck_assert_int_eq(pari_handle_check_mine(handle, PARI_QUEUE), 0);
    ck_assert_int_eq(fixture_in_child(check_foreign, handle), 0);
    ck_fails(pari_handle_check(handle, PARI_POOL), EINVAL);
    ck_fails(pari_handle_check(NULL, PARI_QUEUE), EINVAL);
    ck_fails(pari_handle_check(&errno, PARI_QUEUE), EINVAL);
    ck_fails(pari_handle_check((char *)handle + 64, PARI_QUEUE), EINVAL);
    errno = 7;
    pari_handle_free(handle);
    pari_handle_free(NULL);
    ck_assert_int_eq(errno, 7);
    ck_fails(pari_handle_check(handle, PARI_QUEUE), EINVAL);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("heap");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, blocks_never_overlap_and_start_zeroed);
    tcase_add_test(one, freed_memory_is_used_again);
    tcase_add_test(one, what_is_no_block_is_refused);
    tcase_add_test(one, forged_header_inside_a_block_is_no_block);
    tcase_add_test(one, too_large_is_eoverflow_or_enospc);
    tcase_add_test(one, arena_limit_is_enospc_and_room_comes_back);
    tcase_add_test(one, file_size_limit_is_enospc_and_no_signal);
    tcase_add_test(one, file_size_limit_below_the_header_is_enospc);
    tcase_add_test(one, each_failing_call_is_told_and_harmless);
    tcase_add_test(one, blocks_of_the_dead_are_swept_and_others_stay);
    tcase_add_test(one, threads_allocate_at_the_same_time);
    tcase_add_test(several, killed_in_the_heap_costs_nothing);
    tcase_add_test(several, handle_knows_kind_maker_and_end);
    return fixture_run(suite);
}
