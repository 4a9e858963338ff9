//! Figures of the service itself: sessions opened at once, and the time from
//! a job's acceptance to the keeper's start on it.
//!
//! `cargo run --release -p soundproof-enclave --example bench_service`
//! prints one line of JSON. The executables must be built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use soundproof::{
    Client, Input, JobOptions, Policy, Program,
    protocol::{
        api::{CBOR, OpenSession},
        cbor,
        id::Nonce,
        suite::Suite,
    },
};
use soundproof_testkit::server::{ServerOptions, ServerProcess};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const SESSIONS: usize = 1000;
const CONNECTIONS: usize = 16;
const QUOTE_MS: u64 = 50;
const JOBS: usize = 200;
const COLD: usize = 50;

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

fn summary(mut ms: Vec<f64>) -> serde_json::Value {
    ms.sort_by(f64::total_cmp);
    let at = |q| (quantile(&ms, q) * 1000.0).round() / 1000.0;
    serde_json::json!({"median_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0), "n": ms.len()})
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn server(quote_delay_ms: u64) -> ServerProcess {
    let env = vec![("RUST_LOG".into(), "warn".into())];
    ServerProcess::start(&ServerOptions {
        quote_delay_ms,
        env,
        ..ServerOptions::default()
    })
    .unwrap()
}

async fn sessions() -> serde_json::Value {
    let server = server(QUOTE_MS);
    // The daemon makes session keys ahead while nobody asks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let clients: Vec<reqwest::Client> = (0..CONNECTIONS)
        .map(|_| {
            reqwest::Client::builder()
                .http2_prior_knowledge()
                .build()
                .unwrap()
        })
        .collect();
    // Connections stand before the clock starts.
    for client in &clients {
        client
            .get(format!("{}/healthz", server.url()))
            .send()
            .await
            .unwrap();
    }
    let url = format!("{}/v1/sessions", server.url());
    let started = Instant::now();
    let tasks: Vec<_> = (0..SESSIONS)
        .map(|n| {
            let mut nonce = [0; 32];
            nonce[..8].copy_from_slice(&n.to_be_bytes());
            let open = OpenSession {
                version: 1,
                nonce: Nonce(nonce),
                suites: vec![Suite::XWing.code()],
                held: vec![],
            };
            let request = clients[n % CONNECTIONS]
                .post(&url)
                .header("content-type", CBOR)
                .body(cbor::to_vec(&open));
            tokio::spawn(async move {
                let sent = Instant::now();
                let reply = request.send().await.unwrap();
                assert!(reply.status().is_success(), "{}", reply.status());
                reply.bytes().await.unwrap();
                ms(sent.elapsed())
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.unwrap());
    }
    let elapsed = ms(started.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let text = clients[0]
        .get(format!("{}/metrics", server.url()))
        .send()
        .await
        .unwrap();
    let text = text.text().await.unwrap();
    let quotes = text
        .lines()
        .find(|line| line.contains("quotes") && !line.starts_with('#'))
        .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let p99_ms = server_p99_ms(&text);
    serde_json::json!({
        "sessions": SESSIONS, "connections": CONNECTIONS, "quote_ms": QUOTE_MS,
        "client_side": summary(times), "elapsed_ms": elapsed,
        "quotes": quotes, "quotes_allowed": (elapsed / QUOTE_MS as f64).floor() + 1.0,
        "request_read_to_reply_ready_p99_at_most_ms": p99_ms,
    })
}

/// Upper bound of the bucket that holds the gateway's own 99th percentile.
fn server_p99_ms(metrics: &str) -> Option<f64> {
    let bucket = |line: &str| {
        let rest = line.strip_prefix("soundproof_session_seconds_bucket{le=\"")?;
        let (bound, count) = rest.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
    };
    let buckets: Vec<_> = metrics.lines().filter_map(bucket).collect();
    let total = buckets.last()?.1;
    let found = buckets.iter().find(|(_, count)| *count >= 0.99 * total)?;
    Some((found.0 * 1e6).round() / 1e3)
}

async fn cold_and_queue() -> serde_json::Value {
    let server = server(0);
    let policy = std::fs::read_to_string(server.policy().unwrap()).unwrap();
    let client = Client::new(server.url(), Policy::from_toml(&policy).unwrap()).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../provers/groth16/tests/data");
    let program = Program::circom(
        fixtures.join("small.wasm"),
        fixtures.join("small.zkey"),
        fixtures.join("small.vkey.json"),
    )
    .unwrap();
    let input = Input::file(fixtures.join("small.input.json"));
    let (mut opening, mut verdict) = (Vec::new(), Vec::new());
    for _ in 0..COLD {
        client.forget_session().await;
        let proven = client
            .prove_with(&program, &input, &JobOptions::default(), Default::default())
            .await
            .unwrap();
        opening.push(ms(proven.timings.session + proven.timings.appraisal));
        verdict.push(ms(proven.timings.appraisal));
    }
    let mut queue = Vec::new();
    for _ in 0..JOBS {
        let proven = client.prove(&program, input.clone()).await.unwrap();
        queue.push(ms(proven.phase("queue")));
    }
    serde_json::json!({
        "cold_session_with_appraisal": summary(opening),
        "verdict": summary(verdict),
        "queue_hand_off": summary(queue),
    })
}

#[tokio::main]
async fn main() {
    let sessions = sessions().await;
    let service = cold_and_queue().await;
    println!(
        "{}",
        serde_json::json!({"sessions_at_once": sessions, "service": service})
    );
}
