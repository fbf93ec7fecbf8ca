/* SPDX-License-Identifier: MIT
 *
 * code.c: functions that travel between processes that run the same program: the object that holds the code, by its build id, and
 * where in it. The program itself is the same file in every process that libpar starts, so that it needs no build id.
 */
#include "os.h"

#include <link.h>
#include <string.h>

#define BUILD_ID 3 /* NT_GNU_BUILD_ID */

struct search {
    const struct pari_code *wanted; /* NULL: the object around `address` is looked for */
    uintptr_t address;              /* to be found; found */
    struct pari_code found;
    bool is_found;
    unsigned n_seen; /* objects: the program is the first */
};

static bool
is_code(const struct dl_phdr_info *object, uintptr_t address)
{
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 &&
            address - object->dlpi_addr - part->p_vaddr < part->p_memsz)
            return true;
    }
    return false;
}

static size_t
aligned(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

/* The build id among the notes of one segment. */
static void
read_notes(struct pari_code *code, const char *at, size_t size)
{
    const char *end = at + size;

    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof *note, *id = name + aligned(note->n_namesz);
        if (aligned(note->n_namesz) + aligned(note->n_descsz) > (size_t)(end - name))
            return;
        if (note->n_type == BUILD_ID && note->n_namesz == sizeof "GNU" && memcmp(name, "GNU", sizeof "GNU") == 0 &&
            note->n_descsz <= sizeof code->id) {
            code->id_size = (uint8_t)note->n_descsz;
            memcpy(code->id, id, note->n_descsz);
            return;
        }
        at = id + aligned(note->n_descsz);
    }
}

static void
read_id(struct pari_code *code, const struct dl_phdr_info *object)
{
    for (unsigned i = 0; i < object->dlpi_phnum && code->id_size == 0; i++)
        if (object->dlpi_phdr[i].p_type == PT_NOTE)
            read_notes(code, (const char *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr), object->dlpi_phdr[i].p_memsz);
}

static bool
is_same_object(const struct pari_code *a, const struct pari_code *b)
{
    return a->is_program == b->is_program && a->id_size == b->id_size && memcmp(a->id, b->id, a->id_size) == 0;
}

static int
look(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct search *search = arg;
    struct pari_code code = { .is_program = search->n_seen++ == 0 };

    (void)size;
    if (search->wanted == NULL && !is_code(object, search->address))
        return 0;
    read_id(&code, object);
    if (search->wanted != NULL) {
        search->address = object->dlpi_addr + search->wanted->offset;
        if (!is_same_object(&code, search->wanted) || !is_code(object, search->address))
            return 0;
    }
    code.offset = search->address - object->dlpi_addr;
    search->found = code;
    search->is_found = true;
    return 1;
}

int
pari_code_of(void (*fn)(void), struct pari_code *code)
{
    struct search search = { .address = (uintptr_t)fn };

    (void)dl_iterate_phdr(look, &search);
    if (!search.is_found) {
        pari_say("this is no function of the program or of its libraries");
        return pari_fail(EINVAL);
    }
    if (!search.found.is_program && search.found.id_size == 0) {
        pari_say("the function is in a library without a build id: another process could not be sure to have the same");
        return pari_fail(ENOTSUP);
    }
    *code = search.found;
    return 0;
}

void (*pari_code_find(const struct pari_code *code))(void)
{
    struct search search = { .wanted = code };

    (void)dl_iterate_phdr(look, &search);
    return search.is_found ? (void (*)(void))search.address : NULL;
}
