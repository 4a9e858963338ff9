//! `soundproof circuit`: circuits by name, and what their files say.

use crate::{
    circuits::{CircuitFiles, Entry, Register},
    failure::Failure,
    output::Output,
};
use serde::Serialize;
use soundproof::Program;
use std::{fmt::Write as _, path::PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Remember a circuit's files, with their digests, under a name
    Add {
        /// What to call it
        name: String,
        #[command(flatten)]
        files: CircuitFiles,
    },
    /// Show a circuit's digests, sizes and number of public signals
    Inspect {
        /// A circuit that was added [default: all of them]
        #[arg(conflicts_with_all = ["wasm", "zkey", "vkey"])]
        name: Option<String>,
        #[command(flatten)]
        files: CircuitFiles,
    },
}

/// What a circuit's files say.
#[derive(Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    system: &'static str,
    public_signals: usize,
    parts: Vec<Part>,
    /// The files are not what they were when the circuit was added.
    changed: bool,
}

#[derive(Serialize)]
struct Part {
    role: String,
    sha256: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
}

pub(crate) fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Add { name, files } => add(name, files, output),
        Command::Inspect {
            name: None,
            files:
                CircuitFiles {
                    wasm: None,
                    zkey: None,
                    vkey: None,
                },
        } => {
            let register = Register::read()?;
            let names: Vec<&String> = register.circuit.keys().collect();
            let text: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let text = match text.is_empty() {
                true => "no circuits; add one with `soundproof circuit add`".into(),
                false => text.join("\n"),
            };
            output.result(&serde_json::json!({ "circuits": names }), text);
            Ok(())
        }
        Command::Inspect { name, files } => {
            let register = Register::read()?;
            let entry = name.as_ref().map(|name| register.find(name)).transpose()?;
            let files = entry.map_or_else(|| files.clone(), Entry::files);
            let program = files.program(files.wasm.is_none())?;
            let mut facts = facts(&program, &files);
            facts.name.clone_from(name);
            facts.changed = entry.is_some_and(|entry| !entry.is_of(&program));
            let text = text(&facts);
            output.result(&facts, text);
            Ok(())
        }
    }
}

fn add(name: &str, files: &CircuitFiles, output: Output) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Failure::usage(
            "that is no name for a circuit",
            "Use 1 to 64 letters, digits, dots, hyphens and underscores.",
        ));
    }
    let files = files.absolute()?;
    let program = files.program(files.wasm.is_none())?;
    let mut register = Register::read()?;
    register
        .circuit
        .insert(name.to_owned(), Entry::new(&files, &program)?);
    let path = register.write()?;
    let mut facts = facts(&program, &files);
    facts.name = Some(name.to_owned());
    let text = format!("{}\nremembered in {}", text(&facts), path.display());
    output.result(&facts, text);
    Ok(())
}

fn facts(program: &Program, files: &CircuitFiles) -> Facts {
    Facts {
        name: None,
        system: soundproof::GROTH16,
        public_signals: program.public_count().unwrap_or_default(),
        parts: program
            .parts()
            .map(|(role, digest, bytes)| Part {
                role: role.to_owned(),
                sha256: digest.to_string(),
                bytes,
                path: match role {
                    soundproof::WITNESS_GENERATOR => files.wasm.clone(),
                    soundproof::PROVING_KEY => files.zkey.clone(),
                    _ => files.vkey.clone(),
                },
            })
            .collect(),
        changed: false,
    }
}

fn text(facts: &Facts) -> String {
    let mut text = String::new();
    if let Some(name) = &facts.name {
        text.push_str(name);
        text.push_str(": ");
    }
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{}, {} public signals",
        facts.system, facts.public_signals
    );
    for part in &facts.parts {
        let _ = write!(
            text,
            "\n{:<18} {:>12} bytes  sha256 {}",
            part.role, part.bytes, part.sha256
        );
    }
    if facts.changed {
        text.push_str("\nCHANGED: the files are not what they were when the circuit was added");
    }
    text
}
