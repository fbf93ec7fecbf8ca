/* SPDX-License-Identifier: MIT
 *
 * test_pickle.c: the codec: what Python writes is read, what is written Python reads, and whatever else comes does no harm.
 */
#include "fixture.h"

#include "../libpar/object/object.h"
#include "../libpar/object/pickle.h"

#include <math.h>

#define BYTES(bytes, ...)                     \
    {                                         \
        bytes, sizeof(bytes) - 1, __VA_ARGS__ \
    }

/* ---- helpers */

/* The bytes in a block of their own size, so that reading behind them is found. */
static par_obj *
unpickle(const void *data, size_t size)
{
    void *exact = malloc(size);
    par_obj *obj;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, data, size);
    obj = pari_unpickle(exact, size);
    free(exact);
    return obj;
}

static struct pari_buffer
pickle(const par_obj *obj)
{
    struct pari_buffer out = { 0 };

    ck_assert_int_eq(pari_pickle(obj, &out), 0);
    return out;
}

/* Takes obj over. */
static void
assert_repr(par_obj *obj, const char *expected)
{
    char *repr = par_obj_repr(obj);

    ck_assert_msg(repr != NULL, "%s instead of %s", strerror(errno), expected);
    ck_assert_str_eq(repr, expected);
    free(repr);
    par_obj_free(obj);
}

/* Takes obj over. */
static void
assert_pickle(par_obj *obj, const char *bytes, size_t size)
{
    struct pari_buffer out = pickle(obj);

    ck_assert_uint_eq(out.size, size);
    ck_assert_mem_eq(out.data, bytes, size);
    pari_buffer_free(&out);
    par_obj_free(obj);
}

/* Reading these bytes fails with this errno, or gives an object that can be used as any other. */
static void
assert_harmless(const void *data, size_t size)
{
    par_obj *obj = unpickle(data, size);
    struct pari_buffer again;

    if (!obj)
        return;
    again = pickle(obj);
    pari_buffer_free(&again);
    free(par_obj_repr(obj));
    par_obj_free(obj);
}

/* ---- random values */

static par_obj *random_value(int levels);

static int64_t
random_int(void)
{
    uint64_t bits = (uint64_t)fixture_random() << 32 | fixture_random();

    return (int64_t)(bits >> fixture_random_below(64)) * (fixture_random_below(2) ? 1 : -1);
}

static double
random_float(void)
{
    uint64_t bits = (uint64_t)fixture_random() << 32 | fixture_random();
    double value;

    memcpy(&value, &bits, sizeof value);
    return fixture_random_below(2) ? value : (double)(int32_t)fixture_random() / 64;
}

static par_obj *
random_text(void)
{
    static const char *const part[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "'", "\"", "\n", "\\", "\x01" };
    char text[128] = "";

    for (uint32_t n = fixture_random_below(20); n > 0; n--)
        strcat(text, part[fixture_random_below(sizeof part / sizeof *part)]);
    return par_str(text);
}

static par_obj *
random_key(int levels)
{
    switch (fixture_random_below(levels > 0 ? 4 : 3)) {
    case 0: return par_int(random_int());
    case 1: return random_text();
    case 2: return par_none();
    default: return par_tuple(random_key(levels - 1), random_key(levels - 1));
    }
}

static par_obj *
random_list(int levels, par_obj *list)
{
    for (uint32_t n = fixture_random_below(6); n > 0; n--)
        ck_assert_int_eq(par_obj_append(list, random_value(levels - 1)), 0);
    return list;
}

static par_obj *
random_dict(int levels)
{
    par_obj *dict = par_obj_dict();

    for (uint32_t n = fixture_random_below(12); n > 0; n--)
        ck_assert_int_eq(par_obj_set(dict, random_key(levels - 1), random_value(levels - 1)), 0);
    return dict;
}

static par_obj *
random_value(int levels)
{
    uint64_t bits = random_int();

    switch (fixture_random_below(levels > 0 ? 11 : 6)) {
    case 0: return par_none();
    case 1: return par_bool(bits & 1);
    case 2: return par_int((int64_t)bits);
    case 3: return par_float(random_float());
    case 4: return random_text();
    case 5: return par_bytes(&bits, bits % 9);
    case 6:
    case 7: return random_list(levels, par_obj_list());
    case 8: return par_tuple(random_value(levels - 1), random_value(levels - 1), random_value(levels - 1));
    case 9: return random_dict(levels);
    default: return pari_obj_record("builtins.KeyError", par_tuple(random_text()));
    }
}

/* ---- reading what Python writes */

static const struct {
    const char *bytes;
    size_t size;
    const char *repr;
} python[] = {
    BYTES("\200\002]q\000(N\210\211K\000K\377M\000\001M\377\377J\000\000\001\000J\377\377\377\377\212\005\000\000"
          "\000\200\000\212\010\000\000\000\000\000\000\000\200e.",
          "[None, True, False, 0, 255, 256, 65535, 65536, -1, 2147483648, -9223372036854775808]"),
    BYTES("\200\004\225-\000\000\000\000\000\000\000]\224(N\210\211K\000K\377M\000\001M\377\377J\000\000\001\000"
          "J\377\377\377\377\212\005\000\000\000\200\000\212\010\000\000\000\000\000\000\000\200e.",
          "[None, True, False, 0, 255, 256, 65535, 65536, -1, 2147483648, -9223372036854775808]"),
    BYTES("\200\003]q\000(G\077\370\000\000\000\000\000\000G\200\000\000\000\000\000\000\000G\177\360\000\000\000"
          "\000\000\000e.",
          "[1.5, -0.0, inf]"),
    BYTES("\200\002]q\000(X\000\000\000\000q\001X\003\000\000\000h\303\251q\002X\006\000\000\000sharedq\003h\003"
          "X\003\000\000\000\355\240\200q\004e.",
          "['', 'h\303\251', 'shared', 'shared', '\\ud800']"),
    BYTES("\200\003]q\000(X\000\000\000\000q\001X\003\000\000\000h\303\251q\002X\006\000\000\000sharedq\003h\003"
          "X\003\000\000\000\355\240\200q\004e.",
          "['', 'h\303\251', 'shared', 'shared', '\\ud800']"),
    BYTES("\200\004\225\037\000\000\000\000\000\000\000]\224(\214\000\224\214\003h\303\251\224\214\006shared\224"
          "h\003\214\003\355\240\200\224e.",
          "['', 'h\303\251', 'shared', 'shared', '\\ud800']"),
    BYTES("\200\005\225\037\000\000\000\000\000\000\000]\224(\214\000\224\214\003h\303\251\224\214\006shared\224"
          "h\003\214\003\355\240\200\224e.",
          "['', 'h\303\251', 'shared', 'shared', '\\ud800']"),
    BYTES("\200\002]q\000(c__builtin__\nbytes\nq\001)Rq\002c_codecs\nencode\nq\003X\003\000\000\000\000\303\277q"
          "\004X\006\000\000\000latin1q\005\206q\006Rq\007h\003X\003\000\000\000abcq\010h\005\206q\011Rq\ne.",
          "[b'', b'\\x00\\xff', b'abc']"),
    BYTES("\200\003]q\000(C\000q\001C\002\000\377q\002C\003abcq\003e.", "[b'', b'\\x00\\xff', b'abc']"),
    BYTES("\200\004\225\023\000\000\000\000\000\000\000]\224(C\000\224C\002\000\377\224C\003abc\224e.",
          "[b'', b'\\x00\\xff', b'abc']"),
    BYTES("\200\003).", "()"),
    BYTES("\200\002K\001\205q\000.", "(1,)"),
    BYTES("\200\004\225\007\000\000\000\000\000\000\000K\001K\002\206\224.", "(1, 2)"),
    BYTES("\200\004\225\011\000\000\000\000\000\000\000K\001K\002K\003\207\224.", "(1, 2, 3)"),
    BYTES("\200\005\225\014\000\000\000\000\000\000\000(K\001K\002K\003K\004t\224.", "(1, 2, 3, 4)"),
    BYTES("\200\002]q\000(}q\001(X\004\000\000\000nameq\002X\001\000\000\000aq\003X\005\000\000\000scoreq\004K\001"
          "u}q\005(h\002X\001\000\000\000bq\006h\004K\002ue.",
          "[{'name': 'a', 'score': 1}, {'name': 'b', 'score': 2}]"),
    BYTES("\200\004\225,\000\000\000\000\000\000\000]\224(}\224(\214\004name\224\214\001a\224\214\005score\224K\001"
          "u}\224(h\002\214\001b\224h\004K\002ue.",
          "[{'name': 'a', 'score': 1}, {'name': 'b', 'score': 2}]"),
    BYTES("\200\005\225\016\000\000\000\000\000\000\000}\224K\001\214\001x\224\206\224}\224s.", "{(1, 'x'): {}}"),
    BYTES("\200\002cexceptions\nIndexError\nq\000X\023\000\000\000pop from empty listq\001\205q\002Rq\003.",
          "IndexError('pop from empty list')"),
    BYTES("\200\003cbuiltins\nIndexError\nq\000X\023\000\000\000pop from empty listq\001\205q\002Rq\003.",
          "IndexError('pop from empty list')"),
    BYTES("\200\004\2255\000\000\000\000\000\000\000\214\010builtins\224\214\nIndexError\224\223\224\214\023pop "
          "from empty list\224\205\224R\224.",
          "IndexError('pop from empty list')"),
    BYTES("\200\004\225*\000\000\000\000\000\000\000\214\010builtins\224\214\016AttributeError\224\223\224\214\004"
          "no x\224\205\224R\224.",
          "AttributeError('no x')"),
    BYTES("\200\002cexceptions\nKeyError\nq\000X\001\000\000\000kq\001K\001\206q\002Rq\003.", "KeyError('k', 1)"),
    BYTES("\200\005\225#\000\000\000\000\000\000\000\214\010builtins\224\214\010KeyError\224\223\224\214\001k\224"
          "K\001\206\224R\224.",
          "KeyError('k', 1)"),
    BYTES("\200\002c__builtin__\nslice\nq\000K\001NJ\377\377\377\377\207q\001Rq\002.", "slice(1, None, -1)"),
    BYTES("\200\004\225\"\000\000\000\000\000\000\000\214\010builtins\224\214\005slice\224\223\224K\001NJ\377\377"
          "\377\377\207\224R\224.",
          "slice(1, None, -1)"),
    BYTES("\200\002cmultiprocessing.managers\nToken\nq\000)\201q\001X\004\000\000\000listq\002X\006\000\000\000/"
          "tmp/aq\003X\014\000\000\0007f1dc49db700q\004\207q\005b.",
          "Token(typeid='list', address='/tmp/a', id='7f1dc49db700')"),
    BYTES("\200\004\225K\000\000\000\000\000\000\000\214\030multiprocessing.managers\224\214\005Token\224\223\224"
          ")\201\224\214\004list\224\214\006/tmp/a\224\214\0147f1dc49db700\224\207\224b.",
          "Token(typeid='list', address='/tmp/a', id='7f1dc49db700')"),
    BYTES("\200\003cmultiprocessing.managers\nRemoteError\nq\000X\002\000\000\000tbq\001\205q\002Rq\003.", "RemoteError('tb')"),
    BYTES("\200\002cQueue\nFull\nq\000)Rq\001.", "Full()"),
    BYTES("\200\004\225\025\000\000\000\000\000\000\000\214\005queue\224\214\004Full\224\223\224)R\224.", "Full()"),
    BYTES("\200\002cexceptions\nIndexError\nq\000.", "<class 'IndexError'>"),
    BYTES("\200\004\225\033\000\000\000\000\000\000\000\214\010builtins\224\214\nIndexError\224\223\224.",
          "<class 'IndexError'>"),
    BYTES("\200\003X\007\000\000\000#RETURNq\000N\206q\001.", "('#RETURN', None)"),
    BYTES("\200\004\225\016\000\000\000\000\000\000\000\214\007#RETURN\224N\206\224.", "('#RETURN', None)"),
    /* What Python adds to an exception is left out; an object that is mentioned again is there again. */
    BYTES(
        "\200\004\2254\0\0\0\0\0\0\0\214\010builtins\224\214\016AttributeError\224\223\224\214\001m\224\205\224R\224}\224\214\004"
        "note\224K\003sb.",
        "AttributeError('m')"),
    BYTES("\200\004\225'\0\0\0\0\0\0\0\214\010builtins\224\214\nIndexError\224\223\224\214\001x\224\205\224R\224h\004\206\224.",
          "(IndexError('x'), ('x',))"),
    BYTES("\200\004\225\023\0\0\0\0\0\0\0]\224(]\224(K\001K\002eh\001h\001\205\224e.", "[[1, 2], [1, 2], ([1, 2],)]"),
    /* The views of a dict, as a manager sends them. */
    BYTES("\200\003cbuiltins\nlist\n]q\0(K\001K\002e\205q\001R.", "[1, 2]"),
    BYTES("\200\003cbuiltins\nlist\n)R.", "[]"),
    /* Opcodes that Python's own picklers do not use. */
    BYTES("\200\004N0K\0012\206.", "(1, 1)"),
    BYTES("\200\004(K\001K\0021K\003.", "3"),
    BYTES("\200\002\213\011\0\0\0\377\377\377\377\377\377\377\377\377.", "-1"),
    BYTES("\200\002\212\0.", "0"),
    BYTES("\200\004\215\001\0\0\0\0\0\0\0a\216\001\0\0\0\0\0\0\0bB\001\0\0\0c\207.", "('a', b'b', b'c')"),
    BYTES("\200\004}(K\001K\002K\001K\003u.", "{1: 3}"),
    BYTES("\200\004}K\001r\001\0\0\0]r\002\0\0\0sj\001\0\0\0j\002\0\0\0\207.", "({1: []}, 1, [])"),
    BYTES("\200\004](K\001q\005K\001q\006K\002q\007}(K\001\214\001xq\010K\001K\003ueh\010\206.", "([1, 1, 2, {1: 3}], 'x')"),
};

#define N_PYTHON (sizeof python / sizeof *python)

START_TEST(pickles_of_python_are_read)
{
    for (size_t k = 0; k < N_PYTHON; k++)
        assert_repr(unpickle(python[k].bytes, python[k].size), python[k].repr);
}
END_TEST

START_TEST(pickles_of_python_cut_off_are_ebadmsg)
{
    for (size_t k = 0; k < N_PYTHON; k++) {
        for (size_t size = 0; size < python[k].size; size++)
            ck_fails_null(unpickle(python[k].bytes, size), EBADMSG);
    }
}
END_TEST

/* Each byte of a pickle in turn gets each value. */
static void
assert_harmless_with_a_wrong_byte(const char *pickle_bytes, size_t size)
{
    char bytes[256];

    for (size_t i = 0; i < size; i++) {
        memcpy(bytes, pickle_bytes, size);
        for (int value = 0; value < 256; value++) {
            bytes[i] = (char)value;
            assert_harmless(bytes, size);
        }
    }
}

START_TEST(pickles_of_python_with_a_wrong_byte_do_no_harm)
{
    for (size_t k = 0; k < N_PYTHON; k++)
        assert_harmless_with_a_wrong_byte(python[k].bytes, python[k].size);
}
END_TEST

/* ---- refusing */

static const struct {
    const char *bytes;
    size_t size;
    int error;
} refused[] = {
    /* malformed */
    BYTES("", EBADMSG),
    BYTES("hello", EBADMSG),
    BYTES("\200\003.", EBADMSG),
    BYTES("\200\003N..", EBADMSG),
    BYTES("\200\003NN.", EBADMSG),
    BYTES("\200\003(N.", EBADMSG),
    BYTES("\200\003N\377.", EBADMSG),
    BYTES("\200\003N\0.", EBADMSG),
    BYTES("\200\0030.", EBADMSG),
    BYTES("\200\0031.", EBADMSG),
    BYTES("\200\0032.", EBADMSG),
    BYTES("\200\003N(2.", EBADMSG),
    BYTES("\200\003a.", EBADMSG),
    BYTES("\200\003NNa.", EBADMSG),
    BYTES("\200\003](a.", EBADMSG),
    BYTES("\200\003]Ne.", EBADMSG),
    BYTES("\200\003(Ne.", EBADMSG),
    BYTES("\200\003](]e.e", EBADMSG),
    BYTES("\200\003N\206.", EBADMSG),
    BYTES("\200\003t.", EBADMSG),
    BYTES("\200\003}Ns.", EBADMSG),
    BYTES("\200\003}(Nu.", EBADMSG),
    BYTES("\200\003}]Ns.", EBADMSG),
    BYTES("\200\003](NNu.", EBADMSG),
    BYTES("\200\003h\0.", EBADMSG),
    BYTES("\200\003Nq\0h\001.", EBADMSG),
    BYTES("\200\003q\0.", EBADMSG),
    BYTES("\200\003X\001\0\0\0\377.", EBADMSG),
    BYTES("\200\004\214\001\200.", EBADMSG),
    BYTES("\200\003K\001K\001\205R.", EBADMSG),
    BYTES("\200\003cbuiltins\nIndexError\nNR.", EBADMSG),
    BYTES("\200\003cbuiltins\nIndexError\n)R)R.", EBADMSG),
    BYTES("\200\003cbuiltins\nIndexError", EBADMSG),
    BYTES("\200\004K\001\214\001x\223.", EBADMSG),
    BYTES("\200\003]Nb.", EBADMSG),
    /* numbers that nothing stands behind */
    BYTES("\200\003X\377\377\377\377.", EBADMSG),
    BYTES("\200\004\215\377\377\377\377\377\377\377\377a.", EBADMSG),
    BYTES("\200\004\216\377\377\377\377\377\377\377\177a.", EBADMSG),
    BYTES("\200\003B\377\377\377\177a.", EBADMSG),
    BYTES("\200\003\213\377\377\377\377a.", EBADMSG),
    BYTES("\200\004\225\377\377\377\377\377\377\377\377N.", EBADMSG),
    BYTES("\200\003Nr\377\377\377\377.", EBADMSG),
    BYTES("\200\003Nj\377\377\377\377.", EBADMSG),
    /* other protocols and what is not plain data */
    BYTES("\200\001N.", EPROTONOSUPPORT),
    BYTES("\200\006N.", EPROTONOSUPPORT),
    BYTES("\200\003I1\n.", EPROTONOSUPPORT),
    BYTES("\200\004\217\224(K\001K\002\220.", EPROTONOSUPPORT),
    BYTES("\200\002c__builtin__\nset\n]K\001a\205R.", EPROTONOSUPPORT),
    BYTES("\200\005\226\001\0\0\0\0\0\0\0x.", EPROTONOSUPPORT),
    BYTES("\200\004\214\005posix\214\006system\223\214\002ls\205R.", EPROTONOSUPPORT),
    BYTES("\200\003cos\nsystem\nX\002\0\0\0ls\205R.", EPROTONOSUPPORT),
    BYTES("\200\003cbuiltins\neval\nX\001\0\0\0001\205R.", EPROTONOSUPPORT),
    BYTES("\200\003cbuiltins\nIndexError.__init__\n.", EPROTONOSUPPORT),
    BYTES("\200\003c\n\n.", EPROTONOSUPPORT),
    BYTES("\200\003cbuiltins\nslice\n)R}b.", EPROTONOSUPPORT),
    BYTES("\200\003cbuiltins\nlist\nK\001\205R.", EPROTONOSUPPORT),
    BYTES("\200\003cbuiltins\nbytes\nK\001\205R.", EPROTONOSUPPORT),
    BYTES("\200\003c_codecs\nencode\nX\001\0\0\0aX\004\0\0\0utf8\206R.", EPROTONOSUPPORT),
    BYTES("\200\003Q.", EPROTONOSUPPORT),
    /* an int beyond 64 bits, an object in itself */
    BYTES("\200\002\212\011\0\0\0\0\0\0\0\200\0.", EOVERFLOW),
    BYTES("\200\002\212\011\377\377\377\377\377\377\377\177\377.", EOVERFLOW),
    BYTES("\200\002\213\012\0\0\0\0\0\0\0\0\0\0\0\0\001\0.", EOVERFLOW),
    BYTES("\200\004\225\006\0\0\0\0\0\0\0]\224h\0a.", ELOOP),
    BYTES("\200\004\225\013\0\0\0\0\0\0\0]\224h\0\205\224a0h\001.", ELOOP),
    BYTES("\200\004\225\010\0\0\0\0\0\0\0}\224K\001h\0s.", ELOOP),
};

START_TEST(bytes_that_mean_nothing_plain_are_refused)
{
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
        errno = 0;
        ck_assert_ptr_null(unpickle(refused[k].bytes, refused[k].size));
        ck_assert_msg(errno == refused[k].error, "entry %zu: %s, not %s", k, strerror(errno), strerror(refused[k].error));
    }
}
END_TEST

START_TEST(refused_name_is_told)
{
    static const char bytes[] = "\200\003cos\nsys\033tem\n.";

    ck_fails_null(unpickle(bytes, sizeof bytes - 1), EPROTONOSUPPORT);
    ck_assert_str_eq(par_error(), "pickle: os.sys?tem is not plain data");
}
END_TEST

START_TEST(no_bytes_are_ebadmsg)
{
    ck_fails_null(pari_unpickle(NULL, 0), EBADMSG);
    ck_fails_null(pari_unpickle("", 0), EBADMSG);
}
END_TEST

START_TEST(nesting_beyond_the_limit_is_eloop)
{
    enum { LEVELS = 100000 };
    char *bytes = malloc(2 * LEVELS + 3);

    memcpy(bytes, "\200\003", 2);
    memset(bytes + 2, ']', LEVELS);
    memset(bytes + 2 + LEVELS, 'a', LEVELS - 1);
    bytes[2 * LEVELS + 1] = '.';
    ck_fails_null(unpickle(bytes, 2 * LEVELS + 2), ELOOP);
    memset(bytes + 2, ')', 1);
    memset(bytes + 3, '\205', LEVELS);
    ck_fails_null(unpickle(bytes, LEVELS + 3), ELOOP);
    memset(bytes + 2, '(', LEVELS);
    ck_fails_null(unpickle(bytes, LEVELS + 2), EBADMSG);
    free(bytes);
}
END_TEST

START_TEST(deepest_object_makes_the_round)
{
    par_obj *obj = par_obj_dict();
    struct pari_buffer out;

    for (int i = 1; i < PAR_OBJ_MAX_DEPTH; i++)
        obj = par_tuple(obj);
    out = pickle(obj);
    par_obj_free(obj);
    obj = unpickle(out.data, out.size);
    ck_assert_ptr_nonnull(obj);
    ck_fails_null(par_tuple(obj), ELOOP);
    pari_buffer_free(&out);
}
END_TEST

/* l0 = "lol", l1 = [l0] * 10, l2 = [l1] * 10, ... */
START_TEST(references_that_multiply_are_emsgsize)
{
    struct pari_buffer bomb = { 0 };

    pari_buffer_put_text(&bomb, "\200\003](X\003");
    pari_buffer_put(&bomb, "\0\0\0lolq\0", 8);
    for (unsigned char level = 1; level < 12; level++) {
        pari_buffer_put_text(&bomb, "](");
        for (int i = 0; i < 10; i++) {
            pari_buffer_put_byte(&bomb, 'h');
            pari_buffer_put_byte(&bomb, level - 1);
        }
        pari_buffer_put_text(&bomb, "eq");
        pari_buffer_put_byte(&bomb, level);
    }
    pari_buffer_put_text(&bomb, "e.");
    ck_assert_int_eq(pari_buffer_end(&bomb), 0);
    ck_fails_null(unpickle(bomb.data, bomb.size), EMSGSIZE);
    pari_buffer_free(&bomb);
}
END_TEST

/* A list of 20 times the text "lol", and n copies of it. */
static par_obj *
read_repeated(int n)
{
    struct pari_buffer bytes = { 0 };

    pari_buffer_put_text(&bytes, "\200\003](](X\003");
    pari_buffer_put(&bytes, "\0\0\0lol2222222222222222222eq\0", 28);
    for (int i = 0; i < n; i++)
        pari_buffer_put(&bytes, "h\0", 2);
    pari_buffer_put_text(&bytes, "e.");
    ck_assert_int_eq(pari_buffer_end(&bytes), 0);
    par_obj *obj = unpickle(bytes.data, bytes.size);
    pari_buffer_free(&bytes);
    return obj;
}

START_TEST(few_bytes_do_not_become_many)
{
    par_obj *list = read_repeated(30);

    ck_assert_uint_eq(par_obj_len(list), 31);
    ck_assert_uint_eq(par_obj_len(par_obj_item(list, 30)), 20);
    par_obj_free(list);
    ck_fails_null(read_repeated(1000), EMSGSIZE);
}
END_TEST

/* KeyError(KeyError(... KeyError(None, None, ...))): what is called gets a copy of its arguments, on each level. */
static par_obj *
read_nested_calls(int levels, int n)
{
    static const char last[] = "R.", next[] = "R\205";
    struct pari_buffer bytes = { 0 };

    pari_buffer_put_text(&bytes, "\200\003");
    for (int i = 0; i < levels; i++)
        pari_buffer_put_text(&bytes, "cbuiltins\nKeyError\n");
    pari_buffer_put_text(&bytes, "(");
    for (int i = 0; i < n; i++)
        pari_buffer_put_text(&bytes, "N");
    pari_buffer_put_text(&bytes, "t");
    for (int i = 0; i < levels; i++)
        pari_buffer_put_text(&bytes, i < levels - 1 ? next : last);
    ck_assert_int_eq(pari_buffer_end(&bytes), 0);
    par_obj *obj = unpickle(bytes.data, bytes.size);
    pari_buffer_free(&bytes);
    return obj;
}

START_TEST(calls_that_multiply_are_emsgsize)
{
    par_obj *nested = read_nested_calls(20, 10);

    ck_assert_int_eq(par_obj_type(nested), PAR_RECORD);
    par_obj_free(nested);
    ck_fails_null(read_nested_calls(90, 10000), EMSGSIZE);
}
END_TEST

/* ---- writing */

START_TEST(each_value_is_written_in_its_shortest_form)
{
#define assert_bytes(obj, bytes) assert_pickle((obj), bytes, sizeof(bytes) - 1)
    assert_bytes(par_none(), "\200\003N.");
    assert_bytes(par_tuple(par_bool(true), par_bool(false)), "\200\003\210\211\206.");
    assert_bytes(par_tuple(par_int(255), par_int(256), par_int(65536)), "\200\003K\377M\0\001J\0\0\001\0\207.");
    assert_bytes(par_tuple(par_int(-1)), "\200\003J\377\377\377\377\205.");
    assert_bytes(par_int(INT64_C(1) << 31), "\200\003\212\005\0\0\0\200\0.");
    assert_bytes(par_int(INT64_MIN), "\200\003\212\010\0\0\0\0\0\0\0\200.");
    assert_bytes(par_float(1.5), "\200\003G\077\370\0\0\0\0\0\0.");
    assert_bytes(par_tuple(par_str("#RETURN"), par_none()), "\200\003X\007\0\0\0#RETURNN\206.");
    assert_bytes(par_bytes("\0a", 2), "\200\003C\002\0a.");
    assert_bytes(par_tuple(), "\200\003).");
    assert_bytes(par_tuple(par_none(), par_none(), par_none(), par_none()), "\200\003(NNNNt.");
    assert_bytes(par_obj_list(), "\200\003].");
    assert_bytes(par_obj_dict(), "\200\003}.");
    assert_bytes(pari_obj_record("builtins.IndexError", par_tuple(par_str("no"))),
                 "\200\003cbuiltins\nIndexError\nX\002\0\0\0no\205R.");
}
END_TEST

START_TEST(pickle_goes_behind_what_is_in_the_buffer)
{
    struct pari_buffer out = { 0 };
    par_obj *obj = par_none();

    pari_buffer_put_text(&out, "head");
    ck_assert_int_eq(pari_pickle(obj, &out), 0);
    ck_assert_uint_eq(out.size, 8);
    ck_assert_mem_eq(out.data, "head\200\003N.", 8);
    ck_fails(pari_pickle(NULL, &out), ENOMEM);
    ck_assert_uint_eq(out.size, 8);
    pari_buffer_free(&out);
    par_obj_free(obj);
}
END_TEST

static const size_t lengths[] = { 0, 1, 2, 3, 4, 255, 256, 999, 1000, 1001, 2000, 2001, 70000 };

START_TEST(containers_of_any_length_make_the_round)
{
    par_obj *list = par_obj_list(), *dict = par_obj_dict(), *all, *again;
    size_t n = lengths[_i];
    char *text = calloc(1, n + 1);
    struct pari_buffer out;

    memset(text, 'x', n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(par_obj_append(list, par_int((int64_t)i)), 0);
        ck_assert_int_eq(par_obj_set(dict, par_int((int64_t)i), par_none()), 0);
    }
    all = par_tuple(list, dict, par_str(text), par_bytes(text, n));
    out = pickle(all);
    again = unpickle(out.data, out.size);
    ck_assert(par_obj_equal(all, again));
    pari_buffer_free(&out);
    par_obj_free(all);
    par_obj_free(again);
    free(text);
}
END_TEST

START_TEST(random_values_make_the_round)
{
    for (int i = 0; i < 3000; i++) {
        par_obj *obj = random_value(5), *again;
        char *repr = par_obj_repr(obj);
        struct pari_buffer out = pickle(obj);
        again = unpickle(out.data, out.size);
        assert_repr(again, repr);
        pari_buffer_free(&out);
        par_obj_free(obj);
        free(repr);
    }
}
END_TEST

START_TEST(random_values_damaged_do_no_harm)
{
    for (int i = 0; i < 3000; i++) {
        par_obj *obj = random_value(4);
        struct pari_buffer out = pickle(obj);
        for (int k = 0; k < 20; k++) {
            out.data[fixture_random_below((uint32_t)out.size)] ^= (char)(1u << fixture_random_below(8));
            assert_harmless(out.data, out.size - (k == 19 ? fixture_random_below((uint32_t)out.size) : 0));
        }
        pari_buffer_free(&out);
        par_obj_free(obj);
    }
}
END_TEST

/* Opcodes with small arguments, in any order: more of them find something to work on than in random bytes. */
START_TEST(random_programs_do_no_harm)
{
    static const char *const part[] = { "N",
                                        "\210",
                                        "K\1",
                                        "]",
                                        ")",
                                        "}",
                                        "(",
                                        "a",
                                        "e",
                                        "s",
                                        "u",
                                        "t",
                                        "\205",
                                        "\206",
                                        "\207",
                                        "0",
                                        "1",
                                        "2",
                                        "q\1",
                                        "q\2",
                                        "h\1",
                                        "h\2",
                                        "h\1",
                                        "h\2",
                                        "\224",
                                        "C\1x",
                                        "\214\1x",
                                        "\214\1y",
                                        "R",
                                        "\201",
                                        "b",
                                        "cbuiltins\nIndexError\n",
                                        "cbuiltins\nlist\n",
                                        "cmultiprocessing.managers\nToken\n" };

    for (int i = 0; i < 100000; i++) {
        char program[600] = "\200\004";
        size_t size = 2;
        for (uint32_t n = 1 + fixture_random_below(24); n > 0; n--) {
            const char *more = part[fixture_random_below(sizeof part / sizeof *part)];
            memcpy(program + size, more, strlen(more));
            size += strlen(more);
        }
        program[size++] = '.';
        assert_harmless(program, size);
    }
}
END_TEST

/* ---- no memory */

static int n_allocations, failing_allocation;

static int
fail_one_allocation(enum pari_call call)
{
    return call == PARI_CALL_MALLOC && ++n_allocations == failing_allocation ? ENOMEM : 0;
}

static void
start_failing(int n)
{
    n_allocations = 0;
    failing_allocation = n;
    pari_fault_hook = fail_one_allocation;
}

/* Read with allocation n failing; NULL: it was needed. */
static par_obj *
unpickle_without(int n, const char *bytes, size_t size)
{
    par_obj *obj;

    start_failing(n);
    obj = pari_unpickle(bytes, size);
    pari_fault_hook = NULL;
    if (!obj)
        ck_assert_int_eq(errno, ENOMEM);
    return obj;
}

START_TEST(no_memory_to_read_is_enomem)
{
    for (size_t k = 0; k < N_PYTHON; k++) {
        par_obj *obj;
        int n = 1;
        while (!(obj = unpickle_without(n, python[k].bytes, python[k].size)))
            n++;
        assert_repr(obj, python[k].repr);
        ck_assert_int_gt(n, 1);
    }
}
END_TEST

START_TEST(no_memory_to_write_is_enomem)
{
    par_obj *obj = par_bytes(lengths, sizeof lengths);
    struct pari_buffer out = { 0 };

    start_failing(1);
    ck_assert_int_eq(pari_pickle(obj, &out), -1);
    ck_assert_int_eq(errno, ENOMEM);
    pari_fault_hook = NULL;
    pari_buffer_free(&out);
    par_obj_free(obj);
}
END_TEST

/* ---- together with the Python of this machine, if there is one */

static bool
have_python(void)
{
    if (system("python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1") == 0)
        return true;
    fputs("skipped: there is no python3 here (3.8 or later)\n", stderr);
    return false;
}

/* Frames: a little-endian size, a pickle, a size, its repr. */
static void
write_frame(FILE *file, const void *data, size_t size)
{
    uint32_t length = (uint32_t)size;

    ck_assert_uint_eq(fwrite(&length, sizeof length, 1, file), 1);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
}

static char *
read_frame(FILE *file, size_t *size)
{
    uint32_t length;
    char *data;

    if (fread(&length, sizeof length, 1, file) != 1)
        return NULL;
    data = calloc(1, (size_t)length + 1);
    ck_assert_uint_eq(fread(data, 1, length, file), length);
    *size = length;
    return data;
}

static const char python_reads[] = "python3 -c '\n"
                                   "import pickle, struct, sys\n"
                                   "def frame():\n"
                                   "    head = sys.stdin.buffer.read(4)\n"
                                   "    return head and sys.stdin.buffer.read(*struct.unpack(\"=I\", head))\n"
                                   "n = 0\n"
                                   "while True:\n"
                                   "    data = frame()\n"
                                   "    if not data: break\n"
                                   "    expected = frame().decode()\n"
                                   "    got = repr(pickle.loads(data))\n"
                                   "    if got != expected: sys.exit(f\"{got}\\n    but libpar prints\\n{expected}\")\n"
                                   "    n += 1\n"
                                   "sys.exit(n != 3000)\n"
                                   "'";

START_TEST(python_reads_and_prints_the_same)
{
    FILE *pipe;

    if (!have_python())
        return;
    pipe = popen(python_reads, "we");
    ck_assert_ptr_nonnull(pipe);
    for (int i = 0; i < 3000; i++) {
        par_obj *obj = random_value(4);
        struct pari_buffer out = pickle(obj);
        char *repr = par_obj_repr(obj);
        write_frame(pipe, out.data, out.size);
        write_frame(pipe, repr, strlen(repr));
        pari_buffer_free(&out);
        free(repr);
        par_obj_free(obj);
    }
    ck_assert_int_eq(pclose(pipe), 0);
}
END_TEST

static const char python_writes[] =
    "python3 -c '\n"
    "import pickle, random, struct, sys, unicodedata\n"
    "def text():\n"
    "    all = (chr(random.choice([random.randrange(128), random.randrange(0x3000), random.randrange(0x110000)])) for i in range(9))\n"
    "    return \"\".join(c for c in all if unicodedata.category(c) != \"Cn\")\n"
    "def key():\n"
    "    return random.choice([random.randrange(-9, 9), text(), None, (1, text()), 0.5])\n"
    "def value(levels):\n"
    "    kind = random.randrange(12 if levels else 5)\n"
    "    if kind == 0: return random.choice([None, True, False])\n"
    "    if kind == 1: return random.randrange(-2**63, 2**63) >> random.randrange(64)\n"
    "    if kind == 2: return random.choice([random.random(), random.uniform(-1e20, 1e20), 2.0 ** random.randrange(-1074, 1024)])\n"
    "    if kind == 3: return text()\n"
    "    if kind == 4: return text().encode(\"utf8\", \"replace\")\n"
    "    if kind == 5: return tuple(value(levels - 1) for i in range(random.randrange(5)))\n"
    "    if kind == 6: return {key(): value(levels - 1) for i in range(random.randrange(20))}\n"
    "    if kind == 7: return IndexError(text())\n"
    "    if kind == 8: return slice(1, None, value(0))\n"
    "    if kind == 9: return (lambda x: [x, x, (x,)])(value(levels - 1))\n"
    "    return [value(levels - 1) for i in range(random.randrange(9))]\n"
    "random.seed(1)\n"
    "for i in range(2000):\n"
    "    x = value(4) if i < 1990 else [value(1)] * 1001 + list(range(i))\n"
    "    for data in [pickle.dumps(x, i % 4 + 2), repr(x).encode()]:\n"
    "        sys.stdout.buffer.write(struct.pack(\"=I\", len(data)) + data)\n"
    "'";

START_TEST(what_python_writes_prints_the_same)
{
    size_t size, repr_size;
    char *data, *repr;
    int n = 0;
    FILE *pipe;

    if (!have_python())
        return;
    pipe = popen(python_writes, "re");
    ck_assert_ptr_nonnull(pipe);
    for (; (data = read_frame(pipe, &size)); n++) {
        repr = read_frame(pipe, &repr_size);
        assert_repr(unpickle(data, size), repr);
        free(data);
        free(repr);
    }
    ck_assert_int_eq(pclose(pipe), 0);
    ck_assert_int_eq(n, 2000);
}
END_TEST

/* ---- suite */

#define count_of(array) (sizeof(array) / sizeof *(array))

static void
add_reading(Suite *suite)
{
    TCase *reading = fixture_case(suite, "reading"), *refusing = fixture_case(suite, "refusing");

    tcase_add_test(reading, pickles_of_python_are_read);
    tcase_add_test(reading, pickles_of_python_cut_off_are_ebadmsg);
    tcase_add_test(reading, pickles_of_python_with_a_wrong_byte_do_no_harm);
    tcase_add_test(reading, no_memory_to_read_is_enomem);
    tcase_add_test(reading, what_python_writes_prints_the_same);
    tcase_add_test(refusing, bytes_that_mean_nothing_plain_are_refused);
    tcase_add_test(refusing, refused_name_is_told);
    tcase_add_test(refusing, no_bytes_are_ebadmsg);
    tcase_add_test(refusing, nesting_beyond_the_limit_is_eloop);
    tcase_add_test(refusing, references_that_multiply_are_emsgsize);
    tcase_add_test(refusing, few_bytes_do_not_become_many);
    tcase_add_test(refusing, calls_that_multiply_are_emsgsize);
    tcase_add_test(refusing, random_values_damaged_do_no_harm);
    tcase_add_test(refusing, random_programs_do_no_harm);
}

static void
add_writing(Suite *suite)
{
    TCase *writing = fixture_case(suite, "writing");

    tcase_add_test(writing, each_value_is_written_in_its_shortest_form);
    tcase_add_test(writing, pickle_goes_behind_what_is_in_the_buffer);
    tcase_add_loop_test(writing, containers_of_any_length_make_the_round, 0, count_of(lengths));
    tcase_add_test(writing, random_values_make_the_round);
    tcase_add_test(writing, deepest_object_makes_the_round);
    tcase_add_test(writing, no_memory_to_write_is_enomem);
    tcase_add_test(writing, python_reads_and_prints_the_same);
}

int
main(void)
{
    Suite *suite = fixture_suite("pickle");

    add_reading(suite);
    add_writing(suite);
    return fixture_run(suite);
}
