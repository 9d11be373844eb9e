// SPDX-License-Identifier: BSD-3-Clause
//! CCA tokens from Linux in a Realm, through configfs: `tsm/report` with the provider `arm_cca_guest`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::protocol::guest::TokenSource;

/// Where Linux has its reports, if configfs is mounted at the usual place.
pub const REPORTS: &str = "/sys/kernel/config/tsm/report";

const PROVIDER: &str = "arm_cca_guest";

/// Largest report that is taken for a token, in bytes.
pub const MAX_REPORT: u64 = 64 * 1024;

/// The reports of Linux.
pub struct Reports<F = Linux> {
    files: F,
    folder: PathBuf,
}

impl Reports {
    /// The reports under `folder`, which is [`REPORTS`] but for a configfs that is mounted elsewhere.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::with_files(Linux, folder)
    }
}

impl<F: Files> Reports<F> {
    /// The reports under `folder`, by way of these file operations.
    pub fn with_files(files: F, folder: impl Into<PathBuf>) -> Self {
        Self {
            files,
            folder: folder.into(),
        }
    }
}

/// The file operations that a report needs.
pub trait Files {
    /// Makes a folder that must not exist; configfs fills it.
    ///
    /// # Errors
    /// Why it could not be made.
    fn create(&mut self, folder: &Path) -> std::io::Result<()>;
    /// Removes a folder that has no entries of ours.
    ///
    /// # Errors
    /// Why it could not be removed.
    fn remove(&mut self, folder: &Path) -> std::io::Result<()>;
    /// Writes a file that exists, in one go.
    ///
    /// # Errors
    /// Why it could not be written.
    fn write(&mut self, file: &Path, bytes: &[u8]) -> std::io::Result<()>;
    /// Reads a file, up to [`MAX_REPORT`] and one more byte.
    ///
    /// # Errors
    /// Why it could not be read.
    fn read(&mut self, file: &Path) -> std::io::Result<Vec<u8>>;
}

/// The real files.
pub struct Linux;

impl Files for Linux {
    fn create(&mut self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir(folder)
    }

    fn remove(&mut self, folder: &Path) -> std::io::Result<()> {
        fs::remove_dir(folder)
    }

    fn write(&mut self, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
        fs::OpenOptions::new()
            .write(true)
            .open(file)?
            .write_all(bytes)
    }

    fn read(&mut self, file: &Path) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(file)?
            .take(MAX_REPORT + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<F: Files> TokenSource for Reports<F> {
    fn token(&mut self, challenge: &[u8; 64]) -> Result<Vec<u8>, String> {
        let folder = self
            .folder
            .join(format!("cca-token-{}", std::process::id()));
        self.files
            .create(&folder)
            .map_err(|e| format!("{}: {e}", folder.display()))?;
        let token = self.report(&folder, challenge);
        let removed = self.files.remove(&folder);
        let token = token?;
        removed.map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(token)
    }
}

impl<F: Files> Reports<F> {
    fn report(&mut self, folder: &Path, challenge: &[u8; 64]) -> Result<Vec<u8>, String> {
        let provider = self.text(&folder.join("provider"))?;
        if provider != PROVIDER {
            return Err(format!(
                "the provider of reports is {provider:?}, not {PROVIDER:?}"
            ));
        }
        let before = self.generation(folder)?;
        let inblob = folder.join("inblob");
        self.files
            .write(&inblob, challenge)
            .map_err(|e| format!("{}: {e}", inblob.display()))?;
        let token = self.read(&folder.join("outblob"))?;
        // Every write to the report counts one generation: if somebody else wrote, too, the token may be for
        // their challenge.
        let after = self.generation(folder)?;
        if after != before.wrapping_add(1) {
            return Err(format!(
                "the report went from generation {before} to {after}: somebody else wrote to it"
            ));
        }
        if token.is_empty() || token.len() as u64 > MAX_REPORT {
            return Err(format!("a report of {} bytes is no token", token.len()));
        }
        Ok(token)
    }

    fn generation(&mut self, folder: &Path) -> Result<u64, String> {
        let file = folder.join("generation");
        let text = self.text(&file)?;
        text.parse()
            .map_err(|_| format!("{}: {text:?} is no number", file.display()))
    }

    fn text(&mut self, file: &Path) -> Result<String, String> {
        let bytes = self.read(file)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_string())
    }

    fn read(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        self.files
            .read(file)
            .map_err(|e| format!("{}: {e}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    /// A configfs that behaves as Linux does, or as a test wants.
    struct Fake {
        provider: &'static str,
        /// What others write between our write and our read.
        others: u64,
        size: usize,
        exists: bool,
        generation: u64,
        written: Vec<u8>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                provider: "arm_cca_guest\n",
                others: 0,
                size: 64,
                exists: false,
                generation: 0,
                written: Vec::new(),
            }
        }
    }

    impl Files for &mut Fake {
        fn create(&mut self, folder: &Path) -> std::io::Result<()> {
            assert!(folder.starts_with("reports"));
            if std::mem::replace(&mut self.exists, true) {
                return Err(Error::from(std::io::ErrorKind::AlreadyExists));
            }
            Ok(())
        }

        fn remove(&mut self, _: &Path) -> std::io::Result<()> {
            assert!(std::mem::take(&mut self.exists));
            Ok(())
        }

        fn write(&mut self, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
            assert!(file.ends_with("inblob"));
            self.written = bytes.to_vec();
            self.generation += 1;
            Ok(())
        }

        fn read(&mut self, file: &Path) -> std::io::Result<Vec<u8>> {
            match file.file_name().and_then(|name| name.to_str()) {
                Some("provider") => Ok(self.provider.into()),
                Some("generation") => Ok(format!("{}\n", self.generation).into()),
                Some("outblob") => {
                    self.generation += self.others;
                    Ok(self
                        .written
                        .iter()
                        .copied()
                        .cycle()
                        .take(self.size)
                        .collect())
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn token(fake: &mut Fake) -> Result<Vec<u8>, String> {
        Reports::with_files(fake, "reports").token(&[7; 64])
    }

    #[test]
    fn a_report_is_made_read_and_removed() {
        let mut fake = Fake::default();
        assert_eq!(token(&mut fake), Ok(vec![7; 64]));
        assert!(!fake.exists);
        assert_eq!(token(&mut fake), Ok(vec![7; 64]), "generations go on");
    }

    #[test]
    fn doubtful_reports_are_refused() {
        let too_large = usize::try_from(MAX_REPORT).expect("small") + 1;
        for (mut fake, why) in [
            (
                Fake {
                    provider: "tdx_guest\n",
                    ..Fake::default()
                },
                "tdx_guest",
            ),
            (
                Fake {
                    others: 1,
                    ..Fake::default()
                },
                "somebody else",
            ),
            (
                Fake {
                    size: 0,
                    ..Fake::default()
                },
                "0 bytes",
            ),
            (
                Fake {
                    size: too_large,
                    ..Fake::default()
                },
                "no token",
            ),
        ] {
            let error = token(&mut fake).expect_err(why);
            assert!(error.contains(why), "{error}");
            assert!(!fake.exists, "{why}: the folder is left behind");
        }
        let mut fake = Fake {
            exists: true,
            ..Fake::default()
        };
        assert!(token(&mut fake).is_err());
    }

    #[test]
    fn a_machine_without_reports_says_so() {
        let error = Reports::new("/nowhere/report")
            .token(&[0; 64])
            .expect_err("nowhere");
        assert!(error.contains("/nowhere/report"), "{error}");
    }
}
