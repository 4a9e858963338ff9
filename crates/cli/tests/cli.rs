//! The command from outside: names, exit codes, JSON, completions, and what
//! needs no server.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests, too

#[path = "cli/dstack.rs"]
mod dstack;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proofs/testdata");

fn soundproof(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_soundproof"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    serde_json::from_str(&text).unwrap()
}

fn testdata(name: &str) -> String {
    let path: PathBuf = Path::new(TESTDATA).join(name);
    path.to_str().unwrap().to_owned()
}

/// The names that scripts rely on.
#[test]
fn every_command_is_there() {
    let home = home();
    let help = |arguments: &[&str]| {
        let output = soundproof(home.path(), arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = |text: &str| -> Vec<String> {
        text.lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
            .map(str::to_owned)
            .filter(|name| name != "help")
            .collect()
    };
    assert_eq!(
        commands(&help(&["--help"])),
        [
            "serve",
            "prove",
            "connect",
            "verify",
            "jobs",
            "circuit",
            "policy",
            "measure",
            "explain",
            "collateral",
            "verifier",
            "doctor",
            "demo",
            "completions"
        ]
    );
    assert_eq!(
        commands(&help(&["verify", "--help"])),
        ["evidence", "quote", "proof", "receipt"]
    );
    assert_eq!(
        commands(&help(&["jobs", "--help"])),
        ["list", "watch", "fetch", "cancel", "delete"]
    );
    assert_eq!(commands(&help(&["circuit", "--help"])), ["add", "inspect"]);
    assert_eq!(commands(&help(&["policy", "--help"])), ["init", "check"]);
    assert_eq!(
        commands(&help(&["collateral", "--help"])),
        ["fetch", "show"]
    );
    assert_eq!(commands(&help(&["verifier", "--help"])), ["serve"]);
    let prove = help(&["prove", "--help"]);
    for flag in [
        "--url",
        "--policy",
        "--circuit",
        "--wasm",
        "--zkey",
        "--vkey",
        "--input",
        "--wtns",
        "--sp1",
        "--stdin",
        "--mode",
        "--verifying-key",
        "--acknowledge-not-hiding",
        "--cycle-limit",
        "--gas-limit",
        "--timeout",
        "--verifier",
        "--out",
        "--ticket",
        "--detach",
        "--json",
    ] {
        assert!(prove.contains(flag), "prove has no {flag}");
    }
}

/// Broken if the command had such a proof made unasked: it says what to add,
/// before it looks for a server or reads the program.
#[test]
fn a_mode_that_does_not_hide_must_be_acknowledged() {
    let home = home();
    let policy = home.path().join("policy.toml");
    std::fs::write(&policy, "").unwrap();
    for mode in ["core", "compressed"] {
        let output = soundproof(
            home.path(),
            &[
                "prove",
                "--url",
                "http://127.0.0.1:1",
                "--policy",
                policy.to_str().unwrap(),
                "--sp1",
                "/nowhere/a.elf",
                "--stdin",
                "/nowhere/stdin.bin",
                "--mode",
                mode,
                "--json",
            ],
        );
        assert_eq!(output.status.code(), Some(1));
        let error = &json(&output)["error"];
        assert_eq!(error["code"], "mode_not_hiding");
        let remedy = error["remedy"].as_str().unwrap();
        assert!(remedy.contains("--acknowledge-not-hiding"), "{remedy}");
    }
}

#[test]
fn usage_is_exit_code_2() {
    let home = home();
    for arguments in [
        &["nonsense"] as &[&str],
        &["prove"],
        &[
            "prove",
            "--url",
            "http://127.0.0.1:1",
            "--input",
            "a",
            "--wtns",
            "b",
        ],
        &["prove", "--detach", "--input", "a"],
        &["prove", "--sp1", "a", "--stdin", "b"],
        &["prove", "--sp1", "a", "--mode", "core"],
        &["prove", "--stdin", "b", "--mode", "core"],
        &["prove", "--sp1", "a", "--stdin", "b", "--mode", "stark"],
        &[
            "prove", "--sp1", "a", "--stdin", "b", "--mode", "core", "--input", "c",
        ],
        &[
            "prove", "--sp1", "a", "--stdin", "b", "--mode", "core", "--zkey", "c",
        ],
        &[
            "prove",
            "--sp1",
            "a",
            "--stdin",
            "b",
            "--mode",
            "groth16",
            "--verifying-key",
            "5a",
        ],
        &["prove", "--input", "c", "--acknowledge-not-hiding"],
        &["prove", "--url", "http://127.0.0.1:1", "--input", "a"],
        &["connect"],
        &["connect", "http://127.0.0.1:1"],
        &["connect", "http://127.0.0.1:1", "--listen", "7601"],
        &["jobs", "watch"],
        &["jobs", "cancel", "not-an-id"],
        &[
            "verify",
            "receipt",
            "/nonexistent",
            "--at",
            "yesterday",
            "--policy",
        ],
        &["demo"],
    ] {
        let output = soundproof(home.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn failures_are_three_lines_or_one_object() {
    let home = home();
    let arguments = [
        "verify",
        "proof",
        "--vkey",
        "/nonexistent",
        "--proof",
        "x",
        "--public",
        "y",
    ];
    let output = soundproof(home.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    let starts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(starts, ["error", "whose side", "what to do"]);

    let output = soundproof(home.path(), &[&["--json"], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let problem = &json(&output)["error"];
    assert_eq!(problem["code"], "file_unreadable");
    assert_eq!(problem["fault"], "client");
    assert_eq!(problem["retryable"], false);
    assert!(problem["remedy"].is_string() && problem["what"].is_string());
}

#[test]
fn proofs_are_verified_offline() {
    let home = home();
    let (vkey, proof, public) = (
        testdata("verification_key.json"),
        testdata("proof.json"),
        testdata("public.json"),
    );
    let arguments = [
        "--json", "verify", "proof", "--vkey", &vkey, "--proof", &proof, "--public", &public,
    ];
    let output = soundproof(home.path(), &arguments);
    assert!(output.status.success());
    assert_eq!(json(&output)["verified"], true);

    let wrong = home.path().join("public.json");
    let text = std::fs::read_to_string(&public).unwrap();
    std::fs::write(&wrong, text.replacen('"', "\"1", 1)).unwrap();
    let wrong = wrong.to_str().unwrap();
    let arguments = [
        "--json", "verify", "proof", "--vkey", &vkey, "--proof", &proof, "--public", wrong,
    ];
    let output = soundproof(home.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["error"]["code"], "proof_rejected");
}

#[test]
fn circuits_are_remembered_by_digest() {
    let home = home();
    let zkey = home.path().join("circuit.zkey");
    std::fs::write(&zkey, b"a proving key").unwrap();
    let (zkey, vkey) = (zkey.to_str().unwrap(), testdata("verification_key.json"));
    let add = [
        "--json", "circuit", "add", "mine", "--zkey", zkey, "--vkey", &vkey,
    ];
    let output = soundproof(home.path(), &add);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let inspect = ["--json", "circuit", "inspect", "mine"];
    let facts = json(&soundproof(home.path(), &inspect));
    assert_eq!(facts["changed"], false);
    assert_eq!(facts["parts"].as_array().unwrap().len(), 2);
    assert_eq!(facts["parts"][0]["role"], "proving_key");
    assert_eq!(facts["parts"][0]["bytes"], 13);
    let list = json(&soundproof(home.path(), &["--json", "circuit", "inspect"]));
    assert_eq!(list["circuits"][0], "mine");

    std::fs::write(zkey, b"another one").unwrap();
    assert_eq!(json(&soundproof(home.path(), &inspect))["changed"], true);
    // And it is not proved with.
    let policy = home.path().join("policy.toml");
    std::fs::write(&policy, "").unwrap();
    let prove = [
        "--json",
        "prove",
        "--url",
        "http://127.0.0.1:1",
        "--policy",
        policy.to_str().unwrap(),
        "--circuit",
        "mine",
        "--wtns",
        zkey,
    ];
    let output = soundproof(home.path(), &prove);
    assert_eq!(json(&output)["error"]["code"], "source_changed");
}

#[test]
fn an_empty_policy_says_that_it_accepts_nothing() {
    let home = home();
    let policy = home.path().join("policy.toml");
    std::fs::write(&policy, "").unwrap();
    let path = policy.to_str().unwrap();
    let output = soundproof(home.path(), &["--json", "policy", "check", path]);
    assert!(output.status.success());
    let why = json(&output)["accepts_nothing"].clone();
    assert_eq!(why.as_array().unwrap().len(), 4, "{why}");
    std::fs::write(&policy, "acept_everything = true").unwrap();
    let output = soundproof(home.path(), &["--json", "policy", "check", path]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["error"]["code"], "policy_invalid");
}

#[test]
fn a_server_that_is_not_there_is_the_hosts_fault() {
    let home = home();
    let output = soundproof(
        home.path(),
        &["--json", "doctor", "--url", "http://127.0.0.1:1"],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let report: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(report["healthy"], false);
    let output = soundproof(home.path(), &["--json", "doctor"]);
    assert_eq!(json(&output)["healthy"], true);
    let output = soundproof(
        home.path(),
        &["--json", "jobs", "list", "--url", "http://192.0.2.1"],
    );
    assert_eq!(json(&output)["error"]["code"], "url_refused");
}

#[test]
fn completions_for_every_shell() {
    let home = home();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = soundproof(home.path(), &["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("soundproof") && script.contains("receipt"),
            "{shell}"
        );
    }
}

/// The launch measurement is that of another implementation (sev-snp-measure).
#[test]
fn a_launch_is_measured_before_there_is_one() {
    let home = home();
    let firmware = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/measured/firmware"
    );
    let measure = |more: &[&str]| {
        let arguments = [
            "measure",
            "snp",
            firmware,
            "--vcpus",
            "1",
            "--cpu",
            "EPYC-Milan",
        ];
        soundproof(home.path(), &[&arguments, more].concat())
    };
    let expected = "947b8d818f83e283924a8f14ca6a9e5db1b81910352fe52a1868f0b789aabe7f54498e9eafcef26aed9400ba337522d5";
    assert_eq!(json(&measure(&["--json"]))["measurement"], expected);
    let release = String::from_utf8(measure(&["--release", "mine"]).stdout).unwrap();
    assert!(
        release.starts_with("[[release]]\nname = \"mine\"\n"),
        "{release}"
    );
    assert!(
        release.contains(&format!("measurement = \"{expected}\"")),
        "{release}"
    );
    let path = home.path().join("release.toml");
    std::fs::write(&path, release).unwrap();
    let check = soundproof(home.path(), &["policy", "check", path.to_str().unwrap()]);
    assert!(check.status.success(), "a policy can hold it: {check:?}");
    let none = soundproof(home.path(), &["measure", "nitro", firmware]);
    assert_eq!(none.status.code(), Some(2));
    let text = String::from_utf8(none.stderr).unwrap();
    assert!(text.contains("not an enclave image file"), "{text}");
}
