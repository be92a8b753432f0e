//! The progress line that the last program of a pipe draws for people.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::edge::pipe;
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

/// The line of a program that has nothing else to draw: drawn anew now and then.
#[derive(Debug)]
pub(crate) struct DrawInterval {
    nouns: Nouns,
    began: Instant,
    drawn: Instant,
}

impl DrawInterval {
    /// A run begins.
    pub(crate) fn new(nouns: Nouns) -> DrawInterval {
        let began = Instant::now();
        DrawInterval { nouns, began, drawn: began }
    }

    /// So many are done.
    pub(crate) fn draw(&mut self, line: &ProgressBar, count: u64, bytes: u64) {
        if self.drawn.elapsed() >= Duration::from_secs(1) / u32::from(PER_SECOND) {
            self.drawn = Instant::now();
            line.set_message(words(self.nouns, count, bytes, self.began.elapsed()));
        }
    }
}

/// What the line says: what is done with so many things and bytes, the rate on average since the
/// begin, which no limit of it is below, and the time.
pub(crate) fn words(nouns: Nouns, count: u64, bytes: u64, since: Duration) -> String {
    let (one, several, done) = nouns;
    let noun = if count == 1 { one } else { several };
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
    format!("{count} {noun}, {} {done}{rate}, {time}", human(bytes))
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
            assert_eq!(words(STORED, objects, bytes, after(millis)), wanted);
        }
        let after = after(9);
        assert_eq!(words(READ, 1, 0, after), "1 object, 0 B read, 0:00");
        assert_eq!(words(WRITTEN, 2, 9, after), "2 entries, 9 B written, 0:00");
    }
}
