//! The two stages, as the keeper's protocol sees them.

mod failure;
mod prove;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::{Abandon, Start};
use soundproof_prover::wire::Program;

pub(crate) use prove::Prove;
pub(crate) use witness::Witness;

/// Names of the stages.
pub(crate) const WITNESS: &str = "witness";
pub(crate) const PROVE: &str = "prove";
/// Roles of a program's parts.
pub(crate) const GENERATOR: &str = "witness_generator";
pub(crate) const PROVING_KEY: &str = "proving_key";
pub(crate) const VERIFYING_KEY: &str = "verifying_key";

/// The digest of the part in this role.
fn part(program: &Program, role: &str) -> Result<Digest, Failure> {
    let mut parts = program.parts.iter();
    parts
        .find(|part| part.role == role)
        .map(|part| part.digest)
        .ok_or_else(|| Failure::new(Code::ProgramPartMissing, role))
}

/// Starts rayon's threads: as many as there are processors, and no more than
/// `spare` less than the process may have.
fn start_workers(start: &Start, spare: usize) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let allowed = usize::try_from(start.threads).unwrap_or(usize::MAX);
    let workers = processors.min(allowed.saturating_sub(spare)).max(1);
    // Were there a pool already, its threads would serve.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .build_global();
}

/// Runs a step; a panic ends the step and not the process, and its message is
/// not looked at.
fn contained<T>(step: impl FnOnce() -> Result<T, Abandon>) -> Result<T, Abandon> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(Failure::new(Code::ProverPanic, "").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::panic)]
    fn a_panic_becomes_a_failure_without_its_words() {
        let result = contained::<()>(|| panic!("the witness is 42"));
        let Err(Abandon::Failed(failure)) = result else {
            unreachable!("a panic is a failure");
        };
        assert_eq!(failure.code, Code::ProverPanic);
        assert_eq!(failure.detail, "");
    }
}
