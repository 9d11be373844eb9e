// SPDX-License-Identifier: BSD-3-Clause
//! A small BL33: boots the Linux kernel that QEMU has been given by `-kernel`, at the exception level
//! that TF-A entered it at, with TF-A's device tree.
//!
//! The MMU is off throughout, as the kernel wants it, and only the boot CPU runs.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod fw_cfg;
#[cfg(target_os = "none")]
mod machine;

#[cfg(target_os = "none")]
mod boot {
    use crate::fw_cfg::{FwCfg, Item};
    use crate::machine::{self, MONITOR, TREE, println};
    use dtoolkit::fdt::Fdt;
    use linux_loader::kernel::{COMMAND_LINE, Header};
    use linux_loader::memory::Plan;
    use linux_loader::reserve::reserve_monitor;
    use linux_loader::{Error, tree};

    /// Boots, or says why not.
    #[unsafe(no_mangle)]
    extern "C" fn loader_main() -> ! {
        let Err(error) = boot();
        println!("loader: FAILED: {error}");
        machine::halt()
    }

    fn boot() -> Result<core::convert::Infallible, Error> {
        let memory = machine::device_tree();
        // Some builds of TF-A do not reserve it.
        reserve_monitor(memory, &MONITOR)?;
        let mut tree = tree::open(memory)?;
        let fdt: Fdt<'_> = tree.as_read_only();
        let monitor = tree::monitor(fdt).ok_or(Error::NoMonitor)?;
        let fw_cfg = FwCfg::new(tree::fw_cfg(fdt)?)?;

        let bytes = fw_cfg.number(Item::KERNEL_SIZE)?;
        if bytes == 0 {
            return Err(Error::NoKernel);
        }
        let mut header = [0; Header::SIZE];
        fw_cfg.read(Item::KERNEL, &mut header)?;
        let header = Header::read(&header, bytes.into())?;
        let initrd_bytes = fw_cfg.number(Item::INITRD_SIZE)?;
        let taken = [TREE, machine::image()];
        let plan = Plan::new(fdt, &taken, &header, initrd_bytes.into())?;

        // SAFETY: the plan is clear of this program, its stack, the device tree, and of what the tree reserves.
        unsafe {
            fw_cfg.load(Item::KERNEL, plan.kernel.start, bytes)?;
            if let Some(initrd) = &plan.initrd {
                fw_cfg.load(Item::INITRD, initrd.start, initrd_bytes)?;
            }
        }
        let mut line = [0; COMMAND_LINE];
        let length = fw_cfg.number(Item::COMMAND_LINE_SIZE)? as usize;
        let line = line.get_mut(..length).ok_or(Error::BadCommandLine)?;
        fw_cfg.read(Item::COMMAND_LINE, line)?;
        // With the final zero that it has if there is a command line at all.
        let line = line.strip_suffix(&[0]).unwrap_or(line);
        let line = core::str::from_utf8(line).map_err(|_| Error::BadCommandLine)?;

        println!(
            "loader: monitor at {monitor:#x?}, kernel at {:#x?}",
            plan.kernel
        );
        tree::choose(&mut tree, line, plan.initrd.as_ref())?;
        // SAFETY: the kernel is there, and nothing of this program is used any more.
        unsafe { machine::enter_kernel(&plan) }
    }
}

/// On the build machine there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {}
