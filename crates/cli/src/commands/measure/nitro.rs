//! `soundproof measure nitro`: the registers of an enclave from its image
//! file, and a release for a policy.

use super::write_release;
use crate::{failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::evidence::{
    Hex,
    measure::nitro::{instance_pcr, registers, role_pcr},
    nitro::NitroMeasurements,
    policy::Release,
};
use std::path::PathBuf;

/// Bytes of an image at most.
const MAX_IMAGE: usize = 4 * 1024 * 1024 * 1024 - 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The enclave's image file, as `nitro-cli build-enclave` wrote it
    #[arg(value_name = "IMAGE.EIF")]
    image: PathBuf,
    /// ARN of the parent instance's IAM role: PCR 3
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// The parent instance's id: PCR 4
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Write a policy's release under this name to standard output, and
    /// nothing else
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
}

#[derive(Serialize)]
struct Report {
    pcr0: Hex<48>,
    pcr1: Hex<48>,
    pcr2: Hex<48>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pcr3: Option<Hex<48>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pcr4: Option<Hex<48>>,
    pcr8: Hex<48>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let image = files::read(&args.image, MAX_IMAGE)?;
    let found = registers(&image).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", args.image.display()),
            "Name the enclave image file that is run, unchanged.",
        )
    })?;
    let report = Report {
        pcr0: found.pcr0,
        pcr1: found.pcr1,
        pcr2: found.pcr2,
        pcr3: args.role.as_deref().map(role_pcr),
        pcr4: args.instance.as_deref().map(instance_pcr),
        pcr8: found.pcr8,
    };
    if let Some(name) = &args.release {
        let release = Release {
            name: name.clone(),
            nitro: Some(NitroMeasurements {
                pcr0: report.pcr0,
                pcr1: report.pcr1,
                pcr2: report.pcr2,
                pcr3: report.pcr3,
                pcr4: report.pcr4,
                pcr8: report.pcr8,
            }),
            ..Release::default()
        };
        return write_release(release, output);
    }
    let registers = [
        (0, Some(report.pcr0)),
        (1, Some(report.pcr1)),
        (2, Some(report.pcr2)),
        (3, report.pcr3),
        (4, report.pcr4),
        (8, Some(report.pcr8)),
    ];
    let lines: Vec<_> = registers
        .into_iter()
        .filter_map(|(index, value)| Some(format!("PCR{index}  {}", value?)))
        .collect();
    output.result(&report, lines.join("\n"));
    Ok(())
}
