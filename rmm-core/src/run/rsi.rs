// SPDX-License-Identifier: BSD-3-Clause
//! What RSI and PSCI calls need from the calling REC and its Realm.

use crate::aux::TokenAux;
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::{self, Realm};
use crate::rec::{self, RecHead};
use crate::signature;
use rmm_abi::rmi::{HashAlgorithm, Ripas};
use rmm_abi::rsi::CHALLENGE_SIZE;
use rmm_abi::smccc;
use rmm_attest::{Form, Progress, RealmClaims, rem};
use rmm_granule::{GRANULE_SIZE, Ipa, Pa};
use rmm_rsi::{AccessError, Context, TokenPiece, TokenStep};
use rmm_rtt::{NotMapped, RealmGranule};

/// A REC that makes a call.
pub struct RsiContext<'a, M: Machine> {
    cpu: &'a ThisCpu<'a, M>,
    head: &'a RecHead,
    token: TokenAux<'a, M>,
}

impl<'a, M: Machine> RsiContext<'a, M> {
    /// The REC with this head.
    pub fn new(cpu: &'a ThisCpu<'a, M>, head: &'a RecHead, token: TokenAux<'a, M>) -> Self {
        Self { cpu, head, token }
    }

    /// Calls `work` with the Realm, locked.
    fn realm<R>(&self, work: impl FnOnce(&mut Realm) -> R) -> R {
        with_realm(self.cpu, self.head, work)
    }
}

/// Whether the REC with this index of the Realm at `rd`, which RMI 2.0 made, is on at this moment.
fn rec_is_on<M: Machine>(cpu: &ThisCpu<'_, M>, rd: Pa, index: u64) -> bool {
    let Some(mut rec) = rec::find(cpu, rd, index) else {
        return false;
    };
    // A RUNNING REC is on.
    rec.map(cpu.machine)
        .is_none_or(|rec| rec.attributes.is_runnable())
}

/// Calls `work` with the Realm of the REC of `head`, locked.
pub fn with_realm<M: Machine, R>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    work: impl FnOnce(&mut Realm) -> R,
) -> R {
    work(&mut realm::lock_of_rec(cpu, head.rd()).map(cpu.machine))
}

impl<M: Machine> Context for RsiContext<'_, M> {
    fn ipa_width(&self) -> u32 {
        u32::from(self.head.stage2.ipa_width)
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.head.hash_algorithm()
    }

    fn rpv(&self) -> [u8; 64] {
        self.head.rpv
    }

    fn has_rsi_1_1(&self) -> bool {
        self.head.is_v2()
    }

    fn smccc_version(&self) -> u64 {
        let id = &self.cpu.features().id;
        let has = |register: u64, shift: u32| register >> shift & 0xF != 0;
        if has(id.pfr1, 24) {
            smccc::VERSION_1_4
        } else if has(id.pfr0, 32) {
            smccc::VERSION_1_3
        } else {
            smccc::VERSION_1_2
        }
    }

    fn measurement(&self, index: usize) -> [u8; 64] {
        self.realm(|realm| {
            realm
                .measurements
                .get(index)
                .map_or([0; 64], |value| value.0)
        })
    }

    fn extend_measurement(&mut self, index: usize, value: &[u8]) {
        let (machine, algorithm) = (self.cpu.machine, self.head.hash_algorithm());
        self.realm(|realm| {
            if let Some(measurement) = realm.measurements.get_mut(index) {
                *measurement = rem::extend(machine, algorithm, measurement, value);
            }
        });
    }

    fn ripas_extent(&self, base: u64, top: u64) -> (u64, Ripas) {
        rmm_rtt::start_rtt(&self.head.stage2, self.cpu.granules(), Ipa(base))
            .and_then(|start| rmm_rtt::ripas_extent(start, self.cpu.machine, Ipa(top)))
            .map_or((top, Ripas::Empty), |(end, ripas)| (end.as_u64(), ripas))
    }

    fn read(&mut self, ipa: u64, parts: &mut [&mut [u8]]) -> Result<(), AccessError> {
        read_realm(self.cpu, self.head, Ipa(ipa), parts)
    }

    fn write(&mut self, ipa: u64, parts: &[&[u8]]) -> Result<(), AccessError> {
        write_realm(self.cpu, self.head, Ipa(ipa), parts)
    }

    fn write_whole(&mut self, ipa: u64, parts: &[(usize, &[u8])]) -> Result<(), AccessError> {
        granule(self.cpu, self.head, Ipa(ipa))?.write_whole(self.cpu.machine, parts);
        Ok(())
    }

    fn rec_index(&self) -> u64 {
        self.head.index
    }

    fn rec_exists(&self, index: u64) -> bool {
        self.realm(|realm| index < realm.rec_index)
    }

    fn rec_is_on(&self, index: u64) -> Option<bool> {
        // A Host of RMI 2.0 cannot tell: its RMI_PSCI_COMPLETE completes PSCI_CPU_ON alone.
        self.head
            .is_v2()
            .then(|| rec_is_on(self.cpu, self.head.rd(), index))
    }

    fn token_init(&mut self, challenge: &[u8; CHALLENGE_SIZE]) -> u64 {
        // The token shows the measurements of one moment: all of them are read under one lock.
        let (measurements, rpv, instance, lfa_policy) = self.realm(|realm| {
            let Realm { rpv, instance, .. } = *realm;
            (realm.measurements, rpv, instance, realm.lfa_policy)
        });
        let form = if self.head.is_v2() {
            &Form::RMM_2_0
        } else {
            &Form::RMM_1_0
        };
        let claims = RealmClaims {
            challenge,
            rpv: &rpv,
            algorithm: self.head.hash_algorithm(),
            measurements: &measurements,
            instance: &instance,
            lfa_policy,
        };
        let monitor = self.cpu.monitor;
        let ticket = monitor.signatures.next_ticket();
        let size = self
            .token
            .token()
            .init(monitor.attestation, form, &claims, ticket);
        size as u64
    }

    fn token_in_progress(&self) -> bool {
        self.token.is_in_progress()
    }

    fn token_step(&mut self) -> TokenStep {
        let monitor = self.cpu.monitor;
        let mut token = self.token.token();
        // The Realm chooses PSTATE.DIT for itself, and must not choose it for the key of the platform.
        self.cpu.machine.begin_independent_timing();
        match token.step(monitor.attestation) {
            Progress::Working => TokenStep::Working,
            Progress::Ready => TokenStep::Ready,
            Progress::Failed => TokenStep::Failed,
            Progress::ToRequest | Progress::Requested => {
                // The granule of the token identifies the REC: no other REC has it.
                let cookie = self.head.aux_granule(0).as_u64();
                signature::step(&monitor.signatures, self.cpu.machine, cookie, &mut token)
            }
        }
    }

    fn interrupt_pending(&self) -> bool {
        self.cpu.machine.interrupt_pending()
    }

    fn token_write(&mut self, ipa: u64, size: u64) -> Result<TokenPiece, AccessError> {
        let attestation = self.cpu.monitor.attestation;
        let mut token = self.token.token();
        let size = usize::try_from(size)
            .unwrap_or(GRANULE_SIZE)
            .min(GRANULE_SIZE);
        let piece = token.piece(attestation, size);
        write_realm(self.cpu, self.head, Ipa(ipa), &piece.parts)?;
        let len = piece.size;
        Ok(if token.deliver(attestation, len) {
            TokenPiece::Last { len: len as u64 }
        } else {
            TokenPiece::More
        })
    }
}

/// Locks the Granule of Realm memory that holds `ipa`.
fn granule<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    head: &RecHead,
    ipa: Ipa,
) -> Result<RealmGranule<'a>, AccessError> {
    let start =
        rmm_rtt::start_rtt(&head.stage2, cpu.granules(), ipa).ok_or(AccessError::NotMapped {
            level: head.stage2.start_level,
        })?;
    rmm_rtt::lock_realm_granule(start, cpu.machine).map_err(
        |NotMapped { level, ripas }| match ripas {
            Some(Ripas::Empty) => AccessError::Empty { level },
            _ => AccessError::NotMapped { level },
        },
    )
}

/// Copies Realm memory from `ipa` on, within one Granule, into the parts.
pub fn read_realm<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    ipa: Ipa,
    parts: &mut [&mut [u8]],
) -> Result<(), AccessError> {
    let granule = granule(cpu, head, ipa)?;
    let mut offset = ipa.granule_offset();
    for part in parts {
        granule.read(cpu.machine, offset, part);
        offset += part.len();
    }
    Ok(())
}

/// Copies the parts to Realm memory from `ipa` on, within one Granule.
fn write_realm<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    ipa: Ipa,
    parts: &[&[u8]],
) -> Result<(), AccessError> {
    let granule = granule(cpu, head, ipa)?;
    let mut offset = ipa.granule_offset();
    for part in parts {
        granule.write(cpu.machine, offset, part);
        offset += part.len();
    }
    Ok(())
}
