//! A small circuit's real generator (tests/data/small.circom, circom 2.2), and
//! hostile ones written by hand.

use std::time::Duration;

use super::{Limits, Program, WitgenError};

const WASM: &[u8] = include_bytes!("../../tests/data/small.wasm");
const INPUT: &str = include_str!("../../tests/data/small.input.json");
const WTNS: &[u8] = include_bytes!("../../tests/data/small.wtns");

/// Generous in time: tests say what happens, not how fast.
fn limits() -> Limits {
    Limits {
        memory: 256 << 20,
        time: Duration::from_secs(120),
    }
}

fn run(input: &str) -> Result<Vec<u8>, WitgenError> {
    let generator = Program::compile(WASM)?.instantiate(limits())?;
    Ok(generator.run(input.as_bytes(), limits())?.to_vec())
}

/// The input with one top-level signal replaced, or taken out.
fn with(name: &str, value: Option<&str>) -> String {
    let mut input: serde_json::Value = serde_json::from_str(INPUT).unwrap();
    let object = input.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(name.into(), serde_json::from_str(value).unwrap()),
        None => object.remove(name),
    };
    input.to_string()
}

fn code(result: Result<Vec<u8>, WitgenError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn the_witness_is_snarkjs_witness_byte_by_byte() {
    assert_eq!(run(INPUT).unwrap(), WTNS);
}

#[test]
fn compiled_code_serves_a_later_process() {
    let derived = Program::compile(WASM).unwrap().to_derived().unwrap();
    let program = Program::from_derived(&derived).unwrap();
    for _ in 0..2 {
        let generator = program.instantiate(limits()).unwrap();
        let file = generator.run(INPUT.as_bytes(), limits()).unwrap();
        assert_eq!(file.as_slice(), WTNS);
    }
    assert_eq!(
        Program::from_derived(b"not compiled").unwrap_err(),
        WitgenError::DerivedInvalid
    );
    assert_eq!(
        Program::from_derived(&derived[..derived.len() / 2]).unwrap_err(),
        WitgenError::DerivedInvalid
    );
}

#[test]
fn each_unfit_input_has_its_code() {
    let r = r#""21888242871839275222246405745257275088548364400416034343698204186575808495617""#;
    let cases = [
        (with("b", None), "signal_missing"),
        (with("extra", Some("1")), "signal_unknown"),
        (with("a", Some("[1,2,3]")), "signal_length"),
        (with("a", Some("[1,2,3,4,5,6,7]")), "signal_length"),
        (with("b", Some("[]")), "signal_length"),
        (with("b", Some(r#""seven""#)), "signal_not_number"),
        (with("b", Some(r)), "signal_out_of_field"),
        ("[]".to_owned(), "input_malformed"),
        ("{}".to_owned(), "signal_missing"),
    ];
    for (input, expected) in cases {
        assert_eq!(code(run(&input)), expected, "{input}");
    }
}

/// The circuit's line is in the detail, which is for the sealed outcome; the
/// texts that reach logs must not differ by witness (invariant 3). Were the
/// detail part of them, the last assertion would fail.
#[test]
fn a_failed_assertion_names_the_circuit_line_in_the_detail_only() {
    for (name, value) in [("b", "1000"), ("c", "[[2,0],[0,0]]"), ("z", "0")] {
        let error = run(&with(name, Some(value))).unwrap_err();
        assert_eq!(error.code(), "constraint_failed");
        let detail = error.detail().unwrap().expose();
        assert!(
            detail.contains("Error in template Small_0 line:"),
            "{detail}"
        );
        assert!(!format!("{error} {error:?}").contains("Small_0"));
    }
}

// Hostile and foreign modules: each changes one thing in a frame that is
// accepted.

/// The frame with `extra` before the rest (imports), and what the setting of an
/// input does.
fn circom(extra: &str, set_input: &str) -> Vec<u8> {
    let set = "(param i32 i32 i32)";
    let text = wasm_text()
        .replacen("(module", &format!("(module {extra}"), 1)
        .replacen(set, &format!("{set} {set_input}"), 1);
    wat::parse_str(text).unwrap()
}

fn hostile(wasm: &[u8], limits: Limits) -> &'static str {
    let outcome = Program::compile(wasm)
        .and_then(|program| program.instantiate(limits))
        .and_then(|generator| generator.run(br#"{"x":1}"#, limits));
    outcome.map_or_else(|error| error.code(), |_| "ok")
}

fn short() -> Limits {
    Limits {
        memory: 16 << 20,
        time: Duration::from_millis(200),
    }
}

#[test]
fn the_frame_of_these_tests_is_accepted() {
    assert_eq!(hostile(&circom("", "nop"), limits()), "ok");
}

#[test]
fn no_wasm_is_no_wasm() {
    let good = circom("", "nop");
    for bytes in [
        b"".as_slice(),
        b"\0asm",
        b"#!/bin/sh",
        &good[..good.len() - 3],
    ] {
        assert_eq!(hostile(bytes, limits()), "wasm_invalid");
    }
    let mut flipped = WASM.to_vec();
    flipped[4] = 9;
    assert_eq!(hostile(&flipped, limits()), "wasm_invalid");
}

#[test]
fn only_circoms_imports_are_linked() {
    for import in [
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        r#"(import "runtime" "open" (func (param i32)))"#,
        r#"(import "runtime" "exceptionHandler" (func (param i64)))"#,
        r#"(import "runtime" "exceptionHandler" (func (param i32) (result i32)))"#,
        r#"(import "env" "exceptionHandler" (func (param i32)))"#,
        r#"(import "runtime" "exceptionHandler" (global i32))"#,
        r#"(import "runtime" "t" (table 1 funcref))"#,
    ] {
        assert_eq!(
            hostile(&circom(import, "nop"), limits()),
            "wasm_forbidden_import"
        );
    }
    let all = r#"
        (import "runtime" "exceptionHandler" (func (param i32)))
        (import "runtime" "printErrorMessage" (func))
        (import "runtime" "writeBufferMessage" (func))
        (import "runtime" "showSharedRWMemory" (func))"#;
    assert_eq!(hostile(&circom(all, "nop"), limits()), "ok");
}

#[test]
fn circom_1_and_other_modules_are_told_apart() {
    let one = r#"(module (import "env" "memory" (memory 1))
        (func (export "getFrLen") (result i32) i32.const 40)
        (func (export "init") (param i32)))"#;
    assert_eq!(
        hostile(&wat::parse_str(one).unwrap(), limits()),
        "wasm_circom1"
    );
    let empty = wat::parse_str("(module)").unwrap();
    assert_eq!(hostile(&empty, limits()), "wasm_not_circom");
    let three = wat_replacing(
        r#""getVersion") (result i32) i32.const 2"#,
        "i32.const 2",
        "i32.const 3",
    );
    assert_eq!(hostile(&three, limits()), "wasm_not_circom");
    let field = wat_replacing(r#"(data (i32.const 64) "\01"#, "\\01", "\\03");
    assert_eq!(hostile(&field, limits()), "wasm_wrong_field");
    let words = wat_replacing(
        r#""getFieldNumLen32") (result i32) i32.const 8"#,
        "const 8",
        "const 4",
    );
    assert_eq!(hostile(&words, limits()), "wasm_wrong_field");
    let outside = wat_replacing(
        r#""getSharedRWMemoryStart") (result i32) i32.const 64"#,
        "const 64",
        "const -1",
    );
    assert_eq!(hostile(&outside, limits()), "wasm_not_circom");
}

/// The frame with `from` replaced inside the first place where `at` stands.
fn wat_replacing(at: &str, from: &str, to: &str) -> Vec<u8> {
    let text = wasm_text();
    assert!(text.contains(at), "{at}");
    let replaced = at.replacen(from, to, 1);
    wat::parse_str(text.replacen(at, &replaced, 1)).unwrap()
}

/// A module with circom 2's exports for a circuit of one input and a witness of
/// two elements, that answers nothing useful.
fn wasm_text() -> String {
    r#"(module
        (memory (export "memory") 1)
        (data (i32.const 64) "\01\00\00\f0\93\f5\e1\43\91\70\b9\79\48\e8\33\28\5d\58\81\81\b6\45\50\b8\29\a0\31\e1\72\4e\64\30")
        (func (export "getVersion") (result i32) i32.const 2)
        (func (export "getFieldNumLen32") (result i32) i32.const 8)
        (func (export "getRawPrime"))
        (func (export "getSharedRWMemoryStart") (result i32) i32.const 64)
        (func (export "getWitnessSize") (result i32) i32.const 2)
        (func (export "getInputSize") (result i32) i32.const 1)
        (func (export "init") (param i32))
        (func (export "getInputSignalSize") (param i32 i32) (result i32) i32.const 1)
        (func (export "setInputSignal") (param i32 i32 i32))
        (func (export "getWitness") (param i32)))"#
        .to_owned()
}

/// Invariant 9: what loops for ever ends, wherever it loops. Without the epoch
/// this test never ends.
#[test]
fn code_that_loops_for_ever_ends() {
    assert_eq!(
        hostile(&circom("", "(loop (br 0))"), short()),
        "witness_timeout"
    );
    let text = wasm_text();
    let start = text.replacen("(memory", "(func $s (loop (br 0))) (start $s) (memory", 1);
    assert_eq!(
        hostile(&wat::parse_str(start).unwrap(), short()),
        "witness_timeout"
    );
    for at in [
        r#"(export "getVersion") (result i32)"#,
        r#"(export "init") (param i32)"#,
        r#"(export "getWitness") (param i32)"#,
    ] {
        let looping = text.replacen(at, &format!("{at} (loop (br 0))"), 1);
        assert_eq!(
            hostile(&wat::parse_str(looping).unwrap(), short()),
            "witness_timeout",
            "{at}"
        );
    }
    // Endless recursion ends by its stack.
    let recursion = text.replacen("(memory", "(func $s (call $s)) (start $s) (memory", 1);
    assert_eq!(
        hostile(&wat::parse_str(recursion).unwrap(), limits()),
        "witness_trapped"
    );
}

/// Invariant 9: memory is bounded. Without the limiter the first two succeed.
#[test]
fn code_that_takes_memory_is_stopped() {
    let text = wasm_text();
    let four_gib = text.replacen(r#""memory") 1"#, r#""memory") 65536"#, 1);
    assert_eq!(
        hostile(&wat::parse_str(four_gib).unwrap(), short()),
        "witness_memory_limit"
    );
    let grow = "(drop (memory.grow (i32.const 65535))) unreachable";
    assert_eq!(hostile(&circom("", grow), short()), "witness_memory_limit");
    let table = text.replacen("(memory", "(table 100000000 funcref) (memory", 1);
    assert_eq!(
        hostile(&wat::parse_str(table).unwrap(), short()),
        "witness_memory_limit"
    );
    // Sizes that the generator only claims.
    for (size, claim) in [("getWitnessSize", "const 2"), ("getInputSize", "const 1")] {
        let at = format!(r#""{size}") (result i32) i32.{claim}"#);
        let claims = wat_replacing(&at, claim, "const -1");
        assert_eq!(hostile(&claims, short()), "witness_memory_limit", "{size}");
    }
}

#[test]
fn crashes_and_endless_messages_are_contained() {
    assert_eq!(
        hostile(&circom("", "unreachable"), limits()),
        "witness_trapped"
    );
    let stray = "(i32.store (i32.const 0x7fffffff) (i32.const 1))";
    assert_eq!(hostile(&circom("", stray), limits()), "witness_trapped");
    // A message that never ends, printed for ever, then an assertion.
    let talk = r#"(module
        (import "runtime" "exceptionHandler" (func $raise (param i32)))
        (import "runtime" "printErrorMessage" (func $print))
        (func (export "getMessageChar") (result i32) i32.const 65)"#;
    let body = "(local $n i32) (loop (call $print)
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100))))
        (call $raise (i32.const 4))";
    let text = wasm_text().replacen("(module", talk, 1).replacen(
        "(param i32 i32 i32)",
        &format!("(param i32 i32 i32) {body}"),
        1,
    );
    let wasm = wat::parse_str(text).unwrap();
    let program = Program::compile(&wasm).unwrap();
    let error = program
        .instantiate(limits())
        .unwrap()
        .run(br#"{"x":1}"#, limits())
        .unwrap_err();
    assert_eq!(error.code(), "constraint_failed");
    assert!(error.detail().unwrap().expose().len() <= super::SecretDetail::MAX);
}
