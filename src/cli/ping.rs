//! `ping`: asks the other connector for an echo, every two seconds.

use std::time::{Duration, Instant};

use super::command::Command;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME};
use super::tool;
use crate::api::ConnectorApi;
use crate::wire::control::PING;

/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "ping",
    aliases: &[],
    summary: "Ask the other connector for an echo, every two seconds.",
    details: "",
    operands: &[CONNECTOR, tool::CLIENT],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| {
        tool::repeat("ping", args, out, |api, peer, index, lines| {
            lines.print(question(peer, index)) && lines.print(answer(api, peer, index))
        })
    },
};

fn question(peer: &str, index: i64) -> String {
    format!("\nSENDING PING to peer {peer} with index {index}")
}

/// Pings once.
fn answer(api: &ConnectorApi, peer: &str, index: i64) -> String {
    let data = format!("PING {}", index.to_string().repeat(5));
    let start = Instant::now();
    let ping = api.send_message(PING).destination(peer).request_id(index).text(&data);
    match ping.await_response(TIMEOUT) {
        Ok(answer) => {
            let data = tool::python_bytes(answer.data());
            format!("RECEIVING REPLY from peer {peer} with data {data} after {:.3?}", start.elapsed())
        }
        Err(e) => format!("NO REPLY from peer {peer}: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::wire::control::ping_answer_header;
    use crate::wire::frame::{Deframer, encode};
    use crate::wire::header::Header;
    use crate::wire::names::{Role, SocketPaths};

    /// A connector that answers one ping.
    fn echo(listener: &UnixListener) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut deframer = Deframer::new(1000);
        let mut buffer = [0; 1000];
        loop {
            let n = stream.read(&mut buffer).unwrap();
            let mut frames = deframer.feed(&buffer[..n]);
            if let Some(frame) = frames.next().unwrap() {
                let id = Header::parse(frame.header()).unwrap().request_id.unwrap();
                let mut out = Vec::new();
                encode(&ping_answer_header("s", &id, false), frame.data(), None, &mut out).unwrap();
                return stream.write_all(&out).unwrap();
            }
        }
    }

    #[test]
    fn an_echo_and_its_absence_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let api = ConnectorApi::client("c1").files_dir(dir.path()).send_message_types(["other"]).build().unwrap();
        let lone = answer(&api, "s", 1);
        assert!(lone.starts_with("NO REPLY from peer s: no connector runs at "), "{lone}");
        let listener = UnixListener::bind(SocketPaths::new(dir.path(), Role::Client, "c1").send()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| echo(&listener));
            let reply = answer(&api, "s", 7);
            assert!(reply.starts_with("RECEIVING REPLY from peer s with data b'PING 77777' after "), "{reply}");
        });
    }
}
