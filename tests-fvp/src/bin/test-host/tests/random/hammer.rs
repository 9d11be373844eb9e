// SPDX-License-Identifier: BSD-3-Clause
//! What a CPU of the Host does to a Realm of random code: enters its RECs, and changes tables, granules and
//! interrupts under them.

use super::Dice;
use super::counts::Counts;
use super::places::{FEW, MEMORY, PAGES, SECOND, literal, page};
use super::witness::Witness;
use crate::arch::{self, ticks, try_write};
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::pool::{self, GRANULE};
use crate::rec::{Rec, check_exit, describe, enter, exit_record};
use crate::{board, cpus, gic, rmi};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use rmm_abi::rmi::{
    RMI_ERROR_INPUT, RMI_ERROR_REALM, RMI_ERROR_REC, RMI_ERROR_RTT, RMI_SUCCESS, RecEnter,
    RecEnterFlags, RecExit, RecExitReason, status_code,
};
use spin::Mutex;
use tests_fvp::registers;

/// Steps of each CPU in a life: an entry of a REC or a command.
const STEPS: u64 = 250;
/// Entries of a REC in a row after which it is taken to do nothing new any more.
const IDLE: u32 = 12;
/// RECs of a Realm.
pub const RECS: usize = 3;
/// What both CPUs know of a life.
pub struct Life {
    pub rd: u64,
    pub half: u64,
    pub recs: Vec<u64>,
    /// Host memory that is mapped, delegated and undelegated meanwhile.
    pub shared: [u64; FEW as usize],
    pub list_registers: usize,
    pub counts: Arc<Counts>,
    pub witness: Arc<Mutex<Witness>>,
    /// Ends the life: it has failed.
    pub over: AtomicBool,
}

/// One CPU's part in a life.
pub struct Hammer<'a> {
    pub life: &'a Life,
    pub dice: Dice,
    pub spare: Vec<u64>,
    pub recs: Vec<Rec>,
    /// The REC that this CPU enters most.
    pub own: usize,
    /// The last exit of each REC here.
    pub exits: Vec<Option<RecExit>>,
    /// For each REC: entries in a row without anything new.
    pub idle: [u32; RECS],
}

impl Hammer<'_> {
    /// The steps of a life.
    pub fn run(&mut self) -> Check {
        for step in 0..STEPS {
            if self.life.over.load(Ordering::Relaxed) || self.idle.iter().all(|idle| *idle > IDLE) {
                break;
            }
            if self.idle[self.own] > IDLE {
                self.own = (self.own + 1) % RECS;
            }
            match self.dice.below(16) {
                0..9 => self.enter()?,
                9..13 => self.memory()?,
                13 => self.tables()?,
                14 => self.neighbour()?,
                _ => self.other()?,
            }
            if step % 64 == 63
                && let Some(mut witness) = self.life.witness.try_lock()
            {
                witness.check()?;
            }
        }
        Ok(())
    }

    /// One status of those that a command may have.
    fn expect(what: &str, status: u64, codes: &[u64]) -> Check<bool> {
        let code = status_code(status);
        ensure!(
            status <= 0xFFFF && (status == RMI_SUCCESS || codes.contains(&code)),
            "{what}: {}",
            rmi::name(status)
        );
        Ok(status == RMI_SUCCESS)
    }

    /// Enters a REC with whatever the Host may choose, and looks at the exit.
    fn enter(&mut self) -> Check {
        // Mostly one of its own: a REC that runs on the other CPU is refused.
        let n = match self.dice.below(4) {
            0 => self.dice.below(RECS),
            _ => self.own,
        };
        let with = self.entry(n);
        let checked = self.dice.below(8) == 0;
        let seed = self.dice.roll();
        if checked {
            registers::el1_set(seed);
            // SAFETY: the Host is built without floating point, which CPTR_EL2 does not trap.
            unsafe { registers::vectors_set(seed) };
        }
        gic::start_timer(ticks(1) / 16 * (1 + self.dice.roll() % 32));
        let answer = self.recs[n].try_enter(&with);
        gic::stop_timer();
        gic::taken();
        if checked {
            ensure_eq!(registers::el1_check(seed), 0, "EL1 registers of the Host");
            // SAFETY: as above.
            let different = unsafe { registers::vectors_check(seed) };
            ensure_eq!(different, 0, "vector registers of the Host");
        }
        let known = [RMI_ERROR_REC, RMI_ERROR_REALM];
        if !Self::expect("RMI_REC_ENTER", answer.status, &known)? {
            self.life.counts.refused(status_code(answer.status));
            self.idle[n] += 1;
            return self.complete(n);
        }
        let exit = self.recs[n].last_exit();
        let same = |last: &RecExit| {
            (last.exit_reason, last.esr, last.hpfar) == (exit.exit_reason, exit.esr, exit.hpfar)
        };
        match self.exits[n].as_ref().is_some_and(same) {
            true => self.idle[n] += 1,
            false => self.idle[n] = 0,
        }
        self.exit(n, &exit)
    }

    /// What a REC is entered with.
    fn entry(&mut self, n: usize) -> RecEnter {
        let dice = &mut self.dice;
        let mut with = enter();
        for gpr in &mut with.gprs {
            *gpr = literal(dice, self.life.half);
        }
        let last = self.exits[n].as_ref();
        // ESR_EL2.ISV: the Host can emulate the access.
        let emulatable = last.is_some_and(|exit| exit.esr >> 24 & 1 != 0);
        with.flags = match dice.below(16) {
            0..8 if emulatable => RecEnterFlags::EMUL_MMIO.bits(),
            8..10 => RecEnterFlags::INJECT_SEA.bits(),
            10..14 => dice.roll() & 0x1C,
            14 => dice.roll() & 0x1F,
            _ => 0,
        };
        with.gicv3_hcr = match dice.below(32) {
            0 => dice.roll(),
            1 => dice.roll() & 0xFE,
            _ => 0,
        };
        for lr in 0..self.life.list_registers {
            with.gicv3_lrs[lr] = match dice.below(32) {
                0..16 => last.map_or(0, |exit| exit.gicv3_lrs[lr]),
                16..20 => {
                    let intid = [16, 27, 30, 32, 700][dice.below(5)] + 64 * lr as u64;
                    let state = 1 + dice.roll() % 3;
                    state << 62 | 1 << 60 | (dice.roll() & 0xF8) << 48 | intid
                }
                20 if dice.below(4) == 0 => dice.roll() << 1,
                _ => 0,
            };
        }
        with
    }

    /// Checks that an exit shows what its reason shows, and does what a Host does about it.
    fn exit(&mut self, n: usize, exit: &RecExit) -> Check {
        let life = self.life;
        let Ok(reason) = RecExitReason::try_from(exit.exit_reason) else {
            fail!("exit reason {}", exit.exit_reason);
        };
        life.counts.exit(reason);
        match reason {
            RecExitReason::Irq | RecExitReason::Fiq => {
                let mut wanted = exit_record(reason);
                // Any exit of a Realm with a PMU reports an overflow.
                wanted.pmu_ovf_status = exit.pmu_ovf_status;
                check_exit(exit, &wanted)?;
            }
            // Results of a call go to the Host on purpose.
            RecExitReason::Psci | RecExitReason::HostCall => {}
            _ => ensure!(
                exit.gprs[1..] == [0; 30],
                "registers of a Realm: {:x?}, {}",
                exit.gprs,
                describe(exit)
            ),
        }
        self.exits[n] = Some(*exit);
        match reason {
            RecExitReason::Psci => self.complete(n)?,
            RecExitReason::RipasChange => {
                let mut base = exit.ripas_base;
                for _ in 0..self.dice.below(8) {
                    let answer = rmi::rtt_set_ripas(life.rd, life.recs[n], base, exit.ripas_top);
                    let known = [
                        RMI_ERROR_INPUT,
                        RMI_ERROR_RTT,
                        RMI_ERROR_REC,
                        RMI_ERROR_REALM,
                    ];
                    if !Self::expect("RMI_RTT_SET_RIPAS", answer.status, &known)? {
                        break;
                    }
                    base = answer.out[0];
                }
            }
            RecExitReason::Sync if exit.hpfar != 0 => self.provide(exit.hpfar << 8)?,
            _ => {}
        }
        Ok(())
    }

    /// Provides the memory that a Realm missed, more often than not.
    fn provide(&mut self, ipa: u64) -> Check {
        if self.dice.below(4) == 0 {
            return Ok(());
        }
        if ipa & self.life.half != 0 {
            return self.map(ipa);
        }
        self.create(ipa)
    }

    /// Completes a PSCI call of a REC, if it waits for that.
    fn complete(&mut self, n: usize) -> Check {
        let target = self.dice.below(RECS);
        // SUCCESS, DENIED, and what is neither.
        let status = [0, 0, (-3i64).cast_unsigned(), self.dice.roll()][self.dice.below(4)];
        let answer = rmi::psci_complete(self.life.recs[n], self.life.recs[target], status);
        Self::expect("RMI_PSCI_COMPLETE", answer.status, &[RMI_ERROR_INPUT]).map(drop)
    }

    /// A Protected address at which pages come and go.
    fn place(&mut self) -> u64 {
        match self.dice.below(64) {
            // Code or tables: seldom much happens in the Realm after that.
            0 => page(self.dice.roll() % PAGES),
            1..16 => SECOND + self.dice.roll() % FEW * GRANULE,
            _ => page(MEMORY + 6 + self.dice.roll() % 8),
        }
    }

    /// A page is created or destroyed, or one of the Host mapped or unmapped.
    fn memory(&mut self) -> Check {
        let ipa = self.place();
        let shared = self.life.half + self.dice.roll() % FEW * GRANULE;
        match self.dice.below(6) {
            0 | 1 => self.create(ipa),
            // RIPAS is DESTROYED then, which often ends what a REC does.
            2 => {
                let answer = rmi::data_destroy(self.life.rd, ipa);
                if Self::expect("RMI_DATA_DESTROY", answer.status, &[RMI_ERROR_RTT])? {
                    self.returned(answer.out[0])?;
                }
                Ok(())
            }
            3 | 4 => self.map(shared),
            _ => {
                let answer = rmi::rtt_unmap_unprotected(self.life.rd, shared, 3);
                Self::expect("RMI_RTT_UNMAP_UNPROTECTED", answer.status, &[RMI_ERROR_RTT])?;
                Ok(())
            }
        }
    }

    fn create(&mut self, ipa: u64) -> Check {
        let Some(data) = self.spare.pop() else {
            return Ok(());
        };
        let answer = rmi::data_create_unknown(self.life.rd, data, ipa);
        if answer.status != RMI_SUCCESS {
            self.spare.push(data);
        }
        let known = [RMI_ERROR_INPUT, RMI_ERROR_RTT];
        Self::expect("RMI_DATA_CREATE_UNKNOWN", answer.status, &known).map(drop)
    }

    /// Maps a page of the Host, with any attributes.
    fn map(&mut self, ipa: u64) -> Check {
        let memory = self.life.shared[self.dice.below(self.life.shared.len())];
        let attributes = (self.dice.roll() & 3) << 6 | 7 << 2 & self.dice.roll();
        let ipa = ipa & !(GRANULE - 1);
        let answer = rmi::rtt_map_unprotected(self.life.rd, ipa, 3, memory | attributes);
        let known = [RMI_ERROR_INPUT, RMI_ERROR_RTT];
        Self::expect("RMI_RTT_MAP_UNPROTECTED", answer.status, &known).map(drop)
    }

    /// A table is created, folded or destroyed.
    fn tables(&mut self) -> Check {
        let rd = self.life.rd;
        let ipa = [SECOND, self.life.half][self.dice.below(2)];
        let known = [RMI_ERROR_INPUT, RMI_ERROR_RTT];
        match self.dice.below(4) {
            0 | 1 => {
                let Some(table) = self.spare.pop() else {
                    return Ok(());
                };
                let answer = rmi::rtt_create(rd, table, ipa, 3);
                if answer.status != RMI_SUCCESS {
                    self.spare.push(table);
                }
                Self::expect("RMI_RTT_CREATE", answer.status, &known)?;
            }
            2 => {
                let answer = rmi::rtt_fold(rd, ipa, 3);
                if Self::expect("RMI_RTT_FOLD", answer.status, &known)? {
                    self.returned(answer.out[0])?;
                }
            }
            _ => {
                let answer = rmi::rtt_destroy(rd, ipa, 3);
                if Self::expect("RMI_RTT_DESTROY", answer.status, &known)? {
                    self.returned(answer.out[0])?;
                }
            }
        }
        Ok(())
    }

    /// Takes a granule back that the Realm had. It is zero.
    fn returned(&mut self, granule: u64) -> Check {
        if self.dice.below(4) == 0 {
            rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
            pool::check_zero(granule)?;
            rmi::delegate(granule).ok("RMI_GRANULE_DELEGATE")?;
        }
        self.life.counts.returned();
        self.spare.push(granule);
        Ok(())
    }

    /// A granule of the Host, mapped or not, moves to Realm PAS or back, or is written.
    fn neighbour(&mut self) -> Check {
        let granule = self.life.shared[self.dice.below(self.life.shared.len())];
        match self.dice.below(4) {
            0 => {
                let answer = rmi::delegate(granule);
                Self::expect("RMI_GRANULE_DELEGATE", answer.status, &[RMI_ERROR_INPUT])?;
            }
            1 | 2 => {
                let answer = rmi::undelegate(granule);
                Self::expect("RMI_GRANULE_UNDELEGATE", answer.status, &[RMI_ERROR_INPUT])?;
            }
            _ => {
                let word = granule + ((self.dice.roll() % GRANULE) & !7);
                let value = self.dice.roll();
                // SAFETY: memory of the pool, to which no reference exists. It may fault.
                let written = unsafe { try_write(word, value) };
                if let Err(esr) = written {
                    ensure!(arch::is_gpf(esr), "write of {word:#x}: esr {esr:#x}");
                }
            }
        }
        Ok(())
    }

    /// What must be refused, or changes nothing, and an interrupt for the other CPU.
    fn other(&mut self) -> Check {
        let life = self.life;
        match self.dice.below(4) {
            0 => {
                rmi::realm_destroy(life.rd).realm("RMI_REALM_DESTROY of a Realm with RECs")?;
            }
            1 => {
                rmi::undelegate(life.recs[0]).input("RMI_GRANULE_UNDELEGATE of a REC")?;
            }
            2 => {
                let ipa = self.place();
                let answer = rmi::rtt_read_entry(life.rd, ipa, 3);
                Self::expect("RMI_RTT_READ_ENTRY", answer.status, &[])?;
            }
            _ if cpus::second().exists() => {
                gic::send_sgi([0, board::SECOND_CPU][self.dice.below(2)])
            }
            _ => {}
        }
        Ok(())
    }
}
