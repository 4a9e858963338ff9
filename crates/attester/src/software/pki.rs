//! Certificates and revocation lists in the shape of Intel's provisioning
//! certification service: root → PCK platform CA → PCK certificate, and
//! root → TCB signing (Intel SGX PCK Certificate and CRL Profile
//! Specification 1.5).

use super::{
    keys::{Key, Keys},
    profile::Profile,
};
use crate::AttestError;
use der::{Any, Encode, Tag, asn1::ObjectIdentifier};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;

const SGX: &str = "1.2.840.113741.1.13.1";
const SGX_COMPONENTS: [u64; 7] = [1, 2, 840, 113741, 1, 13, 1];
const ROOT_NAME: &str = "Soundproof Software Root CA, protects nothing";
const PCK_CA_NAME: &str = "Soundproof Software PCK Platform CA, protects nothing";
/// The root's validity is fixed, so that its certificate, signed
/// deterministically, is the same as often as it is made.
const ROOT_FROM_S: i64 = 1_577_836_800; // 2020-01-01
const ROOT_UNTIL_S: i64 = 2_524_607_999; // 2049-12-31

pub(super) struct Pki {
    pub(super) root_pem: String,
    pub(super) root_der: Vec<u8>,
    /// PCK certificate, CA, root: as a quote carries them.
    pub(super) pck_chain_pem: String,
    /// CA, root.
    pub(super) pck_ca_chain_pem: String,
    /// TCB signing, root.
    pub(super) tcb_signing_chain_pem: String,
    pub(super) root_crl: Vec<u8>,
    pub(super) pck_crl: Vec<u8>,
}

impl Pki {
    pub(super) fn make(keys: &Keys, profile: &Profile, now_ms: u64) -> Result<Self, AttestError> {
        let issued = Issued::new(profile, now_ms)?;
        let root_params = {
            let mut params = authority(ROOT_NAME, 1, 1);
            params.not_before = at(ROOT_FROM_S, now_ms)?;
            params.not_after = at(ROOT_UNTIL_S, now_ms)?;
            params
        };
        let root = root_params
            .self_signed(&keys.root)
            .map_err(cannot("root"))?;
        let root_issuer = Issuer::from_params(&root_params, &keys.root);

        let mut ca_params = authority(PCK_CA_NAME, 2, 0);
        ca_params.not_before = issued.from;
        ca_params.not_after = issued.certificates_until;
        let ca = ca_params
            .signed_by(&keys.pck_ca, &root_issuer)
            .map_err(cannot("PCK CA"))?;
        let ca_issuer = Issuer::from_params(&ca_params, &keys.pck_ca);

        let mut pck_params = leaf("Soundproof Software PCK Certificate", 3);
        pck_params.not_before = issued.from;
        pck_params.not_after = issued.pck_until;
        pck_params.custom_extensions = vec![CustomExtension::from_oid_content(
            &SGX_COMPONENTS,
            sgx_extension(profile).map_err(|error| AttestError::Make {
                what: "PCK certificate",
                why: error.to_string(),
            })?,
        )];
        let pck = pck_params
            .signed_by(&keys.pck, &ca_issuer)
            .map_err(cannot("PCK certificate"))?;

        let mut signing_params = leaf("Soundproof Software TCB Signing", 4);
        signing_params.not_before = issued.from;
        signing_params.not_after = issued.certificates_until;
        let signing = signing_params
            .signed_by(&keys.tcb_signing, &root_issuer)
            .map_err(cannot("TCB signing certificate"))?;

        let mut root_revoked = Vec::new();
        root_revoked.extend(profile.ca_revoked.then_some(2));
        root_revoked.extend(profile.signing_revoked.then_some(4));
        let pck_revoked: Vec<u64> = profile.pck_revoked.then_some(3).into_iter().collect();
        Ok(Self {
            root_pem: root.pem(),
            root_der: root.der().to_vec(),
            pck_chain_pem: [pck.pem(), ca.pem(), root.pem()].concat(),
            pck_ca_chain_pem: [ca.pem(), root.pem()].concat(),
            tcb_signing_chain_pem: [signing.pem(), root.pem()].concat(),
            root_crl: issued.revocation_list(&root_issuer, &root_revoked)?,
            pck_crl: issued.revocation_list(&ca_issuer, &pck_revoked)?,
        })
    }
}

/// When things were issued and until when they hold.
pub(super) struct Issued {
    pub(super) from: OffsetDateTime,
    pub(super) collateral_until: OffsetDateTime,
    certificates_until: OffsetDateTime,
    pck_until: OffsetDateTime,
}

impl Issued {
    pub(super) fn new(profile: &Profile, now_ms: u64) -> Result<Self, AttestError> {
        let from = (now_ms / 1000).saturating_sub(profile.issued_ago_s);
        let after = |seconds: u64| {
            i64::try_from(from.saturating_add(seconds))
                .map_err(|_| AttestError::Time(now_ms))
                .and_then(|time| at(time, now_ms))
        };
        Ok(Self {
            from: after(0)?,
            collateral_until: after(profile.collateral_life_s)?,
            certificates_until: after(profile.collateral_life_s.saturating_mul(5))?,
            pck_until: after(profile.pck_life_s)?,
        })
    }

    fn revocation_list(
        &self,
        issuer: &Issuer<'_, &Key>,
        serials: &[u64],
    ) -> Result<Vec<u8>, AttestError> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: self.from,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: self.from,
            next_update: self.collateral_until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(issuer).map_err(cannot("revocation list"))?;
        Ok(list.der().to_vec())
    }
}

fn at(unix_s: i64, now_ms: u64) -> Result<OffsetDateTime, AttestError> {
    OffsetDateTime::from_unix_timestamp(unix_s).map_err(|_| AttestError::Time(now_ms))
}

fn cannot(what: &'static str) -> impl Fn(rcgen::Error) -> AttestError {
    move |error| AttestError::Make {
        what,
        why: error.to_string(),
    }
}

fn authority(name: &str, serial: u64, path_len: u8) -> CertificateParams {
    let mut params = leaf(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_len));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Soundproof");
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::ContentCommitment,
    ];
    params.use_authority_key_identifier_extension = true;
    params
}

/// The SGX extension: PPID, TCB, PCE-ID, FMSPC, SGX type, platform instance,
/// configuration.
fn sgx_extension(profile: &Profile) -> der::Result<Vec<u8>> {
    let mut tcb = Vec::new();
    for (component, svn) in (1..).zip(profile.cpu_svn) {
        tcb.push(entry(&format!("{SGX}.2.{component}"), &svn)?);
    }
    tcb.push(entry(&format!("{SGX}.2.17"), &profile.pce_svn)?);
    tcb.push(entry(&format!("{SGX}.2.18"), &octets(&profile.cpu_svn)?)?);
    let configuration = [
        entry(&format!("{SGX}.7.1"), &false)?, // dynamic platform
        entry(&format!("{SGX}.7.2"), &false)?, // cached keys
        entry(&format!("{SGX}.7.3"), &true)?,  // SMT
    ];
    sequence(&[
        entry(&format!("{SGX}.1"), &octets(&profile.ppid)?)?,
        entry(&format!("{SGX}.2"), &sequence(&tcb)?)?,
        entry(&format!("{SGX}.3"), &octets(&[0, 0])?)?,
        entry(&format!("{SGX}.4"), &octets(&profile.fmspc)?)?,
        entry(&format!("{SGX}.5"), &Any::new(Tag::Enumerated, [1])?)?, // scalable
        entry(&format!("{SGX}.6"), &octets(&profile.ppid)?)?,
        entry(&format!("{SGX}.7"), &sequence(&configuration)?)?,
    ])?
    .to_der()
}

fn octets(bytes: &[u8]) -> der::Result<Any> {
    Any::new(Tag::OctetString, bytes)
}

/// SEQUENCE { OID, value }.
fn entry(oid: &str, value: &impl Encode) -> der::Result<Any> {
    let mut body = ObjectIdentifier::new(oid)
        .map_err(|_| der::ErrorKind::OidMalformed)?
        .to_der()?;
    body.extend(value.to_der()?);
    Any::new(Tag::Sequence, body)
}

fn sequence(entries: &[Any]) -> der::Result<Any> {
    let mut body = Vec::new();
    for entry in entries {
        body.extend(entry.to_der()?);
    }
    Any::new(Tag::Sequence, body)
}
