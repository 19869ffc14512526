use std::ops::Range;

use fastrand::Rng;
use rustls::SupportedProtocolVersion;
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::certs::testing::now;
use crate::certs::{ClientFolder, Layout, Pair, Registry, SharedRegistry, create};
use crate::net::buffers::READ_SIZE;
use crate::net::tls::{self, Clients, Servers};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Room for all that a test seals at once.
const ROOM: usize = 128 * 1024;

/// The settings of both sides, which show each other certificates.
struct World {
    registry: SharedRegistry,
    server: Pair,
    client: Pair,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let registry = SharedRegistry::new(Registry::open(dir.path(), 10).unwrap());
        let layout = Layout::new(dir.path());
        let server = Pair::load(&layout.server_certificate(), &layout.server_key(), now()).unwrap();
        let client = ClientFolder::new(dir.path()).shared(now()).unwrap();
        Self { registry, server, client, _dir: dir }
    }

    fn server_config(&self) -> ServerConfig {
        let clients = Clients::Registered(self.registry.clone());
        (*tls::server_config(&self.server, clients, Vec::new()).unwrap().config).clone()
    }

    fn client_end(&self, version: &'static SupportedProtocolVersion, pin: &Pair) -> End {
        let servers = Servers::Pinned(vec![pin.certificate().clone()]);
        let tls =
            tls::client_config_for((&[version], tls::provider()), Some(&self.client), servers, "localhost", Vec::new())
                .unwrap();
        End::new(Session::client(tls.config, tls.server_name).unwrap())
    }

    fn ends_with(&self, version: &'static SupportedProtocolVersion, server: ServerConfig) -> (End, End) {
        let mut client = self.client_end(version, &self.server);
        client.feed(&[]).unwrap();
        (client, End::new(Session::server(Arc::new(server)).unwrap()))
    }

    /// A client that has said its hello, and a server.
    fn ends(&self, version: &'static SupportedProtocolVersion) -> (End, End) {
        self.ends_with(version, self.server_config())
    }

    fn joined(&self, version: &'static SupportedProtocolVersion) -> (End, End) {
        let (mut client, mut server) = self.ends(version);
        join(&mut client, &mut server, &mut whole);
        (client, server)
    }
}

/// Where pieces of so many bytes are cut.
type Cut<'a> = &'a mut dyn FnMut(usize) -> Vec<Range<usize>>;

/// No cut at all.
fn whole(bytes: usize) -> Vec<Range<usize>> {
    std::iter::once(0..bytes).collect()
}

/// Carries bytes to and fro until the handshake is done.
fn join(client: &mut End, server: &mut End, cut: Cut<'_>) {
    while !client.out.is_empty() || !server.out.is_empty() {
        client.carry(server, cut).unwrap();
        server.carry(client, cut).unwrap();
    }
    assert_eq!((client.log.secured, server.log.secured), (1, 1));
}

#[derive(Default)]
struct Log {
    secured: usize,
    data: Vec<u8>,
    wants_no_more: bool,
}

impl Handler for Log {
    fn secured(&mut self, _: &CommonState) {
        assert!(self.data.is_empty(), "data came before it was known from whom");
        self.secured += 1;
    }

    fn data(&mut self, plaintext: &[u8]) -> bool {
        assert_eq!(self.secured, 1, "data of somebody unknown");
        self.data.extend_from_slice(plaintext);
        !self.wants_no_more
    }
}

struct End {
    session: Session,
    out: Vec<u8>,
    log: Log,
}

impl End {
    fn new(session: Session) -> Self {
        Self { session, out: Vec::new(), log: Log::default() }
    }

    /// Hands over what the other side sent, behind what was kept.
    fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        let mut incoming = [self.session.kept(), bytes].concat();
        let result = self.session.receive(&mut incoming, &mut self.out, &mut self.log);
        assert!(self.session.kept().len() <= KEPT_MAX);
        if result.is_err() {
            let mut room = [0; 1024];
            assert!(self.session.seal(b"more", &mut room).is_err() && self.session.close(&mut room).is_err());
        }
        result
    }

    /// Has the other side take what this one has to say, in pieces.
    fn carry(&mut self, to: &mut End, cut: Cut<'_>) -> Result<Progress, Error> {
        let bytes = std::mem::take(&mut self.out);
        let mut last = Ok(Progress::NeedsInput);
        for piece in cut(bytes.len()) {
            last = Ok(to.feed(&bytes[piece])?);
        }
        last
    }

    fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plaintext.len() + ROOM];
        let count = self.session.seal(plaintext, &mut sealed).unwrap();
        sealed.truncate(count);
        sealed
    }

    fn close(&mut self) -> Vec<u8> {
        let mut sealed = vec![0; 1024];
        let count = self.session.close(&mut sealed).unwrap();
        sealed.truncate(count);
        sealed
    }
}

fn pieces_of(random: &mut Rng, bytes: usize, most: usize) -> Vec<Range<usize>> {
    let (mut all, mut start) = (Vec::new(), 0);
    while start < bytes {
        let end = (start + random.usize(1..=most)).min(bytes);
        all.push(start..end);
        start = end;
    }
    all
}

fn assert_talks(client: &mut End, server: &mut End) {
    server.feed(&client.seal(b"up")).unwrap();
    client.feed(&server.seal(b"down")).unwrap();
    assert_eq!((&server.log.data[..], &client.log.data[..]), (&b"up"[..], &b"down"[..]));
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let world = World::new();
    for version in VERSIONS {
        let (mut client, mut server) = world.ends(version);
        join(&mut client, &mut server, &mut |bytes| (0..bytes).map(|i| i..i + 1).collect());
        assert_talks(&mut client, &mut server);
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let world = World::new();
    for version in VERSIONS {
        let mut longest = 0;
        let (mut client, mut server) = world.ends(version);
        join(&mut client, &mut server, &mut |bytes| {
            longest = longest.max(bytes);
            whole(bytes)
        });
        // Each record's header, and then a sample; where flights are shorter, they come whole.
        for at in (1..20).chain((20..longest).step_by(5)) {
            let (mut client, mut server) = world.ends(version);
            join(&mut client, &mut server, &mut |bytes| vec![0..at.min(bytes), at.min(bytes)..bytes]);
            assert_talks(&mut client, &mut server);
        }
    }
}

#[test]
fn data_may_stand_right_behind_the_handshake() {
    let world = World::new();
    for most in [usize::MAX - 1_000_000, 700, 3] {
        let (mut client, mut server) = world.ends(&TLS13);
        while client.log.secured == 0 {
            client.carry(&mut server, &mut whole).unwrap();
            server.carry(&mut client, &mut whole).unwrap();
        }
        let (first, second) = (client.seal(b"first "), client.seal(b"second"));
        client.out.extend([first, second].concat());
        let mut random = Rng::with_seed(1);
        client.carry(&mut server, &mut |bytes| pieces_of(&mut random, bytes, most)).unwrap();
        assert_eq!(server.log.data, b"first second");
    }
}

#[test]
fn messages_of_the_protocol_in_many_records_are_put_together_while_both_sides_send() {
    let world = World::new();
    let mut config = world.server_config();
    // Tickets behind the handshake, in several records each.
    (config.send_tls13_tickets, config.max_fragment_size) = (4, Some(32));
    config.session_storage = ServerSessionMemoryCache::new(10);
    for most in [1, 7, 40, 200] {
        let mut random = Rng::with_seed(most as u64);
        let (mut client, mut server) = world.ends_with(&TLS13, config.clone());
        let (mut up, mut sealed, mut kept_some) = (Vec::new(), 0, false);
        while client.log.secured == 0 || !client.out.is_empty() || !server.out.is_empty() {
            client.carry(&mut server, &mut whole).unwrap();
            let flight = std::mem::take(&mut server.out);
            for piece in pieces_of(&mut random, flight.len(), most) {
                client.feed(&flight[piece]).unwrap();
                if client.log.secured == 1 && server.log.secured == 1 {
                    kept_some |= !client.session.kept().is_empty();
                    up.extend(client.seal(b"up "));
                    sealed += 1;
                }
            }
        }
        assert!(kept_some, "nothing was sealed amid a message");
        server.feed(&up).unwrap();
        assert!(server.log.data.chunks(3).all(|chunk| chunk == b"up "), "{:?}", server.log.data);
        assert_eq!(server.log.data.len(), sealed * 3);
        client.feed(&server.seal(b"down")).unwrap();
        assert_eq!(client.log.data, b"down");
    }
}

#[test]
fn a_mebibyte_each_way_passes_in_pieces_while_both_sides_seal_amid_records() {
    let world = World::new();
    for version in VERSIONS {
        let random = &mut Rng::with_seed(7);
        let (mut client, mut server) = world.joined(version);
        let data: Vec<u8> = (0..1_u32 << 18).flat_map(|i| i.to_le_bytes()).collect();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let (mut up_sent, mut down_sent) = (0, 0);
        while client.log.data.len() < data.len() || server.log.data.len() < data.len() {
            for (end, sent, wire) in [(&mut client, &mut up_sent, &mut up), (&mut server, &mut down_sent, &mut down)] {
                let next = data.len().min(*sent + random.usize(..40_000));
                wire.extend(end.seal(&data[*sent..next]));
                *sent = next;
            }
            for (end, wire) in [(&mut client, &mut down), (&mut server, &mut up)] {
                let count = random.usize(..=wire.len());
                assert_eq!(end.feed(&wire[..count]), Ok(Progress::NeedsInput));
                wire.drain(..count);
            }
        }
        assert!(client.log.data == data && server.log.data == data, "altered on its way");
    }
}

#[test]
fn what_is_said_to_who_is_refused_comes_out_on_either_side() {
    let world = World::new();
    for version in VERSIONS {
        let other = World::new();
        let mut refusing = world.client_end(version, &other.server);
        refusing.feed(&[]).unwrap();
        let mut server = world.ends(version).1;
        refusing.carry(&mut server, &mut whole).unwrap();
        assert!(server.carry(&mut refusing, &mut whole).is_err());
        let heard = refusing.carry(&mut server, &mut whole);
        assert!(matches!(heard, Err(Error::AlertReceived(_))), "{heard:?}");

        let mut stranger = other.client_end(version, &world.server);
        stranger.feed(&[]).unwrap();
        let mut server = world.ends(version).1;
        stranger.carry(&mut server, &mut whole).unwrap();
        server.carry(&mut stranger, &mut whole).unwrap();
        assert!(stranger.carry(&mut server, &mut whole).is_err());
        let heard = server.carry(&mut stranger, &mut whole);
        assert!(matches!(heard, Err(Error::AlertReceived(_))), "{heard:?}");
    }
}

#[test]
fn each_side_may_end_while_the_other_goes_on() {
    let world = World::new();
    for version in VERSIONS {
        let (mut client, mut server) = world.joined(version);
        let last = [client.seal(b"last"), client.close()].concat();
        assert_eq!(server.feed(&last), Ok(Progress::PeerClosed));
        assert_eq!(server.log.data, b"last");
        assert_eq!(client.feed(&server.seal(b"as well")), Ok(Progress::NeedsInput));
        assert_eq!(client.feed(&server.close()), Ok(Progress::PeerClosed));
        assert_eq!(client.log.data, b"as well");
    }
}

#[test]
fn who_wants_no_more_hears_of_the_end_later() {
    let world = World::new();
    let (mut client, mut server) = world.joined(&TLS13);
    server.log.wants_no_more = true;
    let last = [client.seal(b"last"), client.close()].concat();
    assert_eq!(server.feed(&last), Ok(Progress::Paused));
    server.log.wants_no_more = false;
    assert_eq!(server.feed(&[]), Ok(Progress::PeerClosed));
    assert_eq!(server.log.data, b"last");
}

#[test]
fn a_session_at_rest_holds_little_memory_whatever_has_come() {
    let (mut client, mut server) = World::new().joined(&TLS13);
    let sealed = client.seal(&[b'x'; 16_000]);
    server.feed(&sealed[..15_000]).unwrap();
    server.feed(&sealed[15_000..]).unwrap();
    assert_eq!(server.log.data.len(), 16_000);
    assert!(server.session.kept.capacity() <= IDLE_CAPACITY);
}

#[test]
fn garbage_is_an_error_or_waits_for_more_and_no_more_than_enough_is_kept() {
    // A handshake message that says that it is long, in records as long as they may be.
    let mut record = [&[22, 3, 1, 0x40, 0][..], &[1, 0, 0xff, 0xf0][..], &vec![0; 0x4000 - 4][..]].concat();
    let world = World::new();
    let mut server = world.ends(&TLS13).1;
    let mut results = Vec::new();
    for _ in 0..READ_SIZE / record.len() {
        results.push(server.feed(&record).map(|_| server.session.kept().len()));
        record[5] = 0;
        if results.last().is_some_and(Result::is_err) {
            break;
        }
    }
    assert!(results.len() > 1 && results.last().unwrap().is_err(), "{results:?}");
}

/// Carries a handshake and some data, one piece of which is worse than it was sent.
fn worsened(world: &World, random: &mut Rng) {
    let (mut client, mut server) = world.ends(VERSIONS[random.usize(..2)]);
    let (at, how) = (random.usize(..8), random.u8(..4));
    for turn in 0..10 {
        let (from, to) = if turn % 2 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let mut bytes = std::mem::take(&mut from.out);
        if from.log.secured == 1 && to.log.secured == 1 {
            bytes.extend(from.seal(&vec![b'x'; random.usize(1..40_000)]));
        }
        if turn == at && !bytes.is_empty() {
            let place = random.usize(..bytes.len());
            match how {
                0 => bytes[place] ^= 1 << random.u8(..8),
                1 => bytes[place] = random.u8(..),
                2 => bytes.truncate(place),
                _ => drop(bytes.drain(place..bytes.len().min(place + 5))),
            }
        }
        for piece in pieces_of(random, bytes.len(), 20_000) {
            if to.feed(&bytes[piece]).is_err() {
                // It has an alert for the other side, which must bear that, too.
                let alert = std::mem::take(&mut to.out);
                return drop(from.feed(&alert));
            }
        }
    }
}

#[test]
fn flipped_cut_and_lost_bytes_are_errors_or_wait_for_more() {
    let world = World::new();
    for seed in 0..600 {
        worsened(&world, &mut Rng::with_seed(seed));
    }
}
