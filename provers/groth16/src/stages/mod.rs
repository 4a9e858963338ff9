//! The two stages, as the keeper's protocol sees them.

mod failure;
mod prove;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::Abandon;
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
