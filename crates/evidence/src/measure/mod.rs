//! Expected values before there is anything to judge: what a deployment will
//! measure, computed from what it is made of. Pure functions; nothing here
//! reads evidence.
//!
//! | module | what |
//! |---|---|
//! | [`dstack`] | compose hash, application id, RTMR3, an OS image's published measurements |
//! | [`snp`] | the launch measurement of an SEV-SNP guest |
//! | [`nitro`] | PCR 0, 1, 2 and 8 of a Nitro enclave's image file |

pub mod dstack;
pub mod nitro;
pub mod snp;
mod vmsa;
