//! The published sp1-sdk 6.10, unmodified, as an app would use it: against a
//! server that speaks the prover network's protocol (`soundproof connect`, or
//! an enclave on its direct path), and in process for comparison. Depends on
//! nothing of this project. Every command prints one JSON object on stdout and
//! exits non-zero when what it does failed.
//!
//! | command | what |
//! |---|---|
//! | `prove` | set up, prove and verify; also with limits and deadlines that cannot be met |
//! | `bare` | the same in this process, without a network |
//! | `swap` | registers another program under a program's key, then proves |
//! | `cancel` | cancels a request while it is proved |
//! | `race` | several clients with one key at the same moment |
//! | `reads` | the calls that only read: balance, nonce, parameters, lists, details |

mod app;
mod bare;
mod hostile;
mod input;
mod prove;
mod reads;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "sdk-check", about = "The published sp1-sdk, unmodified")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prove and verify, as an app does
    Prove(prove::Options),
    /// Prove and verify in this process, without a network
    Bare(bare::Options),
    /// Register another program under the program's verifying key, then prove
    Swap(hostile::Swap),
    /// Cancel a request while it is proved
    Cancel(hostile::Cancel),
    /// Requests by several clients with one key at the same moment
    Race(hostile::Race),
    /// The calls that only read
    Reads(reads::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Bare(_)) {
        logging();
    }
    let report = match command {
        Command::Prove(options) => prove::run(&options).await,
        Command::Bare(options) => bare::run(&options).await,
        Command::Swap(options) => hostile::swap(&options).await,
        Command::Cancel(options) => hostile::cancel(&options).await,
        Command::Race(options) => hostile::race(&options).await,
        Command::Reads(options) => reads::run(&options).await,
    };
    match report {
        Ok(report) => {
            println!("{report}");
            match report["ok"].as_bool() {
                Some(true) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            println!(
                "{}",
                serde_json::json!({ "ok": false, "error": format!("{error:#}") })
            );
            ExitCode::FAILURE
        }
    }
}

/// What the SDK says on the way, to standard error.
fn logging() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
