// SPDX-License-Identifier: BSD-3-Clause
//! Any arguments at all: whatever a Host passes, the monitor answers.

use super::{GIB, MIB};
use rmm_core::fake::{Host, PAGE, Status, Zoo, audit, sweep};

const CALLS: usize = if cfg!(miri) { 200 } else { 40_000 };

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        let n = usize::try_from(self.next() >> 33).expect("31 bits");
        choices[n % choices.len()]
    }
}

#[test]
fn no_argument_stops_the_monitor() {
    let host = Host::new();
    let zoo = Zoo::new(&host);
    let realm = &zoo.realm;
    realm.share(realm.unprotected(), host.page());
    let rec = realm.rec_of(0);
    let granules = [
        zoo.undelegated,
        zoo.delegated,
        zoo.data,
        zoo.rtt,
        realm.rd,
        realm.params.rtt_base,
        rec.rec,
        rec.aux[0],
        rec.run,
        0x8800_0000,
    ];
    let sizes = [0, 1, 8, PAGE - 1, PAGE, 2 * MIB, GIB, 512 * GIB];
    let edges = [
        1 << 31,
        1 << 39,
        1 << 40,
        1 << 47,
        1 << 48,
        1 << 52,
        1 << 63,
    ];
    let random = &mut Random(1);
    let mut argument = || match random.next() % 8 {
        0..=2 => random.of(&granules),
        3 => random.of(&sizes),
        4 => random.of(&edges).wrapping_sub(random.of(&sizes)),
        5 => random.of(&sizes).wrapping_neg(),
        6 => random.next() % 5,
        _ => random.next(),
    };
    let calls: Vec<_> = (0..CALLS)
        .map(|n| {
            (
                0xC400_0150 + (n as u64 % 0x1A),
                [(); 5].map(|()| argument()),
            )
        })
        .collect();
    let mut successes = 0;
    host.leniently(|| {
        for (function, args) in calls {
            let reply = host.call_that_may_run(function, &args);
            successes += usize::from(reply.status == Status::Success);
            if function == 0xC400_0152 && reply.status == Status::Success {
                // The Zoo keeps its animals.
                let _delegated = host.granule_delegate(args[0]);
            }
        }
    });
    assert!(successes > 0);
    let _counts = audit(&host);
    sweep(&host);
    realm.is_gone();
}
