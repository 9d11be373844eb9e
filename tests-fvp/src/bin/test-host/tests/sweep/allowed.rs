// SPDX-License-Identifier: BSD-3-Clause
//! Registers and System instructions that a Realm may reach: architectural state that the monitor
//! switches, emulates, or lets a Realm read. Not every CPU has them all.

use crate::tests::instruct::Register;

/// How a register may be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    R,
    /// Written, or an instruction that exists.
    W,
    /// Both.
    RW,
    /// Written, which may exit to the Host.
    X,
}

impl Access {
    pub fn reads(self) -> bool {
        matches!(self, Self::R | Self::RW)
    }

    pub fn writes(self) -> bool {
        matches!(self, Self::W | Self::RW | Self::X)
    }

    pub fn exits(self) -> bool {
        self == Self::X
    }
}

/// Encodings with one op0, op1 and CRn.
struct Rule {
    access: Access,
    class: (u64, u64, u64),
    crm: &'static [u64],
    op2: &'static [u64],
}

/// How a Realm may access a register, if at all.
pub fn access(register: Register) -> Option<Access> {
    let Register(op0, op1, crn, crm, op2) = register;
    let rule = RULES.iter().find(|rule| {
        rule.class == (op0, op1, crn) && rule.crm.contains(&crm) && rule.op2.contains(&op2)
    })?;
    Some(rule.access)
}

/// `ACCESS op0 op1 CRn: CRm, op2`, each of the last two a list.
macro_rules! rules {
    ($($access:ident $op0:literal $op1:literal $crn:literal: $crm:expr, $op2:expr;)+) => {
        &[$(Rule {
            access: Access::$access,
            class: ($op0, $op1, $crn),
            crm: &$crm,
            op2: &$op2,
        }),+]
    };
}

const EVERY_CRM: [u64; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const EVERY_OP2: [u64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

const RULES: &[Rule] = rules! {
    // Debug: OSDTRRX, OSDTRTX, OSECCR, MDCCINT, MDSCR.
    RW 2 0 0: [0, 3, 6], [2];
    RW 2 0 0: [2], [0, 2];
    // DBGBVR, DBGBCR, DBGWVR, DBGWCR: all that the CPU has are switched.
    RW 2 0 0: EVERY_CRM, [4, 5, 6, 7];
    // MDRAR, OSLAR, OSLSR, OSDLR, DBGPRCR, DBGCLAIMSET, DBGCLAIMCLR, DBGAUTHSTATUS.
    R 2 0 1: [0], [0];
    W 2 0 1: [0], [4];
    R 2 0 1: [1], [4];
    RW 2 0 1: [3, 4], [4];
    RW 2 0 7: [8, 9], [6];
    R 2 0 7: [14], [6];
    // MDCCSR_EL0, DBGDTR_EL0, DBGDTRRX_EL0 and DBGDTRTX_EL0.
    R 2 3 0: [1], [0];
    RW 2 3 0: [4, 5], [0];

    // MIDR, MPIDR, REVIDR; then the ID registers, also those that do not exist.
    R 3 0 0: [0], [0, 5, 6];
    R 3 0 0: [1, 2, 3, 4, 5, 6, 7], EVERY_OP2;
    // CCSIDR, CLIDR, CCSIDR2, AIDR; CSSELR; CTR, DCZID.
    R 3 1 0: [0], [0, 1, 2, 7];
    RW 3 2 0: [0], [0];
    R 3 3 0: [0], [1, 7];

    // SCTLR, ACTLR, CPACR; TTBR0, TTBR1, TCR; the keys of pointer authentication.
    RW 3 0 1: [0], [0, 1, 2];
    RW 3 0 2: [0], [0, 1, 2];
    RW 3 0 2: [1, 2], [0, 1, 2, 3];
    RW 3 0 2: [3], [0, 1];
    // SPSR, ELR; SP_EL0; SPSel, CurrentEL, PAN, UAO; ICC_PMR.
    RW 3 0 4: [0], [0, 1];
    RW 3 0 4: [1, 6], [0];
    RW 3 0 4: [2], [0, 3, 4];
    R 3 0 4: [2], [2];
    // ALLINT: a bit of PSTATE, of which HCRX_EL2 traps no more than the setting.
    R 3 0 4: [3], [0];
    // AFSR0, AFSR1, ESR, FAR, PAR, MAIR, AMAIR.
    RW 3 0 5: [1], [0, 1];
    RW 3 0 5: [2], [0];
    RW 3 0 6: [0], [0];
    RW 3 0 7: [4], [0];
    RW 3 0 10: [2, 3], [0];
    // VBAR, ISR, DISR; CONTEXTIDR, TPIDR; CNTKCTL.
    RW 3 0 12: [0], [0];
    R 3 0 12: [1], [0];
    RW 3 0 12: [1], [1];
    RW 3 0 13: [0], [1, 4];
    RW 3 0 14: [1], [0];

    // ICC_IAR0, ICC_EOIR0, ICC_HPPIR0, ICC_BPR0, ICC_AP0R<n>, ICC_AP1R<n>.
    R 3 0 12: [8], [0, 2];
    W 3 0 12: [8], [1];
    RW 3 0 12: [8], [3, 4, 5, 6, 7];
    RW 3 0 12: [9], [0, 1, 2, 3];
    // ICC_NMIAR1: nothing traps it alone, and no list register of a Realm is an NMI.
    R 3 0 12: [9], [5];
    // ICC_DIR, ICC_RPR; ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R.
    X 3 0 12: [11], [1, 5, 6, 7];
    R 3 0 12: [11], [3];
    // ICC_IAR1, ICC_EOIR1, ICC_HPPIR1, ICC_BPR1, ICC_CTLR, ICC_SRE, ICC_IGRPEN0, ICC_IGRPEN1.
    R 3 0 12: [12], [0, 2];
    W 3 0 12: [12], [1];
    RW 3 0 12: [12], [3, 4, 5, 6, 7];

    // RNDR, RNDRRS; NZCV, DAIF, DIT, SSBS; FPCR, FPSR; TPIDR_EL0, TPIDRRO_EL0.
    R 3 3 2: [4], [0, 1];
    RW 3 3 4: [2], [0, 1, 5, 6];
    RW 3 3 4: [4], [0, 1];
    RW 3 3 13: [0], [2, 3];
    // TCO: a bit of PSTATE, which nothing traps, without effect as tag checks are off.
    RW 3 3 4: [2], [7];
    // CNTFRQ, CNTPCT, CNTVCT, CNTPCTSS, CNTVCTSS; CNTP_*, CNTV_*.
    R 3 3 14: [0], [0, 1, 2, 5, 6];
    RW 3 3 14: [2, 3], [0, 1, 2];

    // IC IALLUIS, IC IALLU; AT S1E*.
    W 1 0 7: [1, 5], [0];
    W 1 0 7: [8], [0, 1, 2, 3];
    W 1 0 7: [9], [0, 1, 2];
    // DC IVAC; the same for tags, which no trap keeps apart. DC ISW, CSW, CISW, which do nothing.
    W 1 0 7: [6], [1, 2, 3, 5];
    W 1 0 7: [10, 14], [2];
    // TLBI of EL1, Outer Shareable, Inner Shareable and local; by range; CRn 9 is nXS.
    W 1 0 8: [1, 3, 7], [0, 1, 2, 3, 5, 7];
    W 1 0 8: [2, 5, 6], [1, 3, 5, 7];
    W 1 0 9: [1, 3, 7], [0, 1, 2, 3, 5, 7];
    W 1 0 9: [2, 5, 6], [1, 3, 5, 7];
    // CFP, DVP, COSP and CPP RCTX; DC ZVA, GVA, GZVA; IC IVAU, DC CVAU.
    W 1 3 7: [3], [4, 5, 6, 7];
    W 1 3 7: [4], [1, 3, 4];
    W 1 3 7: [5, 11], [1];
    // DC CVAC, CVAP, CVADP, CIVAC, and the same for tags.
    W 1 3 7: [10, 12, 13, 14], [1, 3, 5];
};
