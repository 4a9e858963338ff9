//! `[platform.snp]`: guests of AMD SEV-SNP.
//!
//! ```toml
//! [platform.snp]
//! any_machine = true               # or chip_id = ["…128 hex digits…"]
//! vlek_providers = []              # providers whose shared key may sign
//! require_crl = true               # the default
//! require = ["ecc", "ciphertext-hiding"]
//! [platform.snp.min_tcb.milan]     # a product without a table is refused
//! bootloader = 4
//! tee = 0
//! snp = 24
//! microcode = 219
//! ```

use crate::{
    policy::{Rules, span},
    snp::{FirmwareVersion, GuestPolicy, PlatformInfo, Product, Tcb},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnpRules {
    /// Machines that are accepted, by chip id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chip_id: Vec<ChipId>,
    /// Accepts every machine on earth that the rest accepts, in whosever hands
    /// it is. Says nothing beside `chip_id`.
    pub any_machine: bool,
    /// Cloud providers whose key (VLEK), which all their machines share, may
    /// sign: AMD's `cspID`. Without one, only the chip's own key may.
    pub vlek_providers: Vec<String>,
    /// Whether AMD's revocation list must come with the evidence.
    pub require_crl: bool,
    /// Seconds since the revocation list was issued, at most; without it, the
    /// list need only be in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_crl_age_s: Option<u64>,
    /// Version of the SEV-SNP firmware, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_firmware: Option<FirmwareVersion>,
    /// Whether firmware may run that the machine can still go back from.
    pub provisional_firmware: bool,
    /// The lowest privilege (highest VMPL) that the report may come from.
    pub max_vmpl: u8,
    /// Whether the guest's policy may allow a migration agent.
    pub migration_agent: bool,
    /// Whether the guest's policy may allow that a core's other thread runs
    /// something else.
    pub smt: bool,
    /// Whether the guest's policy may allow CXL.
    pub cxl: bool,
    /// Whether the machine may let devices take part in guests (SEV-TIO).
    pub tio: bool,
    /// What else must be in force.
    pub require: Vec<Protection>,
    /// The least TCB of each product that is accepted.
    pub min_tcb: MinTcb,
}

impl Default for SnpRules {
    fn default() -> Self {
        Self {
            chip_id: Vec::new(),
            any_machine: false,
            vlek_providers: Vec::new(),
            require_crl: true,
            max_crl_age_s: None,
            min_firmware: None,
            provisional_firmware: false,
            max_vmpl: 0,
            migration_agent: false,
            smt: true,
            cxl: false,
            tio: false,
            require: Vec::new(),
            min_tcb: MinTcb::default(),
        }
    }
}

/// `[platform.snp.min_tcb]`: products that are accepted, and the least TCB of
/// each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MinTcb {
    /// EPYC 7003.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milan: Option<Tcb>,
    /// EPYC 9004 and 8004.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genoa: Option<Tcb>,
    /// EPYC 9005.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turin: Option<Tcb>,
}

impl MinTcb {
    /// The least TCB of a product, if it is accepted.
    pub fn of(&self, product: Product) -> Option<Tcb> {
        match product {
            Product::Milan => self.milan,
            Product::Genoa => self.genoa,
            Product::Turin => self.turin,
        }
    }

    /// One product only.
    pub fn only(product: Product, least: Tcb) -> Self {
        let mut all = Self::default();
        match product {
            Product::Milan => all.milan = Some(least),
            Product::Genoa => all.genoa = Some(least),
            Product::Turin => all.turin = Some(least),
        }
        all
    }

    pub(crate) fn products(&self) -> impl Iterator<Item = Product> {
        Product::ALL
            .iter()
            .copied()
            .filter(|product| self.of(*product).is_some())
    }
}

/// What may be required of the guest's policy (which the firmware enforces as
/// long as the guest lives) or of the machine's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Protection {
    /// Guest policy: one socket only.
    SingleSocket,
    /// Guest policy: memory encrypted by AES-256 in XTS.
    #[serde(rename = "aes-256-xts")]
    Aes256Xts,
    /// Guest policy: no running average power limit, which tells of data.
    RaplDisabled,
    /// Guest policy: the host does not see ciphertext.
    CiphertextHiding,
    /// Guest policy: the host cannot move or swap pages.
    PageSwapDisabled,
    /// Machine: memory corrects errors.
    Ecc,
    /// Machine: memory was checked for aliases.
    AliasCheck,
    /// Machine: all memory is encrypted.
    Tsme,
}

impl Protection {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::SingleSocket,
        Self::Aes256Xts,
        Self::RaplDisabled,
        Self::CiphertextHiding,
        Self::PageSwapDisabled,
        Self::Ecc,
        Self::AliasCheck,
        Self::Tsme,
    ];

    /// As policies name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleSocket => "single-socket",
            Self::Aes256Xts => "aes-256-xts",
            Self::RaplDisabled => "rapl-disabled",
            Self::CiphertextHiding => "ciphertext-hiding",
            Self::PageSwapDisabled => "page-swap-disabled",
            Self::Ecc => "ecc",
            Self::AliasCheck => "alias-check",
            Self::Tsme => "tsme",
        }
    }

    /// Whether a guest's policy has it; none if it is not of that kind.
    pub(crate) const fn in_guest_policy(self, policy: GuestPolicy) -> Option<bool> {
        match self {
            Self::SingleSocket => Some(policy.single_socket()),
            Self::Aes256Xts => Some(policy.aes_256_xts()),
            Self::RaplDisabled => Some(policy.rapl_disabled()),
            Self::CiphertextHiding => Some(policy.ciphertext_hiding()),
            Self::PageSwapDisabled => Some(policy.page_swap_disabled()),
            Self::Ecc | Self::AliasCheck | Self::Tsme => None,
        }
    }

    /// Whether a machine's settings have it; none if it is not of that kind.
    pub(crate) const fn in_platform_info(self, info: PlatformInfo) -> Option<bool> {
        match self {
            Self::Ecc => Some(info.ecc()),
            Self::AliasCheck => Some(info.alias_check()),
            Self::Tsme => Some(info.tsme()),
            Self::SingleSocket
            | Self::Aes256Xts
            | Self::RaplDisabled
            | Self::CiphertextHiding
            | Self::PageSwapDisabled => None,
        }
    }
}

/// A chip: 64 bytes, or 8 for Turin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChipId(Vec<u8>);

impl ChipId {
    /// Whether `chip`, in hex digits, is it. A report has Turin's with zeros
    /// after.
    pub(crate) fn names(&self, chip: &str) -> bool {
        let own = self.to_string();
        let short = |text: &str| match text.split_at_checked(16) {
            Some((head, tail)) if tail.bytes().all(|digit| digit == b'0') => head.to_owned(),
            _ => text.to_owned(),
        };
        short(&own) == short(chip)
    }
}

impl core::fmt::Display for ChipId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl core::str::FromStr for ChipId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match hex::decode(text) {
            Ok(bytes) if matches!(bytes.len(), 8 | 64) && bytes.iter().any(|byte| *byte != 0) => {
                Ok(Self(bytes))
            }
            _ => Err("expected 128 hex digits, or 16 (Turin), not all zero"),
        }
    }
}

impl Serialize for ChipId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChipId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl SnpRules {
    /// What a guest's policy must be like.
    pub(crate) fn guest_policy_in_words(&self) -> String {
        let mut words: Vec<String> = [
            (self.migration_agent, "no migration agent"),
            (self.smt, "no SMT"),
            (self.cxl, "no CXL"),
        ]
        .into_iter()
        .filter(|(allowed, _)| !allowed)
        .map(|(_, what)| what.to_owned())
        .collect();
        let of_guests = |p: &&Protection| p.in_guest_policy(GuestPolicy(0)).is_some();
        words.extend(
            self.require
                .iter()
                .filter(of_guests)
                .map(|protection| protection.name().to_owned()),
        );
        if words.is_empty() {
            return "any".into();
        }
        words.join(", ")
    }
}

impl Rules for SnpRules {
    fn lets_through(&self) -> Vec<String> {
        let mut out = vec![if self.chip_id.is_empty() && self.any_machine {
            "any machine on earth, whoever holds it: who has it in hand can attack it physically"
                .to_owned()
        } else {
            format!("{} named machines", self.chip_id.len())
        }];
        for product in self.min_tcb.products() {
            if let Some(least) = self.min_tcb.of(product) {
                out.push(format!("{} with at least {least}", product.name()));
            }
        }
        out.push(format!(
            "guest policies with {}",
            self.guest_policy_in_words()
        ));
        out.push(format!("reports asked for at VMPL 0 to {}", self.max_vmpl));
        if !self.vlek_providers.is_empty() {
            out.push(format!(
                "reports signed with the key that all machines of {} share",
                self.vlek_providers.join(", ")
            ));
        }
        out.push(match (self.require_crl, self.max_crl_age_s) {
            (false, _) => "evidence without AMD's revocation list".into(),
            (true, None) => "a revocation list that is in force, however old".into(),
            (true, Some(age)) => format!("a revocation list up to {} old", span(age)),
        });
        out
    }

    fn accept_any_machine(&mut self) {
        self.chip_id.clear();
        self.any_machine = true;
    }

    fn warnings(&self, _now_s: u64) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut warn = |on: bool, text: &str| {
            if on {
                out.push(text.into());
            }
        };
        let named = !self.chip_id.is_empty();
        warn(
            !self.any_machine && !named,
            "it names no machine (chip_id) and does not say any_machine = true: nothing is accepted",
        );
        warn(
            self.any_machine && named,
            "any_machine = true says nothing: the list of machines counts",
        );
        warn(
            self.min_tcb.products().next().is_none(),
            "min_tcb names no product: nothing is accepted",
        );
        let zero = |least: Tcb| least.parts().all(|(_, svn)| svn == 0);
        warn(
            self.min_tcb
                .products()
                .any(|product| self.min_tcb.of(product).is_some_and(zero)),
            "min_tcb: firmware of any age is accepted, with every vulnerability known since",
        );
        warn(
            self.min_tcb.milan.is_some_and(|tcb| tcb.fmc.is_some())
                || self.min_tcb.genoa.is_some_and(|tcb| tcb.fmc.is_some()),
            "min_tcb: only Turin has an FMC; with any other than 0 nothing is accepted",
        );
        warn(
            !self.require_crl,
            "require_crl = false: a revoked intermediate key goes unseen",
        );
        warn(
            self.provisional_firmware,
            "provisional_firmware = true: the operator can go back to older firmware, down to min_tcb",
        );
        warn(
            self.max_vmpl > 0,
            "max_vmpl: less privileged software of the guest can make evidence",
        );
        warn(
            self.migration_agent,
            "migration_agent = true: whoever the migration agent is has the guest's memory",
        );
        warn(
            !self.vlek_providers.is_empty(),
            "vlek_providers: one key for all of a provider's machines; which of them it was is their word",
        );
        out
    }
}
