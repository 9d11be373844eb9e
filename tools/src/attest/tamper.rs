// SPDX-License-Identifier: BSD-3-Clause
//! What a malicious Host does to a Realm or its token, to show that the relying party notices.

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::str::FromStr;

/// A place in /init where a changed bit changes nothing that the guest does: the first letter of a comment.
const COMMENT: &[u8] = b"First process of the guest";

/// What the Host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// Flips one bit of a page that it loads.
    Page,
    /// Creates the Realm with another parameter.
    Param,
    /// Flips one bit of the token that it carries.
    Token,
}

impl FromStr for Tamper {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "page" => Ok(Self::Page),
            "param" => Ok(Self::Param),
            "token" => Ok(Self::Token),
            _ => Err(format!("TAMPER={name} is not page, param or token")),
        }
    }
}

impl Tamper {
    /// What the relying party must name as the reason of its refusal.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Page | Self::Param => "rim: ",
            Self::Token => "realm-signature: ",
        }
    }

    /// What the Host does, in words.
    pub fn deed(self) -> &'static str {
        match self {
            Self::Page => {
                "the Host flips one bit of the initrd, in a comment of /init, before it loads it"
            }
            Self::Param => {
                "the Host creates the Realm with 3 breakpoints, not 2 as launch.toml says"
            }
            Self::Token => "the Host flips the last bit of each token that it carries",
        }
    }

    /// The line that makes the test Host do it; empty if it happens to what the Host carries.
    ///
    /// # Errors
    ///
    /// If there is no such page.
    pub fn request(self, initrd: Option<(&Path, u64)>) -> Result<String, String> {
        match self {
            Self::Param => Ok("tamper num_bps 2\n".into()),
            Self::Token => Ok(String::new()),
            Self::Page => {
                let (file, ipa) = initrd.ok_or("there is no initrd to tamper with")?;
                let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
                let at = bytes
                    .windows(COMMENT.len())
                    .position(|part| part == COMMENT)
                    .ok_or_else(|| format!("{} has no such comment", file.display()))?;
                Ok(format!("tamper page {}\n", ipa + at as u64))
            }
        }
    }
}

/// The line with the last bit of a token flipped, and a checksum that fits; `None` if it has not the last part
/// of a token. (The lines: cca-token, `protocol::carrier`.)
pub fn flip_token(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["CCA1", "G", "token", part, text, _] = words[..] else {
        return None;
    };
    let (number, count) = part.split_once('/')?;
    if number != count {
        return None;
    }
    let mut bytes = Base64UrlUnpadded::decode_vec(text).ok()?;
    *bytes.last_mut()? ^= 1;
    let text = Base64UrlUnpadded::encode_string(&bytes);
    let digest = Sha256::digest(&bytes);
    let checksum: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    Some(format!("CCA1 G token {part} {text} {checksum}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_a_token_is_flipped_and_the_checksum_fits() {
        // "abc" becomes "abb"; the checksums are the first bytes of SHA-256 of each.
        assert_eq!(
            flip_token("CCA1 G token 2/2 YWJj ba7816bf").as_deref(),
            Some("CCA1 G token 2/2 YWJi 715edf8b")
        );
        for other in [
            "CCA1 G token 1/2 YWJj ba7816bf",
            "CCA1 G hello 1/1 YWJj ba7816bf",
            "CCA1 R token 1/1 YWJj ba7816bf",
            "CCA1 G token 1/1  e3b0c442",
            "CCA1 G token 1/1 YW?j ba7816bf",
            "anything",
            "",
        ] {
            assert_eq!(flip_token(other), None, "{other}");
        }
    }

    #[test]
    fn the_page_is_that_of_the_comment() {
        let file = std::env::temp_dir().join(format!("rmm-tamper-{}", std::process::id()));
        std::fs::write(&file, b"#!/bin/sh\n# First process of the guest: ...").unwrap();
        let request = |initrd| Tamper::Page.request(initrd);
        assert_eq!(
            request(Some((&file, 4096))),
            Ok("tamper page 4108\n".into())
        );
        std::fs::write(&file, b"another guest").unwrap();
        assert!(request(Some((&file, 4096))).is_err());
        std::fs::remove_file(&file).unwrap();
        assert!(request(None).is_err());
    }
}
