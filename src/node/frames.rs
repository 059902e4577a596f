//! One call of gRPC as bytes: HTTP/2 frames out, frames in.
//!
//! Pure, and no more than one call takes: headers are sent uncompressed and never decoded. Whether a call was answered is told by
//! its frames alone: an error has headers that end the stream and no data (gRPC over HTTP/2, Trailers-Only).

const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// The flag of data and headers after which nothing follows.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that the other side may send unasked; an engine's whole configuration is a few dozen kilobytes.
const WINDOW: u32 = 1 << 24;

/// The bytes before the payload of a frame.
pub(super) const HEAD: usize = 9;

/// What a frame is, and how long its payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// What is known after a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing new.
    Nothing,
    /// A part of the answer.
    Part,
    /// The end of the answer, or of a refusal.
    End,
}

/// All bytes of a call of `path`, such as `/runtime.v1.RuntimeService/Status`, with a small `message`.
pub(super) fn call(path: &str, message: &[u8]) -> Vec<u8> {
    let mut headers = vec![0x83, 0x86]; // :method POST, :scheme http (RFC 7541, appendix A)
    // Names of the static table: :path, :authority, content-type; then one of our own.
    for (name, value) in [(&[0x04][..], path), (&[0x01], "localhost"), (&[0x0f, 0x10], "application/grpc")] {
        headers.extend(name);
        text(&mut headers, value);
    }
    headers.push(0);
    text(&mut headers, "te");
    text(&mut headers, "trailers");
    let mut data = vec![0];
    data.extend(size(message.len()).to_be_bytes());
    data.extend(message);
    let window = [&[0, 4][..], &WINDOW.to_be_bytes()].concat(); // SETTINGS_INITIAL_WINDOW_SIZE
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &window));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &headers));
    bytes.extend(frame(DATA, END_STREAM, 1, &data));
    bytes
}

/// A string as HPACK has it, for strings below 127 bytes.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX) & 0x7f);
    bytes.extend(text.bytes());
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = size(payload.len()).to_be_bytes();
    let mut bytes = length.to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The frame that `bytes` begin.
pub(super) fn head(bytes: [u8; HEAD]) -> Head {
    let [a, b, c, kind, flags, stream @ ..] = bytes;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    Head { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
}

/// What the frame says of the call.
pub(super) fn heard(head: Head) -> Heard {
    let ends = head.flags & END_STREAM != 0;
    match (head.kind, head.stream) {
        (DATA, 1) => Heard::Part,
        (HEADERS, 1) if ends => Heard::End,
        (RST_STREAM, 1) | (GOAWAY, _) => Heard::End,
        _ => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_a_refusal_by_its_frames() {
        let heard_of = |kind, flags, stream, payload: &[u8]| {
            let bytes = frame(kind, flags, stream, payload);
            let head = head(bytes[..HEAD].try_into().unwrap());
            assert_eq!(head.length, payload.len());
            heard(head)
        };
        for (kind, flags, stream, expected) in [
            (SETTINGS, 0, 0, Heard::Nothing),
            (HEADERS, END_HEADERS, 1, Heard::Nothing),
            (DATA, 0, 1, Heard::Part),
            (HEADERS, END_HEADERS | END_STREAM, 1, Heard::End),
            (RST_STREAM, 0, 1, Heard::End),
            (GOAWAY, 0, 0, Heard::End),
            (WINDOW_UPDATE, 0, 1, Heard::Nothing),
        ] {
            assert_eq!(heard_of(kind, flags, stream, &[0; 300]), expected, "{kind}");
        }
    }

    #[test]
    fn a_call_is_framed_as_the_rfc_has_it() {
        let bytes = call("/s/M", &[8, 1]);
        assert!(bytes.starts_with(PREFACE));
        assert!(bytes.ends_with(&[0, 0, 7, DATA, END_STREAM, 0, 0, 0, 1, 0, 0, 0, 0, 2, 8, 1]));
    }
}
