//! Requests for proofs: taken, looked at, listed, cancelled, forgotten. What
//! happens between is the [driver](crate::driver)'s.

use crate::{
    backend::Mode,
    config::Caller,
    ending::{self, SdkEnd},
    network::{Inner, Network, State},
    programs::program_uri,
    records::{self, End, Id, Request, RequestRecord, digest, key, natural_key},
    refused::Refused,
    signature::Address,
    wire::{
        CancelBody, Dialect, Empty, GetDetailsResponse, GetFilteredRequest, GetFilteredResponse,
        GetRequest, GetStatusResponse, Malformed, RequestBody, RequestProofReply, Signed,
        SignedReply,
        details::{self, AuctionTail, BaseTail, Common, Tail},
        status::{ASSIGNED, CAUSE_NONE, ERROR_NONE, EXECUTED, FULFILLED, UNEXECUTED},
    },
};
use prost::Message as _;
use soundproof_protocol::error::Code;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Where proofs are had, below the base URL.
pub(crate) const PATH: &str = "/sp1/proofs/";
/// Requests on a page of the list at most.
const PAGE: u32 = 100;

/// A request's capability for its proof, and the digest by which it is found.
/// Whoever has the id gets the one from the status, so it is made of it.
pub(crate) fn proof_place(id: &Id) -> (String, Id) {
    let capability = hex::encode(digest(&[b"proof", id]));
    let place = proof_place_of(&capability);
    (capability, place)
}

pub(crate) fn proof_place_of(capability: &str) -> Id {
    digest(&[b"place", capability.as_bytes()])
}

fn tx_hash(id: &Id) -> Vec<u8> {
    digest(&[b"transaction", id]).to_vec()
}

impl Network {
    /// `RequestProof`. The same requester, program, mode and input are the
    /// same request, whatever the nonce: the SDK makes a new one when a reply
    /// was lost.
    pub(crate) async fn request_proof(
        &self,
        signed: &Signed,
        caller: Caller,
    ) -> Result<RequestProofReply, Refused> {
        let inner = &self.0;
        let offers = inner.ready().await?;
        let requester = inner.signer(signed)?;
        let raw = signed.body.as_deref().unwrap_or_default();
        let body = RequestBody::decode(raw)?;
        inner.consume(requester, body.nonce)?;
        let proved = &inner.config.versions;
        if !proved.contains(&body.version) {
            return Err(Refused::Version {
                asked: printable(&body.version),
                proved: proved.join(", "),
            });
        }
        let mode = Mode::from_wire(body.mode).ok_or(Malformed("there is no such proof mode"))?;
        if !(0..=3).contains(&body.strategy) {
            return Err(Malformed("there is no such fulfillment strategy").into());
        }
        let _one_by_one = inner.admission.lock().await;
        let natural = natural_key(requester, &body);
        if let Some(id) = inner.lock().natural.get(&natural) {
            return Ok(reply(id));
        }
        if !offers.modes.contains(&mode) {
            let missing = offers.missing.into_iter().find(|(other, _)| *other == mode);
            let reason = missing.map_or_else(
                || "ask the operator, or use another mode".to_owned(),
                |(_, text)| text,
            );
            return Err(Refused::Mode { mode, reason });
        }
        let id = inner.random()?;
        let request = inner.admit_request(id, requester, body, raw, caller)?;
        let record = records::encode(&request.record);
        let written = inner.write(&key::request(&id), &record).await;
        {
            let mut state = inner.lock();
            if let Err(refused) = written {
                // The input is there for the next try.
                if let Some(upload) = state.artifacts.get_mut(&request.record.artifact) {
                    upload.used_by = None;
                }
                return Err(refused);
            }
            state.insert_request(id, request);
        }
        self.spawn_driver(id);
        Ok(reply(&id))
    }

    /// `GetProofRequestStatus`: held until the end, or for some seconds, if the
    /// caller keeps asking.
    pub(crate) async fn status(
        &self,
        id: &[u8],
        base_url: &str,
    ) -> Result<GetStatusResponse, Refused> {
        let inner = &self.0;
        let id = request_id(id)?;
        let Some(mut waiting) = Waiting::new(inner, id)? else {
            return inner.view(&id, base_url);
        };
        let now = inner.clock.now_ms();
        let until = waiting.deadline_ms.saturating_sub(now);
        let pause = Duration::from_millis(until.min(inner.config.times.poll));
        tokio::select! {
            _ = waiting.ended.wait_for(|ended| *ended) => {}
            () = tokio::time::sleep(pause) => {}
            () = inner.stopping.cancelled() => {}
        }
        inner.view(&id, base_url)
    }

    /// `CancelRequest`: the owner's.
    pub(crate) async fn cancel(&self, signed: &Signed) -> Result<SignedReply, Refused> {
        let inner = &self.0;
        let signer = inner.signer(signed)?;
        let body = signed.body.as_deref().unwrap_or_default();
        let body = CancelBody::decode(body)
            .map_err(|_| Malformed("the cancellation's body does not decode"))?;
        inner.consume(signer, body.nonce)?;
        let id = request_id(&body.request_id)?;
        {
            let state = inner.lock();
            let request = state.requests.get(&id).ok_or(Refused::RequestUnknown)?;
            if request.record.requester != signer {
                return Err(Refused::NotOwner);
            }
            if request.record.end.is_some() && !request.record.cancelled {
                return Err(Refused::Ended);
            }
        }
        inner
            .update(&id, false, |record| {
                record.cancelled |= record.end.is_none()
            })
            .await?;
        if let Some(request) = inner.lock().requests.get(&id) {
            request.stop.cancel();
        }
        Ok(SignedReply {
            tx_hash: digest(&[b"cancel", &id]).to_vec(),
            body: Some(Empty {}),
        })
    }
}

impl Inner {
    /// Checks a new request against what is here, and takes its input for it.
    fn admit_request(
        &self,
        id: Id,
        requester: Address,
        body: RequestBody,
        raw: &[u8],
        caller: Caller,
    ) -> Result<Request, Refused> {
        let now = self.clock.now_ms();
        let times = &self.config.times;
        let deadline_ms = body.deadline.saturating_mul(1000);
        if deadline_ms <= now {
            return Err(Refused::Deadline);
        }
        let (artifact, upload, stdin) = self
            .find_artifact(requester, &body.stdin_uri, true)
            .ok_or(Refused::StdinUri)?;
        if upload.used_by.is_some() {
            return Err(Refused::StdinUsed);
        }
        let mut state = self.lock();
        let program_owner = state
            .visible(Some(requester), caller, &body.vk_hash)
            .ok_or(Refused::ProgramUnknown)?
            .owner;
        let limits = &self.config.limits;
        let unended =
            |other: &&Request| other.record.requester == requester && other.record.end.is_none();
        if state.requests.len() >= limits.requests
            || state.requests.values().filter(unended).count() >= limits.requests_each
        {
            return Err(Refused::Full("requests"));
        }
        let record = RequestRecord {
            requester,
            body: raw.to_vec(),
            created_ms: now,
            updated_ms: now,
            deadline_ms: deadline_ms.min(now.saturating_add(times.deadline)),
            program_owner,
            artifact,
            stdin: stdin.stash,
            attempt: 0,
            token: None,
            cancelled: false,
            end: None,
        };
        if let Some(program) = state.programs.get_mut(&(program_owner, body.vk_hash)) {
            program.used_ms = now;
        }
        let request = Request::new(record).ok_or(Refused::Inside)?;
        // Nobody else can take it: admission is one by one.
        if let Some(upload) = state.artifacts.get_mut(&artifact) {
            upload.used_by = Some(id);
        }
        Ok(request)
    }

    /// Changes a request's record: written first, then seen. An error leaves
    /// it as it was, unless the change must be made `anyway`. False if there
    /// is no such request.
    pub(crate) async fn update(
        &self,
        id: &Id,
        anyway: bool,
        change: impl FnOnce(&mut RequestRecord) + Send,
    ) -> Result<bool, Refused> {
        let _in_order = self.writing.lock().await;
        let changed = self.lock().requests.get(id).map(|request| {
            let mut record = request.record.clone();
            change(&mut record);
            record
        });
        let Some(changed) = changed else {
            return Ok(false);
        };
        let bytes = records::encode(&changed);
        let written = self.write(&key::request(id), &bytes).await;
        if (written.is_ok() || anyway)
            && let Some(request) = self.lock().requests.get_mut(id)
        {
            request.record = changed;
        }
        written.map(|()| true)
    }

    /// Forgets a request, its proof too.
    pub(crate) async fn delete_request(&self, id: &Id) {
        let removed = {
            let mut state = self.lock();
            let removed = state.requests.remove(id);
            if let Some(request) = &removed {
                state.natural.remove(&request.natural_key());
                state.proofs.remove(&proof_place(id).1);
            }
            removed
        };
        let Some(request) = removed else { return };
        request.stop.cancel();
        if let Some(End::Proved(done)) = request.record.end {
            self.unstash(done.stash).await;
        }
        self.delete_artifact(&request.record.artifact).await;
        {
            let _in_order = self.writing.lock().await;
            self.erase(&key::request(id)).await;
        }
        if let Some(token) = request.record.token {
            // The backend forgets by itself in the end.
            let _ = self.backend.forget(&token).await;
        }
    }

    /// A request's status now.
    fn view(&self, id: &Id, base_url: &str) -> Result<GetStatusResponse, Refused> {
        let now = self.clock.now_ms();
        let state = self.lock();
        let request = state.requests.get(id).ok_or(Refused::RequestUnknown)?;
        let end = request.sdk_end(now);
        let fulfilled = end.fulfillment == FULFILLED;
        let deadline_ms = request.record.deadline_ms;
        Ok(GetStatusResponse {
            fulfillment_status: end.fulfillment,
            execution_status: end.execution,
            request_tx_hash: tx_hash(id),
            // Early SDKs look at the deadline before they look at the proof.
            deadline: match fulfilled {
                true => deadline_ms.max(now.saturating_add(3_600_000)),
                false => deadline_ms,
            } / 1000,
            fulfill_tx_hash: None,
            proof_uri: fulfilled.then(|| format!("{base_url}{PATH}{}", proof_place(id).0)),
            public_values_hash: None,
            proof_public_uri: None,
        })
    }

    /// `GetProofRequestDetails`, in the dialect that the request came in.
    pub(crate) fn details(&self, id: &[u8]) -> Result<GetDetailsResponse, Refused> {
        let id = request_id(id)?;
        let now = self.clock.now_ms();
        let state = self.lock();
        let request = state.requests.get(&id).ok_or(Refused::RequestUnknown)?;
        let end = request.sdk_end(now);
        let stdin_private = request.body.stdin_private;
        let tail = match request.body.dialect {
            Dialect::Base => Tail::Base(BaseTail {
                error: end.error,
                stdin_private,
            }),
            Dialect::Auction => {
                let (base_fee, max_price_per_pgu) = request.body.prices.clone().unzip();
                Tail::Auction(AuctionTail {
                    base_fee,
                    max_price_per_pgu,
                    error: end.error,
                    is_canceled: request.record.cancelled,
                    stdin_private,
                    error_trace: request.explanation().map(String::into_bytes),
                })
            }
        };
        let common = self.common(&id, request, end);
        Ok(GetDetailsResponse {
            request: Some(details::encode(&common, &tail)),
        })
    }

    /// `GetFilteredProofRequests`: of what the caller owns.
    pub(crate) fn list(
        &self,
        filter: &GetFilteredRequest,
        caller: Caller,
    ) -> Result<GetFilteredResponse, Refused> {
        let owner = match caller {
            Caller::Nobody => return Err(Refused::NotSeen),
            Caller::Owner(owner) => Some(owner),
            Caller::Everything => None,
        };
        let now = self.clock.now_ms();
        let state = self.lock();
        let mut found: Vec<Common> = state
            .requests
            .iter()
            .filter(|(_, request)| owner.is_none_or(|owner| request.record.requester == owner))
            .map(|(id, request)| (request.sdk_end(now), id, request))
            .filter(|(end, ..)| filter.error.is_none_or(|error| error == end.error))
            .map(|(end, id, request)| self.common(id, request, end))
            .filter(|common| passes(filter, common))
            .collect();
        found.sort_by(|one, other| {
            (other.created_at, &other.request_id).cmp(&(one.created_at, &one.request_id))
        });
        let limit = filter.limit.unwrap_or(PAGE).clamp(1, PAGE) as usize;
        let page = filter.page.unwrap_or(1).max(1) as usize - 1;
        let page = found.iter().skip(page.saturating_mul(limit)).take(limit);
        Ok(GetFilteredResponse {
            requests: page.map(prost::Message::encode_to_vec).collect(),
        })
    }

    fn common(&self, id: &Id, request: &Request, end: SdkEnd) -> Common {
        let body = &request.body;
        let record = &request.record;
        Common {
            request_id: id.to_vec(),
            vk_hash: body.vk_hash.to_vec(),
            version: body.version.clone(),
            mode: body.mode,
            strategy: body.strategy,
            program_uri: program_uri(&body.vk_hash),
            stdin_uri: body.stdin_uri.clone(),
            deadline: record.deadline_ms / 1000,
            cycle_limit: body.cycle_limit,
            fulfillment_status: end.fulfillment,
            execution_status: end.execution,
            requester: record.requester.0.to_vec(),
            fulfiller: Some(self.config.prover.0.to_vec()),
            created_at: record.created_ms / 1000,
            updated_at: record.updated_ms / 1000,
            fulfilled_at: (end.fulfillment == FULFILLED).then_some(record.updated_ms / 1000),
            tx_hash: tx_hash(id),
            gas_limit: body.gas_limit,
            execute_fail_cause: end.cause,
            min_auction_period: body.min_auction_period,
            whitelist: body.whitelist.iter().map(|one| one.0.to_vec()).collect(),
        }
    }
}

impl Request {
    /// Where it stands, in the SDK's numbers.
    fn sdk_end(&self, now_ms: u64) -> SdkEnd {
        let running = |fulfillment, execution| SdkEnd {
            fulfillment,
            execution,
            error: ERROR_NONE,
            cause: CAUSE_NONE,
        };
        match &self.record.end {
            None => running(ASSIGNED, UNEXECUTED),
            Some(End::Proved(_)) => running(FULFILLED, EXECUTED),
            // Before the deadline the SDK would go on asking.
            Some(End::Failed(Code::DeadlinePassed, _)) if now_ms < self.record.deadline_ms => {
                ending::of(Code::Expired)
            }
            Some(End::Failed(code, _)) => ending::of(*code),
        }
    }

    /// A failure in words.
    fn explanation(&self) -> Option<String> {
        match &self.record.end {
            Some(End::Failed(code, text)) => Some(format!("{code}: {text} {}", code.remedy())),
            _ => None,
        }
    }
}

/// A status call that may wait: it has a place among those of its request.
struct Waiting<'a> {
    inner: &'a Inner,
    id: Id,
    ended: tokio::sync::watch::Receiver<bool>,
    deadline_ms: u64,
    _place: tokio::sync::SemaphorePermit<'a>,
}

impl<'a> Waiting<'a> {
    /// `None` if it need not wait, or may not.
    fn new(inner: &'a Arc<Inner>, id: Id) -> Result<Option<Self>, Refused> {
        let mut state = inner.lock();
        let request = state.requests.get_mut(&id).ok_or(Refused::RequestUnknown)?;
        let gap = Duration::from_millis(inner.config.times.poll_gap);
        let keeps_asking = request.polled.is_some_and(|at| at.elapsed() <= gap);
        request.polled = Some(Instant::now());
        if request.record.end.is_some()
            || !keeps_asking
            || request.polls >= inner.config.limits.polls_each
        {
            return Ok(None);
        }
        let Ok(place) = inner.polls.try_acquire() else {
            return Ok(None);
        };
        request.polls += 1;
        Ok(Some(Self {
            inner,
            id,
            ended: request.ended.subscribe(),
            deadline_ms: request.record.deadline_ms,
            _place: place,
        }))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.inner.lock().requests.get_mut(&self.id) {
            request.polls = request.polls.saturating_sub(1);
            request.polled = Some(Instant::now());
        }
    }
}

impl State {
    /// The request whose proof this capability opens.
    pub(crate) fn request_of_proof(&self, capability: &str) -> Option<(Id, &Request)> {
        let id = *self.proofs.get(&proof_place_of(capability))?;
        Some((id, self.requests.get(&id)?))
    }
}

fn passes(filter: &GetFilteredRequest, common: &Common) -> bool {
    fn same<T: PartialEq<U>, U>(wanted: Option<&T>, has: &U) -> bool {
        wanted.is_none_or(|wanted| *wanted == *has)
    }
    same(filter.version.as_ref(), &common.version)
        && same(
            filter.fulfillment_status.as_ref(),
            &common.fulfillment_status,
        )
        && same(filter.execution_status.as_ref(), &common.execution_status)
        && filter
            .minimum_deadline
            .is_none_or(|least| common.deadline >= least)
        && same(filter.vk_hash.as_ref(), &common.vk_hash)
        && same(filter.requester.as_ref(), &common.requester)
        && (filter.fulfiller.is_none() || filter.fulfiller == common.fulfiller)
        && filter.from.is_none_or(|from| common.created_at >= from)
        && filter.to.is_none_or(|to| common.created_at <= to)
        && same(filter.mode.as_ref(), &common.mode)
        && same(
            filter.execute_fail_cause.as_ref(),
            &common.execute_fail_cause,
        )
        && filter.settlement_status.unwrap_or_default() == 0
}

fn reply(id: &Id) -> RequestProofReply {
    RequestProofReply {
        tx_hash: tx_hash(id),
        body: Some(GetRequest {
            request_id: id.to_vec(),
        }),
    }
}

fn request_id(bytes: &[u8]) -> Result<Id, Refused> {
    bytes
        .try_into()
        .map_err(|_| Malformed("the request's id is not 32 bytes long").into())
}

/// A client's text for an error's: short, and nothing but letters and signs.
fn printable(text: &str) -> String {
    text.chars()
        .take(40)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}
