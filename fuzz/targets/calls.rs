// SPDX-License-Identifier: BSD-3-Clause
//! RMI calls of both interfaces with any arguments: addresses of all kinds of granules, wrong ones, and
//! structures of any content, also while a REC runs on another CPU, which makes calls itself. Whatever
//! a Host asks, a call that fails changes nothing, and at the end everything can be destroyed and comes
//! back wiped.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rmm_abi::rmi::v2::{AddressRange, MemoryState, RMI_VERSION_2_0, fid as fid2};
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecParams, RecRun, fid, index_to_mpidr};
use rmm_core::fake::v2::{self, Host2};
use rmm_core::fake::{
    Config, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, RealmAccess, RealmCpu, Status, audit, esr, sweep,
};
use rmm_granule::Bank;
use rmm_granule::GranuleState::{Rd, Rec, Undelegated};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use zerocopy::{FromZeros, IntoBytes};

/// Most calls of a sequence.
const CALLS: usize = 48;
/// Most instructions of a REC between two entries.
const INSTRUCTIONS: usize = 6;
/// Realms and RECs that have a program.
const VMIDS: u16 = 4;
const RECS: u64 = 4;

/// The interface that the Host has asked for at first.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Dialect {
    /// EL3 permits 1.0 alone.
    Only1,
    /// It has not asked.
    Undecided,
    /// 2.0, with the RMM in state INIT.
    Init2,
    /// 2.0, with the RMM in state ACTIVE.
    Active2,
}

/// The commands that 2.0 alone has, and those of 1.0 whose arguments are others there.
const COMMANDS_2: [u64; 25] = [
    fid2::RMI_GRANULE_RANGE_DELEGATE,
    fid2::RMI_GRANULE_RANGE_UNDELEGATE,
    fid2::RMI_RTT_DATA_MAP,
    fid2::RMI_RTT_DATA_UNMAP,
    fid2::RMI_RTT_UNPROT_MAP,
    fid2::RMI_RTT_UNPROT_UNMAP,
    fid2::RMI_RTT_DATA_MAP_INIT,
    fid2::RMI_REALM_TERMINATE,
    fid2::RMI_GRANULE_TRACKING_GET,
    fid2::RMI_GPT_INFO,
    fid2::RMI_GPT_L1_CREATE,
    fid2::RMI_RMM_ACTIVATE,
    fid2::RMI_RMM_DEACTIVATE,
    fid2::RMI_RMM_CONFIG_SET,
    fid2::RMI_RMM_CONFIG_GET,
    fid2::RMI_RMM_STATE_GET,
    fid2::RMI_OP_CONTINUE,
    fid2::RMI_OP_CANCEL,
    fid2::RMI_OP_MEM_DONATE,
    fid2::RMI_OP_MEM_RECLAIM,
    fid2::RMI_PSCI_COMPLETE,
    fid2::RMI_RTT_SET_RIPAS,
    fid2::RMI_RTT_INIT_RIPAS,
    fid2::RMI_REC_CREATE,
    fid2::RMI_VERSION,
];

/// An argument of a call.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Argument {
    /// A page that the machine uses, and an offset that mostly is zero.
    Page(u8, Offset),
    /// An IPA at the boundary of an RTT, in one of the two halves.
    Ipa(u8, Offset),
    /// A level, a flag, a count.
    Small(i8),
    /// A descriptor for Host memory.
    Descriptor(u8, u16),
    Any(u64),
    /// Addresses of 2.0: a page, and the other fields.
    Addresses(u8, u16),
    /// Something from the last exit record.
    Exit(u8),
}

/// Distance from an aligned address.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Offset {
    None,
    AlsoNone,
    Bytes(u16),
    Bit(u8),
}

impl Offset {
    fn apply(self, address: u64) -> u64 {
        match self {
            Self::None | Self::AlsoNone => address,
            Self::Bytes(bytes) => address.wrapping_add(bytes.into()),
            Self::Bit(bit) => address ^ 1 << (bit % 64),
        }
    }
}

/// One step of a Host.
#[derive(Arbitrary, Clone, Debug)]
enum Step {
    /// The RMI command with this number, from 0xC4000150 on.
    Call(u8, [Argument; 5]),
    /// The same command for a granule and, if it succeeds, for the next ones.
    Each(bool, u8, u8),
    /// Writes a word of a page of Host memory.
    Write(u8, u16, u64),
    /// Fills in parameters for a Realm or a REC.
    Params(u8, Parameters),
    /// A command of 2.0.
    Call2(u8, [Argument; 5]),
    /// Delegates pages, and makes a Realm of 2.0 with tables, a page and a REC of them. Mostly
    /// activates it.
    Realm2(u8, u8),
    /// Activates or terminates the Realm whose RD is this page, or changes the mode.
    State(u8, u8),
    /// Enters the REC with this number, with a page for the record; what the REC does.
    Enter(u8, u8, Vec<Instruction>),
    /// Maps or unmaps a range by a command of 2.0.
    Range(Range),
    /// Asks for features, or what a range of memory is.
    Query(u8, u8, u8),
}

/// A range of IPAs for a command of 2.0.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Range {
    /// Maps or unmaps, Protected or Unprotected.
    what: u8,
    realm: u8,
    first: u8,
    count: u8,
    /// No output addresses, a single range or a list; length of the list.
    how: u8,
    /// The first page, and the page for the list.
    pages: [u8; 2],
    level: u8,
}

/// What a REC does.
#[derive(Arbitrary, Clone, Debug)]
enum Instruction {
    /// An SMC with this function number, of PSCI or RSI.
    Call(bool, u8, [Argument; 4]),
    /// Loads from an IPA, or stores to it.
    Access(bool, u8, Offset),
    /// Meanwhile a Host calls on another CPU: a command of 1.0 or of 2.0.
    Meanwhile(bool, u8, [Argument; 5]),
    Irq,
}

/// An instruction whose arguments are numbers.
enum Ready {
    Smc([u64; 5]),
    Access(bool, u64),
    Meanwhile(u64, [u64; 5]),
    Irq,
}

type Program = Arc<Mutex<VecDeque<Ready>>>;

/// Executes what the Host has chosen, one instruction after the other.
async fn program(cpu: RealmCpu, todo: Program) {
    loop {
        let next = todo.lock().expect("no panic").pop_front();
        match next {
            None | Some(Ready::Irq) => cpu.irq().await,
            Some(Ready::Smc(arguments)) => {
                cpu.context(|context| {
                    // Behind the last instruction of the address space there is none.
                    context.pc &= !(1 << 63);
                    context.gprs[..5].copy_from_slice(&arguments);
                });
                cpu.raise(esr::SMC | esr::IL, 0, 0).await;
            }
            Some(Ready::Access(store, ipa)) => {
                let access = if store {
                    RealmAccess::store(ipa)
                } else {
                    RealmAccess::load(ipa)
                };
                let _taken = cpu.access(access).await;
            }
            Some(Ready::Meanwhile(function, arguments)) => cpu.meanwhile(|host| {
                let _reply = host.call_unchecked(function, &arguments);
            }),
        }
    }
}

/// Parameters that a monitor may well accept.
#[derive(Arbitrary, Clone, Debug)]
enum Parameters {
    Realm {
        s2sz: u8,
        level: i8,
        start: u8,
        base: u8,
        vmid: u8,
        sha512: bool,
        flags: u8,
    },
    Rec {
        index: u8,
        runnable: bool,
        aux: [u8; 4],
    },
    Realm2 {
        s2sz: u8,
        level: i8,
        base: u8,
        flags: u8,
        sha512: bool,
    },
    Rec2 {
        index: u8,
        runnable: bool,
    },
}

const PAGES: usize = 40;

struct Machine {
    host: Host2,
    pages: Vec<u64>,
    todo: Program,
    exit: RefCell<[u64; 4]>,
}

impl Machine {
    /// A machine whose Host has some pages, of which a few are next to each other and aligned to
    /// any start level.
    fn new(dialect: Dialect) -> Self {
        let base = match dialect {
            Dialect::Only1 => Config::default(),
            _ => Config::v2(),
        };
        let config = Config {
            dram: vec![Bank {
                base: 0x8000_0000,
                size: 1 << 20,
            }],
            holes: Vec::new(),
            reserved: Vec::new(),
            ..base
        };
        let host = match dialect {
            Dialect::Only1 | Dialect::Undecided => Host2::of(Host::with(config)),
            Dialect::Init2 => Host2::before_activation(config),
            Dialect::Active2 => Host2::with(config),
        };
        let first = host.pages(16, 16 * PAGE);
        let mut pages: Vec<u64> = (0..16).map(|n| first + n * PAGE).collect();
        pages.extend((16..PAGES).map(|_| host.page()));
        let todo = Program::default();
        for vmid in 0..VMIDS {
            for index in 0..RECS {
                let todo = todo.clone();
                host.script(vmid, index, move |cpu| program(cpu, todo));
            }
        }
        Self {
            host,
            pages,
            todo,
            exit: RefCell::default(),
        }
    }

    fn page(&self, n: u8) -> u64 {
        self.pages[usize::from(n) % PAGES]
    }

    fn value(&self, argument: Argument) -> u64 {
        const IPAS: [u64; 12] = [
            0,
            PAGE,
            2 * MIB - PAGE,
            2 * MIB,
            GIB - PAGE,
            GIB,
            8 * GIB,
            512 * GIB,
            512 * GIB + PAGE,
            513 * GIB,
            1 << 31,
            1 << 40,
        ];
        let ipa = |n: u8| IPAS[usize::from(n) % IPAS.len()];
        match argument {
            Argument::Page(n, offset) => offset.apply(self.page(n)),
            Argument::Ipa(n, offset) => offset.apply(ipa(n)),
            Argument::Addresses(n, bits) => self.page(n) | u64::from(bits & 0x0FFF),
            Argument::Exit(n) => self.exit.borrow()[usize::from(n % 4)],
            Argument::Small(value) => i64::from(value).cast_unsigned(),
            Argument::Descriptor(n, bits) => {
                self.page(n) | NS_ATTRIBUTES ^ u64::from(bits & 0x0FC0)
            }
            Argument::Any(value) => value,
        }
    }

    fn call(&self, function: u64, arguments: [Argument; 5]) {
        let arguments = arguments.map(|argument| self.value(argument));
        if function == fid::RMI_REC_ENTER {
            self.enter(arguments[0], arguments[1]);
        } else {
            let _reply = self.host.call(function, &arguments);
        }
    }

    /// Enters a REC, and keeps some of the exit record.
    fn enter(&self, rec: u64, run: u64) {
        // It may fail after it has run the Realm, and then has changed something.
        let reply = self.host.call_unchecked(fid::RMI_REC_ENTER, &[rec, run]);
        if reply.status == Status::Success && self.host.state(run) == Undelegated {
            let RecRun { exit, .. } = self.host.get(run);
            *self.exit.borrow_mut() = [exit.ripas_base, exit.ripas_top, rec, exit.gprs[1]];
        }
    }

    fn ready(&self, instruction: &Instruction) -> Ready {
        match instruction {
            Instruction::Irq => Ready::Irq,
            Instruction::Call(psci, number, arguments) => {
                let base = if *psci { 0xC400_0000 } else { 0xC400_0190 };
                let [a, b, c, d] = arguments.map(|argument| self.value(argument));
                Ready::Smc([base + u64::from(number % 0x20), a, b, c, d])
            }
            Instruction::Access(store, n, offset) => {
                let ipa = self.value(Argument::Ipa(*n, *offset));
                Ready::Access(*store, ipa & (1 << 48) - 8)
            }
            Instruction::Meanwhile(two, number, arguments) => {
                let function = match numbered(*two, *number) {
                    // A second REC would take the instructions of the first.
                    fid::RMI_REC_ENTER => fid::RMI_REC_DESTROY,
                    function => function,
                };
                Ready::Meanwhile(function, arguments.map(|argument| self.value(argument)))
            }
        }
    }

    /// Makes the Realm of [`Step::Realm2`]: an RD, a start-level RTT, three more, a REC and a page.
    fn realm_2(&self, first: u8, activates: bool) {
        let [rd, start, one, two, three, rec, data] =
            std::array::from_fn(|n| self.pages[usize::from(first % 10) + n]);
        let _reply = self.host.granule_range_delegate(rd, data + PAGE);
        let params = self.pages[PAGES - 1];
        let mut realm = v2::realm_params();
        realm.rtt_base = start;
        self.write(params, 0, realm.as_bytes());
        let _status = self.host.realm_create(rd, params);
        for (level, rtt) in (1..).zip([one, two, three]) {
            let _status = self.host.rtt_create(rd, rtt, 0, level);
        }
        let _reply = self.host.rtt_init_ripas(rd, 0, 2 * MIB);
        self.write(params, 0, v2::rec_params(0, true).as_bytes());
        let _status = self.host.rec_create(rd, rec, params);
        let _status = self
            .host
            .rtt_data_map_init(rd, data, 0, self.pages[PAGES - 2], 0);
        if activates {
            let _status = self.host.realm_activate(rd);
        }
    }

    fn range(&self, range: Range) {
        let rds: Vec<u64> = self.host.board().granules_in(Rd).collect();
        let Some(rd) = rds.get(usize::from(range.realm) % rds.len().max(1)) else {
            return;
        };
        let maps = range.what & 1 == 0;
        let (function, state) = match range.what % 4 {
            0 => (fid2::RMI_RTT_DATA_MAP, MemoryState::Delegated),
            1 => (fid2::RMI_RTT_DATA_UNMAP, MemoryState::Delegated),
            2 => (fid2::RMI_RTT_UNPROT_MAP, MemoryState::Undelegated),
            _ => (fid2::RMI_RTT_UNPROT_UNMAP, MemoryState::Undelegated),
        };
        let is_protected = range.what & 2 == 0;
        let half = if is_protected { 0 } else { 512 * GIB };
        let base = half + u64::from(range.first % 16) * PAGE;
        let count = u64::from(range.count % 6);
        let level = if range.level < 0xE0 { 3 } else { 2 };
        let [first, list] = range.pages.map(|n| self.page(n));
        let blocks = |pa, count| AddressRange::new(pa, level, count, state).bits();
        if maps && is_protected {
            let _reply = self
                .host
                .granule_range_delegate(first, first + count * PAGE);
        }
        let length = u64::from(range.how >> 4);
        let (kind, oaddr) = match range.how % 3 {
            0 => (0, 0),
            1 => (1, if maps { blocks(first, count) } else { 0 }),
            _ => {
                let entries: Vec<u64> = (0..length).map(|n| blocks(first + n * PAGE, 1)).collect();
                if maps {
                    self.write(list, 0, entries.as_bytes());
                }
                (2 | length << 2, list)
            }
        };
        // Normal Write-Back, read and write.
        let attributes = if is_protected { 0 } else { 6 << 16 | 3 << 19 };
        let args = [*rd, base, base + count * PAGE, kind | attributes, oaddr];
        let _reply = self.host.call(function, &args);
    }

    fn query(&self, what: u8, a: u8, b: u8) {
        let (a, b) = (self.page(a), self.page(b));
        let [base, top] = if what & 0x80 == 0 {
            [a.min(b), a.max(b)]
        } else {
            [a, a << 1]
        };
        match what % 4 {
            0 => self.host.features(u64::from(what >> 2) % 4).1,
            1 => self.host.granule_tracking_get(base, top).1,
            2 => self.host.gpt_info(base, top).1,
            _ => self.host.rtt_read_entry(a, b, 3).1.desc,
        };
    }

    fn state(&self, page: u8, what: u8) {
        let rd = self.page(page);
        let _status = match what % 6 {
            0 | 1 => self.host.realm_activate(rd),
            2 => self.host.realm_terminate(rd),
            3 => self.host.rmm_activate(),
            4 => self.host.rmm_deactivate(),
            _ => {
                let version = if page & 1 == 0 {
                    RMI_VERSION_2_0
                } else {
                    0x1_0000
                };
                self.host.version(version).0
            }
        };
    }

    fn take(&self, step: &Step) {
        match step {
            Step::Call(number, arguments) => self.call(numbered(false, *number), *arguments),
            Step::Call2(number, arguments) => self.call(numbered(true, *number), *arguments),
            Step::Realm2(first, activates) => self.realm_2(*first, *activates != 0),
            Step::State(page, what) => self.state(*page, *what),
            Step::Enter(rec, run, instructions) => {
                let ready = instructions.iter().take(INSTRUCTIONS);
                let ready = ready.map(|instruction| self.ready(instruction));
                self.todo.lock().expect("no panic").extend(ready);
                let recs: Vec<u64> = self.host.board().granules_in(Rec).collect();
                if let Some(rec) = recs.get(usize::from(*rec) % recs.len().max(1)) {
                    self.enter(*rec, self.page(*run));
                }
                self.todo.lock().expect("no panic").clear();
            }
            Step::Each(delegate, first, count) => {
                for n in 0..=count % 8 {
                    let pa = self.page(first.wrapping_add(n));
                    let _status = if *delegate {
                        self.host.granule_delegate(pa)
                    } else {
                        self.host.granule_undelegate(pa)
                    };
                }
            }
            Step::Range(range) => self.range(*range),
            Step::Query(what, a, b) => self.query(*what, *a, *b),
            Step::Write(page, offset, value) => {
                let offset = u64::from(offset % 512) * 8;
                self.write(self.page(*page), offset, &value.to_le_bytes());
            }
            Step::Params(page, parameters) => {
                let bytes = self.parameters(parameters);
                self.write(self.page(*page), 0, &bytes);
            }
        }
    }

    /// Writes Host memory, if the page still is.
    fn write(&self, page: u64, offset: u64, bytes: &[u8]) {
        if self.host.state(page) == Undelegated {
            self.host.write(page + offset, bytes);
        }
    }

    fn parameters(&self, parameters: &Parameters) -> Vec<u8> {
        match *parameters {
            Parameters::Realm {
                s2sz,
                level,
                start,
                base,
                vmid,
                sha512,
                flags,
            } => {
                let mut params = RealmParams::new_zeroed();
                params.flags = u64::from(flags & 7);
                params.s2sz = 32 + s2sz % 10;
                params.rtt_level_start = i64::from(level % 4);
                params.rtt_num_start = u32::from(start % 17);
                params.rtt_base = self.page(base);
                params.vmid = u16::from(vmid % 4);
                (params.num_bps, params.num_wps) = (1, 1);
                if sha512 {
                    params.hash_algo = HashAlgorithm::Sha512 as u8;
                }
                params.as_bytes().to_vec()
            }
            Parameters::Rec {
                index,
                runnable,
                aux,
            } => {
                let mut params = RecParams::new_zeroed();
                params.flags = u64::from(runnable);
                params.mpidr = index_to_mpidr(u64::from(index % 4));
                params.num_aux = 2;
                for (to, page) in params.aux.iter_mut().zip(aux) {
                    *to = self.page(page);
                }
                params.as_bytes().to_vec()
            }
            Parameters::Realm2 {
                s2sz,
                level,
                base,
                flags,
                sha512,
            } => {
                let mut params = v2::realm_params();
                params.flags0 = u64::from(flags & 7);
                params.s2sz = 32 + s2sz % 10;
                params.rtt_level_start = i64::from(level % 4);
                params.rtt_base = self.page(base);
                if sha512 {
                    params.hash_algo = HashAlgorithm::Sha512 as u8;
                }
                params.as_bytes().to_vec()
            }
            Parameters::Rec2 { index, runnable } => v2::rec_params(u64::from(index % 4), runnable)
                .as_bytes()
                .to_vec(),
        }
    }
}

/// The command with this number: of those from RMI_VERSION on, or of [`COMMANDS_2`].
fn numbered(two: bool, number: u8) -> u64 {
    if two {
        COMMANDS_2[usize::from(number) % COMMANDS_2.len()]
    } else {
        fid::RMI_VERSION + u64::from(number % 0x20)
    }
}

fuzz_target!(|sequence: (Dialect, Vec<Step>)| {
    let (dialect, steps) = sequence;
    let machine = Machine::new(dialect);
    for step in steps.iter().take(CALLS) {
        machine.take(step);
    }
    let _counts = audit(&machine.host);
    // Whichever interface made the Realms, it still is the one that the Host speaks.
    if machine.host.rmm_state_get().0 == Status::NotSupported {
        sweep(&machine.host);
    } else {
        v2::sweep(&machine.host);
    }
});
