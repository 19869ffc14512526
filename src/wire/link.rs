//! What two connectors of ours say to each other on a link of the second kind, besides messages.
//!
//! A side that knows that the other speaks it, by TLS' ALPN or by the key `link` of the greeting, sends [`LinkHello`] as
//! a plain frame. All that it sends after that are records: see [`record`](super::record). Then each side knows where
//! the other stands, and goes on from there.

use std::fmt::Write;

use serde_json::{Value, json};

use super::control::{self, ControlError, pack};
use super::header::{Header, HeaderWriter};

/// The kind of link.
pub const LINK_2: u64 = 2;

/// Its name in TLS' ALPN.
pub const ALPN: &[u8] = b"aioconnectors/2";

/// The first frame of each side; from then on it sends records.
pub const LINK: &str = "_link";
/// Opens a lane, or opens it again after a [`STOP`].
pub const LANE: &str = "_lane";
/// Says how much of each lane was taken over.
pub const TAKEN: &str = "_taken";
/// There is no room for a lane's records: those from a number on must come again, after a [`GO`].
pub const STOP: &str = "_stop";
/// There is room again.
pub const GO: &str = "_go";

/// The feature that a client's certificate is renewed on the link: `renew_certificate` of [`control`].
pub const RENEWAL: &str = "renewal";

/// The feature that messages with the same header come in runs: see [`runs`](super::runs).
pub const RUNS: &str = "runs";

/// What a client says of a link that takes the place of its own older one, which leads to another address of the server.
/// No feature, but said among them: a server that does not know it takes the two for those of two connectors.
pub const MOVES: &str = "moves";

/// What this side can do on a link besides what all do. Each side says its own; a name that is not known is passed over.
pub const FEATURES: [&str; 2] = [RENEWAL, RUNS];

/// Most features that are looked at.
const FEATURES_MAX: usize = 64;

/// Most places that a [`LinkHello`] may name, which bounds what a peer can have this side remember.
pub const PLACES_SAID_MAX: usize = 4096;

/// How far a side has come in one of the other side's lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSaid {
    /// The lane's message type.
    pub message_type: String,
    /// The life of the lane's numbers.
    pub epoch: u64,
    /// It has all records with smaller numbers.
    pub received: u64,
    /// It has taken over all records with smaller numbers: the sender need not keep them.
    pub taken: u64,
}

/// The first frame of each side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkHello {
    /// Most bytes of a lane that this side wants on their way to it without having taken them over.
    pub window: u64,
    /// Where it stands in the other side's lanes.
    pub places: Vec<PlaceSaid>,
    /// What else it can do: names such as [`RENEWAL`].
    pub features: Vec<String>,
}

/// What is said on a link of the second kind, besides the hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkControl {
    /// The records of this lane come next, in the order of their numbers.
    Lane {
        /// Names the lane on this link.
        lane: u32,
        /// Its message type.
        message_type: String,
        /// The life of its numbers.
        epoch: u64,
        /// The other side has said before that it took over all records with smaller numbers.
        released: u64,
    },
    /// All records with a smaller number were taken over: the lane, the number.
    Taken(Vec<(u32, u64)>),
    /// There is no room for records of the lane from this number on.
    Stop {
        /// The lane.
        lane: u32,
        /// The first that has to come again.
        next: u64,
    },
    /// There is room for the lane again.
    Go {
        /// The lane.
        lane: u32,
    },
}

/// The greeting of a client without TLS that speaks this kind of link.
#[must_use]
pub fn greeting(message_type: &str, client_name: &str) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.text("message_type", message_type).text("source_id", client_name).json("link", &LINK_2.to_string());
    pack(header, control::HELLO)
}

fn own(message_type: &str, source_id: &str, data: &Value) -> Vec<u8> {
    control::own_frame(message_type, source_id, data.to_string().as_bytes())
}

/// The JSON of these pairs. It is said of each message that comes alone, so it takes no way about values.
fn pairs(lanes: &[(u32, u64)]) -> String {
    let mut text = String::with_capacity(2 + lanes.len() * 16);
    text.push('[');
    for (at, (lane, next)) in lanes.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // A string takes what is written to it.
        let _ = write!(text, "{comma}[{lane},{next}]");
    }
    text.push(']');
    text
}

impl LinkHello {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self, source_id: &str) -> Vec<u8> {
        let places = self.places.iter().map(|p| json!([p.message_type, p.epoch, p.received, p.taken]));
        let mut data = json!({"window": self.window, "places": places.collect::<Vec<_>>()});
        if !self.features.is_empty() {
            data["features"] = json!(self.features);
        }
        let mut header = HeaderWriter::new();
        header.text("message_type", LINK).text("source_id", source_id).json("link", &LINK_2.to_string());
        pack(header, data.to_string().as_bytes())
    }

    /// Reads the data of such a frame.
    ///
    /// # Errors
    /// It does not say what it must.
    pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Self, ControlError> {
        let fail = |problem: &str| ControlError::new(&header.message_type, problem);
        let data: Value = serde_json::from_slice(data).map_err(|e| fail(&e.to_string()))?;
        let window = data["window"].as_u64().ok_or_else(|| fail("the key \"window\" with a number is expected"))?;
        let places = data["places"].as_array().ok_or_else(|| fail("the key \"places\" with a list is expected"))?;
        if places.len() > PLACES_SAID_MAX {
            return Err(fail(&format!("{} places, {PLACES_SAID_MAX} is the most", places.len())));
        }
        let read = |place: &Value| {
            Some(PlaceSaid {
                message_type: place[0].as_str()?.to_owned(),
                epoch: place[1].as_u64()?,
                received: place[2].as_u64()?,
                taken: place[3].as_u64()?,
            })
        };
        let places: Option<Vec<PlaceSaid>> = places.iter().map(read).collect();
        let places = places.ok_or_else(|| fail("a place is a type and three numbers"))?;
        let features = data["features"].as_array().into_iter().flatten().take(FEATURES_MAX);
        let features = features.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Ok(Self { window, places, features })
    }
}

impl LinkControl {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self, source_id: &str) -> Vec<u8> {
        match self {
            LinkControl::Lane { lane, message_type, epoch, released } => {
                own(LANE, source_id, &json!([lane, message_type, epoch, released]))
            }
            LinkControl::Taken(lanes) => control::own_frame(TAKEN, source_id, pairs(lanes).as_bytes()),
            LinkControl::Stop { lane, next } => own(STOP, source_id, &json!([lane, next])),
            LinkControl::Go { lane } => own(GO, source_id, &json!([lane])),
        }
    }

    /// Reads such a frame; `None` if it is of another type.
    ///
    /// # Errors
    /// It does not say what it must.
    pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Option<Self>, ControlError> {
        let kind = header.message_type.as_ref();
        if ![LANE, TAKEN, STOP, GO].contains(&kind) {
            return Ok(None);
        }
        // As it is said; longer lists of a later kind are read below.
        if kind == TAKEN
            && let Ok(lanes) = serde_json::from_slice(data)
        {
            return Ok(Some(LinkControl::Taken(lanes)));
        }
        let fail = |problem: &str| ControlError::new(&header.message_type, problem);
        let data: Value = serde_json::from_slice(data).map_err(|e| fail(&e.to_string()))?;
        Self::read(kind, &data).map(Some).ok_or_else(|| fail("a lane's number and what belongs to it are expected"))
    }

    fn read(kind: &str, data: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        if kind == TAKEN {
            let pairs = data.as_array()?.iter().map(|pair| Some((number(&pair[0])?, pair[1].as_u64()?)));
            return pairs.collect::<Option<Vec<_>>>().map(LinkControl::Taken);
        }
        let lane = number(&data[0])?;
        match kind {
            LANE => Some(LinkControl::Lane {
                lane,
                message_type: data[1].as_str()?.to_owned(),
                epoch: data[2].as_u64()?,
                released: data[3].as_u64()?,
            }),
            STOP => Some(LinkControl::Stop { lane, next: data[1].as_u64()? }),
            _ => Some(LinkControl::Go { lane }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<LinkControl>, ControlError> {
        let frame = Frame::parse(bytes).unwrap();
        LinkControl::parse(&Header::parse(frame.header()).unwrap(), frame.data())
    }

    #[test]
    fn what_a_later_kind_adds_to_what_was_taken_is_passed_over() {
        let said = control::own_frame(TAKEN, "c1", b"[[1,2,3]]");
        assert_eq!(read(&said).unwrap(), Some(LinkControl::Taken(vec![(1, 2)])));
    }

    #[test]
    fn what_is_said_is_read_back() {
        let lane = LinkControl::Lane { lane: 3, message_type: "é\"".into(), epoch: u64::MAX, released: 7 };
        let taken = LinkControl::Taken(vec![(0, 1), (u32::MAX, u64::MAX)]);
        let lanes: Vec<(u32, u64)> = vec![(0, 1), (7, 70)];
        assert_eq!(pairs(&lanes), json!(lanes).to_string());
        for said in [
            lane,
            taken,
            LinkControl::Taken(lanes),
            LinkControl::Stop { lane: 1, next: 9 },
            LinkControl::Go { lane: 2 },
        ] {
            assert_eq!(read(&said.encode("c1")).unwrap(), Some(said));
        }
        assert_eq!(read(&control::own_frame("_ping", "c1", b"")).unwrap(), None);
    }

    #[test]
    fn a_hello_is_read_back() {
        let place = PlaceSaid { message_type: "any".into(), epoch: u64::MAX, received: 5, taken: 4 };
        let hello = LinkHello { window: 1 << 20, places: vec![place], features: vec![RENEWAL.into()] };
        let bytes = hello.encode("c1");
        let frame = Frame::parse(&bytes).unwrap();
        let header = Header::parse(frame.header()).unwrap();
        assert_eq!(header.link, Some(LINK_2));
        assert_eq!(LinkHello::parse(&header, frame.data()), Ok(hello));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for data in ["{}", "[]", "[1]", "[1, \"any\", -1, 0]", "[[1]]", "x"] {
            let bytes = control::own_frame(LANE, "c1", data.as_bytes());
            assert!(read(&bytes).unwrap_err().to_string().contains("_lane"), "{data}");
        }
        let bytes = control::own_frame(LINK, "c1", b"{\"window\": 1, \"places\": [[1, 2]]}");
        let frame = Frame::parse(&bytes).unwrap();
        let header = Header::parse(frame.header()).unwrap();
        assert!(LinkHello::parse(&header, frame.data()).unwrap_err().to_string().contains("a place is"));
    }
}
