//! Numbers and texts for people.

/// A number of bytes, in at most eight characters.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time in seconds, its two largest units; from a hundred days on, days.
#[must_use]
pub fn period(seconds: f64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 0.9995 {
        return format!("{} ms", (seconds * 1000.0).ceil());
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    match seconds as u64 {
        s if s < MINUTE => format!("{s} s"),
        s if s < HOUR => format!("{}m {:02}s", s / MINUTE, s % MINUTE),
        s if s < DAY => format!("{}h {:02}m", s / HOUR, s % HOUR / MINUTE),
        s if s < 100 * DAY => format!("{}d {:02}h", s / DAY, s % DAY / HOUR),
        s => format!("{}d", s / DAY),
    }
}

/// `1 message`, `2 messages`.
#[must_use]
pub fn counted(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A text that comes from elsewhere, without what would move a terminal's cursor or turn its direction.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::new();
    for c in text.chars() {
        if is_harmful(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_periods_have_two_digits_that_matter() {
        let sizes = [0, 999, 1000, 999_949, 999_950, 1_234_567_890, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.2 GB", "18.4 EB"]);
        let periods =
            [0.0, 0.0004, 0.25, 1.0, 9.94, 59.9, 61.0, 3660.0, 90000.0, 8_640_000.0, f64::NAN, -1.0].map(period);
        let expected = ["0 ms", "1 ms", "250 ms", "1.0 s", "9.9 s", "59 s", "1m 01s", "1h 01m", "1d 01h", "100d"];
        assert_eq!(periods[..10], expected);
        assert_eq!(periods[10..], ["?", "?"]);
    }

    #[test]
    fn no_text_moves_the_cursor() {
        assert_eq!(printable("a\x1b[2J\tb\u{202e}ü"), "a\\u{1b}[2J\\tb\\u{202e}ü");
    }
}
