//! What apps say to what carries their messages: frames of ours, the text of NATS, or MQTT 3.1.1. No more of each than
//! is needed here.

use std::ops::Range;

use aioconnectors::wire::frame::encode;

use crate::Failure;

/// What an app says, and hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Frames, with a header that is the same for each message.
    Frames { header: String },
    /// The client protocol of NATS.
    Nats { subject: String },
    /// MQTT 3.1.1 with QoS 0, or with QoS 1 and sessions that last. `name` is the client's.
    Mqtt { topic: String, name: String, lasting: bool },
}

/// What stands at the beginning of what was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message: where its data lies, and its number where MQTT wants it acknowledged.
    Message { data: Range<usize>, packet: Option<[u8; 2]> },
    /// The broker asks whether we are there.
    Ping,
    /// The broker is: it has read all that was said before.
    Pong,
    /// The broker has taken a message over.
    Taken,
    /// What needs no answer.
    Other,
}

const CONNECT: u8 = 0x10;
const PUBLISH: u8 = 0x30;
const QOS_1: u8 = 0x02;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const PINGREQ: u8 = 0xc0;
const CLEAN_SESSION: u8 = 0x02;

/// One message, and where in its bytes what changes from one to the next lies.
pub struct Message {
    pub bytes: Vec<u8>,
    pub data_at: usize,
    /// The packet's number of MQTT, two bytes.
    pub packet_at: Option<usize>,
}

impl Speech {
    pub fn frames(header: &str) -> Self {
        Self::Frames { header: header.to_owned() }
    }

    pub fn nats(subject: &str) -> Self {
        Self::Nats { subject: subject.to_owned() }
    }

    pub fn mqtt(topic: &str, name: &str, lasting: bool) -> Self {
        Self::Mqtt { topic: topic.to_owned(), name: name.to_owned(), lasting }
    }

    /// The same for another client: MQTT knows clients by their names.
    pub fn named(&self, other: &str) -> Self {
        match self {
            Self::Mqtt { topic, lasting, .. } => Self::mqtt(topic, other, *lasting),
            same => same.clone(),
        }
    }

    /// What is said first; `None` where nothing is.
    pub fn greeting(&self) -> Option<Vec<u8>> {
        match self {
            Self::Frames { .. } => None,
            Self::Nats { .. } => Some(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\n".to_vec()),
            Self::Mqtt { name, lasting, .. } => {
                let mut body = b"\x00\x04MQTT\x04".to_vec();
                // No keep-alive: what is silent here is busy.
                body.extend_from_slice(&[if *lasting { 0 } else { CLEAN_SESSION }, 0, 0]);
                put_text(name, &mut body);
                Some(packet(CONNECT, &body))
            }
        }
    }

    /// What asks for the messages.
    pub fn subscription(&self) -> Vec<u8> {
        match self {
            Self::Frames { .. } => Vec::new(),
            Self::Nats { subject } => format!("SUB {subject} 1\r\n").into_bytes(),
            Self::Mqtt { topic, lasting, .. } => {
                let mut body = vec![0, 1];
                put_text(topic, &mut body);
                body.push(u8::from(*lasting));
                packet(SUBSCRIBE, &body)
            }
        }
    }

    /// What the broker answers when it has read all before; nothing where there is no such thing.
    pub fn ping(&self) -> &'static [u8] {
        match self {
            Self::Frames { .. } => b"",
            Self::Nats { .. } => b"PING\r\n",
            Self::Mqtt { .. } => &[PINGREQ, 0],
        }
    }

    /// The answer to [`Heard::Ping`].
    pub fn pong(&self) -> &'static [u8] {
        b"PONG\r\n"
    }

    /// The acknowledgement of a message.
    pub fn acknowledgement(packet: [u8; 2]) -> [u8; 4] {
        [PUBACK, 2, packet[0], packet[1]]
    }

    /// Whether the broker says of each message that it has taken it over.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Mqtt { lasting: true, .. })
    }

    pub fn message(&self, data: &[u8]) -> Result<Message, Failure> {
        let mut bytes = Vec::new();
        match self {
            Self::Frames { header } => {
                encode(header.as_bytes(), data, None, &mut bytes)?;
                Ok(Message { data_at: bytes.len() - data.len(), bytes, packet_at: None })
            }
            Self::Nats { subject } => {
                bytes.extend_from_slice(format!("PUB {subject} {}\r\n", data.len()).as_bytes());
                let data_at = bytes.len();
                bytes.extend_from_slice(data);
                bytes.extend_from_slice(b"\r\n");
                Ok(Message { bytes, data_at, packet_at: None })
            }
            Self::Mqtt { topic, lasting, .. } => {
                let mut body = Vec::new();
                put_text(topic, &mut body);
                let behind_topic = body.len();
                if *lasting {
                    body.extend_from_slice(&[0, 1]);
                }
                body.extend_from_slice(data);
                let bytes = packet(if *lasting { PUBLISH | QOS_1 } else { PUBLISH }, &body);
                let body_at = bytes.len() - body.len();
                let packet_at = lasting.then_some(body_at + behind_topic);
                Ok(Message { data_at: bytes.len() - data.len(), bytes, packet_at })
            }
        }
    }

    /// The first of `bytes` that is whole, and its size.
    pub fn hear(&self, bytes: &[u8]) -> Result<Option<(usize, Heard)>, Failure> {
        match self {
            Self::Frames { .. } => Ok(hear_frame(bytes)),
            Self::Nats { .. } => hear_nats(bytes),
            Self::Mqtt { .. } => hear_mqtt(bytes),
        }
    }
}

/// Trusts its lengths: both ends are ours, and this must cost next to nothing.
fn hear_frame(bytes: &[u8]) -> Option<(usize, Heard)> {
    let size = 4 + u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let frame = bytes.get(..size)?;
    let header = usize::from(u16::from_le_bytes([frame[4], frame[5]]));
    let data = frame.len().min(6 + header + 4)..size;
    Some((size, Heard::Message { data, packet: None }))
}

fn hear_nats(bytes: &[u8]) -> Result<Option<(usize, Heard)>, Failure> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let heard = match line {
        [b'M', b'S', b'G', ..] => {
            let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let number = &line[line.len() - digits..];
            let length = number.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            let data = end + 1..end + 1 + length;
            let size = data.end + 2;
            let message = Heard::Message { data, packet: None };
            return Ok((bytes.len() >= size).then_some((size, message)));
        }
        b"PING" => Heard::Ping,
        b"PONG" => Heard::Pong,
        [b'-', ..] => return Err(format!("nats-server says {}", String::from_utf8_lossy(line)).into()),
        _ => Heard::Other,
    };
    Ok(Some((end + 1, heard)))
}

fn hear_mqtt(bytes: &[u8]) -> Result<Option<(usize, Heard)>, Failure> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let Some((length, at)) = length_of(&bytes[1..]) else { return Ok(None) };
    let (begin, size) = (1 + at, 1 + at + length);
    let Some(body) = bytes.get(begin..size) else { return Ok(None) };
    let heard = match first >> 4 {
        2 if body.get(1) != Some(&0) => return Err(format!("mosquitto refuses the connection: {body:?}").into()),
        3 if body.len() < 4 => return Err("mosquitto sends a message without a topic".into()),
        3 => {
            let behind_topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            match first & QOS_1 {
                0 => Heard::Message { data: begin + behind_topic..size, packet: None },
                _ => {
                    let packet = body.get(behind_topic..).and_then(|rest| rest.first_chunk()).copied();
                    Heard::Message { data: (begin + behind_topic + 2).min(size)..size, packet }
                }
            }
        }
        4 => Heard::Taken,
        13 => Heard::Pong,
        _ => Heard::Other,
    };
    Ok(Some((size, heard)))
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A packet of MQTT: its kind, the length of the rest in digits of 7 bits, and the rest.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = body.len();
    loop {
        let digit = (left & 0x7f) as u8;
        left >>= 7;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// That length, and how many bytes it takes.
fn length_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, at + 1));
        }
    }
    None
}
