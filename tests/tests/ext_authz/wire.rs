//! Protobuf by hand, so that the router's messages are read by something else than what wrote them
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A field of bytes: a text, or a message.
pub(crate) fn field(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut out = varint(u64::from(number << 3 | 2));
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

/// A field of a number.
pub(crate) fn number(number: u32, value: u64) -> Vec<u8> {
    let mut out = varint(u64::from(number << 3));
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A message's fields, in order.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<(u32, Field)>);

#[derive(Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    pub(crate) fn parse(mut rest: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Number(take_varint(&mut rest)),
                2 => {
                    let length = take_varint(&mut rest) as usize;
                    let (content, after) = rest.split_at(length);
                    rest = after;
                    Field::Bytes(content.to_vec())
                }
                kind => panic!("a field of kind {kind}"),
            };
            fields.push(((key >> 3) as u32, field));
        }
        Self(fields)
    }

    pub(crate) fn number(&self, number: u32) -> u64 {
        let mut found = self.0.iter().filter(|(n, _)| *n == number);
        match found.next() {
            None => 0,
            Some((_, Field::Number(value))) => *value,
            Some((_, Field::Bytes(_))) => panic!("field {number} is no number"),
        }
    }

    pub(crate) fn all(&self, number: u32) -> Vec<&[u8]> {
        let found = self.0.iter().filter(|(n, _)| *n == number);
        found
            .map(|(_, field)| match field {
                Field::Bytes(content) => content.as_slice(),
                Field::Number(_) => panic!("field {number} is a number"),
            })
            .collect()
    }

    pub(crate) fn text(&self, number: u32) -> String {
        let found = self.all(number);
        let first = found.first().copied().unwrap_or_default();
        String::from_utf8(first.to_vec()).unwrap()
    }

    pub(crate) fn message(&self, number: u32) -> Option<Message> {
        self.all(number).first().map(|content| Self::parse(content))
    }

    pub(crate) fn messages(&self, number: u32) -> Vec<Message> {
        self.all(number).into_iter().map(Self::parse).collect()
    }
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, after) = rest.split_first().expect("a whole number");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}
