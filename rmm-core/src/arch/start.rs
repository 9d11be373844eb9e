// SPDX-License-Identifier: BSD-3-Clause
//! From the entry code to the loop that serves RMI calls.

use super::cpu::{self, ArchCpu};
use super::optional::Optional;
use super::percpu::{self, CpuBlock};
use super::registers::*;
use super::{console, el3, features, paging, remedies};
use crate::attestation::{self, MAX_PLATFORM_TOKEN};
use crate::board::Board;
use crate::boot::{
    BootError, ColdBoot, El3Interface, Extent, Manifest, Plan, Reservation, WarmBoot,
};
use crate::el3::SharedPage;
use crate::encoding::features::keeps;
use crate::encoding::space::STACK_PAGES;
use crate::machine::{CpuFeatures, Machine};
use crate::monitor::{Monitor, ThisCpu};
use crate::rmi;
use core::convert::Infallible;
use core::sync::atomic::AtomicU8;
use log::{error, info, warn};
use rmm_abi::el3::{error as el3_error, fid};
use rmm_attest::Attestation;
use rmm_granule::{GRANULE_SIZE, GranuleTable, Memory, Pa, Waiter, Word, bug};
use spin::{Mutex, MutexGuard, Once};
use zeroize::Zeroize;

static FEATURES: Once<CpuFeatures> = Once::new();
static MONITOR: Once<Monitor> = Once::new();
/// Places of CPUs that wait for locks.
static WAITERS: [Waiter; cpu::CPUS] = [const { Waiter::new() }; cpu::CPUS];

unsafe extern "C" {
    #[link_name = "__image_start"]
    safe static IMAGE_START: u8;
    #[link_name = "__image_end"]
    safe static IMAGE_END: u8;
}

/// The cold boot: `arguments` are X0 to X4 as EL3 passed them, the image lies at `image`.
pub fn cold(board: &'static Board, arguments: [u64; 5], image: u64) -> ! {
    let image = Extent {
        base: Pa(image),
        size: ((&raw const IMAGE_END).addr() - (&raw const IMAGE_START).addr()) as u64,
    };
    match boot(board, arguments, image) {
        Ok(never) => match never {},
        Err(why) => refuse(why),
    }
}

/// Reports to EL3 that the monitor does not boot. EL3 does not return from that.
fn refuse(why: BootError) -> ! {
    error!("boot: {why}");
    loop {
        let _ = el3::boot_complete(why.status(), 0);
    }
}

fn boot(board: &Board, arguments: [u64; 5], image: Extent) -> Result<Infallible, BootError> {
    let args = ColdBoot::new(arguments)?;
    percpu::data().index.set(args.cpu);
    let open = Optional::find(args.el3);
    let features = FEATURES.call_once(|| features::read(args.el3, &open));
    // SAFETY: this CPU boots.
    let cpu = unsafe { ArchCpu::new(features, args.el3, &open) };

    // SAFETY: EL3 promises the page; it is mapped here alone.
    let buffer = unsafe { paging::map_shared_buffer(&cpu, image.base, args.shared_buffer) };
    let manifest = Manifest::parse(
        // SAFETY: the page is mapped for ever, and EL3 writes it only while it serves a call.
        unsafe { buffer.as_ref() },
        args.shared_buffer,
        features.pa_bits,
    )?;
    if let Some(info) = &manifest.console {
        // SAFETY: the manifest names the registers of a console that Realm world may use.
        unsafe {
            let registers = paging::map_console(&cpu, image.base, info.base);
            console::open(registers, info);
        }
    }
    // Not before the console is open: the log then says why.
    open.check()?;
    let (el3, version) = (args.el3.version(), manifest.version);
    info!(
        "{} {}: interface {}.{}, manifest {}.{}, {} CPUs",
        env!("CARGO_PKG_VERSION"),
        board.name,
        el3.major,
        el3.minor,
        version.major,
        version.minor,
        args.cpus
    );
    if manifest.flawed_console_checksum {
        warn!("manifest: the checksum of the consoles leaves out their names");
    }
    open.warn();
    remedies::apply(&features.id);

    let block = size_of::<CpuBlock>();
    let plan = Plan::new(board, &args, &manifest, image, block as u64)?;
    let layout = plan.layout(reserve_memory)?;
    // SAFETY: the layout is of memory that is the monitor's.
    let table = unsafe { granule_table(&cpu, &plan, layout.table)? };
    for part in plan.memory(&layout) {
        table.reserve(part.base.0, part.size);
    }
    for index in 0..args.cpus {
        let at = Pa(layout.cpus.0 + (index * block) as u64);
        // SAFETY: the layout has room for a block of each CPU; CPUs boot only after `publish`.
        unsafe { paging::prepare_block(&cpu, at, index) };
    }
    // SAFETY: the page is mapped for ever; nothing refers to the manifest in it any more.
    let bytes = unsafe { buffer.cast::<[AtomicU8; GRANULE_SIZE]>().as_ref() };
    let mut page = SharedPage::new(args.shared_buffer, bytes);
    let attestation = fetch_attestation(&cpu, args.el3, &mut page);
    wipe_stack();
    let monitor = MONITOR.call_once(|| Monitor::new(table, args.el3, *features, attestation, page));
    percpu::BLOCKS.publish(layout.cpus, args.cpus);
    for bank in plan.banks().as_slice() {
        info!("delegable: {:#x} + {:#x}", bank.base, bank.size);
    }
    serve(monitor, &cpu, args.token)
}

/// Fetches what attestation needs from EL3. Without it the monitor boots and Realms run, but get no
/// token.
#[inline(never)]
fn fetch_attestation(
    cpu: &ArchCpu,
    el3: El3Interface,
    page: &mut SharedPage,
) -> &'static Attestation<'static> {
    static ATTESTATION: Once<Attestation<'static>> = Once::new();
    static PLATFORM_TOKEN: Mutex<[u8; MAX_PLATFORM_TOKEN]> = Mutex::new([0; MAX_PLATFORM_TOKEN]);
    cpu.begin_independent_timing();
    ATTESTATION.call_once(|| {
        let memory = MutexGuard::leak(PLATFORM_TOKEN.lock());
        attestation::fetch(cpu, el3, page, memory).unwrap_or_else(|why| {
            warn!("no attestation tokens: {why}");
            Attestation::unavailable()
        })
    })
}

/// Overwrites the part of the stack that a function called before has used, where copies of the
/// private key may lie.
#[inline(never)]
fn wipe_stack() {
    const WORDS: usize = STACK_PAGES / 2 * GRANULE_SIZE / size_of::<u64>();
    let mut words = [0_u64; WORDS];
    words.zeroize();
}

/// Asks EL3 for memory; `None` if EL3 reserves none.
fn reserve_memory(Reservation { size, alignment }: Reservation) -> Option<Pa> {
    let call = [size, u64::from(alignment) << 56, 0, 0];
    let [status, base, ..] = el3::call(fid::RMM_RESERVE_MEMORY, call);
    (status.cast_signed() == el3_error::OK).then_some(Pa(base))
}

/// Makes the granule table.
///
/// # Safety
/// The memory of the plan's table at `pa` is the monitor's, and this is called once.
unsafe fn granule_table(cpu: &ArchCpu, plan: &Plan, pa: Pa) -> Result<GranuleTable, BootError> {
    const TOO_LARGE: BootError = BootError::Other("more DRAM than the granule table can cover");
    let size = usize::try_from(plan.table_size).map_err(|_| TOO_LARGE)?;
    if size > paging::LARGEST_ARRAY {
        return Err(TOO_LARGE);
    }
    // SAFETY: the caller's promise.
    let words = unsafe { paging::map_array(cpu, pa, size) };
    for page in 0..size / rmm_granule::GRANULE_SIZE {
        // SAFETY: the page lies in what was just mapped, which nothing else refers to yet.
        cpu.zero(unsafe { words.cast().add(page).as_mut() });
    }
    // SAFETY: mapped for ever, zero, aligned, large enough for `plan.words` words, and referred to
    // by nothing else.
    let words = unsafe { core::slice::from_raw_parts(words.as_ptr().cast::<Word>(), plan.words) };
    // SAFETY: the only table, made once at the cold boot.
    unsafe { GranuleTable::new(plan.banks().as_slice(), words, &WAITERS) }
        .map_err(|_| BootError::Other("the granule table cannot cover the DRAM"))
}

/// The warm boot of CPU `x0`.
pub extern "C" fn warm(x0: u64, x1: u64) -> ! {
    // Before they are set no block is published, and the entry code does not come here.
    let (Some(features), Some(monitor)) = (FEATURES.get(), MONITOR.get()) else {
        bug!("a warm boot before the cold one");
    };
    let open = Optional::find(monitor.el3);
    if let Err(why) = open.check() {
        refuse(why);
    }
    let own = features::read(monitor.el3, &open);
    if !keeps(features, &own) {
        refuse(BootError::Other("this CPU differs from the boot CPU"));
    }
    remedies::apply(&own.id);
    match WarmBoot::new([x0, x1], monitor.el3, percpu::BLOCKS.count()) {
        Ok(args) => {
            // SAFETY: this CPU boots.
            let cpu = unsafe { ArchCpu::new(features, monitor.el3, &open) };
            serve(monitor, &cpu, args.token)
        }
        Err(why) => refuse(why),
    }
}

/// Serves RMI calls on this CPU.
fn serve(monitor: &Monitor, cpu: &ArchCpu, token: u64) -> ! {
    match (cpu.shares_branch_records, remedies::clears_history()) {
        (false, false) => serve_calls::<false, false>(monitor, cpu, token),
        (false, true) => serve_calls::<false, true>(monitor, cpu, token),
        (true, false) => serve_calls::<true, false>(monitor, cpu, token),
        (true, true) => serve_calls::<true, true>(monitor, cpu, token),
    }
}

/// The loop of [`serve`]. With `SHARED_RECORDS` the monitor switches `BRBCR_EL2`: with the Host's
/// value the CPU could record the monitor's own branches. With `CLEAR_HISTORY` it discards the branch
/// history that the Host leaves behind.
// Constants, because most CPUs need neither: they then execute nothing for it.
fn serve_calls<const SHARED_RECORDS: bool, const CLEAR_HISTORY: bool>(
    monitor: &Monitor,
    cpu: &ArchCpu,
    token: u64,
) -> ! {
    let this = ThisCpu {
        monitor,
        machine: cpu,
    };
    let mut call = el3::boot_complete(rmm_abi::el3::boot::SUCCESS, token);
    loop {
        if CLEAR_HISTORY {
            remedies::clear_history();
        }
        let mut brbcr = 0;
        if SHARED_RECORDS {
            brbcr = BRBCR_EL2.get();
            BRBCR_EL2.clear();
            isb();
        }
        rmi::handle(&this, &mut call);
        cpu.forget_all_windows();
        if SHARED_RECORDS {
            BRBCR_EL2.set(brbcr);
        }
        call = el3::request_complete(call);
    }
}
