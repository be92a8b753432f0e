//! The connections to one host: as few as serve, made again when they end.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::address::SshAddress;
use super::link::{LinkEnd, SshLink, Wire, lock};
use crate::store::StoreErrorKind;

/// The most connections at once: each has a window of about 2 MiB, which limits what goes through
/// it over a long way.
const MOST: usize = 4;

/// So many callers share a connection before another is made.
const SHARED_BY: usize = 8;

/// Makes a connection.
pub(super) type Dial = dyn Fn() -> Result<Wire, LinkEnd> + Send + Sync;

#[derive(Default)]
struct LinksState {
    open: Vec<Arc<SshLink>>,
    /// So many are being made beside those that are open.
    making: usize,
    /// The host refused another one.
    enough: bool,
    /// How often the only one was made, or not, and how the last try failed.
    tries: u64,
    failed: Option<LinkEnd>,
}

struct LinksShared {
    dial: Box<Dial>,
    idle: Duration,
    state: Mutex<LinksState>,
    /// Held by the one who makes the only connection.
    making: Mutex<()>,
}

/// All connections to a host.
pub(super) struct Links(Arc<LinksShared>);

impl Links {
    pub(super) fn new(dial: Box<Dial>, idle: Duration) -> Links {
        let (state, making) = (Mutex::default(), Mutex::default());
        Links(Arc::new(LinksShared { dial, idle, state, making }))
    }

    /// Makes the first connection before it is wanted: a login takes many round trips, which pass
    /// while the program reads something else.
    pub(super) fn begin(&self) {
        let early = Links(Arc::clone(&self.0));
        // How it failed is told to whoever wants one.
        std::thread::spawn(move || drop(early.get()));
    }

    /// A connection, which may be shared.
    pub(super) fn get(&self) -> Result<Arc<SshLink>, LinkEnd> {
        let shared = &self.0;
        let tries = match shared.best() {
            Ok(link) => return Ok(link),
            Err(tries) => tries,
        };
        // The others wait, and have what this one gets.
        let _making = lock(&shared.making);
        match shared.best() {
            Ok(link) => return Ok(link),
            Err(now) if now != tries => {
                if let Some(failed) = &lock(&shared.state).failed {
                    return Err(failed.clone());
                }
            }
            Err(_) => {}
        }
        let made = shared.make();
        let mut state = lock(&shared.state);
        state.tries += 1;
        state.failed = made.as_ref().err().cloned();
        made.inspect(|link| state.open.push(Arc::clone(link)))
    }
}

impl LinksShared {
    fn make(&self) -> Result<Arc<SshLink>, LinkEnd> {
        SshLink::begin((self.dial)()?, self.idle).map(Arc::new)
    }

    /// The connection with the fewest callers; if there is none, how often one was made. If there
    /// are more callers than these should serve, others are begun.
    fn best(self: &Arc<Self>) -> Result<Arc<SshLink>, u64> {
        let mut state = lock(&self.state);
        state.open.retain(|link| !link.is_over());
        let best = state.open.iter().min_by_key(|link| Arc::strong_count(link)).cloned();
        let Some(best) = best else { return Err(state.tries) };
        // Each is also in the list, and this one is held twice.
        let held: usize = state.open.iter().map(Arc::strong_count).sum();
        let callers = held - state.open.len();
        let wanted = if state.enough { 0 } else { callers.div_ceil(SHARED_BY).min(MOST) };
        for _ in state.open.len() + state.making..wanted {
            state.making += 1;
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                let made = shared.make();
                let mut state = lock(&shared.state);
                state.making -= 1;
                state.enough |= made.is_err();
                state.open.extend(made);
            });
        }
        Ok(best)
    }
}

/// The program that connects, and its own first arguments.
const SSH: &str = "ssh";

/// Starts ssh, which asks nothing and forwards nothing, and notices when the other side is gone.
pub(super) fn dial(address: SshAddress, ssh: Option<String>, idle: Duration) -> Box<Dial> {
    Box::new(move || {
        let words = ssh.as_deref().unwrap_or(SSH);
        let mut words = words.split_ascii_whitespace();
        let program = words.next().unwrap_or(SSH);
        let mut command = Command::new(program);
        command.args(words);
        for option in [
            "BatchMode=yes".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardAgent=no".to_owned(),
            "ForwardX11=no".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            format!("ConnectTimeout={}", idle.as_secs().max(1)),
            format!("ServerAliveInterval={}", idle.as_secs().div_ceil(4).max(1)),
            "ServerAliveCountMax=3".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.arg("-T").args(address.arguments());
        Wire::start(command).map_err(|error| {
            let text = format!("{program}: cannot be started: {error}");
            LinkEnd { kind: StoreErrorKind::Other, text }
        })
    })
}
