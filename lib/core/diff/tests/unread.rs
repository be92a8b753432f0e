//! Directories of which a scan lists something though it has not read them to their end.

use super::check;

/// What is listed of an unread directory says nothing of the rest of it.
#[test]
fn what_is_not_listed_of_an_unread_directory_stays() {
    let version = [". dir", "./a dir", "./a/b dir", "./a/b/c file", "./d file"];
    for (scan, wanted) in [
        (
            &[". dir", "./a dir unread", "./a/a file", "./a/b file", "./d file"][..],
            &[". dir", "./a dir unread", "./a/a file", "./a/b file over"][..],
        ),
        (
            &[". dir", "./a dir unread", "./a/a file unreadable", "./d file"],
            &[". dir", "./a dir unread"],
        ),
        (
            &[". dir", "./a dir unread", "./a/a file"],
            &[". dir", "./a dir unread", "./a/a file", "./d file deleted"],
        ),
    ] {
        check(&version, scan, wanted);
    }
}

/// An unread directory that is as it was is recorded for what is new in it.
#[test]
fn what_is_new_in_an_unread_directory_has_it_above() {
    let scan = [". dir", "./a dir unread", "./a/a file"];
    check(&[". dir", "./a dir unread", "./a/b file"], &scan, &scan);
}
