// SPDX-License-Identifier: BSD-3-Clause
//! Four CPUs make random calls with the same few addresses, and run Realms that do the same with
//! their memory, while one Realm is made and destroyed again and again. Whatever the order was, all
//! of it must add up in the end.

use super::watched;
use rmm_abi::rmi::{RecEnterFlags, RecExitReason, RecParams, RecRun};
use rmm_abi::{psci, rsi};
use rmm_core::fake::{Board, Host, PAGE, RealmCpu, Status, TestRealm, audit, sweep};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use zerocopy::{FromZeros, IntoBytes};

const CALLS: u64 = if cfg!(miri) { 150 } else { 6_000 };

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What the CPUs have in common.
struct Field {
    board: Arc<Board>,
    /// RDs of two Realms that stay, and of one that comes and goes.
    rds: [u64; 3],
    /// Their RECs, three each.
    recs: [u64; 9],
    /// Granules for memory and tables.
    granules: Vec<u64>,
    /// Pages that stay the Host's: records of runs, one for each CPU.
    runs: [u64; 4],
    /// Parameters of the third Realm and of its RECs.
    realm_params: u64,
    rec_params: [u64; 3],
    /// Parameters of yet another Realm, whose tables begin in a Granule for anything.
    other_params: u64,
    /// VMID of the third Realm.
    vmid: u16,
    /// Its tables and a page of its memory.
    memory: [u64; 5],
    /// All Granules that it consists of, these included.
    parts: Vec<u64>,
}

/// The Realm that comes and goes.
const THIRD: usize = 2;

/// IPAs: few, at the borders of tables, in both halves of 34 bits.
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

/// How often each call had which answer.
type Answers = BTreeMap<(&'static str, Kind), u32>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Success,
    Failure,
}

fn kind(status: Status) -> Kind {
    if status == Status::Success {
        Kind::Success
    } else {
        Kind::Failure
    }
}

/// Enters a REC of a Realm with random flags and answers its request, if it has one.
fn enter(
    host: &Host,
    random: &mut Random,
    (field, realm): (&Field, usize),
    run: u64,
    answers: &mut Answers,
) {
    let recs = &field.recs[3 * realm..][..3];
    let (rd, rec) = (field.rds[realm], random.of(recs));
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
    *answers.entry(("rec_enter", kind(status))).or_default() += 1;
    if status != Status::Success {
        return;
    }
    let record: RecRun = host.get(run);
    if record.exit.ripas_top > 0 {
        let (base, top) = (record.exit.ripas_base, record.exit.ripas_top);
        let (status, _) = host.rtt_set_ripas(rd, rec, base, top);
        *answers.entry(("set_ripas", kind(status))).or_default() += 1;
    }
    if record.exit.exit_reason == RecExitReason::Psci as u8 {
        let [_, target, ..] = record.exit.gprs;
        let target = usize::try_from(target).ok().and_then(|n| recs.get(n));
        let status = host.psci_complete(rec, *target.expect("a REC"), 0);
        *answers.entry(("psci_complete", kind(status))).or_default() += 1;
    }
}

/// Makes random calls.
fn hammer(host: &Host, field: &Field, cpu: usize, seed: u64) -> Answers {
    let mut answers = Answers::new();
    let random = &mut Random(seed);
    for _ in 0..CALLS {
        let granule = random.of(&field.granules);
        let realm = random.below(3);
        let (rd, rec) = (field.rds[realm], field.recs[3 * realm + random.below(3)]);
        let ipa = random.of(&IPAS);
        // A table's level and its base, an entry's level and its base.
        let (level, size) = random.of(&[(2, GIB), (3, 2 * MIB), (3, 2 * MIB)]);
        let base = ipa & !(size - 1);
        let (name, status) = match random.below(26) {
            0 | 1 => ("delegate", host.granule_delegate(granule)),
            2 => ("undelegate", host.granule_undelegate(granule)),
            3 if cpu == 1 => ("delegate", host.granule_delegate(random.of(&field.parts))),
            4 => (
                "realm_create",
                host.realm_create(granule, field.other_params),
            ),
            5 => ("realm_destroy", host.realm_destroy(granule)),
            6..=9 => {
                let realm = (field, realm);
                enter(host, random, realm, field.runs[cpu], &mut answers);
                continue;
            }
            10 if realm != THIRD => {
                let target = field.recs[3 * realm + random.below(3)];
                ("psci_complete", host.psci_complete(rec, target, 0))
            }
            11 => {
                let src = field.runs[0];
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
                let desc = (random.of(&field.runs) & !(size - 1)) | 6 << 2 | 3 << 6;
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
        *answers.entry((name, kind(status))).or_default() += 1;
    }
    answers
}

/// Makes the third Realm, lets it run, and takes it apart, while others add to it and take away.
fn come_and_go(host: &Host, field: &Field, cpu: usize, seed: u64) -> Answers {
    let mut answers = Answers::new();
    let random = &mut Random(seed);
    let rd = field.rds[THIRD];
    for _ in 0..CALLS / 100 {
        let mut note = |name, status| *answers.entry((name, kind(status))).or_default() += 1;
        for part in &field.parts {
            note("delegate", host.granule_delegate(*part));
        }
        let created = host.realm_create(rd, field.realm_params);
        note("realm_create", created);
        for (rec, params) in field.recs[3 * THIRD..].iter().zip(field.rec_params) {
            note("rec_create", host.rec_create(rd, *rec, params));
        }
        for index in (0..3).filter(|_| created == Status::Success) {
            let seed = random.next();
            host.program(field.vmid, index, move |cpu| program(cpu, seed));
        }
        let [rtt_0, rtt_1, data, rtt_2, rtt_3] = field.memory;
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
        let status = host.data_create(rd, data, PAGE, field.runs[0], 1);
        note("data_create", status);
        note("realm_activate", host.realm_activate(rd));
        for _ in 0..10 {
            let third = (field, THIRD);
            enter(host, random, third, field.runs[cpu], &mut answers);
        }
        let mut note = |name, status| *answers.entry((name, kind(status))).or_default() += 1;
        for rec in &field.recs[3 * THIRD..] {
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
        for part in &field.parts {
            note("undelegate", host.granule_undelegate(*part));
        }
    }
    answers
}

/// What runs in every REC: accesses and calls without end.
async fn program(cpu: RealmCpu, seed: u64) {
    let random = &mut Random(seed);
    loop {
        let ipa = random.of(&IPAS);
        match random.below(10) {
            0..=2 => ignore(cpu.read(ipa).await),
            3..=5 => ignore(cpu.write(ipa + 8, random.next()).await),
            6 => ignore(cpu.fetch(ipa).await),
            7 => {
                let (set, ripas) = (rsi::fid::RSI_IPA_STATE_SET, random.next() & 1);
                let request = [set, ipa, ipa + PAGE, ripas, random.next() & 1];
                ignore(cpu.smc(&request).await);
            }
            8 => ignore(cpu.smc(&[rsi::fid::RSI_HOST_CALL, ipa]).await),
            _ => {
                let target = random.next() % 3;
                let info = psci::fid::PSCI_AFFINITY_INFO;
                ignore(cpu.smc(&[info, target, 0]).await);
            }
        }
        cpu.irq().await;
    }
}

/// Any result will do.
fn ignore<T>(_: T) {}

/// A Realm that stays: ACTIVE, with three RECs and a few tables.
fn lasting(host: &Host) -> TestRealm<'_> {
    let realm = host.realm().ipa(34, 1, 1).create();
    for runnable in [true, true, false] {
        let _rec = realm.rec(runnable);
    }
    for ipa in [0, realm.unprotected()] {
        realm.tables(ipa, 3);
    }
    realm.activate();
    realm.may_be_unfinished();
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
    let third = third.given();
    let granules: Vec<u64> = (0..24).map(|_| host.page()).collect();
    let other = host
        .realm()
        .ipa(34, 1, 1)
        .params(|p| p.rtt_base = granules[7]);
    let other = other.given();
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
    let field = Field {
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
            host.program(vmid, index, move |cpu| program(cpu, seed));
        }
    }

    let mut answers = Answers::new();
    watched(|| {
        host.leniently(|| {
            thread::scope(|scope| {
                let field = &field;
                let others: Vec<_> = (1..4)
                    .map(|cpu| {
                        let seed = seed + cpu as u64;
                        scope.spawn(move || {
                            let host = Host::of_board(&field.board, cpu);
                            if cpu == 3 {
                                come_and_go(&host, field, cpu, seed)
                            } else {
                                hammer(&host, field, cpu, seed)
                            }
                        })
                    })
                    .collect();
                answers = hammer(&host, field, 0, seed);
                for other in others {
                    for (key, count) in other.join().expect("no panic") {
                        *answers.entry(key).or_default() += count;
                    }
                }
            });
        });
    });
    let counts = audit(&host);
    println!("{answers:#?}, left over: {counts:?}");
    if !cfg!(miri) {
        for (name, _) in answers.keys() {
            let successes = answers.get(&(*name, Kind::Success));
            assert!(successes.is_some(), "{name} never succeeded");
        }
    }
    sweep(&host);
    realms.iter().for_each(TestRealm::is_gone);
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
