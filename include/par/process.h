/* SPDX-License-Identifier: MIT
 *
 * par/process.h: run a function in another process.
 *
 *     static int greet(void *arg) { printf("hello, %s\n", (char *)arg); return 0; }
 *
 *     par_process *p = par_process_start(greet, "bob", 0, NULL);
 *     par_process_join(p, PAR_FOREVER);
 *     printf("%s ended with %d\n", par_process_name(p), par_process_exitcode(p));
 *     par_process_free(p);
 *
 * There are three ways to make the child:
 *
 *   PAR_FORK        it is a copy of the program: it sees all memory as it was at the start, and what it writes is its own, except in
 *                   shared memory (par/shared.h), where both see one and the same. It keeps the program's descriptors, signal
 *                   dispositions and mask. The standard. A lock that another thread of the program held at that moment stays held
 *                   in the copy: a program with threads in libraries it does not know takes one of the others.
 *   PAR_SPAWN       the program is executed anew. Of the parent's memory the child knows shared memory alone, at the same
 *                   addresses; of its descriptors 0, 1, 2 and the ends given to it. Slow, and the cleanest.
 *   PAR_FORKSERVER  the same, but the child is forked by a small process that was executed anew once, at the first such start, and
 *                   is kept until the program ends or par_forkserver_stop: as quick as a fork, also when the program is large.
 *                   Environment, folder and limits are those of that moment, signal dispositions the default ones.
 *
 * Whatever the method, of libpar's own descriptors the child has those of the connection ends given to it. It leaves by _exit: stdout
 * and stderr are flushed then, other streams are not, and the program's exit handlers do not run. Threads that it started end with it.
 *
 * A handle is used in the process that started the child; in every other process, also in the child itself, it is EPERM.
 * Several threads may use one handle at a time, except that nobody may use it during or after its par_process_free.
 *
 * A program may ignore SIGCHLD, or wait for any child: then the library may not learn how its child ended. A child whose
 * function returned has left its code with the library; of any other the exit code is PAR_EXIT_UNKNOWN.
 */
#ifndef PAR_PROCESS_H
#define PAR_PROCESS_H

#include <par/base.h>

PAR_BEGIN_DECLS

typedef struct par_process par_process;
typedef struct par_conn par_conn; /* par/pipe.h */

/* What par_process_exitcode and par_thread_exitcode say beside real codes; no process can end with these. */
#define PAR_EXIT_RUNNING (-2147483647 - 1) /* it has not ended yet */
#define PAR_EXIT_UNKNOWN (-2147483647)     /* it has ended, nobody knows how */

#define PAR_MAX_GIVE 8

enum par_start_method {
    PAR_START_STANDARD, /* what par_set_start_method has set, at first PAR_FORK */
    PAR_FORK,
    PAR_SPAWN,
    PAR_FORKSERVER
};

typedef struct par_process_opts {
    const char *name; /* copied, and what ps and top show of it; NULL: "Process-1", its second child "Process-1:2", ... */
    bool daemon;      /* the kernel kills it when this process is gone, however it ended; until it execs */
    par_conn *give[PAR_MAX_GIVE]; /* connection ends of this process that move to the child; the first NULL ends the list */
    int start_method;             /* PAR_FORK, PAR_SPAWN, PAR_FORKSERVER; 0: the standard */
    const char *const *env; /* lines "NAME=value" for its environment, and "NAME" for what it shall not have; NULL ends them */
    int in, out, err; /* descriptors of this process that are its standard input, output and error; 0: this process's own */

    /* It leads a process group of its own: par_process_terminate, kill and interrupt go to the whole group, and what is left of that
     * when it has ended is killed (not if a forkserver had forked it and has died). Signals of the terminal do not reach it. */
    bool group;
    PAR_RESERVED;
} par_process_opts;

/* The first call in the main() of a program that uses PAR_SPAWN or PAR_FORKSERVER, before it does anything that is to be done once.
 * In a child of these methods it runs the child's function and does not return; else it does nothing but allow them, unless the
 * program has more rights than its caller (setuid and the like) or was started as an argument of its dynamic loader.
 * Safe: once, before other threads are started. */
PAR_API void par_spawn_support(void);

/* Which method is the standard for this process, and for the children that it starts from then on.
 * Errors: EINVAL no such method; ENOTSUP main() does not begin with par_spawn_support().
 * Safe: any thread. */
PAR_API int par_set_start_method(int method);

/* The standard: PAR_FORK, PAR_SPAWN or PAR_FORKSERVER.
 * Safe: any thread, signal handler. */
PAR_API int par_start_method(void);

/* End the server behind PAR_FORKSERVER, if there is one; its children go on. The next start makes another one, with the environment,
 * folder and limits of then.
 * Safe: any thread; forked child (which has none). */
PAR_API void par_forkserver_stop(void);

/* Forget the handle, never waiting. A child that still runs goes on, and a later par_process_start or
 * par_process_active_children reaps it once it has ended. NULL is fine; the handles of par_process_current and
 * par_process_parent are the library's: nothing happens, nor in another process than the handle's. Keeps errno.
 * Safe: any thread, forked child. */
PAR_API void par_process_free(par_process *process);

/* Run fn(arg) in a child process. With arg_size > 0 the function gets its own writable copy of so many bytes, aligned as malloc
 * does; with arg_size 0 it gets the pointer itself, whose target in private memory is the child's own since the fork. The
 * child's exit code is fn's result & 255. Flushes stdout and stderr before the start, so that nothing is printed twice.
 *
 * With PAR_SPAWN and PAR_FORKSERVER a pointer without a size must be NULL or point into shared memory, and fn must be a function of
 * the program or of a library that it is linked with: these are where they were, in another process of the same program. What a library
 * has loaded later is not there, and the child ends with PAR_EXIT_UNKNOWN (par_error tells why).
 *
 * The ends in `give` belong to the child from now on: here they are EPERM, there is nothing to close. When the start fails they
 * are this process's as before. A child that is not a daemon lives on when this process ends.
 *
 * The handle is the caller's, to be freed by par_process_free.
 * Errors: EINVAL fn is NULL, arg is NULL although it has a size, no such start method, an argument that cannot travel, an end is given
 * twice or is no end, or a line of env names nothing; ENOTSUP par_spawn_support was not called, or fn's library has no build id; EBADF
 * an end is closed, or a descriptor that is to be a standard one; EPERM an end belongs to another process; EAGAIN no process to be had
 * (limit of processes, or 4096 in the family); EOVERFLOW arg_size; ENOMEM; ENOSPC shared memory is full; EMFILE, ENFILE no descriptor
 * for the daemon's life line.
 * Safe: any thread, forked child. */
PAR_API par_process *par_process_start(int (*fn)(void *arg), const void *arg, size_t arg_size,
                                       const par_process_opts *opts) PAR_MUST_CHECK PAR_RELEASED_BY(par_process_free);

/* Wait until the child has ended. 0 = ended; again and again, from any number of threads. The parent process
 * (par_process_parent) can be waited for as well.
 * Errors: ETIMEDOUT it still runs; EDEADLK it is this very process; EINVAL no process handle; EPERM another process's handle;
 * EINTR par_interrupt.
 * Safe: any thread, forked child (which has no children yet). */
PAR_API int par_process_join(par_process *process, par_time deadline);

/* How it ended: 0..255 the function's result & 255 or the argument of its exit; -9 if SIGKILL ended it, and so on;
 * PAR_EXIT_RUNNING; PAR_EXIT_UNKNOWN if somebody else took its exit status, if it could not begin (par_error says why), if it
 * is the parent process, or if the handle is wrong (then errno is set). Never waits.
 * Errors: EINVAL no process handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API int par_process_exitcode(const par_process *process);

/* Does it run? True for this process itself. Of the parent it is exact also when its pid has been used again. Never waits.
 * Errors (false): EINVAL no process handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API bool par_process_is_alive(const par_process *process);

/* Its process id, also after it ended.
 * Errors (-1): EINVAL no process handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API pid_t par_process_pid(const par_process *process);

/* Its name; valid as long as the handle is.
 * Errors (NULL): EINVAL no process handle; EPERM another process's handle.
 * Safe: any thread, forked child. */
PAR_API const char *par_process_name(const par_process *process);

/* Send SIGTERM, SIGKILL or SIGINT to the child. That it has ended already is no error, and the signal never reaches another
 * process that got its pid. This process itself (par_process_current) may be signalled too.
 * Errors: EINVAL no process handle; EPERM another process's handle, the parent process, or the child has other privileges now.
 * Safe: any thread, forked child. */
PAR_API int par_process_terminate(par_process *process);
PAR_API int par_process_kill(par_process *process);
PAR_API int par_process_interrupt(par_process *process);

/* A descriptor that is readable once the child has ended, for poll, select and epoll. It belongs to the handle: do not close
 * it; it stays readable until par_process_free. No child inherits it.
 * Errors: ENOTSUP the kernel has none (before Linux 5.3), or it was out of descriptors when the child started; EINVAL no
 * process handle; EPERM another process's handle, this process itself or its parent.
 * Safe: any thread, forked child. */
PAR_API int par_process_fileno(const par_process *process);

/* The process that calls. The handle is borrowed: it is the library's and lives as long as the process. The first process is
 * called "MainProcess"; the child of a plain fork() keeps the name of its parent.
 * Errors (NULL): ENOMEM; ENOSPC shared memory is full; EAGAIN the family has 4096 processes.
 * Safe: any thread, forked child. */
PAR_API par_process *par_process_current(void);

/* The process that started this one; borrowed as above. It can be asked for its name, pid and life, and waited for.
 * Errors (NULL): ENOENT it was not started by libpar (the first process, the child of a plain fork()); ENOMEM; ENOSPC; EAGAIN.
 * Safe: any thread, forked child. */
PAR_API par_process *par_process_parent(void);

/* The children of this process that still run and whose handles were not freed, oldest first: stores up to `max` borrowed
 * handles in `list` (which may be NULL if max is 0) and returns how many there are. What other threads start and free meanwhile may
 * be among them or not. Reaps the ended ones as a side effect.
 * Safe: any thread, forked child. */
PAR_API size_t par_process_active_children(par_process **list, size_t max);

/* How many CPUs this process may use: its affinity, bounded by the cgroup's quota (rounded up); at least 1.
 * Safe: any thread, forked child. */
PAR_API int par_cpu_count(void);

/* Call fn(arg) when this process ends by itself: a child whose function returns, or the program that returns from main or calls
 * exit(3). The last one registered is called first. A forked child has none of its parent's, and a process that is killed, or calls
 * _exit(2), calls none: what must not be left behind belongs into shared memory, pipes and locks, which the survivors put right.
 * Errors: EINVAL fn is NULL; ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_at_exit(void (*fn)(void *arg), void *arg);

PAR_END_DECLS

#endif
