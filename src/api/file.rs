//! Files that go with messages.

use std::path::{self, Path};

use serde_json::{Map, Value, json};

use super::error::ApiError;

/// A file that goes with a message: the connector reads it when the message's turn comes, whatever its size, and the
/// peer's connector writes it to the folder that its `file_recv_config` names for [`dst_type`](Self::dst_type).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let _connector = std::os::unix::net::UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
/// # let path = dir.path().join("report.pdf");
/// # std::fs::write(&path, "%PDF")?;
/// use aioconnectors::api::{ConnectorApi, File};
///
/// let api = ConnectorApi::client("client1").files_dir(dir.path()).build()?;
/// let report = File::new(&path).dst_type("reports").dst_name("report-7.pdf");
/// api.send_message("any").text("the report").file(report).send()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The message goes even if its file cannot be read any more, or is refused by the peer: then
/// [`ReceivedFile::error`] says so there.
#[derive(Clone, Copy, Debug)]
#[must_use = "a file goes with a message: see SendMessage::file"]
pub struct File<'a> {
    src_path: &'a Path,
    dst_type: Option<&'a str>,
    dst_name: Option<&'a str>,
    owner: Option<&'a str>,
    delete: bool,
    checked: bool,
}

impl<'a> File<'a> {
    /// The file at `src_path`, as this process sees it.
    pub fn new(src_path: &'a (impl AsRef<Path> + ?Sized)) -> Self {
        let src_path = src_path.as_ref();
        Self { src_path, dst_type: None, dst_name: None, owner: None, delete: false, checked: true }
    }

    /// Which entry of the peer's `file_recv_config` says where it goes; by default the message's type.
    pub fn dst_type(self, dst_type: &'a str) -> Self {
        Self { dst_type: Some(dst_type), ..self }
    }

    /// Its name there; by default the one that it has.
    pub fn dst_name(self, dst_name: &'a str) -> Self {
        Self { dst_name: Some(dst_name), ..self }
    }

    /// Who is to own it there, as in `user:group`. It needs a peer that may say so.
    pub fn owner(self, owner: &'a str) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Whether the connector removes the source once the peer has the file. By default it does not: this api always
    /// says which, because a connector that is not told removes it.
    pub fn delete(self, delete: bool) -> Self {
        Self { delete, ..self }
    }

    /// Leaves out the check that there is such a file: for a connector that sees other files than this process does, as
    /// one in a container.
    pub fn unchecked(self) -> Self {
        Self { checked: false, ..self }
    }

    /// The value of the header's `with_file`.
    pub(super) fn to_json(self, message_type: &str) -> Result<String, ApiError> {
        let fail = |problem: String| ApiError::File { path: self.src_path.to_owned(), problem };
        let src_path = path::absolute(self.src_path).map_err(|e| fail(e.to_string()))?;
        if self.checked {
            let metadata = src_path.metadata().map_err(|e| fail(e.to_string()))?;
            if !metadata.is_file() {
                return Err(fail("it is not a file".to_owned()));
            }
        }
        let not_text = || fail("only a path that is UTF-8 can be said to the connector".to_owned());
        let src_text = src_path.to_str().ok_or_else(not_text)?;
        let own_name = || src_path.file_name().and_then(|name| name.to_str());
        let no_name = || fail("it has no name".to_owned());
        let mut json = json!({
            "src_path": src_text,
            "dst_type": self.dst_type.unwrap_or(message_type),
            "dst_name": self.dst_name.or_else(own_name).ok_or_else(no_name)?,
            "delete": self.delete,
        });
        if let Some(owner) = self.owner {
            json["owner"] = owner.into();
        }
        Ok(json.to_string())
    }
}

/// What a message says of the file that came with it. See [`Message::file`](super::Message::file).
#[derive(Clone, Copy, Debug)]
pub struct ReceivedFile<'a> {
    fields: &'a Map<String, Value>,
}

impl<'a> ReceivedFile<'a> {
    pub(super) fn of(header: &'a Map<String, Value>) -> Option<Self> {
        Some(Self { fields: header.get("with_file")?.as_object()? })
    }

    /// Which entry of this connector's `file_recv_config` says where it lies.
    #[must_use]
    pub fn dst_type(&self) -> Option<&'a str> {
        self.text("dst_type")
    }

    /// Its name there.
    #[must_use]
    pub fn dst_name(&self) -> Option<&'a str> {
        self.text("dst_name")
    }

    /// Why there is no file: it could not be read, or not be written here. Connectors of the Python package say only
    /// the former.
    #[must_use]
    pub fn error(&self) -> Option<&'a str> {
        self.text("file_error")
    }

    /// All that the header says of it.
    #[must_use]
    pub fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_said_with_its_whole_path_and_never_removed_unasked() {
        let json: Value = serde_json::from_str(&File::new("Cargo.toml").to_json("any").unwrap()).unwrap();
        let path = std::env::current_dir().unwrap().join("Cargo.toml");
        assert_eq!(
            json,
            json!({"src_path": path, "dst_type": "any", "dst_name": "Cargo.toml", "delete": false}),
            "what is not said has its default"
        );
        let file = File::new("/no/such/file").unchecked().dst_type("t").dst_name("n").owner("u:g").delete(true);
        let json: Value = serde_json::from_str(&file.to_json("any").unwrap()).unwrap();
        let expected =
            json!({"src_path": "/no/such/file", "dst_type": "t", "dst_name": "n", "delete": true, "owner": "u:g"});
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_no_file_is_told_with_its_path() {
        let error = |path: &str| File::new(path).to_json("any").unwrap_err().to_string();
        assert!(error("/no/such/file").starts_with("/no/such/file cannot be sent: No such file"));
        assert_eq!(error("src"), "src cannot be sent: it is not a file");
    }
}
