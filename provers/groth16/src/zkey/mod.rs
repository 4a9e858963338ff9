//! Proving keys in snarkjs's `.zkey` format, read by a parser of our own.
//!
//! A zkey comes from a stranger by way of a stranger's store. Every count is
//! held against the size of its section before memory is taken, every number
//! against its modulus, every index against its range, and every point against
//! its curve and subgroup: a point off the curve would let whoever made the key
//! read a client's witness out of the proof.
//!
//! What comes out, [`ProvingKey`], is laid out for [`crate::prove()`]: points at
//! infinity are dropped from the queries, the constraints stand in compressed
//! rows, and the transforms' tables are made. It is public.

mod error;
mod points;
mod subgroup;
#[cfg(test)]
mod tests;

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{FftField, PrimeField};
use rayon::prelude::*;
use soundproof_proofs::groth16::{PreparedKey, VerifyingKey};
use taceo_ark_algebra::fft::{Domain, bit_reverse, powers};

use crate::container::{Reader, Sections, limbs};
pub use error::ZkeyError;
use points::{g1_point, g1_points, g2_point, g2_points};

/// Bytes of an entry of the coefficients' section: matrix, constraint, signal,
/// value.
const COEFFICIENT: usize = 12 + 32;
const G1: u64 = 64;
const G2: u64 = 128;

/// Points of a query that are not at infinity, and which signal each belongs to.
pub(crate) struct Query<G> {
    pub(crate) points: Vec<G>,
    pub(crate) signals: Vec<u32>,
}

impl<G: AffineRepr> Query<G> {
    /// `first` is the signal that the first point belongs to.
    fn new(all: Vec<G>, first: u32) -> Self {
        let (points, signals) = (first..)
            .zip(all)
            .filter(|(_, point)| !point.is_zero())
            .map(|(signal, point)| (point, signal))
            .unzip();
        Self { points, signals }
    }

    fn bytes(&self) -> usize {
        self.points.len() * size_of::<G>() + self.signals.len() * size_of::<u32>()
    }
}

/// One matrix of the constraint system, in compressed rows.
pub(crate) struct Matrix {
    /// `starts[i]..starts[i + 1]` are row i's entries.
    starts: Vec<u32>,
    entries: Vec<(Fr, u32)>,
}

impl Matrix {
    /// Row by row, the inner product with `witness`. Entries' signals were
    /// checked to be below the number of signals.
    pub(crate) fn mul(&self, witness: &[Fr]) -> Vec<Fr> {
        self.starts
            .par_windows(2)
            .with_min_len(256)
            .map(|bounds| {
                let row = match bounds {
                    [start, end] => self.entries.get(*start as usize..*end as usize),
                    _ => None,
                };
                let terms = row.unwrap_or_default().iter();
                terms
                    .filter_map(|(value, signal)| Some(*witness.get(*signal as usize)? * value))
                    .sum()
            })
            .collect()
    }
}

/// A checked proving key, ready to prove with. Public.
pub struct ProvingKey {
    pub(crate) public_count: usize,
    pub(crate) signal_count: usize,
    pub(crate) verifying_key: VerifyingKey,
    pub(crate) prepared: PreparedKey,
    pub(crate) beta_g1: G1Affine,
    pub(crate) delta_g1: G1Affine,
    pub(crate) a: Query<G1Affine>,
    pub(crate) b1: Query<G1Affine>,
    pub(crate) b2: Query<G2Affine>,
    pub(crate) c: Query<G1Affine>,
    /// One for each element of the domain; the signals of this query are
    /// positions in it.
    pub(crate) h: Query<G1Affine>,
    pub(crate) matrix_a: Matrix,
    pub(crate) matrix_b: Matrix,
    pub(crate) domain: Domain<Fr>,
    /// Powers of the coset's shift, in bit-reversed order.
    pub(crate) coset: Vec<Fr>,
}

impl core::fmt::Debug for ProvingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProvingKey")
            .field("signals", &self.signal_count)
            .field("public", &self.public_count)
            .field("domain", &self.domain.size())
            .finish_non_exhaustive()
    }
}

impl ProvingKey {
    /// Reads and checks a `.zkey` file. Takes about the file's size in memory,
    /// and all threads of the current rayon pool.
    ///
    /// # Errors
    /// Whatever makes the file unfit; see [`ZkeyError`].
    pub fn from_zkey(bytes: &[u8]) -> Result<Self, ZkeyError> {
        let sections = Sections::parse(bytes, b"zkey", 1..=2)?;
        let mut protocol = Reader(sections.get(1)?);
        match (protocol.u32(), protocol.0) {
            (Some(1), []) => {}
            (Some(_), []) => return Err(ZkeyError::WrongProtocol),
            _ => return Err(ZkeyError::Malformed),
        }
        let header = Header::parse(sections.get(2)?)?;
        let shape = &header.shape;
        let size = |id, each: u64, count: u32| -> Result<&[u8], ZkeyError> {
            let section = sections.get(id)?;
            if section.len() as u64 == each * u64::from(count) {
                Ok(section)
            } else {
                Err(ZkeyError::SizeClaim)
            }
        };
        // Every section's size first: nothing below takes memory that the file
        // does not back.
        let private = shape.signals - shape.public - 1;
        let ic = size(3, G1, shape.public + 1)?;
        let a = size(5, G1, shape.signals)?;
        let b1 = size(6, G1, shape.signals)?;
        let b2 = size(7, G2, shape.signals)?;
        let c = size(8, G1, private)?;
        let h = size(9, G1, shape.domain)?;
        let (matrix_a, matrix_b) = matrices(sections.get(4)?, shape)?;

        let mut gamma_abc_g1 = g1_points(ic)?;
        gamma_abc_g1.shrink_to_fit();
        let verifying_key = VerifyingKey::from_elements(ark_groth16::VerifyingKey::<Bn254> {
            alpha_g1: header.alpha_g1,
            beta_g2: header.beta_g2,
            gamma_g2: header.gamma_g2,
            delta_g2: header.delta_g2,
            gamma_abc_g1,
        })?;
        let (domain, coset) = transforms(shape.domain)?;
        Ok(Self {
            public_count: shape.public as usize,
            signal_count: shape.signals as usize,
            prepared: verifying_key.prepare(),
            verifying_key,
            beta_g1: header.beta_g1,
            delta_g1: header.delta_g1,
            a: Query::new(g1_points(a)?, 0),
            b1: Query::new(g1_points(b1)?, 0),
            b2: Query::new(g2_points(b2)?, 0),
            c: Query::new(g1_points(c)?, shape.public + 1),
            h: Query::new(g1_points(h)?, 0),
            matrix_a,
            matrix_b,
            domain,
            coset,
        })
    }

    /// The verifying key that the file carries.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// Elements of a witness for this circuit, the leading one included.
    #[must_use]
    pub fn signal_count(&self) -> usize {
        self.signal_count
    }

    /// Public signals, the leading one not included.
    #[must_use]
    pub fn public_count(&self) -> usize {
        self.public_count
    }

    /// The size of the evaluation domain: constraints and public signals,
    /// rounded up to a power of two.
    #[must_use]
    pub fn domain_size(&self) -> usize {
        self.domain.size()
    }

    /// Bytes of memory that the key takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let matrix = |m: &Matrix| m.starts.len() * 4 + m.entries.len() * size_of::<(Fr, u32)>();
        // The domain's twiddles, both ways, have 2 (n - 1) elements together.
        let tables = (self.coset.len() + 2 * self.domain.size()) * size_of::<Fr>();
        self.a.bytes()
            + self.b1.bytes()
            + self.b2.bytes()
            + self.c.bytes()
            + self.h.bytes()
            + matrix(&self.matrix_a)
            + matrix(&self.matrix_b)
            + tables
            + (self.public_count + 1) * size_of::<G1Affine>()
    }
}

/// The counts in a header, in their ranges and consistent with each other.
struct Shape {
    /// All signals, the constant one included; more than `public`.
    signals: u32,
    public: u32,
    /// A power of two, at most 2^28 (the two-adicity of r - 1).
    domain: u32,
}

struct Header {
    shape: Shape,
    alpha_g1: G1Affine,
    beta_g1: G1Affine,
    beta_g2: G2Affine,
    gamma_g2: G2Affine,
    delta_g1: G1Affine,
    delta_g2: G2Affine,
}

impl Header {
    fn parse(section: &[u8]) -> Result<Self, ZkeyError> {
        let mut reader = Reader(section);
        modulus(&mut reader, &Fq::MODULUS)?;
        modulus(&mut reader, &Fr::MODULUS)?;
        let mut count = || reader.u32().ok_or(ZkeyError::Malformed);
        let (signals, public, domain) = (count()?, count()?, count()?);
        if public >= signals {
            return Err(ZkeyError::SizeClaim);
        }
        if !domain.is_power_of_two() || domain.trailing_zeros() > Fr::TWO_ADICITY {
            return Err(ZkeyError::Domain);
        }
        if reader.0.len() as u64 != 3 * G1 + 3 * G2 {
            return Err(ZkeyError::Malformed);
        }
        let shape = Shape {
            signals,
            public,
            domain,
        };
        Ok(Self {
            shape,
            alpha_g1: finite(g1_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
            beta_g1: finite(g1_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
            beta_g2: finite(g2_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
            gamma_g2: finite(g2_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
            delta_g1: finite(g1_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
            delta_g2: finite(g2_point(&reader.array().ok_or(ZkeyError::Malformed)?)?)?,
        })
    }
}

/// A field's length in bytes and its modulus, which must be BN254's.
fn modulus(reader: &mut Reader<'_>, expected: &ark_ff::BigInt<4>) -> Result<(), ZkeyError> {
    let len = reader.u32().ok_or(ZkeyError::Malformed)?;
    if len != 32 {
        return Err(ZkeyError::WrongCurve);
    }
    let found = reader.array::<32>().ok_or(ZkeyError::Malformed)?;
    if limbs(&found) == *expected {
        Ok(())
    } else {
        Err(ZkeyError::WrongCurve)
    }
}

fn finite<G: AffineRepr>(point: G) -> Result<G, ZkeyError> {
    if point.is_zero() {
        Err(ZkeyError::KeyElementInfinity)
    } else {
        Ok(point)
    }
}

/// The constraints' matrices A and B (C is not in the file: its rows are the
/// products of theirs).
fn matrices(section: &[u8], shape: &Shape) -> Result<(Matrix, Matrix), ZkeyError> {
    let mut reader = Reader(section);
    let count = reader.u32().ok_or(ZkeyError::Malformed)?;
    let (entries, rest) = reader.0.as_chunks::<COEFFICIENT>();
    if entries.len() as u64 != u64::from(count) || !rest.is_empty() {
        return Err(ZkeyError::SizeClaim);
    }
    let mut parsed: [Vec<(u32, u32, Fr)>; 2] = [Vec::new(), Vec::new()];
    for entry in entries {
        let mut reader = Reader(entry);
        let mut word = || reader.u32().ok_or(ZkeyError::Malformed);
        let (matrix, row, signal) = (word()?, word()?, word()?);
        let value = reader.array::<32>().ok_or(ZkeyError::Malformed)?;
        if row >= shape.domain || signal >= shape.signals {
            return Err(ZkeyError::CoefficientIndex);
        }
        parsed
            .get_mut(matrix as usize)
            .ok_or(ZkeyError::CoefficientIndex)?
            .push((row, signal, coefficient(&value)?));
    }
    let [a, b] = parsed;
    Ok((compress(a, shape.domain), compress(b, shape.domain)))
}

/// snarkjs stores coefficients times R^2, for R = 2^256 (Montgomery form,
/// twice).
fn coefficient(bytes: &[u8; 32]) -> Result<Fr, ZkeyError> {
    let raw = limbs(bytes);
    if raw >= Fr::MODULUS {
        return Err(ZkeyError::CoefficientOutOfField);
    }
    let once = Fr::new_unchecked(raw).into_bigint();
    Ok(Fr::new_unchecked(once))
}

fn compress(mut entries: Vec<(u32, u32, Fr)>, rows: u32) -> Matrix {
    // snarkjs writes the rows in order already; the sort is stable and cheap.
    entries.sort_by_key(|(row, _, _)| *row);
    let mut starts = Vec::with_capacity(rows as usize + 1);
    let mut next = 0u32;
    starts.push(0);
    let mut rest = entries.iter().peekable();
    for row in 0..rows {
        while rest.next_if(|(of, _, _)| *of == row).is_some() {
            next += 1;
        }
        starts.push(next);
    }
    let entries = entries.into_iter().map(|(_, signal, v)| (v, signal));
    Matrix {
        starts,
        entries: entries.collect(),
    }
}

/// The domain and coset that snarkjs evaluates over: the coset's shift is the
/// root of unity of the domain twice as large, or the square of the smallest
/// non-residue, 5, where there is none.
fn transforms(size: u32) -> Result<(Domain<Fr>, Vec<Fr>), ZkeyError> {
    let size = size as usize;
    let domain = Domain::<Fr>::new(size).ok_or(ZkeyError::Domain)?;
    let twice = size.checked_mul(2).ok_or(ZkeyError::Domain)? as u64;
    let shift = Fr::get_root_of_unity(twice).unwrap_or(Fr::from(25u64));
    let mut coset = powers(shift, size);
    bit_reverse(&mut coset);
    Ok((domain, coset))
}
