// SPDX-License-Identifier: BSD-3-Clause
//! Claims of the Realm token (RMM specifications 1.0 and 2.0, A7.2.3.1).

use crate::cbor::{Error, Value};
use crate::claims::{Claim, Claims, HASH_SIZES, bytes};
use crate::hash::HashAlgorithm;

const CHALLENGE: Claim = Claim(10, "Realm challenge");
const PROFILE: Claim = Claim(265, "Realm profile");
const RPV: Claim = Claim(44235, "Realm personalization value");
const HASH: Claim = Claim(44236, "Realm hash algorithm");
const PUBLIC_KEY: Claim = Claim(44237, "Realm public key");
const RIM: Claim = Claim(44238, "Realm initial measurement");
const REMS: Claim = Claim(44239, "Realm extensible measurements");
const KEY_HASH: Claim = Claim(44240, "Realm public key hash algorithm");

const INSTANCE: Claim = Claim(256, "Realm instance id");
const MEC_POLICY: Claim = Claim(44243, "MEC policy");
const LFA_POLICY: Claim = Claim(44244, "LFA policy");

/// The profile of Realm tokens of RMM 1.0.
pub const REALM_PROFILE: &str = "tag:arm.com,2023:realm#1.0.0";

/// The profile of Realm tokens of RMM 2.0: of a Realm that a Host made through RMI 2.0.
pub const REALM_PROFILE_2_0: &str = "tag:arm.com,2024:realm#2.0.0";

/// The claims, well-formed but not believed.
#[derive(Clone, Debug)]
pub struct RealmClaims {
    /// The challenge that the Realm passed to RSI_ATTESTATION_TOKEN_INIT.
    pub challenge: [u8; 64],
    /// Name of the profile. It may be absent; then the platform profile covers the Realm's claims too.
    pub profile: Option<String>,
    /// Realm Personalization Value.
    pub rpv: [u8; 64],
    /// Name of the hash algorithm of the measurements.
    pub hash_algorithm: String,
    /// The RAK, public part, as it stands in the claim: this is what the platform token's challenge is a hash of.
    pub public_key: Vec<u8>,
    /// Offset of the RAK in the token.
    pub public_key_offset: usize,
    /// Realm Initial Measurement.
    pub rim: Vec<u8>,
    /// Realm Extensible Measurements.
    pub rems: [Vec<u8>; 4],
    /// Name of the hash algorithm that binds the RAK to the platform token.
    pub key_hash_algorithm: String,
    /// Random number that identifies the Realm. Since 2.0.
    pub instance_id: Option<Vec<u8>>,
    /// Whether the Realm shares a memory encryption context, 0, or has its own, 1. Since 2.0, where it must
    /// be there.
    pub mec_policy: Option<u16>,
    /// Whether firmware may be activated while the Realm runs: 0 no, 1 yes. Since 2.0, where it must be there.
    pub lfa_policy: Option<u16>,
    /// Other claims: label and value in diagnostic notation.
    pub unknown: Vec<(String, String)>,
}

impl RealmClaims {
    /// Reads the payload of the Realm token, whose first byte has the offset `base`.
    ///
    /// # Errors
    /// Malformed CBOR; a claim missing, twice, of the wrong type or size.
    pub fn parse(payload: &[u8], base: usize) -> Result<Self, Error> {
        let value = Value::parse(payload, base)?;
        let claims = Claims::of(&value, "the Realm token's payload")?;
        let rems = claims
            .list(REMS)?
            .iter()
            .map(|rem| bytes(REMS, rem, HASH_SIZES).map(|rem| rem.content.to_vec()))
            .collect::<Result<Vec<_>, _>>()?;
        let rems = <[Vec<u8>; 4]>::try_from(rems).map_err(|rems| {
            Error::new(
                claims.require(REMS).map_or(base, |value| value.offset),
                format!(
                    "claim 44239 (Realm extensible measurements) has {} entries, not 4",
                    rems.len()
                ),
            )
        })?;
        let public_key = claims.bytes(PUBLIC_KEY, &[])?;
        let profile = claims.optional_text(PROFILE)?;
        let policy = |claim| match profile.as_deref() {
            Some(REALM_PROFILE_2_0) => claims.unsigned16(claim).map(Some),
            _ => Ok(None),
        };
        let (mec_policy, lfa_policy) = (policy(MEC_POLICY)?, policy(LFA_POLICY)?);
        let instance_id = claims.get(INSTANCE).filter(|_| mec_policy.is_some());
        let instance_id = instance_id
            .map(|id| bytes(INSTANCE, id, &[]))
            .transpose()?
            .map(|id| id.content.to_vec());
        let mut known = vec![
            CHALLENGE, PROFILE, RPV, HASH, PUBLIC_KEY, RIM, REMS, KEY_HASH,
        ];
        if mec_policy.is_some() {
            known.extend([INSTANCE, MEC_POLICY, LFA_POLICY]);
        }
        Ok(Self {
            challenge: claims.array(CHALLENGE)?,
            profile,
            rpv: claims.array(RPV)?,
            hash_algorithm: claims.text(HASH)?,
            public_key: public_key.content.to_vec(),
            public_key_offset: public_key.offset,
            rim: claims.bytes(RIM, HASH_SIZES)?.content.to_vec(),
            rems,
            key_hash_algorithm: claims.text(KEY_HASH)?,
            instance_id,
            mec_policy,
            lfa_policy,
            unknown: claims.unknown(&known),
        })
    }

    /// Why the hash algorithms named do not fit the measurements, if they do not.
    pub fn hash_mismatch(&self) -> Option<String> {
        let Some(hash) = HashAlgorithm::named(&self.hash_algorithm) else {
            return Some(format!(
                "{:?} is not a known hash algorithm",
                self.hash_algorithm
            ));
        };
        std::iter::once(&self.rim)
            .chain(&self.rems)
            .find_map(|measurement| {
                (measurement.len() != hash.size())
                    .then(|| format!("a measurement of {} bytes is not {hash}", measurement.len()))
            })
    }
}
