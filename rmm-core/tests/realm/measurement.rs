// SPDX-License-Identifier: BSD-3-Clause
//! The RIM after the commands that extend it, and REMs after the calls that extend them, compared
//! with values computed by other means.

use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::RSI_SUCCESS;
use rmm_abi::rsi::fid::{RSI_MEASUREMENT_EXTEND, RSI_MEASUREMENT_READ};
use rmm_core::fake::{Host, MIB, PAGE, Status, TestRealm, assert_reason};
use rmm_core::realm::Realm;
use rmm_granule::Pa;
use zerocopy::FromBytes;

/// SHA-256 RIM after RMI_REALM_CREATE, RMI_RTT_INIT_RIPAS, RMI_DATA_CREATE with and without
/// measured content, RMI_REC_CREATE.
const SHA_256: [&str; 5] = [
    "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
    "7f8c7d7dd5d0845f56a62190d6d1fd15458a1132897bf0041ea3e0720af799d1",
    "11f7e448ee3f3b149348a529a99498daf54e4d8ae43c1f70f180e1802536dd3c",
    "037450935bf87572ffa5479c18a41d80761097ccf1e30361b35770fbd61edaa8",
    "8d5e54b3e52e7a335fc9e039be73ab78aabfc6d463758693d559a8864b337744",
];

/// The same with SHA-512.
const SHA_512: [&str; 5] = [
    "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9\
     898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
    "fea4544604b6ed15bac7c38057ca6fa59c5ae51f67ea5ac2011b66031a806c5c\
     917672fe59b0e30ebc1f6a7c9b7e7beee852e6b3bc03b7567a33d72ba1949a0f",
    "08f3c77818041826e46a102843bec3f08d65ca1c4e51bf9c680668fadd07138b\
     2150a1ce69520de6ade51a22f6881ec510fd32307fbb361874a066d1ea698d04",
    "32f35881725e0f606f5100eac30f895ecffe5ad301d7dc5e472172cc6855e32f\
     cdbbe545ecde1fba911e0a7a0e33327896defb961019ff351d37454885ac0649",
    "669f8e672e7b5ac4a0f5db88216aec3f05dead17cbf54aa00bc3226d84299b1a\
     567e809242dadb3e4280232f647d99229a5e563c7b49be2a03bbb7ff25320065",
];

/// The RIM in the RD.
fn rim(realm: &TestRealm<'_>) -> [u8; 64] {
    let content = realm.host.board().memory.peek(Pa(realm.rd));
    let (rd, _) = Realm::read_from_prefix(&content).expect("an RD");
    rd.measurements[0].0
}

fn hex(text: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).expect("ASCII");
        *byte = u8::from_str_radix(digits, 16).expect("hexadecimal");
    }
    bytes
}

fn assert_rim(algorithm: HashAlgorithm, expected: [&str; 5]) {
    let host = Host::new();
    let realm = host.realm().hash(algorithm).params(|p| p.rpv = [0xAB; 64]);
    let realm = realm.create();
    let step = |n: usize| assert_eq!(rim(&realm), hex(expected[n]), "step {n}");
    step(0);

    realm.tables(0, 2);
    step(0);
    let ram = host.rtt_init_ripas(realm.rd, 0, 2 * MIB);
    assert_eq!(ram, (Status::Success, 2 * MIB));
    step(1);

    realm.tables(0, 3);
    let content: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let src = host.page_with(&content);
    for (n, flags) in [(1, 1), (2, 0)] {
        let ipa = n * PAGE;
        let status = host.data_create(realm.rd, realm.granule(), ipa, src, flags);
        assert_eq!(status, Status::Success);
        step(if n == 1 { 2 } else { 3 });
    }

    let mut params = realm.rec_params(0, true);
    for (n, gpr) in (0..).zip(&mut params.gprs) {
        *gpr = 0x100 + n;
    }
    let _rec = realm.rec_with(&params);
    step(4);

    // None of these extends the RIM.
    let _rec = realm.rec(false);
    realm.data_unknown(3 * PAGE);
    assert_eq!(host.data_destroy(realm.rd, PAGE).0, Status::Success);
    realm.share(realm.unprotected(), host.page());
    realm.activate();
    step(4);

    let expected = hex(expected[4]);
    realm.script(0, move |cpu| async move {
        let gprs = cpu.smc(&[RSI_MEASUREMENT_READ, 0]).await;
        let bytes: Vec<u8> = gprs[1..9].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(bytes, expected);
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RMI_REALM_CREATE measurements
// Conformance: RMI_REC_CREATE rim_runnable, rim_not_runnable
// Conformance: RMI_DATA_CREATE rim_measured, rim_unmeasured
// Conformance: RMI_DATA_CREATE_UNKNOWN rim
// Conformance: RMI_RTT_INIT_RIPAS rim
#[test]
fn rim_sha_256() {
    assert_rim(HashAlgorithm::Sha256, SHA_256);
}

// Conformance: RMI_REALM_CREATE measurements
// Conformance: RMI_REC_CREATE rim_runnable, rim_not_runnable
// Conformance: RMI_DATA_CREATE rim_measured, rim_unmeasured
// Conformance: RMI_DATA_CREATE_UNKNOWN rim
// Conformance: RMI_RTT_INIT_RIPAS rim
#[test]
fn rim_sha_512() {
    assert_rim(HashAlgorithm::Sha512, SHA_512);
}

// Conformance: RMI_RTT_INIT_RIPAS rim
#[test]
fn init_ripas_measures_each_entry() {
    let host = Host::new();
    // In one call; page by page; a page again; in a larger entry. The first two are the same.
    let rims: Vec<_> = [0, 1, 2, 3]
        .map(|way| {
            let realm = host.realm().create();
            realm.tables(0, if way == 3 { 2 } else { 3 });
            match way {
                0 => realm.ram(0, 2 * MIB),
                1 => (0..512).for_each(|n| realm.ram(n * PAGE, (n + 1) * PAGE)),
                2 => {
                    realm.ram(0, 2 * MIB);
                    realm.ram(0, PAGE);
                }
                _ => realm.ram(0, 2 * MIB),
            }
            rim(&realm)
        })
        .to_vec();
    assert_eq!(rims[0], rims[1]);
    assert_ne!(rims[0], rims[2], "RAM again is measured again");
    assert_ne!(rims[0], rims[3], "the size of an entry is measured");
}

#[test]
fn failed_commands_measure_nothing() {
    let host = Host::new();
    let realm = host.realm().create();
    realm.tables(0, 3);
    let before = rim(&realm);
    let (data, src) = (realm.granule(), host.page());
    let refused = host.data_create(realm.rd, data, realm.unprotected(), src, 1);
    assert_eq!(refused, Status::Input);
    assert_eq!(host.rtt_init_ripas(realm.rd, 8, PAGE).0, Status::Rtt(3));
    assert_eq!(rim(&realm), before);
}

#[test]
fn reserved_flags_are_refused_or_measured() {
    let host = Host::new();
    let rims = [0, 2, 1 << 63].map(|flags| {
        let realm = host.realm().create();
        realm.tables(0, 3);
        let src = host.page();
        let status = host.data_create(realm.rd, realm.granule(), 0, src, flags);
        // A success with reserved bits must be distinguishable by its RIM.
        (status == Status::Success).then(|| rim(&realm))
    });
    assert!(rims[0].is_some());
    assert!(rims[1].is_none() || rims[1] != rims[0]);
    assert!(rims[2].is_none() || rims[2] != rims[0]);
}

/// SHA-256 of a new REM extended by nothing, then by bytes 0 to 4, then by 64 bytes of 0xFF.
const REM_SHA_256: [&str; 3] = [
    "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
    "73a5f44a325787128f76e25955cbcde790c917d5406985c55cca9c0a495c5f5d",
    "e4299c49214f7067ab574a0155bb63327d30f8ac8793250e3115d7929b3b4b0a",
];

/// The same with SHA-512.
const REM_SHA_512: [&str; 3] = [
    "7be9fda48f4179e611c698a73cff09faf72869431efee6eaad14de0cb44bbf66\
     503f752b7a8eb17083355f3ce6eb7d2806f236b25af96a24e22b887405c20081",
    "273359b44514011b3301e091bffd6598d05a00b18232bb618d1929a9a844afa3\
     cf5e4334b4cf9180f2a683cb5e46cb3dcc73570ad27d84a391fdd3cb352da7b5",
    "62d63a8797162a446bd81798c05a9fcd811fa6e1f1940986b3c06f47b989fb85\
     a89bd317a4602dd09c4c144ad19df95193bb5aef0c246e267c1cec3dac6e0714",
];

fn assert_rem(algorithm: HashAlgorithm, expected: [&'static str; 3]) {
    let host = Host::new();
    let realm = host.realm().hash(algorithm).active(1);
    realm.script(0, move |cpu| async move {
        for index in [1, 4] {
            // Bytes beyond the size are not measured.
            for ((size, first), expected) in
                [(0, u64::MAX), (5, 0xFFFF_FF04_0302_0100), (64, u64::MAX)]
                    .into_iter()
                    .zip(expected)
            {
                let mut args = [u64::MAX; 11];
                args[..4].copy_from_slice(&[RSI_MEASUREMENT_EXTEND, index, size, first]);
                assert_eq!(cpu.smc(&args).await[0], RSI_SUCCESS);
                let gprs = cpu.smc(&[RSI_MEASUREMENT_READ, index]).await;
                let bytes: Vec<u8> = gprs[1..9].iter().flat_map(|x| x.to_le_bytes()).collect();
                assert_eq!(bytes, hex(expected), "{size} bytes");
            }
        }
    });
    assert_reason(&realm.enter(0), RecExitReason::Irq);
}

// Conformance: RSI_MEASUREMENT_EXTEND value
// Conformance: RSI_MEASUREMENT_READ value
#[test]
fn rem_sha_256() {
    assert_rem(HashAlgorithm::Sha256, REM_SHA_256);
}

// Conformance: RSI_MEASUREMENT_EXTEND value
// Conformance: RSI_MEASUREMENT_READ value
#[test]
fn rem_sha_512() {
    assert_rem(HashAlgorithm::Sha512, REM_SHA_512);
}
