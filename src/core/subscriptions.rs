//! Who has subscribed to what, on a broker.
//!
//! A subscription ends with its connection, unless it lasts: then it is remembered, in memory that outlasts the process,
//! and what is published meanwhile waits for the subscriber.
//!
//! ```text
//! a slot: u32 CRC-32C of what follows | u8 length of the name | u8 length of the pattern | 2 bytes zero
//!         | u64 first number | name | pattern | zeros
//! ```
//! All integers are little endian. All zero: the slot is free. What has a smaller number than the first was published
//! before the subscription.

use std::collections::BTreeMap;

use crate::ring::Memory;
use crate::wire::names::CLIENT_NAME_MAX;
use crate::wire::topics::{PATTERN_MAX, Pattern};

/// Bytes of a slot: no slot crosses a disk's sector, so none is written in part.
pub const SLOT_SIZE: usize = 256;

/// Most subscriptions that are remembered, of all peers.
pub const REMEMBERED_MAX: usize = 65_536;

const NAME_AT: usize = 16;
const _: () = assert!(NAME_AT + CLIENT_NAME_MAX + PATTERN_MAX <= SLOT_SIZE, "a name and a pattern fit into a slot");

/// One of a peer's subscriptions.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub pattern: Pattern,
    /// It lasts: the slot that remembers it.
    slot: Option<u32>,
    /// What has a smaller number was published before.
    pub since: u64,
}

impl Subscription {
    pub fn lasts(&self) -> bool {
        self.slot.is_some()
    }
}

/// All subscriptions, by the names of the peers.
#[derive(Debug)]
pub(super) struct Subscriptions {
    by_peer: BTreeMap<String, Vec<Subscription>>,
    memory: Memory,
    free: Vec<u32>,
    slots: u32,
    unsynced: bool,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::new(Memory::Heap(Vec::new()))
    }
}

impl Subscriptions {
    /// Those that `memory` remembers. Slots that are not whole are free.
    pub fn new(memory: Memory) -> Self {
        let slots = (memory.bytes().len() / SLOT_SIZE).min(REMEMBERED_MAX) as u32;
        let mut new = Self { by_peer: BTreeMap::new(), memory, free: Vec::new(), slots, unsynced: false };
        for slot in (0..slots).rev() {
            let at = slot as usize * SLOT_SIZE;
            match read_slot(&new.memory.bytes()[at..at + SLOT_SIZE]) {
                Some((name, pattern, since)) => {
                    let subscription = Subscription { pattern, slot: Some(slot), since };
                    new.by_peer.entry(name).or_default().push(subscription);
                }
                None => new.free.push(slot),
            }
        }
        new
    }

    pub fn of(&self, peer: &str) -> &[Subscription] {
        self.by_peer.get(peer).map_or(&[], Vec::as_slice)
    }

    /// The peers with a subscription to a type, and the first number of the oldest one that lasts, if one does.
    pub fn to(&self, message_type: &str) -> Vec<(String, Option<u64>)> {
        let of_peer = |(name, all): (&String, &Vec<Subscription>)| {
            let mut to = all.iter().filter(|s| s.pattern.matches(message_type)).peekable();
            to.peek()?;
            Some((name.clone(), to.filter(|s| s.lasts()).map(|s| s.since).min()))
        };
        self.by_peer.iter().filter_map(of_peer).collect()
    }

    /// A peer subscribes. What it has subscribed to already stays as it is, and lasts if it did. Whether this is new;
    /// an error if it is to last and there is no room to remember it.
    pub fn add(&mut self, peer: &str, pattern: Pattern, lasts: bool, since: u64) -> Result<bool, String> {
        let known = self.by_peer.get(peer).and_then(|all| all.iter().find(|s| s.pattern == pattern));
        let since = known.map_or(since, |known| known.since);
        let is_new = known.is_none();
        if known.is_some_and(|known| known.lasts() || !lasts) {
            return Ok(false);
        }
        let slot = if lasts { Some(self.remember(peer, &pattern, since)?) } else { None };
        let all = self.by_peer.entry(peer.to_owned()).or_default();
        all.retain(|s| s.pattern != pattern);
        all.push(Subscription { pattern, slot, since });
        Ok(is_new)
    }

    fn remember(&mut self, peer: &str, pattern: &Pattern, since: u64) -> Result<u32, String> {
        if peer.len() > CLIENT_NAME_MAX {
            return Err("the peer's name is too long".to_owned());
        }
        if self.free.is_empty() {
            let slots = (self.slots * 2).clamp(16, REMEMBERED_MAX as u32);
            if slots == self.slots {
                return Err(format!("{REMEMBERED_MAX} subscriptions are remembered, which is the most"));
            }
            self.memory.grow(slots as usize * SLOT_SIZE)?;
            self.free.extend((self.slots..slots).rev());
            self.slots = slots;
        }
        let slot = self.free.pop().ok_or("no slot is free")?;
        write_slot(self.slot_mut(slot), peer, pattern.text(), since);
        self.unsynced = true;
        Ok(slot)
    }

    fn slot_mut(&mut self, slot: u32) -> &mut [u8] {
        let at = slot as usize * SLOT_SIZE;
        &mut self.memory.bytes_mut()[at..at + SLOT_SIZE]
    }

    /// Ends those of a peer's subscriptions that are `meant`; how many.
    pub fn end(&mut self, peer: &str, meant: impl Fn(&Subscription) -> bool) -> usize {
        let Some(all) = self.by_peer.get_mut(peer) else { return 0 };
        let ended: Vec<Subscription> = all.extract_if(.., |s| meant(s)).collect();
        if all.is_empty() {
            self.by_peer.remove(peer);
        }
        for slot in ended.iter().filter_map(|s| s.slot) {
            self.slot_mut(slot).fill(0);
            self.free.push(slot);
            self.unsynced = true;
        }
        ended.len()
    }

    /// Whether something is to be synced.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// What was remembered and forgotten so far lies on the disk when this returns.
    pub fn sync(&mut self) -> Result<(), String> {
        if let Some(durable) = self.memory.durable().filter(|_| self.unsynced) {
            durable.sync()?;
        }
        self.unsynced = false;
        Ok(())
    }
}

fn write_slot(to: &mut [u8], peer: &str, pattern: &str, since: u64) {
    let mut slot = [0; SLOT_SIZE];
    (slot[4], slot[5]) = (peer.len() as u8, pattern.len() as u8);
    slot[8..NAME_AT].copy_from_slice(&since.to_le_bytes());
    slot[NAME_AT..NAME_AT + peer.len()].copy_from_slice(peer.as_bytes());
    let at = NAME_AT + peer.len();
    slot[at..at + pattern.len()].copy_from_slice(pattern.as_bytes());
    let crc = crc32c::crc32c(&slot[4..]);
    slot[..4].copy_from_slice(&crc.to_le_bytes());
    to.copy_from_slice(&slot);
}

fn read_slot(slot: &[u8]) -> Option<(String, Pattern, u64)> {
    let crc = slot[..4].try_into().map(u32::from_le_bytes).ok()?;
    let (name, pattern) = (usize::from(slot[4]), usize::from(slot[5]));
    if name == 0 || crc != crc32c::crc32c(&slot[4..]) {
        return None;
    }
    let since = slot[8..NAME_AT].try_into().map(u64::from_le_bytes).ok()?;
    let text = |from: usize, length: usize| std::str::from_utf8(slot.get(from..from + length)?).ok();
    let pattern = Pattern::parse(text(NAME_AT + name, pattern)?).ok()?;
    Some((text(NAME_AT, name)?.to_owned(), pattern, since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn what_lasts_is_there_again() {
        let mut subscriptions = Subscriptions::default();
        let long = "n".repeat(CLIENT_NAME_MAX);
        for (peer, text, lasts) in [("c1", "a.>", true), ("c1", "b", false), (&long, &"p".repeat(PATTERN_MAX), true)] {
            assert_eq!(subscriptions.add(peer, pattern(text), lasts, 7), Ok(true));
            assert_eq!(subscriptions.add(peer, pattern(text), lasts, 8), Ok(false));
        }
        assert_eq!(subscriptions.add("c2", pattern("a.b"), true, 3), Ok(true));
        assert_eq!(subscriptions.end("c2", |_| true), 1);
        let bytes = subscriptions.memory.bytes().to_vec();
        let again = Subscriptions::new(Memory::Heap(bytes.clone()));
        assert_eq!(again.to("a.b"), [("c1".to_owned(), Some(7))]);
        assert_eq!((again.of("c1").len(), again.of(&long).len(), again.of("c2").len()), (1, 1, 0));
        // A slot that is not whole is as good as none.
        for at in 0..SLOT_SIZE {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Subscriptions::new(Memory::Heap(bad)).of("c1").len(), 0);
        }
    }

    #[test]
    fn a_subscription_that_is_to_last_from_now_on_keeps_its_beginning() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.add("c1", pattern("a"), false, 7), Ok(true));
        assert_eq!(subscriptions.add("c1", pattern("a"), true, 9), Ok(false));
        assert_eq!(subscriptions.add("c1", pattern("*"), true, 8), Ok(true));
        assert_eq!(subscriptions.to("a"), [("c1".to_owned(), Some(7))]);
    }
}
