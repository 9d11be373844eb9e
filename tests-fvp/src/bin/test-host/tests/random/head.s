// SPDX-License-Identifier: BSD-3-Clause
// First page of a Realm of random code: entry and exception vectors at EL1. It runs at any page; the random
// code begins on the next page. No handler uses the stack, which the random code may have moved anywhere.

.section .rodata.random_head, "a"
.balign 4096
.global random_head
random_head:
.set random_code, random_head + 4096

// x0: bits to set in SCTLR_EL1. x1: table for TTBR0_EL1. x2: MAIR_EL1. x3: TCR_EL1. x4: stack pointer. x5: where to begin.
    adr x9, random_vectors
    msr vbar_el1, x9
    mov x9, #0x3330000               // CPACR_EL1: FPEN, ZEN, SMEN, nothing is trapped
    msr cpacr_el1, x9
    mov sp, x4
    msr mair_el1, x2
    msr tcr_el1, x3
    msr ttbr0_el1, x1
    isb
    mrs x9, sctlr_el1
    orr x9, x9, x0
    msr sctlr_el1, x9
    isb
    br x5

// Skips the instruction that took the exception. Where there is none, the code begins again, with the MMU on
// if it was off and off if it was on. One exception in eight leads back from EL0 to EL1.
.macro synchronous
    .balign 0x80
    msr tpidr_el1, x18
    mrs x18, spsr_el1
    bic x18, x18, #1 << 20           // IL: it would cause the next exception at once
    msr spsr_el1, x18
    mrs x18, esr_el1
    lsr x18, x18, #26
    sub x18, x18, #0x20
    cmp x18, #2                      // Instruction Abort of EL0 or EL1, PC alignment
    b.hi 1f
    mrs x18, sctlr_el1
    eor x18, x18, #1                 // M: the other of the two may work
    bic x18, x18, #1 << 19           // WXN
    bic x18, x18, #3 << 24           // EE, E0E
    msr sctlr_el1, x18
    adr x18, random_code
    msr elr_el1, x18
    b 3f
1:  mrs x18, elr_el1
    tst x18, #0x1c
    add x18, x18, #4
    msr elr_el1, x18
    b.ne 3f
    mov x18, #5                      // EL1 with SP_EL1
    msr spsr_el1, x18
3:  mrs x18, tpidr_el1
    eret
.endm

// Ends the interrupt, and masks the others: a level may stay for ever.
.macro interrupt
    .balign 0x80
    msr tpidr_el1, x18
    mrs x18, icc_iar1_el1
    msr icc_eoir1_el1, x18
    mrs x18, spsr_el1
    orr x18, x18, #0x1c0             // A, I, F
    msr spsr_el1, x18
    mrs x18, tpidr_el1
    eret
.endm

    .org random_head + 0x800
random_vectors:
    .rept 4
    synchronous
    interrupt
    interrupt
    interrupt
    .endr
    .org random_head + 4096
