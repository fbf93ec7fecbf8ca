/* SPDX-License-Identifier: MIT
 *
 * par/log.h: what the library does behind the scenes, and what the program has to say about its processes, on stderr.
 *
 *     par_log_to_stderr(PAR_LOG_INFO);           [WARNING/MainProcess] Pool-1: worker 4711 killed by SIGSEGV
 *
 * The same from outside: PAR_LOG=info ./program (debug, info, warning, error).
 */
#ifndef PAR_LOG_H
#define PAR_LOG_H

#include <par/base.h>

PAR_BEGIN_DECLS

/* As Python's. */
enum { PAR_LOG_DEBUG = 10, PAR_LOG_INFO = 20, PAR_LOG_WARNING = 30, PAR_LOG_ERROR = 40, PAR_LOG_OFF = 100 };

/* From now on this process, and the children that it starts, write lines of this level and above to standard error. At first none
 * are written, unless the environment says so.
 * Safe: any thread, forked child. */
PAR_API void par_log_to_stderr(int level);

/* The level that is written from: PAR_LOG_OFF if nothing is.
 * Safe: any thread, forked child. */
PAR_API int par_log_level(void);

/* One line, "[INFO/Process-1] text" and a newline, in one piece; what is longer than 500 bytes is cut. Keeps errno.
 * Safe: any thread, forked child. */
PAR_API void par_log(int level, const char *format, ...) PAR_PRINTF(2, 3);

PAR_END_DECLS

#endif
