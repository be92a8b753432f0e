//! Names of users and groups, asked once each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nix::unistd::{Gid, Group, Uid, User};

type Names = Mutex<HashMap<u32, Option<Arc<str>>>>;

/// The names that the system knows, kept so that each id is asked for once.
#[derive(Debug, Default)]
pub struct Users {
    users: Names,
    groups: Names,
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
}

fn look_up(names: &Names, id: u32, ask: fn(u32) -> Option<String>) -> Option<Arc<str>> {
    // A name is a comfort in the tar header; without it the number counts.
    let mut names = names.lock().ok()?;
    // The field holds 31 bytes and a zero.
    names.entry(id).or_insert_with(|| ask(id).filter(|name| name.len() < 32).map(Arc::from)).clone()
}
