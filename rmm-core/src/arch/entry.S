// SPDX-License-Identifier: BSD-3-Clause
//
// Where EL3 enters: cold boot of the first CPU, warm boot of every other CPU and after CPU_ON. MMU
// and caches are off and the image may lie at any page, so all addresses are PC-relative until the
// MMU is on.
//
// x19-x23: boot arguments x0-x4. x24: physical address of the image.

    // For TTBR1_EL2.
    .arch   armv8.1-a

    .section .text.entry, "ax"
    .globl  rmm_entry
    .type   rmm_entry, @function
rmm_entry:
    // Debug exceptions, SErrors, IRQs and FIQs stay masked throughout the monitor.
    msr     daifset, #0xf
    mov     x19, x0
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    mov     x23, x4
    adrp    x24, __image_start

    // The cold boot publishes where the blocks of all CPUs are. Before, this is zero.
    adrp    x5, {blocks}
    add     x5, x5, :lo12:{blocks}
    ldp     x6, x7, [x5]
    cbz     x6, cold_boot

    // Warm boot: x6 address of the CPUs' blocks, x7 number of CPUs.
    cmp     x19, x7
    b.hs    no_such_cpu
    ldr     x8, ={block_size}
    madd    x25, x19, x8, x6
    ldr     x26, =warm_high
    b       enable_mmu

no_such_cpu:
    ldr     x0, ={boot_complete}
    mov     x1, #{cpu_id_out_of_range}
    mov     x2, #0
    smc     #0
    b       no_such_cpu

cold_boot:
    // Cache lines that the loader or an earlier boot stage left must neither hide nor overwrite what
    // is written from here on with the caches off.
    adrp    x0, __image_start
    adrp    x1, __image_end
    bl      forget_lines

    adrp    x0, __early_start
    adrp    x1, __early_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    // The image, by sections.
    .macro  map_section first, end, attributes
    adrp    x1, \first
    adrp    x2, \end
    adrp    x0, image_table
    sub     x3, x1, x24
    add     x0, x0, x3, lsr #9
    ldr     x3, =\attributes
    bl      map_pages
    .endm
    map_section __image_start, __text_end, {text}
    map_section __text_end, __rodata_end, {rodata}
    map_section __rodata_end, __bss_end, {data}

    // The boot CPU's block: root table, then private table, data, stack, exception stack.
    adrp    x25, boot_block
    adrp    x9, image_table
    orr     x9, x9, #{table}
    str     x9, [x25]
    adrp    x9, devices_table
    orr     x9, x9, #{table}
    str     x9, [x25, #{devices_entry}]
    add     x10, x25, #4096
    orr     x9, x10, #{table}
    str     x9, [x25, #{private_entry}]

    .macro  map_private page, offset, pages
    add     x0, x10, #(\page * 8)
    ldr     x1, =\offset
    add     x1, x1, x25
    ldr     x2, =(\pages * 4096)
    add     x2, x2, x1
    ldr     x3, ={data}
    bl      map_pages
    .endm
    map_private {private_table_page}, 4096, 1
    map_private {private_data_page}, {data_offset}, {data_pages}
    map_private {private_stack_page}, {stack_offset}, {stack_pages}
    map_private {private_exception_page}, {exception_offset}, {exception_pages}

    // Identity mapping of this page alone.
    adrp    x0, identity_tables
    adrp    x1, enable_mmu
    .irp    shift, 39, 30, 21
    add     x2, x0, #4096
    orr     x3, x2, #{table}
    ubfx    x4, x1, #\shift, #9
    str     x3, [x0, x4, lsl #3]
    mov     x0, x2
    .endr
    ldr     x3, ={text}
    orr     x3, x3, x1
    ubfx    x4, x1, #12, #9
    str     x3, [x0, x4, lsl #3]

    // The table walker reads through the caches.
    adrp    x0, __early_start
    adrp    x1, __early_end
    bl      forget_lines

    ldr     x26, =cold_high

// Turns the MMU on with the root table at x25 and continues at x26.
enable_mmu:
    // E2H comes first: it selects the regime that TLBI ALLE2 forgets and the layout of the registers
    // that follow.
    ldr     x0, ={hcr}
    msr     hcr_el2, x0
    isb
    ic      iallu
    tlbi    alle2
    tlbi    alle1
    dsb     nsh
    isb

    ldr     x0, ={mair}
    msr     mair_el2, x0
    ldr     x0, ={tcr}
    // Physical addresses of the CPU's width, at most 48 bits.
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf
    mov     x2, #5
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #32, #3
    msr     tcr_el2, x0
    adrp    x0, identity_tables
    msr     ttbr0_el2, x0
    msr     ttbr1_el2, x25
    ldr     x0, ={cptr}
    msr     cptr_el2, x0

    // No traps. HPMN keeps its value until it is known whether EL3 leaves the PMU open.
    mrs     x0, mdcr_el2
    and     x0, x0, #0x1f
    msr     mdcr_el2, x0
    isb

    ldr     x0, ={sctlr}
    msr     sctlr_el2, x0
    isb
    br      x26
    .ltorg
    // The identity mapping is of one page.
    .globl  rmm_entry_end
rmm_entry_end:

// x0: first entry, x1: first page, x2: end, x3: attributes.
map_pages:
    cmp     x1, x2
    b.hs    1f
    orr     x4, x1, x3
    str     x4, [x0], #8
    add     x1, x1, #4096
    b       map_pages
1:  ret

// Invalidates [x0, x1) to the point of coherency; x0 is page-aligned.
forget_lines:
    dsb     sy
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4
    mov     x3, #4
    lsl     x3, x3, x2
1:  dc      ivac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

// From here on the code runs at the address that the image is linked at.
    .macro  settle
    // Drops the identity mapping.
    msr     ttbr0_el2, xzr
    mrs     x0, tcr_el2
    orr     x0, x0, #{tcr_epd0}
    msr     tcr_el2, x0
    ldr     x0, =rmm_vectors
    msr     vbar_el2, x0
    isb
    tlbi    alle2
    dsb     nsh
    isb
    ldr     x0, ={stack_top}
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    .endm

cold_high:
    settle
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x3, x22
    mov     x4, x23
    mov     x5, x24
    b       rmm_cold_boot

warm_high:
    settle
    mov     x0, x19
    mov     x1, x20
    b       {warm_main}
    .ltorg

    .section .early, "aw", @nobits
    .balign 4096
image_table:
    .space  4096
    .globl  devices_table
devices_table:
    .space  4096
identity_tables:
    .space  4 * 4096
boot_block:
    .space  {block_size}
