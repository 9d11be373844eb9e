// SPDX-License-Identifier: BSD-3-Clause
//! One Granule of each kind, to be named where another kind is wanted.

use super::host::{Host, PAGE};
use super::realm::TestRealm;
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;

/// A Granule that does not fit.
#[derive(Clone, Debug)]
pub struct BadGranule {
    /// What is wrong with it, for messages.
    pub what: &'static str,
    /// Its address.
    pub pa: u64,
}

/// A Realm of which each kind of Granule exists, and addresses that are no Granule's.
pub struct Zoo<'h> {
    /// The Realm: NEW, with a REC and a page of memory at IPA 0.
    pub realm: TestRealm<'h>,
    host: &'h Host,
    /// A page of the Host's.
    pub undelegated: u64,
    /// A DELEGATED Granule.
    pub delegated: u64,
    /// A DATA Granule.
    pub data: u64,
    /// An RTT.
    pub rtt: u64,
}

impl<'h> Zoo<'h> {
    /// Builds the Realm.
    #[must_use]
    pub fn new(host: &'h Host) -> Self {
        let realm = host.realm().create();
        let _rec = realm.rec(true);
        let data = realm.data(0, &[]);
        let rtt = realm.entry(0, 2).desc;
        Self {
            undelegated: host.page(),
            delegated: realm.granule(),
            data,
            rtt,
            realm,
            host,
        }
    }

    /// A Granule in each state but `wanted`: the condition `_state`.
    #[must_use]
    pub fn states_but(&self, wanted: GranuleState) -> Vec<BadGranule> {
        let rec = self.realm.rec_of(0);
        let all = [
            (GranuleState::Undelegated, "UNDELEGATED", self.undelegated),
            (GranuleState::Delegated, "DELEGATED", self.delegated),
            (GranuleState::Rd, "RD", self.realm.rd),
            (GranuleState::Rec, "REC", rec.rec),
            (GranuleState::RecAux, "REC_AUX", rec.aux[0]),
            (GranuleState::Rtt, "RTT", self.rtt),
            (
                GranuleState::Rtt,
                "start-level RTT",
                self.realm.params.rtt_base,
            ),
            (GranuleState::Data, "DATA", self.data),
        ];
        let others = all.into_iter().filter(|(state, ..)| *state != wanted);
        others
            .map(|(_, what, pa)| BadGranule { what, pa })
            .collect()
    }

    /// Addresses that are not aligned, next to a Granule that would fit: the condition `_align`.
    #[must_use]
    pub fn unaligned(good: u64) -> Vec<BadGranule> {
        [1, 8, 0x800, PAGE - 1]
            .map(|offset| BadGranule {
                what: "unaligned",
                pa: good + offset,
            })
            .to_vec()
    }

    /// Addresses that are not delegable: the condition `_bound`.
    #[must_use]
    pub fn out_of_bound(&self) -> Vec<BadGranule> {
        let config = &self.host.board().config;
        let last = config.dram.iter().chain(&config.holes).last();
        let end = last.map_or(0, |bank| bank.base + bank.size);
        [
            ("a device", 0x0900_0000),
            ("zero", 0),
            ("the monitor's own", config.reserved[0].base),
            ("beyond DRAM", end),
            ("beyond the physical address space", 1 << 56),
            ("the last page of 64 bits", u64::MAX - (PAGE - 1)),
        ]
        .map(|(what, pa)| BadGranule { what, pa })
        .to_vec()
    }

    /// A Granule in this state.
    ///
    /// # Panics
    /// If it is no state of the specification's.
    #[must_use]
    pub fn good(&self, wanted: GranuleState) -> u64 {
        match wanted {
            GranuleState::Undelegated => self.undelegated,
            GranuleState::Delegated => self.delegated,
            GranuleState::Rd => self.realm.rd,
            GranuleState::Rec => self.realm.rec_pa(0),
            GranuleState::RecAux => self.realm.rec_of(0).aux[0],
            GranuleState::Rtt => self.rtt,
            GranuleState::Data => self.data,
            GranuleState::NeverDelegable => panic!("not a state"),
        }
    }

    /// All that an address which wants a Granule in this state must not be: `_align`, `_bound`,
    /// `_state`.
    #[must_use]
    pub fn bad(&self, wanted: GranuleState) -> Vec<BadGranule> {
        let mut all = self.states_but(wanted);
        all.extend(Self::unaligned(self.good(wanted)));
        all.extend(self.out_of_bound());
        all
    }

    /// Addresses that the Host cannot give for memory of its own: `_align`, `_bound`, `_pas`. The
    /// memory there, or around it, has this content, unless it is a Realm's or there is none.
    #[must_use]
    pub fn bad_ns(&self, content: &[u8]) -> Vec<BadGranule> {
        let host = self.host;
        host.write(self.undelegated, content);
        host.write(host.board().config.reserved[0].base, content);
        let mut all = self.bad(GranuleState::Undelegated);
        let hole = host.board().config.holes[0].base;
        all.push(BadGranule {
            what: "no RAM",
            pa: hole,
        });
        for (what, pas) in [("Secure PAS", Pas::Secure), ("Root PAS", Pas::Root)] {
            let pa = host.page_with(content);
            host.move_to(pa, pas);
            all.push(BadGranule { what, pa });
        }
        // In Realm PAS although the monitor did not put it there.
        let pa = host.page_with(content);
        host.move_to(pa, Pas::Realm);
        all.push(BadGranule {
            what: "Realm PAS",
            pa,
        });
        all
    }
}
