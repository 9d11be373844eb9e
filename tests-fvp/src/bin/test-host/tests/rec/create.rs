// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_CREATE.

use crate::check::{Check, ensure_eq, skip};
use crate::pool::{self, GRANULE};
use crate::realm::{Config, Realm, rec_params};
use crate::rec::enter;
use crate::rmi;
use crate::tests::needs::part_without_memory;
use crate::tests::psci::check_start;
use crate::tests::samples::{Kind, Samples};
use crate::tests::{Test, needs};
use alloc::format;
use alloc::vec::Vec;
use rmm_abi::rmi::{RealmFlags, RecParams};
use rmm_abi::{psci, rsi};
use tests_fvp::protocol::{MODE_COMMANDS, layout};
use zerocopy::IntoBytes;

pub const TESTS: &[Test] = &[
    ("rec.create_wrong", create_wrong),
    ("rec.create_aux_wrong", create_aux_wrong),
    ("rec.create_aux_wrong_sve", create_aux_wrong_sve),
    ("rec.create_params_wrong", create_params_wrong),
    ("rec.create_many", many),
    ("rec.create_most", most),
    ("rec.create_nothing_pending", nothing_pending),
    ("rec.create_registers", first_entry),
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
    let samples = Samples::new()?;
    let bench = Bench::new(&samples.realm)?;
    let (rd, rec, page) = (samples.realm.rd, bench.rec, bench.page);
    let params = bench.params(1);
    pool::write_bytes(page, params.as_bytes());
    for (kind, address) in samples.except(&[Kind::Rd]) {
        rmi::rec_create(address, rec, page).input(&format!("rd {kind:?} {address:#x}"))?;
    }
    for (kind, address) in samples.except(&[Kind::Delegated]) {
        rmi::rec_create(rd, address, page).input(&format!("rec {kind:?} {address:#x}"))?;
    }
    for (kind, address) in samples.except(&[Kind::Undelegated]) {
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
    bench.accepts(&samples.realm, &params)?;
    // An index is not used again, and none is accepted once the Realm is active.
    bench.refuses(&samples.realm, &params, "index of a destroyed REC")?;
    samples.realm.activate()?;
    rmi::rec_create(rd, rec, page).realm("active Realm, old index")?;
    pool::write_bytes(page, bench.params(2).as_bytes());
    rmi::rec_create(rd, rec, page).realm("active Realm")?;
    bench.finish()?;
    samples.finish()
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
    let samples = Samples::with(config)?;
    let bench = Bench::new(&samples.realm)?;
    let good = bench.params(1);
    let count = bench.aux.len();
    for n in 0..count {
        for (kind, address) in samples.except(&[Kind::Delegated]) {
            let mut params = good;
            params.aux[n] = address;
            bench.refuses(
                &samples.realm,
                &params,
                &format!("aux {n} {kind:?} {address:#x}"),
            )?;
        }
        let mut params = good;
        params.aux[n] = bench.rec;
        bench.refuses(&samples.realm, &params, "rec among aux")?;
        if n > 0 {
            params.aux[n] = good.aux[0];
            bench.refuses(&samples.realm, &params, "the same granule twice in aux")?;
        }
        if let Some(address) = part_without_memory() {
            params.aux[n] = address;
            bench.refuses(&samples.realm, &params, "aux without memory")?;
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
        bench.refuses(&samples.realm, &params, &format!("num_aux {number:#x}"))?;
    }
    // What is behind the last is not looked at.
    let mut params = good;
    params.aux[count..].fill(u64::MAX);
    bench.accepts(&samples.realm, &params)?;
    bench.finish()?;
    samples.finish()
}

// Conformance: RMI_REC_CREATE mpidr_index, granules
// Conformance: RMI_REC_DESTROY granules
fn create_params_wrong() -> Check {
    let samples = Samples::new()?;
    let bench = Bench::new(&samples.realm)?;
    let good = bench.params(1);
    for mpidr in [0, 2, 0xF, 0x100, 0x101, 1 << 16 | 1, 1 << 24 | 1] {
        let mut params = good;
        params.mpidr = mpidr;
        bench.refuses(&samples.realm, &params, &format!("mpidr {mpidr:#x}"))?;
    }
    bench.accepts(&samples.realm, &good)?;
    bench.finish()?;
    samples.finish()
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

/// A new REC has nothing pending.
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

/// At the first entry X0 to X7 hold the parameters, and the other registers zero.
// Conformance: RMI_REC_CREATE registers
fn first_entry() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    let gprs = [MODE_COMMANDS, realm.config.unprotected()];
    realm.add_rec(true, &gprs)?;
    realm.activate()?;
    check_start(&realm.recs[0].boot()?, MODE_COMMANDS)?;
    realm.finish()?;
    // The Realm reports the other registers ORed.
    let mut realm = Realm::loaded(&Config::default())?;
    realm.add_rec(true, &[gprs[0], gprs[1], 1, 2, 4, 8, 16, 32])?;
    realm.activate()?;
    let reply = realm.recs[0].boot()?;
    ensure_eq!(reply.values[1], 1, "X2, and X8 to X30");
    realm.finish()
}
