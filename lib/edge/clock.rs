//! The clock and the source of random ids.

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::band::BandId;
use crate::format::time::{Stamp, Time};

/// The time to write into archives: the clock, or `SOURCE_DATE_EPOCH` if that is set, so that runs
/// can be repeated byte for byte.
///
/// # Errors
/// If `SOURCE_DATE_EPOCH` is no time.
pub fn now() -> io::Result<Time> {
    static EPOCH: OnceLock<Option<Option<i64>>> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| {
        std::env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_str()?.parse().ok())
    });
    match epoch {
        None => Ok(wall()),
        Some(Some(sec)) => Ok(Time { sec: *sec, nsec: 0 }),
        Some(None) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "SOURCE_DATE_EPOCH is not a number of seconds",
        )),
    }
}

/// [`now`] as a stamp.
///
/// # Errors
/// As of [`now`], and if the year has more than four digits.
pub fn stamp() -> io::Result<Stamp> {
    let out_of_range =
        || io::Error::new(io::ErrorKind::InvalidInput, "the clock is outside the years 0 to 9999");
    Stamp::from_unix(now()?.sec).ok_or_else(out_of_range)
}

/// The clock and the system's time zone, or that of `TZ`.
pub fn here() -> jiff::Zoned {
    jiff::Zoned::now()
}

/// The clock, whatever the environment says; for events.
pub fn wall_rfc3339() -> String {
    let Time { sec, nsec } = wall();
    Stamp::from_unix(sec).map_or_else(String::new, |stamp| {
        stamp.to_rfc3339().replace('Z', &format!(".{:03}Z", nsec / 1_000_000))
    })
}

/// Waits until the clock, whatever the environment says, is at this time: also if the system sleeps
/// in between, or somebody sets the clock.
pub fn wait_until(time: Stamp) {
    while let left @ 1.. = time.unix() - wall().sec {
        std::thread::sleep(Duration::from_secs(left.min(10).unsigned_abs()));
    }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { sec: since.as_secs() as i64, nsec: since.subsec_nanos() }
}

/// A new band's id.
///
/// # Errors
/// If the system has no random numbers.
pub fn random_id() -> io::Result<BandId> {
    let mut id = [0; 16];
    let mut filled = 0;
    while filled < id.len() {
        filled +=
            rustix::rand::getrandom(&mut id[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(BandId(id))
}
