// SPDX-License-Identifier: BSD-3-Clause
//! A plugin for QEMU (10.0 or newer) that records which instructions were executed.
//!
//! It writes to the file `out` one record for each run of instructions at ascending addresses: the
//! virtual address of the first as 8 bytes, and their number as 4 bytes, little-endian. Arguments:
//!
//! - `out=FILE`
//! - `from=ADDRESS`, `to=ADDRESS`: only instructions in this range, or at addresses that TTBR1_ELx
//!   translates, are recorded. Without them all are.
//! - `armed=on`: records from the start. Otherwise it records between the two `MARKS`, which the
//!   test Host executes.
//!
//! A trace is for machines with one CPU. Besides, or instead:
//!
//! - `stacks=LOW-TOP+LOW-TOP...`: the lowest address in each of these ranges that was loaded from or
//!   stored to goes to the file `deepest`, one a line in the same order; 0 if there was none.

mod qemu;

use qemu::{Executed, Id, Info, Tb};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The version of QEMU's interface that this is written for.
// SAFETY: QEMU looks for this name.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 3;

/// Instructions that do nothing and that no compiler makes: `orr xzr, xzr, x7, lsl #17` begins the
/// recording, the same with `#18` ends it. `tests-fvp/src/smc.rs` has them too.
const MARKS: [u32; 2] = [0xAA07_47FF, 0xAA07_4BFF];

/// First address that TTBR1_ELx translates, of at most 52 bits.
const HIGH: u64 = 0xFFF0_0000_0000_0000;

struct State {
    out: Option<BufWriter<File>>,
    deepest: Option<File>,
    stacks: Vec<Stack>,
    range: Option<Range<u64>>,
    armed: bool,
    /// Address of the first of a run of instructions, and their number.
    run: (u64, u32),
}

/// Memory of a stack.
struct Stack {
    range: Range<u64>,
    /// The lowest address that was accessed.
    lowest: u64,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn of(arguments: &[String]) -> Option<Self> {
        let value = |key: &str| {
            let found = arguments.iter().find_map(|word| word.strip_prefix(key));
            found.and_then(|rest| rest.strip_prefix('='))
        };
        let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        let address = |key: &str| hex(value(key)?);
        let file = |key: &str| File::create(value(key)?).ok();
        let stack = |word: &str| {
            let (low, top) = word.split_once('-')?;
            let range = hex(low)?..hex(top)?;
            let lowest = range.end;
            Some(Stack { range, lowest })
        };
        let stacks = value("stacks").map(|list| list.split('+').map(stack).collect());
        Some(Self {
            out: file("out").map(BufWriter::new),
            deepest: file("deepest"),
            stacks: stacks.unwrap_or(Some(Vec::new()))?,
            range: address("from")
                .zip(address("to"))
                .map(|(from, to)| from..to),
            armed: value("armed") == Some("on"),
            run: (0, 0),
        })
    }

    fn records(&self, address: u64) -> bool {
        self.range
            .as_ref()
            .is_none_or(|range| range.contains(&address) || address >= HIGH)
    }

    fn accessed(&mut self, address: u64) {
        for stack in &mut self.stacks {
            if stack.range.contains(&address) {
                stack.lowest = stack.lowest.min(address);
            }
        }
    }

    fn executed(&mut self, address: u64) {
        if !self.armed {
            return;
        }
        let (start, count) = self.run;
        if address == start.wrapping_add(4 * u64::from(count)) && count < u32::MAX {
            self.run.1 += 1;
        } else {
            self.write_run();
            self.run = (address, 1);
        }
    }

    fn write_run(&mut self) {
        let (start, count) = self.run;
        if let Some(out) = self.out.as_mut().filter(|_| count > 0) {
            // A file that is too short is noticed by whoever reads it.
            let _ = out.write_all(&start.to_le_bytes());
            let _ = out.write_all(&count.to_le_bytes());
        }
        self.run = (0, 0);
    }

    /// Writes what is left, at the end.
    fn finish(mut self) {
        self.write_run();
        if let Some(mut out) = self.out {
            let _ = out.flush();
        }
        for stack in self.stacks {
            let used = stack.lowest < stack.range.end;
            let lowest = if used { stack.lowest } else { 0 };
            if let Some(deepest) = &mut self.deepest {
                let _ = writeln!(deepest, "{lowest:#x}");
            }
        }
    }
}

/// QEMU calls this first.
///
/// # Safety
/// `argv` has `argc` strings.
// SAFETY: QEMU looks for this name, and calls it with these arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let count = usize::try_from(argc).unwrap_or(0);
    let arguments: Vec<String> = (0..count)
        // SAFETY: the caller's promise.
        .map(|n| unsafe { CStr::from_ptr(*argv.add(n)) })
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let Some(new) = State::of(&arguments) else {
        return -1;
    };
    *state() = Some(new);
    // SAFETY: the functions have the types that QEMU calls them by.
    unsafe {
        qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu::qemu_plugin_register_atexit_cb(id, ended, null_mut());
    }
    0
}

/// QEMU has translated a block.
extern "C" fn translated(_: Id, block: *mut Tb) {
    let state = state();
    let Some(state) = state.as_ref() else {
        return;
    };
    // SAFETY: QEMU passes a block, which lives during this call; its instructions have numbers below
    // their count, and `word` has as many bytes as are asked for.
    unsafe {
        for n in 0..qemu::qemu_plugin_tb_n_insns(block) {
            let insn = qemu::qemu_plugin_tb_get_insn(block, n);
            let address = qemu::qemu_plugin_insn_vaddr(insn);
            let mut word = [0_u8; 4];
            qemu::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast(), word.len());
            if address >= HIGH && !state.stacks.is_empty() {
                let (flags, any) = (qemu::NO_REGISTERS, qemu::LOAD_OR_STORE);
                qemu::qemu_plugin_register_vcpu_mem_cb(insn, accessed, flags, any, null_mut());
            }
            let mark = MARKS
                .iter()
                .position(|mark| *mark == u32::from_le_bytes(word));
            let callback: Executed = match mark {
                Some(0) => begin,
                Some(_) => end,
                None if state.out.is_some() && state.records(address) => executed,
                None => continue,
            };
            let address = without_provenance_mut(usize::try_from(address).unwrap_or(0));
            qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                insn,
                callback,
                qemu::NO_REGISTERS,
                address,
            );
        }
    }
}

extern "C" fn executed(_: c_uint, address: *mut c_void) {
    if let Some(state) = state().as_mut() {
        state.executed(address.addr() as u64);
    }
}

extern "C" fn accessed(_: c_uint, _: qemu::MemoryInfo, address: u64, _: *mut c_void) {
    if let Some(state) = state().as_mut() {
        state.accessed(address);
    }
}

extern "C" fn begin(_: c_uint, _: *mut c_void) {
    if let Some(state) = state().as_mut() {
        state.armed = true;
    }
}

extern "C" fn end(_: c_uint, _: *mut c_void) {
    if let Some(state) = state().as_mut() {
        state.armed = false;
    }
}

extern "C" fn ended(_: Id, _: *mut c_void) {
    if let Some(state) = state().take() {
        state.finish();
    }
}
