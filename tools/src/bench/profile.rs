// SPDX-License-Identifier: BSD-3-Clause
//! What the monitor executes where the test Host reads no counter: at boot, and function by function in one
//! call. The plugin `qemu-trace` records it.

use super::boots::{Lines, measure};
use super::figures::Figures;
use super::report::{Row, grouped};
use super::trace::{Functions, MONITOR, Trace, Who};
use crate::Outcome;
use crate::qemu::Options;
use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

/// The function that fetches the keys and the platform token at boot.
const KEYS: &str = "fetch_attestation";
/// The rows of the boot.
const BOOT: [&str; 3] = [
    "boot, without attestation keys",
    "boot, keys and platform token",
    "boot",
];
/// No group of the test Host.
const NOTHING: &str = "mode bench\nonly nothing\n";
/// Lines of a profile.
const LINES: usize = 60;

/// Boots with the plugin.
pub struct Tracing<'a> {
    /// How QEMU runs.
    pub options: &'a Options,
    /// The plugin's file.
    pub plugin: &'a str,
    /// The monitor's ELF file; it need not exist.
    pub elf: PathBuf,
}

impl Tracing<'_> {
    /// One boot; `arguments` are for the plugin.
    fn trace(&self, request: &str, arguments: &str) -> Result<(Lines, Trace), Box<dyn Error>> {
        let file = std::env::temp_dir().join(format!("rmm-trace-{}", std::process::id()));
        let mut options = self.options.clone();
        options.extra.push("-plugin".into());
        let plugin = format!("{},out={}{arguments}", self.plugin, file.display());
        options.extra.push(plugin);
        let lines = measure(&options, request);
        let trace = Trace::read(&file);
        // It may not be there.
        let _ = std::fs::remove_file(&file);
        Ok((lines?, trace?))
    }

    /// What the monitor executes from its first instruction until it has booted.
    fn trace_boot(&self) -> Result<Trace, Box<dyn Error>> {
        let Range { start, end } = MONITOR;
        let arguments = format!(",armed=on,from={start:#x},to={end:#x}");
        Ok(self.trace(NOTHING, &arguments)?.1)
    }

    /// The rows of the boot; the two parts only if the functions of the monitor are known.
    pub fn boot(&self) -> Result<Vec<Row>, Box<dyn Error>> {
        let trace = self.trace_boot()?;
        let all = trace.monitor();
        let [rest, keys, whole] = BOOT;
        let mut rows = vec![Row::of(whole, all)];
        if self.elf.exists()
            && let Some(function) = Functions::read(&self.elf)?.address(KEYS)
        {
            let inside = trace.inside(function);
            rows.push(Row::of(rest, all - inside));
            rows.push(Row::of(keys, inside));
        }
        Ok(rows)
    }

    /// Prints in which functions the instructions of the last call of a row lie.
    pub fn profile(&self, row: &str, figures: &Figures) -> Outcome {
        if !figures.rows().any(|figure| figure.name == row) {
            println!("{row:?} is no row. The rows are:");
            for figure in figures.rows() {
                println!("    {}", figure.name);
            }
            return Ok(ExitCode::FAILURE);
        }
        let functions = Functions::read(&self.elf)?;
        if BOOT.contains(&row) {
            print_functions(&functions, &self.trace_boot()?);
            return Ok(ExitCode::SUCCESS);
        }
        let lines = measure(self.options, &format!("mode bench\nprofile {row}\n"))?;
        let Some((group, number)) = lines.call else {
            return Err(format!("{row} is not of one call").into());
        };
        let request = format!("mode bench\nonly {group}\nmark {number}\n");
        let (_, trace) = self.trace(&request, "")?;
        let by_who = trace.by_who();
        println!("{row}, call {number} of the group {group:?}:");
        for (who, count) in &by_who {
            println!("{:>12} {who:?}", grouped(*count));
        }
        // A Realm's call is in the stay that the marked RMI_REC_ENTER began.
        let of_realm = row.starts_with("RSI_") || row.starts_with("PSCI_");
        match trace.longest_in_realm().filter(|_| of_realm) {
            Some(call) => print_functions(&functions, &call),
            None => print_functions(&functions, &trace),
        }
        if by_who.contains_key(&Who::Monitor) {
            Ok(ExitCode::SUCCESS)
        } else {
            Err("the plugin has recorded nothing of the monitor".into())
        }
    }
}

/// Prints where the monitor's instructions lie.
fn print_functions(functions: &Functions, trace: &Trace) {
    let all = trace.monitor();
    println!("\n{} instructions of the monitor:", grouped(all));
    let rows = functions.profile(trace);
    let (mut outers, mut order) = (std::collections::HashMap::new(), Vec::new());
    for (outer, inner, count) in rows {
        let inners = outers.entry(outer.clone()).or_insert_with(|| {
            order.push(outer.clone());
            Vec::new()
        });
        inners.push((inner, count));
    }
    let sum = |inners: &Vec<(String, u64)>| inners.iter().map(|inner| inner.1).sum::<u64>();
    order.sort_by_key(|outer| std::cmp::Reverse(sum(&outers[outer])));
    for outer in order.iter().take(LINES) {
        let inners = &outers[outer];
        println!(
            "{:>12} {:>5.1} %  {outer}",
            grouped(sum(inners)),
            percent(sum(inners), all)
        );
        for (inner, count) in inners.iter().filter(|inner| inner.0 != *outer) {
            println!("{:>12} {:>7}      {inner}", "", grouped(*count));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn percent(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / all.max(1) as f64
}
