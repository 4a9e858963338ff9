//! The certificate table that a host may hand out beside an SEV-SNP report
//! (SEV-ES Guest-Hypervisor Communication Block Standardization, revision
//! 2.03, 4.1.8.1): entries of GUID, offset and length, ended by one of zeros,
//! then the certificates. All of it is the host's word; clients verify it.

/// Bytes of the table at most: what the kernel allows for an auxiliary blob.
pub(super) const MAX_TABLE: usize = 32 * 1024;
/// Entries at most: five kinds are known.
const MAX_ENTRIES: usize = 16;
const ENTRY: usize = 24;

const VCEK: [u8; 16] = guid(0x63da758d_e664_4564_adc5_f4b93be8accd);
const VLEK: [u8; 16] = guid(0xa8074bc2_a25a_483e_aae6_39c045a0b8a1);
const ASK: [u8; 16] = guid(0x4ab7b379_bbac_4fe4_a02f_05aef327c782);
const ARK: [u8; 16] = guid(0xc0b406a4_a803_4952_9743_3fb6014cd0ae);
const CRL: [u8; 16] = guid(0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea);

/// GUIDs stand as their text is written, first byte first.
const fn guid(text: u128) -> [u8; 16] {
    text.to_be_bytes()
}

/// What a table holds; each in DER, as the host gave it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) vcek: Option<Vec<u8>>,
    pub(super) vlek: Option<Vec<u8>>,
    /// The intermediate: ASK, or ASVK beside a VLEK.
    pub(super) ask: Option<Vec<u8>>,
    pub(super) ark: Option<Vec<u8>>,
    pub(super) crl: Option<Vec<u8>>,
}

impl Table {
    /// Reads one. An empty table is one without certificates: many hosts
    /// supply none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut table = Self::default();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(table);
        }
        if bytes.len() > MAX_TABLE {
            return Err("the certificate table is too long");
        }
        let mut rest = bytes;
        for _ in 0..MAX_ENTRIES {
            let (entry, after) = rest
                .split_first_chunk::<ENTRY>()
                .ok_or("the certificate table has no end")?;
            rest = after;
            if entry.iter().all(|byte| *byte == 0) {
                return Ok(table);
            }
            let [offset, length] = [16, 20].map(|at| {
                let field = entry.get(at..).and_then(<[u8]>::first_chunk);
                field.map_or(0, |field| u32::from_le_bytes(*field) as usize)
            });
            let certificate = offset
                .checked_add(length)
                .and_then(|end| bytes.get(offset..end))
                .filter(|certificate| !certificate.is_empty())
                .ok_or("a certificate lies outside its table")?;
            let place = match entry.first_chunk::<16>() {
                Some(&VCEK) => &mut table.vcek,
                Some(&VLEK) => &mut table.vlek,
                Some(&ASK) => &mut table.ask,
                Some(&ARK) => &mut table.ark,
                Some(&CRL) => &mut table.crl,
                // Others are allowed, and nothing to us.
                _ => continue,
            };
            if place.replace(certificate.to_vec()).is_some() {
                return Err("the certificate table names one twice");
            }
        }
        Err("the certificate table has too many entries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with these entries, each content followed by the next.
    fn build(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
        let mut offset = ENTRY * (entries.len() + 1);
        let mut table = Vec::new();
        for (guid, content) in entries {
            table.extend(guid);
            table.extend((offset as u32).to_le_bytes());
            table.extend((content.len() as u32).to_le_bytes());
            offset += content.len();
        }
        table.extend([0; ENTRY]);
        for (_, content) in entries {
            table.extend(*content);
        }
        table
    }

    #[test]
    fn certificates_are_found_by_their_guids() {
        let bytes = build(&[
            (ARK, b"ark"),
            ([9; 16], b"?"),
            (VCEK, b"vcek"),
            (ASK, b"ask"),
        ]);
        let table = Table::parse(&bytes).unwrap();
        assert_eq!(table.vcek.as_deref(), Some(b"vcek" as &[u8]));
        assert_eq!(table.ask.as_deref(), Some(b"ask" as &[u8]));
        assert_eq!(table.ark.as_deref(), Some(b"ark" as &[u8]));
        assert_eq!((table.vlek, table.crl), (None, None));
        assert_eq!(bytes[24 * 2], 0x63, "GUIDs begin as their text does");
    }

    #[test]
    fn no_table_and_a_table_of_zeros_hold_nothing() {
        for bytes in [&[] as &[u8], &[0; 24], &[0; 4096]] {
            assert_eq!(Table::parse(bytes).unwrap(), Table::default());
        }
    }

    #[test]
    fn a_table_that_lies_about_itself_is_an_error() {
        let good = build(&[(VCEK, b"vcek")]);
        for cut in 1..good.len() {
            assert!(Table::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
        for field in [16, 20] {
            let mut bad = good.clone();
            bad[field..field + 4].fill(0xff);
            assert!(Table::parse(&bad).is_err());
        }
        let mut empty = good;
        empty[20..24].fill(0);
        assert!(Table::parse(&empty).is_err());
        assert!(Table::parse(&build(&[(ASK, b"a"), (ASK, b"b")])).is_err());
        assert!(Table::parse(&build(&[([7; 16], b"x" as &[u8]); 16])).is_err());
        assert!(Table::parse(&vec![1; MAX_TABLE + 1]).is_err());
    }
}
