// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools cpio OUT PATH=FILE …`: an initramfs with these files, and the folders above them.
//!
//! The archive depends on names and contents alone: owner root, no times, sorted by name. It has a
//! node `/dev/console`, as the kernel's own initramfs does.

use crate::Outcome;
use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

const USAGE: &str = "cpio OUT PATH=FILE …";

/// File types and permissions.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;
/// Device 5:1.
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// The kind of a path.
struct Entry {
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

/// Reads the files, writes the archive.
pub fn main(arguments: &[String]) -> Outcome {
    let (out, files) = arguments
        .split_first()
        .ok_or_else(|| format!("usage: {USAGE}"))?;
    let mut entries = BTreeMap::new();
    for argument in files {
        let (path, file) = argument
            .split_once('=')
            .ok_or_else(|| format!("usage: {USAGE}"))?;
        let content = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let executable = std::fs::metadata(file)?.permissions().mode() & 0o100 != 0;
        let mode = if executable { EXECUTABLE } else { FILE };
        insert(&mut entries, path, mode, (0, 0), content)?;
    }
    insert(&mut entries, "dev/console", CONSOLE, CONSOLE_DEVICE, vec![])?;
    crate::whole::write(out.as_ref(), &archive(&entries)?)?;
    Ok(ExitCode::SUCCESS)
}

/// An archive of these files, by path and content.
///
/// # Errors
///
/// If a path is not one of a file, or there twice.
pub fn of_files(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut entries = BTreeMap::new();
    for (path, content) in files {
        insert(&mut entries, path, FILE, (0, 0), content.clone())?;
    }
    archive(&entries)
}

/// Adds a path and the folders above it.
fn insert(
    entries: &mut BTreeMap<String, Entry>,
    path: &str,
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    let path = path.trim_start_matches('/');
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("{path:?} is not a path of a file").into());
    }
    for (n, _) in path.match_indices('/') {
        let folder = Entry {
            mode: FOLDER,
            device: (0, 0),
            content: vec![],
        };
        entries.entry(path[..n].to_owned()).or_insert(folder);
    }
    let entry = Entry {
        mode,
        device,
        content,
    };
    match entries.insert(path.to_owned(), entry) {
        None => Ok(()),
        Some(_) => Err(format!("{path} is there twice").into()),
    }
}

/// The archive in the format newc. Sorted by name, a folder comes before its content.
fn archive(entries: &BTreeMap<String, Entry>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut out = Vec::new();
    for (number, (name, entry)) in (1..).zip(entries) {
        append(&mut out, number, name, entry)?;
    }
    let end = Entry {
        mode: 0,
        device: (0, 0),
        content: vec![],
    };
    append(&mut out, 0, "TRAILER!!!", &end)?;
    out.resize(out.len().next_multiple_of(512), 0);
    Ok(out)
}

fn append(out: &mut Vec<u8>, number: u32, name: &str, entry: &Entry) -> Result<(), Box<dyn Error>> {
    let fields = [
        number,
        entry.mode,
        0, // user
        0, // group
        1, // links
        0, // time
        u32::try_from(entry.content.len())?,
        0, // device that holds the file
        0,
        entry.device.0,
        entry.device.1,
        u32::try_from(name.len() + 1)?,
        0, // check
    ];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08X}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(&entry.content);
    out.resize(out.len().next_multiple_of(4), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_their_files() {
        let mut entries = BTreeMap::new();
        insert(&mut entries, "/a/b/file", FILE, (0, 0), b"hello".to_vec()).unwrap();
        insert(&mut entries, "a/x", EXECUTABLE, (0, 0), vec![]).unwrap();
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "a/b", "a/b/file", "a/x"]);
        assert_eq!(entries["a/b"].mode, FOLDER);
        assert!(insert(&mut entries, "a/x", FILE, (0, 0), vec![]).is_err());
        for path in ["", "/", "a//b", "../a", "a/"] {
            assert!(insert(&mut entries, path, FILE, (0, 0), vec![]).is_err());
        }
    }

    #[test]
    fn headers_are_newc() {
        let mut entries = BTreeMap::new();
        insert(&mut entries, "f", FILE, (0, 0), b"hello".to_vec()).unwrap();
        let archive = archive(&entries).unwrap();
        // Header of 110 bytes, the name with its zero to a multiple of 4, the content likewise.
        assert_eq!(&archive[..6], b"070701");
        assert_eq!(&archive[14..22], b"000081A4");
        assert_eq!(&archive[54..62], b"00000005");
        assert_eq!(&archive[110..112], b"f\0");
        assert_eq!(&archive[112..120], b"hello\0\0\0");
        assert_eq!(&archive[120..126], b"070701");
        assert_eq!(&archive[230..241], b"TRAILER!!!\0");
        assert_eq!(archive.len() % 512, 0);
    }
}
