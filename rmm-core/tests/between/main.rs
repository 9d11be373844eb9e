// SPDX-License-Identifier: BSD-3-Clause
//! Each command with each other one, which another CPU executes between any two of its locks.
//!
//! One CPU makes a call. Before each lock and after each unlock of it, in turn, another CPU executes a program
//! of one or more calls: as far as it comes without a lock that the first one holds, and the rest whenever it
//! gets it. Results and final state have to be those of the same calls one after the other, in some order.

#[path = "../support/watched.rs"]
mod watched;

use rmm_abi::rmi::{RecExitReason, fid, v2::fid as fid2};
use rmm_abi::{psci, rmi, rsi};
use rmm_core::fake::v2::{Host2, rec_params, sweep as sweep_2};
use rmm_core::fake::{Config, Host, MIB, NS_ATTRIBUTES, PAGE, Snapshot, Status, audit, sweep};
use rmm_granule::Bank;
use rmm_granule::fake::{LockEvent, observe_locks};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use watched::watched;
use zerocopy::IntoBytes;

/// A call: function identifier and arguments.
type Call = (u64, Vec<u64>);

/// Calls that one CPU makes, with a name.
#[derive(Clone)]
struct Program {
    name: &'static str,
    calls: Vec<Call>,
}

/// X1 to X4 of each call that succeeds.
type Results = Vec<Option<[u64; 4]>>;

/// A machine with something to do on it.
struct World<H> {
    host: H,
    programs: Vec<Program>,
}

/// The two dialects, as far as this file is concerned.
trait Speaker: std::ops::Deref<Target = Host> {
    /// The same machine each time.
    fn world() -> World<Self>
    where
        Self: Sized;

    /// Destroys everything.
    fn clear(&self);
}

/// Makes a call, again and again while the monitor is BUSY; X1 to X4 if it succeeds.
fn make(host: &Host, (function, args): &Call, is_busy: impl Fn()) -> Option<[u64; 4]> {
    loop {
        let reply = host.call_unchecked(*function, args);
        match reply.status {
            Status::Success => return Some(std::array::from_fn(|n| reply.x[n + 1])),
            Status::Busy => {
                is_busy();
                thread::yield_now();
            }
            _ => return None,
        }
    }
}

fn run(host: &Host, program: &Program, is_busy: impl Fn()) -> Results {
    let calls = program.calls.iter();
    calls.map(|call| make(host, call, &is_busy)).collect()
}

/// What is left of a call and a program: the results of both, and the state of the machine.
type Outcome = (Results, Results, Snapshot);

/// The call of program `a` amid the calls of program `b`.
#[derive(Clone, Copy)]
struct Order {
    /// How many calls of `b` come before that of `a`.
    before: usize,
    /// A call that is not made, because it fails: of `b` from 0 on, then that of `a`.
    failing: Option<usize>,
}

impl Order {
    /// All orders. Where a call enters a REC, others may find it RUNNING, which no order shows: one of them
    /// may fail.
    fn all(a: &Program, b: &Program) -> Vec<Self> {
        let count = b.calls.len();
        let enters = |(function, _): &Call| *function == fid::RMI_REC_ENTER;
        let enters = a.calls.iter().chain(&b.calls).any(enters);
        let failing = (0..=count).filter(|_| enters).map(Some);
        let orders = std::iter::once(None)
            .chain(failing)
            .flat_map(|failing| (0..=count).map(move |before| Self { before, failing }));
        orders.collect()
    }

    fn outcome<S: Speaker>(self, a: usize, b: usize) -> Outcome {
        let World { host, programs } = S::world();
        let [a, b] = [&programs[a], &programs[b]];
        let call = |n: usize, call: &Call| {
            if self.failing == Some(n) {
                return None;
            }
            make(&host, call, || ())
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for n in 0..=b.calls.len() {
            if n == self.before {
                first.push(call(b.calls.len(), &a.calls[0]));
            }
            second.extend(b.calls.get(n).map(|next| call(n, next)));
        }
        let state = host.snapshot();
        let _counts = audit(&host);
        host.clear();
        (first, second, state)
    }
}

/// Program `a` on one CPU and, at its `point`th event from 1 on, program `b` on another one. `None` if there
/// are fewer events.
fn between<S: Speaker>(a: usize, b: usize, point: usize) -> Option<Outcome> {
    let World { host, programs } = S::world();
    let board = host.board().clone();
    let other = Rc::new(RefCell::new(None::<JoinHandle<Results>>));
    let (started, program) = (other.clone(), programs[b].clone());
    let passed = Cell::new(0);
    let observer = move |event| {
        passed.set(passed.get() + usize::from(event != LockEvent::Blocked));
        if passed.get() != point || started.borrow().is_some() {
            return;
        }
        let (tell, wait) = mpsc::channel();
        let (board, program) = (board.clone(), program.clone());
        let handle = thread::spawn(move || {
            let host = Host::of_board(&board, 1);
            // Nobody listens but to the first message.
            let [waits, is_busy] = [tell.clone(), tell.clone()];
            let observer = move |event| {
                if event == LockEvent::Blocked {
                    let _sent = waits.send(());
                }
            };
            observe_locks(observer, || {
                run(&host, &program, || {
                    let _sent = is_busy.send(());
                })
            })
        });
        // Until it is done or waits for a lock.
        let _done = wait.recv();
        *started.borrow_mut() = Some(handle);
    };
    let first = observe_locks(observer, || run(&host, &programs[a], || ()));
    let other = other.borrow_mut().take();
    let second = other.map(|other| other.join().expect("no panic"));
    let outcome = second.map(|second| (first, second, host.snapshot()));
    host.clear();
    outcome
}

fn every_pair<S: Speaker>() {
    let World { host, programs } = S::world();
    host.clear();
    let mut points = 0;
    for (a, first) in programs.iter().enumerate() {
        if first.calls.len() == 1 {
            watched(|| {
                for (b, second) in programs.iter().enumerate() {
                    points += every_point::<S>((a, first), (b, second));
                }
            });
        }
    }
    assert!(points > 2 * programs.len(), "{points} points");
}

/// Executes the second program at each point of the first one; returns how many there are.
fn every_point<S: Speaker>((a, first): (usize, &Program), (b, second): (usize, &Program)) -> usize {
    let mut orders = Order::all(first, second).into_iter();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for point in 1.. {
        let Some(found) = between::<S>(a, b, point) else {
            return point - 1;
        };
        while !outcomes.contains(&found) {
            let Some(order) = orders.next() else {
                let results = |(first, second, _): &Outcome| (first.clone(), second.clone());
                panic!(
                    "{} at point {point} of {}: {:x?}, in turn {:x?}",
                    second.name,
                    first.name,
                    results(&found),
                    outcomes.iter().map(results).collect::<Vec<_>>(),
                );
            };
            outcomes.push(order.outcome::<S>(a, b));
        }
    }
    unreachable!("a call has an end");
}

fn config(config: Config) -> Config {
    let dram = Bank {
        base: 0x8000_0000,
        size: 2 * MIB,
    };
    Config {
        dram: vec![dram],
        holes: Vec::new(),
        reserved: Vec::new(),
        cpus: 2,
        ..config
    }
}

/// Adds a program.
macro_rules! program {
    ($programs:ident: $name:literal $(, $function:expr => [$($arg:expr),*])+) => {
        $programs.push(Program {
            name: $name,
            calls: vec![$(($function, vec![$($arg),*])),+],
        })
    };
}

struct Host1(Host);

impl std::ops::Deref for Host1 {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Speaker for Host1 {
    fn world() -> World<Self> {
        let host = Host::with(config(Config::default()));
        let mut programs = Vec::new();
        host.leniently(|| {
            let (page, src) = (host.page(), host.page());
            let [one, two, rec] = [(); 3].map(|()| host.granule());
            let empty = host.realm().create();
            let fresh = host.realm().create();
            let active = host.realm().create();
            let fresh_rec = fresh.rec(true);
            let _data = fresh.data_unknown(0);
            active.tables(0, 3);
            active.ram(0, 3 * PAGE);
            let data = active.data_unknown(0);
            active.tables(2 * MIB, 3);
            let shared = active.unprotected();
            active.share(shared, src);
            let [caller, target, asker, runner] =
                [true, false, true, true].map(|runnable| active.rec(runnable));
            active.activate();
            active.script(caller, |cpu| async move {
                let target = rmi::index_to_mpidr(1);
                let _status = cpu.call(&[psci::fid::PSCI_CPU_ON, target, 0, 0], 1).await;
            });
            active.script(asker, |cpu| async move {
                let request = [rsi::fid::RSI_IPA_STATE_SET, 0, 2 * PAGE, 0, 0];
                let _changed = cpu.call(&request, 2).await;
            });
            for realm in [(&active, runner), (&fresh, fresh_rec)] {
                realm.0.script(realm.1, |cpu| async move {
                    loop {
                        cpu.irq().await;
                    }
                });
            }
            let exits = [caller, asker].map(|rec| active.enter(rec).exit_reason);
            assert_eq!(exits, [RecExitReason::Psci, RecExitReason::RipasChange].map(|r| r as u8));
            let page_with = |params: &[u8]| host.page_with(params);
            let rec_of_fresh = page_with(fresh.rec_params(1, true).as_bytes());
            let rec_of_empty = page_with(empty.rec_params(0, true).as_bytes());
            let new_realm = host.realm().prepared();
            let new_realm = (new_realm.rtt_base, page_with(new_realm.as_bytes()));
            let (e, f, a) = (empty.rd, fresh.rd, active.rd);
            let new = fresh.rec_of(fresh_rec);
            let [caller, target, asker, runner] =
                [caller, target, asker, runner].map(|rec| active.rec_of(rec));

            program!(programs: "delegate", fid::RMI_GRANULE_DELEGATE => [page]);
            program!(programs: "undelegate", fid::RMI_GRANULE_UNDELEGATE => [one]);
            program!(programs: "undelegate an RTT", fid::RMI_GRANULE_UNDELEGATE => [new_realm.0]);
            program!(programs: "create Realm", fid::RMI_REALM_CREATE => [one, new_realm.1]);
            program!(programs: "destroy that", fid::RMI_REALM_DESTROY => [one],
                fid::RMI_GRANULE_UNDELEGATE => [one]);
            program!(programs: "activate", fid::RMI_REALM_ACTIVATE => [f]);
            program!(programs: "READ_ENTRY", fid::RMI_RTT_READ_ENTRY => [e, 0, 0]);
            program!(programs: "destroy Realm", fid::RMI_REALM_DESTROY => [e],
                fid::RMI_GRANULE_UNDELEGATE => [e]);
            program!(programs: "create REC", fid::RMI_REC_CREATE => [f, rec, rec_of_fresh]);
            program!(programs: "create REC elsewhere", fid::RMI_REC_CREATE => [e, rec, rec_of_empty]);
            program!(programs: "destroy that", fid::RMI_REC_DESTROY => [rec],
                fid::RMI_GRANULE_UNDELEGATE => [rec]);
            program!(programs: "destroy REC", fid::RMI_REC_DESTROY => [runner.rec]);
            program!(programs: "replace REC", fid::RMI_REC_DESTROY => [new.rec],
                fid::RMI_REC_CREATE => [e, new.rec, rec_of_empty], fid::RMI_REALM_ACTIVATE => [f]);
            program!(programs: "replace it after activation", fid::RMI_REALM_ACTIVATE => [f],
                fid::RMI_REC_DESTROY => [new.rec], fid::RMI_REC_CREATE => [e, new.rec, rec_of_empty]);
            program!(programs: "enter", fid::RMI_REC_ENTER => [runner.rec, runner.run]);
            program!(programs: "enter early", fid::RMI_REC_ENTER => [new.rec, new.run]);
            program!(programs: "enter the asker", fid::RMI_REC_ENTER => [asker.rec, asker.run]);
            program!(programs: "complete PSCI",
                fid::RMI_PSCI_COMPLETE => [caller.rec, target.rec, psci::SUCCESS]);
            program!(programs: "deny PSCI",
                fid::RMI_PSCI_COMPLETE => [caller.rec, target.rec, psci::DENIED]);
            program!(programs: "destroy the target", fid::RMI_REC_DESTROY => [target.rec]);
            program!(programs: "destroy the caller", fid::RMI_REC_DESTROY => [caller.rec]);
            program!(programs: "DATA_CREATE", fid::RMI_DATA_CREATE => [f, two, PAGE, src, 1]);
            program!(programs: "DATA_CREATE_UNKNOWN", fid::RMI_DATA_CREATE_UNKNOWN => [a, two, PAGE]);
            program!(programs: "DATA_DESTROY", fid::RMI_DATA_DESTROY => [a, 0],
                fid::RMI_GRANULE_UNDELEGATE => [data]);
            program!(programs: "RTT_CREATE", fid::RMI_RTT_CREATE => [a, two, 4 * MIB, 3]);
            program!(programs: "RTT_DESTROY", fid::RMI_RTT_DESTROY => [a, 2 * MIB, 3]);
            program!(programs: "RTT_FOLD", fid::RMI_RTT_FOLD => [a, 2 * MIB, 3]);
            program!(programs: "map in that", fid::RMI_DATA_CREATE_UNKNOWN => [a, one, 2 * MIB]);
            program!(programs: "destroy the table of data", fid::RMI_DATA_DESTROY => [a, 0],
                fid::RMI_RTT_DESTROY => [a, 0, 3]);
            program!(programs: "UNMAP_UNPROTECTED", fid::RMI_RTT_UNMAP_UNPROTECTED => [a, shared, 3]);
            program!(programs: "MAP_UNPROTECTED",
                fid::RMI_RTT_MAP_UNPROTECTED => [a, shared + PAGE, 3, src | NS_ATTRIBUTES]);
            program!(programs: "destroy the table of that", fid::RMI_RTT_DESTROY => [a, shared, 3]);
            program!(programs: "INIT_RIPAS", fid::RMI_RTT_INIT_RIPAS => [f, PAGE, 2 * PAGE]);
            program!(programs: "SET_RIPAS", fid::RMI_RTT_SET_RIPAS => [a, asker.rec, 0, 2 * PAGE]);
            program!(programs: "destroy the asker", fid::RMI_REC_DESTROY => [asker.rec]);
            for realm in [empty, fresh, active] {
                std::mem::forget(realm);
            }
        });
        World {
            host: Self(host),
            programs,
        }
    }

    fn clear(&self) {
        sweep(self);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri hours")]
fn commands_of_1_0() {
    every_pair::<Host1>();
}

impl Speaker for Host2 {
    fn world() -> World<Self> {
        let host = Self::with(config(Config::v2()));
        let mut programs = Vec::new();
        host.leniently(|| {
            let src = host.page();
            let [one, two, rec] = [(); 3].map(|()| host.granule());
            let empty = host.realm().create();
            let active = host.realm().create();
            active.tables(0, 3);
            assert_eq!(host.rtt_init_ripas(active.rd, 0, 2 * PAGE).0, Status::Success);
            let data = host.granule();
            let mapped = host.rtt_data_map(active.rd, 0..PAGE, 1, data | 1 << 2);
            assert_eq!(mapped, (Status::Success, PAGE));
            let [caller, target, runner] = [true, false, true].map(|runnable| active.rec(runnable));
            active.activate();
            active.script(caller, |cpu| async move {
                let target = rmi::index_to_mpidr(1);
                let _status = cpu.call(&[psci::fid::PSCI_CPU_ON, target, 0, 0], 1).await;
            });
            active.script(runner, |cpu| async move {
                loop {
                    let other = rmi::index_to_mpidr(1);
                    let _state = cpu.call(&[psci::fid::PSCI_AFFINITY_INFO, other, 0], 1).await;
                    cpu.irq().await;
                }
            });
            assert_eq!(active.enter(caller).exit_reason, RecExitReason::Psci as u8);
            let [caller, target, runner] = [caller, target, runner].map(|rec| active.rec_pa(rec));
            let (run, run_2) = (host.page(), host.page());
            let [rec_of_empty, next_of_empty] =
                [0, 1].map(|index| host.page_with(rec_params(index, true).as_bytes()));
            host.script(empty.vmid(), 0, |cpu| async move {
                let target = rmi::index_to_mpidr(1);
                let _status = cpu.call(&[psci::fid::PSCI_CPU_ON, target, 0, 0], 1).await;
            });
            let params = host.realm().prepared();
            let (table, params) = (params.rtt_base, host.page_with(params.as_bytes()));
            let (e, a) = (empty.rd, active.rd);

            let range = |pa: u64| [pa, pa + PAGE];
            let undelegate = fid2::RMI_GRANULE_RANGE_UNDELEGATE;
            program!(programs: "undelegate", undelegate => [one, range(one)[1]]);
            program!(programs: "delegate", fid2::RMI_GRANULE_RANGE_DELEGATE => [src, range(src)[1]]);
            program!(programs: "create Realm", fid2::RMI_REALM_CREATE => [one, params]);
            program!(programs: "undelegate an RTT", undelegate => [table, range(table)[1]]);
            program!(programs: "terminate", fid2::RMI_REALM_TERMINATE => [a]);
            program!(programs: "destroy Realm", fid2::RMI_REALM_TERMINATE => [e],
                fid2::RMI_REALM_DESTROY => [e], undelegate => [e, range(e)[1]]);
            program!(programs: "create REC", fid2::RMI_REC_CREATE => [e, rec, rec_of_empty]);
            program!(programs: "destroy that", fid2::RMI_REC_DESTROY => [rec],
                undelegate => [rec, range(rec)[1]]);
            program!(programs: "enter", fid2::RMI_REC_ENTER => [runner, run]);
            program!(programs: "enter the target", fid2::RMI_REC_ENTER => [target, run_2]);
            program!(programs: "complete PSCI", fid2::RMI_PSCI_COMPLETE => [caller, psci::SUCCESS]);
            program!(programs: "deny PSCI", fid2::RMI_PSCI_COMPLETE => [caller, psci::DENIED]);
            program!(programs: "destroy the target", fid2::RMI_REC_DESTROY => [target]);
            program!(programs: "destroy the caller", fid2::RMI_REC_DESTROY => [caller]);
            program!(programs: "destroy the REC that enters", fid2::RMI_REC_DESTROY => [runner]);
            program!(programs: "replace the target", fid2::RMI_REC_DESTROY => [target],
                fid2::RMI_REC_CREATE => [e, target, rec_of_empty]);
            program!(programs: "replace the caller", fid2::RMI_REC_DESTROY => [caller],
                fid2::RMI_REC_CREATE => [e, caller, rec_of_empty]);
            program!(programs: "another request in its place", fid2::RMI_REC_DESTROY => [target],
                fid2::RMI_REC_DESTROY => [caller],
                fid2::RMI_REC_CREATE => [e, caller, rec_of_empty],
                fid2::RMI_REC_CREATE => [e, rec, next_of_empty],
                fid2::RMI_REALM_ACTIVATE => [e],
                fid2::RMI_REC_ENTER => [caller, run_2]);
            program!(programs: "DATA_MAP",
                fid2::RMI_RTT_DATA_MAP => [a, PAGE, 2 * PAGE, 1, two | 1 << 2]);
            program!(programs: "DATA_MAP_INIT", fid2::RMI_RTT_DATA_MAP_INIT => [a, two, PAGE, src, 0]);
            program!(programs: "DATA_UNMAP", fid2::RMI_RTT_DATA_UNMAP => [a, 0, PAGE, 1, 0],
                undelegate => [data, range(data)[1]]);
            program!(programs: "destroy its table", fid2::RMI_RTT_DESTROY => [a, 0, 3]);
            program!(programs: "INIT_RIPAS", fid2::RMI_RTT_INIT_RIPAS => [e, 0, 1 << 39]);
            program!(programs: "activate", fid2::RMI_REALM_ACTIVATE => [e]);
            for realm in [empty, active] {
                std::mem::forget(realm);
            }
        });
        World { host, programs }
    }

    fn clear(&self) {
        sweep_2(self);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri hours")]
fn commands_of_2_0() {
    every_pair::<Host2>();
}

/// A Realm that is about to be made while the dialect changes.
struct Dialects(Host2);

impl std::ops::Deref for Dialects {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Speaker for Dialects {
    fn world() -> World<Self> {
        const V1_0: u64 = 0x1_0000;
        const V2_0: u64 = 0x2_0000;
        let host = Host2::with(config(Config::v2()));
        let mut programs = Vec::new();
        let params = host.realm().prepared();
        let (table, params) = (params.rtt_base, host.page_with(params.as_bytes()));
        let rd = host.granule();
        let undelegate = fid2::RMI_GRANULE_RANGE_UNDELEGATE;
        program!(programs: "create Realm", fid2::RMI_REALM_CREATE => [rd, params]);
        program!(programs: "change to 1.0", undelegate => [rd, rd + PAGE],
            undelegate => [table, table + PAGE], fid2::RMI_VERSION => [V1_0],
            fid::RMI_GRANULE_DELEGATE => [rd], fid::RMI_GRANULE_DELEGATE => [table]);
        program!(programs: "deactivate", undelegate => [rd, rd + PAGE],
            undelegate => [table, table + PAGE], fid2::RMI_RMM_DEACTIVATE => []);
        program!(programs: "stay with 2.0", fid2::RMI_VERSION => [V2_0]);
        World {
            host: Self(host),
            programs,
        }
    }

    fn clear(&self) {
        if self.0.rmm_state_get().0 == Status::NotSupported {
            return sweep(self);
        }
        let _activated = self.0.rmm_activate();
        sweep_2(&self.0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri hours")]
fn the_dialect_changes() {
    every_pair::<Dialects>();
}
