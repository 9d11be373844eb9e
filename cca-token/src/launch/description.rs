// SPDX-License-Identifier: BSD-3-Clause
//! The launch description as it is written: TOML or JSON.

use std::path::PathBuf;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// A launch description.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Version of the format: 1.
    pub version: u64,
    /// The Realm's parameters.
    pub realm: Realm,
    /// What the Host does after RMI_REALM_CREATE, in its order.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// Parameters of RMI_REALM_CREATE.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    /// Interface through which the Host makes the Realm: `1.0`, also if absent, or `2.0`.
    pub rmi: Option<String>,
    /// `sha-256` or `sha-512`; with RMI 2.0 also `sha-384`.
    pub hash: String,
    /// IPA width in bits (`s2sz`).
    pub ipa_bits: u8,
    /// Whether LPA2 is used.
    #[serde(default)]
    pub lpa2: bool,
    /// SVE vector length in bits, a multiple of 128. Absent: no SVE.
    pub sve_bits: Option<u16>,
    /// Number of breakpoints, 2 to 64.
    pub breakpoints: u16,
    /// Number of watchpoints, 2 to 64.
    pub watchpoints: u16,
    /// Number of PMU counters. Absent: no PMU.
    pub pmu_counters: Option<u8>,
    /// First level of the stage 2 tables. Absent: the one with the fewest levels.
    pub start_level: Option<i8>,
    /// Realm Personalization Value, hexadecimal, filled up with zeros to 64 bytes. Not measured.
    pub rpv: Option<String>,
    /// Fields of RmiRealmParams for a Host that passes something else than the above.
    #[serde(default)]
    pub raw: Raw,
}

/// Fields of RmiRealmParams by the specification's names, as the Host passes them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// `flags`
    pub flags: Option<Number>,
    /// `sve_vl`
    pub sve_vl: Option<u8>,
    /// `num_bps`
    pub num_bps: Option<u8>,
    /// `num_wps`
    pub num_wps: Option<u8>,
    /// `pmu_num_ctrs`
    pub pmu_num_ctrs: Option<u8>,
}

/// One thing that the Host does.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// RMI_RTT_INIT_RIPAS until [base, top) is RAM, creating tables as needed.
    InitRipas {
        /// First IPA.
        base: Number,
        /// First IPA after the range.
        top: Number,
    },
    /// RMI_DATA_CREATE page by page, in ascending order.
    Data {
        /// IPA of the first page.
        ipa: Number,
        /// The content. Absent: zeros.
        file: Option<PathBuf>,
        /// Bytes that are populated, from the beginning of the file and with zeros after its end. Absent: the
        /// file, filled up to a page.
        size: Option<Number>,
        /// Whether the content is measured.
        #[serde(default = "yes")]
        measure: bool,
    },
    /// RMI_DATA_CREATE_UNKNOWN page by page: not measured.
    DataUnknown {
        /// IPA of the first page.
        ipa: Number,
        /// Bytes, a multiple of 4 KiB.
        size: Number,
    },
    /// RMI_RTT_CREATE ahead of need: not measured, but it makes later `init_ripas` entries smaller.
    RttCreate {
        /// First IPA.
        base: Number,
        /// First IPA after the range.
        top: Number,
        /// Level down to which tables are created.
        level: i8,
    },
    /// RMI_REC_CREATE. Indices count from 0 in the order of creation.
    Rec {
        /// The REC's index, as a check of the description.
        index: u64,
        /// Whether it can run at once. Other RECs are not measured.
        #[serde(default = "yes")]
        runnable: bool,
        /// Entry point, an IPA.
        #[serde(default)]
        pc: Number,
        /// X0 to X7; missing ones are zero.
        #[serde(default)]
        gprs: Vec<Number>,
    },
}

fn yes() -> bool {
    true
}

/// A number of 64 bits: an integer, or text such as `"0x8000_0000"` where the file format has no such number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of 64 bits, or text such as \"0x8000_0000\"")
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n))
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Number, E> {
                u64::try_from(n)
                    .map(Number)
                    .map_err(|_| E::custom(format_args!("{n} is negative")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                let digits = text.replace('_', "");
                let (digits, radix) = match digits.strip_prefix("0x") {
                    Some(hex) => (hex, 16),
                    None => (digits.as_str(), 10),
                };
                // The parser alone would take a sign.
                let parsed = match digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    true => u64::from_str_radix(digits, radix).ok(),
                    false => None,
                };
                parsed
                    .map(Number)
                    .ok_or_else(|| E::custom(format_args!("{text:?} is not a number of 64 bits")))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// Reads JSON if the text begins with a brace, TOML otherwise.
///
/// # Errors
/// Not in the format; fields unknown, missing or of the wrong type; another version.
pub fn parse(text: &str) -> Result<Description, super::Error> {
    let description: Description = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| super::Error::new(e.to_string()))?
    } else {
        toml::from_str(text).map_err(|e| super::Error::new(e.to_string()))?
    };
    if description.version != 1 {
        return Err(super::Error::new(format!(
            "version {} is not known, 1 is",
            description.version
        )));
    }
    Ok(description)
}
