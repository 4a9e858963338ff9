//! Whether many points of G2 are all in the subgroup of prime order.
//!
//! The check of one point (eprint 2022/352, section 4.3) is a multiplication by
//! a number of 127 bits; a large key has millions of points. So they are checked
//! together: whether random combinations of them are in the subgroup.
//!
//! Let T be the part of a point that is outside the subgroup. Its order divides
//! the cofactor, whose smallest prime factor is 10,069. Of all multipliers below
//! 2^13 of one such point, with those of all others fixed, at most one brings
//! the sum into the subgroup: a round misses it with probability 2^-13 at most,
//! ten rounds with 2^-130. The multipliers are a hash of the points themselves:
//! to find points that pass, one would have to try 2^130 sets of them.

use ark_bn254::{Fr, G2Affine};
use ark_ec::CurveGroup;
use ark_ff::{BigInt, PrimeField};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use taceo_ark_algebra::msm::msm_bigint;

const ROUNDS: usize = 10;
/// Bits of a multiplier: 2^13 is below the cofactor's smallest prime factor.
const BITS: usize = 13;
/// Fewer points are checked one by one.
const FEW: usize = 64;
/// Points in one combination: bounds the memory for multipliers.
const CHUNK: usize = 1 << 16;

/// `points` are on the curve; `bytes` is what they were read from.
pub(super) fn all_in_subgroup(points: &[G2Affine], bytes: &[u8]) -> bool {
    if points.len() < FEW {
        return points
            .par_iter()
            .all(G2Affine::is_in_correct_subgroup_assuming_on_curve);
    }
    let seed: [u8; 32] = Sha256::digest(bytes).into();
    let starts = (0u64..).step_by(CHUNK);
    let chunks: Vec<_> = starts.zip(points.chunks(CHUNK)).collect();
    chunks.par_iter().all(|(start, chunk)| {
        let multipliers: Vec<[u16; ROUNDS]> = chunk
            .par_iter()
            .with_min_len(256)
            .enumerate()
            .map(|(i, _)| multipliers(&seed, start + i as u64))
            .collect();
        (0..ROUNDS).into_par_iter().all(|round| {
            let of_round = multipliers.iter().map(|all| all.get(round).copied());
            let scalars: Vec<BigInt<4>> = of_round
                .map(|m| BigInt::from(u64::from(m.unwrap_or_default())))
                .collect();
            msm_bigint(chunk, &scalars)
                .into_affine()
                .is_in_correct_subgroup_assuming_on_curve()
        })
    })
}

/// A point's multipliers, one a round.
fn multipliers(seed: &[u8; 32], index: u64) -> [u16; ROUNDS] {
    let mut hash = Sha256::new();
    hash.update(seed);
    hash.update(index.to_le_bytes());
    let bytes: [u8; 32] = hash.finalize().into();
    let mut out = [0; ROUNDS];
    for (to, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *to = u16::from_le_bytes(*pair) & ((1 << BITS) - 1);
    }
    out
}

/// The multi-scalar multiplication takes scalars as integers below the modulus.
const _: () = assert!(Fr::MODULUS_BIT_SIZE as usize > BITS);

#[cfg(test)]
mod tests {
    use ark_bn254::{Fq, Fq2, G2Affine, g2};
    use ark_ec::{AffineRepr, CurveConfig, CurveGroup, PrimeGroup};
    use ark_ff::{BigInt, Zero};

    use super::all_in_subgroup;

    /// The rest of the sound points, from 1 to n times the generator.
    fn sound(n: usize) -> Vec<G2Affine> {
        let step = ark_bn254::G2Projective::generator();
        let mut at = step;
        let mut points = Vec::with_capacity(n);
        for _ in 0..n {
            points.push(at.into_affine());
            at += step;
        }
        points
    }

    fn stray() -> G2Affine {
        (1u64..)
            .find_map(|x| {
                let x = Fq2::new(Fq::from(x), Fq::zero());
                let point = G2Affine::get_point_from_x_unchecked(x, false)?;
                (!point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
            })
            .unwrap()
    }

    /// A point of order 10,069, the hardest to notice.
    fn smallest_stray() -> G2Affine {
        let order = BigInt::<4>(g2::Config::COFACTOR.try_into().unwrap());
        let r = num(&<ark_bn254::Fr as ark_ff::PrimeField>::MODULUS);
        let rest = num(&order) / 10_069u32 * r;
        let limbs: Vec<u64> = rest.to_u64_digits();
        let point = stray().mul_bigint(limbs).into_affine();
        assert!(!point.is_zero());
        assert!(point.mul_bigint([10_069]).is_zero());
        point
    }

    fn num(n: &BigInt<4>) -> num_bigint::BigUint {
        (*n).into()
    }

    #[test]
    fn the_cofactor_has_no_prime_factor_that_a_multiplier_could_be() {
        let cofactor = num(&BigInt(g2::Config::COFACTOR.try_into().unwrap()));
        for p in 2u32..10_069 {
            assert!(!(&cofactor % p).is_zero(), "{p}");
        }
        assert!((&cofactor % 10_069u32).is_zero());
    }

    #[test]
    fn sound_points_pass_infinity_among_them() {
        let mut points = sound(300);
        points[7] = G2Affine::identity();
        assert!(all_in_subgroup(&points, b"any"));
        assert!(all_in_subgroup(&points[..10], b"any"));
        assert!(all_in_subgroup(&[], b""));
    }

    /// Were a point left out of the combinations, or the rounds too few for
    /// points of small order, one of these would pass.
    #[test]
    fn strays_are_noticed_wherever_they_stand() {
        let good = sound(300);
        for bad in [stray(), smallest_stray()] {
            for at in [0, 1, 150, 299] {
                let mut points = good.clone();
                points[at] = bad;
                assert!(!all_in_subgroup(&points, b"any"), "{at}");
                points.truncate(at + 1);
                assert!(!all_in_subgroup(&points, b"any"), "{at}");
            }
        }
    }

    #[test]
    fn strays_that_cancel_each_other_are_noticed() {
        let mut points = sound(300);
        for bad in [stray(), smallest_stray()] {
            points[3] = bad;
            points[200] = -bad;
            assert!(!all_in_subgroup(&points, b"any"));
        }
        points.fill(smallest_stray());
        assert!(!all_in_subgroup(&points, b"any"));
    }
}
