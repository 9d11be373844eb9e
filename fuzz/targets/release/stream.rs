// SPDX-License-Identifier: BSD-3-Clause
//! Streams of bytes whose other end answers what it sees.

use cca_token::protocol::carrier::{AtEnd, Carrier, Kind, Message, Side};
use std::io::{Cursor, Read, Result, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for what is there already.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for an answer. There may be none: the exchange may be over.
const PATIENCE: Duration = Duration::from_millis(300);

/// What one side has sent.
#[derive(Clone, Default)]
pub struct Sent(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let (sent, more) = &*self.0;
        sent.lock().expect("no panic").extend_from_slice(bytes);
        more.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Sent {
    /// All bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().expect("no panic").clone()
    }

    /// The messages of this kind, once there are as many as `least`, or when no more come.
    pub fn wait(&self, reader: Side, kind: Kind, least: usize) -> Vec<Vec<u8>> {
        let (sent, more) = &*self.0;
        let word = format!(" {kind} ");
        let is_short = |bytes: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(bytes);
            // Last lines of messages.
            let ends = text.lines().filter(|line| {
                let mut words = line.split(' ').skip(3);
                let number = words.next().and_then(|word| word.split_once('/'));
                line.contains(&word) && number.is_some_and(|(part, of)| part == of)
            });
            ends.count() < least
        };
        let bytes = sent.lock().expect("no panic");
        let waited = more.wait_timeout_while(bytes, PATIENCE, is_short);
        let (bytes, _timeout) = waited.expect("no panic");
        let bytes = bytes.clone();
        let messages = received(reader, bytes).into_iter();
        messages
            .filter(|m| m.kind == kind)
            .map(|m| m.body)
            .collect()
    }
}

/// All messages in these bytes, as `side` reads them.
pub fn received(side: Side, bytes: Vec<u8>) -> Vec<Message> {
    let mut carrier = Carrier::new(side, Cursor::new(bytes), std::io::sink(), AtEnd::Closed);
    std::iter::from_fn(|| carrier.receive(Instant::now() + LIMIT).ok()).collect()
}

/// The bytes of a message.
pub fn message(side: Side, kind: Kind, body: &[u8]) -> Vec<u8> {
    let sent = Sent::default();
    let mut carrier = Carrier::new(side, std::io::empty(), sent.clone(), AtEnd::Closed);
    match carrier.send(kind, body) {
        Ok(()) => sent.bytes(),
        Err(_too_large) => Vec::new(),
    }
}

/// An input that asks for its next bytes when all others have been read.
pub struct Script<F> {
    next: F,
    rest: Cursor<Vec<u8>>,
}

impl<F: FnMut() -> Option<Vec<u8>>> Script<F> {
    pub fn new(next: F) -> Self {
        Self {
            next,
            rest: Cursor::default(),
        }
    }
}

impl<F: FnMut() -> Option<Vec<u8>>> Read for Script<F> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let count = self.rest.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            match (self.next)() {
                Some(bytes) => self.rest = Cursor::new(bytes),
                None => return Ok(0),
            }
        }
    }
}
