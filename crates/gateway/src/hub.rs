//! What happens to jobs, told to whoever listens: event streams and long
//! polls. In this process only; what counts is in the store.

use soundproof_protocol::{api::JobView, id::JobId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind.
const BACKLOG: usize = 64;

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    State(Arc<JobView>),
    /// Base64 of a sealed progress.
    Progress(Arc<str>),
}

#[derive(Default)]
pub(crate) struct Hub {
    topics: Mutex<HashMap<JobId, Topic>>,
}

struct Topic {
    events: broadcast::Sender<Event>,
    progress: Option<Arc<str>>,
    /// The job runs: keep the last progress, whoever listens.
    running: bool,
}

impl Hub {
    fn topics(&self) -> MutexGuard<'_, HashMap<JobId, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells where a job is now.
    pub(crate) fn state(&self, view: JobView) {
        let mut topics = self.topics();
        let over = view.end.is_some();
        let id = view.id;
        if let Some(topic) = topics.get_mut(&id) {
            // Nobody may be listening.
            let _ = topic.events.send(Event::State(Arc::new(view)));
            if over {
                topics.remove(&id);
            }
        }
    }

    /// Tells the progress of a running job, and keeps the last for those that
    /// come later.
    pub(crate) fn progress(&self, id: JobId, sealed: Arc<str>) {
        let mut topics = self.topics();
        if let Some(topic) = topics.get_mut(&id) {
            topic.progress = Some(sealed.clone());
            let _ = topic.events.send(Event::Progress(sealed));
        }
    }

    /// From now on the job's progress is kept. Ends with the job's end, or
    /// with [`idle`](Self::idle).
    pub(crate) fn running(&self, id: JobId) {
        self.topics().entry(id).or_insert_with(Topic::new).running = true;
    }

    /// The job does not run any more, without having ended.
    pub(crate) fn idle(&self, id: JobId) {
        let mut topics = self.topics();
        if let Some(topic) = topics.get_mut(&id) {
            topic.progress = None;
            topic.running = false;
            if topic.events.receiver_count() == 0 {
                topics.remove(&id);
            }
        }
    }

    /// Everything from now on, and the last progress before. Subscribe first,
    /// then read the store: then nothing falls between.
    pub(crate) fn subscribe(self: &Arc<Self>, id: JobId) -> (Subscription, Option<Arc<str>>) {
        let mut topics = self.topics();
        let topic = topics.entry(id).or_insert_with(Topic::new);
        let events = Some(topic.events.subscribe());
        (
            Subscription {
                id,
                events,
                hub: self.clone(),
            },
            topic.progress.clone(),
        )
    }
}

impl Topic {
    fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            progress: None,
            running: false,
        }
    }
}

/// One listener.
pub(crate) struct Subscription {
    id: JobId,
    events: Option<broadcast::Receiver<Event>>,
    hub: Arc<Hub>,
}

/// What a listener hears.
pub(crate) enum Heard {
    Event(Event),
    /// It was too slow and missed some: the store knows the state.
    Missed,
    /// Nothing more will come.
    Over,
}

impl Subscription {
    pub(crate) async fn next(&mut self) -> Heard {
        let Some(events) = &mut self.events else {
            return Heard::Over;
        };
        match events.recv().await {
            Ok(event) => Heard::Event(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
            Err(broadcast::error::RecvError::Closed) => Heard::Over,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events = None;
        let mut topics = self.hub.topics();
        if topics
            .get(&self.id)
            .is_some_and(|topic| !topic.running && topic.events.receiver_count() == 0)
        {
            topics.remove(&self.id);
        }
    }
}
