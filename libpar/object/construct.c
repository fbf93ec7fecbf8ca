/* SPDX-License-Identifier: MIT
 *
 * construct.c: the opcodes of pickle with which Python names a class and has it called.
 *
 * A name is looked up in the table of record.c, and what would be called becomes a record, or the plain value that Python is
 * known to write in this way. Nothing is called.
 */
#include "reader.h"

#include <string.h>

#define SHOWN_NAME 64 /* bytes of a refused name that par_error tells */

/* Only with characters that are safe to print. */
static void
show_name(char shown[static SHOWN_NAME], const char *name, size_t size)
{
    size_t n = size < SHOWN_NAME - 1 ? size : SHOWN_NAME - 1;

    for (size_t i = 0; i < n; i++)
        shown[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    shown[n] = '\0';
}

static int
push_class(struct pari_reader *r, const char *module, size_t module_size, const char *name, size_t name_size)
{
    const struct pari_class *class = pari_class_find(module, module_size, name, name_size);
    char shown_module[SHOWN_NAME], shown_name[SHOWN_NAME];

    if (class)
        return pari_reader_push(r, pari_obj_class(class));
    show_name(shown_module, module, module_size);
    show_name(shown_name, name, name_size);
    pari_say("pickle: %s.%s is not plain data", shown_module, shown_name);
    return pari_fail(EPROTONOSUPPORT);
}

int
pari_load_global(struct pari_reader *r, unsigned argument)
{
    size_t module_size = 0, name_size = 0;
    const char *module = pari_reader_line(r, &module_size);
    const char *name = module ? pari_reader_line(r, &name_size) : NULL;

    (void)argument;
    return name ? push_class(r, module, module_size, name, name_size) : -1;
}

int
pari_load_stack_global(struct pari_reader *r, unsigned argument)
{
    const par_obj *name = pari_reader_peek(r, 0), *module = pari_reader_peek(r, 1);

    (void)argument;
    if (par_obj_type(name) != PAR_STR || par_obj_type(module) != PAR_STR)
        return pari_fail(EBADMSG);
    pari_reader_drop_from(r, r->stack.n - 2); /* discarded, so still there to be read */
    return push_class(r, par_obj_as_str(module, ""), module->size, par_obj_as_str(name, ""), name->size);
}

/* ---- what would be called */

/* _codecs.encode(text, 'latin1'): how protocol 2 writes bytes, each as the character of its number. */
static par_obj *
encode_latin1(const par_obj *args)
{
    const par_obj *text = par_obj_item(args, 0);
    const char *codec = par_obj_as_str(par_obj_item(args, 1), ""), *at = par_obj_as_str(text, NULL);
    struct pari_buffer bytes = { 0 };
    par_obj *obj;

    if (!at || args->size != 2 || strcmp(codec, "latin1") != 0)
        return pari_null(EPROTONOSUPPORT);
    for (const char *end = at + text->size; at < end;) {
        uint32_t c = pari_utf8_next(&at);
        if (c > UINT8_MAX)
            pari_buffer_fail(&bytes, EBADMSG);
        pari_buffer_put_byte(&bytes, (unsigned char)c);
    }
    obj = pari_buffer_end(&bytes) == 0 ? par_bytes(bytes.data, bytes.size) : NULL;
    pari_buffer_free(&bytes);
    return obj;
}

/* list(), list([...]) or list((...)): how Python's manager sends the views of a dict. */
static par_obj *
make_list(struct pari_reader *r, const par_obj *args)
{
    par_obj *list, *from = (par_obj *)par_obj_item(args, 0);

    if (args->size == 0)
        return par_obj_list();
    if (args->size != 1 || (from->type != PAR_LIST && from->type != PAR_TUPLE))
        return pari_null(EPROTONOSUPPORT);
    list = pari_reader_copy(r, from); /* the memo may know args */
    if (list) {
        list->type = PAR_LIST;
        list->is_shared = false;
    }
    return list;
}

static par_obj *
make_instance(struct pari_reader *r, const struct pari_class *class, const par_obj *args)
{
    switch (pari_class_kind(class)) {
    case PARI_CLASS_LIST: return make_list(r, args);
    case PARI_CLASS_BYTES: /* b'' of protocol 2 */ return args->size == 0 ? par_bytes(NULL, 0) : pari_null(EPROTONOSUPPORT);
    case PARI_CLASS_ENCODE: return encode_latin1(args);
    default: return pari_reader_charge(r, args) == 0 ? pari_obj_instance(class, args) : NULL;
    }
}

/* REDUCE and NEWOBJ: the class and its arguments become an object. */
int
pari_load_reduce(struct pari_reader *r, unsigned argument)
{
    const par_obj *args = pari_reader_peek(r, 0), *class = pari_reader_peek(r, 1);
    par_obj *obj;

    (void)argument;
    if (par_obj_type(args) != PAR_TUPLE || par_obj_type(class) != PAR_RECORD || ((const struct pari_seq *)class)->is_called)
        return pari_fail(EBADMSG);
    obj = make_instance(r, ((const struct pari_seq *)class)->class, args);
    if (!obj)
        return -1;
    pari_reader_drop_from(r, r->stack.n - 2);
    return pari_reader_push(r, obj);
}

static int
set_fields(par_obj *token, const par_obj *state)
{
    for (size_t i = 0; i < state->size; i++) {
        if (pari_obj_seq_append(token, par_obj_copy(par_obj_item(state, i))) != 0)
            return -1;
    }
    return 0;
}

/* A Token takes its fields so. What Python adds to an exception beside its arguments has no place here. */
int
pari_load_build(struct pari_reader *r, unsigned argument)
{
    const par_obj *state = pari_reader_peek(r, 0);
    par_obj *obj = pari_reader_peek(r, 1);
    bool is_token;

    (void)argument;
    if (!state || par_obj_type(obj) != PAR_RECORD || !((struct pari_seq *)obj)->is_called)
        return pari_fail(EBADMSG);
    if (obj->is_shared)
        return pari_fail(ELOOP);
    is_token = pari_class_kind(((struct pari_seq *)obj)->class) == PARI_CLASS_TOKEN;
    if (is_token && obj->size == 0 && state->type == PAR_TUPLE) {
        if (pari_reader_charge(r, state) != 0 || set_fields(obj, state) != 0)
            return -1;
    } else if (!pari_obj_is_exception(obj) || (state->type != PAR_DICT && state->type != PAR_NONE)) {
        return pari_fail(EPROTONOSUPPORT);
    }
    pari_reader_drop_from(r, r->stack.n - 1);
    return 0;
}
