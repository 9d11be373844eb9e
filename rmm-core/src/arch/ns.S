// SPDX-License-Identifier: BSD-3-Clause
//
// rmm_ns_copy(x0 to, x1 from, x2 bytes): copies between the monitor's memory and a window onto
// Non-secure memory, in ascending order and each byte once. Returns 0, or 1 if the access to
// Non-secure memory faulted.

    .section .text.rmm_ns_copy, "ax"
    .globl  rmm_ns_copy
    .type   rmm_ns_copy, @function
rmm_ns_copy:
copy_start:
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     x3, x4, [x1], #64
    ldp     x5, x6, [x1, #-48]
    ldp     x7, x8, [x1, #-32]
    ldp     x9, x10, [x1, #-16]
    stp     x3, x4, [x0], #64
    stp     x5, x6, [x0, #-48]
    stp     x7, x8, [x0, #-32]
    stp     x9, x10, [x0, #-16]
    subs    x2, x2, #64
    b.hs    1b
    // The low six bits of x2 are the number of bytes left.
2:  tbz     x2, #5, 3f
    ldp     x3, x4, [x1], #32
    ldp     x5, x6, [x1, #-16]
    stp     x3, x4, [x0], #32
    stp     x5, x6, [x0, #-16]
3:  tbz     x2, #4, 4f
    ldp     x3, x4, [x1], #16
    stp     x3, x4, [x0], #16
4:  tbz     x2, #3, 5f
    ldr     x3, [x1], #8
    str     x3, [x0], #8
5:  ands    x2, x2, #7
    b.ne    7f
6:  mov     x0, #0
    ret
7:  ldrb    w3, [x1], #1
    strb    w3, [x0], #1
    subs    x2, x2, #1
    b.ne    7b
    b       6b
copy_end:

// rmm_ns_zero(x0 first byte, x1 end, x2 bytes that DC ZVA zeroes, or 0): zeroes Non-secure memory.
// First byte and end are multiples of 64, and of 16 times x2. Returns as rmm_ns_copy.
    .globl  rmm_ns_zero
    .type   rmm_ns_zero, @function
rmm_ns_zero:
zero_start:
    cbz     x2, 2f
1:  .rept   16
    dc      zva, x0
    add     x0, x0, x2
    .endr
    cmp     x0, x1
    b.lo    1b
    b       6b
2:  stp     xzr, xzr, [x0], #64
    stp     xzr, xzr, [x0, #-48]
    stp     xzr, xzr, [x0, #-32]
    stp     xzr, xzr, [x0, #-16]
    cmp     x0, x1
    b.lo    2b
    b       6b
zero_end:

fault:
    mov     x0, #1
    ret

    .section .fixups, "a"
    .balign 8
    .quad   copy_start, copy_end, fault, {data_abort}
    .quad   zero_start, zero_end, fault, {data_abort}
