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

use super::call::{Outputs, outlined};
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
    let [x0, x1, x2, x3, x4, x5, ..] = *regs;
    let mut out = Outputs::default();
    let result = match smccc::without_sve_hint(x0) {
        fid::RMI_VERSION => version(cpu, x1, &mut out).map_err(Error::from),
        fid::RMI_FEATURES => features::features(cpu, x1, &mut out),
        fid::RMI_GRANULE_DELEGATE => outlined(|| granule::delegate(cpu, x1)),
        fid::RMI_GRANULE_UNDELEGATE => outlined(|| granule::undelegate(cpu, x1)),
        fid::RMI_REALM_CREATE => outlined(|| realm::create(cpu, x1, x2)),
        fid::RMI_REALM_ACTIVATE => outlined(|| realm::activate(cpu, x1)),
        fid::RMI_REALM_DESTROY => outlined(|| realm::destroy(cpu, x1)),
        fid::RMI_REC_AUX_COUNT => outlined(|| rec::aux_count(cpu, x1, &mut out)),
        fid::RMI_REC_CREATE => outlined(|| rec::create(cpu, x1, x2, x3, Dialect::V1)),
        fid::RMI_REC_DESTROY => outlined(|| rec::destroy(cpu, x1)),
        fid::RMI_REC_ENTER => outlined(|| rec_enter::enter(cpu, x0, x1, x2, Dialect::V1)),
        fid::RMI_PSCI_COMPLETE => outlined(|| psci::complete(cpu, x1, x2, x3)),
        fid::RMI_DATA_CREATE => outlined(|| data::create(cpu, x1, x2, x3, x4, x5)),
        fid::RMI_DATA_CREATE_UNKNOWN => outlined(|| data::create_unknown(cpu, x1, x2, x3)),
        fid::RMI_DATA_DESTROY => outlined(|| data::destroy(cpu, x1, x2, &mut out)),
        fid::RMI_RTT_CREATE => outlined(|| rtt::create(cpu, x1, x2, x3, x4)),
        fid::RMI_RTT_DESTROY => outlined(|| rtt::destroy(cpu, x1, x2, x3, &mut out)),
        fid::RMI_RTT_FOLD => outlined(|| rtt::fold(cpu, x1, x2, x3, &mut out)),
        fid::RMI_RTT_READ_ENTRY => outlined(|| rtt::read_entry(cpu, x1, x2, x3, &mut out)),
        fid::RMI_RTT_MAP_UNPROTECTED => outlined(|| unprotected::map(cpu, x1, x2, x3, x4)),
        fid::RMI_RTT_UNMAP_UNPROTECTED => {
            outlined(|| unprotected::unmap(cpu, x1, x2, x3, &mut out))
        }
        fid::RMI_RTT_INIT_RIPAS => outlined(|| ripas::init(cpu, x1, x2, x3, &mut out)),
        fid::RMI_RTT_SET_RIPAS => outlined(|| ripas::set(cpu, x1, x2, x3, x4, &mut out)),
        _ => return out.write(SMCCC_NOT_SUPPORTED, regs),
    };
    let status = result.map_or_else(Error::status, |()| RMI_SUCCESS);
    out.write(status, regs);
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
