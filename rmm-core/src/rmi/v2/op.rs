// SPDX-License-Identifier: BSD-3-Clause
//! RMI_OP_CONTINUE, RMI_OP_MEM_DONATE, RMI_OP_MEM_RECLAIM and RMI_OP_CANCEL (B4.5.21 to B4.5.24).

use super::{Error, Result};

/// Any of them: no command of this monitor begins a stateful operation, so there is no handle.
pub const fn any() -> Result {
    Err(Error::Input) // handle
}
