//! One guest of each kind: a module over a fake of its interface, whose maker
//! signs under the testkit's PKI, and the policy that accepts exactly it.

use soundproof_attester::{Attester, Machine, dstack::Dstack, nsm::Nitro, tsm::Tsm};
use soundproof_evidence::{
    Hex, Measurements, Policy,
    nitro::{Document, NitroMeasurements},
    policy::{Anchor, EventLogRules, MinTcb, NitroRules, Release, SnpRules, Software, TrustRules},
    snp::{Product, Report, SnpMeasurements, Tcb},
};
use soundproof_protocol::attestation::Endorsements;
use soundproof_testkit::{
    ccel::LogBuilder,
    dstack::Guest as DstackGuest,
    fakes::{
        self, Maker,
        agent::{self, FakeAgent},
        configfs::{self, FakeConfigfs},
        nsm::{self, FakeNsm},
    },
    nitro::Enclave,
    pki::{NOW_MS, Pki},
    session,
    snp::{Chip, Guest},
};
use std::{any::Any, sync::Arc};

/// See the module.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Evidence under its platform's software kind.
    pub(super) software: Arc<dyn Attester>,
    /// As the module is outside tests.
    pub(super) hardware: Arc<dyn Attester>,
    /// Accepts exactly the software kind.
    pub(super) policy: Policy,
    /// The same rules and releases in hardware's tables.
    pub(super) as_hardware: Policy,
    /// What a server fetches; none where the platform hands all out.
    pub(super) fetched: Option<Endorsements>,
    /// A statement of the same device that carries these bytes.
    pub(super) sign: Maker,
    /// What must outlive it.
    pub(super) _held: Vec<Box<dyn Any>>,
}

impl Case {
    /// As of the last evidence.
    pub(super) fn endorsements(&self) -> Endorsements {
        match &self.fetched {
            Some(fetched) => fetched.clone(),
            None => self.software.endorsements().unwrap(),
        }
    }
}

/// `policy`, whose tables are of the software kind, with hardware's tables in
/// their place.
macro_rules! as_hardware {
    ($policy:expr, $software:ident, $hardware:ident) => {{
        let mut policy = $policy.clone();
        policy.platform.$hardware = policy.platform.$software.take().map(|table| table.rules);
        for release in &mut policy.release {
            release.$hardware = release.$software.take();
        }
        policy
    }};
}
pub(super) use as_hardware;

pub(super) fn machine() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let machine = fakes::machine(folder.path());
    (folder, machine)
}

pub(super) fn anchor(pem: &str) -> Anchor {
    Anchor::from_pem(pem).unwrap()
}

/// A policy whose release is `release`, and that accepts no platform yet.
pub(super) fn policy(release: Release) -> Policy {
    Policy {
        trust: TrustRules::exactly(&session::trust()),
        release: vec![Release {
            name: "this one".into(),
            ..release
        }],
        ..Policy::default()
    }
}

/// A chip, and the rules that accept it as it is.
pub(super) fn chip() -> (Chip, SnpRules) {
    let chip = Chip::new(Product::Genoa, NOW_MS / 1000);
    let [_, bootloader, tee, snp, microcode] = chip.certified;
    let least = Tcb {
        fmc: None,
        bootloader,
        tee,
        snp,
        microcode,
    };
    let rules = SnpRules {
        any_machine: true,
        min_tcb: MinTcb::only(Product::Genoa, least),
        ..SnpRules::default()
    };
    (chip, rules)
}

/// A TDX guest whose firmware left an event log.
pub(super) fn tdx() -> Case {
    let pki = Pki::sound().unwrap();
    let log = LogBuilder::booted();
    let [rtmr0, rtmr1, rtmr2, rtmr3] = log.registers().map(Hex);
    let measurements = Measurements {
        rtmr0,
        rtmr1,
        rtmr2,
        rtmr3,
        ..*pki.platform.measurements()
    };
    let mut policy = pki.platform.policy("this one", &session::trust()).unwrap();
    policy.platform.software.as_mut().unwrap().rules.event_log = EventLogRules {
        required: true,
        require_secure_boot: true,
        ..EventLogRules::default()
    };
    policy.release[0].software = Some(measurements);
    let fetched = pki.endorsements().unwrap();
    let sign: Maker = Arc::new(move |data: &[u8]| {
        let data = data.try_into().unwrap();
        pki.platform.sign_domain(&measurements, data)
    });
    let (folder, mut machine) = machine();
    machine.configfs = FakeConfigfs::new("tdx_guest", sign.clone(), configfs::Behaviour::default());
    std::fs::write(&machine.event_log, log.bytes()).unwrap();
    Case {
        name: "TDX",
        software: Arc::new(Tsm::open(&machine).unwrap().as_software()),
        hardware: Arc::new(Tsm::open(&machine).unwrap()),
        as_hardware: as_hardware!(policy, software, tdx),
        policy,
        fetched: Some(fetched),
        sign,
        _held: vec![Box::new(folder)],
    }
}

/// An SEV-SNP guest whose host hands out all that its report is judged
/// with.
pub(super) fn snp() -> Case {
    let (chip, rules) = chip();
    let guest = Guest::new(3);
    let report = Report::parse(&guest.report(&chip, &[0; 64])).unwrap();
    let mut policy = policy(Release {
        software_snp: Some(SnpMeasurements::of(&report)),
        ..Release::default()
    });
    policy.platform.software_snp = Some(Software {
        anchor_pem: anchor(&chip.root_pem()),
        rules,
    });
    let host = chip.collateral();
    let certificates = configfs::table_with_list(
        &host.certificate.0,
        &host.chain[0].0,
        &host.chain[1].0,
        &host.crl.as_ref().unwrap().0,
    );
    let sign: Maker = Arc::new(move |data: &[u8]| guest.report(&chip, data.try_into().unwrap()));
    let behaviour = configfs::Behaviour {
        certificates,
        ..configfs::Behaviour::default()
    };
    let (folder, mut machine) = machine();
    machine.configfs = FakeConfigfs::new("sev_guest", sign.clone(), behaviour);
    Case {
        name: "SEV-SNP",
        software: Arc::new(Tsm::open(&machine).unwrap().as_software()),
        hardware: Arc::new(Tsm::open(&machine).unwrap()),
        as_hardware: as_hardware!(policy, software_snp, snp),
        policy,
        fetched: None,
        sign,
        _held: vec![Box::new(folder)],
    }
}

/// A dstack guest with the current agent.
pub(super) fn dstack() -> Case {
    dstack_by("dstack", "var/run/dstack.sock", agent::Framing::Chunked)
}

/// A dstack guest with the agent before 0.5.
pub(super) fn tappd() -> Case {
    dstack_by("tappd", "var/run/tappd.sock", agent::Framing::Length)
}

fn dstack_by(name: &'static str, socket: &str, framing: agent::Framing) -> Case {
    let guest = DstackGuest::sound().unwrap();
    let policy = guest.policy(&session::trust()).unwrap();
    let fetched = guest.endorsements().unwrap();
    let behaviour = agent::Behaviour {
        event_log: String::from_utf8(guest.log()).unwrap(),
        compose: Some(String::from_utf8(guest.compose.clone()).unwrap()),
        framing,
        ..agent::Behaviour::default()
    };
    let sign: Maker = Arc::new(move |data: &[u8]| guest.quote(data.try_into().unwrap()));
    let (folder, machine) = machine();
    let socket = folder.path().join(socket);
    let agent = FakeAgent::with_maker(&socket, sign.clone(), behaviour).unwrap();
    Case {
        name,
        software: Arc::new(Dstack::open(&machine).unwrap().as_software()),
        hardware: Arc::new(Dstack::open(&machine).unwrap()),
        as_hardware: as_hardware!(policy, software_dstack, dstack),
        policy,
        fetched: Some(fetched),
        sign,
        _held: vec![Box::new(folder), Box::new(agent)],
    }
}

/// A Nitro enclave.
pub(super) fn nitro() -> Case {
    let enclave = Enclave::new(NOW_MS - 60_000);
    let document = enclave.document(None);
    let mut policy = policy(Release {
        software_nitro: NitroMeasurements::of(&Document::parse(&document).unwrap()),
        ..Release::default()
    });
    policy.platform.software_nitro = Some(Software {
        anchor_pem: anchor(&Enclave::root_pem()),
        rules: NitroRules {
            any_machine: true,
            ..NitroRules::default()
        },
    });
    let sign: Maker = Arc::new(move |data: &[u8]| enclave.document(Some(data)));
    let (folder, mut machine) = machine();
    machine.nsm = FakeNsm::with_maker(sign.clone(), nsm::Behaviour::default());
    Case {
        name: "Nitro",
        software: Arc::new(Nitro::open(&machine).unwrap().as_software()),
        hardware: Arc::new(Nitro::open(&machine).unwrap()),
        as_hardware: as_hardware!(policy, software_nitro, nitro),
        policy,
        fetched: None,
        sign,
        _held: vec![Box::new(folder)],
    }
}
