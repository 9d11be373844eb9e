// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools cost [--check]`: the committed figures as a page, `docs/cost.md`. With `--check` nothing is
//! written: the page that is there has to be the one that would be made.

use super::figures::Figures;
use super::report::grouped;
use crate::Outcome;
use std::fmt::Write;
use std::process::ExitCode;

const FIGURES: &str = "docs/cost.json";
const PAGE: &str = "docs/cost.md";

/// What stands above the tables.
const HEAD: &str = "<!-- SPDX-License-Identifier: BSD-3-Clause -->
# What calls cost

`make cost` makes this page from [cost.json](cost.json). Do not edit it.

Figures are instructions that the monitor itself executes, unless the row says otherwise. `make bench` measures them on QEMU, where
they repeat to the digit ([testing.md](testing.md#counting-instructions) describes how). `make bench-check` fails if a row grew by
more than 3 %, or passed its budget. A row that is over its budget today says why, and fails if it grows at all. `make bench-lower`
lowers figures that have become smaller; a figure is raised by an edit of `cost.json` alone, in a commit that says why.

*TF-RMM 0.7* and *before* were measured the same way under TF-A 2.13 (debug): Arm's TF-RMM 0.7.0, and this monitor at
commit d8033a2.
";

/// Makes the page, or checks it.
pub fn main(arguments: &[String]) -> Outcome {
    let check = match arguments {
        [] => false,
        [option] if option == "--check" => true,
        _ => return Err("cost [--check]".into()),
    };
    let text = page(&Figures::read(FIGURES)?)?;
    if !check {
        std::fs::write(PAGE, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if std::fs::read_to_string(PAGE).is_ok_and(|there| there == text) {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("{PAGE} is not what {FIGURES} says: make cost").into())
}

fn page(figures: &Figures) -> Result<String, std::fmt::Error> {
    let mut text = HEAD.to_owned();
    let within = figures.rows().filter(|row| row.budget.is_some());
    let (budgets, over) = within.fold((0, 0), |(all, over), row| {
        (all + 1, over + u32::from(row.is_over()))
    });
    writeln!(
        text,
        "\n*Now* was measured under TF-A {}, with {}. Of {budgets} rows with a budget {} are within it.",
        figures.tf_a,
        figures.qemu,
        budgets - over
    )?;
    for section in &figures.sections {
        writeln!(text, "\n## {}\n", section.name)?;
        writeln!(text, "| row | TF-RMM 0.7 | before | budget | now |")?;
        writeln!(text, "|---|--:|--:|--:|--:|")?;
        for row in &section.rows {
            let number = |number: Option<u64>| number.map_or_else(|| "-".into(), grouped);
            let mut now = grouped(row.now);
            if let Some(max) = row.max {
                now = format!("{now}, at most {}", grouped(max));
            }
            if row.is_over() {
                now = format!("**{now}**");
            }
            writeln!(
                text,
                "| {} | {} | {} | {} | {now} |",
                row.name,
                number(row.tf_rmm),
                number(row.before),
                number(row.budget),
            )?;
        }
        let mut over = section
            .rows
            .iter()
            .filter_map(|row| Some((&row.name, row.over.as_ref()?)));
        if let Some(first) = over.next() {
            writeln!(text, "\nOver their budget:\n")?;
            for (name, why) in std::iter::once(first).chain(over) {
                writeln!(text, "- **{name}:** {why}")?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figure, Section};
    use super::*;

    #[test]
    fn rows_and_reasons() {
        let row = |name: &str, budget, now, max, over: Option<&str>| Figure {
            name: name.into(),
            tf_rmm: Some(1234),
            budget,
            now,
            max,
            over: over.map(str::to_owned),
            ..Figure::default()
        };
        let figures = Figures {
            tf_a: "v2".into(),
            qemu: "QEMU 10".into(),
            sections: vec![Section {
                name: "Calls".into(),
                rows: vec![
                    row("A", Some(5), 4, Some(1000), None),
                    row("B", Some(5), 6, None, Some("a walk")),
                    row("C", None, 7, None, None),
                ],
            }],
        };
        let page = page(&figures).unwrap();
        for line in [
            "| A | 1,234 | - | 5 | 4, at most 1,000 |",
            "| B | 1,234 | - | 5 | **6** |",
            "| C | 1,234 | - | - | 7 |",
            "- **B:** a walk",
            "Of 2 rows with a budget 1 are within it.",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
