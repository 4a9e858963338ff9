//! What interfaces answer, damaged: every byte flipped, every truncation, every
//! word of it at its extremes. Nothing may panic; what was cut is refused.

use super::binding;
use soundproof_attester::{Device, fuzz::Reader};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    configfs::certificate_table,
    nsm::{self, FakeNsm, unsigned_document},
    tpm::{self, FakeTpm, hcl_report, td_report, vouching},
};

/// A sample of what each reader accepts, or (where one answer is not enough
/// for that) reads to its end.
fn samples() -> Vec<(Reader, Vec<u8>)> {
    let hcl = hcl_report(false, &td_report(&vouching(b"{}")), b"{}");
    let hcl = hcl[..0x20 + 0x4a0 + 22].to_vec();
    let tpm = FakeTpm::new(hcl.clone(), tpm::Behaviour::default());
    let mut read_public = vec![0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x69];
    read_public.extend(tpm::HCL_REPORT.to_be_bytes());
    let mut read_pcrs = vec![0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e];
    read_pcrs.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff]);
    let nsm = FakeNsm::new(nsm::Behaviour::default());
    let mut request = b"\xa1\x6bAttestation\xa3\x69user_data\x58\x40".to_vec();
    request.extend([0; 64]);
    request.extend(b"\x65nonce\xf6\x6apublic_key\xf6");
    let http = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    vec![
        (Reader::Http, http.to_vec()),
        (
            Reader::Certificates,
            certificate_table(b"vcek", b"ask", b"ark"),
        ),
        (Reader::HclReport, hcl),
        (
            Reader::Document,
            unsigned_document(binding(Platform::Nitro).as_bytes()),
        ),
        (Reader::Nsm, nsm.exchange(&request).unwrap()),
        (Reader::Tpm, tpm.exchange(&read_public).unwrap()),
        (Reader::Tpm, tpm.exchange(&read_pcrs).unwrap()),
    ]
}

#[test]
fn nothing_panics_and_what_is_cut_is_refused() {
    let (mut tried, mut accepted) = (0_u32, 0_u32);
    for (reader, sample) in samples() {
        if reader != Reader::Tpm {
            assert!(reader.read(&sample), "{reader:?}");
        }
        for cut in 0..sample.len() {
            // Of a document only what stands before the signature is read; no
            // table at all is one without certificates.
            if reader != Reader::Document && cut > 0 {
                assert!(!reader.read(&sample[..cut]), "{reader:?} cut at {cut}");
            }
            reader.read(&sample[..cut]);
            for value in [!sample[cut], 0, 0x7f, 0x80, 0xff] {
                let mut damaged = sample.clone();
                damaged[cut] = value;
                tried += 1;
                accepted += u32::from(reader.read(&damaged));
            }
            for extreme in [0, 1, u32::MAX, u32::MAX / 2] {
                for bytes in [u32::to_be_bytes(extreme), u32::to_le_bytes(extreme)] {
                    let mut damaged = sample.clone();
                    let end = damaged.len().min(cut + 4);
                    let length = end - cut;
                    damaged[cut..end].copy_from_slice(&bytes[..length]);
                    reader.read(&damaged);
                    tried += 1;
                }
            }
        }
    }
    // Readers check shapes; what most bytes say is for verifiers.
    println!("{tried} damaged answers, {accepted} of one byte read all the same");
}
