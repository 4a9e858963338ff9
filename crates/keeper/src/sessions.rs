//! The bounded table of sessions. Room is taken before a key is made; a
//! session's key is wiped when its time is up.

use crate::receipt_key::ReceiptKey;
use soundproof_protocol::digest::Digest;
use soundproof_seal::Recipient;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An open session.
pub(crate) struct Session {
    pub(crate) recipient: Recipient,
    /// What HPKE's info and descriptions name it by.
    pub(crate) transcript: Digest,
    pub(crate) receipt_key: Arc<ReceiptKey>,
    pub(crate) evidence: Digest,
    /// Whoever seals for it appraises first. False for sessions that the
    /// gateway opened to seal what arrives on the direct path.
    pub(crate) client_appraises: bool,
}

#[derive(Default)]
struct Table {
    open: HashMap<Digest, (Arc<Session>, Instant)>,
    reserved: usize,
}

/// See the module.
pub(crate) struct Sessions {
    max: usize,
    lifetime: Duration,
    table: Mutex<Table>,
}

/// Room for one session, given back if it is not filled.
pub(crate) struct Room<'a>(&'a Sessions);

impl Sessions {
    pub(crate) fn new(max: usize, lifetime: Duration) -> Self {
        Self {
            max,
            lifetime,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for one; `None` when the table is full.
    pub(crate) fn reserve(&self) -> Option<Room<'_>> {
        let mut table = self.lock();
        if table.open.len() + table.reserved >= self.max {
            forget_expired(&mut table);
        }
        if table.open.len() + table.reserved >= self.max {
            return None;
        }
        table.reserved += 1;
        Some(Room(self))
    }

    /// The session with this transcript, unless its time is up.
    pub(crate) fn get(&self, transcript: &Digest) -> Option<Arc<Session>> {
        let mut table = self.lock();
        let (session, expires) = table.open.get(transcript)?;
        if *expires > Instant::now() {
            return Some(session.clone());
        }
        table.open.remove(transcript);
        None
    }

    /// Wipes the keys of sessions whose time is up.
    pub(crate) fn sweep(&self) {
        forget_expired(&mut self.lock());
    }

    /// How many are open, and for how many there is room.
    pub(crate) fn count(&self) -> (usize, usize) {
        let table = self.lock();
        let open = table.open.len();
        (open, self.max.saturating_sub(open + table.reserved))
    }
}

fn forget_expired(table: &mut Table) {
    let now = Instant::now();
    table.open.retain(|_, (_, expires)| *expires > now);
}

impl Room<'_> {
    /// Fills it.
    pub(crate) fn fill(self, session: Session) {
        let expires = Instant::now() + self.0.lifetime;
        self.0
            .lock()
            .open
            .insert(session.transcript, (Arc::new(session), expires));
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.reserved = table.reserved.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random, receipt_key::ReceiptKeys};
    use soundproof_protocol::suite::Suite;

    fn session(n: u8) -> Session {
        Session {
            recipient: Recipient::generate(Suite::X25519, &mut random::rng()).unwrap(),
            transcript: Digest([n; 32]),
            receipt_key: ReceiptKeys::new(Duration::MAX).current(),
            evidence: Digest([0; 32]),
            client_appraises: true,
        }
    }

    #[test]
    fn the_table_is_bounded_and_room_comes_back() {
        let sessions = Sessions::new(2, Duration::from_secs(60));
        sessions.reserve().unwrap().fill(session(1));
        let room = sessions.reserve().unwrap();
        assert!(sessions.reserve().is_none(), "reserved room counts");
        drop(room);
        sessions.reserve().unwrap().fill(session(2));
        assert!(sessions.reserve().is_none());
        assert_eq!(sessions.count(), (2, 0));
    }

    /// Broken if sessions outlived their time: the first would still be there.
    #[test]
    fn an_expired_session_is_gone_and_its_key_wiped() {
        let sessions = Sessions::new(1, Duration::ZERO);
        sessions.reserve().unwrap().fill(session(1));
        assert!(sessions.get(&Digest([1; 32])).is_none());
        sessions.reserve().unwrap().fill(session(2));
        let weak = {
            let table = sessions.lock();
            Arc::downgrade(&table.open[&Digest([2; 32])].0)
        };
        sessions.sweep();
        assert!(
            weak.upgrade().is_none(),
            "the table was the last to hold the key"
        );
        assert_eq!(sessions.count(), (0, 1));
    }
}
