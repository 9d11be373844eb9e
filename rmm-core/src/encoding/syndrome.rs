// SPDX-License-Identifier: BSD-3-Clause
//! What syndromes say: of aborts, SErrors and address translations.

use super::fields::*;
use super::space;
use crate::machine::SErrorClass;
use rmm_granule::Ipa;

/// Whether a data abort may be that of an access to Non-secure memory: it is at a window, or its
/// address is not known.
pub fn may_be_foreign(esr: u64, far: u64) -> bool {
    space::is_in_ns_window(far) || ESR_EL2::FnV.is_set(esr)
}

/// Whether the SError in `disr` (`DISR_EL1`) of the monitor's own accesses did no harm: its syndrome
/// is categorised, and the error is corrected or the program can go on.
pub fn is_harmless(disr: u64) -> bool {
    SErrorClass::of(disr) <= SErrorClass::Restartable
}

/// Of two SErrors, `ESR_EL2` of the one that has to be acted on: what is done about it covers the other
/// one, too.
pub fn more_severe(esr: u64, other: u64) -> u64 {
    if SErrorClass::of(other) > SErrorClass::of(esr) {
        other
    } else {
        esr
    }
}

/// `ESR_EL2` as if the SError in `disr` (`DISR_EL1`) had been taken to EL2.
pub fn serror_of(disr: u64) -> u64 {
    ESR_EL2::EC::SError.value | set!(ESR_EL2: IL) | DISR_EL1::ISS.read(disr)
}

/// Whether a synchronous exception is that of HVC: of all instructions that trap, the only one whose
/// return address is behind it.
pub fn is_hvc(esr: u64) -> bool {
    ESR_EL2::EC::HVC64.matches_all(esr)
}

/// The address in `par` (`PAR_EL1`) after an address translation instruction; `None` if the
/// translation failed.
pub fn translated(par: u64) -> Option<Ipa> {
    const PA: u64 = (1 << 52) - (1 << 12);
    (!PAR_EL1::F.is_set(par)).then_some(Ipa(par & PA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits;
    use crate::encoding::space::private::{NS_WINDOWS, WINDOWS, va};

    /// D24.2.46: FnV is bit 10.
    #[test]
    fn foreign_aborts() {
        let (ns, realm) = (va(NS_WINDOWS) as u64, va(WINDOWS) as u64);
        for (esr, far, expected) in [
            (0, ns, true),
            (0, ns - 1, false),
            (0, realm, false),
            (!bits([10]), realm, false),
            (bits([10]), realm, true),
            (bits([10]), 0, true),
        ] {
            assert_eq!(may_be_foreign(esr, far), expected, "{esr:#x} {far:#x}");
        }
    }

    #[test]
    fn harm_of_serrors() {
        for (aet, harmless) in [(0, false), (1, false), (2, true), (3, false), (6, true)] {
            let disr = bits([31]) | aet << 10 | 0x11;
            assert_eq!(is_harmless(disr), harmless, "{aet:#b}");
            assert!(!is_harmless(disr & !0x3F), "uncategorised");
        }
    }

    #[test]
    fn the_more_severe_of_two_serrors() {
        let by_severity = [
            6 << 10 | 0x11,
            2 << 10 | 0x11,
            3 << 10 | 0x11,
            1 << 10 | 0x11,
            bits([24]),
            0x11,
        ];
        for (n, &mild) in by_severity.iter().enumerate() {
            for &severe in &by_severity[n..] {
                assert_eq!(more_severe(mild, severe), severe);
                assert_eq!(more_severe(severe, mild), severe);
            }
        }
    }

    /// D24.2.46: EC 31:26 (0b101111 SError, 0b010110 HVC, 0b010111 SMC), IL 25, ISS 24:0.
    #[test]
    fn syndromes_of_serrors() {
        let serror = 0b10_1111 << 26 | bits([25]);
        assert_eq!(serror_of(bits([31]) | 0x11), serror | 0x11);
        assert_eq!(serror_of(u64::MAX), serror | 0x1FF_FFFF);
    }

    #[test]
    fn hvc() {
        assert!(is_hvc(0b01_0110 << 26 | 0x1FF_FFFF));
        assert!(!is_hvc(0b01_0111 << 26));
        assert!(!is_hvc(0b01_0110 << 27));
    }

    /// D24.2.142: F is bit 0, PA 47:12 and, with FEAT_LPA, 51:48.
    #[test]
    fn translations() {
        assert_eq!(translated(0x8000_1000), Some(Ipa(0x8000_1000)));
        let attributes = 0xFF << 56 | bits([7, 8, 9, 11]);
        let far = 0xF_FFFF_FFFF_F000;
        assert_eq!(translated(far | attributes), Some(Ipa(far)));
        assert_eq!(translated(0x8000_1001), None);
        assert_eq!(translated(u64::MAX), None);
    }
}
