//! Options that say which server, which policy, which credentials.

use crate::{failure::Failure, files};
use clap::Args;
use soundproof::{Client, Policy, protocol::error::Code};
use std::path::{Path, PathBuf};

/// Bytes of a policy file at most.
const MAX_POLICY: usize = 256 * 1024;

/// Which server, judged how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// The server: https://…, or http:// to this machine's loopback address
    #[arg(long, env = "SOUNDPROOF_URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyFile,
    /// File that holds the API key
    #[arg(long, value_name = "FILE", env = "SOUNDPROOF_API_KEY_FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Let plain HTTP go to other machines: who listens sees keys and secrets
    /// that grant access to jobs (never the input)
    #[arg(long)]
    pub(crate) danger_plain_http: bool,
}

/// Which policy.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyFile {
    /// What to accept, in TOML [default: policy.toml in the settings folder]
    #[arg(long, value_name = "FILE", env = "SOUNDPROOF_POLICY")]
    policy: Option<PathBuf>,
}

impl PolicyFile {
    /// The file that is named, or the user's own if it is there.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.policy.clone().or_else(|| {
            files::config_folder()
                .map(|folder| folder.join("policy.toml"))
                .filter(|path| path.exists())
        })
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Policy, Failure> {
        let path = self.path().ok_or_else(|| {
            Failure::usage(
                "no policy: nothing says which evidence to accept",
                "Name one with --policy FILE; `soundproof policy init` writes one to begin with.",
            )
        })?;
        read_policy(&path)
    }
}

/// Reads a policy file.
pub(crate) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = files::read(path, MAX_POLICY)?;
    let invalid = |why: String| {
        Failure::new(
            Code::PolicyInvalid,
            format!("{} is no policy: {why}", path.display()),
        )
    };
    let text = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8".into()))?;
    Policy::from_toml(&text).map_err(|error| invalid(error.to_string()))
}

impl Connect {
    /// The server's URL.
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        self.url.as_deref().ok_or_else(|| {
            Failure::usage(
                "no server was named",
                "Name one with --url, or set SOUNDPROOF_URL.",
            )
        })
    }

    /// A client that judges by the policy that is named.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_of(self.url()?, self.policy.read()?)
    }

    /// A client that accepts nothing: for looking, and for what needs no
    /// acceptance.
    pub(crate) fn onlooker(&self) -> Result<Client, Failure> {
        self.client_of(self.url()?, Policy::default())
    }

    /// A client of another server, with these options.
    pub(crate) fn client_of(&self, url: &str, policy: Policy) -> Result<Client, Failure> {
        let mut builder = Client::builder(url, policy);
        if let Some(folder) = files::state_folder() {
            builder = builder.seen_file(folder.join("seen.json"));
        }
        if let Some(path) = &self.api_key_file {
            let key = String::from_utf8(files::read(path, 4096)?).map_err(|_| {
                Failure::usage(
                    format!("{} holds no API key", path.display()),
                    "Write the key alone into the file.",
                )
            })?;
            builder = builder.api_key(key.trim());
        }
        if self.danger_plain_http {
            builder = builder.danger_plain_http();
        }
        Ok(builder.build()?)
    }
}
