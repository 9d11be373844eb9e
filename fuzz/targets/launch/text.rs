// SPDX-License-Identifier: BSD-3-Clause
//! Writes launch descriptions as TOML and as JSON.

use cca_token::launch::{Description, Number, Step};

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number: TOML has none above 63 bits, so those are text. Odd ones are text, too, in both formats.
fn number(Number(value): Number) -> String {
    match value {
        0..=0x7FFF_FFFF_FFFF_FFFF if value % 2 == 0 => value.to_string(),
        _ if value % 3 == 0 => format!("\"{value}\""),
        _ => format!("\"0x{:x}_{:08x}\"", value >> 32, value & 0xFFFF_FFFF),
    }
}

fn text(value: &str) -> String {
    format!("\"{value}\"")
}

/// Names and values of the fields of the Realm, and those of `raw`.
fn realm(description: &Description) -> [Vec<(&'static str, String)>; 2] {
    let realm = &description.realm;
    let mut fields = vec![
        ("hash", text(&realm.hash)),
        ("ipa_bits", realm.ipa_bits.to_string()),
        ("lpa2", realm.lpa2.to_string()),
        ("breakpoints", realm.breakpoints.to_string()),
        ("watchpoints", realm.watchpoints.to_string()),
    ];
    fields.extend(realm.rmi.as_deref().map(|rmi| ("rmi", text(rmi))));
    fields.extend(realm.sve_bits.map(|bits| ("sve_bits", bits.to_string())));
    fields.extend(realm.pmu_counters.map(|n| ("pmu_counters", n.to_string())));
    fields.extend(realm.start_level.map(|n| ("start_level", n.to_string())));
    fields.extend(realm.rpv.as_deref().map(|rpv| ("rpv", text(rpv))));
    let raw = &realm.raw;
    let mut own = Vec::new();
    own.extend(raw.flags.map(|n| ("flags", number(n))));
    own.extend(raw.sve_vl.map(|n| ("sve_vl", n.to_string())));
    own.extend(raw.num_bps.map(|n| ("num_bps", n.to_string())));
    own.extend(raw.num_wps.map(|n| ("num_wps", n.to_string())));
    own.extend(raw.pmu_num_ctrs.map(|n| ("pmu_num_ctrs", n.to_string())));
    [fields, own]
}

/// Names and values of the fields of a step.
fn step(step: &Step) -> Vec<(&'static str, String)> {
    match step {
        Step::InitRipas { base, top } => vec![
            ("op", text("init_ripas")),
            ("base", number(*base)),
            ("top", number(*top)),
        ],
        Step::Data {
            ipa,
            file,
            size,
            measure,
        } => {
            let mut fields = vec![("op", text("data")), ("ipa", number(*ipa))];
            fields.extend(
                file.as_ref()
                    .map(|file| ("file", text(&file.to_string_lossy()))),
            );
            fields.extend(size.map(|size| ("size", number(size))));
            if !measure {
                fields.push(("measure", "false".into()));
            }
            fields
        }
        Step::DataUnknown { ipa, size } => vec![
            ("op", text("data_unknown")),
            ("ipa", number(*ipa)),
            ("size", number(*size)),
        ],
        Step::RttCreate { base, top, level } => vec![
            ("op", text("rtt_create")),
            ("base", number(*base)),
            ("top", number(*top)),
            ("level", level.to_string()),
        ],
        Step::Rec {
            index,
            runnable,
            pc,
            gprs,
        } => {
            let gprs: Vec<String> = gprs.iter().map(|gpr| number(*gpr)).collect();
            vec![
                ("op", text("rec")),
                ("index", index.to_string()),
                ("runnable", runnable.to_string()),
                ("pc", number(*pc)),
                ("gprs", format!("[{}]", gprs.join(", "))),
            ]
        }
    }
}

/// The description as TOML.
pub fn toml(description: &Description) -> String {
    let lines = |fields: Vec<(&str, String)>| -> String {
        let lines = fields
            .into_iter()
            .map(|(name, value)| format!("{name} = {value}\n"));
        lines.collect()
    };
    let [realm, raw] = realm(description).map(lines);
    let steps = description.steps.iter();
    let steps: String = steps
        .map(|s| format!("[[step]]\n{}", lines(step(s))))
        .collect();
    format!("version = 1\n[realm]\n{realm}[realm.raw]\n{raw}{steps}")
}

/// The description as JSON.
pub fn json(description: &Description) -> String {
    let object = |fields: Vec<(&str, String)>| {
        let fields = fields
            .into_iter()
            .map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    };
    let [mut realm, raw] = realm(description);
    realm.push(("raw", object(raw)));
    let steps: Vec<String> = description.steps.iter().map(|s| object(step(s))).collect();
    let realm = object(realm);
    format!(
        "{{\"version\": 1, \"realm\": {realm}, \"step\": [{}]}}",
        steps.join(", ")
    )
}
