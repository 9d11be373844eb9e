// SPDX-License-Identifier: BSD-3-Clause
//! Messages over a stream of bytes that may be anything: a socket, a pipe, a virtio or serial console.
//!
//! A message is one or more lines of printable text:
//!
//! ```text
//! CCA1 G token 2/4 BASE64URL CHECKSUM
//! ```
//!
//! that is: magic, sender (`G`uest or `R`elying party), kind, number of the part and of all parts, up to 510
//! bytes, and the first 4 bytes of their SHA-256. Text survives a terminal that translates line ends,
//! echoes, or treats control characters; short lines fit its buffer. Every other line, such as a kernel's
//! messages, and what the own side sent is skipped. The checksum finds lines that were damaged by accident.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

const MAGIC: &str = "CCA1 ";

/// Bytes of a message in one line.
const PART: usize = 510;

/// Longest line that is looked at.
const MAX_LINE: usize = 1024;

/// Lines that wait to be looked at. The reader stops at more.
const MAX_WAITING: usize = 64;

/// How long a device without a peer is left alone before it is read again.
const IDLE: Duration = Duration::from_millis(50);

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The Realm.
    Guest,
    /// The relying party.
    Party,
}

impl Side {
    fn letter(self) -> &'static str {
        match self {
            Self::Guest => "G",
            Self::Party => "R",
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The guest's public key.
    Hello,
    /// The relying party's nonce.
    Nonce,
    /// The CCA token.
    Token,
    /// The encrypted secret.
    Release,
    /// There will be no secret.
    Refused,
    /// The guest has the secret.
    Received,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Hello,
        Self::Nonce,
        Self::Token,
        Self::Release,
        Self::Refused,
        Self::Received,
    ];

    fn sender(self) -> Side {
        match self {
            Self::Hello | Self::Token | Self::Received => Side::Guest,
            Self::Nonce | Self::Release | Self::Refused => Side::Party,
        }
    }

    /// Largest body in bytes.
    fn limit(self) -> usize {
        match self {
            Self::Hello | Self::Nonce | Self::Received => 32,
            Self::Release => super::release::RELEASE_SIZE,
            Self::Refused => 0,
            Self::Token => 64 * 1024,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Nonce => "nonce",
            Self::Token => "token",
            Self::Release => "release",
            Self::Refused => "refused",
            Self::Received => "received",
        })
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its content.
    pub body: Vec<u8>,
}

/// Why no message could be sent or received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
    /// The other side is gone.
    #[error("the carrier was closed")]
    Closed,
    /// The carrier failed.
    #[error("the carrier failed: {0}")]
    Failed(String),
    /// The body is too large for its kind.
    #[error("a message of {0} bytes is too large")]
    TooLarge(usize),
}

/// What the end of the input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// The other side is gone: a socket or pipe.
    Closed,
    /// The other side is not there now: a device, such as a virtio port without a Host's reader.
    Wait,
}

/// One end of a carrier.
pub struct Carrier {
    side: Side,
    output: Box<dyn Write + Send>,
    lines: Receiver<Result<String, Error>>,
    dropped: Arc<AtomicBool>,
    open: Option<Open>,
}

/// A message of which some parts have come.
struct Open {
    kind: Kind,
    parts: usize,
    next: usize,
    body: Vec<u8>,
}

impl Carrier {
    /// The end of `side`. A thread reads `input` until its end, or until the carrier is dropped and another
    /// byte comes.
    pub fn new(
        side: Side,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        at_end: AtEnd,
    ) -> Self {
        let (sender, lines) = sync_channel(MAX_WAITING);
        let dropped = Arc::new(AtomicBool::new(false));
        let reader = LineReader {
            sender,
            at_end,
            dropped: dropped.clone(),
        };
        std::thread::spawn(move || reader.run(input));
        Self {
            side,
            output: Box::new(output),
            lines,
            dropped,
            open: None,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Failed`].
    pub fn send(&mut self, kind: Kind, body: &[u8]) -> Result<(), Error> {
        if body.len() > kind.limit() {
            return Err(Error::TooLarge(body.len()));
        }
        let count = body.len().div_ceil(PART).max(1);
        let mut text = String::new();
        for number in 0..count {
            let from = number * PART;
            let part = &body[from..body.len().min(from + PART)];
            let letter = self.side.letter();
            let line = format!(
                "{MAGIC}{letter} {kind} {}/{count} {} {}\n",
                number + 1,
                Base64UrlUnpadded::encode_string(part),
                checksum(part)
            );
            text.push_str(&line);
        }
        self.output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush())
            .map_err(|e| Error::Failed(e.to_string()))
    }

    /// The next whole message of the other side.
    ///
    /// # Errors
    /// [`Error::Timeout`] at `deadline`, [`Error::Closed`], [`Error::Failed`].
    pub fn receive(&mut self, deadline: Instant) -> Result<Message, Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Without this a peer that never stops sending lines would hold us for ever.
            if left.is_zero() {
                return Err(Error::Timeout);
            }
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line?,
                Err(RecvTimeoutError::Timeout) => return Err(Error::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Closed),
            };
            if let Some(message) = self.line(&line) {
                return Ok(message);
            }
        }
    }

    /// Takes in one line. Whatever is not the expected next part is dropped, and with it what came before.
    fn line(&mut self, line: &str) -> Option<Message> {
        let part = Part::parse(line)?;
        if part.kind.sender() != part.side || part.side == self.side {
            return None;
        }
        let mut open = match self.open.take() {
            _ if part.number == 1 => Open {
                kind: part.kind,
                parts: part.count,
                next: 1,
                body: Vec::new(),
            },
            Some(open) => open,
            None => return None,
        };
        if (open.kind, open.parts, open.next) != (part.kind, part.count, part.number)
            || open.body.len() + part.bytes.len() > open.kind.limit()
        {
            return None;
        }
        open.body.extend_from_slice(&part.bytes);
        open.next += 1;
        if open.next > open.parts {
            return Some(Message {
                kind: open.kind,
                body: open.body,
            });
        }
        self.open = Some(open);
        None
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

fn checksum(part: &[u8]) -> String {
    crate::hex::encode(&Sha256::digest(part)[..4])
}

/// A line, taken apart.
struct Part {
    side: Side,
    kind: Kind,
    number: usize,
    count: usize,
    bytes: Vec<u8>,
}

impl Part {
    fn parse(line: &str) -> Option<Self> {
        // A terminal may have left something of another line before.
        let (_, text) = line.split_once(MAGIC)?;
        // Not by any white space: the part of an empty message is empty.
        let mut words = text.trim_end().split(' ');
        let side = match words.next()? {
            "G" => Side::Guest,
            "R" => Side::Party,
            _ => return None,
        };
        let kind = Kind::named(words.next()?)?;
        let (number, count) = words.next()?.split_once('/')?;
        let bytes = Base64UrlUnpadded::decode_vec(words.next()?).ok()?;
        let (number, count) = (number.parse().ok()?, count.parse().ok()?);
        let right = words.next()? == checksum(&bytes) && words.next().is_none();
        (right && number >= 1 && number <= count).then_some(Self {
            side,
            kind,
            number,
            count,
            bytes,
        })
    }
}

struct LineReader {
    sender: SyncSender<Result<String, Error>>,
    at_end: AtEnd,
    dropped: Arc<AtomicBool>,
}

impl LineReader {
    fn run(self, mut input: impl Read) {
        let mut line = Vec::new();
        // Inside a line that is longer than any of ours.
        let mut skipping = false;
        let mut buffer = [0; 4096];
        loop {
            if self.dropped.load(Ordering::Relaxed) {
                return;
            }
            let read = match input.read(&mut buffer) {
                Ok(0) if self.at_end == AtEnd::Wait => {
                    std::thread::sleep(IDLE);
                    continue;
                }
                Ok(0) => return,
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // The receiver may be gone already; then nobody needs to know.
                    let _ = self.sender.send(Err(Error::Failed(error.to_string())));
                    return;
                }
            };
            for byte in read {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&line).into_owned();
                        line.clear();
                        if !std::mem::take(&mut skipping)
                            && text.contains(MAGIC)
                            && self.sender.send(Ok(text)).is_err()
                        {
                            return;
                        }
                    }
                    _ if skipping => {}
                    _ if line.len() >= MAX_LINE => skipping = true,
                    byte => line.push(*byte),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .expect("the test's buffer")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn sent(side: Side, kind: Kind, body: &[u8]) -> String {
        let out = Shared::default();
        let mut carrier = Carrier::new(side, std::io::empty(), out.clone(), AtEnd::Closed);
        carrier.send(kind, body).expect("a small message");
        String::from_utf8(out.0.lock().expect("the test's buffer").clone()).expect("text")
    }

    fn received(side: Side, bytes: impl Into<Vec<u8>>) -> Result<Message, Error> {
        let mut carrier = Carrier::new(
            side,
            Cursor::new(bytes.into()),
            std::io::sink(),
            AtEnd::Closed,
        );
        carrier.receive(Instant::now() + Duration::from_secs(10))
    }

    fn token(size: usize) -> Vec<u8> {
        (0..=250).cycle().take(size).collect()
    }

    #[test]
    fn messages_of_every_size_arrive() {
        for size in [0, 1, 509, 510, 511, 1020, 4000, 64 * 1024] {
            let text = sent(Side::Guest, Kind::Token, &token(size));
            assert!(
                text.lines()
                    .all(|line| line.len() < MAX_LINE && line.is_ascii())
            );
            let message = received(Side::Party, text).expect("a message");
            assert_eq!((message.kind, message.body), (Kind::Token, token(size)));
        }
    }

    #[test]
    fn a_terminal_between_does_no_harm() {
        let text = sent(Side::Guest, Kind::Token, &token(1500));
        let own = sent(Side::Party, Kind::Nonce, &[1; 32]);
        let lines: Vec<&str> = text.lines().collect();
        let noisy = format!(
            "{own}[    0.1] Booting Linux\r\n~ # {}\r\n\u{fffd}\x1b[0m\r\n{}\r\n{own}{}\r\n{}\r\n",
            lines[0],
            "x".repeat(5000),
            lines[1],
            lines[2]
        );
        let mut bytes = noisy.into_bytes();
        bytes.splice(0..0, [0xff, 0, b'\n']);
        assert_eq!(
            received(Side::Party, bytes).expect("a message").body,
            token(1500)
        );
    }

    #[test]
    fn what_is_not_a_whole_message_is_skipped() {
        let text = sent(Side::Guest, Kind::Token, &token(1500));
        let lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        let [one, two, three] = lines.as_slice() else {
            panic!("three parts")
        };
        let hello = sent(Side::Guest, Kind::Hello, &[2; 32]);
        let damaged = two.replacen(&two[30..31], if &two[30..31] == "A" { "B" } else { "A" }, 1);
        let other_kind = three.replace("token", "hello");
        let other_count = three.replace("3/3", "3/4");
        for bad in [
            format!("{two}{three}"),
            format!("{one}{three}"),
            format!("{one}{damaged}{three}"),
            format!("{one}{two}{other_kind}"),
            format!("{one}{two}{other_count}"),
            format!("{one}{two}{two}{three}"),
            three.replace("3/3", "0/3"),
            three.replace("3/3", "4/3"),
            three.replace("3/3", "1/0"),
            three.replace("CCA1", "CCA2"),
            three.replace("3/3", "1/1").replace(" G ", " X "),
            three.replace("3/3", "1/1").replace(" G ", " R "),
            three.replace("3/3", "1/1").replace("token", "secret"),
            three.replace("3/3", "1/1").replace('\n', " more\n"),
            three.replace("3/3", "1/1").replace("token", "hello"), // too long for a hello
            "CCA1 \n".into(),
            "CCA1 G token 1/1\n".into(),
            "CCA1 G token 99999999999999999999/1 AA 00\n".into(),
        ] {
            assert_eq!(
                received(Side::Party, bad.clone()),
                Err(Error::Closed),
                "{bad}"
            );
            let message = received(Side::Party, format!("{bad}{hello}")).expect(&bad);
            assert_eq!(
                (message.kind, message.body),
                (Kind::Hello, vec![2; 32]),
                "{bad}"
            );
        }
    }

    #[test]
    fn time_and_size_are_bounded() {
        let mut carrier = Carrier::new(
            Side::Guest,
            std::io::repeat(b'\n'),
            std::io::sink(),
            AtEnd::Closed,
        );
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(carrier.receive(soon), Err(Error::Timeout));
        let line = "CCA1 R refused 1/1  e3b0c443\n"; // a wrong checksum, for ever
        struct Again(&'static [u8], usize);
        impl Read for Again {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                for byte in buffer.iter_mut() {
                    *byte = self.0[self.1 % self.0.len()];
                    self.1 += 1;
                }
                Ok(buffer.len())
            }
        }
        let mut carrier = Carrier::new(
            Side::Guest,
            Again(line.as_bytes(), 0),
            std::io::sink(),
            AtEnd::Closed,
        );
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(carrier.receive(soon), Err(Error::Timeout));
        let mut carrier = Carrier::new(Side::Guest, std::io::empty(), std::io::sink(), AtEnd::Wait);
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(carrier.receive(soon), Err(Error::Timeout));
        assert_eq!(
            carrier.send(Kind::Hello, &[0; 33]),
            Err(Error::TooLarge(33))
        );
    }
}
