//! Protocol buffers, as far as a few calls of the CRI need them: texts, numbers and messages in messages.
//!
//! Knows no field of any message.

/// A message in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn texts(self, field: u64, values: &[&str]) -> Self {
        values.iter().fold(self, |message, value| message.text(field, value))
    }

    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub(super) fn message(self, field: u64, inner: &Message) -> Self {
        self.bytes(field, &inner.0)
    }

    /// One message for each pair: an entry of a map, or a `KeyValue`.
    pub(super) fn pairs(self, field: u64, pairs: &[(&str, &str)]) -> Self {
        pairs
            .iter()
            .fold(self, |message, (key, value)| message.message(field, &Message::default().text(1, key).text(2, value)))
    }

    /// The message as gRPC sends it: not compressed, and its length before it.
    pub(super) fn framed(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap().to_be_bytes();
        [&[0], &length[..], &self.0].concat()
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The last text, bytes or message of this field; nothing where the message has none.
pub(super) fn bytes(message: &[u8], field: u64) -> &[u8] {
    let of_field = fields(message).into_iter().rev().find(|(number, ..)| *number == field);
    of_field.map_or(&[], |(_, _, bytes)| bytes)
}

/// The last number of this field; 0 where the message has none, as the format has it.
pub(super) fn number(message: &[u8], field: u64) -> u64 {
    fields(message).into_iter().rev().find(|(found, ..)| *found == field).map_or(0, |(_, value, _)| value)
}

/// Number, value of a number, content of anything else.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message);
        let (value, length) = match tag & 7 {
            0 => (take_varint(&mut message), 0),
            2 => (0, take_varint(&mut message) as usize),
            other => panic!("a field of the type {other}"),
        };
        let (content, rest) = message.split_at(length);
        found.push((tag >> 3, value, content));
        message = rest;
    }
    found
}

fn take_varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0.. {
        let (byte, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[test]
fn what_is_written_is_read_again() {
    let inner = Message::default().text(1, "a").number(3, 300);
    let outer = Message::default().message(15, &inner).texts(2, &["b", "c"]).pairs(200, &[("k", "v")]).number(4, 0);
    assert_eq!(outer.framed().len(), 5 + outer.0.len());
    assert_eq!(bytes(bytes(&outer.0, 15), 1), b"a");
    assert_eq!(number(bytes(&outer.0, 15), 3), 300);
    assert_eq!((bytes(&outer.0, 2), number(&outer.0, 4)), (&b"c"[..], 0));
    assert_eq!(bytes(bytes(&outer.0, 200), 2), b"v");
    assert_eq!(bytes(&outer.0, 9), b"");
}
