// SPDX-License-Identifier: BSD-3-Clause
//
// memcpy, memmove, memset, memcmp and bcmp, which the compiler calls, in place of the functions of
// `compiler_builtins`, which access a word at a time. Any alignment will do: all memory that Rust
// accesses by these is Normal memory, and SCTLR_EL2.A is 0.

    .macro  mem_function name
    .globl  \name
    .type   \name, @function
\name:
    .endm

    .section .text.mem, "ax"
    .balign 64

// x0 to, x1 from, x2 bytes; returns x0. The areas may overlap: at most 64 bytes are loaded whole
// before the first store, and longer copies run from the end that no store has reached yet.
    mem_function memcpy
    mem_function memmove
    mov     x3, x0
    cmp     x2, #64
    b.hi    copy_long

// At most 64 bytes from x1 to x3: from both ends, which may overlap.
copy_rest:
    add     x4, x1, x2
    add     x5, x3, x2
    cmp     x2, #16
    b.lo    2f
    ldp     x6, x7, [x1]
    ldp     x8, x9, [x4, #-16]
    cmp     x2, #32
    b.hi    1f
    stp     x6, x7, [x3]
    stp     x8, x9, [x5, #-16]
    ret
1:  ldp     x10, x11, [x1, #16]
    ldp     x12, x13, [x4, #-32]
    stp     x6, x7, [x3]
    stp     x10, x11, [x3, #16]
    stp     x12, x13, [x5, #-32]
    stp     x8, x9, [x5, #-16]
    ret
2:  tbz     x2, #3, 3f
    ldr     x6, [x1]
    ldur    x7, [x4, #-8]
    str     x6, [x3]
    stur    x7, [x5, #-8]
    ret
3:  tbz     x2, #2, 4f
    ldr     w6, [x1]
    ldur    w7, [x4, #-4]
    str     w6, [x3]
    stur    w7, [x5, #-4]
    ret
4:  cbz     x2, 5f
    // Three bytes or less: the first, the middle one, the last.
    lsr     x8, x2, #1
    ldrb    w6, [x1]
    ldrb    w7, [x1, x8]
    ldurb   w9, [x4, #-1]
    strb    w6, [x3]
    strb    w7, [x3, x8]
    sturb   w9, [x5, #-1]
5:  ret

copy_long:
    sub     x4, x0, x1
    cmp     x4, x2
    b.lo    copy_down
    sub     x2, x2, #64
1:  ldp     x6, x7, [x1], #64
    ldp     x8, x9, [x1, #-48]
    ldp     x10, x11, [x1, #-32]
    ldp     x12, x13, [x1, #-16]
    stp     x6, x7, [x3], #64
    stp     x8, x9, [x3, #-48]
    stp     x10, x11, [x3, #-32]
    stp     x12, x13, [x3, #-16]
    subs    x2, x2, #64
    b.hs    1b
    add     x2, x2, #64
    b       copy_rest

// The target begins within the source: from the end down.
copy_down:
    add     x4, x1, x2
    add     x5, x0, x2
    sub     x2, x2, #64
1:  ldp     x6, x7, [x4, #-16]
    ldp     x8, x9, [x4, #-32]
    ldp     x10, x11, [x4, #-48]
    ldp     x12, x13, [x4, #-64]!
    stp     x6, x7, [x5, #-16]
    stp     x8, x9, [x5, #-32]
    stp     x10, x11, [x5, #-48]
    stp     x12, x13, [x5, #-64]!
    subs    x2, x2, #64
    b.hs    1b
    add     x2, x2, #64
    b       copy_rest

// x0 to, w1 byte, x2 bytes; returns x0.
    mem_function memset
    and     x1, x1, #0xff
    orr     x1, x1, x1, lsl #8
    orr     x1, x1, x1, lsl #16
    orr     x1, x1, x1, lsl #32
    add     x4, x0, x2
    cmp     x2, #16
    b.lo    3f
    stp     x1, x1, [x0]
    cmp     x2, #64
    b.hi    1f
    stp     x1, x1, [x4, #-16]
    cmp     x2, #32
    b.ls    2f
    stp     x1, x1, [x0, #16]
    stp     x1, x1, [x4, #-32]
2:  ret
// x3 is aligned to 16, and the bytes below x3 + 16 are set. The last 64 bytes are set from the end.
1:  bic     x3, x0, #15
    sub     x2, x4, x3
    subs    x2, x2, #80
    b.ls    5f
4:  stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3, #32]
    stp     x1, x1, [x3, #48]
    stp     x1, x1, [x3, #64]!
    subs    x2, x2, #64
    b.hi    4b
5:  stp     x1, x1, [x4, #-64]
    stp     x1, x1, [x4, #-48]
    stp     x1, x1, [x4, #-32]
    stp     x1, x1, [x4, #-16]
    ret
3:  tbz     x2, #3, 6f
    str     x1, [x0]
    stur    x1, [x4, #-8]
    ret
6:  tbz     x2, #2, 7f
    str     w1, [x0]
    stur    w1, [x4, #-4]
    ret
7:  cbz     x2, 8f
    strb    w1, [x0]
    tbz     x2, #1, 8f
    sturh   w1, [x4, #-2]
8:  ret

// x0, x1 areas, x2 bytes; returns w0: 0, or the sign of the first difference.
    mem_function memcmp
    mem_function bcmp
    subs    x2, x2, #8
    b.lo    2f
1:  ldr     x3, [x0], #8
    ldr     x4, [x1], #8
    cmp     x3, x4
    b.ne    4f
    subs    x2, x2, #8
    b.hs    1b
2:  adds    x2, x2, #8
    b.eq    5f
3:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w3, w3, w4
    b.ne    6f
    subs    x2, x2, #1
    b.ne    3b
5:  mov     w0, #0
    ret
6:  mov     w0, w3
    ret
// The first byte that differs is the most significant once the bytes are reversed.
4:  rev     x3, x3
    rev     x4, x4
    cmp     x3, x4
    mov     w0, #1
    cneg    w0, w0, lo
    ret
