//! PCR 0, 1, 2 and 8 of a Nitro enclave from its image file (EIF, versions 2
//! to 4: aws-nitro-enclaves-image-format), as `nitro-cli describe-eif` gives
//! them.
//!
//! PCR 0 covers kernel, command line and all ramdisks; PCR 1 kernel, command
//! line and the first ramdisk; PCR 2 the other ramdisks; PCR 8 the certificate
//! that signed the image. Each is SHA-384(48 zeros ‖ SHA-384(what it covers)).

use crate::{bytes::Hex, x509::read_pem};
use minicbor::{Decoder, data::Type};
use sha2::{Digest as _, Sha384};

const HEADER: usize = 548;
const SECTION_HEADER: usize = 12;
const MAX_SECTIONS: usize = 32;
/// Bytes of a signature section at most.
const MAX_SIGNATURE: usize = 64 * 1024;

/// Why bytes are not an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Does not begin as an image does.
    #[error("not an enclave image file")]
    NotAnImage,
    /// Another version than 2 to 4.
    #[error("image of version {0}; 2 to 4 are understood")]
    Version(u16),
    /// Sections do not lie as the header says, or do not fill the file.
    #[error("sections that do not fit: {0}")]
    Sections(&'static str),
    /// The checksum in the header is another.
    #[error("its checksum is wrong: the file is damaged")]
    Checksum,
    /// The signature section holds no certificate.
    #[error("its signature section cannot be read")]
    Signature,
}

/// An image's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// The whole image.
    pub pcr0: Hex<48>,
    /// Kernel and boot file systems.
    pub pcr1: Hex<48>,
    /// The application.
    pub pcr2: Hex<48>,
    /// The certificate that signed the image; zero if none did.
    pub pcr8: Hex<48>,
}

/// Computes them from the whole file.
///
/// # Errors
/// [`ImageError`].
pub fn registers(image: &[u8]) -> Result<Registers, ImageError> {
    let (header, _) = image
        .split_first_chunk::<HEADER>()
        .ok_or(ImageError::NotAnImage)?;
    if !header.starts_with(b".eif") {
        return Err(ImageError::NotAnImage);
    }
    let version = u16::from_be_bytes(at(header, 4));
    if !(2..=4).contains(&version) {
        return Err(ImageError::Version(version));
    }
    let count = usize::from(u16::from_be_bytes(at(header, 26)));
    if count == 0 || count > MAX_SECTIONS {
        return Err(ImageError::Sections("how many there are"));
    }
    let mut hashers = [Sha384::new(), Sha384::new(), Sha384::new()];
    let mut certificate = None;
    let mut ramdisks = 0;
    let mut position = HEADER;
    for index in 0..count {
        let offset = u64::from_be_bytes(at(header, 28 + 8 * index));
        let len = u64::from_be_bytes(at(header, 28 + 8 * (MAX_SECTIONS + index)));
        if usize::try_from(offset) != Ok(position) {
            return Err(ImageError::Sections("where one begins"));
        }
        let section = section(image, position, len)?;
        let [image_hash, boot, application] = &mut hashers;
        match section.kind {
            // Kernel, command line.
            1 | 2 => {
                image_hash.update(section.data);
                boot.update(section.data);
            }
            // Ramdisk.
            3 => {
                image_hash.update(section.data);
                if ramdisks == 0 {
                    boot.update(section.data);
                } else {
                    application.update(section.data);
                }
                ramdisks += 1;
            }
            4 if certificate.is_none() => certificate = Some(signer(section.data)?),
            // Metadata.
            5 => {}
            _ => return Err(ImageError::Sections("of which kind one is")),
        }
        position = section.end;
    }
    if position != image.len() {
        return Err(ImageError::Sections("bytes after the last"));
    }
    if crc32(image, HEADER - 4) != u32::from_be_bytes(at(header, HEADER - 4)) {
        return Err(ImageError::Checksum);
    }
    let [pcr0, pcr1, pcr2] = hashers.map(|hasher| extend(&hasher.finalize()));
    Ok(Registers {
        pcr0,
        pcr1,
        pcr2,
        pcr8: certificate.map_or(Hex([0; 48]), |der| extend(&Sha384::digest(der))),
    })
}

/// PCR 3 of a parent instance with this IAM role, by its ARN.
pub fn role_pcr(arn: &str) -> Hex<48> {
    extend(arn.as_bytes())
}

/// PCR 4 of an enclave on this instance, by its id.
pub fn instance_pcr(id: &str) -> Hex<48> {
    extend(id.as_bytes())
}

fn extend(value: &[u8]) -> Hex<48> {
    let mut hasher = Sha384::new();
    hasher.update([0; 48]);
    hasher.update(value);
    Hex(hasher.finalize().into())
}

struct Section<'a> {
    kind: u16,
    data: &'a [u8],
    end: usize,
}

/// Type, flags and length, big endian, and what they stand before.
fn section(image: &[u8], position: usize, len: u64) -> Result<Section<'_>, ImageError> {
    const WHAT: ImageError = ImageError::Sections("how long one is");
    let (header, rest) = image
        .get(position..)
        .and_then(|rest| rest.split_first_chunk::<SECTION_HEADER>())
        .ok_or(WHAT)?;
    if u64::from_be_bytes(at(header, 4)) != len {
        return Err(WHAT);
    }
    let data = usize::try_from(len)
        .ok()
        .and_then(|len| rest.get(..len))
        .ok_or(WHAT)?;
    Ok(Section {
        kind: u16::from_be_bytes(at(header, 0)),
        end: position + SECTION_HEADER + data.len(),
        data,
    })
}

/// DER of the certificate in a signature section: CBOR, an array of maps with
/// `signing_certificate` (PEM) and `signature`, of which the first counts. The
/// format's own writer puts bytes as arrays of integers.
fn signer(section: &[u8]) -> Result<Vec<u8>, ImageError> {
    if section.len() > MAX_SIGNATURE {
        return Err(ImageError::Signature);
    }
    let pem = (|| {
        let mut d = Decoder::new(section);
        if d.array().ok()?? == 0 {
            return None;
        }
        let fields = d.map().ok()??;
        for _ in 0..fields {
            let name = d.str().ok()?;
            if name == "signing_certificate" {
                return bytes(&mut d);
            }
            d.skip().ok()?;
        }
        None
    })()
    .ok_or(ImageError::Signature)?;
    let certificates = read_pem(&pem, 1).map_err(|_| ImageError::Signature)?;
    certificates
        .first()
        .map(|certificate| certificate.der().to_vec())
        .ok_or(ImageError::Signature)
}

fn bytes(d: &mut Decoder<'_>) -> Option<Vec<u8>> {
    if d.datatype().ok()? == Type::Bytes {
        return d.bytes().ok().map(<[u8]>::to_vec);
    }
    let len = d.array().ok()??;
    if len > MAX_SIGNATURE as u64 {
        return None;
    }
    (0..len).map(|_| d.u8().ok()).collect()
}

/// CRC-32 (IEEE) of all but the 4 bytes at `skipped`.
fn crc32(bytes: &[u8], skipped: usize) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let (head, rest) = bytes.split_at_checked(skipped).unwrap_or_default();
    let tail = rest.get(4..).unwrap_or_default();
    let step = |crc: u32, byte: &u8| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        // A byte's worth of bits is always in the table.
        TABLE.get(index as usize).copied().unwrap_or_default() ^ (crc >> 8)
    };
    !head.iter().chain(tail).fold(!0, step)
}

/// `N` bytes at an offset that lies inside by construction.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(sections: &[(u16, &[u8])]) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..4].copy_from_slice(b".eif");
        header[4..6].copy_from_slice(&4u16.to_be_bytes());
        header[26..28].copy_from_slice(&(sections.len() as u16).to_be_bytes());
        let mut body = Vec::new();
        for (index, (kind, data)) in sections.iter().enumerate() {
            let offset = (HEADER + body.len()) as u64;
            let len = data.len() as u64;
            header[28 + 8 * index..36 + 8 * index].copy_from_slice(&offset.to_be_bytes());
            let sizes = 28 + 8 * (MAX_SECTIONS + index);
            header[sizes..sizes + 8].copy_from_slice(&len.to_be_bytes());
            body.extend(kind.to_be_bytes());
            body.extend([0; 2]);
            body.extend(len.to_be_bytes());
            body.extend_from_slice(data);
        }
        let mut image = [header, body].concat();
        let crc = crc32(&image, HEADER - 4);
        image[HEADER - 4..HEADER].copy_from_slice(&crc.to_be_bytes());
        image
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"1234\0\0\0\x0056789", 4), 0xcbf4_3926);
    }

    #[test]
    fn each_register_covers_its_sections() {
        let whole = image(&[
            (1, b"kernel"),
            (2, b"cmdline"),
            (3, b"init"),
            (3, b"app"),
            (5, b"{}"),
        ]);
        let found = registers(&whole).unwrap();
        let of = |covered: &[u8]| extend(&Sha384::digest(covered));
        assert_eq!(found.pcr0, of(b"kernelcmdlineinitapp"));
        assert_eq!(found.pcr1, of(b"kernelcmdlineinit"));
        assert_eq!(found.pcr2, of(b"app"));
        assert_eq!(found.pcr8, Hex([0; 48]));
    }

    #[test]
    fn damaged_images_are_refused() {
        let whole = image(&[(1, b"kernel"), (2, b"cmdline"), (3, b"init")]);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(registers(&changed).is_err(), "byte {at}");
            assert!(registers(&whole[..at]).is_err());
        }
        let mut longer = whole;
        longer.push(0);
        assert!(registers(&longer).is_err());
        assert_eq!(
            registers(&image(&[(4, b"\x80")])),
            Err(ImageError::Signature)
        );
        assert!(registers(&image(&[(9, b"")])).is_err());
        assert!(registers(&image(&[])).is_err());
    }

    #[test]
    fn instances_are_those_of_captured_documents() {
        assert!(
            instance_pcr("i-0827e799ec9232d44")
                .to_string()
                .starts_with("7b3574ad9b7e88ec8335e8ce967315fac77218441e97eea9795de704d7f2678d")
        );
    }
}
