/* SPDX-License-Identifier: MIT
 *
 * memory.c: private memory, the memory behind the arena, and the record locks that say "this process lives".
 *
 * A record lock (fcntl F_SETLK) belongs to the process: it survives the end of the thread that took it, is dropped by the kernel
 * at death and exec, and is not inherited by fork. It is also dropped when the process closes *any* descriptor of the file,
 * which is why the arena's descriptor is never duplicated nor closed in a member.
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define WORTH_A_CALL 65536       /* bytes: fewer pages are not */
#define MOST_AT_ONCE (16u << 20) /* not all may be written after all */

void *
pari_malloc(size_t size)
{
    return pari_fault(PARI_CALL_MALLOC) ? NULL : calloc(1, size ? size : 1);
}

void *
pari_realloc(void *p, size_t size)
{
    return pari_fault(PARI_CALL_MALLOC) ? NULL : realloc(p, size ? size : 1);
}

/* Each process has page tables of its own, also for memory that others have touched; a fault for each page costs several times as
 * much as this. Linux 5.14; else, and where it is refused, they come one by one. */
void
pari_populate(void *p, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)p & ~(page - 1);
    int saved = errno;

    if (size > MOST_AT_ONCE)
        size = MOST_AT_ONCE;
    if (size >= WORTH_A_CALL)
        (void)madvise((void *)start, (uintptr_t)p + size - start, MADV_POPULATE_WRITE);
    errno = saved;
}

bool
pari_mul(size_t n, size_t size, size_t *product)
{
    return !__builtin_mul_overflow(n, size, product);
}

void
pari_secret(uint64_t secret[static 2])
{
    const void *bytes = (const void *)getauxval(AT_RANDOM);

    memset(secret, 0, 2 * sizeof *secret);
    if (bytes)
        memcpy(secret, bytes, 2 * sizeof *secret);
}

int
pari_random(void *bytes, size_t size)
{
    return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : -1;
}

int
pari_memfd(void)
{
    int fd;

    if (pari_fault(PARI_CALL_MEMFD))
        return -1;
    fd = pari_fd_lift(memfd_create("libpar", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return -1;
    /* Nobody can cut the file under a mapping (SIGBUS). A kernel without seals gives the same file, unprotected. */
    if (!pari_fault(PARI_CALL_SEAL))
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL);
    return fd;
}

void *
pari_map(int fd, void *at, size_t size)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
    void *p;

    if (pari_fault(PARI_CALL_MMAP))
        return NULL;
    p = mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (at && p != at) { /* a kernel before 4.17 takes the address as a hint */
        (void)munmap(p, size);
        return pari_null(EEXIST);
    }
    (void)madvise(p, size, MADV_DONTDUMP); /* a core dump of the arena would delay the release of the dead's locks */
    return p;
}

#if defined __SANITIZE_THREAD__
#define HAS_THREAD_SANITIZER 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define HAS_THREAD_SANITIZER 1
#endif
#endif

/* Addresses where neither ASLR nor a loader puts anything. The thread sanitizer's shadow memory leaves others free, and a hint
 * into the shadow aborts the program. */
#ifdef HAS_THREAD_SANITIZER
static const uintptr_t far_away[] = { 0x7e8000000000, 0x1000000000 };
#else
static const uintptr_t far_away[] = { 0x200000000000, 0x300000000000, 0x100000000000 };
#endif

void *
pari_map_far(int fd, size_t size)
{
    void *p;

    for (size_t i = 0; i < sizeof far_away / sizeof *far_away; i++)
        if ((p = pari_map(fd, (void *)far_away[i], size)) != NULL) /* NOLINT: the address is the point */
            return p;
    return pari_map(fd, NULL, size);
}

void
pari_unmap(void *at, size_t size)
{
    int saved = errno;

    (void)munmap(at, size);
    errno = saved;
}

/* Growing past RLIMIT_FSIZE would not fail but kill the process by SIGXFSZ. */
static bool
is_within_file_limit(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

/* There are several words for "no room" in a file; ours is one. */
static int
growth(int result)
{
    if (result != 0 && (errno == ENOMEM || errno == EFBIG || errno == EDQUOT))
        errno = ENOSPC;
    return result;
}

int
pari_commit(int fd, uint64_t offset, uint64_t length)
{
    int result, cancel;

    if (!is_within_file_limit(offset + length))
        return pari_fail(ENOSPC);
    cancel = pari_cancel_off(); /* the caller holds the heap's lock */
    do
        result = pari_fault(PARI_CALL_FALLOCATE) ? -1 : fallocate(fd, 0, (off_t)offset, (off_t)length);
    while (result != 0 && errno == EINTR);
    pari_cancel_restore(cancel);
    return growth(result);
}

int
pari_extend(int fd, uint64_t size)
{
    int result;

    if (!is_within_file_limit(size))
        return pari_fail(ENOSPC);
    do
        result = pari_fault(PARI_CALL_FALLOCATE) ? -1 : ftruncate(fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    return growth(result);
}

uint64_t
pari_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t ram = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
    uint64_t cgroup = pari_cgroup_memory();

    return ram < cgroup ? ram : cgroup;
}

static int
record_lock(int fd, int command, short type, uint32_t byte, struct flock *lock)
{
    *lock = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, command, lock);
}

int
pari_record_lock(int fd, uint32_t byte)
{
    struct flock lock;

    if (!pari_fault(PARI_CALL_SETLK) && record_lock(fd, F_SETLK, F_WRLCK, byte, &lock) == 0)
        return 0;
    return errno == ENOLCK ? pari_fail(ENOMEM) : -1; /* "too many locks" means a thread's, in this library */
}

int
pari_record_unlock(int fd, uint32_t byte)
{
    struct flock lock;

    return record_lock(fd, F_SETLK, F_UNLCK, byte, &lock);
}

int
pari_record_is_held(int fd, uint32_t byte)
{
    struct flock lock;

    if (pari_fault(PARI_CALL_GETLK) || record_lock(fd, F_GETLK, F_WRLCK, byte, &lock) != 0)
        return -1;
    return lock.l_type != F_UNLCK;
}
