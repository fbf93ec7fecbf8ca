/* SPDX-License-Identifier: MIT
 *
 * shareable.c: par_shareable_list, a segment in the layout of Python's ShareableList (Lib/multiprocessing/shared_memory.py):
 *
 *   int64 N | N + 1 offsets, int64 | the items' slots | N formats of 8 bytes | N codes of 1 byte
 *
 * all in the machine's byte order and without padding; offset i is where slot i begins, the last one where the slots end. A format is a
 * text of Python's struct module: "q" an int, "d" a float, "xxxxxxx?" a bool in the last of eight bytes, "xxxxxx?x" None, "16s" sixteen
 * bytes, of which zeros at the end do not count. The code of a str is 1, of bytes 2, of None 3, else 0.
 *
 * Python sizes the slot of a str by its characters, so that one of many-byte characters is cut; here it is sized by its bytes. What
 * ends in a zero byte comes back without it there; here it is refused.
 *
 * Shared state: the segment, which anyone may damage: each number in it is checked each time that it is used.
 */
#include "object.h"
#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT 8
#define FORMAT 8
#define MAX_ITEMS (1 << 28)
#define MAX_BYTES 9999991 /* of an item: the size of its slot has seven digits */

enum code { CODE_OTHER, CODE_STR, CODE_BYTES, CODE_NONE };

static const char format_of_none[] = "xxxxxx?x", format_of_bool[] = "xxxxxxx?";

struct par_shareable_list {
    struct pari_handle handle;
    par_shm *shm;
    unsigned char *data; /* the segment's */
    size_t size;
    size_t n;
};

/* ---- numbers in the segment */

static int64_t
number_at(const par_shareable_list *list, size_t offset)
{
    int64_t number;

    memcpy(&number, list->data + offset, sizeof number);
    return number;
}

static void
set_number(par_shareable_list *list, size_t offset, int64_t number)
{
    memcpy(list->data + offset, &number, sizeof number);
}

static size_t
slots_begin(size_t n)
{
    return 8 * (n + 2);
}

/* Where the formats begin; 0: the segment makes no sense. */
static size_t
formats_begin(const par_shareable_list *list)
{
    int64_t end = number_at(list, 8 * (list->n + 1));
    size_t begin = slots_begin(list->n), rest = list->n * (FORMAT + 1);

    if (end < 0 || (uint64_t)end > list->size || begin + rest > list->size - (size_t)end)
        return 0;
    return begin + (size_t)end;
}

struct slot {
    unsigned char *at, *format, *code;
    size_t size;
};

static int
find_slot(const par_shareable_list *list, ssize_t i, struct slot *slot)
{
    size_t formats = formats_begin(list), index;
    int64_t from, to;

    if (i < -(ssize_t)list->n || i >= (ssize_t)list->n)
        return pari_fail(ENOENT);
    index = i < 0 ? list->n - (size_t)-i : (size_t)i;
    from = number_at(list, 8 * (index + 1));
    to = number_at(list, 8 * (index + 2));
    if (formats == 0 || from < 0 || to < from || to - from < SLOT || (uint64_t)to > formats - slots_begin(list->n))
        return pari_fail(EBADMSG);
    *slot = (struct slot){ list->data + slots_begin(list->n) + from, list->data + formats + index * FORMAT,
                           list->data + formats + list->n * FORMAT + index, (size_t)(to - from) };
    return 0;
}

/* ---- values */

/* The bytes of a str or bytes; false: it is another value. */
static bool
bytes_of(const par_obj *value, const void **bytes, size_t *size)
{
    if (par_obj_type(value) == PAR_STR) {
        *bytes = par_obj_as_str(value, "");
        *size = par_obj_len(value);
        return true;
    }
    *bytes = par_obj_as_bytes(value, size);
    return par_obj_type(value) == PAR_BYTES;
}

static size_t
room_for(const par_obj *value)
{
    const void *bytes;
    size_t size;

    return bytes_of(value, &bytes, &size) ? SLOT * (size / SLOT + 1) : SLOT;
}

static int
check(const par_obj *value)
{
    const unsigned char *bytes;
    size_t size;

    if (bytes_of(value, (const void **)&bytes, &size))
        return size > MAX_BYTES || (size > 0 && bytes[size - 1] == 0) ? pari_fail(EINVAL) : 0;
    switch (par_obj_type(value)) {
    case PAR_NONE:
    case PAR_BOOL:
    case PAR_INT:
    case PAR_FLOAT: return 0;
    default: return pari_fail(EINVAL);
    }
}

static void
set_format(const struct slot *slot, const char *format, enum code code)
{
    memset(slot->format, 0, FORMAT);
    memcpy(slot->format, format, strnlen(format, FORMAT));
    *slot->code = (unsigned char)code;
}

static void
write_bytes(const struct slot *slot, const par_obj *value)
{
    char format[24];
    const void *bytes;
    size_t size;

    (void)bytes_of(value, &bytes, &size);
    (void)snprintf(format, sizeof format, "%zus", slot->size);
    set_format(slot, format, par_obj_type(value) == PAR_STR ? CODE_STR : CODE_BYTES);
    memcpy(slot->at, bytes, size);
    memset(slot->at + size, 0, slot->size - size);
}

/* A value that was checked and fits. */
static void
write_value(const struct slot *slot, const par_obj *value)
{
    int64_t number = par_obj_as_int(value, 0);
    double real = par_obj_as_float(value, 0);

    switch (par_obj_type(value)) {
    case PAR_INT:
        set_format(slot, "q", CODE_OTHER);
        memcpy(slot->at, &number, sizeof number);
        break;
    case PAR_FLOAT:
        set_format(slot, "d", CODE_OTHER);
        memcpy(slot->at, &real, sizeof real);
        break;
    case PAR_BOOL:
        set_format(slot, format_of_bool, CODE_OTHER);
        memset(slot->at, 0, SLOT);
        slot->at[SLOT - 1] = number != 0;
        break;
    case PAR_NONE:
        set_format(slot, format_of_none, CODE_NONE);
        memset(slot->at, 0, SLOT);
        break;
    default: write_bytes(slot, value);
    }
}

static par_obj *
read_bytes(const struct slot *slot, const char *format)
{
    char *end;
    unsigned long size = strtoul(format, &end, 10);

    if (end == format || strcmp(end, "s") != 0 || size > slot->size)
        return pari_null(EBADMSG);
    while (size > 0 && slot->at[size - 1] == 0)
        size--;
    if (*slot->code == CODE_BYTES)
        return par_bytes(slot->at, size);
    return pari_utf8_is_valid((const char *)slot->at, size) ? pari_obj_str((const char *)slot->at, size) : pari_null(EBADMSG);
}

static par_obj *
read_value(const struct slot *slot)
{
    char format[FORMAT + 1] = "";
    int64_t number;
    double real;

    memcpy(format, slot->format, FORMAT);
    memcpy(&number, slot->at, sizeof number);
    memcpy(&real, slot->at, sizeof real);
    if (strcmp(format, "q") == 0)
        return par_int(number);
    if (strcmp(format, "d") == 0)
        return par_float(real);
    if (strcmp(format, format_of_bool) == 0)
        return par_bool(slot->at[SLOT - 1] != 0);
    if (strcmp(format, format_of_none) == 0)
        return par_none();
    return read_bytes(slot, format);
}

/* ---- its life */

static size_t
size_of(const par_obj *items)
{
    size_t n = par_obj_len(items), size = slots_begin(n) + n * (FORMAT + 1);

    for (size_t i = 0; i < n; i++)
        size += room_for(par_obj_item(items, i)); /* they lie in memory: cannot overflow */
    return size;
}

static int
check_items(const par_obj *items)
{
    int type = par_obj_type(items);

    if ((type != PAR_LIST && type != PAR_TUPLE) || par_obj_len(items) > MAX_ITEMS)
        return pari_fail(EINVAL);
    for (size_t i = 0; i < par_obj_len(items); i++)
        if (check(par_obj_item(items, i)) != 0)
            return -1;
    return 0;
}

static par_shareable_list *
wrap(par_shm *shm)
{
    par_shareable_list *list = shm != NULL ? pari_handle_new_private(PARI_SHAREABLE_LIST, sizeof *list) : NULL;

    if (list == NULL) {
        par_shm_free(shm);
        return NULL;
    }
    list->shm = shm;
    list->data = par_shm_data(shm);
    list->size = par_shm_size(shm);
    return list;
}

static void
lay_out(par_shareable_list *list, const par_obj *items)
{
    int64_t offset = 0;
    struct slot slot;

    set_number(list, 0, (int64_t)list->n);
    for (size_t i = 0; i < list->n; i++) {
        set_number(list, 8 * (i + 1), offset);
        offset += (int64_t)room_for(par_obj_item(items, i));
    }
    set_number(list, 8 * (list->n + 1), offset);
    for (size_t i = 0; i < list->n; i++)
        if (find_slot(list, (ssize_t)i, &slot) == 0) /* we have just made it */
            write_value(&slot, par_obj_item(items, i));
}

par_shareable_list *
par_shareable_list_create(const char *name, const par_obj *items, const par_shm_opts *opts)
{
    par_shareable_list *list;

    if (check_items(items) != 0)
        return NULL;
    list = wrap(par_shm_create(name, size_of(items), opts));
    if (list == NULL)
        return NULL;
    list->n = par_obj_len(items);
    lay_out(list, items);
    return list;
}

par_shareable_list *
par_shareable_list_attach(const char *name)
{
    par_shareable_list *list = wrap(par_shm_attach(name));
    int64_t n;

    if (list == NULL)
        return NULL;
    n = list->size >= 16 ? number_at(list, 0) : -1;
    list->n = n >= 0 ? (size_t)n : 0;
    if (n < 0 || n > MAX_ITEMS || slots_begin(list->n) > list->size || formats_begin(list) == 0) {
        par_shareable_list_free(list);
        return pari_null(EBADMSG);
    }
    return list;
}

void
par_shareable_list_free(par_shareable_list *list)
{
    int saved = errno;

    if (list != NULL && pari_handle_check_mine(list, PARI_SHAREABLE_LIST) == 0) {
        par_shm_free(list->shm);
        pari_handle_free(list);
    }
    errno = saved;
}

/* ---- items */

ssize_t
par_shareable_list_len(const par_shareable_list *list)
{
    return pari_handle_check(list, PARI_SHAREABLE_LIST) == 0 ? (ssize_t)list->n : -1;
}

const char *
par_shareable_list_name(const par_shareable_list *list)
{
    return pari_handle_check(list, PARI_SHAREABLE_LIST) == 0 ? par_shm_name(list->shm) : NULL;
}

par_obj *
par_shareable_list_get(const par_shareable_list *list, ssize_t i)
{
    struct slot slot;

    if (pari_handle_check(list, PARI_SHAREABLE_LIST) != 0 || find_slot(list, i, &slot) != 0)
        return NULL;
    return read_value(&slot);
}

static int
set(par_shareable_list *list, ssize_t i, const par_obj *value)
{
    const void *bytes;
    struct slot slot;
    size_t size;

    if (pari_handle_check(list, PARI_SHAREABLE_LIST) != 0)
        return -1;
    if (value == NULL)
        return pari_fail(ENOMEM);
    if (check(value) != 0 || find_slot(list, i, &slot) != 0)
        return -1;
    if (bytes_of(value, &bytes, &size) && size > slot.size)
        return pari_fail(EMSGSIZE);
    write_value(&slot, value);
    return 0;
}

int
par_shareable_list_set(par_shareable_list *list, ssize_t i, par_obj *value)
{
    int result = set(list, i, value);

    par_obj_free(value);
    return result;
}

/* Counts until `enough` were found; *at is the last one's index. */
static ssize_t
find(const par_shareable_list *list, const par_obj *value, ssize_t enough, ssize_t *at)
{
    ssize_t found = 0;

    if (pari_handle_check(list, PARI_SHAREABLE_LIST) != 0)
        return -1;
    if (value == NULL)
        return pari_fail(EINVAL);
    for (ssize_t i = 0; i < (ssize_t)list->n && found < enough; i++) {
        par_obj *item = par_shareable_list_get(list, i);
        if (item == NULL)
            return -1;
        if (par_obj_equal(item, value)) {
            *at = i;
            found++;
        }
        par_obj_free(item);
    }
    return found;
}

ssize_t
par_shareable_list_count(const par_shareable_list *list, const par_obj *value)
{
    ssize_t at;

    return find(list, value, PTRDIFF_MAX, &at);
}

ssize_t
par_shareable_list_index(const par_shareable_list *list, const par_obj *value)
{
    ssize_t at = 0, found = find(list, value, 1, &at);

    return found > 0 ? at : found < 0 ? -1 : pari_fail(ENOENT);
}
