// SPDX-License-Identifier: BSD-3-Clause
// Entry, exception vectors and recoverable accesses of the test Host, at EL2 with HCR_EL2.E2H = 0.

.section .text.entry, "ax"
.global _start
_start:
    msr daifset, #0xf
    zero_bss
    adrp x0, {stacks}
    add x0, x0, :lo12:{stacks}
    add x0, x0, #{stack_size}
    mov sp, x0
    bl cpu_setup
    bl {main}
    b .

// Where PSCI_CPU_ON starts every other CPU. x0: top of its stack.
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
    ldr x0, =0x80853510              // TCR_EL2: 48-bit VA, 4 KiB, Inner Shareable WB, 48-bit PA
    msr tcr_el2, x0
    adrp x0, level_0
    msr ttbr0_el2, x0
    tlbi alle2
    ic iallu
    dsb sy
    isb
    ldr x0, =0x30c5183d              // SCTLR_EL2: RES1, M, C, I, SA
    msr sctlr_el2, x0
    isb
    ret

// The identity map's level 0 table: two tables.
.section .data.level_0, "aw"
.balign 4096
level_0:
    .quad {low_table} + 3
    .fill {high} - 1, 8, 0
    .quad {high_table} + 3
    .balign 4096

exception_vectors 2

.section .text.guarded, "ax"
// x0: address. Returns x0 = value, x1 = 0; or x1 = ESR_EL2 if the load faulted.
.global guarded_read
guarded_read:
    mov x1, #0
.global guarded_start
guarded_start:
    ldr x0, [x0]
    ret
// Returns x0 = ZCR_EL2, x1 = 0; or x1 = ESR_EL2 if EL3 keeps SVE closed.
.global guarded_zcr
guarded_zcr:
    mov x1, #0
    mrs x0, s3_4_c1_c2_0
    ret
// Returns x0 = SMCR_EL2, x1 = 0; or x1 = ESR_EL2 if EL3 keeps SME closed.
.global guarded_smcr
guarded_smcr:
    mov x1, #0
    mrs x0, s3_4_c1_c2_6
    ret
// Returns x1 = 0; or x1 = ESR_EL2 if streaming mode does not permit the instruction.
.global guarded_umov
guarded_umov:
    mov x1, #0
    .inst 0x4e183c00 // umov x0, v0.d[1]: element 0 may be read in any mode
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
