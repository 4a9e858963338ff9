//! `soundproof measure snp`: the launch measurement of a guest from its
//! firmware and what the monitor adds, and a release for a policy.

use super::write_release;
use crate::{failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::evidence::{
    Hex,
    measure::snp::{CPUS, Kernel, Launch, MAX_FIRMWARE, Monitor, measurement},
    policy::Release,
    snp::{GuestPolicy, SnpMeasurements},
};
use std::path::{Path, PathBuf};

/// Bytes of a kernel or initrd at most.
const MAX_FILE: usize = 2 * 1024 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The firmware's image (OVMF), whole
    #[arg(value_name = "FIRMWARE.FD")]
    firmware: PathBuf,
    /// How many processors the guest has
    #[arg(long, value_name = "COUNT")]
    vcpus: u32,
    /// The processor that the guest is shown: QEMU's name (EPYC-Milan,
    /// EPYC-Genoa, EPYC-Turin…), or CPUID Fn0000_0001 EAX as 0x and hex digits
    #[arg(long, value_name = "CPU", value_parser = cpu)]
    cpu: u32,
    /// Which monitor starts the guest
    #[arg(long, value_enum, default_value_t = Vmm::Qemu)]
    vmm: Vmm,
    /// SEV_FEATURES of the guest, as 0x and hex digits
    #[arg(long, value_name = "HEX", default_value = "0x1", value_parser = number)]
    features: u64,
    /// The kernel that the monitor loads directly, with kernel hashes on
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initrd that goes with it
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "", requires = "kernel")]
    append: String,
    /// What the host sets at launch, 64 hex digits [default: zeros]
    #[arg(long, value_name = "HEX", value_parser = super::bytes::<32>)]
    host_data: Option<[u8; 32]>,
    /// The guest's policy, as 0x and hex digits
    #[arg(long, value_name = "HEX", default_value = "0x30000", value_parser = number)]
    policy: u64,
    /// Write a policy's release under this name to standard output, and
    /// nothing else; for a guest without an ID block
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
}

/// A virtual machine monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Vmm {
    /// QEMU with KVM
    Qemu,
    /// Amazon EC2
    Ec2,
    /// Google Compute Engine
    Gce,
}

fn number(text: &str) -> Result<u64, String> {
    text.strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| "expected 0x and hex digits".to_owned())
}

fn cpu(text: &str) -> Result<u32, String> {
    let name = |(name, _): &&(&str, u32)| text.eq_ignore_ascii_case(name);
    if let Some((_, signature)) = CPUS.iter().find(name) {
        return Ok(*signature);
    }
    number(text)
        .ok()
        .and_then(|signature| u32::try_from(signature).ok())
        .ok_or_else(|| {
            let names: Vec<_> = CPUS.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}, or 0x and hex digits", names.join(", "))
        })
}

#[derive(Serialize)]
struct Report {
    measurement: Hex<48>,
    guest_policy: GuestPolicy,
    host_data: Hex<32>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let firmware = files::read(&args.firmware, MAX_FIRMWARE)?;
    let optional = |path: Option<&Path>| match path {
        Some(path) => files::read(path, MAX_FILE),
        None => Ok(Vec::new()),
    };
    let kernel = match &args.kernel {
        None => None,
        Some(path) => Some(Kernel::new(
            &files::read(path, MAX_FILE)?,
            &optional(args.initrd.as_deref())?,
            &args.append,
        )),
    };
    let launch = Launch {
        firmware: &firmware,
        kernel,
        vcpus: args.vcpus,
        cpu: args.cpu,
        features: args.features,
        monitor: match args.vmm {
            Vmm::Qemu => Monitor::Qemu,
            Vmm::Ec2 => Monitor::Ec2,
            Vmm::Gce => Monitor::Gce,
        },
    };
    let report = Report {
        measurement: measurement(&launch).map_err(|error| {
            Failure::usage(
                format!("{}: {error}", args.firmware.display()),
                "Name the firmware image that the guest is launched from.",
            )
        })?,
        guest_policy: GuestPolicy(args.policy),
        host_data: Hex(args.host_data.unwrap_or_default()),
    };
    if let Some(name) = &args.release {
        let release = Release {
            name: name.clone(),
            snp: Some(SnpMeasurements {
                measurement: report.measurement,
                host_data: report.host_data,
                guest_policy: report.guest_policy,
                family_id: Hex([0; 16]),
                image_id: Hex([0; 16]),
                id_key_digest: Hex([0; 48]),
                author_key_digest: Hex([0; 48]),
                min_guest_svn: 0,
            }),
            ..Release::default()
        };
        return write_release(release, output);
    }
    let text = format!(
        "measurement   {}\nguest policy  {}\nhost data     {}",
        report.measurement, report.guest_policy, report.host_data
    );
    output.result(&report, text);
    Ok(())
}
