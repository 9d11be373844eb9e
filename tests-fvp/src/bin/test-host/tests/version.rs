// SPDX-License-Identifier: BSD-3-Clause
//! RMI_VERSION, and what holds for calls of any kind.

use super::Test;
use crate::check::{Check, ensure, ensure_eq};
use crate::realm::{Config, Realm};
use crate::{pool, rmi};
use alloc::format;
use rmm_abi::rmi::{RMI_ERROR_INPUT, RMI_VERSION_1_0, SMCCC_NOT_SUPPORTED, fid};

pub const TESTS: &[Test] = &[
    ("version.1_0", supported),
    ("version.others", unsupported),
    ("version.unknown_calls", unknown_calls),
    ("version.sve_hint", sve_hint),
    ("version.unused_inputs", unused_inputs),
];

// Conformance: RMI_VERSION supported
fn supported() -> Check {
    let out = rmi::version(RMI_VERSION_1_0).ok("request of 1.0")?;
    ensure_eq!(out[0], RMI_VERSION_1_0, "lower");
    ensure!(out[1] >= RMI_VERSION_1_0, "higher: {:#x}", out[1]);
    ensure_eq!(out[1] & !0x7FFF_FFFF, 0, "reserved bits of higher");
    Ok(())
}

// Conformance: RMI_VERSION unsupported
fn unsupported() -> Check {
    let highest = rmi::version(RMI_VERSION_1_0).ok("request of 1.0")?[1];
    // All supported revisions are greater, or none is.
    for requested in [0, 1, 0xFFFF, 0x7FFF_FFFF, 0x7FFF_0000] {
        let answer = rmi::version(requested);
        ensure_eq!(answer.status, RMI_ERROR_INPUT, "status for {requested:#x}");
        ensure_eq!(answer.out[1], highest, "higher for {requested:#x}");
        ensure_eq!(answer.out[0], highest, "lower for {requested:#x}");
    }
    Ok(())
}

// Conformance: RMI calls unknown
fn unknown_calls() -> Check {
    let unassigned = [
        0xC400_0156,
        0xC400_0160,
        0xC400_0163,
        0xC400_016A,
        0xC400_018E,
    ];
    // The SMC32 form of RMI_VERSION, RSI_VERSION.
    for fid in unassigned.into_iter().chain([0x8400_0150, 0xC400_0190]) {
        // SAFETY: the call does not exist.
        let answer = unsafe { rmi::call(fid, &[RMI_VERSION_1_0]) };
        ensure_eq!(answer.status, SMCCC_NOT_SUPPORTED, "status of {fid:#x}");
    }
    Ok(())
}

// Conformance: RMI calls sve_hint
fn sve_hint() -> Check {
    // SAFETY: RMI_VERSION touches no memory.
    let answer = unsafe { rmi::call(0xC401_0150, &[RMI_VERSION_1_0]) };
    ensure_eq!(answer.status, 0, "RMI_VERSION with the SVE hint");
    ensure_eq!(answer.out[0], RMI_VERSION_1_0, "lower");
    Ok(())
}

/// Registers behind the inputs have no effect.
// Conformance: RMI calls unused_inputs
fn unused_inputs() -> Check {
    let realm = Realm::new(&Config::default())?;
    let granule = pool::take_one()?;
    let register_0 = rmi::features(0).ok("RMI_FEATURES")?[0];
    for junk in [0, 1, realm.rd, granule, granule + 1, 1 << 63, u64::MAX] {
        let call = |fid: u64, inputs: &[u64]| {
            let mut x = [junk; 17];
            x[..inputs.len()].copy_from_slice(inputs);
            // SAFETY: the commands take no memory but the granule, which nothing refers to.
            let answer = unsafe { rmi::call(fid, &x) };
            answer.ok(&format!("{fid:#x} with {junk:#x} behind its inputs"))
        };
        let out = call(fid::RMI_VERSION, &[RMI_VERSION_1_0])?;
        ensure_eq!(out[0], RMI_VERSION_1_0, "lower");
        let out = call(fid::RMI_FEATURES, &[0])?;
        ensure_eq!(out[0], register_0, "register 0");
        call(fid::RMI_GRANULE_DELEGATE, &[granule])?;
        call(fid::RMI_GRANULE_UNDELEGATE, &[granule])?;
        call(fid::RMI_REC_AUX_COUNT, &[realm.rd])?;
        let out = call(fid::RMI_RTT_READ_ENTRY, &[realm.rd, 0, 0])?;
        ensure!(out == [0; 4], "entry {out:x?}");
    }
    pool::give(granule, 1);
    realm.finish()
}
