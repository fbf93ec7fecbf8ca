/* SPDX-License-Identifier: MIT
 *
 * opcode.h: the opcodes of pickle that plain data needs. Lengths are little-endian, as are ints; a float is big-endian.
 */
#ifndef PARI_OPCODE_H
#define PARI_OPCODE_H

enum pari_opcode {
    OP_PROTO = 0x80, /* u8 version */
    OP_FRAME = 0x95, /* u64 bytes to follow in one piece */
    OP_STOP = '.',   /* the object on the stack is the result */
    OP_MARK = '(',   /* where the items of the next list, tuple or dict begin */
    OP_POP = '0',
    OP_POP_MARK = '1', /* all down to the mark */
    OP_DUP = '2',

    OP_NONE = 'N',
    OP_TRUE = 0x88,
    OP_FALSE = 0x89,
    OP_BININT1 = 'K',  /* u8 */
    OP_BININT2 = 'M',  /* u16 */
    OP_BININT = 'J',   /* i32 */
    OP_LONG1 = 0x8a,   /* u8 length, two's complement */
    OP_LONG4 = 0x8b,   /* i32 length */
    OP_BINFLOAT = 'G', /* f64 */

    OP_SHORT_BINUNICODE = 0x8c, /* u8 length, UTF-8 */
    OP_BINUNICODE = 'X',        /* u32 */
    OP_BINUNICODE8 = 0x8d,      /* u64 */
    OP_SHORT_BINBYTES = 'C',    /* u8 length */
    OP_BINBYTES = 'B',          /* u32 */
    OP_BINBYTES8 = 0x8e,        /* u64 */

    OP_EMPTY_LIST = ']',
    OP_APPEND = 'a',
    OP_APPENDS = 'e', /* all from the mark */
    OP_EMPTY_TUPLE = ')',
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_TUPLE = 't', /* all from the mark */
    OP_EMPTY_DICT = '}',
    OP_SETITEM = 's',
    OP_SETITEMS = 'u', /* all pairs from the mark */

    OP_MEMOIZE = 0x94,    /* the object on the stack gets the next number */
    OP_BINPUT = 'q',      /* u8 number */
    OP_LONG_BINPUT = 'r', /* u32 */
    OP_BINGET = 'h',      /* u8 */
    OP_LONG_BINGET = 'j', /* u32 */

    OP_GLOBAL = 'c',        /* module newline name newline */
    OP_STACK_GLOBAL = 0x93, /* module and name from the stack */
    OP_REDUCE = 'R',        /* function, tuple of arguments */
    OP_NEWOBJ = 0x81,       /* class, tuple of arguments */
    OP_BUILD = 'b'          /* object, state */
};

#define PARI_PICKLE_BATCH 1000 /* items between a mark and its APPENDS or SETITEMS, as Python's picklers write them */

#endif
