// SPDX-License-Identifier: BSD-3-Clause
//! System registers that a Realm may try: mostly those that the monitor knows.

use arbitrary::Arbitrary;

/// A system register, or a System instruction.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Register {
    Any([u8; 5]),
    /// Op0 3, Op1 0, CRn 0.
    Id(u8, u8),
    Known(u8, u8, u8),
    AlsoKnown(u8, u8, u8),
}

/// Op0, Op1, CRn, the first CRm and the first Op2, and how many of the two there are.
const KNOWN: [([u64; 5], u64, u64); 17] = [
    // Debug, and the channel that EL0 sees.
    ([2, 0, 0, 0, 0], 16, 8),
    ([2, 0, 1, 0, 4], 4, 1),
    ([2, 0, 7, 8, 6], 8, 1),
    ([2, 3, 0, 1, 0], 8, 1),
    // PMU.
    ([3, 3, 9, 12, 0], 3, 8),
    ([3, 3, 14, 8, 0], 8, 8),
    ([3, 0, 9, 14, 0], 1, 8),
    // Timers.
    ([3, 3, 14, 2, 0], 2, 4),
    // Caches by set and way.
    ([1, 0, 7, 6, 2], 1, 1),
    ([1, 0, 7, 10, 2], 5, 1),
    // GIC.
    ([3, 0, 12, 8, 0], 5, 8),
    ([3, 0, 12, 11, 1], 1, 7),
    ([3, 0, 4, 6, 0], 1, 1),
    // ACTLR_EL1, AIDR_EL1 and their neighbours.
    ([3, 0, 1, 0, 1], 1, 1),
    ([3, 1, 0, 0, 0], 8, 8),
    ([3, 3, 0, 0, 0], 8, 8),
    // Implementation defined.
    ([3, 0, 15, 0, 0], 16, 8),
];

impl Register {
    /// The encoding in the syndrome.
    pub fn iss(self) -> u64 {
        let [op0, op1, crn, crm, op2] = match self {
            Self::Any(fields) => fields.map(u64::from),
            Self::Id(crm, op2) => [3, 0, 0, crm.into(), op2.into()],
            Self::Known(n, crm, op2) | Self::AlsoKnown(n, crm, op2) => {
                let ([op0, op1, crn, first, low], crms, ops) = KNOWN[usize::from(n) % KNOWN.len()];
                [
                    op0,
                    op1,
                    crn,
                    first + u64::from(crm) % crms,
                    low + u64::from(op2) % ops,
                ]
            }
        };
        (op0 & 3) << 20 | (op2 & 7) << 17 | (op1 & 7) << 14 | (crn & 15) << 10 | (crm & 15) << 1
    }
}
