//! The four TPM 2.0 commands that attesting through an Azure vTPM takes
//! (TCG, TPM 2.0 Library, parts 2 and 3): NV_ReadPublic, NV_Read, Quote,
//! PCR_Read. Raw bytes over the resource manager's device; every answer is
//! read to its last byte.

mod wire;

pub use wire::TpmDevice;

use crate::{
    Device, Retry,
    error::{DeviceError, Interface, Problem},
};
use soundproof_protocol::binding::TpmNonce;
use std::sync::Arc;
use wire::{Command, Reader};

/// `TPM_RH_OWNER`.
const OWNER: u32 = 0x4000_0001;
/// `TPM_ALG_SHA256`.
const SHA256: u16 = 0x000b;
/// `TPM_ALG_NULL`: the key's own scheme.
const NO_SCHEME: u16 = 0x0010;
/// Bytes that one NV_Read asks for; every TPM can give that many.
const NV_CHUNK: u16 = 512;
/// PCRs of a bank.
pub(crate) const PCRS: usize = 24;
/// PCR_Read answers with eight at most.
const MAX_PCR_READS: u32 = 24;

/// A quote, and the PCR values that it is over.
#[derive(Debug)]
pub(crate) struct Quote {
    /// TPMS_ATTEST.
    pub(crate) attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub(crate) signature: Vec<u8>,
    /// PCR 0 to 23 of the SHA-256 bank.
    pub(crate) pcrs: Vec<[u8; 32]>,
}

/// A TPM.
pub(crate) struct Tpm {
    device: Arc<dyn Device>,
    retry: Retry,
}

impl Tpm {
    pub(crate) fn new(device: Arc<dyn Device>, retry: Retry) -> Self {
        Self { device, retry }
    }

    /// All of an NV index, read with the owner's empty password.
    ///
    /// # Errors
    /// [`DeviceError`]; [`Problem::NoDevice`] if there is no such index.
    pub(crate) fn nv(&self, index: u32, max: usize) -> Result<Vec<u8>, DeviceError> {
        let mut command = Command::new(0x0000_0169, &[index]);
        let answer = self.send(&mut command)?;
        let size = self.read(&answer, |reader| {
            let mut public = Reader::new(reader.sized()?);
            let _name = reader.sized()?;
            let found = public.u32()?;
            let _name_algorithm = public.u16()?;
            let _attributes = public.u32()?;
            let _policy = public.sized()?;
            let size = public.u16()?;
            (found == index && public.is_empty()).then_some(size)
        })?;
        if usize::from(size) > max {
            return Err(self.malformed("an NV index is larger than it may be"));
        }
        let mut data = Vec::with_capacity(usize::from(size));
        while data.len() < usize::from(size) {
            // Both fit: they are at most the index's size.
            let offset = u16::try_from(data.len()).unwrap_or(u16::MAX);
            let chunk = size.saturating_sub(offset).min(NV_CHUNK);
            let mut command = Command::with_password(0x0000_014e, &[OWNER, index]);
            command.u16(chunk).u16(offset);
            let answer = self.send(&mut command)?;
            let part = self.read(&answer, |reader| {
                let mut parameters = reader.parameters()?;
                let part = parameters.sized()?.to_vec();
                (parameters.is_empty() && part.len() == usize::from(chunk)).then_some(part)
            })?;
            data.extend(part);
        }
        Ok(data)
    }

    /// Quotes all PCRs of the SHA-256 bank with the key at `handle`.
    ///
    /// # Errors
    /// [`DeviceError`]; [`Problem::Throttled`] if the PCRs change as fast as
    /// they are read.
    pub(crate) fn quote(&self, handle: u32, nonce: &TpmNonce) -> Result<Quote, DeviceError> {
        self.retry.run(|| {
            let before = self.pcrs()?;
            let mut command = Command::with_password(0x0000_0158, &[handle]);
            command.sized(nonce.as_bytes()).u16(NO_SCHEME);
            select(&mut command, [0xff; 3]);
            let answer = self.send(&mut command)?;
            let (attest, signature) = self.read(&answer, |reader| {
                let mut parameters = reader.parameters()?;
                let attest = parameters.sized()?.to_vec();
                let signature = parameters.rest().to_vec();
                Some((attest, signature))
            })?;
            if extra_data(&attest) != Some(nonce.as_bytes().as_slice()) {
                return Err(self.malformed("the quote carries other data than it was asked to"));
            }
            // A PCR that changed meanwhile: the values may not be those that
            // were quoted.
            if self.pcrs()? != before {
                return Err(self.error(Problem::Throttled { tries: 1 }));
            }
            Ok(Quote {
                attest,
                signature,
                pcrs: before.1,
            })
        })
    }

    /// The update counter and all PCRs of the SHA-256 bank.
    fn pcrs(&self) -> Result<(u32, Vec<[u8; 32]>), DeviceError> {
        let mut values = vec![None; PCRS];
        let mut counter = None;
        for _ in 0..MAX_PCR_READS {
            let mut missing = [0_u8; 3];
            for (byte, eight) in missing.iter_mut().zip(values.chunks(8)) {
                for (bit, value) in eight.iter().enumerate() {
                    *byte |= u8::from(value.is_none()) << bit;
                }
            }
            if missing == [0; 3] {
                break;
            }
            let mut command = Command::new(0x0000_017e, &[]);
            select(&mut command, missing);
            let answer = self.send(&mut command)?;
            let (now, read) = self.read(&answer, |reader| read_pcrs(reader, missing))?;
            if *counter.get_or_insert(now) != now {
                return Err(self.error(Problem::Throttled { tries: 1 }));
            }
            for (pcr, digest) in read {
                if let Some(value) = values.get_mut(pcr) {
                    *value = Some(digest);
                }
            }
        }
        let values: Option<Vec<_>> = values.into_iter().collect();
        match (counter, values) {
            (Some(counter), Some(values)) => Ok((counter, values)),
            _ => Err(self.malformed("the TPM does not give all PCRs of its SHA-256 bank")),
        }
    }

    /// For [`fuzz`](crate::fuzz): whether any command's answer this is.
    #[cfg(feature = "hardware")]
    pub(crate) fn fuzz(&self) -> bool {
        let binding = soundproof_protocol::binding::Binding::new(
            soundproof_protocol::attestation::Platform::AzureTdx,
            soundproof_protocol::attestation::Role::Keeper,
            soundproof_protocol::digest::Digest([0; 32]),
            None,
            None,
        );
        // One answer to everything: no more than one of them can be its own.
        self.nv(0x0140_0001, 4096).is_ok()
            || self.pcrs().is_ok()
            || self.quote(0x8100_0003, binding.tpm_nonce()).is_ok()
    }

    /// Sends a command, again while the TPM says that it should be.
    fn send(&self, command: &mut Command) -> Result<Vec<u8>, DeviceError> {
        let command = command.bytes();
        self.retry.run(|| {
            let answer = self
                .device
                .exchange(&command)
                .map_err(|error| DeviceError::system(Interface::Tpm, self.device.place(), error))?;
            let (code, body) = wire::answer(&answer)
                .ok_or_else(|| self.malformed("the answer's header is none"))?;
            match code {
                0 => Ok(body.to_vec()),
                // RC_YIELDED, RC_TESTING, RC_NV_RATE, RC_LOCKOUT, RC_RETRY
                0x908 | 0x90a | 0x920 | 0x921 | 0x922 => {
                    Err(self.error(Problem::Throttled { tries: 1 }))
                }
                // RC_HANDLE of any handle: no such index or key.
                code if code & 0xff == 0x8b => Err(self.error(Problem::NoDevice)),
                code => Err(self.error(Problem::Refused(format!("TPM response code {code:#x}")))),
            }
        })
    }

    fn read<T>(
        &self,
        answer: &[u8],
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        let mut reader = Reader::new(answer);
        read(&mut reader)
            .filter(|_| reader.is_empty())
            .ok_or_else(|| self.malformed("an answer is not as TPM 2.0 has it"))
    }

    fn error(&self, problem: Problem) -> DeviceError {
        DeviceError::new(Interface::Tpm, self.device.place(), problem)
    }

    fn malformed(&self, why: &str) -> DeviceError {
        self.error(Problem::Malformed(why.into()))
    }
}

/// TPML_PCR_SELECTION of one bank.
fn select(command: &mut Command, pcrs: [u8; 3]) {
    command.u32(1).u16(SHA256).u8(3).raw(&pcrs);
}

/// A register and its value.
type Pcr = (usize, [u8; 32]);

/// What PCR_Read answers: update counter, which PCRs, their values in order.
fn read_pcrs(reader: &mut Reader<'_>, asked: [u8; 3]) -> Option<(u32, Vec<Pcr>)> {
    let counter = reader.u32()?;
    let (count, algorithm, length) = (reader.u32()?, reader.u16()?, reader.u8()?);
    let given = *reader.take(3)?.first_chunk::<3>()?;
    if (count, algorithm, length) != (1, SHA256, 3) {
        return None;
    }
    let mut numbers = Vec::new();
    for (byte, (given, asked)) in given.iter().zip(asked).enumerate() {
        if given & !asked != 0 {
            return None;
        }
        numbers.extend(
            (0..8)
                .filter(|bit| given >> bit & 1 == 1)
                .map(|bit| byte * 8 + bit),
        );
    }
    // A bank that is not there has no values: the caller sees that none came.
    if reader.u32()? as usize != numbers.len() {
        return None;
    }
    let mut values = Vec::new();
    for number in numbers {
        values.push((number, reader.sized()?.try_into().ok()?));
    }
    Some((counter, values))
}

/// The qualifying data in a TPMS_ATTEST that is a quote (part 2, 10.12.12).
fn extra_data(attest: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(attest);
    let (magic, kind) = (reader.u32()?, reader.u16()?);
    // TPM_GENERATED_VALUE, TPM_ST_ATTEST_QUOTE.
    if (magic, kind) != (0xff54_4347, 0x8018) {
        return None;
    }
    let _signer = reader.sized()?;
    reader.sized()
}
