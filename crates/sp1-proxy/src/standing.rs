//! How this client stands with its server: an accepted session that is kept,
//! and what the server offers; or why everything is refused. A task looks
//! again and again, and has evidence judged anew when a session nears its
//! end or the server is another life of itself.

use soundproof::{
    AcceptedSession, Client, Error, ServerInfo, Verdict,
    protocol::{error::Code, mode::ModeOffer},
};
use soundproof_sp1_network::{Mode, Offers, Refusal};
use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, task::AbortHandle};

/// The proof system's name.
pub(crate) const SYSTEM: &str = "sp1";
/// Bytes of a refusal's text at most: it travels in a header.
const MAX_TEXT: usize = 1500;

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Between two looks at the server.
    pub look: Duration,
    /// A session with less than this left is not kept.
    pub margin: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(10),
            margin: Duration::from_secs(90),
        }
    }
}

/// See the module. Ends its task when dropped.
#[derive(Debug)]
pub struct Standing {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    /// The user said that proofs which may reveal their witness are wanted.
    acknowledged: bool,
    rhythm: Rhythm,
    now: Mutex<Result<Offers, Refusal>>,
    again: Notify,
}

impl Standing {
    /// Has evidence judged, and keeps doing so.
    ///
    /// # Errors
    /// If it is not accepted now, or the server does not answer.
    pub async fn open(
        client: Client,
        acknowledged: bool,
        rhythm: Rhythm,
    ) -> Result<(Self, Verdict), Error> {
        let session = client.open_session().await?;
        let verdict = session.verdict().clone();
        let offers = offers(&client.info().await?, acknowledged);
        let this = Self::begin(client, acknowledged, rhythm, Ok(offers), Some(session));
        Ok((this, verdict))
    }

    /// The same, for a server that does not answer yet: everything is refused
    /// until it does.
    pub fn watch(client: Client, acknowledged: bool, rhythm: Rhythm) -> Self {
        let refusal = Refusal {
            passing: true,
            text: "The server is starting. Try again in a moment.".into(),
        };
        let this = Self::begin(client, acknowledged, rhythm, Err(refusal), None);
        this.look_again();
        this
    }

    fn begin(
        client: Client,
        acknowledged: bool,
        rhythm: Rhythm,
        now: Result<Offers, Refusal>,
        session: Option<AcceptedSession>,
    ) -> Self {
        let shared = Arc::new(Shared {
            client,
            acknowledged,
            rhythm,
            now: Mutex::new(now),
            again: Notify::new(),
        });
        let task = tokio::spawn(keep(shared.clone(), session)).abort_handle();
        Self { shared, task }
    }

    /// What is offered, or why everything is refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn now(&self) -> Result<Offers, Refusal> {
        self.shared.lock().clone()
    }

    /// Something happened that makes another appraisal due now.
    pub(crate) fn look_again(&self) {
        self.shared.again.notify_one();
    }

    /// Whether proofs that may reveal their witness are wanted.
    pub(crate) fn acknowledged(&self) -> bool {
        self.shared.acknowledged
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Result<Offers, Refusal>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look. `session` is what is left to be kept.
    async fn look(
        &self,
        session: &mut Option<AcceptedSession>,
        due: bool,
    ) -> Result<Offers, Refusal> {
        let info = self.client.info().await.map_err(|error| refusal(&error))?;
        let good = session.as_ref().is_some_and(|session| {
            session.transcript().instance == info.instance
                && session.remaining() > self.rhythm.margin
        });
        if due || !good {
            *session = None;
            // Jobs, too, are sealed to what is judged from now on.
            self.client.forget_session().await;
            let opened = self.client.open_session().await;
            *session = Some(opened.map_err(|error| refusal(&error))?);
        }
        Ok(offers(&info, self.acknowledged))
    }
}

async fn keep(shared: Arc<Shared>, mut session: Option<AcceptedSession>) {
    loop {
        let due = tokio::select! {
            () = tokio::time::sleep(shared.rhythm.look) => false,
            () = shared.again.notified() => true,
        };
        let found = shared.look(&mut session, due).await;
        let before = core::mem::replace(&mut *shared.lock(), found.clone());
        match found {
            Err(refusal) if before.is_ok() => {
                tracing::error!(why = refusal.text, "everything is refused from now on");
            }
            Ok(_) if before.is_err() => tracing::info!("the server is accepted"),
            _ => {}
        }
    }
}

/// Why everything is refused, for the SDK's user.
pub(crate) fn refusal(error: &Error) -> Refusal {
    let mut text = match error.verdict() {
        Some(verdict) => rejected(verdict),
        None => format!("{error}. {}", error.remedy()),
    };
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    Refusal {
        // Evidence that does not fit, and whatever else no waiting mends, is
        // told at once.
        passing: error.verdict().is_none() && error.retryable(),
        text,
    }
}

fn rejected(verdict: &Verdict) -> String {
    let mut text = String::from("The server's evidence was rejected by your policy:");
    for check in verdict.failures() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " {}: expected {}; found {}. {}",
            check.name, check.expected, check.found, check.remedy
        );
    }
    text.push_str(" Nothing is sent; ");
    text.push_str(Code::EvidenceRejected.remedy());
    text
}

/// What the SDK may ask for, of what the server says.
fn offers(info: &ServerInfo, acknowledged: bool) -> Offers {
    let mut offers = Offers::default();
    for mode in Mode::ALL {
        let named = |offer: &&ModeOffer| offer.system == SYSTEM && offer.mode.name == mode.name();
        let missing = match info.modes.iter().find(named).map(|offer| &offer.mode) {
            None => Some("this server has no prover for it".into()),
            Some(offer) if !offer.offered() => offer.unavailable.clone(),
            Some(offer) if offer.hides => None,
            Some(_) if info.refuse_not_hiding => Some(Code::ModeRefused.title().into()),
            Some(_) if !acknowledged => Some(unacknowledged(mode)),
            Some(_) => None,
        };
        match missing {
            None => offers.modes.push(mode),
            Some(why) => offers.missing.push((mode, why)),
        }
    }
    offers
}

/// Why a mode that does not hide is refused, and what to add.
pub(crate) fn unacknowledged(mode: Mode) -> String {
    format!(
        "proofs of mode {} are not zero-knowledge: whoever gets one may learn of the input. \
         If that is meant, start `soundproof connect` with --acknowledge-not-hiding; \
         else ask for plonk or groth16",
        mode.name()
    )
}
