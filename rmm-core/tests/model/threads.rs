// SPDX-License-Identifier: BSD-3-Clause
//! Four CPUs, one pool of Granules, a few Realms: nobody can tell what a command comes to, but
//! between rounds, when all stand still, the machine is in order.
//!
//! A round has every CPU take its steps, whatever the others do: that is the progress asked for.
//! Then every Granule has the one role that its word says ([`audit`]), what is DELEGATED is empty,
//! and no translation reaches what no Realm has. While they run, a Realm finds in its memory what it
//! wrote itself, what its Host gave it, or nothing.

use super::ops::Draw;
use super::state::Kind;
use super::{number, seed};
use rmm_abi::rmi::{
    RealmParams, RecEnter, RecExit, RecExitReason, RecParams, RecRun, fid, index_to_mpidr,
};
use rmm_abi::{psci, rsi};
use rmm_core::fake::{Access, Board, Config, Host, RealmCpu, Status, audit, features};
use rmm_core::realm::Realm;
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, Pa};
use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const CPUS: usize = 4;
/// Steps of a CPU in a round.
const ROUND: usize = 400;
/// Rounds.
const ROUNDS: usize = 12;

const BASE: u64 = 0x8000_0000;
/// Parameters, source and entry record of each CPU; nobody delegates these.
const OWN: u64 = 4 * 0x1000;
const POOL: u64 = BASE + CPUS as u64 * OWN;
const GRANULES: u64 = 96;
const END: u64 = POOL + GRANULES * 0x1000;

/// What the Host gives to a Realm, in every page of it.
const GIVEN: u64 = 0x0617_0617_0617_0617;
/// First Unprotected IPA: every Realm has 32 bits of IPA and one start-level RTT, at level 1.
const HALF: u64 = 1 << 31;

/// What all CPUs share beside the machine.
#[derive(Default)]
struct Shared {
    vmids: AtomicU16,
    steps: AtomicU64,
}

/// Successes and failures by command.
type Counts = BTreeMap<u64, [u64; 2]>;

/// One CPU's Host.
struct Cpu<'a> {
    host: Host,
    shared: &'a Shared,
    draw: Draw,
    /// VMID of the Realm that it creates next; the programs of its RECs are there.
    vmid: u16,
    counts: Counts,
    own: u64,
}

fn word_kind(word: u16) -> u16 {
    word >> 12 & 7
}

impl<'a> Cpu<'a> {
    fn new(board: &Arc<Board>, shared: &'a Shared, cpu: usize, seed: u64) -> Self {
        let host = Host::of_board(board, cpu);
        let vmid = new_vmid(&host, shared);
        let words = [0, 16, 32, 48, 0, 16].map(|shift| (seed >> shift) as u16 ^ cpu as u16);
        Self {
            host,
            shared,
            draw: Draw::new(words),
            vmid,
            counts: Counts::new(),
            own: BASE + cpu as u64 * OWN,
        }
    }

    fn call(&mut self, function: u64, args: &[u64]) -> (Status, [u64; 8]) {
        let reply = self.host.call_that_may_run(function, args);
        let ok = reply.status == Status::Success;
        self.counts.entry(function).or_default()[usize::from(!ok)] += 1;
        (reply.status, reply.x)
    }

    fn below(&mut self, n: usize) -> u64 {
        self.draw.below(n) as u64
    }

    /// A Granule that was of this kind a moment ago, or any.
    fn granule(&mut self, kind: Kind) -> u64 {
        let first = self.below(GRANULES as usize);
        if self.draw.once_in(12) {
            return POOL + first * 0x1000;
        }
        let all = (0..GRANULES).map(|n| POOL + (first + n) % GRANULES * 0x1000);
        let board = self.host.board();
        let of_kind = |pa: &u64| {
            board
                .word(*pa)
                .is_some_and(|word| word_kind(word) == kind.bits())
        };
        let found = all.clone().find(of_kind);
        found.unwrap_or(POOL + first * 0x1000)
    }

    /// A DELEGATED Granule, not this one if there is a second.
    fn other_than(&mut self, pa: u64) -> u64 {
        let tries = (0..4).map(|_| self.granule(Kind::Delegated));
        tries
            .reduce(|found, other| if found == pa { other } else { found })
            .unwrap_or(pa)
    }

    fn ipa(&mut self) -> u64 {
        let half = self.draw.of(&[0, 0, 0, HALF]);
        let table = self.draw.of(&[0, 0, 0, 1 << 21, 1 << 30]);
        half + table + self.below(3) * 0x1000
    }

    fn step(&mut self) {
        let rd = self.granule(Kind::Rd);
        let ipa = self.ipa();
        match self.draw.below(30) {
            0 | 1 => {
                let pa = self.granule(Kind::Undelegated);
                self.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
            }
            2 => {
                let pa = self.granule(Kind::Delegated);
                self.call(fid::RMI_GRANULE_UNDELEGATE, &[pa]);
            }
            3 if self.draw.once_in(4) => {
                self.realm_create();
            }
            4 => {
                self.call(fid::RMI_REALM_DESTROY, &[rd]);
            }
            5 => {
                let index = self.below(3);
                let runnable = !self.draw.once_in(3);
                self.rec_create(rd, index, runnable);
            }
            6 if self.draw.once_in(4) => {
                let rec = self.granule(Kind::Rec);
                self.call(fid::RMI_REC_DESTROY, &[rec]);
            }
            7 if self.draw.once_in(3) => {
                self.call(fid::RMI_REALM_ACTIVATE, &[rd]);
            }
            8 | 9 => self.rtt_create(rd, ipa),
            10..=13 => {
                let level = 2 + self.below(2);
                let size: u64 = 0x1000 << (9 * (4 - level));
                let function = self.draw.of(&[fid::RMI_RTT_DESTROY, fid::RMI_RTT_FOLD]);
                self.call(function, &[rd, ipa & !(size - 1), level]);
            }
            14..=16 => self.data_create(rd, ipa),
            17 => {
                self.call(fid::RMI_DATA_DESTROY, &[rd, ipa & (HALF - 1)]);
            }
            18 => {
                let base = ipa & (HALF - 1);
                self.call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, base + 0x2000]);
            }
            19 => {
                let rec = self.granule(Kind::Rec);
                let base = ipa & (HALF - 1);
                self.call(fid::RMI_RTT_SET_RIPAS, &[rd, rec, base, base + 0x1000]);
            }
            20 => {
                let target = self.granule(Kind::Undelegated) | 6 << 2 | 3 << 6;
                let args = [rd, ipa | HALF, 3, target];
                self.call(fid::RMI_RTT_MAP_UNPROTECTED, &args);
            }
            21 => {
                self.call(fid::RMI_RTT_UNMAP_UNPROTECTED, &[rd, ipa | HALF, 3]);
            }
            3 | 6 | 7 | 22 => {
                let (status, x) = self.call(fid::RMI_RTT_READ_ENTRY, &[rd, ipa, 3]);
                assert!(status != Status::Success || x[2] <= 2 && x[4] <= 2);
            }
            23 => {
                let (calling, target) = (self.granule(Kind::Rec), self.granule(Kind::Rec));
                self.call(fid::RMI_PSCI_COMPLETE, &[calling, target, 0]);
            }
            _ => self.enter(),
        }
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the RD.
    fn realm_create(&mut self) -> Option<u64> {
        let mut params = RealmParams::new_zeroed();
        (params.s2sz, params.num_bps, params.num_wps) = (32, 1, 1);
        params.rtt_level_start = 1;
        params.rtt_num_start = 1;
        params.rtt_base = self.granule(Kind::Delegated);
        // One that others may have, now and then.
        let shared = self.draw.once_in(3);
        params.vmid = if shared {
            0xFFF0 + self.below(2) as u16
        } else {
            self.vmid
        };
        self.host.put(self.own, &params);
        let rd = self.other_than(params.rtt_base);
        let (status, _) = self.call(fid::RMI_REALM_CREATE, &[rd, self.own]);
        if status == Status::Success && !shared {
            self.vmid = new_vmid(&self.host, self.shared);
        }
        (status == Status::Success).then_some(rd)
    }

    fn rec_create(&mut self, rd: u64, index: u64, runnable: bool) {
        let (status, x) = self.call(fid::RMI_REC_AUX_COUNT, &[rd]);
        if status != Status::Success {
            return;
        }
        let mut params = RecParams::new_zeroed();
        params.flags = u64::from(runnable);
        params.mpidr = index_to_mpidr(index);
        params.pc = 0x4000_0000;
        params.num_aux = x[1];
        // Two of three may be the same by chance, which is an alias to refuse.
        let mut last = self.granule(Kind::Delegated);
        for aux in params.aux.iter_mut().take(x[1] as usize) {
            *aux = last;
            last = self.other_than(last);
        }
        self.host.put(self.own, &params);
        let rec = last;
        self.call(fid::RMI_REC_CREATE, &[rd, rec, self.own]);
    }

    fn rtt_create(&mut self, rd: u64, ipa: u64) {
        for level in [2, 3] {
            let size: u64 = 0x1000 << (9 * (4 - level));
            let rtt = self.granule(Kind::Delegated);
            let args = [rd, rtt, ipa & !(size - 1), level];
            self.call(fid::RMI_RTT_CREATE, &args);
        }
    }

    fn data_create(&mut self, rd: u64, ipa: u64) {
        let data = self.granule(Kind::Delegated);
        let ipa = ipa & (HALF - 1);
        if self.draw.once_in(2) {
            self.call(fid::RMI_DATA_CREATE_UNKNOWN, &[rd, data, ipa]);
            return;
        }
        let source = self.own + 0x1000;
        self.host.put(source, &[GIVEN; 512]);
        self.call(fid::RMI_DATA_CREATE, &[rd, data, ipa, source, 1]);
    }

    fn enter(&mut self) {
        let rec = self.granule(Kind::Rec);
        let mut enter = RecEnter::new_zeroed();
        enter.flags = self.draw.of(&[0, 0, 0, 1, 2, 16]);
        enter.gprs[0] = GIVEN;
        let run = match self.draw.below(6) {
            // One that somebody may delegate meanwhile.
            0 => self.granule(Kind::Undelegated),
            _ => self.own + 0x2000,
        };
        let mut record = RecRun::new_zeroed();
        record.enter = enter;
        let written = self
            .host
            .board()
            .memory
            .write_ns(Pa(run), record.as_bytes());
        if written.is_err() {
            return;
        }
        let (status, _) = self.call(fid::RMI_REC_ENTER, &[rec, run]);
        let mut exit = RecExit::new_zeroed();
        let at = Pa(run + offset_of!(RecRun, exit) as u64);
        let read = self.host.board().memory.read_ns(at, exit.as_mut_bytes());
        if status == Status::Success && read.is_ok() {
            self.answer(rec, &exit);
        }
    }

    /// What a Host does about an exit, or part of it.
    fn answer(&mut self, rec: u64, exit: &RecExit) {
        let all = |cpu: &Self, kind: Kind| {
            let words = cpu.host.board().words();
            let of_kind = words.filter(|(_, word)| word_kind(*word) == kind.bits());
            of_kind.map(|(pa, _)| pa).collect::<Vec<u64>>()
        };
        match RecExitReason::try_from(exit.exit_reason) {
            Ok(RecExitReason::RipasChange) => {
                for rd in all(self, Kind::Rd) {
                    let args = [rd, rec, exit.ripas_base, exit.ripas_top];
                    self.call(fid::RMI_RTT_SET_RIPAS, &args);
                }
            }
            Ok(RecExitReason::Psci) => {
                for target in all(self, Kind::Rec) {
                    self.call(fid::RMI_PSCI_COMPLETE, &[rec, target, 0]);
                }
            }
            _ => {}
        }
    }
}

/// Between rounds: fills up what the CPUs have used up, as far as there are Granules. Three Realms
/// at least, of which one is NEW, with RECs, tables and memory.
fn prepare(cpu: &mut Cpu<'_>) {
    let count = |cpu: &Cpu<'_>, kind: Kind| {
        let words = cpu.host.board().words();
        words
            .filter(|(_, word)| word_kind(*word) == kind.bits())
            .count()
    };
    // Too little is left to do anything with.
    if count(cpu, Kind::Undelegated) + count(cpu, Kind::Delegated) < 40 {
        tear_down(&cpu.host);
    }
    let missing = 3_usize.saturating_sub(count(cpu, Kind::Rd));
    for n in 0..missing {
        for _ in 0..14 {
            let pa = cpu.granule(Kind::Undelegated);
            cpu.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
        }
        let Some(rd) = cpu.realm_create() else {
            continue;
        };
        for index in 0..2 {
            cpu.rec_create(rd, index, true);
        }
        for ipa in [0, HALF] {
            cpu.rtt_create(rd, ipa);
        }
        cpu.call(fid::RMI_RTT_INIT_RIPAS, &[rd, 0, 0x20_0000]);
        for ipa in [0, 0x1000] {
            cpu.data_create(rd, ipa);
        }
        if n > 0 {
            cpu.call(fid::RMI_REALM_ACTIVATE, &[rd]);
        }
    }
    for _ in count(cpu, Kind::Delegated)..20 {
        let pa = cpu.granule(Kind::Undelegated);
        cpu.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
    }
}

/// A VMID that no Realm has had, with programs for its RECs.
fn new_vmid(host: &Host, shared: &Shared) -> u16 {
    let vmid = 1 + shared.vmids.fetch_add(1, Ordering::Relaxed);
    assert!(vmid < 0xFFF0, "as many Realms as that");
    for index in 0..3 {
        host.script(vmid, index, move |cpu| wander(cpu, vmid, index));
    }
    vmid
}

/// A Realm that uses its memory, and asks for things.
async fn wander(cpu: RealmCpu, vmid: u16, index: u64) {
    let tag = 0x7A6_0000_0000 | u64::from(vmid) << 8;
    let mut draw = Draw::new([vmid, index as u16, 3, 5, 7, 11]);
    loop {
        let page = draw.below(3) as u64 * 0x1000 + draw.of(&[0, 0, 1 << 21]);
        let ipa = page + draw.of(&[0, 8, 0xFF8]);
        match draw.below(12) {
            0..3 => {
                cpu.set(3, tag | draw.below(256) as u64);
                let _aborted = cpu.access(Access::store(ipa)).await;
            }
            3..6 => {
                if let Ok(found) = cpu.read(ipa).await {
                    let own = found & !0xFF == tag;
                    assert!(
                        own || found == GIVEN || found == 0,
                        "the Realm with VMID {vmid} finds {found:#x} at {ipa:#x}"
                    );
                }
            }
            6 => {
                let _aborted = cpu.fetch(page).await;
            }
            7 => {
                // Of the Host: it may be anything, and may be emulated.
                let _aborted = cpu.read(HALF + ipa).await;
            }
            8 => {
                let ripas = draw.below(2) as u64;
                let call = [rsi::fid::RSI_IPA_STATE_SET, page, page + 0x1000, ripas, 1];
                let x = cpu.smc(&call).await;
                assert!(x[0] == 0 && (x[1] == page || x[1] == page + 0x1000));
            }
            9 => {
                let other = draw.below(3) as u64;
                let _answer = cpu.smc(&[psci::fid::PSCI_AFFINITY_INFO, other, 0]).await;
            }
            10 if draw.once_in(24) => {
                let _never = cpu.smc(&[psci::fid::PSCI_SYSTEM_OFF]).await;
            }
            _ => cpu.irq().await,
        }
    }
}

/// Takes every Realm apart.
fn tear_down(host: &Host) {
    let of_kind = |kind: Kind| {
        let of_kind = move |(pa, word): (u64, u16)| (word_kind(word) == kind.bits()).then_some(pa);
        host.board()
            .words()
            .filter_map(of_kind)
            .collect::<Vec<u64>>()
    };
    for rec in of_kind(Kind::Rec) {
        assert_eq!(host.rec_destroy(rec), Status::Success);
    }
    for rd in of_kind(Kind::Rd) {
        let content = host.board().memory.peek(Pa(rd));
        let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
        assert_eq!(realm.stage2.start_level, 1);
        for n in 0..4 {
            clear(host, rd, n << 30, 1);
        }
        assert_eq!(host.realm_destroy(rd), Status::Success);
    }
    for pa in of_kind(Kind::Delegated) {
        host.undelegate(pa);
    }
}

/// Empties the entry of a level at an IPA.
fn clear(host: &Host, rd: u64, ipa: u64, level: i64) {
    let (status, entry) = host.rtt_read_entry(rd, ipa, level);
    assert_eq!(status, Status::Success);
    let status = match entry.state {
        2 => {
            for n in 0..512 {
                clear(host, rd, ipa + (n << (12 + 9 * (2 - level))), level + 1);
            }
            host.rtt_destroy(rd, ipa, level + 1).0
        }
        1 if ipa < HALF => host.data_destroy(rd, ipa).0,
        1 => host.rtt_unmap_unprotected(rd, ipa, level).0,
        _ => Status::Success,
    };
    assert_eq!(status, Status::Success);
}

/// Nobody's translations reach what is nobody's, and every Granule is some kind.
fn in_order(board: &Board) -> u64 {
    let mut granules = 0;
    for (pa, word) in board.words() {
        let kind = word_kind(word);
        let may_be_reached = kind == Kind::Rtt.bits() || kind == Kind::Data.bits();
        if board.memory.pas(Pa(pa)) == Some(Pas::Realm) && !may_be_reached {
            board.memory.assert_no_stale(Pa(pa));
        }
        granules += 1;
    }
    granules
}

/// Ends the process if no step is taken for a minute.
fn watch(shared: &Shared, is_over: &AtomicU64) {
    let (mut steps, mut since) = (0, Instant::now());
    while is_over.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(50));
        let now = shared.steps.load(Ordering::Relaxed);
        if now != steps {
            (steps, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_secs(60) {
            eprintln!("no CPU gets on after {steps} steps");
            std::process::abort();
        }
    }
}

// Conformance: Invariants one_role, counts, own_memory, conservation, progress
#[test]
fn four_cpus_leave_the_machine_in_order() {
    let seed = seed();
    let rounds = number("MODEL_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    let config = Config {
        dram: vec![Bank {
            base: BASE,
            size: END - BASE,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        features: features(),
        cpus: CPUS,
        attestation: None,
    };
    let board: Arc<Board> = Board::new(config);
    let (shared, is_over) = (Shared::default(), AtomicU64::new(0));
    let mut counts = Counts::new();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&shared, &is_over));
        for round in 0..rounds {
            let done = run_round(&board, &shared, seed, round);
            for (function, [successes, failures]) in done {
                let count = counts.entry(function).or_default();
                count[0] += successes;
                count[1] += failures;
            }
            let host = Host::of_board(&board, 0);
            let found = audit(&host);
            assert_eq!(in_order(&board), (END - BASE) / 0x1000);
            assert!(found.rd < 48, "{found:?}");
            shared.steps.fetch_add(1, Ordering::Relaxed);
        }
        is_over.store(1, Ordering::Relaxed);
    });
    tear_down(&Host::of_board(&board, 0));
    let steps = rounds * ROUND * CPUS;
    println!(
        "{steps} steps of {CPUS} CPUs in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    for (function, [successes, failures]) in &counts {
        let name = super::drive::name(*function);
        println!("{name}: {successes} succeed, {failures} fail");
    }
    for function in [
        fid::RMI_REALM_CREATE,
        fid::RMI_REC_CREATE,
        fid::RMI_REC_ENTER,
        fid::RMI_RTT_CREATE,
        fid::RMI_RTT_DESTROY,
        fid::RMI_DATA_CREATE_UNKNOWN,
        fid::RMI_DATA_DESTROY,
    ] {
        assert!(
            counts[&function][0] > 0,
            "{} never",
            super::drive::name(function)
        );
    }
}

/// Every CPU takes its steps.
fn run_round(board: &Arc<Board>, shared: &Shared, seed: u64, round: usize) -> Counts {
    prepare(&mut Cpu::new(board, shared, 0, !seed ^ round as u64));
    let work = |cpu: usize| {
        let mut cpu = Cpu::new(board, shared, cpu, seed ^ (round * CPUS) as u64);
        for _ in 0..ROUND {
            cpu.step();
        }
        cpu.counts
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CPUS)
            .map(|cpu| scope.spawn(move || work(cpu)))
            .collect();
        let mut sum = Counts::new();
        for thread in threads {
            for (function, [successes, failures]) in thread.join().expect("no CPU panics") {
                let count = sum.entry(function).or_default();
                count[0] += successes;
                count[1] += failures;
            }
        }
        sum
    })
}
