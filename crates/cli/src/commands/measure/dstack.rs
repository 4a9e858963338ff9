//! `soundproof measure dstack`: an application's identity and RTMR3 from what
//! it is made of, and a release for a policy.

use super::{bytes, write_release};
use crate::{failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::evidence::{
    Hex,
    dstack::{
        KeyProvider, Release,
        compose::{Compose, MAX_COMPOSE},
        mr_config,
    },
    measure::dstack::{
        Deployment, Expected, Image, MAX_PUBLISHED, no_gpu_policy, os_image_hash, published,
    },
};
use std::path::PathBuf;

/// Bytes of an image's sha256sum.txt at most.
const MAX_SUMS: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// app-compose.json, byte for byte as it is deployed
    #[arg(value_name = "APP-COMPOSE.JSON")]
    compose: PathBuf,
    /// Application id, 40 hex digits [default: the first 20 bytes of the
    /// compose hash]
    #[arg(long, value_name = "HEX", value_parser = bytes::<20>)]
    app_id: Option<[u8; 20]>,
    /// Instance id, 40 hex digits; RTMR3 needs it unless the compose file says
    /// no_instance_id
    #[arg(long, value_name = "HEX", value_parser = bytes::<20>)]
    instance_id: Option<[u8; 20]>,
    /// Who gives the guest its keys: `none`, `kms`, `local-sgx` or `tpm`;
    /// RTMR3 needs it
    #[arg(long, value_name = "NAME")]
    key_provider: Option<String>,
    /// The provider's id, hex: a KMS's public key, a local provider's
    /// MRENCLAVE
    #[arg(
        long,
        value_name = "HEX",
        default_value = "",
        requires = "key_provider"
    )]
    key_provider_id: String,
    /// Which events the guest measures
    #[arg(long, value_enum, default_value_t = Guest::V05)]
    guest: Guest,
    /// Hash of the root file system, for guests before 0.5 that measure it
    #[arg(long, value_name = "HEX", value_parser = bytes::<32>)]
    rootfs_hash: Option<[u8; 32]>,
    /// File system of the data disk, for guests from 0.5 on
    #[arg(long, value_name = "NAME", default_value = "zfs")]
    storage_fs: String,
    /// Hash of the GPU policy, for guests from 0.6 on [default: that of none]
    #[arg(long, value_name = "HEX", value_parser = bytes::<32>)]
    gpu_policy_hash: Option<[u8; 32]>,
    /// Hash of the OS image that the KMS answers with, if it does
    #[arg(long, value_name = "HEX", value_parser = bytes::<32>)]
    os_image_hash: Option<[u8; 32]>,
    /// The OS image's published measurements: JSON of `dstack-mr measure`, or
    /// a list of such
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The OS image's sha256sum.txt, whose hash is the image's
    #[arg(long, value_name = "FILE")]
    image_sums: Option<PathBuf>,
    /// Write a policy's release under this name to standard output, and
    /// nothing else; needs --image
    #[arg(long, value_name = "NAME", requires = "image")]
    release: Option<String>,
}

/// What a guest measures into RTMR3 changed from version to version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Guest {
    /// Before 0.5
    #[value(name = "0.4")]
    V04,
    /// 0.5: with the data disk's file system
    #[value(name = "0.5")]
    V05,
    /// 0.6 and later: with init scripts and the GPU policy too
    #[value(name = "0.6")]
    V06,
}

#[derive(Serialize)]
struct Report {
    compose_hash: Hex<32>,
    app_id: Hex<20>,
    /// MRCONFIGID, where the host sets it as version 1.
    mr_config_id_v1: Hex<48>,
    /// As version 2, if the key provider is known.
    mr_config_id_v2: Option<Hex<48>>,
    os_image_hash: Option<Hex<32>>,
    image: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtmr3: Option<Expected>,
    warnings: Vec<String>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let raw = files::read(&args.compose, MAX_COMPOSE)?;
    let unusable = |error: String| {
        Failure::usage(
            format!("{}: {error}", args.compose.display()),
            "Name the app-compose.json that is deployed, unchanged.",
        )
    };
    let compose = Compose::parse(&raw).map_err(|error| unusable(error.to_string()))?;
    let deployment = deployment(args, &raw);
    let expected = deployment
        .expected()
        .map_err(|error| unusable(error.to_string()))?;
    let (images, image_hash) = image(args)?;
    let complete =
        args.key_provider.is_some() && (args.instance_id.is_some() || compose.no_instance_id);
    let report = Report {
        compose_hash: expected.compose_hash,
        app_id: expected.app_id,
        mr_config_id_v1: Hex(mr_config::v1(&expected.compose_hash.0)),
        mr_config_id_v2: args.key_provider.as_ref().and_then(|_| {
            mr_config::v2(
                &expected.compose_hash.0,
                &expected.app_id.0,
                &deployment.key_provider,
            )
            .map(Hex)
        }),
        os_image_hash: image_hash,
        image: images,
        rtmr3: complete.then_some(expected),
        warnings: warnings(&compose),
    };
    if let Some(name) = &args.release {
        return write_release(release(name, &report), output);
    }
    let text = text(&report);
    output.result(&report, text);
    Ok(())
}

fn deployment<'a>(args: &Args, raw: &'a [u8]) -> Deployment<'a> {
    Deployment {
        compose: raw,
        app_id: args.app_id,
        instance_id: args.instance_id,
        key_provider: KeyProvider {
            name: args.key_provider.clone().unwrap_or_default(),
            id: args.key_provider_id.to_ascii_lowercase(),
        },
        rootfs_hash: args.rootfs_hash,
        storage_fs: (args.guest != Guest::V04).then(|| args.storage_fs.clone()),
        gpu_policy_hash: (args.guest == Guest::V06)
            .then(|| args.gpu_policy_hash.unwrap_or_else(no_gpu_policy)),
        init_scripts: args.guest == Guest::V06,
        os_image_hash: args.os_image_hash,
    }
}

fn image(args: &Args) -> Result<(Vec<Image>, Option<Hex<32>>), Failure> {
    let hash = args
        .image_sums
        .as_deref()
        .map(|path| files::read(path, MAX_SUMS).map(|sums| Hex(os_image_hash(&sums))))
        .transpose()?;
    let Some(path) = &args.image else {
        return Ok((Vec::new(), hash));
    };
    let mut images = published(&files::read(path, MAX_PUBLISHED)?).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "Name what `dstack-mr measure --json` wrote for this image and machine.",
        )
    })?;
    for image in &mut images {
        match (hash, image.os_image_hash) {
            (Some(hash), Some(said)) if hash != said => {
                return Err(Failure::usage(
                    format!(
                        "{} is for the image {said}, and the sha256sum.txt is that of {hash}",
                        path.display()
                    ),
                    "Name two files of one image.",
                ));
            }
            (Some(hash), _) => image.os_image_hash = Some(hash),
            (None, _) => {}
        }
    }
    Ok((images, hash))
}

fn warnings(compose: &Compose) -> Vec<String> {
    let mut warnings = Vec::new();
    for (public, what) in [
        (
            compose.public_logs,
            "everybody can read the containers' logs (public_logs)",
        ),
        (
            compose.public_sysinfo,
            "everybody can see processes and load (public_sysinfo)",
        ),
    ] {
        warnings.extend(public.then(|| what.to_owned()));
    }
    for image in &compose.images_without_digest {
        warnings.push(format!(
            "the container image {image} is named without a digest: the compose hash does not \
             say what it holds"
        ));
    }
    warnings
}

fn release(name: &str, report: &Report) -> soundproof::evidence::policy::Release {
    soundproof::evidence::policy::Release {
        name: name.to_owned(),
        dstack: Some(Release::new(
            report.compose_hash,
            report.app_id,
            report.image.clone(),
        )),
        ..Default::default()
    }
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("compose hash  {}", report.compose_hash),
        format!("app id        {}", report.app_id),
    ];
    lines.extend(
        report
            .os_image_hash
            .map(|hash| format!("OS image      {hash}")),
    );
    for image in &report.image {
        lines.push(format!("MRTD          {}", image.mrtd));
        lines.push(format!("RTMR0         {}", image.rtmr0));
        lines.push(format!("RTMR1         {}", image.rtmr1));
        lines.push(format!("RTMR2         {}", image.rtmr2));
        if image.development {
            lines.push("              a development image: its operator can log in".to_owned());
        }
    }
    match &report.rtmr3 {
        Some(expected) => {
            lines.push(format!("RTMR3         {}", expected.rtmr3));
            lines.push("              at system-ready; from these events:".to_owned());
            lines.extend(
                expected
                    .events
                    .iter()
                    .map(|event| format!("              {:<18}{}", event.name, event.payload)),
            );
        }
        None => {
            lines.push(
                "RTMR3         not computed: it needs --instance-id and --key-provider".to_owned(),
            );
        }
    }
    lines.push(format!(
        "MRCONFIGID    version 1: {}",
        report.mr_config_id_v1
    ));
    lines.extend(
        report
            .mr_config_id_v2
            .map(|id| format!("              version 2: {id}")),
    );
    lines.extend(
        report
            .warnings
            .iter()
            .map(|warning| format!("warning       {warning}")),
    );
    lines.join("\n")
}
