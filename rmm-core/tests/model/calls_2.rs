// SPDX-License-Identifier: BSD-3-Clause
//! Steps of a Host that speaks RMI 2.0, and of one that changes the dialect.

use super::calls::{BLOCK, PARAMS, SOURCE};
use super::modes::Mode;
use super::sequences::undelegate_all;
use super::stepper::Stepper;
use super::tables::{Entry, size};
use rmm_abi::rmi::v2::{self, fid};
use rmm_abi::rmi::{RealmParams, fid as v1};
use rmm_core::fake::Status;
use rmm_granule::GranuleState;
use zerocopy::FromZeros;

const SINGLE: u64 = 1;
const LIST: u64 = 2;
/// Normal Write-Back, read and write, of RMI_RTT_UNPROT_MAP.
const WB_RW: u64 = 6 << 16 | 3 << 19;

/// A descriptor of DELEGATED blocks.
fn desc(pa: u64, level: i64, count: u64) -> u64 {
    pa | (3 - level).cast_unsigned() | count << 2
}

impl Stepper<'_> {
    pub fn is_v2(&self) -> bool {
        self.shared.lock().is_v2()
    }

    /// Makes a granule DELEGATED, if it can be.
    pub fn delegate_page(&mut self, pa: u64) {
        if self.is_v2() {
            self.plain_call(fid::RMI_GRANULE_RANGE_DELEGATE, &[pa, pa + 4096]);
        } else {
            self.plain_call(v1::RMI_GRANULE_DELEGATE, &[pa]);
        }
    }

    /// Asks for the version, and configures and activates the RMM.
    pub fn choose(&mut self, version: u64) {
        self.plain_call(fid::RMI_VERSION, &[version]);
        if self.shared.lock().mode == Mode::Init {
            self.configure();
            self.plain_call(fid::RMI_RMM_ACTIVATE, &[]);
        }
    }

    fn configure(&mut self) {
        let config = [self.draw.below(3) as u64, u64::from(self.draw.once_in(4))];
        self.put(PARAMS, &config);
        self.call(fid::RMI_RMM_CONFIG_SET, &[PARAMS]);
    }

    /// Destroys everything and changes the dialect.
    pub fn switch(&mut self) {
        let v2 = self.is_v2();
        if self.nested || self.shared.lock().mode == Mode::OnlyV1 {
            return;
        }
        let realms: Vec<u64> = self.shared.lock().realms.keys().copied().collect();
        for rd in realms {
            self.tear_down(rd);
        }
        undelegate_all(self.shared, self.host);
        if v2 {
            self.call(fid::RMI_RMM_DEACTIVATE, &[]);
        }
        let stays = v2 && self.draw.once_in(2);
        self.choose(if v2 && !stays { 0x1_0000 } else { 0x2_0000 });
    }

    /// Commands on the RMM and on the mode; most change nothing.
    pub fn mode_step(&mut self) {
        let page = self.granule(GranuleState::Undelegated);
        let [base, top] = [0, 1].map(|_| self.granule(GranuleState::Undelegated));
        let entry = (self.draw.below(8) as u64) << 30;
        match self.draw.below(12) {
            0 | 1 => {
                let versions = [0x1_0000, 0x2_0000, 0x2_0000, 0x1_0001, 0x2_0001, 0];
                let version = self.draw.of(&versions);
                self.call(fid::RMI_VERSION, &[version]);
            }
            2 => self.configure(),
            3 => {
                self.call(fid::RMI_RMM_CONFIG_GET, &[page]);
            }
            4 => {
                self.call(fid::RMI_RMM_DEACTIVATE, &[]);
                self.plain_call(fid::RMI_RMM_STATE_GET, &[]);
            }
            5 => {
                self.call(fid::RMI_GRANULE_TRACKING_GET, &[base, top]);
                self.plain_call(fid::RMI_GRANULE_TRACKING_GET, &[0, 1 << 40]);
            }
            6 => {
                self.call(fid::RMI_GPT_INFO, &[entry, entry + (1 << 30)]);
                self.call(fid::RMI_GPT_L1_CREATE, &[entry]);
            }
            7 => {
                let function = self
                    .draw
                    .of(&[0x203, 0x208, 0x209, 0x20A, 0x151, 0x152, 0x1E3]);
                self.call(0xC400_0000 + function, &[page, page, 1]);
            }
            8 => {
                let index = self.draw.below(6) as u64;
                self.call(fid::RMI_FEATURES, &[index]);
            }
            _ => {}
        }
        if self.draw.once_in(2) {
            self.call(fid::RMI_RMM_ACTIVATE, &[]);
        }
    }

    /// A range of granules, some of which may be in another state.
    pub fn granule_range(&mut self, function: u64, state: GranuleState) {
        let base = self.granule(state);
        let count = self.draw.of(&[1, 1, 2, 4, 8, 600]);
        self.call(function, &[base, base + count * 4096]);
    }

    /// Parameters of 2.0 for a Realm of this shape.
    pub fn realm_create_2(&mut self, rd: u64, common: &RealmParams) -> Option<u64> {
        let mut params = v2::RealmParams::new_zeroed();
        params.flags0 = common.flags & 1 | (self.draw.below(2) as u64) << 5;
        params.s2sz = common.s2sz;
        params.num_bps = common.num_bps;
        params.num_wps = common.num_wps;
        params.hash_algo = self.draw.below(3) as u8;
        params.rpv = common.rpv;
        params.rtt_base = common.rtt_base;
        params.rtt_level_start = common.rtt_level_start;
        params.rtt_num_start = common.rtt_num_start;
        if self.draw.once_in(12) {
            let how = self.draw.below(64) as u32;
            match self.draw.below(6) {
                0 => params.flags0 |= 1 << (how % 9),
                1 => params.flags1 |= 1 << (how % 3),
                2 => params.num_aux_planes = how % 2,
                3 => params.ats_plane = u64::from(how % 2),
                4 => params.hash_algo = how as u8,
                _ => params.num_bps = how as u8 % 8,
            }
        }
        self.put(PARAMS, &params);
        let reply = self.call(fid::RMI_REALM_CREATE, &[rd, PARAMS]);
        (reply.status == Status::Success).then_some(self.last_rd)
    }

    /// Pages or a block at run time, from one descriptor or a list.
    pub fn data_map(&mut self, rd: u64) {
        let (ipa, level) = self.entry(rd, |entry| matches!(entry, Entry::Unassigned(_)));
        let entries = self.draw.of(&[1, 1, 2, 3, 600]);
        let top = ipa + entries * size(level.max(2));
        let first = self.fresh();
        if self.draw.once_in(3) {
            let words: [u64; 4] = std::array::from_fn(|n| match n {
                0 => desc(first, 3, 1),
                _ => {
                    let kind = self.draw.of(&[0, 1, 1, 1, 2]);
                    desc(self.fresh(), 3, kind)
                }
            });
            let offset = self.draw.of(&[0, 8, 0xFE0, 0xFF8]);
            let page = SOURCE + offset;
            if offset < 0xFF8 {
                self.put_at(page, &words);
            }
            let flags = LIST | (self.draw.below(5) as u64) << 2;
            self.call(fid::RMI_RTT_DATA_MAP, &[rd, ipa, top, flags, page]);
            return;
        }
        let count = self.draw.of(&[1, 1, 2, 4]);
        for n in 1..count {
            self.delegate_page(first + n * 4096);
        }
        let args = [rd, ipa, top, SINGLE, desc(first, 3, count)];
        self.call(fid::RMI_RTT_DATA_MAP, &args);
    }

    /// One page of DATA with what the Realm has as RIPAS.
    pub fn data_page(&mut self, rd: u64, ipa: u64) {
        let pa = self.fresh();
        let args = [rd, ipa, ipa + 4096, SINGLE, desc(pa, 3, 1)];
        self.plain_call(fid::RMI_RTT_DATA_MAP, &args);
    }

    pub fn data_unmap(&mut self, rd: u64) {
        let (ipa, level) = self.entry(rd, |entry| matches!(entry, Entry::Assigned(..)));
        let (flags, oaddr) = self.report();
        let top = ipa + self.draw.of(&[1, 1, 2, 5, 600]) * size(level);
        self.call(fid::RMI_RTT_DATA_UNMAP, &[rd, ipa, top, flags, oaddr]);
    }

    /// How a command that unmaps reports the addresses.
    fn report(&mut self) -> (u64, u64) {
        match self.draw.below(4) {
            0 => (0, 0),
            1 => {
                let capacity = self.draw.of(&[0, 1, 2, 40]);
                (LIST | capacity << 2, SOURCE + self.draw.of(&[0, 8, 0xFF8]))
            }
            _ => (SINGLE, 0),
        }
    }

    pub fn unprot_map(&mut self, rd: u64) {
        let (ipa, level) = self.entry(rd, |entry| *entry == Entry::UnassignedNs);
        let level = level.clamp(0, 3);
        let target = match self.draw.below(4) {
            0 => self.draw.bits() & ((1 << 47) - 1),
            1 => BLOCK,
            _ => self.granule(GranuleState::Undelegated),
        };
        let of = self.draw.of(&[level, level, 3, 2]);
        let count = self.draw.of(&[1, 1, 2, 0x3FF]);
        let state = self.draw.of(&[0, 1, 2]) << 62;
        let oaddr = desc(target & !(size(of) - 1), of, count) | state;
        let attributes = match self.draw.below(4) {
            0 => (self.draw.below(8) as u64) << 16 | (self.draw.below(5) as u64) << 19,
            _ => WB_RW,
        };
        let top = ipa + self.draw.of(&[1, 2, 3]) * size(level);
        let args = [rd, ipa, top, SINGLE | attributes, oaddr];
        self.call(fid::RMI_RTT_UNPROT_MAP, &args);
    }

    /// One page of Host memory.
    pub fn unprot_page(&mut self, rd: u64, ipa: u64, pa: u64) {
        let args = [
            rd,
            ipa,
            ipa + 4096,
            SINGLE | WB_RW,
            desc(pa, 3, 1) | 1 << 62,
        ];
        self.plain_call(fid::RMI_RTT_UNPROT_MAP, &args);
    }

    pub fn unprot_unmap(&mut self, rd: u64) {
        let (ipa, level) = self.entry(rd, |entry| matches!(entry, Entry::AssignedNs(..)));
        let (flags, oaddr) = self.report();
        let top = ipa + self.draw.of(&[1, 1, 2, 5, 600]) * size(level);
        self.call(fid::RMI_RTT_UNPROT_UNMAP, &[rd, ipa, top, flags, oaddr]);
    }

    /// 2 MiB of DATA as a block, or as pages where there is a table.
    pub fn block_2(&mut self, rd: u64) {
        if self.nested {
            return;
        }
        let ipa = self.draw.below(4) as u64 * (2 << 20);
        self.tables_to(rd, ipa, 2);
        let end = BLOCK + (2 << 20);
        let args = [BLOCK, end];
        self.plain_call(fid::RMI_GRANULE_RANGE_DELEGATE, &args);
        let pages = self.draw.of(&[512, 512, 512, 100]);
        let top = ipa + pages * 4096;
        self.call(
            fid::RMI_RTT_DATA_MAP,
            &[rd, ipa, top, SINGLE, desc(BLOCK, 2, 1)],
        );
        if self.draw.once_in(2) {
            let args = [rd, ipa, 3_i64.cast_unsigned()];
            self.plain_call(fid::RMI_RTT_FOLD, &args);
        }
        if self.draw.once_in(2) {
            let args = [rd, ipa, ipa + (2 << 20), self.draw.below(2) as u64, 0];
            self.plain_call(fid::RMI_RTT_DATA_UNMAP, &args);
        }
    }

    /// A block of Host memory, or pages where there is a table.
    pub fn ns_block_2(&mut self, rd: u64) {
        let half = self.shared.lock().realms[&rd].tables.half();
        let level = self.draw.of(&[2, 2, 1]);
        let ipa = half + self.draw.below(2) as u64 * size(level);
        self.tables_to(rd, ipa, level);
        let count = self.draw.of(&[1, 2, 512]);
        let oaddr = desc(4 << 30, level, count);
        let top = ipa + count * size(level);
        self.call(
            fid::RMI_RTT_UNPROT_MAP,
            &[rd, ipa, top, SINGLE | WB_RW, oaddr],
        );
    }
}
