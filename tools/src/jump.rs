// SPDX-License-Identifier: BSD-3-Clause
//! `jump`: a flash file whose program jumps to the test Host, for a board that runs BL33 from flash.

use crate::Outcome;
use crate::board::Board;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "jump BOARD FILE: writes the second flash of a board to FILE";

/// Bytes of the flash: QEMU refuses a file of another size.
const FLASH: u64 = 256 << 20;

/// Runs the command.
pub fn main(arguments: &[String]) -> Outcome {
    let [board, file] = arguments else {
        return Err(USAGE.into());
    };
    let target = Board::find(board)?.loads_host;
    let target = target.ok_or_else(|| format!("{board} has no second flash"))?;
    let mut flash = File::create(file).map_err(|error| format!("{file}: {error}"))?;
    for instruction in program(target) {
        flash.write_all(&instruction.to_le_bytes())?;
    }
    // A hole, not bytes on the disk.
    flash.set_len(FLASH)?;
    Ok(ExitCode::SUCCESS)
}

/// `MOVZ` and three `MOVK` of X16, then `BR X16`. X0 to X3, which EL3 has set, are kept.
fn program(target: u64) -> [u32; 5] {
    const X16: u32 = 16;
    let part = |n: u32| (n << 21) | ((target >> (16 * n) & 0xFFFF) as u32) << 5 | X16;
    [
        0xD280_0000 | part(0),
        0xF280_0000 | part(1),
        0xF280_0000 | part(2),
        0xF280_0000 | part(3),
        0xD61F_0000 | X16 << 5,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an assembler encodes them.
    #[test]
    fn the_program_jumps() {
        let expected = [
            0xD29B_DE10, // mov x16, #0xdef0
            0xF2B3_5790, // movk x16, #0x9abc, lsl #16
            0xF2CA_CF10, // movk x16, #0x5678, lsl #32
            0xF2E2_4690, // movk x16, #0x1234, lsl #48
            0xD61F_0200, // br x16
        ];
        assert_eq!(program(0x1234_5678_9ABC_DEF0), expected);
    }
}
