//! What is said before it is known who is there: by strangers to a server, by what answers a client that has no place
//! yet, by a program at the admin's socket.

use aioconnectors::core::tokens::TokenHash;
use aioconnectors::core::{
    Event, Id, Invitation, Invitations, IssuedCertificate, Mode, Output, Secured, Settings, TokenTable, TokenWork,
    Tokens,
};
use aioconnectors::wire::admin::{encode_request, parse_request};
use aioconnectors::wire::control::{self, Control, HANDSHAKE_NO_SSL, HANDSHAKE_SSL, HELLO, NewCertificate, own_frame};
use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::link::{LinkControl, LinkHello};
use aioconnectors::wire::names::{Role, validate_client_name};
use aioconnectors::wire::token::{Token, TokenMessage};
use std::time::Duration;

use crate::rig::{Rig, any_to, frames, settings};

/// The client that has a token, and its token.
pub const KNOWN: (&str, &str) = ("c1", "0123456789abcdef");
/// The client that may enrol, and its token for that.
pub const INVITED: (&str, &str) = ("c3", "fedcba9876543210");

/// Bits of an input's first byte, above its three lowest, which say who listens.
pub const INVITATIONS: u8 = 8;
pub const LINK2: u8 = 16;
pub const SUFFICES: u8 = 32;
pub const FAILS: u8 = 64;

/// Who listens.
pub const SERVER_PLAIN: u8 = 0;
pub const SERVER_ALLOW_ALL: u8 = 1;
pub const SERVER_CERTIFICATES: u8 = 2;
pub const SERVER_TOKENS: u8 = 3;
pub const CLIENT_TOKENS: u8 = 4;
pub const CLIENT_ENROLS: u8 = 5;
const LISTENERS: u8 = 6;

/// What stands for a step that is no bytes: the shell answers what it was asked. Other steps are so many bytes.
pub const SHELL_ANSWERS: u16 = u16::MAX;

/// A frame whose data says something before its sender is known: what is read is written and read the same.
pub fn said(bytes: &[u8]) {
    let Ok(frame) = Frame::parse(bytes) else { return };
    let Ok(header) = Header::parse(frame.header()) else { return };
    let again = |bytes: Vec<u8>, check: &dyn Fn(&Header<'_>, &[u8])| {
        let frame = Frame::parse(&bytes).unwrap();
        check(&Header::parse(frame.header()).unwrap(), frame.data());
    };
    if let Ok(said) = TokenMessage::parse(&header, frame.data()) {
        again(said.encode("c1"), &|h, data| assert_eq!(TokenMessage::parse(h, data).as_ref(), Ok(&said)));
    }
    if let Ok(said) = control::parse(&header, frame.data()) {
        let written = match &said {
            Control::GetNewCertificate(offer) => control::get_new_certificate("c1", offer),
            Control::RenewCertificate(offer) => control::renew_certificate("c1", offer),
            Control::SetNewCertificate(new) => control::set_new_certificate("s", new),
            Control::NotRenewed(why) => control::certificate_not_renewed("s", why),
            Control::Close(Some(reason)) => control::close("s", *reason),
            // A reason that is not known is passed over.
            Control::Close(None) => return,
        };
        again(written, &|h, data| assert_eq!(control::parse(h, data).as_ref(), Ok(&said)));
    }
    if let Ok(said) = LinkHello::parse(&header, frame.data()) {
        again(said.encode("c1"), &|h, data| assert_eq!(LinkHello::parse(h, data).as_ref(), Ok(&said)));
    }
    if let Ok(Some(said)) = LinkControl::parse(&header, frame.data()) {
        again(said.encode("c1"), &|h, data| assert_eq!(LinkControl::parse(h, data), Ok(Some(said.clone()))));
    }
}

/// A listener, and the stranger's connection.
struct Door {
    rig: Rig,
    link: Id,
    how: u8,
    /// Outputs that were looked at.
    seen: usize,
    /// What the shell was asked and has not answered.
    asked: Vec<Output>,
}

fn told(how: u8) -> Settings {
    let listener = how % 8 % LISTENERS;
    let role = if listener >= CLIENT_TOKENS { Role::Client } else { Role::Server };
    let mode = match listener {
        SERVER_PLAIN => Mode::Plain,
        SERVER_CERTIFICATES | CLIENT_ENROLS => Mode::Certificates,
        _ => Mode::AllowAll,
    };
    Settings { mode, ..settings(role) }
}

fn listener(how: u8) -> u8 {
    how % 8 % LISTENERS
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

/// A connector that is told of tokens and of who may enrol, as `how` says.
fn connector(how: u8) -> Rig {
    let mut rig = Rig::new(told(how));
    match listener(how) {
        SERVER_TOKENS => {
            let mut table = TokenTable::default();
            table.set(KNOWN.0, TokenHash::of(&token(KNOWN.1)));
            rig.core.set_tokens(Tokens::server(table, how & SUFFICES != 0));
        }
        CLIENT_TOKENS => rig.core.set_tokens(Tokens::client(how & SUFFICES != 0)),
        _ => {}
    }
    if how & INVITATIONS != 0 && listener(how) < CLIENT_TOKENS {
        let mut invitations = Invitations::default();
        let invitation = Invitation { hash: TokenHash::of(&token(INVITED.1)), expires: 1_800_000_000 + 86_400 };
        invitations.add(INVITED.0, invitation, 0);
        rig.core.require_invitations(invitations);
    }
    rig
}

impl Door {
    fn new(how: u8) -> Self {
        let mut rig = connector(how);
        let shared = matches!(listener(how), SERVER_CERTIFICATES | CLIENT_ENROLS);
        let secured = if shared { Secured::Shared } else { Secured::Anonymous };
        let link = match rig.dialled() {
            Some(id) => {
                rig.core.opened(id, Some(([10, 0, 0, 1], 10673).into()), rig.now);
                id
            }
            None => rig.accept_link(),
        };
        rig.core.secured(link, secured, how & LINK2 != 0, rig.now);
        rig.drain();
        Self { rig, link, how, seen: 0, asked: Vec::new() }
    }

    /// Nobody is let in, and nothing is issued, but to whom it is due.
    fn look(&mut self) {
        for output in &self.rig.outputs[self.seen..] {
            match output {
                Output::Tell(Event::PeerUp { peer, .. }) => match listener(self.how) {
                    SERVER_TOKENS => assert_eq!(peer, KNOWN.0, "only who has a token comes in"),
                    SERVER_CERTIFICATES => panic!("{peer} came in with the certificate that all share"),
                    SERVER_PLAIN | SERVER_ALLOW_ALL => validate_client_name(peer).unwrap(),
                    _ => {}
                },
                Output::Issue(_, name) | Output::Token(_, TokenWork::Issue(name)) => {
                    validate_client_name(name).unwrap();
                    assert!(self.how & INVITATIONS == 0 || name == INVITED.0, "{name} was not invited");
                    assert!(listener(self.how) != SERVER_TOKENS || name != KNOWN.0, "it has a token");
                    self.asked.push(output.clone());
                }
                Output::Store(..) | Output::Token(..) => self.asked.push(output.clone()),
                _ => {}
            }
        }
        self.seen = self.rig.outputs.len();
    }

    fn shell_answers(&mut self) {
        let (now, fails) = (self.rig.now, self.how & FAILS != 0);
        let core = &mut self.rig.core;
        let of = |text: &str| if fails { Err("the disk is full".to_owned()) } else { Ok(text.to_owned()) };
        for asked in std::mem::take(&mut self.asked) {
            match asked {
                Output::Issue(id, name) => {
                    let offer = core.take_offer(id);
                    let key_pem = offer.certificate_pem.is_none().then(|| "key".to_owned());
                    let new = |certificate_pem| NewCertificate { certificate_pem, key_pem };
                    let made = |text| IssuedCertificate { new: new(text), serial: "01".to_owned() };
                    core.certificate_issued(id, &name, of("certificate").map(made), now);
                }
                Output::Store(id, _) => core.certificate_stored(id, of("").map(drop), now),
                Output::Token(id, TokenWork::Issue(name)) => {
                    core.token_issued(id, &name, of("new").map(|text| token(&text)), now);
                }
                Output::Token(id, TokenWork::Load) => {
                    let kept = self.how & INVITATIONS == 0;
                    core.token_loaded(id, of("kept").map(|text| kept.then(|| token(&text))), now);
                }
                Output::Token(id, TokenWork::Store(_)) => core.token_stored(id, of("").map(drop), now),
                _ => {}
            }
        }
        self.rig.drain();
    }

    /// One who has every right comes and is served.
    fn honest(&mut self) {
        let rig = &mut self.rig;
        let (name, frame) = match listener(self.how) {
            SERVER_PLAIN => ("honest", own_frame(HANDSHAKE_NO_SSL, "honest", HELLO)),
            SERVER_ALLOW_ALL => ("honest", own_frame(HANDSHAKE_SSL, "honest", HELLO)),
            SERVER_TOKENS => (KNOWN.0, TokenMessage::Authenticate(token(KNOWN.1)).encode(KNOWN.0)),
            _ => ("honest", Vec::new()),
        };
        let link = rig.accept_link();
        if listener(self.how) == SERVER_CERTIFICATES {
            rig.secured(link, Secured::Named(name.to_owned()));
        } else {
            rig.secured(link, Secured::Anonymous);
            rig.input(link, &frame);
        }
        rig.sent(link);
        let app = rig.app();
        rig.input(app, &any_to(name, b"still here"));
        let served = frames(&rig.sent(link));
        assert_eq!(served.last().map(|(_, data)| &data[..]), Some(&b"still here"[..]), "others are served");
        self.seen = self.rig.outputs.len();
    }
}

/// A stranger at the door: the first byte says whose; then steps, each a length and its bytes, or [`SHELL_ANSWERS`].
pub fn door(bytes: &[u8]) {
    let Some((how, mut rest)) = bytes.split_first() else { return };
    let mut door = Door::new(*how);
    door.look();
    while let Some((length, bytes)) = rest.split_first_chunk::<2>() {
        match u16::from_le_bytes(*length) {
            SHELL_ANSWERS => {
                rest = bytes;
                door.shell_answers();
            }
            length => {
                let (piece, after) = bytes.split_at(usize::from(length).min(bytes.len()));
                rest = after;
                if !door.rig.is_closed(door.link) {
                    door.rig.input(door.link, piece);
                }
            }
        }
        door.look();
    }
    if listener(door.how) < CLIENT_TOKENS {
        door.honest();
    }
    // Who does not say in time who it is is let go. A client dials again, to nobody.
    door.rig.pass(Duration::from_secs(15));
    door.look();
    door.shell_answers();
    door.rig.stop();
    door.rig.pass(Duration::from_secs(20));
    assert!(door.rig.outputs.contains(&Output::Stopped), "it comes to its end");
}

/// What a program says at the admin's socket: the first byte says to whom, the second where it is cut.
pub fn admin(bytes: &[u8]) {
    let [how, cut, request @ ..] = bytes else { return };
    let half = &request[..usize::from(*cut).min(request.len())];
    let whole = parse_request(request);
    if let Ok(Some(early)) = parse_request(half) {
        assert_eq!(whole.as_ref().ok().and_then(Option::as_ref), Some(&early), "more bytes change nothing");
    }
    if let Ok(Some(read)) = &whole
        && !read.command.ends_with("__sync")
    {
        let again = parse_request(&encode_request(&read.command, &read.arguments)).unwrap();
        assert_eq!(again.as_ref(), Some(read), "what is read is written the same");
    }
    let mut rig = connector(*how);
    let id = rig.core.accept_admin(rig.now);
    rig.input(id, half);
    if !rig.is_closed(id) {
        rig.input(id, &request[half.len()..]);
    }
    let answer = rig.sent(id);
    if let Some((length, text)) = answer.split_first_chunk::<4>() {
        assert_eq!(u32::from_le_bytes(*length) as usize, text.len(), "the answer is whole");
        assert!(std::str::from_utf8(text).is_ok(), "and text: {text:?}");
    }
    rig.pass(Duration::from_secs(15));
    rig.stop();
    rig.pass(Duration::from_secs(20));
    assert!(rig.outputs.contains(&Output::Stopped), "it comes to its end");
}
