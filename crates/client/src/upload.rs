//! From an accepted session to an acknowledged job: program parts, create
//! call, sealed input. May be cut anywhere and run again.

use crate::{
    AcceptedSession, Client, Error, Input, JobOptions, Program,
    event::{Event, Observer},
    parts::{Line, has_blob, is_acknowledged, put_blob},
    sealing::Sealing,
    submitted::Submitted,
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use reqwest::{Method, header::CONTENT_TYPE};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{CBOR, CreateJob, JobState, JobView},
    cbor,
    digest::Digest,
    error::Code,
    id::JobId,
    ticket::Ticket,
};
use std::{
    collections::HashMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// A sealed job on its way up. If [`Upload::run`] fails for want of a
/// connection, it can be run again: parts that arrived stay, those that must
/// be made again are compared with what they were.
pub struct Upload {
    client: Client,
    session: Arc<AcceptedSession>,
    program: Program,
    sealing: Sealing,
    in_flight: usize,
    created: bool,
    spent: Duration,
}

impl Client {
    /// Seals `input` for `session`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::SessionOver`], [`Error::File`], [`Error::Seal`], and
    /// [`Error::Program`] for a mode that does not hide and was not
    /// acknowledged.
    pub fn upload(
        &self,
        session: &Arc<AcceptedSession>,
        program: &Program,
        input: &Input,
        options: &JobOptions,
    ) -> Result<Upload, Error> {
        self.upload_for(session, &[], program, input, options)
    }

    /// [`Client::upload`] for more recipients: any of these enclaves can open
    /// the input too. The job is sent to the first.
    ///
    /// # Errors
    /// As [`Client::upload`].
    pub fn upload_for(
        &self,
        session: &Arc<AcceptedSession>,
        others: &[&AcceptedSession],
        program: &Program,
        input: &Input,
        options: &JobOptions,
    ) -> Result<Upload, Error> {
        program.check_acknowledged(options.acknowledges_not_hiding)?;
        let mut sessions: Vec<&AcceptedSession> = vec![session];
        sessions.extend(others);
        Ok(Upload {
            client: self.clone(),
            session: Arc::clone(session),
            program: program.clone(),
            sealing: Sealing::new(&sessions, program, input, options)?,
            in_flight: options.parts_in_flight.max(1),
            created: false,
            spent: Duration::ZERO,
        })
    }
}

impl Upload {
    /// The job's id.
    pub fn job(&self) -> JobId {
        self.sealing.description.job
    }

    /// Sends what the server does not hold yet, until the job is
    /// acknowledged.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if the input is not what it was: this upload
    /// is then over. [`Error::Unreachable`]: run it again.
    pub async fn run(&mut self, observer: Observer<'_>) -> Result<Submitted, Error> {
        self.session.check_live()?;
        let started = Instant::now();
        let sealed_before = self.sealing.spent;
        let done = self.go(observer).await;
        let sealing = self.sealing.spent.saturating_sub(sealed_before);
        self.spent += started.elapsed().saturating_sub(sealing);
        done?;
        let sealed_input = self
            .sealing
            .sealed_input()
            .ok_or(Error::Internal("a part was left out"))?;
        let job = self.job();
        observer.tell(&Event::Acknowledged(job));
        Ok(Submitted {
            client: self.client.clone(),
            ticket: Ticket {
                version: PROTOCOL_VERSION,
                url: self.client.url(),
                description: cbor::to_vec(&self.sealing.description).into(),
                outcome_key: self.sealing.keys.outcome.clone(),
                access_secret: self.sealing.keys.access.clone(),
                sealed_input,
                commitment: self.sealing.keys.commitment,
                session: self.session.evidence().clone(),
            },
            description: self.sealing.description.clone(),
            verifier: Arc::clone(&self.program.verifier),
            verdict: self.session.verdict().clone(),
            appraised: self.session.judged.grounds.is_accepted(),
            seal: self.sealing.spent,
            upload: self.spent,
            acknowledged: Instant::now(),
        })
    }

    async fn go(&mut self, observer: Observer<'_>) -> Result<(), Error> {
        let inline = if self.sealing.is_inline() {
            Some(Bytes::from(self.sealing.part(0).await?.0))
        } else {
            None
        };
        // A part that the store lost since it was last seen is sent again,
        // once.
        self.put_program(observer).await?;
        let view = match self.create(inline.as_ref()).await {
            Err(Error::Refused {
                code: Code::BlobMissing | Code::BlobCorrupt,
                ..
            }) => {
                self.client.forget_blobs();
                self.put_program(observer).await?;
                self.create(inline.as_ref()).await?
            }
            done => done?,
        };
        let resumed = core::mem::replace(&mut self.created, true);
        observer.tell(&Event::Created(view.id));
        if is_acknowledged(view.state) {
            // Acknowledged before, and the reply was lost; or inline. The
            // digest of what was sent must still be known.
            return self.make_all().await;
        }
        if inline.is_some() {
            return Err(Error::Reply {
                call: "creating the job",
                what: "a whole input was sent and not taken".into(),
            });
        }
        self.put_parts(resumed || view.state == JobState::Uploading, observer)
            .await
    }

    async fn create(&self, inline: Option<&Bytes>) -> Result<JobView, Error> {
        const CALL: &str = "creating the job";
        let transport = &self.session.transport;
        let body = Bytes::from(cbor::to_vec(&CreateJob {
            description: cbor::to_vec(&self.sealing.description).into(),
            header: self.sealing.header_bytes().into(),
            part_chunks: self.sealing.part_chunks,
            input: inline.map(|bytes| bytes.to_vec().into()),
        }));
        let view: JobView = self
            .client
            .0
            .retry
            .run(|| async {
                let request = transport
                    .request(Method::POST, "v1/jobs", None)?
                    .header(CONTENT_TYPE, CBOR)
                    .body(body.clone());
                transport.json(CALL, request).await
            })
            .await?;
        if view.id != self.job() || view.description != self.sealing.digest {
            return Err(Error::Reply {
                call: CALL,
                what: "it is about another job".into(),
            });
        }
        Ok(view)
    }

    /// Makes what was not made, without sending it.
    async fn make_all(&mut self) -> Result<(), Error> {
        for part in 0..self.sealing.layout.parts() {
            if self.sealing.made(part).is_none() {
                self.sealing.part(part).await?;
            }
        }
        Ok(())
    }

    async fn put_parts(&mut self, resuming: bool, observer: Observer<'_>) -> Result<(), Error> {
        let line = Line {
            client: self.client.clone(),
            transport: Arc::clone(&self.session.transport),
            job: self.job(),
            access: self.sealing.keys.access.clone(),
        };
        let held = if resuming {
            line.held().await?
        } else {
            HashMap::new()
        };
        let (parts, layout) = (self.sealing.layout.parts(), self.sealing.layout);
        let of = (0..parts).filter_map(|p| layout.part_len(p)).sum();
        let in_flight = self.in_flight;
        let line = Arc::new(line);
        let (mut bytes, mut complete) = (0, false);
        let mut took = |(len, done): (u64, bool)| {
            bytes += len;
            complete |= done;
            observer.tell(&Event::Uploaded { bytes, of });
        };
        // Parts are made one after the other and sent a few at a time: what
        // is in memory is bounded by both.
        let mut flying: FuturesUnordered<BoxFuture<'static, Result<(u64, bool), Error>>> =
            FuturesUnordered::new();
        for part in 0..parts {
            let len = layout.part_len(part).unwrap_or(0);
            let mut making = pin!(make(&mut self.sealing, part, held.get(&part).copied()));
            let made = loop {
                if flying.is_empty() {
                    break making.as_mut().await?;
                }
                match select(making.as_mut(), flying.select_next_some()).await {
                    Either::Left((made, _)) => break made?,
                    Either::Right((sent, _)) => took(sent?),
                }
            };
            match made {
                Some(body) => {
                    let line = Arc::clone(&line);
                    let sent = async move { Ok((len, line.put(part, body).await?)) };
                    flying.push(sent.boxed());
                }
                None => took((len, false)),
            }
            while flying.len() >= in_flight {
                took(flying.select_next_some().await?);
            }
        }
        while let Some(sent) = flying.try_next().await? {
            took(sent);
        }
        if complete || line.is_complete().await? {
            return Ok(());
        }
        Err(Error::Reply {
            call: "sending the input",
            what: "every part was sent and not all were taken".into(),
        })
    }

    async fn put_program(&self, observer: Observer<'_>) -> Result<(), Error> {
        for part in self.program.parts.iter() {
            if self.client.knows_blob(&part.name.digest) {
                continue;
            }
            let transport = &self.session.transport;
            let retry = &self.client.0.retry;
            if !retry.run(|| has_blob(transport, &part.name.digest)).await? {
                observer.tell(&Event::Program {
                    role: &part.name.role,
                    bytes: part.len,
                });
                retry.run(|| put_blob(transport, part)).await?;
            }
            self.client.note_blob(part.name.digest);
        }
        Ok(())
    }
}

/// Makes a part, unless the server holds it just so.
async fn make(
    sealing: &mut Sealing,
    part: u32,
    at_server: Option<Digest>,
) -> Result<Option<Bytes>, Error> {
    if at_server.is_some() && at_server == sealing.made(part) {
        return Ok(None);
    }
    let (bytes, digest) = sealing.part(part).await?;
    match at_server {
        Some(there) if there == digest => Ok(None),
        // Other bytes under our index: changed by the host, or sent by
        // another life of ours.
        Some(_) => Err(Error::SourceChanged),
        None => Ok(Some(Bytes::from(bytes))),
    }
}

impl core::fmt::Debug for Upload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Upload({}, …)", self.job())
    }
}
