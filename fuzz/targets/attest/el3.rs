// SPDX-License-Identifier: BSD-3-Clause
//! EL3 with keys and tokens that are right or wrong.

use super::attested::{platform_token, rak, rak_point, sign};
use arbitrary::Arbitrary;
use rmm_abi::el3::{Version, error, fid};
use rmm_core::fake::{El3Attestation, Host, SignDigest};
use std::sync::LazyLock;

/// Platform tokens of some sizes.
static TOKENS: LazyLock<[Vec<u8>; 7]> =
    LazyLock::new(|| [0, 0, 4095, 4097, 9000, 16384, 16385].map(platform_token));

/// What EL3 is like.
#[derive(Arbitrary, Clone, Debug)]
pub enum Kind {
    /// All that it hands over is right.
    Right(Right),
    AlsoRight(Right),
    StillRight(Right),
    Any(El3),
}

/// What an EL3 may choose that makes no mistake.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Right {
    signs: bool,
    token_size: u8,
    piece: Piece,
    again: u8,
    queue: u8,
    loses: Rarely,
}

impl Kind {
    /// What it does.
    pub fn el3(&self) -> El3 {
        match self {
            Self::Any(el3) => el3.clone(),
            Self::Right(right) | Self::AlsoRight(right) | Self::StillRight(right) => El3 {
                interface: 0,
                signs: right.signs.then_some(Signs::Rightly),
                key: Bytes::Right,
                token: Bytes::Right,
                token_size: right.token_size % 6,
                piece: right.piece,
                refuses_later_pieces: Rarely(0),
                again: right.again,
                queue: Some(1 + right.queue % 4),
                loses: right.loses,
                signature_size: Size::Right,
                fails: None,
                later: None,
            },
        }
    }
}

/// What EL3 does.
#[derive(Arbitrary, Clone, Debug)]
pub struct El3 {
    interface: u8,
    signs: Option<Signs>,
    key: Bytes,
    token: Bytes,
    token_size: u8,
    piece: Piece,
    refuses_later_pieces: Rarely,
    again: u8,
    queue: Option<u8>,
    loses: Rarely,
    signature_size: Size,
    fails: Option<(u8, u8)>,
    /// The call for a signature, by number, that fails with this status.
    later: Option<(u8, u8)>,
}

/// How EL3 signs.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Signs {
    Rightly,
    AlsoRightly,
    Wrongly(bool),
    /// With another public key; a byte of it is changed.
    OtherKey(u8, u8),
}

/// Bytes that mostly are right.
#[derive(Arbitrary, Clone, Debug)]
enum Bytes {
    Right,
    AlsoRight,
    StillRight,
    Cut(u16),
    Longer(u8),
    Changed(u16, u8),
    Any(Vec<u8>),
}

/// Bytes of the platform token at a time.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Piece {
    Page,
    AlsoPage,
    Bytes(u16),
}

/// A flag that seldom is set.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Rarely(u8);

impl Rarely {
    fn is_set(self) -> bool {
        self.0 % 8 == 7
    }
}

/// Size of a signature.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Size {
    Right,
    AlsoRight,
    StillRight,
    Other(u16),
}

/// What Realms get from this EL3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// No call for a token may fail.
    pub works: bool,
    /// Tokens must pass the check of a relying party.
    pub verifies: bool,
    /// A REC may give up memory.
    pub gives_up: bool,
}

impl Bytes {
    fn apply(&self, right: &[u8]) -> Vec<u8> {
        let mut bytes = right.to_vec();
        let at = |n: u16| usize::from(n) % right.len();
        match self {
            Self::Right | Self::AlsoRight | Self::StillRight => {}
            Self::Cut(n) => bytes.truncate(at(*n)),
            Self::Longer(n) => bytes.extend(std::iter::repeat_n(*n, usize::from(*n) + 1)),
            Self::Changed(n, bits) => bytes[at(*n)] ^= bits,
            Self::Any(any) => bytes.clone_from(any),
        }
        bytes
    }
}

impl El3 {
    fn token(&self) -> Vec<u8> {
        let size = usize::from(self.token_size) % TOKENS.len();
        // EL3 has a page for the key, and delivers the token in pieces.
        self.token.apply(&TOKENS[size])
    }

    fn piece(&self) -> usize {
        match self.piece {
            Piece::Page | Piece::AlsoPage => 4096,
            Piece::Bytes(bytes) => usize::from(bytes % 4096) + 1,
        }
    }

    fn version(&self, two: bool) -> Version {
        if two {
            Version::new(2, 0)
        } else {
            Version::new(0, [4, 4, 4, 1, 2, 3][usize::from(self.interface % 6)])
        }
    }

    /// The machine's EL3.
    pub fn config(&self, two: bool) -> El3Attestation {
        let signs = self.signs.map(|signs| {
            let wrong: [SignDigest; 2] = [|_| [0; 96], |_| [0xFF; 96]];
            match signs {
                Signs::Rightly | Signs::AlsoRightly => (sign as SignDigest, rak_point()),
                Signs::Wrongly(how) => (wrong[usize::from(how)], rak_point()),
                Signs::OtherKey(at, bits) => {
                    let mut point = rak_point();
                    point[usize::from(at) % 97] ^= bits;
                    (sign as SignDigest, point)
                }
            }
        });
        let mut key = self.key.apply(&rak());
        key.truncate(4096);
        El3Attestation {
            interface: self.version(two),
            piece: self.piece(),
            refuses_later_pieces: self.refuses_later_pieces.is_set(),
            again: u32::from(self.again % 32),
            signs,
            queue: self.queue.map_or(4, |queue| usize::from(queue % 5)),
            loses: u32::from(self.loses.is_set()),
            signature_size: match self.signature_size {
                Size::Right | Size::AlsoRight | Size::StillRight => 96,
                Size::Other(size) => size,
            },
            fails: self.fails.map(|(function, status)| {
                let functions = [
                    fid::RMM_EL3_FEATURES,
                    fid::RMM_ATTEST_GET_REALM_KEY,
                    fid::RMM_ATTEST_GET_PLAT_TOKEN,
                    fid::RMM_EL3_TOKEN_SIGN,
                ];
                (functions[usize::from(function % 4)], failure(status))
            }),
            ..El3Attestation::new(&key, &self.token())
        }
    }

    /// Has a call for a signature fail.
    pub fn fail_later(&self, host: &Host) {
        let Some((mut left, status)) = self.later else {
            return;
        };
        host.board().el3.set_hook(move |function, _| {
            if function != fid::RMM_EL3_TOKEN_SIGN {
                return None;
            }
            let now = left == 0;
            left = left.wrapping_sub(1);
            // Also success although nothing was done.
            now.then(|| {
                if status % 6 == 5 {
                    error::OK
                } else {
                    failure(status)
                }
            })
        });
    }

    /// What the Realms may expect; `gives_up` if they give up memory.
    pub fn quality(&self, gives_up: bool) -> Quality {
        let size = usize::from(self.token_size) % TOKENS.len();
        let is_right =
            |bytes: &Bytes| matches!(bytes, Bytes::Right | Bytes::AlsoRight | Bytes::StillRight);
        let boots = is_right(&self.key)
            && is_right(&self.token)
            // The last one is longer than the monitor's memory.
            && size < 6
            && self.fails.is_none()
            // What other interfaces cannot do differs: see the tests of `rmm-core`.
            && self.interface % 6 < 3
            && (!self.refuses_later_pieces.is_set() || TOKENS[size].len() <= self.piece());
        let signs = match self.signs {
            None => true,
            Some(Signs::Rightly | Signs::AlsoRightly) => {
                !matches!(self.signature_size, Size::Other(_)) && self.later.is_none()
            }
            _ => false,
        };
        Quality {
            works: boots && signs,
            verifies: boots && signs,
            gives_up,
        }
    }
}

fn failure(status: u8) -> i64 {
    let all = [
        error::UNK,
        error::INVAL,
        error::BAD_ADDR,
        error::AGAIN,
        -0x1234,
    ];
    all[usize::from(status) % all.len()]
}
