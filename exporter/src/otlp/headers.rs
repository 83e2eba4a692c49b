//! Headers that are sent along.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderName, HeaderValue};

/// A header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value, which is not shown where headers are logged.
    pub value: HeaderValue,
}

/// The most that a file may hold, in bytes and in headers.
const MAX_BYTES: u64 = 64 << 10;
const MAX_HEADERS: usize = 64;

/// Those that the push itself decides.
const OWN: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl Header {
    fn of(name: &str, value: &str) -> Result<Self, String> {
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("{:?} is no name of a header", name.trim()))?;
        if OWN.contains(&name) {
            return Err(format!("{name} is the exporter's to say"));
        }
        let value = HeaderValue::from_str(value.trim());
        // What is wrong is not told: it may be a secret.
        let mut value = value.map_err(|_| format!("the value of {name} can not be sent"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
        Self::of(name, value)
    }
}

/// Reads a file of headers: `NAME: VALUE` on each line that is not empty and does not begin
/// with `#`.
pub fn read(path: &Path) -> anyhow::Result<Vec<Header>> {
    let place = path.display();
    let mut bytes = Vec::new();
    // A pipe that nobody writes to would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    file.and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| anyhow::anyhow!("can not read {place}: {error}"))?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_BYTES, "{place} holds more than {MAX_BYTES} bytes");
    let text = str::from_utf8(&bytes).map_err(|_| anyhow::anyhow!("{place} is no UTF-8"))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let headers: Vec<_> = said
        .map(|(number, line)| {
            let pair = line.split_once(':').ok_or_else(|| "give NAME: VALUE".to_owned());
            let header = pair.and_then(|(name, value)| Header::of(name, value));
            header.map_err(|why| anyhow::anyhow!("{place}:{number}: {why}"))
        })
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(headers.len() <= MAX_HEADERS, "{place} holds more than {MAX_HEADERS} headers");
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header: Header = "X-Scope-OrgID=a=b".parse().expect("a header");
        assert_eq!((header.name.as_str(), header.value.as_bytes()), ("x-scope-orgid", &b"a=b"[..]));
        assert!(header.value.is_sensitive());
        for (bad, why) in [
            ("x", "give NAME=VALUE"),
            ("=x", "no name of a header"),
            ("a b=x", "no name of a header"),
            ("Content-Length=1", "the exporter's to say"),
            ("a=secret\n", ""),
            ("a=sec\u{7f}ret", "can not be sent"),
        ] {
            match bad.parse::<Header>() {
                Ok(header) => assert_eq!(header.value, "secret", "{bad}"),
                Err(found) => {
                    assert!(found.contains(why) && !found.contains("sec"), "{bad}: {found}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_headers_is_read_and_faults_name_the_line() {
        let path = std::env::temp_dir().join(format!("memgap-headers-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).expect("a scratch file");
            let found = read(&path).map_err(|error| error.to_string());
            std::fs::remove_file(&path).expect("it was written");
            found
        };
        let found = read("# token\nAuthorization: Bearer a:b\n\n X-A :1\n").expect("two headers");
        let found: Vec<_> = found.iter().map(|h| (h.name.as_str(), h.value.as_bytes())).collect();
        assert_eq!(found, [("authorization", &b"Bearer a:b"[..]), ("x-a", b"1")]);
        let wrong = read("X-A: 1\nsecret\n").expect_err("no header");
        assert_eq!(wrong, format!("{}:2: give NAME: VALUE", path.display()));
        assert!(read(&"a".repeat(65 << 10)).is_err());
        assert!(read(&"X-A: 1\n".repeat(65)).is_err());
        assert!(super::read(&path).is_err());
    }
}
