/* SPDX-License-Identifier: MIT
 *
 * test_install.c: the library as a packager and a user meet it: installed below DESTDIR, found by pkg-config, linked shared and
 * static, from C and from C++, with exactly the promised symbols.
 *
 * The tests are small shell scripts; the runner (make check) says in the environment where the source is, how make was called and
 * which compiler to use.
 */
#include "fixture.h"

#include <par/base.h>
#include <sys/wait.h>

static char stage[] = "/tmp/par-install-XXXXXX";

/* Run a shell script in which $stage is the tree that was installed; its exit code. */
static int
shell(const char *script)
{
    static const char prelude[] =
        "set -eu; unset MAKEFLAGS MFLAGS MAKELEVEL\n"
        "cd $stage\n"
        "lib=$stage/usr/local/lib include=$stage/usr/local/include\n"
        "export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage\n"
        "strict='-Wall -Wextra -Wpedantic -Wshadow -Werror'\n"
        "not() { if \"$@\"; then return 1; fi; }\n"
        "remake() { eval \"$PAR_MAKE\" -C '\"$PAR_SOURCE\" \"$@\"' >make.log || { cat make.log; exit 1; }; }\n"
        "exec 2>&1\n";
    char text[4096];
    int length = snprintf(text, sizeof text, "%s%s", prelude, script);
    fflush(stdout);
    int status = length < (int)sizeof text ? system(text) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define ck_shell(script) ck_assert_msg(shell(script) == 0, "its output is above")

static const char user_program[] = "cat >user.c <<'END'\n"
                                   "#include <par.h>\n"
                                   "static int square(const void *in, void *out, void *ctx)\n"
                                   "{\n"
                                   "    (void)ctx;\n"
                                   "    *(long *)out = (long)*(const int *)in * *(const int *)in;\n"
                                   "    return 0;\n"
                                   "}\n"
                                   "int main(void)\n"
                                   "{\n"
                                   "    int n[4] = { 1, 2, 3, 4 };\n"
                                   "    long *result = par_array(long, 4);\n"
                                   "    par_pool *pool = par_pool_new(NULL);\n"
                                   "    if (result == NULL || pool == NULL || par_pool_map(pool, square, n, result, 4) != 0)\n"
                                   "        return 1;\n"
                                   "    par_pool_free(pool);\n"
                                   "    printf(\"%ld %ld %ld %ld\\n\", result[0], result[1], result[2], result[3]);\n"
                                   "    par_shared_free(result);\n"
                                   "    return 0;\n"
                                   "}\n"
                                   "END\n"
                                   "cp user.c user.cc";

/* Its children come by both methods that are no fork, run a function of the program, and one that OpenMP has if it is built so: a fork
 * of the program would wait in it for threads that it does not have. */
static const char start_program[] =
    "cat >start.c <<'END'\n"
    "#include <par.h>\n"
    "static int sum(void *arg)\n"
    "{\n"
    "    int n = 0;\n"
    "#ifdef _OPENMP\n"
    "#pragma omp parallel for reduction(+ : n) num_threads(3)\n"
    "#endif\n"
    "    for (int i = 0; i < 10; i++)\n"
    "        n += i + *(int *)arg;\n"
    "    return n;\n"
    "}\n"
    "int main(void)\n"
    "{\n"
    "    par_spawn_support();\n"
    "    int two = 2;\n"
    "    printf(\"%d\", sum(&two));\n"
    "    for (int method = PAR_SPAWN; method <= PAR_FORKSERVER; method++) {\n"
    "        par_process *p =\n"
    "            par_process_start(sum, &two, sizeof two, &(par_process_opts){ .start_method = method });\n"
    "        if (p == NULL || par_process_join(p, par_in(20)) != 0)\n"
    "            return fprintf(stderr, \"%s\\n\", par_error()), 1;\n"
    "        printf(\" %d\", par_process_exitcode(p));\n"
    "        par_process_free(p);\n"
    "    }\n"
    "    return 0;\n"
    "}\n"
    "END\n";

static bool
install_once(void)
{
    return mkdtemp(stage) != NULL && setenv("stage", stage, 1) == 0 && shell(user_program) == 0 && shell(start_program) == 0 &&
           shell("remake install DESTDIR=$stage PREFIX=/usr/local") == 0;
}

static void
remove_once(void)
{
    (void)shell("cd / && rm -rf $stage"); /* a tree that stays in /tmp is no failure */
}

/* ---- files */

START_TEST(install_puts_every_file_in_its_place)
{
    ck_shell("cd $lib\n"
             "test -f libpar.a\n"
             "test -f libpar.so.$version; test -f pkgconfig/libpar.pc\n"
             "test $(readlink libpar.so.$abi) = libpar.so.$version; test $(readlink libpar.so) = libpar.so.$abi\n"
             "for header in $PAR_SOURCE/include/par.h $PAR_SOURCE/include/par/*.h; do\n"
             "    cmp $header $include/${header#$PAR_SOURCE/include/}\n"
             "done");
}
END_TEST

START_TEST(install_writes_nothing_outside_destdir_into_files)
{
    ck_shell("not grep -r -F -l -e $stage -e $PAR_SOURCE $stage/usr");
}
END_TEST

START_TEST(every_function_has_a_manual_page)
{
    ck_shell("for name in $($PAR_SOURCE/tests/public_functions.sh); do\n"
             "    test -e usr/local/share/man/man3/$name.3 || { echo no page for $name; exit 1; }\n"
             "done; test -f usr/local/share/man/man7/libpar.7");
}
END_TEST

START_TEST(directories_of_the_user_are_respected)
{
    ck_shell("remake install DESTDIR=$stage/other prefix=/opt/par libdir=/opt/par/lib/triplet"
             " includedir=/opt/headers mandir=/opt/manual\n"
             "test -f other/opt/par/lib/triplet/libpar.so.$version; test -f other/opt/headers/par/base.h\n"
             "test -d other/opt/manual/man3; cd other/opt/par/lib/triplet/pkgconfig\n"
             "grep -x prefix=/opt/par libpar.pc; grep -x 'libdir=${exec_prefix}/lib/triplet' libpar.pc\n"
             "grep -x includedir=/opt/headers libpar.pc");
}
END_TEST

START_TEST(uninstall_leaves_no_file)
{
    ck_shell("for verb in install uninstall; do remake $verb DESTDIR=$stage/twice PREFIX=/usr; done\n"
             "test -z \"$(find twice ! -type d)\"; test ! -d twice/usr/include/par");
}
END_TEST

/* ---- programs */

START_TEST(c_program_links_shared)
{
    ck_shell("$CC -std=c11 $strict user.c $(pkg-config --cflags --libs libpar) -o shared\n"
             "test \"$(LD_LIBRARY_PATH=$lib ./shared)\" = '1 4 9 16'\n"
             "readelf -d shared | grep -q 'NEEDED.*\\[libpar.so.'$abi'\\]'");
}
END_TEST

START_TEST(c_program_links_static)
{
    ck_shell("$CC -std=c11 $strict user.c -static $(pkg-config --static --cflags --libs libpar) -o static\n"
             "test \"$(./static)\" = '1 4 9 16'");
}
END_TEST

START_TEST(c_program_links_the_archive_alone)
{
    ck_shell("$CC -std=c11 $strict user.c $(pkg-config --cflags libpar) $lib/libpar.a -pthread -o archive\n"
             "test \"$(./archive)\" = '1 4 9 16'; readelf -d archive >needed; not grep libpar needed");
}
END_TEST

START_TEST(cxx_program_links_shared_and_static)
{
    ck_shell("g++ -std=c++11 $strict user.cc $(pkg-config --cflags --libs libpar) -o shared++\n"
             "g++ -std=c++11 $strict user.cc -static $(pkg-config --static --cflags --libs libpar) -o static++\n"
             "test \"$(LD_LIBRARY_PATH=$lib ./shared++)\" = '1 4 9 16'; test \"$(./static++)\" = '1 4 9 16'");
}
END_TEST

START_TEST(functions_travel_however_a_program_is_linked)
{
    fixture_expect_orphans(); /* the servers end with their programs */
    ck_shell("for flags in -pie -no-pie -Wl,--build-id=none; do\n"
             "    $CC -std=gnu11 $strict $flags start.c $(pkg-config --cflags --libs libpar) -o start\n"
             "    test \"$(LD_LIBRARY_PATH=$lib ./start)\" = '65 65 65' || { echo $flags; exit 1; }\n"
             "done\n"
             "for flags in '' -static -static-pie '-static -Wl,--build-id=none'; do\n"
             "    $CC -std=gnu11 $strict $flags start.c $(pkg-config --cflags libpar) $lib/libpar.a -pthread -o start\n"
             "    test \"$(./start)\" = '65 65 65' || { echo $flags; exit 1; }\n"
             "done");
}
END_TEST

START_TEST(program_that_a_loader_was_told_to_run_is_refused)
{
    ck_shell("$CC -std=gnu11 $strict start.c $(pkg-config --cflags --libs libpar) -o start\n"
             "loader=$(LC_ALL=C readelf -l start | sed -n 's/.*interpreter: \\(.*\\)]/\\1/p')\n"
             "says=$(LD_LIBRARY_PATH=$lib $loader ./start 2>&1 >/dev/null) && exit 1\n"
             "echo \"$says\" | grep -q 'a dynamic loader was told to run it'");
}
END_TEST

START_TEST(library_with_threads_works_in_children_that_are_no_forks)
{
    fixture_expect_orphans(); /* the servers end with their programs */
    ck_shell("$CC -fopenmp -E -x c /dev/null >/dev/null 2>&1 || { echo 'skipped: no OpenMP'; exit 0; }\n"
             "$CC -std=gnu11 $strict -fopenmp start.c $(pkg-config --cflags --libs libpar) -o start\n"
             "test \"$(LD_LIBRARY_PATH=$lib ./start)\" = '65 65 65'");
}
END_TEST

START_TEST(program_builds_before_install)
{
    ck_shell("unset PKG_CONFIG_SYSROOT_DIR; PKG_CONFIG_PATH=$PAR_BUILD\n"
             "$CC -std=c11 $strict user.c $(pkg-config --cflags --libs libpar) -o early\n"
             "test \"$(LD_LIBRARY_PATH=$PAR_BUILD ./early)\" = '1 4 9 16'");
}
END_TEST

/* ---- headers and symbols */

START_TEST(each_header_compiles_alone_as_c11)
{
    ck_shell("for header in par.h $(cd $include && ls par/*.h); do\n"
             "    printf '#include <%s>\\nint main(void) { return 0; }\\n' $header >alone.c\n"
             "    $CC -std=c11 -pedantic-errors $strict -Wstrict-prototypes -Wvla -fsyntax-only -I$include alone.c\n"
             "done");
}
END_TEST

START_TEST(each_header_compiles_alone_as_cxx)
{
    ck_shell("for header in par.h $(cd $include && ls par/*.h); do for standard in c++11 c++20; do\n"
             "    printf '#include <%s>\\nint main() { return 0; }\\n' $header >alone.cc\n"
             "    g++ -std=$standard -pedantic-errors $strict -fsyntax-only -I$include alone.cc\n"
             "done; done");
}
END_TEST

START_TEST(exported_symbols_are_the_public_functions)
{
    ck_shell("$PAR_SOURCE/tests/public_functions.sh >declared\n"
             "nm -D --defined-only $lib/libpar.so | awk '$2 != \"A\" { sub(/@.*/, \"\", $3); print $3 }' |"
             " LC_ALL=C sort >exported\n"
             "diff declared exported; test -s exported");
}
END_TEST

START_TEST(symbols_carry_the_version_node)
{
    ck_shell("nm -D --with-symbol-versions $lib/libpar.so | grep -q \"T par_version@@LIBPAR_$abi\\$\"");
}
END_TEST

START_TEST(library_is_hardened_and_stays_loaded)
{
    ck_shell("readelf -d $lib/libpar.so >dynamic\n"
             "grep -q \"SONAME.*\\[libpar.so.$abi\\]\" dynamic; grep -q 'BIND_NOW' dynamic; grep -q NODELETE dynamic\n"
             "not grep -e TEXTREL -e RPATH -e RUNPATH dynamic\n"
             "readelf -l $lib/libpar.so | grep -q GNU_RELRO; readelf -lW $lib/libpar.so | grep 'GNU_STACK.* RW '");
}
END_TEST

START_TEST(library_needs_libc_only)
{
    ck_shell("readelf -d $lib/libpar.so | grep NEEDED >needed\n"
             "not grep -v -e '\\[libc\\.' -e '\\[ld-' needed");
}
END_TEST

static void
set_versions(void)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", PAR_VERSION_MAJOR, PAR_VERSION_MINOR, PAR_VERSION_PATCH);
    setenv("version", text, 1);
    *strrchr(text, '.') = '\0';
    setenv("abi", text, 1);
}

int
main(void)
{
    Suite *suite = fixture_suite("install");
    if (getenv("PAR_SOURCE") == NULL || getenv("PAR_BUILD") == NULL || getenv("PAR_MAKE") == NULL || getenv("CC") == NULL) {
        fprintf(stderr, "this suite is run by make check T=install\n");
        return EXIT_FAILURE;
    }
    set_versions();
    if (!install_once()) {
        fprintf(stderr, "make install failed\n");
        remove_once();
        return EXIT_FAILURE;
    }
    TCase *files = fixture_case(suite, "files");
    TCase *programs = fixture_case(suite, "programs");
    TCase *symbols = fixture_case(suite, "symbols");
    tcase_add_test(files, install_puts_every_file_in_its_place);
    tcase_add_test(files, install_writes_nothing_outside_destdir_into_files);
    tcase_add_test(files, every_function_has_a_manual_page);
    tcase_add_test(files, directories_of_the_user_are_respected);
    tcase_add_test(files, uninstall_leaves_no_file);

    tcase_add_test(programs, c_program_links_shared);
    tcase_add_test(programs, c_program_links_static);
    tcase_add_test(programs, c_program_links_the_archive_alone);
    tcase_add_test(programs, functions_travel_however_a_program_is_linked);
    tcase_add_test(programs, program_that_a_loader_was_told_to_run_is_refused);
    tcase_add_test(programs, library_with_threads_works_in_children_that_are_no_forks);
    tcase_add_test(programs, program_builds_before_install);

    tcase_add_test(symbols, each_header_compiles_alone_as_c11);
    tcase_add_test(symbols, exported_symbols_are_the_public_functions);
    tcase_add_test(symbols, symbols_carry_the_version_node);
    tcase_add_test(symbols, library_is_hardened_and_stays_loaded);
    tcase_add_test(symbols, library_needs_libc_only);

    if (system("g++ --version >/dev/null 2>&1") == 0) {
        tcase_add_test(programs, cxx_program_links_shared_and_static);
        tcase_add_test(symbols, each_header_compiles_alone_as_cxx);
    } else {
        printf("skipped: C++ programs, g++ is not installed\n");
        printf("skipped: headers as C++, g++ is not installed\n");
    }
    int result = fixture_run(suite);
    remove_once();
    return result;
}
