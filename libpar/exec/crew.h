/* SPDX-License-Identifier: MIT
 *
 * crew.h: a pool as its creator sees it: who works, who died, how to replace them.
 */
#ifndef PARI_CREW_H
#define PARI_CREW_H

#include "exec.h"
#include "worker.h"

/* How a worker ended. */
struct pari_end {
    pid_t pid; /* 0: a thread */
    int code;  /* 0..255, -signal, PAR_EXIT_UNKNOWN */
    int error; /* errno: why it never ran; 0 */
};

/* One worker. */
struct pari_hand {
    struct pari_child *child; /* a process */
    pthread_t thread;
    struct pari_seat *seat; /* a thread's, or the serial one */
    uint32_t alive;         /* the value of the process's alive word when it was last seen; 0: not yet */
    bool is_running;
    bool is_killed; /* by us, because of the deadline or a cancellation */
};

struct pari_crew;

/* A backend: start a worker, say whether it has ended (then it is gone for good), end it. */
struct pari_backend {
    int (*start)(struct pari_crew *crew, unsigned index); /* 0, or -1: EAGAIN ... */
    bool (*ended)(struct pari_crew *crew, unsigned index, struct pari_end *end);
    void (*end)(struct pari_crew *crew, unsigned index, int signal);
    bool in_place; /* workers see the caller's private memory */
};

extern const struct pari_backend pari_backend_process, pari_backend_thread, pari_backend_serial;

struct pari_map;

/* Private to the creator: never in the arena. `lock` guards everything but `next`. */
struct pari_crew {
    struct pari_crew *next; /* under the private lock */
    par_pool *pool;
    const struct pari_backend *backend;
    int method; /* how process workers are started: PAR_FORK ... */
    enum pari_reach reach;
    struct pari_mutex lock; /* held through a map, a join, a free */
    par_pool_opts opts;     /* initarg is our own copy if it has a size */
    char name[32];
    uint64_t pass;         /* the last one that was published */
    struct pari_map *map;  /* the one that runs */
    struct pari_job *left; /* the job of a map whose thread ended in a callback */
    _Atomic bool is_broken;
    unsigned n_deaths;   /* without an item completed in between */
    int64_t first_death; /* ns: when this series began */
    uint64_t n_done;     /* items completed in all jobs before this one */
    uint64_t done_then;  /* ... in all, at the last death */
    char reason[160];    /* the last death in words */
    pari_member peers[PARI_MAX_WORDS - 1];
    unsigned n_peers;

    /* Tasks that were submitted (future.h): under pool->task_lock; what is atomic is also read without, to see that there is none. */
    struct par_future *futures; /* all that are not freed */
    _Atomic size_t n_futures;
    _Atomic size_t n_limited; /* of these, with a time limit */
    _Atomic size_t n_dropped; /* freed while they ran */
    _Atomic size_t n_calls;   /* callbacks that were not called yet */
    bool is_calling;          /* one runs */
    _Atomic uint32_t
        n_maps; /* threads that run a map of their own, or leave one: the crew is not freed before they let it go */
    struct pari_supervisor *_Atomic supervisor;

    struct pari_hand hand[];
};

/* ---- crew.c */

struct pari_crew *pari_crew_of(const par_pool *pool); /* NULL: EINVAL, EPERM */
struct pari_crew *pari_crew_new(par_pool *pool, const par_pool_opts *opts);
void pari_crew_free(struct pari_crew *crew); /* nobody works any more */

int pari_crew_lock(struct pari_crew *crew, par_time deadline);
void pari_crew_unlock(struct pari_crew *crew);

/* The crew is not freed in between, also when the lock is not held. To let it go is the last touch. */
void pari_crew_hold(struct pari_crew *crew);
void pari_crew_let_go(struct pari_crew *crew);

/* Bury the dead: tell the running map what they cost; list the living as peers to sleep on. How many live. */
unsigned pari_crew_bury(struct pari_crew *crew);

/* Start those who are missing. How many live; if some are missing still, errno is why. */
unsigned pari_crew_fill(struct pari_crew *crew);

/* The crew is locked. At least one worker lives, or -1: ENOTRECOVERABLE (said), EAGAIN, ... */
int pari_crew_man(struct pari_crew *crew);
int pari_crew_say_broken(const struct pari_crew *crew); /* -1 ENOTRECOVERABLE */

/* Items completed since the pool was made. */
uint64_t pari_crew_done(const struct pari_crew *crew);

/* Wait until all workers have ended, killing those of a terminated pool that take too long.
 * 0, or -1: ETIMEDOUT, EINTR (only if `interruptible`). */
int pari_crew_wait_end(struct pari_crew *crew, par_time deadline, bool interruptible);

void pari_crew_signal(struct pari_crew *crew, int signal);

/* ---- map.c: the running map learns of a death; the worker's record still says what it was doing */
void pari_map_replace(struct pari_map *map, unsigned index); /* of one that has retired: it costs nothing */
void pari_map_lose(struct pari_map *map, unsigned index, const struct pari_end *end, const char *text);

#endif
