// SPDX-License-Identifier: BSD-3-Clause
//! What the CPU's ID registers tell.

use super::{mrs, realm_pmu, simd};
use crate::boot::El3Interface;
use crate::machine::{CpuFeatures, IdRegisters};
use core::arch::asm;

/// A field of `width` bits from bit `shift` up.
#[allow(
    clippy::cast_possible_truncation,
    reason = "fields have at most 8 bits"
)]
const fn field(register: u64, shift: u32, width: u32) -> u8 {
    (register >> shift & ((1 << width) - 1)) as u8
}

/// `ICC_SRE_EL2`: system registers at EL2 and EL1, no bypass.
const ICC_SRE_ON: u64 = 0b1111;

fn set_icc_sre(value: u64) {
    // SAFETY: decides whether GIC registers can be accessed; no effect on memory.
    unsafe {
        asm!(
            "msr s3_4_c12_c9_5, {}",
            "isb",
            in(reg) value,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Reads the features of this CPU.
#[must_use]
pub fn read(el3: El3Interface) -> CpuFeatures {
    let sre = mrs!("s3_4_c12_c9_5");
    set_icc_sre(ICC_SRE_ON);
    let vtr = mrs!("s3_4_c12_c11_1");
    // ICC_CTLR_EL1.ExtRange.
    let gic_ext_range = field(mrs!("s3_0_c12_c12_4"), 19, 1) == 1;
    if el3.shares_gic_registers() {
        set_icc_sre(sre);
    }
    let mut id = IdRegisters {
        midr: mrs!("midr_el1"),
        pfr0: mrs!("id_aa64pfr0_el1"),
        pfr1: mrs!("id_aa64pfr1_el1"),
        zfr0: mrs!("s3_0_c0_c4_4"),
        dfr0: mrs!("id_aa64dfr0_el1"),
        dfr1: mrs!("id_aa64dfr1_el1"),
        isar0: mrs!("id_aa64isar0_el1"),
        isar1: mrs!("id_aa64isar1_el1"),
        isar2: mrs!("id_aa64isar2_el1"),
        mmfr0: mrs!("id_aa64mmfr0_el1"),
        mmfr1: mrs!("id_aa64mmfr1_el1"),
        mmfr2: mrs!("id_aa64mmfr2_el1"),
        mmfr3: mrs!("s3_0_c0_c7_3"),
    };
    if !el3.banks_pauth_keys() {
        // APA, API, GPA, GPI; GPA3, APA3, PAC_frac: the instructions trap.
        id.isar1 &= !0xFF00_0FF0;
        id.isar2 &= !0x0F00_FF00;
    }
    // TGran4 1 and TGran4_2 3 (or 0: as TGran4) say 52-bit addresses.
    let stage1 = field(id.mmfr0, 28, 4) == 1;
    let stage2 = matches!((field(id.mmfr0, 40, 4), stage1), (3, _) | (0, true));
    let lpa2 = stage1 && stage2;
    let (num_bps, num_wps) = debug(&id);
    CpuFeatures {
        pa_bits: match field(id.mmfr0, 0, 4) {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            5 => 48,
            // 52 bits and more take descriptors of that width.
            _ if lpa2 => 52,
            _ => 48,
        },
        lpa2,
        vmid16: field(id.mmfr1, 4, 4) == 2,
        sve_vl: simd::sve_vl(),
        num_bps,
        num_wps,
        pmu_counters: realm_pmu::event_counters(),
        gic_num_lrs: field(vtr, 0, 5),
        gic_pri_bits: field(vtr, 29, 3) + 1,
        gic_id_24: field(vtr, 23, 3) == 1,
        gic_ext_range,
        id,
    }
}

/// Breakpoints and watchpoints, minus 1 each.
fn debug(id: &IdRegisters) -> (u8, u8) {
    (field(id.dfr0, 12, 4), field(id.dfr0, 20, 4))
}

/// Whether this CPU has what Realms were promised, `promised` being what the boot CPU has: a REC
/// may run on any CPU.
#[must_use]
pub fn match_those(promised: &CpuFeatures, el3: El3Interface) -> bool {
    let of = |features: &CpuFeatures| {
        let id = &features.id;
        let gic = [
            features.gic_num_lrs,
            features.gic_pri_bits,
            features.gic_id_24.into(),
            features.gic_ext_range.into(),
        ];
        let id = [
            id.pfr0, id.pfr1, id.zfr0, id.dfr0, id.dfr1, id.isar0, id.isar1, id.isar2, id.mmfr0,
            id.mmfr1, id.mmfr2, id.mmfr3,
        ];
        (id, gic)
    };
    of(promised) == of(&read(el3))
}
