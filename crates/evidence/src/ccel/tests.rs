use super::{boot::StepKind, *};
use sha2::Sha384;

fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut id = b"Spec ID Event03\0".to_vec();
    id.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    id.extend((algorithms.len() as u32).to_le_bytes());
    for (algorithm, size) in algorithms {
        id.extend(algorithm.to_le_bytes());
        id.extend(size.to_le_bytes());
    }
    id.push(0);
    let mut log = 1_u32.to_le_bytes().to_vec();
    log.extend(EV_NO_ACTION.to_le_bytes());
    log.extend([0; 20]);
    log.extend((id.len() as u32).to_le_bytes());
    log.extend(id);
    log
}

fn push(log: &mut Vec<u8>, register: u32, kind: u32, measured: &[u8], data: &[u8]) {
    log.extend(register.to_le_bytes());
    log.extend(kind.to_le_bytes());
    log.extend(1_u32.to_le_bytes());
    log.extend(SHA384.to_le_bytes());
    log.extend(Sha384::digest(measured));
    log.extend((data.len() as u32).to_le_bytes());
    log.extend(data);
}

fn variable(vendor: [u8; 16], name: &str, value: &[u8]) -> Vec<u8> {
    let name: Vec<u16> = name.encode_utf16().collect();
    let mut data = vendor.to_vec();
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((value.len() as u64).to_le_bytes());
    data.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    data.extend(value);
    data
}

const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];

fn push_variable(log: &mut Vec<u8>, name: &str, value: &[u8]) {
    let data = variable(GLOBAL, name, value);
    push(log, 1, kind::EV_EFI_VARIABLE_DRIVER_CONFIG, &data, &data);
}

fn separator(log: &mut Vec<u8>, register: u32) {
    push(log, register, EV_SEPARATOR, &[0; 4], &[0; 4]);
}

fn small() -> Vec<u8> {
    let mut log = header(&[(SHA384, 48)]);
    push_variable(&mut log, "SecureBoot", &[1]);
    push_variable(&mut log, "PK", b"platform key");
    separator(&mut log, 1);
    push(
        &mut log,
        3,
        kind::EV_IPL,
        b"/vmlinuz quiet",
        b"kernel_cmdline: /vmlinuz quiet\0",
    );
    log
}

fn secure_boot(log: &[u8]) -> SecureBoot {
    Boot::read(&Log::parse(log).unwrap()).secure_boot
}

#[test]
fn a_log_is_read_and_replayed() {
    let bytes = small();
    let log = Log::parse(&bytes).unwrap();
    assert_eq!(log.events.len(), 4);
    assert_eq!(log.first_unbound(), None);
    let registers = log.replay();
    assert_ne!(registers[0], [0; 48]);
    assert_eq!(registers[1], [0; 48]);
    let mut expected = [0; 48];
    extend(&mut expected, &log.events[3].digest);
    assert_eq!(registers[2], expected);
    let boot = Boot::read(&log);
    assert_eq!(boot.secure_boot, SecureBoot::On);
    assert_eq!(boot.variable("PK").unwrap().bytes, 12);
    assert_eq!(boot.command_line.as_deref(), Some("/vmlinuz quiet"));
}

#[test]
fn a_buffer_is_filled_up_with_one_byte_only() {
    for fill in [0x00, 0xff] {
        let mut log = small();
        log.extend([fill; 1000]);
        assert_eq!(Log::parse(&log).unwrap().events.len(), 4);
        log.push(7);
        assert!(Log::parse(&log).is_err());
    }
}

#[test]
fn every_truncation_is_found_but_that_between_two_events() {
    let log = small();
    let whole: Vec<usize> = (0..log.len())
        .filter(|len| Log::parse(&log[..*len]).is_ok())
        .collect();
    // After the header and after each event but the last.
    assert_eq!(whole.len(), 4, "{whole:?}");
}

#[test]
fn lengths_at_their_extremes_are_refused() {
    let log = small();
    let start = header(&[(SHA384, 48)]).len();
    // The header's length, its count of algorithms; an event's count of
    // digests and its data's length.
    for at in [28, 56, start + 8, start + 62] {
        for value in [0_u32, u32::MAX, i32::MAX as u32, 0x0001_0000] {
            let mut changed = log.clone();
            changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(Log::parse(&changed).is_err(), "{at} {value}");
        }
    }
    assert!(matches!(
        Log::parse(&vec![0; MAX_LOG + 1]),
        Err(LogError::TooLong(_))
    ));
}

#[test]
fn what_a_header_may_say() {
    for (algorithms, good) in [
        (vec![(SHA384, 48)], true),
        (vec![(0x0b, 32), (SHA384, 48)], true),
        (vec![], false),
        (vec![(0x0b, 32)], false),
        (vec![(SHA384, 32)], false),
        (vec![(SHA384, 48), (SHA384, 48)], false),
        ((0..9).map(|id| (id, 48)).collect(), false),
    ] {
        assert_eq!(
            Log::parse(&header(&algorithms)).is_ok(),
            good,
            "{algorithms:?}"
        );
    }
    let mut other = header(&[(SHA384, 48)]);
    other[4] = 1;
    assert!(matches!(Log::parse(&other), Err(LogError::Header(_))));
    let mut digest = header(&[(SHA384, 48)]);
    digest[8] = 1;
    assert!(matches!(Log::parse(&digest), Err(LogError::Header(_))));
    let mut signature = header(&[(SHA384, 48)]);
    signature[32] ^= 1;
    assert!(matches!(Log::parse(&signature), Err(LogError::Header(_))));
}

#[test]
fn an_event_has_the_headers_digests_and_sha384_among_them() {
    let with = |digests: &[(u16, usize)]| {
        let mut log = header(&[(0x0b, 32), (SHA384, 48)]);
        log.extend(1_u32.to_le_bytes());
        log.extend(EV_SEPARATOR.to_le_bytes());
        log.extend((digests.len() as u32).to_le_bytes());
        for (id, size) in digests {
            log.extend(id.to_le_bytes());
            log.extend(vec![1; *size]);
        }
        log.extend(0_u32.to_le_bytes());
        log
    };
    assert!(Log::parse(&with(&[(0x0b, 32), (SHA384, 48)])).is_ok());
    assert!(Log::parse(&with(&[(SHA384, 48)])).is_ok());
    assert_eq!(Log::parse(&with(&[(0x0b, 32)])), Err(LogError::NoSha384(0)));
    for digests in [
        [(SHA384, 48), (SHA384, 48)].as_slice(),
        &[(0x0d, 48)],
        &[(0x0b, 32), (SHA384, 48), (0x0b, 32)],
    ] {
        assert_eq!(Log::parse(&with(digests)), Err(LogError::Algorithms(0)));
    }
}

#[test]
fn only_the_run_time_registers_are_extended() {
    for register in [0, 5, 255, u32::MAX - 1] {
        let mut log = small();
        separator(&mut log, register);
        assert_eq!(
            Log::parse(&log),
            Err(LogError::Register { event: 4, register })
        );
    }
    let mut log = small();
    push(&mut log, 0, EV_NO_ACTION, b"", b"StartupLocality\0\x03");
    let log = Log::parse(&log).unwrap();
    assert_eq!(log.events[4].rtmr, None);
    assert_eq!(log.replay(), Log::parse(&small()).unwrap().replay());
}

#[test]
fn data_that_is_not_what_was_measured_is_found() {
    let mut log = header(&[(SHA384, 48)]);
    let (on, off) = (
        variable(GLOBAL, "SecureBoot", &[1]),
        variable(GLOBAL, "SecureBoot", &[0]),
    );
    push(&mut log, 1, kind::EV_EFI_VARIABLE_DRIVER_CONFIG, &off, &on);
    separator(&mut log, 1);
    let parsed = Log::parse(&log).unwrap();
    assert_eq!(parsed.first_unbound().map(|(at, _)| at), Some(0));
    assert_eq!(secure_boot(&log), SecureBoot::Unknown);
}

/// A kernel can extend RTMR0 too; and a log may call an event what it likes.
#[test]
fn secure_boot_is_what_the_firmware_measured_and_nobody_after_it() {
    let state = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut log = header(&[(SHA384, 48)]);
        build(&mut log);
        secure_boot(&log)
    };
    let on = |log: &mut Vec<u8>| push_variable(log, "SecureBoot", &[1]);
    let off = |log: &mut Vec<u8>| push_variable(log, "SecureBoot", &[0]);
    let end = |log: &mut Vec<u8>| separator(log, 1);
    assert_eq!(
        state(&|log| {
            on(log);
            end(log)
        }),
        SecureBoot::On
    );
    assert_eq!(
        state(&|log| {
            off(log);
            end(log)
        }),
        SecureBoot::Off
    );
    assert_eq!(
        state(&|log| {
            push_variable(log, "SecureBoot", &[]);
            end(log)
        }),
        SecureBoot::Off
    );
    assert_eq!(
        state(&|log| {
            push_variable(log, "SecureBoot", &[2]);
            end(log)
        }),
        SecureBoot::Unknown
    );
    // No separator, two of them, one too late, none.
    assert_eq!(state(&|log| on(log)), SecureBoot::Unknown);
    assert_eq!(
        state(&|log| {
            on(log);
            on(log);
            end(log)
        }),
        SecureBoot::Unknown
    );
    assert_eq!(
        state(&|log| {
            off(log);
            end(log);
            on(log)
        }),
        SecureBoot::Off
    );
    assert_eq!(
        state(&|log| {
            end(log);
            on(log)
        }),
        SecureBoot::Unknown
    );
    assert_eq!(state(&|log| end(log)), SecureBoot::Unknown);
    // The true one is called something else, and the separator too.
    let hidden = variable(GLOBAL, "SecureBoot", &[0]);
    assert_eq!(
        state(&|log| {
            push(log, 1, kind::EV_IPL, &hidden, b"x");
            push(log, 1, kind::EV_IPL, &[0; 4], b"y");
            on(log);
            end(log);
        }),
        SecureBoot::Unknown
    );
    // In another register, or of another vendor.
    let data = variable(GLOBAL, "SecureBoot", &[1]);
    assert_eq!(
        state(&|log| {
            push(log, 2, kind::EV_EFI_VARIABLE_DRIVER_CONFIG, &data, &data);
            end(log);
        }),
        SecureBoot::Unknown
    );
    let data = variable([7; 16], "SecureBoot", &[1]);
    assert_eq!(
        state(&|log| {
            push(log, 1, kind::EV_EFI_VARIABLE_DRIVER_CONFIG, &data, &data);
            end(log);
        }),
        SecureBoot::Unknown
    );
}

#[test]
fn a_command_line_counts_if_it_was_measured_and_is_the_only_one() {
    let line = |events: &[(&[u8], &[u8])]| {
        let mut log = header(&[(SHA384, 48)]);
        for (measured, data) in events {
            push(&mut log, 3, kind::EV_IPL, measured, data);
        }
        Boot::read(&Log::parse(&log).unwrap()).command_line
    };
    assert_eq!(
        line(&[(b"a", b"kernel_cmdline: a\0")]).as_deref(),
        Some("a")
    );
    assert_eq!(line(&[(b"b", b"kernel_cmdline: a\0")]), None);
    assert_eq!(
        line(&[
            (b"a", b"kernel_cmdline: a\0"),
            (b"b", b"kernel_cmdline: b\0")
        ]),
        None
    );
}

#[test]
fn steps_of_every_kind_are_shown() {
    let mut log = header(&[(SHA384, 48)]);
    let mut image = vec![0; 24];
    let path: Vec<u8> = "\\EFI\\BOOT\\grub.efi\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut node = vec![4, 4];
    node.extend((path.len() as u16 + 4).to_le_bytes());
    node.extend(&path);
    node.extend([0x7f, 0xff, 4, 0]);
    image.extend((node.len() as u64).to_le_bytes());
    image.extend(&node);
    push(
        &mut log,
        2,
        kind::EV_EFI_BOOT_SERVICES_APPLICATION,
        b"pe",
        &image,
    );
    push(
        &mut log,
        3,
        kind::EV_IPL,
        b"set x=1",
        b"grub_cmd: set x=1\0",
    );
    push(&mut log, 3, kind::EV_IPL, b"ELF", b"/vmlinuz\0");
    let mut tagged = 0x8f3b_22ec_u32.to_le_bytes().to_vec();
    tagged.extend(13_u32.to_le_bytes());
    tagged.extend(b"Linux initrd\0");
    push(&mut log, 3, kind::EV_EVENT_TAG, b"cpio", &tagged);
    let boot = Boot::read(&Log::parse(&log).unwrap());
    let seen: Vec<_> = boot
        .chain
        .iter()
        .map(|step| (step.kind, step.text.as_str(), step.text_measured))
        .collect();
    assert_eq!(
        seen,
        [
            (StepKind::Application, "\\EFI\\BOOT\\grub.efi", false),
            (StepKind::GrubCommand, "set x=1", true),
            (StepKind::File, "/vmlinuz", false),
            (StepKind::Initrd, "Linux initrd", false),
        ]
    );
    // A path whose node is shorter than its own header.
    let mut broken = image.clone();
    broken[34..36].copy_from_slice(&3_u16.to_le_bytes());
    let mut log = header(&[(SHA384, 48)]);
    push(
        &mut log,
        2,
        kind::EV_EFI_BOOT_SERVICES_APPLICATION,
        b"pe",
        &broken,
    );
    let boot = Boot::read(&Log::parse(&log).unwrap());
    assert_eq!(boot.chain[0].text, "an image with no file path");
}

#[test]
fn no_code_can_be_left_out_of_the_boot_chain() {
    let code = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut log = header(&[(SHA384, 48)]);
        build(&mut log);
        Boot::read(&Log::parse(&log).unwrap()).code.len()
    };
    let action = b"Exit Boot Services Invocation";
    assert_eq!(
        code(&|log| {
            separator(log, 2);
            push(log, 2, kind::EV_EFI_ACTION, action, action);
            push(log, 2, kind::EV_EFI_GPT_EVENT, b"EFI PART", b"EFI PART");
            // Another register.
            push(log, 3, kind::EV_EFI_BOOT_SERVICES_APPLICATION, b"MZ", b"");
        }),
        0
    );
    // A program, whatever it is called, and with its own bytes as data.
    for (kind, data) in [
        (kind::EV_EFI_BOOT_SERVICES_APPLICATION, &b""[..]),
        (kind::EV_EFI_ACTION, b"MZ"),
        (kind::EV_EFI_ACTION, action),
        (EV_SEPARATOR, b"MZ"),
        (EV_SEPARATOR, &[0; 4]),
        (kind::EV_EFI_GPT_EVENT, b"MZ"),
        (kind::EV_EFI_GPT_EVENT, b"EFI PART"),
        (0x77, b""),
    ] {
        assert_eq!(code(&|log| push(log, 2, kind, b"MZ", data)), 1, "{kind:#x}");
    }
}
