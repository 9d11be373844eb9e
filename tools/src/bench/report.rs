// SPDX-License-Identifier: BSD-3-Clause
//! The figures of a run: for people as a table, for tools as JSON.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

/// The share of a row that has nothing of EL3 in it.
const NO_SHARE: &str = "none";

/// What was measured, and its ticks in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which share of EL3 is in the ticks.
    pub share: String,
    /// The call.
    pub name: String,
    /// At least one.
    ticks: Vec<u64>,
}

impl Row {
    /// `SHARE NAME: TICKS TICKS ...`
    pub fn parse(line: &str) -> Option<Self> {
        let (head, ticks) = line.split_once(": ")?;
        let (share, name) = head.split_once(' ')?;
        let ticks = ticks.split(' ').map(str::parse).collect::<Result<_, _>>();
        Some(Self {
            share: share.to_owned(),
            name: name.to_owned(),
            ticks: ticks.ok().filter(|ticks: &Vec<u64>| !ticks.is_empty())?,
        })
    }

    /// A row of the boot with the monitor that only answers: a share's name and ticks.
    pub fn as_share(&self) -> (String, u64) {
        (self.name.clone(), self.statistics().min)
    }

    fn statistics(&self) -> Statistics {
        let mut sorted = self.ticks.clone();
        sorted.sort_unstable();
        let at = |n: usize| sorted.get(n).copied().unwrap_or(0);
        Statistics {
            first: self.ticks.first().copied().unwrap_or(0),
            min: at(0),
            median: at(sorted.len() / 2),
            max: at(sorted.len().saturating_sub(1)),
        }
    }
}

/// Of the ticks of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statistics {
    first: u64,
    min: u64,
    median: u64,
    max: u64,
}

impl Statistics {
    /// Without EL3's share.
    fn less(self, share: u64) -> Self {
        Self {
            first: self.first.saturating_sub(share),
            min: self.min.saturating_sub(share),
            median: self.median.saturating_sub(share),
            max: self.max.saturating_sub(share),
        }
    }
}

/// A run.
pub struct Report {
    /// The monitor's file, and its bytes.
    pub image: String,
    /// Bytes of it.
    pub image_bytes: u64,
    /// EL3's version and build, as it says itself.
    pub tf_a: String,
    /// The emulator's version.
    pub qemu: String,
    /// EL3's ticks by share.
    pub shares: BTreeMap<String, u64>,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl Report {
    /// The monitor's own ticks of a row.
    fn alone(&self, row: &Row) -> Result<Statistics, String> {
        let share = if row.share == NO_SHARE {
            0
        } else {
            *self
                .shares
                .get(&row.share)
                .ok_or_else(|| format!("EL3's share of {:?} was not measured", row.share))?
        };
        Ok(row.statistics().less(share))
    }

    /// The table for people; with another report, the change of each minimum against it.
    pub fn table(&self, base: Option<&Self>) -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        writeln!(text, "monitor: {}, {} bytes", self.image, self.image_bytes)?;
        writeln!(text, "EL3: TF-A {}", self.tf_a)?;
        writeln!(
            text,
            "{}, -icount shift=0,sleep=off -smp 1 -seed 1",
            self.qemu
        )?;
        write!(text, "EL3 takes (subtracted):")?;
        for (name, ticks) in &self.shares {
            write!(text, " {name} {ticks}")?;
        }
        writeln!(text, "\n\nInstructions of the monitor alone:")?;
        write!(
            text,
            "{:<42} {:>9} {:>9} {:>9} {:>9}",
            "call", "min", "first", "median", "max"
        )?;
        if let Some(base) = base {
            write!(
                text,
                " {:>9} {:>9}   base: {}",
                "base min", "change", base.image
            )?;
        }
        writeln!(text)?;
        for row in &self.rows {
            let own = self.alone(row)?;
            write!(
                text,
                "{:<42} {:>9} {:>9} {:>9} {:>9}",
                row.name, own.min, own.first, own.median, own.max
            )?;
            let before = base.and_then(|base| {
                let row = base.rows.iter().find(|old| old.name == row.name)?;
                Some(base.alone(row))
            });
            if let Some(before) = before {
                let before = before?.min;
                let change = i128::from(own.min) - i128::from(before);
                write!(text, " {before:>9} {change:>+9}")?;
            }
            writeln!(text)?;
        }
        Ok(text)
    }

    /// Writes the report: the monitor's own statistics, and the ticks that they are made of.
    pub fn write(&self, file: &str) -> Result<(), Box<dyn Error>> {
        let mut rows = Vec::new();
        for row in &self.rows {
            let own = self.alone(row)?;
            rows.push(json!({
                "name": row.name, "share": row.share, "ticks": row.ticks,
                "first": own.first, "min": own.min, "median": own.median, "max": own.max,
            }));
        }
        let report = json!({
            "image": self.image, "image_bytes": self.image_bytes, "tf_a": self.tf_a,
            "qemu": self.qemu, "el3": self.shares, "rows": rows,
        });
        std::fs::write(file, format!("{report:#}\n"))
            .map_err(|error| format!("{file}: {error}"))?;
        Ok(())
    }

    /// Reads a report.
    pub fn read(file: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let value: Value = serde_json::from_str(&text)?;
        Ok(Self::parse(&value).ok_or_else(|| format!("{file} is no report of `bench`"))?)
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let shares = value.get("el3")?.as_object()?.iter();
        let rows = value.get("rows")?.as_array()?.iter();
        Some(Self {
            image: text("image")?,
            image_bytes: value.get("image_bytes")?.as_u64()?,
            tf_a: text("tf_a")?,
            qemu: text("qemu")?,
            shares: shares
                .map(|(name, ticks)| Some((name.clone(), ticks.as_u64()?)))
                .collect::<Option<_>>()?,
            rows: rows
                .map(|row| {
                    let text = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
                    let ticks = row.get("ticks")?.as_array()?.iter();
                    Some(Row {
                        share: text("share")?,
                        name: text("name")?,
                        ticks: ticks.map(Value::as_u64).collect::<Option<_>>()?,
                    })
                })
                .collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ticks: &str) -> Report {
        Report {
            image: "rmm.img".into(),
            image_bytes: 5,
            tf_a: "v2".into(),
            qemu: "QEMU".into(),
            shares: BTreeMap::from([("call".into(), 1000)]),
            rows: vec![
                Row::parse(&format!("call RTT_CREATE level 1: {ticks}")).unwrap(),
                Row::parse("none RSI_VERSION: 146").unwrap(),
            ],
        }
    }

    #[test]
    fn statistics_have_no_share_of_el3() {
        let report = report("1400 1300 1301 1350");
        let own = report.alone(&report.rows[0]).unwrap();
        let wanted = Statistics {
            first: 400,
            min: 300,
            median: 350,
            max: 400,
        };
        assert_eq!(own, wanted);
        assert_eq!(report.alone(&report.rows[1]).unwrap().min, 146);
    }

    #[test]
    fn a_share_that_was_not_measured_is_an_error() {
        let mut report = report("1400");
        report.shares.clear();
        assert!(report.table(None).is_err());
    }

    #[test]
    fn a_written_report_can_be_compared_with() {
        let file = std::env::temp_dir().join(format!("rmm-bench-{}.json", std::process::id()));
        let file = file.to_str().unwrap();
        report("1400 1300").write(file).unwrap();
        let base = Report::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(base.rows, report("1400 1300").rows);
        let table = report("1290").table(Some(&base)).unwrap();
        let row = table.lines().find(|line| line.starts_with("RTT_CREATE"));
        let words: Vec<_> = row.unwrap().split_whitespace().collect();
        assert_eq!(words[3..], ["290", "290", "290", "290", "300", "-10"]);
    }

    #[test]
    fn bad_lines_are_no_rows() {
        for line in [
            "call",
            "call NAME",
            "call NAME:",
            "call NAME: ",
            "NAME: 1",
            "call A: 1 x",
        ] {
            assert_eq!(Row::parse(line), None, "{line:?}");
        }
    }
}
