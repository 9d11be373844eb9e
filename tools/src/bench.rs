// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools bench`: what calls cost, in instructions.
//!
//! QEMU counts instructions (`-icount`), and the test Host reads the counter around each call. What
//! EL3 takes for a call is measured with a monitor that only answers, and subtracted. Where no counter
//! can be read, the plugin `qemu-trace` records what the monitor executes.

mod boots;
mod figures;
mod growth;
pub mod page;
mod profile;
mod report;
mod trace;

use crate::Outcome;
use crate::qemu::Options;
use boots::measure;
use figures::Figures;
use report::{Report, Row};
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "bench OPTIONS --answering FLASH --image FILE --figures FILE --plugin FILE \
     [--remedies FLASH] [--json FILE] [--base FILE] [--check|--lower] [--quick] [--other] [--profile ROW]";

/// Rows that are measured again with all remedies for errata: what invalidates translations, and what
/// switches worlds.
const REMEDIED: &[&str] = &[
    "RMI_GRANULE_DELEGATE",
    "RMI_RTT_FOLD 512 data pages",
    "RMI_DATA_DESTROY",
    "RMI_RTT_UNMAP_UNPROTECTED level 3",
    "RMI_REC_ENTER to WFI",
    "RSI_VERSION",
];

/// The groups that they are in.
const REMEDIED_GROUPS: &str = "commands,life,block,unprotected,enter,calls";

/// Arguments of this command alone.
#[derive(Default)]
struct Own {
    /// The flash file with the monitor that only answers.
    answering: String,
    /// The monitor that is measured, as packed into the other flash file. Its ELF file is beside it, if
    /// it has one.
    image: String,
    /// The plugin `qemu-trace`.
    plugin: String,
    /// The flash file with the monitor that applies all remedies for errata.
    remedies: Option<String>,
    /// Where the report goes.
    json: Option<String>,
    /// An earlier report to compare with.
    base: Option<String>,
    /// The committed figures.
    figures: String,
    /// Fails if a row is worse than its committed figure.
    check: bool,
    /// Lowers committed figures.
    lower: bool,
    /// Another monitor: what it cannot do is no failure.
    other: bool,
    /// Leaves out whether more Realms, RECs and memory change the cost.
    quick: bool,
    /// The row whose functions are to be printed.
    profile: Option<String>,
}

impl Own {
    /// Takes the arguments out of `arguments`.
    fn take(arguments: &mut Vec<String>) -> Result<Self, Box<dyn Error>> {
        let mut own = Self::default();
        let mut rest = Vec::new();
        let mut given = arguments.drain(..);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(USAGE);
            match argument.as_str() {
                "--answering" => own.answering = value()?,
                "--image" => own.image = value()?,
                "--plugin" => own.plugin = value()?,
                "--remedies" => own.remedies = Some(value()?),
                "--json" => own.json = Some(value()?),
                "--base" => own.base = Some(value()?),
                "--figures" => own.figures = value()?,
                "--check" => own.check = true,
                "--lower" => own.lower = true,
                "--quick" => own.quick = true,
                "--other" => own.other = true,
                "--profile" => own.profile = Some(value()?),
                _ => rest.push(argument),
            }
        }
        drop(given);
        *arguments = rest;
        let needed = [&own.answering, &own.image, &own.plugin, &own.figures];
        if needed.iter().any(|word| word.is_empty()) {
            return Err(USAGE.into());
        }
        Ok(own)
    }
}

/// The committed rows: names and figures.
pub fn rows_of(file: &str) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let figures = Figures::read(file)?;
    let rows = figures.rows().map(|row| (row.name.clone(), row.now));
    Ok(rows.collect())
}

/// Measures, prints the table, writes the report.
pub fn main(arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    let own = Own::take(&mut arguments)?;
    let mut options = Options::parse(&arguments, 2048, 600)?;
    let mut figures = Figures::read(&own.figures)?;
    let base = match &own.base {
        Some(file) => Some(Report::read(file)?),
        None => None,
    };
    // One CPU whose counter ticks once an instruction, and the same figures every time.
    options.smp = 1;
    for word in ["-icount", "shift=0,sleep=off", "-seed", "1"] {
        options.extra.push(word.into());
    }
    let tracing = profile::Tracing {
        options: &options,
        plugin: &own.plugin,
        elf: Path::new(&own.image).with_extension("elf"),
    };
    if let Some(row) = &own.profile {
        return tracing.profile(row, &figures);
    }
    let mut measured = measure(&options, "mode bench\n")?;
    let mut boot = options.clone();
    if let Some(flash) = own.remedies.as_ref().filter(|_| !own.other) {
        boot.flash.clone_from(flash);
        let remedied = measure(&boot, &format!("mode bench\nonly {REMEDIED_GROUPS}\n"))?;
        let rows = remedied.rows.iter();
        let rows = rows.filter(|row| REMEDIED.contains(&row.name.as_str()));
        measured
            .rows
            .extend(rows.map(|row| row.renamed("all errata remedies: ")));
        measured.failures.extend(remedied.failures);
    }
    boot.flash.clone_from(&own.answering);
    let answering = measure(&boot, "mode bench-el3\n")?;
    measured.rows.extend(tracing.boot()?);
    let shares: Vec<_> = answering.rows.iter().map(Row::as_share).collect();
    let calls = answering.rows.iter().map(Row::as_call);

    let mut failures = measured.failures;
    failures.extend(answering.failures);
    if measured.el3 != answering.el3 {
        failures.push("the two boots have different builds of TF-A".into());
    }
    let report = Report {
        image: own.image.clone(),
        image_bytes: std::fs::metadata(&own.image)?.len(),
        tf_a: measured.el3.join("; "),
        qemu: version(&options.qemu)?,
        shares: shares.into_iter().collect(),
        rows: measured.rows.into_iter().chain(calls).collect(),
    };
    if let Some(base) = base.as_ref().filter(|base| base.tf_a != report.tf_a) {
        let why = format!(
            "the earlier report is of TF-A {}: builds are not compared",
            base.tf_a
        );
        return Err(why.into());
    }
    print!("{}", report.table(&figures, base.as_ref())?);
    if let Some(file) = &own.json {
        report.write(file)?;
    }
    if !own.quick {
        let growth = growth::measure(&options, &report)?;
        print!("{}", growth.text);
        failures.extend(growth.failures);
    }
    if own.check {
        let judgement = figures.judge(&report)?;
        for row in &judgement.cheaper {
            println!("bench: cheaper: {row}");
        }
        failures.extend(judgement.failures);
        println!(
            "bench: {} rows compared with {}, TF-A {}: {}",
            figures.rows().count(),
            own.figures,
            report.tf_a,
            if failures.is_empty() { "ok" } else { "FAILED" }
        );
    }
    if own.lower && failures.is_empty() {
        figures.lower(&report)?;
        figures.write(&own.figures)?;
    }
    for why in &failures {
        println!(
            "bench: {}: {why}",
            if own.other { "not measured" } else { "FAILED" }
        );
    }
    Ok(if failures.is_empty() || own.other {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The emulator's first line about itself.
fn version(qemu: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new(qemu).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or("unknown").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_arguments_are_taken_out() {
        let words = "--flash f --answering a --image i --check --figures c --plugin p".split(' ');
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        let own = Own::take(&mut words).unwrap();
        assert_eq!((own.answering.as_str(), own.image.as_str()), ("a", "i"));
        assert!(own.check && !own.lower && own.figures == "c");
        assert_eq!(words, ["--flash", "f"]);
        assert!(Own::take(&mut words).is_err());
    }
}
