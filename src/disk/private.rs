//! Small files that only their owner may read: hashes of passwords, the token of the commands.
//!
//! In: a directory, a name, the whole content. Out: the file, durable, in place of the one before.
//! Always: there is no moment at which another user could open it, and none at which it is half
//! written.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the door")]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Writes `bytes` to the file `name` of `directory`, which is made where it is not there. Who runs
/// as root leaves the file to whom the directory belongs: the server may run as that user.
pub fn write_private(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!(".{name}.{}", std::process::id()));
    let written = write(&unfinished, directory, bytes)
        .and_then(|()| fs::rename(&unfinished, directory.join(name)));
    if written.is_err() {
        // Nothing more can be done about it.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    fs::File::open(directory)?.sync_all()
}

fn write(path: &Path, directory: &Path, bytes: &[u8]) -> io::Result<()> {
    // Of one that was killed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let owner = fs::metadata(directory)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        // Of the file that is open: who owns the directory could put another one there.
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_may_read_it_whatever_was_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/token");
        for text in ["longer than the next", "one", ""] {
            write_private(&home.path().join("run"), "token", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        assert_eq!(fs::read_dir(home.path().join("run")).unwrap().count(), 1, "nothing is left");
    }
}
