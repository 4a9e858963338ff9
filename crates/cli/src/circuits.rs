//! Named circuits: paths and digests, in a file of the user's settings.

use crate::{failure::Failure, files};
use clap::Args;
use serde::{Deserialize, Serialize};
use soundproof::{Program, protocol::error::Code};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Bytes of the register at most.
const MAX_REGISTER: usize = 1024 * 1024;

/// A circuit, by name or by its files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Circuit {
    /// A circuit that `circuit add` knows
    #[arg(long, value_name = "NAME", conflicts_with_all = ["wasm", "zkey", "vkey"])]
    circuit: Option<String>,
    #[command(flatten)]
    files: CircuitFiles,
}

/// A circuit's files.
#[derive(Debug, Clone, Args)]
pub(crate) struct CircuitFiles {
    /// Witness generator, as circom compiles it
    #[arg(long, value_name = "FILE")]
    pub(crate) wasm: Option<PathBuf>,
    /// Proving key, as snarkjs has it
    #[arg(long, value_name = "FILE")]
    pub(crate) zkey: Option<PathBuf>,
    /// Verifying key, as snarkjs exports it
    #[arg(long, value_name = "FILE")]
    pub(crate) vkey: Option<PathBuf>,
}

impl Circuit {
    /// The program; `ready_made`: the input is a witness already, and no
    /// witness generator is needed.
    pub(crate) fn program(&self, ready_made: bool) -> Result<Program, Failure> {
        match &self.circuit {
            Some(name) => {
                let register = Register::read()?;
                let entry = register.find(name)?;
                let program = entry.files().program(ready_made)?;
                entry.check(name, &program)?;
                Ok(program)
            }
            None => self.files.program(ready_made),
        }
    }
}

impl CircuitFiles {
    /// Reads all of them for their digests.
    pub(crate) fn program(&self, ready_made: bool) -> Result<Program, Failure> {
        let (Some(zkey), Some(vkey)) = (&self.zkey, &self.vkey) else {
            return Err(Failure::usage(
                "a circuit's keys are missing",
                "Give --circuit NAME, or --zkey FILE and --vkey FILE (and --wasm FILE).",
            ));
        };
        match (&self.wasm, ready_made) {
            (_, true) => Ok(Program::keys(zkey.as_path(), vkey.as_path())?),
            (Some(wasm), false) => Ok(Program::circom(
                wasm.as_path(),
                zkey.as_path(),
                vkey.as_path(),
            )?),
            (None, false) => Err(Failure::usage(
                "the circuit's witness generator is missing",
                "Give --wasm FILE, or a ready-made witness with --wtns FILE.",
            )),
        }
    }

    /// With absolute paths.
    pub(crate) fn absolute(&self) -> Result<Self, Failure> {
        let absolute = |path: &Option<PathBuf>| match path {
            Some(path) => path
                .canonicalize()
                .map(Some)
                .map_err(|error| Failure::file(path, &error)),
            None => Ok(None),
        };
        Ok(Self {
            wasm: absolute(&self.wasm)?,
            zkey: absolute(&self.zkey)?,
            vkey: absolute(&self.vkey)?,
        })
    }
}

/// A circuit in the register.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    wasm: Option<PathBuf>,
    zkey: PathBuf,
    vkey: PathBuf,
    /// SHA-256 by role, when it was added.
    digests: BTreeMap<String, String>,
}

impl Entry {
    pub(crate) fn new(files: &CircuitFiles, program: &Program) -> Result<Self, Failure> {
        let CircuitFiles {
            wasm,
            zkey: Some(zkey),
            vkey: Some(vkey),
        } = files.clone()
        else {
            return Err(Failure::usage(
                "a circuit's keys are missing",
                "Give --zkey FILE and --vkey FILE.",
            ));
        };
        Ok(Self {
            wasm,
            zkey,
            vkey,
            digests: program
                .parts()
                .map(|(role, digest, _)| (role.to_owned(), digest.to_string()))
                .collect(),
        })
    }

    pub(crate) fn files(&self) -> CircuitFiles {
        CircuitFiles {
            wasm: self.wasm.clone(),
            zkey: Some(self.zkey.clone()),
            vkey: Some(self.vkey.clone()),
        }
    }

    /// Whether the files are what they were when the circuit was added.
    pub(crate) fn is_of(&self, program: &Program) -> bool {
        program
            .parts()
            .all(|(role, digest, _)| self.digests.get(role) == Some(&digest.to_string()))
    }

    fn check(&self, name: &str, program: &Program) -> Result<(), Failure> {
        if self.is_of(program) {
            return Ok(());
        }
        Err(Failure::new(
            Code::SourceChanged,
            format!("the files of circuit {name} are not what they were when it was added"),
        )
        .remedy("Add the circuit again, if the change was meant."))
    }
}

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    #[serde(default)]
    pub(crate) circuit: BTreeMap<String, Entry>,
}

impl Register {
    fn path() -> Result<PathBuf, Failure> {
        files::config_folder()
            .map(|folder| folder.join("circuits.toml"))
            .ok_or_else(|| {
                Failure::usage(
                    "there is no settings folder",
                    "Set HOME or XDG_CONFIG_HOME to an absolute path.",
                )
            })
    }

    /// An empty one if there is none.
    pub(crate) fn read() -> Result<Self, Failure> {
        let path = Self::path()?;
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = String::from_utf8(files::read(&path, MAX_REGISTER)?).unwrap_or_default();
        toml::from_str(&text).map_err(|error| {
            Failure::usage(
                format!("{} is damaged: {}", path.display(), error.message()),
                "Mend or delete the file.",
            )
        })
    }

    pub(crate) fn write(&self) -> Result<PathBuf, Failure> {
        let path = Self::path()?;
        files::folder(path.parent().unwrap_or(Path::new(".")))?;
        let text = toml::to_string_pretty(self)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        files::write(&path, text.as_bytes(), false)?;
        Ok(path)
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Entry, Failure> {
        self.circuit.get(name).ok_or_else(|| {
            Failure::usage(
                format!("no circuit is called {name}"),
                "See `soundproof circuit inspect`, or add it with `soundproof circuit add`.",
            )
        })
    }
}
