//! The vTPM of an Azure confidential VM, as far as attesting takes it: an NV
//! index with the paravisor's report, an attestation key, PCRs (TCG, TPM 2.0
//! Library, part 3). Commands are read to their last byte, and refused with
//! the codes that a TPM has for it.

use super::{Access, busy};
use sha2::{Digest as _, Sha256};
use soundproof_attester::Device;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// The paravisor's report.
pub const HCL_REPORT: u32 = 0x0140_0001;
/// The attestation key.
pub const ATTESTATION_KEY: u32 = 0x8100_0003;
const OWNER: u32 = 0x4000_0001;

const RC_BAD_TAG: u32 = 0x01e;
const RC_COMMAND_SIZE: u32 = 0x142;
const RC_COMMAND_CODE: u32 = 0x143;
const RC_AUTH_MISSING: u32 = 0x125;
const RC_NV_RANGE: u32 = 0x146;
const RC_HANDLE_1: u32 = 0x18b;
const RC_HANDLE_2: u32 = 0x28b;
const RC_SIZE_1: u32 = 0x1d5;
const RC_VALUE_1: u32 = 0x1c4;
const RC_RETRY: u32 = 0x922;

/// Signs a TPMS_ATTEST, giving a TPMT_SIGNATURE.
pub type Signer = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Before anything.
    pub access: Access,
    /// The next commands that find the device busy.
    pub busy: u32,
    /// The next commands that are answered with `TPM_RC_RETRY`.
    pub retry: u32,
    /// The next quotes after which a PCR is extended.
    pub extended: u32,
    /// A response code for every command.
    pub code: Option<u32>,
    /// Bytes for every answer.
    pub answer: Option<Vec<u8>>,
    /// The quote carries other data.
    pub stale: bool,
}

/// See the module.
pub struct FakeTpm {
    sign: Signer,
    state: Mutex<State>,
}

struct State {
    behaviour: Behaviour,
    nv: BTreeMap<u32, Vec<u8>>,
    pcrs: Vec<[u8; 32]>,
    counter: u32,
}

impl FakeTpm {
    /// With that report in its NV index, and quotes that nobody signed.
    pub fn new(hcl_report: Vec<u8>, behaviour: Behaviour) -> Arc<Self> {
        // RSASSA, SHA-256, 256 bytes.
        let mut signature = vec![0, 0x14, 0, 0x0b, 1, 0];
        signature.resize(6 + 256, 0);
        Self::with_signer(hcl_report, Arc::new(move |_| signature.clone()), behaviour)
    }

    /// With quotes that `sign` signs.
    pub fn with_signer(hcl_report: Vec<u8>, sign: Signer, behaviour: Behaviour) -> Arc<Self> {
        let pcrs = (0..24)
            .map(|pcr: u8| Sha256::digest([pcr]).into())
            .collect();
        Arc::new(Self {
            sign,
            state: Mutex::new(State {
                behaviour,
                nv: BTreeMap::from([(HCL_REPORT, hcl_report)]),
                pcrs,
                counter: 40,
            }),
        })
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.lock().behaviour);
    }

    /// Puts another report there, or none.
    pub fn set_report(&self, report: Option<Vec<u8>>) {
        let mut state = self.lock();
        match report {
            Some(report) => state.nv.insert(HCL_REPORT, report),
            None => state.nv.remove(&HCL_REPORT),
        };
    }

    /// PCR 0 to 23.
    pub fn pcrs(&self) -> Vec<[u8; 32]> {
        self.lock().pcrs.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for FakeTpm {
    fn place(&self) -> String {
        "/dev/tpmrm0".into()
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let now = &mut state.behaviour;
        now.access.check()?;
        if now.busy > 0 {
            now.busy -= 1;
            return Err(busy());
        }
        if let Some(answer) = &now.answer {
            return Ok(answer.clone());
        }
        let code = match now.code {
            _ if now.retry > 0 => {
                now.retry -= 1;
                Some(RC_RETRY)
            }
            code => code,
        };
        let done = match code {
            Some(code) => Err(code),
            None => state.command(request, &self.sign),
        };
        Ok(match done {
            Ok((tag, body)) => header(tag, 0, &body),
            Err(code) => header(0x8001, code, &[]),
        })
    }
}

fn header(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = (10 + body.len()) as u32;
    let mut answer = tag.to_be_bytes().to_vec();
    answer.extend(size.to_be_bytes());
    answer.extend(code.to_be_bytes());
    answer.extend(body);
    answer
}

/// Takes from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], u32> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RC_COMMAND_SIZE)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, u32> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    fn end(&self) -> Result<(), u32> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(RC_COMMAND_SIZE)
        }
    }

    /// One session: an empty password.
    fn password(&mut self, tag: u32) -> Result<(), u32> {
        if tag != 0x8002 {
            return Err(RC_AUTH_MISSING);
        }
        let expected = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        if self.take(13)? != expected {
            Err(RC_AUTH_MISSING)
        } else {
            Ok(())
        }
    }

    /// One selection of the SHA-256 bank.
    fn selection(&mut self) -> Result<[u8; 3], u32> {
        if self.take(7)? != [0, 0, 0, 1, 0, 0x0b, 3] {
            return Err(RC_VALUE_1);
        }
        Ok([self.take(1)?[0], self.take(1)?[0], self.take(1)?[0]])
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut all = (bytes.len() as u16).to_be_bytes().to_vec();
    all.extend(bytes);
    all
}

fn selected(selection: [u8; 3]) -> impl Iterator<Item = usize> {
    (0..24).filter(move |pcr| selection[pcr / 8] >> (pcr % 8) & 1 == 1)
}

/// What follows the parameters of an answer with a session.
fn with_session(parameters: &[u8]) -> Vec<u8> {
    let mut body = (parameters.len() as u32).to_be_bytes().to_vec();
    body.extend(parameters);
    body.extend([0, 0, 1, 0, 0]);
    body
}

impl State {
    fn command(&mut self, request: &[u8], sign: &Signer) -> Result<(u16, Vec<u8>), u32> {
        let mut input = Input(request);
        let (tag, size, code) = (input.number(2)?, input.number(4)?, input.number(4)?);
        if !matches!(tag, 0x8001 | 0x8002) {
            return Err(RC_BAD_TAG);
        }
        if size as usize != request.len() {
            return Err(RC_COMMAND_SIZE);
        }
        match code {
            0x169 => self.read_public(input),
            0x14e => self.read_nv(input, tag),
            0x17e => self.read_pcrs(input),
            0x158 => self.quote(input, tag, sign),
            _ => Err(RC_COMMAND_CODE),
        }
    }

    fn read_public(&self, mut input: Input<'_>) -> Result<(u16, Vec<u8>), u32> {
        let index = input.number(4)?;
        input.end()?;
        let data = self.nv.get(&index).ok_or(RC_HANDLE_1)?;
        let mut public = index.to_be_bytes().to_vec();
        public.extend([0, 0x0b, 0x42, 0x07, 0x20, 0x10, 0, 0]);
        public.extend((data.len() as u16).to_be_bytes());
        let mut body = sized(&public);
        body.extend(sized(&[7; 34]));
        Ok((0x8001, body))
    }

    fn read_nv(&self, mut input: Input<'_>, tag: u32) -> Result<(u16, Vec<u8>), u32> {
        let (auth, index) = (input.number(4)?, input.number(4)?);
        if auth != OWNER {
            return Err(RC_HANDLE_1);
        }
        let data = self.nv.get(&index).ok_or(RC_HANDLE_2)?;
        input.password(tag)?;
        let (size, offset) = (input.number(2)? as usize, input.number(2)? as usize);
        input.end()?;
        // TPM_PT_NV_BUFFER_MAX
        if size > 1024 {
            return Err(RC_VALUE_1);
        }
        let part = data.get(offset..offset + size).ok_or(RC_NV_RANGE)?;
        Ok((0x8002, with_session(&sized(part))))
    }

    fn read_pcrs(&self, mut input: Input<'_>) -> Result<(u16, Vec<u8>), u32> {
        let selection = input.selection()?;
        input.end()?;
        // Eight at most, the lowest first.
        let mut given = [0; 3];
        let pcrs: Vec<usize> = selected(selection).take(8).collect();
        for pcr in &pcrs {
            given[pcr / 8] |= 1 << (pcr % 8);
        }
        let mut body = self.counter.to_be_bytes().to_vec();
        body.extend([0, 0, 0, 1, 0, 0x0b, 3]);
        body.extend(given);
        body.extend((pcrs.len() as u32).to_be_bytes());
        for pcr in pcrs {
            body.extend(sized(&self.pcrs[pcr]));
        }
        Ok((0x8001, body))
    }

    fn quote(
        &mut self,
        mut input: Input<'_>,
        tag: u32,
        sign: &Signer,
    ) -> Result<(u16, Vec<u8>), u32> {
        if input.number(4)? != ATTESTATION_KEY {
            return Err(RC_HANDLE_1);
        }
        input.password(tag)?;
        let length = input.number(2)? as usize;
        // As long as the longest TPMT_HA of Azure's vTPM: SHA-384's.
        if length > 50 {
            return Err(RC_SIZE_1);
        }
        let mut data = input.take(length)?.to_vec();
        // The key's own scheme.
        if input.number(2)? != 0x0010 {
            return Err(RC_VALUE_1);
        }
        let selection = input.selection()?;
        input.end()?;
        if self.behaviour.stale {
            data.fill(0);
        }
        let mut digest = Sha256::new();
        for pcr in selected(selection) {
            digest.update(self.pcrs[pcr]);
        }
        // TPMS_ATTEST: magic, quote, signer's name, data, clock, firmware.
        let mut attest = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18];
        attest.extend(sized(&[9; 34]));
        attest.extend(sized(&data));
        attest.extend([0; 8 + 4 + 4]);
        attest.push(1);
        attest.extend([0; 8]);
        attest.extend([0, 0, 0, 1, 0, 0x0b, 3]);
        attest.extend(selection);
        attest.extend(sized(&digest.finalize()));
        let signature = sign(&attest);
        if self.behaviour.extended > 0 {
            self.behaviour.extended -= 1;
            self.counter += 1;
            self.pcrs[10] = Sha256::digest(self.pcrs[10]).into();
        }
        let mut parameters = sized(&attest);
        parameters.extend(signature);
        Ok((0x8002, with_session(&parameters)))
    }
}

/// A paravisor's report: `report` of the hardware, whose report data must be
/// the SHA-256 of `runtime_data`. Padded with zeros to the index's size.
pub fn hcl_report(snp: bool, report: &[u8], runtime_data: &[u8]) -> Vec<u8> {
    let mut bytes = b"HCLA".to_vec();
    for word in [2_u32, 1184, 2, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(report);
    bytes.resize(0x20 + 0x4a0, 0);
    let size = runtime_data.len() as u32;
    for word in [size + 20, 1, if snp { 2 } else { 4 }, 1, size] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(runtime_data);
    bytes.resize(bytes.len().max(2600), 0);
    bytes
}

/// Report data that vouches for `runtime_data`.
pub fn vouching(runtime_data: &[u8]) -> [u8; 64] {
    let mut data = [0; 64];
    data[..32].copy_from_slice(&Sha256::digest(runtime_data));
    data
}

/// A TDREPORT that carries `data`; its MAC is nobody's.
pub fn td_report(data: &[u8; 64]) -> Vec<u8> {
    let mut report = vec![0; 1024];
    report[0] = 0x81;
    report[128..192].copy_from_slice(data);
    report
}
