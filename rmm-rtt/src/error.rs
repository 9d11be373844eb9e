// SPDX-License-Identifier: BSD-3-Clause
//! Why an operation on an RTT fails.

use rmm_granule::Ipa;

/// The walk ended too early, or at an entry or RTT whose state does not permit the operation: the
/// condition of RMI_ERROR_RTT. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttError {
    /// Level of that entry or RTT, -1 to 3: the index of the status.
    pub level: i8,
}

/// As [`RttError`], with the `top` output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopError {
    /// Level of that entry or RTT, -1 to 3: the index of the status.
    pub level: i8,
    /// The `top` output: no entry is live from the IPA of the command up to here. It equals that IPA
    /// if the entry there is live.
    pub top: Ipa,
}
