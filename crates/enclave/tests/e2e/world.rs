//! A running server, a client that trusts exactly it, and the small circuit.

use soundproof::{Client, ClientBuilder, Input, Policy, Program};
use soundproof_testkit::server::{ServerOptions, ServerProcess};
use std::path::{Path, PathBuf};

pub(crate) const MODULUS: &str =
    "21888242871839275222246405745257275088548364400416034343698204186575808495617";

pub(crate) struct World {
    pub(crate) server: ServerProcess,
    pub(crate) policy: Policy,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../provers/groth16/tests/data")
        .join(name)
}

/// `y = a[0] … a[5] · b + c[0][1] · c[1][0]`, z public and not zero.
pub(crate) fn small() -> Program {
    Program::circom(
        fixture("small.wasm"),
        fixture("small.zkey"),
        fixture("small.vkey.json"),
    )
    .unwrap()
}

pub(crate) fn input() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture("small.input.json")).unwrap()).unwrap()
}

/// An input with `a[0]` as given and random factors beside it, so that the
/// public product does not tell it.
pub(crate) fn input_with(secret: &str) -> serde_json::Value {
    let mut input = input();
    let factor = || {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_be_bytes(bytes).to_string()
    };
    input["a"] = serde_json::json!([secret, factor(), factor(), factor(), factor(), factor()]);
    input
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(&ServerOptions::default())
    }

    pub(crate) fn with(options: &ServerOptions) -> Self {
        let server = ServerProcess::start(options).unwrap();
        let policy = std::fs::read_to_string(server.policy().expect("a policy file")).unwrap();
        Self {
            server,
            policy: Policy::from_toml(&policy).unwrap(),
        }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(self.server.url(), self.policy.clone())
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub(crate) async fn prove(&self, input: &serde_json::Value) -> soundproof::Proven {
        self.client()
            .prove(&small(), Input::json(input))
            .await
            .unwrap()
    }
}

/// A circuit whose witness generator answers all that circom's would, and
/// never comes back from its initialisation for an input.
pub(crate) fn looping() -> Program {
    let wasm = wat::parse_str(
        r#"(module
        (memory (export "memory") 1)
        (data (i32.const 64) "\01\00\00\f0\93\f5\e1\43\91\70\b9\79\48\e8\33\28\5d\58\81\81\b6\45\50\b8\29\a0\31\e1\72\4e\64\30")
        (func (export "getVersion") (result i32) i32.const 2)
        (func (export "getFieldNumLen32") (result i32) i32.const 8)
        (func (export "getRawPrime"))
        (func (export "getSharedRWMemoryStart") (result i32) i32.const 64)
        (func (export "getWitnessSize") (result i32) i32.const 2)
        (func (export "getInputSize") (result i32) i32.const 100)
        (func (export "init") (param i32) (loop (br 0)))
        (func (export "getInputSignalSize") (param i32 i32) (result i32) i32.const 1)
        (func (export "setInputSignal") (param i32 i32 i32) (loop (br 0)))
        (func (export "getWitness") (param i32)))"#,
    );
    let zkey = std::fs::read(fixture("small.zkey")).unwrap();
    Program::circom(wasm.unwrap(), zkey, fixture("small.vkey.json")).unwrap()
}
