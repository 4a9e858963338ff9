//! Finds a compiler that has the library's source, the cargo that belongs to it
//! and a linker for RISC-V. Only asks programs for their versions.

use crate::shell::{self, Failure, Result};
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Names the compiler to build guests with; no other is then looked for.
const CHOICE: &str = "SOUNDPROOF_GUEST_RUSTC";

/// A compiler with its library's source, and a linker.
pub(super) struct Toolchain {
    rustc: PathBuf,
    sysroot: PathBuf,
    linker: PathBuf,
    versions: String,
}

impl Toolchain {
    /// `$SOUNDPROOF_GUEST_RUSTC` where it is set; otherwise the active compiler,
    /// or the system's, whichever has the library's source.
    ///
    /// # Errors
    /// One line that says what is missing and how to get it.
    pub(super) fn find() -> Result<Self> {
        let chosen = env::var_os(CHOICE);
        let candidates = match &chosen {
            Some(rustc) => vec![PathBuf::from(rustc)],
            None => vec!["rustc".into(), "/usr/bin/rustc".into()],
        };
        let found = candidates
            .into_iter()
            .find_map(|rustc| Some((sysroot(&rustc).filter(|root| has_source(root))?, rustc)));
        let Some((sysroot, rustc)) = found else {
            let which = if chosen.is_some() {
                CHOICE
            } else {
                "neither the active Rust nor /usr/bin/rustc"
            };
            return Err(Failure::new(format!(
                "no library source beside the compiler ({which}): rustup component add rust-src, \
                 or Debian's packages rustc-web and rust-web-src"
            )));
        };
        let linker = linker(&sysroot)?;
        let versions = format!(
            "{}linker: {}\n",
            shell::output(shell::command(&rustc).arg("-vV"))?,
            shell::output(linker_version(&linker).arg("--version"))?.trim()
        );
        Ok(Self {
            rustc,
            sysroot,
            linker,
            versions,
        })
    }

    pub(super) fn rustc(&self) -> &Path {
        &self.rustc
    }

    pub(super) fn linker(&self) -> &Path {
        &self.linker
    }

    /// Whole lines: `rustc -vV`, and the linker's version.
    pub(super) fn versions(&self) -> &str {
        &self.versions
    }

    /// The cargo that was released with the compiler, where it is there.
    pub(super) fn cargo(&self) -> Command {
        let cargo = self.sysroot.join("bin/cargo");
        if cargo.is_file() {
            shell::command(cargo)
        } else {
            shell::cargo()
        }
    }

    /// Folders of sources on this machine, and what programs name them.
    pub(super) fn places(&self) -> Result<Vec<(PathBuf, &'static str)>> {
        let library = self.sysroot.join("lib/rustlib/src/rust");
        let mut places = vec![(library.clone(), "rust")];
        // Where it is a link: the compiler names either.
        if let Ok(real) = library.canonicalize()
            && real != library
        {
            places.push((real, "rust"));
        }
        let home = match (env::var_os("CARGO_HOME"), env::home_dir()) {
            (Some(home), _) => PathBuf::from(home),
            (None, Some(home)) => home.join(".cargo"),
            (None, None) => return Err(Failure::new("neither CARGO_HOME nor a home folder")),
        };
        let registries = home.join("registry/src");
        let failure = |error| Failure::of(registries.display(), error);
        for entry in registries.read_dir().map_err(failure)? {
            places.push((entry.map_err(failure)?.path(), "registry"));
        }
        Ok(places)
    }
}

/// The folder of a compiler; none where it does not run.
fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let mut command = shell::command(rustc);
    command.args(["--print", "sysroot"]).stderr(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

fn has_source(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib/src/rust/library/Cargo.lock")
        .is_file()
}

/// The compiler's own linker, the active compiler's, or the system's.
fn linker(guest_sysroot: &Path) -> Result<PathBuf> {
    let sysroots = [Some(guest_sysroot.to_path_buf()), sysroot("rustc".as_ref())];
    for sysroot in sysroots.into_iter().flatten() {
        let hosts = sysroot.join("lib/rustlib").read_dir();
        for host in hosts.into_iter().flatten().flatten() {
            let linker = host.path().join("bin/rust-lld");
            if linker.is_file() {
                return Ok(linker);
            }
        }
    }
    if shell::has("ld.lld") {
        return Ok("ld.lld".into());
    }
    Err(Failure::new(
        "no rust-lld beside the compiler and no ld.lld: install a Rust by rustup, or Debian's package lld",
    ))
}

/// The linker, told which linker's language it is to speak where it asks.
fn linker_version(linker: &Path) -> Command {
    let mut command = shell::command(linker);
    if linker.ends_with("rust-lld") {
        command.args(["-flavor", "gnu"]);
    }
    command
}
