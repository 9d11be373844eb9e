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
    cmp     x2, #64
    b.lo    2f
    sub     x2, x2, #64
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
    add     x2, x2, #64
2:  subs    x2, x2, #8
    b.lo    4f
3:  ldr     x3, [x1], #8
    str     x3, [x0], #8
    subs    x2, x2, #8
    b.hs    3b
4:  adds    x2, x2, #8
    b.ne    6f
5:  mov     x0, #0
    ret
6:  ldrb    w3, [x1], #1
    strb    w3, [x0], #1
    subs    x2, x2, #1
    b.ne    6b
    b       5b
copy_end:
copy_fixup:
    mov     x0, #1
    ret

    .section .fixups, "a"
    .balign 8
    .quad   copy_start, copy_end, copy_fixup, {data_abort}
