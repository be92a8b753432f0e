//! Being asked to end: SIGINT (Ctrl-C), SIGTERM, and a time that has come.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use super::clock;
use crate::format::time::Stamp;

/// Waits for signals that ask for the end.
#[derive(Debug)]
pub struct SignalWait(UnixStream);

impl SignalWait {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<SignalWait> {
        let (come, write) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(SignalWait(come))
    }

    /// Waits for the next one.
    pub fn wait(&mut self) {
        // Each is a byte; there is no end.
        let _ = self.0.read_exact(&mut [0]);
    }
}

/// Set once somebody asks the program to end.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Catches the signals: the first is remembered; the second ends the program at once, with
    /// status 2.
    ///
    /// # Errors
    /// What the system says.
    pub fn on_signals() -> io::Result<StopFlag> {
        let stop = StopFlag::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: what is registered first is done first, and the first signal must not
            // find the flag set.
            flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Asks for the end at this time, too, and tells.
    pub fn set_at(&self, time: Stamp, tell: impl FnOnce() + Send + 'static) {
        let flag = Arc::clone(&self.0);
        // Not joined: mostly the program ends before.
        std::thread::spawn(move || {
            clock::wait_until(time);
            tell();
            flag.store(true, Ordering::Relaxed);
        });
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks for the end, as a signal does.
    #[cfg(test)]
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
