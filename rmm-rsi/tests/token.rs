// SPDX-License-Identifier: BSD-3-Clause
//! RSI_ATTESTATION_TOKEN_INIT and RSI_ATTESTATION_TOKEN_CONTINUE.

mod common;

use common::{
    PAGE, PAR_TOP, Realm, TokenState, assert_fails, assert_returns, call, registers, returned,
};
use rmm_abi::rsi::fid::{
    RSI_ATTESTATION_TOKEN_CONTINUE as CONTINUE, RSI_ATTESTATION_TOKEN_INIT as INIT,
};
use rmm_abi::rsi::*;
use rmm_rsi::{Abort, AccessError, Exit, Outcome};

/// X1 to X8 of INIT.
const CHALLENGE: [u64; 8] = [
    0x0706_0504_0302_0100,
    1,
    2,
    3,
    4,
    5,
    6,
    0xFF00_0000_0000_0000,
];

/// A Realm with a token generation in progress.
fn begun() -> Realm {
    let mut realm = Realm::new();
    assert_returns(&mut realm, INIT, &CHALLENGE, &[RSI_SUCCESS, 8192]);
    realm
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT size, challenge
#[test]
fn init_takes_the_challenge_in_memory_order() {
    let realm = begun();
    let TokenState::InProgress {
        challenge,
        steps: 0,
        delivered: 0,
    } = realm.token_state
    else {
        panic!("not in progress");
    };
    assert_eq!(challenge[..9], [0, 1, 2, 3, 4, 5, 6, 7, 1]);
    assert_eq!(challenge[56..], [0, 0, 0, 0, 0, 0, 0, 0xFF]);
}

// Conformance: RSI_ATTESTATION_TOKEN_INIT restart
#[test]
fn init_ends_the_generation_in_progress() {
    let mut realm = begun();
    assert_returns(
        &mut realm,
        CONTINUE,
        &[0x8000, 0, 16],
        &[RSI_INCOMPLETE, 16],
    );
    assert_returns(&mut realm, INIT, &[9; 8], &[RSI_SUCCESS, 8192]);
    assert_returns(
        &mut realm,
        CONTINUE,
        &[0x8000, 0, 16],
        &[RSI_INCOMPLETE, 16],
    );
    assert_eq!(
        realm.page(0x8000)[..16],
        realm.token[..16],
        "from the beginning"
    );
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE addr_align, addr_bound, offset_bound, size_bound
// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_overflow
#[test]
fn continue_refuses_bad_inputs() {
    for realm in [begun(), Realm::new()] {
        let bad = [
            [0x8001, 0, 16],
            [0x8800, 0, 16],
            [PAR_TOP, 0, 16],
            [1 << 63, 0, 16],
            [0x8000, PAGE, 0],
            [0x8000, PAGE, 16],
            [0x8000, u64::MAX, 1],
            [0x8000, u64::MAX, 2],
            [0x8000, 0, PAGE + 1],
            [0x8000, 1, PAGE],
            [0x8000, PAGE - 1, 2],
            [0x8000, 1, u64::MAX],
            [0x8000, 0, u64::MAX],
        ];
        for args in bad {
            assert_fails(&realm, CONTINUE, &args, RSI_ERROR_INPUT);
        }
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE state
#[test]
fn continue_needs_init() {
    for size in [0, 16] {
        assert_fails(&Realm::new(), CONTINUE, &[0x8000, 0, size], RSI_ERROR_STATE);
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE size_zero
#[test]
fn size_zero_delivers_nothing() {
    let mut realm = begun();
    let before = realm.clone();
    assert_returns(&mut realm, CONTINUE, &[0x8000, 0, 0], &[RSI_INCOMPLETE, 0]);
    assert_returns(
        &mut realm,
        CONTINUE,
        &[0x8000, PAGE - 1, 0],
        &[RSI_INCOMPLETE, 0],
    );
    assert!(realm == before);
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE incomplete, complete
#[test]
fn token_arrives_in_pieces() {
    let mut realm = begun();
    let args = |offset, size| [0x8000, offset, size];
    assert_returns(&mut realm, CONTINUE, &args(0, 100), &[RSI_INCOMPLETE, 100]);
    assert_returns(
        &mut realm,
        CONTINUE,
        &args(100, PAGE - 100),
        &[RSI_INCOMPLETE, PAGE - 100],
    );
    assert_eq!(*realm.page(0x8000), realm.token[..4096]);

    // The last bytes are fewer than what is asked for.
    let rest = 5000 - PAGE;
    assert_returns(
        &mut realm,
        CONTINUE,
        &args(8, PAGE - 8),
        &[RSI_SUCCESS, rest],
    );
    assert_eq!(realm.page(0x8000)[8..8 + 904], realm.token[4096..]);
    assert_fails(&realm, CONTINUE, &args(0, 16), RSI_ERROR_STATE);
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE unknown
#[test]
fn failure_ends_the_generation() {
    for step in 0..=3 {
        let mut realm = begun();
        realm.token_fails_at = Some(step);
        assert_returns(&mut realm, CONTINUE, &[0x8000, 0, 16], &[RSI_ERROR_UNKNOWN]);
        assert_eq!(*realm.page(0x8000), [0xEE; 4096], "nothing is written");
        assert_fails(&realm, CONTINUE, &[0x8000, 0, 16], RSI_ERROR_STATE);
    }
}

/// Asserts that CONTINUE exits for an interrupt and writes nothing.
#[track_caller]
fn assert_interrupted(realm: &mut Realm, args: &[u64; 3]) {
    let after = call(realm, CONTINUE, args);
    assert_eq!(after.outcome, Outcome::Exit(Exit::Irq));
    assert_eq!(after.regs, returned(CONTINUE, args, &[RSI_INCOMPLETE, 0]));
    assert_eq!(after.exit, None);
    assert_eq!(*realm.page(0x8000), [0xEE; 4096], "nothing is written");
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
#[test]
fn interrupt_exits_and_the_call_goes_on_later() {
    let mut realm = begun();
    realm.interrupt = true;
    let args = [0x8000, 0, 16];
    assert_interrupted(&mut realm, &args);
    realm.interrupt = false;
    assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 16]);
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE interrupted
#[test]
fn generation_advances_by_a_step_at_each_interrupted_call() {
    let mut realm = begun();
    realm.interrupt = true;
    let args = [0x8000, 0, 16];
    for _ in 0..realm.token_steps {
        assert_interrupted(&mut realm, &args);
    }
    // What is left is to write, which an interrupt does not stop.
    assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 16]);
    assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 16]);
}

#[test]
fn generation_that_waits_returns_to_the_realm() {
    for step in 0..=3 {
        let mut realm = begun();
        realm.token_waits_at = Some(step);
        let args = [0x8000, 0, 16];
        for _ in 0..2 {
            assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 0]);
            assert_eq!(*realm.page(0x8000), [0xEE; 4096], "nothing is written");
        }
        realm.token_waits_at = None;
        assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 16]);
        assert_eq!(realm.page(0x8000)[..16], realm.token[..16]);
    }
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE empty, not_mapped
// Conformance: RSI calls retry
#[test]
fn memory_that_is_not_there() {
    // A token that is ready: all that is missing is to write it.
    let mut realm = begun();
    assert_returns(&mut realm, CONTINUE, &[0x8000, 0, 1], &[RSI_INCOMPLETE, 1]);
    realm
        .pages
        .insert(0x8000, Err(AccessError::Empty { level: 3 }));
    assert_fails(&realm, CONTINUE, &[0x8000, 0x10, 16], RSI_ERROR_INPUT);

    realm
        .pages
        .insert(0x8000, Err(AccessError::NotMapped { level: 3 }));
    let before = realm.clone();
    let args = [0x8000, 0x10, 16];
    let after = call(&mut realm, CONTINUE, &args);
    assert_eq!(
        after.outcome,
        Outcome::Abort(Abort {
            ipa: 0x8000,
            level: 3
        })
    );
    assert_eq!(after.regs, registers(CONTINUE, &args));
    assert!(realm == before, "nothing counts as delivered");
}

// Conformance: RSI_ATTESTATION_TOKEN_CONTINUE not_mapped
#[test]
fn steps_done_before_an_abort_count() {
    let mut realm = begun();
    let page = realm.pages.remove(&0x8000).unwrap();
    let args = [0x8000, 0, 16];
    let after = call(&mut realm, CONTINUE, &args);
    assert!(matches!(after.outcome, Outcome::Abort(_)));
    assert!(matches!(
        realm.token_state,
        TokenState::InProgress {
            steps: 3,
            delivered: 0,
            ..
        }
    ));
    realm.pages.insert(0x8000, page);
    assert_returns(&mut realm, CONTINUE, &args, &[RSI_INCOMPLETE, 16]);
    assert_eq!(realm.page(0x8000)[..16], realm.token[..16]);
}
