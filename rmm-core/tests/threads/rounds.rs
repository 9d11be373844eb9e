// SPDX-License-Identifier: BSD-3-Clause
//! Rounds of random commands on four CPUs with one pool of granules and a few Realms.
//!
//! Nobody knows the result of a single command, but between rounds, while no command is served, the
//! machine is consistent: every granule has the one role that its word says ([`audit`]), and no
//! translation reaches a granule that no Realm has. In a round every CPU takes its steps, whatever
//! the others do: that is the progress asked for. A Realm finds in its memory only what it wrote
//! itself, what its Host wrote, or zero.
//!
//! `MODEL_ROUNDS` rounds are run. The seed is printed, and taken from `MODEL_SEED` if that is set.

use rmm_abi::rmi::{
    RealmParams, RecEnter, RecExit, RecExitReason, RecParams, RecRun, fid, index_to_mpidr,
};
use rmm_abi::{psci, rsi};
use rmm_core::fake::{
    Board, Config, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, Random, RealmAccess, RealmCpu, Status,
    audit, command_name, environment_number, environment_seed, features, sweep,
};
use rmm_granule::fake::Pas;
use rmm_granule::{Bank, GranuleState, Pa};
use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zerocopy::{FromZeros, IntoBytes};

const CPUS: usize = 4;
/// Steps of a CPU in a round.
const ROUND: usize = 400;
/// Rounds.
const ROUNDS: usize = 12;

const BASE: u64 = 0x8000_0000;
/// Size of the memory of each CPU for parameters, source and entry record, which nobody delegates.
const OWN: u64 = 4 * PAGE;
const POOL: u64 = BASE + CPUS as u64 * OWN;
const GRANULES: u64 = 96;
const END: u64 = POOL + GRANULES * PAGE;

/// Content that the Host writes to every page of a Realm.
const HOST_CONTENT: u64 = 0x0617_0617_0617_0617;
/// First Unprotected IPA: every Realm has 32 bits of IPA and one start-level RTT, at level 1.
const HALF: u64 = 1 << 31;

/// What all CPUs share besides the machine.
#[derive(Default)]
struct Shared {
    vmids: AtomicU16,
    steps: AtomicU64,
}

/// Successes and failures by command.
type Counts = BTreeMap<u64, [u64; 2]>;

/// The Host on one CPU.
struct Cpu<'a> {
    host: Host,
    shared: &'a Shared,
    random: Random,
    /// VMID of the next Realm that it creates. The scripts of its RECs are set.
    vmid: u16,
    counts: Counts,
    own: u64,
}

impl<'a> Cpu<'a> {
    fn new(board: &Arc<Board>, shared: &'a Shared, cpu: usize, seed: u64) -> Self {
        let host = Host::of_board(board, cpu);
        let vmid = new_vmid(&host, shared);
        Self {
            host,
            shared,
            random: Random(seed ^ (cpu as u64) << 48),
            vmid,
            counts: Counts::new(),
            own: BASE + cpu as u64 * OWN,
        }
    }

    fn call(&mut self, function: u64, args: &[u64]) -> (Status, [u64; 8]) {
        let reply = self.host.call_unchecked(function, args);
        let ok = reply.status == Status::Success;
        self.counts.entry(function).or_default()[usize::from(!ok)] += 1;
        (reply.status, reply.x)
    }

    fn below(&mut self, n: usize) -> u64 {
        self.random.below(n) as u64
    }

    /// A granule that was in this state a moment ago, or any.
    fn granule(&mut self, state: GranuleState) -> u64 {
        let first = self.below(GRANULES as usize);
        if self.random.once_in(12) {
            return POOL + first * PAGE;
        }
        let board = self.host.board();
        let mut all = (0..GRANULES).map(|n| POOL + (first + n) % GRANULES * PAGE);
        let found = all.find(|pa| board.word(*pa).is_some_and(|word| word.state() == state));
        found.unwrap_or(POOL + first * PAGE)
    }

    /// A DELEGATED granule other than this one, if there is a second.
    fn other_than(&mut self, pa: u64) -> u64 {
        let tries = (0..4).map(|_| self.granule(GranuleState::Delegated));
        tries
            .reduce(|found, other| if found == pa { other } else { found })
            .unwrap_or(pa)
    }

    fn ipa(&mut self) -> u64 {
        let half = self.random.of(&[0, 0, 0, HALF]);
        let table = self.random.of(&[0, 0, 0, 2 * MIB, GIB]);
        half + table + self.below(3) * PAGE
    }

    fn step(&mut self) {
        let rd = self.granule(GranuleState::Rd);
        let ipa = self.ipa();
        match self.random.below(30) {
            0 | 1 => {
                let pa = self.granule(GranuleState::Undelegated);
                self.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
            }
            2 => {
                let pa = self.granule(GranuleState::Delegated);
                self.call(fid::RMI_GRANULE_UNDELEGATE, &[pa]);
            }
            3 if self.random.once_in(4) => {
                self.realm_create();
            }
            4 => {
                self.call(fid::RMI_REALM_DESTROY, &[rd]);
            }
            5 => {
                let index = self.below(3);
                let runnable = !self.random.once_in(3);
                self.rec_create(rd, index, runnable);
            }
            6 if self.random.once_in(4) => {
                let rec = self.granule(GranuleState::Rec);
                self.call(fid::RMI_REC_DESTROY, &[rec]);
            }
            7 if self.random.once_in(3) => {
                self.call(fid::RMI_REALM_ACTIVATE, &[rd]);
            }
            8 | 9 => self.rtt_create(rd, ipa),
            10..=13 => {
                let level = 2 + self.below(2);
                let size: u64 = PAGE << (9 * (4 - level));
                let function = self.random.of(&[fid::RMI_RTT_DESTROY, fid::RMI_RTT_FOLD]);
                self.call(function, &[rd, ipa & !(size - 1), level]);
            }
            14..=16 => self.data_create(rd, ipa),
            17 => {
                self.call(fid::RMI_DATA_DESTROY, &[rd, ipa & (HALF - 1)]);
            }
            18 => {
                let base = ipa & (HALF - 1);
                self.call(fid::RMI_RTT_INIT_RIPAS, &[rd, base, base + 2 * PAGE]);
            }
            19 => {
                let rec = self.granule(GranuleState::Rec);
                let base = ipa & (HALF - 1);
                self.call(fid::RMI_RTT_SET_RIPAS, &[rd, rec, base, base + PAGE]);
            }
            20 => {
                let target = self.granule(GranuleState::Undelegated) | NS_ATTRIBUTES;
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
                let (calling, target) = (
                    self.granule(GranuleState::Rec),
                    self.granule(GranuleState::Rec),
                );
                self.call(fid::RMI_PSCI_COMPLETE, &[calling, target, 0]);
            }
            _ => self.enter(),
        }
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// RMI_REALM_CREATE. Returns the RD if it succeeds.
    fn realm_create(&mut self) -> Option<u64> {
        let mut params = RealmParams::new_zeroed();
        (params.s2sz, params.num_bps, params.num_wps) = (32, 1, 1);
        params.rtt_level_start = 1;
        params.rtt_num_start = 1;
        params.rtt_base = self.granule(GranuleState::Delegated);
        // Now and then a VMID that another Realm may have.
        let shared = self.random.once_in(3);
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
        let mut last = self.granule(GranuleState::Delegated);
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
            let size: u64 = PAGE << (9 * (4 - level));
            let rtt = self.granule(GranuleState::Delegated);
            let args = [rd, rtt, ipa & !(size - 1), level];
            self.call(fid::RMI_RTT_CREATE, &args);
        }
    }

    fn data_create(&mut self, rd: u64, ipa: u64) {
        let data = self.granule(GranuleState::Delegated);
        let ipa = ipa & (HALF - 1);
        if self.random.once_in(2) {
            self.call(fid::RMI_DATA_CREATE_UNKNOWN, &[rd, data, ipa]);
            return;
        }
        let source = self.own + PAGE;
        self.host.put(source, &[HOST_CONTENT; 512]);
        self.call(fid::RMI_DATA_CREATE, &[rd, data, ipa, source, 1]);
    }

    fn enter(&mut self) {
        let rec = self.granule(GranuleState::Rec);
        let mut enter = RecEnter::new_zeroed();
        enter.flags = self.random.of(&[0, 0, 0, 1, 2, 16]);
        enter.gprs[0] = HOST_CONTENT;
        let run = match self.random.below(6) {
            // A page that another CPU may delegate meanwhile.
            0 => self.granule(GranuleState::Undelegated),
            _ => self.own + 2 * PAGE,
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

    /// Responds to an exit.
    fn answer(&mut self, rec: u64, exit: &RecExit) {
        let all = |cpu: &Self, state: GranuleState| {
            let found = cpu.host.board().granules_in(state);
            found.collect::<Vec<u64>>()
        };
        match RecExitReason::try_from(exit.exit_reason) {
            Ok(RecExitReason::RipasChange) => {
                for rd in all(self, GranuleState::Rd) {
                    let args = [rd, rec, exit.ripas_base, exit.ripas_top];
                    self.call(fid::RMI_RTT_SET_RIPAS, &args);
                }
            }
            Ok(RecExitReason::Psci) => {
                for target in all(self, GranuleState::Rec) {
                    self.call(fid::RMI_PSCI_COMPLETE, &[rec, target, 0]);
                }
            }
            _ => {}
        }
    }
}

/// Prepares a round: as far as there are granules, there are at least three Realms, of which one is
/// NEW, with RECs, RTTs and memory.
fn prepare(cpu: &mut Cpu<'_>) {
    let count = |cpu: &Cpu<'_>, state: GranuleState| cpu.host.board().granules_in(state).count();
    // Too few granules are left.
    if count(cpu, GranuleState::Undelegated) + count(cpu, GranuleState::Delegated) < 40 {
        sweep(&cpu.host);
    }
    let missing = 3_usize.saturating_sub(count(cpu, GranuleState::Rd));
    for n in 0..missing {
        for _ in 0..14 {
            let pa = cpu.granule(GranuleState::Undelegated);
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
        cpu.call(fid::RMI_RTT_INIT_RIPAS, &[rd, 0, 2 * MIB]);
        for ipa in [0, PAGE] {
            cpu.data_create(rd, ipa);
        }
        if n > 0 {
            cpu.call(fid::RMI_REALM_ACTIVATE, &[rd]);
        }
    }
    for _ in count(cpu, GranuleState::Delegated)..20 {
        let pa = cpu.granule(GranuleState::Undelegated);
        cpu.call(fid::RMI_GRANULE_DELEGATE, &[pa]);
    }
}

/// A VMID that no Realm has had. Sets the scripts of its RECs.
fn new_vmid(host: &Host, shared: &Shared) -> u16 {
    let vmid = 1 + shared.vmids.fetch_add(1, Ordering::Relaxed);
    assert!(vmid < 0xFFF0, "out of VMIDs");
    for index in 0..3 {
        host.script(vmid, index, move |cpu| wander(cpu, vmid, index));
    }
    vmid
}

/// The script of every REC: random accesses to memory and calls.
async fn wander(cpu: RealmCpu, vmid: u16, index: u64) {
    let tag = 0x7A6_0000_0000 | u64::from(vmid) << 8;
    let mut random = Random(u64::from(vmid) << 8 | index);
    loop {
        let page = random.below(3) as u64 * PAGE + random.of(&[0, 0, 2 * MIB]);
        let ipa = page + random.of(&[0, 8, 0xFF8]);
        match random.below(12) {
            0..3 => {
                cpu.set(3, tag | random.below(256) as u64);
                let _aborted = cpu.access(RealmAccess::store(ipa)).await;
            }
            3..6 => {
                if let Ok(found) = cpu.read(ipa).await {
                    let own = found & !0xFF == tag;
                    assert!(
                        own || found == HOST_CONTENT || found == 0,
                        "the Realm with VMID {vmid} reads {found:#x} at {ipa:#x}"
                    );
                }
            }
            6 => {
                let _aborted = cpu.fetch(page).await;
            }
            7 => {
                // Host memory can have any content, and the access may be emulated.
                let _aborted = cpu.read(HALF + ipa).await;
            }
            8 => {
                let ripas = random.below(2) as u64;
                let call = [rsi::fid::RSI_IPA_STATE_SET, page, page + PAGE, ripas, 1];
                let x = cpu.smc(&call).await;
                assert!(x[0] == 0 && (x[1] == page || x[1] == page + PAGE));
            }
            9 => {
                let other = random.below(3) as u64;
                let _answer = cpu.smc(&[psci::fid::PSCI_AFFINITY_INFO, other, 0]).await;
            }
            10 if random.once_in(24) => {
                let _never = cpu.smc(&[psci::fid::PSCI_SYSTEM_OFF]).await;
            }
            _ => cpu.irq().await,
        }
    }
}

/// Asserts that no translation reaches a granule that is neither RTT nor DATA.
fn assert_no_stale(board: &Board) {
    for (pa, word) in board.words() {
        let may_be_reached = matches!(word.state(), GranuleState::Rtt | GranuleState::Data);
        if board.memory.pas(Pa(pa)) == Some(Pas::Realm) && !may_be_reached {
            board.memory.assert_no_stale(Pa(pa));
        }
    }
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
            eprintln!("no CPU takes a step after {steps} steps");
            std::process::abort();
        }
    }
}

// Conformance: Invariants one_role, counts, own_memory, conservation, progress
#[test]
fn rounds_leave_the_machine_consistent() {
    let seed = environment_seed("MODEL_SEED");
    let rounds = environment_number("MODEL_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    let config = Config {
        dram: vec![Bank {
            base: BASE,
            size: END - BASE,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        features: features(),
        cpus: CPUS,
        ..Config::default()
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
            assert_no_stale(&board);
            assert!(found.rd < 48, "{found:?}");
            shared.steps.fetch_add(1, Ordering::Relaxed);
        }
        is_over.store(1, Ordering::Relaxed);
    });
    sweep(&Host::of_board(&board, 0));
    let steps = rounds * ROUND * CPUS;
    println!(
        "{steps} steps of {CPUS} CPUs in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    for (function, [successes, failures]) in &counts {
        let name = command_name(*function);
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
            "{} never succeeded",
            command_name(function)
        );
    }
}

/// Runs a round: every CPU takes its steps.
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
            for (function, [successes, failures]) in thread.join().expect("a CPU without panic") {
                let count = sum.entry(function).or_default();
                count[0] += successes;
                count[1] += failures;
            }
        }
        sum
    })
}
