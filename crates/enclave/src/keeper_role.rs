//! The keeper's process: platform, provers, keeper; then gateways, one after
//! another, until a signal.

use crate::{
    Error,
    config::{Config, Gpus, Options},
    gateway_role::{CONFIG, Listening},
    platform::{self, Files},
    provers,
};
use soundproof_keeper::{Keeper, KeeperConfig, gateway};
use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

pub(crate) async fn run(options: Options) -> Result<(), Error> {
    let config = Config::load(options)?;
    if config.prover.is_empty() {
        return Err("no prover is configured: give --prover SYSTEM=FILE".into());
    }
    let own = std::env::current_exe()?;
    let (systems, provers): (Vec<_>, Vec<_>) =
        provers::configure(&config.prover)?.into_iter().unzip();
    let (attester, files) = platform::open(&config, &own, &provers)?;

    let mut keeper_config = KeeperConfig::new(attester);
    keeper_config.provers = provers;
    keeper_config.refuse_not_hiding = config.refuse_not_hiding;
    keeper_config.sp1_direct = config.sp1_direct;
    keeper_config.danger_gpu_unattested = config.danger_gpu_unattested;
    keeper_config.gpu_attested = config.gpus != Gpus::None;
    let set = &config.keeper;
    set.session_lifetime_s
        .inspect(|s| keeper_config.session_lifetime_s = *s);
    set.max_sessions
        .inspect(|n| keeper_config.max_sessions = *n);
    set.max_jobs.inspect(|n| keeper_config.max_jobs = *n);
    set.slots.inspect(|n| keeper_config.slots = *n);
    set.max_attempts
        .inspect(|n| keeper_config.max_attempts = *n);
    let keeper = Keeper::start(keeper_config).await?;
    let is = |system: &String| {
        keeper
            .trust()
            .provers
            .iter()
            .any(|prover| prover.system == *system)
    };
    if let Some(system) = systems.iter().find(|system| !is(system)) {
        return Err(format!("the executable given for {system} is no prover for it").into());
    }
    let files = files.write_policy(&keeper)?;

    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    supervise(keeper, own, config, files, stop).await
}

async fn supervise(
    keeper: Arc<Keeper>,
    own: PathBuf,
    config: Config,
    files: Files,
    stop: CancellationToken,
) -> Result<(), Error> {
    let data = config.data();
    std::fs::create_dir_all(&data)?;
    let config = Arc::new(Mutex::new(config));
    let files = Arc::new(files);
    let command = {
        let config = config.clone();
        move || {
            let config = config.lock().unwrap_or_else(PoisonError::into_inner);
            let mut command = Command::new(&own);
            command
                .arg("gateway")
                .env(CONFIG, config.gateway.to_string())
                .stdout(std::process::Stdio::piped());
            command
        }
    };
    let started = move |child: &mut Child| {
        let Some(stdout) = child.stdout.take() else {
            return;
        };
        let (config, files) = (config.clone(), files.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(listening) = serde_json::from_str::<Listening>(&line) else {
                    continue;
                };
                // A gateway that is started again listens where clients know it.
                config
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .set_gateway("listen", Some(listening.address.to_string()));
                announce(&listening, &files);
            }
        });
    };
    gateway::supervise(keeper, command, started, stop).await?;
    Ok(())
}

/// One line of JSON on standard output, for whoever started the daemon.
fn announce(listening: &Listening, files: &Files) {
    let line = serde_json::json!({
        "event": "listening",
        "url": listening.url,
        "anchor": files.anchor,
        "policy": files.policy,
    });
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

fn stop_on_signal(stop: CancellationToken) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
