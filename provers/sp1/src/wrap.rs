//! Whether proofs can be wrapped into PLONK or Groth16 here, and what for.

use crate::circuits::{Circuits, FOLDER};
use crate::modes::Mode;
use crate::verify::CIRCUIT_VERSION;

const GIB: u64 = 1 << 30;
/// Bytes of private folders that any job needs: SP1's rings of traces, a
/// guest's memory, and the runner's executable.
pub const FOLDERS: u64 = 8 * GIB;
/// Bytes of memory for a compressed proof, from which a wrapped one is made.
const COMPRESSED: u64 = 18 * GIB;

/// The circuit files that `mode` needs; none: it needs none, or this was built
/// without.
pub fn circuits(mode: Mode) -> Option<Circuits> {
    match mode {
        Mode::Core | Mode::Compressed => None,
        Mode::Plonk | Mode::Groth16 => Circuits::compiled_in(mode.name()),
    }
}

/// Bytes of private folders with which every mode can be made that can be made
/// here at all.
pub fn folder_bytes() -> u64 {
    let circuits = |mode| circuits(mode).and_then(|circuits| circuits.bytes().ok());
    let most = Mode::ALL.into_iter().filter_map(circuits).max();
    FOLDERS.saturating_add(most.unwrap_or(0))
}

/// Bytes of memory that a wrapped proof needs at least: as a compressed one,
/// and the circuit files, which lie in memory.
pub fn memory_bytes(mode: Mode) -> u64 {
    let files = circuits(mode).and_then(|circuits| circuits.bytes().ok());
    COMPRESSED.saturating_add(files.unwrap_or(0))
}

/// What is missing for `mode` and how to get it; none: nothing is.
/// `folder_bytes` is the size of the private folders; 0: as large as asked for.
pub fn unavailable(mode: Mode, folder_bytes: u64) -> Option<String> {
    let circuits = circuits(mode);
    missing(
        mode,
        cfg!(feature = "native-gnark"),
        circuits.as_ref(),
        folder_bytes,
    )
}

fn missing(
    mode: Mode,
    gnark: bool,
    circuits: Option<&Circuits>,
    folder_bytes: u64,
) -> Option<String> {
    let mode = mode.name();
    if cfg!(feature = "cuda") {
        return Some(format!(
            "{mode} is made on the CPU only, and this prover is built for a GPU: build provers/sp1 \
             without `--features cuda`; see docs/sp1.md"
        ));
    }
    if !gnark {
        return Some(format!(
            "{mode} needs gnark, which this prover was built without: build provers/sp1 with \
             `--features native-gnark` (Go and clang are needed for it), and fetch SP1's circuit \
             files for {CIRCUIT_VERSION}; see docs/sp1.md"
        ));
    }
    let Some(circuits) = circuits else {
        return Some(format!(
            "{mode} needs SP1's circuit files, and the list that this prover was built with has \
             none for it: add those of {mode} to SOUNDPROOF_SP1_CIRCUITS_SUMS and build it anew; \
             see docs/sp1.md"
        ));
    };
    let bytes = match circuits.bytes() {
        Ok(bytes) => bytes,
        Err(error) => {
            return Some(format!(
                "{error}: put SP1's circuit files for {CIRCUIT_VERSION} into \
                 {FOLDER}/{CIRCUIT_VERSION}/{mode}; see docs/sp1.md"
            ));
        }
    };
    let needs = FOLDERS.saturating_add(bytes);
    (folder_bytes != 0 && folder_bytes < needs).then(|| {
        format!(
            "{mode} needs private folders of {needs} bytes, and folder_bytes in [prover.sp1] \
             gives {folder_bytes}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn it_is_said_what_is_missing() {
        use crate::circuits::tests::installed;
        use soundproof_protocol::mode::MAX_UNAVAILABLE;

        let (folder, circuits) = installed("wrap");
        let said = |gnark, circuits: Option<&Circuits>, bytes| {
            let text = missing(Mode::Plonk, gnark, circuits, bytes);
            assert!(
                text.as_ref()
                    .is_none_or(|text| text.len() <= MAX_UNAVAILABLE)
            );
            text.unwrap_or_default()
        };
        assert!(said(false, Some(&circuits), 0).contains("--features native-gnark"));
        assert!(said(true, None, 0).contains("SOUNDPROOF_SP1_CIRCUITS_SUMS"));
        assert_eq!(said(true, Some(&circuits), 0), "");
        let needs = FOLDERS + circuits.bytes().unwrap();
        assert_eq!(said(true, Some(&circuits), needs), "");
        assert!(said(true, Some(&circuits), needs - 1).contains("folder_bytes"));
        std::fs::remove_file(folder.0.join("public/plonk_vk.bin")).unwrap();
        let text = said(true, Some(&circuits), 0);
        assert!(
            text.contains("plonk_vk.bin") && text.contains(FOLDER),
            "{text}"
        );
    }

    #[test]
    fn other_modes_need_no_circuits() {
        for mode in [Mode::Core, Mode::Compressed] {
            assert!(circuits(mode).is_none());
        }
    }

    #[cfg(not(feature = "native-gnark"))]
    #[test]
    fn without_the_feature_nothing_is_asked_for() {
        assert_eq!(folder_bytes(), FOLDERS);
        assert_eq!(crate::circuits::variables(), []);
    }
}
