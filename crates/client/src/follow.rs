//! Follows a job's events for an observer: the host's word on its state, and
//! sealed progress. Nothing is decided by them, so nothing here fails: a
//! stream that breaks is opened again, a little later each time.

use crate::{
    Error, Submitted,
    event::{Event, Observer},
    sse::Parser,
};
use base64::Engine as _;
use reqwest::Method;
use soundproof_protocol::{
    api::JobView,
    cbor,
    outcome::{Progress, Salt, SealedProgress},
};
use std::{convert::Infallible, time::Duration};

/// Bytes of an encoded progress event at most.
const MAX_PROGRESS: usize = 1024;

/// Never ends; drop it.
pub(crate) async fn follow(job: &Submitted, observer: Observer<'_>) -> Infallible {
    let mut seen = Seen::default();
    let mut pause = Duration::from_millis(250);
    loop {
        if follow_once(job, observer, &mut seen).await.is_err() {
            tracing::debug!("the event stream broke");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// The last progress event that was told: an older one is a replay.
#[derive(Default)]
struct Seen {
    last: Option<(Salt, u32)>,
    attempt: u32,
}

impl Seen {
    fn is_new(&mut self, sealed: &SealedProgress, progress: &Progress) -> bool {
        let replayed = match self.last {
            Some((salt, sequence)) if salt == sealed.salt => sealed.sequence <= sequence,
            Some(_) => progress.attempt <= self.attempt,
            None => false,
        };
        if !replayed {
            self.last = Some((sealed.salt, sealed.sequence));
            self.attempt = progress.attempt;
        }
        !replayed
    }
}

async fn follow_once(
    job: &Submitted,
    observer: Observer<'_>,
    seen: &mut Seen,
) -> Result<(), Error> {
    const CALL: &str = "following the job";
    let transport = job.client.vouched_transport().await?;
    let path = format!("v1/jobs/{}/events", job.job());
    let request = transport
        .request(Method::GET, &path, Some(&job.ticket.access_secret))?
        .header(reqwest::header::ACCEPT, "text/event-stream")
        .timeout(Duration::from_secs(24 * 3600));
    let mut response = transport.send(CALL, request).await?;
    let mut parser = Parser::default();
    loop {
        let piece = response
            .chunk()
            .await
            .map_err(|error| transport.network(CALL, &error))?;
        let Some(piece) = piece else { return Ok(()) };
        parser
            .feed(&piece, |name, data| tell(job, observer, seen, name, data))
            .map_err(|_| Error::Reply {
                call: CALL,
                what: "an event is too long".into(),
            })?;
    }
}

fn tell(job: &Submitted, observer: Observer<'_>, seen: &mut Seen, name: &str, data: &str) {
    match name {
        "state" => {
            if let Ok(view) = serde_json::from_str::<JobView>(data) {
                observer.tell(&Event::State(view.state));
            }
        }
        "progress" => {
            let Some((sealed, progress)) = open(job, data) else {
                tracing::debug!("a progress event that is none of this job's");
                return;
            };
            if seen.is_new(&sealed, &progress) {
                observer.tell(&Event::Progress {
                    phase: &crate::error::clean(&progress.phase),
                    permille: progress.permille.min(1000),
                    attempt: progress.attempt,
                });
            }
        }
        _ => {}
    }
}

fn open(job: &Submitted, data: &str) -> Option<(SealedProgress, Progress)> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .ok()?;
    let sealed: SealedProgress = cbor::from_slice(&bytes, MAX_PROGRESS).ok()?;
    let digest = job.description.digest();
    let progress =
        soundproof_seal::progress::open(&job.ticket.outcome_key, &digest, &sealed).ok()?;
    Some((sealed, progress))
}
