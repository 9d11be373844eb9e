// SPDX-License-Identifier: BSD-3-Clause
//! The file that the Host carries encrypted, on the guest's disk. Content and secret are new in each run.

use super::Attestation;
use crate::cpio;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt::Write;
use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the guest's line about the opened file begins with.
const OPENED: &str = "realm: sealed file: sha256 ";

/// A sealed file with its secret. The folder with the secret is removed when this is dropped.
pub struct Sealed {
    /// The relying party's folder, which nobody else may read.
    folder: PathBuf,
    /// The secret's file.
    pub secret: PathBuf,
    /// The guest's disk: an archive with the sealed file.
    pub disk: PathBuf,
    /// SHA-256 of the content, in hexadecimal.
    digest: String,
    /// What nobody but relying party and guest may see: the secret and the secret part of the content.
    hidden: [String; 2],
    /// The guest says that it has the content.
    opened: bool,
    /// The first line that shows what is hidden.
    leak: Option<String>,
}

impl Sealed {
    /// Seals a new file, as the relying party does. The disk is in `folder`.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn new(attestation: &Attestation, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let tool = &attestation.tool;
        let own = folder.join("relying-party");
        // What an earlier run left behind when it was killed.
        if own.exists() {
            std::fs::remove_dir_all(&own)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
        let mut sealed = Self {
            secret: own.join("secret"),
            disk: folder.join("disk.cpio"),
            folder: own,
            digest: String::new(),
            hidden: [String::new(), String::new()],
            opened: false,
            leak: None,
        };
        let number = random()?;
        let content =
            format!("Only the Realm of one run can read this.\nThe number of the run: {number}\n");
        let (plain, encrypted) = (sealed.folder.join("plain"), sealed.folder.join("sealed"));
        std::fs::write(&plain, &content)?;
        let output = Command::new(tool)
            .args(["seal", "--new-secret"])
            .args([&sealed.secret, &plain, &encrypted])
            .output()
            .map_err(|error| format!("{}: {error}", tool.display()))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        sealed.digest = hex(&Sha256::digest(&content));
        let secret = std::fs::read_to_string(&sealed.secret)?.trim().to_owned();
        sealed.hidden = [secret, number];
        let disk = cpio::of_files(&[("sealed", std::fs::read(&encrypted)?)])?;
        let shown = sealed.find(&String::from_utf8_lossy(&disk));
        if shown {
            return Err("the sealed file is not encrypted".into());
        }
        std::fs::write(&sealed.disk, disk)?;
        Ok(sealed)
    }

    /// Whether a text has what is hidden.
    fn find(&self, text: &str) -> bool {
        self.hidden.iter().any(|hidden| text.contains(hidden))
    }

    /// Looks at a line of the Host.
    pub fn line(&mut self, line: &str) {
        if self.find(line) {
            self.leak.get_or_insert_with(|| line.to_owned());
        }
        self.opened |= line.strip_prefix(OPENED) == Some(&self.digest);
    }

    /// Whether the guest has opened the file, as it must if `wanted`, and the Host has seen nothing of it.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn judge(&self, wanted: bool) -> Result<(), String> {
        if let Some(line) = &self.leak {
            return Err(format!("the Host saw what is secret: {line}"));
        }
        match (self.opened, wanted) {
            (false, true) => Err("the guest did not open the sealed file".into()),
            (true, false) => Err("the guest opened the sealed file".into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        // What is left of it is worth nothing after the run.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// 32 random bytes in hexadecimal.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        Sealed {
            folder: "/nowhere/at/all".into(),
            secret: PathBuf::new(),
            disk: PathBuf::new(),
            digest: "d1935".into(),
            hidden: ["5ec3e7".into(), "40313e5".into()],
            opened: false,
            leak: None,
        }
    }

    #[test]
    fn the_guest_must_open_the_file() {
        let mut file = sealed();
        assert!(file.judge(true).is_err());
        assert_eq!(file.judge(false), Ok(()));
        file.line("realm: sealed file: sha256 d1936");
        file.line("host: sealed file: sha256 d1935");
        assert!(file.judge(true).is_err());
        file.line("realm: sealed file: sha256 d1935");
        assert_eq!(file.judge(true), Ok(()));
        assert!(file.judge(false).is_err());
    }

    #[test]
    fn the_host_must_not_see_what_is_secret() {
        for hidden in ["5ec3e7", "40313e5"] {
            let mut file = sealed();
            file.line("realm: sealed file: sha256 d1935");
            file.line(&format!("carrier> x{hidden}y"));
            assert!(file.judge(true).is_err());
            assert!(file.judge(false).is_err());
        }
    }
}
