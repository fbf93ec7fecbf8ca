/* SPDX-License-Identifier: MIT
 *
 * python.h: run scenarios of a Python script side by side, each in a python3 of its own, and tell what became of them.
 *
 * Each is a process group, and its output a pipe: "killed 4711 3.11.2" once its victim is dead, then, if the others go on, what they
 * got. From the first line on it has so many seconds. When it is over, all of the group is killed and waited for; orphans come to us.
 */
#ifndef PYTHON_H
#define PYTHON_H

#include "demo.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_SECONDS 15.0 /* that a victim has to come where it is killed */

enum { TEXT = 256, VERDICT = 2 * TEXT };

struct python {
    pid_t group; /* 0: it is over */
    int output;
    par_time start; /* since the victim is dead: that moment */
    bool is_killed;
    double limit;    /* seconds, from then on */
    char text[TEXT]; /* what came out */
    size_t length;
    char *verdict;
};

/* The script has the name of this program, with .py, and stands beside it. */
static inline int
python_spawn(struct python *python, const char *scenario, int output)
{
    char script[4096];
    ssize_t n = readlink("/proc/self/exe", script, sizeof script - sizeof ".py");
    if (n < 0)
        return errno;
    memcpy(script + n, ".py", sizeof ".py");
    char *argv[] = { "python3", script, (char *)scenario, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawnp(&python->group, "python3", &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static inline void
python_start(struct python *python, const char *scenario, double limit, char *verdict)
{
    int ends[2];
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || pipe2(ends, O_CLOEXEC) != 0)
        demo_die("pipe2");
    *python = (struct python){ .output = ends[0], .start = par_now(), .limit = limit, .verdict = verdict };
    int failed = python_spawn(python, scenario, ends[1]);
    close(ends[1]);
    if (failed == 0)
        return;
    python->group = 0;
    close(ends[0]);
    snprintf(verdict, VERDICT, "not tried: python3: %s", strerror(failed));
}

/* Read what has come, at most once; false: nothing will come any more. */
static inline bool
python_read(struct python *python)
{
    if (poll(&(struct pollfd){ .fd = python->output, .events = POLLIN }, 1, 0) <= 0)
        return true;
    ssize_t n = read(python->output, python->text + python->length, TEXT - 1 - python->length);
    python->length += n > 0 ? (size_t)n : 0;
    python->text[python->length] = '\0';
    return n > 0;
}

/* Has it come to an end? */
static inline bool
python_judge(struct python *python, bool is_open)
{
    char *first_end = strchr(python->text, '\n'), *second_end = first_end == NULL ? NULL : strchr(first_end + 1, '\n');
    if (first_end != NULL && !python->is_killed) {
        python->is_killed = true;
        python->start = par_now();
    }
    double seconds = par_since(python->start);
    if (second_end != NULL)
        snprintf(python->verdict, VERDICT, "goes on (%.3f s): %.*s", seconds, (int)(second_end - first_end - 1), first_end + 1);
    else if (!is_open)
        snprintf(python->verdict, VERDICT, "fails: it ended %s", python->is_killed ? "without a result" : "before the kill");
    else if (seconds > (python->is_killed ? python->limit : START_SECONDS))
        snprintf(python->verdict, VERDICT, python->is_killed ? "hangs (stopped after %g s)" : "fails: no kill in %g s",
                 python->is_killed ? python->limit : START_SECONDS);
    return *python->verdict != '\0';
}

static inline void
python_end(struct python *python)
{
    kill(-python->group, SIGKILL);
    while (waitpid(-python->group, NULL, 0) > 0 || errno == EINTR)
        continue;
    close(python->output);
    python->group = 0;
}

/* Until all have their verdict. */
static inline void
python_watch(struct python *pythons, int n)
{
    for (int n_running = n; n_running > 0; poll(NULL, 0, 5)) {
        n_running = 0;
        for (struct python *python = pythons; python < pythons + n; python++) {
            if (python->group == 0)
                continue;
            if (python_judge(python, python_read(python)))
                python_end(python);
            else
                n_running++;
        }
    }
}

#endif
