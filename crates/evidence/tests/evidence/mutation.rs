//! Real quotes with every byte changed in turn, and cut at every length:
//! nothing may be accepted that the hardware did not sign, and nothing may
//! crash. Prints one line a capture; the captures are not part of the
//! repository.
//!
//! A verdict takes milliseconds, so of the certificates every 16th byte is
//! changed only, and of what follows the quote every 256th; all of them with
//! `SOUNDPROOF_EVERY_BYTE=1`.
//!
//! What may change without being found is not signed, by the formats' own
//! words, and changes nothing that is judged:
//!
//! | range | why |
//! |---|---|
//! | after the quote's last byte | no part of it: firmware hands out a buffer of fixed size |
//! | PCK certificate chain, outside its base64 | PEM (RFC 7468): line ends, what stands around it |
//! | PCK certificate chain, the last certificate | the root: the one that is compiled in counts |

use crate::captured::{CAPTURES, capture, read};
use soundproof_evidence::{Policy, Verdict, examine, policy::observed, sgx, tdx};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
};
use std::time::{Duration, Instant};

struct Mutation {
    evidence: Evidence,
    endorsements: Endorsements,
    policy: Policy,
    now_ms: u64,
}

#[derive(Default)]
struct Tally {
    tried: usize,
    unsigned: Vec<usize>,
    slowest: Duration,
}

impl Mutation {
    fn judge(&self, statement: Vec<u8>) -> (Verdict, Duration) {
        let evidence = Evidence {
            statement: Bytes(statement),
            ..self.evidence.clone()
        };
        let start = Instant::now();
        let verdict = examine(
            &evidence,
            &self.endorsements,
            Some(&self.policy),
            None,
            self.now_ms,
        );
        (verdict, start.elapsed())
    }

    /// Where the quote ends, and where its certificate chain lies.
    fn layout(&self) -> (usize, usize) {
        let quote = &self.evidence.statement.0;
        let u32_at = |at: usize| u32::from_le_bytes(quote[at..at + 4].try_into().unwrap()) as usize;
        let auth = match quote[0] {
            3 => 48 + 384,
            4 => 48 + 584,
            _ => 54 + u32_at(50),
        };
        let end = auth + 4 + u32_at(auth);
        let pem = b"-----BEGIN CERTIFICATE-----";
        let chain = quote.windows(pem.len()).position(|at| at == pem).unwrap();
        (end, chain)
    }

    fn run(&self, name: &str) {
        let quote = self.evidence.statement.0.clone();
        let (end, chain) = self.layout();
        let (sound, _) = self.judge(quote.clone());
        assert!(sound.failures().next().is_none(), "{name}\n{sound}");
        let mut tally = Tally::default();
        let every_byte = std::env::var_os("SOUNDPROOF_EVERY_BYTE").is_some();
        let step = |at: usize| match at {
            _ if every_byte => 1,
            at if at >= end => 256,
            at if at >= chain => 16,
            _ => 1,
        };
        for at in (0..quote.len()).filter(|at| at % step(*at) == 0) {
            let mut changed = quote.clone();
            changed[at] ^= 1 << (at % 8);
            let (verdict, time) = self.judge(changed);
            tally.tried += 1;
            tally.slowest = tally.slowest.max(time);
            if verdict.failures().next().is_none() {
                // Nothing that is judged may have changed with it.
                assert_eq!(verdict.facts, sound.facts, "{name}: byte {at}");
                tally.unsigned.push(at);
            }
        }
        for len in (0..end).step_by(3) {
            let (verdict, time) = self.judge(quote[..len].to_vec());
            tally.tried += 1;
            tally.slowest = tally.slowest.max(time);
            assert!(verdict.failures().next().is_some(), "{name}: cut at {len}");
        }
        let text = &quote[chain..end];
        let last = chain
            + text
                .windows(11)
                .rposition(|at| at == b"-----BEGIN ")
                .unwrap();
        let wrong: Vec<_> = tally
            .unsigned
            .iter()
            .filter(|at| {
                let byte = quote[**at];
                let around = byte.is_ascii_whitespace() || byte == b'-' || byte == 0;
                !(**at >= end || **at >= last || (**at >= chain && around))
            })
            .collect();
        assert!(wrong.is_empty(), "{name}: signed bytes {wrong:?}");
        println!(
            "{name}: {} inputs, 0 accepted wrongly, {} changes of unsigned bytes, 0 crashes, slowest {:?}",
            tally.tried,
            tally.unsigned.len(),
            tally.slowest
        );
    }
}

#[test]
fn no_change_of_a_real_quote_is_accepted() {
    let captures = [
        (
            "tdx_quote",
            "tdx_quote_collateral.json",
            1_750_400_000_000_u64,
        ),
        (
            "tdx_quote_baremetal",
            "tdx_quote_baremetal_collateral.yaml",
            1_769_900_000_000,
        ),
        ("sgx_quote", "sgx_quote_collateral.json", 1_750_400_000_000),
    ];
    std::thread::scope(|scope| {
        for (name, collateral, now_ms) in captures {
            scope.spawn(move || mutate(name, collateral, now_ms));
        }
    });
}

fn mutate(name: &str, collateral: &str, now_ms: u64) {
    let Some((mut evidence, mut endorsements)) = capture(name, collateral) else {
        return;
    };
    if name == "sgx_quote" {
        evidence.platform = Platform::Sgx;
        endorsements.platform = Platform::Sgx;
    }
    let (platform, release) = observed(&evidence, &endorsements, None, name, now_ms).unwrap();
    let policy = Policy {
        platform,
        release: vec![release],
        ..Policy::default()
    };
    Mutation {
        policy,
        evidence,
        endorsements,
        now_ms,
    }
    .run(name);
}

/// Length fields of the framing at their extremes.
#[test]
fn no_length_of_a_real_quote_can_be_changed() {
    for name in CAPTURES {
        let Some(quote) = read(name) else {
            continue;
        };
        let is_sgx = name == "sgx_quote";
        let parses = |bytes: &[u8]| {
            if is_sgx {
                sgx::Quote::parse(bytes).is_ok()
            } else {
                tdx::Quote::parse(bytes).is_ok()
            }
        };
        assert!(parses(&quote));
        let u32_at = |at: usize| u32::from_le_bytes(quote[at..at + 4].try_into().unwrap()) as usize;
        let auth = match quote[0] {
            3 => 48 + 384,
            4 => 48 + 584,
            _ => 54 + u32_at(50),
        };
        let outer = if is_sgx { 0 } else { 6 };
        let qe_auth = auth + 4 + 128 + outer + 384 + 64;
        let qe_auth_len = u16::from_le_bytes([quote[qe_auth], quote[qe_auth + 1]]);
        let mut fields = vec![
            (auth, 4),
            (qe_auth, 2),
            (qe_auth + 2 + usize::from(qe_auth_len) + 2, 4),
        ];
        if !is_sgx {
            fields.push((auth + 4 + 128 + 2, 4));
        }
        if quote[0] == 5 {
            fields.push((50, 4));
        }
        for (at, size) in fields {
            let sound = &quote[at..at + size];
            for value in [0_u32, 1, 0xffff, 0x7fff_ffff, u32::MAX] {
                let bytes = &value.to_le_bytes()[..size];
                let mut changed = quote.clone();
                changed[at..at + size].copy_from_slice(bytes);
                assert!(
                    bytes == sound || !parses(&changed),
                    "{name}: {value} at {at}"
                );
            }
        }
    }
}
