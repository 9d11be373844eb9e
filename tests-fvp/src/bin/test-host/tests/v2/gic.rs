// SPDX-License-Identifier: BSD-3-Clause
//! The Host's virtual interrupts, which are in registers.

use super::in_v2;
use crate::arch::{mrs, ticks};
use crate::check::{Check, ensure_eq};
use crate::rec::command;
use crate::tests::Test;
use crate::tests::exit::running;
use crate::tests::instruct::{Register, instruct};
use crate::tests::spin::limit;
use crate::tests::vgic::pending;
use crate::virtual_gic::{self, VirtualGic};
use tests_fvp::protocol::{Op, Reply};

pub const TESTS: &[Test] = &[
    ("v2.interrupt", interrupt),
    ("v2.list_register_refused", list_register_refused),
    ("v2.gic_of_host", gic_of_host),
];

/// A list register that the Host has loaded is an interrupt of the Realm, and all of the interface stays as
/// the Realm left it, but for En.
fn interrupt() -> Check {
    const ICC_PMR: Register = Register(3, 0, 4, 6, 0);
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        let mut entry = command(Op::TakeIrq, &[limit()]);
        entry.gicv3_lrs[0] = pending(40, 0x80);
        entry.gicv3_lrs[1] = pending(41, 0xF0) & !(1 << 62);
        let exit = rec.enter(&entry)?;
        ensure_eq!(Reply::from_gprs(&exit.gprs).values[0], 40, "INTID");
        ensure_eq!(mrs!("ich_lr0_el2") >> 62, 0, "state of the list register");
        ensure_eq!(
            mrs!("ich_lr1_el2"),
            entry.gicv3_lrs[1],
            "list register that nobody touched"
        );
        ensure_eq!(mrs!("ich_hcr_el2"), 0, "ICH_HCR_EL2");
        // The Realm's mask is in the Host's registers.
        let exit = rec.enter(&instruct(ICC_PMR.msr(), 0x48, 0))?;
        ensure_eq!(exit.gicv3_vmcr >> 24, 0x48, "ICH_VMCR_EL2.VPMR");
        ensure_eq!(mrs!("ich_vmcr_el2") >> 24, 0x48, "ICH_VMCR_EL2.VPMR");
        // And the Host's are those of the Realm.
        rec.gic.lock().vmcr &= 0xFF_FFFF;
        ensure_eq!(ICC_PMR.read(rec)?, 0, "ICC_PMR_EL1");
        ensure_eq!(
            rec.value_of(Op::TakeIrq, &[ticks(5)])?,
            1023,
            "INTID without an interrupt"
        );
        realm.finish()
    })
}

/// A list register that names a physical interrupt, or holds an NMI, is refused before the entry.
fn list_register_refused() -> Check {
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        let mut entry = command(Op::Nop, &[]);
        let last = virtual_gic::list_registers() - 1;
        let nmi = virtual_gic::has_nmi().then_some((59, "a list register with NMI = 1"));
        let refused = [(61, "a list register with HW = 1")].into_iter().chain(nmi);
        for (bit, what) in refused {
            for n in [0, last] {
                entry.gicv3_lrs = Default::default();
                entry.gicv3_lrs[n] = pending(40, 0x80) | 1 << bit;
                rec.try_enter(&entry).rec(what)?;
            }
        }
        rec.reply_of(Op::Nop, &[])?;
        realm.finish()
    })
}

/// A Host of 1.0 finds its own control registers of the interface again, though EL3 does not save them.
fn gic_of_host() -> Check {
    // EOIcount 3, LRENPIE, and a mask, without En.
    const HCR: u64 = 3 << 27 | 1 << 2;
    const VMCR: u64 = 0xA8 << 24 | 1 << 1;
    let before = VirtualGic::save();
    let mut own = before;
    (own.hcr, own.vmcr) = (HCR, own.vmcr & !(0xFF << 24) | VMCR);
    own.load_all();
    let found = VirtualGic::save();
    let outcome = (|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        for intid in [5, 40] {
            let mut entry = command(Op::TakeIrq, &[limit()]);
            entry.gicv3_lrs[0] = pending(intid, 0x80);
            let exit = rec.enter(&entry)?;
            ensure_eq!(Reply::from_gprs(&exit.gprs).values[0], intid, "INTID");
            ensure_eq!(mrs!("ich_hcr_el2"), found.hcr, "ICH_HCR_EL2 of the Host");
            ensure_eq!(mrs!("ich_vmcr_el2"), found.vmcr, "ICH_VMCR_EL2 of the Host");
        }
        realm.finish()
    })();
    before.load_all();
    outcome
}
