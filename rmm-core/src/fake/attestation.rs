// SPDX-License-Identifier: BSD-3-Clause
//! What EL3 of the fake machine does for attestation.

use rmm_abi::el3::{
    CURVE_P384, FEATURE_TOKEN_SIGN, HASH_ALG_SHA_384, SIGN_ALG_ECDSA_P384,
    TOKEN_SIGN_GET_PUBLIC_KEY, TOKEN_SIGN_PULL, TOKEN_SIGN_PUSH, TokenSignRequest,
    TokenSignResponse, Version, error, fid,
};
use rmm_granule::GRANULE_SIZE;
use rmm_granule::fake::keep;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use zerocopy::{FromZeros, IntoBytes};

/// Signs a SHA-384 digest: r and s.
pub type SignDigest = fn(&[u8; 48]) -> [u8; 96];

/// The keys and tokens of EL3, and how it delivers them.
#[derive(Clone, Debug)]
pub struct El3Attestation {
    /// Version of the RMM-EL3 interface.
    pub interface: Version,
    /// The private Realm attestation key as EL3 returns it; usually 48 bytes.
    pub key: Vec<u8>,
    /// The platform token.
    pub platform_token: Vec<u8>,
    /// Bytes of the platform token that EL3 delivers at a time.
    pub piece: usize,
    /// EL3 refuses to deliver a second piece, as TF-A up to 2.15 does.
    pub refuses_later_pieces: bool,
    /// How often EL3 answers E_RMM_AGAIN before it delivers a piece or a signature.
    pub again: u32,
    /// EL3 signs with this function and public key, and keeps the private key.
    pub signs: Option<(SignDigest, [u8; 97])>,
    /// Requests that EL3 keeps at a time.
    pub queue: usize,
    /// Responses that EL3 loses, from the first on.
    pub loses: u32,
    /// Size in bytes of a signature, as EL3 reports it.
    pub signature_size: u16,
    /// EL3 fails this function with this status.
    pub fails: Option<(u64, i64)>,
}

/// X2 of a call whose result leaves it undefined.
const UNDEFINED: u64 = 0x5EED;

impl El3Attestation {
    /// EL3 with this key, which delivers this platform token at once.
    #[must_use]
    pub fn new(key: &[u8], platform_token: &[u8]) -> Self {
        Self {
            interface: Version::new(0, 4),
            key: key.to_vec(),
            platform_token: platform_token.to_vec(),
            piece: GRANULE_SIZE,
            refuses_later_pieces: false,
            again: 0,
            signs: None,
            queue: 4,
            loses: 0,
            signature_size: 96,
            fails: None,
        }
    }
}

/// The shared page and what EL3 remembers between calls.
pub(super) struct Service {
    config: Option<El3Attestation>,
    page: &'static [AtomicU8; GRANULE_SIZE],
    delivered: usize,
    agains: u32,
    queue: VecDeque<TokenSignRequest>,
}

/// Physical address of the shared page.
pub(super) const PAGE: u64 = 0x7000_0000;

/// X0 to X2.
type Answer = Result<[u64; 2], i64>;

impl Service {
    pub(super) fn new(config: Option<El3Attestation>) -> Self {
        let page = keep(Box::new([const { AtomicU8::new(0xEE) }; GRANULE_SIZE]));
        Self {
            config,
            page,
            delivered: 0,
            agains: 0,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn attests(&self) -> bool {
        self.config.is_some()
    }

    /// Content of the shared page.
    pub(super) fn content(&self) -> [u8; GRANULE_SIZE] {
        let mut content = [0; GRANULE_SIZE];
        self.read(&mut content);
        content
    }

    pub(super) fn page(&self) -> &'static [AtomicU8; GRANULE_SIZE] {
        self.page
    }

    /// Serves a call; `None` if it is none for attestation.
    pub(super) fn call(&mut self, function: u64, args: [u64; 4]) -> Option<[u64; 4]> {
        let answer = match function {
            fid::RMM_EL3_FEATURES => self.features(args),
            fid::RMM_ATTEST_GET_REALM_KEY => self.key(args),
            fid::RMM_ATTEST_GET_PLAT_TOKEN => self.platform_token(args),
            fid::RMM_EL3_TOKEN_SIGN => self.sign(args),
            _ => return None,
        };
        let failure = self.config.as_ref().and_then(|config| config.fails);
        Some(match (answer, failure) {
            (_, Some((failing, status))) if failing == function => {
                [status.cast_unsigned(), 0, 0, 0]
            }
            (Ok([x1, x2]), _) => [0, x1, x2, 0],
            (Err(status), _) => [status.cast_unsigned(), args[0], args[1], args[2]],
        })
    }

    fn config(&self) -> Result<&El3Attestation, i64> {
        self.config.as_ref().ok_or(error::UNK)
    }

    fn again(&mut self) -> Result<(), i64> {
        if self.agains < self.config()?.again {
            self.agains += 1;
            return Err(error::AGAIN);
        }
        self.agains = 0;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) {
        for (to, from) in self.page.iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    fn read(&self, bytes: &mut [u8]) {
        for (to, from) in bytes.iter_mut().zip(self.page) {
            *to = from.load(Ordering::Relaxed);
        }
    }

    fn features(&self, [index, ..]: [u64; 4]) -> Answer {
        if index != 0 {
            return Err(error::INVAL);
        }
        let config = self.config()?;
        if config.interface < Version::new(0, 4) {
            return Err(error::UNK);
        }
        let signs = config.signs.is_some();
        Ok([if signs { FEATURE_TOKEN_SIGN } else { 0 }, 0])
    }

    fn key(&self, [pa, size, curve, _]: [u64; 4]) -> Answer {
        let config = self.config()?;
        if config.signs.is_some() {
            return Err(error::UNK);
        }
        assert_eq!((pa, size, curve), (PAGE, GRANULE_SIZE as u64, CURVE_P384));
        self.write(&config.key);
        Ok([config.key.len() as u64, 0])
    }

    fn platform_token(&mut self, [pa, size, challenge, _]: [u64; 4]) -> Answer {
        self.again()?;
        let config = self.config()?;
        assert_eq!((pa, size), (PAGE, GRANULE_SIZE as u64));
        let start = match challenge {
            0 if config.refuses_later_pieces => return Err(error::INVAL),
            0 => self.delivered,
            32 | 48 | 64 => 0,
            _ => return Err(error::INVAL),
        };
        let rest = &config.platform_token[start..];
        let piece = &rest[..rest.len().min(config.piece)];
        self.write(piece);
        let remaining = if config.interface < Version::new(0, 3) {
            UNDEFINED
        } else {
            (rest.len() - piece.len()) as u64
        };
        let answer = [piece.len() as u64, remaining];
        self.delivered = start + piece.len();
        Ok(answer)
    }

    fn sign(&mut self, [operation, pa, size, curve]: [u64; 4]) -> Answer {
        let (sign, public) = self.config()?.signs.ok_or(error::UNK)?;
        assert_eq!(pa, PAGE);
        match operation {
            TOKEN_SIGN_GET_PUBLIC_KEY => {
                assert_eq!((size, curve), (GRANULE_SIZE as u64, CURVE_P384));
                self.write(&public);
                Ok([public.len() as u64, 0])
            }
            TOKEN_SIGN_PUSH => {
                if self.queue.len() >= self.config()?.queue {
                    return Err(error::AGAIN);
                }
                let mut request = TokenSignRequest::new_zeroed();
                assert_eq!(size, size_of_val(&request) as u64);
                self.read(request.as_mut_bytes());
                let algorithms = (request.sign_alg, request.hash_alg);
                assert_eq!(algorithms, (SIGN_ALG_ECDSA_P384, HASH_ALG_SHA_384));
                self.queue.push_back(request);
                Ok([0, 0])
            }
            TOKEN_SIGN_PULL => {
                assert!(size >= size_of::<TokenSignResponse>() as u64);
                if self.queue.is_empty() {
                    return Err(error::AGAIN);
                }
                self.again()?;
                let request = self.queue.pop_front().ok_or(error::AGAIN)?;
                if let Some(config) = &mut self.config
                    && config.loses > 0
                {
                    config.loses -= 1;
                    return Err(error::AGAIN);
                }
                let mut response = TokenSignResponse::new_zeroed();
                response.cookie = request.cookie;
                response.ticket = request.ticket;
                let digest = request.hash.first_chunk().expect("64 bytes");
                response.sig_len = self.config()?.signature_size;
                response.signature[..96].copy_from_slice(&sign(digest));
                self.write(response.as_bytes());
                Ok([0, 0])
            }
            _ => Err(error::UNK),
        }
    }
}
