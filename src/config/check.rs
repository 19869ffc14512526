//! Checks that look at more than one key.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Notice, shown};
use super::keys::Config;
use super::owner::find_owner;
use super::reader::{KeyProblem, Reader};
use super::values::MetricsListen;
use crate::wire::names::{self, SOCKET_PATH_MAX};

/// Notes in `reader` what is wrong with `config` as a whole.
pub(super) fn check(config: &Config, reader: &mut Reader) {
    if !config.server_secure_tls {
        reader.notices.push(("server_secure_tls".to_owned(), Notice::TlsFloor));
    }
    if config.is_server && !config.server_sockaddr.others.is_empty() {
        let found = format!("a list of {} addresses", config.server_sockaddr.iter().count());
        let expected = "one [HOST, PORT], as is_server is true: only a client can try several".to_owned();
        reader.problems.push(KeyProblem { key: "server_sockaddr".to_owned(), found, expected });
    }
    check_received(config, reader);
    check_tokens(config, reader);
    let unread_name = reader.problems.iter().any(|problem| problem.key == "client_name");
    if !config.is_server
        && !unread_name
        && let Some(problem) = client_name_problem(config.client_name.as_deref())
    {
        reader.problems.push(problem);
        return;
    }
    if config.is_server || config.client_name.is_some() {
        reader.problems.extend(socket_path_problems(config));
    }
}

/// Tokens are for links that TLS encrypts, where certificates do not say who is there.
fn check_tokens(config: &Config, reader: &mut Reader) {
    if config.use_token && !config.use_ssl {
        let expected = "false, or use_ssl and ssl_allow_all true as well".to_owned();
        reader.problems.push(KeyProblem { key: "use_token".to_owned(), found: "true".to_owned(), expected });
    } else if config.use_token && !config.ssl_allow_all {
        reader.notices.push(("use_token".to_owned(), Notice::TokensUnused));
    }
}

/// Says which received files would not get where or whose they should be.
fn check_received(config: &Config, reader: &mut Reader) {
    let own = [&config.connector_files_dirpath, &config.certificates_directory_path, &config.tokens_directory_path];
    for (dst_type, received) in &config.file_recv_config {
        let key = |member: &str| format!("file_recv_config.{dst_type}.{member}");
        if let Some(Err(error)) = received.owner.as_deref().map(find_owner) {
            reader.notices.push((key("owner"), Notice::UnknownOwner(error)));
        }
        let fixed = received.target_directory.split_once('{').map_or(&*received.target_directory, |(fixed, _)| fixed);
        if let Some(own) = own.into_iter().find(|own| Path::new(fixed).starts_with(own)) {
            reader.notices.push((key("target_directory"), Notice::OwnFolder(own.clone())));
        }
    }
}

fn client_name_problem(name: Option<&str>) -> Option<KeyProblem> {
    let key = "client_name".to_owned();
    let Some(name) = name else {
        let expected = "a name for this client, as is_server is false".to_owned();
        return Some(KeyProblem { key, found: "none".to_owned(), expected });
    };
    let error = names::validate_client_name(name).err()?;
    Some(KeyProblem { key, found: shown(&Value::from(name)), expected: format!("a valid name: {error}") })
}

fn socket_path_problems(config: &Config) -> Vec<KeyProblem> {
    let sockets = config.socket_paths();
    let mut paths = vec![
        ("connector_files_dirpath".to_owned(), sockets.send()),
        ("connector_files_dirpath".to_owned(), sockets.commander()),
    ];
    for (i, message_type) in config.recv_message_types.iter().enumerate() {
        paths.push((format!("recv_message_types[{i}]"), sockets.receive(message_type)));
    }
    if let Some(MetricsListen::Unix(path)) = &config.metrics_listen {
        paths.push(("metrics_listen".to_owned(), path.clone()));
    }
    paths.into_iter().filter_map(|(key, path): (String, PathBuf)| too_long(key, &path)).collect()
}

fn too_long(key: String, path: &Path) -> Option<KeyProblem> {
    let length = path.as_os_str().len();
    (length > SOCKET_PATH_MAX).then(|| KeyProblem {
        key,
        found: format!("the socket path {} of {length} bytes", path.display()),
        expected: format!("at most {SOCKET_PATH_MAX} bytes"),
    })
}
