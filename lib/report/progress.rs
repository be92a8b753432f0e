//! The progress line that the last program of a pipe draws for people.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::edge::pipe;
use crate::report::events::Events;
use crate::report::units::human;

/// How often the line is drawn, a second. A backup at night over a slow line should not be spent on
/// drawing.
const PER_SECOND: u8 = 5;

/// A line with the message that a program gives it, cut at the terminal's width; hidden if stderr
/// is no terminal.
pub(crate) fn line() -> ProgressBar {
    if !pipe::stderr_is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen), PER_SECOND);
    ProgressBar::with_draw_target(None, target).with_style(style)
}

/// The terminal at stderr. (indicatif's own takes 80 columns where a terminal does not know its
/// rows, as those that `script` opens.)
#[derive(Debug)]
struct Screen;

impl TermLike for Screen {
    fn width(&self) -> u16 {
        pipe::stderr_columns().unwrap_or(80)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { pipe::tell(&format!("\x1b[{n}A")) }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { pipe::tell(&format!("\x1b[{n}B")) }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { pipe::tell(&format!("\x1b[{n}C")) }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { pipe::tell(&format!("\x1b[{n}D")) }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        pipe::tell(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        pipe::tell(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        pipe::tell("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What a program does, and with what: one of them, several, and done.
pub(crate) type Nouns = (&'static str, &'static str, &'static str);

/// What push does.
pub(crate) const STORED: Nouns = ("object", "objects", "stored");
/// What verify does.
pub(crate) const READ: Nouns = ("object", "objects", "read");
/// What restore does.
pub(crate) const WRITTEN: Nouns = ("entry", "entries", "written");

/// How far a program has come that has nothing else to draw: a line, drawn anew now and then, and an
/// event each second.
#[derive(Debug)]
pub(crate) struct DrawInterval {
    nouns: Nouns,
    began: Instant,
    drawn: Instant,
    told: Instant,
    /// How many bytes there will be, if that is known.
    total: Option<u64>,
}

impl DrawInterval {
    /// A run begins, of so many bytes if that is known.
    pub(crate) fn new(nouns: Nouns, total: Option<u64>) -> DrawInterval {
        let began = Instant::now();
        DrawInterval { nouns, began, drawn: began, told: began, total }
    }

    /// So many are done; `more` is for the event.
    pub(crate) fn draw(
        &mut self,
        (line, events): (&ProgressBar, &Events),
        count: u64,
        bytes: u64,
        more: &[(&str, u64)],
    ) {
        if self.drawn.elapsed() >= Duration::from_secs(1) / u32::from(PER_SECOND) {
            self.drawn = Instant::now();
            let time = self.began.elapsed();
            line.set_message(words(self.nouns, count, bytes, self.total, time));
        }
        if self.told.elapsed() >= Duration::from_secs(1) {
            self.told = Instant::now();
            let done = [(self.nouns.1, count), ("bytes", bytes)];
            let fields = done.iter().chain(more).map(|(key, count)| (*key, (*count).into()));
            events.emit("progress", &fields.collect::<Vec<_>>());
        }
    }
}

/// What the line says: what is done with so many things and bytes, the rate on average since the
/// begin, which no limit of it is below, and the time; where the total is known, also what is left.
pub(crate) fn words(
    nouns: Nouns,
    count: u64,
    bytes: u64,
    total: Option<u64>,
    since: Duration,
) -> String {
    let (one, several, done) = nouns;
    let noun = if count == 1 { one } else { several };
    // The first second says nothing of a rate.
    let rate = match since.as_secs_f64() {
        time if time >= 1.0 => format!(", {}/s", human((bytes as f64 / time) as u64)),
        _ => String::new(),
    };
    let (of, left) = match total.filter(|total| *total >= bytes && bytes > 0) {
        None => (String::new(), String::new()),
        Some(total) => {
            let percent = u128::from(bytes) * 100 / u128::from(total);
            let left = since.mul_f64((total - bytes) as f64 / bytes as f64);
            let left =
                if rate.is_empty() { String::new() } else { format!(", {} left", clock(left)) };
            (format!(" of {} ({percent} %)", human(total)), left)
        }
    };
    format!("{count} {noun}, {}{of} {done}{rate}, {}{left}", human(bytes), clock(since))
}

/// Minutes and seconds, and hours if there are any.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
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
            assert_eq!(words(STORED, objects, bytes, None, after(millis)), wanted);
        }
        let after = after(9);
        assert_eq!(words(READ, 1, 0, None, after), "1 object, 0 B read, 0:00");
        assert_eq!(words(WRITTEN, 2, 9, None, after), "2 entries, 9 B written, 0:00");
        let of =
            |bytes, millis| words(WRITTEN, 2, bytes, Some(4 << 30), Duration::from_millis(millis));
        assert_eq!(of(0, 500), "2 entries, 0 B written, 0:00");
        assert_eq!(of(1 << 30, 500), "2 entries, 1.0 GiB of 4.0 GiB (25 %) written, 0:00");
        let wanted = "2 entries, 1.0 GiB of 4.0 GiB (25 %) written, 2.0 MiB/s, 8:32, 25:36 left";
        assert_eq!(of(1 << 30, 512_000), wanted);
        let wanted = "2 entries, 4.0 GiB of 4.0 GiB (100 %) written, 8.0 MiB/s, 8:32, 0:00 left";
        assert_eq!(of(4 << 30, 512_000), wanted);
        // More than was thought.
        assert_eq!(of(5 << 30, 512_000), "2 entries, 5.0 GiB written, 10.0 MiB/s, 8:32");
    }
}
