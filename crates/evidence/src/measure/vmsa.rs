//! The first state of a guest's processor (AMD64 Architecture Programmer's
//! Manual, volume 2, table B-4), as monitors set it.

use super::snp::Launch;

/// Where the first processor begins.
pub(super) const RESET_VECTOR: u32 = 0xffff_fff0;
const PAGE: usize = 4096;

/// A virtual machine monitor: they differ in what they set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// QEMU with KVM.
    Qemu,
    /// Amazon EC2's, as of 2026.
    Ec2,
    /// Google Compute Engine's.
    Gce,
}

/// A page with the state of a processor that begins at `entry`.
pub(super) fn page(entry: u32, launch: &Launch<'_>) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    let first = entry == RESET_VECTOR;
    let (cs, ss, tr) = match (launch.monitor, first) {
        (Monitor::Qemu | Monitor::Gce, _) => (0x9b, 0x93, 0x8b),
        (Monitor::Ec2, true) => (0x9a, 0x92, 0x83),
        (Monitor::Ec2, false) => (0x9b, 0x92, 0x83),
    };
    let [low, high] = [entry & 0xffff, entry & 0xffff_0000];
    // Selector, attributes, limit, base.
    let segments: [(usize, u16, u16, u64); 10] = [
        (0x00, 0, 0x93, 0),
        (0x10, 0xf000, cs, u64::from(high)),
        (0x20, 0, ss, 0),
        (0x30, 0, 0x93, 0),
        (0x40, 0, 0x93, 0),
        (0x50, 0, 0x93, 0),
        (0x60, 0, 0, 0),    // GDTR
        (0x70, 0, 0x82, 0), // LDTR
        (0x80, 0, 0, 0),    // IDTR
        (0x90, 0, tr, 0),
    ];
    for (at, selector, attributes, base) in segments {
        put(&mut page, at, &selector.to_le_bytes());
        put(&mut page, at + 2, &attributes.to_le_bytes());
        put(&mut page, at + 4, &0xffff_u32.to_le_bytes());
        put(&mut page, at + 8, &base.to_le_bytes());
    }
    let pat = match launch.monitor {
        Monitor::Gce => 0x0007_0106,
        Monitor::Qemu | Monitor::Ec2 => 0x0007_0406_0007_0406,
    };
    let registers: [(usize, u64); 10] = [
        (0xd0, 0x1000),           // EFER: SVME
        (0x148, 0x40),            // CR4: MCE
        (0x158, 0x10),            // CR0: ET
        (0x160, 0x400),           // DR7
        (0x168, 0xffff_0ff0),     // DR6
        (0x170, 0x2),             // RFLAGS
        (0x178, u64::from(low)),  // RIP
        (0x268, pat),             // G_PAT
        (0x3b0, launch.features), // SEV_FEATURES
        (0x3e8, 0x1),             // XCR0
    ];
    for (at, value) in registers {
        put(&mut page, at, &value.to_le_bytes());
    }
    let rdx = match launch.monitor {
        Monitor::Qemu => launch.cpu,
        Monitor::Ec2 | Monitor::Gce => 0x600,
    };
    put(&mut page, 0x310, &u64::from(rdx).to_le_bytes());
    if launch.monitor == Monitor::Qemu {
        put(&mut page, 0x408, &0x1f80_u32.to_le_bytes()); // MXCSR
        put(&mut page, 0x410, &0x37f_u16.to_le_bytes()); // x87 control word
    }
    page
}

fn put(page: &mut [u8; PAGE], at: usize, value: &[u8]) {
    for (to, from) in page.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}
