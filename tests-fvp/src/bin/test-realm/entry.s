// SPDX-License-Identifier: BSD-3-Clause
// Entry, exception vectors and guarded instructions of the test Realm, at EL1.

.section .text.entry, "ax"
// x0: mode, x1: base of the Unprotected half.
.global _start
_start:
    // Registers that no parameter sets, to be reported.
    orr x2, x2, x8
    .irp n, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    orr x2, x2, x\n
    .endr
    mov x19, x0
    mov x20, x1
    mov x21, x2
    zero_bss
    bl cpu_setup
    mov x0, x19
    mov x1, x20
    mov x2, x21
    bl {main}
    b .

// Where PSCI_CPU_ON starts a REC. x0: context.
.global secondary_start
secondary_start:
    .irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    orr x1, x1, x\n
    .endr
    mov x19, x0
    mov x20, x1
    bl cpu_setup
    mov x0, x19
    mov x1, x20
    bl {secondary}
    b .

cpu_setup:
    mrs x0, mpidr_el1
    and x0, x0, #3
    add x0, x0, #1
    mov x1, #{stack_size}
    mul x0, x0, x1
    adrp x1, {stacks}
    add x1, x1, :lo12:{stacks}
    add x0, x0, x1
    mov sp, x0
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    mov x0, #0x330000                // CPACR_EL1: FPEN, ZEN, nothing is trapped
    msr cpacr_el1, x0
    isb
    ret

exception_vectors 1

// Guarded instructions: functions of one instruction each, whose address is in x16 when it is
// tried. If it takes an exception, execution goes on at guarded_fault: the function returns.
.macro guarded name, instruction:vararg
.global \name
\name:
    adr x16, 1f
1:  \instruction
    ret
.endm

.section .text.guarded, "ax"
.global guarded_fault
guarded_fault:
    ret
guarded read_byte, ldrb w0, [x0]
guarded read_half, ldrh w0, [x0]
guarded read_word, ldr w0, [x0]
guarded read_double, ldr x0, [x0]
guarded read_signed_byte, ldrsb x0, [x0]
guarded read_signed_half, ldrsh w0, [x0]
guarded read_signed_word, ldrsw x0, [x0]
guarded read_zero, ldr xzr, [x0]
guarded read_exclusive, ldxr x0, [x0]
guarded write_byte, strb w1, [x0]
guarded write_half, strh w1, [x0]
guarded write_word, str w1, [x0]
guarded write_double, str x1, [x0]
guarded write_zero, str xzr, [x0]
guarded do_hvc, hvc #0
guarded do_wfi, wfi
guarded do_wfit, .inst 0xd5031020    // wfit x0
guarded do_wfet, .inst 0xd5031000    // wfet x0
.global do_wfe
do_wfe:
    sevl
    wfe                              // clears the event register
    adr x16, 1f
1:  wfe
    ret
.global branch
branch:
    stp x29, x30, [sp, #-16]!
    mov x16, x0
    blr x0
    ldp x29, x30, [sp], #16
    ret

// Functions that run one instruction, of which a `ret` follows, with registers of choice.
// x0: address of X0 to X29 and of the instruction's address, which X16 has to be too. The
// registers are put back there.
.macro with_registers name
.global \name
\name:
    stp x19, x20, [sp, #-112]!
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    str x0, [sp, #96]
    ldr x30, [x0, #240]
    ldp x2, x3, [x0, #16]
    ldp x4, x5, [x0, #32]
    ldp x6, x7, [x0, #48]
    ldp x8, x9, [x0, #64]
    ldp x10, x11, [x0, #80]
    ldp x12, x13, [x0, #96]
    ldp x14, x15, [x0, #112]
    ldp x16, x17, [x0, #128]
    ldp x18, x19, [x0, #144]
    ldp x20, x21, [x0, #160]
    ldp x22, x23, [x0, #176]
    ldp x24, x25, [x0, #192]
    ldp x26, x27, [x0, #208]
    ldp x28, x29, [x0, #224]
    ldp x0, x1, [x0]
.endm
.macro registers_back
    str x0, [sp, #104]
    ldr x0, [sp, #96]
    str x1, [x0, #8]
    ldr x1, [sp, #104]
    str x1, [x0]
    stp x2, x3, [x0, #16]
    stp x4, x5, [x0, #32]
    stp x6, x7, [x0, #48]
    stp x8, x9, [x0, #64]
    stp x10, x11, [x0, #80]
    stp x12, x13, [x0, #96]
    stp x14, x15, [x0, #112]
    stp x16, x17, [x0, #128]
    stp x18, x19, [x0, #144]
    stp x20, x21, [x0, #160]
    stp x22, x23, [x0, #176]
    stp x24, x25, [x0, #192]
    stp x26, x27, [x0, #208]
    stp x28, x29, [x0, #224]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp x19, x20, [sp], #112
    ret
.endm
with_registers run_registers
    blr x30
    registers_back
// SPSR_EL1 and MDSCR_EL1 have been made ready for a step.
with_registers step_registers
    msr elr_el1, x30
    adr x30, 1f
    eret
1:  registers_back

// Reads and writes of system registers: mrs_N and msr_N, with N as in SysReg.
.macro register number, name
guarded mrs_\number, mrs x0, \name
guarded msr_\number, msr \name, x0
.endm
.macro read_only number, name
guarded mrs_\number, mrs x0, \name
.set msr_\number, guarded_fault
.endm
.macro write_only number, name
.set mrs_\number, guarded_fault
guarded msr_\number, msr \name, x0
.endm

read_only 0, mpidr_el1
read_only 1, midr_el1
read_only 2, id_aa64pfr0_el1
read_only 3, id_aa64pfr1_el1
read_only 4, id_aa64dfr0_el1
read_only 5, id_aa64mmfr1_el1
read_only 6, s3_0_c0_c4_4            // ID_AA64ZFR0_EL1
read_only 7, s3_0_c0_c4_5            // ID_AA64SMFR0_EL1
read_only 8, cntpct_el0
read_only 9, cntvct_el0
register 10, cntp_ctl_el0
register 11, cntp_cval_el0
register 12, cntv_ctl_el0
register 13, cntv_cval_el0
write_only 14, s3_0_c12_c11_5        // ICC_SGI1R_EL1
write_only 15, s3_0_c12_c11_1        // ICC_DIR_EL1
register 16, s3_0_c15_c0_0
register 17, pmcr_el0
register 18, s3_0_c9_c11_0           // TRBLIMITR_EL1
register 19, s3_0_c9_c9_0            // PMSCR_EL1
register 20, s3_3_c13_c2_0           // AMCR_EL0
register 21, s3_0_c10_c4_3           // LORC_EL1
register 22, s3_0_c1_c2_0            // ZCR_EL1
register 23, dbgbvr0_el1
register 24, dbgwvr0_el1
read_only 25, sctlr_el1
register 26, s3_0_c10_c5_0           // MPAM1_EL1
register 27, pmccntr_el0
register 28, pmovsset_el0
register 29, pmintenset_el1
register 30, pmcntenset_el0
register 31, actlr_el1
read_only 32, revidr_el1
read_only 33, aidr_el1
read_only 34, s3_1_c0_c0_6           // SMIDR_EL1

.section .rodata
.balign 8
.global mrs_table
mrs_table:
    .quad mrs_0, mrs_1, mrs_2, mrs_3, mrs_4, mrs_5, mrs_6, mrs_7, mrs_8, mrs_9, mrs_10
    .quad mrs_11, mrs_12, mrs_13, mrs_14, mrs_15, mrs_16, mrs_17, mrs_18, mrs_19, mrs_20
    .quad mrs_21, mrs_22, mrs_23, mrs_24, mrs_25, mrs_26, mrs_27, mrs_28, mrs_29, mrs_30
    .quad mrs_31, mrs_32, mrs_33, mrs_34
.global msr_table
msr_table:
    .quad msr_0, msr_1, msr_2, msr_3, msr_4, msr_5, msr_6, msr_7, msr_8, msr_9, msr_10
    .quad msr_11, msr_12, msr_13, msr_14, msr_15, msr_16, msr_17, msr_18, msr_19, msr_20
    .quad msr_21, msr_22, msr_23, msr_24, msr_25, msr_26, msr_27, msr_28, msr_29, msr_30
    .quad msr_31, msr_32, msr_33, msr_34
