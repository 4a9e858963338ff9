//! Behaviour through the public interface; one executable, so that it is
//! linked once.

mod appraisal;
mod captured;
mod common;
mod golden;
mod policy;
mod properties;
mod session;
mod speed;
