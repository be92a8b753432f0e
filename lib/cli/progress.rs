//! The progress line that the last program of a pipe draws for people.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line is drawn, a second. A backup at night over a slow line should not be spent on
/// drawing.
const PER_SECOND: u8 = 5;

/// A line with bytes, objects (the message) and rate on stderr; hidden if that is no terminal.
pub(super) fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{bytes} stored, {msg}, {bytes_per_sec}, {elapsed}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(PER_SECOND))
        .with_style(style)
}
