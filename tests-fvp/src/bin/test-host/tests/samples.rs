// SPDX-License-Identifier: BSD-3-Clause
//! One address of every kind, to try as an argument where another kind is wanted.

use crate::check::Check;
use crate::realm::{Config, Realm};
use crate::{board, pool};
use alloc::vec::Vec;

/// Kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Inside a granule, not at its start.
    Unaligned,
    /// Non-secure memory of the Host.
    Undelegated,
    /// State DELEGATED.
    Delegated,
    /// State RD.
    Rd,
    /// State RTT.
    Rtt,
    /// State DATA.
    Data,
    /// State REC.
    Rec,
    /// State REC_AUX.
    RecAux,
    /// Memory of a device.
    Device,
    /// Realm PAS, the monitor's own memory.
    Monitor,
    /// Root PAS.
    Root,
    /// Secure PAS.
    Secure,
    /// Behind the last DRAM bank, or no physical address at all.
    Outside,
}

/// A Realm, state NEW, with the test image and a REC; a delegated and an undelegated granule.
pub struct Samples {
    /// The Realm.
    pub realm: Realm,
    /// State DELEGATED.
    pub delegated: u64,
    /// Non-secure.
    pub undelegated: u64,
}

impl Samples {
    /// With the usual Realm.
    pub fn new() -> Check<Self> {
        Self::with(&Config::default())
    }

    /// With a Realm of this configuration.
    pub fn with(config: &Config) -> Check<Self> {
        let mut realm = Realm::loaded(config)?;
        realm.add_rec(true, &[0, config.unprotected()])?;
        Ok(Self {
            realm,
            delegated: pool::take_delegated()?,
            undelegated: pool::take_one()?,
        })
    }

    /// Addresses of every kind except some.
    pub fn except(&self, right: &[Kind]) -> Vec<(Kind, u64)> {
        let rec = self.realm.recs.first();
        let page = self.realm.pages.first();
        let aux = rec.and_then(|rec| rec.aux.first());
        let mut all = alloc::vec![
            (Kind::Unaligned, self.delegated + 1),
            (Kind::Unaligned, self.delegated + 8),
            (Kind::Unaligned, self.undelegated + 0x800),
            (Kind::Unaligned, self.realm.rd + 0xFFF),
            (Kind::Undelegated, self.undelegated),
            (Kind::Delegated, self.delegated),
            (Kind::Rd, self.realm.rd),
            (Kind::Rtt, self.realm.rtt_base),
            (Kind::Device, board::UART),
            (Kind::Device, board::GICD),
            (Kind::Device, 0),
            (Kind::Monitor, board::MONITOR.start),
            (Kind::Monitor, board::MONITOR.end - pool::GRANULE),
            (Kind::Root, board::ROOT),
            (Kind::Secure, board::SECURE),
            (Kind::Outside, 1 << 47),
            (Kind::Outside, 1 << 52),
            (Kind::Outside, 1 << 63),
            (Kind::Outside, u64::MAX - 0xFFF),
            // Valid except for bits above any physical address.
            (Kind::Outside, self.delegated | 1 << 56),
            (Kind::Outside, self.undelegated | 1 << 63),
        ];
        all.extend(self.realm.tables.last().map(|table| (Kind::Rtt, table.2)));
        all.extend(page.map(|page| (Kind::Data, page.1)));
        all.extend(rec.map(|rec| (Kind::Rec, rec.pa)));
        all.extend(rec.map(|rec| (Kind::Unaligned, rec.pa + 8)));
        all.extend(rec.map(|rec| (Kind::Unaligned, rec.pa + 0xFFF)));
        all.extend(aux.map(|aux| (Kind::RecAux, *aux)));
        all.retain(|(kind, _)| !right.contains(kind));
        all
    }

    /// Destroys and undelegates everything.
    pub fn finish(self) -> Check {
        pool::give_delegated(self.delegated)?;
        pool::check_untouched(self.undelegated)?;
        pool::give(self.undelegated, 1);
        self.realm.finish()
    }
}
