//! The wire format: golden bytes, round trips, and refusal of everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use proptest::prelude::*;
use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_protocol::mode::ModeInfo;
use soundproof_prover::sandbox::{Layer, SandboxLevel};
use soundproof_prover::wire::{
    Done, Entropy, Form, Frame, FrameKind, HEADER_LEN, Hello, Job, MAX_DATA, MAX_MESSAGE, Need,
    Output, OutputKind, Part, Program, Progress, StageInfo, ToKeeper, ToProver, WireError,
    decode_header, decode_message, encode_header, encode_message, read_frame, write_data,
    write_message,
};
use zeroize::Zeroizing;

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

fn to_keeper() -> Vec<ToKeeper> {
    let stage = StageInfo {
        name: "witness".into(),
        runs_program: true,
        parts: vec!["witness_generator".into()],
        folder_bytes: 4096,
        gpu: true,
    };
    vec![
        ToKeeper::Hello(Hello {
            protocol: 2,
            system: "groth16".into(),
            version: "soundproof-prover-groth16 0.1.0".into(),
            stage: "witness".into(),
            sandbox: [Layer::Seccomp, Layer::Dump]
                .into_iter()
                .collect::<SandboxLevel>(),
            stages: vec![stage],
            modes: vec![
                ModeInfo::hiding("groth16"),
                ModeInfo {
                    name: "plonk".into(),
                    hides: false,
                    unavailable: Some("no wrapper".into()),
                    memory_bytes: 1 << 33,
                },
            ],
        }),
        ToKeeper::Need(Need {
            digest: digest(1),
            form: Form::Source,
        }),
        ToKeeper::Derived(Part {
            digest: digest(2),
            form: Form::Derived,
            len: 300,
        }),
        ToKeeper::Ready,
        ToKeeper::Progress(Progress {
            phase: "prove".into(),
            permille: 250,
        }),
        ToKeeper::Output(Output {
            kind: OutputKind::Proof,
            len: 806,
        }),
        ToKeeper::Done(Done {
            verified: true,
            verifying_key: Some(vec![9; 4].into()),
        }),
        ToKeeper::Failed(Failure::new(Code::ConstraintFailed, "line 7")),
        ToKeeper::End,
        ToKeeper::Moved(1234),
    ]
}

fn to_prover() -> Vec<ToProver> {
    let part = ProgramPart {
        role: "proving_key".into(),
        digest: digest(3),
    };
    vec![
        ToProver::Program(Program {
            parts: vec![part],
            derived: vec![digest(4)],
        }),
        ToProver::Part(Part {
            digest: digest(5),
            form: Form::Source,
            len: 1 << 33,
        }),
        ToProver::Job(Job {
            mode: "groth16".into(),
            limits: Limits {
                memory_bytes: 1 << 30,
                time_ms: 60_000,
                cycles: 0,
                gas: 5,
            },
            entropy: Entropy(Zeroizing::new([6; 32])),
            description: digest(7),
            input_len: 1000,
        }),
        ToProver::End,
        ToProver::Cut,
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeper and prover may be built apart one day: a change of these bytes is a
/// change of the protocol's number.
#[test]
fn golden() {
    let mut text = String::new();
    for message in to_keeper() {
        text += &format!("{}\n", hex(&encode_message(&message).unwrap()));
    }
    for message in to_prover() {
        text += &format!("{}\n", hex(&encode_message(&message).unwrap()));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wire-v3.hex");
    assert_eq!(text, std::fs::read_to_string(path).unwrap_or_default());
}

#[test]
fn messages_round_trip() {
    for message in to_keeper() {
        let frame = encode_message(&message).unwrap();
        assert_eq!(
            decode_message::<ToKeeper>(&frame[HEADER_LEN..]).unwrap(),
            message
        );
    }
    for message in to_prover() {
        let frame = encode_message(&message).unwrap();
        assert_eq!(
            decode_message::<ToProver>(&frame[HEADER_LEN..]).unwrap(),
            message
        );
    }
}

/// Fails if a secret could reach a log through Debug.
#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?} {:?}", to_keeper(), to_prover());
    assert!(
        !text.contains("line 7") && !text.contains("6, 6") && !text.contains("0606"),
        "{text}"
    );
    let frame = Frame::Data(Zeroizing::new(b"witness".to_vec()));
    assert_eq!(format!("{frame:?}"), "Data(7 bytes)");
}

#[test]
fn any_changed_bit_is_refused_or_another_message() {
    for message in to_keeper() {
        let frame = encode_message(&message).unwrap();
        let body = &frame[HEADER_LEN..];
        for bit in 0..body.len() * 8 {
            let mut changed = body.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode_message::<ToKeeper>(&changed) {
                assert_ne!(other, message);
            }
        }
        for cut in 0..body.len() {
            assert!(decode_message::<ToKeeper>(&body[..cut]).is_err());
        }
        assert!(
            decode_message::<ToKeeper>(&[body, &[0]].concat()).is_err(),
            "a trailing byte"
        );
    }
}

#[test]
fn headers_at_their_bounds() {
    for (kind, max) in [
        (FrameKind::Message, MAX_MESSAGE),
        (FrameKind::Data, MAX_DATA),
    ] {
        for len in [1, 2, max - 1, max] {
            let header = decode_header(&encode_header(kind, len).unwrap()).unwrap();
            assert_eq!((header.kind, header.len), (kind, len));
        }
        assert!(encode_header(kind, 0).is_err());
        assert!(encode_header(kind, max + 1).is_err());
    }
    let refused = [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 2, 2],
        [0, 1, 0, 2, 0],
        [0, 16, 0, 2, 1],
        [255; 5],
    ];
    for header in refused {
        assert!(decode_header(&header).is_err(), "{header:?}");
    }
}

#[test]
fn a_message_that_is_too_large_is_not_sent() {
    let message = ToKeeper::Progress(Progress {
        phase: "x".repeat(MAX_MESSAGE),
        permille: 0,
    });
    assert!(matches!(encode_message(&message), Err(WireError::Length)));
}

#[test]
fn frames_from_a_stream() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, &ToKeeper::Ready).unwrap();
    write_data(&mut bytes, &vec![7; MAX_DATA + 1]).unwrap();
    let mut reader = bytes.as_slice();
    assert!(matches!(
        read_frame(&mut reader).unwrap(),
        Frame::Message(_)
    ));
    assert!(
        matches!(read_frame(&mut reader).unwrap(), Frame::Data(data) if data.len() == MAX_DATA)
    );
    assert!(matches!(read_frame(&mut reader).unwrap(), Frame::Data(data) if data.len() == 1));
    assert!(matches!(read_frame(&mut reader), Err(WireError::Closed)));
    for cut in 1..HEADER_LEN + 1 {
        assert!(
            matches!(read_frame(&mut &bytes[..cut]), Err(WireError::Io(_))),
            "cut at {cut}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        for message in [decode_message::<ToKeeper>(&bytes).ok().map(|m| encode_message(&m).unwrap()),
                        decode_message::<ToProver>(&bytes).ok().map(|m| encode_message(&m).unwrap())]
            .into_iter().flatten()
        {
            // Whatever decodes is the one encoding of what it decodes to.
            prop_assert_eq!(&message[HEADER_LEN..], &bytes[..]);
        }
        let _ = read_frame(&mut bytes.as_slice());
    }

    #[test]
    fn headers_are_bijective(header in any::<[u8; HEADER_LEN]>()) {
        if let Ok(decoded) = decode_header(&header) {
            prop_assert_eq!(encode_header(decoded.kind, decoded.len).unwrap(), header);
        }
    }

    #[test]
    fn progress_round_trips(phase in ".{0,64}", permille in any::<u16>()) {
        let message = ToKeeper::Progress(Progress { phase, permille });
        let frame = encode_message(&message).unwrap();
        prop_assert_eq!(decode_message::<ToKeeper>(&frame[HEADER_LEN..]).unwrap(), message);
    }
}
