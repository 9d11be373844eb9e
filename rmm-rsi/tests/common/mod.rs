// SPDX-License-Identifier: BSD-3-Clause
//! A Realm made of plain data, and checks of what a call leaves behind.

// Each test file uses its part of this one.
#![allow(dead_code)]

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::{HashAlgorithm, Ripas};
use rmm_rsi::{AccessError, Context, Gprs, Outcome, TokenPiece, TokenStep, handle};
use std::collections::BTreeMap;

/// A page of Realm memory.
pub const PAGE: u64 = 0x1000;

/// First Unprotected IPA of the fake Realm, whose IPA width is 40 bits.
pub const PAR_TOP: u64 = 1 << 39;

/// Token generation of the REC.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenState {
    Idle,
    InProgress {
        challenge: [u8; 64],
        steps: usize,
        delivered: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Realm {
    pub width: u32,
    pub algorithm: HashAlgorithm,
    pub rpv: [u8; 64],
    pub smccc: u64,
    /// Whether the Realm may use RSI 1.1.
    pub rsi_1_1: bool,
    /// Whether another REC is on, if the monitor answers that itself.
    pub answer: Option<bool>,
    pub measurements: [[u8; 64]; 5],
    /// Every extension: index and value.
    pub extensions: Vec<(usize, Vec<u8>)>,
    /// The RIPAS of every page is `ripas`, up to `ripas_end` as the walk reports it.
    pub ripas: Ripas,
    pub ripas_end: u64,
    /// Pages by IPA, or why they cannot be accessed; others are not mapped at level 2.
    pub pages: BTreeMap<u64, Result<[u8; GRANULE_SIZE], AccessError>>,
    pub index: u64,
    pub recs: u64,
    pub token: Vec<u8>,
    pub token_state: TokenState,
    /// Steps until the token is ready, and the step at which the generation waits or fails.
    pub token_steps: usize,
    pub token_waits_at: Option<usize>,
    pub token_fails_at: Option<usize>,
    pub interrupt: bool,
}

impl Realm {
    pub fn new() -> Self {
        Self {
            width: 40,
            algorithm: HashAlgorithm::Sha256,
            rpv: [0xAB; 64],
            smccc: 0x10003,
            rsi_1_1: false,
            answer: None,
            measurements: core::array::from_fn(|i| core::array::from_fn(|b| byte(i * 64 + b))),
            extensions: Vec::new(),
            ripas: Ripas::Ram,
            ripas_end: u64::MAX,
            pages: BTreeMap::from([(0x8000, Ok([0xEE; GRANULE_SIZE]))]),
            index: 1,
            recs: 20,
            token: (0..5000).map(byte).collect(),
            token_state: TokenState::Idle,
            token_steps: 3,
            token_waits_at: None,
            token_fails_at: None,
            interrupt: false,
        }
    }

    pub fn page(&self, ipa: u64) -> &[u8; GRANULE_SIZE] {
        self.pages[&ipa].as_ref().unwrap()
    }

    pub fn page_mut(&mut self, ipa: u64) -> &mut [u8; GRANULE_SIZE] {
        self.pages.get_mut(&ipa).unwrap().as_mut().unwrap()
    }

    /// The bytes of memory from `ipa` to the end of the page.
    fn bytes(&mut self, ipa: u64, len: usize) -> Result<&mut [u8], AccessError> {
        let offset = usize::try_from(ipa % PAGE).unwrap();
        assert!(ipa < 1 << (self.width - 1), "not Protected");
        assert!(offset + len <= GRANULE_SIZE, "crosses a Granule");
        match self.pages.get_mut(&(ipa - ipa % PAGE)) {
            Some(Ok(page)) => Ok(&mut page[offset..offset + len]),
            Some(Err(access)) => Err(*access),
            None => Err(AccessError::NotMapped { level: 2 }),
        }
    }
}

/// The low byte of a number.
pub fn byte(n: usize) -> u8 {
    n.to_le_bytes()[0]
}

impl Context for Realm {
    fn ipa_width(&self) -> u32 {
        self.width
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    fn rpv(&self) -> [u8; 64] {
        self.rpv
    }

    fn has_rsi_1_1(&self) -> bool {
        self.rsi_1_1
    }

    fn rec_is_on(&self, _: u64) -> Option<bool> {
        self.answer
    }

    fn smccc_version(&self) -> u64 {
        self.smccc
    }

    fn measurement(&self, index: usize) -> [u8; 64] {
        self.measurements[index]
    }

    fn extend_measurement(&mut self, index: usize, value: &[u8]) {
        assert!((1..=4).contains(&index));
        self.extensions.push((index, value.to_vec()));
    }

    fn ripas_extent(&self, base: u64, top: u64) -> (u64, Ripas) {
        assert!(base < top && top <= 1 << (self.width - 1));
        (self.ripas_end, self.ripas)
    }

    fn read(&mut self, ipa: u64, parts: &mut [&mut [u8]]) -> Result<(), AccessError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut bytes = &*self.bytes(ipa, len)?;
        for part in parts {
            let (now, later) = bytes.split_at(part.len());
            part.copy_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn write(&mut self, ipa: u64, parts: &[&[u8]]) -> Result<(), AccessError> {
        let all = parts.concat();
        self.bytes(ipa, all.len())?.copy_from_slice(&all);
        Ok(())
    }

    fn write_whole(&mut self, ipa: u64, parts: &[(usize, &[u8])]) -> Result<(), AccessError> {
        let page = self.bytes(ipa, 4096)?;
        page.fill(0);
        for (offset, part) in parts {
            page[*offset..][..part.len()].copy_from_slice(part);
        }
        Ok(())
    }

    fn rec_index(&self) -> u64 {
        self.index
    }

    fn rec_exists(&self, index: u64) -> bool {
        index < self.recs
    }

    fn token_init(&mut self, challenge: &[u8; 64]) -> u64 {
        self.token_state = TokenState::InProgress {
            challenge: *challenge,
            steps: 0,
            delivered: 0,
        };
        8192
    }

    fn token_in_progress(&self) -> bool {
        self.token_state != TokenState::Idle
    }

    fn token_step(&mut self) -> TokenStep {
        let TokenState::InProgress { steps, .. } = &mut self.token_state else {
            panic!("not in progress");
        };
        if self.token_waits_at == Some(*steps) {
            return TokenStep::Waiting;
        }
        if self.token_fails_at == Some(*steps) {
            self.token_state = TokenState::Idle;
            return TokenStep::Failed;
        }
        if *steps == self.token_steps {
            return TokenStep::Ready;
        }
        *steps += 1;
        TokenStep::Working
    }

    fn interrupt_pending(&self) -> bool {
        self.interrupt
    }

    fn token_write(&mut self, ipa: u64, size: u64) -> Result<TokenPiece, AccessError> {
        assert!((1..=PAGE).contains(&size));
        let TokenState::InProgress {
            steps, delivered, ..
        } = self.token_state
        else {
            panic!("not in progress");
        };
        assert_eq!(steps, self.token_steps, "the token is not ready");
        let size = usize::try_from(size).unwrap();
        let rest = self.token[delivered..].to_vec();
        let now = &rest[..size.min(rest.len())];
        self.write(ipa, &[now])?;
        if now.len() == rest.len() {
            self.token_state = TokenState::Idle;
            return Ok(TokenPiece::Last {
                len: now.len() as u64,
            });
        }
        if let TokenState::InProgress { delivered, .. } = &mut self.token_state {
            *delivered += now.len();
        }
        Ok(TokenPiece::More)
    }
}

/// Registers with a value of its own in each, then `fid` and `args` from X0 on.
pub fn registers(fid: u64, args: &[u64]) -> Gprs {
    let mut regs: Gprs = core::array::from_fn(|n| 0xAAAA_5555_0000_0000 + n as u64);
    regs[0] = fid;
    regs[1..1 + args.len()].copy_from_slice(args);
    regs
}

/// What a call leaves behind.
pub struct After {
    pub outcome: Outcome,
    pub regs: Gprs,
    pub exit: Option<Gprs>,
}

/// Makes a call.
pub fn call(realm: &mut Realm, fid: u64, args: &[u64]) -> After {
    let mut regs = registers(fid, args);
    let mut exit = None;
    let outcome = handle(realm, &mut regs, &mut exit);
    After {
        outcome,
        regs,
        exit,
    }
}

/// The registers after a call that returned `results` from X0 on: X1 to X3 zero, the rest kept.
pub fn returned(fid: u64, args: &[u64], results: &[u64]) -> Gprs {
    let mut regs = registers(fid, args);
    regs[..4].fill(0);
    regs[..results.len()].copy_from_slice(results);
    regs
}

/// Asserts that a call returns to the Realm with these results, and shows the Host nothing.
#[track_caller]
pub fn assert_returns(realm: &mut Realm, fid: u64, args: &[u64], results: &[u64]) {
    let after = call(realm, fid, args);
    assert_eq!(after.outcome, Outcome::Return);
    assert_eq!(after.regs, returned(fid, args, results), "args {args:x?}");
    assert_eq!(after.exit, None);
}

/// Asserts that a call fails with `status` and changes nothing but X0 to X3.
#[track_caller]
pub fn assert_fails(realm: &Realm, fid: u64, args: &[u64], status: u64) {
    let mut after = realm.clone();
    assert_returns(&mut after, fid, args, &[status]);
    assert!(after == *realm, "the Realm has changed, args {args:x?}");
}
