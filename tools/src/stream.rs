// SPDX-License-Identifier: BSD-3-Clause
//! Splits what the machine's UART prints: lines of text, and bytes of a guest's console, which the test
//! Host marks one by one.

use tests_fvp::guest::CONSOLE;

/// A part of the output.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// A line, without its end.
    Line(String),
    /// Bytes of a guest's console.
    Console(Vec<u8>),
}

/// What has come of the next line.
#[derive(Default)]
pub struct Splitter {
    line: Vec<u8>,
    /// The last byte was [`CONSOLE`].
    marked: bool,
}

impl Splitter {
    /// Splits the next bytes.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Part)) {
        let mut console = Vec::new();
        for byte in bytes {
            if std::mem::take(&mut self.marked) {
                console.push(*byte);
                continue;
            }
            match *byte {
                CONSOLE => self.marked = true,
                b'\n' => {
                    // In the order in which they came.
                    if !console.is_empty() {
                        take(Part::Console(std::mem::take(&mut console)));
                    }
                    take(Part::Line(self.take_line()));
                }
                byte => self.line.push(byte),
            }
        }
        if !console.is_empty() {
            take(Part::Console(console));
        }
    }

    /// The last line, if it has no end.
    pub fn finish(mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take_line())
    }

    fn take_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of output that comes in pieces of `size` bytes, console bytes joined.
    fn split(output: &[u8], size: usize) -> (Vec<String>, Vec<u8>, Option<String>) {
        let (mut splitter, mut lines, mut console) = (Splitter::default(), vec![], vec![]);
        for piece in output.chunks(size) {
            splitter.push(piece, |part| match part {
                Part::Line(line) => lines.push(line),
                Part::Console(bytes) => console.extend(bytes),
            });
        }
        (lines, console, splitter.finish())
    }

    #[test]
    fn console_bytes_may_be_anywhere_and_anything() {
        let output = b"host: a\r\n\x10$\x10 ho\x10\nst: \x10\x10b\n\x10\xFFhalf";
        for size in 1..=output.len() {
            let (lines, console, rest) = split(output, size);
            assert_eq!(lines, ["host: a", "host: b"]);
            assert_eq!(console, b"$ \n\x10\xFF");
            assert_eq!(rest.as_deref(), Some("half"));
        }
        assert_eq!(split(b"", 1).2, None);
    }

    #[test]
    fn parts_keep_their_order() {
        let mut parts = Vec::new();
        Splitter::default().push(b"\x10aone\n\x10b", |part| parts.push(part));
        assert_eq!(
            parts,
            [
                Part::Console(b"a".to_vec()),
                Part::Line("one".into()),
                Part::Console(b"b".to_vec())
            ]
        );
    }
}
