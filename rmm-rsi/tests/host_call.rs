// SPDX-License-Identifier: BSD-3-Clause
//! RSI_HOST_CALL and its completion.

mod common;

use common::{PAR_TOP, Realm, assert_fails, call, registers, returned};
use rmm_abi::rsi::fid::RSI_HOST_CALL;
use rmm_abi::rsi::{HostCall, RSI_ERROR_INPUT, RSI_SUCCESS};
use rmm_rsi::{Abort, AccessError, Exit, Gprs, Outcome, complete_host_call};
use zerocopy::IntoBytes;

/// A structure whose reserved bytes are not zero.
fn structure() -> HostCall {
    HostCall {
        imm: 0xBEEF,
        _reserved: [0xFF; 6],
        gprs: core::array::from_fn(|n| 0x1111_0000_0000_0000 + n as u64),
    }
}

/// A Realm with the structure at an offset of its page, and 0xEE around it.
fn realm_with_structure_at(offset: usize) -> Realm {
    let mut realm = Realm::new();
    realm.page_mut(0x8000)[offset..offset + 256].copy_from_slice(structure().as_bytes());
    realm
}

// Conformance: RSI_HOST_CALL exit
#[test]
fn shows_the_structure_to_the_host() {
    for offset in [0, 0x100, 0xF00] {
        let mut realm = realm_with_structure_at(offset);
        let before = realm.clone();
        let ipa = 0x8000 + offset as u64;
        let after = call(&mut realm, RSI_HOST_CALL, &[ipa]);
        // Sixteen bits, whatever follows them.
        assert_eq!(after.outcome, Outcome::Exit(Exit::HostCall { imm: 0xBEEF }));
        assert_eq!(after.exit, Some(structure().gprs));
        assert_eq!(
            after.regs,
            registers(RSI_HOST_CALL, &[ipa]),
            "the Realm's own are kept"
        );
        assert!(realm == before);
    }
}

// Conformance: RSI_HOST_CALL addr_align, addr_bound
#[test]
fn refuses() {
    let realm = realm_with_structure_at(0);
    for ipa in [
        0x8001,
        0x8008,
        0x8080,
        0x80FF,
        PAR_TOP,
        PAR_TOP + 0x100,
        1 << 40,
        !0xFF,
    ] {
        assert_fails(&realm, RSI_HOST_CALL, &[ipa], RSI_ERROR_INPUT);
    }
}

// Conformance: RSI_HOST_CALL empty, not_mapped
#[test]
fn structure_that_is_not_there() {
    let mut realm = realm_with_structure_at(0);
    realm
        .pages
        .insert(0x8000, Err(AccessError::Empty { level: 2 }));
    assert_fails(&realm, RSI_HOST_CALL, &[0x8100], RSI_ERROR_INPUT);

    realm
        .pages
        .insert(0x8000, Err(AccessError::NotMapped { level: 3 }));
    let after = call(&mut realm, RSI_HOST_CALL, &[0x8100]);
    let abort = Abort {
        ipa: 0x8100,
        level: 3,
    };
    assert_eq!(after.outcome, Outcome::Abort(abort));
    assert_eq!(after.regs, registers(RSI_HOST_CALL, &[0x8100]));
    assert_eq!(after.exit, None, "the Host sees nothing");
}

/// What the Host answers.
fn answer() -> Gprs {
    core::array::from_fn(|n| 0x2222_0000_0000_0000 + n as u64)
}

// Conformance: RSI_HOST_CALL answer
#[test]
fn completion_writes_the_answer() {
    for offset in [0usize, 0x100, 0xF00] {
        let mut realm = realm_with_structure_at(offset);
        let mut expected = *realm.page(0x8000);
        expected[offset + 8..offset + 256].copy_from_slice(answer().as_bytes());

        let args = [0x8000 + offset as u64];
        let mut regs = registers(RSI_HOST_CALL, &args);
        assert_eq!(complete_host_call(&mut realm, &mut regs, &answer()), Ok(()));
        assert_eq!(*realm.page(0x8000), expected, "imm and all around are kept");
        assert_eq!(regs, returned(RSI_HOST_CALL, &args, &[RSI_SUCCESS]));
    }
}

#[test]
fn completion_waits_for_the_structure() {
    // The Host took the page away, or another REC of the Realm gave it up.
    for access in [
        AccessError::NotMapped { level: 1 },
        AccessError::Empty { level: 1 },
    ] {
        let mut realm = realm_with_structure_at(0);
        realm.pages.insert(0x8000, Err(access));
        let before = realm.clone();
        let mut regs = registers(RSI_HOST_CALL, &[0x8100]);
        let result = complete_host_call(&mut realm, &mut regs, &answer());
        assert_eq!(
            result,
            Err(Abort {
                ipa: 0x8100,
                level: 1
            })
        );
        assert_eq!(regs, registers(RSI_HOST_CALL, &[0x8100]));
        assert!(realm == before);

        // The Host brings it back.
        realm.pages.insert(0x8000, Ok([0; rmm_abi::GRANULE_SIZE]));
        assert_eq!(complete_host_call(&mut realm, &mut regs, &answer()), Ok(()));
        assert_eq!(realm.page(0x8000)[0x108..0x200], *answer().as_bytes());
    }
}
