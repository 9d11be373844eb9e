// SPDX-License-Identifier: BSD-3-Clause
//! The header of an arm64 kernel (Linux, Documentation/arch/arm64/booting).

use crate::Error;

/// Kernels are placed relative to a multiple of this many bytes.
pub const ALIGNMENT: u64 = 2 << 20;

/// Bytes of a command line that a kernel takes, its final zero included.
pub const COMMAND_LINE: usize = 2048;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes from a multiple of [`ALIGNMENT`] to the kernel.
    pub text_offset: u64,
    /// Bytes of memory that the kernel uses from its start, which the file may not exceed.
    pub memory: u64,
}

impl Header {
    /// Bytes that are needed to read one.
    pub const SIZE: usize = 64;

    /// Reads the header of a kernel whose file has `bytes` bytes.
    ///
    /// # Errors
    ///
    /// If it is not a kernel that the loader can boot.
    pub fn read(header: &[u8; Self::SIZE], bytes: u64) -> Result<Self, Error> {
        let word = |at: usize| {
            let field = header.get(at..).and_then(|rest| rest.first_chunk());
            field.map_or(0, |field| u64::from_le_bytes(*field))
        };
        if header.get(56..60) != Some(b"ARM\x64") {
            return Err(Error::NotAnImage);
        }
        let (text_offset, image_size, flags) = (word(8), word(16), word(24));
        if flags & 1 != 0 || image_size == 0 {
            return Err(Error::UnknownImage);
        }
        Ok(Self {
            text_offset,
            memory: image_size.max(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text_offset: u64, image_size: u64, flags: u64) -> [u8; Header::SIZE] {
        let mut header = [0; Header::SIZE];
        header[8..16].copy_from_slice(&text_offset.to_le_bytes());
        header[16..24].copy_from_slice(&image_size.to_le_bytes());
        header[24..32].copy_from_slice(&flags.to_le_bytes());
        header[56..60].copy_from_slice(b"ARM\x64");
        header
    }

    #[test]
    fn a_kernel_says_how_much_memory_it_takes() {
        let read = |header| Header::read(&header, 0x1000);
        let found = read(header(0x8_0000, 0x20_0000, 0b1010)).unwrap();
        assert_eq!((found.text_offset, found.memory), (0x8_0000, 0x20_0000));
        assert_eq!(read(header(0, 0x10, 2)).unwrap().memory, 0x1000);
        assert_eq!(read(header(0, 0, 2)), Err(Error::UnknownImage));
        assert_eq!(read(header(0, 0x20_0000, 1)), Err(Error::UnknownImage));
        assert_eq!(read([0; Header::SIZE]), Err(Error::NotAnImage));
    }
}
