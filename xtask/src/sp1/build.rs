//! One build of `provers/sp1` for a level of the CPU. Levels have target
//! folders of their own in the user's cache, so that a second checkout, or the
//! other level, rebuilds nothing.

use crate::shell::{self, Failure, Result};
use clap::{Args, ValueEnum};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Instructions that the build may use [default: the best that this machine has]
    #[arg(long, value_enum)]
    level: Option<Level>,
}

/// Which instructions a build may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Level {
    /// AVX-512 F, BW, CD, DQ and VL
    #[value(name = "x86-64-v4")]
    V4,
    /// AVX2, BMI and FMA
    #[value(name = "x86-64-v3")]
    V3,
    /// What the compiler uses unasked
    #[value(name = "generic")]
    Generic,
}

impl Level {
    /// The best that this machine can run.
    pub(crate) fn own() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f")
                && has!("avx512bw")
                && has!("avx512cd")
                && has!("avx512dq")
                && has!("avx512vl")
            {
                return Self::V4;
            }
            if has!("avx2") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("movbe") {
                return Self::V3;
            }
        }
        Self::Generic
    }

    /// Its name, as rustc's where it has one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "x86-64-v4",
            Self::V3 => "x86-64-v3",
            Self::Generic => "generic",
        }
    }
}

/// What a build made.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) level: Level,
    /// `soundproof-prover-sp1`
    pub(crate) prover: PathBuf,
    /// `sdk-check`
    pub(crate) sdk_check: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result {
    let built = build(options.level.unwrap_or_else(Level::own))?;
    println!("{}\n{}", built.prover.display(), built.sdk_check.display());
    Ok(())
}

/// Set: nothing is built, and what is there is taken.
static AS_BUILT: AtomicBool = AtomicBool::new(false);

/// From now on, [`build`] takes what is there.
pub(crate) fn take_as_built() {
    AS_BUILT.store(true, Ordering::Relaxed);
}

/// Builds, which takes seconds when nothing changed.
pub(crate) fn build(level: Level) -> Result<Built> {
    let folder = folder(level)?;
    let release = folder.join(host()?).join("release");
    let built = Built {
        level,
        prover: release.join("soundproof-prover-sp1"),
        sdk_check: release.join("sdk-check"),
    };
    if AS_BUILT.load(Ordering::Relaxed) {
        return Ok(built);
    }
    if !folder.join("CACHEDIR.TAG").exists() {
        eprintln!(
            "== SP1 is built for {}, once: 10 to 15 minutes on two cores, and 6 GB in {}",
            level.name(),
            folder.display()
        );
    }
    let what = format!("SP1's prover and SDK, {}", level.name());
    shell::run(&what, &mut cargo(level, "build")?)?;
    Ok(built)
}

/// A command of cargo's that compiles `provers/sp1`, with what makes every such
/// command share what the others built.
pub(crate) fn cargo(level: Level, command: &str) -> Result<Command> {
    let mut cargo = shell::cargo();
    cargo
        .current_dir(shell::root().join("provers/sp1"))
        .env("CARGO_TARGET_DIR", folder(level)?)
        .arg(command)
        // With a target that is named, flags are not for build scripts.
        .args(["--release", "--locked", "--workspace", "--target"])
        .arg(host()?)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS");
    // What `cargo xtask` says of xtask. Build scripts look at it (ring's does),
    // and SP1 would be built anew for whoever calls cargo by hand.
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    if level != Level::Generic {
        cargo.env("RUSTFLAGS", format!("-C target-cpu={}", level.name()));
    }
    protoc(&mut cargo)?;
    Ok(cargo)
}

/// Lints what is ours in it. `cargo clippy` would compile all of SP1 once more,
/// to check it; clippy as the compiler of the workspace's own crates takes SP1
/// from the build.
pub(crate) fn clippy(level: Level) -> Result {
    build(level)?;
    let mut cargo = cargo(level, "build")?;
    cargo
        .args(["--all-targets"])
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        // As `cargo clippy -- -D warnings` hands it on.
        .env(
            "CLIPPY_ARGS",
            "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
        );
    shell::run("clippy: provers/sp1", &mut cargo)?;
    // Executables are the compiler's again, not clippy's.
    build(level).map(drop)
}

/// SP1 generates code with `protoc`: the caller's, or the one that comes with
/// a crate.
fn protoc(cargo: &mut Command) -> Result {
    if env::var_os("PROTOC").is_some() {
        return Ok(());
    }
    let missing = |error| Failure::of("set PROTOC to a protoc executable", error);
    cargo.env(
        "PROTOC",
        protoc_bin_vendored::protoc_bin_path().map_err(missing)?,
    );
    cargo.env(
        "PROTOC_INCLUDE",
        protoc_bin_vendored::include_path().map_err(missing)?,
    );
    Ok(())
}

/// The target folder of a level, in the user's cache as `.ci/run` has it.
fn folder(level: Level) -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| Path::new(value).is_absolute());
    let cache = match (folder("XDG_CACHE_HOME"), folder("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => return Err(Failure::new("neither XDG_CACHE_HOME nor HOME is set")),
    };
    Ok(cache
        .join("soundproof")
        .join(format!("sp1-{}", level.name())))
}

/// The target that rustc compiles for unasked.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = shell::output(shell::command(rustc).arg("-vV"))?;
    told.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no host"))
}
