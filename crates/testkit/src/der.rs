//! A writer of DER, for certificates and lists with any fault in them.

/// Tag, length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        len @ 0..=0x7f => out.extend((len as u8).to_be_bytes()),
        len @ 0x80..=0xff => out.extend([0x81, len as u8]),
        len @ 0x100..=0xffff => {
            out.push(0x82);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x83);
            out.extend((len as u32).to_be_bytes().split_at(1).1);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of what was encoded already.
pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// INTEGER, not negative, from big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut content = bytes.split_at(zeros).1.to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tlv(0x02, &content)
}

/// OBJECT IDENTIFIER from its dotted form.
///
/// # Panics
/// If it is none.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted
        .split('.')
        .map(|arc| arc.parse().unwrap_or_else(|_| panic!("{dotted} is no OID")))
        .collect();
    let [first, second, rest @ ..] = arcs.as_slice() else {
        panic!("{dotted} is no OID")
    };
    let mut content = Vec::new();
    for arc in [first * 40 + second].iter().chain(rest) {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut more = arc >> 7;
        while more > 0 {
            groups.push((more & 0x7f) as u8 | 0x80);
            more >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tlv(0x06, &content)
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(0x05, &[])
}

/// BOOLEAN, true.
pub fn truth() -> Vec<u8> {
    tlv(0x01, &[0xff])
}

/// OCTET STRING.
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(0x04, bytes)
}

/// BIT STRING of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

/// `[number]` EXPLICIT.
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// UTCTime up to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub fn time(unix_s: u64) -> Vec<u8> {
    let days = unix_s / 86_400;
    let (hour, minute, second) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    // Days since 0000-03-01 (H. Hinnant, chrono-compatible date algorithms).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        tlv(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(
            oid("1.2.840.10045.2.1"),
            [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]
        );
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(tlv(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tlv(4, &[0; 70_000])[..5], [4, 0x83, 1, 0x11, 0x70]);
        assert_eq!(time(1_795_000_000)[2..], *b"261118110640Z");
        assert_eq!(time(951_782_400)[2..], *b"000229000000Z");
        assert_eq!(time(2_524_608_000)[2..], *b"20500101000000Z");
    }
}
