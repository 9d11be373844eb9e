// SPDX-License-Identifier: BSD-3-Clause
//! Errata of cores that the monitor has to work around, and which CPU needs what, by its ID registers.
//!
//! The table lists only cores that may have FEAT_RME, because no other core runs the monitor: those of
//! Armv9.2 and later. Errata that EL3 works around, and those that cannot do harm here, are in
//! `docs/hardening.md` with the reason.

use super::fields::*;
use crate::machine::IdRegisters;

/// Range of core revisions: variant and revision, `rXpY`, as in `MIDR_EL1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    /// X of `rXpY`.
    pub variant: u8,
    /// Y of `rXpY`.
    pub revision: u8,
}

impl Revision {
    const fn new(variant: u8, revision: u8) -> Self {
        Self { variant, revision }
    }
}

/// A core, from one revision to another.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Name of the product.
    pub name: &'static str,
    /// Implementer, as in `MIDR_EL1`.
    implementer: u8,
    /// Part number, as in `MIDR_EL1`.
    part: u16,
    /// First affected revision.
    first: Revision,
    /// Last affected revision.
    last: Revision,
}

impl Core {
    /// All revisions of a core.
    const fn all(name: &'static str, implementer: u8, part: u16) -> Self {
        Self {
            name,
            implementer,
            part,
            first: Revision::new(0, 0),
            last: Revision::new(0xF, 0xF),
        }
    }

    /// Whether this is the core with that `MIDR_EL1`.
    fn is(&self, midr: u64) -> bool {
        let revision = Revision::new(
            field(midr, MIDR_EL1::Variant),
            field(midr, MIDR_EL1::Revision),
        );
        field(midr, MIDR_EL1::Implementer) == self.implementer
            && MIDR_EL1::PartNum.read(midr) == u64::from(self.part)
            && (self.first..=self.last).contains(&revision)
    }
}

/// What the monitor does about an erratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Executes the last broadcast TLBI of a sequence and its DSB twice, on all CPUs of a machine that
    /// has one such core.
    RepeatTlbi,
    /// On each exception from a Realm, overwrites the branch history by this many taken branches, on
    /// the CPU concerned. Only where neither the CPU does it nor an instruction exists.
    HistoryLoop(u8),
}

/// An erratum with its remedy.
#[derive(Clone, Copy, Debug)]
pub struct Erratum {
    /// Name by which advisories know it.
    pub name: &'static str,
    /// Cores that it affects.
    pub cores: &'static [Core],
    /// What the monitor does.
    pub remedy: Remedy,
    /// What that costs, for the log.
    pub cost: &'static str,
}

/// Implementers in `MIDR_EL1`.
const ARM: u8 = 0x41;
const NVIDIA: u8 = 0x4E;

/// All errata that the monitor works around.
pub const ERRATA: &[Erratum] = &[
    // A store across a page boundary may become visible after another CPU's TLBI and DSB for one of
    // the pages have ended.
    Erratum {
        name: "CVE-2025-10263",
        cores: &[
            Core::all("Cortex-X4", ARM, 0xD82),
            Core::all("Neoverse V3AE", ARM, 0xD83),
            Core::all("Neoverse V3", ARM, 0xD84),
            Core::all("Cortex-X925", ARM, 0xD85),
            Core::all("C1-Ultra", ARM, 0xD8C),
            Core::all("C1-Premium", ARM, 0xD90),
            Core::all("Olympus", NVIDIA, 0x010),
        ],
        remedy: Remedy::RepeatTlbi,
        cost: "a TLBI and a DSB for each invalidation of stage 2",
    },
    // Branch history that a Realm leaves behind steers indirect branches of the monitor.
    Erratum {
        name: "CVE-2022-23960",
        cores: &[Core::all("Cortex-A720", ARM, 0xD81)],
        remedy: Remedy::HistoryLoop(38),
        cost: "120 instructions for each exception from a Realm",
    },
];

/// Cores that do not predict indirect branches by their history.
const WITHOUT_HISTORY: &[Core] = &[Core::all("Cortex-A520", ARM, 0xD80)];

/// The longest loop that is known of any core: for one that nobody has listed yet.
const LONGEST_LOOP: u8 = 132;

/// How the monitor discards the branch history that a Realm leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRemedy {
    /// No need: the history does not reach across Exception levels, or each exception discards it.
    None,
    /// By CLRBHB.
    Instruction,
    /// By so many taken branches.
    Loop(u8),
}

/// The errata of the CPU with this `MIDR_EL1`, and the name of its core.
pub fn of(midr: u64) -> impl Iterator<Item = (&'static Erratum, &'static str)> {
    ERRATA.iter().filter_map(move |erratum| {
        let core = erratum.cores.iter().find(|core| core.is(midr))?;
        Some((erratum, core.name))
    })
}

/// Whether the CPU with this `MIDR_EL1` needs [`Remedy::RepeatTlbi`].
pub fn needs_repeated_tlbi(midr: u64) -> bool {
    of(midr).any(|(erratum, _)| erratum.remedy == Remedy::RepeatTlbi)
}

/// What the CPU with these ID registers needs against branch history injection.
pub fn history_remedy(id: &IdRegisters) -> HistoryRemedy {
    // CSV2 3: the history of one Exception level does not steer another. ECBHB: nor does that from
    // before an exception.
    if ID_AA64PFR0_EL1::CSV2.read(id.pfr0) >= 3 || ID_AA64MMFR1_EL1::ECBHB.is_set(id.mmfr1) {
        return HistoryRemedy::None;
    }
    if ID_AA64ISAR2_EL1::CLRBHB.is_set(id.isar2) {
        return HistoryRemedy::Instruction;
    }
    if WITHOUT_HISTORY.iter().any(|core| core.is(id.midr)) {
        return HistoryRemedy::None;
    }
    let listed = of(id.midr).find_map(|(erratum, _)| match erratum.remedy {
        Remedy::HistoryLoop(branches) => Some(branches),
        Remedy::RepeatTlbi => None,
    });
    HistoryRemedy::Loop(listed.unwrap_or(LONGEST_LOOP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D24.2.137: Implementer 31:24, Variant 23:20, Architecture 19:16, PartNum 15:4, Revision 3:0.
    fn midr(implementer: u64, part: u64, variant: u64, revision: u64) -> u64 {
        implementer << 24 | variant << 20 | 0xF << 16 | part << 4 | revision
    }

    /// QEMU's `max`: its MIDR names no core.
    const QEMU_MAX: u64 = 0x000F_0510;

    fn names(midr: u64) -> Vec<(&'static str, &'static str)> {
        of(midr)
            .map(|(erratum, core)| (erratum.name, core))
            .collect()
    }

    #[test]
    fn cores_that_need_tlbi_twice() {
        for (midr, name) in [
            (0x410F_D821, "Cortex-X4"),
            (0x410F_D830, "Neoverse V3AE"),
            (0x410F_D840, "Neoverse V3"),
            (0x411F_D842, "Neoverse V3"),
            (0x410F_D850, "Cortex-X925"),
            (0x410F_D8C0, "C1-Ultra"),
            (0x411F_D900, "C1-Premium"),
            (0x4E0F_0100, "Olympus"),
        ] {
            assert_eq!(names(midr), [("CVE-2025-10263", name)], "{midr:#x}");
            assert!(needs_repeated_tlbi(midr), "{midr:#x}");
        }
        for other in [
            QEMU_MAX,
            0,
            // FVP's core, Neoverse N3, Cortex-A725, Cortex-A520, and parts of other implementers.
            0x410F_D0F0,
            0x410F_D8E0,
            0x410F_D870,
            0x410F_D800,
            0x4E0F_D840,
            0x410F_0100,
            0x000F_D840,
        ] {
            assert!(!needs_repeated_tlbi(other), "{other:#x}");
            assert_eq!(names(other), [], "{other:#x}");
        }
    }

    #[test]
    fn revisions_count_by_variant_first() {
        let core = Core {
            name: "",
            implementer: ARM,
            part: 0xD84,
            first: Revision::new(0, 1),
            last: Revision::new(1, 0),
        };
        for (variant, revision, expected) in [
            (0, 0, false),
            (0, 1, true),
            (0, 0xF, true),
            (1, 0, true),
            (1, 1, false),
            (2, 0, false),
        ] {
            let midr = midr(ARM.into(), 0xD84, variant, revision);
            assert_eq!(core.is(midr), expected, "r{variant}p{revision}");
        }
        assert!(!core.is(midr(ARM.into(), 0xD83, 0, 1)));
    }

    #[test]
    fn the_table_is_consistent() {
        for erratum in ERRATA {
            assert!(!erratum.name.is_empty() && !erratum.cost.is_empty());
            for core in erratum.cores {
                assert!(core.first <= core.last, "{}", core.name);
                assert!(core.part < 1 << 12, "{}", core.name);
                let first = core.first;
                let midr = midr(
                    core.implementer.into(),
                    core.part.into(),
                    first.variant.into(),
                    first.revision.into(),
                );
                let found: Vec<_> = of(midr).filter(|(_, name)| *name == core.name).collect();
                assert!(!found.is_empty(), "{}", core.name);
                assert!(!WITHOUT_HISTORY.iter().any(|without| without.is(midr)));
            }
        }
    }

    /// D24.2.93: CSV2 59:56 (3: FEAT_CSV2_3). D24.2.89:
    /// ECBHB 63:60. D24.2.86: CLRBHB 31:28.
    #[test]
    fn branch_history() {
        use HistoryRemedy::{Instruction, Loop, None};
        let id = |midr, csv2: u64, ecbhb: u64, clrbhb: u64| IdRegisters {
            midr,
            pfr0: csv2 << 56,
            mmfr1: ecbhb << 60,
            isar2: clrbhb << 28,
            ..IdRegisters::default()
        };
        for (midr, csv2, ecbhb, clrbhb, remedy) in [
            // The CPU's own means come first, on any core.
            (QEMU_MAX, 3, 0, 0, None),
            (QEMU_MAX, 4, 0, 0, None),
            (QEMU_MAX, 2, 1, 0, None),
            (QEMU_MAX, 2, 0, 1, Instruction),
            (QEMU_MAX, 0, 1, 1, None),
            (0x410F_D810, 3, 0, 0, None),
            (0x410F_D810, 2, 0, 1, Instruction),
            // Then the core decides.
            (0x410F_D810, 2, 0, 0, Loop(38)),
            (0x410F_D801, 2, 0, 0, None),
            // Nobody knows this one.
            (QEMU_MAX, 2, 0, 0, Loop(132)),
            (0x410F_D840, 0, 0, 0, Loop(132)),
        ] {
            let id = id(midr, csv2, ecbhb, clrbhb);
            assert_eq!(history_remedy(&id), remedy, "{id:x?}");
        }
    }
}
