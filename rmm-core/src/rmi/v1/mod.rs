// SPDX-License-Identifier: BSD-3-Clause
//! RMI 1.0: dispatch, status codes, and the commands.
//!
//! Each command reads from top to bottom as its page of the specification (B4.3): a line for each
//! failure condition, labelled at its end with the specification's name for it, in an order that the
//! page permits; then the effects, of which none can fail. Where a lock or a type checks several
//! conditions, the label names them all.
//!
//! `rec_exit` alone decides what the Host sees of a REC exit.

mod args;
mod data;
mod features;
mod granule;
mod psci;
mod realm;
mod rec;
mod rec_enter;
mod rec_exit;
mod ripas;
mod rtt;
mod unprotected;

pub use args::start_rtt;
pub use psci::complete as psci_complete;
pub use rec::create as rec_create;
pub use rec_enter::enter as rec_enter;

use super::call::Outputs;
use super::version::{NotImplemented, version};
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use crate::realm::Dialect;
use rmm_abi::rmi::{
    RMI_ERROR_INPUT, RMI_ERROR_REALM, RMI_ERROR_REC, RMI_ERROR_RTT, RMI_SUCCESS,
    SMCCC_NOT_SUPPORTED, fid, status,
};
use rmm_abi::smccc;
use rmm_granule::{GranuleError, NsFault};
use rmm_rtt::{RttError, TopError};

/// Why a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `RMI_ERROR_INPUT`: a value of an input.
    Input,
    /// `RMI_ERROR_REALM` with this index: an attribute of the Realm.
    Realm(u8),
    /// `RMI_ERROR_REC`: an attribute of the REC.
    Rec,
    /// `RMI_ERROR_RTT`: the RTT walk ended at this level, or at an entry in a wrong state.
    Rtt(i8),
}

impl Error {
    /// The status word.
    #[must_use]
    pub fn status(self) -> u64 {
        match self {
            Self::Input => status(RMI_ERROR_INPUT, 0),
            Self::Realm(index) => status(RMI_ERROR_REALM, u64::from(index)),
            Self::Rec => status(RMI_ERROR_REC, 0),
            Self::Rtt(level) => status(RMI_ERROR_RTT, u64::from(level.cast_unsigned())),
        }
    }
}

impl From<GranuleError> for Error {
    fn from(_: GranuleError) -> Self {
        Self::Input
    }
}

impl From<NsFault> for Error {
    fn from(_: NsFault) -> Self {
        Self::Input
    }
}

impl From<RttError> for Error {
    fn from(error: RttError) -> Self {
        Self::Rtt(error.level)
    }
}

impl From<TopError> for Error {
    fn from(error: TopError) -> Self {
        Self::Rtt(error.level)
    }
}

impl From<NotImplemented> for Error {
    fn from(_: NotImplemented) -> Self {
        Self::Input
    }
}

/// The status of a command, or a value on the way there.
pub type Result<T = ()> = core::result::Result<T, Error>;

/// Fails with `RMI_ERROR_INPUT` unless `condition` holds.
fn require(condition: bool) -> Result {
    if condition { Ok(()) } else { Err(Error::Input) }
}

/// Serves one call in another mode: commands whose page is the same in both interfaces.
#[inline(never)]
pub fn shared<M: Machine>(cpu: &ThisCpu<'_, M>, mut regs: [u64; 8]) -> [u64; 8] {
    dispatch(cpu, &mut regs);
    regs
}

/// Whether the command with one input succeeds.
pub fn succeeds<M: Machine>(cpu: &ThisCpu<'_, M>, function: u64, input: u64) -> bool {
    shared(cpu, [function, input, 0, 0, 0, 0, 0, 0])[0] == RMI_SUCCESS
}

/// Serves one call: `regs` are X0 to X7.
// Always: as a function of its own it would cost each call another frame.
#[inline(always)]
pub fn dispatch<M: Machine>(cpu: &ThisCpu<'_, M>, regs: &mut [u64; 8]) {
    match smccc::without_sve_hint(regs[0]) {
        fid::RMI_VERSION => serve(cpu, regs, |cpu, r, out| Ok(version(cpu, r[1], out)?)),
        fid::RMI_FEATURES => serve(cpu, regs, |cpu, r, out| features::features(cpu, r[1], out)),
        fid::RMI_GRANULE_DELEGATE => outlined(cpu, regs, |cpu, r, _| granule::delegate(cpu, r[1])),
        fid::RMI_GRANULE_UNDELEGATE => {
            outlined(cpu, regs, |cpu, r, _| granule::undelegate(cpu, r[1]))
        }
        fid::RMI_REALM_CREATE => outlined(cpu, regs, |cpu, r, _| realm::create(cpu, r[1], r[2])),
        fid::RMI_REALM_ACTIVATE => outlined(cpu, regs, |cpu, r, _| realm::activate(cpu, r[1])),
        fid::RMI_REALM_DESTROY => outlined(cpu, regs, |cpu, r, _| realm::destroy(cpu, r[1])),
        fid::RMI_REC_AUX_COUNT => outlined(cpu, regs, |cpu, r, out| rec::aux_count(cpu, r[1], out)),
        fid::RMI_REC_CREATE => outlined(cpu, regs, |cpu, r, _| {
            rec::create(cpu, r[1], r[2], r[3], Dialect::V1)
        }),
        fid::RMI_REC_DESTROY => outlined(cpu, regs, |cpu, r, _| rec::destroy(cpu, r[1])),
        fid::RMI_REC_ENTER => outlined(cpu, regs, |cpu, r, _| {
            rec_enter::enter(cpu, r[0], r[1], r[2], Dialect::V1)
        }),
        fid::RMI_PSCI_COMPLETE => {
            outlined(cpu, regs, |cpu, r, _| psci::complete(cpu, r[1], r[2], r[3]))
        }
        fid::RMI_DATA_CREATE => outlined(cpu, regs, |cpu, r, _| {
            data::create(cpu, r[1], r[2], r[3], r[4], r[5])
        }),
        fid::RMI_DATA_CREATE_UNKNOWN => outlined(cpu, regs, |cpu, r, _| {
            data::create_unknown(cpu, r[1], r[2], r[3])
        }),
        fid::RMI_DATA_DESTROY => {
            outlined(cpu, regs, |cpu, r, out| data::destroy(cpu, r[1], r[2], out))
        }
        fid::RMI_RTT_CREATE => outlined(cpu, regs, |cpu, r, _| {
            rtt::create(cpu, r[1], r[2], r[3], r[4])
        }),
        fid::RMI_RTT_DESTROY => outlined(cpu, regs, |cpu, r, out| {
            rtt::destroy(cpu, r[1], r[2], r[3], out)
        }),
        fid::RMI_RTT_FOLD => outlined(cpu, regs, |cpu, r, out| {
            rtt::fold(cpu, r[1], r[2], r[3], out)
        }),
        fid::RMI_RTT_READ_ENTRY => outlined(cpu, regs, |cpu, r, out| {
            rtt::read_entry(cpu, r[1], r[2], r[3], out)
        }),
        fid::RMI_RTT_MAP_UNPROTECTED => outlined(cpu, regs, |cpu, r, _| {
            unprotected::map(cpu, r[1], r[2], r[3], r[4])
        }),
        fid::RMI_RTT_UNMAP_UNPROTECTED => outlined(cpu, regs, |cpu, r, out| {
            unprotected::unmap(cpu, r[1], r[2], r[3], out)
        }),
        fid::RMI_RTT_INIT_RIPAS => outlined(cpu, regs, |cpu, r, out| {
            ripas::init(cpu, r[1], r[2], r[3], out)
        }),
        fid::RMI_RTT_SET_RIPAS => outlined(cpu, regs, |cpu, r, out| {
            ripas::set(cpu, r[1], r[2], r[3], r[4], out)
        }),
        _ => Outputs::default().write(SMCCC_NOT_SUPPORTED, regs),
    }
}

/// Serves a call by a command, which gets X0 to X7.
#[inline(always)]
fn serve<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    regs: &mut [u64; 8],
    command: impl FnOnce(&ThisCpu<'_, M>, &[u64; 8], &mut Outputs) -> Result,
) {
    let mut out = Outputs::default();
    let status = command(cpu, regs, &mut out).map_or_else(Error::status, |()| RMI_SUCCESS);
    out.write(status, regs);
}

/// As [`serve`], in a stack frame of its own. Inlined, the command with the largest frame would make
/// every call save and restore what only that one needs. A closure that captures nothing has no
/// environment that each call would have to build.
#[inline(never)]
fn outlined<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    regs: &mut [u64; 8],
    command: impl FnOnce(&ThisCpu<'_, M>, &[u64; 8], &mut Outputs) -> Result,
) {
    serve(cpu, regs, command);
}

/// Whether a Host that makes this call speaks RMI 1.0, unless it has asked for another version: every
/// command but RMI_VERSION and RMI_FEATURES.
pub fn decides(function: u64) -> bool {
    matches!(
        function,
        fid::RMI_GRANULE_DELEGATE
            | fid::RMI_GRANULE_UNDELEGATE
            | fid::RMI_REALM_CREATE
            | fid::RMI_REALM_ACTIVATE
            | fid::RMI_REALM_DESTROY
            | fid::RMI_REC_AUX_COUNT
            | fid::RMI_REC_CREATE
            | fid::RMI_REC_DESTROY
            | fid::RMI_REC_ENTER
            | fid::RMI_PSCI_COMPLETE
            | fid::RMI_DATA_CREATE
            | fid::RMI_DATA_CREATE_UNKNOWN
            | fid::RMI_DATA_DESTROY
            | fid::RMI_RTT_CREATE
            | fid::RMI_RTT_DESTROY
            | fid::RMI_RTT_FOLD
            | fid::RMI_RTT_READ_ENTRY
            | fid::RMI_RTT_MAP_UNPROTECTED
            | fid::RMI_RTT_UNMAP_UNPROTECTED
            | fid::RMI_RTT_INIT_RIPAS
            | fid::RMI_RTT_SET_RIPAS
    )
}
