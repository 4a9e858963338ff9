//! As much of SP1's SDK as the tests need, in the base dialect: the same
//! calls in the same order, by hand.

use k256::ecdsa::SigningKey;
use prost::Message;
use reqwest::{Client, StatusCode};
use sha3::{Digest as _, Keccak256};
use soundproof_sp1_network::{
    Address, SP1_VERSION,
    wire::{
        BaseBody, CancelBody, CreateArtifactRequest, CreateArtifactResponse, CreateProgramBody,
        FORMAT_BINARY, GetNonceRequest, GetNonceResponse, GetProgramRequest, GetProgramResponse,
        GetRequest, GetStatusResponse, RequestProofReply, Signed, SignedReply,
        status::{FULFILLED, UNFULFILLABLE},
    },
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NETWORK: &str = "network.ProverNetwork";
const STORE: &str = "artifact.ArtifactStore";
pub(crate) const CORE: i32 = 1;
pub(crate) const GROTH16: i32 = 4;
/// gRPC codes.
pub(crate) const NOT_FOUND: i32 = 5;
pub(crate) const PERMISSION_DENIED: i32 = 7;
pub(crate) const FAILED_PRECONDITION: i32 = 9;
pub(crate) const UNIMPLEMENTED: i32 = 12;
pub(crate) const UNAVAILABLE: i32 = 14;
/// The same for a connection that was closed, or a reply that is no gRPC.
pub(crate) const NO_REPLY: i32 = -1;

/// A gRPC status that is not OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: i32,
    pub(crate) text: String,
}

pub(crate) struct Sdk {
    base: String,
    key: SigningKey,
    pub(crate) address: Address,
    grpc: Client,
    http: Client,
    pub(crate) token: Option<String>,
}

impl Sdk {
    pub(crate) fn new(base: &str) -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let key = SigningKey::from_slice(&secret).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let hash = Keccak256::digest(&point.as_bytes()[1..]);
        Self {
            base: base.trim_end_matches('/').to_owned(),
            key,
            address: Address::from_slice(&hash[12..]).unwrap(),
            grpc: Client::builder()
                .http2_prior_knowledge()
                .no_proxy()
                .build()
                .unwrap(),
            http: Client::builder().http1_only().no_proxy().build().unwrap(),
            token: None,
        }
    }

    /// The same requester, elsewhere.
    pub(crate) fn at(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut hasher = Keccak256::new();
        hasher.update(format!("\x19Ethereum Signed Message:\n{}", message.len()));
        hasher.update(message);
        let hash: [u8; 32] = hasher.finalize().into();
        let (signature, recovery) = self.key.sign_prehash_recoverable(&hash);
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes
    }

    pub(crate) async fn call<Reply: Message + Default>(
        &self,
        service: &str,
        method: &str,
        message: &impl Message,
    ) -> Result<Reply, Refused> {
        let mut body = vec![0];
        body.extend((message.encoded_len() as u32).to_be_bytes());
        message.encode(&mut body).unwrap();
        let mut request = self
            .grpc
            .post(format!("{}/{service}/{method}", self.base))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let refused = |code, text: String| Err(Refused { code, text });
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return refused(NO_REPLY, error.to_string()),
        };
        match response.status() {
            StatusCode::OK => {}
            // As tonic reads them.
            StatusCode::FORBIDDEN => {
                return refused(PERMISSION_DENIED, response.text().await.unwrap());
            }
            status => return refused(NO_REPLY, status.to_string()),
        }
        let header = |name: &str| -> Option<String> {
            Some(response.headers().get(name)?.to_str().unwrap().to_owned())
        };
        if let Some(code) = header("grpc-status").filter(|code| code != "0") {
            let text = percent(&header("grpc-message").unwrap_or_default());
            return refused(code.parse().unwrap(), text);
        }
        let body = response.bytes().await.unwrap();
        Ok(Reply::decode(body.get(5..).expect("a message")).unwrap())
    }

    async fn signed<Reply: Message + Default>(
        &self,
        method: &str,
        body: &impl Message,
    ) -> Result<Reply, Refused> {
        let body = body.encode_to_vec();
        let signed = Signed {
            format: FORMAT_BINARY,
            signature: self.sign(&body),
            body: Some(body),
        };
        self.call(NETWORK, method, &signed).await
    }

    pub(crate) async fn nonce(&self) -> Result<u64, Refused> {
        let ask = GetNonceRequest {
            address: self.address.0.to_vec(),
        };
        let reply: GetNonceResponse = self.call(NETWORK, "GetNonce", &ask).await?;
        Ok(reply.nonce)
    }

    /// A name and a place to put bytes.
    pub(crate) async fn artifact(&self, kind: i32) -> Result<(String, String), Refused> {
        let ask = CreateArtifactRequest {
            signature: self.sign(b"create_artifact"),
            artifact_type: kind,
        };
        let reply: CreateArtifactResponse = self.call(STORE, "CreateArtifact", &ask).await?;
        Ok((reply.artifact_uri, reply.artifact_presigned_url))
    }

    pub(crate) async fn put(&self, url: &str, bytes: Vec<u8>) -> StatusCode {
        self.http
            .put(url)
            .body(bytes)
            .send()
            .await
            .unwrap()
            .status()
    }

    pub(crate) async fn get(&self, url: &str) -> reqwest::Response {
        self.http.get(url).send().await.unwrap()
    }

    /// Registers `elf` under `vk_hash`, if none is registered there.
    pub(crate) async fn register(&self, elf: &[u8], vk_hash: [u8; 32]) -> Result<(), Refused> {
        let ask = GetProgramRequest {
            vk_hash: vk_hash.to_vec(),
        };
        match self
            .call::<GetProgramResponse>(NETWORK, "GetProgram", &ask)
            .await
        {
            Ok(_) => return Ok(()),
            Err(refused) if refused.code == NOT_FOUND => {}
            Err(refused) => return Err(refused),
        }
        let (uri, url) = self.artifact(1).await?;
        let mut upload = (elf.len() as u64).to_le_bytes().to_vec();
        upload.extend(elf);
        assert_eq!(self.put(&url, upload).await, StatusCode::OK);
        let body = CreateProgramBody {
            nonce: self.nonce().await?,
            vk_hash: vk_hash.to_vec(),
            vk: b"a verifying key".to_vec(),
            program_uri: uri,
        };
        self.signed::<SignedReply>("CreateProgram", &body).await?;
        Ok(())
    }

    /// Uploads an input and asks for a proof; its request id.
    pub(crate) async fn request(
        &self,
        vk_hash: [u8; 32],
        stdin: &[u8],
        mode: i32,
    ) -> Result<Vec<u8>, Refused> {
        let (uri, url) = self.artifact(2).await?;
        assert_eq!(self.put(&url, stdin.to_vec()).await, StatusCode::OK);
        self.ask(vk_hash, uri, mode).await
    }

    /// Asks for a proof of an input that is there.
    pub(crate) async fn ask(
        &self,
        vk_hash: [u8; 32],
        stdin_uri: String,
        mode: i32,
    ) -> Result<Vec<u8>, Refused> {
        let body = BaseBody {
            nonce: self.nonce().await?,
            vk_hash: vk_hash.to_vec(),
            version: SP1_VERSION.into(),
            mode,
            strategy: 1,
            stdin_uri,
            deadline: seconds() + 3600,
            cycle_limit: u64::MAX,
            gas_limit: u64::MAX,
            ..BaseBody::default()
        };
        let reply: RequestProofReply = self.signed("RequestProof", &body).await?;
        Ok(reply.body.unwrap().request_id)
    }

    pub(crate) async fn status(&self, id: &[u8]) -> Result<GetStatusResponse, Refused> {
        let ask = GetRequest {
            request_id: id.to_vec(),
        };
        self.call(NETWORK, "GetProofRequestStatus", &ask).await
    }

    /// Waits for the end: the URL of the proof, or none. What does not answer
    /// for a while is asked again, as the SDK does.
    pub(crate) async fn end(&self, id: &[u8]) -> Option<String> {
        loop {
            match self.status(id).await {
                Ok(status) if status.fulfillment_status == FULFILLED => {
                    return Some(status.proof_uri.expect("a URL"));
                }
                Ok(status) if status.fulfillment_status == UNFULFILLABLE => return None,
                Ok(_) => {}
                Err(refused) if [UNAVAILABLE, NO_REPLY].contains(&refused.code) => {}
                Err(refused) => panic!("{refused:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn cancel(&self, id: &[u8]) -> Result<(), Refused> {
        let body = CancelBody {
            nonce: self.nonce().await?,
            request_id: id.to_vec(),
        };
        self.signed::<SignedReply>("CancelRequest", &body).await?;
        Ok(())
    }

    /// Program, input, request, proof: as the SDK's `prove` does.
    pub(crate) async fn prove(&self, elf: &[u8], stdin: &[u8], mode: i32) -> Vec<u8> {
        let vk_hash = vk_hash(elf);
        self.register(elf, vk_hash).await.unwrap();
        let id = self.request(vk_hash, stdin, mode).await.unwrap();
        let url = self.end(&id).await.expect("a proof");
        let proof = self.get(&url).await;
        assert_eq!(proof.status(), StatusCode::OK);
        proof.bytes().await.unwrap().to_vec()
    }
}

/// What the fake prover takes for an ELF's verifying key.
pub(crate) fn vk_hash(elf: &[u8]) -> [u8; 32] {
    soundproof::protocol::digest::Digest::of(elf).0
}

pub(crate) fn elf() -> Vec<u8> {
    [b"\x7fELF", &[7; 5000][..]].concat()
}

pub(crate) fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// gRPC's percent-encoding of messages.
fn percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
