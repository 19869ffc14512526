//! As much of HTTP/1.1 as a program needs that reads metrics: GET and HEAD of one path, one after the other.
//!
//! Who can reach a loopback port can ask; a page in a browser on this machine can too, by a name of its own that it has
//! lead here. So on a port a request must be for an address or for `localhost`.

use std::fmt::Write;
use std::net::IpAddr;

use super::text::Format;

/// Longest request, bytes: those of Prometheus have less than a thousand.
pub const REQUEST_MAX: usize = 8 * 1024;

/// Where the metrics are.
pub const PATH: &str = "/metrics";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It gets the metrics.
    Ok,
    /// It is none: what is wrong.
    Bad(&'static str),
    /// It is for another host.
    OtherHost,
    /// It asks for something that is not here.
    NotFound,
    /// It wants something done that cannot be.
    NotAllowed,
    /// It is longer than [`REQUEST_MAX`].
    TooLong,
    /// It is of a version of HTTP that is not known here.
    Version,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::Bad(_) => "400 Bad Request",
            Status::OtherHost => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::NotAllowed => "405 Method Not Allowed",
            Status::TooLong => "431 Request Header Fields Too Large",
            Status::Version => "505 HTTP Version Not Supported",
        }
    }

    /// What the answer says, if it is not the metrics.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Status::Ok => String::new(),
            Status::Bad(what) => format!("{what}\n"),
            Status::OtherHost => "the host of a request must be an IP address or localhost\n".to_owned(),
            Status::NotFound => format!("the metrics are at {PATH}\n"),
            Status::NotAllowed => "only GET and HEAD are answered\n".to_owned(),
            Status::TooLong => format!("a request has at most {REQUEST_MAX} bytes\n"),
            Status::Version => "HTTP/1.1 is spoken here\n".to_owned(),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What becomes of it.
    pub status: Status,
    /// Only the head of the answer is wanted.
    pub head_only: bool,
    /// The format that is wanted.
    pub format: Format,
    /// The connection ends with the answer.
    pub closes: bool,
}

impl Asked {
    /// What ends the connection.
    fn refused(status: Status) -> Self {
        Self { status, head_only: false, format: Format::Prometheus, closes: true }
    }
}

/// Reads a request from the bytes that came so far: how many belong to it, and what it asks. `None` while it is not whole.
/// With `any_host` it may be for any host: on a Unix socket.
#[must_use]
pub fn parse(bytes: &[u8], any_host: bool) -> Option<(usize, Asked)> {
    let Some(end) = head_end(bytes) else {
        return (bytes.len() > REQUEST_MAX).then(|| (bytes.len(), Asked::refused(Status::TooLong)));
    };
    if end > REQUEST_MAX {
        return Some((end, Asked::refused(Status::TooLong)));
    }
    let asked = std::str::from_utf8(&bytes[..end]).map_or(Err(Status::Bad("the request is no text")), |head| {
        let mut lines = head.lines();
        let request = request_line(lines.next().unwrap_or_default())?;
        headers(lines, request, any_host)
    });
    Some((end, asked.unwrap_or_else(Asked::refused)))
}

/// Behind the empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let is_end = |at: &usize| bytes[*at..].starts_with(b"\n\r\n") || bytes[*at..].starts_with(b"\n\n");
    let at = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').find(is_end)?;
    Some(at + if bytes[at + 1] == b'\r' { 3 } else { 2 })
}

struct RequestLine {
    status: Status,
    head_only: bool,
    /// HTTP/1.0, which knows of no second request.
    is_old: bool,
}

fn request_line(line: &str) -> Result<RequestLine, Status> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::Bad("the first line is no request"));
    };
    let is_old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        version if version.starts_with("HTTP/") => return Err(Status::Version),
        _ => return Err(Status::Bad("the first line is no request")),
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(Status::Bad("the first line is no request"));
    }
    let path = target.split('?').next().unwrap_or_default();
    let status = match (method, path) {
        ("GET" | "HEAD", PATH) => Status::Ok,
        ("GET" | "HEAD", _) => Status::NotFound,
        _ => Status::NotAllowed,
    };
    Ok(RequestLine { status, head_only: method == "HEAD", is_old })
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>, request: RequestLine, any_host: bool) -> Result<Asked, Status> {
    let RequestLine { status, head_only, is_old } = request;
    let mut asked = Asked { status, head_only, format: Format::Prometheus, closes: is_old };
    let (mut hosts, mut has_body) = (0, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else { return Err(Status::Bad("a header has no colon")) };
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(Status::Bad("a header has no name"));
        }
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => {
                hosts += 1;
                if !any_host && !is_local(value) {
                    return Err(Status::OtherHost);
                }
            }
            "accept" if value.contains("application/openmetrics-text") => asked.format = Format::OpenMetrics,
            "connection" => asked.closes |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")),
            "content-length" => has_body |= value != "0",
            "transfer-encoding" => has_body = true,
            _ => {}
        }
    }
    match hosts {
        _ if has_body => Err(Status::Bad("a request has no body here")),
        0 if !is_old => Err(Status::Bad("the request does not say its host")),
        2.. => Err(Status::Bad("the request says its host twice")),
        _ => Ok(asked),
    }
}

/// Whether nobody can have made up this host to lead a browser here.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// The head of the answer to a request, whose body has so many bytes.
#[must_use]
pub fn head(asked: &Asked, length: usize) -> Vec<u8> {
    let content_type =
        if asked.status == Status::Ok { asked.format.content_type() } else { "text/plain; charset=utf-8" };
    let mut head = format!("HTTP/1.1 {}\r\nContent-Type: {content_type}\r\n", asked.status.line());
    // Writing into memory does not fail.
    _ = write!(head, "Content-Length: {length}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if asked.status == Status::NotAllowed {
        head.push_str("Allow: GET, HEAD\r\n");
    }
    if asked.closes {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> Status {
        parse(request.as_bytes(), false).expect("the request is whole").1.status
    }

    #[test]
    fn a_request_is_read_when_it_is_whole_and_what_follows_is_left() {
        let request = b"GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9101\r\nAccept: text/plain\r\n\r\nGET";
        for cut in 0..request.len() - 3 {
            assert_eq!(parse(&request[..cut], false), None, "cut at {cut}");
        }
        let asked = Asked { status: Status::Ok, head_only: false, format: Format::Prometheus, closes: false };
        assert_eq!(parse(request, false), Some((request.len() - 3, asked)));
        assert_eq!(status("GET /metrics HTTP/1.1\nHost: localhost\n\n"), Status::Ok, "others end lines so");
    }

    #[test]
    fn who_takes_openmetrics_gets_it() {
        let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*";
        let request =
            format!("HEAD /metrics HTTP/1.1\r\nhost: [::1]:9101\r\nACCEPT: {accept}\r\nConnection: Close\r\n\r\n");
        let asked = Asked { status: Status::Ok, head_only: true, format: Format::OpenMetrics, closes: true };
        assert_eq!(parse(request.as_bytes(), false).map(|(_, asked)| asked), Some(asked));
    }

    #[test]
    fn what_is_not_for_it_is_said_to_be_so() {
        let host = "Host: localhost\r\n\r\n";
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{host}")), Status::NotFound);
        assert_eq!(status(&format!("POST /metrics HTTP/1.1\r\n{host}")), Status::NotAllowed);
        assert_eq!(status(&format!("GET /metrics HTTP/2.0\r\n{host}")), Status::Version);
        assert_eq!(status("GET /metrics HTTP/1.0\r\n\r\n"), Status::Ok);
        for bad in [
            "\r\n\r\n".to_owned(),
            "GET /metrics\r\n\r\n".to_owned(),
            format!("GET  /metrics HTTP/1.1\r\n{host}"),
            format!("G\0T /metrics HTTP/1.1\r\n{host}"),
            "GET /metrics HTTP/1.1\r\n\r\n".to_owned(),
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{host}"),
            format!("GET /metrics HTTP/1.1\r\nnonsense\r\n{host}"),
            format!("GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n{host}"),
            format!("GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{host}"),
            format!("GET /metrics HTTP/1.1\r\nHost : localhost\r\n{host}"),
        ] {
            assert!(matches!(status(&bad), Status::Bad(_)), "{bad:?}");
        }
        assert!(parse(b"GET \xff HTTP/1.1\r\nHost: localhost\r\n\r\n", false).unwrap().1.closes);
    }

    #[test]
    fn a_name_that_somebody_leads_here_is_refused_on_a_port() {
        let request = b"GET /metrics HTTP/1.1\r\nHost: evil.example:9101\r\n\r\n";
        assert_eq!(parse(request, false).unwrap().1.status, Status::OtherHost);
        assert_eq!(parse(request, true).unwrap().1.status, Status::Ok);
    }

    #[test]
    fn a_request_without_an_end_is_too_long() {
        let mut request = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        request.resize(REQUEST_MAX, b'x');
        assert_eq!(parse(&request, false), None);
        request.push(b'x');
        assert_eq!(parse(&request, false).unwrap().1.status, Status::TooLong);
    }

    #[test]
    fn an_answer_says_what_it_is() {
        let asked = Asked::refused(Status::NotAllowed);
        let head = String::from_utf8(head(&asked, 5)).unwrap();
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"));
        assert!(head.contains("Content-Length: 5\r\n") && head.contains("Allow: GET, HEAD\r\n"));
        assert!(head.ends_with("Connection: close\r\n\r\n"));
    }
}
