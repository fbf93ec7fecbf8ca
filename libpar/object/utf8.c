/* SPDX-License-Identifier: MIT
 *
 * utf8.c: text as Python's str has it: UTF-8 in which lone surrogates may stand too.
 */
#include "object.h"

/* How many bytes the character takes whose first byte this is; 0: none begins so. */
static size_t
length_by_first(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first < 0xf0)
        return 3;
    return first < 0xf5 ? 4 : 0;
}

/* Read one character of `length` bytes. */
static uint32_t
decode(const unsigned char *at, size_t length)
{
    uint32_t c = length == 1 ? at[0] : at[0] & (0x7fu >> length);

    for (size_t i = 1; i < length; i++)
        c = c << 6 | (at[i] & 0x3f);
    return c;
}

bool
pari_utf8_is_valid(const char *text, size_t size)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *at = (const unsigned char *)text, *end = at + size;

    while (at < end) {
        size_t length = length_by_first(*at);
        uint32_t c;
        if (length == 0 || length > (size_t)(end - at))
            return false;
        for (size_t i = 1; i < length; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return false;
        }
        c = decode(at, length);
        if (c < least[length] || c > 0x10ffff)
            return false;
        at += length;
    }
    return true;
}

uint32_t
pari_utf8_next(const char **text)
{
    const unsigned char *at = (const unsigned char *)*text;
    size_t length = length_by_first(*at);

    *text += length;
    return decode(at, length);
}
