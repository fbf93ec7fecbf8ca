/* SPDX-License-Identifier: MIT
 *
 * fuzz_text.c: bytes as text, as bytes and as the bits of a float. Whether they are UTF-8 is what a plain reading of the definition
 * says; what is printed is text without controls, and what is printed of a float reads back as the same.
 */
#include "fuzz.h"

#include "../../libpar/object/object.h"

#include <math.h>

/* One character by the definition, surrogates included; false: there is none. */
static bool
plain_character(const uint8_t **at, const uint8_t *end, uint32_t *c)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t first, last;
    } forms[] = {
        { 0x80, 0, 0, 0x7f }, { 0xe0, 0xc0, 0x80, 0x7ff }, { 0xf0, 0xe0, 0x800, 0xffff }, { 0xf8, 0xf0, 0x10000, 0x10ffff }
    };
    size_t n = 0;

    while (n < 4 && (**at & forms[n].mask) != forms[n].lead)
        n++;
    if (n == 4)
        return false;
    *c = *(*at)++ & (uint8_t)~forms[n].mask;
    for (size_t i = 0; i < n; i++, ++*at) {
        if (*at == end || (**at & 0xc0) != 0x80)
            return false;
        *c = *c << 6 | (**at & 0x3fu);
    }
    return *c >= forms[n].first && *c <= forms[n].last;
}

static void
check_printed(par_obj *obj)
{
    size_t before = fuzz_allocated;
    char *text = par_obj_repr(obj);

    must(text != NULL && pari_utf8_is_valid(text, strlen(text)));
    for (const char *at = text; *at != '\0'; at++)
        must((unsigned char)*at >= ' ' && *at != 0x7f);
    must(fuzz_allocated - before <= 16 * par_obj_len(obj) + 1024);
    free(text);
    par_obj_free(obj);
}

static void
check_text(const uint8_t *data, size_t size)
{
    par_obj *obj = pari_obj_str((const char *)data, size);
    const char *read = obj != NULL ? par_obj_as_str(obj, NULL) : NULL;
    const uint8_t *at = data, *end = data + size;
    bool is_text = true;
    uint32_t c;

    while (is_text && at < end) {
        is_text = plain_character(&at, end, &c);
        must(read == NULL || (is_text && pari_utf8_next(&read) == c));
    }
    must((obj != NULL) == is_text);
    if (obj != NULL)
        check_printed(obj);
    else
        must(errno == EILSEQ);
}

static void
check_float(const uint8_t *data, size_t size)
{
    char text[PARI_FLOAT_SIZE];
    double value = 0, again;

    memcpy(&value, data, size < sizeof value ? size : sizeof value);
    pari_float_repr(value, text);
    again = strtod(text, NULL);
    must(isnan(value) ? isnan(again) : memcmp(&value, &again, sizeof value) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    check_text(data, size);
    check_float(data, size);
    check_printed(par_bytes(data, size));
    return 0;
}
