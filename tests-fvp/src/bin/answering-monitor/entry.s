// SPDX-License-Identifier: BSD-3-Clause
// Where EL3 enters, at any address and with the MMU off; it keeps X8 up between the calls. Nothing
// here touches memory, so that every CPU can run it at once.

.section .text.entry, "ax"
.global _start
_start:
    ldr x20, ={request_complete}
    ldr x21, ={delegate}
    ldr x22, ={gtsi_delegate}
    ldr x23, ={features}
    ldr x0, ={boot_complete}
    mov x1, #0
    mov x2, #0
serve:
    smc #0
    sub x8, x0, x21
    cmp x8, #1
    b.ls granule
    cmp x0, x23
    b.eq counter
answer:
    mov x0, x20
    mov x1, #0
    b serve

// RMI_GRANULE_DELEGATE or RMI_GRANULE_UNDELEGATE of the address in x1.
granule:
    add x0, x22, x8
    smc #0
    b answer

counter:
    mrs x2, cntpct_el0
    b answer
.ltorg
