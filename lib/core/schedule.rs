//! Push's order: which object may be stored while which others are still on their way.
//!
//! Invariants, so that what is stored is whole whenever the run is cut:
//! 1. HEAD is stored before anything else of its band.
//! 2. An index is stored after its block, and after the index before it: else one writer's index could come to stand on another's.
//! 3. A list, a table of contents, and TAIL are stored after everything that came before them.
//! 4. After a failure nothing new is started.

use std::collections::VecDeque;

use crate::format::object::{Object, ObjectName};

/// What an object waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barrier {
    /// Nothing but HEAD.
    Free,
    /// All objects of its block, and the index before it.
    Index(u32),
    /// All that came before.
    All,
}

fn barrier(name: &ObjectName) -> Barrier {
    match name.object {
        Object::Block(..) | Object::Part(..) | Object::Note(_) => Barrier::Free,
        Object::Index(n) => Barrier::Index(n),
        _ => Barrier::All,
    }
}

/// The machine: `handle_object` for each object in stream order, `poll_start` until it gives none, `handle_done` for each one started.
/// The caller keeps the bytes, under the ticket that `handle_object` returns.
#[derive(Debug, Default)]
pub struct Schedule {
    next: u64,
    waiting: VecDeque<(u64, ObjectName)>,
    running: Vec<(u64, ObjectName)>,
    failed: bool,
}

impl Schedule {
    /// An empty schedule.
    pub fn new() -> Schedule {
        Schedule::default()
    }

    /// Takes the next object of the stream and gives its ticket.
    pub fn handle_object(&mut self, name: ObjectName) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waiting.push_back((ticket, name));
        ticket
    }

    /// The ticket of an object whose write may start now.
    pub fn poll_start(&mut self) -> Option<u64> {
        if self.failed {
            return None;
        }
        let at = (0..self.waiting.len()).find(|&at| self.may_start(at))?;
        let started = self.waiting.remove(at)?;
        self.running.push(started);
        Some(started.0)
    }

    fn may_start(&self, at: usize) -> bool {
        let before = || self.running.iter().chain(self.waiting.range(..at)).map(|(_, name)| name);
        if before().any(|name| matches!(name.object, Object::Head)) {
            return false;
        }
        match barrier(&self.waiting[at].1) {
            Barrier::Free => true,
            Barrier::Index(n) => !before().any(|name| match name.object {
                Object::Block(m, _) | Object::Part(m, _, _) => m == n,
                Object::Index(_) => true,
                _ => false,
            }),
            Barrier::All => before().next().is_none(),
        }
    }

    /// The write of an object has ended.
    pub fn handle_done(&mut self, ticket: u64, stored: bool) {
        self.running.retain(|(running, _)| *running != ticket);
        self.failed |= !stored;
    }

    /// How many objects are neither stored nor given up.
    pub fn pending(&self) -> usize {
        self.running.len() + if self.failed { 0 } else { self.waiting.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(names: &[&str]) -> Schedule {
        let mut schedule = Schedule::new();
        for name in names {
            schedule.handle_object(ObjectName::parse(name).unwrap());
        }
        schedule
    }

    fn started(schedule: &mut Schedule) -> Vec<u64> {
        std::iter::from_fn(|| schedule.poll_start()).collect()
    }

    const NAMES: [&str; 9] = [
        "HEAD",
        "recover.sh",
        "00000/000000000.tar.gz.000000",
        "00000/000000000.tar.gz.000001",
        "00000/000000000.mtree.gz",
        "00000/000000001.tar.gz",
        "00000/000000001.mtree.gz",
        "00000/000000000-0.sha256",
        "TAIL",
    ];

    #[test]
    fn barriers_hold() {
        let mut schedule = schedule(&NAMES);
        assert_eq!(started(&mut schedule), [0]);
        schedule.handle_done(0, true);
        assert_eq!(started(&mut schedule), [1, 2, 3, 5]);
        for ticket in [5, 3] {
            schedule.handle_done(ticket, true);
            assert_eq!(started(&mut schedule), Vec::<u64>::new());
        }
        schedule.handle_done(2, true);
        assert_eq!(started(&mut schedule), [4]);
        schedule.handle_done(4, true);
        assert_eq!(started(&mut schedule), [6]);
        for ticket in [1, 6] {
            assert_eq!(started(&mut schedule), Vec::<u64>::new());
            schedule.handle_done(ticket, true);
        }
        assert_eq!(started(&mut schedule), [7]);
        schedule.handle_done(7, true);
        assert_eq!(started(&mut schedule), [8]);
        schedule.handle_done(8, true);
        assert_eq!((started(&mut schedule).len(), schedule.pending()), (0, 0));
    }

    #[test]
    fn nothing_starts_after_a_failure() {
        for failing in 0..NAMES.len() as u64 {
            let mut schedule = schedule(&NAMES);
            let mut running = started(&mut schedule);
            let mut stored = Vec::new();
            while let Some(ticket) = running.pop() {
                schedule.handle_done(ticket, ticket != failing);
                if ticket == failing {
                    assert_eq!(started(&mut schedule), Vec::<u64>::new());
                } else {
                    stored.push(ticket);
                }
                running.extend(started(&mut schedule));
            }
            assert_eq!(schedule.pending(), 0);
            assert!(!stored.contains(&8), "TAIL must not be stored when {failing} failed");
        }
    }
}
