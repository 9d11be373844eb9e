// SPDX-License-Identifier: BSD-3-Clause
//! Where kernel, device tree and initrd are in the guest's RAM. IPAs, in bytes.

use std::ops::Range;
use tests_fvp::guest::{BLOCK, RAM};

/// What the header of an arm64 kernel image says (Linux, Documentation/arch/arm64/booting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelHeader {
    /// Bytes from a 2 MiB boundary to the image.
    pub text_offset: u64,
    /// Bytes of memory that the kernel uses from the image's start, its file included.
    pub memory: u64,
}

impl KernelHeader {
    /// Bytes that are needed to read one.
    pub const SIZE: usize = 64;

    /// Reads the header of an image of `bytes` bytes; `None` if it is not one.
    pub fn read(header: &[u8; Self::SIZE], bytes: u64) -> Option<Self> {
        let word = |at| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let magic = header.get(56..60)? == b"ARM\x64";
        magic.then_some(Self {
            text_offset: word(8)?,
            memory: word(16)?.max(bytes),
        })
    }
}

/// What is where in RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First IPA behind RAM.
    pub ram_end: u64,
    /// The kernel image; also the entry point.
    pub kernel: u64,
    /// The device tree.
    pub tree: u64,
    /// The initrd, if there is one.
    pub initrd: Option<Range<u64>>,
}

impl Layout {
    /// Lays out kernel, device tree and initrd in this order from the start of RAM.
    ///
    /// # Errors
    ///
    /// If RAM is too small.
    pub fn new(header: &KernelHeader, ram: u64, initrd: Option<u64>) -> Result<Self, String> {
        let small = || format!("MEM={}M is too little for kernel and initrd", ram >> 20);
        let room = || {
            let kernel = RAM.checked_add(header.text_offset)?;
            let end = kernel.checked_add(header.memory)?;
            let tree = end.checked_next_multiple_of(BLOCK)?;
            let start = tree.checked_add(BLOCK)?;
            let initrd = start..start.checked_add(initrd.unwrap_or_default())?;
            let ram_end = RAM.checked_add(ram)?;
            (initrd.end <= ram_end).then_some((kernel, tree, initrd, ram_end))
        };
        let (kernel, tree, place, ram_end) = room().ok_or_else(small)?;
        Ok(Self {
            ram_end,
            kernel,
            tree,
            initrd: initrd.map(|_| place),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text_offset: u64, memory: u64) -> [u8; KernelHeader::SIZE] {
        let mut bytes = [0; KernelHeader::SIZE];
        bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&memory.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes
    }

    #[test]
    fn parts_do_not_overlap() {
        let header = KernelHeader::read(&header(0x8_0000, 5 << 20), 4 << 20).unwrap();
        let layout = Layout::new(&header, 64 << 20, Some(0x1234)).unwrap();
        assert_eq!(layout.kernel, 0x4008_0000);
        assert_eq!(layout.tree, 0x4060_0000);
        assert_eq!(layout.initrd, Some(0x4080_0000..0x4080_1234));
        assert_eq!(layout.ram_end, 0x4400_0000);
        assert_eq!(Layout::new(&header, 64 << 20, None).unwrap().initrd, None);
        // 8 MiB end where the initrd would begin.
        assert!(Layout::new(&header, 8 << 20, Some(1)).is_err());
        assert!(Layout::new(&header, 8 << 20, None).is_ok());
        assert!(Layout::new(&header, 6 << 20, None).is_err());
    }

    #[test]
    fn a_header_is_not_believed_blindly() {
        // The file may be larger than the header says.
        let small = KernelHeader::read(&header(0, 1), 4096).unwrap();
        assert_eq!(small.memory, 4096);
        assert_eq!(KernelHeader::read(&[0; KernelHeader::SIZE], 4096), None);
        for bad in [
            header(u64::MAX, 0),
            header(0, u64::MAX),
            header(1 << 63, 1 << 63),
        ] {
            let header = KernelHeader::read(&bad, 4096).unwrap();
            assert!(Layout::new(&header, 1 << 30, Some(1)).is_err());
        }
    }
}
