// SPDX-License-Identifier: BSD-3-Clause
//! What the runner asks for: lines of text in memory, the first of them [`MAGIC`].

use crate::board;
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
    /// The demonstration.
    Run,
    /// A guest kernel as a Realm.
    Guest,
    /// What calls cost.
    Bench,
    /// What EL3 takes for a call: the monitor only answers.
    BenchEl3,
}

/// The guest kernel that the runner has put into memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guest {
    /// Line `kernel ADDRESS BYTES`.
    pub kernel: (u64, u64),
    /// Line `initrd ADDRESS BYTES`; no bytes without the line.
    pub initrd: (u64, u64),
    /// Line `cpus NUMBER`.
    pub cpus: u64,
    /// Line `ram BYTES`.
    pub ram: u64,
    /// Line `append TEXT`: further words for the kernel's command line.
    pub append: &'static str,
}

/// The runner's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Line `mode test`, `mode run`, `mode guest`, `mode bench` or `mode bench-el3`.
    pub mode: Mode,
    /// Line `memory BYTES`: DRAM from its first address. Without the line, the whole bank.
    pub memory: u64,
    /// Line `after NAME`: start behind this test.
    pub after: Option<&'static str>,
    /// Line `only TEXT`: just the tests whose names contain it.
    pub only: Option<&'static str>,
    /// Line `seed NUMBER`: what patterns are made of.
    pub seed: u64,
    /// Line `long yes`: all of what the tests else take a sample of.
    pub long: bool,
    /// What [`Mode::Guest`] runs.
    pub guest: Guest,
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
        long: false,
        guest: Guest::default(),
    };
    let mut lines = text().lines();
    if lines.next() != Some(MAGIC) {
        return parameters;
    }
    for line in lines {
        match line.split_once(' ') {
            Some(("mode", "run")) => parameters.mode = Mode::Run,
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
            Some(("long", answer)) => parameters.long = answer == "yes",
            Some(("kernel", file)) => parameters.guest.kernel = numbers(file),
            Some(("initrd", file)) => parameters.guest.initrd = numbers(file),
            Some(("cpus", number)) => parameters.guest.cpus = number.parse().unwrap_or(0),
            Some(("ram", bytes)) => parameters.guest.ram = bytes.parse().unwrap_or(0),
            Some(("append", text)) => parameters.guest.append = text,
            _ => break,
        }
    }
    parameters
}

/// Address and number of bytes.
fn numbers(text: &str) -> (u64, u64) {
    let (address, bytes) = text.split_once(' ').unwrap_or((text, ""));
    (address.parse().unwrap_or(0), bytes.parse().unwrap_or(0))
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
