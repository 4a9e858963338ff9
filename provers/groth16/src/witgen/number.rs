//! Numbers as snarkjs takes them for signals: decimal, or hexadecimal after
//! `0x`, with an optional minus sign. Unlike snarkjs, what is not below the
//! modulus is refused and not reduced: it is a mistake, or two witnesses for
//! what looks like one.

use ark_bn254::Fr;
use ark_ff::{BigInt, BigInteger, PrimeField};

/// Why a text or a number is no signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    NotNumber,
    OutOfField,
}

/// The canonical representative of the field element that `text` names.
pub(super) fn parse(text: &str) -> Result<BigInt<4>, Unfit> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (radix, digits) = match magnitude.strip_prefix("0x") {
        Some(rest) if !negative => (16, rest),
        Some(_) => return Err(Unfit::NotNumber),
        None => (10, magnitude),
    };
    if digits.is_empty() {
        return Err(Unfit::NotNumber);
    }
    let mut limbs = [0u64; 4];
    let mut overflow = false;
    for digit in digits.chars() {
        let digit = digit.to_digit(radix).ok_or(Unfit::NotNumber)?;
        overflow |= mul_add(&mut limbs, u64::from(radix), u64::from(digit));
    }
    if overflow {
        return Err(Unfit::OutOfField);
    }
    reduce(negative, BigInt(limbs))
}

/// The canonical representative of a JSON number.
pub(super) fn small(negative: bool, magnitude: u64) -> Result<BigInt<4>, Unfit> {
    reduce(negative, BigInt::from(magnitude))
}

fn reduce(negative: bool, magnitude: BigInt<4>) -> Result<BigInt<4>, Unfit> {
    if magnitude >= Fr::MODULUS {
        return Err(Unfit::OutOfField);
    }
    if !negative || magnitude.is_zero() {
        return Ok(magnitude);
    }
    let mut value = Fr::MODULUS;
    value.sub_with_borrow(&magnitude);
    Ok(value)
}

/// `limbs = limbs * factor + addend`; whether it overflowed 256 bits.
fn mul_add(limbs: &mut [u64; 4], factor: u64, addend: u64) -> bool {
    let mut carry = u128::from(addend);
    for limb in limbs.iter_mut() {
        let wide = u128::from(*limb) * u128::from(factor) + carry;
        *limb = wide as u64;
        carry = wide >> 64;
    }
    carry != 0
}

#[cfg(test)]
mod tests {
    use ark_bn254::Fr;
    use ark_ff::{BigInt, PrimeField, UniformRand};
    use proptest::prelude::*;

    use super::{Unfit, parse, small};

    const R: &str = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
    const R_MINUS_1: &str =
        "21888242871839275222246405745257275088548364400416034343698204186575808495616";

    #[test]
    fn the_forms_that_snarkjs_takes() {
        let minus_one = (-Fr::from(1u64)).into_bigint();
        for (text, value) in [
            ("0", BigInt::from(0u64)),
            ("-0", BigInt::from(0u64)),
            ("007", BigInt::from(7u64)),
            ("0x00fF", BigInt::from(255u64)),
            ("-1", minus_one),
            (R_MINUS_1, minus_one),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
        assert_eq!(small(true, 1), Ok(minus_one));
        assert_eq!(small(false, 9), Ok(BigInt::from(9u64)));
    }

    #[test]
    fn nothing_else() {
        for text in [
            "", "-", "0x", "-0x1", "1.0", "1e3", " 1", "1_0", "0b1", "٣", "abc", "--1",
        ] {
            assert_eq!(parse(text), Err(Unfit::NotNumber), "{text}");
        }
        let two_to_256 = format!("0x1{}", "0".repeat(64));
        for text in [R, &format!("-{R}"), &two_to_256, &"9".repeat(1000)] {
            assert_eq!(parse(text), Err(Unfit::OutOfField), "{text}");
        }
        // 2^256 + 5 must not come out as 5.
        let wrapped = format!("0x1{}5", "0".repeat(63));
        assert_eq!(parse(&wrapped), Err(Unfit::OutOfField));
    }

    proptest! {
        #[test]
        fn every_element_survives(seed in any::<u64>()) {
            use ark_std::rand::SeedableRng;
            let mut rng = ark_std::rand::rngs::StdRng::seed_from_u64(seed);
            let element = Fr::rand(&mut rng).into_bigint();
            prop_assert_eq!(parse(&element.to_string()), Ok(element));
        }
    }
}
