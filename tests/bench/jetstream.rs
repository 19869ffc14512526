//! A stream of JetStream, which keeps what is published: how many messages it has is asked for until all are there.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::client::{Connection, Counted, Expected, Heard, PATIENCE, Place, Speech};
use crate::cpu;

/// The name of the stream.
const NAME: &str = "bench";

/// Where answers come.
const INBOX: &str = "answers";

/// Between two questions: long enough to cost the server nothing that counts.
const LOOK: Duration = Duration::from_millis(5);

/// The app that asks.
pub struct Stream {
    connection: Connection,
}

impl Stream {
    /// Makes a stream, in files, of what is published under `subject`.
    pub fn create(at: SocketAddr, subject: &str) -> Result<Self, Failure> {
        let connection = Connection::open(&Place::Tcp(at), &Speech::nats(INBOX), true)?;
        let mut stream = Self { connection };
        let config = json!({"name": NAME, "subjects": [subject], "storage": "file", "retention": "limits",
            "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_consumers": -1, "num_replicas": 1,
            "discard": "old", "duplicate_window": 0, "no_ack": true});
        stream.ask("CREATE", &config)?;
        Ok(stream)
    }

    /// Takes all messages out of it.
    pub fn empty(&mut self) -> Result<(), Failure> {
        self.ask("PURGE", &json!({})).map(drop)
    }

    /// Waits until it has as many messages as are sent, or no more come.
    pub fn count(&mut self, expected: &Expected) -> Result<Counted, Failure> {
        let begin = cpu::thread();
        let all = expected.count * expected.lanes as u64;
        let mut counted =
            Counted { received: 0, out_of_order: 0, begin: None, end: Instant::now(), cpu: Duration::ZERO };
        while counted.received < all && counted.end.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            let now = self.messages()?;
            if now > counted.received {
                (counted.received, counted.end) = (now, Instant::now());
                counted.begin.get_or_insert(counted.end);
            }
        }
        counted.cpu = cpu::thread() - begin;
        Ok(counted)
    }

    pub fn wait_probe(&mut self, time: Duration) -> Result<bool, Failure> {
        let start = Instant::now();
        while start.elapsed() < time {
            if self.messages()? > 0 {
                return Ok(true);
            }
            thread::sleep(LOOK);
        }
        Ok(false)
    }

    fn messages(&mut self) -> Result<u64, Failure> {
        let info = self.ask("INFO", &json!({}))?;
        info["state"]["messages"].as_u64().ok_or_else(|| format!("a stream without a state: {info}").into())
    }

    fn ask(&mut self, what: &str, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string();
        let start = Instant::now();
        loop {
            let request = format!("PUB $JS.API.STREAM.{what}.{NAME} {INBOX} {}\r\n{body}\r\n", body.len());
            self.connection.write(request.as_bytes())?;
            match self.answer()? {
                Some(answer) if answer["error"].is_null() => return Ok(answer),
                Some(answer) => return Err(format!("JetStream says {}", answer["error"]).into()),
                // JetStream starts a little later than the server: nobody answers then.
                None if start.elapsed() > PATIENCE => return Err("JetStream does not answer".into()),
                None => {}
            }
        }
    }

    fn answer(&mut self) -> Result<Option<Value>, Failure> {
        self.connection.set_patience(Duration::from_secs(1))?;
        loop {
            while let Some((heard, data)) = self.connection.hear()? {
                match heard {
                    Heard::Message { .. } => return Ok(Some(serde_json::from_slice(data)?)),
                    Heard::Ping => self.connection.write(b"PONG\r\n")?,
                    _ => {}
                }
            }
            if !self.connection.read()? {
                return Ok(None);
            }
        }
    }
}
