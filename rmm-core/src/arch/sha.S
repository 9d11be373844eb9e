// SPDX-License-Identifier: BSD-3-Clause
//
// SHA-256 and SHA-512 (FIPS 180-4) with the instructions of FEAT_SHA256 and FEAT_SHA512, and the
// vector registers that these functions use: V0 to V16. The caller has opened the registers in
// CPTR_EL2 and saved them. General registers that change: X1 to X3.

    .arch   armv9.2-a+sha2+sha3+sve

    .macro  sha_function name
    .globl  \name
    .type   \name, @function
\name:
    .endm

    .section .text.sha, "ax"
    .balign 64

// --- The registers -----------------------------------------------------------

    .macro  z_registers_0_to_16 do
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16
    \do     z\n, [x0, #\n, mul vl]
    .endr
    .endm

    .macro  q_registers_0_to_16 do_pair, do
    \do_pair q0, q1, [x0]
    \do_pair q2, q3, [x0, #32]
    \do_pair q4, q5, [x0, #64]
    \do_pair q6, q7, [x0, #96]
    \do_pair q8, q9, [x0, #128]
    \do_pair q10, q11, [x0, #160]
    \do_pair q12, q13, [x0, #192]
    \do_pair q14, q15, [x0, #224]
    \do     q16, [x0, #256]
    .endm

// Z0 to Z16 at the current vector length. x0: 17 vectors.
    sha_function sha_save_z
    z_registers_0_to_16 str
    ret

    sha_function sha_load_z
    z_registers_0_to_16 ldr
    ret

// Q0 to Q16. x0: 17 vectors of 16 bytes.
    sha_function sha_save_q
    q_registers_0_to_16 stp, str
    ret

    sha_function sha_load_q
    q_registers_0_to_16 ldp, ldr
    ret

// --- SHA-256 -----------------------------------------------------------------
//
//     V0 to V3    the last 16 words of the message schedule
//     V4, V5      working variables (d, c, b, a) and (h, g, f, e), from the highest word down
//     V6, V7      the state before the block
//     V8          a to d before the four rounds
//     V9 to V12   constants, or constants plus schedule

// Four rounds. wk: the four words of schedule plus constants. abcd: where a to d are kept meanwhile.
    .macro  sha256_rounds wk, abcd=v8
    .ifc    \abcd, v8
    mov     v8.16b, v4.16b
    sha256h q4, q5, \wk\().4s
    sha256h2 q5, q8, \wk\().4s
    .else
    // V6 has them already.
    sha256h q4, q5, \wk\().4s
    sha256h2 q5, q6, \wk\().4s
    .endif
    .endm

// Four rounds with the schedule's words in w0, which become the four words after w3.
    .macro  sha256_scheduled k, w0, w1, w2, w3, abcd=v8
    add     \k\().4s, \k\().4s, \w0\().4s
    sha256_rounds \k, \abcd
    sha256su0 \w0\().4s, \w1\().4s
    sha256su1 \w0\().4s, \w2\().4s, \w3\().4s
    .endm

// Four rounds with the last words of the schedule.
    .macro  sha256_last k, w0
    add     \k\().4s, \k\().4s, \w0\().4s
    sha256_rounds \k
    .endm

    .macro  sha256_keep_state
    mov     v6.16b, v4.16b
    mov     v7.16b, v5.16b
    .endm

    .macro  sha256_add_state
    add     v4.4s, v4.4s, v6.4s
    add     v5.4s, v5.4s, v7.4s
    .endm

// x0: state, 8 words. x1: blocks of 64 bytes. x2: their number, not 0. x3: the 64 constants.
    sha_function sha256_blocks
    ld1     {v4.4s, v5.4s}, [x0]
2:  ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], #64
    ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x3], #64
    sub     x2, x2, #1
    rev32   v0.16b, v0.16b
    rev32   v1.16b, v1.16b
    rev32   v2.16b, v2.16b
    rev32   v3.16b, v3.16b
    sha256_keep_state
    sha256_scheduled v9, v0, v1, v2, v3, v6
    sha256_scheduled v10, v1, v2, v3, v0
    sha256_scheduled v11, v2, v3, v0, v1
    sha256_scheduled v12, v3, v0, v1, v2
    .rept   2
    ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x3], #64
    sha256_scheduled v9, v0, v1, v2, v3
    sha256_scheduled v10, v1, v2, v3, v0
    sha256_scheduled v11, v2, v3, v0, v1
    sha256_scheduled v12, v3, v0, v1, v2
    .endr
    ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x3]
    sub     x3, x3, #192
    sha256_last v9, v0
    sha256_last v10, v1
    sha256_last v11, v2
    sha256_last v12, v3
    sha256_add_state
    cbnz    x2, 2b
    st1     {v4.4s, v5.4s}, [x0]
    ret

// x0: state, 8 words. x1: the 64 words of schedule plus constants of a block. x2: how often the block
// follows, not 0.
    sha_function sha256_known_blocks
    ld1     {v4.4s, v5.4s}, [x0]
2:  ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x1], #64
    sub     x2, x2, #1
    sha256_keep_state
    sha256_rounds v9, v6
    sha256_rounds v10
    sha256_rounds v11
    sha256_rounds v12
    .rept   2
    ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x1], #64
    sha256_rounds v9
    sha256_rounds v10
    sha256_rounds v11
    sha256_rounds v12
    .endr
    ld1     {v9.4s, v10.4s, v11.4s, v12.4s}, [x1]
    sub     x1, x1, #192
    sha256_rounds v9
    sha256_rounds v10
    sha256_rounds v11
    sha256_rounds v12
    sha256_add_state
    cbnz    x2, 2b
    st1     {v4.4s, v5.4s}, [x0]
    ret

// --- SHA-512 -----------------------------------------------------------------
//
//     V0 to V4    working variables (b, a), (d, c), (f, e), (h, g), from the higher word down, and a
//                 free register
//     V5 to V12   the last 16 words of the message schedule
//     V13 to V16  constants, or constants plus schedule
//
// SHA512H and SHA512H2 do two rounds. They take the sum of schedule and constants with the first
// round's in the higher word, so the tables have the two words of each pair in reverse order.

// Two rounds. ba, dc, fe, hg: working variables; free: a register. wk: the two words of schedule plus
// constants, which is free from the end on. Afterwards hg has the new (b, a) and free the new (f, e);
// ba is (d, c) and fe is (h, g); dc is the free register.
    .macro  sha512_rounds ba, dc, fe, hg, free, wk
    ext     v\free\().16b, v\fe\().16b, v\hg\().16b, #8
    add     v\hg\().2d, v\hg\().2d, v\wk\().2d
    ext     v\wk\().16b, v\dc\().16b, v\fe\().16b, #8
    sha512h q\hg, q\free, v\wk\().2d
    add     v\free\().2d, v\dc\().2d, v\hg\().2d
    sha512h2 q\hg, q\dc, v\ba\().2d
    .endm

// Two rounds with the schedule's words in w.
    .macro  sha512_last ba, dc, fe, hg, free, k, w
    ext     v\free\().16b, v\w\().16b, v\w\().16b, #8
    add     v\k\().2d, v\k\().2d, v\free\().2d
    sha512_rounds \ba, \dc, \fe, \hg, \free, \k
    .endm

// Two rounds with the schedule's words in w0, which become the two words after w7.
    .macro  sha512_scheduled ba, dc, fe, hg, free, k, w0, w1, w4, w5, w7
    sha512_last \ba, \dc, \fe, \hg, \free, \k, \w0
    ext     v\k\().16b, v\w4\().16b, v\w5\().16b, #8
    sha512su0 v\w0\().2d, v\w1\().2d
    sha512su1 v\w0\().2d, v\w7\().2d, v\k\().2d
    .endm

// Eight rounds, from pair of rounds i on: i is a multiple of 4. After each pair the five registers
// change places, so with i they turn. do: known, last or scheduled.
    .macro  sha512_eight do, i
    sha512_pair \do, %(\i), 13
    sha512_pair \do, %(\i + 1), 14
    sha512_pair \do, %(\i + 2), 15
    sha512_pair \do, %(\i + 3), 16
    .endm

    .macro  sha512_pair do, i, k
    sha512_pair_\do \k, \i, %((40 - \i) % 5), %((41 - \i) % 5), %((43 - \i) % 5), %((44 - \i) % 5), %((42 - \i) % 5)
    .endm

    .macro  sha512_pair_known k, i, ba, dc, fe, hg, free
    sha512_rounds \ba, \dc, \fe, \hg, \free, \k
    .endm

    .macro  sha512_pair_last k, i, ba, dc, fe, hg, free
    sha512_last \ba, \dc, \fe, \hg, \free, \k, %(5 + \i % 8)
    .endm

    .macro  sha512_pair_scheduled k, i, ba, dc, fe, hg, free
    sha512_scheduled \ba, \dc, \fe, \hg, \free, \k, %(5 + \i % 8), %(5 + (\i + 1) % 8), %(5 + (\i + 4) % 8), %(5 + (\i + 5) % 8), %(5 + (\i + 7) % 8)
    .endm

// The pairs (b, a) ... (h, g) are in V0, V1, V3 and V4 before and after a block.
    .macro  sha512_load_state
    ld1     {v0.2d, v1.2d}, [x0], #32
    ld1     {v3.2d, v4.2d}, [x0]
    sub     x0, x0, #32
    .endm

// V5 to V8 are free.
    .macro  sha512_add_state
    ld1     {v5.2d, v6.2d, v7.2d, v8.2d}, [x0]
    add     v0.2d, v0.2d, v5.2d
    add     v1.2d, v1.2d, v6.2d
    add     v3.2d, v3.2d, v7.2d
    add     v4.2d, v4.2d, v8.2d
    st1     {v0.2d, v1.2d}, [x0], #32
    st1     {v3.2d, v4.2d}, [x0]
    sub     x0, x0, #32
    .endm

    .altmacro

// x0: state, 8 words. x1: blocks of 128 bytes. x2: their number, not 0. x3: the 80 constants.
    .balign 64
    sha_function sha512_blocks
    sha512_load_state
2:  ld1     {v5.16b, v6.16b, v7.16b, v8.16b}, [x1], #64
    ld1     {v9.16b, v10.16b, v11.16b, v12.16b}, [x1], #64
    sub     x2, x2, #1
    .irp    n, 5,6,7,8,9,10,11,12
    rev64   v\n\().16b, v\n\().16b
    .endr
    .irp    i, 0,4,8,12,16,20,24,28
    ld1     {v13.2d, v14.2d, v15.2d, v16.2d}, [x3], #64
    sha512_eight scheduled, \i
    .endr
    ld1     {v13.2d, v14.2d, v15.2d, v16.2d}, [x3], #64
    sha512_eight last, 32
    ld1     {v13.2d, v14.2d, v15.2d, v16.2d}, [x3]
    sub     x3, x3, #576
    sha512_eight last, 36
    sha512_add_state
    cbnz    x2, 2b
    ret

// x0: state, 8 words. x1: the 80 words of schedule plus constants of a block. x2: how often the block
// follows, not 0.
    .balign 64
    sha_function sha512_known_blocks
    sha512_load_state
2:  sub     x2, x2, #1
    .irp    i, 0,4,8,12,16,20,24,28,32
    ld1     {v13.2d, v14.2d, v15.2d, v16.2d}, [x1], #64
    sha512_eight known, \i
    .endr
    ld1     {v13.2d, v14.2d, v15.2d, v16.2d}, [x1]
    sub     x1, x1, #576
    sha512_eight known, 36
    sha512_add_state
    cbnz    x2, 2b
    ret

    .noaltmacro
