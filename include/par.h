/* SPDX-License-Identifier: MIT
 *
 * par.h: all of libpar, parallelism for C with the nouns and verbs of Python's multiprocessing.
 *
 * Each header below is a chapter of its own and can be included alone. Start with par/base.h for the rules that hold for every
 * call, then libpar(7).
 */
#ifndef PAR_H
#define PAR_H

#include <par/base.h>    /* time, errors, version */
#include <par/shared.h>  /* values and arrays in shared memory */
#include <par/shm.h>     /* memory with a name, for strangers */
#include <par/sync.h>    /* lock, rlock, rwlock, semaphore, condition, event, barrier */
#include <par/process.h> /* a function in another process */
#include <par/log.h>     /* what happens to processes, on stderr */
#include <par/thread.h>  /* the same in a thread */
#include <par/obj.h>     /* dynamic values */
#include <par/pipe.h>    /* two ends, one writer, one reader */
#include <par/queue.h>   /* many writers, many readers */
#include <par/pqueue.h>  /* the most urgent first, and items on lease */
#include <par/pool.h>    /* a function over an array */
#include <par/future.h>  /* tasks and streams that nobody waits for yet */
#include <par/wait.h>    /* for several of all these at a time */
#include <par/manager.h> /* lists and dicts kept by a server process */

#endif
