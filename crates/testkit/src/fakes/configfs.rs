//! Linux's configfs-tsm (`drivers/virt/coco/guest/report.c`, and its ABI
//! document): folders that come with their attributes, a generation that
//! every write advances, a report that is made when it is read.

use super::{Access, Maker, busy, unsigned_snp_report, unsigned_tdx_quote};
use soundproof_attester::tsm::Configfs;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

const EIO: i32 = 5;
const ENXIO: i32 = 6;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOENT: i32 = 2;
const INBLOB_MAX: usize = 64;

/// What goes wrong, and how it is set up.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Before anything.
    pub access: Access,
    /// No driver has registered itself.
    pub no_provider: bool,
    /// The next reads of `outblob` that find the provider busy.
    pub busy: u32,
    /// The next reports during which somebody else writes into our folder.
    pub interrupted: u32,
    /// Reads of `outblob` fail with `EIO`.
    pub broken: bool,
    /// SEV-SNP: the least privilege level that this guest may name.
    pub floor: u32,
    /// SEV-SNP: the host's certificate table.
    pub certificates: Vec<u8>,
    /// Says that it is made, and is not the one that was asked for.
    pub stale: bool,
}

/// See the module.
pub struct FakeConfigfs {
    provider: String,
    make: Maker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    folders: BTreeMap<String, Folder>,
    /// Level, and data, of each report made.
    made: Vec<(u32, Vec<u8>)>,
}

#[derive(Default)]
struct Folder {
    generation: u64,
    inblob: Vec<u8>,
    level: u32,
    report: Option<(u64, Vec<u8>)>,
}

impl FakeConfigfs {
    /// A TDX guest's.
    pub fn tdx(behaviour: Behaviour) -> Arc<Self> {
        Self::new("tdx_guest", Arc::new(unsigned_tdx_quote), behaviour)
    }

    /// An SEV-SNP guest's.
    pub fn snp(behaviour: Behaviour) -> Arc<Self> {
        Self::new("sev_guest", Arc::new(unsigned_snp_report), behaviour)
    }

    /// One with any provider, and reports by `make`.
    pub fn new(provider: &str, make: Maker, behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            provider: provider.into(),
            make,
            state: Mutex::new(State {
                behaviour,
                ..State::default()
            }),
        })
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.lock().behaviour);
    }

    /// Folders that are there.
    pub fn folders(&self) -> usize {
        self.lock().folders.len()
    }

    /// Privilege level and data of every report that was made.
    pub fn made(&self) -> Vec<(u32, Vec<u8>)> {
        self.lock().made.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_snp(&self) -> bool {
        self.provider == "sev_guest"
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Configfs for FakeConfigfs {
    fn place(&self) -> String {
        "/sys/kernel/config/tsm/report".into()
    }

    fn make(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.behaviour.access.check()?;
        if state.behaviour.no_provider {
            return Err(errno(ENXIO));
        }
        if state.folders.contains_key(name) {
            return Err(errno(EEXIST));
        }
        state.folders.insert(name.into(), Folder::default());
        Ok(())
    }

    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let floor = state.behaviour.floor;
        let folder = state.folders.get_mut(name).ok_or_else(|| errno(ENOENT))?;
        match attribute {
            "inblob" if bytes.len() > INBLOB_MAX => return Err(errno(EFBIG)),
            "inblob" => folder.inblob = bytes.to_vec(),
            "privlevel" if self.is_snp() => {
                let text = std::str::from_utf8(bytes).map_err(|_| errno(EINVAL))?;
                let level: u32 = text.trim().parse().map_err(|_| errno(EINVAL))?;
                if level < floor || level > 3 {
                    return Err(errno(EINVAL));
                }
                folder.level = level;
            }
            _ => return Err(errno(ENOENT)),
        }
        folder.generation += 1;
        Ok(())
    }

    fn read(&self, name: &str, attribute: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let State {
            behaviour,
            folders,
            made,
        } = &mut *state;
        let folder = folders.get_mut(name).ok_or_else(|| errno(ENOENT))?;
        let mut bytes = match attribute {
            "provider" => format!("{}\n", self.provider).into_bytes(),
            "generation" => format!("{}\n", folder.generation).into_bytes(),
            "privlevel_floor" if self.is_snp() => format!("{}\n", behaviour.floor).into_bytes(),
            "outblob" | "auxblob" if attribute == "outblob" || self.is_snp() => {
                // Both providers take 64 bytes and no fewer.
                if folder.inblob.len() != INBLOB_MAX {
                    return Err(errno(EINVAL));
                }
                if behaviour.broken {
                    return Err(errno(EIO));
                }
                if behaviour.busy > 0 {
                    behaviour.busy -= 1;
                    return Err(busy());
                }
                if behaviour.interrupted > 0 {
                    behaviour.interrupted -= 1;
                    folder.inblob = vec![0xee; INBLOB_MAX];
                    folder.generation += 1;
                }
                let report = match &folder.report {
                    Some((made, report)) if *made == folder.generation => report.clone(),
                    _ => {
                        made.push((folder.level, folder.inblob.clone()));
                        let data = match behaviour.stale {
                            true => vec![0; INBLOB_MAX],
                            false => folder.inblob.clone(),
                        };
                        (self.make)(&data)
                    }
                };
                folder.report = Some((folder.generation, report.clone()));
                match attribute {
                    "outblob" => report,
                    _ => behaviour.certificates.clone(),
                }
            }
            _ => return Err(errno(ENOENT)),
        };
        bytes.truncate(limit.saturating_add(1));
        Ok(bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.lock().folders.remove(name) {
            Some(_) => Ok(()),
            None => Err(errno(ENOENT)),
        }
    }
}

const VCEK: u128 = 0x63da758d_e664_4564_adc5_f4b93be8accd;
const ASK: u128 = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782;
const ARK: u128 = 0xc0b406a4_a803_4952_9743_3fb6014cd0ae;
const CRL: u128 = 0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea;

/// A host's certificate table (GHCB standardization 2.03, 4.1.8.1) with a VCEK,
/// an ASK and an ARK.
pub fn certificate_table(vcek: &[u8], ask: &[u8], ark: &[u8]) -> Vec<u8> {
    table(&[(VCEK, vcek), (ASK, ask), (ARK, ark)])
}

/// The same with the ARK's revocation list.
pub fn table_with_list(vcek: &[u8], ask: &[u8], ark: &[u8], list: &[u8]) -> Vec<u8> {
    table(&[(VCEK, vcek), (ASK, ask), (ARK, ark), (CRL, list)])
}

fn table(entries: &[(u128, &[u8])]) -> Vec<u8> {
    let mut offset = 24 * (entries.len() + 1);
    let mut table = Vec::new();
    for (guid, certificate) in entries.iter().copied() {
        table.extend(guid.to_be_bytes());
        table.extend((offset as u32).to_le_bytes());
        table.extend((certificate.len() as u32).to_le_bytes());
        offset += certificate.len();
    }
    table.extend([0; 24]);
    for (_, certificate) in entries {
        table.extend(*certificate);
    }
    table
}
