// SPDX-License-Identifier: BSD-3-Clause
//! The committed figures, `docs/cost.json`: what each row cost when it was last looked at, what it cost
//! before and elsewhere, and what it may cost. A figure is raised by an edit of that file alone.

use super::report::{Report, Statistics};
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt::Write;

/// Growth that is let pass, in percent: rounding and the compiler's moods.
const TOLERANCE: u64 = 3;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The build of TF-A under which the rows were measured.
    pub tf_a: String,
    /// The emulator.
    pub qemu: String,
    pub sections: Vec<Section>,
}

/// Rows under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub rows: Vec<Figure>,
}

/// One row, in instructions unless its name says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// As the test Host names it.
    pub name: String,
    /// TF-RMM 0.7.0.
    pub tf_rmm: Option<u64>,
    /// This monitor at commit d8033a2.
    pub before: Option<u64>,
    pub budget: Option<u64>,
    /// The median.
    pub now: u64,
    /// The most, if it differs from the median.
    pub max: Option<u64>,
    /// Why the row is over its budget, and what it is made of.
    pub over: Option<String>,
}

impl Figure {
    /// A measured row without a committed figure.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the committed figure is over the budget.
    pub fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.now > budget)
    }

    /// What is wrong with a measured row; `None` if it is as good as the committed one.
    fn judge(&self, measured: Statistics) -> Option<String> {
        let (name, now, is) = (&self.name, self.now, measured.median);
        if self.is_over() {
            if is > now {
                return Some(format!(
                    "{name}: {is}, was {now}; over its budget, it must not grow"
                ));
            }
        } else if let Some(budget) = self.budget.filter(|budget| is > *budget) {
            return Some(format!("{name}: {is}, budget {budget}"));
        }
        let max = self.max.unwrap_or(now);
        for (what, is, was) in [("", is, now), ("at most ", measured.max, max)] {
            if is * 100 > was * (100 + TOLERANCE) {
                return Some(format!(
                    "{name}: {what}{is}, was {was}: {}",
                    percent(is, was)
                ));
            }
        }
        None
    }
}

/// A change in percent.
fn percent(is: u64, was: u64) -> String {
    if was == 0 {
        return "from nothing".into();
    }
    #[allow(clippy::cast_precision_loss)]
    let change = is as f64 * 100.0 / was as f64 - 100.0;
    format!("{change:+.1} %")
}

/// What comes of a comparison.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Why the check fails.
    pub failures: Vec<String>,
    /// Rows that are cheaper than committed.
    pub cheaper: Vec<String>,
}

impl Figures {
    /// Reads and checks the file.
    pub fn read(file: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let figures = Self::parse(&text).map_err(|why| format!("{file}: {why}"))?;
        Ok(figures)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let text = |value: &Value, key: &str| {
            let found = value.get(key).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| format!("no {key:?} in {value}"))
        };
        let list = |value: &Value, key: &str| {
            let found = value.get(key).and_then(Value::as_array).cloned();
            found.ok_or_else(|| format!("no {key:?} in {value}"))
        };
        let mut figures = Self {
            tf_a: text(&value, "tf_a")?,
            qemu: text(&value, "qemu")?,
            sections: Vec::new(),
        };
        for section in list(&value, "sections")? {
            let rows = list(&section, "rows")?;
            figures.sections.push(Section {
                name: text(&section, "name")?,
                rows: rows.iter().map(row).collect::<Result<_, _>>()?,
            });
        }
        let mut names: Vec<&str> = figures.rows().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{} is there twice", twice[0]));
        }
        Ok(figures)
    }

    /// All rows in order.
    pub fn rows(&self) -> impl Iterator<Item = &Figure> {
        self.sections.iter().flat_map(|section| &section.rows)
    }

    /// Compares a report with the figures.
    pub fn judge(&self, report: &Report) -> Result<Judgement, String> {
        if report.tf_a != self.tf_a {
            return Err(format!(
                "the figures are of TF-A {}, this is TF-A {}: builds are not compared",
                self.tf_a, report.tf_a
            ));
        }
        let mut judgement = Judgement::default();
        for figure in self.rows() {
            let Some(measured) = report.statistics(&figure.name)? else {
                let why = format!("{} was not measured", figure.name);
                judgement.failures.push(why);
                continue;
            };
            if let Some(why) = figure.judge(measured) {
                judgement.failures.push(why);
            } else if measured.median < figure.now {
                let cheaper = format!("{}: {}, was {}", figure.name, measured.median, figure.now);
                judgement.cheaper.push(cheaper);
            }
        }
        for name in report.names() {
            if !self.rows().any(|figure| figure.name == name) {
                let why = format!("{name} has no committed figure");
                judgement.failures.push(why);
            }
        }
        Ok(judgement)
    }

    /// Lowers each figure that was measured to be lower. Raises none.
    pub fn lower(&mut self, report: &Report) -> Result<(), String> {
        if report.tf_a != self.tf_a {
            return Err("the figures are of another build of TF-A".into());
        }
        for figure in self.sections.iter_mut().flat_map(|part| &mut part.rows) {
            let Some(measured) = report.statistics(&figure.name)? else {
                continue;
            };
            let max = figure.max.unwrap_or(figure.now).min(measured.max);
            figure.now = figure.now.min(measured.median);
            figure.max = (max > figure.now).then_some(max);
            if !figure.is_over() {
                figure.over = None;
            }
        }
        Ok(())
    }

    /// Writes the file: one row a line, so that a change of a row is one line of a diff.
    pub fn write(&self, file: &str) -> Result<(), Box<dyn Error>> {
        std::fs::write(file, self.to_json()?).map_err(|error| format!("{file}: {error}"))?;
        Ok(())
    }

    fn to_json(&self) -> Result<String, std::fmt::Error> {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut text = String::new();
        writeln!(text, "{{")?;
        writeln!(text, "  \"tf_a\": {},", quoted(&self.tf_a))?;
        writeln!(text, "  \"qemu\": {},", quoted(&self.qemu))?;
        writeln!(text, "  \"sections\": [")?;
        for (n, section) in self.sections.iter().enumerate() {
            let name = quoted(&section.name);
            writeln!(text, "    {{\"name\": {name}, \"rows\": [")?;
            for (n, row) in section.rows.iter().enumerate() {
                write!(text, "      {{\"row\": {}", quoted(&row.name))?;
                let numbers = [
                    ("tf_rmm", row.tf_rmm),
                    ("before", row.before),
                    ("budget", row.budget),
                    ("now", Some(row.now)),
                    ("max", row.max),
                ];
                for (key, number) in numbers {
                    if let Some(number) = number {
                        write!(text, ", \"{key}\": {number}")?;
                    }
                }
                if let Some(over) = &row.over {
                    write!(text, ",\n       \"over\": {}", quoted(over))?;
                }
                writeln!(text, "}}{}", comma(n, section.rows.len()))?;
            }
            writeln!(text, "    ]}}{}", comma(n, self.sections.len()))?;
        }
        writeln!(text, "  ]\n}}")?;
        Ok(text)
    }
}

/// What follows element `n` of `count`.
fn comma(n: usize, count: usize) -> &'static str {
    if n + 1 < count { "," } else { "" }
}

fn row(value: &Value) -> Result<Figure, String> {
    let map = value.as_object().ok_or("a row that is no object")?;
    let known = ["row", "tf_rmm", "before", "budget", "now", "max", "over"];
    if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{key:?} in {value}?"));
    }
    let number = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("{key:?} in {value} is no number")),
        },
    };
    let string = |map: &Map<String, Value>, key: &str| Some(map.get(key)?.as_str()?.to_owned());
    let figure = Figure {
        name: string(map, "row").ok_or_else(|| format!("no name in {value}"))?,
        tf_rmm: number("tf_rmm")?,
        before: number("before")?,
        budget: number("budget")?,
        now: number("now")?.ok_or_else(|| format!("no figure in {value}"))?,
        max: number("max")?,
        over: string(map, "over"),
    };
    match (figure.is_over(), &figure.over) {
        (true, None) => Err(format!("{}: over its budget without a reason", figure.name)),
        (false, Some(_)) => Err(format!(
            "{}: within its budget, but with a reason",
            figure.name
        )),
        _ => Ok(figure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
  "tf_a": "v2",
  "qemu": "QEMU",
  "sections": [
    {"name": "Calls", "rows": [
      {"row": "A", "tf_rmm": 93, "before": 72, "budget": 1100, "now": 1000},
      {"row": "B", "budget": 900, "now": 1000, "max": 1100,
       "over": "a \"reason\""}
    ]},
    {"name": "Others", "rows": [
      {"row": "C", "now": 7}
    ]}
  ]
}
"#;

    fn report(a: &str, b: &str, c: &str) -> Report {
        let lines = [
            format!("none A: {a}"),
            format!("none B: {b}"),
            format!("none C: {c}"),
        ];
        Report::of_rows("v2", lines.iter().map(String::as_str))
    }

    fn failures(a: &str, b: &str, c: &str) -> Vec<String> {
        let judgement = Figures::parse(FILE).unwrap().judge(&report(a, b, c));
        judgement.unwrap().failures
    }

    #[test]
    fn the_file_is_written_as_it_was_read() {
        let figures = Figures::parse(FILE).unwrap();
        assert_eq!(figures.to_json().unwrap(), FILE);
        assert_eq!(figures.rows().count(), 3);
    }

    #[test]
    fn rows_may_grow_by_the_tolerance() {
        assert_eq!(failures("1030", "1000 1000 1133", "7"), [""; 0]);
        assert_eq!(failures("1031", "1000", "7"), ["A: 1031, was 1000: +3.1 %"]);
        assert_eq!(
            failures("1000 1000 1031", "1000", "7"),
            ["A: at most 1031, was 1000: +3.1 %"]
        );
        assert_eq!(failures("1000", "1000", "8"), ["C: 8, was 7: +14.3 %"]);
    }

    #[test]
    fn a_row_stays_within_its_budget() {
        let file = FILE.replace("\"now\": 1000},", "\"now\": 1090},");
        let figures = Figures::parse(&file).unwrap();
        let failures = figures
            .judge(&report("1101", "1000", "7"))
            .unwrap()
            .failures;
        assert_eq!(failures, ["A: 1101, budget 1100"]);
    }

    #[test]
    fn a_row_over_its_budget_does_not_grow_at_all() {
        let why = "B: 1001, was 1000; over its budget, it must not grow";
        assert_eq!(failures("1", "1001", "7"), [why]);
    }

    #[test]
    fn each_row_is_measured_and_each_measured_row_is_known() {
        let figures = Figures::parse(FILE).unwrap();
        let report = Report::of_rows("v2", ["none A: 1", "none B: 1", "none D: 1"].into_iter());
        let failures = figures.judge(&report).unwrap().failures;
        assert_eq!(
            failures,
            ["C was not measured", "D has no committed figure"]
        );
    }

    #[test]
    fn builds_of_tf_a_are_not_compared() {
        let mut figures = Figures::parse(FILE).unwrap();
        figures.tf_a = "v3".into();
        assert!(figures.judge(&report("1", "1", "1")).is_err());
        assert!(figures.lower(&report("1", "1", "1")).is_err());
    }

    #[test]
    fn figures_are_lowered_and_never_raised() {
        let mut figures = Figures::parse(FILE).unwrap();
        figures.lower(&report("1001", "890 891 892", "8")).unwrap();
        let rows: Vec<_> = figures.rows().map(|row| (row.now, row.max)).collect();
        assert_eq!(rows, [(1000, None), (891, Some(892)), (7, None)]);
        assert!(figures.rows().all(|row| row.over.is_none()));
        assert!(Figures::parse(&figures.to_json().unwrap()).is_ok());
    }

    #[test]
    fn a_row_over_its_budget_has_a_reason_and_no_other_has() {
        let without = FILE.replace(",\n       \"over\": \"a \\\"reason\\\"\"", "");
        assert!(Figures::parse(&without).unwrap_err().contains("reason"));
        let cheap = FILE.replace("\"budget\": 900", "\"budget\": 1900");
        assert!(Figures::parse(&cheap).unwrap_err().contains("reason"));
        let twice = FILE.replace("\"C\"", "\"A\"");
        assert!(Figures::parse(&twice).unwrap_err().contains("twice"));
        let wrong = FILE.replace("tf_rmm", "tfrmm");
        assert!(Figures::parse(&wrong).is_err());
    }
}
