// SPDX-License-Identifier: BSD-3-Clause
//! Pages of random code for a Realm: any instruction may occur; those that reach the monitor, memory and
//! system registers occur often, with operands that matter.

use super::Dice;
use alloc::vec::Vec;

/// Words of a page.
const PAGE_WORDS: usize = 1024;
/// Index of the first word of a page's literals, 64-bit values that the code loads.
const LITERALS: usize = 896;
/// How many of them, the first, are addresses of granules.
const ADDRESSES: usize = 12;
/// Words that the longest snippet takes.
const LONGEST: usize = 16;

/// `b` to the next page from a word of a page; the last page continues at the first.
fn to_page(at: usize, page: usize, pages: usize) -> u32 {
    let next = (page + 1) % pages;
    let words = (next * PAGE_WORDS) as i64 - (page * PAGE_WORDS + at) as i64;
    0x1400_0000 | (words as u32 & 0x03FF_FFFF)
}

/// Page `page` of `pages`, which lie in a row. `literal` chooses the values that the code works with, and
/// `granule` those that it passes where a call wants the address of a granule.
pub fn page(
    dice: &mut Dice,
    page: usize,
    pages: usize,
    literal: impl Fn(&mut Dice) -> u64,
    granule: impl Fn(&mut Dice) -> u64,
) -> Vec<u32> {
    let mut code = Code {
        dice,
        words: Vec::with_capacity(PAGE_WORDS),
    };
    while code.words.len() + LONGEST < LITERALS {
        code.snippet();
    }
    let Code { dice, mut words } = code;
    words.push(to_page(words.len(), page, pages));
    words.resize(LITERALS, NOP);
    for n in 0..(PAGE_WORDS - LITERALS) / 2 {
        let value = if n < ADDRESSES {
            granule(dice)
        } else {
            literal(dice)
        };
        words.extend([value as u32, (value >> 32) as u32]);
    }
    words
}

const NOP: u32 = 0xD503_201F;

/// Registers that random code seldom chooses well: op0, op1, CRn, CRm, op2.
#[rustfmt::skip]
const FAVOURITES: [[u32; 5]; 60] = [
    // Timers: CNTV_CTL, CNTV_CVAL, CNTV_TVAL, CNTP_CTL, CNTP_CVAL, CNTP_TVAL, CNTKCTL, CNTVCT, CNTPCT.
    [3, 3, 14, 3, 1], [3, 3, 14, 3, 2], [3, 3, 14, 3, 0], [3, 3, 14, 2, 1], [3, 3, 14, 2, 2], [3, 3, 14, 2, 0],
    [3, 0, 14, 1, 0], [3, 3, 14, 0, 2], [3, 3, 14, 0, 1],
    // GIC: PMR, IAR1, EOIR1, HPPIR1, BPR1, CTLR, SRE, IGRPEN1, SGI1R, ASGI1R, SGI0R, DIR, RPR, AP1R0, IAR0, IGRPEN0.
    [3, 0, 4, 6, 0], [3, 0, 12, 12, 0], [3, 0, 12, 12, 1], [3, 0, 12, 12, 2], [3, 0, 12, 12, 3], [3, 0, 12, 12, 4],
    [3, 0, 12, 12, 5], [3, 0, 12, 12, 7], [3, 0, 12, 11, 5], [3, 0, 12, 11, 6], [3, 0, 12, 11, 7], [3, 0, 12, 11, 1],
    [3, 0, 12, 11, 3], [3, 0, 12, 9, 0], [3, 0, 12, 8, 0], [3, 0, 12, 12, 6],
    // SCTLR, ACTLR, CPACR, ZCR, SMCR, TTBR0, TTBR1, TCR, MAIR, AMAIR, VBAR, CONTEXTIDR, PAR, TCR2, SCTLR2, PIR, PIRE0.
    [3, 0, 1, 0, 0], [3, 0, 1, 0, 1], [3, 0, 1, 0, 2], [3, 0, 1, 2, 0], [3, 0, 1, 2, 6], [3, 0, 2, 0, 0],
    [3, 0, 2, 0, 1], [3, 0, 2, 0, 2], [3, 0, 10, 2, 0], [3, 0, 10, 3, 0], [3, 0, 12, 0, 0], [3, 0, 13, 0, 1],
    [3, 0, 7, 4, 0], [3, 0, 2, 0, 3], [3, 0, 1, 0, 3], [3, 0, 10, 2, 3], [3, 0, 10, 2, 2],
    // Debug: MDSCR, DBGBVR0, DBGBCR0, DBGWVR0, DBGWCR0, OSLAR, OSDLR, MDCCINT, DBGCLAIMSET.
    [2, 0, 0, 2, 2], [2, 0, 0, 0, 4], [2, 0, 0, 0, 5], [2, 0, 0, 0, 6], [2, 0, 0, 0, 7], [2, 0, 1, 0, 4],
    [2, 0, 1, 3, 4], [2, 0, 0, 2, 0], [2, 0, 7, 8, 6],
    // PMU: PMCR, PMCNTENSET, PMOVSSET, PMINTENSET, PMSELR, PMXEVTYPER, PMCCNTR.
    [3, 3, 9, 12, 0], [3, 3, 9, 12, 1], [3, 3, 9, 14, 3], [3, 0, 9, 14, 1], [3, 3, 9, 12, 5], [3, 3, 9, 13, 1],
    [3, 3, 9, 13, 0],
    // TPIDR2, RNDR.
    [3, 3, 13, 0, 5], [3, 3, 2, 4, 0],
];

/// VBAR_EL1: without vectors little more happens.
const VBAR: [u32; 5] = [3, 0, 12, 0, 0];

const RSI_VERSION: u32 = 0xC400_0190;
const RSI_IPA_STATE_SET: u32 = 0xC400_0197;
const RSI_HOST_CALL: u32 = 0xC400_0199;
const PSCI_CPU_OFF: u32 = 0x8400_0002;
const PSCI_SYSTEM_OFF: u32 = 0x8400_0008;
const PSCI_SYSTEM_RESET: u32 = 0x8400_0009;

struct Code<'a> {
    dice: &'a mut Dice,
    words: Vec<u32>,
}

impl Code<'_> {
    fn below(&mut self, limit: u32) -> u32 {
        self.dice.below(limit as usize) as u32
    }

    /// A word of which each bit is random.
    fn word(&mut self) -> u32 {
        self.dice.roll() as u32
    }

    fn push(&mut self, word: u32) {
        self.words.push(word);
    }

    /// A number of X0 to X15.
    fn register(&mut self) -> u32 {
        self.below(16)
    }

    /// `ldr` of a literal of the page, one of the first `some`.
    fn load_of(&mut self, register: u32, some: usize) {
        let literal = LITERALS + 2 * self.dice.below(some);
        let words = (literal - self.words.len()) as u32;
        self.push(0x5800_0000 | words << 5 | register);
    }

    /// `ldr` of any literal.
    fn load(&mut self, register: u32) {
        self.load_of(register, (PAGE_WORDS - LITERALS) / 2);
    }

    /// A register that holds a literal.
    fn loaded(&mut self) -> u32 {
        let register = self.register();
        self.load(register);
        register
    }

    /// A few instructions that belong together.
    fn snippet(&mut self) {
        match self.below(100) {
            0..24 => self.memory(),
            24..42 => self.system_register(),
            42..54 => self.call(),
            54..62 => self.system_instruction(),
            62..65 => self.hint(),
            65..68 => self.exception_return(),
            68..78 => self.vectors(),
            78..81 => self.state(),
            81..84 => self.exception(),
            84..91 => self.arithmetic(),
            91..95 => self.branch(),
            _ => {
                let word = self.word();
                self.push(word);
            }
        }
    }

    /// A load or store at an address that matters.
    fn memory(&mut self) {
        let base = self.loaded();
        let word = self.word();
        let fields = match self.below(8) {
            // One register: unscaled, post-index, unprivileged, pre-index.
            0 | 1 => 0x3800_0000 | word & 0xC0DF_FC1F,
            // One register: scaled, near.
            2 => 0x3900_0000 | word & 0xC0C0_0C1F,
            // A pair, near, with and without writeback.
            3 => 0x2800_0000 | word & 0xC1C3_FC1F,
            // Exclusives, ordered, compare and swap.
            4 => 0x0800_0000 | word & 0xC0FF_FC1F,
            // Atomics.
            5 => 0x3820_0000 | word & 0xC0DF_F01F,
            // Vector registers, one or a pair.
            6 => 0x2C00_0000 | word & 0xD1C3_FC1F,
            // Any load or store.
            _ => 0x0800_0000 | word & 0xF5FF_FC1F,
        };
        self.push(fields | base << 5);
    }

    /// An access to a system register: a read, a write of a literal, or a write of what it holds but for
    /// one bit.
    fn system_register(&mut self) {
        let known = self.below(2) == 0;
        let [op0, op1, crn, crm, op2] = if known {
            FAVOURITES[self.dice.below(FAVOURITES.len())]
        } else {
            let word = self.word();
            let op1 = if word >> 31 == 0 { 0 } else { word >> 4 & 7 };
            [
                2 + (word & 3).div_ceil(3),
                op1,
                word >> 8 & 0xF,
                word >> 12 & 0xF,
                word >> 16 & 7,
            ]
        };
        let encoding = op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5;
        let (mrs, msr) = (0xD520_0000 | encoding, 0xD500_0000 | encoding);
        let spared = [op0, op1, crn, crm, op2] == VBAR && self.below(8) != 0;
        match self.below(8) {
            0..3 => {
                let register = self.register();
                self.push(mrs | register);
            }
            _ if spared => {}
            3..6 => {
                let register = self.register();
                self.push(mrs | register);
                // eor register, register, #1 << bit
                let bit = self.below(64);
                self.push(0xD240_0000 | ((64 - bit) % 64) << 16 | register << 5 | register);
                self.push(msr | register);
            }
            _ => {
                let register = self.loaded();
                self.push(msr | register);
            }
        }
    }

    /// `smc` or `hvc` with an identifier of RSI, PSCI, SMCCC, RMI or nobody.
    fn call(&mut self) {
        let fid = match self.below(12) {
            0..3 => RSI_VERSION + self.below(10),
            3 | 4 => RSI_HOST_CALL,
            5 => RSI_IPA_STATE_SET,
            7 | 8 => 0x8400_0000 + self.below(16),
            9 => 0xC400_0000 + self.below(0x28),
            10 => RSI_VERSION + self.below(0x28),
            6 => {
                const OTHERS: [u32; 5] = [
                    0x8000_0000,
                    0x8000_8000,
                    0xC400_0150,
                    0x8600_0000,
                    0x8700_0000,
                ];
                OTHERS[self.dice.below(OTHERS.len())] + self.below(4)
            }
            _ => self.word(),
        };
        let last = [PSCI_CPU_OFF, PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET].contains(&fid);
        if last && self.below(8) != 0 {
            return;
        }
        for register in 1..6 {
            match self.below(8) {
                0 => {}
                1..5 if register < 3 => self.load_of(register, ADDRESSES),
                // Small numbers: sizes, states, flags.
                1..5 => {
                    let number = self.below(3);
                    self.push(0xD280_0000 | number << 5 | register);
                }
                _ => self.load(register),
            }
        }
        // movz x0, #low; movk x0, #high, lsl #16
        self.push(0xD280_0000 | (fid & 0xFFFF) << 5);
        self.push(0xF2A0_0000 | (fid >> 16) << 5);
        let hvc = self.below(10) == 0;
        let immediate = if self.below(8) == 0 {
            self.word() & 0xFFFF
        } else {
            0
        };
        self.push(if hvc { 0xD400_0002 } else { 0xD400_0003 } | immediate << 5);
    }

    /// DC, IC, AT or TLBI, or any other SYS, of an address that matters.
    fn system_instruction(&mut self) {
        let register = self.loaded();
        let word = self.word();
        let crn = [7, 7, 7, 8, 8, 9, word & 0xF][self.dice.below(7)];
        self.push(0xD508_0000 | word & 0x0007_0FE0 | crn << 12 | register);
    }

    /// WFI, WFE, SEV, ESB and what else is a hint; WFIT and WFET.
    fn hint(&mut self) {
        let word = match self.below(4) {
            0 => 0xD503_207F,
            1 => 0xD503_205F,
            2 => 0xD503_1000 | self.below(2) << 5 | self.register(),
            _ => 0xD503_201F | self.below(128) << 5,
        };
        self.push(word);
    }

    /// A return from an exception to behind it, to EL1 or EL0; or one that leads anywhere.
    fn exception_return(&mut self) {
        let state = self.register();
        self.load(state);
        // movz state, #PSTATE: EL1h, EL1t, EL0t, with or without masks.
        let pstate = [5, 5, 4, 0, 0x3C5][self.dice.below(5)];
        if self.below(8) != 0 {
            self.push(0xD280_0000 | pstate << 5 | state);
        }
        // msr spsr_el1, state
        self.push(0xD518_4000 | state);
        if self.below(16) != 0 {
            // adr state, #12; msr elr_el1, state
            self.push(0x1000_0060 | state);
            self.push(0xD518_4020 | state);
        }
        let eret = [
            0xD69F_03E0,
            0xD69F_03E0,
            0xD69F_0BFF,
            0xD69F_0FFF,
            0xD6BF_03E0,
        ];
        let eret = eret[self.dice.below(eret.len())];
        self.push(eret);
    }

    /// Floating point, Advanced SIMD, SVE or SME.
    fn vectors(&mut self) {
        let word = self.word();
        let group = match self.below(8) {
            0..4 => 7,
            4 => 0xF,
            5 | 6 => 2,
            _ => 0,
        };
        self.push(word & !(0xF << 25) | group << 25);
    }

    /// MSR (immediate): PSTATE, SVCR.
    fn state(&mut self) {
        let word = self.word();
        self.push(0xD500_401F | word & 0x0007_0FE0);
    }

    /// SVC, BRK, HLT, DCPS, and what else generates an exception.
    fn exception(&mut self) {
        let word = self.word();
        self.push(0xD400_0000 | word & 0x00FF_FFFF);
    }

    /// Data processing with an immediate or with registers.
    fn arithmetic(&mut self) {
        let word = self.word();
        let group = [8, 9, 5, 13][self.dice.below(4)];
        self.push(word & !(0xF << 25) | group << 25);
    }

    /// A branch over a few instructions, on a condition.
    fn branch(&mut self) {
        let (word, words) = (self.word(), 1 + self.below(12));
        let branch = match self.below(3) {
            // cbz, cbnz
            0 => 0x3400_0000 | word & 0x8100_001F,
            // b.cond
            1 => 0x5400_0000 | word & 0xF,
            // tbz, tbnz
            _ => 0x3600_0000 | word & 0x81F8_001F,
        };
        self.push(branch | words << 5);
    }
}
