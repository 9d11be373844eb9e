// SPDX-License-Identifier: BSD-3-Clause
//! A Realm's translation: `VTCR_EL2`, `VTTBR_EL2` and the operand of TLBI IPAS2E1IS.

use super::fields::*;
use rmm_granule::Ipa;
use rmm_rtt::Stage2;

/// `VTCR_EL2` of any Realm: what depends on the CPU alone, whose `ID_AA64MMFR1_EL1` is `mmfr1`. Walks
/// inner shareable, write-back cacheable; 4 KiB granules; no hardware updates.
pub fn vtcr_base(mmfr1: u64) -> u64 {
    use VTCR_EL2::{IRGN0, ORGN0, SH0, TG0, VS};
    let walks = SH0::Inner.value | ORGN0::NormalWBRAWA.value | IRGN0::NormalWBRAWA.value;
    let base = set!(VTCR_EL2: RES1 | NSA) | TG0::Granule4KB.value | walks;
    if ID_AA64MMFR1_EL1::VMIDBits::Bits16.matches_all(mmfr1) {
        base | VS::Bits16.value
    } else {
        base
    }
}

/// `VTCR_EL2` of a Realm, from [`vtcr_base`] and `ID_AA64MMFR0_EL1.PARange`.
#[inline]
pub fn vtcr(base: u64, pa_range: u64, stage2: &Stage2) -> u64 {
    use VTCR_EL2::{DS, PS, SL0, SL2, T0SZ};
    // Wrapping: an IPA has at most 52 bits, and the entry of a REC needs no check of that.
    let t0sz = T0SZ.val(64_u64.wrapping_sub(stage2.ipa_width.into()));
    let start = match stage2.start_level {
        -1 => SL2.val(1),
        0 => SL0::Granule4KBLevel0,
        1 => SL0::Granule4KBLevel1,
        2 => SL0::Granule4KBLevel2,
        _ => SL0::Granule4KBLevel3,
    };
    let output = if stage2.has_lpa2() {
        DS.val(1) + PS.val(pa_range)
    } else {
        PS.val(pa_range.min(PS::Value::PA_48B_256TB as u64))
    };
    base | (t0sz + start + output).value
}

/// `VTTBR_EL2` of a Realm: VMID, and the base with its bits 51:48 at 5:2.
#[inline]
pub fn vttbr(stage2: &Stage2) -> u64 {
    let base = stage2.base.as_u64();
    let vmid = VTTBR_EL2::VMID.val(stage2.vmid.into()).value;
    vmid | base & 0xFFFF_FFFF_F000 | base >> 46 & 0x3C
}

/// Operand of TLBI IPAS2E1IS for the entry that translates `ipa`: of any level.
#[inline]
pub const fn tlbi_operand(ipa: Ipa) -> u64 {
    ipa.0 >> 12 & ((1 << 40) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits;
    use rmm_granule::Pa;

    fn stage2(ipa_width: u8, start_level: i8, lpa2: bool) -> Stage2 {
        Stage2 {
            base: Pa(0x8800_0000),
            start_level,
            num_start: 1,
            ipa_width,
            lpa2: lpa2.into(),
            vmid: 1,
            reserved: [0; 2],
        }
    }

    /// D24.2.224: IRGN0 9:8 and ORGN0 11:10 (0b01: write-back), SH0 13:12 (0b11: inner), TG0 15:14
    /// (0b00: 4 KiB), VS 19, HA 21, HD 22, NSA 30, RES1 31. D24.2.89: VMIDBits 7:4 (0b0010: 16 bits).
    #[test]
    fn vtcr_of_a_cpu() {
        let base = bits([8, 10, 12, 13, 30, 31]);
        assert_eq!(vtcr_base(0), base);
        assert_eq!(vtcr_base(!0xF0), base);
        assert_eq!(vtcr_base(0x20), base | bits([19]));
    }

    /// D24.2.224: T0SZ 5:0, SL0 7:6, PS 18:16, DS 32, SL2 33. With 4 KiB granules SL2:SL0 is 0b000
    /// for level 2, 0b001 for 1, 0b010 for 0, 0b011 for 3 and 0b100 for -1.
    #[test]
    fn vtcr_of_a_realm() {
        for (width, level, start) in [
            (48, 0, 0b010 << 6),
            (40, 1, 0b001 << 6),
            (39, 1, 0b001 << 6),
            (33, 2, 0b000 << 6),
            (32, 3, 0b011 << 6),
        ] {
            let expected = u64::from(64 - width) | start | 5 << 16;
            assert_eq!(vtcr(0, 5, &stage2(width, level, false)), expected);
            assert_eq!(
                vtcr(0, 6, &stage2(width, level, true)),
                u64::from(64 - width) | start | 6 << 16 | bits([32])
            );
        }
        assert_eq!(
            vtcr(0, 6, &stage2(52, -1, true)),
            12 | 6 << 16 | bits([32, 33])
        );
        let base = vtcr_base(0x20);
        assert_eq!(
            vtcr(base, 2, &stage2(40, 1, false)),
            base | 24 | 1 << 6 | 2 << 16
        );
    }

    /// Without DS the output addresses have 48 bits at most, whatever the CPU has.
    #[test]
    fn addresses_of_52_bits_need_their_descriptors() {
        for pa_range in 0..8 {
            let narrow = vtcr(0, pa_range, &stage2(48, 0, false));
            assert_eq!(narrow >> 16 & 7, pa_range.min(5));
            let wide = vtcr(0, pa_range, &stage2(48, 0, true));
            assert_eq!(wide >> 16 & 7, pa_range);
        }
    }

    /// D24.2.225: VMID 63:48, BADDR 47:1, of which 5:2 hold bits 51:48 of a base of 52 bits, CnP 0.
    #[test]
    fn vttbr_of_a_realm() {
        let mut realm = stage2(48, 0, false);
        assert_eq!(vttbr(&realm), 1 << 48 | 0x8800_0000);
        realm.vmid = 0xFFFF;
        realm.base = Pa(0xFFFF_FFFF_F000);
        assert_eq!(vttbr(&realm), u64::MAX << 12);
        realm.vmid = 0;
        realm.base = Pa(0x5_8000_0000_1000);
        assert_eq!(vttbr(&realm), 0x8000_0000_1000 | 0x5 << 2);
        realm.base = Pa(0xF << 48);
        assert_eq!(vttbr(&realm), bits([2, 3, 4, 5]));
    }

    /// C5.5.14: IPA[47:12] at 35:0, IPA[51:48] at 39:36, IPA[55:52] at 43:40; TTL 47:44 is zero for
    /// any level, and NS 63 is zero in Realm state.
    #[test]
    fn tlbi_of_an_entry() {
        assert_eq!(tlbi_operand(Ipa(0)), 0);
        assert_eq!(tlbi_operand(Ipa(0x8000_0FFF)), 0x8_0000);
        assert_eq!(tlbi_operand(Ipa((1 << 52) - 1)), (1 << 40) - 1);
        assert_eq!(tlbi_operand(Ipa(u64::MAX)), (1 << 40) - 1);
    }
}
