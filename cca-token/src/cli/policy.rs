// SPDX-License-Identifier: BSD-3-Clause
//! Arguments that say what the relying party trusts and expects.

use std::path::PathBuf;

use cca_token::hex;
use cca_token::keys::{TEST_KEYS, read_anchors};
use cca_token::launch::{self, rpv};
use cca_token::platform::Lifecycle;
use cca_token::verify::{ExpectedComponent, Policy};

use crate::of;

// Not a doc comment: it would become the description of the command.
#[derive(clap::Args)]
pub struct PolicyArguments {
    /// File with keys that may sign platform tokens: PEM public keys, a JWK or a JWK set
    #[arg(long, value_name = "FILE", required_unless_present = "without_anchor")]
    anchor: Vec<PathBuf>,
    /// Do not authenticate the platform; the token is then never called verified
    #[arg(long, conflicts_with = "anchor")]
    without_anchor: bool,
    /// Accept platform and Realm keys with which anybody can sign, such as the samples of TF-A
    #[arg(long)]
    allow_test_keys: bool,
    /// Realm Initial Measurement; any of several is accepted
    #[arg(long, value_name = "HEX", required_unless_present_any = ["launch", "any_rim"])]
    rim: Vec<String>,
    /// Launch description whose RIM, and RPV if it has one, is accepted
    #[arg(long, value_name = "FILE")]
    launch: Vec<PathBuf>,
    /// Accept any Realm Initial Measurement
    #[arg(long, conflicts_with_all = ["rim", "launch"])]
    any_rim: bool,
    /// Realm Extensible Measurement, such as 0=HEX
    #[arg(long, value_name = "INDEX=HEX")]
    rem: Vec<String>,
    /// Realm Personalization Value, filled up with zeros to 64 bytes
    #[arg(long, value_name = "HEX")]
    rpv: Option<String>,
    /// Lifecycle state that is accepted: secured, recoverable-platform-rot-debug, non-platform-rot-debug, …
    #[arg(long, value_name = "STATE", default_value = "secured")]
    lifecycle: Vec<String>,
    /// Implementation id of the platform; any of several is accepted
    #[arg(long, value_name = "HEX")]
    implementation_id: Vec<String>,
    /// Instance id of the platform; any of several is accepted
    #[arg(long, value_name = "HEX")]
    instance_id: Vec<String>,
    /// Firmware component that is accepted: measurement and signer id. With this option every component of
    /// the platform must be accepted
    #[arg(long, value_name = "HEX:HEX")]
    component: Vec<String>,
}

impl PolicyArguments {
    /// The policy, without a challenge.
    pub fn policy(&self) -> Result<Policy, String> {
        let mut anchors = Vec::new();
        for path in &self.anchor {
            let file = std::fs::read(path).map_err(of(path))?;
            anchors.extend(read_anchors(&file).map_err(of(path))?);
        }
        // A test key as the only anchor would be refused for every token: say so at once.
        if !self.allow_test_keys && !anchors.is_empty() {
            let named: Vec<_> = anchors
                .iter()
                .filter_map(|key| key.name_among(TEST_KEYS))
                .collect();
            if named.len() == anchors.len() {
                return Err(format!(
                    "the trust anchor is the {}, with which anybody can sign; see --allow-test-keys",
                    named.join(", ")
                ));
            }
        }

        let mut rims = self
            .rim
            .iter()
            .map(|text| bytes("--rim", text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut expected_rpv = self
            .rpv
            .as_deref()
            .map(rpv)
            .transpose()
            .map_err(|e| format!("--rpv: {e}"))?;
        for path in &self.launch {
            let expected = launch::measure_file(path).map_err(of(path))?;
            rims.push(expected.rim().to_vec());
            match (expected_rpv, expected.rpv) {
                (Some(one), Some(other)) if one != other => {
                    return Err(of(path)("its RPV is another than the one expected"));
                }
                (None, given) => expected_rpv = given,
                _ => {}
            }
        }
        if let Some(rim) = rims.iter().find(|rim| ![32, 48, 64].contains(&rim.len())) {
            return Err(format!(
                "--rim: {} bytes are not the size of a hash",
                rim.len()
            ));
        }

        let mut rems = [const { None }; 4];
        for text in &self.rem {
            let parsed = text.split_once('=').and_then(|(index, value)| {
                Some((index.parse::<usize>().ok()?, hex::decode(value)?))
            });
            match parsed.and_then(|(index, value)| Some((rems.get_mut(index)?, value))) {
                Some((rem @ None, value)) => *rem = Some(value),
                Some(_) => return Err(format!("--rem {text}: the index is there twice")),
                None => {
                    return Err(format!(
                        "--rem {text}: not an index from 0 to 3, = and hexadecimal"
                    ));
                }
            }
        }

        let lifecycles = self
            .lifecycle
            .iter()
            .map(|name| {
                Lifecycle::named(name).ok_or_else(|| {
                    let names = Lifecycle::ALL.map(|state| state.to_string()).join(", ");
                    format!("--lifecycle {name}: not one of {names}")
                })
            })
            .collect::<Result<Vec<_>, _>>()?;

        let components = self
            .component
            .iter()
            .map(|text| {
                let parsed = text.split_once(':').and_then(|(measurement, signer)| {
                    Some(ExpectedComponent {
                        measurement: hex::decode(measurement)?,
                        signer_id: hex::decode(signer)?,
                    })
                });
                parsed.ok_or_else(|| format!("--component {text}: not hexadecimal:hexadecimal"))
            })
            .collect::<Result<Vec<_>, _>>()?;

        Ok(Policy {
            anchors,
            challenge: None,
            rims: (!self.any_rim).then_some(rims),
            rems,
            rpv: expected_rpv,
            lifecycles,
            implementation_ids: some(arrays("--implementation-id", &self.implementation_id)?),
            instance_ids: some(arrays("--instance-id", &self.instance_id)?),
            components: some(components),
            allow_test_keys: self.allow_test_keys,
            test_keys: TEST_KEYS,
        })
    }
}

/// A challenge: hexadecimal of at least 32 bytes, which a Realm fills up with zeros to 64 (A7.2.2).
pub fn challenge(text: &str) -> Result<[u8; 64], String> {
    let given = bytes("--challenge", text)?;
    if given.len() < 32 {
        return Err(format!(
            "--challenge: {} bytes are too few to be fresh, 32 to 64 are right",
            given.len()
        ));
    }
    let mut challenge = [0; 64];
    challenge
        .get_mut(..given.len())
        .ok_or("--challenge: more than 64 bytes")?
        .copy_from_slice(&given);
    Ok(challenge)
}

fn bytes(option: &str, text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).ok_or_else(|| format!("{option} {text}: not hexadecimal"))
}

fn arrays<const N: usize>(option: &str, texts: &[String]) -> Result<Vec<[u8; N]>, String> {
    texts
        .iter()
        .map(|text| {
            let given = bytes(option, text)?;
            <[u8; N]>::try_from(given)
                .map_err(|given| format!("{option}: {} bytes, not {N}", given.len()))
        })
        .collect()
}

fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}
