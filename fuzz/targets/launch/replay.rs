// SPDX-License-Identifier: BSD-3-Clause
//! A Host that does what a launch description says.

use super::{PAGE, content};
use cca_token::launch::{Description, Expected, Number, Step, realm_params, rmi};
use cca_token::rim::Rmi;
use rmm_abi::rmi::v2::fid as fid2;
use rmm_abi::rmi::{HashAlgorithm, RealmParams, index_to_mpidr};
use rmm_core::fake::v2::{self, Host2};
use rmm_core::fake::{Config, Host, Status, full_features, sweep};
use rmm_core::realm::Realm;
use rmm_granule::{Bank, Pa};
use zerocopy::{FromBytes, IntoBytes};

/// Most pages that a launch may need.
const PAGES: u64 = 700;

/// A launch in progress.
struct Launch<'h> {
    host: &'h Host,
    two: bool,
    rd: u64,
    algorithm: HashAlgorithm,
}

/// Asserts that a Realm that is made so has these measurements.
pub fn check(description: &Description, expected: &Expected) {
    let two = rmi(&description.realm) == Ok(Rmi::V2);
    let base = if two { Config::v2() } else { Config::default() };
    let config = Config {
        dram: vec![Bank {
            base: 0x8000_0000,
            size: PAGES * PAGE,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        cpus: 1,
        features: full_features(),
        ..base
    };
    if two {
        let host = Host2::with(config);
        host.leniently(|| launch(&host, two, description, expected));
        v2::sweep(&host);
    } else {
        let host = Host::with(config);
        host.leniently(|| launch(&host, two, description, expected));
        sweep(&host);
    }
}

fn launch(host: &Host, two: bool, description: &Description, expected: &Expected) {
    let Some(launch) = Launch::begin(host, two, description) else {
        // The machine has not what the description asks for.
        return;
    };
    let [first, after @ ..] = expected.after.as_slice() else {
        panic!("no measurement");
    };
    launch.compare(first, "RMI_REALM_CREATE");
    for (n, (step, rim)) in description.steps.iter().zip(after).enumerate() {
        if !launch.step(step) {
            return;
        }
        launch.compare(rim, &format!("step {n}: {step:x?}"));
    }
    assert_eq!(after.len(), description.steps.len());
}

impl<'h> Launch<'h> {
    fn begin(host: &'h Host, two: bool, description: &Description) -> Option<Self> {
        let realm = &description.realm;
        let measured = realm_params(realm).expect("it has been measured");
        // The first level that resolves enough bits, in up to 16 tables.
        let bits = |level: i64| i64::from(realm.ipa_bits) - (12 + 9 * (4 - level));
        let fewest = [2, 1, 0, -1].into_iter().find(|&level| bits(level) <= 4)?;
        let start_level = realm.start_level.map_or(fewest, i64::from);
        let tables = 1 << bits(start_level).max(0);
        let algorithm = match realm.hash.as_str() {
            "sha-256" => HashAlgorithm::Sha256,
            "sha-512" => HashAlgorithm::Sha512,
            _ => HashAlgorithm::Sha384,
        };
        let launch = Self {
            host,
            two,
            rd: 0,
            algorithm,
        };
        let base = host.pages(tables, tables * PAGE);
        let rd = host.page();
        for pa in (0..tables).map(|n| base + n * PAGE).chain([rd]) {
            launch.delegate(pa);
        }
        let bytes = if two {
            let mut params = v2::realm_params();
            (params.flags0, params.s2sz) = (measured.flags, measured.s2sz);
            (params.num_bps, params.num_wps) = (measured.num_bps, measured.num_wps);
            (params.sve_vl, params.pmu_num_ctrs) = (measured.sve_vl, measured.pmu_num_ctrs);
            (params.hash_algo, params.rtt_level_start) = (algorithm as u8, start_level);
            params.rtt_num_start = u32::try_from(tables).expect("16 at most");
            params.rtt_base = base;
            params.as_bytes().to_vec()
        } else {
            let mut params: RealmParams = zerocopy::FromZeros::new_zeroed();
            (params.flags, params.s2sz) = (measured.flags, measured.s2sz);
            (params.num_bps, params.num_wps) = (measured.num_bps, measured.num_wps);
            (params.sve_vl, params.pmu_num_ctrs) = (measured.sve_vl, measured.pmu_num_ctrs);
            (params.hash_algo, params.rtt_level_start) = (algorithm as u8, start_level);
            params.rtt_num_start = u32::try_from(tables).expect("16 at most");
            (params.rtt_base, params.vmid) = (base, 1);
            params.as_bytes().to_vec()
        };
        let params = host.page_with(&bytes);
        let is_made = host.realm_create(rd, params) == Status::Success;
        is_made.then_some(Self { rd, ..launch })
    }

    fn delegate(&self, pa: u64) {
        let status = if self.two {
            let args = [pa, pa + PAGE];
            self.host
                .call(fid2::RMI_GRANULE_RANGE_DELEGATE, &args)
                .status
        } else {
            self.host.granule_delegate(pa)
        };
        assert_eq!(status, Status::Success);
    }

    fn granule(&self) -> u64 {
        let pa = self.host.page();
        self.delegate(pa);
        pa
    }

    /// The RIM is as expected.
    fn compare(&self, expected: &[u8], when: &str) {
        let content = self.host.board().memory.peek(Pa(self.rd));
        let (realm, _) = Realm::read_from_prefix(&content).expect("an RD");
        let found = realm.measurements[0].digest(self.algorithm);
        assert!(found == expected, "another RIM after {when}");
    }

    /// Does a step. False if the Host cannot go on in this way.
    fn step(&self, step: &Step) -> bool {
        match step {
            Step::InitRipas { base, top } => self.init_ripas(base.0, top.0),
            Step::Data {
                ipa,
                file,
                size,
                measure,
            } => {
                let bytes = if file.is_some() {
                    content()
                } else {
                    Vec::new()
                };
                let size = size.map_or(bytes.len() as u64, |Number(size)| size);
                self.data(ipa.0, size.next_multiple_of(PAGE), &bytes, *measure)
            }
            Step::DataUnknown { ipa, size } => self.data_unknown(ipa.0, size.0),
            Step::RttCreate { base, top, level } => {
                let first = base.0 / PAGE;
                (first..top.0 / PAGE).all(|page| self.tables(page * PAGE, (*level).into()))
            }
            Step::Rec {
                index,
                runnable,
                pc,
                gprs,
            } => self.rec(*index, *runnable, pc.0, gprs),
        }
    }

    /// Creates the RTTs that are missing for `ipa` down to `level`.
    fn tables(&self, ipa: u64, level: i64) -> bool {
        loop {
            let size = 1_u64 << (12 + 9 * (3 - level));
            let base = ipa & !(size - 1);
            let (status, entry) = self.host.rtt_read_entry(self.rd, base, level);
            assert_eq!(status, Status::Success, "{ipa:#x}");
            if entry.level >= level {
                return true;
            }
            if !self.table(ipa, entry.level + 1) {
                return false;
            }
        }
    }

    /// RMI_RTT_CREATE.
    fn table(&self, ipa: u64, level: i64) -> bool {
        let size = 1_u64 << (12 + 9 * (4 - level));
        let status = self
            .host
            .rtt_create(self.rd, self.granule(), ipa & !(size - 1), level);
        status == Status::Success
    }

    fn init_ripas(&self, base: u64, top: u64) -> bool {
        let mut next = base;
        while next < top {
            let (status, out_top) = self.host.rtt_init_ripas(self.rd, next, top);
            match status {
                Status::Success => next = out_top,
                Status::Rtt(level) if level < 3 => {
                    if !self.table(next, i64::from(level) + 1) {
                        return false;
                    }
                }
                // Of RMI 2.0 nothing is measured: whether it succeeds makes no difference.
                _ => {
                    assert!(self.two, "RMI_RTT_INIT_RIPAS at {next:#x}: {status:?}");
                    return true;
                }
            }
        }
        true
    }

    fn data(&self, ipa: u64, size: u64, bytes: &[u8], measure: bool) -> bool {
        let mut parts = bytes.chunks(4096);
        for ipa in (ipa..ipa + size).step_by(4096) {
            if !self.tables(ipa, 3) {
                return false;
            }
            let source = self.host.page_with(parts.next().unwrap_or(&[]));
            let args = [self.rd, self.granule(), ipa, source, measure.into()];
            // The identifier is the same in both interfaces.
            let status = self.host.call(fid2::RMI_RTT_DATA_MAP_INIT, &args).status;
            assert_eq!(status, Status::Success, "data at {ipa:#x}");
        }
        true
    }

    fn data_unknown(&self, ipa: u64, size: u64) -> bool {
        for ipa in (ipa..ipa + size).step_by(4096) {
            if !self.tables(ipa, 3) {
                return false;
            }
            let data = self.granule();
            let status = if self.two {
                let args = [self.rd, ipa, ipa + PAGE, 1, data | 1 << 2];
                self.host.call(fid2::RMI_RTT_DATA_MAP, &args).status
            } else {
                self.host.data_create_unknown(self.rd, data, ipa)
            };
            assert_eq!(status, Status::Success, "data at {ipa:#x}");
        }
        true
    }

    fn rec(&self, index: u64, runnable: bool, pc: u64, gprs: &[Number]) -> bool {
        let mut values = [0; 8];
        for (value, Number(given)) in values.iter_mut().zip(gprs) {
            *value = *given;
        }
        let bytes = if self.two {
            let mut params = v2::rec_params(index, runnable);
            (params.pc, params.gprs) = (pc, values);
            params.as_bytes().to_vec()
        } else {
            let mut params: rmm_abi::rmi::RecParams = zerocopy::FromZeros::new_zeroed();
            params.flags = runnable.into();
            params.mpidr = index_to_mpidr(index);
            (params.pc, params.gprs) = (pc, values);
            let (_, count) = self.host.rec_aux_count(self.rd);
            params.num_aux = count;
            for aux in params
                .aux
                .iter_mut()
                .take(usize::try_from(count).expect("small"))
            {
                *aux = self.granule();
            }
            params.as_bytes().to_vec()
        };
        let params = self.host.page_with(&bytes);
        self.host.rec_create(self.rd, self.granule(), params) == Status::Success
    }
}
