// SPDX-License-Identifier: BSD-3-Clause
//! What a test needs of the machine and of the monitor. A test asks before it begins; what is
//! missing skips it.

use crate::arch::{mrs, try_read};
use crate::check::{Check, skip};
use crate::{arch, board, cpus, params, rmi};
use alloc::string::String;
use rmm_abi::rmi::FeatureRegister0;
use spin::Mutex;

/// What the test that runs has left out.
static LEFT_OUT: Mutex<Option<&'static str>> = Mutex::new(None);

/// Notes that a part of the test cannot be done here; the rest of it goes on.
pub fn leave_out(what: &'static str) {
    LEFT_OUT.lock().get_or_insert(what);
}

/// What the test that has just run left out.
pub fn left_out() -> Option<String> {
    LEFT_OUT.lock().take().map(String::from)
}

/// RMI feature register 0.
pub fn features() -> Check<FeatureRegister0> {
    let answer = rmi::features(0).ok("RMI_FEATURES")?;
    Ok(FeatureRegister0::from_bits(answer[0]))
}

/// A second CPU.
pub fn second_cpu() -> Check {
    if !cpus::second().exists() {
        skip!("the machine has one CPU");
    }
    Ok(())
}

/// As many CPUs, the first included.
pub fn cpus(count: usize) -> Check {
    let found = cpus::count();
    if found < count {
        skip!("the machine has fewer than {count} CPUs: {found}");
    }
    Ok(())
}

/// LPA2 for Realms.
pub fn lpa2() -> Check<FeatureRegister0> {
    let features = features()?;
    if !features.lpa2() {
        skip!("the monitor does not offer LPA2");
    }
    Ok(features)
}

/// SVE for Realms.
pub fn sve() -> Check<FeatureRegister0> {
    let features = features()?;
    if !features.sve_en() {
        skip!("the monitor does not offer SVE");
    }
    Ok(features)
}

/// A PMU for Realms.
pub fn pmu() -> Check<FeatureRegister0> {
    let features = features()?;
    if !features.pmu_en() {
        skip!("the monitor does not offer a PMU");
    }
    Ok(features)
}

/// SVE of the CPU, for the Host.
pub fn host_sve() -> Check {
    // ID_AA64PFR0_EL1.SVE
    if mrs!("id_aa64pfr0_el1") >> 32 & 0xF == 0 {
        skip!("the CPU has no SVE");
    }
    if !arch::is_sve_open() {
        skip!("EL3 keeps SVE closed to the Normal world");
    }
    Ok(())
}

/// Pointer authentication of the CPU.
pub fn pauth() -> Check {
    // ID_AA64ISAR1_EL1.{API, APA} and ID_AA64ISAR2_EL1.APA3
    if mrs!("id_aa64isar1_el1") & 0xFF0 == 0 && mrs!("s3_0_c0_c6_2") & 0xF000 == 0 {
        skip!("the CPU has no pointer authentication");
    }
    Ok(())
}

/// A CPU that checks the alignment of accesses to Device memory. QEMU does not with one CPU.
pub fn device_alignment() -> Check {
    const ALIGNMENT: u64 = 0x21;
    // GICR_TYPER, which can be read without effect.
    match try_read(board::GICR + 8 + 1) {
        Err(esr) if esr & 0x3F == ALIGNMENT => Ok(()),
        _ => skip!("the CPU does not check the alignment of accesses to Device memory"),
    }
}

/// An address in the bank that EL3 reports, but without memory behind it.
pub fn address_without_memory() -> Check<u64> {
    let Some(address) = without_memory() else {
        skip!("the whole bank has memory");
    };
    Ok(address)
}

/// As [`address_without_memory`], for a part of a test.
pub fn part_without_memory() -> Option<u64> {
    let address = without_memory();
    if address.is_none() {
        leave_out("an address without memory: the whole bank has some");
    }
    address
}

fn without_memory() -> Option<u64> {
    let bank = board::bank();
    let end = bank.start + params::get().memory;
    (end + (1 << 20) < bank.end).then_some(end + (1 << 20))
}
