// SPDX-License-Identifier: BSD-3-Clause
//! The program of every REC: executes the instructions in the model and reports their outcome.

use super::calls;
use super::instructions::{Expected, Instruction, Memory, exit_record};
use super::state::LastExit;
use super::stepper::SharedModel;
use rmm_abi::rmi::RecExitReason;
use rmm_core::fake::{After, Host, LINEAR_MAP, RealmAccess, RealmCpu, Taken};

/// Sets the program of a REC, from the start.
pub fn install(shared: &SharedModel, host: &Host, rec: u64) {
    let mut model = shared.lock();
    let state = model.rec(rec);
    let (rd, index) = (state.rd, state.index);
    state.expected = Expected::Restart;
    let vmid = model.realms[&rd].vmid;
    drop(model);
    let shared = shared.clone();
    host.script(vmid, index, move |cpu| program(shared, rec, cpu));
}

async fn program(shared: SharedModel, rec: u64, cpu: RealmCpu) {
    begin(&shared, rec, &cpu);
    loop {
        let Some(instruction) = next(&shared, rec) else {
            cpu.irq().await;
            continue;
        };
        load(&cpu, &instruction);
        let before = cpu.gprs();
        let pc = cpu.context(|context| context.pc);
        shared.lock().attempt(rec);
        let taken = execute(&shared, &cpu, &instruction).await;
        let at = match instruction {
            Instruction::Fetch(ipa) => LINEAR_MAP | ipa,
            _ => pc,
        };
        shared.lock().done(rec, &before, &cpu.gprs(), at, taken);
        assert_eq!(cpu.context(|context| context.pc), pc + 4);
    }
}

/// The next instruction, which becomes the current one; without one the REC exits due to an IRQ.
fn next(shared: &SharedModel, rec: u64) -> Option<Instruction> {
    let mut model = shared.lock();
    let instruction = model.rec(rec).todo.pop_front();
    match &instruction {
        Some(instruction) => model.note(format!("        {instruction:x?}")),
        None => {
            model.leave(rec, exit_record(RecExitReason::Irq), LastExit::Other);
        }
    }
    model.rec(rec).current = instruction.clone();
    instruction
}

/// Asserts the state of a REC that runs for the first time since its creation or PSCI_CPU_ON.
fn begin(shared: &SharedModel, rec: u64, cpu: &RealmCpu) {
    let mut model = shared.lock();
    let state = model.rec(rec);
    assert_eq!(state.expected, Expected::Restart);
    state.expected = Expected::Nothing;
    let (pc, gprs) = state.start;
    cpu.context(|context| {
        assert_eq!(context.pc, pc);
        assert_eq!(context.pstate, 0x3C5, "EL1h, DAIF masked");
        assert_eq!(context.gprs[..8], gprs);
        assert_eq!(context.gprs[8..], [0; 23]);
    });
    cpu.mark(8);
}

/// Loads the operands of an instruction into registers.
fn load(cpu: &RealmCpu, instruction: &Instruction) {
    match instruction {
        Instruction::Memory(memory) => {
            if let Some(value) = memory.store {
                cpu.set(3, value);
            }
        }
        Instruction::Call(args) => {
            for (n, arg) in args.iter().enumerate() {
                cpu.set(n, *arg);
            }
        }
        _ => {}
    }
}

async fn execute(shared: &SharedModel, cpu: &RealmCpu, instruction: &Instruction) -> Option<Taken> {
    match instruction {
        Instruction::Memory(memory) => cpu.access(access(memory)).await.err(),
        Instruction::Fetch(ipa) => cpu.fetch(*ipa).await.err(),
        Instruction::Call(args) => {
            cpu.smc(args).await;
            None
        }
        Instruction::Hvc => match cpu.hvc().await {
            After::Taken(taken) => Some(taken),
            after => panic!("HVC: {after:?}"),
        },
        Instruction::Wait(event) => {
            if *event {
                cpu.wfe(None).await;
            } else {
                cpu.wfi(None).await;
            }
            None
        }
        Instruction::Meanwhile(step) => {
            cpu.meanwhile(|host| calls::take(shared, host, step, true));
            cpu.context(|context| context.pc += 4);
            None
        }
    }
}

fn access(memory: &Memory) -> RealmAccess {
    let access = match memory.store {
        Some(_) => RealmAccess::store(memory.ipa),
        None => RealmAccess::load(memory.ipa),
    };
    let access = access.bytes(memory.bytes).register(memory.register);
    let access = if memory.signed {
        access.signed()
    } else {
        access
    };
    let access = if memory.wide { access } else { access.w() };
    if memory.syndrome {
        access
    } else {
        access.without_syndrome()
    }
}
