//! A second reader of HTTP/1.1, written for being plain: it has all bytes at once, copies what it
//! likes, and knows one thing to do about whatever is odd, which is to panic.

use std::collections::BTreeMap;

/// What the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Message {
    Request,
    Answer,
    AnswerToHead,
}

impl Message {
    pub(super) const ALL: [Self; 3] = [Self::Request, Self::Answer, Self::AnswerToHead];
}

/// Reads messages one after the other. All must be good, and only the last one's body may be
/// unfinished: what passed a guard.
///
/// # Panics
/// If they aren't.
pub(super) fn check(message: Message, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = one(message, rest);
    }
}

/// Reads one message, and returns what follows.
fn one(message: Message, bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while message == Message::Request && bytes.starts_with(b"\r\n") {
        bytes = &bytes[2..];
    }
    let end = find(bytes, b"\r\n\r\n").expect("a whole head");
    let (head, rest) = (&bytes[..end + 2], &bytes[end + 4..]);
    let (line, lines) = head.split_at(find(head, b"\r\n").expect("a first line"));
    let fields = fields(&lines[2..]);
    let status = match message {
        Message::Request => request_line(line),
        Message::Answer | Message::AnswerToHead => status_line(line),
    };
    let interim = (100..200).contains(&status);
    if interim && status != 101 {
        return rest;
    }
    let bodiless = message == Message::AnswerToHead || matches!(status, 204 | 304);
    // The bytes after a 101 are not HTTP, for any request.
    if bodiless && status != 101 {
        assert!(rest.is_empty(), "an answer that no request asked for");
        return rest;
    }
    let after = match (
        fields.get("transfer-encoding"),
        fields.get("content-length"),
    ) {
        _ if status == 101 => &[],
        (Some(coding), _) if coding.eq_ignore_ascii_case("identity") => {
            assert!(message != Message::Request && line.starts_with(b"HTTP/1.1"));
            &[]
        }
        (Some(coding), length) => {
            assert!(coding.eq_ignore_ascii_case("chunked"), "{coding}");
            assert!(line.ends_with(b"1.1") || message != Message::Request);
            assert!(
                length.is_none() || message != Message::Request,
                "two lengths"
            );
            chunks(rest)
        }
        (None, Some(length)) => after_length(message, length, rest),
        (None, None) if message == Message::Request => rest,
        (None, None) => &[],
    };
    let last = message != Message::Request;
    assert!(
        !last || after.is_empty(),
        "an answer that no request asked for"
    );
    after
}

/// What follows a body of this length. An answer may repeat the same length in one field.
fn after_length<'a>(message: Message, length: &str, rest: &'a [u8]) -> &'a [u8] {
    let mut lengths = length.split(',').map(|it| it.trim_matches([' ', '\t']));
    let length = lengths.next().expect("one");
    assert!(
        length.bytes().all(|digit| digit.is_ascii_digit()),
        "{length}"
    );
    for other in lengths {
        let same = other.trim_start_matches('0') == length.trim_start_matches('0');
        assert!(same && message != Message::Request, "{other} and {length}");
    }
    let length: usize = length.parse().expect("a number");
    &rest[length.min(rest.len())..]
}

fn request_line(line: &[u8]) -> u16 {
    let line = std::str::from_utf8(line).expect("UTF-8");
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else {
        panic!("not three words: {line:?}");
    };
    assert!(
        !method.is_empty() && method.bytes().all(tchar),
        "{method:?}"
    );
    assert!(matches!(version, "HTTP/1.0" | "HTTP/1.1"), "{version:?}");
    let odd = |c: char| c.is_control() && c.is_ascii() || "#<>\"".contains(c);
    assert!(!target.is_empty() && !target.contains(odd), "{target:?}");
    target.parse::<http::Uri>().expect("a target");
    0
}

fn status_line(line: &[u8]) -> u16 {
    let version = &line[..9];
    assert!(
        matches!(version, b"HTTP/1.0 " | b"HTTP/1.1 "),
        "{version:?}"
    );
    assert!(matches!(line.get(12), None | Some(b' ')));
    assert!(!line.iter().any(control));
    let code = std::str::from_utf8(&line[9..12]).expect("digits");
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()));
    let code = code.parse().expect("three digits");
    assert!(code >= 100);
    code
}

/// Fields by name, several of one name as a list.
fn fields(lines: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::<String, String>::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").expect("the end of a line");
        let line = &rest[..end];
        rest = &rest[end + 2..];
        assert!(!line.iter().any(control), "{line:?}");
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        assert!(
            !name.is_empty() && name.iter().copied().all(tchar),
            "{name:?}"
        );
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = String::from_utf8_lossy(value);
        let value = value.trim_matches([' ', '\t']);
        let list = fields.entry(name).and_modify(|list| list.push(','));
        list.or_default().push_str(value);
    }
    fields
}

/// Reads a chunked body, as far as it goes.
fn chunks(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").expect("a whole size");
        let size = std::str::from_utf8(&rest[..end]).expect("digits");
        assert!(
            !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{size:?}"
        );
        let size = u64::from_str_radix(size, 16).expect("64 bits");
        rest = &rest[end + 2..];
        if size == 0 {
            // A trailer section passes whole or not at all.
            if rest.is_empty() {
                return rest;
            }
            if let Some(rest) = rest.strip_prefix(b"\r\n") {
                return rest;
            }
            let end = find(rest, b"\r\n\r\n").expect("whole trailers");
            fields(&rest[..end + 2]);
            return &rest[end + 4..];
        }
        let Some(data) = usize::try_from(size).ok().and_then(|size| rest.get(size..)) else {
            return &[];
        };
        rest = match data {
            [] => return &[],
            data => data.strip_prefix(b"\r\n").expect("the end of a chunk"),
        };
    }
    rest
}

fn control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

fn tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
