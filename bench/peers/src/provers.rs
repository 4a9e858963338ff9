//! One function a prover: loads key and witness, and gives back what makes and
//! verifies one proof.

use std::io::Cursor;

use ark_bn254::{Bn254, Fr};
use ark_groth16::{Groth16, PreparedVerifyingKey, ProvingKey, prepare_verifying_key};
use ark_std::UniformRand;
use soundproof_prover_groth16 as ours;

use crate::Failure;

pub type Prove = Box<dyn FnMut() -> Result<(), Failure>>;
type Load = fn(&[u8], &[u8]) -> Result<Prove, Failure>;

/// Name and loader of each.
pub const ALL: [(&str, Load); 4] = [
    ("soundproof-prover-groth16", soundproof),
    ("taceo-groth16", taceo),
    ("snarkrs-lib (CPU)", snarkrs),
    ("ark-circom + ark-groth16", arkworks),
];

fn soundproof(zkey: &[u8], wtns: &[u8]) -> Result<Prove, Failure> {
    let key = ours::ProvingKey::from_zkey(zkey)?;
    let expected = key.verifying_key().clone();
    let witness = ours::Witness::from_wtns(wtns)?;
    Ok(Box::new(move || {
        let randomness = ours::Randomness::from_system(&[0; 32], &[0; 32])?;
        ours::prove(&key, &expected, &witness, randomness)?;
        Ok(())
    }))
}

fn snarkrs(zkey: &[u8], wtns: &[u8]) -> Result<Prove, Failure> {
    use snarkrs_lib::{Backend, CpuBackend, ProvingKey, StageTimings, Witness, prove};
    let circuit = CpuBackend::new().prepare(ProvingKey::from_bytes(zkey.to_vec())?)?;
    let witness = Witness::from_bytes(wtns.to_vec())?.0;
    Ok(Box::new(move || {
        let mut timings = StageTimings::default();
        let mut rng = snarkrs_lib::rand::thread_rng();
        // Verifies by itself.
        prove(circuit.as_ref(), &witness, &mut rng, &mut timings)?;
        Ok(())
    }))
}

/// What the two arkworks provers share.
struct Arkworks {
    key: ProvingKey<Bn254>,
    verifying: PreparedVerifyingKey<Bn254>,
    index: ark_circom::index::NPIndex<Fr>,
    witness: Vec<Fr>,
}

impl Arkworks {
    fn load(zkey: &[u8], wtns: &[u8]) -> Result<Self, Failure> {
        let (key, index) = ark_circom::read_zkey(&mut Cursor::new(zkey))?;
        let verifying = prepare_verifying_key(&key.vk);
        let witness = ours::Witness::from_wtns(wtns)?.as_slice().to_vec();
        Ok(Self { key, verifying, index, witness })
    }

    fn verify(&self, proof: &ark_groth16::Proof<Bn254>) -> Result<(), Failure> {
        let public = &self.witness[1..self.index.num_instance_variables];
        match Groth16::<Bn254>::verify_proof(&self.verifying, proof, public)? {
            true => Ok(()),
            false => Err("the proof does not verify".into()),
        }
    }
}

fn taceo(zkey: &[u8], wtns: &[u8]) -> Result<Prove, Failure> {
    use taceo_groth16::{CircomReduction, ConstraintMatrices, Groth16};
    let ark = Arkworks::load(zkey, wtns)?;
    let index = &ark.index;
    let matrices = ConstraintMatrices {
        num_instance_variables: index.num_instance_variables,
        num_witness_variables: ark.witness.len() - index.num_instance_variables,
        num_constraints: index.num_constraints,
        a_num_non_zero: index.a_num_non_zero,
        b_num_non_zero: index.b_num_non_zero,
        c_num_non_zero: index.c_num_non_zero,
        a: index.a.clone(),
        b: index.b.clone(),
        c: index.c.clone(),
    };
    Ok(Box::new(move || {
        let rng = &mut rand::thread_rng();
        let (r, s) = (Fr::rand(rng), Fr::rand(rng));
        let proof =
            Groth16::<Bn254>::prove::<CircomReduction>(&ark.key, r, s, &matrices, &ark.witness)?;
        ark.verify(&proof)
    }))
}

fn arkworks(zkey: &[u8], wtns: &[u8]) -> Result<Prove, Failure> {
    type Circom = Groth16<Bn254, ark_circom::CircomReduction>;
    let ark = Arkworks::load(zkey, wtns)?;
    let matrices = [ark.index.a.clone(), ark.index.b.clone(), ark.index.c.clone()];
    Ok(Box::new(move || {
        let rng = &mut rand::thread_rng();
        let proof = Circom::create_proof_with_reduction_and_matrices(
            &ark.key,
            Fr::rand(rng),
            Fr::rand(rng),
            &matrices,
            ark.index.num_instance_variables,
            ark.index.num_constraints,
            &ark.witness,
        )?;
        ark.verify(&proof)
    }))
}
