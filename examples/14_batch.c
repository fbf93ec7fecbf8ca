/* SPDX-License-Identifier: MIT
 *
 * A batch job over files, with progress: the words of all files of a directory are counted by a pool, largest files included, and a
 * file that cannot be read is a failed item with its reason, not the end of the job.
 */
#include "demo.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 4096 };

static int
count_words(const void *in, void *out, void *ctx)
{
    const char *path = in;
    FILE *file = fopen(path, "r");
    long n = 0;
    bool in_word = false;
    int c;
    (void)ctx;
    if (file == NULL)
        return par_task_fail(1, "%s: %s", strrchr(path, '/') + 1, strerror(errno));
    while ((c = getc(file)) != EOF) {
        n += !in_word && !isspace(c);
        in_word = !isspace(c);
    }
    fclose(file);
    *(long *)out = n;
    return 0;
}

/* A directory of our own with files of 1, 2, 3, ... words, and a name that leads nowhere. */
static void
make_files(char *directory, int n)
{
    char path[128];
    if (mkdtemp(directory) == NULL)
        demo_die("mkdtemp");
    for (int i = 1; i <= n; i++) {
        snprintf(path, sizeof path, "%s/%d.txt", directory, i);
        FILE *file = fopen(path, "w");
        if (file == NULL)
            demo_die(path);
        for (int k = 0; k < i; k++)
            fprintf(file, "word%s", k % 7 ? " " : "\n");
        fclose(file);
    }
    snprintf(path, sizeof path, "%s/broken.txt", directory);
    if (symlink("nowhere", path) != 0)
        demo_die(path);
}

static int
list_files(const char *directory, char **path, bool remove)
{
    DIR *folder = opendir(directory);
    int n = 0;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL && n < MAX_FILES;)
        if (entry->d_name[0] != '.') {
            size_t size = strlen(directory) + strlen(entry->d_name) + 2;
            path[n] = malloc(size);
            if (path[n] == NULL)
                demo_die("malloc");
            snprintf(path[n], size, "%s/%s", directory, entry->d_name);
            if (remove)
                (void)unlink(path[n]);
            n++;
        }
    if (folder != NULL)
        closedir(folder);
    return n;
}

int
main(int argc, char **argv)
{
    (void)argc;
    char directory[] = "/tmp/libpar-batch-XXXXXX";
    static char *path[MAX_FILES];
    static long words[MAX_FILES];
    par_status failure = { 0 };
    int n_files = demo_flag(argv, "--quick") ? 50 : 500;
    demo_end_options(argv, "");
    make_files(directory, n_files);
    int n = list_files(directory, path, false);

    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 4, .name = "words" });
    if (pool == NULL)
        demo_die("par_pool_new");
    par_job_opts opts = { .failures = &failure, .max_failures = 1 };
    if (isatty(STDERR_FILENO)) {
        opts.progress = par_progress_bar;
        opts.progress_arg = "words";
    }
    ssize_t n_bad = par_pool_map_sized(pool, count_words, path, PAR_STRINGS, words, sizeof *words, (size_t)n, &opts);
    if (n_bad < 0)
        demo_die("par_pool_map_sized");
    par_pool_free(pool);

    long sum = 0;
    for (int i = 0; i < n; i++) {
        sum += words[i];
        free(path[i]);
    }
    printf("%ld words in %d files, %zd not read (%s)\n", sum, n, n_bad, failure.text);
    n = list_files(directory, path, true);
    for (int i = 0; i < n; i++)
        free(path[i]);
    (void)rmdir(directory);
    return n_bad == 1 && sum == (long)n_files * (n_files + 1) / 2 ? 0 : EXIT_FAILURE;
}
