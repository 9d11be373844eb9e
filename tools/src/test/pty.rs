// SPDX-License-Identifier: BSD-3-Clause
//! A program under a pseudo terminal, which a test types at and looks at.

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A running program, which is killed on drop.
pub struct Terminal {
    child: Child,
    master: File,
    /// The program's end, which stays open to look at its settings.
    slave: File,
    output: Receiver<Vec<u8>>,
    /// Everything that was printed.
    text: String,
    /// How much of it has been looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a program on a terminal with so many rows and columns.
    ///
    /// # Errors
    ///
    /// If there is no terminal or no such program.
    pub fn start(mut command: Command, size: (u16, u16)) -> Result<Self, Box<dyn Error>> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_string()?;
        let slave = File::options().read(true).write(true).open(name)?;
        let master = File::from(master);
        tcsetwinsize(&master, window(size))?;
        command.stdin(slave.try_clone()?);
        command.stdout(slave.try_clone()?);
        command.stderr(slave.try_clone()?);
        let child = command.spawn()?;
        let (sender, output) = channel();
        let mut reader = master.try_clone()?;
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            master,
            slave,
            output,
            text: String::new(),
            seen: 0,
        })
    }

    /// Types.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn send(&mut self, keys: &str) -> Result<(), String> {
        let sent = self.master.write_all(keys.as_bytes());
        sent.map_err(|error| format!("{keys:?} cannot be typed: {error}"))
    }

    /// Waits for a text behind what was waited for before.
    ///
    /// # Errors
    ///
    /// If it does not come in time; what came instead.
    pub fn expect(&mut self, text: &str, seconds: u64) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let new = self.text.get(self.seen..).unwrap_or_default();
            if let Some(at) = new.find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(_) => return Err(format!("no {text:?}, but {new:?}")),
            }
        }
    }

    /// Changes the size of the window, as a terminal reports it to the program.
    ///
    /// # Errors
    ///
    /// If the terminal or the program is gone.
    pub fn resize(&self, size: (u16, u16)) -> Result<(), String> {
        tcsetwinsize(&self.master, window(size)).map_err(|error| error.to_string())?;
        self.signal(Signal::WINCH)
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or("the program has no number")?;
        kill_process(id, signal).map_err(|error| error.to_string())
    }

    /// Whether the terminal is raw: it neither echoes nor makes signals of keys.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn is_raw(&self) -> Result<bool, String> {
        let modes = tcgetattr(&self.slave).map_err(|error| error.to_string())?;
        let cooked = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        Ok(!modes.local_modes.intersects(cooked))
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub fn wait(&mut self, seconds: u64) -> Result<ExitStatus, String> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the program does not end".into())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn window((ws_row, ws_col): (u16, u16)) -> Winsize {
    Winsize {
        ws_row,
        ws_col,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
