// SPDX-License-Identifier: BSD-3-Clause
//! A machine whose console is the terminal: what it prints is shown as it comes, what is typed goes
//! to it.

use super::qmp::Pair;
use super::terminal::{Escape, readable};
use crate::qemu::{Options, machine};
use crate::terminal::{Output, Raw};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Limits of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The machine is reset when the console has been silent for so long.
    pub reset_after: Option<Duration>,
    /// The session may take so long.
    pub timeout: Option<Duration>,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The machine powered itself off.
    PoweredOff,
    /// Ctrl-A X was typed.
    Left,
    /// It took too long.
    Timeout,
    /// A signal ended it.
    Signal(i32),
    /// Nobody reads what the console prints any more.
    Unread,
    /// QEMU ended otherwise, with this status.
    Failed(String),
}

/// What happens in a session.
enum Event {
    /// The console printed something.
    Output,
    /// QEMU has closed the console's output.
    Closed,
    /// Something else ends the session.
    End(End),
}

/// Boots, and carries the console until the end.
///
/// # Errors
///
/// If QEMU or a thread cannot be started.
pub fn run(options: &Options, watch: Watch) -> Result<End, Box<dyn Error>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let mut command = machine(options);
    command
        .args(["-serial", "stdio"])
        .args(&options.extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let pair = Pair::add_to(&mut command)?;
    let mut machine = Machine(command.spawn()?);
    let mut qmp = pair.open()?;
    let (sender, events) = channel();

    let raw = match readable() {
        true => Raw::enter(Output::Lines).ok().flatten(),
        false => None,
    };
    if raw.is_some() {
        println!("run: Ctrl-A X ends");
    }
    let output = machine.0.stdout.take().ok_or("QEMU has no output")?;
    let input = machine.0.stdin.take().ok_or("QEMU has no input")?;
    let to = sender.clone();
    std::thread::spawn(move || show(output, &to));
    if readable() {
        let escape = raw.is_some().then(Escape::default);
        let to = sender.clone();
        std::thread::spawn(move || carry(input, escape, &to));
    }
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _ = sender.send(Event::End(End::Signal(signal)));
        }
    });

    let end = watch.timeout.map(|limit| Instant::now() + limit);
    let mut resets = 0;
    let mut silent_since = Instant::now();
    loop {
        let now = Instant::now();
        if end.is_some_and(|end| end <= now) {
            return Ok(End::Timeout);
        }
        let reset = watch.reset_after.map(|limit| silent_since + limit);
        if reset.is_some_and(|reset| reset <= now) {
            resets += 1;
            let seconds = (now - silent_since).as_secs();
            println!("\nrun: silent for {seconds} s: reset number {resets}");
            qmp.reset()?;
            silent_since = now;
            continue;
        }
        let next = [end, reset].into_iter().flatten().min();
        let event = match next {
            Some(next) => events.recv_timeout(next - now),
            None => events.recv().map_err(RecvTimeoutError::from),
        };
        match event {
            Ok(Event::Output) => silent_since = Instant::now(),
            Ok(Event::End(end)) => return Ok(end),
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = machine.0.wait()?;
    drop(raw);
    Ok(if qmp.powered_off() && status.success() {
        End::PoweredOff
    } else {
        End::Failed(status.to_string())
    })
}

/// A QEMU, which is killed on drop.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shows what the console prints, byte by byte as it comes.
fn show(mut output: ChildStdout, to: &Sender<Event>) {
    let mut bytes = [0; 4096];
    let end = loop {
        match output.read(&mut bytes) {
            Ok(0) => break Event::Closed,
            Ok(count) => {
                let mut shown = stdout().lock();
                if shown
                    .write_all(&bytes[..count])
                    .and_then(|()| shown.flush())
                    .is_err()
                {
                    break Event::End(End::Unread);
                }
                if to.send(Event::Output).is_err() {
                    return;
                }
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INTR) => {}
            Err(_) => break Event::Closed,
        }
    };
    let _ = to.send(end);
}

/// Carries what is typed to the machine. An input that ends leaves the machine running.
fn carry(mut input: ChildStdin, mut escape: Option<Escape>, to: &Sender<Event>) {
    let mut bytes = [0; 4096];
    while let Ok(count) = stdin().lock().read(&mut bytes) {
        if count == 0 {
            break;
        }
        let typed = match &mut escape {
            None => Some(bytes[..count].to_vec()),
            Some(escape) => escape.filter(&bytes[..count]),
        };
        let Some(typed) = typed else {
            let _ = to.send(Event::End(End::Left));
            return;
        };
        if input.write_all(&typed).is_err() {
            return;
        }
    }
}
