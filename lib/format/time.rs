//! Times of files (seconds and nanoseconds) and stamps of bands (UTC, whole seconds).

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time as `stat` gives it: whole seconds since 1970 rounded down, and nanoseconds to add.
///
/// Written as mtree(5) wants it, always with nine digits: -5.25 s is `-6.750000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub sec: i64,
    /// 0 to 999,999,999, to be added.
    pub nsec: u32,
}

impl Time {
    /// Reads `S.NNNNNNNNN`; none if it is written in any other way.
    pub fn parse(text: &[u8]) -> Option<Time> {
        let dot = text.len().checked_sub(10)?;
        let (sec, [b'.', nsec @ ..]) = text.split_at(dot) else { return None };
        let (negative, sec) = sec.strip_prefix(b"-").map_or((false, sec), |rest| (true, rest));
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| byte - b'0');
        // Kept below zero: there is one more of these.
        let mut value = (!sec.is_empty()).then_some(0i64)?;
        for byte in sec {
            value = value.checked_mul(10)?.checked_sub(digit(byte)?.into())?;
        }
        let mut small = 0;
        for byte in nsec {
            small = small * 10 + u32::from(digit(byte)?);
        }
        Some(Time { sec: if negative { value } else { value.checked_neg()? }, nsec: small })
    }

    /// The decimal number that a pax `mtime` record holds: -5.25 s is `-5.25`, a whole second has
    /// no dot.
    pub fn to_pax(self) -> String {
        if self.nsec == 0 {
            return self.sec.to_string();
        }
        let (sign, sec, nsec) = match self.sec {
            0.. => ("", self.sec.unsigned_abs(), self.nsec),
            _ => ("-", (self.sec + 1).unsigned_abs(), 1_000_000_000 - self.nsec),
        };
        let mut text = format!("{sign}{sec}.{nsec:09}");
        text.truncate(text.trim_end_matches('0').len());
        text
    }

    /// Undoes [`Time::to_pax`]; digits after the ninth are dropped.
    pub fn from_pax(text: &str) -> Option<Time> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        // Kept with its sign: there is one more below zero.
        let sec: i64 = format!("{}{whole}", if negative { "-" } else { "" }).parse().ok()?;
        let nsec: u32 = format!("{part:0<9}").get(..9)?.parse().ok()?;
        Some(match (negative, nsec) {
            (false, _) | (true, 0) => Time { sec, nsec },
            (true, _) => Time { sec: sec.checked_sub(1)?, nsec: 1_000_000_000 - nsec },
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.sec, self.nsec)
    }
}

/// A moment in UTC to the second, as band names spell it: `20261101T020000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(Timestamp);

impl Stamp {
    /// How long a stamp is in a band's name.
    pub const LEN: usize = 16;

    /// The stamp `sec` seconds after 1970; none outside the years 0 to 9999.
    pub fn from_unix(sec: i64) -> Option<Stamp> {
        let stamp = Timestamp::from_second(sec).ok()?;
        (0..=9999).contains(&stamp.to_zoned(TimeZone::UTC).year()).then_some(Stamp(stamp))
    }

    /// Reads `YYYYMMDDThhmmssZ`.
    pub fn parse(text: &str) -> Option<Stamp> {
        let bytes = text.as_bytes();
        if bytes.len() != Stamp::LEN || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let small = |range| number(range)?.try_into().ok();
        let civil = DateTime::new(
            number(0..4)?,
            small(4..6)?,
            small(6..8)?,
            small(9..11)?,
            small(11..13)?,
            small(13..15)?,
            0,
        )
        .ok()?;
        Some(Stamp(civil.to_zoned(TimeZone::UTC).ok()?.timestamp()))
    }

    /// Reads RFC 3339 in UTC, as HEAD and TAIL hold it: `2026-11-01T02:00:00Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Stamp> {
        let stamp = Stamp::parse(&text.replace(['-', ':'], ""))?;
        (stamp.to_rfc3339() == text).then_some(stamp)
    }

    /// RFC 3339 in UTC: `2026-11-01T02:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        self.0.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Appends `2026-11-01 02:00:00`.
    pub fn push_plain(self, out: &mut Vec<u8>) {
        let civil = TimeZone::UTC.to_datetime(self.0);
        let mut number = |between: &[u8], number: i16, digits: u32| {
            out.extend(between);
            out.extend((0..digits).rev().map(|at| b'0' + (number / 10i16.pow(at) % 10) as u8));
        };
        number(b"", civil.year(), 4);
        for (between, value) in [
            (b"-", civil.month()),
            (b"-", civil.day()),
            (b" ", civil.hour()),
            (b":", civil.minute()),
            (b":", civil.second()),
        ] {
            number(between, value.into(), 2);
        }
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.as_second()
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (sec, nsec, text, pax) in [
            (0, 0, "0.000000000", "0"),
            (1_500_000_000, 5, "1500000000.000000005", "1500000000.000000005"),
            (-6, 750_000_000, "-6.750000000", "-5.25"),
            (-1, 500_000_000, "-1.500000000", "-0.5"),
            (-2_177_452_800, 0, "-2177452800.000000000", "-2177452800"),
            (4_102_444_800, 120_000_000, "4102444800.120000000", "4102444800.12"),
        ] {
            let time = Time { sec, nsec };
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text.as_bytes()), Some(time));
            assert_eq!(time.to_pax(), pax);
            assert_eq!(Time::from_pax(pax), Some(time));
        }
        for sec in [i64::MIN, i64::MAX] {
            let time = Time { sec, nsec: 999_999_999 };
            assert_eq!(Time::parse(time.to_string().as_bytes()), Some(time));
        }
        for bad in [
            "",
            "1",
            "1.5",
            "1.0000000000",
            "x.000000000",
            "+1.000000000",
            "1.00000000x",
            ".000000000",
            "-.000000000",
            "--1.000000000",
            "9223372036854775808.000000000",
            "-9223372036854775809.000000000",
        ] {
            assert_eq!(Time::parse(bad.as_bytes()), None, "{bad}");
        }
        for bad in ["", "-", "1e3", "0x1", "1.-5", "--1"] {
            assert_eq!(Time::from_pax(bad), None, "{bad}");
        }
    }

    #[test]
    fn stamps() {
        let stamp = Stamp::from_unix(1_793_498_400).unwrap();
        assert_eq!(stamp.to_string(), "20261101T020000Z");
        assert_eq!(stamp.to_rfc3339(), "2026-11-01T02:00:00Z");
        let mut plain = Vec::new();
        stamp.push_plain(&mut plain);
        assert_eq!(plain, b"2026-11-01 02:00:00");
        assert_eq!(Stamp::parse("20261101T020000Z"), Some(stamp));
        assert_eq!(Stamp::parse_rfc3339("2026-11-01T02:00:00Z"), Some(stamp));
        assert_eq!(Stamp::from_unix(1_793_498_400).unwrap().unix(), 1_793_498_400);
        for bad in [
            "",
            "20261301T020000Z",
            "20261101T020000",
            "20261101t020000Z",
            "20260230T000000Z",
            "2026110aT020000Z",
            "20261101T250000Z",
            "+0261101T020000Z",
        ] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
        assert_eq!(Stamp::parse_rfc3339("20261101T020000Z"), None);
        assert_eq!(Stamp::from_unix(i64::MAX), None);
    }
}
