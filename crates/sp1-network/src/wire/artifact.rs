//! `artifact.ArtifactStore` (the SDK's `proto/artifact.rs`).

/// Asks for a place to put bytes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateArtifactRequest {
    /// Over the text `create_artifact`, with v = 54 or 55.
    #[prost(bytes = "vec", tag = "1")]
    pub signature: Vec<u8>,
    /// [`ArtifactType`], or some other number.
    #[prost(int32, tag = "2")]
    pub artifact_type: i32,
}

/// The place.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateArtifactResponse {
    /// Its name in later requests.
    #[prost(string, tag = "1")]
    pub artifact_uri: String,
    /// Where to PUT the bytes.
    #[prost(string, tag = "2")]
    pub artifact_presigned_url: String,
}

/// What the SDK uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactType {
    /// 1: an ELF.
    Program,
    /// 2, or 7 where the client asked for `private_stdin`: an input. Both
    /// are secret here.
    Stdin,
}

impl ArtifactType {
    /// From the number on the wire.
    pub const fn from_wire(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Program),
            2 | 7 => Some(Self::Stdin),
            _ => None,
        }
    }
}
