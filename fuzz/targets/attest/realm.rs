// SPDX-License-Identifier: BSD-3-Clause
//! RECs that ask for tokens, and what they must get.

use super::attested::{Expected, init, proceed};
use super::el3::Quality;
use super::realms::{ABSENT, Guest, PAGES};
use arbitrary::Arbitrary;
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::fid::{RSI_IPA_STATE_SET, RSI_MEASUREMENT_EXTEND, RSI_REALM_CONFIG};
use rmm_abi::rsi::{
    RSI_ERROR_INPUT, RSI_ERROR_STATE, RSI_ERROR_UNKNOWN, RSI_INCOMPLETE, RSI_SUCCESS,
};
use rmm_core::fake::{Board, PAGE, RealmCpu};
use rmm_granule::Pa;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Most calls to finish a token.
const PATIENCE: u32 = 300;

/// What a REC does.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Action {
    /// Begins a token for the challenge of this byte.
    Init(u8),
    /// Asks for some bytes of it.
    Continue(Page, Number, Number),
    AlsoContinue(u8, u16, u16),
    /// Asks for the rest, page by page.
    Finish(u8),
    /// Begins a token, and asks for all of it.
    Token(u8, u8),
    AlsoToken(u8, u8),
    Extend(u8, u8, u8),
    Config(u8),
    /// Gives a page back, or asks for it.
    SetRipas(u8, bool),
    Irq,
}

/// A page, or another address.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Page {
    Mapped(u8),
    Absent,
    Other(u8),
    Bit(u8, u8),
    Any(u64),
}

/// An offset or a size.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    Small(u16),
    Near(u8),
    Any(u64),
}

impl Page {
    fn ipa(self) -> u64 {
        let mapped = |n: u8| u64::from(n) % PAGES as u64 * PAGE;
        match self {
            Self::Mapped(n) => mapped(n),
            Self::Absent => ABSENT,
            Self::Other(n) => {
                [3 * PAGE, 1 << 21, (1 << 39) - PAGE, 1 << 39, 1 << 40][usize::from(n % 5)]
            }
            Self::Bit(n, bit) => mapped(n) ^ 1 << (bit % 64),
            Self::Any(value) => value,
        }
    }
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(value) => u64::from(value % 0x1001),
            Self::Near(n) => u64::from(n) + PAGE - 8,
            Self::Any(value) => value,
        }
    }
}

/// The token in progress.
struct Progress {
    /// What the Realm says of itself; `None` if another REC has extended a measurement meanwhile.
    expected: Option<Expected>,
    /// The size that was announced.
    bound: u64,
    /// What has been delivered; `None` if the Realm could not look at some of it in time.
    bytes: Option<Vec<u8>>,
}

/// What a REC does, and what it has got.
#[derive(Clone)]
pub struct Program(Arc<Mutex<State>>);

struct State {
    todo: VecDeque<Action>,
    memory: [Option<u64>; PAGES],
    /// Number of the entry.
    entry: u64,
    progress: Option<Progress>,
    algorithm: HashAlgorithm,
    rpv: u8,
    quality: Quality,
    board: Weak<Board>,
}

impl Program {
    pub fn new(
        board: &Arc<Board>,
        guest: &Guest<'_>,
        hash: u8,
        realm: usize,
        quality: Quality,
    ) -> Self {
        let algorithms = [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha512,
            HashAlgorithm::Sha384,
        ];
        Self(Arc::new(Mutex::new(State {
            todo: VecDeque::new(),
            memory: *guest.memory.borrow(),
            entry: 0,
            progress: None,
            algorithm: algorithms[usize::from(hash)],
            rpv: 0xA0 + u8::try_from(realm).expect("small"),
            quality,
            board: Arc::downgrade(board),
        })))
    }

    /// The REC is about to be entered, with this memory.
    pub fn begin(&self, memory: [Option<u64>; PAGES], actions: impl Iterator<Item = Action>) {
        let mut state = self.lock();
        state.memory = memory;
        state.entry += 1;
        state.todo.extend(actions);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    /// The content of the Realm's pages now.
    fn contents(&self) -> (u64, [Option<[u8; 4096]>; PAGES]) {
        let state = self.lock();
        let board = state.board.upgrade().expect("a machine");
        let contents = state
            .memory
            .map(|pa| pa.map(|pa| board.memory.peek(Pa(pa))));
        (state.entry, contents)
    }
}

/// Does what the Host has chosen, one action after the other.
pub async fn program(cpu: RealmCpu, program: Program) {
    loop {
        let next = program.lock().todo.pop_front();
        match next {
            None | Some(Action::Irq) => cpu.irq().await,
            Some(action) => execute(&cpu, &program, action).await,
        }
    }
}

async fn execute(cpu: &RealmCpu, program: &Program, action: Action) {
    let mapped = |n: u8| u64::from(n) % PAGES as u64 * PAGE;
    match action {
        Action::Init(first) => begin(cpu, program, first).await,
        Action::Continue(page, offset, size) => {
            let _goes_on = ask(cpu, program, page.ipa(), offset.value(), size.value()).await;
        }
        Action::AlsoContinue(n, offset, size) => {
            let offset = u64::from(offset) % PAGE;
            let size = u64::from(size) % (PAGE - offset + 1);
            let _goes_on = ask(cpu, program, mapped(n), offset, size).await;
        }
        Action::Finish(n) => all(cpu, program, mapped(n)).await,
        Action::Token(first, n) | Action::AlsoToken(first, n) => {
            begin(cpu, program, first).await;
            all(cpu, program, mapped(n)).await;
        }
        Action::Extend(index, size, value) => {
            let args = [
                RSI_MEASUREMENT_EXTEND,
                index.into(),
                size.into(),
                value.into(),
            ];
            let _gprs = cpu.smc(&args).await;
        }
        Action::Config(n) => {
            let _gprs = cpu.smc(&[RSI_REALM_CONFIG, mapped(n)]).await;
        }
        Action::SetRipas(n, ram) => {
            let base = mapped(n);
            let args = [RSI_IPA_STATE_SET, base, base + PAGE, ram.into(), 1];
            let _gprs = cpu.smc(&args).await;
        }
        Action::Irq => {}
    }
}

/// Asks for the rest of the token, by way of a page.
async fn all(cpu: &RealmCpu, program: &Program, ipa: u64) {
    for _ in 0..PATIENCE {
        if !ask(cpu, program, ipa, 0, PAGE).await {
            break;
        }
    }
}

/// RSI_ATTESTATION_TOKEN_INIT.
async fn begin(cpu: &RealmCpu, program: &Program, first: u8) {
    let (algorithm, rpv) = {
        let state = program.lock();
        (state.algorithm, state.rpv)
    };
    let before = Expected::of(cpu, first, rpv, algorithm).await;
    let bound = init(cpu, first).await;
    program.lock().progress = Some(Progress {
        expected: None,
        bound,
        bytes: Some(Vec::new()),
    });
    let after = Expected::of(cpu, first, rpv, algorithm).await;
    if let Some(progress) = &mut program.lock().progress {
        progress.expected = (before == after).then_some(after);
    }
}

/// RSI_ATTESTATION_TOKEN_CONTINUE: whether there is more to ask for.
async fn ask(cpu: &RealmCpu, program: &Program, ipa: u64, offset: u64, size: u64) -> bool {
    let (entry, before) = program.contents();
    let (status, len) = proceed(cpu, ipa, offset, size).await;
    let (now, after) = program.contents();
    let is_bad =
        !ipa.is_multiple_of(PAGE) || ipa >= 1 << 39 || offset >= PAGE || size > PAGE - offset;
    let mut state = program.lock();
    let what = format!("{ipa:#x} {offset:#x} {size:#x}: {status} {len:#x}");
    if is_bad {
        assert_eq!((status, len), (RSI_ERROR_INPUT, 0), "{what}");
    } else if state.progress.is_none() {
        assert_eq!((status, len), (RSI_ERROR_STATE, 0), "{what}");
    } else if size == 0 {
        assert_eq!((status, len), (RSI_INCOMPLETE, 0), "{what}");
    }
    let page = usize::try_from(ipa / PAGE).unwrap_or(usize::MAX);
    let at = if is_bad { 0 } else { offset };
    let at = usize::try_from(at).expect("in a page");
    let count = usize::try_from(len).expect("a page");
    // Whoever ran meanwhile may have changed anything.
    if entry == now {
        for (n, (before, after)) in before.iter().zip(&after).enumerate() {
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            let written = if n == page { at..at + count } else { 0..0 };
            assert!(
                before[..written.start] == after[..written.start],
                "{what}: before"
            );
            assert!(
                before[written.end..] == after[written.end..],
                "{what}: behind"
            );
        }
    }
    let delivered = match after.get(page) {
        Some(Some(content)) if entry == now => Some(&content[at..at + count]),
        _ => None,
    };
    if is_bad || size == 0 {
        return false;
    }
    let Some(progress) = &mut state.progress else {
        return false;
    };
    match (status, len) {
        (RSI_INCOMPLETE, 0) => true,
        (RSI_INCOMPLETE | RSI_SUCCESS, len) => {
            assert!(len == size || status == RSI_SUCCESS && len < size, "{what}");
            progress.bytes = match (progress.bytes.take(), delivered) {
                (Some(bytes), Some(delivered)) => Some([&bytes, delivered].concat()),
                _ => None,
            };
            if status == RSI_INCOMPLETE {
                return true;
            }
            let quality = state.quality;
            finish(&state.progress.take().expect("in progress"), quality);
            false
        }
        (RSI_ERROR_UNKNOWN, 0) => {
            assert!(!state.quality.works, "there is no token");
            state.progress = None;
            false
        }
        // The Realm has given the page up, or never had it.
        (RSI_ERROR_INPUT, 0) => {
            let is_there = matches!(before.get(page), Some(Some(_)));
            assert!(
                state.quality.gives_up || !is_there,
                "{what}: memory is there"
            );
            false
        }
        _ => panic!("{what}"),
    }
}

/// The whole token is there.
fn finish(progress: &Progress, quality: Quality) {
    let Some(bytes) = &progress.bytes else {
        return;
    };
    assert_eq!(
        bytes.len() as u64,
        progress.bound,
        "the size that was announced"
    );
    if quality.verifies
        && let Some(expected) = &progress.expected
    {
        expected.assert_verified(bytes);
    }
}
