//! Event types (TCG PFP 1.06, table 9, and UEFI's CC measurement protocol).

/// Extends nothing.
pub const EV_NO_ACTION: u32 = 0x0000_0003;
/// Four bytes between two phases of boot.
pub const EV_SEPARATOR: u32 = 0x0000_0004;
pub(crate) const EV_ACTION: u32 = 0x0000_0005;
pub(crate) const EV_EVENT_TAG: u32 = 0x0000_0006;
pub(crate) const EV_S_CRTM_VERSION: u32 = 0x0000_0008;
pub(crate) const EV_IPL: u32 = 0x0000_000d;
pub(crate) const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
pub(crate) const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
pub(crate) const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
pub(crate) const EV_EFI_BOOT_SERVICES_DRIVER: u32 = 0x8000_0004;
pub(crate) const EV_EFI_RUNTIME_SERVICES_DRIVER: u32 = 0x8000_0005;
pub(crate) const EV_EFI_GPT_EVENT: u32 = 0x8000_0006;
pub(crate) const EV_EFI_ACTION: u32 = 0x8000_0007;
pub(crate) const EV_EFI_VARIABLE_BOOT2: u32 = 0x8000_000c;
pub(crate) const EV_EFI_GPT_EVENT2: u32 = 0x8000_000d;
pub(crate) const EV_EFI_VARIABLE_AUTHORITY: u32 = 0x8000_00e0;

/// Whether PFP defines an event's digest as that of its data, as it stands in
/// the log. Of the others the digest is that of code, tables or a variable's
/// value alone, and the data a description of it.
pub(crate) fn is_data_measured(kind: u32) -> bool {
    matches!(
        kind,
        EV_SEPARATOR
            | EV_ACTION
            | EV_S_CRTM_VERSION
            | EV_EFI_VARIABLE_DRIVER_CONFIG
            | EV_EFI_GPT_EVENT
            | EV_EFI_ACTION
            | EV_EFI_VARIABLE_BOOT2
            | EV_EFI_GPT_EVENT2
            | EV_EFI_VARIABLE_AUTHORITY
    )
}

/// A type's name in PFP.
pub fn name(kind: u32) -> &'static str {
    match kind {
        0x0000_0000 => "EV_PREBOOT_CERT",
        0x0000_0001 => "EV_POST_CODE",
        EV_NO_ACTION => "EV_NO_ACTION",
        EV_SEPARATOR => "EV_SEPARATOR",
        EV_ACTION => "EV_ACTION",
        EV_EVENT_TAG => "EV_EVENT_TAG",
        0x0000_0007 => "EV_S_CRTM_CONTENTS",
        EV_S_CRTM_VERSION => "EV_S_CRTM_VERSION",
        0x0000_0009 => "EV_CPU_MICROCODE",
        0x0000_000a => "EV_PLATFORM_CONFIG_FLAGS",
        0x0000_000b => "EV_TABLE_OF_DEVICES",
        0x0000_000c => "EV_COMPACT_HASH",
        EV_IPL => "EV_IPL",
        0x0000_000e => "EV_IPL_PARTITION_DATA",
        0x0000_000f => "EV_NONHOST_CODE",
        0x0000_0010 => "EV_NONHOST_CONFIG",
        0x0000_0011 => "EV_NONHOST_INFO",
        0x0000_0012 => "EV_OMIT_BOOT_DEVICE_EVENTS",
        EV_EFI_VARIABLE_DRIVER_CONFIG => "EV_EFI_VARIABLE_DRIVER_CONFIG",
        EV_EFI_VARIABLE_BOOT => "EV_EFI_VARIABLE_BOOT",
        EV_EFI_BOOT_SERVICES_APPLICATION => "EV_EFI_BOOT_SERVICES_APPLICATION",
        EV_EFI_BOOT_SERVICES_DRIVER => "EV_EFI_BOOT_SERVICES_DRIVER",
        EV_EFI_RUNTIME_SERVICES_DRIVER => "EV_EFI_RUNTIME_SERVICES_DRIVER",
        EV_EFI_GPT_EVENT => "EV_EFI_GPT_EVENT",
        EV_EFI_ACTION => "EV_EFI_ACTION",
        0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
        0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
        EV_EFI_VARIABLE_BOOT2 => "EV_EFI_VARIABLE_BOOT2",
        EV_EFI_GPT_EVENT2 => "EV_EFI_GPT_EVENT2",
        0x8000_0010 => "EV_EFI_HCRTM_EVENT",
        EV_EFI_VARIABLE_AUTHORITY => "EV_EFI_VARIABLE_AUTHORITY",
        0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
        _ => "an event of a type that is not known",
    }
}
