//! A client that speaks as the SDK does: the same messages, signatures and
//! order of calls, in either dialect.

use super::World;
use k256::ecdsa::SigningKey;
use prost::Message;
use sha3::{Digest as _, Keccak256};
use soundproof_sp1_network::{
    Address, SP1_VERSION,
    wire::{
        AuctionBody, BaseBody, CancelBody, CreateArtifactRequest, CreateArtifactResponse,
        CreateProgramBody, Dialect, GetDetailsResponse, GetNonceRequest, GetNonceResponse,
        GetProgramRequest, GetProgramResponse, GetRequest, GetStatusResponse, RequestProofReply,
        Signed, SignedReply,
    },
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

pub const ELF: &[u8] = b"\x7fELF a program that is long enough to be one";
pub const VK: &[u8] = b"a verifying key";

#[derive(Clone)]
pub struct Client {
    key: SigningKey,
    pub address: Address,
    channel: Channel,
    pub dialect: Dialect,
    pub vk_hash: [u8; 32],
    pub version: String,
    pub mode: i32,
    pub deadline: u64,
    pub raw: bool,
}

impl Client {
    pub async fn new(server: SocketAddr, key: u8, world: &World) -> Self {
        let key = SigningKey::from_slice(&[key; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let hash = Keccak256::digest(&point.as_bytes()[1..]);
        let channel = Channel::from_shared(format!("http://{server}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            key,
            address: Address::from_slice(&hash[12..]).unwrap(),
            channel,
            dialect: Dialect::Auction,
            vk_hash: [9; 32],
            version: SP1_VERSION.to_owned(),
            mode: 1,
            deadline: world.clock.seconds() + 14_400,
            raw: false,
        }
    }

    pub fn base(mut self) -> Self {
        self.dialect = Dialect::Base;
        self
    }

    /// EIP-191, v 27 or 28.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let head = format!("\x19Ethereum Signed Message:\n{}", message.len());
        let hash = Keccak256::digest([head.as_bytes(), message].concat());
        let (signature, id) = self.key.sign_prehash_recoverable(&hash);
        let mut bytes = signature.to_vec();
        bytes.push(27 + id.to_byte());
        bytes
    }

    pub fn signed(&self, body: &impl Message) -> Signed {
        let body = body.encode_to_vec();
        Signed {
            format: 1,
            signature: self.sign(&body),
            body: Some(body),
        }
    }

    pub async fn call<A, R>(&self, method: &str, ask: A) -> Result<R, Status>
    where
        A: Message + 'static,
        R: Message + Default + 'static,
    {
        let service = match method {
            "CreateArtifact" => "artifact.ArtifactStore",
            _ => "network.ProverNetwork",
        };
        let path = format!("/{service}/{method}").parse().unwrap();
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<A, R>::default();
        let reply = grpc.unary(tonic::Request::new(ask), path, codec).await?;
        Ok(reply.into_inner())
    }

    pub async fn create_artifact(&self, kind: i32) -> Result<CreateArtifactResponse, Status> {
        let mut signature = self.sign(b"create_artifact");
        signature[64] += 27; // as the SDK does
        let ask = CreateArtifactRequest {
            signature,
            artifact_type: kind,
        };
        self.call("CreateArtifact", ask).await
    }

    /// An artifact with content: its uri.
    pub async fn upload(&self, kind: i32, bytes: &[u8]) -> String {
        let place = self.create_artifact(kind).await.unwrap();
        let (status, _) = http("PUT", &place.artifact_presigned_url, bytes).await;
        assert_eq!(status, 200);
        place.artifact_uri
    }

    pub async fn nonce(&self) -> u64 {
        let address = self.address.0.to_vec();
        let reply: GetNonceResponse = self
            .call("GetNonce", GetNonceRequest { address })
            .await
            .unwrap();
        reply.nonce
    }

    pub async fn get_program(&self) -> Result<GetProgramResponse, Status> {
        let vk_hash = self.vk_hash.to_vec();
        self.call("GetProgram", GetProgramRequest { vk_hash }).await
    }

    pub async fn create_program(&self, program_uri: String) -> Result<SignedReply, Status> {
        let body = CreateProgramBody {
            nonce: self.nonce().await,
            vk_hash: self.vk_hash.to_vec(),
            vk: VK.to_vec(),
            program_uri,
        };
        self.call("CreateProgram", self.signed(&body)).await
    }

    /// As the SDK does it: only if it is not there.
    pub async fn register(&self) {
        match self.get_program().await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound);
                let uri = self.upload(1, &self.packed(ELF)).await;
                self.create_program(uri).await.unwrap();
            }
        }
    }

    /// bincode of bytes, as SDK 5 or 6 sends it.
    pub fn packed(&self, bytes: &[u8]) -> Vec<u8> {
        let raw = [&(bytes.len() as u64).to_le_bytes(), bytes].concat();
        match self.raw {
            true => raw,
            false => zstd::encode_all(&raw[..], 3).unwrap(),
        }
    }

    pub fn body(&self, nonce: u64, stdin_uri: &str) -> Vec<u8> {
        let base = BaseBody {
            nonce,
            vk_hash: self.vk_hash.to_vec(),
            version: self.version.clone(),
            mode: self.mode,
            strategy: 2,
            stdin_uri: stdin_uri.to_owned(),
            deadline: self.deadline,
            cycle_limit: 1_000_000,
            gas_limit: 2_000_000,
            min_auction_period: 0,
            whitelist: Vec::new(),
            stdin_private: false,
        };
        match self.dialect {
            Dialect::Base => base.encode_to_vec(),
            Dialect::Auction => AuctionBody {
                nonce,
                vk_hash: base.vk_hash,
                version: base.version,
                mode: base.mode,
                strategy: 3,
                stdin_uri: base.stdin_uri,
                deadline: base.deadline,
                cycle_limit: base.cycle_limit,
                gas_limit: base.gas_limit,
                whitelist: vec![vec![7; 20]],
                domain: vec![1; 32],
                auctioneer: vec![2; 20],
                executor: vec![3; 20],
                verifier: vec![4; 20],
                treasury: vec![5; 20],
                base_fee: "0".to_owned(),
                max_price_per_pgu: "0".to_owned(),
                ..AuctionBody::default()
            }
            .encode_to_vec(),
        }
    }

    /// `RequestProof` with a nonce.
    pub async fn request_with(
        &self,
        nonce: u64,
        stdin_uri: &str,
    ) -> Result<RequestProofReply, Status> {
        let body = self.body(nonce, stdin_uri);
        let signed = Signed {
            format: 1,
            signature: self.sign(&body),
            body: Some(body),
        };
        self.call("RequestProof", signed).await
    }

    /// `RequestProof` with a fresh nonce: the request's id.
    pub async fn request(&self, stdin_uri: &str) -> Result<Vec<u8>, Status> {
        let reply = self.request_with(self.nonce().await, stdin_uri).await?;
        assert_eq!(reply.tx_hash.len(), 32);
        Ok(reply.body.unwrap().request_id)
    }

    /// Everything up to a request: its id.
    pub async fn submit(&self, stdin: &[u8]) -> Vec<u8> {
        self.register().await;
        let uri = self.upload(2, stdin).await;
        self.request(&uri).await.unwrap()
    }

    /// As the SDK's `wait_proof` asks, without its pause: once more if there
    /// is no end yet, and that call is held.
    pub async fn status(&self, id: &[u8]) -> Result<GetStatusResponse, Status> {
        let first = self.status_once(id).await?;
        match first.fulfillment_status {
            2 => self.status_once(id).await,
            _ => Ok(first),
        }
    }

    pub async fn status_once(&self, id: &[u8]) -> Result<GetStatusResponse, Status> {
        let request_id = id.to_vec();
        self.call("GetProofRequestStatus", GetRequest { request_id })
            .await
    }

    pub async fn details(&self, id: &[u8]) -> Result<Vec<u8>, Status> {
        let request_id = id.to_vec();
        let reply: GetDetailsResponse = self
            .call("GetProofRequestDetails", GetRequest { request_id })
            .await?;
        Ok(reply.request.unwrap())
    }

    pub async fn cancel(&self, id: &[u8]) -> Result<SignedReply, Status> {
        let body = CancelBody {
            nonce: self.nonce().await,
            request_id: id.to_vec(),
        };
        self.call("CancelRequest", self.signed(&body)).await
    }
}

/// One HTTP/1.1 exchange on a connection of its own, as the SDK's uploads are.
pub async fn http(method: &str, url: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let (server, path) = split(url);
    let mut stream = TcpStream::connect(server).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that has seen enough may close its side.
    let _ = stream.write_all(body).await;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let status = std::str::from_utf8(&reply[9..12]).unwrap().parse().unwrap();
    (status, body_of(&reply))
}

/// What stands behind the head.
fn body_of(reply: &[u8]) -> Vec<u8> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n");
    reply[end.unwrap() + 4..].to_vec()
}

/// Host and path of a URL.
pub fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap();
    rest.split_at(rest.find('/').unwrap())
}
