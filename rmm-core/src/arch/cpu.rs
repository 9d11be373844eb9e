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
use rmm_granule::{GRANULE_SIZE, Ipa, Memory, NsFault, Pa};

/// A Granule's content.
pub type Page = [u8; GRANULE_SIZE];

/// This CPU.
pub struct ArchCpu {
    pub(super) features: &'static CpuFeatures,
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
        let page = open_page(private::NS_WINDOW, pa.granule_base(), descriptor::NS_DATA);
        // SAFETY: the offset is inside the page.
        let result = copy(unsafe { page.byte_add(offset) });
        close_page(private::NS_WINDOW);
        result
    }
}

/// Maps private page `index`, which must be unmapped.
#[inline(always)]
fn open_page(index: usize, pa: Pa, attributes: u64) -> NonNull<u8> {
    let address = ptr::with_exposed_provenance_mut::<u8>(private::va(index));
    set_entry(index, pa.0 & ADDRESS | attributes);
    // The entry comes before the walks for what follows.
    barrier::dsb(barrier::NSHST);
    isb();
    // SAFETY: the private part of the address space is not at zero.
    unsafe { NonNull::new_unchecked(address) }
}

/// Unmaps private page `index` and makes this CPU forget it.
#[inline(always)]
fn close_page(index: usize) {
    set_entry(index, 0);
    let page = private::va(index) >> 12 & ((1 << 44) - 1);
    // SAFETY: forgets a translation of a page that nothing refers to any more.
    unsafe {
        asm!(
            "dsb nshst",
            "tlbi vae2, {page}",
            "dsb nsh",
            "isb",
            page = in(reg) page,
            options(nostack, preserves_flags)
        );
    }
}

/// Address bits of a page descriptor.
const ADDRESS: u64 = (1 << 48) - (1 << 12);

#[inline(always)]
fn set_entry(index: usize, entry: u64) {
    let table = ptr::with_exposed_provenance_mut::<u64>(private::va(private::TABLE));
    // SAFETY: the private table is mapped at this address; the callers' indices are below 512.
    // Only this CPU writes it, and only its table walker reads it.
    unsafe { table.add(index).write_volatile(entry) };
}

// SAFETY: windows are private pages of this CPU, whole and aligned, each open at most once: bit n
// of `open_windows` says that window n is. Their entries map the Realm PAS Granule.
unsafe impl Memory for ArchCpu {
    #[inline]
    fn map(&self, pa: Pa) -> NonNull<Page> {
        let open = self.data().open_windows.get();
        let window = open.trailing_ones() as usize;
        if window >= private::WINDOW_COUNT {
            fatal(format_args!("out of windows"));
        }
        self.data().open_windows.set(open | 1 << window);
        open_page(private::WINDOWS + window, pa, descriptor::DATA).cast()
    }

    #[inline]
    unsafe fn unmap(&self, window: NonNull<Page>) {
        let index = window.addr().get().wrapping_sub(space::PRIVATE) / space::PAGE;
        let window = index.wrapping_sub(private::WINDOWS);
        let open = self.data().open_windows.get();
        if window >= private::WINDOW_COUNT || open & 1 << window == 0 {
            fatal(format_args!("closes a window that is not open"));
        }
        close_page(index);
        self.data().open_windows.set(open & !(1 << window));
    }

    fn read_ns(&self, pa: Pa, dst: &mut [u8]) -> Result<(), NsFault> {
        self.with_ns(pa, dst.len(), |from| {
            // SAFETY: `dst` is borrowed for writing; the source lies in the open window.
            unsafe { ns::copy(dst.as_mut_ptr(), from.as_ptr(), dst.len()) }
        })
    }

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
        HCR_EL2.set(hcr & !set!(HCR_EL2: TGE));
        VTTBR_EL2.write(VTTBR_EL2::VMID.val(vmid.into()));
        barrier::dsb(barrier::ISHST);
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
