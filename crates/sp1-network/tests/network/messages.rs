//! The wire: golden bytes of the SDK's own encoders, and messages that come
//! back as they went.

use proptest::prelude::*;
use prost::Message;
use soundproof_sp1_network::{
    Address, fuzz, recover,
    wire::{
        ArtifactType, AuctionBody, BaseBody, CancelBody, CreateArtifactRequest,
        CreateArtifactResponse, CreateProgramBody, Dialect, GetBalanceResponse, GetDetailsResponse,
        GetFilteredRequest, GetFilteredResponse, GetNonceRequest, GetNonceResponse,
        GetParamsResponse, GetPriceResponse, GetProgramResponse, GetProversRequest,
        GetProversResponse, GetRequest, GetStatusResponse, Program, RequestBody, RequestProofReply,
        Signed, SignedReply,
        details::{self, AuctionTail, BaseTail, Common, Tail},
    },
};

// From `network/utils.rs` of sp1-sdk 6.10.0, there made with prost 0.13.5.
const BODY: &str = concat!(
    "08960112201111111111111111111111111111111111111111111111111111111111111111",
    "1a0a7370312d76362e312e3020022802320b737464696e732f746573743880a4a7da0640a08d0648c09a0c501e",
    "5a1422222222222222222222222222222222222222225a143333333333333333333333333333333333333333"
);
const BASE: &str = "6001";
const AUCTION: &str = concat!(
    "62204444444444444444444444444444444444444444444444444444444444444444",
    "6a14555555555555555555555555555555555555555572146666666666666666666666666666666666666666",
    "7a1477777777777777777777777777777777777777778201208888888888888888888888888888888888888888888888888888888888888888",
    "8a0103313233920103343536980101a201149999999999999999999999999999999999999999a80101"
);
// `ProofRequest` of sp1-sdk 6.10.0's two protos, encoded with prost 0.14.
const DETAILS: &str = concat!(
    "0a200101010101010101010101010101010101010101010101010101010101010101",
    "12200202020202020202020202020202020202020202020202020202020202020202",
    "1a0a7370312d76362e312e30200228033216736f756e6470726f6f663a2f2f70726f6772616d2f78",
    "3a17736f756e6470726f6f663a2f2f61727469666163742f794080a4a7da0648a08d06",
    "580460036a140303030303030303030303030303030303030303",
    "721404040404040404040404040404040404040404049001989ca7da0698018ca0a7da06a001f0a0a7da06",
    "aa01200505050505050505050505050505050505050505050505050505050505050505",
    "d001c09a0ce001058002018a02140606060606060606060606060606060606060606"
);
const BASE_DETAILS: &str = "900201980201";
const AUCTION_DETAILS: &str = "920201309a020137a00201a80201b00201ba0203776879";
// Over the base body, by the key 0x01…01: RFC 6979, made by an implementation
// that has nothing in common with ours.
const SIGNATURE: &str = "8980b0ec553fbeff6309a1293fa3c6f658f9b3a2d43d0beaffc8d8f79074d2b750a015f2503f85b0cb96df8aca55a34675427d0ad9ba3c761c2b5795cf61c0761c";

fn bytes(parts: &[&str]) -> Vec<u8> {
    hex::decode(parts.concat()).unwrap()
}

#[test]
fn the_sdks_bodies_of_both_dialects() {
    let base = RequestBody::decode(&bytes(&[BODY, BASE])).unwrap();
    let auction = RequestBody::decode(&bytes(&[BODY, AUCTION])).unwrap();
    let neither = RequestBody::decode(&bytes(&[BODY])).unwrap();
    assert_eq!(base.dialect, Dialect::Base);
    assert_eq!(neither.dialect, Dialect::Base, "the flag is off");
    assert_eq!(auction.dialect, Dialect::Auction);
    assert!(base.stdin_private && auction.stdin_private && !neither.stdin_private);
    assert_eq!(auction.prices, Some(("123".to_owned(), "456".to_owned())));
    for body in [base, auction, neither] {
        assert_eq!(body.nonce, 150);
        assert_eq!(body.vk_hash, [0x11; 32]);
        assert_eq!(body.version, "sp1-v6.1.0");
        assert_eq!((body.mode, body.strategy), (2, 2));
        assert_eq!(body.stdin_uri, "stdins/test");
        assert_eq!(body.deadline, 1_800_000_000);
        assert_eq!((body.cycle_limit, body.gas_limit), (100_000, 200_000));
        assert_eq!(body.min_auction_period, 30);
        assert_eq!(body.whitelist, [Address([0x22; 20]), Address([0x33; 20])]);
    }
    // Our structs encode to the same bytes.
    for (bytes, again) in [
        (
            bytes(&[BODY, BASE]),
            BaseBody::decode(&bytes(&[BODY, BASE])[..])
                .unwrap()
                .encode_to_vec(),
        ),
        (
            bytes(&[BODY, AUCTION]),
            AuctionBody::decode(&bytes(&[BODY, AUCTION])[..])
                .unwrap()
                .encode_to_vec(),
        ),
    ] {
        assert_eq!(bytes, again);
    }
    assert!(RequestBody::decode(&bytes(&[BODY, BASE, AUCTION])).is_err());
}

#[test]
fn a_known_signature_over_a_golden_body() {
    let body = bytes(&[BODY, BASE]);
    let signer = Address::from_hex("1a642f0e3c3af545e7acbd38b07251b3990914f1").unwrap();
    let signature = hex::decode(SIGNATURE).unwrap();
    assert_eq!(recover(&body, &signature), Ok(signer));
    assert_ne!(recover(&bytes(&[BODY, AUCTION]), &signature), Ok(signer));
}

fn common() -> Common {
    Common {
        request_id: vec![1; 32],
        vk_hash: vec![2; 32],
        version: "sp1-v6.1.0".into(),
        mode: 2,
        strategy: 3,
        program_uri: "soundproof://program/x".into(),
        stdin_uri: "soundproof://artifact/y".into(),
        deadline: 1_800_000_000,
        cycle_limit: 100_000,
        fulfillment_status: 4,
        execution_status: 3,
        requester: vec![3; 20],
        fulfiller: Some(vec![4; 20]),
        created_at: 1_799_999_000,
        updated_at: 1_799_999_500,
        fulfilled_at: Some(1_799_999_600),
        tx_hash: vec![5; 32],
        gas_limit: 200_000,
        execute_fail_cause: 5,
        min_auction_period: 1,
        whitelist: vec![vec![6; 20]],
    }
}

#[test]
fn the_sdks_details_of_both_dialects() {
    let base = Tail::Base(BaseTail {
        error: 1,
        stdin_private: true,
    });
    assert_eq!(
        details::encode(&common(), &base),
        bytes(&[DETAILS, BASE_DETAILS])
    );
    let auction = Tail::Auction(AuctionTail {
        base_fee: Some("0".into()),
        max_price_per_pgu: Some("7".into()),
        error: 1,
        is_canceled: true,
        stdin_private: true,
        error_trace: Some(b"why".to_vec()),
    });
    assert_eq!(
        details::encode(&common(), &auction),
        bytes(&[DETAILS, AUCTION_DETAILS])
    );
}

#[test]
fn kinds_of_artifacts() {
    assert_eq!(ArtifactType::from_wire(1), Some(ArtifactType::Program));
    for stdin in [2, 7] {
        assert_eq!(ArtifactType::from_wire(stdin), Some(ArtifactType::Stdin));
    }
    for other in [0, 3, 4, 5, 6, 8, -1] {
        assert_eq!(ArtifactType::from_wire(other), None);
    }
}

fn same<T: Message + Default + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = value.encode_to_vec();
    assert_eq!(&T::decode(&bytes[..]).unwrap(), value);
}

proptest! {
    #[test]
    fn every_message_comes_back(
        blob in prop::collection::vec(any::<u8>(), 0..80),
        more in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..4),
        text in ".{0,40}",
        number in any::<u64>(),
        small in any::<i32>(),
        flag in any::<bool>(),
    ) {
        let request = GetRequest { request_id: blob.clone() };
        same(&request);
        same(&Signed { format: small, signature: blob.clone(), body: flag.then(|| blob.clone()) });
        same(&SignedReply { tx_hash: blob.clone(), body: None });
        same(&CreateArtifactRequest { signature: blob.clone(), artifact_type: small });
        same(&CreateArtifactResponse { artifact_uri: text.clone(), artifact_presigned_url: text.clone() });
        same(&GetNonceRequest { address: blob.clone() });
        same(&GetNonceResponse { nonce: number });
        same(&GetBalanceResponse { amount: text.clone() });
        let program = Program { vk_hash: blob.clone(), vk: blob.clone(), program_uri: text.clone(), name: None, owner: Vec::new(), created_at: number };
        same(&GetProgramResponse { program: flag.then_some(program) });
        same(&CreateProgramBody { nonce: number, vk_hash: blob.clone(), vk: blob.clone(), program_uri: text.clone() });
        same(&RequestProofReply { tx_hash: blob.clone(), body: flag.then_some(request) });
        same(&GetStatusResponse { fulfillment_status: small, execution_status: small, request_tx_hash: blob.clone(), deadline: number, fulfill_tx_hash: None, proof_uri: flag.then(|| text.clone()), public_values_hash: None, proof_public_uri: None });
        same(&GetDetailsResponse { request: flag.then(|| blob.clone()) });
        same(&GetFilteredRequest { version: flag.then(|| text.clone()), limit: Some(small.unsigned_abs()), from: Some(number), ..GetFilteredRequest::default() });
        same(&GetFilteredResponse { requests: more.clone() });
        same(&GetParamsResponse { domain: blob.clone(), auctioneer: blob.clone(), base_fee: text.clone(), tick_size: number, ..GetParamsResponse::default() });
        same(&GetProversRequest { high_availability_only: flag });
        same(&GetProversResponse { provers: more.clone() });
        same(&GetPriceResponse { price: text.clone(), as_of: i64::from(small) });
        same(&CancelBody { nonce: number, request_id: blob.clone() });
        same(&BaseBody { nonce: number, vk_hash: blob.clone(), version: text.clone(), mode: small, strategy: small, stdin_uri: text.clone(), deadline: number, cycle_limit: number, gas_limit: number, min_auction_period: number, whitelist: more.clone(), stdin_private: flag });
        same(&AuctionBody { nonce: number, domain: blob.clone(), public_values_hash: flag.then(|| blob.clone()), base_fee: text, variant: small, whitelist: more, ..AuctionBody::default() });
    }

    #[test]
    fn no_bytes_harm(blob in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::signed(&blob);
        let _ = fuzz::request_body(&blob);
        let _ = fuzz::elf(&blob);
        let _ = fuzz::signature(&blob);
    }

    // Bytes that begin well and go on badly.
    #[test]
    fn nor_do_changed_ones(at in 0_usize..400, with in any::<u8>(), cut in 0_usize..400) {
        for tail in [BASE, AUCTION] {
            let mut body = bytes(&[BODY, tail]);
            body.truncate(cut);
            if let Some(byte) = body.get_mut(at) {
                *byte = with;
            }
            let _ = fuzz::request_body(&body);
            let signed = Signed { format: 1, signature: body.clone(), body: Some(body) };
            fuzz::signed(&signed.encode_to_vec());
        }
    }
}
