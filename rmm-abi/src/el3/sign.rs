// SPDX-License-Identifier: BSD-3-Clause
//! Request and response of RMM_EL3_TOKEN_SIGN, which stand in the buffer shared with EL3.

use crate::assert_layout;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Operation of RMM_EL3_TOKEN_SIGN, in X1: push a [`TokenSignRequest`].
pub const TOKEN_SIGN_PUSH: u64 = 1;
/// Operation of RMM_EL3_TOKEN_SIGN, in X1: pull a [`TokenSignResponse`].
pub const TOKEN_SIGN_PULL: u64 = 2;
/// Operation of RMM_EL3_TOKEN_SIGN, in X1: get the public key, an uncompressed point of 97 bytes.
pub const TOKEN_SIGN_GET_PUBLIC_KEY: u64 = 3;

/// Value of [`TokenSignRequest::sign_alg`]: ECDSA with P-384.
pub const SIGN_ALG_ECDSA_P384: u32 = 0;
/// Value of [`TokenSignRequest::hash_alg`]: SHA-384.
pub const HASH_ALG_SHA_384: u32 = 1;

/// A request for a signature, 0x60 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TokenSignRequest {
    /// [`SIGN_ALG_ECDSA_P384`].
    pub sign_alg: u32,
    /// Zero.
    pub _reserved0: u32,
    /// Identifies the REC; the response repeats it.
    pub cookie: u64,
    /// Identifies the request; the response repeats it.
    pub ticket: u64,
    /// [`HASH_ALG_SHA_384`].
    pub hash_alg: u32,
    /// Zero.
    pub _reserved1: u32,
    /// The hash; zeroes follow one that is shorter than 64 bytes.
    pub hash: [u8; 64],
}

assert_layout!(TokenSignRequest, 0x60, {
    sign_alg: 0x00,
    cookie: 0x08,
    ticket: 0x10,
    hash_alg: 0x18,
    hash: 0x20,
});

/// A signature, 0x218 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TokenSignResponse {
    /// Cookie of the request.
    pub cookie: u64,
    /// Ticket of the request.
    pub ticket: u64,
    /// Size of the signature in bytes: 96 for P-384.
    pub sig_len: u16,
    /// The signature: r, then s, big-endian.
    pub signature: [u8; 512],
    /// Padding.
    pub _reserved: [u8; 6],
}

assert_layout!(TokenSignResponse, 0x218, {
    cookie: 0x00,
    ticket: 0x08,
    sig_len: 0x10,
    signature: 0x12,
});
