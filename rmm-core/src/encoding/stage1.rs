// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's own translation: descriptors, the TLBI operand of the windows, and the registers
//! that `entry.S` sets once. Realm EL2&0 regime, 4 KiB granules, no LPA2.

use super::fields::*;
use super::space::private;
use rmm_granule::Pa;

/// Bits of a descriptor (Arm ARM D8.3).
pub mod descriptor {
    /// A page at level 3, and a table at level 2.
    pub const PAGE_OR_TABLE: u64 = 0b11;
    /// A block at level 2.
    const BLOCK: u64 = 0b01;
    /// `MAIR_EL2` attribute 1: a device.
    const DEVICE_MEMORY: u64 = 1 << 2;
    /// Non-secure rather than Realm physical address space.
    const NS: u64 = 1 << 5;
    const READ_ONLY: u64 = 1 << 7;
    const INNER_SHAREABLE: u64 = 0b11 << 8;
    const AF: u64 = 1 << 10;
    const PXN: u64 = 1 << 53;
    const UXN: u64 = 1 << 54;

    const NORMAL: u64 = AF | INNER_SHAREABLE | UXN;

    /// Instructions: executable, read-only.
    pub const TEXT: u64 = PAGE_OR_TABLE | NORMAL | READ_ONLY;
    /// Constants: read-only.
    pub const RODATA: u64 = PAGE_OR_TABLE | NORMAL | READ_ONLY | PXN;
    /// Data: readable and writable.
    pub const DATA: u64 = PAGE_OR_TABLE | NORMAL | PXN;
    /// A 2 MiB block of data.
    pub const DATA_BLOCK: u64 = BLOCK | NORMAL | PXN;
    /// Non-secure memory.
    pub const NS_DATA: u64 = DATA | NS;
    /// Device registers, nGnRE.
    pub const DEVICE: u64 = PAGE_OR_TABLE | AF | PXN | UXN | DEVICE_MEMORY;
}

/// The page descriptor of a Granule. Address bits that the descriptor has no room for are dropped:
/// no bit of an address becomes an attribute.
#[inline]
pub const fn page(pa: Pa, attributes: u64) -> u64 {
    const ADDRESS: u64 = (1 << 48) - (1 << 12);
    pa.0 & ADDRESS | attributes
}

/// Operand of TLBI RVAE2 for the windows of a CPU: 4 KiB granules, SCALE 0 (two pages a unit), and
/// NUM units minus one.
pub const WINDOWS_RANGE: u64 = {
    let first = private::va(private::NS_WINDOWS) as u64 >> 12 & ((1 << 37) - 1);
    let (tg, num) = (1, private::ALL_WINDOWS as u64 / 2 - 1);
    tg << 46 | num << 39 | first
};

/// `MAIR_EL2`: attribute 0 Normal write-back, 1 Device-nGnRE.
pub const MAIR: u64 = {
    use MAIR_EL2::{Attr0_Normal_Inner, Attr0_Normal_Outer, Attr1_Device};
    Attr0_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc.value
        | Attr0_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc.value
        | Attr1_Device::nonGathering_nonReordering_EarlyWriteAck.value
};

/// `TCR_EL2` without IPS: 4 KiB granules, walks cacheable and inner shareable. T0SZ is 16: the
/// identity mapping that turns the MMU on covers 48 bits.
pub const TCR: u64 = {
    use TCR_EL2::*;
    let walks0 = SH0::Inner.value
        | ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
        | IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value;
    let walks1 = SH1::Inner.value
        | ORGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
        | IRGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value;
    let low = T0SZ.val(16).value | TG0::KiB_4.value | walks0;
    let high = T1SZ.val(super::space::T1SZ).value | TG1::KiB_4.value | walks1;
    low | high
};
/// `TCR_EL2.EPD0`: no walks through TTBR0_EL2.
pub const TCR_EPD0: u64 = set!(TCR_EL2: EPD0);

/// `HCR_EL2` while the monitor runs. E2H and TGE: one regime with two halves, and all exceptions
/// are taken to EL2.
pub const HCR: u64 = set!(HCR_EL2: E2H | TGE | RW | AMO | IMO | FMO | API | APK);

/// `SCTLR_EL2`: MMU, caches, stack alignment check; writable memory is never executable. The
/// controls of features that the monitor does not use are as if the features were absent.
pub const SCTLR: u64 = {
    let res1 = set!(SCTLR_EL2: EOS | EIS | nTWI | nTWE | SPAN | nTLSMD | LSMAOE);
    set!(SCTLR_EL2: M | C | SA | I | WXN) | res1
};

/// `CPTR_EL2`: FP, SIMD, SVE, SME and trace trap, since the monitor has no use for the registers.
pub const CPTR: u64 = set!(CPTR_EL2: TTA);

#[cfg(test)]
mod tests {
    use super::descriptor::{DATA, DATA_BLOCK, DEVICE, NS_DATA, RODATA, TEXT};
    use super::*;
    use crate::encoding::bits;

    /// D8.3.1: valid 0, table or page 1, AttrIndx 4:2, NS 5, AP[2] 7, SH 9:8, AF 10, PXN 53, UXN 54.
    #[test]
    fn descriptors() {
        assert_eq!(TEXT, bits([0, 1, 7, 8, 9, 10, 54]));
        assert_eq!(RODATA, bits([0, 1, 7, 8, 9, 10, 53, 54]));
        assert_eq!(DATA, bits([0, 1, 8, 9, 10, 53, 54]));
        assert_eq!(DATA_BLOCK, bits([0, 8, 9, 10, 53, 54]));
        assert_eq!(NS_DATA, bits([0, 1, 5, 8, 9, 10, 53, 54]));
        assert_eq!(DEVICE, bits([0, 1, 2, 10, 53, 54]));
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for attributes in [TEXT, RODATA, DATA, DATA_BLOCK, NS_DATA, DEVICE] {
            let (read_only, pxn) = (attributes & bits([7]) != 0, attributes & bits([53]) != 0);
            assert!(read_only || pxn, "{attributes:#x}");
        }
    }

    #[test]
    fn an_address_changes_no_attribute() {
        assert_eq!(page(Pa(0x8_8000_3000), DATA), 0x8_8000_3000 | DATA);
        assert_eq!(page(Pa(u64::MAX), 0), 0xFFFF_FFFF_F000);
    }

    /// TLBI RVAE2: TG 47:46 (0b01: 4 KiB), SCALE 45:44, NUM 43:39, TTL 38:37, BaseADDR 36:0. The
    /// range has (NUM + 1) * 2^(5 * SCALE + 1) pages.
    #[test]
    fn one_tlbi_forgets_all_windows() {
        let field = |low: u32, bits: u32| WINDOWS_RANGE >> low & ((1 << bits) - 1);
        assert_eq!(field(46, 2), 0b01);
        let pages = (field(39, 5) + 1) << (5 * field(44, 2) + 1);
        assert_eq!(pages, private::ALL_WINDOWS as u64);
        assert_eq!(field(37, 2), 0);
        let base = (private::va(private::NS_WINDOWS) / 4096) as u64;
        assert_eq!(field(0, 37), base & 0x1F_FFFF_FFFF);
        assert_eq!(WINDOWS_RANGE >> 48, 0);
    }

    /// D24.2.128: 0xFF is Normal write-back, 0x04 Device-nGnRE.
    #[test]
    fn mair() {
        assert_eq!(MAIR, 0x04FF);
    }

    /// D24.2.195 with E2H: T0SZ 5:0, EPD0 7, IRGN0 9:8, ORGN0 11:10, SH0 13:12, TG0 15:14, T1SZ
    /// 21:16, EPD1 23, IRGN1 25:24, ORGN1 27:26, SH1 29:28, TG1 31:30 (0b10: 4 KiB), IPS 34:32.
    #[test]
    fn tcr() {
        let low = 16 | bits([8, 10, 12, 13]);
        assert_eq!(TCR, low | 34 << 16 | bits([24, 26, 28, 29, 31]));
        assert_eq!(TCR_EPD0, bits([7]));
    }

    /// D24.2.62: FMO 3, IMO 4, AMO 5, TGE 27, RW 31, E2H 34, APK 40, API 41.
    #[test]
    fn hcr() {
        assert_eq!(HCR, bits([3, 4, 5, 27, 31, 34, 40, 41]));
    }

    /// D24.2.176: M 0, C 2, SA 3, EOS 11, I 12, nTWI 16, nTWE 18, WXN 19, EIS 22, SPAN 23,
    /// nTLSMD 28, LSMAOE 29.
    #[test]
    fn sctlr() {
        assert_eq!(SCTLR, bits([0, 2, 3, 11, 12, 16, 18, 19, 22, 23, 28, 29]));
    }

    /// D24.2.38 with E2H: ZEN 17:16, FPEN 21:20, SMEN 25:24, TTA 28.
    #[test]
    fn cptr() {
        assert_eq!(CPTR, bits([28]));
    }
}
