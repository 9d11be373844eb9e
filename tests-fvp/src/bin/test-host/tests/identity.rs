// SPDX-License-Identifier: BSD-3-Clause
//! ID registers as a Realm sees them: what the monitor switches or emulates, and no more.

use super::exit::running;
use super::instruct::{Register, UNDEFINED, run};
use super::{Test, needs};
use crate::arch::mrs;
use crate::check::{Check, ensure_eq};
use crate::realm::{Config, Realm};
use crate::rec::Rec;
use Shown::{All, Always, UpTo};
use rmm_abi::rmi::{RealmFlags, index_to_mpidr};
use tests_fvp::protocol::MODE_COMMANDS;

pub const TESTS: &[Test] = &[
    ("identity.whole_space", whole_space),
    ("identity.with_sve", with_sve),
    ("identity.with_pmu", with_pmu),
    ("identity.cpu", cpu),
];

/// What a Realm sees of a field.
#[derive(Clone, Copy)]
enum Shown {
    /// As it is.
    All,
    /// Up to this value.
    UpTo(u64),
    /// This value, whatever the CPU has.
    Always(u64),
}

/// A register: CRm, op2, and the lowest bits of its fields of four bits. All others are zero.
type Row = (u64, u64, &'static [(u32, Shown)]);

/// Registers of a Realm with two breakpoints, two watchpoints and nothing else.
const PLAIN: &[Row] = &[
    // ID_AA64PFR0_EL1: EL0 and EL1 without AArch32; FP, AdvSIMD; GIC; DIT; CSV2 without SCXTNUM;
    // CSV3. Not EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME.
    (
        4,
        0,
        &[
            (0, UpTo(1)),
            (4, UpTo(1)),
            (16, All),
            (20, All),
            (24, UpTo(1)),
            (48, UpTo(1)),
            (56, UpTo(1)),
            (60, All),
        ],
    ),
    // ID_AA64PFR1_EL1: BT, SSBS. Not MTE, RAS_frac, MPAM_frac, SME, RNDR_trap, CSV2_frac, NMI,
    // MTE_frac, GCS, THE, MTEX, DF2, PFAR.
    (4, 1, &[(0, UpTo(1)), (4, UpTo(2))]),
    // ID_AA64DFR0_EL1: DebugVer; BRPs and WRPs as created; no DoubleLock. Not TraceVer, PMUVer,
    // PMSS, SEBEP, CTX_CMPs, PMSVer, TraceFilt, TraceBuffer, MTPMU, BRBE, ExtTrcBuff, HPMN0.
    (
        5,
        0,
        &[
            (0, UpTo(8)),
            (12, Always(1)),
            (20, Always(1)),
            (36, Always(0xF)),
        ],
    ),
    // ID_AA64ISAR0_EL1: all but TME.
    (
        6,
        0,
        &[
            (4, All),
            (8, All),
            (12, All),
            (16, All),
            (20, All),
            (28, All),
            (32, All),
            (36, All),
            (40, All),
            (44, All),
            (48, All),
            (52, All),
            (56, All),
            (60, All),
        ],
    ),
    // ID_AA64ISAR1_EL1: all but XS and LS64.
    (
        6,
        1,
        &[
            (0, All),
            (4, All),
            (8, All),
            (12, All),
            (16, All),
            (20, All),
            (24, All),
            (28, All),
            (32, All),
            (36, All),
            (40, All),
            (44, All),
            (48, All),
            (52, All),
        ],
    ),
    // ID_AA64ISAR2_EL1: WFxT, RPRES, GPA3, APA3, BC, PAC_frac, CLRBHB, PRFMSLC, RPRFM, CSSC. Not
    // MOPS, SYSREG_128, SYSINSTR_128, ATS1A.
    (
        6,
        2,
        &[
            (0, UpTo(2)),
            (4, UpTo(1)),
            (8, All),
            (12, All),
            (20, UpTo(1)),
            (24, UpTo(1)),
            (28, UpTo(1)),
            (40, UpTo(1)),
            (48, UpTo(1)),
            (52, UpTo(1)),
        ],
    ),
    // ID_AA64MMFR0_EL1: PARange, ASIDBits, BigEnd, BigEndEL0, the three granules, ExS. Not SNSMem,
    // TGran*_2, FGT, ECV.
    (
        7,
        0,
        &[
            (0, All),
            (4, All),
            (8, UpTo(1)),
            (16, UpTo(1)),
            (20, All),
            (24, All),
            (28, All),
            (44, UpTo(1)),
        ],
    ),
    // ID_AA64MMFR1_EL1: HAFDBS, HPDS, PAN, ETS, AFP, nTLBPA, ECBHB. Not VMIDBits, VH, LO,
    // SpecSEI, XNX, TWED, HCX, TIDCP1, CMOW.
    (
        7,
        1,
        &[
            (0, UpTo(2)),
            (12, UpTo(2)),
            (20, UpTo(3)),
            (36, All),
            (44, UpTo(1)),
            (48, UpTo(1)),
            (60, UpTo(1)),
        ],
    ),
    // ID_AA64MMFR2_EL1: CnP, UAO, VARange, CCIDX, ST, AT, IDS, TTL, BBM, E0PD. Not LSM, IESB, NV,
    // FWB, EVT.
    (
        7,
        2,
        &[
            (0, UpTo(1)),
            (4, UpTo(1)),
            (16, UpTo(1)),
            (20, UpTo(1)),
            (28, UpTo(1)),
            (32, UpTo(1)),
            (36, UpTo(1)),
            (48, UpTo(1)),
            (52, UpTo(2)),
            (60, UpTo(1)),
        ],
    ),
];

/// ID_AA64ZFR0_EL1 of a Realm with SVE: SVEver, AES, EltPerm, BitPerm, B16B16, BF16, SHA3, SM4,
/// I8MM, F32MM, F64MM.
const VECTORS: Row = (
    4,
    4,
    &[
        (0, All),
        (4, All),
        (12, All),
        (16, All),
        (20, All),
        (24, All),
        (32, All),
        (40, All),
        (44, All),
        (52, All),
        (56, All),
    ],
);

/// The Host's view of the registers that a Realm sees anything of.
fn hardware(crm: u64, op2: u64) -> u64 {
    match (crm, op2) {
        (4, 0) => mrs!("id_aa64pfr0_el1"),
        (4, 1) => mrs!("id_aa64pfr1_el1"),
        (4, 4) => mrs!("s3_0_c0_c4_4"),
        (5, 0) => mrs!("id_aa64dfr0_el1"),
        (6, 0) => mrs!("id_aa64isar0_el1"),
        (6, 1) => mrs!("id_aa64isar1_el1"),
        (6, 2) => mrs!("s3_0_c0_c6_2"),
        (7, 0) => mrs!("id_aa64mmfr0_el1"),
        (7, 1) => mrs!("id_aa64mmfr1_el1"),
        (7, 2) => mrs!("id_aa64mmfr2_el1"),
        _ => 0,
    }
}

fn expected(row: &Row) -> u64 {
    let hardware = hardware(row.0, row.1);
    row.2.iter().fold(0, |value, (shift, shown)| {
        let field = hardware >> shift & 0xF;
        let field = match *shown {
            All => field,
            UpTo(limit) => field.min(limit),
            Always(constant) => constant,
        };
        value | field << shift
    })
}

const fn id(crm: u64, op2: u64) -> Register {
    Register(3, 0, 0, crm, op2)
}

/// Compares the whole space with [`PLAIN`], changed by a function of CRm, op2 and value.
fn compare(rec: &Rec, change: impl Fn(u64, u64, u64) -> u64) -> Check {
    for (crm, op2) in (1..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        let row = PLAIN.iter().find(|row| (row.0, row.1) == (crm, op2));
        let wanted = change(crm, op2, row.map_or(0, expected));
        let found = id(crm, op2).read(rec)?;
        ensure_eq!(found, wanted, "S3_0_C0_C{crm}_{op2}");
    }
    Ok(())
}

/// Every register from CRm 1 to 7, also those that do not exist; none can be written.
// Conformance: Exceptions and accesses that do not exit id_registers, hidden
fn whole_space() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    compare(rec, |_, _, value| value)?;
    for (crm, op2) in (0..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        id(crm, op2).write_is_undefined(rec)?;
    }
    realm.finish()
}

fn with_sve() -> Check {
    needs::sve()?;
    let config = Config {
        flags: RealmFlags::SVE.bits(),
        ..Config::default()
    };
    let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    compare(rec, |crm, op2, value| match (crm, op2) {
        (4, 0) => value | 1 << 32,
        (4, 4) => expected(&VECTORS),
        _ => value,
    })?;
    realm.finish()
}

fn with_pmu() -> Check {
    needs::pmu()?;
    let config = Config {
        flags: RealmFlags::PMU.bits(),
        pmu_num_ctrs: 1,
        ..Config::default()
    };
    let realm = Realm::running(&config, 1, MODE_COMMANDS)?;
    let rec = realm.boot()?;
    // PMUv3p5 is the newest that a Realm sees.
    let version = (mrs!("id_aa64dfr0_el1") >> 8 & 0xF).min(6);
    compare(rec, |crm, op2, value| match (crm, op2) {
        (5, 0) => value | version << 8,
        _ => value,
    })?;
    realm.finish()
}

/// MIDR_EL1 is the CPU's, MPIDR_EL1 the REC's. The rest of CRm 0 does not exist, but for
/// REVIDR_EL1; with ID_AA64MMFR2_EL1.IDS such a read has a syndrome of its own.
fn cpu() -> Check {
    let mut realm = Realm::loaded(&Config::default())?;
    // Not the first index of its kind: Aff1 is not zero.
    for n in 0..18 {
        realm.add_rec(n == 17, &[MODE_COMMANDS, realm.config.unprotected()])?;
    }
    realm.activate()?;
    let rec = &realm.recs[17];
    rec.boot()?;
    ensure_eq!(id(0, 0).read(rec)?, mrs!("midr_el1"), "MIDR_EL1");
    let mpidr = index_to_mpidr(17) | 1 << 31;
    ensure_eq!(id(0, 5).read(rec)?, mpidr, "MPIDR_EL1");
    ensure_eq!(id(0, 6).read(rec)?, mrs!("revidr_el1"), "REVIDR_EL1");
    let told = id(7, 2).read(rec)? >> 36 & 0xF != 0;
    for op2 in [1, 2, 3, 4, 7] {
        let reply = run(rec, id(0, op2).mrs(), 0x77, 0)?;
        let wanted = if told {
            0x18 << 26 | 1 << 25 | 3 << 20 | op2 << 17 | 1
        } else {
            UNDEFINED
        };
        ensure_eq!(reply.esr, wanted, "read of S3_0_C0_C0_{op2}: ESR_EL1");
        ensure_eq!(reply.values[0], 0x77, "read of S3_0_C0_C0_{op2}: X0");
    }
    realm.finish()
}
