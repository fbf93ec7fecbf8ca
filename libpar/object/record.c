/* SPDX-License-Identifier: MIT
 *
 * record.c: the fixed table of Python's names that a pickle may hold, and records, the objects that stand for what they name.
 *
 * A record is a name and its arguments, nothing more: what Python would call to make the object is never called here. Any name
 * that is not in the table is refused. Protocol 2 uses the module names of Python 2, which are translated first.
 */
#include "object.h"

#include <stdlib.h>
#include <string.h>

struct pari_class { /* without pointers, which the loader would have to set one by one */
    char full_name[46];
    uint8_t module_size; /* bytes in front of the dot */
    uint8_t kind;
};

#define CLASS(module, name, kind)                             \
    {                                                         \
        module "." name, sizeof module - 1, PARI_CLASS_##kind \
    }
#define BUILTIN_EXCEPTION(name) CLASS("builtins", name, EXCEPTION)

/* Sorted by module, then name, as strcmp does. */
static const struct pari_class classes[] = {
    CLASS("_codecs", "encode", ENCODE),
    CLASS("_queue", "Empty", EXCEPTION),
    BUILTIN_EXCEPTION("ArithmeticError"),
    BUILTIN_EXCEPTION("AssertionError"),
    BUILTIN_EXCEPTION("AttributeError"),
    BUILTIN_EXCEPTION("BaseException"),
    BUILTIN_EXCEPTION("BaseExceptionGroup"),
    BUILTIN_EXCEPTION("BlockingIOError"),
    BUILTIN_EXCEPTION("BrokenPipeError"),
    BUILTIN_EXCEPTION("BufferError"),
    BUILTIN_EXCEPTION("BytesWarning"),
    BUILTIN_EXCEPTION("ChildProcessError"),
    BUILTIN_EXCEPTION("ConnectionAbortedError"),
    BUILTIN_EXCEPTION("ConnectionError"),
    BUILTIN_EXCEPTION("ConnectionRefusedError"),
    BUILTIN_EXCEPTION("ConnectionResetError"),
    BUILTIN_EXCEPTION("DeprecationWarning"),
    BUILTIN_EXCEPTION("EOFError"),
    BUILTIN_EXCEPTION("EncodingWarning"),
    BUILTIN_EXCEPTION("Exception"),
    BUILTIN_EXCEPTION("ExceptionGroup"),
    BUILTIN_EXCEPTION("FileExistsError"),
    BUILTIN_EXCEPTION("FileNotFoundError"),
    BUILTIN_EXCEPTION("FloatingPointError"),
    BUILTIN_EXCEPTION("FutureWarning"),
    BUILTIN_EXCEPTION("GeneratorExit"),
    BUILTIN_EXCEPTION("ImportError"),
    BUILTIN_EXCEPTION("ImportWarning"),
    BUILTIN_EXCEPTION("IndentationError"),
    BUILTIN_EXCEPTION("IndexError"),
    BUILTIN_EXCEPTION("InterruptedError"),
    BUILTIN_EXCEPTION("IsADirectoryError"),
    BUILTIN_EXCEPTION("KeyError"),
    BUILTIN_EXCEPTION("KeyboardInterrupt"),
    BUILTIN_EXCEPTION("LookupError"),
    BUILTIN_EXCEPTION("MemoryError"),
    BUILTIN_EXCEPTION("ModuleNotFoundError"),
    BUILTIN_EXCEPTION("NameError"),
    BUILTIN_EXCEPTION("NotADirectoryError"),
    BUILTIN_EXCEPTION("NotImplementedError"),
    BUILTIN_EXCEPTION("OSError"),
    BUILTIN_EXCEPTION("OverflowError"),
    BUILTIN_EXCEPTION("PendingDeprecationWarning"),
    BUILTIN_EXCEPTION("PermissionError"),
    BUILTIN_EXCEPTION("ProcessLookupError"),
    BUILTIN_EXCEPTION("PythonFinalizationError"),
    BUILTIN_EXCEPTION("RecursionError"),
    BUILTIN_EXCEPTION("ReferenceError"),
    BUILTIN_EXCEPTION("ResourceWarning"),
    BUILTIN_EXCEPTION("RuntimeError"),
    BUILTIN_EXCEPTION("RuntimeWarning"),
    BUILTIN_EXCEPTION("StopAsyncIteration"),
    BUILTIN_EXCEPTION("StopIteration"),
    BUILTIN_EXCEPTION("SyntaxError"),
    BUILTIN_EXCEPTION("SyntaxWarning"),
    BUILTIN_EXCEPTION("SystemError"),
    BUILTIN_EXCEPTION("SystemExit"),
    BUILTIN_EXCEPTION("TabError"),
    BUILTIN_EXCEPTION("TimeoutError"),
    BUILTIN_EXCEPTION("TypeError"),
    BUILTIN_EXCEPTION("UnboundLocalError"),
    BUILTIN_EXCEPTION("UnicodeDecodeError"),
    BUILTIN_EXCEPTION("UnicodeEncodeError"),
    BUILTIN_EXCEPTION("UnicodeError"),
    BUILTIN_EXCEPTION("UnicodeTranslateError"),
    BUILTIN_EXCEPTION("UnicodeWarning"),
    BUILTIN_EXCEPTION("UserWarning"),
    BUILTIN_EXCEPTION("ValueError"),
    BUILTIN_EXCEPTION("Warning"),
    BUILTIN_EXCEPTION("ZeroDivisionError"),
    CLASS("builtins", "bytes", BYTES),
    CLASS("builtins", "list", LIST),
    CLASS("builtins", "slice", PLAIN),
    CLASS("multiprocessing.context", "AuthenticationError", EXCEPTION),
    CLASS("multiprocessing.context", "BufferTooShort", EXCEPTION),
    CLASS("multiprocessing.context", "ProcessError", EXCEPTION),
    CLASS("multiprocessing.context", "TimeoutError", EXCEPTION),
    CLASS("multiprocessing.managers", "AcquirerProxy", PLAIN),
    CLASS("multiprocessing.managers", "ArrayProxy", PLAIN),
    CLASS("multiprocessing.managers", "AutoProxy", PLAIN),
    CLASS("multiprocessing.managers", "BarrierProxy", PLAIN),
    CLASS("multiprocessing.managers", "ConditionProxy", PLAIN),
    CLASS("multiprocessing.managers", "DictProxy", PLAIN),
    CLASS("multiprocessing.managers", "EventProxy", PLAIN),
    CLASS("multiprocessing.managers", "IteratorProxy", PLAIN),
    CLASS("multiprocessing.managers", "ListProxy", PLAIN),
    CLASS("multiprocessing.managers", "NamespaceProxy", PLAIN),
    CLASS("multiprocessing.managers", "PoolProxy", PLAIN),
    CLASS("multiprocessing.managers", "RebuildProxy", PLAIN),
    CLASS("multiprocessing.managers", "RemoteError", EXCEPTION),
    CLASS("multiprocessing.managers", "Token", TOKEN),
    CLASS("multiprocessing.managers", "ValueProxy", PLAIN),
    CLASS("queue", "Empty", EXCEPTION),
    CLASS("queue", "Full", EXCEPTION),
    CLASS("threading", "BrokenBarrierError", EXCEPTION),
};

#define N_CLASSES (sizeof classes / sizeof *classes)

static const struct {
    const char *old;
    const char *now;
} modules[] = {
    { "__builtin__", "builtins" },
    { "exceptions", "builtins" },
    { "Queue", "queue" },
    { "multiprocessing", "multiprocessing.context" },
};

/* A name that does not end with NUL. */
struct name {
    const char *text;
    size_t size;
};

static struct name
name_of(const char *text)
{
    return (struct name){ text, strlen(text) };
}

static int
name_compare(struct name a, struct name b)
{
    int order = memcmp(a.text, b.text, a.size < b.size ? a.size : b.size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int
class_compare(const void *key, const void *entry)
{
    const struct name *wanted = key;
    const struct pari_class *class = entry;
    int order = name_compare(wanted[0], (struct name){ class->full_name, class->module_size });

    return order != 0 ? order : name_compare(wanted[1], name_of(pari_class_name(class)));
}

const struct pari_class *
pari_class_find(const char *module, size_t module_size, const char *name, size_t name_size)
{
    struct name wanted[2] = { { module, module_size }, { name, name_size } };

    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (name_compare(wanted[0], name_of(modules[i].old)) == 0)
            wanted[0] = name_of(modules[i].now);
    }
    return bsearch(wanted, classes, N_CLASSES, sizeof *classes, class_compare);
}

const char *
pari_class_module(const struct pari_class *class, size_t *size)
{
    *size = class->module_size;
    return class->full_name;
}

const char *
pari_class_name(const struct pari_class *class)
{
    return class->full_name + class->module_size + 1;
}

int
pari_class_kind(const struct pari_class *class)
{
    return class->kind;
}

/* ---- records */

par_obj *
pari_obj_class(const struct pari_class *class)
{
    par_obj *record = pari_obj_seq(PAR_RECORD);

    if (record)
        ((struct pari_seq *)record)->class = class;
    return record;
}

/* Copies, since args may be meant a second time. */
par_obj *
pari_obj_instance(const struct pari_class *class, const par_obj *args)
{
    par_obj *record = pari_obj_class(class);

    if (!record)
        return NULL;
    ((struct pari_seq *)record)->is_called = true;
    for (size_t i = 0; i < args->size; i++) {
        if (pari_obj_seq_append(record, par_obj_copy(par_obj_item(args, i))) != 0) {
            par_obj_free(record);
            return NULL;
        }
    }
    return record;
}

par_obj *
pari_obj_record(const char *name, par_obj *args)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    const struct pari_class *class = dot ? pari_class_find(name, (size_t)(dot - name), dot + 1, strlen(dot + 1)) : NULL;
    par_obj *record = NULL;

    if (!args)
        errno = ENOMEM;
    else if (!class || args->type != PAR_TUPLE)
        errno = EINVAL;
    else
        record = pari_obj_instance(class, args);
    par_obj_free(args);
    return record;
}

const char *
par_obj_record_name(const par_obj *obj)
{
    return par_obj_type(obj) == PAR_RECORD ? ((const struct pari_seq *)obj)->class->full_name : NULL;
}

bool
pari_obj_is_exception(const par_obj *obj)
{
    const struct pari_seq *record = (const struct pari_seq *)obj;

    return par_obj_type(obj) == PAR_RECORD && record->is_called && record->class->kind == PARI_CLASS_EXCEPTION;
}
