// SPDX-License-Identifier: BSD-3-Clause
//! Realm Extensible Measurements (specification A7.1.2, B3.42).

use crate::hash::Part;
use crate::{Hash, Measurement};
use rmm_abi::rmi::HashAlgorithm;

/// The new value of `rem` when a Realm extends it by `value`, 0 to 64 bytes.
///
/// It is the hash of the old digest followed by `value`, which is not padded. The specification has no
/// formula; relying parties replay event logs with this one.
#[must_use]
pub fn extend(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    rem: &Measurement,
    value: &[u8],
) -> Measurement {
    let parts = [rem.digest(algorithm), value].map(Part::Bytes);
    Measurement::of_parts(hash, algorithm, &parts)
}
