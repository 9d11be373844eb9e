// SPDX-License-Identifier: BSD-3-Clause
//! Calls of the monitor, each compared with the model.

use super::instructions::{Expected, Instruction};
use super::program;
use super::state::Model;
use super::step::{Draw, Twist};
use rmm_abi::rmi::{RecEnter, RecExit, RecRun, fid};
use rmm_core::fake::{Host, Reply, Status, command_name};
use rmm_core::realm::Realm;
use rmm_granule::fake::Pas;
use rmm_granule::{GranuleState, Pa};
use std::mem::offset_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// The model, shared with the programs of its RECs.
#[derive(Clone)]
pub struct SharedModel(Arc<Mutex<Model>>);

impl SharedModel {
    pub fn new(model: Model) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Host that takes one step.
pub struct Stepper<'a> {
    pub shared: &'a SharedModel,
    pub host: &'a Host,
    pub draw: Draw,
    pub twist: Twist,
    /// Whether a REC runs while this step is taken.
    pub nested: bool,
    /// Whether to choose only granules that any Realm can address.
    pub low: bool,
    /// RD of the last Realm that was created.
    pub last_rd: u64,
}

impl<'a> Stepper<'a> {
    /// A Host whose step has no numbers.
    pub fn new(shared: &'a SharedModel, host: &'a Host) -> Self {
        Self {
            shared,
            host,
            draw: Draw::new([0; 6]),
            twist: None,
            nested: false,
            low: false,
            last_rd: 0,
        }
    }

    /// A call, with the twist of the step if it has not been applied yet.
    pub fn call(&mut self, function: u64, args: &[u64]) -> Reply {
        let mut a = [0; 5];
        a[..args.len()].copy_from_slice(args);
        if let Some((which, how)) = self.twist.take() {
            let which = usize::from(which) % args.len().max(1);
            a[which] = self.twisted(a[which], how);
        }
        self.plain_call(function, &a[..args.len()])
    }

    /// A call without twist.
    pub fn plain_call(&mut self, function: u64, args: &[u64]) -> Reply {
        let mut a = [0; 5];
        a[..args.len()].copy_from_slice(args);
        self.shared
            .lock()
            .note(format!("{} {args:x?}", command_name(function)));
        let reply = self.host.call(function, args);
        let mut model = self.shared.lock();
        model.note(format!("    {:?} {:x?}", reply.status, &reply.x[1..5]));
        model.judge(function, a, &reply);
        drop(model);
        // A failure changes nothing, so the same call has the same result. One in four failures is
        // tried again, chosen by the first argument.
        if reply.status != Status::Success && args.first().is_some_and(|arg| arg & 0x3000 == 0) {
            let again = self.host.call(function, args);
            assert_eq!(again, reply, "the same call again");
        }
        if reply.status == Status::Success {
            self.after(function, a);
        }
        reply
    }

    /// Steps that always follow a successful call.
    fn after(&mut self, function: u64, a: [u64; 5]) {
        match function {
            fid::RMI_REALM_CREATE if self.is_v2() => {
                self.last_rd = a[0];
                self.learn_vmid(a[0]);
            }
            fid::RMI_REALM_CREATE => {
                self.last_rd = a[0];
                self.plain_call(fid::RMI_REC_AUX_COUNT, &[a[0]]);
            }
            fid::RMI_REC_CREATE => program::install(self.shared, self.host, a[1]),
            fid::RMI_PSCI_COMPLETE => {
                // For a REC that has not begun yet this makes no difference.
                let model = self.shared.lock();
                let rd = model.recs[&a[0]].rd;
                let of_realm = model.realms[&rd].recs.values();
                let restarted =
                    of_realm.filter(|rec| model.recs[rec].expected == Expected::Restart);
                let restarted: Vec<u64> = restarted.copied().collect();
                drop(model);
                for rec in restarted {
                    program::install(self.shared, self.host, rec);
                }
            }
            _ => {}
        }
    }

    /// The VMID that the monitor has chosen for a Realm of RMI 2.0: no other Realm has it.
    fn learn_vmid(&self, rd: u64) {
        let content = self.host.board().memory.peek(Pa(rd));
        let (descriptor, _) = Realm::read_from_prefix(&content).expect("an RD");
        let vmid = descriptor.stage2.vmid;
        let mut model = self.shared.lock();
        let mut others = model.realms.iter().filter(|(other, _)| **other != rd);
        assert!(others.all(|(_, realm)| realm.vmid != vmid), "VMID {vmid}");
        assert!(model.features.vmid16 || vmid < 256);
        model.realm(rd).vmid = vmid;
    }

    /// Writes to a page from this address on, if it is Host memory.
    pub fn put_at(&self, addr: u64, words: &[u64]) {
        let page = addr & !0xFFF;
        let content = self
            .shared
            .lock()
            .granules
            .get(&page)
            .map(|granule| *granule.content());
        if let Some(mut content) = content {
            content[(addr & 0xFFF) as usize..][..8 * words.len()].copy_from_slice(words.as_bytes());
            self.put(page, &content);
        }
    }

    /// Another value for an argument, which may be wrong.
    fn twisted(&mut self, value: u64, how: u8) -> u64 {
        let how = usize::from(how);
        let model = self.shared.lock();
        let granules: Vec<u64> = model.granules.keys().copied().collect();
        let in_state = |state: GranuleState| {
            let mut all = granules.iter().copied();
            all.find(|pa| model.granule_state(*pa) == Some(state))
                .unwrap_or(0)
        };
        match how % 24 {
            0 => value.wrapping_add(1),
            1 => value ^ 0x800,
            2 => value ^ 0x1000,
            3 => value ^ 1 << 63,
            4 => value | 1 << 48,
            5 => value.wrapping_sub(1),
            6 => value.wrapping_add(4096),
            7 => u64::MAX,
            8 => 0,
            9 => in_state(GranuleState::Rd),
            10 => in_state(GranuleState::Rec),
            11 => in_state(GranuleState::RecAux),
            12 => in_state(GranuleState::Rtt),
            13 => in_state(GranuleState::Data),
            14 => in_state(GranuleState::Delegated),
            15 => in_state(GranuleState::Undelegated),
            16 => granules.last().copied().unwrap_or(0),
            17 => 0x8000_0000,
            18 => 0x0900_0000,
            19 => 4,
            20 => value ^ 1 << 21,
            21 => value ^ 1 << 30,
            22 => value ^ 1 << 39,
            _ => granules[how * granules.len() / 256],
        }
    }

    /// Writes to a page, if it is Host memory.
    pub fn put(&self, pa: u64, value: &(impl IntoBytes + Immutable)) {
        let mut model = self.shared.lock();
        let Some(granule) = model.granules.get_mut(&pa) else {
            return;
        };
        if granule.pas == Some(Pas::NonSecure) {
            let bytes = value.as_bytes();
            granule.content_mut()[..bytes.len()].copy_from_slice(bytes);
            self.host.write(pa, bytes);
        }
    }

    /// RMI_REC_ENTER with these fields. If the REC runs, its program gets these instructions as
    /// well.
    pub fn enter(
        &mut self,
        rec: u64,
        run: u64,
        enter: &RecEnter,
        todo: Vec<Instruction>,
        interrupted: bool,
    ) {
        const EXIT: u64 = offset_of!(RecRun, exit) as u64;
        let mut args = [rec, run];
        if let Some((which, how)) = self.twist.take() {
            let which = usize::from(which) % 2;
            args[which] = self.twisted(args[which], how);
        }
        let [rec, run] = args;
        let mut record = RecRun::new_zeroed();
        record.enter = *enter;
        record.exit.as_mut_bytes().fill(0xA5);
        self.put(run, &record);

        let mut model = self.shared.lock();
        model.note(format!(
            "REC_ENTER {args:x?} flags {:x} {todo:x?}{}",
            enter.flags,
            if interrupted { ", interrupted" } else { "" }
        ));
        let conditions = model.entry_conditions(rec, run, enter);
        if conditions.none() {
            model.begin(rec, enter, todo, interrupted);
            let state = &model.recs[&rec];
            let line = format!(
                "    expected: {:x?} of {:x?}",
                state.expected, state.current
            );
            model.note(line);
        }
        drop(model);
        let is_v2 = {
            let model = self.shared.lock();
            let found = model.recs.get(&rec);
            found.is_some_and(|rec| model.realms[&rec.rd].is_v2)
        };
        let hcr = enter.gicv3_hcr & 0x40FE | u64::from(conditions.none());
        let mut lrs = [0; 16];
        let used = usize::from(self.shared.lock().features.gic_num_lrs) + 1;
        lrs[..used].copy_from_slice(&enter.gicv3_lrs[..used]);
        if is_v2 {
            // The registers are the Host's own.
            self.host.gic(|gic| (gic.hcr, gic.lrs) = (hcr, lrs));
        }
        self.host.set_irq(interrupted);
        let reply = self.host.call_unchecked(fid::RMI_REC_ENTER, &[rec, run]);
        self.host.set_irq(false);

        if is_v2 {
            let found = self.host.gic(|gic| (gic.hcr, gic.lrs));
            assert_eq!(found, (hcr & !1, lrs), "the Host's GIC registers");
        }
        let mut model = self.shared.lock();
        model.note(format!("    {:?}", reply.status));
        if !conditions.none() {
            Model::judge_entry(&conditions, reply.status);
            return;
        }
        let page = model.granules.get(&run);
        if page.is_none_or(|page| page.pas != Some(Pas::NonSecure)) {
            // It has left Non-secure PAS while the Realm ran.
            assert_eq!(reply.status, Status::Input);
            model.finish(rec, None);
            return;
        }
        Model::judge_entry(&conditions, reply.status);
        let found: RecExit = self.host.get(run + EXIT);
        model.finish(rec, Some(&found));
        let content = model.granule(run).content_mut();
        content[EXIT as usize..].copy_from_slice(found.as_bytes());
    }
}
