/* SPDX-License-Identifier: MIT
 *
 * test_shm.c: shared memory with a name, and lists in it.
 */
#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "../libpar/os/os.h"

static char name[64];

/* No other test, run or user has it. */
static const char *
fresh_name(void)
{
    snprintf(name, sizeof name, "libpar-test-%d-%08x", (int)getpid(), (unsigned)fixture_random());
    return name;
}

static bool
file_exists(const char *segment, struct stat *file)
{
    char path[128];
    snprintf(path, sizeof path, "/dev/shm/%s", segment);
    return stat(path, file) == 0;
}

/* ---- segments */

START_TEST(what_one_writes_the_other_reads)
{
    struct stat file;
    par_shm *made = par_shm_create(fresh_name(), 10, NULL), *attached = par_shm_attach(name), *slashed;
    char path[80];
    ck_assert_ptr_nonnull(made);
    ck_assert_ptr_nonnull(attached);
    ck_assert_uint_eq(par_shm_size(made), 10);
    ck_assert_uint_eq(par_shm_size(attached), 10);
    ck_assert_str_eq(par_shm_name(attached), name);
    ck_assert_ptr_ne(par_shm_data(made), par_shm_data(attached));
    memcpy(par_shm_data(made), "123456789", 10);
    ck_assert_str_eq(par_shm_data(attached), "123456789");
    snprintf(path, sizeof path, "/%s", name);
    slashed = par_shm_attach(path);
    ck_assert_ptr_nonnull(slashed);
    ck_assert_str_eq(par_shm_name(slashed), name);
    ck_assert(file_exists(name, &file));
    ck_assert_uint_eq(file.st_mode & 0777, 0600);
    ck_assert_int_eq(file.st_size, 10);
    par_shm_free(slashed);
    par_shm_free(made);
    ck_assert(!file_exists(name, &file)); /* with its creator */
    ck_assert_str_eq(par_shm_data(attached), "123456789");
    ck_fails_null(par_shm_attach(name), ENOENT);
    par_shm_free(attached);
}
END_TEST

START_TEST(name_that_is_made_up_is_one_of_pythons)
{
    struct stat file;
    par_shm *shm = par_shm_create(NULL, 1, NULL);
    ck_assert_ptr_nonnull(shm);
    ck_assert_uint_eq(strlen(par_shm_name(shm)), 12);
    ck_assert_int_eq(strncmp(par_shm_name(shm), "psm_", 4), 0);
    strcpy(name, par_shm_name(shm));
    par_shm_free(shm);
    ck_assert(!file_exists(name, &file));
}
END_TEST

START_TEST(persistent_segment_stays_until_it_is_unlinked)
{
    struct stat file;
    par_shm *shm = par_shm_create(fresh_name(), 5000, &(par_shm_opts){ .persistent = true });
    ck_assert_ptr_nonnull(shm);
    memcpy(par_shm_data(shm), "kept", 5);
    par_shm_free(shm);
    ck_assert_int_ge(par_shm_sweep(NULL, NULL), 0);
    ck_assert(file_exists(name, &file));
    shm = par_shm_attach(name);
    ck_assert_ptr_nonnull(shm);
    ck_assert_uint_eq(par_shm_size(shm), 5000);
    ck_assert_str_eq(par_shm_data(shm), "kept");
    ck_fails_null(par_shm_create(name, 10, NULL), EEXIST);
    ck_assert_int_eq(par_shm_unlink(name), 0);
    ck_fails(par_shm_unlink(name), ENOENT);
    par_shm_free(shm);
}
END_TEST

START_TEST(wrong_use_is_told)
{
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_fails_null(par_shm_create(fresh_name(), 0, NULL), EINVAL);
    ck_fails_null(par_shm_create(name, SIZE_MAX, NULL), ENOSPC);
    ck_fails_null(par_shm_create(name, PTRDIFF_MAX, NULL), ENOSPC);
    ck_fails_null(par_shm_create("", 1, NULL), EINVAL);
    ck_fails_null(par_shm_create("/", 1, NULL), EINVAL);
    ck_fails_null(par_shm_create("a/b", 1, NULL), EINVAL);
    ck_fails_null(par_shm_create("..", 1, NULL), EINVAL);
    ck_fails_null(par_shm_create(longer, 1, NULL), ENAMETOOLONG);
    ck_fails_null(par_shm_attach(NULL), EINVAL);
    ck_fails_null(par_shm_attach(name), ENOENT);
    ck_fails(par_shm_unlink(name), ENOENT);
    ck_fails(par_shm_unlink(NULL), EINVAL);
    ck_fails(par_shm_unlink("../x"), EINVAL);
    ck_fails_null(par_shm_data(NULL), EINVAL);
    ck_assert_uint_eq(par_shm_size(NULL), 0);
    par_shm_free(NULL);
    par_shm *shm = par_shm_create(name, 1, NULL);
    ck_fails_null(par_shm_create(name, 1, NULL), EEXIST); /* its creator lives */
    par_shm_free(shm);
}
END_TEST

static int
free_and_write(void *arg)
{
    char *bytes = par_shm_data(arg);
    par_shm_free(arg); /* the parent's: nothing */
    bytes[0] = 'c';
    return 0;
}

START_TEST(child_has_it_at_the_same_address)
{
    struct stat file;
    par_shm *shm = par_shm_create(fresh_name(), 100, NULL);
    ck_assert_int_eq(fixture_in_child(free_and_write, shm), 0);
    ck_assert_int_eq(((char *)par_shm_data(shm))[0], 'c');
    ck_assert(file_exists(name, &file));
    par_shm_free(shm);
}
END_TEST

static int calls_to_fail, failing_call;

static int
fail_one(enum pari_call call)
{
    return (int)call == failing_call && calls_to_fail-- == 0 ? ENOMEM : 0;
}

START_TEST(failed_creation_leaves_nothing)
{
    int call[] = { PARI_CALL_SHM, PARI_CALL_FALLOCATE, PARI_CALL_MMAP };
    par_shm *shm = par_shm_create(fresh_name(), 100, NULL); /* the arena is made */
    struct stat file;
    par_shm_free(shm);
    for (size_t i = 0; i < sizeof call / sizeof *call; i++) {
        for (int n = 0;; n++) {
            failing_call = call[i];
            calls_to_fail = n;
            pari_fault_hook = fail_one;
            shm = par_shm_create(fresh_name(), 100, NULL);
            pari_fault_hook = NULL;
            if (shm != NULL)
                break;
            ck_assert(errno == ENOMEM || errno == ENOSPC);
            ck_assert(!file_exists(name, &file));
            ck_assert_int_lt(n, 10);
        }
        par_shm_free(shm);
    }
}
END_TEST

/* ---- deaths */

struct page {
    char name[64];
    _Atomic int is_made;
};

static int
make_and_wait(void *arg)
{
    struct page *page = arg;
    par_shm *shm = par_shm_create(page->name, 4096, NULL);
    if (shm == NULL)
        return 1;
    memcpy(par_shm_data(shm), "left", 5);
    pid_t child = fork(); /* which inherits what there is to inherit */
    if (child == 0) {
        atomic_store(&page->is_made, 1);
        for (int i = 0; i < 20000 && getppid() != 1; i++)
            nap();
        _exit(0);
    }
    for (;;)
        pause();
}

static struct page *
leave_one(void)
{
    struct page *page = fixture_shared(sizeof *page);
    pid_t child;
    strcpy(page->name, fresh_name());
    child = fixture_fork(make_and_wait, page);
    while (atomic_load(&page->is_made) == 0)
        nap();
    par_shm *shm = par_shm_attach(page->name); /* it lives */
    ck_assert_ptr_nonnull(shm);
    ck_assert_str_eq(par_shm_data(shm), "left");
    ck_fails_null(par_shm_create(page->name, 1, NULL), EEXIST);
    par_shm_free(shm);
    kill(child, SIGKILL);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
    return page;
}

START_TEST(segment_of_the_dead_is_not_found)
{
    struct stat file;
    fixture_expect_orphans();
    struct page *page = leave_one();
    ck_fails_null(par_shm_attach(page->name), ENOENT);
    ck_assert(!file_exists(page->name, &file));
}
END_TEST

START_TEST(name_of_the_dead_can_be_taken)
{
    fixture_expect_orphans();
    struct page *page = leave_one();
    par_shm *shm = par_shm_create(page->name, 10, NULL);
    ck_assert_ptr_nonnull(shm);
    ck_assert_int_eq(((char *)par_shm_data(shm))[0], 0);
    par_shm_free(shm);
}
END_TEST

static bool was_told;

static void
note_name(const char *segment, size_t size, void *arg)
{
    if (strcmp(segment, arg) == 0 && size == 4096)
        was_told = true;
}

START_TEST(sweep_removes_what_the_dead_left_and_nothing_else)
{
    char path[80];
    struct stat file;
    fixture_expect_orphans();
    struct page *page = leave_one();
    par_shm *mine = par_shm_create(fresh_name(), 10, NULL);
    snprintf(path, sizeof path, "/dev/shm/%s-other", name);
    int fd = open(path, O_CREAT | O_RDWR, 0600); /* another program's */
    ck_assert_int_ge(par_shm_sweep(note_name, page->name), 1);
    ck_assert(was_told);
    ck_assert(!file_exists(page->name, &file));
    ck_assert(file_exists(name, &file));
    ck_assert_int_eq(fstat(fd, &file), 0);
    ck_assert_uint_eq(file.st_nlink, 1);
    close(fd);
    unlink(path);
    par_shm_free(mine);
}
END_TEST

/* ---- lists */

static void
assert_item(const par_shareable_list *list, ssize_t i, const char *expected)
{
    par_obj *item = par_shareable_list_get(list, i);
    char *text = par_obj_repr(item);
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, expected);
    free(text);
    par_obj_free(item);
}

static par_obj *
sample(void)
{
    return par_tuple(par_str("howdy"), par_bytes("HoWdY", 5), par_float(-273.154), par_int(100), par_none(), par_bool(true),
                     par_int(42));
}

START_TEST(list_keeps_every_type)
{
    par_obj *items = sample();
    par_shareable_list *list = par_shareable_list_create(fresh_name(), items, NULL), *other;
    ck_assert_ptr_nonnull(list);
    other = par_shareable_list_attach(name);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(par_shareable_list_len(other), 7);
    ck_assert_str_eq(par_shareable_list_name(other), name);
    const char *expected[] = { "'howdy'", "b'HoWdY'", "-273.154", "100", "None", "True", "42" };
    for (ssize_t i = 0; i < 7; i++) {
        assert_item(other, i, expected[i]);
        assert_item(other, i - 7, expected[i]);
    }
    par_obj *hundred = par_int(100), *nowhere = par_str("nowhere");
    ck_assert_int_eq(par_shareable_list_count(other, hundred), 1);
    ck_assert_int_eq(par_shareable_list_index(other, hundred), 3);
    ck_assert_int_eq(par_shareable_list_count(other, nowhere), 0);
    ck_fails(par_shareable_list_index(other, nowhere), ENOENT);
    ck_fails(par_shareable_list_count(other, NULL), EINVAL);
    par_obj_free(hundred);
    par_obj_free(nowhere);
    ck_fails_null(par_shareable_list_get(list, 7), ENOENT);
    ck_fails_null(par_shareable_list_get(list, -8), ENOENT);
    par_obj_free(items);
    par_shareable_list_free(other);
    par_shareable_list_free(list);
    ck_fails_null(par_shareable_list_attach(name), ENOENT);
}
END_TEST

START_TEST(items_are_replaced_in_place)
{
    par_obj *items = sample();
    par_shareable_list *list = par_shareable_list_create(fresh_name(), items, NULL);
    ck_assert_int_eq(par_shareable_list_set(list, 0, par_str("some")), 0);
    ck_assert_int_eq(par_shareable_list_set(list, 3, par_float(1.5)), 0);
    ck_assert_int_eq(par_shareable_list_set(list, 4, par_int(-1)), 0);
    ck_assert_int_eq(par_shareable_list_set(list, -1, par_none()), 0);
    ck_assert_int_eq(par_shareable_list_set(list, 1, par_bool(false)), 0);
    ck_assert_int_eq(par_shareable_list_set(list, 2, par_str("12345678")), 0); /* all of its room */
    const char *expected[] = { "'some'", "False", "'12345678'", "1.5", "-1", "True", "None" };
    for (ssize_t i = 0; i < 7; i++)
        assert_item(list, i, expected[i]);
    ck_fails(par_shareable_list_set(list, 0, par_str("far too long")), EMSGSIZE);
    ck_fails(par_shareable_list_set(list, 0, par_bytes("x\0", 2)), EINVAL);
    ck_fails(par_shareable_list_set(list, 0, par_tuple(par_int(1))), EINVAL);
    ck_fails(par_shareable_list_set(list, 9, par_int(1)), ENOENT);
    ck_fails(par_shareable_list_set(list, 0, NULL), ENOMEM);
    ck_fails(par_shareable_list_set(NULL, 0, par_int(1)), EINVAL);
    assert_item(list, 0, "'some'");
    par_obj_free(items);
    par_shareable_list_free(list);
}
END_TEST

START_TEST(letters_of_many_bytes_have_room)
{
    par_obj *items = par_tuple(par_str("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc"), par_str(""), par_int(1));
    par_shareable_list *list = par_shareable_list_create(fresh_name(), items, NULL);
    assert_item(list, 0, "'\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc'");
    assert_item(list, 1, "''");
    par_obj_free(items);
    par_shareable_list_free(list);
}
END_TEST

START_TEST(list_that_is_none_is_ebadmsg)
{
    par_obj *items = sample();
    par_shareable_list *list = par_shareable_list_create(fresh_name(), items, NULL);
    par_shm *raw = par_shm_attach(name);
    unsigned char *bytes = par_shm_data(raw);
    size_t size = par_shm_size(raw);
    for (int round = 0; round < 3000; round++) { /* damaged anywhere: an answer or an errno */
        size_t at = fixture_random_below((uint32_t)size);
        unsigned char before = bytes[at];
        bytes[at] = (unsigned char)fixture_random();
        par_shareable_list *damaged = par_shareable_list_attach(name);
        for (ssize_t i = 0; i < par_shareable_list_len(list); i++) {
            par_obj_free(par_shareable_list_get(list, i));
            (void)par_shareable_list_set(list, i, par_int(1));
            if (damaged != NULL)
                par_obj_free(par_shareable_list_get(damaged, i));
        }
        par_shareable_list_free(damaged);
        bytes[at] = before;
    }
    memset(bytes, 0xff, size);
    ck_fails_null(par_shareable_list_attach(name), EBADMSG);
    ck_fails_null(par_shareable_list_create(name, NULL, NULL), EINVAL);
    ck_fails_null(par_shareable_list_create(name, par_shareable_list_get(list, 0), NULL), EINVAL);
    par_obj_free(items);
    par_shm_free(raw);
    par_shareable_list_free(list);
}
END_TEST

/* ---- beside Python, where there is one */

static int
python(const char *script)
{
    char command[1024];
    snprintf(command, sizeof command,
             "python3 -c 'import sys\nfrom multiprocessing import shared_memory, resource_tracker\nname = sys.argv[1]\n"
             "resource_tracker.register = resource_tracker.unregister = lambda *a: None\n%s' %s",
             script, name);
    return system(command);
}

START_TEST(python_reads_and_writes_the_same)
{
    if (system("python3 -c 'from multiprocessing import shared_memory' 2>/dev/null") != 0) {
        (void)fputs("python3 with multiprocessing is not installed: not compared\n", stderr);
        return;
    }
    par_shm *shm = par_shm_create(fresh_name(), 10, NULL);
    ck_assert_int_eq(python("s = shared_memory.SharedMemory(name); assert s.size == 10; s.buf[:5] = b\"hello\"; s.close()"), 0);
    ck_assert_str_eq(par_shm_data(shm), "hello");
    par_shm_free(shm);
    par_obj *items = sample();
    par_shareable_list *list = par_shareable_list_create(fresh_name(), items, NULL);
    ck_assert_int_eq(python("l = shared_memory.ShareableList(name=name)\n"
                            "assert list(l) == [\"howdy\", b\"HoWdY\", -273.154, 100, None, True, 42], list(l)\n"
                            "l[0] = \"dry\"; l[3] = None; l[4] = 2.5; l[6] = False"),
                     0);
    assert_item(list, 0, "'dry'");
    assert_item(list, 3, "None");
    assert_item(list, 4, "2.5");
    assert_item(list, 6, "False");
    par_shareable_list_free(list);
    ck_assert_int_eq(python("l = shared_memory.ShareableList([1, \"two\", b\"3\", 4.5, None, True], name=name)"), 0);
    list = par_shareable_list_attach(name);
    ck_assert_ptr_nonnull(list);
    const char *expected[] = { "1", "'two'", "b'3'", "4.5", "None", "True" };
    for (ssize_t i = 0; i < 6; i++)
        assert_item(list, i, expected[i]);
    par_shareable_list_free(list);
    ck_assert_int_eq(par_shm_unlink(name), 0);
    par_obj_free(items);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("shm");
    TCase *segments = fixture_case(suite, "segments"), *deaths = fixture_case(suite, "deaths"),
          *lists = fixture_case(suite, "lists"), *beside = fixture_case(suite, "beside Python");

    tcase_add_test(segments, what_one_writes_the_other_reads);
    tcase_add_test(segments, name_that_is_made_up_is_one_of_pythons);
    tcase_add_test(segments, persistent_segment_stays_until_it_is_unlinked);
    tcase_add_test(segments, wrong_use_is_told);
    tcase_add_test(segments, child_has_it_at_the_same_address);
    tcase_add_test(segments, failed_creation_leaves_nothing);
    tcase_add_test(deaths, segment_of_the_dead_is_not_found);
    tcase_add_test(deaths, name_of_the_dead_can_be_taken);
    tcase_add_test(deaths, sweep_removes_what_the_dead_left_and_nothing_else);
    tcase_add_test(lists, list_keeps_every_type);
    tcase_add_test(lists, items_are_replaced_in_place);
    tcase_add_test(lists, letters_of_many_bytes_have_room);
    tcase_add_test(lists, list_that_is_none_is_ebadmsg);
    tcase_add_test(beside, python_reads_and_writes_the_same);
    return fixture_run(suite);
}
