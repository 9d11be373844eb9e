// SPDX-License-Identifier: BSD-3-Clause
//! How the test Realm takes commands and reports.
//!
//! A REC starts with X0 = [`MODE_COMMANDS`] or [`MODE_DEMO`] and X1 = base of the Unprotected
//! half of the IPA space. In command mode it makes the host call [`IMM_NEXT`] for ever; the GPRs
//! of the call are a [`Reply`] to the last command, the GPRs the Host answers with are a
//! command: its number ([`Op`]) and arguments. The first reply reports what the REC found: X0, the
//! other registers that no parameter set ORed, DAIF, SCTLR_EL1, CurrentEL.

/// Where the Realm's image lies, and how much memory it has there.
pub mod layout {
    /// IPA of the first byte and of the entry point.
    pub const BASE: u64 = 0x4000_0000;
    /// Size of image, data and stacks, in bytes.
    pub const SIZE: u64 = 0x4_0000;
    /// RECs that the Realm has stacks for.
    pub const MAX_RECS: usize = 4;
}

/// X0 of the first REC: do what the Host says.
pub const MODE_COMMANDS: u64 = 0;
/// X0 of the first REC: show what a Realm does.
pub const MODE_DEMO: u64 = 1;

/// Host call: the last command is done, what is next?
pub const IMM_NEXT: u16 = 1;
/// Host call: GPR 0 is a length, the GPRs from 1 are bytes of text.
pub const IMM_PRINT: u16 = 2;
/// Host call: the Realm failed; the GPRs as for [`IMM_PRINT`]. It makes no progress any more.
pub const IMM_PANIC: u16 = 3;

/// Bytes of text in one host call.
pub const PRINT_BYTES: usize = 30 * 8;

/// Address of the demonstration's device, as offset in the Unprotected half.
pub const DEMO_DEVICE: u64 = 0x1000;
/// What the demonstration writes there.
pub const DEMO_WRITES: u64 = 0x5EA1;
/// What the demonstration's device answers a read with.
pub const DEMO_READS: u64 = 0xCAFE;

/// Commands to a REC, in GPR 0 of the answer to [`IMM_NEXT`]; the GPRs from 1 are arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Op {
    /// Nothing.
    Nop = 0,
    /// Load from address 1 by the instruction [`Access`] 2. Value 0: what was loaded.
    Read = 1,
    /// Store value 3 to address 1 by the instruction [`Access`] 2.
    Write = 2,
    /// Branch to address 1, where a `ret` should be.
    Exec = 3,
    /// `smc` with X0 to X10 from 1 to 11. Values 0 to 8: X0 to X8; value 9: bit n is set if Xn
    /// (n from 4 to 17) changed.
    Smc = 4,
    /// `hvc`.
    Hvc = 5,
    /// [`Wait`] 1, with timeout 2.
    Wait = 6,
    /// Fill the vector registers with a pattern made of seed 1.
    FpSet = 7,
    /// Value 0: how many vector registers differ from the pattern of seed 1.
    FpCheck = 8,
    /// Fill EL1 registers with a pattern made of seed 1.
    SysSet = 9,
    /// Value 0: bit n is set if EL1 register n differs from the pattern of seed 1.
    SysCheck = 10,
    /// Value 0: content of system register [`SysReg`] 1.
    Mrs = 11,
    /// Write 2 to system register [`SysReg`] 1.
    Msr = 12,
    /// Fill 2 bytes from address 1 with a pattern made of seed 3.
    MemFill = 13,
    /// Value 0: how many words of 2 bytes from address 1 differ from the pattern of seed 3.
    MemCheck = 14,
    /// Enable the virtual CPU interface, wait up to 1 ticks with interrupts unmasked. Value 0:
    /// INTID acknowledged and ended, or 1023.
    TakeIrq = 15,
    /// Value 0: address that another REC can start at by `PSCI_CPU_ON`.
    EntryPoint = 16,
    /// Value 0: how many bytes of 2 from address 1 are not zero.
    CountNonZero = 17,
    /// Spin until the word at address 1 is not 2, or 3 ticks are over. Value 0: the word. If 4 is
    /// not 0, the word at that address becomes 1 once the first has been read.
    Spin = 18,
    /// Load from address 1 with the MMU off. Value 0: what was loaded.
    ReadFlat = 19,
    /// As [`Op::FpSet`], for the SVE registers.
    SveSet = 20,
    /// As [`Op::FpCheck`], for the SVE registers. Value 1: how many of them are not zero.
    SveCheck = 21,
    /// Execute the instruction word 1 with X0 = 2, X1 = 3 and the pattern of seed 4 in X2 to X29
    /// but X16, from [`Place`] 5. Value 0: X0; value 1: X1; value 2: the instruction's address;
    /// value 3: bit n is set if Xn (n from 2 to 29) changed.
    Instruct = 22,
    /// As [`Op::Instruct`], as a single step: the exception is that of the step.
    Step = 23,
    /// `smc` with X0 to X10 from 1 to 11. Value 0: X0; value 1: counter ticks that the call took.
    TimedSmc = 24,
    /// `smc` with X0 to X10 from 1 to 11, while the vector registers hold the pattern of seed 11. Value
    /// 0: X0; value 1: how many vector registers differ from the pattern afterwards.
    FpSmc = 25,
    /// As [`Op::FpSmc`], for the SVE registers.
    SveSmc = 26,
    /// Have the timer whose control register is 1 and whose compare register is 2 fire after 3 ticks,
    /// and, once its status says so, again after as many, for at most 4 ticks each time; then turn it
    /// off. Value 0 and 1: the two compare values.
    FireTwice = 27,
    /// `smc` with X0 and X1 from 1 and 2, again and again until the word at address 3 is not 4, or 5 ticks
    /// are over. The word behind it counts the calls. Value 0: the last X0.
    Hammer = 28,
}

impl Op {
    /// Every operation, at its number.
    pub const ALL: [Op; 29] = [
        Op::Nop,
        Op::Read,
        Op::Write,
        Op::Exec,
        Op::Smc,
        Op::Hvc,
        Op::Wait,
        Op::FpSet,
        Op::FpCheck,
        Op::SysSet,
        Op::SysCheck,
        Op::Mrs,
        Op::Msr,
        Op::MemFill,
        Op::MemCheck,
        Op::TakeIrq,
        Op::EntryPoint,
        Op::CountNonZero,
        Op::Spin,
        Op::ReadFlat,
        Op::SveSet,
        Op::SveCheck,
        Op::Instruct,
        Op::Step,
        Op::TimedSmc,
        Op::FpSmc,
        Op::SveSmc,
        Op::FireTwice,
        Op::Hammer,
    ];
}

/// Where [`Op::Instruct`] puts the instruction: each REC has two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Place {
    /// The usual one.
    First = 0,
    /// Another, for breakpoints.
    Second = 1,
}

/// Instructions that access memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Access {
    /// `ldrb`, `strb` of a W register.
    Byte = 0,
    /// `ldrh`, `strh`.
    Half = 1,
    /// `ldr`, `str` of a W register.
    Word = 2,
    /// `ldr`, `str` of an X register.
    Double = 3,
    /// `ldrsb` to an X register.
    SignedByte = 4,
    /// `ldrsh` to a W register.
    SignedHalfToWord = 5,
    /// `ldrsw`.
    SignedWord = 6,
    /// `ldr` to, `str` of XZR.
    Zero = 7,
    /// `ldxr`: no syndrome for emulation.
    Exclusive = 8,
}

impl Access {
    /// Every instruction, at its number.
    pub const ALL: [Access; 9] = [
        Access::Byte,
        Access::Half,
        Access::Word,
        Access::Double,
        Access::SignedByte,
        Access::SignedHalfToWord,
        Access::SignedWord,
        Access::Zero,
        Access::Exclusive,
    ];
}

/// Instructions that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Wait {
    /// `wfi`.
    Wfi = 0,
    /// `wfe`, with the event register cleared before.
    Wfe = 1,
    /// `wfit`.
    Wfit = 2,
    /// `wfet`.
    Wfet = 3,
}

/// Values in a [`Reply`].
const REPLY_VALUES: usize = 10;

/// Report on a command, in the GPRs of [`IMM_NEXT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The exceptions that the command took, at most one: ESR_EL1, or 0.
    pub esr: u64,
    /// FAR_EL1 of that exception.
    pub far: u64,
    /// ELR_EL1 of that exception, relative to the instruction that was tried.
    pub elr_offset: u64,
    /// SPSR_EL1 of that exception.
    pub spsr: u64,
    /// DAIF in its handler.
    pub daif: u64,
    /// Results.
    pub values: [u64; REPLY_VALUES],
}

impl Reply {
    /// The reply in the GPRs of a host call.
    #[must_use]
    pub fn from_gprs(gprs: &[u64; 31]) -> Self {
        let mut reply = Self {
            esr: gprs[0],
            far: gprs[1],
            elr_offset: gprs[2],
            spsr: gprs[3],
            daif: gprs[4],
            ..Self::default()
        };
        reply
            .values
            .iter_mut()
            .zip(&gprs[5..])
            .for_each(|(to, from)| *to = *from);
        reply
    }

    /// The GPRs that carry the reply.
    #[must_use]
    pub fn to_gprs(&self) -> [u64; 31] {
        let mut gprs = [0; 31];
        gprs[0] = self.esr;
        gprs[1] = self.far;
        gprs[2] = self.elr_offset;
        gprs[3] = self.spsr;
        gprs[4] = self.daif;
        gprs[5..5 + REPLY_VALUES].copy_from_slice(&self.values);
        gprs
    }
}

/// Word `n` of the pattern of a seed; never zero.
#[must_use]
pub const fn pattern(seed: u64, n: u64) -> u64 {
    // The finalizer of splitmix64.
    let x = seed
        .wrapping_mul(0x1_0000)
        .wrapping_add(n)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) | 1
}

/// System registers that [`Op::Mrs`] and [`Op::Msr`] know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum SysReg {
    /// MPIDR_EL1, read only.
    Mpidr = 0,
    /// MIDR_EL1, read only.
    Midr = 1,
    /// ID_AA64PFR0_EL1, read only.
    IdPfr0 = 2,
    /// ID_AA64PFR1_EL1, read only.
    IdPfr1 = 3,
    /// ID_AA64DFR0_EL1, read only.
    IdDfr0 = 4,
    /// ID_AA64MMFR1_EL1, read only.
    IdMmfr1 = 5,
    /// ID_AA64ZFR0_EL1, read only.
    IdZfr0 = 6,
    /// ID_AA64SMFR0_EL1, read only.
    IdSmfr0 = 7,
    /// CNTPCT_EL0, read only.
    CntPct = 8,
    /// CNTVCT_EL0, read only.
    CntVct = 9,
    /// CNTP_CTL_EL0.
    CntpCtl = 10,
    /// CNTP_CVAL_EL0.
    CntpCval = 11,
    /// CNTV_CTL_EL0.
    CntvCtl = 12,
    /// CNTV_CVAL_EL0.
    CntvCval = 13,
    /// ICC_SGI1R_EL1, write only.
    IccSgi1r = 14,
    /// ICC_DIR_EL1, write only.
    IccDir = 15,
    /// S3_0_C15_C0_0, an IMPLEMENTATION DEFINED register.
    ImpDef = 16,
    /// PMCR_EL0.
    Pmcr = 17,
    /// TRBLIMITR_EL1.
    TrbLimitr = 18,
    /// PMSCR_EL1.
    PmsCr = 19,
    /// AMCR_EL0.
    AmCr = 20,
    /// LORC_EL1.
    LorC = 21,
    /// ZCR_EL1.
    Zcr = 22,
    /// DBGBVR0_EL1.
    DbgBvr0 = 23,
    /// DBGWVR0_EL1.
    DbgWvr0 = 24,
    /// SCTLR_EL1, read only.
    Sctlr = 25,
    /// MPAM1_EL1.
    Mpam1 = 26,
    /// PMCCNTR_EL0.
    PmCcntr = 27,
    /// PMOVSSET_EL0.
    PmOvsSet = 28,
    /// PMINTENSET_EL1.
    PmIntenSet = 29,
    /// PMCNTENSET_EL0.
    PmCntenSet = 30,
    /// ACTLR_EL1.
    Actlr = 31,
    /// REVIDR_EL1, read only.
    Revidr = 32,
    /// AIDR_EL1, read only.
    Aidr = 33,
    /// SMIDR_EL1, read only.
    Smidr = 34,
}

impl SysReg {
    /// Every register, at its number.
    pub const ALL: [SysReg; 35] = [
        SysReg::Mpidr,
        SysReg::Midr,
        SysReg::IdPfr0,
        SysReg::IdPfr1,
        SysReg::IdDfr0,
        SysReg::IdMmfr1,
        SysReg::IdZfr0,
        SysReg::IdSmfr0,
        SysReg::CntPct,
        SysReg::CntVct,
        SysReg::CntpCtl,
        SysReg::CntpCval,
        SysReg::CntvCtl,
        SysReg::CntvCval,
        SysReg::IccSgi1r,
        SysReg::IccDir,
        SysReg::ImpDef,
        SysReg::Pmcr,
        SysReg::TrbLimitr,
        SysReg::PmsCr,
        SysReg::AmCr,
        SysReg::LorC,
        SysReg::Zcr,
        SysReg::DbgBvr0,
        SysReg::DbgWvr0,
        SysReg::Sctlr,
        SysReg::Mpam1,
        SysReg::PmCcntr,
        SysReg::PmOvsSet,
        SysReg::PmIntenSet,
        SysReg::PmCntenSet,
        SysReg::Actlr,
        SysReg::Revidr,
        SysReg::Aidr,
        SysReg::Smidr,
    ];
}
