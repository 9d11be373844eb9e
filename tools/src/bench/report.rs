// SPDX-License-Identifier: BSD-3-Clause
//! The figures of a run: for people as a table, for tools as JSON.

use super::figures::{Figure, Figures};
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

    /// A row of one value, which is the monitor's alone.
    pub fn of(name: &str, ticks: u64) -> Self {
        Self {
            share: NO_SHARE.to_owned(),
            name: name.to_owned(),
            ticks: vec![ticks],
        }
    }

    /// The same row with words before its name.
    pub fn renamed(&self, before: &str) -> Self {
        Self {
            name: format!("{before}{}", self.name),
            ..self.clone()
        }
    }

    /// What EL3 takes, as a row of the table: a row of the boot with the monitor that only answers.
    pub fn as_call(&self) -> Self {
        let name = match self.name.as_str() {
            "call" => "EL3: an RMI call, there and back",
            "forward" => "EL3: the way of an RMI call to the monitor",
            "return" => "EL3: the way back of an RMI call",
            "delegate" => "EL3: an RMI call and RMM_GTSI_DELEGATE",
            "undelegate" => "EL3: an RMI call and RMM_GTSI_UNDELEGATE",
            "enter" => "EL3: RMI_REC_ENTER, there and back",
            other => other,
        };
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
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
pub struct Statistics {
    pub first: u64,
    pub min: u64,
    pub median: u64,
    pub max: u64,
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

/// A number with a comma after each three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A run.
#[derive(Clone)]
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
    /// EL3's ticks in a row: a share, or several with `+` between them.
    fn share(&self, name: &str) -> Result<u64, String> {
        if name == NO_SHARE {
            return Ok(0);
        }
        let mut sum = 0;
        for part in name.split('+') {
            let share = self.shares.get(part);
            sum += share.ok_or_else(|| format!("EL3's share of {part:?} was not measured"))?;
        }
        Ok(sum)
    }

    /// The monitor's own ticks of a row.
    fn alone(&self, row: &Row) -> Result<Statistics, String> {
        Ok(row.statistics().less(self.share(&row.share)?))
    }

    /// The monitor's own ticks of the row of a name; `None` if it was not measured.
    pub fn statistics(&self, name: &str) -> Result<Option<Statistics>, String> {
        let row = self.rows.iter().find(|row| row.name == name);
        row.map(|row| self.alone(row)).transpose()
    }

    /// The names of the rows in the order in which they were measured.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    /// The table for people, in the order of the committed figures; with an earlier report, the change
    /// of each median against it.
    pub fn table(&self, figures: &Figures, base: Option<&Self>) -> Result<String, Box<dyn Error>> {
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
        if let Some(base) = base {
            writeln!(text, "(change: of the median, since {})", base.image)?;
        }
        let mut line = |name: &str, cells: &[String]| -> std::fmt::Result {
            if cells.is_empty() {
                return writeln!(text, "{name}");
            }
            write!(text, "{name:<52}")?;
            for cell in cells {
                write!(text, " {cell:>11}")?;
            }
            writeln!(text)
        };
        let heads = [
            "TF-RMM 0.7",
            "before",
            "budget",
            "committed",
            "median",
            "min",
            "first",
            "max",
        ];
        let mut heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
        if base.is_some() {
            heads.push("change".into());
        }
        line("", &heads)?;
        let known = |name: &str| figures.rows().any(|figure| figure.name == name);
        let others: Vec<Figure> = self
            .names()
            .filter(|name| !known(name))
            .map(Figure::unknown)
            .collect();
        for section in &figures.sections {
            line(&format!("{}:", section.name), &[])?;
            for figure in &section.rows {
                line(&figure.name, &self.cells(figure, base)?)?;
            }
        }
        if !others.is_empty() {
            line("Without a committed figure:", &[])?;
        }
        for figure in &others {
            line(&figure.name, &self.cells(figure, base)?)?;
        }
        Ok(text)
    }

    /// A row's cells.
    fn cells(&self, figure: &Figure, base: Option<&Self>) -> Result<Vec<String>, String> {
        let number = |number: Option<u64>| number.map_or_else(|| "-".into(), grouped);
        let committed = (figure.now != 0).then_some(figure.now);
        let known = [figure.tf_rmm, figure.before, figure.budget, committed];
        let mut cells: Vec<String> = known.map(number).into();
        let Some(own) = self.statistics(&figure.name)? else {
            cells.push("not measured".into());
            return Ok(cells);
        };
        cells.extend([own.median, own.min, own.first, own.max].map(grouped));
        if let Some(base) = base
            && let Some(before) = base.statistics(&figure.name)?
        {
            let change = i128::from(own.median) - i128::from(before.median);
            cells.push(format!("{change:+}"));
        }
        Ok(cells)
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
impl Report {
    /// A report of rows as the test Host prints them.
    pub fn of_rows<'a>(tf_a: &str, rows: impl Iterator<Item = &'a str>) -> Self {
        Self {
            image: "rmm.img".into(),
            image_bytes: 5,
            tf_a: tf_a.into(),
            qemu: "QEMU".into(),
            shares: BTreeMap::from([("call".into(), 1000), ("enter".into(), 100)]),
            rows: rows.map(|row| Row::parse(row).unwrap()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Section;
    use super::*;

    fn report(ticks: &str) -> Report {
        let first = format!("call RTT_CREATE level 1: {ticks}");
        Report::of_rows("v2", [first.as_str(), "none RSI_VERSION: 146"].into_iter())
    }

    fn figures() -> Figures {
        Figures {
            tf_a: "v2".into(),
            qemu: "QEMU".into(),
            sections: vec![Section {
                name: "Calls".into(),
                rows: vec![Figure {
                    name: "RTT_CREATE level 1".into(),
                    budget: Some(1_200_000),
                    now: 999,
                    ..Figure::default()
                }],
            }],
        }
    }

    #[test]
    fn statistics_have_no_share_of_el3() {
        let report = report("1400 1300 1301 1350");
        let own = report.statistics("RTT_CREATE level 1").unwrap().unwrap();
        let wanted = Statistics {
            first: 400,
            min: 300,
            median: 350,
            max: 400,
        };
        assert_eq!(own, wanted);
        let version = report.statistics("RSI_VERSION").unwrap().unwrap();
        assert_eq!(version.min, 146);
        assert_eq!(report.statistics("RSI_FEATURES"), Ok(None));
    }

    #[test]
    fn shares_are_summed_up() {
        let report = Report::of_rows("v2", ["call+enter BOTH: 1110"].into_iter());
        assert_eq!(report.statistics("BOTH").unwrap().unwrap().median, 10);
    }

    #[test]
    fn a_share_that_was_not_measured_is_an_error() {
        let mut report = report("1400");
        report.shares.clear();
        assert!(report.table(&figures(), None).is_err());
    }

    #[test]
    fn a_written_report_can_be_compared_with() {
        let file = std::env::temp_dir().join(format!("rmm-bench-{}.json", std::process::id()));
        let file = file.to_str().unwrap();
        report("1400 1300").write(file).unwrap();
        let base = Report::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(base.rows, report("1400 1300").rows);
        let table = report("1290").table(&figures(), Some(&base)).unwrap();
        let row = table.lines().find(|line| line.starts_with("RTT_CREATE"));
        let words: Vec<_> = row.unwrap().split_whitespace().collect();
        let wanted = [
            "-",
            "-",
            "1,200,000",
            "999",
            "290",
            "290",
            "290",
            "290",
            "-110",
        ];
        assert_eq!(words[3..], wanted);
        assert!(table.contains("Without a committed figure:\nRSI_VERSION "));
    }

    #[test]
    fn digits_are_grouped() {
        let numbers = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "123,456", "1,234,567"]);
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
