//! `cargo xtask wasm`: the crates that a browser needs, built for
//! wasm32-unknown-unknown.
//!
//! Where the toolchain has that target (`rustup target add
//! wasm32-unknown-unknown`) it is an ordinary build. Where it cannot be had,
//! Debian's `rustc-web` and its sources do: the packages are unpacked beside the
//! build, nothing is installed, and the standard library is built with them.

use crate::shell::{self, Failure, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";

const CRATES: [&str; 4] = [
    "soundproof-protocol",
    "soundproof-evidence",
    "soundproof-seal",
    "soundproof-proofs",
];

const DEBIAN: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

pub(crate) fn run() -> Result {
    build(toolchain()?)
}

/// As the continuous integration does: a machine that cannot get a toolchain
/// for the target is told so, and that is no failure of the code.
pub(crate) fn run_where_possible() -> Result {
    match toolchain() {
        Ok(toolchain) => build(toolchain),
        Err(reason) => {
            eprintln!("== wasm NOT CHECKED: {reason}");
            Ok(())
        }
    }
}

/// What compiles for the target.
enum Toolchain {
    /// The one that runs this task.
    Own,
    /// Debian's.
    Debian(Debian),
}

fn toolchain() -> Result<Toolchain> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = shell::output(shell::command(&rustc).args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .is_dir()
        || rustup_adds_it()
    {
        return Ok(Toolchain::Own);
    }
    Debian::unpacked().map(Toolchain::Debian).map_err(|reason| {
        Failure::new(format!(
            "the target is missing (rustup target add {TARGET}), \
             and Debian's rustc-web is no way round it: {reason}"
        ))
    })
}

/// It is the libraries' code that must compile; it need not run fast.
fn build(toolchain: Toolchain) -> Result {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--lib", "--locked", "--target", TARGET]);
    cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
    cargo.args(["--config", "profile.dev.debug=false"]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    if let Toolchain::Debian(debian) = toolchain {
        debian.with(&mut cargo);
    }
    shell::run("wasm", &mut cargo)
}

fn rustup_adds_it() -> bool {
    let mut rustup = shell::command("rustup");
    rustup.args(["target", "add", TARGET]);
    shell::has("rustup") && shell::run("rustup target add", &mut rustup).is_ok()
}

/// Debian's compiler, unpacked in the target folder.
struct Debian(PathBuf);

impl Debian {
    fn unpacked() -> Result<Self> {
        let folder = shell::target_dir().join("xtask/rustc-web");
        let done = folder.join("done");
        if !done.is_file() {
            if !shell::has("apt-get") {
                return Err(Failure::new("this is no Debian"));
            }
            fs::create_dir_all(&folder).map_err(|error| Failure::of(folder.display(), error))?;
            // Stale lists name packages that are gone; without root they stay.
            let _ = shell::run("apt-get update", shell::command("apt-get").arg("update"));
            let mut apt = shell::command("apt-get");
            apt.current_dir(&folder)
                .arg("download")
                .args(Self::packages()?);
            shell::run("apt-get download rustc-web", &mut apt)?;
            Self::unpack(&folder)?;
            fs::write(&done, "").map_err(|error| Failure::of(done.display(), error))?;
        }
        Ok(Self(folder.join("root/usr")))
    }

    /// The packages with the libraries that they are linked to.
    fn packages() -> Result<Vec<String>> {
        let mut apt = shell::command("apt-cache");
        apt.args(["depends", "--recurse", "--no-recommends", "--no-suggests"]);
        apt.args([
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
        ]);
        let listed = shell::output(apt.args(DEBIAN))?;
        let wanted =
            |name: &&str| name.starts_with("libllvm") || name.starts_with("libstd-rust-web-");
        let names = listed
            .lines()
            .filter(|line| !line.starts_with([' ', '<', '|']));
        let mut packages: Vec<_> = names.filter(wanted).map(String::from).collect();
        packages.extend(DEBIAN.map(String::from));
        packages.sort();
        packages.dedup();
        Ok(packages)
    }

    fn unpack(folder: &Path) -> Result {
        let listed = fs::read_dir(folder).map_err(|error| Failure::of(folder.display(), error))?;
        for path in listed.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "deb") {
                let mut dpkg = shell::command("dpkg-deb");
                dpkg.arg("-x").arg(&path).arg(folder.join("root"));
                shell::run("unpacking", &mut dpkg)?;
                fs::remove_file(&path).map_err(|error| Failure::of(path.display(), error))?;
            }
        }
        Ok(())
    }

    /// Makes cargo use it, and build the standard library from its sources.
    fn with(&self, cargo: &mut Command) {
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTC", self.0.join("bin/rustc"));
        cargo.env("LD_LIBRARY_PATH", self.0.join("lib/x86_64-linux-gnu"));
        // Another compiler's files: kept apart from the toolchain's own.
        cargo.env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/wasm"));
    }
}
