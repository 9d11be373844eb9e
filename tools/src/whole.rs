// SPDX-License-Identifier: BSD-3-Clause
//! Files that are there whole or not at all, however the program ends.

use std::path::{Path, PathBuf};

/// Writes a file under another name and renames it.
///
/// # Errors
///
/// With the file's name, if it cannot be written; nothing is left of it then.
pub fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    std::fs::write(&new, content)
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(|error| {
            // It may not exist.
            let _ = std::fs::remove_file(&new);
            format!("{}: {error}", path.display())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_stays() {
        let folder = std::env::temp_dir().join(format!("rmm-tools-whole-{}", std::process::id()));
        let file = folder.join("image");
        std::fs::create_dir_all(&folder).unwrap();
        write(&file, b"first").unwrap();
        write(&file, b"second").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"second");
        // What cannot be renamed leaves nothing behind.
        let taken = folder.join("taken");
        std::fs::create_dir_all(taken.join("within")).unwrap();
        let why = write(&taken, b"third").unwrap_err();
        assert!(why.contains("taken"), "{why}");
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["image", "taken"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
