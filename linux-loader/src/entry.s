// SPDX-License-Identifier: BSD-3-Clause
// Where EL3 enters BL33: Normal EL2 or EL1, MMU and data cache off, all exceptions masked.

.section .text.entry, "ax"
.global _start
_start:
    adrp x0, __bss_start
    add x0, x0, :lo12:__bss_start
    adrp x1, __bss_end
    add x1, x1, :lo12:__bss_end
0:  cmp x0, x1
    b.hs 1f
    stp xzr, xzr, [x0], #16
    b 0b
1:  adrp x0, __stack
    add x0, x0, :lo12:__stack
    mov sp, x0
    bl loader_main
2:  wfi
    b 2b

.section .text.enter_kernel, "ax"
// x0: the kernel, x1: the device tree. Boot protocol: tree in x0, x1 to x3 zero.
.global enter_kernel_at
enter_kernel_at:
    ic iallu
    dsb sy
    isb
    mov x4, x0
    mov x0, x1
    mov x1, xzr
    mov x2, xzr
    mov x3, xzr
    br x4

.section .text.clean, "ax"
// Cleans and invalidates the data cache to the point of coherency. x0: first address, x1: end.
.global clean_to_memory
clean_to_memory:
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4             // DminLine: log2 of the words of a line
    mov x3, #4
    lsl x3, x3, x2
    sub x4, x3, #1
    bic x0, x0, x4
0:  cmp x0, x1
    b.hs 1f
    dc civac, x0
    add x0, x0, x3
    b 0b
1:  dsb sy
    ret
