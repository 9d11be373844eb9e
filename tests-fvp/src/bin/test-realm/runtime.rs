// SPDX-License-Identifier: BSD-3-Clause
//! The Realm's processors: start, translation tables, exceptions, calls to monitor and Host.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rmm_abi::rsi;
use tests_fvp::cpu::{Frame, IRQ, SYNC};
use tests_fvp::protocol::layout::{self, MAX_RECS};
use tests_fvp::protocol::{IMM_PANIC, PRINT_BYTES};
use tests_fvp::smc::{Registers, smc};
use tests_fvp::text::Text;
pub(crate) use tests_fvp::{mrs, msr};
use zerocopy::FromZeros;

/// Bytes of stack of each REC.
const STACK_SIZE: usize = 0x4000;

/// Memory without a Rust reference to it, one part for each REC or written once.
#[repr(C, align(4096))]
struct Raw<T>(UnsafeCell<T>);

// SAFETY: each use says why it does not race.
unsafe impl<T> Sync for Raw<T> {}

static STACKS: Raw<[[u8; STACK_SIZE]; MAX_RECS]> =
    Raw(UnsafeCell::new([[0; STACK_SIZE]; MAX_RECS]));
static HOST_CALLS: Raw<[rsi::HostCall; MAX_RECS]> = Raw(UnsafeCell::new(
    [rsi::HostCall {
        imm: 0,
        _reserved: [0; 6],
        gprs: [0; 31],
    }; MAX_RECS],
));

/// For each REC two instructions with a `ret` behind each.
static CODE: Raw<[[[u32; 2]; 2]; MAX_RECS]> = Raw(UnsafeCell::new([[[0; 2]; 2]; MAX_RECS]));

type Table = Raw<[u64; 512]>;
/// Level 0, the three level 1 tables: first 512 GiB, Unprotected half, beyond the IPA space.
static LEVEL_0: Table = Raw(UnsafeCell::new([0; 512]));
static LOW: Table = Raw(UnsafeCell::new([0; 512]));
static HIGH: Table = Raw(UnsafeCell::new([0; 512]));
static BEYOND: Table = Raw(UnsafeCell::new([0; 512]));

global_asm!(
    include_str!("../../macros.s"),
    include_str!("entry.s"),
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
    main = sym crate::realm::main,
    secondary = sym crate::realm::secondary,
    exception = sym exception,
);

unsafe extern "C" {
    fn secondary_start();
    fn guarded_fault();
}

/// What a guarded instruction ran into.
#[derive(Default)]
struct Guard {
    armed: AtomicBool,
    esr: AtomicU64,
    far: AtomicU64,
    elr_offset: AtomicU64,
    spsr: AtomicU64,
    daif: AtomicU64,
    /// INTID of the last interrupt, plus one.
    interrupt: AtomicU64,
    /// Single step is on: exceptions end it.
    stepping: AtomicBool,
}

static GUARDS: [Guard; MAX_RECS] = [const {
    Guard {
        armed: AtomicBool::new(false),
        esr: AtomicU64::new(0),
        far: AtomicU64::new(0),
        elr_offset: AtomicU64::new(0),
        spsr: AtomicU64::new(0),
        daif: AtomicU64::new(0),
        interrupt: AtomicU64::new(0),
        stepping: AtomicBool::new(false),
    }
}; MAX_RECS];

/// Index of the REC that runs this.
pub fn index() -> usize {
    (mrs!("mpidr_el1") & 3) as usize
}

/// Address that `PSCI_CPU_ON` can start a REC at.
pub fn entry_point() -> u64 {
    secondary_start as *const () as u64
}

extern "C" fn exception(kind: u64, frame: &mut Frame) {
    let guard = &GUARDS[index()];
    if kind == IRQ {
        let intid = mrs!("s3_0_c12_c12_0");
        if intid < 1020 {
            msr!("s3_0_c12_c12_1", intid);
        }
        guard.interrupt.store(intid + 1, Ordering::Relaxed);
    } else if kind == SYNC && guard.armed.load(Ordering::Relaxed) {
        guard.esr.store(frame.esr, Ordering::Relaxed);
        guard.far.store(frame.far, Ordering::Relaxed);
        guard.spsr.store(frame.spsr, Ordering::Relaxed);
        guard.daif.store(mrs!("daif"), Ordering::Relaxed);
        let offset = frame.elr.wrapping_sub(frame.x[16]);
        guard.elr_offset.store(offset, Ordering::Relaxed);
        frame.elr = guarded_fault as *const () as u64;
        if guard.stepping.load(Ordering::Relaxed) {
            frame.spsr |= PSTATE_D;
        }
    } else {
        panic!(
            "exception {kind} of REC {}: esr {:#x} elr {:#x} far {:#x} spsr {:#x}",
            index(),
            frame.esr,
            frame.elr,
            frame.far,
            frame.spsr
        );
    }
}

/// PSTATE: EL1h with A, I and F masked; debug exceptions masked; single step.
const PSTATE_EL1: u64 = 0x1C5;
const PSTATE_D: u64 = 1 << 9;
const PSTATE_SS: u64 = 1 << 21;

/// Writes an instruction to place 0 or 1 of this REC. Returns its address.
pub fn code(word: u32, place: usize) -> u64 {
    const RET: u32 = 0xD65F_03C0;
    let slot = CODE.0.get().cast::<[[u32; 2]; 2]>();
    // SAFETY: each REC has its own part, of which no reference lives; whoever runs it says why
    // that is sound.
    unsafe {
        let slot = slot.add(index()).cast::<[u32; 2]>().add(place);
        slot.write_volatile([word, RET]);
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) slot,
             options(nostack));
        slot as u64
    }
}

/// Runs a function that begins by returning from an exception to the one instruction it steps.
pub fn stepping<T>(function: impl FnOnce() -> T) -> T {
    const MDSCR_STEP: u64 = 1 << 13 | 1;
    let guard = &GUARDS[index()];
    let mdscr = mrs!("mdscr_el1");
    guard.stepping.store(true, Ordering::SeqCst);
    // Masked until the return: PSTATE.D is set meanwhile.
    // SAFETY: masks debug exceptions.
    unsafe { asm!("msr daifset, #8", options(nostack)) };
    msr!("mdscr_el1", mdscr | MDSCR_STEP);
    msr!("spsr_el1", PSTATE_EL1 | PSTATE_SS);
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack)) };
    let result = function();
    msr!("mdscr_el1", mdscr);
    guard.stepping.store(false, Ordering::SeqCst);
    result
}

/// The exception that a guarded instruction took.
#[derive(Default)]
pub struct Taken {
    /// ESR_EL1, or 0 without an exception.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// ELR_EL1, relative to the instruction.
    pub elr_offset: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// DAIF in the handler.
    pub daif: u64,
}

/// Runs a function of one guarded instruction.
pub fn guarded<T>(function: impl FnOnce() -> T) -> (T, Taken) {
    let guard = &GUARDS[index()];
    guard.esr.store(0, Ordering::Relaxed);
    guard.far.store(0, Ordering::Relaxed);
    guard.elr_offset.store(0, Ordering::Relaxed);
    guard.spsr.store(0, Ordering::Relaxed);
    guard.daif.store(0, Ordering::Relaxed);
    guard.armed.store(true, Ordering::SeqCst);
    let value = function();
    guard.armed.store(false, Ordering::SeqCst);
    let taken = Taken {
        esr: guard.esr.load(Ordering::Relaxed),
        far: guard.far.load(Ordering::Relaxed),
        elr_offset: guard.elr_offset.load(Ordering::Relaxed),
        spsr: guard.spsr.load(Ordering::Relaxed),
        daif: guard.daif.load(Ordering::Relaxed),
    };
    (value, taken)
}

/// Waits for a virtual interrupt. Returns its INTID, or 1023.
pub fn take_interrupt(ticks: u64) -> u64 {
    let guard = &GUARDS[index()];
    guard.interrupt.store(0, Ordering::Relaxed);
    // ICC_PMR_EL1, ICC_IGRPEN1_EL1.
    msr!("s3_0_c4_c6_0", 0xF8);
    msr!("s3_0_c12_c12_7", 1);
    let end = mrs!("cntvct_el0").wrapping_add(ticks);
    // SAFETY: the handler touches only atomics and the interrupt controller.
    unsafe { asm!("isb", "msr daifclr, #2", "isb", options(nostack)) };
    while guard.interrupt.load(Ordering::Relaxed) == 0 && mrs!("cntvct_el0") < end {}
    // SAFETY: masks interrupts.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
    match guard.interrupt.load(Ordering::Relaxed) {
        0 => 1023,
        intid => intid - 1,
    }
}

/// Fills the translation tables: identity, Device memory from the Unprotected half on. The last
/// entries of level 0: what lies beyond the IPA space, and tables in memory that the Host may or
/// may not provide, Protected and Unprotected.
pub fn make_tables(unprotected: u64) {
    // Valid block, Access Flag, Inner Shareable.
    const NORMAL: u64 = 1 | 1 << 10 | 3 << 8;
    // Attribute 1, execute-never at EL0. Tests fetch instructions there at EL1.
    const DEVICE: u64 = NORMAL | 1 << 2 | 1 << 54;
    const TABLE: u64 = 3;
    let kind = |address| {
        if address < unprotected {
            NORMAL
        } else {
            DEVICE
        }
    };
    // SAFETY: the first REC alone runs, and the MMU is off.
    unsafe {
        for gib in 0..512u64 {
            let low = gib << 30;
            let high = unprotected + low;
            let beyond = 2 * unprotected + low;
            (*LOW.0.get())[gib as usize] = low | kind(low);
            (*HIGH.0.get())[gib as usize] = high | kind(high);
            (*BEYOND.0.get())[gib as usize] = beyond | NORMAL;
        }
        let level_0 = LEVEL_0.0.get();
        (*level_0)[0] = LOW.0.get() as u64 | TABLE;
        // Wider IPAs than 48 bits are not for these tables.
        if unprotected >> 39 != 0 && unprotected >> 48 == 0 {
            (*level_0)[(unprotected >> 39) as usize] = HIGH.0.get() as u64 | TABLE;
        }
        if unprotected >> 47 == 0 {
            (*level_0)[511] = BEYOND.0.get() as u64 | TABLE;
            // Tables in memory that only some tests provide.
            (*level_0)[510] = (layout::BASE + layout::SIZE) | TABLE;
            (*level_0)[509] = unprotected | TABLE;
        }
    }
}

/// Turns this REC's MMU off. Memory is still cached, since stage 2 makes it so.
pub fn mmu_off() {
    let sctlr = mrs!("sctlr_el1") & !1;
    // SAFETY: this code and its data are mapped to themselves.
    unsafe { asm!("dsb sy", "msr sctlr_el1, {}", "isb", in(reg) sctlr, options(nostack)) };
}

/// Turns this REC's MMU and caches on.
pub fn mmu_on() {
    // Attribute 0: Normal Write-Back, 1: Device-nGnRE.
    msr!("mair_el1", 0x04FF);
    // 48-bit VA, walks Inner Shareable Write-Back, no TTBR1_EL1, 48-bit output.
    msr!(
        "tcr_el1",
        5 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 16
    );
    msr!("ttbr0_el1", LEVEL_0.0.get() as u64);
    let sctlr = mrs!("sctlr_el1") | 1 | 1 << 2 | 1 << 12;
    // SAFETY: the tables map this code and its data to themselves.
    unsafe {
        asm!("dsb sy", "tlbi vmalle1", "ic iallu", "dsb sy", "isb", "msr sctlr_el1, {}", "isb",
             in(reg) sctlr, options(nostack));
    }
}

/// A call to the monitor.
pub fn call(arguments: &[u64]) -> Registers {
    let mut r = [0; 18];
    r[..arguments.len()].copy_from_slice(arguments);
    // SAFETY: callers name memory that no reference exists to.
    unsafe { smc(&r) }
}

/// A host call. Returns the GPRs that the Host answers with.
pub fn host_call(imm: u16, gprs: &[u64; 31]) -> [u64; 31] {
    let slot = HOST_CALLS.0.get().cast::<rsi::HostCall>();
    // SAFETY: each REC has its own structure, and no reference to it lives during the call.
    unsafe {
        let slot = slot.add(index());
        let mut structure = rsi::HostCall::new_zeroed();
        structure.imm = imm;
        structure.gprs = *gprs;
        slot.write_volatile(structure);
        let status = call(&[rsi::fid::RSI_HOST_CALL, slot as u64])[0];
        if status != rsi::RSI_SUCCESS {
            // There is no way to report it; the Host sees the REC spin.
            loop {
                core::hint::spin_loop();
            }
        }
        slot.read_volatile().gprs
    }
}

/// Sends a line to the Host.
pub fn print(imm: u16, arguments: fmt::Arguments<'_>) {
    let mut text = Text::<PRINT_BYTES>::new();
    // A `Text` cuts what is too long and never fails.
    let _ = text.write_fmt(arguments);
    let mut gprs = [0; 31];
    gprs[0] = text.as_bytes().len() as u64;
    for (word, bytes) in gprs[1..].iter_mut().zip(text.as_bytes().chunks(8)) {
        let mut chunk = [0; 8];
        chunk[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(chunk);
    }
    host_call(imm, &gprs);
}

/// Prints one line on the Host's console.
macro_rules! line {
    ($($argument:tt)*) => {
        $crate::runtime::print(tests_fvp::protocol::IMM_PRINT, format_args!($($argument)*))
    };
}
pub(crate) use line;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        print(IMM_PANIC, format_args!("{info}"));
    }
}
