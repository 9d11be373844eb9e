// SPDX-License-Identifier: BSD-3-Clause
//! The form of a token, and its Realm part (specification A7.2.3).

use crate::cbor::Cbor;
use crate::{Measurement, RealmPublicKey};
use core::ops::Range;
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::CHALLENGE_SIZE;

/// The form of a token: a version of the specification.
pub struct Form {
    /// CBOR tag of the whole.
    tag: u64,
    /// The content format that stands in an array with each of the two tokens; `None` if each token
    /// stands alone.
    content_format: Option<u64>,
    /// The profile claim.
    profile: &'static str,
    /// The claims of a Realm token, in their order.
    claims: &'static [Claim],
}

impl Form {
    /// RMM specification 1.0.
    pub const RMM_1_0: Self = Self {
        tag: 399,
        content_format: None,
        profile: "tag:arm.com,2023:realm#1.0.0",
        claims: &[
            Claim::Challenge,
            Claim::PersonalizationValue,
            Claim::PublicKey,
            Claim::HashAlgorithm,
            Claim::PublicKeyHashAlgorithm,
            Claim::Profile,
            Claim::InitialMeasurement,
            Claim::ExtensibleMeasurements,
        ],
    };

    /// RMM specification 2.0-bet3, for a Realm without devices.
    pub const RMM_2_0: Self = Self {
        tag: 907,
        content_format: Some(263),
        profile: "tag:arm.com,2024:realm#2.0.0",
        claims: &[
            Claim::Challenge,
            Claim::InstanceId,
            Claim::Profile,
            Claim::PersonalizationValue,
            Claim::HashAlgorithm,
            Claim::PublicKey,
            Claim::InitialMeasurement,
            Claim::ExtensibleMeasurements,
            Claim::PublicKeyHashAlgorithm,
            Claim::MecPolicy,
            Claim::LfaPolicy,
        ],
    };
}

/// A claim of a Realm token.
#[derive(Clone, Copy)]
enum Claim {
    Challenge,
    PersonalizationValue,
    PublicKey,
    HashAlgorithm,
    PublicKeyHashAlgorithm,
    Profile,
    InitialMeasurement,
    ExtensibleMeasurements,
    /// Since 2.0: identifies the Realm.
    InstanceId,
    /// Since 2.0: memory encryption contexts.
    MecPolicy,
    /// Since 2.0: live activation of firmware.
    LfaPolicy,
}

/// First byte of an instance identifier: the rest is random.
const RANDOM_UEID: u8 = 0x01;
/// MEC policy: the Realm shares a memory encryption context.
const MEC_SHARED: u64 = 0;

/// Key of the platform token in the map of the whole.
const PLATFORM_TOKEN: u64 = 44234;
/// Key of the Realm token.
const REALM_TOKEN: u64 = 44241;

/// CBOR tag of a COSE_Sign1.
const COSE_SIGN1: u64 = 18;
/// Protected header of a COSE_Sign1, a byte string: algorithm (1) is ES384 (-35).
const PROTECTED: [u8; 5] = [0x44, 0xA1, 0x01, 0x38, 0x22];
/// What the signed bytes of a COSE_Sign1 begin with: an array of 4, and a text.
const SIGN1_CONTEXT: &[u8] = b"\x84\x6ASignature1";
/// External data of a COSE_Sign1: an empty byte string.
const NO_EXTERNAL_DATA: [u8; 1] = [0x40];

/// Size of a signature in bytes.
pub(crate) const SIGNATURE_SIZE: usize = 96;

/// What a token says about a Realm.
pub struct RealmClaims<'a> {
    /// Challenge of the relying party.
    pub challenge: &'a [u8; CHALLENGE_SIZE],
    /// Realm Personalization Value.
    pub rpv: &'a [u8; 64],
    /// Hash algorithm of the measurements.
    pub algorithm: HashAlgorithm,
    /// RIM, then REM 0 to 3.
    pub measurements: &'a [Measurement; 5],
    /// Random number that identifies the Realm. Not in tokens of 1.0.
    pub instance: &'a [u8; 32],
    /// Whether firmware may be activated live: 0 or 1. Not in tokens of 1.0.
    pub lfa_policy: u8,
}

/// Where the parts of a token stand in the buffer that [`write`] has written. The signature is at the
/// end.
pub(crate) struct Layout {
    /// Size of what comes before the platform token.
    pub prefix: usize,
    /// The payload of the Realm token, with its head.
    pub payload: Range<usize>,
    /// Size of all.
    pub len: usize,
}

/// Writes a token without the platform token, which has `platform_size` bytes, and with zeroes for the
/// signature. `None` if the buffer is too small.
pub(crate) fn write(
    buffer: &mut [u8],
    form: &Form,
    claims: &RealmClaims,
    key: &RealmPublicKey,
    platform_size: usize,
) -> Option<Layout> {
    let payload = Cbor::measure(|cbor| form.write_claims(cbor, claims, key));
    let sign1 = |cbor: &mut Cbor| {
        cbor.tag(COSE_SIGN1);
        cbor.array(4);
        cbor.raw(&PROTECTED);
        cbor.map(0);
        let start = cbor.len();
        cbor.bytes_head(payload);
        form.write_claims(cbor, claims, key);
        let end = cbor.len();
        cbor.bytes(&[0; SIGNATURE_SIZE]);
        start..end
    };
    let realm_size = Cbor::measure(|cbor| {
        sign1(cbor);
    });

    let size = buffer.len();
    let mut cbor = Cbor::new(buffer);
    cbor.tag(form.tag);
    cbor.map(2);
    form.write_token_head(&mut cbor, PLATFORM_TOKEN, platform_size);
    let prefix = cbor.len();
    form.write_token_head(&mut cbor, REALM_TOKEN, realm_size);
    let payload = sign1(&mut cbor);
    (cbor.len() <= size).then_some(Layout {
        prefix,
        payload,
        len: cbor.len(),
    })
}

/// The signed bytes of a Realm token, in parts.
pub(crate) fn signed(payload: &[u8]) -> [&[u8]; 4] {
    [SIGN1_CONTEXT, &PROTECTED, &NO_EXTERNAL_DATA, payload]
}

impl Form {
    /// Writes the key of one of the two tokens, and all of its value but the token itself.
    fn write_token_head(&self, cbor: &mut Cbor, key: u64, size: usize) {
        cbor.unsigned(key);
        if let Some(content_format) = self.content_format {
            cbor.array(2);
            cbor.unsigned(content_format);
        }
        cbor.bytes_head(size);
    }

    /// Writes the map of claims (specification A7.2.3.1).
    fn write_claims(&self, cbor: &mut Cbor, claims: &RealmClaims, key: &RealmPublicKey) {
        let [rim, rems @ ..] = claims.measurements;
        cbor.map(self.claims.len());
        for claim in self.claims {
            cbor.unsigned(claim.key());
            match claim {
                Claim::Challenge => cbor.bytes(claims.challenge),
                Claim::PersonalizationValue => cbor.bytes(claims.rpv),
                Claim::PublicKey => cbor.bytes(key.cose_key()),
                Claim::HashAlgorithm => cbor.text(name(claims.algorithm)),
                // That of `RealmPublicKey::hash`.
                Claim::PublicKeyHashAlgorithm => cbor.text(name(HashAlgorithm::Sha256)),
                Claim::Profile => cbor.text(self.profile),
                Claim::InitialMeasurement => cbor.bytes(rim.digest(claims.algorithm)),
                Claim::ExtensibleMeasurements => {
                    cbor.array(rems.len());
                    for rem in rems {
                        cbor.bytes(rem.digest(claims.algorithm));
                    }
                }
                Claim::InstanceId => {
                    cbor.bytes_head(1 + claims.instance.len());
                    cbor.raw(&[RANDOM_UEID]);
                    cbor.raw(claims.instance);
                }
                Claim::MecPolicy => cbor.unsigned(MEC_SHARED),
                Claim::LfaPolicy => cbor.unsigned(claims.lfa_policy.into()),
            }
        }
    }
}

impl Claim {
    /// Key of the claim.
    const fn key(self) -> u64 {
        match self {
            Self::Challenge => 10,
            Self::InstanceId => 256,
            Self::Profile => 265,
            Self::PersonalizationValue => 44235,
            Self::HashAlgorithm => 44236,
            Self::PublicKey => 44237,
            Self::InitialMeasurement => 44238,
            Self::ExtensibleMeasurements => 44239,
            Self::PublicKeyHashAlgorithm => 44240,
            Self::MecPolicy => 44243,
            Self::LfaPolicy => 44244,
        }
    }
}

/// Name of a hash algorithm in a token.
const fn name(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha256 => "sha-256",
        HashAlgorithm::Sha384 => "sha-384",
        HashAlgorithm::Sha512 => "sha-512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealmAttestationKey;

    /// A form as later specifications have it, with few claims.
    const LATER: Form = Form {
        tag: 907,
        content_format: Some(263),
        profile: "later",
        claims: &[Claim::Profile, Claim::HashAlgorithm],
    };

    fn write_form(buffer: &mut [u8], form: &Form) -> Option<Layout> {
        let key = RealmAttestationKey::new(&[1; 48]).unwrap();
        let claims = RealmClaims {
            challenge: &[0; 64],
            rpv: &[0; 64],
            algorithm: HashAlgorithm::Sha512,
            measurements: &[Measurement::ZERO; 5],
            instance: &[0; 32],
            lfa_policy: 0,
        };
        write(buffer, form, &claims, key.public(), 0x1234)
    }

    #[test]
    fn form_of_later_specifications() {
        let mut buffer = [0xEE; 200];
        let layout = write_form(&mut buffer, &LATER).unwrap();
        let prefix: &[u8] = b"\xD9\x03\x8B\xA2\x19\xAC\xCA\x82\x19\x01\x07\x59\x12\x34";
        let head: &[u8] = b"\x19\xAC\xD1\x82\x19\x01\x07\x58\x80\xD2\x84\x44\xA1\x01\x38\x22\xA0";
        let payload: &[u8] = b"\x55\xA2\x19\x01\x09\x65later\x19\xAC\xCC\x67sha-512";
        let signature: &[u8] = &[0; 98];
        let mut token = [prefix, head, payload, signature].concat();
        let len = token.len();
        token[len - 98..len - 96].copy_from_slice(b"\x58\x60");
        assert_eq!(buffer[..len], token);
        assert_eq!(buffer[len..], [0xEE; 200][len..], "no byte beyond");
        assert_eq!((layout.prefix, layout.len), (prefix.len(), len));
        assert_eq!(buffer[layout.payload], *payload);
    }

    #[test]
    fn buffer_that_is_too_small_is_refused() {
        let mut buffer = [0; 1024];
        let Layout { len, .. } = write_form(&mut buffer, &Form::RMM_1_0).unwrap();
        assert_eq!(len, 766);
        for size in 0..len {
            assert!(write_form(&mut buffer[..size], &Form::RMM_1_0).is_none());
        }
        assert!(write_form(&mut buffer[..len], &Form::RMM_1_0).is_some());
    }
    #[test]
    fn a_token_of_2_0_fits() {
        let mut buffer = [0; crate::token::BUFFER_SIZE];
        // The largest head of a platform token.
        let key = RealmAttestationKey::new(&[1; 48]).unwrap();
        let claims = RealmClaims {
            challenge: &[0; 64],
            rpv: &[0; 64],
            algorithm: HashAlgorithm::Sha512,
            measurements: &[Measurement::ZERO; 5],
            instance: &[0; 32],
            lfa_policy: 1,
        };
        let layout = write(&mut buffer, &Form::RMM_2_0, &claims, key.public(), 1 << 20).unwrap();
        assert_eq!(layout.len, 822);
    }
}
