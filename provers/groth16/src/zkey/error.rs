use soundproof_proofs::groth16;
use thiserror::Error;

use crate::container::Fault;

/// Why a proving key was refused. Always the fault of whoever made the file or
/// kept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ZkeyError {
    /// Not a zkey of a known version, or its sections are not those of one.
    #[error("the proving key is not a .zkey file as snarkjs writes it")]
    Malformed,
    /// The file ends before a section does, or a section claims more than there is.
    #[error("the proving key is truncated")]
    Truncated,
    /// A key for another proof system (PLONK, FFLONK).
    #[error("the proving key is for another proof system than Groth16")]
    WrongProtocol,
    /// A key for another curve than BN254.
    #[error("the proving key is for another curve than BN254")]
    WrongCurve,
    /// A count in the file is not what a section's size says.
    #[error("a count in the proving key does not match the size of its section")]
    SizeClaim,
    /// The domain's size is no power of two, or larger than the field allows.
    #[error("the proving key's domain is not a power of two of at most 2^28")]
    Domain,
    /// A coordinate is not below the modulus.
    #[error("a coordinate in the proving key is not below the field's modulus")]
    PointNotInField,
    /// A point does not satisfy the curve equation.
    #[error("a point of the proving key is not on the curve")]
    PointOffCurve,
    /// A point of G2 is outside the subgroup of prime order.
    #[error("a point of the proving key is not in the subgroup of prime order")]
    PointOutOfSubgroup,
    /// Alpha, beta, gamma or delta is the point at infinity.
    #[error("alpha, beta, gamma or delta of the proving key is the point at infinity")]
    KeyElementInfinity,
    /// A coefficient names a matrix, constraint or signal that is not there.
    #[error("a coefficient of the proving key names a place outside the matrices")]
    CoefficientIndex,
    /// A coefficient is not below the modulus.
    #[error("a coefficient of the proving key is not below the field's modulus")]
    CoefficientOutOfField,
}

impl ZkeyError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "zkey_malformed",
            Self::Truncated => "zkey_truncated",
            Self::WrongProtocol => "zkey_wrong_protocol",
            Self::WrongCurve => "zkey_wrong_curve",
            Self::SizeClaim => "zkey_size_claim",
            Self::Domain => "zkey_domain",
            Self::PointNotInField => "zkey_point_not_in_field",
            Self::PointOffCurve => "zkey_point_off_curve",
            Self::PointOutOfSubgroup => "zkey_point_out_of_subgroup",
            Self::KeyElementInfinity => "zkey_key_element_infinity",
            Self::CoefficientIndex => "zkey_coefficient_index",
            Self::CoefficientOutOfField => "zkey_coefficient_out_of_field",
        }
    }
}

impl From<Fault> for ZkeyError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Truncated => Self::Truncated,
            Fault::Magic | Fault::Version | Fault::Sections | Fault::Missing(_) => Self::Malformed,
        }
    }
}

impl From<groth16::Error> for ZkeyError {
    fn from(error: groth16::Error) -> Self {
        match error {
            groth16::Error::OffCurve { .. } => Self::PointOffCurve,
            groth16::Error::OutOfSubgroup { .. } => Self::PointOutOfSubgroup,
            groth16::Error::Infinity { .. } => Self::KeyElementInfinity,
            _ => Self::Malformed,
        }
    }
}
