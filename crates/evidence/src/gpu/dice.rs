//! The firmware id in a GPU's leaf certificate. Hopper has the composite
//! device id of RIoT (2.23.133.5.4.1: version, public key of the layer below,
//! FWID), Blackwell the DiceTcbInfo that succeeded it (2.23.133.5.4.1.1, TCG
//! DICE Attestation Architecture 1.1, 6.1.1).

use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _, asn1::AnyRef};

/// 2.16.840.1.101.3.4.2.2, SHA-384, as DER has it.
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
/// In a DiceTcbInfo.
const FWIDS: TagNumber = TagNumber(6);
const FLAGS: TagNumber = TagNumber(7);
/// Of its operational flags, the fourth: debug.
const DEBUG: u8 = 0x10;
/// FWIDs that one DiceTcbInfo has at most.
const MAX_FWIDS: usize = 16;

/// What the extension says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) fwid: [u8; 48],
    pub(super) debug: bool,
}

/// Of Hopper: the value of 2.23.133.5.4.1.
pub(super) fn composite_device_id(value: &[u8]) -> Option<Layer> {
    let mut fields = elements(sequence(AnyRef::from_der(value).ok()?)?)?.into_iter();
    let version = fields.next()?;
    if version.tag() != Tag::Integer || version.value() != [1] {
        return None;
    }
    sequence(fields.next()?)?; // the public key of the layer below
    let fwid = fwid(fields.next()?)?;
    fields
        .next()
        .is_none()
        .then_some(Layer { fwid, debug: false })
}

/// Of Blackwell: the value of 2.23.133.5.4.1.1; the first FWID is the
/// firmware's that holds the key.
pub(super) fn tcb_info(value: &[u8]) -> Option<Layer> {
    let mut first = None;
    let mut debug = false;
    for field in elements(sequence(AnyRef::from_der(value).ok()?)?)? {
        let Tag::ContextSpecific { number, .. } = field.tag() else {
            return None;
        };
        if number == FWIDS {
            let fwids = elements(field.value())?;
            if fwids.len() > MAX_FWIDS {
                return None;
            }
            first = Some(fwid(*fwids.first()?)?);
        } else if number == FLAGS {
            // A BIT STRING: the number of unused bits, then the bits.
            debug = field.value().get(1).is_some_and(|bits| bits & DEBUG != 0);
        }
    }
    Some(Layer {
        fwid: first?,
        debug,
    })
}

/// FWID ::= SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING }
fn fwid(any: AnyRef<'_>) -> Option<[u8; 48]> {
    let fields = elements(sequence(any)?)?;
    let [algorithm, digest] = fields.as_slice() else {
        return None;
    };
    let right = algorithm.tag() == Tag::ObjectIdentifier
        && algorithm.value() == SHA384
        && digest.tag() == Tag::OctetString;
    right.then(|| digest.value().try_into().ok()).flatten()
}

fn sequence(any: AnyRef<'_>) -> Option<&[u8]> {
    (any.tag() == Tag::Sequence).then(|| any.value())
}

fn elements(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.decode::<AnyRef<'_>>().ok()?);
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACKWELL: &str = "3081b180064e5649444941810d4742313030204130312047535082023031830101840100850100a67e303d06096086480165030402020430d090cab1b6e6ffddca83d1781e25b3f040fa1f3c7608230cb5f41b1c1b99f5f748349e59d0ef8eb830c9bc79ccf77502303d06096086480165030402020430000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000870500800000018801c0890100";

    #[test]
    fn blackwells_first_firmware_id_and_debug_flag() {
        let mut value = hex::decode(BLACKWELL).unwrap();
        let layer = tcb_info(&value).unwrap();
        assert!(hex::encode(layer.fwid).starts_with("d090cab1b6e6ffdd"));
        assert!(!layer.debug);
        // The flags are 0x80000001; the fourth bit is debug.
        let flags = value.len() - 10;
        assert_eq!(value[flags], 0x80);
        value[flags] |= DEBUG;
        assert!(tcb_info(&value).unwrap().debug);
    }

    #[test]
    fn what_does_not_read_is_none() {
        let value = hex::decode(BLACKWELL).unwrap();
        for cut in 0..value.len() {
            assert_eq!(tcb_info(&value[..cut]), None, "cut at {cut}");
            assert_eq!(composite_device_id(&value[..cut]), None);
        }
        assert_eq!(composite_device_id(&value), None);
        assert_eq!(tcb_info(&[0x30, 0]), None);
    }
}
