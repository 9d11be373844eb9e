// SPDX-License-Identifier: BSD-3-Clause
//! Realm Extensible Measurements (specification A7.1.2, B3.42).

use crate::{Hash, Measurement};
use rmm_abi::rmi::HashAlgorithm;

/// The REM that follows when a Realm extends `rem` by `value`, 0 to 64 bytes.
///
/// The hash sees the digest bytes of the old value, then `value` as it is. The specification gives
/// no formula; relying parties replay event logs with this one.
#[must_use]
pub fn extend(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    rem: &Measurement,
    value: &[u8],
) -> Measurement {
    Measurement::of(hash, algorithm, &[rem.digest(algorithm), value])
}
