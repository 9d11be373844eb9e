// SPDX-License-Identifier: BSD-3-Clause
//! The choice of the dialect, what is offered in 2.0, and the memory of the Host.

use super::in_v2;
use crate::check::{Check, Stop, ensure, ensure_eq};
use crate::dialect::{Dialect, during, needs_v2};
use crate::pool::{self, GRANULE};
use crate::realm::entry_size;
use crate::rmi::{self, v2};
use crate::tests::Test;
use crate::tests::exit::running;
use rmm_abi::rmi::v2::{
    FeatureRegister0, FeatureRegister1, RMI_ERROR_GLOBAL, RMI_ERROR_GPT, RMI_VERSION_2_0,
    fid as fid_2, rmm_state, tracking,
};
use rmm_abi::rmi::{RMI_ERROR_INPUT, RMI_VERSION_1_0, SMCCC_NOT_SUPPORTED, fid};
use rmm_abi::rsi;

pub const TESTS: &[Test] = &[
    ("v2.version", version),
    ("v2.life_cycle", life_cycle),
    ("v2.other_dialect", other_dialect),
    ("v2.features", features),
    ("v2.rsi_version", rsi_version),
    ("v2.tracking", tracking_of_memory),
    ("v2.ranges", ranges),
];

/// Both revisions are there, whatever the dialect.
fn version() -> Check {
    needs_v2()?;
    for dialect in [Dialect::V1, Dialect::V2] {
        during(dialect, || {
            for (requested, status, lower) in [
                (0, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0xFFFF, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0x1_0001, RMI_ERROR_INPUT, RMI_VERSION_1_0),
                (0x1_FFFF, RMI_ERROR_INPUT, RMI_VERSION_1_0),
                (0x2_0001, RMI_ERROR_INPUT, RMI_VERSION_2_0),
                (0x7FFF_FFFF, RMI_ERROR_INPUT, RMI_VERSION_2_0),
            ] {
                let out = rmi::version(requested).is(status, "RMI_VERSION")?;
                ensure_eq!(out[0], lower, "lower for {requested:#x}");
                ensure_eq!(out[1], RMI_VERSION_2_0, "higher for {requested:#x}");
            }
            // While something is delegated, success does not choose either.
            let granule = pool::take_delegated()?;
            for requested in [RMI_VERSION_2_0, RMI_VERSION_1_0] {
                let out = rmi::version(requested).ok("RMI_VERSION")?;
                ensure_eq!(out[0], requested, "lower");
                ensure_eq!(out[1], RMI_VERSION_2_0, "higher");
            }
            pool::give_delegated(granule)
        })?;
    }
    Ok(())
}

/// INIT, ACTIVE, and back; both ways between the dialects.
fn life_cycle() -> Check {
    needs_v2()?;
    let page = pool::take_one()?;
    let state = || Ok::<_, Stop>(v2::rmm_state_get().ok("RMI_RMM_STATE_GET")?[0]);
    for _ in 0..2 {
        rmi::version(RMI_VERSION_2_0).ok("RMI_VERSION 2.0")?;
        ensure_eq!(state()?, rmm_state::INIT, "state after RMI_VERSION");
        let early = v2::range_delegate(page, page + GRANULE);
        early.is(RMI_ERROR_GLOBAL, "delegation before RMI_RMM_ACTIVATE")?;
        v2::rmm_deactivate().is(RMI_ERROR_GLOBAL, "RMI_RMM_DEACTIVATE in INIT")?;
        pool::fill(page, 1, 0);
        pool::write(page + 8, 3);
        v2::config_set(page).input("granule size 3")?;
        pool::fill(page, 1, u64::MAX);
        pool::write(page, 0);
        pool::write(page + 8, 0);
        v2::config_set(page).ok("RMI_RMM_CONFIG_SET")?;
        v2::rmm_activate().ok("RMI_RMM_ACTIVATE")?;
        v2::rmm_activate().is(RMI_ERROR_GLOBAL, "second RMI_RMM_ACTIVATE")?;
        v2::config_set(page).is(RMI_ERROR_GLOBAL, "RMI_RMM_CONFIG_SET in ACTIVE")?;
        ensure_eq!(state()?, rmm_state::ACTIVE, "state");
        v2::config_get(page).ok("RMI_RMM_CONFIG_GET")?;
        for offset in (0..GRANULE).step_by(8) {
            ensure_eq!(pool::read(page + offset), 0, "configuration at {offset:#x}");
        }
        let out = v2::range_delegate(page, page + GRANULE).ok("delegation")?;
        ensure_eq!(out[0], page + GRANULE, "out_top");
        v2::rmm_deactivate().is(RMI_ERROR_GLOBAL, "RMI_RMM_DEACTIVATE with a granule")?;
        // The dialect stays, too.
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION 1.0")?;
        ensure_eq!(state()?, rmm_state::ACTIVE, "state with a granule");
        v2::range_undelegate(page, page + GRANULE).ok("undelegation")?;
        v2::rmm_deactivate().ok("RMI_RMM_DEACTIVATE")?;
        ensure_eq!(state()?, rmm_state::INIT, "state after RMI_RMM_DEACTIVATE");
        rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION 1.0")?;
        rmi::delegate(page).ok("RMI_GRANULE_DELEGATE")?;
        rmi::version(RMI_VERSION_2_0).ok("RMI_VERSION 2.0")?;
        rmi::undelegate(page).ok("RMI_GRANULE_UNDELEGATE in 1.0 still")?;
    }
    pool::give(page, 1);
    Ok(())
}

/// A command of one dialect does not exist in the other.
fn other_dialect() -> Check {
    needs_v2()?;
    let absent = |functions: &[u64]| {
        functions.iter().try_for_each(|function| {
            // SAFETY: the call does not exist.
            let answer = unsafe { rmi::call(*function, &[0]) };
            answer
                .is(SMCCC_NOT_SUPPORTED, &alloc::format!("{function:#x}"))
                .map(drop)
        })
    };
    let of_2 = [
        fid_2::RMI_RMM_STATE_GET,
        fid_2::RMI_RMM_DEACTIVATE,
        fid_2::RMI_GRANULE_TRACKING_GET,
        fid_2::RMI_GRANULE_RANGE_DELEGATE,
        fid_2::RMI_GRANULE_RANGE_UNDELEGATE,
        fid_2::RMI_GPT_INFO,
        fid_2::RMI_GPT_L1_CREATE,
        fid_2::RMI_REALM_TERMINATE,
        fid_2::RMI_RTT_DATA_MAP,
        fid_2::RMI_RTT_DATA_UNMAP,
        fid_2::RMI_RTT_UNPROT_MAP,
        fid_2::RMI_RTT_UNPROT_UNMAP,
        fid_2::RMI_OP_CONTINUE,
        fid_2::RMI_OP_CANCEL,
        fid_2::RMI_RMM_CONFIG_GET,
        fid_2::RMI_RMM_CONFIG_SET,
        fid_2::RMI_RMM_ACTIVATE,
    ];
    let of_1 = [
        fid::RMI_GRANULE_DELEGATE,
        fid::RMI_GRANULE_UNDELEGATE,
        fid::RMI_DATA_CREATE_UNKNOWN,
        fid::RMI_DATA_DESTROY,
        fid::RMI_RTT_MAP_UNPROTECTED,
        fid::RMI_RTT_UNMAP_UNPROTECTED,
        fid::RMI_REC_AUX_COUNT,
    ];
    during(Dialect::V1, || absent(&of_2))?;
    during(Dialect::V2, || {
        absent(&of_1)?;
        // No operation is open.
        v2::op_continue(1, 0).input("RMI_OP_CONTINUE")?;
        v2::op_cancel(1).input("RMI_OP_CANCEL").map(drop)
    })
}

/// What Linux looks for, and that nothing is offered that 2.0 of this monitor does not have.
fn features() -> Check {
    in_v2(|| {
        let [zero, one] = [0, 1].map(|index| rmi::features(index).ok("RMI_FEATURES"));
        let (zero, one) = (
            FeatureRegister0::from_bits(zero?[0]),
            FeatureRegister1::from_bits(one?[0]),
        );
        ensure!((32..=52).contains(&zero.s2sz()), "S2SZ {}", zero.s2sz());
        ensure!(!zero.sve(), "SVE, for which a REC has no room");
        ensure!(
            one.granule_4kb() && one.hash_sha_256() && one.hash_sha_384() && one.hash_sha_512(),
            "register 1: {:#x}",
            one.bits()
        );
        ensure!(one.max_recs_order() > 0, "no RECs");
        ensure_eq!(one.l0gptsz(), 0, "L0GPTSZ of 1 GiB");
        for index in [2, 3, 4, 5, u64::MAX] {
            let value = rmi::features(index).ok("RMI_FEATURES")?[0];
            ensure_eq!(value, 0, "register {index:#x}");
        }
        Ok(())
    })
}

/// A Realm of 2.0 has RSI 1.0 and 1.1.
fn rsi_version() -> Check {
    const V1_1: u64 = rsi::RSI_VERSION_1_0 + 1;
    in_v2(|| {
        let realm = running()?;
        let rec = &realm.recs[0];
        for (requested, status, lower) in [
            (rsi::RSI_VERSION_1_0, rsi::RSI_SUCCESS, rsi::RSI_VERSION_1_0),
            (V1_1, rsi::RSI_SUCCESS, V1_1),
            (0xFFFF, rsi::RSI_ERROR_INPUT, V1_1),
            (V1_1 + 1, rsi::RSI_ERROR_INPUT, V1_1),
            (0x2_0000, rsi::RSI_ERROR_INPUT, V1_1),
        ] {
            let values = rec.call(&[rsi::fid::RSI_VERSION, requested])?;
            ensure_eq!(values[0], status, "request of {requested:#x}");
            ensure_eq!(values[1], lower, "lower for {requested:#x}");
            ensure_eq!(values[2], V1_1, "higher for {requested:#x}");
        }
        realm.finish()
    })
}

/// What Linux asks at boot: all memory of the Host is tracked, and EL3 has made all tables.
fn tracking_of_memory() -> Check {
    in_v2(|| {
        let start = pool::take(1, GRANULE)?;
        let out = v2::tracking_get(start, start + GRANULE).ok("RMI_GRANULE_TRACKING_GET")?;
        ensure_eq!(out[0], tracking::CONVENTIONAL, "category");
        ensure_eq!(out[1], tracking::FINE, "state");
        ensure_eq!(out[2], start + GRANULE, "out_top");
        v2::tracking_get(start, start).input("empty range")?;
        v2::tracking_get(start + 8, start + GRANULE).input("unaligned")?;
        let gib = entry_size(1);
        let base = start & !(gib - 1);
        let out = v2::gpt_info(base, base + gib).ok("RMI_GPT_INFO")?;
        ensure_eq!(out[0], base + gib, "out_top");
        ensure_eq!(out[1], rmm_abi::rmi::v2::gpt::PLATFORM, "kind");
        v2::gpt_info(start | GRANULE, base + gib).input("unaligned")?;
        v2::gpt_l1_create(base).is(RMI_ERROR_GPT, "RMI_GPT_L1_CREATE")?;
        pool::give(start, 1);
        Ok(())
    })
}

/// A range ends where it must, and out_top says where.
fn ranges() -> Check {
    const COUNT: u64 = 700;
    in_v2(|| {
        let base = pool::take(COUNT, GRANULE)?;
        let top = base + COUNT * GRANULE;
        let middle = base + 10 * GRANULE;
        v2::range_delegate(base, base).input("empty range")?;
        v2::range_delegate(base + 1, top).input("unaligned base")?;
        v2::range_delegate(base, top - 1).input("unaligned top")?;
        let out = v2::range_delegate(middle, middle + GRANULE).ok("one granule")?;
        ensure_eq!(out[0], middle + GRANULE, "out_top of one granule");
        // Up to the one that is DELEGATED already.
        let out = v2::range_delegate(base, top).ok("up to a delegated granule")?;
        ensure_eq!(out[0], middle, "out_top before a delegated granule");
        v2::range_delegate(middle, top).input("a delegated granule first")?;
        Dialect::V2.delegate(middle + GRANULE, COUNT - 11)?;
        for n in [0, 9, 10, 11, COUNT - 1] {
            pool::check_protected(base + n * GRANULE)?;
        }
        // Granules that are the Host's already are passed over.
        v2::range_undelegate(middle, middle + GRANULE).ok("one granule")?;
        Dialect::V2.undelegate(base, COUNT)?;
        for n in 0..COUNT {
            pool::check_zero(base + n * GRANULE)?;
        }
        pool::give(base, COUNT);
        Ok(())
    })
}
