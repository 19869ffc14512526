//! The connector that is looked at, and who runs it.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Uid, User};

use super::super::known::Places;
use super::run;
use crate::config::Config;
use crate::remote::{self, Remote};

/// Longest wait for the running connector.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(3);

/// A connector.
pub(super) struct Patient {
    pub config: Config,
    /// Its config file.
    pub path: PathBuf,
    /// Where other connectors are looked for.
    pub places: Places,
    /// Now, in Unix seconds.
    pub now: i64,
    /// If it runs.
    pub daemon: Option<Daemon>,
    /// Its systemd unit, if there is one.
    pub unit: Option<Unit>,
    /// Who runs it, or would.
    pub user: Who,
}

/// A running connector.
#[derive(Debug)]
pub(super) struct Daemon {
    pub pid: i32,
    pub uid: Uid,
    pub gid: Gid,
    pub remote: Remote,
}

/// What systemd says of a unit.
#[derive(Debug)]
pub(super) struct Unit {
    pub name: String,
    /// Lines of `KEY=value`.
    pub said: String,
}

/// A user, as files see it.
#[derive(Clone, Debug)]
pub(super) struct Who {
    uid: Uid,
    groups: Vec<Gid>,
    name: String,
}

impl Who {
    fn new(uid: Uid, gid: Gid) -> Self {
        let user = User::from_uid(uid).ok().flatten();
        let name = user.map_or_else(|| format!("user {uid}"), |user| user.name);
        let groups = std::ffi::CString::new(name.clone()).ok();
        let groups = groups.and_then(|name| nix::unistd::getgrouplist(&name, gid).ok()).unwrap_or_else(|| vec![gid]);
        Self { uid, groups, name }
    }

    fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Self::new(user.uid, user.gid))
    }

    /// Whether it may do with a file what these bits of a mode (4 read, 2 write, 1 enter) say.
    pub fn may(&self, file: &Metadata, bits: u32) -> bool {
        if self.uid.is_root() {
            return true;
        }
        let shift = if file.uid() == self.uid.as_raw() {
            6
        } else if self.groups.iter().any(|group| group.as_raw() == file.gid()) {
            3
        } else {
            0
        };
        file.mode() >> shift & bits == bits
    }

    /// Whether the file is its own. To root all are.
    pub fn owns(&self, file: &Metadata) -> bool {
        self.uid.is_root() || self.uid.as_raw() == file.uid()
    }

    /// Its number.
    pub fn uid(&self) -> Uid {
        self.uid
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of a user, or its number.
pub(super) fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

impl Patient {
    pub fn new(config: Config, path: &Path, places: Places) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (daemon, unit) = (daemon(&config), unit(&path, &places));
        let user = who(&config, daemon.as_ref(), unit.as_ref());
        Self { config, path, places, now, daemon, unit, user }
    }
}

/// The connector, if it accepts admins. Who listens at the socket the system says.
fn daemon(config: &Config) -> Option<Daemon> {
    let socket = config.socket_paths().commander();
    let found = getsockopt(&remote::connect(&socket, DAEMON_TIMEOUT).ok()?, PeerCredentials).ok()?;
    let remote = Remote::new(socket).timeout(DAEMON_TIMEOUT);
    Some(Daemon { pid: found.pid(), uid: Uid::from_raw(found.uid()), gid: Gid::from_raw(found.gid()), remote })
}

/// The unit of a config that lies where units have theirs.
fn unit(path: &Path, places: &Places) -> Option<Unit> {
    let stem = path.file_stem()?.to_str()?;
    let instances = fs::canonicalize(&places.instances).ok()?;
    if path.parent()? != instances || path.extension()? != "json" {
        return None;
    }
    let name = format!("aioconnectorsd@{stem}.service");
    let keys = "LoadState,ActiveState,SubState,Result,NRestarts,User,LimitNOFILE,UnitFileState";
    let said = run::output("systemctl", &["show", "--property", keys, "--", &name])?;
    (run::value(&said, "LoadState") == Some("loaded")).then_some(Unit { name, said })
}

/// Who runs the connector: as it runs, as its unit says, as whose its folder is, or who asks.
fn who(config: &Config, daemon: Option<&Daemon>, unit: Option<&Unit>) -> Who {
    let running = daemon.map(|daemon| Who::new(daemon.uid, daemon.gid));
    let by_unit = || Who::named(run::value(&unit?.said, "User")?);
    let by_folder = || {
        let folder = fs::metadata(&config.connector_files_dirpath).ok()?;
        // A folder that is anybody's says nothing.
        (folder.mode() & 0o002 == 0).then(|| Who::new(Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid())))
    };
    let asks = || Who::new(nix::unistd::geteuid(), nix::unistd::getegid());
    running.or_else(by_unit).or_else(by_folder).unwrap_or_else(asks)
}
