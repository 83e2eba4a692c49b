//! Times as people type them: `500ms`, `10s`, `5m`, `2h`.

use std::time::Duration;

/// The longest that may be asked for.
const MOST: Duration = Duration::from_hours(24 * 366);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads one; above 0 and at most a year.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number with ms, s, m, h or d, as in 10s".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let time = number.checked_mul(*factor).map(Duration::from_millis).ok_or_else(wrong)?;
    if time.is_zero() || time > MOST {
        return Err("it must be above 0 and at most a year".to_owned());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_typed() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "s", "10", "-1s", "1.5s", "0s", "99999999999999999999s", "900d", "1w"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
