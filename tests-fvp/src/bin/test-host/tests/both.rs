// SPDX-License-Identifier: BSD-3-Clause
//! The tests that mean the same in both dialects, and run in RMI 2.0 again.

use super::*;

/// Groups that have such tests.
const GROUPS: &[&[Test]] = &[
    realm::thousand::TESTS,
    rtt::create::TESTS,
    rtt::destroy::TESTS,
    rtt::read_entry::TESTS,
    rtt::set_ripas::TESTS,
    data::TESTS,
    rec::destroy::TESTS,
    rec::enter::TESTS,
    exit::TESTS,
    mmio::TESTS,
    shared::TESTS,
    race::stage1_table::TESTS,
    irq::TESTS,
    timer::TESTS,
    vgic::TESTS,
    rsi::TESTS,
    rsi::realm_config::TESTS,
    rsi::host_call::TESTS,
    rsi::measurement::TESTS,
    rsi::token::TESTS,
    rsi::ipa_state::TESTS,
    psci::TESTS,
    identity::TESTS,
    hidden::TESTS,
    leak::TESTS,
    context::TESTS,
    debug::TESTS,
    smp::TESTS,
    migrate::TESTS,
    hotplug::TESTS,
    stage1::TESTS,
    sweep::TESTS,
];

/// Tests of those groups that are about commands, registers or values which only 1.0 has.
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
    let tests = GROUPS.iter().copied().flatten();
    tests.filter(|(name, _)| !ONLY_1_0.contains(name))
}
