// SPDX-License-Identifier: BSD-3-Clause
//! Sizes and encodings that most tests use.

use rmm_granule::GRANULE_SIZE;

/// 1 MiB.
pub const MIB: u64 = 1 << 20;
/// 1 GiB.
pub const GIB: u64 = 1 << 30;
/// Size of a page, which is that of a granule, as a number of addresses.
pub const PAGE: u64 = GRANULE_SIZE as u64;

/// RIPAS EMPTY, as RMI and RSI encode it.
pub const EMPTY: u64 = 0;
/// RIPAS RAM.
pub const RAM: u64 = 1;
/// RIPAS DESTROYED.
pub const DESTROYED: u64 = 2;

/// Attributes in the descriptor of RMI_RTT_MAP_UNPROTECTED: MemAttr Normal Write-Back, S2AP read
/// and write.
pub const NS_ATTRIBUTES: u64 = 6 << 2 | 3 << 6;
