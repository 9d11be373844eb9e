// SPDX-License-Identifier: BSD-3-Clause
//! An emulated GICv3: distributor, a redistributor for each vCPU, and the list registers that
//! bring interrupts to the Realm. One security state, group 1 only, no LPIs, no ITS.
//!
//! An interrupt is pending by its latch (an edge) or its line (a level). [`Gic::load`] puts what is
//! pending into list registers before an entry; [`Gic::unload`] takes it back after the exit, but
//! for interrupts that the Realm has acknowledged and not yet ended: those keep their register.

use rmm_abi::rmi::MAX_GIC_LRS;

/// vCPUs.
pub const CPUS: usize = 2;
/// INTIDs of each bank: 0 to 31 of each vCPU, 32 to 63 shared by all.
const BANK: u32 = 32;

/// Bits of a list register (Arm ARM, `ICH_LR<n>_EL2`).
mod lr {
    pub const PENDING: u64 = 1 << 62;
    pub const ACTIVE: u64 = 1 << 63;
    pub const GROUP1: u64 = 1 << 60;
    pub const PRIORITY_SHIFT: u32 = 48;
    /// The end of the interrupt raises a maintenance interrupt, so that the Host looks at the line
    /// again.
    pub const EOI: u64 = 1 << 41;

    /// INTID. The state may be invalid.
    pub const fn intid(lr: u64) -> u32 {
        lr as u32
    }
}

/// ICH_HCR_EL2.UIE: an exit when at most one list register is in use.
const UIE: u64 = 1 << 1;

/// Distributor registers; from IGROUPR to ICFGR a redistributor has them for INTIDs 0 to 31.
mod offset {
    pub const CTLR: u64 = 0x0;
    pub const TYPER: u64 = 0x4;
    pub const IIDR: u64 = 0x8;
    pub const IGROUPR: u64 = 0x80;
    pub const ISENABLER: u64 = 0x100;
    pub const ICENABLER: u64 = 0x180;
    pub const ISPENDR: u64 = 0x200;
    pub const ICPENDR: u64 = 0x280;
    pub const ISACTIVER: u64 = 0x300;
    pub const ICACTIVER: u64 = 0x380;
    pub const IPRIORITYR: u64 = 0x400;
    pub const ICFGR: u64 = 0xC00;
    pub const IROUTER: u64 = 0x6000;
    pub const PIDR2: u64 = 0xFFE8;
    /// Redistributor only; TYPER is at 8 there.
    pub const GICR_TYPER: u64 = 0x8;
    pub const GICR_WAKER: u64 = 0x14;
    /// The frame of a redistributor that has the registers of SGIs and PPIs.
    pub const SGI_BASE: u64 = 0x1_0000;
}

/// PIDR2: GICv3.
const ARCH_REV: u64 = 0x30;
/// GICD_IIDR, GICR_IIDR: Arm.
const IIDR: u64 = 0x43B;
/// GICD_CTLR: DS, ARE; EnableGrp1 is what the Realm writes.
const CTLR_FIXED: u64 = 1 << 6 | 1 << 4;
const CTLR_ENABLE: u64 = 1 << 1;
/// GICD_TYPER: ten bits of INTID, 64 INTIDs.
const GICD_TYPER: u64 = 9 << 19 | 1;
/// GICR_WAKER: ProcessorSleep, which ChildrenAsleep follows.
const SLEEP: u64 = 1 << 1;

/// 32 interrupts.
#[derive(Clone, Copy)]
struct Bank {
    enabled: u32,
    latch: u32,
    line: u32,
    /// In a list register.
    held: u32,
    priority: [u8; BANK as usize],
    /// ICFGR: two bits each, of which the upper one means an edge.
    config: [u32; 2],
}

impl Bank {
    const fn new(config: [u32; 2]) -> Self {
        Self {
            enabled: 0,
            latch: 0,
            line: 0,
            held: 0,
            priority: [0; BANK as usize],
            config,
        }
    }

    fn is_edge(&self, n: u32) -> bool {
        self.config[(n / 16) as usize] >> (n % 16 * 2 + 1) & 1 != 0
    }

    /// What is to be delivered and not yet in a list register.
    fn deliverable(&self) -> u32 {
        (self.latch | self.line) & self.enabled & !self.held
    }

    /// A register between IGROUPR and ICFGR, for these 32 interrupts: `at` is its offset from the
    /// first one of its kind.
    fn read(&self, kind: u64, at: u64, bytes: u64) -> u64 {
        u64::from(match kind {
            offset::IGROUPR => u32::MAX,
            offset::ISENABLER | offset::ICENABLER => self.enabled,
            offset::ISPENDR | offset::ICPENDR => self.latch | self.line,
            offset::ISACTIVER | offset::ICACTIVER => self.held,
            offset::ICFGR => self.config[(at / 4 % 2) as usize],
            offset::IPRIORITYR => {
                let at = at as usize;
                let found = self.priority.get(at..at + bytes as usize);
                let bytes = found.unwrap_or(&[]).iter().rev();
                bytes.fold(0, |word, byte| word << 8 | u32::from(*byte))
            }
            _ => 0,
        })
    }

    fn write(&mut self, kind: u64, at: u64, bytes: u64, value: u64) {
        let word = value as u32;
        match kind {
            offset::ISENABLER => self.enabled |= word,
            offset::ICENABLER => self.enabled &= !word,
            offset::ISPENDR => self.latch |= word,
            offset::ICPENDR => self.latch &= !word,
            offset::ICFGR => self.config[(at / 4 % 2) as usize] = word,
            offset::IPRIORITYR => {
                let at = at as usize;
                let slots = self.priority.get_mut(at..at + bytes as usize);
                for (slot, byte) in slots.unwrap_or(&mut []).iter_mut().zip(value.to_le_bytes()) {
                    *slot = byte;
                }
            }
            // Groups are fixed; the Realm ends what it has acknowledged by its CPU interface.
            _ => {}
        }
    }
}

/// The kind of a banked register, the number of its bank, and the offset within the bank.
fn banked(at: u64) -> (u64, u64, u64) {
    match at {
        0x80..0x400 => (at & !0x7F, at % 0x80 / 4, 0),
        0x400..0x800 => (offset::IPRIORITYR, (at - 0x400) / 32, (at - 0x400) % 32),
        0xC00..0xD00 => (offset::ICFGR, (at - 0xC00) / 8, (at - 0xC00) % 8),
        _ => (0, 0, 0),
    }
}

/// A vCPU's part.
#[derive(Clone, Copy)]
struct Cpu {
    bank: Bank,
    waker: u64,
    lrs: [u64; MAX_GIC_LRS],
}

/// The interrupt controller.
pub struct Gic {
    enabled: bool,
    /// List registers that the monitor leaves to the Host.
    num_lrs: usize,
    cpus: [Cpu; CPUS],
    shared: Bank,
    /// IROUTER of INTIDs 32 to 63.
    routes: [u64; BANK as usize],
}

impl Gic {
    /// A controller after reset, with a number of list registers.
    pub const fn new(num_lrs: usize) -> Self {
        // SGIs are edges, PPIs levels.
        let cpu = Cpu {
            bank: Bank::new([0xAAAA_AAAA, 0]),
            waker: SLEEP,
            lrs: [0; MAX_GIC_LRS],
        };
        Self {
            enabled: false,
            num_lrs,
            cpus: [cpu; CPUS],
            shared: Bank::new([0, 0]),
            routes: [0; BANK as usize],
        }
    }

    /// A read of the distributor.
    pub fn read_distributor(&self, at: u64, bytes: u64) -> u64 {
        match at {
            offset::CTLR => CTLR_FIXED | if self.enabled { CTLR_ENABLE } else { 0 },
            offset::TYPER => GICD_TYPER,
            offset::IIDR => IIDR,
            offset::PIDR2 => ARCH_REV,
            offset::IROUTER.. => match self.route(at) {
                Some(n) => self.routes[n],
                None => 0,
            },
            _ => match banked(at) {
                (kind, 1, at) => self.shared.read(kind, at, bytes),
                _ => 0,
            },
        }
    }

    /// A write of the distributor.
    pub fn write_distributor(&mut self, at: u64, bytes: u64, value: u64) {
        match at {
            offset::CTLR => self.enabled = value & CTLR_ENABLE != 0,
            offset::IROUTER.. => {
                if let Some(n) = self.route(at) {
                    self.routes[n] = value;
                }
            }
            _ => {
                if let (kind, 1, at) = banked(at) {
                    self.shared.write(kind, at, bytes, value);
                }
            }
        }
    }

    /// Which shared interrupt an IROUTER belongs to.
    fn route(&self, at: u64) -> Option<usize> {
        let n = (at - offset::IROUTER) / 8;
        n.checked_sub(u64::from(BANK))
            .map(|n| n as usize)
            .filter(|n| *n < self.routes.len())
    }

    /// A read of the redistributors.
    pub fn read_redistributor(&self, at: u64, bytes: u64, cpus: u64) -> u64 {
        let (n, at) = (at / 0x2_0000, at % 0x2_0000);
        let Some(cpu) = self.cpus.get(n as usize) else {
            return 0;
        };
        match at {
            offset::TYPER => IIDR,
            // Affinity, number, whether it is the last one.
            offset::GICR_TYPER => n << 32 | n << 8 | u64::from(n + 1 == cpus) << 4,
            0xC => n,
            offset::GICR_WAKER => cpu.waker | cpu.waker << 1,
            offset::PIDR2 => ARCH_REV,
            offset::SGI_BASE.. => match banked(at - offset::SGI_BASE) {
                (kind, 0, at) => cpu.bank.read(kind, at, bytes),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// A write of the redistributors.
    pub fn write_redistributor(&mut self, at: u64, bytes: u64, value: u64) {
        let (n, at) = (at / 0x2_0000, at % 0x2_0000);
        let Some(cpu) = self.cpus.get_mut(n as usize) else {
            return;
        };
        match at {
            offset::GICR_WAKER => cpu.waker = value & SLEEP,
            offset::SGI_BASE.. => {
                if let (kind, 0, at) = banked(at - offset::SGI_BASE) {
                    cpu.bank.write(kind, at, bytes, value);
                }
            }
            _ => {}
        }
    }

    /// A write of ICC_SGI1R_EL1 by a vCPU. Returns the vCPUs, as bits, that get the interrupt.
    pub fn send_sgi(&mut self, from: usize, value: u64) -> u32 {
        const IRM: u64 = 1 << 40;
        const AFFINITY: u64 = 0x00FF_00FF_00FF_0000;
        let targets = if value & IRM != 0 {
            !(1 << from)
        } else if value & AFFINITY == 0 {
            value & 0xFFFF
        } else {
            0
        };
        let targets = targets as u32 & ((1 << CPUS) - 1);
        let intid = value >> 24 & 0xF;
        for (n, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.bank.latch |= (targets >> n & 1) << intid;
        }
        targets
    }

    /// Sets the line of a private interrupt of a vCPU.
    pub fn set_private(&mut self, cpu: usize, intid: u32, level: bool) {
        let line = &mut self.cpus[cpu].bank.line;
        *line = *line & !(1 << intid) | u32::from(level) << intid;
    }

    /// Sets the line of a shared interrupt.
    pub fn set_shared(&mut self, intid: u32, level: bool) {
        let n = intid - BANK;
        self.shared.line = self.shared.line & !(1 << n) | u32::from(level) << n;
    }

    /// Whether a vCPU has to leave the Realm for an interrupt that is not in its list registers.
    pub fn wants(&self, cpu: usize) -> bool {
        self.enabled && (self.cpus[cpu].bank.deliverable() | self.shared_for(cpu)) != 0
    }

    /// The shared interrupts to be delivered to a vCPU.
    fn shared_for(&self, cpu: usize) -> u32 {
        // Nearly always nothing.
        let mut mask = self.shared.deliverable();
        for n in 0..BANK {
            if mask >> n & 1 != 0 && self.routes[n as usize] & 0xFF_FFFF != cpu as u64 {
                mask &= !(1 << n);
            }
        }
        mask
    }

    /// The list registers of a vCPU for its next entry, and what else of ICH_HCR_EL2.
    pub fn load(&mut self, cpu: usize) -> ([u64; MAX_GIC_LRS], u64) {
        if !self.enabled {
            return (self.cpus[cpu].lrs, 0);
        }
        self.load_again(cpu);
        let mut private = self.cpus[cpu].bank.deliverable();
        let mut shared = self.shared_for(cpu);
        while private | shared != 0 {
            let Some(slot) = self.free_slot(cpu) else {
                return (self.cpus[cpu].lrs, UIE);
            };
            let entry = if private != 0 {
                let n = private.trailing_zeros();
                private &= private - 1;
                take(&mut self.cpus[cpu].bank, n, n)
            } else {
                let n = shared.trailing_zeros();
                shared &= shared - 1;
                take(&mut self.shared, n, n + BANK)
            };
            self.cpus[cpu].lrs[slot] = entry;
        }
        (self.cpus[cpu].lrs, 0)
    }

    /// Edges of interrupts that are active: pending and active at once.
    fn load_again(&mut self, cpu: usize) {
        let cpu = &mut self.cpus[cpu];
        for entry in cpu.lrs.iter_mut().filter(|entry| **entry & lr::ACTIVE != 0) {
            let intid = lr::intid(*entry);
            if let Some(bank) = bank_of(&mut cpu.bank, &mut self.shared, intid) {
                let bit = 1 << (intid % BANK);
                if bank.latch & bank.enabled & bit != 0 && bank.is_edge(intid % BANK) {
                    bank.latch &= !bit;
                    *entry |= lr::PENDING;
                }
            }
        }
    }

    fn free_slot(&self, cpu: usize) -> Option<usize> {
        let lrs = &self.cpus[cpu].lrs[..self.num_lrs];
        lrs.iter()
            .position(|entry| entry & (lr::PENDING | lr::ACTIVE) == 0)
    }

    /// Takes back the list registers of a vCPU after an exit.
    pub fn unload(&mut self, cpu: usize, lrs: &[u64; MAX_GIC_LRS]) {
        let cpu = &mut self.cpus[cpu];
        cpu.bank.held = 0;
        for (slot, after) in cpu.lrs.iter_mut().zip(lrs) {
            let before = core::mem::take(slot);
            if before & (lr::PENDING | lr::ACTIVE) == 0 {
                continue;
            }
            let intid = lr::intid(before);
            let Some(bank) = bank_of(&mut cpu.bank, &mut self.shared, intid) else {
                continue;
            };
            let (n, bit) = (intid % BANK, 1 << (intid % BANK));
            bank.held &= !bit;
            if after & lr::PENDING != 0 && bank.is_edge(n) {
                bank.latch |= bit;
            }
            if after & lr::ACTIVE != 0 {
                bank.held |= bit;
                *slot = after & !lr::PENDING;
            }
        }
    }
}

/// The bank of an INTID.
fn bank_of<'a>(private: &'a mut Bank, shared: &'a mut Bank, intid: u32) -> Option<&'a mut Bank> {
    match intid / BANK {
        0 => Some(private),
        1 => Some(shared),
        _ => None,
    }
}

/// Takes an interrupt out of a bank into a list register.
fn take(bank: &mut Bank, n: u32, intid: u32) -> u64 {
    bank.held |= 1 << n;
    // Five bits of priority are what every implementation has.
    let priority = u64::from(bank.priority[n as usize] & 0xF8);
    let entry = lr::PENDING | lr::GROUP1 | priority << lr::PRIORITY_SHIFT | u64::from(intid);
    if bank.is_edge(n) {
        bank.latch &= !(1 << n);
        entry
    } else {
        entry | lr::EOI
    }
}
