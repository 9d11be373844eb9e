// SPDX-License-Identifier: BSD-3-Clause
//! A shell in a Realm, used as from a terminal.

use super::pty::Terminal;
use crate::guest::Guest;
use crate::qemu::Options;
use std::error::Error;
use std::process::Command;

/// Seconds until the guest's shell is there, and for each answer of it. An idle machine needs a tenth.
const BOOT: u64 = 400;
const ANSWER: u64 = 60;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1A";
const UP: &str = "\x1B[A";
const PROMPT: &str = "realm:~# ";

/// Boots a guest with a shell, and uses it.
///
/// # Errors
///
/// What does not work.
pub fn session(options: &Options, guest: &Guest) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["run", "--qemu", &options.qemu, "--flash", &options.flash]);
    command.args(["--board", options.board.name]);
    command.args(["--jump", &options.jump, "--test-host", &options.host]);
    command.args(guest.arguments()).arg("--interactive");
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command, (31, 97))?;
    let used = use_shell(&mut terminal);
    used.map_err(|why| format!("{why}; see console.log of the guest").into())
}

fn use_shell(shell: &mut Terminal) -> Result<(), String> {
    shell.expect(PROMPT, BOOT)?;
    raw(shell, true)?;
    // What the shell computes is not in the echo of what was typed.
    ask(shell, "echo $TERM-$((40 + 2))", "xterm-42", ANSWER)?;
    ask(shell, "stty size", "31 97", ANSWER)?;
    shell.resize((44, 133))?;
    let command = "for i in $(seq 50); do [ \"$(stty size)\" = '44 133' ] && break; sleep 0.2; done; \
                   echo size-$(stty size | tr ' ' x)";
    ask(shell, command, "size-44x133", ANSWER)?;

    // One job that prints and then waits: a key that comes early stops it all the same.
    let waits = |n| format!("sh -c 'echo $(({n} + 1))-starts; exec sleep 10000'");
    ask(shell, &waits(1), "2-starts", ANSWER)?;
    shell.send(CTRL_C)?;
    ask(shell, "echo code-$?", "code-130", ANSWER)?;
    ask(shell, &waits(2), "3-starts", ANSWER)?;
    shell.send(CTRL_Z)?;
    shell.expect("Stopped", ANSWER)?;
    ask(
        shell,
        "kill -9 %1; wait %1; echo $((3 + 1))-left",
        "4-left",
        ANSWER,
    )?;
    let upper = "sh -c 'echo $((4 + 1))-starts; tr a-z A-Z'; echo end-$?";
    ask(shell, upper, "5-starts", ANSWER)?;
    ask(shell, "words", "words", ANSWER)?;
    shell.send(CTRL_D)?;
    shell.expect("WORDS", ANSWER)?;
    shell.expect("end-0", ANSWER)?;
    ask(shell, "echo $((70 + 7))-again", "77-again", ANSWER)?;
    shell.expect(PROMPT, ANSWER)?;
    ask(shell, UP, "77-again", ANSWER)?;

    // More than the guest's console can hold at once.
    ask(shell, "wc -c <<END | tr 0-9 a-j", "> ", ANSWER)?;
    for _ in 0..100 {
        ask(shell, &"x".repeat(59), "> ", ANSWER)?;
    }
    ask(shell, "END", "gaaa", ANSWER)?;

    ask(shell, "exit", "run: PASS", ANSWER * 4)?;
    let status = shell.wait(ANSWER)?;
    if !status.success() {
        return Err(format!("after exit: {status}"));
    }
    raw(shell, false)
}

/// Types a line, and waits for a text in the answer.
fn ask(shell: &mut Terminal, line: &str, answer: &str, seconds: u64) -> Result<(), String> {
    shell.send(line)?;
    shell.send("\r")?;
    shell.expect(answer, seconds)
}

fn raw(shell: &Terminal, wanted: bool) -> Result<(), String> {
    if shell.is_raw()? == wanted {
        Ok(())
    } else {
        Err(format!("the terminal is raw: {}", !wanted))
    }
}
