//! The header ahead of a connection's bytes, by which a load balancer names the client.

use cellway_core::proxy_protocol::{HEADER_MAX, Step, read};

/// However the bytes come, the same ones are the header, and none is asked for that isn't needed.
pub(super) fn run(bytes: &[u8]) {
    let mut had = 0;
    loop {
        match read(&bytes[..had]) {
            Err(_) => break,
            Ok(Step::More(more)) => {
                assert!(more > 0, "it would be asked without end");
                had += more;
                assert!(had <= HEADER_MAX, "{had} bytes");
                if had > bytes.len() {
                    break;
                }
            }
            Ok(Step::Done { client }) => {
                let header = &bytes[..had];
                assert!(had > 0 && read(header) == Ok(Step::Done { client }));
                let line = header.starts_with(b"PROXY ") && header.ends_with(b"\r\n");
                assert!(line || header.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
                // One byte less isn't whole, and one more was never asked for.
                assert_ne!(read(&header[..had - 1]), Ok(Step::Done { client }));
                break;
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let v4 =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\0\x50\x04\0\0GET /";
    let mut v6 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    v6.extend([1; 36]);
    vec![
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\nGET / HTTP/1.1\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::9 ::1 4711 443\r\n".to_vec(),
        b"PROXY UNKNOWN ffff\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 04711 443\r\n".to_vec(),
        v4.to_vec(),
        v6,
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
    ]
}
