use super::{binding, code, device};
use soundproof_attester::{
    Attester as _, Interface, Machine,
    dstack::{Agent, Dstack},
};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    self,
    agent::{Behaviour, FakeAgent, Framing},
};
use std::time::Duration;

/// A container with the agent's socket at `path`.
fn container(path: &str, behaviour: Behaviour) -> (tempfile::TempDir, Machine, FakeAgent) {
    let folder = tempfile::tempdir().unwrap();
    let machine = fakes::machine(folder.path());
    let agent = FakeAgent::start(&folder.path().join(path), behaviour).unwrap();
    (folder, machine, agent)
}

const CURRENT: &str = "var/run/dstack.sock";
const LEGACY: &str = "var/run/tappd.sock";

#[test]
fn both_agents_give_quote_log_and_compose_file() {
    for (path, agent, quote, framing) in [
        (CURRENT, Agent::Dstack, "POST /GetQuote", Framing::Length),
        (CURRENT, Agent::Dstack, "POST /GetQuote", Framing::Chunked),
        (
            LEGACY,
            Agent::Tappd,
            "POST /prpc/Tappd.RawQuote",
            Framing::Length,
        ),
    ] {
        // A compose file is measured as it is written, whitespace and all.
        let compose = "{ \"name\" : \"a\\u00e9\"}\n";
        let behaviour = Behaviour {
            event_log: "[{\"imr\":3}]".into(),
            compose: Some(compose.into()),
            framing,
            ..Behaviour::default()
        };
        let (_folder, machine, fake) = container(path, behaviour);
        let dstack = Dstack::open(&machine).unwrap();
        assert_eq!(dstack.agent().0, agent);
        assert_eq!(dstack.platform(), Platform::Dstack);
        let bound = binding(Platform::Dstack);
        let evidence = dstack.evidence(&bound).unwrap();
        assert_eq!(&evidence.statement.0[568..632], bound.as_bytes());
        let mut expected = b"\xa2\x00\x4b[{\"imr\":3}]\x01".to_vec();
        expected.push(0x40 | compose.len() as u8);
        expected.extend(compose.as_bytes());
        assert_eq!(evidence.event_log.unwrap().0, expected);
        assert_eq!(fake.asked().last().unwrap(), quote);
        assert!(dstack.endorsements().unwrap().body.0.is_empty());
    }
}

#[test]
fn the_current_agent_comes_before_the_legacy_one() {
    let (folder, machine, _current) = container(CURRENT, Behaviour::default());
    let _legacy = FakeAgent::start(&folder.path().join(LEGACY), Behaviour::default()).unwrap();
    assert_eq!(Dstack::open(&machine).unwrap().agent().0, Agent::Dstack);
}

#[test]
fn a_compose_file_that_is_hidden_is_left_out() {
    let (_folder, machine, _agent) = container(
        CURRENT,
        Behaviour {
            compose: None,
            ..Behaviour::default()
        },
    );
    let dstack = Dstack::open(&machine).unwrap();
    let evidence = dstack.evidence(&binding(Platform::Dstack)).unwrap();
    assert_eq!(evidence.event_log.unwrap().0, b"\xa1\x00\x42[]");
}

#[test]
fn busy_is_asked_again_a_bounded_number_of_times() {
    let (_folder, machine, agent) = container(
        CURRENT,
        Behaviour {
            busy: 2,
            ..Behaviour::default()
        },
    );
    let dstack = Dstack::open(&machine).unwrap();
    agent.behave(|now| now.busy = 3);
    let error = device(dstack.evidence(&binding(Platform::Dstack)));
    assert_eq!(code(&error), "throttled");
}

#[test]
fn every_failure_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    let error = Dstack::open(&machine).unwrap_err();
    assert_eq!(code(&error), "no_device");
    assert!(error.is_absent());
    // What docker makes where it is told to mount a socket that is not there.
    std::fs::create_dir_all(folder.path().join(CURRENT)).unwrap();
    assert!(Dstack::open(&machine).unwrap_err().is_absent());
    // A socket whose agent has gone.
    let gone = folder.path().join(LEGACY);
    drop(std::os::unix::net::UnixListener::bind(gone).unwrap());
    let error = Dstack::open(&machine).unwrap_err();
    assert_eq!(
        (code(&error), error.interface),
        ("refused", Interface::Tappd)
    );
    machine.agents.clear();
    assert!(Dstack::open(&machine).unwrap_err().is_absent());

    for (change, expected) in [
        (
            (|now| now.status = Some(403)) as fn(&mut Behaviour),
            "no_permission",
        ),
        (|now| now.status = Some(500), "refused"),
        (|now| now.status = Some(503), "throttled"),
        (|now| now.body = Some("[]".into()), "malformed_answer"),
        (|now| now.body = Some("{".into()), "malformed_answer"),
        (|now| now.body = Some("{}".into()), "wrong_provider"),
        (|now| now.not_tdx = true, "wrong_provider"),
        (
            |now| now.body = Some("{\"quote\":\"0g\"}".into()),
            "malformed_answer",
        ),
        (
            |now| now.body = Some("{\"quote\":\"00\"}".into()),
            "malformed_answer",
        ),
        (
            |now| now.body = Some(" ".repeat(3 << 20)),
            "malformed_answer",
        ),
        (
            |now| now.event_log = "x".repeat(400 << 10),
            "malformed_answer",
        ),
        (|now| now.stale = true, "malformed_answer"),
    ] {
        let (_folder, machine, agent) = container(CURRENT, Behaviour::default());
        let dstack = Dstack::open(&machine).unwrap();
        agent.behave(change);
        let error = device(dstack.evidence(&binding(Platform::Dstack)));
        assert_eq!(code(&error), expected, "{error}");
    }

    let (_folder, mut machine, _agent) = container(
        CURRENT,
        Behaviour {
            silent: true,
            ..Behaviour::default()
        },
    );
    machine.retry.limit = Duration::from_millis(50);
    assert_eq!(code(&Dstack::open(&machine).unwrap_err()), "timed_out");
}

#[test]
fn a_compose_file_that_was_not_measured_stops_the_start() {
    let (_folder, machine, _agent) = container(
        CURRENT,
        Behaviour {
            compose_hash: Some("00".repeat(32)),
            ..Behaviour::default()
        },
    );
    let error = Dstack::open(&machine).unwrap_err();
    assert_eq!(code(&error), "malformed_answer");
}
