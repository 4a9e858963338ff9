use super::*;
use soundproof_attester::{azure::Imds, nvml::Nvml};
use soundproof_testkit::fakes::{
    self, Access, Maker,
    agent::{self, FakeAgent},
    configfs::{self, FakeConfigfs},
    imds::{self, FakeImds},
    nsm::{self, FakeNsm},
    nvml,
    tpm::{self, FakeTpm},
};
use std::{any::Any, collections::BTreeSet, path::Path};

fn looked_at(machine: &Machine) -> Vec<Check> {
    let mut checks = Checks::default();
    look(&mut checks, machine);
    checks.0
}

fn bad(checks: &[Check]) -> Vec<&Check> {
    let bad = |one: &&Check| one.finding == Finding::Bad;
    checks.iter().filter(bad).collect()
}

/// A machine, and what must outlive it.
type Made = (Machine, Vec<Box<dyn Any>>);

/// The four failures that every interface can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    NoDevice,
    NoPermission,
    Throttled,
    Malformed,
}

use Fails::{Malformed, NoDevice, NoPermission, Throttled};

impl Fails {
    const ALL: [Self; 4] = [NoDevice, NoPermission, Throttled, Malformed];

    fn code(self) -> &'static str {
        match self {
            NoDevice => "no_device",
            NoPermission => "no_permission",
            Throttled => "throttled",
            Malformed => "malformed_answer",
        }
    }

    fn access(self) -> Access {
        match self {
            NoDevice => Access::Absent,
            NoPermission => Access::Denied,
            Throttled | Malformed => Access::Granted,
        }
    }

    /// More often than the fakes' machine asks.
    fn busy(self) -> u32 {
        if self == Throttled { 3 } else { 0 }
    }

    fn status(self, [absent, denied, busy]: [u16; 3]) -> Option<u16> {
        match self {
            NoDevice => Some(absent),
            NoPermission => Some(denied),
            Throttled => Some(busy),
            Malformed => None,
        }
    }
}

fn tsm(folder: &Path, snp: bool, fails: Fails) -> Made {
    let behaviour = configfs::Behaviour {
        access: fails.access(),
        busy: fails.busy(),
        stale: fails == Malformed,
        ..Default::default()
    };
    let mut machine = fakes::machine(folder);
    machine.configfs = match snp {
        true => FakeConfigfs::snp(behaviour),
        false => FakeConfigfs::tdx(behaviour),
    };
    (machine, Vec::new())
}

fn dstack(folder: &Path, socket: &str, fails: Fails) -> Made {
    let machine = fakes::machine(folder);
    if fails == NoDevice {
        return (machine, Vec::new());
    }
    let behaviour = agent::Behaviour {
        status: fails.status([404, 403, 503]),
        body: (fails == Malformed).then(|| "[".into()),
        ..Default::default()
    };
    let agent = FakeAgent::start(&folder.join(socket), behaviour).unwrap();
    (machine, vec![Box::new(agent)])
}

fn nitro(folder: &Path, fails: Fails) -> Made {
    let mut machine = fakes::machine(folder);
    machine.nsm = FakeNsm::new(nsm::Behaviour {
        access: fails.access(),
        busy: fails.busy(),
        answer: (fails == Malformed).then(|| vec![0xff]),
        ..Default::default()
    });
    (machine, Vec::new())
}

/// An Azure VM that is all right.
fn azure(folder: &Path, snp: bool) -> (Machine, Arc<FakeTpm>, FakeImds) {
    let data = tpm::vouching(b"{}");
    let report = match snp {
        true => fakes::unsigned_snp_report(&data),
        false => tpm::td_report(&data),
    };
    let tpm = FakeTpm::new(tpm::hcl_report(snp, &report, b"{}"), Default::default());
    let imds = FakeImds::start(imds::Behaviour {
        certificates: vec![b"vcek".to_vec(), b"ask".to_vec(), b"ark".to_vec()],
        ..Default::default()
    })
    .unwrap();
    let mut machine = fakes::machine(folder);
    machine.tpm = tpm.clone();
    machine.host = Arc::new(Imds::at(imds.address(), machine.retry));
    (machine, tpm, imds)
}

fn vtpm(folder: &Path, snp: bool, fails: Fails) -> Made {
    let (machine, tpm, imds) = azure(folder, snp);
    tpm.behave(|now| {
        now.access = fails.access();
        now.retry = fails.busy();
        now.answer = (fails == Malformed).then(|| vec![1]);
    });
    (machine, vec![Box::new(imds)])
}

fn metadata(folder: &Path, snp: bool, fails: Fails) -> Made {
    let (machine, _, imds) = azure(folder, snp);
    imds.behave(|now| {
        now.status = fails.status([404, 403, 429]);
        now.body = (fails == Malformed).then(|| "[".into());
    });
    (machine, vec![Box::new(imds)])
}

fn gpus(folder: &Path, fails: Fails) -> Made {
    // DRIVER_NOT_LOADED, NO_PERMISSION
    let behaviour = nvml::Behaviour {
        start: match fails {
            NoDevice => 9,
            NoPermission => 4,
            _ => 0,
        },
        busy: fails.busy(),
        claimed: (fails == Malformed).then_some(0),
        ..Default::default()
    };
    let mut machine = fakes::machine(folder);
    let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
    let library = nvml::build(folder, make, &behaviour).unwrap();
    machine.gpus = Arc::new(Nvml::new(library, machine.retry));
    (machine, Vec::new())
}

/// An interface on one platform, as whose `doctor` names it, and a machine on
/// which it fails.
struct Row {
    interface: &'static str,
    platform: &'static str,
    module: &'static str,
    make: fn(&Path, Fails) -> Made,
}

const ROWS: &[Row] = &[
    Row {
        interface: "configfs-tsm",
        platform: "tdx",
        module: "configfs-tsm",
        make: |folder, fails| tsm(folder, false, fails),
    },
    Row {
        interface: "configfs-tsm",
        platform: "snp",
        module: "configfs-tsm",
        make: |folder, fails| tsm(folder, true, fails),
    },
    Row {
        interface: "dstack guest agent",
        platform: "dstack",
        module: "dstack",
        make: |folder, fails| dstack(folder, "var/run/dstack.sock", fails),
    },
    Row {
        interface: "tappd guest agent",
        platform: "dstack",
        module: "dstack",
        make: |folder, fails| dstack(folder, "var/run/tappd.sock", fails),
    },
    Row {
        interface: "Nitro security module",
        platform: "nitro",
        module: "nitro",
        make: nitro,
    },
    Row {
        interface: "Azure vTPM",
        platform: "azure-tdx",
        module: "azure",
        make: |folder, fails| vtpm(folder, false, fails),
    },
    Row {
        interface: "Azure vTPM",
        platform: "azure-snp",
        module: "azure",
        make: |folder, fails| vtpm(folder, true, fails),
    },
    Row {
        interface: "Azure metadata service",
        platform: "azure-tdx",
        module: "azure",
        make: |folder, fails| metadata(folder, false, fails),
    },
    Row {
        interface: "Azure metadata service",
        platform: "azure-snp",
        module: "azure",
        make: |folder, fails| metadata(folder, true, fails),
    },
    Row {
        interface: "NVIDIA management library",
        platform: "GPUs",
        module: "nvidia",
        make: gpus,
    },
];

/// The one check that names it; nothing else may be bad.
fn named(row: &Row, fails: Fails) -> Check {
    let folder = tempfile::tempdir().unwrap();
    let (machine, _held) = (row.make)(folder.path(), fails);
    let mut checks = looked_at(&machine);
    let what = format!("{} on {}: {}", row.interface, row.platform, fails.code());
    // Of a platform that is not here nothing is bad; Azure's metadata service
    // is missed where the vTPM is there.
    let absent = fails == NoDevice && row.interface != "Azure metadata service";
    assert_eq!(
        bad(&checks).len(),
        usize::from(!absent),
        "{what}: {checks:?}"
    );
    let start = format!("{}: {}: ", row.module, fails.code());
    let found = checks.iter().position(|one| one.found.starts_with(&start));
    let found = checks.remove(found.unwrap_or_else(|| panic!("{what}: {checks:?}")));
    let expected = if absent {
        Finding::Absent
    } else {
        Finding::Bad
    };
    assert_eq!(found.finding, expected, "{what}");
    // The legacy agent's socket is looked for last: absent is the first.
    if row.interface != "tappd guest agent" || !absent {
        let said = found.found.strip_prefix(&start).unwrap();
        assert!(said.starts_with(row.interface), "{what}: {said}");
    }
    assert!(!found.remedy.is_empty(), "{what}");
    assert!(found.side.is_some(), "{what}");
    assert!(!found.found.contains(char::is_control), "{what}");
    found
}

/// No device, no permission, throttled, a malformed answer, of every interface
/// on every platform: each named, with whose side it is on and what to do, as
/// docs/operations.md has it.
#[test]
fn every_failure_of_every_interface_is_named_and_documented() {
    let mut table = Vec::new();
    let mut cells = BTreeSet::new();
    for row in ROWS {
        for fails in Fails::ALL {
            let Check { side, remedy, .. } = named(row, fails);
            let (interface, code) = (row.interface, fails.code());
            let side = side.unwrap();
            println!(
                "{:<10} {interface}: {code} ({side}): {remedy}",
                row.platform
            );
            assert!(cells.insert((row.platform, interface, code)));
            let line = format!("| {interface} | `{code}` | {side} | {remedy} |");
            if !table.contains(&line) {
                table.push(line);
            }
        }
    }
    assert_eq!(cells.len(), 40);
    // One remedy for an interface's failure, on whatever platform.
    assert_eq!(table.len(), 28);
    let documented = include_str!("../../../../../../docs/operations.md");
    for line in &table {
        assert!(
            documented.contains(line),
            "not in docs/operations.md:\n{line}"
        );
    }
}

/// What a machine says that has one of these and nothing else wrong.
#[test]
fn other_failures_are_named_too() {
    let folder = tempfile::tempdir().unwrap();
    let empty = fakes::machine(folder.path());
    let only = |machine: &Machine, module: &str, code: &str, side: &str| {
        let checks = looked_at(machine);
        let [one] = bad(&checks)[..] else {
            panic!("{module} {code}: {checks:?}");
        };
        let start = format!("{module}: {code}: ");
        assert!(one.found.starts_with(&start), "{start}: {}", one.found);
        assert_eq!(one.side, Some(side), "{}", one.found);
        assert!(!one.remedy.is_empty(), "{}", one.found);
    };

    let mut machine = empty.clone();
    let make: Maker = Arc::new(|_: &[u8]| Vec::new());
    machine.configfs = FakeConfigfs::new("arm_cca_guest", make, Default::default());
    only(&machine, "configfs-tsm", "wrong_provider", "machine");
    machine.configfs = FakeConfigfs::tdx(configfs::Behaviour {
        broken: true,
        ..Default::default()
    });
    only(&machine, "configfs-tsm", "io", "machine");

    let mut machine = empty.clone();
    machine.nsm = FakeNsm::new(nsm::Behaviour {
        error: Some("InternalError".into()),
        ..Default::default()
    });
    only(&machine, "nitro", "refused", "host");

    let socket = folder.path().join("var/run/dstack.sock");
    let agent = FakeAgent::start(&socket, Default::default()).unwrap();
    agent.behave(|now| now.status = Some(500));
    only(&empty, "dstack", "refused", "machine");
    agent.behave(|now| (now.status, now.not_tdx) = (None, true));
    only(&empty, "dstack", "wrong_provider", "machine");
    agent.behave(|now| now.silent = true);
    let mut machine = empty.clone();
    machine.retry.limit = std::time::Duration::from_millis(50);
    only(&machine, "dstack", "timed_out", "host");
    std::fs::remove_file(socket).unwrap();

    // TPM_RC_AUTH_FAIL: the owner has a password.
    let (machine, tpm, imds) = azure(folder.path(), false);
    tpm.behave(|now| now.code = Some(0x98e));
    only(&machine, "azure", "refused", "machine");
    tpm.behave(|now| now.code = None);
    imds.behave(|now| now.status = Some(400));
    only(&machine, "azure", "refused", "host");

    // UNKNOWN, TIMEOUT
    for (start, report, code) in [(999, 0, "refused"), (0, 10, "timed_out")] {
        let folder = tempfile::tempdir().unwrap();
        let behaviour = nvml::Behaviour {
            start,
            report,
            ..Default::default()
        };
        let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
        let library = nvml::build(folder.path(), make, &behaviour).unwrap();
        let mut machine = empty.clone();
        machine.gpus = Arc::new(Nvml::new(library, machine.retry));
        only(&machine, "nvidia", code, "machine");
    }
}

#[test]
fn a_machine_without_a_tee_is_healthy_and_told_what_each_takes() {
    let folder = tempfile::tempdir().unwrap();
    let checks = looked_at(&fakes::machine(folder.path()));
    assert!(bad(&checks).is_empty());
    let absent: Vec<_> = checks
        .iter()
        .filter(|one| one.finding == Finding::Absent)
        .filter_map(|one| one.found.split_once(": no_device: "))
        .map(|(module, _)| module)
        .collect();
    let modules = ["nitro", "dstack", "azure", "configfs-tsm", "nvidia"];
    assert_eq!(absent, modules);
    let good = |one: &&Check| one.finding == Finding::Good;
    assert_eq!(checks.iter().filter(good).count(), 1);
}

#[test]
fn every_platform_that_works_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (mut machine, _, _imds) = azure(folder.path(), false);
    machine.configfs = FakeConfigfs::tdx(configfs::Behaviour::default());
    std::fs::write(&machine.event_log, [1]).unwrap();
    machine.nsm = FakeNsm::new(nsm::Behaviour::default());
    let socket = folder.path().join("run/dstack.sock");
    let _agent = FakeAgent::start(&socket, agent::Behaviour::default()).unwrap();
    let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
    let library = nvml::build(folder.path(), make, &nvml::Behaviour::default()).unwrap();
    machine.gpus = Arc::new(Nvml::new(library, machine.retry));
    let checks = looked_at(&machine);
    let found: Vec<&str> = checks.iter().map(|one| one.found.as_str()).collect();
    let starts = ["nitro: ", "dstack: ", "azure-tdx: ", "tdx: ", "attest, "];
    assert_eq!(found.len(), starts.len());
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
    assert!(found[3].ends_with("with an event log"), "{found:?}");
    assert!(checks.iter().all(|one| one.finding == Finding::Good));
}

#[test]
fn a_gpu_on_a_desk_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    let off = nvml::Behaviour {
        confidential: false,
        ..Default::default()
    };
    let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
    let library = nvml::build(folder.path(), make, &off).unwrap();
    machine.gpus = Arc::new(Nvml::new(library, machine.retry));
    assert!(bad(&looked_at(&machine)).is_empty());
    // In a TEE it is.
    machine.nsm = FakeNsm::new(nsm::Behaviour::default());
    let checks = looked_at(&machine);
    let [one] = bad(&checks)[..] else {
        panic!("{checks:?}");
    };
    assert!(one.found.starts_with("nvidia: not_confidential: "));
    assert_eq!(one.side, Some("host"));
}
