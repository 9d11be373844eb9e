// SPDX-License-Identifier: BSD-3-Clause
//! A Host at Normal EL2: its memory, its CPU and its RMI calls.

use super::board::Board;
use super::config::Config;
use super::constants::PAGE;
use super::cpu::FakeCpu;
use super::realm_cpu::RealmCpu;
use super::reply::{Reply, Status, command_name};
use super::running::RecSlot;
use super::script::Script;
use super::snapshot::Snapshot;
use crate::machine::{CpuFeatures, GicState, Machine};
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use crate::rmi;
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::{fid, v2};
use rmm_abi::smccc;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, GranuleState, Pa};
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The Host on one CPU.
///
/// The Host that a test makes is strict: after each command that fails, it asserts that the state
/// of the machine has not changed. Where several CPUs make calls at once ([`Host::of_board`]),
/// nobody can be strict: see [`Host::leniently`]. Nobody is under Miri, which would take minutes for
/// each test.
pub struct Host {
    board: Arc<Board>,
    cpu: FakeCpu,
    strict: Cell<bool>,
}

/// Base of the values in registers that are not arguments.
const UNUSED: u64 = 0xAAAA_5555_0000_0000;

impl Host {
    /// The Host of an ordinary machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// The Host of a machine.
    #[must_use]
    pub fn with(config: Config) -> Self {
        Self::on(&Board::new(config), 0, !cfg!(miri))
    }

    /// The Host of an ordinary machine with other CPUs.
    #[must_use]
    pub fn with_features(features: CpuFeatures) -> Self {
        Self::with(Config {
            features,
            ..Config::default()
        })
    }

    /// The Host on another CPU of a machine, for another thread. It is not strict.
    #[must_use]
    pub fn of_board(board: &Arc<Board>, cpu: usize) -> Self {
        Self::on(board, cpu, false)
    }

    fn on(board: &Arc<Board>, cpu: usize, strict: bool) -> Self {
        Self {
            board: board.clone(),
            cpu: FakeCpu::new(board, cpu),
            strict: Cell::new(strict),
        }
    }

    /// The machine.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Calls `work`. Meanwhile the Host is not strict: other CPUs change the state of the machine,
    /// or the comparisons would take too long.
    pub fn leniently<R>(&self, work: impl FnOnce() -> R) -> R {
        let strict = self.strict.replace(false);
        let result = work();
        self.strict.set(strict);
        result
    }

    /// Makes an RMI call. Asserts that the monitor keeps to the calling convention and leaves no
    /// granule locked and, if the call fails, that it has changed nothing.
    ///
    /// # Panics
    /// If the monitor breaks one of these rules.
    pub fn call(&self, function: u64, args: &[u64]) -> Reply {
        let before = self.strict.get().then(|| Snapshot::of(&self.board));
        let reply = self.call_unchecked(function, args);
        if let Some(before) = before {
            if reply.status != Status::Success {
                before.assert_unchanged(&self.board, function);
            }
            self.board.assert_unlocked();
        }
        reply
    }

    /// As [`Host::call`], but asserts only that the monitor keeps to the calling convention: for
    /// commands that may fail after they have run a Realm, and for calls that are not RMI.
    ///
    /// # Panics
    /// If the monitor breaks the calling convention.
    pub fn call_unchecked(&self, function: u64, args: &[u64]) -> Reply {
        let mut call = core::array::from_fn(|n| UNUSED | n as u64);
        call[0] = function;
        call[1..=args.len()].copy_from_slice(args);
        let mut x = call;
        let cpu = ThisCpu {
            monitor: &self.board.monitor,
            machine: &self.cpu,
        };
        rmi::handle(&cpu, &mut x);
        self.cpu.assert_quiet(function);

        for n in outputs(smccc::without_sve_hint(function)) + 1..8 {
            let expected = if n < 4 { 0 } else { call[n] };
            assert_eq!(x[n], expected, "X{n} after {}", command_name(function));
        }
        Reply {
            status: Status::of(x[0]),
            x,
        }
    }

    /// The rest of a call that read the machine's mode when this was `mode`, and waited until now. Returns
    /// the status.
    ///
    /// # Panics
    /// If the call fails and has changed something.
    pub fn call_begun_in(&self, mode: Mode, function: u64, args: &[u64]) -> Status {
        let before = Snapshot::of(&self.board);
        let mut x = [0; 8];
        x[0] = function;
        x[1..=args.len()].copy_from_slice(args);
        let cpu = ThisCpu {
            monitor: &self.board.monitor,
            machine: &self.cpu,
        };
        match mode {
            Mode::V1 | Mode::Undecided => rmi::v1::dispatch(&cpu, &mut x),
            mode => x = rmi::v2::dispatch(&cpu, mode, x),
        }
        let status = Status::of(x[0]);
        if status != Status::Success {
            before.assert_unchanged(&self.board, function);
        }
        status
    }

    /// Sets the script that runs in the REC with this index of the Realm with this VMID, from the
    /// next instruction on.
    ///
    /// # Panics
    /// If the REC is entered.
    pub fn script<F>(&self, vmid: u16, index: u64, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let slot = RecSlot::default();
        let program = script(RealmCpu::new(slot.clone(), &self.board));
        let rec = (vmid, index_to_mpidr_el1(index));
        self.board.scripts.set(rec, Script::new(slot, program));
    }

    /// A new page of Host memory.
    #[must_use]
    pub fn page(&self) -> u64 {
        self.pages(1, PAGE)
    }

    /// New pages of Host memory side by side, the first aligned to `align` bytes.
    #[must_use]
    pub fn pages(&self, count: u64, align: u64) -> u64 {
        self.board.allocate(count * PAGE, align)
    }

    /// A new page with this content.
    #[must_use]
    pub fn page_with(&self, content: &[u8]) -> u64 {
        let page = self.page();
        self.write(page, content);
        page
    }

    /// State of a granule.
    ///
    /// # Panics
    /// If the address is not in DRAM.
    #[must_use]
    pub fn state(&self, pa: u64) -> GranuleState {
        self.board.word(pa).expect("DRAM").state()
    }

    /// Writes Host memory.
    ///
    /// # Panics
    /// If the memory is not Non-secure.
    pub fn write(&self, pa: u64, bytes: &[u8]) {
        for (n, part) in bytes.chunks(GRANULE_SIZE).enumerate() {
            let pa = Pa(pa + n as u64 * PAGE);
            let written = self.board.memory.write_ns(pa, part);
            written.expect("Non-secure memory");
        }
    }

    /// Reads Host memory.
    ///
    /// # Panics
    /// If the memory is not Non-secure.
    #[must_use]
    pub fn read(&self, pa: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.board.memory.read_ns(Pa(pa), &mut bytes);
        read.expect("Non-secure memory");
        bytes
    }

    /// Writes a structure.
    pub fn put(&self, pa: u64, value: &(impl IntoBytes + Immutable)) {
        self.write(pa, value.as_bytes());
    }

    /// Reads a structure.
    ///
    /// # Panics
    /// If the memory is not Non-secure.
    #[must_use]
    pub fn get<T: FromBytes>(&self, pa: u64) -> T {
        T::read_from_bytes(&self.read(pa, size_of::<T>())).expect("as many bytes")
    }

    /// Moves a granule to a PAS without the monitor, as Secure world or EL3 can.
    pub fn move_to(&self, pa: u64, pas: Pas) {
        self.board.memory.set_pas(Pa(pa), pas);
    }

    /// Calls `work` with the virtual GIC interface of this CPU.
    pub fn gic<R>(&self, work: impl FnOnce(&mut GicState) -> R) -> R {
        self.cpu.with_gic(work)
    }

    /// Sets the physical IRQ signal of this CPU.
    pub fn set_irq(&self, pending: bool) {
        let lines = &self.board.lines[self.cpu.cpu()];
        lines.irq.store(pending, Ordering::SeqCst);
    }

    /// Sets the physical FIQ signal of this CPU.
    pub fn set_fiq(&self, pending: bool) {
        let lines = &self.board.lines[self.cpu.cpu()];
        lines.fiq.store(pending, Ordering::SeqCst);
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl RealmCpu {
    /// Calls `work` with a Host on another CPU, while this REC is RUNNING.
    pub fn meanwhile<R>(&self, work: impl FnOnce(&Host) -> R) -> R {
        let cpu = self.running(|rec| rec.cpu);
        work(&Host::of_board(&self.board(), cpu + 1))
    }
}

/// Number of output registers of a command, from X1 on.
fn outputs(function: u64) -> usize {
    match function {
        fid::RMI_RTT_READ_ENTRY => 4,
        v2::fid::RMI_GRANULE_TRACKING_GET
        | v2::fid::RMI_RTT_DATA_UNMAP
        | v2::fid::RMI_RTT_UNPROT_UNMAP => 3,
        v2::fid::RMI_GPT_INFO => 2,
        v2::fid::RMI_RMM_STATE_GET
        | v2::fid::RMI_GRANULE_RANGE_DELEGATE
        | v2::fid::RMI_GRANULE_RANGE_UNDELEGATE
        | v2::fid::RMI_RTT_DATA_MAP
        | v2::fid::RMI_RTT_UNPROT_MAP => 1,
        fid::RMI_VERSION | fid::RMI_DATA_DESTROY | fid::RMI_RTT_DESTROY => 2,
        fid::RMI_FEATURES
        | fid::RMI_REC_AUX_COUNT
        | fid::RMI_RTT_FOLD
        | fid::RMI_RTT_INIT_RIPAS
        | fid::RMI_RTT_SET_RIPAS
        | fid::RMI_RTT_UNMAP_UNPROTECTED => 1,
        _ => 0,
    }
}
