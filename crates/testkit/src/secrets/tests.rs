use super::*;
use base64::Engine as _;
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// Below BN254's scalar modulus, and without a zero byte at either end.
fn secret() -> [u8; 32] {
    core::array::from_fn(|i| (i as u8).wrapping_mul(37).wrapping_add(5) % 0x2f + 1)
}

fn needles() -> Needles {
    Needles::new(&[("identity", secret())]).unwrap()
}

#[test]
fn every_form_is_found_wherever_it_is_planted() {
    let needles = needles();
    for (name, form) in forms(&secret()) {
        let mut hay = vec![b'x'; 100];
        hay.extend(&form);
        hay.extend([b'y'; 50]);
        let report = needles.bytes("hay", &hay);
        assert!(
            report
                .hits
                .iter()
                .any(|hit| hit.offset == 100 && hit.form == format!("identity: {name}")),
            "{name}"
        );
    }
    assert_eq!(needles.bytes("hay", &[b'x'; 1000]).hits, []);
}

#[test]
fn forms_are_what_other_tools_write() {
    let forms = forms(&{
        let mut one = [0; 32];
        one[31] = 1;
        one[0] = 1;
        one
    });
    let of = |name: &str| {
        let (_, bytes) = forms.iter().find(|(form, _)| form == name).unwrap();
        String::from_utf8_lossy(bytes).into_owned()
    };
    // 2^248 + 1
    assert_eq!(
        of("decimal, big endian"),
        "452312848583266388373324160190187140051835877600158453279131187530910662657"
    );
    assert!(of("hex, big endian").starts_with("0100") && of("hex, big endian").ends_with("0001"));
    // Montgomery form of 1 is 2^256 mod r.
    let mut one = [0; 32];
    one[31] = 1;
    let (_, montgomery) = super::forms(&one)
        .into_iter()
        .find(|(form, _)| form == "hex, Montgomery, big endian")
        .unwrap();
    assert_eq!(
        String::from_utf8(montgomery).unwrap(),
        "0e0a77c19a07df2f666ea36f7879462e36fc76959f60cd29ac96341c4ffffffb"
    );
}

#[test]
fn base64_is_found_at_every_alignment_of_what_surrounds_it() {
    let needles = needles();
    for before in 0..7 {
        let mut plain = vec![b'a'; before];
        plain.extend(secret());
        plain.extend(b"tail");
        for text in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
            assert!(
                !needles.bytes("text", text.as_bytes()).hits.is_empty(),
                "{before}"
            );
        }
    }
}

#[test]
fn a_file_is_searched_across_its_windows() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("a/b");
    fs::create_dir_all(&inside).unwrap();
    let mut file = File::create(inside.join("data")).unwrap();
    file.write_all(&vec![0; WINDOW - 7]).unwrap();
    file.write_all(&secret()).unwrap();
    file.write_all(&vec![0; 2 * WINDOW]).unwrap();
    drop(file);
    let report = needles().folder(dir.path()).unwrap();
    assert_eq!(report.hits.len(), 1);
    assert_eq!(report.hits[0].offset, WINDOW as u64 - 7);
    assert!(report.bytes >= 3 * WINDOW as u64);
    fs::remove_file(inside.join("data")).unwrap();
    assert_eq!(needles().folder(dir.path()).unwrap().hits, []);
    File::create(inside.join(hex::encode(secret()))).unwrap();
    assert_eq!(
        needles().folder(dir.path()).unwrap().hits.len(),
        1,
        "a file's name"
    );
}

#[test]
fn a_process_that_holds_it_is_found_and_another_is_not() {
    let run = |environment: &str| {
        let mut child = Command::new("cat")
            .env("PLANTED", environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // An answer shows that the program itself runs, not still its parent's copy.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let report = needles().process(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        report.unwrap()
    };
    let with = run(&hex::encode(secret()));
    assert!(
        with.hits
            .iter()
            .any(|hit| hit.form == "identity: hex, big endian")
    );
    let without = run("nothing");
    assert_eq!(without.hits, []);
    assert!(without.bytes > 100_000, "{} bytes", without.bytes);
    assert!(needles().process(std::process::id()).is_err());
}

#[test]
fn a_number_that_chance_would_find_is_refused() {
    let mut small = [0; 32];
    small[31] = 200;
    assert!(Needles::new(&[("small", small)]).is_none());
}
