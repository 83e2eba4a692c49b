//! How values are written: numbers as groups of seven bits, texts and lists with their length,
//! structures with theirs, so that fields may be added at their end.

use std::sync::Arc;
use std::time::Duration;

/// How many times larger a list may be in memory than what is left of its form. Those that are
/// written are less than half of that.
const MOST_LARGER: usize = 64;

/// Something that is written into a recording and read again.
pub(super) trait Code: Sized {
    fn put(&self, out: &mut Vec<u8>);

    /// Reads it; nothing of what is not in its form.
    fn get(input: &mut Input<'_>) -> Option<Self>;

    /// What a field is in a recording that was made before there was one.
    fn before() -> Option<Self> {
        None
    }
}

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'i>(pub &'i [u8]);

impl<'i> Input<'i> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn bytes(&mut self) -> Option<&'i [u8]> {
        let length = usize::get(self)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The next field of a structure.
    pub fn field<T: Code>(&mut self) -> Option<T> {
        if self.0.is_empty() { T::before() } else { T::get(self) }
    }
}

/// Bytes with their length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.len().put(out);
    out.extend_from_slice(bytes);
}

/// What is written, with its length before it.
pub(super) fn put_framed(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    put(out);
    let length = out.len() - begin;
    length.put(out);
    let written = out.len() - begin - length;
    out[begin..].rotate_right(written);
}

/// A structure of these fields. Those that came later stand at the end, and are known to be
/// absent in what was written before.
macro_rules! fields {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl Code for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                put_framed(out, |out| { $($field.put(out);)* });
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                let mut own = Input(input.bytes()?);
                Some(Self { $($field: own.field()?),* })
            }
        }
    };
}

/// One of a closed set, by its number. A number is never given to another one.
macro_rules! numbered {
    ($type:ty { $($variant:ident = $number:literal),* $(,)? }) => {
        impl Code for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $number),* });
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                match input.byte()? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {fields, numbered};

impl Code for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push((rest & 0x7f) as u8);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let mut value = 0u64;
        for shift in (0..Self::BITS).step_by(7) {
            let byte = input.byte()?;
            let bits = Self::from(byte & 0x7f);
            let shifted = bits << shift;
            if shifted >> shift != bits {
                return None;
            }
            value |= shifted;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl Code for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(*self).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        u64::get(input)?.try_into().ok()
    }
}

impl Code for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        u64::get(input)?.try_into().ok()
    }
}

impl Code for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        // The sign last, so that numbers near 0 are short.
        (self.cast_unsigned() << 1 ^ (*self >> 63).cast_unsigned()).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let value = u64::get(input)?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

impl Code for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Code for [u8; 4] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let (first, rest) = input.0.split_first_chunk()?;
        input.0 = rest;
        Some(*first)
    }
}

impl Code for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn get(_: &mut Input<'_>) -> Option<Self> {
        Some(())
    }
}

impl Code for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let (seconds, nanos) = (u64::get(input)?, u32::get(input)?);
        (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
}

impl Code for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        std::str::from_utf8(input.bytes()?).ok().map(str::to_owned)
    }
}

impl Code for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        String::get(input).map(Into::into)
    }
}

impl Code for Box<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        String::get(input).map(Into::into)
    }
}

impl<T: Code> Code for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(if bool::get(input)? { Some(T::get(input)?) } else { None })
    }

    fn before() -> Option<Self> {
        Some(None)
    }
}

impl<T: Code, E: Code> Code for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(if bool::get(input)? { Ok(T::get(input)?) } else { Err(E::get(input)?) })
    }
}

impl<T: Code> Code for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_list(self, out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let length = usize::get(input)?;
        // A length that lies asks for no memory, nor do many that are written in next to nothing.
        if length.checked_mul(size_of::<T>())? > input.0.len().saturating_mul(MOST_LARGER) {
            return None;
        }
        let mut list = Self::new();
        for _ in 0..length {
            list.push(T::get(input)?);
        }
        Some(list)
    }

    fn before() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: Code> Code for Arc<[T]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_list(self, out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Vec::get(input).map(Into::into)
    }

    fn before() -> Option<Self> {
        Some(Arc::new([]))
    }
}

fn put_list<T: Code>(list: &[T], out: &mut Vec<u8>) {
    list.len().put(out);
    for value in list {
        value.put(out);
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some((A::get(input)?, B::get(input)?))
    }
}
