//! What messages and the config say of folders and names, made safe.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Most bytes of the name of a file or folder, as most disks have it.
pub(super) const NAME_MAX: usize = 255;

/// Most bytes of a `dst_name`, its folders included.
pub(super) const DST_NAME_MAX: usize = 1024;

/// Most pieces of a file. The Python package makes pieces of 200 MB.
pub(super) const PIECES_MAX: u32 = 10_000;

/// What a piece's name has between the file's name and its numbers.
const CHUNK: &str = "__aioconnectors_chunk";

/// What the names of the connector's own files begin with.
const OWN: &str = ".aioconnectors-";

/// The name of what there is of a file so far.
pub(super) fn partial(id: &str) -> String {
    format!("{OWN}{id}.part")
}

/// The name of a piece of a file.
pub(super) fn piece(set: &str, index: u32) -> String {
    format!("{OWN}{set}.piece-{index}")
}

/// The name of a file that is being joined.
pub(super) fn joined(set: &str) -> String {
    format!("{OWN}{set}.join")
}

/// A name for a list of texts: other texts have another one.
pub(super) fn id(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hash = hasher.finalize();
    hash.as_bytes().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What keeps `name` from being the name of one file or folder.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let why = match name {
        "" => "it is empty".to_owned(),
        "." | ".." => format!("{name:?} leads elsewhere"),
        _ if name.contains('/') => "it has a '/'".to_owned(),
        _ if name.contains('\0') => "it has a NUL".to_owned(),
        _ if name.len() > NAME_MAX => format!("it has {} bytes, {NAME_MAX} is the most", name.len()),
        _ if name.starts_with(OWN) => format!("names that begin with {OWN:?} are the connector's own"),
        _ => return Ok(()),
    };
    Err(why)
}

/// The folders of a `dst_name`, and the file's name.
///
/// # Errors
/// It leads elsewhere, or cannot be a name: why, and what would be right.
pub(super) fn dst_name(text: &str) -> Result<(Vec<String>, String), String> {
    let wrong = |why: &str| {
        format!("with_file.dst_name {}: {why}; a name is right, or folders and a name, as in a/b.txt", shown(text))
    };
    if text.len() > DST_NAME_MAX {
        return Err(wrong(&format!("it has {} bytes, {DST_NAME_MAX} is the most", text.len())));
    }
    if text.starts_with('/') {
        return Err(wrong("it is absolute"));
    }
    // As in Python, `.` and doubled slashes mean nothing.
    let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
    let mut parts: Vec<String> = parts.map(str::to_owned).collect();
    for part in &parts {
        check_name(part).map_err(|why| wrong(&why))?;
    }
    match parts.pop() {
        Some(name) if !text.ends_with(['/']) => Ok((parts, name)),
        Some(_) => Err(wrong("it is a folder")),
        None => Err(wrong("it is empty")),
    }
}

/// A text of a message as an error shows it.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Fills header keys into a `target_directory`: the folder that the operator has named, and folders beneath it, from
/// the first on that has a key.
///
/// # Errors
/// A key is missing, or has a value that is not a folder's name.
pub(super) fn fill(template: &str, header: &Map<String, Value>) -> Result<(PathBuf, Vec<String>), String> {
    if !template.starts_with('/') {
        return Err(format!("target_directory {template:?} is not absolute"));
    }
    let mut base = PathBuf::from("/");
    let mut folders = Vec::new();
    for part in template.split('/').filter(|part| !part.is_empty()) {
        if folders.is_empty() && !part.contains(['{', '}']) {
            base.push(part);
            continue;
        }
        let filled = fill_part(part, header).map_err(|why| format!("target_directory {template:?}: {why}"))?;
        check_name(&filled).map_err(|why| {
            format!("target_directory {template:?}: {part} becomes {}, no name of a folder: {why}", shown(&filled))
        })?;
        folders.push(filled);
    }
    Ok((base, folders))
}

/// As Python's `format`, as far as it makes sense here: keys in braces, doubled braces for themselves.
fn fill_part(part: &str, header: &Map<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
            filled.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        let Some((key, after)) = brace.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
            return Err(format!("{part:?} has a brace without its other half"));
        };
        filled.push_str(&value(key, header)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(key: &str, header: &Map<String, Value>) -> Result<String, String> {
    match header.get(key) {
        // Each value by itself must be a name: beside other text `..` would do no harm, `/` would.
        Some(Value::String(text)) if check_name(text).is_ok() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::String(text)) => {
            let why = check_name(text).err().unwrap_or_default();
            Err(format!("the message's header key {key:?} is {}, which cannot be in a path: {why}", shown(text)))
        }
        Some(other) => Err(format!("the message's header key {key:?} is {}, not a text", shown(&other.to_string()))),
        None => Err(format!("the message's header has no key {key:?}")),
    }
}

/// One of the pieces that the Python package cuts a file into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its number, from 1 on.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The name of the whole.
    pub whole: String,
}

/// Reads `with_file.chunked`, `[BASE, I, N]`, of the piece with this name.
///
/// # Errors
/// The three do not go together with the name.
pub(super) fn chunk(chunked: &Value, dst_name: &str) -> Result<Chunk, String> {
    let wrong = |why: &str| {
        let found = shown(&chunked.to_string());
        format!("with_file.chunked {found}: {why}; [\"NAME{CHUNK}\", I, N] is right, with dst_name NAME{CHUNK}_I_N")
    };
    let Some([Value::String(base), index, count]) = chunked.as_array().map(Vec::as_slice) else {
        return Err(wrong("it is not a name and two numbers"));
    };
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let (Some(index), Some(count)) = (number(index), number(count)) else { return Err(wrong("no numbers")) };
    if count > PIECES_MAX {
        return Err(wrong(&format!("there are {count} pieces, {PIECES_MAX} is the most")));
    }
    if index == 0 || index > count {
        return Err(wrong("I counts from 1 to N"));
    }
    let whole = base.strip_suffix(CHUNK).and_then(|whole| Path::new(whole).file_name()?.to_str());
    // Our own senders fill the number up with zeros.
    let width = count.to_string().len();
    let names = [format!("{base}_{index}_{count}"), format!("{base}_{index:0width$}_{count}")];
    match whole {
        Some(whole) if names.iter().any(|name| name == dst_name) => Ok(Chunk { index, count, whole: whole.to_owned() }),
        _ => Err(wrong(&format!("dst_name is {}", shown(dst_name)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_may_have_folders_and_must_stay_beneath() {
        let right = |text: &str| dst_name(text).map(|(folders, name)| format!("{}|{name}", folders.join(",")));
        assert_eq!(right("a.txt"), Ok("|a.txt".to_owned()));
        assert_eq!(right("x/./y//a..b"), Ok("x,y|a..b".to_owned()));
        for (text, why) in [
            ("", "empty"),
            (".", "empty"),
            ("..", "leads elsewhere"),
            ("a/../../b", "leads elsewhere"),
            ("/etc/passwd", "absolute"),
            ("a\0b", "NUL"),
            ("a/", "folder"),
            (".aioconnectors-1.part", "own"),
            (&"x".repeat(256), "256 bytes"),
            (&"x/".repeat(600), "1200 bytes"),
        ] {
            let error = dst_name(text).unwrap_err();
            assert!(error.contains(why) && error.contains("is right"), "{text:?}: {error}");
        }
    }

    #[test]
    fn templates_are_filled_with_names_only() {
        let header = json!({
            "source_id": "client1", "message_type": "any", "n": 7, "dots": "..", "slash": "a/b", "nul": "\0", "no": "",
            "list": [],
        });
        let header = header.as_object().unwrap();
        let filled = |template: &str| fill(template, header).map(|(base, folders)| (base, folders.join("/")));
        assert_eq!(filled("/data//in/"), Ok((PathBuf::from("/data/in"), String::new())));
        assert_eq!(
            filled("/data/in/{message_type}/x-{source_id}-{n}/y/{{z}}"),
            Ok((PathBuf::from("/data/in"), "any/x-client1-7/y/{z}".to_owned()))
        );
        for key in ["dots", "slash", "nul", "no", "list", "absent"] {
            let error = filled(&format!("/data/{{{key}}}")).unwrap_err();
            assert!(error.contains(key) && error.contains("/data/"), "{error}");
        }
        assert!(filled("/data/{source_id").unwrap_err().contains("brace"));
        assert!(filled("data/{source_id}").unwrap_err().contains("not absolute"));
        assert!(filled("/data/{source_id}/../..").unwrap_err().contains("leads elsewhere"));
    }

    #[test]
    fn pieces_must_go_together_with_their_names() {
        let name = "sub/a.bin__aioconnectors_chunk_11_12";
        let base = "sub/a.bin__aioconnectors_chunk";
        assert!(chunk(&json!([base, 1, 12]), "sub/a.bin__aioconnectors_chunk_01_12").is_ok());
        assert!(chunk(&json!([base, 1, 12]), "sub/a.bin__aioconnectors_chunk_001_12").is_err());
        let found = chunk(&json!([base, 11, 12]), name).unwrap();
        assert_eq!(found, Chunk { index: 11, count: 12, whole: "a.bin".to_owned() });
        for wrong in [
            json!([base, 0, 12]),
            json!([base, 13, 12]),
            json!([base, 1, 12]),
            json!([base, 11, 10_001]),
            json!([base, "11", 12]),
            json!(["../x__aioconnectors_chunk", 11, 12]),
            json!(["__aioconnectors_chunk", 11, 12]),
            json!([base]),
            json!({}),
        ] {
            assert!(chunk(&wrong, name).unwrap_err().contains("is right"), "{wrong}");
        }
    }

    #[test]
    fn other_texts_have_other_ids() {
        let ids = [id(&["a", "b"]), id(&["ab", ""]), id(&["", "ab"]), id(&["a", "c"]), id(&["ab"])];
        assert!((0..5).all(|i| (0..i).all(|j| ids[i] != ids[j])) && ids.iter().all(|id| id.len() == 32));
    }
}
