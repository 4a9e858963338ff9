//! `cargo xtask guests`: builds the programs of `guests/` for SP1's virtual
//! machine with an upstream compiler and its library source, and keeps them in
//! `guests/elf/` with their digests and the versions that they were built with.
//! The same source, compiler and linker give the same bytes wherever the
//! checkout lies; `--check` shows it. `docs/guests.md` explains the recipe.

mod elf;
mod toolchain;

use crate::shell::{self, Failure, Result};
use clap::Args;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use toolchain::Toolchain;

/// The target's description, in `guests/`; its stem is the target's name.
const TARGET: &str = "riscv64im-succinct-zkvm-elf";

/// What sp1-build 6.10 gives the compiler: instructions without atomics, the
/// program above the stack (which grows down from 0x7800_0000), SP1's source of
/// randomness, and a schedule that suits the machine.
const FLAGS: [&str; 6] = [
    "-Cpasses=lower-atomic",
    "-Clink-arg=--image-base=2013265920",
    "-Cpanic=abort",
    "--cfg=getrandom_backend=\"custom\"",
    "-Cllvm-args=-misched-prera-direction=bottomup",
    "-Cllvm-args=-misched-postra-direction=bottomup",
];

/// Variables of the caller that would change the programs.
const FOREIGN: [&str; 7] = [
    "CARGO_BUILD_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "RUSTFLAGS",
    "SP1_ZKVM_",
];

/// Programs by name.
type Programs = BTreeMap<String, Vec<u8>>;

#[derive(Args)]
pub(crate) struct Options {
    /// Test the source, build, and compare with the committed programs instead
    /// of replacing them; compares only where compiler and linker are those
    /// that they were built with
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    if options.check { check() } else { replace() }
}

/// Builds all programs and puts them in the place of the committed ones.
fn replace() -> Result {
    let toolchain = Toolchain::find()?;
    let built = build(&toolchain)?;
    let folder = folder();
    for name in committed_names(&folder)? {
        let old = folder.join(format!("{name}.elf"));
        fs::remove_file(&old).map_err(|error| Failure::of(old.display(), error))?;
    }
    for (name, program) in &built {
        write(&folder.join(format!("{name}.elf")), program)?;
    }
    write(&folder.join("SHA256SUMS"), sums(&built).as_bytes())?;
    let record = record(&toolchain)?;
    write(&folder.join("toolchain.txt"), record.as_bytes())?;
    print!("{}", sums(&built));
    Ok(())
}

/// That the source passes its tests, that what is committed is whole, and, where
/// that can be told here, that it is what the source builds.
pub(crate) fn check() -> Result {
    sources()?;
    let committed = committed()?;
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => return not_compared(&missing.to_string()),
    };
    let recorded = read_text(&folder().join("toolchain.txt"))?;
    if !recorded.starts_with(toolchain.versions()) {
        return not_compared(&format!(
            "they were built with other versions than those here:\n{recorded}"
        ));
    }
    if recorded != record(&toolchain)? {
        return Err(Failure::new(
            "guests/elf is of another version of sp1-zkvm: run cargo xtask guests",
        ));
    }
    let built = build(&toolchain)?;
    let differing: Vec<_> = built
        .iter()
        .filter(|(name, program)| committed.get(*name) != Some(*program))
        .map(|(name, _)| name.as_str())
        .collect();
    if differing.is_empty() {
        eprintln!("== {} guests are what their source builds", built.len());
        Ok(())
    } else {
        Err(Failure::of(
            "not what the source builds, run cargo xtask guests",
            differing.join(", "),
        ))
    }
}

fn not_compared(why: &str) -> Result {
    eprintln!("== guests not compared with what their source builds: {why}");
    Ok(())
}

/// Format, lints and native tests, with the toolchain that runs this task.
fn sources() -> Result {
    let cargo = |arguments: &[&str]| {
        let mut cargo = shell::cargo();
        cargo.env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/guests"));
        cargo.current_dir(source()).args(arguments);
        cargo
    };
    shell::run("guests: format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--release", "--locked", "--all-targets"];
    shell::run(
        "guests: clippy",
        cargo(&clippy).args(["--", "-D", "warnings"]),
    )?;
    let test = ["test", "--quiet", "--release", "--locked", "--lib"];
    shell::run("guests: native tests", &mut cargo(&test))
}

/// The committed programs: one for each source, each as `SHA256SUMS` has it and
/// fit for SP1.
fn committed() -> Result<Programs> {
    let folder = folder();
    let names = names()?;
    if committed_names(&folder)? != names {
        return Err(Failure::new(
            "guests/elf has not one program for each source: run cargo xtask guests",
        ));
    }
    let mut programs = Programs::new();
    for name in names {
        let program = read(&folder.join(format!("{name}.elf")))?;
        elf::check(&program).map_err(|error| Failure::of(&name, error))?;
        programs.insert(name, program);
    }
    if read_text(&folder.join("SHA256SUMS"))? != sums(&programs) {
        return Err(Failure::new("guests/elf is not what its SHA256SUMS says"));
    }
    Ok(programs)
}

/// Builds every program and checks it.
fn build(toolchain: &Toolchain) -> Result<Programs> {
    let target_dir = shell::target_dir().join("xtask/guests");
    let mut fetch = clean(toolchain.cargo());
    // First, so that the folders of sources are there to be named below.
    shell::run("guests: fetch", fetch.args(["fetch", "--locked"]))?;

    let mut places = toolchain.places()?;
    places.push((target_dir.clone(), "target"));
    places.push((source(), "guests"));
    let remaps = places
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let flags: Vec<String> = FLAGS.map(String::from).into_iter().chain(remaps).collect();

    let mut cargo = clean(toolchain.cargo());
    cargo
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(
            "CARGO_TARGET_RISCV64IM_SUCCINCT_ZKVM_ELF_LINKER",
            toolchain.linker(),
        )
        .env("RUSTC", toolchain.rustc())
        // A released compiler's unstable options: a target of our own, and std
        // from source.
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["build", "--release", "--locked", "--bins", "--target"])
        .arg(format!("{TARGET}.json"))
        .args(["-Zjson-target-spec", "-Zbuild-std=std,panic_abort"])
        .arg("-Zbuild-std-features=compiler-builtins-mem");
    shell::run("guests: build (2-3 min)", &mut cargo)?;

    let mut programs = Programs::new();
    for name in names()? {
        let program = read(&target_dir.join(TARGET).join("release").join(&name))?;
        elf::check(&program).map_err(|error| Failure::of(&name, error))?;
        for (place, _) in &places {
            if contains(&program, place.as_os_str().as_encoded_bytes()) {
                return Err(Failure::of(&name, "names a folder of this machine"));
            }
        }
        programs.insert(name, program);
    }
    Ok(programs)
}

/// In the guests' folder, and without what the caller's environment would change.
fn clean(mut command: Command) -> Command {
    command.current_dir(source());
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if FOREIGN.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command
}

fn contains(program: &[u8], part: &[u8]) -> bool {
    program.windows(part.len()).any(|window| window == part)
}

/// What `toolchain.txt` says of programs built now.
fn record(toolchain: &Toolchain) -> Result<String> {
    let lock = read_text(&source().join("Cargo.lock"))?;
    let version = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"sp1-zkvm\""))
        .and_then(|package| package.split("version = \"").nth(1)?.split('"').next())
        .ok_or_else(|| Failure::new("guests/Cargo.lock names no sp1-zkvm"))?;
    Ok(format!("{}sp1-zkvm: {version}\n", toolchain.versions()))
}

/// As `sha256sum` prints them.
fn sums(programs: &Programs) -> String {
    let mut text = String::new();
    for (name, program) in programs {
        for byte in Sha256::digest(program) {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {name}.elf");
    }
    text
}

fn source() -> PathBuf {
    shell::root().join("guests")
}

fn folder() -> PathBuf {
    source().join("elf")
}

/// The guests' names: the folders that hold a crate.
fn names() -> Result<Vec<String>> {
    entries(&source(), |path| path.join("Cargo.toml").is_file())
}

fn committed_names(folder: &Path) -> Result<Vec<String>> {
    entries(folder, |path| path.extension().is_some_and(|e| e == "elf"))
}

/// The sorted stems of a folder's entries that `wanted` takes.
fn entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let failure = |error| Failure::of(folder.display(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        if let (true, Some(stem)) = (wanted(&path), path.file_stem()) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::of(path.display(), error))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::of(path.display(), error))
}

fn write(path: &Path, bytes: &[u8]) -> Result {
    fs::write(path, bytes).map_err(|error| Failure::of(path.display(), error))
}

#[cfg(test)]
mod tests {
    /// Digests, and that SP1 can run them, without a compiler for them.
    #[test]
    fn committed_programs_are_whole() {
        if let Err(failure) = super::committed() {
            panic!("{failure}");
        }
    }
}
