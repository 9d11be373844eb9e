// SPDX-License-Identifier: BSD-3-Clause
//! The demonstration of isolation: the Host tries to get at a Realm in every way that it has, and shows
//! what stops it. After each attempt the Realm looks at its secret.

use crate::arch;
use crate::check::{Check, ensure, ensure_eq, fail};
use crate::console::line;
use crate::pool::{self, GRANULE};
use crate::realm::{ATTRIBUTES, Config, Realm, rec_params};
use crate::rec::{Rec, describe, enter, enter_with};
use crate::rmi::{self, Answer};
use crate::tests::Test;
use alloc::format;
use alloc::string::String;
use rmm_abi::rmi::{
    RMI_ERROR_INPUT, RMI_ERROR_REALM, RMI_ERROR_REC, RMI_ERROR_RTT, RecEnterFlags, RecExitReason,
    status,
};
use tests_fvp::protocol::{Access, MODE_COMMANDS, Op, layout};
use zerocopy::IntoBytes;

/// The demonstration as a test.
pub const TESTS: &[Test] = &[("demo.isolation", isolation)];

/// IPA of the page with the Realm's secret.
const SECRET: u64 = layout::BASE + layout::SIZE;
/// IPA of a page that the Host is going to replace.
const VICTIM: u64 = SECRET + GRANULE;
/// An IPA with RIPAS RAM and no page, in the same RTT.
const FREE: u64 = VICTIM + GRANULE;
/// What the pattern of the secret is made of.
const SEED: u64 = 0x5EC2E7;
/// What the Host would write.
const FORGED: u64 = 0x4057_F04D;

/// Runs the demonstration and prints its outcome.
pub fn run() {
    match isolation() {
        Ok(()) => line!("host: run complete"),
        Err(why) => line!("host: FAILED: {why}"),
    }
}

/// The Realm that the Host wants to get at, and one that helps the Host.
struct Scene {
    realm: Realm,
    accomplice: Realm,
    /// The granule of the secret.
    secret: u64,
    attempts: usize,
}

fn isolation() -> Check {
    let mut scene = Scene::new()?;
    line!(
        "host: a Realm has a secret in its page at IPA {SECRET:#x}, which is the granule at {:#x}",
        scene.secret
    );
    scene.memory()?;
    scene.mappings()?;
    scene.granules()?;
    scene.tables()?;
    scene.content()?;
    scene.rec()?;
    scene.destroyed_rec()?;
    scene.replaced_page()?;
    scene.finish()
}

impl Scene {
    fn new() -> Check<Self> {
        let config = Config::default();
        let mut realm = Realm::loaded(&config)?;
        realm.init_ripas(SECRET, FREE + GRANULE)?;
        let secret = realm.add_unknown(SECRET)?;
        realm.add_unknown(VICTIM)?;
        for n in 0..2 {
            realm.add_rec(n == 0, &[MODE_COMMANDS, config.unprotected()])?;
        }
        realm.activate()?;
        let rec = realm.boot()?;
        rec.value_of(Op::MemFill, &[SECRET, GRANULE, SEED])?;
        let accomplice = Realm::running(&config, 1, MODE_COMMANDS)?;
        accomplice.boot()?;
        Ok(Self {
            realm,
            accomplice,
            secret,
            attempts: 0,
        })
    }

    fn victim(&self) -> Check<&Rec> {
        Ok(self.realm.recs.first().ok_or("no REC")?)
    }

    /// Shows an attempt and what stopped it, and has the Realm look at its secret.
    fn attempt(&mut self, what: &str, stopped: Check<String>) -> Check {
        self.attempts += 1;
        line!("host: {:2}. {what}", self.attempts);
        match stopped {
            Ok(how) => line!("host:     stopped: {how}"),
            Err(why) => {
                line!("host:     NOT STOPPED: {why}");
                fail!("attempt {} was not stopped: {what}: {why}", self.attempts);
            }
        }
        self.look()
    }

    fn look(&self) -> Check {
        let changed = self
            .victim()?
            .value_of(Op::MemCheck, &[SECRET, GRANULE, SEED])?;
        ensure_eq!(
            changed,
            0,
            "words of the secret that the Realm finds changed"
        );
        Ok(())
    }

    /// The Host's own loads and stores.
    fn memory(&mut self) -> Check {
        let secret = self.secret;
        let rec = self.victim()?.pa;
        let rd = self.realm.rd;
        let rtt = self
            .realm
            .table(3, SECRET & !((512 * GRANULE) - 1))
            .ok_or("no RTT")?;
        self.attempt(
            "The Host reads the secret in the Realm's memory.",
            read(secret),
        )?;
        self.attempt("The Host writes to the secret.", write(secret))?;
        self.attempt(
            "The Host changes a register of the REC, in the REC's granule.",
            write(rec),
        )?;
        self.attempt("The Host changes the Realm's descriptor (RD).", write(rd))?;
        self.attempt(
            "The Host changes an entry of the Realm's translation table (RTT).",
            write(rtt),
        )
    }

    /// The same granule at a second place.
    fn mappings(&mut self) -> Check {
        let secret = self.secret;
        let answer = rmi::data_create_unknown(self.realm.rd, secret, FREE);
        self.attempt(
            "The Host maps the secret's granule a second time, at another IPA of the Realm.",
            refused(
                "RMI_DATA_CREATE_UNKNOWN",
                answer,
                RMI_ERROR_INPUT,
                "the granule is in use",
            ),
        )?;
        self.accomplice.add_tables(FREE, 3)?;
        let answer = rmi::data_create_unknown(self.accomplice.rd, secret, FREE);
        self.attempt(
            "The Host maps the secret's granule into another Realm.",
            refused(
                "RMI_DATA_CREATE_UNKNOWN",
                answer,
                RMI_ERROR_INPUT,
                "the granule is in use",
            ),
        )?;
        let stopped = self.shared_with_accomplice();
        self.attempt(
            "The Host maps the secret's granule as memory that it shares with another Realm, which reads it.",
            stopped,
        )
    }

    /// RMI maps what the Host calls its own; the hardware looks at whose it is.
    fn shared_with_accomplice(&mut self) -> Check<String> {
        let ipa = self.accomplice.config.unprotected();
        self.accomplice.add_tables(ipa, 3)?;
        rmi::rtt_map_unprotected(self.accomplice.rd, ipa, 3, self.secret | ATTRIBUTES)
            .ok("RMI_RTT_MAP_UNPROTECTED")?;
        let rec = self.accomplice.recs.first().ok_or("no REC")?;
        let reply = rec.reply_of(Op::Read, &[ipa, Access::Double as u64])?;
        rmi::rtt_unmap_unprotected(self.accomplice.rd, ipa, 3).ok("RMI_RTT_UNMAP_UNPROTECTED")?;
        ensure!(
            reply.esr != 0,
            "the other Realm read {:#x}",
            reply.values[0]
        );
        ensure!(
            reply.esr & 0x3F == GPF,
            "another fault than that of granule protection: ESR {:#x}",
            reply.esr
        );
        Ok(format!(
            "granule protection fault in the other Realm, ESR_EL1 {:#x}",
            reply.esr
        ))
    }

    /// Granules that are in use.
    fn granules(&mut self) -> Check {
        let (secret, rec) = (self.secret, self.victim()?.clone());
        self.attempt(
            "The Host takes the secret's granule back (undelegates it) while the Realm uses it.",
            refused(
                "RMI_GRANULE_UNDELEGATE",
                rmi::undelegate(secret),
                RMI_ERROR_INPUT,
                "the granule is in use",
            ),
        )?;
        self.attempt(
            "The Host takes the REC's granule back, to change its registers.",
            refused(
                "RMI_GRANULE_UNDELEGATE",
                rmi::undelegate(rec.pa),
                RMI_ERROR_INPUT,
                "the granule is in use",
            ),
        )?;
        self.attempt(
            "The Host has the monitor write an exit record over the secret.",
            refused(
                "RMI_REC_ENTER",
                rmi::rec_enter(rec.pa, secret),
                RMI_ERROR_INPUT,
                "the record is not in the Host's memory",
            ),
        )?;
        self.attempt(
            "The Host has the monitor read the secret as parameters of a new Realm.",
            {
                let rd = pool::take_delegated()?;
                let answer = rmi::realm_create(rd, secret);
                pool::give_delegated(rd)?;
                refused(
                    "RMI_REALM_CREATE",
                    answer,
                    RMI_ERROR_INPUT,
                    "the parameters are not in the Host's memory",
                )
            },
        )
    }

    /// Tables.
    fn tables(&mut self) -> Check {
        let rd = self.realm.rd;
        let base = SECRET & !(512 * GRANULE - 1);
        let rtt = pool::take_delegated()?;
        let create = rmi::rtt_create(rd, rtt, base, 3);
        let destroy = rmi::rtt_destroy(rd, base, 3);
        let fold = rmi::rtt_fold(rd, base, 3);
        pool::give_delegated(rtt)?;
        self.attempt(
            "The Host puts an empty table in the place of the one that maps the secret.",
            refused(
                "RMI_RTT_CREATE",
                create,
                status(RMI_ERROR_RTT, 2),
                "the entry of level 2 has a table already",
            ),
        )?;
        self.attempt(
            "The Host removes the table that maps the secret.",
            refused(
                "RMI_RTT_DESTROY",
                destroy,
                status(RMI_ERROR_RTT, 3),
                "the table has live entries",
            ),
        )?;
        self.attempt(
            "The Host folds that table into one entry, as if its pages were in a row.",
            refused(
                "RMI_RTT_FOLD",
                fold,
                status(RMI_ERROR_RTT, 3),
                "they are not",
            ),
        )
    }

    /// What the Realm runs and was measured as.
    fn content(&mut self) -> Check {
        let rd = self.realm.rd;
        let rec = self.victim()?.pa;
        let (data, source) = (pool::take_delegated()?, pool::take_one()?);
        let create = rmi::data_create(rd, data, FREE, source, 0);
        let replace = rmi::data_create_unknown(rd, data, SECRET);
        let params = rec_params(2, true, &[], &[]);
        pool::write_bytes(source, params.as_bytes());
        let new_rec = rmi::rec_create(rd, data, source);
        pool::give(source, 1);
        pool::give_delegated(data)?;
        let init = rmi::rtt_init_ripas(rd, SECRET, SECRET + GRANULE);
        let set = rmi::rtt_set_ripas(rd, rec, SECRET, SECRET + GRANULE);
        self.attempt(
            "The Host adds a page with content of its own to the measured, running Realm.",
            refused(
                "RMI_DATA_CREATE",
                create,
                RMI_ERROR_REALM,
                "the Realm is active",
            ),
        )?;
        self.attempt(
            "The Host puts another page in the place of the secret.",
            refused(
                "RMI_DATA_CREATE_UNKNOWN",
                replace,
                status(RMI_ERROR_RTT, 3),
                "there is a page already",
            ),
        )?;
        self.attempt(
            "The Host adds a REC, which would start with registers of the Host's choice.",
            refused(
                "RMI_REC_CREATE",
                new_rec,
                RMI_ERROR_REALM,
                "the Realm is active",
            ),
        )?;
        self.attempt(
            "The Host declares the secret's IPA as fresh RAM.",
            refused(
                "RMI_RTT_INIT_RIPAS",
                init,
                RMI_ERROR_REALM,
                "the Realm is active",
            ),
        )?;
        self.attempt(
            "The Host declares the secret's IPA as no RAM, so that the Realm shares it.",
            refused(
                "RMI_RTT_SET_RIPAS",
                set,
                RMI_ERROR_INPUT,
                "the Realm has not asked for it",
            ),
        )
    }

    /// What the Host may say when it enters a REC.
    fn rec(&mut self) -> Check {
        let rec = self.victim()?.clone();
        let mut emulate = enter_with(RecEnterFlags::EMUL_MMIO);
        emulate.gprs[0] = FORGED;
        let answer = rec.try_enter(&emulate);
        self.attempt(
            "The Host answers a load that the Realm has not made: it sets EMUL_MMIO in the run record.",
            refused("RMI_REC_ENTER", answer, RMI_ERROR_REC, "the last exit was not for an emulatable abort"),
        )?;
        let mut physical = enter();
        // A pending interrupt that is tied to a physical one (HW).
        physical.gicv3_lrs[0] = 1 << 62 | 1 << 61 | 1 << 60 | 40;
        let answer = rec.try_enter(&physical);
        self.attempt(
            "The Host lets the Realm end a physical interrupt, by a list register in the run record.",
            refused("RMI_REC_ENTER", answer, RMI_ERROR_REC, "the list register is not one that a Host may set"),
        )?;
        let other = self.realm.recs.get(1).ok_or("no REC")?.clone();
        let answer = other.try_enter(&enter());
        self.attempt(
            "The Host runs a REC that the Realm has not switched on.",
            refused(
                "RMI_REC_ENTER",
                answer,
                RMI_ERROR_REC,
                "the REC is not runnable",
            ),
        )
    }

    /// A REC that is gone, and a forged one in its place.
    fn destroyed_rec(&mut self) -> Check {
        let rec = self.realm.recs.pop().ok_or("no REC")?;
        rmi::rec_destroy(rec.pa).ok("RMI_REC_DESTROY")?;
        let answer = rmi::rec_enter(rec.pa, rec.run);
        self.attempt(
            "The Host runs a REC that it has destroyed.",
            refused(
                "RMI_REC_ENTER",
                answer,
                RMI_ERROR_INPUT,
                "the granule is no REC",
            ),
        )?;
        rmi::undelegate(rec.pa).ok("RMI_GRANULE_UNDELEGATE")?;
        pool::fill(rec.pa, 1, FORGED);
        rmi::delegate(rec.pa).ok("RMI_GRANULE_DELEGATE")?;
        let answer = rmi::rec_enter(rec.pa, rec.run);
        self.attempt(
            "The Host takes that granule back, writes registers of its choice into it, delegates it, and runs it.",
            refused("RMI_REC_ENTER", answer, RMI_ERROR_INPUT, "only the monitor makes RECs"),
        )?;
        pool::give(rec.run, 1);
        pool::give_delegated(rec.pa)?;
        rec.aux.into_iter().try_for_each(pool::give_delegated)
    }

    /// A Host can always take memory away, but neither read it nor replace it unnoticed. Comes last, because
    /// the Realm stops at the page.
    fn replaced_page(&mut self) -> Check {
        let rec = self.victim()?.clone();
        rec.store(VICTIM, FORGED)?;
        let (granule, _) = self.realm.destroy_page(VICTIM)?;
        rmi::undelegate(granule).ok("RMI_GRANULE_UNDELEGATE")?;
        let found = (granule..granule + GRANULE)
            .step_by(8)
            .find(|word| pool::read(*word) != 0);
        self.attempt(
            "The Host destroys a page of the Realm and reads what was in it.",
            match found {
                None => {
                    Ok("RMI_DATA_DESTROY succeeds, but the monitor has wiped the granule".into())
                }
                Some(word) => Err(format!("there is {:#x}", pool::read(word)).into()),
            },
        )?;
        pool::give(granule, 1);
        self.realm.add_unknown(VICTIM)?;
        let exit = rec.exit_of(Op::Read, &[VICTIM, Access::Double as u64])?;
        self.attempts += 1;
        line!(
            "host: {:2}. The Host puts another page there. The Realm reads it.",
            self.attempts
        );
        ensure!(
            exit.exit_reason == RecExitReason::Sync as u8 && exit.gprs[0] == 0,
            "attempt {} was not stopped: {}",
            self.attempts,
            describe(&exit)
        );
        line!(
            "host:     stopped: the Realm does not go on: RIPAS DESTROYED, exit to the Host with ESR {:#x}",
            exit.esr
        );
        Ok(())
    }

    fn finish(self) -> Check {
        self.accomplice.finish()?;
        self.realm.finish()?;
        line!("host: all {} attempts were stopped", self.attempts);
        line!(
            "host: what the Realm saw: its secret unchanged after each of them, and nothing else"
        );
        line!("host: both Realms are destroyed; every granule is back, readable and zero");
        rmi::check_convention()
    }
}

/// Fault status: granule protection fault, not on a walk.
const GPF: u64 = 0x28;

/// A load by the Host.
fn read(address: u64) -> Check<String> {
    fault(arch::try_read(address).map(|value| format!("the Host read {value:#x}")))
}

/// A store by the Host.
fn write(address: u64) -> Check<String> {
    // SAFETY: memory of the pool, to which no reference exists.
    let written = unsafe { arch::try_write(address, FORGED) };
    fault(written.map(|()| "the Host wrote".into()))
}

/// What the handler of the Host's exceptions has seen.
fn fault(access: Result<String, u64>) -> Check<String> {
    match access {
        Ok(done) => fail!("{done}"),
        Err(esr) => {
            ensure!(
                arch::is_gpf(esr),
                "another fault than that of granule protection: ESR {esr:#x}"
            );
            Ok(format!(
                "granule protection fault in the Host, ESR_EL2 {esr:#x}: the memory is in the Realm PAS"
            ))
        }
    }
}

/// A command that must fail with a status.
fn refused(command: &str, answer: Answer, wanted: u64, why: &str) -> Check<String> {
    answer.is(wanted, command)?;
    Ok(format!("{command} returns {}: {why}", rmi::name(wanted)))
}
