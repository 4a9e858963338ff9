//! Debian's `rustc-web`, which can build the standard library for WebAssembly.
//! Unpacked beside the build; nothing is installed, and root is not needed.

use crate::shell::{self, Failure, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const DEBIAN: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// Debian's compiler, unpacked in the target folder.
pub(super) struct Debian(PathBuf);

impl Debian {
    pub(super) fn unpacked() -> Result<Self> {
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
        // The linker of the same LLVM.
        let llvm = packages
            .iter()
            .filter_map(|name| name.strip_prefix("libllvm"));
        let linkers: Vec<_> = llvm.map(|version| format!("lld-{version}")).collect();
        packages.extend(linkers);
        packages.extend(DEBIAN.map(String::from));
        packages.sort();
        packages.dedup();
        Ok(packages)
    }

    /// `lib/llvm-22/bin/wasm-ld`.
    fn linker(&self) -> Option<PathBuf> {
        let listed = fs::read_dir(self.0.join("lib")).ok()?;
        let mut found = listed
            .flatten()
            .map(|entry| entry.path().join("bin/wasm-ld"));
        found.find(|linker| linker.is_file())
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
    pub(super) fn with(&self, cargo: &mut Command) {
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTC", self.0.join("bin/rustc"));
        cargo.env("LD_LIBRARY_PATH", self.0.join("lib/x86_64-linux-gnu"));
        if let Some(linker) = self.linker() {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
}
