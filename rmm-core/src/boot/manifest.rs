// SPDX-License-Identifier: BSD-3-Clause
//! The boot manifest, versions 0.2 to 0.5.

use super::banks::Full;
use super::{Banks, BootError};
use rmm_abi::el3::{
    BdfMapping, BootManifest, Console, List, MemoryBank, RootComplex, RootPort, Smmu, Version,
    checksum_holds, size_for,
};
use rmm_granule::{Bank, GRANULE_SIZE, Pa};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

type Page = [u8; GRANULE_SIZE];

/// The version of the root complex elements that the monitor knows.
const RC_VERSION: u32 = 1;

/// The part of the manifest that the monitor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the manifest.
    pub version: Version,
    banks: Banks,
    /// The first console that is a PL011.
    pub console: Option<ConsoleInfo>,
    /// The checksum of the consoles does not cover their names: a harmless flaw of Trusted Firmware-A
    /// 2.12 on QEMU.
    pub flawed_console_checksum: bool,
}

/// A PL011 console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleInfo {
    /// Its registers, at a page.
    pub base: Pa,
    /// Input clock in Hz.
    pub clock: u64,
    /// Baud rate.
    pub baud: u64,
}

impl Manifest {
    /// Reads the manifest at the start of the shared buffer, whose physical address is `page_pa`.
    /// Physical addresses have `pa_bits` bits.
    ///
    /// # Errors
    /// The version is unknown or 0.1, a list reaches outside the page, a checksum does not hold,
    /// or a DRAM bank or console breaks its rules.
    pub fn parse(page: &Page, page_pa: Pa, pa_bits: u8) -> Result<Self, BootError> {
        let buffer = Buffer { page, pa: page_pa };
        let version = u32::read_from_prefix(page).map_or(0, |(version, _)| version);
        let version = Version::decode(u64::from(version)).ok_or(BootError::ManifestVersion)?;
        if version.major != 0 || version.minor < 2 {
            return Err(BootError::ManifestVersion);
        }
        // Fields that the version does not have stay zero: empty lists.
        let mut header = BootManifest::new_zeroed();
        header
            .as_mut_bytes()
            .iter_mut()
            .zip(page.iter().take(size_for(version.minor)))
            .for_each(|(to, from)| *to = *from);

        let banks = dram(&buffer, &header.plat_dram, pa_bits)?;
        let (console, flawed_console_checksum) = console(&buffer, &header.plat_console, pa_bits)?;
        buffer.check::<MemoryBank>(&header.plat_ncoh_region, "non-coherent regions")?;
        buffer.check::<MemoryBank>(&header.plat_coh_region, "coherent regions")?;
        buffer.check::<Smmu>(&header.plat_smmu, "SMMUs")?;
        root_complexes(&buffer, &header)?;
        Ok(Self {
            version,
            banks,
            console,
            flawed_console_checksum,
        })
    }

    /// DRAM banks, ascending, not overlapping, whole pages. They may include memory that is not the
    /// Host's, such as the monitor's own.
    #[must_use]
    pub const fn banks(&self) -> &Banks {
        &self.banks
    }
}

/// The shared buffer and its physical address.
struct Buffer<'a> {
    page: &'a Page,
    pa: Pa,
}

impl<'a> Buffer<'a> {
    /// The elements of an array at physical address `pointer`; `None` if it reaches outside the
    /// page. An empty array may be anywhere.
    fn array<T: FromBytes + Immutable>(
        &self,
        pointer: u64,
        num: u64,
    ) -> Option<impl Iterator<Item = T> + Clone + use<'a, T>> {
        let bytes = match num {
            0 => &[][..],
            _ => {
                let start = usize::try_from(pointer.checked_sub(self.pa.0)?).ok()?;
                let length = usize::try_from(num).ok()?.checked_mul(size_of::<T>())?;
                self.page.get(start..start.checked_add(length)?)?
            }
        };
        let elements = bytes.chunks_exact(size_of::<T>());
        Some(elements.filter_map(|element| T::read_from_bytes(element).ok()))
    }

    /// The elements of a list.
    fn list<T: FromBytes + Immutable>(
        &self,
        list: &List,
    ) -> Result<impl Iterator<Item = T> + Clone + use<'a, T>, BootError> {
        self.array(list.pointer, list.num)
            .ok_or(BootError::Manifest("a list reaches outside the page"))
    }

    /// Checks bounds and checksum of a list that the monitor does not use.
    fn check<T: FromBytes + IntoBytes + Immutable>(
        &self,
        list: &List,
        name: &'static str,
    ) -> Result<(), BootError> {
        let elements = self.list::<T>(list)?;
        if list.checksum_holds(elements.map(|element| word_sum(&element))) {
            Ok(())
        } else {
            Err(BootError::Manifest(name))
        }
    }
}

/// Sum modulo 2^64 of an element's 64-bit words.
fn word_sum<T: IntoBytes + Immutable>(element: &T) -> u64 {
    let words = element.as_bytes().chunks_exact(size_of::<u64>());
    words
        .filter_map(|word| u64::read_from_bytes(word).ok())
        .fold(0, u64::wrapping_add)
}

fn dram(buffer: &Buffer<'_>, list: &List, pa_bits: u8) -> Result<Banks, BootError> {
    let elements = buffer.list::<MemoryBank>(list)?;
    if !list.checksum_holds(elements.clone().flat_map(|bank| [bank.base, bank.size])) {
        return Err(BootError::Manifest("checksum of the DRAM banks"));
    }
    let mut banks = Banks::new();
    let mut free_from = 0;
    for MemoryBank { base, size } in elements {
        let end = base
            .checked_add(size)
            .filter(|&end| end <= 1u64.checked_shl(pa_bits.into()).unwrap_or(u64::MAX))
            .ok_or(BootError::Manifest("a DRAM bank beyond the address space"))?;
        if size == 0 || !(base | size).is_multiple_of(GRANULE_SIZE as u64) {
            return Err(BootError::Manifest("a DRAM bank is not of whole pages"));
        }
        if base < free_from {
            return Err(BootError::Manifest("DRAM banks overlap or do not ascend"));
        }
        banks
            .push(Bank { base, size })
            .map_err(|Full| BootError::Manifest("too many DRAM banks"))?;
        free_from = end;
    }
    if free_from == 0 {
        return Err(BootError::Manifest("no DRAM"));
    }
    Ok(banks)
}

/// The first PL011, and whether the checksum does not cover the names.
fn console(
    buffer: &Buffer<'_>,
    list: &List,
    pa_bits: u8,
) -> Result<(Option<ConsoleInfo>, bool), BootError> {
    let consoles = buffer.list::<Console>(list)?;
    let sums = consoles.clone().map(|console| word_sum(&console));
    let flawed = !list.checksum_holds(sums);
    if flawed {
        let nameless = consoles.clone().map(|console| {
            word_sum(&Console {
                name: [0; 8],
                ..console
            })
        });
        if !list.checksum_holds(nameless) {
            return Err(BootError::Manifest("checksum of the consoles"));
        }
    }
    let Some(console) = consoles
        .clone()
        .find(|console| &console.name == b"pl011\0\0\0")
    else {
        return Ok((None, flawed));
    };
    let base = Pa::granule(console.base)
        .filter(|base| base.0 != 0 && console.map_pages != 0 && base.0 >> pa_bits.min(63) == 0)
        .ok_or(BootError::Manifest("console registers"))?;
    let info = ConsoleInfo {
        base,
        clock: console.clk_in_hz,
        baud: console.baud_rate,
    };
    Ok((Some(info), flawed))
}

/// Checks bounds and checksum of the root complexes. One checksum, modulo 2^64 as all of them, covers
/// the complexes, their ports and the mappings of the ports.
fn root_complexes(buffer: &Buffer<'_>, header: &BootManifest) -> Result<(), BootError> {
    const OUTSIDE: BootError = BootError::Manifest("a root complex reaches outside the page");
    let list = &header.plat_root_complex;
    // The monitor needs nothing of a layout that it does not know.
    if list.rc_info_version != RC_VERSION && list.num != 0 {
        return Ok(());
    }
    let complexes = buffer
        .array::<RootComplex>(list.pointer, list.num)
        .ok_or(OUTSIDE)?;
    let mut sum = 0u64;
    for complex in complexes {
        sum = sum.wrapping_add(word_sum(&complex));
        let ports = buffer
            .array::<RootPort>(complex.root_ports, complex.num_root_ports.into())
            .ok_or(OUTSIDE)?;
        for port in ports {
            sum = sum.wrapping_add(word_sum(&port));
            let mappings = buffer
                .array::<BdfMapping>(port.bdf_mappings, port.num_bdf_mappings.into())
                .ok_or(OUTSIDE)?;
            sum = mappings.fold(sum, |sum, mapping| sum.wrapping_add(word_sum(&mapping)));
        }
    }
    if checksum_holds([list.num, list.pointer, list.checksum, sum]) {
        Ok(())
    } else {
        Err(BootError::Manifest("checksum of the root complexes"))
    }
}
