// SPDX-License-Identifier: BSD-3-Clause
//! RMI calls with any arguments, on a machine with a Realm in each state: addresses of all kinds of
//! granules, wrong ones, and structures of any content. Whatever a Host asks, a call that fails
//! changes nothing, and at the end everything can be destroyed and comes back wiped.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rmm_abi::rmi::{HashAlgorithm, RealmParams, RecParams, fid, index_to_mpidr};
use rmm_core::fake::{Config, GIB, Host, MIB, NS_ATTRIBUTES, PAGE, audit, sweep};
use rmm_granule::Bank;
use zerocopy::{FromZeros, IntoBytes};

/// Most calls of a sequence.
const CALLS: usize = 48;

/// An argument of a call.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Argument {
    /// A page that the machine uses, and an offset that mostly is zero.
    Page(u8, Offset),
    /// An IPA at the boundary of an RTT, in one of the two halves.
    Ipa(u8, Offset),
    /// A level, a flag, a count.
    Small(i8),
    /// A descriptor for Host memory.
    Descriptor(u8, u16),
    Any(u64),
}

/// Distance from an aligned address.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Offset {
    None,
    AlsoNone,
    Bytes(u16),
    Bit(u8),
}

impl Offset {
    fn apply(self, address: u64) -> u64 {
        match self {
            Self::None | Self::AlsoNone => address,
            Self::Bytes(bytes) => address.wrapping_add(bytes.into()),
            Self::Bit(bit) => address ^ 1 << (bit % 64),
        }
    }
}

/// One step of a Host.
#[derive(Arbitrary, Clone, Debug)]
enum Step {
    /// The RMI command with this number, from 0xC4000150 on.
    Call(u8, [Argument; 5]),
    /// The same command for a granule and, if it succeeds, for the next ones.
    Each(bool, u8, u8),
    /// Writes a word of a page of Host memory.
    Write(u8, u16, u64),
    /// Fills in parameters for a Realm or a REC.
    Params(u8, Parameters),
}

/// Parameters that a monitor may well accept.
#[derive(Arbitrary, Clone, Debug)]
enum Parameters {
    Realm {
        s2sz: u8,
        level: i8,
        start: u8,
        base: u8,
        vmid: u8,
        sha512: bool,
        flags: u8,
    },
    Rec {
        index: u8,
        runnable: bool,
        aux: [u8; 4],
    },
}

const PAGES: usize = 40;

struct Machine {
    host: Host,
    pages: Vec<u64>,
}

impl Machine {
    /// A machine whose Host has some pages, of which a few are next to each other and aligned to
    /// any start level.
    fn new() -> Self {
        let host = Host::with(Config {
            dram: vec![Bank {
                base: 0x8000_0000,
                size: 1 << 20,
            }],
            holes: Vec::new(),
            reserved: Vec::new(),
            ..Config::default()
        });
        let first = host.pages(16, 16 * PAGE);
        let mut pages: Vec<u64> = (0..16).map(|n| first + n * PAGE).collect();
        pages.extend((16..PAGES).map(|_| host.page()));
        Self { host, pages }
    }

    fn page(&self, n: u8) -> u64 {
        self.pages[usize::from(n) % PAGES]
    }

    fn value(&self, argument: Argument) -> u64 {
        const IPAS: [u64; 12] = [
            0,
            PAGE,
            2 * MIB - PAGE,
            2 * MIB,
            GIB - PAGE,
            GIB,
            8 * GIB,
            512 * GIB,
            512 * GIB + PAGE,
            513 * GIB,
            1 << 31,
            1 << 40,
        ];
        match argument {
            Argument::Page(n, offset) => offset.apply(self.page(n)),
            Argument::Ipa(n, offset) => offset.apply(IPAS[usize::from(n) % IPAS.len()]),
            Argument::Small(value) => i64::from(value).cast_unsigned(),
            Argument::Descriptor(n, bits) => {
                self.page(n) | NS_ATTRIBUTES ^ u64::from(bits & 0x0FC0)
            }
            Argument::Any(value) => value,
        }
    }

    fn call(&self, number: u8, arguments: [Argument; 5]) {
        let arguments = arguments.map(|argument| self.value(argument));
        let function = fid::RMI_VERSION + u64::from(number % 0x20);
        if function == fid::RMI_REC_ENTER {
            // It may fail after it has run the Realm, and then has changed something.
            let _reply = self.host.call_unchecked(function, &arguments);
        } else {
            let _reply = self.host.call(function, &arguments);
        }
    }

    fn take(&self, step: &Step) {
        match step {
            Step::Call(number, arguments) => self.call(*number, *arguments),
            Step::Each(delegate, first, count) => {
                for n in 0..=count % 8 {
                    let pa = self.page(first.wrapping_add(n));
                    let _status = if *delegate {
                        self.host.granule_delegate(pa)
                    } else {
                        self.host.granule_undelegate(pa)
                    };
                }
            }
            Step::Write(page, offset, value) => {
                let offset = u64::from(offset % 512) * 8;
                self.write(self.page(*page), offset, &value.to_le_bytes());
            }
            Step::Params(page, parameters) => {
                let bytes = self.parameters(parameters);
                self.write(self.page(*page), 0, &bytes);
            }
        }
    }

    /// Writes Host memory, if the page still is.
    fn write(&self, page: u64, offset: u64, bytes: &[u8]) {
        use rmm_granule::GranuleState::Undelegated;
        if self.host.state(page) == Undelegated {
            self.host.write(page + offset, bytes);
        }
    }

    fn parameters(&self, parameters: &Parameters) -> Vec<u8> {
        match *parameters {
            Parameters::Realm {
                s2sz,
                level,
                start,
                base,
                vmid,
                sha512,
                flags,
            } => {
                let mut params = RealmParams::new_zeroed();
                params.flags = u64::from(flags & 7);
                params.s2sz = 32 + s2sz % 10;
                params.rtt_level_start = i64::from(level % 4);
                params.rtt_num_start = u32::from(start % 17);
                params.rtt_base = self.page(base);
                params.vmid = u16::from(vmid % 4);
                (params.num_bps, params.num_wps) = (1, 1);
                if sha512 {
                    params.hash_algo = HashAlgorithm::Sha512 as u8;
                }
                params.as_bytes().to_vec()
            }
            Parameters::Rec {
                index,
                runnable,
                aux,
            } => {
                let mut params = RecParams::new_zeroed();
                params.flags = u64::from(runnable);
                params.mpidr = index_to_mpidr(u64::from(index % 4));
                params.num_aux = 2;
                for (to, page) in params.aux.iter_mut().zip(aux) {
                    *to = self.page(page);
                }
                params.as_bytes().to_vec()
            }
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let machine = Machine::new();
    for step in steps.iter().take(CALLS) {
        machine.take(step);
    }
    let _counts = audit(&machine.host);
    sweep(&machine.host);
});
