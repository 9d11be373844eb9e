// SPDX-License-Identifier: BSD-3-Clause
//! Accesses of a Realm to its memory, and their aborts.

use super::esr;
use super::realm_cpu::{After, RealmCpu, Taken};
use super::running::{FaultAddress, RunningRec};
use crate::machine::Exception;
use rmm_granule::fake::{FakeMemory, Fault, FaultKind};

/// A load or store of one general register.
#[derive(Clone, Copy, Debug)]
pub struct RealmAccess {
    ipa: u64,
    va: u64,
    bytes: u32,
    sign: bool,
    sixty_four: bool,
    register: usize,
    syndrome: bool,
    write: bool,
    resolves: bool,
}

/// Where scripts have their IPA space: VA of the IPA 0.
pub const LINEAR_MAP: u64 = 0xFFFF_0000_0000_0000;

impl RealmAccess {
    /// LDR X3 from this IPA, at its VA in the linear map.
    #[must_use]
    pub fn load(ipa: u64) -> Self {
        Self {
            ipa,
            va: LINEAR_MAP | ipa,
            bytes: 8,
            sign: false,
            sixty_four: true,
            register: 3,
            syndrome: true,
            write: false,
            resolves: true,
        }
    }

    /// STR X3 to this IPA, at its VA in the linear map.
    #[must_use]
    pub fn store(ipa: u64) -> Self {
        Self {
            write: true,
            ..Self::load(ipa)
        }
    }

    /// Moves 1, 2, 4 or 8 bytes.
    ///
    /// # Panics
    /// If it is another number.
    #[must_use]
    pub fn bytes(self, bytes: u32) -> Self {
        assert!(bytes.is_power_of_two() && bytes <= 8);
        Self { bytes, ..self }
    }

    /// Extends the sign (LDRSB and friends).
    #[must_use]
    pub fn signed(self) -> Self {
        Self { sign: true, ..self }
    }

    /// Moves a W register.
    #[must_use]
    pub fn w(self) -> Self {
        Self {
            sixty_four: false,
            ..self
        }
    }

    /// Moves this register; 31 is XZR.
    #[must_use]
    pub fn register(self, register: usize) -> Self {
        Self { register, ..self }
    }

    /// Is an instruction whose aborts have no syndrome, such as a pair or an exclusive.
    #[must_use]
    pub fn without_syndrome(self) -> Self {
        Self {
            syndrome: false,
            ..self
        }
    }

    /// Has a VA that stage 1 does not translate when the monitor asks first. Before the access is
    /// tried again, the translation is back.
    #[must_use]
    pub fn unresolved_at_first(self) -> Self {
        Self {
            resolves: false,
            ..self
        }
    }

    /// Has another VA.
    #[must_use]
    pub fn at(self, va: u64) -> Self {
        Self { va, ..self }
    }

    /// ISS of a Data Abort, without the fault status.
    #[must_use]
    pub fn iss(&self) -> u64 {
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        let sign_extend = flag(self.sign, 1 << 21);
        let register = (self.register as u64) << 16;
        let width = flag(self.sixty_four, esr::SF);
        let syndrome = esr::ISV | esr::sas(self.bytes) | sign_extend | register | width;
        flag(self.write, esr::WNR) | flag(self.syndrome, syndrome)
    }
}

/// Fault status of a stage 2 fault.
fn status(fault: Fault) -> u64 {
    let level = fault.level.into();
    match fault.kind {
        FaultKind::GranuleProtection => esr::GRANULE_PROTECTION,
        // An IPA beyond the input size is a translation fault too.
        FaultKind::Translation | FaultKind::AddressSize => esr::translation_fault(level),
        FaultKind::Permission => esr::permission_fault(level),
    }
}

/// `HPFAR_EL2` of a fault at this IPA.
fn hpfar(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

impl RealmCpu {
    /// LDR X3 from this IPA. Returns the value.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn read(&self, ipa: u64) -> Result<u64, Taken> {
        self.access(RealmAccess::load(ipa)).await?;
        Ok(self.gprs()[3])
    }

    /// STR X3 to this IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn write(&self, ipa: u64, value: u64) -> Result<(), Taken> {
        self.set(3, value);
        self.access(RealmAccess::store(ipa)).await
    }

    /// Writes Realm memory, 8 bytes at a time.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn write_bytes(&self, ipa: u64, bytes: &[u8]) -> Result<(), Taken> {
        for (n, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write(ipa + 8 * n as u64, u64::from_le_bytes(word))
                .await?;
        }
        Ok(())
    }

    /// Reads Realm memory, 8 bytes at a time.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn read_bytes(&self, ipa: u64, length: usize) -> Result<Vec<u8>, Taken> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let word = self.read(ipa + bytes.len() as u64).await?;
            bytes.extend(word.to_le_bytes());
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// A load or store, which is tried again until it is complete.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn access(&self, access: RealmAccess) -> Result<(), Taken> {
        let mut at = FaultAddress {
            va: access.va,
            ipa: access.ipa,
            resolves: access.resolves,
        };
        loop {
            let start = self.begin().await;
            let board = self.board();
            let result = self.running(|rec| try_access(&board.memory, rec, access));
            drop(board);
            let Err(fault) = result else {
                self.done();
                return Ok(());
            };
            let esr = esr::DATA_ABORT | esr::IL | access.iss() | status(fault);
            match self.abort(start, fault, esr, at).await {
                After::Done => return Ok(()),
                After::Again => at.resolves = true,
                After::Taken(taken) => return Err(taken),
            }
        }
    }

    /// Executes a NOP at this IPA and comes back.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn fetch(&self, ipa: u64) -> Result<(), Taken> {
        let back = self.begin().await;
        let va = LINEAR_MAP | ipa;
        self.context(|context| context.pc = va);
        let result = loop {
            let start = self.begin().await;
            let stage2 = self.running(|rec| rec.stage2);
            let Err(fault) = self.board().memory.realm_fetch(&stage2, ipa) else {
                break Ok(());
            };
            let esr = esr::INSTRUCTION_ABORT | esr::IL | status(fault);
            let at = FaultAddress {
                va,
                ipa,
                resolves: true,
            };
            match self.abort(start, fault, esr, at).await {
                After::Again => {}
                After::Done => panic!("a fetch was emulated"),
                After::Taken(taken) => break Err(taken),
            }
        };
        self.context(|context| context.pc = back + 4);
        result
    }

    /// A stage 2 abort, which is taken to the monitor; a granule protection fault is taken to EL1.
    async fn abort(&self, start: u64, fault: Fault, esr: u64, at: FaultAddress) -> After {
        let far = at.va;
        if fault.kind == FaultKind::GranuleProtection {
            self.running(|rec| {
                let (el1, context) = (&mut rec.registers.el1, &mut rec.context);
                // ESR_EL1 has no syndrome of the instruction: ISV is 0.
                el1.esr = (esr | esr::SAME_EL) & !(0x7FF << 14);
                (el1.far, el1.elr, el1.spsr) = (far, context.pc, context.pstate);
                context.pc = el1.vbar + 0x200;
                context.pstate = 0x3C5;
            });
        } else {
            self.running(|rec| rec.fault = Some(at));
            // HPFAR_EL2 is not valid for a permission fault.
            let hpfar = match fault.kind {
                FaultKind::Permission => 0x5A5A_5A50,
                _ => hpfar(at.ipa),
            };
            self.trap(Exception::Sync { esr, far, hpfar }).await;
        }
        self.after(start)
    }
}

/// Makes the access, unless stage 2 faults.
fn try_access(memory: &FakeMemory, rec: &mut RunningRec, access: RealmAccess) -> Result<(), Fault> {
    let length = access.bytes as usize;
    let register = rec.context.gprs.get_mut(access.register);
    if access.write {
        let value = register.map_or(0, |register| *register).to_le_bytes();
        return memory.realm_write(&rec.stage2, access.ipa, &value[..length]);
    }
    let mut bytes = [0; 8];
    memory.realm_read(&rec.stage2, access.ipa, &mut bytes[..length])?;
    let unused = 64 - 8 * access.bytes;
    let mut value = u64::from_le_bytes(bytes);
    if access.sign {
        value = ((value << unused).cast_signed() >> unused).cast_unsigned();
    }
    if !access.sixty_four {
        value &= 0xFFFF_FFFF;
    }
    if let Some(register) = register {
        *register = value;
    }
    Ok(())
}
