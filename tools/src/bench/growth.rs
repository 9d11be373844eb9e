// SPDX-License-Identifier: BSD-3-Clause
//! What must not change the cost of a call: other Realms, more RECs, memory in use. The test Host measures
//! again with each of them.

use super::boots;
use super::report::{Report, grouped};
use crate::qemu::Options;
use std::error::Error;
use std::fmt::Write;

/// Growth that is let pass, in percent.
const TOLERANCE: u64 = 5;

/// A way in which more is going on.
struct Surrounding {
    name: &'static str,
    /// Lines for the test Host.
    request: &'static str,
    /// DRAM in MiB, if it is not the usual.
    memory: Option<u64>,
}

const SURROUNDINGS: &[Surrounding] = &[
    Surrounding {
        name: "8 Realms",
        request: "realms 8\n",
        memory: None,
    },
    Surrounding {
        name: "64 Realms",
        request: "realms 64\n",
        memory: None,
    },
    Surrounding {
        name: "1,000 Realms",
        request: "realms 1000\n",
        memory: None,
    },
    Surrounding {
        name: "16 RECs",
        request: "recs 16\n",
        memory: None,
    },
    // As much DRAM as TF-A reports on QEMU.
    Surrounding {
        name: "3 GiB in use",
        request: "fill yes\n",
        memory: Some(3072),
    },
];

/// What came of it.
#[derive(Default)]
pub struct Growth {
    /// For people.
    pub text: String,
    /// Rows that grew too much, or were not measured again.
    pub failures: Vec<String>,
}

/// Measures in each surrounding, and compares with the usual one.
pub fn measure(options: &Options, usual: &Report) -> Result<Growth, Box<dyn Error>> {
    let mut growth = Growth::default();
    writeln!(growth.text, "\nCost that does not grow, medians:")?;
    for surrounding in SURROUNDINGS {
        let mut options = options.clone();
        options.memory = surrounding.memory.unwrap_or(options.memory);
        let request = format!("mode bench\n{}", surrounding.request);
        let measured = boots::measure(&options, &request)?;
        for why in measured.failures {
            growth.failures.push(format!("{}: {why}", surrounding.name));
        }
        let report = Report {
            rows: measured.rows,
            ..usual.clone()
        };
        growth.compare(surrounding.name, usual, &report)?;
    }
    Ok(growth)
}

impl Growth {
    fn compare(
        &mut self,
        name: &str,
        usual: &Report,
        other: &Report,
    ) -> Result<(), Box<dyn Error>> {
        let (mut rows, mut grown) = (0, Vec::new());
        for row in other.names() {
            let Some(is) = other.statistics(row)? else {
                continue;
            };
            let Some(was) = usual.statistics(row)? else {
                let why = format!("{name}: {row} was not measured without it");
                self.failures.push(why);
                continue;
            };
            rows += 1;
            let (is, was) = (is.median, was.median);
            if is > was {
                grown.push(format!(
                    "{row}: {} instead of {}",
                    grouped(is),
                    grouped(was)
                ));
            }
            if is * 100 > was * (100 + TOLERANCE) {
                let why = format!("{name}: {row} takes {is} instead of {was}");
                self.failures.push(why);
            }
        }
        if rows == 0 {
            self.failures.push(format!("{name}: nothing was measured"));
        }
        writeln!(
            self.text,
            "{name}: {rows} rows, of which {} grew",
            grown.len()
        )?;
        for row in grown {
            writeln!(self.text, "    {row}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(usual: &[&str], other: &[&str]) -> Vec<String> {
        let [usual, other] = [usual, other].map(|rows| Report::of_rows("v2", rows.iter().copied()));
        let mut growth = Growth::default();
        growth.compare("8 Realms", &usual, &other).unwrap();
        growth.failures
    }

    #[test]
    fn a_row_may_grow_by_the_tolerance() {
        let usual = ["none A: 1000", "none B: 7"];
        assert_eq!(failures(&usual, &["none A: 1050"]), [""; 0]);
        let why = "8 Realms: A takes 1051 instead of 1000";
        assert_eq!(failures(&usual, &["none A: 1051", "none B: 6"]), [why]);
        let why = "8 Realms: C was not measured without it";
        assert_eq!(failures(&usual, &["none A: 1", "none C: 1"]), [why]);
        let why = "8 Realms: nothing was measured";
        assert_eq!(failures(&usual, &[]), [why]);
    }
}
