//! Compiled modules as bytes.
//!
//! `unsafe` for one call: a compiled module is machine code, and wasmtime cannot
//! tell good from bad. It is sound here by where the bytes come from. They are
//! made by [`super::Program::to_derived`] in a process of this same executable
//! that has compiled a program and not run any of it, and that has seen no
//! input; the keeper holds them in its memory, under the digest of the program
//! and of the executable, and hands them to later processes of it over a pipe
//! that nobody else has. wasmtime checks that version, settings and processor
//! match. Were they forged all the same, what would run is in the process that
//! is made to run hostile code.
#![allow(unsafe_code)]

use wasmtime::{Engine, Module};

use super::error::WitgenError;

pub(super) fn load(engine: &Engine, bytes: &[u8]) -> Result<Module, WitgenError> {
    // SAFETY: see the module's documentation.
    unsafe { Module::deserialize(engine, bytes) }.map_err(|_| WitgenError::DerivedInvalid)
}
