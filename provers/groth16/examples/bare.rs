//! The prover called in process, for `cargo xtask bench`: what the delegated
//! path is measured against.
//!
//! ```text
//! bare --wasm FILE --zkey FILE --vkey FILE --input FILE… [--runs 1]
//! ```
//!
//! Prints one line of JSON: `{"runs":[{…}]}`, one object a run, inputs taken in
//! turn. The first run is cold: it reads and checks the key and compiles the
//! generator. `total_ms` is from the input to a verified proof; what a server
//! does before an input arrives (`instantiate_ms`) counts in the cold run only.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use serde_json::{Value, json};
use soundproof_proofs::groth16::VerifyingKey;
use soundproof_prover_groth16::witgen::{Limits, Program};
use soundproof_prover_groth16::{ProvingKey, Randomness, Witness, prove};

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Arguments {
    wasm: Option<Vec<u8>>,
    zkey: Option<Vec<u8>>,
    vkey: Option<Vec<u8>>,
    inputs: Vec<Vec<u8>>,
    runs: usize,
}

struct Loaded {
    program: Program,
    key: ProvingKey,
    expected: VerifyingKey,
}

fn main() -> Result<(), Failure> {
    let arguments = parse()?;
    let mut loaded = None;
    let mut runs: Vec<Value> = Vec::new();
    for input in arguments.inputs.iter().cycle().take(arguments.runs) {
        runs.push(run(&arguments, &mut loaded, input)?);
    }
    println!("{}", json!({ "runs": runs }));
    Ok(())
}

fn run(arguments: &Arguments, loaded: &mut Option<Loaded>, input: &[u8]) -> Result<Value, Failure> {
    let start = Instant::now();
    let cold = loaded.is_none();
    let Loaded {
        program,
        key,
        expected,
    } = match loaded {
        Some(loaded) => loaded,
        None => loaded.insert(load(arguments)?),
    };
    let load_ms = ms(start);
    let generator = program.instantiate(Limits::default())?;
    let instantiate_ms = ms(start) - load_ms;
    let begin = Instant::now();
    let file = generator.run(input, Limits::default())?;
    let witness_ms = ms(begin);
    let witness = Witness::from_wtns(&file)?;
    let randomness = Randomness::from_system(&[0; 32], &[0; 32])?;
    let proven = prove(key, expected, &witness, randomness)?;
    let documents = (proven.proof.to_json(), proven.public.to_json());
    let total_ms = if cold { ms(start) } else { ms(begin) };
    std::hint::black_box(documents);
    Ok(json!({
        "cold": cold, "load_ms": load_ms, "instantiate_ms": instantiate_ms,
        "witness_ms": witness_ms, "prove_verify_ms": ms(begin) - witness_ms,
        "total_ms": total_ms,
    }))
}

fn load(arguments: &Arguments) -> Result<Loaded, Failure> {
    let file = |bytes: &Option<Vec<u8>>, name| bytes.clone().ok_or(format!("{name} is missing"));
    Ok(Loaded {
        program: Program::compile(&file(&arguments.wasm, "--wasm")?)?,
        key: ProvingKey::from_zkey(&file(&arguments.zkey, "--zkey")?)?,
        expected: VerifyingKey::from_json(&file(&arguments.vkey, "--vkey")?)?,
    })
}

fn parse() -> Result<Arguments, Failure> {
    let mut given = std::env::args().skip(1);
    let mut arguments = Arguments {
        runs: 1,
        ..Arguments::default()
    };
    while let Some(name) = given.next() {
        let value = given.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--wasm" => arguments.wasm = Some(std::fs::read(value)?),
            "--zkey" => arguments.zkey = Some(std::fs::read(value)?),
            "--vkey" => arguments.vkey = Some(std::fs::read(value)?),
            "--input" => arguments.inputs.push(std::fs::read(value)?),
            "--runs" => arguments.runs = value.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(arguments)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
