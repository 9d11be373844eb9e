// SPDX-License-Identifier: BSD-3-Clause
//! RMI 2.0 (2.0-bet3): dispatch, status codes, and the commands.
//!
//! Each command reads from top to bottom as its page of the specification (B4.5); labels are as in
//! [`v1`]. A command whose page is that of 1.0 is the one of `v1`.
//!
//! A command that works on a range stops where it has to, or where it has done enough for one call, and
//! succeeds with the range that it has done: it is never INCOMPLETE.

mod address_set;
mod args;
mod data;
mod features;
mod granule;
mod op;
mod psci;
mod realm;
mod ripas;
mod rmm;
mod unprotected;

use super::call::{Outputs, outlined};
use super::v1;
use super::version::{NotImplemented, version};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::monitor::ThisCpu;
use crate::realm::Dialect;
use rmm_abi::rmi::v2::{RMI_BUSY, RMI_ERROR_GLOBAL, RMI_ERROR_GPT, fid};
use rmm_abi::rmi::{
    DataFlags, RMI_ERROR_INPUT, RMI_ERROR_REALM, RMI_ERROR_REC, RMI_ERROR_RTT, RMI_SUCCESS,
    SMCCC_NOT_SUPPORTED, status,
};
use rmm_abi::smccc;
use rmm_granule::{GranuleError, NsFault};
use rmm_rtt::{MapError, RttError, TopError};

/// Why a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `RMI_ERROR_INPUT`: a value of an input.
    Input,
    /// `RMI_ERROR_REALM`: an attribute of the Realm.
    Realm,
    /// `RMI_ERROR_REC`: an attribute of the REC.
    Rec,
    /// `RMI_ERROR_RTT`: the RTT walk ended at this level, or at an entry in a wrong state.
    Rtt(i8),
    /// `RMI_ERROR_GLOBAL`: the state of the RMM, or an empty pool of it.
    Global,
    /// `RMI_ERROR_GPT`: the state of the GPT.
    Gpt,
    /// `RMI_BUSY`: another CPU uses the same granule at this moment.
    Busy,
}

impl Error {
    /// The status word.
    fn status(self) -> u64 {
        match self {
            Self::Input => status(RMI_ERROR_INPUT, 0),
            Self::Realm => status(RMI_ERROR_REALM, 0),
            Self::Rec => status(RMI_ERROR_REC, 0),
            Self::Rtt(level) => status(RMI_ERROR_RTT, u64::from(level.cast_unsigned())),
            Self::Global => status(RMI_ERROR_GLOBAL, 0),
            Self::Gpt => status(RMI_ERROR_GPT, 0),
            Self::Busy => status(RMI_BUSY, 0),
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

impl From<NotImplemented> for Error {
    fn from(_: NotImplemented) -> Self {
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

impl From<MapError> for Error {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Rtt(error) => error.into(),
            MapError::Granule => Self::Input,
            MapError::Busy => Self::Busy,
        }
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        match error {
            v1::Error::Input => Self::Input,
            v1::Error::Realm(_) => Self::Realm,
            v1::Error::Rec => Self::Rec,
            v1::Error::Rtt(level) => Self::Rtt(level),
        }
    }
}

/// The status of a command, or a value on the way there.
pub type Result<T = ()> = core::result::Result<T, Error>;

/// Fails with `RMI_ERROR_INPUT` unless `condition` holds.
fn require(condition: bool) -> Result {
    if condition { Ok(()) } else { Err(Error::Input) }
}

/// Serves one call in a mode of RMI 2.0.
pub fn dispatch<M: Machine>(cpu: &ThisCpu<'_, M>, mode: Mode, mut call: [u64; 8]) -> [u64; 8] {
    let mut out = Outputs::default();
    let function = smccc::without_sve_hint(call[0]);
    let x0 = if mode != Mode::V2Active && needs_active(function) {
        Error::Global.status()
    } else if is_shared(function) {
        return v1::shared(cpu, call);
    } else if function == fid::RMI_RTT_DATA_MAP_INIT {
        // RMI_DATA_CREATE of 1.0, but for reserved flags.
        match require(call[5] & !DataFlags::all().bits() == 0) {
            Ok(()) => return v1::shared(cpu, call),
            Err(error) => error.status(),
        }
    } else {
        match serve(cpu, mode, call, &mut out) {
            Some(Ok(())) => RMI_SUCCESS,
            Some(Err(error)) => error.status(),
            None => SMCCC_NOT_SUPPORTED,
        }
    };
    out.write(x0, &mut call);
    call
}

/// Whether the command has the same page in RMI 1.0: inputs, outputs, conditions and effects.
fn is_shared(function: u64) -> bool {
    matches!(
        function,
        fid::RMI_REALM_ACTIVATE
            | fid::RMI_REALM_DESTROY
            | fid::RMI_REC_DESTROY
            | fid::RMI_RTT_CREATE
            | fid::RMI_RTT_DESTROY
            | fid::RMI_RTT_FOLD
            | fid::RMI_RTT_READ_ENTRY
            | fid::RMI_RTT_SET_RIPAS
    )
}

/// The result of the command; `None` if there is no such command.
fn serve<M: Machine>(
    cpu: &ThisCpu<'_, M>,
    mode: Mode,
    call: [u64; 8],
    out: &mut Outputs,
) -> Option<Result> {
    let [x0, x1, x2, x3, x4, x5, ..] = call;
    Some(match smccc::without_sve_hint(x0) {
        fid::RMI_VERSION => version(cpu, x1, out).map_err(Error::from),
        fid::RMI_FEATURES => features::features(cpu, x1, out),
        fid::RMI_RMM_CONFIG_SET => outlined(|| rmm::config_set(cpu, mode, x1)),
        fid::RMI_RMM_CONFIG_GET => outlined(|| rmm::config_get(cpu, x1)),
        fid::RMI_RMM_ACTIVATE => rmm::activate(cpu),
        fid::RMI_RMM_DEACTIVATE => rmm::deactivate(cpu),
        fid::RMI_RMM_STATE_GET => rmm::state_get(mode, out),
        fid::RMI_GRANULE_TRACKING_GET => outlined(|| granule::tracking_get(cpu, x1, x2, out)),
        fid::RMI_GRANULE_RANGE_DELEGATE => outlined(|| granule::range_delegate(cpu, x1, x2, out)),
        fid::RMI_GRANULE_RANGE_UNDELEGATE => {
            outlined(|| granule::range_undelegate(cpu, x1, x2, out))
        }
        fid::RMI_GPT_INFO => granule::gpt_info(cpu, x1, x2, out),
        fid::RMI_GPT_L1_CREATE => granule::gpt_l1_create(cpu, x1),
        fid::RMI_REALM_CREATE => outlined(|| realm::create(cpu, x1, x2)),
        fid::RMI_REALM_TERMINATE => outlined(|| realm::terminate(cpu, x1)),
        fid::RMI_RTT_DATA_MAP => outlined(|| data::map(cpu, x1, (x2, x3), x4, x5, out)),
        fid::RMI_RTT_DATA_UNMAP => outlined(|| data::unmap(cpu, x1, (x2, x3), x4, x5, out)),
        fid::RMI_RTT_UNPROT_MAP => outlined(|| unprotected::map(cpu, x1, (x2, x3), x4, x5, out)),
        fid::RMI_RTT_UNPROT_UNMAP => {
            outlined(|| unprotected::unmap(cpu, x1, (x2, x3), x4, x5, out))
        }
        fid::RMI_RTT_INIT_RIPAS => outlined(|| ripas::init(cpu, x1, x2, x3, out)),
        fid::RMI_REC_CREATE => outlined(|| Ok(v1::rec_create(cpu, x1, x2, x3, Dialect::V2)?)),
        fid::RMI_REC_ENTER => outlined(|| Ok(v1::rec_enter(cpu, x0, x1, x2, Dialect::V2)?)),
        fid::RMI_PSCI_COMPLETE => outlined(|| psci::complete(cpu, x1, x2, x3)),
        fid::RMI_OP_CONTINUE
        | fid::RMI_OP_MEM_DONATE
        | fid::RMI_OP_MEM_RECLAIM
        | fid::RMI_OP_CANCEL => op::any(),
        _ => return None,
    })
}

/// Whether this is a command that needs the RMM in state ACTIVE, which is checked before its inputs.
fn needs_active(function: u64) -> bool {
    matches!(
        function,
        fid::RMI_RMM_DEACTIVATE
            | fid::RMI_GRANULE_RANGE_DELEGATE
            | fid::RMI_GRANULE_RANGE_UNDELEGATE
            | fid::RMI_GPT_INFO
            | fid::RMI_GPT_L1_CREATE
            | fid::RMI_REALM_CREATE
            | fid::RMI_REALM_ACTIVATE
            | fid::RMI_REALM_TERMINATE
            | fid::RMI_REALM_DESTROY
            | fid::RMI_RTT_CREATE
            | fid::RMI_RTT_DESTROY
            | fid::RMI_RTT_FOLD
            | fid::RMI_RTT_READ_ENTRY
            | fid::RMI_RTT_DATA_MAP_INIT
            | fid::RMI_RTT_DATA_MAP
            | fid::RMI_RTT_DATA_UNMAP
            | fid::RMI_RTT_UNPROT_MAP
            | fid::RMI_RTT_UNPROT_UNMAP
            | fid::RMI_RTT_INIT_RIPAS
            | fid::RMI_RTT_SET_RIPAS
            | fid::RMI_REC_CREATE
            | fid::RMI_REC_DESTROY
            | fid::RMI_REC_ENTER
            | fid::RMI_PSCI_COMPLETE
            | fid::RMI_OP_CONTINUE
            | fid::RMI_OP_MEM_DONATE
            | fid::RMI_OP_MEM_RECLAIM
            | fid::RMI_OP_CANCEL
    )
}
