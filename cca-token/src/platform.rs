// SPDX-License-Identifier: BSD-3-Clause
//! Claims of the CCA platform token (RMM specification 1.0, A7.2.3.2).

use std::fmt;

use crate::cbor::{Error, Value};
use crate::claims::{Claim, Claims, HASH_SIZES};
use crate::hash::HashAlgorithm;

const PROFILE: Claim = Claim(265, "platform profile");
const CHALLENGE: Claim = Claim(10, "platform challenge");
const IMPLEMENTATION_ID: Claim = Claim(2396, "implementation id");
const INSTANCE_ID: Claim = Claim(256, "instance id");
const CONFIG: Claim = Claim(2401, "platform config");
const LIFECYCLE: Claim = Claim(2395, "security lifecycle");
const COMPONENTS: Claim = Claim(2399, "software components");
const VERIFICATION_SERVICE: Claim = Claim(2400, "verification service");
const HASH: Claim = Claim(2402, "platform hash algorithm");

const COMPONENT_TYPE: Claim = Claim(1, "component type");
const COMPONENT_MEASUREMENT: Claim = Claim(2, "component measurement");
const COMPONENT_VERSION: Claim = Claim(4, "component version");
const COMPONENT_SIGNER: Claim = Claim(5, "component signer id");
const COMPONENT_HASH: Claim = Claim(6, "component hash algorithm");

/// The generations of platform tokens that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformProfile {
    /// `http://arm.com/CCA-SSD/1.0.0`: before RMM 1.0 was released. The RAK is a bare point.
    Ssd100,
    /// `tag:arm.com,2023:cca_platform#1.0.0`: RMM 1.0. The RAK is a COSE_Key.
    Platform100,
}

impl PlatformProfile {
    /// The profile with this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "http://arm.com/CCA-SSD/1.0.0" => Some(Self::Ssd100),
            "tag:arm.com,2023:cca_platform#1.0.0" => Some(Self::Platform100),
            _ => None,
        }
    }
}

/// Security lifecycle state (A7.2.3.2.6): the high byte of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// 0x00.
    Unknown,
    /// 0x10.
    AssemblyAndTest,
    /// 0x20: provisioning of the platform's root of trust.
    Provisioning,
    /// 0x30: the one state in which a platform deserves trust.
    Secured,
    /// 0x40: Realm management can be debugged.
    NonPlatformRotDebug,
    /// 0x50: the root of trust can be debugged; its secrets are protected.
    RecoverableDebug,
    /// 0x60.
    Decommissioned,
}

impl Lifecycle {
    /// All states, in order.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::AssemblyAndTest,
        Self::Provisioning,
        Self::Secured,
        Self::NonPlatformRotDebug,
        Self::RecoverableDebug,
        Self::Decommissioned,
    ];

    /// The state that a claim's value means; `None` if it is outside every range. The low byte is
    /// implementation defined.
    pub fn of(value: u16) -> Option<Self> {
        let [high, _] = value.to_be_bytes();
        Self::ALL
            .into_iter()
            .find(|state| state.high_byte() == high)
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.to_string() == name)
    }

    fn high_byte(self) -> u8 {
        match self {
            Self::Unknown => 0x00,
            Self::AssemblyAndTest => 0x10,
            Self::Provisioning => 0x20,
            Self::Secured => 0x30,
            Self::NonPlatformRotDebug => 0x40,
            Self::RecoverableDebug => 0x50,
            Self::Decommissioned => 0x60,
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly-and-test",
            Self::Provisioning => "platform-rot-provisioning",
            Self::Secured => "secured",
            Self::NonPlatformRotDebug => "non-platform-rot-debug",
            Self::RecoverableDebug => "recoverable-platform-rot-debug",
            Self::Decommissioned => "decommissioned",
        })
    }
}

/// One firmware component of the platform.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its role, such as `RMM`.
    pub kind: Option<String>,
    /// Hash of its image or data.
    pub measurement: Vec<u8>,
    /// Its version, in its maker's form.
    pub version: Option<String>,
    /// Hash of the key that signed it.
    pub signer_id: Vec<u8>,
    /// Name of the algorithm of `measurement`, if it differs from the platform's.
    pub hash_algorithm: Option<String>,
}

/// The claims, well-formed but not believed.
#[derive(Clone, Debug)]
pub struct PlatformClaims {
    /// Name of the profile.
    pub profile: String,
    /// Binds the RAK: hash of the RAK's public key.
    pub challenge: Vec<u8>,
    /// The make of the platform.
    pub implementation_id: [u8; 32],
    /// This very platform (a UEID).
    pub instance_id: [u8; 33],
    /// Configuration that matters to security, in the maker's form.
    pub config: Vec<u8>,
    /// Security lifecycle, as claimed.
    pub lifecycle: u16,
    /// Firmware, at least one component.
    pub components: Vec<Component>,
    /// A verifier that the platform recommends. Never followed.
    pub verification_service: Option<String>,
    /// Name of the hash algorithm of the platform's measurements.
    pub hash_algorithm: String,
    /// Other claims: label and value in diagnostic notation.
    pub unknown: Vec<(String, String)>,
}

impl PlatformClaims {
    /// Reads the payload of the platform token, whose first byte has the offset `base`.
    ///
    /// # Errors
    /// Malformed CBOR; a claim missing, twice, of the wrong type or size; a lifecycle outside every range.
    pub fn parse(payload: &[u8], base: usize) -> Result<Self, Error> {
        let value = Value::parse(payload, base)?;
        let claims = Claims::of(&value, "the platform token's payload")?;
        let instance_id = claims.array::<33>(INSTANCE_ID)?;
        if instance_id[0] != 1 {
            return Err(Error::new(
                claims.require(INSTANCE_ID)?.offset,
                "claim 256 (instance id) does not begin with 01: not a random UEID",
            ));
        }
        let lifecycle = claims.unsigned16(LIFECYCLE)?;
        if Lifecycle::of(lifecycle).is_none() {
            return Err(Error::new(
                claims.require(LIFECYCLE)?.offset,
                format!("claim 2395 (security lifecycle) is {lifecycle:#06x}, outside every range"),
            ));
        }
        let list = claims.list(COMPONENTS)?;
        if list.is_empty() {
            return Err(Error::new(
                claims.require(COMPONENTS)?.offset,
                "claim 2399 (software components) is empty",
            ));
        }
        Ok(Self {
            profile: claims.text(PROFILE)?,
            challenge: claims.bytes(CHALLENGE, HASH_SIZES)?.content.to_vec(),
            implementation_id: claims.array(IMPLEMENTATION_ID)?,
            instance_id,
            config: claims.bytes(CONFIG, &[])?.content.to_vec(),
            lifecycle,
            components: list.iter().map(component).collect::<Result<_, _>>()?,
            verification_service: claims.optional_text(VERIFICATION_SERVICE)?,
            hash_algorithm: claims.text(HASH)?,
            unknown: claims.unknown(&[
                PROFILE,
                CHALLENGE,
                IMPLEMENTATION_ID,
                INSTANCE_ID,
                CONFIG,
                LIFECYCLE,
                COMPONENTS,
                VERIFICATION_SERVICE,
                HASH,
            ]),
        })
    }

    /// Why the hash algorithms named do not fit the measurements, if they do not.
    pub fn hash_mismatch(&self) -> Option<String> {
        let Some(platform) = HashAlgorithm::named(&self.hash_algorithm) else {
            return Some(format!(
                "{:?} is not a known hash algorithm",
                self.hash_algorithm
            ));
        };
        self.components
            .iter()
            .enumerate()
            .find_map(|(i, component)| {
                let hash = match &component.hash_algorithm {
                    None => platform,
                    Some(name) => match HashAlgorithm::named(name) {
                        Some(hash) => hash,
                        None => {
                            return Some(format!(
                                "software component {i}: {name:?} is not a known hash algorithm"
                            ));
                        }
                    },
                };
                (component.measurement.len() != hash.size()).then(|| {
                    format!(
                        "software component {i}: a measurement of {} bytes is not {hash}",
                        component.measurement.len()
                    )
                })
            })
    }
}

fn component(value: &Value<'_>) -> Result<Component, Error> {
    let claims = Claims::of(value, "a software component")?;
    Ok(Component {
        kind: claims.optional_text(COMPONENT_TYPE)?,
        measurement: claims
            .bytes(COMPONENT_MEASUREMENT, HASH_SIZES)?
            .content
            .to_vec(),
        version: claims.optional_text(COMPONENT_VERSION)?,
        signer_id: claims.bytes(COMPONENT_SIGNER, HASH_SIZES)?.content.to_vec(),
        hash_algorithm: claims.optional_text(COMPONENT_HASH)?,
    })
}
