//! What a run says and counts: messages, events for other programs, the progress line, and the exit
//! status that follows.

pub mod events;
pub mod message;
pub mod progress;
mod remedy;
pub mod units;
