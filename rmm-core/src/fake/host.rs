// SPDX-License-Identifier: BSD-3-Clause
//! A Host at Normal EL2.

use super::board::{Board, Config};
use super::check::Snapshot;
use super::command::Status;
use super::{FakeCpu, RealmBuilder, RealmCpu};
use crate::rmi;
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::rmi::fid;
use rmm_granule::fake::Pas;
use rmm_granule::{GRANULE_SIZE, Pa};
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Size of a page in bytes, as addresses are counted.
pub const PAGE: u64 = GRANULE_SIZE as u64;

/// The Host on one CPU.
///
/// Alone on its machine it is strict: whatever a failed command changed is found at once. The
/// Hosts of several CPUs ([`Host::on_cpu`]) are not, since others change the state meanwhile.
pub struct Host {
    board: Arc<Board>,
    cpu: FakeCpu,
    strict: Cell<bool>,
}

/// What an RMI call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// X0, decoded.
    pub status: Status,
    /// X0 to X7.
    pub x: [u64; 8],
}

/// What the Host leaves in registers that are no arguments.
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
        Self::on(&Board::new(config), 0, true)
    }

    fn on(board: &Arc<Board>, cpu: usize, strict: bool) -> Self {
        Self {
            board: board.clone(),
            cpu: board.cpu(cpu),
            strict: Cell::new(strict),
        }
    }

    /// The Host on another CPU, for another thread. Nobody is strict from now on.
    #[must_use]
    pub fn on_cpu(&self, cpu: usize) -> Self {
        self.strict.set(false);
        Self::on(&self.board, cpu, false)
    }

    /// The same, by whoever has only the board.
    #[must_use]
    pub fn of_board(board: &Arc<Board>, cpu: usize) -> Self {
        Self::on(board, cpu, false)
    }

    /// The machine.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Does `work` without the checks of a strict Host, which take time.
    pub fn leniently<R>(&self, work: impl FnOnce() -> R) -> R {
        let strict = self.strict.replace(false);
        let result = work();
        self.strict.set(strict);
        result
    }

    /// An RMI call, held against the calling convention and, if it fails, against the state of
    /// the machine before.
    ///
    /// # Panics
    /// If the monitor breaks a rule.
    pub fn call(&self, function: u64, args: &[u64]) -> Reply {
        let before = self.strict.get().then(|| Snapshot::of(&self.board));
        let reply = self.call_that_may_run(function, args);
        if let Some(before) = before {
            if reply.status != Status::Success {
                before.assert_unchanged(&self.board, function);
            }
            self.board.assert_unlocked();
        }
        reply
    }

    /// As [`Host::call`], for a command that may fail after it has run a Realm.
    ///
    /// # Panics
    /// If the monitor breaks a rule.
    pub fn call_that_may_run(&self, function: u64, args: &[u64]) -> Reply {
        let mut call = core::array::from_fn(|n| UNUSED | n as u64);
        call[0] = function;
        call[1..=args.len()].copy_from_slice(args);
        let x = rmi::handle(&self.board.monitor, &self.cpu, call);
        self.cpu.assert_quiet();

        let declared = outputs(function);
        for n in 1..8 {
            if n > declared {
                let expected = if n < 4 { 0 } else { call[n] };
                assert_eq!(x[n], expected, "X{n} after {function:#x}");
            }
        }
        Reply {
            status: Status::of(x[0]),
            x,
        }
    }

    /// Makes `script` what runs in the REC of this index of whatever Realm has this VMID.
    pub fn program<F>(&self, vmid: u16, index: u64, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.board
            .set_script(vmid, index_to_mpidr_el1(index), script);
    }

    /// A Realm to be.
    pub fn realm(&self) -> RealmBuilder<'_> {
        RealmBuilder::new(self)
    }

    /// A new page of the Host's.
    #[must_use]
    pub fn page(&self) -> u64 {
        self.pages(1, PAGE)
    }

    /// New pages of the Host's in a row, the first aligned to `align` bytes.
    #[must_use]
    pub fn pages(&self, count: u64, align: u64) -> u64 {
        self.board.allocate(count * PAGE, align)
    }

    /// A new page, filled with zero and delegated.
    #[must_use]
    pub fn granule(&self) -> u64 {
        let pa = self.page();
        self.delegate(pa);
        pa
    }

    /// Delegates a page.
    ///
    /// # Panics
    /// If the monitor does not take it.
    pub fn delegate(&self, pa: u64) {
        assert_eq!(self.granule_delegate(pa), Status::Success, "{pa:#x}");
    }

    /// Takes a page back, which then holds nothing.
    ///
    /// # Panics
    /// If the monitor does not give it, or has left something in it.
    pub fn undelegate(&self, pa: u64) {
        assert_eq!(self.granule_undelegate(pa), Status::Success, "{pa:#x}");
        assert_eq!(self.board.memory.pas(Pa(pa)), Some(Pas::NonSecure));
        assert!(self.read(pa, GRANULE_SIZE).iter().all(|byte| *byte == 0));
    }

    /// Writes Host memory.
    ///
    /// # Panics
    /// If it is not the Host's.
    pub fn write(&self, pa: u64, bytes: &[u8]) {
        for (n, part) in bytes.chunks(GRANULE_SIZE).enumerate() {
            let pa = Pa(pa + n as u64 * PAGE);
            self.board.memory.write_ns(pa, part).expect("Host memory");
        }
    }

    /// Reads Host memory.
    ///
    /// # Panics
    /// If it is not the Host's.
    #[must_use]
    pub fn read(&self, pa: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.board
            .memory
            .read_ns(Pa(pa), &mut bytes)
            .expect("Host memory");
        bytes
    }

    /// Writes a structure.
    pub fn put(&self, pa: u64, value: &(impl IntoBytes + Immutable)) {
        self.write(pa, value.as_bytes());
    }

    /// Reads a structure.
    #[must_use]
    pub fn get<T: FromBytes + FromZeros + IntoBytes>(&self, pa: u64) -> T {
        let mut value = T::new_zeroed();
        let bytes = self.read(pa, size_of::<T>());
        value.as_mut_bytes().copy_from_slice(&bytes);
        value
    }

    /// A new page with this content.
    #[must_use]
    pub fn page_with(&self, content: &[u8]) -> u64 {
        let page = self.page();
        self.write(page, content);
        page
    }

    /// Puts a Granule into a PAS as Secure world or EL3 would, past the monitor.
    pub fn move_to(&self, pa: u64, pas: Pas) {
        self.board.memory.set_pas(Pa(pa), pas);
    }

    /// Makes `script` what runs in the REC of this index of the Realm with this VMID from now on.
    ///
    /// # Panics
    /// If the REC runs.
    pub fn script<F>(&self, vmid: u16, index: u64, script: impl FnOnce(RealmCpu) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.board
            .set_script(vmid, index_to_mpidr_el1(index), script);
    }

    /// Raises or lowers the physical IRQ of this CPU.
    pub fn set_irq(&self, pending: bool) {
        let line = &self.board.lines[crate::machine::Machine::cpu(&self.cpu)];
        line.irq.store(pending, Ordering::SeqCst);
    }

    /// Raises or lowers the physical FIQ of this CPU.
    pub fn set_fiq(&self, pending: bool) {
        let line = &self.board.lines[crate::machine::Machine::cpu(&self.cpu)];
        line.fiq.store(pending, Ordering::SeqCst);
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// How many registers from X1 up a command declares as outputs.
fn outputs(function: u64) -> usize {
    match function {
        fid::RMI_RTT_READ_ENTRY => 4,
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
