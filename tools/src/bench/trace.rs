// SPDX-License-Identifier: BSD-3-Clause
//! What the plugin `qemu-trace` has recorded, and where it lies in the monitor.

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ops::Range;
use std::path::Path;

/// Where the monitor's image and data lie on QEMU's board `virt`.
pub const MONITOR: Range<u64> = 0x4010_0000..0x4190_0000;
/// First address that only the monitor uses: those that TTBR1_EL2 translates.
const HIGH: u64 = 0xFFF0_0000_0000_0000;
/// Where TF-A's stages lie, the test Host, and a Realm.
const EL3: Range<u64> = 0x0000_0000..0x1000_0000;
const HOST: Range<u64> = 0x6000_0000..0x6400_0000;

/// Bytes of a record: an address, and a number of instructions.
const RECORD: usize = 12;

/// Instructions at ascending addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    start: u64,
    count: u64,
}

/// Who executes an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Monitor,
    El3,
    Realm,
    Host,
}

impl Run {
    fn who(self) -> Who {
        if self.start >= HIGH || MONITOR.contains(&self.start) {
            Who::Monitor
        } else if EL3.contains(&self.start) {
            Who::El3
        } else if HOST.contains(&self.start) {
            Who::Host
        } else {
            Who::Realm
        }
    }

    fn end(self) -> u64 {
        self.start + 4 * self.count
    }
}

/// Runs in the order of their execution.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace(Vec<Run>);

impl Trace {
    /// Reads the plugin's file.
    pub fn read(file: &Path) -> Result<Self, Box<dyn Error>> {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        let run = |record: &[u8]| {
            let (start, count) = record.split_at(8);
            Some(Run {
                start: u64::from_le_bytes(start.try_into().ok()?),
                count: u32::from_le_bytes(count.try_into().ok()?).into(),
            })
        };
        Self(bytes.chunks_exact(RECORD).filter_map(run).collect())
    }

    /// The instructions of each who executed some.
    pub fn by_who(&self) -> BTreeMap<Who, u64> {
        let mut sums = BTreeMap::new();
        for run in &self.0 {
            *sums.entry(run.who()).or_insert(0) += run.count;
        }
        sums
    }

    /// The monitor's instructions.
    pub fn monitor(&self) -> u64 {
        self.by_who().get(&Who::Monitor).copied().unwrap_or(0)
    }

    /// The part between two runs of the Realm with the most instructions of the monitor: a call of the
    /// Realm without an exit. `None` if there is none.
    pub fn longest_in_realm(&self) -> Option<Self> {
        let mut parts = self.0.split(|run| run.who() == Who::Realm);
        // Before the Realm's first instruction, and behind its last.
        parts.next();
        parts.next_back();
        let only_monitor = |part: &&[Run]| part.iter().all(|run| run.who() == Who::Monitor);
        let longest = parts
            .filter(only_monitor)
            .max_by_key(|part| part.iter().map(|run| run.count).sum::<u64>())?;
        Some(Self(longest.to_vec()))
    }

    /// The instructions from the entry of a function until its return, with those of what it calls. 0 if it
    /// was not called.
    pub fn inside(&self, function: u64) -> u64 {
        let Some(first) = self.0.iter().position(|run| run.start == function) else {
            return 0;
        };
        let Some(back) = first.checked_sub(1).map(|before| self.0[before].end()) else {
            return 0;
        };
        let inside = self.0[first..].iter().take_while(|run| run.start != back);
        inside.map(|run| run.count).sum()
    }

    /// How often each of the monitor's instructions was executed.
    fn histogram(&self) -> BTreeMap<u64, u64> {
        let mut histogram = BTreeMap::new();
        for run in self.0.iter().filter(|run| run.who() == Who::Monitor) {
            for n in 0..run.count {
                *histogram.entry(run.start + 4 * n).or_insert(0) += 1;
            }
        }
        histogram
    }
}

type Slice = EndianSlice<'static, LittleEndian>;

/// The functions of an ELF file.
pub struct Functions {
    /// Address, size and name, ascending.
    symbols: Vec<(u64, u64, String)>,
    /// From physical addresses to those that the image is linked at.
    offset: u64,
    lines: Context<Slice>,
}

impl Functions {
    /// Reads an ELF file with symbols.
    pub fn read(elf: &Path) -> Result<Self, Box<dyn Error>> {
        let file = std::fs::read(elf).map_err(|error| format!("{}: {error}", elf.display()))?;
        let object = ElfFile64::<object::LittleEndian>::parse(&*file)?;
        let endian = object.endian();
        let segments = object.elf_program_headers().iter();
        let base = segments
            .filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD)
            .map(|segment| segment.p_vaddr(endian))
            .min()
            .ok_or("nothing to load")?;
        let mut symbols: Vec<(u64, u64, String)> = object
            .symbols()
            .filter(|symbol| symbol.is_definition())
            .filter(|symbol| {
                matches!(
                    symbol.kind(),
                    SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown
                )
            })
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .filter(|(_, _, name)| !name.starts_with('$') && !name.is_empty())
            .map(|(address, size, name)| (address, size, demangled(name)))
            .collect();
        symbols.sort();
        let dwarf = Dwarf::load(|id| -> Result<Slice, object::Error> {
            let section = object.section_by_name(id.name());
            let data = section
                .map(|section| section.uncompressed_data())
                .transpose()?;
            // The tool reads one file, and ends soon.
            let data = data.unwrap_or_default().into_owned().leak();
            Ok(Slice::new(data, LittleEndian))
        })?;
        Ok(Self {
            symbols,
            offset: base.wrapping_sub(MONITOR.start),
            lines: Context::from_dwarf(dwarf)?,
        })
    }

    /// Address of the function whose name ends with these words.
    pub fn address(&self, name: &str) -> Option<u64> {
        let found = self.symbols.iter().find(|symbol| symbol.2.ends_with(name));
        found.map(|symbol| symbol.0)
    }

    /// The function of an address that code was inlined into, and that code's own function.
    fn at(&self, address: u64) -> (String, String) {
        let linked = if MONITOR.contains(&address) {
            address.wrapping_add(self.offset)
        } else {
            address
        };
        let n = self.symbols.partition_point(|symbol| symbol.0 <= linked);
        let outer = n
            .checked_sub(1)
            .map_or("?", |n| &self.symbols[n].2)
            .to_owned();
        let inner = self.innermost(linked).unwrap_or_else(|| outer.clone());
        (outer, inner)
    }

    fn innermost(&self, address: u64) -> Option<String> {
        let mut frames = self.lines.find_frames(address).skip_all_loads().ok()?;
        let function = frames.next().ok()??.function?;
        Some(short(&function.demangle().ok()?))
    }

    /// Where the monitor's instructions lie: function, inlined function, number; the most first.
    pub fn profile(&self, trace: &Trace) -> Vec<(String, String, u64)> {
        let mut sums: HashMap<(String, String), u64> = HashMap::new();
        for (address, count) in trace.histogram() {
            *sums.entry(self.at(address)).or_default() += count;
        }
        let rows = sums.into_iter();
        let mut rows: Vec<_> = rows
            .map(|((outer, inner), count)| (outer, inner, count))
            .collect();
        rows.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
        rows
    }
}

fn demangled(name: &str) -> String {
    short(&addr2line::demangle_auto(name.into(), None))
}

/// A name without hash and generic arguments.
fn short(name: &str) -> String {
    let mut text = String::new();
    let mut depth = 0_u32;
    for letter in name.chars() {
        match letter {
            '<' => depth += 1,
            // `->` closes nothing.
            '>' if !text.ends_with('-') => depth = depth.saturating_sub(1),
            letter if depth == 0 => text.push(letter),
            _ => {}
        }
    }
    let text = text.trim_start_matches("::").replace("::::", "::");
    // `<Type as Trait>::method` leaves the method alone.
    let text = if text.contains("::") || !name.starts_with('<') {
        text
    } else {
        name.to_owned()
    };
    match text.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            path.to_owned()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(runs: &[(u64, u32)]) -> Trace {
        let mut bytes = Vec::new();
        for (start, count) in runs {
            bytes.extend(start.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        Trace::parse(&bytes)
    }

    const VIRTUAL: u64 = 0xFFFF_FFFF_C000_0000;

    #[test]
    fn instructions_belong_to_who_lies_there() {
        let trace = trace(&[
            (0x6000_0000, 1),
            (0x0E09_0000, 20),
            (VIRTUAL, 300),
            (0x4010_0000, 5),
            (0x4000_0000, 4000),
        ]);
        let sums: Vec<_> = trace.by_who().into_iter().collect();
        let wanted = [
            (Who::Monitor, 305),
            (Who::El3, 20),
            (Who::Realm, 4000),
            (Who::Host, 1),
        ];
        assert_eq!(sums, wanted);
        assert_eq!(trace.monitor(), 305);
    }

    #[test]
    fn a_function_ends_where_it_returns_to() {
        let trace = trace(&[
            (VIRTUAL, 10),
            (VIRTUAL + 0x100, 3),
            (VIRTUAL + 0x200, 7),
            (VIRTUAL + 0x10C, 2),
            (VIRTUAL + 40, 9),
        ]);
        assert_eq!(trace.inside(VIRTUAL + 0x100), 12);
        assert_eq!(trace.inside(VIRTUAL + 0x200), 7);
        assert_eq!(trace.inside(VIRTUAL + 0x300), 0);
    }

    #[test]
    fn a_call_of_the_realm_lies_between_two_of_its_runs() {
        let realm = (0x4000_0000, 1);
        let trace = trace(&[
            (VIRTUAL, 100),
            realm,
            (VIRTUAL, 5),
            realm,
            (VIRTUAL, 7),
            realm,
            (VIRTUAL, 900),
        ]);
        assert_eq!(trace.longest_in_realm().unwrap().monitor(), 7);
        assert_eq!(Trace::parse(&[]).longest_in_realm(), None);
    }

    #[test]
    fn names_are_short() {
        for (name, wanted) in [
            (
                "rmm_core::run::run::h0123456789abcdef",
                "rmm_core::run::run",
            ),
            ("rmm_rtt::fold<rmm_core::arch::ArchCpu>", "rmm_rtt::fold"),
            ("rmm_entry", "rmm_entry"),
        ] {
            assert_eq!(short(name), wanted);
        }
    }
}
