// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_CREATE, RMI_REC_DESTROY, and what keeps RMI_REC_ENTER from entering.

use super::Test;
use super::instruct::{instruct, kept};
use super::needs;
use super::needs::part_without_memory;
use super::psci::check_start;
use super::zoo::{Kind, Zoo};
use crate::arch::ticks;
use crate::check::{Check, ensure, ensure_eq, skip};
use crate::gic;
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, rec_params};
use crate::rec::{Step, check_exit, command, enter, enter_with, exit_record};
use crate::rmi;
use alloc::format;
use alloc::vec::Vec;
use rmm_abi::rmi::{
    RMI_ERROR_REALM, RealmFlags, RecEnter, RecEnterFlags, RecExitReason, RecParams, status,
};
use rmm_abi::{psci, rsi};
use tests_fvp::protocol::{MODE_COMMANDS, Op, layout};
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[
    ("rec.create_wrong", create_wrong),
    ("rec.create_aux_wrong", create_aux_wrong),
    ("rec.create_aux_wrong_sve", create_aux_wrong_sve),
    ("rec.create_params_wrong", create_params_wrong),
    ("rec.many", many),
    ("rec.most", most),
    ("rec.nothing_pending", nothing_pending),
    ("rec.destroy_wrong", destroy_wrong),
    ("rec.first_entry", first_entry),
    ("rec.enter_wrong", enter_wrong),
    ("rec.enter_states", enter_states),
    ("rec.enter_other_fields", enter_other_fields),
    ("rec.enter_registers_kept", enter_registers_kept),
    ("rec.enter_gic_wrong", enter_gic_wrong),
    ("rec.enter_emulation_wrong", enter_emulation_wrong),
    (
        "rec.failed_enter_changes_nothing",
        failed_enter_changes_nothing,
    ),
];

/// Granules and a page of parameters, to create a REC by hand.
struct Bench {
    rec: u64,
    aux: Vec<u64>,
    page: u64,
}

impl Bench {
    fn new(realm: &Realm) -> Check<Self> {
        let count = rmi::rec_aux_count(realm.rd).ok("RMI_REC_AUX_COUNT")?[0];
        let rec = pool::take_delegated()?;
        let mut aux = Vec::new();
        for _ in 0..count {
            aux.push(pool::take_delegated()?);
        }
        let page = pool::take_one()?;
        Ok(Self { rec, aux, page })
    }

    fn params(&self, index: u64) -> RecParams {
        rec_params(index, true, &[], &self.aux)
    }

    /// The parameters must be refused as bad input.
    fn refuses(&self, realm: &Realm, params: &RecParams, what: &str) -> Check {
        pool::write_bytes(self.page, params.as_bytes());
        rmi::rec_create(realm.rd, self.rec, self.page)
            .input(what)
            .map(drop)
    }

    /// The parameters must be accepted; the REC is destroyed again.
    fn accepts(&self, realm: &Realm, params: &RecParams) -> Check {
        pool::write_bytes(self.page, params.as_bytes());
        rmi::rec_create(realm.rd, self.rec, self.page).ok("RMI_REC_CREATE after failures")?;
        for address in self.aux.iter().chain([&self.rec]) {
            pool::check_protected(*address)?;
            rmi::undelegate(*address).input("undelegate of a REC's granule")?;
        }
        rmi::rec_destroy(self.rec).ok("RMI_REC_DESTROY")?;
        Ok(())
    }

    fn finish(self) -> Check {
        pool::give(self.page, 1);
        pool::give_delegated(self.rec)?;
        self.aux.into_iter().try_for_each(pool::give_delegated)
    }
}

// Conformance: RMI_REC_CREATE rd_align, rd_bound, rd_state, rd<realm_state, rd<num_recs
// Conformance: RMI_REC_CREATE rec_align, rec_bound, rec_state, params_align, params_bound
// Conformance: RMI_REC_CREATE params_pas
// Conformance: RMI_REC_CREATE realm_state, realm_state<mpidr_index
// Conformance: RMI_REC_DESTROY rec_index
fn create_wrong() -> Check {
    let zoo = Zoo::new()?;
    let bench = Bench::new(&zoo.realm)?;
    let (rd, rec, page) = (zoo.realm.rd, bench.rec, bench.page);
    let params = bench.params(1);
    pool::write_bytes(page, params.as_bytes());
    for (kind, address) in zoo.except(&[Kind::Rd]) {
        rmi::rec_create(address, rec, page).input(&format!("rd {kind:?} {address:#x}"))?;
    }
    for (kind, address) in zoo.except(&[Kind::Delegated]) {
        rmi::rec_create(rd, address, page).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    for (kind, address) in zoo.except(&[Kind::Undelegated]) {
        rmi::rec_create(rd, rec, address).input(&format!("params {kind:?} {address:#x}"))?;
    }
    // In the page of parameters that are accepted in the end.
    for offset in [1, 8, 0x800, 0xFFF] {
        rmi::rec_create(rd, rec, page + offset).input(&format!("params at {offset:#x}"))?;
    }
    rmi::rec_create(rd, rd, page).input("rec is rd")?;
    rmi::rec_create(rec, rec, page).input("rd is rec")?;
    if let Some(address) = part_without_memory() {
        rmi::rec_create(rd, rec, address).input("params without memory")?;
        rmi::rec_create(rd, address, page).input("rec without memory")?;
    }
    bench.accepts(&zoo.realm, &params)?;
    // The index is not given out again; and not at all once the Realm is active.
    bench.refuses(&zoo.realm, &params, "index of a destroyed REC")?;
    zoo.realm.activate()?;
    rmi::rec_create(rd, rec, page).realm("active Realm, old index")?;
    pool::write_bytes(page, bench.params(2).as_bytes());
    rmi::rec_create(rd, rec, page).realm("active Realm")?;
    bench.finish()?;
    zoo.finish()
}

// Conformance: RMI_REC_CREATE aux_align, aux_bound, aux_state, aux_alias, aux_alias_rec, num_aux
// Conformance: Bugs others fixed alias
fn create_aux_wrong() -> Check {
    create_aux_wrong_in(&Config::default())
}

/// With more of them, for the vectors.
fn create_aux_wrong_sve() -> Check {
    needs::sve()?;
    create_aux_wrong_in(&Config {
        flags: RealmFlags::SVE.bits(),
        ..Config::default()
    })
}

fn create_aux_wrong_in(config: &Config) -> Check {
    let zoo = Zoo::with(config)?;
    let bench = Bench::new(&zoo.realm)?;
    let good = bench.params(1);
    let count = bench.aux.len();
    for n in 0..count {
        for (kind, address) in zoo.except(&[Kind::Delegated]) {
            let mut params = good;
            params.aux[n] = address;
            bench.refuses(
                &zoo.realm,
                &params,
                &format!("aux {n} {kind:?} {address:#x}"),
            )?;
        }
        let mut params = good;
        params.aux[n] = bench.rec;
        bench.refuses(&zoo.realm, &params, "rec among aux")?;
        if n > 0 {
            params.aux[n] = good.aux[0];
            bench.refuses(&zoo.realm, &params, "the same granule twice in aux")?;
        }
        if let Some(address) = part_without_memory() {
            params.aux[n] = address;
            bench.refuses(&zoo.realm, &params, "aux without memory")?;
        }
    }
    for number in [
        0,
        count as u64 - 1,
        count as u64 + 1,
        16,
        17,
        1 << 32,
        u64::MAX,
    ] {
        if number == count as u64 {
            continue;
        }
        let mut params = good;
        params.num_aux = number;
        bench.refuses(&zoo.realm, &params, &format!("num_aux {number:#x}"))?;
    }
    // What is behind the last is not looked at.
    let mut params = good;
    params.aux[count..].fill(u64::MAX);
    bench.accepts(&zoo.realm, &params)?;
    bench.finish()?;
    zoo.finish()
}

// Conformance: RMI_REC_CREATE mpidr_index, granules
// Conformance: RMI_REC_DESTROY granules
fn create_params_wrong() -> Check {
    let zoo = Zoo::new()?;
    let bench = Bench::new(&zoo.realm)?;
    let good = bench.params(1);
    for mpidr in [0, 2, 0xF, 0x100, 0x101, 1 << 16 | 1, 1 << 24 | 1] {
        let mut params = good;
        params.mpidr = mpidr;
        bench.refuses(&zoo.realm, &params, &format!("mpidr {mpidr:#x}"))?;
    }
    bench.accepts(&zoo.realm, &good)?;
    bench.finish()?;
    zoo.finish()
}

/// The 17th REC is the first of the next cluster.
// Conformance: RMI_REC_CREATE rec_index
fn many() -> Check {
    let mut realm = Realm::new(&Config::default())?;
    for _ in 0..18 {
        realm.add_rec(false, &[])?;
    }
    realm.finish()
}

/// As many RECs as there may be at a time, and one more.
// Conformance: RMI_REC_CREATE num_recs, num_recs_more
// Conformance: RMI_REC_DESTROY num_recs_less
fn most() -> Check {
    let most = (1 << needs::features()?.max_recs_order()) - 1;
    if most > 4000 {
        skip!("the pool has no granules for {most} RECs");
    }
    let mut realm = Realm::new(&Config::default())?;
    for _ in 0..most {
        realm.add_rec(false, &[])?;
    }
    let bench = Bench::new(&realm)?;
    // With the right index and with another.
    for index in [most, 0] {
        pool::write_bytes(bench.page, bench.params(index).as_bytes());
        rmi::rec_create(realm.rd, bench.rec, bench.page).realm("one REC more")?;
    }
    realm.recs.swap_remove(7).destroy()?;
    bench.accepts(&realm, &bench.params(most))?;
    bench.finish()?;
    realm.finish()
}

/// A new REC has no business with the Host.
// Conformance: RMI_REC_CREATE nothing_pending
fn nothing_pending() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.add_rec(false, &[])?;
    realm.activate()?;
    let [first, second] = &realm.recs[..] else {
        crate::check::fail!("not two RECs")
    };
    rmi::rtt_set_ripas(realm.rd, first.pa, 0, GRANULE).input("RIPAS change")?;
    rmi::psci_complete(first.pa, second.pa, psci::SUCCESS).input("PSCI request")?;
    // The answer to a host call would go to the address in X1, which has no memory.
    let mut answer = enter();
    answer.gprs.fill(u64::MAX);
    check_start(&first.finish_with(&answer)?, MODE_COMMANDS)?;
    let token = [rsi::fid::RSI_ATTESTATION_TOKEN_CONTINUE, layout::BASE, 0, 0];
    ensure_eq!(first.call(&token)?[0], rsi::RSI_ERROR_STATE, "token");
    realm.finish()
}

// Conformance: RMI_REC_DESTROY rec_align, rec_bound, rec_gran_state, rec<rec_state
fn destroy_wrong() -> Check {
    let zoo = Zoo::new()?;
    for (kind, address) in zoo.except(&[Kind::Rec]) {
        rmi::rec_destroy(address).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    zoo.finish()
}

// Conformance: RMI_REC_ENTER rec_align, rec_bound, rec_gran_state, rec<others, run_align
// Conformance: RMI_REC_ENTER run_bound, run_pas
fn enter_wrong() -> Check {
    let zoo = Zoo::new()?;
    zoo.realm.activate()?;
    let rec = &zoo.realm.recs[0];
    for (kind, address) in zoo.except(&[Kind::Rec]) {
        rmi::rec_enter(address, rec.run).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    for (kind, address) in zoo.except(&[Kind::Undelegated]) {
        rmi::rec_enter(rec.pa, address).input(&format!("run {kind:?} {address:#x}"))?;
    }
    rmi::rec_enter(rec.pa, rec.pa).input("run is rec")?;
    if let Some(address) = part_without_memory() {
        rmi::rec_enter(rec.pa, address).input("run without memory")?;
    }
    rec.boot()?;
    zoo.finish()
}

/// The Realm's and the REC's states that keep a REC from running.
// Conformance: RMI_REC_ENTER realm_new, rec_runnable, system_off
// Conformance: RMI_REC_CREATE runnable
// Conformance: RMI_REALM_ACTIVATE realm_state
fn enter_states() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[MODE_COMMANDS, realm.config.unprotected()])?;
    realm.add_rec(false, &[])?;
    realm.recs[0].try_enter(&enter()).realm("Realm is NEW")?;
    realm.recs[1]
        .try_enter(&enter())
        .realm("Realm is NEW, REC not runnable")?;
    realm.activate()?;
    realm.recs[1]
        .try_enter(&enter())
        .rec("REC is not runnable")?;
    let rec = realm.boot()?;
    let exit = rec.exit_of(Op::Smc, &[psci::fid::PSCI_SYSTEM_OFF])?;
    ensure_eq!(exit.gprs[0], psci::fid::PSCI_SYSTEM_OFF, "exit");
    rec.try_enter(&enter())
        .is(status(RMI_ERROR_REALM, 1), "Realm is SYSTEM_OFF")?;
    rmi::realm_activate(realm.rd).realm("RMI_REALM_ACTIVATE of SYSTEM_OFF")?;
    realm.finish()
}

/// What no rule reads at this entry: reserved flags and bytes, the answer to another exit.
// Conformance: RMI_REC_ENTER other_fields, inject_sea_ignored
// Conformance: Virtual GIC and timers spare_list_registers
fn enter_other_fields() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let entry_point = rec.value_of(Op::EntryPoint, &[])?;
    let list_registers = needs::features()?.gicv3_num_lrs() as usize + 1;
    let used = RecEnterFlags::EMUL_MMIO | RecEnterFlags::TRAP_WFI | RecEnterFlags::TRAP_WFE;
    let mut full = command(Op::EntryPoint, &[]);
    full.flags = !used.bits();
    full._reserved0.fill(0xFF);
    full._reserved1.fill(0xFF);
    full._reserved2.fill(0xFF);
    full.gprs[12..].fill(u64::MAX);
    full.gicv3_lrs[list_registers..].fill(u64::MAX);
    let reply = rec.finish_with(&full)?;
    ensure_eq!(reply.esr, 0, "exception");
    ensure_eq!(reply.values[0], entry_point, "value of the command");
    let lrs = rec.last_exit().gicv3_lrs;
    ensure!(lrs == [0; 16], "list registers {lrs:x?}");
    // After an exit that takes no answer.
    rec.exit_of(Op::Smc, &[psci::fid::PSCI_CPU_SUSPEND])?;
    full.gprs.fill(u64::MAX);
    let reply = rec.finish_with(&full)?;
    ensure!(
        reply.values[..4] == [psci::SUCCESS, 0, 0, 0],
        "X0 to X3: {:x?}",
        reply.values
    );
    realm.finish()
}

/// A Realm that waits is stopped by an interrupt, and finds its registers.
// Conformance: RMI_REC_ENTER registers_kept
fn enter_registers_kept() -> Check {
    const WFI: u64 = 0xD503_207F;
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let mut answer = enter();
    answer.gprs.fill(u64::MAX);
    let mut with = instruct(WFI, 0x5EC2, 0x5EC3);
    let mut stopped = 0;
    // An interrupt that comes before the WFI does not end it: the next one does.
    let reply = loop {
        gic::start_timer(ticks(20));
        let step = rec.step(&with);
        let taken = gic::taken().unwrap_or(0);
        gic::stop_timer();
        match step? {
            Step::Exit(exit) => {
                check_exit(&exit, &exit_record(RecExitReason::Irq))?;
                ensure_eq!(taken, gic::EL2_TIMER, "interrupt taken by the Host");
                stopped += 1;
            }
            Step::Done(reply) => break kept(reply)?,
        }
        with = answer;
    };
    ensure!(stopped > 0, "the Realm did not wait");
    ensure_eq!(reply.esr, 0, "exception");
    ensure_eq!(reply.values[0], 0x5EC2, "X0");
    ensure_eq!(reply.values[1], 0x5EC3, "X1");
    realm.finish()
}

// Conformance: RMI_REC_ENTER rec_gicv3
// Conformance: Bugs others fixed ich_hcr_mbz
fn enter_gic_wrong() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let refused = |what: &str, change: &dyn Fn(&mut RecEnter)| {
        let mut enter = enter();
        change(&mut enter);
        rec.try_enter(&enter).rec(what).map(drop)
    };
    let free = 0x40FEu64;
    for bit in (0..64).filter(|bit| free >> bit & 1 == 0) {
        refused(&format!("gicv3_hcr bit {bit}"), &|e| e.gicv3_hcr = 1 << bit)?;
    }
    let last = needs::features()?.gicv3_num_lrs() as usize;
    for n in [0, last] {
        // HW, in every state: invalid, pending, active, both.
        for state in 0..4 {
            let what = format!("list register {n} with HW and state {state}");
            refused(&what, &|e| {
                e.gicv3_lrs[n] = 1 << 61 | state << 62 | 32 << 32 | 32
            })?;
        }
        for intid in [1020, 1023, 6000, 1 << 24] {
            let what = format!("list register {n} with INTID {intid}");
            refused(&what, &|e| e.gicv3_lrs[n] = 1 << 62 | 1 << 60 | intid)?;
        }
    }
    if last > 0 {
        refused("the same INTID twice", &|e| {
            e.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 40;
            e.gicv3_lrs[1] = 1 << 62 | 1 << 60 | 40;
        })?;
    }
    // The bits that are the Host's.
    let mut enter = command(Op::Nop, &[]);
    enter.gicv3_hcr = 1 << 3;
    match rec.step(&enter)? {
        Step::Done(_) => {}
        Step::Exit(exit) => crate::check::fail!("{}", crate::rec::describe(&exit)),
    }
    realm.finish()
}

/// emul_mmio needs an Emulatable Data Abort; inject_sea without one does nothing.
// Conformance: RMI_REC_ENTER rec_mmio, rec_mmio_both, inject_sea_ignored
fn enter_emulation_wrong() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = &realm.recs[0];
    let emulate = enter_with(RecEnterFlags::EMUL_MMIO);
    rec.try_enter(&emulate)
        .rec("emul_mmio before the first entry")?;
    rec.boot()?;
    rec.try_enter(&emulate).rec("emul_mmio after a host call")?;
    let both = enter_with(RecEnterFlags::EMUL_MMIO | RecEnterFlags::INJECT_SEA);
    rec.try_enter(&both)
        .rec("emul_mmio and inject_sea after a host call")?;
    let mut inject = command(Op::Nop, &[]);
    inject.flags = RecEnterFlags::INJECT_SEA.bits();
    rec.finish_with(&inject)?;
    realm.finish()
}

/// The first entry: X0 to X7 are the parameters', the rest is zero.
// Conformance: RMI_REC_CREATE registers
fn first_entry() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    let gprs = [MODE_COMMANDS, realm.config.unprotected()];
    realm.add_rec(true, &gprs)?;
    realm.activate()?;
    check_start(&realm.recs[0].boot()?, MODE_COMMANDS)?;
    realm.finish()?;
    // The other parameters, which the Realm reports as one.
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[gprs[0], gprs[1], 1, 2, 4, 8, 16, 32])?;
    realm.activate()?;
    let reply = realm.recs[0].boot()?;
    ensure_eq!(reply.values[1], 1, "X2, and X8 to X30");
    realm.finish()
}

/// After entries that failed the REC goes on as if they had not been.
// Conformance: RMI calls failure_changes_nothing
fn failed_enter_changes_nothing() -> Check {
    let realm = Realm::running(&Config::default(), 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    let mut bad = command(Op::Hvc, &[]);
    bad.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 40;
    bad.gicv3_hcr = 1;
    rec.try_enter(&bad).rec("bad gicv3_hcr")?;
    // The exit half is not written.
    for word in (rec.run + GRANULE / 2..rec.run + GRANULE).step_by(8) {
        ensure_eq!(pool::read(word), u64::MAX, "exit half at {word:#x}");
    }
    let answer = rec.enter(&command(Op::EntryPoint, &[]))?;
    ensure_eq!(answer.gicv3_lrs[0], 0, "list register of the failed entry");
    realm.finish()
}
