//! Quotes verified by dcap-qvl. What it reports as text is turned into stable
//! reason codes here; the text stays what the check found.

use super::collateral::Collateral;
use crate::{
    reason::Reason,
    refusal::{Refusal, Root},
};
use dcap_qvl::{
    QuoteClaims, QuotePolicy, SvnComponent, SvnShortfall, TcbInfo, TcbLevel, TcbStatus,
    configs::{DefaultConfig, RustCryptoConfig},
    intel,
    quote::Quote,
    verify::QuoteVerifier,
};

/// SHA-384 of the public key of Intel's SGX Root CA, uncompressed point.
pub(crate) const INTEL_ROOT_KEY: [u8; 48] = [
    0x46, 0xe4, 0x03, 0xbd, 0x34, 0xf0, 0x5a, 0x3f, 0x28, 0x17, 0xab, 0x9b, 0xad, 0xca, 0xac, 0xc7,
    0xff, 0xc9, 0x8e, 0x0f, 0x26, 0x10, 0x08, 0xcd, 0x30, 0xda, 0xe9, 0x36, 0xca, 0xce, 0x18, 0xd5,
    0xdc, 0xf5, 0x8e, 0xef, 0x31, 0x46, 0x36, 0x13, 0xde, 0x15, 0x70, 0xd5, 0x16, 0x20, 0x09, 0x93,
];

/// What a verified quote says.
pub(crate) struct Verified {
    pub(super) claims: QuoteClaims,
    /// What the platform falls short of, where its TCB is not up to date.
    pub(super) shortfall: Option<String>,
    /// Seconds since 1970: the earlier issue of TCB info and QE identity.
    pub(super) oldest_s: u64,
}

/// Verifies a quote, SGX's or TDX's, to its last signed byte.
pub(super) fn verify(
    root: Root<'_>,
    quote: &[u8],
    collateral: &Collateral,
    now_s: u64,
) -> Result<Verified, Refusal> {
    let verifier = match root {
        Root::Vendor => QuoteVerifier::<DefaultConfig>::new_prod(),
        Root::Software(der) => QuoteVerifier::new(der.to_vec()),
        Root::Unnamed => return Err(Root::unnamed()),
    }
    // By name: another crate's feature must not choose the backend.
    .with_config::<RustCryptoConfig>();
    let claims = verifier
        // It verifies and reports; what is accepted is this crate's to say.
        .verify_with_policy(
            quote,
            &collateral.raw,
            now_s,
            &QuotePolicy::claims_only(now_s),
        )
        .map_err(|error| refusal(&format!("{error:#}"), quote, collateral))?;
    let under_intel = claims.platform.root_key_id == INTEL_ROOT_KEY;
    if under_intel != (root == Root::Vendor) {
        return Err(Refusal::new(
            Reason::AnchorMismatch,
            "signed under the root of another platform",
        ));
    }
    let shortfall = (claims.tcb.status != TcbStatus::UpToDate)
        .then(|| shortfall(quote, collateral, true))
        .flatten();
    Ok(Verified {
        claims,
        shortfall,
        oldest_s: collateral.oldest_s,
    })
}

/// The reason code for one of dcap-qvl's error texts. Tests make each fault
/// and pin its code, so that another wording cannot pass unseen; a text that
/// is not known here is still a refusal.
fn refusal(text: &str, quote: &[u8], collateral: &Collateral) -> Refusal {
    const TEXTS: &[(&str, Reason)] = &[
        ("Failed to decode quote", Reason::EvidenceMalformed),
        ("CertRevoked", Reason::CertificateRevoked),
        ("CertExpired", Reason::CollateralExpired),
        ("CrlExpired", Reason::CollateralExpired),
        ("TCBInfo expired", Reason::CollateralExpired),
        ("QE Identity expired", Reason::CollateralExpired),
        ("CertNotValidYet", Reason::CollateralNotYetValid),
        ("issue date is in the future", Reason::CollateralNotYetValid),
        (
            "Failed to parse root CA CRL: Invalid",
            Reason::AnchorMismatch,
        ),
        ("UnknownIssuer", Reason::AnchorMismatch),
        (
            "certificate chain: InvalidSignatureForPublicKey",
            Reason::AnchorMismatch,
        ),
        ("Failed to parse root CA CRL", Reason::EndorsementsMalformed),
        ("Failed to parse PCK CRL", Reason::EndorsementsMalformed),
        (
            "InvalidCrlSignatureForPublicKey",
            Reason::CollateralSignature,
        ),
        ("in quote_collateral", Reason::CollateralSignature),
        ("for qe_report in quote", Reason::QuoteSignature),
        ("QE report hash mismatch", Reason::QuoteSignature),
        ("ISV enclave report signature", Reason::QuoteSignature),
        ("QE Identity id", Reason::QuotingEnclave),
        ("QE MRSIGNER", Reason::QuotingEnclave),
        ("QE ISVPRODID", Reason::QuotingEnclave),
        ("QE MISCSELECT", Reason::QuotingEnclave),
        ("QE ATTRIBUTES", Reason::QuotingEnclave),
        ("QE report validation failed", Reason::QuotingEnclave),
        ("QE ISVSVN", Reason::QuotingEnclave),
        ("Fmspc mismatch", Reason::FmspcMismatch),
        ("non-TDX TCB info", Reason::EndorsementsPlatform),
        ("No matching TCB level", Reason::TcbLevelUnknown),
        ("below minimum required", Reason::TcbLevelUnknown),
        ("No TDX module identity", Reason::TcbLevelUnknown),
        ("TDX module MRSIGNER", Reason::ModuleRefused),
        ("TDX module SEAMATTRIBUTES", Reason::ModuleRefused),
        ("Debug mode is enabled", Reason::DebugEnabled),
        ("TD profiling", Reason::AttributesRefused),
        ("Reserved bits in TD attributes", Reason::AttributesRefused),
        ("TD migration", Reason::AttributesRefused),
        ("SERVTD_EXT", Reason::AttributesRefused),
        ("SEPT_VE_DISABLE", Reason::AttributesRefused),
        ("MR service TD", Reason::AttributesRefused),
        ("TCB status is invalid: Revoked", Reason::TcbRevoked),
        ("verify certificate chain", Reason::CertificateInvalid),
    ];
    let reason = TEXTS
        .iter()
        .find_map(|(part, reason)| text.contains(part).then_some(*reason))
        .unwrap_or(Reason::QuoteUnverified);
    let short = (reason == Reason::TcbLevelUnknown)
        .then(|| shortfall(quote, collateral, false))
        .flatten();
    match short {
        Some(short) => Refusal::new(reason, format!("{text}; {short}")),
        None => Refusal::new(reason, text),
    }
}

/// Which SVNs fall short of the nearest TCB level, in words. Explains only:
/// reads collateral that may not have been verified.
fn shortfall(quote: &[u8], collateral: &Collateral, up_to_date: bool) -> Option<String> {
    let quote = Quote::parse(quote).ok()?;
    let tee_svn = quote.report.as_td10().map(|report| &report.tee_tcb_svn);
    let chain = intel::extract_cert_chain(&quote).ok()?;
    let pck = intel::parse_pck_extension_with::<RustCryptoConfig>(chain.first()?).ok()?;
    let mut nearest: Option<(&TcbLevel, Vec<SvnShortfall>)> = None;
    for level in &collateral.tcb_info.tcb_levels {
        if up_to_date && level.tcb_status != TcbStatus::UpToDate {
            continue;
        }
        let mut short = level.shortfalls(&pck.cpu_svn, pck.pce_svn, tee_svn).ok()?;
        short.extend(
            tee_svn.and_then(|svn| module_shortfall(&collateral.tcb_info, svn, up_to_date)),
        );
        let nearer = nearest
            .as_ref()
            .is_none_or(|(_, least)| short.len() < least.len());
        if !short.is_empty() && nearer {
            nearest = Some((level, short));
        }
    }
    let (level, short) = nearest?;
    let short: Vec<String> = short.iter().map(in_words).collect();
    Some(format!(
        "nearest level is {} of {}, of which it falls short: {}",
        level.tcb_status,
        level.tcb_date,
        short.join(", ")
    ))
}

fn module_shortfall(
    tcb_info: &TcbInfo,
    tee_svn: &[u8; 16],
    up_to_date: bool,
) -> Option<SvnShortfall> {
    let identity = tcb_info.tdx_module_identity(tee_svn).ok()??;
    let nearest = identity
        .tcb_levels
        .iter()
        .filter(|level| !up_to_date || level.tcb_status == TcbStatus::UpToDate)
        .min_by_key(|level| level.tcb.isvsvn)?;
    nearest.shortfall(tee_svn)
}

fn in_words(short: &SvnShortfall) -> String {
    let what = match short.component {
        SvnComponent::Sgx(index) => format!("CPUSVN[{index}]"),
        SvnComponent::Tdx(index) => format!("TEE_TCB_SVN[{index}]"),
        SvnComponent::PceSvn => "PCE SVN".to_owned(),
        SvnComponent::TdxModuleIsvSvn => "TDX module SVN".to_owned(),
    };
    format!("{what} is {}, needs {}", short.have, short.needs)
}
