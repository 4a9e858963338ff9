//! `soundproof jobs`: the host's view of jobs, and by ticket the client's.

use super::prove::{Bars, report};
use crate::{connect::Connect, failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::{
    Client, Event, JobAccess, Observer,
    protocol::{
        api::{JobState, JobView},
        id::JobId,
        ticket::{MAX_TICKET, Ticket},
    },
};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Bytes of a verifying key's file at most.
const MAX_KEY: usize = 16 * 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List this API key's jobs, newest first
    List(List),
    /// Follow a job until it ends
    Watch(ByTicket),
    /// Wait for a job's outcome, check it, and write the files
    Fetch(Fetch),
    /// Stop a job
    Cancel(ByEither),
    /// Delete a job that has ended, with its outcome
    Delete(ByEither),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connect: Connect,
    /// Jobs in this state only: created, uploading, queued, running, ended
    #[arg(long, value_parser = state)]
    state: Option<JobState>,
    /// Jobs on a page
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ByTicket {
    #[command(flatten)]
    connect: Connect,
    /// The job's ticket
    #[arg(long, value_name = "FILE")]
    ticket: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    #[command(flatten)]
    by: ByTicket,
    /// The circuit's verifying key [default: fetched from the server, and
    /// checked by its digest]
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// Folder for proof.json, public.json and receipt.bundle
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ByEither {
    #[command(flatten)]
    connect: Connect,
    /// The job's id, for the API key that made it
    #[arg(required_unless_present = "ticket", conflicts_with = "ticket")]
    job: Option<JobId>,
    /// The job's ticket
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
}

fn state(name: &str) -> Result<JobState, String> {
    [
        JobState::Created,
        JobState::Uploading,
        JobState::Queued,
        JobState::Running,
        JobState::Ended,
    ]
    .into_iter()
    .find(|state| state.name() == name)
    .ok_or_else(|| "created, uploading, queued, running or ended".into())
}

pub(crate) async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, output).await,
        Command::Watch(args) => watch(args, output).await,
        Command::Fetch(args) => fetch(args, output).await,
        Command::Cancel(args) => {
            let (client, ticket) = args.open()?;
            let view = client.cancel(args.access(ticket.as_ref())?).await?;
            output.result(&view, line(&view));
            Ok(())
        }
        Command::Delete(args) => {
            #[derive(Serialize)]
            struct Deleted {
                deleted: JobId,
            }
            let (client, ticket) = args.open()?;
            let access = args.access(ticket.as_ref())?;
            client.delete(access).await?;
            let deleted = Deleted {
                deleted: access.job,
            };
            output.result(&deleted, format!("deleted {}", access.job));
            Ok(())
        }
    }
}

async fn list(args: &List, output: Output) -> Result<(), Failure> {
    // Over https, even this goes only to a key that evidence vouches for.
    let client = client(&args.connect, None)?;
    let page = client
        .jobs(args.limit, args.cursor.as_deref(), args.state)
        .await?;
    let mut text: Vec<String> = page.jobs.iter().map(line).collect();
    if let Some(next) = &page.next {
        text.push(format!("more with --cursor {next}"));
    }
    if text.is_empty() {
        text.push("no jobs".into());
    }
    output.result(&page, text.join("\n"));
    Ok(())
}

async fn watch(args: &ByTicket, output: Output) -> Result<(), Failure> {
    let ticket = read_ticket(&args.ticket)?;
    let client = client(&args.connect, Some(&ticket))?;
    let bars = Bars::new(output);
    let observe = |event: &Event<'_>| bars.tell(event);
    let submitted = client.claim(&ticket).await?;
    let view = submitted.watch(Observer::new(&observe)).await?;
    bars.done();
    output.result(&view, line(&view));
    Ok(())
}

async fn fetch(args: &Fetch, output: Output) -> Result<(), Failure> {
    let ticket = read_ticket(&args.by.ticket)?;
    let client = client(&args.by.connect, Some(&ticket))?;
    let bars = Bars::new(output);
    let observe = |event: &Event<'_>| bars.tell(event);
    let vkey = args
        .vkey
        .as_deref()
        .map(|path| files::read(path, MAX_KEY))
        .transpose()?;
    let submitted = client.claim_with(&ticket, vkey.as_deref()).await?;
    let proven = submitted.wait(Observer::new(&observe)).await?;
    bars.done();
    report(&proven, &args.out, false, output)
}

/// A client of the server that is named, or that the ticket names.
fn client(connect: &Connect, ticket: Option<&Ticket>) -> Result<Client, Failure> {
    let url = match (&connect.url, ticket) {
        (Some(url), _) => url.as_str(),
        (None, Some(ticket)) => ticket.url.as_str(),
        (None, None) => connect.url()?,
    };
    let policy = match connect.policy.path() {
        Some(_) => connect.policy.read()?,
        // Enough for plain HTTP on loopback, where nothing is vouched for.
        None => soundproof::Policy::default(),
    };
    connect.client_of(url, policy)
}

impl ByEither {
    fn open(&self) -> Result<(Client, Option<Ticket>), Failure> {
        let ticket = self.ticket.as_deref().map(read_ticket).transpose()?;
        Ok((client(&self.connect, ticket.as_ref())?, ticket))
    }

    fn access<'a>(&self, ticket: Option<&'a Ticket>) -> Result<JobAccess<'a>, Failure> {
        match (ticket, self.job) {
            (Some(ticket), _) => Ok(JobAccess::try_from(ticket)?),
            (None, Some(job)) => Ok(JobAccess::from(job)),
            (None, None) => Err(Failure::usage(
                "no job was named",
                "Give its id, or --ticket FILE.",
            )),
        }
    }
}

fn read_ticket(path: &std::path::Path) -> Result<Ticket, Failure> {
    let bytes = Zeroizing::new(files::read(path, MAX_TICKET)?);
    Ticket::from_slice(&bytes).map_err(|error| {
        Failure::new(
            soundproof::protocol::error::Code::TicketInvalid,
            format!("{}: {error}", path.display()),
        )
    })
}

fn line(view: &JobView) -> String {
    let end = view.end.map(|end| format!(" ({})", end.name()));
    format!(
        "{}  {}{}  {} bytes in, {} attempts",
        view.id,
        view.state.name(),
        end.unwrap_or_default(),
        view.input_bytes,
        view.attempts
    )
}
