/* SPDX-License-Identifier: MIT
 *
 * log.c: lines on standard error: what the library does, and what the program adds.
 *
 * Nothing here is shared; a child inherits the level, by fork or by its order.
 */
#include <par/log.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

static const struct {
    int level;
    char name[10];
} levels[] = {
    { PAR_LOG_DEBUG, "DEBUG" }, { PAR_LOG_INFO, "INFO" }, { PAR_LOG_WARNING, "WARNING" }, { PAR_LOG_ERROR, "ERROR" }
};

#define N_LEVELS (sizeof levels / sizeof *levels)

static _Atomic int lowest; /* 0: the environment was not asked yet */

void
par_log_to_stderr(int level)
{
    atomic_store(&lowest, level > 0 ? level : PAR_LOG_DEBUG);
}

static int
level_of(const char *name)
{
    for (size_t i = 0; name != NULL && i < N_LEVELS; i++)
        if (strcasecmp(name, levels[i].name) == 0)
            return levels[i].level;
    return PAR_LOG_OFF;
}

int
par_log_level(void)
{
    int level = atomic_load_explicit(&lowest, memory_order_relaxed), none = 0;

    if (level != 0)
        return level;
    level = level_of(getenv("PAR_LOG"));
    return atomic_compare_exchange_strong(&lowest, &none, level) ? level : none; /* the program was quicker */
}

static const char *
name_of(int level)
{
    size_t i = N_LEVELS - 1;

    while (i > 0 && levels[i].level > level)
        i--;
    return levels[i].name;
}

/* One write, so that lines of several processes do not mix; one that fails is nobody's fault here. */
static void
write_line(int level, const char *format, va_list args)
{
    char line[560];
    int size = snprintf(line, sizeof line, "[%s/%.40s] ", name_of(level), pari_identity()->name);

    size += vsnprintf(line + size, sizeof line - (size_t)size, format, args);
    if ((size_t)size > sizeof line - 2)
        size = sizeof line - 2;
    line[size] = '\n';
    if (write(STDERR_FILENO, line, (size_t)size + 1) < 0)
        errno = 0;
}

void
par_log(int level, const char *format, ...)
{
    int saved = errno, cancel;
    va_list args;

    if (level < par_log_level() || format == NULL)
        return;
    cancel = pari_cancel_off();
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
    pari_cancel_restore(cancel);
    errno = saved;
}
