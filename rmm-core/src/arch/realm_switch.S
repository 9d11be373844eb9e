// SPDX-License-Identifier: BSD-3-Clause
//
// EL1 registers, pointer authentication keys, and the way into a Realm and back.
//
// While a Realm runs, SP_EL2 points to a frame that realm_run has built on its caller's stack:
//
//     SP + 0          address of the RecContext, and a gap
//     SP + 16         X19, X20, ... X29, X30 of the caller
//     SP + FRAME      the caller's stack
//
// The way back needs nothing else of EL2. The vectors for exceptions from a lower EL branch to
// realm_exit_* while all general registers still hold the Realm's values.

    .arch   armv9.2-a

    .set    FRAME, 112

// El1State, in the order of its fields. SP_EL1 and the _EL12 names are EL1's registers as EL2 accesses
// them; EL2 does not use the other registers. EL1 accesses VDISR_EL2 as DISR_EL1 while
// HCR_EL2.AMO = 1.
    .macro  for_each_el1 pair
    \pair   0, sp_el1, elr_el12
    \pair   16, spsr_el12, esr_el12
    \pair   32, far_el12, afsr0_el12
    \pair   48, afsr1_el12, vbar_el12
    \pair   64, vdisr_el2, sctlr_el12
    \pair   80, cpacr_el12, csselr_el1
    \pair   96, ttbr0_el12, ttbr1_el12
    \pair   112, tcr_el12, mair_el12
    \pair   128, amair_el12, contextidr_el12
    \pair   144, par_el1, tpidr_el1
    \pair   160, tpidr_el0, tpidrro_el0
    \pair   176, mdscr_el1, mdccint_el1
    .endm

// RecContext::pauth.
    .macro  for_each_key pair
    \pair   0, apiakeylo_el1, apiakeyhi_el1
    \pair   16, apibkeylo_el1, apibkeyhi_el1
    \pair   32, apdakeylo_el1, apdakeyhi_el1
    \pair   48, apdbkeylo_el1, apdbkeyhi_el1
    \pair   64, apgakeylo_el1, apgakeyhi_el1
    .endm

    .macro  save_pair offset, first, second
    mrs     x1, \first
    mrs     x2, \second
    stp     x1, x2, [x0, #\offset]
    .endm

    .macro  load_pair offset, first, second
    ldp     x1, x2, [x0, #\offset]
    msr     \first, x1
    msr     \second, x2
    .endm

    .macro  function name
    .globl  \name
    .type   \name, @function
\name:
    .endm

    .section .text.realm, "ax"
    .balign 64

// x0: El1State, or for the keys the ten words of RecContext::pauth. Change only x1 and x2.
    function realm_save_el1
    for_each_el1 save_pair
    ret

    function realm_load_el1
    for_each_el1 load_pair
    ret

    function realm_save_keys
    for_each_key save_pair
    ret

    function realm_load_keys
    for_each_key load_pair
    ret

// Runs the Realm until an exception is taken to EL2. x0: RecContext. Returns in x0 the kind of
// exception, 0 to 3 in the order of the vectors, plus DEFERRED if DISR_EL1 holds an SError that the
// Realm left behind.
    .balign 64
    function realm_run
    stp     x0, xzr, [sp, #-FRAME]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x29, x30, [sp, #96]

    ldp     x1, x2, [x0, #{pc}]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    // Nothing behind the return is executed speculatively.
    dsb     nsh
    isb

// An SError that is pending was caused by the Realm's accesses: ESB moves it to DISR_EL1 before the
// monitor accesses memory itself.
    .macro  realm_exit name, kind
    function realm_exit_\name
    esb
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\kind
    .ifnc   \name, serror
    b       realm_exit
    .endif
    .endm

    .balign 64
    realm_exit sync, {sync}
    realm_exit irq, {irq}
    realm_exit fiq, {fiq}
    realm_exit serror, {serror}
realm_exit:
    ldr     x0, [sp, #16]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x0, #{pc}]

    // No speculation in the monitor finds a value of the Realm in a register: the others are the
    // monitor's or set below.
    .irp    n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18
    mov     x\n, xzr
    .endr

    mrs     x2, disr_el1
    tst     x2, #{disr_a}
    orr     x2, x1, #{deferred}
    csel    x0, x1, x2, eq

    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    add     sp, sp, #FRAME
    ret

    .size   realm_run, . - realm_run
