// SPDX-License-Identifier: BSD-3-Clause
//! The expected Realm Initial Measurement from a launch description, which VMM and verifier both read.
//!
//! README.md beside this crate documents the format. [`description`] is its syntax, [`measure`] its meaning.

pub mod description;
mod tables;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use description::{Description, Number, Realm, Step};

use crate::hash::HashAlgorithm;
use crate::rim::{GRANULE, RealmParams, Rim, Rmi};
use tables::Tables;

const PAGE: u64 = GRANULE as u64;

const FLAG_LPA2: u64 = 1 << 0;
const FLAG_SVE: u64 = 1 << 1;
const FLAG_PMU: u64 = 1 << 2;

/// What is wrong with a launch description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// What a launch leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Algorithm of the measurements.
    pub hash: HashAlgorithm,
    /// The RIM after RMI_REALM_CREATE and after each step.
    pub after: Vec<Vec<u8>>,
    /// The Realm Personalization Value, if the description has one.
    pub rpv: Option<[u8; 64]>,
}

impl Expected {
    /// The RIM when all is done.
    pub fn rim(&self) -> &[u8] {
        self.after.last().map_or(&[], Vec::as_slice)
    }
}

/// Reads the description at `path` and measures it. Files in it are relative to its folder.
///
/// # Errors
/// A file that cannot be read, a description that is not in the format, or one that no RMM would carry out.
pub fn measure_file(path: &Path) -> Result<Expected, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::new(e.to_string()))?;
    let description = description::parse(&text)?;
    measure(&description, path.parent().unwrap_or(Path::new("")))
}

/// Measures a launch. Files in it are relative to `folder`.
///
/// # Errors
/// A file that cannot be read, or a description that no RMM would carry out.
pub fn measure(description: &Description, folder: &Path) -> Result<Expected, Error> {
    let realm = &description.realm;
    let params = realm_params(realm)?;
    let rmi = rmi(realm)?;
    let rim = Rim::realm_create(rmi, &params)
        .ok_or_else(|| Error::new("RMI 1.0 does not measure with sha-384"))?;
    let mut host = Host {
        rmi,
        tables: Tables::new(
            realm.ipa_bits,
            params.flags & FLAG_LPA2 != 0,
            realm.start_level,
        )?,
        rim,
        recs: 0,
        folder,
    };
    let mut after = vec![host.rim.value().to_vec()];
    for (i, step) in description.steps.iter().enumerate() {
        host.step(step)
            .map_err(|e| Error::new(format!("step {i}: {e}")))?;
        after.push(host.rim.value().to_vec());
    }
    Ok(Expected {
        hash: params.hash,
        after,
        rpv: realm.rpv.as_deref().map(rpv).transpose()?,
    })
}

/// A Realm Personalization Value: hexadecimal, at most 64 bytes, filled up with zeros.
///
/// # Errors
/// Not hexadecimal, or longer.
pub fn rpv(text: &str) -> Result<[u8; 64], Error> {
    let bytes = crate::hex::decode(text).ok_or_else(|| Error::new("the RPV is not hexadecimal"))?;
    let mut rpv = [0; 64];
    rpv.get_mut(..bytes.len())
        .ok_or_else(|| Error::new("the RPV has more than 64 bytes"))?
        .copy_from_slice(&bytes);
    Ok(rpv)
}

/// Interface through which the Host makes the Realm.
///
/// # Errors
/// Another one than 1.0 and 2.0.
pub fn rmi(realm: &Realm) -> Result<Rmi, Error> {
    match realm.rmi.as_deref() {
        None | Some("1.0") => Ok(Rmi::V1),
        Some("2.0") => Ok(Rmi::V2),
        Some(other) => Err(Error::new(format!(
            "RMI {other:?} is not known, 1.0 and 2.0 are"
        ))),
    }
}

/// What the Host passes to RMI_REALM_CREATE, as far as RMI 1.0 measures it.
///
/// # Errors
/// A value that RMM 1.0 does not know.
pub fn realm_params(realm: &Realm) -> Result<RealmParams, Error> {
    let hash = HashAlgorithm::named(&realm.hash)
        .ok_or_else(|| Error::new(format!("{:?} is not a known hash algorithm", realm.hash)))?;
    let mut flags = 0;
    if realm.lpa2 {
        flags |= FLAG_LPA2;
    }
    let sve_vl = match realm.sve_bits {
        None => 0,
        Some(bits) if bits % 128 == 0 && (128..=2048).contains(&bits) => {
            flags |= FLAG_SVE;
            u8::try_from(bits / 128 - 1).unwrap_or(u8::MAX)
        }
        Some(bits) => {
            return Err(Error::new(format!(
                "an SVE vector length of {bits} bits is not a multiple of 128 up to 2048"
            )));
        }
    };
    let pmu_num_ctrs = match realm.pmu_counters {
        None => 0,
        Some(counters) if counters <= 31 => {
            flags |= FLAG_PMU;
            counters
        }
        Some(counters) => {
            return Err(Error::new(format!(
                "{counters} PMU counters are more than 31"
            )));
        }
    };
    let minus_one = |count: u16, what: &str| match count {
        // 0, that is a count of 1, is reserved (B4.4.12).
        2..=64 => Ok(u8::try_from(count - 1).unwrap_or(u8::MAX)),
        _ => Err(Error::new(format!("{count} {what} are not within 2..=64"))),
    };
    let raw = &realm.raw;
    Ok(RealmParams {
        flags: raw.flags.map_or(flags, |number| number.0),
        s2sz: realm.ipa_bits,
        sve_vl: raw.sve_vl.unwrap_or(sve_vl),
        num_bps: raw
            .num_bps
            .map_or_else(|| minus_one(realm.breakpoints, "breakpoints"), Ok)?,
        num_wps: raw
            .num_wps
            .map_or_else(|| minus_one(realm.watchpoints, "watchpoints"), Ok)?,
        pmu_num_ctrs: raw.pmu_num_ctrs.unwrap_or(pmu_num_ctrs),
        hash,
    })
}

/// The Host at work.
struct Host<'a> {
    rmi: Rmi,
    tables: Tables,
    rim: Rim,
    recs: u64,
    folder: &'a Path,
}

impl Host<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            // Whatever is there already; nothing is measured.
            Step::InitRipas { base, top } if self.rmi == Rmi::V2 => {
                self.tables.check_range(base.0, top.0)
            }
            Step::InitRipas { base, top } => {
                let rim = &mut self.rim;
                self.tables
                    .init_ripas(base.0, top.0, |base, top| rim.init_ripas_entry(base, top))
            }
            Step::Data {
                ipa,
                file,
                size,
                measure,
            } => self.data(ipa.0, file.as_deref(), *size, *measure),
            Step::DataUnknown { ipa, size } => self.tables.data(ipa.0, range_top(ipa.0, size.0)?),
            Step::RttCreate { base, top, level } => self.tables.create(base.0, top.0, *level),
            Step::Rec {
                index,
                runnable,
                pc,
                gprs,
            } => self.rec(*index, *runnable, pc.0, gprs),
        }
    }

    fn data(
        &mut self,
        ipa: u64,
        file: Option<&Path>,
        size: Option<Number>,
        measure: bool,
    ) -> Result<(), Error> {
        let (mut content, length): (Box<dyn Read>, u64) = match file {
            None => (Box::new(std::io::empty()), 0),
            Some(file) => {
                let path = self.folder.join(file);
                let refuse = |e: std::io::Error| Error::new(format!("{}: {e}", path.display()));
                let file = File::open(&path).map_err(refuse)?;
                let length = file.metadata().map_err(refuse)?.len();
                (Box::new(std::io::BufReader::new(file)), length)
            }
        };
        let size = match size {
            Some(size) => size.0,
            None => length,
        };
        if size < length {
            return Err(Error::new(format!(
                "the file has {length} bytes, more than size {size}"
            )));
        }
        if size == 0 {
            return Err(Error::new("there are no bytes to populate"));
        }
        let size = size
            .checked_next_multiple_of(PAGE)
            .ok_or_else(|| Error::new("size is too large"))?;
        let top = range_top(ipa, size)?;
        self.tables.data(ipa, top)?;
        let mut page_ipa = ipa;
        let mut left = length;
        while page_ipa < top {
            let mut page = [0; GRANULE];
            let here = usize::try_from(left.min(PAGE)).unwrap_or(GRANULE);
            content
                .read_exact(&mut page[..here])
                .map_err(|e| Error::new(format!("the file became shorter: {e}")))?;
            left -= here as u64;
            self.rim.data_create(page_ipa, measure.then_some(&page));
            page_ipa += PAGE;
        }
        Ok(())
    }

    fn rec(&mut self, index: u64, runnable: bool, pc: u64, gprs: &[Number]) -> Result<(), Error> {
        if index != self.recs {
            return Err(Error::new(format!(
                "the next REC has index {}, not {index}",
                self.recs
            )));
        }
        self.recs += 1;
        let mut values = [0; 8];
        if gprs.len() > values.len() {
            return Err(Error::new("a REC has eight initial registers, X0 to X7"));
        }
        for (value, given) in values.iter_mut().zip(gprs) {
            *value = given.0;
        }
        self.rim.rec_create(u64::from(runnable), pc, &values);
        Ok(())
    }
}

fn range_top(ipa: u64, size: u64) -> Result<u64, Error> {
    ipa.checked_add(size).ok_or_else(|| {
        Error::new(format!(
            "{size:#x} bytes from {ipa:#x} reach beyond 64 bits"
        ))
    })
}
