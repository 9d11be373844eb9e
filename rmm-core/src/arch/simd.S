// SPDX-License-Identifier: BSD-3-Clause
//
// Saves and loads vector and predicate registers. x0: address, aligned to 16 bytes. The caller has
// opened the registers in CPTR_EL2. No general register changes but x0 where it returns a value, and x1 where it
// says so.

    .arch   armv9.2-a+sve+sme

    .macro  q_pairs do
    \do     q0, q1, [x0]
    \do     q2, q3, [x0, #32]
    \do     q4, q5, [x0, #64]
    \do     q6, q7, [x0, #96]
    \do     q8, q9, [x0, #128]
    \do     q10, q11, [x0, #160]
    \do     q12, q13, [x0, #192]
    \do     q14, q15, [x0, #224]
    \do     q16, q17, [x0, #256]
    \do     q18, q19, [x0, #288]
    \do     q20, q21, [x0, #320]
    \do     q22, q23, [x0, #352]
    \do     q24, q25, [x0, #384]
    \do     q26, q27, [x0, #416]
    \do     q28, q29, [x0, #448]
    \do     q30, q31, [x0, #480]
    .endm

// Offsets count vectors of the current length.
    .macro  z_registers do
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \do     z\n, [x0, #\n, mul vl]
    .endr
    .endm

// Offsets count predicates of the current length.
    .macro  p_registers do
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    \do     p\n, [x0, #\n, mul vl]
    .endr
    .endm

    .macro  simd_function name
    .globl  \name
    .type   \name, @function
\name:
    .endm

    .section .text.simd, "ax"
    .balign 64

// Returns 1 if Advanced SIMD instructions may be executed, and 0 in streaming mode, where this one is illegal
// without FEAT_SME_FA64. Changes x1.
    simd_function simd_is_legal
    mov     x1, xzr
2:  umov    x0, v0.d[1]
3:  mov     x1, #1
4:  mov     x0, x1
    ret
    .pushsection .fixups, "a"
    .balign 8
    .quad   2b, 3b, 4b, {streaming}
    .popsection

// Returns 1 if an SVE instruction traps as SME, and 0 if it is legal or traps as SVE. Changes x1.
    simd_function simd_traps_as_sme
    mov     x1, #1
2:  rdvl    x0, #1
3:  mov     x1, xzr
4:  mov     x0, x1
    ret
    .pushsection .fixups, "a"
    .balign 8
    .quad   2b, 3b, 4b, {streaming}
    .quad   2b, 3b, 3b, {sve}
    .popsection

// Q0 to Q31, 512 bytes.
    simd_function simd_save_q
    q_pairs stp
    ret

    simd_function simd_load_q
    q_pairs ldp
    ret

// Z0 to Z31 at the current vector length, at most 8192 bytes.
    simd_function simd_save_z
    z_registers str
    ret

    simd_function simd_load_z
    z_registers ldr
    ret

// Z0 to Z15 and Z16 to Z31, at most 4096 bytes each.
    .macro  z_half do, first
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    z_one   \do, %(\first + \n), \n
    .endr
    .endm

    .macro  z_one do, register, place
    \do     z\register, [x0, #\place, mul vl]
    .endm

    .altmacro
    simd_function simd_save_z_low
    z_half  str, 0
    ret

    simd_function simd_load_z_low
    z_half  ldr, 0
    ret

    simd_function simd_save_z_high
    z_half  str, 16
    ret

    simd_function simd_load_z_high
    z_half  ldr, 16
    ret
    .noaltmacro

// P0 to P15 at the current vector length, at most 512 bytes.
    simd_function simd_save_p
    p_registers str
    ret

    simd_function simd_load_p
    p_registers ldr
    ret

// FFR, at most 32 bytes, by way of P0.
    simd_function simd_save_ffr
    rdffr   p0.b
    str     p0, [x0]
    ret

    simd_function simd_load_ffr
    ldr     p0, [x0]
    wrffr   p0.b
    ret

// Zeroes Z0 to Z31, P0 to P15 and FFR, at the current vector length.
    simd_function simd_clear
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    pfalse  p\n\().b
    .endr
    wrffr   p0.b
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    mov     z\n\().b, #0
    .endr
    ret

// Returns the bytes of a vector.
    simd_function simd_vector_bytes
    rdvl    x0, #1
    ret

// Set and clear PSTATE.SM; ZA stays. Both clear the vector and predicate registers.
    simd_function simd_start_streaming
    smstart sm
    ret

    simd_function simd_stop_streaming
    smstop  sm
    ret
