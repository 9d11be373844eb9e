// SPDX-License-Identifier: BSD-3-Clause
//! What a REC does: commands of the Host, one after the other.

use crate::{demo, runtime};
use core::ptr::with_exposed_provenance_mut;
use runtime::{Taken, guarded, host_call, mrs};
use tests_fvp::protocol::{Access, IMM_NEXT, MODE_DEMO, Op, Reply, SysReg, Wait, pattern};
use tests_fvp::registers;
use tests_fvp::smc::{overhead, smc, timed_smc};

/// A guarded instruction of `entry.s`; its operands and result are in X0 and X1.
type Instruction = unsafe extern "C" fn(u64, u64) -> u64;

unsafe extern "C" {
    static mrs_table: [Instruction; SysReg::ALL.len()];
    static msr_table: [Instruction; SysReg::ALL.len()];
    fn read_byte(address: u64, unused: u64) -> u64;
    fn read_half(address: u64, unused: u64) -> u64;
    fn read_word(address: u64, unused: u64) -> u64;
    fn read_double(address: u64, unused: u64) -> u64;
    fn read_signed_byte(address: u64, unused: u64) -> u64;
    fn read_signed_half(address: u64, unused: u64) -> u64;
    fn read_signed_word(address: u64, unused: u64) -> u64;
    fn read_zero(address: u64, unused: u64) -> u64;
    fn read_exclusive(address: u64, unused: u64) -> u64;
    fn write_byte(address: u64, value: u64) -> u64;
    fn write_half(address: u64, value: u64) -> u64;
    fn write_word(address: u64, value: u64) -> u64;
    fn write_double(address: u64, value: u64) -> u64;
    fn write_zero(address: u64, value: u64) -> u64;
    fn do_hvc(x0: u64, x1: u64) -> u64;
    fn do_wfi(x0: u64, x1: u64) -> u64;
    fn do_wfe(x0: u64, x1: u64) -> u64;
    fn do_wfit(timeout: u64, x1: u64) -> u64;
    fn do_wfet(timeout: u64, x1: u64) -> u64;
    fn branch(target: u64, x1: u64) -> u64;
    fn run_registers(x: *mut [u64; 31]);
    fn step_registers(x: *mut [u64; 31]);
}

/// Where the first REC begins.
pub extern "C" fn main(mode: u64, unprotected: u64, rest: u64) -> ! {
    let reply = first_reply(mode, rest);
    runtime::make_tables(unprotected);
    runtime::mmu_on();
    if mode == MODE_DEMO {
        demo::first(unprotected);
    }
    commands(reply)
}

/// What a REC finds in its registers, for the Host to see: X0, the other registers together,
/// DAIF, SCTLR_EL1, CurrentEL.
fn first_reply(x0: u64, rest: u64) -> Reply {
    let mut reply = Reply::default();
    let state = [mrs!("daif"), mrs!("sctlr_el1"), mrs!("currentel")];
    reply.values[0] = x0;
    reply.values[1] = rest;
    reply.values[2..5].copy_from_slice(&state);
    reply
}

/// Where a REC begins that another one has started.
pub extern "C" fn secondary(context: u64, rest: u64) -> ! {
    let reply = first_reply(context, rest);
    runtime::mmu_on();
    if context == demo::CONTEXT {
        demo::second();
    }
    commands(reply)
}

/// Asks for commands and does them.
fn commands(mut reply: Reply) -> ! {
    loop {
        let gprs = host_call(IMM_NEXT, &reply.to_gprs());
        let mut arguments = [0; 11];
        arguments.copy_from_slice(&gprs[1..12]);
        reply = match Op::ALL.get(gprs[0] as usize) {
            Some(op) => perform(*op, &arguments),
            None => panic!("command {:#x}", gprs[0]),
        };
    }
}

/// A reply of one value.
fn value(value: u64) -> Reply {
    let mut reply = Reply::default();
    reply.values[0] = value;
    reply
}

/// Tries one guarded instruction.
fn attempt(instruction: Instruction, x0: u64, x1: u64) -> Reply {
    // SAFETY: the instruction touches what the Host named: registers and memory that Rust knows
    // nothing of. An exception makes the function return.
    let (result, taken) = guarded(|| unsafe { instruction(x0, x1) });
    let Taken {
        esr,
        far,
        elr_offset,
        spsr,
        daif,
    } = taken;
    Reply {
        esr,
        far,
        elr_offset,
        spsr,
        daif,
        values: value(result).values,
    }
}

fn perform(op: Op, a: &[u64; 11]) -> Reply {
    match op {
        Op::Nop => Reply::default(),
        Op::Read => {
            let instruction: Instruction = match Access::ALL[a[1] as usize] {
                Access::Byte => read_byte,
                Access::Half => read_half,
                Access::Word => read_word,
                Access::Double => read_double,
                Access::SignedByte => read_signed_byte,
                Access::SignedHalfToWord => read_signed_half,
                Access::SignedWord => read_signed_word,
                Access::Zero => read_zero,
                Access::Exclusive => read_exclusive,
            };
            attempt(instruction, a[0], 0)
        }
        Op::Write => {
            let instruction: Instruction = match Access::ALL[a[1] as usize] {
                Access::Byte => write_byte,
                Access::Half => write_half,
                Access::Word => write_word,
                Access::Zero => write_zero,
                _ => write_double,
            };
            attempt(instruction, a[0], a[2])
        }
        Op::Exec => attempt(branch, a[0], 0),
        Op::Smc => call(a),
        Op::Hvc => attempt(do_hvc, 0, 0),
        Op::Wait => {
            let instruction: Instruction = match a[0] {
                n if n == Wait::Wfi as u64 => do_wfi,
                n if n == Wait::Wfe as u64 => do_wfe,
                n if n == Wait::Wfit as u64 => do_wfit,
                _ => do_wfet,
            };
            attempt(instruction, a[1], 0)
        }
        Op::FpSet => {
            // SAFETY: this code is built without floating point.
            unsafe { registers::vectors_set(a[0]) };
            Reply::default()
        }
        // SAFETY: CPACR_EL1 does not trap floating point.
        Op::FpCheck => value(unsafe { registers::vectors_check(a[0]) }),
        Op::SysSet => {
            registers::el1_set(a[0]);
            Reply::default()
        }
        Op::SysCheck => value(registers::el1_check(a[0])),
        // SAFETY: the tables are constants of `entry.s`.
        Op::Mrs => attempt(unsafe { mrs_table[a[0] as usize] }, 0, 0),
        // SAFETY: as above.
        Op::Msr => attempt(unsafe { msr_table[a[0] as usize] }, a[1], 0),
        Op::MemFill => {
            for (word, n) in (a[0]..a[0] + a[1]).step_by(8).zip(0..) {
                // SAFETY: memory that the Host has set aside for this.
                unsafe { address(word).write_volatile(pattern(a[2], n)) };
            }
            Reply::default()
        }
        Op::MemCheck => {
            let words = (a[0]..a[0] + a[1]).step_by(8).zip(0..);
            // SAFETY: memory that the Host has set aside for this.
            let differs = |(word, n)| unsafe { address(word).read_volatile() } != pattern(a[2], n);
            value(words.filter(|word| differs(*word)).count() as u64)
        }
        Op::TakeIrq => value(runtime::take_interrupt(a[0])),
        Op::EntryPoint => value(runtime::entry_point()),
        Op::ReadFlat => {
            runtime::mmu_off();
            let reply = attempt(read_double, a[0], 0);
            runtime::mmu_on();
            reply
        }
        Op::SveSet => {
            // SAFETY: this code is built without vectors.
            unsafe { registers::sve_set(a[0]) };
            Reply::default()
        }
        Op::SveCheck => {
            // SAFETY: CPACR_EL1 does not trap SVE, which the Host has given this Realm.
            let (different, used) = unsafe { (registers::sve_check(a[0]), registers::sve_used()) };
            let mut reply = value(different);
            reply.values[1] = used;
            reply
        }
        Op::CountNonZero => {
            let words = (a[0]..a[0] + a[1]).step_by(8);
            // SAFETY: memory that the Host has set aside for this.
            let bytes =
                words.flat_map(|word| unsafe { address(word).read_volatile() }.to_le_bytes());
            value(bytes.filter(|byte| *byte != 0).count() as u64)
        }
        Op::Instruct => instruct(a, run_registers),
        Op::Step => runtime::stepping(|| instruct(a, step_registers)),
        Op::TimedSmc => {
            let mut input = [0; 18];
            input[..11].copy_from_slice(a);
            // SAFETY: the Host names memory to which no reference exists.
            let (output, ticks) = unsafe { timed_smc(&input) };
            let mut reply = value(output[0]);
            reply.values[1] = ticks.passed() - overhead();
            reply
        }
        Op::FpSmc => {
            let seed = a[10];
            // SAFETY: this code is built without floating point, which CPACR_EL1 does not trap.
            unsafe { registers::vectors_set(seed) };
            let mut reply = call(a);
            // SAFETY: as above.
            reply.values[1] = unsafe { registers::vectors_check(seed) };
            reply
        }
        Op::SveSmc => {
            let seed = a[10];
            // SAFETY: this code is built without vectors, and CPACR_EL1 does not trap SVE, which the
            // Host has given this Realm.
            unsafe { registers::sve_set(seed) };
            let mut reply = call(a);
            // SAFETY: as above.
            reply.values[1] = unsafe { registers::sve_check(seed) };
            reply
        }
        Op::FireTwice => fire_twice(a[0] as usize, a[1] as usize, a[2], a[3]),
        Op::Hammer => hammer(a),
        Op::Spin => {
            let end = mrs!("cntvct_el0").wrapping_add(a[2]);
            let mut shown = a[3] == 0;
            loop {
                // SAFETY: memory that the Host has set aside for this.
                let word = unsafe { address(a[0]).read_volatile() };
                if !shown {
                    // SAFETY: as above.
                    unsafe { address(a[3]).write_volatile(1) };
                    shown = true;
                }
                if word != a[1] || mrs!("cntvct_el0") > end {
                    return value(word);
                }
            }
        }
    }
}

/// Makes one call again and again.
fn hammer(a: &[u64]) -> Reply {
    let mut input = [0; 11];
    input[..2].copy_from_slice(&a[..2]);
    let end = mrs!("cntvct_el0").wrapping_add(a[4]);
    let mut count = 0;
    loop {
        let reply = call(&input);
        count += 1;
        // SAFETY: memory that the Host has set aside for this.
        unsafe { address(a[2] + 8).write_volatile(count) };
        // SAFETY: as above.
        let word = unsafe { address(a[2]).read_volatile() };
        if word != a[3] || mrs!("cntvct_el0") > end {
            return reply;
        }
    }
}

/// Has a timer fire twice, without a trap of the Realm's own between the two.
fn fire_twice(control: usize, compare: usize, ticks: u64, limit: u64) -> Reply {
    const ENABLE: u64 = 1;
    const ISTATUS: u64 = 4;
    // SAFETY: the tables are constants of `entry.s`.
    let (read, write) = unsafe { (mrs_table[control], [msr_table[control], msr_table[compare]]) };
    let mut reply = Reply::default();
    for n in 0..2 {
        let now = mrs!("cntvct_el0");
        reply.values[n] = now.wrapping_add(ticks);
        let _ = attempt(write[1], reply.values[n], 0);
        if n == 0 {
            let _ = attempt(write[0], ENABLE, 0);
        }
        while attempt(read, 0, 0).values[0] & ISTATUS == 0
            && mrs!("cntvct_el0").wrapping_sub(now) < limit
        {}
    }
    let _ = attempt(write[0], 0, 0);
    reply
}

/// One instruction, with registers, as the Host chooses.
fn instruct(a: &[u64; 11], run: unsafe extern "C" fn(*mut [u64; 31])) -> Reply {
    let code = runtime::code(a[0] as u32, a[4] as usize & 1);
    let mut x: [u64; 31] = core::array::from_fn(|n| pattern(a[3], n as u64));
    (x[0], x[1], x[16], x[30]) = (a[1], a[2], code, code);
    let before = x;
    let ((), taken) = guarded(|| {
        // SAFETY: `run` keeps the registers that a function must; what the instruction does is
        // the Host's choice, and it touches nothing that Rust knows of.
        unsafe { run(&raw mut x) }
    });
    let changed = (2..30).filter(|n| x[*n] != before[*n]);
    let mut reply = Reply::from_gprs(&[0; 31]);
    (reply.esr, reply.far, reply.elr_offset) = (taken.esr, taken.far, taken.elr_offset);
    (reply.spsr, reply.daif) = (taken.spsr, taken.daif);
    let changed = changed.fold(0, |bits, n| bits | 1 << n);
    reply.values[..4].copy_from_slice(&[x[0], x[1], code, changed]);
    reply
}

fn address(address: u64) -> *mut u64 {
    with_exposed_provenance_mut(address as usize)
}

/// Any call; checks the registers that must not change.
fn call(arguments: &[u64; 11]) -> Reply {
    let mut input = core::array::from_fn(|n| 0x5EA1_0000_0000_0000 + n as u64);
    input[..11].copy_from_slice(arguments);
    // SAFETY: the Host names memory to which no reference exists.
    let output = unsafe { smc(&input) };
    let changed = (4..18).filter(|n| output[*n] != input[*n]);
    let mut reply = Reply::default();
    reply.values[..9].copy_from_slice(&output[..9]);
    reply.values[9] = changed.fold(0, |bits, n| bits | 1 << n);
    reply
}
