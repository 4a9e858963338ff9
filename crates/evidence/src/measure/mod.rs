//! Expected values before there is anything to judge: what a deployment will
//! measure, computed from what it is made of. Pure functions; nothing here
//! reads evidence.
//!
//! | module | what |
//! |---|---|
//! | [`dstack`] | compose hash, application id, RTMR3, an OS image's published measurements |

pub mod dstack;
