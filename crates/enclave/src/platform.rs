//! Which platform makes evidence: the one that this machine is, or the one
//! that the operator named; the software platform only by name (invariant 8).
//! A hardware platform is asked for evidence once before anything else starts,
//! so that what is wrong with it is told to the operator and not to clients.

use crate::{
    Error,
    config::{Config, Gpus, Platform},
};
use soundproof_attester::Attester;
#[cfg(feature = "hardware")]
use soundproof_attester::Machine;
use soundproof_keeper::Keeper;
use soundproof_prover::supervisor::ProverConfig;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A build without hardware has none.
#[cfg(not(feature = "hardware"))]
type Machine = ();

/// What the platform leaves for clients to read.
#[derive(Default)]
pub(crate) struct Files {
    #[cfg(feature = "software")]
    software: Option<(
        Arc<soundproof_attester::software::SoftwarePlatform>,
        PathBuf,
    )>,
    pub(crate) anchor: Option<PathBuf>,
    pub(crate) policy: Option<PathBuf>,
}

/// The attester that `config` asks for.
pub(crate) fn open(
    config: &Config,
    own: &Path,
    provers: &[ProverConfig],
) -> Result<(Arc<dyn Attester>, Files), Error> {
    let machine = machine(config, own);
    let (cpu, files) = match config.platform {
        #[cfg(feature = "software")]
        Platform::Software => software(config, own, provers)?,
        named => (hardware(named, &machine)?, Files::default()),
    };
    #[cfg(not(feature = "software"))]
    let _ = provers;
    let attester = match config.gpus {
        Gpus::None => cpu,
        Gpus::Nvidia => with_gpus(cpu, machine)?,
    };
    Ok((attester, files))
}

#[cfg(feature = "software")]
fn software(
    config: &Config,
    own: &Path,
    provers: &[ProverConfig],
) -> Result<(Arc<dyn Attester>, Files), Error> {
    use soundproof_attester::software::{ANCHOR_FILE, Measured, Options, SoftwarePlatform};
    let dir = config.software.pki.clone();
    let dir = dir.unwrap_or_else(|| config.data().join("software"));
    std::fs::create_dir_all(&dir)?;
    let measured = Measured {
        soundproofd: crate::provers::digest_of(own)?,
        provers: provers.iter().filter_map(|prover| prover.digest).collect(),
    };
    let delay = std::time::Duration::from_millis(config.software.quote_delay_ms);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let platform = SoftwarePlatform::open_or_create(
        &dir,
        &measured,
        Options { quote_delay: delay },
        u64::try_from(now.as_millis())?,
    )?;
    tracing::warn!("SOFTWARE PLATFORM: NO HARDWARE PROTECTS ANYTHING; for development only");
    let platform = Arc::new(platform);
    let files = Files {
        anchor: Some(dir.join(ANCHOR_FILE)),
        software: Some((platform.clone(), dir)),
        policy: None,
    };
    Ok((platform, files))
}

#[cfg(feature = "hardware")]
fn hardware(named: Platform, machine: &Machine) -> Result<Arc<dyn Attester>, Error> {
    use soundproof_attester::detect;
    use soundproof_protocol::attestation::Platform as Kind;
    let kind = match named {
        Platform::Tdx => Some(Kind::Tdx),
        Platform::Snp => Some(Kind::Snp),
        Platform::Dstack => Some(Kind::Dstack),
        Platform::Nitro => Some(Kind::Nitro),
        Platform::AzureTdx => Some(Kind::AzureTdx),
        Platform::AzureSnp => Some(Kind::AzureSnp),
        _ => None,
    };
    let attester = match kind {
        Some(kind) => detect::open(kind, machine),
        None => detect::detect(machine),
    };
    let attester = attester.map_err(|error| told(&error))?;
    let started = std::time::Instant::now();
    let evidence = detect::rehearse(&*attester).map_err(|error| told(&error))?;
    tracing::info!(
        platform = attester.platform().name(),
        bytes = evidence.carried_len(),
        ms = started.elapsed().as_millis(),
        "the platform makes evidence"
    );
    Ok(attester)
}

#[cfg(not(feature = "hardware"))]
fn hardware(_: Platform, (): &Machine) -> Result<Arc<dyn Attester>, Error> {
    Err("this build has no hardware platform; for development give --platform software".into())
}

#[cfg(feature = "hardware")]
fn with_gpus(cpu: Arc<dyn Attester>, machine: Machine) -> Result<Arc<dyn Attester>, Error> {
    use soundproof_attester::{composite::WithGpus, detect};
    let attester = WithGpus::new(cpu, machine.gpus);
    detect::rehearse_gpus(&attester).map_err(|error| told(&error))?;
    Ok(Arc::new(attester))
}

#[cfg(not(feature = "hardware"))]
fn with_gpus(_: Arc<dyn Attester>, (): Machine) -> Result<Arc<dyn Attester>, Error> {
    Err("this build has no evidence of GPUs".into())
}

/// This machine, where a collector of ours does what the keeper must not.
#[cfg(feature = "hardware")]
fn machine(config: &Config, own: &Path) -> Machine {
    use soundproof_attester::collector::{Collector, LIMIT};
    let limit = config.keeper.collector_s;
    let limit = limit.map_or(LIMIT, std::time::Duration::from_secs);
    Machine::this().with_collector(Arc::new(Collector::of(own).with_limit(limit)))
}

#[cfg(not(feature = "hardware"))]
fn machine(_: &Config, _: &Path) -> Machine {}

#[cfg(feature = "hardware")]
fn told(error: &soundproof_attester::AttestError) -> Error {
    format!("{error}. {}", error.remedy()).into()
}

impl Files {
    /// On the software platform: a policy that accepts exactly this instance,
    /// for local clients to start from.
    pub(crate) fn write_policy(mut self, keeper: &Keeper) -> Result<Self, Error> {
        #[cfg(feature = "software")]
        if let Some((platform, dir)) = self.software.take() {
            let policy = platform.policy("this build, on the software platform", keeper.trust())?;
            let path = dir.join("policy.toml");
            std::fs::write(&path, policy.to_toml()?)?;
            self.policy = Some(path);
        }
        #[cfg(not(feature = "software"))]
        let _ = (&mut self, keeper);
        Ok(self)
    }
}
