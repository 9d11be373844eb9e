// SPDX-License-Identifier: BSD-3-Clause
//! The monitor's compression functions themselves, at the Host's level, against the crate `sha2`.

use crate::arch::mrs;
use crate::check::{Check, ensure, skip};
use crate::tests::Test;
use alloc::vec::Vec;
use core::arch::global_asm;
use sha2::block_api::{compress256, compress512};
use tests_fvp::protocol::pattern;

/// The schedules for them.
#[path = "../../../../../../rmm-core/src/encoding/sha.rs"]
mod schedules;

use schedules::{Schedule256, Schedule512, schedule256, schedule512};

global_asm!(
    include_str!("../../../../../../rmm-core/src/arch/sha.S"),
    options(raw)
);

unsafe extern "C" {
    fn sha256_blocks(state: &mut [u32; 8], blocks: *const u8, count: usize, k: &Schedule256);
    fn sha512_blocks(state: &mut [u64; 8], blocks: *const u8, count: usize, k: &Schedule512);
    fn sha256_known_blocks(state: &mut [u32; 8], schedule: &Schedule256, times: usize);
    fn sha512_known_blocks(state: &mut [u64; 8], schedule: &Schedule512, times: usize);
}

pub const TESTS: &[Test] = &[
    ("hash.assembly_256", assembly_256),
    ("hash.assembly_512", assembly_512),
];

/// ID_AA64ISAR0_EL1.SHA2.
fn sha2() -> u64 {
    mrs!("id_aa64isar0_el1") >> 12 & 0xF
}

/// Blocks that the functions are tested with, at most.
const MOST: usize = 33;

/// Bytes that a seed makes.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let words = (0..).map(|n| pattern(seed, n).to_le_bytes());
    words.flatten().take(count).collect()
}

fn assembly_256() -> Check {
    if sha2() < 1 {
        skip!("the CPU has no instructions for SHA-256");
    }
    let constants = schedule256(&[0; 64]);
    for count in 1..=MOST {
        // At any address.
        let offset = count % 17;
        let bytes = bytes(count as u64, offset + 64 * count);
        let (blocks, _) = bytes[offset..].as_chunks();
        let mut state = core::array::from_fn(|n| pattern(count as u64, n as u64) as u32);
        let mut expected = state;
        compress256(&mut expected, blocks);
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap. Reads the blocks.
        unsafe { sha256_blocks(&mut state, blocks.as_ptr().cast(), count, &constants) };
        ensure!(state == expected, "{count} blocks");

        let block = blocks[0];
        (0..count).for_each(|_| compress256(&mut expected, &[block]));
        // SAFETY: as above.
        unsafe { sha256_known_blocks(&mut state, &schedule256(&block), count) };
        ensure!(state == expected, "{count} times a block known in advance");
    }
    Ok(())
}

fn assembly_512() -> Check {
    if sha2() < 2 {
        skip!("the CPU has no instructions for SHA-512");
    }
    let constants = schedule512(&[0; 128]);
    for count in 1..=MOST {
        let offset = count % 17;
        let bytes = bytes(count as u64, offset + 128 * count);
        let (blocks, _) = bytes[offset..].as_chunks();
        let mut state = core::array::from_fn(|n| pattern(count as u64, n as u64));
        let mut expected = state;
        compress512(&mut expected, blocks);
        // SAFETY: the Host is built without vectors, which CPTR_EL2 does not trap. Reads the blocks.
        unsafe { sha512_blocks(&mut state, blocks.as_ptr().cast(), count, &constants) };
        ensure!(state == expected, "{count} blocks");

        let block = blocks[0];
        (0..count).for_each(|_| compress512(&mut expected, &[block]));
        // SAFETY: as above.
        unsafe { sha512_known_blocks(&mut state, &schedule512(&block), count) };
        ensure!(state == expected, "{count} times a block known in advance");
    }
    Ok(())
}
