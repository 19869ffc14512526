//! A connector and a peer that says anything at any time, while apps send and receive.

use std::collections::BTreeMap;
use std::time::Duration;

use aioconnectors::core::{Cause, Covered, Id, OnFull, Output, Secured, Settings};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};
use aioconnectors::wire::file::{FileControl, Offered, Piece, TransferId, Verdict};
use aioconnectors::wire::link::{LinkControl, LinkHello, PlaceSaid, greeting};
use aioconnectors::wire::names::Role;
use aioconnectors::wire::receipts::{FromReceiver, Hello, Level};
use aioconnectors::wire::record::{CONTROL, FILE, SWITCH, append_record};

use crate::rig::{Rig, SERVER, any_to, frames, message, message_with_binary, settings, typed_from};

/// The most steps that one input makes.
const STEPS_MAX: usize = 60;

/// The bytes of an input, one after the other; 0 when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.0.first().copied().unwrap_or(0);
        self.0 = self.0.get(1..).unwrap_or_default();
        byte
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes.to_vec()
    }

    fn of_type(&mut self) -> &'static str {
        ["any", "other", "strange", "_ping", "any/files", "other/files", "_ping/files", "/files"]
            [usize::from(self.byte() % 8)]
    }

    /// A number near those that the connector gives.
    fn number(&mut self) -> u64 {
        let near = u64::from(self.byte());
        match near % 4 {
            0 => near,
            3 => u64::MAX - near,
            _ => 1_800_000_000_000_000 + near / 4,
        }
    }

    fn lane(&mut self) -> u32 {
        [0, 1, 2, 4095, 4096, u32::MAX][usize::from(self.byte() % 6)]
    }
}

struct World {
    rig: Rig,
    link: Id,
    apps: BTreeMap<u8, Id>,
}

fn told_to_be_small(settings: &mut Settings, how: u8) {
    (settings.max_message_size, settings.queue_max_bytes, settings.max_ring_bytes) = (4096, 8192, 8192);
    settings.persist_send = if how & 1 == 0 { Covered::None } else { Covered::All };
    settings.persist_recv = if how & 2 == 0 { Covered::None } else { Covered::Types(["any".to_owned()].into()) };
    if how & 4 != 0 {
        settings.on_full.insert("any".to_owned(), [OnFull::Block, OnFull::DropOldest][usize::from(how >> 3) % 2]);
    }
}

fn begin(script: &mut Script<'_>) -> World {
    let how = script.byte();
    let mut settings = settings(if how & 128 == 0 { Role::Server } else { Role::Client });
    told_to_be_small(&mut settings, how);
    let mut rig = Rig::new(settings);
    let link = connect(&mut rig, script);
    World { rig, link, apps: BTreeMap::new() }
}

/// A connection with the peer, somewhere on its way.
fn connect(rig: &mut Rig, script: &mut Script<'_>) -> Id {
    let state = script.byte() % 9;
    let secured = if state == 1 { Secured::Shared } else { Secured::Anonymous };
    let link = if let Some(id) = rig.dialled().filter(|id| !rig.is_closed(*id)) {
        rig.core.opened(id, Some(([10, 0, 0, 1], 1).into()), rig.now);
        id
    } else {
        rig.accept_link()
    };
    match state {
        0 => return link,
        2 => rig.secured_for_link2(link, Secured::Named("c1".to_owned())),
        _ => rig.secured(link, secured),
    }
    if state == 8 {
        // A peer of the Python package.
        rig.input(link, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO));
        return link;
    }
    if state >= 4 {
        rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    }
    if state >= 5 {
        let places = (0..script.byte() % 3).map(|_| place(script)).collect();
        let hello = LinkHello { window: script.number() % 20_000, places, features: vec![] };
        rig.input(link, &hello.encode("c1"));
    }
    link
}

fn place(script: &mut Script<'_>) -> PlaceSaid {
    let (message_type, epoch) = (script.of_type().to_owned(), u64::from(script.byte() % 4));
    PlaceSaid { message_type, epoch, received: script.number(), taken: script.number() }
}

fn control(said: &LinkControl) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, 0, CONTROL, &[&said.encode("c1")]);
    out
}

/// What the peer says of a file.
fn of_file(script: &mut Script<'_>) -> Vec<u8> {
    let lane = [0, 1, 2, 5][usize::from(script.byte() % 4)];
    let id = TransferId { lane, number: script.number(), attempt: u32::from(script.byte() % 4) };
    let text = || "for a reason".to_owned();
    let size = u64::from(script.byte()) << (script.byte() % 64);
    let said = match script.byte() % 10 {
        0 => FileControl::Offer(Offered::File { size, changed: size, inode: 1 }),
        1 => {
            let mut out = Vec::new();
            let bytes = vec![size as u8; usize::from(script.byte())];
            append_record(&mut out, id.number & ((1 << 56) - 1), FILE, &[&Piece::head(id, size), &bytes]);
            return out;
        }
        2 => FileControl::Have(size),
        3 => FileControl::End([size as u8; 32]),
        4 => FileControl::Settled(Verdict::Done),
        5 => FileControl::Settled(Verdict::Refused(text())),
        6 => FileControl::Settled(Verdict::Later(text())),
        7 => FileControl::Settled(Verdict::Again(text())),
        _ => FileControl::Offer(Offered::Failed(text())),
    };
    let name = ["f", "../f"][usize::from(script.byte() % 2)];
    let header = format!(
        r#"{{"message_type": "{}", "source_id": "c1", "with_file": {{"src_path": "/x", "dst_name": "{name}"}}}}"#,
        ["any", "other"][usize::from(lane as u8 % 2)]
    );
    let mut out = Vec::new();
    append_record(&mut out, 0, CONTROL, &[&said.encode("c1", id, header.as_bytes())]);
    out
}

/// A message with its file behind it, as a peer of the Python package sends it, or the beginning of one.
fn frame_with_file(script: &mut Script<'_>) -> Vec<u8> {
    let (offset, size) = (script.byte() % 8, usize::from(script.byte()) * 40);
    let (of_type, name) = (script.of_type(), ["f", "../f"][usize::from(script.byte() % 2)]);
    let header = format!(
        r#"{{"message_type": "{of_type}", "source_id": "c1", "with_binary": true, "transport_id": 5,
            "with_file": {{"src_path": "/x", "dst_name": "{name}", "binary_offset": {offset}}}}}"#
    );
    let mut out = message_with_binary(&header, b"data", &vec![offset; size]);
    out.truncate(out.len() - usize::from(script.byte()).min(out.len()));
    out
}

/// What the peer says next.
fn peer_says(script: &mut Script<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match script.byte() % 11 {
        10 => out = frame_with_file(script),
        9 => out = of_file(script),
        0 => out = script.bytes(),
        1 => {
            let frame = own_frame(
                ["_close", "_ping", "_lane", "_later"][usize::from(script.byte() % 4)],
                "c1",
                &script.bytes(),
            );
            append_record(&mut out, 0, CONTROL, &[&frame]);
        }
        2 => {
            let (number, of_type) = (script.number(), script.of_type());
            append_record(&mut out, number & ((1 << 56) - 1), 0, &[&typed_from(of_type, "c1", &script.bytes())]);
        }
        3 => {
            let (lane, message_type) = (script.lane(), script.of_type().to_owned());
            let (epoch, released) = (u64::from(script.byte() % 4), script.number());
            out = control(&LinkControl::Lane { lane, message_type, epoch, released });
            append_record(&mut out, 0, SWITCH, &[&lane.to_le_bytes()]);
        }
        4 => out = control(&LinkControl::Taken(vec![(script.lane(), script.number()); 2])),
        5 => out = control(&LinkControl::Stop { lane: script.lane(), next: script.number() }),
        6 => out = control(&LinkControl::Go { lane: script.lane() }),
        7 => append_record(&mut out, script.number() >> 8, script.byte(), &[&script.bytes()]),
        _ => out = typed_from(script.of_type(), "c1", &script.bytes()),
    }
    out
}

impl World {
    fn app(&mut self, script: &mut Script<'_>) {
        let number = script.byte() % 3;
        let is_gone = self.apps.get(&number).is_none_or(|id| self.rig.is_closed(*id));
        if is_gone {
            let app = self.rig.app();
            self.apps.insert(number, app);
            if number > 0 {
                let level = [Level::Accepted, Level::Stored, Level::Delivered][usize::from(script.byte() % 3)];
                let hello = Hello { receipts: level, session: (number > 1).then(|| "session".to_owned()) };
                self.rig.input(app, &hello.encode());
            }
        }
        let (app, size) = (self.apps[&number], usize::from(script.byte()) * 20);
        let to = ["c1", SERVER, "c2"][usize::from(script.byte() % 3)];
        self.rig.input(app, &any_to(to, &vec![1; size]));
        self.rig.sent(app);
    }

    /// An app sends a file, and something may go wrong with files from now on.
    fn file(&mut self, script: &mut Script<'_>) {
        let (app, size) = (self.rig.app(), usize::from(script.byte()) * 1000);
        self.rig.files.put("/f", &vec![1; size]);
        let (room, change) = (script.byte(), script.byte());
        self.rig.files.set_faults(|faults| {
            faults.room = (room % 4 == 0).then_some(usize::from(room) * 10);
            faults.busy = room % 16 == 1;
            faults.slow = u32::from(room % 3);
            faults.change_after = (change % 8 == 0).then_some(u64::from(change) * 500);
        });
        let to = ["c1", SERVER][usize::from(script.byte() % 2)];
        let header = format!(
            r#"{{"message_type": "any", "destination_id": "{to}", "with_file": {{"src_path": "/f", "dst_name": "f"}}}}"#
        );
        self.rig.input(app, &message(&header, b"x"));
        self.rig.closed(app, Cause::ClosedByPeer);
    }

    fn receiver(&mut self, script: &mut Script<'_>) {
        let Some(app) = self.rig.dialled_app().filter(|id| !self.rig.is_closed(*id)) else { return };
        match script.byte() % 4 {
            0 => self.rig.closed(app, Cause::NoListener),
            1 => {
                self.rig.open_app();
                self.rig.input(app, &FromReceiver::Acknowledges { resume: true }.encode());
                self.rig.sent(app);
            }
            2 => drop(self.rig.input(app, &FromReceiver::Done(u64::from(script.byte() % 4)).encode())),
            _ => drop(self.rig.read_apps()),
        }
    }

    fn step(mut self, script: &mut Script<'_>) -> Self {
        match script.byte() % 13 {
            12 => self.file(script),
            0..5 => drop(self.rig.input(self.link, &peer_says(script))),
            5 | 6 => self.app(script),
            7 => drop(self.rig.sent_up_to(self.link, usize::from(script.byte()) * 16)),
            8 => self.receiver(script),
            9 => self.rig.pass(Duration::from_millis(u64::from(script.byte()) * 20)),
            10 => {
                if !self.rig.is_closed(self.link) {
                    self.rig.closed(self.link, Cause::ClosedByPeer);
                }
                self.rig.pass(Duration::from_secs(70));
                self.link = connect(&mut self.rig, script);
            }
            _ => {
                self.rig = self.rig.crash();
                self.apps.clear();
                self.link = connect(&mut self.rig, script);
            }
        }
        self
    }
}

pub fn link(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = begin(&mut script);
    for _ in 0..STEPS_MAX {
        if script.0.is_empty() {
            break;
        }
        world = world.step(&mut script);
    }
    let mut rig = world.rig;
    if rig.dialled().is_none() {
        let honest = rig.link("honest");
        rig.sent(honest);
        let app = rig.app();
        rig.input(app, &any_to("honest", b"still here"));
        let served = frames(&rig.sent(honest));
        assert_eq!(served.last().map(|(_, data)| &data[..]), Some(&b"still here"[..]), "others are served");
    }
    rig.stop();
    rig.pass(Duration::from_secs(20));
    assert!(rig.outputs.contains(&Output::Stopped), "it comes to its end");
    assert_eq!(rig.files.open(), 0, "no file is left open");
}
