// SPDX-License-Identifier: BSD-3-Clause
// Loops of a Realm that leaves it in one way, and then reports by a host call when it left and when it
// was back. They are copied into a Realm, at any address.
//
// x0: RSI_HOST_CALL. x1: address of its structure. x2 to x5: what the loop says.

.macro loop_of name
.global halves_\name
halves_\name:
    mov x20, x0
    mov x21, x1
    mov x22, x2
    mov x23, x3
    mov x24, x4
    mov x25, x5
1:
.endm

// The instruction that leaves: x26 and x27 are the counter before and behind it.
.macro leaving instruction:vararg
    isb
    mrs x26, cntvct_el0
    \instruction
    isb
    mrs x27, cntvct_el0
.endm

.macro report name
    stp x26, x27, [x21, #8]
    mov x0, x20
    mov x1, x21
    smc #0
    b 1b
.global halves_\name\()_end
halves_\name\()_end:
.endm

.section .rodata.halves, "a"
.balign 4

loop_of host_call
    mov x0, x20
    mov x1, x21
    leaving smc #0
report host_call

// A call with X0 to X3 from x2 to x5, and zero in X4.
loop_of call
    mov x0, x22
    mov x1, x23
    mov x2, x24
    mov x3, x25
    mov x4, #0
    leaving smc #0
report call

// From address x2, then x3 bytes further on.
loop_of load
    leaving ldr x9, [x22]
    add x22, x22, x23
report load

loop_of store
    leaving str x9, [x22]
report store

loop_of wfi
    leaving wfi
report wfi

// Until an interrupt makes a gap between two readings of the counter.
loop_of spin
    mrs x26, cntvct_el0
2:
    mrs x27, cntvct_el0
    sub x9, x27, x26
    cmp x9, #1000
    b.hi 3f
    mov x26, x27
    b 2b
3:
report spin
