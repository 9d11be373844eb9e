// SPDX-License-Identifier: BSD-3-Clause
//! Random calls of both dialects to one monitor, compared with a model of the states that the
//! specification has: mode, granules, one Realm, its RECs and eight pages of its memory.
//!
//! `MODEL_STEPS` and `MODEL_SEED` choose the length and the sequence.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers on a 64-bit build machine"
)]

use rmm_abi::rmi::v2::fid;
use rmm_core::fake::v2::{Host2, realm_params, rec_params};
use rmm_core::fake::{
    Config, DESTROYED, EMPTY, Host, PAGE, RAM, Random, Status, audit, environment_number,
    environment_seed,
};
use rmm_granule::GranuleState;
use zerocopy::IntoBytes;

/// Steps of a sequence, and steps between two looks at all granules.
const STEPS: u64 = if cfg!(miri) { 200 } else { 20_000 };
const AUDIT: u64 = 500;

/// Pages that the calls use, and IPAs.
const PAGES: u64 = 12;
const IPAS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Undecided,
    V1,
    Init,
    Active,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    New,
    Active,
    Zombie,
}

/// The Realm that there may be; RMI 2.0 has made it.
#[derive(Clone, Debug)]
struct TheRealm {
    life: Life,
    /// RD, start-level RTT, and the tables of levels 1 to 3.
    rd: u64,
    tables: Vec<u64>,
    recs: Vec<u64>,
    next_index: u64,
    /// DATA and RIPAS of each page.
    entries: [(Option<u64>, u64); 8],
}

struct Model {
    mode: Mode,
    base: u64,
    realm: Option<TheRealm>,
    delegated: Vec<bool>,
    used: Vec<bool>,
}

impl Model {
    fn page(&self, n: u64) -> u64 {
        self.base + n * PAGE
    }

    fn number(&self, pa: u64) -> usize {
        usize::try_from((pa - self.base) / PAGE).expect("64 bits")
    }

    fn is_any_delegated(&self) -> bool {
        self.delegated.iter().any(|delegated| *delegated)
    }

    /// DELEGATED, and in no use.
    fn is_free(&self, pa: u64) -> bool {
        let n = self.number(pa);
        self.delegated[n] && !self.used[n]
    }

    fn take(&mut self, pa: u64) {
        let n = self.number(pa);
        assert!(!self.used[n]);
        self.used[n] = true;
    }

    fn release(&mut self, pa: u64) {
        let n = self.number(pa);
        assert!(self.used[n]);
        self.used[n] = false;
    }

    /// What a command answers that needs 2.0 and the RMM active; `None` if it is served.
    fn refusal(&self) -> Option<Status> {
        match self.mode {
            Mode::Active => None,
            Mode::Init => Some(Status::Global),
            Mode::Undecided | Mode::V1 => Some(Status::NotSupported),
        }
    }

    /// A command of 1.0 that is not in 2.0. Whether it is served.
    fn serves_v1(&mut self) -> bool {
        if self.mode == Mode::Undecided {
            self.mode = Mode::V1;
        }
        self.mode == Mode::V1
    }
}

/// A sequence of calls.
struct Sequence<'h> {
    host: &'h Host2,
    random: Random,
    model: Model,
    /// A page with parameters of a Realm, whose address of the start-level RTT is written each time.
    params: u64,
    config: u64,
    rec_params: u64,
    run: u64,
}

impl Sequence<'_> {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit as usize) as u64
    }

    fn any_page(&mut self) -> u64 {
        let n = self.below(PAGES);
        self.model.page(n)
    }

    /// The status of a call.
    fn status(&self, function: u64, args: &[u64]) -> Status {
        self.host.call(function, args).status
    }

    fn step(&mut self) {
        match self.below(20) {
            0 => self.version(),
            1 => self.activation(),
            2 => self.config(),
            3..=5 => self.delegate_range(),
            6 | 7 => self.undelegate_range(),
            8 => self.delegate_1_0(),
            9 => self.undelegate_1_0(),
            10 => self.realm_create(),
            11 => self.realm_life(),
            12 => self.realm_destroy(),
            13 => self.rec_create(),
            14 => self.rec_destroy(),
            15 => self.rec_enter(),
            16 | 17 => self.data_map(),
            18 => self.data_unmap(),
            _ => self.init_ripas(),
        }
    }

    fn version(&mut self) {
        let v2 = self.below(2) == 1;
        let requested = if v2 { 0x2_0000 } else { 0x1_0000 };
        let expected = (Status::Success, requested, 0x2_0000);
        assert_eq!(self.host.version(requested), expected);
        if self.model.is_any_delegated() {
            return;
        }
        self.model.mode = match (v2, self.model.mode) {
            (false, _) => Mode::V1,
            (true, Mode::Active) => Mode::Active,
            (true, _) => Mode::Init,
        };
    }

    fn activation(&mut self) {
        let activates = self.below(3) > 0;
        let (function, expected) = match (activates, self.model.mode) {
            (true, Mode::Init | Mode::Undecided) => {
                self.model.mode = Mode::Active;
                // Undecided, the call also chooses 2.0.
                (fid::RMI_RMM_ACTIVATE, Status::Success)
            }
            (true, Mode::Active) => (fid::RMI_RMM_ACTIVATE, Status::Global),
            (true, Mode::V1) => (fid::RMI_RMM_ACTIVATE, Status::NotSupported),
            (false, Mode::Active) if !self.model.is_any_delegated() => {
                self.model.mode = Mode::Init;
                (fid::RMI_RMM_DEACTIVATE, Status::Success)
            }
            (false, Mode::Active | Mode::Init) => (fid::RMI_RMM_DEACTIVATE, Status::Global),
            (false, _) => (fid::RMI_RMM_DEACTIVATE, Status::NotSupported),
        };
        assert_eq!(self.status(function, &[]), expected);
    }

    fn config(&mut self) {
        let expected = match self.model.mode {
            Mode::Undecided | Mode::Init => {
                self.model.mode = Mode::Init;
                Status::Success
            }
            Mode::Active => Status::Global,
            Mode::V1 => Status::NotSupported,
        };
        let args = [self.config];
        assert_eq!(self.status(fid::RMI_RMM_CONFIG_SET, &args), expected);
    }

    /// A range of pages.
    fn range(&mut self) -> (u64, u64) {
        let first = self.below(PAGES);
        let count = 1 + self.below(PAGES - first);
        (self.model.page(first), self.model.page(first + count))
    }

    /// Asserts what a command on a range answers that gets up to `reached`.
    fn assert_range(&self, function: u64, base: u64, top: u64, reached: u64) {
        let reply = self.host.call(function, &[base, top]);
        let expected = if reached == base {
            (Status::Input, 0)
        } else {
            (Status::Success, reached)
        };
        assert_eq!((reply.status, reply.x[1]), expected);
    }

    fn delegate_range(&mut self) {
        let (base, top) = self.range();
        let function = fid::RMI_GRANULE_RANGE_DELEGATE;
        if let Some(refusal) = self.model.refusal() {
            return assert_eq!(self.status(function, &[base, top]), refusal);
        }
        let mut reached = base;
        while reached < top {
            let n = self.model.number(reached);
            if self.model.delegated[n] {
                break;
            }
            self.model.delegated[n] = true;
            reached += PAGE;
        }
        self.assert_range(function, base, top, reached);
    }

    fn undelegate_range(&mut self) {
        let (base, top) = self.range();
        let function = fid::RMI_GRANULE_RANGE_UNDELEGATE;
        if let Some(refusal) = self.model.refusal() {
            return assert_eq!(self.status(function, &[base, top]), refusal);
        }
        let mut reached = base;
        while reached < top {
            let n = self.model.number(reached);
            if self.model.used[n] {
                break;
            }
            self.model.delegated[n] = false;
            reached += PAGE;
        }
        self.assert_range(function, base, top, reached);
    }

    fn delegate_1_0(&mut self) {
        let pa = self.any_page();
        let n = self.model.number(pa);
        let expected = match (self.model.serves_v1(), self.model.delegated[n]) {
            (false, _) => Status::NotSupported,
            (true, true) => Status::Input,
            (true, false) => {
                self.model.delegated[n] = true;
                Status::Success
            }
        };
        assert_eq!(self.host.granule_delegate(pa), expected);
    }

    fn undelegate_1_0(&mut self) {
        let pa = self.any_page();
        let n = self.model.number(pa);
        let is_free = self.model.is_free(pa);
        let expected = match (self.model.serves_v1(), is_free) {
            (false, _) => Status::NotSupported,
            (true, false) => Status::Input,
            (true, true) => {
                self.model.delegated[n] = false;
                Status::Success
            }
        };
        assert_eq!(self.host.granule_undelegate(pa), expected);
    }

    fn realm_create(&mut self) {
        if self.model.realm.is_some() || self.model.mode == Mode::V1 {
            return;
        }
        let [rd, root, one, two, three] = std::array::from_fn(|_| self.any_page());
        let mut params = realm_params();
        params.rtt_base = root;
        self.host.put(self.params, &params);
        let status = self.host.realm_create(rd, self.params);
        if self.model.mode == Mode::Undecided {
            // The call is one of 1.0, to which these parameters mean nothing.
            self.model.mode = Mode::V1;
            return assert_ne!(status, Status::Success);
        }
        if let Some(refusal) = self.model.refusal() {
            return assert_eq!(status, refusal);
        }
        let is_good = rd != root && self.model.is_free(rd) && self.model.is_free(root);
        let expected = if is_good {
            Status::Success
        } else {
            Status::Input
        };
        assert_eq!(status, expected);
        if !is_good {
            return;
        }
        self.model.take(rd);
        self.model.take(root);
        let mut realm = TheRealm {
            life: Life::New,
            rd,
            tables: vec![root],
            recs: Vec::new(),
            next_index: 0,
            entries: [(None, EMPTY); 8],
        };
        for (level, rtt) in (1..).zip([one, two, three]) {
            let is_free = self.model.is_free(rtt);
            let expected = match (is_free, realm.tables.len() as i64 == level) {
                (false, _) => Status::Input,
                (true, false) => Status::Rtt((realm.tables.len() - 1) as i8),
                (true, true) => Status::Success,
            };
            assert_eq!(self.host.rtt_create(rd, rtt, 0, level), expected);
            if expected == Status::Success {
                self.model.take(rtt);
                realm.tables.push(rtt);
            }
        }
        self.model.realm = Some(realm);
    }

    fn realm_life(&mut self) {
        let terminates = self.below(4) == 0;
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        let rd = realm.rd;
        if terminates {
            realm.life = Life::Zombie;
            return assert_eq!(self.host.realm_terminate(rd), Status::Success);
        }
        let expected = if realm.life == Life::New {
            realm.life = Life::Active;
            Status::Success
        } else {
            Status::Realm(0)
        };
        assert_eq!(self.host.realm_activate(rd), expected);
    }

    fn realm_destroy(&mut self) {
        let Some(realm) = self.model.realm.clone() else {
            return;
        };
        let level = realm.tables.len() - 1;
        if level > 0 {
            // The lowest table first.
            let is_live = realm.entries.iter().any(|(data, _)| data.is_some());
            let (status, rtt, _) = self.host.rtt_destroy(realm.rd, 0, level as i64);
            if is_live {
                return assert_eq!(status, Status::Rtt(3));
            }
            assert_eq!((status, rtt), (Status::Success, realm.tables[level]));
            self.model.release(rtt);
            let realm = self.model.realm.as_mut().expect("it is there");
            realm.tables.pop();
            realm.entries = [(None, DESTROYED); 8];
            return;
        }
        let is_good = realm.life == Life::Zombie && realm.recs.is_empty();
        let expected = if is_good {
            Status::Success
        } else {
            Status::Realm(0)
        };
        assert_eq!(self.host.realm_destroy(realm.rd), expected);
        if is_good {
            self.model.release(realm.rd);
            self.model.release(realm.tables[0]);
            self.model.realm = None;
        }
    }

    fn rec_create(&mut self) {
        let rec = self.any_page();
        let is_free = self.model.is_free(rec);
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        self.host
            .put(self.rec_params, &rec_params(realm.next_index, true));
        let expected = match (is_free, realm.life) {
            (false, _) => Status::Input,
            (true, Life::New) => Status::Success,
            (true, _) => Status::Realm(0),
        };
        assert_eq!(
            self.host.rec_create(realm.rd, rec, self.rec_params),
            expected
        );
        if expected == Status::Success {
            realm.recs.push(rec);
            realm.next_index += 1;
            self.model.take(rec);
        }
    }

    fn rec_destroy(&mut self) {
        let rec = self.any_page();
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        let found = realm.recs.iter().position(|known| *known == rec);
        let expected = if found.is_some() {
            Status::Success
        } else {
            Status::Input
        };
        assert_eq!(self.host.rec_destroy(rec), expected);
        if let Some(n) = found {
            realm.recs.remove(n);
            self.model.release(rec);
        }
    }

    fn rec_enter(&mut self) {
        let rec = self.any_page();
        let Some(realm) = &self.model.realm else {
            return;
        };
        let expected = match (realm.recs.contains(&rec), realm.life) {
            (false, _) => Status::Input,
            (true, Life::Active) => Status::Success,
            (true, _) => Status::Realm(0),
        };
        assert_eq!(self.host.rec_enter(rec, self.run), expected);
    }

    fn data_map(&mut self) {
        let pa = self.any_page();
        let n = self.below(IPAS);
        let is_free = self.model.is_free(pa);
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        let ipa = n * PAGE;
        let (data, ripas) = &mut realm.entries[n as usize];
        let level = (realm.tables.len() - 1) as i8;
        let expected = if realm.life == Life::Zombie {
            Status::Realm(0)
        } else if level < 3 {
            Status::Rtt(level)
        } else if *data == Some(pa) {
            Status::Success
        } else if data.is_some() {
            Status::Rtt(3)
        } else if is_free {
            Status::Success
        } else {
            Status::Input
        };
        let was_mapped = data.is_some();
        let reply = self
            .host
            .rtt_data_map(realm.rd, ipa..ipa + PAGE, 1, pa | 1 << 2);
        assert_eq!(reply.0, expected);
        if expected == Status::Success && !was_mapped {
            *data = Some(pa);
            let ripas = *ripas;
            let entry = self.host.rtt_read_entry(realm.rd, ipa, 3).1;
            assert_eq!((entry.state, entry.desc, entry.ripas), (1, pa, ripas));
            self.model.take(pa);
        }
    }

    fn data_unmap(&mut self) {
        let first = self.below(IPAS);
        let last = first + 1 + self.below(IPAS - first);
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        let (base, top) = (first * PAGE, last * PAGE);
        let reply = self.host.rtt_data_unmap(realm.rd, base..top, 1, 0);
        assert_eq!(reply.status, Status::Success);
        let entries = &mut realm.entries[first as usize..last as usize];
        let mut done = 0;
        let mut released = Vec::new();
        match entries[0].0 {
            // A hole, in a table or above it.
            None => {
                done = entries
                    .iter()
                    .take_while(|(data, _)| data.is_none())
                    .count();
                assert_eq!(reply.range, 0);
            }
            Some(first) => {
                for (data, ripas) in entries {
                    if *data != Some(first + done as u64 * PAGE) {
                        break;
                    }
                    released.extend(data.take());
                    if *ripas == RAM {
                        *ripas = DESTROYED;
                    }
                    done += 1;
                }
                assert_eq!(reply.range, first | (done as u64) << 2);
            }
        }
        assert_eq!(reply.top, base + done as u64 * PAGE);
        for pa in released {
            self.model.release(pa);
            assert_eq!(self.host.state(pa), GranuleState::Delegated);
        }
    }

    fn init_ripas(&mut self) {
        let first = self.below(IPAS);
        let last = first + 1 + self.below(IPAS - first);
        let Some(realm) = &mut self.model.realm else {
            return;
        };
        if realm.tables.len() < 4 {
            return;
        }
        let (base, top) = (first * PAGE, last * PAGE);
        let reply = self.host.rtt_init_ripas(realm.rd, base, top);
        if realm.life != Life::New {
            return assert_eq!(reply, (Status::Realm(0), 0));
        }
        let mut done = 0;
        for (_, ripas) in &mut realm.entries[first as usize..last as usize] {
            if *ripas == DESTROYED {
                break;
            }
            *ripas = RAM;
            done += 1;
        }
        let expected = if done == 0 {
            (Status::Rtt(3), 0)
        } else {
            (Status::Success, base + done * PAGE)
        };
        assert_eq!(reply, expected);
    }

    /// Asserts that each page is in the state of the model, and each granule in one role.
    fn check(&self) {
        for n in 0..PAGES {
            let pa = self.model.page(n);
            let number = self.model.number(pa);
            let state = self.host.state(pa);
            let is_used = !matches!(state, GranuleState::Undelegated | GranuleState::Delegated);
            assert_eq!(
                state != GranuleState::Undelegated,
                self.model.delegated[number]
            );
            assert_eq!(is_used, self.model.used[number], "{state:?}");
        }
        let _counts = audit(self.host);
    }
}

// Conformance: 2.0 RMI calls failure_changes_nothing, registers, no_incomplete, progress
#[test]
fn random_calls_of_both_dialects() {
    let seed = environment_seed("MODEL_SEED");
    let steps = environment_number("MODEL_STEPS").unwrap_or(STEPS);
    let host = Host2::of(Host::with(Config::v2()));
    let base = host.pages(PAGES, PAGE);
    let mut sequence = Sequence {
        random: Random(seed),
        model: Model {
            mode: Mode::Undecided,
            base,
            realm: None,
            delegated: vec![false; PAGES as usize],
            used: vec![false; PAGES as usize],
        },
        params: host.page(),
        config: host.page_with([0_u64; 2].as_bytes()),
        rec_params: host.page(),
        run: host.page(),
        host: &host,
    };
    host.leniently(|| {
        for step in 0..steps {
            sequence.step();
            if step % AUDIT == 0 {
                sequence.check();
            }
        }
        sequence.check();
    });
    rmm_core::fake::v2::sweep(&host);
}
