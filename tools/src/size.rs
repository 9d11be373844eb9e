// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools size`: the memory that the monitor needs.
//!
//! How deep the stacks are used is measured: the plugin `qemu-trace` notes the lowest address that any
//! instruction of the monitor accesses in them, while the test Host runs its tests.

use crate::Outcome;
use crate::qemu::{Boot, Event, Options, is_crash};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol};
use std::error::Error;
use std::process::ExitCode;

const USAGE: &str = "size OPTIONS --elf FILE --plugin FILE --figures FILE";

/// A stack: its name, pages, and the first address behind it, as in `rmm-core/src/encoding/space.rs`.
const STACKS: [(&str, u64, u64); 2] = [
    ("stack", 8, 0xFFFF_FFFF_FFFE_0000),
    ("exception stack", 4, 0xFFFF_FFFF_FFFF_0000),
];
const PAGE: u64 = 4096;

/// The rows of the committed figures about memory.
const MEMORY: &str = "granules of a REC";

/// Prints the sizes.
pub fn main(arguments: &[String]) -> Outcome {
    let (mut elf, mut plugin, mut figures) = (None, None, None);
    let mut rest = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--elf" => &mut elf,
            "--plugin" => &mut plugin,
            "--figures" => &mut figures,
            _ => {
                rest.push(word.clone());
                continue;
            }
        };
        *place = words.next().cloned();
    }
    let (Some(elf), Some(plugin), Some(figures)) = (elf, plugin, figures) else {
        return Err(USAGE.into());
    };
    let mut options = Options::parse(&rest, 2048, 900)?;
    print!("{}", image(&std::fs::read(elf)?)?);
    println!(
        "granule table: {} bytes a granule",
        size_of::<rmm_granule::Word>()
    );
    for row in crate::bench::rows_of(&figures)? {
        if row.0.starts_with(MEMORY) {
            println!("{}: {}", row.0, row.1);
        }
    }
    for line in stacks(&mut options, &plugin)? {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The image by section, and a CPU's block.
fn image(file: &[u8]) -> Result<String, Box<dyn Error>> {
    let elf = ElfFile64::<LittleEndian>::parse(file)?;
    let mut text = String::new();
    for section in elf.sections() {
        let name = section.name()?;
        if section.address() != 0 && section.size() != 0 {
            text += &format!("{name}: {} bytes\n", section.size());
        }
    }
    let address = |name: &str| {
        let mut symbols = elf.symbols();
        let found = symbols.find(|symbol| symbol.name() == Ok(name));
        found
            .map(|symbol| symbol.address())
            .ok_or_else(|| format!("no symbol {name}"))
    };
    // The boot CPU's block is the last of the early memory.
    let block = address("__early_end")? - address("boot_block")?;
    Ok(text + &format!("block of a CPU: {block} bytes, stacks included\n"))
}

/// Runs the tests, and returns how deep each stack was used.
fn stacks(options: &mut Options, plugin: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("rmm-stacks-{}", std::process::id()));
    let ranges = STACKS.map(|(_, pages, top)| format!("{:#x}-{top:#x}", top - pages * PAGE));
    options.extra.push("-plugin".into());
    options.extra.push(format!(
        "{plugin},deepest={},stacks={}",
        file.display(),
        ranges.join("+")
    ));
    let outcome = run(options);
    let text = std::fs::read_to_string(&file);
    // It may not be there.
    let _ = std::fs::remove_file(&file);
    let tests = outcome?;
    let lowest = text?;
    let mut lines = Vec::new();
    for ((name, pages, top), line) in STACKS.iter().zip(lowest.lines()) {
        let digits = line.strip_prefix("0x").ok_or("not a number")?;
        let lowest = u64::from_str_radix(digits, 16)?;
        let used = if lowest == 0 { 0 } else { top - lowest };
        lines.push(format!(
            "{name}: {used} of {} bytes used at most, in {tests}",
            pages * PAGE
        ));
    }
    if lines.len() != STACKS.len() || !lowest.starts_with("0xff") {
        return Err("the stacks are not where they are looked for".into());
    }
    Ok(lines)
}

/// Runs the test Host's tests, or those that `--only` names. Returns its summary.
fn run(options: &Options) -> Result<String, Box<dyn Error>> {
    let only = options.only.as_ref();
    let only = only.map_or_else(String::new, |text| format!("only {text}\n"));
    let mut boot = Boot::start(options, &format!("mode test\n{only}"))?;
    let mut summary = None;
    loop {
        match boot.next() {
            Event::Line(line) if is_crash(&line) => return Err(line.into()),
            Event::Line(line) => {
                let text = line.strip_prefix("host: ");
                if let Some(text) = text.filter(|text| text.contains(" passed, ")) {
                    summary = Some(format!("tests: {text}"));
                }
            }
            Event::Ended(true) => return Ok(summary.ok_or("the Host has not finished")?),
            _ => return Err("QEMU did not end as it should".into()),
        }
    }
}
