// SPDX-License-Identifier: BSD-3-Clause
//! Self-hosted debug of a Realm: breakpoints, watchpoints and single step act, in it alone.

use super::exit::running;
use super::instruct::{self, DEBUG_ON, LOAD, NOP, Register, SMC, kept};
use super::smp::{on_second, result};
use super::{Test, needs};
use crate::arch::{isb, mrs, msr};
use crate::check::{Check, ensure_eq};
use crate::gic;
use crate::realm::Realm;
use crate::rec::{Rec, enter, enter_with};
use rmm_abi::rmi::{RecEnterFlags, RecExitReason};
use rmm_abi::rsi;
use tests_fvp::protocol::{Access, Op, Reply};

pub const TESTS: &[Test] = &[
    ("debug.breakpoint", breakpoint),
    ("debug.watchpoint", watchpoint),
    ("debug.of_one_realm", of_one_realm),
    ("debug.of_host", of_host),
    ("debug.step", step),
    ("debug.step_exits", step_exits),
    ("debug.step_moves", step_moves),
];

const MDSCR: Register = Register(2, 0, 0, 2, 2);
/// MDE, KDE.
const MDSCR_ON: u64 = 1 << 15 | 1 << 13;

/// DBGBVR and DBGBCR of breakpoint n, DBGWVR and DBGWCR of watchpoint n.
const fn bvr(n: u64) -> Register {
    Register(2, 0, 0, n, 4)
}
const fn bcr(n: u64) -> Register {
    Register(2, 0, 0, n, 5)
}
const fn wvr(n: u64) -> Register {
    Register(2, 0, 0, n, 6)
}
const fn wcr(n: u64) -> Register {
    Register(2, 0, 0, n, 7)
}
/// E, EL1, BAS of the whole instruction.
const BREAK_ON: u64 = 0xF << 5 | 1 << 1 | 1;
/// E, EL1, loads and stores, BAS of eight bytes.
const WATCH_ON: u64 = 0xFF << 5 | 3 << 3 | 1 << 1 | 1;

/// Exception classes, taken from EL1: breakpoint, step, watchpoint.
const BREAKPOINT: u64 = 0x31;
const STEP: u64 = 0x33;
const WATCHPOINT: u64 = 0x35;

/// What the second place holds: an instruction without effect. Returns its address.
fn place(rec: &Rec) -> Check<u64> {
    Ok(at_second_place(rec)?.values[2])
}

/// Executes the instruction at the second place.
fn at_second_place(rec: &Rec) -> Check<Reply> {
    kept(rec.finish_with(&instruct::instruct_second(NOP, 0, 0))?)
}

/// Lets debug exceptions be taken.
pub fn allow(rec: &Rec) -> Check {
    MDSCR.write(rec, MDSCR_ON)?;
    instruct::run(rec, DEBUG_ON, 0, 0).map(drop)
}

/// Sets breakpoint n to the second place.
pub fn set_breakpoint(rec: &Rec, n: u64) -> Check {
    bvr(n).write(rec, place(rec)?)?;
    bcr(n).write(rec, BREAK_ON)
}

pub fn breaks(rec: &Rec, what: &str) -> Check {
    let reply = at_second_place(rec)?;
    ensure_eq!(reply.esr >> 26, BREAKPOINT, "{what}: EC");
    ensure_eq!(reply.elr_offset, 0, "{what}: ELR_EL1");
    Ok(())
}

fn does_not_break(rec: &Rec, what: &str) -> Check {
    ensure_eq!(at_second_place(rec)?.esr, 0, "{what}: exception");
    Ok(())
}

/// An exit that the Host answers: a load of the Unprotected half.
fn exits(realm: &Realm, rec: &Rec) -> Check {
    let ipa = realm.config.unprotected();
    rec.exit_of(Op::Read, &[ipa, Access::Double as u64])?;
    rec.finish_with(&enter_with(RecEnterFlags::EMUL_MMIO))
        .map(drop)
}

/// Each of the breakpoints fires, when it is enabled; again after exits and on another CPU.
// Conformance: Exceptions and accesses that do not exit breakpoints
fn breakpoint() -> Check {
    needs::second_cpu()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    for n in 0..2 {
        set_breakpoint(rec, n)?;
        does_not_break(rec, "PSTATE.D or MDE keeps the breakpoint off")?;
        allow(rec)?;
        breaks(rec, "enabled")?;
        exits(&realm, rec)?;
        breaks(rec, "after exits")?;
        let there = on_second(rec, |rec| breaks(rec, "on the second CPU"))?;
        result(&there)??;
        breaks(rec, "back again")?;
        ensure_eq!(bcr(n).read(rec)?, BREAK_ON, "DBGBCR{n}_EL1");
        bcr(n).write(rec, 0)?;
        does_not_break(rec, "disabled")?;
        MDSCR.write(rec, 0)?;
    }
    realm.finish()
}

fn watches(rec: &Rec, address: u64, what: &str) -> Check {
    for (op, write) in [(Op::Read, 0), (Op::Write, 1)] {
        let reply = rec.reply_of(op, &[address, Access::Double as u64, 0])?;
        ensure_eq!(reply.esr >> 26, WATCHPOINT, "{what}, {op:?}: EC");
        ensure_eq!(reply.esr >> 6 & 1, write, "{what}, {op:?}: WnR");
        ensure_eq!(reply.far, address, "{what}, {op:?}: FAR_EL1");
        ensure_eq!(reply.elr_offset, 0, "{what}, {op:?}: ELR_EL1");
    }
    // Next to it.
    rec.load(address - 8).map(drop)
}

/// Each of the watchpoints fires, again after exits and on another CPU.
// Conformance: Exceptions and accesses that do not exit breakpoints
fn watchpoint() -> Check {
    needs::second_cpu()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    let address = place(rec)?;
    for n in 0..2 {
        wvr(n).write(rec, address)?;
        wcr(n).write(rec, WATCH_ON)?;
        rec.load(address)?;
        allow(rec)?;
        watches(rec, address, "enabled")?;
        exits(&realm, rec)?;
        watches(rec, address, "after exits")?;
        let there = on_second(rec, move |rec| watches(rec, address, "on the second CPU"))?;
        result(&there)??;
        watches(rec, address, "back again")?;
        wcr(n).write(rec, 0)?;
        rec.load(address)?;
        MDSCR.write(rec, 0)?;
    }
    realm.finish()
}

/// Breakpoints and watchpoints act in their own Realm alone, on any CPU.
fn of_one_realm() -> Check {
    needs::second_cpu()?;
    let (first, second) = (running()?, running()?);
    let (armed, other) = (&first.recs[0], &second.recs[0]);
    let address = place(armed)?;
    ensure_eq!(place(other)?, address, "the other Realm's same place");
    set_breakpoint(armed, 0)?;
    wvr(1).write(armed, address)?;
    wcr(1).write(armed, WATCH_ON)?;
    allow(armed)?;
    allow(other)?;
    let check = move |other: &Rec| {
        does_not_break(other, "the other Realm")?;
        other.load(address)?;
        for n in 0..2 {
            for register in [bvr(n), bcr(n), wvr(n), wcr(n)] {
                ensure_eq!(register.read(other)?, 0, "the other Realm's {register:?}");
            }
        }
        Ok(())
    };
    let load = [address, Access::Double as u64];
    for _ in 0..2 {
        // The load first: writing the instruction is a store to the watched address.
        let reply = armed.reply_of(Op::Read, &load)?;
        ensure_eq!(reply.esr >> 26, WATCHPOINT, "the first Realm: EC");
        check(other)?;
        let there = on_second(other, check)?;
        result(&there)??;
    }
    wcr(1).write(armed, 0)?;
    breaks(armed, "the first Realm")?;
    check(other)?;
    second.finish()?;
    first.finish()
}

/// The Host has its own breakpoints, which do not act in the Realm, and finds them again.
fn of_host() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let address = place(rec)?;
    let (saved, lock) = (mrs!("mdscr_el1"), mrs!("oslsr_el1") >> 1 & 1);
    // Enabled at EL1, where the Host has nothing; its EL2 takes no debug exceptions.
    msr!("dbgbvr0_el1", address);
    msr!("dbgbcr0_el1", BREAK_ON);
    msr!("dbgwvr0_el1", address);
    msr!("dbgwcr0_el1", WATCH_ON);
    msr!("mdscr_el1", MDSCR_ON);
    // With the OS lock the Realm's own would not act either: it is open for the Realm.
    msr!("oslar_el1", 1);
    isb();
    let result = (|| {
        allow(rec)?;
        let kept = |when: &str| {
            ensure_eq!(mrs!("dbgbvr0_el1"), address, "{when}: DBGBVR0_EL1");
            ensure_eq!(mrs!("dbgbcr0_el1"), BREAK_ON, "{when}: DBGBCR0_EL1");
            ensure_eq!(mrs!("dbgwvr0_el1"), address, "{when}: DBGWVR0_EL1");
            ensure_eq!(mrs!("dbgwcr0_el1"), WATCH_ON, "{when}: DBGWCR0_EL1");
            ensure_eq!(mrs!("mdscr_el1"), MDSCR_ON, "{when}: MDSCR_EL1");
            ensure_eq!(mrs!("oslsr_el1") >> 1 & 1, 1, "{when}: the OS lock");
            Ok(())
        };
        kept("after the Realm allowed its own")?;
        does_not_break(rec, "the Host's breakpoint")?;
        rec.load(address)?;
        set_breakpoint(rec, 1)?;
        breaks(rec, "the Realm's breakpoint")?;
        kept("after the Realm's breakpoint")?;
        exits(&realm, rec)?;
        kept("after exits")
    })();
    msr!("oslar_el1", lock);
    msr!("mdscr_el1", saved);
    msr!("dbgbcr0_el1", 0);
    msr!("dbgwcr0_el1", 0);
    msr!("dbgbvr0_el1", 0);
    msr!("dbgwvr0_el1", 0);
    isb();
    result?;
    realm.finish()
}

/// The step's exception, behind the instruction.
fn stepped(reply: Reply, what: &str) -> Check<Reply> {
    ensure_eq!(reply.esr >> 26, STEP, "{what}: EC");
    ensure_eq!(reply.esr & 0x3F, 0x22, "{what}: fault status");
    ensure_eq!(reply.elr_offset, 4, "{what}: ELR_EL1");
    // X2 and X3 are results of calls.
    ensure_eq!(reply.values[3] & !0xC, 0, "{what}: registers that changed");
    Ok(reply)
}

/// One instruction at a time, with those that the monitor answers without the Host.
fn step() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    for (what, word, x0) in [
        ("nop", NOP, 0),
        ("an ID register", Register(3, 0, 0, 7, 0).mrs(), 0),
        ("OSLSR_EL1", Register(2, 0, 1, 1, 4).mrs(), 0),
        ("a call nobody knows", SMC, 0xC600_0000),
        ("RSI_FEATURES", SMC, rsi::fid::RSI_FEATURES),
    ] {
        stepped(rec.finish_with(&instruct::step(word, x0, 0))?, what)?;
    }
    // Undefined: that exception comes in place of the step's.
    let undefined = Register(3, 0, 11, 0, 0).mrs();
    let reply = kept(rec.finish_with(&instruct::step(undefined, 0, 0))?)?;
    ensure_eq!(reply.esr, instruct::UNDEFINED, "an Undefined instruction");
    ensure_eq!(reply.elr_offset, 0, "an Undefined instruction: ELR_EL1");
    realm.finish()
}

/// Instructions that exit are one step, too.
fn step_exits() -> Check {
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected();
    let exit = rec.exit_of_entry(&instruct::step(LOAD, 0, ipa))?;
    ensure_eq!(exit.hpfar, ipa >> 8, "hpfar");
    let mut answer = enter_with(RecEnterFlags::EMUL_MMIO);
    answer.gprs[0] = 0xABCD;
    let reply = stepped(rec.finish_with(&answer)?, "an emulated load")?;
    ensure_eq!(reply.values[0], 0xABCD, "value loaded");

    let sgi = Register(3, 0, 12, 11, 5);
    rec.exit_of_entry(&instruct::step(sgi.msr(), 1, 0))?;
    stepped(rec.finish_with(&enter())?, "an SGI")?;

    // No structure is at that address.
    let reply = rec.finish_with(&instruct::step(SMC, rsi::fid::RSI_HOST_CALL, 1))?;
    let reply = stepped(reply, "a host call")?;
    ensure_eq!(reply.values[0], rsi::RSI_ERROR_INPUT, "RSI_HOST_CALL");

    // An interrupt somewhere on the way.
    gic::send_sgi(mrs!("mpidr_el1"));
    let exit = rec.exit_of_entry(&instruct::step(NOP, 0, 0))?;
    let reason = exit.exit_reason;
    gic::taken();
    ensure_eq!(reason, RecExitReason::Irq as u8, "exit reason");
    stepped(rec.finish_with(&enter())?, "after an interrupt")?;

    realm.finish()
}

/// The step is begun on one CPU and ends on the other.
fn step_moves() -> Check {
    needs::second_cpu()?;
    let realm = running()?;
    let rec = &realm.recs[0];
    let ipa = realm.config.unprotected();
    for value in 1..4 {
        rec.exit_of_entry(&instruct::step(LOAD, 0, ipa))?;
        let there = on_second(rec, move |rec| {
            let mut answer = enter_with(RecEnterFlags::EMUL_MMIO);
            answer.gprs[0] = value;
            stepped(rec.finish_with(&answer)?, "ended on the second CPU")
        })?;
        let reply = result(&there)??;
        ensure_eq!(reply.values[0], value, "value loaded");
        let there = on_second(rec, move |rec| {
            rec.exit_of_entry(&instruct::step(LOAD, 0, ipa))
        })?;
        result(&there)??;
        // Not emulated: the load is tried again, and exits again.
        rec.exit_of_entry(&enter())?;
        let answer = enter_with(RecEnterFlags::EMUL_MMIO);
        stepped(rec.finish_with(&answer)?, "ended on the first CPU")?;
    }
    realm.finish()
}
