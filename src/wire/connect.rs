//! HTTP CONNECT: how a proxy is asked for a tunnel to a server, and what it answers (RFC 9110, 9.3.6; RFC 9112; RFC 7617).

use std::fmt;

use super::base64;

/// Most bytes of an answer up to the empty line that ends it, those of interim answers (1xx) included. Proxies say a few
/// hundred; an error's page comes behind the empty line and is not read.
pub const HEAD_MAX: usize = 16 * 1024;

/// Most characters of a proxy's own words that are shown.
const SHOWN_MAX: usize = 100;

/// A user's name with a colon cannot be said: what stands before the first colon is the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColonInName;

impl fmt::Display for ColonInName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the username for the proxy has a colon, which Basic authorization cannot carry")
    }
}

impl std::error::Error for ColonInName {}

/// A host and a port, an IPv6 address in brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The request for a tunnel to `port` of `host`, which the proxy looks up; with a name and a password, if there are any.
///
/// # Errors
/// [`ColonInName`].
pub fn request(host: &str, port: u16, credentials: Option<(&str, &str)>) -> Result<Vec<u8>, ColonInName> {
    let authority = authority(host, port);
    let mut out = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some((name, password)) = credentials {
        if name.contains(':') {
            return Err(ColonInName);
        }
        let encoded = base64::encode(format!("{name}:{password}").as_bytes());
        out.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
    }
    out.push_str("\r\n");
    Ok(out.into_bytes())
}

/// What a proxy has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status: 200 to 299 if the tunnel is open.
    pub status: u16,
    /// Its words for that, fit to be shown.
    pub reason: String,
    /// The kinds of authorization that it offers, in lower case.
    pub schemes: Vec<String>,
}

impl Answer {
    /// Whether what follows comes from the server.
    #[must_use]
    pub fn is_open(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What came is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// It does not begin as HTTP does, but with this, fit to be shown.
    NotHttp(String),
    /// It begins as a TLS alert does.
    Tls,
    /// More than [`HEAD_MAX`] bytes, and no end.
    TooLong,
}

/// The answer in `bytes`, all that came so far, and how many of them it is; none if it is not there as a whole. What
/// stands behind it is the server's, or the page of an error.
///
/// # Errors
/// It is none, or too long.
pub fn answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, AnswerError> {
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let known = rest.len().min(PREFIX.len());
        if rest[..known] != PREFIX[..known] {
            return Err(not_http(rest));
        }
        let end = head_end(rest).map(|end| start + end);
        if end.unwrap_or(bytes.len()) > HEAD_MAX {
            return Err(AnswerError::TooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let answer = head(&bytes[start..end]).ok_or_else(|| not_http(rest))?;
        if !(100..200).contains(&answer.status) {
            return Ok(Some((answer, end)));
        }
        start = end;
    }
}

const PREFIX: &[u8] = b"HTTP/";

fn not_http(bytes: &[u8]) -> AnswerError {
    // A TLS record of the type alert, of version 3.something.
    if bytes.starts_with(&[0x15, 3]) { AnswerError::Tls } else { AnswerError::NotHttp(shown(bytes)) }
}

/// Where the empty line ends that ends the head. Lines may end without a carriage return.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.into_iter().find_map(|at| match &bytes[at..] {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

/// A head that is whole; none if its first line is no status.
fn head(bytes: &[u8]) -> Option<Answer> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next()?;
    let mut words = first.splitn(3, |byte| *byte == b' ');
    let (_version, status) = (words.next()?, words.next()?);
    let is_number = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    let status: u16 = std::str::from_utf8(status).ok().filter(|_| is_number)?.parse().ok()?;
    let schemes = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let scheme = value.split(|byte| *byte == b' ' || *byte == b',').next()?;
        name.eq_ignore_ascii_case(b"Proxy-Authenticate").then(|| shown(&scheme.to_ascii_lowercase()))
    });
    Some(Answer { status, schemes: schemes.collect(), reason: words.next().map(shown).unwrap_or_default() })
}

/// Bytes as they may stand in a log.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN_MAX)]);
    let text: String = text.chars().take(SHOWN_MAX).collect();
    text.trim().chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &str, credentials: Option<(&str, &str)>) -> String {
        String::from_utf8(request(host, 7, credentials).unwrap()).unwrap()
    }

    #[test]
    fn a_request_names_the_server_and_carries_credentials() {
        assert_eq!(asked("a.example", None), "CONNECT a.example:7 HTTP/1.1\r\nHost: a.example:7\r\n\r\n");
        assert!(asked("::1", None).starts_with("CONNECT [::1]:7 HTTP/1.1\r\nHost: [::1]:7\r\n"));
        let with = asked("a", Some(("Aladdin", "open sesame")));
        assert!(with.ends_with("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{with}");
        assert_eq!(request("a", 7, Some(("a:b", "c"))), Err(ColonInName));
    }

    #[test]
    fn an_answer_is_found_however_it_is_cut_and_what_follows_is_left() {
        let whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nTLS";
        let end = whole.len() - 3;
        for cut in 0..end {
            assert_eq!(answer(&whole[..cut]), Ok(None), "after {cut} bytes");
        }
        let (found, used) = answer(whole).unwrap().unwrap();
        assert_eq!((found.status, found.reason.as_str(), used), (200, "Connection established", end));
        assert!(found.is_open());
        assert_eq!(answer(b"HTTP/1.1 204\n\nx").unwrap().unwrap().1, 14);
    }

    #[test]
    fn what_a_proxy_wants_to_know_is_read() {
        let head = b"HTTP/1.1 407 Who\x1b are you\r\nproxy-authenticate:  Digest realm=\"a\", x\r\n\
                     Proxy-Authenticate: BASIC realm=b\r\nServer: s\r\n\r\n<html>";
        let (found, _) = answer(head).unwrap().unwrap();
        assert_eq!((found.status, found.is_open()), (407, false));
        assert_eq!(found.schemes, ["digest", "basic"]);
        assert_eq!(found.reason, "Who\u{fffd} are you");
    }

    #[test]
    fn what_is_no_http_is_seen_with_its_first_byte() {
        assert_eq!(answer(b"SSH-2.0-x\r\n"), Err(AnswerError::NotHttp("SSH-2.0-x".into())));
        assert_eq!(answer(&[0x15, 3, 1, 0, 2, 2, 70]), Err(AnswerError::Tls));
        for bad in [&b"HTTP/1.1\r\n\r\n"[..], b"HTTP/1.1 2000 x\r\n\r\n", b"HTTP/1.1 +20 x\r\n\r\n"] {
            assert!(matches!(answer(bad), Err(AnswerError::NotHttp(_))), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        bytes.resize(HEAD_MAX, b'x');
        assert_eq!(answer(&bytes), Ok(None));
        bytes.push(b'x');
        assert_eq!(answer(&bytes), Err(AnswerError::TooLong));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_MAX);
        assert_eq!(answer(&interim), Err(AnswerError::TooLong));
    }
}
