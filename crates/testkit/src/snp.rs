//! SEV-SNP evidence under a PKI of its own, in AMD's shape: ARK → ASK → VCEK,
//! ARK → ASVK → VLEK, reports of every version and layout, any fault. It
//! protects nothing.

use crate::{
    der::{integer, tlv},
    x509::{FixedRsa, Key, ListTemplate, Template, basic_constraints, extension, key_usage, usage},
};
use soundproof_evidence::snp::{Product, REPORT_SIZE, Signer, SnpCollateral};
use soundproof_protocol::cbor::Bytes;

/// What a chip's report and its certificates say.
#[derive(Clone)]
pub struct Chip {
    /// AMD's product: decides names and layouts.
    pub product: Product,
    /// Which key signs.
    pub signer: Signer,
    /// The chip, as the certificate has it: 64 bytes, or 8 for Turin.
    pub chip_id: Vec<u8>,
    /// Whether the host hides the chip's id in reports.
    pub masked: bool,
    /// The provider, for a VLEK.
    pub provider: String,
    /// Version numbers of FMC (Turin only), boot loader, TEE, SNP firmware,
    /// microcode: what the certificate is for.
    pub certified: [u8; 5],
    /// What the report says that the key was derived from.
    pub reported: [u8; 5],
    /// What runs.
    pub current: [u8; 5],
    /// What it cannot go back from.
    pub committed: [u8; 5],
    /// What the guest was launched on.
    pub launch: [u8; 5],
    /// Firmware: major, minor, build.
    pub firmware: [u8; 3],
    /// Firmware that is committed.
    pub firmware_committed: [u8; 3],
    /// The certificate's word for the product, if not the usual.
    pub product_name: Option<String>,
    /// When certificates and the list were issued; seconds since 1970.
    pub issued_s: u64,
    /// How long the signing key's certificate lives, in seconds.
    pub key_life_s: u64,
    /// How long the list is in force, in seconds.
    pub list_life_s: u64,
    /// Whether the list revokes the ASK or ASVK.
    pub revoked: bool,
    /// Whether there is a list.
    pub listed: bool,
    /// Whether somebody else's key signed the list.
    pub list_forged: bool,
    /// Whether the intermediate has the other kind's name.
    pub wrong_intermediate: bool,
}

/// A day, in seconds.
const DAY_S: u64 = 24 * 3600;

impl Chip {
    /// A sound one of a product, issued ten days before `now_s`.
    pub fn new(product: Product, now_s: u64) -> Self {
        let tcb = match product {
            Product::Turin => [1, 2, 1, 3, 0x47],
            Product::Genoa => [0, 10, 0, 24, 84],
            _ => [0, 4, 0, 24, 219],
        };
        Self {
            product,
            signer: Signer::Vcek,
            chip_id: match product {
                Product::Turin => vec![0x71; 8],
                _ => vec![0xc1; 64],
            },
            masked: false,
            provider: "Some Cloud".into(),
            certified: tcb,
            reported: tcb,
            current: tcb,
            committed: tcb,
            launch: tcb,
            firmware: [1, 55, 39],
            firmware_committed: [1, 55, 39],
            product_name: None,
            issued_s: now_s - 10 * DAY_S,
            key_life_s: 7 * 365 * DAY_S,
            list_life_s: 365 * DAY_S,
            revoked: false,
            listed: true,
            list_forged: false,
            wrong_intermediate: false,
        }
    }

    /// The root's certificate, in DER: the anchor of the software kind.
    pub fn root_der(&self) -> Vec<u8> {
        let name = format!("ARK-{}", self.product.name());
        let key = Key::rsa(FixedRsa::Root);
        Template::authority(1, &name, &name, None)
            .valid(1_577_836_800, 2_524_607_999)
            .sign(&key, &key)
    }

    /// The root's certificate, in PEM.
    pub fn root_pem(&self) -> String {
        crate::x509::pem(&self.root_der())
    }

    /// Certificates and list, as endorsements carry them.
    pub fn collateral(&self) -> SnpCollateral {
        let root = Key::rsa(FixedRsa::Root);
        let middle = Key::rsa(FixedRsa::Intermediate);
        let ark = format!("ARK-{}", self.product.name());
        let vlek = (self.signer == Signer::Vlek) != self.wrong_intermediate;
        let middle_name = format!(
            "SEV-{}{}",
            if vlek { "VLEK-" } else { "" },
            self.product.name()
        );
        let until_s = self.issued_s + 20 * 365 * DAY_S;
        let mut authority = Template::authority(2, &middle_name, &ark, Some(0));
        authority.extensions = vec![basic_constraints(Some(0)), key_usage(usage::CERTIFICATES)];
        let authority = authority.valid(self.issued_s, until_s).sign(&middle, &root);
        let leaf = Template {
            serial: vec![0],
            extensions: self.extensions(),
            ..Template::leaf(0, &format!("SEV-{}", self.signer.name()), &middle_name)
        };
        let leaf = leaf
            .valid(self.issued_s, self.issued_s + self.key_life_s)
            .sign(&self.key(), &middle);
        let list = ListTemplate {
            revoked: if self.revoked {
                vec![vec![2]]
            } else {
                Vec::new()
            },
            ..ListTemplate::empty(&ark, self.issued_s, self.issued_s + self.list_life_s)
        };
        let signer = if self.list_forged {
            Key::rsa(FixedRsa::Other)
        } else {
            root
        };
        SnpCollateral {
            certificate: Bytes(leaf),
            chain: vec![Bytes(authority), Bytes(self.root_der())],
            crl: self.listed.then(|| Bytes(list.sign(&signer))),
        }
    }

    /// The key that signs reports.
    pub fn key(&self) -> Key {
        Key::p384(self.signer.name())
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let own = |tail: &str, value: &[u8]| {
            extension(&format!("1.3.6.1.4.1.3704.1.{tail}"), false, value)
        };
        let text = |text: &str| tlv(0x16, text.as_bytes());
        let [fmc, bootloader, tee, snp, microcode] = self.certified;
        let usual = match self.signer {
            Signer::Vcek => format!("{}-B0", self.product.name()),
            Signer::Vlek => self.product.name().to_owned(),
        };
        let name = self.product_name.clone().unwrap_or(usual);
        let mut all = vec![own("1", &integer(&[0])), own("2", &text(&name))];
        if self.product == Product::Turin {
            all.push(own("3.9", &integer(&[fmc])));
        }
        all.extend([
            own("3.1", &integer(&[bootloader])),
            own("3.2", &integer(&[tee])),
            own("3.3", &integer(&[snp])),
            own("3.8", &integer(&[microcode])),
        ]);
        all.push(match self.signer {
            Signer::Vcek => own("4", &self.chip_id),
            Signer::Vlek => own("5", &text(&self.provider)),
        });
        all
    }

    fn tcb(&self, [fmc, bootloader, tee, snp, microcode]: [u8; 5]) -> [u8; 8] {
        match self.product {
            Product::Turin => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
            _ => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
        }
    }
}

/// What a guest is.
#[derive(Clone)]
pub struct Guest {
    /// Version of the report's format: 2 to 5.
    pub version: u32,
    /// The owner's version number.
    pub svn: u32,
    /// The guest's policy.
    pub policy: u64,
    /// Set by the owner.
    pub family_id: [u8; 16],
    /// Set by the owner.
    pub image_id: [u8; 16],
    /// Privilege level.
    pub vmpl: u32,
    /// The machine's settings.
    pub platform_info: u64,
    /// What it was launched from.
    pub measurement: [u8; 48],
    /// Set by the host.
    pub host_data: [u8; 32],
    /// Of the key that signed the ID block.
    pub id_key_digest: [u8; 48],
    /// Of the key that certified it.
    pub author_key_digest: [u8; 48],
    /// The migration agent's.
    pub report_id_ma: [u8; 32],
}

impl Guest {
    /// A sound one: policy 0x30000 (SMT allowed), SMT and ECC on, memory
    /// checked for aliases.
    pub fn new(version: u32) -> Self {
        Self {
            version,
            svn: 3,
            policy: 0x3_0000,
            family_id: [0xfa; 16],
            image_id: [0x1a; 16],
            vmpl: 0,
            platform_info: if version >= 3 { 0b10_0101 } else { 0b01 },
            measurement: [0x3e; 48],
            host_data: [0x40; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id_ma: [0xff; 32],
        }
    }

    /// Its report on a chip, signed, with the bytes that it asked for.
    pub fn report(&self, chip: &Chip, report_data: &[u8; 64]) -> Vec<u8> {
        let mut bytes = self.unsigned(chip, report_data);
        sign(&mut bytes, &chip.key());
        bytes
    }

    /// The same, not signed.
    pub fn unsigned(&self, chip: &Chip, report_data: &[u8; 64]) -> Vec<u8> {
        let mut bytes = vec![0; REPORT_SIZE];
        let mut put = |at: usize, value: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(at).zip(value) {
                *to = *from;
            }
        };
        put(0x00, &self.version.to_le_bytes());
        put(0x04, &self.svn.to_le_bytes());
        put(0x08, &self.policy.to_le_bytes());
        put(0x10, &self.family_id);
        put(0x20, &self.image_id);
        put(0x30, &self.vmpl.to_le_bytes());
        put(0x34, &1u32.to_le_bytes());
        put(0x38, &chip.tcb(chip.current));
        put(0x40, &self.platform_info.to_le_bytes());
        let key: u32 = match chip.signer {
            Signer::Vcek => 0,
            Signer::Vlek => 1 << 2,
        };
        let author = u32::from(self.author_key_digest != [0; 48]);
        put(0x48, &(key | author).to_le_bytes());
        put(0x50, report_data);
        put(0x90, &self.measurement);
        put(0xc0, &self.host_data);
        put(0xe0, &self.id_key_digest);
        put(0x110, &self.author_key_digest);
        put(0x140, &[0x1d; 32]);
        put(0x160, &self.report_id_ma);
        put(0x180, &chip.tcb(chip.reported));
        if self.version >= 3 {
            put(
                0x188,
                match chip.product {
                    Product::Turin => &[0x1a, 0x02, 0x01],
                    Product::Genoa => &[0x19, 0x11, 0x01],
                    _ => &[0x19, 0x01, 0x01],
                },
            );
        }
        if !chip.masked {
            put(0x1a0, &chip.chip_id);
        }
        put(0x1e0, &chip.tcb(chip.committed));
        let firmware = |[major, minor, build]: [u8; 3]| [build, minor, major];
        put(0x1e8, &firmware(chip.firmware));
        put(0x1ec, &firmware(chip.firmware_committed));
        put(0x1f0, &chip.tcb(chip.launch));
        bytes
    }
}

/// Signs a report as it is.
///
/// # Panics
/// If it is shorter than a report.
pub fn sign(report: &mut [u8], key: &Key) {
    let (signed, rest) = report.split_at_mut(0x2a0);
    let signature = key.sign_fixed(signed);
    let (r, s) = signature.split_at(48);
    for (at, number) in [(0, r), (72, s)] {
        for (to, from) in rest.iter_mut().skip(at).zip(number.iter().rev()) {
            *to = *from;
        }
    }
}

/// Three pages that begin as a firmware image (OVMF) ends: with all that it can
/// say of itself for SEV-SNP, and a place for a kernel's hashes or none.
pub fn firmware(hashes: bool) -> Vec<u8> {
    const PAGE: usize = 4096;
    const FOOTER: &str = "de82b596b21ff745baeaa366c55a082d";
    const HASH_TABLE: &str = "1f3755723b3a044b927b1da6efa8d454";
    const RESET_BLOCK: &str = "de71f7007e1acb4f890e68c77e2fb44e";
    const METADATA: &str = "666588dc4a989847a75e5585a7bf67cc";
    let guid = |text: &str| hex::decode(text).unwrap_or_default();
    let size = 3 * PAGE;
    let mut image: Vec<u8> = (0..size).map(|i| (i * 7 + i / PAGE) as u8).collect();
    let mut sections = vec![
        [0x80_0000_u32, 0x3000, 1],
        [0x80_d000, 0x1000, 2],
        [0x80_e000, 0x1000, 3],
        [0x80_f000, 0x2000, 4],
    ];
    if hashes {
        sections.push([0x81_1000, 0x1000, 0x10]);
    }
    let count = sections.len() as u32;
    let mut metadata = b"ASEV".to_vec();
    for number in [16 + 12 * count, 1, count]
        .iter()
        .chain(sections.iter().flatten())
    {
        metadata.extend(number.to_le_bytes());
    }
    image[PAGE..PAGE + metadata.len()].copy_from_slice(&metadata);
    let entry = |name: &str, data: &[u8]| {
        let len = (data.len() + 18) as u16;
        [data, &len.to_le_bytes(), &guid(name)].concat()
    };
    let mut table = [
        entry(
            HASH_TABLE,
            &[0x81_1400_u32.to_le_bytes(), 0x400_u32.to_le_bytes()].concat(),
        ),
        entry(RESET_BLOCK, &0x80_b004_u32.to_le_bytes()),
        entry(METADATA, &((size - PAGE) as u32).to_le_bytes()),
    ]
    .concat();
    let len = (table.len() + 18) as u16;
    table.extend(len.to_le_bytes());
    table.extend(guid(FOOTER));
    let end = size - 32;
    image[end - table.len()..end].copy_from_slice(&table);
    image
}
