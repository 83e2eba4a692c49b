//! Times as flags say them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads a whole number and a unit.
pub fn parse(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("give a number and a unit: 500ms, 10s, 1m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("{number:?} is no whole number"))?;
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

/// Reads one that lies within bounds.
pub fn between(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let found = parse(text)?;
        let told = |bound: Duration| {
            let millis = bound.as_millis();
            match (millis % 60_000, millis % 1000) {
                (0, _) => format!("{}m", millis / 60_000),
                (_, 0) => format!("{}s", millis / 1000),
                _ => format!("{millis}ms"),
            }
        };
        let wrong =
            || format!("it must be from {} to {}", told(*bounds.start()), told(*bounds.end()));
        bounds.contains(&found).then_some(found).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told() {
        let within = between(Duration::from_millis(100)..=Duration::from_hours(1));
        assert_eq!(within("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(within("60m"), Ok(Duration::from_hours(1)));
        assert_eq!(within("61m"), Err("it must be from 100ms to 60m".to_owned()));
        for bad in ["", "10", "s", "0s", "-1s", "1h", "1.5s", "99999999999999999m"] {
            assert!(within(bad).is_err(), "{bad}");
        }
    }
}
