// SPDX-License-Identifier: BSD-3-Clause
//! Calls of a Realm: RSI, PSCI and SMCCC (B5, B6).

use super::instructions::{AccessKind, Expected, Reach, abort_record, exit_record};
use super::state::{Change, LastExit, Model, Page, Psci, RealmState};
use super::tables::Ripas;
use rmm_abi::mpidr::mpidr_el1_to_index;
use rmm_abi::rmi::RecExitReason;
use rmm_abi::{psci, rsi, smccc};
use rmm_attest::{SoftHash, rem};
use rmm_core::fake::esr;

impl Model {
    /// The granule at a Protected IPA that an RSI call needs, or the outcome if there is none.
    fn realm_memory(&mut self, rec: u64, ipa: u64) -> Result<u64, Expected> {
        let rd = self.recs[&rec].rd;
        match self.reach(rd, ipa, AccessKind::Load) {
            Reach::Granule(pa) => Ok(pa),
            Reach::Exit(status) => {
                let exit = abort_record(esr::DATA_ABORT | status, ipa);
                Err(self.leave(rec, exit, LastExit::Other))
            }
            _ => Err(Expected::results(&[rsi::RSI_ERROR_INPUT])),
        }
    }

    /// Outcome of a call.
    pub fn call(&mut self, rec: u64, args: &[u64]) -> Expected {
        use rmm_abi::psci::fid::*;
        use rmm_abi::rsi::fid::*;
        let rd = self.recs[&rec].rd;
        let arg = |n: usize| args.get(n).copied().unwrap_or(0);
        let refused = Expected::results(&[rsi::RSI_ERROR_INPUT]);
        match args[0] {
            RSI_VERSION => {
                let highest = if self.realms[&rd].is_v2 {
                    0x1_0001
                } else {
                    0x1_0000
                };
                let is_known = (0x1_0000..=highest).contains(&arg(1));
                let lower = if is_known { arg(1) } else { highest };
                Expected::results(&[u64::from(!is_known), lower, highest])
            }
            RSI_FEATURES => Expected::results(&[0, 0]),
            RSI_MEASUREMENT_READ => match self.realms[&rd].measurements.get(arg(1) as usize) {
                Some(value) => {
                    let words = value.0.as_chunks::<8>().0;
                    let words = words.iter().map(|word| u64::from_le_bytes(*word));
                    Expected::Results([0].into_iter().chain(words).collect())
                }
                None => refused,
            },
            RSI_MEASUREMENT_EXTEND => {
                let (index, length) = (arg(1) as usize, arg(2) as usize);
                if !(1..=4).contains(&index) || length > 64 {
                    return refused;
                }
                let value: Vec<u8> = (3..11).flat_map(|n| arg(n).to_le_bytes()).collect();
                let realm = self.realm(rd);
                let old = &mut realm.measurements[index];
                *old = rem::extend(&SoftHash, realm.algorithm, old, &value[..length]);
                Expected::results(&[0])
            }
            RSI_REALM_CONFIG => self.realm_config(rec, arg(1)),
            RSI_IPA_STATE_SET => {
                let value = match arg(3) {
                    0 => Ripas::Empty,
                    1 => Ripas::Ram,
                    _ => return refused,
                };
                if !self.is_protected_range(rd, arg(1), arg(2)) {
                    return refused;
                }
                let mut exit = exit_record(RecExitReason::RipasChange);
                (exit.ripas_base, exit.ripas_top) = (arg(1), arg(2));
                exit.ripas_value = value as u8;
                self.rec(rec).change = Some(Change {
                    addr: arg(1),
                    top: arg(2),
                    value,
                    from_destroyed: arg(4) & 1 != 0,
                });
                self.leave(rec, exit, LastExit::Other)
            }
            RSI_IPA_STATE_GET if self.is_protected_range(rd, arg(1), arg(2)) => {
                self.extent(rd, arg(1), arg(2))
            }
            RSI_IPA_STATE_GET => refused,
            RSI_HOST_CALL => self.host_call(rec, arg(1)),
            smccc::SMCCC_VERSION => Expected::results(&[self.smccc_version()]),
            PSCI_VERSION => Expected::results(&[0x1_0001]),
            PSCI_FEATURES => {
                let known = [
                    PSCI_VERSION,
                    PSCI_FEATURES,
                    PSCI_CPU_SUSPEND,
                    PSCI_CPU_OFF,
                    PSCI_CPU_ON,
                    PSCI_AFFINITY_INFO,
                    PSCI_SYSTEM_OFF,
                    PSCI_SYSTEM_RESET,
                    smccc::SMCCC_VERSION,
                ];
                let is_known = known.contains(&arg(1));
                Expected::results(&[if is_known { 0 } else { u64::MAX }])
            }
            PSCI_CPU_SUSPEND => {
                self.psci_exit(rec, &args[..4], None);
                Expected::results(&[0])
            }
            PSCI_CPU_OFF => {
                self.rec(rec).runnable = false;
                self.psci_exit(rec, &args[..1], None)
            }
            PSCI_SYSTEM_OFF | PSCI_SYSTEM_RESET => {
                self.realm(rd).state = RealmState::SystemOff;
                self.psci_exit(rec, &args[..1], None)
            }
            PSCI_CPU_ON => {
                let target = mpidr_el1_to_index(arg(1));
                if !self.realms[&rd].tables.is_protected(arg(2)) {
                    return Expected::results(&[psci::INVALID_ADDRESS]);
                }
                if let Some(result) = self.psci_target(rec, target, psci::ALREADY_ON) {
                    return result;
                }
                let request = Psci::CpuOn {
                    target,
                    entry: arg(2),
                    context: arg(3),
                };
                self.psci_exit(rec, &args[..4], Some(request))
            }
            PSCI_AFFINITY_INFO => {
                if arg(2) != 0 {
                    return Expected::results(&[psci::INVALID_PARAMETERS]);
                }
                let target = mpidr_el1_to_index(arg(1));
                if let Some(result) = self.psci_target(rec, target, 0) {
                    return result;
                }
                if self.realms[&rd].is_v2 {
                    // Without the Host; a REC that is destroyed is off.
                    let target = self.realms[&rd].recs.get(&target);
                    let on = target.is_some_and(|target| self.recs[target].runnable);
                    return Expected::results(&[u64::from(!on)]);
                }
                self.psci_exit(rec, &args[..3], Some(Psci::AffinityInfo { target }))
            }
            _ => Expected::results(&[u64::MAX]),
        }
    }

    /// Result of a PSCI call whose target decides it without the Host; `own` if that is the caller.
    fn psci_target(&self, rec: u64, target: u64, own: u64) -> Option<Expected> {
        let rec = &self.recs[&rec];
        // An index that was used counts, even if the REC has been destroyed.
        if target >= self.realms[&rec.rd].rec_index {
            Some(Expected::results(&[psci::INVALID_PARAMETERS]))
        } else if target == rec.index {
            Some(Expected::results(&[own]))
        } else {
            None
        }
    }

    fn psci_exit(&mut self, rec: u64, args: &[u64], request: Option<Psci>) -> Expected {
        let mut exit = exit_record(RecExitReason::Psci);
        exit.gprs[..args.len()].copy_from_slice(args);
        self.rec(rec).psci = request;
        self.leave(rec, exit, LastExit::Other)
    }

    fn is_protected_range(&self, rd: u64, base: u64, top: u64) -> bool {
        let half = self.realms[&rd].tables.half();
        (base | top).is_multiple_of(4096) && base < top && top <= half
    }

    /// Outcome of RSI_IPA_STATE_GET.
    fn extent(&self, rd: u64, base: u64, top: u64) -> Expected {
        let tables = &self.realms[&rd].tables;
        let ripas = tables.walk(base, 3).entry.ripas();
        let mut end = base;
        while end < top {
            let at = tables.walk(end, 3);
            if at.entry.ripas() != ripas {
                break;
            }
            end = at.end();
        }
        Expected::Extent(base, end.min(top), ripas.expect("Protected"))
    }

    fn realm_config(&mut self, rec: u64, ipa: u64) -> Expected {
        let rd = self.recs[&rec].rd;
        let tables = &self.realms[&rd].tables;
        if !ipa.is_multiple_of(4096) || !tables.is_protected(ipa) {
            return Expected::results(&[rsi::RSI_ERROR_INPUT]);
        }
        let pa = match self.realm_memory(rec, ipa) {
            Ok(pa) => pa,
            Err(expected) => return expected,
        };
        let realm = &self.realms[&rd];
        let mut page: Page = [0; 4096];
        page[0] = realm.tables.s2sz;
        page[8] = realm.algorithm as u8;
        page[0x200..][..64].copy_from_slice(&realm.rpv);
        *self.granule(pa).content_mut() = page;
        Expected::results(&[0])
    }

    fn host_call(&mut self, rec: u64, ipa: u64) -> Expected {
        let rd = self.recs[&rec].rd;
        if !ipa.is_multiple_of(256) || !self.realms[&rd].tables.is_protected(ipa) {
            return Expected::results(&[rsi::RSI_ERROR_INPUT]);
        }
        let pa = match self.realm_memory(rec, ipa) {
            Ok(pa) => pa,
            Err(expected) => return expected,
        };
        let structure = &self.granules[&pa].content()[(ipa & 0xFFF) as usize..][..256];
        let mut exit = exit_record(RecExitReason::HostCall);
        exit.imm = u16::from_le_bytes([structure[0], structure[1]]);
        let gprs = structure[8..].as_chunks::<8>().0;
        for (to, from) in exit.gprs.iter_mut().zip(gprs) {
            *to = u64::from_le_bytes(*from);
        }
        self.rec(rec).host_call = Some(ipa);
        self.leave(rec, exit, LastExit::Other)
    }

    /// Completes a host call at entry. Returns whether the Realm runs.
    pub fn complete_host_call(&mut self, rec: u64, ipa: u64, gprs: &[u64; 31]) -> bool {
        let rd = self.recs[&rec].rd;
        let Reach::Granule(pa) = self.reach(rd, ipa, AccessKind::Store) else {
            let level = self.realms[&rd].tables.walk(ipa, 3).level;
            let exit = abort_record(esr::DATA_ABORT | esr::translation_fault(level), ipa);
            self.leave(rec, exit, LastExit::Other);
            return false;
        };
        let content = self.granule(pa).content_mut();
        for (n, value) in gprs.iter().enumerate() {
            let offset = (ipa & 0xFFF) as usize + 8 + 8 * n;
            content[offset..][..8].copy_from_slice(&value.to_le_bytes());
        }
        let rec = self.rec(rec);
        rec.host_call = None;
        rec.expected = Expected::results(&[0]);
        true
    }

    fn smccc_version(&self) -> u64 {
        if self.features.sve_vl.is_some() {
            0x1_0003
        } else {
            0x1_0002
        }
    }
}
