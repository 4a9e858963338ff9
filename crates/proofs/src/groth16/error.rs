use thiserror::Error;

/// Which of the three JSON documents an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// `verification_key.json`.
    VerifyingKey,
    /// `proof.json`.
    Proof,
    /// `public.json`.
    PublicSignals,
}

impl core::fmt::Display for Document {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::VerifyingKey => "verifying key",
            Self::Proof => "proof",
            Self::PublicSignals => "public signals",
        })
    }
}

/// Why a Groth16 document was refused or a proof does not verify.
///
/// The texts name places, never values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The document is larger than any real one.
    #[error("the {document} is larger than {limit} bytes")]
    TooLarge {
        /// Which document.
        document: Document,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not JSON, or not of the shape that snarkjs writes.
    #[error("the {document} is not JSON of the form that snarkjs writes")]
    Malformed {
        /// Which document.
        document: Document,
    },
    /// `protocol` is not `groth16`.
    #[error("the {document} is for another proof system than groth16")]
    WrongProtocol {
        /// Which document.
        document: Document,
    },
    /// `curve` is not `bn128` (snarkjs's name for BN254).
    #[error("the {document} is for another curve than bn128")]
    WrongCurve {
        /// Which document.
        document: Document,
    },
    /// A number is not canonical decimal, or not below the field's modulus.
    #[error("`{element}` is not a canonical decimal number below the field's modulus")]
    NotInField {
        /// The JSON field that holds it.
        element: &'static str,
    },
    /// A point does not satisfy the curve equation.
    #[error("`{element}` is not a point on the curve")]
    OffCurve {
        /// The JSON field that holds it.
        element: &'static str,
    },
    /// A point of G2 is outside the subgroup of prime order.
    #[error("`{element}` is not in the subgroup of prime order")]
    OutOfSubgroup {
        /// The JSON field that holds it.
        element: &'static str,
    },
    /// A point that must not be the point at infinity is.
    #[error("`{element}` is the point at infinity")]
    Infinity {
        /// The JSON field that holds it.
        element: &'static str,
    },
    /// `IC` has another length than `nPublic + 1`.
    #[error("`IC` has {found} points; nPublic asks for {expected}")]
    IcLength {
        /// nPublic + 1.
        expected: usize,
        /// The length of `IC`.
        found: usize,
    },
    /// Another number of public signals than the verifying key takes.
    #[error("{found} public signals were given; the verifying key takes {expected}")]
    PublicCount {
        /// What the key takes.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Well formed, and false: the pairing equation does not hold.
    #[error("the proof does not verify under this key and these public signals")]
    Invalid,
}

impl Error {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "proof_document_too_large",
            Self::Malformed { .. } => "proof_document_malformed",
            Self::WrongProtocol { .. } => "proof_wrong_protocol",
            Self::WrongCurve { .. } => "proof_wrong_curve",
            Self::NotInField { .. } => "proof_number_not_in_field",
            Self::OffCurve { .. } => "proof_point_off_curve",
            Self::OutOfSubgroup { .. } => "proof_point_out_of_subgroup",
            Self::Infinity { .. } => "proof_point_at_infinity",
            Self::IcLength { .. } => "verifying_key_ic_length",
            Self::PublicCount { .. } => "public_signals_count",
            Self::Invalid => "proof_invalid",
        }
    }
}
