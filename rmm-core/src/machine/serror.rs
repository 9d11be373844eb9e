// SPDX-License-Identifier: BSD-3-Clause
//! The error classes of SErrors.

/// How far the effects of an SError reach, by its syndrome; from harmless to severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SErrorClass {
    /// The hardware has corrected the error.
    Corrected,
    /// The error has no effect yet: the program can go on (UEO).
    Restartable,
    /// The program can go on after a repair (UER).
    Recoverable,
    /// The state of the PE is lost, and the error has not spread beyond it (UEU).
    Unrecoverable,
    /// Nothing is known: the syndrome is uncategorised or IMPLEMENTATION DEFINED.
    Unknown,
    /// The error may have spread to anything (UC). Values that are reserved count as this.
    Uncontainable,
}

impl SErrorClass {
    /// The class of the SError with this syndrome, as in `ESR_EL2` or `DISR_EL1`.
    #[must_use]
    pub const fn of(syndrome: u64) -> Self {
        const IDS: u64 = 1 << 24;
        const DFSC_ASYNCHRONOUS: u64 = 0x11;
        if syndrome & IDS != 0 || syndrome & 0x3F != DFSC_ASYNCHRONOUS {
            return Self::Unknown;
        }
        match syndrome >> 10 & 7 {
            1 => Self::Unrecoverable,
            2 => Self::Restartable,
            3 => Self::Recoverable,
            6 => Self::Corrected,
            _ => Self::Uncontainable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D24.9.1: A 31, IDS 24, AET 12:10, DFSC 5:0 (0x11: asynchronous SError).
    #[test]
    fn classes_of_serrors() {
        use SErrorClass::*;
        const A: u64 = 1 << 31;
        for (aet, class) in [
            (0b000, Uncontainable),
            (0b001, Unrecoverable),
            (0b010, Restartable),
            (0b011, Recoverable),
            (0b100, Uncontainable),
            (0b101, Uncontainable),
            (0b110, Corrected),
            (0b111, Uncontainable),
        ] {
            let disr = A | aet << 10 | 0x11;
            assert_eq!(SErrorClass::of(disr), class, "{aet:#b}");
            // Uncategorised, and IMPLEMENTATION DEFINED.
            for unknown in [disr & !0x3F, disr | 1 << 24] {
                assert_eq!(SErrorClass::of(unknown), Unknown);
            }
        }
    }
}
