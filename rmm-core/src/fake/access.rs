// SPDX-License-Identifier: BSD-3-Clause
//! Accesses of a Realm to its memory, and the aborts they end in.

use super::guest::{After, IL, RealmCpu, Taken, ec};
use super::script::{Core, FaultAddress};
use crate::machine::Exception;
use rmm_granule::fake::{Fault, FaultKind};

/// A load or store of one register.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    ipa: u64,
    va: u64,
    sas: u32,
    sign: bool,
    sixty_four: bool,
    register: usize,
    syndrome: bool,
    write: bool,
    resolves: bool,
}

/// Bits from which a Realm's kernel addresses begin: what stage 1 adds to an IPA here.
pub(super) const VA: u64 = 0xFFFF_0000_0000_0000;

impl Access {
    /// LDR X3, at the IPA's address in the linear map.
    #[must_use]
    pub fn load(ipa: u64) -> Self {
        Self {
            ipa,
            va: VA | ipa,
            sas: 3,
            sign: false,
            sixty_four: true,
            register: 3,
            syndrome: true,
            write: false,
            resolves: true,
        }
    }

    /// STR X3, likewise.
    #[must_use]
    pub fn store(ipa: u64) -> Self {
        Self {
            write: true,
            ..Self::load(ipa)
        }
    }

    /// Of 1, 2, 4 or 8 bytes.
    #[must_use]
    pub fn bytes(self, bytes: u32) -> Self {
        assert!(bytes.is_power_of_two() && bytes <= 8);
        let sas = bytes.trailing_zeros();
        Self { sas, ..self }
    }

    /// Sign-extending (LDRSB and friends).
    #[must_use]
    pub fn signed(self) -> Self {
        Self { sign: true, ..self }
    }

    /// Of a W register.
    #[must_use]
    pub fn w(self) -> Self {
        Self {
            sixty_four: false,
            ..self
        }
    }

    /// Of register `register`; 31 is XZR.
    #[must_use]
    pub fn register(self, register: usize) -> Self {
        Self { register, ..self }
    }

    /// By an instruction that the CPU gives no syndrome for, such as a pair or an exclusive.
    #[must_use]
    pub fn without_syndrome(self) -> Self {
        Self {
            syndrome: false,
            ..self
        }
    }

    /// Which stage 1 does not translate any more when it is first asked about an abort.
    #[must_use]
    pub fn unresolved_at_first(self) -> Self {
        Self {
            resolves: false,
            ..self
        }
    }

    /// At another virtual address.
    #[must_use]
    pub fn at(self, va: u64) -> Self {
        Self { va, ..self }
    }

    /// ISS of a Data Abort, but for the fault status.
    #[must_use]
    pub fn iss(&self) -> u64 {
        let flag = |set: bool, bit: u32| u64::from(set) << bit;
        let syndrome = 1 << 24
            | u64::from(self.sas) << 22
            | flag(self.sign, 21)
            | (self.register as u64) << 16
            | flag(self.sixty_four, 15);
        flag(self.write, 6) | if self.syndrome { syndrome } else { 0 }
    }
}
/// Fault status of a stage 2 fault, as the CPU reports it.
fn status(fault: Fault) -> u64 {
    let base = match fault.kind {
        // Beyond the input size is a translation fault too.
        FaultKind::Translation | FaultKind::AddressSize => 0x04,
        FaultKind::Permission => 0x0C,
        FaultKind::GranuleProtection => return 0x28,
    };
    match u64::try_from(fault.level) {
        Ok(level) => base | level,
        Err(_) => 0x2B,
    }
}

/// `HPFAR_EL2` of a fault at an IPA.
fn hpfar(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

impl RealmCpu {
    /// LDR X3 from an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn read(&self, ipa: u64) -> Result<u64, Taken> {
        self.access(Access::load(ipa)).await?;
        Ok(self.gprs()[3])
    }

    /// STR X3 to an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn write(&self, ipa: u64, value: u64) -> Result<(), Taken> {
        self.set(3, value);
        self.access(Access::store(ipa)).await
    }

    /// Copies a structure's bytes to Realm memory, 8 at a time.
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

    /// Copies Realm memory, 8 bytes at a time.
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

    /// A load or store, tried until it is done.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn access(&self, access: Access) -> Result<(), Taken> {
        let mut at = FaultAddress {
            va: access.va,
            ipa: access.ipa,
            resolves: access.resolves,
        };
        loop {
            let start = self.begin().await;
            let Err(fault) = self.core(|core| try_access(core, access)) else {
                self.done();
                return Ok(());
            };
            let esr = ec::DATA_ABORT | IL | access.iss() | status(fault);
            match self.abort(start, fault, esr, at).await {
                After::Done => return Ok(()),
                After::Again => at.resolves = true,
                After::Taken(taken) => return Err(taken),
            }
        }
    }

    /// Executes a NOP at an IPA.
    ///
    /// # Errors
    /// The exception that the Realm took instead.
    pub async fn fetch(&self, ipa: u64) -> Result<(), Taken> {
        let home = self.begin().await;
        let va = VA | ipa;
        self.context(|context| context.pc = va);
        let result = loop {
            let start = self.begin().await;
            let fetched = self.core(|core| core.board.memory.realm_fetch(&core.stage2, ipa));
            let Err(fault) = fetched else {
                break Ok(());
            };
            let esr = ec::INSTRUCTION_ABORT | IL | status(fault);
            let at = FaultAddress {
                va,
                ipa,
                resolves: true,
            };
            match self.abort(start, fault, esr, at).await {
                After::Again => {}
                After::Done => panic!("a fetch cannot be emulated"),
                After::Taken(taken) => break Err(taken),
            }
        };
        self.context(|context| context.pc = home + 4);
        result
    }

    /// An abort of stage 2, taken to the monitor; a granule protection fault is the Realm's own.
    async fn abort(&self, start: u64, fault: Fault, esr: u64, at: FaultAddress) -> After {
        let far = at.va;
        if fault.kind == FaultKind::GranuleProtection {
            self.core(|core| {
                let (el1, context) = (&mut core.registers.el1, &mut core.context);
                // No syndrome at EL1.
                el1.esr = (esr | ec::SAME_EL) & !(0x7FF << 14);
                (el1.far, el1.elr, el1.spsr) = (far, context.pc, context.pstate);
                context.pc = el1.vbar + 0x200;
                context.pstate = 0x3C5;
            });
        } else {
            self.core(|core| core.fault = Some(at));
            // The register is not valid for a permission fault.
            let hpfar = match fault.kind {
                FaultKind::Permission => 0x5A5A_5A50,
                _ => hpfar(at.ipa),
            };
            self.trap(Exception::Sync { esr, far, hpfar }).await;
        }
        self.after(start)
    }
}

fn try_access(core: &mut Core, access: Access) -> Result<(), Fault> {
    let length = 1_usize << access.sas;
    let memory = &core.board.memory;
    let register = core.context.gprs.get_mut(access.register);
    if access.write {
        let value = register.map_or(0, |register| *register).to_le_bytes();
        return memory.realm_write(&core.stage2, access.ipa, &value[..length]);
    }
    let mut bytes = [0; 8];
    memory.realm_read(&core.stage2, access.ipa, &mut bytes[..length])?;
    let unused = 64 - 8 * (1_u32 << access.sas);
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
