// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor does about vector state, by what the CPU has and what EL3 leaves open to Realm world.
//!
//! EL3 switches no vector state between Normal and Realm world: the monitor saves what Realms and its own
//! code overwrite. What EL3 keeps closed it cannot save:
//!
//! | closed | Host outside streaming mode | Host in streaming mode |
//! |---|---|---|
//! | nothing | all is saved | all is saved; the mode ends and begins again |
//! | SME | all is saved | RMI_REC_ENTER is refused: the mode does not end |
//! | FPMR, and the CPU has SME | all is saved; FPMR does not change | RMI_REC_ENTER is refused: the end of the mode clears FPMR |
//! | SVE | Z beyond 128 bits is lost if the Host can use it, so EL3 has to close SVE to the Normal world, too | as above: SME opens what is needed |
//! | FP/SIMD | the CPU is refused | |
//!
//! Without streaming mode nothing depends on FPMR: writes of vector registers leave it alone.

use super::fields::*;
use super::traps::{CPTR_FP, CPTR_SVE};

/// Vector features of the CPU, by its ID registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// SVE.
    pub sve: bool,
    /// SME.
    pub sme: bool,
    /// Streaming mode may permit all instructions.
    pub fa64: bool,
    /// `FPMR`.
    pub fpmr: bool,
}

impl Features {
    /// Decodes `ID_AA64PFR0_EL1`, `ID_AA64PFR1_EL1`, `ID_AA64PFR2_EL1` and, which is zero without SME,
    /// `ID_AA64SMFR0_EL1`.
    pub fn new(pfr0: u64, pfr1: u64, pfr2: u64, smfr0: u64) -> Self {
        let sme = ID_AA64PFR1_EL1::SME.is_set(pfr1);
        Self {
            sve: ID_AA64PFR0_EL1::SVE.is_set(pfr0),
            sme,
            fa64: sme && ID_AA64SMFR0_EL1::FA64.is_set(smfr0),
            fpmr: ID_AA64PFR2_EL1::FPMR.is_set(pfr2),
        }
    }
}

/// Which of these features, and FP/SIMD, the CPU has and EL3 leaves open to Realm world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// FP/SIMD.
    pub fp: bool,
    /// SVE.
    pub sve: bool,
    /// SME.
    pub sme: bool,
    /// `FPMR`.
    pub fpmr: bool,
}

/// How the monitor finds out that the Host is in a streaming mode that it cannot end without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unended {
    /// There is no such mode.
    Never = 0,
    /// An instruction of Advanced SIMD is illegal in streaming mode. Not exact with FEAT_SME_FA64.
    IllegalSimd,
    /// An instruction of SVE traps to EL2 as SME in streaming mode, while `CPTR_EL2.SMEN` is 0, before EL3 has a
    /// say. Else it is legal, or traps as SVE if `CPTR_EL2.ZEN` is 0. Exact on a CPU with SVE.
    SveAsSme,
}

/// What the monitor saves, and what it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// FP/SIMD is open. Otherwise the CPU is of no use.
    pub fp: bool,
    /// Outside streaming mode Z, P and FFR are saved, and Realms may have SVE.
    pub sve: bool,
    /// The CPU has SVE, and EL3 keeps it closed.
    pub sve_closed: bool,
    /// `SVCR` is open.
    pub svcr: bool,
    /// The CPU has SME, and EL3 keeps it closed.
    pub sme_closed: bool,
    /// Streaming mode is ended and begun again.
    pub sme: bool,
    /// Streaming mode may have FFR.
    pub fa64: bool,
    /// `FPMR` is saved with streaming mode.
    pub fpmr: bool,
    /// Streaming mode in which no REC is entered.
    pub unended: Unended,
}

impl Plan {
    /// The plan for a CPU.
    pub fn new(has: Features, open: Open) -> Self {
        let loses_fpmr = has.fpmr && !open.fpmr;
        let sme = has.sme && open.sme && !loses_fpmr;
        Self {
            fp: open.fp,
            sve: has.sve && open.sve,
            sve_closed: has.sve && !open.sve,
            svcr: has.sme && open.sme,
            sme_closed: has.sme && !open.sme,
            sme,
            fa64: sme && has.fa64,
            fpmr: has.fpmr && open.fpmr,
            unended: match has.sme && !sme {
                false => Unended::Never,
                // FEAT_SME_FA64 comes with SVE.
                true if has.fa64 => Unended::SveAsSme,
                true => Unended::IllegalSimd,
            },
        }
    }

    /// The bits of `CPTR_EL2` that are set while the monitor looks for a mode of [`Plan::unended`]. SMEN is not
    /// among them.
    pub fn opened_to_look(&self) -> u64 {
        CPTR_FP | if self.sve { CPTR_SVE } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::fixup;
    use crate::encoding::traps::CPTR_SME;

    /// D24.2.93: SVE 35:32. D24.2.94: SME 27:24. D24.2.95: FPMR 35:32. D24.2.96: FA64 63.
    #[test]
    fn features_of_a_cpu() {
        let nothing = Features {
            sve: false,
            sme: false,
            fa64: false,
            fpmr: false,
        };
        let all_but = |field: u64, bit: u32| !(field << bit);
        let (pfr0, pfr1) = (all_but(0xF, 32), all_but(0xF, 24));
        let (pfr2, smfr0) = (all_but(0xF, 32), all_but(1, 63));
        assert_eq!(Features::new(pfr0, pfr1, pfr2, smfr0), nothing);
        assert_eq!(Features::new(pfr0, pfr1, pfr2, u64::MAX), nothing);
        let all = Features {
            sve: true,
            sme: true,
            fa64: true,
            fpmr: true,
        };
        assert_eq!(Features::new(1 << 32, 2 << 24, 1 << 32, 1 << 63), all);
        let no_fa64 = Features { fa64: false, ..all };
        assert_eq!(Features::new(1 << 32, 1 << 24, 1 << 32, smfr0), no_fa64);
    }

    /// All CPUs that the architecture permits: FEAT_SME_FA64 comes with SME and SVE2.
    fn cpus() -> impl Iterator<Item = Features> {
        let cpus = (0..16).map(|n| Features {
            sve: n & 1 != 0,
            sme: n & 2 != 0,
            fa64: n & 4 != 0,
            fpmr: n & 8 != 0,
        });
        cpus.filter(|cpu| !cpu.fa64 || cpu.sme && cpu.sve)
    }

    /// All that EL3 may leave open to a world of this CPU.
    fn openings(has: Features) -> impl Iterator<Item = Open> {
        let openings = (0..16).map(|n| Open {
            fp: n & 1 != 0,
            sve: n & 2 != 0,
            sme: n & 4 != 0,
            fpmr: n & 8 != 0,
        });
        openings.filter(move |open| {
            (has.sve || !open.sve) && (has.sme || !open.sme) && (has.fpmr || !open.fpmr)
        })
    }

    /// The CPU when a Host calls.
    #[derive(Clone, Copy, Debug)]
    struct Cpu {
        has: Features,
        /// What EL3 leaves open to Realm world.
        open: Open,
        is_streaming: bool,
        /// `SMCR_EL2.FA64` and `SMCR_EL3.FA64`.
        permits_all: bool,
    }

    /// What an instruction at EL2 does.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Executed,
        /// An exception to EL2 of a class.
        Trapped(u64),
        /// An exception to EL3.
        Left,
    }
    use Outcome::{Executed, Left, Trapped};

    impl Cpu {
        /// J1.1.2.35: CheckFPAdvSIMDEnabled. FPEN is not 0.
        fn simd(&self) -> Outcome {
            match (self.open.fp, self.is_streaming && !self.permits_all) {
                (false, _) => Left,
                (true, true) => Trapped(fixup::STREAMING),
                (true, false) => Executed,
            }
        }

        /// J1.1.3.298: CheckSVEEnabled, with this `CPTR_EL2`; FPEN is not 0.
        fn sve(&self, cptr: u64) -> Outcome {
            let sme = cptr & CPTR_SME != 0;
            let sve = cptr & CPTR_SVE != 0;
            if self.is_streaming || !self.has.sve {
                match (sme, self.open.sme) {
                    (false, _) => Trapped(fixup::STREAMING),
                    (true, false) => Left,
                    // SMEExceptionType_NotStreaming.
                    (true, true) if !self.is_streaming => Trapped(fixup::STREAMING),
                    (true, true) => Executed,
                }
            } else {
                match (sve, self.open.sve) {
                    (false, _) => Trapped(fixup::SVE),
                    (true, false) => Left,
                    (true, true) => Executed,
                }
            }
        }

        /// What the monitor makes of the mode: `HostSimd::is_stuck_in_streaming`.
        fn finds_unended(&self, plan: &Plan) -> bool {
            let outcome = match plan.unended {
                Unended::Never => return false,
                Unended::IllegalSimd => self.simd(),
                Unended::SveAsSme => self.sve(plan.opened_to_look()),
            };
            match outcome {
                Executed | Trapped(fixup::SVE) => false,
                Trapped(fixup::STREAMING) => true,
                other => panic!("{other:?} on {self:?}"),
            }
        }
    }

    /// Every CPU, under every EL3, with every Host.
    fn machines() -> impl Iterator<Item = Cpu> {
        let machines = cpus().flat_map(|has| openings(has).map(move |open| (has, open)));
        machines.flat_map(|(has, open)| {
            [(false, false), (false, true), (true, false), (true, true)]
                .into_iter()
                .filter(move |(is_streaming, permits_all)| {
                    (has.sme || !is_streaming) && (has.fa64 || !permits_all)
                })
                .map(move |(is_streaming, permits_all)| Cpu {
                    has,
                    open,
                    is_streaming,
                    permits_all,
                })
        })
    }

    /// No state of a Host is lost, or no REC is entered; and nothing is refused without need.
    #[test]
    fn hosts_keep_their_state() {
        let mut seen = [0; 4];
        for cpu in machines() {
            let plan = Plan::new(cpu.has, cpu.open);
            assert_eq!(plan.fp, cpu.open.fp);
            if !plan.fp {
                continue;
            }
            let is_refused = cpu.finds_unended(&plan);
            if cpu.is_streaming {
                // Its end clears vectors, predicates and FPMR.
                let is_kept = cpu.open.sme && (!cpu.has.fpmr || cpu.open.fpmr);
                assert_eq!(is_refused, !is_kept, "{cpu:?}");
                if !is_refused {
                    assert!(plan.sme, "{cpu:?}");
                    assert_eq!(plan.fpmr, cpu.has.fpmr, "{cpu:?}");
                    assert_eq!(plan.fa64, cpu.has.fa64, "{cpu:?}");
                    assert_eq!(cpu.sve(CPTR_FP | CPTR_SME), Executed, "{cpu:?}");
                }
                seen[usize::from(is_refused)] += 1;
            } else {
                assert!(!is_refused, "{cpu:?}");
                if plan.sve {
                    assert_eq!(cpu.sve(CPTR_FP | CPTR_SVE), Executed, "{cpu:?}");
                }
                // The monitor saves all that there is, or knows that EL3 keeps it closed.
                assert_eq!(plan.sve || plan.sve_closed, cpu.has.sve, "{cpu:?}");
                assert_eq!(plan.sve, cpu.has.sve && cpu.open.sve, "{cpu:?}");
                seen[2 + usize::from(plan.sve)] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    /// What the plan uses is open.
    #[test]
    fn nothing_closed_is_used() {
        for cpu in machines() {
            let plan = Plan::new(cpu.has, cpu.open);
            assert!(!plan.sve || cpu.open.sve, "{cpu:?}");
            assert!(!plan.sme && !plan.svcr || cpu.open.sme, "{cpu:?}");
            assert_eq!(plan.svcr || plan.sme_closed, cpu.has.sme, "{cpu:?}");
            assert!(!plan.fpmr || cpu.open.fpmr, "{cpu:?}");
        }
    }
}
