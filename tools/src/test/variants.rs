// SPDX-License-Identifier: BSD-3-Clause
//! Other machines than the usual one: fewer or more CPUs, CPUs with less, other sizes of memory.

use crate::qemu::Options;

const USAGE: &str = "--variants short|all|NAME[,NAME...] [--variants-only]";

/// A machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// The name in words.
    pub what: &'static str,
    /// Properties of the CPU in place of `pauth-impdef=on`.
    cpu: Option<&'static str>,
    smp: Option<u32>,
    /// MiB.
    memory: Option<u64>,
    /// A property of QEMU's machine.
    machine: Option<&'static str>,
    /// The tests that it is for.
    only: Option<&'static str>,
    /// It is not among those for each change.
    long: bool,
}

/// A [`Variant`] with what it names, and the rest as usual.
macro_rules! variants {
    ($($name:literal: $what:literal { $($field:ident: $value:expr),+ $(,)? })+) => {
        &[$(Variant {
            $($field: variants!(@ $field $value),)+
            ..Variant::usual($name, $what)
        }),+]
    };
    (@ long $value:expr) => { $value };
    (@ $field:ident $value:expr) => { Some($value) };
}

const VARIANTS: &[Variant] = variants! {
    "one-cpu": "one CPU" {
        smp: 1,
    }
    "no-sve": "a CPU without SVE and SME, and 1 GiB of DRAM" {
        cpu: "pauth-impdef=on,sve=off,sme=off",
        memory: 1024,
    }
    "plain-cpu": "a CPU without SVE, SME, PMU and LPA2, and memory in the whole bank" {
        cpu: "pauth-impdef=on,sve=off,sme=off,pmu=off,lpa2=off",
        memory: 3072,
    }
    "four-cpus": "four CPUs, for the tests that use all" {
        smp: 4,
        only: "crowd.",
    }
    "eight-cpus": "eight CPUs, most of which most tests leave off" {
        smp: 8,
        long: true,
    }
    "mte": "memory tags, and MTE of the CPU" {
        machine: "mte=on",
        long: true,
    }
    "no-lpa2": "a CPU without LPA2" {
        cpu: "pauth-impdef=on,lpa2=off",
        long: true,
    }
    "no-pmu": "a CPU without a PMU" {
        cpu: "pauth-impdef=on,pmu=off",
        long: true,
    }
    "no-sme": "a CPU with SVE but without SME" {
        cpu: "pauth-impdef=on,sme=off",
        long: true,
    }
    "sve128": "vectors of 128 bits, the shortest" {
        cpu: "pauth-impdef=on,sve128=on,sve256=off,sme128=on,sme256=off",
        long: true,
    }
    "sve512": "vectors of 512 bits, and of 256 in streaming mode" {
        cpu: "pauth-impdef=on,sve512=on,sme256=on",
        long: true,
    }
    "sve640": "vectors of 640 bits, but not of 384, and of 1024 in streaming mode alone" {
        cpu: "pauth-impdef=on,sve384=off,sve640=on,sme1024=on",
        long: true,
    }
    "pauth-qarma3": "pointer authentication by QARMA3" {
        cpu: "pauth-qarma3=on",
        long: true,
    }
    "pauth-qarma5": "pointer authentication by QARMA5" {
        cpu: "pauth=on",
        long: true,
    }
    "three-gib": "3 GiB of DRAM: the whole bank" {
        memory: 3072,
        long: true,
    }
};

impl Variant {
    /// The usual machine, by another name.
    const fn usual(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            cpu: None,
            smp: None,
            memory: None,
            machine: None,
            only: None,
            long: false,
        }
    }

    /// The options for it.
    pub fn options(&self, usual: &Options) -> Options {
        let mut options = usual.clone();
        if let Some(cpu) = self.cpu {
            options.cpu = format!("max,x-rme=on,{cpu}");
        }
        options.smp = self.smp.unwrap_or(usual.smp);
        options.memory = match self.memory {
            Some(memory) => memory + usual.board.more,
            None => usual.memory,
        };
        if let Some(machine) = self.machine {
            options.extra.extend(["-machine".into(), machine.into()]);
        }
        if let (Some(only), None) = (self.only, &usual.only) {
            options.only = Some(only.into());
        }
        // What takes a sample has had all of it on the usual machine.
        options.long = false;
        options
    }
}

/// Takes the argument that asks for no tests on the usual machine out of `arguments`.
pub fn take_alone(arguments: &mut Vec<String>) -> bool {
    let place = arguments.iter().position(|word| word == "--variants-only");
    place.map(|n| arguments.remove(n)).is_some()
}

/// Takes the argument that names variants out of `arguments`.
pub fn take(arguments: &mut Vec<String>) -> Result<Vec<&'static Variant>, String> {
    let Some(n) = arguments.iter().position(|word| word == "--variants") else {
        return Ok(Vec::new());
    };
    if n + 1 >= arguments.len() {
        return Err(USAGE.into());
    }
    let names: Vec<String> = arguments.drain(n..n + 2).skip(1).collect();
    let names = names.concat();
    match names.as_str() {
        "all" => Ok(VARIANTS.iter().collect()),
        "short" => Ok(VARIANTS.iter().filter(|variant| !variant.long).collect()),
        names => names.split(',').map(find).collect(),
    }
}

fn find(name: &str) -> Result<&'static Variant, String> {
    let found = VARIANTS.iter().find(|variant| variant.name == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
        format!("{name}? {USAGE}, of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Result<Vec<&'static str>, String> {
        let mut words = words.iter().map(ToString::to_string).collect();
        let variants = take(&mut words)?;
        assert_eq!(words, ["--smp", "2"]);
        Ok(variants.iter().map(|variant| variant.name).collect())
    }

    #[test]
    fn variants_are_taken_out_by_name() {
        assert_eq!(names(&["--smp", "2"]), Ok(vec![]));
        let some = names(&["--variants", "no-sve,one-cpu", "--smp", "2"]);
        assert_eq!(some, Ok(vec!["no-sve", "one-cpu"]));
        let all = names(&["--smp", "2", "--variants", "all"]).unwrap();
        let short = names(&["--smp", "2", "--variants", "short"]).unwrap();
        assert!(short.len() < all.len() && all.len() == VARIANTS.len());
        assert!(names(&["--variants", "none", "--smp", "2"]).is_err());
        assert!(take(&mut vec!["--variants".into()]).is_err());
    }

    #[test]
    fn a_variant_changes_what_it_names() {
        let mut usual = Options::new(2048, 900);
        usual.long = true;
        let mte = find("mte").unwrap().options(&usual);
        assert_eq!(mte.extra, ["-machine", "mte=on"]);
        assert_eq!((&mte.cpu, mte.smp, mte.memory), (&usual.cpu, 2, 2048));
        assert!(!mte.long);
        let four = find("four-cpus").unwrap().options(&usual);
        assert_eq!((four.smp, four.only.as_deref()), (4, Some("crowd.")));
        let plain = find("plain-cpu").unwrap().options(&usual);
        assert_eq!(plain.only, None);
        assert!(plain.cpu.starts_with("max,x-rme=on,") && plain.cpu.ends_with("lpa2=off"));
        assert_eq!(plain.memory, 3072);
    }

    #[test]
    fn the_usual_machine_can_be_left_out() {
        let mut words = vec!["--variants-only".to_owned(), "--smp".into()];
        assert!(take_alone(&mut words) && words == ["--smp"]);
        assert!(!take_alone(&mut words) && words == ["--smp"]);
    }
}
