//! The router: gRPC by method, and uploads and downloads, on one port.

use crate::{
    artifacts,
    backend::StashError,
    network::{Inner, Network},
    records::End,
    refused::Refused,
    requests,
    signature::Address,
    wire::{
        CreateArtifactRequest, CreateArtifactResponse, Empty, GetBalanceRequest,
        GetBalanceResponse, GetDetailsResponse, GetFilteredRequest, GetFilteredResponse,
        GetNonceRequest, GetNonceResponse, GetParamsRequest, GetParamsResponse, GetPriceResponse,
        GetProgramRequest, GetProgramResponse, GetProversRequest, GetProversResponse, GetRequest,
        GetStatusResponse, Malformed, RequestProofReply, Signed, SignedReply,
    },
};
use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, any, get, post, put},
};
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use std::{future::Future, time::Duration};
use tokio::time::timeout;
use tonic::{Status, server::Grpc};
use tonic_prost::ProstCodec;

/// A call takes no longer, long polls included: what the SDK allows itself.
const CALL_TIME: Duration = Duration::from_secs(60);
/// Bytes of a refused upload that are read all the same, so that the answer is
/// not lost with the connection, and for how long.
const DRAIN_BYTES: u64 = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// There are no accounts: a balance that stops nobody, 10^24 of the smallest
/// unit.
const BALANCE: &str = "1000000000000000000000000";
/// What the auction's bodies carry as their domain. Not that of any network,
/// so that a body signed for this server is worth nothing elsewhere.
const DOMAIN: &[u8; 32] = b"soundproof: no network's domain.";

impl Network {
    /// gRPC (`artifact.ArtifactStore`, `network.ProverNetwork`) and HTTP
    /// (`/sp1/artifacts/…`, `/sp1/proofs/…`). To be served over HTTP/1.1 and
    /// HTTP/2 on one port. Requests may carry [`Caller`](crate::Caller) and
    /// [`BaseUrl`](crate::BaseUrl) as extensions.
    pub fn router(&self) -> Router {
        let network = Router::new()
            .route("/GetProgram", unary(get_program))
            .route("/CreateProgram", unary(create_program))
            .route("/GetNonce", unary(get_nonce))
            .route("/RequestProof", unary(request_proof))
            .route("/GetProofRequestStatus", unary(get_status))
            .route("/GetProofRequestDetails", unary(get_details))
            .route("/GetFilteredProofRequests", unary(get_filtered))
            .route("/CancelRequest", unary(cancel_request))
            .route("/GetBalance", unary(get_balance))
            .route("/GetProofRequestParams", unary(get_params))
            .route("/GetProversByUptime", unary(get_provers))
            .route("/GetMarketPricePerPgu", unary(get_price))
            .route("/{method}", any(unimplemented));
        let store = Router::new()
            .route("/CreateArtifact", unary(create_artifact))
            .route("/{method}", any(unimplemented));
        Router::new()
            .nest("/network.ProverNetwork", network)
            .nest("/artifact.ArtifactStore", store)
            .route(&format!("{}{{capability}}", artifacts::PATH), put(upload))
            .route(
                &format!("{}{{capability}}", requests::PATH),
                get(download).delete(forget),
            )
            .with_state(self.clone())
    }
}

/// A call: its message, and what the embedding server says of its caller.
struct Call<T> {
    message: T,
    extensions: http::Extensions,
}

/// A gRPC method of one message and one reply.
fn unary<Ask, Reply, F, Fut>(handler: F) -> MethodRouter<Network>
where
    Ask: prost::Message + Default + 'static,
    Reply: prost::Message + 'static,
    F: Fn(Network, Call<Ask>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Refused>> + Send + 'static,
{
    post(
        async move |State(network): State<Network>, mut request: Request| {
            let extensions = core::mem::take(request.extensions_mut());
            let limit = network.0.config.limits.message_bytes;
            let service = tower::service_fn(move |asked: tonic::Request<Ask>| {
                let message = asked.into_inner();
                let extensions = extensions.clone();
                let answer = handler(
                    network.clone(),
                    Call {
                        message,
                        extensions,
                    },
                );
                async move { Ok::<_, Status>(tonic::Response::new(answer.await?)) }
            });
            let mut grpc =
                Grpc::new(ProstCodec::<Reply, Ask>::default()).max_decoding_message_size(limit);
            match timeout(CALL_TIME, grpc.unary(service, request)).await {
                Ok(response) => response.map(Body::new),
                Err(_) => Status::deadline_exceeded("the call took too long: try again")
                    .into_http::<Body>(),
            }
        },
    )
}

async fn unimplemented() -> Response {
    Status::unimplemented("this call is not offered here: see the documentation's table of calls")
        .into_http::<Body>()
}

async fn create_artifact(
    net: Network,
    call: Call<CreateArtifactRequest>,
) -> Result<CreateArtifactResponse, Refused> {
    let base_url = net.0.base_url(&call.extensions)?;
    net.0.create_artifact(&call.message, &base_url).await
}

async fn get_program(
    net: Network,
    call: Call<GetProgramRequest>,
) -> Result<GetProgramResponse, Refused> {
    let caller = Inner::caller(&call.extensions);
    net.0.get_program(&call.message.vk_hash, caller)
}

async fn create_program(net: Network, call: Call<Signed>) -> Result<SignedReply, Refused> {
    net.0.create_program(&call.message).await
}

async fn get_nonce(net: Network, call: Call<GetNonceRequest>) -> Result<GetNonceResponse, Refused> {
    let address = address(&call.message.address)?;
    let nonce = net.0.nonces.issue(address, net.0.clock.now_ms());
    Ok(GetNonceResponse { nonce })
}

async fn request_proof(net: Network, call: Call<Signed>) -> Result<RequestProofReply, Refused> {
    let caller = Inner::caller(&call.extensions);
    net.request_proof(&call.message, caller).await
}

async fn get_status(net: Network, call: Call<GetRequest>) -> Result<GetStatusResponse, Refused> {
    let base_url = net.0.base_url(&call.extensions)?;
    net.status(&call.message.request_id, &base_url).await
}

async fn get_details(net: Network, call: Call<GetRequest>) -> Result<GetDetailsResponse, Refused> {
    net.0.details(&call.message.request_id)
}

async fn get_filtered(
    net: Network,
    call: Call<GetFilteredRequest>,
) -> Result<GetFilteredResponse, Refused> {
    net.0.list(&call.message, Inner::caller(&call.extensions))
}

async fn cancel_request(net: Network, call: Call<Signed>) -> Result<SignedReply, Refused> {
    net.cancel(&call.message).await
}

async fn get_balance(
    _: Network,
    call: Call<GetBalanceRequest>,
) -> Result<GetBalanceResponse, Refused> {
    address(&call.message.address)?;
    let amount = BALANCE.to_owned();
    Ok(GetBalanceResponse { amount })
}

/// Nothing is auctioned and nothing costs anything.
async fn get_params(net: Network, _: Call<GetParamsRequest>) -> Result<GetParamsResponse, Refused> {
    let prover = net.0.config.prover.0.to_vec();
    let free = || "0".to_owned();
    Ok(GetParamsResponse {
        domain: DOMAIN.to_vec(),
        auctioneer: prover.clone(),
        executor: prover.clone(),
        verifier: prover.clone(),
        treasury: prover,
        max_price_per_pgu: free(),
        base_fee: free(),
        tick_size: 0,
        network_floor_price_per_pgu: free(),
    })
}

/// This server alone. A Mainnet client asks again, for those of high
/// availability, when a request has failed, and begins anew if there are any:
/// there are none, since what can be helped by another try was tried here,
/// and a request that was cancelled must not come back.
async fn get_provers(
    net: Network,
    call: Call<GetProversRequest>,
) -> Result<GetProversResponse, Refused> {
    let provers = match call.message.high_availability_only {
        true => Vec::new(),
        false => vec![net.0.config.prover.0.to_vec()],
    };
    Ok(GetProversResponse { provers })
}

async fn get_price(net: Network, _: Call<Empty>) -> Result<GetPriceResponse, Refused> {
    Ok(GetPriceResponse {
        price: "0".to_owned(),
        as_of: i64::try_from(net.0.clock.now_ms() / 1000).unwrap_or(i64::MAX),
    })
}

fn address(bytes: &[u8]) -> Result<Address, Refused> {
    Address::from_slice(bytes).ok_or_else(|| Malformed("the address is not 20 bytes long").into())
}

async fn upload(
    State(net): State<Network>,
    Path(capability): Path<String>,
    request: Request,
) -> Response {
    let claimed = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = request.into_body().into_data_stream();
    match net.receive(&capability, claimed, &mut body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => {
            drain(&mut body).await;
            answer(&refused)
        }
    }
}

async fn drain(body: &mut BodyDataStream) {
    let mut left = DRAIN_BYTES;
    let reading = async {
        while let Some(Ok(chunk)) = body.next().await {
            match left.checked_sub(chunk.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = timeout(DRAIN_TIME, reading).await;
}

async fn download(State(net): State<Network>, Path(capability): Path<String>) -> Response {
    let (id, stash) = {
        let state = net.0.lock();
        match state.request_of_proof(&capability) {
            None => return answer(&Refused::ProofUnknown),
            Some((id, request)) => match &request.record.end {
                Some(End::Proved(done)) => (id, done.stash),
                Some(End::Failed(..)) => return answer(&Refused::ProofUnknown),
                None => return answer(&Refused::ProofLater),
            },
        }
    };
    match net.0.stash.get(stash).await {
        Ok(proof) => {
            let kind = (header::CONTENT_TYPE, "application/octet-stream");
            let cache = (header::CACHE_CONTROL, "no-store");
            ([kind, cache], proof.into_bytes()).into_response()
        }
        Err(error) => {
            if error == StashError::Missing {
                net.reopen(id);
            }
            answer(&Refused::ProofLater)
        }
    }
}

/// `DELETE` of a proof: its request is forgotten with it.
async fn forget(State(net): State<Network>, Path(capability): Path<String>) -> Response {
    let ended = {
        let state = net.0.lock();
        match state.request_of_proof(&capability) {
            None => return answer(&Refused::ProofUnknown),
            Some((id, request)) => request.record.end.is_some().then_some(id),
        }
    };
    match ended {
        Some(id) => {
            net.0.delete_request(&id).await;
            StatusCode::NO_CONTENT.into_response()
        }
        None => answer(&Refused::ProofLater),
    }
}

fn answer(refused: &Refused) -> Response {
    (refused.http(), format!("{refused}\n")).into_response()
}
