// SPDX-License-Identifier: BSD-3-Clause
//! This CPU's view of physical memory.

use super::exception::fatal;
use super::ns;
use super::optional::Optional;
use super::percpu::{self, CpuData};
use super::registers::*;
use super::space::{self, descriptor, private};
use crate::boot::El3Interface;
use crate::machine::CpuFeatures;
use core::arch::asm;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{Ordering, compiler_fence};
use rmm_granule::{GRANULE_SIZE, Ipa, Memory, NsFault, Pa};

/// A Granule's content.
pub type Page = [u8; GRANULE_SIZE];

/// This CPU.
pub struct ArchCpu {
    pub(super) features: &'static CpuFeatures,
    /// `BRBCR_EL2` is the Host's also while the monitor runs.
    pub(super) shares_branch_records: bool,
    /// Windows are this CPU's: the value must not leave it.
    not_send: PhantomData<*const ()>,
}

impl ArchCpu {
    /// The CPU that executes this, with its EL2 registers ready to run Realms.
    ///
    /// # Safety
    /// Called once each time the CPU enters from EL3's boot.
    #[must_use]
    pub unsafe fn new(features: &'static CpuFeatures, el3: El3Interface, open: &Optional) -> Self {
        let cpu = Self {
            features,
            shares_branch_records: open.brbe && !el3.banks_branch_records(),
            not_send: PhantomData,
        };
        // SAFETY: EL2 with E2H is where the entry code left this CPU; the state is its own, and
        // there is no other reference to it yet.
        unsafe { cpu.host().init(el3, open) };
        cpu
    }

    /// What this CPU knows for itself.
    #[inline(always)]
    pub fn data(&self) -> &'static CpuData {
        percpu::data()
    }

    /// Runs `work` on a page of Realm memory that is the monitor's.
    ///
    /// # Safety
    /// The page is the monitor's own and nothing else refers to it meanwhile.
    pub unsafe fn with_page<R>(&self, pa: Pa, work: impl FnOnce(&mut Page) -> R) -> R {
        let mut window = self.map(pa);
        // SAFETY: the window is open, and the caller promises that the page is free.
        let result = work(unsafe { window.as_mut() });
        // SAFETY: `work` could not keep the reference.
        unsafe { self.unmap(window) };
        result
    }

    /// Copies between the monitor's memory and the Non-secure page of `pa`; `copy` is called with
    /// the address of `pa` in a window.
    fn with_ns(
        &self,
        pa: Pa,
        size: usize,
        copy: impl FnOnce(NonNull<u8>) -> Result<(), NsFault>,
    ) -> Result<(), NsFault> {
        let offset = pa.granule_offset();
        if size > GRANULE_SIZE - offset {
            fatal(format_args!("a Non-secure copy leaves its Granule"));
        }
        let page = self.open::<{ private::NS_WINDOWS }, { private::NS_WINDOW_COUNT }>(
            pa.granule_base(),
            descriptor::NS_DATA,
        );
        // SAFETY: the offset is inside the page.
        let result = copy(unsafe { page.byte_add(offset) });
        close(page);
        result
    }

    /// Opens a window, of `COUNT` from private page `FIRST` on, that the TLB knows nothing of.
    #[inline(always)]
    fn open<const FIRST: usize, const COUNT: usize>(&self, pa: Pa, attributes: u64) -> NonNull<u8> {
        let shift = FIRST - private::WINDOWS;
        let fresh = |used: u64| (used >> shift).trailing_ones() as usize;
        let mut used = self.data().used_windows.get();
        let mut window = fresh(used);
        if window >= COUNT {
            used = self.recycle_windows();
            window = fresh(used);
            if window >= COUNT {
                fatal(format_args!("out of windows"));
            }
        }
        self.data().used_windows.set(used | 1 << (shift + window));
        let index = FIRST + window;
        // SAFETY: it is the entry of a window that is closed.
        unsafe { set_entry(index, pa.0 & ADDRESS | attributes) };
        // The entry comes before the walks for what follows.
        barrier::dsb(barrier::NSHST);
        isb();
        let address = ptr::with_exposed_provenance_mut::<u8>(private::va(index));
        // SAFETY: the private part of the address space is not at zero.
        unsafe { NonNull::new_unchecked(address) }
    }

    /// Makes this CPU's TLB forget the windows that have been closed, before the CPU leaves for
    /// EL3, which may move their Granules to another PAS.
    #[inline(always)]
    pub(super) fn forget_windows(&self) {
        if self.data().used_windows.get() != 0 {
            forget_windows();
        }
    }

    /// As [`Self::forget_windows`], all being closed.
    #[inline(always)]
    pub(super) fn forget_all_windows(&self) {
        if self.data().used_windows.get() != 0 {
            forget_windows();
            self.data().used_windows.set(0);
        }
    }

    /// As [`Self::forget_windows`]; returns those that are open.
    #[cold]
    #[inline(never)]
    fn recycle_windows(&self) -> u64 {
        forget_windows();
        let open = |used: u64, n: usize| used | u64::from(entry(private::WINDOWS + n) != 0) << n;
        let used = (0..private::ALL_WINDOWS).fold(0, open);
        self.data().used_windows.set(used);
        used
    }
}

/// Closes a window. The TLB may know it until [`forget_windows`]; nothing uses its address.
#[inline(always)]
fn close(window: NonNull<u8>) {
    // No access through it comes later.
    compiler_fence(Ordering::SeqCst);
    let index = window.addr().get().wrapping_sub(space::PRIVATE) / space::PAGE;
    // SAFETY: it is the entry of a window.
    unsafe { set_entry(index, 0) };
}

/// Makes this CPU forget the windows that have no entry any more.
#[inline(always)]
fn forget_windows() {
    /// Operand of TLBI RVAE2: the windows, in pages of 4 KiB, by two and two.
    const RANGE: u64 = {
        let first = private::va(private::WINDOWS) as u64 >> 12 & ((1 << 37) - 1);
        let (granule, num) = (1, private::ALL_WINDOWS as u64 / 2 - 1);
        granule << 46 | num << 39 | first
    };
    // SAFETY: forgets translations of pages that nothing refers to any more, or that have an entry.
    // The assembler knows TLBI RVAE2 by this name alone.
    unsafe {
        asm!(
            "dsb nshst",
            "sys #4, c8, c6, #1, {range}",
            "dsb nsh",
            "isb",
            range = in(reg) RANGE,
            options(nostack, preserves_flags)
        );
    }
}

/// Address bits of a page descriptor.
const ADDRESS: u64 = (1 << 48) - (1 << 12);

/// Address of the private table's entry `index`.
#[inline(always)]
fn entry_at(index: usize) -> *mut u64 {
    let table = ptr::with_exposed_provenance_mut::<u64>(private::va(private::TABLE));
    table.wrapping_add(index)
}

fn entry(index: usize) -> u64 {
    // SAFETY: the private table is mapped at this address; the callers' indices are below 512.
    unsafe { entry_at(index).read_volatile() }
}

/// # Safety
/// Private page `index`, less than 512, is not in use.
#[inline(always)]
unsafe fn set_entry(index: usize, entry: u64) {
    // SAFETY: the private table is mapped at this address. Only this CPU writes it, and only its
    // table walker reads it.
    unsafe { entry_at(index).write_volatile(entry) };
}

// SAFETY: windows are private pages of this CPU, whole and aligned, each open at most once: an open
// one is marked in `used_windows`, and no marked one is opened. Their entries map the Realm PAS
// Granule.
unsafe impl Memory for ArchCpu {
    #[inline]
    fn map(&self, pa: Pa) -> NonNull<Page> {
        self.open::<{ private::WINDOWS }, { private::WINDOW_COUNT }>(pa, descriptor::DATA)
            .cast()
    }

    #[inline]
    unsafe fn unmap(&self, window: NonNull<Page>) {
        close(window.cast());
    }

    #[inline(always)]
    fn read_ns(&self, pa: Pa, dst: &mut [u8]) -> Result<(), NsFault> {
        self.with_ns(pa, dst.len(), |from| {
            // SAFETY: `dst` is borrowed for writing; the source lies in the open window.
            unsafe { ns::copy(dst.as_mut_ptr(), from.as_ptr(), dst.len()) }
        })
    }

    #[inline(always)]
    fn write_ns(&self, pa: Pa, src: &[u8]) -> Result<(), NsFault> {
        self.with_ns(pa, src.len(), |to| {
            // SAFETY: `src` is borrowed; the target lies in the open window.
            unsafe { ns::copy(to.as_ptr(), src.as_ptr(), src.len()) }
        })
    }

    #[inline]
    fn zero(&self, granule: &mut Page) {
        let dczid = DCZID_EL0.get();
        let block = 4usize << DCZID_EL0::BS.read(dczid);
        let start = granule.as_mut_ptr();
        if DCZID_EL0::DZP.is_set(dczid) || !(64..=512).contains(&block) {
            granule.fill(0);
        } else {
            // SAFETY: zeroes the Granule, aligned and borrowed for writing, in blocks that divide
            // it; eight blocks of at most 512 bytes a turn.
            unsafe {
                asm!(
                    "2: dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "cmp {at}, {end}",
                    "b.lo 2b",
                    at = inout(reg) start => _,
                    block = in(reg) block,
                    end = in(reg) start.wrapping_add(GRANULE_SIZE),
                    options(nostack)
                );
            }
        }
        // Until the zeroes are there for every observer.
        barrier::dsb(barrier::ISH);
    }

    #[inline]
    fn publish_tables(&self) {
        barrier::dsb(barrier::ISHST);
        isb();
    }

    fn invalidate_stage2(&self, vmid: u16, base: Ipa, size: u64, level: i8) {
        /// With more entries than this, forgetting all of the VMID is cheaper.
        const MOST: u64 = 16;
        let level = u32::from(level.clamp(0, 3).unsigned_abs());
        let entry_shift = 12 + 9 * (3 - level);
        let entries = size >> entry_shift;
        // The entries of the EL1&0 regime are addressed by the VMID in VTTBR_EL2, and only while
        // TGE is clear. No stage 2 translation happens at EL2, whatever VTTBR_EL2 says.
        let (hcr, vttbr) = (HCR_EL2.get(), VTTBR_EL2.get());
        // The tables were written before, and walks of EL1 and EL0 that go on at EL2 (R_LFHQG) end
        // before the registers change.
        barrier::dsb(barrier::ISH);
        HCR_EL2.set(hcr & !set!(HCR_EL2: TGE));
        VTTBR_EL2.write(VTTBR_EL2::VMID.val(vmid.into()));
        isb();
        if (1..=MOST).contains(&entries) {
            for entry in 0..entries {
                let ipa = base.0.wrapping_add(entry << entry_shift);
                // SAFETY: forgets translations.
                unsafe {
                    asm!(
                        "tlbi ipas2e1is, {page}",
                        page = in(reg) ipa >> 12 & ((1 << 40) - 1),
                        options(nostack, preserves_flags)
                    );
                }
            }
            barrier::dsb(barrier::ISH);
            // SAFETY: forgets translations: those of stage 1 that were combined with the above.
            unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
        } else {
            // SAFETY: forgets translations.
            unsafe { asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) };
        }
        // Until all CPUs have forgotten.
        barrier::dsb(barrier::ISH);
        VTTBR_EL2.set(vttbr);
        HCR_EL2.set(hcr);
        isb();
    }
}
