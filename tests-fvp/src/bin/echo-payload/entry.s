// SPDX-License-Identifier: BSD-3-Clause
// Where EL3 enters BL33, at any address and with the MMU off. EL3 has set the UART up.

.section .text.entry, "ax"
.global _start
_start:
    mov x19, #{uart}
    mrs x0, currentel                // EL in bits 3:2
    lsr x20, x0, #2
    adr x21, greeting
greet:
    ldrb w0, [x21], #1
    cbz w0, next
    bl put
    b greet
next:
    add w0, w20, #'0'
    bl put
    mov w0, #'\n'
    bl put

echo:
    ldr w0, [x19, #0x18]             // UARTFR
    tbnz w0, #4, echo                // RXFE: nothing received
    ldr w0, [x19]                    // UARTDR
    and w0, w0, #0xff
    cmp w0, #'h'
    b.eq hang
    ldr w1, ={off}
    cmp w0, #'q'
    b.eq psci
    ldr w1, ={reset}
    cmp w0, #'r'
    b.eq psci
    bl put
    b echo

psci:
    mov w0, w1
    smc #0
hang:
    wfi
    b hang

// Prints the character w0. Changes x1.
put:
    ldr w1, [x19, #0x18]
    tbnz w1, #5, put                 // TXFF: no room
    str w0, [x19]
    ret

greeting:
    .asciz "payload: started at EL"
.balign 4
.ltorg
