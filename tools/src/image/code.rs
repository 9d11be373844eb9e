// SPDX-License-Identifier: BSD-3-Clause
//! The functions of an ELF file, and as much of A64 as the checks need (DDI 0487, C4.1).

use object::elf::{PF_R, PF_W, PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// What the checks look at.
#[derive(Debug, Default)]
pub struct Image {
    /// Permissions of the segments that are loaded.
    pub segments: Vec<Permissions>,
    /// Code by symbol, in ascending order of address.
    pub functions: Vec<Function>,
    /// Address and bytes of `.rodata`.
    pub rodata: (u64, Vec<u8>),
}

/// Permissions of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// Instructions from a symbol to the next one.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// The symbol; that of Rust code without its hash.
    pub name: String,
    pub code: Vec<Instruction>,
}

/// An instruction and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub address: u64,
    pub word: u32,
}

impl Image {
    /// Reads an ELF file.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let text = |error: object::Error| error.to_string();
        let elf = ElfFile64::<LittleEndian>::parse(file).map_err(text)?;
        let endian = elf.endian();
        let headers = elf
            .elf_header()
            .program_headers(endian, file)
            .map_err(text)?;
        let loaded = headers
            .iter()
            .filter(|header| header.p_type(endian) == PT_LOAD && header.p_memsz(endian) != 0);
        let segments = loaded.map(|header| {
            let flags = header.p_flags(endian);
            Permissions {
                read: (flags & PF_R).0 != 0,
                write: (flags & PF_W).0 != 0,
                execute: (flags & PF_X).0 != 0,
            }
        });
        let section = |name| {
            let section = elf.section_by_name(name).ok_or(format!("no {name}"))?;
            Ok::<_, String>((section.address(), section.data().map_err(text)?.to_vec()))
        };
        let (start, bytes) = section(".text")?;
        let mut symbols: Vec<(u64, String)> = elf
            .symbols()
            .filter(|symbol| {
                matches!(
                    symbol.kind(),
                    SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label
                )
            })
            .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())))
            .filter(|(address, _)| (start..start + bytes.len() as u64).contains(address))
            .collect();
        // Mapping symbols come before the others at the same address.
        symbols.sort_by_key(|(address, name)| (*address, !name.starts_with('$')));
        let words = bytes
            .chunks_exact(4)
            .enumerate()
            .map(|(n, bytes)| Instruction {
                address: start + 4 * n as u64,
                word: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            });
        Ok(Self {
            segments: segments.collect(),
            functions: functions(words, &symbols),
            rodata: section(".rodata")?,
        })
    }

    /// The function with this symbol.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// The name of the function at this address.
    pub fn name_at(&self, address: u64) -> Option<&str> {
        let starts = |function: &&Function| {
            function
                .code
                .first()
                .is_some_and(|first| first.address == address)
        };
        self.functions
            .iter()
            .find(starts)
            .map(|function| &*function.name)
    }
}

/// Cuts code at its symbols and leaves out data, which mapping symbols mark: `$d` begins data and `$x`
/// code. What is behind the end of a function, to align the next one, is zero and no code either.
fn functions(words: impl Iterator<Item = Instruction>, symbols: &[(u64, String)]) -> Vec<Function> {
    let mut functions = Vec::<Function>::new();
    let mut symbols = symbols.iter().peekable();
    let mut is_code = true;
    for word in words {
        while let Some((_, name)) = symbols.next_if(|(address, _)| *address <= word.address) {
            match name.as_bytes() {
                [b'$', b'd', ..] => is_code = false,
                [b'$', b'x', ..] => is_code = true,
                _ => functions.push(Function {
                    name: readable(name),
                    code: Vec::new(),
                }),
            }
        }
        if let Some(function) = functions.last_mut()
            && is_code
            && word.word != 0
        {
            function.code.push(word);
        }
    }
    functions.retain(|function| !function.code.is_empty());
    functions
}

/// A symbol; of Rust's older mangling the path alone.
fn readable(symbol: &str) -> String {
    let Some(mut rest) = symbol.strip_prefix("_ZN") else {
        return symbol.to_owned();
    };
    let mut parts = Vec::new();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0) {
        let (length, name) = rest.split_at(digits);
        let Some((part, others)) = length
            .parse()
            .ok()
            .and_then(|n: usize| name.split_at_checked(n))
        else {
            return symbol.to_owned();
        };
        parts.push(part);
        rest = others;
    }
    parts.pop();
    parts.join("::")
}

/// Fields of a system instruction or register: op0, op1, CRn, CRm, op2.
type System = (u32, u32, u32, u32, u32);

impl Instruction {
    fn is(self, mask: u32, value: u32) -> bool {
        self.word & mask == value
    }

    /// ERET, ERETAA or ERETAB.
    pub fn is_eret(self) -> bool {
        self.is(0xFFFF_FFFF, 0xD69F_03E0) || self.is(0xFFFF_FBFF, 0xD69F_0BFF)
    }

    /// SB.
    pub fn is_sb(self) -> bool {
        self.word == 0xD503_30FF
    }

    /// DSB, of any domain.
    pub fn is_dsb(self) -> bool {
        self.is(0xFFFF_F0FF, 0xD503_309F)
    }

    /// ISB.
    pub fn is_isb(self) -> bool {
        self.is(0xFFFF_F0FF, 0xD503_30DF)
    }

    /// CLRBHB, a hint.
    pub fn is_clrbhb(self) -> bool {
        self.word == 0xD503_22DF
    }

    /// ESB, a hint.
    pub fn is_esb(self) -> bool {
        self.word == 0xD503_221F
    }

    /// BR or BLR, with or without authentication.
    pub fn is_indirect_branch(self) -> bool {
        self.is(0xFEDF_F000, 0xD61F_0000)
    }

    /// RET. `None` if it is another instruction, else the number of its register.
    pub fn ret(self) -> Option<u32> {
        self.is(0xFFFF_FC1F, 0xD65F_0000)
            .then_some(self.word >> 5 & 0x1F)
    }

    /// The target of B.
    pub fn jump(self) -> Option<u64> {
        self.is(0xFC00_0000, 0x1400_0000).then(|| self.near())
    }

    /// The target of BL.
    pub fn call(self) -> Option<u64> {
        self.is(0xFC00_0000, 0x9400_0000).then(|| self.near())
    }

    /// B.cond, CBZ, CBNZ, TBZ or TBNZ.
    pub fn is_conditional_branch(self) -> bool {
        self.is(0xFF00_0000, 0x5400_0000) || self.is(0x7C00_0000, 0x3400_0000)
    }

    /// The address that the 26 lowest bits give.
    fn near(self) -> u64 {
        let offset = i64::from((self.word << 6).cast_signed() >> 6) * 4;
        self.address.wrapping_add_signed(offset)
    }

    /// SYS, MSR (register) or MRS: what it accesses, and whether it is a read.
    pub fn system(self) -> Option<(System, bool)> {
        let fields = |shift: u32, mask: u32| self.word >> shift & mask;
        self.is(0xFFC0_0000, 0xD500_0000).then(|| {
            let system = (
                fields(19, 3),
                fields(16, 7),
                fields(12, 0xF),
                fields(8, 0xF),
                fields(5, 7),
            );
            (system, fields(21, 1) == 1)
        })
    }

    /// TLBI. `None` if it is another instruction, else whether other CPUs take part.
    pub fn tlbi(self) -> Option<bool> {
        match self.system()? {
            // CRn 9: without waiting for accesses with the XS attribute. CRm 6 and 7 are local, and of
            // CRm 4, which has the TLBI of stage 2 by IPA, these.
            ((1, op1 @ (0 | 4 | 6), 8 | 9, crm, op2), false) => {
                let is_local = matches!((op1, crm, op2), (_, 6 | 7, _) | (4, 4, 1 | 2 | 5 | 6));
                Some(!is_local)
            }
            _ => None,
        }
    }

    /// An instruction that works on vector, predicate or floating-point registers.
    pub fn is_vector(self) -> bool {
        let word = self.word;
        match word >> 25 & 0xF {
            // SME, if bit 31 is set; else reserved.
            0b0000 => word >> 31 == 1,
            // SVE.
            0b0010 => true,
            // Loads and stores: bit 26 says which registers.
            0b0100 | 0b0110 | 0b1100 | 0b1110 => word >> 26 & 1 == 1,
            // Data processing.
            0b0111 | 0b1111 => true,
            _ => false,
        }
    }

    /// MOV Xn, XZR: the number of the register.
    pub fn cleared(self) -> Option<u32> {
        self.is(0xFFFF_FFE0, 0xAA1F_03E0)
            .then_some(self.word & 0x1F)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: u32) -> Instruction {
        Instruction {
            address: 0x1000,
            word,
        }
    }

    /// Words as an assembler gives them.
    #[test]
    fn instructions() {
        assert!(word(0xD69F_03E0).is_eret(), "eret");
        assert!(word(0xD69F_0BFF).is_eret(), "eretaa");
        assert!(word(0xD69F_0FFF).is_eret(), "eretab");
        assert!(!word(0xD65F_03C0).is_eret(), "ret");
        assert!(word(0xD503_30FF).is_sb(), "sb");
        for dsb in [0xD503_3F9F, 0xD503_3B9F, 0xD503_379F] {
            assert!(word(dsb).is_dsb(), "{dsb:#x}");
        }
        assert!(!word(0xD503_3FBF).is_dsb(), "dmb sy");
        assert!(word(0xD503_3FDF).is_isb(), "isb");
        assert!(word(0xD503_22DF).is_clrbhb(), "hint #22");
        assert!(word(0xD503_221F).is_esb(), "esb");
        assert!(!word(0xD503_201F).is_esb(), "nop");
        assert!(word(0xD61F_0140).is_indirect_branch(), "br x10");
        assert!(word(0xD63F_0100).is_indirect_branch(), "blr x8");
        assert!(word(0xD61F_0BFF).is_indirect_branch(), "braaz xzr");
        assert!(word(0xD71F_0841).is_indirect_branch(), "braa x2, x1");
        assert!(!word(0xD65F_03C0).is_indirect_branch(), "ret");
        assert!(!word(0xD69F_03E0).is_indirect_branch(), "eret");
        assert_eq!(word(0xD65F_03C0).ret(), Some(30));
        assert_eq!(word(0xD65F_0220).ret(), Some(17));
        assert_eq!(word(0xD61F_0140).ret(), None);
        assert_eq!(word(0xAA1F_03E3).cleared(), Some(3), "mov x3, xzr");
        assert_eq!(word(0xAA1F_03F2).cleared(), Some(18), "mov x18, xzr");
        assert_eq!(word(0x2A1F_03E3).cleared(), None, "mov w3, wzr");
        assert_eq!(word(0xAA01_03E3).cleared(), None, "mov x3, x1");
    }

    #[test]
    fn branches() {
        assert_eq!(word(0x1400_0002).jump(), Some(0x1008), "b .+8");
        assert_eq!(word(0x17FF_FFFF).jump(), Some(0xFFC), "b .-4");
        assert_eq!(word(0x9400_0002).jump(), None);
        assert_eq!(word(0x97FF_FFFE).call(), Some(0xFF8), "bl .-8");
        for conditional in [
            0x5400_0041,
            0xB400_0040,
            0x3500_0041,
            0x3600_0040,
            0xB7F8_0041,
        ] {
            assert!(
                word(conditional).is_conditional_branch(),
                "{conditional:#x}"
            );
        }
        assert!(!word(0x1400_0002).is_conditional_branch());
    }

    #[test]
    fn invalidations() {
        for (tlbi, broadcast) in [
            (0xD508_831F, true),  // vmalle1is
            (0xD50C_83DF, true),  // vmalls12e1is
            (0xD50C_802D, true),  // ipas2e1is, x13
            (0xD508_811F, true),  // vmalle1os
            (0xD508_871F, false), // vmalle1
            (0xD50C_871F, false), // alle2
            (0xD50C_879F, false), // alle1
            (0xD50C_8620, false), // rvae2, x0
            (0xD50C_8420, false), // ipas2e1, x0
            (0xD50C_8400, true),  // ipas2e1os, x0
        ] {
            assert_eq!(word(tlbi).tlbi(), Some(broadcast), "{tlbi:#x}");
        }
        for other in [0xD508_751F, 0xD503_3B9F, 0xD538_1040] {
            assert_eq!(word(other).tlbi(), None, "{other:#x}");
        }
    }

    #[test]
    fn vectors_and_others() {
        for vector in [
            0xAD00_0400, // stp q0, q1, [x0]
            0x3DC0_0000, // ldr q0, [x0]
            0x4EA1_8400, // add v0.4s, v0.4s, v1.4s
            0x5E28_2800, // sha256su0 v0.4s, v0.4s
            0xCE60_8000, // sha512h q0, q0, v0.2d
            0x1E60_4000, // fmov d0, d0
            0x9E66_0000, // fmov x0, d0
            0x8540_4000, // ldr z0, [x0]
            0x2518_E400, // pfalse p0.b
            0xC080_0000, // zero {za}, roughly
        ] {
            assert!(word(vector).is_vector(), "{vector:#x}");
        }
        for other in [
            0xA900_0400, // stp x0, x1, [x0]
            0xF940_0000, // ldr x0, [x0]
            0x5800_0040, // ldr x0, literal
            0x9100_0400, // add x0, x0, #1
            0xAA1F_03E3, // mov x3, xzr
            0xC8DF_FC00, // ldar x0, [x0]
            0x3820_0000, // ldaddb w0, w0, [x0]
            0xD503_201F, // nop
            0x9AC1_0800, // udiv x0, x0, x1
        ] {
            assert!(!word(other).is_vector(), "{other:#x}");
        }
    }

    #[test]
    fn symbols_cut_the_code() {
        let words = [1, 2, 3, 0, 5]
            .into_iter()
            .enumerate()
            .map(|(n, word)| Instruction {
                address: 4 * n as u64,
                word,
            });
        let symbols = [
            (0, "$x.0"),
            (0, "one"),
            (8, "$d.1"),
            (12, "$x.2"),
            (12, "_ZN4core3fmt5write17h0123456789abcdefE"),
        ];
        let symbols = symbols.map(|(address, name)| (address, name.to_owned()));
        let found = functions(words, &symbols);
        let found: Vec<_> = found
            .iter()
            .map(|function| {
                let words: Vec<_> = function.code.iter().map(|code| code.word).collect();
                (&*function.name, words)
            })
            .collect();
        assert_eq!(found, [("one", vec![1, 2]), ("core::fmt::write", vec![5])]);
    }
}
