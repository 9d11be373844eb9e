// SPDX-License-Identifier: BSD-3-Clause
//! RMI 1.0: dispatch, status words, and the commands.
//!
//! Each command reads from top to bottom as its page of the specification (B4.3): fetch, check in
//! order, commit. After the first commit nothing fails.

mod data;
mod granule;
mod psci;
mod realm;
mod rec;
mod ripas;
mod rtt;
mod unprotected;
mod version;

use crate::machine::Machine;
use crate::monitor::Cx;
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
    /// `RMI_ERROR_INPUT`: the value of an input.
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

/// What a command comes to, outputs apart.
pub type Result = core::result::Result<(), Error>;

/// The output registers a command declares, X1 to X4. They are zero unless written.
#[derive(Default)]
pub struct Outputs {
    /// X1.
    pub x1: u64,
    /// X2.
    pub x2: u64,
    /// X3.
    pub x3: u64,
    /// X4; none leaves the caller's.
    pub x4: Option<u64>,
}

/// Serves one call.
pub fn dispatch<M: Machine>(cx: &Cx<'_, M>, call: [u64; 8]) -> [u64; 8] {
    let [x0, x1, x2, x3, x4, x5, ..] = call;
    let mut out = Outputs::default();
    let result = match smccc::without_sve_hint(x0) {
        fid::RMI_VERSION => version::version(x1, &mut out),
        fid::RMI_FEATURES => version::features(cx, x1, &mut out),
        fid::RMI_GRANULE_DELEGATE => room(|| granule::delegate(cx, x1)),
        fid::RMI_GRANULE_UNDELEGATE => room(|| granule::undelegate(cx, x1)),
        fid::RMI_REALM_CREATE => room(|| realm::create(cx, x1, x2)),
        fid::RMI_REALM_ACTIVATE => room(|| realm::activate(cx, x1)),
        fid::RMI_REALM_DESTROY => room(|| realm::destroy(cx, x1)),
        fid::RMI_REC_AUX_COUNT => room(|| rec::aux_count(cx, x1, &mut out)),
        fid::RMI_REC_CREATE => room(|| rec::create(cx, x1, x2, x3)),
        fid::RMI_REC_DESTROY => room(|| rec::destroy(cx, x1)),
        fid::RMI_REC_ENTER => room(|| crate::run::enter(cx, x1, x2)),
        fid::RMI_PSCI_COMPLETE => room(|| psci::complete(cx, x1, x2, x3)),
        fid::RMI_DATA_CREATE => room(|| data::create(cx, x1, x2, x3, x4, x5)),
        fid::RMI_DATA_CREATE_UNKNOWN => room(|| data::create_unknown(cx, x1, x2, x3)),
        fid::RMI_DATA_DESTROY => room(|| data::destroy(cx, x1, x2, &mut out)),
        fid::RMI_RTT_CREATE => room(|| rtt::create(cx, x1, x2, x3, x4)),
        fid::RMI_RTT_DESTROY => room(|| rtt::destroy(cx, x1, x2, x3, &mut out)),
        fid::RMI_RTT_FOLD => room(|| rtt::fold(cx, x1, x2, x3, &mut out)),
        fid::RMI_RTT_READ_ENTRY => room(|| rtt::read_entry(cx, x1, x2, x3, &mut out)),
        fid::RMI_RTT_MAP_UNPROTECTED => room(|| unprotected::map(cx, x1, x2, x3, x4)),
        fid::RMI_RTT_UNMAP_UNPROTECTED => room(|| unprotected::unmap(cx, x1, x2, x3, &mut out)),
        fid::RMI_RTT_INIT_RIPAS => room(|| ripas::init(cx, x1, x2, x3, &mut out)),
        fid::RMI_RTT_SET_RIPAS => room(|| ripas::set(cx, x1, x2, x3, x4, &mut out)),
        _ => return registers(SMCCC_NOT_SUPPORTED, &out, call),
    };
    let status = result.map_or_else(Error::status, |()| RMI_SUCCESS);
    registers(status, &out, call)
}

/// Runs a command in a stack frame of its own, so that the short ones need none.
#[inline(never)]
fn room<T>(command: impl FnOnce() -> T) -> T {
    command()
}

/// X0 to X7 on return. Registers from X4 on that are no output come back as the caller had them:
/// SMCCC lets Hosts count on it.
fn registers(x0: u64, out: &Outputs, call: [u64; 8]) -> [u64; 8] {
    let [_, _, _, _, x4, x5, x6, x7] = call;
    [x0, out.x1, out.x2, out.x3, out.x4.unwrap_or(x4), x5, x6, x7]
}
