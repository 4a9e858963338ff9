//! Secure boot, its keys, and the boot chain, as a log shows them.
//!
//! Secure boot's variables are measured into RTMR0 before the separator that
//! ends the firmware's own configuration. A kernel may extend RTMR0 later, so
//! that what follows that separator says nothing; separators are known by
//! their digest, which the quote vouches for, and not by the type that the log
//! gives them. A log may still call such a variable something else: then its
//! state is unknown, which no rule accepts.

use super::{
    Event, Log,
    kind::{
        EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_BOOT_SERVICES_DRIVER, EV_EFI_GPT_EVENT,
        EV_EFI_GPT_EVENT2, EV_EFI_RUNTIME_SERVICES_DRIVER, EV_EFI_VARIABLE_AUTHORITY,
        EV_EFI_VARIABLE_DRIVER_CONFIG, EV_EVENT_TAG, EV_IPL,
    },
};
use crate::{bytes::Hex, cursor::Cursor};
use serde::Serialize;
use sha2::{Digest as _, Sha384};

/// EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c, as it lies in
/// memory: SecureBoot, PK and KEK are its.
const EFI_GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// EFI_IMAGE_SECURITY_DATABASE_GUID, d719b2cb-3d3a-4596-a3bc-dad00e67656f: db
/// and dbx are its.
const EFI_SECURITY_DATABASE: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];
/// Register of firmware configuration (UEFI 2.10, 38.4.1).
const RTMR0: u8 = 0;
/// Register of boot loaders and kernel.
const RTMR1: u8 = 1;
/// Texts of EV_EFI_ACTION (PFP, 10.4.4).
const ACTIONS: [&[u8]; 6] = [
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Failure",
    b"Exit Boot Services Returned with Success",
    b"UEFI Debug Mode",
];
/// Bytes of one text that are kept.
const MAX_TEXT: usize = 4096;
/// Tags of Linux' EFI stub (drivers/firmware/efi/libstub/efistub.h).
const INITRD_TAG: u32 = 0x8f3b_22ec;
const LOAD_OPTIONS_TAG: u32 = 0x8f3b_22ed;

/// Whether only signed code was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecureBoot {
    /// On.
    On,
    /// Off.
    Off,
    /// The log does not show it, or shows it in two ways.
    Unknown,
}

/// A variable that decides what may boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Variable {
    /// PK, KEK, db or dbx.
    pub name: String,
    /// SHA-384 of its value.
    pub sha384: Hex<48>,
    /// Bytes of its value; 0 for one that is not set.
    pub bytes: usize,
}

/// What a step of the boot chain was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// An EFI application: boot loader, unified kernel. Digest: Authenticode's.
    Application,
    /// An EFI driver. Likewise.
    Driver,
    /// A variable whose keys or options a loader used.
    Authority,
    /// A command of GRUB.
    GrubCommand,
    /// The kernel's command line.
    CommandLine,
    /// A file that a loader read, or another thing that it measured.
    File,
    /// The initial RAM disk.
    Initrd,
}

/// One step of the boot chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What it was, as the log has it.
    pub kind: StepKind,
    /// RTMR that it is in.
    pub rtmr: u8,
    /// What the log says of it: a path, a command, a variable's name.
    pub text: String,
    /// Whether the quote vouches for the text; else for the digest only.
    pub text_measured: bool,
    /// What was measured.
    pub digest: Hex<48>,
}

/// What a log shows of how a guest started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Boot {
    /// Secure boot.
    pub secure_boot: SecureBoot,
    /// Its variables: PK, KEK, db, dbx, in the log's order.
    pub variables: Vec<Variable>,
    /// The kernel's command line, if the quote vouches for its text.
    pub command_line: Option<String>,
    /// Digests measured into RTMR1 that are not known to be of anything but
    /// code, in order. A log cannot hide one by another type: what is left
    /// out are separators, partition tables and PFP's own texts, by what was
    /// measured.
    pub code: Vec<Hex<48>>,
    /// Steps, in the log's order.
    pub chain: Vec<Step>,
}

impl Boot {
    /// Reads a log's events. Compare [`Log::replay`] with the quote first.
    pub fn read(log: &Log<'_>) -> Self {
        let mut boot = Self {
            secure_boot: SecureBoot::Unknown,
            variables: Vec::new(),
            command_line: None,
            code: log
                .events
                .iter()
                .filter(|event| event.rtmr == Some(RTMR1) && !is_no_code(event))
                .map(|event| Hex(event.digest))
                .collect(),
            chain: Vec::new(),
        };
        boot.configuration(log);
        for event in &log.events {
            boot.chain.extend(step(event));
        }
        let mut lines = boot
            .chain
            .iter()
            .filter(|step| step.kind == StepKind::CommandLine && step.text_measured);
        if let (Some(line), None) = (lines.next(), lines.next()) {
            boot.command_line = Some(line.text.clone());
        }
        boot
    }

    /// The variable of this name, if the log shows one.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let mut named = self
            .variables
            .iter()
            .filter(|variable| variable.name == name);
        match (named.next(), named.next()) {
            (Some(variable), None) => Some(variable),
            _ => None,
        }
    }

    fn configuration(&mut self, log: &Log<'_>) {
        let mut states = Vec::new();
        let mut ended = false;
        for event in log.events.iter().filter(|event| event.rtmr == Some(RTMR0)) {
            if event.is_separator() {
                ended = true;
                break;
            }
            if event.kind != EV_EFI_VARIABLE_DRIVER_CONFIG || !event.binds_data() {
                continue;
            }
            let Some(variable) = EfiVariable::parse(event.data) else {
                continue;
            };
            match (variable.vendor, variable.name.as_str()) {
                (EFI_GLOBAL, "SecureBoot") => states.push(match variable.value {
                    [1] => SecureBoot::On,
                    // PFP 3.3.4.8: a variable that is not set is measured with
                    // no value.
                    [0] | [] => SecureBoot::Off,
                    _ => SecureBoot::Unknown,
                }),
                (EFI_GLOBAL, "PK" | "KEK") | (EFI_SECURITY_DATABASE, "db" | "dbx") => {
                    self.variables.push(Variable {
                        name: variable.name,
                        sha384: Hex(Sha384::digest(variable.value).into()),
                        bytes: variable.value.len(),
                    });
                }
                _ => {}
            }
        }
        // Without the separator the register's later part cannot be told from
        // the firmware's.
        if let ([state], true) = (states.as_slice(), ended) {
            self.secure_boot = *state;
        }
    }
}

/// Whether what was measured is known, and is no code. Whoever hands over a
/// log can give the bytes of any program as some event's data, so that only
/// what no program can be counts.
fn is_no_code(event: &Event<'_>) -> bool {
    event.is_separator()
        || ACTIONS
            .iter()
            .any(|text| super::measures(&event.digest, text))
        || (matches!(event.kind, EV_EFI_GPT_EVENT | EV_EFI_GPT_EVENT2)
            && event.data.starts_with(b"EFI PART")
            && event.binds_data())
}

/// UEFI_VARIABLE_DATA (PFP, 10.2.6).
struct EfiVariable<'a> {
    vendor: [u8; 16],
    name: String,
    value: &'a [u8],
}

impl<'a> EfiVariable<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor::new(data);
        let vendor = rest.array::<16>("vendor").ok()?;
        let (name, value) = (rest.u64("name").ok()?, rest.u64("value").ok()?);
        let name = utf16(rest.counted_u64(name, 2, "name").ok()?)?;
        let value = rest.counted_u64(value, 1, "value").ok()?;
        rest.rest().is_empty().then_some(Self {
            vendor,
            name,
            value,
        })
    }
}

/// UTF-16, little endian, strictly.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .ok()
}

fn step(event: &Event<'_>) -> Option<Step> {
    let rtmr = event.rtmr?;
    let (kind, text, text_measured) = match event.kind {
        EV_EFI_BOOT_SERVICES_APPLICATION => (StepKind::Application, device_path(event.data), false),
        EV_EFI_BOOT_SERVICES_DRIVER | EV_EFI_RUNTIME_SERVICES_DRIVER => {
            (StepKind::Driver, device_path(event.data), false)
        }
        EV_EFI_VARIABLE_AUTHORITY => {
            let name = EfiVariable::parse(event.data)?.name;
            (StepKind::Authority, name, event.binds_data())
        }
        EV_IPL => grub(event)?,
        EV_EVENT_TAG => tagged(event)?,
        _ => return None,
    };
    Some(Step {
        kind,
        rtmr,
        text: clipped(text),
        text_measured,
        digest: Hex(event.digest),
    })
}

/// GRUB measures the text after the prefix, without the zero byte (GRUB,
/// grub-core/commands/tpm.c). What else is in such an event is its name only.
fn grub(event: &Event<'_>) -> Option<(StepKind, String, bool)> {
    let text = event.data.strip_suffix(&[0]).unwrap_or(event.data);
    let prefixes: [(&[u8], StepKind); 3] = [
        (b"grub_cmd: ", StepKind::GrubCommand),
        (b"kernel_cmdline: ", StepKind::CommandLine),
        (b"module_cmdline: ", StepKind::GrubCommand),
    ];
    for (prefix, kind) in prefixes {
        if let Some(measured) = text.strip_prefix(prefix) {
            let is_measured = super::measures(&event.digest, measured);
            return Some((
                kind,
                String::from_utf8_lossy(measured).into_owned(),
                is_measured,
            ));
        }
    }
    Some((
        StepKind::File,
        String::from_utf8_lossy(text).into_owned(),
        false,
    ))
}

/// TCG_PCClientTaggedEvent of Linux' EFI stub: the data is a label, and the
/// digest that of the load options (UTF-16) or the initial RAM disk.
fn tagged(event: &Event<'_>) -> Option<(StepKind, String, bool)> {
    let mut rest = Cursor::new(event.data);
    let tag = rest.u32("tag").ok()?;
    let label = rest.sized_u32("label").ok()?.rest();
    let label = label.strip_suffix(&[0]).unwrap_or(label);
    let kind = match tag {
        INITRD_TAG => StepKind::Initrd,
        LOAD_OPTIONS_TAG => StepKind::CommandLine,
        _ => StepKind::File,
    };
    Some((kind, String::from_utf8_lossy(label).into_owned(), false))
}

/// The file path in UEFI_IMAGE_LOAD_EVENT (PFP, 10.2.3), or how long the
/// device path is.
fn device_path(data: &[u8]) -> String {
    file_path(data).unwrap_or_else(|| "an image with no file path".to_owned())
}

/// Media device paths (UEFI 2.10, 10.3.5): type 4, subtype 4, UTF-16 with a
/// zero at its end.
fn file_path(data: &[u8]) -> Option<String> {
    let mut rest = Cursor::new(data);
    // Location, length and link-time address in memory.
    rest.take(24, "image").ok()?;
    let len = rest.u64("device path").ok()?;
    let mut path = Cursor::new(rest.counted_u64(len, 1, "device path").ok()?);
    let mut file = String::new();
    while !path.rest().is_empty() {
        let kind = (path.u8("node").ok()?, path.u8("node").ok()?);
        let len = usize::from(path.u16("node").ok()?).checked_sub(4)?;
        let node = path.take(len, "node").ok()?;
        if kind == (4, 4) {
            file.push_str(utf16(node)?.trim_end_matches('\0'));
        }
    }
    (!file.is_empty()).then_some(file)
}

/// Logs are bounded, and so is what is kept of one text.
fn clipped(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
