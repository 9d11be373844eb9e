// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token serve`

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cca_token::hex::encode;
use cca_token::protocol::carrier::{AtEnd, Carrier, Side};
use cca_token::protocol::party::{Ended, Event, serve};
use cca_token::seal::Secret;
use cca_token::verify::Policy;

use crate::seal::SecretArguments;
use crate::{End, Outcome, TEST_KEYS_WARNING, of, out, policy};

/// How long a guest may leave our messages unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a socket that is not there yet is tried.
const RETRY: Duration = Duration::from_millis(100);

/// Release a secret to guests whose token is verified
///
/// Without --secret or --new-secret the secret is random and known to nobody but the guest.
#[derive(clap::Args)]
pub struct Arguments {
    /// How guests reach us: unix:PATH or tcp:PORT to listen (the latter at 127.0.0.1 alone),
    /// unix-connect:PATH or tcp-connect:PORT to call, device:PATH, or stdio
    #[arg(long, value_name = "CARRIER")]
    carrier: String,
    /// Guests to serve, one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    sessions: u32,
    /// Seconds to wait for each guest to come and to finish
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u32,
    /// Write the last token that came to this file, and print the challenge that it has to be for: what
    /// verify needs to judge it again
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
    #[command(flatten)]
    secret: SecretArguments,
    #[command(flatten)]
    policy: policy::PolicyArguments,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let policy = arguments.policy.policy()?;
    let place = Place::named(&arguments.carrier)?;
    let secret = match arguments.secret.secret()? {
        Some(secret) => secret,
        None => Secret::new().map_err(|e| e.to_string())?,
    };
    let mut listener = place
        .listen()
        .map_err(|e| format!("{}: {e}", arguments.carrier))?;
    // Standard output may be the carrier.
    let to_stdout = !matches!(place, Place::Stdio);
    let say = |line: &str| {
        if to_stdout {
            // The guest is served even if nobody reads what we print.
            let _ = out(&format!("{line}\n"));
        } else {
            eprintln!("{line}");
        }
    };
    say(&format!("serve: ready at {}", arguments.carrier));

    let timeout = Duration::from_secs(arguments.timeout.into());
    let mut worst = End::Done;
    for _ in 0..arguments.sessions {
        let deadline = Instant::now() + timeout;
        let end = match listener.next(deadline) {
            Ok(mut carrier) => {
                let kept = arguments.token_out.as_deref();
                session(&mut carrier, &policy, &secret, deadline, kept, &say)
            }
            Err(error) => {
                say(&format!("serve: {}: {error}", arguments.carrier));
                End::Unfinished
            }
        };
        worst = match (worst, end) {
            (End::Refused, _) | (_, End::Refused) => End::Refused,
            (End::Unfinished, _) | (_, End::Unfinished) => End::Unfinished,
            (worst, _) => worst,
        };
    }
    Ok(worst)
}

fn session(
    carrier: &mut Carrier,
    policy: &Policy,
    secret: &Secret,
    deadline: Instant,
    token_out: Option<&Path>,
    say: &dyn Fn(&str),
) -> End {
    let mut verified = false;
    let ended = serve(carrier, policy, secret, deadline, |event| match event {
        Event::Hello(key) => say(&format!("guest: key {}", encode(key))),
        Event::Token(token, challenge) => {
            if let Some(path) = token_out {
                say(&format!("guest: token for challenge {}", encode(challenge)));
                // The exchange goes on without the file.
                if let Err(error) = std::fs::write(path, token).map_err(of(path)) {
                    say(&format!("serve: {error}"));
                }
            }
        }
        Event::Verified(token, report) => {
            verified = true;
            say(&format!(
                "token: verified, RIM {}",
                encode(&token.realm_claims.rim)
            ));
            if !report.test_keys.is_empty() {
                say(TEST_KEYS_WARNING);
            }
        }
        Event::Released => say("secret: released"),
    });
    match ended {
        Ok(Ended::Released { received: true }) => {
            say("secret: received by the guest");
            End::Done
        }
        Ok(Ended::Released { received: false }) => {
            say("serve: the guest did not confirm that it has the secret");
            End::Unfinished
        }
        Ok(Ended::Refused(why)) => {
            say(&format!("token: refused: {why}"));
            say("secret: withheld");
            End::Refused
        }
        Err(error) => {
            say(&format!("serve: {error}"));
            // Of a release that failed, the guest may have got all that it needs.
            if !verified {
                say("secret: withheld");
            }
            End::Unfinished
        }
    }
}

/// Where guests are.
enum Place {
    Unix(PathBuf),
    UnixConnect(PathBuf),
    Tcp(u16),
    TcpConnect(u16),
    Device(PathBuf),
    Stdio,
}

impl Place {
    fn named(text: &str) -> Result<Self, String> {
        let port = |port: &str| {
            port.parse::<u16>()
                .map_err(|_| format!("--carrier {text}: not a port"))
        };
        Ok(match text.split_once(':') {
            Some(("unix", path)) => Self::Unix(path.into()),
            Some(("unix-connect", path)) => Self::UnixConnect(path.into()),
            Some(("tcp", number)) => Self::Tcp(port(number)?),
            Some(("tcp-connect", number)) => Self::TcpConnect(port(number)?),
            Some(("device", path)) => Self::Device(path.into()),
            None if text == "stdio" => Self::Stdio,
            _ => {
                return Err(format!(
                    "--carrier {text}: not unix:PATH, unix-connect:PATH, tcp:PORT, tcp-connect:PORT, \
                     device:PATH or stdio"
                ));
            }
        })
    }

    fn listen(&self) -> std::io::Result<Listener<'_>> {
        let socket = match self {
            Self::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Some(Socket::Unix(listener, path))
            }
            Self::Tcp(port) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port))?;
                listener.set_nonblocking(true)?;
                Some(Socket::Tcp(listener))
            }
            _ => None,
        };
        Ok(Listener {
            place: self,
            socket,
        })
    }
}

enum Socket<'a> {
    /// The path is removed with the socket.
    Unix(UnixListener, &'a PathBuf),
    Tcp(TcpListener),
}

struct Listener<'a> {
    place: &'a Place,
    socket: Option<Socket<'a>>,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        if let Some(Socket::Unix(_, path)) = &self.socket {
            // If somebody else removed it, that is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener<'_> {
    /// The carrier to the next guest.
    fn next(&mut self, deadline: Instant) -> std::io::Result<Carrier> {
        loop {
            match self.attempt() {
                Ok(carrier) => return Ok(carrier),
                Err(error) if Instant::now() + RETRY >= deadline => return Err(error),
                Err(_) => std::thread::sleep(RETRY),
            }
        }
    }

    fn attempt(&self) -> std::io::Result<Carrier> {
        match (&self.socket, self.place) {
            (Some(Socket::Unix(listener, _)), _) => unix(listener.accept()?.0),
            (Some(Socket::Tcp(listener)), _) => tcp(listener.accept()?.0),
            (None, Place::UnixConnect(path)) => unix(UnixStream::connect(path)?),
            (None, Place::TcpConnect(port)) => {
                tcp(TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?)
            }
            (None, Place::Device(path)) => {
                let output = OpenOptions::new().read(true).write(true).open(path)?;
                Ok(carrier(output.try_clone()?, output, AtEnd::Wait))
            }
            (None, _) => Ok(carrier(std::io::stdin(), std::io::stdout(), AtEnd::Closed)),
        }
    }
}

fn unix(stream: UnixStream) -> std::io::Result<Carrier> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let output = stream.try_clone()?;
    Ok(carrier(
        stream,
        Closing(output, |s| s.shutdown(Shutdown::Both)),
        AtEnd::Closed,
    ))
}

fn tcp(stream: TcpStream) -> std::io::Result<Carrier> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let output = stream.try_clone()?;
    Ok(carrier(
        stream,
        Closing(output, |s| s.shutdown(Shutdown::Both)),
        AtEnd::Closed,
    ))
}

/// A socket that is closed in both directions when it is dropped, although a thread still reads it.
struct Closing<S: Write>(S, fn(&S) -> std::io::Result<()>);

impl<S: Write> Write for Closing<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl<S: Write> Drop for Closing<S> {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = (self.1)(&self.0);
    }
}

fn carrier(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    at_end: AtEnd,
) -> Carrier {
    Carrier::new(Side::Party, input, output, at_end)
}
