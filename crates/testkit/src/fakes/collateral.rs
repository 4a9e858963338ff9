//! Intel's provisioning certification service, a PCCS, AMD's key distribution
//! service, and NVIDIA's manifests, OCSP responder and attestation service, on
//! a loopback port: paths, queries, headers and encodings as they are
//! documented, over documents that a test gives, with one misbehaviour a
//! document.

use crate::{
    gpu::{Answer, GpuPki},
    snp::Chip,
    x509,
};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde_json::Value;
use soundproof_evidence::snp::Product;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinHandle};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // their own names
pub enum Document {
    TcbInfo,
    QeIdentity,
    PckCrl,
    RootCrl,
    Vcek,
    CertChain,
    Crl,
    Rim,
    Ocsp,
    Nras,
}

/// How it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As documented.
    Sound,
    /// With a status and nothing else.
    Status(u16),
    /// 429, with this `Retry-After` if any.
    Throttle(Option<String>),
    /// Never.
    Silent,
    /// With a body that does not end, of no announced length.
    Oversized,
    /// With a length that is announced and too large, and no body.
    Announced(u64),
    /// With bytes that are no such document.
    Garbage,
    /// With a redirect to a path of this server that would answer soundly.
    Redirect,
    /// Without the header that carries the issuer chain.
    NoChain,
    /// The same document, written prettily.
    Pretty,
    /// Whatever is asked for, the document that is there.
    OfAnother,
}

/// Answers of the key distribution service for one chip.
#[derive(Clone)]
pub struct Kds {
    product: &'static str,
    hwid: String,
    spl: Vec<(&'static str, u8)>,
    /// The chip's certificate, DER.
    pub vcek: Vec<u8>,
    /// ASK, then ARK, PEM.
    pub chain: String,
    /// The ARK's list, DER.
    pub crl: Vec<u8>,
}

/// See the module.
pub struct FakeServices {
    /// Base URL.
    pub url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    dcap: Option<Value>,
    kds: Option<Kds>,
    rims: HashMap<String, Vec<u8>>,
    ocsp: Vec<Answer>,
    nras: Option<GpuPki>,
    behaviours: HashMap<Document, Behaviour>,
    asked: Vec<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeServices {
    /// Listens on a free port of loopback; has no document yet.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let router = Router::new()
            .route("/{tee}/certification/v4/tcb", get(tcb_info))
            .route("/{tee}/certification/v4/qe/identity", get(qe_identity))
            .route("/sgx/certification/v4/pckcrl", get(pck_crl))
            .route("/sgx/certification/v4/rootcacrl", get(root_crl_hex))
            .route("/IntelSGXRootCA.der", get(root_crl_der))
            .route("/vcek/v1/{product}/cert_chain", get(cert_chain))
            .route("/vlek/v1/{product}/cert_chain", get(cert_chain))
            .route("/vcek/v1/{product}/crl", get(crl))
            .route("/vlek/v1/{product}/crl", get(crl))
            .route("/vcek/v1/{product}/{hwid}", get(vcek))
            .route("/v1/rim/{id}", get(rim))
            .route("/", post(ocsp))
            .route("/v4/attest/gpu", post(nras))
            .fallback(elsewhere)
            .with_state(shared.clone());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            url,
            shared,
            serving,
        })
    }

    /// Has DCAP collateral (JSON, as endorsements carry it) from now on.
    pub fn give_dcap(&self, collateral: &[u8]) {
        self.shared.lock().dcap = serde_json::from_slice(collateral).ok();
    }

    /// Has a chip's documents from now on.
    pub fn give_kds(&self, kds: Kds) {
        self.shared.lock().kds = Some(kds);
    }

    /// Has a manifest from now on.
    pub fn give_rim(&self, id: &str, manifest: &[u8]) {
        let mut state = self.shared.lock();
        state.rims.insert(id.to_owned(), manifest.to_vec());
    }

    /// Has these OCSP answers, and no other, from now on.
    pub fn give_ocsp(&self, answers: Vec<Answer>) {
        self.shared.lock().ocsp = answers;
    }

    /// Has manifests and OCSP answers of a software GPU from now on.
    pub fn give_gpu(&self, pki: &GpuPki) {
        let [driver, vbios] = pki.manifests();
        let [driver_id, vbios_id] = pki.profile.manifest_ids();
        self.give_rim(&driver_id, &driver.sign(pki));
        self.give_rim(&vbios_id, &vbios.sign(pki));
        self.give_ocsp(pki.answers());
    }

    /// Judges a software GPU's evidence from now on.
    pub fn give_nras(&self, pki: GpuPki) {
        self.shared.lock().nras = Some(pki);
    }

    /// Answers so for a document from now on.
    pub fn behave(&self, document: Document, behaviour: Behaviour) {
        self.shared.lock().behaviours.insert(document, behaviour);
    }

    /// How it answers for a document.
    pub fn behaviour(&self, document: Document) -> Behaviour {
        let behaviours = &self.shared.lock().behaviours;
        let behaviour = behaviours.get(&document).cloned();
        behaviour.unwrap_or(Behaviour::Sound)
    }

    /// Answers so for every document from now on.
    pub fn behave_always(&self, behaviour: &Behaviour) {
        for document in [
            Document::TcbInfo,
            Document::QeIdentity,
            Document::PckCrl,
            Document::RootCrl,
            Document::Vcek,
            Document::CertChain,
            Document::Crl,
            Document::Rim,
            Document::Ocsp,
            Document::Nras,
        ] {
            self.behave(document, behaviour.clone());
        }
    }

    /// Paths and queries that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().asked)
    }
}

impl Drop for FakeServices {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Fake = State<Arc<Shared>>;

/// The misbehaviour's answer, or the sound one.
async fn answer(
    shared: &Shared,
    uri: &Uri,
    document: Document,
    sound: impl FnOnce(&Inner, &Behaviour) -> Response,
) -> Response {
    let behaviour = {
        let mut state = shared.lock();
        state.asked.push(uri.to_string());
        let behaviour = state.behaviours.get(&document).cloned();
        behaviour.unwrap_or(Behaviour::Sound)
    };
    match &behaviour {
        Behaviour::Status(status) => StatusCode::from_u16(*status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Behaviour::Throttle(after) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(after) = after.as_deref().and_then(|text| text.parse().ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            response
        }
        Behaviour::Silent => {
            std::future::pending::<()>().await;
            StatusCode::OK.into_response()
        }
        Behaviour::Oversized => {
            let endless = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_micros(100)).await;
                Some((Ok::<_, std::convert::Infallible>(vec![b'0'; 65536]), ()))
            });
            Body::from_stream(endless).into_response()
        }
        Behaviour::Announced(len) => {
            let nothing = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            let mut response = Body::from_stream(nothing).into_response();
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(*len));
            response
        }
        Behaviour::Garbage => "<html>an error page, with status 200</html>".into_response(),
        Behaviour::Redirect => {
            let to = format!("/elsewhere{uri}");
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        Behaviour::Sound | Behaviour::NoChain | Behaviour::Pretty | Behaviour::OfAnother => {
            sound(&shared.lock(), &behaviour)
        }
    }
}

/// Where redirects lead: it is recorded that somebody came.
async fn elsewhere(State(shared): Fake, uri: Uri) -> StatusCode {
    shared.lock().asked.push(uri.to_string());
    StatusCode::NOT_FOUND
}

fn query(raw: Option<String>) -> HashMap<String, String> {
    let raw = raw.unwrap_or_default();
    raw.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn text<'a>(value: Option<&'a Value>, key: &str) -> &'a str {
    value
        .and_then(|value| value.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// URL-encoded PEM, as the services send it.
fn chain_header(name: &'static str, pem: &str) -> (HeaderName, String) {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    (
        HeaderName::from_static(name),
        pem.bytes().map(encode).collect(),
    )
}

fn with_chain(
    behaviour: &Behaviour,
    name: &'static str,
    pem: &str,
    kind: &'static str,
    body: Vec<u8>,
) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    if *behaviour != Behaviour::NoChain
        && let (name, value) = chain_header(name, pem)
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// `{"name": body, "signature": hex}`; the body's very bytes, unless it is to
/// be pretty.
fn signed(behaviour: &Behaviour, name: &str, body: &str, signature: &str) -> Vec<u8> {
    if *behaviour != Behaviour::Pretty {
        return format!("{{\"{name}\":{body},\"signature\":\"{signature}\"}}").into_bytes();
    }
    // White space after every comma and colon between tokens.
    let (mut pretty, mut inside) = (String::new(), false);
    for c in body.chars() {
        inside ^= c == '"';
        pretty.push(c);
        if !inside && matches!(c, ',' | ':' | '{' | '[') {
            pretty.push_str("\n  ");
        }
    }
    format!("{{\n \"{name}\": {pretty},\n \"signature\": \"{signature}\"\n}}").into_bytes()
}

fn is_update(query: &HashMap<String, String>) -> bool {
    let update = query.get("update").map_or("standard", String::as_str);
    ["early", "standard"].contains(&update)
}

async fn tcb_info(
    State(shared): Fake,
    Path(tee): Path<String>,
    RawQuery(raw): RawQuery,
    uri: Uri,
) -> Response {
    answer(&shared, &uri, Document::TcbInfo, |state, behaviour| {
        let query = query(raw);
        let fmspc = query.get("fmspc").map_or("", String::as_str);
        let is_hex = fmspc.len() == 12 && fmspc.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || !is_update(&query) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let body = text(state.dcap.as_ref(), "tcb_info");
        let info: Value = serde_json::from_str(body).unwrap_or_default();
        let ours = text(Some(&info), "fmspc").eq_ignore_ascii_case(fmspc)
            && text(Some(&info), "id").eq_ignore_ascii_case(&tee);
        if !ours && *behaviour != Behaviour::OfAnother {
            return StatusCode::NOT_FOUND.into_response();
        }
        let signature = text(state.dcap.as_ref(), "tcb_info_signature");
        with_chain(
            behaviour,
            "tcb-info-issuer-chain",
            text(state.dcap.as_ref(), "tcb_info_issuer_chain"),
            "application/json",
            signed(behaviour, "tcbInfo", body, signature),
        )
    })
    .await
}

async fn qe_identity(
    State(shared): Fake,
    Path(tee): Path<String>,
    RawQuery(raw): RawQuery,
    uri: Uri,
) -> Response {
    answer(&shared, &uri, Document::QeIdentity, |state, behaviour| {
        if !is_update(&query(raw)) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let body = text(state.dcap.as_ref(), "qe_identity");
        let identity: Value = serde_json::from_str(body).unwrap_or_default();
        let id = if tee == "tdx" { "TD_QE" } else { "QE" };
        if text(Some(&identity), "id") != id && *behaviour != Behaviour::OfAnother {
            return StatusCode::NOT_FOUND.into_response();
        }
        let signature = text(state.dcap.as_ref(), "qe_identity_signature");
        with_chain(
            behaviour,
            "sgx-enclave-identity-issuer-chain",
            text(state.dcap.as_ref(), "qe_identity_issuer_chain"),
            "application/json",
            signed(behaviour, "enclaveIdentity", body, signature),
        )
    })
    .await
}

async fn pck_crl(State(shared): Fake, RawQuery(raw): RawQuery, uri: Uri) -> Response {
    answer(&shared, &uri, Document::PckCrl, |state, behaviour| {
        let query = query(raw);
        let ca = query.get("ca").map_or("", String::as_str);
        if !["processor", "platform"].contains(&ca) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let list = hex::decode(text(state.dcap.as_ref(), "pck_crl")).unwrap_or_default();
        let der = query.get("encoding").is_some_and(|form| form == "der");
        with_chain(
            behaviour,
            "sgx-pck-crl-issuer-chain",
            text(state.dcap.as_ref(), "pck_crl_issuer_chain"),
            "application/pkix-crl",
            if der {
                list
            } else {
                pem("X509 CRL", &list).into_bytes()
            },
        )
    })
    .await
}

/// A PCCS sends it in hexadecimal.
async fn root_crl_hex(State(shared): Fake, uri: Uri) -> Response {
    answer(&shared, &uri, Document::RootCrl, |state, _| {
        text(state.dcap.as_ref(), "root_ca_crl")
            .to_owned()
            .into_response()
    })
    .await
}

/// Intel's own is a file.
async fn root_crl_der(State(shared): Fake, uri: Uri) -> Response {
    answer(&shared, &uri, Document::RootCrl, |state, _| {
        let list = hex::decode(text(state.dcap.as_ref(), "root_ca_crl"));
        list.unwrap_or_default().into_response()
    })
    .await
}

async fn vcek(
    State(shared): Fake,
    Path((product, hwid)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    uri: Uri,
) -> Response {
    answer(&shared, &uri, Document::Vcek, |state, behaviour| {
        let Some(kds) = &state.kds else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let query = query(raw);
        let asked = |(name, value): &(&str, u8)| {
            let found = query.get(*name).and_then(|text| text.parse::<u8>().ok());
            found == Some(*value)
        };
        let ours = product == kds.product
            && hwid.eq_ignore_ascii_case(&kds.hwid)
            && query.len() == kds.spl.len()
            && kds.spl.iter().all(asked);
        if ours || *behaviour == Behaviour::OfAnother {
            kds.vcek.clone().into_response()
        } else {
            StatusCode::NOT_FOUND.into_response()
        }
    })
    .await
}

async fn cert_chain(State(shared): Fake, Path(product): Path<String>, uri: Uri) -> Response {
    answer(&shared, &uri, Document::CertChain, |state, _| {
        of_product(state, &product, |kds| kds.chain.clone().into_response())
    })
    .await
}

async fn crl(State(shared): Fake, Path(product): Path<String>, uri: Uri) -> Response {
    answer(&shared, &uri, Document::Crl, |state, _| {
        of_product(state, &product, |kds| kds.crl.clone().into_response())
    })
    .await
}

async fn rim(State(shared): Fake, Path(id): Path<String>, uri: Uri) -> Response {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    answer(&shared, &uri, Document::Rim, |state, behaviour| {
        let found = match behaviour {
            Behaviour::OfAnother => state.rims.iter().next(),
            _ => state.rims.get_key_value(&id),
        };
        let Some((id, rim)) = found else {
            return StatusCode::NOT_FOUND.into_response();
        };
        axum::Json(serde_json::json!({
            "id": id,
            "rim": STANDARD.encode(rim),
            "rim_format": "TCG",
            "request_id": "0",
        }))
        .into_response()
    })
    .await
}

/// The answer about the certificate that the request names, of those that
/// there are; else, as RFC 6960 has it, status 6 (unauthorized).
async fn ocsp(State(shared): Fake, uri: Uri, body: axum::body::Bytes) -> Response {
    answer(&shared, &uri, Document::Ocsp, |state, behaviour| {
        let other = *behaviour == Behaviour::OfAnother;
        let mut answers = state.ocsp.iter();
        let found = answers.find(|answer| answer.is_asked_for(&body) != other);
        let unauthorized = || vec![0x30, 3, 0x0a, 1, 6];
        let kind = [(header::CONTENT_TYPE, "application/ocsp-response")];
        (kind, found.map_or_else(unauthorized, Answer::sign)).into_response()
    })
    .await
}

/// NVIDIA's attestation service judges what its documentation says that it is
/// sent: reports of one nonce and architecture, with their chains.
async fn nras(State(shared): Fake, uri: Uri, body: axum::body::Bytes) -> Response {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    answer(&shared, &uri, Document::Nras, |state, _| {
        let Some(pki) = &state.nras else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let decoded = |value: Option<&Value>| STANDARD.decode(text(value, "evidence")).ok();
        let nonce = hex::decode(text(Some(&request), "nonce")).ok();
        let nonce: Option<[u8; 32]> = nonce.and_then(|bytes| bytes.try_into().ok());
        let listed = request.get("evidence_list").and_then(Value::as_array);
        let report = decoded(listed.and_then(|list| list.first()));
        let known = ["HOPPER", "BLACKWELL"].contains(&text(Some(&request), "arch"))
            && text(Some(&request), "claims_version") == "3.0";
        match (nonce, report) {
            (Some(nonce), Some(report)) if known && report == pki.report(&nonce) => {
                axum::Json(pki.result(&nonce)).into_response()
            }
            _ => StatusCode::BAD_REQUEST.into_response(),
        }
    })
    .await
}

fn of_product(state: &Inner, product: &str, then: impl FnOnce(&Kds) -> Response) -> Response {
    match &state.kds {
        Some(kds) if kds.product == product => then(kds),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .filter_map(|at| text.get(at..text.len().min(at + 64)))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// What a chip's certificate is asked for by: version numbers of FMC (Turin
/// only), boot loader, TEE, SNP firmware, microcode.
fn spl(turin: bool, parts: [u8; 5]) -> Vec<(&'static str, u8)> {
    let names = ["fmcSPL", "blSPL", "teeSPL", "snpSPL", "ucodeSPL"];
    let all = names.into_iter().zip(parts);
    all.skip(usize::from(!turin)).collect()
}

impl Kds {
    /// Of a chip whose reports verify.
    pub fn of(chip: &Chip) -> Self {
        let collateral = chip.collateral();
        let chain = collateral.chain.iter().map(|der| x509::pem(&der.0));
        Self {
            product: chip.product.name(),
            hwid: hex::encode(&chip.chip_id),
            spl: spl(chip.product == Product::Turin, chip.certified),
            vcek: collateral.certificate.0,
            chain: chain.collect(),
            crl: collateral.crl.map(|list| list.0).unwrap_or_default(),
        }
    }

    /// A chip of a product line ("Milan", "Genoa", "Turin") under keys made
    /// here: certificates of ten years and a list of `list_days`, from
    /// `now_ms` (ms since 1970) on. They are ECDSA, where AMD's CAs are RSA:
    /// for who fetches and not for who verifies.
    ///
    /// # Errors
    /// What rcgen says.
    pub fn make(
        product: &'static str,
        chip_id: &[u8; 64],
        tcb: [u8; 8],
        now_ms: u64,
        list_days: i64,
    ) -> Result<Self, rcgen::Error> {
        let seconds = i64::try_from(now_ms / 1000).unwrap_or(0);
        let now =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let later = now + Duration::from_secs(10 * 365 * 24 * 3600);
        let turin = product == "Turin";
        let params = |name: String, ca: bool| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) = (now, later);
            if ca {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            }
            params
        };
        let ark_key = KeyPair::generate()?;
        let ark_params = params(format!("ARK-{product}"), true);
        let ark = ark_params.self_signed(&ark_key)?;
        let ark_issuer = Issuer::new(ark_params, ark_key);
        let ask_key = KeyPair::generate()?;
        let ask_params = params(format!("SEV-{product}"), true);
        let ask = ask_params.signed_by(&ask_key, &ark_issuer)?;
        let ask_issuer = Issuer::new(ask_params, ask_key);
        let hwid = if turin {
            chip_id.get(..8)
        } else {
            chip_id.get(..)
        };
        let hwid = hwid.unwrap_or_default();
        let mut vcek_params = params("SEV-VCEK".into(), false);
        vcek_params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 4, 1, 3704, 1, 4],
                hwid.to_vec(),
            ));
        let vcek = vcek_params.signed_by(&KeyPair::generate()?, &ask_issuer)?;
        let crl = CertificateRevocationListParams {
            this_update: now,
            next_update: now + time::Duration::days(list_days),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&ark_issuer)?;
        let [a, b, c, d, _, _, g, h] = tcb;
        let parts = if turin {
            [a, b, c, d, h]
        } else {
            [0, a, b, g, h]
        };
        Ok(Self {
            product,
            hwid: hex::encode(hwid),
            spl: spl(turin, parts),
            vcek: vcek.der().to_vec(),
            chain: format!("{}{}", ask.pem(), ark.pem()),
            crl: crl.der().to_vec(),
        })
    }
}
