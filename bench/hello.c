/* SPDX-License-Identifier: MIT
 *
 * hello.c: a program that does nothing, for footprint.c: built once without the library, once with it.
 */
int
main(void)
{
    return 0;
}
