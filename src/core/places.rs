//! Places: how far this connector has come in what others send it, so that nothing is taken in twice.
//!
//! There is one for each lane of a peer, and one for each session of an app. A place outlives the connection, and, in
//! memory that lasts, the process. What was taken in carries its [`Origin`]: place and number.
//!
//! ```text
//! a slot: 16 bytes key | u64 epoch | u64 next | u64 other | u64 seen | u32 generation | u32 CRC-32C | 8 bytes zero
//! ```
//! All integers are little endian. A key is the MD5 digest of what names the place, its first byte 1 for a lane, 2 for a
//! session. All zero: the slot is free.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use md5::{Digest, Md5};

use crate::ring::Memory;
use crate::wire::record::Origin;

/// Bytes of a slot: no slot crosses a disk's sector, so none is written in part.
pub const SLOT_SIZE: usize = 64;

/// Most places. When there are more, the one that was seen least lately is given up, and its sender begins anew.
pub const PLACES_MAX: usize = 65_536;

/// What names a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    /// The place in a peer's lane.
    pub fn lane(peer: &str, message_type: &str) -> Self {
        Self::of(LANE, &[peer, message_type])
    }

    /// The place in an app's session.
    pub fn session(name: &str) -> Self {
        Self::of(SESSION, &[name])
    }

    fn of(kind: u8, parts: &[&str]) -> Self {
        let mut digest = Md5::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let mut key: [u8; 16] = digest.finalize().into();
        key[0] = kind;
        Self(key)
    }
}

/// The first byte of a key says what it is of.
const LANE: u8 = 1;
const SESSION: u8 = 2;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub key: Key,
    /// The life of the numbers.
    pub epoch: u64,
    /// The first number that has not come yet.
    pub received: u64,
    /// All smaller numbers are taken over. This is what is kept.
    pub taken: u64,
    /// A second count, for sessions.
    pub other: u64,
    /// When it was last of use, seconds since 1970.
    pub seen: u64,
    /// The last request or answer that has come.
    patient: Option<u64>,
    /// Counts the users of the slot: an origin of another generation means an earlier one.
    pub generation: u32,
    dirty: bool,
}

/// All places, and the memory that they are kept in.
#[derive(Debug)]
pub(super) struct Places {
    slots: Vec<Option<Place>>,
    by_key: HashMap<Key, u32>,
    memory: Memory,
    dirty: Vec<u32>,
    /// The last sync has failed.
    unsynced: bool,
    /// Why there is no room for all of them, if there is none.
    pub lacks_room: Option<String>,
    /// Lanes' places whose `taken` has moved since the peers were told.
    pub moved: Vec<u32>,
    /// The same of those whose last message was a request or an answer: the word of them has time.
    pub moved_lately: Vec<u32>,
    /// Messages that a crash has left in queues, of which one before is perhaps in none: by slot, their numbers.
    beyond: BTreeMap<u32, BTreeSet<u64>>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(Memory::Heap(Vec::new()))
    }
}

impl Places {
    /// The places that `memory` holds. Slots that are not whole are free.
    pub fn new(memory: Memory) -> Self {
        let mut places = Self {
            slots: Vec::new(),
            by_key: HashMap::new(),
            memory,
            dirty: Vec::new(),
            unsynced: false,
            lacks_room: None,
            moved: Vec::new(),
            moved_lately: Vec::new(),
            beyond: BTreeMap::new(),
        };
        let count = (places.memory.bytes().len() / SLOT_SIZE).min(PLACES_MAX);
        for slot in 0..count {
            let bytes = &places.memory.bytes()[slot * SLOT_SIZE..(slot + 1) * SLOT_SIZE];
            let place = read_slot(bytes);
            if let Some(place) = &place {
                places.by_key.insert(place.key, slot as u32);
            }
            places.slots.push(place);
        }
        places
    }

    pub fn get(&self, slot: u32) -> Option<&Place> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub fn find(&self, key: Key) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// The place of this name; made, with the number 0, if it is new.
    pub fn find_or_add(&mut self, key: Key, now_unix: u64) -> u32 {
        if let Some(slot) = self.find(key) {
            return slot;
        }
        let slot = self.free_slot();
        // Later than all that the slot's earlier users had, also if it was free meanwhile: seconds count on.
        let after = self.slots[slot].as_ref().map_or(1, |old| old.generation.wrapping_add(1));
        let generation = after.max(now_unix as u32);
        if let Some(old) = self.slots[slot].take() {
            self.by_key.remove(&old.key);
        }
        let place = Place {
            key,
            epoch: 0,
            received: 0,
            taken: 0,
            other: 0,
            seen: now_unix,
            patient: None,
            generation,
            dirty: false,
        };
        self.slots[slot] = Some(place);
        self.by_key.insert(key, slot as u32);
        self.touch(slot as u32);
        slot as u32
    }

    fn free_slot(&mut self) -> usize {
        if let Some(free) = self.slots.iter().position(Option::is_none) {
            return free;
        }
        if self.slots.len() < PLACES_MAX {
            self.slots.push(None);
            return self.slots.len() - 1;
        }
        let oldest = self.slots.iter().enumerate().min_by_key(|(_, p)| p.as_ref().map_or(0, |p| p.seen));
        oldest.map_or(0, |(slot, _)| slot)
    }

    /// Frees the slot.
    pub fn remove(&mut self, slot: u32) {
        if let Some(place) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            self.by_key.remove(&place.key);
            self.dirty.push(slot);
            self.beyond.remove(&slot);
        }
    }

    /// Changes a place, and has it kept.
    pub fn change(&mut self, slot: u32, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            change(place);
            self.touch(slot);
        }
    }

    fn touch(&mut self, slot: u32) {
        if let Some(place) = self.slots.get_mut(slot as usize).and_then(Option::as_mut)
            && !std::mem::replace(&mut place.dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    /// A lane begins a new life of its numbers: what still waits of the earlier one counts no more.
    pub fn begin_epoch(&mut self, slot: u32, epoch: u64) {
        self.change(slot, |place| {
            (place.epoch, place.received, place.taken) = (epoch, 0, 0);
            place.generation = place.generation.wrapping_add(1).max(1);
        });
        self.beyond.remove(&slot);
    }

    /// Whether a record of this origin was left by a crash: it is there already, though not all before it were.
    pub fn is_there(&self, slot: u32, sequence: u64) -> bool {
        !self.beyond.is_empty() && self.beyond.get(&slot).is_some_and(|beyond| beyond.contains(&sequence))
    }

    /// A record of this origin has come.
    pub fn receive(&mut self, slot: u32, sequence: u64) {
        if let Some(place) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            place.received = sequence + 1;
        }
    }

    /// What has come with this origin is a request or an answer: soon something goes the other way.
    pub fn has_time(&mut self, origin: Origin) {
        if let Some(place) = self.slots.get_mut(origin.slot as usize).and_then(Option::as_mut) {
            place.patient = Some(origin.count);
        }
    }

    /// A record of this origin is taken over.
    pub fn take(&mut self, origin: Origin) {
        let Some(place) = self.slots.get_mut(origin.slot as usize).and_then(Option::as_mut) else { return };
        if place.generation == origin.generation && place.taken <= origin.count {
            place.taken = origin.count + 1;
            place.received = place.received.max(place.taken);
            self.has_moved(origin.slot);
            self.take_beyond(origin);
        }
    }

    /// What a crash has left behind a message that was missing is taken over with it.
    fn take_beyond(&mut self, origin: Origin) {
        let Some(beyond) = self.beyond.get_mut(&origin.slot) else { return };
        let Some(place) = self.slots.get_mut(origin.slot as usize).and_then(Option::as_mut) else { return };
        while beyond.first().is_some_and(|first| *first <= place.taken) {
            place.taken = place.taken.max(beyond.pop_first().map_or(0, |first| first + 1));
        }
        place.received = place.received.max(place.taken);
        if beyond.is_empty() {
            self.beyond.remove(&origin.slot);
        }
    }

    /// Takes over all that has come.
    pub fn take_received(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        if place.taken != place.received {
            place.taken = place.received;
            self.has_moved(slot);
            self.forget_beyond(slot);
        }
    }

    /// What is taken over needs not to be known as being there.
    fn forget_beyond(&mut self, slot: u32) {
        let Some(beyond) = self.beyond.get_mut(&slot) else { return };
        let taken = self.slots.get(slot as usize).and_then(Option::as_ref).map_or(u64::MAX, |place| place.taken);
        *beyond = beyond.split_off(&taken);
        if beyond.is_empty() {
            self.beyond.remove(&slot);
        }
    }

    fn has_moved(&mut self, slot: u32) {
        let place = self.slots.get(slot as usize).and_then(Option::as_ref);
        let has_time = place.is_some_and(|place| place.patient.is_some_and(|last| last + 1 == place.taken));
        let moved = if has_time { &mut self.moved_lately } else { &mut self.moved };
        // Mostly the same as before.
        if moved.last() != Some(&slot) {
            moved.push(slot);
        }
        self.touch(slot);
    }

    /// What a crash has left of a queue says that records of these origins are in it. `of_many`: messages of one lane may be
    /// in several such queues.
    pub fn repair(&mut self, origins: &[Origin], of_many: bool) {
        // Peers are told when they come. What others wait to hear of stays: a queue may be opened at any time.
        let told_later = (self.moved.len(), self.moved_lately.len());
        origins.iter().for_each(|origin| self.repair_one(*origin, of_many));
        self.moved.truncate(told_later.0);
        self.moved_lately.truncate(told_later.1);
    }

    /// A session's messages may be in several queues, of which a machine that dies keeps what it likes: that one is there
    /// does not mean that those before it are. The same goes for what a peer publishes, which one lane brings.
    fn repair_one(&mut self, origin: Origin, of_many: bool) {
        let place = self.slots.get(origin.slot as usize).and_then(Option::as_ref);
        let is_behind = |place: &Place| {
            let several = of_many || place.key.0[0] == SESSION;
            several && place.generation == origin.generation && place.taken < origin.count
        };
        if place.is_some_and(is_behind) {
            self.beyond.entry(origin.slot).or_default().insert(origin.count);
        } else {
            self.take(origin);
        }
    }

    /// The sessions that were not of use since then.
    pub fn sessions_before(&self, unix: u64) -> Vec<u32> {
        let slots = (0u32..).zip(&self.slots);
        let old = slots.filter(|(_, p)| p.as_ref().is_some_and(|p| p.key.0[0] == SESSION && p.seen < unix));
        old.map(|(slot, _)| slot).collect()
    }

    /// Whether there is something to keep.
    pub fn is_dirty(&self) -> bool {
        self.unsynced || !self.dirty.is_empty()
    }

    /// Whether there is room for this place where it is to be kept.
    pub fn has_room(&self, slot: u32) -> bool {
        (slot as usize) < self.memory.bytes().len() / SLOT_SIZE
    }

    /// Writes what has changed into memory. What there is no room for is kept later; until then a crash would forget it,
    /// and some of what its sender has on the way would come twice. That is better than to stop all others.
    ///
    /// # Errors
    /// The memory that lasts cannot be written.
    pub fn save(&mut self, sync: bool) -> Result<(), String> {
        let size = (self.slots.len() * SLOT_SIZE).max(SLOT_SIZE);
        self.lacks_room = None;
        if self.memory.bytes().len() < size {
            self.lacks_room = self.memory.grow(size.next_power_of_two()).err();
        }
        let room = self.memory.bytes().len() / SLOT_SIZE;
        let (fits, later): (Vec<u32>, Vec<u32>) = self.dirty.drain(..).partition(|slot| (*slot as usize) < room);
        self.dirty = later;
        for slot in fits {
            let at = slot as usize * SLOT_SIZE;
            let bytes = &mut self.memory.bytes_mut()[at..at + SLOT_SIZE];
            match &mut self.slots[slot as usize] {
                Some(place) => {
                    place.dirty = false;
                    write_slot(place, bytes);
                }
                None => bytes.fill(0),
            }
        }
        if let Some(durable) = self.memory.durable().filter(|_| sync) {
            self.unsynced = true;
            durable.sync()?;
        }
        self.unsynced = false;
        Ok(())
    }
}

fn write_slot(place: &Place, bytes: &mut [u8]) {
    let mut slot = [0; SLOT_SIZE];
    slot[..16].copy_from_slice(&place.key.0);
    for (at, number) in [(16, place.epoch), (24, place.taken), (32, place.other), (40, place.seen)] {
        slot[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    slot[48..52].copy_from_slice(&place.generation.to_le_bytes());
    let crc = crc32c::crc32c(&slot[..52]);
    slot[52..56].copy_from_slice(&crc.to_le_bytes());
    bytes.copy_from_slice(&slot);
}

fn read_slot(bytes: &[u8]) -> Option<Place> {
    let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let short = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let key: [u8; 16] = bytes[..16].try_into().ok()?;
    if key == [0; 16] || short(52)? != crc32c::crc32c(&bytes[..52]) {
        return None;
    }
    Some(Place {
        key: Key(key),
        epoch: number(16)?,
        received: number(24)?,
        taken: number(24)?,
        other: number(32)?,
        seen: number(40)?,
        patient: None,
        generation: short(48)?,
        dirty: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_before_the_first_message_that_no_queue_has() {
        let mut places = Places::default();
        let slot = places.find_or_add(Key::session("app"), 0);
        let generation = places.get(slot).unwrap().generation;
        let origin = |count| Origin { slot, generation, count };
        let taken = |places: &Places| places.get(slot).unwrap().taken;
        places.take(origin(4));
        places.repair(&[origin(6), origin(9)], false);
        assert_eq!(taken(&places), 5);
        places.repair(&[origin(5)], false);
        assert_eq!(taken(&places), 7, "another queue has what was missing");
        places.take(origin(7));
        assert_eq!(taken(&places), 8);
        places.take(origin(8));
        assert_eq!(taken(&places), 10, "the app has sent again what was missing");
    }

    #[test]
    fn of_a_lane_with_several_queues_what_is_there_is_known_until_what_was_missing_has_come() {
        let mut places = Places::default();
        let slot = places.find_or_add(Key::lane("p", "t"), 0);
        let generation = places.get(slot).unwrap().generation;
        let origin = |count| Origin { slot, generation, count };
        let taken = |places: &Places| places.get(slot).unwrap().taken;
        places.take(origin(4));
        // Numbers of lanes have gaps.
        places.repair(&[origin(7), origin(20)], true);
        assert_eq!(taken(&places), 5, "perhaps another queue had those between");
        assert!(places.is_there(slot, 7) && places.is_there(slot, 20) && !places.is_there(slot, 6));
        places.receive(slot, 7);
        places.take_received(slot);
        assert_eq!((taken(&places), places.is_there(slot, 7), places.is_there(slot, 20)), (8, false, true));
        places.begin_epoch(slot, 2);
        assert!(!places.is_there(slot, 20));
        let generation = places.get(slot).unwrap().generation;
        places.repair(&[Origin { slot, generation, count: 9 }], false);
        assert_eq!(taken(&places), 10, "all of a lane with one queue are there before the last");
    }

    #[test]
    fn places_that_were_saved_are_there_again() {
        let mut places = Places::default();
        let (one, two) = (places.find_or_add(Key::lane("p", "t"), 5), places.find_or_add(Key::session("p"), 6));
        places.begin_epoch(one, 77);
        let generation = places.get(one).unwrap().generation;
        places.receive(one, 9);
        places.take(Origin { slot: one, generation, count: 8 });
        places.change(two, |p| p.other = 4);
        places.save(false).unwrap();
        let bytes = places.memory.bytes().to_vec();
        let again = Places::new(Memory::Heap(bytes.clone()));
        let place = again.get(again.find(Key::lane("p", "t")).unwrap()).unwrap();
        assert_eq!((place.epoch, place.received, place.taken, place.seen), (77, 9, 9, 5));
        assert_eq!(again.get(two).unwrap().other, 4);
        // A slot that is not whole is as good as none.
        for at in 0..52 {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let again = Places::new(Memory::Heap(bad));
            assert_eq!(again.find(Key::lane("p", "t")), None);
            assert_eq!(again.find(Key::session("p")), Some(two));
        }
    }

    /// Memory that has room for so many bytes.
    #[derive(Debug)]
    struct Small(Vec<u8>, usize);

    impl crate::ring::Durable for Small {
        fn bytes(&self) -> &[u8] {
            &self.0
        }
        fn bytes_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
        fn grow(&mut self, capacity: usize) -> Result<(), String> {
            if capacity > self.1 {
                return Err("full".to_owned());
            }
            self.0.resize(capacity, 0);
            Ok(())
        }
        fn shrink(&mut self) {}
        fn sync(&mut self) -> Result<(), String> {
            Ok(())
        }
        fn save(&mut self, _: &crate::ring::Checkpoint) {}
        fn cool(&mut self, _: std::ops::Range<usize>) {}
        fn quarantine(&mut self) -> Result<String, String> {
            Err("not here".to_owned())
        }
        fn discard(self: Box<Self>) {}
    }

    #[test]
    fn without_room_for_one_more_the_others_are_kept_all_the_same() {
        let mut places = Places::new(Memory::Durable(Box::new(Small(Vec::new(), 2 * SLOT_SIZE))));
        let mut slots = Vec::new();
        for name in ["a", "b", "c"] {
            slots.push(places.find_or_add(Key::session(name), 1));
            places.save(true).unwrap();
        }
        assert_eq!((places.lacks_room.as_deref(), places.is_dirty()), (Some("full"), true));
        let again = Places::new(Memory::Heap(places.memory.bytes().to_vec()));
        let there: Vec<bool> = slots.iter().map(|slot| again.get(*slot).is_some()).collect();
        assert_eq!(there, [true, true, false]);
    }

    #[test]
    fn an_origin_of_an_earlier_life_of_the_lane_moves_nothing() {
        let mut places = Places::default();
        let slot = places.find_or_add(Key::lane("p", "t"), 0);
        let old = Origin { slot, generation: places.get(slot).unwrap().generation, count: 8 };
        places.begin_epoch(slot, 2);
        places.take(old);
        assert_eq!((places.get(slot).unwrap().taken, places.moved.len()), (0, 0));
    }

    #[test]
    fn when_all_slots_are_taken_the_one_seen_least_lately_is_given_up() {
        let mut places = Places::default();
        for n in 0..PLACES_MAX as u64 {
            places.slots.push(None);
            places.slots[n as usize] = Some(Place {
                key: Key(u128::from(n + 1).to_le_bytes()),
                epoch: 0,
                received: 0,
                taken: 0,
                other: 0,
                seen: if n == 300 { 1 } else { 2 },
                patient: None,
                generation: 4,
                dirty: false,
            });
        }
        let slot = places.find_or_add(Key::session("new"), 3);
        assert_eq!((slot, places.get(slot).unwrap().generation), (300, 5), "its origins are told from the old ones");
    }
}
