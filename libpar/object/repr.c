/* SPDX-License-Identifier: MIT
 *
 * repr.c: objects as Python prints them.
 */
#include "object.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What Python escapes beyond ASCII: controls, formats, surrogates, private use, spaces and lines that are not ' ', and the code
 * points that will never be characters (the last two of each plane are looked for apart). Sorted. */
static const struct {
    uint32_t first;
    uint32_t last;
} unprintable[] = {
    { 0x80, 0xa0 },        { 0xad, 0xad },       { 0x600, 0x605 },     { 0x61c, 0x61c },     { 0x6dd, 0x6dd },
    { 0x70f, 0x70f },      { 0x890, 0x891 },     { 0x8e2, 0x8e2 },     { 0x1680, 0x1680 },   { 0x180e, 0x180e },
    { 0x2000, 0x200f },    { 0x2028, 0x202f },   { 0x205f, 0x206f },   { 0x3000, 0x3000 },   { 0xd800, 0xf8ff },
    { 0xfdd0, 0xfdef },    { 0xfeff, 0xfeff },   { 0xfff9, 0xfffb },   { 0x110bd, 0x110bd }, { 0x110cd, 0x110cd },
    { 0x13430, 0x1343f },  { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0001, 0xe0001 }, { 0xe0020, 0xe007f },
    { 0xf0000, 0x10ffff },
};

static bool
is_printable(uint32_t c)
{
    if (c < 0x80)
        return c >= ' ' && c < 0x7f;
    if ((c & 0xfffe) == 0xfffe)
        return false;
    for (size_t i = 0; i < sizeof unprintable / sizeof *unprintable && unprintable[i].first <= c; i++) {
        if (c <= unprintable[i].last)
            return false;
    }
    return true;
}

/* The character that stands behind the backslash, or 0: this one has no short form. */
static char
short_escape(uint32_t c, char quote)
{
    switch (c) {
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\\': return '\\';
    default: return c == (unsigned char)quote ? quote : 0;
    }
}

static void
write_escape(struct pari_buffer *out, uint32_t c, char quote)
{
    char text[16] = { '\\', short_escape(c, quote) };

    if (text[1] == 0)
        (void)snprintf(text, sizeof text, c < 0x100 ? "\\x%02" PRIx32 : c < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, c);
    pari_buffer_put_text(out, text);
}

static char
choose_quote(const struct pari_text *text)
{
    bool has_single = memchr(text->data, '\'', text->obj.size), has_double = memchr(text->data, '"', text->obj.size);

    return has_single && !has_double ? '"' : '\'';
}

static void
write_str(struct pari_buffer *out, const struct pari_text *text)
{
    const char *at = text->data, *end = at + text->obj.size;
    char quote = choose_quote(text);

    pari_buffer_put_byte(out, (unsigned char)quote);
    while (at < end) {
        const char *start = at;
        uint32_t c = pari_utf8_next(&at);
        if (is_printable(c) && !short_escape(c, quote))
            pari_buffer_put(out, start, (size_t)(at - start));
        else
            write_escape(out, c, quote);
    }
    pari_buffer_put_byte(out, (unsigned char)quote);
}

static void
write_bytes(struct pari_buffer *out, const struct pari_text *text)
{
    char quote = choose_quote(text);

    pari_buffer_put_byte(out, 'b');
    pari_buffer_put_byte(out, (unsigned char)quote);
    for (size_t i = 0; i < text->obj.size; i++) {
        unsigned char byte = (unsigned char)text->data[i];
        if (byte >= ' ' && byte < 0x7f && !short_escape(byte, quote))
            pari_buffer_put_byte(out, byte);
        else
            write_escape(out, byte, quote);
    }
    pari_buffer_put_byte(out, (unsigned char)quote);
}

static void
write_number(struct pari_buffer *out, const par_obj *obj)
{
    char text[PARI_FLOAT_SIZE];

    if (obj->type == PAR_INT)
        (void)snprintf(text, sizeof text, "%" PRId64, obj->integer);
    else
        pari_float_repr(obj->real, text);
    pari_buffer_put_text(out, text);
}

/* ---- containers */

static void
write_items(struct pari_buffer *out, const par_obj *seq)
{
    for (size_t i = 0; i < seq->size && out->error == 0; i++) {
        if (i > 0)
            pari_buffer_put_text(out, ", ");
        pari_repr(par_obj_item(seq, i), out);
    }
}

static void
write_dict(struct pari_buffer *out, const par_obj *dict)
{
    const par_obj *key, *value;
    const char *between = "{";
    size_t pos = 0;

    while (par_obj_next(dict, &pos, &key, &value) && out->error == 0) {
        pari_buffer_put_text(out, between);
        pari_repr(key, out);
        pari_buffer_put_text(out, ": ");
        pari_repr(value, out);
        between = ", ";
    }
    pari_buffer_put_text(out, dict->size == 0 ? "{}" : "}");
}

/* Token(typeid='list', address='name', id='7f01') */
static void
write_token(struct pari_buffer *out, const par_obj *token)
{
    static const char *const field[] = { "typeid=", ", address=", ", id=" };

    for (size_t i = 0; i < 3; i++) {
        pari_buffer_put_text(out, field[i]);
        pari_repr(par_obj_item(token, i), out);
    }
}

static void
write_record(struct pari_buffer *out, const par_obj *record)
{
    const struct pari_seq *seq = (const struct pari_seq *)record;
    const char *full_name = par_obj_record_name(record), *name = pari_class_name(seq->class);
    bool is_builtin = strncmp(full_name, "builtins.", sizeof "builtins." - 1) == 0;

    if (!seq->is_called) {
        pari_buffer_put_text(out, "<class '");
        pari_buffer_put_text(out, is_builtin ? name : full_name);
        pari_buffer_put_text(out, "'>");
        return;
    }
    pari_buffer_put_text(out, name);
    pari_buffer_put_text(out, "(");
    if (pari_class_kind(seq->class) == PARI_CLASS_TOKEN && record->size == 3)
        write_token(out, record);
    else
        write_items(out, record);
    pari_buffer_put_text(out, ")");
}

void
pari_repr(const par_obj *obj, struct pari_buffer *out)
{
    switch (obj->type) {
    case PAR_NONE: pari_buffer_put_text(out, "None"); break;
    case PAR_BOOL: pari_buffer_put_text(out, obj->boolean ? "True" : "False"); break;
    case PAR_INT:
    case PAR_FLOAT: write_number(out, obj); break;
    case PAR_STR: write_str(out, (const struct pari_text *)obj); break;
    case PAR_BYTES: write_bytes(out, (const struct pari_text *)obj); break;
    case PAR_LIST:
        pari_buffer_put_text(out, "[");
        write_items(out, obj);
        pari_buffer_put_text(out, "]");
        break;
    case PAR_TUPLE:
        pari_buffer_put_text(out, "(");
        write_items(out, obj);
        pari_buffer_put_text(out, obj->size == 1 ? ",)" : ")");
        break;
    case PAR_DICT: write_dict(out, obj); break;
    case PAR_RECORD: write_record(out, obj); break;
    }
}

/* ---- public */

static int
repr_of(const par_obj *obj, struct pari_buffer *out)
{
    if (!obj)
        return pari_fail(ENOMEM);
    pari_repr(obj, out);
    return pari_buffer_end(out);
}

int
par_obj_print(const par_obj *obj, FILE *file)
{
    struct pari_buffer text = { 0 };
    int result = -1;

    if (!file)
        return pari_fail(EINVAL);
    if (repr_of(obj, &text) == 0 && fwrite(text.data, 1, text.size, file) == text.size)
        result = 0;
    pari_buffer_free(&text);
    return result;
}

char *
par_obj_repr(const par_obj *obj)
{
    struct pari_buffer text = { 0 };

    if (repr_of(obj, &text) == 0) {
        pari_buffer_put_byte(&text, '\0');
        if (pari_buffer_end(&text) == 0)
            return text.data;
    }
    pari_buffer_free(&text);
    return NULL;
}
