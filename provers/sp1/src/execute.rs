//! Runs the guest once before it is proved: only so is it known why a guest
//! failed, and a limit costs no proof.
//!
//! The guest's code runs in a process of SP1's (its native executor), which is
//! a child of this one and confined as it is. What the guest prints is a
//! secret: it is captured and dropped.

use std::sync::Arc;
use std::time::Duration;

use soundproof_protocol::description::Limits;
use soundproof_protocol::error::{Code, Failure};
use sp1_core_executor::{ExecutionError, OutputConsumers, Program, SP1ContextBuilder, SP1CoreOpts};
use sp1_core_executor_runner::MinimalExecutorRunner;
use sp1_core_machine::io::SP1Stdin;
use tokio::sync::watch;

/// Cycles a second that any machine reaches; a guest that is slower than this
/// for as long as its cycle limit allows has passed the limit. SP1 itself looks
/// at cycles only when a piece of a trace is full, which a loop that touches no
/// memory never fills.
const SLOWEST: u64 = 5_000_000;
/// Beside that, for starting the process.
const START: Duration = Duration::from_secs(30);

/// Runs `program` and says how many cycles it took.
///
/// # Errors
/// [`Code::GuestPanicked`], [`Code::GuestFault`], [`Code::CyclesLimit`],
/// [`Code::GasLimit`], [`Code::MemoryLimit`]. Details are for the client.
pub async fn execute(
    program: Arc<Program>,
    stdin: &SP1Stdin,
    limits: &Limits,
    opts: &SP1CoreOpts,
) -> Result<u64, Failure> {
    let cycles = limit(limits.cycles);
    let longest = START.saturating_add(Duration::from_secs(cycles / SLOWEST));
    let run = async {
        match limit(limits.gas) {
            u64::MAX => plainly(program, stdin, opts).await,
            gas => metered(program, stdin, opts, gas).await,
        }
    };
    // The runner goes with this process, which ends with its job.
    let took = tokio::time::timeout(longest, run)
        .await
        .map_err(|_| Failure::new(Code::CyclesLimit, "the guest did not end"))??;
    if took > cycles {
        return Err(Failure::new(
            Code::CyclesLimit,
            format!("{took} cycles, {cycles} allowed"),
        ));
    }
    Ok(took)
}

/// Nought is no limit, and so is what the SDK sends for none.
fn limit(asked: u64) -> u64 {
    if asked == 0 { u64::MAX } else { asked }
}

async fn plainly(
    program: Arc<Program>,
    stdin: &SP1Stdin,
    opts: &SP1CoreOpts,
) -> Result<u64, Failure> {
    let (consumers, _kept) = silence();
    let mut runner = MinimalExecutorRunner::new(program, false, None, opts.memory_limit, 0);
    runner.set_output_consumers(consumers);
    for buffer in &stdin.buffer {
        runner.with_input(buffer);
    }
    let run = tokio::task::spawn_blocking(move || {
        while runner.try_execute_chunk()?.is_some() {}
        Ok((runner.exit_code(), runner.global_clk()))
    });
    let (exit_code, cycles) = run.await.map_err(panicked)?.map_err(failure)?;
    accepted(exit_code)?;
    Ok(cycles)
}

async fn metered(
    program: Arc<Program>,
    stdin: &SP1Stdin,
    opts: &SP1CoreOpts,
    gas: u64,
) -> Result<u64, Failure> {
    let (consumers, _kept) = silence();
    // Proofs inside the input are verified by whoever calls.
    let mut context = SP1ContextBuilder::new()
        .calculate_gas(true)
        .set_deferred_proof_verification(false)
        .build();
    context.output_consumers = consumers;
    let report = soundproof_sp1_node::meter(program, stdin.clone(), context, opts.clone())
        .await
        .map_err(|error| match error.downcast::<ExecutionError>() {
            Ok(error) => failure(error),
            Err(error) => Failure::new(Code::GuestFault, error.to_string()),
        })?;
    accepted(u32::try_from(report.exit_code).unwrap_or(u32::MAX))?;
    let used = report.gas().unwrap_or_default();
    if used > gas {
        return Err(Failure::new(
            Code::GasLimit,
            format!("{used} gas, {gas} allowed"),
        ));
    }
    Ok(report.total_instruction_count())
}

fn accepted(exit_code: u32) -> Result<(), Failure> {
    if exit_code == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Code::GuestPanicked,
        format!("exit code {exit_code}"),
    ))
}

/// Where guests' output goes: nowhere. The receivers must live as long as the
/// guest, or its output goes to SP1's log.
fn silence() -> (OutputConsumers, [watch::Receiver<String>; 2]) {
    let (stdout, one) = watch::channel(String::new());
    let (stderr, two) = watch::channel(String::new());
    let consumers = OutputConsumers {
        stdout: Some(stdout),
        stderr: Some(stderr),
    };
    (consumers, [one, two])
}

fn panicked(_: tokio::task::JoinError) -> Failure {
    Failure::new(Code::ProverPanic, "the executor")
}

/// Which failure an error of the executor's is.
fn failure(error: ExecutionError) -> Failure {
    use ExecutionError as E;
    let code = match &error {
        E::ExceededCycleLimit(_) | E::UnconstrainedCycleLimitExceeded(_) => Code::CyclesLimit,
        E::UnexpectedExitCode(_) => Code::GuestPanicked,
        E::TooMuchMemory() | E::KilledByMemoryMonitor(_) | E::ChildKilled() => Code::MemoryLimit,
        // A write into shared memory that has no room: SIGBUS, 7.
        E::Other(text) if text.contains("signal: Some(7)") || text.contains("signal: 7") => {
            Code::MemoryLimit
        }
        _ => Code::GuestFault,
    };
    Failure::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let code = |error| failure(error).code;
        assert_eq!(
            code(ExecutionError::UnsupportedSyscall(7)),
            Code::GuestFault
        );
        assert_eq!(code(ExecutionError::Unimplemented()), Code::GuestFault);
        assert_eq!(
            code(ExecutionError::ExceededCycleLimit(1)),
            Code::CyclesLimit
        );
        assert_eq!(code(ExecutionError::ChildKilled()), Code::MemoryLimit);
        assert_eq!(code(ExecutionError::TooMuchMemory()), Code::MemoryLimit);
        assert_eq!(
            code(ExecutionError::UnexpectedExitCode(1)),
            Code::GuestPanicked
        );
        let other = |text: &str| code(ExecutionError::Other(text.into()));
        assert_eq!(
            other("Child native executor terminated abnormally, code: None, signal: Some(7)"),
            Code::MemoryLimit
        );
        assert_eq!(
            other("Child native executor terminated abnormally, code: None, signal: Some(11)"),
            Code::GuestFault
        );
    }

    #[test]
    fn nought_is_no_limit() {
        assert_eq!(limit(0), u64::MAX);
        assert_eq!(limit(5), 5);
    }

    #[test]
    fn a_bad_exit_code_is_a_panic() {
        assert!(accepted(0).is_ok());
        assert_eq!(accepted(1).unwrap_err().code, Code::GuestPanicked);
    }
}
