// SPDX-License-Identifier: BSD-3-Clause
//! Calls of the monitor under the model's eyes.

use super::guest::{Expected, Instruction};
use super::ops::{Draw, Twist};
use super::program;
use super::state::{Kind, Model};
use rmm_abi::rmi::{RecEnter, RecExit, RecRun, fid};
use rmm_core::fake::{Host, Reply, Status};
use std::mem::offset_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// The model, shared with the programs of its RECs.
#[derive(Clone)]
pub struct World(Arc<Mutex<Model>>);

impl World {
    pub fn new(model: Model) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Host that takes one step.
pub struct Hand<'a> {
    pub world: &'a World,
    pub host: &'a Host,
    pub draw: Draw,
    pub twist: Twist,
    /// A REC runs meanwhile.
    pub nested: bool,
    /// Only Granules that any Realm can address.
    pub low: bool,
    /// The RD of the Realm created last.
    pub made: u64,
}

impl<'a> Hand<'a> {
    /// One with nothing to draw.
    pub fn new(world: &'a World, host: &'a Host) -> Self {
        Self {
            world,
            host,
            draw: Draw::new([0; 6]),
            twist: None,
            nested: false,
            low: false,
            made: 0,
        }
    }

    /// A call, with the twist if it is still to come.
    pub fn call(&mut self, function: u64, args: &[u64]) -> Reply {
        let mut a = [0; 5];
        a[..args.len()].copy_from_slice(args);
        if let Some((which, how)) = self.twist.take() {
            let which = usize::from(which) % args.len().max(1);
            a[which] = self.twisted(a[which], how);
        }
        self.plain_call(function, &a[..args.len()])
    }

    /// A call as it is.
    pub fn plain_call(&mut self, function: u64, args: &[u64]) -> Reply {
        let mut a = [0; 5];
        a[..args.len()].copy_from_slice(args);
        self.world
            .lock()
            .note(format!("{} {args:x?}", name(function)));
        let reply = self.host.call(function, args);
        let mut model = self.world.lock();
        model.note(format!("    {:?} {:x?}", reply.status, &reply.x[1..5]));
        model.judge(function, a, &reply);
        drop(model);
        // A failure changes nothing: the same again comes to the same.
        if reply.status != Status::Success && args.first().is_some_and(|arg| arg & 0x3000 == 0) {
            let again = self.host.call(function, args);
            assert_eq!(again, reply, "the second time");
        }
        if reply.status == Status::Success {
            self.after(function, a);
        }
        reply
    }

    /// What follows a call that has succeeded.
    fn after(&mut self, function: u64, a: [u64; 5]) {
        match function {
            fid::RMI_REALM_CREATE => {
                self.made = a[0];
                self.plain_call(fid::RMI_REC_AUX_COUNT, &[a[0]]);
            }
            fid::RMI_REC_CREATE => program::install(self.world, self.host, a[1]),
            fid::RMI_PSCI_COMPLETE => {
                let restarted = self.world.lock().recs[&a[1]].expected == Expected::Restart;
                if restarted {
                    program::install(self.world, self.host, a[1]);
                }
            }
            _ => {}
        }
    }

    /// An argument that may not fit.
    fn twisted(&mut self, value: u64, how: u8) -> u64 {
        let how = usize::from(how);
        let model = self.world.lock();
        let granules: Vec<u64> = model.granules.keys().copied().collect();
        let of_kind = |kind: Kind| {
            let mut all = granules.iter().copied();
            all.find(|pa| model.kind(*pa) == Some(kind)).unwrap_or(0)
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
            9 => of_kind(Kind::Rd),
            10 => of_kind(Kind::Rec),
            11 => of_kind(Kind::RecAux),
            12 => of_kind(Kind::Rtt),
            13 => of_kind(Kind::Data),
            14 => of_kind(Kind::Delegated),
            15 => of_kind(Kind::Undelegated),
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

    /// Writes the Host's page at `pa`, if it is one.
    pub fn put(&self, pa: u64, value: &(impl IntoBytes + Immutable)) {
        let mut model = self.world.lock();
        let Some(granule) = model.granules.get_mut(&pa) else {
            return;
        };
        if granule.pas == Some(rmm_granule::fake::Pas::NonSecure) {
            let bytes = value.as_bytes();
            granule.content_mut()[..bytes.len()].copy_from_slice(bytes);
            self.host.write(pa, bytes);
        }
    }

    /// RMI_REC_ENTER with these fields; what the REC's program has to do is added to what it has
    /// if it runs.
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

        let mut model = self.world.lock();
        model.note(format!(
            "REC_ENTER {args:x?} flags {:x} {todo:x?}{}",
            enter.flags,
            if interrupted { ", interrupted" } else { "" }
        ));
        let conditions = model.entry_conditions(rec, run, enter);
        if conditions.none() {
            model.begin(rec, enter, todo, interrupted);
            let state = &model.recs[&rec];
            let line = format!("    to come: {:x?} of {:x?}", state.expected, state.doing);
            model.note(line);
        }
        drop(model);
        self.host.set_irq(interrupted);
        let reply = self.host.call_that_may_run(fid::RMI_REC_ENTER, &[rec, run]);
        self.host.set_irq(false);

        let mut model = self.world.lock();
        model.note(format!("    {:?}", reply.status));
        if !conditions.none() {
            Model::judge_entry(&conditions, reply.status);
            return;
        }
        let page = model.granules.get(&run);
        if page.is_none_or(|page| page.pas != Some(rmm_granule::fake::Pas::NonSecure)) {
            // Taken away while the Realm ran.
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

/// Name of a command.
pub fn name(function: u64) -> String {
    let name = match function {
        fid::RMI_VERSION => "VERSION",
        fid::RMI_GRANULE_DELEGATE => "GRANULE_DELEGATE",
        fid::RMI_GRANULE_UNDELEGATE => "GRANULE_UNDELEGATE",
        fid::RMI_DATA_CREATE => "DATA_CREATE",
        fid::RMI_DATA_CREATE_UNKNOWN => "DATA_CREATE_UNKNOWN",
        fid::RMI_DATA_DESTROY => "DATA_DESTROY",
        fid::RMI_REALM_ACTIVATE => "REALM_ACTIVATE",
        fid::RMI_REALM_CREATE => "REALM_CREATE",
        fid::RMI_REALM_DESTROY => "REALM_DESTROY",
        fid::RMI_REC_CREATE => "REC_CREATE",
        fid::RMI_REC_DESTROY => "REC_DESTROY",
        fid::RMI_REC_ENTER => "REC_ENTER",
        fid::RMI_RTT_CREATE => "RTT_CREATE",
        fid::RMI_RTT_DESTROY => "RTT_DESTROY",
        fid::RMI_RTT_MAP_UNPROTECTED => "RTT_MAP_UNPROTECTED",
        fid::RMI_RTT_READ_ENTRY => "RTT_READ_ENTRY",
        fid::RMI_RTT_UNMAP_UNPROTECTED => "RTT_UNMAP_UNPROTECTED",
        fid::RMI_PSCI_COMPLETE => "PSCI_COMPLETE",
        fid::RMI_FEATURES => "FEATURES",
        fid::RMI_RTT_FOLD => "RTT_FOLD",
        fid::RMI_REC_AUX_COUNT => "REC_AUX_COUNT",
        fid::RMI_RTT_INIT_RIPAS => "RTT_INIT_RIPAS",
        fid::RMI_RTT_SET_RIPAS => "RTT_SET_RIPAS",
        _ => return format!("{function:#x}"),
    };
    name.into()
}
