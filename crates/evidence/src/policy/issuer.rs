//! `[[issuer]]`: whose attestation results count, under which keys, and for
//! what. No table: nobody's do.
//!
//! ```toml
//! [[issuer]]
//! name = "nvidia"                               # what other tables call it
//! issuer = "https://nras.attestation.nvidia.com"  # `iss`, exactly
//! jwks = '''{"keys": […]}'''                    # its keys; none are fetched
//! audience = "me"                               # optional: `aud`
//! max_age_s = 3600                              # the default, since `iat`
//! required = true                               # default false: every session must have a result of it
//! bound_by = ["eat_nonce"]                      # the claim that has the session's binding or nonce
//! [issuer.claims]                               # what it must say
//! x-nvidia-overall-att-result = true
//! ```

use crate::jwt::Keys;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Seconds that a result may be old unless the policy says otherwise.
const DEFAULT_RESULT_AGE_S: u64 = 3600;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What other tables call it.
    pub name: String,
    /// `iss`, exactly.
    pub issuer: String,
    /// Its keys: a JSON Web Key Set.
    pub jwks: Keys,
    /// `aud`, if it must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Seconds since `iat`, at most; `exp` holds besides.
    #[serde(default = "default_age")]
    pub max_age_s: u64,
    /// Whether every session must have a result of it beside its evidence.
    #[serde(default)]
    pub required: bool,
    /// Path to the claim that binds a result to its session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_by: Vec<String>,
    /// What it must say: of objects, the members that are named.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

const fn default_age() -> u64 {
    DEFAULT_RESULT_AGE_S
}

/// JSON in a policy is from TOML: it has no numbers that are not equal to
/// themselves.
impl Eq for Issuer {}
