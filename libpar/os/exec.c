/* SPDX-License-Identifier: MIT
 *
 * exec.c: the program started anew, as a child that knows no more than a line in its environment and the descriptors given to it.
 */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define SET_CLOEXEC 4 /* CLOSE_RANGE_CLOEXEC */

/* Kernels before 5.11, and /proc is not there either: then what is open stays open. */
static void
close_each_at_exec(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (folder != NULL)
        (void)closedir(folder);
}

/* All but the standard ones and those given. */
static void
close_at_exec(const int *keep, unsigned n_keep)
{
    if (pari_fault(PARI_CALL_CLOSE_RANGE) || syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, SET_CLOEXEC) != 0)
        close_each_at_exec();
    for (unsigned i = 0; i < n_keep; i++)
        (void)fcntl(keep[i], F_SETFD, 0);
}

static size_t
count(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

/* Is a variable of this environment named by one of the lines? */
static bool
is_replaced(const char *variable, const char *const *line)
{
    size_t size = strcspn(variable, "=");

    for (; line != NULL && *line != NULL; line++)
        if (strncmp(*line, variable, size) == 0 && ((*line)[size] == '=' || (*line)[size] == '\0'))
            return true;
    return false;
}

char **
pari_environment(const char *const *line)
{
    size_t n_lines = count(line), n = 0, size;
    const char *const *old = (const char *const *)environ;
    const char **all;

    if (!pari_mul(count(old) + n_lines + 1, sizeof *all, &size) || (all = pari_malloc(size)) == NULL)
        return NULL;
    for (size_t i = 0; i < n_lines; i++)
        if (strchr(line[i], '=') != NULL)
            all[n++] = line[i];
    for (; old != NULL && *old != NULL; old++)
        if (!is_replaced(*old, line))
            all[n++] = *old;
    return (char **)all;
}

void
pari_set_environment(char **all)
{
    environ = all;
}

pid_t
pari_exec_self(char *line, const int *keep, unsigned n_keep, bool reset_signals)
{
    char *arguments[] = { program_invocation_name, NULL }, **environment = pari_environment((const char *[]){ line, NULL });
    pid_t pid;

    if (environment == NULL)
        return -1;
    pid = pari_fork(keep, n_keep, reset_signals);
    if (pid == 0) {
        close_at_exec(keep, n_keep);
        if (!pari_fault(PARI_CALL_EXEC))
            (void)execve("/proc/self/exe", arguments, environment); /* the very file that runs, also when it was removed */
        pari_exit_now(errno);
    }
    free(environment);
    return pid;
}

bool
pari_exec_is_secure(void)
{
    return getauxval(AT_SECURE) != 0;
}

static int
has_interpreter(struct dl_phdr_info *program, size_t size, void *answer)
{
    (void)size;
    for (unsigned i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP)
            *(bool *)answer = true;
    return 1; /* the program is the first object */
}

bool
pari_exec_is_loader(void)
{
    bool needs_loader = false;

    (void)dl_iterate_phdr(has_interpreter, &needs_loader);
    return needs_loader && getauxval(AT_BASE) == 0; /* the kernel has loaded none for it */
}

char *
pari_exec_line(const char *name)
{
    const char *value = pari_exec_is_secure() ? NULL : getenv(name); /* nobody tells a privileged program where to map what */
    char *copy = value != NULL ? strdup(value) : NULL;

    if (copy != NULL)
        (void)unsetenv(name); /* what this process starts is not meant */
    return copy;
}

int
pari_exec_keep(int fd, bool is_tracked)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return -1;
    if (is_tracked)
        (void)pari_fd_track(fd);
    return 0;
}
