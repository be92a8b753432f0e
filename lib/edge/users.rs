//! Names of users and groups, asked once each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nix::unistd::{Gid, Group, Uid, User};

/// Numbers by name; true for groups.
type Numbers = Mutex<HashMap<(Vec<u8>, bool), Option<u32>>>;

type NamesById = Mutex<HashMap<u32, Option<Arc<str>>>>;

/// The names that the system knows, kept so that each id is asked for once.
#[derive(Debug, Default)]
pub struct Users {
    users: NamesById,
    groups: NamesById,
    numbers: Numbers,
}

impl Users {
    /// The name of a user.
    pub fn user(&self, uid: u32) -> Option<Arc<str>> {
        look_up(&self.users, uid, |uid| Some(User::from_uid(Uid::from_raw(uid)).ok()??.name))
    }

    /// The name of a group.
    pub fn group(&self, gid: u32) -> Option<Arc<str>> {
        look_up(&self.groups, gid, |gid| Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name))
    }

    /// Whether the system knows a user of this name by another number.
    pub fn user_differs(&self, name: &[u8], uid: u64) -> bool {
        let ask = |name: &str| Some(User::from_name(name).ok()??.uid.as_raw());
        self.number(name, false, ask).is_some_and(|known| u64::from(known) != uid)
    }

    /// Whether the system knows a group of this name by another number.
    pub fn group_differs(&self, name: &[u8], gid: u64) -> bool {
        let ask = |name: &str| Some(Group::from_name(name).ok()??.gid.as_raw());
        self.number(name, true, ask).is_some_and(|known| u64::from(known) != gid)
    }

    fn number(&self, name: &[u8], group: bool, ask: fn(&str) -> Option<u32>) -> Option<u32> {
        let mut numbers = self.numbers.lock().ok()?;
        // Whoever can write to a store can put any number of names there.
        if numbers.len() > 1 << 16 {
            numbers.clear();
        }
        *numbers
            .entry((name.to_vec(), group))
            .or_insert_with(|| std::str::from_utf8(name).ok().and_then(ask))
    }
}

fn look_up(names: &NamesById, id: u32, ask: fn(u32) -> Option<String>) -> Option<Arc<str>> {
    // A name is a comfort in the tar header; without it the number counts.
    let mut names = names.lock().ok()?;
    // The field holds 31 bytes and a zero.
    names.entry(id).or_insert_with(|| ask(id).filter(|name| name.len() < 32).map(Arc::from)).clone()
}
