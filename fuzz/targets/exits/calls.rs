// SPDX-License-Identifier: BSD-3-Clause
//! RSI and PSCI calls with arguments that mostly fit, and what their results must be.

use super::instructions::{Program, Word, leave_tables};
use super::realms::{ABSENT, PAGES};
use arbitrary::Arbitrary;
use rmm_abi::mpidr::index_to_mpidr_el1;
use rmm_abi::psci::{self, fid as psci_fid};
use rmm_abi::rsi::{HostCall, RSI_ERROR_INPUT, RSI_SUCCESS, RealmConfig, fid as rsi_fid};
use rmm_abi::smccc;
use rmm_core::fake::{PAGE, RealmCpu, esr};
use rmm_granule::Pa;
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

/// The answers of the Host that the Realm has not seen yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// The granule of the structure of a host call, and registers for it.
    pub host_call: Option<(u64, [u64; 31])>,
    /// X1 and X2 of a RIPAS change.
    pub ripas: Option<(u64, u64)>,
    /// The value of an emulated load.
    pub emulated: Option<u64>,
}

/// A call that mostly succeeds.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Version(u8),
    Features(Word),
    MeasurementRead(u8),
    MeasurementExtend(u8, u8),
    RealmConfig(Page),
    SetRipas(Page, u8, u8, bool),
    GetRipas(Page, u8),
    /// RSI_HOST_CALL.
    ToHost(Page, u8, u16),
    TokenInit(u8),
    TokenContinue(Page, u16, u16),
    PsciVersion,
    PsciFeatures(u8),
    SmcccVersion,
    CpuSuspend(u32),
    CpuOff,
    CpuOn(u8, Word, u64),
    AffinityInfo(u8, u8),
    SystemOff(bool, u8),
}

/// A page of the Realm.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Page {
    Mapped(u8),
    AlsoMapped(u8),
    Absent,
    Other(Word),
}

impl Page {
    fn ipa(self) -> u64 {
        match self {
            Self::Mapped(n) | Self::AlsoMapped(n) => u64::from(n) % PAGES as u64 * PAGE,
            Self::Absent => ABSENT,
            Self::Other(word) => word.value(),
        }
    }
}

/// Makes a call until it returns or the REC goes on elsewhere. Registers that are no results are left
/// alone. `None` if there is no result.
pub async fn smc(cpu: &RealmCpu, args: &[u64]) -> Option<[u64; 31]> {
    cpu.context(|context| {
        // Behind the last instruction of the address space there is none.
        context.pc &= !(1 << 63);
        context.gprs[..args.len()].copy_from_slice(args);
    });
    let (before, start) = (cpu.gprs(), cpu.context(|context| context.pc));
    loop {
        cpu.raise(esr::SMC | esr::IL, 0, 0).await;
        let pc = cpu.context(|context| context.pc);
        if args[0] == psci_fid::PSCI_CPU_OFF {
            // Another REC has turned this one on.
            return None;
        }
        if pc == start {
            // Memory that the call needs was not there.
            assert_eq!(cpu.gprs(), before, "a call that is tried again has results");
            continue;
        }
        if pc != start.wrapping_add(4) {
            return None;
        }
        let after = cpu.gprs();
        let is_measurement = args[0] == rsi_fid::RSI_MEASUREMENT_READ && after[0] == RSI_SUCCESS;
        let kept = if is_measurement { 9 } else { 4 };
        assert_eq!(after[kept..], before[kept..], "registers after {args:x?}");
        return Some(after);
    }
}

impl Call {
    /// Makes the call, and looks at the results.
    pub async fn make(self, cpu: &RealmCpu, program: &Program) {
        let _results = match self {
            Self::Version(minor) => {
                smc(
                    cpu,
                    &[rsi_fid::RSI_VERSION, 0x1_0000 | u64::from(minor % 3)],
                )
                .await
            }
            Self::Features(index) => smc(cpu, &[rsi_fid::RSI_FEATURES, index.value()]).await,
            Self::MeasurementRead(index) => {
                let index = u64::from(index % 6);
                let results = smc(cpu, &[rsi_fid::RSI_MEASUREMENT_READ, index]).await;
                assert!(results.is_none_or(|x| x[0]
                    == if index < 5 {
                        RSI_SUCCESS
                    } else {
                        RSI_ERROR_INPUT
                    }));
                results
            }
            Self::MeasurementExtend(index, size) => {
                let (index, size) = (u64::from(index % 6), u64::from(size % 70));
                let fits = (1..5).contains(&index) && size <= 64;
                let results = smc(cpu, &[rsi_fid::RSI_MEASUREMENT_EXTEND, index, size]).await;
                assert!(
                    results
                        .is_none_or(|x| x[0] == if fits { RSI_SUCCESS } else { RSI_ERROR_INPUT })
                );
                results
            }
            Self::RealmConfig(page) => realm_config(cpu, program, page.ipa()).await,
            Self::SetRipas(page, pages, ripas, destroyed) => {
                let (base, top) = range(page, pages);
                set_ripas(
                    cpu,
                    program,
                    [base, top, u64::from(ripas % 3), destroyed.into()],
                )
                .await
            }
            Self::GetRipas(page, pages) => {
                let (base, top) = range(page, pages);
                let results = smc(cpu, &[rsi_fid::RSI_IPA_STATE_GET, base, top]).await;
                if let Some([RSI_SUCCESS, end, ripas, ..]) = results {
                    assert!(base < end && end <= top && ripas < 3, "{results:x?}");
                }
                results
            }
            Self::ToHost(page, slot, imm) => {
                host_call(cpu, program, page.ipa() | u64::from(slot % 16) << 8, imm).await
            }
            Self::TokenInit(first) => {
                smc(cpu, &[rsi_fid::RSI_ATTESTATION_TOKEN_INIT, first.into()]).await
            }
            Self::TokenContinue(page, offset, size) => {
                let [offset, size] = [offset, size].map(|n| u64::from(n % 0x1800));
                let args = [
                    rsi_fid::RSI_ATTESTATION_TOKEN_CONTINUE,
                    page.ipa(),
                    offset,
                    size,
                ];
                smc(cpu, &args).await
            }
            other => other.psci(cpu).await,
        };
    }

    async fn psci(self, cpu: &RealmCpu) -> Option<[u64; 31]> {
        use psci_fid::*;
        const ALL: [u64; 10] = [
            PSCI_VERSION,
            PSCI_FEATURES,
            PSCI_CPU_SUSPEND,
            PSCI_CPU_OFF,
            PSCI_CPU_ON,
            PSCI_AFFINITY_INFO,
            PSCI_SYSTEM_OFF,
            PSCI_SYSTEM_RESET,
            smccc::SMCCC_VERSION,
            0x8400_0005,
        ];
        let (args, allowed): (Vec<u64>, &[u64]) = match self {
            Self::PsciVersion => (vec![PSCI_VERSION], &[psci::VERSION_1_1]),
            Self::PsciFeatures(n) => (
                vec![PSCI_FEATURES, ALL[usize::from(n) % ALL.len()]],
                &[psci::SUCCESS, psci::NOT_SUPPORTED],
            ),
            Self::SmcccVersion => (vec![smccc::SMCCC_VERSION], &[]),
            Self::CpuSuspend(state) => (vec![PSCI_CPU_SUSPEND, state.into()], &[psci::SUCCESS]),
            Self::CpuOff => (vec![PSCI_CPU_OFF], &[]),
            Self::CpuOn(target, entry, context) => (
                vec![
                    PSCI_CPU_ON,
                    index_to_mpidr_el1(u64::from(target % 3)),
                    entry.value(),
                    context,
                ],
                &[
                    psci::SUCCESS,
                    psci::INVALID_PARAMETERS,
                    psci::DENIED,
                    psci::ALREADY_ON,
                    psci::INVALID_ADDRESS,
                ],
            ),
            Self::AffinityInfo(target, level) => (
                vec![
                    PSCI_AFFINITY_INFO,
                    index_to_mpidr_el1(u64::from(target % 3)),
                    u64::from(level % 4 == 3),
                ],
                &[
                    psci::AFFINITY_ON,
                    psci::AFFINITY_OFF,
                    psci::INVALID_PARAMETERS,
                ],
            ),
            // Rarely, because it is the end of the Realm.
            Self::SystemOff(resets, 0..8) => (
                vec![if resets {
                    PSCI_SYSTEM_RESET
                } else {
                    PSCI_SYSTEM_OFF
                }],
                &[],
            ),
            _ => return None,
        };
        let results = smc(cpu, &args).await?;
        assert!(
            allowed.is_empty() || allowed.contains(&results[0]),
            "{args:x?}: {:x}",
            results[0]
        );
        Some(results)
    }
}

fn range(page: Page, pages: u8) -> (u64, u64) {
    let base = page.ipa();
    (base, base.wrapping_add(u64::from(pages % 5) * PAGE))
}

/// RSI_REALM_CONFIG: the page has the configuration and zeroes.
async fn realm_config(cpu: &RealmCpu, program: &Program, ipa: u64) -> Option<[u64; 31]> {
    let results = smc(cpu, &[rsi_fid::RSI_REALM_CONFIG, ipa]).await;
    let page = program.lock().page_at(ipa);
    if let (Some([RSI_SUCCESS, ..]), Some(pa)) = (results, page) {
        let mut expected = RealmConfig::new_zeroed();
        expected.ipa_width = 40;
        expected.hash_algo = program.lock().hash;
        expected.rpv = [0x5E; 64];
        let found = program.lock().board().memory.peek(Pa(pa));
        assert!(found == expected.as_bytes(), "the configuration");
    }
    results
}

/// RSI_IPA_STATE_SET: the Realm learns how far the Host has come, and whether it refuses.
async fn set_ripas(
    cpu: &RealmCpu,
    program: &Program,
    [base, top, ripas, flags]: [u64; 4],
) -> Option<[u64; 31]> {
    program.lock().answers.ripas = None;
    let results = smc(cpu, &[rsi_fid::RSI_IPA_STATE_SET, base, top, ripas, flags]).await;
    if let Some([RSI_SUCCESS, end, response, ..]) = results {
        let answer = program.lock().answers.ripas.take();
        assert_eq!(Some((end, response)), answer, "{base:#x}..{top:#x}");
    }
    results
}

/// RSI_HOST_CALL: the structure gets the registers that the Host passes, and nothing else changes.
async fn host_call(cpu: &RealmCpu, program: &Program, ipa: u64, imm: u16) -> Option<[u64; 31]> {
    // A store may itself be emulated.
    if program.lock().page_at(ipa).is_some() {
        leave_tables(cpu);
        let _taken = cpu.write(ipa, 0x5EC2_0000_0000 | u64::from(imm)).await;
    }
    {
        let mut program = program.lock();
        (program.host_call, program.answers.host_call) = (Some(ipa), None);
    }
    let results = smc(cpu, &[rsi_fid::RSI_HOST_CALL, ipa]).await;
    let answer = program.lock().answers.host_call.take();
    if let (Some([RSI_SUCCESS, ..]), Some((pa, gprs))) = (results, answer) {
        let found = program.lock().board().memory.peek(Pa(pa));
        let at = usize::try_from(ipa % PAGE).expect("in a page") + offset_of!(HostCall, gprs);
        let answer = gprs.as_bytes();
        assert!(
            found[at..][..answer.len()] == *answer,
            "the answer to a host call"
        );
    }
    results
}
