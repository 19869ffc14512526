//! Which connector a command speaks to: the one whose config is given, the one that is named, else the only one that
//! runs.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::command::{Args, CONFIG, Failure, Operand, Opt};
use super::exit;
use super::known::{Found, Known, Places};
use crate::api::ConnectorApi;
use crate::config::nearest;
use crate::remote::Remote;

/// `--config`.
pub const CONFIG_OPTION: Opt =
    Opt { long: "config", value: Some("FILE"), help: "the connector whose config file this is" };

/// `--name`. A command that has it may leave out its operand [`CONNECTOR`].
pub const NAME: Opt = Opt {
    long: "name",
    value: Some("NAME"),
    help: "the connector of this name: /etc/aioconnectors/NAME.json, or one that runs",
};

/// The config file by its place, before all other operands.
pub const CONNECTOR: Operand = Operand {
    name: CONFIG.name,
    required: false,
    help: "the connector's config file, as with --config; without it and --name, the only connector that runs",
};

/// The same for a command that works on connectors that do not run as well.
pub const FILE: Operand =
    Operand { name: CONFIG.name, required: false, help: "the connector's config file, as with --config" };

/// Whether the first of `words`, of which a command needs `least` and takes `most` besides, is the [`CONNECTOR`]: as it
/// ends in `.json`, as there are too many of them else, or as it is a path where the number leaves that open.
#[must_use]
pub fn is_given(words: &[impl AsRef<OsStr>], least: usize, most: usize) -> bool {
    let Some(first) = words.first().map(|word| Path::new(word.as_ref())) else { return false };
    let is_path = || first.as_os_str().as_encoded_bytes().contains(&b'/') || first.is_file();
    words.len() > most || first.extension().is_some_and(|end| end == "json") || (words.len() > least && is_path())
}

/// The connector that is meant.
#[derive(Debug)]
pub struct Target {
    /// What it is called in messages for people.
    name: String,
    config: Option<PathBuf>,
    api: ConnectorApi,
}

impl Target {
    /// The connector that `args` mean, by [`CONFIG_OPTION`], [`NAME`], [`CONNECTOR`], or as the only one that runs.
    ///
    /// # Errors
    /// There is no such connector, it is not known which of several is meant, or its config is damaged.
    pub fn new(args: &Args) -> Result<Self, Failure> {
        Self::within(args, &Places::of_system())
    }

    fn within(args: &Args, places: &Places) -> Result<Self, Failure> {
        if let Some(path) = named_file(args)? {
            return Self::of_file(path);
        }
        let found = Found::look(places);
        match args.option(NAME.long) {
            Some(name) => Self::named(&name.to_string_lossy(), places, found),
            None => Self::only(places, found),
        }
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        let api = ConnectorApi::from_file(path).map_err(exit::failure)?;
        Ok(Self { name: path.display().to_string(), config: Some(path.to_owned()), api })
    }

    fn named(name: &str, places: &Places, found: Found) -> Result<Self, Failure> {
        // A folder that cannot be listed may have a file that can be read.
        if let Some(path) = places.instance(name).filter(|path| exists(path)) {
            return Self::of_file(&path).map(|target| Self { name: name.to_owned(), ..target });
        }
        let unknown = unknown_name(name, places, &found);
        found.named(name).map_or(Err(unknown), Self::of_known)
    }

    fn of_known(known: Known) -> Result<Self, Failure> {
        let Known { name, config, api } = known;
        Ok(Self { name, config, api: api.map_err(exit::failure)? })
    }

    fn only(places: &Places, found: Found) -> Result<Self, Failure> {
        let (mut running, other): (Vec<Known>, Vec<Known>) = found.all.into_iter().partition(Known::runs);
        if running.len() > 1 {
            let names = names(running.iter());
            return Err(Failure::usage(format!("several connectors run: {names}: --name NAME says which is meant")));
        }
        match running.pop() {
            Some(known) => Self::of_known(known),
            None => Err(nobody_runs(places, &other, &found.unread)),
        }
    }

    /// What it is called: as it was typed, or as it was found.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its config file. `None` if only the list of running connectors names it, which does not say where that is.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Its admin socket.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.api.remote()
    }

    /// How it is spoken to.
    #[must_use]
    pub fn api(&self) -> &ConnectorApi {
        &self.api
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_api(self) -> ConnectorApi {
        self.api
    }
}

/// The config file that is meant, for a command that works on connectors that do not run as well.
///
/// # Errors
/// None is named, by [`CONFIG_OPTION`], [`NAME`] or [`CONFIG`]; or two.
pub fn file(args: &Args) -> Result<PathBuf, Failure> {
    if let Some(path) = named_file(args)? {
        return Ok(path.to_owned());
    }
    let missing = || Failure::usage("CONFIG is missing: the connector's config file, or else --config or --name");
    let name = args.option(NAME.long).ok_or_else(missing)?.to_string_lossy();
    let places = Places::of_system();
    let path = places.instance(&name).filter(|path| exists(path));
    path.ok_or_else(|| unknown_name(&name, &places, &Found::look(&places)))
}

/// The file of [`CONFIG_OPTION`] or [`CONFIG`], if there is one.
fn named_file(args: &Args) -> Result<Option<&Path>, Failure> {
    let (operand, option) = (args.path(CONFIG.name), args.option(CONFIG_OPTION.long).map(Path::new));
    let given = [("CONFIG", operand.is_some()), ("--config", option.is_some()), ("--name", args.has(NAME.long))];
    let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if given.len() > 1 {
        return Err(Failure::usage(format!("{} both name a connector: leave one out", given[..2].join(" and "))));
    }
    Ok(operand.or(option))
}

/// Whether there is a file, be it one that cannot be read.
fn exists(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file())
}

fn unknown_name(name: &str, places: &Places, found: &Found) -> Failure {
    let instance = places.instance(name).map(|path| path.metadata().map_err(|error| (path.clone(), error)));
    let why = match instance {
        Some(Err((path, error))) if error.kind() != ErrorKind::NotFound => {
            format!("{}: {error}", path.display())
        }
        _ => {
            let folder = places.instances.display();
            format!("no connector is named {name:?}: {folder} has no config of it, and none of the name runs")
        }
    };
    let known = found.names();
    let meant = nearest(name, known.iter().copied()).map(|name| format!("; did you mean {name}?"));
    let known = if known.is_empty() { String::new() } else { format!("; there are {}", names(found.all.iter())) };
    Failure::Exit { code: exit::NO_CONNECTOR, text: format!("{why}{}", meant.unwrap_or(known)) }
}

fn nobody_runs(places: &Places, other: &[Known], unread: &[String]) -> Failure {
    let mut text = "no connector runs".to_owned();
    if other.is_empty() {
        text += &format!(": {} and {} name none", places.list().display(), places.instances.display());
    } else {
        text += &format!("; known are {}", names(other.iter()));
    }
    for why in unread {
        text += &format!("; {why}");
    }
    text += ". If it has a connector_files_dirpath of its own, say --config FILE";
    Failure::Exit { code: exit::NO_CONNECTOR, text }
}

/// So many names are told; the rest is counted.
const NAMES_TOLD: usize = 20;

fn names<'a>(known: impl ExactSizeIterator<Item = &'a Known>) -> String {
    let count = known.len();
    let mut told: Vec<String> = known.take(NAMES_TOLD).map(|known| known.name.escape_debug().to_string()).collect();
    if count > NAMES_TOLD {
        told.push(format!("{} more", count - NAMES_TOLD));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::process::ExitCode;

    use super::super::command::{Command, Request};
    use super::*;

    const PEER: Operand = Operand { name: "PEER", required: true, help: "" };
    const COMMAND: Command = Command {
        name: "c",
        aliases: &[],
        summary: "",
        details: "",
        operands: &[CONNECTOR, PEER],
        options: &[CONFIG_OPTION, NAME],
        run: |_, _| Ok(ExitCode::SUCCESS),
    };

    fn args_of(command: &Command, line: &str) -> Args {
        match command.parse(&mut lexopt::Parser::from_args(line.split_whitespace())) {
            Ok(Request::Run(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    struct Rig {
        _dir: tempfile::TempDir,
        places: Places,
        running: Vec<UnixListener>,
    }

    impl Rig {
        fn new(listed: &[&str], running: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let places = Places { instances: dir.path().join("etc"), files: dir.path().join("f") };
            fs::create_dir(&places.instances).unwrap();
            fs::create_dir(&places.files).unwrap();
            fs::write(places.list(), serde_json::to_string(listed).unwrap()).unwrap();
            let bind = |uid: &&str| UnixListener::bind(places.files.join(format!("uds_path_commander_{uid}"))).unwrap();
            let running = running.iter().map(bind).collect();
            Self { _dir: dir, places, running }
        }

        fn instance(&self, name: &str, client: &str) -> PathBuf {
            let path = self.places.instances.join(format!("{name}.json"));
            let text = serde_json::json!({"client_name": client, "connector_files_dirpath": self.places.files});
            fs::write(&path, text.to_string()).unwrap();
            path
        }

        fn target(&self, line: &str) -> Result<Target, Failure> {
            Target::within(&args_of(&COMMAND, &format!("{line} peer")), &self.places)
        }

        fn name(&self, line: &str) -> String {
            self.target(line).unwrap().name().to_owned()
        }

        #[track_caller]
        fn refused(&self, line: &str) -> (Option<u8>, String) {
            match self.target(line) {
                Err(Failure::Exit { code, text }) => (Some(code), text),
                Err(Failure::Usage { text, .. }) => (None, text),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_only_one_that_runs_is_meant_and_stale_entries_are_passed_over() {
        let rig = Rig::new(&["c1", "127.0.0.1 10673"], &["127001_10673"]);
        let target = rig.target("").unwrap();
        assert_eq!((target.name(), target.config()), ("127.0.0.1:10673", None));
        assert!(target.api().is_server() && target.remote().path().ends_with("uds_path_commander_127001_10673"));
    }

    #[test]
    fn several_that_run_are_named_and_one_is_chosen_by_its_name() {
        let rig = Rig::new(&["c1", "127.0.0.1 10673"], &["c1", "127001_10673", "c2"]);
        rig.instance("second", "c2");
        let (code, text) = rig.refused("");
        assert_eq!(code, None, "a usage error");
        assert!(text.starts_with("several connectors run: second, c1, 127.0.0.1:10673: "), "{text}");
        for (typed, name) in [("c1", "c1"), ("second", "second"), ("127.0.0.1:10673", "127.0.0.1:10673")] {
            assert_eq!(rig.name(&format!("--name {typed}")), name);
        }
        let second = rig.target("--name second").unwrap();
        assert!(second.config().is_some_and(|path| path.ends_with("etc/second.json")));
        assert_eq!(rig.name("--name c2"), "second", "a client's name will do");
    }

    #[test]
    fn without_any_it_is_told_which_are_known() {
        let rig = Rig::new(&["c1"], &[]);
        rig.instance("second", "c2");
        let (code, text) = rig.refused("");
        assert_eq!(code, Some(exit::NO_CONNECTOR));
        assert!(text.starts_with("no connector runs; known are second, c1. "), "{text}");
        let (code, text) = Rig::new(&[], &[]).refused("");
        assert!(code == Some(exit::NO_CONNECTOR) && text.contains("active_connectors.json and "), "{text}");
    }

    #[test]
    fn a_mistyped_name_is_told_with_the_one_that_is_meant() {
        let mut rig = Rig::new(&["client1"], &["client1"]);
        let (code, text) = rig.refused("--name clinet1");
        assert!(code == Some(exit::NO_CONNECTOR) && text.ends_with("; did you mean client1?"), "{text}");
        let (_, text) = rig.refused("--name other");
        assert!(text.ends_with("; there are client1"), "{text}");
        let (_, text) = rig.refused("--name ../client1");
        assert!(text.starts_with("no connector is named"), "{text}");
        rig.running.clear();
        assert_eq!(rig.name("--name client1"), "client1", "one that does not run has a name all the same");
    }

    #[test]
    fn a_config_is_given_by_option_or_by_place_but_once() {
        let rig = Rig::new(&[], &[]);
        let path = rig.instance("a", "c1");
        let path = path.to_str().unwrap();
        for line in [path.to_owned(), format!("--config {path}"), format!("-- {path}")] {
            assert_eq!(rig.target(&line).unwrap().config(), Some(Path::new(path)), "{line}");
        }
        for line in [format!("--config {path} --name a"), format!("--name a {path}")] {
            assert!(rig.refused(&line).1.ends_with("leave one out"), "{line}");
        }
        let missing = rig.target("/no/such.json").unwrap_err();
        assert!(matches!(missing, Failure::Exit { code: 1, .. }), "{missing:?}");
    }

    #[test]
    fn beside_an_option_that_names_the_connector_all_else_is_something_else() {
        let rig = Rig::new(&["c1"], &["c1"]);
        let args = args_of(&COMMAND, "--name c1 peer.json");
        assert_eq!(args.operand("PEER"), Some(OsStr::new("peer.json")));
        assert_eq!(Target::within(&args, &rig.places).unwrap().name(), "c1");
    }

    #[test]
    fn what_stands_first_is_a_config_by_number_ending_or_path() {
        for (line, least, most, expected) in [
            ("c.json", 0, 0, true),
            ("c.conf peer", 1, 1, true),
            ("peer", 1, 1, false),
            ("10.0.0.0/8", 1, 1, false),
            ("c.json", 1, 1, true),
            ("client1", 0, 1, false),
            ("/etc/c.conf", 0, 1, true),
            ("any hello", 1, 2, false),
            ("./c any", 1, 2, true),
            ("", 0, 1, false),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(is_given(&words, least, most), expected, "{line}");
        }
    }
}
