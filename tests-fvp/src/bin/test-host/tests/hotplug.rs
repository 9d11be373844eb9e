// SPDX-License-Identifier: BSD-3-Clause
//! A CPU of the Host that goes off and on again. The monitor boots warm on it; a REC that ran there continues
//! there or on the other CPU.
//!
//! QEMU neither resets a CPU that goes off nor loses its memory: only hardware shows state that the monitor
//! expects to find in registers after the boot.

use super::debug::{allow, breaks, set_breakpoint};
use super::instruct::Register;
use super::migrate::{PAIRS, check_fired, check_timers, set_timers};
use super::smp::{PAGE, on_second, result, two_with};
use super::spin::{SharedPage, until_irq};
use super::vgic::{acknowledge, end, intid, open, pending, state};
use super::{Test, needs};
use crate::arch::{self, ticks};
use crate::check::{Check, ensure, ensure_eq};
use crate::cpus;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm};
use crate::rec::{Rec, Step, command, describe};
use rmm_abi::rmi::{RealmFlags, RecExitReason};
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, SysReg, pattern};

pub const TESTS: &[Test] = &[
    ("hotplug.state", state_of_rec),
    ("hotplug.timer_fires", timer_fires),
    ("hotplug.interrupt", interrupt),
    ("hotplug.destroyed", destroyed),
];

/// Switches the second CPU off, and does something meanwhile.
fn off_during(work: impl FnOnce() -> Check) -> Check {
    cpus::second().switch_off()?;
    let outcome = work();
    cpus::second().wait_off()?;
    outcome
}

/// Switches the second CPU on, and does something meanwhile.
fn on_during(work: impl FnOnce() -> Check) -> Check {
    cpus::second().switch_on()?;
    work()
}

fn off() -> Check {
    off_during(|| Ok(()))
}

/// What the monitor lends to a REC, as much of it as it offers here.
#[derive(Clone, Copy)]
struct Lent {
    sve: bool,
    pmu: bool,
}

impl Lent {
    /// What is offered, and a Realm's configuration with that.
    fn offered() -> Check<(Self, Config)> {
        let features = needs::features()?;
        let lent = Self {
            sve: features.sve_en(),
            pmu: features.pmu_en(),
        };
        let mut config = Config::default();
        if lent.sve {
            config.flags |= RealmFlags::SVE.bits();
            config.sve_vl = features.sve_vl() as u8;
        }
        if lent.pmu {
            config.flags |= RealmFlags::PMU.bits();
            config.pmu_num_ctrs = 1;
        }
        Ok((lent, config))
    }

    /// Once for each REC, before the other functions.
    fn prepare(self, rec: &Rec) -> Check {
        if self.sve {
            // ZCR_EL1: the longest vectors.
            rec.value_of(Op::Msr, &[SysReg::Zcr as u64, 0xF])?;
        }
        set_breakpoint(rec, 0)?;
        allow(rec)
    }

    /// Registers of the PMU, which counts nothing, and what they hold.
    fn counters(seed: u64) -> [(Register, u64); 3] {
        [
            // PMCCNTR_EL0, PMEVCNTR0_EL0, PMCNTENSET_EL0.
            (Register(3, 3, 9, 13, 0), pattern(seed, 0)),
            (Register(3, 3, 14, 8, 0), pattern(seed, 1) & 0xFFFF_FFFF),
            (Register(3, 3, 9, 12, 1), 1 << 31),
        ]
    }

    /// Fills registers of a REC with the pattern of a seed.
    fn set(self, rec: &Rec, seed: u64) -> Check {
        rec.value_of(Op::SysSet, &[seed])?;
        set_timers(rec, seed)?;
        if self.pmu {
            for (register, value) in Self::counters(seed) {
                register.write(rec, value)?;
            }
        }
        let vectors = if self.sve { Op::SveSet } else { Op::FpSet };
        rec.value_of(vectors, &[seed]).map(drop)
    }

    /// Checks that they hold it, and that the breakpoint fires.
    fn check(self, rec: &Rec, seed: u64, what: &str) -> Check {
        let vectors = if self.sve { Op::SveCheck } else { Op::FpCheck };
        let different = rec.value_of(vectors, &[seed])?;
        ensure_eq!(different, 0, "{what}: vector registers");
        let different = rec.value_of(Op::SysCheck, &[seed])?;
        ensure_eq!(different, 0, "{what}: registers of EL1");
        if self.pmu {
            for (register, value) in Self::counters(seed) {
                ensure_eq!(register.read(rec)?, value, "{what}: {register:?}");
            }
        }
        check_timers(rec, seed, what)?;
        breaks(rec, what)?;
        // The exception has changed ESR_EL1 and others.
        rec.value_of(Op::SysSet, &[seed]).map(drop)
    }
}

/// The seed of the second REC; the REC that moves uses smaller ones.
const SECOND: u64 = 200;

/// A REC keeps what it has in registers when its CPU goes off, whether it continues on the other CPU or on
/// the same after that has come back. Another REC of the Realm runs on the first CPU all the time.
// Conformance: Exceptions and accesses that do not exit simd, sve, pmu, breakpoints, timers
fn state_of_rec() -> Check {
    needs::second_cpu()?;
    let (lent, config) = Lent::offered()?;
    let realm = two_with(&config)?;
    let (first, second) = (&realm.recs[0], &realm.recs[1]);
    lent.prepare(first)?;
    lent.prepare(second)?;
    lent.set(second, SECOND)?;
    first.store(PAGE, 1)?;
    // For some time on this CPU, with what the REC had before.
    let second_runs = || {
        let word = second.value_of(Op::Spin, &[PAGE, 1, ticks(3), 0])?;
        ensure_eq!(word, 1, "word that the second REC reads");
        lent.check(second, SECOND, "the second REC")
    };
    for seed in [10, 20, 30] {
        let there = on_second(first, move |rec| lent.set(rec, seed))?;
        second_runs()?;
        result(&there)??;
        off_during(second_runs)?;
        // The CPU that was left is off: the REC runs here.
        lent.check(first, seed, "here")?;
        lent.set(first, seed + 1)?;
        second_runs()?;
        on_during(second_runs)?;
        let there = on_second(first, move |rec| {
            lent.check(rec, seed + 1, "there again")?;
            lent.set(rec, seed + 2)
        })?;
        second_runs()?;
        result(&there)??;
        // Off and on, and nothing of this REC in between.
        off_during(second_runs)?;
        on_during(second_runs)?;
        let there = on_second(first, move |rec| lent.check(rec, seed + 2, "there at once"))?;
        second_runs()?;
        result(&there)??;
    }
    lent.check(first, 32, "here at the end")?;
    realm.finish()
}

/// A timer of a REC that is set on a CPU which then goes off ends the run on the other CPU, or on the same
/// when it is back.
// Conformance: Exceptions and accesses that do not exit timers
fn timer_fires() -> Check {
    needs::second_cpu()?;
    let mut realm = super::exit::running()?;
    let page = SharedPage::new(&mut realm)?;
    let rec = &realm.recs[0];
    for comes_back in [false, true] {
        for (control, compare) in PAIRS {
            let there = on_second(rec, move |rec| {
                let deadline = arch::now() + ticks(30);
                rec.value_of(Op::Msr, &[compare as u64, deadline])?;
                let step = rec.step(&command(Op::Msr, &[control as u64, 1]));
                step.map(|step| (deadline, step))
            })?;
            let (deadline, step) = result(&there)??;
            off()?;
            let exit = match step {
                // On a slow machine the timer fires before the CPU is off.
                Step::Exit(exit) => exit,
                Step::Done(_) if comes_back => {
                    let spin = page.spin();
                    result(&on_second(rec, move |rec| until_irq(rec, &spin))?)??
                }
                Step::Done(_) => until_irq(rec, &page.spin())?,
            };
            check_fired(rec, &page, (control, compare), deadline, &exit)?;
        }
    }
    page.finish()?;
    realm.finish()
}

/// A virtual interrupt that is pending when the CPU goes off is acknowledged when it is back, and one that
/// is active then is ended on the other CPU.
fn interrupt() -> Check {
    const INTID: u64 = 40;
    needs::second_cpu()?;
    let realm = super::exit::running()?;
    let rec = &realm.recs[0];
    for _ in 0..2 {
        let there = on_second(rec, |rec| {
            open(rec, 0xF8)?;
            let mut entry = command(Op::Nop, &[]);
            entry.gicv3_lrs[0] = pending(INTID, 0x80);
            rec.enter(&entry)
        })?;
        let exit = result(&there)??;
        ensure_eq!(exit.gicv3_lrs[0], pending(INTID, 0x80), "list register");
        let vmcr = exit.gicv3_vmcr;
        off()?;
        let there = on_second(rec, move |rec| {
            let mut entry = acknowledge();
            entry.gicv3_lrs = exit.gicv3_lrs;
            rec.enter(&entry)
        })?;
        let exit = result(&there)??;
        ensure_eq!(intid(&exit)?, INTID, "INTID on the CPU that is back");
        ensure_eq!(state(exit.gicv3_lrs[0]), 2, "state, active");
        ensure_eq!(exit.gicv3_vmcr, vmcr, "gicv3_vmcr");
        off()?;
        // The active priority has come along: one of the same priority waits.
        let mut entry = acknowledge();
        entry.gicv3_lrs = exit.gicv3_lrs;
        entry.gicv3_lrs[1] = pending(INTID + 1, 0x80);
        let exit = rec.enter(&entry)?;
        ensure_eq!(intid(&exit)?, 1023, "INTID while one is active");
        let exit = rec.enter(&end(INTID, &exit))?;
        ensure_eq!(state(exit.gicv3_lrs[0]), 0, "state, ended");
        let mut entry = acknowledge();
        entry.gicv3_lrs = exit.gicv3_lrs;
        let exit = rec.enter(&entry)?;
        ensure_eq!(intid(&exit)?, INTID + 1, "INTID after the end");
        let exit = rec.enter(&end(INTID + 1, &exit))?;
        ensure_eq!(state(exit.gicv3_lrs[1]), 0, "state of the second, ended");
    }
    realm.finish()
}

/// A page that both Realms of the test below have, and one that the second has not mapped.
const BOTH: u64 = PAGE;
const FIRST_ONLY: u64 = PAGE + GRANULE;

/// A Realm with these pages, and one REC.
fn with_pages(config: &Config, pages: &[u64]) -> Check<Realm> {
    let mut realm = Realm::loaded(config)?;
    realm.init_ripas(BOTH, FIRST_ONLY + GRANULE)?;
    realm.add_rec(true, &[MODE_COMMANDS, config.unprotected()])?;
    for page in pages {
        realm.add_unknown(*page)?;
    }
    realm.activate()?;
    Ok(realm)
}

/// Boots a REC, and checks that its registers show nothing of the seed.
fn finds_nothing(lent: Lent, rec: &Rec, seed: u64) -> Check {
    let found = rec.boot()?.values;
    ensure_eq!(found[1], 0, "general-purpose registers");
    if lent.sve {
        rec.value_of(Op::Msr, &[SysReg::Zcr as u64, 0xF])?;
        let set = rec.values_of(Op::SveCheck, &[seed])?[1];
        ensure_eq!(set, 0, "SVE registers that are not zero");
    }
    // FPCR and FPSR may equal the pattern, V0 to V31 cannot.
    let different = rec.value_of(Op::FpCheck, &[seed])?;
    ensure!(different >= 64, "halves of vector registers: {different}");
    // TPIDR_EL1, TPIDR_EL0 and TPIDRRO_EL0.
    let different = rec.value_of(Op::SysCheck, &[seed])?;
    ensure_eq!(different & 7, 7, "registers of EL1 that differ");
    for register in [SysReg::DbgBvr0, SysReg::CntvCtl, SysReg::CntpCtl] {
        let value = rec.value_of(Op::Mrs, &[register as u64])?;
        ensure_eq!(value, 0, "{register:?}");
    }
    if lent.pmu {
        let (cycles, _) = Lent::counters(seed)[0];
        ensure_eq!(cycles.read(rec)?, 0, "PMCCNTR_EL0");
    }
    Ok(())
}

/// A Realm that has run on a CPU is destroyed while that is off. When the CPU is back, a Realm with the same
/// VMID and a REC in the same granule runs there, and finds nothing of the first one.
// Conformance: Invariants no_stale, own_memory
fn destroyed() -> Check {
    needs::second_cpu()?;
    let (lent, mut config) = Lent::offered()?;
    config.vmid = Some(0xDE);
    for seed in 1..4 {
        // In another order, so that the second Realm has other memory at the same address.
        let realm = with_pages(&config, &[FIRST_ONLY, BOTH])?;
        let there = on_second(&realm.recs[0], move |rec| {
            rec.boot()?;
            lent.prepare(rec)?;
            lent.set(rec, seed)?;
            rec.value_of(Op::MemFill, &[BOTH, 2 * GRANULE, seed])
        })?;
        result(&there)??;
        let rec_was = realm.recs[0].pa;
        off()?;
        realm.finish()?;
        let realm = with_pages(&config, &[BOTH])?;
        ensure_eq!(realm.recs[0].pa, rec_was, "granule of the second REC");
        let there = on_second(&realm.recs[0], move |rec| {
            finds_nothing(lent, rec, seed)?;
            let bytes = rec.value_of(Op::CountNonZero, &[BOTH, GRANULE])?;
            ensure_eq!(bytes, 0, "bytes of the first Realm");
            rec.exit_of(Op::Read, &[FIRST_ONLY, Access::Double as u64])
        })?;
        let exit = result(&there)??;
        let reason = RecExitReason::Sync as u8;
        ensure_eq!(exit.exit_reason, reason, "{}", describe(&exit));
        ensure_eq!(exit.hpfar, FIRST_ONLY >> 8, "hpfar");
        realm.finish()?;
    }
    Ok(())
}
