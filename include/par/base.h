/* SPDX-License-Identifier: MIT
 *
 * par/base.h: version, time, errors, interruption: what every other header of libpar builds on.
 *
 * Rules that hold for every call of the library:
 *  - A call that fails returns -1 or NULL and sets errno; nothing is held then and no message has moved. The table of errors is
 *    in libpar(7); one word means one thing everywhere.
 *  - A call that may sleep takes a `par_time deadline` as its last parameter, and no other call sleeps.
 *  - Every options struct is passed by pointer, NULL means all defaults, and a zero field means that field's default.
 *  - free() functions take NULL and keep errno.
 */
#ifndef PAR_BASE_H
#define PAR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PAR_VERSION_MAJOR 0
#define PAR_VERSION_MINOR 1
#define PAR_VERSION_PATCH 0

/* ---- what the compiler is told about a function */

#ifdef __cplusplus
#define PAR_BEGIN_DECLS extern "C" {
#define PAR_END_DECLS }
#else
#define PAR_BEGIN_DECLS
#define PAR_END_DECLS
#endif

#if defined __GNUC__
#define PAR_API __attribute__((visibility("default")))
#define PAR_MUST_CHECK __attribute__((warn_unused_result)) /* only where ignoring the result is always a bug */
#define PAR_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#define PAR_ALLOC_SIZE(...) __attribute__((alloc_size(__VA_ARGS__)))
#else
#define PAR_API
#define PAR_MUST_CHECK
#define PAR_PRINTF(format_index, first_arg)
#define PAR_ALLOC_SIZE(...)
#endif

#if defined __GNUC__ && !defined __clang__ && __GNUC__ >= 11
#define PAR_RELEASED_BY(deallocator) __attribute__((malloc(deallocator, 1))) /* the result must be passed to it */
#define PAR_READS(pointer_index, size_index) __attribute__((access(read_only, pointer_index, size_index)))
#define PAR_WRITES(pointer_index, size_index) __attribute__((access(write_only, pointer_index, size_index)))
#else
#define PAR_RELEASED_BY(deallocator)
#define PAR_READS(pointer_index, size_index)
#define PAR_WRITES(pointer_index, size_index)
#endif

/* The last field of every options struct: zero, room to grow without breaking programs. */
#define PAR_RESERVED uint64_t reserved[4]

PAR_BEGIN_DECLS

/* ---- time */

/* A deadline: a moment of CLOCK_MONOTONIC in nanoseconds. It is a struct so that a plain number of seconds does not compile where
 * a moment is meant. All zero is PAR_FOREVER, so a deadline left out of an options struct means "wait for ever". */
typedef struct par_time {
    int64_t ns;
} par_time;

#ifdef __cplusplus
#define PAR_TIME(nanoseconds) (par_time{ nanoseconds })
#else
#define PAR_TIME(nanoseconds) ((par_time){ nanoseconds })
#endif
#define PAR_FOREVER PAR_TIME(0) /* no deadline */
#define PAR_NOWAIT PAR_TIME(-1) /* do not sleep: what cannot be done now is ETIMEDOUT */

/* The present moment.
 * Safe: any thread, forked child, signal handler. */
PAR_API par_time par_now(void);

/* The deadline that lies `seconds` from now. Infinity is PAR_FOREVER; zero, negative and NaN are PAR_NOWAIT; what is too far for
 * the clock saturates. Make it once and pass it through loops and layers: it does not start anew.
 * Safe: any thread, forked child, signal handler. */
PAR_API par_time par_in(double seconds);

/* Seconds that have passed since `start`, a result of par_now.
 * Safe: any thread, forked child, signal handler. */
PAR_API double par_since(par_time start);

/* ---- errors and version */

/* The last failure of this thread in words, where errno cannot say it: "item 37: worker 4711 killed by SIGKILL". An empty string
 * if there was none. The string is the library's; it is valid until the next failing call of this thread.
 * Safe: any thread, forked child. */
PAR_API const char *par_error(void);

/* The version of the library that is running, "0.1.0".
 * Safe: any thread, forked child, signal handler. */
PAR_API const char *par_version(void);

/* The one door out of an endless wait. No libpar call returns EINTR, except while this switch is on: then a call of this process
 * that would sleep returns -1 with EINTR instead. Meant for a signal handler (Ctrl-C), followed by par_interrupt(false) once the
 * program has dealt with it. A thread that the signal did not hit notices within half a second.
 * Safe: any thread, forked child, signal handler. */
PAR_API void par_interrupt(bool on);

PAR_END_DECLS

#endif
