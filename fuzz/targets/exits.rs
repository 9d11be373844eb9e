// SPDX-License-Identifier: BSD-3-Clause
//! What a hostile Realm does: any exception with any syndrome and addresses, any call, any EL1
//! state, while the Host enters with any record. The Host learns nothing from an exit record but
//! what the specification has in it.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rmm_abi::rmi::{RecEnter, RecExit, RecExitReason};
use rmm_core::fake::{
    Config, Host, PAGE, RealmAccess, RealmCpu, Status, TestRealm, Timer, describe_record, esr,
    features, full_features,
};
use rmm_granule::Bank;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Most entries of a run.
const ENTRIES: usize = 24;
/// Most instructions between two entries.
const INSTRUCTIONS: usize = 8;

/// Contents of the Realm's registers, from which the Host must not see a bit.
const SECRET: u64 = 0x5EC2_E75E_C2E7_0000;

/// The fields of an entry record that the monitor reads, and a few that it must not read.
#[derive(Arbitrary, Clone, Debug)]
struct Entry {
    rec: bool,
    flags: u8,
    gprs: [u64; 4],
    hcr: Field,
    lrs: [Field; 2],
    instructions: Vec<Instruction>,
    answer: Answer,
}

/// A value that mostly is zero.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Field {
    Zero,
    AlsoZero,
    Bit(u8),
    Any(u64),
}

impl Field {
    fn value(self) -> u64 {
        match self {
            Self::Zero | Self::AlsoZero => 0,
            Self::Bit(bit) => 1 << (bit % 64),
            Self::Any(value) => value,
        }
    }
}

/// What the Host does after an exit.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Answer {
    None,
    /// Completes a PSCI request or a RIPAS change.
    Fit(i8),
    /// Asks with wrong arguments.
    Wrong(u64),
    /// Takes a page of the Realm's memory away.
    Destroy(u8),
    /// Gives the Realm a page.
    Data(u8),
}

/// One instruction of the Realm.
#[derive(Arbitrary, Clone, Debug)]
enum Instruction {
    Sync {
        esr: u64,
        far: u64,
        hpfar: u64,
    },
    /// An exception of this class.
    Class {
        class: u8,
        iss: u32,
        far: u64,
        hpfar: u32,
    },
    /// RSI or PSCI, with these arguments.
    Call {
        psci: bool,
        function: u8,
        arguments: [Word; 4],
    },
    Access {
        ipa: Word,
        bytes: u8,
        store: bool,
        register: u8,
    },
    Fetch(Word),
    System {
        register: [u8; 5],
        write: Option<u64>,
    },
    Timer {
        physical: bool,
        control: u8,
        ticks: i32,
    },
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
    SError(u32),
    Irq,
    Fiq,
    Wait(bool, Option<u8>),
}

/// A value that may be an address.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Word {
    Ipa(u8),
    Near(u8, u16),
    Small(u8),
    Any(u64),
}

impl Word {
    fn value(self) -> u64 {
        const IPAS: [u64; 8] = [
            0,
            PAGE,
            2 * PAGE,
            1 << 21,
            (1 << 39) - PAGE,
            1 << 39,
            (1 << 39) + PAGE,
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

type Program = Arc<Mutex<VecDeque<Instruction>>>;

/// Sets registers that no call names to secrets. Leaves the exception handlers: a program that faults
/// at a vector would fault there for ever.
fn conceal(cpu: &RealmCpu) {
    let vectors = cpu.el1(|el1| el1.vbar);
    cpu.context(|context| {
        if context.pc.wrapping_sub(vectors) < 0x800 {
            context.pc ^= 1 << 40;
        }
        for (n, register) in context.gprs.iter_mut().enumerate() {
            *register = SECRET | n as u64;
        }
    });
}

async fn program(cpu: RealmCpu, todo: Program) {
    loop {
        let next = todo.lock().expect("no panic").pop_front();
        conceal(&cpu);
        match next {
            None | Some(Instruction::Irq) => cpu.irq().await,
            Some(instruction) => execute(&cpu, instruction).await,
        }
    }
}

async fn execute(cpu: &RealmCpu, instruction: Instruction) {
    match instruction {
        Instruction::Sync { esr, far, hpfar } => cpu.raise(esr, far, hpfar).await,
        Instruction::Class {
            class,
            iss,
            far,
            hpfar,
        } => {
            let esr = u64::from(class & 0x3F) << 26 | u64::from(iss);
            cpu.raise(esr, far, u64::from(hpfar) << 4).await;
        }
        Instruction::Call {
            psci,
            function,
            arguments,
        } => {
            let base = if psci { 0xC400_0000 } else { 0xC400_0190 };
            let function = base + u64::from(function % 0x20);
            cpu.context(|context| {
                context.gprs[0] = function;
                for (to, word) in context.gprs[1..].iter_mut().zip(arguments) {
                    *to = word.value();
                }
            });
            cpu.raise(esr::SMC | esr::IL, 0, 0).await;
        }
        Instruction::Access {
            ipa,
            bytes,
            store,
            register,
        } => {
            let bytes = 1 << (bytes % 4);
            let ipa = ipa.value() & (1 << 52) - 1 & !(u64::from(bytes) - 1);
            let access = if store {
                RealmAccess::store(ipa)
            } else {
                RealmAccess::load(ipa)
            };
            let access = access.bytes(bytes).register(usize::from(register % 32));
            let _taken = cpu.access(access).await;
        }
        Instruction::Fetch(ipa) => {
            let _taken = cpu.fetch(ipa.value() & (1 << 52) - 4).await;
        }
        Instruction::System { register, write } => {
            let [op0, op1, crn, crm, op2] = register.map(u64::from);
            let register = [op0 & 3, op1 & 7, crn & 15, crm & 15, op2 & 7];
            let direction = u64::from(write.is_none());
            if let Some(value) = write {
                cpu.set(2, value);
            }
            let [op0, op1, crn, crm, op2] = register;
            let iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | 2 << 5 | crm << 1 | direction;
            cpu.raise(esr::SYSREG | esr::IL | iss, 0, 0).await;
        }
        Instruction::Timer {
            physical,
            control,
            ticks,
        } => {
            let timer = if physical {
                Timer::Physical
            } else {
                Timer::Virtual
            };
            let due = cpu.now().wrapping_add_signed(ticks.into());
            cpu.set_timer(timer, u64::from(control & 3), due).await;
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
        Instruction::Irq => cpu.irq().await,
        Instruction::Fiq => cpu.fiq().await,
        Instruction::Wait(event, timeout) => {
            let timeout = timeout.map(|register| usize::from(register % 31));
            if event {
                cpu.wfe(timeout).await
            } else {
                cpu.wfi(timeout).await
            }
        }
    }
}

/// Asserts that the record has nothing that its reason does not put there (A4.3).
fn check(exit: &RecExit) {
    let record = || describe_record(exit);
    let reason = [
        RecExitReason::Sync,
        RecExitReason::Irq,
        RecExitReason::Fiq,
        RecExitReason::Psci,
        RecExitReason::RipasChange,
        RecExitReason::HostCall,
        RecExitReason::SError,
    ]
    .into_iter()
    .find(|reason| *reason as u8 == exit.exit_reason);
    let reason = reason.unwrap_or_else(|| panic!("an unknown reason\n{}", record()));
    let shown = match reason {
        RecExitReason::Sync => 1,
        RecExitReason::Psci => 4,
        RecExitReason::HostCall => 31,
        _ => 0,
    };
    assert!(exit.gprs[shown..].iter().all(|x| *x == 0), "{}", record());
    if reason == RecExitReason::Sync {
        let class = exit.esr >> 26 & 0x3F;
        let (data_abort, valid, write) = (class == 0x24, exit.esr >> 24 & 1, exit.esr >> 6 & 1);
        // A value to store, one for a register of the GIC, the timeout of WFIT or WFET.
        let stores = data_abort && valid == 1 && write == 1;
        let shows = stores || class == 0x18 || class == 0x01 && exit.esr & 2 != 0;
        assert!(exit.gprs[0] == 0 || shows, "{}", record());
        assert!(data_abort && valid == 1 || exit.far == 0, "{}", record());
        assert_eq!(exit.far & !0xFFF, 0, "{}", record());
    } else {
        assert_eq!((exit.far, exit.hpfar), (0, 0), "{}", record());
    }
    if reason != RecExitReason::RipasChange {
        assert_eq!((exit.ripas_base, exit.ripas_top), (0, 0), "{}", record());
    }
}

fn answer(realm: &TestRealm<'_>, entry: &Entry, exit: &RecExit) {
    let (host, rec) = (realm.host, realm.rec_pa(usize::from(entry.rec)));
    match entry.answer {
        Answer::None => {}
        Answer::Fit(_) if exit.ripas_top > exit.ripas_base => {
            let (base, top) = (exit.ripas_base, exit.ripas_top);
            let _result = host.rtt_set_ripas(realm.rd, rec, base, top);
        }
        Answer::Fit(status) => {
            let target = realm.rec_pa(usize::from(exit.gprs[1] % 2 == 1));
            let _status = host.psci_complete(rec, target, status.into());
        }
        Answer::Wrong(value) => {
            let _result = host.rtt_set_ripas(realm.rd, rec, exit.ripas_base, value);
            let _status = host.psci_complete(rec, rec, value.cast_signed());
        }
        Answer::Destroy(n) => {
            let _result = host.data_destroy(realm.rd, u64::from(n % 4) * PAGE);
        }
        Answer::Data(n) => {
            let data = realm.granule();
            let _status = host.data_create_unknown(realm.rd, data, u64::from(n % 4) * PAGE);
        }
    }
}

fn fill(entry: &Entry, record: &mut RecEnter) {
    record.flags = entry.flags.into();
    record.gprs[..4].copy_from_slice(&entry.gprs);
    record.gicv3_hcr = entry.hcr.value();
    for (to, field) in record.gicv3_lrs.iter_mut().zip(entry.lrs) {
        *to = field.value();
    }
}

fuzz_target!(|run: (bool, Vec<Entry>)| {
    let (full, entries) = run;
    let host = Host::with(Config {
        dram: vec![Bank {
            base: 0x8000_0000,
            size: 2 << 20,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        features: if full { full_features() } else { features() },
        ..Config::default()
    });
    let realm = host.realm().with_page(2);
    realm.share(realm.unprotected(), host.page());
    realm.allow_unfinished_scripts();
    let programs: [Program; 2] = Default::default();
    for (rec, todo) in programs.iter().enumerate() {
        let todo = todo.clone();
        realm.script(rec, move |cpu| program(cpu, todo));
    }
    for entry in entries.iter().take(ENTRIES) {
        let rec = usize::from(entry.rec);
        let instructions = entry.instructions.iter().take(INSTRUCTIONS).cloned();
        programs[rec].lock().expect("no panic").extend(instructions);
        let (status, exit) = realm.try_enter(rec, |record| fill(entry, record));
        if status == Status::Success {
            check(&exit);
            answer(&realm, entry, &exit);
        }
    }
});
