//! A durable memory that is a file of the test's own, which outlives the ring in it.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use super::header::{DATA_AT, Header, Identity, Kind, PAGE};
use super::recover::{Damage, Recovered, recover};
use super::{Checkpoint, Durable, Ring};

pub fn identity() -> Identity {
    Identity {
        kind: Kind::Outbox,
        connector: "client".to_owned(),
        peer: "server".to_owned(),
        message_type: "type".to_owned(),
    }
}

/// Bytes that stay, as the file's do when the process dies.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The file after each step that writes to it on its own, while it is watched: a crash may come between any two.
    pub is_watched: Rc<Cell<bool>>,
    pub steps: Rc<RefCell<Vec<Vec<u8>>>>,
    pub bytes: Rc<RefCell<Vec<u8>>>,
    /// The file as it was at the last sync.
    pub on_disk: Rc<RefCell<Vec<u8>>>,
    /// The most bytes of data.
    pub room: Rc<Cell<usize>>,
    pub cooled: Rc<Cell<usize>>,
    pub synced: Rc<Cell<bool>>,
    pub discarded: Rc<Cell<bool>>,
}

impl File {
    pub fn new() -> Self {
        let file = Self::default();
        file.room.set(1 << 30);
        file
    }

    /// What is in the file.
    pub fn look(&self) -> Result<Option<Recovered>, Damage> {
        let bytes = self.bytes.borrow();
        let (pages, data) = bytes.split_at(bytes.len().min(DATA_AT));
        recover(pages, data, Some(&identity()))
    }

    /// A ring over what is in the file, and what was found there.
    pub fn try_open(&self, limit: usize) -> Result<(Ring, Option<Recovered>), Damage> {
        let found = self.look()?;
        let data = self.bytes.borrow().get(DATA_AT..).unwrap_or_default().to_vec();
        let generation = found.as_ref().map_or(0, |f| f.header.generation);
        let disk = Disk { data, generation, file: self.clone() };
        let checkpoint = found.as_ref().map_or(Checkpoint::default(), |f| f.checkpoint);
        let mut ring = Ring::durable(Box::new(disk), checkpoint, limit, 1);
        ring.checkpoint();
        Ok((ring, found))
    }

    /// As [`File::try_open`], of a file that is sound.
    pub fn open(&self, limit: usize) -> (Ring, Option<Recovered>) {
        self.try_open(limit).expect("the file is sound")
    }
}

/// What the ring has of a file. The data is copied to the file at each of its calls, and by [`flush`].
#[derive(Debug)]
struct Disk {
    data: Vec<u8>,
    generation: u64,
    file: File,
}

impl Disk {
    fn store(&mut self) {
        let mut bytes = self.file.bytes.borrow_mut();
        bytes.resize(DATA_AT + self.data.len(), 0);
        bytes[DATA_AT..].copy_from_slice(&self.data);
        if self.file.is_watched.get() {
            self.file.steps.borrow_mut().push(bytes.clone());
        }
    }
}

/// Brings the ring's bytes to its file: they are there at any time when a process dies.
pub fn flush(ring: &mut Ring) {
    ring.memory.durable().expect("the ring is durable").quarantine().expect("it is stored");
}

impl Durable for Disk {
    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        assert!(capacity >= self.data.len() || capacity == 0, "it is asked for more");
        if capacity > self.file.room.get() {
            return Err("no space left on device".to_owned());
        }
        self.data.resize(capacity, 0);
        self.store();
        Ok(())
    }

    fn shrink(&mut self) {
        self.data = Vec::new();
        self.store();
    }

    fn sync(&mut self) -> Result<(), String> {
        self.store();
        self.file.on_disk.borrow_mut().clone_from(&self.file.bytes.borrow());
        Ok(())
    }

    fn is_synced(&self) -> bool {
        self.file.synced.get()
    }

    fn save(&mut self, checkpoint: &Checkpoint) {
        self.store();
        self.generation += 1;
        let (generation, capacity) = (self.generation, self.data.len() as u64);
        let header = Header { generation, epoch: 1, capacity, checkpoint: *checkpoint, identity: identity() };
        let page = header.to_page().expect("the identity is short");
        assert_eq!(Header::read(&page), Ok(header), "what is saved can be");
        let at = (self.generation % 2) as usize * PAGE;
        self.file.bytes.borrow_mut()[at..at + PAGE].copy_from_slice(&page);
        self.store();
    }

    fn cool(&mut self, range: Range<usize>) {
        assert!(range.start < range.end && range.end <= self.data.len(), "it is within the data");
        self.file.cooled.set(self.file.cooled.get() + range.len());
    }

    fn quarantine(&mut self) -> Result<String, String> {
        self.store();
        Ok("type.bad-1".to_owned())
    }

    fn discard(self: Box<Self>) {
        self.file.discarded.set(true);
    }
}
