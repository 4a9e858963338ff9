//! `measure dstack` and `verify quote`.

use super::{home, json, soundproof};
use std::path::{Path, PathBuf};

const COMPOSE: &str =
    r#"{"manifest_version":2,"name":"n","runner":"docker-compose","public_logs":true}"#;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Real files, where they are there.
fn vector(path: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(path);
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    eprintln!("skipped 1: no capture {}", path.display());
    None
}

#[test]
fn a_deployment_is_measured_before_there_is_one() {
    let home = home();
    let compose = write(home.path(), "app-compose.json", COMPOSE);
    let output = soundproof(home.path(), &["--json", "measure", "dstack", &compose]);
    assert!(output.status.success(), "{output:?}");
    let short = json(&output);
    let hash = short["compose_hash"].as_str().unwrap();
    assert_eq!(short["app_id"], hash[..40]);
    assert_eq!(
        short["mr_config_id_v1"],
        format!("01{hash}{}", "0".repeat(30))
    );
    assert!(short.get("rtmr3").is_none());
    assert!(
        short["warnings"][0]
            .as_str()
            .unwrap()
            .contains("public_logs")
    );

    let whole = |more: &[&str]| {
        let mut arguments = vec!["--json", "measure", "dstack", &compose];
        let id = "1d".repeat(20);
        arguments.extend(["--instance-id", &id, "--key-provider", "kms"]);
        arguments.extend(["--key-provider-id", "3059"]);
        arguments.extend(more);
        let output = soundproof(home.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
        json(&output)["rtmr3"].clone()
    };
    let names = |report: &serde_json::Value| -> Vec<String> {
        let events = report["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let five = whole(&[]);
    assert_eq!(
        names(&five),
        [
            "system-preparing",
            "app-id",
            "compose-hash",
            "instance-id",
            "boot-mr-done",
            "key-provider",
            "storage-fs",
            "system-ready"
        ]
    );
    assert!(names(&whole(&["--guest", "0.6"])).contains(&"gpu-policy-hash".to_owned()));
    let four = whole(&["--guest", "0.4"]);
    assert!(!names(&four).contains(&"storage-fs".to_owned()));
    assert_ne!(five["rtmr3"], four["rtmr3"]);
    for bad in [
        vec!["--app-id", "00"],
        vec!["--key-provider-id", "00"],
        vec!["--release", "x"],
    ] {
        let mut arguments = vec!["measure", "dstack", &compose];
        arguments.extend(bad);
        assert_eq!(soundproof(home.path(), &arguments).status.code(), Some(2));
    }
}

#[test]
fn a_release_for_a_policy_is_written() {
    let home = home();
    let compose = write(home.path(), "app-compose.json", COMPOSE);
    let register = |byte: &str| byte.repeat(48);
    let image = format!(
        r#"{{"mrtd":"{}","rtmr0":"{}","rtmr1":"{}","rtmr2":"{}"}}"#,
        register("01"),
        register("02"),
        register("03"),
        register("04")
    );
    let image = write(home.path(), "image.json", &image);
    let sums = write(home.path(), "sha256sum.txt", "x\n");
    let arguments = [
        "measure",
        "dstack",
        &compose,
        "--image",
        &image,
        "--image-sums",
        &sums,
        "--release",
        "0.1.0",
    ];
    let output = soundproof(home.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("[[release]]\nname = \"0.1.0\"\n"),
        "{text}"
    );
    let policy = write(home.path(), "policy.toml", &text);
    let output = soundproof(home.path(), &["policy", "check", &policy]);
    assert!(output.status.success(), "{output:?}");
}

/// What the web's RTMR3 calculator does, offline: the register that the
/// hardware signed.
#[test]
fn a_real_guests_register_is_computed() {
    let (Some(quote), Some(compose)) = (
        vector("dstack/rtmr3-report.json"),
        vector("dstack/rtmr3-app-compose.json"),
    ) else {
        return;
    };
    let home = home();
    let explained = soundproof(
        home.path(),
        &[
            "--json",
            "verify",
            "quote",
            &quote,
            "--compose",
            &compose,
            "--explain",
        ],
    );
    assert!(explained.status.success(), "{explained:?}");
    let explained = json(&explained);
    let facts = &explained["verdict"]["facts"];
    let identity = &facts["identity"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let arguments: Vec<String> = vec![
        "--json".into(),
        "measure".into(),
        "dstack".into(),
        compose,
        "--guest".into(),
        "0.4".into(),
        "--instance-id".into(),
        text(&identity["instance_id"]),
        "--key-provider".into(),
        text(&identity["key_provider"]["name"]),
        "--key-provider-id".into(),
        text(&identity["key_provider"]["id"]),
        "--rootfs-hash".into(),
        text(&identity["rootfs_hash"]),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = json(&soundproof(home.path(), &arguments));
    assert_eq!(measured["rtmr3"]["rtmr3"], facts["measurements"]["rtmr3"]);
}

/// Without collateral nothing was verified, and the command says so; with a
/// policy it is a rejection.
#[test]
fn a_quote_without_collateral_does_not_hold() {
    let Some(quote) = vector("dstack/quote-report.json") else {
        return;
    };
    let home = home();
    let policy = write(
        home.path(),
        "policy.toml",
        "[platform.dstack]\nany_machine = true\nany_key_provider = true\n",
    );
    let sums = write(
        home.path(),
        "sha256sum.txt",
        &format!("{}  cert.pem\n", "00".repeat(32)),
    );
    let certificate = write(home.path(), "other.pem", "x");
    let arguments = [
        "verify",
        "quote",
        &quote,
        "--policy",
        &policy,
        "--sha256sum",
        &sums,
        "--certificate",
        &certificate,
    ];
    let output = soundproof(home.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "no signature was verified",
        "THE QUOTE DOES NOT HOLD",
        "report_data_mismatch",
        "other.pem is not in the list",
        "nobody's nonce",
        "no domain tag",
        "all four registers replay",
        "nobody vouches for it",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let garbage = write(home.path(), "quote.json", "[]");
    let output = soundproof(
        home.path(),
        &["verify", "quote", &garbage, "--policy", &policy],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
