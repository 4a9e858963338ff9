//! snarkjs's JSON forms, read strictly and written as snarkjs does.

use core::fmt::{Display, Write};
use core::str::FromStr;
use std::borrow::Cow;

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInt, PrimeField};
use serde::Deserialize;

use super::{Document, Error, Proof, PublicSignals, VerifyingKey};

/// The largest `verification_key.json` that is read: some 65,000 public
/// signals.
pub const MAX_VERIFYING_KEY_BYTES: usize = 16 << 20;
/// The largest `proof.json` that is read; a real one has some 800 bytes.
pub const MAX_PROOF_BYTES: usize = 16 << 10;
/// The largest `public.json` that is read.
pub const MAX_PUBLIC_BYTES: usize = 8 << 20;

/// BN254's moduli have 77 decimal digits.
const MAX_DIGITS: usize = 77;

type Number<'a> = Cow<'a, str>;

#[derive(Deserialize)]
struct VerifyingKeyJson<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    curve: Cow<'a, str>,
    #[serde(rename = "nPublic")]
    n_public: u32,
    #[serde(borrow)]
    vk_alpha_1: [Number<'a>; 3],
    #[serde(borrow)]
    vk_beta_2: [[Number<'a>; 2]; 3],
    #[serde(borrow)]
    vk_gamma_2: [[Number<'a>; 2]; 3],
    #[serde(borrow)]
    vk_delta_2: [[Number<'a>; 2]; 3],
    #[serde(borrow, rename = "IC")]
    ic: Vec<[Number<'a>; 3]>,
}

#[derive(Deserialize)]
struct ProofJson<'a> {
    #[serde(borrow)]
    pi_a: [Number<'a>; 3],
    #[serde(borrow)]
    pi_b: [[Number<'a>; 2]; 3],
    #[serde(borrow)]
    pi_c: [Number<'a>; 3],
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    // rapidsnark leaves it out.
    #[serde(borrow, default)]
    curve: Option<Cow<'a, str>>,
}

pub(super) fn verifying_key(json: &[u8]) -> Result<VerifyingKey, Error> {
    let document = Document::VerifyingKey;
    let raw: VerifyingKeyJson<'_> = read(json, MAX_VERIFYING_KEY_BYTES, document)?;
    system(&raw.protocol, Some(&raw.curve), document)?;
    let expected = (raw.n_public as usize).saturating_add(1);
    if raw.ic.len() != expected {
        return Err(Error::IcLength {
            expected,
            found: raw.ic.len(),
        });
    }
    let ic = raw.ic.iter().map(|point| g1(point, "IC")).collect();
    VerifyingKey::from_elements(ark_groth16::VerifyingKey {
        alpha_g1: g1(&raw.vk_alpha_1, "vk_alpha_1")?,
        beta_g2: g2(&raw.vk_beta_2, "vk_beta_2")?,
        gamma_g2: g2(&raw.vk_gamma_2, "vk_gamma_2")?,
        delta_g2: g2(&raw.vk_delta_2, "vk_delta_2")?,
        gamma_abc_g1: Result::<_, Error>::from_iter::<Vec<_>>(ic)?,
    })
}

pub(super) fn proof(json: &[u8]) -> Result<Proof, Error> {
    let raw: ProofJson<'_> = read(json, MAX_PROOF_BYTES, Document::Proof)?;
    system(&raw.protocol, raw.curve.as_deref(), Document::Proof)?;
    Proof::from_elements(ark_groth16::Proof {
        a: g1(&raw.pi_a, "pi_a")?,
        b: g2(&raw.pi_b, "pi_b")?,
        c: g1(&raw.pi_c, "pi_c")?,
    })
}

pub(super) fn public_signals(json: &[u8]) -> Result<PublicSignals, Error> {
    let raw: Vec<Number<'_>> = read(json, MAX_PUBLIC_BYTES, Document::PublicSignals)?;
    let signals: Result<Vec<Fr>, Error> = raw.iter().map(|text| number(text, "public")).collect();
    Ok(PublicSignals(signals?))
}

fn read<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    limit: usize,
    document: Document,
) -> Result<T, Error> {
    if json.len() > limit {
        return Err(Error::TooLarge { document, limit });
    }
    serde_json::from_slice(json).map_err(|_| Error::Malformed { document })
}

fn system(protocol: &str, curve: Option<&str>, document: Document) -> Result<(), Error> {
    if protocol != "groth16" {
        return Err(Error::WrongProtocol { document });
    }
    if curve.is_some_and(|curve| curve != "bn128") {
        return Err(Error::WrongCurve { document });
    }
    Ok(())
}

/// A field element in canonical decimal: digits only, no leading zero, below
/// the modulus.
fn number<F: PrimeField<BigInt = BigInt<4>>>(
    text: &str,
    element: &'static str,
) -> Result<F, Error> {
    let canonical = !text.is_empty()
        && text.len() <= MAX_DIGITS
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let value = canonical
        .then(|| BigInt::<4>::from_str(text).ok())
        .flatten();
    value
        .and_then(F::from_bigint)
        .ok_or(Error::NotInField { element })
}

/// Projective with z = 1, or infinity as snarkjs writes it: (0, 1, 0). Whether
/// the point is on the curve is checked by the caller's constructor.
fn g1(point: &[Number<'_>; 3], element: &'static str) -> Result<G1Affine, Error> {
    let [x, y, z] = point;
    let (x, y): (Fq, Fq) = (number(x, element)?, number(y, element)?);
    affine(z == "1", z == "0", x, y, element)
}

fn g2(point: &[[Number<'_>; 2]; 3], element: &'static str) -> Result<G2Affine, Error> {
    let [x, y, [z0, z1]] = point;
    let fq2 = |[c0, c1]: &[Number<'_>; 2]| -> Result<Fq2, Error> {
        Ok(Fq2::new(number(c0, element)?, number(c1, element)?))
    };
    let (x, y) = (fq2(x)?, fq2(y)?);
    affine(
        z0 == "1" && z1 == "0",
        z0 == "0" && z1 == "0",
        x,
        y,
        element,
    )
}

fn affine<P: ark_ec::short_weierstrass::SWCurveConfig>(
    z_is_one: bool,
    z_is_zero: bool,
    x: P::BaseField,
    y: P::BaseField,
    element: &'static str,
) -> Result<ark_ec::short_weierstrass::Affine<P>, Error> {
    use ark_ff::{One, Zero};
    type Affine<P> = ark_ec::short_weierstrass::Affine<P>;
    if z_is_zero && x.is_zero() && y.is_one() {
        return Ok(Affine::<P>::identity());
    }
    // (0, 0) stands for infinity in memory, so it must not come in by z = 1.
    if !z_is_one || (x.is_zero() && y.is_zero()) {
        return Err(Error::OffCurve { element });
    }
    Ok(Affine::<P>::new_unchecked(x, y))
}

pub(super) fn proof_json(proof: &ark_groth16::Proof<Bn254>) -> String {
    let mut out = String::with_capacity(900);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"{{"pi_a":{},"pi_b":{},"pi_c":{},"protocol":"groth16","curve":"bn128"}}"#,
        G1Json(&proof.a),
        G2Json(&proof.b),
        G1Json(&proof.c),
    );
    out
}

pub(super) fn public_json(signals: &[Fr]) -> String {
    let mut out = String::with_capacity(2 + signals.len() * (MAX_DIGITS + 3));
    out.push('[');
    for (i, signal) in signals.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\"{}\"", signal.into_bigint());
    }
    out.push(']');
    out
}

struct G1Json<'a>(&'a G1Affine);

impl Display for G1Json<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.xy() {
            Some((x, y)) => {
                let (x, y) = (x.into_bigint(), y.into_bigint());
                write!(f, r#"["{x}","{y}","1"]"#)
            }
            None => f.write_str(r#"["0","1","0"]"#),
        }
    }
}

struct G2Json<'a>(&'a G2Affine);

impl Display for G2Json<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.xy() {
            Some((x, y)) => {
                let (x0, x1) = (x.c0.into_bigint(), x.c1.into_bigint());
                let (y0, y1) = (y.c0.into_bigint(), y.c1.into_bigint());
                write!(f, r#"[["{x0}","{x1}"],["{y0}","{y1}"],["1","0"]]"#)
            }
            None => f.write_str(r#"[["0","0"],["1","0"],["0","0"]]"#),
        }
    }
}
