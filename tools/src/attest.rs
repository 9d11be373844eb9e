// SPDX-License-Identifier: BSD-3-Clause
//! The relying party of a run: it verifies the guest's token by itself and then releases a secret.
//!
//! It is a process of its own, `cca-token serve`, which gets the launch description and the trust anchor,
//! and of the Host nothing but the lines that the Host carries from the Realm.

mod exchange;
mod sealed;
mod tamper;

pub use exchange::{Exchange, NAME, shown};
pub use sealed::Sealed;
pub use tamper::Tamper;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments that [`Attestation::take`] understands.
pub const USAGE: &str = "[--relying-party CCA-TOKEN --anchor FILE [--tamper page|param|token]]";

/// What the Host prints before a line from the Realm to the relying party.
pub const FROM_REALM: &str = tests_fvp::guest::FROM_PORT;
/// What the Host expects before a line to the Realm.
pub const TO_REALM: &str = tests_fvp::guest::TO_PORT;

/// The relying party, and what happens on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The program `cca-token`.
    pub tool: PathBuf,
    /// Keys that may sign platform tokens.
    pub anchor: PathBuf,
    /// What the Host does.
    pub plan: Plan,
}

/// What the Host does to Realm and token, and so what the relying party must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the secret is released.
    Honest,
    /// It tampers, and there is no secret.
    Tampered(Tamper),
    /// It flips a bit of the first token; of the second, from the same guest, none.
    FirstToken,
}

/// How a session of the relying party ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The token was verified, and the guest has the secret.
    Released {
        /// Hexadecimal, as all that follows.
        rim: String,
        /// What the token had to contain.
        challenge: String,
    },
    /// The token was refused and the secret withheld; why.
    Refused(String),
    /// Neither; what happened.
    Failed(String),
}

impl Attestation {
    /// Takes the arguments for the relying party out of `arguments`. `None` without `--relying-party`.
    ///
    /// # Errors
    ///
    /// If they do not fit together.
    pub fn take(arguments: &mut Vec<String>) -> Result<Option<Self>, Box<dyn Error>> {
        let mut value = |name: &str| -> Result<Option<String>, String> {
            let Some(at) = arguments.iter().position(|word| word == name) else {
                return Ok(None);
            };
            if at + 1 >= arguments.len() {
                return Err(format!("{name} what?"));
            }
            arguments.remove(at);
            Ok(Some(arguments.remove(at)))
        };
        let tool = value("--relying-party")?;
        let anchor = value("--anchor")?;
        let tamper = value("--tamper")?.filter(|name| !name.is_empty());
        let Some(tool) = tool else {
            return match tamper {
                Some(_) => {
                    Err("TAMPER needs the guest that attests itself: no LINUX, no INITRD".into())
                }
                None => Ok(None),
            };
        };
        Ok(Some(Self {
            tool: tool.into(),
            anchor: anchor.ok_or("--anchor is missing")?.into(),
            plan: match tamper {
                Some(name) => Plan::Tampered(name.parse()?),
                None => Plan::Honest,
            },
        }))
    }

    /// The same relying party, with a Host that does something else.
    pub fn with(&self, plan: Plan) -> Self {
        Self {
            plan,
            ..self.clone()
        }
    }

    /// The RIM that a launch description leads to, in hexadecimal, as the relying party computes it.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn rim(&self, description: &Path) -> Result<String, Box<dyn Error>> {
        let output = Command::new(&self.tool)
            .arg("rim")
            .arg(description)
            .output()
            .map_err(|error| format!("{}: {error}", self.tool.display()))?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().into())
        }
    }
}

impl Plan {
    /// Sessions that there are at most: the guest tries twice.
    const SESSIONS: usize = 2;

    /// Whether the token of a session, counted from 0, gets a flipped bit.
    fn flips(self, session: usize) -> bool {
        match self {
            Self::Honest => false,
            Self::Tampered(tamper) => tamper == Tamper::Token,
            Self::FirstToken => session == 0,
        }
    }

    /// What the guest's own checks must end with.
    pub fn verdict(self) -> &'static str {
        match self {
            Self::Honest | Self::FirstToken => "PASS",
            // The one about the secret, and no other.
            Self::Tampered(_) => "FAIL: 1",
        }
    }

    /// Whether the sessions ended as they must. Returns what to say about it, or why they did not.
    pub fn judge(self, ended: &[Ended], rim: &str) -> Result<String, String> {
        let released = |session: &Ended| match session {
            Ended::Released { rim: found, .. } if found == rim => Ok(()),
            Ended::Released { .. } => Err("the secret was released for another RIM".to_owned()),
            Ended::Refused(why) => Err(format!("the relying party refused: {why}")),
            Ended::Failed(why) => Err(format!("the relying party: {why}")),
        };
        let refused = |session: &Ended, tamper: Tamper| match session {
            Ended::Refused(why) if why.starts_with(tamper.reason()) => Ok(why.clone()),
            Ended::Refused(why) => Err(format!("refused for another reason: {why}")),
            Ended::Released { .. } => {
                Err("TAMPERING WAS NOT NOTICED, the secret was released".into())
            }
            Ended::Failed(why) => Err(format!("the relying party: {why}")),
        };
        match (self, ended) {
            (_, []) => Err("the guest did not come to the relying party".into()),
            (Self::Honest, all) => {
                all.iter().try_for_each(released)?;
                match all.len() {
                    1 => Ok("token verified, secret released".into()),
                    count => Err(format!("{count} sessions of an honest guest")),
                }
            }
            (Self::FirstToken, [one, two]) => {
                refused(one, Tamper::Token)?;
                released(two)?;
                Ok(
                    "the token with a flipped bit refused, the true one verified, secret released"
                        .into(),
                )
            }
            (Self::Tampered(tamper), all) => {
                let mut reason = String::new();
                for one in all {
                    reason = refused(one, tamper)?;
                }
                Ok(format!("as it must be, there is no secret: {reason}"))
            }
            (_, all) => Err(format!("{} sessions: {all:?}", all.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(words: &[&str]) -> Result<(Option<Attestation>, Vec<String>), String> {
        let mut words = words.iter().map(ToString::to_string).collect();
        let taken = Attestation::take(&mut words).map_err(|error| error.to_string())?;
        Ok((taken, words))
    }

    #[test]
    fn arguments_are_taken_out() {
        assert_eq!(
            take(&["--smp", "2"]),
            Ok((None, vec!["--smp".into(), "2".into()]))
        );
        assert_eq!(take(&["--tamper", ""]), Ok((None, vec![])));
        let words = [
            "--mem",
            "3G",
            "--relying-party",
            "t",
            "--anchor",
            "a",
            "--tamper",
            "page",
        ];
        let (taken, rest) = take(&words).unwrap();
        assert_eq!(taken.unwrap().plan, Plan::Tampered(Tamper::Page));
        assert_eq!(rest, ["--mem", "3G"]);
        assert_eq!(take(&words[2..6]).unwrap().0.unwrap().plan, Plan::Honest);
        for bad in [
            &["--tamper", "page"][..],
            &["--relying-party"],
            &["--relying-party", "t"],
            &["--relying-party", "t", "--anchor", "a", "--tamper", "luck"],
        ] {
            assert!(take(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_planned_end_will_do() {
        let released = |rim: &str| Ended::Released {
            rim: rim.into(),
            challenge: String::new(),
        };
        let refused = |why: &str| Ended::Refused(why.into());
        let (good, other) = (released("ab"), released("cd"));
        let (rim, signature) = (refused("rim: no"), refused("realm-signature: no"));
        let failed = Ended::Failed("exit code 5".into());
        let all = [&good, &other, &rim, &signature, &failed];
        let mut ends: Vec<Vec<Ended>> = vec![vec![]];
        for one in all {
            ends.push(vec![one.clone()]);
            ends.extend(all.map(|two| vec![one.clone(), two.clone()]));
        }
        for (plan, wanted) in [
            (Plan::Honest, vec![vec![&good]]),
            (Plan::FirstToken, vec![vec![&signature, &good]]),
            (
                Plan::Tampered(Tamper::Page),
                vec![vec![&rim], vec![&rim, &rim]],
            ),
            (
                Plan::Tampered(Tamper::Param),
                vec![vec![&rim], vec![&rim, &rim]],
            ),
            (
                Plan::Tampered(Tamper::Token),
                vec![vec![&signature], vec![&signature, &signature]],
            ),
        ] {
            for end in &ends {
                let wanted = wanted.contains(&end.iter().collect());
                assert_eq!(plan.judge(end, "ab").is_ok(), wanted, "{plan:?} {end:?}");
            }
        }
    }
}
