//! Which platform a machine is taken for, by what stands on it: one at a time,
//! several, none, and some that fail.

use super::{code, device};
use soundproof_attester::{
    AttestError,
    Interface::{self, Dstack as AGENT, Nsm as NSM, Tpm as TPM, Tsm as TSM},
    Machine,
    detect::{Module, detect, open, survey},
};
use soundproof_protocol::attestation::Platform::{
    self, AzureSnp, AzureTdx, Dstack, Nitro, Snp, Tdx,
};
use soundproof_testkit::fakes::{
    self, Access,
    agent::{self, FakeAgent},
    configfs::{self, FakeConfigfs},
    nsm::{self, FakeNsm},
    tpm::{self, FakeTpm},
};
use std::{fs, os::unix::net::UnixListener, path::Path, sync::Arc};

const AZURES_TAG: &str = "7783-7084-3265-9085-8269-3286-77\n";

/// What stands on a machine. Sockets, folders and files are real ones in a
/// folder; devices, and the kernel's interface that is no ordinary folder, are
/// fakes in their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// `/dev/nsm`.
    Nsm,
    NsmDenied,
    /// dstack's agent, current and legacy.
    Agent,
    Tappd,
    /// A socket on which nobody listens any more.
    AgentGone,
    /// What docker makes where it is told to mount a socket that is not there.
    AgentFolder,
    /// `/sys/kernel/config/tsm/report`, by its provider.
    TsmTdx,
    TsmSnp,
    TsmArm,
    TsmDenied,
    TsmEmpty,
    /// A vTPM with a paravisor's report, in a machine that says it is Azure's.
    VtpmTdx,
    VtpmSnp,
    VtpmDenied,
    /// Azure's, and no confidential VM: no report.
    VtpmPlain,
    /// A TPM in a machine of another maker, which this user may not use.
    OtherTpm,
}

struct Tree {
    _folder: tempfile::TempDir,
    _agents: Vec<FakeAgent>,
    machine: Machine,
}

impl Tree {
    fn of(things: &[There]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Self {
            machine: fakes::machine(folder.path()),
            _agents: Vec::new(),
            _folder: folder,
        };
        for thing in things {
            tree.put(*thing);
        }
        tree
    }

    fn put(&mut self, thing: There) {
        let run = self._folder.path().join("var/run");
        fs::create_dir_all(&run).unwrap();
        let nsm = |access| {
            FakeNsm::new(nsm::Behaviour {
                access,
                ..nsm::Behaviour::default()
            })
        };
        let agent = |socket: &Path| FakeAgent::start(socket, agent::Behaviour::default()).unwrap();
        let tsm = |access, no_provider| {
            FakeConfigfs::tdx(configfs::Behaviour {
                access,
                no_provider,
                ..configfs::Behaviour::default()
            })
        };
        let machine = &mut self.machine;
        match thing {
            There::Nsm => machine.nsm = nsm(Access::Granted),
            There::NsmDenied => machine.nsm = nsm(Access::Denied),
            There::Agent => self._agents.push(agent(&run.join("dstack.sock"))),
            There::Tappd => self._agents.push(agent(&run.join("tappd.sock"))),
            There::AgentGone => drop(UnixListener::bind(run.join("dstack.sock")).unwrap()),
            There::AgentFolder => fs::create_dir(run.join("dstack.sock")).unwrap(),
            There::TsmTdx => machine.configfs = tsm(Access::Granted, false),
            There::TsmDenied => machine.configfs = tsm(Access::Denied, false),
            There::TsmEmpty => machine.configfs = tsm(Access::Granted, true),
            There::TsmSnp => machine.configfs = FakeConfigfs::snp(configfs::Behaviour::default()),
            There::TsmArm => {
                let none = Arc::new(|_: &[u8]| Vec::new());
                let behaviour = configfs::Behaviour::default();
                machine.configfs = FakeConfigfs::new("arm_cca_guest", none, behaviour);
            }
            There::VtpmTdx => self.tpm(AZURES_TAG, Some(false), Access::Granted),
            There::VtpmSnp => self.tpm(AZURES_TAG, Some(true), Access::Granted),
            There::VtpmDenied => self.tpm(AZURES_TAG, Some(false), Access::Denied),
            There::VtpmPlain => self.tpm(AZURES_TAG, None, Access::Granted),
            There::OtherTpm => self.tpm("No Asset Tag\n", None, Access::Denied),
        }
    }

    fn tpm(&mut self, tag: &str, snp: Option<bool>, access: Access) {
        fs::write(&self.machine.asset_tag, tag).unwrap();
        let report = |snp| {
            let data = tpm::vouching(b"{}");
            let hardware = match snp {
                true => fakes::unsigned_snp_report(&data),
                false => tpm::td_report(&data),
            };
            tpm::hcl_report(snp, &hardware, b"{}")
        };
        let behaviour = tpm::Behaviour {
            access,
            ..tpm::Behaviour::default()
        };
        let tpm = FakeTpm::new(snp.map(report).unwrap_or_default(), behaviour);
        if snp.is_none() {
            tpm.set_report(None);
        }
        self.machine.tpm = tpm;
    }
}

type Expected = Result<Platform, (Interface, &'static str)>;

/// A machine that anybody has, what stands on it, and what it is taken for.
const MACHINES: &[(&str, &[There], Expected)] = &[
    ("an enclave of AWS's", &[There::Nsm], Ok(Nitro)),
    ("a TDX VM", &[There::TsmTdx], Ok(Tdx)),
    ("an SEV-SNP VM", &[There::TsmSnp], Ok(Snp)),
    ("a dstack CVM", &[There::Agent], Ok(Dstack)),
    ("an old dstack CVM", &[There::Tappd], Ok(Dstack)),
    ("Azure on TDX", &[There::VtpmTdx], Ok(AzureTdx)),
    ("Azure on SEV-SNP", &[There::VtpmSnp], Ok(AzureSnp)),
    // Several at once: the one that says most.
    (
        "a dstack CVM with both agents",
        &[There::Agent, There::Tappd],
        Ok(Dstack),
    ),
    (
        "a dstack CVM that sees its TDX guest's interface",
        &[There::Agent, There::TsmTdx],
        Ok(Dstack),
    ),
    (
        "an old dstack CVM that sees it",
        &[There::Tappd, There::TsmTdx],
        Ok(Dstack),
    ),
    (
        "Azure on TDX with the kernel's interface",
        &[There::VtpmTdx, There::TsmTdx],
        Ok(AzureTdx),
    ),
    (
        "Azure on SEV-SNP with the kernel's interface",
        &[There::VtpmSnp, There::TsmSnp],
        Ok(AzureSnp),
    ),
    (
        "dstack in an Azure VM",
        &[There::Agent, There::VtpmTdx, There::TsmTdx],
        Ok(Dstack),
    ),
    (
        "an enclave beside everything else",
        &[There::Nsm, There::Agent, There::VtpmSnp, There::TsmSnp],
        Ok(Nitro),
    ),
    // What only looks like another platform is passed over.
    (
        "a TDX VM with another cloud's vTPM",
        &[There::TsmTdx, There::OtherTpm],
        Ok(Tdx),
    ),
    (
        "a TDX VM with a vTPM that holds no report",
        &[There::TsmTdx, There::VtpmPlain],
        Ok(Tdx),
    ),
    (
        "a TDX VM with a folder for a socket",
        &[There::TsmTdx, There::AgentFolder],
        Ok(Tdx),
    ),
    (
        "a legacy agent beside a folder for the current one's socket",
        &[There::AgentFolder, There::Tappd],
        Ok(Dstack),
    ),
    (
        "Azure with an interface without provider",
        &[There::VtpmSnp, There::TsmEmpty],
        Ok(AzureSnp),
    ),
    // What is there and fails is told, whatever else would work.
    (
        "an enclave's device that is denied",
        &[There::NsmDenied, There::TsmTdx],
        Err((NSM, "no_permission")),
    ),
    (
        "an agent that is gone",
        &[There::AgentGone, There::TsmTdx],
        Err((AGENT, "refused")),
    ),
    (
        "an Azure VM whose vTPM is denied",
        &[There::VtpmDenied, There::TsmTdx],
        Err((TPM, "no_permission")),
    ),
    (
        "a TDX VM without root",
        &[There::TsmDenied],
        Err((TSM, "no_permission")),
    ),
    (
        "an Arm CCA VM",
        &[There::TsmArm],
        Err((TSM, "wrong_provider")),
    ),
];

/// Machines without any platform.
const NONE: &[(&str, &[There])] = &[
    ("a desk", &[]),
    ("a desk with a TPM", &[There::OtherTpm]),
    ("an Azure VM that is not confidential", &[There::VtpmPlain]),
    (
        "a VM with the interface and no provider",
        &[There::TsmEmpty],
    ),
    (
        "a container with a folder for a socket",
        &[There::AgentFolder],
    ),
];

/// Broken if a module that fails were passed over, or a machine taken for what
/// says less: clients would see evidence of another platform, and reject it.
#[test]
fn every_machine_is_taken_for_what_it_is() {
    for (name, things, expected) in MACHINES {
        let tree = Tree::of(things);
        let found = match detect(&tree.machine) {
            Ok(attester) => Ok(attester.platform()),
            Err(AttestError::Device(error)) => Err((error.interface, code(&error))),
            Err(other) => panic!("{name}: {other}"),
        };
        assert_eq!(&found, expected, "{name}");
        println!("{name}: {found:?}");
    }
    assert_eq!(Module::ALL.len(), 4);
}

/// Broken if anything but hardware were ever chosen (invariant 8).
#[test]
fn a_machine_without_any_gets_an_error_and_never_software() {
    for (name, things) in NONE {
        let tree = Tree::of(things);
        let error = detect(&tree.machine).err().unwrap();
        assert!(matches!(error, AttestError::NoPlatform(_)), "{name}");
        // What was looked for, and where.
        let text = error.to_string();
        for sought in ["Nitro", "dstack", "configfs-tsm", "vTPM"] {
            assert!(text.contains(sought), "{name}: {text}");
        }
        for found in survey(&tree.machine) {
            assert!(found.is_absent(), "{name}");
            let absent = device(found.attester);
            let sought = format!("no {} at {}", absent.interface.name(), absent.place);
            assert!(text.contains(&sought), "{name}: {text}");
        }
        assert!(error.remedy().contains("software"));
        for platform in Platform::ALL.iter().filter(|one| one.is_software()) {
            let named = open(*platform, &tree.machine);
            assert!(matches!(named, Err(AttestError::NotBuilt(_))), "{name}");
        }
    }
}

/// One that was named is opened where it is, and nothing in its place.
#[test]
fn a_platform_that_is_named_is_that_one_or_an_error() {
    let single = MACHINES.iter().filter(|(_, things, _)| things.len() == 1);
    let single = single.filter_map(|(name, things, found)| Some((name, things, found.ok()?)));
    let mut opened = 0;
    for (name, things, found) in single {
        let tree = Tree::of(things);
        for platform in [Tdx, Snp, Dstack, Nitro, AzureTdx, AzureSnp] {
            match open(platform, &tree.machine) {
                Ok(attester) => {
                    assert_eq!((attester.platform(), platform), (found, found), "{name}");
                    opened += 1;
                }
                Err(AttestError::Device(error)) => {
                    assert_ne!(platform, found, "{name}: {error}");
                    let code = code(&error);
                    assert!(matches!(code, "no_device" | "wrong_provider"), "{error}");
                }
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert_eq!(opened, 7);
    // On a machine that is several, the operator's word counts.
    let both = Tree::of(&[There::VtpmTdx, There::TsmTdx]);
    assert_eq!(open(Tdx, &both.machine).unwrap().platform(), Tdx);
    let sgx = open(Platform::Sgx, &both.machine);
    assert!(matches!(sgx, Err(AttestError::NotBuilt(_))));
}
