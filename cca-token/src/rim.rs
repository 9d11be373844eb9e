// SPDX-License-Identifier: BSD-3-Clause
//! Realm Initial Measurement (RMM specifications 1.0 and 2.0, A7.1.1), step by step. In 2.0 it begins with zero:
//! the parameters of the Realm and RMI_RTT_INIT_RIPAS are not measured.
//!
//! Written from the specification, without the monitor's own measurement code, so that each can be checked
//! against the other.

use crate::hash::HashAlgorithm;

/// Size in bytes of a Granule.
pub const GRANULE: usize = 4096;

/// Size in bytes of every measurement descriptor (C1.11 to C1.13).
const DESCRIPTOR: usize = 0x100;

/// A page or descriptor that is zero except for the fields put into it.
struct Zeroed<const N: usize>([u8; N]);

impl<const N: usize> Zeroed<N> {
    fn new() -> Self {
        Self([0; N])
    }

    /// Puts `bytes` at `offset`. The offsets are constants of the specification's structures.
    fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn put_u64(self, offset: usize, value: u64) -> Self {
        self.put(offset, &value.to_le_bytes())
    }
}

/// The measured fields of RmiRealmParams (B4.4.12), exactly as the Host passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmParams {
    /// RmiRealmFlags: bit 0 LPA2, bit 1 SVE, bit 2 PMU.
    pub flags: u64,
    /// IPA width in bits.
    pub s2sz: u8,
    /// SVE vector length in units of 128 bits, minus 1.
    pub sve_vl: u8,
    /// Number of breakpoints, minus 1.
    pub num_bps: u8,
    /// Number of watchpoints, minus 1.
    pub num_wps: u8,
    /// Number of PMU counters.
    pub pmu_num_ctrs: u8,
    /// SHA-256 or SHA-512; since 2.0 also SHA-384.
    pub hash: HashAlgorithm,
}

/// Interface through which the Host makes the Realm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rmi {
    /// RMI 1.0
    #[default]
    V1,
    /// RMI 2.0
    V2,
}

/// A RIM in the making. Every step extends it.
#[derive(Clone, Debug)]
pub struct Rim {
    rmi: Rmi,
    hash: HashAlgorithm,
    value: Vec<u8>,
}

impl Rim {
    /// RMI_REALM_CREATE (1.0: B4.3.9.4). `None` if the interface does not know the hash algorithm.
    pub fn realm_create(rmi: Rmi, params: &RealmParams) -> Option<Self> {
        if rmi == Rmi::V2 {
            return Some(Self {
                rmi,
                hash: params.hash,
                value: vec![0; params.hash.size()],
            });
        }
        let hash_algo = match params.hash {
            HashAlgorithm::Sha256 => 0,
            HashAlgorithm::Sha512 => 1,
            HashAlgorithm::Sha384 => return None,
        };
        let page = Zeroed::<GRANULE>::new()
            .put_u64(0x00, params.flags)
            .put(0x08, &[params.s2sz])
            .put(0x10, &[params.sve_vl])
            .put(0x18, &[params.num_bps])
            .put(0x20, &[params.num_wps])
            .put(0x28, &[params.pmu_num_ctrs])
            .put(0x30, &[hash_algo]);
        Some(Self {
            rmi,
            hash: params.hash,
            value: params.hash.digest(&page.0),
        })
    }

    /// RMI_RTT_INIT_RIPAS (1.0: B4.3.18.4), for one RTT entry that describes the IPA range [base, top).
    pub fn init_ripas_entry(&mut self, base: u64, top: u64) {
        if self.rmi == Rmi::V2 {
            // Not measured.
            return;
        }
        let descriptor = self.descriptor(2).put_u64(0x50, base).put_u64(0x58, top);
        self.extend(&descriptor);
    }

    /// RMI_DATA_CREATE (1.0: B4.3.1.4), or RMI_RTT_DATA_MAP_INIT of 2.0, at `ipa`, of a Granule with this `content` if it is measured.
    pub fn data_create(&mut self, ipa: u64, content: Option<&[u8; GRANULE]>) {
        let mut descriptor = self.descriptor(0).put_u64(0x50, ipa);
        if let Some(content) = content {
            descriptor = descriptor
                .put_u64(0x58, 1)
                .put(0x60, &self.hash.digest(content));
        }
        self.extend(&descriptor);
    }

    /// RMI_REC_CREATE (1.0: B4.3.12.4). `flags` is RmiRecCreateFlags; a REC without the runnable flag is not measured.
    pub fn rec_create(&mut self, flags: u64, pc: u64, gprs: &[u64; 8]) {
        if flags & 1 == 0 {
            return;
        }
        let mut page = Zeroed::<GRANULE>::new()
            .put_u64(0x000, flags)
            .put_u64(0x200, pc);
        for (offset, gpr) in (0x300..).step_by(8).zip(gprs) {
            page = page.put_u64(offset, *gpr);
        }
        let descriptor = self.descriptor(1).put(0x50, &self.hash.digest(&page.0));
        self.extend(&descriptor);
    }

    /// The measurement so far: 32, 48 or 64 bytes, as in claim 44238.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    fn descriptor(&self, kind: u8) -> Zeroed<DESCRIPTOR> {
        Zeroed::new()
            .put(0x00, &[kind])
            .put_u64(0x08, DESCRIPTOR as u64)
            .put(0x10, &self.value)
    }

    fn extend(&mut self, descriptor: &Zeroed<DESCRIPTOR>) {
        self.value = self.hash.digest(&descriptor.0);
    }
}
