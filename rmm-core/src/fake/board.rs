// SPDX-License-Identifier: BSD-3-Clause
//! What all CPUs of a fake machine share.

use super::FakeCpu;
use super::attestation::El3Attestation;
use super::check::digest;
use super::el3::El3;
use super::script::Script;
use crate::attestation;
use crate::boot::El3Interface;
use crate::el3::SharedPage;
use crate::machine::{CallEl3, CpuFeatures, IdRegisters};
use crate::monitor::Monitor;
use rmm_abi::el3::Version;
use rmm_attest::Attestation;
use rmm_granule::fake::FakeMemory;
use rmm_granule::{Bank, GRANULE_SIZE, GranuleTable, Pa, Word};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// DRAM; the Host's pages come from the first bank.
    pub dram: Vec<Bank>,
    /// Ranges that the manifest lists and EL3 delegates although there is no RAM behind them.
    pub holes: Vec<Bank>,
    /// Ranges that are never delegable.
    pub reserved: Vec<Bank>,
    /// The CPUs' features.
    pub features: CpuFeatures,
    /// Number of CPUs.
    pub cpus: usize,
    /// What EL3 has for attestation; `None` if it knows nothing of it.
    pub attestation: Option<El3Attestation>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dram: [Bank {
                base: 0x8000_0000,
                size: 32 << 20,
            }]
            .to_vec(),
            holes: [Bank {
                base: 0x8800_0000,
                size: 1 << 20,
            }]
            .to_vec(),
            reserved: [Bank {
                base: 0x8000_0000,
                size: 1 << 20,
            }]
            .to_vec(),
            features: features(),
            cpus: 4,
            attestation: None,
        }
    }
}

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
    let token = Box::leak(Box::new([0; attestation::MAX_PLATFORM_TOKEN]));
    let fetched = attestation::fetch(&BootEl3 { el3, memory }, interface, page, token);
    Box::leak(Box::new(fetched.unwrap_or(Attestation::unavailable())))
}

/// Features of an ordinary CPU: 48-bit addresses, neither LPA2, SVE nor a PMU for Realms.
#[must_use]
pub fn features() -> CpuFeatures {
    CpuFeatures {
        pa_bits: 48,
        lpa2: false,
        vmid16: true,
        sve_vl: None,
        num_bps: 5,
        num_wps: 3,
        pmu_counters: None,
        gic_num_lrs: 3,
        gic_pri_bits: 5,
        gic_id_24: false,
        gic_ext_range: false,
        id: id_registers(),
    }
}

/// ID registers that go with [`features`].
#[must_use]
pub fn id_registers() -> IdRegisters {
    IdRegisters {
        midr: 0x410F_D0F0,
        // CSV3, CSV2, RME, DIT, RAS, GIC, SIMD with half precision; EL3 to EL0 AArch64 alone.
        pfr0: 0x1111_0000_1111_1111,
        // SSBS, BT.
        pfr1: 0x21,
        // Six breakpoints, four watchpoints, a PMU, Armv8.8 debug.
        dfr0: 0x0000_0010_1030_560A,
        isar0: 0x0221_1110_0021_2120,
        mmfr0: 0x0000_0110_0010_1125,
        mmfr1: 0x0000_0000_1121_2122,
        mmfr2: 0x1221_0111_1100_1011,
        ..IdRegisters::default()
    }
}

/// The interrupts of one CPU, and whether a thread stands for it.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) irq: AtomicBool,
    pub(super) fiq: AtomicBool,
    pub(super) in_use: AtomicBool,
}

/// Memory, EL3, clock and monitor of a machine. Made by [`Board::new`], used through
/// [`Host`](super::Host) and [`FakeCpu`].
///
/// The drop asserts that no lock is held, that nothing of a Realm is left and that every DELEGATED
/// Granule is zero.
pub struct Board {
    /// Physical memory.
    pub memory: Arc<FakeMemory>,
    /// The monitor.
    pub monitor: Monitor,
    /// EL3.
    pub el3: El3,
    pub(super) config: Config,
    /// The words of the granule table, by bank.
    words: Vec<(Bank, &'static [Word])>,
    clock: AtomicU64,
    /// Contents that were made fit for execution.
    pub(super) published: Mutex<HashSet<u64>>,
    pub(super) is_streaming: AtomicBool,
    scripts: Mutex<HashMap<(u16, u64), Option<Script>>>,
    pub(super) lines: Vec<Lines>,
    pool: Mutex<Pool>,
}

/// Memory that the Host has not used yet.
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
    /// If the banks are not fit for a granule table.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let mut banks: Vec<Bank> = config.dram.iter().chain(&config.holes).copied().collect();
        banks.sort_by_key(|bank| bank.base);
        let length = GranuleTable::words_needed(&banks).expect("banks fit for a table");
        let all: &'static [Word] = (0..length).map(|_| Word::new(0)).collect::<Vec<_>>().leak();
        // SAFETY: the only table of this memory.
        let granules = unsafe { GranuleTable::new(&banks, all) };
        let granules = granules.expect("banks fit for a table");
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
        let el3 = El3Interface::new(Version::new(0, 4)).expect("a version the monitor speaks");
        let memory = FakeMemory::new(&config.dram);
        let firmware = El3::new(&config.holes, config.attestation.clone());
        let mut page = firmware.shared_page();
        let attestation = attestation(&firmware, &memory, el3, &mut page);
        let first = config.dram[0];
        let start = config
            .reserved
            .iter()
            .map(|range| range.base + range.size)
            .filter(|end| (first.base..first.base + first.size).contains(end))
            .max()
            .unwrap_or(first.base);
        Arc::new(Self {
            memory,
            monitor: Monitor::new(granules, el3, config.features, attestation, page),
            el3: firmware,
            words,
            clock: AtomicU64::new(1000),
            published: Mutex::default(),
            is_streaming: AtomicBool::new(false),
            scripts: Mutex::default(),
            lines: (0..config.cpus).map(|_| Lines::default()).collect(),
            pool: Mutex::new(Pool {
                start,
                next: start,
                end: first.base + first.size,
                vmid: 1,
            }),
            config,
        })
    }

    /// The CPU of this index, for one thread at a time.
    ///
    /// # Panics
    /// If there is no such CPU or somebody has it.
    #[must_use]
    pub fn cpu(self: &Arc<Self>, index: usize) -> FakeCpu {
        FakeCpu::new(self, index)
    }

    /// The Granule's word as it is: lock bit 15, state 14:12, count 11:0. None if not listed.
    #[must_use]
    pub fn word(&self, pa: u64) -> Option<u16> {
        self.words.iter().find_map(|(bank, words)| {
            let index = usize::try_from(pa.wrapping_sub(bank.base)).ok()? / GRANULE_SIZE;
            words.get(index).map(|word| word.load(Ordering::SeqCst))
        })
    }

    /// The words of all Granules, in the order of their addresses.
    pub fn words_alone(&self) -> impl Iterator<Item = u16> {
        let words = self.words.iter().flat_map(|(_, words)| *words);
        words.map(|word| word.load(Ordering::Relaxed))
    }

    /// Address and word of every Granule.
    pub fn words(&self) -> impl Iterator<Item = (u64, u16)> {
        self.words.iter().flat_map(|(bank, words)| {
            let addresses = (bank.base..).step_by(GRANULE_SIZE);
            addresses.zip(words.iter().map(|word| word.load(Ordering::SeqCst)))
        })
    }

    /// Addresses of all pages that were handed out so far.
    #[must_use]
    pub fn pages(&self) -> Vec<u64> {
        let pool = self.pool();
        (pool.start..pool.next).step_by(GRANULE_SIZE).collect()
    }

    /// `size` bytes of Host memory that nobody has used yet, aligned to `align` bytes.
    ///
    /// # Panics
    /// If there is no more.
    #[must_use]
    pub fn allocate(&self, size: u64, align: u64) -> u64 {
        let mut pool = self.pool();
        let base = pool.next.next_multiple_of(align);
        assert!(base + size <= pool.end, "out of Host memory");
        pool.next = base + size;
        base
    }

    /// A VMID that no Realm has had.
    #[must_use]
    pub fn new_vmid(&self) -> u16 {
        let mut pool = self.pool();
        pool.vmid += 1;
        pool.vmid
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some Granule with this content was made fit for execution.
    #[must_use]
    pub fn was_published(&self, content: &[u8; GRANULE_SIZE]) -> bool {
        let published = self.published.lock();
        let published = published.unwrap_or_else(PoisonError::into_inner);
        published.contains(&digest(content))
    }

    /// Puts all CPUs into streaming SVE mode, or out of it.
    pub fn set_streaming(&self, is_streaming: bool) {
        self.is_streaming.store(is_streaming, Ordering::SeqCst);
    }

    /// The counter.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Lets time pass.
    pub fn advance(&self, ticks: u64) {
        self.clock.fetch_add(ticks, Ordering::SeqCst);
    }

    /// Makes `script` what runs in the REC with this VMID and `VMPIDR_EL2`, from its next
    /// instruction on.
    pub(super) fn set_script<F>(
        &self,
        vmid: u16,
        vmpidr: u64,
        script: impl FnOnce(super::RealmCpu) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let script = Script::new(script);
        let old = self.scripts().insert((vmid, vmpidr), Some(script));
        assert!(
            !matches!(old, Some(None)),
            "a new script for a REC that runs"
        );
    }

    /// Takes the script of a REC to run it; one that was given none idles.
    pub(super) fn take_script(&self, vmid: u16, vmpidr: u64) -> Script {
        let mut scripts = self.scripts();
        let slot = scripts
            .entry((vmid, vmpidr))
            .or_insert_with(|| Some(Script::idle()));
        slot.take().expect("a REC on two CPUs at once")
    }

    /// Puts the script of a REC back.
    pub(super) fn put_script(&self, vmid: u16, vmpidr: u64, script: Script) {
        self.scripts().insert((vmid, vmpidr), Some(script));
    }

    /// Forgets the scripts of a Realm that is gone; tells which did not come to their end.
    pub(super) fn forget_scripts(&self, vmid: u16) -> Vec<u64> {
        let mut unfinished = Vec::new();
        self.scripts().retain(|key, script| {
            let stays = key.0 != vmid;
            if !stays && !script.as_ref().is_some_and(Script::is_finished) {
                unfinished.push(key.1);
            }
            stays
        });
        unfinished
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<(u16, u64), Option<Script>>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::cast_possible_truncation)]
fn granules_of(bank: &Bank) -> usize {
    bank.size as usize / GRANULE_SIZE
}

impl Drop for Board {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (pa, word) in self.words() {
            match word {
                // UNDELEGATED, or never delegable.
                0 | 0x7000 => {}
                // DELEGATED.
                0x1000 if self.memory.pas(Pa(pa)).is_some() => {
                    let content = self.memory.peek(Pa(pa));
                    assert!(content == [0; GRANULE_SIZE], "{pa:#x} is not wiped");
                }
                0x1000 => {}
                _ => panic!("{pa:#x} is left with word {word:#x}"),
            }
        }
    }
}
