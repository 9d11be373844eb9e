// SPDX-License-Identifier: BSD-3-Clause
//! What is typed for a machine's console: whether it may be read, and the way out.

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::io::{IsTerminal, stdin};

/// Whether input may be read: a job in the background that reads the terminal is stopped.
pub fn readable() -> bool {
    let input = stdin();
    !input.is_terminal() || tcgetpgrp(&input).is_ok_and(|group| group == getpgrp())
}

/// Ctrl-A.
const ESCAPE: u8 = 1;

/// Finds the way out in what is typed: Ctrl-A X. Ctrl-A twice is one Ctrl-A for the machine.
#[derive(Debug, Default)]
pub struct Escape {
    /// The last byte was Ctrl-A.
    pending: bool,
}

impl Escape {
    /// Removes what is not for the machine. `None` at the way out.
    pub fn filter(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        let mut kept = Vec::with_capacity(typed.len());
        for &byte in typed {
            match (std::mem::take(&mut self.pending), byte) {
                (true, b'x' | b'X') => return None,
                (false, ESCAPE) => self.pending = true,
                (true, ESCAPE) => kept.push(ESCAPE),
                (true, other) => kept.extend([ESCAPE, other]),
                (false, other) => kept.push(other),
            }
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_x_is_the_way_out() {
        let filter = |pieces: &[&[u8]]| {
            let mut escape = Escape::default();
            let mut all = Vec::new();
            for piece in pieces {
                all.extend(escape.filter(piece)?);
            }
            Some(all)
        };
        assert_eq!(filter(&[b"ls\r\x03\x1a"]), Some(b"ls\r\x03\x1a".to_vec()));
        assert_eq!(filter(&[b"a\x01x"]), None);
        assert_eq!(filter(&[b"a\x01", b"X"]), None);
        assert_eq!(filter(&[b"\x01", b"\x01x"]), Some(b"\x01x".to_vec()));
        assert_eq!(filter(&[b"\x01bx"]), Some(b"\x01bx".to_vec()));
    }
}
