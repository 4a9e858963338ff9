//! The executable itself, confined, with the test as its keeper: both stages, a
//! warm second job, failures that leave the process up, and what is left in the
//! memory of a process that stays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod keeper;

use std::os::unix::fs::FileExt;

use ark_bn254::Fr;
use ark_ff::{BigInteger, Field, PrimeField};
use keeper::{Keeper, Outcome};
use soundproof_proofs::groth16::{Proof, PublicSignals, VerifyingKey, verify};
use soundproof_protocol::error::Code;
use soundproof_protocol::mode::ModeInfo;
use soundproof_prover::sandbox::Layer;
use soundproof_prover::wire::Form;
use soundproof_prover_groth16::Witness;

const ZKEY: &[u8] = include_bytes!("data/small.zkey");
const VKEY: &[u8] = include_bytes!("data/small.vkey.json");
const WASM: &[u8] = include_bytes!("data/small.wasm");
const INPUT: &[u8] = include_bytes!("data/small.input.json");
const WTNS: &[u8] = include_bytes!("data/small.wtns");
const PUBLIC: &[u8] = include_bytes!("data/small.public.json");

const KEYS: [(&str, &[u8]); 2] = [("proving_key", ZKEY), ("verifying_key", VKEY)];

fn proves(outcome: Outcome, expected_public: &[u8]) {
    let Outcome::Result {
        proof,
        public,
        verified,
    } = outcome
    else {
        panic!("no proof: {outcome:?}");
    };
    assert!(verified);
    assert_eq!(public, expected_public);
    verify(
        &VerifyingKey::from_json(VKEY).unwrap(),
        &PublicSignals::from_json(&public).unwrap(),
        &Proof::from_json(&proof).unwrap(),
    )
    .unwrap();
}

#[test]
fn it_says_what_it_is_and_that_it_is_confined() {
    for stage in ["witness", "prove", ""] {
        let keeper = Keeper::start(stage);
        let hello = keeper.hello();
        assert_eq!(
            (hello.system.as_str(), hello.stage.as_str()),
            ("groth16", stage)
        );
        let stages: Vec<_> = hello
            .stages
            .iter()
            .map(|s| (s.name.as_str(), s.runs_program))
            .collect();
        assert_eq!(stages, [("witness", true), ("prove", false)]);
        assert_eq!(hello.modes, [ModeInfo::hiding("groth16")]);
        // Invariant 9 begins here: no hello without these.
        for layer in [Layer::Seccomp, Layer::NoNewPrivileges, Layer::Limits] {
            assert!(hello.sandbox.contains(layer), "{}", layer.name());
        }
    }
}

#[test]
fn both_stages_make_a_proof_and_a_second_process_takes_compiled_code() {
    let generator = [("witness_generator", WASM)];
    let mut first = Keeper::start("witness");
    let (asked, derived) = first.load(&generator, None).unwrap();
    assert_eq!(asked, [Form::Source]);
    let derived = derived.expect("compiled code");
    let Outcome::Intermediate(witness) = first.job(INPUT) else {
        panic!("no witness");
    };
    assert_eq!(witness, WTNS);

    let mut second = Keeper::start("witness");
    let (asked, kept) = second.load(&generator, Some(&derived)).unwrap();
    assert_eq!((asked, kept), (vec![Form::Derived], None));
    let Outcome::Intermediate(again) = second.job(INPUT) else {
        panic!("no witness");
    };
    assert_eq!(again, WTNS);

    let mut prove = Keeper::start("prove");
    assert_eq!(
        prove.load(&KEYS, None).unwrap().0,
        [Form::Source, Form::Source]
    );
    proves(prove.job(&witness), PUBLIC);
    // Warm: nothing is asked for.
    assert_eq!(prove.load(&KEYS, None).unwrap().0, []);
    proves(prove.job(&witness), PUBLIC);
}

/// Were an instance used for two jobs, the second would meet what a hostile
/// first one left.
#[test]
fn a_generator_serves_one_job() {
    let mut keeper = Keeper::start("witness");
    keeper.load(&[("witness_generator", WASM)], None).unwrap();
    assert!(matches!(keeper.job(INPUT), Outcome::Intermediate(_)));
    assert!(matches!(keeper.job(INPUT), Outcome::Failed(f) if f.code == Code::ProverProtocol));
}

#[test]
fn programs_that_cannot_be_used_have_their_codes() {
    let wasi = wat::parse_str(r#"(module (import "wasi" "fd_write" (func)))"#).unwrap();
    let endless = wat::parse_str("(module (func $s (loop (br 0))) (start $s))").unwrap();
    let greedy = wat::parse_str("(module (memory 65536))").unwrap();
    for (wasm, code) in [
        (wasi.as_slice(), Code::WasmForbiddenImport),
        (b"no wasm", Code::WasmInvalid),
        (&endless, Code::TimeLimit),
        (&greedy, Code::MemoryLimit),
    ] {
        let mut keeper = Keeper::start("witness");
        let failure = keeper
            .load(&[("witness_generator", wasm)], None)
            .unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.detail);
    }
    let mut keeper = Keeper::start("prove");
    let cut = &ZKEY[..ZKEY.len() - 1];
    for (zkey, vkey, code) in [
        (cut, VKEY, Code::ZkeySize),
        (ZKEY, b"{}".as_slice(), Code::VkeyInvalid),
    ] {
        let parts = [("proving_key", zkey), ("verifying_key", vkey)];
        let failure = keeper.load(&parts, None).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.detail);
    }
    let failure = keeper.load(&KEYS[..1], None).unwrap_err();
    assert_eq!(failure.code, Code::ProgramPartMissing);
    // The process is up all the same.
    keeper.load(&KEYS, None).unwrap();
    proves(keeper.job(WTNS), PUBLIC);
}

#[test]
fn unfit_inputs_have_their_codes_and_leave_the_process_up() {
    let mut keeper = Keeper::start("witness");
    keeper.load(&[("witness_generator", WASM)], None).unwrap();
    let Outcome::Failed(failure) =
        keeper.job(br#"{"a":[1,2,3,4,5,6],"b":1000,"c":[[0,0],[0,0]],"z":1}"#)
    else {
        panic!("an assertion that fails");
    };
    assert_eq!(failure.code, Code::ConstraintFailed);
    assert!(failure.detail.contains("line: 16"), "{}", failure.detail);

    let mut keeper = Keeper::start("prove");
    keeper.load(&KEYS, None).unwrap();
    let mut false_witness = WTNS.to_vec();
    false_witness[76 + 32] ^= 1;
    for (input, code) in [
        (false_witness.as_slice(), Code::WitnessUnsatisfied),
        (&WTNS[..100], Code::WtnsInvalid),
        (b"", Code::WtnsInvalid),
    ] {
        let outcome = keeper.job(input);
        assert!(
            matches!(&outcome, Outcome::Failed(f) if f.code == code),
            "{outcome:?}"
        );
        keeper.load(&KEYS, None).unwrap();
    }
    proves(keeper.job(WTNS), PUBLIC);
}

/// Invariant 4: what a job leaves in the memory of the process that stays warm
/// is nothing of its witness. A buffer that is kept between jobs, or freed with
/// neither its type nor the allocator wiping it, is found here. That the search
/// works is shown by the key's points, which must be found.
#[test]
fn a_warm_process_keeps_nothing_of_a_witness() {
    let limits = soundproof_prover_groth16::witgen::Limits::default();
    let program = soundproof_prover_groth16::witgen::Program::compile(WASM).unwrap();
    let input = format!(
        r#"{{"a":[{}],"b":"7","c":[[0,1],[1,0]],"z":"5"}}"#,
        (1u64..7)
            .map(|i| format!("\"{}\"", large(i)))
            .collect::<Vec<_>>()
            .join(",")
    );
    let file = program
        .instantiate(limits)
        .unwrap()
        .run(input.as_bytes(), limits)
        .unwrap();
    let witness = Witness::from_wtns(&file).unwrap();
    let mut needles = Vec::new();
    // From the public signals on: the rest is public with the proof.
    for element in &witness.as_slice()[3..] {
        let canonical = element.into_bigint().to_bytes_le();
        if canonical[16..].iter().any(|byte| *byte != 0) {
            needles.push(element.0.to_bytes_le());
            needles.push(canonical.iter().rev().copied().collect());
            needles.push(canonical);
        }
    }
    assert!(needles.len() >= 3 * 12);

    let mut keeper = Keeper::start("prove");
    keeper.load(&KEYS, None).unwrap();
    for _ in 0..3 {
        assert!(matches!(keeper.job(&file), Outcome::Result { .. }));
    }
    // One more answer: the process is past its wiping when it hears this.
    keeper.load(&KEYS, None).unwrap();
    let Some(memory) = memory_of(keeper.pid()) else {
        eprintln!("not root: another process's memory cannot be read here");
        return;
    };
    let found = |needle: &[u8]| memory.iter().any(|part| contains(part, needle));
    assert!(found(&h_point()), "the search finds what is there");
    for (index, needle) in needles.iter().enumerate() {
        assert!(!found(needle), "needle {index}");
    }
}

/// An x coordinate of the key's last section of points, as it stands in memory.
fn h_point() -> Vec<u8> {
    let at = (0..ZKEY.len() - 12)
        .find(|at| {
            ZKEY[*at..*at + 4] == 9u32.to_le_bytes()
                && ZKEY[*at + 4..*at + 12] == 1024u64.to_le_bytes()
        })
        .unwrap();
    ZKEY[at + 12..at + 44].to_vec()
}

/// A large number that is fixed by `seed`.
fn large(seed: u64) -> String {
    let element = Fr::from(seed + 1_000_003).pow([77]);
    element.into_bigint().to_string()
}

/// All writable memory of a process, or nothing if it may not be read.
fn memory_of(pid: u32) -> Option<Vec<Vec<u8>>> {
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut parts = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let to = u64::from_str_radix(to, 16).ok()?;
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            parts.push(bytes);
        }
    }
    Some(parts)
}

fn contains(part: &[u8], needle: &[u8]) -> bool {
    // Values lie on eight bytes in memory; a copy elsewhere need not.
    let Some(first) = needle.first() else {
        return false;
    };
    let mut rest = part;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}
