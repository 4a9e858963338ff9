//! Azure's statement: runtime data, quote and registers hold one another.

use serde_json::{Value, json};
use soundproof_evidence::{
    azure::{RuntimeData, RuntimeError, Statement},
    fuzz::azure_statement,
    tpm::{Attest, AttestError, PcrError, Signature, SignatureError},
};
use soundproof_protocol::cbor::{self, Bytes};
use soundproof_testkit::{
    azure::Vm,
    x509::{FixedRsa, Key},
};

const EXTRA: [u8; 32] = [7; 32];

fn holds(statement: &Statement) -> bool {
    azure_statement(&cbor::to_vec(statement))
}

fn sound() -> Statement {
    Vm::default().statement(vec![1], &EXTRA)
}

#[test]
fn a_sound_statement_holds() {
    assert!(holds(&sound()));
    let vm = Vm::default();
    let attest = vm.attest(&EXTRA);
    let attest = Attest::parse(&attest).unwrap();
    assert_eq!(attest.extra_data, EXTRA);
    assert_eq!(attest.clock.reset_count, 3);
    assert!(attest.clock.safe);
    let registers: Vec<u8> = (0..24).collect();
    assert_eq!(attest.selections[0].registers, registers);
    let runtime = RuntimeData::parse(&vm.runtime_data()).unwrap();
    assert_eq!(runtime.report_data(), vm.report_data());
    assert_eq!(runtime.configuration().secure_boot, Some(true));
    assert_eq!(runtime.configuration().console_enabled, Some(false));
}

#[test]
fn another_key_did_not_quote() {
    let mut statement = sound();
    let other = Vm {
        key: Key::rsa(FixedRsa::Other),
        ..Vm::default()
    };
    statement.runtime_data = Bytes(other.runtime_data());
    assert!(!holds(&statement));
    let mut statement = sound();
    statement.signature = Bytes(other.sign(&statement.attest.0));
    assert!(!holds(&statement));
}

#[test]
fn registers_are_those_that_were_quoted() {
    let change = |change: &dyn Fn(&mut Statement)| {
        let mut statement = sound();
        change(&mut statement);
        holds(&statement)
    };
    assert!(!change(&|s| *s.pcrs.0.get_mut(&7).unwrap() = [0; 32]));
    assert!(!change(&|s| {
        s.pcrs.0.remove(&7);
    }));
    assert!(!change(&|s| {
        s.pcrs.0.insert(24, [0; 32]);
    }));
    assert!(!change(&|s| s.pcrs.0.clear()));
    // Two registers exchanged.
    assert!(!change(&|s| {
        let (a, b) = (s.pcrs.0[&0], s.pcrs.0[&1]);
        s.pcrs.0.insert(0, b);
        s.pcrs.0.insert(1, a);
    }));
    // A quote of the SHA-1 bank with the digest of these values.
    let vm = Vm::default();
    let mut attest = vm.attest(&EXTRA);
    let bank = attest.len() - 34 - 4 - 2;
    assert_eq!(attest[bank..bank + 3], [0, 0x0b, 3]);
    attest[bank + 1] = 4;
    let mut statement = sound();
    statement.signature = Bytes(vm.sign(&attest));
    let parsed = Attest::parse(&attest).unwrap();
    assert_eq!(statement.pcrs.check(&parsed), Err(PcrError::Bank));
    statement.attest = Bytes(attest);
    assert!(!holds(&statement));
}

#[test]
fn only_a_tpm_makes_quotes() {
    let parse = |vm: Vm| Attest::parse(&vm.attest(&EXTRA)).map(drop);
    assert_eq!(parse(Vm::default()), Ok(()));
    let magic = Vm {
        magic: 0,
        ..Vm::default()
    };
    assert_eq!(parse(magic), Err(AttestError::Magic(0)));
    // Of a key's creation, not of registers.
    let kind = Vm {
        kind: 0x801a,
        ..Vm::default()
    };
    assert_eq!(parse(kind), Err(AttestError::Type(0x801a)));
    let good = Vm::default().attest(&EXTRA);
    for len in 0..good.len() {
        assert!(Attest::parse(&good[..len]).is_err(), "cut at {len}");
    }
    assert!(Attest::parse(&[&good[..], &[0]].concat()).is_err());
    assert_eq!(
        Attest::parse(&vec![0; 5000]),
        Err(AttestError::TooLong(5000))
    );
}

#[test]
fn signatures_of_another_form_are_refused() {
    let vm = Vm::default();
    let good = vm.sign(b"x");
    assert!(Signature::parse(&good).is_ok());
    let with = |at: usize, value: u8| {
        let mut changed = good.clone();
        changed[at] = value;
        Signature::parse(&changed)
    };
    assert_eq!(with(1, 0x1a), Err(SignatureError::Scheme(0x1a))); // ECDAA
    assert_eq!(with(3, 0x04), Err(SignatureError::Hash(4))); // SHA-1
    assert_eq!(with(5, 1), Err(SignatureError::Framing("signature")));
    for len in 0..good.len() {
        assert!(Signature::parse(&good[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn runtime_data_are_read_strictly() {
    let good: Value = serde_json::from_slice(&Vm::default().runtime_data()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut data = good.clone();
        change(&mut data);
        RuntimeData::parse(data.to_string().as_bytes()).map(drop)
    };
    assert_eq!(with(&|_| ()), Ok(()));
    // Captures have "encrypt" too: it says nothing.
    assert_eq!(
        with(&|d| d["keys"][0]["key_ops"] = json!(["encrypt"])),
        Ok(())
    );
    assert_eq!(with(&|d| d["more"] = json!({"a": [1, 2]})), Ok(()));
    for change in [
        &(|d: &mut Value| d["keys"][0]["kid"] = "Other".into()) as &dyn Fn(&mut Value),
        &|d| d["keys"][1]["kid"] = "HCLAkPub".into(),
        &|d| d["keys"][0]["kty"] = "EC".into(),
        &|d| d["keys"][0]["e"] = "Aw".into(),
        &|d| d["keys"][0]["n"] = "AQAB".into(),
        &|d| d["keys"] = json!([]),
        &|d| d["keys"] = json!({}),
    ] {
        assert_eq!(with(change), Err(RuntimeError::Key));
    }
    assert_eq!(
        with(&|d| d["vm-configuration"] = json!(1)),
        Err(RuntimeError::Configuration)
    );
    for bad in [&b"[]"[..], b"{", b"", br#"{"keys":[],"keys":[]}"#] {
        assert_eq!(RuntimeData::parse(bad), Err(RuntimeError::Json));
    }
    assert_eq!(
        RuntimeData::parse(&vec![b' '; 20_000]),
        Err(RuntimeError::TooLong(20_000))
    );
}

/// Every byte of the statement but the hardware's is held by another part of
/// it, or by the hardware: the runtime data's by the report data alone.
#[test]
fn no_change_to_a_statement_is_accepted() {
    let vm = Vm::default();
    let statement = vm.statement(Vec::new(), &EXTRA);
    let bytes = cbor::to_vec(&statement);
    let mut tried = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        if azure_statement(&changed) {
            let other = Statement::from_slice(&changed).unwrap();
            assert_ne!(other.runtime_data, statement.runtime_data, "byte {at}");
            let runtime = RuntimeData::parse(&other.runtime_data.0).unwrap();
            assert_ne!(runtime.report_data(), vm.report_data());
        }
        assert!(!azure_statement(&bytes[..at]), "cut at {at}");
        tried += 2;
    }
    println!("{tried} changes to an Azure statement: accepted 0");
}
