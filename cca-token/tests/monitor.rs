// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's measurements and tokens against this crate's: two programs from one specification.
#![cfg(feature = "verifier")]

mod support;

use cca_token::hash::HashAlgorithm;
use cca_token::rim::{self, Rim, Rmi};
use cca_token::verify::{Policy, Verdict};
use proptest::prelude::*;
use rmm_abi::rmi;
use rmm_attest::{
    Attestation, Form, Hash, Measurement, Progress, RealmAttestationKey, RealmClaims, Signer,
    SoftHash, TokenContext,
};
use support::{Recipe, judge, pattern, patterned, sign1};
use zerocopy::FromZeros;

/// A step of a launch.
#[derive(Clone, Debug)]
enum Step {
    Ripas(u64, u64),
    Data(u64, Option<Vec<u8>>),
    Rec(u64, u64, [u64; 8]),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(base, top)| Step::Ripas(base, top)),
        (
            any::<u64>(),
            prop::option::of(prop::collection::vec(any::<u8>(), 4096))
        )
            .prop_map(|(ipa, content)| Step::Data(ipa, content)),
        (any::<u64>(), any::<u64>(), any::<[u64; 8]>())
            .prop_map(|(flags, pc, gprs)| Step::Rec(flags, pc, gprs)),
    ]
}

fn ours(rmi: Rmi, params: &rim::RealmParams, steps: &[Step]) -> Vec<u8> {
    let mut rim = Rim::realm_create(rmi, params).expect("an algorithm of the interface");
    for step in steps {
        match step {
            Step::Ripas(base, top) => rim.init_ripas_entry(*base, *top),
            Step::Data(ipa, content) => {
                let content = content.as_deref().map(|c| c.try_into().expect("a page"));
                rim.data_create(*ipa, content);
            }
            Step::Rec(flags, pc, gprs) => rim.rec_create(*flags, *pc, gprs),
        }
    }
    rim.value().to_vec()
}

fn algorithm_of(params: &rim::RealmParams) -> rmi::HashAlgorithm {
    match params.hash {
        HashAlgorithm::Sha256 => rmi::HashAlgorithm::Sha256,
        HashAlgorithm::Sha384 => rmi::HashAlgorithm::Sha384,
        HashAlgorithm::Sha512 => rmi::HashAlgorithm::Sha512,
    }
}

fn the_monitors(hash: &impl Hash, params: &rim::RealmParams, steps: &[Step]) -> Vec<u8> {
    let algorithm = algorithm_of(params);
    let mut realm = rmi::RealmParams::new_zeroed();
    realm.flags = params.flags;
    realm.s2sz = params.s2sz;
    realm.sve_vl = params.sve_vl;
    realm.num_bps = params.num_bps;
    realm.num_wps = params.num_wps;
    realm.pmu_num_ctrs = params.pmu_num_ctrs;
    realm.hash_algo = algorithm as u8;
    let created = rmm_attest::rim::realm_create(hash, algorithm, &realm);
    the_monitors_from(hash, algorithm, created, steps)
}

fn the_monitors_from(
    hash: &impl Hash,
    algorithm: rmi::HashAlgorithm,
    mut rim: Measurement,
    steps: &[Step],
) -> Vec<u8> {
    for step in steps {
        rim = match step {
            Step::Ripas(base, top) => {
                rmm_attest::rim::init_ripas(hash, algorithm, &rim, *base, *top)
            }
            Step::Data(ipa, content) => {
                let (flags, content) = match content {
                    Some(content) => (1, Measurement::of(hash, algorithm, content)),
                    None => (0, Measurement::ZERO),
                };
                rmm_attest::rim::data_create(hash, algorithm, &rim, *ipa, flags, &content)
            }
            Step::Rec(flags, pc, gprs) => {
                let mut params = rmi::RecParams::new_zeroed();
                params.flags = *flags;
                params.pc = *pc;
                params.gprs = *gprs;
                rmm_attest::rim::rec_create(hash, algorithm, &rim, &params)
            }
        };
    }
    rim.digest(algorithm).to_vec()
}

proptest! {
    #[test]
    fn both_measure_alike(
        flags in any::<u64>(),
        numbers in any::<[u8; 5]>(),
        hash in prop::sample::select(&[HashAlgorithm::Sha256, HashAlgorithm::Sha512][..]),
        steps in prop::collection::vec(step(), 0..8),
    ) {
        let [s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs] = numbers;
        let params = rim::RealmParams { flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash };
        prop_assert_eq!(ours(Rmi::V1, &params, &steps), the_monitors(&SoftHash, &params, &steps));
    }

    #[test]
    fn both_measure_alike_in_2_0(
        flags in any::<u64>(),
        numbers in any::<[u8; 5]>(),
        hash in prop::sample::select(
            &[HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512][..]
        ),
        steps in prop::collection::vec(step(), 0..8),
    ) {
        let [s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs] = numbers;
        let params = rim::RealmParams { flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash };
        // RMI_RTT_INIT_RIPAS is not measured there.
        let measured = |step: &&Step| !matches!(step, Step::Ripas(..));
        let steps: Vec<_> = steps.iter().filter(measured).cloned().collect();
        let monitors = the_monitors_from(
            &SoftHash,
            algorithm_of(&params),
            Measurement::ZERO,
            &steps,
        );
        prop_assert_eq!(ours(Rmi::V2, &params, &steps), monitors);
    }
}

#[test]
fn the_monitors_tokens_verify() {
    let recipe = Recipe::default();
    let secret = recipe.rak.to_bytes();
    let key = RealmAttestationKey::new(&secret.into()).expect("a key");
    let platform = sign1(&recipe.cpak, &recipe.platform);
    let attestation = Attestation::new(Signer::Monitor(key), &platform);
    for (form, algorithm, size) in [
        (&Form::RMM_1_0, rmi::HashAlgorithm::Sha256, 32),
        (&Form::RMM_1_0, rmi::HashAlgorithm::Sha512, 64),
        (&Form::RMM_2_0, rmi::HashAlgorithm::Sha256, 32),
        (&Form::RMM_2_0, rmi::HashAlgorithm::Sha384, 48),
        (&Form::RMM_2_0, rmi::HashAlgorithm::Sha512, 64),
    ] {
        let measurements = [0x20, 0x30, 0x31, 0x32, 0x33].map(|first| {
            let mut value = Measurement::ZERO;
            value.0[..size].copy_from_slice(&pattern(first, size));
            value
        });
        let claims = RealmClaims {
            challenge: &patterned(0x10),
            rpv: &patterned(0x80),
            algorithm,
            measurements: &measurements,
            instance: &patterned(0x60),
            lfa_policy: 0,
        };
        let mut context = TokenContext::new_zeroed();
        context.init(&attestation, form, &claims, 1);
        while context.step(&attestation) != Progress::Ready {
            assert!(context.in_progress());
        }
        let token = context.piece(&attestation, 4096).parts.concat();
        let policy = Policy {
            rims: Some(vec![pattern(0x20, size)]),
            rems: [0x30, 0x31, 0x32, 0x33].map(|first| Some(pattern(first, size))),
            ..recipe.policy()
        };
        let report = judge(&token, &policy);
        assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
    }
}
