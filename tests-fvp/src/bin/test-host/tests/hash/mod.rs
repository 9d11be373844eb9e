// SPDX-License-Identifier: BSD-3-Clause
//! Hashing: measurements are what the Host computes itself, and neither the Host's nor the Realm's vector
//! registers change. The monitor hashes in portable code for a Host in streaming mode, and by the CPU's
//! instructions otherwise, if it has them.

pub mod assembly;
mod expected;
mod watch;

use super::{Test, needs};
use crate::check::{Check, ensure, ensure_eq};
use crate::params;
use crate::pool::GRANULE;
use crate::realm::{Config, Realm, entry_size};
use crate::rec::{Rec, command};
use expected::{Measured, Measurement};
use rmm_abi::rmi::{DataFlags, RMI_SUCCESS, RealmFlags};
use rmm_abi::rsi::{RSI_SUCCESS, fid};
use spin::Once;
use tests_fvp::protocol::{MODE_COMMANDS, Op, SysReg, layout, pattern};
pub use watch::Watch;

pub const TESTS: &[Test] = &[
    ("hash.rim", rim),
    ("hash.rim_of_parameters", rim_of_parameters),
    ("hash.rem_of_each_size", rem_of_each_size),
    ("hash.rem_in_streaming_mode", rem_in_streaming_mode),
    ("hash.vectors_of_the_realm", vectors_of_the_realm),
    ("hash.sve_of_the_realm", sve_of_the_realm),
];

/// Memory of the tests, in the image's level 3 table.
const PAGE: u64 = layout::BASE + layout::SIZE;
/// Memory with a level 3 table of its own.
const MANY: u64 = layout::BASE + entry_size(2);
/// Memory without a level 3 table.
const LARGE: u64 = layout::BASE + 2 * entry_size(2);

/// A Realm in the making, and its RIM as it must be.
struct Building {
    realm: Realm,
    expected: Measured,
    watch: Watch,
    steps: u64,
}

impl Building {
    fn new(config: &Config, watch: Watch) -> Check<Self> {
        Ok(Self {
            realm: watch.around(1, "RMI_REALM_CREATE", || Realm::new(config))?,
            expected: Measured::new(config),
            watch,
            steps: 1,
        })
    }

    /// Does a step of `Realm`.
    fn step<T>(&mut self, what: &str, step: impl FnOnce(&mut Realm) -> Check<T>) -> Check<T> {
        self.steps += 1;
        let realm = &mut self.realm;
        self.watch.around(self.steps, what, || step(realm))
    }

    /// Makes the RIPAS of entries of `size` bytes RAM, in one call if they have one table.
    fn init_ripas(&mut self, base: u64, top: u64, size: u64) -> Check {
        self.step("RMI_RTT_INIT_RIPAS", |realm| realm.init_ripas(base, top))?;
        for entry in (base..top).step_by(size as usize) {
            self.expected.init_ripas(entry, entry + size);
        }
        Ok(())
    }

    fn add_page(&mut self, ipa: u64, page: &[u8; 4096], flags: u64) -> Check {
        self.step("RMI_DATA_CREATE", |realm| realm.add_page(ipa, page, flags))?;
        self.expected.data_create(ipa, flags, page);
        Ok(())
    }

    fn add_rec(&mut self, runnable: bool, pc: u64, gprs: [u64; 8]) -> Check {
        self.step("RMI_REC_CREATE", |realm| {
            realm.add_rec_at(pc, runnable, &gprs)
        })?;
        if runnable {
            self.expected.rec_create(pc, &gprs);
        }
        Ok(())
    }

    /// Adds the image and the REC that runs it, and compares the RIM.
    fn check(mut self) -> Check {
        let config = self.realm.config;
        let top = layout::BASE + layout::SIZE;
        self.init_ripas(layout::BASE, top, GRANULE)?;
        let mut image = crate::realm::IMAGE.chunks(GRANULE as usize);
        for ipa in (layout::BASE..top).step_by(GRANULE as usize) {
            if let Some(bytes) = image.next() {
                let mut page = [0; 4096];
                page[..bytes.len()].copy_from_slice(bytes);
                self.add_page(ipa, &page, DataFlags::MEASURE.bits())?;
            } else {
                self.realm.add_unknown(ipa)?;
            }
        }
        self.realm.activate()?;
        let found = measurement(self.realm.boot()?, 0)?;
        let Self {
            realm, expected, ..
        } = self;
        ensure!(
            found == expected.rim,
            "RIM of algorithm {}: {found:x?}, wanted {:x?}",
            config.hash,
            expected.rim
        );
        realm.finish()
    }
}

/// RSI_MEASUREMENT_READ.
fn measurement(rec: &Rec, index: u64) -> Check<Measurement> {
    let values = rec.call(&[fid::RSI_MEASUREMENT_READ, index])?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_MEASUREMENT_READ {index}");
    let mut bytes = [0; 64];
    for (bytes, word) in bytes.chunks_mut(8).zip(&values[1..9]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Ok(bytes)
}

/// A page of bytes that a seed makes.
fn page(seed: u64) -> [u8; 4096] {
    let mut page = [0; 4096];
    for (n, bytes) in (0..).zip(page.chunks_mut(8)) {
        bytes.copy_from_slice(&pattern(seed, n).to_le_bytes());
    }
    page
}

/// A Realm built by commands of every kind, with content of many kinds.
// Conformance: RMI_REALM_CREATE measurements
// Conformance: RMI_RTT_INIT_RIPAS rim
// Conformance: RMI_DATA_CREATE rim_measured, rim_unmeasured
// Conformance: RMI_REC_CREATE rim_runnable, rim_not_runnable
fn rim() -> Check {
    let mut one = [0; 4096];
    one[4095] = 1;
    let contents = [page(1), page(2), [0; 4096], [0xFF; 4096], one];
    for watch in Watch::all() {
        for hash in [0, 1] {
            let config = Config {
                hash,
                ..Config::default()
            };
            let mut building = Building::new(&config, watch)?;
            building.realm.add_tables(layout::BASE, 3)?;
            building.realm.add_tables(MANY, 3)?;
            building.init_ripas(PAGE, PAGE + GRANULE, GRANULE)?;
            building.init_ripas(MANY, MANY + entry_size(2), GRANULE)?;
            building.init_ripas(LARGE, LARGE + 3 * entry_size(2), entry_size(2))?;
            // Reserved flags are measured too.
            let kinds = contents.iter().flat_map(|page| [(page, 1), (page, 0)]);
            let kinds = kinds.chain([(&contents[0], u64::MAX), (&contents[1], u64::MAX - 1)]);
            for (n, (page, flags)) in (0..).zip(kinds) {
                building.add_page(MANY + n * GRANULE, page, flags)?;
            }
            let gprs = [MODE_COMMANDS, config.unprotected(), 0, 0, 0, 0, 0, 0];
            building.add_rec(true, layout::BASE, gprs)?;
            building.add_rec(false, 8, [7; 8])?;
            for n in 0..3 {
                let gprs = core::array::from_fn(|gpr| pattern(n, gpr as u64));
                building.add_rec(true, pattern(n, 8) & !3, gprs)?;
            }
            building.check()?;
        }
    }
    Ok(())
}

/// Realms with parameters of many kinds.
// Conformance: RMI_REALM_CREATE measurements
fn rim_of_parameters() -> Check {
    let features = needs::features()?;
    let mut configs = alloc::vec![Config {
        s2sz: 36,
        level: 1,
        ..Config::default()
    }];
    if features.sve_en() {
        for sve_vl in [0, features.sve_vl() as u8] {
            configs.push(Config {
                flags: RealmFlags::SVE.bits(),
                sve_vl,
                ..Config::default()
            });
        }
    }
    if features.pmu_en() {
        configs.push(Config {
            flags: RealmFlags::PMU.bits(),
            pmu_num_ctrs: features.pmu_num_ctrs() as u8,
            ..Config::default()
        });
    }
    for config in configs {
        for hash in [0, 1] {
            let config = Config { hash, ..config };
            let mut building = Building::new(&config, Watch::Vectors)?;
            building.realm.add_tables(layout::BASE, 3)?;
            let gprs = [MODE_COMMANDS, config.unprotected(), 0, 0, 0, 0, 0, 0];
            building.add_rec(true, layout::BASE, gprs)?;
            building.check()?;
        }
    }
    Ok(())
}

/// A running Realm with an algorithm, and what its measurements must be.
fn measured(config: &Config) -> Check<(Realm, Measured)> {
    let realm = Realm::running(config, 1, MODE_COMMANDS)?;
    realm.boot()?;
    Ok((realm, Measured::new(config)))
}

/// The arguments of RSI_MEASUREMENT_EXTEND, and the bytes that it extends by.
fn extension(index: u64, size: u64, seed: u64) -> ([u64; 11], [u8; 64]) {
    let mut arguments = [0; 11];
    let mut bytes = [0; 64];
    arguments[..3].copy_from_slice(&[fid::RSI_MEASUREMENT_EXTEND, index, size]);
    for (n, bytes) in (0..).zip(bytes.chunks_mut(8)) {
        let word = pattern(seed, n);
        arguments[3 + n as usize] = word;
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    (arguments, bytes)
}

/// Extends a REM by `op`, which has a status and perhaps a count of registers that differ.
fn extend(rec: &Rec, op: Op, expected: &mut Measured, size: u64, seed: u64) -> Check<u64> {
    let (arguments, bytes) = extension(2, size, seed);
    let values = rec.values_of(op, &arguments)?;
    ensure_eq!(values[0], RSI_SUCCESS, "RSI_MEASUREMENT_EXTEND by {size}");
    expected.extend_rem(&bytes[..size as usize]);
    Ok(values[1])
}

fn check_rem(rec: &Rec, expected: &Measured, what: &str) -> Check {
    let found = measurement(rec, 2)?;
    ensure!(
        found == expected.rem,
        "REM, {what}: {found:x?}, wanted {:x?}",
        expected.rem
    );
    Ok(())
}

/// An ordinary Realm for each algorithm.
fn algorithms() -> [Config; 2] {
    [0, 1].map(|hash| Config {
        hash,
        ..Config::default()
    })
}

/// Whether the monitor refuses to enter a REC while the Host is in streaming mode. It does where EL3 lets the
/// Host use that mode and does not let the monitor end it: at each entry or at none.
fn refuses_streaming(watch: Watch, rec: &Rec) -> Check<bool> {
    static REFUSES: Once<bool> = Once::new();
    if REFUSES.get() == Some(&false) {
        return Ok(false);
    }
    let answer = watch.around(0, "RMI_REC_ENTER", || {
        Ok(rec.try_enter(&command(Op::Nop, &[])))
    })?;
    if *REFUSES.call_once(|| answer.status != RMI_SUCCESS) {
        ensure!(
            !params::get().el3_opens_all,
            "RMI_REC_ENTER is refused in streaming mode, which EL3 lets the monitor end"
        );
        answer.input("RMI_REC_ENTER in streaming mode")?;
        ensure_eq!(rec.last_exit().exit_reason, 0xFF, "exit of no entry");
    }
    Ok(answer.status != RMI_SUCCESS)
}

/// Extends a REM by `op`, of which neither the Realm's registers nor the Host's may show a trace. Where a REC
/// is not entered in streaming mode, outside it.
fn extend_unseen(
    mut watch: Watch,
    rec: &Rec,
    op: Op,
    expected: &mut Measured,
    size: u64,
    seed: u64,
) -> Check {
    if watch.is_streaming() && refuses_streaming(watch, rec)? {
        needs::leave_out("RECs in streaming mode, which EL3 does not let the monitor end");
        watch = Watch::Vectors;
    }
    let different = watch.around(100 + seed, "RSI_MEASUREMENT_EXTEND", || {
        extend(rec, op, expected, size, seed)
    })?;
    ensure_eq!(different, 0, "{watch:?}: the Realm's registers, {op:?}");
    check_rem(rec, expected, "while vector registers are in use")
}

// Conformance: RSI_MEASUREMENT_EXTEND value
fn rem_of_each_size() -> Check {
    for config in algorithms() {
        let (realm, mut expected) = measured(&config)?;
        let rec = &realm.recs[0];
        for size in 0..=64 {
            Watch::Vectors.around(size, "RSI_MEASUREMENT_EXTEND", || {
                extend(rec, Op::Smc, &mut expected, size, size)
            })?;
            check_rem(rec, &expected, "after one more byte than before")?;
        }
        realm.finish()?;
    }
    Ok(())
}

/// A Realm runs outside streaming mode, whatever the Host's mode is.
// Conformance: RSI_MEASUREMENT_EXTEND value
fn rem_in_streaming_mode() -> Check {
    watch::streaming()?;
    for config in algorithms() {
        let (realm, mut expected) = measured(&config)?;
        let rec = &realm.recs[0];
        for (n, watch) in (1..).zip(Watch::all_streaming([0, 3, 15])) {
            extend_unseen(watch, rec, Op::FpSmc, &mut expected, 64, n)?;
        }
        realm.finish()?;
    }
    Ok(())
}

/// A Realm without SVE finds its vector registers again, and so does the Host, whose vectors may be
/// longer.
// Conformance: RSI_MEASUREMENT_EXTEND value
// Conformance: Exceptions and accesses that do not exit simd
fn vectors_of_the_realm() -> Check {
    for config in algorithms() {
        let (realm, mut expected) = measured(&config)?;
        let rec = &realm.recs[0];
        for (n, watch) in (1..).zip(Watch::all()) {
            for size in [1, 64] {
                extend_unseen(watch, rec, Op::FpSmc, &mut expected, size, n)?;
            }
        }
        realm.finish()?;
    }
    Ok(())
}

/// A Realm with SVE finds all of it again, at any length.
// Conformance: RSI_MEASUREMENT_EXTEND value
// Conformance: Exceptions and accesses that do not exit sve
fn sve_of_the_realm() -> Check {
    let features = needs::sve()?;
    for (hash, sve_vl) in [
        (0, 0),
        (1, 0),
        (0, features.sve_vl() as u8),
        (1, features.sve_vl() as u8),
    ] {
        let config = Config {
            hash,
            flags: RealmFlags::SVE.bits(),
            sve_vl,
            ..Config::default()
        };
        let (realm, mut expected) = measured(&config)?;
        let rec = &realm.recs[0];
        // As long as the Realm may.
        rec.value_of(Op::Msr, &[SysReg::Zcr as u64, 0xF])?;
        for (n, watch) in (1..).zip(Watch::all()) {
            for op in [Op::SveSmc, Op::FpSmc] {
                extend_unseen(watch, rec, op, &mut expected, 64, n)?;
            }
        }
        realm.finish()?;
    }
    Ok(())
}
