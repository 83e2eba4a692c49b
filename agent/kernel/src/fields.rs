//! Texts whose every line is a name and a number: `meminfo`, `memory.stat`.

use crate::text;

/// Such a text, looked up by name. The kernel prints the names of a file in one
/// order, so each search goes on behind the last hit and starts over at the end.
pub struct Fields<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Fields<'t> {
    /// Refuses a text that does not end with a whole line: a number cut short
    /// would read as a smaller one.
    pub fn of(text: &'t [u8]) -> Result<Self, String> {
        if text.ends_with(b"\n") {
            Ok(Self { text, at: 0 })
        } else {
            Err("the last line is cut short".to_owned())
        }
    }

    /// The number behind `name`, in bytes where the kernel says kB.
    pub fn required(&mut self, name: &str) -> Result<u64, String> {
        self.optional(name)?.ok_or_else(|| format!("there is no `{name}`"))
    }

    /// As [`Self::required`], for what not every kernel prints.
    pub fn optional(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.find(name.as_bytes()) else { return Ok(None) };
        let number = text::kilobytes(value).ok_or_else(|| format!("`{name}` is not a number"))?;
        Ok(Some(number))
    }

    fn find(&mut self, name: &[u8]) -> Option<&'t [u8]> {
        let (before, behind) = self.text.split_at(self.at);
        let (value, end) = match search(behind, name) {
            Some((value, end)) => (value, self.at + end),
            None => search(before, name)?,
        };
        self.at = end;
        Some(value)
    }
}

/// The value of the first line with that name, and where the next line starts.
fn search<'t>(text: &'t [u8], name: &[u8]) -> Option<(&'t [u8], usize)> {
    let mut end = 0;
    text.split_inclusive(|b| *b == b'\n').find_map(|line| {
        end += line.len();
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b" "))?;
        Some((value.trim_ascii(), end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_order_and_whole() {
        let mut fields = Fields::of(b"file 1\nfile_mapped 2\nAnon:  3 kB\n").expect("whole");
        assert_eq!(fields.required("Anon"), Ok(3072));
        assert_eq!(fields.required("file_mapped"), Ok(2));
        assert_eq!(fields.required("file"), Ok(1));
        assert_eq!(fields.optional("fil"), Ok(None));
        assert_eq!(fields.required("mapped"), Err("there is no `mapped`".to_owned()));
    }

    #[test]
    fn cut_and_garbled_texts_are_refused() {
        assert!(Fields::of(b"").is_err());
        assert!(Fields::of(b"file 12\nanon 1").is_err());
        for bad in [&b"file -1\n"[..], b"file \n", b"file 1 2\n", b"file 1 MB\n", b"file \xff\n"] {
            assert!(Fields::of(bad).expect("whole").optional("file").is_err(), "{bad:?}");
        }
    }
}
