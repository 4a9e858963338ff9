//! What is copied is what is listed, whatever else there is.

use super::*;

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("soundproof-sp1-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Longer than a piece, and not a whole number of them.
fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(PIECE * 2 + 77).collect()
}

const NAMES: [&str; 4] = [
    "constraints.json",
    "plonk_circuit.bin",
    "plonk_pk.bin",
    "plonk_vk.bin",
];

fn listed() -> String {
    let line = |name| {
        format!(
            "{}  plonk/{name}\n",
            hex::encode(Sha256::digest(content(name)))
        )
    };
    NAMES.into_iter().map(line).collect()
}

/// A folder with the files in it, and them.
pub(crate) fn installed(name: &str) -> (Folder, Circuits) {
    let folder = Folder::new(name);
    let from = folder.0.join("public");
    fs::create_dir(&from).unwrap();
    for name in NAMES {
        fs::write(from.join(name), content(name)).unwrap();
    }
    let to = folder.0.join("private/plonk").join(CIRCUIT_VERSION);
    let circuits = Circuits::new(list::parse(&listed()).unwrap(), "plonk", from, to);
    (folder, circuits.unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_listed_is_copied_and_nothing_else() {
    let (_folder, circuits) = installed("whole");
    // A download's rest, a marker that is not ours, a folder.
    for extra in ["artifacts.tar.gz", MARKER, "README"] {
        fs::write(circuits.from.join(extra), "x").unwrap();
    }
    fs::create_dir(circuits.from.join("more")).unwrap();
    assert_eq!(circuits.bytes().unwrap(), 4 * content("x").len() as u64);
    circuits.copy().unwrap();
    let mut expected = vec![MARKER];
    expected.extend(NAMES);
    assert_eq!(names(&circuits.to), expected);
    for name in NAMES {
        assert_eq!(fs::read(circuits.to.join(name)).unwrap(), content(name));
    }
    // Not a second time over what somebody may have changed.
    assert!(matches!(circuits.copy(), Err(CircuitsError::Folder(_))));
}

/// Broken if one changed bit passed, or if something without the marker's
/// promise kept it.
#[test]
fn a_file_that_is_another_is_refused_and_nothing_is_left() {
    for (case, change) in ["bit", "short", "long"].into_iter().zip(0..) {
        let (_folder, circuits) = installed(&format!("changed-{case}"));
        let path = circuits.from.join("plonk_pk.bin");
        let mut bytes = content("plonk_pk.bin");
        match change {
            0 => bytes[PIECE] ^= 1,
            1 => bytes.truncate(PIECE),
            _ => bytes.push(0),
        }
        fs::write(&path, bytes).unwrap();
        let error = circuits.copy().unwrap_err();
        assert!(
            matches!(&error, CircuitsError::Digest(_)),
            "{case}: {error}"
        );
        assert!(error.to_string().contains("plonk_pk.bin"), "{error}");
        assert!(!circuits.to.exists());
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (_folder, circuits) = installed("missing");
    let path = circuits.from.join("plonk_vk.bin");
    fs::remove_file(&path).unwrap();
    let missing = |error: CircuitsError| {
        assert!(matches!(&error, CircuitsError::Missing(_)), "{error}");
        assert!(error.to_string().contains("plonk_vk.bin"), "{error}");
    };
    missing(circuits.bytes().unwrap_err());
    missing(circuits.copy().unwrap_err());
    // Nor is a folder of that name a file.
    fs::create_dir(&path).unwrap();
    missing(circuits.bytes().unwrap_err());
    missing(circuits.copy().unwrap_err());
    assert!(!circuits.to.exists());
}

#[test]
fn a_private_folder_that_is_there_already_is_not_used() {
    let (_folder, circuits) = installed("planted");
    fs::create_dir_all(&circuits.to).unwrap();
    fs::write(circuits.to.join(MARKER), "").unwrap();
    assert!(matches!(circuits.copy(), Err(CircuitsError::Folder(_))));
}

#[test]
fn lists() {
    let good = listed();
    assert_eq!(list::parse(&good).unwrap().len(), 4);
    assert_eq!(list::parse("").unwrap(), []);
    // As sha256sum --binary writes it.
    assert_eq!(list::parse(&good.replace("  ", " *")), list::parse(&good));
    let line = good.lines().next().unwrap();
    for refused in [
        good.replace("plonk/", ""),
        good.replace("plonk/", "stark/"),
        good.replace("plonk/", "/plonk/"),
        good.replace("plonk/", "plonk/../"),
        good.replace("plonk_vk.bin", ".plonk_vk.bin"),
        good.replace("plonk_vk.bin", "plonk_vkey.bin"),
        good.replace("  ", " "),
        good.to_uppercase(),
        good.replacen('a', "g", 1).replacen('0', "g", 1),
        format!("{good}{line}\n"),
        format!("{good}\n"),
        format!("{good}é{line}\n"),
        line.to_owned(),
        line[..64].to_owned(),
    ] {
        assert!(list::parse(&refused).is_err(), "{refused}");
    }
    let without = list::parse(&good).unwrap();
    assert!(Circuits::new(without, "groth16", "/a".into(), "/b".into()).is_none());
}

/// The digest of the empty string, FIPS 180-4.
#[test]
fn digests_are_read() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        list::bytes(empty).unwrap(),
        <[u8; 32]>::from(Sha256::digest(b""))
    );
    for refused in ["", &empty[1..], &empty.to_uppercase(), &format!("{empty}0")] {
        assert_eq!(list::bytes(refused), None);
    }
}
