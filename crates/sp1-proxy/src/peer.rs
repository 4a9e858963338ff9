//! Whose process is at the other end of a loopback connection: the kernel's
//! table of TCP connections says it (proc(5), `/proc/net/tcp`). It reads
//! those tables and nothing else.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// An established connection, by the kernel's number.
const ESTABLISHED: &str = "01";
/// The table may shift while it is read, and miss a line.
const LOOKS: u32 = 5;

/// The user id of the process at the other end of an established connection
/// from `peer` to `own`, both on this machine. `None`: there is none any more.
///
/// # Errors
/// If the kernel's tables cannot be read.
pub(crate) async fn owner(own: SocketAddr, peer: SocketAddr) -> io::Result<Option<u32>> {
    let tables: &[&str] = if peer.is_ipv4() {
        // A socket of IPv6 may speak IPv4.
        &["/proc/self/net/tcp", "/proc/self/net/tcp6"]
    } else {
        &["/proc/self/net/tcp6"]
    };
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        for path in tables {
            let table = match tokio::fs::read_to_string(path).await {
                Ok(table) => table,
                // A kernel without IPv6.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // The other end's own line: there, what is remote is us.
            if let Some(user) = find(&table, peer, own) {
                return Ok(Some(user));
            }
        }
    }
    Ok(None)
}

/// The user of the established connection from `local` to `remote`.
fn find(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ends = (address(fields.next()?)?, address(fields.next()?)?);
        if ends != (plain(local), plain(remote)) || fields.next()? != ESTABLISHED {
            return None;
        }
        // Queues, timer, retransmissions; then the user.
        fields.nth(3)?.parse().ok()
    })
}

/// IPv4 inside IPv6 is IPv4; scope and flow do not count.
fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: the address as words of this machine's own byte order.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !words.is_ascii() {
        return None;
    }
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = words.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0000 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     7        0 3 1 0000 20 4 30 10 -1
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00000D7E 00000000     0        0 0 3 0000
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_other_ends_line_is_taken_and_only_if_established() {
        let own: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(find(TABLE, at(50000), own), Some(1000));
        // A connection that is over belongs to nobody, and the kernel says 0.
        assert_eq!(find(TABLE, at(50001), own), None);
        assert_eq!(find(TABLE, at(50002), own), None);
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:50000".parse().unwrap();
        assert_eq!(find(TABLE, mapped, own), Some(1000));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let own: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for table in [
            "",
            "x",
            "h\n\n0:\n0: a b c\n0: é:1 é:1 01 0 0 0 0",
            "h\n0: 0100007F 0100007F:1 01",
        ] {
            assert_eq!(find(table, own, own), None);
        }
        assert_eq!(
            address("00000000000000000000000001000000:0001").unwrap().1,
            1
        );
        assert_eq!(address("0100007:1"), None);
    }

    #[tokio::test]
    async fn real_connections_are_this_users() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue; // no IPv6 here
            };
            let own = listener.local_addr().unwrap();
            let _client = TcpStream::connect(own).unwrap();
            let (_accepted, peer) = listener.accept().unwrap();
            let me = rustix::process::geteuid().as_raw();
            assert_eq!(owner(own, peer).await.unwrap(), Some(me), "{host}");
        }
    }
}
