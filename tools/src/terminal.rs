// SPDX-License-Identifier: BSD-3-Clause
//! The terminal while a guest's console has it: raw, so that every key reaches the guest, and restored
//! on every way out: return, panic, and signals that end this process.

use crate::payload::terminal::Escape;
use crate::qemu::{Ask, Bell};
use rustix::process::getpgrp;
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, IsTerminal, Read, Write, stdin};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, Once, PoisonError};
use tests_fvp::guest::CONSOLE;

/// The end of input in a line discipline (Ctrl-D).
const END_OF_INPUT: u8 = 0x04;

/// The terminal's settings before it became raw, while it is raw.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// What a raw terminal does with what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing: what prints sends carriage returns, too.
    Raw,
    /// A line feed alone begins a line, as it does in a file.
    Lines,
}

/// A raw terminal.
pub struct Raw(());

impl Raw {
    /// Makes the terminal of standard input raw; `None` if standard input is no terminal, or if another job
    /// has it.
    ///
    /// # Errors
    ///
    /// If the terminal refuses.
    pub fn enter(output: Output) -> io::Result<Option<Self>> {
        if !stdin().is_terminal() || in_background() {
            return Ok(None);
        }
        restore_in_a_panic();
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        if output == Output::Lines {
            raw.output_modes |= before.output_modes & (OutputModes::OPOST | OutputModes::ONLCR);
        }
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let entered = Self(());
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(entered))
    }
}

/// Whether this job is not the one that has its terminal: it would be stopped if it used it.
fn in_background() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group != getpgrp())
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal if it is raw.
fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = saved {
        // There is nobody to report to; the terminal may be gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &saved);
    }
}

/// Restores the terminal before a panic's message, and also if a panic ends the process at once.
fn restore_in_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            usual(info);
        }));
    });
}

/// Rows and columns of the terminal, 0 and 0 if they are not known.
pub fn size() -> (u16, u16) {
    match tcgetwinsize(stdin()) {
        Ok(size) => (size.ws_row, size.ws_col),
        Err(_) => (0, 0),
    }
}

/// Handles signals from now on: a new window size rings, the others restore the terminal and end this
/// process as they usually do.
///
/// # Errors
///
/// If they cannot be handled.
pub fn watch_signals(bell: Bell) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGWINCH {
                bell.ring(Ask::Resize);
            } else {
                restore();
                // It does not return.
                let _ = emulate_default_handler(signal);
            }
        }
    });
    Ok(())
}

/// What writes to the machine's UART, in the order of the messages and without making their sender
/// wait: a machine may be slow to read.
pub fn writer(mut machine: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (sender, messages) = channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for bytes in messages {
            // A machine that is off reads nothing.
            let _ = machine.write_all(&bytes).and_then(|()| machine.flush());
        }
    });
    sender
}

/// Sends keys to the guest's console from now on; Ctrl-A X rings. Standard input that is no terminal and ends sends the
/// end of input to the guest.
pub fn listen(bell: Bell, machine: Sender<Vec<u8>>) {
    if in_background() {
        return;
    }
    std::thread::spawn(move || {
        let (mut escape, mut bytes) = (Escape::default(), [0; 1024]);
        while let Ok(count @ 1..) = stdin().read(&mut bytes) {
            let Some(keys) = escape.filter(&bytes[..count]) else {
                bell.ring(Ask::Quit);
                return;
            };
            let _ = machine.send(for_console(&keys));
        }
        if !stdin().is_terminal() {
            let _ = machine.send(for_console(&[END_OF_INPUT]));
        }
    });
}

/// Bytes for the guest's console, as the test Host expects them.
fn for_console(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [CONSOLE, *byte]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::pty::Terminal;

    /// What [`a_panic_restores_the_terminal`] runs in a process of its own.
    #[test]
    #[ignore = "makes its terminal raw"]
    fn panics_with_a_raw_terminal() {
        let raw = Raw::enter(Output::Raw).unwrap();
        assert!(raw.is_some(), "no terminal");
        let (rows, columns) = size();
        println!("raw {rows} {columns}");
        let mut go = [0];
        stdin().read_exact(&mut go).unwrap();
        // As with panic = "abort": no drop restores it.
        std::mem::forget(raw);
        panic!("as wanted");
    }

    #[test]
    fn a_panic_restores_the_terminal() {
        let mut command = std::process::Command::new("/proc/self/exe");
        let name = "terminal::tests::panics_with_a_raw_terminal";
        command.args(["--exact", name, "--ignored", "--nocapture"]);
        let mut terminal = Terminal::start(command, (12, 34)).unwrap();
        terminal.expect("raw 12 34", 60).unwrap();
        assert!(terminal.is_raw().unwrap());
        terminal.send("g").unwrap();
        terminal.expect("as wanted", 60).unwrap();
        assert!(!terminal.wait(60).unwrap().success());
        assert!(!terminal.is_raw().unwrap());
    }

    #[test]
    fn bytes_for_the_console_are_marked() {
        assert_eq!(for_console(b"a\x10\n"), b"\x10a\x10\x10\x10\n");
    }
}
