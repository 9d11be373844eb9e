// SPDX-License-Identifier: BSD-3-Clause
//! No call of one Realm, nor of the Host for it, locks what a call for another Realm locks: Realms on
//! different CPUs do not wait for each other.

use rmm_abi::psci::fid::PSCI_VERSION;
use rmm_abi::rmi::RecExitReason;
use rmm_abi::rsi::fid::{
    RSI_ATTESTATION_TOKEN_CONTINUE, RSI_ATTESTATION_TOKEN_INIT, RSI_HOST_CALL, RSI_IPA_STATE_GET,
    RSI_IPA_STATE_SET, RSI_MEASUREMENT_EXTEND, RSI_MEASUREMENT_READ, RSI_REALM_CONFIG, RSI_VERSION,
};
use rmm_core::fake::{Host, MIB, PAGE, RAM, Status, TestRealm, assert_reason};
use rmm_granule::Pa;
use rmm_granule::fake::locked_while;
use std::collections::BTreeSet;
use std::path::Path;

const RIPAS_TOP: u64 = 8 * PAGE;
const BLOCK: u64 = 4 * MIB;

/// What a Realm does, and what the Host does for it, step by step.
type Step = fn(&TestRealm<'_>);

const STEPS: &[(&str, Step)] = &[
    ("tables and memory", |realm| {
        realm.tables(0, 3);
        realm.ram(0, 4 * PAGE);
        realm.data(0, &[1]);
        realm.data(PAGE, &[]);
        realm.data_unknown(2 * PAGE);
    }),
    ("a block", |realm| {
        realm.block(BLOCK);
        let rtt = realm.granule();
        let status = realm.host.rtt_create(realm.rd, rtt, BLOCK, 3);
        assert_eq!(status, Status::Success);
    }),
    ("shared memory", |realm| {
        let ipa = realm.unprotected();
        realm.share(ipa, realm.host.page());
        let status = realm.host.rtt_unmap_unprotected(realm.rd, ipa, 3).0;
        assert_eq!(status, Status::Success);
    }),
    ("a REC", |realm| {
        let _rec = realm.rec(true);
        realm.activate();
    }),
    ("calls that stay in the monitor", |realm| {
        realm.script(0, |cpu| async move {
            for call in [
                [RSI_VERSION, 0x1_0000, 0, 0],
                [RSI_REALM_CONFIG, PAGE, 0, 0],
                [RSI_IPA_STATE_GET, 0, 4 * PAGE, 0],
                [RSI_MEASUREMENT_EXTEND, 1, 8, 1],
                [RSI_MEASUREMENT_READ, 1, 0, 0],
                [RSI_ATTESTATION_TOKEN_INIT, 0, 0, 0],
                [RSI_ATTESTATION_TOKEN_CONTINUE, PAGE, 0, PAGE],
                [PSCI_VERSION, 0, 0, 0],
            ] {
                cpu.smc(&call).await;
            }
            cpu.smc(&[RSI_HOST_CALL, PAGE]).await;
            cpu.smc(&[RSI_IPA_STATE_SET, 4 * PAGE, RIPAS_TOP, RAM, 0])
                .await;
        });
        assert_reason(&realm.enter(0), RecExitReason::HostCall);
    }),
    ("a RIPAS change", |realm| {
        assert_reason(&realm.enter(0), RecExitReason::RipasChange);
        let (rec, top) = (realm.rec_pa(0), RIPAS_TOP);
        let changed = realm.host.rtt_set_ripas(realm.rd, rec, 4 * PAGE, top);
        assert_eq!(changed.0, Status::Success);
        assert_reason(&realm.enter(0), RecExitReason::Irq);
    }),
];

/// What each step locks for one Realm is disjoint from all that is locked for the other one. For the same
/// Realm the steps do lock the same Granules.
#[test]
fn realms_share_no_granule_lock() {
    let host = Host::new();
    let realms = [(); 2].map(|()| locked_while(|| host.realm().create()));
    let mut all = realms.each_ref().map(|(_, locked)| locked.clone());
    let mut count = 0;
    for (what, step) in STEPS {
        let locked = realms
            .each_ref()
            .map(|(realm, _)| locked_while(|| step(realm)).1);
        for (mine, sum) in locked.iter().zip(&mut all) {
            assert!(!mine.is_disjoint(sum), "{what}: not even of the same Realm");
            sum.extend(mine);
        }
        assert_disjoint(&all, what);
        count += locked[0].len();
    }
    assert!(count > STEPS.len(), "only {count} locks were seen");
    for ((realm, _), sum) in realms.iter().zip(&mut all) {
        sum.extend(locked_while(|| realm.destroy()).1);
    }
    assert_disjoint(&all, "the end");
}

fn assert_disjoint([one, other]: &[BTreeSet<Pa>; 2], what: &str) {
    let shared: Vec<_> = one.intersection(other).collect();
    assert!(shared.is_empty(), "{what}: both Realms lock {shared:?}");
}

/// The monitor has three locks besides those of Granules: the console's, which only log lines take; the
/// memory of the platform token, locked at boot; and the page shared with EL3, for EL3 that signs tokens
/// itself. A new one needs a reason why no Realm waits at it for another.
#[test]
fn no_other_locks() {
    const KNOWN: [&str; 3] = ["arch/console.rs", "arch/start.rs", "signature.rs"];
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for name in [
        "rmm-abi",
        "rmm-attest",
        "rmm-core",
        "rmm-granule",
        "rmm-rsi",
        "rmm-rtt",
    ] {
        search(&crates.join(name).join("src"), &mut found);
    }
    found.sort();
    assert_eq!(found, KNOWN);
}

/// Notes the files that use a lock of a crate, as paths below `src`. Fakes and tests may.
fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["fake", "tests", "order"].contains(&name) {
            search(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            if ["Mutex<", "RwLock<", "SpinMutex"]
                .iter()
                .any(|lock| text.contains(lock))
            {
                let path = path.to_str().unwrap().replace('\\', "/");
                found.push(path.rsplit_once("/src/").unwrap().1.to_owned());
            }
        }
    }
}
