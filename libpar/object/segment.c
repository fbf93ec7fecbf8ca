/* SPDX-License-Identifier: MIT
 *
 * segment.c: par_shm, shared memory with a name.
 *
 * Private state: the handle, written once. The file's marks are the only thing that is shared, and what they mean is in os/named.c.
 * If a process dies here: before the name is there nothing is left; afterwards the segment is a leftover that others recognise.
 */
#include "segment.h"

#include <stdio.h>
#include <string.h>

/* ---- its life */

static par_shm *
wrap(int fd, const char *name, size_t size)
{
    par_shm *shm = pari_handle_new_private(PARI_SHM, sizeof *shm);

    if (shm == NULL)
        return NULL;
    shm->data = pari_named_map(fd, size);
    if (shm->data == NULL) {
        int error = errno;
        pari_handle_free(shm);
        return pari_null(error);
    }
    shm->fd = fd;
    shm->size = size;
    (void)snprintf(shm->name, sizeof shm->name, "%s", name[0] == '/' ? name + 1 : name);
    return shm;
}

/* As Python names them. */
static int
make_unnamed(char name[PARI_NAMED_SIZE], size_t size, bool is_marked)
{
    for (;;) {
        uint32_t number;
        int fd;
        if (pari_random(&number, sizeof number) != 0)
            return -1;
        (void)snprintf(name, PARI_NAMED_SIZE, "psm_%08x", (unsigned)number);
        fd = pari_named_make(name, size, is_marked);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
}

static par_shm *
create(const char *name, size_t size, bool is_persistent)
{
    char made_up[PARI_NAMED_SIZE];
    int fd = name != NULL ? pari_named_make(name, size, !is_persistent) : make_unnamed(made_up, size, !is_persistent);
    par_shm *shm;

    if (fd < 0)
        return NULL;
    name = name != NULL ? name : made_up;
    shm = wrap(fd, name, size);
    if (shm == NULL) {
        pari_named_forget(name[0] == '/' ? name + 1 : name, fd);
        pari_fd_close(fd);
        return NULL;
    }
    shm->ends_with_us = !is_persistent;
    return shm;
}

par_shm *
par_shm_create(const char *name, size_t size, const par_shm_opts *opts)
{
    int cancel;
    par_shm *shm;

    if (size == 0)
        return pari_null(EINVAL);
    if (size > PTRDIFF_MAX)
        return pari_null(ENOSPC);
    cancel = pari_cancel_off();
    shm = create(name, size, opts != NULL && opts->persistent);
    pari_cancel_restore(cancel);
    return shm;
}

static par_shm *
attach(const char *name)
{
    size_t size;
    int fd = pari_named_open(name, &size);
    par_shm *shm = fd >= 0 ? wrap(fd, name, size) : NULL;

    if (shm == NULL)
        pari_fd_close(fd);
    return shm;
}

par_shm *
par_shm_attach(const char *name)
{
    int cancel;
    par_shm *shm;

    if (name == NULL)
        return pari_null(EINVAL);
    cancel = pari_cancel_off();
    shm = attach(name);
    pari_cancel_restore(cancel);
    return shm;
}

void
par_shm_free(par_shm *shm)
{
    int saved = errno, cancel = pari_cancel_off();

    if (shm != NULL && pari_handle_check_mine(shm, PARI_SHM) == 0) {
        if (shm->ends_with_us)
            pari_named_forget(shm->name, shm->fd);
        pari_named_unmap(shm->data, shm->size);
        pari_fd_close(shm->fd);
        pari_handle_free(shm);
    }
    pari_cancel_restore(cancel);
    errno = saved;
}

/* ---- questions */

void *
par_shm_data(const par_shm *shm)
{
    return pari_handle_check(shm, PARI_SHM) == 0 ? shm->data : NULL;
}

size_t
par_shm_size(const par_shm *shm)
{
    return pari_handle_check(shm, PARI_SHM) == 0 ? shm->size : 0;
}

const char *
par_shm_name(const par_shm *shm)
{
    return pari_handle_check(shm, PARI_SHM) == 0 ? shm->name : NULL;
}

/* ---- names */

int
par_shm_unlink(const char *name)
{
    return name != NULL ? pari_named_unlink(name) : pari_fail(EINVAL);
}

ssize_t
par_shm_sweep(void (*tell)(const char *name, size_t size, void *arg), void *arg)
{
    return pari_named_sweep(tell, arg);
}
