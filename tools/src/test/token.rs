// SPDX-License-Identifier: BSD-3-Clause
//! Attestation tokens of the test Realms, judged as a relying party does.
//!
//! The test Host prints a token and what its Realm says of itself by other calls:
//!
//! ```text
//! token begin
//! token challenge HEX         64 bytes
//! token rpv HEX               64 bytes
//! token rim HEX               as long as the Realm's hashes
//! token rem HEX               four times
//! token bytes HEX             the token, in pieces
//! token end
//! ```

use cca_token::hex;
use cca_token::keys::read_anchors;
use cca_token::token::Token;
use cca_token::verify::{Policy, Verdict, verify};

/// What the lines begin with.
pub const PREFIX: &str = "token ";

/// The key that signs the sample platform tokens of TF-A.
const ANCHOR: &[u8] = include_bytes!("../../../guest/tfa-sample-cpak-TEST-KEY.pem");

/// The tokens that a test prints.
#[derive(Default)]
pub struct RelyingParty {
    current: Option<Given>,
    refused: Option<String>,
}

/// A token, and what it should say.
#[derive(Default)]
struct Given {
    challenge: Vec<u8>,
    rpv: Vec<u8>,
    rim: Vec<u8>,
    rems: Vec<Vec<u8>>,
    token: Vec<u8>,
}

impl RelyingParty {
    /// Takes a line, without its [`PREFIX`].
    pub fn line(&mut self, line: &str) {
        let result = match line.split_once(' ').unwrap_or((line, "")) {
            ("begin", "") => {
                let unfinished = self.current.replace(Given::default()).is_some();
                if unfinished {
                    Err("two tokens begin, and none ends".into())
                } else {
                    Ok(())
                }
            }
            ("end", "") => match self.current.take() {
                Some(given) => given.judge(),
                None => Err("no token begins".into()),
            },
            (name, value) => self.value(name, value),
        };
        if let Err(why) = result {
            self.refused.get_or_insert(why);
        }
    }

    fn value(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("not a line of a token: {name} {value}");
        let bytes = hex::decode(value).ok_or_else(wrong)?;
        let given = self.current.as_mut().ok_or_else(wrong)?;
        match name {
            "challenge" => given.challenge = bytes,
            "rpv" => given.rpv = bytes,
            "rim" => given.rim = bytes,
            "rem" => given.rems.push(bytes),
            "bytes" => given.token.extend(bytes),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// The test ends: why one of its tokens was refused, if one was.
    pub fn finish(&mut self) -> Option<String> {
        let unfinished = self.current.take().map(|_| "a token does not end".into());
        self.refused.take().or(unfinished)
    }
}

impl Given {
    /// Whether the relying party trusts the token, and finds in it what it expects.
    fn judge(self) -> Result<(), String> {
        let array = |bytes: Vec<u8>| bytes.try_into().map_err(|_| "not 64 bytes");
        let rems = self.rems.try_into().map_err(|_| "not four REMs")?;
        let policy = Policy {
            anchors: read_anchors(ANCHOR).map_err(|error| error.to_string())?,
            allow_test_keys: true,
            challenge: Some(array(self.challenge)?),
            rpv: Some(array(self.rpv)?),
            rims: Some(vec![self.rim]),
            rems: <[Vec<u8>; 4]>::map(rems, Some),
            ..Policy::default()
        };
        let token = Token::parse(&self.token).map_err(|error| format!("token: {error}"))?;
        match verify(&token, &policy).verdict {
            Verdict::Verified => Ok(()),
            other => Err(format!("token {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a test that prints these lines.
    fn finish(lines: &[&str]) -> Option<String> {
        let mut party = RelyingParty::default();
        lines.iter().for_each(|line| party.line(line));
        let result = party.finish();
        assert_eq!(party.finish(), None, "of the next test");
        result
    }

    #[test]
    fn tests_without_tokens_pass() {
        assert_eq!(finish(&[]), None);
    }

    #[test]
    fn lines_that_make_no_token_are_refused() {
        let sixty_four = "00".repeat(64);
        let all = [
            "begin".to_owned(),
            format!("challenge {sixty_four}"),
            format!("rpv {sixty_four}"),
            "rim 01".into(),
            "rem 02".into(),
            "rem 02".into(),
            "rem 02".into(),
            "rem 02".into(),
            "bytes d9018f".into(),
            "end".into(),
        ];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let why = finish(&all).unwrap();
        assert!(why.starts_with("token: "), "{why}");
        for n in 0..all.len() {
            let mut lines = all.clone();
            let line = lines.remove(n);
            let other = finish(&lines).unwrap();
            let same = matches!(line, "rim 01" | "bytes d9018f");
            assert!(same || other != why, "without {line}: {other}");
        }
        for bad in ["begin", "rim 0", "rim x1", "other 00", "end 00"] {
            let lines = [&["begin", bad][..], &all[1..]].concat();
            assert_ne!(finish(&lines).unwrap(), why, "{bad}");
        }
    }
}
