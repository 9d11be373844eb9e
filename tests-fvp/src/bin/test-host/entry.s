// SPDX-License-Identifier: BSD-3-Clause
// Entry, exception vectors and recoverable accesses of the test Host, at EL2 with HCR_EL2.E2H = 0.

.section .text.entry, "ax"
.global _start
_start:
    msr daifset, #0xf
    adrp x0, __bss_start
    add x0, x0, :lo12:__bss_start
    adrp x1, __bss_end
    add x1, x1, :lo12:__bss_end
1:  cmp x0, x1
    b.hs 2f
    stp xzr, xzr, [x0], #16
    b 1b
2:  adrp x0, {stacks}
    add x0, x0, :lo12:{stacks}
    add x0, x0, #{stack_size}
    mov sp, x0
    bl cpu_setup
    bl {main}
    b .

// Where PSCI_CPU_ON starts the second CPU. x0: top of its stack.
.global secondary_start
secondary_start:
    msr daifset, #0xf
    mov sp, x0
    bl cpu_setup
    bl {secondary}
    b .

// Registers of EL2 that the Host relies on; MMU and caches on.
cpu_setup:
    ldr x0, =0x80000038              // HCR_EL2: RW, AMO, IMO, FMO
    msr hcr_el2, x0
    mov x0, #0x20ff                  // CPTR_EL2: RES1 bits without TZ; nothing is trapped
    msr cptr_el2, x0
    msr mdcr_el2, xzr
    msr cntvoff_el2, xzr
    mov x0, #3
    msr cnthctl_el2, x0
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el2, x0
    mov x0, #0x04ff                  // attribute 0: Normal Write-Back, 1: Device-nGnRE
    msr mair_el2, x0
    ldr x0, =0x80823519              // TCR_EL2: 39-bit VA, 4 KiB, Inner Shareable WB, 40-bit PA
    msr tcr_el2, x0
    adrp x0, {table}
    add x0, x0, :lo12:{table}
    msr ttbr0_el2, x0
    tlbi alle2
    ic iallu
    dsb sy
    isb
    ldr x0, =0x30c5183d              // SCTLR_EL2: RES1, M, C, I, SA
    msr sctlr_el2, x0
    isb
    ret

.macro vector kind
.balign 0x80
    sub sp, sp, #288
    stp x0, x1, [sp]
    mov x0, #\kind
    b exception
.endm

.section .text.vectors, "ax"
.balign 0x800
vectors:
    vector 0
    vector 1
    vector 2
    vector 3
    vector 4
    vector 5
    vector 6
    vector 7
    vector 8
    vector 9
    vector 10
    vector 11
    vector 12
    vector 13
    vector 14
    vector 15

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
    mrs x1, elr_el2
    stp x30, x1, [sp, #240]
    mrs x2, spsr_el2
    mrs x3, esr_el2
    stp x2, x3, [sp, #256]
    mrs x4, far_el2
    str x4, [sp, #272]
    mov x1, sp
    bl {exception}
    ldp x30, x1, [sp, #240]
    msr elr_el2, x1
    ldr x2, [sp, #256]
    msr spsr_el2, x2
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

.section .text.guarded, "ax"
// x0: address. Returns x0 = value, x1 = 0; or x1 = ESR_EL2 if the load faulted.
.global guarded_read
guarded_read:
    mov x1, #0
.global guarded_start
guarded_start:
    ldr x0, [x0]
    ret
// x0: address, x1: value. Returns x1 = 0 or ESR_EL2.
.global guarded_write
guarded_write:
    str x1, [x0]
.global guarded_end
guarded_end:
    mov x1, #0
    ret
// Where a fault of either goes on, x1 having been set.
.global guarded_fault
guarded_fault:
    ret
.ltorg
