// SPDX-License-Identifier: BSD-3-Clause
//! `cca-guest`: attests the Realm it runs in and gets a secret. README.md beside this crate explains it.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cca_token::protocol::carrier::{AtEnd, Carrier, Side};
use cca_token::protocol::guest::{Error, Patience, obtain};
use cca_token::seal::Secret;
use cca_token::tsm::{REPORTS, Reports};

const USAGE: &str = "usage: cca-guest --device PATH [--sealed FILE --out FILE] [--secret-out FILE]
                 [--timeout SECONDS] [--reports FOLDER]
  --device      carrier to the relying party, such as /dev/hvc0 or /dev/vport1p1;
                - is standard input and output
  --sealed      file to open with the secret, into the file --out
  --secret-out  file for the secret itself, in hexadecimal
  --timeout     how long to try, 120 seconds unless given
  --reports     configfs folder of TSM reports, /sys/kernel/config/tsm/report unless given
exit codes: 0 done; 1 no secret, or it does not open the file; 2 wrong use or missing file or device";

/// The device must not become the terminal that controls this process: Linux's O_NOCTTY.
const O_NOCTTY: i32 = 0o400;

struct Arguments {
    device: PathBuf,
    sealed: Option<(PathBuf, PathBuf)>,
    secret_out: Option<PathBuf>,
    timeout: Duration,
    reports: PathBuf,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = arguments;
        let (mut device, mut sealed, mut out, mut secret_out) = (None, None, None, None);
        let mut timeout = Duration::from_secs(120);
        let mut reports = PathBuf::from(REPORTS);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--device" => device = Some(value.into()),
                "--sealed" => sealed = Some(value.into()),
                "--out" => out = Some(value.into()),
                "--secret-out" => secret_out = Some(value.into()),
                "--timeout" => timeout = Duration::from_secs(u64::from(value.parse::<u32>().ok()?)),
                "--reports" => reports = value.into(),
                _ => return None,
            }
        }
        let sealed = match (sealed, out) {
            (Some(sealed), Some(out)) => Some((sealed, out)),
            (None, None) => None,
            _ => return None,
        };
        Some(Self {
            device: device?,
            sealed,
            secret_out,
            timeout,
            reports,
        })
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Standard output may be the carrier.
    let to_stdout = arguments.device != Path::new("-");
    let say = |line: &str| {
        if to_stdout {
            println!("{line}");
        } else {
            eprintln!("{line}");
        }
    };
    match run(&arguments, &say) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            say(&format!("cca-guest: {why}"));
            ExitCode::from(code)
        }
    }
}

/// Exit code and reason.
type Failure = (u8, String);

fn run(arguments: &Arguments, say: &dyn Fn(&str)) -> Result<(), Failure> {
    let unusable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| (2, format!("{path}: {error}"))
    };
    // Read before anything is sent, so that a missing file costs nothing.
    let sealed = match &arguments.sealed {
        Some((file, _)) => Some(std::fs::read(file).map_err(unusable(file))?),
        None => None,
    };
    let mut carrier = open(&arguments.device).map_err(unusable(&arguments.device))?;
    let mut reports = Reports::new(&arguments.reports);
    let patience = Patience::new(arguments.timeout);
    let obtained = obtain(&mut carrier, &mut reports, patience, |size| {
        say(&format!("token: sent, {size} bytes"));
    });
    let secret = match obtained {
        Ok(secret) => secret,
        Err(error @ Error::Token(_)) => return Err((2, error.to_string())),
        Err(error) => {
            say("secret: withheld");
            return Err((1, error.to_string()));
        }
    };
    say("secret: received");
    if let (Some(sealed), Some((file, out))) = (sealed, &arguments.sealed) {
        let content = secret
            .open(&sealed)
            .map_err(|e| (1, format!("{}: {e}", file.display())))?;
        write_private(out, &content).map_err(unusable(out))?;
        say(&format!("sealed file: opened, {} bytes", content.len()));
    }
    if let Some(out) = &arguments.secret_out {
        write_secret(out, &secret).map_err(unusable(out))?;
    }
    Ok(())
}

fn open(device: &Path) -> std::io::Result<Carrier> {
    if device == Path::new("-") {
        return Ok(Carrier::new(
            Side::Guest,
            std::io::stdin(),
            std::io::stdout(),
            AtEnd::Closed,
        ));
    }
    let output = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(O_NOCTTY)
        .open(device)?;
    let input: File = output.try_clone()?;
    Ok(Carrier::new(Side::Guest, input, output, AtEnd::Wait))
}

fn write_secret(path: &Path, secret: &Secret) -> std::io::Result<()> {
    write_private(
        path,
        format!("{}\n", cca_token::hex::encode(secret.bytes())).as_bytes(),
    )
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // One that was there before may have been open to others; a device is as it is.
    if file.metadata()?.is_file() {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(content)
}
