// SPDX-License-Identifier: BSD-3-Clause
//! The two dialects of RMI: the mode of the machine, and the commands that change or show it. Which page
//! a call is judged by follows from the mode.

use super::conditions::Conditions;
use super::state::Model;
use rmm_abi::rmi::v2::fid;
use rmm_core::fake::{Reply, Status};
use rmm_granule::GranuleState;

/// The dialect of the Host, and the state of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// EL3 carries 1.0 alone.
    OnlyV1,
    V1,
    Undecided,
    Init,
    Active,
}

/// Commands of 1.0 alone, and commands of 2.0 alone.
const ONLY_1_0: &[u64] = &[0x151, 0x152, 0x154, 0x155, 0x15F, 0x162, 0x167];
const ONLY_2_0: &[u64] = &[
    0x16E, 0x1E1, 0x1EC, 0x1EE, 0x1F1, 0x1F2, 0x1F3, 0x1F5, 0x1F6, 0x1FB, 0x1FC, 0x201, 0x202,
    0x203, 0x208, 0x209, 0x20A, 0x20F, 0x211,
];
/// Commands of both.
const BOTH: &[u64] = &[
    0x150, 0x153, 0x157, 0x158, 0x159, 0x15A, 0x15B, 0x15C, 0x15D, 0x15E, 0x161, 0x164, 0x165,
    0x166, 0x168, 0x169,
];
/// Commands of 2.0 in any state of the RMM.
const ALWAYS: &[u64] = &[0x150, 0x165, 0x16E, 0x1E1, 0x1EC, 0x1EE, 0x202];

fn is_in(list: &[u64], function: u64) -> bool {
    let number = function.wrapping_sub(0xC400_0000);
    list.contains(&number)
}

impl Model {
    pub fn is_v2(&self) -> bool {
        matches!(self.mode, Mode::Init | Mode::Active)
    }

    fn is_any_delegated(&self) -> bool {
        let mut granules = self.granules.values();
        granules.any(|granule| granule.state != GranuleState::Undelegated)
    }

    /// Judges what only the mode decides, and what both dialects have. Whether the call is done; else it
    /// has the page of the mode.
    pub fn judge_mode(&mut self, function: u64, a: [u64; 5], reply: &Reply) -> bool {
        if self.mode == Mode::OnlyV1 {
            return false;
        }
        if self.mode == Mode::Undecided {
            self.decide(function);
        }
        if function == fid::RMI_VERSION {
            self.version_of_two(a[0], reply);
            return true;
        }
        let (refused, is_early) = if self.is_v2() {
            let known = is_in(ONLY_2_0, function) || is_in(BOTH, function);
            let is_early = self.mode == Mode::Init && known && !is_in(ALWAYS, function);
            (!known, is_early)
        } else {
            (is_in(ONLY_2_0, function), false)
        };
        if refused {
            assert_eq!(reply.status, Status::NotSupported);
            return true;
        }
        if is_early {
            let mut c = Conditions::of("2.0");
            c.when("rmm_state", true, Status::Global);
            c.judge(reply.status, &[]);
            return true;
        }
        self.is_v2() && self.judge_state(function, a, reply)
    }

    /// The first call that prepares the use of Realms chooses the dialect.
    fn decide(&mut self, function: u64) {
        let chooses_2_0 = matches!(function, fid::RMI_RMM_CONFIG_SET | fid::RMI_RMM_ACTIVATE);
        if chooses_2_0 {
            self.mode = Mode::Init;
        } else if !is_in(&[0x150, 0x165], function)
            && (is_in(ONLY_1_0, function) || is_in(BOTH, function))
        {
            self.mode = Mode::V1;
        }
    }

    fn version_of_two(&mut self, requested: u64, reply: &Reply) {
        let (status, lower) = match requested {
            0x1_0000 | 0x2_0000 => (Status::Success, requested),
            0x1_0001..=0x1_FFFF => (Status::Input, 0x1_0000),
            _ => (Status::Input, 0x2_0000),
        };
        assert_eq!(reply.status, status);
        assert_eq!(reply.x[1..3], [lower, 0x2_0000]);
        if status != Status::Success || self.is_any_delegated() {
            return;
        }
        self.mode = match (requested, self.mode) {
            (0x1_0000, _) => Mode::V1,
            (_, Mode::Active) => Mode::Active,
            _ => Mode::Init,
        };
    }

    /// The commands of 2.0 on the RMM. Whether this is one of them.
    fn judge_state(&mut self, function: u64, a: [u64; 5], reply: &Reply) -> bool {
        const CONFIG: [&str; 3] = ["config_align", "config_bound", "config_pas"];
        match function {
            fid::RMI_FEATURES => {
                assert_eq!(reply.status, Status::Success);
                assert_eq!(reply.x[1] == 0, a[0] > 1);
            }
            fid::RMI_RMM_CONFIG_SET => {
                let mut c = Conditions::of("2.0 RMM_CONFIG_SET");
                c.when("rmm_state", self.mode == Mode::Active, Status::Global);
                if self.check_ns(&mut c, CONFIG, a[0]) {
                    let page = self.granules[&a[0]].content();
                    c.input("tracking_size_supp", page[0] > 1);
                    c.input("granule_size_supp", page[8] != 0);
                    let tracking = page[0];
                    if c.judge(reply.status, &[]) {
                        self.tracking_size = tracking;
                    }
                } else {
                    c.judge(reply.status, &[]);
                }
            }
            fid::RMI_RMM_CONFIG_GET => {
                let mut c = Conditions::of("2.0 RMM_CONFIG_GET");
                self.check_ns(&mut c, CONFIG, a[0]);
                if c.judge(reply.status, &[]) {
                    let mut page = [0; 4096];
                    page[0] = self.tracking_size;
                    *self.granule(a[0]).content_mut() = page;
                }
            }
            fid::RMI_RMM_STATE_GET => {
                assert_eq!(reply.status, Status::Success);
                let active = self.mode == Mode::Active;
                assert_eq!(reply.x[1], if active { 2 } else { 0 });
            }
            fid::RMI_RMM_ACTIVATE => {
                let mut c = Conditions::of("2.0 RMM_ACTIVATE");
                c.when("state", self.mode != Mode::Init, Status::Global);
                if c.judge(reply.status, &[]) {
                    self.mode = Mode::Active;
                }
            }
            fid::RMI_RMM_DEACTIVATE => {
                let mut c = Conditions::of("2.0 RMM_DEACTIVATE");
                c.when("gran_state", self.is_any_delegated(), Status::Global);
                if c.judge(reply.status, &[]) {
                    self.mode = Mode::Init;
                }
            }
            fid::RMI_GRANULE_TRACKING_GET => self.tracking_get(a[0], a[1], reply),
            fid::RMI_GPT_INFO => {
                let mut c = Conditions::of("2.0 GPT_INFO");
                let entry = |addr: u64| addr.is_multiple_of(1 << 30);
                c.input("base_align", !entry(a[0]));
                c.input("top_align", !entry(a[1]));
                c.input("size_valid", a[1] <= a[0]);
                c.input("base_bound", a[0] >= self.pa_end());
                if c.judge(reply.status, &[]) {
                    assert_eq!(reply.x[1..3], [a[1], 1]);
                }
            }
            fid::RMI_GPT_L1_CREATE => {
                let mut c = Conditions::of("2.0 GPT_L1_CREATE");
                c.input("addr_align", !a[0].is_multiple_of(1 << 30));
                c.input("addr_bound", a[0] >= self.pa_end());
                c.when("l0gpt_state", c.none(), Status::Gpt);
                c.judge(reply.status, &[]);
            }
            fid::RMI_OP_CONTINUE
            | fid::RMI_OP_MEM_DONATE
            | fid::RMI_OP_MEM_RECLAIM
            | fid::RMI_OP_CANCEL => assert_eq!(reply.status, Status::Input),
            _ => return false,
        }
        true
    }

    fn pa_end(&self) -> u64 {
        1 << self.features.pa_bits
    }

    fn tracking_get(&self, base: u64, top: u64, reply: &Reply) {
        const MOST: u64 = 8192 * 4096;
        let mut c = Conditions::of("2.0 GRANULE_TRACKING_GET");
        c.input("base_align", !base.is_multiple_of(4096));
        c.input("top_align", !top.is_multiple_of(4096));
        c.input("size_valid", top <= base);
        c.input("bound", top > self.pa_end());
        if !c.judge(reply.status, &[]) {
            return;
        }
        let mut end = base;
        let is_fine = |pa: u64| self.granules.contains_key(&pa);
        if is_fine(base) {
            while is_fine(end) && end < top.min(base + MOST) {
                end += 4096;
            }
        } else {
            let next = self.granules.range(base..).next();
            end = next.map_or(top, |(pa, _)| top.min(*pa));
        }
        if is_fine(base) {
            assert_eq!(reply.x[1..4], [0, 2, end]);
        } else {
            // A call may end at memory of the monitor, which is RESERVED like what is no memory.
            assert_eq!(reply.x[1..3], [0, 0]);
            assert!(reply.x[3] > base && reply.x[3] <= end);
        }
    }
}
