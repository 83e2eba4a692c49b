//! Messages of protocol buffers, as far as they are written here.

const VARINT: u64 = 0;
const FIXED: u64 = 1;
const LENGTH: u64 = 2;

/// The field `id` of a message: a whole number.
pub fn number(out: &mut Vec<u8>, id: u64, value: u64) {
    varint(out, id << 3 | VARINT);
    varint(out, value);
}

/// Eight bytes: a whole number of fixed length.
pub fn fixed(out: &mut Vec<u8>, id: u64, value: u64) {
    varint(out, id << 3 | FIXED);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Eight bytes: a floating point number.
pub fn double(out: &mut Vec<u8>, id: u64, value: f64) {
    fixed(out, id, value.to_bits());
}

/// Text. None is what a reader takes for the empty one.
pub fn text(out: &mut Vec<u8>, id: u64, value: &str) {
    if !value.is_empty() {
        head(out, id, value.len());
        out.extend_from_slice(value.as_bytes());
    }
}

/// Numbers of eight bytes, one after the other.
pub fn packed(out: &mut Vec<u8>, id: u64, values: impl ExactSizeIterator<Item = u64>) {
    head(out, id, values.len() * 8);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A message within, which `write` appends to.
pub fn message(out: &mut Vec<u8>, id: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let length = out.len() - start;
    // What stands before it is known only now.
    head(out, id, length);
    out[start..].rotate_left(length);
}

/// What stands before `length` bytes of a text or a message.
pub fn head(out: &mut Vec<u8>, id: u64, length: usize) {
    varint(out, id << 3 | LENGTH);
    varint(out, length as u64);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_documented() {
        let mut out = Vec::new();
        number(&mut out, 1, 150);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        text(&mut out, 2, "testing");
        assert_eq!(out, b"\x12\x07testing");
        out.clear();
        message(&mut out, 3, |out| number(out, 1, 150));
        assert_eq!(out, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        out.clear();
        packed(&mut out, 16, [1, u64::MAX].into_iter());
        assert_eq!(out[..11], [0x82, 0x01, 0x10, 1, 0, 0, 0, 0, 0, 0, 0]);
        out.clear();
        message(&mut out, 1, |out| out.extend_from_slice(&[7; 300]));
        assert_eq!((&out[..3], out.len()), (&[0x0a, 0xac, 0x02][..], 303));
        assert!(out[3..].iter().all(|byte| *byte == 7));
    }
}
