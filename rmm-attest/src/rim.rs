// SPDX-License-Identifier: BSD-3-Clause
//! The Realm Initial Measurement (specification A7.1.1).
//!
//! The first value is the hash of the Realm parameters. Every later step hashes a 256-byte descriptor
//! of the step, which contains the old RIM, so the order of steps counts.

use crate::hash::Part::{Bytes, Zeroes};
use crate::{Hash, Measurement};
use core::mem::{offset_of, size_of};
use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecCreateFlags, RecParams};
use zerocopy::{Immutable, IntoBytes, KnownLayout};

/// Size of a descriptor in bytes.
const DESCRIPTOR_SIZE: usize = 0x100;
/// Half of it: one block of SHA-512, or two of SHA-256.
const HALF: usize = DESCRIPTOR_SIZE / 2;

/// The common head of the three descriptors.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    /// 0 DATA, 1 REC, 2 RIPAS; a byte with seven bytes of zero.
    desc_type: u64,
    /// Size of the descriptor in bytes.
    len: u64,
    /// The old RIM.
    rim: Measurement,
}

impl Head {
    fn new(desc_type: u64, rim: &Measurement) -> Self {
        Self {
            desc_type,
            len: DESCRIPTOR_SIZE as u64,
            rim: *rim,
        }
    }
}

/// `RmmMeasurementDescriptorData` (specification C1.11).
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct DataDescriptor {
    head: Head,
    /// IPA at which the Granule is mapped.
    ipa: u64,
    /// `RmiDataFlags`, reserved bits included.
    flags: u64,
    /// Hash of the Granule, or zero.
    content: Measurement,
    _zero: [u8; 0x60],
}

/// `RmmMeasurementDescriptorRec` (specification C1.12).
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RecDescriptor {
    head: Head,
    /// Hash of the page of REC parameters.
    content: Measurement,
    _zero: [u8; 0x70],
}

/// First half of `RmmMeasurementDescriptorRipas` (specification C1.13); the second half is zero.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RipasDescriptor {
    head: Head,
    /// First IPA of the RTT entry.
    base: u64,
    /// First IPA beyond the RTT entry.
    top: u64,
    _zero: [u8; 0x20],
}

const _: () = {
    assert!(offset_of!(Head, len) == 0x08);
    assert!(offset_of!(Head, rim) == 0x10);
    assert!(offset_of!(DataDescriptor, ipa) == 0x50);
    assert!(offset_of!(DataDescriptor, flags) == 0x58);
    assert!(offset_of!(DataDescriptor, content) == 0x60);
    assert!(offset_of!(RecDescriptor, content) == 0x50);
    assert!(offset_of!(RipasDescriptor, base) == 0x50);
    assert!(offset_of!(RipasDescriptor, top) == 0x58);
    assert!(size_of::<DataDescriptor>() == DESCRIPTOR_SIZE);
    assert!(size_of::<RecDescriptor>() == DESCRIPTOR_SIZE);
    assert!(size_of::<RipasDescriptor>() == HALF);
};

/// Hash of the descriptor that begins with `first` and is zero from there on.
#[inline]
fn of_descriptor(hash: &impl Hash, algorithm: HashAlgorithm, first: &[u8]) -> Measurement {
    let parts = [Bytes(first), Zeroes(DESCRIPTOR_SIZE - first.len())];
    Measurement::of_parts(hash, algorithm, &parts)
}

/// As [`of_descriptor`], for a whole descriptor, in whose second half all is zero but the last bytes of
/// `content`.
fn of_descriptor_with(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    descriptor: &[u8],
    content: &Measurement,
) -> Measurement {
    // Both descriptors have the first 32 bytes of the content, at least, in the first half.
    let is_short = content.0.last_chunk() == Some(&[0; 32]);
    let used = if is_short { HALF } else { DESCRIPTOR_SIZE };
    of_descriptor(hash, algorithm, descriptor.split_at(used).0)
}

/// The measured part of `RmiRealmParams`; the rest of the page is measured as zero.
#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MeasuredRealmParams {
    flags: u64,
    /// s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs and hash_algo, each a zero-extended byte.
    numbers: [u64; 6],
}

const _: () = {
    assert!(offset_of!(RealmParams, flags) == offset_of!(MeasuredRealmParams, flags));
    assert!(offset_of!(RealmParams, s2sz) == offset_of!(MeasuredRealmParams, numbers));
    assert!(offset_of!(RealmParams, hash_algo) + 8 == size_of::<MeasuredRealmParams>());
};

/// RIM of a new Realm: RMI_REALM_CREATE (specification B4.3.9.4).
///
/// `algorithm` is the meaning of `params.hash_algo`. RPV, VMID and the RTT fields are not measured.
#[must_use]
pub fn realm_create(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    params: &RealmParams,
) -> Measurement {
    let numbers = [
        params.s2sz,
        params.sve_vl,
        params.num_bps,
        params.num_wps,
        params.pmu_num_ctrs,
        params.hash_algo,
    ];
    let measured = MeasuredRealmParams {
        flags: params.flags,
        numbers: numbers.map(u64::from),
    };
    let page = [
        Bytes(measured.as_bytes()),
        Zeroes(GRANULE_SIZE - size_of::<MeasuredRealmParams>()),
    ];
    Measurement::of_parts(hash, algorithm, &page)
}

/// RIM after RMI_DATA_CREATE (specification B4.3.1.4).
///
/// `flags` is the whole flag word from the Host. `content` is the [hash](Measurement::of) of the 4096
/// bytes if the flags ask for a measurement, else [`Measurement::ZERO`].
#[must_use]
pub fn data_create(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    rim: &Measurement,
    ipa: u64,
    flags: u64,
    content: &Measurement,
) -> Measurement {
    let descriptor = DataDescriptor {
        head: Head::new(0, rim),
        ipa,
        flags,
        content: *content,
        _zero: [0; 0x60],
    };
    of_descriptor_with(hash, algorithm, descriptor.as_bytes(), content)
}

/// RIM after RMI_REC_CREATE (specification B4.3.12.4). A REC that is not runnable does not change the
/// RIM. MPIDR and auxiliary Granules are not measured.
#[must_use]
pub fn rec_create(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    rim: &Measurement,
    params: &RecParams,
) -> Measurement {
    if !params.rec_flags().contains(RecCreateFlags::RUNNABLE) {
        return *rim;
    }
    const PC: usize = offset_of!(RecParams, pc);
    const GPRS: usize = offset_of!(RecParams, gprs);
    const END: usize = GPRS + 8 * 8;
    let page = [
        Bytes(params.flags.as_bytes()),
        Zeroes(PC - 8),
        Bytes(params.pc.as_bytes()),
        Zeroes(GPRS - PC - 8),
        Bytes(params.gprs.as_bytes()),
        Zeroes(GRANULE_SIZE - END),
    ];
    hash.hashing(|hash| {
        let content = Measurement::of_parts(hash, algorithm, &page);
        let descriptor = RecDescriptor {
            head: Head::new(1, rim),
            content,
            _zero: [0; 0x70],
        };
        of_descriptor_with(hash, algorithm, descriptor.as_bytes(), &content)
    })
}

/// RIM after one RTT entry, `[base, top)`, of an RMI_RTT_INIT_RIPAS (specification B4.3.18.4). The
/// command takes this step once for each entry, in ascending order.
#[must_use]
pub fn init_ripas(
    hash: &impl Hash,
    algorithm: HashAlgorithm,
    rim: &Measurement,
    base: u64,
    top: u64,
) -> Measurement {
    let descriptor = RipasDescriptor {
        head: Head::new(2, rim),
        base,
        top,
        _zero: [0; 0x20],
    };
    of_descriptor(hash, algorithm, descriptor.as_bytes())
}
