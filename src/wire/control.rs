//! The connectors' own messages: types that begin with `_`, and what their data says.

use std::fmt;

use serde_json::{Value, json};

use super::frame;
use super::header::{Header, HeaderWriter, MessageId};

/// Enrolment: a client asks for a certificate, the server sends one.
pub const SSL: &str = "_ssl";
/// First frame of a client in `ssl_allow_all` mode.
pub const HANDSHAKE_SSL: &str = "_handshake_ssl";
/// First frame of a client without TLS.
pub const HANDSHAKE_NO_SSL: &str = "_handshake_no_ssl";
/// Answers a frame that has a `transport_id`.
pub const ACK: &str = "_ack";
/// Asks the other connector for an echo.
pub const PING: &str = "_ping";
/// Subscriptions and publications.
pub const PUBSUB: &str = "_pubsub";
/// Names the lane of publications that are stored on their way to the broker; on the wire they are [`PUBSUB`] as well.
pub const PUBSUB_STORED: &str = "_pubsub_stored";
/// Tells the peer why its connection ends; ours send it, others pass it over as a type they do not know.
pub const CLOSE: &str = "_close";

/// First frame of an app that makes use of what this connector adds.
pub const APP_HELLO: &str = "_hello";

/// The data of the first frame of a client that has no certificate of its own.
pub const HELLO: &[u8] = b"hello";

/// The `request_id` of a client's keep-alive.
pub const KEEP_ALIVE_ID: &str = "keep_alive_client_check";

/// The `request_id` of the question by which a client finds out that the server has let it in.
pub const LINK_CHECK_ID: &str = "link_check";

/// `error` of the answer to a request whose peer went away.
pub const DISCONNECTED_DURING_WAIT: &str = "disconnected_during_wait";

/// `error` of the answer to a request that has waited for as long as its app wanted.
pub const TIMEOUT: &str = "timeout";

/// One frame of a connector's own.
#[must_use]
pub fn own_frame(message_type: &str, source_id: &str, data: &[u8]) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.text("message_type", message_type).text("source_id", source_id);
    pack(header, data)
}

/// The header and the data as one frame. Headers of own frames hold ids that were checked to be short.
pub(super) fn pack(header: HeaderWriter, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let written = frame::encode(&header.finish(), data, None, &mut out);
    debug_assert!(written.is_ok(), "an own frame is short: {written:?}");
    out
}

/// What a client offers so that its key need not be made by the server, which does one thing or the other with it. A
/// Python server passes both over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// A certificate that it has made, in PEM, for the server to accept.
    pub certificate_pem: Option<String>,
    /// A request, in PEM, for the server's CA to sign.
    pub request_pem: Option<String>,
}

impl Offer {
    fn said(&self, command: &str) -> Value {
        let mut said = json!({"cmd": command});
        for (key, text) in [("crt", &self.certificate_pem), ("csr", &self.request_pem)] {
            if let Some(text) = text {
                said[key] = json!(text);
            }
        }
        said
    }
}

/// The client's request for a certificate of its own.
#[must_use]
pub fn get_new_certificate(client_name: &str, offer: &Offer) -> Vec<u8> {
    own_frame(SSL, client_name, offer.said("get_new_certificate").to_string().as_bytes())
}

/// The request of a client that has a certificate for the next one, on a link with the feature
/// [`RENEWAL`](super::link::RENEWAL).
#[must_use]
pub fn renew_certificate(client_name: &str, offer: &Offer) -> Vec<u8> {
    own_frame(SSL, client_name, offer.said("renew_certificate").to_string().as_bytes())
}

/// The server's answer to [`renew_certificate`] if it does not; else it is [`set_new_certificate`].
#[must_use]
pub fn certificate_not_renewed(server_id: &str, why: &str) -> Vec<u8> {
    own_frame(SSL, server_id, json!({"cmd": "certificate_not_renewed", "msg": why}).to_string().as_bytes())
}

/// The server's answer to [`get_new_certificate`]: PEM texts. Without a key if the client has it.
#[must_use]
pub fn set_new_certificate(server_id: &str, new: &NewCertificate) -> Vec<u8> {
    let mut data = json!({"cmd": "set_new_certificate", "crt": new.certificate_pem});
    if let Some(key) = &new.key_pem {
        data["key"] = json!(key);
    }
    own_frame(SSL, server_id, data.to_string().as_bytes())
}

/// Tells the peer why its connection ends.
#[must_use]
pub fn close(source_id: &str, reason: CloseReason) -> Vec<u8> {
    own_frame(CLOSE, source_id, json!({"reason": reason.word()}).to_string().as_bytes())
}

/// The acknowledgement of the frame that had this `transport_id`.
#[must_use]
pub fn ack(source_id: &str, transport_id: u64) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.json("transport_id", &transport_id.to_string());
    header.text("message_type", ACK).text("source_id", source_id);
    pack(header, b"")
}

/// A client's question whether the server is there; `request_id` says what for.
#[must_use]
pub fn ping(client_name: &str, server_id: &str, request_id: &str) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.flag("await_response", true).text("request_id", request_id);
    header.text("destination_id", server_id).text("message_type", PING).text("source_id", client_name);
    pack(header, request_id.as_bytes())
}

/// The header of the answer to a `_ping`; the frame's data and binary are those of the request.
#[must_use]
pub fn ping_answer_header(source_id: &str, request_id: &MessageId, with_binary: bool) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.text("message_type", PING).json("response_id", &request_id.to_json()).text("source_id", source_id);
    header.flag("with_binary", with_binary);
    header.finish()
}

/// What an app gets in place of an answer that will not come; `request_id` is that of its request, if it gave one.
#[must_use]
pub fn no_answer(request_id: Option<&MessageId>, error: &str) -> Vec<u8> {
    let mut header = HeaderWriter::new();
    header.text("error", error);
    if let Some(id) = request_id {
        header.json("response_id", &id.to_json());
    }
    pack(header, b"{}")
}

/// Why a connector ends a connection, as the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Another connection has come under the same client name.
    Replaced,
    /// The connector has another link, to another address.
    Moved,
    /// The connector shuts down.
    Stopping,
}

impl CloseReason {
    const ALL: [CloseReason; 3] = [CloseReason::Replaced, CloseReason::Moved, CloseReason::Stopping];

    /// The word for it on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CloseReason::Replaced => "replaced_by_newer_connection",
            CloseReason::Moved => "moved",
            CloseReason::Stopping => "stopping",
        }
    }
}

/// A certificate and its private key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, unless the client has that; never printed.
    pub key_pem: Option<String>,
}

impl fmt::Debug for NewCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCertificate").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// What the data of an own frame can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `_ssl`: a client wants a certificate.
    GetNewCertificate(Offer),
    /// `_ssl`: the server sends one.
    SetNewCertificate(NewCertificate),
    /// `_ssl`: a client wants its next certificate.
    RenewCertificate(Offer),
    /// `_ssl`: it does not get one, and why.
    NotRenewed(String),
    /// `_close`: the peer ends the connection, with the reason if it is one that we know.
    Close(Option<CloseReason>),
}

/// Why an own frame is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    message_type: String,
    problem: String,
}

impl ControlError {
    pub(super) fn new(message_type: &str, problem: &str) -> Self {
        Self { message_type: message_type.to_owned(), problem: problem.to_owned() }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {:?} message is not understood: {}", self.message_type, self.problem)
    }
}

impl std::error::Error for ControlError {}

/// Reads the data of a `_ssl` or `_close` frame.
///
/// # Errors
/// It is not JSON, or does not say what that type must say.
pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Control, ControlError> {
    let fail = |problem: String| ControlError { message_type: header.message_type.to_string(), problem };
    let data: Value = serde_json::from_slice(data).map_err(|e| fail(e.to_string()))?;
    let text = |key: &str| {
        let value = data.get(key).and_then(Value::as_str);
        value.ok_or_else(|| fail(format!("the key {key:?} with a string is expected")))
    };
    if header.message_type == CLOSE {
        let word = text("reason")?;
        return Ok(Control::Close(CloseReason::ALL.into_iter().find(|r| r.word() == word)));
    }
    match text("cmd")? {
        "certificate_not_renewed" => Ok(Control::NotRenewed(text("msg")?.to_owned())),
        command @ ("get_new_certificate" | "renew_certificate") => {
            // What is not a text is as good as nothing: it was not said by one who means what this side means by it.
            let (certificate_pem, request_pem) = (text("crt").ok(), text("csr").ok());
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let offer = Offer { certificate_pem: owned(certificate_pem), request_pem: owned(request_pem) };
            let is_new = command == "get_new_certificate";
            Ok(if is_new { Control::GetNewCertificate(offer) } else { Control::RenewCertificate(offer) })
        }
        "set_new_certificate" => {
            let key_pem = if data.get("key").is_some() { Some(text("key")?.to_owned()) } else { None };
            Ok(Control::SetNewCertificate(NewCertificate { certificate_pem: text("crt")?.to_owned(), key_pem }))
        }
        other => Err(fail(format!("{other:?} is nothing that is said of certificates"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    fn read(bytes: &[u8]) -> (String, Result<Control, ControlError>) {
        let frame = Frame::parse(bytes).unwrap();
        let header = Header::parse(frame.header()).unwrap();
        (header.message_type.to_string(), parse(&header, frame.data()))
    }

    #[test]
    fn own_frames_are_read_back() {
        let offers = [
            Offer::default(),
            Offer { certificate_pem: Some("C".into()), request_pem: None },
            Offer { certificate_pem: Some("C".into()), request_pem: Some("R".into()) },
        ];
        for offer in offers {
            let frame = get_new_certificate("c1", &offer);
            assert_eq!(read(&frame), (SSL.into(), Ok(Control::GetNewCertificate(offer.clone()))));
            let frame = renew_certificate("c1", &offer);
            assert_eq!(read(&frame), (SSL.into(), Ok(Control::RenewCertificate(offer))));
        }
        for key_pem in [Some("K\n".into()), None] {
            let new = NewCertificate { certificate_pem: "C\n".into(), key_pem };
            let frame = set_new_certificate("s", &new);
            assert_eq!(read(&frame), (SSL.into(), Ok(Control::SetNewCertificate(new))));
        }
        let frame = certificate_not_renewed("s", "no");
        assert_eq!(read(&frame), (SSL.into(), Ok(Control::NotRenewed("no".into()))));
        let frame = close("s", CloseReason::Replaced);
        assert_eq!(read(&frame), (CLOSE.into(), Ok(Control::Close(Some(CloseReason::Replaced)))));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let (_, result) = read(&own_frame(SSL, "c", b"{\"cmd\": \"dance\"}"));
        assert!(result.unwrap_err().to_string().contains("\"dance\""));
        let (_, result) = read(&own_frame(SSL, "c", b"{\"cmd\": \"set_new_certificate\", \"crt\": \"x\", \"key\": 1}"));
        assert!(result.unwrap_err().to_string().contains("\"key\""));
    }

    #[test]
    fn a_key_is_not_printed() {
        let new = NewCertificate { certificate_pem: "C".into(), key_pem: Some("secret".into()) };
        assert!(!format!("{new:?}").contains("secret"));
    }
}
