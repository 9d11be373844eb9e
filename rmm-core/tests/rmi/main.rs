// SPDX-License-Identifier: BSD-3-Clause
//! The RMI commands, one file a family. Each test bears the name of a failure condition of the
//! specification (B4.3) or says what a success changes.
//!
//! That a failed command changes nothing, that outputs are zero where they are not declared and
//! that no lock, window or register is left behind is checked by [`Host`](rmm_core::fake::Host) at
//! each call, and by the drop of its Realms and its machine that everything comes back wiped.

mod granule;
mod version;
