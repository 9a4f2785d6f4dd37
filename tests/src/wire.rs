//! Protobuf by hand, so that the router's messages are read by something else than what wrote them
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A field of bytes: a text, or a message.
pub fn field(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut out = varint(u64::from(number << 3 | 2));
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

/// A field of a number.
pub fn number(number: u32, value: u64) -> Vec<u8> {
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
pub struct Message(Vec<(u32, Field)>);

#[derive(Debug)]
enum Field {
    Number(u64),
    Fixed(u64),
    Bytes(Vec<u8>),
}

impl Message {
    /// Reads a message.
    pub fn parse(mut rest: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Number(take_varint(&mut rest)),
                1 => {
                    let (fixed, after) = rest.split_first_chunk().expect("eight bytes");
                    rest = after;
                    Field::Fixed(u64::from_le_bytes(*fixed))
                }
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

    /// The number in this field. 0 if it is missing.
    pub fn number(&self, number: u32) -> u64 {
        let mut found = self.0.iter().filter(|(n, _)| *n == number);
        match found.next() {
            None => 0,
            Some((_, Field::Number(value) | Field::Fixed(value))) => *value,
            Some((_, Field::Bytes(_))) => panic!("field {number} is no number"),
        }
    }

    /// The bytes of each field with this number.
    pub fn all(&self, number: u32) -> Vec<&[u8]> {
        let found = self.0.iter().filter(|(n, _)| *n == number);
        found
            .map(|(_, field)| match field {
                Field::Bytes(content) => content.as_slice(),
                Field::Number(_) | Field::Fixed(_) => panic!("field {number} is a number"),
            })
            .collect()
    }

    /// The text in this field. Empty if it is missing.
    pub fn text(&self, number: u32) -> String {
        let found = self.all(number);
        let first = found.first().copied().unwrap_or_default();
        String::from_utf8(first.to_vec()).expect("UTF-8")
    }

    /// The text in this field, if the message has it.
    pub fn text_or_none(&self, number: u32) -> Option<String> {
        let has = self.0.iter().any(|(n, _)| *n == number);
        has.then(|| self.text(number))
    }

    /// The message in this field.
    pub fn message(&self, number: u32) -> Option<Self> {
        self.all(number).first().map(|content| Self::parse(content))
    }

    /// All messages in fields with this number.
    pub fn messages(&self, number: u32) -> Vec<Self> {
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
