// SPDX-License-Identifier: BSD-3-Clause
//! Which TF-A a file holds, as far as it says so.

use std::path::Path;
pub use tests_fvp::guest::NEEDS_RMI_2;

/// The oldest release whose EL3 can carry RMI 2.0.
const CARRIES_RMI_2: (u32, u32) = (2, 15);

/// Whether the TF-A in a file (`bl1.bin`, or a flash file that begins with it) is too old for RMI 2.0. If the
/// file does not say, only the boot shows it.
pub fn is_too_old_for_rmi_2(file: &Path) -> bool {
    let bytes = std::fs::read(file).unwrap_or_default();
    version(&bytes).is_some_and(|version| version < CARRIES_RMI_2)
}

/// As [`is_too_old_for_rmi_2`], before the file is there: set-up will build this release, such as
/// `2.12.1+dfsg-1`.
pub fn will_be_too_old_for_rmi_2(file: &Path, release: &str) -> bool {
    if file.exists() {
        return is_too_old_for_rmi_2(file);
    }
    let upstream = release.split('+').next().unwrap_or(release);
    version(format!("v{upstream}(release):").as_bytes())
        .is_some_and(|version| version < CARRIES_RMI_2)
}

/// The release number in the text that TF-A's boot loader prints, such as `v2.12.1(release):`. `None` also
/// for a state between two releases, such as `v2.14.0-321-g1234567(debug):`.
fn version(bytes: &[u8]) -> Option<(u32, u32)> {
    let parts = [&b"(release):"[..], b"(debug):"];
    let at = bytes
        .windows(parts[0].len())
        .position(|window| parts.iter().any(|part| window.starts_with(part)))?;
    let text = bytes.get(at.saturating_sub(64)..at)?;
    let start = text.iter().rposition(|byte| *byte == b'v')?;
    let number = std::str::from_utf8(text.get(start + 1..)?).ok()?;
    let mut numbers = number.split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    // A third number, or none.
    numbers.all(|other| other.is_ok()).then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_from_what_lies_between() {
        for (text, wanted) in [
            ("\0v2.12.1(release):2.12.1+dfsg-1\0", Some((2, 12))),
            ("\0v2.15.0(debug):\0 and more bytes", Some((2, 15))),
            ("\0v2.15(release):\0 and more bytes", Some((2, 15))),
            ("\0v2.14.0-321-g1234567(debug):\0", None),
            ("\0nothing of that kind at all\0", None),
            ("(release):", None),
        ] {
            assert_eq!(version(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn what_set_up_will_build_counts_while_the_file_is_not_there() {
        let absent = Path::new("/nothing/here");
        assert!(will_be_too_old_for_rmi_2(absent, "2.12.1+dfsg-1"));
        assert!(!will_be_too_old_for_rmi_2(absent, "2.15.0+dfsg-1"));
        assert!(!will_be_too_old_for_rmi_2(absent, ""));
    }

    #[test]
    fn a_file_that_is_not_there_is_not_too_old() {
        assert!(!is_too_old_for_rmi_2(Path::new("/nothing/here")));
    }
}
