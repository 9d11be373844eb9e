// SPDX-License-Identifier: BSD-3-Clause
//! The way between the Host and the relying party, line by line.

use super::tamper::flip_token;
use super::{Attestation, Ended, Plan, TO_REALM};
use crate::show;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the relying party's own lines are printed with.
pub const NAME: &str = "relying party: ";
/// How long a relying party may take to end when its carrier is closed.
const END: Duration = Duration::from_secs(10);

/// The sessions of a run.
pub struct Exchange {
    /// What starts a session.
    start: Start,
    plan: Plan,
    /// Input of the test Host.
    host: Arc<Mutex<ChildStdin>>,
    current: Option<Session>,
    ended: Vec<Ended>,
}

/// What a session is started with.
struct Start {
    tool: PathBuf,
    arguments: Vec<String>,
}

impl Exchange {
    /// Starts the relying party. It gets the secret's file and the launch description, and keeps the last token
    /// in a file.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(
        attestation: &Attestation,
        secret: &Path,
        (description, token): (&Path, &Path),
        seconds: u64,
        host: ChildStdin,
    ) -> Result<Self, Box<dyn Error>> {
        let text = |path: &Path| path.display().to_string();
        let arguments = [
            ("--carrier", "stdio".into()),
            ("--timeout", seconds.to_string()),
            ("--secret", text(secret)),
            ("--anchor", text(&attestation.anchor)),
            ("--launch", text(description)),
            ("--token-out", text(token)),
        ];
        // TF-A has no other keys for this board; the relying party says so.
        let mut words = vec!["serve".into(), "--allow-test-keys".into()];
        words.extend(
            arguments
                .into_iter()
                .flat_map(|(name, value)| [name.into(), value]),
        );
        let mut exchange = Self {
            start: Start {
                tool: attestation.tool.clone(),
                arguments: words,
            },
            plan: attestation.plan,
            host: Arc::new(Mutex::new(host)),
            current: None,
            ended: Vec::new(),
        };
        exchange.begin()?;
        Ok(exchange)
    }

    fn begin(&mut self) -> Result<(), Box<dyn Error>> {
        self.current = Some(Session::start(&self.start, self.host.clone())?);
        Ok(())
    }

    /// Carries a line from the Realm. A guest that was refused finds the next session.
    ///
    /// # Errors
    ///
    /// If the relying party cannot be started again.
    pub fn carry(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        if let Some(session) = self.current.take_if(Session::is_over) {
            self.ended.push(session.end());
        }
        let refused = matches!(self.ended.last(), Some(Ended::Refused(_)));
        if self.current.is_none() && refused && self.ended.len() < Plan::SESSIONS {
            self.begin()?;
        }
        let flipped = if self.plan.flips(self.ended.len()) {
            flip_token(line)
        } else {
            None
        };
        if let Some(session) = &mut self.current {
            session.send(flipped.as_deref().unwrap_or(line));
        }
        Ok(())
    }

    /// The machine is off. Returns how each session ended.
    pub fn finish(mut self) -> Vec<Ended> {
        if let Some(session) = self.current.take() {
            self.ended.push(session.end());
        }
        self.ended
    }
}

/// A running relying party. It is ended when this is dropped.
struct Session {
    child: Child,
    lines: Option<JoinHandle<Vec<String>>>,
}

impl Session {
    fn start(start: &Start, host: Arc<Mutex<ChildStdin>>) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(&start.tool)
            .args(&start.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", start.tool.display()))?;
        let output = child
            .stdout
            .take()
            .ok_or("the relying party has no output")?;
        let errors = child
            .stderr
            .take()
            .ok_or("the relying party has no output")?;
        std::thread::spawn(move || {
            each_line(output, |line| {
                show::machine(&shown(&format!("{TO_REALM}{line}")));
                // A machine that is off needs no answer.
                if let Ok(mut host) = host.lock() {
                    let _ = writeln!(host, "{TO_REALM}{line}").and_then(|()| host.flush());
                }
            });
        });
        let lines = std::thread::spawn(move || {
            let mut lines = Vec::new();
            each_line(errors, |line| {
                show::relying_party(NAME, line);
                lines.push(line.to_owned());
            });
            lines
        });
        Ok(Self {
            child,
            lines: Some(lines),
        })
    }

    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.child.stdin {
            // One that has just ended needs no more lines.
            let _ = writeln!(input, "{line}").and_then(|()| input.flush());
        }
    }

    /// Closes the carrier and waits for the end.
    fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let end = Instant::now() + END;
        while !self.is_over() {
            if Instant::now() > end {
                return Ended::Failed("does not end".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().ok().and_then(|status| status.code());
        let lines = self.lines.take().and_then(|thread| thread.join().ok());
        Ended::of(code, &lines.unwrap_or_default())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // By its own handle; it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What exit code and lines of `cca-token serve` amount to.
    fn of(code: Option<i32>, lines: &[String]) -> Self {
        let after = |start: &str| lines.iter().find_map(|line| line.strip_prefix(start));
        let has = |text: &str| lines.iter().any(|line| line == text);
        let verified = after("token: verified, RIM ").zip(after("guest: token for challenge "));
        match (code, verified, after("token: refused: ")) {
            (Some(0), Some((rim, challenge)), None)
                if has("secret: released") && has("secret: received by the guest") =>
            {
                Self::Released {
                    rim: rim.into(),
                    challenge: challenge.into(),
                }
            }
            (Some(1), None, Some(why)) if has("secret: withheld") && !has("secret: released") => {
                Self::Refused(why.into())
            }
            _ => Self::Failed(match lines.last() {
                Some(line) => format!("{line} (exit code {code:?})"),
                None => format!("exit code {code:?}"),
            }),
        }
    }
}

fn each_line(from: impl Read, mut take: impl FnMut(&str)) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        take(&line);
    }
}

/// A line that is carried, as people get to see it: most of a token is noise.
pub fn shown(line: &str) -> String {
    const LIMIT: usize = 100;
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}... ({} characters)", &line[..end], line.chars().count()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::Tamper;

    #[test]
    fn a_release_needs_every_line_and_the_exit_code() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let good = "serve: ready at stdio\nguest: key 00\nguest: token for challenge 11\n\
             token: verified, RIM 22\nplatform: TEST KEYS, no security\nsecret: released\n\
             secret: received by the guest";
        let released = Ended::Released {
            rim: "22".into(),
            challenge: "11".into(),
        };
        assert_eq!(Ended::of(Some(0), &lines(good)), released);
        for code in [None, Some(1), Some(5)] {
            assert!(matches!(Ended::of(code, &lines(good)), Ended::Failed(_)));
        }
        for missing in ["guest: token", "token: ver", "secret: rel", "secret: rec"] {
            let rest: Vec<_> = lines(good)
                .into_iter()
                .filter(|line| !line.starts_with(missing))
                .collect();
            assert!(
                matches!(Ended::of(Some(0), &rest), Ended::Failed(_)),
                "{missing}"
            );
        }
        let bad = "guest: token for challenge 11\ntoken: refused: rim: no\nsecret: withheld";
        assert_eq!(
            Ended::of(Some(1), &lines(bad)),
            Ended::Refused("rim: no".into())
        );
        assert!(matches!(Ended::of(Some(0), &lines(bad)), Ended::Failed(_)));
        let both = format!("{bad}\nsecret: released");
        assert!(matches!(
            Ended::of(Some(1), &lines(&both)),
            Ended::Failed(_)
        ));
        assert!(matches!(Ended::of(Some(2), &[]), Ended::Failed(_)));
    }

    /// What sessions that answer each line by a refusal get to see, and how they end.
    fn refused(plan: Plan, lines: &[&str]) -> (Vec<String>, Vec<Ended>) {
        let folder = format!("rmm-exchange-{plan:?}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir(&folder).unwrap();
        let shell = |script: String| Start {
            tool: "/bin/sh".into(),
            arguments: vec!["-c".into(), script],
        };
        let seen = folder.join("seen");
        let party = shell(format!(
            "read line; echo \"$line\" >>'{}'; echo answer\n\
             echo 'token: refused: why' >&2; echo 'secret: withheld' >&2; exit 1",
            seen.display()
        ));
        let host = shell(format!("cat >'{}'", folder.join("host").display()));
        let mut host = Command::new(&host.tool)
            .args(&host.arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut exchange = Exchange {
            start: party,
            plan,
            host: Arc::new(Mutex::new(host.stdin.take().unwrap())),
            current: None,
            ended: Vec::new(),
        };
        exchange.begin().unwrap();
        for line in lines {
            exchange.carry(line).unwrap();
            let end = Instant::now() + END;
            while exchange.current.as_mut().is_some_and(|s| !s.is_over()) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let ended = exchange.finish();
        host.wait().unwrap();
        let answers = std::fs::read_to_string(folder.join("host")).unwrap();
        assert_eq!(answers, "carrier< answer\n".repeat(ended.len()));
        let seen = std::fs::read_to_string(seen).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        (seen.lines().map(str::to_owned).collect(), ended)
    }

    #[test]
    fn a_refused_guest_finds_one_more_session() {
        let token = "CCA1 G token 1/1 YWJj ba7816bf";
        let flipped = "CCA1 G token 1/1 YWJi 715edf8b";
        for (plan, wanted) in [
            (Plan::Honest, [token, token]),
            (Plan::FirstToken, [flipped, token]),
            (Plan::Tampered(Tamper::Page), [token, token]),
            (Plan::Tampered(Tamper::Token), [flipped, flipped]),
        ] {
            let (seen, ended) = refused(plan, &[token, token, token]);
            assert_eq!(seen, wanted, "{plan:?}");
            assert_eq!(ended, vec![Ended::Refused("why".into()); 2], "{plan:?}");
        }
    }

    #[test]
    fn long_lines_are_shown_short() {
        assert_eq!(shown("short"), "short");
        let long = "x".repeat(700);
        assert_eq!(
            shown(&long),
            format!("{}... (700 characters)", "x".repeat(100))
        );
    }
}
