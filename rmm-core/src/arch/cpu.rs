// SPDX-License-Identifier: BSD-3-Clause
//! This CPU's view of physical memory.

use super::ns;
use super::optional::Optional;
use super::percpu::{self, CpuData};
use super::realm::HostState;
use super::registers::*;
use super::remedies;
use super::sha::ShaUnit;
use crate::boot::{El3Interface, MAX_CPUS};
use crate::encoding::features::zero_block;
use crate::encoding::space::{self, private};
use crate::encoding::stage1::{self, descriptor};
use crate::encoding::stage2;
use crate::machine::{CpuFeatures, Delegations};
use core::arch::asm;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{Ordering, compiler_fence};
use rmm_granule::{GRANULE_SIZE, Ipa, Memory, NsFault, Pa, bug, zero_by_words};

/// A Granule's content.
pub type Page = [u8; GRANULE_SIZE];

#[allow(clippy::cast_possible_truncation, reason = "a constant")]
pub(super) const CPUS: usize = MAX_CPUS as usize;

/// Of each CPU, by its linear index.
pub(super) static DELEGATIONS: [Delegations; CPUS] = [const { Delegations::new() }; CPUS];

/// This CPU.
pub struct ArchCpu {
    pub(super) features: &'static CpuFeatures,
    /// `BRBCR_EL2` keeps the Host's value while the monitor runs.
    pub(super) shares_branch_records: bool,
    pub(super) sha: ShaUnit,
    pub(super) delegations: &'static Delegations,
    /// The value must not leave this CPU: its windows exist here alone.
    not_send: PhantomData<*const ()>,
}

impl ArchCpu {
    /// The CPU that executes this, with its EL2 registers ready to run Realms.
    ///
    /// # Safety
    /// Called once each time EL3 boots the CPU, on which no REC is entered.
    pub unsafe fn new(features: &'static CpuFeatures, el3: El3Interface, open: &Optional) -> Self {
        let Some(delegations) = DELEGATIONS.get(percpu::data().index.get()) else {
            bug!("more CPUs than EL3 announced");
        };
        let cpu = Self {
            features,
            delegations,
            shares_branch_records: open.brbe && !el3.banks_branch_records(),
            sha: ShaUnit::new(open),
            not_send: PhantomData,
        };
        // SAFETY: the entry code left this CPU at EL2 with E2H. No REC is entered while it boots.
        cpu.with_host(|host| unsafe { host.init(el3, open) });
        cpu
    }

    /// This CPU's data.
    #[inline]
    pub fn data(&self) -> &'static CpuData {
        percpu::data()
    }

    /// Calls `work` with the Host's state of this CPU.
    #[inline]
    #[allow(
        clippy::pointers_in_nomem_asm_block,
        reason = "the block accesses nothing"
    )]
    pub(super) fn with_host<R>(&self, work: impl FnOnce(&mut HostState) -> R) -> R {
        let mut host = self.data().host.get();
        // Of a constant address the compiler would load each field's address anew; this keeps it from
        // knowing the constant.
        // SAFETY: no instruction.
        unsafe {
            asm!("/* {} */", inout(reg) host, options(pure, nomem, nostack, preserves_flags))
        };
        // SAFETY: the cell is this CPU's. Only this function makes a reference to its content, and
        // `work` does not call it: the functions of `HostState` know nothing of the CPU.
        work(unsafe { &mut *host })
    }

    /// Runs `work` on a page of the monitor's own memory.
    ///
    /// # Safety
    /// The page is the monitor's own, and nothing else refers to it meanwhile.
    pub unsafe fn with_page<R>(&self, pa: Pa, work: impl FnOnce(&mut Page) -> R) -> R {
        let mut window = self.map(pa);
        // SAFETY: the window is open, and the caller promises that nothing else refers to the page.
        let result = work(unsafe { window.as_mut() });
        // SAFETY: `work` could not keep the reference.
        unsafe { self.unmap(window) };
        result
    }

    /// Copies between the monitor's memory and a Non-secure Granule; `copy` is called with the address
    /// of a window onto it.
    // Always: as a function of its own it would cost each call a second frame.
    #[inline(always)]
    fn with_ns(
        &self,
        granule: Pa,
        copy: impl FnOnce(NonNull<Page>) -> Result<(), NsFault>,
    ) -> Result<(), NsFault> {
        let page = self.open::<{ private::NS_WINDOWS }>(granule, descriptor::NS_DATA);
        let result = copy(page.cast());
        // SAFETY: the window was opened above, and `copy` has returned.
        unsafe { close(page) };
        result
    }

    /// Opens a window, of those from private page `FIRST` on, that the TLB knows nothing of.
    #[inline]
    fn open<const FIRST: usize>(&self, pa: Pa, attributes: u64) -> NonNull<u8> {
        let fresh = self.fresh_windows::<FIRST>();
        let (window, rest) = match space::take_window(fresh.get()) {
            Some(taken) => taken,
            None => self.recycle_windows(fresh),
        };
        fresh.set(rest);
        let index = FIRST + window;
        // SAFETY: it is the entry of a window that is closed.
        unsafe { set_entry(index, stage1::page(pa, attributes)) };
        // The table walker must see the entry before anything accesses the window.
        barrier::dsb(barrier::NSHST);
        isb();
        const { assert!(private::va(FIRST).is_multiple_of(space::PAGE * 32)) }
        let first = const { NonZeroUsize::new(private::va(FIRST)).unwrap() };
        NonNull::with_exposed_provenance(first | (window * space::PAGE))
    }

    /// The windows from private page `FIRST` on that the TLB knows nothing of, as in
    /// [`space::take_window`].
    #[inline]
    fn fresh_windows<const FIRST: usize>(&self) -> &'static Cell<u64> {
        if FIRST == private::WINDOWS {
            &self.data().fresh_windows
        } else {
            &self.data().fresh_ns_windows
        }
    }

    /// Whether all windows are as if they had never been opened.
    #[inline]
    fn are_windows_fresh(&self) -> bool {
        let data = self.data();
        data.fresh_windows.get() & data.fresh_ns_windows.get() == space::ALL_FRESH
    }

    /// Makes this CPU's TLB forget the windows that have been closed. Comes before the CPU leaves
    /// for EL3, which may move their Granules to another PAS.
    #[inline]
    pub(super) fn forget_windows(&self) {
        if !self.are_windows_fresh() {
            forget_windows();
        }
    }

    /// As [`Self::forget_windows`], when all windows are closed.
    #[inline]
    pub(super) fn forget_all_windows(&self) {
        if !self.are_windows_fresh() {
            forget_windows();
            self.data().fresh_windows.set(space::ALL_FRESH);
            self.data().fresh_ns_windows.set(space::ALL_FRESH);
        }
    }

    /// As [`Self::forget_windows`]; takes the first of the windows of the kind of `wanted` that is closed.
    // The first window after each boot, too: the data of a CPU is zero then.
    #[cold]
    #[inline(never)]
    fn recycle_windows(&self, wanted: &Cell<u64>) -> (usize, u64) {
        forget_windows();
        let closed = |first: usize| {
            let is_closed = |n: usize| u64::from(entry(first + n) == 0) << n;
            (0..private::WINDOW_COUNT).fold(0, |closed, n| closed | is_closed(n))
        };
        let data = self.data();
        data.fresh_windows.set(closed(private::WINDOWS));
        data.fresh_ns_windows.set(closed(private::NS_WINDOWS));
        match space::take_window(wanted.get()) {
            Some(taken) => taken,
            None => bug!("out of windows"),
        }
    }
}

/// Closes a window. The TLB may know it until [`forget_windows`]; nothing uses its address.
///
/// # Safety
/// The window is open, and nothing refers to its page any more.
#[inline]
unsafe fn close(window: NonNull<u8>) {
    // The compiler must not move accesses through the window behind this.
    compiler_fence(Ordering::SeqCst);
    let index = window.addr().get() % space::BLOCK / space::PAGE;
    // SAFETY: it is the entry of a window, which nothing uses any more.
    unsafe { set_entry(index, 0) };
}

/// The remedy for stores that are still under way when a broadcast TLBI and its DSB have ended: after a
/// second pair, whatever it invalidates, all CPUs see them.
#[cold]
#[inline(never)]
fn repeat_tlbi() {
    // SAFETY: forgets translations.
    unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::ISH);
}

/// Makes this CPU's TLB forget the windows that have no entry any more.
#[inline]
fn forget_windows() {
    // The entries that were cleared come before the TLBI, and the TLBI before what follows.
    // SAFETY: forgets translations of pages that nothing refers to any more, or that have an entry.
    unsafe {
        asm!(
            arch!(),
            "dsb nshst",
            "tlbi rvae2, {range}",
            "dsb nsh",
            "isb",
            range = in(reg) stage1::WINDOWS_RANGE,
            options(nostack, preserves_flags)
        );
    }
}

/// The private table.
fn table() -> *mut u64 {
    ptr::with_exposed_provenance_mut(private::va(private::TABLE))
}

/// Entry `index` of the private table.
fn entry(index: usize) -> u64 {
    // SAFETY: the private table is mapped at this address; the callers' indices are below 512.
    unsafe { table().add(index).read_volatile() }
}

/// # Safety
/// Private page `index`, less than 512, is a window that is not in use.
#[inline]
unsafe fn set_entry(index: usize, entry: u64) {
    // SAFETY: the private table is mapped at this address. Only this CPU writes it, and only its
    // table walker reads it.
    unsafe { table().add(index).write_volatile(entry) };
}

// SAFETY: a window is a private page of this CPU, whole and aligned, and open at most once: an open
// one is in no set of fresh windows, and only members of these are opened. Its entry maps the Realm
// PAS Granule.
unsafe impl Memory for ArchCpu {
    #[inline]
    fn map(&self, pa: Pa) -> NonNull<Page> {
        self.open::<{ private::WINDOWS }>(pa, descriptor::DATA)
            .cast()
    }

    #[inline]
    unsafe fn unmap(&self, window: NonNull<Page>) {
        // SAFETY: the caller's promise.
        unsafe { close(window.cast()) };
    }

    // These two always, as `with_ns`.
    #[inline(always)]
    fn read_ns<const N: usize>(
        &self,
        granule: Pa,
        parts: [(usize, &mut [MaybeUninit<u8>]); N],
    ) -> Result<(), NsFault> {
        self.with_ns(granule, |page| {
            for (offset, dst) in parts {
                let from = ns::part(page, offset, dst.len());
                // SAFETY: `dst` is borrowed for writing; the source lies in the open window.
                unsafe { ns::copy(dst.as_mut_ptr().cast(), from, dst.len())? };
            }
            Ok(())
        })
    }

    #[inline(always)]
    fn write_ns<const N: usize>(
        &self,
        granule: Pa,
        zero: Range<usize>,
        parts: [(usize, &[u8]); N],
    ) -> Result<(), NsFault> {
        self.with_ns(granule, |page| {
            if !zero.is_empty() {
                let to = ns::part(page, zero.start, zero.len());
                // SAFETY: the target lies in the open window.
                unsafe { ns::zero(to, zero.len())? };
            }
            for (offset, src) in parts {
                if !src.is_empty() {
                    let to = ns::part(page, offset, src.len());
                    // SAFETY: `src` is borrowed; the target lies in the open window.
                    unsafe { ns::copy(to, src.as_ptr(), src.len())? };
                }
            }
            Ok(())
        })
    }

    #[inline]
    fn zero(&self, granule: &mut Page) {
        // SAFETY: borrowed for writing.
        unsafe { zero(NonNull::from(granule)) };
    }

    #[inline]
    unsafe fn zero_shared(&self, window: NonNull<Page>) {
        // SAFETY: the window is open, and there is no reference to its content.
        unsafe { zero(window) };
    }

    #[inline]
    fn publish_tables(&self) {
        barrier::dsb(barrier::ISHST);
        isb();
    }

    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8) {
        /// With more entries than this, forgetting everything of the VMID is cheaper.
        const MOST: u64 = 16;
        let level = u32::from(level.clamp(0, 3).unsigned_abs());
        let entry_shift = 12 + 9 * (3 - level);
        let entries = size >> entry_shift;
        // TLBI names the Realm by the VMID in VTTBR_EL2, and reaches the EL1&0 regime only while
        // TGE is clear. No stage 2 translation happens at EL2, whatever VTTBR_EL2 says.
        let (hcr, vttbr) = (HCR_EL2.get(), VTTBR_EL2.get());
        // All CPUs' walkers must see the table entries before the TLBI, and walks of EL1 and EL0
        // that go on at EL2 (R_LFHQG) must end before the registers change.
        barrier::dsb(barrier::ISH);
        // SAFETY: the monitor's own translation stays: E2H does, and its regime does not depend on
        // TGE at EL2. No Realm runs before both registers have their values again.
        unsafe {
            HCR_EL2.set(hcr & !set!(HCR_EL2: TGE));
            VTTBR_EL2.set(VTTBR_EL2::VMID.val(vmid.into()).value);
        }
        isb();
        if (1..=MOST).contains(&entries) {
            for entry in 0..entries {
                // Wrapping: the range ends within the IPA space, far below 2^64.
                let ipa = Ipa(base.0.wrapping_add(entry << entry_shift));
                // SAFETY: forgets translations.
                unsafe {
                    asm!(
                        "tlbi ipas2e1is, {operand}",
                        operand = in(reg) stage2::tlbi_operand(ipa),
                        options(nostack, preserves_flags)
                    );
                }
            }
            barrier::dsb(barrier::ISH);
            // SAFETY: forgets translations: those that combine stage 1 with the above.
            unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
        } else {
            // SAFETY: forgets translations.
            unsafe { asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) };
        }
        // All CPUs must have forgotten before what follows.
        barrier::dsb(barrier::ISH);
        if remedies::repeats_tlbi() {
            repeat_tlbi();
        }
        // SAFETY: the values from before.
        unsafe {
            VTTBR_EL2.set(vttbr);
            HCR_EL2.set(hcr);
        }
        isb();
    }
}

/// Fills a page with zero bytes, visible to all observers on return.
///
/// # Safety
/// The page is aligned, and valid for writes. If there is a reference to it, the page is borrowed for writing.
#[inline]
unsafe fn zero(page: NonNull<Page>) {
    let start = page.cast::<u8>().as_ptr();
    match zero_block(DCZID_EL0.get()) {
        // SAFETY: the page is aligned; the rest is the caller's promise. A Realm or the Host may access a
        // shared page meanwhile, which would be a data race with a plain write, and is none with atomic stores.
        None => unsafe { zero_by_words(page) },
        // SAFETY: zeroes the page, which is aligned, in blocks that divide it; 16 blocks of at most
        // 256 bytes a turn. To the compiler it is an access of another agent, so it races with no access of
        // others to a shared page. The rest is the caller's promise.
        Some(block) => unsafe {
            asm!(
                "2: .rept 16",
                "dc zva, {at}",
                "add {at}, {at}, {block}",
                ".endr",
                "cmp {at}, {end}",
                "b.lo 2b",
                at = inout(reg) start => _,
                block = in(reg) block,
                end = in(reg) start.add(GRANULE_SIZE),
                options(nostack)
            );
        },
    }
    // Every observer must see the zeroes before what follows.
    barrier::dsb(barrier::ISH);
}
