//! The PROXY protocol, versions 1 and 2: the header that a load balancer sends before a client's
//! bytes (HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2).
//!
//! [`read`] looks at the bytes so far and says how many more to read. It never asks for a byte that
//! could be the client's, so that nothing must be put back. The caller must know whether to trust
//! the peer, because any peer can claim any address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most bytes of a version 1 line, including its end.
const LINE_MAX: usize = 107;
/// The most bytes of a version 2 header: addresses, and room for extensions (TLVs).
pub const HEADER_MAX: usize = 2048;

/// The start of a version 1 line.
const LINE: &[u8] = b"PROXY ";
/// The start of a version 2 header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The length of the fixed part: signature, version and command, family, length.
const FIXED: usize = 16;

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Read this many more bytes, at least one, and call again with all of them.
    More(usize),
    /// The header is complete, and it is all of the bytes.
    Done {
        /// The client's address. `None` if the connection is the peer's own (a health check), or if
        /// the peer doesn't know the client.
        client: Option<SocketAddr>,
    },
}

/// The bytes are not a valid header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProxyHeaderError(
    /// What is wrong with them.
    pub &'static str,
);

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ProxyHeaderError {}

/// Looks at the first bytes of a connection.
///
/// # Errors
/// The bytes can't be the start of a valid header.
pub fn read(bytes: &[u8]) -> Result<Step, ProxyHeaderError> {
    if bytes.len() < SIGNATURE.len() {
        let begins =
            LINE.starts_with(&bytes[..bytes.len().min(LINE.len())]) || SIGNATURE.starts_with(bytes);
        // The shortest line, `PROXY UNKNOWN` and its end, is longer than the signature.
        return match begins {
            true => Ok(Step::More(SIGNATURE.len() - bytes.len())),
            false => Err(ProxyHeaderError("does not begin like PROXY version 1 or 2")),
        };
    }
    if bytes.starts_with(SIGNATURE) {
        version_2(bytes)
    } else if bytes.starts_with(LINE) {
        version_1(bytes)
    } else {
        Err(ProxyHeaderError("does not begin like PROXY version 1 or 2"))
    }
}

fn version_1(bytes: &[u8]) -> Result<Step, ProxyHeaderError> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        if bytes.len() >= LINE_MAX {
            return Err(ProxyHeaderError("the line is too long"));
        }
        // The line's end is two bytes, so reading two is safe until its first byte has come.
        let more = match bytes.last() {
            Some(b'\r') => 1,
            _ => 2.min(LINE_MAX - bytes.len()),
        };
        return Ok(Step::More(more));
    };
    if end + 1 != bytes.len() {
        return Err(ProxyHeaderError(
            "the connection ended before the end of the line",
        ));
    }
    let line = bytes[LINE.len()..end]
        .strip_suffix(b"\r")
        .ok_or(ProxyHeaderError("the line doesn't end in CR LF"))?;
    let line =
        std::str::from_utf8(line).map_err(|_| ProxyHeaderError("the line is not ASCII text"))?;
    if line.contains('\r') {
        return Err(ProxyHeaderError("the line contains a CR"));
    }
    // Everything after UNKNOWN is ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Step::Done { client: None });
    }
    let parts: Vec<&str> = line.split(' ').take(6).collect();
    let [family, source, destination, source_port, destination_port] = parts[..] else {
        return Err(ProxyHeaderError("the line does not have five parts"));
    };
    let address = match family {
        "TCP4" => |text: &str| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text: &str| text.parse().ok().map(IpAddr::V6),
        _ => return Err(ProxyHeaderError("the family is unknown")),
    };
    let (Some(source), Some(_)) = (address(source), address(destination)) else {
        return Err(ProxyHeaderError("an address does not match its family"));
    };
    let (Some(port), Some(_)) = (port(source_port), port(destination_port)) else {
        return Err(ProxyHeaderError("a port is invalid"));
    };
    Ok(done(source, port))
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (plain && canonical).then(|| text.parse().ok()).flatten()
}

fn version_2(bytes: &[u8]) -> Result<Step, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(Step::More(FIXED - bytes.len()));
    };
    let (command, family) = (fixed[12], fixed[13]);
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyHeaderError("version and command are unknown"));
    }
    let len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED + len > HEADER_MAX {
        return Err(ProxyHeaderError("the header is too long"));
    }
    if rest.len() < len {
        return Ok(Step::More(len - rest.len()));
    }
    if rest.len() > len {
        return Err(ProxyHeaderError(
            "the connection ended before the end of the header",
        ));
    }
    // LOCAL: a health check of the load balancer's own. The rest is ignored.
    if command == 0x20 {
        return Ok(Step::Done { client: None });
    }
    match family {
        0x00 => Ok(Step::Done { client: None }),
        0x11 => {
            let (addresses, extensions) = split::<12>(rest)?;
            check_extensions(extensions)?;
            let ip: [u8; 4] = std::array::from_fn(|i| addresses[i]);
            let port = u16::from_be_bytes([addresses[8], addresses[9]]);
            Ok(done(Ipv4Addr::from(ip).into(), port))
        }
        0x21 => {
            let (addresses, extensions) = split::<36>(rest)?;
            check_extensions(extensions)?;
            let ip: [u8; 16] = std::array::from_fn(|i| addresses[i]);
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Ok(done(Ipv6Addr::from(ip).into(), port))
        }
        _ => Err(ProxyHeaderError("the family is not TCP over IPv4 or IPv6")),
    }
}

fn split<const N: usize>(rest: &[u8]) -> Result<(&[u8; N], &[u8]), ProxyHeaderError> {
    rest.split_first_chunk()
        .ok_or(ProxyHeaderError("the addresses are cut short"))
}

/// Checks the extensions: type, length and value, one after another up to the end.
fn check_extensions(mut rest: &[u8]) -> Result<(), ProxyHeaderError> {
    const CUT: ProxyHeaderError = ProxyHeaderError("an extension is cut short");
    while let Some((head, more)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        rest = more.get(len..).ok_or(CUT)?;
    }
    match rest {
        [] => Ok(()),
        _ => Err(CUT),
    }
}

/// An IPv4-mapped IPv6 address counts as the IPv4 address.
fn done(ip: IpAddr, port: u16) -> Step {
    let client = Some(SocketAddr::new(ip.to_canonical(), port));
    Step::Done { client }
}

#[cfg(test)]
mod tests;
