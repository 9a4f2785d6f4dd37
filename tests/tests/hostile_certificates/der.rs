//! Just enough of DER to write certificates that no library would.

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn oid(arcs: &[u8]) -> Vec<u8> {
    tlv(0x06, arcs)
}

pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    tlv(0x02, bytes)
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

/// A bit string of whole bytes.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

/// A bit string with these bits set, as named bits are written: without zeros at the end.
pub(crate) fn named_bits(set: &[u8]) -> Vec<u8> {
    let Some(last) = set.iter().max() else {
        return tlv(0x03, &[0]);
    };
    let mut bytes = vec![0; usize::from(last / 8) + 1];
    for bit in set {
        bytes[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    bytes.insert(0, 7 - last % 8);
    tlv(0x03, &bytes)
}

/// `[number]` around what is inside.
pub(crate) fn context(number: u8, inside: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, inside)
}

/// A distinguished name of one common name.
pub(crate) fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[oid(&[0x55, 0x04, 0x03]), tlv(0x0c, common.as_bytes())]);
    sequence(&[tlv(0x31, &attribute)])
}

/// A time, `YYYYMMDDHHMMSSZ`, in the form that RFC 5280 (section 4.1.2.5) has for its year.
pub(crate) fn time(text: &str) -> Vec<u8> {
    match text < "2050" {
        true => tlv(0x17, &text.as_bytes()[2..]),
        false => tlv(0x18, text.as_bytes()),
    }
}
