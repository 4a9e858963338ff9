use thiserror::Error;
use zeroize::Zeroizing;

/// Words that may depend on the witness: for the sealed outcome and for nothing
/// else. Wiped when dropped, not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDetail(Zeroizing<String>);

impl SecretDetail {
    /// Most bytes that a detail has.
    pub const MAX: usize = 2048;

    pub(super) fn new(mut text: String) -> Self {
        let end = (0..=Self::MAX.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        Self(Zeroizing::new(text))
    }

    /// The words, for the sealed outcome.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for SecretDetail {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecretDetail(…)")
    }
}

/// Why there is no witness. The texts are the same for every witness; a
/// [`SecretDetail`] stands apart and is not part of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WitgenError {
    /// Not WebAssembly, or not valid, or larger than any real generator.
    #[error("the witness generator is not valid WebAssembly")]
    WasmInvalid,
    /// It asks for a function, memory or table that circom's code does not.
    #[error("the witness generator imports `{import}`, which is not allowed")]
    WasmForbiddenImport {
        /// Module and name of the import, at most 128 bytes; public, as the
        /// program is.
        import: String,
    },
    /// Made by circom 1.
    #[error("the witness generator was made by circom 1; circom 2.0 or later is needed")]
    WasmCircom1,
    /// Valid WebAssembly without circom's exports, or one that breaks their rules.
    #[error("the witness generator does not have circom 2's `{export}`")]
    WasmNotCircom {
        /// The export that is missing, of another type, or misbehaves.
        export: &'static str,
    },
    /// For another field than BN254's scalar field.
    #[error("the witness generator is for another field than BN254's")]
    WasmWrongField,
    /// The compiled module is not one that this build made.
    #[error("the compiled witness generator is not one of this build's")]
    DerivedInvalid,
    /// It wants more memory than the job allows.
    #[error("the witness generator needs more memory than the job's limit")]
    MemoryLimit,
    /// It ran longer than the job allows.
    #[error("the witness generator ran longer than the job's limit")]
    Timeout,
    /// It crashed: unreachable code, an access out of bounds, a full stack.
    #[error("the witness generator crashed")]
    Trapped,
    /// The input is not a JSON object of numbers and (nested) arrays of them.
    #[error("the input is not a JSON object of signals")]
    InputMalformed,
    /// The input has a signal that the circuit has not.
    #[error("the input has a signal that is none of the circuit's")]
    SignalUnknown(SecretDetail),
    /// A signal of the circuit is not in the input.
    #[error("the input lacks a signal of the circuit's")]
    SignalMissing(SecretDetail),
    /// A signal has too few or too many values.
    #[error("a signal of the input has the wrong number of values")]
    SignalLength(SecretDetail),
    /// A signal stands in the input twice.
    #[error("a signal stands in the input twice")]
    SignalDuplicate(SecretDetail),
    /// A signal's value is no integer in decimal or in hexadecimal after `0x`.
    #[error("a signal's value is not an integer")]
    SignalNotNumber(SecretDetail),
    /// A signal's value is not below the field's modulus.
    #[error("a signal's value is not below the field's modulus")]
    SignalOutOfField(SecretDetail),
    /// An assertion or a constraint of the circuit does not hold.
    #[error("the input does not satisfy the circuit: an assertion failed")]
    ConstraintFailed(SecretDetail),
    /// The operating system refused memory or a thread.
    #[error("the system has no resources to run the witness generator")]
    Resources,
}

impl WitgenError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WasmInvalid => "wasm_invalid",
            Self::WasmForbiddenImport { .. } => "wasm_forbidden_import",
            Self::WasmCircom1 => "wasm_circom1",
            Self::WasmNotCircom { .. } => "wasm_not_circom",
            Self::WasmWrongField => "wasm_wrong_field",
            Self::DerivedInvalid => "wasm_derived_invalid",
            Self::MemoryLimit => "witness_memory_limit",
            Self::Timeout => "witness_timeout",
            Self::Trapped => "witness_trapped",
            Self::InputMalformed => "input_malformed",
            Self::SignalUnknown(_) => "signal_unknown",
            Self::SignalMissing(_) => "signal_missing",
            Self::SignalLength(_) => "signal_length",
            Self::SignalDuplicate(_) => "signal_duplicate",
            Self::SignalNotNumber(_) => "signal_not_number",
            Self::SignalOutOfField(_) => "signal_out_of_field",
            Self::ConstraintFailed(_) => "constraint_failed",
            Self::Resources => "witness_resources",
        }
    }

    /// What only the client may read.
    #[must_use]
    pub fn detail(&self) -> Option<&SecretDetail> {
        match self {
            Self::SignalUnknown(detail)
            | Self::SignalMissing(detail)
            | Self::SignalLength(detail)
            | Self::SignalDuplicate(detail)
            | Self::SignalNotNumber(detail)
            | Self::SignalOutOfField(detail)
            | Self::ConstraintFailed(detail) => Some(detail),
            _ => None,
        }
    }
}
