//! Bad input: each is refused with a code by which the SDK does what helps.

use crate::common::{Client, ELF, World, failed, http, until};
use soundproof_protocol::error::Code as Failure;
use soundproof_sp1_network::{
    Requesters,
    wire::{CreateArtifactRequest, CreateProgramBody, Empty, RequestProofReply, Signed},
};
use tonic::{Code, Status};

const STDIN: &[u8] = b"a secret that is an input";

async fn refused_body(client: &Client, signed: Signed) -> Status {
    client
        .call::<_, RequestProofReply>("RequestProof", signed)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn wrong_and_missing_signatures() {
    let mut world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let body = client.body(client.nonce().await, &uri);
    let good = client.sign(&body);
    for signature in [
        Vec::new(),
        good[..64].to_vec(),
        [&good[..64], &[99]].concat(),
        vec![0; 65],
        [&[0xff; 64][..], &[27]].concat(),
    ] {
        let signed = Signed {
            format: 1,
            signature,
            body: Some(body.clone()),
        };
        assert_eq!(
            refused_body(&client, signed).await.code(),
            Code::Unauthenticated
        );
    }
    for (format, body) in [(0, Some(body.clone())), (2, Some(body.clone())), (1, None)] {
        let signature = good.clone();
        let signed = Signed {
            format,
            signature,
            body,
        };
        assert_eq!(
            refused_body(&client, signed).await.code(),
            Code::InvalidArgument
        );
    }
    // A body that was changed is somebody else's, who has no such nonce.
    let mut changed = client.body(client.nonce().await, &uri);
    let signature = client.sign(&changed);
    let at = changed.iter().position(|byte| *byte == 9).unwrap();
    changed[at] ^= 1;
    let signed = Signed {
        format: 1,
        signature,
        body: Some(changed),
    };
    assert_eq!(refused_body(&client, signed).await.code(), Code::Aborted);
    // For an artifact too.
    let ask = CreateArtifactRequest {
        signature: vec![1; 12],
        artifact_type: 2,
    };
    let refused = client
        .call::<_, Empty>("CreateArtifact", ask)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(world.backend.submitted().is_empty());
    running.kill().await;

    // Whoever is not on the list is refused by every call that takes anything.
    world.config.requesters = Requesters::Only([client.address].into());
    let running = world.start().await;
    let listed = Client::new(running.address, 1, &world).await;
    let stranger = Client::new(running.address, 2, &world).await;
    let id = listed.submit(STDIN).await;
    let artifact = stranger.create_artifact(2).await.unwrap_err();
    let program = stranger.create_program(String::new()).await.unwrap_err();
    let request = stranger.request(&uri).await.unwrap_err();
    let cancel = stranger.cancel(&id).await.unwrap_err();
    for status in [artifact, program, request, cancel] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains(&stranger.address.to_string()));
    }
}

#[tokio::test]
async fn foreign_reused_and_old_nonces_and_a_race_for_one() {
    let world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    ann.register().await;
    let uri = ann.upload(2, STDIN).await;
    let other = ann.upload(2, b"another").await;

    for nonce in [0, 1, u64::MAX, bob.nonce().await] {
        let refused = ann.request_with(nonce, &uri).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted, "the SDK asks for another");
    }
    let old = ann.nonce().await;
    world.clock.forward(310_000);
    assert_eq!(
        ann.request_with(old, &uri).await.unwrap_err().code(),
        Code::Aborted
    );

    // Two clients of one key race on one nonce: one wins.
    let nonce = ann.nonce().await;
    let (one, two) = tokio::join!(
        ann.request_with(nonce, &uri),
        ann.request_with(nonce, &other)
    );
    let refused = match (one, two) {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        (one, two) => panic!("{one:?} {two:?}"),
    };
    assert_eq!(refused.code(), Code::Aborted);
    // The very same message again is no second job, nor tells it the id.
    assert_eq!(
        ann.request_with(nonce, &uri).await.unwrap_err().code(),
        Code::Aborted
    );
    until("it is submitted", || world.backend.submitted().len() == 1).await;
}

#[tokio::test]
async fn bodies_that_do_not_say_what_they_must() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let mut none = client.clone();
    none.mode = 0;
    let mut high = client.clone();
    high.mode = 5;
    for client in [&none, &high] {
        let refused = client.request(&uri).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let mixed = [client.body(1, &uri), vec![0x60, 1]].concat();
    let long = client.body(1, &"x".repeat(10_000));
    for body in [mixed, long, b"\xff\xff\xff".to_vec(), vec![0x12, 1, 0]] {
        let signed = Signed {
            format: 1,
            signature: client.sign(&body),
            body: Some(body),
        };
        assert_eq!(
            refused_body(&client, signed).await.code(),
            Code::InvalidArgument
        );
    }
    // Larger than a message may be.
    let signed = Signed {
        format: 1,
        signature: vec![0; 65],
        body: Some(vec![0; 300 << 10]),
    };
    assert_eq!(refused_body(&client, signed).await.code(), Code::OutOfRange);
    let short = client.status(&[1; 31]).await.unwrap_err();
    assert_eq!(short.code(), Code::InvalidArgument);
    let unknown = client.status(&[1; 32]).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(
        client.details(&[1; 32]).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_client_of_sdk_5_is_told_what_is_proved() {
    let world = World::new();
    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await.base();
    client.version = "sp1-v5.0.0".to_owned();
    client.raw = true;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("sp1-v5.0.0"), "{refused}");
    assert!(refused.message().contains("sp1-v6.1.0"), "{refused}");
    // What a client says does not come back as it pleases.
    client.version = "\n\u{1b}[31m".repeat(20);
    let refused = client.request(&uri).await.unwrap_err();
    assert!(refused.message().is_ascii() && !refused.message().contains('\n'));
}

#[tokio::test]
async fn modes_that_are_not_offered_and_deadlines_that_have_passed() {
    let world = World::new();
    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    client.mode = 4;
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("circuit files"), "{refused}");
    client.mode = 3;
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("plonk"), "{refused}");
    client.mode = 1;
    for deadline in [0, 1, world.clock.seconds()] {
        client.deadline = deadline;
        let refused = client.request(&uri).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("deadline"), "{refused}");
    }
    // One that is too far away is cut.
    client.deadline = u64::MAX;
    let id = client.request(&uri).await.unwrap();
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    let last = world.clock.seconds() + 7 * 86_400;
    assert_eq!(world.backend.submitted()[0].job.deadline_ms, last * 1000);
    world.backend.end(failed(Failure::GuestPanicked));
    assert_eq!(client.status(&id).await.unwrap().deadline, last);
}

#[tokio::test]
async fn inputs_that_are_not_this_requests() {
    let world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    ann.register().await;
    bob.register().await;
    let uri = ann.upload(2, STDIN).await;
    let elsewhere = ann.create_artifact(2).await.unwrap();
    let program = ann.upload(1, &ann.packed(ELF)).await;
    for uri in [
        "",
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/stdin",
        "file:///etc/passwd",
        "s3://bucket/stdins/test",
        "soundproof://artifact/",
        &format!("soundproof://artifact/{}", "0".repeat(64)),
        &elsewhere.artifact_uri, // nothing was sent there
        &elsewhere.artifact_presigned_url,
        &program,
    ] {
        let refused = ann.request(uri).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{uri}");
        assert!(refused.message().contains("stdin_uri"), "{refused}");
    }
    // Another requester's.
    let refused = bob.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    // Of another request: of another mode, or another program.
    let id = ann.request(&uri).await.unwrap();
    let mut other = ann.clone();
    other.mode = 2;
    let refused = other.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("another request"), "{refused}");
    assert_eq!(ann.request(&uri).await.unwrap(), id);
    // An input is no program.
    let refused = ann.create_program(ann.upload(2, ELF).await).await;
    let mut fresh = ann.clone();
    fresh.vk_hash = [8; 32];
    assert!(refused.is_ok(), "the first registration stays");
    let refused = fresh
        .create_program(fresh.upload(2, &fresh.packed(ELF)).await)
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn programs_that_are_none() {
    let world = World::new();
    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await;
    let uri = client.upload(2, STDIN).await;
    // Not registered.
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("registered"), "{refused}");
    // Neither bincode nor zstd; not an ELF; a bomb.
    let mut bomb = b"\x7fELF".to_vec();
    bomb.resize(20 << 20, 0);
    for body in [
        b"neither bincode nor zstd".to_vec(),
        ELF.to_vec(),
        client.packed(b"not an ELF"),
        [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xaa; 100]].concat(),
        client.packed(&bomb),
        Vec::new(),
    ] {
        let program = client.upload(1, &body).await;
        let refused = client.create_program(program).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    client.raw = true;
    for uri in ["", "http://127.0.0.1:9/elf", &uri] {
        let refused = client.create_program(uri.to_owned()).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{uri}");
    }
    for (vk_hash, vk) in [
        (vec![1; 31], b"vk".to_vec()),
        (vec![1; 32], Vec::new()),
        (vec![1; 32], vec![0; 100_000]),
    ] {
        let nonce = client.nonce().await;
        let program_uri = String::new();
        let body = CreateProgramBody {
            nonce,
            vk_hash,
            vk,
            program_uri,
        };
        let refused = client
            .call::<_, Empty>("CreateProgram", client.signed(&body))
            .await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(
        client.get_program().await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_strangers_registration_does_not_touch_the_owners() {
    let world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let mallory = Client::new(running.address, 2, &world).await;
    let bogus = b"\x7fELF that commits its input";
    let uri = mallory.upload(1, &mallory.packed(bogus)).await;
    mallory.create_program(uri).await.unwrap();
    // Ann is not told that it is there, registers, and hers is used.
    ann.submit(STDIN).await;
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    assert_eq!(world.backend.submitted()[0].elf, ELF);
}

#[tokio::test]
async fn a_program_that_the_prover_refuses_is_forgotten() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.backend.next_end(failed(Failure::ProgramMismatch));
    let id = client.submit(STDIN).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 4);
    let uri = client.upload(2, STDIN).await;
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    // The SDK registers again.
    client.register().await;
    client.request(&uri).await.unwrap();
}

#[tokio::test]
async fn only_its_owner_cancels_a_request_and_only_before_its_end() {
    let world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    let id = ann.submit(STDIN).await;
    assert_eq!(
        bob.cancel(&id).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        ann.cancel(&[7; 32]).await.unwrap_err().code(),
        Code::NotFound
    );
    until("it is submitted", || world.backend.waits() == 1).await;
    world.backend.end(failed(Failure::GuestPanicked));
    assert_eq!(ann.status(&id).await.unwrap().execution_status, 3);
    let refused = ann.cancel(&id).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(world.backend.cancelled(), 0);
}

#[tokio::test]
async fn everything_is_refused_while_the_backend_refuses() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let place = client.create_artifact(2).await.unwrap();
    let text = "the server's evidence does not satisfy your policy";
    for (passing, code, http_status) in [
        (false, Code::FailedPrecondition, 503),
        (true, Code::Unavailable, 504),
    ] {
        world.backend.refuse(passing, text);
        let artifact = client.create_artifact(2).await.unwrap_err();
        let program = client.create_program(String::new()).await.unwrap_err();
        let request = client.request(&uri).await.unwrap_err();
        for status in [artifact, program, request] {
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), text);
        }
        let before = world.memory.bytes();
        let (status, body) = http("PUT", &place.artifact_presigned_url, STDIN).await;
        assert_eq!(status, http_status);
        assert_eq!(body, format!("{text}\n").into_bytes());
        assert_eq!(world.memory.bytes(), before);
    }
    world.backend.accept();
    client.request(&uri).await.unwrap();
}

#[tokio::test]
async fn requests_and_programs_are_bounded() {
    let mut world = World::new();
    world.config.limits.requests_each = 2;
    world.config.limits.programs_each = 1;
    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await;
    for _ in 0..2 {
        client.submit(STDIN).await;
    }
    let uri = client.upload(2, STDIN).await;
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::Unavailable,
        "the SDK tries for two minutes"
    );
    until("they are submitted", || world.backend.waits() == 2).await;
    world.backend.end(failed(Failure::GuestPanicked));
    until("one has ended", || world.backend.forgotten() == 1).await;
    client.request(&uri).await.unwrap();
    // Programs.
    client.vk_hash = [8; 32];
    let uri = client.upload(1, &client.packed(ELF)).await;
    let refused = client.create_program(uri).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn no_error_repeats_an_input() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let secret = b"0123456789abcdef0123456789abcdef";
    let program = client.upload(1, secret).await;
    let refused = client.create_program(program).await.unwrap_err();
    assert!(!refused.message().contains("0123456789abcdef"));
    let signed = Signed {
        format: 1,
        signature: vec![0; 65],
        body: Some(secret.to_vec()),
    };
    let refused = refused_body(&client, signed).await;
    assert!(!refused.message().contains("0123456789abcdef"));
}
