// SPDX-License-Identifier: BSD-3-Clause
//! The tests that mean the same in both dialects, and run in RMI 2.0 again.

use super::*;

/// Tests of the groups for [`Dialects::Both`] that are about commands, registers or values which only 1.0 has.
const ONLY_1_0: &[&str] = &[
    // RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY.
    "data.create_walk",
    "data.create_unknown_wrong",
    "data.destroy_top",
    "data.destroy_wrong",
    // The fields of the GIC in the entry record, and the order of their check.
    "rec.enter_states",
    "rec.enter_other_fields",
    "rec.enter_gic_wrong",
    "rec.enter_failed_changes_nothing",
    "rec.enter_order",
    // RSI 1.1, and RMI_RTT_INIT_RIPAS, which 2.0 does not measure.
    "rsi.version",
    "rsi.measurement_rim_of_steps",
    // 2.0 does not exit for it, and reads the arguments of RMI_PSCI_COMPLETE in two ways.
    "psci.affinity_info",
    "psci.complete_wrong",
    "psci.complete_target",
    // The monitor clears them, because they are not the Host's.
    "leak.active_priorities",
    // SVE, which 2.0 does not offer.
    "identity.with_sve",
    "context.host_without_sve_state",
    "migrate.sve",
];

/// All of them.
pub fn tests() -> impl Iterator<Item = &'static Test> {
    let groups = GROUPS
        .iter()
        .filter(|(dialects, _)| *dialects == Dialects::Both);
    let tests = groups.flat_map(|(_, tests)| *tests);
    tests.filter(|(name, _)| !ONLY_1_0.contains(name))
}
