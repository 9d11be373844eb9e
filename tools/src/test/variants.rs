// SPDX-License-Identifier: BSD-3-Clause
//! Other machines than the usual one: fewer or more CPUs, CPUs with less, other sizes of memory.

use crate::qemu::Options;

const USAGE: &str = "--variants short|all|NAME[,NAME...]";

/// A machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// The name in words.
    pub what: &'static str,
    /// QEMU's `-cpu`.
    cpu: Option<&'static str>,
    smp: Option<u32>,
    /// MiB.
    memory: Option<u64>,
    /// It takes minutes.
    slow: bool,
}

const VARIANTS: &[Variant] = &[
    Variant {
        name: "one-cpu",
        what: "one CPU",
        cpu: None,
        smp: Some(1),
        memory: None,
        slow: false,
    },
    Variant {
        name: "no-sve",
        what: "a CPU without SVE and SME, and 1 GiB of DRAM",
        cpu: Some("max,x-rme=on,pauth-impdef=on,sve=off,sme=off"),
        smp: None,
        memory: Some(1024),
        slow: false,
    },
    Variant {
        name: "plain-cpu",
        what: "a CPU without SVE, SME, PMU and LPA2, and memory in the whole bank",
        cpu: Some("max,x-rme=on,pauth-impdef=on,sve=off,sme=off,pmu=off,lpa2=off"),
        smp: None,
        memory: Some(3072),
        slow: false,
    },
    Variant {
        name: "eight-cpus",
        what: "eight CPUs, of which the tests use two",
        cpu: None,
        smp: Some(8),
        memory: None,
        slow: true,
    },
];

impl Variant {
    /// The options for it.
    pub fn options(&self, usual: &Options) -> Options {
        let mut options = usual.clone();
        if let Some(cpu) = self.cpu {
            options.cpu = cpu.into();
        }
        options.smp = self.smp.unwrap_or(usual.smp);
        options.memory = match self.memory {
            Some(memory) => memory + usual.board.more,
            None => usual.memory,
        };
        // What takes a sample has had all of it on the usual machine.
        options.long = false;
        options
    }
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
        "short" => Ok(VARIANTS.iter().filter(|variant| !variant.slow).collect()),
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
}
