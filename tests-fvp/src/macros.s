// SPDX-License-Identifier: BSD-3-Clause
// Macros of both programs, for EL1 and EL2.

// Fills .bss with zeroes. Changes x0 and x1.
.macro zero_bss
    adrp x0, __bss_start
    add x0, x0, :lo12:__bss_start
    adrp x1, __bss_end
    add x1, x1, :lo12:__bss_end
1:  cmp x0, x1
    b.hs 2f
    stp xzr, xzr, [x0], #16
    b 1b
2:
.endm

// The exception vectors of an exception level. Each saves a `Frame` on the stack and calls the
// handler with the vector's number and the frame; what the handler leaves in it is loaded again.
.macro exception_vectors el
    .section .text.vectors, "ax"
    .balign 0x800
vectors:
    .irp kind, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .balign 0x80
    sub sp, sp, #288
    stp x0, x1, [sp]
    mov x0, #\kind
    b exception
    .endr

exception:
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    mrs x1, elr_el\el
    stp x30, x1, [sp, #240]
    mrs x2, spsr_el\el
    mrs x3, esr_el\el
    stp x2, x3, [sp, #256]
    mrs x4, far_el\el
    str x4, [sp, #272]
    mov x1, sp
    bl {exception}
    ldp x30, x1, [sp, #240]
    msr elr_el\el, x1
    ldr x2, [sp, #256]
    msr spsr_el\el, x2
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    ldp x0, x1, [sp], #288
    eret
.endm
