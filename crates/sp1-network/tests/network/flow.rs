//! Requests that end as they should, in each of the SDK's ways.

use crate::common::{Client, ELF, VK, World, failed, http, proved, until};
use prost::Message as _;
use soundproof_protocol::error::Code;
use soundproof_sp1_network::{
    Caller, Mode,
    wire::{
        Dialect, Empty, GetBalanceRequest, GetBalanceResponse, GetFilteredRequest,
        GetFilteredResponse, GetParamsRequest, GetParamsResponse, GetPriceResponse,
        GetProversRequest, GetProversResponse,
        details::{AuctionTail, BaseTail, Common},
    },
};
use std::time::{Duration, Instant};

const STDIN: &[u8] = b"a secret that is an input";

#[tokio::test]
async fn a_proof_in_each_of_the_three_ways() {
    for (dialect, raw, mode) in [
        (Dialect::Auction, false, 1),
        (Dialect::Base, false, 2),
        (Dialect::Base, true, 1),
    ] {
        let world = World::new();
        let running = world.start().await;
        let mut client = Client::new(running.address, 1, &world).await;
        client.dialect = dialect;
        client.raw = raw;
        client.mode = mode;
        let id = client.submit(STDIN).await;
        assert_eq!(id.len(), 32);
        until("it is submitted", || world.backend.submitted().len() == 1).await;

        let submitted = &world.backend.submitted()[0];
        assert_eq!(submitted.elf, ELF);
        assert_eq!(&submitted.stdin[..], STDIN);
        assert_eq!(submitted.job.request_id[..], id[..]);
        assert_eq!(submitted.job.vk_hash, client.vk_hash);
        assert_eq!(submitted.job.mode, Mode::from_wire(mode).unwrap());
        assert_eq!(submitted.job.cycle_limit, 1_000_000);
        assert_eq!(submitted.job.gas_limit, 2_000_000);
        assert_eq!(submitted.job.deadline_ms, client.deadline * 1000);

        world.backend.end(proved(b"the proof"));
        let status = client.status(&id).await.unwrap();
        assert_eq!((status.fulfillment_status, status.execution_status), (3, 2));
        assert_eq!(status.request_tx_hash.len(), 32);
        assert!(status.deadline >= client.deadline);
        // As often as it takes.
        let url = status.proof_uri.unwrap();
        for _ in 0..3 {
            assert_eq!(http("GET", &url, b"").await, (200, b"the proof".to_vec()));
        }
        // The input is wiped, the program stays.
        until("only program and proof are kept", || {
            world.memory.bytes() == (ELF.len() + b"the proof".len()) as u64
        })
        .await;
        running.kill().await;
    }
}

#[tokio::test]
async fn hosted_limits_are_cut_to_what_the_server_allows() {
    let mut world = World::new();
    world.config.limits.cycles = 5000;
    world.config.limits.gas = 6000;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await.base();
    client.submit(STDIN).await;
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    let job = world.backend.submitted()[0].job.clone();
    assert_eq!((job.cycle_limit, job.gas_limit), (5000, 6000));
}

#[tokio::test]
async fn a_status_call_waits_for_the_end() {
    let mut world = World::new();
    world.config.times.poll = 400;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    // The first one is answered at once.
    let first = client.status_once(&id).await.unwrap();
    assert_eq!(first.fulfillment_status, 2);
    // The next is held for as long as is set, and then assigned, so that
    // Mainnet clients do not give the auction up.
    let began = Instant::now();
    let status = client.status_once(&id).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(390));
    assert_eq!((status.fulfillment_status, status.execution_status), (2, 1));
    assert_eq!(status.deadline, client.deadline);
    assert_eq!(status.proof_uri, None);
    // Answered at the end; all who wait are, within the bound.
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move { client.status(&id).await.unwrap().fulfillment_status })
        })
        .collect();
    until("it is submitted", || world.backend.waits() == 1).await;
    world.backend.end(proved(b"p"));
    for status in waiting {
        assert_eq!(status.await.unwrap(), 3);
    }
}

#[tokio::test]
async fn who_looks_now_and_then_is_not_held_up() {
    let mut world = World::new();
    world.config.times.poll = 600_000;
    world.config.times.poll_gap = 0;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    for _ in 0..3 {
        let status = client.status_once(&id).await.unwrap();
        assert_eq!(status.fulfillment_status, 2);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn polls_beyond_the_bound_are_answered_at_once() {
    let mut world = World::new();
    world.config.times.poll = 600_000;
    world.config.limits.polls_each = 1;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    // One of these waits for the end, so the other need not.
    let answered = tokio::select! {
        status = client.status(&id) => status,
        status = client.status(&id) => status,
    };
    assert_eq!(answered.unwrap().fulfillment_status, 2);
    running.network.stop().await;
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_and_makes_no_second_job() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let (one, two) = tokio::join!(client.request(&uri), client.request(&uri));
    let one = one.unwrap();
    assert_eq!(one, two.unwrap());
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    world.backend.end(proved(b"p"));
    assert_eq!(client.status(&one).await.unwrap().fulfillment_status, 3);
    // After the end too, when the input is gone.
    assert_eq!(client.request(&uri).await.unwrap(), one);
    assert_eq!(world.backend.submitted().len(), 1);
}

#[tokio::test]
async fn what_fails_for_the_moment_is_tried_again() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.backend.next_failure(Code::Unreachable, true);
    world.backend.next_failure(Code::SessionsFull, true);
    world.backend.next_end(failed(Code::KeyLost));
    world.backend.next_end(failed(Code::ProverDied));
    world.backend.next_end(proved(b"p"));
    let id = client.submit(STDIN).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 3);
    let submitted = world.backend.submitted();
    let attempts: Vec<u32> = submitted.iter().map(|one| one.job.attempt).collect();
    assert_eq!(attempts, [0, 1, 2]);
    assert!(submitted.iter().all(|one| &one.stdin[..] == STDIN));
    assert_eq!(world.backend.forgotten(), 2);
}

#[tokio::test]
async fn but_not_without_end() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    for _ in 0..=world.config.limits.resubmits {
        world.backend.next_end(failed(Code::KeyLost));
    }
    let id = client.submit(STDIN).await;
    let status = client.status(&id).await.unwrap();
    assert_eq!((status.fulfillment_status, status.execution_status), (4, 1));
    assert_eq!(world.backend.submitted().len(), 4);
}

#[tokio::test]
async fn a_backend_that_panics_ends_its_request_alone() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.backend.panic();
    let id = client.submit(STDIN).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 4);
    world.backend.next_end(proved(b"p"));
    let id = client.submit(STDIN).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 3);
}

#[tokio::test]
async fn failures_are_what_the_sdk_makes_of_them() {
    for (code, status, error, cause) in [
        (Code::GuestPanicked, (4, 3), 1, 1),
        (Code::CyclesLimit, (4, 3), 1, 5),
        (Code::GasLimit, (4, 3), 1, 9),
        (Code::StdinInvalid, (4, 3), 1, 0),
        (Code::MemoryLimit, (4, 3), 1, 0),
        (Code::TimeLimit, (4, 3), 1, 0),
        (Code::ProgramMismatch, (4, 1), 2, 0),
        (Code::ProofInvalid, (4, 1), 5, 0),
        (Code::ProverPanic, (4, 1), 6, 0),
        (Code::DeadlinePassed, (4, 1), 3, 0),
    ] {
        for dialect in [Dialect::Auction, Dialect::Base] {
            let world = World::new();
            let running = world.start().await;
            let mut client = Client::new(running.address, 1, &world).await;
            client.dialect = dialect;
            world.backend.next_end(failed(code));
            let id = client.submit(STDIN).await;
            let reply = client.status(&id).await.unwrap();
            let got = (reply.fulfillment_status, reply.execution_status);
            assert_eq!(got, status, "{code}");
            let details = client.details(&id).await.unwrap();
            let common = Common::decode(&details[..]).unwrap();
            assert_eq!(common.execute_fail_cause, cause, "{code}");
            assert_eq!(common.fulfillment_status, status.0);
            match dialect {
                Dialect::Base => {
                    assert_eq!(BaseTail::decode(&details[..]).unwrap().error, error);
                }
                Dialect::Auction => {
                    let tail = AuctionTail::decode(&details[..]).unwrap();
                    assert_eq!(tail.error, error);
                    let trace = String::from_utf8(tail.error_trace.unwrap()).unwrap();
                    assert!(trace.starts_with(&format!("{code}: It was")), "{trace}");
                }
            }
            until("the input is wiped", || {
                world.memory.bytes() <= ELF.len() as u64
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_deadline_ends_a_request_and_the_sdk_sees_a_timeout() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    until("it is submitted", || world.backend.waits() == 1).await;
    world.clock.forward(14_401_000);
    running.network.sweep().await;
    until("it is cancelled", || world.backend.forgotten() == 1).await;
    assert_eq!(world.backend.cancelled(), 1);
    // Assigned, with a deadline in the past: `RequestTimedOut`.
    let status = client.status(&id).await.unwrap();
    assert_eq!((status.fulfillment_status, status.execution_status), (2, 1));
    assert_eq!(status.deadline, client.deadline);
    assert!(status.deadline < world.clock.seconds());
}

#[tokio::test]
async fn a_client_cancels_in_the_middle_of_a_proof() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    until("it is submitted", || world.backend.waits() == 1).await;
    let reply = client.cancel(&id).await.unwrap();
    assert_eq!(reply.tx_hash.len(), 32);
    let status = client.status(&id).await.unwrap();
    assert_eq!((status.fulfillment_status, status.execution_status), (4, 1));
    assert_eq!(world.backend.cancelled(), 1);
    let details = client.details(&id).await.unwrap();
    assert!(AuctionTail::decode(&details[..]).unwrap().is_canceled);
    // Twice is once; the input is wiped.
    client.cancel(&id).await.unwrap();
    until("the input is wiped", || {
        world.memory.bytes() == ELF.len() as u64
    })
    .await;
    // Nobody is there to begin anew with.
    let ask = GetProversRequest {
        high_availability_only: true,
    };
    let none: GetProversResponse = client.call("GetProversByUptime", ask).await.unwrap();
    assert!(none.provers.is_empty());
}

#[tokio::test]
async fn cancelled_while_it_is_being_submitted() {
    let world = World::new();
    world.backend.hold(true);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    client.cancel(&id).await.unwrap();
    let status = client.status(&id).await.unwrap();
    assert_eq!(status.fulfillment_status, 4);
    assert_eq!(world.backend.submitted().len(), 0);
}

#[tokio::test]
async fn a_proven_program_is_everybodys_and_an_unproven_one_its_owners() {
    let world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    let id = ann.submit(STDIN).await;
    // Not proven: nobody is told of it, and Bob cannot use it.
    assert_eq!(
        ann.get_program().await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    let uri = bob.upload(2, STDIN).await;
    assert_eq!(
        bob.request(&uri).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    until("it is submitted", || world.backend.waits() == 1).await;
    world.backend.end(proved(b"p"));
    assert_eq!(ann.status(&id).await.unwrap().fulfillment_status, 3);
    let program = bob.get_program().await.unwrap().program.unwrap();
    assert_eq!(program.vk_hash, [9; 32]);
    assert!(program.vk.is_empty(), "nobody has checked it");
    bob.request(&uri).await.unwrap();
    until("it is submitted", || world.backend.submitted().len() == 2).await;
    assert_eq!(world.backend.submitted()[1].elf, ELF);
}

#[tokio::test]
async fn the_only_user_sees_all_its_programs() {
    let mut world = World::new();
    world.caller = Caller::Everything;
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let other_key = Client::new(running.address, 2, &world).await;
    ann.register().await;
    let program = other_key.get_program().await.unwrap().program.unwrap();
    assert_eq!(program.vk, VK);
    other_key.submit(STDIN).await;
}

#[tokio::test]
async fn a_list_is_its_owners() {
    let mut world = World::new();
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await.base();
    let first = ann.submit(STDIN).await;
    world.clock.forward(2000);
    bob.submit(STDIN).await;
    let ask = GetFilteredRequest::default;
    let list = async |client: &Client, ask: GetFilteredRequest| {
        let reply = client.call::<_, GetFilteredResponse>("GetFilteredProofRequests", ask);
        let reply = reply.await?;
        Ok::<_, tonic::Status>(
            reply
                .requests
                .iter()
                .map(|one| Common::decode(&one[..]).unwrap())
                .collect::<Vec<_>>(),
        )
    };
    // A stranger, whoever it says to be.
    let mut claim = ask();
    claim.requester = Some(ann.address.0.to_vec());
    let refused = list(&ann, claim.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    running.kill().await;

    world.caller = Caller::Owner(ann.address);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let mine = list(&client, ask()).await.unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].request_id, first);
    let mut other = ask();
    other.requester = Some(bob.address.0.to_vec());
    assert_eq!(list(&client, other).await.unwrap(), []);
    running.kill().await;

    world.caller = Caller::Everything;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let all = list(&client, ask()).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].request_id, first, "the newest first");
    let mut page = ask();
    (page.limit, page.page) = (Some(1), Some(2));
    assert_eq!(list(&client, page).await.unwrap(), all[1..]);
    for (filter, count) in [
        (
            GetFilteredRequest {
                mode: Some(2),
                ..ask()
            },
            0,
        ),
        (
            GetFilteredRequest {
                mode: Some(1),
                ..ask()
            },
            2,
        ),
        (
            GetFilteredRequest {
                fulfillment_status: Some(3),
                ..ask()
            },
            0,
        ),
        (
            GetFilteredRequest {
                error: Some(1),
                ..ask()
            },
            0,
        ),
        (
            GetFilteredRequest {
                minimum_deadline: Some(u64::MAX),
                ..ask()
            },
            0,
        ),
        (
            GetFilteredRequest {
                from: Some(all[0].created_at),
                ..ask()
            },
            1,
        ),
        (
            GetFilteredRequest {
                to: Some(all[1].created_at),
                ..ask()
            },
            1,
        ),
        (
            GetFilteredRequest {
                vk_hash: Some(vec![9; 32]),
                ..ask()
            },
            2,
        ),
        (
            GetFilteredRequest {
                version: Some("sp1-v5.0.0".to_owned()),
                ..ask()
            },
            0,
        ),
        (
            GetFilteredRequest {
                settlement_status: Some(1),
                ..ask()
            },
            0,
        ),
    ] {
        assert_eq!(
            list(&client, filter.clone()).await.unwrap().len(),
            count,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn constants_are_what_the_sdk_can_read() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let ask = GetParamsRequest { mode: 1 };
    let params: GetParamsResponse = client.call("GetProofRequestParams", ask).await.unwrap();
    for address in [
        &params.auctioneer,
        &params.executor,
        &params.verifier,
        &params.treasury,
    ] {
        assert_eq!(address.len(), 20); // or the SDK panics
    }
    assert_eq!(params.domain.len(), 32);
    params.base_fee.parse::<u64>().unwrap();
    let price = params.max_price_per_pgu.parse::<u64>().unwrap();
    assert!(price.checked_mul(1_200_000_000).is_some()); // or its debug build panics
    let ask = GetProversRequest {
        high_availability_only: false,
    };
    let provers: GetProversResponse = client.call("GetProversByUptime", ask).await.unwrap();
    assert_eq!(provers.provers.len(), 1);
    assert_eq!(provers.provers[0].len(), 20);
    let price: GetPriceResponse = client.call("GetMarketPricePerPgu", Empty {}).await.unwrap();
    price.price.parse::<u128>().unwrap();
    assert_eq!(u64::try_from(price.as_of).unwrap(), world.clock.seconds());
    let address = client.address.0.to_vec();
    let balance: GetBalanceResponse = client
        .call("GetBalance", GetBalanceRequest { address })
        .await
        .unwrap();
    assert!(balance.amount.bytes().all(|digit| digit.is_ascii_digit()));
    for method in ["TakeNextProofRequest", "GetStdinUri", "FulfillProof", "Bid"] {
        let refused = client.call::<_, Empty>(method, Empty {}).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
    }
}

#[tokio::test]
async fn an_ended_request_is_forgotten_in_time_or_on_demand() {
    let world = World::new();
    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await;
    for on_demand in [false, true] {
        client.deadline = world.clock.seconds() + 60;
        world.backend.next_end(proved(b"the proof"));
        let id = client.submit(STDIN).await;
        let url = client.status(&id).await.unwrap().proof_uri.unwrap();
        let before = world.backend.forgotten();
        if on_demand {
            assert_eq!(http("DELETE", &url, b"").await.0, 204);
        } else {
            world.clock.forward(86_399_000);
            running.network.sweep().await;
            assert_eq!(http("GET", &url, b"").await.0, 200);
            world.clock.forward(1_000);
            running.network.sweep().await;
        }
        assert_eq!(http("GET", &url, b"").await.0, 404);
        let gone = client.status(&id).await.unwrap_err();
        assert_eq!(gone.code(), tonic::Code::NotFound);
        assert_eq!(world.backend.forgotten(), before + 1);
        assert_eq!(world.memory.bytes(), ELF.len() as u64);
        world.clock.forward(3_600_000);
    }
}
