// SPDX-License-Identifier: BSD-3-Clause
//! What the Host wants of the monitor, in the dialect that it speaks: RMI 1.0, or RMI 2.0 in the order of
//! calls of Linux's KVM. The machine has one dialect at a time, and so has the Host.

use crate::check::{Check, Stop, ensure, ensure_eq, fail, skip};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, entry_size};
use crate::rmi::{self, Answer, v2};
use core::sync::atomic::{AtomicBool, Ordering};
use rmm_abi::rmi::v2::{AddressRange, MemoryState, RMI_VERSION_2_0, RmmConfig};
use rmm_abi::rmi::{RMI_VERSION_1_0, SMCCC_NOT_SUPPORTED};
use tests_fvp::guest::NEEDS_RMI_2;
use zerocopy::{FromZeros, IntoBytes};

/// A dialect of RMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RMI 1.0.
    V1,
    /// RMI 2.0.
    V2,
}

/// Whether the Host speaks 2.0.
static SPEAKS_V2: AtomicBool = AtomicBool::new(false);

/// The dialect that the Host speaks.
pub fn spoken() -> Dialect {
    if SPEAKS_V2.load(Ordering::Relaxed) {
        Dialect::V2
    } else {
        Dialect::V1
    }
}

/// Whether the Host speaks 2.0.
pub fn is_v2() -> bool {
    spoken() == Dialect::V2
}

/// Skips the test unless the monitor offers 2.0.
pub fn needs_v2() -> Check {
    if offers_v2() {
        Ok(())
    } else {
        skip!("{NEEDS_RMI_2}")
    }
}

/// Whether the monitor offers 2.0.
pub fn offers_v2() -> bool {
    // No revision: the answer reports the highest, and the dialect stays.
    rmi::version(0).out[1] >= RMI_VERSION_2_0
}

/// Address types of flags, and the flags of unprotected memory.
pub const SINGLE: u64 = 1;
/// As [`SINGLE`], for a list of addresses.
pub const LIST: u64 = 2;

/// The descriptor of a row of blocks that are DELEGATED.
pub fn delegated(address: u64, level: u64, count: u64) -> u64 {
    AddressRange::new(address, level as i8, count, MemoryState::Delegated).bits()
}

/// The descriptor of a row of blocks that are the Host's.
pub fn undelegated(address: u64, level: u64, count: u64) -> u64 {
    AddressRange::new(address, level as i8, count, MemoryState::Undelegated).bits()
}

/// Memory attributes and permissions of a descriptor of 1.0, as flags of RMI_RTT_UNPROT_MAP.
pub const fn unprotected_flags(attributes: u64) -> u64 {
    let (memory, read, write) = (
        attributes >> 2 & 7,
        attributes >> 6 & 1,
        attributes >> 7 & 1,
    );
    SINGLE | memory << 16 | write << 19 | read << 20
}

/// Bits of a descriptor of 1.0 that are attributes.
const ATTRIBUTE_BITS: u64 = GRANULE - 1;

impl Dialect {
    /// Makes this the dialect of Host and monitor. Nothing is delegated.
    pub fn speak(self) -> Check {
        match self {
            Self::V1 => {
                rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION 1.0")?;
                let of_2 = v2::rmm_state_get().status;
                ensure_eq!(
                    of_2,
                    SMCCC_NOT_SUPPORTED,
                    "still RMI 2.0, because granules are delegated: RMI_RMM_STATE_GET"
                );
            }
            Self::V2 => self::start_v2()?,
        }
        SPEAKS_V2.store(self == Self::V2, Ordering::Relaxed);
        Ok(())
    }

    /// Delegates granules in a row.
    pub fn delegate(self, base: u64, count: u64) -> Check {
        let top = base + count * GRANULE;
        match self {
            Self::V1 => (base..top)
                .step_by(GRANULE as usize)
                .try_for_each(|granule| {
                    let answer = rmi::delegate(granule);
                    answer.ok("RMI_GRANULE_DELEGATE").map(drop)
                }),
            Self::V2 => in_steps(base, top, "RMI_GRANULE_RANGE_DELEGATE", v2::range_delegate),
        }
    }

    /// Undelegates granules in a row.
    pub fn undelegate(self, base: u64, count: u64) -> Check {
        let top = base + count * GRANULE;
        match self {
            Self::V1 => (base..top)
                .step_by(GRANULE as usize)
                .try_for_each(|granule| {
                    let answer = rmi::undelegate(granule);
                    answer.ok("RMI_GRANULE_UNDELEGATE").map(drop)
                }),
            Self::V2 => {
                let what = "RMI_GRANULE_RANGE_UNDELEGATE";
                in_steps(base, top, what, v2::range_undelegate)
            }
        }
    }

    /// Tries to undelegate a granule.
    pub fn undelegate_one(self, granule: u64) -> Answer {
        match self {
            Self::V1 => rmi::undelegate(granule),
            Self::V2 => v2::range_undelegate(granule, granule + GRANULE),
        }
    }

    /// RMI_REALM_CREATE.
    pub fn create_realm(self, config: &Config, rd: u64, rtt_base: u64) -> Check {
        let page = pool::take_one()?;
        match self {
            Self::V1 => pool::write_bytes(page, config.params(rtt_base).as_bytes()),
            Self::V2 => pool::write_bytes(page, config.params_2(rtt_base).as_bytes()),
        }
        let answer = rmi::realm_create(rd, page);
        pool::give(page, 1);
        answer.ok("RMI_REALM_CREATE").map(drop)
    }

    /// Ends the life of a Realm that still has tables: RMI_REALM_TERMINATE.
    pub fn end_realm(self, rd: u64) -> Check {
        match self {
            Self::V1 => Ok(()),
            Self::V2 => v2::realm_terminate(rd).ok("RMI_REALM_TERMINATE").map(drop),
        }
    }

    /// How many auxiliary granules a REC of a Realm needs.
    pub fn aux_count(self, rd: u64) -> Check<u64> {
        match self {
            Self::V1 => Ok(rmi::rec_aux_count(rd).ok("RMI_REC_AUX_COUNT")?[0]),
            Self::V2 => Ok(0),
        }
    }

    /// Maps granules in a row, without content. Returns how many of them: not all if the tables end.
    pub fn map(self, rd: u64, ipa: u64, pa: u64, count: u64) -> Check<u64> {
        match self {
            Self::V1 => {
                for offset in (0..count).map(|n| n * GRANULE) {
                    rmi::data_create_unknown(rd, pa + offset, ipa + offset)
                        .ok("RMI_DATA_CREATE_UNKNOWN")?;
                }
                Ok(count)
            }
            Self::V2 => {
                let (top, from) = (ipa + count * GRANULE, delegated(pa, 3, count));
                let out = v2::data_map(rd, ipa, top, SINGLE, from).ok("RMI_RTT_DATA_MAP")?;
                ensure!(
                    out[0] > ipa && out[0] <= top,
                    "RMI_RTT_DATA_MAP from {ipa:#x} to {:#x}",
                    out[0]
                );
                Ok((out[0] - ipa) / GRANULE)
            }
        }
    }

    /// Unmaps a page; its granule stays DELEGATED. Returns the granule and where the next entry may be.
    pub fn unmap(self, rd: u64, ipa: u64) -> Check<(u64, u64)> {
        match self {
            Self::V1 => {
                let out = rmi::data_destroy(rd, ipa).ok("RMI_DATA_DESTROY")?;
                Ok((out[0], out[1]))
            }
            Self::V2 => {
                let answer = v2::data_unmap(rd, ipa, ipa + GRANULE, SINGLE, 0);
                let out = answer.ok("RMI_RTT_DATA_UNMAP")?;
                ensure_eq!(out[0], ipa + GRANULE, "out_top");
                let page = AddressRange::from_bits(out[1]);
                ensure_eq!(
                    out[1],
                    delegated(page.address(), 3, 1),
                    "out_range: one page"
                );
                Ok((page.address(), out[0]))
            }
        }
    }

    /// Maps memory of the Host: `desc` has address and attributes as a descriptor of 1.0.
    pub fn map_unprotected(self, rd: u64, ipa: u64, level: u64, desc: u64) -> Check {
        match self {
            Self::V1 => rmi::rtt_map_unprotected(rd, ipa, level, desc)
                .ok("RMI_RTT_MAP_UNPROTECTED")
                .map(drop),
            Self::V2 => {
                let top = ipa + entry_size(level);
                let from = undelegated(desc & !ATTRIBUTE_BITS, level, 1);
                let flags = unprotected_flags(desc);
                let out = v2::unprot_map(rd, ipa, top, flags, from).ok("RMI_RTT_UNPROT_MAP")?;
                ensure_eq!(out[0], top, "out_top");
                Ok(())
            }
        }
    }

    /// Unmaps memory of the Host.
    pub fn unmap_unprotected(self, rd: u64, ipa: u64, level: u64) -> Check {
        match self {
            Self::V1 => rmi::rtt_unmap_unprotected(rd, ipa, level)
                .ok("RMI_RTT_UNMAP_UNPROTECTED")
                .map(drop),
            Self::V2 => {
                let top = ipa + entry_size(level);
                let answer = v2::unprot_unmap(rd, ipa, top, 0, 0);
                ensure_eq!(answer.ok("RMI_RTT_UNPROT_UNMAP")?[0], top, "out_top");
                Ok(())
            }
        }
    }

    /// RMI_PSCI_COMPLETE, in 2.0 in the form without a target.
    pub fn psci_complete(self, calling: u64, target: u64, status: u64) -> Answer {
        match self {
            Self::V1 => rmi::psci_complete(calling, target, status),
            Self::V2 => v2::psci_complete(calling, status),
        }
    }
}

/// What a Host of 2.0 does before it uses Realms.
fn start_v2() -> Check {
    rmi::version(RMI_VERSION_2_0).ok("RMI_VERSION 2.0")?;
    if v2::rmm_state_get().ok("RMI_RMM_STATE_GET")?[0] == rmm_abi::rmi::v2::rmm_state::INIT {
        let page = pool::take_one()?;
        // All zero: granules of 4 KiB, tracking regions of 1 GiB.
        pool::write_bytes(page, RmmConfig::new_zeroed().as_bytes());
        let set = v2::config_set(page).ok("RMI_RMM_CONFIG_SET");
        pool::give(page, 1);
        set?;
        v2::rmm_activate().ok("RMI_RMM_ACTIVATE")?;
    }
    Ok(())
}

/// Calls a command on a range until all of it is done.
fn in_steps(base: u64, top: u64, what: &str, command: fn(u64, u64) -> Answer) -> Check {
    let mut next = base;
    while next < top {
        let out = command(next, top).ok(what)?[0];
        ensure!(
            out > next && out <= top,
            "{what} from {next:#x} to {top:#x}: {out:#x}"
        );
        next = out;
    }
    Ok(())
}

/// Runs a part of a test in a dialect, and then speaks 1.0 again.
pub fn during(dialect: Dialect, part: impl FnOnce() -> Check) -> Check {
    dialect.speak()?;
    let outcome = part();
    let back = Dialect::V1.speak();
    match (outcome, back) {
        (Err(Stop::Failed(why)), Err(Stop::Failed(then))) => fail!("{why}; then {then}"),
        (Ok(()), back) => back,
        (outcome, _) => outcome,
    }
}
