// SPDX-License-Identifier: BSD-3-Clause
//! Both CPUs at once, with one Realm.

use super::rec::enter::check_misplaced;
use super::spin::{SharedPage, limit, wait_running};
use super::{Test, needs};
use crate::check::{Check, ensure, ensure_eq};
use crate::dialect;
use crate::pool::GRANULE;
use crate::realm::{ATTRIBUTES, Config, Realm};
use crate::rec::{Rec, Step, command, describe, enter};
use crate::{board, cpus, gic, pool, rmi};
use alloc::sync::Arc;
use rmm_abi::psci::{SUCCESS, fid};
use rmm_abi::rmi::{RMI_ERROR_INPUT, RMI_ERROR_REC, RMI_SUCCESS, RecExitReason};
use spin::Mutex;
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, layout};

pub const TESTS: &[Test] = &[
    ("smp.two_recs", two_recs),
    ("smp.running_rec", running_rec),
    ("smp.record_taken", record_taken),
    ("smp.one_rec_two_cpus", one_rec_two_cpus),
    ("smp.rec_moves", rec_moves),
    ("smp.unmap_while_used", unmap_while_used),
    ("smp.remove_while_used", remove_while_used),
    ("smp.two_realms", two_realms),
];

/// Memory of the tests, in the image's level 3 table.
pub const PAGE: u64 = layout::BASE + layout::SIZE;

/// A result that the second CPU hands to the first.
pub type Slot<T> = Arc<Mutex<Option<T>>>;

/// A Realm with shared memory at `PAGE` and two RECs, both on.
pub fn two() -> Check<Realm> {
    two_with(&Config::default())
}

/// As [`two`], with this configuration.
pub fn two_with(config: &Config) -> Check<Realm> {
    several(config, 2)
}

/// As [`two_with`], with as many RECs.
pub fn several(config: &Config, recs: u64) -> Check<Realm> {
    let mut realm = Realm::loaded(config)?;
    realm.init_ripas(PAGE, PAGE + GRANULE)?;
    realm.add_unknown(PAGE)?;
    for n in 0..recs {
        realm.add_rec(n == 0, &[MODE_COMMANDS, realm.config.unprotected()])?;
    }
    realm.activate()?;
    let first = realm.boot()?;
    let entry = first.value_of(Op::EntryPoint, &[])?;
    for (mpidr, rec) in (0..).zip(&realm.recs).skip(1) {
        first.exit_of(Op::Smc, &[fid::PSCI_CPU_ON, mpidr, entry, 0])?;
        dialect::spoken()
            .psci_complete(first.pa, rec.pa, SUCCESS)
            .ok("RMI_PSCI_COMPLETE")?;
        first.finish_with(&enter())?;
        rec.boot()?;
    }
    Ok(realm)
}

/// Starts a job with a REC on the second CPU; [`result`] returns its outcome.
pub fn on_second<T: Send + 'static>(
    rec: &Rec,
    job: impl FnOnce(&Rec) -> T + Send + 'static,
) -> Check<Slot<T>> {
    let slot = Slot::default();
    let (second_slot, rec) = (slot.clone(), rec.clone());
    cpus::second().start(move || *second_slot.lock() = Some(job(&rec)))?;
    Ok(slot)
}

pub fn result<T>(slot: &Slot<T>) -> Check<T> {
    cpus::second().finish()?;
    Ok(slot.lock().take().ok_or("the second CPU has no result")?)
}

/// Two RECs speak with each other through their memory, each on a CPU.
fn two_recs() -> Check {
    needs::second_cpu()?;
    let mut realm = two()?;
    let page = SharedPage::new(&mut realm)?;
    let (first, second) = (&realm.recs[0], &realm.recs[1]);
    first.store(PAGE, 1)?;
    // The second waits until the first changes the word.
    let spin = page.spin_at(PAGE);
    let slot = on_second(second, move |rec| rec.finish_with(&spin))?;
    page.wait_spinning()?;
    first.store(PAGE, 2)?;
    ensure_eq!(result(&slot)??.values[0], 2, "word that the second REC saw");
    page.finish()?;
    realm.finish()
}

/// Lets a REC spin on the second CPU until the first CPU calls it back, and does something.
pub fn while_running(realm: &Realm, during: impl FnOnce() -> Check) -> Check {
    let first = &realm.recs[0];
    first.store(PAGE, 1)?;
    let slot = on_second(first, |rec| rec.exit_of(Op::Spin, &[PAGE, 1, limit(), 0]))?;
    let outcome = wait_running(realm, first).and_then(|()| during());
    gic::send_sgi(board::SECOND_CPU);
    let exit = result(&slot)??;
    outcome?;
    ensure_eq!(
        exit.exit_reason,
        RecExitReason::Irq as u8,
        "{}",
        describe(&exit)
    );
    Ok(())
}

/// What a running REC refuses.
// Conformance: RMI_REC_ENTER rec_state, run<rec_state, rec_align<rec_state
// Conformance: RMI_REC_DESTROY rec_state
// Conformance: RMI_RTT_SET_RIPAS rec_state
fn running_rec() -> Check {
    needs::second_cpu()?;
    let realm = two()?;
    let (first, second) = (realm.recs[0].clone(), realm.recs[1].clone());
    while_running(&realm, || {
        first_is_busy(&first)?;
        let answer = rmi::rtt_set_ripas(realm.rd, first.pa, 0, GRANULE);
        answer.rec("RMI_RTT_SET_RIPAS of a running REC")?;
        rmi::psci_complete(first.pa, second.pa, SUCCESS).input("RMI_PSCI_COMPLETE")?;
        rmi::realm_destroy(realm.rd).realm("RMI_REALM_DESTROY")?;
        dialect::spoken()
            .undelegate_one(first.pa)
            .input("undelegation of a REC")?;
        // The other REC can run here meanwhile.
        second.value_of(Op::Nop, &[])?;
        Ok(())
    })?;
    realm.finish()
}

fn first_is_busy(first: &Rec) -> Check {
    rmi::rec_destroy(first.pa).rec("RMI_REC_DESTROY of a running REC")?;
    // Another granule for RmiRecRun: the second CPU uses the first one now.
    let run = pool::take_one()?;
    pool::fill(run, 1, 0);
    let answer = rmi::rec_enter(first.pa, run);
    pool::give(run, 1);
    answer.rec("RMI_REC_ENTER of a running REC")?;
    let delegated = pool::take_delegated()?;
    let misplaced = check_misplaced(first, delegated, "running REC");
    pool::give_delegated(delegated)?;
    misplaced
}

/// The Host delegates the record while the Realm runs: the exit is lost, the REC is not.
// Conformance: RMI_REC_ENTER run_late
fn record_taken() -> Check {
    needs::second_cpu()?;
    let realm = two()?;
    let (mut first, second) = (realm.recs[0].clone(), &realm.recs[1]);
    first.store(PAGE, 1)?;
    let slot = on_second(&first, |rec| {
        rec.try_enter(&command(Op::Spin, &[PAGE, 1, limit(), 0]))
            .status
    })?;
    let running = wait_running(&realm, &first);
    let taken = dialect::spoken().delegate(first.run, 1);
    gic::send_sgi(board::SECOND_CPU);
    let status = result(&slot)?;
    taken?;
    // Nothing was written where the Realm's state would now be.
    dialect::spoken().undelegate(first.run, 1)?;
    pool::check_zero(first.run)?;
    running?;
    ensure_eq!(status, RMI_ERROR_INPUT, "status without a record");
    second.store(PAGE, 2)?;
    first.run = pool::take_one()?;
    let reply = first.finish_with(&enter());
    pool::give(first.run, 1);
    ensure_eq!(reply?.values[0], 2, "word that the REC saw");
    realm.finish()
}

/// Both CPUs enter the same REC again and again: at most one succeeds at a time.
fn one_rec_two_cpus() -> Check {
    needs::second_cpu()?;
    const ROUNDS: u64 = 300;
    let realm = two()?;
    let first = realm.recs[0].clone();
    let mut twin = first.clone();
    twin.run = pool::take_one()?;
    let work = |rec: &Rec| {
        let (mut entered, mut wrong) = (0, 0);
        for _ in 0..ROUNDS {
            match rec.try_enter(&command(Op::Nop, &[])).status {
                RMI_SUCCESS => entered += 1,
                RMI_ERROR_REC => {}
                other => wrong = other,
            }
        }
        (entered, wrong)
    };
    let slot = on_second(&twin, work)?;
    let here = work(&first);
    let there = result(&slot)?;
    pool::give(twin.run, 1);
    ensure_eq!(here.1 | there.1, 0, "status");
    ensure!(here.0 + there.0 > 0, "nobody has entered");
    first.value_of(Op::Nop, &[])?;
    realm.finish()
}

/// A REC keeps its registers from CPU to CPU.
fn rec_moves() -> Check {
    needs::second_cpu()?;
    let realm = two()?;
    let first = realm.recs[0].clone();
    first.value_of(Op::FpSet, &[1])?;
    for seed in 1..10 {
        let slot = on_second(&first, move |rec| {
            let different = rec.value_of(Op::FpCheck, &[seed])?;
            ensure_eq!(different, 0, "vector registers on the second CPU");
            rec.value_of(Op::SysSet, &[seed])?;
            rec.value_of(Op::FpSet, &[seed + 1]).map(drop)
        })?;
        result(&slot)??;
        let different = first.value_of(Op::SysCheck, &[seed])?;
        ensure_eq!(different, 0, "registers on the first CPU");
        let different = first.value_of(Op::FpCheck, &[seed + 1])?;
        ensure_eq!(different, 0, "vector registers on the first CPU");
    }
    realm.finish()
}

/// A Host page disappears under a REC that reads it on the other CPU.
// Conformance: RMI_RTT_UNMAP_UNPROTECTED tlb
fn unmap_while_used() -> Check {
    needs::second_cpu()?;
    let mut realm = two()?;
    let ipa = realm.config.unprotected();
    let memory = realm.share(ipa, ATTRIBUTES)?;
    pool::write(memory, 1);
    let first = realm.recs[0].clone();
    // Unguarded in the Realm: with the page gone the spin exits by a Data Abort.
    let page = SharedPage::new(&mut realm)?;
    let spin = page.spin_at(ipa);
    let slot = on_second(&first, move |rec| rec.exit_of_entry(&spin))?;
    page.wait_spinning()?;
    dialect::spoken().unmap_unprotected(realm.rd, ipa, 3)?;
    let exit = result(&slot)??;
    ensure_eq!(
        exit.exit_reason,
        RecExitReason::Sync as u8,
        "{}",
        describe(&exit)
    );
    ensure_eq!(exit.hpfar, ipa >> 8, "hpfar");
    pool::give(memory, 1);
    page.finish()?;
    realm.finish()
}

/// A page of the Realm disappears under a REC that uses it on the other CPU.
// Conformance: RMI_DATA_DESTROY tlb
fn remove_while_used() -> Check {
    needs::second_cpu()?;
    let mut realm = two()?;
    let first = realm.recs[0].clone();
    first.store(PAGE, 1)?;
    let page = SharedPage::new(&mut realm)?;
    let spin = page.spin_at(PAGE);
    let slot = on_second(&first, move |rec| rec.exit_of_entry(&spin))?;
    page.wait_spinning()?;
    // Wiped: the REC would read zero if it still had the translation. The granule stays delegated,
    // since undelegating it invalidates the translations of every CPU.
    let (data, _) = realm.destroy_page(PAGE)?;
    let exit = result(&slot);
    pool::give_delegated(data)?;
    let exit = exit??;
    ensure_eq!(
        exit.exit_reason,
        RecExitReason::Sync as u8,
        "{}",
        describe(&exit)
    );
    ensure_eq!(exit.hpfar, PAGE >> 8, "hpfar");
    page.finish()?;
    realm.finish()
}

/// Each CPU makes, runs and destroys Realms of its own.
fn two_realms() -> Check {
    needs::second_cpu()?;
    fn lives(count: u64) -> Check {
        for seed in 0..count {
            let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
            let rec = realm.boot()?;
            rec.value_of(Op::FpSet, &[seed])?;
            let ipa = realm.config.unprotected();
            match rec.step(&command(Op::Read, &[ipa, Access::Double as u64]))? {
                Step::Exit(_) => {}
                Step::Done(reply) => crate::check::fail!("no exit: {reply:x?}"),
            }
            realm.finish()?;
        }
        Ok(())
    }
    let slot: Slot<Check> = Slot::default();
    let second_slot = slot.clone();
    cpus::second().start(move || *second_slot.lock() = Some(lives(3)))?;
    let here = lives(3);
    cpus::second().finish()?;
    let there = slot.lock().take().ok_or("the second CPU has no result")?;
    here?;
    there
}
