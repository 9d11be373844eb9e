// SPDX-License-Identifier: BSD-3-Clause
//! Why an operation on an RTT fails.

use rmm_granule::Ipa;

/// The walk or the entry it reached does not permit the operation. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttError {
    /// Level of the RTT concerned, -1 to 3.
    pub level: i8,
}

/// As [`RttError`], with how far the Host may skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopError {
    /// Level of the RTT concerned, -1 to 3.
    pub level: i8,
    /// The `top` output: nothing is live from the IPA given up to here.
    pub top: Ipa,
}
