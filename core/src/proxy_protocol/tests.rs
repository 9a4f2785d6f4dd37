use super::*;

/// Feeds a connection's bytes as a driver does. Returns the client and the bytes that are left.
fn fed(bytes: &[u8]) -> Result<(Option<SocketAddr>, &[u8]), ProxyHeaderError> {
    let mut had = 0;
    loop {
        match read(&bytes[..had])? {
            Step::Done { client } => return Ok((client, &bytes[had..])),
            Step::More(more) => {
                assert!(more > 0 && had + more <= HEADER_MAX, "{had} + {more}");
                had += more;
                if had > bytes.len() {
                    return Err(ProxyHeaderError("ended"));
                }
            }
        }
    }
}

/// A version 2 header, with this family, and the client's bytes after it.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &len, rest, b"GET /"].concat()
}

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0x01, 0xbb];

#[test]
fn takes_the_header_and_not_a_byte_of_the_client() {
    let v6 = "PROXY TCP6 2001:db8::7 2001:db8::1 8080 443\r\n";
    let mapped = "PROXY TCP6 ::ffff:192.0.2.7 ::1 8080 443\r\n";
    for (line, client) in [
        (
            "PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n",
            Some("192.0.2.7:8080"),
        ),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Some("1.1.1.1:1")),
        (v6, Some("[2001:db8::7]:8080")),
        (mapped, Some("192.0.2.7:8080")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 whatever\r\n", None),
    ] {
        // What follows may look like an end of line, too.
        for after in ["GET / HTTP/1.1\r\n", "\r\n\r\n", ""] {
            let bytes = [line, after].concat();
            let client = client.map(|client| client.parse().unwrap());
            assert_eq!(
                fed(bytes.as_bytes()),
                Ok((client, after.as_bytes())),
                "{line}"
            );
        }
    }
    let client = Some("192.0.2.7:8080".parse().unwrap());
    let after = &b"GET /"[..];
    assert_eq!(fed(&binary(0x21, 0x11, &V4)), Ok((client, after)));
    let with_extension = [&V4[..], &[0x04, 0, 2, 1, 2]].concat();
    assert_eq!(
        fed(&binary(0x21, 0x11, &with_extension)),
        Ok((client, after))
    );
    let mut v6 = [0; 36];
    v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    v6[32..34].copy_from_slice(&8080_u16.to_be_bytes());
    let client = Some("[2001:db8::7]:8080".parse().unwrap());
    assert_eq!(fed(&binary(0x21, 0x21, &v6)), Ok((client, after)));
    for (command, family, rest) in [(0x20, 0x00, &[][..]), (0x20, 0x11, &V4), (0x21, 0x00, &[9])] {
        assert_eq!(fed(&binary(command, family, rest)), Ok((None, after)));
    }
}

#[test]
fn invalid_headers_are_refused() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        " PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n",
        "PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNX 1.1.1.1\r\n",
        "PROXY TCP4\r1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n",
        "PROXY \r\n",
    ] {
        assert!(fed(line.as_bytes()).is_err(), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX));
    assert_eq!(
        fed(long.as_bytes()),
        Err(ProxyHeaderError("the line is too long"))
    );
    let extension = |tail: &[u8]| [&V4[..], tail].concat();
    for (command, family, rest) in [
        (0x11, 0x11, V4.to_vec()),
        (0x31, 0x11, V4.to_vec()),
        (0x22, 0x11, V4.to_vec()),
        (0x21, 0x12, V4.to_vec()),
        (0x21, 0x31, vec![0; 216]),
        (0x21, 0x01, V4.to_vec()),
        (0x21, 0x11, V4[..11].to_vec()),
        (0x21, 0x21, vec![0; 35]),
        (0x21, 0x11, extension(&[4])),
        (0x21, 0x11, extension(&[4, 0, 2, 1])),
        (0x21, 0x11, vec![0; HEADER_MAX]),
    ] {
        let bytes = binary(command, family, &rest);
        assert!(
            fed(&bytes).is_err(),
            "{command:x} {family:x} {}",
            rest.len()
        );
    }
}

#[test]
fn the_first_wrong_byte_is_enough() {
    for bytes in [&b"G"[..], b"PROXX", b"\r\n\r\n\0\r\nQUIP"] {
        assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}
