//! A policy as a person keeps it: with each line explained.

use crate::policy::{Policy, PolicyError};

/// Tables, by how their headers begin; the first that fits explains.
const TABLES: &[(&str, &str)] = &[
    (
        "platform.software",
        "A software platform, under the anchor named here: NO HARDWARE PROTECTS ANYTHING.\n\
         For development only.",
    ),
    (
        "platform.tdx",
        "Intel TDX, under Intel's root, which is compiled in.",
    ),
    (
        "gpu",
        "NVIDIA GPUs beside the platform, under NVIDIA's roots, which are compiled in.\n\
         Without this table no GPU is accepted.",
    ),
    (
        "software-gpu",
        "Software GPUs, under the anchor named here: THEY PROTECT NOTHING.",
    ),
    (
        "gpu.release",
        "What may run on a GPU: a complete tuple of its measurements.",
    ),
    (
        "issuer",
        "Whose attestation results count, and for what they say only.",
    ),
    (
        "platform.azure-tdx",
        "Azure's confidential VMs on Intel TDX: the paravisor under Intel's root, what it\n\
         says of the VM, and the VM's virtual TPM.",
    ),
    (
        "platform.azure-snp",
        "Azure's confidential VMs on AMD SEV-SNP: the paravisor under AMD's root, what it\n\
         says of the VM, and the VM's virtual TPM.",
    ),
    (
        "platform.dstack",
        "dstack on Intel TDX: the guest's event log says which application runs.",
    ),
    ("platform.sgx", "Intel SGX, under the same root."),
    (
        "platform.tdx.event_log",
        "What the firmware's event log must show. It adds to a release's registers.",
    ),
    (
        "platform.snp.min_tcb",
        "The least version of each part of the firmware; a product without a table is refused.",
    ),
    (
        "platform.snp",
        "AMD SEV-SNP, under AMD's root keys, which are compiled in.",
    ),
    (
        "platform.nitro",
        "AWS Nitro Enclaves, under AWS's root, which is compiled in.",
    ),
    ("freshness", "Time."),
    (
        "trust",
        "What the server's operator may have set. What is not named is not accepted.",
    ),
    (
        "release",
        "What may run: complete tuples of measurements. Compare each with what the\n\
         release's makers publish.",
    ),
];

/// Keys, in whatever table they stand.
const KEYS: &[(&str, &str)] = &[
    (
        "anchor_pem",
        "Its root certificate, as its operator gave it to you.",
    ),
    (
        "tcb_statuses",
        "States of the machine's firmware that are accepted, by Intel's names.",
    ),
    (
        "tcb_grace_s",
        "Seconds after its TCB level's date for which an out-of-date machine is accepted\n\
         still: time to update after a TCB recovery.",
    ),
    (
        "advisories",
        "Security advisories that are accepted although they apply.",
    ),
    (
        "advisories_denied",
        "Advisories that are never accepted, in a time of grace neither.",
    ),
    (
        "min_tcb_evaluation",
        "Intel's number for a set of TCB data, at least: an older one hides a recovery.",
    ),
    (
        "max_collateral_age_s",
        "Seconds since Intel issued the TCB data, at most.",
    ),
    (
        "fmspc",
        "Families of machines that are accepted; without this line, all.",
    ),
    (
        "ppid",
        "Machines that are accepted, by Platform Provisioning ID.",
    ),
    (
        "piid",
        "Machines that are accepted, by Platform Instance ID.",
    ),
    (
        "any_machine",
        "true accepts every such machine on earth, in whosever hands: who has one in hand\n\
         can attack it physically. Counts only if no machine is named.",
    ),
    ("chip_id", "Machines that are accepted, by chip id."),
    (
        "vlek_providers",
        "Cloud providers whose key, which all their machines share, may sign reports. Without\n\
         one, only the chip's own key may.",
    ),
    (
        "require_crl",
        "Whether AMD's revocation list must come with the evidence.",
    ),
    (
        "max_crl_age_s",
        "Seconds since the revocation list was issued, at most.",
    ),
    ("min_firmware", "Version of the SEV-SNP firmware, at least."),
    (
        "provisional_firmware",
        "Whether firmware may run from which the operator can still go back to older one.",
    ),
    (
        "max_vmpl",
        "The least privileged level of the guest (highest VMPL) that evidence may come from.",
    ),
    (
        "migration_agent",
        "Whether a migration agent may move the guest: it has the guest's memory.",
    ),
    (
        "smt",
        "Whether the other thread of a core may run something else.",
    ),
    ("cxl", "Whether devices and memory on CXL may be there."),
    (
        "tio",
        "Whether the machine may let devices take part in guests.",
    ),
    (
        "require",
        "What else must be in force: single-socket, aes-256-xts, rapl-disabled,\n\
         ciphertext-hiding, page-swap-disabled (of the guest's policy); ecc, alias-check, tsme\n\
         (of the machine).",
    ),
    ("fmc", "First mutable code."),
    ("bootloader", "Boot loader of the secure processor."),
    ("tee", "Operating system of the secure processor."),
    ("snp", "SEV-SNP firmware."),
    ("microcode", "Microcode."),
    (
        "instance_id",
        "Parent instances that are accepted, by id: PCR 4 must be theirs.",
    ),
    ("max_age_s", "Seconds since the document was made, at most."),
    ("measurement", "What the guest was launched from."),
    ("host_data", "Set by the host at launch."),
    ("guest_policy", "What the host may do with the guest."),
    ("family_id", "Set by the owner at launch."),
    ("image_id", "Set by the owner at launch."),
    (
        "id_key_digest",
        "SHA-384 of the key that signed the ID block; zero for none.",
    ),
    (
        "author_key_digest",
        "SHA-384 of the key that certified that key; zero for none.",
    ),
    ("min_guest_svn", "The owner's version number, at least."),
    ("pcr0", "The enclave's image file."),
    ("pcr1", "Kernel and boot file systems."),
    ("pcr2", "The application."),
    (
        "pcr3",
        "The role of the parent instance; without this line, any.",
    ),
    ("pcr4", "The parent instance; without this line, any."),
    (
        "pcr8",
        "The certificate that signed the image; zero if none did.",
    ),
    ("tcb_status", "The status that is accepted."),
    ("until", "The last moment at which the exception holds."),
    (
        "clock_skew_s",
        "Seconds that this machine's clock may be behind: what is valid from a time on may\n\
         be used so much before it. Nothing lasts longer by it.",
    ),
    (
        "sandbox",
        "Layers of the sandbox around provers that must be in force.",
    ),
    (
        "delegation",
        "Policies by which jobs may be handed to other enclaves, by digest.",
    ),
    ("durable", "Scopes of keys that may outlive the machine."),
    (
        "gpu",
        "Whether secrets may be put on a GPU that the session's evidence shows.",
    ),
    ("telemetry", "Where telemetry may go."),
    (
        "danger",
        "`danger` options that the operator may have turned on.",
    ),
    (
        "swap",
        "Whether the machine may have swap: secrets may reach a disk.",
    ),
    (
        "sp1_direct",
        "Whether the server may also take SP1 jobs of clients that appraise nothing. What\n\
         you seal does not pass there.",
    ),
    ("architectures", "Architectures of GPUs that are accepted."),
    (
        "modes",
        "How GPUs may be given to the machine: spt is a single one, with no link to others.",
    ),
    ("min_driver", "The GPU's driver, at least."),
    ("min_vbios", "The GPU's video BIOS, at least."),
    (
        "appraisal",
        "What may say that a GPU's measurements are good; any of these is enough.",
    ),
    (
        "revocation",
        "Whether it must be known that no certificate was revoked.",
    ),
    (
        "max_revocation_age_s",
        "Seconds that an answer about revocation may be old.",
    ),
    (
        "serials",
        "GPUs that are accepted, by the serial number in their certificates.",
    ),
    (
        "leaf_keys",
        "GPUs that are accepted, by SHA-384 of the key that signs their reports.",
    ),
    (
        "nras",
        "The issuer whose results count as NVIDIA's service's.",
    ),
    ("driver", "The GPU's driver, exactly."),
    ("vbios", "The GPU's video BIOS, exactly."),
    (
        "varying",
        "Measurements that are not compared, since they differ from boot to boot.",
    ),
    ("issuer", "`iss` of its results, exactly."),
    (
        "jwks",
        "Its public keys, a JSON Web Key Set. None are fetched.",
    ),
    ("audience", "`aud` of its results."),
    ("max_age_s", "Seconds since a result was issued, at most."),
    (
        "required",
        "Whether every session must have a result of it, beside its evidence.",
    ),
    ("bound_by", "The claim that binds a result to the session."),
    ("secure_boot", "Whether UEFI secure boot must be on."),
    (
        "console",
        "Whether the host may have a console to the guest.",
    ),
    (
        "vm_ids",
        "VMs that are accepted, by id; without this line, all.",
    ),
    ("system", "The proof system."),
    ("executable", "SHA-256 of the prover's executable."),
    ("name", "What verdicts call it."),
    ("mrseam", "The TDX module."),
    ("mrsignerseam", "The module's signer; zero for Intel's."),
    ("tdattributes", "Attributes of the trust domain."),
    ("xfam", "Extended features that it may use."),
    ("mrtd", "What it was built from: firmware."),
    ("mrconfigid", "Set by the owner: configuration."),
    ("mrowner", "Set by the owner."),
    ("mrownerconfig", "Set by the owner."),
    (
        "rtmr0",
        "Firmware's configuration: memory, CPUs, ACPI tables, secure boot.",
    ),
    ("rtmr1", "Boot loader and kernel."),
    ("rtmr2", "Kernel's command line and initial file system."),
    ("rtmr3", "Application."),
    (
        "any_key_provider",
        "true accepts whoever gives the guest its keys, and can so read its disk and be it.",
    ),
    (
        "id",
        "In hex; a KMS's root public key, a local provider's MRENCLAVE.",
    ),
    (
        "instances",
        "Instances that are accepted; without this line, all.",
    ),
    (
        "require_compose",
        "Whether app-compose.json must come with the evidence, so that what it shows to\n\
         others can be judged.",
    ),
    (
        "danger_public_logs",
        "true accepts an application whose containers' logs everybody can read.",
    ),
    (
        "danger_public_sysinfo",
        "true accepts an application whose processes and load everybody can see.",
    ),
    (
        "require_mr_config",
        "Whether the host must have fixed the application before the start.",
    ),
    ("compose_hash", "SHA-256 of app-compose.json's raw bytes."),
    (
        "app_id",
        "Application id; without this line, the first 20 bytes of the compose hash.",
    ),
    (
        "os_image_hash",
        "Hash of the OS image, compared where the KMS answered with one.",
    ),
    (
        "development",
        "The image is one on which its operator can log in.",
    ),
    (
        "danger_development_image",
        "true accepts an image on which its operator can log in.",
    ),
    ("required", "Whether there must be an event log."),
    (
        "require_secure_boot",
        "Whether it must show secure boot on.",
    ),
    (
        "pk",
        "SHA-384 of the variable PK's value: whose keys decide what boots.",
    ),
    ("kek", "Likewise, KEK: who may change db and dbx."),
    ("db", "Likewise, db: whose code may boot."),
    ("dbx", "Likewise, dbx: what may not."),
    (
        "boot_chain",
        "Digests of all code that was measured into RTMR1, in order.",
    ),
    (
        "command_line",
        "The kernel's command line, as its loader measured it.",
    ),
    ("mrenclave", "What the enclave was built from."),
    ("mrsigner", "Who signed it."),
    ("isv_prod_id", "Product id that its signer gave it."),
    ("isv_svn", "Security version that its signer gave it."),
    ("attributes", "Attributes and XFRM."),
    ("misc_select", "What it tells the host when it faults."),
];

impl Policy {
    /// [`to_toml`](Self::to_toml), with a comment above each table and key.
    /// Reads again as the same policy.
    ///
    /// # Errors
    /// [`PolicyError::Toml`].
    pub fn to_commented_toml(&self) -> Result<String, PolicyError> {
        let plain = self.to_toml()?;
        let mut out = String::with_capacity(plain.len().saturating_mul(2));
        // Inside a string or list of several lines nothing is a key.
        let mut until: Option<&str> = None;
        for line in plain.lines() {
            if let Some(end) = until {
                if line.ends_with(end) {
                    until = None;
                }
            } else {
                comment(line, &mut out);
                until = match line.split_once(" = ") {
                    Some((_, "[")) => Some("]"),
                    Some((_, value)) if value.starts_with("\"\"\"") => Some("\"\"\""),
                    _ => None,
                };
            }
            out.push_str(line);
            out.push('\n');
        }
        Ok(out)
    }
}

fn comment(line: &str, out: &mut String) {
    let header = line.trim_start_matches('[');
    let text = if header.len() < line.len() {
        // A table inside one that was explained explains itself.
        let name = header.trim_end_matches(']');
        TABLES
            .iter()
            .find(|(table, _)| {
                name == *table
                    || *table == "platform.software"
                        && name
                            .strip_prefix(table)
                            .is_some_and(|rest| !rest.contains('.'))
            })
            .map(|(_, text)| *text)
    } else {
        line.split_once(" = ")
            .and_then(|(key, _)| KEYS.iter().find(|(name, _)| *name == key))
            .map(|(_, text)| *text)
    };
    for line in text.into_iter().flat_map(str::lines) {
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    }
}
