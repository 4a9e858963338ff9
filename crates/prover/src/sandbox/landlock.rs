//! Landlock with every right handled and none granted; or, for a process with
//! folders of its own, those that its folders and the C library need.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope, make_bitflags, path_beneath_rules,
};

use super::{Layer, folders};

/// The newest version whose rights are known here. The crate drops what the
/// running kernel does not know.
const KNOWN: ABI = ABI::V7;

/// Takes every right that the kernel can take, and says which layers that makes.
pub(super) fn apply(own_folders: bool, gpu: bool) -> io::Result<Vec<Layer>> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| {
            let ruleset = if gpu {
                ruleset
                    .add_rules(path_beneath_rules([folders::DEVICES], device()))?
                    .add_rules(path_beneath_rules([folders::SYSTEM], READ))?
                    .add_rules(path_beneath_rules(
                        [folders::TEMPORARY],
                        BitFlags::from(AccessFs::MakeSock),
                    ))?
            } else {
                ruleset
            };
            if own_folders {
                ruleset
                    .add_rules(path_beneath_rules(folders::LIBRARIES, library()))?
                    .add_rules(path_beneath_rules([folders::PUBLIC], READ))?
                    .add_rules(path_beneath_rules([folders::PROCESSES], READ))?
                    .add_rules(path_beneath_rules([folders::TEMPORARY], temporary()))?
                    .add_rules(path_beneath_rules([folders::SHARED], shared()))
            } else {
                Ok(ruleset)
            }
        })
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Ok(Vec::new());
    };
    // Before version 3 truncating a file cannot be refused.
    let layers = [
        (ABI::V3, Layer::LandlockFiles),
        (ABI::V4, Layer::LandlockNetwork),
        (ABI::V6, Layer::LandlockScope),
    ];
    Ok(layers
        .into_iter()
        .filter(|(since, _)| effective_abi >= *since)
        .map(|(_, layer)| layer)
        .collect())
}

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

fn library() -> BitFlags<AccessFs> {
    READ | AccessFs::Execute
}

/// Names of shared memory and semaphores.
fn shared() -> BitFlags<AccessFs> {
    READ | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile})
}

/// The GPU's, and those that are harmless.
fn device() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev})
}

fn temporary() -> BitFlags<AccessFs> {
    shared() | make_bitflags!(AccessFs::{Execute | MakeDir | RemoveDir})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, TcpStream};

    /// Landlock binds a thread, so this layer can be tried alone, with no other
    /// above it that would refuse first.
    #[test]
    fn alone_it_refuses_files_and_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let layers = apply(false, false).unwrap();
            let denied = |e: io::Error| e.kind() == PermissionDenied;
            if layers.contains(&Layer::LandlockFiles) {
                assert!(File::open("/etc/passwd").is_err_and(denied));
                assert!(File::create("/tmp/soundproof-landlock").is_err_and(denied));
                assert!(
                    std::process::Command::new("/bin/true")
                        .status()
                        .is_err_and(denied)
                );
            }
            if layers.contains(&Layer::LandlockNetwork) {
                assert!(TcpStream::connect(address).is_err_and(denied));
                assert!(TcpListener::bind("127.0.0.1:0").is_err_and(denied));
            }
            if layers.contains(&Layer::LandlockScope) {
                let parent = rustix::process::getppid().unwrap();
                assert_eq!(
                    rustix::process::test_kill_process(parent),
                    Err(rustix::io::Errno::PERM)
                );
            }
        })
        .join()
        .unwrap();
    }
}
