use soundproof_evidence::snp::Product;
use soundproof_testkit::{
    nitro::Enclave,
    snp::{Chip, Guest},
    x509::pem,
};
const NOW_MS: u64 = 1_780_000_000_000;
fn put(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}
#[test]
fn zz_seeds() -> std::io::Result<()> {
    for (name, product, version) in [
        ("milan-v2", Product::Milan, 2),
        ("genoa-v3", Product::Genoa, 3),
        ("turin-v5", Product::Turin, 5),
    ] {
        let chip = Chip::new(product, NOW_MS / 1000);
        let report = Guest::new(version).report(&chip, &[7; 64]);
        let collateral = chip.collateral();
        put("snp_report", name, &[report, collateral.to_vec()].concat())?;
        put("x509", &format!("{name}.der"), &collateral.certificate.0)?;
        if let Some(list) = &collateral.crl {
            put("x509", &format!("{name}.crl"), &list.0)?;
        }
        let chain: String = [&collateral.certificate]
            .into_iter()
            .chain(&collateral.chain)
            .map(|der| pem(&der.0))
            .collect();
        put("x509", &format!("{name}.pem"), chain.as_bytes())?;
    }
    put(
        "measured",
        "firmware",
        &soundproof_testkit::snp::firmware(true),
    )?;
    let enclave = Enclave::new(NOW_MS);
    put("nitro_document", "one", &enclave.document(Some(&[7; 64])))?;
    let tagged = Enclave {
        tagged: true,
        nulls: false,
        ..enclave
    };
    put("nitro_document", "tagged", &tagged.document(None))
}
