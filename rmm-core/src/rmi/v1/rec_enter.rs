// SPDX-License-Identifier: BSD-3-Clause
//! RMI_REC_ENTER of both interfaces (B4.3.14; 2.0-bet3 B4.5.51).
//!
//! RMI 2.0 has the same page without the fields for the GIC, which are zero and ignored: the virtual
//! GIC interface of the CPU has the values of the Host. Its `ERROR_REALM` has no index, and a Realm knows
//! how many of its RECs are RUNNING.

use super::rec_exit;
use super::{Error, Result, require};
use crate::aux;
use crate::gic;
use crate::machine::{EntryControls, Machine};
use crate::monitor::ThisCpu;
use crate::realm::{Dialect, Rd, Realm, RealmState};
use crate::rec::{LastExit, Rec, RecAttributes, RecHead};
use crate::run::{self, HostResponse};
use core::mem::{MaybeUninit, offset_of};
use rmm_abi::rmi::{MAX_GIC_LRS, REC_EXIT_NR_GPRS, RecEnter, RecEnterFlags, RecRun};
use rmm_abi::smccc;
use rmm_granule::{Locked, Memory, NsFault, NsGranule};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// RMI_REC_ENTER; `fid` is X0, with the SVE hint or without.
#[inline(never)]
pub fn enter<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    fid: u64,
    rec: u64,
    run_ptr: u64,
    dialect: Dialect,
) -> Result {
    let page = cpu.granules().ns_granule(run_ptr)?; // run_align, run_bound
    let mut buffer = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let entry = EntryRecord::read(&page, cpu.machine, &mut buffer)?; // run_pas
    let rec = check(cpu, rec, &entry, dialect)?;
    let mut rec = rec.pin().map_err(|_running| Error::Rec)?;

    let mut gprs = None;
    aux::with_rec(cpu, &mut rec, |head, rec, aux| {
        let features = cpu.features();
        let body = entry.body;
        if dialect == Dialect::V1 {
            gic::accept(
                body.gicv3_hcr,
                &body.gicv3_lrs,
                features,
                &mut rec.context.gic,
            );
        }
        let controls = entry.controls(fid, dialect);
        let exit = match run::resume(cpu, head, rec, aux, entry.response()) {
            Ok(()) => run::run(cpu, head, rec, aux, controls, &mut gprs),
            Err(exit) => exit,
        };
        if dialect == Dialect::V2 {
            end_v2(cpu, head);
        }
        // Too late to fail without an effect: the Realm has run. The specification wants an error all
        // the same if the Host has taken the page away meanwhile (A4.3.3).
        rec_exit::write(cpu, &page, &exit, gprs.as_ref(), head, &rec.context)
    })?;
    Ok(())
}

/// What RMI 2.0 wants after an entry, although the REC may not have run: its Host finds the GIC interface
/// closed, and the Realm has one RUNNING REC less.
fn end_v2<M: Machine>(cpu: &ThisCpu<'_, M>, head: &RecHead) {
    cpu.machine.close_host_gic();
    run::with_realm(cpu, head, Realm::count_exit);
}

/// The failure conditions that concern the REC and its Realm. The REC comes back locked: it is
/// RUNNING only once nothing can fail any more.
fn check<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    rec: u64,
    entry: &EntryRecord<'_>,
    dialect: Dialect,
) -> Result<Locked<'a, Rec>> {
    if dialect == Dialect::V2 {
        return check_locked(cpu, rec, entry, dialect);
    }
    let mut locked = cpu.granules().lock::<Rec>(rec)?; // rec_align, rec_bound, rec_gran_state
    let open = locked.map(cpu.machine).ok_or(Error::Rec)?; // rec_state
    // The entry changes nothing of the Realm, and needs to know no more.
    if !cpu.granules().is_active(open.head().rd()) {
        drop(open);
        drop(locked);
        return check_locked(cpu, rec, entry, dialect);
    }
    check_rec(cpu, open.head(), &open.attributes, entry, dialect)?;
    drop(open);
    Ok(locked)
}

/// As [`check`], with the RD locked: of a Realm that is not ACTIVE, or of one of RMI 2.0, which counts
/// its RUNNING RECs.
#[inline(never)]
fn check_locked<'a, M: Machine>(
    cpu: &'a ThisCpu<'_, M>,
    rec: u64,
    entry: &EntryRecord<'_>,
    dialect: Dialect,
) -> Result<Locked<'a, Rec>> {
    let rd = {
        let rec = cpu.granules().lock::<Rec>(rec)?; // rec_align, rec_bound, rec_gran_state
        rec.head(cpu.machine).rd()
    };
    // Locks are taken in the order of addresses. Between the two the Host may have destroyed the
    // REC, and even created another one in its place.
    let (mut rd, mut rec) = cpu.granules().lock_pair::<Rd, Rec>(rd.as_u64(), rec)?; // rec_gran_state
    let rd_pa = rd.pa();
    let open = rec.map(cpu.machine).ok_or(Error::Rec)?; // rec_state
    if open.head().rd() != rd_pa {
        return Err(Error::Input); // rec_gran_state
    }
    let mut realm = rd.map(cpu.machine);
    match realm.state() {
        RealmState::Active => {}
        RealmState::New => return Err(Error::Realm(0)), // realm_new; realm_state
        // system_off; realm_state
        _ => return Err(Error::Realm(u8::from(dialect == Dialect::V1))),
    }
    check_rec(cpu, open.head(), &open.attributes, entry, dialect)?;
    drop(open);
    // Nothing fails from here on.
    if dialect == Dialect::V2 {
        realm.count_entry();
    }
    Ok(rec)
}

/// The failure conditions that concern the REC and the entry record alone.
#[inline(always)]
fn check_rec<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    head: &RecHead,
    attributes: &RecAttributes,
    entry: &EntryRecord<'_>,
    dialect: Dialect,
) -> Result {
    require(head.is_of(dialect))?; // Not a condition of the specification: see `Modes`.
    if !attributes.is_runnable() {
        return Err(Error::Rec); // rec_runnable
    }
    if attributes.is_psci_pending() {
        return Err(Error::Rec); // rec_psci; rec_pending
    }
    let gic_is_valid = match dialect {
        Dialect::V1 => gic::is_valid(entry.body.gicv3_hcr, &entry.body.gicv3_lrs, cpu.features()),
        Dialect::V2 => cpu.machine.list_registers() & gic::LR_REFUSED == 0,
    };
    if !gic_is_valid {
        return Err(Error::Rec); // rec_gicv3
    }
    if entry.has(RecEnterFlags::EMUL_MMIO) && attributes.last_exit() != LastExit::EmulatableAbort {
        return Err(Error::Rec); // rec_mmio
    }
    // Not a condition of the specification, which leaves SME to no Realm. The Realm's instructions would not do
    // what they should, and the monitor cannot end that mode without loss.
    if cpu.machine.is_stuck_in_streaming() {
        return Err(Error::Input);
    }
    Ok(())
}

/// The fields of `RmiRecEnter`, copied once out of the Host's reach.
struct EntryRecord<'a> {
    flags: RecEnterFlags,
    body: &'a EntryBody,
}

/// From `gprs` to the end of `gicv3_lrs`, as they lie in `RmiRecEnter`.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
struct EntryBody {
    gprs: [u64; REC_EXIT_NR_GPRS],
    _reserved: u64,
    gicv3_hcr: u64,
    gicv3_lrs: [u64; MAX_GIC_LRS],
}

const FLAGS_OFFSET: usize = offset_of!(RecRun, enter) + offset_of!(RecEnter, flags);
const BODY_OFFSET: usize = offset_of!(RecRun, enter) + offset_of!(RecEnter, gprs);
const _: () = {
    let gprs = offset_of!(RecEnter, gprs);
    assert!(gprs + offset_of!(EntryBody, gicv3_hcr) == offset_of!(RecEnter, gicv3_hcr));
    assert!(gprs + offset_of!(EntryBody, gicv3_lrs) == offset_of!(RecEnter, gicv3_lrs));
};

impl<'a> EntryRecord<'a> {
    /// Copies the record; `buffer` keeps most of it.
    ///
    /// # Errors
    /// The page is not accessible through the Non-secure PAS.
    fn read<M: Memory>(
        page: &NsGranule,
        machine: &M,
        (flags, body): &'a mut (MaybeUninit<u64>, MaybeUninit<EntryBody>),
    ) -> core::result::Result<Self, NsFault> {
        let (flags, body) =
            page.read_values(machine, (FLAGS_OFFSET, flags), (BODY_OFFSET, body))?;
        Ok(Self {
            flags: RecEnterFlags::from_bits_retain(*flags),
            body,
        })
    }

    fn has(&self, flag: RecEnterFlags) -> bool {
        self.flags.contains(flag)
    }

    fn response(&self) -> HostResponse<'a> {
        HostResponse {
            gprs: &self.body.gprs,
            emulated: self.has(RecEnterFlags::EMUL_MMIO),
            inject_sea: self.has(RecEnterFlags::INJECT_SEA),
            reject_ripas: self.has(RecEnterFlags::RIPAS_RESPONSE),
        }
    }

    fn controls(&self, fid: u64, dialect: Dialect) -> EntryControls {
        EntryControls {
            host_gic: dialect == Dialect::V2,
            trap_wfi: self.has(RecEnterFlags::TRAP_WFI),
            trap_wfe: self.has(RecEnterFlags::TRAP_WFE),
            no_sve_state: smccc::has_sve_hint(fid),
        }
    }
}
