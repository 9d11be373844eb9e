// SPDX-License-Identifier: BSD-3-Clause
//! `cca-token serve`, `seal` and `open`, and `cca-guest`, as they are run.
#![cfg(feature = "cli")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cca_token::hex::encode;
use cca_token::protocol::carrier::{AtEnd, Carrier, Side};
use cca_token::protocol::guest::{Error, Patience, TokenSource, obtain};
use cca_token::seal::Secret;
use p384::pkcs8::{EncodePublicKey as _, LineEnding};
use support::{Recipe, bstr, pattern, set};

struct Realm(Recipe);

impl TokenSource for Realm {
    fn token(&mut self, challenge: &[u8; 64]) -> Result<Vec<u8>, String> {
        set(&mut self.0.realm, 10, bstr(challenge));
        Ok(self.0.token())
    }
}

/// A folder of one test, with the trust anchor of [`Recipe`].
fn folder(name: &str) -> PathBuf {
    // Sockets need short paths.
    let folder = std::env::temp_dir().join(format!("cca-token-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder for the test");
    let key = p384::PublicKey::from(*Recipe::default().cpak.verifying_key());
    let pem = key.to_public_key_pem(LineEnding::LF).expect("a PEM");
    std::fs::write(folder.join("anchor.pem"), pem).expect("the anchor");
    folder
}

struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Path, carrier: &str, rim: &[u8], more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cca-token"))
            .current_dir(folder)
            .args(["serve", "--anchor", "anchor.pem"])
            .args(["--carrier", carrier, "--rim", &encode(rim)])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut server = Self { child, output };
        assert!(server.line().starts_with("serve: ready at "));
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().into()
    }

    /// The rest of its output, and its exit code.
    fn end(mut self) -> (String, i32) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("it ends");
        (rest, status.code().expect("an exit code"))
    }
}

fn attest(
    input: impl Read + Send + 'static,
    output: impl std::io::Write + Send + 'static,
) -> Result<Secret, Error> {
    let mut carrier = Carrier::new(Side::Guest, input, output, AtEnd::Closed);
    let patience = Patience::new(Duration::from_secs(20));
    obtain(
        &mut carrier,
        &mut Realm(Recipe::default()),
        patience,
        |_| (),
    )
}

fn attest_at(folder: &Path) -> Result<Secret, Error> {
    let stream = UnixStream::connect(folder.join("socket")).expect("the server");
    attest(stream.try_clone().expect("a clone"), stream)
}

#[test]
fn a_sealed_file_opens_after_attestation() {
    let folder = folder("sealed");
    std::fs::write(folder.join("plain"), b"the content").expect("a file");
    let tool = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cca-token"))
            .current_dir(&folder)
            .args(arguments)
            .output()
            .expect("the tool runs");
        output.status.code().expect("an exit code")
    };
    assert_eq!(
        tool(&["seal", "--new-secret", "secret", "plain", "sealed"]),
        0
    );
    let mode = std::fs::metadata(folder.join("secret"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        tool(&["seal", "--new-secret", "secret", "plain", "sealed"]),
        2,
        "it exists"
    );
    assert_eq!(tool(&["seal", "plain", "sealed"]), 2, "no secret");
    assert_eq!(
        tool(&["open", "--secret", "plain", "sealed", "opened"]),
        2,
        "not a secret"
    );
    assert_eq!(
        tool(&["open", "--secret", "secret", "plain", "opened"]),
        1,
        "not sealed"
    );

    let rim = pattern(0x20, 32);
    let more = ["--secret", "secret", "--token-out", "token"];
    let mut server = Server::start(&folder, "unix:socket", &rim, &more);
    let secret = attest_at(&folder).expect("the secret");
    assert!(server.line().starts_with("guest: key "));
    let line = server.line();
    let challenge = line.strip_prefix("guest: token for challenge ");
    let challenge = challenge.expect("the challenge");
    let (rest, code) = server.end();
    let expected = format!(
        "token: verified, RIM {}\nsecret: released\nsecret: received by the guest\n",
        encode(&rim)
    );
    assert_eq!((rest, code), (expected, 0));
    assert!(!folder.join("socket").exists());
    let anchor = ["verify", "token", "--anchor", "anchor.pem", "--any-rim"];
    let again = |challenge: &str| tool(&[&anchor[..], &["--challenge", challenge]].concat());
    assert_eq!(again(challenge), 0, "the token that was kept");
    assert_eq!(again(&"00".repeat(64)), 1);
    let sealed = std::fs::read(folder.join("sealed")).expect("a file");
    assert_eq!(secret.open(&sealed).as_deref(), Ok(&b"the content"[..]));
    assert_eq!(tool(&["open", "--secret", "secret", "sealed", "opened"]), 0);
    assert_eq!(
        std::fs::read(folder.join("opened")).expect("a file"),
        b"the content"
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn secrets_differ_from_run_to_run() {
    let folder = folder("random");
    let rim = pattern(0x20, 32);
    let run = || {
        let server = Server::start(&folder, "unix:socket", &rim, &[]);
        let secret = attest_at(&folder).expect("the secret");
        assert_eq!(server.end().1, 0);
        secret
    };
    assert_ne!(run(), run());
    let server = Server::start(&folder, "unix:socket", &rim, &["--sessions", "2"]);
    assert_eq!(
        attest_at(&folder),
        attest_at(&folder),
        "one run has one secret"
    );
    assert_eq!(server.end().1, 0);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn refusals_withhold_the_secret() {
    let folder = folder("refused");
    let server = Server::start(&folder, "unix:socket", &[0; 32], &["--sessions", "2"]);
    assert_eq!(attest_at(&folder).err(), Some(Error::Refused));
    assert_eq!(attest_at(&folder).err(), Some(Error::Refused));
    let (rest, code) = server.end();
    assert_eq!(code, 1);
    assert_eq!(rest.matches("token: refused: rim: ").count(), 2, "{rest}");
    assert_eq!(rest.matches("secret: withheld\n").count(), 2, "{rest}");
    assert!(
        !rest.contains("verified") && !rest.contains("released"),
        "{rest}"
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn guests_that_go_away_have_their_own_code() {
    let folder = folder("away");
    let server = Server::start(&folder, "unix:socket", &[0; 32], &[]);
    drop(UnixStream::connect(folder.join("socket")).expect("the server"));
    let (rest, code) = server.end();
    assert_eq!(
        (code, rest.as_str()),
        (5, "serve: the carrier was closed\nsecret: withheld\n")
    );
    let server = Server::start(&folder, "unix:socket", &[0; 32], &["--timeout", "1"]);
    assert_eq!(server.end().1, 5, "nobody came");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn every_carrier_works() {
    let folder = folder("carriers");
    let rim = pattern(0x20, 32);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let server = Server::start(&folder, &format!("tcp:{port}"), &rim, &[]);
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server");
    assert!(attest(stream.try_clone().expect("a clone"), stream).is_ok());
    assert_eq!(server.end().1, 0);

    let guest = UnixListener::bind(folder.join("guest")).expect("a socket");
    let server = Server::start(&folder, "unix-connect:guest", &rim, &[]);
    let (stream, _) = guest.accept().expect("the server calls");
    assert!(attest(stream.try_clone().expect("a clone"), stream).is_ok());
    assert_eq!(server.end().1, 0);

    // On standard input and output the words go to standard error.
    let mut child = Command::new(env!("CARGO_BIN_EXE_cca-token"))
        .current_dir(&folder)
        .args([
            "serve",
            "--anchor",
            "anchor.pem",
            "--carrier",
            "stdio",
            "--rim",
            &encode(&rim),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let (input, output) = (child.stdin.take(), child.stdout.take());
    assert!(attest(output.expect("a pipe"), input.expect("a pipe")).is_ok());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("secret: received by the guest"));

    for bad in [
        "",
        "unix",
        "tcp:x",
        "tcp:99999",
        "other:x",
        "unix:/nowhere/socket",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_cca-token"))
            .current_dir(&folder)
            .args([
                "serve",
                "--anchor",
                "anchor.pem",
                "--any-rim",
                "--carrier",
                bad,
            ])
            .output()
            .expect("the tool runs");
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn the_guest_program_says_what_is_missing() {
    let folder = folder("guest");
    std::fs::write(folder.join("file"), b"x").expect("a file");
    let guest = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cca-guest"))
            .current_dir(&folder)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().expect("an exit code"),
            String::from_utf8(text).expect("text"),
        )
    };
    for wrong in [
        &[][..],
        &["--device"],
        &["--device", "-", "--sealed", "file"],
        &["--device", "-", "--timeout", "-1"],
        &["--device", "-", "--other", "x"],
        &["--sealed", "file", "--out", "out"],
    ] {
        let (code, text) = guest(wrong);
        assert!(
            code == 2 && text.starts_with("usage: "),
            "{wrong:?}: {text}"
        );
    }
    let (code, text) = guest(&["--device", "none"]);
    assert!(code == 2 && text.contains("none: "), "{text}");
    let (code, text) = guest(&["--device", "-", "--sealed", "none", "--out", "out"]);
    assert!(code == 2 && text.contains("none: "), "{text}");
    let (code, text) = guest(&["--device", "-"]);
    assert!(code == 1 && text.contains("secret: withheld"), "{text}");
    std::fs::remove_dir_all(folder).expect("removed");
}

/// The program itself against the server, but for Linux's reports, which only a Realm has.
#[test]
fn the_guest_program_asks_for_a_report() {
    let folder = folder("report");
    let listener = UnixListener::bind(folder.join("guest")).expect("a socket");
    let server = Server::start(&folder, "unix-connect:guest", &[0; 32], &[]);
    let (stream, _) = listener.accept().expect("the server calls");
    let end = |stream: &UnixStream| {
        Stdio::from(std::os::fd::OwnedFd::from(
            stream.try_clone().expect("a clone"),
        ))
    };
    let output = Command::new(env!("CARGO_BIN_EXE_cca-guest"))
        .current_dir(&folder)
        .args(["--device", "-", "--reports", "reports"])
        .stdin(end(&stream))
        .stdout(end(&stream))
        .output()
        .expect("the program runs");
    drop(stream);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no token: reports/cca-token-"), "{text}");
    let (rest, code) = server.end();
    assert_eq!(code, 5, "{rest}");
    assert!(
        rest.contains("guest: key ") && rest.ends_with("secret: withheld\n"),
        "{rest}"
    );
}
