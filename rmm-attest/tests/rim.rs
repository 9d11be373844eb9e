// SPDX-License-Identifier: BSD-3-Clause
//! The RIM of one sequence of commands, against values computed from the specification's layouts
//! by an independent program, and what has no influence on it.

use core::cell::Cell;
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecParams};
use rmm_attest::{Compress, Hash, Hasher, Measurement, SoftHash, rim};
use zerocopy::{FromZeros, IntoBytes};

/// RIM after REALM_CREATE, RTT_INIT_RIPAS, DATA_CREATE measured, DATA_CREATE unmeasured, REC_CREATE.
const SHA_256: [&str; 5] = [
    "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
    "7f8c7d7dd5d0845f56a62190d6d1fd15458a1132897bf0041ea3e0720af799d1",
    "11f7e448ee3f3b149348a529a99498daf54e4d8ae43c1f70f180e1802536dd3c",
    "037450935bf87572ffa5479c18a41d80761097ccf1e30361b35770fbd61edaa8",
    "8d5e54b3e52e7a335fc9e039be73ab78aabfc6d463758693d559a8864b337744",
];

/// The same with SHA-512.
const SHA_512: [&str; 5] = [
    "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
    "fea4544604b6ed15bac7c38057ca6fa59c5ae51f67ea5ac2011b66031a806c5c917672fe59b0e30ebc1f6a7c9b7e7beee852e6b3bc03b7567a33d72ba1949a0f",
    "08f3c77818041826e46a102843bec3f08d65ca1c4e51bf9c680668fadd07138b2150a1ce69520de6ade51a22f6881ec510fd32307fbb361874a066d1ea698d04",
    "32f35881725e0f606f5100eac30f895ecffe5ad301d7dc5e472172cc6855e32fcdbbe545ecde1fba911e0a7a0e33327896defb961019ff351d37454885ac0649",
    "669f8e672e7b5ac4a0f5db88216aec3f05dead17cbf54aa00bc3226d84299b1a567e809242dadb3e4280232f647d99229a5e563c7b49be2a03bbb7ff25320065",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn realm_params(algorithm: HashAlgorithm) -> RealmParams {
    let mut params = RealmParams::new_zeroed();
    params.s2sz = 40;
    params.num_bps = 1;
    params.num_wps = 1;
    params.hash_algo = algorithm as u8;
    params.rpv = [0xAB; 64];
    params.vmid = 7;
    params.rtt_base = 0x8000_0000;
    params.rtt_num_start = 1;
    params
}

fn rec_params() -> RecParams {
    let mut params = RecParams::new_zeroed();
    params.flags = 1;
    params.pc = 0x1000;
    params.gprs = core::array::from_fn(|n| 0x100 + n as u64);
    params.num_aux = 2;
    params
}

fn check_sequence(algorithm: HashAlgorithm, expected: [&str; 5]) {
    let page: [u8; 4096] = core::array::from_fn(|i| i.to_le_bytes()[0]);
    let content = Measurement::of(&SoftHash, algorithm, &page);

    let created = rim::realm_create(&SoftHash, algorithm, &realm_params(algorithm));
    let ripas = rim::init_ripas(&SoftHash, algorithm, &created, 0, 0x20_0000);
    let measured = rim::data_create(&SoftHash, algorithm, &ripas, 0x1000, 1, &content);
    let unmeasured = rim::data_create(
        &SoftHash,
        algorithm,
        &measured,
        0x2000,
        0,
        &Measurement::ZERO,
    );
    let rec = rim::rec_create(&SoftHash, algorithm, &unmeasured, &rec_params());

    for (value, expected) in [created, ripas, measured, unmeasured, rec]
        .iter()
        .zip(expected)
    {
        assert_eq!(hex(value.digest(algorithm)), expected);
        assert_eq!(
            hex(&value.0),
            format!("{expected:0<128}"),
            "filled up with zeroes"
        );
    }
}

#[test]
fn sha_256_sequence() {
    check_sequence(HashAlgorithm::Sha256, SHA_256);
}

#[test]
fn sha_512_sequence() {
    check_sequence(HashAlgorithm::Sha512, SHA_512);
}

/// RIM of RMI 2.0, which begins with zero, after RTT_DATA_MAP_INIT measured and unmeasured, and
/// REC_CREATE; by another program.
const V2: [(HashAlgorithm, [&str; 3]); 3] = [
    (
        HashAlgorithm::Sha256,
        [
            "a9dba817d8743b575625362988bd7921f574d3ac385d816bfe4385b4e3aabe72",
            "78263e749070aa7ee10c6db27b21c588f9e23dc6fd12e3832113f5be417d2908",
            "c485ab86830983d0dded73b4b913a6fbb2230394d056da9cf6c8d9eda06f1ba5",
        ],
    ),
    (
        HashAlgorithm::Sha384,
        [
            "95e875575b27dd5f288ac00ac566bbc2dfd96310719c2bb4345475938a8b280765587035c08aff426eb375e026a651c4",
            "a03c55aa878d093e5a03d67a8d088ac5c023c940b61e0888a337cd0c9447f2d2c6f8b493f8ecfe75a2b2d431807419b8",
            "6e58a0553ae767767b19b8156f66438885c2f43d36f6810a3cc66e7b1732dc87f65271e41889a76a8bd0a663c7674f11",
        ],
    ),
    (
        HashAlgorithm::Sha512,
        [
            "6a20495486fbefcaa3eda65fc1914e94299489031764995fb046c040a370da5bcc3b1e07fbe6a6ae7301972fc74ccf4a1c32c62ba8908eb4cbaba67bd6bc3776",
            "57642386481448d54dc2fb82c931c60421f696e5eebeaea6f6f35f6aea6ae31512b51381f88c12e46947aaa386fb99bf3ccb9c6f1af8a32b12afaa9625ec16da",
            "1ed7adb09c0a10d24f396ce7138ca5591337aaa3ba1e5aeec137dfc67493af6757b7b2e7820bcf6179492826490b322d05681f0b96b692160decd6256ab9f6b9",
        ],
    ),
];

#[test]
fn sequences_of_rmi_2_0() {
    for (algorithm, expected) in V2 {
        let page: [u8; 4096] = core::array::from_fn(|i| i.to_le_bytes()[0]);
        let content = Measurement::of(&SoftHash, algorithm, &page);
        let zero = Measurement::ZERO;
        let measured = rim::data_create(&SoftHash, algorithm, &zero, 0x1000, 1, &content);
        let unmeasured = rim::data_create(&SoftHash, algorithm, &measured, 0x2000, 0, &zero);
        let rec = rim::rec_create(&SoftHash, algorithm, &unmeasured, &rec_params());
        for (value, expected) in [measured, unmeasured, rec].iter().zip(expected) {
            assert_eq!(hex(value.digest(algorithm)), expected);
            assert_eq!(hex(&value.0), format!("{expected:0<128}"));
        }
    }
}

/// Offsets of the bytes of RmiRealmParams that are measured.
fn realm_byte_is_measured(offset: usize) -> bool {
    offset < 9 || [0x10, 0x18, 0x20, 0x28, 0x30].contains(&offset)
}

#[test]
fn exactly_the_measured_bytes_of_realm_params_count() {
    let algorithm = HashAlgorithm::Sha256;
    let params = realm_params(algorithm);
    let before = rim::realm_create(&SoftHash, algorithm, &params);
    for offset in 0..4096 {
        let mut other = params;
        other.as_mut_bytes()[offset] ^= 0x80;
        let after = rim::realm_create(&SoftHash, algorithm, &other);
        assert_eq!(
            before != after,
            realm_byte_is_measured(offset),
            "byte {offset:#x}"
        );
    }
}

#[test]
fn exactly_the_measured_bytes_of_rec_params_count() {
    let algorithm = HashAlgorithm::Sha256;
    let params = rec_params();
    let old = Measurement([0x11; 64]);
    let before = rim::rec_create(&SoftHash, algorithm, &old, &params);
    for offset in 0..4096 {
        let mut other = params;
        other.as_mut_bytes()[offset] ^= 0x80;
        let after = rim::rec_create(&SoftHash, algorithm, &old, &other);
        let measured = matches!(offset, 0..8 | 0x200..0x208 | 0x300..0x340);
        assert_eq!(before != after, measured, "byte {offset:#x}");
    }
}

#[test]
fn rec_that_is_not_runnable_leaves_the_rim() {
    let old = Measurement([0x11; 64]);
    let mut params = rec_params();
    params.flags = 0;
    assert_eq!(
        rim::rec_create(&SoftHash, HashAlgorithm::Sha512, &old, &params),
        old
    );
    params.flags = 2;
    assert_eq!(
        rim::rec_create(&SoftHash, HashAlgorithm::Sha512, &old, &params),
        old
    );
}

#[test]
fn order_of_steps_counts() {
    let algorithm = HashAlgorithm::Sha256;
    let old = Measurement::ZERO;
    let step =
        |rim: &Measurement, base| rim::init_ripas(&SoftHash, algorithm, rim, base, base + 0x1000);
    assert_ne!(step(&step(&old, 0), 0x1000), step(&step(&old, 0x1000), 0));
    // One large entry is not two small ones.
    assert_ne!(
        step(&step(&old, 0), 0x1000),
        rim::init_ripas(&SoftHash, algorithm, &old, 0, 0x2000)
    );
}

/// Remembers the length of the last message, which the padding ends with.
#[derive(Default)]
struct Length(Cell<u64>);

impl Hash for Length {
    fn hashing<R>(&self, work: impl FnOnce(&Hasher<'_>) -> R) -> R {
        work(&Hasher::new(self))
    }
}

impl Compress for Length {
    fn sha256(&self, _: &mut [u32; 8], blocks: &[[u8; 64]]) {
        let bits = blocks.last().and_then(|block| block.last_chunk());
        self.0.set(u64::from_be_bytes(*bits.unwrap()) / 8);
    }

    fn sha512(&self, _: &mut [u64; 8], _: &[[u8; 128]]) {
        unreachable!("the Realm has SHA-256")
    }
}

#[test]
fn pages_and_descriptors_have_their_size() {
    let algorithm = HashAlgorithm::Sha256;
    let (hash, old) = (Length::default(), Measurement::ZERO);
    let _ = rim::realm_create(&hash, algorithm, &realm_params(algorithm));
    assert_eq!(hash.0.take(), 4096);
    let _ = rim::init_ripas(&hash, algorithm, &old, 0, 0x1000);
    assert_eq!(hash.0.take(), 256);
    let _ = rim::data_create(&hash, algorithm, &old, 0, 0, &old);
    assert_eq!(hash.0.take(), 256);
    let _ = rim::rec_create(&hash, algorithm, &old, &rec_params());
    assert_eq!(hash.0.take(), 256);
}
