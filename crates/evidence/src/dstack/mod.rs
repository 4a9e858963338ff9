//! dstack: a trust domain whose guest measures an application into RTMR3 and
//! hands over an event log that says what it measured.
//!
//! A log is a claim. Digests of run-time events are computed from their
//! payloads here, whatever the log says, and count only if all four registers
//! replay to the quote's. Who the application is comes from the events before
//! `system-ready`: what follows is the application's own to extend.
//!
//! | module | what |
//! |---|---|
//! | [`log`] | the event log in JSON, version 1 and 2, and its replay |
//! | [`identity`] | what ran: application, compose file, instance, key provider, image |
//! | [`compose`] | app-compose.json: its hash over raw bytes, and what it lets others see |
//! | [`mr_config`] | MRCONFIGID, versions 1 to 3 |
//! | [`quote_json`] | the guest agent's GetQuote answer, as files hold it |
//! | [`ingress`] | the TLS certificates that dstack-ingress binds a quote to |

pub mod compose;
pub mod identity;
pub mod ingress;
mod judge;
pub mod log;
pub mod mr_config;
pub mod quote_json;
mod release;

pub use compose::Compose;
pub use identity::{Identity, IdentityError, KeyProvider};
pub(crate) use judge::Dstack;
pub use judge::{Carried, DstackFacts};
pub use log::{Event, EventLog, LogError, Version};
pub use mr_config::MrConfig;
pub use quote_json::{QuoteJson, QuoteJsonError};
pub use release::Release;
