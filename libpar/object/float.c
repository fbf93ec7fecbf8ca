/* SPDX-License-Identifier: MIT
 *
 * float.c: a double as Python prints it: the shortest digits that give the same double again.
 *
 * 15 digits name at most one double each, 17 are always enough. The nearest decimal of n digits is not always the right one to
 * try: below a power of two the doubles lie closer together than above it, so there the next decimal above may give the double
 * back when the nearest one does not.
 */
#include "object.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DIGITS 17

struct decimal { /* 0.d1 d2 d3... * 10^point */
    char digit[MOST_DIGITS + 1];
    int n_digits;
    int point;
};

/* snprintf and strtod may write and read another radix character than '.': take the digits only. */
static void
decimal_nearest(struct decimal *decimal, double value, int n_digits)
{
    char text[48];
    const char *at = text;

    (void)snprintf(text, sizeof text, "%.*e", n_digits - 1, value);
    decimal->n_digits = 0;
    for (; *at != 'e'; at++) {
        if (isdigit((unsigned char)*at))
            decimal->digit[decimal->n_digits++] = *at;
    }
    decimal->digit[decimal->n_digits] = '\0';
    decimal->point = atoi(at + 1) + 1;
}

static bool
decimal_is(const struct decimal *decimal, double value)
{
    char text[48];

    (void)snprintf(text, sizeof text, "%se%d", decimal->digit, decimal->point - decimal->n_digits);
    return strtod(text, NULL) == value;
}

/* The next one above with as many digits. */
static void
decimal_step(struct decimal *decimal)
{
    int i = decimal->n_digits - 1;

    while (i > 0 && decimal->digit[i] == '9')
        decimal->digit[i--] = '0';
    if (decimal->digit[i] != '9') {
        decimal->digit[i]++;
        return;
    }
    decimal->digit[0] = '1';
    decimal->point++;
}

static void
decimal_shortest(struct decimal *decimal, double value)
{
    int n = value < DBL_MIN ? 1 : DBL_DIG; /* below DBL_MIN a double has fewer digits */

    for (; n <= MOST_DIGITS; n++) {
        decimal_nearest(decimal, value, n);
        if (decimal_is(decimal, value))
            break;
        decimal_step(decimal);
        if (n < MOST_DIGITS && decimal_is(decimal, value))
            break;
    }
    while (decimal->n_digits > 1 && decimal->digit[decimal->n_digits - 1] == '0')
        decimal->digit[--decimal->n_digits] = '\0';
}

/* 1.5e-07 */
static void
write_with_exponent(const struct decimal *decimal, char *text, size_t size)
{
    int exponent = decimal->point - 1;

    (void)snprintf(text, size, "%c%s%se%c%02d", decimal->digit[0], decimal->n_digits > 1 ? "." : "", decimal->digit + 1,
                   exponent < 0 ? '-' : '+', abs(exponent));
}

/* 0.0015, 1500.0, 15.25 */
static void
write_plain(const struct decimal *decimal, char *text, size_t size)
{
    int point = decimal->point, n = decimal->n_digits;

    if (point <= 0)
        (void)snprintf(text, size, "0.%.*s%s", -point, "000", decimal->digit);
    else if (point >= n)
        (void)snprintf(text, size, "%s%.*s.0", decimal->digit, point - n, "0000000000000000");
    else
        (void)snprintf(text, size, "%.*s.%s", point, decimal->digit, decimal->digit + point);
}

void
pari_float_repr(double value, char text[static PARI_FLOAT_SIZE])
{
    struct decimal decimal;
    char *at = text;

    if (isnan(value)) {
        strcpy(text, "nan");
        return;
    }
    if (signbit(value))
        *at++ = '-';
    value = fabs(value);
    if (isinf(value)) {
        strcpy(at, "inf");
        return;
    }
    decimal_shortest(&decimal, value);
    if (decimal.point <= -4 || decimal.point > 16)
        write_with_exponent(&decimal, at, PARI_FLOAT_SIZE - 1);
    else
        write_plain(&decimal, at, PARI_FLOAT_SIZE - 1);
}
