// SPDX-License-Identifier: BSD-3-Clause
//! What makes a token trustworthy, and whether it is what the relying party expects.
//!
//! The order follows trust. Nothing is believed until the platform token's signature is that of a trust
//! anchor; the RAK is believed only when the platform token names its hash; the Realm's claims only when
//! the RAK signed them. A failure on this chain ends verification. The expectations after it are checked
//! all, so that one run shows every difference.

use std::fmt;

use crate::cbor::Error;
use crate::hash::HashAlgorithm;
use crate::keys::{Curve, PublicKey, TEST_KEYS};
use crate::platform::{Lifecycle, PlatformProfile};
use crate::realm::{REALM_PROFILE, REALM_PROFILE_2_0};
use crate::token::{Envelope, Token};

/// What the relying party trusts and expects. `None` means that the relying party does not ask.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Keys that may sign platform tokens. If there is none the verdict is never [`Verdict::Verified`].
    pub anchors: Vec<PublicKey>,
    /// The challenge of this very exchange.
    pub challenge: Option<[u8; 64]>,
    /// Realm Initial Measurements, any of which is accepted.
    pub rims: Option<Vec<Vec<u8>>>,
    /// Realm Extensible Measurements by index.
    pub rems: [Option<Vec<u8>>; 4],
    /// Realm Personalization Value.
    pub rpv: Option<[u8; 64]>,
    /// Lifecycle states that are accepted.
    pub lifecycles: Vec<Lifecycle>,
    /// Implementation ids, any of which is accepted.
    pub implementation_ids: Option<Vec<[u8; 32]>>,
    /// Instance ids, any of which is accepted.
    pub instance_ids: Option<Vec<[u8; 33]>>,
    /// Firmware components: every component of the platform must be among them.
    pub components: Option<Vec<ExpectedComponent>>,
    /// Whether keys that anybody can sign with are accepted.
    pub allow_test_keys: bool,
    /// The keys that anybody can sign with.
    pub test_keys: &'static [([u8; 32], &'static str)],
}

/// A firmware component that the relying party accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedComponent {
    /// Its measurement.
    pub measurement: Vec<u8>,
    /// Hash of the key that signed it.
    pub signer_id: Vec<u8>,
}

impl Default for Policy {
    /// Trusts nobody, expects nothing, accepts secured platforms without test keys.
    fn default() -> Self {
        Self {
            anchors: Vec::new(),
            challenge: None,
            rims: None,
            rems: [const { None }; 4],
            rpv: None,
            lifecycles: vec![Lifecycle::Secured],
            implementation_ids: None,
            instance_ids: None,
            components: None,
            allow_test_keys: false,
            test_keys: TEST_KEYS,
        }
    }
}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds. The text says what was found.
    Passed(String),
    /// It does not hold, and why.
    Failed(String),
    /// The policy does not ask for it.
    NotAsked,
    /// An earlier failure makes it meaningless.
    NotReached,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, as in [`CHECKS`].
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

/// The names of all checks, in their order.
pub const CHECKS: &[&str] = &[
    PLATFORM_PROFILE,
    PLATFORM_SIGNATURE,
    REALM_PROFILE_CHECK,
    RAK,
    RAK_BINDING,
    REALM_SIGNATURE,
    PLATFORM_HASH,
    REALM_HASH,
    LIFECYCLE,
    IMPLEMENTATION_ID,
    INSTANCE_ID,
    COMPONENTS,
    CHALLENGE,
    RIM,
    REMS,
    RPV,
];

const PLATFORM_PROFILE: &str = "platform-profile";
const PLATFORM_SIGNATURE: &str = "platform-signature";
const REALM_PROFILE_CHECK: &str = "realm-profile";
const RAK: &str = "realm-key";
const RAK_BINDING: &str = "realm-key-binding";
const REALM_SIGNATURE: &str = "realm-signature";
const PLATFORM_HASH: &str = "platform-hash-algorithms";
const REALM_HASH: &str = "realm-hash-algorithm";
const LIFECYCLE: &str = "lifecycle";
const IMPLEMENTATION_ID: &str = "implementation-id";
const INSTANCE_ID: &str = "instance-id";
const COMPONENTS: &str = "software-components";
const CHALLENGE: &str = "challenge";
const RIM: &str = "rim";
const REMS: &str = "rem";
const RPV: &str = "rpv";

/// What the checks come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything holds, and a trust anchor signed for the platform.
    Verified,
    /// A check failed: its name and why. The first one, if there are several.
    Refused(String),
    /// Nothing failed, but there was no trust anchor: anybody could have made this token.
    PlatformNotAuthenticated,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::PlatformNotAuthenticated => f.write_str("platform not authenticated"),
        }
    }
}

/// The checks of one token and their verdict.
#[derive(Clone, Debug)]
pub struct Report {
    /// One entry for each of [`CHECKS`], in that order.
    pub checks: Vec<Check>,
    /// What they come to.
    pub verdict: Verdict,
    /// Names of the test keys that were accepted. If there is one, the token proves nothing.
    pub test_keys: Vec<&'static str>,
}

/// The RAK of `token`, in the encoding that its profiles prescribe.
///
/// # Errors
/// It is malformed, or not on its curve.
pub fn realm_key(token: &Token) -> Result<PublicKey, Error> {
    let claims = &token.realm_claims;
    let raw = claims.profile.is_none()
        && PlatformProfile::named(&token.platform_claims.profile) == Some(PlatformProfile::Ssd100);
    if raw {
        PublicKey::from_raw(&claims.public_key, claims.public_key_offset)
    } else {
        PublicKey::from_cose_key(&claims.public_key, claims.public_key_offset)
    }
}

/// Judges `token` by `policy`.
pub fn verify(token: &Token, policy: &Policy) -> Report {
    let mut checks: Vec<Check> = Vec::with_capacity(CHECKS.len());
    let mut test_keys = Vec::new();
    let trusted = chain_of_trust(token, policy, &mut checks, &mut test_keys);
    if trusted {
        expectations(token, policy, &mut checks);
    }
    let failed = checks.iter().find_map(|check| match &check.outcome {
        Outcome::Failed(why) => Some(format!("{}: {why}", check.name)),
        _ => None,
    });
    let verdict = match failed {
        Some(why) => Verdict::Refused(why),
        None if policy.anchors.is_empty() => Verdict::PlatformNotAuthenticated,
        None => Verdict::Verified,
    };
    for name in CHECKS.iter().skip(checks.len()) {
        checks.push(Check {
            name,
            outcome: Outcome::NotReached,
        });
    }
    Report {
        checks,
        verdict,
        test_keys,
    }
}

type Finding = Result<String, String>;

/// Adds checks until one fails. Whether the token's origin is established; without any trust anchor the
/// platform's signature counts as not asked for.
fn chain_of_trust(
    token: &Token,
    policy: &Policy,
    checks: &mut Vec<Check>,
    test_keys: &mut Vec<&'static str>,
) -> bool {
    let platform = &token.platform_claims;
    let realm = &token.realm_claims;

    let profile = PlatformProfile::named(&platform.profile)
        .map(|_| platform.profile.clone())
        .ok_or_else(|| format!("{:?} is not a known platform profile", platform.profile));
    if !record(checks, PLATFORM_PROFILE, profile) {
        return false;
    }

    if policy.anchors.is_empty() {
        skip(checks, PLATFORM_SIGNATURE);
    } else if !record(
        checks,
        PLATFORM_SIGNATURE,
        platform_signature(token, policy, test_keys),
    ) {
        return false;
    }

    let profile = match realm.profile.as_deref() {
        None => Ok("absent: the platform profile covers the Realm token".into()),
        Some(REALM_PROFILE) => Ok(REALM_PROFILE.into()),
        // Claims as Arm's tokens of 1.0 have them, in an envelope of its own.
        Some(REALM_PROFILE_2_0) if token.envelope == Envelope::Tag907 => {
            Ok(REALM_PROFILE_2_0.into())
        }
        Some(other) => Err(format!("{other:?} is not a known Realm profile")),
    };
    if !record(checks, REALM_PROFILE_CHECK, profile) {
        return false;
    }

    let key = realm_key(token);
    let usable = key
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|key| usable_rak(key, policy, test_keys));
    let (Ok(key), true) = (key, record(checks, RAK, usable)) else {
        return false;
    };

    let binding = HashAlgorithm::named(&realm.key_hash_algorithm)
        .ok_or_else(|| {
            format!(
                "{:?} is not a known hash algorithm",
                realm.key_hash_algorithm
            )
        })
        .and_then(|hash| {
            if hash.digest(&realm.public_key) == platform.challenge {
                Ok(format!(
                    "the platform token holds the {hash} of the Realm public key"
                ))
            } else {
                Err(format!(
                    "the platform token holds another hash than the {hash} of the Realm public key"
                ))
            }
        });
    if !record(checks, RAK_BINDING, binding) {
        return false;
    }

    let signature = if key.verifies(
        token.realm.algorithm,
        &token.realm.signed_bytes(),
        &token.realm.signature,
    ) {
        Ok(format!("{} by the Realm public key", token.realm.algorithm))
    } else {
        Err(format!(
            "{} signature is not by the Realm public key",
            token.realm.algorithm
        ))
    };
    record(checks, REALM_SIGNATURE, signature)
}

fn platform_signature(
    token: &Token,
    policy: &Policy,
    test_keys: &mut Vec<&'static str>,
) -> Finding {
    let sign1 = &token.platform;
    let message = sign1.signed_bytes();
    let signer = policy
        .anchors
        .iter()
        .find(|anchor| anchor.verifies(sign1.algorithm, &message, &sign1.signature))
        .ok_or_else(|| format!("{} signature is not by any trust anchor", sign1.algorithm))?;
    let warning = refuse_test_key(signer, policy, test_keys)?;
    Ok(format!(
        "{} by {}{warning}",
        sign1.algorithm,
        crate::hex::encode(&signer.fingerprint())
    ))
}

fn usable_rak(key: &PublicKey, policy: &Policy, test_keys: &mut Vec<&'static str>) -> Finding {
    if key.curve() != Curve::P384 {
        return Err(format!(
            "the Realm public key is on {}, not P-384",
            key.curve()
        ));
    }
    let warning = refuse_test_key(key, policy, test_keys)?;
    Ok(format!(
        "{}, {}{warning}",
        key.curve(),
        crate::hex::encode(&key.fingerprint())
    ))
}

/// Refuses a test key, unless the policy allows it; then returns a warning for the report.
fn refuse_test_key(key: &PublicKey, policy: &Policy, accepted: &mut Vec<&'static str>) -> Finding {
    match key.name_among(policy.test_keys) {
        None => Ok(String::new()),
        Some(name) if policy.allow_test_keys => {
            accepted.push(name);
            Ok(format!(" ({name}, a test key)"))
        }
        Some(name) => Err(format!("{name}: a test key, with which anybody can sign")),
    }
}

fn expectations(token: &Token, policy: &Policy, checks: &mut Vec<Check>) {
    let platform = &token.platform_claims;
    let realm = &token.realm_claims;

    let fits =
        |mismatch: Option<String>, name: &str| mismatch.map_or_else(|| Ok(name.to_string()), Err);
    record(
        checks,
        PLATFORM_HASH,
        fits(platform.hash_mismatch(), &platform.hash_algorithm),
    );
    record(
        checks,
        REALM_HASH,
        fits(realm.hash_mismatch(), &realm.hash_algorithm),
    );

    let lifecycle = match Lifecycle::of(platform.lifecycle) {
        Some(state) if policy.lifecycles.contains(&state) => {
            Ok(format!("{state} ({:#06x})", platform.lifecycle))
        }
        Some(state) => Err(format!(
            "{state} ({:#06x}) is not accepted",
            platform.lifecycle
        )),
        None => Err(format!(
            "{:#06x} is outside every range",
            platform.lifecycle
        )),
    };
    record(checks, LIFECYCLE, lifecycle);

    one_of(
        checks,
        IMPLEMENTATION_ID,
        policy.implementation_ids.as_deref(),
        &platform.implementation_id,
    );
    one_of(
        checks,
        INSTANCE_ID,
        policy.instance_ids.as_deref(),
        &platform.instance_id,
    );
    match &policy.components {
        None => skip(checks, COMPONENTS),
        Some(expected) => {
            record(checks, COMPONENTS, components(token, expected));
        }
    }
    let challenge = policy.challenge.map(|challenge| [challenge]);
    one_of(
        checks,
        CHALLENGE,
        challenge.as_ref().map(|c| &c[..]),
        &realm.challenge,
    );
    one_of(checks, RIM, policy.rims.as_deref(), &realm.rim);

    if policy.rems.iter().all(Option::is_none) {
        skip(checks, REMS);
    } else {
        let wrong = (0..)
            .zip(&policy.rems)
            .zip(&realm.rems)
            .find_map(|((i, expected), found)| {
                let expected = expected.as_ref()?;
                (expected != found).then(|| format!("REM[{i}] is {}", crate::hex::encode(found)))
            });
        record(
            checks,
            REMS,
            wrong.map_or_else(|| Ok("as expected".into()), Err),
        );
    }
    let rpv = policy.rpv.map(|rpv| [rpv]);
    one_of(checks, RPV, rpv.as_ref().map(|r| &r[..]), &realm.rpv);
}

fn components(token: &Token, expected: &[ExpectedComponent]) -> Finding {
    let found = &token.platform_claims.components;
    let stranger = found.iter().enumerate().find(|(_, component)| {
        !expected.iter().any(|accepted| {
            accepted.measurement == component.measurement
                && accepted.signer_id == component.signer_id
        })
    });
    match stranger {
        None => Ok(format!("{} components, all expected", found.len())),
        Some((i, component)) => Err(format!(
            "software component {i} ({}) has the measurement {} and the signer {}",
            component.kind.as_deref().unwrap_or("no type"),
            crate::hex::encode(&component.measurement),
            crate::hex::encode(&component.signer_id)
        )),
    }
}

/// Checks that `found` is one of the values `expected`, if the policy asks.
fn one_of<T: AsRef<[u8]>>(
    checks: &mut Vec<Check>,
    name: &'static str,
    expected: Option<&[T]>,
    found: &[u8],
) {
    let Some(expected) = expected else {
        return skip(checks, name);
    };
    let hex = crate::hex::encode(found);
    let finding = if expected.iter().any(|value| value.as_ref() == found) {
        Ok(hex)
    } else {
        Err(format!("{hex} is not expected"))
    };
    record(checks, name, finding);
}

fn skip(checks: &mut Vec<Check>, name: &'static str) {
    checks.push(Check {
        name,
        outcome: Outcome::NotAsked,
    });
}

/// Adds a check. Whether it holds.
fn record(checks: &mut Vec<Check>, name: &'static str, finding: Finding) -> bool {
    let holds = finding.is_ok();
    checks.push(Check {
        name,
        outcome: finding.map_or_else(Outcome::Failed, Outcome::Passed),
    });
    holds
}
