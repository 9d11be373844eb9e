// SPDX-License-Identifier: BSD-3-Clause
//! Where a token goes: every size and offset, and memory that cannot take it.

use super::super::attested::LOOKS;
use super::{Expected, RPV, el3, host_of, init, measured, platform_token, proceed, rest, run};
use rmm_abi::rmi::{HashAlgorithm, RecExitReason};
use rmm_abi::rsi::*;
use rmm_core::fake::{El3Attestation, MIB, PAGE, RealmCpu, Status, assert_record};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What memory holds where the monitor has not written.
const CANARY: u64 = 0xC0C0_C0C0_C0C0_C0C0;

/// Gets the next `size` bytes of the token at `offset` of the page at IPA 0, and asserts that nothing
/// around them changes. Status and bytes.
async fn piece(cpu: &RealmCpu, offset: u64, size: u64) -> (u64, Vec<u8>) {
    let around: Vec<u64> = [
        offset.wrapping_sub(8),
        offset,
        offset + size - 1,
        offset + size,
    ]
    .into_iter()
    .filter(|byte| *byte < PAGE)
    .map(|byte| byte & !7)
    .collect();
    for word in &around {
        cpu.write(*word, CANARY).await.expect("memory");
    }
    let (status, length) = proceed(cpu, 0, offset, size).await;
    let end = offset + length;
    for word in around {
        let found = cpu.read(word).await.expect("memory").to_le_bytes();
        for (byte, address) in found.into_iter().zip(word..) {
            let is_written = (offset..end).contains(&address);
            assert!(is_written || byte == 0xC0, "byte {address:#x}");
        }
    }
    let start = offset & !7;
    let bytes = cpu.read_bytes(start, index(end - start)).await;
    (
        status,
        bytes.expect("memory").split_off(index(offset - start)),
    )
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("64 bits")
}

/// A token of about 17,000 bytes in pieces at these offsets, of these sizes.
fn in_pieces(pieces: impl Iterator<Item = (u64, u64)> + Send + 'static) {
    let host = host_of(El3Attestation {
        platform_token: platform_token(16384),
        ..el3()
    });
    run(&host, |cpu| async move {
        let expected = Expected::of(&cpu, 1, RPV, HashAlgorithm::Sha256).await;
        let _bound = init(&cpu, 1).await;
        let mut found = Vec::new();
        for (offset, size) in pieces {
            let (status, bytes) = piece(&cpu, offset, size).await;
            assert_eq!((status, bytes.len() as u64), (RSI_INCOMPLETE, size));
            found.extend(bytes);
        }
        found.extend(rest(&cpu, 0).await);
        expected.assert_verified(&found);
    });
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE incomplete
#[test]
fn every_offset() {
    in_pieces((0..PAGE).map(|offset| (offset, (PAGE - offset).min(4))));
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE incomplete
#[test]
fn every_size() {
    in_pieces((1..=180).map(|size| (PAGE - size, size)));
    in_pieces([4095, 4094, 4088, 2049].into_iter().map(|size| (1, size)));
    in_pieces([4096; 4].into_iter().map(|size| (0, size)));
}

/// The last piece may be asked for with any size that it fits.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE complete
#[test]
fn the_last_piece() {
    run(&host_of(el3()), |cpu| async move {
        let expected = Expected::of(&cpu, 1, RPV, HashAlgorithm::Sha256).await;
        for last in [1, 2, 500] {
            for room in [last, last + 1, 1000, PAGE - 3] {
                let bound = init(&cpu, 1).await;
                let (status, mut found) = piece(&cpu, 0, bound - last).await;
                assert_eq!(status, RSI_INCOMPLETE);
                let (status, bytes) = piece(&cpu, 3, room).await;
                assert_eq!((status, bytes.len() as u64), (RSI_SUCCESS, last));
                found.extend(bytes);
                expected.assert_verified(&found);
                let result = proceed(&cpu, 0, 0, PAGE).await;
                assert_eq!(result, (RSI_ERROR_STATE, 0));
            }
        }
    });
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE addr_align, addr_bound, offset_bound, size_bound
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_overflow, size_zero
#[test]
fn bad_arguments_keep_the_token() {
    let host = host_of(el3());
    let realm = measured(&host, HashAlgorithm::Sha256, 1);
    let (half, end) = (realm.unprotected(), realm.end());
    realm.script(0, move |cpu| async move {
        let expected = Expected::of(&cpu, 1, RPV, HashAlgorithm::Sha256).await;
        let bad = [
            (1, 0, 1),
            (8, 0, 1),
            (PAGE - 1, 0, 1),
            (half, 0, 1),
            (half + PAGE, 0, PAGE),
            (end - PAGE, 0, 1),
            (end, 0, 1),
            (1 << 63, 0, 1),
            (!(PAGE - 1), 0, PAGE),
            (0, PAGE, 0),
            (0, PAGE, 1),
            (0, u64::MAX, 1),
            (0, u64::MAX, u64::MAX),
            (0, 0, PAGE + 1),
            (0, 1, PAGE),
            (0, PAGE - 1, 2),
            (0, 8, u64::MAX - 7),
            (0, 0, u64::MAX),
            (0, 0, 1 << 63),
        ];
        let _bound = init(&cpu, 1).await;
        let mut found = Vec::new();
        // Begun, ready, and after each piece.
        for (n, (ipa, offset, size)) in bad.into_iter().chain(bad).enumerate() {
            let result = proceed(&cpu, ipa, offset, size).await;
            assert_eq!(
                result,
                (RSI_ERROR_INPUT, 0),
                "{ipa:#x} {offset:#x} {size:#x}"
            );
            assert_eq!(proceed(&cpu, 0, 5, 0).await, (RSI_INCOMPLETE, 0));
            if n >= bad.len() {
                let (status, bytes) = piece(&cpu, 8, 3).await;
                assert_eq!(status, RSI_INCOMPLETE);
                found.extend(bytes);
            }
        }
        found.extend(rest(&cpu, 0).await);
        expected.assert_verified(&found);
    });
    assert_record(&realm.enter(0), RecExitReason::Irq, |_| ());
}

/// Memory that the Host has to provide: the call is tried again, and nothing is computed twice.
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE not_mapped, empty
// Conformance: RSI calls retry
#[test]
fn memory_that_is_missing() {
    let host = host_of(el3());
    let looks = Arc::new(AtomicUsize::new(0));
    host.board().set_look_hook({
        let looks = looks.clone();
        move |_, _| {
            looks.fetch_add(1, Ordering::Relaxed);
            false
        }
    });
    let realm = host.realm().params(|p| p.rpv = [RPV; 64]).create();
    let _rec = realm.rec(true);
    realm.data(0, &[]);
    // Without a table; in a table; RAM that the Host has destroyed, which never comes back.
    realm.tables(2 * MIB, 2);
    realm.ram(2 * MIB, 4 * MIB);
    realm.tables(4 * MIB, 3);
    realm.ram(4 * MIB, 4 * MIB + PAGE);
    let (gone, empty) = (PAGE, 2 * PAGE);
    realm.data(gone, &[]);
    assert_eq!(host.data_destroy(realm.rd, gone).0, Status::Success);
    realm.activate();
    realm.script(0, move |cpu| async move {
        let expected = Expected::of(&cpu, 1, RPV, HashAlgorithm::Sha256).await;
        let bound = init(&cpu, 1).await;
        let mut found = Vec::new();
        for ipa in [2 * MIB, 4 * MIB] {
            let result = proceed(&cpu, empty, 0, 8).await;
            assert_eq!(result, (RSI_ERROR_INPUT, 0), "RIPAS EMPTY");
            let result = proceed(&cpu, ipa, 16, 8).await;
            assert_eq!(result, (RSI_INCOMPLETE, 8));
            found.extend(cpu.read_bytes(ipa + 16, 8).await.expect("memory"));
        }
        found.extend(rest(&cpu, 0).await);
        assert_eq!(found.len() as u64, bound);
        expected.assert_verified(&found);
        let _bound = init(&cpu, 2).await;
        let _never = proceed(&cpu, gone, 8, 8).await;
    });
    for (ipa, level, signatures) in [(2 * MIB, 2, 1), (4 * MIB, 3, 1), (gone, 3, 2)] {
        for _ in 0..2 {
            assert_record(&realm.enter(0), RecExitReason::Sync, |exit| {
                exit.esr = 0x24 << 26 | 0x04 | level;
                exit.hpfar = ipa >> 8;
            });
            assert_eq!(looks.load(Ordering::Relaxed), signatures * LOOKS);
        }
        realm.data_unknown(ipa);
    }
    realm.allow_unfinished_scripts();
}
