//! A device that answers one message with one: a TPM, a Nitro Security
//! Module. A trait, so that fakes stand in for both.

use std::io;

/// Something that answers.
pub trait Device: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Sends `request`, and waits for the answer.
    ///
    /// # Errors
    /// What the system says.
    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>>;
}
