/* SPDX-License-Identifier: MIT
 *
 * named.c: files in /dev/shm.
 *
 * A file is made without a name, with its size, its memory and its marks, and then linked: nobody ever sees half of it, and a death
 * before leaves nothing. One that is to end with its creator has the sticky bit, and the creator holds a shared flock(2) on it for as
 * long as it has it open; so whoever gets the exclusive lock knows that the creator is gone.
 */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/dev/shm"
#define MARK S_ISVTX
#define PATH_SIZE 40

static const char *
file_name(const char *name)
{
    if (name[0] == '/')
        name++;
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return pari_null(EINVAL);
    return strlen(name) < PARI_NAMED_SIZE ? name : pari_null(ENAMETOOLONG);
}

static int
open_folder(void)
{
    return pari_fault(PARI_CALL_SHM) ? -1 : open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
path_of(int fd, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* Close and keep errno. */
static void
quit(int fd)
{
    int saved = errno;

    if (fd >= 0)
        (void)close(fd);
    errno = saved;
}

/* ---- those whose creators are gone */

/* Is it one of this user's that ends with its creator, and is that gone? Then the caller has the lock, and alone may remove it. */
static bool
is_left(int fd, struct stat *file)
{
    return fstat(fd, file) == 0 && S_ISREG(file->st_mode) && (file->st_mode & MARK) != 0 && file->st_uid == geteuid() &&
           flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* True: a leftover had this name, and has it no more. */
static bool
remove_if_left(int folder, const char *name, size_t *size)
{
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat file, now;
    bool is_removed = fd >= 0 && is_left(fd, &file) && fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                      now.st_ino == file.st_ino && now.st_dev == file.st_dev && unlinkat(folder, name, 0) == 0;

    if (is_removed)
        *size = (size_t)file.st_size;
    quit(fd);
    return is_removed;
}

ssize_t
pari_named_sweep(void (*tell)(const char *name, size_t size, void *arg), void *arg)
{
    DIR *folder = pari_fault(PARI_CALL_SHM) ? NULL : opendir(FOLDER);
    const struct dirent *entry;
    ssize_t n = 0;
    size_t size;

    if (folder == NULL)
        return -1;
    while ((entry = readdir(folder)) != NULL)
        if (remove_if_left(dirfd(folder), entry->d_name, &size)) {
            n++;
            if (tell != NULL)
                tell(entry->d_name, size, arg);
        }
    (void)closedir(folder);
    return n;
}

/* ---- making */

static int
make_nameless(size_t size, bool is_marked)
{
    int fd = open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    if (fchmod(fd, is_marked ? MARK | 0600 : 0600) == 0 && pari_extend(fd, size) == 0 && pari_commit(fd, 0, size) == 0 &&
        (!is_marked || flock(fd, LOCK_SH | LOCK_NB) == 0))
        return fd;
    quit(fd);
    return -1;
}

static int
give_name(int folder, int fd, const char *name)
{
    char path[PATH_SIZE];
    size_t size;

    path_of(fd, path);
    if (linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    if (!remove_if_left(folder, name, &size))
        return pari_fail(EEXIST);
    return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW);
}

int
pari_named_make(const char *name, size_t size, bool is_marked)
{
    const char *file = file_name(name);
    int folder, fd, named;

    if (file == NULL || (folder = open_folder()) < 0)
        return -1;
    fd = make_nameless(size, is_marked);
    named = fd >= 0 ? give_name(folder, fd, file) : -1;
    quit(folder);
    if (named == 0)
        return pari_fd_track(fd); /* or a forked child would keep the lock */
    quit(fd);
    return -1;
}

/* ---- the others */

int
pari_named_open(const char *name, size_t *size)
{
    const char *file = file_name(name);
    int folder, fd;
    struct stat found;

    if (file == NULL || (folder = open_folder()) < 0)
        return -1;
    if (remove_if_left(folder, file, size))
        errno = ENOENT;
    fd = openat(folder, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    quit(folder);
    if (fd < 0)
        return -1;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size <= 0) {
        (void)close(fd);
        return pari_fail(EINVAL);
    }
    *size = (size_t)found.st_size;
    return pari_fd_track(fd);
}

int
pari_named_unlink(const char *name)
{
    const char *file = file_name(name);
    int folder, result;

    if (file == NULL || (folder = open_folder()) < 0)
        return -1;
    result = unlinkat(folder, file, 0);
    quit(folder);
    return result;
}

/* Only if it is still this file's: another one may have got it since. */
void
pari_named_forget(const char *name, int fd)
{
    struct stat mine, now;
    char path[sizeof FOLDER + PARI_NAMED_SIZE + 1];
    int saved = errno;

    (void)snprintf(path, sizeof path, FOLDER "/%s", name);
    if (fstat(fd, &mine) == 0 && lstat(path, &now) == 0 && mine.st_ino == now.st_ino && mine.st_dev == now.st_dev)
        (void)unlink(path);
    errno = saved;
}

/* A mapping keeps the opened file, and so the creator's lock, in every forked child: it is made of one that is opened anew. */
void *
pari_named_map(int fd, size_t size)
{
    char path[PATH_SIZE];
    void *at = MAP_FAILED;
    int again;

    path_of(fd, path);
    again = open(path, O_RDWR | O_CLOEXEC);
    if (again >= 0 && !pari_fault(PARI_CALL_MMAP))
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
    quit(again);
    return at != MAP_FAILED ? at : NULL;
}

void
pari_named_unmap(void *at, size_t size)
{
    (void)munmap(at, size);
}
