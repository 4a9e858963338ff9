//! Points as snarkjs stores them: affine coordinates, little-endian, in
//! Montgomery form; infinity as zeros.

use ark_bn254::{Fq, Fq2, G1Affine, G2Affine};
use ark_ff::{PrimeField, Zero};
use rayon::prelude::*;

use super::ZkeyError;
use super::subgroup::all_in_subgroup;
use crate::container::limbs;

pub(super) fn g1_points(section: &[u8]) -> Result<Vec<G1Affine>, ZkeyError> {
    let (points, _) = section.as_chunks::<64>();
    points.par_iter().with_min_len(64).map(g1_point).collect()
}

pub(super) fn g2_points(section: &[u8]) -> Result<Vec<G2Affine>, ZkeyError> {
    let (points, _) = section.as_chunks::<128>();
    let points = points.par_iter().with_min_len(64).map(g2_on_curve);
    let points = points.collect::<Result<Vec<_>, _>>()?;
    if !all_in_subgroup(&points, section) {
        return Err(ZkeyError::PointOutOfSubgroup);
    }
    Ok(points)
}

/// BN254's G1 has cofactor one: a point on the curve is in the group.
pub(super) fn g1_point(bytes: &[u8; 64]) -> Result<G1Affine, ZkeyError> {
    let [x, y] = coordinates(bytes)?;
    if x.is_zero() && y.is_zero() {
        return Ok(G1Affine::identity());
    }
    let point = G1Affine::new_unchecked(x, y);
    if !point.is_on_curve() {
        return Err(ZkeyError::PointOffCurve);
    }
    Ok(point)
}

pub(super) fn g2_point(bytes: &[u8; 128]) -> Result<G2Affine, ZkeyError> {
    let point = g2_on_curve(bytes)?;
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(ZkeyError::PointOutOfSubgroup);
    }
    Ok(point)
}

fn g2_on_curve(bytes: &[u8; 128]) -> Result<G2Affine, ZkeyError> {
    let [x0, x1, y0, y1] = coordinates(bytes)?;
    let (x, y) = (Fq2::new(x0, x1), Fq2::new(y0, y1));
    if x.is_zero() && y.is_zero() {
        return Ok(G2Affine::identity());
    }
    let point = G2Affine::new_unchecked(x, y);
    if !point.is_on_curve() {
        return Err(ZkeyError::PointOffCurve);
    }
    Ok(point)
}

fn coordinates<const N: usize>(bytes: &[u8]) -> Result<[Fq; N], ZkeyError> {
    let (chunks, _) = bytes.as_chunks::<32>();
    let mut out = [Fq::zero(); N];
    for (to, from) in out.iter_mut().zip(chunks) {
        let raw = limbs(from);
        if raw >= Fq::MODULUS {
            return Err(ZkeyError::PointNotInField);
        }
        *to = Fq::new_unchecked(raw);
    }
    Ok(out)
}
