// SPDX-License-Identifier: BSD-3-Clause
//
// Exception vectors of Realm EL2. Exceptions from a Realm go to the world switch. For those of the
// monitor itself the registers are saved on the exception stack of the CPU, and rmm_exception decides.
//
// There are three tables. They differ in what they do about the branch history that a Realm leaves
// behind, before any other branch; each CPU uses the one that it needs.
//
// TPIDR_EL2 is free for this code: nothing else uses it.

    // For ESB.
    .arch   armv8.2-a+ras

    .macro  monitor_exception kind
    .balign 128
    msr     tpidr_el2, x0
    mov     x0, sp
    orr     sp, xzr, #{stack_top}
    sub     sp, sp, #{frame_size}
    str     x0, [sp, #{frame_sp}]
    mrs     x0, tpidr_el2
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       save_frame
    .endm

    .macro  keep_history
    .endm

    .macro  clear_history
    // CLRBHB.
    hint    #22
    isb
    .endm

// Overwrites the history by taken branches. ESB comes before the accesses to memory, as in realm_exit.
    .macro  overwrite_history
    esb
    stp     x0, x1, [sp, #-16]!
    mov     x1, #{data}
    ldr     x0, [x1, #{history_loop}]
1:  b       2f
2:  subs    x0, x0, #1
    b.ne    1b
    dsb     nsh
    isb
    ldp     x0, x1, [sp], #16
    .endm

    .macro  realm_exception target, history
    .balign 128
    \history
    b       \target
    .endm

    .macro  vector_table name, history
    .balign 2048
    .globl  \name
\name:
    // From the monitor on SP_EL0, which it never uses.
    monitor_exception {sync}
    monitor_exception {irq}
    monitor_exception {fiq}
    monitor_exception {serror}
    // From the monitor on SP_EL2.
    monitor_exception {sync}
    monitor_exception {irq}
    monitor_exception {fiq}
    monitor_exception {serror}
    // From a Realm in AArch64.
    realm_exception realm_exit_sync, \history
    realm_exception realm_exit_irq, \history
    realm_exception realm_exit_fiq, \history
    realm_exception realm_exit_serror, \history
    // From a Realm's EL0 in AArch32. The ID registers say that there is none, but where the CPU has
    // it, a hostile Realm can return to it.
    realm_exception realm_exit_sync, \history
    realm_exception realm_exit_irq, \history
    realm_exception realm_exit_fiq, \history
    realm_exception realm_exit_serror, \history
    .endm

    .section .text.vectors, "ax"
    vector_table rmm_vectors, keep_history
    vector_table rmm_vectors_clrbhb, clear_history
    vector_table rmm_vectors_loop, overwrite_history

save_frame:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [sp, #{frame_elr}]
    mov     x0, sp
    mov     x29, xzr
    bl      {handler}

    // Goes on where the handler says.
    ldr     x2, [sp, #{frame_elr}]
    msr     elr_el2, x2
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    msr     tpidr_el2, x0
    ldr     x0, [sp, #{frame_sp}]
    mov     sp, x0
    mrs     x0, tpidr_el2
    eret
    // Nothing behind the return is executed speculatively.
    dsb     nsh
    isb
