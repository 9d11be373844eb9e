// SPDX-License-Identifier: BSD-3-Clause
//! Attestation tokens: EL3 hands over keys and platform tokens, right or wrong, and signs or fails;
//! RECs of two Realms ask for tokens, whatever buffer they name; Hosts of either interface interrupt
//! them, take memory away and destroy RECs. A token that a Realm gets has its challenge and
//! measurements and passes a relying party's check, nothing but the bytes of the token is written, and
//! the key stays in the monitor.
#![no_main]
#![allow(missing_docs, reason = "the modules of a test program")]

mod el3;
mod realm;

#[path = "../../../rmm-core/tests/support/attested.rs"]
mod attested;
#[path = "../shared/realms.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod realms;
#[path = "../shared/record.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod record;

use arbitrary::Arbitrary;
use el3::{El3, Kind};
use libfuzzer_sys::fuzz_target;
use realm::{Action, Program, program};
use realms::{AnyHost, Entry, Guest, PAGES, Parameters, Realm};
use rmm_core::fake::{Config, Host};
use rmm_granule::{Bank, Pa};

/// Most entries of a run, and most actions between two entries.
const ENTRIES: usize = 24;
const ACTIONS: usize = 6;

/// A run.
#[derive(Arbitrary, Debug)]
struct Run {
    /// The Host speaks RMI 2.0.
    two: bool,
    el3: Kind,
    hashes: [u8; 2],
    entries: Vec<HostEntry>,
}

/// An entry, what the REC does then, and what the Host does after it.
#[derive(Arbitrary, Debug)]
struct HostEntry {
    rec: u8,
    irq: Irq,
    actions: Vec<Action>,
    after: After,
}

/// When a physical interrupt becomes pending.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Irq {
    Never,
    AlsoNever,
    AtEntry,
    /// At this look during the signature.
    AtLook(u8),
}

/// What the Host does after an exit.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum After {
    Nothing,
    AlsoNothing,
    Destroy(u8),
    Map(u8),
    SetRipas,
    DestroyRec(u8),
}

/// RECs by number: the Realm of each and its index there.
const RECS: [(usize, usize); 3] = [(0, 0), (0, 1), (1, 0)];

/// The Host, its Realms, and the programs of their RECs.
struct Machine<'a> {
    host: &'a Host,
    guests: [Guest<'a>; 2],
    programs: [Program; 3],
    two: bool,
}

impl<'a> Machine<'a> {
    fn new(any: &'a AnyHost, run: &Run, el3: &El3) -> Self {
        let host = any.host();
        let hashes = run.hashes.map(|n| n % if run.two { 3 } else { 2 });
        let guests = [0, 1].map(|n| {
            any.guest(Parameters {
                recs: 2 - n,
                runnable: true,
                hash: hashes[n],
                rpv: 0xA0 + u8::try_from(n).expect("small"),
                full: false,
            })
        });
        let mut actions = run.entries.iter().flat_map(|entry| &entry.actions);
        let gives_up = actions.any(|action| matches!(action, Action::SetRipas(..)));
        let quality = el3.quality(gives_up);
        let programs = RECS.map(|(realm, rec)| {
            let own = Program::new(host.board(), &guests[realm], hashes[realm], realm, quality);
            let todo = own.clone();
            guests[realm].script(rec, move |cpu| program(cpu, todo));
            own
        });
        Self {
            host,
            guests,
            programs,
            two: run.two,
        }
    }

    fn enter(&self, step: &HostEntry) {
        let number = usize::from(step.rec % 3);
        let (realm, rec) = RECS[number];
        let guest = &self.guests[realm];
        self.host.set_irq(matches!(step.irq, Irq::AtEntry));
        let mut left = match step.irq {
            Irq::AtLook(n) => Some(n),
            _ => None,
        };
        self.host.board().set_look_hook(move |_, _| {
            let now = left == Some(0);
            left = left.and_then(|n| n.checked_sub(1));
            now
        });
        let memory = *guest.memory.borrow();
        let actions = step.actions.iter().take(ACTIONS).copied();
        self.programs[number].begin(memory, actions);
        let entry = Entry {
            flags: 0,
            gprs: [0; 31],
            hcr: 0,
            lrs: Vec::new(),
        };
        let exit = guest.enter(rec, &entry);
        self.host.set_irq(false);
        if let Some(exit) = &exit {
            record::check(exit, self.two);
        }
        match step.after {
            After::Nothing | After::AlsoNothing => {}
            After::Destroy(page) => guest.destroy(usize::from(page) % PAGES),
            After::Map(page) => guest.map(usize::from(page) % PAGES),
            After::SetRipas => {
                if let Some(exit) = exit {
                    let _out_top = guest.set_ripas(rec, exit.ripas_base, exit.ripas_top);
                }
            }
            // Its token is never asked for again.
            After::DestroyRec(7) => {
                let _status = self.host.rec_destroy(guest.rec(rec));
            }
            After::DestroyRec(_) => {}
        }
    }

    /// The key of EL3 is nowhere but in the monitor.
    fn check_key(&self) {
        let key = attested::rak();
        let (_, secret) = key.split_at(40);
        let is_clean = |bytes: &[u8]| bytes.windows(secret.len()).all(|part| part != secret);
        let board = self.host.board();
        assert!(
            is_clean(&board.el3.shared_page_content()),
            "in the shared page"
        );
        for guest in &self.guests {
            if let Realm::V1(realm) = &guest.realm {
                for rec in 0..2.min(if realm.rd == self.guests[0].rd() {
                    2
                } else {
                    1
                }) {
                    for aux in realm.rec_of(rec).aux {
                        assert!(is_clean(&board.memory.peek(Pa(aux))), "in a REC");
                    }
                }
            }
        }
    }
}

fuzz_target!(|run: Run| {
    let el3 = run.el3.el3();
    let config = Config {
        dram: vec![Bank {
            base: 0x8000_0000,
            size: 1 << 20,
        }],
        holes: Vec::new(),
        reserved: Vec::new(),
        cpus: 2,
        attestation: Some(el3.config(run.two)),
        ..Config::default()
    };
    let any = AnyHost::new(run.two, config);
    any.host().leniently(|| {
        let machine = Machine::new(&any, &run, &el3);
        el3.fail_later(machine.host);
        for entry in run.entries.iter().take(ENTRIES) {
            machine.enter(entry);
        }
        machine.check_key();
        machine.host.board().el3.clear_hook();
    });
});
