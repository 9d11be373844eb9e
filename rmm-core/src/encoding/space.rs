// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own virtual address space: the 1 GiB that TTBR1_EL2 translates. Each CPU has its
//! own root table (level 2).
//!
//! | from | size | holds | mapped |
//! |---|---|---|---|
//! | [`IMAGE`] | 2 MiB | text, read-only data, data, bss | by all CPUs alike |
//! | [`DEVICES`] | 2 MiB | console, buffer shared with EL3 | by all CPUs alike |
//! | [`ARRAYS`] | 1018 MiB | granule table | by all CPUs alike |
//! | [`PRIVATE`] | 2 MiB | stacks, data and windows of a CPU | by each CPU for itself |
//!
//! No page is both writable and executable. In the private part unmapped pages separate pages of
//! different kinds, so a stack that overflows faults.

/// Size of a page of the monitor's address space in bytes, that of a Granule.
pub const PAGE: usize = 4096;
/// What one level 2 descriptor maps, in bytes.
pub const BLOCK: usize = 0x20_0000;

/// `TCR_EL2.T1SZ`: 1 GiB.
pub const T1SZ: u64 = 34;

/// Where the image is linked.
pub const IMAGE: usize = 0xFFFF_FFFF_C000_0000;
/// Devices and the shared buffer.
pub const DEVICES: usize = IMAGE + BLOCK;
/// The granule table.
pub const ARRAYS: usize = DEVICES + BLOCK;
/// The private part of each CPU.
pub const PRIVATE: usize = 0xFFFF_FFFF_FFE0_0000;

/// Index of the root table's entry that maps `va`.
pub const fn root_index(va: usize) -> usize {
    (va - IMAGE) / BLOCK
}

/// Pages of the private part, by their index in it.
pub mod private {
    use super::PAGE;

    /// First window onto Non-secure memory.
    pub const NS_WINDOWS: usize = WINDOWS - 32;
    /// First window onto Realm memory. Its address is a run of ones, which one instruction loads.
    pub const WINDOWS: usize = 384;
    /// Number of windows of each kind.
    pub const WINDOW_COUNT: usize = 31;
    /// Pages from [`NS_WINDOWS`] that one TLBI forgets: windows of both kinds.
    pub const ALL_WINDOWS: usize = 64;
    /// First page of the stack.
    pub const STACK: usize = 472;
    /// First page of the exception stack.
    pub const EXCEPTION_STACK: usize = 492;
    /// The table that maps the private part. This and the data lie in the last 64 KiB of the address
    /// space: one instruction loads an address there.
    pub const TABLE: usize = 497;
    /// First page of the CPU's data.
    pub const DATA: usize = 499;
    /// The last page, which stays unmapped: what precedes it ends before the end of the address space.
    pub const LAST: usize = 511;

    /// Address of page `index`.
    pub const fn va(index: usize) -> usize {
        super::PRIVATE + index * PAGE
    }

    // Unmapped pages keep the kinds apart.
    const _: () = {
        assert!(NS_WINDOWS + WINDOW_COUNT < WINDOWS);
        assert!(WINDOWS + WINDOW_COUNT < NS_WINDOWS + ALL_WINDOWS);
        assert!(NS_WINDOWS + ALL_WINDOWS < STACK);
        assert!(STACK + super::STACK_PAGES < EXCEPTION_STACK);
        assert!(EXCEPTION_STACK + super::EXCEPTION_STACK_PAGES < TABLE);
        assert!(TABLE + 1 < DATA);
        assert!(va(LAST) == usize::MAX - (PAGE - 1));
    };
}

/// Pages of a CPU's stack.
pub const STACK_PAGES: usize = 8;
/// Pages of a CPU's exception stack.
pub const EXCEPTION_STACK_PAGES: usize = 4;

/// Top of the stack.
pub const STACK_TOP: usize = private::va(private::STACK + STACK_PAGES);
/// Top of the exception stack: a run of ones, so that one instruction loads it into SP.
pub const EXCEPTION_STACK_TOP: usize =
    private::va(private::EXCEPTION_STACK + EXCEPTION_STACK_PAGES);

const _: () = assert!(EXCEPTION_STACK_TOP == 0xFFFF_FFFF_FFFF_0000);

/// All windows of a kind in the form of [`take_window`].
pub const ALL_FRESH: u64 = (1 << private::WINDOW_COUNT) - 1;

/// The first of the windows in `fresh`, and the others. Bit n of `fresh` says that window n of its kind
/// is closed, and that the TLB knows nothing of it. `None` if there is none.
#[inline]
pub const fn take_window(fresh: u64) -> Option<(usize, u64)> {
    if fresh == 0 {
        None
    } else {
        Some((fresh.trailing_zeros() as usize, fresh & (fresh - 1)))
    }
}

/// Whether an address lies in a window onto Non-secure memory.
pub const fn is_in_ns_window(va: u64) -> bool {
    const START: u64 = private::va(private::NS_WINDOWS) as u64;
    const END: u64 = private::va(private::NS_WINDOWS + private::WINDOW_COUNT) as u64;
    START <= va && va < END
}

#[cfg(test)]
mod tests {
    use super::private::{NS_WINDOWS, WINDOW_COUNT, WINDOWS};
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        assert_eq!(root_index(IMAGE), 0);
        assert_eq!(root_index(DEVICES), 1);
        assert_eq!(root_index(DEVICES + BLOCK - 1), 1);
        assert_eq!(root_index(ARRAYS), 2);
        assert_eq!(root_index(PRIVATE), 511);
        assert_eq!(PRIVATE - ARRAYS, 1018 << 20);
        // T1SZ: the region of the high addresses has 2^(64 - T1SZ) bytes.
        assert_eq!(IMAGE as u64, 0_u64.wrapping_sub(1 << (64 - T1SZ)));
        assert_eq!(STACK_TOP, 0xFFFF_FFFF_FFFE_0000);
    }

    #[test]
    fn windows_are_used_in_turn_until_none_is_fresh() {
        let mut fresh = ALL_FRESH;
        for n in 0..WINDOW_COUNT {
            let (window, rest) = take_window(fresh).unwrap();
            assert_eq!(window, n);
            assert_eq!(rest, fresh & !(1 << n));
            fresh = rest;
        }
        assert_eq!(take_window(fresh), None);
        // One that is closed after all the others.
        assert_eq!(take_window(1 << 15), Some((15, 0)));
        assert_eq!(take_window(1 << 15 | 1 << 30), Some((15, 1 << 30)));
    }

    #[test]
    fn only_windows_onto_non_secure_memory_are_such() {
        let va = |page| private::va(page) as u64;
        for (address, expected) in [
            (0, false),
            (va(WINDOWS), false),
            (va(WINDOWS + WINDOW_COUNT - 1), false),
            (va(NS_WINDOWS) - 1, false),
            (va(NS_WINDOWS), true),
            (va(NS_WINDOWS + WINDOW_COUNT) - 1, true),
            (va(NS_WINDOWS + WINDOW_COUNT), false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_in_ns_window(address), expected, "{address:#x}");
        }
    }
}
