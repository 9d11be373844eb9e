// SPDX-License-Identifier: BSD-3-Clause
//! Where the image can panic. The compiler puts a `core::panic::Location` into `.rodata` for each such
//! place: file, line and column. `panics.txt` has them all, with the reason why none is reached.

use super::code::Image;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The list, a line for each place: `count | file | text of the line | reason`. Empty lines and those that
/// begin with `#` do not count.
const KNOWN: &str = include_str!("panics.txt");

/// A place, without the numbers of line and column, which every change moves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Path in the repository; of a crate its name and the path in it.
    file: String,
    /// Text of the line; empty if the file is not there.
    text: String,
}

impl Site {
    /// A line of the list, without a reason.
    pub fn line(&self, count: usize) -> String {
        format!("{count} | {} | {} | ", self.file, self.text)
    }
}

/// Places and how many there are of each.
pub type Sites = BTreeMap<Site, usize>;

/// The places of an image, whose sources are below `root`.
pub fn sites(image: &Image, root: &Path) -> Sites {
    let mut sites = Sites::new();
    for (file, line) in locations(&image.rodata.1, image.rodata.0) {
        let source = std::fs::read_to_string(root.join(&file))
            .or_else(|_| std::fs::read_to_string(crates().join(&file)))
            .unwrap_or_default();
        let text = source.lines().nth(line - 1).unwrap_or_default().trim();
        let site = Site {
            file: short(&file),
            // The list uses it between fields.
            text: text.replace('|', "/"),
        };
        *sites.entry(site).or_default() += 1;
    }
    sites
}

/// Where Cargo keeps the sources of crates. The image names them without this folder.
fn crates() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    home.unwrap_or_default().join("registry/src")
}

/// The locations in `bytes`, which lie at `base`: pointer to the name of a file, length, line, column.
fn locations(bytes: &[u8], base: u64) -> Vec<(String, usize)> {
    let string = |pointer: u64, length: u64| {
        let start = usize::try_from(pointer.checked_sub(base)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
        text.ends_with(".rs").then(|| text.to_owned())
    };
    let found = bytes.windows(24).step_by(8).filter_map(|window| {
        let (pointer, rest) = window.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (line, rest) = rest.split_first_chunk()?;
        let (column, _) = rest.split_first_chunk()?;
        let (line, column) = (u32::from_le_bytes(*line), u32::from_le_bytes(*column));
        if line == 0 || column == 0 {
            return None;
        }
        let file = string(u64::from_le_bytes(*pointer), u64::from_le_bytes(*length))?;
        Some((file, usize::try_from(line).ok()?))
    });
    found.collect()
}

/// The path of a crate from its name on, without the version; of the standard library from `library` on.
fn short(file: &str) -> String {
    if let Some((_, library)) = file.split_once("/library/") {
        return library.to_owned();
    }
    // The first folder is that of the registry, the second one name and version.
    let of_crate = file
        .split_once('/')
        .and_then(|(_, path)| path.split_once('/'))
        .and_then(|(folder, path)| Some((folder.rsplit_once('-')?, path)));
    match of_crate {
        Some(((name, version), path)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{name}/{path}")
        }
        _ => file.to_owned(),
    }
}

/// What the comparison of an image with the list found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Places that are not in the list or more often than there, and entries without a reason.
    pub wrong: Vec<String>,
    /// Entries of the list that are no places any more, or fewer. Which ones the compiler finds to be
    /// unreachable may differ from one build to the next.
    pub gone: Vec<String>,
}

/// Compares with the list.
pub fn compare(sites: &Sites) -> Comparison {
    compare_with(sites, KNOWN)
}

fn compare_with(sites: &Sites, list: &str) -> Comparison {
    let mut known = Sites::new();
    let Comparison {
        mut wrong,
        mut gone,
    } = Comparison::default();
    for line in list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [count, file, text, reason] = fields[..] else {
            wrong.push(format!("panics.txt: not four fields: {line}"));
            continue;
        };
        if reason.is_empty() {
            wrong.push(format!("panics.txt: no reason: {line}"));
        }
        let site = Site {
            file: file.into(),
            text: text.into(),
        };
        match count.parse::<usize>() {
            Ok(count) => *known.entry(site).or_default() += count,
            Err(_) => wrong.push(format!("panics.txt: no count: {line}")),
        }
    }
    for (site, count) in sites {
        let listed = known.remove(site).unwrap_or(0);
        let Site { file, text } = site;
        let difference = format!("{count} panics at {file}, {listed} in panics.txt: {text}");
        if *count > listed {
            wrong.push(difference);
        } else if *count < listed {
            gone.push(difference);
        }
    }
    for Site { file, text } in known.keys() {
        gone.push(format!(
            "panics.txt: no such panic any more: {file}: {text}"
        ));
    }
    Comparison { wrong, gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_a_section() {
        const BASE: u64 = 0x1000;
        let mut bytes = b"src/lib.rsother.c".to_vec();
        bytes.resize(24, 0);
        let location = |pointer: u64, length: u64, line: u32, column: u32| {
            let numbers = [BASE + pointer, length].map(u64::to_le_bytes).concat();
            [numbers, [line, column].map(u32::to_le_bytes).concat()].concat()
        };
        for (pointer, length, line, column) in [
            (0, 10, 12, 5),
            // Another kind of file; a length beyond the section; no line.
            (10, 7, 1, 1),
            (0, 1000, 1, 1),
            (0, 10, 0, 1),
            (4, 6, 7, 9),
        ] {
            bytes.extend(location(pointer, length, line, column));
        }
        let expected = [("src/lib.rs".to_owned(), 12), ("lib.rs".to_owned(), 7)];
        assert_eq!(locations(&bytes, BASE), expected);
    }

    #[test]
    fn short_paths() {
        for (path, expected) in [
            ("rmm-core/src/rec.rs", "rmm-core/src/rec.rs"),
            ("index-0123/sha2-0.11.1/src/a.rs", "sha2/src/a.rs"),
            ("i/crypto-bigint-0.7.11/src/b.rs", "crypto-bigint/src/b.rs"),
            ("/rustc/0123/library/core/src/iter.rs", "core/src/iter.rs"),
        ] {
            assert_eq!(short(path), expected);
        }
    }

    #[test]
    fn the_list_is_exact() {
        let site = |file: &str, text: &str| Site {
            file: file.into(),
            text: text.into(),
        };
        let sites = Sites::from([(site("a.rs", "x += 1;"), 1), (site("b.rs", ""), 2)]);
        let good = "# A comment.\n\n1 | a.rs | x += 1; | Never.\n2 | b.rs |  | Never.\n";
        assert_eq!(compare_with(&sites, good), Comparison::default());
        for (list, what) in [
            (
                "1 | a.rs | x += 1; | Never.\n1 | b.rs |  | Never.",
                "a second one",
            ),
            ("2 | b.rs |  | Never.", "a new one"),
            ("1 | a.rs | x += 1; | \n2 | b.rs |  | Never.", "no reason"),
            (
                "1 | a.rs | x += 1; | No.\n2 | b.rs | | No.\nx",
                "no line of the list",
            ),
        ] {
            assert_eq!(compare_with(&sites, list).wrong.len(), 1, "{what}");
        }
        for (list, what) in [
            (
                "1 | a.rs | x += 1; | Never.\n3 | b.rs |  | Never.",
                "one less",
            ),
            (
                "1 | a.rs | x += 1; | No.\n2 | b.rs | | No.\n1 | c.rs | | No.",
                "gone",
            ),
        ] {
            let found = compare_with(&sites, list);
            assert_eq!((found.wrong.len(), found.gone.len()), (0, 1), "{what}");
        }
    }
}
