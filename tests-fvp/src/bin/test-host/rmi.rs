// SPDX-License-Identifier: BSD-3-Clause
//! RMI calls: those of 1.0, and in [`v2`] those that only 2.0 has. Each is checked against the calling
//! convention: SMCCC's preserved registers are unchanged, and result registers that the command does
//! not declare are zero.

pub mod v2;

use crate::check::{Check, fail};
use crate::console;
use crate::dialect;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::rmi::v2::{RMI_BUSY, RMI_ERROR_GLOBAL, RMI_ERROR_GPT, RMI_INCOMPLETE, fid as fid_2};
use rmm_abi::rmi::{self, fid};
use rmm_abi::smccc;
use tests_fvp::smc::{Registers, Ticks, marked_smc, timed_smc};

/// Number of the first function identifier, and how many there are.
const FIRST: u64 = 0xC400_0150;
const COUNT: usize = 0xD0;

/// Calls made, by function identifier.
static CALLS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
/// Ticks that the last call with each function identifier took.
static TICKS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
/// Number of the last call with each function identifier, from 1.
static NUMBERS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
/// Counter reading right before the last call, and right after it.
static CALLED: AtomicU64 = AtomicU64::new(0);
static RETURNED: AtomicU64 = AtomicU64::new(0);
/// Calls made so far, and ticks that all of them took.
static MADE: AtomicU64 = AtomicU64::new(0);
static SPENT: AtomicU64 = AtomicU64::new(0);
/// Ticks of the longest call but RMI_REC_ENTER.
static LONGEST: AtomicU64 = AtomicU64::new(0);
/// Number of the call that a profile is made of; 0 is none.
static MARKED: AtomicU64 = AtomicU64::new(0);
/// The first breach of the calling convention since the last check: FID and register.
static BREACH: AtomicU64 = AtomicU64::new(0);

/// What a command returned.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Status word, X0.
    pub status: u64,
    /// X1 to X4.
    pub out: [u64; 4],
}

impl Answer {
    /// RMI_SUCCESS.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn ok(self, what: &str) -> Check<[u64; 4]> {
        self.is(rmi::RMI_SUCCESS, what)
    }

    /// This status word.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn is(self, wanted: u64, what: &str) -> Check<[u64; 4]> {
        if self.status == wanted {
            Ok(self.out)
        } else {
            fail!("{what}: {}, wanted {}", name(self.status), name(wanted))
        }
    }

    /// RMI_ERROR_INPUT.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn input(self, what: &str) -> Check<[u64; 4]> {
        self.is(rmi::RMI_ERROR_INPUT, what)
    }

    /// RMI_ERROR_REALM with index 0.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn realm(self, what: &str) -> Check<[u64; 4]> {
        self.is(rmi::RMI_ERROR_REALM, what)
    }

    /// RMI_ERROR_REC.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn rec(self, what: &str) -> Check<[u64; 4]> {
        self.is(rmi::RMI_ERROR_REC, what)
    }

    /// RMI_ERROR_RTT at a level.
    ///
    /// # Errors
    ///
    /// Any other status.
    pub fn rtt(self, level: u64, what: &str) -> Check<[u64; 4]> {
        self.is(rmi::status(rmi::RMI_ERROR_RTT, level), what)
    }
}

/// Readable form of a status word.
pub fn name(status: u64) -> String {
    let index = rmi::status_index(status);
    match rmi::status_code(status) {
        _ if status > 0xFFFF => format!("X0 = {status:#x}"),
        rmi::RMI_SUCCESS => format!("RMI_SUCCESS({index})"),
        rmi::RMI_ERROR_INPUT => format!("RMI_ERROR_INPUT({index})"),
        rmi::RMI_ERROR_REALM => format!("RMI_ERROR_REALM({index})"),
        rmi::RMI_ERROR_REC => format!("RMI_ERROR_REC({index})"),
        rmi::RMI_ERROR_RTT => format!("RMI_ERROR_RTT({index})"),
        RMI_BUSY => format!("RMI_BUSY({index})"),
        RMI_ERROR_GLOBAL => format!("RMI_ERROR_GLOBAL({index})"),
        RMI_INCOMPLETE => format!("RMI_INCOMPLETE({index})"),
        RMI_ERROR_GPT => format!("RMI_ERROR_GPT({index})"),
        _ => format!("X0 = {status:#x}"),
    }
}

/// How many of X1 up a command declares as results.
fn results(fid: u64) -> usize {
    match fid {
        fid::RMI_VERSION | fid::RMI_DATA_DESTROY | fid::RMI_RTT_DESTROY => 2,
        fid::RMI_RTT_READ_ENTRY => 4,
        fid::RMI_FEATURES
        | fid::RMI_RTT_UNMAP_UNPROTECTED
        | fid::RMI_RTT_FOLD
        | fid::RMI_REC_AUX_COUNT
        | fid::RMI_RTT_INIT_RIPAS
        | fid::RMI_RTT_SET_RIPAS
        | fid_2::RMI_RMM_STATE_GET
        | fid_2::RMI_GRANULE_RANGE_DELEGATE
        | fid_2::RMI_GRANULE_RANGE_UNDELEGATE
        | fid_2::RMI_RTT_DATA_MAP
        | fid_2::RMI_RTT_UNPROT_MAP => 1,
        fid_2::RMI_GPT_INFO => 2,
        fid_2::RMI_GRANULE_TRACKING_GET
        | fid_2::RMI_RTT_DATA_UNMAP
        | fid_2::RMI_RTT_UNPROT_UNMAP => 3,
        _ => 0,
    }
}

/// Makes a call.
///
/// # Safety
///
/// No reference may exist to memory that the command delegates or writes.
pub unsafe fn call(fid: u64, arguments: &[u64]) -> Answer {
    let mut input: Registers = core::array::from_fn(|n| 0x5150_0000_0000_0000 + n as u64);
    input[0] = fid;
    input[1..=arguments.len()].copy_from_slice(arguments);
    let number = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    let marked = MARKED.load(Ordering::Relaxed) == number;
    let smc = if marked { marked_smc } else { timed_smc };
    // SAFETY: as the caller promises.
    let (output, ticks) = unsafe { smc(&input) };
    note(fid, number, ticks);
    let results = results(smccc::without_sve_hint(fid));
    let implemented = output[0] != rmi::SMCCC_NOT_SUPPORTED;
    for n in 1 + results..input.len() {
        // X1 to X3 are zero without a result there; SMCCC preserves X4 and up.
        let wanted = if n < 4 { 0 } else { input[n] };
        if implemented && output[n] != wanted {
            let breach = fid << 8 | n as u64;
            let _ = BREACH.compare_exchange(0, breach, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
    Answer {
        status: output[0],
        out: [output[1], output[2], output[3], output[4]],
    }
}

/// Counts a call, and keeps how long it took.
fn note(fid: u64, number: u64, ticks: Ticks) {
    let n = fid.wrapping_sub(FIRST) as usize;
    if let (Some(calls), Some(slot), Some(last)) = (CALLS.get(n), TICKS.get(n), NUMBERS.get(n)) {
        calls.fetch_add(1, Ordering::Relaxed);
        slot.store(ticks.passed(), Ordering::Relaxed);
        last.store(number, Ordering::Relaxed);
    }
    if fid != fid::RMI_REC_ENTER {
        LONGEST.fetch_max(ticks.passed(), Ordering::Relaxed);
    }
    SPENT.fetch_add(ticks.passed(), Ordering::Relaxed);
    CALLED.store(ticks.before, Ordering::Relaxed);
    RETURNED.store(ticks.after, Ordering::Relaxed);
    // The runner takes silence for a hang.
    console::sign_of_life(ticks.after, calls);
}

/// Ticks from right before the SMC of the last call with a function identifier until right after
/// it.
pub fn ticks(fid: u64) -> u64 {
    TICKS
        .get(fid.wrapping_sub(FIRST) as usize)
        .map_or(0, |ticks| ticks.load(Ordering::Relaxed))
}

/// Number of the last call with a function identifier; of the last call at all if there is none.
pub fn number(fid: u64) -> u64 {
    NUMBERS
        .get(fid.wrapping_sub(FIRST) as usize)
        .map_or_else(calls, |number| number.load(Ordering::Relaxed))
}

/// Marks a call for the profile, by its number.
pub fn mark(number: u64) {
    MARKED.store(number, Ordering::Relaxed);
}

/// Ticks of the longest call but RMI_REC_ENTER.
pub fn longest() -> u64 {
    LONGEST.load(Ordering::Relaxed)
}

/// Ticks that all calls so far took.
pub fn spent() -> u64 {
    SPENT.load(Ordering::Relaxed)
}

/// The counter right before the last call.
pub fn called() -> u64 {
    CALLED.load(Ordering::Relaxed)
}

/// The counter right after the last call.
pub fn returned() -> u64 {
    RETURNED.load(Ordering::Relaxed)
}

/// Checks that no call since the last check broke the calling convention.
///
/// # Errors
///
/// Which call, and at which register.
pub fn check_convention() -> Check {
    match BREACH.swap(0, Ordering::Relaxed) {
        0 => Ok(()),
        breach => fail!(
            "call {:#x}: X{} is neither preserved nor zero as it must be",
            breach >> 8,
            breach & 0xFF
        ),
    }
}

/// Calls made so far.
pub fn calls() -> u64 {
    MADE.load(Ordering::Relaxed)
}

/// Names of the commands that are called most.
const NAMES: &[(u64, &str)] = &[
    (fid::RMI_GRANULE_DELEGATE, "GRANULE_DELEGATE"),
    (fid::RMI_GRANULE_UNDELEGATE, "GRANULE_UNDELEGATE"),
    (fid_2::RMI_GRANULE_RANGE_DELEGATE, "GRANULE_RANGE_DELEGATE"),
    (
        fid_2::RMI_GRANULE_RANGE_UNDELEGATE,
        "GRANULE_RANGE_UNDELEGATE",
    ),
    (fid::RMI_DATA_CREATE, "DATA_CREATE"),
    (fid_2::RMI_RTT_DATA_MAP, "RTT_DATA_MAP"),
    (fid_2::RMI_RTT_DATA_UNMAP, "RTT_DATA_UNMAP"),
    (fid::RMI_DATA_CREATE_UNKNOWN, "DATA_CREATE_UNKNOWN"),
    (fid::RMI_DATA_DESTROY, "DATA_DESTROY"),
    (fid::RMI_REC_ENTER, "REC_ENTER"),
    (fid::RMI_RTT_CREATE, "RTT_CREATE"),
    (fid::RMI_RTT_DESTROY, "RTT_DESTROY"),
    (fid::RMI_RTT_FOLD, "RTT_FOLD"),
    (fid::RMI_RTT_INIT_RIPAS, "RTT_INIT_RIPAS"),
    (fid::RMI_RTT_SET_RIPAS, "RTT_SET_RIPAS"),
    (fid::RMI_RTT_MAP_UNPROTECTED, "RTT_MAP_UNPROTECTED"),
    (fid::RMI_RTT_UNMAP_UNPROTECTED, "RTT_UNMAP_UNPROTECTED"),
    (fid_2::RMI_RTT_UNPROT_MAP, "RTT_UNPROT_MAP"),
    (fid_2::RMI_RTT_UNPROT_UNMAP, "RTT_UNPROT_UNMAP"),
];

/// Calls made so far, by command.
pub fn calls_by_command() -> String {
    let mut text = String::new();
    let mut named = 0;
    for (fid, name) in NAMES {
        let count = CALLS
            .get(fid.wrapping_sub(FIRST) as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed));
        named += count;
        let name = match *fid {
            fid_2::RMI_RTT_DATA_MAP_INIT if dialect::is_v2() => "RTT_DATA_MAP_INIT",
            _ => name,
        };
        // A Host speaks one dialect: commands of the other are not called.
        if count != 0 {
            text += &format!("{count} {name}, ");
        }
    }
    text + &format!("{} others", calls() - named)
}

/// RMI_REC_ENTER of a Host that keeps no SVE state but Q0 to Q31 (the SVE hint of SMCCC).
pub fn rec_enter_without_sve(rec: u64, run: u64) -> Answer {
    // SAFETY: as for the commands below.
    unsafe { call(fid::RMI_REC_ENTER | smccc::SVE_HINT, &[rec, run]) }
}

/// Defines a safe function for each command: an address that the Host passes is in its granule pool,
/// to which no reference exists, or not in memory that the Host uses.
macro_rules! commands {
    ($fids:ident: $($(#[$meta:meta])* $function:ident = $fid:ident($($argument:ident),*);)+) => {
        $(
            $(#[$meta])*
            pub fn $function($($argument: u64),*) -> $crate::rmi::Answer {
                // SAFETY: references are never made to memory of the pool; the monitor refuses
                // or does not touch the rest.
                unsafe { $crate::rmi::call($fids::$fid, &[$($argument),*]) }
            }
        )+
    };
}
use commands;

commands! { fid:
    /// RMI_VERSION.
    version = RMI_VERSION(requested);
    /// RMI_FEATURES.
    features = RMI_FEATURES(index);
    /// RMI_GRANULE_DELEGATE.
    delegate = RMI_GRANULE_DELEGATE(address);
    /// RMI_GRANULE_UNDELEGATE.
    undelegate = RMI_GRANULE_UNDELEGATE(address);
    /// RMI_REALM_CREATE.
    realm_create = RMI_REALM_CREATE(rd, params);
    /// RMI_REALM_ACTIVATE.
    realm_activate = RMI_REALM_ACTIVATE(rd);
    /// RMI_REALM_DESTROY.
    realm_destroy = RMI_REALM_DESTROY(rd);
    /// RMI_REC_AUX_COUNT.
    rec_aux_count = RMI_REC_AUX_COUNT(rd);
    /// RMI_REC_CREATE.
    rec_create = RMI_REC_CREATE(rd, rec, params);
    /// RMI_REC_DESTROY.
    rec_destroy = RMI_REC_DESTROY(rec);
    /// RMI_REC_ENTER.
    rec_enter = RMI_REC_ENTER(rec, run);
    /// RMI_DATA_CREATE.
    data_create = RMI_DATA_CREATE(rd, data, ipa, src, flags);
    /// RMI_DATA_CREATE_UNKNOWN.
    data_create_unknown = RMI_DATA_CREATE_UNKNOWN(rd, data, ipa);
    /// RMI_DATA_DESTROY.
    data_destroy = RMI_DATA_DESTROY(rd, ipa);
    /// RMI_RTT_CREATE.
    rtt_create = RMI_RTT_CREATE(rd, rtt, ipa, level);
    /// RMI_RTT_DESTROY.
    rtt_destroy = RMI_RTT_DESTROY(rd, ipa, level);
    /// RMI_RTT_FOLD.
    rtt_fold = RMI_RTT_FOLD(rd, ipa, level);
    /// RMI_RTT_MAP_UNPROTECTED.
    rtt_map_unprotected = RMI_RTT_MAP_UNPROTECTED(rd, ipa, level, desc);
    /// RMI_RTT_UNMAP_UNPROTECTED.
    rtt_unmap_unprotected = RMI_RTT_UNMAP_UNPROTECTED(rd, ipa, level);
    /// RMI_RTT_READ_ENTRY.
    rtt_read_entry = RMI_RTT_READ_ENTRY(rd, ipa, level);
    /// RMI_RTT_INIT_RIPAS.
    rtt_init_ripas = RMI_RTT_INIT_RIPAS(rd, base, top);
    /// RMI_RTT_SET_RIPAS.
    rtt_set_ripas = RMI_RTT_SET_RIPAS(rd, rec, base, top);
    /// RMI_PSCI_COMPLETE.
    psci_complete = RMI_PSCI_COMPLETE(calling, target, status);
}
