//! GET /v1/jobs/{id}/events: server-sent events. `state` is a job's view in
//! JSON; `progress` is base64 of what only the client can read. What is known
//! comes first; after the end the stream closes.

use crate::{
    app::App,
    auth::{Caller, JobPath},
    hub::{Event, Heard, Subscription},
    problem::Problem,
};
use axum::{
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::stream::{self, Stream};
use soundproof_protocol::{
    api::{JobState, JobView},
    id::JobId,
};
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

struct Listener {
    app: Arc<App>,
    id: JobId,
    events: Subscription,
    /// To be sent before anything new.
    first: VecDeque<Event>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// What happens to a job, as it happens.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path, description = "UUIDv7")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    caller.job(&app, &id).await?;
    let place = app.subscriber()?;
    let (events, progress) = app.hub.subscribe(id);
    let job = caller.job(&app, &id).await?;
    let mut first = VecDeque::from([Event::State(Arc::new(job.view()))]);
    first.extend(progress.map(Event::Progress));
    let listener = Listener {
        app,
        id,
        events,
        first,
        over: false,
        _place: place,
    };
    let stream = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(render(event)), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        let event = match self.first.pop_front() {
            Some(event) => event,
            None => self.heard().await?,
        };
        self.over = matches!(&event, Event::State(view) if view.state == JobState::Ended);
        Some(event)
    }

    async fn heard(&mut self) -> Option<Event> {
        let heard = tokio::select! {
            heard = self.events.next() => heard,
            () = self.app.stopping.cancelled() => return None,
        };
        match heard {
            Heard::Event(event) => Some(event),
            Heard::Missed | Heard::Over => {
                // The store knows; a job that is gone has nothing to tell.
                let view: JobView = self.app.store.job(&self.id).await.ok()??.view();
                if matches!(heard, Heard::Over) && view.state != JobState::Ended {
                    let (events, progress) = self.app.hub.subscribe(self.id);
                    self.events = events;
                    self.first.extend(progress.map(Event::Progress));
                }
                Some(Event::State(Arc::new(view)))
            }
        }
    }
}

fn render(event: Event) -> sse::Event {
    match event {
        Event::State(view) => {
            // A view is plain fields: this cannot fail.
            let json = serde_json::to_string(&*view).unwrap_or_default();
            sse::Event::default().event("state").data(json)
        }
        Event::Progress(sealed) => sse::Event::default().event("progress").data(&*sealed),
    }
}
