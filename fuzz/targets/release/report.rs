// SPDX-License-Identifier: BSD-3-Clause
//! A configfs that says anything.

use arbitrary::Arbitrary;
use cca_token::protocol::guest::TokenSource;
use cca_token::tsm::{Files, MAX_REPORT, Reports};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// The files of a report.
#[derive(Arbitrary, Debug)]
pub struct Report {
    provider: Option<Vec<u8>>,
    generations: [Generation; 2],
    report: Content,
    /// Operations that fail, by number.
    fails: Option<u8>,
}

/// What a file with a number says.
#[derive(Arbitrary, Debug)]
enum Generation {
    /// This and, in the second file, one more.
    Right,
    Number(u64),
    Text(Vec<u8>),
}

/// The report.
#[derive(Arbitrary, Debug)]
enum Content {
    Bytes(Vec<u8>),
    Size(u32),
}

/// The files, in use.
struct Disk<'a> {
    report: &'a Report,
    outblob: Vec<u8>,
    operations: u8,
    exists: bool,
    was_removed: bool,
    written: Option<Vec<u8>>,
}

const FIRST: u64 = 7;

impl Disk<'_> {
    fn count(&mut self) -> Result<()> {
        self.operations += 1;
        if self.report.fails == Some(self.operations) {
            return Err(Error::from(ErrorKind::Other));
        }
        Ok(())
    }

    fn generation(&self) -> Vec<u8> {
        let after = usize::from(self.written.is_some());
        match &self.report.generations[after] {
            Generation::Right => format!("{}\n", FIRST + after as u64).into_bytes(),
            Generation::Number(number) => number.to_string().into_bytes(),
            Generation::Text(text) => text.clone(),
        }
    }
}

impl Files for &mut Disk<'_> {
    fn create(&mut self, _: &Path) -> Result<()> {
        self.count()?;
        self.exists = true;
        Ok(())
    }

    fn remove(&mut self, _: &Path) -> Result<()> {
        assert!(self.exists);
        self.was_removed = true;
        self.count()
    }

    fn write(&mut self, file: &Path, bytes: &[u8]) -> Result<()> {
        assert!(self.exists && file.ends_with("inblob"));
        self.count()?;
        self.written = Some(bytes.to_vec());
        Ok(())
    }

    fn read(&mut self, file: &Path) -> Result<Vec<u8>> {
        assert!(self.exists && !self.was_removed);
        self.count()?;
        match file.file_name().and_then(|name| name.to_str()) {
            Some("provider") => {
                let provider = self.report.provider.clone();
                Ok(provider.unwrap_or_else(|| b"arm_cca_guest\n".to_vec()))
            }
            Some("generation") => Ok(self.generation()),
            Some("outblob") => Ok(self.outblob.clone()),
            other => panic!("{other:?}"),
        }
    }
}

impl Report {
    /// A token comes only of a report that nobody else has written to.
    pub fn check(&self) {
        let outblob = match &self.report {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Size(size) => vec![7; *size as usize % (2 * MAX_REPORT as usize)],
        };
        let mut disk = Disk {
            report: self,
            outblob,
            operations: 0,
            exists: false,
            was_removed: false,
            written: None,
        };
        let token = Reports::with_files(&mut disk, "reports").token(&[0xC4; 64]);
        assert_eq!(disk.exists, disk.was_removed, "the folder");
        let Ok(token) = token else {
            return;
        };
        let number = |generation: &Generation, right: u64| match generation {
            Generation::Right => Some(right),
            Generation::Number(number) => Some(*number),
            Generation::Text(text) => String::from_utf8_lossy(text).trim_end().parse().ok(),
        };
        let [before, after] = &self.generations;
        let before = number(before, FIRST).expect("a number");
        assert_eq!(number(after, FIRST + 1), Some(before.wrapping_add(1)));
        assert_eq!(disk.written.as_deref(), Some(&[0xC4; 64][..]));
        assert!(token == disk.outblob && !token.is_empty() && token.len() as u64 <= MAX_REPORT);
        if let Some(provider) = &self.provider {
            assert_eq!(
                String::from_utf8_lossy(provider).trim_end(),
                "arm_cca_guest"
            );
        }
    }
}
