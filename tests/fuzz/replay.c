/* SPDX-License-Identifier: MIT
 *
 * replay.c: run a fuzz target over files and folders of inputs, without libFuzzer. Each is tried at every length as well, since a
 * stream may be cut off anywhere.
 *   replay_<target> <file or folder> ...
 */
#include "fuzz.h"

#include <dirent.h>

#define LARGEST_INPUT 65536
#define PATH_SIZE 4096

static unsigned n_inputs, n_runs;

/* On the heap and of exactly that size, so that a sanitizer sees a read beyond it. */
static void
run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    must(copy != NULL);
    memcpy(copy, data, size);
    must(LLVMFuzzerTestOneInput(copy, size) == 0);
    free(copy);
    n_runs++;
}

static void
replay_file(const char *path)
{
    static uint8_t data[LARGEST_INPUT];
    FILE *file = fopen(path, "rbe");
    size_t size, step;

    must(file != NULL);
    size = fread(data, 1, sizeof data, file);
    fclose(file);
    step = size / 256 + 1;
    for (size_t length = 0; length < size; length += step)
        run(data, length);
    run(data, size);
    n_inputs++;
}

static void
replay(const char *path)
{
    char name[PATH_SIZE];
    DIR *folder = opendir(path);

    if (folder == NULL) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' && (size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < sizeof name)
            replay_file(name);
    closedir(folder);
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs, %u runs\n", n_inputs, n_runs);
    return n_inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
