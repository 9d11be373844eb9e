// SPDX-License-Identifier: BSD-3-Clause
//! What the machine code of the monitor must hold.

use super::code::{Function, Image, Instruction, Permissions};

/// Functions that may use vector registers, by symbol: the world switch, and hashing by instructions.
/// Both save them first.
const VECTOR_FUNCTIONS: &[&str] = &["simd_", "sha256_", "sha512_", "sha_"];

/// Functions that may have indirect branches, and why.
const INDIRECT_BRANCHES: &[(&str, &str)] = &[
    ("enable_mmu", "from physical to linked addresses, at boot"),
    (
        "rmm_core::rmi::",
        "jump tables of commands and exits; branch history is discarded before",
    ),
    (
        "rmm_core::aux::with_rec",
        "the same: the compiler may put the exits there",
    ),
    ("rmm_core::arch::start::boot", "log of the boot"),
    ("rmm_core::arch::start::refuse", "log of the boot"),
    ("log::", "log of the boot"),
    ("spin::once::", "closures of the boot"),
    ("core::fmt::", "text of the boot and of crashes"),
    ("4core3fmt", "the same, mangled the newer way"),
    ("as$u20$core..fmt..", "the same, of a type"),
    (
        "rmm_attest::hash::message::",
        "the hash functions, by instructions or not",
    ),
    (
        "rmm_attest::claims::",
        "jump table of claims; branch history is discarded before",
    ),
    ("ciborium_ll::", "decodes the platform token at boot"),
];

/// Whether an entry of a vector table begins as it should.
type Begins = fn(&[Instruction]) -> bool;

/// The vector tables: symbol, and what the entries for exceptions from a Realm begin with.
const TABLES: [(&str, Begins); 3] = [
    ("rmm_vectors", |code| {
        code.first().is_some_and(|first| first.jump().is_some())
    }),
    ("rmm_vectors_clrbhb", |code| {
        matches!(code, [clear, isb, jump, ..]
            if clear.is_clrbhb() && isb.is_isb() && jump.jump().is_some())
    }),
    ("rmm_vectors_loop", overwrites_history),
];

/// Everything that is wrong with the image.
pub fn all(image: &Image) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(image.segments.iter().filter_map(segment));
    for function in &image.functions {
        wrong.extend(returns(function));
        wrong.extend(vectors(function));
        wrong.extend(branches(function));
        wrong.extend(invalidations(function, image));
    }
    wrong.extend(
        TABLES
            .iter()
            .flat_map(|(name, begins)| table(image, name, *begins)),
    );
    wrong.extend(registers_of_a_realm(image));
    wrong
}

fn segment(permissions: &Permissions) -> Option<String> {
    (permissions.write && permissions.execute)
        .then(|| "a segment is both writable and executable".into())
}

/// Behind an ERET nothing is executed speculatively: SB, or DSB and ISB, follows.
fn returns(function: &Function) -> Vec<String> {
    let code = &function.code;
    let open = code.iter().enumerate().filter(|(n, instruction)| {
        let next = code.get(n + 1..).unwrap_or_default();
        let fenced = match next {
            [first, ..] if first.is_sb() => true,
            [first, second, ..] => first.is_dsb() && second.is_isb(),
            _ => false,
        };
        instruction.is_eret() && !fenced
    });
    open.map(|(_, eret)| at(function, *eret, "ERET without a barrier behind it"))
        .collect()
}

/// Only the listed functions use vector registers, which hold the Host's or a Realm's values.
fn vectors(function: &Function) -> Vec<String> {
    if VECTOR_FUNCTIONS
        .iter()
        .any(|name| function.name.starts_with(name))
    {
        return Vec::new();
    }
    let found = function
        .code
        .iter()
        .filter(|instruction| instruction.is_vector());
    found
        .map(|found| at(function, *found, "vector register"))
        .collect()
}

/// Indirect branches are in the listed functions alone, and each return uses the link register.
fn branches(function: &Function) -> Vec<String> {
    let is_listed = INDIRECT_BRANCHES
        .iter()
        .any(|(name, _)| function.name.contains(name));
    let wrong = function.code.iter().filter_map(|instruction| {
        if instruction.is_indirect_branch() && !is_listed {
            return Some(at(function, *instruction, "indirect branch"));
        }
        instruction
            .ret()
            .filter(|register| *register != 30)
            .map(|_| {
                at(
                    function,
                    *instruction,
                    "return by another register than X30",
                )
            })
    });
    wrong.collect()
}

/// Broadcast TLBI: the remedy that repeats them is within reach, and itself is TLBI and DSB.
fn invalidations(function: &Function, image: &Image) -> Vec<String> {
    let broadcast = |instruction: &&Instruction| instruction.tlbi() == Some(true);
    let Some(first) = function.code.iter().find(broadcast) else {
        return Vec::new();
    };
    let is_remedy = |name: &str| name.ends_with("::repeat_tlbi");
    if is_remedy(&function.name) {
        let [tlbi, dsb, ret] = function.code[..] else {
            return vec![at(function, *first, "the remedy is not TLBI, DSB, RET")];
        };
        return if tlbi.tlbi() == Some(true) && dsb.is_dsb() && ret.ret().is_some() {
            Vec::new()
        } else {
            vec![at(function, *first, "the remedy is not TLBI, DSB, RET")]
        };
    }
    let calls = |instruction: &Instruction| {
        let target = instruction.call().or(instruction.jump());
        target
            .and_then(|target| image.name_at(target))
            .is_some_and(is_remedy)
    };
    if function.code.iter().any(calls) {
        Vec::new()
    } else {
        vec![at(
            function,
            *first,
            "broadcast TLBI that no remedy repeats",
        )]
    }
}

/// Instructions of an entry of a vector table.
const ENTRY: usize = 32;

/// The entries for exceptions from a Realm, the upper half of a table, begin as they should.
fn table(image: &Image, name: &str, begins: Begins) -> Vec<String> {
    let Some(table) = image.function(name) else {
        return vec![format!("no vector table {name}")];
    };
    let Some(start) = table.code.first().map(|first| first.address) else {
        return vec![format!("the vector table {name} is empty")];
    };
    // Between entries there may be padding, which is not in the list.
    let entry = |n: u64| {
        let from = start + n * 4 * ENTRY as u64;
        let until = from + 4 * ENTRY as u64;
        let code = image.functions.iter().flat_map(|function| &function.code);
        code.copied()
            .filter(|code| (from..until).contains(&code.address))
            .collect::<Vec<_>>()
    };
    (8..16)
        .filter(|n| !begins(&entry(*n)))
        .map(|n| format!("{name}: entry {n} does not begin as it should"))
        .collect()
}

/// ESB comes before the first access to memory; then, before any other branch, a loop and its barriers.
fn overwrites_history(code: &[Instruction]) -> bool {
    let Some(back) = code.iter().position(|code| code.is_conditional_branch()) else {
        return false;
    };
    let behind = code.get(back + 1..).unwrap_or_default();
    code.first().is_some_and(|first| first.is_esb())
        && code.iter().filter(|code| code.jump().is_some()).count() == 2
        && matches!(behind, [dsb, isb, ..] if dsb.is_dsb() && isb.is_isb())
}

/// When Rust goes on after a Realm has run, X3 to X18 do not hold the Realm's values.
fn registers_of_a_realm(image: &Image) -> Vec<String> {
    let Some(exit) = image.function("realm_exit") else {
        return vec!["no realm_exit".into()];
    };
    let cleared: Vec<u32> = exit.code.iter().filter_map(|code| code.cleared()).collect();
    (3..=18)
        .filter(|register| !cleared.contains(register))
        .map(|register| format!("realm_exit: X{register} keeps the value of the Realm"))
        .collect()
}

fn at(function: &Function, instruction: Instruction, what: &str) -> String {
    format!("{}, {:#x}: {what}", function.name, instruction.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERET: u32 = 0xD69F_03E0;
    const SB: u32 = 0xD503_30FF;
    const DSB: u32 = 0xD503_3B9F;
    const ISB: u32 = 0xD503_3FDF;
    const RET: u32 = 0xD65F_03C0;
    const NOP: u32 = 0xD503_201F;
    const CLRBHB: u32 = 0xD503_22DF;
    const ESB: u32 = 0xD503_221F;
    const VMALLE1IS: u32 = 0xD508_831F;
    const BR_X10: u32 = 0xD61F_0140;
    const STP_Q: u32 = 0xAD00_0400;
    const B_NE_BACK: u32 = 0x54FF_FFC1;

    fn function(name: &str, address: u64, words: &[u32]) -> Function {
        let code = words.iter().enumerate().map(|(n, word)| Instruction {
            address: address + 4 * n as u64,
            word: *word,
        });
        Function {
            name: name.into(),
            code: code.collect(),
        }
    }

    #[test]
    fn segments() {
        let permissions = |write, execute| Permissions {
            read: true,
            write,
            execute,
        };
        assert_eq!(segment(&permissions(false, true)), None);
        assert_eq!(segment(&permissions(true, false)), None);
        assert!(segment(&permissions(true, true)).is_some());
    }

    #[test]
    fn barriers_behind_returns() {
        for (words, wrong) in [
            (&[ERET, SB][..], 0),
            (&[ERET, DSB, ISB], 0),
            (&[ERET, DSB], 1),
            (&[ERET, ISB, DSB], 1),
            (&[ERET], 1),
            (&[RET], 0),
        ] {
            assert_eq!(returns(&function("f", 0, words)).len(), wrong, "{words:x?}");
        }
    }

    #[test]
    fn vector_registers() {
        assert_eq!(vectors(&function("simd_save_q", 0, &[STP_Q])).len(), 0);
        assert_eq!(vectors(&function("rmm_core::f", 0, &[STP_Q, NOP])).len(), 1);
    }

    #[test]
    fn indirect_branches() {
        let code = [BR_X10, RET];
        assert_eq!(
            branches(&function("rmm_core::rmi::handle", 0, &code)).len(),
            0
        );
        assert_eq!(
            branches(&function("rmm_core::rec::create", 0, &code)).len(),
            1
        );
        assert_eq!(
            branches(&function("f", 0, &[0xD65F_0220])).len(),
            1,
            "ret x17"
        );
    }

    #[test]
    fn repeated_invalidations() {
        let remedy = function(
            "rmm_core::arch::cpu::repeat_tlbi",
            0x1000,
            &[VMALLE1IS, DSB, RET],
        );
        // BL from 0x2008 to 0x1000.
        let call = 0x9400_0000 | 0x3FF_FFFF & (-0x1008_i32 / 4).cast_unsigned();
        let with = function("with", 0x2000, &[VMALLE1IS, DSB, call, RET]);
        let without = function("without", 0x3000, &[VMALLE1IS, DSB, RET]);
        let local = function("local", 0x4000, &[0xD508_871F, DSB, RET]);
        let short = function("x::repeat_tlbi", 0x5000, &[VMALLE1IS, RET]);
        let image = Image {
            functions: vec![remedy.clone(), with.clone()],
            ..Image::default()
        };
        assert_eq!(invalidations(&remedy, &image).len(), 0);
        assert_eq!(invalidations(&with, &image).len(), 0);
        assert_eq!(invalidations(&without, &image).len(), 1);
        assert_eq!(invalidations(&local, &image).len(), 0);
        assert_eq!(invalidations(&short, &image).len(), 1);
    }

    #[test]
    fn vector_tables() {
        const JUMP: u32 = 0x1400_0100;
        let entries = |words: &[u32]| {
            let mut table = vec![NOP; 8 * ENTRY];
            for _ in 8..16 {
                let mut entry = words.to_vec();
                entry.resize(ENTRY, NOP);
                table.extend(entry);
            }
            Image {
                functions: vec![function("table", 0x800, &table)],
                ..Image::default()
            }
        };
        let [(_, plain), (_, clrbhb), (_, looping)] = TABLES;
        let wrong = |words: &[u32], begins| table(&entries(words), "table", begins).len();
        let overwrite = [ESB, NOP, 0x1400_0001, NOP, B_NE_BACK, DSB, ISB, NOP, JUMP];
        for (words, begins, expected) in [
            (&[JUMP][..], plain, 0),
            (&[NOP, JUMP], plain, 8),
            (&[CLRBHB, ISB, JUMP], clrbhb, 0),
            (&[ISB, CLRBHB, JUMP], clrbhb, 8),
            (&[JUMP], clrbhb, 8),
            (&overwrite, looping, 0),
            (&overwrite[1..], looping, 8),
            (&[ESB, JUMP], looping, 8),
        ] {
            assert_eq!(wrong(words, begins), expected, "{words:x?}");
        }
        assert_eq!(table(&Image::default(), "table", plain).len(), 1);
    }

    #[test]
    fn registers_after_a_realm() {
        let clears: Vec<u32> = (3..=18).map(|n| 0xAA1F_03E0 | n).collect();
        let image = |words: &[u32]| Image {
            functions: vec![function("realm_exit", 0, words)],
            ..Image::default()
        };
        assert_eq!(registers_of_a_realm(&image(&clears)).len(), 0);
        assert_eq!(registers_of_a_realm(&image(&clears[2..])).len(), 2);
        assert_eq!(registers_of_a_realm(&Image::default()).len(), 1);
    }
}
