//! Output that is written behind the back of whoever makes it.
//!
//! A reader such as tar is slow where files are small and fast where they are large, and whoever
//! writes is the reverse. With a pipe's worth of bytes between them each waits for the other again
//! and again; with more, hardly ever.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::pipe::{self, BUFFER as PIECE, Output, Standard};

/// A file that another thread writes, with so many bytes between them at most.
pub struct BackgroundWriter {
    piece: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Output {
    /// The same, written by another thread, with so many bytes between them at most.
    ///
    /// # Errors
    /// If what is buffered cannot be written.
    pub fn ahead(self, most: usize) -> io::Result<BackgroundWriter> {
        Ok(BackgroundWriter::to(self.into_stream()?, most))
    }
}

impl BackgroundWriter {
    /// Starts the thread that writes to `file`.
    pub fn to(file: impl Into<Standard>, most: usize) -> BackgroundWriter {
        let (full, taken) = sync_channel(most / PIECE);
        let (used, empty) = channel();
        let stream = file.into();
        let thread = std::thread::spawn(move || write(stream, &taken, &used));
        BackgroundWriter { piece: Vec::new(), full: Some(full), empty, thread: Some(thread) }
    }

    fn send(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        match &self.full {
            Some(full) if full.send(piece).is_ok() => Ok(()),
            // The thread ended before its time, and says why.
            _ => self.end(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.full = None;
        let gone = || io::Error::other("it was closed before");
        self.thread
            .take()
            .ok_or_else(gone)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer thread stopped unexpectedly")))
    }

    /// Waits until all is written. Must end every program that writes: else "no space left" would
    /// be swallowed.
    ///
    /// # Errors
    /// If anything could not be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.end()
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.send()?;
        }
        let now = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..now]);
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

fn write(mut stream: Standard, full: &Receiver<Vec<u8>>, used: &Sender<Vec<u8>>) -> io::Result<()> {
    for mut piece in full {
        pipe::write_all(&mut stream, &piece)?;
        piece.clear();
        // Whoever made it may be at its end.
        let _ = used.send(piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn all_comes_in_order() {
        for count in [0, 1, PIECE, 40 * PIECE + 7] {
            let bytes: Vec<u8> = (0..count).map(|at| (at / 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            let mut ahead = BackgroundWriter::to(file.try_clone().unwrap(), 4 * PIECE);
            bytes.chunks(100_000).for_each(|chunk| ahead.write_all(chunk).unwrap());
            ahead.finish().unwrap();
            let mut came = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut came).unwrap();
            assert!(came == bytes, "{count}");
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let mut little = BackgroundWriter::to(full(), 4 * PIECE);
        little.write_all(b"x").unwrap();
        assert_eq!(little.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut much = BackgroundWriter::to(full(), 4 * PIECE);
        let error = (0..100).find_map(|_| much.write_all(&[0; PIECE]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
