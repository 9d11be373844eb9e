// SPDX-License-Identifier: BSD-3-Clause
//! The Realm: instructions of any kind, one after the other.

use super::calls::{Answers, Call, smc};
use super::realms::{Guest, PAGES, Realm, UNPROTECTED};
use super::system::Register;
use arbitrary::Arbitrary;
use rmm_core::fake::{Board, LINEAR_MAP, PAGE, RealmAccess, RealmCpu, Timer, TimerRegister, esr};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use zerocopy::IntoBytes;

/// Contents of the Realm's registers, from which the Host must not see a bit.
const SECRET: u64 = 0x5EC2_E75E_C2E7_0000;

/// One instruction of the Realm, or a few that go together.
#[derive(Arbitrary, Clone, Debug)]
pub enum Instruction {
    /// An exception of this class.
    Class {
        class: u8,
        iss: u32,
        far: u64,
        hpfar: Word,
    },
    /// An abort with this fault status, of which the other bits are given, too.
    Abort {
        fetch: bool,
        status: u8,
        iss: u32,
        far: u64,
        ipa: Word,
    },
    /// RSI or PSCI, with any arguments.
    AnyCall {
        psci: bool,
        function: u8,
        arguments: [Word; 4],
    },
    Call(Call),
    AlsoCall(Call),
    Access {
        ipa: Word,
        bytes: u8,
        store: bool,
        register: u8,
        kind: u8,
    },
    /// An access to what a Host may emulate.
    Device {
        page: u8,
        bytes: u8,
        store: bool,
        register: u8,
        kind: u8,
    },
    Fetch(Word),
    System {
        register: Register,
        target: u8,
        write: Option<u64>,
    },
    Timer {
        physical: bool,
        control: u8,
        ticks: i32,
    },
    ReadTimer(bool, u8),
    /// Registers that are the Realm's from its first use on.
    Lent(u8),
    Gic {
        vmcr: u64,
        lr: u64,
    },
    El1 {
        field: u8,
        value: u64,
    },
    State {
        pc: Option<u64>,
        pstate: Option<u32>,
    },
    /// An access beyond the IPA space, by way of tables in the Realm's memory.
    Stage1(Stage1),
    SError(u32),
    Irq,
    Fiq,
    Wait(bool, Option<u8>),
}

/// Tables of stage 1, and a VA.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Stage1 {
    /// Size of the VA range, granule, and other bits of `TCR_EL1`.
    size: u8,
    granule: u8,
    wide: bool,
    big_endian: bool,
    upper: bool,
    base: Word,
    /// The entry that the VA selects on each level: kind and output address.
    entries: [(u8, Word); 3],
    va: u64,
}

/// A value that may be an address.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Word {
    Ipa(u8),
    Near(u8, u16),
    Small(u8),
    Any(u64),
}

impl Word {
    pub fn value(self) -> u64 {
        const IPAS: [u64; 12] = [
            0,
            PAGE,
            2 * PAGE,
            3 * PAGE,
            4 * PAGE,
            1 << 21,
            1 << 30,
            (1 << 39) - PAGE,
            1 << 39,
            (1 << 39) + PAGE,
            (1 << 40) - PAGE,
            1 << 40,
        ];
        let ipa = |n: u8| IPAS[usize::from(n) % IPAS.len()];
        match self {
            Self::Ipa(n) => ipa(n),
            Self::Near(n, offset) => ipa(n).wrapping_add(offset.into()),
            Self::Small(value) => value.into(),
            Self::Any(value) => value,
        }
    }
}

/// What a REC does, and what it must find.
#[derive(Clone)]
pub struct Program(Arc<Mutex<State>>);

/// The Host and the script of a REC share it.
pub struct State {
    pub todo: VecDeque<Instruction>,
    pub answers: Answers,
    /// The granules at the first IPAs.
    pub memory: [Option<u64>; PAGES],
    /// X1 of the last call that may be a host call.
    pub host_call: Option<u64>,
    /// `RmiHashAlgorithm` of the Realm.
    pub hash: u8,
    has_sve: bool,
    board: Weak<Board>,
}

impl State {
    pub fn board(&self) -> Arc<Board> {
        self.board.upgrade().expect("a REC runs on a machine")
    }

    /// The granule at an IPA.
    pub fn page_at(&self, ipa: u64) -> Option<u64> {
        *self.memory.get(usize::try_from(ipa / PAGE).ok()?)?
    }
}

impl Program {
    pub fn new(guest: &Guest<'_>, two: bool, full: bool, hash: u8) -> Self {
        let board = match &guest.realm {
            Realm::V1(realm) => realm.host.board(),
            Realm::V2(realm) => realm.host.board(),
        };
        Self(Arc::new(Mutex::new(State {
            todo: VecDeque::new(),
            answers: Answers::default(),
            memory: *guest.memory.borrow(),
            host_call: None,
            hash,
            has_sve: full && !two,
            board: Arc::downgrade(board),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

/// Whether an instruction is in an exception handler, or right before one: where the Realm goes on would
/// not tell whether it took an exception.
fn is_at(vectors: u64, pc: u64) -> bool {
    pc.wrapping_sub(vectors.wrapping_sub(4)) < 0x804
}

/// Sets registers that no call names to secrets. Leaves the exception handlers: a program that faults
/// at a vector would fault there for ever.
fn conceal(cpu: &RealmCpu) {
    let vectors = cpu.el1(|el1| el1.vbar);
    cpu.context(|context| {
        if is_at(vectors, context.pc) {
            context.pc ^= 1 << 40;
        }
        for (n, register) in context.gprs.iter_mut().enumerate() {
            *register = SECRET | n as u64;
        }
    });
}

/// Runs what is in the program, and then waits for more.
pub async fn program(cpu: RealmCpu, program: Program) {
    loop {
        let next = program.lock().todo.pop_front();
        conceal(&cpu);
        match next {
            None | Some(Instruction::Irq) => cpu.irq().await,
            Some(instruction) => execute(&cpu, &program, instruction).await,
        }
    }
}

/// Without the syndromes that mean that an error has left the Realm: they end the monitor.
fn contained(esr: u64) -> u64 {
    let is_abort = matches!(esr >> 26 & 0x3F, 0x20 | 0x24);
    let is_external = matches!(esr & 0x3F, 0x10 | 0x12..=0x18 | 0x1A..=0x1F);
    if is_abort && is_external && matches!(esr >> 11 & 3, 1 | 2) {
        esr & !(3 << 11)
    } else {
        esr
    }
}

async fn execute(cpu: &RealmCpu, program: &Program, instruction: Instruction) {
    match instruction {
        Instruction::Class {
            class,
            iss,
            far,
            hpfar,
        } => {
            let esr = u64::from(class & 0x3F) << 26 | u64::from(iss) & 0x3FF_FFFF;
            cpu.raise(contained(esr), far, hpfar.value() >> 12 << 4)
                .await;
        }
        Instruction::Abort {
            fetch,
            status,
            iss,
            far,
            ipa,
        } => {
            let class = if fetch {
                esr::INSTRUCTION_ABORT
            } else {
                esr::DATA_ABORT
            };
            let esr = class | u64::from(iss) & 0x3FF_FFC0 | u64::from(status & 0x3F);
            // From AArch32, which no Realm has.
            let state = if status & 0x80 != 0 { 0x10 } else { 0 };
            cpu.context(|context| context.pstate |= state);
            cpu.raise(contained(esr), far, ipa.value() >> 12 << 4).await;
            cpu.context(|context| context.pstate &= !0x10);
        }
        Instruction::AnyCall {
            psci,
            function,
            arguments,
        } => {
            let base = if psci { 0xC400_0000 } else { 0xC400_0190 };
            let function = base + u64::from(function % 0x20);
            let [a, b, c, d] = arguments.map(Word::value);
            program.lock().host_call = Some(a);
            let _results = smc(cpu, &[function, a, b, c, d]).await;
        }
        Instruction::Call(call) | Instruction::AlsoCall(call) => call.make(cpu, program).await,
        Instruction::Access {
            ipa,
            bytes,
            store,
            register,
            kind,
        } => {
            access(
                cpu,
                program,
                ipa,
                1 << (bytes % 4),
                store,
                usize::from(register % 32),
                kind,
            )
            .await
        }
        Instruction::Device {
            page,
            bytes,
            store,
            register,
            kind,
        } => {
            let ipa = Word::Any(UNPROTECTED + (u64::from(page % 4) + 1) * PAGE);
            let (bytes, register) = (1 << (bytes % 4), usize::from(register % 32));
            access(cpu, program, ipa, bytes, store, register, kind).await;
        }
        Instruction::Fetch(ipa) => {
            leave_tables(cpu);
            let ipa = ipa.value() & (1 << 52) - 4;
            if !is_at(cpu.el1(|el1| el1.vbar), LINEAR_MAP | ipa) {
                let _taken = cpu.fetch(ipa).await;
            }
        }
        Instruction::System {
            register,
            target,
            write,
        } => {
            if let Some(value) = write
                && let target @ 0..31 = target % 32
            {
                cpu.set(target.into(), value);
            }
            let direction = u64::from(write.is_none());
            let iss = register.iss() | u64::from(target % 32) << 5 | direction;
            cpu.raise(esr::SYSREG | esr::IL | iss, 0, 0).await;
        }
        other => execute_other(cpu, program, other).await,
    }
}

async fn execute_other(cpu: &RealmCpu, program: &Program, instruction: Instruction) {
    let timer = |physical| {
        if physical {
            Timer::Physical
        } else {
            Timer::Virtual
        }
    };
    match instruction {
        Instruction::Timer {
            physical,
            control,
            ticks,
        } => {
            let due = cpu.now().wrapping_add_signed(ticks.into());
            cpu.set_timer(timer(physical), u64::from(control & 3), due)
                .await;
        }
        Instruction::ReadTimer(physical, register) => {
            let register = [TimerRegister::Tval, TimerRegister::Ctl, TimerRegister::Cval]
                [usize::from(register % 3)];
            let _value = cpu.read_timer(timer(physical), register).await;
        }
        Instruction::Lent(which) => {
            let has_sve = program.lock().has_sve;
            let _taken = match which % 3 {
                0 if has_sve => {
                    let fill = cpu.sve(|z, sve| {
                        z[0].0.fill(7);
                        sve.p.fill(7);
                    });
                    fill.await
                }
                0 => cpu.simd(|_| ()).await,
                1 => cpu.debug(|debug| debug.as_mut_bytes().fill(which)).await,
                // Enabled, and with overflows.
                _ => cpu.pmu(|pmu| pmu.as_mut_bytes().fill(which)).await,
            };
        }
        Instruction::Gic { vmcr, lr } => cpu.gic(|gic| (gic.vmcr, gic.lrs[0]) = (vmcr, lr)),
        Instruction::El1 { field, value } => cpu.el1(|el1| match field % 8 {
            0 => el1.sctlr = value,
            1 => el1.tcr = value,
            2 => el1.ttbr0 = value,
            3 => el1.ttbr1 = value,
            4 => el1.vbar = value & !0x7FF,
            5 => el1.mdscr = value,
            6 => el1.spsr = value,
            _ => el1.elr = value,
        }),
        Instruction::State { pc, pstate } => cpu.context(|context| {
            // Behind the last instruction of the address space there is none.
            context.pc = pc.map_or(context.pc, |pc| pc & !3 & !(1 << 63));
            // Flags, SS, PAN, BTYPE, DAIF; EL0t, EL1t or EL1h.
            let state = |bits| u64::from(bits) & 0xF060_0FC0 | [0, 4, 5][bits as usize % 3];
            context.pstate = pstate.map_or(context.pstate, state);
        }),
        Instruction::Stage1(tables) => walk(cpu, tables).await,
        Instruction::SError(iss) => {
            let iss = u64::from(iss) & 0x1FF_FFFF;
            // An uncontainable error ends the monitor: AET of an asynchronous one is none of these.
            let contained = [1, 2, 3, 6][iss as usize >> 10 & 3] << 10;
            let is_asynchronous = iss & (1 << 24 | 0x3F) == 0x11;
            let iss = if is_asynchronous {
                iss & !(7 << 10) | contained
            } else {
                iss
            };
            cpu.serror(esr::SERROR | iss).await;
        }
        Instruction::Fiq => cpu.fiq().await,
        Instruction::Wait(event, timeout) => {
            let timeout = timeout.map(|register| usize::from(register % 31));
            if event {
                cpu.wfe(timeout).await
            } else {
                cpu.wfi(timeout).await
            }
        }
        _ => cpu.irq().await,
    }
}

/// Turns stage 1 off: the address of an access is not that of the tables of [`walk`], and an access that
/// they contradict would be tried again for ever.
pub fn leave_tables(cpu: &RealmCpu) {
    cpu.el1(|el1| el1.sctlr &= !1);
}

/// A load or store. If the Host emulates a load, the register has the Host's value, cut and extended as
/// the instruction wants.
async fn access(
    cpu: &RealmCpu,
    program: &Program,
    ipa: Word,
    bytes: u32,
    store: bool,
    register: usize,
    kind: u8,
) {
    let ipa = ipa.value() & (1 << 52) - 1 & !(u64::from(bytes) - 1);
    let access = if store {
        RealmAccess::store(ipa)
    } else {
        RealmAccess::load(ipa)
    };
    let mut access = access.bytes(bytes).register(register);
    let [signed, narrow, hidden, moved] = [1, 2, 4, 8].map(|bit| kind & bit != 0);
    if signed {
        access = access.signed();
    }
    if narrow {
        access = access.w();
    }
    if hidden && kind & 0x30 == 0 {
        access = access.without_syndrome();
    }
    if moved && kind & 0x30 == 0 {
        access = access.unresolved_at_first();
    }
    leave_tables(cpu);
    program.lock().answers.emulated = None;
    let taken = cpu.access(access).await;
    let emulated = program.lock().answers.emulated.take();
    if let (Ok(()), Some(value), false, 0..31) = (taken, emulated, store, register) {
        let bits = 8 * bytes;
        let cut = u128::from(value) & ((1 << bits) - 1);
        let negative = signed && cut >> (bits - 1) & 1 != 0;
        let extended = if negative {
            cut | u128::MAX << bits
        } else {
            cut
        };
        let width = if narrow { 32 } else { 64 };
        let expected = extended & ((1 << width) - 1);
        assert_eq!(
            u128::from(cpu.gprs()[register]),
            expected,
            "{access:x?} of {value:#x}"
        );
    }
}

/// Writes tables of stage 1, and accesses a VA that they may translate to an address beyond the IPA
/// space.
async fn walk(cpu: &RealmCpu, tables: Stage1) {
    let Stage1 {
        size,
        granule,
        wide,
        big_endian,
        upper,
        base,
        entries,
        va,
    } = tables;
    // Mostly a table of 4 KiB with few levels.
    let tsz = u64::from(size % 40) + 12;
    let tg0 = [0, 0, 0, 1, 2, 3][usize::from(granule % 6)];
    let tg1 = [2, 2, 2, 3, 1, 0][usize::from(granule % 6)];
    let tcr = tsz | tsz << 16 | tg0 << 14 | tg1 << 30 | u64::from(wide) << 59;
    let base = base.value() & 0xFFFF_FFFF_F000;
    let mut table = base;
    let va = if upper {
        va | 0xFFF << 52
    } else {
        va & !(0xFFF << 52)
    };
    // The index of each level of a table of 4 KiB whose start level has as many entries as any.
    let input = 64 - tsz;
    let levels = (input.saturating_sub(12)).div_ceil(9).clamp(1, 5);
    for (n, (kind, output)) in (0..levels).zip(entries) {
        let shift = 12 + 9 * (levels - 1 - n);
        let bits = if n == 0 {
            input.saturating_sub(shift).clamp(1, 9)
        } else {
            9
        };
        let index = va >> shift & ((1 << bits) - 1);
        let output = output.value() & 0xFFFF_FFFF_F000;
        let descriptor = output | [3, 3, 3, 1, 0, 2][usize::from(kind % 6)];
        let descriptor = if big_endian {
            descriptor.swap_bytes()
        } else {
            descriptor
        };
        if table < PAGES as u64 * PAGE {
            leave_tables(cpu);
            let _taken = cpu.write(table + 8 * index, descriptor).await;
        }
        table = output;
    }
    cpu.el1(|el1| {
        el1.sctlr = 1 | u64::from(big_endian) << 25;
        (el1.tcr, el1.ttbr0, el1.ttbr1) = (tcr, base, base);
    });
    // A translation fault of stage 2 at an IPA beyond the Realm's.
    let esr = esr::DATA_ABORT | esr::IL | esr::translation_fault(0);
    cpu.raise(esr, va, 1 << 44 >> 12 << 4).await;
}
