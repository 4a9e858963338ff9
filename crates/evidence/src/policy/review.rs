//! What a policy lets through, and what is odd about it: what `soundproof
//! policy check` says.

use crate::policy::{Policy, Prover};
use serde::Serialize;
use soundproof_protocol::attestation::Platform;

/// A table of rules, to be reviewed.
pub(crate) trait Rules {
    /// What it lets through: one sentence each, as it goes on after the
    /// platform's name.
    fn lets_through(&self) -> Vec<String>;

    /// Accepts every machine on earth.
    fn accept_any_machine(&mut self);

    /// What is odd, or weaker than it need be; `now_s` in seconds since 1970.
    fn warnings(&self, now_s: u64) -> Vec<String>;
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Review {
    /// Why it accepts nothing at all; empty if it may accept something.
    pub accepts_nothing: Vec<String>,
    /// What it lets through.
    pub lets_through: Vec<String>,
    /// What is odd, or weaker than it need be.
    pub warnings: Vec<String>,
}

impl Policy {
    /// Reviews it, as of `now_s` in seconds since 1970.
    pub fn review(&self, now_s: u64) -> Review {
        let mut review = Review {
            accepts_nothing: Vec::new(),
            lets_through: Vec::new(),
            warnings: Vec::new(),
        };
        self.review_platforms(&mut review, now_s);
        self.review_releases(&mut review);
        self.review_gpus(&mut review, now_s);
        self.review_trust(&mut review);
        review
    }

    fn review_platforms(&self, review: &mut Review, now_s: u64) {
        let platforms = self.platform.review(now_s);
        if platforms.is_empty() {
            review
                .accepts_nothing
                .push("it names no platform: add a table such as [platform.tdx]".into());
        }
        for (platform, lets_through, warnings) in platforms {
            let name = platform.name();
            if platform.is_software() {
                review.warnings.push(format!(
                    "{name}: it accepts a software platform: NO HARDWARE PROTECTS ANYTHING"
                ));
            }
            let releases = self.releases_of(platform);
            if releases.is_empty() {
                review.warnings.push(format!(
                    "{name}: no release names its measurements, so nothing on it is accepted"
                ));
            } else {
                let releases = releases.join(", ");
                review
                    .lets_through
                    .push(format!("{name}: what runs is one of {releases}"));
            }
            let each = |texts: Vec<String>| {
                texts
                    .into_iter()
                    .map(move |text| format!("{name}: {text}"))
                    .collect::<Vec<_>>()
            };
            review.lets_through.extend(each(lets_through));
            review.warnings.extend(each(warnings));
        }
        let skew = self.freshness.clock_skew_s;
        if skew > 3600 {
            review.warnings.push(format!(
                "freshness.clock_skew_s = {skew}: evidence of the future is accepted up to {}",
                span(skew)
            ));
        }
    }

    fn review_gpus(&self, review: &mut Review, now_s: u64) {
        let software = self.software_gpu.as_ref().map(|table| &table.rules);
        if software.is_some() {
            review
                .warnings
                .push("software-gpu: it accepts software GPUs, which protect nothing".into());
        }
        let tables = [("gpu", self.gpu.as_ref()), ("software-gpu", software)];
        for (name, rules) in tables {
            let Some(rules) = rules else { continue };
            let each = |text: String| format!("{name}: {text}");
            let through = rules.lets_through().into_iter().map(each);
            review.lets_through.extend(through);
            let warnings = rules.warnings(now_s).into_iter().map(each);
            review.warnings.extend(warnings);
            if let Some(issuer) = &rules.nras
                && !self.issuer.iter().any(|listed| listed.name == *issuer)
            {
                review
                    .warnings
                    .push(format!("{name}: there is no [[issuer]] called {issuer:?}"));
            }
        }
        let accepted = self.gpu.is_some() || self.software_gpu.is_some();
        if self.trust.gpu && !accepted {
            review
                .warnings
                .push("trust.gpu is true, and no GPU is accepted: add [gpu]".into());
        }
    }

    fn releases_of(&self, platform: Platform) -> Vec<&str> {
        self.release
            .iter()
            .filter(|release| release.platforms().contains(&platform))
            .map(|release| release.name.as_str())
            .collect()
    }

    fn review_releases(&self, review: &mut Review) {
        if self.release.is_empty() {
            review
                .accepts_nothing
                .push("it names no release: add [[release]] with measurements".into());
        }
        let accepted = self.platform.accepted();
        for release in &self.release {
            for platform in release.platforms() {
                if !accepted.contains(&platform) {
                    review.warnings.push(format!(
                        "release {:?} has measurements for {}, which the policy does not accept",
                        release.name,
                        platform.name()
                    ));
                }
            }
        }
    }

    fn review_trust(&self, review: &mut Review) {
        let trust = &self.trust;
        if trust.prover.is_empty() {
            review
                .accepts_nothing
                .push("it names no prover: add [[trust.prover]]".into());
        }
        match &trust.sandbox {
            None => review
                .accepts_nothing
                .push("it does not say which sandbox layers are required: trust.sandbox".into()),
            Some(layers) if layers.is_empty() => review
                .warnings
                .push("trust.sandbox is empty: provers may run without any sandbox".into()),
            Some(_) => {}
        }
        for Prover { system, executable } in &trust.prover {
            review
                .lets_through
                .push(format!("prover {system} with SHA-256 {executable}"));
        }
        let lists = [
            (
                &trust.danger,
                "`danger` options of the operator are accepted",
            ),
            (&trust.durable, "keys that outlive the machine are accepted"),
            (&trust.telemetry, "telemetry is sent to"),
        ];
        for (list, what) in lists {
            if !list.is_empty() {
                review
                    .warnings
                    .push(format!("trust: {what}: {}", list.join(", ")));
            }
        }
        if !trust.delegation.is_empty() {
            review
                .warnings
                .push("trust: jobs may be handed to other enclaves".into());
        }
        if trust.swap {
            review
                .warnings
                .push("trust: machines with swap are accepted: secrets may reach a disk".into());
        }
        if trust.sp1_direct {
            review.lets_through.push(
                "servers that also take SP1 jobs of clients that appraise nothing (trust.sp1_direct)"
                    .into(),
            );
        }
    }
}

/// Seconds as people read them.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 3600, "days"), (3600, "hours"), (60, "minutes")];
    UNITS
        .into_iter()
        .find(|(unit, _)| seconds >= 2 * unit && seconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{seconds} seconds"),
            |(unit, name)| format!("{} {name}", seconds / unit),
        )
}
