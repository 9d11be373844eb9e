// SPDX-License-Identifier: BSD-3-Clause
//! What a Host may see in an exit record: nothing but what the reason of the exit puts there (A4.3).

use rmm_abi::rmi::{RecExit, RecExitReason};
use rmm_core::fake::describe_record;
use zerocopy::{FromZeros, IntoBytes};

/// The reason of an exit.
pub fn reason(exit: &RecExit) -> RecExitReason {
    [
        RecExitReason::Sync,
        RecExitReason::Irq,
        RecExitReason::Fiq,
        RecExitReason::Psci,
        RecExitReason::RipasChange,
        RecExitReason::HostCall,
        RecExitReason::SError,
    ]
    .into_iter()
    .find(|reason| *reason as u8 == exit.exit_reason)
    .unwrap_or_else(|| panic!("an unknown reason\n{}", describe_record(exit)))
}

/// The bits of a syndrome that are for the Host.
fn visible(exit: &RecExit, two: bool) -> u64 {
    const CLASS: u64 = 0x3F << 26;
    match exit.esr >> 26 & 0x3F {
        // TI, and in 2.0 that there is a register.
        0x01 if two => CLASS | 7,
        0x01 => CLASS | 3,
        // IL, encoding and direction; not the register.
        0x18 => CLASS | 1 << 25 | 0x3F_FC1F,
        // SET, EA, status.
        0x20 => CLASS | 3 << 11 | 1 << 9 | 0x3F,
        // The same, FnV, and of an access that can be emulated ISV, size, SF, WnR.
        0x24 if exit.esr >> 24 & 1 != 0 => {
            CLASS | 1 << 24 | 3 << 22 | 1 << 15 | 3 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 0x3F
        }
        0x24 => CLASS | 3 << 11 | 1 << 10 | 1 << 9 | 0x3F,
        // IDS, AET, EA, status.
        0x2F => CLASS | 1 << 24 | 7 << 10 | 1 << 9 | 0x3F,
        _ => 0,
    }
}

/// Whether the Host may say that it has emulated the access of this exit.
pub fn is_emulatable(exit: &RecExit) -> bool {
    reason(exit) == RecExitReason::Sync && exit.esr >> 26 & 0x3F == 0x24 && exit.esr >> 24 & 1 != 0
}

/// Asserts that the record has nothing that its reason does not put there.
pub fn check(exit: &RecExit, two: bool) {
    let record = || describe_record(exit);
    let reason = reason(exit);
    let mut rest = *exit;
    rest.exit_reason = 0;
    (rest.cntp_ctl, rest.cntp_cval, rest.cntv_ctl, rest.cntv_cval) = (0, 0, 0, 0);
    rest.pmu_ovf_status &= !1;
    if !two {
        rest.gicv3_lrs.zero();
        (rest.gicv3_hcr, rest.gicv3_misr, rest.gicv3_vmcr) = (0, 0, 0);
    }
    let class = exit.esr >> 26 & 0x3F;
    match reason {
        RecExitReason::Sync | RecExitReason::SError => {
            rest.esr &= !visible(exit, two);
            assert_eq!(
                class == 0x2F,
                reason == RecExitReason::SError,
                "{}",
                record()
            );
            if matches!(class, 0x20 | 0x24) {
                rest.hpfar = 0;
            }
            if is_emulatable(exit) {
                rest.far &= !0xFFF;
            }
            let write = exit.esr >> 6 & 1 != 0;
            // A value to store, one for a register of the GIC, the timeout of WFIT or WFET.
            let shows = is_emulatable(exit) && write
                || class == 0x18 && exit.esr & 1 == 0
                // Only 2.0 shows whether there is a register.
                || class == 0x01 && (exit.esr & 6 == 6 || !two && exit.esr & 2 != 0);
            if shows && reason == RecExitReason::Sync {
                rest.gprs[0] = 0;
            }
        }
        RecExitReason::RipasChange => {
            (rest.ripas_base, rest.ripas_top) = (0, 0);
            rest.ripas_value &= !1;
        }
        RecExitReason::HostCall => {
            rest.gprs.zero();
            rest.imm = 0;
        }
        RecExitReason::Psci => rest.gprs[..4].zero(),
        _ => {}
    }
    let is_clean = rest.as_bytes().iter().all(|byte| *byte == 0);
    assert!(
        is_clean,
        "of the exit record\n{}not for the Host:\n{}",
        record(),
        describe_record(&rest)
    );
}
