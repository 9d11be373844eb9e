// SPDX-License-Identifier: BSD-3-Clause
//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE.

use super::samples::{Kind, Samples};
use super::{Test, needs};
use crate::arch::{is_gpf, try_read};
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::pool::{self, GRANULE};
use crate::{board, cpus, rmi};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use rmm_abi::rmi::{RMI_ERROR_INPUT, RMI_SUCCESS};

pub const TESTS: &[Test] = &[
    ("granule.delegate", delegate),
    ("granule.row", row),
    ("granule.twice", twice),
    ("granule.delegate_wrong", delegate_wrong),
    ("granule.undelegate_wrong", undelegate_wrong),
    ("granule.no_memory", no_memory),
    ("granule.monitor", monitor),
    ("granule.bank_ends", bank_ends),
    ("granule.contended", contended),
    ("granule.two_cpus", two_cpus),
];

// Conformance: RMI_GRANULE_DELEGATE state, wiped
fn delegate() -> Check {
    let granule = pool::take_one()?;
    rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
    pool::check_protected(granule)?;
    // `give_delegated_row` checks that the granules are zero, not the Host's mark.
    pool::give_delegated(granule)
}

fn row() -> Check {
    let count = 300;
    let base = pool::take_delegated_row(count, GRANULE)?;
    for n in 0..count {
        pool::check_protected(base + n * GRANULE)?;
    }
    // Their order does not matter.
    for n in (0..count).step_by(2).chain((1..count).step_by(2)) {
        pool::give_delegated(base + n * GRANULE)?;
    }
    Ok(())
}

// Conformance: RMI_GRANULE_DELEGATE gran_state
// Conformance: RMI_GRANULE_UNDELEGATE gran_state, state
fn twice() -> Check {
    let granule = pool::take_one()?;
    for _ in 0..3 {
        rmi::undelegate(granule).input("undelegate of an undelegated granule")?;
        pool::check_untouched(granule)?;
        rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        rmi::delegate(granule).input("second delegate")?;
        pool::check_protected(granule)?;
        rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
        pool::check_zero(granule)?;
        rmi::undelegate(granule).input("second undelegate")?;
        pool::fill(granule, 1, 0x4057_4057_4057_4057);
    }
    pool::give(granule, 1);
    Ok(())
}

// Conformance: RMI_GRANULE_DELEGATE gran_align, gran_bound, gran_state
fn delegate_wrong() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Undelegated]) {
        let what = alloc::format!("delegate of {kind:?} {address:#x}");
        rmi::delegate(address).input(&what)?;
    }
    samples.finish()
}

// Conformance: RMI_GRANULE_UNDELEGATE gran_align, gran_bound, gran_state
fn undelegate_wrong() -> Check {
    let samples = Samples::new()?;
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        let what = alloc::format!("undelegate of {kind:?} {address:#x}");
        rmi::undelegate(address).input(&what)?;
    }
    // The objects are still what they were.
    for address in [samples.realm.rd, samples.realm.rtt_base] {
        pool::check_protected(address)?;
    }
    samples.finish()
}

/// The bank that EL3 reports may be larger than the memory that is there.
// Conformance: RMI_GRANULE_DELEGATE gran_bound
fn no_memory() -> Check {
    let address = needs::address_without_memory()?;
    for address in [address, address + 0x1F_F000, board::bank().end - GRANULE] {
        for _ in 0..2 {
            rmi::delegate(address).input("delegate without memory")?;
            rmi::undelegate(address).input("undelegate without memory")?;
            match try_read(address) {
                Ok(value) => fail!("memory at {address:#x}: {value:#x}"),
                Err(esr) => ensure!(!is_gpf(esr), "{address:#x} is not Non-secure any more"),
            }
        }
    }
    delegate()
}

// Conformance: RMI_GRANULE_DELEGATE gran_bound
fn monitor() -> Check {
    let mut address = board::MONITOR.start;
    while address < board::MONITOR.end {
        rmi::delegate(address).input("delegate of the monitor's memory")?;
        rmi::undelegate(address).input("undelegate of the monitor's memory")?;
        address += 37 * GRANULE;
    }
    for address in [board::MONITOR.start, board::MONITOR.end - GRANULE] {
        match try_read(address) {
            Ok(value) => fail!("the monitor's memory {address:#x} can be read: {value:#x}"),
            Err(esr) => ensure!(is_gpf(esr), "read of {address:#x}: esr {esr:#x}"),
        }
    }
    Ok(())
}

/// The granules next to what may not be delegated.
// Conformance: RMI_GRANULE_DELEGATE gran_bound
fn bank_ends() -> Check {
    rmi::delegate(board::bank().start - GRANULE).input("below the bank")?;
    rmi::delegate(board::bank().end).input("behind the bank")?;
    if board::bank().contains(&board::MONITOR.end) {
        // Behind the monitor's memory.
        let address = board::MONITOR.end;
        rmi::delegate(address).ok("delegate behind the monitor")?;
        rmi::undelegate(address).ok("undelegate behind the monitor")?;
    }
    Ok(())
}

/// Both CPUs delegate and undelegate the same granules: each change has one winner.
fn contended() -> Check {
    needs::second_cpu()?;
    const GRANULES: u64 = 4;
    const ROUNDS: u64 = 400;
    let base = pool::take(GRANULES, GRANULE)?;
    let balance: Arc<[AtomicI64; 4]> = Arc::default();
    let wrong = Arc::new(AtomicU64::new(0));
    let work = move |balance: &[AtomicI64; 4], wrong: &AtomicU64, stride: u64| {
        for round in 0..ROUNDS {
            let n = round * stride % GRANULES;
            let (answer, change) = if round % 2 == 0 {
                (rmi::delegate(base + n * GRANULE).status, 1)
            } else {
                (rmi::undelegate(base + n * GRANULE).status, -1)
            };
            match answer {
                RMI_SUCCESS => {
                    balance[n as usize].fetch_add(change, Ordering::Relaxed);
                }
                RMI_ERROR_INPUT => {}
                other => wrong.store(other, Ordering::Relaxed),
            }
        }
    };
    let (second_balance, second_wrong) = (balance.clone(), wrong.clone());
    cpus::second().start(move || work(&second_balance, &second_wrong, 3))?;
    work(&balance, &wrong, 1);
    cpus::second().finish()?;
    ensure_eq!(wrong.load(Ordering::Relaxed), 0, "status");
    for (n, balance) in (0..).zip(balance.iter()) {
        let granule = base + n * GRANULE;
        match balance.load(Ordering::Relaxed) {
            0 => rmi::undelegate(granule).input("state after the race")?,
            1 => rmi::undelegate(granule).ok("state after the race")?,
            other => fail!("granule {n} was delegated {other} times more than undelegated"),
        };
        if try_read(granule).is_err() {
            fail!("granule {n} cannot be read after the race");
        }
    }
    pool::give(base, GRANULES);
    Ok(())
}

/// Each CPU delegates and undelegates granules of its own.
fn two_cpus() -> Check {
    needs::second_cpu()?;
    const GRANULES: u64 = 200;
    let mine = pool::take(GRANULES, GRANULE)?;
    let second = pool::take(GRANULES, GRANULE)?;
    let failures = Arc::new(AtomicU64::new(0));
    let work = move |base: u64, failures: &AtomicU64| {
        for granule in (base..base + GRANULES * GRANULE).step_by(GRANULE as usize) {
            let ok = rmi::delegate(granule).status == RMI_SUCCESS
                && pool::check_protected(granule).is_ok()
                && rmi::undelegate(granule).status == RMI_SUCCESS
                && pool::check_zero(granule).is_ok();
            failures.fetch_add(u64::from(!ok), Ordering::Relaxed);
        }
    };
    let second_failures = failures.clone();
    cpus::second().start(move || work(second, &second_failures))?;
    work(mine, &failures);
    cpus::second().finish()?;
    ensure_eq!(failures.load(Ordering::Relaxed), 0, "failures");
    pool::give(mine, GRANULES);
    pool::give(second, GRANULES);
    Ok(())
}
