//! The templates that `print-config-templates` prints.

use std::fmt;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use super::keys::{KEYS, Template};

/// Config files to start from, with every key at its default.
#[derive(Clone, Debug)]
pub struct Templates {
    /// For a connector.
    pub manager: Value,
    /// What `file_recv_config` in it may look like.
    pub file_recv_config: Value,
    /// For an app.
    pub api: Value,
}

impl Templates {
    pub(super) fn new() -> Self {
        let file_recv_config = json!({"any": {
            "override_existing": false,
            "owner": "user:user",
            "target_directory": "/var/tmp/received/{message_type}/{source_id}/",
        }});
        Self { manager: defaults(Template::Manager), file_recv_config, api: defaults(Template::Api) }
    }
}

fn defaults(template: Template) -> Value {
    let keys = KEYS.iter().filter(|key| key.template == template || key.template == Template::Both);
    Value::Object(keys.map(|key| (key.name.to_owned(), key.default_value())).collect::<Map<_, _>>())
}

/// As the Python package prints them.
impl fmt::Display for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = [
            ("MANAGER TEMPLATE, used to create a connector", &self.manager),
            ("file_recv_config example, used inside MANAGER TEMPLATE", &self.file_recv_config),
            ("API TEMPLATE, used to send/receive messages", &self.api),
        ];
        for (title, value) in blocks {
            writeln!(f, "\n- {title}\n{}", pretty(value)?)?;
        }
        Ok(())
    }
}

/// JSON indented by four spaces.
fn pretty(value: &Value) -> Result<String, fmt::Error> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut serializer).map_err(|_| fmt::Error)?;
    String::from_utf8(bytes).map_err(|_| fmt::Error)
}
