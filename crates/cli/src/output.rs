//! The only place that prints. Results go to stdout, as text or as one JSON
//! object on one line; everything else goes to stderr.
#![allow(clippy::print_stdout)]

use crate::failure::Failure;
use serde::Serialize;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A result: `text` for people, `value` for programs.
    pub(crate) fn result(self, value: &impl Serialize, text: impl core::fmt::Display) {
        use std::io::Write as _;
        let mut out = std::io::stdout().lock();
        // Whoever reads may have gone away: nothing to be done about it.
        let _ = if self.json {
            match serde_json::to_string(value) {
                Ok(line) => writeln!(out, "{line}"),
                Err(error) => writeln!(out, "{{\"error\":\"{error}\"}}"),
            }
        } else {
            writeln!(out, "{text}")
        };
    }

    /// Bytes as they are, for scripts that a shell reads.
    pub(crate) fn raw(self, bytes: &[u8]) {
        use std::io::Write as _;
        let _ = std::io::stdout().lock().write_all(bytes);
    }

    /// Said on the way; with `--json` to stderr.
    pub(crate) fn say(self, text: impl core::fmt::Display) {
        if self.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// A warning, on stderr.
    pub(crate) fn warn(self, text: impl core::fmt::Display) {
        eprintln!("{text}");
    }

    /// A failure: with `--json` as an object on stdout, else three lines on
    /// stderr.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            #[derive(Serialize)]
            struct Problem<'a> {
                error: &'a Failure,
            }
            self.result(&Problem { error: failure }, "");
        } else {
            eprintln!("{failure}");
        }
    }
}
