// SPDX-License-Identifier: BSD-3-Clause
//! Guest and relying party on both ends of a carrier, and Hosts in between.
#![cfg(all(feature = "verifier", feature = "guest"))]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cca_token::protocol::carrier::{AtEnd, Carrier, Error as CarrierError, Kind, Side};
use cca_token::protocol::guest::{Error, Patience, TokenSource, obtain};
use cca_token::protocol::party::{self, Ended, Event};
use cca_token::protocol::release::GuestKey;
use cca_token::seal::Secret;
use cca_token::verify::Policy;
use support::{Recipe, bstr, pattern, set, signing_key};

/// A Realm whose tokens are made of a recipe.
struct Realm {
    recipe: Recipe,
    asked: usize,
}

impl Realm {
    fn new() -> Self {
        Self {
            recipe: Recipe::default(),
            asked: 0,
        }
    }
}

impl TokenSource for Realm {
    fn token(&mut self, challenge: &[u8; 64]) -> Result<Vec<u8>, String> {
        self.asked += 1;
        set(&mut self.recipe.realm, 10, bstr(challenge));
        Ok(self.recipe.token())
    }
}

fn carrier(side: Side, stream: UnixStream) -> Carrier {
    let input = stream.try_clone().expect("a clone");
    Carrier::new(side, input, stream, AtEnd::Closed)
}

fn patience() -> Patience {
    Patience {
        deadline: Instant::now() + Duration::from_secs(20),
        repeat: Duration::from_millis(200),
    }
}

/// What the relying party saw.
struct Seen {
    result: Result<Ended, party::Error>,
    verified: usize,
}

/// Runs both sides. `host` gets each line that goes to the party (true) or to the guest (false), and returns
/// the lines that arrive.
fn exchange(
    policy: Policy,
    secret: &Secret,
    source: &mut dyn TokenSource,
    host: impl FnMut(bool, &str) -> Vec<String> + Send + 'static,
) -> (Result<Secret, Error>, Seen) {
    let (guest_end, host_to_guest) = UnixStream::pair().expect("a pair");
    let (party_end, host_to_party) = UnixStream::pair().expect("a pair");
    let (done, ended) = mpsc::channel();
    let secret = secret.clone();
    std::thread::spawn(move || {
        let mut carrier = carrier(Side::Party, party_end);
        let mut verified = 0;
        let result = party::serve(
            &mut carrier,
            &policy,
            &secret,
            patience().deadline,
            |event| {
                verified += usize::from(matches!(event, Event::Verified(..)));
            },
        );
        done.send(Seen { result, verified })
            .expect("the test waits");
    });
    let host = std::sync::Arc::new(std::sync::Mutex::new(host));
    let pump = |to_party: bool, from: &UnixStream, to: &UnixStream| {
        let (from, mut to, host) = (
            BufReader::new(from.try_clone().expect("a clone")),
            to.try_clone().expect("a clone"),
            host.clone(),
        );
        std::thread::spawn(move || {
            for line in from.lines() {
                let Ok(line) = line else { return };
                let lines = (*host.lock().expect("the host"))(to_party, &line);
                for line in lines {
                    if writeln!(to, "{line}").is_err() {
                        return;
                    }
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    pump(true, &host_to_guest, &host_to_party);
    pump(false, &host_to_party, &host_to_guest);
    let mut carrier = carrier(Side::Guest, guest_end);
    let got = obtain(&mut carrier, source, patience(), |_| ());
    drop(carrier);
    let _ = host_to_guest.shutdown(std::net::Shutdown::Both);
    (got, ended.recv().expect("the party ends"))
}

fn honest(_: bool, line: &str) -> Vec<String> {
    vec![line.into()]
}

#[test]
fn an_attested_realm_gets_the_secret() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let policy = realm.recipe.policy();
    let (got, seen) = exchange(policy, &secret, &mut realm, honest);
    assert_eq!(got, Ok(secret));
    assert_eq!(seen.result, Ok(Ended::Released { received: true }));
    assert_eq!(seen.verified, 1);
}

fn refused(policy: Policy, realm: &mut dyn TokenSource, why: &str) {
    let secret = Secret::new().expect("randomness");
    let (got, seen) = exchange(policy, &secret, realm, honest);
    assert_eq!(got, Err(Error::Refused), "{why}");
    assert_eq!(seen.verified, 0);
    match seen.result {
        Ok(Ended::Refused(text)) => assert!(text.starts_with(why), "{why}: {text}"),
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn others_do_not() {
    let good = Realm::new().recipe.policy();
    let policy = Policy {
        rims: Some(vec![pattern(0x21, 32)]),
        ..good.clone()
    };
    refused(policy, &mut Realm::new(), "rim: ");
    let mut forger = Realm::new();
    forger.recipe.cpak = signing_key(8);
    refused(good.clone(), &mut forger, "platform-signature: ");
    let policy = Policy {
        anchors: Vec::new(),
        ..good.clone()
    };
    refused(
        policy,
        &mut Realm::new(),
        "the platform is not authenticated",
    );

    struct Fixed(Vec<u8>);
    impl TokenSource for Fixed {
        fn token(&mut self, _: &[u8; 64]) -> Result<Vec<u8>, String> {
            Ok(self.0.clone())
        }
    }
    // An old token, although everything else about it is right; the policy's own challenge does not count.
    let old = Realm::new().token(&[1; 64]).expect("a token");
    let policy = Policy {
        challenge: Some([1; 64]),
        ..good.clone()
    };
    refused(policy, &mut Fixed(old.clone()), "challenge: ");
    refused(
        good.clone(),
        &mut Fixed(old[..100].to_vec()),
        "malformed: byte ",
    );
    refused(good, &mut Fixed(Vec::new()), "malformed: byte ");
}

#[test]
fn lost_messages_cost_time_only() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let mut count = 0;
    // Of the first lines every one but the fifth of each six is lost.
    let (got, seen) = exchange(
        realm.recipe.policy(),
        &secret,
        &mut realm,
        move |_, line| {
            count += 1;
            let lost = count <= 8 && count % 6 != 5;
            if lost {
                vec![]
            } else {
                vec![line.into(), "[ 1.0] noise".into(), line.into()]
            }
        },
    );
    assert_eq!(got, Ok(secret));
    assert_eq!(seen.result, Ok(Ended::Released { received: true }));
    assert_eq!(realm.asked, 1);
}

/// A Host that puts its own key into the hello gets a challenge that no Realm's token has.
#[test]
fn a_host_cannot_take_the_place_of_the_guest() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let hello = line(Kind::Hello, GuestKey::new().expect("randomness").public());
    let (got, seen) = exchange(
        realm.recipe.policy(),
        &secret,
        &mut realm,
        move |to_party, line| match to_party && line.contains(" hello ") {
            true => vec![hello.clone()],
            false => vec![line.into()],
        },
    );
    assert_eq!(got, Err(Error::Refused));
    assert!(matches!(seen.result, Ok(Ended::Refused(why)) if why.starts_with("challenge: ")));
}

/// A Host that changes the nonce only makes the token useless.
#[test]
fn a_host_cannot_choose_the_nonce() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let nonce = line(Kind::Nonce, &[3; 32]);
    let (got, seen) = exchange(
        realm.recipe.policy(),
        &secret,
        &mut realm,
        move |to_party, line| match !to_party && line.contains(" nonce ") {
            true => vec![nonce.clone()],
            false => vec![line.into()],
        },
    );
    assert_eq!(got, Err(Error::Refused));
    assert!(matches!(seen.result, Ok(Ended::Refused(_))));
}

#[test]
fn a_release_of_another_exchange_is_of_no_use() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let release = line(Kind::Release, &[5; 80]);
    let (got, _) = exchange(
        realm.recipe.policy(),
        &secret,
        &mut realm,
        move |to_party, line| match !to_party && line.contains(" release ") {
            true => vec![release.clone()],
            false => vec![line.into()],
        },
    );
    assert!(matches!(got, Err(Error::Release(_))), "{got:?}");
}

#[test]
fn a_receipt_needs_the_secret() {
    let secret = Secret::new().expect("randomness");
    let mut realm = Realm::new();
    let receipt = line(Kind::Received, &[5; 32]);
    let (got, seen) = exchange(
        realm.recipe.policy(),
        &secret,
        &mut realm,
        move |to_party, line| match to_party && line.contains(" received ") {
            true => vec![receipt.clone()],
            false => vec![line.into()],
        },
    );
    assert_eq!(got, Ok(secret));
    assert_eq!(seen.result, Ok(Ended::Released { received: false }));
}

#[test]
fn a_silent_peer_is_not_waited_for_forever() {
    let (one, _other) = UnixStream::pair().expect("a pair");
    let patience = Patience {
        deadline: Instant::now() + Duration::from_millis(300),
        repeat: Duration::from_millis(100),
    };
    let got = obtain(
        &mut carrier(Side::Guest, one),
        &mut Realm::new(),
        patience,
        |_| (),
    );
    assert_eq!(got, Err(Error::Carrier(CarrierError::Timeout)));
    let (one, _other) = UnixStream::pair().expect("a pair");
    let secret = Secret::new().expect("randomness");
    let deadline = Instant::now() + Duration::from_millis(300);
    let served = party::serve(
        &mut carrier(Side::Party, one),
        &Policy::default(),
        &secret,
        deadline,
        |_| (),
    );
    assert_eq!(served, Err(party::Error::Carrier(CarrierError::Timeout)));
}

/// The line of a short message.
fn line(kind: Kind, body: &[u8]) -> String {
    let (one, other) = UnixStream::pair().expect("a pair");
    let side = match kind {
        Kind::Hello | Kind::Received => Side::Guest,
        _ => Side::Party,
    };
    carrier(side, one)
        .send(kind, body)
        .expect("a short message");
    let mut line = String::new();
    BufReader::new(other).read_line(&mut line).expect("a line");
    line.trim_end().into()
}
