// SPDX-License-Identifier: BSD-3-Clause
//! What the runner asks for: lines of text in memory, the first of them [`MAGIC`].

use crate::board;
use crate::dialect::Dialect;
use crate::realm::Config;
use core::ptr::with_exposed_provenance;
use spin::Once;

/// First line of the page.
const MAGIC: &str = "rmm-test-host 1";
/// Largest number of bytes.
const LIMIT: usize = 4096;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The tests.
    Test,
    /// The demonstration of a Realm's life.
    Run,
    /// The demonstration of isolation.
    Isolation,
    /// A guest kernel as a Realm.
    Guest,
    /// What calls cost.
    Bench,
    /// What EL3 takes for a call: the monitor only answers.
    BenchEl3,
}

/// One thing that a launch consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Line `rtt_create BASE TOP LEVEL`: RTTs down to this level.
    RttCreate {
        /// First IPA.
        base: u64,
        /// First IPA behind the range.
        top: u64,
        /// Level of the last RTT.
        level: u64,
    },
    /// Line `init_ripas BASE TOP`: RAM.
    InitRipas {
        /// First IPA.
        base: u64,
        /// First IPA behind the range.
        top: u64,
    },
    /// Line `data IPA ADDRESS BYTES`: a file that the runner has put into memory, measured page by page.
    Data {
        /// IPA of the first page.
        ipa: u64,
        /// Physical address of the file.
        address: u64,
        /// Bytes of the file. The memory behind it is zero up to the page's end.
        bytes: u64,
    },
    /// Line `rec RUNNABLE PC X0 ... X7`: the next REC. Registers without a number are zero.
    Rec {
        /// Whether it can be entered without PSCI_CPU_ON.
        runnable: bool,
        /// Entry point.
        pc: u64,
        /// X0 to X7.
        gprs: [u64; 8],
    },
}

/// The guest of [`Mode::Guest`], by lines whose names are those of RmiRealmParams or of a [`Step`].
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Line `rmi 2`: the Host speaks RMI 2.0; without the line, 1.0.
    pub dialect: Dialect,
    /// What the Realm is created with.
    pub config: Config,
    /// Line `ram ADDRESS`: physical address from which the guest's memory is taken.
    pub ram: u64,
    /// Line `disk ADDRESS BYTES`: the file that the guest's disk begins with; no bytes without the line.
    pub disk: (u64, u64),
    /// Line `terminal yes`: its console is passed on byte by byte, for a terminal.
    pub terminal: bool,
    /// Line `tamper page IPA` or `tamper NAME VALUE`: what the launch does otherwise than it should.
    pub tamper: Option<&'static str>,
    /// The page's text.
    text: &'static str,
}

impl Guest {
    /// What the launch consists of, in its order.
    pub fn steps(&self) -> impl Iterator<Item = Step> + Clone {
        self.text.lines().filter_map(step)
    }
}

fn step(line: &str) -> Option<Step> {
    let (name, rest) = line.split_once(' ')?;
    let mut numbers = rest.split(' ').map(|word| word.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    Some(match name {
        "rtt_create" => Step::RttCreate {
            base: number(),
            top: number(),
            level: number(),
        },
        "init_ripas" => Step::InitRipas {
            base: number(),
            top: number(),
        },
        "data" => Step::Data {
            ipa: number(),
            address: number(),
            bytes: number(),
        },
        "rec" => Step::Rec {
            runnable: number() != 0,
            pc: number(),
            gprs: core::array::from_fn(|_| number()),
        },
        _ => return None,
    })
}

/// The runner's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Line `mode test`, `mode run`, `mode isolation`, `mode guest`, `mode bench` or `mode bench-el3`.
    pub mode: Mode,
    /// Line `memory BYTES`: DRAM from its first address. Without the line, the whole bank.
    pub memory: u64,
    /// Line `after NAME`: start behind this test.
    pub after: Option<&'static str>,
    /// Line `only TEXT`: just the tests whose names contain it.
    pub only: Option<&'static str>,
    /// Line `seed NUMBER`: what patterns are made of.
    pub seed: u64,
    /// Line `seconds NUMBER`: how long Realms of random code run.
    pub seconds: u64,
    /// Line `long yes`: all of what the tests else take a sample of.
    pub long: bool,
    /// Line `el3 opens-all`: EL3 is known to open all features of the CPU to both worlds.
    pub el3_opens_all: bool,
    /// How [`Mode::Bench`] measures.
    pub bench: Bench,
    /// What [`Mode::Guest`] runs.
    pub guest: Guest,
}

/// How [`Mode::Bench`] measures.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Line `realms NUMBER`: how many live, the measured one included.
    pub realms: u64,
    /// Line `recs NUMBER`: how many each measured Realm has.
    pub recs: u64,
    /// Line `fill yes`: all memory that EL3 reports is in use.
    pub fill: bool,
    /// Line `profile NAME`: the row whose last call's number is printed.
    pub profile: Option<&'static str>,
    /// Line `mark NUMBER`: the call of the group that is marked for the plugin `qemu-trace`; 0 is none.
    pub mark: u64,
}

impl Parameters {
    /// How many rounds a random test makes that usually makes `usual` of them.
    pub fn rounds(&self, usual: u64) -> u64 {
        if self.long { 20 * usual } else { usual }
    }
}

/// The parameters; everything has a default.
pub fn get() -> &'static Parameters {
    static PARAMETERS: Once<Parameters> = Once::new();
    PARAMETERS.call_once(read)
}

fn read() -> Parameters {
    let mut parameters = Parameters {
        mode: Mode::Test,
        memory: board::BANK.end - board::BANK.start,
        after: None,
        only: None,
        seed: 1,
        seconds: 4,
        long: false,
        el3_opens_all: false,
        bench: Bench {
            realms: 1,
            recs: 1,
            fill: false,
            profile: None,
            mark: 0,
        },
        guest: Guest {
            dialect: Dialect::V1,
            config: Config::default(),
            ram: 0,
            disk: (0, 0),
            terminal: false,
            tamper: None,
            text: text(),
        },
    };
    let mut lines = text().lines();
    if lines.next() != Some(MAGIC) {
        return parameters;
    }
    for line in lines {
        match line.split_once(' ') {
            Some(("mode", "run")) => parameters.mode = Mode::Run,
            Some(("mode", "isolation")) => parameters.mode = Mode::Isolation,
            Some(("mode", "test")) => parameters.mode = Mode::Test,
            Some(("mode", "guest")) => parameters.mode = Mode::Guest,
            Some(("mode", "bench")) => parameters.mode = Mode::Bench,
            Some(("mode", "bench-el3")) => parameters.mode = Mode::BenchEl3,
            Some(("memory", bytes)) => {
                parameters.memory = bytes.parse().unwrap_or(parameters.memory);
            }
            Some(("after", name)) => parameters.after = Some(name),
            Some(("only", text)) => parameters.only = Some(text),
            Some(("seed", number)) => parameters.seed = number.parse().unwrap_or(1),
            Some(("seconds", number)) => parameters.seconds = number.parse().unwrap_or(4),
            Some(("long", answer)) => parameters.long = answer == "yes",
            Some(("el3", what)) => parameters.el3_opens_all = what == "opens-all",
            Some(("realms", number)) => parameters.bench.realms = number.parse().unwrap_or(1),
            Some(("recs", number)) => parameters.bench.recs = number.parse().unwrap_or(1),
            Some(("fill", answer)) => parameters.bench.fill = answer == "yes",
            Some(("profile", name)) => parameters.bench.profile = Some(name),
            Some(("mark", number)) => parameters.bench.mark = number.parse().unwrap_or(0),
            Some(("rmi", "2")) => parameters.guest.dialect = Dialect::V2,
            Some(("ram", address)) => parameters.guest.ram = address.parse().unwrap_or(0),
            Some(("disk", file)) => {
                let (address, bytes) = file.split_once(' ').unwrap_or((file, ""));
                parameters.guest.disk = (address.parse().unwrap_or(0), bytes.parse().unwrap_or(0));
            }
            Some(("terminal", answer)) => parameters.guest.terminal = answer == "yes",
            Some(("tamper", what)) => parameters.guest.tamper = Some(what),
            Some((name, value)) => realm_parameter(&mut parameters.guest.config, name, value),
            None => {}
        }
    }
    parameters
}

/// A field of RmiRealmParams; the lines of a [`Step`] are not among them.
pub fn realm_parameter(config: &mut Config, name: &str, value: &str) {
    let byte = value.parse().unwrap_or(0);
    match name {
        "flags" => config.flags = value.parse().unwrap_or(0),
        "s2sz" => config.s2sz = byte,
        "sve_vl" => config.sve_vl = byte,
        "num_bps" => config.num_bps = byte,
        "num_wps" => config.num_wps = byte,
        "pmu_num_ctrs" => config.pmu_num_ctrs = byte,
        "hash_algo" => config.hash = byte,
        "rtt_level_start" => config.level = value.parse().unwrap_or(0),
        "rtt_num_start" => config.tables = value.parse().unwrap_or(0),
        "rpv" => {
            for (n, byte) in config.rpv.iter_mut().enumerate() {
                let digits = value.get(2 * n..2 * n + 2).unwrap_or("00");
                *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
            }
        }
        _ => {}
    }
}

/// The page's text, up to the first byte that is none.
fn text() -> &'static str {
    let Some(address) = board::PARAMETERS else {
        return "";
    };
    let start = with_exposed_provenance::<u8>(address as usize);
    // SAFETY: DRAM that nobody writes after the Host has started.
    let page = unsafe { core::slice::from_raw_parts(start, LIMIT) };
    let len = page
        .iter()
        .position(|byte| !byte.is_ascii() || *byte == 0)
        .unwrap_or(0);
    core::str::from_utf8(page.get(..len).unwrap_or(&[])).unwrap_or("")
}
