//! A chain of certificates, from a leaf to a trust anchor (RFC 5280, 6.1,
//! without the parts that no vendor's chain uses: policies and name
//! constraints, which are refused where they are critical).

use super::{Algorithm, Certificate, X509Error};
use crate::{reason::Reason, verdict::date};
use der::asn1::ObjectIdentifier;

/// Certificates in a chain at most, whatever the rules say.
pub const MAX_CHAIN: usize = 10;

/// What a chain must end in.
#[derive(Debug, Clone, Copy)]
pub enum Anchor<'a> {
    /// A self-signed certificate with one of these keys, each by its
    /// [`Certificate::key_id`].
    Keys(&'a [[u8; 48]]),
    /// The same, of which some certificates are known: by their
    /// [`Certificate::fingerprint`]. For one of these, its signature over
    /// itself says nothing that is not known, and is not checked.
    Known(&'a [[u8; 48]], &'a [[u8; 32]]),
    /// This certificate, byte for byte.
    Certificate(&'a Certificate),
}

impl Anchor<'_> {
    fn is(&self, root: &Certificate) -> bool {
        match self {
            Self::Keys(keys) | Self::Known(keys, _) => keys.contains(&root.key_id()),
            Self::Certificate(anchor) => anchor.der() == root.der(),
        }
    }

    /// Whether every byte of a root is known.
    fn knows(&self, root: &Certificate) -> bool {
        match self {
            Self::Keys(_) => false,
            Self::Known(_, known) => known.contains(&root.fingerprint()),
            Self::Certificate(anchor) => anchor.der() == root.der(),
        }
    }
}

/// What a chain must keep to.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// When it must be valid, all of it; seconds since 1970.
    pub at_s: u64,
    /// Certificates at most, leaf and anchor included; never more than
    /// [`MAX_CHAIN`].
    pub max_length: usize,
    /// What each may be signed with.
    pub algorithms: &'a [Algorithm],
    /// Critical extensions that the caller judges itself.
    pub critical: &'a [ObjectIdentifier],
}

/// From when until when, seconds since 1970, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub from_s: u64,
    /// The last second.
    pub until_s: u64,
}

impl Window {
    /// What both hold.
    pub fn and(self, other: Self) -> Self {
        Self {
            from_s: self.from_s.max(other.from_s),
            until_s: self.until_s.min(other.until_s),
        }
    }

    /// Whether a time lies in it.
    ///
    /// # Errors
    /// [`X509Error::NotYetValid`], [`X509Error::Expired`].
    pub fn check(self, at_s: u64) -> Result<(), X509Error> {
        if at_s < self.from_s {
            return Err(X509Error::NotYetValid(date(self.from_s)));
        }
        if at_s > self.until_s {
            return Err(X509Error::Expired(date(self.until_s)));
        }
        Ok(())
    }
}

/// Which certificate of a chain is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {at}{}: {error}", .name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
pub struct ChainError {
    /// Its place; the leaf's is 0.
    pub at: usize,
    /// Its common name, if it has one.
    pub name: Option<String>,
    /// Why.
    pub error: X509Error,
}

impl ChainError {
    /// The reason that a verdict gives for it.
    pub fn reason(&self) -> Reason {
        self.error.reason()
    }
}

/// Verifies a chain: leaf first, each signed by the next, the last self-signed
/// and the anchor. The leaf is no authority and may sign; all others are
/// authorities that may sign certificates and have no more of them below than
/// they allow. Revocation is the caller's: [`Crl`](super::Crl).
///
/// Gives the window in which all of it holds.
///
/// # Errors
/// [`ChainError`], for the first certificate from the anchor down that is
/// refused.
pub fn verify_chain(
    chain: &[Certificate],
    anchor: Anchor<'_>,
    rules: &Rules<'_>,
) -> Result<Window, ChainError> {
    let max = rules.max_length.min(MAX_CHAIN);
    let (Some(root), 2..) = (chain.last(), chain.len()) else {
        return Err(whole(X509Error::Length(chain.len(), max)));
    };
    if chain.len() > max {
        return Err(whole(X509Error::Length(chain.len(), max)));
    }
    let top = chain.len() - 1;
    if !anchor.is(root) {
        return Err(refused(top, root, X509Error::Anchor));
    }
    // From the anchor down: nothing is believed before its issuer was.
    let issuers = chain.iter().skip(1).chain([root]);
    let links: Vec<_> = chain.iter().zip(issuers).enumerate().collect();
    for (at, (certificate, issuer)) in links.into_iter().rev() {
        let known = at == top && anchor.knows(certificate);
        check_link(at, certificate, issuer, known, rules)
            .map_err(|error| refused(at, certificate, error))?;
    }
    Ok(window(chain))
}

/// Whether every certificate of a chain is valid at another time too.
///
/// # Errors
/// [`ChainError`], from the anchor down.
pub fn check_validity(chain: &[Certificate], at_s: u64) -> Result<(), ChainError> {
    for (at, certificate) in chain.iter().enumerate().rev() {
        certificate
            .window()
            .check(at_s)
            .map_err(|error| refused(at, certificate, error))?;
    }
    Ok(())
}

fn window(chain: &[Certificate]) -> Window {
    let all = Window {
        from_s: 0,
        until_s: u64::MAX,
    };
    chain
        .iter()
        .fold(all, |window, certificate| window.and(certificate.window()))
}

fn check_link(
    at: usize,
    certificate: &Certificate,
    issuer: &Certificate,
    known: bool,
    rules: &Rules<'_>,
) -> Result<(), X509Error> {
    if certificate.issuer() != issuer.subject() {
        return Err(X509Error::Issuer);
    }
    if !known {
        certificate.verify_signature(issuer.key(), rules.algorithms)?;
    }
    certificate.window().check(rules.at_s)?;
    certificate.check_critical(rules.critical)?;
    // Authorities between this one and the leaf.
    match (at.checked_sub(1), certificate.authority()) {
        (None, Some(_)) => Err(X509Error::Usage("be an authority and a leaf at once")),
        (None, None) => match certificate.usage() {
            Some(usage) if !usage.digital_signature() => Err(X509Error::Usage("sign")),
            _ => Ok(()),
        },
        (Some(_), None) => Err(X509Error::Usage("issue certificates")),
        (Some(below), Some(allowed)) => {
            if !certificate
                .usage()
                .is_some_and(|usage| usage.key_cert_sign())
            {
                return Err(X509Error::Usage("issue certificates"));
            }
            match allowed {
                Some(allowed) if below > usize::from(allowed) => Err(X509Error::PathLength),
                _ => Ok(()),
            }
        }
    }
}

fn refused(at: usize, certificate: &Certificate, error: X509Error) -> ChainError {
    ChainError {
        at,
        name: certificate.common_name(),
        error,
    }
}

fn whole(error: X509Error) -> ChainError {
    ChainError {
        at: 0,
        name: None,
        error,
    }
}
