// SPDX-License-Identifier: BSD-3-Clause
//! Four CPUs make random calls with the same few addresses, and run Realms that access their memory
//! at random, while one Realm is created and destroyed again and again. Whatever the order was, the
//! machine is consistent at the end.

use super::watched;
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, RecParams, RecRun};
use rmm_abi::{psci, rsi};
use rmm_core::fake::{
    Board, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, Random, RealmCpu, Status, TestRealm, audit, sweep,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use zerocopy::{FromZeros, IntoBytes};

const CALLS: u64 = if cfg!(miri) { 150 } else { 6_000 };

/// Addresses that all CPUs use.
struct Shared {
    board: Arc<Board>,
    /// RDs of two Realms that stay, and of one that is created and destroyed.
    rds: [u64; 3],
    /// Three RECs for each Realm.
    recs: [u64; 9],
    /// Granules for memory and RTTs.
    granules: Vec<u64>,
    /// Pages of Host memory for entry and exit records, one for each CPU.
    runs: [u64; 4],
    /// Parameters of the third Realm and of its RECs.
    realm_params: u64,
    rec_params: [u64; 3],
    /// Parameters of yet another Realm, whose start-level RTT is one of `granules`.
    other_params: u64,
    /// VMID of the third Realm.
    vmid: u16,
    /// RTTs and a page of memory of the third Realm.
    memory: [u64; 5],
    /// All granules of the third Realm, including `memory`.
    parts: Vec<u64>,
}

/// Index of the Realm that is created and destroyed.
const THIRD: usize = 2;

/// A few IPAs at the boundaries of RTTs, in both halves of 34 bits.
const IPAS: [u64; 12] = [
    0,
    PAGE,
    2 * PAGE,
    2 * MIB - PAGE,
    2 * MIB,
    GIB - PAGE,
    GIB,
    8 * GIB,
    8 * GIB + PAGE,
    8 * GIB + 2 * MIB,
    9 * GIB,
    16 * GIB - PAGE,
];

/// How often each command succeeded and failed.
type Results = BTreeMap<(&'static str, Outcome), u32>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Success,
    Failure,
}

fn outcome(status: Status) -> Outcome {
    if status == Status::Success {
        Outcome::Success
    } else {
        Outcome::Failure
    }
}

/// Enters a REC of a Realm with random flags, and completes its RIPAS change or PSCI request.
fn enter(
    host: &Host,
    random: &mut Random,
    (shared, realm): (&Shared, usize),
    run: u64,
    results: &mut Results,
) {
    let recs = &shared.recs[3 * realm..][..3];
    let (rd, rec) = (shared.rds[realm], random.of(recs));
    let mut record = RecRun::new_zeroed();
    record.enter.flags = random.of(&[
        0,
        0,
        0,
        RecEnterFlags::EMUL_MMIO.bits(),
        RecEnterFlags::INJECT_SEA.bits(),
        RecEnterFlags::RIPAS_RESPONSE.bits(),
    ]);
    host.write(run, record.as_bytes());
    let status = host.rec_enter(rec, run);
    *results.entry(("rec_enter", outcome(status))).or_default() += 1;
    if status != Status::Success {
        return;
    }
    let record: RecRun = host.get(run);
    if record.exit.ripas_top > 0 {
        let (base, top) = (record.exit.ripas_base, record.exit.ripas_top);
        let (status, _) = host.rtt_set_ripas(rd, rec, base, top);
        *results.entry(("set_ripas", outcome(status))).or_default() += 1;
    }
    if record.exit.exit_reason == RecExitReason::Psci as u8 {
        let [_, target, ..] = record.exit.gprs;
        let target = usize::try_from(target).ok().and_then(|n| recs.get(n));
        let status = host.psci_complete(rec, *target.expect("a REC"), 0);
        *results
            .entry(("psci_complete", outcome(status)))
            .or_default() += 1;
    }
}

/// Makes random calls.
fn hammer(host: &Host, shared: &Shared, cpu: usize, seed: u64) -> Results {
    let mut results = Results::new();
    let random = &mut Random(seed);
    for _ in 0..CALLS {
        let granule = random.of(&shared.granules);
        let realm = random.below(3);
        let (rd, rec) = (shared.rds[realm], shared.recs[3 * realm + random.below(3)]);
        let ipa = random.of(&IPAS);
        // Level of an RTT, and what it translates.
        let (level, size) = random.of(&[(2, GIB), (3, 2 * MIB), (3, 2 * MIB)]);
        let base = ipa & !(size - 1);
        let (name, status) = match random.below(26) {
            0 | 1 => ("delegate", host.granule_delegate(granule)),
            2 => ("undelegate", host.granule_undelegate(granule)),
            3 if cpu == 1 => ("delegate", host.granule_delegate(random.of(&shared.parts))),
            4 => (
                "realm_create",
                host.realm_create(granule, shared.other_params),
            ),
            5 => ("realm_destroy", host.realm_destroy(granule)),
            6..=9 => {
                let realm = (shared, realm);
                enter(host, random, realm, shared.runs[cpu], &mut results);
                continue;
            }
            10 if realm != THIRD => {
                let target = shared.recs[3 * realm + random.below(3)];
                ("psci_complete", host.psci_complete(rec, target, 0))
            }
            11 => {
                let src = shared.runs[0];
                let status = host.data_create(rd, granule, ipa, src, 1);
                ("data_create", status)
            }
            12..=14 => {
                let status = host.data_create_unknown(rd, granule, ipa);
                ("data_create_unknown", status)
            }
            15 | 16 => ("data_destroy", host.data_destroy(rd, ipa).0),
            17 | 18 => ("rtt_create", host.rtt_create(rd, granule, base, level)),
            19 => ("rtt_destroy", host.rtt_destroy(rd, base, level).0),
            20 => ("rtt_fold", host.rtt_fold(rd, base, level).0),
            21 | 22 => {
                let (level, size) = random.of(&[(3, PAGE), (2, 2 * MIB)]);
                let desc = (random.of(&shared.runs) & !(size - 1)) | NS_ATTRIBUTES;
                let status = host.rtt_map_unprotected(rd, ipa & !(size - 1), level, desc);
                ("map", status)
            }
            23 => ("unmap", host.rtt_unmap_unprotected(rd, ipa, 3).0),
            24 => ("read_entry", host.rtt_read_entry(rd, ipa, 3).0),
            _ => {
                let (status, _) = host.rtt_init_ripas(rd, ipa, ipa + PAGE);
                ("init_ripas", status)
            }
        };
        *results.entry((name, outcome(status))).or_default() += 1;
    }
    results
}

/// Creates the third Realm, runs it and destroys it, while other CPUs change it.
fn create_and_destroy(host: &Host, shared: &Shared, cpu: usize, seed: u64) -> Results {
    let mut results = Results::new();
    let random = &mut Random(seed);
    let rd = shared.rds[THIRD];
    for _ in 0..CALLS / 100 {
        let mut note = |name, status| *results.entry((name, outcome(status))).or_default() += 1;
        for part in &shared.parts {
            note("delegate", host.granule_delegate(*part));
        }
        let created = host.realm_create(rd, shared.realm_params);
        note("realm_create", created);
        for (rec, params) in shared.recs[3 * THIRD..].iter().zip(shared.rec_params) {
            note("rec_create", host.rec_create(rd, *rec, params));
        }
        for index in (0..3).filter(|_| created == Status::Success) {
            let seed = random.bits();
            host.script(shared.vmid, index, move |cpu| program(cpu, seed));
        }
        let [rtt_0, rtt_1, data, rtt_2, rtt_3] = shared.memory;
        let tables = [
            (rtt_0, 0, 2),
            (rtt_1, 0, 3),
            (rtt_2, 8 * GIB, 2),
            (rtt_3, 8 * GIB, 3),
        ];
        for (rtt, ipa, level) in tables {
            note("rtt_create", host.rtt_create(rd, rtt, ipa, level));
        }
        note("init_ripas", host.rtt_init_ripas(rd, 0, PAGE).0);
        let status = host.data_create(rd, data, PAGE, shared.runs[0], 1);
        note("data_create", status);
        note("realm_activate", host.realm_activate(rd));
        for _ in 0..10 {
            let third = (shared, THIRD);
            enter(host, random, third, shared.runs[cpu], &mut results);
        }
        let mut note = |name, status| *results.entry((name, outcome(status))).or_default() += 1;
        for rec in &shared.recs[3 * THIRD..] {
            note("rec_destroy", host.rec_destroy(*rec));
        }
        for _ in 0..100 {
            if host.realm_destroy(rd) == Status::Success {
                note("realm_destroy", Status::Success);
                break;
            }
            for ipa in IPAS {
                let _status = host.data_destroy(rd, ipa);
            }
            for level in [3, 2] {
                for ipa in IPAS {
                    let size = if level == 3 { 2 * MIB } else { GIB };
                    let _status = host.rtt_destroy(rd, ipa & !(size - 1), level);
                }
            }
        }
        for part in &shared.parts {
            note("undelegate", host.granule_undelegate(*part));
        }
    }
    results
}

/// The script of every REC: random accesses to memory and calls.
async fn program(cpu: RealmCpu, seed: u64) {
    let random = &mut Random(seed);
    loop {
        let ipa = random.of(&IPAS);
        match random.below(10) {
            0..=2 => ignore(cpu.read(ipa).await),
            3..=5 => ignore(cpu.write(ipa + 8, random.bits()).await),
            6 => ignore(cpu.fetch(ipa).await),
            7 => {
                let (set, ripas) = (rsi::fid::RSI_IPA_STATE_SET, random.bits() & 1);
                let request = [set, ipa, ipa + PAGE, ripas, random.bits() & 1];
                ignore(cpu.smc(&request).await);
            }
            8 => ignore(cpu.smc(&[rsi::fid::RSI_HOST_CALL, ipa]).await),
            _ => {
                let target = random.bits() % 3;
                let info = psci::fid::PSCI_AFFINITY_INFO;
                ignore(cpu.smc(&[info, target, 0]).await);
            }
        }
        cpu.irq().await;
    }
}

/// Ignores a result.
fn ignore<T>(_: T) {}

/// A Realm that stays: ACTIVE, with three RECs and a few RTTs.
fn lasting(host: &Host) -> TestRealm<'_> {
    let realm = host.realm().ipa(34, 1, 1).create();
    for runnable in [true, true, false] {
        let _rec = realm.rec(runnable);
    }
    for ipa in [0, realm.unprotected()] {
        realm.tables(ipa, 3);
    }
    realm.activate();
    realm.allow_unfinished_scripts();
    realm
}

fn run(seed: u64) {
    let host = Host::new();
    let realms = [lasting(&host), lasting(&host)];
    let rd = host.page();
    let recs: Vec<u64> = (0..3).map(|_| host.page()).collect();
    let aux: Vec<u64> = (0..6).map(|_| host.page()).collect();
    let (rtt, memory) = (host.page(), [0; 5].map(|_| host.page()));
    let third = host.realm().ipa(34, 1, 1).params(|p| p.rtt_base = rtt);
    let third = third.unprepared();
    let granules: Vec<u64> = (0..24).map(|_| host.page()).collect();
    let other = host
        .realm()
        .ipa(34, 1, 1)
        .params(|p| p.rtt_base = granules[7]);
    let other = other.unprepared();
    let rec_params = [0, 1, 2].map(|index| {
        let mut params = RecParams::new_zeroed();
        params.flags = u64::from(index < 2);
        params.pc = 0x1000;
        (params.mpidr, params.num_aux) = (index as u64, 2);
        params.aux[..2].copy_from_slice(&aux[2 * index..][..2]);
        host.page_with(params.as_bytes())
    });
    let of = |n: usize| [0, 1, 2].map(|rec| realms[n].rec_pa(rec));
    let all_recs = [of(0), of(1), [recs[0], recs[1], recs[2]]].concat();
    let shared = Shared {
        board: host.board().clone(),
        rds: [realms[0].rd, realms[1].rd, rd],
        recs: all_recs.try_into().expect("three times three"),
        granules,
        runs: [0; 4].map(|_| host.page()),
        other_params: host.page_with(other.as_bytes()),
        vmid: third.vmid,
        realm_params: host.page_with(third.as_bytes()),
        rec_params,
        memory,
        parts: [vec![rd, rtt], recs, aux, memory.to_vec()].concat(),
    };
    for vmid in realms.each_ref().map(|realm| realm.params.vmid) {
        for index in 0..3 {
            let seed = seed ^ (u64::from(vmid) << 8) ^ index;
            host.script(vmid, index, move |cpu| program(cpu, seed));
        }
    }

    let mut results = Results::new();
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                let shared = &shared;
                let others: Vec<_> = (1..4)
                    .map(|cpu| {
                        let seed = seed + cpu as u64;
                        scope.spawn(move || {
                            let host = Host::of_board(&shared.board, cpu);
                            if cpu == 3 {
                                create_and_destroy(&host, shared, cpu, seed)
                            } else {
                                hammer(&host, shared, cpu, seed)
                            }
                        })
                    })
                    .collect();
                results = hammer(&host, shared, 0, seed);
                for other in others {
                    for (key, count) in other.join().expect("no panic") {
                        *results.entry(key).or_default() += count;
                    }
                }
            });
        });
    });
    let counts = audit(&host);
    println!("{results:#?}, remaining: {counts:?}");
    if !cfg!(miri) {
        for (name, _) in results.keys() {
            let successes = results.get(&(*name, Outcome::Success));
            assert!(successes.is_some(), "{name} never succeeded");
        }
    }
    sweep(&host);
    realms.iter().for_each(TestRealm::mark_destroyed);
}

#[test]
fn seed_1() {
    run(0x1000);
}

#[test]
fn seed_2() {
    run(0x2000);
}

#[test]
fn seed_3() {
    run(0x3000);
}
