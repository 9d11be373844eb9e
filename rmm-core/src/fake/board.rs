// SPDX-License-Identifier: BSD-3-Clause
//! What all CPUs of a fake machine share.

use super::config::Config;
use super::el3::El3;
use super::script::Scripts;
use super::sync::lock;
use super::word::GranuleWord;
use crate::attestation;
use crate::boot::El3Interface;
use crate::el3::SharedPage;
use crate::machine::{CallEl3, Delegations};
use crate::monitor::Monitor;
use rmm_attest::Attestation;
use rmm_granule::fake::{FakeMemory, keep, places};
use rmm_granule::{Bank, GRANULE_SIZE, GranuleState, GranuleTable, Pa, Word};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// EL3 as the monitor calls it at boot.
struct BootEl3<'a> {
    el3: &'a El3,
    memory: &'a FakeMemory,
}

impl CallEl3 for BootEl3<'_> {
    fn call_el3(&self, fid: u64, args: [u64; 4]) -> [u64; 4] {
        self.el3.call(self.memory, fid, args)
    }
}

/// What boot fetches from EL3 for attestation.
fn attestation(
    el3: &El3,
    memory: &FakeMemory,
    interface: El3Interface,
    page: &mut SharedPage,
) -> &'static Attestation<'static> {
    static UNAVAILABLE: Attestation<'static> = Attestation::unavailable();
    if !el3.attests() {
        return &UNAVAILABLE;
    }
    // Memory that the token does not need is never touched: many machines may boot in one process.
    let token = vec![0; attestation::MAX_PLATFORM_TOKEN].leak();
    let token = token.first_chunk_mut().expect("as long");
    let fetched = attestation::fetch(&BootEl3 { el3, memory }, interface, page, token);
    keep(Box::new(fetched.unwrap_or(Attestation::unavailable())))
}

/// Interrupt signals of one CPU, its counters, PSTATE.DIT, and whether a thread uses the CPU.
#[derive(Default)]
pub(super) struct CpuLines {
    pub(super) delegations: Delegations,
    pub(super) dit: AtomicBool,
    pub(super) irq: AtomicBool,
    pub(super) fiq: AtomicBool,
    pub(super) in_use: AtomicBool,
}

/// Called for each look of a CPU at its pending interrupts; true raises its IRQ.
type LookHook = Box<dyn FnMut(&Board, usize) -> bool + Send>;

/// Memory, EL3, clock and monitor of a machine, used through [`Host`](super::Host).
///
/// The drop asserts that no lock is held, that no granule still belongs to a Realm, and that every
/// DELEGATED granule is all zero.
pub struct Board {
    /// Physical memory.
    pub memory: Arc<FakeMemory>,
    /// EL3.
    pub el3: El3,
    pub(super) monitor: Monitor,
    pub(super) config: Config,
    /// The granule table, by bank.
    words: Vec<(Bank, &'static [Word])>,
    clock: AtomicU64,
    /// Digests of granules that were published as instructions.
    published: Mutex<HashSet<u64>>,
    /// Whether the Host left the CPUs in streaming SVE mode.
    pub(super) is_streaming: AtomicBool,
    /// Whether EL3 keeps SME closed to the monitor.
    pub(super) sme_closed: AtomicBool,
    /// How often the Host got back vector registers without the SVE state that it does not keep.
    pub(super) sve_cleared: AtomicU64,
    has_entropy: AtomicBool,
    /// The next random number.
    numbers: AtomicU64,
    pub(super) scripts: Scripts,
    pub(super) lines: Vec<CpuLines>,
    look_hook: Mutex<Option<LookHook>>,
    pool: Mutex<Pool>,
}

/// Host memory and VMIDs that have not been used yet.
struct Pool {
    start: u64,
    next: u64,
    end: u64,
    vmid: u16,
}

impl Board {
    /// A machine that has just booted.
    ///
    /// # Panics
    /// If the banks do not fit into a granule table.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let mut banks: Vec<Bank> = config.dram.iter().chain(&config.holes).copied().collect();
        banks.sort_by_key(|bank| bank.base);
        let length = GranuleTable::words_needed(&banks).expect("banks that fit into a table");
        let words = (0..length).map(|_| Word::new(0)).collect::<Vec<_>>();
        let all = keep(words.into_boxed_slice());
        // SAFETY: it is the only table of this memory, which this machine has just created.
        let granules = unsafe { GranuleTable::new(&banks, all, places()) };
        let granules = granules.expect("banks that fit into a table");
        for range in &config.reserved {
            granules.reserve(range.base, range.size);
        }
        let mut rest = all;
        let words = banks
            .iter()
            .map(|bank| {
                let (own, others) = rest.split_at(granules_of(bank));
                rest = others;
                (*bank, own)
            })
            .collect();
        let version = config.attestation.as_ref().map(|el3| el3.interface);
        let version = version.unwrap_or(config.interface);
        let el3 = El3Interface::new(version).expect("a version the monitor supports");
        let memory = FakeMemory::new(&config.dram);
        let firmware = El3::new(&config.holes, config.attestation.clone());
        let mut page = firmware.shared_page();
        let attestation = attestation(&firmware, &memory, el3, &mut page);
        Arc::new(Self {
            memory,
            monitor: Monitor::new(granules, el3, config.features, attestation, page),
            el3: firmware,
            words,
            clock: AtomicU64::new(1000),
            published: Mutex::default(),
            is_streaming: AtomicBool::new(false),
            sme_closed: AtomicBool::new(false),
            sve_cleared: AtomicU64::new(0),
            has_entropy: AtomicBool::new(true),
            numbers: AtomicU64::new(1),
            scripts: Scripts::default(),
            lines: (0..config.cpus).map(|_| CpuLines::default()).collect(),
            look_hook: Mutex::default(),
            pool: Mutex::new(Pool::new(&config)),
            config,
        })
    }

    /// The granule's word now; `None` if the granule table does not have the granule.
    #[must_use]
    pub fn word(&self, pa: u64) -> Option<GranuleWord> {
        self.words.iter().find_map(|(bank, words)| {
            let index = usize::try_from(pa.wrapping_sub(bank.base)).ok()? / GRANULE_SIZE;
            words.get(index).map(load)
        })
    }

    /// Address and word of each granule, in ascending order.
    pub fn words(&self) -> impl Iterator<Item = (u64, GranuleWord)> {
        self.words.iter().flat_map(|(bank, words)| {
            let addresses = (bank.base..).step_by(GRANULE_SIZE);
            addresses.zip(words.iter().map(load))
        })
    }

    /// Addresses of the granules in this state.
    pub fn granules_in(&self, state: GranuleState) -> impl Iterator<Item = u64> {
        let all = self.words().filter(move |(_, word)| word.state() == state);
        all.map(|(pa, _)| pa)
    }

    /// Addresses of all pages that the Host has allocated.
    pub(super) fn pages(&self) -> Vec<u64> {
        let pool = lock(&self.pool);
        (pool.start..pool.next).step_by(GRANULE_SIZE).collect()
    }

    /// `size` bytes of Host memory that have not been used yet, aligned to `align` bytes.
    ///
    /// # Panics
    /// If there is not enough memory.
    pub(super) fn allocate(&self, size: u64, align: u64) -> u64 {
        let mut pool = lock(&self.pool);
        let base = pool.next.next_multiple_of(align);
        assert!(base + size <= pool.end, "out of Host memory");
        pool.next = base + size;
        base
    }

    /// A VMID that no Realm has had.
    #[must_use]
    pub fn new_vmid(&self) -> u16 {
        let mut pool = lock(&self.pool);
        pool.vmid += 1;
        pool.vmid
    }

    /// Records that a granule with this content was published as instructions.
    pub(super) fn publish(&self, content: &[u8; GRANULE_SIZE]) {
        lock(&self.published).insert(digest(content));
    }

    /// Whether some granule with this content was published as instructions.
    #[must_use]
    pub fn was_published(&self, content: &[u8; GRANULE_SIZE]) -> bool {
        lock(&self.published).contains(&digest(content))
    }

    /// Calls `hook` each time that a CPU looks for a pending interrupt during a long call of a
    /// Realm, with the CPU. If it returns true, the IRQ signal of this CPU is set.
    pub fn set_look_hook(&self, hook: impl FnMut(&Self, usize) -> bool + Send + 'static) {
        *lock(&self.look_hook) = Some(Box::new(hook));
    }

    /// A CPU looks for a pending interrupt.
    pub(super) fn look(&self, cpu: usize) {
        let mut hook = lock(&self.look_hook);
        if hook.as_mut().is_some_and(|hook| hook(self, cpu)) {
            self.lines[cpu].irq.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the time of instructions does not depend on data on a CPU (PSTATE.DIT). A Realm that has run
    /// leaves it clear.
    pub fn has_independent_timing(&self, cpu: usize) -> bool {
        self.lines[cpu].dit.load(Ordering::SeqCst)
    }

    /// How often the Host got back vector registers without the SVE state that it does not keep.
    pub fn sve_cleared(&self) -> u64 {
        self.sve_cleared.load(Ordering::SeqCst)
    }

    /// Puts all CPUs into streaming SVE mode, or out of it.
    pub fn set_streaming(&self, is_streaming: bool) {
        self.is_streaming.store(is_streaming, Ordering::SeqCst);
    }

    /// Has EL3 close SME to the monitor, though not to the Host.
    pub fn close_sme(&self) {
        self.sme_closed.store(true, Ordering::SeqCst);
    }

    /// Gives the machine a source of entropy, or takes it away. It has one at first.
    pub fn set_entropy(&self, has_entropy: bool) {
        self.has_entropy.store(has_entropy, Ordering::SeqCst);
    }

    /// A number that differs from call to call, if there is a source of entropy.
    pub(super) fn random(&self) -> Option<[u8; 32]> {
        let next = self.numbers.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        let has_entropy = self.has_entropy.load(Ordering::SeqCst);
        has_entropy.then(|| std::array::from_fn(|n| next[n % 8]))
    }

    /// The counter.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Advances the counter.
    pub fn advance(&self, ticks: u64) {
        self.clock.fetch_add(ticks, Ordering::SeqCst);
    }
}

impl Pool {
    /// The first bank behind the reserved ranges in it; nothing if there is no bank.
    fn new(config: &Config) -> Self {
        let none = Bank { base: 0, size: 0 };
        let bank = *config.dram.first().unwrap_or(&none);
        let end = bank.base + bank.size;
        let reserved = config.reserved.iter().map(|range| range.base + range.size);
        let start = reserved
            .filter(|end_of_range| (bank.base..end).contains(end_of_range))
            .max()
            .unwrap_or(bank.base);
        Self {
            start,
            next: start,
            end,
            vmid: 1,
        }
    }
}

fn load(word: &Word) -> GranuleWord {
    GranuleWord::from_raw(word.load(Ordering::SeqCst))
}

#[allow(clippy::cast_possible_truncation)]
fn granules_of(bank: &Bank) -> usize {
    bank.size as usize / GRANULE_SIZE
}

/// A number that in practice differs for different contents.
pub(super) fn digest(content: &[u8; GRANULE_SIZE]) -> u64 {
    let (words, _) = content.as_chunks::<8>();
    words.iter().fold(0xCBF2_9CE4_8422_2325, |hash, word| {
        (hash ^ u64::from_le_bytes(*word))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
    })
}

impl Drop for Board {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (pa, word) in self.words() {
            assert!(
                matches!(
                    word.state(),
                    GranuleState::Undelegated
                        | GranuleState::Delegated
                        | GranuleState::NeverDelegable
                ) && word == GranuleWord::new(word.state(), 0),
                "{pa:#x} is left behind as {word:?}"
            );
            let is_delegated = word.state() == GranuleState::Delegated;
            if is_delegated && self.memory.pas(Pa(pa)).is_some() {
                let content = self.memory.peek(Pa(pa));
                assert!(content == [0; GRANULE_SIZE], "{pa:#x} is not wiped");
            }
        }
    }
}
