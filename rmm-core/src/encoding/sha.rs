// SPDX-License-Identifier: BSD-3-Clause
//! Message schedules of SHA-256 and SHA-512 (FIPS 180-4) with the round constants added, for blocks
//! that are known in advance.

/// Schedule plus constants of a block of SHA-256, in the order of the rounds.
pub type Schedule256 = [u32; 64];
/// Schedule plus constants of a block of SHA-512. The two words of each pair of rounds are in reverse
/// order, as SHA512H needs them.
pub type Schedule512 = [u64; 80];

/// The first 64 bits of the fractional parts of the cube roots of the first 80 primes (4.2.3). SHA-256
/// has the first 32 of the first 64 of them (4.2.2).
#[rustfmt::skip]
const CONSTANTS: [u64; 80] = [
    0x428A_2F98_D728_AE22, 0x7137_4491_23EF_65CD, 0xB5C0_FBCF_EC4D_3B2F, 0xE9B5_DBA5_8189_DBBC,
    0x3956_C25B_F348_B538, 0x59F1_11F1_B605_D019, 0x923F_82A4_AF19_4F9B, 0xAB1C_5ED5_DA6D_8118,
    0xD807_AA98_A303_0242, 0x1283_5B01_4570_6FBE, 0x2431_85BE_4EE4_B28C, 0x550C_7DC3_D5FF_B4E2,
    0x72BE_5D74_F27B_896F, 0x80DE_B1FE_3B16_96B1, 0x9BDC_06A7_25C7_1235, 0xC19B_F174_CF69_2694,
    0xE49B_69C1_9EF1_4AD2, 0xEFBE_4786_384F_25E3, 0x0FC1_9DC6_8B8C_D5B5, 0x240C_A1CC_77AC_9C65,
    0x2DE9_2C6F_592B_0275, 0x4A74_84AA_6EA6_E483, 0x5CB0_A9DC_BD41_FBD4, 0x76F9_88DA_8311_53B5,
    0x983E_5152_EE66_DFAB, 0xA831_C66D_2DB4_3210, 0xB003_27C8_98FB_213F, 0xBF59_7FC7_BEEF_0EE4,
    0xC6E0_0BF3_3DA8_8FC2, 0xD5A7_9147_930A_A725, 0x06CA_6351_E003_826F, 0x1429_2967_0A0E_6E70,
    0x27B7_0A85_46D2_2FFC, 0x2E1B_2138_5C26_C926, 0x4D2C_6DFC_5AC4_2AED, 0x5338_0D13_9D95_B3DF,
    0x650A_7354_8BAF_63DE, 0x766A_0ABB_3C77_B2A8, 0x81C2_C92E_47ED_AEE6, 0x9272_2C85_1482_353B,
    0xA2BF_E8A1_4CF1_0364, 0xA81A_664B_BC42_3001, 0xC24B_8B70_D0F8_9791, 0xC76C_51A3_0654_BE30,
    0xD192_E819_D6EF_5218, 0xD699_0624_5565_A910, 0xF40E_3585_5771_202A, 0x106A_A070_32BB_D1B8,
    0x19A4_C116_B8D2_D0C8, 0x1E37_6C08_5141_AB53, 0x2748_774C_DF8E_EB99, 0x34B0_BCB5_E19B_48A8,
    0x391C_0CB3_C5C9_5A63, 0x4ED8_AA4A_E341_8ACB, 0x5B9C_CA4F_7763_E373, 0x682E_6FF3_D6B2_B8A3,
    0x748F_82EE_5DEF_B2FC, 0x78A5_636F_4317_2F60, 0x84C8_7814_A1F0_AB72, 0x8CC7_0208_1A64_39EC,
    0x90BE_FFFA_2363_1E28, 0xA450_6CEB_DE82_BDE9, 0xBEF9_A3F7_B2C6_7915, 0xC671_78F2_E372_532B,
    0xCA27_3ECE_EA26_619C, 0xD186_B8C7_21C0_C207, 0xEADA_7DD6_CDE0_EB1E, 0xF57D_4F7F_EE6E_D178,
    0x06F0_67AA_7217_6FBA, 0x0A63_7DC5_A2C8_98A6, 0x113F_9804_BEF9_0DAE, 0x1B71_0B35_131C_471B,
    0x28DB_77F5_2304_7D84, 0x32CA_AB7B_40C7_2493, 0x3C9E_BE0A_15C9_BEBC, 0x431D_67C4_9C10_0D4C,
    0x4CC5_D4BE_CB3E_42B6, 0x597F_299C_FC65_7E2A, 0x5FCB_6FAB_3AD6_FAEC, 0x6C44_198C_4A47_5817,
];

/// Defines a function that computes the schedule of a block (6.2.2 and 6.4.2, step 1), and adds the
/// constants. `sigma0` and `sigma1`: two rotations and a shift to the right.
macro_rules! schedule {
    (
        $(#[$doc:meta])*
        $name:ident, $word:ty, $block:literal, $rounds:literal,
        $sigma0:expr, $sigma1:expr, $constant:ident => $constant_of:expr, $place:ident => $place_of:expr
    ) => {
        $(#[$doc])*
        pub const fn $name(block: &[u8; $block]) -> [$word; $rounds] {
            const fn sigma(word: $word, [first, second, shift]: [u32; 3]) -> $word {
                word.rotate_right(first) ^ word.rotate_right(second) ^ word >> shift
            }
            let mut words: [$word; $rounds] = [0; $rounds];
            let (bytes, _) = block.as_chunks();
            let mut n = 0;
            while n < $rounds {
                // Wrapping: the algorithm adds modulo 2^32 or 2^64.
                words[n] = if n < bytes.len() {
                    <$word>::from_be_bytes(bytes[n])
                } else {
                    sigma(words[n - 2], $sigma1)
                        .wrapping_add(words[n - 7])
                        .wrapping_add(sigma(words[n - 15], $sigma0))
                        .wrapping_add(words[n - 16])
                };
                n += 1;
            }
            let mut sums: [$word; $rounds] = [0; $rounds];
            let mut $place = 0;
            while $place < $rounds {
                let $constant = CONSTANTS[$place];
                sums[$place_of] = words[$place].wrapping_add($constant_of);
                $place += 1;
            }
            sums
        }
    };
}

schedule! {
    /// The schedule of a block of SHA-256. That of a block of zeroes are the constants themselves.
    schedule256, u32, 64, 64, [7, 18, 3], [17, 19, 10], word => (word >> 32) as u32, n => n
}

schedule! {
    /// The schedule of a block of SHA-512. That of a block of zeroes are the constants themselves.
    schedule512, u64, 128, 80, [1, 8, 7], [19, 61, 6], word => word, n => n ^ 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_attest::{Compress, KnownBlock, SoftHash};

    /// The rounds of 6.2.2 and 6.4.2, steps 2 to 4, over a schedule in the order of the rounds.
    macro_rules! rounds {
        ($name:ident, $word:ty, $big0:expr, $big1:expr) => {
            fn $name(state: [$word; 8], schedule: &[$word]) -> [$word; 8] {
                let sum = |word: $word, by: [u32; 3]| {
                    by.iter().fold(0, |sum, n| sum ^ word.rotate_right(*n))
                };
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
                for word in schedule {
                    let ch = (e & f) ^ (!e & g);
                    let maj = (a & b) ^ (a & c) ^ (b & c);
                    let parts = [h, sum(e, $big1), ch, *word];
                    let t1 = parts.into_iter().fold(0, <$word>::wrapping_add);
                    let t2 = sum(a, $big0).wrapping_add(maj);
                    (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
                    (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
                }
                let mut new = [a, b, c, d, e, f, g, h];
                for (new, old) in new.iter_mut().zip(state) {
                    *new = new.wrapping_add(old);
                }
                new
            }
        };
    }
    rounds!(rounds256, u32, [2, 13, 22], [6, 11, 25]);
    rounds!(rounds512, u64, [28, 34, 39], [14, 18, 41]);

    /// Blocks with nothing in common, and those that are known in advance.
    fn blocks<const N: usize>(known: fn(KnownBlock) -> [u8; N]) -> impl Iterator<Item = [u8; N]> {
        let mixed = (0..20_usize)
            .map(|seed| core::array::from_fn(|n| (n * n + n * 7 * seed + seed).to_le_bytes()[0]));
        KnownBlock::ALL.into_iter().map(known).chain(mixed)
    }

    #[test]
    fn schedules_of_sha_256() {
        for block in blocks(KnownBlock::sha256) {
            let old = core::array::from_fn(|n| 0x1234_5679_u32 << n);
            let mut expected = old;
            SoftHash.sha256(&mut expected, &[block]);
            assert_eq!(rounds256(old, &schedule256(&block)), expected, "{block:?}");
        }
    }

    #[test]
    fn schedules_of_sha_512() {
        for block in blocks(KnownBlock::sha512) {
            let old = core::array::from_fn(|n| 0x1234_5678_9ABC_DEF1_u64 << n);
            let mut expected = old;
            SoftHash.sha512(&mut expected, &[block]);
            let mut schedule = schedule512(&block);
            schedule
                .as_chunks_mut::<2>()
                .0
                .iter_mut()
                .for_each(|pair| pair.reverse());
            assert_eq!(rounds512(old, &schedule), expected, "{block:?}");
        }
    }
}
