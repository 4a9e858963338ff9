//! The collector's own end.

use super::{
    Answer, MAX_QUESTION, Question,
    frame::{read_frame, write_frame},
    unexpected,
};
use crate::{
    Machine,
    azure::{Host, SnpCertificates},
    error::{DeviceError, Interface, Problem},
    nvml::{LIBRARY, Nvml},
};
use minicbor::bytes::ByteVec;
use rustix::{
    process::Signal,
    thread::{CapabilitySet, CapabilitySets},
};
use soundproof_protocol::cbor;
use std::{
    fs::File,
    io::{self, Read, Write},
    sync::Arc,
};

/// What a process does that was started as a collector: answers on its standard
/// output what it is asked on its standard input, by this machine's metadata
/// service and NVIDIA's library, until nobody asks any more.
///
/// From here on standard output is where errors go, so that nothing a library
/// prints is ever between two answers. The process has no capability, so that
/// also as root it may not look into the keeper's memory. It ends with whoever started it, also
/// when a library never comes back.
///
/// # Errors
/// As [`serve`].
pub fn run() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    give_up_capabilities()?;
    let answers = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let machine = Machine::this();
    let gpus = Nvml::new(LIBRARY, machine.retry);
    serve(
        io::stdin().lock(),
        File::from(answers),
        &Answerer::new(&machine, gpus),
    )
}

fn give_up_capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    // No program that it might start has more.
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// The collector's end: answers what is asked until nobody asks any more.
///
/// # Errors
/// What the system says of the pipes; `InvalidData` for what is no question.
pub fn serve(mut input: impl Read, mut output: impl Write, answerer: &Answerer) -> io::Result<()> {
    while let Some(question) = read_frame(&mut input, MAX_QUESTION)? {
        let question = cbor::from_slice(&question, MAX_QUESTION)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let answer = answerer.answer(&question).unwrap_or_else(failed);
        write_frame(&mut output, &cbor::to_vec(&answer))?;
    }
    Ok(())
}

/// Who answers in the collector's process.
pub struct Answerer {
    host: Arc<dyn Host>,
    gpus: Nvml,
}

impl Answerer {
    /// By the machine's metadata service, and the GPUs of `gpus`.
    pub fn new(machine: &Machine, gpus: Nvml) -> Self {
        Self {
            host: machine.host.clone(),
            gpus,
        }
    }

    fn answer(&self, question: &Question) -> Result<Answer, DeviceError> {
        match question {
            Question::TdQuote(report) => {
                let report = report.as_slice().try_into().map_err(|_| unexpected())?;
                Ok(Answer::Bytes(self.host.td_quote(report)?.into()))
            }
            Question::SnpCertificates => {
                let SnpCertificates { signer, chain } = self.host.snp_certificates()?;
                Ok(Answer::Certificates {
                    signer: signer.into(),
                    chain: chain.into_iter().map(ByteVec::from).collect(),
                })
            }
            Question::Gpus(nonce) => {
                let nonce = nonce.as_slice().try_into().map_err(|_| unexpected())?;
                Ok(Answer::Bytes(self.gpus.reports(nonce)?.into()))
            }
        }
    }
}

fn failed(error: DeviceError) -> Answer {
    let text = match &error.problem {
        Problem::Throttled { tries } => tries.to_string(),
        Problem::Malformed(why) | Problem::Refused(why) | Problem::NotConfidential(why) => {
            why.clone()
        }
        other => other.to_string(),
    };
    Answer::Failed {
        imds: error.interface == Interface::Imds,
        place: error.place,
        code: error.problem.code().into(),
        text,
    }
}
