// SPDX-License-Identifier: BSD-3-Clause
//! Launch descriptions: as TOML and as JSON they say the same, and where they are measured, a Host that
//! does what they say on a machine with this monitor gets the same RIM after each step, by either
//! interface.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]

mod replay;
mod text;

use arbitrary::Arbitrary;
use cca_token::launch::description::{Raw, parse};
use cca_token::launch::{Description, Number, Realm, Step, measure, rpv};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Most steps of a launch.
const STEPS: usize = 10;

const PAGE: u64 = 0x1000;

/// Size of the file that descriptions name.
pub const FILE_SIZE: usize = 5000;

/// A folder with a file for descriptions.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-launch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("content"), content()).expect("a file");
    folder
});

/// What is in the file.
pub fn content() -> Vec<u8> {
    (1..=255).cycle().take(FILE_SIZE).collect()
}

/// A launch description, or bytes that may be one.
#[derive(Arbitrary, Debug)]
enum Input {
    Text(String),
    Rpv(String),
    Launch(Launch),
    AlsoLaunch(Launch),
}

/// A launch that mostly can be carried out.
#[derive(Arbitrary, Debug)]
struct Launch {
    rmi: u8,
    hash: u8,
    ipa_bits: u8,
    lpa2: bool,
    start_level: Option<i8>,
    sve: Option<u8>,
    pmu: Option<u8>,
    breakpoints: u8,
    rpv: Option<Vec<u8>>,
    raw: [Option<u8>; 5],
    steps: Vec<Action>,
}

/// A step.
#[derive(Arbitrary, Clone, Debug)]
enum Action {
    InitRipas(Place, Pages),
    /// The content is of the file.
    Data(Place, u8, Option<u16>, bool),
    DataUnknown(Place, u8),
    RttCreate(Place, u8, i8),
    Rec(u8, bool, u64, Vec<u64>),
}

/// An IPA.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// Pages behind a multiple of 2 MiB or 1 GiB.
    Near(u8, u8),
    Before(u8, u8),
    Any(u64),
}

/// The size of a range.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pages {
    Few(u8),
    /// In units of 2 MiB, and pages more.
    Blocks(u8, u8),
    /// In GiB.
    Large(u8),
}

impl Place {
    fn ipa(self) -> u64 {
        const AT: [u64; 6] = [0, 1 << 21, 1 << 30, 1 << 32, 1 << 39, 1 << 46];
        let place = |n: u8| AT[usize::from(n) % AT.len()];
        match self {
            Self::Near(n, pages) => place(n) + u64::from(pages % 64) * PAGE,
            Self::Before(n, pages) => place(n).saturating_sub(u64::from(pages % 16) * PAGE),
            Self::Any(ipa) => ipa,
        }
    }
}

impl Pages {
    fn bytes(self) -> u64 {
        match self {
            Self::Few(pages) => u64::from(pages % 32) * PAGE,
            Self::Blocks(blocks, pages) => {
                (u64::from(blocks % 40) << 21) + u64::from(pages % 8) * PAGE
            }
            Self::Large(gib) => u64::from(gib % 8) << 30,
        }
    }
}

impl Action {
    fn step(&self) -> Step {
        match self {
            Self::InitRipas(base, pages) => {
                let base = base.ipa();
                let top = base.saturating_add(pages.bytes());
                let (base, top) = (Number(base), Number(top));
                Step::InitRipas { base, top }
            }
            Self::Data(ipa, pages, size, measure) => Step::Data {
                ipa: Number(ipa.ipa()),
                file: size.map(|_| "content".into()),
                size: match size {
                    // All of the file.
                    Some(0) => None,
                    Some(size) => Some(Number((*size % 20_000).into())),
                    None => Some(Number(u64::from(pages % 4) * PAGE)),
                },
                measure: *measure,
            },
            Self::DataUnknown(ipa, pages) => Step::DataUnknown {
                ipa: Number(ipa.ipa()),
                size: Number(u64::from(pages % 4) * PAGE),
            },
            Self::RttCreate(base, pages, level) => {
                let base = base.ipa();
                let top = base.saturating_add(u64::from(pages % 16) * PAGE);
                let (base, top) = (Number(base), Number(top));
                Step::RttCreate {
                    base,
                    top,
                    level: level % 5,
                }
            }
            Self::Rec(index, runnable, pc, gprs) => Step::Rec {
                index: (*index).into(),
                runnable: *runnable,
                pc: Number(*pc),
                gprs: gprs.iter().take(9).copied().map(Number).collect(),
            },
        }
    }
}

impl Launch {
    fn description(&self) -> Description {
        let bits = [40, 40, 32, 33, 36, 39, 42, 44, 47, 48, 49, 52];
        let mut recs = 0;
        let mut steps: Vec<Step> = self.steps.iter().take(STEPS).map(Action::step).collect();
        for step in &mut steps {
            if let Step::Rec { index, .. } = step {
                // The next one, unless the input insists.
                if *index < 0xF0 {
                    *index = recs;
                }
                recs += 1;
            }
        }
        let [flags, sve_vl, num_bps, num_wps, pmu_num_ctrs] = self.raw;
        // Seldom: with them the monitor mostly refuses.
        let raw = |value: Option<u8>| value.filter(|value| value % 4 == 3);
        Description {
            version: 1,
            realm: Realm {
                rmi: [None, Some("1.0"), Some("2.0"), Some("2.0")][usize::from(self.rmi % 4)]
                    .map(Into::into),
                hash: ["sha-256", "sha-512", "sha-384"][usize::from(self.hash % 3)].into(),
                ipa_bits: bits[usize::from(self.ipa_bits) % bits.len()],
                lpa2: self.lpa2,
                sve_bits: self.sve.map(|n| u16::from(n % 5) * 128),
                breakpoints: u16::from(self.breakpoints % 5) + 2,
                watchpoints: 2 + u16::from(self.breakpoints / 128),
                pmu_counters: self.pmu.map(|n| n % 8),
                start_level: self.start_level.map(|level| level % 4),
                rpv: self.rpv.as_ref().map(|rpv| text::hex(rpv)),
                raw: Raw {
                    flags: raw(flags).map(|flags| Number((flags % 8).into())),
                    sve_vl: raw(sve_vl),
                    num_bps: raw(num_bps),
                    num_wps: raw(num_wps),
                    pmu_num_ctrs: raw(pmu_num_ctrs),
                },
            },
            steps,
        }
    }

    fn check(&self) {
        let description = self.description();
        for written in [text::toml(&description), text::json(&description)] {
            assert_eq!(parse(&written).as_ref(), Ok(&description), "{written}");
        }
        if let Ok(expected) = measure(&description, &FOLDER) {
            replay::check(&description, &expected);
        }
    }
}

fuzz_target!(|input: Input| {
    match input {
        // What was found in it is not carried out: it may name any file and take any time.
        Input::Text(text) => {
            let _description = parse(&text);
        }
        Input::Rpv(text) => {
            if let Ok(value) = rpv(&text) {
                let digits: String = text.split_ascii_whitespace().collect();
                assert!(text::hex(&value).starts_with(&digits.to_ascii_lowercase()));
            }
        }
        Input::Launch(launch) | Input::AlsoLaunch(launch) => launch.check(),
    }
});
