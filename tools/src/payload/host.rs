// SPDX-License-Identifier: BSD-3-Clause
//! `rmm-tools host`: boots a Linux kernel of the user's at Normal EL2, by way of `linux-loader` as BL33.

use super::Request;
use crate::Outcome;
use linux_loader::Error as KernelError;
use linux_loader::kernel::{COMMAND_LINE, Header};
use std::error::Error;
use std::fs::File;
use std::io::Read;

const USAGE: &str = "host --kernel IMAGE [--initrd FILE] [--append TEXT] [--check] [--flash FILE] [--qemu PATH] \
     [--smp N] [--ram SIZE] [--icount SHIFT] [--reset-after SECONDS] [--timeout SECONDS] [--qemu-args WORDS]";

/// MiB that a kernel needs beside its own and the initrd's.
const REST: u64 = 128;

/// Boots, or only checks the arguments.
pub fn main(arguments: &[String]) -> Outcome {
    let mut request = Request::new();
    let (mut kernel, mut initrd, mut append) = ("", "", "");
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        if name == "--check" {
            request.check = true;
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("usage: {USAGE}"))?;
        match name.as_str() {
            "--kernel" => kernel = value,
            "--initrd" => initrd = value,
            "--append" => append = value,
            _ if request.take(name, value)? => {}
            _ => return Err(format!("{name}? usage: {USAGE}").into()),
        }
    }
    let mut used = match kernel {
        // One that is still to come.
        "" if request.check => 0,
        kernel => check_kernel(kernel)?,
    };
    check_append(append)?;
    // Before the user's own arguments, which may add to them.
    let mut extra: Vec<String> = ["-kernel", kernel, "-append", append]
        .map(String::from)
        .into();
    if !initrd.is_empty() {
        used += file_size("INITRD", initrd)?.1;
        extra.extend(["-initrd".into(), initrd.into()]);
    }
    let (needed, ram) = ((used >> 20) + REST, request.options.memory);
    if needed > ram {
        return Err(format!("RAM={ram}M is too little for kernel and initrd: {needed}M").into());
    }
    extra.append(&mut request.options.extra);
    request.options.extra = extra;
    request.boot()
}

/// Opens a file. Returns its size, too.
fn file_size(what: &str, name: &str) -> Result<(File, u64), String> {
    let of = |error: std::io::Error| format!("{what}={name}: {error}");
    let file = File::open(name).map_err(of)?;
    let data = file.metadata().map_err(of)?;
    if data.is_file() && data.len() > 0 {
        Ok((file, data.len()))
    } else {
        Err(format!("{what}={name} is not a file with something in it"))
    }
}

/// Whether the loader can boot a file. Returns the bytes that the kernel takes.
fn check_kernel(name: &str) -> Result<u64, Box<dyn Error>> {
    let (mut file, bytes) = file_size("KERNEL", name)?;
    let mut header = [0; Header::SIZE];
    let read = match file.read_exact(&mut header) {
        Ok(()) => Header::read(&header, bytes),
        Err(_) => Err(KernelError::NotAnImage),
    };
    match read {
        Ok(header) => Ok(header.memory),
        Err(_) if header.starts_with(&[0x1F, 0x8B]) || header.get(4..8) == Some(b"zimg") => {
            Err(format!("KERNEL={name} is compressed: unpack it to an arm64 Image first").into())
        }
        Err(error) => Err(format!("KERNEL={name}: {error}").into()),
    }
}

fn check_append(text: &str) -> Result<(), String> {
    if text.len() >= COMMAND_LINE {
        return Err(format!(
            "APPEND has {} characters: a kernel takes {}",
            text.len(),
            COMMAND_LINE - 1
        ));
    }
    if text.contains(|c: char| c.is_control() || !c.is_ascii()) {
        return Err("APPEND has characters that a command line cannot have".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_and_command_lines_are_judged() {
        let file = std::env::temp_dir().join(format!("rmm-host-{}", std::process::id()));
        let name = file.to_str().unwrap();
        let mut image = vec![0; 4096];
        image[56..60].copy_from_slice(b"ARM\x64");
        image[16..24].copy_from_slice(&(3u64 << 20).to_le_bytes());
        std::fs::write(&file, &image).unwrap();
        assert_eq!(check_kernel(name).unwrap(), 3 << 20);
        for (content, words) in [
            (&b"short"[..], "not an arm64 Image"),
            (&[0; 4096], "not an arm64 Image"),
            (&[0x1F, 0x8B, 8, 0], "compressed"),
            (&b"MZ\0\0zimg"[..], "compressed"),
            (b"", "something in it"),
        ] {
            let mut content = content.to_vec();
            if !content.is_empty() {
                content.resize(4096.max(content.len()), 0);
            }
            std::fs::write(&file, &content).unwrap();
            let error = check_kernel(name).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(check_kernel(name).is_err());
        assert!(check_append("console=ttyAMA0 root=/dev/vda $x").is_ok());
        assert!(check_append(&"x".repeat(COMMAND_LINE - 1)).is_ok());
        assert!(check_append(&"x".repeat(COMMAND_LINE)).is_err());
        assert!(check_append("a\nb").is_err());
    }
}
