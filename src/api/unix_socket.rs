//! The unix socket of the listener: a file that only its owner and its group may use.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

/// The permissions of the file.
const MODE: u32 = 0o660;

/// Listens at `path`. A socket that another process has left there is removed.
pub(crate) fn bind(path: &Path, backlog: u32) -> io::Result<UnixListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on unix:{}: {error}", path.display()));
    remove_abandoned(path).and_then(|()| listen(path, backlog)).map_err(named)
}

fn listen(path: &Path, backlog: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // the file gets the permissions of the socket, so at no time more than these
    File::from(OwnedFd::from(socket.try_clone()?)).set_permissions(Permissions::from_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    // what the process's mask has taken away from them
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn remove_abandoned(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists, and is not a socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
    }
}
