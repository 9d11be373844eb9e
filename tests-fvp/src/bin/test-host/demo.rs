// SPDX-License-Identifier: BSD-3-Clause
//! The demonstration: the life of a Realm with two RECs on two CPUs, in a few lines.

use crate::check::{Check, ensure, ensure_eq, fail};
use crate::console::line;
use crate::realm::{Config, IMAGE, Realm};
use crate::rec::{Rec, Step, describe, enter, enter_with, exits};
use crate::tests::{Test, needs};
use crate::{cpus, pool, rmi};

use rmm_abi::psci::{self, fid};
use rmm_abi::rmi::{FeatureRegister0, RMI_VERSION_1_0, RecEnterFlags, RecExit, RecExitReason};
use spin::Mutex;
use tests_fvp::protocol::{DEMO_DEVICE, DEMO_READS, DEMO_WRITES, MODE_DEMO};

/// The demonstration as a test.
pub const TESTS: &[Test] = &[("demo.life", || needs::second_cpu().and_then(|()| life()))];

/// The outcome on the second CPU.
static SECOND: Mutex<Option<Check>> = Mutex::new(None);

/// Runs the demonstration and prints its outcome.
pub fn run() {
    match life() {
        Ok(()) => line!("host: run complete"),
        Err(why) => line!("host: FAILED: {why}"),
    }
}

fn life() -> Check {
    let version = rmi::version(RMI_VERSION_1_0).ok("RMI_VERSION")?[1];
    let features = FeatureRegister0::from_bits(rmi::features(0).ok("RMI_FEATURES")?[0]);
    line!(
        "host: the monitor speaks RMI {}.{}: IPAs of {} bits, {}{}{}up to {} RECs",
        version >> 16,
        version & 0xFFFF,
        features.s2sz(),
        if features.lpa2() { "LPA2, " } else { "" },
        if features.sve_en() { "SVE, " } else { "" },
        if features.pmu_en() { "PMU, " } else { "" },
        (1u64 << features.max_recs_order()) - 1
    );

    let mut config = Config::default();
    let name = b"a test Realm";
    config.rpv = [0; 64];
    config.rpv[..name.len()].copy_from_slice(name);
    let realm = Realm::running(&config, 2, MODE_DEMO)?;
    let given = pool::in_use();
    pool::check_protected(realm.rd)?;
    line!(
        "host: Realm of {} KiB of code created and active, {} granules delegated",
        IMAGE.len() / 1024,
        given - 2
    );

    let first = first_rec(&realm);
    cpus::second().finish()?;
    let second = SECOND.lock().take();
    first?;
    second.ok_or("REC 1 has not run")??;

    let rec = realm.recs.first().ok_or("no REC")?;
    let answer = rec.try_enter(&enter());
    answer.is(0x102, "RMI_REC_ENTER after PSCI_SYSTEM_OFF")?;
    realm.finish()?;
    ensure_eq!(pool::in_use(), 0, "granules not given back");
    line!("host: Realm destroyed; every granule is back, readable and zero");
    line!(
        "host: {} RMI calls; exits: {} host call, {} sync, {} PSCI, {} IRQ",
        rmi::calls(),
        exits(RecExitReason::HostCall),
        exits(RecExitReason::Sync),
        exits(RecExitReason::Psci),
        exits(RecExitReason::Irq)
    );
    rmi::check_convention()
}

/// REC 0, on this CPU, until it switches the Realm off.
fn first_rec(realm: &Realm) -> Check {
    let [rec, other] = &realm.recs[..] else {
        fail!("not two RECs")
    };
    let mut with = enter();
    loop {
        let exit = match rec.step(&with)? {
            Step::Exit(exit) => exit,
            Step::Done(_) => fail!("REC 0 wants a command"),
        };
        with = enter();
        match (RecExitReason::try_from(exit.exit_reason), exit.gprs[0]) {
            (Ok(RecExitReason::Sync), _) => with = device(realm, &exit)?,
            (Ok(RecExitReason::Irq), _) => {}
            (Ok(RecExitReason::Psci), fid::PSCI_CPU_ON) => {
                ensure_eq!(exit.gprs[1], 1, "target of PSCI_CPU_ON");
                let completed = rmi::psci_complete(rec.pa, other.pa, psci::SUCCESS);
                completed.ok("RMI_PSCI_COMPLETE")?;
                let other = other.clone();
                cpus::second().start(move || *SECOND.lock() = Some(second_rec(&other)))?;
                line!("host: PSCI_CPU_ON: REC 1 runs on the second CPU");
            }
            (Ok(RecExitReason::Psci), fid::PSCI_SYSTEM_OFF) => {
                line!("host: PSCI_SYSTEM_OFF");
                return Ok(());
            }
            _ => fail!("REC 0: {}", describe(&exit)),
        }
    }
}

/// REC 1, on the second CPU, until it switches itself off.
fn second_rec(rec: &Rec) -> Check {
    loop {
        match rec.step(&enter())? {
            Step::Exit(exit) if exit.exit_reason == RecExitReason::Irq as u8 => {}
            Step::Exit(exit) if exit.gprs[0] == fid::PSCI_CPU_OFF => {
                line!("host: PSCI_CPU_OFF of REC 1");
                return Ok(());
            }
            Step::Exit(exit) => fail!("REC 1: {}", describe(&exit)),
            Step::Done(_) => fail!("REC 1 wants a command"),
        }
    }
}

/// The device at [`DEMO_DEVICE`]. Returns the entry that completes the access.
fn device(realm: &Realm, exit: &RecExit) -> Check<rmm_abi::rmi::RecEnter> {
    let address = (exit.hpfar >> 4 << 12) + exit.far % pool::GRANULE;
    let wanted = realm.config.unprotected() + DEMO_DEVICE;
    ensure!(address == wanted, "{}", describe(exit));
    let mut with = enter_with(RecEnterFlags::EMUL_MMIO);
    // WnR
    if exit.esr & 1 << 6 != 0 {
        ensure_eq!(exit.gprs[0], DEMO_WRITES, "value written to the device");
        line!("host: emulated a write of {DEMO_WRITES:#x} to IPA {address:#x}");
    } else {
        with.gprs[0] = DEMO_READS;
        line!("host: emulated a read of IPA {address:#x}");
    }
    Ok(with)
}
