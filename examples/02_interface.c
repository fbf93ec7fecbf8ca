/* SPDX-License-Identifier: MIT
 *
 * Multithreading, GUI example: an interface that stays responsive while work goes on behind it.
 *
 *     self.thread = Thread(target=self.work); self.thread.start()      # work() does not keep the window from being drawn
 *
 * Here the interface is a terminal. A pool of processes counts primes and a thread throws points at a circle, while the main thread
 * does nothing but draw and answer keys: q quits, space pauses, + and - tell how many processes may work at once. It ends by itself
 * when all primes are counted. However it ends, Ctrl-C, a signal and a crash included, the terminal is as it was.
 *
 * Without a terminal it presses the keys of a script itself, for two seconds, and prints its final state.
 */
#include "demo.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { BLOCK = 20000, MAX_BLOCKS = 50000, MAX_WORKERS = 64, FRAME_MS = 50 };

/* ---- the work: it looks at the keys only where it begins a piece */

struct shared {
    par_lock lock; /* held to write the next three, and to wait for their change; only the interface writes them */
    par_condition changed;
    bool paused;
    atomic_bool leaving;
    int n_allowed;                /* processes that may work at once */
    bool is_working[MAX_WORKERS]; /* each writes its own, under the lock; who takes over a dead one's number begins anew */
    atomic_long n_primes;
};

static struct shared *shared;
static int n_blocks, n_workers;
static atomic_int n_done; /* blocks */
static atomic_long n_points, n_inside;
static atomic_bool is_over; /* the pool has done what it will do */

static void
lock_shared(void)
{
    if (par_lock_acquire(&shared->lock, PAR_FOREVER) != 0)
        demo_die("par_lock_acquire");
}

static void
unlock_shared(void)
{
    if (par_condition_notify_all(&shared->changed) != 0 || par_lock_release(&shared->lock) != 0)
        demo_die("par_lock_release");
}

/* Wait while the work is paused, or while enough others work (of which the thread, worker -1, is none). False: time to go. */
static bool
begin_piece(int worker)
{
    lock_shared();
    while (!shared->leaving) {
        int n_others = 0;
        for (int i = 0; i < n_workers; i++)
            n_others += i != worker && shared->is_working[i];
        if (!shared->paused && (worker < 0 || n_others < shared->n_allowed))
            break;
        if (par_condition_wait(&shared->changed, &shared->lock, PAR_FOREVER) != 0)
            demo_die("par_condition_wait");
    }
    if (worker >= 0)
        shared->is_working[worker] = !shared->leaving;
    unlock_shared();
    return !shared->leaving;
}

static void
end_piece(int worker)
{
    lock_shared();
    shared->is_working[worker] = false;
    unlock_shared();
}

static bool
is_prime(long n)
{
    if (n < 4 || n % 2 == 0)
        return n == 2 || n == 3;
    for (long d = 3; d * d <= n; d += 2) {
        if (n % d == 0)
            return false;
    }
    return true;
}

/* A task of the pool: the primes among BLOCK numbers. */
static int
count_primes(const void *in, void *out, void *ctx)
{
    (void)ctx;
    long first = (long)*(const int *)in * BLOCK;
    if (!begin_piece(par_worker_index()))
        return par_task_fail(1, "not counted");
    int n = 0;
    for (long i = first; i < first + BLOCK; i++)
        n += is_prime(i);
    end_piece(par_worker_index());
    *(int *)out = n;
    atomic_fetch_add(&shared->n_primes, n);
    return 0;
}

static int
on_progress(const par_progress *progress, void *arg)
{
    (void)arg;
    n_done = (int)(progress->done - progress->failed);
    return shared->leaving;
}

/* The thread that waits for the pool, so that the interface need not. */
static int
run_pool(void *pool)
{
    static int block[MAX_BLOCKS], count[MAX_BLOCKS];
    for (int i = 0; i < n_blocks; i++)
        block[i] = i;
    ssize_t n_bad =
        par_pool_map_with(pool, count_primes, block, count, (size_t)n_blocks, &(par_job_opts){ .progress = on_progress });
    is_over = true;
    return n_bad < 0;
}

/* The thread that computes itself: how many random points of a square lie in its circle? */
static int
throw_points(void *arg)
{
    (void)arg;
    uint64_t random = 88172645463325252u;
    while (begin_piece(-1)) {
        long n_hits = 0;
        for (int i = 0; i < 100000; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            double x = (double)(random >> 32) / 4294967296.0;
            double y = (double)(random & 0xffffffff) / 4294967296.0;
            n_hits += x * x + y * y < 1;
        }
        n_inside += n_hits;
        n_points += 100000;
    }
    return 0;
}

/* ---- the terminal */

static struct termios cooked;
static pid_t owner; /* a child of this process leaves the terminal alone */
static volatile sig_atomic_t is_raw, stop_signal;

static void
say(const char *codes)
{
    (void)!write(STDOUT_FILENO, codes, strlen(codes)); /* a terminal that is gone need not be drawn on */
}

/* These two run in signal handlers, too. */
static void
terminal_leave(void)
{
    if (!is_raw || getpid() != owner)
        return;
    is_raw = 0;
    say("\033[?7h\033[?25h\033[?1049l"); /* wrap lines, show the cursor, the screen as it was before */
    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
}

static void
terminal_enter(void)
{
    struct termios raw = cooked;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_iflag &= ~(tcflag_t)IXON;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    say("\033[?1049h\033[?25l\033[?7l");
}

static void
on_stop(int signal_number)
{
    stop_signal = signal_number;
}

static void
on_crash(int signal_number)
{
    terminal_leave();
    raise(signal_number); /* SA_RESETHAND: this time it ends the program */
}

/* Ctrl-Z, until fg. */
static void
on_suspend(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    terminal_leave();
    raise(SIGSTOP);
    terminal_enter();
    errno = saved;
}

static void
handle(int signal_number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
    sigaction(signal_number, &action, NULL);
}

/* False: there is no terminal, or it belongs to another job. */
static bool
terminal_open(void)
{
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &cooked) != 0 || tcgetpgrp(STDIN_FILENO) != getpgrp())
        return false;
    static const int stops[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT }, crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        handle(stops[i], on_stop, SA_RESTART);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        handle(crashes[i], on_crash, (int)SA_RESETHAND | SA_NODEFER);
    handle(SIGTSTP, on_suspend, SA_RESTART);
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* a picture goes out in one piece */
    owner = getpid();
    atexit(terminal_leave);
    terminal_enter();
    return true;
}

/* ---- the interface */

static int n_keys;
static char keys[17];  /* the last ones that were answered */
static double longest; /* seconds that the interface was busy, so that a key had to wait */

static void
answer(char key)
{
    lock_shared();
    if (key == ' ')
        shared->paused = !shared->paused;
    else if (key == '+' && shared->n_allowed < n_workers)
        shared->n_allowed++;
    else if (key == '-' && shared->n_allowed > 1)
        shared->n_allowed--;
    unlock_shared();
    size_t length = strlen(keys);
    if (length + 1 == sizeof keys)
        memmove(keys, keys + 1, length--);
    keys[length] = key >= ' ' && key <= '~' ? key : '?';
    keys[length + 1] = '\0';
    n_keys++;
}

static void
print_state(const char *end_of_line)
{
    const char *state = shared->paused ? "paused" : "going on";
    if (is_over)
        state = n_done == n_blocks ? "done" : "broken off";
    char bar[41];
    int filled = (int)((long)n_done * 40 / n_blocks);
    for (int i = 0; i < 40; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[40] = '\0';
    printf("primes  [%s] %d of %d blocks, %ld found%s", bar, n_done, n_blocks, shared->n_primes, end_of_line);
    printf("pi      about %.5f after %ld points%s", n_points == 0 ? 0.0 : 4.0 * (double)n_inside / (double)n_points, n_points,
           end_of_line);
    printf("work    %s, %d of %d processes at once%s", state, shared->n_allowed, n_workers, end_of_line);
    printf("keys    %d answered \"%s\", never busy for more than %.1f ms%s", n_keys, keys, longest * 1e3, end_of_line);
}

static void
draw(void)
{
    printf("\033[H\033[1mlibpar: work goes on, and keys are answered at once\033[m\033[K\r\n\033[K\r\n");
    print_state("\033[K\r\n");
    printf("\033[K\r\nspace: pause or go on   + -: more or fewer processes   q: quit\033[J");
    fflush(stdout);
}

/* A key press, within a frame's time; 0: none; 'q' also if the terminal is gone. */
static char
read_key(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    char key;
    if (poll(&in, 1, FRAME_MS) <= 0)
        return 0;
    return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q';
}

/* The key that the script presses within this frame; `length` seconds are the whole script. */
static char
scripted_key(par_time start, double length)
{
    static const struct {
        double when;
        char key;
    } script[] = { { 0.2, '-' }, { 0.4, ' ' }, { 0.6, ' ' }, { 0.8, '+' }, { 1, 'q' } };
    static int next;
    poll(NULL, 0, FRAME_MS / 5);
    return par_since(start) < script[next].when * length ? 0 : script[next++].key;
}

/* Draw and answer until it is time to go. */
static void
interface(bool has_terminal, double script_length)
{
    par_time start = par_now();
    char key = 0;
    do {
        par_time looked_away = par_now();
        if (key != 0)
            answer(key);
        if (key == 'q' || (has_terminal && is_over))
            return;
        if (has_terminal)
            draw();
        if (par_since(looked_away) > longest)
            longest = par_since(looked_away);
        key = has_terminal ? read_key() : scripted_key(start, script_length);
    } while (!stop_signal);
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    n_blocks = (int)demo_number(argv, "-n", quick ? 100 : 1000, 1, MAX_BLOCKS);
    demo_end_options(argv, "[-n blocks of 20000 numbers]");
    n_workers = par_cpu_count() < 2 ? 2 : par_cpu_count() > MAX_WORKERS ? MAX_WORKERS : par_cpu_count();
    shared = par_value(struct shared);
    if (shared == NULL)
        demo_die("par_value");
    shared->n_allowed = n_workers;
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = (unsigned)n_workers });
    if (pool == NULL)
        demo_die("par_pool_new");
    par_thread *waiting = par_thread_start(run_pool, pool, 0, NULL), *computing = par_thread_start(throw_points, NULL, 0, NULL);
    if (waiting == NULL || computing == NULL)
        demo_die("par_thread_start");

    interface(terminal_open(), quick ? 0.5 : 2);
    terminal_leave();
    lock_shared();
    shared->leaving = true;
    unlock_shared();
    if (par_thread_join(waiting, PAR_FOREVER) != 0 || par_thread_join(computing, PAR_FOREVER) != 0)
        demo_die("par_thread_join");
    print_state("\n");
    int failed = par_thread_exitcode(waiting) != 0 || par_thread_exitcode(computing) != 0;

    par_thread_free(waiting);
    par_thread_free(computing);
    par_pool_free(pool);
    par_shared_free(shared);
    return stop_signal ? 128 + stop_signal : failed;
}
