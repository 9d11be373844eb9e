// SPDX-License-Identifier: BSD-3-Clause
//! What measurements must be, computed by the Host from the layouts of the specification.

use crate::realm::Config;
use sha2::{Digest, Sha256, Sha512};

/// RmmRealmMeasurement: 512 bits. A shorter digest is followed by zeroes.
pub type Measurement = [u8; 64];

/// Measurements of a Realm.
#[derive(Clone, Copy)]
pub struct Measured {
    /// RmiHashAlgorithm.
    hash: u8,
    /// The RIM.
    pub rim: Measurement,
    /// A REM.
    pub rem: Measurement,
}

impl Measured {
    /// Those of a Realm after RMI_REALM_CREATE.
    pub fn new(config: &Config) -> Self {
        let params = config.params(0);
        let mut page = [0; 4096];
        page[..8].copy_from_slice(&params.flags.to_le_bytes());
        page[0x08] = params.s2sz;
        page[0x10] = params.sve_vl;
        page[0x18] = params.num_bps;
        page[0x20] = params.num_wps;
        page[0x28] = params.pmu_num_ctrs;
        page[0x30] = params.hash_algo;
        let mut new = Self {
            hash: config.hash,
            rim: [0; 64],
            rem: [0; 64],
        };
        new.rim = new.digest(&[&page]);
        new
    }

    fn digest(&self, parts: &[&[u8]]) -> Measurement {
        let mut value = [0; 64];
        if self.hash == 0 {
            let mut hash = Sha256::new();
            parts.iter().for_each(|part| hash.update(part));
            value[..32].copy_from_slice(&hash.finalize());
        } else {
            let mut hash = Sha512::new();
            parts.iter().for_each(|part| hash.update(part));
            value.copy_from_slice(&hash.finalize());
        }
        value
    }

    /// Extends the RIM by a descriptor: its type, and what it has at offsets from 0x50 on.
    fn extend_rim(&mut self, kind: u8, fields: &[(usize, &[u8])]) {
        let mut descriptor = [0; 0x100];
        descriptor[0] = kind;
        descriptor[0x08..0x10].copy_from_slice(&0x100_u64.to_le_bytes());
        descriptor[0x10..0x50].copy_from_slice(&self.rim);
        for (offset, bytes) in fields {
            descriptor[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        self.rim = self.digest(&[&descriptor]);
    }

    /// One entry of RMI_RTT_INIT_RIPAS.
    pub fn init_ripas(&mut self, base: u64, top: u64) {
        let (base, top) = (base.to_le_bytes(), top.to_le_bytes());
        self.extend_rim(2, &[(0x50, &base), (0x58, &top)]);
    }

    /// RMI_DATA_CREATE.
    pub fn data_create(&mut self, ipa: u64, flags: u64, page: &[u8; 4096]) {
        let content = if flags & 1 != 0 {
            self.digest(&[page])
        } else {
            [0; 64]
        };
        let (ipa, flags) = (ipa.to_le_bytes(), flags.to_le_bytes());
        self.extend_rim(0, &[(0x50, &ipa), (0x58, &flags), (0x60, &content)]);
    }

    /// RMI_REC_CREATE of a runnable REC.
    pub fn rec_create(&mut self, pc: u64, gprs: &[u64; 8]) {
        let mut page = [0; 4096];
        page[0] = 1;
        page[0x200..0x208].copy_from_slice(&pc.to_le_bytes());
        for (bytes, gpr) in page[0x300..0x340].chunks_mut(8).zip(gprs) {
            bytes.copy_from_slice(&gpr.to_le_bytes());
        }
        let content = self.digest(&[&page]);
        self.extend_rim(1, &[(0x50, &content)]);
    }

    /// RSI_MEASUREMENT_EXTEND.
    pub fn extend_rem(&mut self, value: &[u8]) {
        let digest = if self.hash == 0 {
            &self.rem[..32]
        } else {
            &self.rem
        };
        self.rem = self.digest(&[digest, value]);
    }
}
