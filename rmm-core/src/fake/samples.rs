// SPDX-License-Identifier: BSD-3-Clause
//! One granule of each state, and other addresses, to try where a command wants something else.

use super::constants::PAGE;
use super::host::Host;
use super::realm::TestRealm;
use rmm_granule::GranuleState;
use rmm_granule::fake::Pas;

/// An address that a command must refuse.
#[derive(Clone, Debug)]
pub struct BadAddress {
    /// What is wrong with it, for messages.
    pub what: &'static str,
    /// The address.
    pub pa: u64,
}

/// A granule of each state, and addresses that are in no granule.
pub struct Samples<'h> {
    /// A Realm: NEW, with a REC and a page of memory at IPA 0.
    pub realm: TestRealm<'h>,
    host: &'h Host,
    /// A page of Host memory.
    pub undelegated: u64,
    /// A DELEGATED granule.
    pub delegated: u64,
    /// A DATA granule of the Realm.
    pub data: u64,
    /// An RTT of the Realm, below the start level.
    pub rtt: u64,
}

impl<'h> Samples<'h> {
    /// Creates them.
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

    /// A granule in each state but `wanted`, for the failure condition `_state`.
    #[must_use]
    pub fn states_but(&self, wanted: GranuleState) -> Vec<BadAddress> {
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
            .map(|(_, what, pa)| BadAddress { what, pa })
            .collect()
    }

    /// Addresses that are not aligned, in a granule that would do, for the failure condition
    /// `_align`.
    #[must_use]
    pub fn unaligned(good: u64) -> Vec<BadAddress> {
        [1, 8, 0x800, PAGE - 1]
            .map(|offset| BadAddress {
                what: "unaligned",
                pa: good + offset,
            })
            .to_vec()
    }

    /// Addresses that are not delegable, for the failure condition `_bound`.
    #[must_use]
    pub fn out_of_bound(&self) -> Vec<BadAddress> {
        let config = &self.host.board().config;
        let last = config.dram.iter().chain(&config.holes).last();
        let end = last.map_or(0, |bank| bank.base + bank.size);
        [
            ("a device", 0x0900_0000),
            ("zero", 0),
            ("memory of the monitor", config.reserved[0].base),
            ("beyond DRAM", end),
            ("beyond the physical address space", 1 << 56),
            ("the last page of 64 bits", u64::MAX - (PAGE - 1)),
        ]
        .map(|(what, pa)| BadAddress { what, pa })
        .to_vec()
    }

    /// The sample in this state.
    ///
    /// # Panics
    /// If the specification has no such state.
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
            GranuleState::NeverDelegable => panic!("not a state of the specification"),
        }
    }

    /// Addresses that a command which wants a granule in this state must refuse, for the failure
    /// conditions `_align`, `_bound` and `_state`.
    #[must_use]
    pub fn bad(&self, wanted: GranuleState) -> Vec<BadAddress> {
        let mut all = self.states_but(wanted);
        all.extend(Self::unaligned(self.good(wanted)));
        all.extend(self.out_of_bound());
        all
    }

    /// Addresses that a command which wants Non-secure memory must refuse, for the failure
    /// conditions `_align`, `_bound` and `_pas`. The memory at or around each of them has this
    /// content, so that nothing else is wrong, unless it is memory of a Realm or no memory.
    #[must_use]
    pub fn bad_ns(&self, content: &[u8]) -> Vec<BadAddress> {
        let host = self.host;
        host.write(self.undelegated, content);
        host.write(host.board().config.reserved[0].base, content);
        let mut all = self.bad(GranuleState::Undelegated);
        let hole = host.board().config.holes[0].base;
        all.push(BadAddress {
            what: "no RAM",
            pa: hole,
        });
        for (what, pas) in [("Secure PAS", Pas::Secure), ("Root PAS", Pas::Root)] {
            let pa = host.page_with(content);
            host.move_to(pa, pas);
            all.push(BadAddress { what, pa });
        }
        // In Realm PAS although the monitor has not delegated it.
        let pa = host.page_with(content);
        host.move_to(pa, Pas::Realm);
        all.push(BadAddress {
            what: "Realm PAS",
            pa,
        });
        all
    }
}
