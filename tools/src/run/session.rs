// SPDX-License-Identifier: BSD-3-Clause
//! A guest's console on the terminal. The kernel's log, up to the first line that is not part of it, is
//! treated as without a terminal; from there on the terminal belongs to the guest.

use crate::qemu::{Boot, Options};
use crate::show;
use crate::terminal::{self, Output, Raw};
use std::error::Error;
use std::sync::mpsc::Sender;
use tests_fvp::guest::TO_PORT;

/// What the guest sends to its second port to learn the size of the window.
pub const SIZE: &str = "size?";
/// Seconds that mean no limit.
pub const NO_LIMIT: u64 = 10 * 365 * 86_400;

/// The terminal of a run.
pub struct Session {
    /// What writes to the machine's UART.
    machine: Sender<Vec<u8>>,
    /// The guest's line so far.
    line: Vec<u8>,
    state: State,
}

enum State {
    /// The guest has the terminal only when it prints something that is not its kernel's log.
    Boots,
    /// The terminal is the guest's. `None` if standard input is no terminal.
    Raw(#[allow(dead_code, reason = "its drop restores the terminal")] Option<Raw>),
    /// The guest is off.
    Over,
}

impl Session {
    /// A session with the guest of a machine that has just been started.
    ///
    /// # Errors
    ///
    /// If the machine has no input.
    pub fn start(boot: &mut Boot) -> Result<Self, Box<dyn Error>> {
        let input = boot.input().ok_or("QEMU has no input")?;
        Ok(Self {
            machine: terminal::writer(input),
            line: Vec::new(),
            state: State::Boots,
        })
    }

    /// Bytes that the guest sends. Whole lines of it go to `take`, without what a terminal needs.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be used.
    pub fn console(
        &mut self,
        boot: &Boot,
        bytes: &[u8],
        mut take: impl FnMut(&str),
    ) -> Result<(), Box<dyn Error>> {
        for byte in bytes {
            self.line.push(*byte);
            if matches!(self.state, State::Raw(_)) {
                show::console(&[*byte]);
            } else if show::is_kernel(&self.line) == Some(false) && *byte != b'\n' {
                self.enter(boot)?;
                show::console(&self.line);
            }
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                take(line.trim_end_matches(['\r', '\n']));
            }
        }
        Ok(())
    }

    fn enter(&mut self, boot: &Boot) -> Result<(), Box<dyn Error>> {
        if matches!(self.state, State::Boots) {
            terminal::watch_signals(boot.bell())?;
            self.state = State::Raw(Raw::enter(Output::Raw)?);
            terminal::listen(boot.bell(), self.machine.clone());
            show::raw(true);
        }
        Ok(())
    }

    /// Sends the guest the size of the window, by its second port.
    pub fn resize(&self) {
        let (rows, columns) = terminal::size();
        let line = format!("{TO_PORT}{rows} {columns}");
        show::machine(&line);
        let line = line + "\n";
        // A machine that is off has no window.
        let _ = self.machine.send(line.into_bytes());
    }

    /// The guest is off: restores the terminal.
    pub fn end(&mut self) {
        self.state = State::Over;
        show::raw(false);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// A machine with a user has no limit but those that were asked for.
pub fn unlimited(options: &mut Options) {
    options.silence = NO_LIMIT;
}
