//! Landlock with every right handled and none granted.

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, Scope};

use super::Layer;

/// The newest version whose rights are known here. The crate drops what the
/// running kernel does not know.
const KNOWN: ABI = ABI::V7;

/// Takes every right that the kernel can take, and says which layers that makes.
pub(super) fn apply() -> io::Result<Vec<Layer>> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Ok(Vec::new());
    };
    // Before version 3 truncating a file cannot be refused.
    let layers = [
        (ABI::V3, Layer::LandlockFiles),
        (ABI::V4, Layer::LandlockNetwork),
        (ABI::V6, Layer::LandlockScope),
    ];
    Ok(layers
        .into_iter()
        .filter(|(since, _)| effective_abi >= *since)
        .map(|(_, layer)| layer)
        .collect())
}
