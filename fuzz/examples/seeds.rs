//! Writes the seeds: for each target at least one input that its parser
//! accepts, so that a fuzzer starts behind the first length check. Run it again
//! when a format changes:
//!
//!     cargo run --manifest-path fuzz/Cargo.toml --example seeds
//!
//! from the repository's root; `seeds/` is committed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use serde_json::json;
use soundproof_attester::software::{Measured, Options, SoftwarePlatform};
use soundproof_evidence::{Policy, dstack::Version};
use soundproof_fuzz::{Job, NOW_MS, description, receipt_key, signing_key};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{CreateJob, OpenSession, SessionOpened},
    attestation::Role,
    cbor::{self, Bytes},
    digest::Digest,
    error::{Code, Failure},
    id::Nonce,
    link::{Frame, GatewayAsks, GatewayPieces, KeeperAnswers, KeeperPulls, KeeperStatus, Refusal},
    outcome::{End, Outcome, PhaseTime, Proved},
    receipt::{Bundle, Holder, Receipt, SessionEvidence},
    suite::Suite,
    ticket::{AccessSecret, OutcomeKey, Ticket},
    transcript::Transcript,
};
use soundproof_prover::wire::{
    Done, Form, Need, Output, OutputKind, Part, Progress, ToKeeper, ToProver, write_data,
    write_message,
};
use soundproof_sp1_network::wire::{AuctionBody, BaseBody, Signed};
use soundproof_testkit::{
    azure::Vm,
    ccel::LogBuilder,
    dstack::{COMPOSE, Guest},
    gpu::GpuPki,
    jwt,
    pki::Pki,
    session as testkit,
    sgx::Enclave,
};
use std::{error::Error, fs, io, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let (session, policy) = session()?;
    evidence(&session)?;
    collateral(&session)?;
    verifier(&session)?;
    beside()?;
    platforms()?;
    vendors()?;
    put("policy", "empty.toml", b"# Accepts nothing.\n")?;
    put("policy", "software.toml", policy.to_toml()?.as_bytes())?;
    protocol(session)?;
    prover()?;
    sp1()?;
    attester()?;
    files()?;
    Ok(())
}

/// What fakes of the interfaces answer; the first byte says which reader.
fn attester() -> io::Result<()> {
    use soundproof_testkit::fakes::{configfs, nsm, tpm};
    let http = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let certificates = configfs::certificate_table(b"vcek", b"ask", b"ark");
    let hcl = tpm::hcl_report(false, &tpm::td_report(&tpm::vouching(b"{}")), b"{}");
    let document = nsm::unsigned_document(&[0; 64]);
    let mut answer = b"\xa1\x6bAttestation\xa1\x68document\x59".to_vec();
    answer.extend((document.len() as u16).to_be_bytes());
    answer.extend(&document);
    let tpm = [0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x8b];
    let seeds: [(&str, &[u8]); 6] = [
        ("http", http),
        ("certificates", &certificates),
        ("hcl", &hcl),
        ("document", &document),
        ("nsm", &answer),
        ("tpm", &tpm),
    ];
    for (reader, (name, bytes)) in (0_u8..).zip(seeds) {
        put("attester", name, &[&[reader], bytes].concat())?;
    }
    Ok(())
}

fn seeds() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn put(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = seeds().join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// A verifier's requests, in both forms.
fn verifier(session: &SessionEvidence) -> Result<(), Box<dyn Error>> {
    let transcript = Transcript::from_slice(&session.transcript.0)?;
    let root = session.path.root_from(&transcript.leaf());
    let root = hex::encode(root.ok_or("the path is not of this leaf")?.0);
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let of_session = json!({
        "policy": "ours",
        "audience": "us",
        "nonce": hex::encode(transcript.nonce.0),
        "session": base64(&cbor::to_vec(session)),
    });
    let of_evidence = json!({
        "policy": "ours",
        "audience": "us",
        "nonce": root,
        "root": root,
        "evidence": base64(&cbor::to_vec(&session.evidence)),
        "endorsements": base64(&cbor::to_vec(&session.endorsements)),
        "trust": base64(&session.trust.0),
    });
    put(
        "verifier_request",
        "session.json",
        of_session.to_string().as_bytes(),
    )?;
    put(
        "verifier_request",
        "evidence.json",
        of_evidence.to_string().as_bytes(),
    )?;
    Ok(())
}

/// What stands beside a processor's own evidence.
fn beside() -> io::Result<()> {
    let gpu = GpuPki::sound(NOW_MS / 1000);
    let nonce = [7; 32];
    put("gpu_evidence", "one", &gpu.evidence(&nonce).0)?;
    put("rim_xml", "driver.xml", &gpu.manifests()[0].sign(&gpu))?;
    for (index, answer) in gpu.answers().iter().take(1).enumerate() {
        put("ocsp", &index.to_string(), &answer.sign())?;
    }
    let result = gpu.result(&nonce).to_string();
    put("nras", "one.json", result.as_bytes())?;
    let token = jwt::sign("a", &gpu.claims(&nonce), &gpu.service);
    put("jwt", "one", token.as_bytes())?;
    put(
        "jwt",
        "keys.json",
        jwt::jwks(&[("a", &gpu.service)]).as_bytes(),
    )?;

    let vm = Vm::default();
    let attest = vm.attest(&nonce);
    put("tpm_attest", "quote", &attest)?;
    put("tpm_attest", "signature", &vm.sign(&attest))?;
    put("azure_statement", "one", &vm.encoded(vec![1; 4], &nonce))
}

fn protocol(session: SessionEvidence) -> io::Result<()> {
    let job = Job::new();
    let transcript = session.transcript.0.clone();
    put("transcript", "one", &transcript)?;
    put("trust", "one", &session.trust.0)?;
    put("description", "one", &cbor::to_vec(&job.description))?;
    let header = cbor::to_vec(&job.header);
    put("sealed_header", "one", &header)?;
    put("open_header", "one", &header)?;
    put("open_chunk", "one", &[&[0][..], &job.chunk].concat())?;
    put("open_outcome", "one", &job.outcome)?;

    let receipt = receipt(&job);
    put("receipt", "payload", &cbor::to_vec(&receipt))?;
    let signed = receipt.sign(&signing_key());
    put("receipt", "signed", &signed)?;
    put(
        "receipt",
        "key-and-signed",
        &[receipt_key(), signed.clone()].concat(),
    )?;
    for (name, end) in [
        (
            "failed",
            End::Failed(Failure::new(Code::ConstraintFailed, "line 7")),
        ),
        ("proved", End::Proved(proved(&signed))),
    ] {
        let outcome = Outcome {
            version: PROTOCOL_VERSION,
            job: job.description.job,
            description: job.description.digest(),
            end,
        };
        put("outcome", name, &cbor::to_vec(&outcome))?;
    }
    let bundle = Bundle {
        version: PROTOCOL_VERSION,
        receipt: Bytes(signed),
        receipt_key: Bytes(receipt_key()),
        session: session.clone(),
    };
    put("bundle", "one", &cbor::to_vec(&bundle))?;
    let ticket = Ticket {
        version: PROTOCOL_VERSION,
        url: "http://127.0.0.1:1".into(),
        description: Bytes(cbor::to_vec(&job.description)),
        outcome_key: OutcomeKey([1; 32]),
        access_secret: AccessSecret([2; 32]),
        sealed_input: Digest([3; 32]),
        commitment: job.header.commitment,
        session: session.clone(),
    };
    put("ticket", "one", &cbor::to_vec(&ticket))?;

    let open = OpenSession {
        version: PROTOCOL_VERSION,
        nonce: Nonce([4; 32]),
        suites: vec![Suite::XWing.code(), Suite::X25519.code()],
        held: vec![Digest([6; 32])],
    };
    put("open_session", "one", &cbor::to_vec(&open))?;
    let create = CreateJob {
        description: Bytes(cbor::to_vec(&job.description)),
        header: Bytes(header.clone()),
        part_chunks: 8,
        input: Some(Bytes(job.chunk.clone())),
    };
    put("create_job", "inline", &cbor::to_vec(&create))?;
    let opened = SessionOpened {
        transcript: session.transcript,
        path: session.path,
        evidence: session.evidence,
        endorsements_digest: session.endorsements.digest(),
        endorsements: Some(session.endorsements),
        trust: session.trust,
        seal_key: Bytes(vec![1; 32]),
        receipt_key: Bytes(receipt_key()),
    };
    put("session_opened", "one", &cbor::to_vec(&opened))?;
    link(&job, open, opened)
}

/// The SP1 SDK's messages, as its own encoder makes them.
fn sp1() -> io::Result<()> {
    let base = BaseBody {
        nonce: 150,
        vk_hash: vec![0x11; 32],
        version: "sp1-v6.1.0".into(),
        mode: 2,
        strategy: 2,
        stdin_uri: "stdins/test".into(),
        deadline: 1_800_000_000,
        cycle_limit: 100_000,
        gas_limit: 200_000,
        min_auction_period: 30,
        whitelist: vec![vec![0x22; 20], vec![0x33; 20]],
        stdin_private: true,
    };
    let auction = AuctionBody {
        nonce: 150,
        vk_hash: vec![0x11; 32],
        version: "sp1-v6.1.0".into(),
        mode: 2,
        strategy: 2,
        stdin_uri: "stdins/test".into(),
        deadline: 1_800_000_000,
        cycle_limit: 100_000,
        gas_limit: 200_000,
        min_auction_period: 30,
        whitelist: vec![vec![0x22; 20], vec![0x33; 20]],
        domain: vec![0x44; 32],
        auctioneer: vec![0x55; 20],
        executor: vec![0x66; 20],
        verifier: vec![0x77; 20],
        public_values_hash: Some(vec![0x88; 32]),
        base_fee: "123".into(),
        max_price_per_pgu: "456".into(),
        variant: 1,
        treasury: vec![0x99; 20],
        stdin_private: true,
    };
    let base = base.encode_to_vec();
    // By the key 0x01…01 over the base body.
    let signature = SIGNATURE.to_vec();
    put("sp1_request", "base", &base)?;
    put("sp1_request", "auction", &auction.encode_to_vec())?;
    put("sp1_signature", "one", &[&signature[..], &base].concat())?;
    let signed = Signed {
        format: 1,
        signature,
        body: Some(base),
    };
    put("sp1_request", "signed", &signed.encode_to_vec())?;

    let elf = b"\x7fELF that is short";
    let raw = [&(elf.len() as u64).to_le_bytes()[..], elf].concat();
    put("sp1_elf", "raw", &raw)?;
    // A frame of one block that is not compressed.
    let len = u8::try_from(raw.len()).map_err(io::Error::other)?;
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0x20, len, len << 3 | 1, len >> 5, 0];
    put("sp1_elf", "zstd", &[&head[..], &raw].concat())
}

const SIGNATURE: [u8; 65] = [
    0x89, 0x80, 0xb0, 0xec, 0x55, 0x3f, 0xbe, 0xff, 0x63, 0x09, 0xa1, 0x29, 0x3f, 0xa3, 0xc6, 0xf6,
    0x58, 0xf9, 0xb3, 0xa2, 0xd4, 0x3d, 0x0b, 0xea, 0xff, 0xc8, 0xd8, 0xf7, 0x90, 0x74, 0xd2, 0xb7,
    0x50, 0xa0, 0x15, 0xf2, 0x50, 0x3f, 0x85, 0xb0, 0xcb, 0x96, 0xdf, 0x8a, 0xca, 0x55, 0xa3, 0x46,
    0x75, 0x42, 0x7d, 0x0a, 0xd9, 0xba, 0x3c, 0x76, 0x1c, 0x2b, 0x57, 0x95, 0xcf, 0x61, 0xc0, 0x76,
    0x1c,
];

fn link(job: &Job, open: OpenSession, opened: SessionOpened) -> io::Result<()> {
    let id = job.description.job;
    let bytes = || Bytes(vec![5; 40]);
    let refusal = Refusal {
        code: Code::KeyLost,
        detail: Some("why".into()),
    };
    let frames = [
        Frame::Ask(1, GatewayAsks::Hello(Some(Digest([1; 32])))),
        Frame::Ask(
            2,
            GatewayAsks::OpenSession {
                open,
                unappraised: false,
            },
        ),
        Frame::Ask(
            3,
            GatewayAsks::Admit {
                description: bytes(),
                header: bytes(),
            },
        ),
        Frame::Ask(
            4,
            GatewayAsks::Run {
                job: id,
                attempt: 1,
                queued_us: 9,
            },
        ),
        Frame::Ask(5, GatewayAsks::Holds(vec![id])),
        Frame::Answer(2, KeeperAnswers::Session(Box::new(opened))),
        Frame::Answer(3, KeeperAnswers::Refused(refusal)),
        Frame::Answer(6, KeeperAnswers::Status(KeeperStatus::default())),
        Frame::Pull(1, KeeperPulls::Chunk { job: id, index: 0 }),
        Frame::Pull(
            2,
            KeeperPulls::Blob {
                digest: Digest([2; 32]),
                offset: 0,
            },
        ),
        Frame::Piece(
            1,
            GatewayPieces::Bytes {
                bytes: bytes(),
                total: 40,
            },
        ),
        Frame::Piece(2, GatewayPieces::Missing(Code::Internal)),
    ];
    for (index, frame) in frames.iter().enumerate() {
        put("link_frame", &index.to_string(), &frame.to_vec())?;
    }
    Ok(())
}

/// A session whose evidence is accepted by the policy, which becomes a seed of
/// its own.
fn session() -> Result<(SessionEvidence, Policy), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("soundproof-seeds-{}", std::process::id()));
    let measured = Measured {
        soundproofd: Digest([1; 32]),
        provers: vec![Digest([0xe1; 32])],
    };
    let platform = SoftwarePlatform::open_or_create(&folder, &measured, Options::default(), NOW_MS);
    fs::remove_dir_all(&folder)?;
    let platform = platform?;
    let trust = testkit::trust();
    let transcript = testkit::transcript(Nonce([4; 32]), &trust);
    let session = testkit::attest(&platform, &transcript, &trust, 1, 3)?;
    let policy = platform.policy("seed", &trust)?;
    let verdict = soundproof_evidence::fuzz::session(&cbor::to_vec(&session), &policy, NOW_MS);
    let accepted = verdict.ok_or("the session does not decode")?.accept();
    accepted.map_err(|rejected| rejected.to_string())?;
    Ok((session, policy))
}

fn receipt(job: &Job) -> Receipt {
    Receipt {
        version: PROTOCOL_VERSION,
        job: job.description.job,
        description: job.description.digest(),
        system: "groth16".into(),
        mode: "groth16".into(),
        parts: description().parts,
        public_values: Digest([1; 32]),
        proof: Digest([2; 32]),
        sealed_input: Digest([3; 32]),
        commitment: job.header.commitment,
        prover_version: "0.1.0".into(),
        prover_executable: Digest([4; 32]),
        verified: true,
        client_appraised: true,
        holders: vec![Holder {
            role: Role::Keeper,
            evidence: Digest([5; 32]),
            trust: Digest([6; 32]),
            integrity_start: vec!["seccomp".into()],
            integrity_end: vec!["seccomp".into()],
        }],
        claimed_start_ms: NOW_MS,
        claimed_end_ms: NOW_MS + 100,
        verifying_key: None,
    }
}

fn proved(signed: &[u8]) -> Proved {
    Proved {
        proof: Bytes(b"{}".to_vec()),
        public_values: Bytes(b"[\"1\"]".to_vec()),
        receipt: Bytes(signed.to_vec()),
        receipt_key: Bytes(receipt_key()),
        phases: vec![PhaseTime {
            phase: "prove".into(),
            us: 100_000,
        }],
    }
}

fn prover() -> io::Result<()> {
    let mut stream = Vec::new();
    let part = Part {
        digest: Digest([1; 32]),
        form: Form::Source,
        len: 3,
    };
    let told = [ToProver::Part(part.clone()), ToProver::End, ToProver::Cut];
    let said = [
        ToKeeper::Need(Need {
            digest: Digest([1; 32]),
            form: Form::Derived,
        }),
        ToKeeper::Derived(part),
        ToKeeper::Ready,
        ToKeeper::Progress(Progress {
            phase: "prove".into(),
            permille: 500,
        }),
        ToKeeper::Output(Output {
            kind: OutputKind::Proof,
            len: 3,
        }),
        ToKeeper::Done(Done {
            verified: true,
            verifying_key: None,
        }),
        ToKeeper::Failed(Failure::new(Code::TimeLimit, "detail")),
    ];
    for message in &told {
        write_message(&mut stream, message).map_err(io::Error::other)?;
    }
    write_data(&mut stream, b"abc").map_err(io::Error::other)?;
    for message in &said {
        write_message(&mut stream, message).map_err(io::Error::other)?;
    }
    put("prover_frame", "stream", &stream)
}

fn evidence(session: &SessionEvidence) -> io::Result<()> {
    put("session_evidence", "one", &cbor::to_vec(session))?;
    put("quote", "v4", &session.evidence.statement.0)?;
    let evidence = cbor::to_vec(&session.evidence);
    let endorsements = cbor::to_vec(&session.endorsements);
    let len = (evidence.len() as u32).to_le_bytes();
    put(
        "evidence",
        "one",
        &[&len[..], &evidence, &endorsements].concat(),
    )
}

/// What sources of endorsements answer, and endorsements in files; of an
/// answer, the first byte says which.
fn collateral(session: &SessionEvidence) -> Result<(), Box<dyn Error>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use soundproof_collateral::{Bundle, fuzz};
    use soundproof_evidence::snp::Product;
    use soundproof_testkit::{snp::Chip, x509::pem};
    let dcap = &session.endorsements.body.0;
    put("collateral_file", "dcap.json", dcap)?;
    let bundle = Bundle::from_slice(dcap)?.to_vec();
    put("collateral_file", "bundle", &bundle)?;
    let parts: serde_json::Value = serde_json::from_slice(dcap)?;
    let part = |name: &str| parts[name].as_str().unwrap_or_default().to_owned();
    let signed = |outer: &str, name: &str| {
        let (body, signature) = (part(name), part(&format!("{name}_signature")));
        format!("{{\"{outer}\":{body},\"signature\":\"{signature}\"}}").into_bytes()
    };
    let with_chain = |name: &str, body: Vec<u8>| {
        let chain = part(&format!("{name}_issuer_chain"));
        let chain: String = chain.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let len = (chain.len() as u16).to_le_bytes();
        [&len[..], chain.as_bytes(), &body].concat()
    };
    let chip = Chip::new(Product::Milan, NOW_MS / 1000).collateral();
    let chain: String = chip.chain.iter().map(|der| pem(&der.0)).collect();
    let gpu = GpuPki::sound(NOW_MS / 1000);
    let [id, _] = gpu.profile.manifest_ids();
    let rim = gpu.manifests()[0].sign(&gpu);
    let rim = serde_json::json!({"id": id, "rim": STANDARD.encode(&rim)}).to_string();
    let answers = [
        (
            "tcb-info",
            with_chain("tcb_info", signed("tcbInfo", "tcb_info")),
        ),
        (
            "qe-identity",
            with_chain("qe_identity", signed("enclaveIdentity", "qe_identity")),
        ),
        (
            "pck-crl",
            with_chain("pck_crl", hex::decode(part("pck_crl"))?),
        ),
        ("root-crl", part("root_ca_crl").into_bytes()),
        ("vcek", chip.certificate.0),
        ("amd-chain", chain.into_bytes()),
        ("rim", rim.into_bytes()),
        ("ocsp", gpu.answers()[0].sign()),
        ("nras", gpu.result(&[7; 32]).to_string().into_bytes()),
    ];
    for (kind, (name, answer)) in (0_u8..).zip(answers) {
        let bytes = [&[kind][..], &answer].concat();
        // It is about no certificate that the reader asks for.
        if name != "ocsp" && !fuzz::answer(&bytes) {
            return Err(format!("{name} is not read").into());
        }
        put("collateral_answer", name, &bytes)?;
    }
    Ok(())
}

/// What AMD's and AWS's hardware sends.
fn vendors() -> io::Result<()> {
    use soundproof_evidence::snp::Product;
    use soundproof_testkit::{
        nitro::Enclave,
        snp::{Chip, Guest},
        x509::pem,
    };
    for (name, product, version) in [
        ("milan-v2", Product::Milan, 2),
        ("genoa-v3", Product::Genoa, 3),
        ("turin-v5", Product::Turin, 5),
    ] {
        let chip = Chip::new(product, NOW_MS / 1000);
        let report = Guest::new(version).report(&chip, &[7; 64]);
        let collateral = chip.collateral();
        put("snp_report", name, &[report, collateral.to_vec()].concat())?;
        put("x509", &format!("{name}.der"), &collateral.certificate.0)?;
        if let Some(list) = &collateral.crl {
            put("x509", &format!("{name}.crl"), &list.0)?;
        }
        let chain: String = [&collateral.certificate]
            .into_iter()
            .chain(&collateral.chain)
            .map(|der| pem(&der.0))
            .collect();
        put("x509", &format!("{name}.pem"), chain.as_bytes())?;
    }
    put(
        "measured",
        "firmware",
        &soundproof_testkit::snp::firmware(true),
    )?;
    let enclave = Enclave::new(NOW_MS);
    put("nitro_document", "one", &enclave.document(Some(&[7; 64])))?;
    let tagged = Enclave {
        tagged: true,
        nulls: false,
        ..enclave
    };
    put("nitro_document", "tagged", &tagged.document(None))
}

/// What platforms add to a quote.
fn platforms() -> Result<(), Box<dyn Error>> {
    put("ccel", "booted", &LogBuilder::booted().bytes())?;
    let guest = Guest::sound()?;
    put("dstack_log", "v1", &guest.log())?;
    let compose = COMPOSE.replacen('{', "{\"event_log_version\":2,", 1);
    let second = Guest::on(Pki::sound()?, &compose, Version::V2)?;
    put("dstack_log", "v2", &second.log())?;
    put(
        "sgx_quote",
        "v3",
        &Enclave::sound()?.evidence(&[7; 64]).statement.0,
    )?;
    let answer = serde_json::json!({
        "quote": hex::encode(guest.quote(&[7; 64])),
        "event_log": String::from_utf8(guest.log())?,
        "report_data": "07".repeat(64),
        "vm_config": "{\"image\":\"dstack-0.5.10\",\"cpu_count\":2}",
    });
    put("quote_json", "answer", answer.to_string().as_bytes())?;
    put("quote_json", "compose", COMPOSE.as_bytes())?;
    let sums = format!("{}  cert-example.pem\n", "07".repeat(32));
    put("quote_json", "sha256sum", sums.as_bytes())?;
    let image = serde_json::to_vec(&guest.release().image)?;
    Ok(put("quote_json", "image", &image)?)
}

/// Files that other packages' tests use.
fn files() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let groth16 = root.join("provers/groth16/tests/data");
    let proofs = root.join("crates/proofs/testdata");
    for (target, file) in [
        ("zkey", groth16.join("small.zkey")),
        ("wtns", groth16.join("small.wtns")),
        ("wasm", groth16.join("small.wasm")),
        ("circom_input", groth16.join("small.input.json")),
        ("verifying_key", groth16.join("small.vkey.json")),
        ("verifying_key", proofs.join("verification_key.json")),
        ("proof", proofs.join("proof.json")),
        ("proof", proofs.join("public.json")),
    ] {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("one");
        put(target, name, &fs::read(&file)?)?;
    }
    Ok(())
}
