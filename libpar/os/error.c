/* SPDX-License-Identifier: MIT
 *
 * error.c: failures in words, and failing in one statement.
 */
#include "os.h"

#include <errno.h>

#define VERSION_TEXT(major, minor, patch) #major "." #minor "." #patch
#define VERSION(major, minor, patch) VERSION_TEXT(major, minor, patch)

static _Thread_local char last_words[256];

const char *
par_error(void)
{
    return last_words;
}

const char *
par_version(void)
{
    return VERSION(PAR_VERSION_MAJOR, PAR_VERSION_MINOR, PAR_VERSION_PATCH);
}

void
pari_say(const char *format, ...)
{
    int saved = errno;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(last_words, sizeof last_words, format, args); /* cut short is good enough */
    va_end(args);
    errno = saved;
}

int
pari_fail(int error)
{
    errno = error;
    return -1;
}

void *
pari_null(int error)
{
    errno = error;
    return NULL;
}
