//! `soundproofd`: the keeper, which starts the gateway (this executable again,
//! with `gateway` as its argument) and the provers. Nothing else is in here,
//! so that what is measured stays small.
//!
//! | module | what |
//! |---|---|
//! | `config` | the configuration file, and the flags that override it |
//! | `provers` | which prover executables run, and with how much of the machine |
//! | `platform` | which platform makes evidence |
//! | `keeper_role` | platform, provers, keeper; then gateways, one after another |
//! | `gateway_role` | the network's side, on the socket that is its standard input |
//! | `sp1_direct` | SP1's own clients in the gateway's process, where that is turned on |

mod config;
mod gateway_role;
mod keeper_role;
mod platform;
mod provers;
mod sp1_direct;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

// Freed memory is zeroed: invariant 4.
#[global_allocator]
static ALLOC: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

/// Soundproof's daemon: proves for clients that checked what runs here.
#[derive(Parser)]
// The last of an option given twice counts, as in a configuration file.
#[command(name = "soundproofd", version, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    options: config::Options,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The gateway's process; started by the keeper only.
    #[command(hide = true)]
    Gateway,
    /// The process that asks the network and NVIDIA's library for the keeper,
    /// where the platform needs it; started by the keeper only.
    #[cfg(feature = "hardware")]
    #[command(hide = true)]
    Collector,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging();
    // No core file, and no other process of this user may read our memory.
    if let Err(error) = soundproof_prover::sandbox::harden_self() {
        return failed(&format!("core dumps cannot be turned off: {error}"));
    }
    #[cfg(feature = "hardware")]
    if matches!(arguments.role, Some(Role::Collector)) {
        return match soundproof_attester::collector::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.to_string()),
        };
    }
    // Before there is a second thread: each has its own.
    if matches!(arguments.role, Some(Role::Gateway))
        && let Err(error) = gateway_role::give_up_capabilities()
    {
        return failed(&format!("privileges cannot be given up: {error}"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no runtime: {error}")),
    };
    let done = runtime.block_on(async {
        match arguments.role {
            Some(Role::Gateway) => gateway_role::run().await,
            _ => keeper_role::run(arguments.options).await,
        }
    });
    // Blocking threads (a quote being made) are not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(what: &str) -> ExitCode {
    tracing::error!("{what}");
    ExitCode::FAILURE
}

/// To standard error, by `RUST_LOG` (default `info`); JSON with
/// `SOUNDPROOF_LOG_FORMAT=json`.
fn logging() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var_os("SOUNDPROOF_LOG_FORMAT").is_some_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
}

/// Why the daemon does not start, or stops.
type Error = Box<dyn std::error::Error + Send + Sync>;
