//! Classes of octets.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let byte = octet as u8;
        let token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let query = matches!(byte, 0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x7e | 0x80..=0xff);
        let path = query && !matches!(byte, b'?' | b'`');
        if token {
            classes[octet] |= TOKEN;
        }
        if path {
            classes[octet] |= PATH;
        }
        if query {
            classes[octet] |= QUERY;
        }
        octet += 1;
    }
    classes
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// tchar: RFC 9110, section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// How many octets at the front belong to a token.
pub(super) fn token(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !is_token(*byte))
        .unwrap_or(bytes.len())
}

/// The position of the first octet that isn't allowed in an origin-form target.
pub(super) fn not_in_target(target: &[u8]) -> Option<usize> {
    let path = target.iter().position(|byte| !is(*byte, PATH))?;
    if target[path] != b'?' {
        return Some(path);
    }
    let query = &target[path + 1..];
    let odd = query.iter().position(|byte| !is(*byte, QUERY))?;
    Some(path + 1 + odd)
}

/// Whether there is a control character other than HTAB. Few values have an HTAB, so that it is looked
/// for only where any control character was found.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    let any = in_blocks::<64>(bytes)
        .or_else(|| in_blocks::<16>(bytes))
        .or_else(|| in_blocks::<4>(bytes));
    any != Some(false) && bytes.iter().copied().any(is_control)
}

/// Whether there is any control character. It looks at blocks of a fixed size, so that the compiler can
/// vectorize it; the last overlaps the one before. `None` if there are fewer bytes than a block has.
fn in_blocks<const N: usize>(bytes: &[u8]) -> Option<bool> {
    let found = |block: &[u8; N]| {
        let add = |any, byte: &u8| any | u8::from(byte.is_ascii_control());
        block.iter().fold(0, add) != 0
    };
    let last = bytes.last_chunk()?;
    Some(bytes.as_chunks().0.iter().any(found) || found(last))
}

/// Whether it is a control character other than HTAB.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

#[cfg(test)]
mod tests;
