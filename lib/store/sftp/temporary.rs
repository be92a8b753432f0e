//! Files under a temporary name, until they are whole and get their own.

use super::link::{LinkEnd, SshCall, SshLink, lock};
use super::packet::{READ, SftpRequest, WRITE_NEW, code};
use super::{
    FLUSH, NO_FLUSH, NO_REMOVAL, Sftp, SftpFailure, TEMPORARY, done, folder_of, handle, one, sound,
};

/// A whole file under a temporary name. What a broken connection leaves of it is removed over the
/// next one.
pub(super) struct Temporary<'a> {
    of: &'a Sftp,
    pub(super) path: Vec<u8>,
    /// The opened folder in which it lies.
    folder: Option<Vec<u8>>,
}

impl<'a> Temporary<'a> {
    /// Writes it beside the path that it is for.
    pub(super) fn write(
        of: &'a Sftp,
        call: &SshCall<'_>,
        beside: &[u8],
        bytes: &[u8],
    ) -> Result<Temporary<'a>, SftpFailure> {
        let folder = folder_of(beside).unwrap_or(b".");
        let path = [folder, b"/", TEMPORARY.as_bytes(), random()?.as_bytes()].concat();
        let mut temporary = Temporary { of, path, folder: None };
        let opened = match temporary.open(call, folder) {
            Err(failure) if failure.code() == code::NO_SUCH_FILE => {
                of.make_folders(call, folder)?;
                temporary.open(call, folder)
            }
            opened => opened,
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                if let SftpFailure::Status(..) = failure {
                    // There is nothing of it.
                    temporary.path.clear();
                }
                return Err(failure);
            }
        };
        match of.fill(call, &opened, bytes) {
            Err(failure @ SftpFailure::Status(..)) => {
                temporary.remove(call.link)?;
                Err(failure)
            }
            filled => filled.map(|()| temporary),
        }
    }

    /// Opens it, and its folder at the same time.
    fn open(&mut self, call: &SshCall<'_>, folder: &[u8]) -> Result<Vec<u8>, SftpFailure> {
        let own = call.ask(&SftpRequest::Open(&self.path, WRITE_NEW))?;
        let mut opened = Err(SftpFailure::Status(code::UNSUPPORTED, String::new()));
        let flushes = call.link.has(FLUSH);
        if flushes {
            call.ask(&SftpRequest::Open(folder, READ))?;
        }
        for _ in 0..1 + usize::from(flushes) {
            let (id, reply) = call.next()?;
            let answer = sound(reply).and_then(|reply| handle(call.link, reply));
            if id == own {
                opened = answer;
            } else {
                self.folder = answer.ok();
            }
        }
        if flushes && opened.is_ok() && self.folder.is_none() {
            self.of.tell(NO_FLUSH);
        }
        opened
    }

    /// Asks for what gives it its name, and flushes the folder in the same go. The inner result is
    /// the server's word.
    pub(super) fn name(
        &self,
        call: &SshCall<'_>,
        request: &SftpRequest<'_>,
    ) -> Result<Result<(), SftpFailure>, SftpFailure> {
        let own = call.ask(request)?;
        let mut named = Ok(());
        let folder = self.folder.as_deref();
        if let Some(folder) = folder {
            call.ask(&SftpRequest::Extended(FLUSH, &[folder]))?;
        }
        for _ in 0..1 + usize::from(folder.is_some()) {
            let (id, reply) = call.next()?;
            let answer = sound(reply).and_then(|reply| done(call.link, reply));
            match answer {
                Err(end @ SftpFailure::Link(_)) => return Err(end),
                answer if id == own => named = answer,
                Err(_) => self.of.tell(NO_FLUSH),
                Ok(()) => {}
            }
        }
        Ok(named)
    }

    /// It has its name, and no other: nothing is left.
    pub(super) fn renamed(mut self, link: &SshLink) {
        self.path.clear();
        self.close(link);
    }

    fn close(&self, link: &SshLink) {
        if let Some(folder) = &self.folder {
            link.tell(&SftpRequest::Close(folder));
        }
    }

    /// Takes the temporary name away, without waiting; if the server refuses that, never again.
    pub(super) fn remove(mut self, link: &SshLink) -> Result<(), SftpFailure> {
        self.close(link);
        let path = std::mem::take(&mut self.path);
        let left = std::mem::take(&mut *lock(&self.of.litter));
        for path in left.into_iter().chain([path]) {
            let request = SftpRequest::Remove(&path);
            let removes = *lock(&self.of.removes);
            match removes {
                Some(true) => link.tell(&request),
                Some(false) => {}
                // Whether it is allowed is seen by the first.
                None => {
                    let removed = one(&SshCall::new(link), &request);
                    let refused =
                        matches!(&removed, Err(failure) if failure.code() == code::DENIED);
                    if let Err(end @ SftpFailure::Link(_)) = removed {
                        lock(&self.of.litter).push(path);
                        return Err(end);
                    }
                    *lock(&self.of.removes) = Some(!refused);
                    if refused {
                        self.of.tell(NO_REMOVAL);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            lock(&self.of.litter).push(std::mem::take(&mut self.path));
        }
    }
}

/// A name that nobody else chooses.
fn random() -> Result<String, LinkEnd> {
    let mut name = [0; 12];
    let filled = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| LinkEnd::wrong(error.to_string()))?;
    Ok(hex::encode(name))
}
