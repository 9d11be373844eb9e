// SPDX-License-Identifier: BSD-3-Clause
//! `pack`: flattens an ELF file to the raw image that firmware loads and enters at its first byte.

use crate::{Outcome, whole};
use object::elf::{PF_W, PF_X, PT_DYNAMIC, PT_LOAD, SHF_ALLOC, SHT_REL, SHT_RELA};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "pack <elf> <img> [--limit BYTES]: writes the loadable segments of <elf>, \
                     without what is zero at their end, to <img>, and a copy of <elf> beside it";

/// An image and the sizes of its parts in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    bytes: Vec<u8>,
    text: u64,
    rodata: u64,
    data: u64,
    bss: u64,
}

/// Runs the command.
pub fn main(arguments: &[String]) -> Outcome {
    let (elf, img, limit) = match arguments {
        [elf, img] => (elf, img, None),
        [elf, img, option, limit] if option == "--limit" => (elf, img, Some(limit.parse()?)),
        _ => return Err(USAGE.into()),
    };
    let file = std::fs::read(elf).map_err(|error| format!("{elf}: {error}"))?;
    let image = flatten(&file, limit).map_err(|error| format!("{elf}: {error}"))?;
    let img = Path::new(img);
    if let Some(folder) = img.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // The image last: once it is there, both are.
    let beside = img.with_extension("elf");
    if beside != Path::new(elf) {
        whole::write(&beside, &file)?;
    }
    whole::write(img, &image.bytes)?;
    println!(
        "{}: {} bytes (text {}, rodata {}, data {}; bss {})",
        img.display(),
        image.bytes.len(),
        image.text,
        image.rodata,
        image.data,
        image.bss
    );
    Ok(ExitCode::SUCCESS)
}

/// Flattens an ELF file. Checks that a loader needs to know nothing of ELF: one base address, entry at
/// the first byte, no relocations.
fn flatten(file: &[u8], limit: Option<usize>) -> Result<Image, String> {
    let elf = ElfFile64::<LittleEndian>::parse(file).map_err(|error| error.to_string())?;
    let endian = elf.endian();
    let mut image = Image {
        bytes: Vec::new(),
        text: 0,
        rodata: 0,
        data: 0,
        bss: 0,
    };
    let mut segments = Vec::new();
    for segment in elf.elf_program_headers() {
        if segment.p_type(endian) == PT_DYNAMIC {
            return Err("has a dynamic section: the image must need no relocation".into());
        }
        if segment.p_type(endian) == PT_LOAD && segment.p_memsz(endian) != 0 {
            segments.push(segment);
        }
    }
    segments.sort_by_key(|segment| segment.p_paddr(endian));
    let Some(first) = segments.first() else {
        return Err("nothing to load".into());
    };
    let base = first.p_paddr(endian);
    let entry = elf.elf_header().e_entry(endian);
    if entry != first.p_vaddr(endian) {
        return Err(format!(
            "the entry {entry:#x} is not the first byte, {:#x}",
            first.p_vaddr(endian)
        ));
    }
    for section in elf.sections() {
        let header = section.elf_section_header();
        let kind = header.sh_type(endian);
        if (kind == SHT_RELA || kind == SHT_REL)
            && header.sh_flags(endian).0 & SHF_ALLOC.0 != 0
            && section.size() != 0
        {
            let name = section.name().unwrap_or("without name");
            return Err(format!("relocations remain in section {name}"));
        }
    }
    for segment in segments {
        let flags = segment.p_flags(endian).0;
        let (stored, memory) = (segment.p_filesz(endian), segment.p_memsz(endian));
        match (flags & PF_W.0 != 0, flags & PF_X.0 != 0) {
            (true, true) => {
                return Err(format!(
                    "the segment at {:#x} is writable and executable",
                    segment.p_vaddr(endian)
                ));
            }
            (false, true) => image.text += stored,
            (true, false) => image.data += stored,
            (false, false) => image.rodata += stored,
        }
        image.bss += memory.saturating_sub(stored);
        if stored == 0 {
            continue;
        }
        let data = segment
            .data(endian, file)
            .map_err(|()| "a segment lies outside the file".to_string())?;
        let offset =
            usize::try_from(segment.p_paddr(endian) - base).map_err(|error| error.to_string())?;
        // Firmware images are small: a segment this far off was linked for another memory map.
        if offset > 1 << 30 {
            return Err("the segments are more than 1 GiB apart".into());
        }
        if offset < image.bytes.len() {
            return Err("segments overlap".into());
        }
        image.bytes.resize(offset, 0);
        image.bytes.extend_from_slice(data);
    }
    if let Some(limit) = limit.filter(|&limit| image.bytes.len() > limit) {
        return Err(format!(
            "the image has {} bytes, {limit} are allowed",
            image.bytes.len()
        ));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: u32 = 4;
    const W: u32 = PF_W.0;
    const X: u32 = PF_X.0;

    /// One loadable segment: flags, physical address, memory size, content.
    type Segment<'a> = (u32, u64, u64, &'a [u8]);

    /// An ELF file of these segments, virtual addresses equal to physical ones plus `offset`.
    fn elf(entry: u64, offset: u64, segments: &[Segment<'_>]) -> Vec<u8> {
        let headers = 64 + 56 * segments.len();
        let mut file = vec![0u8; headers];
        file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        file[16..18].copy_from_slice(&2u16.to_le_bytes());
        file[18..20].copy_from_slice(&183u16.to_le_bytes());
        file[20..24].copy_from_slice(&1u32.to_le_bytes());
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[52..54].copy_from_slice(&64u16.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
        file[58..60].copy_from_slice(&64u16.to_le_bytes());
        for (i, &(flags, address, memory, content)) in segments.iter().enumerate() {
            let place = file.len() as u64;
            let header = &mut file[64 + 56 * i..][..56];
            header[..4].copy_from_slice(&PT_LOAD.0.to_le_bytes());
            header[4..8].copy_from_slice(&flags.to_le_bytes());
            header[8..16].copy_from_slice(&place.to_le_bytes());
            header[16..24].copy_from_slice(&(address + offset).to_le_bytes());
            header[24..32].copy_from_slice(&address.to_le_bytes());
            header[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
            header[40..48].copy_from_slice(&memory.to_le_bytes());
            file.extend_from_slice(content);
        }
        file
    }

    const HIGH: u64 = 0xFFFF_FFFF_0000_0000;

    #[test]
    fn segments_keep_their_distance_and_bss_is_left_out() {
        let file = elf(
            0x1000 + HIGH,
            HIGH,
            &[
                (R | X, 0x1000, 4, &[1, 2, 3, 4]),
                (R, 0x1008, 2, &[5, 6]),
                (R | W, 0x1010, 0x100, &[7]),
                (R | W, 0x2000, 0x1000, &[]),
            ],
        );
        let image = flatten(&file, Some(17)).unwrap();
        let mut bytes = vec![1, 2, 3, 4, 0, 0, 0, 0, 5, 6];
        bytes.extend([0; 6]);
        bytes.push(7);
        assert_eq!(
            image,
            Image {
                bytes,
                text: 4,
                rodata: 2,
                data: 1,
                bss: 0x10FF
            }
        );
    }

    #[test]
    fn what_a_loader_cannot_know_is_refused() {
        let text = (R | X, 0x1000, 4, &[1u8, 2, 3, 4][..]);
        let refused = |file: &[u8], limit, why: &str| {
            let error = flatten(file, limit).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(&elf(0x1004, 0, &[text]), None, "not the first byte");
        refused(&elf(0x1000, 0, &[text]), Some(3), "3 are allowed");
        let writable = (R | W | X, 0x2000, 4, &[0u8; 4][..]);
        refused(&elf(0x1000, 0, &[text, writable]), None, "writable and");
        let inside = (R, 0x1002, 4, &[0u8; 4][..]);
        refused(&elf(0x1000, 0, &[text, inside]), None, "overlap");
        refused(&elf(0x1000, 0, &[]), None, "nothing to load");
        let mut dynamic = elf(0x1000, 0, &[text, (R, 0x2000, 4, &[0; 4])]);
        dynamic[64 + 56..][..4].copy_from_slice(&PT_DYNAMIC.0.to_le_bytes());
        refused(&dynamic, None, "dynamic");
        refused(&[0; 64], None, "");
    }
}
