//! The progress line that the last program of a pipe draws for people.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::human;

/// How often the line is drawn, a second. A backup at night over a slow line should not be spent on
/// drawing.
const PER_SECOND: u8 = 5;

/// A line with the message that a program gives it, cut at the terminal's width; hidden if stderr is
/// no terminal.
pub(super) fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(PER_SECOND))
        .with_style(style)
}

/// What the line says: what is `done` (such as `stored`) of so many objects and bytes, the rate on
/// average since the begin, which no limit of it is below, and the time.
pub(super) fn words(done: &str, objects: u64, bytes: u64, since: Duration) -> String {
    let noun = if objects == 1 { "object" } else { "objects" };
    let seconds = since.as_secs();
    // The first second says nothing of a rate.
    let rate = match since.as_secs_f64() {
        time if time >= 1.0 => format!(", {}/s", human((bytes as f64 / time) as u64)),
        _ => String::new(),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    };
    format!("{objects} {noun}, {} {done}{rate}, {time}", human(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        let after = |millis| Duration::from_millis(millis);
        for (objects, bytes, millis, wanted) in [
            (0, 0, 0, "0 objects, 0 B stored, 0:00"),
            (1, 178, 14, "1 object, 178 B stored, 0:00"),
            (2, 3 << 20, 2000, "2 objects, 3.0 MiB stored, 1.5 MiB/s, 0:02"),
            (900, 7 << 30, 4_000_000, "900 objects, 7.0 GiB stored, 1.8 MiB/s, 1:06:40"),
        ] {
            assert_eq!(words("stored", objects, bytes, after(millis)), wanted);
        }
    }
}
